#!/usr/bin/env bash
#  test/cluster/stopped.sh - a node stands still for $SECONDS_STOPPED, 16 by default, longer than
#  it takes to be gone. It blames nobody for it, and is taken back with all its blocks.
. "$(dirname "$0")/../chaos/prepare.sh"

case_of stopped "${SECONDS_STOPPED:-16}"
exit $some
