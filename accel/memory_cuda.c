//  accel/memory_cuda.c - device memory through the CUDA driver, loaded at run time: libcuda.so.1. It
//  is the primary context of the device, as the engines' own libraries use it, and one stream. The
//  declarations are ours, of the calls that are used. See memory.h.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/memory_self.h"

#define LIBRARY "libcuda.so.1"
#define CUDA_SUCCESS 0
#define CUDA_OUT_OF_MEMORY 2
#define CUDA_NO_DEVICE 100
#define CUDA_INVALID_HANDLE 400
#define CUDA_NOT_SUPPORTED 801
#define STREAM_NON_BLOCKING 1
#define IPC_LAZY_PEER 1

typedef struct context *context_t;
typedef struct stream *stream_t;
typedef struct {
    char bytes[UMBP_MEMORY_HANDLE_MAX]; //  By value, as the driver has it
} ipc_t;

#define CALLS(CALL) \
    CALL (Init, "cuInit", (unsigned)) \
    CALL (DeviceGet, "cuDeviceGet", (int *, int)) \
    CALL (Retain, "cuDevicePrimaryCtxRetain", (context_t *, int)) \
    CALL (Release, "cuDevicePrimaryCtxRelease_v2", (int)) \
    CALL (Push, "cuCtxPushCurrent_v2", (context_t)) \
    CALL (Pop, "cuCtxPopCurrent_v2", (context_t *)) \
    CALL (Info, "cuMemGetInfo_v2", (size_t *, size_t *)) \
    CALL (Alloc, "cuMemAlloc_v2", (uint64_t *, size_t)) \
    CALL (Free, "cuMemFree_v2", (uint64_t)) \
    CALL (HtoD, "cuMemcpyHtoDAsync_v2", (uint64_t, const void *, size_t, stream_t)) \
    CALL (DtoH, "cuMemcpyDtoHAsync_v2", (void *, uint64_t, size_t, stream_t)) \
    CALL (StreamCreate, "cuStreamCreate", (stream_t *, unsigned)) \
    CALL (StreamDestroy, "cuStreamDestroy_v2", (stream_t)) \
    CALL (StreamWait, "cuStreamSynchronize", (stream_t)) \
    CALL (IpcGet, "cuIpcGetMemHandle", (ipc_t *, uint64_t)) \
    CALL (IpcOpen, "cuIpcOpenMemHandle_v2", (uint64_t *, ipc_t, unsigned)) \
    CALL (IpcClose, "cuIpcCloseMemHandle", (uint64_t))

#define MEMBER(name, symbol, arguments) int (*name) arguments;

typedef struct {
    CALLS (MEMBER)
    int device;
    context_t context;
    stream_t stream;
} cuda_t;

//  What a driver lacks is the last one that is missing
#define LOAD(name, symbol, arguments)                                                              \
    self->name = (int (*) arguments) dlsym (library, symbol);                                      \
    if (!self->name)                                                                               \
        missing = symbol;

static int s_error (int code)
{
    switch (code) {
    case CUDA_SUCCESS: return UMBP_OK;
    case CUDA_OUT_OF_MEMORY: return UMBP_ENOSPC;
    case CUDA_INVALID_HANDLE: return UMBP_ENOENT;
    case CUDA_NOT_SUPPORTED: return UMBP_ENOTSUP;
    default: return UMBP_EIO;
    }
}

//  Our context is the thread's for one call, and then its own one again: engines share it
static int s_enter (cuda_t *self)
{
    return s_error (self->Push (self->context));
}

static int s_leave (cuda_t *self, int code)
{
    context_t ours;
    int popped = s_error (self->Pop (&ours)), rc = s_error (code);
    return rc < 0 ? rc : popped;
}

static int s_fail (char why[UMBP_MEMORY_WHY_MAX], const char *what, int code)
{
    snprintf (why, UMBP_MEMORY_WHY_MAX, LIBRARY ": %s answers %d: see nvidia-smi", what, code);
    return code == CUDA_NO_DEVICE ? UMBP_ENOENT : s_error (code);
}

//  Returns 0, or an error with why
static int s_begin (cuda_t *self, int number, char why[UMBP_MEMORY_WHY_MAX])
{
    int code = self->Init (0);
    if (code != CUDA_SUCCESS)
        return s_fail (why, "cuInit", code);
    if ((code = self->DeviceGet (&self->device, number)) != CUDA_SUCCESS)
        return s_fail (why, "cuDeviceGet", code);
    if ((code = self->Retain (&self->context, self->device)) != CUDA_SUCCESS)
        return s_fail (why, "cuDevicePrimaryCtxRetain", code);
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->StreamCreate (&self->stream, STREAM_NON_BLOCKING));
    if (rc < 0) {
        self->Release (self->device);
        snprintf (why, UMBP_MEMORY_WHY_MAX, LIBRARY ": no stream: %s", umbp_strerror (rc));
    }
    return rc;
}

static void *s_open (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const char *missing = NULL;
    if (!library) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, "no CUDA driver: %.200s", dlerror ());
        *rc = UMBP_ENOENT;
        return NULL;
    }
    cuda_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    CALLS (LOAD)
    if (missing) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, LIBRARY " lacks %s: take a newer driver", missing);
        *rc = UMBP_ENOTSUP;
    } else
        *rc = s_begin (self, device, why);
    if (*rc < 0) {
        free (self);
        return NULL;
    }
    return self;
}

static void s_close (void *driver)
{
    cuda_t *self = driver;
    if (s_enter (self) == 0)
        s_leave (self, self->StreamDestroy (self->stream));
    self->Release (self->device);
    free (self);
}

static int s_room (void *driver, uint64_t *total, uint64_t *free_bytes)
{
    cuda_t *self = driver;
    size_t left = 0, all = 0;
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Info (&left, &all));
    *total = all;
    *free_bytes = left;
    return rc;
}

static int s_take (void *driver, uint64_t bytes, umbp_memory_block_t *block)
{
    cuda_t *self = driver;
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Alloc (&block->address, bytes));
    block->bytes = rc == 0 ? bytes : 0;
    return rc;
}

static int s_give (void *driver, umbp_memory_block_t *block)
{
    cuda_t *self = driver;
    int rc = s_enter (self);
    if (rc < 0)
        return rc;
    return s_leave (self, block->imported ? self->IpcClose (block->address)
                                          : self->Free (block->address));
}

static int s_write (void *driver, uint64_t address, const void *from, uint64_t bytes)
{
    cuda_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->HtoD (address, from, bytes, self->stream));
}

static int s_read (void *driver, uint64_t address, void *to, uint64_t bytes)
{
    cuda_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->DtoH (to, address, bytes, self->stream));
}

static int s_wait (void *driver)
{
    cuda_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->StreamWait (self->stream));
}

static int s_lend (void *driver, const umbp_memory_block_t *block, umbp_memory_handle_t *handle)
{
    cuda_t *self = driver;
    ipc_t ipc = { { 0 } };
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->IpcGet (&ipc, block->address));
    memcpy (handle->bytes, ipc.bytes, sizeof ipc.bytes);
    return rc;
}

static int s_borrow (void *driver, const umbp_memory_handle_t *handle, umbp_memory_block_t *block)
{
    cuda_t *self = driver;
    ipc_t ipc;
    memcpy (ipc.bytes, handle->bytes, sizeof ipc.bytes);
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->IpcOpen (&block->address, ipc, IPC_LAZY_PEER));
}

const umbp_memory_kind_t umbp_memory_cuda = { .name = "cuda",
                                              .open = s_open, .close = s_close, .room = s_room,
                                              .take = s_take, .give = s_give, .write = s_write,
                                              .read = s_read, .wait = s_wait, .lend = s_lend,
                                              .borrow = s_borrow };
