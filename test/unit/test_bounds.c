//  test/unit/test_bounds.c - a tier manager beyond its bounds: one more commit than can wait for the index, one more answer
//  than can be held back, more blocks on their way elsewhere, or down, than it keeps in mind, one more eviction than can
//  wait. What is beyond is refused, or waits; all that was taken ends, and nothing is lost.
#include "actors/tier/manager_self.h"
#include "test/unit/manager.h"

#define LONG_MS 120000                  //  Of requests that wait until the test lets them go
#define SMALL 16                        //  Bytes of a block: many of them fit in a message
#define ASKED_MAX 2048

static tier_t s_tier;

//  --------------------------------------------------------------------------------------------------
//  Many requests at once

static struct {
    uint64_t first;                     //  Id of the first one
    size_t count, heard;
    int said[ASKED_MAX];                //  Of the message, or its only item; 1: nothing yet
    uint64_t blocks[ASKED_MAX];         //  Of an eviction
} s_asked;

static void s_begin (void)
{
    s_asked.first = s_tier.peer.last_id + 1;
    s_asked.count = s_asked.heard = 0;
}

static void s_say (umbp_msg_t *msg, const void *payload, size_t size)
{
    CU_ASSERT_FATAL (s_asked.count < ASKED_MAX);
    s_asked.said[s_asked.count++] = 1;
    asker_say (&s_tier.peer, msg, payload, size, LONG_MS);
}

static int s_status (const umbp_msg_t *msg)
{
    if (msg->status != 0)
        return msg->status;
    return msg->type == UMBP_MSG_store_ok  ? umbp_s8s_at (msg->store_ok.statuses, 0)
           : msg->type == UMBP_MSG_drop_ok ? umbp_s8s_at (msg->drop_ok.statuses, 0)
                                           : 0;
}

//  Take the answer that is there: each request has one
static void s_hear (void)
{
    uint64_t id = asker_hear (&s_tier.peer, 0);
    const umbp_msg_t *msg = &s_tier.peer.msg;
    CU_ASSERT_FATAL (id >= s_asked.first && id < s_asked.first + s_asked.count);
    size_t index = id - s_asked.first;
    CU_ASSERT (s_asked.said[index] == 1);
    s_asked.said[index] = s_status (msg);
    s_asked.blocks[index] = msg->type == UMBP_MSG_evict_ok ? msg->evict_ok.blocks : 0;
    s_asked.heard++;
}

//  Wait until so many were answered
static bool s_until (size_t heard)
{
    int64_t end = zclock_mono () + LONG_MS;
    while (s_asked.heard < heard && zclock_mono () < end)
        if (tier_serve (&s_tier, 10))
            s_hear ();
    CU_ASSERT (s_asked.heard == heard);
    return s_asked.heard == heard;
}

//  How many of them were answered so
static size_t s_said (int status)
{
    size_t count = 0;
    for (size_t index = 0; index < s_asked.count; index++)
        count += s_asked.said[index] == status;
    return count;
}

static void s_store_many (const char *prefix, size_t first, size_t count, bool nowait,
                          words_t *keys)
{
    static uint32_t sizes[UMBP_BATCH_MAX];
    static uint64_t sums[UMBP_BATCH_MAX];
    umbp_msg_t msg;
    for (size_t index = 0; index < count; index++) {
        sizes[index] = SMALL;
        sums[index] = umbp_sum (manager_data, SMALL);
        memcpy (manager_data + index * SMALL, manager_data, SMALL);
    }
    umbp_msg_init (&msg, UMBP_MSG_store, 0);
    msg.store.keys = words_numbered (keys, prefix, first, count);
    msg.store.sizes = (umbp_u32s_t) { sizes, (uint32_t) count };
    msg.store.sums = (umbp_u64s_t) { sums, (uint32_t) count };
    msg.store.nowait = nowait;
    s_say (&msg, manager_data, count * SMALL);
}

//  Blocks prefix0, prefix1, ...
static void s_fill (const char *prefix, size_t count)
{
    static words_t keys;
    for (size_t first = 0; first < count; first += UMBP_BATCH_MAX) {
        size_t some = count - first < UMBP_BATCH_MAX ? count - first : UMBP_BATCH_MAX;
        s_begin ();
        s_store_many (prefix, first, some, false, &keys);
        CU_ASSERT_FATAL (s_until (1) && s_said (0) == 1);
    }
    CU_ASSERT_FATAL (tier_becomes (&s_tier, "blocks", count));
}

//  --------------------------------------------------------------------------------------------------
//  The index

static void test_waiters (void)
{
    static words_t keys;
    size_t beyond = 40, count = UMBP_WAITERS_MAX + beyond;
    tier_start (&s_tier, (tier_options_t) { .pages = 1024 });
    tier_alone (&s_tier);
    s_tier.shards[0].silent = true;
    s_begin ();
    for (size_t index = 0; index < count; index++)
        s_store_many ("k", index, 1, false, &keys);
    CU_ASSERT_FATAL (s_until (beyond)); //  Those that are refused
    CU_ASSERT (s_said (UMBP_EAGAIN) == beyond);
    for (size_t index = 0; index < UMBP_WAITERS_MAX; index++)
        CU_ASSERT (s_asked.said[index] == 1);
    s_tier.shards[0].silent = false;
    CU_ASSERT (s_until (count));
    CU_ASSERT (s_said (0) == UMBP_WAITERS_MAX);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == UMBP_WAITERS_MAX);
    CU_ASSERT (tier_flush (&s_tier) && s_tier.shards[0].held == UMBP_WAITERS_MAX);
    s_begin ();                         //  There is a place again
    s_store_many ("k", UMBP_WAITERS_MAX, 1, false, &keys);
    CU_ASSERT (s_until (1) && s_said (0) == 1);
    tier_stop (&s_tier);
}

static void test_pauses (void)
{
    static words_t keys, key;
    size_t beyond = 20, count = UMBP_PAUSES_MAX + beyond;
    tier_start (&s_tier, (tier_options_t) { 0 });
    tier_alone (&s_tier);
    s_fill ("old", 2);
    s_tier.shards[0].silent = true;
    s_begin ();
    s_store_many ("k", 0, 4, true, &keys);           //  Of which no shard will have heard
    for (size_t index = 0; index < count; index++) {
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_flush, 0);
        s_say (&msg, NULL, 0);
    }
    CU_ASSERT_FATAL (s_until (1 + beyond));
    CU_ASSERT (s_said (UMBP_ETIMEDOUT)
               == beyond); //  They are told so at once, and not that all is well
    for (size_t index = 0; index < UMBP_PAUSES_MAX; index++)
        CU_ASSERT (s_asked.said[1 + index] == 1);
    umbp_msg_t msg;                     //  One that drops is not refused: what it says is done
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = words (&key, "old0");
    s_say (&msg, NULL, 0);
    CU_ASSERT (s_until (1 + beyond + 1) && s_asked.said[count + 1] == 0);
    CU_ASSERT (s_tier.shards[0].held == 2);          //  Which did not hear of it yet
    s_tier.shards[0].silent = false;
    CU_ASSERT (s_until (count + 2));
    CU_ASSERT (s_said (UMBP_ETIMEDOUT) == beyond);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (s_tier.shards[0].held == 5 && !shard_has (&s_tier.shards[0], "old0"));
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  Another node, which takes all that is drained at once

typedef struct {
    size_t copied;                      //  Blocks it was asked to take
    size_t most;                        //  ... of which at most so many were still here
} other_t;

//  What the index and the other node say. Nobody else has any of our blocks.
static void s_answer_drain (other_t *other, asked_t *asked)
{
    static const uint8_t none[UMBP_BATCH_MAX];
    static const int8_t fine[UMBP_BATCH_MAX];
    umbp_msg_t answer;
    if (asked->msg.type == UMBP_MSG_lookup) {
        uint32_t count = asked->msg.lookup.keys.count;
        umbp_msg_init (&answer, UMBP_MSG_lookup_ok, 0);
        answer.lookup_ok.found = (umbp_u8s_t) { none, count };
        asked_answer (asked, &answer, NULL, 0);
    } else if (asked->msg.type == UMBP_MSG_copy) {
        uint32_t count = asked->msg.copy.keys.count;
        umbp_msg_init (&answer, UMBP_MSG_copy_ok, 0);
        answer.copy_ok.statuses = (umbp_s8s_t) { fine, count };
        asked_answer (asked, &answer, NULL, 0);
        other->copied += count;
    } else
        tier_take (&s_tier, asked);
}

//  Serve both for a moment. Returns true if there is an answer to a request of ours.
static bool s_serve_drain (other_t *other)
{
    zmq_pollitem_t items[] = { { zsock_resolve (s_tier.peer.sock), 0, ZMQ_POLLIN, 0 },
                               { zsock_resolve (s_tier.index.sock), 0, ZMQ_POLLIN, 0 },
                               { zsock_resolve (s_tier.link.sock), 0, ZMQ_POLLIN, 0 } };
    if (zmq_poll (items, 3, 10) <= 0)
        return false;
    if (items[1].revents && tier_hear (&s_tier.index))
        s_answer_drain (other, &s_tier.index);
    if (items[2].revents && tier_hear (&s_tier.link))
        s_answer_drain (other, &s_tier.link);
    return items[0].revents != 0;
}

static umbp_msg_drain_ok_t s_drain (other_t *other, uint64_t action)
{
    umbp_msg_t msg;
    int64_t end = zclock_mono () + LONG_MS;
    umbp_msg_init (&msg, UMBP_MSG_drain, 0);
    msg.drain.action = action;
    uint64_t id = asker_say (&s_tier.peer, &msg, NULL, 0, LONG_MS);
    while (!s_serve_drain (other))
        CU_ASSERT_FATAL (zclock_mono () < end);
    CU_ASSERT_FATAL (asker_hear (&s_tier.peer, 0) == id && s_tier.peer.msg.status == 0);
    umbp_msg_drain_ok_t said = s_tier.peer.msg.drain_ok;
    size_t here = other->copied - said.moved_blocks;
    other->most = here > other->most ? here : other->most;
    return said;
}

//  Blocks that are elsewhere stay for a moment. Once so many of them do the others wait.
static void test_moved (void)
{
    static const crowd_t two[] = { CROWD ("a", 1, 0, .draining = true), CROWD ("b", 1 << 30, 0) };
    size_t count = UMBP_MOVED_MAX + UMBP_MOVED_MAX / 4;
    tier_start (&s_tier, (tier_options_t) { .page_size = 512, .pages = (uint32_t) count / 2 + 8 });
    tier_shard (&s_tier, "b");
    tier_push (&s_tier, two, 2, 1);
    CU_ASSERT (tier_flush (&s_tier));
    s_fill ("k", count);
    other_t other = { 0, 0 };
    umbp_msg_drain_ok_t said = s_drain (&other, 1);
    int64_t end = zclock_mono () + LONG_MS;
    while ((said.blocks > 0 || said.state != 4) && zclock_mono () < end)
        said = s_drain (&other, 1);
    CU_ASSERT (said.blocks == 0 && said.state == 4);
    CU_ASSERT (said.moved_blocks == count);
    CU_ASSERT (other.copied == count);               //  Each of them once
    printf ("(%zu at most were elsewhere and here) ", other.most);
    CU_ASSERT (other.most <= UMBP_MOVED_MAX);
    s_drain (&other, 3);
    CU_ASSERT (tier_flush (&s_tier));
    CU_ASSERT (s_tier.shards[0].held == 0 && s_tier.shards[1].held == 0);
    tier_stop (&s_tier);
}

//  --------------------------------------------------------------------------------------------------
//  The tier below. Its migrator is here, and speaks when it is told to.

static asked_t s_migrator;

typedef struct {
    size_t copied;                      //  Blocks
    char first[64];                     //  Key of the first one
} below_t;

static void s_start_below (tier_options_t options)
{
    options.below = UMBP_TIER_NVME;
    tier_start (&s_tier, options);
    asked_start (&s_migrator, s_tier.instance, "migrator");
    tier_alone (&s_tier);
}

static void s_stop_below (void)
{
    tier_stop (&s_tier);
    asked_end (&s_migrator);
}

//  Take one batch, if it is asked for some
static void s_copy_some (below_t *below)
{
    static const int8_t fine[UMBP_BATCH_MAX];
    if (asked_hear (&s_migrator, 10) == 0)
        return;
    umbp_column_t keys = s_migrator.msg.copy.keys;
    size_t at = 0;
    umbp_bytes_t key = umbp_column_next (&keys, 0, &at);
    CU_ASSERT_FATAL (s_migrator.msg.type == UMBP_MSG_copy);
    CU_ASSERT (s_migrator.msg.copy.to == UMBP_TIER_NVME);
    if (below->copied == 0)
        umbp_text_copy ((umbp_text_t) { (const char *) key.data, key.size }, below->first,
                        sizeof below->first);
    below->copied += keys.count;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_copy_ok, 0);
    answer.copy_ok.statuses = (umbp_s8s_t) { fine, keys.count };
    asked_answer (&s_migrator, &answer, NULL, 0);
}

//  Take all until so many blocks were copied. Answers to us are heard meanwhile.
static bool s_copy (below_t *below, size_t copied)
{
    int64_t end = zclock_mono () + LONG_MS;
    while (below->copied < copied && zclock_mono () < end) {
        if (tier_serve (&s_tier, 0))
            s_hear ();
        s_copy_some (below);
    }
    CU_ASSERT (below->copied == copied);
    return below->copied == copied;
}

static void s_evict (size_t pages)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_evict, 0);
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = pages * s_tier.page_size;
    s_say (&msg, NULL, 0);
}

//  One more than can wait takes what leaves at once, without a copy, and says so
static void test_yields (void)
{
    below_t below = { 0 };
    s_start_below ((tier_options_t) { .pages = 128, .patience_ms = LONG_MS });
    s_fill ("k", 200);
    s_begin ();
    for (size_t index = 0; index < UMBP_YIELDS_MAX + 1; index++)
        s_evict (4);
    CU_ASSERT_FATAL (s_until (1));
    CU_ASSERT (s_asked.said[UMBP_YIELDS_MAX] == 0 && s_asked.blocks[UMBP_YIELDS_MAX] == 4);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 4);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_before_copy") == 0);
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == 4 * UMBP_YIELDS_MAX);
    CU_ASSERT (s_copy (&below, 4 * UMBP_YIELDS_MAX));
    CU_ASSERT (s_until (UMBP_YIELDS_MAX + 1));
    CU_ASSERT (s_said (0) == UMBP_YIELDS_MAX + 1);
    for (size_t index = 0; index < UMBP_YIELDS_MAX; index++)
        CU_ASSERT (s_asked.blocks[index] == 4);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == 200 - 4 * (UMBP_YIELDS_MAX + 1));
    CU_ASSERT (tier_gauge (&s_tier, "evicted") == 4 * (UMBP_YIELDS_MAX + 1));
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 4);
    s_stop_below ();
}

//  More blocks are put than can wait to be written through: what is beyond stays, and goes down once it has to
static void test_shift_jobs (void)
{
    below_t below = { 0 };
    size_t beyond = 100, count = UMBP_SHIFT_JOBS_MAX + beyond;
    s_start_below ((tier_options_t){ .page_size = 512,
                                     .pages = (uint32_t) count / 2 + 8,
                                      .write_through = true, .patience_ms = LONG_MS });
    s_fill ("k", count);
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == UMBP_SHIFT_JOBS_MAX);
    s_begin ();
    s_evict (beyond);                   //  There is no place for a job, but there are some that can be hurried
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == UMBP_SHIFT_JOBS_MAX);
    CU_ASSERT (s_copy (&below, UMBP_SHIFT_JOBS_MAX));
    CU_ASSERT (s_until (1) && s_asked.blocks[0] >= beyond);
    CU_ASSERT (tier_becomes (&s_tier, "demotions_open", 0));
    size_t left = count - s_asked.blocks[0];
    CU_ASSERT (tier_gauge (&s_tier, "demoted") == UMBP_SHIFT_JOBS_MAX);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == left);
    s_begin ();                         //  Those that had none have one now
    s_evict (beyond);
    CU_ASSERT (s_copy (&below, UMBP_SHIFT_JOBS_MAX + beyond));
    CU_ASSERT (s_until (1) && s_asked.blocks[0] == beyond);
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == left - beyond);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 0);
    s_stop_below ();
}

//  --------------------------------------------------------------------------------------------------
//  Writing through, while memory is too small for it

static void s_touch (size_t first, size_t end)
{
    for (size_t number = first; number < end; number++) {
        char key[32];
        snprintf (key, sizeof key, "k%zu", number);
        CU_ASSERT (tier_lease (&s_tier, 0, key, UMBP_INLINE_MAX) == 0
                   && tier_leased (&s_tier, 0) == 0);
    }
}

//  What has to leave is copied before all that has only to be copied, which the budget holds up: nothing is lost
static void test_through_pressed (void)
{
    below_t below = { 0 };
    s_start_below ((tier_options_t){ .pages = 128,
                                     .write_through = true,
                                     .down_rate = 1,
                                      .patience_ms = LONG_MS });
    s_fill ("k", 100);
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == 100);
    s_touch (0, 60);                    //  The last in the queue are the first to leave now
    s_begin ();
    s_evict (40);
    CU_ASSERT (s_copy (&below, 40));
    CU_ASSERT (strcmp (below.first, "k60") == 0);
    CU_ASSERT (s_until (1) && s_asked.blocks[0] == 40);
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == 60);
    CU_ASSERT (tier_gauge (&s_tier, "demoted") == 40);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 0);
    s_stop_below ();
}

//  Those that wait for their copy leave last, and are counted if the tier below did not take them in time
static void test_through_last (void)
{
    below_t below = { 0 };
    s_start_below ((tier_options_t) { .pages = 128, .write_through = true, .patience_ms = 100 });
    s_fill ("k", 40);
    CU_ASSERT (s_copy (&below, 40) && tier_becomes (&s_tier, "demotions_open", 0));
    s_begin ();
    s_store_many ("new", 0, 30, false, &(words_t) { 0 });
    CU_ASSERT (s_until (1) && s_said (0) == 1);
    s_touch (0, 40);                    //  The new ones would leave first
    s_begin ();
    s_evict (10);                       //  Nobody copies anything: ten of those that are there already were chosen
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") <= 40);
    CU_ASSERT (s_until (1) && s_asked.blocks[0] == 10);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_without_copy") == 10);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_before_copy") == 0);
    CU_ASSERT (tier_holds (&s_tier, "new0", manager_data, SMALL));
    s_begin ();
    s_evict (50);                       //  ... so few are left that they have to go as well
    CU_ASSERT (s_until (1) && s_asked.blocks[0] > 0);
    CU_ASSERT (tier_gauge (&s_tier, "evicted_before_copy") > 0);
    int64_t end = zclock_mono () + LONG_MS;
    while (tier_gauge (&s_tier, "demotions_open") > 0 && zclock_mono () < end)
        s_copy_some (&below);
    CU_ASSERT (tier_gauge (&s_tier, "demotions_open") == 0);
    s_stop_below ();
}

int main (void)
{
    alarm (600);
    manager_fill ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bounds", NULL, NULL);
    CU_ADD_TEST (suite, test_waiters);
    CU_ADD_TEST (suite, test_pauses);
    CU_ADD_TEST (suite, test_moved);
    CU_ADD_TEST (suite, test_yields);
    CU_ADD_TEST (suite, test_shift_jobs);
    CU_ADD_TEST (suite, test_through_pressed);
    CU_ADD_TEST (suite, test_through_last);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
