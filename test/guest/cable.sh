#!/bin/busybox sh
#  test/guest/cable.sh - in the guest: `cable N up`, `cable N down`, `cable N loss PERCENT`. Routes
#  and neighbours go with a link that goes down, so up makes them anew. /bin/ip, since the shell has
#  an ip of its own.
number=$1 net=10.77.$1
case $2 in
down)
    /bin/ip link set va$number down
    /bin/ip link set vb$number down ;;
loss)
    for end in va vb; do
        /bin/tc qdisc replace dev $end$number root netem limit 100000 loss "$3%" || exit 1
    done ;;
up)
    for end in va:1:2 vb:2:1; do
        set -- ${end%%:*}$number $(echo ${end#*:} | tr : ' ')
        /bin/ip addr add $net.$2/32 dev $1 2>/dev/null
        echo 1 >/proc/sys/net/ipv4/conf/$1/accept_local
        echo 0 >/proc/sys/net/ipv4/conf/$1/rp_filter
        /bin/ip link set $1 mtu 9000 up || exit 1
    done
    for end in va:1:2:vb vb:2:1:va; do
        set -- $(echo $end | tr : ' ')
        table=$((101 + number * 2 + $2))
        /bin/ip route replace $net.$3 dev $1$number src $net.$2 table $table || exit 1
        /bin/ip rule show | grep -q "from $net.$2 to $net.$3 " \
            || /bin/ip rule add pref 10 from $net.$2 to $net.$3 lookup $table || exit 1
        /bin/ip neigh replace $net.$3 dev $1$number lladdr \
            $(cat /sys/class/net/$4$number/address) || exit 1
    done ;;
*)
    echo "cable 0|1 up|down|loss PERCENT" >&2
    exit 2 ;;
esac
