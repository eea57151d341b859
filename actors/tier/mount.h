//  actors/tier/mount.h - what is mounted where a folder lies, and what is known of how that behaves: /proc/self/mounts
#ifndef UMBP_MOUNT_H
#define UMBP_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char type[64];                      //  "nfs4", "lustre", ...; empty: not found
    char point[256], options[512];
    bool read_only;
    bool known;                         //  Whether fsync and rename there mean what we need is known
    bool many_hosts;                    //  Made to be mounted by several
    const char *means;                  //  A sentence on it
} umbp_mount_t;

//  Of an absolute path without links. table: the text of /proc/self/mounts
void umbp_mount_find (umbp_mount_t *mount, const char *table, const char *path);

//  The same of this process. Blocks as far as the path is looked up; returns 0 or an errno.
int umbp_mount_of (umbp_mount_t *mount, const char *path);

//  One line: "nfs4 at /kv (rw,hard,vers=4.2): ..."
void umbp_mount_print (const umbp_mount_t *mount, char *out, size_t size);

#endif
