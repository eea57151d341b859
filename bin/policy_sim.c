//  bin/policy_sim.c - a cache under a policy, see policy_sim.h. Blocks get numbers from 0 on, which are their items too.
#include "bin/policy_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/error.h"
#include "proto/splitmix.h"

#define NONE UINT32_MAX
#define HITS_PER_TICK 32                //  When hits are timed

typedef struct {
    uint64_t id;
    uint32_t at;                        //  Position in the trace
} use_t;

struct umbp_sim {
    uint32_t *starts;                   //  Of each request, and the end: positions
    uint32_t *blocks;                   //  By position: its block
    uint64_t *ids;                      //  By block
    uint32_t *parents;                  //  By block; NONE: begins a chain
    uint32_t *depths;                   //  By block
    uint32_t requests, positions, distinct;
};

//  ------------------------------------------------------------------------------------------------
//  Load

typedef struct {
    use_t *uses;
    size_t room;
} pile_t;

static bool s_take (umbp_sim_t *self, pile_t *pile, const umbp_request_t *request)
{
    size_t need = (size_t) self->positions + request->blocks;
    if (need > pile->room) {
        pile->room = need * 2;
        pile->uses = realloc (pile->uses, pile->room * sizeof *pile->uses);
    }
    if (self->requests % 1024 == 0)
        self->starts = realloc (self->starts, (self->requests + 1026) * sizeof *self->starts);
    if (need >= NONE / 2 || !pile->uses || !self->starts)
        return false;
    self->starts[self->requests++] = self->positions;
    for (uint32_t index = 0; index < request->blocks; index++, self->positions++)
        pile->uses[self->positions] = (use_t) { request->hash_ids[index], self->positions };
    self->starts[self->requests] = self->positions;
    return true;
}

static int s_compare (const void *one, const void *two)
{
    const use_t *a = one, *b = two;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

//  Number the blocks, and see who follows whom
static bool s_number (umbp_sim_t *self, pile_t *pile)
{
    qsort (pile->uses, self->positions, sizeof *pile->uses, s_compare);
    self->blocks = malloc (self->positions * sizeof *self->blocks);
    self->ids = malloc (self->positions * sizeof *self->ids);
    self->parents = malloc (self->positions * sizeof *self->parents);
    self->depths = malloc (self->positions * sizeof *self->depths);
    if (!self->blocks || !self->ids || !self->parents || !self->depths)
        return false;
    for (uint32_t index = 0; index < self->positions; index++) {
        if (index == 0 || pile->uses[index].id != pile->uses[index - 1].id)
            self->ids[self->distinct++] = pile->uses[index].id;
        self->blocks[pile->uses[index].at] = self->distinct - 1;
    }
    for (uint32_t request = 0; request < self->requests; request++)
        for (uint32_t at = self->starts[request]; at < self->starts[request + 1]; at++) {
            bool first = at == self->starts[request];
            self->parents[self->blocks[at]] = first ? NONE : self->blocks[at - 1];
            self->depths[self->blocks[at]] = at - self->starts[request];
        }
    return true;
}

umbp_sim_t *umbp_sim_new (umbp_workload_t *workload, uint64_t requests_max, char *error,
                          size_t error_size)
{
    umbp_sim_t *self = calloc (1, sizeof *self);
    pile_t pile = { 0 };
    umbp_request_t request;
    int rc = self ? 1 : UMBP_EAGAIN;
    while (rc > 0 && self->requests < requests_max
           && (rc = umbp_workload_next (workload, &request, error, error_size)) > 0)
        if (!s_take (self, &pile, &request))
            rc = UMBP_EAGAIN;
    if (rc >= 0 && (self->positions == 0 || !s_number (self, &pile)))
        rc = UMBP_EAGAIN;
    if (rc == UMBP_EAGAIN)
        snprintf (error, error_size, "no blocks in it, more than 2^31, or out of memory");
    free (pile.uses);
    if (rc < 0)
        umbp_sim_destroy (&self);
    return self;
}

void umbp_sim_destroy (umbp_sim_t **self_p)
{
    umbp_sim_t *self = *self_p;
    if (!self)
        return;
    free (self->starts);
    free (self->blocks);
    free (self->ids);
    free (self->parents);
    free (self->depths);
    free (self);
    *self_p = NULL;
}

uint32_t umbp_sim_distinct (const umbp_sim_t *self)
{
    return self->distinct;
}

//  ------------------------------------------------------------------------------------------------
//  What is there

typedef struct {
    const umbp_sim_t *sim;
    uint8_t *here;                      //  By block
    uint32_t *children;                 //  By block: how many of those that follow it are there
    uint32_t count, capacity;
    uint64_t orphans;
    double orphan_shares;
    umbp_sim_result_t *result;
} cache_t;

static bool s_begin (cache_t *cache, const umbp_sim_t *sim, uint32_t capacity,
                     umbp_sim_result_t *result)
{
    *result = (umbp_sim_result_t) { .requests = sim->requests, .blocks = sim->positions };
    *cache = (cache_t) { .sim = sim, .capacity = capacity ? capacity : 1, .result = result };
    cache->here = calloc (sim->distinct, sizeof *cache->here);
    cache->children = calloc (sim->distinct, sizeof *cache->children);
    if (cache->here && cache->children)
        return true;
    free (cache->here);
    free (cache->children);
    return false;
}

static void s_end (cache_t *cache)
{
    free (cache->here);
    free (cache->children);
    cache->result->orphans = cache->orphan_shares / cache->sim->requests;
}

static bool s_is_orphan (const cache_t *cache, uint32_t block)
{
    uint32_t parent = cache->sim->parents[block];
    return parent != NONE && !cache->here[parent];
}

static void s_enter (cache_t *cache, uint32_t block)
{
    uint32_t parent = cache->sim->parents[block];
    cache->here[block] = 1;
    cache->count++;
    cache->orphans -= cache->children[block];
    cache->orphans += s_is_orphan (cache, block);
    if (parent != NONE)
        cache->children[parent]++;
}

static void s_leave (cache_t *cache, uint32_t block)
{
    uint32_t parent = cache->sim->parents[block];
    cache->here[block] = 0;
    cache->count--;
    cache->result->evicted++;
    cache->orphans += cache->children[block];
    cache->orphans -= s_is_orphan (cache, block);
    if (parent != NONE)
        cache->children[parent]--;
}

//  Count what a request finds
static void s_look (cache_t *cache, uint32_t request)
{
    const umbp_sim_t *sim = cache->sim;
    bool whole = true;
    for (uint32_t at = sim->starts[request]; at < sim->starts[request + 1]; at++) {
        bool here = cache->here[sim->blocks[at]];
        whole = whole && here;
        cache->result->prefix += whole;
        cache->result->hits += here;
    }
    if (cache->count)
        cache->orphan_shares += (double) cache->orphans / cache->count;
}

//  ------------------------------------------------------------------------------------------------
//  Policies

static void s_make_room (cache_t *cache, umbp_policy_t *policy)
{
    uint32_t victim;
    if (cache->count < cache->capacity)
        return;
    size_t count = umbp_policy_victims (policy, 1, NULL, NULL, &victim);
    if (count == 0)
        abort ();                       //  Nothing is held here
    uint64_t state = cache->sim->ids[victim], print = umbp_splitmix (&state);
    umbp_policy_remove (policy, victim, &print);
    s_leave (cache, victim);
}

int umbp_sim_run (const umbp_sim_t *self, const char *name, uint32_t capacity,
                  umbp_sim_result_t *result)
{
    cache_t cache;
    umbp_policy_t *policy = umbp_policy_new (name);
    if (!policy || umbp_policy_resize (policy, self->distinct) < 0
        || !s_begin (&cache, self, capacity, result)) {
        umbp_policy_destroy (&policy);
        return UMBP_EINVAL;
    }
    for (uint32_t request = 0; request < self->requests; request++) {
        s_look (&cache, request);
        for (uint32_t at = self->starts[request + 1]; at-- > self->starts[request];) {
            uint32_t block = self->blocks[at];
            if (cache.here[block]) {
                umbp_policy_hit (policy, block, request + 1);
                continue;
            }
            s_make_room (&cache, policy);
            uint64_t state = self->ids[block], print = umbp_splitmix (&state);
            umbp_policy_add (policy, block, print, self->depths[block], request + 1,
                             UMBP_POLICY_HINT_NONE);
            s_enter (&cache, block);
        }
    }
    result->stats = umbp_policy_stats (policy);
    s_end (&cache);
    umbp_policy_destroy (&policy);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Belady

typedef struct {
    uint64_t rank;                      //  Request of the next use, then the depth
    uint32_t block;
} rank_t;

typedef struct {
    rank_t *at;                         //  A heap, the greatest first; may hold old ranks of a block
    size_t count;
} heap_t;

static void s_push (heap_t *heap, rank_t rank)
{
    size_t at = heap->count++;
    for (; at > 0 && heap->at[(at - 1) / 2].rank < rank.rank; at = (at - 1) / 2)
        heap->at[at] = heap->at[(at - 1) / 2];
    heap->at[at] = rank;
}

static rank_t s_pop (heap_t *heap)
{
    rank_t top = heap->at[0], last = heap->at[--heap->count];
    size_t at = 0;
    while (2 * at + 1 < heap->count) {
        size_t child = 2 * at + 1;
        if (child + 1 < heap->count && heap->at[child + 1].rank > heap->at[child].rank)
            child++;
        if (heap->at[child].rank <= last.rank)
            break;
        heap->at[at] = heap->at[child];
        at = child;
    }
    heap->at[at] = last;
    return top;
}

//  By position: the rank of its block from then on
static uint64_t *s_future (const umbp_sim_t *self)
{
    uint64_t *ranks = malloc (self->positions * sizeof *ranks);
    uint32_t *next = malloc (self->distinct * sizeof *next);
    if (ranks && next)
        memset (next, 0xff, self->distinct * sizeof *next);
    for (uint32_t request = self->requests; ranks && next && request-- > 0;)
        for (uint32_t at = self->starts[request]; at < self->starts[request + 1]; at++) {
            uint32_t block = self->blocks[at];
            ranks[at] = (uint64_t) next[block] << 32 | self->depths[block];
            next[block] = request;
        }
    if (!next) {
        free (ranks);
        ranks = NULL;
    }
    free (next);
    return ranks;
}

void umbp_sim_belady (const umbp_sim_t *self, uint32_t capacity, umbp_sim_result_t *result)
{
    cache_t cache;
    uint64_t *future = s_future (self), *current = calloc (self->distinct, sizeof *current);
    heap_t heap = { calloc (self->positions, sizeof (rank_t)), 0 };
    bool begun = s_begin (&cache, self, capacity, result);
    bool fine = begun && future && current && heap.at;
    for (uint32_t request = 0; fine && request < self->requests; request++) {
        s_look (&cache, request);
        for (uint32_t at = self->starts[request + 1]; at-- > self->starts[request];) {
            uint32_t block = self->blocks[at];
            while (!cache.here[block] && cache.count >= cache.capacity) {
                rank_t top = s_pop (&heap);
                if (cache.here[top.block] && current[top.block] == top.rank)
                    s_leave (&cache, top.block);
            }
            if (!cache.here[block])
                s_enter (&cache, block);
            current[block] = future[at];
            s_push (&heap, (rank_t) { future[at], block });
        }
    }
    if (begun)
        s_end (&cache);
    free (heap.at);
    free (current);
    free (future);
}

//  ------------------------------------------------------------------------------------------------
//  The hit path

double umbp_sim_hit_ns (const char *name, uint32_t items, uint64_t hits)
{
    umbp_policy_t *policy = umbp_policy_new (name);
    if (!policy || umbp_policy_resize (policy, items) < 0)
        return 0;
    for (uint32_t item = 0; item < items; item++)
        umbp_policy_add (policy, item, item + 1, item % HITS_PER_TICK, item / HITS_PER_TICK + 1,
                         UMBP_POLICY_HINT_NONE);
    struct timespec begin, end;
    uint64_t state = 1, tick = items;
    clock_gettime (CLOCK_MONOTONIC, &begin);
    for (uint64_t hit = 0; hit < hits; hit++) {
        tick += hit % HITS_PER_TICK == 0;
        uint64_t number = umbp_splitmix (&state) >> 32;
        umbp_policy_hit (policy, (uint32_t) (number * items >> 32), tick);
    }
    clock_gettime (CLOCK_MONOTONIC, &end);
    umbp_policy_destroy (&policy);
    double ns = (double) (end.tv_sec - begin.tv_sec) * 1e9 + (double) (end.tv_nsec - begin.tv_nsec);
    return hits ? ns / (double) hits : 0;
}
