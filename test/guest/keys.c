//  test/guest/keys.c - the RDMA transport against real verbs, in the guest of guest.sh: which keys open what.
#include "test/guest/pair.h"

static void test_wrong_key_is_denied (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    pair_fill_owner (&pair, 9);
    uint64_t before = pair_owner_sum (&pair);
    umbp_verbs_memory_t right = pair.memory;
    pair.memory.keys[0] ^= 0x5500;
    CU_ASSERT_EQUAL (pair_move (&pair, true, pair.announced, 4096, &status, LONG_MS), 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 1);      //  One of two went with it
    CU_ASSERT_EQUAL (pair_owner_sum (&pair), before);
    pair.memory = right;
    pair_assert_works (&pair);
    pair.memory.keys[0] ^= 0x5500;
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.announced, 4096, &status, LONG_MS),
                     UMBP_EDENIED);
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.announced, 4096, &status, LONG_MS),
                     UMBP_ECLOSED);
    printf ("\n    %s", pair_api->link_why (pair.link));
    owner_ask_t ask = { .what = OWNER_ALIVE };
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &ask).alive, 0);    //  The owner knows it as well
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    pair_assert_works (&pair);
    pair_close (&pair);
}

//  A link that may only read, to a region that others may write
static void test_rights_of_a_link_hold (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    pair_fill_owner (&pair, 10);
    uint64_t before = pair_owner_sum (&pair);
    CU_ASSERT_EQUAL (pair_connect (&pair, UMBP_VERBS_READ, false), 0);
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.plain, 100000, &status, LONG_MS), 1);
    CU_ASSERT (pair_move (&pair, true, pair.announced, 4096, &status, LONG_MS) <= 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    CU_ASSERT_EQUAL (pair_owner_sum (&pair), before);
    pair_close (&pair);
}

static void test_windows_bound_what_a_key_opens (void)
{
    pair_t pair;
    int status = 0;
    pair_open (&pair, 1, UMBP_VERBS_KEEP, (umbp_verbs_options_t) { .queues = 4 });
    CU_ASSERT (pair_move (&pair, false, pair.plain, 4096, &status, LONG_MS) <= 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);                  //  Not by the region's own key
    int both = UMBP_VERBS_READ | UMBP_VERBS_WRITE;
    CU_ASSERT_EQUAL (pair_connect (&pair, both, false), 0);
    owner_ask_t ask = { .what = OWNER_OPEN, .bytes = 2 * PAGE, .rights = UMBP_VERBS_WRITE };
    owner_answer_t answer = owner_ask (&pair.owner, &ask);
    CU_ASSERT_EQUAL (answer.rc, 0);
    pair.memory = answer.memory;
    owner_fill (pair.announced, 2 * PAGE, 3);
    for (int round = 0; round < 4; round++)                  //  Each queue pair has its key
        CU_ASSERT_EQUAL (pair_move (&pair, true, pair.announced, 2 * PAGE, &status, LONG_MS), 1);
    ask.what = OWNER_SUM;
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &ask).sum, umbp_sum (pair.announced, 2 * PAGE));
    pair_move (&pair, false, pair.plain, 64, &status, LONG_MS); //  It lets write, not read
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    //  rxe of Linux 6.1 looks at the ends of the region, not at those of a window: no test of these
    for (int index = 0; index < 4; index++)                  //  Nor good for another queue pair
        pair.memory.keys[index] = answer.memory.keys[(index + 1) % 4];
    pair_move (&pair, true, pair.plain, 64, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    pair.memory = answer.memory;
    owner_ask_t shut = { .what = OWNER_CLOSE };
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &shut).rc, 0);
    pair_move (&pair, true, pair.announced, 64, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);                  //  The lease is over
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 1);
    pair_close (&pair);
}

//  The same on a device without windows: a part is a registration for as long as it is open
static void test_registrations_bound_what_a_key_opens (void)
{
    pair_t pair;
    int status = 0, both = UMBP_VERBS_READ | UMBP_VERBS_WRITE;
    pair_open (&pair, 2, UMBP_VERBS_KEEP, (umbp_verbs_options_t) { .no_windows = true });
    pair_fill_owner (&pair, 11);
    owner_ask_t rest = { .what = OWNER_SUM, .offset = 2 * PAGE, .bytes = REGION - 2 * PAGE };
    uint64_t before = owner_ask (&pair.owner, &rest).sum;
    CU_ASSERT (pair_move (&pair, false, pair.plain, 4096, &status, LONG_MS) <= 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);                  //  The region itself has no key
    for (int right = UMBP_VERBS_READ; right <= UMBP_VERBS_WRITE; right++) {
        bool write = right == UMBP_VERBS_WRITE;
        CU_ASSERT_EQUAL (pair_connect (&pair, both, false), 0);
        owner_ask_t ask = { .what = OWNER_OPEN, .bytes = 2 * PAGE, .rights = right };
        owner_answer_t answer = owner_ask (&pair.owner, &ask);
        CU_ASSERT_EQUAL (answer.rc, 0);
        pair.memory = answer.memory;
        owner_fill (pair.announced, 2 * PAGE, 3);
        for (int round = 0; round < 4; round++)              //  By each queue pair of both devices
            CU_ASSERT_EQUAL (pair_move (&pair, write, pair.announced, 2 * PAGE, &status, LONG_MS),
                             1);
        CU_ASSERT_EQUAL (answer.sum == umbp_sum (pair.announced, 2 * PAGE), !write);
        pair_move (&pair, write, pair.announced, 2 * PAGE + 1, &status, LONG_MS);
        CU_ASSERT_EQUAL (status, UMBP_EDENIED);              //  One byte too many
        pair_move (&pair, !write, pair.plain, 64, &status, LONG_MS);
        CU_ASSERT_EQUAL (status, UMBP_EDENIED);              //  The other direction
        owner_ask_t shut = { .what = OWNER_CLOSE };
        CU_ASSERT_EQUAL (owner_ask (&pair.owner, &shut).rc, 0);
        pair_move (&pair, write, pair.announced, 64, &status, LONG_MS);
        CU_ASSERT_EQUAL (status, UMBP_EDENIED);              //  The lease is over
        CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 1);
    }
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &rest).sum, before);
    pair_close (&pair);
}

static const guest_test_t s_tests[] = {
    TEST (wrong_key_is_denied),
    TEST (rights_of_a_link_hold),
    TEST (windows_bound_what_a_key_opens),
    TEST (registrations_bound_what_a_key_opens),
};

int main (int argc, char **argv)
{
    alarm (280);
    if (!pair_load (argc, argv))
        return 1;
    return guest_run (argc, argv, "keys", s_tests, sizeof s_tests / sizeof *s_tests, NULL, NULL);
}
