//  test/unit/test_fair.c - one client floods an actor of a node, over tcp or through its door, with as
//  many requests as it can; another one gets its work done meanwhile, and nothing of it is refused.
//  How much slower it gets is printed, and judged by nobody: machines differ.
#include "cluster/clients.h"
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define MIB ((size_t) 1 << 20)
#define ROUNDS 50                       //  Of the other client; each is a put, a get and an exists
#define ROUNDS_MAX 100000               //  With $UMBP_ROUNDS
#define WINDOW 60000                    //  Requests that the flood has under way over tcp
#define FLOOD_KEYS 4
#define SIZE 5000
#define DOOR_WINDOW 150                 //  ... through the door: who does not read loses it
#define SEND_MAX 64                     //  Requests between two looks for answers

static nodes_t s_nodes;
static unsigned s_rounds = ROUNDS;

//  ------------------------------------------------------------------------------------------------
//  The flood

typedef struct {
    const char *actor;
    umbp_msg_type_t type;
    bool door;
} flood_args_t;

typedef struct {
    flood_args_t args;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint_fast64_t answers, crowded, other;            //  other: errors that should not be
    uint8_t wire[4096];
    size_t size;
} flood_t;

//  A request for keys that nobody has
static void s_make (flood_t *self)
{
    static uint16_t sizes[FLOOD_KEYS];
    static uint8_t keys[8 * FLOOD_KEYS];
    umbp_msg_t msg;
    for (size_t index = 0; index < FLOOD_KEYS; index++) {
        sizes[index] = 8;
        memcpy (keys + 8 * index, "flood-", 6);
        keys[8 * index + 6] = (uint8_t) ('a' + index);
        keys[8 * index + 7] = 'z';
    }
    umbp_column_t column = { keys, sizes, sizeof keys, FLOOD_KEYS };
    umbp_msg_init (&msg, self->args.type, 1);
    msg.deadline_ms = GAUGE_MS;
    if (msg.type == UMBP_MSG_get)
        msg.get.keys = column;
    else if (msg.type == UMBP_MSG_lookup)
        msg.lookup.keys = column;
    else
        msg.lease.keys = column;
    int size = umbp_msg_encode (&msg, self->wire, sizeof self->wire);
    assert (size > 0);
    self->size = (size_t) size;
}

static void s_count (flood_t *self, const void *data, size_t size)
{
    umbp_msg_t msg;
    int rc = umbp_msg_decode (&msg, data, size);
    bool crowded = rc > 0 && msg.type == UMBP_MSG_refused && msg.status == UMBP_EAGAIN
                   && umbp_text_is (msg.refused.reason, "client: too many at once from one client");
    atomic_fetch_add (&self->answers, 1);
    atomic_fetch_add (&self->crowded, crowded);
    atomic_fetch_add (&self->other, rc <= 0 || (msg.status != 0 && !crowded));
}

static void s_flood_tcp (flood_t *self)
{
    zsock_t *sock = zsock_new_dealer (umbp_node_endpoint (s_nodes.nodes[0]));
    assert (sock);
    zsock_set_linger (sock, 0);
    void *handle = zsock_resolve (sock);
    for (size_t open = 0; !atomic_load (&self->stop);) {
        zmq_pollitem_t item = { handle, 0, ZMQ_POLLIN, 0 };
        for (int count = 0; count < SEND_MAX && open < WINDOW; count++, open++) {
            zmq_send (handle, self->args.actor, strlen (self->args.actor), ZMQ_SNDMORE);
            zmq_send (handle, "", 0, ZMQ_SNDMORE);
            zmq_send (handle, self->wire, self->size, 0);
        }
        zmq_poll (&item, 1, open == WINDOW ? 10 : 0);
        uint8_t frame[4096];
        int size;
        while (!atomic_load (&self->stop)
               && (size = zmq_recv (handle, frame, sizeof frame, ZMQ_DONTWAIT)) != -1)
            if (!zsock_rcvmore (sock)) {
                s_count (self, frame, (size_t) size);
                open--;
            }
    }
    zsock_destroy (&sock);
}

static void s_flood_door (flood_t *self)
{
    char path[256];
    uint8_t frame[4096];
    snprintf (path, sizeof path, "%s/node-0/%s.sock", s_nodes.run_dir, self->args.actor);
    int door = umbp_shm_connect (path, GAUGE_MS, NULL);
    assert (door >= 0);
    for (size_t open = 0; !atomic_load (&self->stop);) {
        for (int count = 0; count < SEND_MAX && open < DOOR_WINDOW; count++, open++)
            if (umbp_shm_send (door, self->wire, self->size, NULL, 0) != 0)
                break;
        struct pollfd item = { .fd = door, .events = POLLIN };
        poll (&item, 1, 10);
        ssize_t size = 1;
        while (size > 0 && (size = recv (door, frame, sizeof frame, MSG_DONTWAIT)) > 0) {
            s_count (self, frame, (size_t) size);
            open--;
        }
        if (size == 0)
            atomic_fetch_add (&self->other, 1);              //  It lost its door
        if (size == 0)
            break;
    }
    close (door);
}

static void *s_flood (void *arg)
{
    flood_t *self = arg;
    if (self->args.door)
        s_flood_door (self);
    else
        s_flood_tcp (self);
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  The other client

static int s_compare (const void *one, const void *other)
{
    int64_t a = *(const int64_t *) one, b = *(const int64_t *) other;
    return a < b ? -1 : a > b;
}

//  Put, get and look for blocks of its own. Returns the 99th percentile of a round in us; *done_p:
//  rounds that were fine.
static int64_t s_work (umbp_t *pool, const char *name, unsigned *done_p)
{
    static uint8_t data[SIZE], room[SIZE];
    static int64_t took[ROUNDS_MAX];
    *done_p = 0;
    for (unsigned round = 0; round < s_rounds; round++) {
        char key[64];
        snprintf (key, sizeof key, "%s-%u", name, round);
        nodes_fill (data, SIZE, round);
        int64_t start = zclock_usecs ();
        bool fine = umbp_put (pool, key, data, SIZE) == 0
                    && umbp_get (pool, key, room, SIZE) == SIZE && memcmp (room, data, SIZE) == 0
                    && umbp_exists (pool, key) == 1;
        took[round] = zclock_usecs () - start;
        *done_p += fine;
    }
    qsort (took, s_rounds, sizeof *took, s_compare);
    return took[s_rounds * 99 / 100];
}

static bool s_is_flooded (flood_t *flood, uint64_t answers)
{
    int64_t end = umbp_clock_ms () + GAUGE_MS;
    while (atomic_load (&flood->answers) < answers && umbp_clock_ms () < end)
        zclock_sleep (1);
    return atomic_load (&flood->answers) >= answers;
}

static void s_play (flood_args_t args)
{
    static int number;
    static flood_t flood;
    char name[32];
    unsigned quiet_done, done;
    flood = (flood_t) { .args = args };
    s_make (&flood);
    umbp_options_t options = { .timeout_ms = GAUGE_MS,
                               .no_shm = !args.door,
                               .endpoints = umbp_node_endpoint (s_nodes.nodes[0]) };
    umbp_t *pool = nodes_connect (&s_nodes, 0, options);
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    snprintf (name, sizeof name, "quiet-%d", number++);
    int64_t quiet_us = s_work (pool, name, &quiet_done);
    CU_ASSERT_FATAL (pthread_create (&flood.thread, NULL, s_flood, &flood) == 0);
    CU_ASSERT (s_is_flooded (&flood, 2 * UMBP_CLIENT_OPEN_MAX));
    uint64_t before = atomic_load (&flood.answers);
    snprintf (name, sizeof name, "flood-%d", number++);
    int64_t us = s_work (pool, name, &done);
    uint64_t during = atomic_load (&flood.answers) - before;
    //  It lasted all the time, and goes on
    CU_ASSERT (during > 0 && s_is_flooded (&flood, before + during + 1));
    atomic_store (&flood.stop, true);
    pthread_join (flood.thread, NULL);
    CU_ASSERT (quiet_done == s_rounds && done == s_rounds);
    CU_ASSERT (atomic_load (&flood.other) == 0);
    uint64_t crowded = atomic_load (&flood.crowded);
    printf ("\n    %s over %s: p99 of the other %.1f ms, alone %.1f ms; flood: %llu answers, "
            "%llu refused ",
            args.actor, args.door ? "its door" : "tcp", (double) us / 1000,
            (double) quiet_us / 1000, (unsigned long long) during, (unsigned long long) crowded);
    umbp_close (&pool);
    const char *node = umbp_node_endpoint (s_nodes.nodes[0]);
    //  The others answer at once, and have nothing open; there it is the link that may say so. Through a door so few are under way that a
    //  fast router may have none too many; see test_clients.c
    if (args.type == UMBP_MSG_get && !args.door)
        CU_ASSERT (crowded > 0 && gauge (node, "router", "crowded") > 0);
    if (args.type == UMBP_MSG_get)
        CU_ASSERT (gauge_becomes (node, "router", "requests_open", 0));
}

static void test_fair (void)
{
    static const flood_args_t floods[] = {
        { "router", UMBP_MSG_get, false },      { "router", UMBP_MSG_get, true },
        { "tier:dram", UMBP_MSG_lease, false }, { "tier:dram", UMBP_MSG_lease, true },
        { "index", UMBP_MSG_lookup, false },    { "index", UMBP_MSG_lookup, true },
    };
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, 64 * MIB));
    for (size_t index = 0; index < sizeof floods / sizeof *floods; index++)
        s_play (floods[index]);
    nodes_stop (&s_nodes);
}

int main (void)
{
    const char *rounds = getenv ("UMBP_ROUNDS");
    if (rounds && atoi (rounds) > 0 && atoi (rounds) <= ROUNDS_MAX)
        s_rounds = (unsigned) atoi (rounds);
    alarm (rounds ? 0 : 280);
    zsys_init ();
    CU_initialize_registry ();
    CU_ADD_TEST (CU_add_suite ("fair", NULL, NULL), test_fair);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
