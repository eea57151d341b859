#!/usr/bin/env bash
#  test/cluster/tiers.sh - a node with a disk and one without: what umbp-console tiers and top say of their tiers while
#  a block goes down to the disk, outlives a restart there, is read, and comes up again; and what moves says of it.
#
#      B=build test/cluster/tiers.sh         B: the build folder, else $UMBP_BUILD, else build
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
name=tiers
. "$(dirname "$0")/room.sh"
trap room_cleanup EXIT
mkdir "$room/disk"
export NO_COLOR=1 HOME=$room
console=$B/bin/umbp-console
node_args=(--dram-capacity 32MiB --dram-region 32MiB)

explain () { sed 's/^/    /' "$room/out"; }

#  start NAME FLAG...: leaves its endpoint in $UMBP_ENDPOINTS
start () {
    start_node "$1" 'tcp://127.0.0.1:*' "${@:2}"
    UMBP_ENDPOINTS=$(endpoint_of "$1" "${pids[-1]}") || fail "$1 does not start"
    export UMBP_ENDPOINTS
}

disk=(--nvme-directories "$room/disk" --nvme-capacity 64MiB --nvme-segment 4MiB --nvme-staging 8MiB
      --nvme-write through)
start plain
first=$UMBP_ENDPOINTS
start disky --cluster-seeds "$first" "${disk[@]}"
dram='.tiers[] | select(.node == "disky" and .tier == "dram")'
nvme='.tiers[] | select(.node == "disky" and .tier == "nvme")'
until_said "both nodes" '.tiers | length == 3' tiers
until_said "all fine" '[.tiers[].state] == ["fine", "fine", "fine"]' tiers

head -c 300000 /dev/urandom >"$room/block"
"$console" put cold "$room/block" >"$room/out" 2>&1 || fail "put"
until_said "a block that went down" "$dram | .moved_down == 1 and .moved_down_bytes == 300000" tiers
until_said "a block on disk" "$nvme | .blocks == 1 and .moved_up == 0" tiers

kill -TERM "${pids[1]}"
wait "${pids[1]}" || fail "the node with the disk did not end in good order"
start disky --cluster-seeds "$first" "${disk[@]}"
until_said "the block after a restart" "$nvme | .blocks == 1 and .state == \"fine\"" tiers
"$console" get cold "$room/back" >"$room/out" 2>&1 || fail "get"
cmp -s "$room/block" "$room/back" || fail "other bytes than were put"
until_said "hits of the disk" "$nvme | .hits >= 1" tiers
until_said "a block that came up" "$nvme | .moved_up == 1 and .moved_up_bytes == 300000" tiers

until_said "two edges that are quiet" '[.moves[] | select(.node == "disky")] | length == 2 and all(.state == "quiet")' moves
until_said "what came up" '.moves[] | select(.edge == "nvme > dram") | .moved_blocks == 1 and .moved_bytes == 300000 and .share_percent == 100' moves
until_said "budgets" '.moves | all(.rate_bytes > 0 and .storm == false and has("pressed") and has("asked") and has("idle"))' moves
"$console" moves >"$room/out" 2>&1 || fail "moves"
grep -Eq '^disky +nvme > dram +quiet .* 512 MiB +100' "$room/out" || fail "moves: no line of the way up"
"$console" advise need cold >"$room/out" 2>&1 && grep -Eq '^cold +advised' "$room/out" || fail "advise need"
"$console" advise cold cold nothing >"$room/out" 2>&1 && fail "advise: a block that is not there"
grep -Eq '^nothing +missing' "$room/out" || fail "advise: no line of what is not there"
"$console" advise warm cold >"$room/out" 2>&1
[[ $? == 2 ]] || fail "advise: not an advice, and no word of it"
until_said "that it was told" 'any(.. | objects; .advised_needed? == 1)' stat tier:dram@disky
"$console" tiers >"$room/out" 2>&1 || fail "tiers"
grep -Eq '^disky +nvme +fine .* 293 KiB +0$' "$room/out" || fail "tiers: no line of the disk"
"$console" top --count 2 --interval 100ms >"$room/out" 2>&1 || fail "top"
[[ $(grep -Ec '^NODE +TIER +STATE +HIT/S +SHARE' "$room/out") -ge 1 ]] || fail "top: no tiers"
"$console" top --count 1 --json >"$room/out" || fail "top --json"
jq -e '.tiers | length == 3 and all(has("hits_percent") and has("moved_down_bytes_per_s"))' \
    "$room/out" >/dev/null || fail "top --json: no rates of tiers"
for pid in "${pids[0]}" "${pids[2]}"; do
    kill -TERM "$pid"
    wait "$pid" || fail "a node did not end in good order"
done
pids=()
echo "tiers: ok"
