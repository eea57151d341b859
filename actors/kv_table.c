//  actors/kv_table.c - the external-KV index, see the header. Three sets of names give small
//  numbers to the hashes held, the hashes hit and the engines; what belongs to a name lies in an
//  array beside its set. A holding, one engine's tiers for one hash, is in two rings: its hash's
//  and its engine's. Arrays are made for their limit at the start; the system gives pages as they
//  are touched.
#include "actors/kv_table.h"
#include "proto/error.h"

#include <assert.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#define HOLDINGS_PER_HASH 4             //  Mean, for the limit

//  A set of byte strings, each with a number from 1 on, so that 0 is none
typedef struct {
    uint32_t next;                      //  In its bucket, or in the list of free numbers
    uint32_t tag;                       //  Bits of its hash that the bucket does not tell
    unsigned char *bytes;               //  Its size, then the string; NULL if the number is free
} name_t;

typedef struct {
    name_t *names;
    uint32_t *buckets;
    uint32_t mask, max, count, top, free;        //  top: the highest number ever in use
    uint64_t seed;                      //  So that nobody can aim at one bucket
} names_t;

typedef struct {
    uint32_t hash, hash_next, hash_prev;         //  Links end with 0
    uint32_t engine_next, engine_prev;  //  The free list goes by engine_next
    uint16_t engine;                    //  From 1 on, as in the set
    uint8_t tiers;
} holding_t;

typedef struct {
    uint64_t count, last_ms;
} hit_t;

typedef struct {
    char address[UMBP_KV_ADDRESS_BYTES_MAX + 1];
    uint32_t first, count;              //  Its holdings
} engine_t;

struct umbp_kv_table {
    names_t hashes, hits, engines;
    uint32_t *firsts;                   //  Of each hash, its first holding
    hit_t *hit;                         //  Of each hash with a count
    engine_t *engine;
    holding_t *holdings;
    uint32_t holding_max, holding_top, holding_free;
    uint64_t hit_ttl_ms;
    uint32_t gc_next;                   //  Where gc goes on
};

//  Returns 0, or UMBP_ENOSPC; what was made until then is freed by s_names_end
static int s_names_start (names_t *self, size_t max)
{
    size_t buckets = 16;
    while (buckets < max)
        buckets *= 2;
    if (getrandom (&self->seed, sizeof self->seed, GRND_NONBLOCK) != sizeof self->seed)
        self->seed = (uint64_t) time (NULL) ^ (uintptr_t) self;  //  Early boot
    self->max = max;
    self->mask = buckets - 1;
    self->names = calloc (max + 1, sizeof (name_t));
    self->buckets = calloc (buckets, sizeof (uint32_t));
    return self->names && self->buckets ? UMBP_OK : UMBP_ENOSPC;
}

static void s_names_end (names_t *self)
{
    for (uint32_t number = 1; self->names && number <= self->top; number++)
        free (self->names[number].bytes);
    free (self->names);
    free (self->buckets);
}

static size_t s_names_bytes (const names_t *self)
{
    size_t bytes = self->top * sizeof (name_t) + (self->mask + 1) * sizeof (uint32_t);
    for (uint32_t number = 1; number <= self->top; number++)
        if (self->names[number].bytes)
            bytes += malloc_usable_size (self->names[number].bytes) + sizeof (size_t);
    return bytes;
}

//  Where the number of a string is written, or would be: in its bucket, or in the name before it
static uint32_t *s_names_seek (const names_t *self, const void *bytes, size_t size, uint64_t sum)
{
    uint32_t *link = self->buckets + (sum & self->mask);
    for (; *link; link = &self->names[*link].next) {
        const name_t *name = self->names + *link;
        if (name->tag == sum >> 32 && name->bytes[0] == size
            && !memcmp (name->bytes + 1, bytes, size))
            break;
    }
    return link;
}

//  The number of a string, 0 if it is not in the set
static uint32_t s_names_find (const names_t *self, const void *bytes, size_t size)
{
    return *s_names_seek (self, bytes, size, XXH3_64bits_withSeed (bytes, size, self->seed));
}

//  The number of a string that is now in the set, 0 if there is no room
static uint32_t s_names_add (names_t *self, const void *bytes, size_t size)
{
    uint64_t sum = XXH3_64bits_withSeed (bytes, size, self->seed);
    uint32_t *link = s_names_seek (self, bytes, size, sum);
    if (*link || self->count == self->max)
        return *link;
    unsigned char *copy = malloc (1 + size);
    if (!copy)
        return 0;
    copy[0] = size;
    memcpy (copy + 1, bytes, size);
    uint32_t number = self->free;
    if (number)
        self->free = self->names[number].next;
    else
        number = ++self->top;
    self->names[number] = (name_t) { .tag = sum >> 32, .bytes = copy };
    self->count++;
    *link = number;
    return number;
}

static void s_names_remove (names_t *self, uint32_t number)
{
    name_t *name = self->names + number;
    uint64_t sum = XXH3_64bits_withSeed (name->bytes + 1, name->bytes[0], self->seed);
    uint32_t *link = self->buckets + (sum & self->mask);
    while (*link != number)
        link = &self->names[*link].next;
    *link = name->next;
    free (name->bytes);
    *name = (name_t) { .next = self->free };
    self->free = number;
    self->count--;
}

umbp_kv_table_t *umbp_kv_table_new (size_t max_hashes, uint64_t hit_ttl_ms)
{
    if (max_hashes < 1 || max_hashes > UMBP_KV_HASHES_MAX)
        return NULL;
    umbp_kv_table_t *self = calloc (1, sizeof (umbp_kv_table_t));
    if (!self)
        return NULL;
    self->hit_ttl_ms = hit_ttl_ms;
    self->holding_max = max_hashes * HOLDINGS_PER_HASH;
    self->firsts = calloc (max_hashes + 1, sizeof (uint32_t));
    self->hit = calloc (max_hashes + 1, sizeof (hit_t));
    self->engine = calloc (UMBP_KV_ENGINES_MAX + 1, sizeof (engine_t));
    self->holdings = calloc ((size_t) self->holding_max + 1, sizeof (holding_t));
    if (s_names_start (&self->hashes, max_hashes) || s_names_start (&self->hits, max_hashes)
        || s_names_start (&self->engines, UMBP_KV_ENGINES_MAX) || !self->firsts || !self->hit
        || !self->engine || !self->holdings)
        umbp_kv_table_destroy (&self);
    return self;
}

void umbp_kv_table_destroy (umbp_kv_table_t **self_p)
{
    assert (self_p);
    umbp_kv_table_t *self = *self_p;
    if (!self)
        return;
    s_names_end (&self->hashes);
    s_names_end (&self->hits);
    s_names_end (&self->engines);
    free (self->firsts);
    free (self->hit);
    free (self->engine);
    free (self->holdings);
    free (self);
    *self_p = NULL;
}

//  Returns 0 if a text may be a name of 1..max bytes
static int s_check (size_t size, size_t max)
{
    return size == 0 ? UMBP_EINVAL : size > max ? UMBP_ETOOBIG : UMBP_OK;
}

//  The engine's number in its set, 0 if there is none
static uint32_t s_engine (const umbp_kv_table_t *self, int engine)
{
    if (engine < 0 || engine >= (int) self->engines.top || !self->engines.names[engine + 1].bytes)
        return 0;
    return engine + 1;
}

int umbp_kv_table_engine (umbp_kv_table_t *self, const char *id, size_t id_size,
                          const char *address, size_t address_size)
{
    int rc = s_check (id_size, UMBP_KV_ENGINE_BYTES_MAX);
    if (rc)
        return rc;
    if (address_size > UMBP_KV_ADDRESS_BYTES_MAX)
        return UMBP_ETOOBIG;
    if (memchr (id, 0, id_size) || (address_size > 0 && memchr (address, 0, address_size)))
        return UMBP_EINVAL;
    char text[UMBP_KV_ENGINE_BYTES_MAX + 1];     //  The set keeps the zero, so that C can read it
    memcpy (text, id, id_size);
    text[id_size] = 0;
    uint32_t number = s_names_add (&self->engines, text, id_size + 1);
    if (!number)
        return UMBP_ENOSPC;
    engine_t *engine = self->engine + number;
    if (address_size > 0)
        memcpy (engine->address, address, address_size);
    engine->address[address_size] = 0;
    return number - 1;
}

int umbp_kv_table_find_engine (const umbp_kv_table_t *self, const char *id, size_t id_size)
{
    if (s_check (id_size, UMBP_KV_ENGINE_BYTES_MAX))
        return UMBP_ENOENT;
    char text[UMBP_KV_ENGINE_BYTES_MAX + 1];
    memcpy (text, id, id_size);
    text[id_size] = 0;
    uint32_t number = s_names_find (&self->engines, text, id_size + 1);
    return number ? (int) number - 1 : UMBP_ENOENT;
}

const char *umbp_kv_table_engine_id (const umbp_kv_table_t *self, int engine)
{
    uint32_t number = s_engine (self, engine);
    return number ? (const char *) self->engines.names[number].bytes + 1 : NULL;
}

const char *umbp_kv_table_engine_address (const umbp_kv_table_t *self, int engine)
{
    uint32_t number = s_engine (self, engine);
    return number ? self->engine[number].address : NULL;
}

//  Returns 0 if engine, hash and tier are possible
static int s_check_all (const umbp_kv_table_t *self, int engine, size_t size, int tier)
{
    int rc = s_check (size, UMBP_KV_HASH_BYTES_MAX);
    if (rc)
        return rc;
    return s_engine (self, engine) && tier >= 1 && tier <= UMBP_KV_TIERS_MAX ? UMBP_OK
                                                                             : UMBP_EINVAL;
}

//  The holding of an engine among those of a hash, 0 if there is none
static uint32_t s_holding (const umbp_kv_table_t *self, uint32_t hash, uint32_t engine)
{
    uint32_t number = self->firsts[hash];
    while (number && self->holdings[number].engine != engine)
        number = self->holdings[number].hash_next;
    return number;
}

//  A new holding, first in both its lists; 0 if there is no room
static uint32_t s_hold (umbp_kv_table_t *self, uint32_t hash, uint32_t engine)
{
    uint32_t number = self->holding_free;
    if (number)
        self->holding_free = self->holdings[number].engine_next;
    else if (self->holding_top < self->holding_max)
        number = ++self->holding_top;
    else
        return 0;
    self->holdings[number] = (holding_t) {
        .hash = hash, .hash_next = self->firsts[hash],
        .engine = engine, .engine_next = self->engine[engine].first,
    };
    const holding_t *holding = self->holdings + number;
    if (holding->hash_next)
        self->holdings[holding->hash_next].hash_prev = number;
    if (holding->engine_next)
        self->holdings[holding->engine_next].engine_prev = number;
    self->firsts[hash] = number;
    self->engine[engine].first = number;
    self->engine[engine].count++;
    return number;
}

//  End a holding; its hash goes with the last one
static void s_release (umbp_kv_table_t *self, uint32_t number)
{
    holding_t *holding = self->holdings + number;
    if (holding->hash_next)
        self->holdings[holding->hash_next].hash_prev = holding->hash_prev;
    if (holding->hash_prev)
        self->holdings[holding->hash_prev].hash_next = holding->hash_next;
    else
        self->firsts[holding->hash] = holding->hash_next;
    if (holding->engine_next)
        self->holdings[holding->engine_next].engine_prev = holding->engine_prev;
    if (holding->engine_prev)
        self->holdings[holding->engine_prev].engine_next = holding->engine_next;
    else
        self->engine[holding->engine].first = holding->engine_next;
    self->engine[holding->engine].count--;
    if (!self->firsts[holding->hash])
        s_names_remove (&self->hashes, holding->hash);
    *holding = (holding_t) { .engine_next = self->holding_free };
    self->holding_free = number;
}

int umbp_kv_table_report (umbp_kv_table_t *self, int engine, const void *hash, size_t size,
                          int tier)
{
    int rc = s_check_all (self, engine, size, tier);
    if (rc)
        return rc;
    uint32_t name = s_names_add (&self->hashes, hash, size);
    if (!name)
        return UMBP_ENOSPC;
    uint32_t number = s_holding (self, name, engine + 1);
    if (!number)
        number = s_hold (self, name, engine + 1);
    if (!number) {
        if (!self->firsts[name])
            s_names_remove (&self->hashes, name);
        return UMBP_ENOSPC;
    }
    holding_t *holding = self->holdings + number;
    bool news = !(holding->tiers & UMBP_KV_TIER_BIT (tier));
    holding->tiers |= UMBP_KV_TIER_BIT (tier);
    return news;
}

//  Take a tier from a holding, which ends with its last tier. Returns 1, or 0 if it has not that
//  tier.
static int s_drop_tier (umbp_kv_table_t *self, uint32_t number, int tier)
{
    holding_t *holding = self->holdings + number;
    if (!(holding->tiers & UMBP_KV_TIER_BIT (tier)))
        return 0;
    holding->tiers &= ~UMBP_KV_TIER_BIT (tier);
    if (!holding->tiers)
        s_release (self, number);
    return 1;
}

int umbp_kv_table_revoke (umbp_kv_table_t *self, int engine, const void *hash, size_t size,
                          int tier)
{
    int rc = s_check_all (self, engine, size, tier);
    if (rc)
        return rc;
    uint32_t name = s_names_find (&self->hashes, hash, size);
    uint32_t number = name ? s_holding (self, name, engine + 1) : 0;
    return number ? s_drop_tier (self, number, tier) : 0;
}

size_t umbp_kv_table_revoke_tier (umbp_kv_table_t *self, int engine, int tier)
{
    uint32_t of = s_engine (self, engine);
    if (!of || tier < 1 || tier > UMBP_KV_TIERS_MAX)
        return 0;
    size_t count = 0;
    for (uint32_t number = self->engine[of].first, next; number; number = next) {
        next = self->holdings[number].engine_next;
        count += s_drop_tier (self, number, tier);
    }
    return count;
}

size_t umbp_kv_table_revoke_engine (umbp_kv_table_t *self, int engine)
{
    uint32_t of = s_engine (self, engine);
    if (!of)
        return 0;
    size_t count = self->engine[of].count;
    while (self->engine[of].first)
        s_release (self, self->engine[of].first);
    return count;
}

size_t umbp_kv_table_forget (umbp_kv_table_t *self, int engine)
{
    uint32_t of = s_engine (self, engine);
    size_t count = umbp_kv_table_revoke_engine (self, engine);
    if (of)
        s_names_remove (&self->engines, of);
    return count;
}

size_t umbp_kv_table_match (const umbp_kv_table_t *self, const void *hash, size_t size,
                            umbp_kv_match_t *out, size_t max)
{
    if (s_check (size, UMBP_KV_HASH_BYTES_MAX))
        return 0;
    uint32_t name = s_names_find (&self->hashes, hash, size);
    uint32_t number = name ? self->firsts[name] : 0;
    size_t count = 0;
    for (; number && count < max; number = self->holdings[number].hash_next)
        out[count++] = (umbp_kv_match_t) { .engine = self->holdings[number].engine - 1,
                                           .tiers = self->holdings[number].tiers };
    return count;
}

static bool s_past (const umbp_kv_table_t *self, const hit_t *hit, uint64_t now_ms)
{
    return now_ms > hit->last_ms && now_ms - hit->last_ms >= self->hit_ttl_ms;
}

int umbp_kv_table_hit (umbp_kv_table_t *self, const void *hash, size_t size, uint64_t now_ms)
{
    int rc = s_check (size, UMBP_KV_HASH_BYTES_MAX);
    if (rc)
        return rc;
    uint32_t name = s_names_add (&self->hits, hash, size);
    if (!name)
        return UMBP_ENOSPC;
    hit_t *hit = self->hit + name;
    if (s_past (self, hit, now_ms))
        hit->count = 0;
    hit->count++;
    hit->last_ms = now_ms;
    return UMBP_OK;
}

uint64_t umbp_kv_table_hits (const umbp_kv_table_t *self, const void *hash, size_t size)
{
    if (s_check (size, UMBP_KV_HASH_BYTES_MAX))
        return 0;
    uint32_t name = s_names_find (&self->hits, hash, size);
    return name ? self->hit[name].count : 0;
}

size_t umbp_kv_table_gc (umbp_kv_table_t *self, uint64_t now_ms, size_t budget)
{
    if (budget > self->hits.top)
        budget = self->hits.top;        //  Once round is enough
    size_t count = 0;
    for (; budget > 0; budget--) {
        self->gc_next = self->gc_next < self->hits.top ? self->gc_next + 1 : 1;
        uint32_t name = self->gc_next;
        if (self->hits.names[name].bytes && s_past (self, self->hit + name, now_ms)) {
            s_names_remove (&self->hits, name);
            self->hit[name] = (hit_t) { 0 };         //  For the next owner of the number
            count++;
        }
    }
    return count;
}

size_t umbp_kv_table_count (const umbp_kv_table_t *self)
{
    return self->hashes.count;
}

size_t umbp_kv_table_engine_count (const umbp_kv_table_t *self, int engine)
{
    uint32_t of = s_engine (self, engine);
    return of ? self->engine[of].count : 0;
}

size_t umbp_kv_table_hit_count (const umbp_kv_table_t *self)
{
    return self->hits.count;
}

size_t umbp_kv_table_bytes (const umbp_kv_table_t *self)
{
    return sizeof *self + s_names_bytes (&self->hashes) + s_names_bytes (&self->hits)
           + s_names_bytes (&self->engines) + self->hashes.top * sizeof (uint32_t)
           + self->hits.top * sizeof (hit_t) + self->engines.top * sizeof (engine_t)
           + self->holding_top * sizeof (holding_t);
}
