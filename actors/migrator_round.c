//  actors/migrator_round.c - one round of a copy: some of its keys, from the lease at the owner to
//  the commit here. Each answer leads to the next question; nothing waits.
#include "actors/migrator_self.h"

#include <sys/random.h>

#include "actors/move_point.h"
#include "cluster/bulk/copy.h"

#define ASK_MS 5000                     //  For a tier to answer; or a quarter of the time left

static const char *const s_tiers[UMBP_TIERS] = {
    [UMBP_TIER_HBM] = "tier:hbm",
    [UMBP_TIER_DRAM] = "tier:dram",
    [UMBP_TIER_NVME] = "tier:nvme",
    [UMBP_TIER_SHARED] = "tier:shared",
};

//  How long to wait for a tier's answer
static uint32_t s_patience_ms (const umbp_copy_t *copy)
{
    int64_t left = umbp_copy_left_ms (copy);
    int64_t most = left / 4 > ASK_MS ? left / 4 : ASK_MS;
    return left < 1 ? 1 : (uint32_t) (left < most ? left : most);
}

static void s_release (umbp_migrator_t *self, umbp_lane_t *lane)
{
    if (lane->round.lease == 0)
        return;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.call = lane->copy->origin.call;
    msg.release.leases = (umbp_u64s_t) { &lane->round.lease, 1 };
    umbp_post_tell (self->post, s_tiers[lane->copy->tier], lane->copy->node, &msg);
    lane->round.lease = 0;
}

//  One chain of questions came to its end, and with the last one the round
static void s_close (umbp_migrator_t *self, umbp_lane_t *lane, int rest)
{
    if (--lane->round.open > 0)
        return;
    s_release (self, lane);
    umbp_migrator_round_over (self, lane, rest);
}

//  What another actor said of a block, as one of ours would: 0 or an error
static int8_t s_status (umbp_s8s_t statuses, size_t index)
{
    int8_t status = umbp_s8s_at (statuses, index);
    return status > 0 || status < UMBP_ERR_LAST ? UMBP_EPROTO : status;
}

//  The error of an answer that cannot be used: its own, or that it is not what was asked for
static int s_error (int status)
{
    return status < 0 ? status : UMBP_EPROTO;
}

static void s_set (umbp_round_t *round, const uint16_t *keys, uint32_t count, int status)
{
    for (uint32_t index = 0; index < count; index++)
        round->statuses[keys[index]] = (int8_t) status;
}

//  Take the statuses of an answer about these keys, or the reason why there is none
static void s_take (umbp_round_t *round, const uint16_t *keys, uint32_t count, int status,
                    const umbp_s8s_t *statuses)
{
    if (!statuses || statuses->count != count)
        s_set (round, keys, count, s_error (status));
    else
        for (uint32_t index = 0; index < count; index++)
            round->statuses[keys[index]] = s_status (*statuses, index);
}

//  Put keys of the round, with the sizes, sums and depths of their blocks, into the columns of a question
static umbp_column_t s_gather (umbp_migrator_t *self, const umbp_round_t *round,
                               const uint16_t *keys, uint32_t count)
{
    const uint8_t *items[UMBP_ROUND_MAX];
    uint16_t sizes[UMBP_ROUND_MAX];
    umbp_column_split (&round->keys, items, sizes);
    uint32_t used = 0;
    for (uint32_t index = 0; index < count; index++) {
        uint16_t key = keys[index];
        memcpy (self->keys + used, items[key], sizes[key]);
        used += sizes[key];
        self->key_sizes[index] = sizes[key];
        self->sizes[index] = round->sizes[key];
        self->sums[index] = round->sums[key];
        self->depths[index] = round->depths[key];
    }
    return (umbp_column_t) { self->keys, self->key_sizes, used, count };
}

//  ------------------------------------------------------------------------------------------------
//  Small blocks: they came with the lease

static void s_on_stored (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_lane_t *lane = &self->lanes[number];
    bool fine = mail && mail->msg->type == UMBP_MSG_store_ok;
    umbp_move_pass ("published");
    s_take (&lane->round, lane->round.small, lane->round.small_count, status,
            fine ? &mail->msg->store_ok.statuses : NULL);
    s_close (self, lane, UMBP_OK);
}

//  Store the small blocks, whose bytes lie in self->payload
static void s_store (umbp_migrator_t *self, umbp_lane_t *lane, size_t payload_size)
{
    umbp_round_t *round = &lane->round;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.call = lane->copy->origin.call;
    msg.store.keys = s_gather (self, round, round->small, round->small_count);
    msg.store.sizes = (umbp_u32s_t) { self->sizes, round->small_count };
    msg.store.sums = (umbp_u64s_t) { self->sums, round->small_count };
    msg.store.depths = (umbp_u16s_t) { self->depths, round->small_count };
    msg.store.keep = true;
    msg.store.replicas = lane->copy->replicas;
    msg.store.calm = lane->copy->calm;
    msg.store.hint = lane->copy->hint;
    int rc =
        umbp_post_ask (self->post, s_tiers[lane->copy->to], NULL, &msg, self->payload, payload_size,
                       s_patience_ms (lane->copy), s_on_stored, (uint64_t) (lane - self->lanes));
    if (rc < 0) {
        s_set (round, round->small, round->small_count, rc);
        s_close (self, lane, UMBP_OK);
    }
}

//  ------------------------------------------------------------------------------------------------
//  Large blocks: reserve, move, commit

static void s_on_committed (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_lane_t *lane = &self->lanes[number];
    bool fine = mail && mail->msg->type == UMBP_MSG_commit_ok;
    umbp_move_pass ("published");
    s_take (&lane->round, lane->round.large, lane->round.large_count, status,
            fine ? &mail->msg->commit_ok.statuses : NULL);
    s_close (self, lane, UMBP_OK);
}

static void s_abort (umbp_migrator_t *self, const umbp_lane_t *lane, const uint64_t *slots,
                     uint32_t count)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_abort, 0);
    msg.abort.slots = (umbp_u64s_t) { slots, count };
    if (count)
        umbp_post_tell (self->post, s_tiers[lane->copy->to], NULL, &msg);
}

void umbp_lane_new_session (umbp_lane_t *lane)
{
    lane->session = 0;
    while (lane->session == 0)
        if (getrandom (&lane->session, sizeof lane->session, 0) != sizeof lane->session)
            lane->session = 0;
}

//  The worker is done: commit what arrived, let go of the rest
static void s_commit (umbp_migrator_t *self, umbp_lane_t *lane)
{
    umbp_round_t *round = &lane->round;
    const umbp_transfer_t *transfer = &lane->transfer;
    uint32_t aborted = 0;
    round->large_count = 0;
    if (transfer->broken)
        umbp_lane_new_session (lane);
    for (uint32_t index = 0; index < transfer->count; index++) {
        const umbp_mover_row_t *row = &transfer->rows[index];
        if (row->status == 0) {
            self->slots[round->large_count] = row->slot;
            self->sums[round->large_count] = row->sum;
            round->large[round->large_count++] = (uint16_t) row->key;
        } else {
            self->aborted[aborted++] = row->slot;
            round->statuses[row->key] = (int8_t) row->status;
        }
    }
    s_abort (self, lane, self->aborted, aborted);
    s_release (self, lane);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.call = lane->copy->origin.call;
    msg.commit.slots = (umbp_u64s_t) { self->slots, round->large_count };
    msg.commit.sums = (umbp_u64s_t) { self->sums, round->large_count };
    msg.commit.keep = true;
    int rc = 0;
    if (round->large_count)
        rc = umbp_post_ask (self->post, s_tiers[lane->copy->to], NULL, &msg, NULL, 0,
                            s_patience_ms (lane->copy), s_on_committed,
                            (uint64_t) (lane - self->lanes));
    if (rc < 0) {
        s_abort (self, lane, self->slots, round->large_count);
        s_set (round, round->large, round->large_count, rc);
    }
    if (rc < 0 || round->large_count == 0)
        s_close (self, lane, UMBP_OK);
}

//  A transfer that is over; or an errand, and its message
static void s_on_frames (umbp_migrator_t *self, umbp_lane_t *lane)
{
    void *sock = zsock_resolve (lane->sock);
    zmq_msg_t first, second;
    zmq_msg_init (&first);
    zmq_msg_init (&second);
    int size = zmq_msg_recv (&first, sock, ZMQ_DONTWAIT);
    bool more =
        size != -1 && zmq_msg_more (&first) && zmq_msg_recv (&second, sock, ZMQ_DONTWAIT) != -1;
    if (more && size == sizeof (umbp_errand_t)) {
        umbp_errand_t errand;
        memcpy (&errand, zmq_msg_data (&first), sizeof errand);
        umbp_migrator_errand (self, lane, &errand, zmq_msg_data (&second), zmq_msg_size (&second));
    } else if (size == sizeof lane->transfer) {
        memcpy (&lane->transfer, zmq_msg_data (&first), sizeof lane->transfer);
        self->rdma_bytes += lane->transfer.rdma_bytes;
        self->tcp_bytes += lane->transfer.tcp_bytes;
        self->here_bytes += lane->transfer.here_bytes;
        umbp_move_pass ("copied");
        s_commit (self, lane);
    }
    zmq_msg_close (&first);
    zmq_msg_close (&second);
}

int umbp_migrator_on_worker (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    umbp_migrator_t *self = arg;
    for (size_t index = 0; index < UMBP_LANES; index++) {
        umbp_lane_t *lane = &self->lanes[index];
        if (lane->sock != sock)
            continue;
        s_on_frames (self, lane);
    }
    return 0;
}

//  Let the worker move the blocks that got a slot. Some time is left for the commit.
static void s_move (umbp_migrator_t *self, umbp_lane_t *lane, const umbp_msg_reserve_ok_t *ok)
{
    int64_t write_by = zclock_mono () + (int64_t) ok->ttl_ms * 3 / 4;
    umbp_round_t *round = &lane->round;
    umbp_transfer_t *transfer = &lane->transfer;
    int64_t left = umbp_copy_left_ms (lane->copy);
    int64_t deadline = lane->copy->answer_by
                       - (left / 8 > UMBP_ANSWER_MARGIN_MS ? left / 8 : UMBP_ANSWER_MARGIN_MS);
    deadline = round->read_by < deadline ? round->read_by : deadline;
    transfer->job = (umbp_mover_job_t) { .lease = round->lease, .session = lane->session };
    transfer->job.deadline_ms = write_by < deadline ? write_by : deadline;
    transfer->rdma_bytes = transfer->tcp_bytes = transfer->here_bytes = 0;
    snprintf (transfer->job.node, sizeof transfer->job.node, "%s", lane->copy->node);
    snprintf (transfer->job.from, sizeof transfer->job.from, "%s", round->source);
    umbp_text_copy (ok->bulk, transfer->job.to, sizeof transfer->job.to);
    memcpy (transfer->job.from_key, round->source_key, sizeof round->source_key);
    if (ok->bulk_key.size == sizeof transfer->job.to_key)
        memcpy (transfer->job.to_key, ok->bulk_key.data, sizeof transfer->job.to_key);
    int rc = zmq_send (zsock_resolve (lane->sock), transfer, sizeof *transfer, ZMQ_DONTWAIT);
    if (rc == sizeof *transfer)
        return;
    transfer->broken = false;
    for (uint32_t index = 0; index < transfer->count; index++)
        transfer->rows[index].status = UMBP_EAGAIN;
    s_commit (self, lane);
}

static void s_on_reserved (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_lane_t *lane = &self->lanes[number];
    umbp_round_t *round = &lane->round;
    umbp_transfer_t *transfer = &lane->transfer;
    bool fine = mail && mail->msg->type == UMBP_MSG_reserve_ok
                && mail->msg->reserve_ok.statuses.count == round->large_count;
    transfer->count = 0;
    umbp_move_pass ("reserved");
    s_take (round, round->large, round->large_count, status,
            fine ? &mail->msg->reserve_ok.statuses : NULL);
    for (uint32_t index = 0; fine && index < round->large_count; index++) {
        uint16_t key = round->large[index];
        if (round->statuses[key] == 0)
            transfer->rows[transfer->count++] = (umbp_mover_row_t) {
                .sum = round->sums[key],
                .slot = umbp_u64s_at (mail->msg->reserve_ok.slots, index),
                .item = index,          //  A lease counts the blocks that it holds
                .size = round->sizes[key],
                .key = key,
            };
    }
    if (transfer->count == 0) {
        s_close (self, lane, UMBP_OK);
        return;
    }
    s_move (self, lane, &mail->msg->reserve_ok);
}

static void s_reserve (umbp_migrator_t *self, umbp_lane_t *lane)
{
    umbp_round_t *round = &lane->round;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    msg.call = lane->copy->origin.call;
    msg.reserve.session = lane->session;
    msg.reserve.replicas = lane->copy->replicas;
    msg.reserve.calm = lane->copy->calm;
    msg.reserve.keep = true;
    msg.reserve.hint = lane->copy->hint;
    msg.reserve.keys = s_gather (self, round, round->large, round->large_count);
    msg.reserve.sizes = (umbp_u32s_t) { self->sizes, round->large_count };
    msg.reserve.depths = (umbp_u16s_t) { self->depths, round->large_count };
    int rc =
        umbp_post_ask (self->post, s_tiers[lane->copy->to], NULL, &msg, NULL, 0,
                       s_patience_ms (lane->copy), s_on_reserved, (uint64_t) (lane - self->lanes));
    if (rc < 0) {
        s_set (round, round->large, round->large_count, rc);
        s_close (self, lane, UMBP_OK);
    }
}

//  ------------------------------------------------------------------------------------------------
//  The lease

//  A block that came along: its bytes must be right, and go to self->payload behind used. Returns
//  its size, or 0 if it is no good.
static uint32_t s_add_small (umbp_migrator_t *self, umbp_round_t *round, uint32_t index,
                             umbp_bytes_t *left, size_t used)
{
    uint32_t size = round->sizes[index];
    if (size > left->size) {            //  And then all that should follow is not there either
        round->statuses[index] = UMBP_EPROTO;
        left->size = 0;
        return 0;
    }
    const uint8_t *data = left->data;
    left->data += size;
    left->size -= size;
    if (umbp_sum (data, size) != round->sums[index]) {
        round->statuses[index] = UMBP_ECHECKSUM;
        return 0;
    }
    memcpy (self->payload + used, data, size);
    round->small[round->small_count++] = (uint16_t) index;
    return size;
}

//  Sort the round's keys: small blocks go to self->payload, large ones are to be fetched. The round
//  ends early where its share of bytes would be passed. Returns the size of the payload.
static size_t s_sort (umbp_migrator_t *self, umbp_round_t *round, const umbp_mail_t *mail)
{
    const umbp_msg_lease_ok_t *ok = &mail->msg->lease_ok;
    umbp_bytes_t left = { mail->payload, (uint32_t) mail->payload_size };
    size_t used = 0;
    uint64_t large_bytes = 0;
    for (uint32_t index = 0; index < round->count; index++) {
        uint32_t size = round->sizes[index] = umbp_u32s_at (ok->sizes, index);
        round->sums[index] = umbp_u64s_at (ok->sums, index);
        round->depths[index] = ok->depths.count ? umbp_u16s_at (ok->depths, index) : 0;
        round->statuses[index] = s_status (ok->statuses, index);
        if (round->statuses[index] == 0 && size == 0)
            round->statuses[index] = UMBP_EPROTO;
        if (round->statuses[index] < 0)
            continue;
        if (umbp_u8s_at (ok->inlined, index))
            used += s_add_small (self, round, index, &left, used);
        else if (large_bytes && large_bytes + size > self->share_bytes)
            round->count = index;       //  In another round, under another lease
        else {
            large_bytes += size;
            round->large[round->large_count++] = (uint16_t) index;
        }
    }
    return used;
}

//  A key that came along. Returns false if none did: then that node speaks another version.
static bool s_take_key (umbp_bytes_t from, uint8_t *key)
{
    if (from.size == UMBP_BULK_KEY_BYTES)
        memcpy (key, from.data, UMBP_BULK_KEY_BYTES);
    return from.size == UMBP_BULK_KEY_BYTES;
}

static void s_on_leased (void *arg, uint64_t number, int status, const umbp_mail_t *mail)
{
    umbp_migrator_t *self = arg;
    umbp_lane_t *lane = &self->lanes[number];
    umbp_round_t *round = &lane->round;
    const umbp_msg_lease_ok_t *ok = mail ? &mail->msg->lease_ok : NULL;
    if (!ok || status < 0 || mail->msg->type != UMBP_MSG_lease_ok
        || ok->statuses.count != round->count || mail->payload_size > UMBP_INLINE_MAX) {
        memset (round->statuses, s_error (status), round->count);
        s_close (self, lane, s_error (status));  //  The others would fare no better
        return;
    }
    umbp_move_pass ("leased");
    round->lease = ok->lease;
    round->read_by += (int64_t) ok->ttl_ms;
    size_t payload_size = s_sort (self, round, mail);
    umbp_text_copy (ok->bulk, round->source, sizeof round->source);
    bool keyed = s_take_key (ok->bulk_key, round->source_key);
    if (round->large_count && (!*round->source || !round->lease || !keyed)) {
        s_set (round, round->large, round->large_count, UMBP_EUNREACH);
        round->large_count = 0;
    }
    round->open += (round->small_count > 0) + (round->large_count > 0);
    if (round->small_count)
        s_store (self, lane, payload_size);
    if (round->large_count)
        s_reserve (self, lane);
    s_close (self, lane, UMBP_OK);      //  Of the lease itself
}

void umbp_migrator_round (umbp_migrator_t *self, umbp_lane_t *lane, umbp_copy_t *copy)
{
    umbp_round_t *round = &lane->round;
    uint32_t count = copy->count - copy->done, bytes = 0;
    count = count < UMBP_ROUND_MAX ? count : UMBP_ROUND_MAX;
    for (uint32_t index = 0; index < count; index++)
        bytes += copy->sizes[copy->done + index];
    lane->copy = copy;
    round->count = count;
    round->keys =
        (umbp_column_t) { copy->keys + copy->done_bytes, copy->sizes + copy->done, bytes, count };
    round->small_count = round->large_count = 0;
    round->lease = 0;
    round->open = 1;
    round->read_by = zclock_mono ();    //  The owner's clock starts later: we give up first
    self->rounds++;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.call = lane->copy->origin.call;
    msg.lease.session = lane->session;
    msg.lease.keys = round->keys;
    msg.lease.inline_max = UMBP_INLINE_MAX;
    msg.lease.calm = true;
    int rc = umbp_post_ask (self->post, s_tiers[copy->tier], copy->node, &msg, NULL, 0,
                            s_patience_ms (copy), s_on_leased, (uint64_t) (lane - self->lanes));
    if (rc < 0) {
        memset (round->statuses, rc, count);
        s_close (self, lane, rc);
    }
}
