#!/usr/bin/env bash
#  test/cluster/loss.sh - kill -9 of one of three nodes under load: nothing that lives elsewhere is
#  missed at any time. A new node is told of many blocks under load: nobody is suspected, no call
#  fails, and it ends. $LOST_KEYS and $RESYNC_KEYS; resync.sh does the same at size.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
bench=${UMBP_BUILD:-${B:-build}}/bin/umbp-bench
[[ -x $bench ]] || { echo "$bench is missing: make all builds it"; exit 1; }
timeout -k 10 400 "$bench" resync --keys "${RESYNC_KEYS:-200000}" || exit 1
timeout -k 10 400 "$bench" lost --keys "${LOST_KEYS:-60000}" || exit 1
