//  actors/pressure/cgroup.h - how much memory this process may still take: of its cgroup, version 2 or 1, and of
//  the host. What the kernel can have back at once (clean file pages) does not count as used.
//
//  A value: found once, read at any time, never blocks on anything but /proc and /sys.
#ifndef UMBP_CGROUP_H
#define UMBP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_CGROUP_PATH_MAX 1024

typedef struct {
    int version;                        //  2, 1; 0: none, only the host's memory counts
    char folder[UMBP_CGROUP_PATH_MAX];  //  Of its memory controller; empty if version is 0
    char psi[UMBP_CGROUP_PATH_MAX + 32];    //  Its memory.pressure, or /proc/pressure/memory
} umbp_cgroup_t;

typedef struct {
    uint64_t limit, used;               //  Bytes; limit UINT64_MAX: none. used: without clean file pages
    uint64_t high, max;                 //  How often memory.high was passed; how often the limit was hit
    uint64_t oom_kills;                 //  Processes killed
    uint64_t host_total, host_available;
} umbp_memory_t;

//  The memory cgroup of this process. override: a folder to take in its place, empty or NULL: none.
//  Returns 0, or UMBP_ENOENT if override is no folder of a memory cgroup.
int umbp_cgroup_find (umbp_cgroup_t *self, const char *override);

//  How it is now. Returns 0; or UMBP_ENOENT if not even the host says, or the cgroup is gone.
int umbp_cgroup_read (const umbp_cgroup_t *self, umbp_memory_t *out);

//  What is left, per mille of what there is, of the host or of the nearest limit: the less. 1000 if nobody says.
unsigned umbp_memory_available (const umbp_memory_t *memory);

//  Bytes missing until so much is available, per mille, of the scarcer of both; 0: it is
uint64_t umbp_memory_missing (const umbp_memory_t *memory, unsigned permille);

#endif
