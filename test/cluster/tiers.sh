#!/usr/bin/env bash
#  test/cluster/tiers.sh - a node with a disk and one without: what umbp-console tiers and top say of their tiers while
#  a block goes down to the disk, outlives a restart there, is read, and comes up again.
#
#      B=build test/cluster/tiers.sh         B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
node=$B/bin/umbp-node
console=$B/bin/umbp-console
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
for program in "$node" "$console"; do
    [[ -x $program ]] || { echo "$program is missing: make all"; exit 1; }
done
for name in ${!UMBP_*}; do
    unset "$name"                       #  Settings of whoever runs us
done

room=$(mktemp -d /tmp/umbp-t-XXXX)
mkdir "$room/disk"
export NO_COLOR=1 HOME=$room
pids=()
cleanup () {
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -r "$room"
}
trap cleanup EXIT

die () {
    echo "FAILED: $1"
    sed 's/^/    /' "$room"/*.log "$room/out" 2>/dev/null
    exit 1
}

#  start NAME FLAG...: leaves its endpoint in $endpoint
start () {
    local name=$1
    shift
    "$node" --node-id "$name" --network-listen 'tcp://127.0.0.1:*' --node-run-dir "$room" \
        --dram-capacity 32MiB --dram-region 32MiB "$@" >"$room/$name.out" 2>>"$room/$name.log" &
    pids+=($!)
    for _ in $(seq 600); do
        endpoint=$(sed -n 's/.*ready.* endpoint=\([^ ]*\).*/\1/p' "$room/$name.out")
        [[ $endpoint ]] && return
        sleep 0.1
    done
    die "$name is not ready after 60 s"
}

#  wait_for WHAT FILTER COMMAND...: until what the console says as JSON is so, 60 s at most
wait_for () {
    local what=$1 filter=$2
    shift 2
    for _ in $(seq 300); do
        timeout 20 "$console" "$@" --json >"$room/out" 2>&1 && jq -e "$filter" "$room/out" >/dev/null 2>&1 && return
        sleep 0.2
    done
    die "$what: $filter"
}

disk=(--nvme-directories "$room/disk" --nvme-capacity 64MiB --nvme-segment 4MiB --nvme-staging 8MiB
      --nvme-write through)
start plain
export UMBP_ENDPOINTS=$endpoint
first=$endpoint
start disky --cluster-seeds "$first" "${disk[@]}"
export UMBP_ENDPOINTS=$endpoint
dram='.tiers[] | select(.node == "disky" and .tier == "dram")'
nvme='.tiers[] | select(.node == "disky" and .tier == "nvme")'
wait_for "both nodes" '.tiers | length == 3' tiers
wait_for "all fine" '[.tiers[].state] == ["fine", "fine", "fine"]' tiers

head -c 300000 /dev/urandom >"$room/block"
"$console" put cold "$room/block" >"$room/out" 2>&1 || die "put"
wait_for "a block that went down" "$dram | .moved_down == 1 and .moved_down_bytes == 300000" tiers
wait_for "a block on disk" "$nvme | .blocks == 1 and .moved_up == 0" tiers

kill -TERM "${pids[1]}"
wait "${pids[1]}" || die "the node with the disk did not end in good order"
start disky --cluster-seeds "$first" "${disk[@]}"
export UMBP_ENDPOINTS=$endpoint
wait_for "the block after a restart" "$nvme | .blocks == 1 and .state == \"fine\"" tiers
"$console" get cold "$room/back" >"$room/out" 2>&1 || die "get"
cmp -s "$room/block" "$room/back" || die "other bytes than were put"
wait_for "hits of the disk" "$nvme | .hits >= 1" tiers
wait_for "a block that came up" "$nvme | .moved_up == 1 and .moved_up_bytes == 300000" tiers

"$console" tiers >"$room/out" 2>&1 || die "tiers"
grep -Eq '^disky +nvme +fine .* 293 KiB +0$' "$room/out" || die "tiers: no line of the disk"
"$console" top --count 2 --interval 100ms >"$room/out" 2>&1 || die "top"
[[ $(grep -Ec '^NODE +TIER +STATE +HIT/S +SHARE' "$room/out") -ge 1 ]] || die "top: no tiers"
"$console" top --count 1 --json >"$room/out" || die "top --json"
jq -e '.tiers | length == 3 and all(has("hits_percent") and has("moved_down_bytes_per_s"))' \
    "$room/out" >/dev/null || die "top --json: no rates of tiers"
for pid in "${pids[0]}" "${pids[2]}"; do
    kill -TERM "$pid"
    wait "$pid" || die "a node did not end in good order"
done
pids=()
echo "tiers: ok"
