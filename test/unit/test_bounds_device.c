//  test/unit/test_bounds_device.c - a tier on a device beyond its bounds: one more device view than it keeps in mind, more
//  blocks than one has, more pieces than an answer has room for. What is beyond is refused, or told to ask again, and then
//  it can; what was held before stays as it is.
#include "actors/tier/lends.h"
#include "test/unit/tier.h"

#define BLOCKS 64                       //  Each takes a page of the device, and that is all of it
#define SMALL 16                        //  Bytes
#define PIECES (BLOCKS / 2)             //  Of a block that lies between the others
#define LARGE (PIECES * UMBP_VRAM_PAGE_BYTES)
#define ANSWER_PIECES_MAX 4096          //  See lends.c
#define WAIT_MS 60000
#define SESSION 5

static tier_t s_tier;
static uint8_t s_data[LARGE];
static umbp_msg_t s_answer;             //  The last one that came through a door

//  A device full of blocks k0, k1, ...
static void s_start (void)
{
    static words_t keys;
    uint32_t sizes[BLOCKS];
    uint64_t sums[BLOCKS];
    umbp_msg_t msg;
    char why[UMBP_VRAM_WHY_MAX] = "";
    umbp_vram_t *vram = umbp_vram_new ("mock:0", BLOCKS * UMBP_VRAM_PAGE_BYTES, why);
    if (!vram)
        printf ("%s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (vram);
    tier_start (&s_tier, (tier_options_t){ .pages = LARGE / 4096,
                                           .medium = umbp_vram_medium (vram), .vram = vram,
                                           .lease_ttl_ms = 10 * WAIT_MS });
    tier_alone (&s_tier);
    for (size_t index = 0; index < BLOCKS; index++) {
        sizes[index] = SMALL;
        sums[index] = umbp_sum (s_data + index * SMALL, SMALL);
    }
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words_numbered (&keys, "k", 0, BLOCKS);
    msg.store.sizes = (umbp_u32s_t) { sizes, BLOCKS };
    msg.store.sums = (umbp_u64s_t) { sums, BLOCKS };
    CU_ASSERT_FATAL (tier_ask_with (&s_tier, &msg, s_data, BLOCKS * SMALL, WAIT_MS) == 0);
    for (size_t index = 0; index < BLOCKS; index++)
        CU_ASSERT (umbp_s8s_at (s_tier.peer.msg.store_ok.statuses, index) == 0);
}

//  Hold a block many times over. Returns the status of the answer.
static int s_lease (int door, const char *key, size_t times)
{
    static words_t keys;
    umbp_msg_t msg;
    memset (&keys.column, 0, sizeof keys.column);
    for (size_t index = 0; index < times; index++)
        words_add (&keys, key, strlen (key));
    umbp_msg_init (&msg, UMBP_MSG_device_lease, 0);
    msg.device_lease.keys = keys.column;
    return tier_door_ask (&s_tier, door, &msg, &s_answer, NULL, NULL);
}

//  Returns the number of a lease on a block, 0 if it was refused; a block on its way to the device is waited for
static uint64_t s_lease_one (int door, const char *key)
{
    int64_t end = zclock_mono () + WAIT_MS;
    int rc;
    do
        rc = s_lease (door, key, 1);
    while (rc == 0 && umbp_s8s_at (s_answer.device_lease_ok.statuses, 0) == UMBP_EAGAIN
           && zclock_mono () < end);
    return rc == 0 ? s_answer.device_lease_ok.lease : 0;
}

static int s_check (int door, const uint64_t *leases, size_t count, bool release)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_device_check, 0);
    msg.device_check.leases = (umbp_u64s_t) { leases, (uint32_t) count };
    msg.device_check.release = release;
    return tier_door_ask (&s_tier, door, &msg, &s_answer, NULL, NULL);
}

static void test_lends (void)
{
    static uint64_t leases[UMBP_LENDS_MAX + 1];
    const size_t half = UMBP_LENDS_MAX / 2;
    char key[16];
    s_start ();
    int doors[] = { tier_door (&s_tier), tier_door (&s_tier) };
    CU_ASSERT_FATAL (doors[0] >= 0 && doors[1] >= 0);
    for (size_t index = 0; index < UMBP_LENDS_MAX; index++) {
        snprintf (key, sizeof key, "k%zu", index % BLOCKS);
        leases[index] = s_lease_one (doors[index / half], key);
        CU_ASSERT_FATAL (leases[index] != 0);
    }
    for (int turn = 0; turn < 2; turn++) {           //  One more, through either door
        CU_ASSERT (s_lease (doors[turn], "k0", 1) == UMBP_EAGAIN);
        CU_ASSERT (s_answer.type == UMBP_MSG_refused);
    }
    CU_ASSERT (tier_gauge (&s_tier, "lends") == UMBP_LENDS_MAX);
    CU_ASSERT (tier_gauge (&s_tier, "lent_blocks") == UMBP_LENDS_MAX);
    CU_ASSERT (tier_gauge (&s_tier, "lent_bytes") == UMBP_LENDS_MAX * SMALL);
    CU_ASSERT (s_check (doors[0], leases, half, false) == 0);        //  All that were given stand
    CU_ASSERT (s_check (doors[1], leases + half, half, false) == 0);
    CU_ASSERT (s_check (doors[1], leases, 1, true) == UMBP_ESTALE);  //  Not his to end
    CU_ASSERT (tier_gauge (&s_tier, "lends") == UMBP_LENDS_MAX);

    CU_ASSERT (s_check (doors[0], leases, 1, true) == 0);    //  A place for one, whoever comes first
    leases[UMBP_LENDS_MAX] = s_lease_one (doors[1], "k1");
    CU_ASSERT (leases[UMBP_LENDS_MAX] != 0);
    CU_ASSERT (s_lease (doors[0], "k0", 1) == UMBP_EAGAIN);
    CU_ASSERT (s_check (doors[0], leases, 1, false) == UMBP_ESTALE);
    CU_ASSERT (s_check (doors[0], leases + 1, half - 1, false) == 0);
    CU_ASSERT (s_check (doors[1], leases + half, half + 1, false) == 0);

    close (doors[1]);                   //  With all that its client held
    CU_ASSERT (tier_becomes (&s_tier, "lends", half - 1));
    CU_ASSERT (s_lease_one (doors[0], "k2") != 0);
    CU_ASSERT (tier_gauge (&s_tier, "lends_expired") == 0);
    close (doors[0]);
    CU_ASSERT (tier_becomes (&s_tier, "lends", 0));
    CU_ASSERT (tier_gauge (&s_tier, "lent_blocks") == 0 && tier_gauge (&s_tier, "lent_bytes") == 0);
    tier_stop (&s_tier);
}

//  More blocks than a view has
static void test_lent (void)
{
    s_start ();
    int door = tier_door (&s_tier);
    CU_ASSERT_FATAL (door >= 0 && s_lease_one (door, "k0") != 0);
    CU_ASSERT (s_lease (door, "k0", UMBP_LENT_MAX + 1) == UMBP_ETOOBIG);
    CU_ASSERT (s_answer.type == UMBP_MSG_refused);
    CU_ASSERT (tier_gauge (&s_tier, "lends") == 1);
    CU_ASSERT (s_lease (door, "k0", UMBP_LENT_MAX) == 0);
    for (size_t index = 0; index < UMBP_LENT_MAX; index++)
        CU_ASSERT (umbp_s8s_at (s_answer.device_lease_ok.statuses, index) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "lent_blocks") == UMBP_LENT_MAX + 1);
    close (door);
    CU_ASSERT (tier_becomes (&s_tier, "lends", 0));
    tier_stop (&s_tier);
}

//  A block that takes all pages of the device that are left
static void s_put_large (const char *key)
{
    uint64_t slot = tier_slot_for (&s_tier, SESSION, key, LARGE);
    CU_ASSERT_FATAL (slot != 0);
    umbp_bulk_client_t *client = tier_connect (&s_tier, SESSION);
    CU_ASSERT (tier_move (client, true, slot, 0, s_data, LARGE) == 0);
    CU_ASSERT (tier_commit (&s_tier, slot, umbp_sum (s_data, LARGE)) == 0);
    umbp_bulk_client_destroy (&client);
}

//  A block in many pieces, which an answer has no room for so often. Those that are left out are asked for again.
static void test_pieces (void)
{
    char key[16];
    size_t held = ANSWER_PIECES_MAX / PIECES;
    CU_ASSERT_FATAL (held < UMBP_LENT_MAX);
    s_start ();
    int door = tier_door (&s_tier);
    CU_ASSERT_FATAL (door >= 0);
    for (size_t index = 0; index < BLOCKS; index++) {        //  Once all are there every second one leaves
        snprintf (key, sizeof key, "k%zu", index);
        uint64_t lease = s_lease_one (door, key);
        CU_ASSERT (lease != 0 && s_check (door, &lease, 1, true) == 0);
        if (index % 2 == 1)
            CU_ASSERT (tier_drop (&s_tier, key) == 0);
    }
    s_put_large ("large");
    CU_ASSERT_FATAL (s_lease_one (door, "large") != 0);
    CU_ASSERT (umbp_u16s_at (s_answer.device_lease_ok.counts, 0) == PIECES);
    CU_ASSERT (s_lease (door, "large", UMBP_LENT_MAX) == 0);
    const umbp_msg_device_lease_ok_t *ok = &s_answer.device_lease_ok;
    CU_ASSERT_FATAL (ok->statuses.count == UMBP_LENT_MAX && ok->lease != 0);
    CU_ASSERT (ok->chunks.count == ANSWER_PIECES_MAX);
    for (size_t index = 0; index < UMBP_LENT_MAX; index++) {
        CU_ASSERT (umbp_s8s_at (ok->statuses, index) == (index < held ? 0 : UMBP_EAGAIN));
        CU_ASSERT (umbp_u16s_at (ok->counts, index) == (index < held ? PIECES : 0));
    }
    uint64_t first = ok->lease;
    CU_ASSERT (tier_gauge (&s_tier, "lent_blocks") == held + 1);
    CU_ASSERT (s_lease (door, "large", held) == 0);
    CU_ASSERT (s_answer.device_lease_ok.chunks.count == ANSWER_PIECES_MAX);
    CU_ASSERT (s_check (door, &first, 1, true) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "lent_blocks") == held + 1);
    close (door);
    CU_ASSERT (tier_becomes (&s_tier, "lent_blocks", 0));
    CU_ASSERT (tier_drop (&s_tier, "large")
               == 0); //  Nobody holds its pages: there is room for another
    door = tier_door (&s_tier);
    s_put_large ("larger");
    CU_ASSERT (s_lease_one (door, "larger") != 0);
    close (door);
    CU_ASSERT (tier_becomes (&s_tier, "lends", 0));
    tier_stop (&s_tier);
}

int main (void)
{
    alarm (600);
    zsys_init ();
    setenv ("UMBP_MOCK_HBM_BYTES", "67108864", 1);
    unsetenv ("UMBP_MOCK_HBM_SCRIPT");
    for (size_t index = 0; index < sizeof s_data; index++)
        s_data[index] = (uint8_t) (index * 131 + index / 251);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bounds_device", NULL, NULL);
    CU_ADD_TEST (suite, test_lends);
    CU_ADD_TEST (suite, test_lent);
    CU_ADD_TEST (suite, test_pieces);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
