//  actors/worker/proc.c - what /proc tells of a process. See proc.h.
#include "actors/worker/proc.h"

#include <ctype.h>
#include <czmq.h>
#include <dirent.h>
#include <fcntl.h>

#include "proto/error.h"

#define FILE_MAX (256u << 10)           //  Of an environment
#define UID_SIZE 36                     //  Of a pod: 8-4-4-4-12
#define PLAIN_SIZE 32                   //  ... of a static one, without dashes
#define CONTAINER_SIZE 64

//  A whole file, terminated. Returns NULL if it cannot be read; free it.
static char *s_read (const char *root, pid_t pid, const char *name, size_t *size)
{
    char path[PATH_MAX];
    if (pid)
        snprintf (path, sizeof path, "%.3000s/%d/%s", root, (int) pid, name);
    else
        snprintf (path, sizeof path, "%.3000s/%s", root, name);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    char *text = fd == -1 ? NULL : malloc (FILE_MAX + 1);
    ssize_t got = 0;
    *size = 0;
    while (text && *size < FILE_MAX && (got = read (fd, text + *size, FILE_MAX - *size)) > 0)
        *size += (size_t) got;
    if (fd != -1)
        close (fd);
    if (text && got == -1) {
        free (text);
        return NULL;
    }
    if (text)
        text[*size] = 0;
    return text;
}

int umbp_proc_stat (const char *root, pid_t pid, umbp_proc_stat_t *out)
{
    size_t size;
    char *text = pid > 0 ? s_read (root, pid, "stat", &size) : NULL;
    //  The name of the program may have any letters in it, but no field after it has a bracket
    const char *at = text ? strrchr (text, ')') : NULL;
    int session = 0;
    unsigned long long start = 0;
    char state = 0;
    int found = at ? sscanf (at + 1,
                             " %c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                             "%*d %*d %llu",
                             &state, &session, &start)
                   : 0;
    free (text);
    if (found != 3)
        return UMBP_ENOENT;
    *out = (umbp_proc_stat_t){ state, session, start };
    return UMBP_OK;
}

char *umbp_proc_boot (const char *root, char *out)
{
    size_t size;
    char *text = s_read (root, 0, "sys/kernel/random/boot_id", &size);
    snprintf (out, UMBP_PROC_BOOT_MAX, "%.*s", text ? (int) strcspn (text, "\n") : 0,
              text ? text : "");
    free (text);
    return out;
}

//  In a block of NAME=VALUE strings
static bool s_find (const char *block, size_t size, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen (name);
    for (const char *at = block; at < block + size; at += strlen (at) + 1)
        if (strncmp (at, name, name_size) == 0 && at[name_size] == '=') {
            snprintf (out, out_size, "%s", at + name_size + 1);
            return true;
        }
    return false;
}

bool umbp_proc_environ (const char *root, pid_t pid, const char *name, char *out, size_t size)
{
    size_t block_size;
    char *block = s_read (root, pid, "environ", &block_size);
    bool found = block && s_find (block, block_size, name, out, size);
    free (block);
    return found;
}

static bool s_has (const char *root, pid_t pid, const char *name, const char *value)
{
    char found[PATH_MAX];
    return umbp_proc_environ (root, pid, name, found, sizeof found) && streq (found, value);
}

pid_t umbp_proc_find (const char *root, const char *name, const char *value, const char *name2,
                      const char *value2)
{
    DIR *dir = opendir (root);
    pid_t best = 0;
    uint64_t oldest = UINT64_MAX;
    for (struct dirent *entry = dir ? readdir (dir) : NULL; entry; entry = readdir (dir)) {
        umbp_proc_stat_t stat;
        pid_t pid = atoi (entry->d_name);
        if (pid > 0 && umbp_proc_stat (root, pid, &stat) == 0 && stat.session == pid
            && stat.state != 'Z' && stat.start_ticks < oldest && s_has (root, pid, name, value)
            && s_has (root, pid, name2, value2)) {
            best = pid;
            oldest = stat.start_ticks;
        }
    }
    if (dir)
        closedir (dir);
    return best;
}

//  ------------------------------------------------------------------------------------------------
//  Containers

static size_t s_run_of_hex (const char *at)
{
    size_t size = 0;
    while (isxdigit ((unsigned char) at[size]))
        size++;
    return size;
}

//  36 letters with four dashes, which systemd writes as underscores, or 32 without. Returns how many.
static size_t s_uid_at (const char *at)
{
    size_t size = 0;
    for (; size < UID_SIZE; size++) {
        bool dash = size == 8 || size == 13 || size == 18 || size == 23;
        if (dash ? at[size] != '-' && at[size] != '_' : !isxdigit ((unsigned char) at[size]))
            break;
    }
    if (size == UID_SIZE)
        return size;
    return s_run_of_hex (at) == PLAIN_SIZE ? PLAIN_SIZE : 0;
}

//  ".../kubepods/burstable/pod<uid>/<id>" (cgroupfs),
//  ".../kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope" (systemd),
//  ".../kubepods-besteffort-pod<uid>.slice:cri-containerd:<id>"
static void s_read_cgroup (const char *path, umbp_proc_map_t *out)
{
    for (const char *at = strstr (path, "pod"); at; at = strstr (at + 1, "pod")) {
        size_t size = s_uid_at (at + 3);
        if (size && (at == path || at[-1] == '/' || at[-1] == '-')) {
            snprintf (out->pod_uid, sizeof out->pod_uid, "%.*s", (int) size, at + 3);
            for (char *letter = out->pod_uid; *letter; letter++)
                *letter = *letter == '_' ? '-' : *letter;
        }
    }
    for (const char *at = path; *at;) {
        size_t size = s_run_of_hex (at);
        if (size == CONTAINER_SIZE && (at == path || strchr ("/-:", at[-1])))
            snprintf (out->container, sizeof out->container, "%.*s", (int) size, at);
        at += size ? size : 1;
    }
}

//  Lines are "number:controllers:path". With version 1 any controller that says something will do
static void s_read_cgroups (char *text, umbp_proc_map_t *out)
{
    char *rest = text;
    for (char *line = strsep (&rest, "\n"); line; line = strsep (&rest, "\n")) {
        const char *path = strchr (line, ':');
        path = path ? strchr (path + 1, ':') : NULL;
        if (path && (!*out->pod_uid || !*out->container))
            s_read_cgroup (path + 1, out);
    }
}

static pid_t s_inner_pid (const char *status)
{
    const char *at = strstr (status, "\nNSpid:");
    if (!at)
        return 0;
    long inner = 0;
    char *end;
    for (at += strlen ("\nNSpid:"); *at && *at != '\n'; at = end) {
        long number = strtol (at, &end, 10);
        if (end == at)
            break;
        inner = number;
        while (*end == ' ' || *end == '\t')
            end++;
    }
    return (pid_t) inner;
}

int umbp_proc_map (const char *root, pid_t pid, umbp_proc_map_t *out)
{
    size_t size;
    *out = (umbp_proc_map_t){ .inner_pid = 0 };
    char *status = s_read (root, pid, "status", &size);
    if (!status)
        return UMBP_ENOENT;
    out->inner_pid = s_inner_pid (status);
    free (status);
    char *cgroups = s_read (root, pid, "cgroup", &size);
    if (cgroups)
        s_read_cgroups (cgroups, out);
    free (cgroups);
    char name[64], space[64], container[64];
    if (umbp_proc_environ (root, pid, "POD_NAME", name, sizeof name)
        && umbp_proc_environ (root, pid, "POD_NAMESPACE", space, sizeof space)
        && umbp_proc_environ (root, pid, "CONTAINER_NAME", container, sizeof container))
        snprintf (out->pod, sizeof out->pod, "%s_%s_%s", space, name, container);
    return UMBP_OK;
}
