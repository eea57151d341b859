//  actors/worker/state.c - files of JSON that others write too. See state.h for the contract.
//
//  A save exchanges the new file with the old one in one step (renameat2) and looks at what it got
//  out: if that is not the file we had read, somebody wrote it meanwhile, and both are exchanged
//  back. File systems that cannot exchange get a look and a rename.
#include "actors/worker/state.h"

#include <czmq.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "proto/error.h"

#define LOCK ".umbp.lock"
#define TEMPORARY ".umbp-"              //  Of a file that is being written
#define SWAPS_MAX 16                    //  Times that another writer comes between
#define MISSING_MS 2000                 //  Some editors move a file away before they write it anew

static const char *const s_names[] = { "workers.json", "devices.json" };

//  Which file it is, and since when. Not its ctime, which a rename changes
typedef struct {
    bool there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} stamp_t;

typedef struct {
    stamp_t stamp;                      //  Of what was read or written last
    json_t *records;
    bool noticed;                       //  inotify spoke of it since it was read
    bool bad;
    int64_t missing_since;              //  It was there, and is not; 0: it is
} known_t;

struct umbp_state {
    int dir, lock, notify;
    uint64_t serial;                    //  Of temporary files
    known_t files[UMBP_STATE_FILES];
    umbp_state_step_fn *step;
    void *step_arg;
};

static int s_say (char *why, size_t size, int err, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static int s_say (char *why, size_t size, int err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (why, size, format, args);
    va_end (args);
    return err;
}

//  ------------------------------------------------------------------------------------------------
//  The folder

//  All of the path that is missing, for us alone
static int s_make_path (const char *path)
{
    char part[PATH_MAX];
    snprintf (part, sizeof part, "%s", path);
    for (char *at = part + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            if (mkdir (part, 0700) == -1 && errno != EEXIST)
                return -1;
            *at = '/';
        }
    return mkdir (part, 0700) == -1 && errno != EEXIST ? -1 : 0;
}

static int s_open_dir (umbp_state_t *self, const char *dir, char *why, size_t size)
{
    struct stat info;
    if (strlen (dir) >= PATH_MAX || s_make_path (dir) == -1)
        return s_say (why, size, UMBP_EIO, "cannot make %s: %s", dir, strerror (errno));
    self->dir = open (dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->dir == -1)
        return s_say (why, size, UMBP_EIO, "cannot open %s: %s%s", dir, strerror (errno),
                      errno == ELOOP || errno == ENOTDIR ? ": a symlink or no folder" : "");
    if (fstat (self->dir, &info) == -1 || info.st_uid != geteuid () || (info.st_mode & 022))
        return s_say (why, size, UMBP_EDENIED,
                      "%s: others may write there: it must be owned by user %u and have no more "
                      "than mode 0755",
                      dir, geteuid ());
    self->lock = openat (self->dir, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (self->lock == -1)
        return s_say (why, size, UMBP_EIO, "cannot open %s/" LOCK ": %s", dir, strerror (errno));
    if (flock (self->lock, LOCK_EX | LOCK_NB) == -1)
        return s_say (why, size, UMBP_EEXIST, "%s: another node uses this folder", dir);
    self->notify = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
    if (self->notify != -1
        && inotify_add_watch (self->notify, dir,
                              IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR
                                  | IN_DONT_FOLLOW)
               == -1) {
        close (self->notify);
        self->notify = -1;
    }
    return UMBP_OK;
}

//  What a writer of ours left when it was killed. We have the lock: nobody writes now
static void s_sweep (const umbp_state_t *self)
{
    int fd = dup (self->dir);
    DIR *dir = fd == -1 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd != -1)
            close (fd);
        return;
    }
    rewinddir (dir);
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir))
        if (strncmp (entry->d_name, TEMPORARY, strlen (TEMPORARY)) == 0)
            unlinkat (self->dir, entry->d_name, 0);
    closedir (dir);
}

umbp_state_t *umbp_state_new (const char *dir, int *err, char *why, size_t size)
{
    umbp_state_t *self = zmalloc (sizeof (umbp_state_t));
    self->dir = self->lock = self->notify = -1;
    *err = s_open_dir (self, dir, why, size);
    for (size_t file = 0; file < UMBP_STATE_FILES; file++)
        self->files[file] = (known_t){ .records = json_array (), .noticed = true };
    if (*err == UMBP_OK)
        s_sweep (self);
    else
        umbp_state_destroy (&self);
    return self;
}

void umbp_state_destroy (umbp_state_t **self_p)
{
    umbp_state_t *self = *self_p;
    if (!self)
        return;
    for (size_t file = 0; file < UMBP_STATE_FILES; file++)
        json_decref (self->files[file].records);
    if (self->notify != -1)
        close (self->notify);
    if (self->lock != -1)
        close (self->lock);
    if (self->dir != -1)
        close (self->dir);
    freen (*self_p);
}

int umbp_state_fd (const umbp_state_t *self)
{
    return self->notify;
}

//  An event that we cannot read speaks of all
void umbp_state_drain (umbp_state_t *self)
{
    char room[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
    ssize_t got;
    while ((got = read (self->notify, room, sizeof room)) > 0)
        for (char *at = room; at < room + got;) {
            const struct inotify_event *event = (const struct inotify_event *) at;
            for (size_t file = 0; file < UMBP_STATE_FILES; file++)
                if (event->len == 0 || streq (event->name, s_names[file]))
                    self->files[file].noticed = true;
            at += sizeof *event + event->len;
        }
}

//  ------------------------------------------------------------------------------------------------
//  Reading

static stamp_t s_stamp (const struct stat *info)
{
    return (stamp_t){ true, info->st_dev, info->st_ino, info->st_size, info->st_mtim };
}

static bool s_is_same (const stamp_t *one, const stamp_t *other)
{
    if (!one->there || !other->there)
        return one->there == other->there;
    return one->device == other->device && one->inode == other->inode && one->size == other->size
           && one->changed.tv_sec == other->changed.tv_sec
           && one->changed.tv_nsec == other->changed.tv_nsec;
}

static stamp_t s_look (const umbp_state_t *self, const char *name)
{
    struct stat info;
    if (fstatat (self->dir, name, &info, AT_SYMLINK_NOFOLLOW) == -1)
        return (stamp_t){ .there = false };
    return s_stamp (&info);
}

//  The whole file. Returns NULL with *err set; *size is its size
static char *s_slurp (int fd, size_t expected, size_t *size, int *err)
{
    char *text = malloc (expected + 1);
    ssize_t got = 0;
    *size = 0;
    while (text && *size < expected && (got = read (fd, text + *size, expected - *size)) != 0) {
        if (got == -1 && errno != EINTR)
            break;
        *size += got > 0 ? (size_t) got : 0;
    }
    if (text && got != -1)
        return text;
    *err = UMBP_EIO;
    free (text);
    return NULL;
}

//  Returns the array, new, with *stamp; NULL with *err and why
static json_t *s_parse (const umbp_state_t *self, const char *name, stamp_t *stamp, int *err,
                        char *why, size_t size)
{
    struct stat info;
    int fd = openat (self->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *stamp = (stamp_t){ .there = false };
    if (fd == -1 && errno == ENOENT)
        return json_array ();
    bool loop = fd == -1 && errno == ELOOP;
    if (fd == -1 || fstat (fd, &info) == -1) {
        *err = s_say (why, size, loop ? UMBP_EINVAL : UMBP_EIO, "%s: %s", name,
                      loop ? "a symlink, which is not followed" : strerror (errno));
        *stamp = s_look (self, name);
        if (fd != -1)
            close (fd);
        return NULL;
    }
    *stamp = s_stamp (&info);
    json_t *records = NULL;
    json_error_t fault;
    size_t bytes = 0;
    char *text = NULL;
    if (!S_ISREG (info.st_mode) || info.st_size > UMBP_STATE_BYTES_MAX)
        *err = s_say (why, size, UMBP_EINVAL, "%s: no regular file of at most %u bytes", name,
                      UMBP_STATE_BYTES_MAX);
    else if (!(text = s_slurp (fd, (size_t) info.st_size, &bytes, err)))
        s_say (why, size, *err, "%s: cannot be read: %s", name, strerror (errno));
    else if (!(records = json_loadb (text, bytes, 0, &fault)))
        *err = s_say (why, size, UMBP_EINVAL, "%s:%d: no JSON: %s", name, fault.line, fault.text);
    else if (!json_is_array (records)) {
        *err = s_say (why, size, UMBP_EINVAL, "%s: no array of records", name);
        json_decref (records);
        records = NULL;
    }
    free (text);
    close (fd);
    return records;
}

//  A file that was there counts as empty once it has been missing for a while
static bool s_is_just_gone (known_t *known, const stamp_t *stamp)
{
    if (stamp->there || !known->stamp.there) {
        known->missing_since = 0;
        return false;
    }
    known->missing_since = known->missing_since ? known->missing_since : zclock_mono ();
    return zclock_mono () - known->missing_since < MISSING_MS;
}

int umbp_state_read (umbp_state_t *self, umbp_state_file_t file, char *why, size_t size)
{
    known_t *known = &self->files[file];
    stamp_t stamp = s_look (self, s_names[file]);
    if (!known->noticed && s_is_same (&stamp, &known->stamp))
        return 0;
    if (s_is_just_gone (known, &stamp)) {
        known->noticed = true;
        return 0;
    }
    bool again = known->bad && s_is_same (&stamp, &known->stamp);
    int err = UMBP_OK;
    json_t *records = s_parse (self, s_names[file], &stamp, &err, why, size);
    known->noticed = err == UMBP_EIO;   //  Then it is tried again
    if (!records) {
        if (err == UMBP_EINVAL)
            known->stamp = stamp;
        known->bad = err == UMBP_EINVAL;
        return again ? 0 : err;
    }
    known->bad = false;
    known->stamp = stamp;
    bool same = json_equal (records, known->records);
    json_decref (known->records);
    known->records = records;
    return !same;
}

bool umbp_state_is_bad (const umbp_state_t *self, umbp_state_file_t file)
{
    return self->files[file].bad;
}

const json_t *umbp_state_records (const umbp_state_t *self, umbp_state_file_t file)
{
    return self->files[file].records;
}

int umbp_state_put_aside (umbp_state_t *self, umbp_state_file_t file, char *name, size_t size)
{
    known_t *known = &self->files[file];
    int rc = -1;
    for (unsigned number = 0; number < UMBP_STATE_BADS_MAX && rc == -1; number++) {
        snprintf (name, size, number ? "%s.bad.%u" : "%s.bad", s_names[file], number);
        rc = renameat2 (self->dir, s_names[file], self->dir, name, RENAME_NOREPLACE);
        if (rc == -1 && (errno == EINVAL || number == UMBP_STATE_BADS_MAX - 1))
            rc = renameat (self->dir, s_names[file], self->dir, name);     //  The last one goes
        if (rc == -1 && errno != EEXIST)
            return UMBP_EIO;
    }
    known->bad = false;
    known->stamp = (stamp_t){ .there = false };
    return fsync (self->dir) == 0 ? UMBP_OK : UMBP_EIO;
}

//  ------------------------------------------------------------------------------------------------
//  Writing

void umbp_state_set_step (umbp_state_t *self, umbp_state_step_fn *fn, void *arg)
{
    self->step = fn;
    self->step_arg = arg;
}

static void s_step (const umbp_state_t *self, const char *step)
{
    if (self->step)
        self->step (self->step_arg, step);
}

static bool s_write (int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t put = write (fd, text, size);
        if (put == -1 && errno != EINTR)
            return false;
        text += put > 0 ? put : 0;
        size -= put > 0 ? (size_t) put : 0;
    }
    return true;
}

//  A new file with this content, on the disk. As readable for others as the former one was.
static bool s_write_temporary (const umbp_state_t *self, const char *temporary, const char *former,
                               const char *text, stamp_t *stamp)
{
    struct stat info;
    mode_t mode =
        fstatat (self->dir, former, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG (info.st_mode)
            ? info.st_mode & 0644
            : 0600;
    s_step (self, "create");
    int fd =
        openat (self->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd == -1)
        return false;
    s_step (self, "write");
    bool fine = s_write (fd, text, strlen (text)) && s_write (fd, "\n", 1);
    s_step (self, "sync");
    fine = fine && fchmod (fd, mode) == 0 && fsync (fd) == 0 && fstat (fd, &info) == 0;
    *stamp = s_stamp (&info);
    return close (fd) == 0 && fine;
}

//  Where nothing can be exchanged: there is a moment in which another writer is not noticed
static int s_rename (umbp_state_t *self, const known_t *known, const char *name,
                     const char *temporary)
{
    stamp_t now = s_look (self, name);
    if (!s_is_same (&now, &known->stamp))
        return UMBP_ESTALE;
    return renameat (self->dir, temporary, self->dir, name) == 0 ? UMBP_OK : UMBP_EIO;
}

//  Put the new file in place of the one we know, or of none. UMBP_ESTALE: of another one, which
//  stays. In any case what remains under the temporary name is of no more use.
static int s_swap (umbp_state_t *self, const known_t *known, const char *name,
                   const char *temporary, const stamp_t *own)
{
    s_step (self, "swap");
    if (!known->stamp.there) {
        if (renameat2 (self->dir, temporary, self->dir, name, RENAME_NOREPLACE) == 0)
            return UMBP_OK;
        return errno == EEXIST   ? UMBP_ESTALE
               : errno == EINVAL ? s_rename (self, known, name, temporary)
                                 : UMBP_EIO;
    }
    if (renameat2 (self->dir, temporary, self->dir, name, RENAME_EXCHANGE) == -1)
        return errno == ENOENT   ? UMBP_ESTALE
               : errno == EINVAL ? s_rename (self, known, name, temporary)
                                 : UMBP_EIO;
    s_step (self, "check");
    stamp_t out = s_look (self, temporary);
    if (s_is_same (&out, &known->stamp))
        return UMBP_OK;
    //  Another's. Back; and should he have written over ours by now, that one instead
    stamp_t placed = *own;
    for (unsigned turn = 0; turn < SWAPS_MAX; turn++) {
        if (renameat2 (self->dir, temporary, self->dir, name, RENAME_EXCHANGE) == -1)
            return UMBP_EIO;
        stamp_t now = s_look (self, temporary);
        if (s_is_same (&now, &placed))
            break;
        placed = out;
        out = now;
    }
    return UMBP_ESTALE;
}

int umbp_state_save (umbp_state_t *self, umbp_state_file_t file, const json_t *records, char *why,
                     size_t size)
{
    known_t *known = &self->files[file];
    const char *name = s_names[file];
    stamp_t stamp = s_look (self, name);
    if (known->bad || !s_is_same (&stamp, &known->stamp)) {
        known->noticed = true;
        return UMBP_ESTALE;
    }
    char temporary[NAME_MAX];
    snprintf (temporary, sizeof temporary, TEMPORARY "%s-%d-%" PRIx64 "-%" PRIu64, name, getpid (),
              (uint64_t) zclock_usecs (), self->serial++);
    char *text = json_dumps (records, JSON_INDENT (2));
    int rc = text && s_write_temporary (self, temporary, name, text, &stamp)
                 ? s_swap (self, known, name, temporary, &stamp)
                 : UMBP_EIO;
    if (rc == UMBP_EIO)
        s_say (why, size, rc, "%s: cannot be written: %s", name, strerror (errno));
    free (text);
    s_step (self, "sweep");
    unlinkat (self->dir, temporary, 0);
    s_step (self, "sync_dir");
    if (rc == UMBP_OK && fsync (self->dir) == -1)
        rc = s_say (why, size, UMBP_EIO, "%s: cannot be made durable: %s", name, strerror (errno));
    if (rc == UMBP_ESTALE)
        known->noticed = true;
    if (rc != UMBP_OK)
        return rc;
    known->stamp = stamp;
    json_t *copy = json_deep_copy (records);
    json_decref (known->records);
    known->records = copy;
    return UMBP_OK;
}
