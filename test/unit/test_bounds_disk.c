//  test/unit/test_bounds_disk.c - a tier on disk beyond its bounds: more blocks on their way to the disk and back than the
//  depot has jobs, and more requests that wait for the disk than the tier manager keeps in mind. What is beyond is told
//  to try again, and then it can; nothing is lost.
#include "actors/tier/manager_self.h"
#include "test/unit/depot.h"
#include "test/unit/tier.h"

#define PAGE 4096
#define BLOCK 4000
#define SEGMENT (2 * MIB)

//  --------------------------------------------------------------------------------------------------
//  The depot

#define PAGES (UMBP_DEPOT_JOBS_MAX + 64)
#define READS 512                       //  At a time

static bool s_is_right (const depot_t *self, uint32_t item, unsigned number)
{
    static uint8_t bytes[BLOCK];
    test_log_fill (bytes, BLOCK, number);
    return umbp_store_block (self->store, item)->filled
           && memcmp (depot_bytes (self, item), bytes, BLOCK) == 0;
}

//  Returns how many are not what they were
static size_t s_read_back (depot_t *self, const uint32_t *items, unsigned first, unsigned end)
{
    uint64_t wanted = self->fetched;
    size_t wrong = 0;
    for (unsigned number = first; number < end; number++) {
        umbp_store_hold (self->store, items[number]);
        int rc = umbp_depot_fetch (self->depot, items[number]);
        CU_ASSERT_FATAL (rc == 0 || rc == 1);
        wanted += rc == 1;
    }
    CU_ASSERT_FATAL (depot_until (self, &self->fetched, wanted));
    for (unsigned number = first; number < end; number++) {
        wrong += !s_is_right (self, items[number], number);
        umbp_store_unhold (self->store, items[number]);
    }
    return wrong;
}

static void test_jobs (void)
{
    static uint32_t items[2 * UMBP_DEPOT_JOBS_MAX];
    depot_t depot = { .how = { .capacity = 96 * MIB, .segment_bytes = SEGMENT },
                      .page_bytes = PAGE,
                      .pages = PAGES,
                      .block_bytes = BLOCK };
    depot_new (&depot);
    unsigned count = UMBP_DEPOT_JOBS_MAX;
    for (unsigned number = 0; number < count; number++) {
        items[number] = depot_put (&depot, number);
        CU_ASSERT_FATAL (umbp_depot_save (depot.depot, items[number], number) == 0);
    }
    CU_ASSERT (umbp_depot_stats (depot.depot).jobs == count);
    items[count] = depot_put (&depot, count);
    CU_ASSERT (umbp_depot_save (depot.depot, items[count], count) == UMBP_EAGAIN);
    CU_ASSERT (umbp_depot_stats (depot.depot).jobs == count);
    CU_ASSERT (depot_until (&depot, &depot.saved, count));
    CU_ASSERT (umbp_depot_stats (depot.depot).jobs == 0);
    CU_ASSERT (umbp_depot_save (depot.depot, items[count], count) == 0);
    CU_ASSERT (depot_until (&depot, &depot.saved, count + 1));

    for (unsigned number = count + 1; number < 2 * count; number++) {
        items[number] = depot_put (&depot, number);      //  Those before give their pages
        CU_ASSERT_FATAL (umbp_depot_save (depot.depot, items[number], number) == 0);
    }
    CU_ASSERT (!umbp_store_block (depot.store, items[0])->filled);
    umbp_store_hold (depot.store, items[0]);         //  One is read while all others but one are written
    CU_ASSERT (umbp_depot_fetch (depot.depot, items[0]) == 1);
    umbp_store_hold (depot.store, items[1]);
    CU_ASSERT (umbp_depot_fetch (depot.depot, items[1]) == UMBP_EAGAIN);
    CU_ASSERT (depot_until (&depot, &depot.saved, 2 * count));
    CU_ASSERT (depot_until (&depot, &depot.fetched, 1));
    CU_ASSERT (s_is_right (&depot, items[0], 0));
    CU_ASSERT (umbp_depot_fetch (depot.depot, items[1]) == 1);
    CU_ASSERT (depot_until (&depot, &depot.fetched, 2));
    CU_ASSERT (s_is_right (&depot, items[1], 1));
    umbp_store_unhold (depot.store, items[0]);
    umbp_store_unhold (depot.store, items[1]);

    size_t wrong = 0;                   //  All are there, what was refused at first too
    for (unsigned first = 0; first < 2 * count; first += READS)
        wrong += s_read_back (&depot, items, first, first + READS);
    CU_ASSERT (wrong == 0);
    CU_ASSERT (depot.failed == 0 && depot.left == 0);
    CU_ASSERT (umbp_store_counts (depot.store).live == 2 * count);
    depot_destroy (&depot);
}

//  --------------------------------------------------------------------------------------------------
//  Requests that wait for the disk

#define STAGING 64                      //  Pages, of two regions together
#define KNOWN 512                       //  Blocks
#define SESSION 9
#define STORES 16                       //  At a time: more does not come along with a message

static tier_t s_tier;
static uint8_t s_data[STORES * BLOCK];

static void s_store (size_t first)
{
    char keys[STORES * 16] = "";
    for (size_t number = first; number < first + STORES; number++) {
        snprintf (keys + strlen (keys), sizeof keys - strlen (keys), "k%zu ", number);
        test_log_fill (s_data + (number - first) * BLOCK, BLOCK, number);
    }
    CU_ASSERT_FATAL (tier_store_as (&s_tier, keys, s_data, BLOCK, false, false, PEER_MS) == 0);
}

//  Lease as many blocks as all of staging holds, from a number on. Returns the lease.
static uint64_t s_lease_all (size_t first)
{
    static words_t keys;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.session = SESSION;
    msg.lease.keys = words_numbered (&keys, "k", first, STAGING);
    CU_ASSERT_FATAL (tier_ask (&s_tier, &msg) == 0);
    for (size_t index = 0; index < STAGING; index++)
        CU_ASSERT (tier_leased (&s_tier, index) == 0);
    return s_tier.peer.msg.lease_ok.lease;
}

typedef struct {
    uint64_t first;                     //  Id of the first request
    size_t count, heard, again;         //  again: are to ask again
    bool done[KNOWN];                   //  By block
    uint64_t waiting;                   //  What the tier says of it, in between
    uint64_t stat;                      //  Id of that question
} asks_t;

//  One request for each block that was not read yet, each to come along with its answer
static void s_ask_all (asks_t *self, size_t count)
{
    static words_t keys;
    umbp_msg_t msg;
    self->first = s_tier.peer.last_id + 1;
    self->count = count;
    self->heard = self->again = 0;
    for (size_t number = 0; number < count; number++) {
        umbp_msg_init (&msg, UMBP_MSG_lease, 0);
        msg.lease.keys = words_numbered (&keys, "k", number, 1);
        msg.lease.inline_max = BLOCK;
        asker_say (&s_tier.peer, &msg, NULL, 0, PEER_MS);
    }
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    self->stat = asker_say (&s_tier.peer, &msg, NULL, 0, PEER_MS);
}

static void s_take_stat (asks_t *self)
{
    const umbp_msg_stat_ok_t *ok = &s_tier.peer.msg.stat_ok;
    for (size_t index = 0; index < ok->names.count; index++)
        if (column_is (ok->names, index, "leases_waiting"))
            self->waiting = umbp_u64s_at (ok->values, index);
    self->stat = 0;
}

static void s_take (asks_t *self)
{
    uint64_t id = asker_hear (&s_tier.peer, 0);
    if (id == self->stat) {
        s_take_stat (self);
        return;
    }
    CU_ASSERT_FATAL (id >= self->first && id < self->first + self->count);
    size_t number = id - self->first;
    int status = s_tier.peer.msg.status ? s_tier.peer.msg.status : tier_leased (&s_tier, 0);
    CU_ASSERT (status == 0 || status == UMBP_EAGAIN);
    CU_ASSERT (status != 0 || s_tier.peer.payload_size == BLOCK);
    if (status == 0 && s_tier.peer.payload_size == BLOCK) {
        test_log_fill (s_data, BLOCK, number);
        CU_ASSERT (memcmp (s_tier.peer.payload, s_data, BLOCK) == 0);
        self->done[number] = true;
    }
    self->again += status == UMBP_EAGAIN;
    self->heard++;
}

//  Wait until so many were answered, and what was asked between them
static bool s_until (asks_t *self, size_t heard)
{
    int64_t end = zclock_mono () + PEER_MS;
    while ((self->heard < heard || self->stat) && zclock_mono () < end)
        if (tier_serve (&s_tier, 10))
            s_take (self);
    CU_ASSERT (self->heard >= heard && self->stat == 0);
    return self->heard >= heard;
}

//  All of staging is lent, so whoever wants another block waits. Nobody waits for longer than 2 s, however busy the
//  machine is: then it is told to ask again.
static void test_sleepers (void)
{
    char folder[256];
    test_log_how_t how = {
        .engine = "posix", .directories = 1, .capacity = 32 * MIB, .segment_bytes = SEGMENT
    };
    test_log_folder (folder, sizeof folder);
    umbp_log_t *log = test_log_begin (folder, &how);
    tier_start (&s_tier, (tier_options_t) { .pages = STAGING / 2,
                                            .medium = umbp_log_medium (&log) });
    tier_alone (&s_tier);
    for (size_t first = 0; first < KNOWN; first += STORES)
        s_store (first);
    size_t wanted = KNOWN - STAGING, beyond = wanted - UMBP_SLEEPERS_MAX;
    uint64_t lease = s_lease_all (wanted);
    asks_t asks = { 0 };
    s_ask_all (&asks, wanted);
    CU_ASSERT_FATAL (s_until (&asks, beyond));
    printf ("(%llu wait, %zu were sent away) ", (unsigned long long) asks.waiting, asks.again);
    CU_ASSERT (asks.waiting <= UMBP_SLEEPERS_MAX);
    CU_ASSERT (asks.again >= beyond);
    tier_release (&s_tier, lease);
    CU_ASSERT (s_until (&asks, wanted));             //  Each of them once
    size_t left = wanted;
    for (int64_t end = zclock_mono () + WAIT_MS; left > 0 && zclock_mono () < end;) {
        asks_t more = asks;
        s_ask_all (&more, wanted);
        CU_ASSERT_FATAL (s_until (&more, wanted));
        asks = more;
        left = 0;
        for (size_t number = 0; number < wanted; number++)
            left += !asks.done[number];
    }
    CU_ASSERT (left == 0);
    CU_ASSERT (tier_becomes (&s_tier, "leases_waiting", 0));
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == KNOWN);
    tier_stop (&s_tier);
    test_log_remove (folder);
}

int main (void)
{
    alarm (600);
    zsys_init ();
    if (access ("/dev/shm", W_OK) == 0)
        setenv ("UMBP_LOG_DIRECTORY", "/dev/shm", 0);        //  Whoever sets it knows better
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bounds_disk", NULL, NULL);
    CU_ADD_TEST (suite, test_jobs);
    CU_ADD_TEST (suite, test_sleepers);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
