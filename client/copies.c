//  client/copies.c - copies of blocks by several threads. See copies.h.
#include "client/copies.h"

#include "client/crew.h"
#include "client/scatter.h"

#define PIECE_BYTES ((uint64_t) 256 << 10)          //  Of a block that is cut up
#define SEGMENT_BYTES ((uint64_t) 8 << 20)          //  Cut up at once: bounds the memory for parts
#define WHOLE_BYTES_MAX ((uint64_t) 8 << 20)        //  Larger ones are cut up, however many there are
#define WHOLE_ROUNDS 4                  //  As many blocks for each thread, and none need be cut up

static void s_copy (void *arg, size_t index)
{
    umbp_copy_t *copy = (umbp_copy_t *) arg + index;
    copy->sum =
        umbp_scatter_copy (copy->to, copy->to_count, copy->from, copy->from_count, copy->size);
}

//  ------------------------------------------------------------------------------------------------
//  One block, cut up

typedef struct {
    const umbp_copy_t *copy;
    uint64_t offset;                    //  Of the segment in the block
    umbp_part_t *parts;                 //  Of the segment
    size_t count;
} segment_t;

static void s_copy_piece (void *arg, size_t piece)
{
    const segment_t *segment = arg;
    size_t most = PIECE_BYTES / UMBP_PART_BYTES, at = piece * most;
    size_t count = segment->count - at < most ? segment->count - at : most;
    umbp_scatter_take (segment->copy->to, segment->copy->from,
                       segment->offset + at * UMBP_PART_BYTES, segment->parts + at, count);
}

static void s_copy_apart (umbp_lane_t *lane, umbp_copy_t *copy)
{
    umbp_mark_t mark = umbp_lane_mark (lane);
    size_t left = umbp_parts_count (copy->size), most = SEGMENT_BYTES / UMBP_PART_BYTES;
    size_t pieces_most = PIECE_BYTES / UMBP_PART_BYTES;
    segment_t segment = { .copy = copy };
    segment.parts = umbp_lane_take (lane, left < most ? left : most, sizeof (umbp_part_t));
    umbp_part_t sum;
    umbp_parts_begin (&sum);
    for (; left > 0; left -= segment.count) {
        segment.count = left < most ? left : most;
        umbp_crew_run (lane->pool->crew, s_copy_piece, &segment,
                       (segment.count + pieces_most - 1) / pieces_most);
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

void umbp_copies_run (umbp_lane_t *lane, umbp_copy_t *copies, size_t count)
{
    if (count == 1 && copies->size < UMBP_COPIES_SHARED_MIN) {
        s_copy (copies, 0);
        return;
    }
    uint64_t bytes = 0, most = 0;
    for (size_t index = 0; index < count; index++) {
        bytes += copies[index].size;
        most = copies[index].size > most ? copies[index].size : most;
    }
    if (bytes >= UMBP_COPIES_SHARED_MIN && umbp_crew_helpers (lane->pool->crew) > 0)
        s_copy_shared (lane, copies, count, most);
    else
        for (size_t index = 0; index < count; index++)
            s_copy (copies, index);
}
