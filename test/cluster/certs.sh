#  test/cluster/certs.sh - to be sourced by tests of nodes with certificates: room.sh, of which all
#  that is said there holds, with $certs, for those of nodes and of clients, and
#
#      keygen NAME FLAG...              a pair of certificates in $certs
programs=(umbp-bench)
. "$(dirname "${BASH_SOURCE[0]}")/room.sh"

certs=$room/certs
mkdir -p "$certs/nodes" "$certs/clients"

keygen () { "$B/bin/umbp-console" keygen --out "$certs/$1" "${@:2}" >/dev/null || fail "keygen $1"; }
