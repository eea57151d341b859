#!/usr/bin/env bash
#  test/cluster/etcd.sh - nodes that find each other through a real etcd: it is killed, stopped,
#  restarted with its data and without, asks for passwords and certificates; nodes are killed and end in
#  good order. All on loopback addresses of this test alone. Skipped where there is no etcd-server.
#
#      B=build test/cluster/etcd.sh        B: the build folder, else $UMBP_BUILD, else build
set -uo pipefail
cd "$(dirname "$0")/../.."

B=${B:-${UMBP_BUILD:-build}}
[[ -x $B/bin/umbp-node ]] || { echo "$B/bin/umbp-node is missing: make all"; exit 1; }
for tool in etcd etcdctl; do
    command -v $tool >/dev/null \
        || { echo "$tool is missing: apt-get install etcd-server etcd-client"; exit 77; }
done

room=$(mktemp -d /tmp/umbp-e-XXXXXX)
cluster=green
host=127.$((64 + ($$ >> 16 & 63))).$(($$ >> 8 & 255)).$(($$ & 255))
plain=http://$host:2379
etcd_pid=
wait_s=60                               #  For what takes some seconds at most
node_args=(--node-log info --dram-capacity 16MiB --cluster-suspect 1s --cluster-gone 5s
           --etcd-ttl 2s)
. deploy/cluster.sh

#  stop_etcd SIGNAL: also one that was stopped
stop_etcd () {
    [[ $etcd_pid ]] || return 0
    kill "-$1" "$etcd_pid" 2>/dev/null
    kill -CONT "$etcd_pid" 2>/dev/null
    wait "$etcd_pid" 2>/dev/null
    etcd_pid=
}
trap 'cluster_cleanup; stop_etcd KILL; rm -rf "$room"' EXIT

fail () {
    echo "FAILED: $1"
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
    echo "ok: $what"
}

ctl () {
    ETCDCTL_API=3 etcdctl --command-timeout 5s --endpoints "$plain" "${ctl_args[@]}" "$@" 2>/dev/null
}
ctl_args=()

#  start_etcd FLAG...: with the data in $room/data
start_etcd () {
    setsid etcd --name one --data-dir "$room/data" --logger zap --log-outputs stderr \
        --listen-client-urls "$plain" --advertise-client-urls "$plain" \
        --listen-peer-urls "http://$host:2380" --initial-advertise-peer-urls "http://$host:2380" \
        --initial-cluster "one=http://$host:2380" "$@" >>"$room/etcd.log" 2>&1 </dev/null &
    etcd_pid=$!
}

#  Names of the nodes that etcd knows, in one line
keys () {
    ctl get --prefix --keys-only "/umbp/$cluster/" | sed -n 's,.*/,,p' | sort | tr '\n' ' '
}
keys_are () {
    [[ $(keys) == "$1" ]]
}

#  counter NUMBER NAME: of the etcd actor of that node
counter () {
    "$B/bin/umbp-console" --endpoint "${endpoints[$1]}" --json stat etcd 2>/dev/null | tr -d ' \n' \
        | sed -nE "s/.*\"$2\":([0-9]+).*/\1/p"
}
counter_is () {
    [[ $(counter "$1" "$2") == "$3" ]]
}
counter_above () {
    local value
    value=$(counter "$1" "$2")
    [[ $value ]] && ((value > $3))
}

#  A block put at one node is got at another
blocks_go () {
    "$B/bin/umbp-console" --endpoint "${endpoints[0]}" put "key $1" --text "of $1" >/dev/null \
        && [[ $("$B/bin/umbp-console" --endpoint "${endpoints[1]}" get "key $1" -) == "of $1" ]] \
        || fail "blocks do not go from node to node: $1"
    echo "ok: blocks go from node to node: $1"
}

#  add_node FLAG...: the next one
add_node () {
    local name=node-$((${#pids[@]} + 1))
    rm -f "$room/$name.log"             #  Of one that had this name before, and another endpoint
    start_node "$name" 'tcp://127.0.0.1:*' "$@"
    endpoints+=("$(endpoint_of "$name" "${pids[-1]}")")
    [[ ${endpoints[-1]} ]] || fail "$name does not start"
}

#  sees NUMBER NAMES: the node of that number sees exactly these
sees () {
    [[ $(members_of "$1") == "$2" ]]
}

#  --- They find each other ------------------------------------------------------------------------

start_etcd
for _ in 1 2 3; do
    add_node --etcd-endpoints "$plain"
done
wait_cluster 3 || fail "three nodes do not find each other"
within "etcd knows three nodes" keys_are 'node-1 node-2 node-3 '
[[ $(ctl get --print-value-only "/umbp/$cluster/node-2") == "${endpoints[1]}" ]] \
    || fail "the value is not the endpoint"
within "node-1 watches" counter_is 0 nodes 3
"$B/bin/umbp-console" --endpoint "${endpoints[0]}" stat | grep -qE '^etcd +ok ' \
    || fail "node-1 does not count etcd among its actors"
blocks_go first
ctl put "/umbp/$cluster/stray" nonsense >/dev/null || fail "put"
ctl put "/umbp/other/stray" tcp://127.0.0.1:1 >/dev/null || fail "put"
within "what is no endpoint is ignored" counter_above 0 ignored 0

ctl del "/umbp/$cluster/node-2" >/dev/null || fail "del"
within "a key that was deleted is put again" keys_are 'node-1 node-2 node-3 stray '
ctl del "/umbp/$cluster/stray" >/dev/null || fail "del"
sees 0 'node-1 node-2 node-3 ' || fail "a deleted key is no death"

#  --- etcd goes, and comes again ------------------------------------------------------------------

stop_etcd KILL
within "node-1 knows that etcd is away" counter_is 0 endpoint 0
within "node-2 too" counter_above 1 failures 2
sees 2 'node-1 node-2 node-3 ' || fail "the cluster needs etcd"
blocks_go without-etcd

start_etcd
for number in 0 1 2; do
    within "node-$((number + 1)) works with the restarted etcd" counter_is $number endpoint 1
done
within "etcd still knows them" keys_are 'node-1 node-2 node-3 '

lost=$(counter 0 leases)
stop_etcd KILL
rm -rf "$room/data"
start_etcd
within "an empty etcd knows them again" keys_are 'node-1 node-2 node-3 '
within "by new leases" counter_above 0 leases "$lost"
within "and is watched" counter_is 0 nodes 3

#  --- Nodes go ------------------------------------------------------------------------------------

kill -KILL "${pids[2]}"
wait "${pids[2]}" 2>/dev/null
within "the key of a killed node goes" keys_are 'node-1 node-2 '
within "and so does the node" sees 0 'node-1 node-2 '
unset 'pids[2]' 'endpoints[2]'

#  Its lease would last for an hour. Its list of etcds begins, or ends, with one that is not there.
add_node --etcd-ttl 1h --etcd-endpoints "http://$host:1,$plain,http://$host:2"
within "node-3 finds the etcd that is there" counter_is 2 endpoint 2
within "and the others" sees 2 'node-1 node-2 node-3 '
within "and is known" keys_are 'node-1 node-2 node-3 '
kill -TERM "${pids[2]}"
wait "${pids[2]}" || fail "node-3 did not end well"
unset 'pids[2]' 'endpoints[2]'
within "who ends well takes the key along" keys_are 'node-1 node-2 '

#  --- Cut off from etcd ---------------------------------------------------------------------------

kill -STOP "$etcd_pid"
within "node-1 knows that etcd is silent" counter_is 0 endpoint 0
within "node-2 too" counter_is 1 endpoint 0
add_node --etcd-endpoints "$plain"
within "node-3 has asked in vain" counter_above 2 failures 1
sees 2 'node-3 ' || fail "node-3 cannot know anybody"
sees 0 'node-1 node-2 ' || fail "the cluster needs etcd"
blocks_go cut-off
kill -CONT "$etcd_pid"
within "healed: node-3 is found" sees 0 'node-1 node-2 node-3 '
within "and finds" sees 2 'node-1 node-2 node-3 '
within "all are registered" keys_are 'node-1 node-2 node-3 '
stop_cluster || fail "not all nodes ended well"
endpoints=()

#  --- Passwords -----------------------------------------------------------------------------------

ctl user add root:secret >/dev/null && ctl user grant-role root root >/dev/null \
    && ctl role add pool >/dev/null && ctl role grant-permission pool --prefix readwrite /umbp/ \
        >/dev/null && ctl user add umbp:pass >/dev/null && ctl user grant-role umbp pool >/dev/null \
    && ctl auth enable >/dev/null || fail "etcd has no users"
cluster=locked
ctl_args=(--user root:secret)
add_node --etcd-ttl 1h --etcd-endpoints "$plain" --etcd-user umbp --etcd-password pass
add_node --etcd-ttl 1h --etcd-endpoints "$plain" --etcd-user umbp --etcd-password pass
wait_cluster 2 || fail "nodes with a password do not find each other"
within "etcd knows who has the password" keys_are 'node-1 node-2 '
add_node --etcd-endpoints "$plain" --etcd-user umbp --etcd-password wrong
within "who has a wrong one is refused" counter_above 2 failures 1
counter_is 2 puts 0 || fail "a wrong password opens etcd"
stop_cluster || fail "not all nodes ended well"
within "tokens revoke as well" keys_are ''
endpoints=() ctl_args=()
stop_etcd KILL

#  --- Certificates --------------------------------------------------------------------------------

command -v openssl >/dev/null || { echo "ok: https not tried, openssl is missing"; exit 0; }
cluster=sealed
plain=https://$host:2379
pem=$room/pem
mkdir "$pem"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$host" -addext "subjectAltName=IP:$host" \
    -addext 'extendedKeyUsage=serverAuth,clientAuth' -keyout "$pem/key" -out "$pem/cert" \
    2>"$room/openssl.log" || fail "openssl makes no certificate"
rm -rf "$room/data"
start_etcd --cert-file "$pem/cert" --key-file "$pem/key" --trusted-ca-file "$pem/cert" \
    --client-cert-auth
ctl_args=(--cacert "$pem/cert" --cert "$pem/cert" --key "$pem/key")
sealed=(--etcd-endpoints "$plain" --etcd-ca "$pem/cert" --etcd-cert "$pem/cert" --etcd-key "$pem/key")
add_node "${sealed[@]}"
add_node "${sealed[@]}"
wait_cluster 2 || fail "nodes with certificates do not find each other"
within "etcd knows who has a certificate" keys_are 'node-1 node-2 '
add_node --etcd-endpoints "$plain"
within "an etcd that nobody vouches for is not spoken to" counter_above 2 failures 1
counter_is 2 leases 0 || fail "certificates are not checked"
stop_cluster || fail "not all nodes ended well"
