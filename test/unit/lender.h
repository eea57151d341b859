//  test/unit/lender.h - a bulk server with one region, in which blocks lie one after the other, each
//  from a page on. For tests that play the tier of another node.
#ifndef UMBP_TEST_LENDER_H
#define UMBP_TEST_LENDER_H

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/tcp_server.h"
#include "proto/splitmix.h"
#include "test/unit/loopback.h"
#include "test/unit/peer.h"

#define PAGE 4096u
#define LEASE 500u

static uint64_t lender_seed;            //  Of random bytes

//  The seed of a run, printed
static inline void lender_set_seed (void)
{
    lender_seed = (uint64_t) zclock_usecs ();
    printf ("seed %llu\n", (unsigned long long) lender_seed);
}

static inline void lender_fill (uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t number = umbp_splitmix (&lender_seed);
        memcpy (data + at, &number, size - at < 8 ? size - at : 8);
    }
}

typedef struct {
    uint8_t *memory;
    size_t pages, used;
    umbp_bulk_server_t *server;
} lender_t;

static inline void lender_serve (lender_t *self, const char *endpoint)
{
    umbp_piece_t piece = { self->memory, self->pages * PAGE };
    umbp_bulk_server_config_t config = {
        .endpoint = endpoint,
        .regions = &piece,
        .region_count = 1,
        .page_size = PAGE,
    };
    self->server = umbp_bulk_server_new (&config, NULL);
    CU_ASSERT_FATAL (self->server != NULL);
}

static inline void lender_start (lender_t *self, size_t pages)
{
    *self = (lender_t) { .memory = aligned_alloc (PAGE, pages * PAGE), .pages = pages };
    assert (self->memory);
    memset (self->memory, 0, pages * PAGE);
    lender_serve (self, loopback_bulk ());
}

static inline void lender_end (lender_t *self)
{
    umbp_bulk_server_destroy (&self->server);
    free (self->memory);
}

//  Room for a block: where it lies, and its extent
static inline uint8_t *lender_take (lender_t *self, uint32_t size, umbp_extent_t *extent)
{
    uint32_t pages = (uint32_t) umbp_extent_page_count (size, PAGE);
    CU_ASSERT_FATAL (self->used + pages <= self->pages);
    *extent = (umbp_extent_t) { 0, (uint32_t) self->used, pages, 1 };
    self->used += pages;
    return self->memory + (size_t) extent->page * PAGE;
}

static inline void lender_grant (lender_t *self, uint64_t token, uint64_t session, bool write,
                                 const umbp_extent_t *extents, const uint32_t *sizes,
                                 uint32_t count)
{
    umbp_grant_item_t items[256];
    for (uint32_t index = 0; index < count; index++)
        items[index] = (umbp_grant_item_t) { &extents[index], 1, sizes[index] };
    umbp_grant_t grant = { .token = token, .session = session, .write = write, .items = items };
    grant.item_count = count;
    grant.deadline_ms = umbp_clock_ms () + 60000;
    CU_ASSERT_EQUAL (umbp_bulk_server_grant (self->server, &grant), 0);
}

#endif
