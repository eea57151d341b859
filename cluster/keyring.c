//  cluster/keyring.c - the public keys of who may speak to a node. See keyring.h for the contract.
#include "cluster/keyring.h"

#include <czmq.h>
#include <dirent.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "proto/error.h"

#define SECRET "_secret"
#define PATH_ROOM 1024

struct umbp_keyring {
    size_t count;
    umbp_pass_t *passes;                //  Sorted by key
};

umbp_keyring_t *umbp_keyring_new (void)
{
    umbp_keyring_t *self = zmalloc (sizeof (umbp_keyring_t));
    self->passes = zmalloc (UMBP_PASSES_MAX * sizeof (umbp_pass_t));
    return self;
}

void umbp_keyring_destroy (umbp_keyring_t **self_p)
{
    assert (self_p);
    if (*self_p)
        free ((*self_p)->passes);
    freen (*self_p);
}

//  Where a key is, or belongs
static size_t s_search (const umbp_keyring_t *self, const uint8_t *key)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp (self->passes[middle].cert.public_key, key, UMBP_CURVE_KEY) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const umbp_pass_t *umbp_keyring_find (const umbp_keyring_t *self, const uint8_t *key)
{
    size_t index = s_search (self, key);
    const umbp_pass_t *pass = index < self->count ? &self->passes[index] : NULL;
    return pass && memcmp (pass->cert.public_key, key, UMBP_CURVE_KEY) == 0 ? pass : NULL;
}

int umbp_keyring_add (umbp_keyring_t *self, const umbp_pass_t *pass)
{
    if (umbp_keyring_find (self, pass->cert.public_key))
        return 0;
    if (self->count == UMBP_PASSES_MAX)
        return UMBP_EAGAIN;
    size_t index = s_search (self, pass->cert.public_key);
    memmove (&self->passes[index + 1], &self->passes[index],
             (self->count - index) * sizeof (umbp_pass_t));
    self->passes[index] = *pass;
    self->count++;
    return 0;
}

const umbp_pass_t *umbp_keyring_passes (const umbp_keyring_t *self, size_t *count)
{
    *count = self->count;
    return self->passes;
}

const umbp_pass_t *umbp_keyring_at (const umbp_keyring_t *self, const char *endpoint)
{
    const umbp_pass_t *shared = NULL;
    size_t shared_count = 0;
    for (size_t index = 0; index < self->count; index++) {
        const umbp_pass_t *pass = &self->passes[index];
        if (pass->role != UMBP_PASS_NODE)
            continue;
        if (umbp_curve_serves (&pass->cert.words, endpoint))
            return pass;
        if (!*pass->cert.words.endpoint) {
            shared = pass;
            shared_count++;
        }
    }
    return shared_count == 1 ? shared : NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Folders

//  Neither hidden files, as editors and Kubernetes leave them, nor secret parts
static bool s_is_public (const char *name)
{
    size_t size = strlen (name), tail = strlen (SECRET);
    return *name != '.' && (size <= tail || strneq (name + size - tail, SECRET));
}

//  The path of the next certificate of an open folder. Returns NULL at its end.
static const char *s_next (DIR *dir, const char *folder, char *path, size_t size, struct stat *info)
{
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir))
        if (s_is_public (entry->d_name)
            && snprintf (path, size, "%s/%s", folder, entry->d_name) < (int) size
            && stat (path, info) == 0 && S_ISREG (info->st_mode))
            return path;
    return NULL;
}

int umbp_keyring_add_folder (umbp_keyring_t *self, const char *folder, umbp_pass_role_t role,
                             char *why, size_t size)
{
    char path[PATH_ROOM];
    struct stat info;
    int bad = 0, rc = 0;
    DIR *dir = opendir (folder);
    if (!dir) {
        snprintf (why, size, "%s: cannot be read: %s", folder, strerror (errno));
        return UMBP_EIO;
    }
    while (rc == 0 && s_next (dir, folder, path, sizeof path, &info)) {
        umbp_pass_t pass = { .role = role };
        if (umbp_curve_read (path, &pass.cert, why, size) < 0)
            bad++;
        else
            rc = umbp_keyring_add (self, &pass);
    }
    closedir (dir);
    if (rc < 0)
        snprintf (why, size, "%s: more than %d certificates in all", folder, UMBP_PASSES_MAX);
    return rc < 0 ? rc : bad;
}

//  Their order in the folder means nothing, so the numbers of files are added up
uint64_t umbp_keyring_stamp (const char *folder)
{
    if (!folder || !*folder)
        return 1;
    char path[PATH_ROOM];
    struct stat info;
    uint64_t stamp = 2;
    DIR *dir = opendir (folder);
    if (!dir)
        return 0;
    while (s_next (dir, folder, path, sizeof path, &info)) {
        const uint64_t facts[] = {
            XXH3_64bits (path, strlen (path)), (uint64_t) info.st_ino,
            (uint64_t) info.st_size,           (uint64_t) info.st_mtim.tv_sec,
            (uint64_t) info.st_mtim.tv_nsec,   (uint64_t) info.st_mode
        };
        stamp += XXH3_64bits (facts, sizeof facts) | 1;
    }
    closedir (dir);
    return stamp;
}
