#!/usr/bin/env bash
#  test/tier/all.sh - every test of the tiers, by what it holds: randomised ones with several seeds, crashes many times at
#  each point, scripts that `make check` leaves out. $UMBP_BUILD: the build folder; $UMBP_ROUNDS: crashes at a point (25).
#
#      make check-tiers
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${UMBP_BUILD:-build}
rounds=${UMBP_ROUNDS:-25}
logs=$B/test/tiers
mkdir -p "$logs"
passed=0 failed=0 skipped=0

#  one LABEL COMMAND...: a line, and what it said if it failed
one () {
    local label=$1 start=$SECONDS log=$logs/$((passed + failed + skipped)).log rc
    shift
    "$@" >"$log" 2>&1
    rc=$?
    case $rc in
    0)  passed=$((passed + 1)) && echo "PASS  $label ($((SECONDS - start)) s)" ;;
    77) skipped=$((skipped + 1)) && echo "SKIP  $label: $(tail -n 1 "$log")" ;;
    *)  failed=$((failed + 1)) && echo "FAIL  $label: $* (exit $rc)" && tail -n 60 "$log" | sed 's/^/    /' ;;
    esac
}

#  What it is about, then tests of it: NAME once, NAME*N so often, each time with another seed
about () {
    local name times turn seed
    echo "== $1"
    shift
    for name in "$@"; do
        times=1
        [[ $name != *\** ]] || times=${name#*\*}
        name=${name%\**}
        [[ -x $B/test/$name ]] || { echo "FAIL  $B/test/$name is missing" && failed=$((failed + 1)) && continue; }
        for ((turn = 0; turn < times; turn++)); do
            seed=$((turn ? RANDOM : 1))
            UMBP_SEED=$seed one "$name, seed $seed" "$B/test/$name" $seed
        done
    done
}

about "The segment log: recovery, torn writes, bit flips, ENOSPC, EIO, read-only, bounds" \
    test_log*4 test_log_faults*4 test_log_tombs*2
one "test_log_crash, kill -9 $rounds times at each point, and loss of power" "$B/test/test_log_crash" $RANDOM "$rounds"
one "file systems: full, read-only" test/tier/filesystems.sh
about "The disk tier: staging, single flight, restart, removal, bounds" \
    test_depot test_store_rest test_cold*2 test_put_slices*2 test_bounds_disk test_bounds
about "The shared tier: crashes at each point, faults, several nodes" \
    test_shelf*3 test_shelf_crash*2 test_shelf_faults*2 test_shelf_slow*2 test_shelf_others*2 test_shared*2 test_shared_ill
about "HBM: device memory, views, eviction, bounds" \
    test_vram*2 test_hbm*2 test_device_view test_bounds_device test_device_memory test_devmem
about "Devices and workers" \
    test_device test_device_table test_worker test_worker_state test_worker_process test_worker_allocate test_worker_devices \
    test_worker_run
about "Migration: budgets, classes, storms, to and fro, crashes" \
    test_migrator test_migrator_owner test_near_disk*2 test_governor test_admit test_budget*3 test_moves*2 test_moves_crash*2 \
    test_storm*2 test_middle*2 test_slow_below
about "Pressure: levels, ladder, balloon, journal" test_pressure*2 test_pressure_node test_ladder test_balloon*3
about "Eviction: policies, the trace, several nodes" \
    test_policy*3 test_policy_store*2 test_policy_trace test_policy_nodes test_order test_store
echo "== Whole nodes"
for name in tiers shelf hbm pressure devices gpus workers replay; do
    one "test/cluster/$name.sh" "test/cluster/$name.sh"
done
one "chaos with disks" env ARGS=--disks MINUTES=2 SEED=$RANDOM test/cluster/chaos.sh

echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
