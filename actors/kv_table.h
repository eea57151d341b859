//  actors/kv_table.h - the external-KV index of one node: which engine says that it holds which
//  hash, and in which of its own tiers; and how often hashes were hit, which outlives their
//  holders.
//
//  Hashes are opaque and stored whole, so a match is exact. Reports add up, per tier. What an
//  engine takes back costs time in proportion to its own hashes. All limits are set at the start;
//  memory is taken as hashes come. Not thread-safe: one actor owns the table. Nothing blocks.
//  Nothing a peer sends trips an assert.
//
//  Calls that take a hash, an engine or a tier return UMBP_EINVAL for an engine that does not
//  exist, a tier outside of 1..8 or an empty hash, and UMBP_ETOOBIG for a hash that is too long.
#ifndef UMBP_KV_TABLE_H
#define UMBP_KV_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define UMBP_KV_HASHES_MAX (1 << 28)    //  A table's upper limit
#define UMBP_KV_HASH_BYTES_MAX 201      //  With the tenant in front, see proto/scope.h
#define UMBP_KV_ENGINES_MAX 4096
#define UMBP_KV_ENGINE_BYTES_MAX 137    //  An engine's id, with its tenant in front
#define UMBP_KV_ADDRESS_BYTES_MAX 128   //  An engine's address
#define UMBP_KV_TIERS_MAX 8
#define UMBP_KV_HIT_TTL_MS 7200000      //  The usual time that counts are kept after the last hit

//  The bit of a tier, 1..8, in a mask
#define UMBP_KV_TIER_BIT(tier) (1u << ((tier) -1))

typedef struct umbp_kv_table umbp_kv_table_t;

typedef struct {
    uint16_t engine;
    uint8_t tiers;                      //  Mask, never 0
} umbp_kv_match_t;

//  A table for so many hashes, held four times over on average, and hit counts for as many hashes,
//  which are kept for hit_ttl_ms after the last hit. NULL if max_hashes is outside of
//  1..UMBP_KV_HASHES_MAX or memory is out.
umbp_kv_table_t *umbp_kv_table_new (size_t max_hashes, uint64_t hit_ttl_ms);
void umbp_kv_table_destroy (umbp_kv_table_t **self_p);

//  The number of an engine, 0..UMBP_KV_ENGINES_MAX - 1; a new one is given a number, a known one
//  the new address. UMBP_EINVAL if the id is empty or one of the texts has a zero byte,
//  UMBP_ETOOBIG if one is too long, UMBP_ENOSPC if there are too many engines.
int umbp_kv_table_engine (umbp_kv_table_t *self, const char *id, size_t id_size,
                          const char *address, size_t address_size);

//  The number of a known engine, or UMBP_ENOENT
int umbp_kv_table_find_engine (const umbp_kv_table_t *self, const char *id, size_t id_size);

//  Its texts, NULL if there is none of that number
const char *umbp_kv_table_engine_id (const umbp_kv_table_t *self, int engine);
const char *umbp_kv_table_engine_address (const umbp_kv_table_t *self, int engine);

//  The engine holds the hash in this tier too. Returns 1 if that is news, 0 if it was known,
//  UMBP_ENOSPC if the table is full.
int umbp_kv_table_report (umbp_kv_table_t *self, int engine, const void *hash, size_t size,
                          int tier);

//  The engine holds the hash no longer in this tier. Returns 1, or 0 if it was not known to.
int umbp_kv_table_revoke (umbp_kv_table_t *self, int engine, const void *hash, size_t size,
                          int tier);

//  The engine holds nothing in this tier, in any tier, or is forgotten as well: its number will be
//  given to another. Return how many hashes it held there; 0 for an engine or tier that is not.
size_t umbp_kv_table_revoke_tier (umbp_kv_table_t *self, int engine, int tier);
size_t umbp_kv_table_revoke_engine (umbp_kv_table_t *self, int engine);
size_t umbp_kv_table_forget (umbp_kv_table_t *self, int engine);

//  Write up to max engines that hold the hash to out. Returns how many; 0 for an impossible hash.
size_t umbp_kv_table_match (const umbp_kv_table_t *self, const void *hash, size_t size,
                            umbp_kv_match_t *out, size_t max);

//  Count a hit; the caller has matched the hash, and names it once per query. Returns UMBP_OK, or
//  UMBP_ENOSPC if too many hashes have counts. Time is monotonic.
int umbp_kv_table_hit (umbp_kv_table_t *self, const void *hash, size_t size, uint64_t now_ms);

//  Its hits, 0 if none. A count that is past its time may be seen until the next hit or gc.
uint64_t umbp_kv_table_hits (const umbp_kv_table_t *self, const void *hash, size_t size);

//  Look at the next budget counts, going round, and drop those past their time. Returns how many.
size_t umbp_kv_table_gc (umbp_kv_table_t *self, uint64_t now_ms, size_t budget);

//  Hashes held, hashes of one engine, hashes with counts, bytes of memory touched. The last walks
//  all hashes: it is for tests and rare reports.
size_t umbp_kv_table_count (const umbp_kv_table_t *self);
size_t umbp_kv_table_engine_count (const umbp_kv_table_t *self, int engine);
size_t umbp_kv_table_hit_count (const umbp_kv_table_t *self);
size_t umbp_kv_table_bytes (const umbp_kv_table_t *self);

#endif
