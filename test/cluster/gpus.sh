#!/usr/bin/env bash
#  test/cluster/gpus.sh - workers on accelerators of a node, as an operator has them: the mock's devices,
#  which vanish, fail and hang as a script says, a workers.json by hand, the console, a node that is
#  killed.
#
#      B=build test/cluster/gpus.sh            B: the build folder, else $UMBP_BUILD, else build
name=gpus
. "$(dirname "$0")/employer.sh"

mock=$(realpath "$B")/lib/libaccelerator_mock.so
[[ -r $mock ]] || { echo "$mock is missing: make all"; exit 1; }
: >"$room/script"
node_args+=(--worker-split 1500ms --worker-state-dir "$state" --device-library "$mock"
    --device-poll 100ms --device-interval 1s)

explain () {
    console workers
    console devices
}

obey () { echo "$1" >>"$room/script"; }
device () { ask devices devices "$1" "$2"; }
says () { [[ $(worker "$1" reason) == *"$2"* ]]; }
well () { [[ $(device "$1" health) == ok ]]; }
ill () { [[ $(device "$1" health) == "$2" ]]; }
happened () { console worker events | grep -qE "$1"; }
gauge () { (($(console --json stat "$1" | python3 -c 'import json, sys
print (json.load (sys.stdin)["counters"][sys.argv[1]])' "$2") == $3)); }

#  By the device actor, or by the worker, whoever is the first to see that it is too late
undone () { gauge device splits_undone 1 || gauge device joins 1; }

start () {
    export UMBP_MOCK_GPUS=3 UMBP_MOCK_SCRIPT=$room/script
    begin
    unset UMBP_MOCK_GPUS UMBP_MOCK_SCRIPT
}

#  --- Pending, DeviceAllocating, Running -------------------------------------------------------------

start
write workers.json <<'END'
[{"WorkerUID": "busy", "AllocatedDevices": ["GPU-0"], "IsolationMode": "soft", "Status": "Pending",
  "WorkerRunningInfo": {"executable": "/bin/sleep", "args": ["1000"]}},
 {"WorkerUID": "one", "AllocatedDevices": ["GPU-1"], "IsolationMode": "shared", "Status": "Pending"},
 {"WorkerUID": "two", "AllocatedDevices": ["GPU-1"], "IsolationMode": "shared", "Status": "Pending"}]
END
until_true "a worker runs on a device that was found" runs busy
first=$(worker busy pid)
seen+=" $first"
until_true "another has one for itself" is one state Running
until_true "who wants it too waits, and says for whom" says two 'GPU-1: worker one has it'
is two state DeviceAllocating || fail "it is $(worker two state)"
happened 'busy +state +DeviceAllocating' || fail "no event"
[[ $(device GPU-0 workers) == "['busy']" && $(device GPU-1 workers) == "['one']" ]] \
    || fail "devices do not say who has them"
until_true "the device actor counts what is held" gauge device held 2
console devices | grep -qE 'GPU-0 .* ok .* busy' || fail "$(console devices)"
python3 - "$state/devices.json" <<'END' || fail "devices.json: $(cat "$state/devices.json")"
import json, sys
rows = {d["UUID"]: d for d in json.load(open(sys.argv[1]))}
assert sorted(rows) == ["gpu-0", "gpu-1", "gpu-2"], rows
assert rows["gpu-0"]["Healthy"] is True and rows["gpu-0"]["Model"] == "Mock-RTX-4090", rows
END
console worker release one >/dev/null || fail "release"
until_true "it is next, not in 30 s" is two state Running
is one state Terminated || fail "one is $(worker one state)"

#  --- A device vanishes, and comes back ---------------------------------------------------------------

obey "vanish 0"
until_true "a worker says that its device is lost" is busy device_lost True
until_true "... the device is missing, not forgotten" ill GPU-0 missing
happened 'busy +device lost +Running' || fail "no event: $(console worker events)"
is busy state Running || fail "it is $(worker busy state)"
alive "$first" || fail "its process was ended"
console worker allocate other soft GPU-0 >/dev/null 2>"$room/said" && fail "it is given away"
grep -q 'GPU-0: this device is ' "$room/said" || fail "$(cat "$room/said")"
kill -KILL "$first"
until_true "its process is not started again there" is busy pid 0
console workers | grep -qE 'busy +Running, device lost +soft +(waits|starts in)' \
    || fail "$(console workers)"
obey "appear 0"
until_true "... before it is back" runs busy "$first"
happened 'busy +device back' || fail "no event: $(console worker events)"
second=$(worker busy pid)
seen+=" $second"

#  --- A driver that hangs while it makes a partition -----------------------------------------------------

python3 - "$state/devices.json" <<'END' >"$room/devices" || fail "devices.json"
import json, sys
rows = json.load(open(sys.argv[1]))
for row in rows:
    if row["UUID"] == "gpu-2": row.update(IsolationPolicy="Static", IsolationMode="partitioned")
print(json.dumps(rows))
END
write devices.json <"$room/devices"
part () { console worker allocate "$1" partitioned:1g.3gb GPU-2 >/dev/null 2>"$room/said"; }
until_true "a partition is made" part part
[[ $(device GPU-2-partition-0 parent) == GPU-2 ]] || fail "no partition"
obey "hang split 600s"
part late && fail "a partition of a driver that hangs"
grep -q 'ETIMEDOUT' "$room/said" || fail "$(cat "$room/said")"
runs busy || fail "others do not run on"
obey "release"
until_true "what it made too late is taken back" undone
until_true "... and nothing is left over" gauge device partitions 1
until_true "the device is well again" well GPU-2
gauge worker partitions_leaked 0 || fail "a partition is lost"

#  --- A node that is killed ---------------------------------------------------------------------------

kill_node
alive "$second" || fail "the process went with its node"
start
until_true "who comes after it takes the process over" is busy pid "$second"
until_true "... and the partition" gauge device partitions 1
is part state Running || fail "part is $(worker part state)"
console worker release part >/dev/null || fail "release: $(console workers)"
until_true "which can be taken back" gauge device partitions 0
write workers.json <<<'[]'
until_true "no record, no process" dead "$second"
until_true "no worker, no device in use" gauge device held 0
stop_cluster || fail "the node does not end well"
echo "ok: it leaves in good order"
