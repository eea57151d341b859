//  test/unit/test_paths.c - which way bytes of blocks go, where there is no RDMA device: what is chosen, what a
//  program allows, and what it is told if that is not there. With devices: test/guest.
#include "bin/talk.h"
#include "test/unit/nodes.h"

#define SIZE (300 * 1024)               //  Too large for a message
#define SOON_MS 20000                   //  What is refused at once: far below the deadline

static nodes_t s_nodes;
static uint8_t s_data[SIZE], s_back[SIZE];

static umbp_t *s_connect (const char *paths, int *err)
{
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]),
                           .paths = paths,
                           .rdma_devices = "none0", .timeout_ms = 2 * SOON_MS };
    return umbp_connect (&how, err);
}

static umbp_stats_t s_stats (umbp_t *pool)
{
    umbp_stats_t stats;
    umbp_stats (pool, &stats);
    return stats;
}

static void test_what_is_allowed_is_used (void)
{
    static const struct {
        const char *paths;
        bool shm;
    } asked[] = { { NULL, true },
                  { "auto", true },
                  { "", true },
                  { "tcp", false },
                  { "rdma,tcp", false }, { "shm", true }, { "tcp,shm", true } };
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++) {
        char key[32];
        umbp_t *pool = s_connect (asked[index].paths, NULL);
        CU_ASSERT_FATAL (pool != NULL);
        snprintf (key, sizeof key, "path-%zu", index);
        nodes_fill (s_data, SIZE, index);
        CU_ASSERT_EQUAL (umbp_put (pool, key, s_data, SIZE), 0);
        CU_ASSERT_EQUAL (umbp_get (pool, key, s_back, SIZE), SIZE);
        CU_ASSERT (nodes_is_filled (s_back, SIZE, index));
        umbp_stats_t stats = s_stats (pool);
        CU_ASSERT_EQUAL (stats.shm_put_bytes, asked[index].shm ? SIZE : 0);
        CU_ASSERT_EQUAL (stats.shm_get_bytes, asked[index].shm ? SIZE : 0);
        CU_ASSERT_EQUAL (stats.tcp_put_bytes, asked[index].shm ? 0 : SIZE);
        CU_ASSERT_EQUAL (stats.tcp_get_bytes, asked[index].shm ? 0 : SIZE);
        CU_ASSERT (stats.rdma_put_bytes == 0 && stats.rdma_get_bytes == 0 && stats.rdma_links == 0);
        umbp_close (&pool);
    }
}

//  Small blocks need no path
static void test_what_is_not_there_is_said (void)
{
    umbp_t *pool = s_connect ("rdma", NULL);
    CU_ASSERT_FATAL (pool != NULL);
    int64_t start_ms = umbp_clock_ms ();
    CU_ASSERT_EQUAL (umbp_put (pool, "small", "yes", 3), 0);
    CU_ASSERT_EQUAL (umbp_get (pool, "small", s_back, 3), 3);
    CU_ASSERT_EQUAL (umbp_get (pool, "path-0", s_back, SIZE), UMBP_EUNREACH);
    CU_ASSERT_EQUAL (umbp_put (pool, "none", s_data, SIZE), UMBP_EUNREACH);
    CU_ASSERT_EQUAL (umbp_exists (pool, "none"), 0);
    CU_ASSERT (umbp_clock_ms () - start_ms < SOON_MS);
    umbp_close (&pool);
}

static void test_what_is_no_path_is_refused (void)
{
    static const char *const paths[] = { "udp", ",tcp", "tcp,,shm", "rdm", "shm tcp", "auto,tcp" };
    for (size_t index = 0; index < sizeof paths / sizeof *paths; index++) {
        int err = 0;
        umbp_t *pool = s_connect (paths[index], &err);
        CU_ASSERT (pool == NULL && err == UMBP_EINVAL);
        umbp_close (&pool);
    }
}

//  A node without devices has no such actor, and says so at once
static void test_no_actor_without_devices (void)
{
    int err;
    umbp_talk_t *talk = umbp_talk_new (umbp_node_endpoint (s_nodes.nodes[0]), 2 * SOON_MS, &err);
    CU_ASSERT_FATAL (talk != NULL);
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    umbp_msg_init (&msg, UMBP_MSG_conceal, 0);
    msg.conceal.link = 1;
    int64_t start_ms = umbp_clock_ms ();
    CU_ASSERT_EQUAL (umbp_talk_ask (talk, "verbs@node-0", &msg, &answer), UMBP_EUNREACH);
    CU_ASSERT (umbp_clock_ms () - start_ms < SOON_MS);
    umbp_talk_destroy (&talk);
}

static int s_start (void)
{
    s_nodes = (nodes_t) { .count = 1 };
    snprintf (s_nodes.run_dir, sizeof s_nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    if (!mkdtemp (s_nodes.run_dir))
        return 1;
    nodes_options (&s_nodes, 0, WITH_DOORS, 32 << 20);
    snprintf (s_nodes.options[0].rdma_devices, sizeof s_nodes.options[0].rdma_devices, "none0");
    s_nodes.nodes[0] = nodes_new (&s_nodes.options[0]);
    return s_nodes.nodes[0] && nodes_meet (&s_nodes) ? 0 : 1;
}

static int s_stop (void)
{
    nodes_stop (&s_nodes);
    return 0;
}

int main (void)
{
    alarm (240);
    unsetenv ("UMBP_PATHS");
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("paths", s_start, s_stop);
    CU_ADD_TEST (suite, test_what_is_allowed_is_used);
    CU_ADD_TEST (suite, test_what_is_not_there_is_said);
    CU_ADD_TEST (suite, test_what_is_no_path_is_refused);
    CU_ADD_TEST (suite, test_no_actor_without_devices);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
