//  actors/tier/mount.c - what is mounted where a folder lies. See mount.h.
#include "actors/tier/mount.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX (1 << 20)

static const struct {
    const char *type,
        *option; //  option: only with this; NULL: always. The first row that fits counts
    bool many_hosts;
    const char *means;
} s_known[] = {
    { "wekafs", "readcache", true,
      "writes go through to the cluster, reads are cached; fsync and rename hold" },
    { "wekafs", NULL, true,
      "writes are cached until fsync, coherent between hosts; rename holds after fsync of the folder" },
    { "nfs", "soft", true,
      "close-to-open; a soft mount gives errors where a hard one waits, and a block is lost for each" },
    { "nfs4", "soft", true,
      "close-to-open; a soft mount gives errors where a hard one waits, and a block is lost for each" },
    { "nfs", NULL, true, "close-to-open; a new name may be seen late (acdirmax, lookupcache)" },
    { "nfs4", NULL, true, "close-to-open; a new name may be seen late (acdirmax, lookupcache)" },
    { "lustre", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "ceph", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "fuse.ceph", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "fuse.ceph-fuse", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "gpfs", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "beegfs", NULL, true, "fsync holds if tuneRemoteFSync is on; rename holds" },
    { "gfs2", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "ocfs2", NULL, true, "coherent between hosts; fsync and rename hold" },
    { "ext4", NULL, false, "of one host only; fsync and rename hold" },
    { "xfs", NULL, false, "of one host only; fsync and rename hold" },
    { "btrfs", NULL, false, "of one host only; fsync and rename hold" },
    { "tmpfs", NULL, false, "memory of one host only; nothing outlives it" },
};

//  Is it one of "a,b=1,c"?
static bool s_has (const char *options, const char *option)
{
    size_t size = strlen (option);
    for (const char *at = options; at; at = strchr (at, ',') ? strchr (at, ',') + 1 : NULL)
        if (strncmp (at, option, size) == 0 && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

//  "\040" and the like
static void s_unescape (char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++)
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7'
            && at[3] >= '0' && at[3] <= '7') {
            *to++ = (char) ((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
        } else
            *to++ = *at;
    *to = '\0';
}

static void s_judge (umbp_mount_t *mount)
{
    mount->read_only = s_has (mount->options, "ro");
    mount->means = "nothing is known of its fsync and rename: try it before you trust it";
    for (size_t row = 0; row < sizeof s_known / sizeof *s_known; row++)
        if (strcmp (s_known[row].type, mount->type) == 0
            && (!s_known[row].option || s_has (mount->options, s_known[row].option))) {
            mount->known = true;
            mount->many_hosts = s_known[row].many_hosts;
            mount->means = s_known[row].means;
            return;
        }
}

void umbp_mount_find (umbp_mount_t *mount, const char *table, const char *path)
{
    *mount = (umbp_mount_t) { .means = "it is not in the list of mounts" };
    size_t best = 0;
    for (const char *line = table; *line;
         line = strchr (line, '\n') ? strchr (line, '\n') + 1 : "") {
        umbp_mount_t one = { .type = "" };
        if (sscanf (line, "%*[^ \n] %255[^ \n] %63[^ \n] %511[^ \n]", one.point, one.type,
                    one.options)
            != 3)
            continue;
        s_unescape (one.point);
        size_t size = strcmp (one.point, "/") == 0 ? 0 : strlen (one.point);
        bool holds = strncmp (path, one.point, size) == 0 && (path[size] == '/' || !path[size]);
        if (!holds || size + 1 < best)  //  Of two at one place the later one is on top
            continue;
        best = size + 1;
        *mount = one;
    }
    if (*mount->type)
        s_judge (mount);
}

int umbp_mount_of (umbp_mount_t *mount, const char *path)
{
    char real[PATH_MAX];
    if (!realpath (path, real))
        return errno;
    FILE *file = fopen ("/proc/self/mounts", "re");
    char *table = file ? calloc (1, TABLE_MAX) : NULL;
    size_t got = table ? fread (table, 1, TABLE_MAX - 1, file) : 0;
    umbp_mount_find (mount, got ? table : "", real);
    free (table);
    if (file)
        fclose (file);
    return 0;
}

void umbp_mount_print (const umbp_mount_t *mount, char *out, size_t size)
{
    snprintf (out, size, "%s at %s (%s): %s%s", *mount->type ? mount->type : "unknown",
              *mount->point ? mount->point : "?", mount->options, mount->means,
              mount->read_only ? "; mounted read-only" : "");
}
