//  actors/tier/store.h - the blocks of one memory tier: which there are, where they lie, who holds on to them.
//
//  The life of a block: reserve makes a slot, pages with a writer and no reader; commit makes it live, found by
//  its key; drop dooms it: nobody finds it any more, and its pages are free as soon as nobody holds it. A hold is
//  a lease, or a fence that is not up yet. All states count in one number of used pages, so nothing can leak
//  unseen.
//
//  Blocks may also rest elsewhere than in pages: in a depot (depot.h), of which the store knows a place for each and
//  no more. Then pages are only where blocks come and go. One that has its place can be without pages, and gives
//  them up when others need some, those first that were not read for longest.
//
//  A value: one owner, no thread, no time of its own. Blocks are named by item numbers, which are used again.
//  Keys and extents lie in a slab; the number of blocks is bounded by that of pages, or by what the depot holds.
#ifndef UMBP_STORE_H
#define UMBP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/tier/policy.h"
#include "actors/tier/journal.h"
#include "actors/tier/pages.h"
#include "actors/tier/tenants.h"
#include "cluster/bulk/board.h"
#include "cluster/bulk/extent.h"
#include "proto/fingerprint.h"

#define UMBP_STORE_NONE UINT32_MAX
#define UMBP_STORE_EXTENTS_MAX 128      //  Of one block
#define UMBP_STORE_NOWHERE UINT64_MAX   //  As a place in the depot
#define UMBP_STORE_REST_BYTES                                                                      \
    4096 //  What a block takes in the depot is a multiple of this, and one for its head

typedef enum {
    UMBP_BLOCK_FREE = 0,
    UMBP_BLOCK_SLOT,
    UMBP_BLOCK_LIVE,
    UMBP_BLOCK_DOOMED,
} umbp_block_state_t;

typedef struct {
    const uint8_t *key;
    umbp_extent_t *extents;
    umbp_fingerprint_t print;
    uint64_t sum;                       //  XXH3-64 of the bytes, from commit on
    uint64_t token;                     //  Of a slot: names it, and fences its writer
    uint64_t session;                   //  Of a slot: who may write
    uint64_t place;                     //  In the depot; UMBP_STORE_NOWHERE: not there yet, or there is none
    int64_t expires;                    //  Of a slot
    int64_t since;                      //  Milliseconds: when it became live; 0: before we started
    uint32_t size;
    uint32_t holds;
    uint32_t next;                      //  In the bucket of its key, or in the free list
    uint32_t slot_before, slot_after;   //  In the list of slots
    uint32_t sinking, rising;           //  Numbers of its jobs in shift.h, down and up, from 1 on; 0: none
    uint16_t extent_count, key_size, depth;
    uint16_t tenant;                    //  Its row in the tenants: who pays for the pages
    uint8_t state;
    uint8_t replicas;                   //  Wanted copies on all nodes; 0 as 1
    bool granted;                       //  The bulk server knows its token
    bool leaving;                       //  Its owner has chosen it: it is no victim
    bool filled;                        //  Its pages have its bytes, or its writer gives them
    bool filling;                       //  ... or the depot does
    bool used;                          //  Since umbp_store_is_used was asked last
    bool fresh;                         //  ... or moved here while it was here: as good as used, but nobody asked for it
    bool lately;                        //  Either, since a look for victims in the depot passed over it
    uint8_t hint;                       //  umbp_policy_hint_t
    bool copy;                          //  Made of a block that another node had, and may have still
    bool brought;                       //  The migrator brought it
    bool again;                         //  It was known from before, see admit.h
    bool hit;                           //  It was read from here before, or somebody said that it will be
    bool cold;                          //  Somebody said that it will not be, and nobody read it since
    bool below;                         //  The tier below had a copy when it was looked for last
    uint8_t above;                      //  Reads until that above, which had one, is asked again: see transit.c
    bool foreign;                       //  In the depot of another node, and read there: charged to nobody, no victim
} umbp_block_t;

typedef struct umbp_store umbp_store_t;

//  For pages_per_region[] pages of page_size bytes; the seed is that of fingerprints. NULL if the pages are
//  impossible (see pages.h).
umbp_store_t *umbp_store_new (uint32_t page_size, const uint32_t *pages_per_region, size_t regions,
                              uint64_t seed);
void umbp_store_destroy (umbp_store_t **self_p);

//  Another policy than lru, by its name. Returns 0, or UMBP_EINVAL if there is none of that name, or there were blocks.
int umbp_store_set_policy (umbp_store_t *self, const char *name);
umbp_policy_stats_t umbp_store_policy_stats (const umbp_store_t *self);

//  Keep a board of the live blocks from now on, which is the caller's and outlives the store. There are none yet.
//  home: the tenant whose blocks it shows, under the keys that this tenant's clients say.
void umbp_store_set_board (umbp_store_t *self, umbp_board_t *board, const char *home);

//  Blocks rest in a depot of so many bytes. There are none yet.
void umbp_store_set_depot (umbp_store_t *self, uint64_t bytes);

//  Before that: each takes multiples of so many bytes there, and nothing for its head
void umbp_store_set_unit (umbp_store_t *self, uint32_t unit);

//  A slot for a block. Returns 0 and its item; UMBP_EEXIST if a live block has that key, UMBP_EAGAIN if there is
//  no room now, UMBP_ENOSPC if there never is, UMBP_EINVAL for a size of 0, UMBP_EQUOTA if the tenant in the key's
//  scope may not use so much.
int umbp_store_reserve (umbp_store_t *self, const void *key, size_t key_size, uint32_t size,
                        uint16_t depth, uint32_t *item_p);

//  Item of a slot by its token, UMBP_STORE_NONE if there is none
uint32_t umbp_store_slot (const umbp_store_t *self, uint64_t token);

//  First slot and the one after; UMBP_STORE_NONE at the end
uint32_t umbp_store_slots (const umbp_store_t *self);

//  What the writer of a slot says, before the commit: see policy.h. copy: it is one of a block that another node has.
void umbp_store_set_hints (umbp_store_t *self, uint32_t item, umbp_policy_hint_t hint, bool copy);

//  Make a slot live. Returns 0; or UMBP_EEXIST if a live block has that key by now:
//  then the slot is gone.
int umbp_store_commit (umbp_store_t *self, uint32_t item, uint64_t sum, uint64_t tick);

//  A live block is at a place in the depot now: its pages may go to others when nobody holds it
void umbp_store_rest (umbp_store_t *self, uint32_t item, uint64_t place);

//  Give a live block pages, which have to be filled then. Returns 0, also if it has some; UMBP_EAGAIN if all are
//  held, or the free ones are too scattered.
int umbp_store_raise (umbp_store_t *self, uint32_t item);

//  A block that the depot had from before: live, without pages. Returns 0 and its item, or as reserve. known->foreign:
//  it takes no room.
int umbp_store_adopt (umbp_store_t *self, const umbp_block_t *known, uint64_t tick,
                      uint32_t *item_p);

//  Forget a slot or a live block. Its pages are free when the last hold ends, or now: then true.
bool umbp_store_drop (umbp_store_t *self, uint32_t item);

//  The same for want of room: the policy remembers a live block
bool umbp_store_evict (umbp_store_t *self, uint32_t item);

//  Count one more hold, or one less. Returns true if that freed the pages of a doomed block.
void umbp_store_hold (umbp_store_t *self, uint32_t item);
bool umbp_store_unhold (umbp_store_t *self, uint32_t item);

//  Of a key, as in the print of its block (lo)
uint64_t umbp_store_print (const umbp_store_t *self, const void *key, size_t key_size);

//  Live block of a key, UMBP_STORE_NONE if there is none
uint32_t umbp_store_find (const umbp_store_t *self, const void *key, size_t key_size);

//  It was used, see policy.h for ticks
void umbp_store_touch (umbp_store_t *self, uint32_t item, uint64_t tick);

//  The same of what the migrator brought once more
void umbp_store_freshen (umbp_store_t *self, uint32_t item, uint64_t tick);

//  Whether it was found or touched since this was asked last, or is held
bool umbp_store_is_used (umbp_store_t *self, uint32_t item);

//  Whether it is live, and in the depot if there is one: then others may know of it
bool umbp_store_is_stored (const umbp_store_t *self, uint32_t item);

//  The least useful live blocks that nobody holds; see policy.h. Among twice as many of them those come first of
//  which another node had one too when they were made here: whether it still has is not known.
size_t umbp_store_victims (umbp_store_t *self, size_t max, uint32_t *items);

//  The same for who only asks: changes nothing. Copies leave in the order of all, as among many victims.
size_t umbp_store_peek (umbp_store_t *self, size_t max, uint32_t *items);

//  Who uses how much; the store's own
umbp_tenants_t *umbp_store_tenants (umbp_store_t *self);

//  Limits from now on; takes the quotas
void umbp_store_set_quotas (umbp_store_t *self, umbp_quotas_t **quotas_p, unsigned tier);

//  Bytes that a block of some size takes, of pages or in the depot
uint64_t umbp_store_bytes (const umbp_store_t *self, uint32_t size);

//  Walk all live blocks, about in the order in which they would leave if none were used: from UMBP_STORE_NONE, to it
uint32_t umbp_store_next (const umbp_store_t *self, uint32_t item);

//  The same as victims, of one tenant's blocks
size_t umbp_store_own_victims (umbp_store_t *self, uint16_t tenant, size_t max, uint32_t *items);

//  A block by its item; good until the next call that changes the store
umbp_block_t *umbp_store_block (umbp_store_t *self, uint32_t item);

//  Items are below this. To walk all live blocks in steps, count up to it: blocks that are live from start to
//  end are seen exactly once.
uint32_t umbp_store_reach (const umbp_store_t *self);

//  Who has which page; the store's own. To take pages out of use, see balloon.h
umbp_pages_t *umbp_store_pages (umbp_store_t *self);

//  What is charged to tenants, and refunded, is written down there from now on; it outlives the store
void umbp_store_set_journal (umbp_store_t *self, umbp_journal_t *journal);

//  Copy the bytes of a block from where it is to where it will be
typedef void (umbp_store_copy_fn) (void *arg, const umbp_block_t *from, const umbp_extent_t *to,
                                   size_t count);

//  Give a live block that nobody holds other pages. Returns 0, or UMBP_EAGAIN if there is no room, or
//  it is held: then all is as before.
int umbp_store_move (umbp_store_t *self, uint32_t item, umbp_store_copy_fn *copy, void *arg);

typedef struct {
    uint64_t total_bytes,
        used_bytes; //  Of pages, without those that are out of use; of the depot, if there is one
    uint64_t live, slots, doomed;       //  Blocks
    uint64_t raised;                    //  Live blocks with pages; all of them, if there is no depot
    uint64_t page_bytes, paged_bytes;   //  Of pages: all, and those in use
} umbp_store_counts_t;

umbp_store_counts_t umbp_store_counts (const umbp_store_t *self);
uint32_t umbp_store_page_size (const umbp_store_t *self);

#endif
