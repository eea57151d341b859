#!/usr/bin/env bash
#  test/cluster/tenants.sh - two tenants on two nodes, as an operator and users would do it: make
#  certificates, say who may use how much, put and get the same key, go over the quota, look at the
#  use, raise the quota while all run. Bad files are refused with their line.
#
#      B=build test/cluster/tenants.sh         B: the build folder, else $UMBP_BUILD, else build
command -v curl >/dev/null || { echo "no curl here"; exit 77; }
name=tenants
. "$(dirname "$0")/certs.sh"
trap room_cleanup EXIT

#  console OWN NUMBER COMMAND...: ask node NUMBER with this certificate
console () {
    local own=$1 number=$2
    shift 2
    timeout 60 "$B/bin/umbp-console" --certificate "$certs/$own" --server-certificate \
        "$certs/nodes" --timeout 20s --endpoint "${endpoints[number]}" "$@"
}

#  --- Certificates and quotas -------------------------------------------------------------------------

port1=$(free_port)
port2=$(free_port)
for number in 1 2; do
    port=port$number
    keygen "node-$number" --node "node-$number" --at "tcp://127.0.0.1:${!port}"
    cp "$certs/node-$number" "$certs/nodes"
done
for tenant in red blue; do
    keygen "$tenant" --name "$tenant" --tenant "$tenant"
    grep -q "tenant = \"$tenant\"" "$certs/$tenant" || fail "keygen --tenant is not in the certificate"
    cp "$certs/$tenant" "$certs/clients"
done
keygen plain
cp "$certs/plain" "$certs/clients"
"$B/bin/umbp-console" keygen --out "$certs/bad" --tenant 'a b' 2>"$room/said" && fail "a bad name"
grep -q 'tenant' "$room/said" || fail "a bad tenant: $(cat "$room/said")"

check () {
    "$B/bin/umbp-node" --check-config --security-certificate "$certs/node-1" \
        --security-tenants "$certs/quotas" "$@" >"$room/check" 2>&1
}
printf 'tenant = red\n    dram = lots\n' >"$certs/quotas"
check && fail "a bad file of quotas is taken"
grep -q 'security/tenants.*quotas:2: dram: not a size: lots; allowed' "$room/check" \
    || fail "$(cat "$room/check")"
printf 'tenant = red\n    dram = 1MiB\n' >"$certs/quotas"
check || fail "$(cat "$room/check")"
"$B/bin/umbp-node" --check-config --node-tenant red >"$room/check" 2>&1 \
    && fail "a tenant without certificates"
grep -q 'node/tenant.*certificate' "$room/check" || fail "$(cat "$room/check")"
echo "ok: bad settings are refused with file and line"

#  --- Two nodes ------------------------------------------------------------------------------------------

node_args=(--node-log info --dram-capacity 16MiB --dram-page 4KiB
    --security-nodes "$certs/nodes" --security-clients "$certs/clients"
    --security-tenants "$certs/quotas")
gateway=127.0.0.1:$(free_port)
start_node node-1 "tcp://127.0.0.1:$port1" --security-certificate "$certs/node-1" \
    --gateway-listen "tcp://$gateway"
endpoints+=("$(endpoint_of node-1 "${pids[-1]}")")
start_node node-2 "tcp://127.0.0.1:$port2" --security-certificate "$certs/node-2" \
    --cluster-seeds "tcp://127.0.0.1:$port1"
endpoints+=("$(endpoint_of node-2 "${pids[-1]}")")
export UMBP_CERTIFICATE=$certs/plain UMBP_SERVER_CERTIFICATE=$certs/nodes
wait_cluster 2 || fail "they do not find each other"

console red 0 put key --text "of red" >/dev/null || fail "red may not put"
console blue 1 get key - >/dev/null 2>&1 && fail "blue reads what is red's"
console blue 1 exists key >/dev/null && fail "blue finds what is red's"
console blue 1 put key --text "of blue" >/dev/null || fail "blue may not put"
console plain 0 put key --text "of nobody" >/dev/null || fail "a client of no tenant may not put"
[[ $(console red 1 get key -) == "of red" ]] || fail "red gets other bytes"
[[ $(console blue 0 get key -) == "of blue" ]] || fail "blue gets other bytes"
[[ $(console plain 1 get key -) == "of nobody" ]] || fail "no tenant gets other bytes"
echo "ok: one key, three blocks"

console blue 0 rm key >/dev/null || fail "blue may not remove its own"
console blue 0 clear --everywhere --yes >/dev/null || fail "blue may not clear its own"
[[ $(console red 0 get key -) == "of red" ]] || fail "blue removed what is red's"
[[ $(console plain 0 get key -) == "of nobody" ]] || fail "blue removed what is no tenant's"
console blue 0 drain node-2 >/dev/null 2>&1 && fail "a tenant takes nodes away"
echo "ok: nobody removes what is another's"

#  --- Quotas -------------------------------------------------------------------------------------------------

head -c 300000 /dev/urandom >"$room/block"
for number in {1..8}; do                #  Of which 3 fit
    console red 0 put "large-$number" "$room/block" >/dev/null || fail "red has no room of its own"
done
console red 0 get large-8 - | cmp - "$room/block" || fail "other bytes"
head -c 2000000 /dev/urandom >"$room/never"
console red 0 put never "$room/never" >/dev/null 2>"$room/said" && fail "over the quota"
grep -q EQUOTA "$room/said" || fail "not EQUOTA: $(cat "$room/said")"
console blue 0 put never "$room/never" >/dev/null || fail "blue has no limit"
[[ $(console plain 0 get key -) == "of nobody" ]] || fail "the quota of red took another's block"
echo "ok: own blocks make room, then EQUOTA"

use () { console node-1 0 --json tenants; }
use | python3 -c '
import json, sys
rows = {(r["tenant"], r["node"]): r for r in json.load(sys.stdin)["tenants"]}
red = rows["red", "node-1"]
assert red["limit_bytes"] == 1 << 20 and 0 < red["used_bytes"] <= 1 << 20, red
assert red["own_evicted"] >= 5 and red["refused"] >= 1, red
assert "limit_bytes" not in rows["blue", "node-1"] and ("", "node-1") in rows, rows
' || fail "console tenants: $(use)"
console node-1 0 tenants >"$room/table" || fail "no table"
grep -q 'red  *node-1  *dram' "$room/table" || fail "the table: $(cat "$room/table")"
console blue 0 --json tenants | grep -q '"red"' && fail "blue hears of red"
seen () { grep -qF "$1" <<<"$(curl -fsS "http://$gateway/metrics")"; }
until_true "/metrics has a tenant label" seen 'umbp_tenant_limit_bytes{tier="dram",tenant="red"} 1048576'

printf 'tenant = red\n    dram = 4MiB\n    qos = low\n' >"$certs/quotas"
raised () { console red 0 put never "$room/never" >/dev/null 2>&1; }
until_true "a raised quota counts without a restart" raised
echo 'tenant = red oh no' >"$certs/quotas"
said () { grep -q 'gate: .*quotas:1: tenant: allowed are.*stay' "$room/node-1.log"; }
until_true "a bad file is named, and changes nothing" said
console red 1 get never - | cmp - "$room/never" || fail "red is not served any more"
#  --- Pressure: one tenant is suspended, on both nodes, and others are not --------------------------------

console red 0 pressure suspend blue >/dev/null 2>"$room/said" && fail "a tenant suspends another"
grep -q EDENIED "$room/said" || fail "not EDENIED: $(cat "$room/said")"
for node in node-1 node-2; do
    console plain 0 pressure suspend red --node $node >/dev/null || fail "red is not suspended"
done
console red 0 --timeout 1s put fresh --text "no room" >/dev/null 2>&1 && fail "red gets new room"
console blue 0 put fresh --text "of blue" >/dev/null || fail "blue gets no room any more"
console red 1 get never - | cmp - "$room/never" || fail "red lost what it had"
for node in node-1 node-2; do
    console plain 0 pressure resume red --node $node >/dev/null || fail "red is not resumed"
done
console red 0 put fresh --text "of red" >/dev/null || fail "red gets no room after all"
console red 0 --json pressure cost 1TiB --tenant blue | python3 -c '
import json, sys
assert 0 < json.load(sys.stdin)["bytes"] <= 4 << 20     # Its own, whatever it asks for' \
    || fail "red hears what blue has"
echo "ok: one tenant is suspended and resumed, nothing is lost"
stop_cluster || fail "not all nodes ended well"
echo "ok: they leave in good order"
