//  actors/tier/order.h - in which order items leave a tier: least recently used first and, among
//  those of the same tick, the deepest first, so that a prefix outlives its suffix. Items are
//  numbers below a capacity, which the caller gives to its blocks; those of equal tick and depth
//  leave in the order in which they were touched.
//
//  The order is one queue from the oldest to the newest, see queue.h for how a tick is sorted.
//
//  A value: one owner, no thread safety, never blocks. All is O(1), except that umbp_order_victims
//  walks what it returns and skips, and umbp_order_new and umbp_order_resize alone allocate.
#ifndef UMBP_ORDER_H
#define UMBP_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/tier/queue.h"

#define UMBP_ORDER_CAPACITY_MAX UMBP_QUEUE_CAPACITY_MAX
#define UMBP_ORDER_SEARCH_MAX UMBP_QUEUE_SEARCH_MAX
#define UMBP_ORDER_REFUSED_MAX 256      //  Items refused in one umbp_order_victims

typedef struct umbp_order umbp_order_t;

//  Whether an item may go now. Must not change the order.
typedef bool (umbp_order_may_go_fn) (void *arg, uint32_t item);

//  For items 0 to capacity - 1, of which none is in the order. Returns NULL if capacity is above
//  UMBP_ORDER_CAPACITY_MAX. Uses 16 bytes each and 16 KiB.
umbp_order_t *umbp_order_new (uint32_t capacity);
void umbp_order_destroy (umbp_order_t **self_p);

//  Make room for higher numbers. Returns 0, or UMBP_EINVAL if capacity is less than now or too
//  high.
int umbp_order_resize (umbp_order_t *self, uint32_t capacity);

//  Make an item the newest, entering it if it is not in the order. Ticks are the caller's, one per
//  batch of requests; one before the newest seen counts as that. Returns 0, or UMBP_EINVAL if the
//  item is not below the capacity.
int umbp_order_touch (umbp_order_t *self, uint32_t item, uint32_t depth, uint64_t tick);

//  Returns 0, UMBP_ENOENT if it is not in the order, UMBP_EINVAL if it is not below the capacity
int umbp_order_remove (umbp_order_t *self, uint32_t item);

//  Make an item the oldest, which leaves first, entering it if it is not in the order. Returns 0, or
//  UMBP_EINVAL if it is not below the capacity.
int umbp_order_age (umbp_order_t *self, uint32_t item, uint32_t depth);

//  Write the oldest items that may go, NULL meaning any, to out, which has room for max; returns
//  how many. They stay in the order until the caller removes them. Gives up after
//  UMBP_ORDER_REFUSED_MAX refused ones, in which case the next calls go on behind these, so that
//  no number of items that may not go can hide those that may; after 64 calls, or at the newest
//  item, they start at the oldest.
size_t umbp_order_victims (umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go, void *arg,
                           uint32_t *out);

//  The same, and the next calls go on as if this had not been
size_t umbp_order_peek (const umbp_order_t *self, size_t max, umbp_order_may_go_fn *may_go,
                        void *arg, uint32_t *out);

//  Walk all from the oldest to the newest; UMBP_QUEUE_NONE at the end
uint32_t umbp_order_first (const umbp_order_t *self);
uint32_t umbp_order_after (const umbp_order_t *self, uint32_t item);

//  Depth of an item that is in the order
uint32_t umbp_order_depth (const umbp_order_t *self, uint32_t item);

size_t umbp_order_count (const umbp_order_t *self);

#endif
