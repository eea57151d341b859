//  cluster/bulk/copy.c - copies and checksums. See copy.h.
//
//  One long run goes through parts.h: one pass, loads that serve both. All else is taken in chunks
//  that fit the first-level cache twice: the sum pulls a chunk in, the copy then reads it from there. Debian's libxxhash is built for plain x86-64, and has the AVX2 and
//  AVX-512 code behind its *_dispatch functions, which choose at run time.
#define XXH_STATIC_LINKING_ONLY         //  For the size of the state
#include <xxhash.h>

#include "cluster/bulk/copy.h"

#include "cluster/bulk/parts.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <immintrin.h>
#include <xxh_x86dispatch.h>
#define s_xxh3 XXH3_64bits_dispatch
#define s_xxh3_update XXH3_64bits_update_dispatch
#else
#define s_xxh3 XXH3_64bits
#define s_xxh3_update XXH3_64bits_update
#endif

#define CHUNK_BYTES ((size_t) 8 * 1024)
#define LONG_MIN ((size_t) 64 * 1024)   //  Summed in parts: of fewer bytes libxxhash is as fast
#define LINE_BYTES 64

typedef struct {
    XXH3_state_t xxh3;
    bool stream;                        //  Copies go past the caches
} state_t;

_Static_assert(sizeof (state_t) <= sizeof (umbp_sum_t), "umbp_sum_t is too small");
_Static_assert(_Alignof(state_t) <= _Alignof(umbp_sum_t), "umbp_sum_t is not aligned enough");

#if defined(__x86_64__)
//  dst is on a cache line, size a multiple of one
__attribute__ ((target ("avx512f"))) static void s_stream_avx512 (char *dst, const char *src,
                                                                  size_t size)
{
    for (size_t at = 0; at < size; at += LINE_BYTES)
        _mm512_stream_si512 ((void *) (dst + at), _mm512_loadu_si512 ((const void *) (src + at)));
}

__attribute__ ((target ("avx2"))) static void s_stream_avx2 (char *dst, const char *src,
                                                             size_t size)
{
    for (size_t at = 0; at < size; at += LINE_BYTES) {
        __m256i low = _mm256_loadu_si256 ((const void *) (src + at));
        __m256i high = _mm256_loadu_si256 ((const void *) (src + at + 32));
        _mm256_stream_si256 ((void *) (dst + at), low);
        _mm256_stream_si256 ((void *) (dst + at + 32), high);
    }
}

static bool s_can_stream (void)
{
    return __builtin_cpu_supports ("avx2");
}

//  Copy past the caches; what does not fill a line goes the usual way
static void s_stream (void *dst, const void *src, size_t size)
{
    char *to = dst;
    const char *from = src;
    size_t head = -(uintptr_t) to % LINE_BYTES;
    if (head > size)
        head = size;
    memcpy (to, from, head);
    size_t body = (size - head) / LINE_BYTES * LINE_BYTES;
    if (__builtin_cpu_supports ("avx512f"))
        s_stream_avx512 (to + head, from + head, body);
    else
        s_stream_avx2 (to + head, from + head, body);
    memcpy (to + head + body, from + head + body, size - head - body);
}

//  Streamed stores are ordered with nothing: without this another thread, told that the block is
//  there, might still see old bytes
static void s_stream_end (void)
{
    _mm_sfence ();
}
#else
static bool s_can_stream (void)
{
    return false;
}

static void s_stream (void *dst, const void *src, size_t size)
{
    memcpy (dst, src, size);
}

static void s_stream_end (void)
{
}
#endif

//  A long run, in one pass; dst may be NULL
static uint64_t s_long (void *dst, const void *src, size_t size, bool past)
{
    size_t count = umbp_parts_count (size), at = count * UMBP_PART_BYTES;
    umbp_part_t sum;
    umbp_parts_begin (&sum);
    umbp_parts_chain (&sum, dst, src, count, past && size >= UMBP_COPY_STREAM_MIN);
    uint8_t last[UMBP_PARTS_LAST];      //  Ours, so that what is summed of it is what is copied
    memcpy (last, (const uint8_t *) src + size - sizeof last, sizeof last);
    if (dst)
        memcpy ((uint8_t *) dst + at, last + sizeof last - (size - at), size - at);
    return umbp_parts_end (&sum, last, size);
}

static bool s_is_long (size_t size)
{
    return size >= LONG_MIN && umbp_parts_are_fast ();
}

uint64_t umbp_sum (const void *data, size_t size)
{
    return s_is_long (size) ? s_long (NULL, data, size, false) : s_xxh3 (data, size);
}

uint64_t umbp_copy_sum (void *dst, const void *src, size_t size, bool past)
{
    if (size <= CHUNK_BYTES) {
        if (size)
            memcpy (dst, src, size);
        return s_xxh3 (src, size);
    }
    if (s_is_long (size))
        return s_long (dst, src, size, past);
    umbp_sum_t sum;
    umbp_sum_init (&sum, past ? size : 0);
    umbp_sum_copy (&sum, dst, src, size);
    return umbp_sum_final (&sum);
}

void umbp_sum_init (umbp_sum_t *self, uint64_t total)
{
    state_t *state = (state_t *) self;
    XXH3_64bits_reset (&state->xxh3);
    state->stream = total >= UMBP_COPY_STREAM_MIN && s_can_stream ();
}

void umbp_sum_update (umbp_sum_t *self, const void *data, size_t size)
{
    state_t *state = (state_t *) self;
    s_xxh3_update (&state->xxh3, data, size);
}

void umbp_sum_copy (umbp_sum_t *self, void *dst, const void *src, size_t size)
{
    state_t *state = (state_t *) self;
    for (size_t at = 0; at < size;) {
        size_t bytes = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
        s_xxh3_update (&state->xxh3, (const char *) src + at, bytes);
        if (state->stream)
            s_stream ((char *) dst + at, (const char *) src + at, bytes);
        else
            memcpy ((char *) dst + at, (const char *) src + at, bytes);
        at += bytes;
    }
    if (state->stream)
        s_stream_end ();
}

uint64_t umbp_sum_final (const umbp_sum_t *self)
{
    return XXH3_64bits_digest (&((const state_t *) self)->xxh3);
}
