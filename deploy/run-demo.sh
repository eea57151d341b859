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
#      TIERS=all                        all four tiers: of the different blocks 2 % fit in memory, 10 % on disks, 30 % in
#                                       a folder that all nodes share, and 0.5 % on a mock accelerator of each node;
#                                       files in $TMPDIR. With ../shared/data/conversation_trace.jsonl, if that is there
#      B=FOLDER                         build folder, default build
set -uo pipefail
cd "$(dirname "$0")/.."

B=${B:-build}
DISCOVERY=${DISCOVERY:-gossip}
node_count=3
cluster=demo-$$
node_args=(--node-log warning --dram-capacity 256MiB --blocks-strategy most_free)
room=$(mktemp -d "${TMPDIR:-/tmp}/umbp-demo-XXXXXX")
. deploy/cluster.sh

finish () {
    [[ ! ${replay:-} ]] || kill "$replay" 2>/dev/null
    cluster_cleanup
    rm -rf "$room"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold='' dim='' plain=''
[[ -t 1 ]] && bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
#  Tiers as small as the workload wants them: sets flags of nodes and of the replay
all_tiers () {
    local block=16384 different least
    different=$("$B/bin/umbp-bench" policy "${workload[@]}" 2>/dev/null \
                | sed -nE 's/.*of which ([0-9]+) are different.*/\1/p')
    [[ $different ]] || give_up "the different blocks could not be counted"
    part () {                           #  part PER_MILLE LEAST: bytes of one node
        local bytes=$((different * $1 / 1000 * block / node_count))
        echo $((bytes > $2 ? bytes : $2))
    }
    least=$((4 << 20))
    disks=yes shared=yes
    export UMBP_MOCK_GPUS=${UMBP_MOCK_GPUS:-1}
    node_args=(--node-log error --blocks-strategy most_free --dram-page 16KiB
               --dram-capacity "$(part 20 $least)"
               --hbm-device mock:0 --hbm-capacity "$(part 5 $least)" --hbm-staging 8MiB
               --nvme-capacity "$(part 100 $((8 * least)))" --nvme-segment 4MiB --nvme-staging 32MiB
               --shared-admit all
               --shared-capacity "$(part 300 $((8 * least)))" --shared-segment 4MiB --shared-staging 32MiB)
    workload+=(--block-bytes 16KiB)
    lru=$((different * 425 / 1000))
    say "All tiers"
    echo "  $different different blocks of 16 KiB. Room for 0.5 % of them in device memory (a mock), 2 % in"
    echo "  memory, 10 % on disks, 30 % in a folder that all nodes share: 42.5 % in all."
}

say () { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
give_up () { echo "run-demo: $1" >&2; exit 1; }

[[ $DISCOVERY =~ ^(gossip|seeds|beacon)$ ]] || give_up "DISCOVERY is gossip, seeds or beacon"
[[ ! ${TRACE:-} || -r $TRACE ]] || give_up "$TRACE cannot be read"
[[ -x $B/bin/umbp-node && -x $B/bin/umbp-bench ]] || give_up "$B/bin is not built: make"
[[ $DISCOVERY != beacon ]] || can_namespaces || give_up "network namespaces cannot be made here"

[[ ! ${TIERS:-} || $TIERS == all ]] || give_up "TIERS is all, or nothing"
trace=../shared/data/conversation_trace.jsonl
[[ ${TRACE:-} || ${TIERS:-} != all || ! -r $trace ]] || TRACE=$trace
what="conversations, made up"
workload=(--requests "${REQUESTS:-1500}")
if [[ ${TRACE:-} ]]; then
    what="requests of $TRACE"
    workload=(--trace "$TRACE" --requests "${REQUESTS:-1000000}")
fi
lru=12288
[[ ! ${TIERS:-} ]] || all_tiers

say "Three nodes that find each other by $DISCOVERY"
start_cluster "$DISCOVERY" $node_count && wait_cluster $node_count \
    || give_up "the nodes did not come together"
for ((i = 0; i < node_count; i++)); do
    echo "  node-$((i + 1))  ${endpoints[i]}  sees $(members_of $i)"
done

say "Two client processes replay $what"
echo "  One is attached to node-1, on the same host; one to node-2, as if it were on another."
replay () {
    # shellcheck disable=SC2086
    ${in_ns[0]:-} "$B/bin/umbp-bench" replay --endpoints "${endpoints[0]},${endpoints[1]}" --clients 2 \
        --far-clients 1 --lru-capacity $lru "${workload[@]}"
}
console () {
    # shellcheck disable=SC2086
    ${in_ns[2]:-} "$B/bin/umbp-console" --endpoint "${endpoints[2]}" "$@"
}
if [[ ${TIERS:-} ]]; then
    replay >"$room/replay.out" 2>&1 &
    replay=$!
    while sleep 5 && kill -0 $replay 2>/dev/null; do
        say "umbp-console top, while it runs"
        console --count 2 --interval 1s top | awk '/^cluster\[/ { last = "" } { last = last "\n" $0 } END { print last }' \
            | sed -n '/^NODE/,$p'
    done
    wait $replay || { cat "$room/replay.out"; give_up "the replay failed"; }
    say "What came of it"
    grep -vE '^ *[0-9]+ %' "$room/replay.out"
    say "umbp-console tiers"
    console tiers
else
    replay || give_up "the replay failed"
fi

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
    console status
    printf '\n%sKEEP=1 leaves the cluster running, and says what to ask it.%s\n' "$dim" "$plain"
fi

stop_cluster || give_up "not all nodes ended well"
say "All three nodes left in good order"
