//  test/unit/test_client_doors.c - a door that is found closed in the middle of a call: with it ends the session of the
//  lane, so what the same call was given through other doors is void, and its pages may be others' by then
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "client/lane.h"
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#define MIB (1 << 20)
#define SIZE ((size_t) MIB / 2)
#define COUNT 8                         //  Blocks of the client, half of them on each of two nodes
#define PATTERNS 15                     //  Blocks of a witness, which leave a node room for one more
#define CALL_MS 60000
#define WINDOW 1024                     //  Keys in one message to the router

static nodes_t s_nodes;
static uint64_t s_seed;
static uint8_t s_data[COUNT][SIZE], s_room[SIZE];

//  ------------------------------------------------------------------------------------------------
//  What happens in the middle of a call of this thread

typedef enum {
    IDLE,
    ARMED,                              //  The next question of some type is waited for
    ASKED,                              //  It was sent. The first node whose door is looked at then ...
    KILLED,                             //  ... sees the other one go, so its own door is closed too ...
    CLOSED,                             //  ... and its pages are a witness's by the time we go on
    RESTARTED,                          //  The node of the client came back as another incarnation ...
    CUT,                                //  ... and its door closed once more
} stage_t;

static _Thread_local stage_t s_stage;
static _Thread_local int s_question;    //  UMBP_MSG_*
static _Thread_local size_t s_survivor; //  Number of the node

static void s_kill_other (size_t number);
static void s_lay_patterns (void);
static void s_restart (void);

//  Number of the node at the other end, if that is the door of its tier:dram; NODES_MAX
static size_t s_at_door (int fd)
{
    struct sockaddr_un name = { .sun_family = AF_UNSPEC };
    socklen_t size = sizeof name - 1;
    if (getpeername (fd, (struct sockaddr *) &name, &size) == -1 || name.sun_family != AF_UNIX
        || !strstr (name.sun_path, "/tier:dram."))
        return NODES_MAX;
    const char *node = strstr (name.sun_path, "/node-");
    size_t number = node ? (size_t) (node[6] - '0') : NODES_MAX;
    return number < NODES_MAX ? number : NODES_MAX;
}

ssize_t sendmsg (int sock, const struct msghdr *message, int flags)
{
    umbp_msg_t msg;
    const struct iovec *data = message->msg_iov;
    if ((s_stage == ARMED || s_stage == RESTARTED)
        && umbp_msg_decode (&msg, data->iov_base, data->iov_len) > 0) {
        if (s_stage == ARMED && msg.type == s_question) {
            s_stage = ASKED;
            if (s_nodes.count == 1)
                s_restart ();
        } else if (s_stage == RESTARTED && msg.type == UMBP_MSG_release && s_at_door (sock) == 0) {
            s_stage = CUT;
            errno = EPIPE;
            return -1;
        }
    }
    return syscall (SYS_sendmsg, sock, message, flags);
}

//  Apart, since glibc declares that poll itself only writes to what it is given
static __attribute__ ((noinline)) void s_look (struct pollfd *item)
{
    size_t number = item->events == POLLRDHUP ? s_at_door (item->fd) : NODES_MAX;
    if (number == NODES_MAX)
        return;
    s_stage = KILLED;
    s_kill_other (number);
}

int poll (struct pollfd *items, nfds_t count, int timeout)
{
    if (s_stage == ASKED && count == 1)
        s_look (items);
    return (int) syscall (SYS_poll, items, count, timeout);
}

int close (int fd)
{
    bool survivor = s_stage == KILLED && s_at_door (fd) == s_survivor;
    int rc = (int) syscall (SYS_close, fd);
    if (survivor) {
        s_stage = CLOSED;
        s_lay_patterns ();
    }
    return rc;
}

//  ------------------------------------------------------------------------------------------------
//  Two nodes with room, and a third one that the client asks

static umbp_t *s_pool, *s_witnesses[NODES_MAX];
static umbp_view_t *s_patterns[PATTERNS];

static void s_start (void)
{
    s_nodes = (nodes_t) { .count = NODES_MAX };
    snprintf (s_nodes.run_dir, sizeof s_nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (s_nodes.run_dir));
    for (size_t number = 0; number < NODES_MAX; number++) {
        nodes_options (&s_nodes, number, WITH_DOORS, number == 0 ? SIZE : 8 * MIB);
        s_nodes.options[number].evict_high = 100;
        s_nodes.options[number].evict_low = 99;
        s_nodes.nodes[number] = nodes_new (&s_nodes.options[number]);
        CU_ASSERT_PTR_NOT_NULL_FATAL (s_nodes.nodes[number]);
    }
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = 1 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_pool);
    for (size_t number = 1; number < NODES_MAX; number++) {
        s_witnesses[number] =
            nodes_connect (&s_nodes, number, (umbp_options_t) { .lanes = PATTERNS + 1 });
        CU_ASSERT_PTR_NOT_NULL_FATAL (s_witnesses[number]);
    }
    for (size_t index = 0; index < COUNT; index++)
        nodes_fill (s_data[index], SIZE, s_seed + index);
}

static void s_stop (void)
{
    for (size_t number = 1; number < NODES_MAX; number++)
        umbp_close (&s_witnesses[number]);
    umbp_close (&s_pool);
    nodes_stop (&s_nodes);
}

//  The blocks of the client, by number from first on
static void s_items (umbp_item_t *items, char (*keys)[16], size_t first)
{
    for (size_t index = 0; index < COUNT; index++) {
        snprintf (keys[index], sizeof keys[index], "block-%zu", first + index);
        items[index] = (umbp_item_t){ .key = { keys[index], strlen (keys[index]) },
                                      .data = s_data[index], .size = SIZE };
    }
}

static int s_put (size_t first, umbp_item_t *items, uint32_t full_ms)
{
    static char keys[COUNT][16];
    const umbp_put_options_t how = { .strategy = UMBP_STRATEGY_MOST_FREE, .full_ms = full_ms };
    s_items (items, keys, first);
    return umbp_put_batch (s_pool, items, COUNT, &how, CALL_MS);
}

//  Some blocks on both nodes. From then on the client has mapped the memory of both.
static void s_warm (umbp_item_t *items)
{
    umbp_stats_t before, after;
    CU_ASSERT_FATAL (s_put (0, items, 0) == COUNT);
    umbp_stats (s_pool, &before);
    CU_ASSERT_FATAL (umbp_get_batch (s_pool, items, COUNT, CALL_MS) == COUNT);
    umbp_stats (s_pool, &after);
    CU_ASSERT_FATAL (after.shm_get_bytes - before.shm_get_bytes == COUNT * SIZE);
    for (size_t number = 1; number < NODES_MAX; number++)
        CU_ASSERT (gauge (umbp_node_endpoint (s_nodes.nodes[number]), "tier:dram", "blocks") >= 1);
}

static void s_kill_other (size_t number)
{
    s_survivor = number;
    umbp_node_destroy (&s_nodes.nodes[number == 1 ? 2 : 1]);
}

//  The survivor has seen that its door closed, so its pages are free: another client fills nearly all of them, and holds what
//  it wrote
static void s_lay_patterns (void)
{
    const char *node = umbp_node_endpoint (s_nodes.nodes[s_survivor]);
    umbp_t *witness = s_witnesses[s_survivor];
    CU_ASSERT (gauge_becomes (node, "tier:dram", "slots", 0));
    CU_ASSERT (gauge_becomes (node, "tier:dram", "leases", 0));
    for (size_t index = 0; index < PATTERNS; index++) {
        char key[16];
        int length = snprintf (key, sizeof key, "pattern-%zu", index);
        umbp_item_t item = { .key = { key, (size_t) length }, .data = s_room, .size = SIZE };
        const umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL };
        nodes_fill (s_room, SIZE, s_seed + 1000 + index);
        CU_ASSERT (umbp_put_batch (witness, &item, 1, &how, CALL_MS) == 1);
        s_patterns[index] = umbp_view_get (witness, item.key, CALL_MS, NULL);
        CU_ASSERT_PTR_NOT_NULL (s_patterns[index]);
    }
}

static void s_check_patterns (void)
{
    size_t wrong = 0;
    for (size_t index = 0; index < PATTERNS; index++) {
        size_t count, at = 0;
        const umbp_span_t *spans = umbp_view_spans (s_patterns[index], &count);
        for (size_t span = 0; span < count; at += spans[span++].size)
            memcpy (s_room + at, spans[span].base, spans[span].size);
        wrong += at != SIZE || !nodes_is_filled (s_room, SIZE, s_seed + 1000 + index);
        umbp_view_release (&s_patterns[index]);
    }
    if (wrong)
        printf ("\n    %zu blocks of somebody else were written to\n", wrong);
    CU_ASSERT (wrong == 0);
}

//  Slots of two nodes, one of which dies: nothing is written to those of the other one, which are void
static void test_put (void)
{
    umbp_item_t items[COUNT];
    s_start ();
    s_warm (items);
    for (size_t index = 0; index < COUNT; index++)
        CU_ASSERT (umbp_remove (s_pool, items[index].key.key) == 0);
    s_question = UMBP_MSG_put;
    s_stage = ARMED;
    s_put (COUNT, items, 1);
    CU_ASSERT_FATAL (s_stage == CLOSED);
    s_stage = IDLE;
    const char *node = umbp_node_endpoint (s_nodes.nodes[s_survivor]);
    CU_ASSERT (gauge_becomes (node, "tier:dram", "slots", 0));
    s_check_patterns ();
    CU_ASSERT (s_put (2 * COUNT, items, 0) == COUNT);           //  All on the one that is left
    size_t there = 0;                   //  All of them, unless some had to leave since then
    for (size_t index = 0; index < COUNT; index++) {
        items[index].data = s_room;
        there += umbp_get_batch (s_pool, &items[index], 1, CALL_MS) == 1;
        CU_ASSERT (items[index].status == UMBP_ENOENT
                   || (items[index].status == 0 && nodes_is_filled (s_room, SIZE, s_seed + index)));
    }
    CU_ASSERT (there > 0);
    s_stop ();
}

//  Leases likewise: what lies there now is not read, and its owner not taken for one with damaged blocks
static void test_get (void)
{
    umbp_item_t items[COUNT];
    umbp_stats_t stats;
    s_start ();
    s_warm (items);
    s_question = UMBP_MSG_get;
    s_stage = ARMED;
    umbp_get_batch (s_pool, items, COUNT, CALL_MS);
    CU_ASSERT_FATAL (s_stage == CLOSED);
    s_stage = IDLE;
    for (size_t index = 0; index < COUNT; index++)
        CU_ASSERT (items[index].status != 0
                   || nodes_is_filled (items[index].data, SIZE, s_seed + index));
    umbp_stats (s_pool, &stats);
    CU_ASSERT_EQUAL (stats.checksum_errors, 0);
    s_check_patterns ();
    s_stop ();
}

//  ------------------------------------------------------------------------------------------------
//  The memory of the client's own node, which a call remembers from its start

static void s_put_known (void)
{
    umbp_t *other = nodes_connect (&s_nodes, 0, (umbp_options_t) { .no_shm = true });
    CU_ASSERT_PTR_NOT_NULL_FATAL (other);
    nodes_fill (s_data[0], SIZE, s_seed);
    CU_ASSERT (umbp_put (other, "known", s_data[0], SIZE) == 0);
    umbp_close (&other);
}

static void s_restart (void)
{
    umbp_node_destroy (&s_nodes.nodes[0]);
    s_nodes.nodes[0] = nodes_again (&s_nodes.options[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_nodes.nodes[0]);
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
    s_put_known ();
    umbp_lane_t *lane = s_pool->lanes[0];
    for (size_t index = 0; index < lane->door_count; index++)
        lane->doors[index].retry_ms = 0;                     //  As if it had taken longer
    s_stage = RESTARTED;
}

//  Windows of one block that is there, once, and others that are not. Returns whether the door was cut.
static bool s_get_windows (umbp_item_t *items, size_t windows)
{
    for (size_t index = 0; index < windows * WINDOW; index++) {
        bool known = index % WINDOW == 0;
        items[index] = (umbp_item_t){ .key = { known ? "known" : "none", known ? 5 : 4 },
                                      .data = known ? s_room : NULL, .size = known ? SIZE : 0 };
    }
    s_question = UMBP_MSG_get;
    s_stage = ARMED;
    umbp_get_batch (s_pool, items, windows * WINDOW, CALL_MS);
    bool cut = s_stage == CUT;
    s_stage = IDLE;
    return cut;
}

//  It is lent by one incarnation of the node, then by another one, whose door closes as well: the board of the first is
//  looked at until the call ends
static void test_near (void)
{
    enum { WINDOWS = 6 };
    umbp_item_t *items = calloc (WINDOWS * WINDOW, sizeof *items);
    CU_ASSERT_PTR_NOT_NULL_FATAL (items);
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 8 * MIB));
    umbp_options_t how = { .endpoints = umbp_node_endpoint (s_nodes.nodes[0]), .lanes = 1 };
    s_pool = nodes_connect (&s_nodes, 0, how);
    CU_ASSERT_PTR_NOT_NULL_FATAL (s_pool);
    bool cut = false;
    for (unsigned tries = 0; tries < 5 && !cut; tries++)     //  The restart may eat a question
        cut = s_get_windows (items, WINDOWS);
    CU_ASSERT (cut);
    for (size_t index = 0; index < WINDOWS * WINDOW; index++)
        CU_ASSERT (items[index].status == (index % WINDOW ? UMBP_ENOENT : 0));
    CU_ASSERT (nodes_is_filled (s_room, SIZE, s_seed));
    umbp_close (&s_pool);
    nodes_stop (&s_nodes);
    free (items);
}

int main (void)
{
    alarm (280);
    CU_initialize_registry ();
    s_seed = nodes_seed ("client_doors");
    CU_pSuite suite = CU_add_suite ("client, doors", NULL, NULL);
    CU_ADD_TEST (suite, test_put);
    CU_ADD_TEST (suite, test_get);
    CU_ADD_TEST (suite, test_near);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
