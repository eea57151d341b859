//  test/unit/test_log.c - the segment log, with both engines: what is written is read, whole and in parts, from memory
//  however it lies, and found again after a restart; what was removed is not; room comes back. Then a long random
//  run next to a model, which is reopened now and then. Seed: argument or clock, printed.
#include "test/unit/log.h"

#define BLOCKS 400                      //  Of the random run
#define STEPS 6000

static const char *s_engines[] = { "io_uring", "posix" };
static uint64_t s_seed;
static uint8_t *s_out, *s_in;

static bool s_has (const char *engine)
{
    umbp_log_io_args_t args = { .files = (int[]){ 0 }, .file_count = 1, .depth = 4 };
    umbp_log_io_t *io = umbp_log_io_new (engine, &args);
    bool has = io != NULL;
    umbp_log_io_destroy (&io);
    if (!has)
        printf ("(no %s here) ", engine);
    return has;
}

//  Append a block whose bytes follow from its seed, and wait. Returns its name, 0 if it was refused.
static uint64_t s_put (umbp_log_t *log, const char *key, uint32_t size, uint64_t seed,
                       uint32_t item)
{
    test_log_fill (s_out, size, seed);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = strlen (key),
                                 .size = size,
                                 .sum = XXH3_64bits (s_out, size), .depth = 7, .replicas = 2 };
    int rc = umbp_log_append (log, &record, &(struct iovec) { s_out, size }, 1, item, seed);
    if (rc < 0)
        return 0;
    umbp_medium_event_t event;
    for (;;) {
        CU_ASSERT_FATAL (test_log_wait (log, &event));
        if (event.type == UMBP_MEDIUM_WRITTEN)
            break;
    }
    CU_ASSERT (event.tag == seed && event.item == item);
    CU_ASSERT (event.status == 0);
    return event.status == 0 ? event.at : 0;
}

//  Read a part to memory that lies skewed bytes off, in pieces, and compare
static void s_get (umbp_log_t *log, uint64_t at, uint32_t size, uint64_t seed, uint32_t offset,
                   uint32_t length, unsigned skewed, unsigned pieces)
{
    struct iovec data[4];
    uint8_t *to = s_in + skewed;
    memset (s_in, 0xee, length + skewed + 16);
    for (unsigned index = 0; index < pieces; index++) {
        uint32_t from = (uint32_t) ((uint64_t) length * index / pieces);
        uint32_t until = (uint32_t) ((uint64_t) length * (index + 1) / pieces);
        data[index] = (struct iovec) { to + from, until - from };
    }
    umbp_medium_event_t event;
    CU_ASSERT_FATAL (umbp_log_read (log, at, offset, length, data, pieces, 99) == 0);
    do {
        CU_ASSERT_FATAL (test_log_wait (log, &event));
    } while (event.type != UMBP_MEDIUM_READ);
    CU_ASSERT (event.status == 0 && event.tag == 99);
    test_log_fill (s_out, size, seed);
    CU_ASSERT (memcmp (to, s_out + offset, length) == 0);
    CU_ASSERT (to[length] == 0xee && (!skewed || to[-1] == 0xee));
}

static size_t s_recover (umbp_log_t *log)
{
    umbp_medium_record_t record;
    uint64_t at;
    size_t count = 0;
    while (umbp_log_recovered (log, &record, &at))
        count++;
    return count;
}

static const uint32_t s_sizes[] = {
    1, 7, 4095, 4096, 4097, 65536, 65537, 131072, 500001, 900 * 1024
};
#define SIZES (sizeof s_sizes / sizeof *s_sizes)

static void s_reads (umbp_log_t *log, const uint64_t *ats)
{
    for (size_t index = 0; index < SIZES; index++) {
        uint32_t size = s_sizes[index];
        s_get (log, ats[index], size, index + 1, 0, size, 0, 1);
        s_get (log, ats[index], size, index + 1, 0, size, 3, 1);
        s_get (log, ats[index], size, index + 1, size / 3, size - size / 3, 0, 1);
        s_get (log, ats[index], size, index + 1, size - 1, 1, 5, 1);
        if (size > 16)
            s_get (log, ats[index], size, index + 1, 0, size, 0, 3);
        if (size > 8192)
            s_get (log, ats[index], size, index + 1, 4096, 4096, 0, 1);
    }
    umbp_medium_event_t event;
    struct iovec one = { s_in, 1 };
    CU_ASSERT (umbp_log_read (log, ats[0], 1, 1, &one, 1, 0) == UMBP_EINVAL);
    CU_ASSERT (umbp_log_read (log, ats[0] + (UINT64_C (1) << 32), 0, 1, &one, 1, 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_log_read (log, 0, 0, 1, &one, 1, 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_log_read (log, UINT64_MAX, 0, 1, &one, 1, 0) == UMBP_ENOENT);
    CU_ASSERT (!umbp_log_event (log, &event));
}

static void s_write_read_reopen (const char *engine, bool strict, size_t directories,
                                 bool registered)
{
    char folder[256], key[32];
    test_log_folder (folder, sizeof folder);
    struct iovec buffer = { s_in, SIZE_MOST + 8192 };
    test_log_how_t how = { .engine = engine,
                           .directories = directories,
                           .capacity = 24 * MIB,
                           .segment_bytes = MIB, .strict = strict,
                           .buffer = registered ? &buffer : NULL };
    umbp_log_t *log = test_log_begin (folder, &how);
    CU_ASSERT (s_recover (log) == 0);
    uint64_t ats[SIZES];
    for (size_t index = 0; index < SIZES; index++) {
        snprintf (key, sizeof key, "key %zu", index);
        ats[index] = s_put (log, key, s_sizes[index], index + 1, (uint32_t) index);
        CU_ASSERT (ats[index] != 0);
    }
    s_reads (log, ats);
    umbp_medium_stats_t stats = umbp_log_stats (log);
    CU_ASSERT (stats.records == SIZES && stats.state == 0 && stats.io_errors == 0);
    CU_ASSERT (strcmp (stats.engine, engine) == 0);
    CU_ASSERT (!strict || stats.syncs > 0);
    CU_ASSERT (umbp_log_remove (log, ats[3]) == 0);
    CU_ASSERT (umbp_log_remove (log, ats[3]) == UMBP_ENOENT);
    CU_ASSERT (umbp_log_close (&log));
    CU_ASSERT_PTR_NULL (log);
    for (int round = 0; round < 2; round++) {
        log = test_log_begin (folder, &how);
        umbp_medium_record_t record;
        uint64_t at;
        size_t count = 0;
        while (umbp_log_recovered (log, &record, &at)) {
            size_t index = count < 3 ? count : count + 1;        //  In the order they were written
            snprintf (key, sizeof key, "key %zu", index);
            CU_ASSERT (record.key_size == strlen (key) && !memcmp (record.key, key, strlen (key)));
            CU_ASSERT_FATAL (record.size == s_sizes[index]);
            CU_ASSERT (record.depth == 7 && record.replicas == 2);
            test_log_fill (s_out, record.size, index + 1);
            CU_ASSERT (record.sum == XXH3_64bits (s_out, record.size));
            ats[index] = at;
            count++;
        }
        CU_ASSERT (count == SIZES - 1);
        if (round == 0) {
            ats[3] = s_put (log, "key 3", s_sizes[3], 4, 3);     //  And once more
            s_reads (log, ats);
            CU_ASSERT (umbp_log_remove (log, ats[3]) == 0);
        }
        CU_ASSERT (umbp_log_close (&log));
    }
    test_log_remove (folder);
}

static void test_write_read_reopen (void)
{
    for (size_t index = 0; index < 2; index++)
        if (s_has (s_engines[index])) {
            s_write_read_reopen (s_engines[index], true, 1, false);
            s_write_read_reopen (s_engines[index], false, 3, true);
        }
}

static void test_refusals (void)
{
    char folder[256], why[256];
    test_log_folder (folder, sizeof folder);
    test_log_how_t how = { .engine = "posix",
                           .directories = 1,
                           .capacity = 8 * MIB,
                           .segment_bytes = MIB };
    test_log_how_t wrong = how;
    wrong.engine = "aio";
    CU_ASSERT_PTR_NULL (test_log_open (folder, &wrong, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "aio"));
    wrong = how;
    wrong.capacity = 3 * MIB;
    CU_ASSERT_PTR_NULL (test_log_open (folder, &wrong, why, sizeof why));
    wrong = how;
    wrong.segment_bytes = MIB + 1;
    CU_ASSERT_PTR_NULL (test_log_open (folder, &wrong, why, sizeof why));
    umbp_log_t *log = test_log_begin (folder, &how);
    CU_ASSERT_PTR_NULL (test_log_open (folder, &how, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "locked"));
    umbp_medium_record_t record = { .key = "k", .key_size = 1, .size = 4096 };
    struct iovec data = { s_out, 4096 };
    CU_ASSERT (umbp_log_append (log, &record, &data, 0, 0, 0) == UMBP_EINVAL);
    record.key_size = UMBP_MEDIUM_KEY_MAX + 1;
    CU_ASSERT (umbp_log_append (log, &record, &data, 1, 0, 0) == UMBP_EINVAL);
    record.key_size = 1;
    record.size = MIB;
    data.iov_len = MIB;
    CU_ASSERT (umbp_log_append (log, &record, &data, 1, 0, 0) == UMBP_ETOOBIG);
    CU_ASSERT (umbp_log_close (&log));
    wrong = how;
    wrong.segment_bytes = 2 * MIB;
    wrong.capacity = 16 * MIB;
    CU_ASSERT_PTR_NULL (test_log_open (folder, &wrong, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "made with segments"));
    char path[300];
    snprintf (path, sizeof path, "%s/0/umbp.log", folder);
    int file = open (path, O_WRONLY);
    CU_ASSERT (pwrite (file, "something else", 14, 0) == 14);
    CU_ASSERT (pwrite (file, "something else", 14, 4096) == 14);
    close (file);
    CU_ASSERT_PTR_NULL (test_log_open (folder, &how, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "neither empty nor a log"));
    test_log_remove (folder);
}

//  ------------------------------------------------------------------------------------------------
//  More tombstones than there is room for

#define SMALL 100
#define SMALL_MOST 100000               //  More than there is room for
#define SMALL_KEPT 997                  //  One in so many stays

//  Hand in a small block; its name comes with the event. False: the log is full.
static bool s_put_small (umbp_log_t *log, uint32_t number)
{
    char key[16];
    snprintf (key, sizeof key, "%08u", number);
    test_log_fill (s_out, SMALL, number);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = 8,
                                 .size = SMALL,
                                 .sum = XXH3_64bits (s_out, SMALL) };
    int rc = umbp_log_append (log, &record, &(struct iovec) { s_out, SMALL }, 1, number, number);
    CU_ASSERT_FATAL (rc == 0 || rc == UMBP_ENOSPC);
    return rc == 0;
}

//  Small blocks until it is full. Returns how many are there; ats: their names, 0 of those that found no room.
static uint32_t s_fill_small (umbp_log_t *log, uint64_t *ats)
{
    uint32_t handed = 0, ended = 0, there = 0;
    umbp_medium_event_t event;
    for (bool full = false; !full || ended < handed;) {
        full = full || handed == SMALL_MOST || !s_put_small (log, handed);
        handed += !full;
        while (handed - ended >= (full ? 1 : 256)) {
            CU_ASSERT_FATAL (test_log_wait (log, &event));
            if (event.type == UMBP_MEDIUM_MOVED)
                continue;               //  It cleans, where blocks found no room
            CU_ASSERT_FATAL (event.type == UMBP_MEDIUM_WRITTEN);
            ats[event.item] = event.status == 0 ? event.at : 0;
            there += event.status == 0;
            ended++;
        }
    }
    CU_ASSERT (handed < SMALL_MOST);
    return there;
}

//  All but a few of a full log are removed at once: the tombstones wait for room, and nobody waits for them
static void test_tombs_without_room (void)
{
    char folder[256];
    test_log_folder (folder, sizeof folder);
    test_log_how_t how = { .engine = "posix",
                           .directories = 1,
                           .capacity = 16 * MIB,
                           .segment_bytes = MIB };
    umbp_log_t *log = test_log_begin (folder, &how);
    CU_ASSERT (s_recover (log) == 0);
    uint64_t *ats = calloc (SMALL_MOST, sizeof *ats);
    uint32_t count = s_fill_small (log, ats), kept = 0;
    for (uint32_t number = 0; number < SMALL_MOST; number++)
        if (ats[number] && number % SMALL_KEPT == 0)
            kept++;
        else if (ats[number])
            CU_ASSERT (umbp_log_remove (log, ats[number]) == 0);
    uint64_t mark = umbp_log_mark (log);            //  In a moment, or the alarm ends us
    CU_ASSERT (!umbp_log_is_past (log, mark));
    int64_t until = umbp_clock_ms () + WAIT_MS;
    umbp_medium_event_t event;
    while (!umbp_log_is_past (log, mark) && umbp_clock_ms () < until) {
        poll (&(struct pollfd) { .fd = umbp_log_fd (log), .events = POLLIN }, 1, 10);
        umbp_log_tick (log, umbp_clock_ms ());
        while (umbp_log_event (log, &event))
            CU_ASSERT (event.type == UMBP_MEDIUM_MOVED);
    }
    CU_ASSERT (umbp_log_is_past (log, mark));
    printf ("(%u blocks, %" PRIu64 " tombstones, %" PRIu64 " segments free) ", count,
            umbp_log_stats (log).tombstones, umbp_log_stats (log).free_segments);
    CU_ASSERT (umbp_log_stats (log).records == kept);
    CU_ASSERT (umbp_log_stats (log).tombstones < 2 * count);     //  Not from segment to segment
    CU_ASSERT (umbp_log_close (&log));
    log = test_log_begin (folder, &how);
    umbp_medium_record_t record;
    uint64_t at;
    uint32_t found = 0;
    while (umbp_log_recovered (log, &record, &at)) {
        char key[16] = "";
        memcpy (key, record.key, 8);
        CU_ASSERT (strtoul (key, NULL, 10) % SMALL_KEPT == 0);
        found++;
    }
    CU_ASSERT (found == kept);
    CU_ASSERT (umbp_log_close (&log));
    free (ats);
    test_log_remove (folder);
}

//  ------------------------------------------------------------------------------------------------
//  A random run next to a model

typedef struct {
    bool there, pending, doubtful;      //  doubtful: its removal was not on disk for sure
    uint64_t at, seed;
    uint32_t size;
} block_t;

typedef struct {
    umbp_log_t *log;
    block_t blocks[BLOCKS];
    uint64_t random, serial, moved, left, full, checked;
    uint8_t *memory[16];                //  Of what is under way
    uint64_t busy[16];                  //  1 + block, of appends; 1 + block + BLOCKS, of reads
    unsigned under_way;
} model_t;

static bool s_keep (void *arg, uint32_t item)
{
    model_t *model = arg;
    CU_ASSERT (item < BLOCKS && model->blocks[item].there);
    return item % 3 != 0;
}

static void s_model_event (model_t *model, const umbp_medium_event_t *event)
{
    block_t *block = event->type == UMBP_MEDIUM_READ ? NULL : &model->blocks[event->item];
    switch (event->type) {
    case UMBP_MEDIUM_WRITTEN:
        CU_ASSERT (block->pending);
        block->pending = false;
        block->there = event->status == 0;
        block->at = event->at;
        CU_ASSERT (event->status == 0 || event->status == UMBP_ENOSPC);
        if (model->busy[event->tag] == 1 + event->item)
            model->busy[event->tag] = 0, model->under_way--;
        break;
    case UMBP_MEDIUM_READ: {
        block_t copy;
        memcpy (&copy, model->memory[event->tag] + SIZE_MOST, sizeof copy);
        CU_ASSERT (event->status == 0);
        test_log_fill (s_out, copy.size, copy.seed);
        CU_ASSERT (memcmp (model->memory[event->tag], s_out, copy.size) == 0);
        model->busy[event->tag] = 0;
        model->under_way--;
        model->checked++;
        break;
    }
    case UMBP_MEDIUM_MOVED: model->moved++; break; //  Perhaps of one that was removed meanwhile
    case UMBP_MEDIUM_LEFT:
        CU_ASSERT (block->there && block->at == event->at && event->status == 0);
        block->there = false;
        model->left++;
        break;
    default: CU_FAIL ("no such event here");
    }
}

static void s_model_pump (model_t *model, unsigned until)
{
    umbp_medium_event_t event;
    int64_t limit = umbp_clock_ms () + WAIT_MS;
    umbp_log_tick (model->log, umbp_clock_ms ());
    for (;;) {
        while (umbp_log_event (model->log, &event))
            s_model_event (model, &event);
        if (model->under_way <= until)
            return;
        CU_ASSERT_FATAL (umbp_clock_ms () < limit);
        poll (&(struct pollfd) { .fd = umbp_log_fd (model->log), .events = POLLIN }, 1, 10);
        umbp_log_tick (model->log, umbp_clock_ms ());
    }
}

static uint64_t s_draw (model_t *model, uint64_t below)
{
    return umbp_splitmix (&model->random) % below;
}

static void s_model_put (model_t *model, uint32_t item, unsigned slot)
{
    block_t *block = &model->blocks[item];
    char key[32];
    snprintf (key, sizeof key, "block %u", item);
    block->seed = ++model->serial + s_seed;
    block->size =
        (uint32_t) (s_draw (model, 4) ? 1 + s_draw (model, 30000) : 1 + s_draw (model, 400000));
    test_log_fill (model->memory[slot], block->size, block->seed);
    umbp_medium_record_t record = { .key = key,
                                 .key_size = strlen (key),
                                 .size = block->size,
                                 .sum = XXH3_64bits (model->memory[slot], block->size) };
    struct iovec data = { model->memory[slot], block->size };
    int rc = umbp_log_append (model->log, &record, &data, 1, item, slot);
    CU_ASSERT (rc == 0 || rc == UMBP_EAGAIN || rc == UMBP_ENOSPC);
    if (rc == 0) {
        block->pending = true;
        model->busy[slot] = 1 + item;
        model->under_way++;
    } else if (rc == UMBP_ENOSPC) {
        model->full++;
        umbp_log_evict (model->log, 2 * MIB);
    }
}

static void s_model_step (model_t *model)
{
    uint32_t item = (uint32_t) s_draw (model, BLOCKS);
    block_t *block = &model->blocks[item];
    unsigned slot = 0;
    while (slot < 16 && model->busy[slot])
        slot++;
    if (slot == 16) {
        s_model_pump (model, 8);
        return;
    }
    if (block->pending)
        return;
    uint64_t what = s_draw (model, 10);
    if (!block->there)
        s_model_put (model, item, slot);
    else if (what < 4) {
        CU_ASSERT (umbp_log_remove (model->log, block->at) == 0);
        block->there = false;
    } else {
        struct iovec data = { model->memory[slot], block->size };
        int rc = umbp_log_read (model->log, block->at, 0, block->size, &data, 1, slot);
        CU_ASSERT (rc == 0 || rc == UMBP_EAGAIN);
        if (rc == 0) {
            memcpy (model->memory[slot] + SIZE_MOST, block, sizeof *block);
            model->busy[slot] = 1 + BLOCKS;
            model->under_way++;
        }
    }
}

//  All that should be there is found, and nothing else
static void s_model_reopen (model_t *model, const char *folder, const test_log_how_t *how)
{
    s_model_pump (model, 0);
    CU_ASSERT (umbp_log_close (&model->log));
    model->log = test_log_begin (folder, how);
    size_t expected = 0, found = 0;
    for (uint32_t item = 0; item < BLOCKS; item++)
        expected += model->blocks[item].there;
    umbp_medium_record_t record;
    uint64_t at;
    while (umbp_log_recovered (model->log, &record, &at)) {
        char key[32] = "";
        memcpy (key, record.key, record.key_size < 31 ? record.key_size : 31);
        uint32_t item = (uint32_t) strtoul (key + 6, NULL, 10);
        CU_ASSERT_FATAL (item < BLOCKS);
        CU_ASSERT (model->blocks[item].there);
        CU_ASSERT (model->blocks[item].size == record.size);
        model->blocks[item].at = at;
        umbp_log_set_item (model->log, at, item);
        found++;
    }
    CU_ASSERT (found == expected);
    if (found != expected)
        printf ("found %zu of %zu\n", found, expected);
    umbp_log_set_keep (model->log, s_keep, model);
    CU_ASSERT (umbp_log_stats (model->log).torn == 0
               && umbp_log_stats (model->log).bad_headers == 0);
}

//  Returns how many records were moved
static uint64_t s_random_run (const char *engine, bool strict, size_t directories)
{
    char folder[256], why[256] = "";
    test_log_folder (folder, sizeof folder);
    test_log_how_t how = { .engine = engine,
                           .directories = directories,
                           .strict = strict,
                           .capacity = directories * 16 * MIB, .segment_bytes = MIB, .depth = 16 };
    model_t *model = calloc (1, sizeof *model);
    model->random = s_seed;
    for (size_t slot = 0; slot < 16; slot++)
        model->memory[slot] = test_log_memory (SIZE_MOST + 4096);
    model->log = test_log_begin (folder, &how);
    CU_ASSERT (s_recover (model->log) == 0);
    umbp_log_set_keep (model->log, s_keep, model);
    for (int step = 0; step < STEPS; step++) {
        s_model_step (model);
        if (step % 16 == 0)
            s_model_pump (model, 16);
        if (step % (STEPS / 4) == STEPS / 4 - 1)
            s_model_reopen (model, folder, &how);
    }
    umbp_medium_stats_t stats = umbp_log_stats (model->log);
    printf ("[%s %s: %" PRIu64 " moved, %" PRIu64 " left, %" PRIu64 " times full, %" PRIu64
            " reads compared, free %" PRIu64 "] ",
            engine, strict ? "strict" : "relaxed", model->moved, model->left, model->full,
            model->checked, stats.free_segments);
    CU_ASSERT (model->checked > 0);
    uint64_t moved = model->moved;
    CU_ASSERT (umbp_log_close (&model->log));
    for (size_t index = 0; index < directories; index++) {
        char path[300];
        uint64_t records;
        snprintf (path, sizeof path, "%s/%zu", folder, index);
        CU_ASSERT (umbp_log_verify (path, &records, why, sizeof why) == 0);
    }
    for (size_t slot = 0; slot < 16; slot++)
        free (model->memory[slot]);
    free (model);
    test_log_remove (folder);
    return moved;
}

static void test_random (void)
{
    uint64_t moved = 0;
    for (size_t index = 0; index < 2; index++)
        if (s_has (s_engines[index])) {
            moved += s_random_run (s_engines[index], true, 1);
            moved += s_random_run (s_engines[index], false, 2);
        }
    CU_ASSERT (moved > 0);              //  In one of them a busy disk may have hindered it
}

//  ------------------------------------------------------------------------------------------------
//  For test/tier/filesystems.sh, in a folder that it has mounted something on

static const char *s_place;
static const test_log_how_t s_how = { .engine = "auto",
                                      .directories = 1,
                                      .capacity = 24 * MIB,
                                      .segment_bytes = MIB };

static void test_fill (void)
{
    char key[32];
    umbp_log_t *log = test_log_begin (s_place, &s_how);
    CU_ASSERT (s_recover (log) == 0);
    for (size_t index = 0; index < SIZES; index++) {
        snprintf (key, sizeof key, "key %zu", index);
        CU_ASSERT (s_put (log, key, s_sizes[index], index + 1, (uint32_t) index) != 0);
    }
    CU_ASSERT (umbp_log_close (&log));
}

static void test_readonly (void)
{
    char why[256];
    umbp_log_t *log = test_log_begin (s_place, &s_how);
    umbp_medium_record_t record;
    uint64_t at, ats[SIZES];
    size_t count = 0;
    for (; count < SIZES && umbp_log_recovered (log, &record, &at); count++)
        ats[count] = at;
    CU_ASSERT_FATAL (count == SIZES);
    s_reads (log, ats);
    CU_ASSERT (umbp_log_stats (log).state == UMBP_EDENIED);
    struct iovec data = { s_out, 100000 };
    for (record.size = 100; record.size <= 100000; record.size *= 1000) {
        record.key = "k";
        record.key_size = 1;
        data.iov_len = record.size;
        CU_ASSERT (umbp_log_append (log, &record, &data, 1, 0, 0) == UMBP_EDENIED);
    }
    CU_ASSERT (umbp_log_close (&log));
    test_log_how_t other = s_how;
    other.directories = 2;
    other.capacity *= 2;
    CU_ASSERT_PTR_NULL (test_log_open (s_place, &other, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "ead-only"));
}

static void test_noroom (void)
{
    char why[256] = "";
    CU_ASSERT_PTR_NULL (test_log_open (s_place, &s_how, why, sizeof why));
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "cannot be had"));
}

int main (int argc, char **argv)
{
    alarm (280);
    s_place = argc > 2 ? argv[2] : NULL;
    s_seed = argc > 1 ? strtoull (argv[1], NULL, 10) : (uint64_t) umbp_clock_ms ();
    printf ("seed %" PRIu64 "\n", s_seed);
    s_out = test_log_memory (SIZE_MOST + 8192);
    s_in = test_log_memory (SIZE_MOST + 8192);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("log", NULL, NULL);
    if (s_place)
        CU_add_test (suite, argv[1],
                     strcmp (argv[1], "fill") == 0       ? test_fill
                     : strcmp (argv[1], "readonly") == 0 ? test_readonly
                                                         : test_noroom);
    else {
        CU_ADD_TEST (suite, test_write_read_reopen);
        CU_ADD_TEST (suite, test_refusals);
        CU_ADD_TEST (suite, test_tombs_without_room);
        CU_ADD_TEST (suite, test_random);
    }
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    free (s_out);
    free (s_in);
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
