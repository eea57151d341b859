//  test/guest/verbs.c - the RDMA transport against real verbs, in the guest of guest.sh: what moves.
//  Which keys open what is in keys.c, what breaks in faults.c. `verbs PLUGIN bench write|read BYTES COUNT
//  QUEUES` prints MB/s.
#include "test/guest/pair.h"

#define ROUNDS 40
#define ITEMS 6
#define PIECES 12

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
        if (last && last->page + last->count == pages[index] && guest_random (8))
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
static void s_draw_pieces (pair_t *pair, s_block_t *self, size_t number, uint64_t room)
{
    size_t share = BUFFER / ITEMS, at[2] = { number * share, number * share };
    self->io.pieces = self->pieces;
    self->io.piece_count = 1 + guest_random (PIECES);
    for (size_t index = 0; index < self->io.piece_count; index++) {
        bool plain = guest_random (3) == 0;
        size_t gap = guest_random (100), left = (number + 1) * share - at[plain];
        size_t size = guest_random (4) ? guest_random (200000) : guest_random (300);
        size = gap + size > left || size > room ? 0 : size;
        at[plain] += gap;
        self->pieces[index] =
            (umbp_piece_t){ (plain ? pair->plain : pair->announced) + at[plain], size };
        at[plain] += size;
        room -= size;
    }
}

static void s_draw (pair_t *pair, s_block_t *blocks, umbp_verbs_io_t *ios, size_t count)
{
    uint32_t pages[PAGES];
    for (uint32_t index = 0; index < PAGES; index++) {
        uint32_t other = (uint32_t) guest_random (index + 1);
        pages[index] = pages[other];
        pages[other] = index;
    }
    if (guest_random (2))                   //  Long runs, sometimes
        for (uint32_t index = 0; index < PAGES; index++)
            pages[index] = index;
    for (size_t number = 0; number < count; number++) {
        uint32_t taken = 1 + (uint32_t) guest_random (PAGES / ITEMS);
        s_block_t *block = &blocks[number];
        block->io = (umbp_verbs_io_t) {
            .memories = &pair->memory, .memory_count = 1, .page_size = PAGE,
            .offset = guest_random (2) ? guest_random ((uint64_t) taken * PAGE) : 0, .want_sum = true,
        };
        s_draw_extents (block, pages + number * (PAGES / ITEMS), taken);
        s_draw_pieces (pair, block, number, (uint64_t) taken * PAGE - block->io.offset);
        ios[number] = block->io;
    }
}

//  Do to a copy of the region what a transfer does to it, or to copies of the buffers
static void s_shadow (pair_t *pair, const s_block_t *block, unsigned char *region,
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

static void s_round (pair_t *pair, unsigned char *region, unsigned char *buffers, bool write)
{
    static s_block_t blocks[ITEMS];
    umbp_verbs_io_t ios[ITEMS];
    int status[ITEMS];
    size_t count = 1 + guest_random (ITEMS);
    owner_fill (pair->announced, BUFFER, guest_random (1000));
    owner_fill (pair->plain, BUFFER, guest_random (1000));
    memcpy (buffers, pair->announced, BUFFER);
    memcpy (buffers + BUFFER, pair->plain, BUFFER);
    s_draw (pair, blocks, ios, count);
    int64_t deadline_ms = umbp_clock_ms () + LONG_MS;
    int rc = write ? pair_api->write (pair->link, ios, count, status, deadline_ms)
                   : pair_api->read (pair->link, ios, count, status, deadline_ms);
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
        CU_ASSERT_EQUAL (pair_owner_sum (pair), umbp_sum (region, REGION));
}

static void s_rounds (int cables, umbp_verbs_options_t options, int rounds)
{
    pair_t pair;
    pair_open (&pair, cables, UMBP_VERBS_READ | UMBP_VERBS_WRITE, options);
    unsigned char *region = malloc (REGION), *buffers = malloc (2 * BUFFER);
    assert (region && buffers);
    pair_fill_owner (&pair, 5);
    owner_fill (region, REGION, 5);
    for (int round = 0; round < rounds; round++)
        s_round (&pair, region, buffers, round % 2);
    umbp_verbs_stats_t stats;
    pair_api->stats (pair.verbs, &stats);
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
    pair_close (&pair);
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
    pair_t pair;
    pair_open (&pair, 1, UMBP_VERBS_READ, (umbp_verbs_options_t) { 0 });
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
    int rc = pair_api->read (pair.link, ios, 3, status, umbp_clock_ms () + LONG_MS);
    CU_ASSERT_EQUAL (rc, 0);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT_EQUAL (status[index], UMBP_EINVAL);
    CU_ASSERT_EQUAL (pair_api->link_alive (pair.link), 2);
    pair_close (&pair);
}

//  Packets that a device sent and took in so far, as the kernel counts them
static uint64_t s_packets (const char *device)
{
    static const char *const names[] = { "sent_pkts", "rcvd_pkts" };
    uint64_t sum = 0;
    for (size_t index = 0; index < 2; index++) {
        char path[128];
        unsigned long long count = 0;
        snprintf (path, sizeof path, "/sys/class/infiniband/%s/ports/1/hw_counters/%s", device,
                  names[index]);
        FILE *file = fopen (path, "r");
        CU_ASSERT_FATAL (file != NULL);
        CU_ASSERT_EQUAL (fscanf (file, "%llu", &count), 1);
        fclose (file);
        sum += count;
    }
    return sum;
}

//  Both devices carry a fair part of one block
static void test_stripes_over_devices (void)
{
    pair_t pair;
    pair_open (&pair, 2, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
               (umbp_verbs_options_t) { .chunk_bytes = 65536, .silence_ms = 8000 });
    uint64_t first = s_packets ("rxa"), second = s_packets ("rxc");
    pair_assert_works (&pair);
    first = s_packets ("rxa") - first;
    second = s_packets ("rxc") - second;
    printf ("\n    %ju and %ju packets", (uintmax_t) first, (uintmax_t) second);
    CU_ASSERT (first > (first + second) / 4 && second > (first + second) / 4);
    pair_close (&pair);
}

static umbp_verbs_stats_t s_stats (const pair_t *pair)
{
    umbp_verbs_stats_t stats;
    pair_api->stats (pair->verbs, &stats);
    return stats;
}

//  No queue pair ever has more requests than it may, and of READs no more than the peer answers
static void test_keeps_within_depths (void)
{
    pair_t pair;
    int status = 1;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
               (umbp_verbs_options_t){ /* clang-format off */
                   .depth = 5, .reads = 2, .queues = 2, .chunk_bytes = 8192, .silence_ms = 8000 });
    umbp_verbs_description_t own;
    pair_api->link_describe (pair.link, &own);
    CU_ASSERT (own.count == 2 && own.queues[0].reads == 2);
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.plain, BUFFER, &status, LONG_MS), 1);
    CU_ASSERT_EQUAL (s_stats (&pair).busiest, 2);
    CU_ASSERT_EQUAL (pair_move (&pair, true, pair.plain, BUFFER, &status, LONG_MS), 1);
    CU_ASSERT_EQUAL (s_stats (&pair).busiest, 5);
    CU_ASSERT_EQUAL (s_stats (&pair).requests, 2 * BUFFER / 8192);
    pair_assert_works (&pair);
    pair_close (&pair);
}

static void test_small_writes_go_inline (void)
{
    pair_t pair;
    int status = 1;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
               (umbp_verbs_options_t) { .inline_bytes = 100, .silence_ms = 8000 });
    owner_ask_t ask = { .what = OWNER_SUM };
    for (uint64_t size = 1; size <= 101; size += 20) {       //  Of memory that no device knows
        owner_fill (pair.plain, size, size);
        CU_ASSERT_EQUAL (pair_move (&pair, true, pair.plain, size, &status, LONG_MS), 1);
        ask.bytes = size;
        CU_ASSERT_EQUAL (owner_ask (&pair.owner, &ask).sum, umbp_sum (pair.plain, size));
    }
    CU_ASSERT_EQUAL (s_stats (&pair).inlined, 5);
    CU_ASSERT_EQUAL (s_stats (&pair).staged_bytes, 101);
    CU_ASSERT_EQUAL (pair_move (&pair, false, pair.plain, 64, &status, LONG_MS), 1);
    CU_ASSERT_EQUAL (s_stats (&pair).inlined, 5);            //  A READ cannot
    pair_close (&pair);
}

static void test_ports_and_packets_can_be_chosen (void)
{
    char why[UMBP_VERBS_WHY_MAX], text[1024];
    int rc = 0;
    umbp_verbs_options_t options = { .devices = "rxa:1", .gid_index = 1, .mtu = 1024 };
    umbp_verbs_t *verbs = pair_api->open (&options, &rc, why);
    CU_ASSERT_FATAL (verbs != NULL);
    CU_ASSERT_EQUAL (pair_api->print (verbs, text, sizeof text), 1);
    CU_ASSERT (strstr (text, "rxa:1 gid 1 10.77.0.1 ") == text);
    umbp_verbs_description_t own;
    umbp_verbs_link_t *link = pair_api->link_new (verbs, 3, UMBP_VERBS_KEEP, &rc);
    CU_ASSERT_FATAL (link != NULL);
    pair_api->link_describe (link, &own);
    CU_ASSERT (own.count == 3 && own.queues[2].mtu == 1024);
    pair_api->link_destroy (&link);
    pair_api->close (&verbs);
    options.gid_index = 200;            //  There is none
    CU_ASSERT (!pair_api->open (&options, &rc, why) && rc == UMBP_ENOTSUP);
    options = (umbp_verbs_options_t) { .devices = "rxa:2" };
    CU_ASSERT (!pair_api->open (&options, &rc, why) && rc == UMBP_ENOTSUP && strstr (why, "rxa:2"));
}

static void test_says_which_devices_there_are (void)
{
    char why[UMBP_VERBS_WHY_MAX], text[1024];
    int rc = 0;
    umbp_verbs_options_t options = { .devices = "mlx9" };
    CU_ASSERT (!pair_api->open (&options, &rc, why));
    CU_ASSERT (rc == UMBP_ENOTSUP && strstr (why, "mlx9"));
    options = (umbp_verbs_options_t) { .mtu = 1500 };
    CU_ASSERT (!pair_api->open (&options, &rc, why));
    CU_ASSERT (rc == UMBP_EINVAL && strstr (why, "mtu"));
    options = (umbp_verbs_options_t) { .devices = "rxd:1, rxa" };
    umbp_verbs_t *verbs = pair_api->open (&options, &rc, why);
    CU_ASSERT_FATAL (verbs != NULL);
    CU_ASSERT_EQUAL (pair_api->print (verbs, text, sizeof text), 2);
    printf ("\n%s", text);
    CU_ASSERT (strstr (text, "rxd:1 gid 1 10.77.1.2 mtu 4096") == text);
    CU_ASSERT (strstr (text, "rxa:1 gid 1 10.77.0.1 mtu 4096") != NULL);
    pair_api->close (&verbs);
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
    pair_t pair;
    pair_open (&pair, 1, UMBP_VERBS_READ | UMBP_VERBS_WRITE,
               (umbp_verbs_options_t){ .queues = s_wanted.queues, .silence_ms = 8000 });
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
        rc = write ? pair_api->write (pair.link, ios, some, status, umbp_clock_ms () + LONG_MS)
                   : pair_api->read (pair.link, ios, some, status, umbp_clock_ms () + LONG_MS);
        clock_gettime (CLOCK_MONOTONIC, &end);
    }
    double took_s =
        (double) (end.tv_sec - start.tv_sec) + (double) (end.tv_nsec - start.tv_nsec) / 1e9;
    printf ("%.1f\n", (double) bytes * (double) count / took_s / 1e6);
    free (ios);
    free (status);
    pair_close (&pair);
    CU_ASSERT_EQUAL (rc, (int) count);
}

static const guest_test_t s_tests[] = {
    TEST (says_which_devices_there_are),
    TEST (moves_random_blocks),
    TEST (moves_with_little_room),
    TEST (stripes_over_devices),
    TEST (keeps_within_depths),
    TEST (small_writes_go_inline),
    TEST (ports_and_packets_can_be_chosen),
    TEST (refuses_extents_outside),
    TEST (survives_packet_loss),
};

int main (int argc, char **argv)
{
    alarm (280);
    if (!pair_load (argc, argv))
        return 1;
    if (argc == 7) {
        s_wanted.write = !strcmp (argv[3], "write");
        s_wanted.bytes = strtoul (argv[4], NULL, 10);
        s_wanted.count = strtoul (argv[5], NULL, 10);
        s_wanted.queues = (uint32_t) strtoul (argv[6], NULL, 10);
        CU_initialize_registry ();
        CU_add_test (CU_add_suite ("verbs", NULL, NULL), "bench", s_bench);
        CU_basic_set_mode (CU_BRM_SILENT);
        CU_basic_run_tests ();
        return CU_get_number_of_failures () > 0;
    }
    return guest_run (argc, argv, "verbs", s_tests, sizeof s_tests / sizeof *s_tests, NULL, NULL);
}
