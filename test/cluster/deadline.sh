#!/usr/bin/env bash
#  test/cluster/deadline.sh - every call of umbp.h ends by its deadline when a node stands still, is
#  killed or is cut off, with calls under way: of who speaks to it, and of who speaks to another.
. "$(dirname "$0")/../chaos/prepare.sh"

case_of deadline
if [[ ${MINUTES:-} ]]; then             #  In check-cluster
    case_of deadline secure
fi
exit $some
