#!/usr/bin/env bash
#  test/fuzz/run.sh BUILD SECONDS FUZZER... - runs each fuzzer for so long, $FUZZ_JOBS (2) at a time,
#  from the kept corpus and what was found in BUILD before, and says how far it came. Fails if one
#  found something, once all have had their time.
set -euo pipefail
build=$1 seconds=$2
shift 2

fuzz () {
    local fuzzer=$1 name=${1#fuzz_} log=$build/$1.log
    mkdir -p "$build/corpus/$name"
    if ! "$build/test/$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/$name-" "$build/corpus/$name" \
        "test/fuzz/corpus/$name" >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log"
        echo "FAIL  $fuzzer: the input is in $build/$name-*, all it said in $log"
        return 1
    fi
    awk -v name="$fuzzer" '
        / cov: / { for (at = 1; at < NF; at++) { if ($at == "cov:") cov = $(at + 1)
                                                 if ($at == "corp:") kept = $(at + 1) } }
        /number_of_executed_units/ { runs = $2 }
        /average_exec_per_sec/ { speed = $2 }
        END { split (kept, parts, "/")
              printf "PASS  %s: %d runs, %d a second, %d edges seen, %d inputs kept\n", \
                     name, runs, speed, cov, parts[1] }' "$log"
}

failed=0
for fuzzer in "$@"; do
    while (($(jobs -rp | wc -l) >= ${FUZZ_JOBS:-2})); do
        wait -n || failed=1
    done
    fuzz "$fuzzer" &
done
while [[ $(jobs -p) ]]; do
    wait -n || failed=1
done
exit $failed
