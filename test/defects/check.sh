#!/usr/bin/env bash
#  test/defects/check.sh - does each test that doc/defects.md, doc/accelerators.md and the decisions
#  about memory name exist? A test of C has to be run by its program as well; one of
#  test/chaos/cases.py has to be a case. And links.sh: do links between pages lead somewhere?
set -euo pipefail
cd "$(dirname "$0")/../.."

failed=0
complain () {
    echo "$page: $1"
    failed=1
}

#  check_page PAGE LEAST: that many tests are named there, at least
check_page () {
    page=$1 count=0
    while IFS='|' read -r _ mode path name _; do
        path=${path// /} name=${name// /}
        [[ $path == test/* ]] || continue
        count=$((count + 1))
        if [[ ! -f $path ]]; then
            complain "$path is not there:$mode"
        elif [[ $path == *.sh ]]; then
            [[ -x $path && ! $name ]] || complain "$path cannot be run, or has no test $name"
        elif [[ $path == *.py ]]; then
            grep -q "\"$name\": ($name," "$path" || complain "$path has no case $name:$mode"
        else
            grep -q "^static void $name (void)" "$path" || complain "$path has no $name:$mode"
            (($(grep -c "\<$name\>\|TEST (${name#test_})" "$path") > 1)) \
                || complain "$path does not run $name:$mode"
        fi
    done <"$page"
    ((count >= $2)) || complain "only $count tests are found in it"
    ((failed)) || echo "$count tests are where $page says"
}

check_page doc/defects.md 40
check_page doc/accelerators.md 50
for decision in doc/decisions/DR-MEM-*.md; do
    check_page "$decision" 8
done
test/defects/links.sh || failed=1
exit $failed
