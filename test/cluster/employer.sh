#  test/cluster/employer.sh - to be sourced by tests of a node with workers: room.sh, of which all
#  that is said there holds, with a folder for their records, $state. No process of them is left at
#  the end, whatever happened, if its number was added to $seen. Then
#
#      begin FLAG...                    the node, until it is there; a second time: once more
#      kill_node                        at once, and it leaves its workers behind
#      console COMMAND...               to the last node that began
#      write NAME                       stdin to a file of $state, as editors do it
#      ask COMMAND LIST ID KEY          a member of the row of that id, as the console has it
#      worker UID KEY                   the same, of a worker
#      is UID KEY VALUE                 whether it is that
#      runs UID [PID]                   whether it has a process, and another one than that
#      alive PID, dead PID              who waits to be buried is dead
. "$(dirname "${BASH_SOURCE[0]}")/room.sh"

# shellcheck disable=SC2034,SC2154
node_args=(--node-log info --dram-capacity 8MiB --dram-page 4KiB --worker-backoff 60ms
    --worker-grace 500ms)
state=$room/state
mkdir -m 700 "$state"

#  Nodes first, then what they would have gone on with: by the numbers that were seen
seen=
cleanup () {
    local pid
    cluster_cleanup
    for pid in $seen; do
        grep -qz "^TENSOR_FUSION_STATE_DIR=$state$" "/proc/$pid/environ" 2>/dev/null \
            && kill -KILL "$pid" 2>/dev/null
    done
    room_cleanup
}
trap cleanup EXIT

begin () {
    start_node node-1 "tcp://127.0.0.1:$(free_port)" "$@"
    endpoints+=("$(endpoint_of node-1 "${pids[-1]}")") || fail "the node does not start"
}

kill_node () {
    kill -KILL "${pids[-1]}"
    wait "${pids[-1]}" 2>/dev/null
    pids=()
}

console () { timeout 60 "$B/bin/umbp-console" --timeout 20s --endpoint "${endpoints[-1]}" "$@"; }
write () { cat >"$room/edited" && mv "$room/edited" "$state/$1"; }
alive () { [[ -e /proc/$1 && $(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null) != Z ]]; }
dead () { ! alive "$1"; }

ask () {
    console --json "$1" | python3 -c '
import json, sys
for row in json.load(sys.stdin)[sys.argv[1]]:
    if row.get("uid", row.get("id")) == sys.argv[2]: print(row.get(sys.argv[3], ""))' "$2" "$3" "$4"
}
worker () { ask workers workers "$1" "$2"; }
is () { [[ $(worker "$1" "$2") == "$3" ]]; }
runs () { local pid; pid=$(worker "$1" pid); [[ -n $pid && $pid != 0 && $pid != "${2:-0}" ]]; }
