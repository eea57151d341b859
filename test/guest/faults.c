//  test/guest/faults.c - the RDMA transport against real verbs, in the guest of guest.sh: what breaks. What
//  moves is in verbs.c.
#include "cluster/verbs/inner.h"        //  Some faults need the queue pair itself
#include "test/guest/pair.h"

//  ---- Faults

//  Write until the link fails. Returns the status.
static int s_write_until_it_fails (pair_t *pair)
{
    int status = 0;
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    for (uint64_t round = 0; status == 0 && umbp_clock_ms () < end_ms; round++) {
        owner_fill (pair->announced, 4096, round);
        pair_move (pair, true, pair->announced, BUFFER, &status, LONG_MS);
    }
    return status;
}

//  What the owner sees when its end is gone is what it sees ever after
static void test_teardown_is_a_fence (void)
{
    pair_t pair;
    pair_open (&pair, 1, UMBP_VERBS_WRITE, (umbp_verbs_options_t) { .depth = 4 });
    owner_ask_t ask = { .what = OWNER_FENCE, .delay_ms = 300, .bytes = REGION };
    owner_tell (&pair.owner, &ask);
    int64_t start_ms = umbp_clock_ms ();
    int status = s_write_until_it_fails (&pair);
    printf ("\n    %s after %d ms: %s", umbp_errname (status), (int) (umbp_clock_ms () - start_ms),
            pair_api->link_why (pair.link));
    CU_ASSERT_EQUAL (status, UMBP_EUNREACH);
    owner_answer_t answer = owner_hear (&pair.owner);
    CU_ASSERT_EQUAL (answer.sum, pair_owner_sum (&pair));
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    pair_close (&pair);
}

static void test_killed_peer_is_unreachable (void)
{
    pair_t pair;
    pair_open (&pair, 1, UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    pid_t killer = fork ();
    if (killer == 0) {
        poll (NULL, 0, 300);
        kill (pair.owner.pid, SIGKILL);
        _exit (0);
    }
    int64_t start_ms = umbp_clock_ms ();
    CU_ASSERT_EQUAL (s_write_until_it_fails (&pair), UMBP_EUNREACH);
    printf ("\n    after %d ms: %s", (int) (umbp_clock_ms () - start_ms),
            pair_api->link_why (pair.link));
    waitpid (killer, NULL, 0);
    pair_api->link_destroy (&pair.link);
    CU_ASSERT_EQUAL (pair_api->forget (pair.verbs, pair.announced, BUFFER), 0);
    pair_api->close (&pair.verbs);
    CU_ASSERT_NOT_EQUAL (owner_end (&pair.owner), 0);
    free (pair.announced);
    free (pair.plain);
}

//  The device would try for a minute more; the buffers are ours again at the deadline
static void test_deadline_ends_a_call (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { .silence_ms = 60000 });
    owner_ask_t ask = { .what = OWNER_FENCE };
    owner_ask (&pair.owner, &ask);
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.plain, BUFFER, &status, 300), UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (status, UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (pair_api->forget (pair.verbs, pair.announced, BUFFER), 0);
    CU_ASSERT_EQUAL (pair_api->announce (pair.verbs, pair.announced, BUFFER), 0);
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    pair_close (&pair);
}

//  The owner's queue pairs are not ready when the first requests come; they are sent again
static void test_waits_for_a_receiver_not_ready (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
               (umbp_verbs_options_t){ .silence_ms = 8000 });
    int both = UMBP_VERBS_READ | UMBP_VERBS_WRITE;
    CU_ASSERT_EQUAL (pair_connect (&pair, both, true), 0);
    owner_ask_t ask = { .what = OWNER_CONNECT, .delay_ms = 300 };
    pair_api->link_describe (pair.link, &ask.peer);
    owner_tell (&pair.owner, &ask);
    CU_ASSERT_EQUAL (pair_move (&pair, true, pair.announced, 100000, &status, LONG_MS), 1);
    CU_ASSERT_EQUAL (owner_hear (&pair.owner).rc, 0);
    pair_assert_works (&pair);
    pair_close (&pair);
}

//  A wait in vain makes the next one poll for less before it sleeps, one that was almost over for longer
static void test_polling_adapts_itself (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { .spin_us = 1000 });
    owner_ask_t ask = { .what = OWNER_FENCE };
    owner_ask (&pair.owner, &ask);
    CU_ASSERT (pair_move (&pair, false, pair.plain, 4096, &status, LONG_MS) < 0);
    CU_ASSERT_EQUAL (status, UMBP_EUNREACH);
    CU_ASSERT (pair.link->spin_us < 1000);                   //  It was silent for a second and more
    umbp_verbs_stats_t stats;
    pair_api->stats (pair.verbs, &stats);
    CU_ASSERT (stats.sleeps > 0);
    pair_close (&pair);
    pair_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { .spin_us = 5000000 });
    int64_t end_ms = umbp_clock_ms () + LONG_MS / 2;
    pair.link->spin_us = 0;             //  So it sleeps, and is woken long before these 5 s
    while (pair.link->spin_us == 0 && umbp_clock_ms () < end_ms)
        CU_ASSERT_EQUAL (pair_move (&pair, false, pair.plain, BUFFER, &status, LONG_MS), 1);
    //  A driver that has all done at the first look lets nobody sleep
    pair_api->stats (pair.verbs, &stats);
    CU_ASSERT (pair.link->spin_us > 0 || stats.sleeps == 0);
    pair_close (&pair);
}

static void s_count (void *arg, umbp_op_t *op, enum ibv_wc_status status)
{
    (void) op;
    *(enum ibv_wc_status *) arg = status;
}

//  A message that nobody awaits: the owner answers "not ready" until the sender gives up
static void test_unasked_message_harms_nobody (void)
{
    pair_t pair;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    enum ibv_wc_status status = IBV_WC_SUCCESS;
    umbp_op_t op = { 0 };
    struct ibv_send_wr wr = { .wr_id = (uintptr_t) &op,
                              .opcode = IBV_WR_SEND,
                              .send_flags = IBV_SEND_SIGNALED };
    umbp_link_post (pair.link, &pair.link->queues[0], &wr, s_count, &status);
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (pair.link->busy && umbp_clock_ms () < end_ms)
        umbp_link_wait (pair.link, s_count, &status, end_ms);
    CU_ASSERT_EQUAL (status, IBV_WC_RNR_RETRY_EXC_ERR);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 1);
    pair_assert_works (&pair);
    pair_close (&pair);
}

static void test_queue_pair_in_error_is_replaced (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
    CU_ASSERT_EQUAL (ibv_modify_qp (pair.link->queues[0].qp, &attr, IBV_QP_STATE), 0);
    pair_assert_works (&pair);             //  By the other one
    umbp_verbs_stats_t stats;
    pair_api->stats (pair.verbs, &stats);
    CU_ASSERT (stats.queues_lost == 1 && stats.resent > 0);
    CU_ASSERT_EQUAL (ibv_modify_qp (pair.link->queues[1].qp, &attr, IBV_QP_STATE), 0);
    CU_ASSERT (pair_move (&pair, false, pair.plain, BUFFER, &status, LONG_MS) < 0);
    CU_ASSERT_EQUAL (status, UMBP_ECLOSED);
    for (int round = 0; round < 5; round++) {
        CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
        pair_assert_works (&pair);
    }
    pair_close (&pair);
}

//  Pull the second cable while the same bytes are written over and over. Returns how many requests
//  had to go another way.
static uint64_t s_pull (pair_t *pair)
{
    pid_t puller = fork ();
    if (puller == 0) {
        poll (NULL, 0, 200);
        _exit (system ("cable 1 down") != 0);
    }
    int status = 0;
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (status == 0 && pair_api->link_alive (pair->link) == 4 && umbp_clock_ms () < end_ms)
        pair_move (pair, true, pair->announced, BUFFER, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, 0);
    waitpid (puller, NULL, 0);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair->link), 2);
    umbp_verbs_stats_t stats;
    pair_api->stats (pair->verbs, &stats);
    return stats.resent;
}

//  One of two cables goes while blocks move: the other takes over. Then both; then they return.
static void test_link_down_moves_to_the_other_device (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 2, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    pair_assert_works (&pair);
    uint64_t resent = s_pull (&pair);
    for (int again = 0; resent == 0 && again < 5; again++) { //  It may fall between two calls
        CU_ASSERT_EQUAL (system ("cable 1 up"), 0);
        CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
        resent = s_pull (&pair);
    }
    CU_ASSERT (resent > 0);
    pair_assert_works (&pair);
    printf ("\n    %ju requests sent again; %s", (uintmax_t) resent,
            pair_api->link_why (pair.link));
    CU_ASSERT_EQUAL (system ("cable 0 down"), 0);
    CU_ASSERT (pair_move (&pair, false, pair.plain, 4096, &status, LONG_MS) < 0);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 0);
    CU_ASSERT_EQUAL (system ("cable 0 up"), 0);
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    pair_assert_works (&pair);             //  With one
    CU_ASSERT_EQUAL (system ("cable 1 up"), 0);
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 4);
    pair_assert_works (&pair);
    pair_close (&pair);
}

static const guest_test_t s_tests[] = {
    TEST (teardown_is_a_fence),
    TEST (killed_peer_is_unreachable),
    TEST (deadline_ends_a_call),
    TEST (waits_for_a_receiver_not_ready),
    TEST (polling_adapts_itself),
    TEST (unasked_message_harms_nobody),
    TEST (queue_pair_in_error_is_replaced),
    TEST (link_down_moves_to_the_other_device),
};

int main (int argc, char **argv)
{
    alarm (280);
    if (!pair_load (argc, argv))
        return 1;
    return guest_run (argc, argv, "faults", s_tests, sizeof s_tests / sizeof *s_tests, NULL, NULL);
}
