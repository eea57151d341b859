//  test/guest/leases.c - leases and slots that are over, in the guest of guest.sh: their keys are worth nothing,
//  whatever the client does.
#include "client/get.h"
#include "cluster/bulk/pairs.h"
#include "test/guest/nodes.h"

#define ROUNDS 6
#define SLOW_KEYS 8

//  ---- Leases and slots that are over

//  A link of our own to node a, and a block opened to it
typedef struct {
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;
    umbp_verbs_link_t *link;
    uint64_t number, token;
    umbp_verbs_memory_t memory;
    umbp_extent_t extent;
} raw_t;

static void s_raw_join (umbp_lane_t *lane, raw_t *self)
{
    umbp_verbs_description_t own, other;
    int rc;
    self->api->link_destroy (&self->link);
    self->link = self->api->link_new (self->verbs, 1, UMBP_VERBS_KEEP, &rc);
    assert (self->link);
    self->api->link_describe (self->link, &own);
    umbp_pairs_room_t room;
    umbp_pairs_t pairs = umbp_pairs_write (&own, &room);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_join, 0);
    msg.join.session = lane->session;
    UMBP_PAIRS_INTO (&msg.join, pairs);
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", "a", &msg, NULL, 0,
                                                 UMBP_MSG_join_ok, lane->deadline_ms, &rc);
    CU_ASSERT_EQUAL_FATAL (rc, 0);
    const umbp_msg_join_ok_t *ok = &answer->msg.join_ok;
    self->number = ok->link;
    self->memory = (umbp_verbs_memory_t){
        umbp_u64s_at (ok->bases, 0), umbp_u64s_at (ok->sizes, 0), true, { 0 }
    };
    pairs = UMBP_PAIRS_OF (ok);
    CU_ASSERT_FATAL (umbp_pairs_read (&pairs, &other));
    CU_ASSERT_EQUAL_FATAL (self->api->link_connect (self->link, &other), 0);
}

//  Returns the status of the block
static int s_raw_expose (umbp_lane_t *lane, raw_t *self, bool write)
{
    uint32_t item = 0;
    umbp_msg_t msg;
    int rc;
    umbp_msg_init (&msg, UMBP_MSG_expose, 0);
    msg.expose.link = self->number;
    msg.expose.tokens = (umbp_u64s_t) { &self->token, 1 };
    msg.expose.items = (umbp_u32s_t) { &item, 1 };
    msg.expose.write = write;
    const umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "verbs", "a", &msg, NULL, 0,
                                                 UMBP_MSG_expose_ok, lane->deadline_ms, &rc);
    if (rc != 0)
        return rc;
    const umbp_msg_expose_ok_t *ok = &answer->msg.expose_ok;
    if (umbp_s8s_at (ok->statuses, 0) != 0)
        return umbp_s8s_at (ok->statuses, 0);
    self->memory.keys[0] = umbp_u32s_at (ok->keys, 0);
    self->extent = (umbp_extent_t) { .page = umbp_u32s_at (ok->pages, 0),
                                     .count = umbp_u32s_at (ok->page_counts, 0), .generation = 1 };
    return 0;
}

static int s_raw_move (raw_t *self, bool write, void *base, size_t size)
{
    umbp_piece_t piece = { base, size };
    umbp_verbs_io_t io = { .memories = &self->memory,
                           .memory_count = 1,
                           .extents = &self->extent,
                           .extent_count = 1, .page_size = 65536, .pieces = &piece, .piece_count = 1 };
    int status = 1;
    (write ? self->api->write : self->api->read) (self->link, &io, 1, &status,
                                                  umbp_clock_ms () + LONG_MS);
    return status;
}

static raw_t s_raw_new (void)
{
    char why[UMBP_VERBS_WHY_MAX];
    umbp_verbs_options_t options = { .devices = "rxa", .silence_ms = 1500 };
    raw_t self = { .api = umbp_verbs_load (guest_plugin, why) };
    assert (self.api);
    self.verbs = self.api->open (&options, NULL, why);
    assert (self.verbs);
    return self;
}

static void s_raw_destroy (raw_t *self)
{
    self->api->link_destroy (&self->link);
    self->api->close (&self->verbs);
}

//  Other blocks take the place of those that were there
static void s_refill (umbp_t *pool, int round)
{
    set_t set;
    char name[32];
    snprintf (name, sizeof name, "refill-%d", round);
    set_make (&set, name, 1 << 20);
    set_put (pool, &set, UMBP_STRATEGY_LOCAL);
    set_get (pool, &set);
    set_remove (pool, &set);
    set_free (&set);
}

//  Until no window of node a is open
static void s_wait_closed (umbp_t *pool)
{
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (nodes_gauge (pool, "a", "windows") > 0 && umbp_clock_ms () < end_ms)
        poll (NULL, 0, 50);
    CU_ASSERT_EQUAL (nodes_gauge (pool, "a", "windows"), 0);
}

static bool s_is_blank (const unsigned char *bytes, size_t size)
{
    return *bytes == 0 && memcmp (bytes, bytes + 1, size - 1) == 0;
}

//  A lease ends by its time while we have its keys: they are worth nothing then
static void test_expired_lease (void)
{
    umbp_t *pool = nodes_connect (0, "tcp");
    raw_t raw = s_raw_new ();
    umbp_lane_t *lane;
    umbp_found_t found;
    umbp_key_t key = { "expires", 7 };
    unsigned char *data = malloc (1 << 20), *seen = malloc (1 << 20);
    assert (data && seen);
    owner_fill (data, 1 << 20, 5);
    CU_ASSERT_EQUAL (umbp_put (pool, "expires", data, 1 << 20), 0);
    int rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    CU_ASSERT_EQUAL_FATAL (umbp_get_ask (lane, UMBP_WAY_WIRE, &key, sizeof key, 1, 0, NULL, &found),
                           0);
    raw.token = found.owners[0].lease;
    s_raw_join (lane, &raw);
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, true), UMBP_EDENIED);   //  A lease is not for writing
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), 0);
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), UMBP_EAGAIN);   //  Open already
    CU_ASSERT_EQUAL (s_raw_move (&raw, false, seen, 1 << 20), 0);
    CU_ASSERT (memcmp (seen, data, 1 << 20) == 0);
    CU_ASSERT (s_raw_move (&raw, true, seen, 4096) != 0);    //  Not by these keys
    s_raw_join (lane, &raw);            //  That cost us the link
    CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, false), 0);
    umbp_pool_leave (pool, &lane);
    CU_ASSERT_EQUAL (umbp_remove (pool, "expires"), 0);
    s_wait_closed (pool);               //  Its time has come
    s_refill (pool, 1);
    memset (seen, 0, 1 << 20);
    CU_ASSERT (s_raw_move (&raw, false, seen, 1 << 20) != 0);
    CU_ASSERT (s_is_blank (seen, 1 << 20));          //  No byte came after the lease
    rc = umbp_pool_enter (pool, 0, &lane);
    assert (rc == 0);
    rc = s_raw_expose (lane, &raw, false);
    CU_ASSERT (rc == UMBP_ESTALE || rc == UMBP_ENOENT);      //  ENOENT: with the link
    umbp_pool_leave (pool, &lane);
    s_raw_destroy (&raw);
    umbp_close (&pool);
    free (data);
    free (seen);
}

//  A slot ends by its time while its writer goes on: what comes to lie there is not touched
static void test_expired_slot (void)
{
    umbp_t *pool = nodes_connect (0, "tcp");
    unsigned char *data = malloc (1 << 20);
    assert (data);
    memset (data, 0x77, 1 << 20);
    for (int round = 0; round < 2; round++) {
        raw_t raw = s_raw_new ();
        umbp_lane_t *lane;
        umbp_msg_t msg;
        char name[32];
        snprintf (name, sizeof name, "late-%d", round);
        int rc = umbp_pool_enter (pool, 0, &lane);
        assert (rc == 0);
        uint64_t fenced = 0;
        uint32_t size = 1 << 20;
        uint16_t length = (uint16_t) strlen (name);
        umbp_msg_init (&msg, UMBP_MSG_put, 0);
        msg.put.session = lane->session;
        msg.put.keys = (umbp_column_t) { (const uint8_t *) name, &length, length, 1 };
        msg.put.sizes = (umbp_u32s_t) { &size, 1 };
        msg.put.strategy = UMBP_STRATEGY_LOCAL;
        const umbp_answer_t *answer =
            umbp_wire_ask (lane, UMBP_WAY_WIRE, "router", NULL, &msg, NULL, 0, UMBP_MSG_put_ok,
                           lane->deadline_ms, &rc);
        CU_ASSERT_FATAL (answer != NULL && answer->msg.put_ok.slots.count == 1);
        raw.token = umbp_u64s_at (answer->msg.put_ok.slots, 0);
        s_raw_join (lane, &raw);
        CU_ASSERT_EQUAL (s_raw_expose (lane, &raw, true), 0);
        CU_ASSERT_EQUAL (s_raw_move (&raw, true, data, 1 << 20), 0);
        //  To be done is not to have said so: a commit now is too early, and the fence is the link
        uint64_t sum = umbp_sum (data, 1 << 20);
        umbp_msg_init (&msg, UMBP_MSG_commit, 0);
        msg.commit.slots = (umbp_u64s_t) { &raw.token, 1 };
        msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
        if (round == 0) {
            answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "tier:dram", "a", &msg, NULL, 0,
                                    UMBP_MSG_commit_ok, lane->deadline_ms, &rc);
            CU_ASSERT_EQUAL (rc, 0);
            CU_ASSERT (answer && umbp_s8s_at (answer->msg.commit_ok.statuses, 0) == UMBP_ESTALE);
        }
        umbp_pool_leave (pool, &lane);
        s_wait_closed (pool);
        fenced = nodes_gauge (pool, "a", "links_fenced");
        CU_ASSERT (fenced >= 1);
        set_t set;
        snprintf (name, sizeof name, "after-%d", round);
        set_make (&set, name, 1 << 20);
        set_put (pool, &set, UMBP_STRATEGY_LOCAL);
        CU_ASSERT (s_raw_move (&raw, true, data, 1 << 20) != 0);
        set_get (pool, &set);
        set_remove (pool, &set);
        set_free (&set);
        s_raw_destroy (&raw);
    }
    umbp_close (&pool);
    free (data);
}

//  What is open to one client is closed to another, who has its keys and a link of his own
static void test_keys_of_another (void)
{
    umbp_t *pools[2];
    umbp_lane_t *lanes[2];
    raw_t raws[2];
    umbp_key_t key = { "mine", 4 };
    unsigned char *data = malloc (1 << 20), *seen = calloc (1, 1 << 20);
    assert (data && seen);
    owner_fill (data, 1 << 20, 6);
    for (int who = 0; who < 2; who++) {
        umbp_found_t found;
        pools[who] = nodes_connect (0, "tcp");
        raws[who] = s_raw_new ();
        if (who == 0)
            CU_ASSERT_EQUAL (umbp_put (pools[0], "mine", data, 1 << 20), 0);
        int rc = umbp_pool_enter (pools[who], 0, &lanes[who]);
        assert (rc == 0);
        CU_ASSERT_EQUAL_FATAL (
            umbp_get_ask (lanes[who], UMBP_WAY_WIRE, &key, sizeof key, 1, 0, NULL, &found), 0);
        raws[who].token = found.owners[0].lease;
        s_raw_join (lanes[who], &raws[who]);
    }
    CU_ASSERT_EQUAL (s_raw_expose (lanes[0], &raws[0], false), 0);
    raw_t thief = raws[1];
    thief.extent = raws[0].extent;
    thief.memory = raws[0].memory;
    CU_ASSERT_EQUAL (s_raw_move (&thief, false, seen, 1 << 20), UMBP_EDENIED);
    CU_ASSERT (s_is_blank (seen, 1 << 20));          //  Nor by the key of another
    CU_ASSERT_EQUAL (s_raw_move (&raws[0], false, seen, 1 << 20), 0);
    CU_ASSERT (memcmp (seen, data, 1 << 20) == 0);
    //  Nor can he open what the other one has a lease for
    raws[1].token = raws[0].token;
    s_raw_join (lanes[1], &raws[1]);
    CU_ASSERT_EQUAL (s_raw_expose (lanes[1], &raws[1], false), UMBP_EDENIED);
    for (int who = 0; who < 2; who++) {
        umbp_pool_leave (pools[who], &lanes[who]);
        s_raw_destroy (&raws[who]);
    }
    CU_ASSERT_EQUAL (umbp_remove (pools[0], "mine"), 0);
    umbp_close (&pools[0]);
    umbp_close (&pools[1]);
    free (data);
    free (seen);
}

//  Someone who reads and writes by RDMA without comparing checksums, and knows what the bytes must be.
//  Exits with 1 if they ever were other ones, with 2 if RDMA took no part.
static void s_slow_worker (void)
{
    umbp_t *pool = nodes_connect_by (0, "auto", "rxa", true);
    unsigned char *buffer = malloc (1 << 20);
    assert (buffer);
    int wrong = 0;
    for (int64_t end_ms = umbp_clock_ms () + LONG_MS; umbp_clock_ms () < end_ms;) {
        char key[32];
        snprintf (key, sizeof key, "slow-%d", (int) guest_random (SLOW_KEYS));
        uint64_t seed = umbp_sum (key, strlen (key)) | 1;
        long got = umbp_get (pool, key, buffer, 1 << 20);
        if (got == 1 << 20 && !set_is_right (buffer, 1 << 20, seed))
            wrong++;
        owner_fill (buffer, 1 << 20, seed);
        if (got == UMBP_ENOENT)
            umbp_put (pool, key, buffer, 1 << 20);
        if (wrong || getppid () == 1)
            break;
        if (access ("/tmp/slow-over", F_OK) == 0)
            break;
    }
    umbp_stats_t stats = nodes_stats (pool);
    printf ("slow worker: got %zu, put %zu MiB by RDMA, stale %zu, missed %zu, wrong %d\n",
            (size_t) (stats.rdma_get_bytes >> 20), (size_t) (stats.rdma_put_bytes >> 20),
            (size_t) stats.stale, (size_t) stats.misses, wrong);
    umbp_close (&pool);
    _exit (wrong ? 1 : stats.rdma_get_bytes && stats.rdma_put_bytes ? 0 : 2);
}

//  It stands still at any moment for longer than leases and slots last, while its pages go to others
static void test_stopped (void)
{
    unlink ("/tmp/slow-over");
    pid_t pid = fork ();
    assert (pid >= 0);
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        s_slow_worker ();
    }
    umbp_t *pool = nodes_connect (0, "auto");
    for (int round = 0; round < ROUNDS; round++) {
        poll (NULL, 0, 300 + (int) guest_random (400));
        kill (pid, SIGSTOP);
        for (int key = 0; key < SLOW_KEYS; key++) {
            char name[32];
            snprintf (name, sizeof name, "slow-%d", key);
            umbp_remove (pool, name);
        }
        int64_t end_ms = umbp_clock_ms () + LEASE_MS + 500;
        for (int turn = 0; turn < 2 || umbp_clock_ms () < end_ms; turn++)
            s_refill (pool, 1000 * round + turn);
        kill (pid, SIGCONT);
    }
    CU_ASSERT_EQUAL (system (">/tmp/slow-over"), 0);
    int status = 0;
    waitpid (pid, &status, 0);
    CU_ASSERT_EQUAL (status, 0);
    umbp_close (&pool);
}

static const guest_test_t s_tests[] = {
    TEST (expired_lease),
    TEST (expired_slot),
    TEST (keys_of_another),
    TEST (stopped),
};

int main (int argc, char **argv)
{
    if (!nodes_load (argc, argv))
        return 2;
    return guest_run (argc, argv, "leases", s_tests, sizeof s_tests / sizeof *s_tests, nodes_open,
                      nodes_close);
}
