//  actors/tier/depot.h - blocks of a store that rest on disk: what became live is written to its medium (medium.h), and
//  what shall be read comes back from there into pages, one read for all who wait for it. What comes back is
//  compared with its checksum: a block whose bytes are not what they were is never shown to anybody.
//
//  A value of its tier manager's thread; the store is borrowed, the medium its own. While that works on a block,
//  the depot holds it. Bounded: UMBP_DEPOT_JOBS_MAX blocks on their way; no wait is longer than UMBP_DEPOT_WAIT_MS.
#ifndef UMBP_DEPOT_H
#define UMBP_DEPOT_H

#include "actors/tier/medium.h"
#include "actors/tier/store.h"
#include "cluster/bulk/piece.h"

#define UMBP_DEPOT_JOBS_MAX 4096
#define UMBP_DEPOT_WAIT_MS 5000

typedef struct umbp_depot umbp_depot_t;

typedef enum {
    UMBP_DEPOT_SAVED,                   //  As durable as the medium makes it; status: or why it is not there
    UMBP_DEPOT_FETCHED,                 //  Its pages have its bytes; status: or why not. UMBP_EIO and UMBP_ECHECKSUM: they
                                        //  are lost
    UMBP_DEPOT_LEFT,                    //  It had to go from the disk, to make room; status: or since it is damaged there
} umbp_depot_what_t;

//  What became of a block. It may have been dropped meanwhile, and is still good to look at.
typedef struct {
    umbp_depot_what_t what;
    uint32_t item;
    uint64_t tag;                       //  As given, of SAVED
    int status;
} umbp_depot_word_t;

//  Not called from within umbp_depot_save and umbp_depot_fetch
typedef void (umbp_depot_fn) (void *owner, const umbp_depot_word_t *word);

typedef struct {
    umbp_store_t *store;                //  With a depot of capacity_bytes, see umbp_depot_room
    const umbp_piece_t *regions;        //  Of its pages
    size_t region_count;
    void *owner;
    umbp_depot_fn *fn;
} umbp_depot_args_t;

//  Takes the medium. What that has from before is in the store then; what the store will not have is removed.
umbp_depot_t *umbp_depot_new (const umbp_depot_args_t *args, umbp_medium_t *medium, uint64_t tick);

//  Blocks until all is written, at most 5 s. False: the disk still has some of the pages, and will have them for as
//  long as the process lives.
bool umbp_depot_destroy (umbp_depot_t **self_p);

//  Of a medium, so many bytes of blocks
uint64_t umbp_depot_room (const umbp_medium_t *medium);

//  Write a live block; UMBP_DEPOT_SAVED will say when it is there. Returns 0, or UMBP_EAGAIN if too much is on its way.
int umbp_depot_save (umbp_depot_t *self, uint32_t item, uint64_t tag);

//  See to it that a live block has its bytes in pages: hold it before, or it may lose them again. Returns 0 if it has;
//  1 if UMBP_DEPOT_FETCHED will say when; UMBP_EAGAIN if there is no room for it now.
int umbp_depot_fetch (umbp_depot_t *self, uint32_t item);

//  A live block is about to be dropped: the disk forgets it too
void umbp_depot_drop (umbp_depot_t *self, uint32_t item);

//  Let go of so many bytes: UMBP_DEPOT_LEFT is said of each block, of some only later
void umbp_depot_evict (umbp_depot_t *self, uint64_t bytes);

//  Whether its medium chooses what leaves for want of room; else the owner does, and drops it. And whether a block that
//  could not be read in time (UMBP_ETIMEDOUT) is lost too.
bool umbp_depot_chooses (const umbp_depot_t *self);
bool umbp_depot_forgets (const umbp_depot_t *self);

//  What was said of a moment: whether all that was to be saved until then is on disk, or could not be written, and nothing
//  that was dropped until then comes back, however we end
typedef struct {
    uint64_t saves, removals;           //  Steps to go; 0: that one is behind us
} umbp_depot_mark_t;

//  What leaves goes elsewhere first: for a moment blocks that find no room wait for that, and nothing leaves for them.
void umbp_depot_set_sinks (umbp_depot_t *self, bool sinks);

//  Bytes that blocks wait for in this way, each block's once however often it is tried; 0: none was since this was asked
//  last
uint64_t umbp_depot_tight (umbp_depot_t *self);

//  The live blocks that give room soonest, if they leave: those of the oldest segments. Nobody holds them, and none was
//  used since it was passed over: one that was comes after all others did, for which this may be asked as often as need be.
//  0: the medium has no such order, or of those that were looked at now all are in use.
size_t umbp_depot_victims (umbp_depot_t *self, size_t max, uint32_t *items);

umbp_depot_mark_t umbp_depot_mark (umbp_depot_t *self);
bool umbp_depot_is_past (umbp_depot_t *self, umbp_depot_mark_t *mark);

int umbp_depot_fd (umbp_depot_t *self);              //  Readable when umbp_depot_work should be called
void umbp_depot_work (umbp_depot_t *self);
void umbp_depot_tick (umbp_depot_t *self, int64_t now_ms);           //  Every few milliseconds

typedef struct {
    umbp_medium_stats_t medium;
    uint64_t fetches,
        shared; //  Blocks read; of these, asked for again while they were on their way
    uint64_t rotten;                    //  Read, and not what they were
    uint64_t failed;                    //  Not written, or not read
    uint64_t jobs;                      //  Blocks on their way
    uint64_t stuck;                     //  ... of which the disk says nothing, though their time is over
} umbp_depot_stats_t;

umbp_depot_stats_t umbp_depot_stats (const umbp_depot_t *self);

#endif
