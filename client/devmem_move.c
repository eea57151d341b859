//  client/devmem_move.c - bulk transfers whose buffers are memory of devices. See devmem.h.
//
//  What RDMA reaches goes straight, and is summed afterwards, from what the device has then: of a put
//  the sum that is committed, of a get the one that is compared, so bytes that were damaged on the way
//  are found as on any other path. All else, and what RDMA did not move, goes through staging: each bank
//  is a batch of parts, and those are summed while the next bank is copied.
#include "client/devmem.h"
#include "client/rdma.h"
#include "cluster/bulk/clock.h"

typedef struct {
    umbp_lane_t *lane;
    const umbp_place_t *place;
    umbp_bulk_io_t *ios;                //  The caller's
    int *statuses;
    umbp_devmem_range_t ***owners;      //  By transfer; NULL: memory of the host, or refused
    size_t *whose;                      //  Transfers that are looked at, and as what
    umbp_devmem_io_t *items;
    size_t count;
    int rc;                             //  Why all others failed
} move_t;

//  ------------------------------------------------------------------------------------------------
//  Through staging

//  A bank to or from the node
static void s_pass (void *arg, umbp_segment_t *segments, size_t count)
{
    move_t *move = arg;
    umbp_lane_t *lane = move->lane;
    umbp_mark_t mark = umbp_lane_mark (lane);
    umbp_bulk_io_t *ios = umbp_lane_take (lane, count, sizeof *ios);
    umbp_piece_t *pieces = umbp_lane_take (lane, count, sizeof *pieces);
    int *statuses = umbp_lane_take (lane, count, sizeof *statuses);
    for (size_t index = 0; index < count; index++) {
        const umbp_bulk_io_t *io = &move->ios[move->whose[segments[index].item]];
        pieces[index] = (umbp_piece_t) { segments[index].base, segments[index].bytes };
        ios[index] = (umbp_bulk_io_t) { .token = io->token, .item = io->item };
        ios[index].offset = io->offset + segments[index].offset;
        ios[index].pieces = &pieces[index];
        ios[index].piece_count = 1;
    }
    int rc =
        move->rc < 0 ? move->rc : umbp_lane_move_plain (lane, move->place, ios, count, statuses);
    for (size_t index = 0; index < count; index++)
        segments[index].status = move->rc < 0 ? move->rc : statuses[index];
    if (rc < 0)
        move->rc = rc;                  //  Nobody there: the rest need not try
    umbp_lane_rewind (lane, mark);
}

static void s_run_staged (move_t *move)
{
    umbp_stats_t *stats = &move->lane->stats;
    bool write = move->place->write;
    if (move->count == 0)
        return;
    umbp_devmem_run (move->lane, write ? UMBP_DEVMEM_OUT : UMBP_DEVMEM_IN, move->items, move->count,
                     s_pass, move);
    for (size_t index = 0; index < move->count; index++) {
        const umbp_devmem_io_t *item = &move->items[index];
        move->statuses[move->whose[index]] = item->status;
        move->ios[move->whose[index]].sum = item->sum;
        if (item->status == 0)
            *(write ? &stats->device_put_bytes : &stats->device_get_bytes) += item->size;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Straight

//  Sums of what was moved. What cannot be read back has failed.
static void s_sum_direct (move_t *move)
{
    for (size_t index = 0; index < move->count; index++)
        if (!move->place->write)        //  Also if no sum is wanted
            move->items[index].status = umbp_devmem_settle (
                move->lane, move->items[index].owners, move->ios[move->whose[index]].piece_count);
    size_t kept = 0;
    for (size_t index = 0; index < move->count; index++) {
        size_t number = move->whose[index];
        if (move->items[index].status != 0)
            move->statuses[number] = move->items[index].status;
        else if (move->ios[number].want_sum) {
            move->items[kept] = move->items[index];
            move->whose[kept++] = number;
        }
    }
    move->count = kept;
    if (kept == 0)
        return;
    umbp_devmem_run (move->lane, UMBP_DEVMEM_OUT, move->items, kept, NULL, NULL);
    for (size_t index = 0; index < kept; index++) {
        move->statuses[move->whose[index]] = move->items[index].status;
        move->ios[move->whose[index]].sum = move->items[index].sum;
        move->lane->stats.device_summed_bytes += move->items[index].size;
    }
}

//  Keeps those in the list that were moved. done: by transfer.
static void s_run_direct (move_t *move, bool *done)
{
    umbp_lane_t *lane = move->lane;
    umbp_bulk_io_t *ios = umbp_lane_take (lane, move->count, sizeof *ios);
    int *statuses = umbp_lane_take (lane, move->count, sizeof *statuses);
    uint64_t bytes = 0, moved = 0;
    for (size_t index = 0; index < move->count; index++) {
        ios[index] = move->ios[move->whose[index]];
        ios[index].device = true;
        ios[index].want_sum = false;
        statuses[index] = UMBP_ENOTSUP;
        bytes += move->items[index].size;
    }
    int64_t until = umbp_lane_slice (lane, bytes);
    until -= (until - umbp_clock_ms ()) / 2;         //  Leave time for staging
    umbp_rdma_move (lane, move->place, ios, move->count, statuses, until);
    size_t kept = 0;
    for (size_t index = 0; index < move->count; index++) {
        if (statuses[index] != 0)
            continue;
        size_t number = move->whose[index];
        done[number] = true;
        move->statuses[number] = 0;
        moved += move->items[index].size;
        move->items[kept] = move->items[index];
        move->whose[kept++] = number;
    }
    move->count = kept;
    umbp_stats_t *stats = &lane->stats;
    *(move->place->write ? &stats->device_direct_put_bytes : &stats->device_direct_get_bytes) +=
        moved;
    *(move->place->write ? &stats->rdma_put_bytes : &stats->rdma_get_bytes) += moved;
    s_sum_direct (move);
}

//  ------------------------------------------------------------------------------------------------

static void s_list (move_t *move, size_t number)
{
    const umbp_bulk_io_t *io = &move->ios[number];
    move->whose[move->count] = number;
    move->items[move->count++] =
        (umbp_devmem_io_t) { .pieces = io->pieces,
                             .owners = move->owners[number],
                             .size = umbp_piece_total (io->pieces, io->piece_count),
                             .want_sum = io->want_sum };
}

//  Those whose buffers are memory of the host
static void s_run_plain (move_t *move, size_t *whose, size_t count)
{
    umbp_bulk_io_t *ios = umbp_lane_take (move->lane, count, sizeof *ios);
    int *statuses = umbp_lane_take (move->lane, count, sizeof *statuses);
    if (count == 0)
        return;
    for (size_t index = 0; index < count; index++)
        ios[index] = move->ios[whose[index]];
    int rc = umbp_lane_move_plain (move->lane, move->place, ios, count, statuses);
    for (size_t index = 0; index < count; index++) {
        move->ios[whose[index]].sum = ios[index].sum;
        move->statuses[whose[index]] = statuses[index];
    }
    move->rc = rc < 0 ? rc : 0;
}

//  Buffers of devices are among them, if held says so
static void s_run (move_t *move, size_t count, const int *held)
{
    umbp_lane_t *lane = move->lane;
    bool *done = umbp_lane_take (lane, count, sizeof *done);
    size_t *plain = umbp_lane_take (lane, count, sizeof *plain), plain_count = 0;
    for (size_t index = 0; index < count; index++) {
        done[index] = held[index] <= 0;
        move->statuses[index] = held[index];
        if (held[index] == 0)
            plain[plain_count++] = index;
    }
    s_run_plain (move, plain, plain_count);
    bool rdma = move->rc == 0 && umbp_rdma_open (lane->pool) != NULL;
    for (size_t index = 0; index < count && rdma; index++)
        if (!done[index]
            && umbp_devmem_is_direct (move->owners[index], move->ios[index].piece_count))
            s_list (move, index);
    if (move->count > 0)
        s_run_direct (move, done);
    move->count = 0;
    for (size_t index = 0; index < count; index++)
        if (!done[index])
            s_list (move, index);
    s_run_staged (move);
}

int umbp_lane_move (umbp_lane_t *self, const umbp_place_t *place, umbp_bulk_io_t *ios, size_t count,
                    int *statuses)
{
    if (!umbp_devmem_any (self->pool))
        return umbp_lane_move_plain (self, place, ios, count, statuses);
    umbp_mark_t mark = umbp_lane_mark (self);
    umbp_place_t parts = *place;
    parts.again = true;                 //  Of a block one part may go this way, another one that
    move_t move = { .lane = self, .place = &parts, .ios = ios, .statuses = statuses };
    move.owners = umbp_lane_take (self, count, sizeof *move.owners);
    move.whose = umbp_lane_take (self, count, sizeof *move.whose);
    move.items = umbp_lane_take (self, count, sizeof *move.items);
    int *held = umbp_lane_take (self, count, sizeof *held);
    bool some = false;
    for (size_t index = 0; index < count; index++) {
        move.owners[index] = umbp_lane_take (self, ios[index].piece_count, sizeof **move.owners);
        held[index] = umbp_devmem_hold (self->pool, ios[index].pieces, ios[index].piece_count,
                                        move.owners[index]);
        some |= held[index] != 0;
    }
    int fine = 0;
    if (some)
        s_run (&move, count, held);
    else
        move.rc = umbp_lane_move_plain (self, place, ios, count, statuses);
    for (size_t index = 0; index < count; index++) {
        fine += statuses[index] == 0;
        if (held[index] > 0)
            umbp_devmem_release (self->pool, move.owners[index], ios[index].piece_count);
    }
    umbp_lane_rewind (self, mark);
    return move.rc < 0 ? move.rc : fine;
}
