#  test/cluster/room.sh - to be sourced by tests of real nodes: goes to the root of the tree, finds
#  the build (B), clears the settings of whoever runs it, and makes $room and $cluster. Whoever
#  sources it sets
#
#      name                             of the test
#      programs                         array: what it needs besides umbp-node and umbp-console
#
#  and calls room_cleanup in its EXIT trap. Then, besides what deploy/cluster.sh has,
#
#      fail WHAT                        ends the test: what `explain` says, the ends of all logs
#      until_true WHAT COMMAND...       again and again until it succeeds, 90 s at most
#      until_said WHAT FILTER WORDS...  ... until the console, asked these words, says JSON of which a
#                                       filter of jq is true; what it said is in $room/out
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

B=${B:-${UMBP_BUILD:-build}}
for program in umbp-node umbp-console ${programs[@]+"${programs[@]}"}; do
    [[ -x $B/bin/$program ]] || { echo "$B/bin/$program is missing: make all"; exit 1; }
done
for setting in ${!UMBP_*} TENSOR_FUSION_STATE_DIR TF_LOG_PATH XDG_STATE_HOME; do
    unset "$setting"                    #  Settings of whoever runs us
done

# shellcheck disable=SC2154
cluster=$name-$$
room=$(mktemp -d "/tmp/umbp-$name-XXXXXX") || exit 1
. deploy/cluster.sh

room_cleanup () {
    cluster_cleanup
    rm -rf "$room"
}

explain () { :; }                       #  Tests that can say more have one of their own

fail () {
    echo "FAILED: $1"
    explain
    tail -n 30 "$room"/*.log 2>/dev/null
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

says () {
    local filter=$1
    shift
    timeout 20 "$B/bin/umbp-console" "$@" --json >"$room/out" 2>&1 && jq -e "$filter" "$room/out" >/dev/null 2>&1
}

until_said () {
    local what=$1
    shift
    until_true "$what" says "$@"
}
