#!/usr/bin/env bash
#  test/cluster/heal.sh [WAY...] - a LAN of two falls apart and heals, with each way of discovery:
#  each side goes on with what it has, and afterwards both agree on members and ring and have
#  everything. And one that heals before anybody is gone: nobody is given up, nothing is erased and
#  nothing is told again. etcd: only the nodes are cut off from each other; etcd-far: one of them from
#  etcd as well.
. "$(dirname "$0")/../chaos/prepare.sh"

(($#)) || set -- seeds gossip beacon etcd etcd-far
for way; do
    case_of split "$way"
    case_of blink "$way"
done
exit $some
