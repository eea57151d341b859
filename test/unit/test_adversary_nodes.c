//  test/unit/test_adversary_nodes.c - owners that are killed while they are read from, and two writers
//  of one key at two nodes: no reader accepts a wrong byte, both nodes end up with one content, and
//  no page is lost.
#include <signal.h>
#include <sys/wait.h>

#include "cluster/bulk/copy.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/tcp_client.h"
#include "cluster/bulk/tcp_server.h"
#include "test/unit/adversary.h"
#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

#include <pthread.h>

#define MIB ((size_t) 1 << 20)
#define ROUNDS 40
#define COUNT_OF(array) (sizeof (array) / sizeof *(array))

//  ------------------------------------------------------------------------------------------------
//  An owner: a process with a bulk server, that is killed, or ends, after a while

#define BLOCK_PAGE (64u << 10)
#define BLOCK_SIZE (2 * MIB - 77)
#define TOKEN 99
#define SESSION 7
#define READS_MAX 1000

static uint8_t s_block[2 * MIB], s_room[2 * MIB];

//  In the child
static void s_own (umbp_region_t *region, int out, unsigned life_us, bool tidy)
{
    umbp_piece_t piece = { umbp_region_base (region), umbp_region_bytes (region) };
    umbp_bulk_server_config_t config = { .endpoint = loopback_bulk (),
                                         .regions = &piece,
                                         .region_count = 1, .page_size = BLOCK_PAGE };
    umbp_bulk_server_t *server = umbp_bulk_server_new (&config, NULL);
    umbp_extent_t extent = { 0, 0, 2 * MIB / BLOCK_PAGE, 1 };
    umbp_grant_item_t item = { &extent, 1, BLOCK_SIZE };
    umbp_grant_t grant = { .token = TOKEN,
                           .session = SESSION,
                           .deadline_ms = INT64_MAX,
                           .items = &item, .item_count = 1 };
    char endpoint[UMBP_TEXT_MAX] = "";
    if (server && umbp_bulk_server_grant (server, &grant) == 0)
        snprintf (endpoint, sizeof endpoint, "%s", umbp_bulk_server_endpoint (server));
    uint8_t key[UMBP_BULK_KEY_BYTES] = { 0 };
    if (server)
        umbp_bulk_server_key (server, SESSION, key);
    if (write (out, endpoint, sizeof endpoint) != sizeof endpoint
        || write (out, key, sizeof key) != sizeof key)
        _exit (1);
    struct timespec life = { 0, (long) life_us * 1000 };
    nanosleep (&life, NULL);
    if (tidy) {
        umbp_bulk_server_destroy (&server);
        _exit (0);
    }
    kill (getpid (), SIGKILL);
}

//  Read parts of the block, until the owner is gone. Returns how many were accepted.
static unsigned s_read_on (umbp_bulk_client_t *client)
{
    unsigned accepted = 0;
    for (int status = 0; status == 0 && accepted < READS_MAX; accepted += status == 0) {
        size_t from = adversary_draw (BLOCK_SIZE), size = 1 + adversary_draw (BLOCK_SIZE - from);
        umbp_piece_t piece = { s_room, size };
        umbp_bulk_io_t io = { .token = TOKEN,
                              .offset = from,
                              .pieces = &piece,
                              .piece_count = 1,
                              .want_sum = true };
        memset (s_room, 0, size);
        status = 1;
        umbp_bulk_client_read (client, &io, 1, &status, umbp_clock_ms () + GAUGE_MS);
        CU_ASSERT (status == 0 || status == UMBP_ECLOSED);
        if (status == 0)
            CU_ASSERT (memcmp (s_room, s_block + from, size) == 0
                       && io.sum == umbp_sum (s_block + from, size));
    }
    return accepted;
}

static void test_owner_killed (void)
{
    unsigned rounds = adversary_begin ("owner killed", ROUNDS), accepted = 0;
    umbp_region_t *region = umbp_region_new ("adversary", 2 * MIB, false, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL (region);
    nodes_fill (s_block, sizeof s_block, adversary_draw (UINT64_MAX));
    memcpy (umbp_region_base (region), s_block, sizeof s_block);
    for (unsigned round = 0; round < rounds; round++) {
        char endpoint[UMBP_TEXT_MAX];
        int ends[2], status;
        unsigned life_us = (unsigned) adversary_draw (8000);
        bool tidy = adversary_draw (4) == 0;
        CU_ASSERT_FATAL (pipe (ends) == 0);
        fflush (stdout);
        pid_t child = fork ();
        if (child == 0)
            s_own (region, ends[1], life_us, tidy);
        close (ends[1]);
        CU_ASSERT_FATAL (read (ends[0], endpoint, sizeof endpoint) == sizeof endpoint);
        CU_ASSERT (*endpoint != 0);
        uint8_t key[UMBP_BULK_KEY_BYTES];
        CU_ASSERT_FATAL (read (ends[0], key, sizeof key) == sizeof key);
        const umbp_bulk_peer_t peer = { endpoint, SESSION, key };
        umbp_bulk_client_t *client =
            umbp_bulk_client_new (&peer, umbp_clock_ms () + GAUGE_MS, NULL);
        accepted += client ? s_read_on (client) : 0;
        umbp_bulk_client_destroy (&client);
        CU_ASSERT (waitpid (child, &status, 0) == child);
        CU_ASSERT (tidy ? status == 0 : WIFSIGNALED (status));
        close (ends[0]);
    }
    CU_ASSERT (memcmp (umbp_region_base (region), s_block, sizeof s_block) == 0);
    printf ("%u reads accepted ", accepted);
    umbp_region_destroy (&region);
}

//  ------------------------------------------------------------------------------------------------
//  Two writers

#define SMALL 3000
#define LARGE 100000                    //  Does not ride in a message

typedef struct {
    umbp_t *pool;
    const char *key;
    uint8_t data[LARGE];
    size_t size;
    int rc;
} writer_t;

static nodes_t s_nodes;
static writer_t s_writers[2];

static void *s_write (void *arg)
{
    writer_t *self = arg;
    self->rc = umbp_put (self->pool, self->key, self->data, self->size);
    return NULL;
}

//  Which writer's bytes a reader gets: 0 or 1, -1 if none for now. Other bytes are a failure.
static int s_get (umbp_t *pool, const char *key)
{
    static uint8_t room[LARGE];
    long got = umbp_get (pool, key, room, sizeof room);
    for (int index = 0; index < 2; index++)
        if (got == (long) s_writers[index].size
            && memcmp (room, s_writers[index].data, (size_t) got) == 0)
            return index;
    if (got >= 0 || got != UMBP_ENOENT)
        printf ("\n    %s: %ld ", key, got);
    CU_ASSERT (got == UMBP_ENOENT);
    return -1;
}

//  Both nodes say the same, sooner or later
static bool s_agree (umbp_t *pools[2], const char *key)
{
    int one = -1, other = -1;
    for (int64_t end = umbp_clock_ms () + GAUGE_MS; umbp_clock_ms () < end;) {
        one = s_get (pools[0], key);
        other = s_get (pools[1], key);
        if (one >= 0 && one == other)
            return true;
    }
    printf ("\n    %s: %d and %d ", key, one, other);
    return false;
}

static void s_fight (umbp_t *pools[2], unsigned round)
{
    char key[32];
    snprintf (key, sizeof key, "two-%u", round);
    bool same = adversary_draw (5) == 0;
    uint64_t number = adversary_draw (UINT64_MAX);
    size_t most = adversary_draw (2) ? SMALL : LARGE, size = 1 + adversary_draw (most);
    pthread_t threads[2];
    for (int index = 0; index < 2; index++) {
        writer_t *writer = &s_writers[index];
        writer->pool = pools[index];
        writer->key = key;
        writer->size = size;
        nodes_fill (writer->data, size, same ? number : number + (uint64_t) index);
        writer->rc = 1;
        CU_ASSERT_FATAL (pthread_create (&threads[index], NULL, s_write, writer) == 0);
    }
    for (int index = 0; index < 2; index++) {
        pthread_join (threads[index], NULL);
        CU_ASSERT (s_writers[index].rc == 0);
    }
    CU_ASSERT (s_agree (pools, key));
    CU_ASSERT (umbp_remove (pools[adversary_draw (2)], key) == 0);
}

static void test_two_writers (void)
{
    unsigned rounds = adversary_begin ("two writers", ROUNDS);
    umbp_t *pools[2][2];                //  Of each node: through doors, over tcp
    zsys_init ();
    zsys_set_logstream (NULL);          //  Each conflict is a warning
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 2, WITH_DOORS, 16 * MIB));
    for (size_t number = 0; number < 2; number++)
        for (size_t far = 0; far < 2; far++) {
            umbp_options_t options = { .no_shm = far == 1,
                                       .timeout_ms = GAUGE_MS,
                                       .endpoints = umbp_node_endpoint (s_nodes.nodes[number]) };
            pools[number][far] = nodes_connect (&s_nodes, number, options);
            CU_ASSERT_PTR_NOT_NULL_FATAL (pools[number][far]);
        }
    for (unsigned round = 0; round < rounds; round++)
        s_fight ((umbp_t *[]) { pools[0][adversary_draw (2)], pools[1][adversary_draw (2)] }, round);
    for (size_t number = 0; number < 2; number++) {
        static const char *const nothing[] = { "slots", "leases", "doomed_blocks", "blocks",
                                               "used_bytes" };
        const char *endpoint = umbp_node_endpoint (s_nodes.nodes[number]);
        for (size_t index = 0; index < COUNT_OF (nothing); index++)
            CU_ASSERT (gauge_becomes (endpoint, "tier:dram", nothing[index], 0));
        umbp_close (&pools[number][0]);
        umbp_close (&pools[number][1]);
    }
    nodes_stop (&s_nodes);
}

int main (int argc, char **argv)
{
    //  The first one has children with threads: there are none here yet
    static const adversary_test_t tests[] = { { "owner-killed", test_owner_killed },
                                              { "two-writers", test_two_writers } };
    return adversary_run ("adversary, nodes", tests, COUNT_OF (tests), argc, argv);
}
