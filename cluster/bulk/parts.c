//  cluster/bulk/parts.c - XXH3-64 in parts. See parts.h, and for the names of the steps
//  doc/xxhash_spec.md of xxHash, "XXH3 algorithm for large inputs".
//
//  The source is fetched a page ahead: prefetchers of processors stop at the end of a page of 4 KiB,
//  and a block of 2 MiB has 512 of those. That alone is worth a fifth of the speed.
#include "cluster/bulk/parts.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define STRIPE_BYTES 64
#define STRIPES 16                      //  In a part
#define AHEAD_BYTES 4096

#define PRIME32_1 UINT64_C (0x9e3779b1)
#define PRIME32_2 UINT64_C (0x85ebca77)
#define PRIME32_3 UINT64_C (0xc2b2ae3d)
#define PRIME64_1 UINT64_C (0x9e3779b185ebca87)
#define PRIME64_2 UINT64_C (0xc2b2ae3d27d4eb4f)
#define PRIME64_3 UINT64_C (0x165667b19e3779f9)
#define PRIME64_4 UINT64_C (0x85ebca77c2b2ae63)
#define PRIME64_5 UINT64_C (0x27d4eb2f165667c5)
#define PRIME_MX1 UINT64_C (0x165667919e3779f9)

//  Offsets in the secret
#define SCRAMBLE_AT 128
#define LAST_STRIPE_AT 121
#define MERGE_AT 11

//  The default secret
static const uint8_t s_secret[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

typedef enum { STORE_NONE, STORE_PLAIN, STORE_PAST } store_t;

static uint64_t s_read (const uint8_t *from)
{
    uint64_t value;
    memcpy (&value, from, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64 (value);
#endif
    return value;
}

//  ------------------------------------------------------------------------------------------------
//  One part. Each of these adds it to lanes that are 0, and copies it.

static void s_stripe (uint64_t *lanes, const uint8_t *from, const uint8_t *secret)
{
    for (size_t lane = 0; lane < 8; lane++) {
        uint64_t value = s_read (from + 8 * lane), key = value ^ s_read (secret + 8 * lane);
        lanes[lane ^ 1] += value;
        lanes[lane] += (key & UINT32_MAX) * (key >> 32);
    }
}

static void s_part_plain (umbp_part_t *part, uint8_t *to, const uint8_t *from, store_t store)
{
    *part = (umbp_part_t){ { 0 } };
    for (size_t stripe = 0; stripe < STRIPES; stripe++)
        s_stripe (part->lanes, from + stripe * STRIPE_BYTES, s_secret + 8 * stripe);
    if (store != STORE_NONE)
        memcpy (to, from, UMBP_PART_BYTES);
}

#if defined(__x86_64__)
__attribute__ ((target ("avx512f"), always_inline)) static inline void s_run_avx512 (
    umbp_part_t *part, uint8_t *to, const uint8_t *from, store_t store)
{
    __m512i lanes = _mm512_setzero_si512 ();
    for (size_t stripe = 0; stripe < STRIPES; stripe++) {
        size_t at = stripe * STRIPE_BYTES;
        _mm_prefetch ((const char *) from + at + AHEAD_BYTES, _MM_HINT_T0);
        __m512i value = _mm512_loadu_si512 (from + at);
        if (store == STORE_PAST)
            _mm512_stream_si512 ((void *) (to + at), value);
        else if (store == STORE_PLAIN)
            _mm512_storeu_si512 (to + at, value);
        __m512i key = _mm512_xor_si512 (value, _mm512_loadu_si512 (s_secret + 8 * stripe));
        __m512i product = _mm512_mul_epu32 (key, _mm512_srli_epi64 (key, 32));
        __m512i swapped = _mm512_shuffle_epi32 (value, (_MM_PERM_ENUM) _MM_SHUFFLE (1, 0, 3, 2));
        lanes = _mm512_add_epi64 (product, _mm512_add_epi64 (lanes, swapped));
    }
    _mm512_storeu_si512 (part->lanes, lanes);
}

__attribute__ ((target ("avx512f"))) static void s_part_avx512 (umbp_part_t *part, uint8_t *to,
                                                                const uint8_t *from, store_t store)
{
    switch (store) {
    case STORE_NONE: s_run_avx512 (part, to, from, STORE_NONE); return;
    case STORE_PLAIN: s_run_avx512 (part, to, from, STORE_PLAIN); return;
    case STORE_PAST: s_run_avx512 (part, to, from, STORE_PAST); return;
    }
}

__attribute__ ((target ("avx2"), always_inline)) static inline __m256i s_half_avx2 (
    __m256i lanes, uint8_t *to, const uint8_t *from, const uint8_t *secret, store_t store)
{
    __m256i value = _mm256_loadu_si256 ((const void *) from);
    if (store == STORE_PAST)
        _mm256_stream_si256 ((void *) to, value);
    else if (store == STORE_PLAIN)
        _mm256_storeu_si256 ((void *) to, value);
    __m256i key = _mm256_xor_si256 (value, _mm256_loadu_si256 ((const void *) secret));
    __m256i product = _mm256_mul_epu32 (key, _mm256_srli_epi64 (key, 32));
    __m256i swapped = _mm256_shuffle_epi32 (value, _MM_SHUFFLE (1, 0, 3, 2));
    return _mm256_add_epi64 (product, _mm256_add_epi64 (lanes, swapped));
}

__attribute__ ((target ("avx2"), always_inline)) static inline void s_run_avx2 (umbp_part_t *part,
                                                                                uint8_t *to,
                                                                                const uint8_t *from,
                                                                                store_t store)
{
    __m256i low = _mm256_setzero_si256 (), high = low;
    for (size_t stripe = 0; stripe < STRIPES; stripe++) {
        size_t at = stripe * STRIPE_BYTES;
        const uint8_t *secret = s_secret + 8 * stripe;
        _mm_prefetch ((const char *) from + at + AHEAD_BYTES, _MM_HINT_T0);
        low = s_half_avx2 (low, to + at, from + at, secret, store);
        high = s_half_avx2 (high, to + at + 32, from + at + 32, secret + 32, store);
    }
    _mm256_storeu_si256 ((void *) part->lanes, low);
    _mm256_storeu_si256 ((void *) (part->lanes + 4), high);
}

__attribute__ ((target ("avx2"))) static void s_part_avx2 (umbp_part_t *part, uint8_t *to,
                                                           const uint8_t *from, store_t store)
{
    switch (store) {
    case STORE_NONE: s_run_avx2 (part, to, from, STORE_NONE); return;
    case STORE_PLAIN: s_run_avx2 (part, to, from, STORE_PLAIN); return;
    case STORE_PAST: s_run_avx2 (part, to, from, STORE_PAST); return;
    }
}
#endif

typedef void (part_fn) (umbp_part_t *part, uint8_t *to, const uint8_t *from, store_t store);

static part_fn *s_choose (void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports ("avx512f"))
        return s_part_avx512;
    if (__builtin_cpu_supports ("avx2"))
        return s_part_avx2;
#endif
    return s_part_plain;
}

bool umbp_parts_are_fast (void)
{
    return s_choose () != s_part_plain;
}

//  Streamed stores want whole lines, and are ordered with nothing: without the fence another thread,
//  told that the block is there, might still see old bytes
static store_t s_store (const void *dst, bool stream)
{
    if (!dst)
        return STORE_NONE;
    return stream && (uintptr_t) dst % STRIPE_BYTES == 0 ? STORE_PAST : STORE_PLAIN;
}

static void s_fence (store_t store)
{
#if defined(__x86_64__)
    if (store == STORE_PAST)
        _mm_sfence ();
#else
    (void) store;
#endif
}

//  ------------------------------------------------------------------------------------------------
//  Many parts

static void s_scramble (uint64_t *lanes)
{
    for (size_t lane = 0; lane < 8; lane++) {
        uint64_t value = lanes[lane];
        value ^= value >> 47;
        value ^= s_read (s_secret + SCRAMBLE_AT + 8 * lane);
        lanes[lane] = value * PRIME32_1;
    }
}

static void s_add (umbp_part_t *sum, const umbp_part_t *part)
{
    for (size_t lane = 0; lane < 8; lane++)
        sum->lanes[lane] += part->lanes[lane];
    s_scramble (sum->lanes);
}

void umbp_parts_take (umbp_part_t *parts, void *dst, const void *src, size_t count, bool stream)
{
    part_fn *part = s_choose ();
    store_t store = s_store (dst, stream);
    uint8_t *to = dst;
    const uint8_t *from = src;
    for (size_t index = 0; index < count; index++) {
        part (&parts[index], to, from, store);
        to += store == STORE_NONE ? 0 : UMBP_PART_BYTES;
        from += UMBP_PART_BYTES;
    }
    s_fence (store);
}

void umbp_parts_begin (umbp_part_t *sum)
{
    *sum = (umbp_part_t){ { PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2,
                            PRIME64_5, PRIME32_1 } };
}

void umbp_parts_join (umbp_part_t *sum, const umbp_part_t *parts, size_t count)
{
    for (size_t index = 0; index < count; index++)
        s_add (sum, &parts[index]);
}

void umbp_parts_chain (umbp_part_t *sum, void *dst, const void *src, size_t count, bool stream)
{
    part_fn *part = s_choose ();
    store_t store = s_store (dst, stream);
    uint8_t *to = dst;
    const uint8_t *from = src;
    for (size_t index = 0; index < count; index++) {
        umbp_part_t one;
        part (&one, to, from, store);
        s_add (sum, &one);
        to += store == STORE_NONE ? 0 : UMBP_PART_BYTES;
        from += UMBP_PART_BYTES;
    }
    s_fence (store);
}

static uint64_t s_fold (uint64_t left, uint64_t right)
{
    __extension__ unsigned __int128 product = (unsigned __int128) left * right;
    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

uint64_t umbp_parts_end (const umbp_part_t *sum, const void *last, uint64_t size)
{
    umbp_part_t end = *sum;
    size_t rest = (size_t) (size - umbp_parts_count (size) * UMBP_PART_BYTES);
    const uint8_t *stop = (const uint8_t *) last + UMBP_PARTS_LAST, *from = stop - rest;
    for (size_t stripe = 0; stripe < (rest - 1) / STRIPE_BYTES; stripe++)
        s_stripe (end.lanes, from + stripe * STRIPE_BYTES, s_secret + 8 * stripe);
    s_stripe (end.lanes, stop - STRIPE_BYTES, s_secret + LAST_STRIPE_AT);
    uint64_t value = size * PRIME64_1;
    for (size_t pair = 0; pair < 4; pair++)
        value += s_fold (end.lanes[2 * pair] ^ s_read (s_secret + MERGE_AT + 16 * pair),
                         end.lanes[2 * pair + 1] ^ s_read (s_secret + MERGE_AT + 16 * pair + 8));
    value ^= value >> 37;
    value *= PRIME_MX1;
    return value ^ value >> 32;
}
