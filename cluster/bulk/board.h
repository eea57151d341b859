//  cluster/bulk/board.h - the notice board of a tier: which blocks it holds and where they lie, in
//  memory that readers of the same host map. Who finds a block there reads it without a message and
//  without a lease: it copies the bytes, and then asks the board whether the block is still the same.
//
//  This is a sequence lock. Each notice has a version, odd while it is changed. The owner takes a
//  notice down before it gives the pages of the block to anybody else; so a reader that sees the same
//  even version before and after it copied has copied that block and nothing else. A reader holds
//  nothing, so it may die or stop anywhere. The owner never waits for it. (H.-J. Boehm, "Can seqlocks
//  get along with programming language memory models?", MSPC 2012.)
//
//  The board is a hint: a block may be missing here, since its key is long, it lies in many pieces,
//  or its bucket is full. Who does not find it asks.
//
//  The owner changes it from one thread. Readers may be many, in any process; what they map cannot be
//  written. Nothing a reader finds there is trusted before it was checked.
#ifndef UMBP_BOARD_H
#define UMBP_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/bulk/extent.h"
#include "cluster/bulk/region.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_BOARD_KEY_MAX 160          //  Bytes of a key; longer ones are not on the board
#define UMBP_BOARD_EXTENTS_MAX 4        //  Pieces of a block, likewise

//  What a notice says of a block
typedef struct {
    uint64_t version, sum;              //  sum: XXH3-64 of its bytes
    uint32_t notice;                    //  Its number on the board
    uint32_t item;                      //  What its owner calls it
    uint32_t size;
    uint16_t extent_count;
    umbp_extent_t extents[UMBP_BOARD_EXTENTS_MAX];      //  Generations are 0: the version serves
} umbp_notice_t;

//  ------------------------------------------------------------------------------------------------
//  The owner's

typedef struct umbp_board umbp_board_t;

//  A board for a tier of so many pages: 264 bytes for each, at most 1.1 GB, of which those are used
//  that are written to. Returns NULL if there is not enough memory.
umbp_board_t *umbp_board_new (uint64_t pages);
void umbp_board_destroy (umbp_board_t **self_p);

//  Put up a notice about a block that is whole and will not change, version and notice aside. Its key
//  has none yet. Returns false if it cannot have one.
bool umbp_board_add (umbp_board_t *self, const void *key, size_t key_size,
                     const umbp_notice_t *block);

//  Take it down, before its pages serve another block. None there is fine.
void umbp_board_drop (umbp_board_t *self, const void *key, size_t key_size);

size_t umbp_board_count (const umbp_board_t *self);

//  The memory, for readers to map
const umbp_region_t *umbp_board_region (const umbp_board_t *self);

//  ------------------------------------------------------------------------------------------------
//  The reader's: base and bytes are where it mapped the memory

//  Whether it is a board that this reader understands
bool umbp_board_check (const void *base, size_t bytes);

//  Look for a key on a board that was checked. Returns false if it is not there; or is being changed
//  just now.
bool umbp_board_look (const void *base, const void *key, size_t key_size, umbp_notice_t *found);

//  One of many keys that are looked for at once
typedef struct {
    const void *key;
    size_t key_size;
    uint64_t tag;                       //  The board's own, like place
    uint32_t place;
    bool there;                         //  A notice about it was up; set by umbp_board_find
} umbp_board_probe_t;

//  Look for keys on a board that was checked. What many lie behind in memory is fetched at once, so that
//  one key costs a fraction of a look for it alone.
void umbp_board_find (const void *base, umbp_board_probe_t *probes, size_t count);

//  Whether the notice is still up: then all that was read since the look is of that block
bool umbp_board_still (const void *base, const umbp_notice_t *found);

#ifdef __cplusplus
}
#endif

#endif
