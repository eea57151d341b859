//  test/unit/depot.h - a store of blocks and its depot, on a log in a folder of its own, without the
//  actor around them.
#ifndef UMBP_TEST_DEPOT_H
#define UMBP_TEST_DEPOT_H

#include "actors/tier/depot.h"
#include "cluster/bulk/copy.h"
#include "test/unit/log.h"

typedef struct {
    char folder[256];
    test_log_how_t how;
    uint32_t page_bytes, pages;
    size_t block_bytes;                 //  Of each block: at most a page
    umbp_store_t *store;
    umbp_depot_t *depot;
    uint8_t *memory;
    uint64_t saved, failed, left, fetched;           //  What it said
    uint64_t saved_before;              //  ... the first was fetched
} depot_t;

static inline void depot_on_word (void *owner, const umbp_depot_word_t *word)
{
    depot_t *self = owner;
    if (word->what == UMBP_DEPOT_SAVED)
        word->status == 0 ? self->saved++ : self->failed++;
    else if (word->what == UMBP_DEPOT_FETCHED) {
        CU_ASSERT (word->status == 0);
        if (self->fetched++ == 0)
            self->saved_before = self->saved;
    } else {
        self->left++;
        umbp_store_evict (self->store, word->item);
    }
}

//  On what is in its folder
static inline void depot_start (depot_t *self)
{
    umbp_log_t *log = test_log_begin (self->folder, &self->how);
    umbp_medium_t medium = umbp_log_medium (&log);
    self->store = umbp_store_new (self->page_bytes, &self->pages, 1, 1);
    umbp_store_set_depot (self->store, umbp_depot_room (&medium));
    umbp_piece_t region = { self->memory, (uint64_t) self->page_bytes * self->pages };
    umbp_depot_args_t args = { .store = self->store,
                               .regions = &region,
                               .region_count = 1,
                               .owner = self, .fn = depot_on_word };
    self->depot = umbp_depot_new (&args, &medium, 1);
}

static inline void depot_end (depot_t *self)
{
    CU_ASSERT (umbp_depot_destroy (&self->depot));
    umbp_store_destroy (&self->store);
}

//  As its bounds say, which are set
static inline void depot_new (depot_t *self)
{
    self->how.engine = "posix";
    self->how.directories = 1;
    self->memory = test_log_memory ((size_t) self->page_bytes * self->pages);
    test_log_folder (self->folder, sizeof self->folder);
    depot_start (self);
}

static inline void depot_destroy (depot_t *self)
{
    depot_end (self);
    test_log_remove (self->folder);
    free (self->memory);
}

static inline void depot_work (depot_t *self)
{
    poll (&(struct pollfd) { .fd = umbp_depot_fd (self->depot), .events = POLLIN }, 1, 20);
    umbp_depot_tick (self->depot, umbp_clock_ms ());
}

static inline bool depot_until (depot_t *self, const uint64_t *count, uint64_t value)
{
    int64_t end = umbp_clock_ms () + WAIT_MS;
    umbp_depot_tick (self->depot, umbp_clock_ms ());
    while (*count < value && umbp_clock_ms () < end)
        depot_work (self);
    return *count >= value;
}

static inline uint8_t *depot_bytes (const depot_t *self, uint32_t item)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    CU_ASSERT_FATAL (block->extent_count == 1);
    return self->memory + (size_t) block->extents[0].page * self->page_bytes;
}

//  A live block; umbp_depot_save has not been asked yet
static inline uint32_t depot_put (depot_t *self, unsigned number)
{
    uint32_t item = UMBP_STORE_NONE;
    CU_ASSERT_FATAL (
        umbp_store_reserve (self->store, &number, sizeof number, self->block_bytes, 0, &item) == 0);
    uint8_t *bytes = depot_bytes (self, item);
    test_log_fill (bytes, self->block_bytes, number);
    uint64_t sum = umbp_sum (bytes, self->block_bytes);
    CU_ASSERT_FATAL (umbp_store_commit (self->store, item, sum, number) == 0);
    return item;
}

#endif
