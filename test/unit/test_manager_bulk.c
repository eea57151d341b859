//  test/unit/test_manager_bulk.c - how bytes get into a tier and out of it: over tcp with tokens, through
//  shared memory with a door; and what becomes of slots and leases when time is over, or the client is gone
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "cluster/bulk/tcp_sock.h"
#include "test/unit/tier.h"

#define PAGE 4096
#define SESSION 5
#define TTL_MS 1000                     //  Where a test waits for it; time enough to begin a move

static tier_t s_tier;
static uint8_t s_data[64 * PAGE], s_out[64 * PAGE];

static void s_start (unsigned slot_ttl_ms, unsigned lease_ttl_ms)
{
    tier_start (&s_tier, (tier_options_t) { .slot_ttl_ms = slot_ttl_ms,
                                            .lease_ttl_ms = lease_ttl_ms });
    tier_alone (&s_tier);
}

static void s_wait_past (int64_t moment)
{
    while (zclock_mono () <= moment)
        tier_serve (&s_tier, (int) (moment + 1 - zclock_mono ()));
}

//  --------------------------------------------------------------------------------------------------
//  Over tcp

static void test_tcp (void)
{
    s_start (0, 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION),
                       *other = tier_connect (&s_tier, 6);
    uint32_t size = 5 * PAGE - 3;
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "key", size);
    CU_ASSERT (tier_move (other, true, slot, 0, s_data, size) == UMBP_EDENIED);
    CU_ASSERT (tier_move (client, true, slot, 1, s_data, size) == UMBP_EDENIED);
    CU_ASSERT (tier_move (client, false, slot, 0, s_out, size) == UMBP_EDENIED);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, size) == 0);
    CU_ASSERT (tier_commit (&s_tier, slot, umbp_sum (s_data, size)) == 0);
    CU_ASSERT (tier_move (client, true, slot, 0, s_out, size) == UMBP_ESTALE);         //  Fenced
    CU_ASSERT (tier_lease (&s_tier, 6, "none key", 0) == 0);
    CU_ASSERT (umbp_u64s_at (s_tier.peer.msg.lease_ok.sums, 1) == umbp_sum (s_data, size));
    uint64_t lease = s_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (tier_move (client, false, lease, 0, s_out, size) == UMBP_EDENIED);
    CU_ASSERT (tier_move (other, false, lease, 0, s_out, size) == 0);
    CU_ASSERT (memcmp (s_out, s_data, size) == 0);
    CU_ASSERT (tier_drop (&s_tier, "key") == 0);
    memset (s_out, 0, size);
    CU_ASSERT (tier_move (other, false, lease, 0, s_out, size) == 0);          //  The lease holds it
    CU_ASSERT (memcmp (s_out, s_data, size) == 0 && tier_used_pages (&s_tier) == 5);
    tier_release (&s_tier, lease);
    CU_ASSERT (tier_move (other, false, lease, 0, s_out, size) == UMBP_ESTALE);
    CU_ASSERT (tier_used_pages (&s_tier) == 0);
    umbp_bulk_client_destroy (&client);
    umbp_bulk_client_destroy (&other);
    tier_stop (&s_tier);
}

//  Items of a lease are numbered without those that are not held
static void test_lease_items (void)
{
    s_start (0, 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);
    CU_ASSERT (tier_store (&s_tier, "a", s_data, 100) == 0);
    CU_ASSERT (tier_store (&s_tier, "b", s_data + 1, 2 * PAGE) == 0);
    CU_ASSERT (tier_store (&s_tier, "c", s_data + 2, 3 * PAGE) == 0);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "none a b none c", 100) == 0);
    const umbp_msg_lease_ok_t *ok = &s_tier.peer.msg.lease_ok;
    CU_ASSERT (umbp_u8s_at (ok->inlined, 1) == 1 && ok->regions.count == 2);
    uint64_t lease = ok->lease;
    CU_ASSERT (tier_move (client, false, lease, 0, s_out, 2 * PAGE) == 0);
    CU_ASSERT (memcmp (s_out, s_data + 1, 2 * PAGE) == 0);
    CU_ASSERT (tier_move (client, false, lease, 1, s_out, 3 * PAGE) == 0);
    CU_ASSERT (memcmp (s_out, s_data + 2, 3 * PAGE) == 0);
    CU_ASSERT (tier_move (client, false, lease, 2, s_out, 1) == UMBP_EDENIED);
    umbp_bulk_client_destroy (&client);
    tier_release (&s_tier, lease);
    tier_stop (&s_tier);
}

//  Its connection is closed: what it had comes to an end, also what nobody else may see
static void test_tcp_session_closed (void)
{
    s_start (0, 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION),
                       *other = tier_connect (&s_tier, 6);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, 2 * PAGE) == 0);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "k1", PAGE);
    uint64_t kept = tier_slot_for (&s_tier, 6, "k2", PAGE);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "key", 0) == 0 && tier_drop (&s_tier, "key") == 0);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, 10) == 0);
    CU_ASSERT (tier_used_pages (&s_tier) == 4);
    umbp_bulk_client_destroy (&client);
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", PAGE));
    CU_ASSERT (tier_gauge (&s_tier, "leases") == 0 && tier_gauge (&s_tier, "slots") == 1);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == UMBP_ESTALE);
    CU_ASSERT (tier_move (other, true, kept, 0, s_data, PAGE) == 0);
    CU_ASSERT (tier_commit (&s_tier, kept, umbp_sum (s_data, PAGE)) == 0);
    umbp_bulk_client_destroy (&other);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  The time of a slot, and of a lease

static void test_slot_ttl (void)
{
    s_start (TTL_MS, 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "key", PAGE);
    CU_ASSERT (s_tier.peer.msg.reserve_ok.ttl_ms == TTL_MS);
    s_wait_past (zclock_mono () + TTL_MS);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, PAGE) == UMBP_ESTALE);
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", 0));
    CU_ASSERT (tier_gauge (&s_tier, "expired_slots") == 1);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == UMBP_ESTALE);
    //  Whoever has the pages now is not disturbed
    CU_ASSERT (tier_store (&s_tier, "next", s_data, PAGE) == 0);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data + 1, PAGE) == UMBP_ESTALE);
    CU_ASSERT (tier_holds (&s_tier, "next", s_data, PAGE));
    umbp_bulk_client_destroy (&client);
    tier_stop (&s_tier);
}

static void test_lease_ttl (void)
{
    s_start (0, TTL_MS);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "key", 0) == 0);
    CU_ASSERT (s_tier.peer.msg.lease_ok.ttl_ms == TTL_MS);
    uint64_t lease = s_tier.peer.msg.lease_ok.lease;
    CU_ASSERT (tier_drop (&s_tier, "key") == 0);
    s_wait_past (zclock_mono () + TTL_MS);
    CU_ASSERT (tier_move (client, false, lease, 0, s_out, PAGE) == UMBP_ESTALE);
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", 0));
    CU_ASSERT (tier_gauge (&s_tier, "expired_leases") == 1 && tier_gauge (&s_tier, "leases") == 0);
    tier_release (&s_tier, lease);
    umbp_bulk_client_destroy (&client);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  The fence: bytes are on their way when the right to move them ends

//  A connection that announces a request of size bytes, and of a write sends half of them
static int s_begin_move (uint8_t op, uint64_t token, uint64_t size)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (s_tier.server, umbp_bulk_alias (SESSION), key);
    int sock = raw_greet (s_tier.bulk, umbp_bulk_alias (SESSION), key);
    umbp_bulk_request_t request = { .op = op, .tag = 1, .token = token, .size = size };
    raw_say (sock, &request);
    if (op == UMBP_BULK_WRITE)
        CU_ASSERT (send (sock, s_data, size / 2, MSG_NOSIGNAL) == (ssize_t) (size / 2));
    return sock;
}

//  A connection that the server has closed
static bool s_is_cut (int sock)
{
    uint8_t wire[UMBP_BULK_WELCOME_BYTES + 1];
    ssize_t rc = 1;
    while (rc > 0 && umbp_tcp_wait (sock, POLLIN, umbp_clock_ms () + PEER_MS) > 0)
        rc = recv (sock, wire, sizeof wire, 0);
    close (sock);
    return rc == 0 || (rc == -1 && errno == ECONNRESET);
}

//  Whatever ends the slot: the pages are nobody's before the write is cut off
static void test_write_is_fenced (void)
{
    for (int how = 0; how < 3; how++) {
        s_start (how == 2 ? TTL_MS : 0, 0);
        uint64_t slot = tier_slot_for (&s_tier, SESSION, "key", 8 * PAGE);
        int sock = s_begin_move (UMBP_BULK_WRITE, slot, 8 * PAGE);
        CU_ASSERT (tier_becomes (&s_tier, "bulk_in_bytes", 4 * PAGE));
        if (how == 0)
            tier_abort (&s_tier, slot);
        else if (how == 1)              //  It says that it is done, and it is not
            CU_ASSERT (tier_commit (&s_tier, slot, umbp_sum (s_data, 8 * PAGE)) == UMBP_ESTALE);
        CU_ASSERT (s_is_cut (sock));
        CU_ASSERT (tier_becomes (&s_tier, "used_bytes", 0));
        CU_ASSERT (tier_gauge (&s_tier, "fences_waited") == 1);
        CU_ASSERT (tier_commit (&s_tier, slot, 1) == UMBP_ESTALE);
        tier_stop (&s_tier);
    }
}

//  A reader that does not take its bytes: the lease ends, its connection is cut, then the pages go
static void test_read_is_fenced (void)
{
    tier_start (&s_tier, (tier_options_t) { .page_size = 1 << 20, .pages = 16 });
    tier_alone (&s_tier);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "key", 16 << 20);
    CU_ASSERT (tier_commit (&s_tier, slot, 1) == 0);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "key", 0) == 0);
    uint64_t lease = s_tier.peer.msg.lease_ok.lease, before = UINT64_MAX, now;
    int sock = s_begin_move (UMBP_BULK_READ, lease, 16 << 20);
    while ((now = tier_gauge (&s_tier, "bulk_out_bytes")) == 0 || now != before)
        before = now;                   //  Until its socket is full
    CU_ASSERT (tier_drop (&s_tier, "key") == 0);
    tier_release (&s_tier, lease);
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", 0));
    CU_ASSERT (tier_gauge (&s_tier, "fences_waited") == 1);
    CU_ASSERT (s_is_cut (sock));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Through the door

static void test_door (void)
{
    umbp_shm_map_t *map, *other_map;
    umbp_msg_t msg, answer;
    s_start (0, 0);
    int door = tier_attach (&s_tier, SESSION, &map), other = tier_attach (&s_tier, 6, &other_map);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = SESSION;
    CU_ASSERT (tier_door_ask (&s_tier, other, &msg, &answer, NULL, NULL) == UMBP_EEXIST);
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "key", 3 * PAGE - 1) == 0);
    const umbp_msg_reserve_ok_t *ok = &s_tier.peer.msg.reserve_ok;
    uint8_t *at = tier_mapped (&s_tier, map, ok->regions, ok->pages);
    uint64_t slot = tier_slot (&s_tier, 0), sum = umbp_sum (s_data, 3 * PAGE - 1);
    memcpy (at, s_data, 3 * PAGE - 1);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);      //  It has no token there
    CU_ASSERT (tier_move (client, true, slot, 0, s_out, PAGE) == UMBP_ESTALE);
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    CU_ASSERT (tier_door_ask (&s_tier, door, &msg, &answer, NULL, NULL) == 0);
    CU_ASSERT (umbp_s8s_at (answer.commit_ok.statuses, 0) == 0);
    umbp_bulk_client_destroy (&client);                      //  Its door is open: nothing ends by that
    CU_ASSERT (tier_lease (&s_tier, 6, "key", 0) == 0);
    const umbp_msg_lease_ok_t *lease = &s_tier.peer.msg.lease_ok;
    CU_ASSERT (memcmp (tier_mapped (&s_tier, other_map, lease->regions, lease->pages), s_data,
                       3 * PAGE - 1)
               == 0);
    tier_release (&s_tier, lease->lease);
    close (door);
    close (other);
    umbp_shm_map_destroy (&map);
    umbp_shm_map_destroy (&other_map);
    CU_ASSERT (tier_becomes (&s_tier, "doors_open", 0));
    tier_stop (&s_tier);
}

//  A client is gone: all it had comes to an end, at once, and its session may attach again
static void test_door_closed (void)
{
    umbp_shm_map_t *map;
    s_start (0, 0);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, 2 * PAGE) == 0);
    for (int turn = 0; turn < 3; turn++) {
        int door = tier_attach (&s_tier, SESSION, &map);
        umbp_shm_map_destroy (&map);
        CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1 k2 k3", PAGE) == 0);
        uint64_t slot = tier_slot (&s_tier, 1);
        CU_ASSERT (tier_lease (&s_tier, SESSION, "key", 0) == 0);
        CU_ASSERT (tier_used_pages (&s_tier) == 5 && tier_gauge (&s_tier, "leases") == 1);
        close (door);
        CU_ASSERT (tier_becomes (&s_tier, "slots", 0) && tier_gauge (&s_tier, "leases") == 0);
        CU_ASSERT (tier_used_pages (&s_tier) == 2);
        CU_ASSERT (tier_commit (&s_tier, slot, 1) == UMBP_ESTALE);
    }
    tier_stop (&s_tier);
}

//  Time alone gives no page of an attached writer away: it may still write
static void test_shm_slot_ttl (void)
{
    umbp_shm_map_t *map;
    s_start (TTL_MS, TTL_MS);
    int door = tier_attach (&s_tier, SESSION, &map);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    CU_ASSERT (tier_reserve (&s_tier, SESSION, "k1 k2", PAGE) == 0);
    uint64_t first = tier_slot (&s_tier, 0);
    CU_ASSERT (tier_lease (&s_tier, SESSION, "key", 0) == 0);
    uint64_t lease = s_tier.peer.msg.lease_ok.lease;
    s_wait_past (zclock_mono () + 2 * TTL_MS);
    CU_ASSERT (tier_used_pages (&s_tier) == 3 && tier_gauge (&s_tier, "slots") == 2);
    CU_ASSERT (tier_gauge (&s_tier, "leases") == 1 && tier_gauge (&s_tier, "expired_slots") == 0);
    CU_ASSERT (tier_commit (&s_tier, first, 1) == UMBP_ESTALE);      //  With this it has let go
    CU_ASSERT (tier_used_pages (&s_tier) == 2 && tier_gauge (&s_tier, "slots") == 1);
    tier_release (&s_tier, lease);
    close (door);
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", PAGE));
    umbp_shm_map_destroy (&map);
    tier_stop (&s_tier);
}

//  A slot of before the session was attached has a token, and keeps it
static void test_attached_later (void)
{
    umbp_shm_map_t *map;
    s_start (0, 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);
    uint64_t slot = tier_slot_for (&s_tier, SESSION, "key", PAGE);
    int door = tier_attach (&s_tier, SESSION, &map);
    umbp_shm_map_destroy (&map);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, PAGE) == 0);
    CU_ASSERT (tier_commit (&s_tier, slot, umbp_sum (s_data, PAGE)) == 0);
    slot = tier_slot_for (&s_tier, SESSION, "k2", PAGE);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, PAGE) == UMBP_ESTALE);
    close (door);
    CU_ASSERT (tier_becomes (&s_tier, "slots", 0));
    umbp_bulk_client_destroy (&client);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  A client that dies, at each step of a put and of a get

enum { AFTER_ATTACH, AFTER_RESERVE, AFTER_COMMIT, AFTER_LEASE, STEPS };

//  In the child: ask one thing through the door. The answer comes in place of the question, if wanted.
static void s_child_ask (int door, umbp_msg_t *msg, bool hear)
{
    static uint8_t wire[UMBP_SHM_DATA_MAX];
    int fds[TIER_REGIONS];
    size_t count = TIER_REGIONS;
    msg->id = 1;
    msg->deadline_ms = PEER_MS;
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    if (size < 0 || umbp_shm_send (door, wire, (size_t) size, NULL, 0) != 0)
        _exit (1);
    if (!hear)
        return;
    size = umbp_shm_recv (door, wire, sizeof wire, fds, &count, PEER_MS);
    if (size < 0 || umbp_msg_decode (msg, wire, (size_t) size) < 0 || msg->status != 0)
        _exit (1);
}

//  Goes up to a step, says so, and waits to be killed
static void s_child (int step, int out)
{
    static words_t column;
    uint32_t size = 4 * PAGE;
    uint64_t slot, sum = 1;
    umbp_msg_t msg;
    int door = tier_door (&s_tier);
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = SESSION;
    s_child_ask (door, &msg, true);
    if (step >= AFTER_RESERVE) {
        umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
        msg.reserve.session = SESSION;
        msg.reserve.keys = words (&column, "k1");
        msg.reserve.sizes = (umbp_u32s_t) { &size, 1 };
        s_child_ask (door, &msg, true);
        slot = umbp_u64s_at (msg.reserve_ok.slots, 0);
    }
    if (step == AFTER_COMMIT) {         //  No shard speaks, so nobody hears the answer
        umbp_msg_init (&msg, UMBP_MSG_commit, 0);
        msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
        msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
        s_child_ask (door, &msg, false);
    }
    if (step == AFTER_LEASE) {
        umbp_msg_init (&msg, UMBP_MSG_lease, 0);
        msg.lease.session = SESSION;
        msg.lease.keys = words (&column, "key");
        s_child_ask (door, &msg, true);
    }
    if (write (out, "", 1) != 1)
        _exit (1);
    for (;;)
        pause ();
}

static void test_client_dies (void)
{
    s_start (0, 0);
    CU_ASSERT (tier_store (&s_tier, "key", s_data, PAGE) == 0);
    for (int step = 0; step < STEPS; step++) {
        int ends[2];
        char there;
        CU_ASSERT_FATAL (pipe (ends) == 0);
        s_tier.shards[0].silent = step == AFTER_COMMIT;
        pid_t child = fork ();
        if (child == 0)
            s_child (step, ends[1]);
        CU_ASSERT_FATAL (child > 0);
        close (ends[1]);
        CU_ASSERT (read (ends[0], &there, 1) == 1);
        close (ends[0]);
        bool slot = step == AFTER_RESERVE || step == AFTER_LEASE, block = step == AFTER_COMMIT;
        CU_ASSERT (tier_becomes (&s_tier, "slots", slot)
                   && tier_becomes (&s_tier, "blocks", 1 + block));
        CU_ASSERT (tier_gauge (&s_tier, "leases") == (step == AFTER_LEASE));
        CU_ASSERT (tier_used_pages (&s_tier) == (slot || block ? 5 : 1));
        kill (child, SIGKILL);
        CU_ASSERT (waitpid (child, NULL, 0) == child);
        s_tier.shards[0].silent = false;
        CU_ASSERT (tier_becomes (&s_tier, "doors_open", 0) && tier_flush (&s_tier));
        CU_ASSERT (tier_gauge (&s_tier, "slots") == 0 && tier_gauge (&s_tier, "leases") == 0);
        CU_ASSERT (tier_drop (&s_tier, "k1") == (block ? 0 : UMBP_ENOENT));  //  It was committed
        CU_ASSERT (tier_used_pages (&s_tier) == 1);
    }
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (200);
    zsys_init ();
    for (size_t index = 0; index < sizeof s_data; index++)
        s_data[index] = (uint8_t) (index * 131 + index / 251);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("manager, bulk", NULL, NULL);
    CU_ADD_TEST (suite, test_tcp);
    CU_ADD_TEST (suite, test_lease_items);
    CU_ADD_TEST (suite, test_tcp_session_closed);
    CU_ADD_TEST (suite, test_slot_ttl);
    CU_ADD_TEST (suite, test_lease_ttl);
    CU_ADD_TEST (suite, test_write_is_fenced);
    CU_ADD_TEST (suite, test_read_is_fenced);
    CU_ADD_TEST (suite, test_door);
    CU_ADD_TEST (suite, test_door_closed);
    CU_ADD_TEST (suite, test_shm_slot_ttl);
    CU_ADD_TEST (suite, test_attached_later);
    CU_ADD_TEST (suite, test_client_dies);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
