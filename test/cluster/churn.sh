#!/usr/bin/env bash
#  test/cluster/churn.sh - a node joins and one leaves every 5 s, for $CHURN_SECONDS, 120 by default;
#  others are killed or stand still and come back, $TURNS times each: a block that is there all the
#  time is found every time, and so is what the one that returned holds.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${UMBP_BUILD:-${B:-build}}
for test in test_churn test_return; do
    [[ -x $build/test/$test ]] \
        || { echo "$build/test/$test is missing: make check-cluster builds it"; exit 1; }
done
UMBP_CHURN_SECONDS=${CHURN_SECONDS:-120} timeout -k 10 500 "$build/test/test_churn"
UMBP_TURNS=${TURNS:-6} timeout -k 10 290 "$build/test/test_return"
