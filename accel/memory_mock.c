//  accel/memory_mock.c - device memory that is a memfd: for hosts without devices. UMBP_MOCK_HBM_BYTES
//  bounds what each takes, else what the mock devices of accel/providers/mock.c have. A handle names a
//  process and a descriptor of it, so other processes of the same user can map it as long as that
//  lives, as it is with real devices. See memory.h.
//
//  UMBP_MOCK_HBM_SCRIPT names a file whose first word says what copies are like from now on: "fail" (they do not work),
//  "hang" (they do not return while it says so), "rot" (the first byte that is read back is another one), or none of
//  these.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel/memory_self.h"

#define NAP_US 5000

#define MOCK_BYTES (UINT64_C (24576) << 20)
#define HANDLE_MAGIC UINT64_C (0x756d62702d6d6f63)

typedef struct {
    uint64_t total, used;
} mock_t;

//  In a handle
typedef struct {
    uint64_t magic;
    int32_t pid, fd;
    uint64_t inode;                     //  That descriptor may be another file's by now
} name_t;

_Static_assert(sizeof (name_t) <= UMBP_MEMORY_HANDLE_MAX, "handle");

static void *s_open (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    const char *text = getenv ("UMBP_MOCK_HBM_BYTES");
    char *end = NULL;
    uint64_t bytes = text && *text ? strtoull (text, &end, 10) : MOCK_BYTES;
    if (device < 0 || bytes == 0 || (end && *end)) {
        snprintf (why, UMBP_MEMORY_WHY_MAX,
                  "UMBP_MOCK_HBM_BYTES=%.40s, device %d: allowed are "
                  "bytes above 0, and devices from 0",
                  text ? text : "", device);
        *rc = UMBP_EINVAL;
        return NULL;
    }
    mock_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->total = bytes;
    return self;
}

static void s_close (void *driver)
{
    free (driver);
}

static int s_room (void *driver, uint64_t *total, uint64_t *free_bytes)
{
    const mock_t *self = driver;
    *total = self->total;
    *free_bytes = self->total - self->used;
    return 0;
}

//  Map a descriptor, which is the block's from now on. Returns 0, or an error with it closed.
static int s_map (int fd, uint64_t bytes, umbp_memory_block_t *block)
{
    void *base = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        int rc = errno == ENOMEM ? UMBP_ENOSPC : UMBP_EIO;
        close (fd);
        return rc;
    }
    block->address = (uint64_t) (uintptr_t) base;
    block->bytes = bytes;
    block->fd = fd;
    return 0;
}

static int s_take (void *driver, uint64_t bytes, umbp_memory_block_t *block)
{
    mock_t *self = driver;
    if (bytes > self->total - self->used)
        return UMBP_ENOSPC;
    int fd = memfd_create ("umbp-mock-hbm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd == -1)
        return UMBP_EIO;
    if (ftruncate (fd, (off_t) bytes) == -1
        || fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1) {
        close (fd);
        return UMBP_ENOSPC;
    }
    int rc = s_map (fd, bytes, block);
    if (rc == 0)
        self->used += bytes;
    return rc;
}

static int s_give (void *driver, umbp_memory_block_t *block)
{
    mock_t *self = driver;
    munmap ((void *) (uintptr_t) block->address, block->bytes);
    close (block->fd);
    if (!block->imported)
        self->used -= block->bytes;
    return 0;
}

//  Whether the script says that word
static bool s_says (const char *word)
{
    const char *path = getenv ("UMBP_MOCK_HBM_SCRIPT");
    char text[8] = "";
    int file = path ? open (path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t size = file == -1 ? 0 : read (file, text, sizeof text - 1);
    if (file != -1)
        close (file);
    text[size > 0 ? strcspn (text, " \n") : 0] = '\0';
    return strcmp (text, word) == 0;
}

//  What becomes of a copy: 0, or an error
static int s_fate (void)
{
    if (!getenv ("UMBP_MOCK_HBM_SCRIPT"))
        return 0;
    while (s_says ("hang"))
        usleep (NAP_US);
    return s_says ("fail") ? UMBP_EIO : 0;
}

static int s_write (void *driver, uint64_t address, const void *from, uint64_t bytes)
{
    (void) driver;
    int fate = s_fate ();
    if (fate < 0)
        return fate;
    memcpy ((void *) (uintptr_t) address, from, bytes);
    return 0;
}

static int s_read (void *driver, uint64_t address, void *to, uint64_t bytes)
{
    (void) driver;
    int fate = s_fate ();
    if (fate < 0)
        return fate;
    memcpy (to, (const void *) (uintptr_t) address, bytes);
    if (bytes > 0 && s_says ("rot"))
        *(uint8_t *) to ^= 1;
    return 0;
}

static int s_wait (void *driver)
{
    (void) driver;
    return 0;
}

static int s_lend (void *driver, const umbp_memory_block_t *block, umbp_memory_handle_t *handle)
{
    (void) driver;
    struct stat status;
    if (fstat (block->fd, &status) == -1)
        return UMBP_EIO;
    name_t name = { HANDLE_MAGIC, getpid (), block->fd, status.st_ino };
    memcpy (handle->bytes, &name, sizeof name);
    return 0;
}

static int s_borrow (void *driver, const umbp_memory_handle_t *handle, umbp_memory_block_t *block)
{
    (void) driver;
    name_t name;
    char path[64];
    struct stat status;
    memcpy (&name, handle->bytes, sizeof name);
    if (name.magic != HANDLE_MAGIC || name.pid <= 0 || name.fd < 0)
        return UMBP_EINVAL;
    snprintf (path, sizeof path, "/proc/%d/fd/%d", name.pid, name.fd);
    int fd = open (path, O_RDWR | O_CLOEXEC);
    if (fd == -1)
        return errno == ENOENT ? UMBP_ENOENT : UMBP_EIO;
    if (fstat (fd, &status) == -1 || status.st_ino != name.inode
        || (uint64_t) status.st_size != handle->block_bytes) {
        close (fd);
        return UMBP_ENOENT;
    }
    return s_map (fd, handle->block_bytes, block);
}

const umbp_memory_kind_t umbp_memory_mock = { .name = "mock",
                                              .open = s_open, .close = s_close, .room = s_room,
                                              .take = s_take, .give = s_give, .write = s_write,
                                              .read = s_read, .wait = s_wait, .lend = s_lend,
                                              .borrow = s_borrow };
