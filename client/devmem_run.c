//  client/devmem_run.c - bytes of devices through a stager, two banks in turn. See devmem.h.
//
//  Out of devices: while a bank is summed and passed on, the devices fill the other one. Into devices:
//  while they empty a bank, the other one is filled and summed. Segments go through in the order of
//  the items and of their bytes, so one running sum is enough.
#include "client/devmem_self.h"
#include "cluster/bulk/copy.h"

#define SEGMENTS_MAX 256                //  In a bank

typedef struct {
    umbp_segment_t segments[SEGMENTS_MAX];
    size_t count;
} bank_t;

typedef struct {
    umbp_lane_t *lane;
    umbp_stager_t *stager;
    umbp_devmem_io_t *ios;
    size_t count;
    umbp_devmem_pass_fn *pass;
    void *arg;
    size_t item;                        //  Where cutting stands
    uint64_t offset;
    umbp_sum_t sum;                     //  Of the item whose bytes come through
} run_t;

static void s_fail (umbp_devmem_io_t *io, int status)
{
    if (io->status == 0)
        io->status = status;
}

//  ------------------------------------------------------------------------------------------------
//  Banks

//  Cut off as much of the items as a bank holds. Those that failed are passed over.
static void s_cut (run_t *run, unsigned number, bank_t *bank)
{
    size_t used = 0;
    bank->count = 0;
    while (run->item < run->count && bank->count < SEGMENTS_MAX && used < UMBP_STAGER_BANK_BYTES) {
        const umbp_devmem_io_t *io = &run->ios[run->item];
        uint64_t left = io->size - run->offset, room = UMBP_STAGER_BANK_BYTES - used;
        size_t bytes = (size_t) (left < room ? left : room);
        if (io->status == 0 && bytes > 0) {
            bank->segments[bank->count++] =
                (umbp_segment_t) { .item = run->item,
                                   .offset = run->offset,
                                   .base = umbp_stager_bank (run->stager, number) + used,
                                   .bytes = bytes };
            used += bytes;
        }
        run->offset += bytes;
        if (io->status != 0 || run->offset == io->size) {
            run->item++;
            run->offset = 0;
        }
    }
}

//  Begin to copy a segment between its pieces and the bank; what is no device's is copied at once.
//  Returns 0 or an error.
static int s_begin (run_t *run, const umbp_segment_t *segment, bool out)
{
    const umbp_devmem_io_t *io = &run->ios[segment->item];
    uint8_t *at = segment->base;
    umbp_cursor_t cursor;
    int rc = 0;
    umbp_cursor_set (&cursor, io->pieces, segment->offset, segment->bytes);
    while (cursor.left > 0 && rc == 0) {
        struct iovec vector;
        size_t bytes;
        umbp_cursor_vectors (&cursor, &vector, 1, segment->bytes, &bytes);
        const umbp_devmem_range_t *owner = io->owners[cursor.piece - io->pieces];
        uint64_t address = (uintptr_t) vector.iov_base;
        if (owner && out)
            rc = umbp_stager_read (run->stager, &owner->device, address, at, bytes);
        else if (owner)
            rc = umbp_stager_write (run->stager, &owner->device, address, at, bytes);
        else if (out)
            memcpy (at, vector.iov_base, bytes);
        else
            memcpy (vector.iov_base, at, bytes);
        umbp_cursor_skip (&cursor, bytes);
        at += bytes;
    }
    return rc;
}

static void s_begin_all (run_t *run, const bank_t *bank, bool out)
{
    for (size_t index = 0; index < bank->count; index++) {
        const umbp_segment_t *segment = &bank->segments[index];
        umbp_devmem_io_t *io = &run->ios[segment->item];
        int rc = io->status == 0 ? s_begin (run, segment, out) : 0;
        if (rc < 0)
            s_fail (io, rc);
    }
}

//  Until the devices have done what was begun: all in the banks
static void s_wait (run_t *run, const bank_t *one, const bank_t *other)
{
    if (umbp_stager_wait (run->stager) == 0)
        return;
    for (size_t index = 0; index < one->count; index++)
        s_fail (&run->ios[one->segments[index].item], UMBP_EIO);
    for (size_t index = 0; index < other->count; index++)
        s_fail (&run->ios[other->segments[index].item], UMBP_EIO);
}

static void s_sum (run_t *run, const bank_t *bank)
{
    for (size_t index = 0; index < bank->count; index++) {
        const umbp_segment_t *segment = &bank->segments[index];
        umbp_devmem_io_t *io = &run->ios[segment->item];
        if (!io->want_sum || io->status != 0)
            continue;
        if (segment->offset == 0)
            umbp_sum_init (&run->sum, io->size);
        umbp_sum_update (&run->sum, segment->base, segment->bytes);
        if (segment->offset + segment->bytes == io->size)
            io->sum = umbp_sum_final (&run->sum);
    }
}

//  What failed meanwhile is not passed on
static void s_pass (run_t *run, bank_t *bank)
{
    size_t kept = 0;
    for (size_t index = 0; index < bank->count; index++)
        if (run->ios[bank->segments[index].item].status == 0)
            bank->segments[kept++] = bank->segments[index];
    bank->count = kept;
    if (!run->pass || kept == 0)
        return;
    run->pass (run->arg, bank->segments, kept);
    for (size_t index = 0; index < kept; index++)
        if (bank->segments[index].status != 0)
            s_fail (&run->ios[bank->segments[index].item], bank->segments[index].status);
}

//  ------------------------------------------------------------------------------------------------

//  What has no outcome once the deadline is over gets one
static bool s_is_late (run_t *run)
{
    if (umbp_lane_left (run->lane) > 0)
        return false;
    for (size_t index = run->item; index < run->count; index++)
        s_fail (&run->ios[index], UMBP_ETIMEDOUT);
    return true;
}

static void s_run_out (run_t *run, bank_t banks[2])
{
    s_cut (run, 0, &banks[0]);
    s_begin_all (run, &banks[0], true);
    for (unsigned turn = 0; banks[turn % 2].count > 0; turn++) {
        bank_t *bank = &banks[turn % 2], *next = &banks[(turn + 1) % 2];
        next->count = 0;
        s_wait (run, bank, next);
        if (!s_is_late (run)) {
            s_cut (run, turn + 1, next);
            s_begin_all (run, next, true);
        }
        s_sum (run, bank);
        s_pass (run, bank);
    }
}

static void s_run_in (run_t *run, bank_t banks[2])
{
    s_cut (run, 0, &banks[0]);
    for (unsigned turn = 0; banks[turn % 2].count > 0; turn++) {
        bank_t *bank = &banks[turn % 2], *next = &banks[(turn + 1) % 2];
        s_pass (run, bank);
        s_sum (run, bank);
        s_wait (run, next, next);       //  The one before this one
        s_begin_all (run, bank, false);
        next->count = 0;
        if (!s_is_late (run))
            s_cut (run, turn + 1, next);
        if (next->count == 0)
            s_wait (run, bank, bank);
    }
}

void umbp_devmem_run (umbp_lane_t *lane, umbp_devmem_way_t way, umbp_devmem_io_t *ios, size_t count,
                      umbp_devmem_pass_fn *pass, void *arg)
{
    int rc;
    umbp_stager_t *stager = umbp_devmem_stager (lane->pool, lane->deadline_ms, &rc);
    for (size_t index = 0; index < count; index++)
        ios[index].status = rc;
    if (!stager)
        return;
    umbp_mark_t mark = umbp_lane_mark (lane);
    bank_t *banks = umbp_lane_take (lane, 2, sizeof *banks);
    banks[0].count = banks[1].count = 0;
    run_t run = { .lane = lane, .stager = stager, .ios = ios, .count = count, .pass = pass };
    run.arg = arg;
    if (way == UMBP_DEVMEM_OUT)
        s_run_out (&run, banks);
    else
        s_run_in (&run, banks);
    umbp_stager_wait (stager);
    umbp_devmem_give (lane->pool, &stager);
    umbp_lane_rewind (lane, mark);
}
