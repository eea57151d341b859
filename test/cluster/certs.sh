#  test/cluster/certs.sh - to be sourced by tests of nodes with certificates: goes to the root of the
#  tree, finds the build (B), clears the settings of whoever runs it, and makes $room, $cluster and
#  $certs, for nodes and clients. Whoever sources it sets $name, and calls certs_cleanup in its EXIT
#  trap. Then, besides what deploy/cluster.sh has,
#
#      fail WHAT                        ends the test, with the ends of all logs
#      until_true WHAT COMMAND...       again and again until it succeeds, 90 s at most
#      keygen NAME FLAG...              a pair of certificates in $certs
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

B=${B:-${UMBP_BUILD:-build}}
for program in "$B/bin/umbp-node" "$B/bin/umbp-console" "$B/bin/umbp-bench"; do
    [[ -x $program ]] || { echo "$program is missing: make all"; exit 1; }
done
for setting in ${!UMBP_*}; do
    unset "$setting"                    #  Settings of whoever runs us
done

# shellcheck disable=SC2154
cluster=$name-$$
room=$(mktemp -d "/tmp/umbp-$name-XXXXXX")
certs=$room/certs
mkdir -p "$certs/nodes" "$certs/clients"
. deploy/cluster.sh

certs_cleanup () {
    cluster_cleanup
    rm -rf "$room"
}

fail () {
    echo "FAILED: $1"
    tail -n 15 "$room"/*.log 2>/dev/null
    exit 1
}

until_true () {
    local what=$1 end=$((SECONDS + 90))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "$what: not within 90 s"
        sleep 0.1
    done
    echo "ok: $what"
}

keygen () { "$B/bin/umbp-console" keygen --out "$certs/$1" "${@:2}" >/dev/null || fail "keygen $1"; }
