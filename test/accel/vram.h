//  test/accel/vram.h - the memory of a device that is none, for libraries that stand in for drivers.
//  Its addresses may be shifted, so that a processor that uses one faults. Copies are made when somebody
//  waits for their stream and no sooner, so what is used too early is seen to be wrong. fake_* is for
//  tests. Any thread may call.
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAKE_NO_MEMORY 2                //  As CUDA and HIP number them
#define FAKE_NO_ADDRESS 1
#define FAKE_NO_HANDLE 400
#define FAKE_ILLEGAL 700

size_t fake_total = 64 << 20, fake_used, fake_blocks;
uint64_t fake_shift;                    //  To addresses
_Atomic int fake_copies_left = -1;      //  So many copies can be begun, then one fails; -1: all can
_Atomic int fake_waits_left = -1;       //  The same of waits
_Atomic int fake_copies, fake_waits, fake_pinned, fake_flushes, fake_dmabufs;
_Atomic int fake_has_dmabuf;            //  Give descriptors, which are no dma-buf

_Atomic int fake_fails;                 //  The next call answers this

//  Leaves a call that is wrong now, with that code, or is to fail
#define FAKE_CHECK(is_wrong, code)                                                                 \
    if (is_wrong)                                                                                  \
        return code;                                                                               \
    if (fake_fails)                                                                                \
        return atomic_exchange (&fake_fails, 0);

typedef struct block {
    struct block *next;
    uint8_t *base;
    size_t bytes;
} block_t;

typedef struct copy {
    struct copy *next;
    void *to;
    const void *from;
    size_t bytes;
} copy_t;

typedef struct {
    copy_t *first, **last;
} fake_stream_t;

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static block_t *s_blocks;

static bool s_runs_out (_Atomic int *left)
{
    if (*left < 0)
        return false;
    if (*left == 0) {
        *left = -1;
        return true;
    }
    --*left;
    return false;
}

//  Where bytes of the device really are; NULL if it has not given them out
static uint8_t *s_real (uint64_t address, size_t bytes)
{
    uint8_t *real = (uint8_t *) (uintptr_t) (address - fake_shift);
    pthread_mutex_lock (&s_lock);
    const block_t *block = s_blocks;
    while (block
           && !(real >= block->base && bytes <= block->bytes
                && (size_t) (real - block->base) <= block->bytes - bytes))
        block = block->next;
    pthread_mutex_unlock (&s_lock);
    return block ? real : NULL;
}

int fake_take (uint64_t *out, size_t bytes)
{
    if (bytes > fake_total - fake_used)
        return FAKE_NO_MEMORY;
    block_t *block = malloc (sizeof *block);
    void *base = NULL;
    if (!block || posix_memalign (&base, 4096, bytes) != 0)
        abort ();
    memset (base, 0, bytes);
    pthread_mutex_lock (&s_lock);
    *block = (block_t) { s_blocks, base, bytes };
    s_blocks = block;
    fake_used += bytes;
    fake_blocks++;
    pthread_mutex_unlock (&s_lock);
    *out = (uint64_t) (uintptr_t) base + fake_shift;
    return 0;
}

int fake_drop (uint64_t address)
{
    uint8_t *real = (uint8_t *) (uintptr_t) (address - fake_shift);
    pthread_mutex_lock (&s_lock);
    block_t **link = &s_blocks;
    while (*link && (*link)->base != real)
        link = &(*link)->next;
    block_t *block = *link;
    if (block) {
        *link = block->next;
        fake_used -= block->bytes;
        fake_blocks--;
        free (block->base);
        free (block);
    }
    pthread_mutex_unlock (&s_lock);
    return block ? 0 : FAKE_NO_ADDRESS;
}

//  At once, for tests
int fake_write (uint64_t to, const void *from, size_t bytes)
{
    uint8_t *real = s_real (to, bytes);
    if (!real)
        return FAKE_NO_ADDRESS;
    memcpy (real, from, bytes);
    return 0;
}

int fake_read (void *to, uint64_t from, size_t bytes)
{
    uint8_t *real = s_real (from, bytes);
    if (!real)
        return FAKE_NO_ADDRESS;
    memcpy (to, real, bytes);
    return 0;
}

static int s_say_memory (size_t *left, size_t *total)
{
    *left = fake_total - fake_used;
    *total = fake_total;
    return 0;
}

static int s_stream_begin (fake_stream_t **out, unsigned flags)
{
    fake_stream_t *stream = *out = calloc (1, sizeof *stream);
    if (!stream)
        abort ();
    stream->last = &stream->first;
    return flags == 1 ? 0 : 1;
}

static int s_begin (fake_stream_t *stream, void *to, const void *from, size_t bytes)
{
    fake_copies++;
    if (!to || !from)
        return FAKE_NO_ADDRESS;
    if (s_runs_out (&fake_copies_left))
        return FAKE_ILLEGAL;
    copy_t *copy = malloc (sizeof *copy);
    if (!copy)
        abort ();
    *copy = (copy_t) { NULL, to, from, bytes };
    *stream->last = copy;
    stream->last = &copy->next;
    return 0;
}

static int s_wait_for (fake_stream_t *stream)
{
    bool fails = s_runs_out (&fake_waits_left);
    fake_waits++;
    while (stream->first) {
        copy_t *copy = stream->first;
        stream->first = copy->next;
        if (!fails)
            memcpy (copy->to, copy->from, copy->bytes);
        free (copy);
    }
    stream->last = &stream->first;
    return fails ? FAKE_ILLEGAL : 0;
}

static int s_stream_end (fake_stream_t *stream)
{
    s_wait_for (stream);
    free (stream);
    return 0;
}

//  A file in place of a dma-buf: network cards refuse it, if a test does not stand in for them
static int s_range (int *fd, uint64_t address, size_t bytes, int type)
{
    if (type != 1 || address % 4096 || bytes % 4096 || !s_real (address, 1))
        return FAKE_NO_ADDRESS;
    if (!fake_has_dmabuf)
        return 801;                     //  NOT_SUPPORTED
    *fd = memfd_create ("umbp-fake-dmabuf", MFD_CLOEXEC);
    fake_dmabufs++;
    return *fd == -1 ? 999 : 0;
}

static int s_pin (void *base, size_t bytes, unsigned flags)
{
    if (flags != 1 || bytes == 0)
        return FAKE_NO_ADDRESS;
    fake_pinned++;
    return base ? 0 : FAKE_NO_ADDRESS;
}

static int s_unpin (void *base)
{
    fake_pinned--;
    return base ? 0 : FAKE_NO_ADDRESS;
}

//  For other processes, to which the address means nothing
typedef struct {
    char bytes[64];
} fake_handle_t;

static int s_share (fake_handle_t *out, uint64_t address)
{
    memcpy (out->bytes, &address, sizeof address);
    return 0;
}

static int s_open_shared (uint64_t *out, const fake_handle_t *handle, unsigned flags)
{
    memcpy (out, handle->bytes, sizeof *out);
    return flags != 1 ? 1 : *out ? 0 : FAKE_NO_HANDLE;
}

static int s_close_shared (uint64_t address)
{
    return address ? 0 : FAKE_NO_HANDLE;
}
