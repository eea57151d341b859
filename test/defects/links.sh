#!/usr/bin/env bash
#  test/defects/links.sh - do the pages hold together? Each link between them leads to a file and to
#  a heading in it; and each setting, counter and command of the console that doc/tiers.md names is
#  one. check.sh runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

failed=0 links=0 words=0
complain () {
    echo "$1"
    failed=1
}

#  Headings of a page, as links name them
anchors () {
    grep -E '^#+ ' "$1" | sed -E 's/^#+ //; s/\[([^]]*)\]\([^)]*\)/\1/g' \
        | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

for page in README.md doc/*.md doc/decisions/*.md; do
    while read -r link; do
        [[ ! $link =~ ^[a-z]+: ]] || continue
        links=$((links + 1))
        to=$page
        [[ $link == \#* ]] || to=$(dirname "$page")/${link%%#*}
        if [[ ! -e $to ]]; then
            complain "$page: $link is not there"
        elif [[ $link == *\#* ]] && ! grep -qxF -- "${link#*#}" <(anchors "$to"); then
            complain "$page: $link: no such heading"
        fi
    done < <(sed '/^```/,/^```/d' "$page" | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//')
done
((links > 50)) || complain "only $links links are found"

#  named PATTERN: what doc/tiers.md has between backticks, by its look
named () {
    sed '/^    /d' doc/tiers.md | grep -oE '`[^`]+`' | tr -d '`' | grep -E "$1" | sort -u
}
while read -r setting; do
    words=$((words + 1))
    grep -qF "| \`$setting\` |" doc/operations.md || complain "doc/tiers.md: $setting is no setting"
done < <(named '^[a-z]+/[a-z_]+( = [a-z]+)?$' | sed 's/ = .*//' | sort -u)
while read -r counter; do
    words=$((words + 1))
    grep -qF "| \`$counter\` |" doc/metrics.md || grep -qE "\<$counter\>" client/umbp.h \
        || complain "doc/tiers.md: $counter is no counter"
done < <(named '^[a-z]+(_[a-z]+)+$')
while read -r command; do
    words=$((words + 1))
    grep -qE "^    \{ \"$command\"," bin/console.c \
        || complain "doc/tiers.md: umbp-console has no $command"
done < <(grep -oE 'umbp-console [a-z-]+' doc/tiers.md | awk '{ print $2 }' | sort -u)
((words > 40)) || complain "only $words settings, counters and commands are found in doc/tiers.md"
((failed)) || echo "$links links lead somewhere, and $words words of doc/tiers.md are known"
exit $failed
