//  test/unit/test_far.c - RDMA as whoever moves blocks sees it: what a node may answer, true or not, and
//  what becomes of the transfers. The node is made up here, and so are the devices. With real ones:
//  test/guest/.
#include "cluster/bulk/far.h"
#include "cluster/bulk/pairs.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/bulk/clock.h"

#define BLOCKS 3
#define SESSION 77
#define LINK 4711

struct umbp_verbs_link {
    size_t alive;
};

//  The node, what it was asked, and what its devices do
static struct {
    int joins, exposes, conceals, tells, transfers, links;
    int join_rc, expose_rc, transfer_status;
    bool clean, ended;                  //  As the last conceal said; one without tokens came
    size_t queues_lost;                 //  In the next transfer
    umbp_msg_t answer;
    umbp_pairs_room_t room;
    uint32_t queue_count, region_count;
    uint64_t bases[2], sizes[2];
    uint32_t block_count, row_count, key_count;
    int8_t statuses[BLOCKS + 1];
    uint16_t counts[BLOCKS + 1], regions[8];
    uint32_t pages[8], page_counts[8], keys[32];
} s_node;
static umbp_verbs_t *const s_verbs = (umbp_verbs_t *) &s_node;
static umbp_verbs_link_t s_link;

static umbp_verbs_link_t *s_link_new (umbp_verbs_t *verbs, uint32_t queues, int rights, int *rc_p)
{
    CU_ASSERT (verbs == s_verbs && queues == 0 && rights == UMBP_VERBS_KEEP);
    *rc_p = 0;
    s_node.links++;
    s_link.alive = 2;
    return &s_link;
}

static void s_link_destroy (umbp_verbs_link_t **self_p)
{
    if (*self_p)
        s_node.links--;
    *self_p = NULL;
}

static void s_link_describe (const umbp_verbs_link_t *self, umbp_verbs_description_t *description)
{
    (void) self;
    *description = (umbp_verbs_description_t) { .count = 2 };
}

static int s_link_connect (umbp_verbs_link_t *self, const umbp_verbs_description_t *peer)
{
    (void) self;
    return peer->count == 2 ? 0 : UMBP_EPROTO;
}

static size_t s_link_alive (umbp_verbs_link_t *self)
{
    return self->alive;
}

static int s_transfer (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                       int64_t deadline_ms)
{
    (void) deadline_ms;
    for (size_t index = 0; index < count; index++) {
        CU_ASSERT (items[index].extent_count > 0 && items[index].memories->per_queue);
        CU_ASSERT (items[index].extents->region < items[index].memory_count);
        items[index].sum = 42;
        status[index] = index == 0 ? s_node.transfer_status : 0;
    }
    self->alive -= s_node.queues_lost;
    s_node.transfers++;
    return (int) count;
}

static const umbp_verbs_api_t s_api = {
    .link_new = s_link_new,
    .link_destroy = s_link_destroy,
    .link_describe = s_link_describe,
    .link_connect = s_link_connect,
    .link_alive = s_link_alive,
    .read = s_transfer,
    .write = s_transfer,
};

static void s_answer_join (umbp_msg_join_ok_t *ok)
{
    umbp_verbs_description_t own = { .count = s_node.queue_count };
    umbp_pairs_t pairs = umbp_pairs_write (&own, &s_node.room);
    UMBP_PAIRS_INTO (ok, pairs);
    ok->link = LINK;
    ok->page_size = 4096;
    ok->bases = (umbp_u64s_t) { s_node.bases, s_node.region_count };
    ok->sizes = (umbp_u64s_t) { s_node.sizes, s_node.region_count };
}

static void s_answer_expose (umbp_msg_expose_ok_t *ok)
{
    ok->statuses = (umbp_s8s_t) { s_node.statuses, s_node.block_count };
    ok->counts = (umbp_u16s_t) { s_node.counts, s_node.block_count };
    ok->regions = (umbp_u16s_t) { s_node.regions, s_node.row_count };
    ok->pages = (umbp_u32s_t) { s_node.pages, s_node.row_count };
    ok->page_counts = (umbp_u32s_t) { s_node.page_counts, s_node.row_count };
    ok->keys = (umbp_u32s_t) { s_node.keys, s_node.key_count };
}

static void s_conceal (const umbp_msg_t *msg)
{
    CU_ASSERT_EQUAL (msg->conceal.link, LINK);
    s_node.ended |= msg->conceal.tokens.count == 0;
    if (msg->conceal.tokens.count == 0)
        return;
    s_node.conceals++;
    s_node.clean = msg->conceal.clean;
}

static int s_ask (void *arg, const char *node, umbp_msg_t *msg, int expected, int64_t deadline_ms,
                  const umbp_msg_t **answer_p)
{
    CU_ASSERT (arg == &s_node && !strcmp (node, "far") && deadline_ms > 0);
    umbp_msg_init (&s_node.answer, (umbp_msg_type_t) expected, 1);
    *answer_p = &s_node.answer;
    int rc = 0;
    if (msg->type == UMBP_MSG_join) {
        CU_ASSERT_EQUAL (msg->join.session, SESSION);
        s_node.joins++;
        s_answer_join (&s_node.answer.join_ok);
        rc = s_node.join_rc;
    } else if (msg->type == UMBP_MSG_expose) {
        CU_ASSERT_EQUAL (msg->expose.link, LINK);
        s_node.exposes++;
        s_answer_expose (&s_node.answer.expose_ok);
        rc = s_node.expose_rc;
        s_node.expose_rc = 0;           //  Once
    } else
        s_conceal (msg);
    return rc;
}

static void s_tell (void *arg, const char *node, umbp_msg_t *msg)
{
    CU_ASSERT (arg == &s_node && !strcmp (node, "far"));
    s_node.tells++;
    s_conceal (msg);
}

//  ---- Fixture

static umbp_far_t *s_far;
static umbp_bulk_io_t s_ios[BLOCKS];
static int s_statuses[BLOCKS];

//  A node that answers rightly: each block has one window, the last one two
static void s_begin (void)
{
    const umbp_far_ops_t ops = { &s_api, s_verbs, s_ask, s_tell, &s_node };
    memset (&s_node, 0, sizeof s_node);
    s_node.queue_count = s_node.region_count = 2;
    s_node.bases[0] = 1 << 20;
    s_node.bases[1] = 2 << 20;
    s_node.sizes[0] = s_node.sizes[1] = 1 << 20;
    s_node.block_count = BLOCKS;
    s_node.row_count = BLOCKS + 1;
    s_node.key_count = 2 * s_node.row_count;
    for (size_t block = 0; block < BLOCKS; block++)
        s_node.counts[block] = block == BLOCKS - 1 ? 2 : 1;
    for (size_t row = 0; row < s_node.row_count; row++) {
        s_node.regions[row] = row % 2;
        s_node.page_counts[row] = 1;
    }
    s_far = umbp_far_new (&ops);
}

static size_t s_move (bool write)
{
    static char buffer[BLOCKS];
    static umbp_piece_t pieces[BLOCKS];
    const umbp_far_way_t way = { .node = "far",
                                 .session = SESSION,
                                 .write = write,
                                 .deadline_ms = umbp_clock_ms () + 20000,
                                 .end_ms = umbp_clock_ms () + 20000 };
    for (size_t block = 0; block < BLOCKS; block++) {
        pieces[block] = (umbp_piece_t) { &buffer[block], 1 };
        s_ios[block] = (umbp_bulk_io_t) { .token = 100 + block,
                                          .pieces = &pieces[block], .piece_count = 1 };
        s_statuses[block] = UMBP_EUNREACH;
    }
    return umbp_far_move (s_far, &way, s_ios, BLOCKS, s_statuses);
}

static void s_end (void)
{
    umbp_far_drop (s_far);
    umbp_far_destroy (&s_far);
    CU_ASSERT_EQUAL (s_node.links, 0);
}

//  ---- Tests

static void test_moves_what_is_open (void)
{
    s_begin ();
    s_node.statuses[1] = UMBP_EAGAIN;   //  No windows for that one
    s_node.counts[1] = 0;
    s_node.row_count--;
    s_node.key_count -= 2;
    CU_ASSERT_EQUAL (s_move (false), BLOCKS - 1);
    CU_ASSERT (s_statuses[0] == 0 && s_statuses[1] == UMBP_EUNREACH && s_statuses[2] == 0);
    CU_ASSERT (s_ios[0].sum == 42 && s_ios[1].sum == 0 && s_ios[2].sum == 42);
    CU_ASSERT (s_node.joins == 1 && umbp_far_joined (s_far) == 1);
    CU_ASSERT_EQUAL (s_move (false), BLOCKS - 1);
    CU_ASSERT (s_node.joins == 1 && s_node.exposes == 2 && s_node.conceals == 0);
    CU_ASSERT_EQUAL (s_move (true), BLOCKS - 1);
    CU_ASSERT (s_node.conceals == 1 && s_node.clean && !s_node.ended);
    s_end ();
    CU_ASSERT (s_node.ended);
}

static void test_a_node_without_rdma (void)
{
    s_begin ();
    s_node.join_rc = UMBP_EUNREACH;
    for (int turn = 0; turn < 3; turn++)
        CU_ASSERT_EQUAL (s_move (false), 0);
    CU_ASSERT (s_node.joins == 1 && s_node.exposes == 0);    //  It is not asked again for a while
    CU_ASSERT (s_statuses[0] == UMBP_EUNREACH && s_node.links == 0);
    s_end ();
}

static void test_a_link_that_was_forgotten (void)
{
    s_begin ();
    CU_ASSERT_EQUAL (s_move (false), BLOCKS);
    s_node.expose_rc = UMBP_ENOENT;
    CU_ASSERT_EQUAL (s_move (false), BLOCKS);                //  By a new one, in the same call
    CU_ASSERT (s_node.joins == 2 && s_node.links == 1);
    s_end ();
}

static void test_writes_that_are_not_done (void)
{
    s_begin ();
    s_node.transfer_status = UMBP_EDENIED;
    CU_ASSERT_EQUAL (s_move (true), BLOCKS - 1);
    CU_ASSERT (s_node.conceals == 1 && !s_node.clean);
    CU_ASSERT (s_node.ended && s_node.links == 0);           //  The link is the fence
    s_end ();
    s_begin ();
    s_node.queues_lost = 1;             //  All arrived, but late packets may be under way
    CU_ASSERT_EQUAL (s_move (true), BLOCKS);
    CU_ASSERT (s_node.conceals == 1 && !s_node.clean && s_node.links == 0);
    s_node.queues_lost = 0;
    CU_ASSERT_EQUAL (s_move (true), BLOCKS);                 //  At once, by a new one
    CU_ASSERT (s_node.joins == 2 && s_node.clean);
    s_end ();
}

//  Answers that cannot be: nothing moves, nothing is touched, and the link ends
static void test_a_node_that_lies (void)
{
    for (int lie = 0; lie < 9; lie++) {
        s_begin ();
        switch (lie) {
        case 0: s_node.queue_count = 1; break;               //  Fewer queue pairs than ours
        case 1: s_node.queue_count = 0; break;
        case 2: s_node.block_count = BLOCKS - 1; break;      //  Not of all blocks
        case 3: s_node.block_count = BLOCKS + 1; break;
        case 4: s_node.counts[0] = 2; break;                 //  More windows than rows
        case 5: s_node.counts[2] = 1; break;                 //  Fewer
        case 6: s_node.regions[3] = 2; break;                //  A region that there is not
        case 7: s_node.key_count--; break;
        case 8: s_node.counts[1] = UINT16_MAX; break;
        }
        CU_ASSERT_EQUAL (s_move (lie % 2), 0);
        CU_ASSERT (s_node.transfers == 0 && s_node.links == 0);
        for (size_t block = 0; block < BLOCKS; block++)
            CU_ASSERT_EQUAL (s_statuses[block], UMBP_EUNREACH);
        int joins = s_node.joins;
        CU_ASSERT_EQUAL (s_move (lie % 2), 0);
        CU_ASSERT_EQUAL (s_node.joins, joins);               //  Not again so soon
        s_end ();
    }
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("far", NULL, NULL);
    CU_ADD_TEST (suite, test_moves_what_is_open);
    CU_ADD_TEST (suite, test_a_node_without_rdma);
    CU_ADD_TEST (suite, test_a_link_that_was_forgotten);
    CU_ADD_TEST (suite, test_writes_that_are_not_done);
    CU_ADD_TEST (suite, test_a_node_that_lies);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
