//  client/copies.c - copies of blocks by several threads. See copies.h.
#include "client/copies.h"

#include "client/crew.h"
#include "client/devmem.h"
#include "client/scatter.h"

#define PIECE_BYTES_MIN ((uint64_t) 64 << 10)        //  Of a block that is cut up: an eighth of it
#define PIECE_BYTES_MAX ((uint64_t) 256 << 10)
#define SEGMENT_BYTES ((uint64_t) 8 << 20)          //  Cut up at once: bounds the memory for parts
#define WHOLE_BYTES_MAX ((uint64_t) 8 << 20)        //  Larger ones are cut up, however many there are
#define WHOLE_ROUNDS 4                  //  As many blocks for each thread, and none need be cut up
#define CACHED_MAX ((uint64_t) 16 << 20)             //  Of what is read at once; more goes past the caches

static void s_copy (void *arg, size_t index)
{
    umbp_copy_t *copy = (umbp_copy_t *) arg + index;
    copy->sum = umbp_scatter_copy (copy->to, copy->to_count, copy->from, copy->from_count,
                                   copy->size, copy->past);
}

//  ------------------------------------------------------------------------------------------------
//  One block, cut up

typedef struct {
    const umbp_copy_t *copy;
    uint64_t offset;                    //  Of the segment in the block
    umbp_part_t *parts;                 //  Of the segment
    size_t count, piece;                //  So many, and so many of them are a piece
} segment_t;

static void s_copy_piece (void *arg, size_t piece)
{
    const segment_t *segment = arg;
    size_t at = piece * segment->piece, left = segment->count - at;
    size_t count = left < segment->piece ? left : segment->piece;
    umbp_scatter_take (segment->copy->to, segment->copy->from,
                       segment->offset + at * UMBP_PART_BYTES, segment->parts + at, count,
                       segment->copy->past);
}

//  How many parts are a piece: enough pieces for all threads to end at about the same time
static size_t s_piece (uint64_t size)
{
    uint64_t bytes = size / 8;
    bytes = bytes > PIECE_BYTES_MIN ? bytes : PIECE_BYTES_MIN;
    return (bytes < PIECE_BYTES_MAX ? bytes : PIECE_BYTES_MAX) / UMBP_PART_BYTES;
}

static void s_copy_apart (umbp_lane_t *lane, umbp_copy_t *copy)
{
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t left = umbp_parts_count (copy->size), most = SEGMENT_BYTES / UMBP_PART_BYTES;
    segment_t segment = { .copy = copy, .piece = s_piece (copy->size) };
    segment.parts = umbp_lane_take (lane, left < most ? left : most, sizeof (umbp_part_t));
    umbp_part_t sum;
    umbp_parts_begin (&sum);
    for (; left > 0; left -= segment.count) {
        segment.count = left < most ? left : most;
        umbp_crew_run (lane->pool->crew, s_copy_piece, &segment,
                       (segment.count + segment.piece - 1) / segment.piece);
        umbp_parts_join (&sum, segment.parts, segment.count);
        segment.offset += segment.count * UMBP_PART_BYTES;
    }
    copy->sum = umbp_scatter_end (copy->to, copy->from, copy->size, &sum);
    umbp_lane_rewind (lane, mark);
}

//  ------------------------------------------------------------------------------------------------

//  By the crew: each as a whole, or cut up
static void s_copy_shared (umbp_lane_t *lane, umbp_copy_t *copies, size_t count, uint64_t most)
{
    unsigned threads = umbp_crew_helpers (lane->pool->crew) + 1;
    if (!umbp_parts_are_fast () || (count >= WHOLE_ROUNDS * threads && most <= WHOLE_BYTES_MAX)) {
        umbp_crew_run (lane->pool->crew, s_copy, copies, count);
        return;
    }
    for (size_t index = 0; index < count; index++)
        if (copies[index].size >= UMBP_COPIES_SHARED_MIN)
            s_copy_apart (lane, &copies[index]);
        else
            s_copy (copies, index);
}

static void s_run_here (umbp_lane_t *lane, umbp_copy_t *copies, size_t count)
{
    if (count == 1 && copies->size < UMBP_COPIES_SHARED_MIN) {
        copies->past = !copies->read;
        s_copy (copies, 0);
        return;
    }
    uint64_t bytes = 0, most = 0;
    for (size_t index = 0; index < count; index++) {
        bytes += copies[index].size;
        most = copies[index].size > most ? copies[index].size : most;
    }
    for (size_t index = 0; index < count; index++)
        copies[index].past = !copies[index].read || bytes > CACHED_MAX;
    umbp_crew_t *crew = lane->pool->crew;
    bool offered = bytes >= UMBP_COPIES_SHARED_MIN;
    if (offered && umbp_crew_begin (crew))
        s_copy_shared (lane, copies, count, most);
    else
        for (size_t index = 0; index < count; index++)
            s_copy (copies, index);
    if (offered)
        umbp_crew_end (crew);
}

//  ------------------------------------------------------------------------------------------------
//  Memory of devices

//  The sides of copies that are memory of this host
typedef struct {
    const umbp_piece_t **sides;         //  By item
    const uint64_t *offsets;            //  Where in them the item begins; NULL: at 0
} sides_t;

static void s_put_here (void *arg, umbp_segment_t *segments, size_t count)
{
    const sides_t *sides = arg;
    umbp_cursor_t cursor;
    for (size_t index = 0; index < count; index++) {
        const umbp_segment_t *segment = &segments[index];
        umbp_cursor_set (&cursor, sides->sides[segment->item], segment->offset, segment->bytes);
        umbp_cursor_put (&cursor, segment->base, segment->bytes);
    }
}

static void s_take_here (void *arg, umbp_segment_t *segments, size_t count)
{
    const sides_t *sides = arg;
    for (size_t index = 0; index < count; index++) {
        const umbp_segment_t *segment = &segments[index];
        uint64_t from = sides->offsets ? sides->offsets[segment->item] : 0;
        const umbp_range_t range = { segment->base, segment->bytes, from + segment->offset };
        umbp_scatter_read (sides->sides[segment->item], &range);
    }
}

//  Copies that go to devices, or come from some. owners are those of the device's side.
typedef struct {
    umbp_copy_t **copies;
    umbp_devmem_io_t *ios;
    sides_t sides;
    size_t count;
} group_t;

static group_t s_group (umbp_lane_t *lane, size_t max)
{
    return (group_t) { .copies = umbp_lane_take (lane, max, sizeof (umbp_copy_t *)),
                       .ios = umbp_lane_take (lane, max, sizeof (umbp_devmem_io_t)),
                       .sides.sides = umbp_lane_take (lane, max, sizeof (umbp_piece_t *)) };
}

//  Returns whether one side of a copy is a device's, and the copy belongs to the group; or it failed
static bool s_belongs (umbp_lane_t *lane, group_t *group, umbp_copy_t *copy, bool out)
{
    const umbp_piece_t *pieces = out ? copy->from : copy->to;
    size_t count = out ? copy->from_count : copy->to_count;
    umbp_devmem_range_t **owners = umbp_lane_take (lane, count, sizeof *owners);
    int rc = umbp_devmem_hold (lane->pool, pieces, count, owners);
    copy->rc = rc < 0 ? rc : copy->rc;
    if (rc <= 0)
        return rc < 0;
    group->copies[group->count] = copy;
    group->sides.sides[group->count] = out ? copy->to : copy->from;
    group->ios[group->count++] = (umbp_devmem_io_t) { .pieces = pieces,
                                                      .owners = owners,
                                                      .size = copy->size,
                                                      .want_sum = true };
    return true;
}

static void s_run_group (umbp_lane_t *lane, group_t *group, bool out)
{
    if (group->count == 0)
        return;
    umbp_devmem_run (lane, out ? UMBP_DEVMEM_OUT : UMBP_DEVMEM_IN, group->ios, group->count,
                     out ? s_put_here : s_take_here, &group->sides);
    for (size_t index = 0; index < group->count; index++) {
        umbp_copy_t *copy = group->copies[index];
        copy->sum = group->ios[index].sum;
        copy->rc = group->ios[index].status;
        if (copy->rc == 0)
            *(out ? &lane->stats.device_put_bytes : &lane->stats.device_get_bytes) += copy->size;
        umbp_devmem_release (lane->pool, group->ios[index].owners,
                             out ? copy->from_count : copy->to_count);
    }
}

void umbp_copies_run (umbp_lane_t *lane, umbp_copy_t *copies, size_t count)
{
    if (!umbp_devmem_any (lane->pool)) {
        s_run_here (lane, copies, count);
        return;
    }
    umbp_mark_t mark = umbp_lane_mark (lane);
    group_t outs = s_group (lane, count), ins = s_group (lane, count);
    size_t first = 0;
    for (size_t index = 0; index < count; index++) {
        if (!s_belongs (lane, &outs, &copies[index], true)
            && !s_belongs (lane, &ins, &copies[index], false))
            continue;
        s_run_here (lane, copies + first, index - first);    //  Those in between
        first = index + 1;
    }
    s_run_here (lane, copies + first, count - first);
    s_run_group (lane, &outs, true);
    s_run_group (lane, &ins, false);
    umbp_lane_rewind (lane, mark);
}

int umbp_copies_read (umbp_lane_t *lane, const umbp_piece_t *pieces, const umbp_range_t *range)
{
    const umbp_piece_t to = { range->base, range->size };
    umbp_devmem_range_t *owner = NULL;
    int rc = 0;
    if (range->size > 0 && umbp_devmem_any (lane->pool))
        rc = umbp_devmem_hold (lane->pool, &to, 1, &owner);
    if (rc == 0)
        umbp_scatter_read (pieces, range);
    if (rc <= 0)
        return rc;
    sides_t sides = { .sides = &pieces, .offsets = &range->offset };
    umbp_devmem_io_t io = { .pieces = &to, .owners = &owner, .size = range->size };
    umbp_devmem_run (lane, UMBP_DEVMEM_IN, &io, 1, s_take_here, &sides);
    umbp_devmem_release (lane->pool, &owner, 1);
    if (io.status == 0)
        lane->stats.device_get_bytes += range->size;
    return io.status;
}
