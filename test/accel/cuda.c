//  test/accel/cuda.c - stands in for the CUDA driver: its memory is that of the process. It checks
//  what a driver would: that a context is current, and sizes. fake_* is for tests.
//  SONAME libcuda.so.1
#include "test/accel/vram.h"

__thread int fake_depth;                //  Contexts pushed
_Atomic int fake_retained;
static char s_context;

#define CURRENT FAKE_CHECK (fake_depth != 1, 201)      //  INVALID_CONTEXT

int cuInit (unsigned flags)
{
    return flags ? 1 : 0;
}

int cuDeviceGet (int *out, int number)
{
    *out = number + 100;
    return number < 2 ? 0 : 101;
}

int cuDevicePrimaryCtxRetain (char **out, int device)
{
    *out = &s_context;
    fake_retained++;
    return device >= 100 ? 0 : 101;
}

int cuDevicePrimaryCtxRelease_v2 (int device)
{
    fake_retained--;
    return device >= 100 ? 0 : 101;
}

int cuCtxPushCurrent_v2 (char *context)
{
    fake_depth++;
    return context == &s_context ? 0 : 201;
}

int cuCtxPopCurrent_v2 (char **out)
{
    *out = &s_context;
    return fake_depth-- > 0 ? 0 : 201;
}

int cuMemGetInfo_v2 (size_t *left, size_t *total)
{
    CURRENT
    return s_say_memory (left, total);
}

int cuMemAlloc_v2 (uint64_t *out, size_t bytes)
{
    CURRENT
    return fake_take (out, bytes);
}

int cuMemFree_v2 (uint64_t address)
{
    CURRENT
    return fake_drop (address);
}

int cuStreamCreate (fake_stream_t **out, unsigned flags)
{
    CURRENT
    return s_stream_begin (out, flags);
}

int cuStreamDestroy_v2 (fake_stream_t *stream)
{
    CURRENT
    return s_stream_end (stream);
}

int cuStreamSynchronize (fake_stream_t *stream)
{
    CURRENT
    return s_wait_for (stream);
}

int cuMemcpyHtoDAsync_v2 (uint64_t to, const void *from, size_t bytes, fake_stream_t *stream)
{
    CURRENT
    return s_begin (stream, s_real (to, bytes), from, bytes);
}

int cuMemcpyDtoHAsync_v2 (void *to, uint64_t from, size_t bytes, fake_stream_t *stream)
{
    CURRENT
    return s_begin (stream, to, s_real (from, bytes), bytes);
}

int cuDeviceGetAttribute (int *out, int attribute, int device)
{
    CURRENT
    *out = attribute == 124 && fake_has_dmabuf;
    return device >= 100 ? 0 : 101;
}

int cuPointerGetAttribute (int *out, int attribute, uint64_t address)
{
    CURRENT
    *out = 1;                           //  The one that tests use
    return attribute == 9 && s_real (address, 1) ? 0 : 1;
}

int cuMemGetHandleForAddressRange (int *fd, uint64_t address, size_t bytes, int type,
                                   unsigned long long flags)
{
    CURRENT
    return flags ? 1 : s_range (fd, address, bytes, type);
}

int cuFlushGPUDirectRDMAWrites (int target, int scope)
{
    CURRENT
    fake_flushes++;
    return target == 0 && scope == 100 ? 0 : 1;
}

int cuMemHostRegister_v2 (void *base, size_t bytes, unsigned flags)
{
    CURRENT
    return s_pin (base, bytes, flags);
}

int cuMemHostUnregister (void *base)
{
    CURRENT
    return s_unpin (base);
}

int cuIpcGetMemHandle (fake_handle_t *out, uint64_t address)
{
    CURRENT
    return s_share (out, address);
}

int cuIpcOpenMemHandle_v2 (uint64_t *out, fake_handle_t handle, unsigned flags)
{
    CURRENT
    return s_open_shared (out, &handle, flags);
}

int cuIpcCloseMemHandle (uint64_t address)
{
    CURRENT
    return s_close_shared (address);
}
