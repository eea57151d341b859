#!/usr/bin/env bash
#  test/cluster/drain.sh - replicas and drains as an operator sees them: four nodes, blocks put with
#  replicas, a node that is killed, one that is drained while a client reads, and ends by itself;
#  one that cannot be drained says why, and is taken back.
#
#      B=build test/cluster/drain.sh           B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
command -v jq >/dev/null || { echo "no jq here"; exit 77; }
[[ -x $B/bin/umbp-node ]] || { echo "$B/bin/umbp-node is missing: make all"; exit 1; }
for name in ${!UMBP_*}; do
    unset "$name"                       #  Settings of whoever runs us
done
export NO_COLOR=1

room=$(mktemp -d /tmp/umbp-d-XXXXXX)
cluster=drain-$$
node_args=(--dram-capacity 16MiB --cluster-suspect 5s --cluster-gone 10s --blocks-replicate last)
. deploy/cluster.sh
reader=
cleanup () {
    [[ $reader ]] && kill -KILL "$reader" 2>/dev/null
    cluster_cleanup
    rm -rf "$room"
}
trap cleanup EXIT

fail () {
    echo "FAILED: $1"
    tail -n 20 "$room"/*.log "$room"/out 2>/dev/null
    exit 1
}

#  on NUMBER COMMAND...: the console, connected to that node
on () {
    timeout 120 "$B/bin/umbp-console" --endpoint "${endpoints[$1 - 1]}" --timeout 20s "${@:2}"
}

#  until_true WHAT COMMAND...: within a minute
until_true () {
    local end=$((SECONDS + 60))
    until "${@:2}"; do
        ((SECONDS < end)) || fail "$1"
        sleep 0.2
    done
    echo "ok: $1"
}

copies () { on "$1" --json where "$2" | jq '.places | length'; }
has_copies () { [[ $(copies "$1" "$2") == "$3" ]]; }
blocks_on () { on 1 --json stat "tier:dram@$1" | jq '.counters.blocks'; }
state_of () { on 1 --json nodes | jq -r --arg node "$1" '.nodes[] | select(.node == $node).state'; }
has_members () { [[ $(on 1 --json nodes | jq '.nodes | length') == "$1" ]]; }
is_state () { [[ $(state_of "$1") == "$2" ]]; }

{ start_cluster seeds 4 && wait_cluster 4; } || fail "the nodes do not come together"

#  --- Replicas ---------------------------------------------------------------------------------

out=$(on 4 put safe --text "on three nodes" --replicas 3) || fail "put --replicas: $out"
[[ $out == *stored* && $out != *"could not"* ]] || fail "put --replicas says: $out"
has_copies 1 safe 3 || fail "safe is on $(copies 1 safe) nodes"
on 4 put pair --text "on two nodes" --replicas 2 >/dev/null || fail "put --replicas 2"
has_copies 1 pair 2 || fail "pair is on $(copies 1 pair) nodes"
on 4 put single --text "on one node" >/dev/null || fail "put"
has_copies 1 single 1 || fail "single is on $(copies 1 single) nodes"
on 4 --json put pair2 --text x --replicas 2 | jq -e '.replicas_missing == 0' >/dev/null \
    || fail "put --json says nothing of replicas"
on 4 put bad --text x --replicas 5 >/dev/null 2>&1
[[ $? == 2 ]] || fail "--replicas 5 is taken"
echo "ok: blocks are on as many nodes as asked for"

disown "${pids[3]}"                     #  Not for bash to talk about
kill -KILL "${pids[3]}"                 #  node-4: nobody hears a word of it
for key in safe pair; do
    [[ $(on 1 get $key -) == on* ]] || fail "$key cannot be read after node-4 was killed"
done
echo "ok: replicas are read while node-4 is dead and not found out"
until_true "node-4 is no member" has_members 3
until_true "the last copy of pair has another again" has_copies 1 pair 2
has_copies 1 safe 2 || fail "safe is on $(copies 1 safe) nodes, two were left"

#  --- Drain ------------------------------------------------------------------------------------

for number in {1..40}; do
    head -c 100000 /dev/urandom >"$room/block-$number"
    echo "put drained-$number $room/block-$number"
done >"$room/lines"
on 2 <"$room/lines" >"$room/out" 2>&1 || fail "put"
[[ $(blocks_on node-2) -ge 40 ]] || fail "node-2 has $(blocks_on node-2) blocks"

#  A client reads all of them again and again; its first miss ends it
(
    while [[ ! -e $room/over ]]; do
        for number in {1..40}; do
            echo "get drained-$number $room/read-$number"
        done | on 3 >"$room/reads" 2>&1
        for number in {1..40}; do
            cmp "$room/block-$number" "$room/read-$number" >>"$room/reads" 2>&1 \
                || { cp "$room/reads" "$room/missed"; exit 1; }
            rm "$room/read-$number"
        done
    done
) &
reader=$!
on 1 drain node-2 --stop >"$room/out" 2>&1 || fail "drain ends with $?"
grep -qE '\[#+\] 100 %' "$room/out" || fail "drain shows no bar"
grep -qE 'node-2 is drained, [0-9]+ blocks .* its process ends' "$room/out" || fail "drain says"
touch "$room/over"
wait "$reader" || { cat "$room/missed"; fail "a read missed while blocks moved"; }
reader=
gone () { ! kill -0 "${pids[1]}" 2>/dev/null; }
until_true "node-2 ended by itself" gone
wait "${pids[1]}"
[[ $? == 0 ]] || fail "node-2 exits with $?"
for number in {1..40}; do
    echo "exists drained-$number"
done | on 3 >"$room/out" 2>&1 || fail "not all blocks of node-2 are elsewhere"
until_true "pair has two copies again" has_copies 1 pair 2
until_true "node-2 is no member" has_members 2

#  --- No room ----------------------------------------------------------------------------------

head -c 1000000 /dev/urandom >"$room/block"
for number in {1..9}; do
    echo "put full-$number $room/block"
done >"$room/lines"
on 1 <"$room/lines" >"$room/out" 2>&1 || fail "put"
sed 's/full/here/' "$room/lines" | on 3 >"$room/out" 2>&1 || fail "put"
on 1 drain node-3 >"$room/out" 2>"$room/err"
[[ $? == 4 ]] || fail "a drain without room ends with $?"
grep -q 'no other node has room for [0-9]* blocks.*ENOSPC' "$room/err" || fail "$(cat "$room/err")"
is_state node-3 draining || fail "node-3 is $(state_of node-3)"
on 1 drain node-3 --cancel >"$room/out" 2>&1 || fail "drain --cancel ends with $?"
grep -q 'node-3 is not drained' "$room/out" || fail "drain --cancel says"
until_true "node-3 is as it was" is_state node-3 alive
for number in {1..9}; do
    on 1 get here-$number "$room/read" >/dev/null && cmp -s "$room/block" "$room/read" \
        || fail "here-$number is not what it was"
done
on 1 drain node-7 >"$room/out" 2>&1
[[ $? == 3 ]] || fail "draining nobody ends with $?"
on 1 drain node-3 --stop --cancel >"$room/out" 2>&1
[[ $? == 2 ]] || fail "--stop --cancel ends with $?"

#  Room comes, and it goes on; without --stop it stays, out of the ring
on 1 drain node-3 >/dev/null 2>&1
for number in {1..9}; do
    echo "rm full-$number"
done | on 1 >"$room/out" 2>&1 || fail "rm"
until_true "node-3 is drained once there is room" is_state node-3 drained
[[ $(blocks_on node-3) == 0 ]] || fail "node-3 has $(blocks_on node-3) blocks"
on 3 put through --text "a drained node is a door to the others" >/dev/null || fail "put through"
[[ $(on 3 get through -) == a* ]] || fail "get through"
for index in 0 2; do
    kill -TERM "${pids[index]}"
done
for index in 0 2; do
    wait "${pids[index]}" || fail "node-$((index + 1)) exits with $?"
done
pids=()
