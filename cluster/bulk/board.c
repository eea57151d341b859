//  cluster/bulk/board.c - the notice board of a tier. See board.h.
//
//  A header of one page; then for each bucket a line of 8 tags, the hashes of its keys, so that a key
//  that is not there costs two lines of cache; then the notices, 8 to a bucket. A key may be in either
//  of two buckets, so that hardly any overflows before the board is full. (Y. Azar et al., "Balanced
//  Allocations", SIAM J. Comput. 29(1), 1999.)
#include "cluster/bulk/board.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <xxhash.h>

#define MAGIC UINT64_C (0x3130445242424d55)         //  "UMBBRD01"
#define HEADER_BYTES 4096
#define WAYS 8                          //  Notices in a bucket
#define CHOICES 2                       //  Buckets a key may be in: the emptier one takes it
#define NOTICES_MIN 1024
#define NOTICES_MAX (UINT32_C (1) << 22)
#define LOOKS_MAX 4                     //  Tries to see a notice that does not change meanwhile
#define AT_ONCE 32                      //  Keys whose lines are fetched together

typedef _Atomic uint64_t word_t;

static_assert (sizeof (word_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2,
               "words are shared between processes");

typedef struct {
    uint64_t magic, seed;
    uint64_t buckets;                   //  A power of two
} header_t;

enum {                                  //  Words of a notice
    VERSION,
    SUM,
    SHAPE,                              //  size, key_size, extent_count: 32, 16, 16 bits
    ITEM,
    PLACES,                             //  Two words an extent: region and page, count
    KEY = PLACES + 2 * UMBP_BOARD_EXTENTS_MAX,
    WORDS = KEY + UMBP_BOARD_KEY_MAX / 8,
};

static_assert (WORDS == 32, "a notice takes four lines of cache");

struct umbp_board {
    umbp_region_t *region;
    size_t count;
};

static word_t *s_tags (const void *base, uint64_t bucket)
{
    return (word_t *) ((uint8_t *) base + HEADER_BYTES) + bucket * WAYS;
}

static word_t *s_notice (const void *base, uint64_t notice)
{
    uint64_t buckets = ((const header_t *) base)->buckets;
    return s_tags (base, buckets) + notice * WORDS;
}

static size_t s_bytes (uint64_t buckets)
{
    return HEADER_BYTES + buckets * WAYS * sizeof (word_t) * (1 + WORDS);
}

//  ThreadSanitizer knows nothing of fences, which gcc warns of; all words here are atomic, so it need not
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

static uint64_t s_load (const word_t *word)
{
    return atomic_load_explicit (word, memory_order_relaxed);
}

static void s_store (word_t *word, uint64_t value)
{
    atomic_store_explicit (word, value, memory_order_relaxed);
}

//  Never 0, which is no tag
static uint64_t s_tag (const void *base, const void *key, size_t key_size)
{
    return XXH3_64bits_withSeed (key, key_size, ((const header_t *) base)->seed) | 1;
}

static uint64_t s_bucket (const void *base, uint64_t tag, int choice)
{
    return tag >> (choice == 0 ? 16 : 40) & (((const header_t *) base)->buckets - 1);
}

//  The number of the next notice with that tag, from *from on, which counts through the buckets it
//  may be in. Returns false if there is none.
static bool s_next (const void *base, uint64_t tag, size_t *from, uint32_t *notice)
{
    while (*from < CHOICES * WAYS) {
        uint64_t bucket = s_bucket (base, tag, (int) (*from / WAYS));
        const word_t *tags = s_tags (base, bucket);
        size_t way = *from % WAYS;
        while (way < WAYS && s_load (&tags[way]) != tag)
            way++;
        *from += way - *from % WAYS;
        if (way == WAYS)
            continue;
        *notice = (uint32_t) (bucket * WAYS + way);
        (*from)++;
        return true;
    }
    return false;
}

//  The word of a key that begins at a byte, with zeros behind its end
static uint64_t s_key_word (const void *key, size_t key_size, size_t at)
{
    uint64_t word = 0;
    size_t left = key_size - at;
    memcpy (&word, (const uint8_t *) key + at, left < sizeof word ? left : sizeof word);
    return word;
}

static uint64_t s_shape (uint32_t size, size_t key_size, size_t extent_count)
{
    return (uint64_t) size << 32 | key_size << 16 | extent_count;
}

static bool s_is_key (const word_t *notice, const void *key, size_t key_size)
{
    if ((uint16_t) (s_load (&notice[SHAPE]) >> 16) != key_size)
        return false;
    for (size_t at = 0; at < key_size; at += sizeof (uint64_t))
        if (s_load (&notice[KEY + at / sizeof (uint64_t)]) != s_key_word (key, key_size, at))
            return false;
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  The owner's

umbp_board_t *umbp_board_new (uint64_t pages)
{
    uint64_t notices = NOTICES_MIN;
    while (notices < pages && notices < NOTICES_MAX)
        notices *= 2;
    umbp_board_t *self = calloc (1, sizeof (umbp_board_t));
    if (!self)
        return NULL;
    self->region = umbp_region_new ("umbp-board", s_bytes (notices / WAYS), false, false, NULL);
    if (!self->region) {
        free (self);
        return NULL;
    }
    header_t *header = umbp_region_base (self->region);
    header->buckets = notices / WAYS;
    if (getrandom (&header->seed, sizeof header->seed, 0) != sizeof header->seed)
        header->seed = (uint64_t) time (NULL);      //  It spreads keys, and keeps no secret
    header->magic = MAGIC;
    return self;
}

void umbp_board_destroy (umbp_board_t **self_p)
{
    umbp_board_t *self = *self_p;
    if (!self)
        return;
    umbp_region_destroy (&self->region);
    free (self);
    *self_p = NULL;
}

const umbp_region_t *umbp_board_region (const umbp_board_t *self)
{
    return self->region;
}

size_t umbp_board_count (const umbp_board_t *self)
{
    return self->count;
}

static void s_write (word_t *notice, const void *key, size_t key_size, const umbp_notice_t *block)
{
    s_store (&notice[SUM], block->sum);
    s_store (&notice[SHAPE], s_shape (block->size, key_size, block->extent_count));
    s_store (&notice[ITEM], block->item);
    for (size_t index = 0; index < block->extent_count; index++) {
        const umbp_extent_t *extent = &block->extents[index];
        s_store (&notice[PLACES + 2 * index], (uint64_t) extent->region << 32 | extent->page);
        s_store (&notice[PLACES + 2 * index + 1], extent->count);
    }
    for (size_t at = 0; at < key_size; at += sizeof (uint64_t))
        s_store (&notice[KEY + at / sizeof (uint64_t)], s_key_word (key, key_size, at));
}

//  Nobody believes the notice from here to s_close
static uint64_t s_open (word_t *notice)
{
    uint64_t version = s_load (&notice[VERSION]);
    s_store (&notice[VERSION], version + 1);
    atomic_thread_fence (memory_order_release);
    return version;
}

static void s_close (word_t *notice, uint64_t version)
{
    atomic_store_explicit (&notice[VERSION], version + 2, memory_order_release);
}

//  A free place for a key, in the emptier of its buckets
static bool s_room (const void *base, uint64_t tag, uint64_t *place)
{
    size_t most = 0;
    for (int choice = 0; choice < CHOICES; choice++) {
        uint64_t bucket = s_bucket (base, tag, choice), last = 0;
        size_t free_ways = 0;
        for (size_t way = 0; way < WAYS; way++)
            if (s_load (&s_tags (base, bucket)[way]) == 0) {
                free_ways++;
                last = bucket * WAYS + way;
            }
        if (free_ways > most) {
            most = free_ways;
            *place = last;
        }
    }
    return most > 0;
}

bool umbp_board_add (umbp_board_t *self, const void *key, size_t key_size,
                     const umbp_notice_t *block)
{
    if (key_size == 0 || key_size > UMBP_BOARD_KEY_MAX || block->extent_count == 0
        || block->extent_count > UMBP_BOARD_EXTENTS_MAX)
        return false;
    void *base = umbp_region_base (self->region);
    uint64_t tag = s_tag (base, key, key_size), place;
    if (!s_room (base, tag, &place))
        return false;
    word_t *notice = s_notice (base, place);
    uint64_t version = s_open (notice);
    s_write (notice, key, key_size, block);
    s_close (notice, version);
    s_store (s_tags (base, 0) + place, tag);
    self->count++;
    return true;
}

void umbp_board_drop (umbp_board_t *self, const void *key, size_t key_size)
{
    if (key_size == 0 || key_size > UMBP_BOARD_KEY_MAX)
        return;
    void *base = umbp_region_base (self->region);
    uint64_t tag = s_tag (base, key, key_size);
    uint32_t place;
    for (size_t from = 0; s_next (base, tag, &from, &place);) {
        word_t *notice = s_notice (base, place);
        if (!s_is_key (notice, key, key_size))
            continue;
        s_store (s_tags (base, 0) + place, 0);
        uint64_t version = s_open (notice);
        s_store (&notice[SHAPE], 0);
        s_close (notice, version);
        atomic_thread_fence (memory_order_seq_cst);     //  Before the pages go to another block
        self->count--;
        return;
    }
}

//  ------------------------------------------------------------------------------------------------
//  The reader's

bool umbp_board_check (const void *base, size_t bytes)
{
    const header_t *header = base;
    return bytes >= HEADER_BYTES && header->magic == MAGIC && header->buckets > 0
           && header->buckets <= NOTICES_MAX / WAYS
           && (header->buckets & (header->buckets - 1)) == 0 && s_bytes (header->buckets) <= bytes;
}

//  What a notice says, if it is about the key. Returns false if it is not; *changed says that it
//  changed meanwhile, and is worth another look.
static bool s_read (const word_t *notice, const void *key, size_t key_size, umbp_notice_t *found,
                    bool *changed)
{
    found->version = atomic_load_explicit (&notice[VERSION], memory_order_acquire);
    bool same = s_is_key (notice, key, key_size);
    uint64_t shape = s_load (&notice[SHAPE]);
    found->sum = s_load (&notice[SUM]);
    found->item = (uint32_t) s_load (&notice[ITEM]);
    found->size = (uint32_t) (shape >> 32);
    found->extent_count = (uint16_t) shape;
    for (size_t index = 0; index < UMBP_BOARD_EXTENTS_MAX; index++) {
        uint64_t place = s_load (&notice[PLACES + 2 * index]);
        uint64_t count = s_load (&notice[PLACES + 2 * index + 1]);
        found->extents[index] =
            (umbp_extent_t) { (uint16_t) (place >> 32), (uint32_t) place, (uint32_t) count, 0 };
    }
    atomic_thread_fence (memory_order_acquire);
    *changed = found->version % 2 == 1 || s_load (&notice[VERSION]) != found->version;
    return same && !*changed && found->extent_count > 0
           && found->extent_count <= UMBP_BOARD_EXTENTS_MAX;
}

bool umbp_board_look (const void *base, const void *key, size_t key_size, umbp_notice_t *found)
{
    if (key_size == 0 || key_size > UMBP_BOARD_KEY_MAX)
        return false;
    uint64_t tag = s_tag (base, key, key_size);
    for (size_t from = 0; s_next (base, tag, &from, &found->notice);) {
        bool changed = true;
        for (int look = 0; look < LOOKS_MAX && changed; look++)
            if (s_read (s_notice (base, found->notice), key, key_size, found, &changed))
                return true;
    }
    return false;
}

//  Whether a notice is up, and about the key. One that changes just now is as none.
static bool s_shows (const word_t *notice, const void *key, size_t key_size)
{
    uint64_t version = atomic_load_explicit (&notice[VERSION], memory_order_acquire);
    bool same = s_is_key (notice, key, key_size) && (uint16_t) s_load (&notice[SHAPE]) > 0;
    atomic_thread_fence (memory_order_acquire);
    return same && version % 2 == 0 && s_load (&notice[VERSION]) == version;
}

//  What will be read of a notice, for a key of that size
static void s_fetch_notice (const void *base, uint32_t place, size_t key_size)
{
    const word_t *notice = s_notice (base, place);
    for (size_t word = 0; word < KEY + key_size / sizeof (word_t); word += WAYS)
        __builtin_prefetch ((const void *) &notice[word]);
}

//  By its whole key, among all notices that may be about it
static bool s_has (const void *base, const umbp_board_probe_t *probe)
{
    uint32_t place;
    bool there = false;
    for (size_t from = 0; !there && s_next (base, probe->tag, &from, &place);)
        there = s_shows (s_notice (base, place), probe->key, probe->key_size);
    return there;
}

static void s_find_some (const void *base, umbp_board_probe_t *probes, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        umbp_board_probe_t *probe = &probes[index];
        probe->tag = s_tag (base, probe->key, probe->key_size);
        for (int choice = 0; choice < CHOICES; choice++)
            __builtin_prefetch ((const void *) s_tags (base, s_bucket (base, probe->tag, choice)));
    }
    for (size_t index = 0; index < count; index++) {
        umbp_board_probe_t *probe = &probes[index];
        size_t from = 0;
        probe->there = probe->key_size > 0 && probe->key_size <= UMBP_BOARD_KEY_MAX
                       && s_next (base, probe->tag, &from, &probe->place);
        if (probe->there)
            s_fetch_notice (base, probe->place, probe->key_size);
    }
    for (size_t index = 0; index < count; index++) {
        umbp_board_probe_t *probe = &probes[index];
        if (probe->there)               //  So its tag says
            probe->there = s_shows (s_notice (base, probe->place), probe->key, probe->key_size)
                           || s_has (base, probe);
    }
}

void umbp_board_find (const void *base, umbp_board_probe_t *probes, size_t count)
{
    for (size_t at = 0; at < count; at += AT_ONCE)
        s_find_some (base, probes + at, count - at < AT_ONCE ? count - at : AT_ONCE);
}

bool umbp_board_still (const void *base, const umbp_notice_t *found)
{
    atomic_thread_fence (memory_order_acquire);
    return s_load (&s_notice (base, found->notice)[VERSION]) == found->version;
}
