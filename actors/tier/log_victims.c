//  actors/tier/log_victims.c - the segment log: which blocks give room soonest if they leave
//
//  A hand goes over the records of all sealed segments, the oldest first, and from the end back to the oldest. Each
//  look begins there and moves it to the first block that may go: so those that are named and not taken are
//  named again, and those that it passed over are not looked at before all others were.
#include "actors/tier/log_self.h"

#define LOOKS_MAX 4096                  //  At records, and segments
#define ROUNDS_MAX 2                    //  The second begins behind what the first passed over

//  Directories count their segments by themselves
static bool s_is_newer (const umbp_log_t *self, uint32_t segment, const umbp_log_hand_t *hand)
{
    uint64_t seq = self->segments[segment].seq;
    return seq > hand->seq || (seq == hand->seq && segment > hand->segment);
}

//  Of the sealed segments that are newer the oldest; its record is none: there is no newer one, and all are newer than it
static umbp_log_hand_t s_next (const umbp_log_t *self, const umbp_log_hand_t *hand)
{
    umbp_log_hand_t next = { 0, 0, UMBP_LOG_NONE };
    for (uint32_t index = 0; index < self->segment_count; index++) {
        const umbp_log_segment_t *segment = &self->segments[index];
        if (segment->state == UMBP_LOG_SEGMENT_SEALED && segment->first != UMBP_LOG_NONE
            && s_is_newer (self, index, hand)
            && (next.record == UMBP_LOG_NONE || !s_is_newer (self, index, &next)))
            next = (umbp_log_hand_t){ segment->seq, index, segment->first };
    }
    return next;
}

//  What is cleaned leaves its segment by itself
static umbp_log_hand_t s_begin (const umbp_log_t *self)
{
    umbp_log_hand_t hand = self->hand;
    if (self->segments[hand.segment].state != UMBP_LOG_SEGMENT_SEALED)
        hand.record = UMBP_LOG_NONE;
    return hand;
}

size_t umbp_log_victims (umbp_log_t *self, umbp_medium_keep_fn *may_go, void *arg, size_t max,
                         uint32_t *items)
{
    umbp_log_hand_t hand = s_begin (self);
    size_t count = 0, rounds = 0;
    for (size_t looks = 0; count < max && looks < LOOKS_MAX; looks++) {
        if (hand.record == UMBP_LOG_NONE) {
            hand = s_next (self, &hand);
            if (hand.record == UMBP_LOG_NONE && (count > 0 || ++rounds == ROUNDS_MAX))
                break;
            continue;
        }
        const umbp_log_slot_t *slot = umbp_log_slot (self, hand.record);
        if (slot->item != UMBP_LOG_NONE && may_go (arg, slot->item)) {
            if (count == 0)
                self->hand = hand;
            items[count++] = slot->item;
        }
        hand.record = slot->next;
    }
    if (count == 0)
        self->hand = hand;
    return count;
}
