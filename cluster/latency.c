//  cluster/latency.c - see latency.h
#include "cluster/latency.h"

//  The first bucket whose bound is not below the time
static size_t s_bucket (uint64_t took_us)
{
    if (took_us <= 2)
        return 0;
    size_t bucket = 63 - (size_t) __builtin_clzll (took_us - 1);
    return bucket < UMBP_LATENCY_BUCKETS ? bucket : UMBP_LATENCY_BUCKETS - 1;
}

//  Returns UMBP_LATENCY_ROWS if there are too many
static size_t s_row (umbp_latency_t *self, unsigned type, umbp_path_t path)
{
    uint8_t *row = &self->row_of[type][path];
    if (*row == 0 && self->count == UMBP_LATENCY_ROWS)
        return UMBP_LATENCY_ROWS;
    if (*row == 0) {
        self->types[self->count] = (uint8_t) type;
        self->paths[self->count] = (uint8_t) path;
        *row = (uint8_t) ++self->count;
    }
    return *row - 1u;
}

void umbp_latency_add (umbp_latency_t *self, unsigned type, umbp_path_t path, uint64_t took_us)
{
    if (type >= UMBP_MSG_LAST || path >= UMBP_PATH_COUNT)
        return;
    size_t row = s_row (self, type, path);
    if (row == UMBP_LATENCY_ROWS)
        return;
    self->sums_us[row] += took_us;
    self->buckets[row * UMBP_LATENCY_BUCKETS + s_bucket (took_us)]++;
}
