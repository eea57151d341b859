//  test/unit/test_migrator_owner.c - the migrator actor between tiers that the test plays: silent ones,
//  late ones, and ones that lie
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

#include <unistd.h>

#define SMALL 500u
#define LARGE 100000u

typedef struct {
    umbp_home_t home;
    asked_t link;                       //  The owner, b
    lender_t pages;                      //  ... and its bulk server
    zactor_t *manager, *migrator;
    asker_t peer, tier;
} stage_t;

static void s_open (stage_t *self, const char *instance, bool real_tier)
{
    memset (self, 0, sizeof *self);
    home_of (&self->home, instance, "a");
    asked_start (&self->link, instance, "link");
    lender_start (&self->pages, 256);
    if (real_tier)
        self->manager = real_tier_new (&self->home, 4 << 20, 100);
    umbp_migrator_args_t args = { .home = &self->home, .flight_bytes = 0 };
    self->migrator = umbp_migrator_new (&args);
    CU_ASSERT_FATAL (self->migrator && (self->manager || !real_tier));
    asker_start (&self->peer, instance, "migrator");
    if (real_tier)
        asker_start (&self->tier, instance, "tier:dram");
}

static void s_close (stage_t *self)
{
    asker_end (&self->peer);
    if (self->manager)
        asker_end (&self->tier);
    zactor_destroy (&self->migrator);
    zactor_destroy (&self->manager);
    lender_end (&self->pages);
    asked_end (&self->link);
}

//  What the owner says of a key: a status, or a small block that comes along, or a large one in its
//  pages
typedef struct {
    int8_t status;
    uint32_t size;
    bool inlined, wrong_sum;
} block_t;

typedef struct {
    const block_t *blocks;
    uint32_t count;
    const char *bulk;                   //  NULL: where the pages are really served
    uint32_t payload_cut;               //  So much of the payload is missing
} said_t;

//  Wait for the lease of a round. Returns its id.
static uint64_t s_hear_lease (stage_t *self)
{
    uint64_t id = asked_hear (&self->link, PEER_MS);
    CU_ASSERT_FATAL (id != 0);
    CU_ASSERT_STRING_EQUAL (self->link.address, "tier:dram@b");
    CU_ASSERT_EQUAL_FATAL (self->link.msg.type, UMBP_MSG_lease);
    CU_ASSERT_EQUAL (self->link.msg.lease.inline_max, UMBP_INLINE_MAX);
    CU_ASSERT_NOT_EQUAL (self->link.msg.lease.session, 0);
    return id;
}

//  Answer the lease that was heard last
static void s_lend (stage_t *self, const said_t *said)
{
    int8_t statuses[16];
    uint8_t inlined[16], *payload = zmalloc (UMBP_INLINE_MAX);
    uint32_t sizes[16], held_sizes[16], held = 0, used = 0;
    uint64_t sums[16];
    umbp_extent_t extents[16];
    for (uint32_t index = 0; index < said->count; index++) {
        const block_t *block = &said->blocks[index];
        statuses[index] = block->status;
        inlined[index] = block->inlined;
        sizes[index] = block->size;
        uint8_t *bytes = payload + used;
        if (block->inlined)
            used += block->size;
        else if (block->status == 0 && block->size) {
            bytes = lender_take (&self->pages, block->size, &extents[held]);
            held_sizes[held++] = block->size;
        }
        if (block->status == 0)
            lender_fill (bytes, block->size);
        sums[index] = umbp_sum (bytes, block->status == 0 ? block->size : 0) ^ block->wrong_sum;
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_lease_ok, 0);
    umbp_msg_lease_ok_t *ok = &msg.lease_ok;
    ok->statuses = (umbp_s8s_t) { statuses, said->count };
    ok->inlined = (umbp_u8s_t) { inlined, said->count };
    ok->sizes = (umbp_u32s_t) { sizes, said->count };
    ok->sums = (umbp_u64s_t) { sums, said->count };
    ok->lease = held ? LEASE : 0;
    ok->page_size = PAGE;
    ok->ttl_ms = 60000;
    ok->bulk = umbp_text (said->bulk ? said->bulk : umbp_bulk_server_endpoint (self->pages.server));
    uint8_t key_bytes[UMBP_BULK_KEY_BYTES];
    uint64_t alias = umbp_bulk_alias (self->link.msg.lease.session);
    umbp_bulk_server_key (self->pages.server, alias, key_bytes);
    ok->bulk_key = (umbp_bytes_t) { key_bytes, sizeof key_bytes };
    if (held)
        lender_grant (&self->pages, LEASE, alias, false, extents, held_sizes, held);
    asked_answer (&self->link, &msg, payload, used - said->payload_cut);
    free (payload);
}

//  The migrator must end the lease
static void s_hear_release (stage_t *self)
{
    CU_ASSERT_EQUAL_FATAL (asked_hear (&self->link, PEER_MS), UINT64_MAX);
    CU_ASSERT_EQUAL (self->link.msg.type, UMBP_MSG_release);
    CU_ASSERT_EQUAL (umbp_u64s_at (self->link.msg.release.leases, 0), LEASE);
    CU_ASSERT (umbp_bulk_server_revoke (self->pages.server, LEASE) >= 0);
}

static void test_owner_lies (void)
{
    stage_t stage;
    s_open (&stage, "mig-3", true);
    uint64_t id = copies_say (&stage.peer, words_numbered (&copies_keys, "k", 0, 8), "b", PEER_MS);
    s_hear_lease (&stage);
    CU_ASSERT_EQUAL (stage.link.msg.lease.keys.count, 8);
    static const block_t blocks[] = {
        { 0, SMALL, true, false }, { 0, SMALL, true, true }, { 0, LARGE, false, true },
        { 0, LARGE, false, false }, { UMBP_ENOENT, 0, false, false }, { 0, 0, false, false },
        { 100, 5, false, false }, { 0, SMALL, true, false },
    };
    static const int statuses[] = { 0,           UMBP_ECHECKSUM, UMBP_ECHECKSUM, 0,
                                    UMBP_ENOENT, UMBP_EPROTO,    UMBP_EPROTO,    UMBP_EPROTO };
    s_lend (&stage, &(said_t) { blocks, 8, NULL, 1 });
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    for (size_t index = 0; index < 8; index++)
        CU_ASSERT_EQUAL (copies_status (&stage.peer, index), statuses[index]);
    CU_ASSERT_EQUAL (stage.peer.msg.copy_ok.bytes, SMALL + LARGE);
    s_hear_release (&stage);
    CU_ASSERT_EQUAL (asker_gauge (&stage.tier, "blocks"), 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.tier, "slots"), 0);         //  What was wrong has gone
    CU_ASSERT_EQUAL (asker_gauge (&stage.tier, "used_bytes"), PAGE + 25 * PAGE);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "failures"), 5);
    s_close (&stage);
}

//  Answers that are none
static void test_owner_talks_nonsense (void)
{
    static const block_t block = { 0, SMALL, true, false };
    stage_t stage;
    s_open (&stage, "mig-4", true);
    for (int turn = 0; turn < 4; turn++) {
        uint64_t id = copies_say (&stage.peer, words (&copies_keys, "x y"), "b", PEER_MS);
        s_hear_lease (&stage);
        umbp_msg_t msg;
        umbp_msg_init (&msg, turn == 1 ? UMBP_MSG_exists_ok : UMBP_MSG_ok, 0);
        msg.status = (int16_t) (turn == 2 ? UMBP_EAGAIN : 0);
        if (turn == 0)
            s_lend (&stage, &(said_t) { &block, 1, NULL, 0 });
        else
            asked_answer (&stage.link, &msg, NULL, 0);
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
        CU_ASSERT_EQUAL (copies_count (&stage.peer, turn == 2 ? UMBP_EAGAIN : UMBP_EPROTO), 2);
    }
    s_close (&stage);
}

static void test_owner_is_silent (void)
{
    enum { DEADLINE_MS = 1500, TRIES = 5 };
    stage_t stage;
    uint64_t late = 0;
    int64_t took_ms = DEADLINE_MS;
    s_open (&stage, "mig-5", true);
    for (int turn = 0; turn < TRIES && took_ms >= DEADLINE_MS; turn++) {
        int64_t start = zclock_mono ();  //  The machine may stall, but not every time
        CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, "x y"), "b", DEADLINE_MS),
                         0);
        took_ms = zclock_mono () - start;
        CU_ASSERT_EQUAL (copies_count (&stage.peer, UMBP_EUNREACH), 2);
        late = s_hear_lease (&stage);
    }
    CU_ASSERT (took_ms < DEADLINE_MS);

    //  What it says too late is not taken for an answer to the next question
    uint64_t id = copies_say (&stage.peer, words (&copies_keys, "x y"), "b", PEER_MS);
    static const block_t small[] = { { 0, SMALL, true, false }, { UMBP_ENOENT, 0, false, false } };
    uint64_t question = s_hear_lease (&stage);
    CU_ASSERT_NOT_EQUAL (late, question);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    asked_answer_id (&stage.link, late, &msg, NULL, 0);
    s_lend (&stage, &(said_t) { small, 2, NULL, 0 });
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    CU_ASSERT_EQUAL (copies_status (&stage.peer, 0), 0);
    CU_ASSERT_EQUAL (copies_status (&stage.peer, 1), UMBP_ENOENT);
    s_close (&stage);
}

//  Its bulk server is not there, or takes the connection and says nothing
static void test_bulk_fails (void)
{
    static const block_t blocks[] = { { 0, LARGE, false, false }, { 0, SMALL, true, false } };
    stage_t stage;
    s_open (&stage, "mig-6", true);
    int sock = umbp_tcp_listen (loopback_bulk (), 16);
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char silent[64];
    CU_ASSERT_FATAL (sock >= 0 && getsockname (sock, (struct sockaddr *) &address, &size) == 0);
    CU_ASSERT_EQUAL (umbp_tcp_endpoint (&address, silent, sizeof silent), 0);
    const char *const bulks[] = { "127.0.0.1:1", silent, "nowhere", "", "" };
    static const int statuses[] = { UMBP_EUNREACH, UMBP_ETIMEDOUT, UMBP_EINVAL, UMBP_EUNREACH,
                                    UMBP_EUNREACH };
    uint64_t session = 0;
    for (size_t index = 0; index < COUNT_OF (bulks); index++) {
        char keys[32];
        snprintf (keys, sizeof keys, "x%zu y%zu", index, index);
        int64_t start = zclock_mono ();
        uint64_t id = copies_say (&stage.peer, words (&copies_keys, keys), "b", 8000);
        s_hear_lease (&stage);          //  A session whose connection broke is not used again
        CU_ASSERT_EQUAL (session == stage.link.msg.lease.session, index > 3);
        session = stage.link.msg.lease.session;
        s_lend (&stage, &(said_t) { blocks, 2, bulks[index], 0 });
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
        CU_ASSERT (zclock_mono () - start < 8000);
        CU_ASSERT_EQUAL (copies_status (&stage.peer, 0), statuses[index]);
        CU_ASSERT_EQUAL (copies_status (&stage.peer, 1), 0);
        s_hear_release (&stage);
    }
    asker_wait_down (&stage.tier, "slots", 0);

    //  Nor does it hold up our end for long, in all lanes at once
    for (uint64_t count = 1; count <= 4; count++) {
        char keys[32];
        snprintf (keys, sizeof keys, "x-%d y-%d", (int) count, (int) count);
        copies_say (&stage.peer, words (&copies_keys, keys), "b", 60000);
        s_hear_lease (&stage);
        umbp_bulk_server_revoke (stage.pages.server, LEASE);
        s_lend (&stage, &(said_t) { blocks, 2, silent, 0 });
    }
    int64_t start = zclock_mono ();
    s_close (&stage);
    CU_ASSERT (zclock_mono () - start < 8000);
    close (sock);
}

static void test_bounds (void)
{
    stage_t stage;
    s_open (&stage, "mig-7", true);
    CU_ASSERT_PTR_NULL (umbp_migrator_new (&(umbp_migrator_args_t) { .home = &stage.home }));
    CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, "x"), "a", PEER_MS),
                     UMBP_EINVAL);
    asker_push (&stage.peer, "a b", "a", NULL, 1, 0);
    CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, "x"), "z", PEER_MS),
                     UMBP_EUNREACH);
    CU_ASSERT_EQUAL (stage.peer.msg.type, UMBP_MSG_refused);
    CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, "x y"), "b", 1), 0);
    CU_ASSERT_EQUAL (copies_count (&stage.peer, UMBP_ETIMEDOUT), 2);
    CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, ""), "b", PEER_MS), 0);
    CU_ASSERT_EQUAL (stage.peer.msg.copy_ok.statuses.count, 0);

    //  All lanes are held up by a silent owner; the others wait, and are answered in time
    uint64_t first = copies_say (&stage.peer, words (&copies_keys, "x y"), "b", 60000);
    for (size_t count = 1; count < UMBP_MIGRATOR_COPIES_MAX; count++)
        copies_say (&stage.peer, words (&copies_keys, "x y"), "b", count < 10 ? 60000 : 4000);
    CU_ASSERT_EQUAL (copies_make (&stage.peer, words (&copies_keys, "x"), "b", PEER_MS),
                     UMBP_EAGAIN);
    for (size_t count = 10; count < UMBP_MIGRATOR_COPIES_MAX; count++) {
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), first + count);
        CU_ASSERT_EQUAL (copies_count (&stage.peer, UMBP_ETIMEDOUT), 2);
    }
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "requests_open"), 10);
    //  Once the owner speaks, they are served one after the other
    static const block_t none[] = { { UMBP_ENOENT, 0, false, false },
                                    { UMBP_ENOENT, 0, false, false } };
    for (size_t count = 0; count < 10; count++) {
        s_hear_lease (&stage);
        s_lend (&stage, &(said_t) { none, 2, NULL, 0 });
        uint64_t id = asker_hear (&stage.peer, PEER_MS);
        CU_ASSERT_FATAL (id >= first && id < first + 10);
        CU_ASSERT_EQUAL (copies_count (&stage.peer, UMBP_ENOENT), 2);
    }
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "requests_open"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.peer, "busy"), 1);
    s_close (&stage);
}

//  ------------------------------------------------------------------------------------------------
//  A tier of our own that the test plays too

//  What went wrong with the own tier: it fails the keys that it was asked about, and nothing else
static void test_own_tier_fails (void)
{
    static const block_t blocks[] = { { 0, LARGE, false, false }, { 0, SMALL, true, false } };
    stage_t stage;
    asked_t tier;
    s_open (&stage, "mig-8", false);
    asked_start (&tier, "mig-8", "tier:dram");
    static const int8_t full = UMBP_EAGAIN, exists = UMBP_EEXIST, wrong[2] = { 0, 0 };
    static const uint64_t slots[2] = { 0, 0 };
    for (int turn = 0; turn < 4; turn++) {
        uint64_t id =
            copies_say (&stage.peer, words (&copies_keys, "x y"), "b", turn == 3 ? 4000 : PEER_MS);
        s_hear_lease (&stage);
        s_lend (&stage, &(said_t) { blocks, 2, NULL, 0 });
        umbp_msg_t msg;
        for (int question = 0; question < 2; question++) {
            CU_ASSERT_FATAL (asked_hear (&tier, PEER_MS) != 0);
            bool store = tier.msg.type == UMBP_MSG_store;
            CU_ASSERT (store || tier.msg.type == UMBP_MSG_reserve);
            CU_ASSERT (column_is (store ? tier.msg.store.keys : tier.msg.reserve.keys, 0,
                                  store ? "y" : "x"));
            CU_ASSERT (!store || tier.msg.store.keep);
            umbp_msg_init (&msg, store ? UMBP_MSG_store_ok : UMBP_MSG_reserve_ok, 0);
            umbp_s8s_t statuses = { turn == 0   ? &full
                                    : turn == 1 ? wrong
                                                : &exists,
                                    turn == 1 ? 2 : 1 };
            if (store)
                msg.store_ok.statuses = statuses;
            else {
                msg.reserve_ok.statuses = statuses;
                msg.reserve_ok.slots = (umbp_u64s_t) { slots, statuses.count };
                msg.reserve_ok.page_size = msg.reserve_ok.ttl_ms = 1;
            }
            if (turn == 2 && !store) {
                umbp_msg_init (&msg, UMBP_MSG_refused, 0);
                msg.status = UMBP_EIO;
            }
            if (turn < 3)               //  And then it is silent
                asked_answer (&tier, &msg, NULL, 0);
        }
        CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
        static const int statuses[4][2] = {
            { UMBP_EAGAIN, UMBP_EAGAIN },
            { UMBP_EPROTO, UMBP_EPROTO },
            { UMBP_EIO, UMBP_EEXIST },
            { UMBP_ETIMEDOUT, UMBP_ETIMEDOUT },
        };
        CU_ASSERT_EQUAL (copies_status (&stage.peer, 0), statuses[turn][0]);
        CU_ASSERT_EQUAL (copies_status (&stage.peer, 1), statuses[turn][1]);
        s_hear_release (&stage);
    }
    s_close (&stage);
    asked_end (&tier);
}

//  The commit names the slot and the sum, says that the copy is to stay, and its answer is the
//  key's
static void test_commit (void)
{
    static const block_t block = { 0, LARGE, false, false };
    stage_t stage;
    asked_t tier;
    s_open (&stage, "mig-9", false);
    asked_start (&tier, "mig-9", "tier:dram");
    lender_t own;
    lender_start (&own, 64);
    uint64_t id = copies_say (&stage.peer, words (&copies_keys, "x"), "b", PEER_MS);
    s_hear_lease (&stage);
    s_lend (&stage, &(said_t) { &block, 1, NULL, 0 });
    CU_ASSERT_FATAL (asked_hear (&tier, PEER_MS) && tier.msg.type == UMBP_MSG_reserve);
    uint64_t slot = 4242;
    uint32_t size = LARGE;
    umbp_extent_t extent;
    uint8_t *bytes = lender_take (&own, size, &extent);
    uint64_t alias = umbp_bulk_alias (tier.msg.reserve.session);
    lender_grant (&own, slot, alias, true, &extent, &size, 1);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_reserve_ok, 0);
    int8_t status = 0;
    msg.reserve_ok.statuses = (umbp_s8s_t) { &status, 1 };
    msg.reserve_ok.slots = (umbp_u64s_t) { &slot, 1 };
    msg.reserve_ok.page_size = PAGE;
    msg.reserve_ok.ttl_ms = 60000;
    msg.reserve_ok.bulk = umbp_text (umbp_bulk_server_endpoint (own.server));
    uint8_t key_bytes[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (own.server, alias, key_bytes);
    msg.reserve_ok.bulk_key = (umbp_bytes_t) { key_bytes, sizeof key_bytes };
    asked_answer (&tier, &msg, NULL, 0);
    CU_ASSERT_FATAL (asked_hear (&tier, PEER_MS) && tier.msg.type == UMBP_MSG_commit);
    CU_ASSERT_EQUAL (umbp_u64s_at (tier.msg.commit.slots, 0), slot);
    CU_ASSERT_EQUAL (umbp_u64s_at (tier.msg.commit.sums, 0), umbp_sum (bytes, size));
    CU_ASSERT (tier.msg.commit.keep);
    s_hear_release (&stage);            //  As soon as the bytes are here
    umbp_msg_init (&msg, UMBP_MSG_commit_ok, 0);
    status = UMBP_ESTALE;
    msg.commit_ok.statuses = (umbp_s8s_t) { &status, 1 };
    asked_answer (&tier, &msg, NULL, 0);
    CU_ASSERT_EQUAL_FATAL (asker_hear (&stage.peer, PEER_MS), id);
    CU_ASSERT_EQUAL (copies_status (&stage.peer, 0), UMBP_ESTALE);
    CU_ASSERT_EQUAL (stage.peer.msg.copy_ok.bytes, 0);
    s_close (&stage);
    lender_end (&own);
    asked_end (&tier);
}

int main (void)
{
    alarm (240);
    zsys_set_logstream (NULL);
    lender_set_seed ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("migrator_owner", NULL, NULL);
    CU_ADD_TEST (suite, test_owner_lies);
    CU_ADD_TEST (suite, test_owner_talks_nonsense);
    CU_ADD_TEST (suite, test_owner_is_silent);
    CU_ADD_TEST (suite, test_bulk_fails);
    CU_ADD_TEST (suite, test_bounds);
    CU_ADD_TEST (suite, test_own_tier_fails);
    CU_ADD_TEST (suite, test_commit);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
