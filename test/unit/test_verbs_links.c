//  test/unit/test_verbs_links.c - the owner's end of RDMA at its limits, and what it refuses by name: with
//  the real table of grants, and counted links and windows in place of a device's. With real devices:
//  test/guest/leases.c.
#include "actors/verbs_links.h"
#include "cluster/bulk/pairs.h"
#include "test/unit/bulk.h"

#define SPANS UMBP_VERBS_SPANS_MAX
#define FULL (UMBP_VERBS_WINDOWS_MAX / SPANS)     //  Blocks of so many spans that a link can have open
#define SESSION(n) (1000 + (uint64_t) (n))
#define TOKEN(n) (5000 + (uint64_t) (n))

//  ---- What stands in for a device

struct umbp_verbs {
    int links, windows, regions;        //  That there are
    int calls;                          //  That made windows
    uint32_t keys;
    int refuse;                         //  Windows from this one on, 0: none
    int refusal;
    bool stuck;                         //  Does not say that windows are closed
};

struct umbp_verbs_link {
    umbp_verbs_t *verbs;
    uint32_t queues;
    size_t alive;
    int rights;
};

struct umbp_verbs_region {
    umbp_verbs_t *verbs;
};

struct umbp_verbs_window {
    umbp_verbs_link_t *link;
    uint32_t key;
};

static umbp_verbs_t s_device;
static umbp_verbs_link_t *s_last_link;

static void s_dev_close (umbp_verbs_t **self_p)
{
    CU_ASSERT (s_device.links == 0 && s_device.windows == 0 && s_device.regions == 0);
    *self_p = NULL;
}

static umbp_verbs_region_t *s_dev_region (umbp_verbs_t *verbs, void *base, size_t bytes, int rights,
                                          int *rc_p)
{
    CU_ASSERT (base && bytes && rights == UMBP_VERBS_KEEP);
    umbp_verbs_region_t *self = malloc (sizeof *self);
    self->verbs = verbs;
    verbs->regions++;
    *rc_p = 0;
    return self;
}

static void s_dev_region_end (umbp_verbs_region_t **self_p)
{
    (*self_p)->verbs->regions--;
    free (*self_p);
    *self_p = NULL;
}

static umbp_verbs_link_t *s_dev_link (umbp_verbs_t *verbs, uint32_t queues, int rights, int *rc_p)
{
    umbp_verbs_link_t *self = malloc (sizeof *self);
    *self = (umbp_verbs_link_t) { verbs, queues, queues, rights };
    verbs->links++;
    *rc_p = 0;
    s_last_link = self;
    return self;
}

//  The rule of verbs.h: windows go first
static void s_dev_link_end (umbp_verbs_link_t **self_p)
{
    (*self_p)->verbs->links--;
    free (*self_p);
    *self_p = NULL;
}

static void s_dev_describe (const umbp_verbs_link_t *self, umbp_verbs_description_t *description)
{
    *description = (umbp_verbs_description_t) { .count = self->queues };
}

static int s_dev_connect (umbp_verbs_link_t *self, const umbp_verbs_description_t *peer)
{
    return peer->count == self->queues ? 0 : UMBP_EPROTO;
}

static size_t s_dev_alive (umbp_verbs_link_t *self)
{
    return self->alive;
}

static int s_dev_window (umbp_verbs_link_t *link, umbp_verbs_part_t *part)
{
    umbp_verbs_t *verbs = link->verbs;
    CU_ASSERT (part->region && part->offset % PAGE == 0 && part->bytes % PAGE == 0 && part->bytes);
    CU_ASSERT (part->right == UMBP_VERBS_READ || part->right == UMBP_VERBS_WRITE);
    CU_ASSERT (link->rights & part->right && link->rights & UMBP_VERBS_ALONE);
    part->window = NULL;
    if (verbs->refuse && --verbs->refuse == 0)
        return verbs->refusal;
    part->window = malloc (sizeof *part->window);
    *part->window = (umbp_verbs_window_t) { link, ++verbs->keys };
    verbs->windows++;
    return 0;
}

static size_t s_dev_windows (umbp_verbs_link_t *link, umbp_verbs_part_t *parts, size_t count)
{
    size_t done = 0;
    for (size_t index = 0; index < count; index++) {
        parts[index].rc = s_dev_window (link, &parts[index]);
        done += parts[index].rc == 0;
    }
    link->verbs->calls++;
    return done;
}

static int s_dev_windows_end (umbp_verbs_window_t **windows, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        windows[index]->link->verbs->windows--;
        free (windows[index]);
        windows[index] = NULL;
    }
    return s_device.stuck ? UMBP_EIO : 0;
}

static void s_dev_window_describe (const umbp_verbs_window_t *self, umbp_verbs_memory_t *memory)
{
    *memory = (umbp_verbs_memory_t) { .per_queue = true };
    for (uint32_t queue = 0; queue < self->link->queues; queue++)
        memory->keys[queue] = self->key;
}

static const umbp_verbs_api_t s_api = {
    .version = UMBP_VERBS_VERSION,
    .close = s_dev_close,
    .region_new = s_dev_region,
    .region_destroy = s_dev_region_end,
    .link_new = s_dev_link,
    .link_destroy = s_dev_link_end,
    .link_describe = s_dev_describe,
    .link_connect = s_dev_connect,
    .link_alive = s_dev_alive,
    .windows_new = s_dev_windows,
    .windows_destroy = s_dev_windows_end,
    .window_describe = s_dev_window_describe,
};

//  ---- Fixture

static umbp_verbs_links_t *s_links;
static umbp_verbs_row_t s_rows[UMBP_WINDOWS_MAX];

static void s_begin (int64_t idle_ms)
{
    int rc = 1;
    bulk_start ((umbp_bulk_server_config_t) { .tokens_max = 4096 });
    s_device = (umbp_verbs_t) { 0 };
    umbp_verbs_links_args_t args = { .api = &s_api,
                                     .verbs = &s_device,
                                     .regions = bulk_regions,
                                     .region_count = 2,
                                     .page_size = PAGE,
                                     .bulk = bulk_server,
                                     .idle_ms = idle_ms };
    s_links = umbp_verbs_links_new (&args, &rc);
    CU_ASSERT_FATAL (s_links != NULL && rc == 0);
    CU_ASSERT_EQUAL (s_device.regions, 2);
}

static void s_end (void)
{
    umbp_verbs_links_destroy (&s_links);
    CU_ASSERT (s_device.links == 0 && s_device.windows == 0);
    bulk_stop ();
}

static umbp_verbs_links_stats_t s_stats (void)
{
    return umbp_verbs_links_stats (s_links);
}

//  A token for one block, every other page of a region: each is a span of its own
static void s_grant (uint64_t token, uint64_t session, bool write, uint32_t spans)
{
    umbp_extent_t extents[SPANS + 1];
    for (uint32_t index = 0; index < spans; index++)
        extents[index] = (umbp_extent_t) { token % 2, 2 * index, 1, 1 };
    const umbp_grant_item_t item = { extents, spans, (uint64_t) spans * PAGE };
    const umbp_grant_t grant = { token, session, write, INT64_MAX, &item, 1 };
    CU_ASSERT_EQUAL_FATAL (umbp_bulk_server_grant (bulk_server, &grant), 0);
}

static int s_join (uint64_t session, uint64_t *number_p)
{
    umbp_verbs_description_t peer = { .count = 2 }, own;
    int rc = umbp_verbs_links_join (s_links, session, "user", &peer, number_p, &own);
    CU_ASSERT (rc != 0 || (own.count == 2 && *number_p != 0));
    return rc;
}

static int s_open_by (const char *user, uint64_t number, uint64_t token, bool write, size_t max)
{
    uint32_t item = 0;
    int8_t status = 1;
    uint16_t count = UINT16_MAX;
    const umbp_verbs_ask_t ask = { { &token, 1 }, { &item, 1 }, write };
    int rc = umbp_verbs_links_expose (s_links, number, user, &ask, s_rows, max, &status, &count);
    if (rc < 0)
        return rc;
    CU_ASSERT (rc == count && (status == 0) == (count > 0));
    return status < 0 ? status : count;
}

static int s_open (uint64_t number, uint64_t token, bool write)
{
    return s_open_by ("user", number, token, write, UMBP_WINDOWS_MAX);
}

//  ---- Limits

static void test_as_many_links_as_there_is_room_for (void)
{
    static uint64_t numbers[UMBP_VERBS_LINKS_MAX + 2];
    s_begin (60000);
    for (int who = 0; who <= UMBP_VERBS_LINKS_MAX; who++)
        s_grant (TOKEN (who), SESSION (who), false, 2);
    for (int who = 0; who < UMBP_VERBS_LINKS_MAX; who++) {
        CU_ASSERT_EQUAL_FATAL (s_join (SESSION (who), &numbers[who]), 0);
        CU_ASSERT_EQUAL (s_open (numbers[who], TOKEN (who), false), 2);
    }
    CU_ASSERT_EQUAL (s_stats ().links, UMBP_VERBS_LINKS_MAX);
    CU_ASSERT_EQUAL (s_stats ().windows, 2 * UMBP_VERBS_LINKS_MAX);
    //  All have something open: nobody is thrown out for a newcomer
    int last = UMBP_VERBS_LINKS_MAX;
    CU_ASSERT_EQUAL (s_join (SESSION (last), &numbers[last]), UMBP_EAGAIN);
    CU_ASSERT_EQUAL (s_device.links, UMBP_VERBS_LINKS_MAX);
    //  One that has nothing open makes room
    umbp_verbs_links_conceal (s_links, numbers[77], "user", TOKEN (77), true);
    CU_ASSERT_EQUAL (s_join (SESSION (last), &numbers[last]), 0);
    CU_ASSERT_EQUAL (s_device.links, UMBP_VERBS_LINKS_MAX);
    CU_ASSERT_EQUAL (s_open (numbers[77], TOKEN (77), false), UMBP_ENOENT);
    CU_ASSERT_EQUAL (s_open (numbers[last], TOKEN (last), false), 2);
    //  A session that joins again has one link, not two
    uint64_t again;
    CU_ASSERT_EQUAL (s_join (SESSION (3), &again), 0);
    CU_ASSERT (again != numbers[3]);
    CU_ASSERT_EQUAL (s_device.links, UMBP_VERBS_LINKS_MAX);
    CU_ASSERT_EQUAL (s_open (numbers[3], TOKEN (3), false), UMBP_ENOENT);
    CU_ASSERT_EQUAL (s_open (again, TOKEN (3), false), 2);
    CU_ASSERT_EQUAL (s_stats ().joined, UMBP_VERBS_LINKS_MAX + 2);
    s_end ();
}

static void test_as_many_windows_as_a_link_may_have (void)
{
    uint64_t number, other;
    s_begin (60000);
    for (int block = 0; block <= FULL; block++)
        s_grant (TOKEN (block), SESSION (1), false, SPANS);
    s_grant (TOKEN (900), SESSION (1), false, SPANS + 1);
    s_grant (TOKEN (901), SESSION (2), false, 1);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (900), false), UMBP_EAGAIN);  //  Too many pieces
    CU_ASSERT_EQUAL (s_open_by ("user", number, TOKEN (0), false, SPANS - 1),
                     UMBP_EAGAIN);                           //  ... for this message
    CU_ASSERT_EQUAL (s_device.windows, 0);
    for (int block = 0; block < FULL; block++)
        CU_ASSERT_EQUAL (s_open (number, TOKEN (block), false), SPANS);
    CU_ASSERT_EQUAL (s_device.windows, UMBP_VERBS_WINDOWS_MAX);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (FULL), false), UMBP_EAGAIN);
    CU_ASSERT_EQUAL (s_device.windows, UMBP_VERBS_WINDOWS_MAX);
    CU_ASSERT_EQUAL (s_stats ().refused, 3);
    //  That is for each link by itself
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (2), &other), 0);
    CU_ASSERT_EQUAL (s_open (other, TOKEN (901), false), 1);
    umbp_verbs_links_conceal (s_links, number, "user", TOKEN (5), true);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (FULL), false), SPANS);
    CU_ASSERT_EQUAL (s_device.windows, UMBP_VERBS_WINDOWS_MAX + 1);
    //  What was refused is held by nobody, what is open is
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (900)), 0);
    CU_ASSERT (umbp_bulk_server_revoke (bulk_server, TOKEN (FULL)) > 0);
    umbp_verbs_links_cut (s_links);
    bulk_expect (UMBP_BULK_REVOKED, TOKEN (FULL));
    CU_ASSERT_EQUAL (s_device.windows, UMBP_VERBS_WINDOWS_MAX + 1 - SPANS);
    CU_ASSERT_EQUAL (s_device.links, 2);
    s_end ();
}

//  Many blocks in one message: their windows are made at once, and one that cannot be fails no other
static void test_many_at_once (void)
{
    enum { COUNT = 8 };
    uint64_t number, tokens[COUNT];
    uint32_t items[COUNT] = { 0 };
    int8_t statuses[COUNT];
    uint16_t counts[COUNT];
    s_begin (60000);
    for (int block = 0; block < COUNT; block++) {
        tokens[block] = TOKEN (block);
        s_grant (TOKEN (block), block == 2 ? SESSION (2) : SESSION (1), false, 250);
    }
    tokens[7] = tokens[0];
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    const umbp_verbs_ask_t ask = { { tokens, COUNT }, { items, COUNT }, false };
    s_device.refuse = 300;              //  In the second block
    s_device.refusal = UMBP_ENOSPC;
    CU_ASSERT_EQUAL (umbp_verbs_links_expose (s_links, number, "user", &ask, s_rows,
                                              UMBP_WINDOWS_MAX, statuses, counts),
                     750);
    //  0 is fine, 1 the device refused, 2 is another's, 3 and 4 are fine, 5 and 6 have no room, 7 is 0
    static const int8_t wanted[COUNT] = { 0, UMBP_ENOSPC, UMBP_EDENIED, 0,
                                          0, UMBP_EAGAIN, UMBP_EAGAIN,  UMBP_EAGAIN };
    for (int block = 0; block < COUNT; block++) {
        CU_ASSERT_EQUAL (statuses[block], wanted[block]);
        CU_ASSERT_EQUAL (counts[block], wanted[block] == 0 ? 250 : 0);
    }
    CU_ASSERT_EQUAL (s_device.calls, 1);
    CU_ASSERT_EQUAL (s_device.windows, 750);
    for (int row = 0; row < 750; row++) {    //  Rows follow each other, block by block
        int block = row < 250 ? 0 : row < 500 ? 3 : 4;
        CU_ASSERT (s_rows[row].extent.page == (uint32_t) (row % 250) * 2);
        CU_ASSERT (s_rows[row].extent.region == TOKEN (block) % 2 && s_rows[row].extent.count == 1);
        CU_ASSERT (s_rows[row].keys[0] && s_rows[row].keys[0] == s_rows[row].keys[1]);
    }
    CU_ASSERT (s_stats ().exposed == 3 && s_stats ().refused == 5);
    s_end ();
}

//  ---- Refusals

static void test_refusals_have_names (void)
{
    uint64_t number;
    s_begin (60000);
    CU_ASSERT_EQUAL (s_join (SESSION (1), &number), UMBP_ESTALE);      //  Nothing granted
    s_grant (TOKEN (1), SESSION (1), false, 3);
    s_grant (TOKEN (2), SESSION (2), false, 3);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    CU_ASSERT_EQUAL (s_open (number + 1, TOKEN (1), false), UMBP_ENOENT);
    CU_ASSERT_EQUAL (s_open_by ("thief", number, TOKEN (1), false, SPANS),
                     UMBP_ENOENT);                           //  The link of somebody else
    CU_ASSERT_EQUAL (umbp_verbs_links_queues (s_links, number, "thief"), 0);
    CU_ASSERT_EQUAL (umbp_verbs_links_queues (s_links, number, "user"), 2);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (2), false),
                     UMBP_EDENIED); //  The lease of somebody else
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), true), UMBP_EDENIED);  //  A lease is not to write
    CU_ASSERT_EQUAL (s_open (number, TOKEN (99), false), UMBP_ESTALE);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), false), 3);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), false), UMBP_EAGAIN);  //  It is open already
    CU_ASSERT_EQUAL (s_device.windows, 3);
    umbp_verbs_links_leave (s_links, number, "thief");
    umbp_verbs_links_conceal (s_links, number, "thief", TOKEN (1), true);
    CU_ASSERT_EQUAL (s_device.windows, 3);
    s_end ();
}

//  The device has no room for the second of three: nothing stays open, and the link goes on
static void test_a_device_without_room (void)
{
    uint64_t number;
    s_begin (60000);
    s_grant (TOKEN (1), SESSION (1), true, 3);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    s_device.refuse = 2;
    s_device.refusal = UMBP_ENOSPC;
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), true), UMBP_ENOSPC);
    CU_ASSERT_EQUAL (s_device.windows, 0);
    CU_ASSERT_EQUAL (s_stats ().fenced, 0);                  //  Nobody was told the keys
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), true), 3);
    CU_ASSERT_EQUAL (s_device.links, 1);
    s_end ();
}

//  ---- The fence

static void test_what_ends_with_a_token (void)
{
    uint64_t number, writer;
    s_begin (60000);
    s_grant (TOKEN (1), SESSION (1), false, 3);
    s_grant (TOKEN (2), SESSION (2), true, 3);
    s_grant (TOKEN (3), SESSION (2), false, 1);
    s_grant (TOKEN (4), SESSION (3), true, 1);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), false), 3);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (2), &writer), 0);
    CU_ASSERT_EQUAL (s_open (writer, TOKEN (2), true), 3);
    CU_ASSERT_EQUAL (s_open (writer, TOKEN (3), false), 1);
    //  A lease: its windows, no more
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (1)), 1);
    umbp_verbs_links_cut (s_links);
    bulk_expect (UMBP_BULK_REVOKED, TOKEN (1));
    CU_ASSERT (s_device.windows == 4 && s_device.links == 2);
    //  A slot that its writer has not done with: the link, with all that is open to it
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (2)), 1);
    umbp_verbs_links_cut (s_links);
    bulk_expect (UMBP_BULK_REVOKED, TOKEN (2));
    CU_ASSERT (s_device.windows == 0 && s_device.links == 1);
    CU_ASSERT_EQUAL (s_stats ().fenced, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (3)), 0);
    //  Done, but with a queue pair lost: late packets may come by it
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (3), &writer), 0);
    CU_ASSERT_EQUAL (s_open (writer, TOKEN (4), true), 1);
    s_last_link->alive = 1;
    umbp_verbs_links_conceal (s_links, writer, "user", TOKEN (4), true);
    CU_ASSERT_EQUAL (s_stats ().fenced, 2);
    CU_ASSERT_EQUAL (s_device.links, 1);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (4)), 0);
    s_end ();
}

//  What a device did not close for certain ends with the link, before the pages are free
static void test_a_device_that_is_stuck (void)
{
    uint64_t number;
    s_begin (60000);
    s_grant (TOKEN (1), SESSION (1), false, 3);
    s_grant (TOKEN (2), SESSION (1), false, 3);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), false), 3);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (2), false), 3);
    s_device.stuck = true;
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (1)), 1);
    umbp_verbs_links_cut (s_links);
    bulk_expect (UMBP_BULK_REVOKED, TOKEN (1));
    CU_ASSERT (s_device.links == 0 && s_device.windows == 0);
    CU_ASSERT_EQUAL (s_stats ().fenced, 1);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (2), false), UMBP_ENOENT);
    CU_ASSERT_EQUAL (umbp_bulk_server_revoke (bulk_server, TOKEN (2)), 0);
    s_end ();
}

static void test_links_of_no_use_end (void)
{
    uint64_t number, broken;
    s_begin (0);
    s_grant (TOKEN (1), SESSION (1), false, 1);
    s_grant (TOKEN (2), SESSION (2), false, 1);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (1), &number), 0);
    CU_ASSERT_EQUAL (s_open (number, TOKEN (1), false), 1);
    CU_ASSERT_EQUAL_FATAL (s_join (SESSION (2), &broken), 0);
    CU_ASSERT_EQUAL (s_open (broken, TOKEN (2), false), 1);
    umbp_verbs_links_tidy (s_links);
    CU_ASSERT_EQUAL (s_device.links, 2);                     //  Both have something open
    s_last_link->alive = 0;
    umbp_verbs_links_tidy (s_links);
    CU_ASSERT (s_stats ().broken == 1 && s_stats ().idle == 0);
    umbp_verbs_links_conceal (s_links, number, "user", TOKEN (1), true);
    umbp_verbs_links_tidy (s_links);
    CU_ASSERT (s_stats ().idle == 1 && s_device.links == 0);
    s_end ();
}

//  ---- Columns

static void test_columns_that_cannot_be (void)
{
    umbp_verbs_description_t from = { .count = 3 }, to;
    umbp_pairs_room_t room;
    for (uint32_t index = 0; index < 3; index++) {
        from.queues[index] =
            (umbp_verbs_queue_t){ 10 + index,      20 + index, (uint16_t) index, 4096, 16,
                                  (uint8_t) index, { 0 } };
        memset (from.queues[index].gid, (int) index + 1, 16);
    }
    umbp_pairs_t good = umbp_pairs_write (&from, &room), bad;
    CU_ASSERT (umbp_pairs_read (&good, &to));
    CU_ASSERT_EQUAL (to.count, 3);
    for (uint32_t index = 0; index < 3; index++) {
        const umbp_verbs_queue_t *queue = &to.queues[index];
        CU_ASSERT (queue->number == 10 + index && queue->psn == 20 + index && queue->lid == index);
        CU_ASSERT (queue->mtu == 4096 && queue->reads == 16 && queue->device == index);
        CU_ASSERT (memcmp (queue->gid, from.queues[index].gid, 16) == 0);
    }
    bad = good;
    bad.numbers.count = 0;
    CU_ASSERT (!umbp_pairs_read (&bad, &to));
    bad = good;
    bad.gids.size = 47;
    CU_ASSERT (!umbp_pairs_read (&bad, &to));
    bad = good;
    bad.mtus.count = 2;
    CU_ASSERT (!umbp_pairs_read (&bad, &to));
    bad = good;
    bad.numbers.count = bad.psns.count = bad.lids.count = bad.mtus.count = bad.reads.count =
        bad.devices.count = UMBP_VERBS_QUEUES_MAX + 1;
    bad.gids.size = 16 * (UMBP_VERBS_QUEUES_MAX + 1);
    CU_ASSERT (!umbp_pairs_read (&bad, &to));
}

int main (void)
{
    alarm (100);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("verbs_links", bulk_setup, bulk_teardown);
    CU_ADD_TEST (suite, test_as_many_links_as_there_is_room_for);
    CU_ADD_TEST (suite, test_as_many_windows_as_a_link_may_have);
    CU_ADD_TEST (suite, test_many_at_once);
    CU_ADD_TEST (suite, test_refusals_have_names);
    CU_ADD_TEST (suite, test_a_device_without_room);
    CU_ADD_TEST (suite, test_what_ends_with_a_token);
    CU_ADD_TEST (suite, test_a_device_that_is_stuck);
    CU_ADD_TEST (suite, test_links_of_no_use_end);
    CU_ADD_TEST (suite, test_columns_that_cannot_be);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
