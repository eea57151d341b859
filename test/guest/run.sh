#!/usr/bin/env bash
#  test/guest/run.sh - `make check-rdma`: the RDMA transport on real verbs in a virtual machine,
#  with faults, and its speed beside perftest's in the same machine. About 2 minutes on an idle host
#  with two cores, and 30 s more the first time, for the kernel. $SEED draws the tests again. The
#  last line counts the tests.
set -euo pipefail
cd "$(dirname "$0")"
export UMBP_BUILD=${UMBP_BUILD:-$PWD/../../build}

start_s=$SECONDS
log=$UMBP_BUILD/test/guest.log
mkdir -p "${log%/*}"
PATH=$PATH:/usr/sbin:/sbin
status=0
./guest.sh -t "${LIMIT_S:-590}" -b "$UMBP_BUILD/test/guest-verbs" -b ib_write_bw -b ib_read_bw \
    -f "$UMBP_BUILD/lib/libumbp-verbs.so:/lib/libumbp-verbs.so" \
    -f "$PWD/inside.sh:/bin/inside" -- inside "${SEED:-$RANDOM}" | tee "$log" || status=$?
echo "check-rdma took $((SECONDS - start_s)) s"
if ((status)); then
    echo "check-rdma: failed with status $status, see $log" >&2
    exit "$status"
fi
awk '$1 == "tests" { printf "%d passed, %d failed, 0 skipped\n", $4, $5 }' "$log"
