#  deploy/cluster.sh - to be sourced: starts nodes on this host that find each other, waits until
#  they do, and ends them in good order. Whoever sources it sets
#
#      B            build folder                    room         folder for sockets and logs
#      cluster      name of the cluster             node_args    array: more flags for all nodes
#      disks        not empty: each node has a disk tier, in a folder of its own in $room
#      shared       not empty: ... and one in $room/shared, which all have
#
#  and calls cluster_cleanup in its EXIT trap. Then
#
#      start_cluster gossip|seeds|beacon COUNT      sets endpoints[], pids[]; in_ns[] for beacon
#      wait_cluster COUNT                           until each node sees so many, 60 s at most
#      stop_cluster                                 0 if all exited with 0
#
#  beacon: each node in a network namespace of its own, joined by veths to a bridge in another one.
#  Nothing of it touches the network of the host. Needs root.

endpoints=()
pids=()
in_ns=()            #  What to put before a command, so that it runs where the node is
namespaces=()
links=0

#  A port of loopback that nobody listens on
free_port () {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
    return 1
}

#  start_node NAME LISTEN FLAG...: a process whose stdout and stderr go to $room/NAME.log. In a
#  session of its own: Ctrl-C is for us, and who gets two signals ends at once
start_node () {
    local name=$1 listen=$2 prefix=${in_ns[${#pids[@]}]:-}
    shift 2
    : >"$room/$name.log"        #  What a former node of that name said is no news
    # shellcheck disable=SC2086
    setsid env -u UMBP_CONFIG $prefix "$B/bin/umbp-node" --node-id "$name" --cluster-name "$cluster" \
        --node-run-dir "$room" --network-listen "$listen" --cluster-heartbeat 200ms \
        ${disks:+--nvme-directories "$room/disk-$name"} ${shared:+--shared-directory "$room/shared"} \
        ${node_args[@]+"${node_args[@]}"} "$@" >"$room/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

#  The endpoint that a node says when it is ready; within 60 s
endpoint_of () {
    local name=$1 pid=$2 end=$((SECONDS + 60))
    while ((SECONDS < end)); do
        sed -nE 's/^umbp-node: ready .*endpoint=(tcp:[^ ]+).*/\1/p' "$room/$name.log" 2>/dev/null \
            | grep . && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "$name does not start:" >&2
    tail -n 5 "$room/$name.log" >&2
    return 1
}

#  --- Namespaces ------------------------------------------------------------------------------

can_namespaces () {
    [[ $(id -u) == 0 ]] && command -v ip >/dev/null && ip netns add "umbp-$$-try" 2>/dev/null \
        && ip netns del "umbp-$$-try"
}

add_namespace () {
    ip netns add "$1" && namespaces+=("$1") && ip -n "$1" link set lo up
}

make_bridge () {
    bridge=umbp-$$-bridge
    add_namespace "$bridge" && ip -n "$bridge" link add lan type bridge forward_delay 0 \
        && ip -n "$bridge" link set lan up
}

#  add_host: one more namespace on the bridge, 10.77.0.1 and so on. Both ends of its veth are made
#  inside, and there is no route out. Sets $host and $address.
add_host () {
    links=$((links + 1))
    host=umbp-$$-$links address=10.77.0.$links
    add_namespace "$host" \
        && ip -n "$bridge" link add "port$links" type veth peer name eth0 netns "$host" \
        && ip -n "$bridge" link set "port$links" master lan up \
        && ip -n "$host" address add "$address/24" broadcast 10.77.0.255 dev eth0 \
        && ip -n "$host" link set eth0 up
}

#  --- The cluster -----------------------------------------------------------------------------

start_gossip () {
    local count=$1 hub number flags
    hub=tcp://127.0.0.1:$(free_port) || return 1
    for ((number = 1; number <= count; number++)); do
        flags=(--gossip-connect "$hub")
        ((number > 1)) || flags=(--gossip-bind "$hub")
        start_node "node-$number" 'tcp://127.0.0.1:*' "${flags[@]}"
        endpoints+=("$(endpoint_of "node-$number" "${pids[-1]}")") || return 1
    done
}

start_seeds () {
    local count=$1 number flags=()
    for ((number = 1; number <= count; number++)); do
        start_node "node-$number" 'tcp://127.0.0.1:*' ${flags[@]+"${flags[@]}"}
        endpoints+=("$(endpoint_of "node-$number" "${pids[-1]}")") || return 1
        flags=(--cluster-seeds "${endpoints[0]}")
    done
}

start_beacon () {
    local count=$1 number first=${#pids[@]}
    [[ ${bridge:-} ]] || make_bridge || return 1
    for ((number = first + 1; number <= first + count; number++)); do
        add_host || return 1
        in_ns+=("ip netns exec $host")
        start_node "node-$number" "tcp://$address:7710" --security-insecure=yes \
            --beacon-port 5671 --beacon-interface eth0
        endpoints+=("$(endpoint_of "node-$number" "${pids[-1]}")") || return 1
    done
}

start_cluster () {
    local i
    "start_$1" "$2" && for i in "${endpoints[@]}"; do [[ $i ]] || return 1; done
}

#  Names of those that a node sees alive and in the ring, sorted, in one line
members_of () {
    # shellcheck disable=SC2086
    ${in_ns[$1]:-} "$B/bin/umbp-console" --endpoint "${endpoints[$1]}" --json nodes \
        | tr -d ' \n' | grep -oE '"node":"[^"]*","state":"alive","in_ring":true' \
        | cut -d '"' -f 4 | sort | tr '\n' ' '
}

wait_cluster () {
    local count=$1 end=$((SECONDS + 60)) number
    for ((number = 0; number < ${#pids[@]}; number++)); do
        until [[ $(members_of $number 2>/dev/null | wc -w) == "$count" ]]; do
            if ((SECONDS >= end)); then
                echo "node-$((number + 1)) sees: $(members_of $number)" >&2
                return 1
            fi
            sleep 0.05
        done
    done
}

stop_cluster () {
    local pid rc=0 status end=$((SECONDS + 20))
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in ${pids[@]+"${pids[@]}"}; do
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < end)); do
            sleep 0.02
        done
        kill -KILL "$pid" 2>/dev/null   #  Only who did not heed the first signal
        wait "$pid"
        status=$?
        ((status == 0)) || { echo "a node exited with $status" >&2; rc=1; }
    done
    pids=()
    return $rc
}

#  Whatever happened: no process, no namespace is left
cluster_cleanup () {
    local pid name
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    for name in ${namespaces[@]+"${namespaces[@]}"}; do
        ip netns del "$name" 2>/dev/null
    done
    pids=() namespaces=()
}
