#!/usr/bin/env bash
#  test/tier/filesystems.sh - the segment log on file systems of its own: ext4 in a file, tmpfs; one with no room, one
#  that is mounted read-only. In a mount namespace, which needs root (skipped without). $UMBP_BUILD: the build folder.
set -euo pipefail
test=${UMBP_BUILD:-build}/test/test_log
if [[ ${1-} != inside ]]; then
    [[ $(id -u) == 0 ]] || { echo "needs root, for mounts of its own"; exit 77; }
    unshare -m true 2>/dev/null || { echo "no mount namespaces here"; exit 77; }
    folder=$(mktemp -d /var/tmp/umbp-fs-XXXXXX)
    status=0
    unshare -m --propagation private "$0" inside "$folder" || status=$?
    rm -f "$folder/image"
    rmdir "$folder/disk" "$folder"
    exit $status
fi

folder=$2
mkdir "$folder/disk"
end () { umount "$folder/disk" 2>/dev/null || true; }
trap end EXIT
try () { "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; rm -f "$folder.log"; exit 1; }; rm -f "$folder.log"; }

truncate -s 400M "$folder/image"
mkfs.ext4 -q -F "$folder/image"
mount -o loop "$folder/image" "$folder/disk" || { echo "no loop devices here"; exit 77; }
UMBP_LOG_DIRECTORY=$folder/disk try "$test"
echo "ext4 in a file: right"
try "$test" fill "$folder/disk"
for ((tries = 100; tries > 0; tries--)); do         #  The kernel may still be closing a ring's files
    mount -o remount,ro "$folder/disk" 2>/dev/null && break
    sleep 0.1
done
try "$test" readonly "$folder/disk"
echo "mounted read-only: blocks are read, and nothing else"
leave () { for ((tries = 100; tries > 0; tries--)); do umount "$folder/disk" 2>/dev/null && return; sleep 0.1; done; return 1; }
leave

mount -t tmpfs -o size=400m tmpfs "$folder/disk"
UMBP_LOG_DIRECTORY=$folder/disk try "$test"
echo "tmpfs: right"
leave
mount -t tmpfs -o size=12m tmpfs "$folder/disk"
try "$test" noroom "$folder/disk"
echo "no room: said at the start"
