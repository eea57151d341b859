#!/usr/bin/env bash
#  test/chaos/check.sh - do those who judge a chaos run see what must never be? See check_ledger.py.
cd "$(dirname "$0")" || exit 1
command -v python3 >/dev/null || { echo "no python3 here"; exit 77; }
exec python3 -B check_ledger.py
