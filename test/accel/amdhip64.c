//  test/accel/amdhip64.c - stands in for HIP: its memory is that of the process; it checks that the
//  right device is chosen. fake_* is for tests.
//  SONAME libamdhip64.so
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t fake_total = 64 << 20, fake_used, fake_blocks;
int fake_device = 7, fake_fails;        //  The thread's own; next call answers this
static char s_stream;

#define CHOSEN                                                                                     \
    if (fake_device != 1)                                                                          \
        return 101;                     /* INVALID_DEVICE */                                       \
    if (fake_fails) {                                                                              \
        int code = fake_fails;                                                                     \
        fake_fails = 0;                                                                            \
        return code;                                                                               \
    }

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
    *left = fake_total - fake_used;
    *total = fake_total;
    return 0;
}

int hipMalloc (void **out, size_t bytes)
{
    CHOSEN
    if (bytes > fake_total - fake_used)
        return 2;
    size_t *block = malloc (16 + bytes);
    *block = bytes;
    fake_used += bytes;
    fake_blocks++;
    *out = (char *) block + 16;
    return 0;
}

int hipFree (void *address)
{
    CHOSEN
    size_t *block = (size_t *) ((char *) address - 16);
    fake_used -= *block;
    fake_blocks--;
    free (block);
    return 0;
}

int hipStreamCreateWithFlags (char **out, unsigned flags)
{
    CHOSEN
    *out = &s_stream;
    return flags == 1 ? 0 : 1;
}

int hipStreamDestroy (char *stream)
{
    CHOSEN
    return stream == &s_stream ? 0 : 400;
}

int hipStreamSynchronize (char *stream)
{
    CHOSEN
    return stream == &s_stream ? 0 : 400;
}

int hipMemcpyHtoDAsync (void *to, const void *from, size_t bytes, char *stream)
{
    CHOSEN
    memcpy (to, from, bytes);
    return stream == &s_stream ? 0 : 400;
}

int hipMemcpyDtoHAsync (void *to, void *from, size_t bytes, char *stream)
{
    CHOSEN
    memcpy (to, from, bytes);
    return stream == &s_stream ? 0 : 400;
}

typedef struct {
    char bytes[64];
} handle_t;

int hipIpcGetMemHandle (handle_t *out, void *address)
{
    CHOSEN
    memcpy (out->bytes, &address, sizeof address);
    return 0;
}

int hipIpcOpenMemHandle (void **out, handle_t handle, unsigned flags)
{
    CHOSEN
    memcpy (out, handle.bytes, sizeof *out);
    return flags != 1 ? 1 : *out ? 0 : 400;
}

int hipIpcCloseMemHandle (void *address)
{
    CHOSEN
    return address ? 0 : 400;
}
