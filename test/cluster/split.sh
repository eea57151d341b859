#!/usr/bin/env bash
#  test/cluster/split.sh - two nodes on one LAN, found by each of the four ways of discovery in turn,
#  are cut off from each other (and one of them from etcd) until each is alone, serve what they have,
#  and come together again. The LAN is a bridge between network namespaces; skipped where these cannot
#  be made. The part with etcd is left out where there is none.
#
#      B=build test/cluster/split.sh       B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
[[ -x $B/bin/umbp-node ]] || { echo "$B/bin/umbp-node is missing: make all"; exit 1; }

room=$(mktemp -d /tmp/umbp-s-XXXXXX)
node_args=(--node-log warning --dram-capacity 16MiB --cluster-suspect 1s --cluster-gone 3s)
etcd_pid=
wait_s=60
. deploy/cluster.sh

clean () {
    cluster_cleanup
    if [[ $etcd_pid ]]; then
        kill -KILL "$etcd_pid" 2>/dev/null
        wait "$etcd_pid" 2>/dev/null
    fi
    etcd_pid='' bridge='' links=0 endpoints=() in_ns=()
}
trap 'clean; rm -rf "$room"' EXIT
can_namespaces || { echo "network namespaces cannot be made here"; exit 77; }

fail () {
    echo "FAILED: $way: $1"
    tail -n 20 "$room"/*.log
    exit 1
}

#  within WHAT COMMAND...: until it succeeds
within () {
    local what=$1 end=$((SECONDS + wait_s))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "$what"
        sleep 0.1
    done
    echo "ok: $way: $what"
}

#  sees NUMBER NAMES: the node of that number sees exactly these
sees () {
    [[ $(members_of "$1" 2>/dev/null) == "$2" ]]
}

console () {
    local number=$1
    shift
    # shellcheck disable=SC2086
    ${in_ns[number]} "$B/bin/umbp-console" --endpoint "${endpoints[number]}" "$@"
}

#  Names of the nodes that etcd knows, in one line
keys_are () {
    [[ $(ETCDCTL_API=3 ip netns exec "$etcd_host" etcdctl --endpoints "$etcd_url" get --prefix \
        --keys-only "/umbp/$cluster/" 2>/dev/null | sed -n 's,.*/,,p' | sort | tr '\n' ' ') == "$1" ]]
}

#  A namespace with an etcd
start_etcd () {
    add_host || return 1
    etcd_host=$host etcd_url=http://$address:2379
    setsid ip netns exec "$host" etcd --name one --data-dir "$room/data" --logger zap \
        --log-outputs stderr --listen-client-urls "$etcd_url" --advertise-client-urls "$etcd_url" \
        --listen-peer-urls "http://$address:2380" \
        --initial-advertise-peer-urls "http://$address:2380" \
        --initial-cluster "one=http://$address:2380" >"$room/etcd.log" 2>&1 </dev/null &
    etcd_pid=$!
}

#  start_split NUMBER: a node of this way, at 10.77.0.NUMBER
start_split () {
    local flags
    case $way in
    seeds) flags=(--cluster-seeds tcp://10.77.0.1:7710,tcp://10.77.0.2:7710) ;;
    gossip) flags=(--gossip-bind "tcp://10.77.0.$1:7711"
                   --gossip-connect tcp://10.77.0.1:7711,tcp://10.77.0.2:7711) ;;
    beacon) flags=(--beacon-port 5671 --beacon-interface eth0) ;;
    etcd) flags=(--etcd-endpoints "$etcd_url" --etcd-ttl 2s) ;;
    esac
    rm -f "$room/node-$1.log"           #  Of the way before
    start_node "node-$1" "tcp://10.77.0.$1:7710" --security-insecure=yes "${flags[@]}"
    endpoints+=("$(endpoint_of "node-$1" "${pids[-1]}")")
    [[ ${endpoints[-1]} ]] || fail "node-$1 does not start"
}

#  Two hosts, and what this way needs besides; then the nodes
split () {
    local number
    way=$1 cluster=split-$1
    make_bridge || fail "no bridge"
    for number in 1 2; do
        add_host || fail "no host"
        in_ns+=("ip netns exec $host")
    done
    [[ $way != etcd ]] || start_etcd || fail "no etcd"
    start_split 1
    start_split 2
    within "node-1 sees both" sees 0 'node-1 node-2 '
    within "node-2 sees both" sees 1 'node-1 node-2 '
    [[ $way != etcd ]] || within "etcd knows both" keys_are 'node-1 node-2 '

    ip -n "$bridge" link set port2 down || fail "the LAN cannot be cut"
    within "cut: node-1 is alone" sees 0 'node-1 '
    within "cut: node-2 is alone" sees 1 'node-2 '
    [[ $way != etcd ]] || within "cut: etcd knows one" keys_are 'node-1 '
    for number in 0 1; do
        console $number put "key $number" --text "of node $number" >/dev/null \
            || fail "a node alone does not serve"
    done

    ip -n "$bridge" link set port2 up || fail "the LAN cannot be mended"
    within "healed: node-1 sees both" sees 0 'node-1 node-2 '
    within "healed: node-2 sees both" sees 1 'node-1 node-2 '
    [[ $way != etcd ]] || within "healed: etcd knows both" keys_are 'node-1 node-2 '
    within "healed: node-1 has what node-2 took" has 0 'key 1' 'of node 1'
    within "healed: node-2 has what node-1 took" has 1 'key 0' 'of node 0'
    stop_cluster || fail "not all nodes ended well"
    clean
}

has () {
    [[ $(console "$1" get "$2" - 2>/dev/null) == "$3" ]]
}

split seeds
split gossip
split beacon
if command -v etcd >/dev/null && command -v etcdctl >/dev/null; then
    split etcd
else
    echo "left out: etcd, apt-get install etcd-server etcd-client"
fi
