//  accel/layout.h - tells which layout a library wrote, and reads it. The library wrote into memory
//  that was filled with UMBP_LAYOUT_BLANK before, so that the last byte it touched is known; the
//  record's last field is always written. What is not just as one of the known layouts is refused:
//  never is a byte taken for what it may not be.
//  Values without a state; nothing here calls a library.
#ifndef UMBP_LAYOUT_H
#define UMBP_LAYOUT_H

#include "accel/device.h"
#include "proto/error.h"

#define UMBP_LAYOUT_BLANK 0xa5
#define UMBP_LAYOUT_RECORD_MAX 53688    //  Of a device, in any layout
#define UMBP_LAYOUT_BUFFER_BYTES                                                                   \
    (65u * UMBP_LAYOUT_RECORD_MAX) //  Whatever a library writes, and more
#define UMBP_LAYOUT_WHY_MAX 256

//  How many bytes of size were written: up to the last that is not blank
size_t umbp_layout_written (const void *buffer, size_t size);

//  The stride of device records, of a buffer into which the library wrote one. Returns it, or
//  UMBP_ENOTSUP with why.
int umbp_layout_stride (const void *buffer, size_t size, char why[UMBP_LAYOUT_WHY_MAX]);

//  The generation of a stride, when the library's names are those of the generation at_least: 1, 2
//  or 3. 0 if there is none.
unsigned umbp_layout_generation (size_t stride, unsigned at_least);

//  Read one record. Returns 0, or UMBP_EINVAL with why: it cannot be a device.
int umbp_layout_device (size_t stride, const void *record, umbp_device_t *out,
                        char why[UMBP_LAYOUT_WHY_MAX]);

//  Read what a library wrote as topology about these devices, with nodes of 72 or 80 bytes. Returns
//  how many peers (rows without a self), or UMBP_EINVAL with why; then nothing of it is to be used.
int umbp_layout_topology (const void *buffer, size_t size, const umbp_device_t *devices,
                          size_t device_count, umbp_device_peer_t *out, size_t max,
                          char why[UMBP_LAYOUT_WHY_MAX]);

//  Copy a text of an array that need not be terminated: false if it is not, or if it has bytes that
//  no terminal should see
bool umbp_layout_text (const char *from, size_t size, char *out, size_t out_size);

//  A uuid in lower case
void umbp_layout_key (const char *uuid, char key[UMBP_DEVICE_UUID_MAX]);

#endif
