//  actors/tier/manager_self.h - the state of a tier manager, shared by the files that make it up: manager.c (life,
//  pressure, sessions), writers.c (slots), readers.c (leases). Nobody else includes this.
#ifndef UMBP_MANAGER_SELF_H
#define UMBP_MANAGER_SELF_H

#include "actors/tier/admit.h"
#include "actors/tier/announce.h"
#include "actors/tier/depot.h"
#include "actors/tier/governor.h"
#include "actors/tier/leases.h"
#include "actors/tier/manager.h"
#include "actors/tier/moves.h"
#include "actors/tier/shift.h"
#include "actors/tier/spread.h"
#include "actors/tier/store.h"
#include "cluster/bulk/tcp_auth.h"

#define UMBP_SESSIONS_MAX 256           //  Clients attached at the door
#define UMBP_WAITERS_MAX 1024           //  Commits that wait for the index
#define UMBP_PAUSES_MAX 256             //  Answers that wait for the shards

#define UMBP_NEEDS_PRIMARY 128
#define UMBP_NEEDS_DISK 256

#define UMBP_YIELDS_MAX 8               //  Evictions under way
#define UMBP_SLEEPERS_MAX 256           //  Requests for leases that wait for the disk

//  Sessions of clients are known here by their aliases (tcp_auth.h) alone.

//  A client that maps our regions. While its door is open it is alive, and its slots and leases need no clock.
typedef struct {
    uint64_t session, door;             //  session 0: free
} umbp_session_t;

//  An item of a commit that wants copies on other nodes
typedef struct {
    uint32_t item;
    bool due;                           //  To be asked for once the index has heard of the first one
} umbp_wanted_t;

//  A commit or store: answered when of each of its blocks an owner in every ring that matters has heard, and the
//  first owner too, unless it is slow. Kept until all shards have spoken, since the first one's word may come later.
typedef struct {
    umbp_origin_t origin;
    uint32_t turn;                      //  Half of its tag, so that a late word finds nobody
    bool used, answered, keep;
    bool suspended;                     //  Of a store: something was refused for want of memory of the host
    uint16_t answer_type;               //  UMBP_MSG_commit_ok or UMBP_MSG_store_ok
    uint32_t count, unheard;            //  Items, and those that still need to be heard of
    uint32_t outstanding;               //  Words still to come
    int64_t expires, patient_until;     //  patient_until: the first owner is waited for
    int8_t *statuses;                   //  Per item
    uint16_t *needs;                    //  Rings (rings.h), UMBP_NEEDS_PRIMARY: who has to hear of it; UMBP_NEEDS_DISK
    umbp_wanted_t *wanted;              //  Per item; NULL: none wants copies
    uint8_t *missing;                   //  Per item, of those: copies that were not made
} umbp_waiter_t;

//  An answer that is held back until the shards have heard of all changes up to a number
typedef struct {
    umbp_origin_t origin;
    bool used, quiet;                   //  quiet: and until no account is under way
    uint64_t serial;
    int64_t expires;
    int late;                           //  Its status if they have not in time
    bool disk, undoing;                 //  And until the disk is past the mark, and copies on their way are undone
    umbp_depot_mark_t mark;
    int64_t patient_until;              //  For those two
    uint16_t answer_type;               //  UMBP_MSG_ok, UMBP_MSG_drop_ok or UMBP_MSG_wipe_ok
    int8_t *statuses;                   //  Of a drop
    uint32_t count;
    uint64_t blocks, bytes;
} umbp_pause_t;

//  A request for a lease, while it is answered
typedef struct {
    umbp_origin_t origin;
    uint64_t session, inline_max;       //  session: its alias; 0: there is none, and all must be inlined
    bool calm;                          //  For a copy
    int64_t began_us;                   //  0: nobody measures
    uint32_t count;
    uint32_t *items;                    //  Per key; UMBP_STORE_NONE: it is not here
    int8_t *statuses;                   //  Per key
} umbp_reader_t;

//  ... that waits for the disk, see sleepers.c. Its blocks are held, its columns its own.
typedef struct {
    umbp_reader_t reader;
    bool used;
    int64_t expires;
    uint8_t *stages;                    //  Per key
} umbp_sleeper_t;

//  An eviction that waits for the tier below
typedef struct {
    umbp_origin_t origin;
    bool used;
    int64_t expires;
    uint64_t wanted, bytes, blocks;     //  Bytes to be freed; freed so far
    uint64_t sunk;                      //  Blocks that had gone down when it came
} umbp_yield_t;

//  Blocks that go to other tiers of this node, see transit.c
typedef struct {
    umbp_shift_t *down, *up;            //  NULL: there is no such tier
    umbp_yield_t yields[UMBP_YIELDS_MAX];
    int64_t alone_until;                //  The tier below is not asked until then
    uint64_t shed, promoted, sunk;
    umbp_governor_t
        *governor; //  How long readers of this tier wait; NULL: they do not wait for a disk
    umbp_admit_t *admit;                //  What may go down; NULL: nothing can
    umbp_moves_t *moves;                //  NULL: there is no other tier
    uint64_t stay_ms;                   //  Blocks stay here so long, about; 0: none left yet
    unsigned told_share;                //  To the tier above; above a disk: by the tier below
    int64_t told_at;
    uint64_t rested,
        held; //  Moves not made since a block had just moved; blocks that moved too often
} umbp_transit_t;

//  Blocks that go elsewhere, see keeper.c. A pass looks at all blocks once.
#define UMBP_MOVED_MAX 16384            //  Blocks that are elsewhere and about to go from here

typedef struct {
    uint32_t item;
    uint64_t token;
    int64_t drop_at;
} umbp_moved_t;

typedef struct {
    bool draining, passing, stuck;
    uint32_t cursor;                    //  Items that this pass has passed
    uint64_t pass_moved, pass_full;
    int64_t pass_at, empty_since;       //  When the next one begins; 0: there are blocks
    uint64_t moved_blocks, moved_bytes; //  In this drain
    umbp_moved_t *moved;                //  A ring of UMBP_MOVED_MAX
    uint32_t moved_first, moved_count;
    umbp_topology_t *before;            //  Members whose loss we would notice
    bool lost, restoring;               //  Members were lost; last copies are looked for
    uint32_t lost_cursor;
    int64_t lost_again_at;              //  Some could not be made: so late we try again; 0: not
    uint64_t losses, missing, all_moved, all_moved_bytes;
} umbp_keeper_t;

typedef struct umbp_squeeze umbp_squeeze_t;     //  See squeeze.h

typedef struct {
    umbp_manager_args_t args;
    char node[UMBP_NAME_MAX + 1];
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    uint64_t node_epoch;
    char bulk[UMBP_TEXT_MAX];           //  Endpoint of the bulk server
    uint8_t bulk_key[UMBP_BULK_KEY_BYTES];         //  Of the session that is answered
    umbp_post_t *post;
    zloop_t *loop;
    umbp_store_t *store;
    umbp_depot_t *depot;                //  NULL: blocks are in pages alone
    umbp_sleeper_t sleepers[UMBP_SLEEPERS_MAX];
    size_t asleep;
    int disk_state;                     //  As it was logged last
    umbp_board_t *board;                //  NULL: nobody could read it
    umbp_leases_t *leases;
    umbp_announce_t *announce;
    umbp_spread_t *spread;
    umbp_keeper_t keeper;
    umbp_transit_t transit;
    umbp_squeeze_t *squeeze;
    umbp_session_t sessions[UMBP_SESSIONS_MAX];
    umbp_waiter_t waiters[UMBP_WAITERS_MAX];
    umbp_pause_t pauses[UMBP_PAUSES_MAX];
    size_t paused;
    uint64_t tick;                      //  Of the order: one per message
    int64_t pressed_at;                 //  When eviction was told last
    uint64_t pressed_need;              //  What did not fit since
    uint64_t reported_used, reported_blocks, reported_told;
    int64_t reported_at;
    uint64_t puts, put_bytes, hits, misses, hit_bytes, board_hits, exists, full, stale, evicted,
        dropped, conflicts;
    uint64_t over_quota, not_theirs;
    uint64_t returned;                  //  Blocks that had left some node for want of room
    uint64_t expired_slots, expired_leases, bad_sums, fences_waited;
    uint64_t asked, asked_here;         //  Keys that no shard knew, asked of us, and those that were here

    int8_t statuses[UMBP_BATCH_MAX];
    uint8_t inlined[UMBP_BATCH_MAX], tiers[UMBP_BATCH_MAX];
    uint32_t sizes[UMBP_BATCH_MAX], items[UMBP_BATCH_MAX];
    uint64_t sums[UMBP_BATCH_MAX], slots[UMBP_BATCH_MAX];
    uint16_t depths[UMBP_BATCH_MAX];
    uint16_t extent_counts[UMBP_BATCH_MAX], regions[UMBP_EXTENTS_MAX];
    uint32_t pages[UMBP_EXTENTS_MAX], page_counts[UMBP_EXTENTS_MAX], generations[UMBP_EXTENTS_MAX];
    uint32_t extents;                   //  Rows used of the last four
    uint8_t payload[UMBP_INLINE_MAX];
    umbp_grant_item_t grants[UMBP_BATCH_MAX];
} umbp_manager_t;

//  manager.c
bool umbp_manager_attached (const umbp_manager_t *self, uint64_t session);
void umbp_manager_press (umbp_manager_t *self, uint64_t need);
bool umbp_manager_add_extents (umbp_manager_t *self, const umbp_block_t *block, size_t index);
void umbp_manager_drop (umbp_manager_t *self, uint32_t item);
void umbp_manager_sink (umbp_manager_t *self, uint32_t item);
void umbp_manager_evict (umbp_manager_t *self, uint32_t item);
//  The key with which a session reads and writes over tcp, in our room: none if it maps our memory
umbp_bytes_t umbp_manager_bulk_key (umbp_manager_t *self, uint64_t session);
void *umbp_manager_at (const umbp_manager_t *self, const umbp_extent_t *extent);

//  writers.c
void umbp_manager_on_reserve (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_commit (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_abort (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_store (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_word (void *owner, const umbp_word_t *word);
void umbp_manager_end_slot (umbp_manager_t *self, uint32_t item);
void umbp_manager_end_slots_of (umbp_manager_t *self, uint64_t session);
void umbp_manager_expire_slots (umbp_manager_t *self, int64_t now);
void umbp_manager_expire_waiters (umbp_manager_t *self, int64_t now);
void umbp_manager_on_copies (umbp_manager_t *self, const umbp_spread_end_t *end);
void umbp_manager_free_waiter (umbp_waiter_t *waiter);

void umbp_manager_saved (umbp_manager_t *self, const umbp_depot_word_t *word);

//  pauses.c
//  Answer at once, or when that is right. wait_ms: the disk, and copies that are undone, have three quarters of it;
//  after that what was dropped is answered UMBP_ETIMEDOUT
void umbp_manager_pause (umbp_manager_t *self, umbp_pause_t pause, int64_t wait_ms);
//  Those that are right by now, or late
void umbp_manager_resume (umbp_manager_t *self, int64_t now);

//  landlord.c
//  What a request may touch: all, or what one tenant has
typedef struct {
    bool all;
    uint16_t row;                       //  UMBP_TENANT_NONE: nothing
} umbp_sight_t;

umbp_sight_t umbp_manager_sight (umbp_manager_t *self, const umbp_origin_t *origin);
//  Whether a block or slot is of that; else it is counted, and treated as if it were not there
bool umbp_manager_sees (umbp_manager_t *self, umbp_sight_t sight, uint32_t item);
//  A tenant is over its limit: let its own blocks go. Returns 0 if there is room now, else UMBP_EAGAIN or
//  UMBP_EQUOTA.
int umbp_manager_make_room (umbp_manager_t *self, umbp_text_t tenant, uint32_t size);
void umbp_manager_trim_tenants (umbp_manager_t *self);               //  Every tick
void umbp_manager_on_quotas (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_tenants (void *owner, const umbp_mail_t *mail);

//  keeper.c
void umbp_manager_on_drain (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_spread (void *owner, const umbp_spread_end_t *end);
void umbp_manager_keep (umbp_manager_t *self, int64_t now);          //  Every tick
void umbp_manager_watch (umbp_manager_t *self, umbp_topology_t *topology);
void umbp_manager_keep_nothing (umbp_manager_t *self);               //  At the end

//  readers.c
void umbp_manager_on_lookup (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_lease (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_release (void *owner, const umbp_mail_t *mail);
void umbp_manager_end_lease (umbp_manager_t *self, umbp_lease_t *lease);
void umbp_manager_end_leases_of (umbp_manager_t *self, uint64_t session);
void umbp_manager_on_touch (void *owner, const umbp_mail_t *mail);
void umbp_manager_expire_leases (umbp_manager_t *self, int64_t now);
void umbp_manager_lease_fenced (umbp_manager_t *self, umbp_lease_t *lease);
void umbp_manager_answer_lease (umbp_manager_t *self, const umbp_reader_t *reader);

//  govern.c
//  A block became live. brought: by the migrator, from another tier or node.
void umbp_manager_came (umbp_manager_t *self, uint32_t item, const umbp_origin_t *origin,
                        bool kept);
void umbp_manager_left_disk (umbp_manager_t *self, uint32_t item);   //  For want of room
void umbp_manager_moved (umbp_manager_t *self, uint32_t item);       //  To another tier, or from there
bool umbp_manager_rests (umbp_manager_t *self, uint32_t item, int64_t now);
bool umbp_manager_admits (umbp_manager_t *self, uint32_t item, int64_t now);     //  To the tier below
int64_t umbp_manager_clock_us (const umbp_manager_t *self);          //  0: nobody measures
void umbp_manager_waited (umbp_manager_t *self, const umbp_reader_t *reader);
void umbp_manager_on_pace (void *owner, const umbp_mail_t *mail);
void umbp_manager_start_govern (umbp_manager_t *self);
void umbp_manager_govern (umbp_manager_t *self, int64_t now);        //  Every tick
void umbp_manager_stat_govern (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_govern (umbp_manager_t *self);

//  transit.c
//  What an eviction asked for goes down first. Returns false if there is nowhere to go: then the caller sees to it.
bool umbp_manager_yield (umbp_manager_t *self, const umbp_mail_t *mail);
void umbp_manager_write_through (umbp_manager_t *self, uint32_t item);
void umbp_manager_promote (umbp_manager_t *self, uint32_t item);     //  It was read here
//  A live block is about to be removed for good: so are copies that are on their way. Returns true if there are some
//  in another tier of this node.
bool umbp_manager_removed (umbp_manager_t *self, uint32_t item);
bool umbp_manager_undoing (const umbp_manager_t *self);
void umbp_manager_start_transit (umbp_manager_t *self);
void umbp_manager_go_on_transit (umbp_manager_t *self, int64_t now); //  Every tick
void umbp_manager_stat_transit (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_transit (umbp_manager_t *self);

//  sleepers.c
//  Answer a request for a lease, once all its blocks are in pages
void umbp_manager_wake (umbp_manager_t *self, const umbp_reader_t *reader, int64_t expires);
void umbp_manager_make_depot (umbp_manager_t *self); //  Takes the log that came with the arguments
void umbp_manager_start_depot (umbp_manager_t *self);
void umbp_manager_work_depot (umbp_manager_t *self, int64_t now);    //  Every tick
void umbp_manager_stat_depot (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_depot (umbp_manager_t *self);

#endif
