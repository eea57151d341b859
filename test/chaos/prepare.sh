#  test/chaos/prepare.sh - to be sourced by the scripts that break things: goes to the root of the
#  tree, and finds the build that they are to use. UMBP_BUILD, else B, else build.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

UMBP_BUILD=$(realpath -m "${UMBP_BUILD:-${B:-build}}")
export UMBP_BUILD
command -v python3 >/dev/null || { echo "no python3 here"; exit 77; }
for program in bin/umbp-node bin/umbp-console test/chaos-{calls,load,verify,wire,clock.so}; do
    [[ -x $UMBP_BUILD/$program ]] \
        || { echo "$UMBP_BUILD/$program is missing: make chaos builds it"; exit 1; }
done

#  case_of NAME ARGUMENT...: ends the script if it fails; $some is 77 until one was not skipped
some=77
case_of () {
    echo "--- $*"
    timeout -k 10 300 python3 test/chaos/cases.py "$@"
    local rc=$?
    ((rc == 77)) && return
    ((rc == 0)) || exit $rc
    some=0
}
