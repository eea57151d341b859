#!/usr/bin/env bash
#  test/cluster/killed.sh - kill -9 of each node of three in turn: the blocks of the others are
#  found all the time, its own are a miss, and it comes back empty and is welcome.
. "$(dirname "$0")/../chaos/prepare.sh"

case_of killed
exit $some
