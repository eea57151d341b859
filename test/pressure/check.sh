#!/usr/bin/env bash
#  test/pressure/check.sh - test/cluster/pressure.sh in short: make check-cluster runs all of it
RUNS=1 exec "$(dirname "$0")/../cluster/pressure.sh"
