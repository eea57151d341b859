#!/usr/bin/env bash
#  test/cluster/beacon.sh - two clusters on one LAN, which find their members by UDP broadcast: each
#  finds its own and nobody else. The LAN is a bridge between network namespaces; skipped where
#  these cannot be made.
#
#      B=build test/cluster/beacon.sh      B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
[[ -x $B/bin/umbp-node ]] || { echo "$B/bin/umbp-node is missing: make all"; exit 1; }

room=$(mktemp -d /tmp/umbp-b-XXXXXX)
node_args=(--node-log warning --dram-capacity 16MiB)
. deploy/cluster.sh
trap 'cluster_cleanup; rm -rf "$room"' EXIT
can_namespaces || { echo "network namespaces cannot be made here"; exit 77; }

fail () {
    echo "FAILED: $1"
    tail -n 20 "$room"/*.log
    exit 1
}

#  sees NUMBER NAMES: node NUMBER sees exactly these
sees () {
    local found
    found=$(members_of $(($1 - 1)))
    [[ $found == "$2 " ]] || fail "node-$1 sees $found"
    echo "ok: node-$1 sees $found"
}

cluster=red
start_cluster beacon 2 || fail "red does not start"
cluster=blue
start_cluster beacon 3 || fail "blue does not start"
end=$((SECONDS + 20))
counts () {
    for number in {0..4}; do
        members_of $number | wc -w
    done | tr '\n' ' '
}
until [[ $(counts) == "2 2 3 3 3 " ]]; do
    ((SECONDS < end)) || fail "they did not come together"
    sleep 0.1
done
sleep 2                                 #  Two more beacons of everyone: time to hear the wrong ones
sees 1 'node-1 node-2'
sees 2 'node-1 node-2'
for number in 3 4 5; do
    sees $number 'node-3 node-4 node-5'
done
for number in 0 2; do
    # shellcheck disable=SC2086
    ${in_ns[number]} "$B/bin/umbp-console" --endpoint "${endpoints[number]}" put key \
        --text "of node $number" >/dev/null || fail "put"
done
# shellcheck disable=SC2086
[[ $(${in_ns[1]} "$B/bin/umbp-console" --endpoint "${endpoints[1]}" get key -) == "of node 0" ]] \
    || fail "red does not have red's block"
# shellcheck disable=SC2086
[[ $(${in_ns[4]} "$B/bin/umbp-console" --endpoint "${endpoints[4]}" get key -) == "of node 2" ]] \
    || fail "blue does not have blue's block"
echo "ok: a key is another block in each cluster"
stop_cluster || fail "not all nodes ended well"
