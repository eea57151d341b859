//  cluster/ring.h - consistent-hash ring: from the hash of a key to the members that answer for
//  it. Each node has virtual nodes, the hashes of "<id>#0", "<id>#1" ... in decimal; a key
//  belongs to the first one at or after its own hash, wrapping at the top. Virtual nodes are
//  sorted by (hash, id, number), so rings with the same nodes are equal whatever the order they
//  were added in.
//
//  A value: no thread, no socket. Functions that take a const ring may run in several threads at
//  once as long as none changes it. Adding and removing allocate and cost O(virtual nodes); the
//  rest allocates nothing, and nothing here blocks.
#ifndef UMBP_RING_H
#define UMBP_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_RING_ID_MAX 255                //  Bytes in a node's id
#define UMBP_RING_REPLICAS_MAX 4096         //  Virtual nodes of a node of weight 100
#define UMBP_RING_VNODES_MAX (1 << 20)      //  Virtual nodes of all nodes together

//  How bytes become a place on the ring. Plain is FNV-1a 64 as published: it leaves the virtual
//  nodes of a node in tight clumps, so shares are far from equal. Mixed runs a finaliser over it.
typedef enum {
    UMBP_RING_MIXED = 0,
    UMBP_RING_PLAIN,
} umbp_ring_hash_t;

typedef struct umbp_ring umbp_ring_t;

//  FNV-1a 64 of some bytes; data may be NULL if size is 0
uint64_t umbp_ring_fnv1a (const void *data, size_t size);

//  The finaliser: a bijection of 64 bits in which each input bit reaches each output bit
uint64_t umbp_ring_mix (uint64_t hash);

//  An empty ring; vnodes is what a node of weight 100 gets, 0 is raised to 1. Returns NULL if there
//  is no such hash, or if vnodes is above UMBP_RING_REPLICAS_MAX.
umbp_ring_t *umbp_ring_new (umbp_ring_hash_t hash, unsigned vnodes);
void umbp_ring_destroy (umbp_ring_t **self_p);

//  Add a node with vnodes * weight_percent / 100 virtual nodes, at least 1. The weight is 1..400.
//  Lookups return its member number, which is the caller's choice; memory grows with the highest.
//  Returns 0, UMBP_EEXIST if the id or the member number is on the ring, UMBP_EINVAL for an id that
//  is NULL, empty or too long, or a weight out of range, UMBP_ENOSPC if the ring is full.
int umbp_ring_add (umbp_ring_t *self, const char *id, unsigned weight_percent, uint16_t member);

//  Put many nodes of weight 100 on an empty ring at once, in the ascending order of both their ids
//  and their member numbers. One by one each costs O(virtual nodes): a second for 1024 nodes.
//  Returns 0; UMBP_EEXIST if the ring is not empty, UMBP_EINVAL for an order or an id that is not
//  allowed, UMBP_ENOSPC if they are too many. Then the ring stays as it was.
int umbp_ring_add_all (umbp_ring_t *self, const char *const *ids, const uint16_t *members,
                       size_t count);

//  Take a node off. Returns 0, also if there is no such node.
int umbp_ring_remove (umbp_ring_t *self, const char *id);

size_t umbp_ring_node_count (const umbp_ring_t *self);
size_t umbp_ring_vnode_count (const umbp_ring_t *self);

//  The place of a key on this ring
uint64_t umbp_ring_position (const umbp_ring_t *self, const void *key, size_t size);

//  The places of many keys: out[i] is umbp_ring_position (self, keys[i], sizes[i]). FNV-1a waits
//  for itself, so four keys are hashed side by side: half the time for keys of 64 bytes, a
//  quarter for long ones.
void umbp_ring_positions (const umbp_ring_t *self, const uint8_t *const *keys,
                          const uint16_t *sizes, size_t count, uint64_t *out);

//  Clockwise from a position, the first n distinct members for which healthy[member] is true,
//  NULL meaning all; healthy must reach to the highest member number on the ring. Returns how
//  many, fewer than n if there are no more; members_out has room for n.
size_t umbp_ring_walk (const umbp_ring_t *self, uint64_t position, size_t n, const bool *healthy,
                       uint16_t *members_out);

//  Index of the virtual node that a position belongs to, 0 if the ring is empty
size_t umbp_ring_find (const umbp_ring_t *self, uint64_t position);

//  One virtual node, in ring order. Returns 0, or UMBP_EINVAL if there are not so many.
int umbp_ring_vnode (const umbp_ring_t *self, size_t index, uint64_t *hash, uint16_t *member);

//  The part of all positions that belong to a member, 0 to 1; 0 for one that is not on the ring.
//  O(virtual nodes).
double umbp_ring_share (const umbp_ring_t *self, uint16_t member);

#endif
