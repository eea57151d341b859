#!/usr/bin/env bash
#  test/cluster/pressure.sh - a node and a neighbour in one memory cgroup: the neighbour takes memory until the node
#  says level 3. The node gives its own back to the system meanwhile, and takes it again when the neighbour is
#  gone. RUNS times, and nobody is killed for want of memory. Skipped where no memory cgroup can be made.
#
#      B=build RUNS=20 test/cluster/pressure.sh     B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
RUNS=${RUNS:-20}
LIMIT=$((192 << 20))
for tool in jq python3; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
for program in "$B/bin/umbp-node" "$B/bin/umbp-console"; do
    [[ -x $program ]] || { echo "$program is missing: make all"; exit 1; }
done

#  --- A cgroup ------------------------------------------------------------------------------------------

#  Below our own where we may, of version 2 or 1; sets group, and names of what is in it
make_group () {
    local own root
    root=/sys/fs/cgroup
    if [[ -f $root/cgroup.controllers ]] && grep -qw memory "$root/cgroup.controllers"; then
        group=$root/umbp-test-$$
        limit=memory.max usage=memory.current events=memory.events
        mkdir "$group" 2>/dev/null || return 1
    else
        own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)
        [[ -d $root/memory ]] || return 1
        [[ -d $root/memory$own ]] || own=
        group=$root/memory$own/umbp-test-$$
        limit=memory.limit_in_bytes usage=memory.usage_in_bytes events=memory.oom_control
        mkdir "$group" 2>/dev/null || return 1
    fi
    echo "$LIMIT" 2>/dev/null >"$group/$limit" && [[ $(<"$group/$limit") == "$LIMIT" ]] && return 0
    rmdir "$group"
    return 1
}

make_group || { echo "no memory cgroup can be made here: skipped"; exit 77; }
#  Bytes used, without clean file pages, as the node counts them
used_now () {
    local files
    files=$(awk '$1 ~ /^(total_)?(in)?active_file$/ { sum[$1 ~ /^total_/] += $2 }
                 END { print (1 in sum) ? sum[1] : sum[0] + 0 }' "$group/memory.stat")
    echo $(($(<"$group/$usage") - files))
}
kills () { awk '$1 == "oom_kill" { print $2 }' "$group/$events"; }

room=$(mktemp -d /tmp/umbp-p-XXXX)
node= hog=
cleanup () {
    exec 7>&-
    for pid in $hog $node; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    for _ in {1..100}; do
        rmdir "$group" 2>/dev/null && break
        sleep 0.05
    done
    rm -rf "$room"
}
trap cleanup EXIT
fail () {
    echo "FAILED: $1"
    sed 's/^/    /' "$room/log" | tail -30
    exit 1
}

#  --- The node ------------------------------------------------------------------------------------------

for name in ${!UMBP_*}; do
    unset "$name"
done
mkdir "$room/run"
(
    echo $BASHPID >"$group/cgroup.procs"
    exec "$B/bin/umbp-node" --network-listen "tcp://127.0.0.1:0" --node-run-dir "$room/run" \
        --node-id pressed --dram-capacity 64MiB --dram-region 16MiB --dram-page 4KiB \
        --index-keys 10000 --extkv-hashes 10000 --node-log info --rdma-use off \
        --pressure-mode act --pressure-rise 250ms --pressure-fall 250ms --pressure-quiet 250ms \
        --pressure-calm 300ms --pressure-keep 50 --pressure-some - --pressure-full -
) >"$room/log" 2>&1 &
node=$!
endpoint=
for _ in {1..300}; do
    endpoint=$(grep -so 'tcp://127.0.0.1:[1-9][0-9]*' "$room/log" | head -1)
    [[ $endpoint ]] && break
    kill -0 $node 2>/dev/null || fail "the node does not start"
    sleep 0.1
done
[[ $endpoint ]] || fail "the node does not say where it listens"
ask () { timeout 60 "$B/bin/umbp-console" --json --timeout 4s --endpoint "$endpoint" "$@"; }
field () { ask pressure | jq -r "$1"; }
#  Sets level, memory used, what is left, per mille, and what the tier holds, as the node sees it. Asked again: a
#  cgroup at its limit has no memory for a packet now and then, and TCP is patient
look () {
    local said
    for _ in {1..20}; do
        said=$(ask pressure 2>/dev/null | jq -r '"\(.level) \(.signals.used_bytes) \(
            .signals.available_permille) \(.signals.tier_bytes)"' 2>/dev/null)
        if [[ $said =~ ^[0-9]+\ [0-9]+\ [0-9]+\ [0-9]+$ ]]; then
            read -r level used left capacity <<<"$said"
            return
        fi
        kill -0 $node 2>/dev/null || fail "the node is gone"
    done
    fail "the node does not answer"
}
for _ in {1..100}; do
    ask put block --text "some bytes" >/dev/null 2>&1 && break
    sleep 0.1
done
look
version=$(field .signals.cgroup_version)
for _ in {1..100}; do
    [[ $(field .signals.tier_bytes) == $((64 << 20)) ]] && break     #  It has looked around
    sleep 0.05
done
[[ $(field .signals.limit_bytes) == "$LIMIT" ]] || fail "the node does not see the limit of its cgroup"
shmem () { awk '/RssShmem/ { print $2 }' "/proc/$node/status"; }
full=$(shmem)

#  --- The neighbour -------------------------------------------------------------------------------------

#  Takes so many KiB for each line
start_hog () {
    mkfifo "$room/hog"
    : >"$room/said"
    (
        echo $BASHPID >"$group/cgroup.procs"
exec python3 -c '
import sys
kept = []
for line in sys.stdin:
    kept.append (b"x" * (int (line) * 1024))
    print (len (kept), flush=True)
' <"$room/hog" >>"$room/said" 2>&1
    ) &
    hog=$!
    exec 7>"$room/hog"
    rm "$room/hog"
}
stop_hog () {
    exec 7>&-
    wait "$hog"
    hog=
}
take () {
    local before
    before=$(wc -l <"$room/said")
    echo "$1" >&7
    for _ in {1..500}; do
        (($(wc -l <"$room/said") > before)) && return
        kill -0 "$hog" 2>/dev/null || fail "the neighbour is gone: killed for want of memory?"
        sleep 0.01
    done
    fail "the neighbour takes no memory"
}

least=$full
for ((run = 1; run <= RUNS; run++)); do
    start_hog
    for _ in {1..1000}; do
        look
        ((level >= 3)) && break
        #  Half the way to 3 % once the node has seen what was taken before; from 4 % on it is to act
        is=$(used_now)
        if ((left > 38 && is - used < 1 << 20 && used - is < 1 << 20)); then
            take $(((left - 30) * (LIMIT / 1000) / 2 / 1024 + 64))
        fi
        sleep 0.02
    done
    ((level >= 3)) || fail "run $run: level $level with $left per mille left, never 3"
    now=$(shmem)
    ((now < least)) && least=$now
    stop_hog
    [[ $(kills) == 0 ]] || fail "run $run: $(kills) processes were killed for want of memory"
    kill -0 $node 2>/dev/null || fail "run $run: the node is gone"
    for _ in {1..300}; do
        look
        ((level == 0 && capacity == 64 << 20)) && break
        sleep 0.05
    done
    ((level == 0)) || fail "run $run: level $level long after the neighbour left"
    ((capacity == 64 << 20)) || fail "run $run: the tier did not grow again: $capacity"
done
[[ $(kills) == 0 ]] || fail "processes were killed for want of memory"
echo "ok: cgroup version $version, $RUNS runs to level 3, no process was killed"
((least < full - 8 * 1024)) || fail "the node gave no memory back: $full KiB, at least $least KiB"
echo "ok: memory of blocks was $full KiB, at the least $least KiB, and is $(shmem) KiB again"
[[ $(grep -c 'step\|relax' "$room/log") -gt 0 ]] || fail "no step in the log"
order=$(grep -o 'pressure: \(relax\|reduce\|suspend\)' "$room/log" | awk '!seen[$2]++ { print $2 }' | paste -sd' ')
[[ $order == "relax reduce suspend" ]] || fail "steps in another order: $order"
echo "ok: steps were taken in order: $order"
