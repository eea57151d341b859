//  test/guest/verbs.c - the RDMA transport against real verbs, in the guest of guest.sh: we at one
//  end of the cables, an owner of a region (owner.h) at the other. `verbs PLUGIN [SEED
//  [TEST]]` runs the tests, `verbs PLUGIN bench write|read BYTES COUNT QUEUES` prints MB/s.
#include "cluster/verbs/inner.h"        //  Some faults need the queue pair itself
#include "test/guest/owner.h"

#include <CUnit/Basic.h>

#define PAGE (64 * 1024)
#define PAGES 128
#define REGION ((size_t) PAGE * PAGES)
#define ROUNDS 40
#define ITEMS 6
#define PIECES 12
#define BUFFER ((size_t) 6 * 1024 * 1024)
#define LONG_MS 60000                   //  Nothing here takes so long, even on a busy host
#define SILENCE_MS 1500

static const char *s_plugin;
static const umbp_verbs_api_t *s_api;
static uint64_t s_seed;

//  Both ends of a link
typedef struct {
    owner_t owner;
    umbp_verbs_t *verbs;
    umbp_verbs_link_t *link;
    umbp_verbs_memory_t memory;
    unsigned char *announced, *plain;   //  Buffers of ours, BUFFER bytes each
} s_pair_t;

static uint64_t s_random (uint64_t below)
{
    s_seed ^= s_seed << 13;
    s_seed ^= s_seed >> 7;
    s_seed ^= s_seed << 17;
    return (s_seed >> 11) % below;
}

//  A new link, in place of the former one. later: the owner does not connect yet.
static int s_connect (s_pair_t *self, int rights, bool later)
{
    int rc = 0;
    s_api->link_destroy (&self->link);
    self->link = s_api->link_new (self->verbs, 0, UMBP_VERBS_KEEP, &rc);
    if (!self->link)
        return rc;
    owner_ask_t ask = { .what = OWNER_LINK, .rights = rights, .later = later };
    s_api->link_describe (self->link, &ask.peer);
    owner_answer_t answer = owner_ask (&self->owner, &ask);
    self->memory = answer.memory;
    return answer.rc ? answer.rc : s_api->link_connect (self->link, &answer.link);
}

static void s_open (s_pair_t *self, int cables, int rights, umbp_verbs_options_t options)
{
    char why[UMBP_VERBS_WHY_MAX];
    int rc = 0;
    *self = (s_pair_t) {
        .owner = owner_start (s_plugin, cables == 2 ? "rxb,rxd" : "rxb", rights, REGION),
        .announced = aligned_alloc (4096, BUFFER),
        .plain = aligned_alloc (4096, BUFFER),
    };
    options.devices = cables == 2 ? "rxa,rxc" : "rxa";
    options.silence_ms = options.silence_ms ? options.silence_ms : SILENCE_MS;
    self->verbs = s_api->open (&options, &rc, why);
    if (!self->verbs)
        printf ("%s\n", why);
    assert (self->verbs && self->announced && self->plain);
    CU_ASSERT_EQUAL (s_api->announce (self->verbs, self->announced, BUFFER), 0);
    CU_ASSERT_EQUAL (s_connect (self, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
}

static void s_close (s_pair_t *self)
{
    s_api->link_destroy (&self->link);
    CU_ASSERT_EQUAL (s_api->forget (self->verbs, self->announced, BUFFER), 0);
    s_api->close (&self->verbs);
    CU_ASSERT_EQUAL (owner_end (&self->owner), 0);
    free (self->announced);
    free (self->plain);
}

static void s_owner_fill (s_pair_t *self, uint64_t seed)
{
    owner_ask_t ask = { .what = OWNER_FILL, .bytes = REGION, .seed = seed };
    owner_ask (&self->owner, &ask);
}

static uint64_t s_owner_sum (s_pair_t *self)
{
    owner_ask_t ask = { .what = OWNER_SUM, .bytes = REGION };
    return owner_ask (&self->owner, &ask).sum;
}

//  Move one run of bytes between the region's start and a buffer
static int s_move (s_pair_t *self, bool write, void *base, size_t bytes, int *status, int wait_ms)
{
    umbp_extent_t extent = { .count = PAGES, .generation = 1 };
    umbp_piece_t piece = { base, bytes };
    umbp_verbs_io_t io = {
        .memories = &self->memory, .memory_count = 1, .extents = &extent, .extent_count = 1,
        .page_size = PAGE, .pieces = &piece, .piece_count = 1, .want_sum = true,
    };
    int64_t deadline_ms = umbp_clock_ms () + wait_ms;
    int rc = write ? s_api->write (self->link, &io, 1, status, deadline_ms)
                   : s_api->read (self->link, &io, 1, status, deadline_ms);
    if (*status == 0)
        CU_ASSERT_EQUAL (io.sum, umbp_sum (base, bytes));
    return rc;
}

//  Whether a link still moves right bytes, both ways
static void s_assert_works (s_pair_t *self)
{
    int status = 1;
    owner_fill (self->announced, BUFFER, 77);
    CU_ASSERT_EQUAL (s_move (self, true, self->announced, BUFFER, &status, LONG_MS), 1);
    owner_ask_t ask = { .what = OWNER_SUM, .bytes = BUFFER };
    CU_ASSERT_EQUAL (owner_ask (&self->owner, &ask).sum, umbp_sum (self->announced, BUFFER));
    CU_ASSERT_EQUAL (s_move (self, false, self->plain, BUFFER, &status, LONG_MS), 1);
    CU_ASSERT (memcmp (self->plain, self->announced, BUFFER) == 0);
}

//  ---- What works

//  A block in random pages and a part of it in random pieces of our two buffers
typedef struct {
    uint32_t pages[PAGES];
    umbp_extent_t extents[PAGES];
    umbp_piece_t pieces[PIECES];
    umbp_verbs_io_t io;
} s_block_t;

static void s_draw_extents (s_block_t *self, uint32_t *pages, uint32_t count)
{
    size_t used = 0;
    memcpy (self->pages, pages, count * sizeof *pages);
    for (uint32_t index = 0; index < count; index++) {
        umbp_extent_t *last = used ? &self->extents[used - 1] : NULL;
        if (last && last->page + last->count == pages[index] && s_random (8))
            last->count++;
        else
            self->extents[used++] = (umbp_extent_t) {
                .page = pages[index], .count = 1, .generation = 1,
            };
    }
    self->io.extents = self->extents;
    self->io.extent_count = used;
}

//  Pieces of blocks of one batch do not overlap: each block has a part of the buffers
static void s_draw_pieces (s_pair_t *pair, s_block_t *self, size_t number, uint64_t room)
{
    size_t share = BUFFER / ITEMS, at[2] = { number * share, number * share };
    self->io.pieces = self->pieces;
    self->io.piece_count = 1 + s_random (PIECES);
    for (size_t index = 0; index < self->io.piece_count; index++) {
        bool plain = s_random (3) == 0;
        size_t gap = s_random (100), left = (number + 1) * share - at[plain];
        size_t size = s_random (4) ? s_random (200000) : s_random (300);
        size = gap + size > left || size > room ? 0 : size;
        at[plain] += gap;
        self->pieces[index] =
            (umbp_piece_t){ (plain ? pair->plain : pair->announced) + at[plain], size };
        at[plain] += size;
        room -= size;
    }
}

static void s_draw (s_pair_t *pair, s_block_t *blocks, umbp_verbs_io_t *ios, size_t count)
{
    uint32_t pages[PAGES];
    for (uint32_t index = 0; index < PAGES; index++) {
        uint32_t other = (uint32_t) s_random (index + 1);
        pages[index] = pages[other];
        pages[other] = index;
    }
    if (s_random (2))                   //  Long runs, sometimes
        for (uint32_t index = 0; index < PAGES; index++)
            pages[index] = index;
    for (size_t number = 0; number < count; number++) {
        uint32_t taken = 1 + (uint32_t) s_random (PAGES / ITEMS);
        s_block_t *block = &blocks[number];
        block->io = (umbp_verbs_io_t) {
            .memories = &pair->memory, .memory_count = 1, .page_size = PAGE,
            .offset = s_random (2) ? s_random ((uint64_t) taken * PAGE) : 0, .want_sum = true,
        };
        s_draw_extents (block, pages + number * (PAGES / ITEMS), taken);
        s_draw_pieces (pair, block, number, (uint64_t) taken * PAGE - block->io.offset);
        ios[number] = block->io;
    }
}

//  Do to a copy of the region what a transfer does to it, or to copies of the buffers
static void s_shadow (s_pair_t *pair, const s_block_t *block, unsigned char *region,
                      unsigned char *buffers, bool write)
{
    uint64_t at = block->io.offset;
    for (size_t index = 0; index < block->io.piece_count; index++) {
        const umbp_piece_t *piece = &block->pieces[index];
        unsigned char *base = piece->base;
        bool plain = base >= pair->plain && base < pair->plain + BUFFER;
        unsigned char *copy =
            buffers + (plain ? BUFFER : 0) + (base - (plain ? pair->plain : pair->announced));
        for (size_t done = 0; done < piece->size;) {
            size_t in = at % PAGE, size = PAGE - in;
            size = size > piece->size - done ? piece->size - done : size;
            unsigned char *there = region + (size_t) block->pages[at / PAGE] * PAGE + in;
            memcpy (write ? there : copy + done, write ? base + done : there, size);
            done += size;
            at += size;
        }
    }
}

static void s_round (s_pair_t *pair, unsigned char *region, unsigned char *buffers)
{
    static s_block_t blocks[ITEMS];
    umbp_verbs_io_t ios[ITEMS];
    int status[ITEMS];
    size_t count = 1 + s_random (ITEMS);
    bool write = s_random (2);
    owner_fill (pair->announced, BUFFER, s_random (1000));
    owner_fill (pair->plain, BUFFER, s_random (1000));
    memcpy (buffers, pair->announced, BUFFER);
    memcpy (buffers + BUFFER, pair->plain, BUFFER);
    s_draw (pair, blocks, ios, count);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    int rc = write ? s_api->write (pair->link, ios, count, status, deadline_ms)
                   : s_api->read (pair->link, ios, count, status, deadline_ms);
    CU_ASSERT_EQUAL (rc, (int) count);
    for (size_t index = 0; index < count; index++) {
        umbp_sum_t sum;
        umbp_sum_init (&sum, 0);
        s_shadow (pair, &blocks[index], region, buffers, write);
        for (size_t piece = 0; piece < ios[index].piece_count; piece++)
            umbp_sum_update (&sum, ios[index].pieces[piece].base, ios[index].pieces[piece].size);
        CU_ASSERT_EQUAL (ios[index].sum, umbp_sum_final (&sum));
        CU_ASSERT_EQUAL (status[index], 0);
    }
    CU_ASSERT (memcmp (buffers, pair->announced, BUFFER) == 0);        //  Between pieces, too
    CU_ASSERT (memcmp (buffers + BUFFER, pair->plain, BUFFER) == 0);
    if (write)
        CU_ASSERT_EQUAL (s_owner_sum (pair), umbp_sum (region, REGION));
}

static void s_rounds (int cables, umbp_verbs_options_t options, int rounds)
{
    s_pair_t pair;
    s_open (&pair, cables, UMBP_VERBS_READ | UMBP_VERBS_WRITE, options);
    unsigned char *region = malloc (REGION), *buffers = malloc (2 * BUFFER);
    assert (region && buffers);
    s_owner_fill (&pair, 5);
    owner_fill (region, REGION, 5);
    for (int round = 0; round < rounds; round++)
        s_round (&pair, region, buffers);
    umbp_verbs_stats_t stats;
    s_api->stats (pair.verbs, &stats);
    printf ("\n    %.1f MB read, %.1f MB written in %ju requests, %.1f MB staged, %ju inlined, "
            "cache %ju/%ju/%ju/%ju",
            (double) stats.bytes_read / 1e6, (double) stats.bytes_written / 1e6,
            (uintmax_t) stats.requests, (double) stats.staged_bytes / 1e6,
            (uintmax_t) stats.inlined, (uintmax_t) stats.cache_hits, (uintmax_t) stats.cache_misses,
            (uintmax_t) stats.cache_evictions, (uintmax_t) stats.cache_refusals);
    CU_ASSERT (stats.bytes_read > 0 && stats.bytes_written > 0 && stats.staged_bytes > 0);
    CU_ASSERT_EQUAL (stats.resent + stats.queues_lost, 0);
    free (region);
    free (buffers);
    s_close (&pair);
}

static void test_moves_random_blocks (void)
{
    s_rounds (2, (umbp_verbs_options_t) { .silence_ms = 8000 }, ROUNDS);
}

//  Room for one registration of 4 MiB and 64 KiB of staging: parts come and go, or are refused
static void test_moves_with_little_room (void)
{
    s_rounds (1,
              (umbp_verbs_options_t){
        .silence_ms = 8000, .cache_bytes = 4 << 20, .cache_count = 1, .staging_bytes = 65536,
        .chunk_bytes = 32768, .depth = 3, .queues = 3, .mtu = 1024, .inline_bytes = 200,
              },
              ROUNDS / 2);
}

static void test_survives_packet_loss (void)
{
    CU_ASSERT_EQUAL (system ("cable 0 loss 1"), 0);
    s_rounds (1, (umbp_verbs_options_t) { .silence_ms = 20000 }, 4);
    CU_ASSERT_EQUAL (system ("cable 0 loss 0"), 0);
}

static void test_refuses_extents_outside (void)
{
    s_pair_t pair;
    s_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { 0 });
    int status[3];
    umbp_extent_t extents[] = { { .page = PAGES - 1, .count = 2 },
                                { .region = 1, .count = 1 },
                                { .count = 1 } };
    umbp_piece_t piece = { pair.announced, PAGE + 1 };
    umbp_verbs_io_t ios[3];
    for (size_t index = 0; index < 3; index++)
        ios[index] = (umbp_verbs_io_t) {
            .memories = &pair.memory, .memory_count = 1, .extents = &extents[index],
            .extent_count = 1, .page_size = PAGE, .pieces = &piece, .piece_count = 1,
        };
    int rc = s_api->read (pair.link, ios, 3, status, umbp_clock_ms () + LONG_MS);
    CU_ASSERT_EQUAL (rc, 0);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT_EQUAL (status[index], UMBP_EINVAL);
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 2);
    s_close (&pair);
}

//  ---- Keys and windows

static void test_wrong_key_is_denied (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    s_owner_fill (&pair, 9);
    uint64_t before = s_owner_sum (&pair);
    umbp_verbs_memory_t right = pair.memory;
    pair.memory.keys[0] ^= 0x5500;
    CU_ASSERT_EQUAL (s_move (&pair, true, pair.announced, 4096, &status, LONG_MS), 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 1);      //  One of two went with it
    CU_ASSERT_EQUAL (s_owner_sum (&pair), before);
    pair.memory = right;
    s_assert_works (&pair);
    pair.memory.keys[0] ^= 0x5500;
    CU_ASSERT_EQUAL (s_move (&pair, false, pair.announced, 4096, &status, LONG_MS), UMBP_EDENIED);
    CU_ASSERT_EQUAL (s_move (&pair, false, pair.announced, 4096, &status, LONG_MS), UMBP_ECLOSED);
    printf ("\n    %s", s_api->link_why (pair.link));
    owner_ask_t ask = { .what = OWNER_ALIVE };
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &ask).alive, 0);    //  The owner knows it as well
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    s_assert_works (&pair);
    s_close (&pair);
}

//  A link that may only read, to a region that others may write
static void test_rights_of_a_link_hold (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    s_owner_fill (&pair, 10);
    uint64_t before = s_owner_sum (&pair);
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ, false), 0);
    CU_ASSERT_EQUAL (s_move (&pair, false, pair.plain, 100000, &status, LONG_MS), 1);
    CU_ASSERT (s_move (&pair, true, pair.announced, 4096, &status, LONG_MS) <= 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    CU_ASSERT_EQUAL (s_owner_sum (&pair), before);
    s_close (&pair);
}

static void test_windows_bound_what_a_key_opens (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_KEEP, (umbp_verbs_options_t) { .queues = 4 });
    CU_ASSERT (s_move (&pair, false, pair.plain, 4096, &status, LONG_MS) <= 0);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);                  //  Not by the region's own key
    int both = UMBP_VERBS_READ | UMBP_VERBS_WRITE;
    CU_ASSERT_EQUAL (s_connect (&pair, both, false), 0);
    owner_ask_t ask = { .what = OWNER_OPEN, .bytes = 2 * PAGE, .rights = UMBP_VERBS_WRITE };
    owner_answer_t answer = owner_ask (&pair.owner, &ask);
    CU_ASSERT_EQUAL (answer.rc, 0);
    pair.memory = answer.memory;
    owner_fill (pair.announced, 2 * PAGE, 3);
    for (int round = 0; round < 4; round++)                  //  Each queue pair has its key
        CU_ASSERT_EQUAL (s_move (&pair, true, pair.announced, 2 * PAGE, &status, LONG_MS), 1);
    ask.what = OWNER_SUM;
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &ask).sum, umbp_sum (pair.announced, 2 * PAGE));
    s_move (&pair, false, pair.plain, 64, &status, LONG_MS); //  It lets write, not read
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    //  rxe of Linux 6.1 looks at the ends of the region, not at those of a window: no test of these
    for (int index = 0; index < 4; index++)                  //  Nor good for another queue pair
        pair.memory.keys[index] = answer.memory.keys[(index + 1) % 4];
    s_move (&pair, true, pair.plain, 64, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);
    pair.memory = answer.memory;
    owner_ask_t shut = { .what = OWNER_CLOSE };
    CU_ASSERT_EQUAL (owner_ask (&pair.owner, &shut).rc, 0);
    s_move (&pair, true, pair.announced, 64, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, UMBP_EDENIED);                  //  The lease is over
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 1);
    s_close (&pair);
}

//  ---- Faults

//  Write until the link fails. Returns the status.
static int s_write_until_it_fails (s_pair_t *pair)
{
    int status = 0;
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    for (uint64_t round = 0; status == 0 && umbp_clock_ms () < end_ms; round++) {
        owner_fill (pair->announced, 4096, round);
        s_move (pair, true, pair->announced, BUFFER, &status, LONG_MS);
    }
    return status;
}

//  What the owner sees when its end is gone is what it sees ever after
static void test_teardown_is_a_fence (void)
{
    s_pair_t pair;
    s_open (&pair, 1, UMBP_VERBS_WRITE, (umbp_verbs_options_t) { .depth = 4 });
    owner_ask_t ask = { .what = OWNER_FENCE, .delay_ms = 300, .bytes = REGION };
    owner_tell (&pair.owner, &ask);
    int64_t start_ms = umbp_clock_ms ();
    int status = s_write_until_it_fails (&pair);
    printf ("\n    %s after %d ms: %s", umbp_errname (status), (int) (umbp_clock_ms () - start_ms),
            s_api->link_why (pair.link));
    CU_ASSERT_EQUAL (status, UMBP_EUNREACH);
    owner_answer_t answer = owner_hear (&pair.owner);
    CU_ASSERT_EQUAL (answer.sum, s_owner_sum (&pair));
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    s_close (&pair);
}

static void test_killed_peer_is_unreachable (void)
{
    s_pair_t pair;
    s_open (&pair, 1, UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    pid_t killer = fork ();
    if (killer == 0) {
        poll (NULL, 0, 300);
        kill (pair.owner.pid, SIGKILL);
        _exit (0);
    }
    int64_t start_ms = umbp_clock_ms ();
    CU_ASSERT_EQUAL (s_write_until_it_fails (&pair), UMBP_EUNREACH);
    printf ("\n    after %d ms: %s", (int) (umbp_clock_ms () - start_ms),
            s_api->link_why (pair.link));
    waitpid (killer, NULL, 0);
    s_api->link_destroy (&pair.link);
    CU_ASSERT_EQUAL (s_api->forget (pair.verbs, pair.announced, BUFFER), 0);
    s_api->close (&pair.verbs);
    CU_ASSERT_NOT_EQUAL (owner_end (&pair.owner), 0);
    free (pair.announced);
    free (pair.plain);
}

//  The device would try for a minute more; the buffers are ours again at the deadline
static void test_deadline_ends_a_call (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { .silence_ms = 60000 });
    owner_ask_t ask = { .what = OWNER_FENCE };
    owner_ask (&pair.owner, &ask);
    CU_ASSERT_EQUAL (s_move (&pair, false, pair.plain, BUFFER, &status, 300), UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (status, UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (s_api->forget (pair.verbs, pair.announced, BUFFER), 0);
    CU_ASSERT_EQUAL (s_api->announce (pair.verbs, pair.announced, BUFFER), 0);
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    s_close (&pair);
}

//  The owner's queue pairs are not ready when the first requests come; they are sent again
static void test_waits_for_a_receiver_not_ready (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
            (umbp_verbs_options_t) { .silence_ms = 8000 });
    int both = UMBP_VERBS_READ | UMBP_VERBS_WRITE;
    CU_ASSERT_EQUAL (s_connect (&pair, both, true), 0);
    owner_ask_t ask = { .what = OWNER_CONNECT, .delay_ms = 300 };
    s_api->link_describe (pair.link, &ask.peer);
    owner_tell (&pair.owner, &ask);
    CU_ASSERT_EQUAL (s_move (&pair, true, pair.announced, 100000, &status, LONG_MS), 1);
    CU_ASSERT_EQUAL (owner_hear (&pair.owner).rc, 0);
    s_assert_works (&pair);
    s_close (&pair);
}

static void s_count (void *arg, umbp_op_t *op, enum ibv_wc_status status)
{
    (void) op;
    *(enum ibv_wc_status *) arg = status;
}

//  A message that nobody awaits: the owner answers "not ready" until the sender gives up
static void test_unasked_message_harms_nobody (void)
{
    s_pair_t pair;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    enum ibv_wc_status status = IBV_WC_SUCCESS;
    umbp_op_t op = { 0 };
    struct ibv_send_wr wr = { .wr_id = (uintptr_t) &op,
                              .opcode = IBV_WR_SEND,
                              .send_flags = IBV_SEND_SIGNALED };
    umbp_link_post (pair.link, &pair.link->queues[0], &wr, s_count, &status);
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (pair.link->busy && umbp_clock_ms () < end_ms)
        umbp_link_wait (pair.link, s_count, &status, end_ms);
    CU_ASSERT_EQUAL (status, IBV_WC_RNR_RETRY_EXC_ERR);
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 1);
    s_assert_works (&pair);
    s_close (&pair);
}

static void test_queue_pair_in_error_is_replaced (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
    CU_ASSERT_EQUAL (ibv_modify_qp (pair.link->queues[0].qp, &attr, IBV_QP_STATE), 0);
    s_assert_works (&pair);             //  By the other one
    umbp_verbs_stats_t stats;
    s_api->stats (pair.verbs, &stats);
    CU_ASSERT (stats.queues_lost == 1 && stats.resent > 0);
    CU_ASSERT_EQUAL (ibv_modify_qp (pair.link->queues[1].qp, &attr, IBV_QP_STATE), 0);
    CU_ASSERT (s_move (&pair, false, pair.plain, BUFFER, &status, LONG_MS) < 0);
    CU_ASSERT_EQUAL (status, UMBP_ECLOSED);
    for (int round = 0; round < 5; round++) {
        CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
        s_assert_works (&pair);
    }
    s_close (&pair);
}

//  Pull the second cable while the same bytes are written over and over. Returns how many requests
//  had to go another way.
static uint64_t s_pull (s_pair_t *pair)
{
    pid_t puller = fork ();
    if (puller == 0) {
        poll (NULL, 0, 200);
        _exit (system ("cable 1 down") != 0);
    }
    int status = 0;
    int64_t end_ms = umbp_clock_ms () + LONG_MS;
    while (status == 0 && s_api->link_alive (pair->link) == 4 && umbp_clock_ms () < end_ms)
        s_move (pair, true, pair->announced, BUFFER, &status, LONG_MS);
    CU_ASSERT_EQUAL (status, 0);
    waitpid (puller, NULL, 0);
    CU_ASSERT_EQUAL (s_api->link_alive (pair->link), 2);
    umbp_verbs_stats_t stats;
    s_api->stats (pair->verbs, &stats);
    return stats.resent;
}

//  One of two cables goes while blocks move: the other takes over. Then both; then they return.
static void test_link_down_moves_to_the_other_device (void)
{
    s_pair_t pair;
    int status = 0;
    s_open (&pair, 2, UMBP_VERBS_READ | UMBP_VERBS_WRITE, (umbp_verbs_options_t) { 0 });
    s_assert_works (&pair);
    uint64_t resent = s_pull (&pair);
    for (int again = 0; resent == 0 && again < 5; again++) { //  It may fall between two calls
        CU_ASSERT_EQUAL (system ("cable 1 up"), 0);
        CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
        resent = s_pull (&pair);
    }
    CU_ASSERT (resent > 0);
    s_assert_works (&pair);
    printf ("\n    %ju requests sent again; %s", (uintmax_t) resent, s_api->link_why (pair.link));
    CU_ASSERT_EQUAL (system ("cable 0 down"), 0);
    CU_ASSERT (s_move (&pair, false, pair.plain, 4096, &status, LONG_MS) < 0);
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 0);
    CU_ASSERT_EQUAL (system ("cable 0 up"), 0);
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    s_assert_works (&pair);             //  With one
    CU_ASSERT_EQUAL (system ("cable 1 up"), 0);
    CU_ASSERT_EQUAL (s_connect (&pair, UMBP_VERBS_READ | UMBP_VERBS_WRITE, false), 0);
    CU_ASSERT_EQUAL (s_api->link_alive (pair.link), 4);
    s_assert_works (&pair);
    s_close (&pair);
}

static void test_says_which_devices_there_are (void)
{
    char why[UMBP_VERBS_WHY_MAX], text[1024];
    int rc = 0;
    umbp_verbs_options_t options = { .devices = "mlx9" };
    CU_ASSERT (!s_api->open (&options, &rc, why));
    CU_ASSERT (rc == UMBP_ENOTSUP && strstr (why, "mlx9"));
    options = (umbp_verbs_options_t) { .mtu = 1500 };
    CU_ASSERT (!s_api->open (&options, &rc, why));
    CU_ASSERT (rc == UMBP_EINVAL && strstr (why, "mtu"));
    options = (umbp_verbs_options_t) { .devices = "rxd:1, rxa" };
    umbp_verbs_t *verbs = s_api->open (&options, &rc, why);
    CU_ASSERT_FATAL (verbs != NULL);
    CU_ASSERT_EQUAL (s_api->print (verbs, text, sizeof text), 2);
    printf ("\n%s", text);
    CU_ASSERT (strstr (text, "rxd:1 gid 1 10.77.1.2 mtu 4096") == text);
    CU_ASSERT (strstr (text, "rxa:1 gid 1 10.77.0.1 mtu 4096") != NULL);
    s_api->close (&verbs);
}

//  ---- Speed

static struct {
    bool write;
    size_t bytes, count;
    uint32_t queues;
} s_wanted;

static void s_bench (void)
{
    bool write = s_wanted.write;
    size_t bytes = s_wanted.bytes, count = s_wanted.count;
    s_pair_t pair;
    s_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
            (umbp_verbs_options_t) { .queues = s_wanted.queues, .silence_ms = 8000 });
    umbp_verbs_io_t *ios = calloc (count, sizeof *ios);
    int *status = calloc (count, sizeof *status);
    assert (ios && status && bytes <= BUFFER);
    umbp_extent_t extent = { .count = PAGES };
    umbp_piece_t piece = { pair.announced, bytes };
    for (size_t index = 0; index < count; index++)
        ios[index] = (umbp_verbs_io_t) {
            .memories = &pair.memory, .memory_count = 1, .extents = &extent, .extent_count = 1,
            .page_size = PAGE, .pieces = &piece, .piece_count = 1,
        };
    int rc = 0;
    struct timespec start, end;
    for (size_t part = 2; part > 0; part--) {                //  A few to warm up, then all
        clock_gettime (CLOCK_MONOTONIC, &start);
        size_t some = part == 2 ? count / 8 + 1 : count;
        rc = write ? s_api->write (pair.link, ios, some, status, umbp_clock_ms () + LONG_MS)
                   : s_api->read (pair.link, ios, some, status, umbp_clock_ms () + LONG_MS);
        clock_gettime (CLOCK_MONOTONIC, &end);
    }
    double took_s =
        (double) (end.tv_sec - start.tv_sec) + (double) (end.tv_nsec - start.tv_nsec) / 1e9;
    printf ("%.1f\n", (double) bytes * (double) count / took_s / 1e6);
    free (ios);
    free (status);
    s_close (&pair);
    CU_ASSERT_EQUAL (rc, (int) count);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, test_##name                                                                         \
    }

static const struct {
    const char *name;
    void (*test) (void);
} s_tests[] = {
    TEST (says_which_devices_there_are),
    TEST (moves_random_blocks),
    TEST (moves_with_little_room),
    TEST (refuses_extents_outside),
    TEST (wrong_key_is_denied),
    TEST (rights_of_a_link_hold),
    TEST (windows_bound_what_a_key_opens),
    TEST (teardown_is_a_fence),
    TEST (killed_peer_is_unreachable),
    TEST (deadline_ends_a_call),
    TEST (waits_for_a_receiver_not_ready),
    TEST (unasked_message_harms_nobody),
    TEST (queue_pair_in_error_is_replaced),
    TEST (link_down_moves_to_the_other_device),
    TEST (survives_packet_loss),
};

int main (int argc, char **argv)
{
    char why[UMBP_VERBS_WHY_MAX];
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    s_plugin = argc > 1 ? argv[1] : "";
    s_api = umbp_verbs_load (s_plugin, why);
    if (!s_api) {
        printf ("%s\n", why);
        return 1;
    }
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("verbs", NULL, NULL);
    if (argc == 7) {
        s_wanted.write = !strcmp (argv[3], "write");
        s_wanted.bytes = strtoul (argv[4], NULL, 10);
        s_wanted.count = strtoul (argv[5], NULL, 10);
        s_wanted.queues = (uint32_t) strtoul (argv[6], NULL, 10);
        CU_add_test (suite, "bench", s_bench);
        CU_basic_set_mode (CU_BRM_SILENT);
        CU_basic_run_tests ();
        return CU_get_number_of_failures () > 0;
    }
    s_seed =
        argc > 2 ? strtoull (argv[2], NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid ();
    printf ("seed %ju\n", (uintmax_t) s_seed);
    s_seed = s_seed * UINT64_C (0x9e3779b97f4a7c15) | 1;
    for (size_t index = 0; index < sizeof s_tests / sizeof *s_tests; index++)
        if (argc < 4 || !strcmp (argv[3], s_tests[index].name))
            CU_add_test (suite, s_tests[index].name, s_tests[index].test);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
