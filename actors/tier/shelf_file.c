//  actors/tier/shelf_file.c - what a shelf does to its files. See shelf_file.h.
#include "actors/tier/shelf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY         //  A state on the stack
#include <xxhash.h>

#include "proto/error.h"

#define NUMBERS 34                      //  ".<16 digits>.<16 digits>"
#define PIECES_MAX 160
#define GONE_MAGIC UINT32_C (0x4f474c55)         //  "ULGO"
#define GONE_HEAD 32

int umbp_shelf_mode (const char *name)
{
    static const char *const names[] = { [UMBP_SHELF_RELAXED] = "relaxed",
                                         [UMBP_SHELF_COMMIT] = "commit",
                                         [UMBP_SHELF_STRICT] = "strict" };
    for (int mode = UMBP_SHELF_RELAXED; mode <= UMBP_SHELF_STRICT; mode++)
        if (strcmp (names[mode], name) == 0)
            return mode;
    return UMBP_EINVAL;
}

void umbp_shelf_name (char out[UMBP_SHELF_NAME_MAX], const char *node, uint64_t epoch,
                      uint64_t counter, const char *suffix)
{
    snprintf (out, UMBP_SHELF_NAME_MAX, "%.255s.%016" PRIx64 ".%016" PRIx64 ".%.16s", node, epoch,
              counter, suffix);
}

void umbp_shelf_gone_suffix (char out[17], const char *node)
{
    snprintf (out, 17, "gone-%08" PRIx32, (uint32_t) XXH3_64bits (node, strlen (node)));
}

static bool s_number (const char *text, uint64_t *value_p)
{
    char digits[17] = "";
    memcpy (digits, text, 16);
    char *end;
    *value_p = strtoull (digits, &end, 16);
    return strspn (digits, "0123456789abcdef") == 16 && *end == '\0';
}

const char *umbp_shelf_parse (const char *name, const char *node, uint64_t *epoch_p,
                              uint64_t *counter_p)
{
    size_t size = strlen (node);
    if (strncmp (name, node, size) != 0 || strlen (name) < size + NUMBERS + 2)
        return NULL;
    const char *at = name + size;
    if (at[0] != '.' || at[17] != '.' || at[NUMBERS] != '.' || !s_number (at + 1, epoch_p)
        || !s_number (at + 18, counter_p))
        return NULL;
    return at + NUMBERS + 1;
}

//  ------------------------------------------------------------------------------------------------
//  Transfers

//  All of it, however often it stops short
static int s_transfer (bool writes, int file, const char *path, struct iovec *iov, unsigned count,
                       uint64_t offset)
{
    while (count > 0) {
        int error = umbp_shelf_ill (writes ? "write" : "read", path);
        if (error)
            return error;
        struct iovec some = *iov;
        if (umbp_shelf_short)
            some.iov_len = umbp_shelf_short (some.iov_len);
        bool one = some.iov_len != iov->iov_len;
        const struct iovec *from = one ? &some : iov;
        int pieces = one ? 1 : (int) (count < IOV_MAX ? count : IOV_MAX);
        ssize_t went = writes ? pwritev (file, from, pieces, (off_t) offset)
                              : preadv (file, from, pieces, (off_t) offset);
        if (went < 0 && errno == EINTR)
            continue;
        if (went < 0)
            return errno;
        if (went == 0)                  //  A segment is whole before it has its name
            return writes ? ENOSPC : EBADMSG;
        offset += (uint64_t) went;
        for (; count > 0 && (size_t) went >= iov->iov_len; iov++, count--)
            went -= (ssize_t) iov->iov_len;
        if (count > 0) {
            iov->iov_base = (uint8_t *) iov->iov_base + went;
            iov->iov_len -= (size_t) went;
        }
    }
    return 0;
}

int umbp_shelf_write (int file, const char *path, struct iovec *iov, unsigned count,
                      uint64_t offset)
{
    int error = s_transfer (true, file, path, iov, count, offset);
    if (error == 0)
        umbp_shelf_pass ("written");
    return error;
}

static int s_sync (int file, const char *path)
{
    int error = umbp_shelf_ill ("fdatasync", path);
    return error ? error : fdatasync (file) == 0 ? 0 : errno;
}

static int s_close (int file, const char *path)
{
    int error = umbp_shelf_ill ("close", path);
    int rc = close (file);              //  NFS says here what became of the writes
    return error ? error : rc == 0 || errno == EINTR ? 0 : errno;
}

static int s_sync_folder (const char *folder)
{
    int error = umbp_shelf_ill ("fsync", folder);
    if (error)
        return error;
    int file = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file == -1)
        return errno;
    error = fsync (file) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
    close (file);                       //  Some have no sync of folders: names are safe once made
    return error;
}

static void s_path (char path[UMBP_SHELF_PATH_MAX], const char *folder, const char *name)
{
    snprintf (path, UMBP_SHELF_PATH_MAX, "%.1100s/%.383s", folder, name);
}

//  ------------------------------------------------------------------------------------------------
//  Segments

int umbp_shelf_create (const char *path, const umbp_log_head_t *head, bool dsync, int *file_p)
{
    int error = umbp_shelf_ill ("create", path);
    if (error)
        return error;
    int file = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (dsync ? O_DSYNC : 0), 0640);
    if (file == -1)
        return errno;
    uint8_t block[UMBP_LOG_BLOCK];
    umbp_log_put_head (head, block);
    error = s_transfer (true, file, path, &(struct iovec) { block, sizeof block }, 1, 0);
    if (error) {
        close (file);
        unlink (path);
        return error;
    }
    *file_p = file;
    umbp_shelf_pass ("opened");
    return 0;
}

//  Never over what is there. Where the kernel's call for that does not work: a second name, then without the first.
static int s_rename (const char *from, const char *to)
{
    int error = umbp_shelf_ill ("rename", from);
    if (error == EINVAL || error == ENOSYS)
        errno = error;
    else if (error)
        return error;
    else if (renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (link (from, to) != 0)
        return errno;
    unlink (from);                      //  Left over: the sweep finds it
    return 0;
}

static int s_publish_file (const umbp_shelf_publish_t *how, const char *tmp, const char *name)
{
    int error =
        s_transfer (true, how->file, tmp, &(struct iovec){ (void *) how->table, how->table_bytes },
                    1, how->table_at);
    if (error == 0) {
        umbp_shelf_pass ("tabled");
        error = how->mode == UMBP_SHELF_RELAXED ? 0 : s_sync (how->file, tmp);
    }
    int closed = s_close (how->file, tmp);
    error = error ? error : closed;
    if (error == 0) {
        umbp_shelf_pass ("synced");
        error = s_rename (tmp, name);
    }
    if (error)
        unlink (tmp);
    return error;
}

int umbp_shelf_publish (const umbp_shelf_publish_t *how)
{
    char tmp[UMBP_SHELF_PATH_MAX], name[UMBP_SHELF_PATH_MAX];
    s_path (tmp, how->folder, how->tmp);
    s_path (name, how->folder, how->name);
    int error = s_publish_file (how, tmp, name);
    if (error)
        return error;
    umbp_shelf_pass ("renamed");
    error = umbp_shelf_settle_names (how->folder, how->mode);
    if (error)
        unlink (name);
    else
        umbp_shelf_pass ("published");
    return error;
}

int umbp_shelf_put_file (const char *folder, const char *name, const void *bytes, size_t size,
                         umbp_shelf_mode_t mode)
{
    char tmp[UMBP_SHELF_PATH_MAX], path[UMBP_SHELF_PATH_MAX];
    s_path (path, folder, name);
    snprintf (tmp, sizeof tmp, "%.1530s.tmp", path);
    int file = open (tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (file == -1)
        return errno;
    int error = s_transfer (true, file, tmp, &(struct iovec) { (void *) bytes, size }, 1, 0);
    if (error == 0 && mode != UMBP_SHELF_RELAXED)
        error = s_sync (file, tmp);
    int closed = s_close (file, tmp);
    error = error ? error : closed;
    umbp_shelf_pass ("gone-written");
    if (error == 0 && rename (tmp, path) != 0)
        error = errno;
    if (error)
        unlink (tmp);
    umbp_shelf_pass ("gone-renamed");
    return error ? error : umbp_shelf_settle_names (folder, mode);
}

int umbp_shelf_get_file (const char *path, uint8_t **bytes_p, size_t *size_p)
{
    int error = umbp_shelf_ill ("open", path);
    if (error)
        return error;
    int file = open (path, O_RDONLY | O_CLOEXEC);
    if (file == -1)
        return errno;
    struct stat stat;
    error = fstat (file, &stat) == 0 ? 0 : errno;
    *size_p = (size_t) stat.st_size;
    *bytes_p = error || *size_p > (64 << 20) ? NULL : calloc (1, *size_p + 1);
    if (error == 0 && !*bytes_p)
        error = EFBIG;
    if (error == 0 && *size_p > 0)
        error = s_transfer (false, file, path, &(struct iovec) { *bytes_p, *size_p }, 1, 0);
    close (file);
    if (error) {
        free (*bytes_p);
        *bytes_p = NULL;
    }
    return error;
}

int umbp_shelf_unlink (const char *folder, const char *name)
{
    char path[UMBP_SHELF_PATH_MAX];
    s_path (path, folder, name);
    int error = umbp_shelf_ill ("unlink", path);
    if (error == 0 && unlink (path) != 0 && errno != ENOENT)
        error = errno;
    umbp_shelf_pass ("unlinked");
    return error;
}

int umbp_shelf_settle_names (const char *folder, umbp_shelf_mode_t mode)
{
    return mode == UMBP_SHELF_RELAXED ? 0 : s_sync_folder (folder);
}

struct dirent *umbp_shelf_next (DIR *folder, const char *path, int *error_p)
{
    *error_p = umbp_shelf_ill ("readdir", path);
    if (*error_p)
        return NULL;
    errno = 0;
    struct dirent *entry = readdir (folder);
    *error_p = entry ? 0 : errno;
    return entry;
}

//  Past what this host remembers of it
int umbp_shelf_probe (const char *folder)
{
    int error = umbp_shelf_ill ("probe", folder);
    if (error)
        return error;
    struct statx what;
    if (statx (AT_FDCWD, folder, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &what) != 0)
        return errno;
    return s_sync_folder (folder);
}

//  ------------------------------------------------------------------------------------------------
//  Reading

//  Vectors for length bytes of data. Returns how many.
static unsigned s_cut (const umbp_shelf_ask_t *ask, struct iovec out[PIECES_MAX])
{
    uint64_t left = ask->length;
    unsigned count = 0;
    for (; count < ask->count && count < PIECES_MAX && left > 0; count++) {
        out[count] = ask->data[count];
        if (out[count].iov_len > left)
            out[count].iov_len = left;
        left -= out[count].iov_len;
    }
    return left == 0 ? count : 0;
}

static uint64_t s_sum (const struct iovec *iov, unsigned count)
{
    XXH3_state_t state;
    XXH3_64bits_reset (&state);
    for (unsigned index = 0; index < count; index++)
        XXH3_64bits_update (&state, iov[index].iov_base, iov[index].iov_len);
    return XXH3_64bits_digest (&state);
}

//  Its segment's number and use
static int s_identify (int file, const umbp_shelf_ask_t *ask, uint64_t *id_p, uint64_t *seq_p)
{
    *id_p = ask->id;
    *seq_p = ask->seq;
    if (ask->id)
        return 0;
    uint8_t block[UMBP_LOG_BLOCK];
    umbp_log_head_t head;
    int error = s_transfer (false, file, ask->path, &(struct iovec){ block, sizeof block }, 1, 0);
    if (error)
        return error;
    memcpy (id_p, block + 8, sizeof *id_p);
    if (!umbp_log_get_head (&head, block, *id_p))
        return EBADMSG;
    *seq_p = head.seq;
    return 0;
}

static int s_read_open (int file, const umbp_shelf_ask_t *ask)
{
    uint8_t bytes[UMBP_LOG_BLOCK];
    struct iovec iov[PIECES_MAX];
    struct stat stat;
    uint64_t id = 0, seq = 0;
    int error = fstat (file, &stat) == 0 ? s_identify (file, ask, &id, &seq) : errno;
    size_t room = umbp_log_up (UMBP_LOG_RECORD_BYTES + ask->key_size, 8);
    if (error == 0)
        error = s_transfer (false, file, ask->path, &(struct iovec) { bytes, room }, 1, ask->place);
    if (error)
        return error;
    umbp_log_note_t note;
    if (!umbp_log_get_note (&note, bytes, room, id, seq, ask->place, (uint64_t) stat.st_size)
        || note.size != ask->size || note.key_size != ask->key_size
        || (ask->key && memcmp (note.key, ask->key, note.key_size) != 0))
        return EBADMSG;
    unsigned count = s_cut (ask, iov);
    uint64_t at = ask->place + umbp_log_note_data (&note) + ask->offset;
    error = count ? s_transfer (false, file, ask->path, iov, count, at) : EINVAL;
    if (error || ask->length != ask->size)
        return error;
    count = s_cut (ask, iov);
    return s_sum (iov, count) == note.sum ? 0 : EBADMSG;
}

static int s_read_once (const umbp_shelf_ask_t *ask)
{
    int error = umbp_shelf_ill ("open", ask->path);
    if (error)
        return error;
    int file = open (ask->path, O_RDONLY | O_CLOEXEC);
    if (file == -1)
        return errno;
    error = s_read_open (file, ask);
    close (file);
    return error;
}

int umbp_shelf_read_file (const umbp_shelf_ask_t *ask)
{
    static const long waits_ms[] = { 10, 50, 200 };
    int error = s_read_once (ask);
    for (size_t turn = 0; ask->patient && error == ENOENT && turn < 3; turn++) {
        nanosleep (&(struct timespec) { 0, waits_ms[turn] * 1000000 }, NULL);
        error = s_read_once (ask);
    }
    return error == ESTALE || error == EIO ? s_read_once (ask) : error;
}

//  ------------------------------------------------------------------------------------------------
//  What was removed

static uint64_t s_gone_sum (const uint8_t *bytes, size_t size, uint64_t id)
{
    XXH3_state_t state;
    XXH3_64bits_reset_withSeed (&state, id);
    XXH3_64bits_update (&state, bytes, GONE_HEAD - 8);
    XXH3_64bits_update (&state, bytes + GONE_HEAD, size - GONE_HEAD);
    return XXH3_64bits_digest (&state);
}

uint8_t *umbp_shelf_put_gone (uint64_t id, const uint32_t *places, size_t count, size_t *size_p)
{
    *size_p = GONE_HEAD + count * sizeof *places;
    uint8_t *bytes = calloc (1, *size_p);
    if (!bytes)
        return NULL;
    const uint32_t magic[] = { GONE_MAGIC, UMBP_LOG_VERSION };
    const uint64_t words[] = { id, count };
    memcpy (bytes, magic, sizeof magic);
    memcpy (bytes + 8, words, sizeof words);
    memcpy (bytes + GONE_HEAD, places, count * sizeof *places);
    uint64_t sum = s_gone_sum (bytes, *size_p, id);
    memcpy (bytes + 24, &sum, sizeof sum);
    return bytes;
}

bool umbp_shelf_get_gone (uint64_t id, const uint8_t *bytes, size_t size, const uint32_t **places_p,
                          size_t *count_p)
{
    uint32_t magic[2];
    uint64_t words[3];
    if (size < GONE_HEAD)
        return false;
    memcpy (magic, bytes, sizeof magic);
    memcpy (words, bytes + 8, sizeof words);
    if (magic[0] != GONE_MAGIC || magic[1] != UMBP_LOG_VERSION || words[0] != id
        || words[1] != (size - GONE_HEAD) / sizeof (uint32_t)
        || words[2] != s_gone_sum (bytes, size, id))
        return false;
    *places_p = (const uint32_t *) (const void *) (bytes + GONE_HEAD);
    *count_p = words[1];
    return true;
}
