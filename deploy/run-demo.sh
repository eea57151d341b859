#!/usr/bin/env bash
#  deploy/run-demo.sh - a cluster of three nodes on this host, conversations through it, and what
#  came of them. Takes a few seconds; cleans up after itself, whatever happens.
#
#      deploy/run-demo.sh
#      DISCOVERY=gossip|seeds|beacon    how the nodes find each other, gossip by default; beacon,
#                                       UDP broadcast, takes network namespaces and needs root
#      TRACE=FILE                       replay a trace in Mooncake's JSONL format instead
#      REQUESTS=N                       1500 by default; all of a trace
#      KEEP=1                           leave the cluster running until Ctrl-C
#      TIERS=all                        little memory, and disks under it, a folder of each node in $TMPDIR
#      B=FOLDER                         build folder, default build
set -uo pipefail
cd "$(dirname "$0")/.."

B=${B:-build}
DISCOVERY=${DISCOVERY:-gossip}
node_count=3
cluster=demo-$$
node_args=(--node-log warning --dram-capacity 256MiB --blocks-strategy most_free)
room=$(mktemp -d "${TMPDIR:-/tmp}/umbp-demo-XXXXXX")
if [[ ${TIERS:-} == all ]]; then
    disks=yes
    node_args=(--node-log warning --dram-capacity 80MiB --blocks-strategy most_free
               --nvme-capacity 448MiB --nvme-segment 16MiB --nvme-staging 64MiB)
fi
. deploy/cluster.sh

finish () {
    cluster_cleanup
    rm -rf "$room"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold='' dim='' plain=''
[[ -t 1 ]] && bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
say () { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
give_up () { echo "run-demo: $1" >&2; exit 1; }

[[ $DISCOVERY =~ ^(gossip|seeds|beacon)$ ]] || give_up "DISCOVERY is gossip, seeds or beacon"
[[ ! ${TRACE:-} || -r $TRACE ]] || give_up "$TRACE cannot be read"
[[ -x $B/bin/umbp-node && -x $B/bin/umbp-bench ]] || give_up "$B/bin is not built: make"
[[ $DISCOVERY != beacon ]] || can_namespaces || give_up "network namespaces cannot be made here"

say "Three nodes that find each other by $DISCOVERY"
start_cluster "$DISCOVERY" $node_count && wait_cluster $node_count \
    || give_up "the nodes did not come together"
for ((i = 0; i < node_count; i++)); do
    echo "  node-$((i + 1))  ${endpoints[i]}  sees $(members_of $i)"
done

what="conversations, made up"
workload=(--requests "${REQUESTS:-1500}")
if [[ ${TRACE:-} ]]; then
    what="requests of $TRACE"
    workload=(--trace "$TRACE" --requests "${REQUESTS:-1000000}")
fi
say "Two client processes replay $what"
echo "  One is attached to node-1, on the same host; one to node-2, as if it were on another."
# shellcheck disable=SC2086
${in_ns[0]:-} "$B/bin/umbp-bench" replay --endpoints "${endpoints[0]},${endpoints[1]}" --clients 2 \
    --far-clients 1 --lru-capacity 12288 "${workload[@]}" || give_up "the replay failed"

if [[ ${KEEP:-} ]]; then
    say "Ask the cluster yourself, from another terminal"
    for command in status top nodes "put hello --text world" "where hello" "get hello -" help; do
        echo "  ${in_ns[2]:-}${in_ns[2]:+ }$B/bin/umbp-console --endpoint ${endpoints[2]} $command"
    done
    say "Ctrl-C ends it"
    trap 'kept=0' INT TERM
    kept=1
    while ((kept)); do
        sleep 1 &
        wait $!
    done
else
    say "What the console says"
    # shellcheck disable=SC2086
    ${in_ns[2]:-} "$B/bin/umbp-console" --endpoint "${endpoints[2]}" status
    printf '\n%sKEEP=1 leaves the cluster running, and says what to ask it.%s\n' "$dim" "$plain"
fi

stop_cluster || give_up "not all nodes ended well"
say "All three nodes left in good order"
