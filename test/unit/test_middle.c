//  test/unit/test_middle.c - a tier between two others: memory below a device and above a disk, and a disk between memory
//  and a shared file system. Its migrator and its neighbours are the test's own. What goes up and what goes down at the
//  same time do not know each other; storms are told to both sides, heard from both, and not passed on.
#include "test/unit/log.h"
#include "test/unit/tier.h"

#define PAGE 4096
#define STORM 4                         //  Blocks

static tier_t s_tier;
static asked_t s_migrator, s_above, s_below;

static const char *const s_names[] = { "", "tier:hbm", "tier:dram", "tier:nvme", "tier:shared" };

static char s_folder[64];

//  Its log is below s_folder
static umbp_medium_t s_medium (void)
{
    char why[256] = "";
    test_log_folder (s_folder, sizeof s_folder);
    test_log_how_t how = { .engine = "auto",
                           .directories = 1,
                           .capacity = 16 * MIB,
                           .segment_bytes = MIB };
    umbp_log_t *log = test_log_open (s_folder, &how, why, sizeof why);
    if (!log)
        printf ("\n    %s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL (log);
    return umbp_log_medium (&log);
}

//  tier: UMBP_TIER_DRAM or UMBP_TIER_NVME
static void s_start_as (unsigned tier, tier_options_t options)
{
    options.above = options.fed_by = tier - 1;
    options.below = tier + 1;
    options.storm_blocks = STORM;
    options.patience_ms = options.patience_ms ? options.patience_ms : 60000;
    *s_folder = '\0';
    if (tier == UMBP_TIER_NVME)
        options.medium = s_medium ();
    tier_start (&s_tier, options);
    asked_start (&s_migrator, s_tier.instance, "migrator");
    asked_start (&s_above, s_tier.instance, s_names[tier - 1]);
    asked_start (&s_below, s_tier.instance, s_names[tier + 1]);
    tier_alone (&s_tier);
}

static void s_start (unsigned tier)
{
    s_start_as (tier, (tier_options_t) { 0 });
}

static void s_stop (void)
{
    tier_stop (&s_tier);
    asked_end (&s_migrator);
    asked_end (&s_above);
    asked_end (&s_below);
    if (*s_folder)
        test_log_remove (s_folder);
}

//  moved: by the migrator
static void s_store_as (const char *keys, size_t count, bool moved)
{
    static char data[16 * PAGE];
    assert (count <= COUNT_OF (data) / PAGE);
    CU_ASSERT (tier_store_as (&s_tier, keys, data, PAGE, false, moved, PEER_MS) == 0);
}

static void s_store (const char *keys, size_t count)
{
    s_store_as (keys, count, false);
}

static void s_read (const char *keys)
{
    CU_ASSERT (tier_lease (&s_tier, 0, keys, UMBP_INLINE_MAX) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  Copies

//  The next copies that are asked for. Returns the id of the question; 0: none came.
static uint64_t s_asked (unsigned to, const char *wanted)
{
    int64_t end = zclock_mono () + PEER_MS;
    uint64_t id = 0;
    char keys[256] = "";
    while (id == 0 && zclock_mono () < end) {
        tier_serve (&s_tier, 0);
        id = asked_hear (&s_migrator, 10);
    }
    CU_ASSERT_FATAL (id != 0 && s_migrator.msg.type == UMBP_MSG_copy);
    CU_ASSERT (s_migrator.msg.copy.to == to);
    umbp_column_t column = s_migrator.msg.copy.keys;
    size_t offset = 0;
    for (size_t index = 0; index < column.count; index++) {
        umbp_bytes_t key = umbp_column_next (&column, index, &offset);
        size_t used = strlen (keys);
        snprintf (keys + used, sizeof keys - used, "%s%.*s", index ? " " : "", (int) key.size,
                  (const char *) key.data);
    }
    CU_ASSERT (streq (keys, wanted));
    if (strneq (keys, wanted))
        printf ("\n    to %s: %s, wanted %s\n", s_names[to], keys, wanted);
    return id;
}

static void s_copied (uint64_t id, uint32_t count, int8_t status)
{
    int8_t statuses[UMBP_BATCH_MAX];
    memset (statuses, status, sizeof statuses);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_copy_ok, 0);
    answer.copy_ok.statuses = (umbp_s8s_t) { statuses, count };
    asked_answer_id (&s_migrator, id, &answer, NULL, 0);
}

static uint64_t s_say_evict (size_t blocks)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = blocks * PAGE;
    return asker_say (&s_tier.peer, &msg, NULL, 0, 6 * PEER_MS);
}

static uint64_t s_say_drop_as (const char *keys, bool moved)
{
    static words_t column;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = words (&column, keys);
    msg.drop.moved = moved;
    return asker_say (&s_tier.peer, &msg, NULL, 0, 6 * PEER_MS);
}

static uint64_t s_say_drop (const char *keys)
{
    return s_say_drop_as (keys, false);
}

//  Whether a neighbour is asked to drop a block within some time, which it answers so
static bool s_drops_as (asked_t *neighbour, const char *key, int timeout_ms, int8_t status)
{
    for (int64_t end = zclock_mono () + timeout_ms; zclock_mono () < end;) {
        tier_serve (&s_tier, 0);
        if (asked_hear (neighbour, 10) == 0 || neighbour->msg.type != UMBP_MSG_drop)
            continue;
        int8_t statuses[UMBP_BATCH_MAX];
        memset (statuses, status, sizeof statuses);
        size_t offset = 0;
        umbp_bytes_t said = umbp_column_next (&neighbour->msg.drop.keys, 0, &offset);
        bool right = said.size == strlen (key) && memcmp (said.data, key, said.size) == 0;
        umbp_msg_t answer;
        umbp_msg_init (&answer, UMBP_MSG_drop_ok, 0);
        answer.drop_ok.statuses = (umbp_s8s_t) { statuses, neighbour->msg.drop.keys.count };
        CU_ASSERT (right && neighbour->msg.drop.moved);
        asked_answer (neighbour, &answer, NULL, 0);
        return true;
    }
    return false;
}

static bool s_drops (asked_t *neighbour, const char *key, int timeout_ms)
{
    return s_drops_as (neighbour, key, timeout_ms, 0);
}

static void s_advise (const char *keys, uint64_t advice)
{
    static words_t column;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_touch, 0);
    msg.touch.keys = words (&column, keys);
    msg.touch.advice = advice;
    asker_say (&s_tier.peer, &msg, NULL, 0, 0);
}

static void s_need (const char *keys)
{
    s_advise (keys, UMBP_ADVICE_NEED);
}

//  Memory with y and x, of which x is being copied to the device. The question.
static uint64_t s_goes_up (void)
{
    s_start (UMBP_TIER_DRAM);
    s_store ("y x", 2);
    s_read ("x");
    s_read ("x");
    return s_asked (UMBP_TIER_HBM, "x");
}

//  A block that goes up is removed while another one goes down: only the copy of the first is undone
static void test_removed (void)
{
    uint64_t up = s_goes_up ();
    uint64_t evict = s_say_evict (1);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y");
    uint64_t drop = s_say_drop ("x");
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    s_copied (down, 1, 0);
    CU_ASSERT (tier_wait (&s_tier, evict, PEER_MS) == 0);
    CU_ASSERT (!s_drops (&s_below, "y", 200));       //  It is there, and nowhere else any more
    s_copied (up, 1, 0);
    CU_ASSERT (s_drops (&s_above, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "shifts_undone") == 1);
    s_stop ();
}

//  ... and so the other way round
static void test_removed_down (void)
{
    uint64_t up = s_goes_up ();
    uint64_t evict = s_say_evict (1);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y");
    uint64_t drop = s_say_drop ("y");
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    s_copied (up, 1, 0);
    CU_ASSERT (!s_drops (&s_above, "x", 200));
    s_copied (down, 1, 0);
    CU_ASSERT (s_drops (&s_below, "y", PEER_MS));
    for (int left = 2; left > 0; left--) {           //  The eviction and the removal, in whatever order
        int64_t end = zclock_mono () + PEER_MS;
        while (!tier_serve (&s_tier, 10) && zclock_mono () < end)
            ;
        uint64_t heard = asker_hear (&s_tier.peer, 0);
        CU_ASSERT (heard == evict || heard == drop);
        CU_ASSERT (heard != evict || s_tier.peer.msg.evict_ok.blocks == 1);
    }
    CU_ASSERT (tier_gauge (&s_tier, "blocks")
               == 1); //  It made the room that was wanted: x need not leave for it
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 0);
    s_stop ();
}

//  A block that goes both ways is removed: it comes back from neither
static void test_removed_twice (void)
{
    uint64_t up = s_goes_up ();
    uint64_t evict = s_say_evict (2);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y x");
    uint64_t drop = s_say_drop ("x");
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    s_copied (down, 2, 0);
    CU_ASSERT (s_drops (&s_below, "x", PEER_MS));
    CU_ASSERT (asker_hear (&s_tier.peer, PEER_MS) == evict);         //  One of both is still under way
    s_copied (up, 1, 0);
    CU_ASSERT (s_drops (&s_above, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "shifts_undone") == 2);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 0);
    s_stop ();
}

//  All is wiped while one block goes down and after another one went: the first comes back from nowhere, the other one is
//  not ours any more. That is why a router wipes what is below memory twice.
static void test_wiped (void)
{
    umbp_msg_t msg;
    s_start (UMBP_TIER_DRAM);
    s_store ("x y", 2);
    uint64_t evict = s_say_evict (1);
    s_copied (s_asked (UMBP_TIER_NVME, "x"), 1, 0);
    CU_ASSERT (tier_wait (&s_tier, evict, PEER_MS) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    evict = s_say_evict (1);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y");
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    uint64_t wipe = asker_say (&s_tier.peer, &msg, NULL, 0, 6 * PEER_MS);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 0);
    CU_ASSERT (!s_drops (&s_below, "y", 200));       //  Not while it is under way
    s_copied (down, 1, 0);
    CU_ASSERT (s_drops (&s_below, "y", PEER_MS));
    bool wiped = false;
    for (int left = 2; left > 0; left--) {           //  The eviction and the wipe, in whatever order
        int64_t end = zclock_mono () + PEER_MS;
        while (!tier_serve (&s_tier, 10) && zclock_mono () < end)
            ;
        uint64_t heard = asker_hear (&s_tier.peer, 0);
        CU_ASSERT (heard == evict || heard == wipe);
        CU_ASSERT (heard != wipe || s_tier.peer.msg.wipe_ok.blocks == 1);
        wiped |= heard == wipe;
    }
    CU_ASSERT (wiped && tier_gauge (&s_tier, "shifts_undone") == 1);
    CU_ASSERT (!s_drops (&s_below, "x", 200));
    s_stop ();
}

//  What was moved here is taken back, after it was moved on: both neighbours have it no more when that is said, also if
//  it is not here any more. What was put here stays.
static void test_taken_back (void)
{
    s_start (UMBP_TIER_DRAM);
    s_store_as ("y x", 2, true);
    s_store ("own", 1);
    uint64_t drop = s_say_drop_as ("x y gone own", true);
    CU_ASSERT (s_drops (&s_above, "x", PEER_MS));
    CU_ASSERT (asker_hear (&s_tier.peer, 200) == 0);
    CU_ASSERT (s_drops (&s_below, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    const umbp_s8s_t *said = &s_tier.peer.msg.drop_ok.statuses;
    CU_ASSERT (umbp_s8s_at (*said, 0) == 0 && umbp_s8s_at (*said, 2) == UMBP_ENOENT
               && umbp_s8s_at (*said, 3) == UMBP_ENOENT);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 1);
    s_stop ();
}

//  ... by the tier above: that sent it nowhere but here
static void test_taken_back_from_above (void)
{
    umbp_msg_t msg;
    words_t column;
    s_start (UMBP_TIER_DRAM);
    s_store_as ("x", 1, true);
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = words (&column, "x");
    msg.drop.moved = true;
    msg.drop.tier = UMBP_TIER_HBM;
    uint64_t drop = asker_say (&s_tier.peer, &msg, NULL, 0, 6 * PEER_MS);
    CU_ASSERT (s_drops (&s_below, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    CU_ASSERT (!s_drops (&s_above, "x", 200));
    s_stop ();
}

//  A block leaves while it is copied, and is removed then: nobody but its copy's tier knows of it
static void test_removed_and_gone (void)
{
    s_start_as (UMBP_TIER_DRAM, (tier_options_t) { .write_through = true });
    s_store ("x", 1);
    uint64_t down = s_asked (UMBP_TIER_NVME, "x");
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = PAGE;
    msg.evict.own = true;
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 0);
    uint64_t drop = s_say_drop ("x");
    CU_ASSERT (asker_hear (&s_tier.peer, 200) == 0);
    s_copied (down, 1, 0);
    CU_ASSERT (s_drops (&s_below, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    s_stop ();
}

//  Nothing was heard of a copy: it may be made yet, and the index does not know of it
static void test_removed_unsure (void)
{
    s_start_as (UMBP_TIER_DRAM, (tier_options_t) { .write_through = true });
    s_store ("x y", 2);
    s_copied (s_asked (UMBP_TIER_NVME, "x y"), 2, 0);
    CU_ASSERT (tier_becomes (&s_tier, "demotions_open", 0));
    CU_ASSERT (tier_wait (&s_tier, s_say_drop ("y"), PEER_MS) == 0);         //  The router sees to its copy
    s_store ("z", 1);
    s_copied (s_asked (UMBP_TIER_NVME, "z"), 1, UMBP_ETIMEDOUT);
    CU_ASSERT (tier_becomes (&s_tier, "demotions_open", 0));
    uint64_t drop = s_say_drop ("z");
    CU_ASSERT (s_drops (&s_below, "z", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, drop, PEER_MS) == 0);
    s_stop ();
}

//  Who removes a block waits for its copies, not for those of others; and hears if one may be back
static void test_removed_two (void)
{
    uint64_t up = s_goes_up ();
    uint64_t evict = s_say_evict (1);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y");
    uint64_t first = s_say_drop ("x");
    uint64_t second = s_say_drop ("y");
    CU_ASSERT (tier_wait (&s_tier, evict, PEER_MS) == 0);      //  It made the room
    s_copied (up, 1, 0);
    CU_ASSERT (s_drops (&s_above, "x", PEER_MS));
    CU_ASSERT (tier_wait (&s_tier, first, PEER_MS) == 0);
    CU_ASSERT (umbp_s8s_at (s_tier.peer.msg.drop_ok.statuses, 0) == 0);
    s_copied (down, 1, 0);
    CU_ASSERT (s_drops_as (&s_below, "y", PEER_MS, UMBP_ETIMEDOUT));
    CU_ASSERT (tier_wait (&s_tier, second, PEER_MS) == 0);
    CU_ASSERT (umbp_s8s_at (s_tier.peer.msg.drop_ok.statuses, 0) == UMBP_ETIMEDOUT);
    s_stop ();
}

//  The disk stands still until patience is over: others leave without a copy, and what comes there after all stays
static void test_too_late (void)
{
    s_start_as (UMBP_TIER_DRAM, (tier_options_t) { .patience_ms = 200 });
    s_store ("a b c d e f", 6);
    uint64_t evict = s_say_evict (2);
    uint64_t down = s_asked (UMBP_TIER_NVME, "a b");
    CU_ASSERT (tier_wait (&s_tier, evict, PEER_MS) == 0);
    CU_ASSERT (s_tier.peer.msg.evict_ok.blocks == 2);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 4);
    s_copied (down, 2, 0);
    CU_ASSERT (tier_becomes (&s_tier, "demotions_open", 0));
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 4);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 2);
    s_stop ();
}

//  A block that goes up has to leave: it goes down as well
static void test_both_ways (void)
{
    uint64_t up = s_goes_up ();
    uint64_t evict = s_say_evict (2);
    uint64_t down = s_asked (UMBP_TIER_NVME, "y x");
    CU_ASSERT (tier_gauge (&s_tier, "demotions_pressed") == 2);
    CU_ASSERT (tier_gauge (&s_tier, "promotions_open") == 1);
    s_copied (down, 2, 0);
    CU_ASSERT (tier_wait (&s_tier, evict, PEER_MS) == 0);
    CU_ASSERT (s_tier.peer.msg.evict_ok.blocks == 2);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 0);
    s_copied (up, 1, 0);
    CU_ASSERT (tier_becomes (&s_tier, "promotions_open", 0));
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == 0);
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  What is worth a copy on the device

//  What clients say that they will need counts as one read, and no more
static void test_need (void)
{
    s_start (UMBP_TIER_DRAM);
    s_store ("x y", 2);
    s_need ("x");
    CU_ASSERT (tier_becomes (&s_tier, "advised_needed", 1));
    CU_ASSERT (tier_gauge (&s_tier, "promotions_open") == 0);
    s_read ("y");
    s_read ("y");
    uint64_t first = s_asked (UMBP_TIER_HBM, "y");
    s_read ("x");
    uint64_t second = s_asked (UMBP_TIER_HBM, "x");
    s_copied (first, 1, 0);
    s_copied (second, 1, 0);
    CU_ASSERT (tier_becomes (&s_tier, "promotions_open", 0));
    s_stop ();
}

//  What the device has already is not asked about at each read, and is again once it left the device
static void test_hot (void)
{
    s_start (UMBP_TIER_DRAM);
    s_store ("x y", 2);
    s_read ("x");
    s_read ("x");
    s_copied (s_asked (UMBP_TIER_HBM, "x"), 1, UMBP_EEXIST);
    CU_ASSERT (tier_becomes (&s_tier, "promotions_open", 0));
    for (int read = 0; read < 20; read++)
        s_read ("x");
    CU_ASSERT (tier_gauge (&s_tier, "promotions_open") == 0);
    s_read ("y");
    s_read ("y");
    s_copied (s_asked (UMBP_TIER_HBM, "y"), 1, UMBP_EEXIST);
    CU_ASSERT (tier_reserve (&s_tier, 7, "x", PAGE) == 0);   //  As its copy from there begins
    CU_ASSERT (tier_reserved (&s_tier, 0) == UMBP_EEXIST);
    s_read ("x");
    s_copied (s_asked (UMBP_TIER_HBM, "x"), 1, 0);
    CU_ASSERT (tier_becomes (&s_tier, "promotions_open", 0));
    s_stop ();
}

//  --------------------------------------------------------------------------------------------------
//  Pace and storms

static void s_pace (unsigned tier, unsigned share, uint64_t reads, bool storm)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_pace, 0);
    msg.pace.tier = tier;
    msg.pace.share = share;
    msg.pace.reads = reads;
    msg.pace.storm = storm;
    asker_say (&s_tier.peer, &msg, NULL, 0, 0);
}

//  What was told to a neighbour so far is forgotten
static void s_forget (asked_t *neighbour)
{
    while (asked_hear (neighbour, 0) != 0)
        ;
}

//  Wait until a neighbour is told of a storm, or that there is none. Returns whether it was.
static bool s_told (asked_t *neighbour, unsigned tier, bool storm)
{
    for (int64_t end = zclock_mono () + 2 * PEER_MS; zclock_mono () < end;) {
        tier_serve (&s_tier, 0);
        if (asked_hear (neighbour, 10) == 0 || neighbour->msg.type != UMBP_MSG_pace)
            continue;
        CU_ASSERT (neighbour->msg.pace.tier == tier);
        if (neighbour->msg.pace.storm == storm)
            return true;
    }
    return false;
}

//  What others say of themselves counts here, by who says it, and is not passed on
static void s_hears (unsigned tier)
{
    bool disk = tier == UMBP_TIER_NVME; //  What it can take itself is its own to say
    s_pace (tier - 1, 1, 9, true);
    CU_ASSERT (tier_becomes (&s_tier, "storm", 1));
    CU_ASSERT (tier_gauge (&s_tier, "migration_share") == 1000);     //  It does not slow what goes down
    CU_ASSERT (tier_gauge (&s_tier, "reads_lately") == 0);
    s_forget (&s_below);
    CU_ASSERT (s_told (&s_below, tier, false));
    s_pace (tier - 1, 1000, 0, false);
    CU_ASSERT (tier_becomes (&s_tier, "storm", 0));
    s_pace (tier + 1, 500, 4, true);
    CU_ASSERT (tier_becomes (&s_tier, "storm", 1));
    CU_ASSERT (disk || tier_gauge (&s_tier, "migration_share") == 500);
    CU_ASSERT (disk || tier_gauge (&s_tier, "reads_lately") == 4);
    s_forget (&s_above);
    CU_ASSERT (s_told (&s_above, tier, false));
    CU_ASSERT (s_above.msg.pace.share == 1000 && s_above.msg.pace.reads == 0);
    s_pace (tier - 1, 1000, 0, true);
    s_pace (tier - 1, 1000, 0, false);  //  That above is over, the other one is not
    CU_ASSERT (tier_gauge (&s_tier, "storm") == 1);
    s_pace (tier + 1, 1000, 0, false);
    CU_ASSERT (tier_becomes (&s_tier, "storm", 0));
    s_pace (tier == UMBP_TIER_DRAM ? UMBP_TIER_SHARED : UMBP_TIER_HBM, 300, 0, true);
    s_pace (tier, 300, 0, true);        //  Not a neighbour
    CU_ASSERT (tier_gauge (&s_tier, "storm") == 0);
    CU_ASSERT (tier_gauge (&s_tier, "migration_share") == 1000);
}

//  Its own storm is told to both; meanwhile what is read once stays, and idle copies are none
static void s_tells (unsigned tier)
{
    bool disk = tier == UMBP_TIER_NVME;
    s_store ("a b c d e f", 6);
    s_read ("a b c d e f");
    if (!disk)
        s_read ("a b c d e f");
    uint64_t up = s_asked (tier - 1, "f e d c b a");
    CU_ASSERT (s_told (&s_above, tier, true));
    CU_ASSERT (s_told (&s_below, tier, true));
    CU_ASSERT (s_below.msg.pace.share == 1000 && s_below.msg.pace.reads == 0);
    CU_ASSERT (tier_gauge (&s_tier, "storms") == 1);
    if (disk) {
        s_store ("g", 1);
        s_read ("g");
    }
    bool over =
        disk && tier_gauge (&s_tier, "promotions_put_off") == 0; //  We were stopped for seconds
    CU_ASSERT (!over || tier_gauge (&s_tier, "storm") == 0);
    s_copied (up, 6, 0);
    if (over)
        s_copied (s_asked (tier - 1, "g"), 1, 0);
    CU_ASSERT (tier_becomes (&s_tier, "promotions_open", 0));
    CU_ASSERT (s_told (&s_above, tier, false));
    CU_ASSERT (s_told (&s_below, tier, false));
    CU_ASSERT (tier_gauge (&s_tier, "storm") == 0);
}

static void test_memory (void)
{
    s_start (UMBP_TIER_DRAM);
    s_hears (UMBP_TIER_DRAM);
    s_tells (UMBP_TIER_DRAM);
    s_stop ();
}

static void test_disk (void)
{
    s_start (UMBP_TIER_NVME);
    s_hears (UMBP_TIER_NVME);
    s_tells (UMBP_TIER_NVME);
    s_stop ();
}

int main (void)
{
    alarm (300);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("middle", NULL, NULL);
    CU_ADD_TEST (suite, test_removed);
    CU_ADD_TEST (suite, test_removed_down);
    CU_ADD_TEST (suite, test_removed_twice);
    CU_ADD_TEST (suite, test_wiped);
    CU_ADD_TEST (suite, test_taken_back);
    CU_ADD_TEST (suite, test_taken_back_from_above);
    CU_ADD_TEST (suite, test_removed_and_gone);
    CU_ADD_TEST (suite, test_removed_unsure);
    CU_ADD_TEST (suite, test_removed_two);
    CU_ADD_TEST (suite, test_too_late);
    CU_ADD_TEST (suite, test_both_ways);
    CU_ADD_TEST (suite, test_need);
    CU_ADD_TEST (suite, test_hot);
    CU_ADD_TEST (suite, test_memory);
    CU_ADD_TEST (suite, test_disk);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
