#!/usr/bin/env bash
#  test/cluster/chaos.sh - real nodes under load, and what breaks them, drawn from a seed: see
#  test/chaos/chaos.py. SEED, and MINUTES, three by default; ARGS for chaos.py.
. "$(dirname "$0")/../chaos/prepare.sh"

# shellcheck disable=SC2086
exec python3 test/chaos/chaos.py ${SEED:+--seed "$SEED"} \
    --seconds "$(python3 -c "print (60 * ${MINUTES:-3})")" ${ARGS:-}
