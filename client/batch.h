//  client/batch.h - what all calls that take many keys share: limits of a message, columns of keys,
//  what an error means. Private to client/.
#ifndef UMBP_CLIENT_BATCH_H
#define UMBP_CLIENT_BATCH_H

#include "client/lane.h"

#define UMBP_WINDOW_ITEMS 1024          //  Items in one message ...
#define UMBP_WINDOW_KEY_BYTES (1u << 20)         //  ... bytes of their keys
#define UMBP_WINDOW_BYTES (256u << 20)  //  ... and of their blocks: slots and leases do not last

//  The caller's array: items of stride bytes, each with an int at status_at
typedef struct {
    void *items;
    size_t count, stride, status_at;
} umbp_items_t;

static inline void *umbp_items_at (const umbp_items_t *self, size_t index)
{
    return (uint8_t *) self->items + index * self->stride;
}

static inline int *umbp_items_status (const umbp_items_t *self, size_t index)
{
    return (int *) (void *) ((uint8_t *) umbp_items_at (self, index) + self->status_at);
}

//  Give all the same status. Returns it.
int umbp_items_fail (const umbp_items_t *self, int status);

//  How many have a status
size_t umbp_items_count (const umbp_items_t *self, int status);

//  What a batch returns: how many are fine, or the error that all share since nobody could be asked
int umbp_items_result (const umbp_items_t *self);

//  0, or UMBP_EINVAL for a key that is no key
int umbp_key_check (const umbp_key_t *key, size_t size_max);

//  After a message of count items failed: true if it was too large, and shall be tried the long
//  way, or else with fewer items
bool umbp_batch_shrink (int rc, umbp_way_t *way, size_t *items_max, size_t count);

//  How many items from the front go into one message, 1 at least. Through a door messages are
//  smaller, and are still preferred to those over ZeroMQ.
size_t umbp_window (const umbp_lane_t *lane, const umbp_key_t *keys, size_t stride, size_t count);

//  The keys as a column in scratch memory. stride is the distance between two of them in bytes, so
//  that they can be members of a larger struct. which names the ones to take, NULL: all.
umbp_column_t umbp_key_column (umbp_lane_t *lane, const umbp_key_t *keys, size_t stride,
                               const uint32_t *which, size_t count);

static inline const umbp_key_t *umbp_key_at (const umbp_key_t *keys, size_t stride, size_t index)
{
    return (const umbp_key_t *) (const void *) ((const uint8_t *) keys + index * stride);
}

//  The text of a row of a column, terminated, in scratch memory
const char *umbp_column_text (umbp_lane_t *lane, const umbp_column_t *column, size_t row);

//  True for an error that another try may well mend
bool umbp_is_passing (int status);

//  True for an error that says nothing about a key, since nobody could be asked
bool umbp_is_silence (int status);

//  Address of a tier manager
const char *umbp_tier_actor (unsigned tier);

#endif
