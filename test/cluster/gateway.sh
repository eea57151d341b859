#!/usr/bin/env bash
#  test/cluster/gateway.sh - two nodes, and what they say of themselves over HTTP: a page that the
#  parser of prometheus_client takes, probes that tell why a node is not healthy or ready, and one
#  put whose call is in the logs of both nodes.
#
#      B=build test/cluster/gateway.sh         B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
python=$B/venv/bin/python
[[ -x $python ]] || python=python3
[[ -x $B/bin/umbp-node ]] || { echo "$B/bin/umbp-node is missing: make all"; exit 1; }
for tool in curl jq; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
"$python" -c 'import prometheus_client.openmetrics.parser' 2>/dev/null \
    || { echo "no prometheus_client here"; exit 77; }

for name in ${!UMBP_*}; do
    unset "$name"                       #  Settings of whoever runs us
done
room=$(mktemp -d /tmp/umbp-g-XXXXXX)
cluster=gateway-$$
node_args=(--node-log debug --dram-capacity 16MiB --blocks-strategy most_free
           --gateway-listen 'tcp://127.0.0.1:*' --cluster-suspect 600s --cluster-gone 600s)
. deploy/cluster.sh
trap 'cluster_cleanup; rm -rf "$room"' EXIT

fail () {
    echo "FAILED: $1"
    grep -ahv "^D: " "$room"/*.log | tail -n 20
    exit 1
}

#  get NUMBER PATH: the status and, in $room/body, what node NUMBER says
get () {
    curl -s -m 20 -o "$room/body" -w '%{http_code}' "${urls[$1]}$2"
}

#  becomes NUMBER PATH STATUS: sooner or later
becomes () {
    local end=$((SECONDS + 60)) status
    until status=$(get "$1" "$2"); [[ $status == "$3" ]]; do
        ((SECONDS < end)) || fail "node-$1 $2 is $status, not $3: $(head -c 300 "$room/body")"
        sleep 0.1
    done
    echo "ok: node-$1 $2 is $3$([[ $2 == /metrics ]] || echo ": $(<"$room/body")")"
}

console () {
    "$B/bin/umbp-console" --endpoint "${endpoints[$1]}" "${@:2}"
}

start_cluster seeds 2 && wait_cluster 2 || fail "the nodes did not come together"
urls=('')
for number in 1 2; do
    urls+=("$(sed -nE 's/^umbp-node: ready .*gateway=(http:[^ ]+)$/\1/p' "$room/node-$number.log")")
    [[ ${urls[number]} ]] || fail "node-$number says no gateway"
    becomes $number /healthz 200
    becomes $number /readyz 200
done

#  Blocks that do not fit a message, until one was placed on the other node: its reserve, commit and
#  changes of the index pass both nodes under one call
head -c 200000 /dev/urandom >"$room/block"
for key in {1..40}; do
    console 0 put "key-$key" "$room/block" >/dev/null || fail "put"
done
console 0 get key-1 "$room/back" >/dev/null && cmp "$room/block" "$room/back" || fail "get"

calls_of () {                           #  calls_of NODE PATTERN: of the lines that have it
    grep -aE "$2" "$room/$1.log" | grep -aoE 'call=[0-9a-f]{16}' | sort -u
}
end=$((SECONDS + 20))
until both=$(comm -12 <(calls_of node-1 'router: is asked put ') \
        <(calls_of node-2 'tier:dram: is asked reserve ')) && [[ $both ]]; do
    ((SECONDS < end)) || fail "no put of node-1 is seen at node-2"
    sleep 0.2
done
call=$(head -n 1 <<<"$both")
for line in 'node-1 router: is asked put ' 'node-1 router: says reserve ' \
        'node-2 tier:dram: is asked reserve ' 'node-2 tier:dram: answers reserve_ok ' \
        'node-1 router: hears reserve_ok ' 'node-1 router: answers put_ok ' \
        'node-2 tier:dram: is asked commit ' 'node-2 tier:dram: says change '; do
    grep -aq "${line#* }.*$call" "$room/${line%% *}.log" \
        || fail "not in the log of ${line%% *}: ${line#* }$call"
done
echo "ok: $call is in the logs of both nodes"
#  Calls are not handed on to what does not belong to them: no other put has this one
[[ $(cat "$room"/node-?.log | grep -ac "router: is asked put .*$call") == 1 ]] \
    || fail "$call is of several puts"

#  The page, once the actors were asked again
wanted=('umbp_messages_total{actor=router,message=put}>=40'
        'umbp_request_seconds_count{actor=router,operation=put,path=door}>=40'
        'umbp_request_seconds_bucket{actor=router,operation=put,path=door,le=+Inf}>=40'
        'umbp_tier_board_hits_total{tier=dram}>=1'
        'umbp_router_puts_total>=40' 'umbp_members{state=alive}==2' 'umbp_members{state=suspect}==0'
        'umbp_topology_settled==1' 'umbp_tier_total_bytes{tier=dram}==16777216'
        'umbp_tier_blocks{tier=dram}>=1' 'umbp_index_entries>=40')
end=$((SECONDS + 30))
until becomes 1 /metrics 200 >/dev/null && "$python" test/cluster/openmetrics.py "${wanted[@]}" \
        <"$room/body" >"$room/said" 2>&1; do
    ((SECONDS < end)) || fail "$(<"$room/said")"
    sleep 0.2
done
echo "ok: $(<"$room/said")"
[[ $(curl -s -o /dev/null -w '%{content_type}' "${urls[1]}/metrics") \
    == 'application/openmetrics-text; version=1.0.0; charset=utf-8' ]] || fail "content type"
#  The dashboard shows nothing that is not there
names=$(jq -r '.panels[].targets[]?.expr' deploy/grafana.json | grep -oE 'umbp_[a-z_]+' | sort -u)
(($(wc -w <<<"$names") > 20)) || fail "no names in deploy/grafana.json"
for name in $names; do
    name=${name%_total} name=${name%_bucket} name=${name%_count} name=${name%_info}
    grep -q "^# TYPE $name " "$room/body" || fail "deploy/grafana.json: no such metric: $name"
done
#  Twice as many scrapes as there may be connections, at once
seq 128 | xargs -P 16 -I{} curl -sf -m 20 -o /dev/null "${urls[1]}/metrics" || fail "a scrape"
becomes 1 /nothing 404

#  A third node joins while the second one stands still: until that one works with the new ring too,
#  nobody is ready. Healthy they are: it is another node that does not answer.
kill -STOP "${pids[1]}"
start_node node-3 'tcp://127.0.0.1:*' --cluster-seeds "${endpoints[0]}"
endpoints+=("$(endpoint_of node-3 "${pids[2]}")")
becomes 1 /readyz 503
grep -q 'not settled' "$room/body" || fail "another reason"
becomes 1 /healthz 200
kill -CONT "${pids[1]}"
for number in 1 2; do
    becomes $number /healthz 200
    becomes $number /readyz 200
done

stop_cluster || fail "not all nodes ended well"

#  An address that other hosts reach has to be asked for
"$B/bin/umbp-node" --gateway-listen 'tcp://0.0.0.0:*' --check-config >"$room/out" 2>&1
[[ $? == 2 ]] && grep -q 'gateway/listen' "$room/out" || fail "$(<"$room/out")"
"$B/bin/umbp-node" --gateway-listen 'tcp://0.0.0.0:*' --gateway-open --check-config \
    >"$room/out" 2>&1 || fail "$(<"$room/out")"
