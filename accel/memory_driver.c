//  accel/memory_driver.c - device memory through a vendor's driver, loaded at run time: CUDA (libcuda.so.1)
//  and HIP (libamdhip64.so, of whichever release). Both have the same calls under other names, but for how a
//  thread gets to its device: CUDA has contexts, of which we use the primary one, as the engines' own
//  libraries do; HIP keeps a device for each thread. What a thread had before a call it has after it. Copies go
//  through one stream. The declarations are ours, of the calls that are used. Calls that only newer releases
//  have may be missing: there is a slower way then. See memory.h.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accel/memory_self.h"

#define NAMES_MAX 4

//  Results, which both number alike
#define SUCCESS 0
#define OUT_OF_MEMORY 2
#define NO_DEVICE 100
#define INVALID_DEVICE 101
#define INVALID_HANDLE 400
#define NOT_SUPPORTED 801
#define STREAM_NON_BLOCKING 1
#define IPC_LAZY_PEER 1
#define DMA_BUF_SUPPORTED 124           //  An attribute of CUDA's devices
#define RANGE_DMA_BUF 1
#define POINTER_ORDINAL 9
#define FLUSH_OF_CONTEXT 0
#define FLUSH_TO_OWNER 100
#define PIN_PORTABLE 1                  //  For all contexts and devices
#define RUNTIME "libhsa-runtime64.so.1" //  Below HIP

typedef struct context *context_t;
typedef struct stream *stream_t;
typedef struct {
    char bytes[UMBP_MEMORY_HANDLE_MAX]; //  By value, as the drivers have it
} ipc_t;

//  Memory is a number to CUDA and a pointer to HIP, of one size and passed alike
#define CALLS(CALL) \
    CALL (Init, "cuInit", "hipInit", (unsigned)) \
    CALL (DeviceGet, "cuDeviceGet", NULL, (int *, int)) \
    CALL (Retain, "cuDevicePrimaryCtxRetain", NULL, (context_t *, int)) \
    CALL (Release, "cuDevicePrimaryCtxRelease_v2", NULL, (int)) \
    CALL (Push, "cuCtxPushCurrent_v2", NULL, (context_t)) \
    CALL (Pop, "cuCtxPopCurrent_v2", NULL, (context_t *)) \
    CALL (GetDevice, NULL, "hipGetDevice", (int *)) \
    CALL (SetDevice, NULL, "hipSetDevice", (int)) \
    CALL (Info, "cuMemGetInfo_v2", "hipMemGetInfo", (size_t *, size_t *)) \
    CALL (Alloc, "cuMemAlloc_v2", "hipMalloc", (uint64_t *, size_t)) \
    CALL (Free, "cuMemFree_v2", "hipFree", (uint64_t)) \
    CALL (HtoD, "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync", \
          (uint64_t, const void *, size_t, stream_t)) \
    CALL (DtoH, "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync", \
          (void *, uint64_t, size_t, stream_t)) \
    CALL (StreamCreate, "cuStreamCreate", "hipStreamCreateWithFlags", (stream_t *, unsigned)) \
    CALL (StreamDestroy, "cuStreamDestroy_v2", "hipStreamDestroy", (stream_t)) \
    CALL (StreamWait, "cuStreamSynchronize", "hipStreamSynchronize", (stream_t)) \
    CALL (IpcGet, "cuIpcGetMemHandle", "hipIpcGetMemHandle", (ipc_t *, uint64_t)) \
    CALL (IpcOpen, "cuIpcOpenMemHandle_v2", "hipIpcOpenMemHandle", (uint64_t *, ipc_t, unsigned)) \
    CALL (IpcClose, "cuIpcCloseMemHandle", "hipIpcCloseMemHandle", (uint64_t))

//  Without these a driver is fine
#define EXTRAS(CALL) \
    CALL (Attribute, "cuDeviceGetAttribute", NULL, (int *, int, int)) \
    CALL (Range, "cuMemGetHandleForAddressRange", "hipMemGetHandleForAddressRange", \
          (int *, uint64_t, size_t, int, unsigned long long)) \
    CALL (Pointer, "cuPointerGetAttribute", "hipPointerGetAttribute", (void *, int, uint64_t)) \
    CALL (Flush, "cuFlushGPUDirectRDMAWrites", NULL, (int, int)) \
    CALL (Pin, "cuMemHostRegister_v2", "hipHostRegister", (void *, size_t, unsigned)) \
    CALL (Unpin, "cuMemHostUnregister", "hipHostUnregister", (void *))

#define MEMBER(name, cuda, hip, arguments) int (*name) arguments;

typedef enum { CUDA, HIP } vendor_t;

typedef struct {
    CALLS (MEMBER)
    EXTRAS (MEMBER)
    int (*export_dmabuf) (uint64_t, size_t, int *, uint64_t *); //  Of the runtime below HIP
    vendor_t vendor;
    int number, device;                 //  Ours, for the caller and for the driver
    int former;                         //  Of HIP: that of the thread before a call
    context_t context;                  //  Of CUDA
    stream_t stream;
} driver_t;

//  What it is called, and who tells more
static const struct {
    const char *what, *tool, *newer, *names[NAMES_MAX];
} s_vendors[] = {
    [CUDA] = { "CUDA driver", "nvidia-smi", "driver", { "libcuda.so.1" } },
    [HIP] = { "HIP",
              "amd-smi",
              "ROCm",
              { "libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5" } },
};

//  ------------------------------------------------------------------------------------------------
//  A thread and its device

static int s_error (int code)
{
    switch (code) {
    case SUCCESS: return UMBP_OK;
    case OUT_OF_MEMORY: return UMBP_ENOSPC;
    case NO_DEVICE:
    case INVALID_DEVICE:
    case INVALID_HANDLE: return UMBP_ENOENT;
    case NOT_SUPPORTED: return UMBP_ENOTSUP;
    default: return UMBP_EIO;
    }
}

//  Our device is the thread's for one call, and then its own one again: engines share it
static int s_enter (driver_t *self)
{
    if (self->vendor == CUDA)
        return s_error (self->Push (self->context));
    int code = self->GetDevice (&self->former);
    return s_error (code != SUCCESS ? code : self->SetDevice (self->device));
}

static int s_leave (driver_t *self, int code)
{
    context_t ours;
    int left = self->vendor == CUDA ? self->Pop (&ours) : self->SetDevice (self->former);
    int rc = s_error (code);
    return rc < 0 ? rc : s_error (left);
}

//  ------------------------------------------------------------------------------------------------
//  Begin and end

static int s_fail (const driver_t *self, char why[UMBP_MEMORY_WHY_MAX], const char *call, int code)
{
    snprintf (why, UMBP_MEMORY_WHY_MAX, "%s: %s answers %d on device %d: see %s",
              s_vendors[self->vendor].what, call, code, self->number, s_vendors[self->vendor].tool);
    return s_error (code);
}

//  The primary context of a device by its number. Returns 0, or an error with why.
static int s_retain (driver_t *self, char why[UMBP_MEMORY_WHY_MAX])
{
    int code = self->DeviceGet (&self->device, self->number);
    if (code != SUCCESS)
        return s_fail (self, why, "cuDeviceGet", code);
    if ((code = self->Retain (&self->context, self->device)) != SUCCESS)
        return s_fail (self, why, "cuDevicePrimaryCtxRetain", code);
    return 0;
}

static void s_release (driver_t *self)
{
    if (self->vendor == CUDA)
        self->Release (self->device);
}

//  Returns 0, or an error with why
static int s_begin (driver_t *self, char why[UMBP_MEMORY_WHY_MAX])
{
    int code = self->Init (0);
    if (code != SUCCESS)
        return s_fail (self, why, self->vendor == CUDA ? "cuInit" : "hipInit", code);
    int rc = self->vendor == CUDA ? s_retain (self, why) : 0;
    if (rc < 0)
        return rc;
    rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->StreamCreate (&self->stream, STREAM_NON_BLOCKING));
    if (rc < 0) {
        s_release (self);
        snprintf (why, UMBP_MEMORY_WHY_MAX, "%s does not start on device %d: %s; see %s",
                  s_vendors[self->vendor].what, self->number, umbp_strerror (rc),
                  s_vendors[self->vendor].tool);
    }
    return rc;
}

//  What the vendor calls it; a library that lacks several is said to lack the last one
#define LOAD(name, cuda, hip, arguments)                                                           \
    symbol = self->vendor == CUDA ? cuda : hip;                                                    \
    if (symbol)                                                                                    \
        self->name = (int (*) arguments) dlsym (library, symbol);                                  \
    if (symbol && !self->name)                                                                     \
        missing = symbol;

#define FIND(name, cuda, hip, arguments)                                                           \
    symbol = self->vendor == CUDA ? cuda : hip;                                                    \
    if (symbol)                                                                                    \
        self->name = (int (*) arguments) dlsym (library, symbol);

//  Returns what is missing, NULL if nothing is
static const char *s_load (driver_t *self, void *library)
{
    const char *symbol, *missing = NULL;
    CALLS (LOAD)
    EXTRAS (FIND)
    return missing;
}

//  HIP's own call for dma-bufs is of ROCm 7; before that there is one of the runtime below it
static void s_load_runtime (driver_t *self)
{
    void *runtime =
        self->vendor == HIP ? dlopen (RUNTIME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    if (runtime)
        self->export_dmabuf = (int (*) (uint64_t, size_t, int *, uint64_t *)) dlsym (
            runtime, "hsa_amd_portable_export_dmabuf");
}

static void *s_open (vendor_t vendor, int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    void *library = NULL;
    for (size_t row = 0; row < NAMES_MAX && !library && s_vendors[vendor].names[row]; row++)
        library = dlopen (s_vendors[vendor].names[row], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, "no %s: %.200s", s_vendors[vendor].what, dlerror ());
        *rc = UMBP_ENOENT;
        return NULL;
    }
    driver_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->vendor = vendor;
    self->number = self->device = device;
    const char *missing = s_load (self, library);
    s_load_runtime (self);
    if (missing) {
        snprintf (why, UMBP_MEMORY_WHY_MAX, "%s lacks %s: take a newer %s", s_vendors[vendor].what,
                  missing, s_vendors[vendor].newer);
        *rc = UMBP_ENOTSUP;
    } else
        *rc = s_begin (self, why);
    if (*rc < 0) {
        free (self);
        return NULL;
    }
    return self;
}

static void *s_open_cuda (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    return s_open (CUDA, device, rc, why);
}

static void *s_open_hip (int device, int *rc, char why[UMBP_MEMORY_WHY_MAX])
{
    return s_open (HIP, device, rc, why);
}

static void s_close (void *driver)
{
    driver_t *self = driver;
    if (s_enter (self) == 0)
        s_leave (self, self->StreamDestroy (self->stream));
    s_release (self);
    free (self);
}

//  ------------------------------------------------------------------------------------------------
//  Memory

static int s_room (void *driver, uint64_t *total, uint64_t *free_bytes)
{
    driver_t *self = driver;
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
    driver_t *self = driver;
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Alloc (&block->address, bytes));
    block->bytes = rc == 0 ? bytes : 0;
    return rc;
}

static int s_give (void *driver, umbp_memory_block_t *block)
{
    driver_t *self = driver;
    int rc = s_enter (self);
    if (rc < 0)
        return rc;
    return s_leave (self, block->imported ? self->IpcClose (block->address)
                                          : self->Free (block->address));
}

static int s_write (void *driver, uint64_t address, const void *from, uint64_t bytes)
{
    driver_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->HtoD (address, from, bytes, self->stream));
}

static int s_read (void *driver, uint64_t address, void *to, uint64_t bytes)
{
    driver_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->DtoH (to, address, bytes, self->stream));
}

static int s_wait (void *driver)
{
    driver_t *self = driver;
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->StreamWait (self->stream));
}

static int s_lend (void *driver, const umbp_memory_block_t *block, umbp_memory_handle_t *handle)
{
    driver_t *self = driver;
    ipc_t ipc = { { 0 } };
    int rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->IpcGet (&ipc, block->address));
    memcpy (handle->bytes, ipc.bytes, sizeof ipc.bytes);
    return rc;
}

static int s_borrow (void *driver, const umbp_memory_handle_t *handle, umbp_memory_block_t *block)
{
    driver_t *self = driver;
    ipc_t ipc;
    memcpy (ipc.bytes, handle->bytes, sizeof ipc.bytes);
    int rc = s_enter (self);
    return rc < 0 ? rc : s_leave (self, self->IpcOpen (&block->address, ipc, IPC_LAZY_PEER));
}

//  Ordinals are the numbers that the caller has
static int s_owns (void *driver, uint64_t address)
{
    driver_t *self = driver;
    int ordinal = -1, rc = self->Pointer ? s_enter (self) : UMBP_ENOTSUP;
    if (rc < 0)
        return rc == UMBP_ENOTSUP ? 0 : rc;
    rc = s_leave (self, self->Pointer (&ordinal, POINTER_ORDINAL, address));
    return rc == 0 && ordinal == self->number ? 0 : UMBP_EINVAL;
}

//  Whether the device has dma-bufs at all, which only CUDA is asked. Returns 0, UMBP_ENOTSUP or an error.
static int s_exports (driver_t *self)
{
    if (self->vendor != CUDA)
        return 0;
    int supported = 0, rc = self->Attribute ? s_enter (self) : UMBP_ENOTSUP;
    if (rc == 0)
        rc = s_leave (self, self->Attribute (&supported, DMA_BUF_SUPPORTED, self->device));
    return rc < 0 || supported ? rc : UMBP_ENOTSUP;
}

//  A dma-buf has whole pages of the host. Some devices have none, and CUDA drivers before 11.7. The runtime
//  below HIP knows no device.
static int s_dmabuf (void *driver, uint64_t address, uint64_t bytes, int *fd, uint64_t *offset)
{
    driver_t *self = driver;
    uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE), base = address / page * page;
    uint64_t length = (address - base + bytes + page - 1) / page * page;
    int rc = self->Range ? s_exports (self) : UMBP_ENOTSUP;
    if (rc == 0)
        rc = s_enter (self);
    if (rc == 0)
        rc = s_leave (self, self->Range (fd, base, length, RANGE_DMA_BUF, 0));
    *offset = address - base;
    if (rc == 0 || !self->export_dmabuf)
        return rc;
    return self->export_dmabuf (address, bytes, fd, offset) == 0 ? 0 : UMBP_ENOTSUP;
}

static int s_settle (void *driver)
{
    driver_t *self = driver;
    int rc = self->Flush ? s_enter (self) : UMBP_ENOTSUP;
    if (rc == 0)
        rc = s_leave (self, self->Flush (FLUSH_OF_CONTEXT, FLUSH_TO_OWNER));
    return rc == UMBP_ENOTSUP ? 0 : rc; //  Then there is nothing to be flushed
}

static int s_pin (void *driver, void *base, uint64_t bytes)
{
    driver_t *self = driver;
    int rc = self->Pin && self->Unpin ? s_enter (self) : UMBP_ENOTSUP;
    return rc < 0 ? rc : s_leave (self, self->Pin (base, bytes, PIN_PORTABLE));
}

static void s_unpin (void *driver, void *base)
{
    driver_t *self = driver;
    if (self->Unpin && s_enter (self) == 0)
        s_leave (self, self->Unpin (base));
}

#define KIND(called, opens)                                                                        \
    {                                                                                              \
        .name = called, .open = opens, .close = s_close, .room = s_room, .take = s_take,           \
        .give = s_give, .write = s_write, .read = s_read, .wait = s_wait, .lend = s_lend,          \
        .borrow = s_borrow, .owns = s_owns, .dmabuf = s_dmabuf, .settle = s_settle, .pin = s_pin,  \
        .unpin = s_unpin                                                                           \
    }

const umbp_memory_kind_t umbp_memory_cuda = KIND ("cuda", s_open_cuda);
const umbp_memory_kind_t umbp_memory_hip = KIND ("hip", s_open_hip);
