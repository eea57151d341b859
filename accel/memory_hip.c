//  accel/memory_hip.c - device memory through HIP, loaded at run time: libamdhip64.so, of whichever
//  release. A device is chosen for each call, as HIP keeps that for each thread; copies go through
//  one stream. The declarations are ours, of the calls that are used. See memory.h.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/memory_self.h"

#define HIP_SUCCESS 0
#define HIP_OUT_OF_MEMORY 2
#define HIP_NO_DEVICE 100
#define HIP_INVALID_DEVICE 101
#define HIP_INVALID_HANDLE 400
#define HIP_NOT_SUPPORTED 801
#define STREAM_NON_BLOCKING 1
#define IPC_LAZY_PEER 1

typedef struct stream *stream_t;
typedef struct {
    char bytes[UMBP_MEMORY_HANDLE_MAX];
} ipc_t;

#define CALLS(CALL) \
    CALL (Init, "hipInit", (unsigned)) \
    CALL (GetDevice, "hipGetDevice", (int *)) \
    CALL (SetDevice, "hipSetDevice", (int)) \
    CALL (Info, "hipMemGetInfo", (size_t *, size_t *)) \
    CALL (Malloc, "hipMalloc", (void **, size_t)) \
    CALL (Free, "hipFree", (void *)) \
    CALL (HtoD, "hipMemcpyHtoDAsync", (void *, const void *, size_t, stream_t)) \
    CALL (DtoH, "hipMemcpyDtoHAsync", (void *, void *, size_t, stream_t)) \
    CALL (StreamCreate, "hipStreamCreateWithFlags", (stream_t *, unsigned)) \
    CALL (StreamDestroy, "hipStreamDestroy", (stream_t)) \
    CALL (StreamWait, "hipStreamSynchronize", (stream_t)) \
    CALL (IpcGet, "hipIpcGetMemHandle", (ipc_t *, void *)) \
    CALL (IpcOpen, "hipIpcOpenMemHandle", (void **, ipc_t, unsigned)) \
    CALL (IpcClose, "hipIpcCloseMemHandle", (void *))

#define MEMBER(name, symbol, arguments) int (*name) arguments;

typedef struct {
    CALLS (MEMBER)
    int device, former;                 //  Ours; that of the thread before a call
    stream_t stream;
} hip_t;

#define LOAD(name, symbol, arguments)                                                              \
    self->name = (int (*) arguments) dlsym (library, symbol);                                      \
    if (!self->name)                                                                               \
        missing = symbol;

static int s_error (int code)
{
    switch (code) {
    case HIP_SUCCESS: return UMBP_OK;
    case HIP_OUT_OF_MEMORY: return UMBP_ENOSPC;
    case HIP_NO_DEVICE:
    case HIP_INVALID_DEVICE:
    case HIP_INVALID_HANDLE: return UMBP_ENOENT;
    case HIP_NOT_SUPPORTED: return UMBP_ENOTSUP;
    default: return UMBP_EIO;
    }
}

static int s_enter (hip_t *self)
{
    int code = self->GetDevice (&self->former);
    return s_error (code != HIP_SUCCESS ? code : self->SetDevice (self->device));
}

static int s_leave (hip_t *self, int code)
{
    int left = s_error (self->SetDevice (self->former)), rc = s_error (code);
    return rc < 0 ? rc : left;
}

static int s_begin (hip_t *self, char why[UMBP_MEMORY_WHY_MAX])
{
    int rc = s_error (self->Init (0));
    if (rc == 0)
        rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->StreamCreate (&self->stream, STREAM_NON_BLOCKING));
    if (rc < 0)
        snprintf (why, UMBP_MEMORY_WHY_MAX, "HIP does not start on device %d: %s; see amd-smi",
                  self->device, umbp_strerror (rc));
    return rc;
}

static void *s_open (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    static const char *const names[] = { "libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6",
                                         "libamdhip64.so.5" };
    const char *missing = NULL;
    void *library = NULL;
    for (size_t row = 0; row < sizeof names / sizeof *names && !library; row++)
        library = dlopen (names[row], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, "no HIP: %.200s", dlerror ());
        *rc = UMBP_ENOENT;
        return NULL;
    }
    hip_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->device = device;
    CALLS (LOAD)
    if (missing) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, "libamdhip64 lacks %s: take a newer ROCm", missing);
        *rc = UMBP_ENOTSUP;
    } else
        *rc = s_begin (self, why);
    if (*rc < 0) {
        free (self);
        return NULL;
    }
    return self;
}

static void s_close (void *driver)
{
    hip_t *self = driver;
    if (s_enter (self) == 0)
        s_leave (self, self->StreamDestroy (self->stream));
    free (self);
}

static int s_room (void *driver, uint64_t *total, uint64_t *free_bytes)
{
    hip_t *self = driver;
    size_t left = 0, all = 0;
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Info (&left, &all));
    *total = all;
    *free_bytes = left;
    return rc;
}

static void *s_pointer (uint64_t address)
{
    return (void *) (uintptr_t) address;
}

static int s_take (void *driver, uint64_t bytes, umbp_memory_block_t *block)
{
    hip_t *self = driver;
    void *memory = NULL;
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Malloc (&memory, bytes));
    block->address = (uint64_t) (uintptr_t) memory;
    block->bytes = rc == 0 ? bytes : 0;
    return rc;
}

static int s_give (void *driver, umbp_memory_block_t *block)
{
    hip_t *self = driver;
    int rc = s_enter (self);
    if (rc < 0)
        return rc;
    void *memory = s_pointer (block->address);
    return s_leave (self, block->imported ? self->IpcClose (memory) : self->Free (memory));
}

static int s_write (void *driver, uint64_t address, const void *from, uint64_t bytes)
{
    hip_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc
                  : s_leave (self, self->HtoD (s_pointer (address), from, bytes, self->stream));
}

static int s_read (void *driver, uint64_t address, void *to, uint64_t bytes)
{
    hip_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->DtoH (to, s_pointer (address), bytes, self->stream));
}

static int s_wait (void *driver)
{
    hip_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->StreamWait (self->stream));
}

static int s_lend (void *driver, const umbp_memory_block_t *block, umbp_memory_handle_t *handle)
{
    hip_t *self = driver;
    ipc_t ipc = { { 0 } };
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->IpcGet (&ipc, s_pointer (block->address)));
    memcpy (handle->bytes, ipc.bytes, sizeof ipc.bytes);
    return rc;
}

static int s_borrow (void *driver, const umbp_memory_handle_t *handle, umbp_memory_block_t *block)
{
    hip_t *self = driver;
    ipc_t ipc;
    void *memory = NULL;
    memcpy (ipc.bytes, handle->bytes, sizeof ipc.bytes);
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->IpcOpen (&memory, ipc, IPC_LAZY_PEER));
    block->address = (uint64_t) (uintptr_t) memory;
    return rc;
}

const umbp_memory_kind_t umbp_memory_hip = { .name = "hip",
                                             .open = s_open, .close = s_close, .room = s_room,
                                             .take = s_take, .give = s_give, .write = s_write,
                                             .read = s_read, .wait = s_wait, .lend = s_lend,
                                             .borrow = s_borrow };
