#!/usr/bin/env bash
#  test/cluster/replay.sh - an engine's requests through three nodes, from two client processes: no
#  wrong byte, hits, bytes over shared memory and over tcp, and a clean end. Then, where it is
#  there, the whole of a real trace in a pool a tenth of its size: the prefixes that are still
#  there, compared with what one LRU of that size would keep.
#
#      B=build test/cluster/replay.sh      B: the build folder, else $UMBP_BUILD, else build
#      POLICY=lru test/cluster/replay.sh   another policy of eviction than the default
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
trace=../shared/data/conversation_trace.jsonl
command -v python3 >/dev/null || { echo "no python3 here"; exit 77; }
[[ -x $B/bin/umbp-bench ]] || { echo "$B/bin/umbp-bench is missing: make all"; exit 1; }

cluster=replay-$$
room=$(mktemp -d /tmp/umbp-r-XXXXXX)
. deploy/cluster.sh
trap 'cluster_cleanup; rm -rf "$room"' EXIT

fail () {
    echo "FAILED: $1"
    tail -n 20 "$room"/*.log
    exit 1
}

#  begin NODE_FLAGS: three nodes
begin () {
    node_args=(--node-log warning --blocks-strategy most_free ${POLICY:+--tier-policy $POLICY} "$@")
    endpoints=()
    start_cluster gossip 3 && wait_cluster 3 || fail "the nodes did not come together"
}

#  replay BENCH_FLAGS: the result goes to $room/result.json
replay () {
    timeout 300 "$B/bin/umbp-bench" replay --endpoints "${endpoints[0]},${endpoints[1]}" \
        --clients 2 --json "$@" >"$room/result.json" || fail "umbp-bench replay exited with $?"
}

finish () {
    stop_cluster || fail "not all nodes ended well"
}

#  holds EXPRESSION: in Python, of the result r
holds () {
    python3 -c 'import json, sys
r = json.load (open (sys.argv[1]))
sys.exit (not eval (sys.argv[2]))' "$room/result.json" "$1" \
        || { cat "$room/result.json"; fail "not so: $1"; }
    echo "ok: $1"
}

say_rates () {
    python3 -c 'import json, sys
r = json.load (open (sys.argv[1]))
print ("%d requests, %d blocks, %.1f s: prefix hits %.2f %%, of an LRU %.2f %%" % (r["requests"],
       r["blocks"], r["seconds"], r["prefix_hit_percent"], r["lru_prefix_hit_percent"]))' \
        "$room/result.json"
}

#  Made up: 60 MiB of blocks in a pool of 48 MiB, so that some leave
begin --dram-capacity 16MiB
replay --requests 800 --block-bytes 4KiB --far-clients 1 --lru-capacity 768
finish
say_rates
holds 'r["requests"] == 800'
holds 'r["wrong"] == 0 and r["errors"] == {}'
holds 'r["hits"] > 0 and r["prefix_hit_percent"] > 0'

begin --dram-capacity 128MiB
replay --requests 400 --far-clients 1 --lru-capacity 6144
say_rates
holds 'r["wrong"] == 0 and r["errors"] == {}'
holds 'r["prefix_hit_percent"] > 10'
holds 'r["paths"]["shm_get"] > 0 and r["paths"]["shm_put"] > 0'
holds 'r["paths"]["tcp_get"] > 0 and r["paths"]["tcp_put"] > 0'

#  Would it see a wrong byte? Blocks that are not what the key says
"$B/bin/umbp-bench" put --endpoints "${endpoints[0]}" --keys 100 --block-bytes 4KiB >/dev/null \
    || fail "put"
"$B/bin/umbp-bench" get --endpoints "${endpoints[0]}" --keys 100 --block-bytes 8KiB --seconds 100ms \
    >"$room/wrong" 2>&1 && fail "wrong bytes pass"
grep -q 'WRONG BYTES in .* the first is [0-9a-f]\{64\}' "$room/wrong" || fail "wrong bytes are not said"
echo "ok: wrong bytes are said, with their key"
finish

if [[ ! -r $trace ]]; then
    echo "the trace is skipped: $trace is not there"
    exit 0
fi
#  A tenth of its 182,790 blocks: 6093 of 64 KiB on each node
begin --dram-capacity 389952KiB --dram-prefault=no --eviction-high 99 --eviction-low 97
replay --trace $trace --requests 100000 --block-bytes 64KiB --lru-capacity 18279
finish
say_rates
holds 'r["requests"] == 12031 and r["blocks"] == 288500'
holds 'r["wrong"] == 0 and r["errors"] == {}'
#  Without what shards remember s3fifo had 26.6 %, lru 27.0 to 27.3 %, one LRU of all the room 27.9 %
slack=${POLICY:+1.5}
holds "r[\"prefix_hit_percent\"] >= r[\"lru_prefix_hit_percent\"] - ${slack:-0.5}"
