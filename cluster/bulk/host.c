//  cluster/bulk/host.c - which host this process is on. See host.h.
#include "cluster/bulk/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

//  Drawn anew by the kernel each time it starts. Returns its length, 0 if it cannot be read.
static size_t s_boot_id (char *out, size_t size)
{
    int fd = open ("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    ssize_t got = read (fd, out, size - 1);
    close (fd);
    out[got > 0 ? got : 0] = 0;
    return strcspn (out, "\n");
}

//  The number of a namespace, 0 if it cannot be read
static uint64_t s_namespace (const char *path)
{
    struct stat status;
    return stat (path, &status) == 0 ? (uint64_t) status.st_ino : 0;
}

char *umbp_host_id (char *out, size_t size)
{
    char boot[64];
    size_t length = s_boot_id (boot, sizeof boot);
    uint64_t files = s_namespace ("/proc/self/ns/mnt"), names = s_namespace ("/proc/self/ns/uts");
    int used = snprintf (out, size, "%.*s-%" PRIu64 "-%" PRIu64 "-%u", (int) length, boot, files,
                         names, (unsigned) geteuid ());
    if (length == 0 || files == 0 || names == 0 || used < 0 || (size_t) used >= size)
        out[0] = 0;
    return out;
}
