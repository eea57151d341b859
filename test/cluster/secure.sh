#!/usr/bin/env bash
#  test/cluster/secure.sh - three nodes with certificates, which find each other by gossip, and who
#  may speak to them: a client they know; not one they do not know, nor one without a certificate,
#  nor one that expects another server, nor rubbish, nor a node they do not know that gossip
#  proposes. Certificates are taken away and put back while all run. Nobody may wait for ever.
#
#      B=build test/cluster/secure.sh          B: the build folder, else $UMBP_BUILD, else build
command -v python3 >/dev/null || { echo "no python3 here"; exit 77; }
name=secure
. "$(dirname "$0")/certs.sh"
node_args=(--node-log info --dram-capacity 16MiB --cluster-suspect 5s --cluster-gone 1m
    --security-nodes "$certs/nodes" --security-clients "$certs/clients")
proxy=
cleanup () {
    [[ $proxy ]] && kill "$proxy" 2>/dev/null
    room_cleanup
}
trap cleanup EXIT

#  host NUMBER: a loopback address that only this process uses, one for each node
host () { echo "127.$((128 + $1)).$(($$ >> 8 & 255)).$(($$ & 255))"; }

#  console OWN SERVER NUMBER COMMAND...: ask node NUMBER with these certificates, empty for none
console () {
    local own=${1:+$certs/$1} server=${2:+$certs/$2} number=$3
    shift 3
    timeout 60 "$B/bin/umbp-console" --certificate "$own" --server-certificate "$server" \
        --timeout "${wait:-20s}" --endpoint "${endpoints[number]}" "$@"
}

gauge () { console alice nodes 0 --json stat "$1" | tr -d ' "{}' | tr , '\n' | grep -oP "\b$2:\K\d+"; }

above () { (($(gauge "$1" "$2") > $3)); }
sees () { [[ $(members_of "$1") == "$2 " ]]; }
serves () { console "$1" nodes 0 get key - >/dev/null 2>&1; }
refuses () { ! serves "$1"; }

#  --- Certificates, and who needs none -----------------------------------------------------------

for number in 1 2 3; do
    keygen "node-$number" --node "node-$number" --at "tcp://$(host $number):*"
    cp "$certs/node-$number" "$certs/nodes"
done
keygen rogue --node rogue --at "tcp://$(host 4):*"
keygen alice --name alice
cp "$certs/alice" "$certs/clients"
keygen eve
[[ $(stat -c %a "$certs/alice_secret") == 600 ]] || fail "others may read the secret"
before=$(cat "$certs/alice")
"$B/bin/umbp-console" keygen --out "$certs/alice" >/dev/null 2>&1 && fail "keygen overwrites"
[[ $(cat "$certs/alice") == "$before" ]] || fail "keygen overwrote"
echo "ok: keygen"

check () { "$B/bin/umbp-node" --check-config "$@" >"$room/check" 2>&1; }
check --network-listen tcp://10.0.0.1:7710 && fail "a plain node listens anywhere"
grep -q 'network/listen.*not loopback.*security/insecure' "$room/check" || fail "$(cat "$room/check")"
check --network-bulk-host 10.0.0.1 && fail "a plain node serves bulk bytes anywhere"
grep -q 'network/bulk_host.*not loopback' "$room/check" || fail "$(cat "$room/check")"
"$B/bin/umbp-node" --network-listen tcp://10.0.0.1:7710 >"$room/check" 2>&1
[[ $? == 2 ]] || fail "a plain node starts anywhere"
check --network-listen tcp://10.0.0.1:7710 --security-insecure=yes || fail "$(cat "$room/check")"
check --network-listen tcp://10.0.0.1:7710 --security-certificate "$certs/node-1" \
    || fail "$(cat "$room/check")"
check --security-certificate "$certs/clients/alice" && fail "a certificate without its secret"
grep -q 'security/certificate.*alice_secret' "$room/check" || fail "$(cat "$room/check")"
echo "ok: where a node may listen"

#  --- Three nodes ----------------------------------------------------------------------------------

hub=tcp://$(host 1):$(free_port)
secure_node () {
    local flags=(--gossip-connect "$hub")
    (($1 > 1)) || flags=(--gossip-bind "$hub")
    start_node "$2" "tcp://$(host "$1"):*" --security-certificate "$certs/$2" "${flags[@]}"
    endpoints+=("$(endpoint_of "$2" "${pids[-1]}")")
    [[ ${endpoints[-1]} ]] || fail "$2 does not start"
}
for number in 1 2 3; do
    secure_node "$number" "node-$number"
done
export UMBP_CERTIFICATE=$certs/alice UMBP_SERVER_CERTIFICATE=$certs/nodes
wait_cluster 3 || fail "they do not find each other"
echo "ok: three nodes by gossip, each with a certificate of its own"

console alice nodes 0 stat | grep -qE '^gate +ok ' || fail "the gate is not among the actors"
console alice nodes 0 put key --text "of alice" >/dev/null || fail "alice may not put"
[[ $(console alice node-2 1 get key -) == "of alice" ]] || fail "alice may not get elsewhere"
[[ $(console node-3 nodes 2 get key -) == "of alice" ]] || fail "a node's certificate is no client"
"$B/bin/umbp-bench" mixed --endpoints "${endpoints[0]},${endpoints[2]}" --count 40 --keys 20 \
    --block-bytes 100KiB --no-shm >"$room/bench" 2>&1 || fail "bench: $(cat "$room/bench")"
echo "ok: blocks by message and by the bulk port"

#  --- Strangers --------------------------------------------------------------------------------------

#  stranger WHAT OWN SERVER GAUGE LOG: is refused by node-1 within its time, counted, and named
stranger () {
    local what=$1 gauge=$4 was status start=$SECONDS
    was=$(gauge gate "$gauge")
    wait=2s console "$2" "$3" 0 get key - >"$room/said" 2>&1
    status=$?
    [[ $status == 3 ]] || fail "$what: exit status $status, not 3: $(cat "$room/said")"
    ((SECONDS - start < 50)) || fail "$what waited"
    until_true "$what is refused" above gate "$gauge" "$was"
    until_true "$what is named" grep -qE "gate: refused .*$5" "$room/node-1.log"
}
key=$(sed -nE 's/.*public-key = "(.*)"/\1/p' "$certs/eve")
stranger "a client nobody knows" eve nodes refused_key "neither in security/nodes"
grep -qF "key=$key" "$room/node-1.log" || fail "the log has no key of eve"
stranger "a client that expects another node" alice node-2 refused_handshake "expects another key"
stranger "a client without a certificate" '' '' refused_handshake "does not speak CURVE|no certificate"

was=$(gauge gate accepted)
for rubbish in 'GET / HTTP/1.0\r\n\r\n' '\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03' '\x00\x01\x02'; do
    python3 - "${endpoints[0]}" "$rubbish" <<'PYTHON' || fail "rubbish is not cut off"
import socket, sys
host, port = sys.argv[1].removeprefix("tcp://").rsplit(":", 1)
with socket.create_connection((host, int(port)), timeout=60) as sock:
    try:
        sock.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    except TimeoutError:
        raise
    except OSError:
        pass                            #  Cut off already
PYTHON
done
until_true "rubbish is cut off" above gate accepted $((was + 2))
[[ $(console alice nodes 0 get key -) == "of alice" ]] || fail "alice is not served any more"

#  A node that nobody knows: gossip proposes it to all, and it asks all
was=$(gauge gate refused_key)
node_args+=(--security-clients '')
secure_node 4 rogue
until_true "the rogue node is refused" above gate refused_key "$was"
until_true "nobody dials the rogue node" above gate unnamed_endpoints 0
sleep 2                                 #  Time to make it a member, if anybody would
for number in 0 1 2; do
    until_true "node-$((number + 1)) sees three" sees $number 'node-1 node-2 node-3'
    console alice nodes $number nodes | grep -q rogue && fail "the rogue node is a member"
done
UMBP_CERTIFICATE=$certs/rogue UMBP_SERVER_CERTIFICATE=$certs/rogue sees 3 rogue \
    || fail "the rogue node has found members"
echo "ok: the rogue node is alone"

#  --- What travels -------------------------------------------------------------------------------------

#  listen_in ENDPOINT FLAG...: a console asks that node for its status, and all bytes of both go to
#  $room/wire
listen_in () {
    local target=$1
    shift
    rm -f "$room/proxy" "$room/wire"
    python3 - "$target" "$room/wire" >"$room/proxy" 2>&1 <<'PYTHON' &
import selectors, socket, sys
host, port = sys.argv[1].removeprefix("tcp://").rsplit(":", 1)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
with open(sys.argv[2], "wb", buffering=0) as seen:
    client, _ = server.accept()
    node = socket.create_connection((host, int(port)))
    both = selectors.DefaultSelector()
    both.register(client, selectors.EVENT_READ, node)
    both.register(node, selectors.EVENT_READ, client)
    while True:
        for key, _ in both.select():
            data = key.fileobj.recv(65536)
            if not data:
                sys.exit(0)
            seen.write(data)
            key.data.sendall(data)
PYTHON
    proxy=$!
    until_true "there is a wire to listen to" grep -q . "$room/proxy"
    timeout 60 "$B/bin/umbp-console" --endpoint "tcp://127.0.0.1:$(cat "$room/proxy")" "$@" status \
        >/dev/null || fail "no status through the wire"
    wait "$proxy"
    proxy=
}
words='registry|node-2|tier:dram|secure-'
listen_in "${endpoints[0]}" --certificate "$certs/alice" --server-certificate "$certs/node-1"
[[ $(wc -c <"$room/wire") -gt 500 ]] || fail "nothing was heard on the wire"
grep -qaE "$words" "$room/wire" && fail "the wire is plain"
echo "ok: nothing to read on the wire"

#  --- Certificates that come and go ------------------------------------------------------------------

mv "$certs/clients/alice" "$room/away"
export UMBP_CERTIFICATE=$certs/node-1
wait=2s until_true "alice is refused once her certificate is gone" refuses alice
mv "$room/away" "$certs/clients/alice"
until_true "and served again" serves alice
mv "$certs/nodes/node-3" "$room/away"
until_true "node-1 hears node-3 no more" sees 0 'node-1 node-2'
mv "$room/away" "$certs/nodes/node-3"
export UMBP_CERTIFICATE=$certs/alice
for number in 0 1 2; do
    until_true "node-$((number + 1)) sees all three again" sees $number 'node-1 node-2 node-3'
done
[[ $(console alice nodes 0 get key -) == "of alice" ]] || fail "the block is gone"
stop_cluster || fail "not all nodes ended well"
echo "ok: they leave in good order"

#  --- Plain, and said to be ----------------------------------------------------------------------------

node_args=(--dram-capacity 16MiB --security-insecure=yes)
endpoints=()
start_node plain "tcp://$(host 5):*"
plain=$(endpoint_of plain "${pids[-1]}") || fail "an insecure node does not start"
grep -q 'W: .*security/insecure is set' "$room/plain.log" || fail "it does not say that it is plain"
listen_in "$plain" --certificate '' --server-certificate ''
grep -qaE "$words" "$room/wire" || fail "a plain wire cannot be read: the test above says nothing"
stop_cluster || fail "the plain node did not end well"
echo "ok: an insecure node says so"
