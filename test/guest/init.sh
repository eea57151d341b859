#!/bin/busybox sh
#  test/guest/init.sh - the first and only program of the guest that guest.sh starts: devices and
#  cables, then the command, then off. Its own exit status goes out by the second serial port, and
#  isa-debug-exit ends QEMU at once.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
/bin/busybox --install -s /bin 2>/dev/null           # Replaces nothing that is there
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm

finish () {
    echo "status $1" >/dev/ttyS1
    printf '\001' | dd of=/dev/port bs=1 seek=244 2>/dev/null
    poweroff -f
}
must () {
    "$@" || { echo "guest: $* failed" >&2; finish broken; }
}

for module in /modules/*.ko; do
    must insmod "$module"
done
/bin/ip link set lo up
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
#  Both ends of a cable have addresses of this one machine, which would talk to itself by lo, where
#  rxe does not listen. So the local table is asked first only for what came by a cable.
for number in 0 1; do
    must /bin/ip link add va$number type veth peer name vb$number
    must /bin/cable $number up
    for end in va vb; do
        must /bin/ip rule add pref 1 iif $end$number lookup local
    done
done
/bin/ip rule add pref 20 lookup local && /bin/ip rule del pref 0
must /bin/rdma link add rxa type rxe netdev va0
must /bin/rdma link add rxb type rxe netdev vb0
must /bin/rdma link add rxc type rxe netdev va1
must /bin/rdma link add rxd type rxe netdev vb1
ulimit -l unlimited
eval "$(cat /command)"
finish $?
