#!/usr/bin/env bash
#  test/cluster/hbm.sh - a node with a tier in (mock) device memory, and what the console says of it while blocks go there,
#  the device fails, and is well again.
#
#      B=build test/cluster/hbm.sh           B: the build folder, else $UMBP_BUILD, else build
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
name=hbm
. "$(dirname "$0")/room.sh"
trap room_cleanup EXIT
export NO_COLOR=1 HOME=$room UMBP_MOCK_HBM_SCRIPT=$room/script UMBP_MOCK_HBM_BYTES=$((64 << 20))
echo fine >"$UMBP_MOCK_HBM_SCRIPT"
console=$B/bin/umbp-console
node_args=(--dram-capacity 32MiB --dram-region 32MiB)

explain () { sed 's/^/    /' "$room/out"; }

#  start FLAG...: leaves its endpoint in $UMBP_ENDPOINTS; 1 if it ends
start () {
    start_node hot 'tcp://127.0.0.1:*' "$@"
    UMBP_ENDPOINTS=$(endpoint_of hot "${pids[-1]}" 2>"$room/out") && export UMBP_ENDPOINTS
}

stop () { stop_cluster || fail "it did not end in good order"; }

start --hbm-device mock:0 --hbm-capacity 1GiB && fail "more than the device has was taken"
grep -q 'mock:0: cannot take 1024 MiB, 64 of 64 MiB are free: lower hbm/capacity' "$room/hot.log" \
    || fail "what is missing was not said"
wait "${pids[-1]}"
pids=()
start --hbm-device auto || fail "auto without a device"
until_said "no tier without a device" '[.tiers[].tier] == ["dram"]' tiers
stop

start --hbm-device mock:0 --hbm-capacity 16MiB --hbm-staging 1MiB || fail "no start"
hbm='.tiers[] | select(.tier == "hbm")'
until_said "both tiers" "$hbm | .state == \"fine\" and .total_bytes == 16777216" tiers
head -c 300000 /dev/urandom >"$room/block"
"$console" put --tier hbm hot "$room/block" >"$room/out" 2>&1 || fail "put"
until_said "the block on the device" "$hbm | .blocks == 1 and .used_bytes == 327680" tiers
"$console" get hot "$room/back" >"$room/out" 2>&1 || fail "get"
cmp -s "$room/block" "$room/back" || fail "other bytes than were put"
"$console" put --tier punch hot2 "$room/block" >"$room/out" 2>&1 && fail "a tier that there is not"
grep -q 'allowed: hbm, dram, nvme, shared' "$room/out" || fail "no word on tiers"

echo fail >"$UMBP_MOCK_HBM_SCRIPT"
"$console" put --tier hbm fails "$room/block" >"$room/out" 2>&1 && fail "put on a device that fails"
until_said "a device that fails" "$hbm | .state == \"device failed\"" tiers
"$console" put works "$room/block" >"$room/out" 2>&1 || fail "put into memory beside"
echo fine >"$UMBP_MOCK_HBM_SCRIPT"
for _ in $(seq 60); do                  #  It has a rest of 5 s
    "$console" put --tier hbm again "$room/block" >"$room/out" 2>&1 && break
    sleep 1
done
until_said "a device that is well again" "$hbm | .state == \"fine\" and .blocks == 2" tiers
"$console" top --count 1 --json >"$room/out" || fail "top --json"
jq -e '.tiers | length == 2' "$room/out" >/dev/null || fail "top --json: no tiers"
stop
echo "hbm: ok"
