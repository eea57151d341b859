//  test/unit/test_migrator.c - the migrator actor between two real nodes. With an owner that fails, or
//  lies: test_migrator_owner.c
#include "actors/migrator.h"
#include "actors/tier/manager.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_sock.h"
#include "cluster/link.h"
#include "cluster/topology.h"
#include "test/unit/copies.h"
#include "test/unit/lender.h"
#include "test/unit/real_tier.h"

typedef struct {
    umbp_home_t home;
    zactor_t *link, *manager;
    asker_t tier;
    char endpoint[UMBP_TEXT_MAX];
} node_t;

static void s_node_start (node_t *self, const char *instance, const char *name, size_t bytes)
{
    home_of (&self->home, instance, name);
    umbp_link_args_t link = { .instance = instance, .node = name, .listen = loopback_tcp () };
    self->link = umbp_link_new (&link, self->endpoint, sizeof self->endpoint);
    self->manager = real_tier_new (&self->home, bytes, 100);
    CU_ASSERT_FATAL (self->link && self->manager);
    asker_start (&self->tier, instance, "tier:dram");
}

static void s_node_end (node_t *self)
{
    asker_end (&self->tier);
    zactor_destroy (&self->manager);
    zactor_destroy (&self->link);
}

static void s_introduce (const node_t *a, const node_t *b)
{
    char endpoints[2 * UMBP_TEXT_MAX];
    snprintf (endpoints, sizeof endpoints, "%s %s", a->endpoint, b->endpoint);
    const node_t *nodes[] = { a, b };
    for (size_t index = 0; index < 2; index++) {
        asker_t link;
        asker_start (&link, nodes[index]->home.instance, "link");
        asker_push (&link, "a b", nodes[index]->home.node, endpoints, 1, 0);
        asker_end (&link);
    }
}

static uint64_t s_session = 1000000;    //  A new one for each connection: it may end with any

//  Put a block into a tier, over its bulk server if it is large
static void s_put (asker_t *tier, const char *key, const uint8_t *data, uint32_t size)
{
    umbp_msg_t msg;
    uint64_t sum = umbp_sum (data, size);
    if (size <= 1000) {
        umbp_msg_init (&msg, UMBP_MSG_store, 0);
        msg.store.keys = words (&copies_keys, key);
        msg.store.sizes = (umbp_u32s_t) { &size, 1 };
        msg.store.sums = (umbp_u64s_t) { &sum, 1 };
        asker_say (tier, &msg, data, size, PEER_MS);
        CU_ASSERT_FATAL (asker_hear (tier, PEER_MS) && tier->msg.status == 0);
        CU_ASSERT_EQUAL (umbp_s8s_at (tier->msg.store_ok.statuses, 0), 0);
        return;
    }
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    msg.reserve.session = ++s_session;
    msg.reserve.keys = words (&copies_keys, key);
    msg.reserve.sizes = (umbp_u32s_t) { &size, 1 };
    CU_ASSERT_EQUAL_FATAL (asker_ask (tier, &msg, PEER_MS), 0);
    CU_ASSERT_EQUAL_FATAL (umbp_s8s_at (tier->msg.reserve_ok.statuses, 0), 0);
    uint64_t slot = umbp_u64s_at (tier->msg.reserve_ok.slots, 0);
    char endpoint[UMBP_TEXT_MAX + 1];
    umbp_text_copy (tier->msg.reserve_ok.bulk, endpoint, sizeof endpoint);
    uint8_t key_bytes[UMBP_BULK_KEY_BYTES];
    CU_ASSERT_EQUAL_FATAL (tier->msg.reserve_ok.bulk_key.size, sizeof key_bytes);
    memcpy (key_bytes, tier->msg.reserve_ok.bulk_key.data, sizeof key_bytes);
    const umbp_bulk_peer_t peer = { endpoint, umbp_bulk_alias (s_session), key_bytes };
    umbp_bulk_client_t *client = umbp_bulk_client_new (&peer, umbp_clock_ms () + PEER_MS, NULL);
    CU_ASSERT_FATAL (client != NULL);
    umbp_piece_t piece = { (void *) data, size };
    umbp_bulk_io_t io = { .token = slot, .pieces = &piece, .piece_count = 1 };
    int status;
    CU_ASSERT_EQUAL (umbp_bulk_client_write (client, &io, 1, &status, umbp_clock_ms () + PEER_MS),
                     1);
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    CU_ASSERT_EQUAL (asker_ask (tier, &msg, PEER_MS), 0);
    CU_ASSERT_EQUAL (umbp_s8s_at (tier->msg.commit_ok.statuses, 0), 0);
    umbp_bulk_client_destroy (&client);
}

//  Read a block over the bulk server, under a lease. Returns true if it has these bytes.
static bool s_has (asker_t *tier, const char *key, const uint8_t *data, uint32_t size)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.session = ++s_session;
    msg.lease.keys = words (&copies_keys, key);
    if (asker_ask (tier, &msg, PEER_MS) != 0)
        return false;
    const umbp_msg_lease_ok_t *ok = &tier->msg.lease_ok;
    if (umbp_s8s_at (ok->statuses, 0) != 0 || umbp_u32s_at (ok->sizes, 0) != size)
        return false;
    uint64_t lease = ok->lease;
    char endpoint[UMBP_TEXT_MAX + 1];
    umbp_text_copy (ok->bulk, endpoint, sizeof endpoint);
    int64_t deadline = umbp_clock_ms () + PEER_MS;
    uint8_t key_bytes[UMBP_BULK_KEY_BYTES];
    CU_ASSERT_EQUAL_FATAL (ok->bulk_key.size, sizeof key_bytes);
    memcpy (key_bytes, ok->bulk_key.data, sizeof key_bytes);
    const umbp_bulk_peer_t peer = { endpoint, umbp_bulk_alias (s_session), key_bytes };
    umbp_bulk_client_t *client = umbp_bulk_client_new (&peer, deadline, NULL);
    uint8_t *read = zmalloc (size);
    umbp_piece_t piece = { read, size };
    umbp_bulk_io_t io = { .token = lease, .pieces = &piece, .piece_count = 1 };
    int status, got = client ? umbp_bulk_client_read (client, &io, 1, &status, deadline) : 0;
    bool same = got == 1 && memcmp (read, data, size) == 0;
    umbp_bulk_client_destroy (&client);
    free (read);
    umbp_msg_init (&msg, UMBP_MSG_release, 0);
    msg.release.leases = (umbp_u64s_t) { &lease, 1 };
    asker_ask (tier, &msg, PEER_MS);
    return same;
}

static void test_between_nodes (void)
{
    static const uint32_t sizes[] = { 1,       100,   4096,  65536, 65537, (1 << 20) + 3,
                                      5 << 20, 30000, 30000, 30000 };
    node_t a, b;
    s_node_start (&a, "mig-1a", "a", 32 << 20);
    s_node_start (&b, "mig-1b", "b", 32 << 20);
    s_introduce (&a, &b);
    umbp_migrator_args_t args = { .home = &a.home, .flight_bytes = 4 << 20 };
    zactor_t *migrator = umbp_migrator_new (&args);
    CU_ASSERT_FATAL (migrator != NULL);
    asker_t peer;
    asker_start (&peer, "mig-1a", "migrator");
    asker_push (&peer, "a b", "a", NULL, 1, 0);
    uint8_t *data[COUNT_OF (sizes)];
    uint64_t bytes = 0;
    for (size_t index = 0; index < COUNT_OF (sizes); index++) {
        char key[16];
        snprintf (key, sizeof key, "k%zu", index);
        data[index] = zmalloc (sizes[index]);
        lender_fill (data[index], sizes[index]);
        s_put (&b.tier, key, data[index], sizes[index]);
        bytes += index == 1 ? 0 : sizes[index];
    }
    s_put (&a.tier, "k1", data[1], sizes[1]);        //  One is here already
    umbp_column_t keys = words_numbered (&copies_keys, "k", 0, COUNT_OF (sizes) + 1);
    CU_ASSERT_EQUAL_FATAL (copies_make (&peer, keys, "b", PEER_MS), 0);
    for (size_t index = 0; index <= COUNT_OF (sizes); index++)
        CU_ASSERT_EQUAL (copies_status (&peer, index), index == 1                  ? UMBP_EEXIST
                                                       : index == COUNT_OF (sizes) ? UMBP_ENOENT
                                                                                   : 0);
    CU_ASSERT_EQUAL (peer.msg.copy_ok.bytes, bytes);
    for (size_t index = 0; index < COUNT_OF (sizes); index++) {
        char key[16];
        snprintf (key, sizeof key, "k%zu", index);
        CU_ASSERT (s_has (&a.tier, key, data[index], sizes[index]));
        CU_ASSERT (s_has (&b.tier, key, data[index], sizes[index]));
        free (data[index]);
    }
    keys = words_numbered (&copies_keys, "k", 0, COUNT_OF (sizes));
    CU_ASSERT_EQUAL (copies_make (&peer, keys, "b", PEER_MS), 0);         //  And now all are
    CU_ASSERT_EQUAL (copies_count (&peer, UMBP_EEXIST), COUNT_OF (sizes));
    CU_ASSERT_EQUAL (peer.msg.copy_ok.bytes, 0);
    asker_wait_down (&a.tier, "slots", 0);
    asker_wait_down (&b.tier, "leases", 0);
    CU_ASSERT_EQUAL (asker_gauge (&peer, "bytes"), bytes);
    CU_ASSERT_EQUAL (asker_gauge (&peer, "copies"), COUNT_OF (sizes) - 1);
    CU_ASSERT_EQUAL (asker_gauge (&peer, "misses"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&peer, "failures"), 0);
    asker_end (&peer);
    zactor_destroy (&migrator);
    s_node_end (&a);
    s_node_end (&b);
}

//  Many keys in many rounds, several copies at a time, and not enough room for all of them
static void test_many_and_full (void)
{
    enum { KEYS = 700, SIZE = 20000 };
    node_t a, b;
    s_node_start (&a, "mig-2a", "a", 10 << 20);
    s_node_start (&b, "mig-2b", "b", 32 << 20);
    s_introduce (&a, &b);
    umbp_migrator_args_t args = { .home = &a.home, .flight_bytes = 1 << 20 };
    zactor_t *migrator = umbp_migrator_new (&args);
    asker_t peer;
    asker_start (&peer, "mig-2a", "migrator");
    uint8_t *data = zmalloc (KEYS * SIZE);
    lender_fill (data, KEYS * SIZE);
    char key[16];
    for (size_t index = 0; index < KEYS; index++) {
        snprintf (key, sizeof key, "k%zu", index);
        s_put (&b.tier, key, data + index * SIZE, SIZE);
    }
    uint64_t first = copies_say (&peer, words_numbered (&copies_keys, "k", 0, 300), "b", 60000);
    copies_say (&peer, words_numbered (&copies_keys, "k", 100, 300), "b", 60000);
    copies_say (&peer, words_numbered (&copies_keys, "k", 300, KEYS - 300), "b", 60000);
    size_t here = 0, full = 0, others = 0;
    for (size_t count = 0; count < 3; count++) {
        uint64_t id = asker_hear (&peer, 60000);
        CU_ASSERT_FATAL (id >= first && id < first + 3 && peer.msg.status == 0);
        here += copies_count (&peer, 0);
        full += copies_count (&peer, UMBP_EAGAIN);
        others += copies_count (&peer, UMBP_EEXIST);
        CU_ASSERT_EQUAL (peer.msg.copy_ok.bytes, copies_count (&peer, 0) * SIZE);
    }
    CU_ASSERT_EQUAL (here + full + others, 300 + 300 + KEYS - 300);

    //  What fits. Two copies of a key at once take room for both: then some of it is left at last.
    asker_wait_down (&a.tier, "slots", 0);
    CU_ASSERT_EQUAL (copies_make (&peer, words_numbered (&copies_keys, "k", 0, KEYS), "b", 60000),
                     0);
    CU_ASSERT_EQUAL (copies_count (&peer, UMBP_EEXIST), here);
    here += copies_count (&peer, 0);
    CU_ASSERT_EQUAL (here + copies_count (&peer, UMBP_EAGAIN), KEYS);
    CU_ASSERT_EQUAL (here, (10u << 20) / (5 * PAGE));
    CU_ASSERT_EQUAL (asker_gauge (&a.tier, "blocks"), here);
    size_t held = 0;
    for (size_t index = 0; index < KEYS; index++) {
        snprintf (key, sizeof key, "k%zu", index);
        held += s_has (&a.tier, key, data + index * SIZE, SIZE);
    }
    CU_ASSERT_EQUAL (held, here);
    asker_wait_down (&a.tier, "slots", 0);
    asker_wait_down (&b.tier, "leases", 0);
    free (data);
    asker_end (&peer);
    zactor_destroy (&migrator);
    s_node_end (&a);
    s_node_end (&b);
}

int main (void)
{
    alarm (240);
    zsys_set_logstream (NULL);
    lender_set_seed ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("migrator", NULL, NULL);
    CU_ADD_TEST (suite, test_between_nodes);
    CU_ADD_TEST (suite, test_many_and_full);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
