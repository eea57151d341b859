#!/usr/bin/env bash
#  test/cluster/resync.sh - loss.sh at size: 5 M blocks to be told, a node of a million lost. Takes
#  up to 6 GB of memory.
need_kb=7000000
free_kb=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
((free_kb >= need_kb)) || { echo "needs $need_kb KB of free memory, there are $free_kb"; exit 77; }
LOST_KEYS=1000000 RESYNC_KEYS=5000000 exec "$(dirname "$0")/loss.sh"
