#!/bin/busybox sh
#  test/guest/inside.sh SEED - in the guest: all tests, then our speed and perftest's, in turns; with
#  `bench` in place of the seed, only the speed. Each pair is in MB/s, the median of 3 runs, with one
#  queue pair: of the transport; then of whole calls of a client, get and put of 16 blocks, with
#  messages, windows and checksums, and two queue pairs. Of these only the ratio means something.
plugin=/lib/libumbp-verbs.so
TESTS='guest-verbs guest-keys guest-faults guest-blocks guest-leases guest-migrate guest-devices'
if [ "$1" != bench ]; then
    for program in $TESTS; do
        echo "--- $program"
        $program $plugin "$1" || exit 1
    done
    export GUEST_WINDOWS=off            #  As on devices without memory windows
    echo "--- without windows"
    guest-blocks $plugin "$1" forced && guest-leases $plugin "$1" || exit 1
    unset GUEST_WINDOWS
fi

median () {
    grep -E '^[0-9.]+$' | sort -n | awk '{ a[NR] = $1 } END { print a[int ((NR + 1) / 2)] }'
}

#  perftest's client prints a table; the fourth column is the average
theirs () {
    ib_$1_bw -d rxb -x 1 -F -s $2 -n $3 >/dev/null 2>&1 &
    server=$!
    for try in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        netstat -lnt | grep -q ':18515 ' && break
    done
    ib_$1_bw -d rxa -x 1 -F -s $2 -n $3 127.0.0.1 2>&1 \
        | awk -v bytes=$2 '$1 == bytes { print $4 * 1.048576 }'
    wait $server
}

echo "operation bytes ours theirs ratio"
for bytes in 65536 1048576; do
    count=$((16777216 / bytes))
    for operation in write read; do
        >/tmp/ours
        >/tmp/theirs
        for round in 1 2 3; do
            guest-verbs $plugin bench $operation $bytes $count 1 >>/tmp/ours || exit 1
            theirs $operation $bytes $count >>/tmp/theirs
        done
        ours=$(median </tmp/ours) theirs=$(median </tmp/theirs)
        [ -n "$ours" ] && [ -n "$theirs" ] || { echo "no figures of $operation $bytes"; exit 1; }
        echo "$operation $bytes $ours $theirs" \
            | awk '{ print $1, $2, $3, $4, sprintf ("%.2f", $3 / $4) }'
    done
done

for bytes in 65536 1048576; do
    for operation in put get; do
        >/tmp/ours
        >/tmp/theirs
        verb=read
        [ $operation = put ] && verb=write
        for round in 1 2 3; do
            guest-blocks $plugin bench $operation $bytes 16 2>/dev/null >>/tmp/ours || exit 1
            theirs $verb $bytes $((16777216 / bytes)) >>/tmp/theirs
        done
        ours=$(median </tmp/ours) theirs=$(median </tmp/theirs)
        [ -n "$ours" ] && [ -n "$theirs" ] || { echo "no figures of $operation $bytes"; exit 1; }
        echo "$operation $bytes $ours $theirs" \
            | awk '{ print $1, $2, $3, $4, sprintf ("%.2f", $3 / $4) }'
    done
done
