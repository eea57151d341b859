#!/usr/bin/env bash
#  test/cluster/workers.sh - workers of a node, as an operator has them: a file that is edited by hand,
#  processes that are kept running, a node that is killed and takes them over, the console.
#
#      B=build test/cluster/workers.sh         B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

B=${B:-${UMBP_BUILD:-build}}
for program in "$B/bin/umbp-node" "$B/bin/umbp-console"; do
    [[ -x $program ]] || { echo "$program is missing: make all"; exit 1; }
done
for setting in ${!UMBP_*} TENSOR_FUSION_STATE_DIR TF_LOG_PATH XDG_STATE_HOME; do
    unset "$setting"                    #  Settings of whoever runs us
done

cluster=workers-$$
room=$(mktemp -d "/tmp/umbp-workers-XXXXXX")
state=$room/state
mkdir -m 700 "$state"
node_args=(--node-log info --dram-capacity 8MiB --dram-page 4KiB --worker-backoff 60ms
    --worker-grace 500ms)
. deploy/cluster.sh

#  Nodes first, then what they would have gone on with: by the numbers that were seen
cleanup () {
    cluster_cleanup
    for pid in $seen; do
        grep -qz "^TENSOR_FUSION_STATE_DIR=$state$" "/proc/$pid/environ" 2>/dev/null \
            && kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$room"
}
seen=
trap cleanup EXIT

fail () {
    echo "FAILED: $1"
    cat "$state/workers.json" 2>/dev/null
    tail -n 30 "$room"/*.log 2>/dev/null
    exit 1
}

until_true () {
    local what=$1 end=$((SECONDS + 90))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "$what: not within 90 s"
        sleep 0.1
    done
    echo "ok: $what"
}

console () { timeout 60 "$B/bin/umbp-console" --timeout 20s --endpoint "${endpoints[-1]}" "$@"; }

#  worker UID KEY: what the console knows of it
worker () {
    console --json workers | python3 -c '
import json, sys
for w in json.load(sys.stdin)["workers"]:
    if w["uid"] == sys.argv[1]: print(w[sys.argv[2]])' "$1" "$2"
}
is () { [[ $(worker "$1" "$2") == "$3" ]]; }
runs () { local pid; pid=$(worker "$1" pid); [[ -n $pid && $pid != 0 && $pid != "${2:-0}" ]]; }
alive () { [[ -e /proc/$1 && $(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null) != Z ]]; }
dead () { ! alive "$1"; }
said () { grep -q "$1" "$room/node-1.log"; }

#  write NAME: stdin, as editors do it
write () { cat >"$room/edited" && mv "$room/edited" "$state/$1"; }

start () {
    start_node node-1 "tcp://127.0.0.1:$(free_port)" "$@"
    endpoints+=("$(endpoint_of node-1 "${pids[-1]}")") || fail "the node does not start"
}

#  --- Settings ----------------------------------------------------------------------------------------

"$B/bin/umbp-node" --check-config --worker-state-dir relative >"$room/check" 2>&1 \
    && fail "a relative folder is taken"
grep -q 'worker/state_dir: must be an absolute path' "$room/check" || fail "$(cat "$room/check")"
"$B/bin/umbp-node" --check-config --worker-isolation wild >"$room/check" 2>&1 \
    && fail "an isolation that is none"
start
console workers >/dev/null 2>"$room/check" && fail "workers without a folder"
stop_cluster || fail "the node does not end well"
pids=()
endpoints=()
echo "ok: without a folder there is no such actor"
export XDG_STATE_HOME=$room/xdg
start --worker-state-dir auto
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
start
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
console worker start busy >/dev/null || fail "start"
until_true "started by hand" runs busy "$second"
third=$(worker busy pid)
seen+=" $third"
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

kill -KILL "${pids[-1]}"
wait "${pids[-1]}" 2>/dev/null
pids=()
write workers.json <<'END'
[{"WorkerUID": "busy", "AllocatedDevices": ["gpu-0"], "IsolationMode": "soft", "Status": "Running",
  "WorkerRunningInfo": {"executable": "/bin/sh",
        "args": ["-c", "echo worker $WORKER_ID on $NVIDIA_VISIBLE_DEVICES port $0; exec sleep 1000",
                 "<port>"]}}]
END
alive "$third" || fail "the process went with its node"
start --worker-state-dir "$state"
until_true "a node that was killed takes over, though the file has no pid" is busy pid "$third"
said 'took over pid' || fail "it does not say so"
stop_cluster || fail "the node does not end well"
pids=()
alive "$third" || fail "the process went with its node, in good order"
start --worker-state-dir "$state"
until_true "so does one that ended in good order" is busy pid "$third"
"$B/bin/umbp-node" --node-id node-2 --network-listen "tcp://127.0.0.1:$(free_port)" \
    --worker-state-dir "$state" >"$room/second" 2>&1 && fail "two nodes in one folder"
grep -q 'another node uses this folder' "$room/second" || fail "$(cat "$room/second")"
write workers.json <<<'[]'
until_true "no record, no process" dead "$third"
[[ $(console --json workers | tr -d ' ') == *'"workers":[]'* ]] || fail "it is still listed"
stop_cluster || fail "the node does not end well"
echo "ok: it leaves in good order"
