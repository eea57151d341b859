//  test/unit/test_moves_crash.c - a node that is killed in each state that a block passes between memory and disk (see
//  actors/move_point.h), both ways, and started again on what it left: every block that was on disk before is there, and
//  so is each that had left memory since the disk has it; no block has other bytes than were put. UMBP_ROUNDS: rounds.
//
//  The node lives in a process of its own, with its client; so does the one that looks afterwards. We only fork.
#include "actors/move_point.h"
#include "test/unit/disk.h"
#include "test/unit/killed.h"

#define BLOCKS 48                       //  Of each name
#define LARGE 100000                    //  Goes by reserve and commit,
#define SMALL 3000                      //  ... and this along with messages
#define AT_A_TIME 8                     //  On their way, so that there are several batches
#define PASSES_MAX 4

enum { DIED_NOT = 3, FAILED = 4 };      //  How a process ends that is not killed

typedef struct {
    killed_t killed;
    unsigned retired;                   //  Blocks that left memory, since the disk has them
    unsigned found_durable, found_others, wrong;
} shared_t;

static shared_t *s_shared;

//  In threads of the node
void umbp_move_point (const char *state)
{
    if (strcmp (state, "retired") == 0)
        __atomic_fetch_add (&s_shared->retired, 1, __ATOMIC_SEQ_CST);
    killed_pass (&s_shared->killed, state);
}

//  --------------------------------------------------------------------------------------------------
//  In the processes that are forked

typedef struct {
    nodes_t nodes;                      //  One
    umbp_t *pool;
} house_t;

static void s_must (bool fine, const char *what)
{
    if (fine)
        return;
    printf ("\n    %s: failed\n", what);
    fflush (stdout);
    _exit (FAILED);
}

static void s_open (house_t *self, const char *disk)
{
    memset (self, 0, sizeof *self);
    nodes_options (&self->nodes, 0, WITHOUT_DOORS, 32 * MIB);
    umbp_node_options_t *options = &self->nodes.options[0];
    snprintf (options->nvme_dirs, sizeof options->nvme_dirs, "%s", disk);
    snprintf (options->policy, sizeof options->policy, "lru");
    options->nvme_bytes = 64 * MIB;
    options->nvme_segment_bytes = 4 * MIB;
    options->nvme_staging_bytes = 16 * MIB;
    options->migration_blocks = AT_A_TIME;
    options->migration_idle = 0;
    options->migration_storm = 0;
    self->nodes.nodes[0] = nodes_new (options);
    s_must (self->nodes.nodes[0] != NULL, "a node");
    self->nodes.count = 1;
    self->pool = nodes_connect (&self->nodes, 0, (umbp_options_t) { 0 });
    s_must (self->pool != NULL, "a client");
}

static size_t s_size (size_t number)
{
    return number % 3 ? LARGE : SMALL;
}

//  Room for the largest each
static batch_t s_batch (const char *name)
{
    return batch_new (name, 0, BLOCKS, LARGE);
}

static void s_put (house_t *self, const char *name, unsigned tier)
{
    batch_t batch = s_batch (name);
    umbp_put_options_t how = { .tier = (uint8_t) tier };
    for (size_t index = 0; index < BLOCKS; index++) {
        batch.items[index].size = s_size (index);
        nodes_fill (batch.items[index].data, s_size (index), disk_number (name, index));
    }
    s_must (umbp_put_batch (self->pool, batch.items, BLOCKS, &how, DISK_MS) == BLOCKS, "a put");
    batch_destroy (&batch);
}

//  Returns how many are there; counts those that have other bytes
static unsigned s_look (house_t *self, const char *name)
{
    batch_t batch = s_batch (name);
    unsigned found = 0;
    umbp_get_batch (self->pool, batch.items, BLOCKS, DISK_MS);
    for (size_t index = 0; index < BLOCKS; index++) {
        const umbp_item_t *item = &batch.items[index];
        s_must (item->status == 0 || item->status == UMBP_ENOENT, umbp_strerror (item->status));
        found += item->status == 0;
        s_shared->wrong +=
            item->status == 0
            && (item->size != s_size (index)
                || !nodes_is_filled (item->data, item->size, disk_number (name, index)));
    }
    batch_destroy (&batch);
    return found;
}

//  All of memory that there is leaves
static void s_evict (house_t *self)
{
    zsock_t *sock = zsock_new_dealer (umbp_node_endpoint (self->nodes.nodes[0]));
    umbp_msg_t msg;
    uint8_t wire[256];
    umbp_msg_init (&msg, UMBP_MSG_evict, 1);
    msg.deadline_ms = DISK_MS;
    msg.evict.tier = UMBP_TIER_DRAM;
    msg.evict.bytes = 32 * MIB;
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    s_must (sock && size > 0, "an eviction");
    zsock_set_rcvtimeo (sock, DISK_MS);
    void *handle = zsock_resolve (sock);
    zmq_send (handle, "tier:dram", strlen ("tier:dram"), ZMQ_SNDMORE);
    zmq_send (handle, "", 0, ZMQ_SNDMORE);
    zmq_send (handle, wire, (size_t) size, 0);
    zmsg_t *answer = zmsg_recv (sock);
    s_must (answer != NULL, "an answer to an eviction");
}

//  Lives until a block passes the point for the n-th time
static void s_live (const char *disk, const char *point, bool up, unsigned passes)
{
    house_t house;
    s_open (&house, disk);
    s_put (&house, "durable", UMBP_TIER_NVME);
    s_put (&house, "other", UMBP_TIER_DRAM);
    s_must (umbp_flush (house.pool, DISK_MS) == 0, "a flush");
    killed_arm (&s_shared->killed, point, passes);
    if (up)
        s_look (&house, "durable");
    else
        s_evict (&house);
    for (int64_t end = umbp_clock_ms () + DISK_MS; umbp_clock_ms () < end;)
        usleep (10000);                 //  What was begun goes on
    _exit (DIED_NOT);
}

static void s_look_after (const char *disk)
{
    house_t house;
    s_open (&house, disk);
    s_shared->found_durable = s_look (&house, "durable");
    s_shared->found_others = s_look (&house, "other");
    umbp_close (&house.pool);
    nodes_stop (&house.nodes);
    _exit (0);
}

//  --------------------------------------------------------------------------------------------------
//  Here

static void s_kill_at (const char *point, bool up, unsigned passes)
{
    char disk[64];
    disk_folder (disk, sizeof disk);
    memset (s_shared, 0, sizeof *s_shared);
    disk_seed += 1000003;
    pid_t pid = killed_fork ();
    if (pid == 0)
        s_live (disk, point, up, passes);
    CU_ASSERT (killed_wait (&s_shared->killed, pid));
    unsigned retired = s_shared->retired;
    pid = killed_fork ();
    if (pid == 0)
        s_look_after (disk);
    CU_ASSERT (!killed_wait (&s_shared->killed, pid));
    printf ("\n    %-9s %-4s pass %u: %u of %d that were on disk, %u that had %u retired; %u wrong",
            point, up ? "up" : "down", passes, s_shared->found_durable, BLOCKS,
            s_shared->found_others, retired, s_shared->wrong);
    CU_ASSERT (s_shared->found_durable == BLOCKS);
    CU_ASSERT (s_shared->found_others >= retired);
    CU_ASSERT (s_shared->wrong == 0);
    disk_erase (disk);
}

static const char *const s_points[] = { "planned", "sent",      "leased",   "reserved",
                                        "copied",  "published", "answered", "retired" };
static int s_rounds = 1;

static void s_kill_each (bool up)
{
    uint64_t random = disk_seed;
    for (int round = 0; round < s_rounds; round++)
        for (size_t index = 0; index < sizeof s_points / sizeof *s_points; index++)
            if (!up || strcmp (s_points[index], "retired") != 0)     //  A copy stays on disk
                s_kill_at (s_points[index], up, 1 + umbp_splitmix (&random) % PASSES_MAX);
    printf ("\n    ");
}

static void test_down (void)
{
    s_kill_each (false);
}

static void test_up (void)
{
    s_kill_each (true);
}

int main (void)
{
    const char *rounds = getenv ("UMBP_ROUNDS");
    s_rounds = rounds && atoi (rounds) > 0 ? atoi (rounds) : 1;
    alarm (300 * (unsigned) s_rounds);
    s_shared = killed_share (sizeof *s_shared);
    CU_initialize_registry ();
    disk_seed = nodes_seed ("moves_crash");
    CU_pSuite suite = CU_add_suite ("moves_crash", NULL, NULL);
    CU_ADD_TEST (suite, test_down);
    CU_ADD_TEST (suite, test_up);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
