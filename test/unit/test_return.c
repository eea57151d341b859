//  test/unit/test_return.c - a node stands still until the others have given it up, and wakes; or is killed, and
//  started again. Whoever is told that it is a member again gets what it holds, at once and every time; blocks of the
//  others are found all the time, through the one that returned, too.
//
//  UMBP_TURNS: how often each of these happens
#include <pthread.h>
#include <stdatomic.h>

#include "bin/talk.h"
#include "cluster/topology.h"
#include "test/unit/spawn.h"

#define STABLE 2                        //  Nodes that stay
#define HIS 12000                       //  Blocks of the one that returns: enough that it takes a while to tell them
#define KEYS 2000                       //  Blocks that stay, at first
#define MORE 20000                      //  ... and that come while it is away, at most
#define BATCH 64
#define BLOCK 64
#define SUSPECT_MS 1500
#define GONE_MS 3500
#define WAIT_MS 60000
#define HIS_MS 4000                     //  Of calls to the one that returns, which may be cut off any time
#define NAME "returns"

static nodes_t s_nodes;
static char s_listen[64];
static pid_t s_pid;
static atomic_bool s_over;
static atomic_ulong s_turn;             //  Odd: it may be away. Even: it is not, until that changes
static atomic_llong s_turned_ms;        //  When that changed
static atomic_ulong s_epoch;            //  Its blocks are those of this incarnation; 0: of none yet
static atomic_ulong s_stay;             //  Blocks that stay
static atomic_ulong s_reads, s_his_reads, s_writes, s_missed, s_errors;

typedef enum { STAYS, HIS_OWN, STAYS_THROUGH_HIM, WRITES } what_t;

typedef struct {
    what_t what;
    size_t number;                      //  The node it is a client of
    uint64_t state;                     //  Of random numbers
    pthread_t thread;
} worker_t;

static void s_key (char *key, size_t size, uint64_t epoch, uint64_t number)
{
    snprintf (key, size, "%llx-%llu", (unsigned long long) epoch, (unsigned long long) number);
}

static umbp_t *s_connect_for (const char *endpoint, uint32_t timeout_ms)
{
    umbp_options_t how = { .endpoints = endpoint, .no_shm = true, .timeout_ms = timeout_ms };
    return umbp_connect (&how, NULL);
}

static umbp_t *s_connect (const char *endpoint)
{
    return s_connect_for (endpoint, 15000);
}

//  Its incarnation, as that node's registry sees it; 0: it is no member that is alive. Like any client, by a message.
static uint64_t s_seen (umbp_talk_t *talk)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_topology, 0);
    if (umbp_talk_ask (talk, "registry", &question, &answer) != 0)
        return 0;
    umbp_topology_t *topology = umbp_topology_new (&answer->topology_ok);
    int number = topology ? umbp_topology_find (topology, umbp_text (NAME)) : -1;
    const umbp_member_t *member =
        number < 0 ? NULL : umbp_topology_member (topology, (size_t) number);
    uint64_t epoch =
        member && member->in_ring && member->state == UMBP_MEMBER_ALIVE ? member->epoch : 0;
    umbp_topology_destroy (&topology);
    return epoch;
}

typedef struct {
    char keys[BATCH][48];
    uint8_t blocks[BATCH][BLOCK];
    uint64_t numbers[BATCH];
    umbp_item_t items[BATCH];
} batch_t;

static void s_batch_add (batch_t *self, size_t index, uint64_t epoch, uint64_t number)
{
    s_key (self->keys[index], sizeof self->keys[index], epoch, number);
    self->numbers[index] = number;
    self->items[index] = (umbp_item_t) { .key = { self->keys[index], strlen (self->keys[index]) },
                                         .data = self->blocks[index], .size = BLOCK };
}

//  Blocks numbered first and on, into the node that a client is connected to
static bool s_put (umbp_t *pool, uint64_t epoch, uint64_t first, uint64_t count, bool nowait)
{
    umbp_put_options_t how = { .strategy = UMBP_STRATEGY_LOCAL, .nowait = nowait };
    batch_t *batch = calloc (1, sizeof *batch);
    bool fine = batch != NULL;
    for (uint64_t at = 0; at < count && fine; at += BATCH) {
        size_t size = count - at < BATCH ? count - at : BATCH;
        for (size_t index = 0; index < size; index++) {
            s_batch_add (batch, index, epoch, first + at + index);
            nodes_fill (batch->blocks[index], BLOCK, first + at + index);
        }
        fine = umbp_put_batch (pool, batch->items, size, &how, 0) == (int) size;
    }
    free (batch);
    return fine && (!nowait || umbp_flush (pool, WAIT_MS) == 0);
}

//  --------------------------------------------------------------------------------------------------
//  Workers

//  What came of a batch. Returns how many blocks were not found.
static size_t s_judge (const batch_t *batch, const char *what, bool count)
{
    size_t missed = 0;
    for (size_t index = 0; index < BATCH; index++) {
        int status = batch->items[index].status;
        bool wrong =
            status == 0 && !nodes_is_filled (batch->blocks[index], BLOCK, batch->numbers[index]);
        missed += status == UMBP_ENOENT;
        if (!count || (status == 0 && !wrong))
            continue;
        if (missed < 4)
            printf ("\n    %s %s: %d%s, %lld ms after the turn", what, batch->keys[index], status,
                    wrong ? " wrong" : "", (long long) (umbp_clock_ms () - s_turned_ms));
        s_missed += status == UMBP_ENOENT;
        s_errors += status != UMBP_ENOENT;
    }
    return missed;
}

//  Any of the blocks that stay, the newest among them
static void s_read (umbp_t *pool, uint64_t *state, batch_t *batch, const char *what, bool count)
{
    uint64_t stay = s_stay;
    for (size_t index = 0; index < BATCH; index++) {
        uint64_t drawn = umbp_splitmix (state);
        bool newest = drawn >> 40 & 1;
        s_batch_add (batch, index, 0, newest ? stay - 1 - drawn % BATCH : drawn % stay);
    }
    umbp_get_batch (pool, batch->items, BATCH, 0);
    s_judge (batch, what, count);
    s_reads += BATCH;
}

//  Those of the one that returns, where its node says that it is there, if it is there all the while
static void s_read_his (umbp_t *pool, umbp_talk_t *talk, uint64_t *state, batch_t *batch)
{
    unsigned long turn = s_turn, epoch = s_epoch;
    if (turn % 2 || epoch == 0 || s_seen (talk) != epoch)
        return;
    for (size_t index = 0; index < BATCH; index++)
        s_batch_add (batch, index, epoch, umbp_splitmix (state) % HIS);
    umbp_get_batch (pool, batch->items, BATCH, 0);
    if (s_turn != turn || s_seen (talk) != epoch || s_turn != turn)
        return;
    s_judge (batch, "his", true);
    s_his_reads += BATCH;
}

//  Through the one that returns. What was put while it was away is there, too.
static void s_read_through (uint64_t *state, batch_t *batch)
{
    unsigned long turn = s_turn;
    umbp_t *pool = turn % 2 ? NULL : s_connect_for (s_listen, HIS_MS);
    for (int again = 0; pool && again < 50 && s_turn == turn && !s_over; again++) {
        s_read (pool, state, batch, "through him", false);
        if (s_turn == turn)
            s_judge (batch, "through him", true);
    }
    umbp_close (&pool);
    usleep (1000);
}

//  One more that stays
static void s_write (umbp_t *pool)
{
    uint64_t number = s_stay;
    if (number >= KEYS + MORE)
        return;
    if (!s_put (pool, 0, number, 1, false)) {
        printf ("\n    put 0-%llu", (unsigned long long) number);
        s_errors++;
    }
    s_stay = number + 1;
    s_writes++;
}

static void *s_work (void *arg)
{
    worker_t *self = arg;
    const char *endpoint = umbp_node_endpoint (s_nodes.nodes[self->number]);
    umbp_t *pool = s_connect (endpoint);
    umbp_talk_t *talk = umbp_talk_new (endpoint, 10000, &(int){ 0 });
    batch_t *batch = calloc (1, sizeof *batch);
    bool fine = pool && talk && batch;
    s_errors += !fine;
    while (fine && !s_over)
        switch (self->what) {
        case STAYS: s_read (pool, &self->state, batch, "stays", true); break;
        case HIS_OWN: s_read_his (pool, talk, &self->state, batch); break;
        case STAYS_THROUGH_HIM: s_read_through (&self->state, batch); break;
        case WRITES: s_write (pool); break;
        }
    free (batch);
    umbp_talk_destroy (&talk);
    umbp_close (&pool);
    return NULL;
}

//  --------------------------------------------------------------------------------------------------
//  Turns

//  Wait until all nodes that stay see it, in another incarnation than a former one; or see it no more. Returns its
//  incarnation, or 0.
static uint64_t s_wait_seen (bool there, uint64_t former)
{
    int64_t until_ms = umbp_clock_ms () + WAIT_MS;
    uint64_t epoch = 0;
    for (size_t number = 0; number < STABLE && umbp_clock_ms () < until_ms;) {
        umbp_talk_t *talk =
            umbp_talk_new (umbp_node_endpoint (s_nodes.nodes[number]), 10000, &(int){ 0 });
        umbp_msg_t question;
        const umbp_msg_t *answer;
        umbp_msg_init (&question, UMBP_MSG_topology, 0);
        epoch = talk ? s_seen (talk) : 0;
        bool member = epoch != 0 && epoch != former;
        if (!there && talk && umbp_talk_ask (talk, "registry", &question, &answer) == 0)
            member = answer->topology_ok.nodes.count > STABLE;           //  Suspects, too
        number += member == there;
        umbp_talk_destroy (&talk);
        usleep (2000);
    }
    bool fine = umbp_clock_ms () < until_ms;
    CU_ASSERT (fine);
    return fine ? epoch : 0;
}

static void s_next_turn (void)
{
    s_turned_ms = umbp_clock_ms ();
    s_turn++;
}

//  Start it, with blocks of its own
static bool s_start_him (void)
{
    static uint64_t former;
    char *const flags[] = {
        "--dram-capacity", "96MiB", "--dram-region", "96MiB",  "--dram-prefault=no",
        "--dram-page",     "4KiB",  "--index-keys",  "200000", NULL
    };
    s_pid = spawn_node (&s_nodes, NAME, s_listen, flags);
    umbp_t *pool = NULL;
    for (int64_t until_ms = umbp_clock_ms () + WAIT_MS;
         s_pid > 0 && !pool && umbp_clock_ms () < until_ms;)
        pool = s_connect (s_listen);
    if (s_turn % 2)
        s_next_turn ();                 //  He takes clients
    uint64_t epoch = former = pool ? s_wait_seen (true, former) : 0;
    bool fine = epoch != 0 && s_put (pool, epoch, 0, HIS, true);
    if (fine)
        s_epoch = epoch;
    umbp_close (&pool);
    return fine;
}

static void s_stop_him (int signal)
{
    s_next_turn ();
    if (signal == SIGKILL) {
        s_epoch = 0;
        spawn_kill (&s_pid);
    } else
        kill (s_pid, signal);
}

static void s_wait (int64_t wait_ms)
{
    for (int64_t until_ms = umbp_clock_ms () + wait_ms; umbp_clock_ms () < until_ms;)
        usleep (10000);
}

//  Until all have given it up, or only until all suspect it
static void s_sleep_and_wake (bool until_gone)
{
    s_stop_him (SIGSTOP);
    if (until_gone)
        s_wait_seen (false, 0);
    else
        s_wait (SUSPECT_MS + 500);
    s_next_turn ();                     //  It is back where a registry says so
    kill (s_pid, SIGCONT);
    CU_ASSERT (s_wait_seen (true, 0) == s_epoch);
    s_wait (1200);
}

static void s_die_and_return (bool until_gone)
{
    s_stop_him (SIGKILL);
    if (until_gone)
        s_wait_seen (false, 0);
    CU_ASSERT (s_start_him ());
    s_wait (500);
}

static bool s_start (void)
{
    bool fine = true;
    s_nodes = (nodes_t) { .count = STABLE };
    for (size_t number = 0; number < STABLE; number++) {
        nodes_options (&s_nodes, number, WITHOUT_DOORS, 128 << 20);
        s_nodes.options[number].suspect_ms = SUSPECT_MS;
        s_nodes.options[number].gone_ms = GONE_MS;
        s_nodes.nodes[number] = nodes_new (&s_nodes.options[number]);
        fine = fine && s_nodes.nodes[number];
    }
    fine = fine && nodes_meet (&s_nodes);
    for (size_t number = 0; number < STABLE && fine; number++) {
        umbp_t *pool = s_connect (umbp_node_endpoint (s_nodes.nodes[number]));
        fine = pool && s_put (pool, 0, number * KEYS / STABLE, KEYS / STABLE, true);
        umbp_close (&pool);
    }
    s_stay = KEYS;
    snprintf (s_listen, sizeof s_listen, "tcp://%s:21000", loopback_host ());
    s_turn = 1;
    return fine && s_start_him ();
}

static void test_return (void)
{
    uint64_t state = nodes_seed ("return");
    const char *text = getenv ("UMBP_TURNS");
    unsigned turns = text ? (unsigned) atoi (text) : 1;
    worker_t workers[] = { { .what = STAYS, .number = 0 },
                           { .what = HIS_OWN, .number = 0 },
                           { .what = HIS_OWN, .number = 1 },
                           { .what = STAYS_THROUGH_HIM, .number = 1 },
                           { .what = WRITES, .number = 1 } };
    CU_ASSERT_FATAL (s_start ());
    for (size_t index = 0; index < sizeof workers / sizeof *workers; index++) {
        workers[index].state = umbp_splitmix (&state);
        CU_ASSERT_FATAL (pthread_create (&workers[index].thread, NULL, s_work, &workers[index])
                         == 0);
    }
    for (unsigned turn = 0; turn < turns; turn++) {
        s_sleep_and_wake (true);
        s_die_and_return (turn % 2);
        if (turns > 1)
            s_sleep_and_wake (false);
    }
    s_over = true;
    for (size_t index = 0; index < sizeof workers / sizeof *workers; index++)
        pthread_join (workers[index].thread, NULL);
    printf ("(%lu reads, %lu of his, %lu writes; %lu missed, %lu errors) ", s_reads, s_his_reads,
            s_writes, s_missed, s_errors);
    CU_ASSERT (s_missed == 0 && s_errors == 0);
    CU_ASSERT (s_reads > 100 && s_his_reads > 100 && s_writes > 10);
    spawn_kill (&s_pid);
    nodes_stop (&s_nodes);
}

int main (void)
{
    alarm (280);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("return", NULL, NULL);
    CU_ADD_TEST (suite, test_return);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    spawn_kill (&s_pid);
    return CU_get_number_of_failures () > 0;
}
