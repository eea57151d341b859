//  test/unit/test_late.c - answers that come when their question has ended: who was given something
//  by them gives it back. The memory of such questions, the post that keeps it, and the router, that
//  is given leases and slots.
#include "cluster/late.h"
#include "test/unit/route.h"

#define SHORT_MS 50

//  ------------------------------------------------------------------------------------------------
//  The memory

static void test_memory (void)
{
    umbp_late_t *late = umbp_late_new ();
    umbp_late_question_t question = { .actor = "tier:dram", .node = "b" }, out;
    CU_ASSERT (!umbp_late_take (late, 0, 0, &out));
    for (uint64_t id = 1; id <= UMBP_LATE_MAX + 10; id++) {
        question.id = id;
        question.owner = (void *) (uintptr_t) id;
        umbp_late_keep (late, &question, 1000);
    }
    CU_ASSERT (!umbp_late_take (late, 0, 1000, &out));
    CU_ASSERT (!umbp_late_take (late, 10, 1000, &out));      //  The oldest left
    CU_ASSERT (umbp_late_take (late, 11, 1000, &out));
    CU_ASSERT (out.owner == (void *) 11 && streq (out.actor, "tier:dram") && streq (out.node, "b"));
    CU_ASSERT (!umbp_late_take (late, 11, 1000, &out));      //  Once
    CU_ASSERT (umbp_late_take (late, 12, 1000 + UMBP_LATE_MS - 1, &out));
    CU_ASSERT (!umbp_late_take (late, 13, 1000 + UMBP_LATE_MS, &out));
    umbp_late_destroy (&late);
    umbp_late_destroy (&late);
}

//  ------------------------------------------------------------------------------------------------
//  The post

static umbp_post_t *s_post;
static zloop_t *s_loop;
static unsigned s_ends, s_lates, s_end_wanted, s_late_wanted;
static int64_t s_patience;
static bool s_expect;

static void s_on_late (void *owner, const char *actor, const char *node, const umbp_mail_t *mail)
{
    CU_ASSERT (owner == &s_post && streq (actor, "slow") && streq (node, "a"));
    CU_ASSERT (mail->msg->type == UMBP_MSG_ok && mail->payload_size == 3);
    s_lates++;
}

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    (void) owner;
    (void) tag;
    CU_ASSERT (mail ? status == 0 : status == UMBP_ETIMEDOUT);
    if (s_expect)
        umbp_post_expect_late (s_post, "slow", "a", s_on_late);
    s_ends++;
}

static int s_on_look (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    (void) arg;
    bool done = s_ends >= s_end_wanted && s_lates >= s_late_wanted;
    return done || zclock_mono () > s_patience ? -1 : 0;
}

static void s_run (unsigned ends, unsigned lates)
{
    s_end_wanted = ends;
    s_late_wanted = lates;
    s_patience = zclock_mono () + PEER_MS;
    int timer = zloop_timer (s_loop, 1, 0, s_on_look, NULL);
    zloop_start (s_loop);
    zloop_timer_end (s_loop, timer);
    CU_ASSERT (s_ends == ends && s_lates == lates);
}

static void s_ask (uint32_t deadline_ms)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ping, 0);
    CU_ASSERT (umbp_post_ask (s_post, "slow", "a", &msg, NULL, 0, deadline_ms, s_on_answer, 0)
               == 0);
}

static void s_answer (asked_t *slow, uint64_t id, int status)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_ok, 0);
    msg.status = (int16_t) status;
    asked_answer_id (slow, id, &msg, "abc", 3);
}

static void test_post (void)
{
    asked_t slow;
    asked_start (&slow, "late", "slow");
    s_post = umbp_post_new ("late", "tester", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_post);
    umbp_post_set_node (s_post, "a");
    s_loop = zloop_new ();
    umbp_post_start (s_post, s_loop, NULL, &s_post, NULL, NULL);
    uint64_t ids[4];
    for (unsigned turn = 0; turn < 4; turn++) {              //  The third is not to be undone
        s_expect = turn != 2;
        s_ask (SHORT_MS);
        ids[turn] = asked_hear (&slow, PEER_MS);
        s_run (turn + 1, 0);
    }
    s_expect = true;
    s_answer (&slow, ids[1], 0);
    s_answer (&slow, ids[1], 0);        //  Nobody answers twice, but if he does
    s_answer (&slow, ids[2], 0);
    s_answer (&slow, ids[3], UMBP_EAGAIN);                   //  This gave nothing
    s_answer (&slow, ids[3], 0);
    s_ask (PEER_MS);
    s_answer (&slow, asked_hear (&slow, PEER_MS), 0);        //  In time: there is nothing to undo
    s_run (5, 1);
    s_answer (&slow, ids[0], 0);
    s_run (5, 2);
    CU_ASSERT (umbp_post_stats (s_post)->late == 2 && umbp_post_stats (s_post)->timeouts == 4);
    umbp_post_destroy (&s_post);
    zloop_destroy (&s_loop);
    asked_end (&slow);
}

//  ------------------------------------------------------------------------------------------------
//  The router

//  Our own tier, or that of another node, leases when the router has given up
static void s_late_lease (const char *tier, const char *avoid)
{
    const char *key = route_key ("index", "index@b");
    route_get (key, 5, 0, avoid);
    if (strchr (tier, '@'))
        route_found (route_expect ("index", UMBP_MSG_lookup), "b");
    asked_t *asked = route_expect (tier, UMBP_MSG_lease);
    CU_ASSERT_PTR_NOT_NULL_FATAL (asked);
    mail_t kept = asked->mail;          //  Others are asked meanwhile, and answered before it
    uint64_t id = asked->msg.id;
    asked->mail.count = 0;
    if (strchr (tier, '@'))
        route_leased (route_expect ("tier:dram", UMBP_MSG_lease), UMBP_ENOENT, 0);
    else {
        route_found (route_expect ("index", UMBP_MSG_lookup), "");
        route_found (route_expect ("index@b", UMBP_MSG_lookup), "");
    }
    bool answered = false;              //  It may look again before it gives up
    for (int64_t end = zclock_mono () + PEER_MS; !answered && zclock_mono () < end;) {
        if (asked_hear (&route_index, 10) && route_index.msg.type == UMBP_MSG_lookup)
            route_found (&route_index, "");
        if (asked_hear (&route_link, 10) && route_link.msg.type == UMBP_MSG_lookup)
            route_found (&route_link, "");
        if (asked_hear (&route_tier, 10) && route_tier.msg.type == UMBP_MSG_lease)
            route_leased (&route_tier, UMBP_ENOENT, 0);
        answered = asker_hear (&route_client, 10) != 0;
    }
    CU_ASSERT (answered && route_client.msg.status == 0 && route_get_status (0) < 0);
    mail_close (&asked->mail);
    asked->mail = kept;
    zmq_msg_t *frame = &kept.frames[kept.count - 1];
    CU_ASSERT (umbp_msg_decode (&asked->msg, zmq_msg_data (frame), zmq_msg_size (frame)) > 0);
    CU_ASSERT (asked->msg.id == id);
    route_leased (asked, 0, 7);
    asked = route_expect (tier, UMBP_MSG_release);
    CU_ASSERT (asked && asked->msg.release.leases.count == 1
               && umbp_u64s_at (asked->msg.release.leases, 0) == 1007);
    CU_ASSERT (asker_gauge (&route_client, "late") > 0 && route_quiet ());
}

static void test_router_leases (void)
{
    route_start ();
    s_late_lease ("tier:dram", "");
    s_late_lease ("tier:dram@b", "a");
    CU_ASSERT (asker_gauge (&route_client, "late") == 2);
    route_stop ();
}

//  Slots of a tier that is too slow; the router goes elsewhere, and is late itself in nothing
static void test_router_slots (void)
{
    route_start ();
    const char *key = route_key ("index", "index@b");
    route_put (key, 5, UMBP_PLACE_LOCAL, NULL);
    route_found (route_expect ("index", UMBP_MSG_lookup), "");
    asked_t *asked = route_expect ("tier:dram", UMBP_MSG_reserve);
    CU_ASSERT_PTR_NOT_NULL_FATAL (asked);
    asked_t *next = &route_link;
    CU_ASSERT (asked_hear (next, PEER_MS) > 0 && next->msg.type == UMBP_MSG_reserve);
    route_reserved (next, 0, 3);
    CU_ASSERT (route_answer () == 0 && route_put_status (0) == 0);
    CU_ASSERT (umbp_u64s_at (route_client.msg.put_ok.slots, 0) == 3);
    route_reserved (asked, 0, 9);
    asked = route_expect ("tier:dram", UMBP_MSG_abort);
    CU_ASSERT (asked && asked->msg.abort.slots.count == 1
               && umbp_u64s_at (asked->msg.abort.slots, 0) == 9);
    CU_ASSERT (asker_gauge (&route_client, "late") == 1 && route_quiet ());
    route_stop ();
}

int main (void)
{
    alarm (200);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("late", NULL, NULL);
    CU_ADD_TEST (suite, test_memory);
    CU_ADD_TEST (suite, test_post);
    CU_ADD_TEST (suite, test_router_leases);
    CU_ADD_TEST (suite, test_router_slots);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
