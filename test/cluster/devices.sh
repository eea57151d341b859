#!/usr/bin/env bash
#  test/cluster/devices.sh - accelerators of three nodes, as an operator sees them with the console: the
#  mock's devices appear, fill, vanish, fail and hang as a script says. Nothing is left behind in the
#  folder that nodes run in.
#
#      B=build test/cluster/devices.sh         B: the build folder, else $UMBP_BUILD, else build
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
name=devices
. "$(dirname "$0")/certs.sh"
trap room_cleanup EXIT

mock=$(realpath "$B")/lib/libaccelerator_mock.so
[[ -r $mock ]] || { echo "$mock is missing: make all"; exit 1; }
files_before=$(find . -maxdepth 1 | sort)

console () { timeout 60 "$B/bin/umbp-console" --timeout 20s --endpoint "${endpoints[0]}" "$@"; }
devices () { console --json devices; }
holds () { devices | jq -e "$1" >/dev/null 2>&1; }
obey () { echo "$1" >>"$room/script-$2"; }

#  --- Settings ----------------------------------------------------------------------------------------

check () { "$B/bin/umbp-node" --check-config "$@" >"$room/check" 2>&1; }
check --device-library lib.so && fail "a relative path is taken"
grep -q 'device/library.*give an absolute path' "$room/check" || fail "$(cat "$room/check")"
cp "$mock" "$room/open.so"
chmod 666 "$room/open.so"
check --device-library "$room/open.so" && fail "a library that anybody may write is taken"
grep -q 'anybody may write it: chmod o-w it' "$room/check" || fail "$(cat "$room/check")"
check --device-library "$room/open.so" --device-insecure=yes || fail "$(cat "$room/check")"
check --device-interval 10ms && fail "too short an interval is taken"
grep -q 'interval' "$room/check" || fail "$(cat "$room/check")"
echo "ok: bad settings are refused"

#  --- Three nodes, of which one has devices --------------------------------------------------------------

node_args=(--node-log info --dram-capacity 16MiB --device-poll 100ms --device-interval 1s)
: >"$room/script-1"
export UMBP_MOCK_GPUS=2 UMBP_MOCK_SCRIPT=$room/script-1
start_node node-1 "tcp://127.0.0.1:*" --device-library "$mock"
endpoints+=("$(endpoint_of node-1 "${pids[-1]}")")
unset UMBP_MOCK_GPUS UMBP_MOCK_SCRIPT
start_node node-2 "tcp://127.0.0.1:*" --cluster-seeds "${endpoints[0]}" --device-library off
endpoints+=("$(endpoint_of node-2 "${pids[-1]}")")
#  ... and one whose library is not there, which starts all the same
start_node node-3 "tcp://127.0.0.1:*" --cluster-seeds "${endpoints[0]}" --device-library /nowhere/lib.so
endpoints+=("$(endpoint_of node-3 "${pids[-1]}")")
wait_cluster 3 || fail "they do not find each other"

until_true "two devices are well" holds '[.devices[] | select(.health == "ok")] | length == 2'
holds '.devices[0] | .node == "node-1" and .memory_mb == 24576 and .id == "GPU-0"' \
    || fail "$(devices)"                #  24 GiB are 24576 MB
holds '.libraries | map(select(.node == "node-2")) | .[0] | .state == "none"' || fail "$(devices)"
console devices >"$room/table" || fail "no table"
grep -qE '^node-1 +GPU-1 +mock .*24\.0 GiB .* ok' "$room/table" || fail "$(cat "$room/table")"
grep -q 'node-2: none: device/library is off' "$room/table" || fail "$(cat "$room/table")"
grep -q 'node-3: refused: .*/nowhere/lib.so: No such file' "$room/table" || fail "$(cat "$room/table")"
console devices node-2 >"$room/table" || fail "no table of one node"
grep -q GPU "$room/table" && fail "node-2 has devices of node-1"
console devices nobody 2>"$room/said" && fail "devices of nobody"
grep -q 'no member of that name' "$room/said" || fail "$(cat "$room/said")"

obey "fill 0 8GiB 4242" 1
until_true "memory in use is seen" holds '.devices[0].used_bytes == 8589934592'
until_true "... and by whom" holds '.devices[0].processes[0] | .pid == 4242 and (.own | not)'
holds '.devices[0] | .used_percent > 33 and .used_percent < 34' || fail "$(devices)"
console devices | grep -qE '8\.00 GiB +33\.3 %.* 4242 *$' || fail "$(console devices)"

obey "appear 5" 1
until_true "a device appears" holds '.devices | map(.id) | sort == ["GPU-0", "GPU-1", "GPU-5"]'
obey "vanish 1" 1
until_true "a device vanishes" holds '.devices | map(.id) | sort == ["GPU-0", "GPU-5"]'

obey "mute 5 5" 1
until_true "a device that says nothing fails" holds \
    '.devices[] | select(.id == "GPU-5") | .health == "failed" and .stale'
holds '.devices[] | select(.id == "GPU-0") | .health == "ok"' || fail "another fails too"
obey "mute 5 0" 1
until_true "... and is found again" holds '[.devices[] | select(.health == "ok")] | length == 2'

#  --- A driver that hangs ---------------------------------------------------------------------------------

obey "hang metrics 600s" 1
until_true "a call that hangs is told" holds \
    '.libraries | map(select(.node == "node-1")) | .[0] | .state == "stale"'
until_true "... and devices fail" holds 'all(.devices[]; .health == "failed" and .stale)'
console put key --text "still here" >/dev/null || fail "the node does not work any more"
[[ $(console get key -) == "still here" ]] || fail "other bytes"
(($(console --json stat device | jq .counters.calls_hung) >= 1)) || fail "not counted"
grep -q 'GetDeviceMetrics has not come back for' "$room/node-1.log" || fail "not logged"
obey "release" 1
until_true "it comes back" holds 'all(.devices[]; .health == "ok")'

obey "hang count 600s" 1
until_true "it hangs once more" holds \
    '.libraries | map(select(.node == "node-1")) | .[0] | .state == "stale"'
stop_cluster || fail "not all nodes ended well"
echo "ok: they leave in good order, the driver still hangs"
[[ $(find . -maxdepth 1 | sort) == "$files_before" ]] || fail "a file was left in $PWD"
