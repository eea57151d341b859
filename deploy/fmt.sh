#!/usr/bin/env bash
#  deploy/fmt.sh - compares C files with the layout of deploy/clang-format, or gives it to them.
#
#      deploy/fmt.sh check FILE...     shows what differs, exits 1 if anything does
#      deploy/fmt.sh write FILE...     rewrites the lines that differ, and no others
#
#  clang-format decides about line breaks and indentation. The author decides how many spaces stand
#  inside a line (aligned tables, comments in a column), and about shapes that it cannot keep:
#  macros of several lines, rows of tables and initialisers, and a struct declared in one line.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -ge 2 && $1 =~ ^(check|write)$ ]] || { sed -n '2,9s/^#  \?//p' "$0"; exit 2; }
action=$1
shift

#  Put what stays as it is between two marks that clang-format knows
mark () {
    awk '
        function off () { if (!kept) print "/* clang-format off */"; kept = 1 }
        function on () { if (kept) print "/* clang-format on */"; kept = 0 }
        /^ *#.*\\$/ { off (); macro = 1 }
        /^ +(\{ |\[[^]]+\] = |\.[a-z0-9_.]+ = )|struct( [a-z_]+)? \{.*\}.*[{;]/ { off (); row = 1 }
        kept && !macro && !row { on () }
        { print; row = 0; macro = macro && /\\$/ }
        END { on () }
    ' "$1"
}

#  One space for several inside a line, none before a comment; and the same where clang-format 14
#  leaves out spaces against the rule, s_ops[type] (self) and (umbp_text_t) { "", 0 }, or takes a
#  sign for a difference, (int) -(int)
plain () {
    sed -E 's/([^ ]) +/\1 /g; s,^ +//,//,; s/\]\(/] (/g; s/\)\{/) {/g; s/\) -\(/) - (/g'
}

layout () {
    mark "$1" | clang-format --style=file:deploy/clang-format \
        | sed '/^ *\/\* clang-format o[nf]* \*\/$/d'
}

#  The file with the lines of its layout where its plain form differs, and as it is elsewhere
merge () {
    diff --unchanged-group-format='keep %df %dl;' --old-group-format='' \
         --new-group-format='take %dF %dL;' --changed-group-format='take %dF %dL;' \
         <(plain <"$1") <(layout "$1" | plain) | tr ';' '\n' \
        | while read -r what first last; do
              case $what in
                  keep) sed -n "${first},${last}p" "$1" ;;
                  take) layout "$1" | sed -n "${first},${last}p" ;;
              esac
          done
}

status=0
for file; do
    changes=$(diff -U0 --label "$file" --label "$file, formatted" \
              <(plain <"$file") <(layout "$file" | plain)) || [[ $? == 1 ]]
    [[ $changes ]] || continue
    if [[ $action == write ]]; then
        merged=$(mktemp)
        merge "$file" >"$merged" || [[ $? == 1 ]]
        cat "$merged" >"$file"
        rm "$merged"
        echo "formatted $file"
    else
        printf '%s\n' "$changes"
        status=1
    fi
done
exit $status
