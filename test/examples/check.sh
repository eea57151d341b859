#!/usr/bin/env bash
#  test/examples/check.sh - do the clients of client/examples, which were written from the protocol
#  alone, understand a node, three nodes, and each other?
#
#  Wants umbp-node in PATH or $UMBP_BUILD/bin, pyzmq and cbor2, zeromq and cbor-x; exits with 77
#  where one of them is missing. All ports are free ones of loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8

B=${UMBP_BUILD:-build}
PATH=$B/bin:$B/venv/bin:$PATH
export NODE_PATH=${NODE_PATH:-$B/js/node_modules}
START_S=20                              #  For all nodes to be in the ring

work=$(mktemp -d)
pids=()
clean_up () {
    local pid deadline=$((SECONDS + 10))
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in "${pids[@]}"; do
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
            sleep 0.05
        done
        kill -9 "$pid" 2>/dev/null && echo "a node did not stop by itself" || :
    done
    rm -rf "$work"
}
trap clean_up EXIT

fail () {
    echo "FAILED: $*"
    for log in "$work"/*.err; do
        [[ -s $log ]] && sed "s|^|$(basename "$log"): |" "$log"
    done
    exit 1
}

skip () {
    echo "skipped: $*"
    exit 77
}

command -v umbp-node >/dev/null || skip "no umbp-node in PATH: make"
python3 -c 'import zmq, cbor2' 2>/dev/null || skip "no pyzmq or cbor2 for python3"
node -e 'require ("zeromq"); require ("cbor-x")' 2>/dev/null || skip "no zeromq or cbor-x for node"

#  at A|B py|js WORD...: a client at one of the two nodes
declare -A where
at () {
    local client=(python3 client/examples/umbp_client.py)
    [[ $2 == py ]] || client=(node client/examples/umbp_client.cjs)
    UMBP_ENDPOINTS=${where[$1]} timeout -k 5 30 "${client[@]}" "${@:3}"
}
sorted () { "$@" | sort; }

#  expect STATUS TEXT COMMAND...: the command exits so and prints just that
expect () {
    local status=$1 text=$2 got rc=0
    shift 2
    got=$("$@" 2>>"$work/clients.err") || rc=$?
    [[ $rc == "$status" && $got == "$text" ]] \
        || fail "$(printf '%.60s ' "$@")- exit $rc, not $status; said '${got:0:200}'," \
            "not '${text:0:200}'"
}

#  start NAME FLAG...: a node of little memory; where it listens goes to $endpoint
start () {
    local name=$1 deadline=$((SECONDS + START_S))
    shift
    umbp-node --node-id "$name" --network-listen 'tcp://127.0.0.1:*' --cluster-name "$cluster" \
        --cluster-heartbeat 100ms --cluster-suspect 2s --dram-capacity 16MiB --dram-region 16MiB \
        --index-keys 10000 --extkv-hashes 10000 "$@" >"$work/$name.out" 2>"$work/$name.err" &
    pids+=($!)
    until endpoint=$(sed -n 's/^umbp-node: ready .*endpoint=\([^ ]*\) .*/\1/p' "$work/$name.out") \
        && [[ -n $endpoint ]]; do
        kill -0 "${pids[-1]}" 2>/dev/null || fail "$name ended at its start"
        ((SECONDS < deadline)) || fail "$name is not ready after $START_S s"
        sleep 0.05
    done
}

#  joined COUNT ENDPOINT...: wait until each of them sees so many members in the ring
joined () {
    python3 - "$START_S" "$@" <<'EOF' || fail "the nodes did not find each other"
import sys, time
sys.path.insert(0, "client/examples")
from umbp_client import Client, numbers
deadline, count = time.monotonic() + float(sys.argv[1]), int(sys.argv[2])
for endpoint in sys.argv[3:]:
    pool, seen = Client(endpoint, timeout=1.0), 0
    while seen != count:
        if time.monotonic() > deadline:
            sys.exit(1)
        status, answer, _ = pool.ask("registry", 16, {})
        seen = sum(numbers(answer[13])) if status == 0 else 0
        time.sleep(0.05)
EOF
}

#  tour ENDPOINT ENDPOINT: all that the clients can do, at two nodes or twice at one
tour () {
    local client big
    where=([A]=$1 [B]=$2)
    expect 0 stored at A py put from-python 'two words'
    expect 0 'two words' at B js get from-python
    expect 0 stored at B js put from-js 'däta'
    expect 0 'däta' at A py get from-js
    expect 0 'was there' at A js put from-python other
    expect 0 'was there' at B py put from-js other
    expect 0 'two words' at B py get from-python

    for client in py js; do
        expect 1 '' at B $client get unknown
        expect 0 $'from-js yes\nfrom-python yes' at B $client exists from-js from-python
        expect 1 $'unknown no\nfrom-js yes' at A $client exists unknown from-js
    done

    expect 0 '' at A py report engine-a 2 hash-1 hash-2
    expect 0 '' at B js report engine-b 1 hash-2
    for client in py js; do
        expect 0 $'engine-a tier 2: hash-1 hash-2\nengine-b tier 1: hash-2' \
            sorted at B $client match hash-1 hash-2 hash-3
        expect 0 '' at A $client match hash-3
    done

    expect 0 'from-python yes' at B py need from-python
    expect 1 $'from-js yes\nunknown no' at A py cold from-js unknown

    expect 0 'from-python yes' at B js remove from-python
    expect 1 'from-python no' at A py exists from-python
    expect 1 '' at B js get from-python
    expect 1 $'from-js yes\nunknown no' at A py remove from-js unknown
    expect 1 'from-js no' at B js remove from-js

    big=$(head -c 65536 /dev/zero | tr '\0' x)
    expect 0 stored at A py put largest "$big"
    expect 0 "$big" at B js get largest
    expect 2 '' at A py put too-large "x$big"
    expect 2 '' at B js put too-large "x$big"
}

cluster=examples-one
start solo
joined 1 "$endpoint"
tour "$endpoint" "$endpoint"
echo "one node: fine"

cluster=examples-three
start a
first=$endpoint
start b --cluster-seeds "$first"
second=$endpoint
start c --cluster-seeds "$first"
joined 3 "$first" "$second" "$endpoint"
tour "$second" "$endpoint"
echo "three nodes: fine"
