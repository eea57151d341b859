//  test/unit/test_mover.c - moving blocks between bulk servers
#include "actors/mover.h"
#include "cluster/bulk/tcp_auth.h"
#include "test/unit/lender.h"

#include <poll.h>

#define BLOCKS 40
#define SESSION 77u

typedef struct {
    lender_t from, to;
    umbp_mover_t *mover;
    umbp_mover_job_t job;
    umbp_mover_row_t rows[BLOCKS];
    uint8_t *source[BLOCKS], *target[BLOCKS];
    int stops_after;                    //  Questions whether to stop, until the answer is yes
} moving_t;

static bool s_stop (void *arg)
{
    return ((moving_t *) arg)->stops_after-- == 0;
}

//  What the owners of the pages tell, with the lease and with the slots
static void s_take_keys (moving_t *self)
{
    umbp_bulk_server_key (self->from.server, umbp_bulk_alias (self->job.session),
                          self->job.from_key);
    umbp_bulk_server_key (self->to.server, umbp_bulk_alias (self->job.session), self->job.to_key);
}

//  Blocks of random sizes in one lease, and slots for all of them
static void s_moving_start (moving_t *self, size_t buffer_bytes)
{
    umbp_extent_t extents[BLOCKS], extent;
    uint32_t sizes[BLOCKS];
    memset (self, 0, sizeof *self);
    self->stops_after = -1;
    lender_start (&self->from, 4096);
    lender_start (&self->to, 4096);
    for (uint32_t index = 0; index < BLOCKS; index++) {
        uint32_t size = sizes[index] = 1 + (uint32_t) (umbp_splitmix (&lender_seed) % (200 << 10));
        self->source[index] = lender_take (&self->from, size, &extents[index]);
        lender_fill (self->source[index], size);
        self->target[index] = lender_take (&self->to, size, &extent);
        self->rows[index] = (umbp_mover_row_t){
            umbp_sum (self->source[index], size), 1000 + index, index, size, 99, index
        };
        lender_grant (&self->to, 1000 + index, umbp_bulk_alias (SESSION), true, &extent, &size, 1);
    }
    lender_grant (&self->from, LEASE, umbp_bulk_alias (SESSION), false, extents, sizes, BLOCKS);
    snprintf (self->job.from, sizeof self->job.from, "%s",
              umbp_bulk_server_endpoint (self->from.server));
    snprintf (self->job.to, sizeof self->job.to, "%s", umbp_bulk_server_endpoint (self->to.server));
    self->job.lease = LEASE;
    self->job.deadline_ms = umbp_clock_ms () + PEER_MS;
    self->job.session = SESSION;
    s_take_keys (self);
    self->mover = umbp_mover_new (buffer_bytes, s_stop, self);
}

static void s_moving_end (moving_t *self)
{
    umbp_mover_destroy (&self->mover);
    lender_end (&self->from);
    lender_end (&self->to);
}

//  All blocks arrived, but for those whose status is another
static void s_moving_check (moving_t *self, const int *statuses)
{
    size_t wrong = 0;
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_mover_row_t *row = &self->rows[index];
        wrong += row->status != (statuses ? statuses[index] : 0);
        wrong +=
            row->status == 0 && memcmp (self->source[index], self->target[index], row->size) != 0;
    }
    CU_ASSERT_EQUAL (wrong, 0);
}

static void test_mover_moves (void)
{
    static const size_t buffers[] = { 1 << 20, 64 << 10, 10000, 64 << 20 };
    for (size_t index = 0; index < COUNT_OF (buffers); index++) {
        moving_t moving;
        s_moving_start (&moving, buffers[index]);
        umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
        s_moving_check (&moving, NULL);
        s_moving_end (&moving);
    }
}

static void test_mover_failures (void)
{
    moving_t moving;
    int statuses[BLOCKS] = { 0 };
    s_moving_start (&moving, 64 << 10);
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

    //  The lease ends: nothing can be read any more. The last read may not be put away yet.
    CU_ASSERT (umbp_bulk_server_revoke (moving.from.server, LEASE) >= 0);
    for (size_t index = 0; index < BLOCKS; index++)
        statuses[index] = UMBP_ESTALE;
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    s_moving_check (&moving, statuses);
    s_moving_end (&moving);
}

static void test_mover_ends (void)
{
    moving_t moving;
    s_moving_start (&moving, 1 << 20);
    moving.stops_after = 1;
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    CU_ASSERT_EQUAL (moving.rows[0].status, 0);
    CU_ASSERT_EQUAL (moving.rows[BLOCKS - 1].status, UMBP_ECLOSED);
    moving.stops_after = -1;
    moving.job.deadline_ms = umbp_clock_ms ();
    umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS);
    CU_ASSERT_EQUAL (moving.rows[0].status, UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (moving.rows[BLOCKS - 1].status, UMBP_ETIMEDOUT);
    s_moving_end (&moving);
}

//  A connection that was kept and closed meanwhile costs nothing; a server that is gone, its blocks
static void test_mover_connects_again (void)
{
    moving_t moving;
    s_moving_start (&moving, 1 << 20);
    CU_ASSERT (umbp_mover_run (moving.mover, &moving.job, moving.rows, 1));
    CU_ASSERT_EQUAL (moving.rows[0].status, 0);
    umbp_bulk_server_destroy (&moving.from.server);
    lender_serve (&moving.from, moving.job.from);
    CU_ASSERT (!umbp_mover_run (moving.mover, &moving.job, moving.rows, 1));
    CU_ASSERT_EQUAL (moving.rows[0].status, UMBP_EDENIED);             //  It may be anybody now
    s_take_keys (&moving);
    CU_ASSERT (umbp_mover_run (moving.mover, &moving.job, moving.rows, 1));
    CU_ASSERT_EQUAL (moving.rows[0].status,
                     UMBP_ESTALE); //  It was heard: a new server knows no token
    umbp_bulk_server_destroy (&moving.from.server);
    CU_ASSERT (!umbp_mover_run (moving.mover, &moving.job, moving.rows, BLOCKS));
    size_t unreached = 0;
    for (size_t index = 0; index < BLOCKS; index++)
        unreached += moving.rows[index].status == UMBP_EUNREACH;
    CU_ASSERT_EQUAL (unreached, BLOCKS);
    //  As somebody else, nothing is allowed, and our own connections end
    lender_serve (&moving.from, moving.job.from);
    moving.job.session++;
    s_take_keys (&moving);
    CU_ASSERT (umbp_mover_run (moving.mover, &moving.job, moving.rows, 1));
    CU_ASSERT_EQUAL (moving.rows[0].status, UMBP_ESTALE);
    umbp_bulk_event_t event = { 0, 0 };
    struct pollfd poll_fd = { .fd = umbp_bulk_server_fd (moving.to.server), .events = POLLIN };
    CU_ASSERT_EQUAL (poll (&poll_fd, 1, PEER_MS), 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_event (moving.to.server, &event), 1);
    CU_ASSERT (event.type == UMBP_BULK_CLOSED && event.id == umbp_bulk_alias (SESSION));
    s_moving_end (&moving);
}

int main (void)
{
    alarm (240);
    zsys_set_logstream (NULL);
    lender_set_seed ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("mover", NULL, NULL);
    CU_ADD_TEST (suite, test_mover_moves);
    CU_ADD_TEST (suite, test_mover_failures);
    CU_ADD_TEST (suite, test_mover_ends);
    CU_ADD_TEST (suite, test_mover_connects_again);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
