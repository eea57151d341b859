#!/usr/bin/env bash
#  test/cluster/console.sh - three nodes that find each other by gossip, and every command of
#  umbp-console against them: for people and as JSON, what it says and how it exits. Then all nodes
#  are told to stop, and must do so in good order.
#
#      B=build test/cluster/console.sh         B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
node=$B/bin/umbp-node
console=$B/bin/umbp-console
for tool in jq python3; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
for program in "$node" "$console"; do
    [[ -x $program ]] || { echo "$program is missing: make all"; exit 1; }
done

room=$(mktemp -d /tmp/umbp-c-XXXX)
pids=()
failed=0
checks=0
for name in ${!UMBP_*}; do
    unset "$name"                       #  Settings of whoever runs us
done
export NO_COLOR=1 HOME=$room

cleanup () {
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$room"
}
trap cleanup EXIT

#  --- Tools -----------------------------------------------------------------------------------

complain () {
    failed=$((failed + 1))
    echo "FAILED: $1"
    sed 's/^/    stdout: /' "$room/out"
    sed 's/^/    stderr: /' "$room/err"
}

#  run STATUS COMMAND...: leaves what it said in $room/out and $room/err
run () {
    local wanted=$1
    shift
    last="$*"
    checks=$((checks + 1))
    timeout 60 "$@" >"$room/out" 2>"$room/err" </dev/null
    local status=$?
    [[ $status == "$wanted" ]] || complain "$last: exit status $status, not $wanted"
}

ask () { run "$1" "$console" "${@:2}"; }

#  The last run said this, as an extended regular expression
says () {
    checks=$((checks + 1))
    grep -qE -- "$1" "$room/out" || complain "$last: does not say $1"
}

moans () {
    checks=$((checks + 1))
    grep -qE -- "$1" "$room/err" || complain "$last: stderr does not say $1"
}

#  The last run printed one JSON document for which this jq expression is true
holds () {
    checks=$((checks + 1))
    [[ $(jq -s 'length' "$room/out" 2>&1) == 1 ]] || complain "$last: not one JSON document"
    jq -e "$1" "$room/out" >/dev/null 2>&1 || complain "$last: not so: $1"
}

#  until_true SECONDS COMMAND...: again and again until it succeeds
until_true () {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        read -rt 0.05 <> <(:) || :
    done
}

#  --- Nodes -----------------------------------------------------------------------------------

#  On a loopback address that only this process uses
own_host=127.$((192 + ($$ >> 16 & 31))).$(($$ >> 8 & 255)).$(($$ & 255))
gossip=tcp://$own_host:7711
nobody=tcp://$own_host:7712

start_node () {
    local number=$1 way=--gossip-connect
    [[ $number == 0 ]] && way=--gossip-bind
    "$node" --config "$room/node.conf" --node-id "node-$number" $way "$gossip" \
        >"$room/node-$number.out" 2>"$room/node-$number.err" &
    pids[number]=$!
}

is_ready () { grep -q '^umbp-node: ready' "$room/node-$1.out" 2>/dev/null; }

#  Where a node listens, as its ready line says
endpoint_of () { sed -nE 's/^umbp-node: ready .* endpoint=([^ ]+).*/\1/p' "$room/node-$1.out"; }

sees_three () {
    "$console" --endpoint "$1" nodes --json 2>/dev/null \
        | jq -e '[.nodes[] | select(.state == "alive" and .in_ring)] | length == 3' >/dev/null
}

cat >"$room/node.conf" <<END
node
    run_dir = $room
    log = warning
cluster
    name = console-test
    heartbeat = 100ms
    suspect = 1s
    gone = 2m
network
    listen = tcp://127.0.0.1:*
gateway
    listen = tcp://127.0.0.1:*
dram
    capacity = 32MiB
    region = 32MiB
index
    keys = 100000
extkv
    hashes = 100000
END

#  --- umbp-node on its own --------------------------------------------------------------------

run 0 "$node" --version
says '^umbp-node [0-9]+\.[0-9]+'
run 0 "$node" --help
says '^  --dram-capacity SIZE$'
run 0 "$node" --config "$room/node.conf" --check-config
says '^ok$'
run 0 "$node" --config deploy/umbp-node.conf --check-config
sed 's/^    #\([a-z]\)/    \1/' deploy/umbp-node.conf >"$room/all.conf"
run 0 "$node" --config "$room/all.conf" --print-config
sed 's/ *#  .*//' "$room/out" >"$room/sample"
checks=$((checks + 1))
grep -q '#  default' "$room/out" && complain "deploy/umbp-node.conf lacks a key: see deploy/sample-conf.py"
run 0 "$node" --print-config
checks=$((checks + 1))
diff <(sed 's/ *#  .*//' "$room/out") "$room/sample" >"$room/err" \
    || complain "deploy/umbp-node.conf: not the defaults"
printf 'dram\n    capacity = 4Gb\n' >"$room/bad.conf"
run 2 "$node" --config "$room/bad.conf"
moans 'bad\.conf:2: dram/capacity = 4Gb: not a size; allowed: 1MiB\.\.16TiB'
run 2 "$node" --dram-capcity 1GiB
moans 'did you mean --dram-capacity\?'
run 2 "$node" --extkv-hashes 268435457 --check-config
moans 'extkv.hashes.*allowed.*268435456$'
run 0 "$node" --node-id n --node-run-dir "/tmp/$(printf 'x%.0s' {1..85})" --check-config
run 2 "$node" --node-id n --node-run-dir "/tmp/$(printf 'x%.0s' {1..86})" --check-config
moans 'run_dir/n/tier:dram\.sock has 108 bytes, a UNIX socket path has at most 107$'
run 2 "$node" --eviction-low 95% --check-config
moans '^umbp-node: --eviction-low: eviction/low: '

#  --- The cluster -----------------------------------------------------------------------------

for number in 0 1 2; do
    start_node $number
done
for number in 0 1 2; do
    if ! until_true 30 is_ready $number; then
        echo "FAILED: node-$number does not start"
        cat "$room/node-$number.err"
        exit 1
    fi
done
for number in 0 1 2; do
    if ! until_true 30 sees_three "$(endpoint_of $number)"; then
        echo "FAILED: node-$number does not see three nodes"
        cat "$room"/node-*.err
        exit 1
    fi
done
checks=$((checks + 1))
[[ $(cat "$room"/node-?.out | wc -l) == 3 ]] || complain "stdout is not the ready line alone"
first=$(endpoint_of 0)
export UMBP_ENDPOINTS=$first
run 1 "$node" --config "$room/node.conf" --network-listen "$first"
moans 'umbp-node: cannot start'

ask 0 status
says '^cluster\[nodes=3 healthy=3 vnodes=450 self=node-0\]$'
says '^members +3 alive, 0 suspect$'
says '^node-2 +alive'
ask 0 status --json
holds '.nodes == 3 and .alive == 3 and .cluster == "console-test" and .total_bytes == 3 * 33554432'
ask 0 nodes
says '^NODE +STATE'
says '^node-1 +alive +yes .*tcp://127\.0\.0\.1:'
ask 0 nodes --json
holds '[.nodes[].node] == ["node-0", "node-1", "node-2"]'
ask 0 tiers
says '^node-0 +dram +fine .*32\.0 MiB'
ask 0 tiers --json
holds '(.tiers | length == 3) and (.tiers | all(.tier == "dram" and .state == "fine" and .total_bytes == 33554432))'
ask 0 ring
says '^node-2 +alive +150 +[0-9]+\.[0-9] %'
ask 0 ring --json
holds '(.nodes | map(.share_percent) | add | . > 99.9 and . < 100.1) and .copies == 2'

#  Blocks
ask 0 put hello --text 'good morning'
says '^hello stored, 12 B$'
ask 0 put hello --text 'something else'
says 'was there already'
ask 0 get hello
checks=$((checks + 1))
[[ $(<"$room/out") == 'good morning' ]] || complain "get hello: other bytes"
ask 0 get hello --json
holds '.bytes == 12 and (.base64 | @base64d) == "good morning"'
ask 0 --endpoint "$(endpoint_of 2)" get hello
says '^good morning$'
head -c 3000000 /dev/urandom >"$room/large"
ask 0 put large "$room/large" --json
holds '.bytes == 3000000 and .stored'
ask 0 --endpoint "$(endpoint_of 1)" get large "$room/back"
says '^2\.86 MiB written to '
checks=$((checks + 1))
cmp -s "$room/large" "$room/back" || complain "get large: other bytes"
checks=$((checks + 1))
"$console" put piped - <"$room/large" >"$room/out" 2>"$room/err" \
    && "$console" get piped - 2>>"$room/err" | cmp -s - "$room/large" \
    || complain "put and get through pipes: other bytes"
ask 4 put nobody "$room/no-such-file"
moans 'no-such-file: No such file or directory \(EIO\)$'
ask 0 put ff00 --text binary --hex
ask 0 exists ff00 --hex --json
holds '.keys[0].key == "\\xff\\x00" and .exists == 1'
ask 1 get nothing
moans 'ENOENT'
ask 1 get nothing --json
holds '.error == "ENOENT" and (.next | length > 10)'
ask 0 exists hello large
says '^hello +exists$'
ask 1 exists hello nothing
says '^nothing +missing$'
ask 1 exists hello nothing --json
holds '.exists == 1 and .keys[0].exists and (.keys[1].exists | not)'

ask 0 where hello
says '^node-0 +dram +12 B +shm +message$'
ask 0 where hello --json
holds '.places == [{ "node": "node-0", "tier": "dram", "bytes": 12, "here": "shm",
    "elsewhere": "message" }]'
ask 1 where nothing
says 'nowhere'
ask 1 where nothing --json
holds '.places == []'
ask 0 ring hello
says '^hello is at [0-9a-f]{16}'
says '^ +2 +node-[0-2] +alive$'
ask 0 ring hello --json
holds '(.owners | length == 2) and (.position | length == 16)'
ask 0 copy hello node-0 node-2
says 'copied from node-0 to node-2'
ask 0 copy hello node-0 node-2 --json
holds '.copied == false and .to == "node-2"'
ask 0 where hello --json
holds '[.places[].node] | sort == ["node-0", "node-2"]'
ask 1 copy hello node-1 node-0
moans 'not on node-1'
ask 0 rm hello
says '^hello +removed$'
ask 1 rm hello --json
holds '.removed == 0'
ask 0 evict node-0 dram 1MiB
says '^node-0: [0-9]+ blocks? gone'
ask 0 evict node-1 --json
holds '.node == "node-1" and .blocks == 0'
ask 2 evict node-0 disk
moans 'neither a tier .* nor a size'
ask 1 evict node-0 nvme
moans 'tier: this node has no such tier.* \(ENOENT\)$'
ask 1 match some hashes
says '^no engine'
ask 1 match 00ff --hex --json
holds '.engines == [] and .nodes_silent == 0'

#  Actors
ask 0 stat router
says '^puts +[0-9]'
ask 0 stat
says '^registry +ok +[0-9]'
says '^tier:dram +ok +[0-9]'
says '^gateway +ok +[0-9]'
ask 0 stat @node-1 --json
holds '[.actors[].actor] | index("registry@node-1") and index("gateway@node-1") and length >= 9'
holds '[.actors[] | select(.status != "ok" or .requests < 1)] == []'
ask 3 stat @nowhere
moans 'registry@nowhere at .*: address: no such node in this cluster \(EUNREACH\)$'
ask 0 stat tier:dram@node-1 --json
holds '.actor == "tier:dram@node-1" and .counters.total_bytes == 33554432'
ask 0 pressure --node node-2 --json
holds '.mode == "observe" and .level >= 0 and .signals.tier_bytes == 33554432'
ask 0 pressure
says '^level [0-4], .*mode observe$'
ask 0 pressure cost 1MiB --json
holds '.seconds >= 0 and .moved_bytes == 0 and .blocks >= .lost_blocks'
ask 0 pressure pool --json
holds '.capacity_bytes == 33554432 and .returned_bytes == 0'
ask 0 pressure pool 16MiB --node node-2
shrunk () { "$console" --json pressure pool --node node-2 | jq -e '.returned_bytes == 16777216' >/dev/null; }
until_true 60 shrunk || complain "the pool of node-2 does not shrink"
ask 0 pressure pool 32MiB --node node-2
grown () { "$console" --json pressure pool --node node-2 | jq -e '.returned_bytes == 0' >/dev/null; }
until_true 60 grown || complain "the pool of node-2 does not grow"
ask 0 pressure events 1 --json --node node-2
holds '.first == 1 and (.missed | not) and .events[0].event == "mem.capacity"'
holds '[.events[] | select(.event == "mem.capacity")] | length >= 3'
ask 2 pressure nonsense
moans 'pressure: unknown: nonsense; allowed: '
ask 2 pressure cost lots
ask 0 ping index@node-2
says '^index@node-2 answers after [0-9]+ us$'
ask 0 ping registry --json
holds '.took_us > 0'
ask 3 ping index@nowhere
moans 'index@nowhere at .*: address: no such node in this cluster \(EUNREACH\)$'
ask 3 ping nobody --timeout 300ms --json
holds '.error == "EUNREACH" or .error == "ETIMEDOUT"'
ask 0 log-level error
says '^tier:dram +error +ok$'
says '^gateway +error +ok$'
ask 0 log-level warning index@node-1 --json
holds '.actors == [{ "actor": "index@node-1", "level": "warning", "status": "ok" }]'
ask 2 log-level loud
moans 'not a level'

ask 0 top --count 2 --interval 100ms
says '^NODE +STATE +PUT/S +GET/S'
checks=$((checks + 1))
[[ $(grep -c '^cluster\[nodes=3 ' "$room/out") == 2 ]] || complain "top: not two blocks"
ask 0 top --count 1 --json
holds '.members[0].puts_per_s == 0'

ask 2 clear
moans '--yes'
ask 0 clear --yes
says '^node-0: [0-9,]+ blocks? gone'
ask 0 clear --everywhere --yes --json
holds '.node == "all nodes"'
ask 1 exists large

#  Help, wrong usage, nobody there
ask 0 --help
says '^Usage: umbp-console'
says '^log-level '
ask 0 help put
says '^put KEY \(FILE \| - \| --text TEXT\) \[--replicas N\] \[--tier TIER\]$'
ask 0 help --json
holds '.commands | map(.command) | index("status") != null'
ask 0 --version
says '^umbp-console [0-9]'
ask 2 stauts
moans 'unknown command, did you mean status\?'
ask 2 stauts --json
holds '.error == "USAGE"'
ask 2 get
moans 'too few arguments; usage: get KEY'
ask 2 status --yes
moans 'not for this command'
ask 2 status --colour
moans 'unknown flag'
ask 2 status --timeout soon
moans 'not a time'
ask 2 --endpoint nonsense status
moans 'not a list of endpoints'
ask 3 --endpoint "$nobody" --timeout 300ms status
moans "no node answers at ${nobody//./\\.}"
ask 3 --endpoint "$nobody" --timeout 300ms get hello --json
holds '.error == "EUNREACH"'
ask 0 --endpoint "$nobody,$first" status
says 'self=node-0'

#  Line by line
checks=$((checks + 1))
last='lines through a pipe'
printf '%s\n' '# a comment' '' 'put "two words" --text "a  b"' 'get "two words"' quit nonsense \
    | timeout 60 "$console" >"$room/out" 2>"$room/err" || complain "$last: exit status $?"
says '^two words stored, 4 B$'
says '^a  b'
checks=$((checks + 1))
printf 'get nothing\n' | timeout 60 "$console" >"$room/out" 2>"$room/err"
[[ $? == 1 ]] || complain "$last: not the exit status of the last"

#  --- A node that is gone, and the end --------------------------------------------------------

kill -STOP "${pids[2]}"
checks=$((checks + 1))
"$console" --endpoint "$(endpoint_of 2)" status >"$room/out" 2>"$room/err" </dev/null &
pids[3]=$! last='a node that answers late'
waits () { grep -q 'no answer from .* yet, it has 8 s more' "$room/err"; }
until_true 30 waits || complain "$last: nobody says what it waits for"
kill -CONT "${pids[2]}"
wait "${pids[3]}" || complain "$last: exit status $?"
unset "pids[3]"
says 'self=node-2'

kill -STOP "${pids[2]}"
two_alive () { "$console" status --timeout 500ms 2>/dev/null | grep -q 'healthy=2 vnodes=450'; }
checks=$((checks + 1))
until_true 20 two_alive || { ask 0 status; complain "a node that stands still is no suspect"; }
ask 3 ping index@node-2 --timeout 300ms
moans 'does not answer'
kill -CONT "${pids[2]}"

: >"$room/out"
for number in 2 1 0; do
    checks=$((checks + 1))
    kill -TERM "${pids[number]}"
    pid=${pids[number]}
    gone () { [[ ! -d /proc/$pid || $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) == Z ]]; }
    until_true 30 gone || kill -KILL "$pid"
    wait "$pid"
    status=$?
    cp "$room/node-$number.err" "$room/err"
    [[ $status == 0 ]] || complain "node-$number: exit status $status after SIGTERM"
    unset "pids[number]"
done

echo "$checks checks, $failed failed"
exit $((failed > 0))
