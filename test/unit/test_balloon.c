//  test/unit/test_balloon.c - memory that a tier gives back and takes again: pages out of use are never handed
//  out, blocks keep their bytes, the books of tenants and the journal balance after every step, and the process
//  really gets smaller
#include <CUnit/Basic.h>
#include <czmq.h>
#include <xxhash.h>

#include "actors/tier/balloon.h"
#include "cluster/bulk/copy.h"
#include "proto/error.h"
#include "proto/scope.h"
#include "proto/splitmix.h"

#define COUNT_OF(array) (sizeof (array) / sizeof *(array))
#define PAGE 4096u
#define REGIONS 3
#define MIB (UINT64_C (1) << 20)

static uint64_t s_seed (void)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
    printf ("(seed %" PRIu64 ") ", seed);
    return seed;
}

//  ------------------------------------------------------------------------------------------------
//  Pages

static void test_pages_leave_and_come_back (void)
{
    const uint32_t sizes[] = { 100 };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, 1);
    umbp_extent_t one, two, none;
    CU_ASSERT_EQUAL (umbp_pages_take (pages, 40, &one, 1), 1);
    CU_ASSERT_EQUAL (umbp_pages_take (pages, 30, &two, 1), 1);
    //  30..69: 40 in use of one and two, 70..79 free
    CU_ASSERT_EQUAL (umbp_pages_retire (pages, 0, 30, 50), 10);
    CU_ASSERT_EQUAL (umbp_pages_out_count (pages), 10);
    CU_ASSERT_EQUAL (umbp_pages_leaving_count (pages), 40);
    CU_ASSERT_EQUAL (umbp_pages_free_count (pages), 20);
    CU_ASSERT_EQUAL (umbp_pages_used_count (pages), 70);
    CU_ASSERT_EQUAL (umbp_pages_retire (pages, 0, 30, 50), 0);   //  Twice is once
    CU_ASSERT_EQUAL (umbp_pages_take (pages, 21, &none, 1), UMBP_EAGAIN);
    CU_ASSERT (umbp_pages_is_out (pages, 0, 75) && !umbp_pages_is_out (pages, 0, 35));
    CU_ASSERT (umbp_pages_is_closed (pages, 0, 35) && !umbp_pages_is_closed (pages, 0, 29));
    CU_ASSERT_EQUAL (umbp_pages_give (pages, &two), 0);          //  All of it leaves
    CU_ASSERT_EQUAL (umbp_pages_give (pages, &two), UMBP_ESTALE);
    CU_ASSERT_EQUAL (umbp_pages_out_count (pages), 40);
    CU_ASSERT_EQUAL (umbp_pages_free_count (pages), 20);
    umbp_extent_t forged = { 0, 45, 2, 0 };      //  Out of use is no generation
    CU_ASSERT_EQUAL (umbp_pages_check (pages, &forged), UMBP_ESTALE);
    CU_ASSERT_EQUAL (umbp_pages_give (pages, &one), 0);          //  30 stay, 10 leave
    CU_ASSERT_EQUAL (umbp_pages_out_count (pages), 50);
    CU_ASSERT_EQUAL (umbp_pages_free_count (pages), 50);
    CU_ASSERT_EQUAL (umbp_pages_used_count (pages), 0);
    CU_ASSERT_EQUAL (umbp_pages_restore (pages, 0, 0, 100), 50);
    CU_ASSERT_EQUAL (umbp_pages_free_count (pages), 100);
    CU_ASSERT_EQUAL (umbp_pages_take (pages, 100, &one, 1), 1);  //  One run again
    CU_ASSERT_EQUAL (umbp_pages_retire (pages, 1, 0, 1), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_pages_retire (pages, 0, 90, 11), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_pages_restore (pages, 0, 101, 0), UMBP_EINVAL);
    umbp_pages_destroy (&pages);
}

//  Against a plain model: who has which page, and which are closed
static void test_pages_model (void)
{
    enum { COUNT = 200, HELD = 64 };
    uint64_t state = s_seed ();
    const uint32_t sizes[] = { COUNT, COUNT };
    umbp_pages_t *pages = umbp_pages_new (PAGE, sizes, 2);
    umbp_extent_t held[HELD];
    size_t count = 0;
    static bool used[2][COUNT], closed[2][COUNT];
    memset (used, 0, sizeof used);
    memset (closed, 0, sizeof closed);
    for (int round = 0; round < 50000; round++) {
        uint16_t region = umbp_splitmix (&state) % 2;
        uint32_t page = umbp_splitmix (&state) % COUNT;
        uint32_t size = (uint32_t) (umbp_splitmix (&state) % (COUNT - page)) + 1;
        switch (umbp_splitmix (&state) % 8) {
        case 0:
            size = size % 20 + 1;
            CU_ASSERT (umbp_pages_retire (pages, region, page, page + size > COUNT ? 1 : size)
                       >= 0);
            for (uint32_t at = page; at < page + (page + size > COUNT ? 1 : size); at++)
                closed[region][at] = true;
            break;
        case 1:
            CU_ASSERT (umbp_pages_restore (pages, region, page, size) >= 0);
            for (uint32_t at = page; at < page + size; at++)
                closed[region][at] = false;
            break;
        case 2:
        case 3:
        case 4:
            if (count < HELD && umbp_pages_take (pages, size % 9 + 1, &held[count], 1) == 1) {
                const umbp_extent_t *extent = &held[count++];
                for (uint32_t at = 0; at < extent->count; at++) {
                    CU_ASSERT (!used[extent->region][extent->page + at]);
                    CU_ASSERT (!closed[extent->region][extent->page + at]);
                    used[extent->region][extent->page + at] = true;
                }
            }
            break;
        default:
            if (count > 0) {
                size_t which = umbp_splitmix (&state) % count;
                CU_ASSERT_EQUAL (umbp_pages_give (pages, &held[which]), 0);
                for (uint32_t at = 0; at < held[which].count; at++)
                    used[held[which].region][held[which].page + at] = false;
                held[which] = held[--count];
            }
        }
        uint32_t out = 0, leaving = 0, free = 0, busy = 0;
        for (size_t at = 0; at < 2 * COUNT; at++) {
            bool is = used[at / COUNT][at % COUNT], gone = closed[at / COUNT][at % COUNT];
            out += gone && !is;
            leaving += gone && is;
            free += !gone && !is;
            busy += is;
        }
        CU_ASSERT (umbp_pages_out_count (pages) == out);
        CU_ASSERT (umbp_pages_leaving_count (pages) == leaving);
        CU_ASSERT (umbp_pages_free_count (pages) == free);
        CU_ASSERT (umbp_pages_used_count (pages) == busy);
        if (CU_get_number_of_failures () > 0)
            break;
    }
    //  No free run was lost: all pages can be had in two extents
    for (; count > 0; count--)
        CU_ASSERT_EQUAL (umbp_pages_give (pages, &held[count - 1]), 0);
    for (uint16_t region = 0; region < 2; region++)
        CU_ASSERT (umbp_pages_restore (pages, region, 0, COUNT) >= 0);
    CU_ASSERT_EQUAL (umbp_pages_take (pages, 2 * COUNT, held, 2), 2);
    umbp_pages_destroy (&pages);
}

//  ------------------------------------------------------------------------------------------------
//  A tier without its thread

typedef struct {
    umbp_store_t *store;
    umbp_journal_t *journal;
    umbp_balloon_t *balloon;
    umbp_region_t *regions[REGIONS];
    uint64_t tick, dropped, moved;
} tier_t;

static void s_on_drop (void *owner, uint32_t item)
{
    tier_t *self = owner;
    self->dropped++;
    umbp_store_drop (self->store, item);
}

static void s_on_moved (void *owner, uint32_t item)
{
    (void) item;
    ((tier_t *) owner)->moved++;
}

static void s_start (tier_t *self, uint32_t region_pages, bool pinned)
{
    uint32_t pages[REGIONS];
    *self = (tier_t) { .tick = 0 };
    for (size_t index = 0; index < REGIONS; index++) {
        pages[index] = region_pages;
        self->regions[index] =
            umbp_region_new ("balloon-test", (size_t) region_pages * PAGE, false, true, NULL);
        CU_ASSERT_FATAL (self->regions[index] != NULL);
    }
    self->store = umbp_store_new (PAGE, pages, REGIONS, 7);
    self->journal = umbp_journal_new ();
    umbp_store_set_journal (self->store, self->journal);
    umbp_balloon_args_t args = { .store = self->store,
                                 .regions = self->regions, .region_count = REGIONS,
                                 .pinned = pinned, .owner = self, .drop = s_on_drop,
                                 .moved = s_on_moved };
    self->balloon = umbp_balloon_new (&args);
}

static void s_stop (tier_t *self)
{
    umbp_balloon_destroy (&self->balloon);
    umbp_store_destroy (&self->store);
    umbp_journal_destroy (&self->journal);
    for (size_t index = 0; index < REGIONS; index++)
        umbp_region_destroy (&self->regions[index]);
}

//  The bytes of a block follow from its key; fill, or compare
static bool s_bytes (tier_t *self, uint32_t item, bool write)
{
    const umbp_block_t *block = umbp_store_block (self->store, item);
    uint64_t left = block->size, word = XXH3_64bits (block->key, block->key_size);
    bool fine = true;
    for (size_t index = 0; index < block->extent_count; index++) {
        uint64_t bytes = umbp_extent_bytes (&block->extents[index], PAGE, left);
        uint8_t *at = (uint8_t *) umbp_region_base (self->regions[block->extents[index].region])
                      + umbp_extent_offset (&block->extents[index], PAGE);
        for (uint64_t byte = 0; byte < bytes; byte++) {
            uint8_t wanted = (uint8_t) ((word >> (byte + block->size - left) % 56) + byte);
            if (write)
                at[byte] = wanted;
            fine = fine && at[byte] == wanted;
        }
        left -= bytes;
    }
    return fine;
}

static const char *const s_tenants[] = { "", "red", "blue", "green" };

static size_t s_key (uint8_t *key, size_t tenant, unsigned number)
{
    size_t scope = *s_tenants[tenant] ? umbp_scope_write (s_tenants[tenant], key) : 0;
    return scope + (size_t) sprintf ((char *) key + scope, "block-%u", number);
}

//  Make a block of so many bytes. Returns its item, UMBP_STORE_NONE if there is no room.
static uint32_t s_put (tier_t *self, size_t tenant, unsigned number, uint32_t size)
{
    uint8_t key[UMBP_SCOPED_KEY_MAX];
    uint32_t item;
    size_t key_size = s_key (key, tenant, number);
    if (umbp_store_reserve (self->store, key, key_size, size, 0, &item) != 0)
        return UMBP_STORE_NONE;
    CU_ASSERT (s_bytes (self, item, true));
    CU_ASSERT_EQUAL (umbp_store_commit (self->store, item, 1, ++self->tick), 0);
    return item;
}

//  QTA-69: what tenants are charged, what is free, and what is out of use make up all there is. MET-75: what the
//  journal says, from the start or from a count on, is what tenants are charged, to the byte.
typedef struct {
    uint64_t next, bytes[COUNT_OF (s_tenants)];
} replay_t;

static void s_replay (tier_t *self, replay_t *replay)
{
    CU_ASSERT (umbp_journal_first (self->journal) <= replay->next);      //  No gap
    for (; replay->next < umbp_journal_next (self->journal); replay->next++) {
        const umbp_journal_row_t *row = umbp_journal_at (self->journal, replay->next);
        for (size_t tenant = 0; tenant < COUNT_OF (s_tenants); tenant++)
            if (streq (row->tenant, s_tenants[tenant]))
                replay->bytes[tenant] += row->kind == UMBP_EVENT_ALLOC  ? row->amount
                                         : row->kind == UMBP_EVENT_FREE ? -row->amount
                                                                        : 0;
    }
}

static void s_check_books (tier_t *self, replay_t *replay)
{
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    umbp_store_counts_t counts = umbp_store_counts (self->store);
    uint64_t sum = 0;
    s_replay (self, replay);
    for (uint16_t row = 0; row < UMBP_TENANTS_MAX; row++) {
        const umbp_tenant_t *who = umbp_tenants_at (tenants, row);
        sum += who->used ? who->bytes : 0;
        for (size_t tenant = 0; who->used && tenant < COUNT_OF (s_tenants); tenant++)
            if (streq (who->name, s_tenants[tenant]))
                CU_ASSERT (who->bytes == replay->bytes[tenant]);
    }
    const umbp_pages_t *pages = umbp_store_pages (self->store);
    CU_ASSERT (sum == counts.used_bytes);
    CU_ASSERT (sum + (uint64_t) umbp_pages_free_count (pages) * PAGE == counts.total_bytes);
    CU_ASSERT (counts.total_bytes + (uint64_t) umbp_pages_out_count (pages) * PAGE
               == (uint64_t) umbp_pages_total_count (pages) * PAGE);
}

//  Puts, drops, leases, and a pool that shrinks and grows, all at random
static void test_books_balance (void)
{
    enum { HELD = 32, ROUNDS = 20000 };
    uint64_t state = s_seed ();
    tier_t tier;
    s_start (&tier, 512, false);
    replay_t replay = { .next = 1 };
    uint32_t held[HELD];
    size_t holds = 0, shrinks = 0;
    uint64_t lowest = UINT64_MAX;
    for (int round = 0; round < ROUNDS && CU_get_number_of_failures () == 0; round++) {
        uint32_t reach = umbp_store_reach (tier.store);
        uint32_t item = reach ? (uint32_t) (umbp_splitmix (&state) % reach) : UMBP_STORE_NONE;
        bool live = reach && umbp_store_block (tier.store, item)->state == UMBP_BLOCK_LIVE;
        const char *why;
        switch (umbp_splitmix (&state) % 10) {
        case 0:
            if (live && holds < HELD) {
                umbp_store_hold (tier.store, item);
                held[holds++] = item;
            }
            break;
        case 1:
        case 2:
            if (holds > 0) {
                size_t which = umbp_splitmix (&state) % holds;
                CU_ASSERT (s_bytes (&tier, held[which], false));     //  Readers see what was put
                umbp_store_unhold (tier.store, held[which]);
                held[which] = held[--holds];
            }
            break;
        case 3:
            if (live)
                umbp_store_drop (tier.store, item);
            break;
        case 4:
            if (umbp_splitmix (&state) % 16 == 0) {
                uint64_t wanted = (umbp_splitmix (&state) % (REGIONS * 512) + 1) * PAGE;
                CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, wanted, &why), 0);
                shrinks++;
            }
            break;
        case 5: umbp_balloon_step (tier.balloon); break;
        default:
            s_put (&tier, umbp_splitmix (&state) % COUNT_OF (s_tenants),
                   (unsigned) (umbp_splitmix (&state) % 400),
                   (uint32_t) (umbp_splitmix (&state) % (20 * PAGE)) + 1);
        }
        s_check_books (&tier, &replay);
        uint64_t capacity = umbp_store_counts (tier.store).total_bytes;
        lowest = capacity < lowest ? capacity : lowest;
        if (live && umbp_store_block (tier.store, item)->state == UMBP_BLOCK_LIVE)
            CU_ASSERT (s_bytes (&tier, item, false));
    }
    printf ("(aims %zu, least %" PRIu64 " KiB, moved %" PRIu64 ", dropped %" PRIu64 ") ", shrinks,
            lowest >> 10, tier.moved, tier.dropped);
    CU_ASSERT (tier.moved > 0 && tier.dropped > 0);
    while (holds > 0)
        umbp_store_unhold (tier.store, held[--holds]);
    //  All the way down and up again: every block that is left is whole
    const char *why;
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 64 * PAGE, &why), 0);
    for (int step = 0; step < 10000 && umbp_balloon_step (tier.balloon); step++)
        ;
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).capacity, 64 * PAGE);
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).returned, (REGIONS * 512 - 64) * PAGE);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, UINT64_MAX, &why), 0);
    for (int step = 0; step < 10000 && umbp_balloon_step (tier.balloon); step++)
        ;
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).capacity, REGIONS * 512 * PAGE);
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).returned, 0);
    s_check_books (&tier, &replay);
    for (uint32_t item = 0; item < umbp_store_reach (tier.store); item++)
        if (umbp_store_block (tier.store, item)->state == UMBP_BLOCK_LIVE)
            CU_ASSERT (s_bytes (&tier, item, false));
    s_stop (&tier);
}

//  What is read stays until its reader is done, and no new block comes there meanwhile
static void test_held_pages_are_waited_for (void)
{
    tier_t tier;
    const char *why;
    s_start (&tier, 16, false);
    uint32_t items[REGIONS];
    for (unsigned index = 0; index < REGIONS; index++)
        CU_ASSERT_FATAL ((items[index] = s_put (&tier, 0, index, 16 * PAGE)) != UMBP_STORE_NONE);
    for (size_t index = 0; index < REGIONS; index++)
        umbp_store_hold (tier.store, items[index]);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 32 * PAGE, &why), 0);
    for (int step = 0; step < 100; step++)
        umbp_balloon_step (tier.balloon);
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).capacity, 48 * PAGE);
    for (size_t index = 0; index < REGIONS; index++) {
        CU_ASSERT (s_bytes (&tier, items[index], false));
        CU_ASSERT_EQUAL (umbp_store_block (tier.store, items[index])->state, UMBP_BLOCK_LIVE);
    }
    umbp_store_unhold (tier.store, items[1]);
    for (int step = 0; step < 1000 && umbp_balloon_step (tier.balloon); step++)
        ;
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).capacity, 32 * PAGE);
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).leaving, 0);
    CU_ASSERT_EQUAL (tier.dropped, 1);
    CU_ASSERT (s_bytes (&tier, items[0], false) && s_bytes (&tier, items[2], false));
    CU_ASSERT_EQUAL (s_put (&tier, 0, 9, PAGE), UMBP_STORE_NONE);        //  No page of these is handed out
    s_stop (&tier);
}

static void test_refusals (void)
{
    tier_t tier;
    const char *why;
    s_start (&tier, 16, true);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 32 * PAGE, &why), UMBP_ENOTSUP);
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "RDMA"));
    umbp_balloon_step (tier.balloon);
    CU_ASSERT_EQUAL (umbp_balloon_stats (tier.balloon).capacity, 48 * PAGE);
    s_stop (&tier);
    s_start (&tier, 16, false);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 0, &why), UMBP_EINVAL);
    s_stop (&tier);
}

//  ------------------------------------------------------------------------------------------------
//  BAL-10: the process really gets smaller

static uint64_t s_shmem_bytes (void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *file = fopen ("/proc/self/status", "r");
    while (file && fgets (line, sizeof line, file))
        if (sscanf (line, "RssShmem: %lu kB", &kib) == 1)
            break;
    if (file)
        fclose (file);
    return (uint64_t) kib << 10;
}

static void test_process_gets_smaller (void)
{
    tier_t tier;
    const char *why;
    s_start (&tier, (uint32_t) (32 * MIB / PAGE), false);
    for (unsigned number = 0; number < 80; number++)
        CU_ASSERT (s_put (&tier, 0, number, MIB) != UMBP_STORE_NONE);
    uint64_t before = s_shmem_bytes ();
    CU_ASSERT (before >= 96 * MIB);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 32 * MIB, &why), 0);
    for (int step = 0; step < 10000 && umbp_balloon_step (tier.balloon); step++)
        ;
    uint64_t small = s_shmem_bytes ();
    printf ("(%" PRIu64 " MiB, 64 of 96 given back, then %" PRIu64 " MiB", before >> 20,
            small >> 20);
    CU_ASSERT (before - small >= 64 * MIB / 100 * 95);
    uint32_t left = 0;
    for (uint32_t item = 0; item < umbp_store_reach (tier.store); item++)
        if (umbp_store_block (tier.store, item)->state == UMBP_BLOCK_LIVE) {
            CU_ASSERT (s_bytes (&tier, item, false));
            left++;
        }
    CU_ASSERT_EQUAL (left, 32);         //  As many as there is room for, and the newest
    uint8_t key[64];
    for (unsigned number = 48; number < 80; number++)
        CU_ASSERT (umbp_store_find (tier.store, key, s_key (key, 0, number)) != UMBP_STORE_NONE);
    CU_ASSERT_EQUAL (umbp_balloon_aim (tier.balloon, 96 * MIB, &why), 0);
    for (int step = 0; step < 10000 && umbp_balloon_step (tier.balloon); step++)
        ;
    printf (", then %" PRIu64 " MiB) ", s_shmem_bytes () >> 20);
    CU_ASSERT (s_shmem_bytes () >= before - MIB);
    CU_ASSERT (s_put (&tier, 0, 100, 60 * (uint32_t) MIB) != UMBP_STORE_NONE);
    s_stop (&tier);
}

//  The journal keeps a bounded past, and a reader who was away too long can tell
static void test_journal_gap (void)
{
    umbp_journal_t *journal = umbp_journal_new ();
    char tenant[UMBP_NAME_MAX + 1] = "red";
    CU_ASSERT_PTR_NULL (umbp_journal_at (journal, 1));
    for (uint64_t number = 1; number <= UMBP_JOURNAL_EVENTS + 10; number++)
        umbp_journal_add (journal, UMBP_EVENT_ALLOC, tenant, number);
    CU_ASSERT_EQUAL (umbp_journal_first (journal), 11);
    CU_ASSERT_EQUAL (umbp_journal_next (journal), UMBP_JOURNAL_EVENTS + 11);
    CU_ASSERT_PTR_NULL (umbp_journal_at (journal, 10));
    for (uint64_t number = 11; number < umbp_journal_next (journal); number++)
        CU_ASSERT (umbp_journal_at (journal, number)->amount == number);
    CU_ASSERT_STRING_EQUAL (umbp_event_name (UMBP_EVENT_MOVE), "mem.move");
    CU_ASSERT_STRING_EQUAL (umbp_event_name (99), "mem.?");
    umbp_journal_destroy (&journal);
}

int main (void)
{
    alarm (240);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("balloon", NULL, NULL);
    CU_ADD_TEST (suite, test_pages_leave_and_come_back);
    CU_ADD_TEST (suite, test_pages_model);
    CU_ADD_TEST (suite, test_books_balance);
    CU_ADD_TEST (suite, test_held_pages_are_waited_for);
    CU_ADD_TEST (suite, test_refusals);
    CU_ADD_TEST (suite, test_process_gets_smaller);
    CU_ADD_TEST (suite, test_journal_gap);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
