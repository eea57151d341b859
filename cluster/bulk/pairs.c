//  cluster/bulk/pairs.c - queue pairs as columns of a message. See pairs.h.
#include "cluster/bulk/pairs.h"

#include <string.h>

_Static_assert(UMBP_VERBS_QUEUES_MAX == UMBP_QUEUE_PAIRS_MAX, "a link has to fit a message");

umbp_pairs_t umbp_pairs_write (const umbp_verbs_description_t *from, umbp_pairs_room_t *room)
{
    uint32_t count = from->count;
    for (size_t index = 0; index < count; index++) {
        const umbp_verbs_queue_t *queue = &from->queues[index];
        room->numbers[index] = queue->number;
        room->psns[index] = queue->psn;
        room->lids[index] = queue->lid;
        room->mtus[index] = queue->mtu;
        room->reads[index] = queue->reads;
        room->devices[index] = queue->device;
        memcpy (room->gids + 16 * index, queue->gid, 16);
    }
    return (umbp_pairs_t){ { room->numbers, count },
                           { room->psns, count },
                            { room->lids, count },    { room->mtus, count },
                            { room->reads, count },   { room->devices, count },
                            { room->gids, 16 * count } };
}

bool umbp_pairs_read (const umbp_pairs_t *self, umbp_verbs_description_t *to)
{
    uint32_t count = self->numbers.count;
    *to = (umbp_verbs_description_t) { .count = count };
    if (count == 0 || count > UMBP_VERBS_QUEUES_MAX || self->psns.count != count
        || self->lids.count != count || self->mtus.count != count || self->reads.count != count
        || self->devices.count != count || self->gids.size != 16 * count)
        return false;
    for (size_t index = 0; index < count; index++) {
        umbp_verbs_queue_t *queue = &to->queues[index];
        *queue = (umbp_verbs_queue_t) { .number = umbp_u32s_at (self->numbers, index),
                                        .psn = umbp_u32s_at (self->psns, index),
                                        .lid = umbp_u16s_at (self->lids, index),
                                        .mtu = umbp_u16s_at (self->mtus, index),
                                        .reads = umbp_u8s_at (self->reads, index),
                                        .device = umbp_u8s_at (self->devices, index) };
        memcpy (queue->gid, self->gids.data + 16 * index, 16);
    }
    return true;
}
