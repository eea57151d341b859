//  bin/bench_blank.c - many blocks of zeros. See bench_blank.h.
#include "bin/bench_blank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/bulk/copy.h"

#define BATCH UMBP_BENCH_BLANK_BATCH
#define SIZE UMBP_BENCH_BLANK_BYTES
#define KEY_MAX UMBP_BENCH_BLANK_KEY_MAX

typedef struct {
    char address[64];
    uint8_t bytes[BATCH * KEY_MAX];
    uint16_t sizes[BATCH];
    uint32_t block_sizes[BATCH];
    uint64_t slots[BATCH], sums[BATCH];
} blanks_t;

static bool s_reserve (blanks_t *self, umbp_talk_t *talk, umbp_column_t keys)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_reserve, 0);
    question.reserve.session = 1;
    question.reserve.keys = keys;
    question.reserve.sizes = (umbp_u32s_t) { self->block_sizes, keys.count };
    if (umbp_talk_ask (talk, self->address, &question, &answer) != 0)
        return false;
    for (uint32_t index = 0; index < keys.count; index++)
        self->slots[index] = umbp_u64s_at (answer->reserve_ok.slots, index);
    return true;
}

static bool s_commit (blanks_t *self, umbp_talk_t *talk, uint32_t count)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_commit, 0);
    question.commit.slots = (umbp_u64s_t) { self->slots, count };
    question.commit.sums = (umbp_u64s_t) { self->sums, count };
    if (umbp_talk_ask (talk, self->address, &question, &answer) != 0)
        return false;
    for (uint32_t index = 0; index < count; index++)
        if (umbp_s8s_at (answer->commit_ok.statuses, index) != 0)
            return false;
    return true;
}

static bool s_make (blanks_t *self, umbp_talk_t *talk, umbp_bench_blank_key_fn *key, uint64_t first,
                    uint32_t count)
{
    umbp_column_t keys = { .bytes = self->bytes, .sizes = self->sizes, .count = count };
    for (uint32_t index = 0; index < count; index++) {
        self->sizes[index] = (uint16_t) key ((char *) self->bytes + keys.size, first + index);
        keys.size += self->sizes[index];
    }
    return s_reserve (self, talk, keys) && s_commit (self, talk, count);
}

bool umbp_bench_blank_make (umbp_talk_t *talk, const char *node, umbp_bench_blank_key_fn *key,
                            uint64_t first, uint64_t count)
{
    static const uint8_t zeros[SIZE];
    blanks_t *self = calloc (1, sizeof *self);
    bool fine = self != NULL;
    for (uint32_t index = 0; fine && index < BATCH; index++) {
        self->block_sizes[index] = SIZE;
        self->sums[index] = umbp_sum (zeros, SIZE);
    }
    if (fine)
        snprintf (self->address, sizeof self->address, "tier:dram@%s", node);
    for (uint64_t done = 0; done < count && fine; done += BATCH) {
        uint64_t left = count - done;
        fine = s_make (self, talk, key, first + done, left < BATCH ? (uint32_t) left : BATCH);
    }
    free (self);
    return fine;
}
