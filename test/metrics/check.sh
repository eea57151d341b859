#!/usr/bin/env bash
#  test/metrics/check.sh - is doc/metrics.md what the table of metrics says?
#
#      test/metrics/check.sh           compares
#      test/metrics/check.sh write     writes doc/metrics.md
#
#  B is the build folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
mkdir -p "$B/test"
[[ -e $B/.gitignore ]] || echo "*" >"$B/.gitignore"
"${CC:-cc}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -iquote proto \
    test/metrics/print_metrics.c actors/metrics.c -o "$B/test/print_metrics"
if [[ ${1:-} == write ]]; then
    "$B/test/print_metrics" >"$B/test/metrics.md"
    cp "$B/test/metrics.md" doc/metrics.md
    exit
fi
"$B/test/print_metrics" | diff -u --label doc/metrics.md --label 'actors/metrics.c' \
    doc/metrics.md - || { echo "they differ: run test/metrics/check.sh write"; exit 1; }
