//  actors/pressure/cgroup.c - how much memory this process may still take. See cgroup.h.
#include "actors/pressure/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"

#define HOST_PSI "/proc/pressure/memory"
#define MANY (UINT64_C (1) << 60)       //  Version 1 says "no limit" with a number like that

//  ------------------------------------------------------------------------------------------------
//  Files

static bool s_is_there (const char *folder, const char *name)
{
    char path[UMBP_CGROUP_PATH_MAX + 64];
    snprintf (path, sizeof path, "%s/%s", folder, name);
    return access (path, R_OK) == 0;
}

static FILE *s_open (const char *folder, const char *name)
{
    char path[UMBP_CGROUP_PATH_MAX + 64];
    snprintf (path, sizeof path, "%s/%s", folder, name);
    return fopen (path, "re");
}

//  One number; "max" is UINT64_MAX. Returns false if there is none.
static bool s_number (const char *folder, const char *name, uint64_t *out)
{
    char text[64];
    FILE *file = s_open (folder, name);
    bool fine = file && fgets (text, sizeof text, file);
    if (file)
        fclose (file);
    if (!fine)
        return false;
    *out = strncmp (text, "max", 3) == 0 ? UINT64_MAX : strtoull (text, NULL, 10);
    return true;
}

//  The number behind a word at the front of a line; 0 if there is no such line
static uint64_t s_word (const char *folder, const char *name, const char *word)
{
    char line[256];
    uint64_t value = 0;
    size_t size = strlen (word);
    FILE *file = s_open (folder, name);
    while (file && fgets (line, sizeof line, file))
        if (strncmp (line, word, size) == 0 && (line[size] == ' ' || line[size] == ':')) {
            value = strtoull (line + size + 1, NULL, 10);
            break;
        }
    if (file)
        fclose (file);
    return value;
}

//  ------------------------------------------------------------------------------------------------
//  Which cgroup

//  Of a line of /proc/self/mountinfo: where a cgroup file system with these options is mounted, and which part of
//  it is to be seen there
static bool s_mount (int version, char *root, char *where, size_t size)
{
    char line[4096];
    bool found = false;
    FILE *file = fopen ("/proc/self/mountinfo", "re");
    while (file && !found && fgets (line, sizeof line, file)) {
        char type[32], options[1024];
        const char *rest = strstr (line, " - ");
        if (!rest || sscanf (rest, " - %31s %*s %1023s", type, options) != 2)
            continue;
        bool fits = version == 2 ? strcmp (type, "cgroup2") == 0
                                 : strcmp (type, "cgroup") == 0 && strstr (options, "memory");
        char seen[1024], place[1024];
        if (!fits || sscanf (line, "%*s %*s %*s %1023s %1023s", seen, place) != 2)
            continue;
        snprintf (root, size, "%s", strcmp (seen, "/") == 0 ? "" : seen);
        snprintf (where, size, "%s", place);
        found = true;
    }
    if (file)
        fclose (file);
    return found;
}

//  Our path in the hierarchy, of /proc/self/cgroup
static bool s_path (int version, char *path, size_t size)
{
    char line[2048];
    bool found = false;
    FILE *file = fopen ("/proc/self/cgroup", "re");
    while (file && !found && fgets (line, sizeof line, file)) {
        line[strcspn (line, "\n")] = 0;
        char *names = strchr (line, ':'), *at = names ? strchr (names + 1, ':') : NULL;
        if (!at)
            continue;
        *at = 0;
        found = version == 2 ? names[1] == 0 : strstr (names + 1, "memory") != NULL;
        if (found)
            snprintf (path, size, "%s", at + 1);
    }
    if (file)
        fclose (file);
    return found;
}

static const char *s_limit_name (int version)
{
    return version == 2 ? "memory.max" : "memory.limit_in_bytes";
}

//  Our folder of one version, if its memory controller is on. In a container the path may be one that only
//  others see: then the mount itself is ours.
static bool s_find (umbp_cgroup_t *self, int version)
{
    char root[1024], where[1024], path[1024];
    if (!s_mount (version, root, where, sizeof where) || !s_path (version, path, sizeof path))
        return false;
    size_t skip = strlen (root);
    const char *below = strncmp (path, root, skip) == 0 ? path + skip : "";
    int size = snprintf (self->folder, sizeof self->folder, "%s%s", where, below);
    if (size >= (int) sizeof self->folder)
        return false;
    if (!s_is_there (self->folder, s_limit_name (version)))
        snprintf (self->folder, sizeof self->folder, "%s", where);
    self->version = version;
    return s_is_there (self->folder, s_limit_name (version));
}

int umbp_cgroup_find (umbp_cgroup_t *self, const char *override)
{
    *self = (umbp_cgroup_t) { .version = 0 };
    if (override && *override) {
        snprintf (self->folder, sizeof self->folder, "%s", override);
        self->version = s_is_there (override, s_limit_name (2))   ? 2
                        : s_is_there (override, s_limit_name (1)) ? 1
                                                                  : 0;
        if (self->version == 0)
            return UMBP_ENOENT;
    } else if (!s_find (self, 2) && !s_find (self, 1))
        *self = (umbp_cgroup_t) { .version = 0 };
    bool own = self->version == 2 && s_is_there (self->folder, "memory.pressure");
    snprintf (self->psi, sizeof self->psi, "%s%s", own ? self->folder : "",
              own ? "/memory.pressure" : HOST_PSI);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  How it is

//  The nearest limit above us counts too; version 1 says it itself
static bool s_read_v1 (const umbp_cgroup_t *self, umbp_memory_t *out)
{
    uint64_t reclaimable = s_word (self->folder, "memory.stat", "total_inactive_file")
                           + s_word (self->folder, "memory.stat", "total_active_file");
    if (!s_number (self->folder, "memory.usage_in_bytes", &out->used)
        || !s_number (self->folder, "memory.limit_in_bytes", &out->limit))
        return false;
    uint64_t above = s_word (self->folder, "memory.stat", "hierarchical_memory_limit");
    if (above && above < out->limit)
        out->limit = above;
    out->limit = out->limit >= MANY ? UINT64_MAX : out->limit;
    out->used -= reclaimable < out->used ? reclaimable : out->used;
    s_number (self->folder, "memory.failcnt", &out->max);
    out->oom_kills = s_word (self->folder, "memory.oom_control", "oom_kill");
    return true;
}

static bool s_read_v2 (const umbp_cgroup_t *self, umbp_memory_t *out)
{
    uint64_t high = UINT64_MAX;
    uint64_t reclaimable = s_word (self->folder, "memory.stat", "inactive_file")
                           + s_word (self->folder, "memory.stat", "active_file");
    if (!s_number (self->folder, "memory.current", &out->used)
        || !s_number (self->folder, "memory.max", &out->limit))
        return false;
    s_number (self->folder, "memory.high", &high);
    out->limit = high < out->limit ? high : out->limit;
    out->used -= reclaimable < out->used ? reclaimable : out->used;
    out->high = s_word (self->folder, "memory.events", "high");
    out->max = s_word (self->folder, "memory.events", "max");
    out->oom_kills = s_word (self->folder, "memory.events", "oom_kill");
    return true;
}

int umbp_cgroup_read (const umbp_cgroup_t *self, umbp_memory_t *out)
{
    *out = (umbp_memory_t) { .limit = UINT64_MAX };
    out->host_total = s_word ("/proc", "meminfo", "MemTotal") * 1024;
    out->host_available = s_word ("/proc", "meminfo", "MemAvailable") * 1024;
    if (self->version == 0)
        return out->host_total ? 0 : UMBP_ENOENT;
    bool fine = self->version == 2 ? s_read_v2 (self, out) : s_read_v1 (self, out);
    return fine ? 0 : UMBP_ENOENT;
}

static unsigned s_share (uint64_t left, uint64_t total)
{
    return total ? (unsigned) ((double) (left < total ? left : total) / (double) total * 1000)
                 : 1000;
}

unsigned umbp_memory_available (const umbp_memory_t *memory)
{
    unsigned host = s_share (memory->host_available, memory->host_total), own = 1000;
    if (memory->limit != UINT64_MAX)
        own = s_share (memory->used < memory->limit ? memory->limit - memory->used : 0,
                       memory->limit);
    return own < host ? own : host;
}

static uint64_t s_missing (uint64_t left, uint64_t total, unsigned permille)
{
    uint64_t wanted = total / 1000 * permille;
    return wanted > left ? wanted - left : 0;
}

uint64_t umbp_memory_missing (const umbp_memory_t *memory, unsigned permille)
{
    uint64_t host = s_missing (memory->host_available, memory->host_total, permille), own = 0;
    if (memory->limit != UINT64_MAX)
        own = s_missing (memory->used < memory->limit ? memory->limit - memory->used : 0,
                         memory->limit, permille);
    return own > host ? own : host;
}
