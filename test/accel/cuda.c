//  test/accel/cuda.c - stands in for the CUDA driver: its memory is that of the process. It checks
//  what a driver would: that a context is current, and sizes. fake_* is for tests.
//  SONAME libcuda.so.1
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t fake_total = 64 << 20, fake_used, fake_blocks;
int fake_depth, fake_retained, fake_fails;      //  Contexts pushed; next call answers this
static char s_context, s_stream;

#define CURRENT                                                                                    \
    if (fake_depth != 1)                                                                           \
        return 201;                     /* INVALID_CONTEXT */                                      \
    if (fake_fails) {                                                                              \
        int code = fake_fails;                                                                     \
        fake_fails = 0;                                                                            \
        return code;                                                                               \
    }

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
    *left = fake_total - fake_used;
    *total = fake_total;
    return 0;
}

int cuMemAlloc_v2 (uint64_t *out, size_t bytes)
{
    CURRENT
    if (bytes > fake_total - fake_used)
        return 2;                       //  OUT_OF_MEMORY
    size_t *block = malloc (16 + bytes);
    *block = bytes;
    fake_used += bytes;
    fake_blocks++;
    *out = (uint64_t) (uintptr_t) block + 16;
    return 0;
}

int cuMemFree_v2 (uint64_t address)
{
    CURRENT
    size_t *block = (size_t *) (uintptr_t) (address - 16);
    fake_used -= *block;
    fake_blocks--;
    free (block);
    return 0;
}

int cuStreamCreate (char **out, unsigned flags)
{
    CURRENT
    *out = &s_stream;
    return flags == 1 ? 0 : 1;
}

int cuStreamDestroy_v2 (char *stream)
{
    CURRENT
    return stream == &s_stream ? 0 : 400;
}

int cuStreamSynchronize (char *stream)
{
    CURRENT
    return stream == &s_stream ? 0 : 400;
}

int cuMemcpyHtoDAsync_v2 (uint64_t to, const void *from, size_t bytes, char *stream)
{
    CURRENT
    memcpy ((void *) (uintptr_t) to, from, bytes);
    return stream == &s_stream ? 0 : 400;
}

int cuMemcpyDtoHAsync_v2 (void *to, uint64_t from, size_t bytes, char *stream)
{
    CURRENT
    memcpy (to, (void *) (uintptr_t) from, bytes);
    return stream == &s_stream ? 0 : 400;
}

typedef struct {
    char bytes[64];
} handle_t;

int cuIpcGetMemHandle (handle_t *out, uint64_t address)
{
    CURRENT
    memcpy (out->bytes, &address, sizeof address);
    return 0;
}

int cuIpcOpenMemHandle_v2 (uint64_t *out, handle_t handle, unsigned flags)
{
    CURRENT
    memcpy (out, handle.bytes, sizeof *out);
    return flags != 1 ? 1 : *out ? 0 : 400;
}

int cuIpcCloseMemHandle (uint64_t address)
{
    CURRENT
    return address ? 0 : 400;
}
