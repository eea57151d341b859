//  actors/tier/manager.c - the tier manager: its life, its sessions, what leaves it, and whom it tells.
#include "actors/tier/lends.h"
#include "actors/tier/squeeze.h"

#include <unistd.h>

#define LEASES_MAX 65536
#define EVICT_BATCH 256                 //  Blocks that leave per message, so that others get their turn
#define PRESS_MS 2                      //  Not oftener is eviction told
#define REPORT_MS 200                   //  Not oftener is the registry told how full we are
#define RESYNCS_MS 30000                //  In which so many full accounts begin, at most
#define FDS_MAX 64                      //  In an attach
#define DROP_MS 1000                    //  A drop waits so long for the shards to hear of it, at most

//  --------------------------------------------------------------------------------------------------
//  What the other files need

void *umbp_manager_at (const umbp_manager_t *self, const umbp_extent_t *extent)
{
    uint8_t *base = umbp_region_base (self->args.regions[extent->region]);
    return base + umbp_extent_offset (extent, self->args.page_size);
}

bool umbp_manager_attached (const umbp_manager_t *self, uint64_t session)
{
    for (size_t index = 0; session && index < UMBP_SESSIONS_MAX; index++)
        if (self->sessions[index].session == session)
            return true;
    return false;
}

umbp_bytes_t umbp_manager_bulk_key (umbp_manager_t *self, uint64_t session)
{
    if (!session || umbp_manager_attached (self, session))
        return (umbp_bytes_t) { NULL, 0 };
    umbp_bulk_server_key (self->args.bulk, session, self->bulk_key);
    return (umbp_bytes_t) { self->bulk_key, sizeof self->bulk_key };
}

//  The extents of a block as rows of the answer. Returns false if there is no room for them.
bool umbp_manager_add_extents (umbp_manager_t *self, const umbp_block_t *block, size_t index)
{
    if (self->extents + block->extent_count > UMBP_EXTENTS_MAX) {
        self->extent_counts[index] = 0;
        return false;
    }
    for (size_t row = 0; row < block->extent_count; row++, self->extents++) {
        self->regions[self->extents] = block->extents[row].region;
        self->pages[self->extents] = block->extents[row].page;
        self->page_counts[self->extents] = block->extents[row].count;
        self->generations[self->extents] = block->extents[row].generation;
    }
    self->extent_counts[index] = block->extent_count;
    return true;
}

//  Tell eviction that we are over the mark, or could not give room to somebody. What is too early now is told with
//  the next one, at the next tick at the latest.
void umbp_manager_press (umbp_manager_t *self, uint64_t need)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    bool over = counts.used_bytes > counts.total_bytes / 100 * self->args.evict_high;
    int64_t now = zclock_mono ();
    if (need > self->pressed_need)
        self->pressed_need = need;
    if ((!over && self->pressed_need == 0) || now - self->pressed_at < PRESS_MS)
        return;
    self->pressed_at = now;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pressure, 0);
    msg.pressure.tier = self->args.tier;
    msg.pressure.total = counts.total_bytes;
    msg.pressure.used = counts.used_bytes;
    msg.pressure.need = self->pressed_need;
    self->pressed_need = 0;
    umbp_post_tell (self->post, "eviction", NULL, &msg);
}

//  Whoever leaves us leaves the disk too, or it would come back with the next start
static void s_leave_disk (umbp_manager_t *self, uint32_t item)
{
    if (self->depot)
        umbp_depot_drop (self->depot, item);
}

//  Forget a live block, and tell the index
void umbp_manager_drop (umbp_manager_t *self, uint32_t item)
{
    s_leave_disk (self, item);
    umbp_announce_drop (self->announce, item);
    umbp_store_drop (self->store, item);
}

//  The same for want of room: it is in the tier below
void umbp_manager_sink (umbp_manager_t *self, uint32_t item)
{
    if (self->depot)
        umbp_manager_left_disk (self, item);
    s_leave_disk (self, item);
    umbp_announce_drop (self->announce, item);
    umbp_store_evict (self->store, item);
}

//  The same for want of room: it is gone, and should be
void umbp_manager_let_go (umbp_manager_t *self, uint32_t item)
{
    self->evicted++;
    s_leave_disk (self, item);
    if (umbp_store_block (self->store, item)->hint == UMBP_POLICY_HINT_ONCE)
        umbp_announce_drop (self->announce, item);           //  Nobody waits for it
    else
        umbp_announce_evict (self->announce, item);
    umbp_store_evict (self->store, item);
}

//  ... though it could have gone to the tier below, if there is one
void umbp_manager_evict (umbp_manager_t *self, uint32_t item)
{
    self->transit.shed += self->transit.down != NULL;
    umbp_manager_let_go (self, item);
}

//  --------------------------------------------------------------------------------------------------
//  Sessions

static void s_on_attach (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_session_t *place = NULL;
    uint64_t session = umbp_bulk_alias (mail->msg->attach.session);
    for (size_t index = 0; index < UMBP_SESSIONS_MAX; index++) {
        if (self->sessions[index].session == session) {
            umbp_post_refuse (self->post, mail->origin, UMBP_EEXIST, "session",
                              "is attached already");
            return;
        }
        if (!place && self->sessions[index].session == 0)
            place = &self->sessions[index];
    }
    if (!place || !mail->origin->door) {
        umbp_post_refuse (self->post, mail->origin, place ? UMBP_ENOTSUP : UMBP_EAGAIN, "attach",
                          place ? "only through the door of this actor" : "too many are attached");
        return;
    }
    *place = (umbp_session_t) { session, mail->origin->door };
    uint64_t bytes[FDS_MAX];
    int fds[FDS_MAX];
    size_t count = self->args.region_count;
    for (size_t index = 0; index < count; index++) {
        bytes[index] = umbp_region_bytes (self->args.regions[index]);
        fds[index] = umbp_region_fd (self->args.regions[index]);
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_attach_ok, 0);
    answer.attach_ok.page_size = self->args.page_size;
    answer.attach_ok.regions = (umbp_u64s_t) { bytes, (uint32_t) count };
    answer.attach_ok.node = umbp_text (self->node);
    answer.attach_ok.node_epoch = self->node_epoch;
    int board = -1;
    if (self->board && mail->msg->attach.board && count < FDS_MAX)
        board = umbp_region_open_readonly (umbp_board_region (self->board));
    if (board >= 0) {
        answer.attach_ok.board = umbp_region_bytes (umbp_board_region (self->board));
        fds[count++] = board;
    }
    umbp_post_answer_fds (self->post, mail->origin, &answer, fds, count);
    if (board >= 0)
        close (board);
}

//  A door closed: whoever came through it is gone, or has let go
static void s_closed (void *owner, uint64_t door)
{
    umbp_manager_t *self = owner;
    umbp_manager_end_lends_of (self, door);
    for (size_t index = 0; index < UMBP_SESSIONS_MAX; index++) {
        uint64_t session = self->sessions[index].session;
        if (session == 0 || self->sessions[index].door != door)
            continue;
        self->sessions[index] = (umbp_session_t) { 0 };
        umbp_manager_end_slots_of (self, session);
        umbp_manager_end_leases_of (self, session);
    }
}

//  A token was fenced: a lease's, or a slot's, which is named by its item
static void s_fenced (umbp_manager_t *self, uint64_t token)
{
    umbp_lease_t *lease = umbp_leases_find (self->leases, token);
    if (lease && lease->fencing) {
        umbp_manager_lease_fenced (self, lease);
        return;
    }
    uint32_t item = (uint32_t) token - 1;
    if (item < umbp_store_reach (self->store)
        && umbp_store_block (self->store, item)->token == token
        && umbp_store_block (self->store, item)->holds > 0)
        umbp_store_unhold (self->store, item);
}

static int s_on_bulk (zloop_t *loop, zmq_pollitem_t *item, void *owner)
{
    (void) loop;
    (void) item;
    umbp_manager_t *self = owner;
    umbp_bulk_event_t event;
    while (umbp_bulk_server_event (self->args.bulk, &event) == 1) {
        if (event.type == UMBP_BULK_REVOKED)
            s_fenced (self, event.id);
        else if (!umbp_manager_attached (self, event.id)) {
            umbp_manager_end_slots_of (self, event.id);
            umbp_manager_end_leases_of (self, event.id);
        }
    }
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  What leaves

static void s_on_heard (void *owner)
{
    umbp_manager_t *self = owner;
    umbp_manager_resume (self, zclock_mono ());
    umbp_spread_pump (self->spread);
}

//  Of what was moved here by mistake: what was put since then stays
static uint32_t s_to_drop (umbp_manager_t *self, umbp_bytes_t key, bool moved)
{
    uint32_t item = umbp_store_find (self->store, key.data, key.size);
    bool stays = item != UMBP_STORE_NONE && moved && !umbp_store_block (self->store, item)->brought;
    return stays ? UMBP_STORE_NONE : item;
}

static void s_on_drop (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_drop_t *ask = &mail->msg->drop;
    umbp_pause_t pause = { .origin = *mail->origin,
                           .answer_type = UMBP_MSG_drop_ok,
                           .expires = zclock_mono () + DROP_MS,
                           .statuses = zmalloc (ask->keys.count + 1), .count = ask->keys.count };
    size_t offset = 0;
    for (size_t index = 0; index < ask->keys.count; index++) {
        umbp_bytes_t key = umbp_column_next (&ask->keys, index, &offset);
        uint64_t print = umbp_store_print (self->store, key.data, key.size);
        umbp_manager_removed (self, print, &pause.undos);
        umbp_spread_removed (self->spread, key, print);
        uint32_t item = s_to_drop (self, key, ask->moved);
        pause.statuses[index] = (int8_t) (item == UMBP_STORE_NONE ? UMBP_ENOENT : 0);
        if (item == UMBP_STORE_NONE)
            continue;
        pause.bytes += umbp_store_block (self->store, item)->size;
        self->dropped++;
        pause.disk = true;
        umbp_manager_leaves (self, item);
        umbp_manager_drop (self, item);
    }
    umbp_manager_undo (self, ask, &pause.undos);
    umbp_manager_pause (self, pause, mail->expires - zclock_mono ());
}

static void s_wipe (umbp_manager_t *self, const umbp_mail_t *mail, umbp_text_t tenant)
{
    uint16_t row = umbp_tenants_find (umbp_store_tenants (self->store), tenant);
    umbp_pause_t pause = { .origin = *mail->origin,
                           .answer_type = UMBP_MSG_wipe_ok, .expires = zclock_mono () + DROP_MS };
    for (uint32_t item = 0; item < umbp_store_reach (self->store); item++) {
        const umbp_block_t *block = umbp_store_block (self->store, item);
        if (block->state != UMBP_BLOCK_LIVE || block->tenant != row)
            continue;
        pause.blocks++;
        pause.bytes += block->size;
        umbp_spread_removed (self->spread, (umbp_bytes_t) { block->key, block->key_size },
                             block->print.lo);
        umbp_manager_leaves (self, item);
        umbp_manager_drop (self, item);
    }
    umbp_manager_wiped (self, tenant, &pause.undos);
    self->dropped += pause.blocks;
    pause.disk = pause.blocks > 0;
    umbp_manager_pause (self, pause, mail->expires - zclock_mono ());
}

static void s_on_wipe (void *owner, const umbp_mail_t *mail)
{
    s_wipe (owner, mail, umbp_text (""));
}

static void s_on_wipe_tenant (void *owner, const umbp_mail_t *mail)
{
    s_wipe (owner, mail, mail->msg->wipe_tenant.tenant);
}

//  The least useful blocks, of all or of one tenant: a client may let go of its own alone
static size_t s_victims (umbp_manager_t *self, const umbp_mail_t *mail, uint32_t *victims)
{
    const umbp_msg_evict_t *ask = &mail->msg->evict;
    umbp_sight_t sight = umbp_manager_sight (self, mail->origin);
    if (!ask->own && sight.all)
        return umbp_manager_victims (self, EVICT_BATCH, victims);
    uint16_t row = sight.row;
    if (sight.all)
        row = umbp_tenants_find (umbp_store_tenants (self->store), ask->tenant);
    return row == UMBP_TENANT_NONE
               ? 0
               : umbp_store_own_victims (self->store, row, EVICT_BATCH, victims);
}

static void s_evict (umbp_manager_t *self, const umbp_mail_t *mail)
{
    uint32_t victims[EVICT_BATCH];
    size_t count = s_victims (self, mail, victims);
    umbp_manager_shed (self, victims, count, mail->msg->evict.bytes);
}

static void s_on_evict (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_evict_ok, 0);
    bool any = !mail->msg->evict.own && umbp_manager_sight (self, mail->origin).all;
    if (any && umbp_manager_yield (self, mail))
        return;
    umbp_store_counts_t before = umbp_store_counts (self->store);
    int64_t begun = umbp_manager_evict_begin (self);
    if (any && self->depot && umbp_depot_chooses (self->depot))
        umbp_depot_evict (self->depot, mail->msg->evict.bytes);
    else
        s_evict (self, mail);
    umbp_announce_send (self->announce);
    umbp_store_counts_t after = umbp_store_counts (self->store);
    answer.evict_ok.bytes = before.used_bytes - after.used_bytes;
    answer.evict_ok.blocks = before.live - after.live;
    umbp_manager_evict_end (self, begun, answer.evict_ok.blocks, answer.evict_ok.bytes);
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  Whom it tells

static void s_on_topology (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_topology_t *topology =
        umbp_topology_renew (umbp_announce_now (self->announce), &mail->msg->topology_ok);
    if (topology) {
        umbp_spread_topology (self->spread, topology);
        umbp_manager_watch (self, topology);
        umbp_announce_topology (self->announce, &topology);
        umbp_announce_pump (self->announce);
    }
}

static void s_report (umbp_manager_t *self, int64_t now)
{
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    uint64_t told = umbp_announce_told (self->announce);
    bool same = counts.used_bytes == self->reported_used && counts.live == self->reported_blocks;
    if (told == self->reported_told && now - self->reported_at < (same ? 5 * REPORT_MS : REPORT_MS))
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity.tier = self->args.tier;
    msg.capacity.total = counts.total_bytes;
    msg.capacity.used = self->reported_used = counts.used_bytes;
    msg.capacity.blocks = self->reported_blocks = counts.live;
    msg.capacity.told_epoch = self->reported_told = told;
    self->reported_at = now;
    umbp_post_tell (self->post, "registry", NULL, &msg);
}

static void s_on_flush (void *owner, const umbp_mail_t *mail)
{
    umbp_pause_t pause = { .origin = *mail->origin,
                           .answer_type = UMBP_MSG_ok, .quiet = true, .disk = true,
                           .expires = mail->expires, .late = UMBP_ETIMEDOUT };
    umbp_manager_pause (owner, pause, mail->expires - zclock_mono ());
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_tick (void *owner)
{
    umbp_manager_t *self = owner;
    int64_t now = zclock_mono ();
    umbp_manager_expire_slots (self, now);
    umbp_manager_expire_leases (self, now);
    umbp_manager_expire_lends (self, now);
    umbp_manager_expire_waiters (self, now);
    if (self->depot)
        umbp_manager_work_depot (self, now);
    umbp_manager_take_over (self, now);
    umbp_manager_go_on_transit (self, now);
    umbp_announce_pump (self->announce);
    umbp_manager_resume (self, now);
    umbp_manager_trim_tenants (self);
    umbp_manager_keep (self, now);
    umbp_manager_squeeze (self);
    umbp_manager_press (self, 0);
    s_report (self, now);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    umbp_manager_t *self = owner;
    self->post = post;
    self->loop = loop;
    self->announce = umbp_announce_new (post, self->store, self->node, self->node_epoch,
                                        self->args.tier, self, umbp_manager_on_word, s_on_heard);
    umbp_announce_set_pace (self->announce, self->args.resyncs,
                            self->args.resync_ms ? self->args.resync_ms : RESYNCS_MS);
    umbp_spread_args_t spread = { self->node, self->args.tier, self->args.evict_high,
                                  self->args.replicate_rate };
    self->spread = umbp_spread_new (post, self->store, &spread, self, umbp_manager_on_spread);
    zmq_pollitem_t item = { .fd = umbp_bulk_server_fd (self->args.bulk), .events = ZMQ_POLLIN };
    zloop_poller (loop, &item, s_on_bulk, self);
    self->undos = umbp_undos_new (post, self->args.tier, self, umbp_manager_on_not_undone);
    umbp_manager_start_transit (self);
    if (self->depot)
        umbp_manager_start_depot (self);
    s_report (self, zclock_mono ());
}

static void s_stat (void *owner, umbp_gauges_t *gauges)
{
    umbp_manager_t *self = owner;
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    umbp_announce_stats_t told = umbp_announce_stats (self->announce);
    umbp_bulk_stats_t bulk;
    umbp_bulk_server_stats (self->args.bulk, &bulk);
    umbp_gauges_add (gauges, "total_bytes", counts.total_bytes);
    umbp_gauges_add (gauges, "used_bytes", counts.used_bytes);
    umbp_gauges_add (gauges, "blocks", counts.live);
    umbp_gauges_add (gauges, "slots", counts.slots);
    umbp_gauges_add (gauges, "leases", umbp_leases_count (self->leases));
    umbp_gauges_add (gauges, "doomed_blocks", counts.doomed);
    umbp_gauges_add (gauges, "puts", self->puts);
    umbp_gauges_add (gauges, "put_bytes", self->put_bytes);
    umbp_gauges_add (gauges, "hits", self->hits);
    umbp_gauges_add (gauges, "hit_bytes", self->hit_bytes);
    umbp_gauges_add (gauges, "misses", self->misses);
    umbp_gauges_add (gauges, "board_hits", self->board_hits);
    umbp_gauges_add (gauges, "board_blocks", self->board ? umbp_board_count (self->board) : 0);
    umbp_gauges_add (gauges, "keys_asked", self->asked);
    umbp_gauges_add (gauges, "keys_found", self->asked_here);
    umbp_gauges_add (gauges, "full", self->full);
    umbp_gauges_add (gauges, "evicted", self->evicted);
    umbp_gauges_add (gauges, "dropped", self->dropped);
    umbp_policy_stats_t policy = umbp_store_policy_stats (self->store);
    umbp_gauges_add (gauges, "probation_blocks", policy.small);
    umbp_gauges_add (gauges, "ghosts", policy.ghosts);
    umbp_gauges_add (gauges, "ghost_hits", policy.ghost_hits);
    umbp_gauges_add (gauges, "returned", self->returned);
    umbp_gauges_add (gauges, "promotions", policy.promotions);
    umbp_gauges_add (gauges, "reprieves", policy.reprieves);
    umbp_gauges_add (gauges, "over_quota", self->over_quota);
    umbp_gauges_add (gauges, "not_theirs", self->not_theirs);
    umbp_gauges_add (gauges, "conflicts", self->conflicts);
    umbp_gauges_add (gauges, "stale_commits", self->stale);
    umbp_gauges_add (gauges, "bad_checksums", self->bad_sums);
    umbp_gauges_add (gauges, "expired_slots", self->expired_slots);
    umbp_gauges_add (gauges, "expired_leases", self->expired_leases);
    umbp_gauges_add (gauges, "fences_waited", self->fences_waited);
    umbp_gauges_add (gauges, "announced", told.sent);
    umbp_gauges_add (gauges, "acknowledged", told.acknowledged);
    umbp_gauges_add (gauges, "announce_waiting", told.waiting);
    umbp_gauges_add (gauges, "accounts", told.accounts);
    umbp_gauges_add (gauges, "announce_repeats", told.repeats);
    umbp_gauges_add (gauges, "disputes", told.disputes);
    umbp_gauges_add (gauges, "rings_told", told.rings);
    umbp_gauges_add (gauges, "accounts_waiting", told.accounts_waiting);
    umbp_spread_stats_t spread = umbp_spread_stats (self->spread);
    umbp_gauges_add (gauges, "replicas_made", spread.copies);
    umbp_gauges_add (gauges, "replica_bytes", spread.copy_bytes);
    umbp_gauges_add (gauges, "replicas_failed", spread.failures);
    umbp_gauges_add (gauges, "replicas_undone", spread.undone);
    umbp_gauges_add (gauges, "replicas_missing", self->keeper.missing);
    umbp_gauges_add (gauges, "replicas_open", umbp_spread_open (self->spread, UMBP_SPREAD_PUT));
    umbp_gauges_add (gauges, "members_lost", self->keeper.losses);
    umbp_gauges_add (gauges, "restores_open", umbp_spread_open (self->spread, UMBP_SPREAD_LOSS));
    umbp_gauges_add (gauges, "draining", self->keeper.draining);
    umbp_gauges_add (gauges, "moved_blocks", self->keeper.all_moved);
    umbp_gauges_add (gauges, "moved_bytes", self->keeper.all_moved_bytes);
    umbp_manager_stat_transit (self, gauges);
    umbp_manager_stat_depot (self, gauges);
    umbp_manager_stat_lends (self, gauges);
    umbp_manager_stat_takeover (self, gauges);
    umbp_gauges_add (gauges, "bulk_in_bytes", bulk.bytes_in);
    umbp_gauges_add (gauges, "bulk_out_bytes", bulk.bytes_out);
    umbp_gauges_add (gauges, "bulk_connections", bulk.connections);
    umbp_gauges_add (gauges, "bulk_strangers", bulk.strangers);
    umbp_gauges_add (gauges, "bulk_accepted", bulk.accepted);
    umbp_gauges_add (gauges, "bulk_turned_away", bulk.turned_away);
    umbp_gauges_add (gauges, "bulk_silent", bulk.silent);
    umbp_gauges_add (gauges, "bulk_crowded", bulk.crowded);
    umbp_gauges_add (gauges, "bulk_unproven", bulk.unproven);
    umbp_gauges_add (gauges, "bulk_forged", bulk.forged);
    umbp_gauges_add (gauges, "bulk_malformed", bulk.malformed);
    umbp_gauges_add (gauges, "bulk_refused", bulk.refused);
    umbp_gauges_add (gauges, "bulk_unused", bulk.unused);
    umbp_gauges_add (gauges, "bulk_idle", bulk.idle);
    umbp_manager_squeeze_stat (self, gauges);
}

static void s_destroy (void **self_p)
{
    umbp_manager_t *self = *self_p;
    for (size_t index = 0; index < UMBP_WAITERS_MAX; index++)
        umbp_manager_free_waiter (&self->waiters[index]);
    for (size_t index = 0; index < UMBP_PAUSES_MAX; index++)
        if (self->pauses[index].used)
            free (self->pauses[index].statuses);
    umbp_manager_keep_nothing (self);
    umbp_manager_end_transit (self);
    umbp_undos_destroy (&self->undos);
    umbp_spread_destroy (&self->spread);
    umbp_announce_destroy (&self->announce);
    umbp_leases_destroy (&self->leases);
    umbp_manager_end_lends (self);
    umbp_manager_end_depot (self);
    free (self->takeover);
    umbp_manager_squeeze_destroy (self);
    umbp_store_destroy (&self->store);
    umbp_board_destroy (&self->board);
    umbp_bulk_server_destroy (&self->args.bulk);
    for (size_t index = 0; index < self->args.region_count; index++)
        umbp_region_destroy (&self->args.regions[index]);
    free (self->args.regions);
    freen (*self_p);
}

zactor_t *umbp_manager_new (const umbp_manager_args_t *args)
{
    static const umbp_op_t ops[] = {
        { UMBP_MSG_reserve, umbp_manager_on_reserve },
        { UMBP_MSG_commit, umbp_manager_on_commit },
        { UMBP_MSG_abort, umbp_manager_on_abort },
        { UMBP_MSG_lease, umbp_manager_on_lease },
        { UMBP_MSG_touch, umbp_manager_on_touch },
        { UMBP_MSG_lookup, umbp_manager_on_lookup },
        { UMBP_MSG_release, umbp_manager_on_release },
        { UMBP_MSG_store, umbp_manager_on_store },
        { UMBP_MSG_drop, s_on_drop },
        { UMBP_MSG_evict, s_on_evict },
        { UMBP_MSG_wipe, s_on_wipe },
        { UMBP_MSG_wipe_tenant, s_on_wipe_tenant },
        { UMBP_MSG_quotas, umbp_manager_on_quotas },
        { UMBP_MSG_tenants, umbp_manager_on_tenants },
        { UMBP_MSG_flush, s_on_flush },
        { UMBP_MSG_drain, umbp_manager_on_drain },
        { UMBP_MSG_usage, umbp_manager_on_usage },
        { UMBP_MSG_suspend, umbp_manager_on_suspend },
        { UMBP_MSG_cost, umbp_manager_on_cost },
        { UMBP_MSG_balloon, umbp_manager_on_balloon },
        { UMBP_MSG_events, umbp_manager_on_events },
        { UMBP_MSG_relax, umbp_manager_on_relax },
        { UMBP_MSG_attach, s_on_attach },
        { UMBP_MSG_device_lease, umbp_manager_on_device_lease },
        { UMBP_MSG_device_check, umbp_manager_on_device_check },
        { UMBP_MSG_pace, umbp_manager_on_pace },
        { UMBP_MSG_shelf, umbp_manager_on_shelf },
        { UMBP_MSG_topology_ok, s_on_topology },
        { 0, NULL },
    };
    umbp_manager_t *self = zmalloc (sizeof (umbp_manager_t));
    self->args = *args;
    snprintf (self->node, sizeof self->node, "%s", args->home->node);
    snprintf (self->tenant, sizeof self->tenant, "%s", args->home->tenant);
    snprintf (self->bulk, sizeof self->bulk, "%s", args->bulk_endpoint);
    self->node_epoch = args->home->node_epoch;
    uint32_t pages[FDS_MAX];
    uint64_t all_pages = 0;
    for (size_t index = 0; index < args->region_count; index++) {
        pages[index] = (uint32_t) (umbp_region_bytes (args->regions[index]) / args->page_size);
        all_pages += pages[index];
    }
    self->store = umbp_store_new (args->page_size, pages, args->region_count, args->seed);
    self->leases = umbp_leases_new (LEASES_MAX);
    if (!self->store) {
        zsys_error ("%s: impossible pages: page_size=%u", args->name, args->page_size);
        void *value = self;
        s_destroy (&value);
        return NULL;
    }
    if (args->policy && umbp_store_set_policy (self->store, args->policy) < 0) {
        zsys_error ("%s: no such policy: policy=%s allowed=" UMBP_POLICY_NAMES, args->name,
                    args->policy);
        void *value = self;
        s_destroy (&value);
        return NULL;
    }
    umbp_manager_start_takeover (self);
    if (self->args.medium.calls)
        umbp_manager_make_depot (self);
    umbp_manager_squeeze_new (self);
    if (args->quotas) {
        umbp_quotas_t *quotas = umbp_quotas_copy (args->quotas);
        umbp_store_set_quotas (self->store, &quotas, args->tier);
        self->args.quotas = NULL;
    }
    if (*args->home->doors && !self->depot && !(self->board = umbp_board_new (all_pages)))
        zsys_warning ("%s: no memory for a board: clients of this host ask for each block",
                      args->name);
    umbp_store_set_board (self->store, self->board, self->tenant);
    umbp_actor_args_t actor = { .name = args->name,
                                .home = args->home,
                                .door = true,
                                .ops = ops,
                                .self = self, .start = s_start, .stat = s_stat, .closed = s_closed,
                                .tick = s_tick, .tick_ms = UMBP_MANAGER_TICK_MS,
                                .stops = umbp_manager_stops, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}
