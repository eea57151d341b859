#!/usr/bin/env bash
#  test/alerts/check.sh - deploy/alerts.yml and deploy/grafana.json name only metrics that nodes have,
#  each alarm is in the runbook, and Prometheus takes the rules. Without promtool (of Debian's package
#  prometheus) the last of these is left out, and this is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

PATH=$PATH:$(realpath -m "${UMBP_BUILD:-${B:-build}}")/tools       #  deploy/promtool.sh
known=$(grep -oE '^\| `umbp_[A-Za-z_]+`' doc/metrics.md | tr -d '|` ')
failed=0
for file in deploy/alerts.yml deploy/grafana.json; do
    for name in $(grep -oE '\bumbp_[a-z_]+' $file | sort -u); do
        bare=${name%_total} bare=${bare%_info} bare=${bare%_bucket} bare=${bare%_sum} bare=${bare%_count}
        every=umbp_ACTOR_${bare#umbp_*_}
        grep -qxE "$name|$bare|$every" <<<"$known" \
            || { echo "$file: no metric $name in doc/metrics.md"; failed=1; }
    done
done
for name in $(sed -nE 's/^ *- alert: *//p' deploy/alerts.yml); do
    grep -q "^| \`$name\`" doc/operations.md \
        || { echo "deploy/alerts.yml: $name is not in the runbook of doc/operations.md"; failed=1; }
done
((failed == 0)) || exit 1
echo "names are fine"
command -v promtool >/dev/null \
    || { echo "promtool is missing, rules are not parsed: deploy/promtool.sh takes it from Debian"; exit 77; }
promtool check rules deploy/alerts.yml
