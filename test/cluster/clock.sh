#!/usr/bin/env bash
#  test/cluster/clock.sh - wall clocks jump by hours and years, and a node is started in the past
#  of its former self: nothing is lost and nobody is kept out.
. "$(dirname "$0")/../chaos/prepare.sh"

case_of clock
exit $some
