#!/usr/bin/env bash
#  test/cluster/heal.sh - a LAN falls apart and heals, with each way of discovery: each side goes
#  on with what it has, and afterwards all see all and have everything. And one that heals before
#  anybody is gone: nothing is erased and nothing is told again.
. "$(dirname "$0")/../chaos/prepare.sh"

for discovery in gossip seeds beacon; do
    case_of split $discovery
done
case_of blink
exit $some
