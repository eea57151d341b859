//  test/unit/tier.h - a tier manager with real memory and a real bulk server, in a node whose other actors
//  are played by the test: its registry and eviction only listen, and the index, here and on other nodes,
//  is a set of shards that keep what they hear and say what the test wants. Everything but the manager
//  and its bulk server runs in the test's own thread.
#ifndef UMBP_TEST_TIER_H
#define UMBP_TEST_TIER_H

#include "actors/tier/log.h"
#include "actors/tier/manager.h"
#include "actors/tier/vram.h"
#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/shm.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_wire.h"
#include "test/unit/bulk_raw.h"
#include "proto/key.h"
#include "test/unit/crowd.h"
#include "test/unit/loopback.h"
#include "test/unit/peer.h"

#define TIER_SEED 77
#define TIER_SHARDS 4
#define TIER_PRINTS (1 << 16)
#define TIER_REGIONS 2

//  --------------------------------------------------------------------------------------------------
//  A shard, as the index actor of a node would be

typedef struct {
    umbp_fingerprint_t print;
    uint8_t state;                      //  0 never used, 1 there, 2 was there
} print_t;

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    bool silent;                        //  Hears, and says nothing
    int status;                         //  Answers with that
    int verdict;                        //  Of every block; what is ECHECKSUM is not recorded
    uint64_t judges_by;                 //  Epoch of the ring that its verdicts hold for
    bool begun;
    uint64_t next, began_at;            //  began_at: number of the change that began the account
    uint64_t messages, changes, accounts, dones;     //  Heard; changes without those known before
    uint64_t seq, count;                //  Of the last message
    bool fresh;
    print_t *prints;
    size_t held;
} shard_t;

static inline print_t *shard_find (const shard_t *self, const umbp_fingerprint_t *print)
{
    print_t *spare = NULL;
    for (size_t step = 0; step < TIER_PRINTS; step++) {
        print_t *slot = &self->prints[(print->lo + step) % TIER_PRINTS];
        if (slot->state == 1 && slot->print.lo == print->lo && slot->print.hi == print->hi)
            return slot;
        if (slot->state != 1 && !spare)
            spare = slot;
        if (slot->state == 0)
            break;
    }
    assert (spare);
    return spare;
}

static inline bool shard_has (const shard_t *self, const char *key)
{
    umbp_fingerprint_t print = umbp_fingerprint (key, strlen (key), TIER_SEED);
    return shard_find (self, &print)->state == 1;
}

static inline void shard_apply (shard_t *self, const umbp_msg_change_t *change, size_t index)
{
    umbp_fingerprint_t print;
    memcpy (&print, change->prints.data + index * sizeof print, sizeof print);
    print_t *slot = shard_find (self, &print);
    bool holds = umbp_u8s_at (change->kinds, index) == 1;
    self->held += holds && slot->state != 1;
    self->held -= !holds && slot->state == 1;
    if (holds || slot->state == 1)
        *slot = (print_t) { print, holds ? 1 : 2 };
    self->changes++;
}

//  Take a change as an index does, and answer it
static inline void shard_take (shard_t *self, asked_t *asked)
{
    const umbp_msg_change_t *change = &asked->msg.change;
    uint32_t count = change->kinds.count;
    CU_ASSERT (asked->msg.type == UMBP_MSG_change && change->prints.size == 16 * count);
    self->messages++;
    self->seq = change->seq;
    self->count = count;
    self->fresh = change->fresh;
    if (self->silent)
        return;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_change_ok, 0);
    answer.status = (int16_t) self->status;
    if (self->status == 0 && change->fresh) {
        bool again = self->begun && change->seq == self->began_at;     //  Our answer came too late
        CU_ASSERT (!self->begun || again || change->seq >= self->next);          //  Numbers only grow
        self->accounts += !again;
        self->begun = true;
        self->next = self->began_at = change->seq;
        self->held = 0;
        memset (self->prints, 0, TIER_PRINTS * sizeof *self->prints);
    }
    if (answer.status == 0 && (!self->begun || change->seq > self->next))
        answer.status = UMBP_ESTALE;
    int8_t verdicts[UMBP_BATCH_MAX];
    for (size_t index = 0; index < count && answer.status == 0; index++) {
        verdicts[index] = (int8_t) self->verdict;
        if (change->seq + index < self->next)
            continue;
        self->next++;
        if (self->verdict != UMBP_ECHECKSUM || umbp_u8s_at (change->kinds, index) != 1)
            shard_apply (self, change, index);
    }
    self->dones += answer.status == 0 && change->done;
    answer.change_ok.next = self->next;
    answer.change_ok.topo_epoch = self->judges_by;
    if (answer.status == 0)
        answer.change_ok.verdicts = (umbp_s8s_t) { verdicts, count };
    asked_answer (asked, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  The tier

typedef struct {
    uint32_t page_size, pages;          //  Of each of TIER_REGIONS regions
    unsigned slot_ttl_ms, lease_ttl_ms;
    unsigned resyncs, resync_ms;
    unsigned below;                     //  A tier of this node: its migrator is the test's own affair
    unsigned above, fed_by;             //  The same
    uint32_t storm_blocks;
    bool write_through;
    uint64_t down_rate;
    unsigned patience_ms;
    umbp_medium_t medium;               //  It is "tier:nvme" then,
    umbp_vram_t *vram;                  //  ... or "tier:hbm" if it is this one
} tier_options_t;

typedef struct {
    zactor_t *actor;
    asker_t peer;
    asked_t index, link, registry, eviction;
    shard_t shards[TIER_SHARDS];        //  The first one is that of the tier's own node
    size_t shard_count;
    const char *name;                   //  Of the tier
    char instance[32], folder[64], bulk[64];
    umbp_bulk_server_t *server;         //  The manager's: for keys alone
    uint32_t page_size, pages;
} tier_t;

static inline void tier_shard (tier_t *self, const char *node)
{
    assert (self->shard_count < TIER_SHARDS);
    shard_t *shard = &self->shards[self->shard_count++];
    *shard = (shard_t) { .prints = zmalloc (TIER_PRINTS * sizeof (print_t)) };
    snprintf (shard->node, sizeof shard->node, "%s", node);
}

static inline umbp_bulk_server_t *tier_bulk (tier_t *self, umbp_region_t **regions)
{
    umbp_piece_t pieces[TIER_REGIONS];
    for (size_t index = 0; index < TIER_REGIONS; index++)
        pieces[index] =
            (umbp_piece_t){ umbp_region_base (regions[index]), umbp_region_bytes (regions[index]) };
    umbp_bulk_server_config_t config = { .endpoint = loopback_bulk (),
                                         .regions = pieces,
                                         .region_count = TIER_REGIONS,
                                         .page_size = self->page_size, .tokens_max = 32768 };
    umbp_bulk_server_t *bulk = umbp_bulk_server_new (&config, NULL);
    assert (bulk);
    self->server = bulk;
    snprintf (self->bulk, sizeof self->bulk, "%s", umbp_bulk_server_endpoint (bulk));
    return bulk;
}

static const char *const tier_names[] = { [UMBP_TIER_HBM] = "tier:hbm",
                                          [UMBP_TIER_DRAM] = "tier:dram",
                                          [UMBP_TIER_NVME] = "tier:nvme" };

//  Start the manager of a tier of node "a"; nobody has told it of a topology yet
static inline void tier_start (tier_t *self, tier_options_t options)
{
    static int number;                  //  A name is free again some time after its actor is gone
    const char *instance = self->instance;
    unsigned tier = options.vram           ? UMBP_TIER_HBM
                    : options.medium.calls ? UMBP_TIER_NVME
                                           : UMBP_TIER_DRAM;
    memset (self, 0, sizeof *self);
    self->name = tier_names[tier];
    self->page_size = options.page_size ? options.page_size : 4096;
    self->pages = options.pages ? options.pages : 64;
    snprintf (self->instance, sizeof self->instance, "tier-%d", number++);
    snprintf (self->folder, sizeof self->folder, "/tmp/umbp-tier-XXXXXX");
    char *folder = mkdtemp (self->folder);
    assert (folder);
    umbp_home_t home;
    home_of (&home, instance, "a");
    snprintf (home.doors, sizeof home.doors, "%s", folder);
    tier_shard (self, "a");
    asked_start (&self->index, instance, "index");
    asked_start (&self->link, instance, "link");
    asked_start (&self->registry, instance, "registry");
    asked_start (&self->eviction, instance, "eviction");
    umbp_region_t **regions = zmalloc (TIER_REGIONS * sizeof *regions);
    size_t bytes = (size_t) self->pages * self->page_size;
    for (size_t index = 0; index < TIER_REGIONS; index++)
        regions[index] = umbp_region_new ("tier-test", bytes, false, true, NULL);
    umbp_manager_args_t args = { .home = &home,
                                 .name = self->name,
                                 .tier = tier,
                                 .medium = options.medium, .vram = options.vram,
                                 .below = options.below, .above = options.above,
                                 .fed_by = options.fed_by, .storm_blocks = options.storm_blocks,
                                 .write_through = options.write_through,
                                 .down_rate = options.down_rate,
                                 .patience_ms = options.patience_ms,
                                 .regions = regions, .region_count = TIER_REGIONS,
                                 .bulk = tier_bulk (self, regions), .bulk_endpoint = self->bulk,
                                 .page_size = self->page_size, .seed = TIER_SEED,
                                 .resyncs = options.resyncs, .resync_ms = options.resync_ms,
                                 .slot_ttl_ms = options.slot_ttl_ms ? options.slot_ttl_ms : 60000,
                                 .lease_ttl_ms = options.lease_ttl_ms ? options.lease_ttl_ms : 60000,
                                 .evict_high = 90 };
    self->pages = (uint32_t) (umbp_region_bytes (regions[0]) / self->page_size);
    self->actor = umbp_manager_new (&args);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->actor);
    asker_start (&self->peer, instance, self->name);
}

//  --------------------------------------------------------------------------------------------------
//  Asking it, while the shards do their part

//  As asked_hear, but the library copies the frames out: a race detector cannot see that a large one, of
//  which it has forgotten who wrote it, was handed over. Returns false if nothing waits.
static inline bool tier_hear (asked_t *asked)
{
    static uint8_t frame[UMBP_MESSAGE_MAX];
    mail_t *mail = &asked->mail;
    mail_close (mail);
    do {
        int size = zmq_recv (zsock_resolve (asked->sock), frame, sizeof frame, ZMQ_DONTWAIT);
        if (size == -1)
            return false;
        assert (mail->count < COUNT_OF (mail->frames));
        zmq_msg_init_size (&mail->frames[mail->count], (size_t) size);
        memcpy (zmq_msg_data (&mail->frames[mail->count++]), frame, (size_t) size);
    } while (zsock_rcvmore (asked->sock));
    size_t body = asked->link ? 3 : 2;
    CU_ASSERT_FATAL (mail->count > body);
    zmq_msg_t *address = &mail->frames[1], *message = &mail->frames[body];
    umbp_text_copy ((umbp_text_t) { zmq_msg_data (address), (uint32_t) zmq_msg_size (address) },
                    asked->address, sizeof asked->address);
    CU_ASSERT (umbp_msg_decode (&asked->msg, zmq_msg_data (message), zmq_msg_size (message)) > 0);
    return true;
}

static inline void tier_take (tier_t *self, asked_t *asked)
{
    const char *node = asked->link ? strchr (asked->address, '@') : "@a";
    for (size_t index = 0; index < self->shard_count; index++)
        if (node && streq (self->shards[index].node, node + 1))
            shard_take (&self->shards[index], asked);
}

//  Wait until something comes, or the time is over. Returns true if there is an answer.
static inline bool tier_serve (tier_t *self, int timeout_ms)
{
    zmq_pollitem_t items[] = { { zsock_resolve (self->peer.sock), 0, ZMQ_POLLIN, 0 },
                               { zsock_resolve (self->index.sock), 0, ZMQ_POLLIN, 0 },
                               { zsock_resolve (self->link.sock), 0, ZMQ_POLLIN, 0 } };
    if (zmq_poll (items, 3, timeout_ms) <= 0)
        return false;
    if (items[1].revents && tier_hear (&self->index))
        tier_take (self, &self->index);
    if (items[2].revents && tier_hear (&self->link))
        tier_take (self, &self->link);
    return items[0].revents != 0;
}

//  Wait for the answer to a request. Returns its status, or 1 if none came.
static inline int tier_wait (tier_t *self, uint64_t id, uint32_t deadline_ms)
{
    int64_t end = zclock_mono () + deadline_ms + PEER_MS;
    while (zclock_mono () < end)
        if (tier_serve (self, 10)) {
            uint64_t heard = asker_hear (&self->peer, 0);
            CU_ASSERT (heard == id);
            return heard == id ? self->peer.msg.status : 1;
        }
    CU_FAIL ("no answer");
    return 1;
}

static inline int tier_ask_with (tier_t *self, umbp_msg_t *msg, const void *payload, size_t size,
                                 uint32_t deadline_ms)
{
    uint64_t id = asker_say (&self->peer, msg, payload, size, deadline_ms);
    return tier_wait (self, id, deadline_ms);
}

static inline int tier_ask (tier_t *self, umbp_msg_t *msg)
{
    return tier_ask_with (self, msg, NULL, 0, PEER_MS);
}

static inline uint64_t tier_gauge (tier_t *self, const char *name)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    if (tier_ask (self, &msg) != 0)
        return UINT64_MAX;
    for (size_t index = 0; index < self->peer.msg.stat_ok.names.count; index++)
        if (column_is (self->peer.msg.stat_ok.names, index, name))
            return umbp_u64s_at (self->peer.msg.stat_ok.values, index);
    return UINT64_MAX;
}

static inline uint64_t tier_used_pages (tier_t *self)
{
    return tier_gauge (self, "used_bytes") / self->page_size;
}

//  Wait until a gauge has a value
static inline bool tier_becomes (tier_t *self, const char *name, uint64_t value)
{
    int64_t end = zclock_mono () + PEER_MS;
    while (zclock_mono () < end)
        if (tier_gauge (self, name) == value)
            return true;
    printf ("\n    %s: %llu, wanted %llu\n", name, (unsigned long long) tier_gauge (self, name),
            (unsigned long long) value);
    return false;
}

//  Tell it who is in the cluster
static inline void tier_push (tier_t *self, const crowd_t *rows, uint32_t count,
                              uint64_t topo_epoch)
{
    for (size_t index = 0; index < TIER_SHARDS; index++)
        self->shards[index].judges_by = crowd_unsettled ? 0 : topo_epoch;
    asker_say (&self->peer, crowd_msg (rows, count, "a", topo_epoch), NULL, 0, 0);
}

//  All shards know all
static inline bool tier_flush (tier_t *self)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_flush, 0);
    return tier_ask_with (self, &msg, NULL, 0, 6 * PEER_MS) == 0;
}

//  And none has to know of former rings any more
static inline bool tier_settle (tier_t *self)
{
    return tier_flush (self) && tier_becomes (self, "rings_told", 1) && tier_flush (self);
}

//  Alone in the cluster, and known to the index
static inline void tier_alone (tier_t *self)
{
    static const crowd_t alone[] = { CROWD ("a", 1, 0) };
    tier_push (self, alone, 1, 1);
    CU_ASSERT (tier_flush (self));
}

//  Once all blocks are wiped no page may be in use: used bytes are those of live blocks
static inline void tier_stop (tier_t *self)
{
    umbp_msg_t msg;
    CU_ASSERT (tier_gauge (self, "slots") == 0);
    CU_ASSERT (tier_gauge (self, "leases") == 0);
    CU_ASSERT (tier_gauge (self, "doomed_blocks") == 0);
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    CU_ASSERT (tier_ask (self, &msg) == 0);
    CU_ASSERT (tier_gauge (self, "used_bytes") == 0);
    zactor_destroy (&self->actor);
    asker_end (&self->peer);
    asked_end (&self->index);
    asked_end (&self->link);
    asked_end (&self->registry);
    asked_end (&self->eviction);
    for (size_t index = 0; index < self->shard_count; index++)
        free (self->shards[index].prints);
    CU_ASSERT (rmdir (self->folder) == 0);                   //  The door is gone
}

//  --------------------------------------------------------------------------------------------------
//  What routers and clients say to it. What came back is in peer.msg.

static inline int tier_reserve (tier_t *self, uint64_t session, const char *keys, uint32_t size)
{
    static words_t column;
    uint32_t sizes[UMBP_BATCH_MAX];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    msg.reserve.session = session;
    msg.reserve.keys = words (&column, keys);
    for (size_t index = 0; index < msg.reserve.keys.count; index++)
        sizes[index] = size;
    msg.reserve.sizes = (umbp_u32s_t) { sizes, msg.reserve.keys.count };
    return tier_ask (self, &msg);
}

static inline int tier_reserved (const tier_t *self, size_t index)
{
    return umbp_s8s_at (self->peer.msg.reserve_ok.statuses, index);
}

static inline uint64_t tier_slot (const tier_t *self, size_t index)
{
    return umbp_u64s_at (self->peer.msg.reserve_ok.slots, index);
}

//  Reserve one block; returns its token, 0 if that failed
static inline uint64_t tier_slot_for (tier_t *self, uint64_t session, const char *key,
                                      uint32_t size)
{
    return tier_reserve (self, session, key, size) == 0 ? tier_slot (self, 0) : 0;
}

//  Commit one slot. Returns its status.
static inline int tier_commit_as (tier_t *self, uint64_t slot, uint64_t sum, bool nowait, bool keep,
                                  uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit = (umbp_msg_commit_t){ .slots = { &slot, 1 },
                                      .sums = { &sum, 1 },
                                       .nowait = nowait, .keep = keep };
    int rc = tier_ask_with (self, &msg, NULL, 0, deadline_ms);
    return rc == 0 ? umbp_s8s_at (self->peer.msg.commit_ok.statuses, 0) : rc;
}

static inline int tier_commit (tier_t *self, uint64_t slot, uint64_t sum)
{
    return tier_commit_as (self, slot, sum, false, false, PEER_MS);
}

static inline void tier_abort (tier_t *self, uint64_t slot)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.abort.slots = (umbp_u64s_t) { &slot, 1 };
    CU_ASSERT (tier_ask (self, &msg) == 0);
}

//  Store blocks of equal sizes, one behind the other in the data; the status of the last one
static inline int tier_store_as (tier_t *self, const char *keys, const void *data, uint32_t size,
                                 bool nowait, bool keep, uint32_t deadline_ms)
{
    static words_t column;
    uint32_t sizes[UMBP_BATCH_MAX];
    uint64_t sums[UMBP_BATCH_MAX];
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words (&column, keys);
    uint32_t count = msg.store.keys.count;
    for (uint32_t index = 0; index < count; index++) {
        sizes[index] = size;
        sums[index] = umbp_sum ((const uint8_t *) data + index * size, size);
    }
    msg.store.sizes = (umbp_u32s_t) { sizes, count };
    msg.store.sums = (umbp_u64s_t) { sums, count };
    msg.store.nowait = nowait;
    msg.store.keep = keep;
    int rc = tier_ask_with (self, &msg, data, count * size, deadline_ms);
    return rc == 0 ? umbp_s8s_at (self->peer.msg.store_ok.statuses, count - 1) : rc;
}

static inline int tier_store (tier_t *self, const char *key, const void *data, uint32_t size)
{
    return tier_store_as (self, key, data, size, false, false, PEER_MS);
}

static inline int tier_lease (tier_t *self, uint64_t session, const char *keys, uint64_t inline_max)
{
    static words_t column;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.session = session;
    msg.lease.keys = words (&column, keys);
    msg.lease.inline_max = inline_max;
    return tier_ask (self, &msg);
}

static inline int tier_leased (const tier_t *self, size_t index)
{
    return umbp_s8s_at (self->peer.msg.lease_ok.statuses, index);
}

static inline void tier_release (tier_t *self, uint64_t lease)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &lease, 1 };
    CU_ASSERT (tier_ask (self, &msg) == 0);
}

//  Drop one block. Returns its status.
static inline int tier_drop (tier_t *self, const char *key)
{
    static words_t column;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = words (&column, key);
    CU_ASSERT (tier_ask (self, &msg) == 0);
    return umbp_s8s_at (self->peer.msg.drop_ok.statuses, 0);
}

//  Whether a block is there, and its bytes are these
static inline bool tier_holds (tier_t *self, const char *key, const void *data, uint32_t size)
{
    return tier_lease (self, 0, key, UMBP_INLINE_MAX) == 0 && tier_leased (self, 0) == 0
           && self->peer.payload_size == size && memcmp (self->peer.payload, data, size) == 0;
}

//  --------------------------------------------------------------------------------------------------
//  Over tcp

static inline umbp_bulk_client_t *tier_connect (const tier_t *self, uint64_t session)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    session = umbp_bulk_alias (session);
    umbp_bulk_server_key (self->server, session, key);
    const umbp_bulk_peer_t peer = { self->bulk, session, key };
    umbp_bulk_client_t *client = umbp_bulk_client_new (&peer, umbp_clock_ms () + PEER_MS, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (client);
    return client;
}

//  Write, or read, one whole item. Returns its status.
static inline int tier_move (umbp_bulk_client_t *client, bool write, uint64_t token, uint32_t item,
                             void *data, size_t size)
{
    umbp_piece_t piece = { data, size };
    umbp_bulk_io_t io = { .token = token, .item = item, .pieces = &piece, .piece_count = 1 };
    int status = 1;
    int64_t deadline_ms = umbp_clock_ms () + PEER_MS;
    if (write)
        umbp_bulk_client_write (client, &io, 1, &status, deadline_ms);
    else
        umbp_bulk_client_read (client, &io, 1, &status, deadline_ms);
    return status;
}

//  --------------------------------------------------------------------------------------------------
//  Through the door

static inline int tier_door (const tier_t *self)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%s.sock", self->folder, self->name);
    return umbp_shm_connect (path, PEER_MS, NULL);
}

//  Ask through the door. Returns the status, or 1 if no answer came; fds and *count_p as umbp_shm_recv.
static inline int tier_door_ask (tier_t *self, int door, umbp_msg_t *msg, umbp_msg_t *answer,
                                 int *fds, size_t *count_p)
{
    static uint8_t wire[UMBP_SHM_DATA_MAX];
    msg->id = 1;
    msg->deadline_ms = PEER_MS;
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    if (size < 0 || umbp_shm_send (door, wire, (size_t) size, NULL, 0) != 0)
        return 1;
    int64_t end = zclock_mono () + PEER_MS;
    size_t room = count_p ? *count_p : 0;
    do {
        size_t count = room;
        size = umbp_shm_recv (door, wire, sizeof wire, fds, &count, 0);
        if (count_p)
            *count_p = count;
        if (size == UMBP_ETIMEDOUT)
            tier_serve (self, 1);
    } while (size == UMBP_ETIMEDOUT && zclock_mono () < end);
    return size > 0 && umbp_msg_decode (answer, wire, (size_t) size) > 0 ? answer->status : 1;
}

//  A door with an attached session, and our regions as it maps them
static inline int tier_attach (tier_t *self, uint64_t session, umbp_shm_map_t **map_p)
{
    int door = tier_door (self), fds[TIER_REGIONS + 1], rc;
    size_t count = TIER_REGIONS + 1;
    umbp_msg_t msg, answer;
    CU_ASSERT_FATAL (door >= 0);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = session;
    CU_ASSERT_FATAL (tier_door_ask (self, door, &msg, &answer, fds, &count) == 0);
    CU_ASSERT_FATAL (answer.type == UMBP_MSG_attach_ok && count == TIER_REGIONS);
    CU_ASSERT (answer.attach_ok.page_size == self->page_size && answer.attach_ok.node_epoch == 1);
    CU_ASSERT (answer.attach_ok.regions.count == TIER_REGIONS);
    *map_p = umbp_shm_map_new (fds, count, true, &rc);
    CU_ASSERT_PTR_NOT_NULL_FATAL (*map_p);
    umbp_shm_close (fds, count);
    return door;
}

//  Where the only extent of an answer's only block lies in a map
static inline uint8_t *tier_mapped (const tier_t *self, const umbp_shm_map_t *map,
                                    umbp_u16s_t regions, umbp_u32s_t pages)
{
    CU_ASSERT_FATAL (regions.count == 1 && pages.count == 1);
    return (uint8_t *) umbp_shm_map_base (map, umbp_u16s_at (regions, 0))
           + (size_t) umbp_u32s_at (pages, 0) * self->page_size;
}

#endif
