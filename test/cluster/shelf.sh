#!/usr/bin/env bash
#  test/cluster/shelf.sh - two nodes and one directory: what one wrote there is read through the other one when it was
#  killed; umbp-console tiers says who serves what, and on what it lies; what was removed meanwhile stays away; and it
#  is the writer's again when that is back.
#
#      B=build test/cluster/shelf.sh         B: the build folder, else $UMBP_BUILD, else build
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
name=shelf
. "$(dirname "$0")/room.sh"
trap room_cleanup EXIT
export NO_COLOR=1 HOME=$room
console=$B/bin/umbp-console
node_args=(--dram-capacity 32MiB --dram-region 32MiB --cluster-suspect 3s --cluster-gone 5s
    --shared-directory "$room/fs" --shared-capacity 64MiB --shared-segment 4MiB --shared-staging 8MiB
    --shared-write through --shared-takeover 500ms)

explain () { sed 's/^/    /' "$room/out"; }

#  start NAME FLAG...: leaves its endpoint in $endpoint
start () {
    start_node "$1" 'tcp://127.0.0.1:*' "${@:2}"
    endpoint=$(endpoint_of "$1" "${pids[-1]}") || fail "$1 does not start"
}

#  The writer is alone at first: a put may go to any node, and on a busy machine some do
start a
writer=$endpoint
export UMBP_ENDPOINTS=$writer
shelf () { printf '.tiers[] | select(.node == "%s" and .tier == "shared")' "$1"; }
until_said "the writer fine" '(.tiers | length == 2) and all (.tiers[]; .state == "fine")' tiers
for number in $(seq 10); do
    head -c 300000 /dev/urandom >"$room/block-$number"
    "$console" put "kv-$number" "$room/block-$number" >"$room/out" 2>&1 || fail "put"
done
until_said "blocks in the directory" "$(shelf a) | .blocks == 10" tiers
ls "$room"/fs/a/*.seg >/dev/null || fail "no segments of a"
start b --cluster-seeds "$writer"
reader=$endpoint
until_said "both nodes fine" '(.tiers | length == 4) and all (.tiers[]; .state == "fine")' tiers

kill -KILL "${pids[0]}"
wait "${pids[0]}" 2>/dev/null
export UMBP_ENDPOINTS=$reader
until_said "blocks of a at b" "$(shelf b) | .blocks == 10 and .used_bytes == 0" tiers
until_said "who serves what" '.shelves[] | select(.node == "b") | .serves == ["a"] and .hanging == 0' tiers
for number in $(seq 10); do
    "$console" get "kv-$number" "$room/back" >"$room/out" 2>&1 || fail "get kv-$number after a was killed"
    cmp -s "$room/block-$number" "$room/back" || fail "other bytes than were put"
done
"$console" tiers >"$room/out" 2>&1 || fail "tiers"
grep -Eq '^b: [a-z0-9]+ at /.*; serves also what was written by a$' "$room/out" || fail "tiers: no line of the mount"
until_said "a given up" '[.nodes[].node] == ["b"]' nodes
for number in 1 2 3; do
    "$console" rm "kv-$number" >"$room/out" 2>&1 || fail "rm kv-$number"
done

start a --cluster-seeds "$reader"
until_said "blocks of a at a" "$(shelf a) | .blocks == 7 and .state == \"fine\"" tiers
until_said "none of a at b" "$(shelf b) | .blocks == 0" tiers
export UMBP_ENDPOINTS=$endpoint
for number in $(seq 4 10); do
    "$console" get "kv-$number" "$room/back" >"$room/out" 2>&1 || fail "get kv-$number after a is back"
    cmp -s "$room/block-$number" "$room/back" || fail "other bytes than were put"
done
"$console" exists kv-1 kv-2 kv-3 >"$room/out" 2>&1 && fail "what was removed is back"
for pid in "${pids[1]}" "${pids[2]}"; do
    kill -TERM "$pid"
    wait "$pid" || fail "a node did not end in good order"
done
pids=()
echo "shelf: ok"
