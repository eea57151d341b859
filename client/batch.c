//  client/batch.c - what all calls that take many keys share. See batch.h.
#include "client/batch.h"

#define DOOR_KEY_BYTES (80u << 10)      //  In a message that passes through a door with all else

int umbp_items_fail (const umbp_items_t *self, int status)
{
    for (size_t index = 0; index < self->count; index++)
        *umbp_items_status (self, index) = status;
    return status;
}

size_t umbp_items_count (const umbp_items_t *self, int status)
{
    size_t count = 0;
    for (size_t index = 0; index < self->count; index++)
        count += *umbp_items_status (self, index) == status;
    return count;
}

int umbp_items_result (const umbp_items_t *self)
{
    size_t fine = umbp_items_count (self, UMBP_OK) + umbp_items_count (self, UMBP_EEXIST);
    if (fine > 0 || self->count == 0)
        return fine < INT32_MAX ? (int) fine : INT32_MAX;
    int first = *umbp_items_status (self, 0);
    return umbp_is_silence (first) && umbp_items_count (self, first) == self->count ? first : 0;
}

int umbp_key_check (const umbp_key_t *key, size_t size_max)
{
    return key->key && key->key_size > 0 && key->key_size <= size_max ? 0 : UMBP_EINVAL;
}

bool umbp_batch_shrink (int rc, umbp_way_t *way, size_t *items_max, size_t count)
{
    if (rc != UMBP_ETOOBIG || (*way == UMBP_WAY_WIRE && count < 2))
        return false;
    if (*way == UMBP_WAY_WIRE)
        *items_max = count / 2;
    *way = UMBP_WAY_WIRE;
    return true;
}

size_t umbp_window (const umbp_lane_t *lane, const umbp_key_t *keys, size_t stride, size_t count)
{
    size_t bytes_max = lane->pool->shm ? DOOR_KEY_BYTES : UMBP_WINDOW_KEY_BYTES;
    size_t items = 0, bytes = 0;
    while (items < count && items < UMBP_WINDOW_ITEMS && bytes < bytes_max) {
        bytes += umbp_key_at (keys, stride, items)->key_size;
        if (items > 0 && bytes > bytes_max)
            break;
        items++;
    }
    return items;
}

umbp_column_t umbp_key_column (umbp_lane_t *lane, const umbp_key_t *keys, size_t stride,
                               const uint32_t *which, size_t count)
{
    uint16_t *sizes = umbp_lane_take (lane, count, sizeof *sizes);
    size_t total = 0;
    for (size_t index = 0; index < count; index++) {
        const umbp_key_t *key = umbp_key_at (keys, stride, which ? which[index] : index);
        sizes[index] = (uint16_t) key->key_size;
        total += key->key_size;
    }
    uint8_t *bytes = umbp_lane_take (lane, total, 1), *at = bytes;
    for (size_t index = 0; index < count; index++) {
        memcpy (at, umbp_key_at (keys, stride, which ? which[index] : index)->key, sizes[index]);
        at += sizes[index];
    }
    return (umbp_column_t) { bytes, sizes, (uint32_t) total, (uint32_t) count };
}

const char *umbp_column_text (umbp_lane_t *lane, const umbp_column_t *column, size_t row)
{
    size_t offset = 0;
    for (size_t index = 0; index < row; index++)
        umbp_column_next (column, index, &offset);
    umbp_bytes_t item = umbp_column_next (column, row, &offset);
    char *text = umbp_lane_take (lane, item.size + 1, 1);
    return umbp_text_copy ((umbp_text_t) { (const char *) item.data, item.size }, text,
                           item.size + 1);
}

bool umbp_is_passing (int status)
{
    switch (status) {
    case UMBP_EAGAIN:
    case UMBP_ESTALE:
    case UMBP_EIO:
    case UMBP_ETIMEDOUT:
    case UMBP_EUNREACH:
    case UMBP_ECHECKSUM:
    case UMBP_ECLOSED:
    case UMBP_EDENIED:                  //  A session ended while its slots and leases were used
        return true;
    default: return false;
    }
}

bool umbp_is_silence (int status)
{
    return status == UMBP_EUNREACH || status == UMBP_ETIMEDOUT || status == UMBP_ECLOSED
           || status == UMBP_EIO;
}

const char *umbp_tier_actor (unsigned tier)
{
    static const char *const names[UMBP_TIERS] = {
        [UMBP_TIER_HBM] = "tier:hbm",
        [UMBP_TIER_DRAM] = UMBP_SHARED_ACTOR,
        [UMBP_TIER_NVME] = "tier:nvme",
        [UMBP_TIER_SHARED] = "tier:shared",
    };
    return tier < UMBP_TIERS ? names[tier] : NULL;
}
