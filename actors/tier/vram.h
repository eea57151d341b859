//  actors/tier/vram.h - blocks in the memory of a device (accel/memory.h): the medium of tier:hbm. Some large chunks
//  are taken from the device once; pages of these are given to blocks (pages.h: one run if there is one, else several,
//  so nothing is lost to fragmentation but the rest of each block's last page). Bytes come and go through host
//  memory of the caller; a block may also be lent where it lies, to processes of this host that map its chunk.
//
//  One thread of its own makes all calls of the driver, since they may block as long as they like. Who waits longer than
//  UMBP_VRAM_DEADLINE_MS is told so, and while the driver does not return all else fails at once (UMBP_EIO): the device
//  hangs. Once it returns, all goes on. After a copy that failed nothing is written for so long either.
//
//  Nothing outlives the process. What leaves is for the owner to choose: there is no evict among the medium's calls.
//
//  A value: one owner, called from one thread. Bounded: UMBP_VRAM_JOBS_MAX copies under way. A record takes 48 bytes and
//  16 for each of its runs.
#ifndef UMBP_VRAM_H
#define UMBP_VRAM_H

#include "accel/memory.h"
#include "actors/tier/medium.h"

#define UMBP_VRAM_PAGE_BYTES (64u << 10)
#define UMBP_VRAM_CHUNKS_MAX 32
#define UMBP_VRAM_JOBS_MAX 256
#define UMBP_VRAM_DEADLINE_MS 5000      //  Of a copy
#define UMBP_VRAM_OPEN_MS 30000         //  For the driver to start, and to give us memory
#define UMBP_VRAM_WHY_MAX (UMBP_MEMORY_WHY_MAX + 128)

typedef struct umbp_vram umbp_vram_t;

//  "mock:0", "cuda:1", "hip:0": its kind and number. Returns 0; UMBP_EINVAL if it is none of these.
int umbp_vram_device (const char *text, char kind[8], int *number);

//  Take so many bytes of a device, in whole pages. Blocks, UMBP_VRAM_OPEN_MS at most. Returns NULL, with why: what
//  happened, and what to do.
umbp_vram_t *umbp_vram_new (const char *device, uint64_t capacity, char why[UMBP_VRAM_WHY_MAX]);

//  It as the medium of a depot, which ends it (umbp_medium_close). Until then the calls below are fine too.
umbp_medium_t umbp_vram_medium (umbp_vram_t *self);

const char *umbp_vram_kind (const umbp_vram_t *self);
int umbp_vram_number (const umbp_vram_t *self);

//  Bytes of the whole device, and those that nobody has, as of a second ago at most; 0 and 0: not known
void umbp_vram_room (const umbp_vram_t *self, uint64_t *total, uint64_t *free_bytes);

//  A part of a block, in one chunk
typedef struct {
    uint16_t chunk;
    uint64_t offset, bytes;
} umbp_vram_span_t;

//  Hold a record where it lies, though it may be removed meanwhile. Returns how many spans it has; UMBP_ENOENT if there is
//  no such record, UMBP_ENOTSUP if the driver does not lend its memory, UMBP_EIO while the device hangs.
int umbp_vram_lend (umbp_vram_t *self, uint64_t at, umbp_vram_span_t spans[UMBP_MEDIUM_PIECES_MAX]);

//  Each hold ends once
void umbp_vram_return (umbp_vram_t *self, uint64_t at);

//  What others need to map a chunk that a span names
const umbp_memory_handle_t *umbp_vram_handle (const umbp_vram_t *self, uint16_t chunk);

#endif
