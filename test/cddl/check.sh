#!/usr/bin/env bash
#  test/cddl/check.sh - is proto/umbp.cddl what the message table says? Does our codec keep to it,
#  and do the examples of doc/protocol.md?
#
#      test/cddl/check.sh              compares and validates. 77: rules agree, pycddl is missing
#      test/cddl/check.sh write        writes proto/umbp.cddl
#
#  B is the build folder. COUNT messages of each type are made up from SEED.
set -euo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
COUNT=${COUNT:-100}
SEED=${SEED:-$RANDOM}
python=$B/venv/bin/python
[[ -x $python ]] || python=python3

mkdir -p "$B/test"
[[ -e $B/.gitignore ]] || echo "*" >"$B/.gitignore"
read -ra libs <<<"$(pkg-config --cflags --libs libcbor)"
for program in print_cddl make_messages; do
    "${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -I. "test/cddl/$program.c" proto/*.c "${libs[@]}" \
        -o "$B/test/$program"
done

if [[ ${1:-} == write ]]; then
    "$B/test/print_cddl" >"$B/test/umbp.cddl"
    cp "$B/test/umbp.cddl" proto/umbp.cddl
    exit
fi
"$B/test/print_cddl" | diff -u --label proto/umbp.cddl --label 'the message table' \
    proto/umbp.cddl - || { echo "they differ: run test/cddl/check.sh write"; exit 1; }
echo "seed $SEED"
"$B/test/make_messages" "$COUNT" "$SEED" | "$python" test/cddl/validate.py \
    proto/umbp.cddl doc/protocol.md
