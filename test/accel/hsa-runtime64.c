//  test/accel/hsa-runtime64.c - stands in for the runtime below HIP, as far as dma-bufs go.
//  SONAME libhsa-runtime64.so.1
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

int fake_fails;

int hsa_amd_portable_export_dmabuf (const void *address, size_t bytes, int *fd, uint64_t *offset)
{
    if (fake_fails || !address || !bytes)
        return 0x1000;                  //  HSA_STATUS_ERROR
    *fd = memfd_create ("umbp-fake-dmabuf", MFD_CLOEXEC);
    *offset = 12288;
    return *fd == -1 ? 0x1000 : 0;
}
