//  test/accel/amdhip64.c - stands in for HIP: its memory is that of the process; it checks that the
//  right device is chosen. fake_* is for tests.
//  SONAME libamdhip64.so
#include "test/accel/vram.h"

__thread int fake_device = 7;           //  The thread's own

#define CHOSEN FAKE_CHECK (fake_device != 1, 101)      //  INVALID_DEVICE

int hipInit (unsigned flags)
{
    return flags ? 1 : 0;
}
int hipGetDevice (int *out)
{
    *out = fake_device;
    return 0;
}

int hipSetDevice (int device)
{
    fake_device = device;
    return device == 1 || device == 7 ? 0 : 101;
}

int hipMemGetInfo (size_t *left, size_t *total)
{
    CHOSEN
    return s_say_memory (left, total);
}

int hipMalloc (uint64_t *out, size_t bytes)
{
    CHOSEN
    return fake_take (out, bytes);
}

int hipFree (void *address)
{
    CHOSEN
    return fake_drop ((uintptr_t) address);
}

int hipStreamCreateWithFlags (fake_stream_t **out, unsigned flags)
{
    CHOSEN
    return s_stream_begin (out, flags);
}

int hipStreamDestroy (fake_stream_t *stream)
{
    CHOSEN
    return s_stream_end (stream);
}

int hipStreamSynchronize (fake_stream_t *stream)
{
    CHOSEN
    return s_wait_for (stream);
}

int hipMemcpyHtoDAsync (void *to, const void *from, size_t bytes, fake_stream_t *stream)
{
    CHOSEN
    return s_begin (stream, s_real ((uintptr_t) to, bytes), from, bytes);
}

int hipMemcpyDtoHAsync (void *to, void *from, size_t bytes, fake_stream_t *stream)
{
    CHOSEN
    return s_begin (stream, to, s_real ((uintptr_t) from, bytes), bytes);
}

int hipPointerGetAttribute (int *out, int attribute, void *address)
{
    CHOSEN
    *out = 1;
    return attribute == 9 && s_real ((uintptr_t) address, 1) ? 0 : 1;
}

int hipMemGetHandleForAddressRange (int *fd, void *address, size_t bytes, int type,
                                    unsigned long long flags)
{
    CHOSEN
    return flags ? 1 : s_range (fd, (uintptr_t) address, bytes, type);
}

int hipHostRegister (void *base, size_t bytes, unsigned flags)
{
    CHOSEN
    return s_pin (base, bytes, flags);
}

int hipHostUnregister (void *base)
{
    CHOSEN
    return s_unpin (base);
}

int hipIpcGetMemHandle (fake_handle_t *out, void *address)
{
    CHOSEN
    return s_share (out, (uintptr_t) address);
}

int hipIpcOpenMemHandle (void **out, fake_handle_t handle, unsigned flags)
{
    CHOSEN
    return s_open_shared ((uint64_t *) out, &handle, flags);
}

int hipIpcCloseMemHandle (void *address)
{
    CHOSEN
    return s_close_shared ((uintptr_t) address);
}
