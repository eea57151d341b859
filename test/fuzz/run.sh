#!/usr/bin/env bash
#  test/fuzz/run.sh BUILD SECONDS FUZZER... - runs each fuzzer for so long, from the kept corpus and
#  what was found in BUILD before, and says how far it came. The first that finds something ends it.
set -euo pipefail
build=$1 seconds=$2
shift 2

for fuzzer in "$@"; do
    name=${fuzzer#fuzz_} log=$build/$fuzzer.log
    mkdir -p "$build/corpus/$name"
    if ! "$build/test/$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/$name-" "$build/corpus/$name" \
        "test/fuzz/corpus/$name" >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log"
        echo "FAIL  $fuzzer: the input is in $build/$name-*, all it said in $log"
        exit 1
    fi
    awk -v name="$fuzzer" '
        / cov: / { for (at = 1; at < NF; at++) { if ($at == "cov:") cov = $(at + 1)
                                                 if ($at == "corp:") kept = $(at + 1) } }
        /number_of_executed_units/ { runs = $2 }
        /average_exec_per_sec/ { speed = $2 }
        END { split (kept, parts, "/")
              printf "PASS  %s: %d runs, %d a second, %d edges seen, %d inputs kept\n", \
                     name, runs, speed, cov, parts[1] }' "$log"
done
