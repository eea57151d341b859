//  test/guest/pair.h - both ends of a link, for tests of the RDMA transport: we at one end of the cables, an
//  owner of a region (owner.h) at the other.
#ifndef UMBP_TEST_PAIR_H
#define UMBP_TEST_PAIR_H

#include "test/guest/guest.h"
#include "test/guest/owner.h"

#define PAGE (64 * 1024)
#define PAGES 128
#define REGION ((size_t) PAGE * PAGES)
#define BUFFER ((size_t) 6 * 1024 * 1024)
#define SILENCE_MS 1500

static const umbp_verbs_api_t *pair_api;

//  Both ends of a link
typedef struct {
    owner_t owner;
    umbp_verbs_t *verbs;
    umbp_verbs_link_t *link;
    umbp_verbs_memory_t memory;
    unsigned char *announced, *plain;   //  Buffers of ours, BUFFER bytes each
} pair_t;

//  A new link, in place of the former one. later: the owner does not connect yet.
static inline int pair_connect (pair_t *self, int rights, bool later)
{
    int rc = 0;
    pair_api->link_destroy (&self->link);
    self->link = pair_api->link_new (self->verbs, 0, UMBP_VERBS_KEEP, &rc);
    if (!self->link)
        return rc;
    owner_ask_t ask = { .what = OWNER_LINK, .rights = rights, .later = later };
    pair_api->link_describe (self->link, &ask.peer);
    owner_answer_t answer = owner_ask (&self->owner, &ask);
    self->memory = answer.memory;
    return answer.rc ? answer.rc : pair_api->link_connect (self->link, &answer.link);
}

static inline void pair_open (pair_t *self, int cables, int rights, umbp_verbs_options_t options)
{
    char why[UMBP_VERBS_WHY_MAX];
    int rc = 0;
    *self = (pair_t) {
        .owner = owner_start (guest_plugin, cables == 2 ? "rxb,rxd" : "rxb", rights, REGION,
                              options.no_windows),
        .announced = aligned_alloc (4096, BUFFER),
        .plain = aligned_alloc (4096, BUFFER),
    };
    options.devices = cables == 2 ? "rxa,rxc" : "rxa";
    options.silence_ms = options.silence_ms ? options.silence_ms : SILENCE_MS;
    self->verbs = pair_api->open (&options, &rc, why);
    if (!self->verbs)
        printf ("%s\n", why);
    assert (self->verbs && self->announced && self->plain);
    CU_ASSERT_EQUAL (pair_api->announce (self->verbs, self->announced, BUFFER), 0);
    CU_ASSERT_EQUAL (pair_connect (self, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
}

static inline void pair_close (pair_t *self)
{
    pair_api->link_destroy (&self->link);
    CU_ASSERT_EQUAL (pair_api->forget (self->verbs, self->announced, BUFFER), 0);
    pair_api->close (&self->verbs);
    CU_ASSERT_EQUAL (owner_end (&self->owner), 0);
    free (self->announced);
    free (self->plain);
}

static inline void pair_fill_owner (pair_t *self, uint64_t seed)
{
    owner_ask_t ask = { .what = OWNER_FILL, .bytes = REGION, .seed = seed };
    owner_ask (&self->owner, &ask);
}

static inline uint64_t pair_owner_sum (pair_t *self)
{
    owner_ask_t ask = { .what = OWNER_SUM, .bytes = REGION };
    return owner_ask (&self->owner, &ask).sum;
}

//  Move one run of bytes between the region's start and a buffer
static inline int pair_move (pair_t *self, bool write, void *base, size_t bytes, int *status,
                             int wait_ms)
{
    umbp_extent_t extent = { .count = PAGES, .generation = 1 };
    umbp_piece_t piece = { base, bytes };
    umbp_verbs_io_t io = {
        .memories = &self->memory, .memory_count = 1, .extents = &extent, .extent_count = 1,
        .page_size = PAGE, .pieces = &piece, .piece_count = 1, .want_sum = true,
    };
    int64_t deadline_ms = umbp_clock_ms () + wait_ms;
    int rc = write ? pair_api->write (self->link, &io, 1, status, deadline_ms)
                   : pair_api->read (self->link, &io, 1, status, deadline_ms);
    if (*status == 0)
        CU_ASSERT_EQUAL (io.sum, umbp_sum (base, bytes));
    return rc;
}

//  Whether a link still moves right bytes, both ways
static inline void pair_assert_works (pair_t *self)
{
    int status = 1;
    owner_fill (self->announced, BUFFER, 77);
    CU_ASSERT_EQUAL (pair_move (self, true, self->announced, BUFFER, &status, LONG_MS), 1);
    owner_ask_t ask = { .what = OWNER_SUM, .bytes = BUFFER };
    CU_ASSERT_EQUAL (owner_ask (&self->owner, &ask).sum, umbp_sum (self->announced, BUFFER));
    CU_ASSERT_EQUAL (pair_move (self, false, self->plain, BUFFER, &status, LONG_MS), 1);
    CU_ASSERT (memcmp (self->plain, self->announced, BUFFER) == 0);
}

//  Load the plug-in. Returns false if there is none.
static inline bool pair_load (int argc, char **argv)
{
    char why[UMBP_VERBS_WHY_MAX];
    guest_plugin = argc > 1 ? argv[1] : "";
    pair_api = umbp_verbs_load (guest_plugin, why);
    if (!pair_api)
        printf ("%s\n", why);
    return pair_api != NULL;
}

#endif
