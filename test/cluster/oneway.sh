#!/usr/bin/env bash
#  test/cluster/oneway.sh - frames from one node to another are lost, and only these: every call
#  ends, each node has its own blocks, and all is well once it heals.
. "$(dirname "$0")/../chaos/prepare.sh"

case_of oneway
exit $some
