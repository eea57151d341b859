#!/usr/bin/env bash
#  test/cluster/workers.sh - workers of a node, as an operator has them: a file that is edited by hand,
#  processes that are kept running, a node that is killed and takes them over, the console.
#
#      B=build test/cluster/workers.sh         B: the build folder, else $UMBP_BUILD, else build
name=workers
. "$(dirname "$0")/employer.sh"

explain () { cat "$state/workers.json" 2>/dev/null; }
stands () { [[ $(awk '/^State/ { print $2 }' "/proc/$1/status") == T ]]; }
alive_again () { alive "$1" && ! stands "$1"; }
said () { grep -q "$1" "$room/node-1.log"; }

#  --- Settings ----------------------------------------------------------------------------------------

"$B/bin/umbp-node" --check-config --worker-state-dir relative >"$room/check" 2>&1 \
    && fail "a relative folder is taken"
grep -q 'worker/state_dir: must be an absolute path' "$room/check" || fail "$(cat "$room/check")"
"$B/bin/umbp-node" --check-config --worker-isolation wild >"$room/check" 2>&1 \
    && fail "an isolation that is none"
begin
console workers >/dev/null 2>"$room/check" && fail "workers without a folder"
stop_cluster || fail "the node does not end well"
pids=()
endpoints=()
echo "ok: without a folder there is no such actor"
export XDG_STATE_HOME=$room/xdg
begin --worker-state-dir auto
unset XDG_STATE_HOME
[[ $(stat -c %a "$room/xdg/umbp") == 700 ]] || fail "auto: $(ls -la "$room/xdg")"
[[ $(console --json workers) == *"$room/xdg/umbp"* ]] || fail "auto is elsewhere"
stop_cluster || fail "the node does not end well"
pids=()
endpoints=()
echo "ok: auto is where the system keeps state"

#  --- A file by hand ------------------------------------------------------------------------------------

write devices.json <<'END'
[{"UUID": "gpu-0", "Vendor": "NVIDIA", "Index": 0}, {"UUID": "gpu-1", "Vendor": "NVIDIA", "Index": 1}]
END
export TENSOR_FUSION_STATE_DIR=$state
begin
unset TENSOR_FUSION_STATE_DIR
write workers.json <<'END'
[
  {
    "WorkerUID": "five-keys",
    "Namespace": "",
    "WorkerName": "my-worker",
    "AllocatedDevices": ["gpu-1"],
    "Status": "Pending"
  },
  {
    "WorkerUID": "busy", "WorkerName": "busy", "AllocatedDevices": ["gpu-0"], "IsolationMode": "soft",
    "Status": "Pending", "Mine": {"keep": true},
    "WorkerRunningInfo": {"type": "process", "executable": "/bin/sh",
        "args": ["-c", "echo worker $WORKER_ID on $NVIDIA_VISIBLE_DEVICES port $0; exec sleep 1000",
                 "<port>"]}
  }
]
END
until_true "an edit is picked up" is five-keys state Running
until_true "a process runs" runs busy
first=$(worker busy pid)
seen+=" $first"
logged () { grep -qE 'worker busy on GPU-0 port [0-9]+$' "$state"/logs/worker-busy-*.log; }
until_true "its log has what it says" logged
[[ $(stat -c %a "$state/workers.json") == 6[04]* ]] || fail "others may read workers.json"
python3 - "$state/workers.json" <<'END' || fail "the file"
import json, sys
rows = {w["WorkerUID"]: w for w in json.load(open(sys.argv[1]))}
assert rows["busy"]["Mine"] == {"keep": True} and rows["busy"]["Status"] == "Running", rows
assert rows["busy"]["WorkerRunningInfo"]["isRunning"] is True, rows
assert list(rows["five-keys"]) == ["WorkerUID", "Namespace", "WorkerName", "AllocatedDevices", "Status"], rows
END
console workers >"$room/table" || fail "no table"
grep -qE 'busy +Running +soft +[0-9]+ +0 +gpu-0' "$room/table" || fail "$(cat "$room/table")"

#  --- A process that is kept running ---------------------------------------------------------------------

kill -KILL "$first"
until_true "a process that was killed comes again" runs busy "$first"
until_true "and that is counted" is busy restarts 1
second=$(worker busy pid)
seen+=" $second"
console worker stop busy >/dev/null || fail "stop"
dead "$second" || fail "it was not stopped"
is busy stopped True || fail "it is not said to be stopped"
console worker freeze busy 2>/dev/null && fail "nothing can be frozen"
console worker start busy >/dev/null || fail "start"
until_true "started by hand" runs busy "$second"
third=$(worker busy pid)
seen+=" $third"
console worker freeze busy >/dev/null || fail "freeze"
is busy frozen True || fail "it is not said to be frozen"
until_true "it stands still" stands "$third"
console worker thaw busy >/dev/null || fail "thaw"
until_true "it goes on" alive_again "$third"
console worker allocate extra soft gpu-9 >/dev/null 2>"$room/check" && fail "an unknown device"
grep -q 'gpu-9: no such device' "$room/check" || fail "$(cat "$room/check")"
console worker allocate extra soft gpu-0 | grep -qx 'NVIDIA_VISIBLE_DEVICES=GPU-0' || fail "allocate"
console worker allocate more shared gpu-0 >/dev/null 2>"$room/check" && fail "modes are mixed"
console worker release extra >/dev/null || fail "release"
is extra state Terminated || fail "not terminated: $(worker extra state)"
console worker events | grep -qE 'extra +state +Terminated' || fail "no events"
console worker dance busy 2>/dev/null && fail "an unknown action"

echo '[{"WorkerUID": ' >"$state/workers.json"
until_true "a bad file is named" said 'workers.json:[0-9]*: no JSON.*not heeded'
runs busy || fail "a bad file ended a process"

#  --- A node that is killed --------------------------------------------------------------------------------

kill_node
write workers.json <<'END'
[{"WorkerUID": "busy", "AllocatedDevices": ["gpu-0"], "IsolationMode": "soft", "Status": "Running",
  "WorkerRunningInfo": {"executable": "/bin/sh",
        "args": ["-c", "echo worker $WORKER_ID on $NVIDIA_VISIBLE_DEVICES port $0; exec sleep 1000",
                 "<port>"]}}]
END
alive "$third" || fail "the process went with its node"
begin --worker-state-dir "$state"
until_true "a node that was killed takes over, though the file has no pid" is busy pid "$third"
said 'took over pid' || fail "it does not say so"
stop_cluster || fail "the node does not end well"
pids=()
alive "$third" || fail "the process went with its node, in good order"
begin --worker-state-dir "$state"
until_true "so does one that ended in good order" is busy pid "$third"
"$B/bin/umbp-node" --node-id node-2 --network-listen "tcp://127.0.0.1:$(free_port)" \
    --worker-state-dir "$state" >"$room/second" 2>&1 && fail "two nodes in one folder"
grep -q 'another node uses this folder' "$room/second" || fail "$(cat "$room/second")"
write workers.json <<<'[]'
until_true "no record, no process" dead "$third"
[[ $(console --json workers | tr -d ' ') == *'"workers":[]'* ]] || fail "it is still listed"
stop_cluster || fail "the node does not end well"
echo "ok: it leaves in good order"
