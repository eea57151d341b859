//  test/unit/test_mover_here.c - moving blocks between pages of one process, and that the fence holds: pages that
//  are copied to or from are not given up before the copy has ended, however slow it is.
#include "actors/mover.h"
#include "test/unit/lender.h"

#include <poll.h>

#define BLOCKS 40
#define SESSION 77u
#define PIECES 5                        //  Extents of a block

typedef struct {
    lender_t from, to;
    umbp_here_t here[2];
    umbp_mover_t *mover;
    umbp_mover_job_t job;
    umbp_mover_row_t rows[BLOCKS];
    uint8_t *source[BLOCKS], *target[BLOCKS];
    int stops_after;
} moving_t;

static bool s_stop (void *arg)
{
    return ((moving_t *) arg)->stops_after-- == 0;
}

//  Room in up to PIECES extents that do not follow each other. Returns how many.
static uint32_t s_scatter (lender_t *lender, uint32_t size, umbp_extent_t *extents)
{
    uint32_t left = (uint32_t) umbp_extent_page_count (size, PAGE), count = 0;
    while (left > 0) {
        uint32_t pages =
            count + 1 == PIECES ? left : 1 + (uint32_t) (umbp_splitmix (&lender_seed) % left);
        lender_take (lender, pages * PAGE, &extents[count++]);
        lender->used++;                 //  A page between it and the next
        left -= pages;
    }
    return count;
}

static void s_grant (lender_t *lender, uint64_t token, bool write, const umbp_extent_t *extents,
                     uint32_t extent_count, uint32_t size)
{
    umbp_grant_item_t item = { extents, extent_count, size };
    umbp_grant_t grant = { .token = token,
                           .session = umbp_bulk_alias (SESSION),
                           .write = write,
                           .deadline_ms = umbp_clock_ms () + PEER_MS,
                           .items = &item,
                           .item_count = 1 };
    CU_ASSERT (umbp_bulk_server_grant (lender->server, &grant) == 0);
}

//  Blocks of random sizes in one lease, in one extent each, and slots of several extents
static void s_moving_start (moving_t *self, bool from_here)
{
    umbp_extent_t extents[BLOCKS], scattered[PIECES] = { { 0, 0, 0, 0 } };
    uint32_t sizes[BLOCKS];
    memset (self, 0, sizeof *self);
    self->stops_after = -1;
    lender_start (&self->from, 4096);
    lender_start (&self->to, 4096);
    for (uint32_t index = 0; index < BLOCKS; index++) {
        uint32_t size = sizes[index] = 1 + (uint32_t) (umbp_splitmix (&lender_seed) % (200 << 10));
        self->source[index] = lender_take (&self->from, size, &extents[index]);
        lender_fill (self->source[index], size);
        uint32_t count = s_scatter (&self->to, size, scattered);
        self->target[index] = self->to.memory + (size_t) scattered[0].page * PAGE;
        self->rows[index] = (umbp_mover_row_t){
            umbp_sum (self->source[index], size), 1000 + index, index, size, 99, index
        };
        s_grant (&self->to, 1000 + index, true, scattered, count, size);
    }
    lender_grant (&self->from, LEASE, umbp_bulk_alias (SESSION), false, extents, sizes, BLOCKS);
    self->here[0].server = self->to.server;
    self->here[1].server = self->from.server;
    for (size_t index = 0; index < 2; index++)
        snprintf (self->here[index].endpoint, sizeof self->here[index].endpoint, "%s",
                  umbp_bulk_server_endpoint (self->here[index].server));
    self->job = (umbp_mover_job_t) { .session = SESSION, .lease = LEASE };
    snprintf (self->job.from, sizeof self->job.from, "%s", self->here[1].endpoint);
    snprintf (self->job.to, sizeof self->job.to, "%s", self->here[0].endpoint);
    self->job.deadline_ms = umbp_clock_ms () + PEER_MS;
    umbp_bulk_server_key (self->from.server, umbp_bulk_alias (SESSION), self->job.from_key);
    self->mover = umbp_mover_new (64 << 10, s_stop, self);
    umbp_mover_use_here (self->mover, self->here, from_here ? 2 : 1);
}

static void s_moving_end (moving_t *self)
{
    umbp_mover_destroy (&self->mover);
    lender_end (&self->from);
    lender_end (&self->to);
}

//  What a slot has in it. Spans are whole pages.
static uint64_t s_sum_of (const moving_t *self, uint64_t slot, uint32_t size)
{
    umbp_card_t *card;
    umbp_piece_t spans[PIECES];
    umbp_sum_t sum;
    int count = umbp_bulk_server_hold (self->to.server, umbp_bulk_alias (SESSION), slot, 0, true,
                                       &card, spans, PIECES);
    umbp_sum_init (&sum, size);
    for (int index = 0; index < count; index++) {
        uint32_t bytes = spans[index].size < size ? (uint32_t) spans[index].size : size;
        umbp_sum_update (&sum, spans[index].base, bytes);
        size -= bytes;
    }
    if (count > 0)
        umbp_bulk_server_let_go (self->to.server, &card);
    return umbp_sum_final (&sum);
}

static void s_moving_check (moving_t *self, const int *statuses)
{
    size_t wrong = 0;
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_mover_row_t *row = &self->rows[index];
        wrong += row->status != (statuses ? statuses[index] : 0);
        wrong += row->status == 0 && s_sum_of (self, row->slot, row->size) != row->sum;
    }
    CU_ASSERT_EQUAL (wrong, 0);
}

static uint64_t s_total (const moving_t *self)
{
    uint64_t total = 0;
    for (size_t index = 0; index < BLOCKS; index++)
        total += self->rows[index].size;
    return total;
}

//  ------------------------------------------------------------------------------------------------
//  The tests

//  From page to page: neither server sees a connection
static void test_moves_without_a_socket (void)
{
    moving_t moving;
    umbp_bulk_stats_t stats;
    s_moving_start (&moving, true);
    CU_ASSERT (umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS));
    s_moving_check (&moving, NULL);
    CU_ASSERT_EQUAL (umbp_mover_here_bytes (moving.mover), s_total (&moving));
    umbp_bulk_server_stats (moving.from.server, &stats);
    CU_ASSERT_EQUAL (stats.accepted, 0);
    umbp_bulk_server_stats (moving.to.server, &stats);
    CU_ASSERT_EQUAL (stats.accepted, 0);
    s_moving_end (&moving);
}

//  What comes from another node over tcp, in parts of the buffer, is written to our pages without one
static void test_writes_what_comes_from_elsewhere (void)
{
    moving_t moving;
    umbp_bulk_stats_t stats;
    uint64_t rdma, tcp;
    s_moving_start (&moving, false);
    CU_ASSERT (umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS));
    s_moving_check (&moving, NULL);
    umbp_mover_bytes (moving.mover, &rdma, &tcp);
    CU_ASSERT_EQUAL (tcp, s_total (&moving));
    CU_ASSERT_EQUAL (umbp_mover_here_bytes (moving.mover), 0);
    umbp_bulk_server_stats (moving.to.server, &stats);
    CU_ASSERT_EQUAL (stats.accepted, 0);
    s_moving_end (&moving);
}

//  Each fails alone, as over tcp
static void test_failures (bool from_here)
{
    moving_t moving;
    int statuses[BLOCKS] = { 0 };
    s_moving_start (&moving, from_here);
    moving.rows[3].sum ^= 1;
    statuses[3] = UMBP_ECHECKSUM;
    moving.rows[5].slot = 4711;         //  No such slot
    statuses[5] = UMBP_ESTALE;
    moving.rows[7].item = 1u << 20;     //  Not in the lease
    statuses[7] = UMBP_EDENIED;
    moving.rows[9].size += PAGE;        //  More than there is
    statuses[9] = UMBP_EDENIED;
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (moving.to.server, moving.rows[39].slot), 0);
    statuses[39] = UMBP_ESTALE;
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    s_moving_check (&moving, statuses);
    moving.job.session++;               //  Somebody else's
    umbp_mover_run (moving.mover, &moving.job, moving.rows, 1);
    CU_ASSERT_EQUAL (moving.rows[0].status, UMBP_EDENIED);
    s_moving_end (&moving);
}

static void test_failures_here (void)
{
    test_failures (true);
}

static void test_failures_elsewhere (void)
{
    test_failures (false);
}

static void test_ends (void)
{
    moving_t moving;
    s_moving_start (&moving, true);
    moving.stops_after = 1;
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    CU_ASSERT_EQUAL (moving.rows[0].status, 0);
    CU_ASSERT_EQUAL (moving.rows[1].status, UMBP_ECLOSED);
    CU_ASSERT_EQUAL (moving.rows[BLOCKS - 1].status, UMBP_ECLOSED);
    moving.stops_after = -1;
    moving.job.deadline_ms = umbp_clock_ms ();
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    CU_ASSERT_EQUAL (moving.rows[0].status, UMBP_ETIMEDOUT);
    s_moving_end (&moving);
}

//  An owner that takes slots and leases back at any moment, as a tier manager does whose slots expire: it is told
//  when it may use the pages, and fills them with something else at once. Were a byte copied after that, it
//  would be seen.
typedef struct {
    moving_t *moving;
    bool spoilt, done;
} owner_t;

static bool s_await_revoked (umbp_bulk_server_t *server, uint64_t token)
{
    umbp_bulk_event_t event;
    for (int64_t end = umbp_clock_ms () + PEER_MS; umbp_clock_ms () < end;) {
        while (umbp_bulk_server_event (server, &event))
            if (event.type == UMBP_BULK_REVOKED && event.id == token)
                return true;
        poll (&(struct pollfd) { .fd = umbp_bulk_server_fd (server), .events = POLLIN }, 1, 100);
    }
    return false;
}

static void *s_take_back (void *arg)
{
    owner_t *self = arg;
    moving_t *moving = self->moving;
    for (size_t index = BLOCKS; index-- > 0;) {
        umbp_card_t *card;
        umbp_piece_t spans[PIECES];
        uint64_t slot = 1000 + index;
        int count = umbp_bulk_server_hold (moving->to.server, umbp_bulk_alias (SESSION), slot, 0,
                                           true, &card, spans, PIECES);
        umbp_bulk_server_let_go (moving->to.server, &card);
        int users = umbp_bulk_server_revoke (moving->to.server, slot);
        if (users > 0 && !s_await_revoked (moving->to.server, slot))
            self->spoilt = true;
        for (int span = 0; span < count; span++)
            memset (spans[span].base, 0xa5, spans[span].size);
        for (int look = 0; look < 20; look++)
            for (int span = 0; span < count; span++)
                for (size_t at = 0; at < spans[span].size; at += 64)
                    self->spoilt |= *((volatile uint8_t *) spans[span].base + at) != 0xa5;
    }
    __atomic_store_n (&self->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void test_fence_holds (void)
{
    moving_t moving;
    for (int turn = 0; turn < 10; turn++) {
        s_moving_start (&moving, true);
        owner_t owner = { .moving = &moving };
        pthread_t thread;
        CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_take_back, &owner) == 0);
        while (!__atomic_load_n (&owner.done, __ATOMIC_ACQUIRE))
            umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
        pthread_join (thread, NULL);
        CU_ASSERT (!owner.spoilt);
        umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
        for (size_t index = 0; index < BLOCKS; index++)
            CU_ASSERT_EQUAL (moving.rows[index].status, UMBP_ESTALE);
        s_moving_end (&moving);
    }
}

int main (void)
{
    CU_initialize_registry ();
    lender_set_seed ();
    CU_pSuite suite = CU_add_suite ("mover_here", NULL, NULL);
    CU_ADD_TEST (suite, test_moves_without_a_socket);
    CU_ADD_TEST (suite, test_writes_what_comes_from_elsewhere);
    CU_ADD_TEST (suite, test_failures_here);
    CU_ADD_TEST (suite, test_failures_elsewhere);
    CU_ADD_TEST (suite, test_ends);
    CU_ADD_TEST (suite, test_fence_holds);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
