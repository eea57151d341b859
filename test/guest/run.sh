#!/usr/bin/env bash
#  test/guest/run.sh - `make check-rdma`: the RDMA transport, and put and get of real nodes by it, on
#  real verbs in a virtual machine, with faults, and its speed beside perftest's in the same machine.
#  About 5 minutes on an idle host with two cores, and 30 s more the first time, for the kernel. $SEED
#  draws the tests again. The last line counts the tests.
set -euo pipefail
cd "$(dirname "$0")"
export UMBP_BUILD=${UMBP_BUILD:-$PWD/../../build}

start_s=$SECONDS
log=$UMBP_BUILD/test/guest.log
mkdir -p "${log%/*}"
PATH=$PATH:/usr/sbin:/sbin
status=0
programs=()
for program in verbs keys faults blocks leases migrate devices; do
    programs+=(-b "$UMBP_BUILD/test/guest-$program")
done
./guest.sh -t "${LIMIT_S:-900}" "${programs[@]}" \
    -b "$UMBP_BUILD/bin/umbp-node" -b "$UMBP_BUILD/bin/umbp-console" -b ib_write_bw -b ib_read_bw \
    -f "$UMBP_BUILD/lib/libumbp-verbs.so:/lib/libumbp-verbs.so" \
    -f "$UMBP_BUILD/test/accel/libcuda.so:/lib/libcuda.so.1" \
    -f "$PWD/inside.sh:/bin/inside" -- inside "${SEED:-$RANDOM}" | tee "$log" || status=$?
echo "check-rdma took $((SECONDS - start_s)) s"
if ((status)); then
    echo "check-rdma: failed with status $status, see $log" >&2
    exit "$status"
fi
awk '$1 == "tests" { passed += $4; failed += $5 } END {
    printf "%d passed, %d failed, 0 skipped\n", passed, failed }' "$log"
