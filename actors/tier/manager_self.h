//  actors/tier/manager_self.h - the state of a tier manager, shared by the files that make it up: manager.c (life,
//  pressure, sessions), writers.c (slots), waiters.c (what is answered later), readers.c (leases). Nobody else includes this.
#ifndef UMBP_MANAGER_SELF_H
#define UMBP_MANAGER_SELF_H

#include "actors/tier/admit.h"
#include "actors/tier/announce.h"
#include "actors/tier/depot.h"
#include "actors/tier/governor.h"
#include "actors/tier/leases.h"
#include "actors/tier/manager.h"
#include "actors/tier/moves.h"
#include "actors/tier/shelf.h"
#include "actors/tier/shift.h"
#include "actors/tier/spread.h"
#include "actors/tier/store.h"
#include "actors/tier/storm.h"
#include "cluster/bulk/tcp_auth.h"

#define UMBP_MANAGER_TICK_MS 20
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
    bool disk;                          //  And until the disk is past the mark
    umbp_undo_span_t undos;             //  ... and copies on their way are undone
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
    int64_t since;
    uint64_t wanted, bytes, blocks;     //  Bytes to be freed; freed so far
    uint64_t went;                      //  As it was when it came
} umbp_yield_t;

//  Blocks that somebody said nobody will read, see advice.c
#define UMBP_COLD_MAX 4096

typedef struct {
    struct {
        uint32_t item;
        uint64_t token;                 //  Of the block when that was said
    } cold[UMBP_COLD_MAX];
    uint32_t cold_count;
    uint64_t needs, colds;              //  Blocks of which either was said
} umbp_advice_t;

//  Blocks that will leave soon are copied below while nothing else moves, see scan.c
typedef struct {
    int64_t at, wait_until;             //  When it looked last; it does not look before
    uint64_t credit;                    //  Thousandths of a block that may be copied
    bool passing;                       //  It is behind this block of the order
    uint32_t item;
    uint64_t token, passed_bytes;
    uint32_t cold_at;                   //  Of the blocks that somebody said to be cold, the next to look at
    uint64_t looked, chosen, passes;    //  Ever
} umbp_scan_t;

//  Blocks that go to other tiers of this node, see transit.c
typedef struct {
    umbp_shift_t *down, *up;            //  NULL: there is no such tier
    umbp_yield_t yields[UMBP_YIELDS_MAX];
    int64_t alone_until;                //  The tier below is not asked until then
    uint64_t shed, promoted;
    int64_t went_at;                    //  The tier below, or one below it, took a block last; 0: none yet
    uint64_t went;                      //  ... and so often
    uint64_t took, told_took;           //  Blocks that this tier or one below took; as the tier above knows
    uint64_t heard_took;                //  ... as the tier below said
    int64_t told_took_at;
    bool stopping;                      //  The node ends: nothing moves any more, and nobody is to blame
    uint64_t unsaved;                   //  Of shed, those that waited for a copy
    umbp_governor_t
        *governor; //  How long readers of this tier wait; NULL: they do not wait for a disk
    umbp_admit_t *admit;                //  What may go down; NULL: nothing can
    umbp_moves_t *moves;                //  NULL: there is no other tier
    uint64_t stay_ms;                   //  Blocks stay here so long, about; 0: none left yet
    unsigned told_share;                //  To the tier that feeds us
    unsigned heard_share;               //  From the tier below
    int64_t told_at;
    umbp_storm_t *storm;                //  NULL: there is no other tier
    uint64_t asked;                     //  Moves that it was told of
    int64_t storm_since;
    bool own_storm, told_own;           //  There is one here; there was when we told of it last
    bool storm_above, storm_below;      //  ... at the tiers next to us
    uint64_t told_reads, heard_reads;   //  Readers of the last second, here and in the tier below
    uint64_t put_off;                   //  Blocks that were not brought up in a storm, since read once
    umbp_scan_t scan;
    uint64_t rested,
        held; //  Moves not made since a block had just moved; blocks that moved too often
} umbp_transit_t;

//  Blocks that go elsewhere, see keeper.c. A pass looks at all blocks once.
#define UMBP_MOVED_MAX 16384            //  Blocks that are elsewhere and about to go from here

typedef struct {
    uint32_t item;
    uint64_t token, turn;               //  turn: of its keeper
    int64_t drop_at;
} umbp_moved_t;

typedef struct {
    bool draining, passing, stuck;
    uint64_t
        turn; //  Of drains and suspensions: the word for a copy counts in that in which it was asked for
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

//  What other nodes have on the same shelf, see takeover.c
#define UMBP_ESTATES_MAX 1024

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    int64_t absent_since;               //  0: it serves itself
    int64_t other_since;                //  While it is ours: another one should have it since then; 0: none should
    bool seen, ours;
} umbp_estate_t;

typedef struct {
    umbp_shelf_t *shelf;                //  The medium of the depot
    umbp_estate_t estates[UMBP_ESTATES_MAX];
    size_t count;
    umbp_estate_t *scanned;             //  What it has is being listed, or adopted; NULL: nothing is
    bool looking;
    int64_t look_at;
    uint64_t takeovers, returned, failed;            //  Estates
} umbp_takeover_t;

typedef struct umbp_squeeze umbp_squeeze_t;     //  See squeeze.h
typedef struct umbp_lends umbp_lends_t;         //  See lends.h

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
    umbp_takeover_t *takeover;          //  NULL: the tier is not on a shelf
    umbp_depot_t *depot;                //  NULL: blocks are in pages alone
    umbp_sleeper_t sleepers[UMBP_SLEEPERS_MAX];
    size_t asleep;
    int disk_state;                     //  As it was logged last
    umbp_board_t *board;                //  NULL: nobody could read it
    umbp_leases_t *leases;
    umbp_announce_t *announce;
    umbp_spread_t *spread;
    umbp_undos_t *undos;
    umbp_keeper_t keeper;
    umbp_transit_t transit;
    umbp_advice_t advice;
    umbp_squeeze_t *squeeze;
    umbp_lends_t *lends;                //  NULL: none was made yet
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
void umbp_manager_let_go (umbp_manager_t *self, uint32_t item);
void umbp_manager_evict (umbp_manager_t *self, uint32_t item);
//  The key with which a session reads and writes over tcp, in our room: none if it maps our memory
umbp_bytes_t umbp_manager_bulk_key (umbp_manager_t *self, uint64_t session);
void *umbp_manager_at (const umbp_manager_t *self, const umbp_extent_t *extent);

//  writers.c
void umbp_manager_on_reserve (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_commit (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_abort (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_store (void *owner, const umbp_mail_t *mail);
void umbp_manager_end_slot (umbp_manager_t *self, uint32_t item);
void umbp_manager_end_slots_of (umbp_manager_t *self, uint64_t session);
void umbp_manager_expire_slots (umbp_manager_t *self, int64_t now);

//  waiters.c
//  Room for what the answer to count items has to remember. Returns NULL if too many wait.
umbp_waiter_t *umbp_manager_waiter (umbp_manager_t *self, const umbp_mail_t *mail,
                                    uint16_t answer_type, bool keep, uint32_t count);
//  A block became live, as item index of it
void umbp_manager_announce (umbp_manager_t *self, umbp_waiter_t *waiter, uint32_t index,
                            uint32_t item);
//  That were all: it is answered when it is time, or now
void umbp_manager_seal (umbp_manager_t *self, umbp_waiter_t *waiter, bool nowait);
void umbp_manager_on_word (void *owner, const umbp_word_t *word);
void umbp_manager_saved (umbp_manager_t *self, const umbp_depot_word_t *word);
void umbp_manager_on_copies (umbp_manager_t *self, const umbp_spread_end_t *end);
void umbp_manager_expire_waiters (umbp_manager_t *self, int64_t now);
void umbp_manager_free_waiter (umbp_waiter_t *waiter);

//  pauses.c
//  Answer at once, or when that is right. wait_ms: the disk, and copies that are undone, have three quarters of it;
//  after that what was dropped is answered UMBP_ETIMEDOUT
void umbp_manager_on_not_undone (void *owner, uint64_t number);
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
//  Whether it is from an actor of this node: of a block that is to be kept, the migrator
bool umbp_manager_is_actor (const umbp_origin_t *origin);

//  A block became live. kept: it was moved here, if an actor of this node says so.
void umbp_manager_came (umbp_manager_t *self, uint32_t item, const umbp_origin_t *origin,
                        bool kept);
void umbp_manager_left_disk (umbp_manager_t *self, uint32_t item);   //  For want of room
void umbp_manager_moved (umbp_manager_t *self, uint32_t item);       //  To another tier, or from there
bool umbp_manager_rests (umbp_manager_t *self, uint32_t item, int64_t now);
bool umbp_manager_came_up (const umbp_manager_t *self,
                           uint32_t item); //  From below, where it is still
bool umbp_manager_admits (umbp_manager_t *self, uint32_t item, int64_t now);     //  To the tier below
int64_t umbp_manager_clock_us (const umbp_manager_t *self);          //  0: nobody measures
void umbp_manager_waited (umbp_manager_t *self, const umbp_reader_t *reader);
void umbp_manager_took (umbp_manager_t *self);      //  This tier or one below has a block more
void umbp_manager_on_sent (void *owner, int64_t waited_ms);          //  A block, to another tier
void umbp_manager_on_pace (void *owner, const umbp_mail_t *mail);
void umbp_manager_start_govern (umbp_manager_t *self);
void umbp_manager_govern (umbp_manager_t *self, int64_t now);        //  Every tick
void umbp_manager_stat_govern (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_govern (umbp_manager_t *self);

bool umbp_manager_in_storm (const umbp_manager_t *self);
bool umbp_manager_would_admit (umbp_manager_t *self, uint32_t item); //  Were it to leave now
//  ... and the way down were in debt, or there were a storm, or neither
bool umbp_manager_would_admit_if (umbp_manager_t *self, uint32_t item, bool is_short);

//  advice.c
void umbp_manager_advise (umbp_manager_t *self, const umbp_mail_t *mail);
//  The least useful blocks, those first of which somebody said so
size_t umbp_manager_victims (umbp_manager_t *self, size_t max, uint32_t *items);
//  ... if they had to leave now: nothing is changed
size_t umbp_manager_peek (umbp_manager_t *self, size_t max, uint32_t *items);
void umbp_manager_stat_advice (const umbp_manager_t *self, umbp_gauges_t *gauges);

//  scan.c
void umbp_manager_scan (umbp_manager_t *self, int64_t now);          //  Every tick
//  A block may be copied below, if nothing else moves
void umbp_manager_prepare (umbp_manager_t *self, uint32_t item);
void umbp_manager_prepared (umbp_manager_t *self, const umbp_shift_end_t *end);
void umbp_manager_stat_scan (const umbp_manager_t *self, umbp_gauges_t *gauges);

//  transit.c
//  What an eviction asked for goes down first. Returns false if there is nowhere to go: then the caller sees to it.
bool umbp_manager_yield (umbp_manager_t *self, const umbp_mail_t *mail);
//  The first of these leave without a copy, until so many bytes are free. Called for any tier.
void umbp_manager_shed (umbp_manager_t *self, const uint32_t *victims, size_t count,
                        uint64_t bytes);
void umbp_manager_write_through (umbp_manager_t *self, uint32_t item);
//  It was read here, or will be. From a disk it goes up at once, from memory and in a storm the second time.
void umbp_manager_promote (umbp_manager_t *self, uint32_t item);
//  A block is removed for good, whether it is here or not: so are its copies on their way to other tiers of this node
void umbp_manager_removed (umbp_manager_t *self, uint64_t print, umbp_undo_span_t *span);
void umbp_manager_wiped (umbp_manager_t *self, umbp_text_t tenant, umbp_undo_span_t *span);
//  A live block goes, by another way than an eviction
void umbp_manager_leaves (umbp_manager_t *self, uint32_t item);
//  Blocks are removed that were moved here, or whose moves ended nobody knows how: so is what went on from here
void umbp_manager_undo (umbp_manager_t *self, const umbp_msg_drop_t *ask, umbp_undo_span_t *span);
void umbp_manager_start_transit (umbp_manager_t *self);
//  The tier below has a block more, or one below that
void umbp_manager_went (umbp_manager_t *self);
void umbp_manager_stops (void *owner);                  //  The node is about to end
void umbp_manager_go_on_transit (umbp_manager_t *self, int64_t now); //  Every tick
void umbp_manager_stat_transit (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_transit (umbp_manager_t *self);

//  takeover.c
void umbp_manager_start_takeover (umbp_manager_t *self);             //  Before the depot takes the medium
void umbp_manager_take_over (umbp_manager_t *self, int64_t now);     //  Every tick
void umbp_manager_stat_takeover (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_on_shelf (void *owner, const umbp_mail_t *mail);
//  Who of the candidates, and of ourselves, has the estate of a node: all who know the same candidates say the same
uint64_t umbp_takeover_rank (const char *node, const char *candidate);

//  sleepers.c
//  Answer a request for a lease, once all its blocks are in pages
void umbp_manager_wake (umbp_manager_t *self, const umbp_reader_t *reader, int64_t expires);
void umbp_manager_make_depot (
    umbp_manager_t *self); //  Takes the medium that came with the arguments
void umbp_manager_start_depot (umbp_manager_t *self);
void umbp_manager_work_depot (umbp_manager_t *self, int64_t now);    //  Every tick
void umbp_manager_stat_depot (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_depot (umbp_manager_t *self);

#endif
