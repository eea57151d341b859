//  actors/index_table.h - the memory of one index shard: fingerprint -> the places that hold the
//  block. One place is one entry of 26 bytes; the replicas of a block are neighbouring entries.
//
//  Entries lie in segments by the first bits of the fingerprint, some 24 in each: a sorted array
//  that grows by four entries at a time. Segments are split and merged one by one as the table grows
//  and shrinks, so that no add or remove moves more than two of them. A sweep remembers a
//  fingerprint and not a place, so growing, shrinking, adding and removing between its calls hide
//  nothing.
//
//  All the places of a fingerprint agree on size and sum: the first to be recorded decides.
//  Not thread-safe: one actor owns the table. Nothing blocks. Nothing a peer sends trips an assert.
#ifndef UMBP_INDEX_TABLE_H
#define UMBP_INDEX_TABLE_H

#include "proto/fingerprint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  Places recorded for one fingerprint
#define UMBP_INDEX_REPLICAS_MAX 1024

//  Numbers of nodes and tiers are below these
#define UMBP_INDEX_NODES_MAX 8192
#define UMBP_INDEX_TIERS_MAX 8

typedef struct umbp_index_table umbp_index_table_t;

typedef struct {
    uint16_t node;                      //  A number the caller gives to each node
    uint8_t tier;
    uint32_t size;                      //  Of the block, in bytes
    uint32_t sum;                       //  Low 32 bits of the block's checksum
} umbp_place_t;

//  Says whether a sweep removes this entry. Must not call into the table.
typedef bool (umbp_index_drop_fn) (void *arg, const umbp_fingerprint_t *key,
                                   const umbp_place_t *place);

//  A table of at most max_entries, 1..2^32 - 1; NULL if out of range or out of memory. Memory is
//  taken as entries come, some 30 bytes for each once there are some thousands, and given back as
//  they go.
umbp_index_table_t *umbp_index_table_new (size_t max_entries);
void umbp_index_table_destroy (umbp_index_table_t **self_p);

//  Record that a place holds the block. Returns UMBP_OK if it is the first place or was known,
//  UMBP_EEXIST if it is a further replica (recorded), UMBP_ECHECKSUM if size or sum differ from
//  what is recorded (not recorded), UMBP_ENOSPC if the table, the replicas of the key or its
//  neighbourhood (which even spread never fills) are full (not recorded).
int umbp_index_table_add (umbp_index_table_t *self, const umbp_fingerprint_t *key,
                          const umbp_place_t *place);

//  Forget one place. Returns UMBP_OK or UMBP_ENOENT.
int umbp_index_table_remove (umbp_index_table_t *self, const umbp_fingerprint_t *key, uint16_t node,
                             uint8_t tier);

//  Write up to max places of a key to out, oldest first. Returns how many were written.
size_t umbp_index_table_find (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                              umbp_place_t *out, size_t max);

//  Whether some place holds it. If live is not NULL, only nodes with live[node] count; it must
//  reach past every node number that was added.
bool umbp_index_table_has (const umbp_index_table_t *self, const umbp_fingerprint_t *key,
                           const bool *live);

//  Fetch ahead what a call for this key will read. For batches: first prefetch all, then look up.
void umbp_index_table_prefetch (const umbp_index_table_t *self, const umbp_fingerprint_t *key);

//  Walk about budget slots (at least one) from *cursor, and remove the entries that drop says.
//  Start at 0; the walk is over when *cursor is 0 again. An entry that is there from start to end
//  is shown exactly once, whatever else changes between the calls. Returns how many were removed. A
//  call may pass its budget by the entries that share 32 bits of fingerprint, and by a gap within
//  one segment.
size_t umbp_index_table_sweep (umbp_index_table_t *self, uint32_t *cursor, uint32_t budget,
                               umbp_index_drop_fn *drop, void *arg);

//  Remove all entries of a node at once. Returns how many.
size_t umbp_index_table_drop_node (umbp_index_table_t *self, uint16_t node);

//  Entries (replicas count), distinct fingerprints, bytes of memory
size_t umbp_index_table_count (const umbp_index_table_t *self);
size_t umbp_index_table_keys (const umbp_index_table_t *self);
size_t umbp_index_table_bytes (const umbp_index_table_t *self);

#endif
