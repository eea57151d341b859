//  test/unit/test_device.c - the device actor over the mock, which does what a script says, and over
//  libraries of other generations. UMBP_LOG shows what is logged. Its table: test_device_table.c.
#include "actors/device.h"

#include <dirent.h>

#include "actors/device_table.h"
#include "test/unit/accel.h"
#include "test/unit/peer.h"

#define MIB (UINT64_C (1) << 20)

//  --------------------------------------------------------------------------------------------------
//  The actor

typedef struct {
    umbp_home_t home;
    zactor_t *actor;
    asker_t asker;
    char script[64];
    umbp_msg_t msg;
} stage_t;

static unsigned s_serial;
static const char *s_first_line;        //  Of the next script
static unsigned s_poll_ms = 20;

static void s_obey (stage_t *self, const char *line)
{
    FILE *file = fopen (self->script, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL (file);
    fprintf (file, "%s\n", line);
    fclose (file);
}

static void s_start (stage_t *self, const char *library, const char *gpus, unsigned patience_ms)
{
    char instance[32];
    memset (self, 0, sizeof *self);
    snprintf (instance, sizeof instance, "device-%u", ++s_serial);
    snprintf (self->script, sizeof self->script, "/tmp/umbp-device-XXXXXX");
    int fd = mkstemp (self->script);
    CU_ASSERT_FATAL (fd != -1);
    close (fd);
    if (s_first_line)
        s_obey (self, s_first_line);
    setenv ("UMBP_MOCK_SCRIPT", self->script, 1);
    setenv ("UMBP_MOCK_GPUS", gpus, 1);
    umbp_device_args_t args = { .home = home_of (&self->home, instance, "node-1"),
                                .find = { .setting = library, .insecure = true },
                                .discover_ms = 1000, .poll_ms = s_poll_ms, .patience_ms = patience_ms };
    self->actor = umbp_device_actor_new (&args);
    CU_ASSERT_PTR_NOT_NULL_FATAL (self->actor);
    asker_start (&self->asker, instance, "device");
}

static void s_end (stage_t *self)
{
    asker_end (&self->asker);
    zactor_destroy (&self->actor);
    unlink (self->script);
}

static const umbp_msg_t *s_ask (stage_t *self, umbp_msg_type_t type)
{
    umbp_msg_init (&self->msg, type, 0);
    CU_ASSERT_FATAL (asker_ask (&self->asker, &self->msg, PEER_MS) == 0);
    return &self->asker.msg;
}

static const umbp_msg_device_events_ok_t *s_events (stage_t *self, uint64_t since)
{
    umbp_msg_init (&self->msg, UMBP_MSG_device_events, 0);
    self->msg.device_events.since = since;
    CU_ASSERT_FATAL (asker_ask (&self->asker, &self->msg, PEER_MS) == 0);
    CU_ASSERT_FATAL (self->asker.msg.type == UMBP_MSG_device_events_ok);
    return &self->asker.msg.device_events_ok;
}

//  Until a gauge is just this, or the test has failed
static void s_wait (stage_t *self, const char *gauge, uint64_t value)
{
    int64_t end = zclock_mono () + PEER_MS;
    while (asker_gauge (&self->asker, gauge) != value && zclock_mono () < end)
        zclock_sleep (5);
    CU_ASSERT_EQUAL (asker_gauge (&self->asker, gauge), value);
}

//  DEV-19, DEV-15: every question is one answer, and every field arrives
static void test_answers (void)
{
    stage_t stage;
    s_start (&stage, PROVIDER ("mock"), "3", 5000);
    s_wait (&stage, "devices_ok", 3);
    const umbp_msg_t *msg = s_ask (&stage, UMBP_MSG_devices);
    CU_ASSERT_FATAL (msg->type == UMBP_MSG_devices_ok);
    const umbp_msg_devices_ok_t *ok = &msg->devices_ok;
    CU_ASSERT (ok->state == 2 && ok->generation == 5 && ok->reason.size == 0);
    CU_ASSERT_FATAL (ok->uuids.count == 3);
    CU_ASSERT (column_is (ok->uuids, 2, "GPU-2") && column_is (ok->vendors, 2, "mock"));
    CU_ASSERT (column_is (ok->models, 0, "Mock-RTX-4090") && column_is (ok->parents, 0, ""));
    CU_ASSERT (column_is (ok->drivers, 0, "535.104.05") && column_is (ok->firmwares, 0, "1.0"));
    CU_ASSERT (column_is (ok->nodes, 1, "/dev/mock1"));
    CU_ASSERT (umbp_u32s_at (ok->indexes, 1) == 1 && umbp_u32s_at (ok->numas, 1) == 1);
    CU_ASSERT (umbp_u64s_at (ok->totals, 0) == 24576 * MIB && umbp_u64s_at (ok->units, 0) == 128);
    CU_ASSERT (umbp_u64s_at (ok->gflops, 0) == 82600);
    CU_ASSERT (umbp_u8s_at (ok->pcie_gens, 0) == 4 && umbp_u8s_at (ok->pcie_widths, 0) == 16);
    CU_ASSERT (umbp_u8s_at (ok->caps, 0) == 17);
    CU_ASSERT (umbp_u64s_at (ok->limits, 0) == (UINT64_C (16) << 32 | 7));
    CU_ASSERT (umbp_u8s_at (ok->healths, 2) == UMBP_HEALTH_OK);
    CU_ASSERT (umbp_u8s_at (ok->property_counts, 1) == 2 && ok->property_keys.count == 6);
    CU_ASSERT (column_is (ok->property_keys, 3, "cudaVersion"));
    CU_ASSERT (column_is (ok->property_values, 3, "12.2"));

    s_obey (&stage, "fill 1 6GiB 4242\nextra 1 spin 2.5");
    s_wait (&stage, "memory_used_bytes", 6144 * MIB);
    const umbp_msg_device_metrics_ok_t *metrics =
        &s_ask (&stage, UMBP_MSG_device_metrics)->device_metrics_ok;
    CU_ASSERT_FATAL (metrics->uuids.count == 3);
    CU_ASSERT (umbp_s8s_at (metrics->statuses, 1) == 0);
    CU_ASSERT (umbp_u64s_at (metrics->useds, 1) == 6144 * MIB);          //  DEV-13
    CU_ASSERT (umbp_u64s_at (metrics->totals, 1) == 24576 * MIB);
    CU_ASSERT (umbp_u64s_at (metrics->foreigns, 1) == 6144 * MIB);
    CU_ASSERT (umbp_u8s_at (metrics->busy_percents, 1) == 50);
    CU_ASSERT (umbp_u64s_at (metrics->powers_mw, 1) == 200000);
    CU_ASSERT (umbp_u64s_at (metrics->temperatures_mc, 1) == 41000);
    CU_ASSERT (umbp_u64s_at (metrics->rx_bytes, 1) == 2048 * MIB);       //  Bytes, defect 10
    CU_ASSERT (umbp_u8s_at (metrics->extra_counts, 1) == 1);
    CU_ASSERT (column_is (metrics->extra_keys, 0, "spin"));
    CU_ASSERT (umbp_u64s_at (metrics->extra_millis, 0) == 2500);

    static words_t words_of;
    umbp_msg_init (&stage.msg, UMBP_MSG_device_metrics, 0);
    stage.msg.device_metrics.uuids = words (&words_of, "gpu-2 nobody");  //  In any letters
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    metrics = &stage.asker.msg.device_metrics_ok;
    CU_ASSERT_FATAL (metrics->uuids.count == 2);
    CU_ASSERT (umbp_s8s_at (metrics->statuses, 0) == 0);
    CU_ASSERT (umbp_s8s_at (metrics->statuses, 1) == UMBP_ENOENT);

    s_wait (&stage, "processes", 1);
    const umbp_msg_device_processes_ok_t *processes =
        &s_ask (&stage, UMBP_MSG_device_processes)->device_processes_ok;
    CU_ASSERT_FATAL (processes->pids.count == 1);
    CU_ASSERT (umbp_u32s_at (processes->pids, 0) == 4242 && umbp_u8s_at (processes->own, 0) == 0);
    CU_ASSERT (column_is (processes->uuids, 0, "GPU-1"));
    CU_ASSERT (umbp_u64s_at (processes->useds, 0) == 6144 * MIB);

    const umbp_msg_device_topology_ok_t *topology =
        &s_ask (&stage, UMBP_MSG_device_topology)->device_topology_ok;
    CU_ASSERT (topology->uuids.count == 3 && topology->ones.count == 6);
    for (size_t row = 0; row < topology->ones.count; row++) {
        int one = umbp_u8s_at (topology->ones, row), other = umbp_u8s_at (topology->others, row);
        CU_ASSERT (umbp_u8s_at (topology->levels, row) == (one % 2 == other % 2 ? 4 : 5));
    }
    umbp_msg_init (&stage.msg, UMBP_MSG_lookup, 0);      //  Not ours
    stage.msg.lookup.keys = words (&words_of, "key");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == UMBP_ENOTSUP);
    s_end (&stage);
}

//  DEV-21, DEV-45: what changes is told in order; who comes late is told all, and done
static void test_tells_changes (void)
{
    stage_t stage;
    s_start (&stage, PROVIDER ("mock"), "2", 5000);
    s_wait (&stage, "devices_ok", 2);
    const umbp_msg_device_events_ok_t *events = s_events (&stage, 0);
    CU_ASSERT_FATAL (events->kinds.count == 3);
    CU_ASSERT (umbp_u8s_at (events->kinds, 0) == UMBP_DEVICE_ADDED);
    CU_ASSERT (umbp_u8s_at (events->kinds, 2) == UMBP_DEVICE_DONE);
    CU_ASSERT (events->memory_bytes == 2 * 24576 * MIB && events->gflops == 165200);
    CU_ASSERT (events->ram_bytes > MIB && events->disk_bytes > MIB && events->ids.count == 2);
    uint64_t last = events->last;
    CU_ASSERT (s_events (&stage, last)->kinds.count == 0);

    s_obey (&stage, "appear 4");
    s_wait (&stage, "devices_ok", 3);
    events = s_events (&stage, last);
    CU_ASSERT_FATAL (events->kinds.count == 3);
    static const uint8_t kinds[] = { UMBP_DEVICE_ADDED, UMBP_DEVICE_DONE, UMBP_DEVICE_HEALTH };
    for (size_t row = 0; row < 3; row++)
        CU_ASSERT (umbp_u8s_at (events->kinds, row) == kinds[row]);
    CU_ASSERT (column_is (events->uuids, 0, "GPU-4") && events->ids.count == 3);
    last = events->last;

    s_obey (&stage, "vanish 0");
    s_wait (&stage, "devices", 2);
    events = s_events (&stage, last);
    CU_ASSERT_FATAL (events->kinds.count >= 3);
    CU_ASSERT (umbp_u8s_at (events->kinds, 0) == UMBP_DEVICE_HEALTH);    //  Suspect first
    CU_ASSERT (umbp_u8s_at (events->news, 0) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (umbp_u8s_at (events->kinds, events->kinds.count - 2) == UMBP_DEVICE_REMOVED);
    CU_ASSERT (column_is (events->uuids, events->kinds.count - 2, "GPU-0"));
    last = events->last;

    s_obey (&stage, "model 1 Other");
    umbp_msg_init (&stage.msg, UMBP_MSG_devices, 0);     //  Look now
    stage.msg.devices.discover = true;
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    asker_wait (&stage.asker, "events", last + 1);
    CU_ASSERT (umbp_u8s_at (s_events (&stage, last)->kinds, 0) == UMBP_DEVICE_CHANGED);
    s_end (&stage);
}

//  A call that hangs makes answers stale, not late; and devices failed, until it comes back
static void test_hangs (void)
{
    static const char *const calls[] = { "metrics", "count", "processes" };
    for (size_t row = 0; row < COUNT_OF (calls); row++) {
        stage_t stage;
        char line[64];
        s_start (&stage, PROVIDER ("mock"), "2", 100);
        s_wait (&stage, "devices_ok", 2);
        snprintf (line, sizeof line, "hang %s 600s", calls[row]);
        s_obey (&stage, line);
        s_wait (&stage, "library_state", 3);
        s_wait (&stage, "devices_failed", 2);
        const umbp_msg_t *msg = s_ask (&stage, UMBP_MSG_devices);
        CU_ASSERT (msg->devices_ok.state == 3 && msg->devices_ok.uuids.count == 2);
        char why[UMBP_TEXT_MAX];
        umbp_text_copy (msg->devices_ok.reason, why, sizeof why);
        CU_ASSERT_PTR_NOT_NULL (strstr (why, "has not come back"));
        msg = s_ask (&stage, UMBP_MSG_device_metrics);
        CU_ASSERT (umbp_s8s_at (msg->device_metrics_ok.statuses, 0) == UMBP_ESTALE);     //  DEV-33
        CU_ASSERT (asker_gauge (&stage.asker, "calls_hung") >= 1);
        s_obey (&stage, "release");
        s_wait (&stage, "devices_ok", 2);
        CU_ASSERT (asker_gauge (&stage.asker, "library_state") == 2);
        s_end (&stage);
    }
}

//  Of this process, and when there was no actor yet
static size_t s_threads_alone;

static size_t s_threads (void)
{
    size_t count = 0;
    DIR *tasks = opendir ("/proc/self/task");
    while (tasks && readdir (tasks))
        count++;
    closedir (tasks);
    return count;
}

//  Who hangs for ever is left behind: the actor ends all the same, also while Init hangs
static void test_ends_while_it_hangs (void)
{
    static const char *const calls[] = { "metrics", "init" };
    for (size_t row = 0; row < COUNT_OF (calls); row++) {
        stage_t stage;
        char line[64];
        snprintf (line, sizeof line, "hang %s 600s", calls[row]);
        s_first_line = row == 1 ? line : NULL;
        s_start (&stage, PROVIDER ("mock"), "1", 100);
        s_first_line = NULL;
        if (row == 0) {
            s_wait (&stage, "devices_ok", 1);
            s_obey (&stage, line);
        }
        s_wait (&stage, "library_state", 3);
        asker_end (&stage.asker);
        int64_t start = zclock_mono ();
        zactor_destroy (&stage.actor);
        CU_ASSERT (zclock_mono () - start < PEER_MS);
        CU_ASSERT (s_threads () > s_threads_alone);     //  Asleep in its driver
        s_obey (&stage, "release");     //  So that the next stage has the mock for itself
        while (s_threads () > s_threads_alone && zclock_mono () - start < 2 * PEER_MS)
            zclock_sleep (5);
        CU_ASSERT (s_threads () == s_threads_alone);
        unlink (stage.script);
    }
}

//  Errors, and a device that says nothing of itself
static void test_fails (void)
{
    stage_t stage;
    s_start (&stage, PROVIDER ("mock"), "2", 5000);
    s_wait (&stage, "devices_ok", 2);
    s_obey (&stage, "mute 1 5");
    s_wait (&stage, "devices_failed", 1);
    CU_ASSERT (asker_gauge (&stage.asker, "devices_ok") == 1);   //  The other is as before
    const umbp_msg_device_metrics_ok_t *metrics =
        &s_ask (&stage, UMBP_MSG_device_metrics)->device_metrics_ok;
    CU_ASSERT (metrics->uuids.count == 2);      //  Listed, with its age
    CU_ASSERT (umbp_s8s_at (metrics->statuses, 1) == UMBP_ESTALE);
    CU_ASSERT (umbp_u64s_at (metrics->ages_ms, 1) > 0);
    s_obey (&stage, "mute 1 0");
    s_wait (&stage, "devices_ok", 2);
    s_obey (&stage, "extra 0 xidErrors 1");
    s_wait (&stage, "devices_suspect", 0);
    s_obey (&stage, "extra 0 fatalErrors 1");
    s_wait (&stage, "devices_failed", 1);
    s_obey (&stage, "extra 0 fatalErrors 0");
    s_wait (&stage, "devices_ok", 2);
    s_obey (&stage, "fail devices 5\nfail metrics 5");
    s_wait (&stage, "devices_failed", 2);
    s_wait (&stage, "library_state", 4);
    s_obey (&stage, "fail devices 0\nfail metrics 0");
    s_wait (&stage, "devices_ok", 2);
    CU_ASSERT (asker_gauge (&stage.asker, "library_state") == 2);
    s_end (&stage);
}

//  DEV-09: split, rediscover, claim, join
static void test_splits (void)
{
    stage_t stage;
    char uuid[UMBP_NAME_MAX];
    s_start (&stage, PROVIDER ("mock"), "1", 5000);
    s_wait (&stage, "devices_ok", 1);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_split, 0);
    stage.msg.device_split.uuid = umbp_text ("GPU-0");
    stage.msg.device_split.template = umbp_text ("1g.3gb");
    CU_ASSERT_FATAL (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    umbp_text_copy (stage.asker.msg.device_split_ok.uuid, uuid, sizeof uuid);
    CU_ASSERT_STRING_EQUAL (uuid, "GPU-0-partition-0");
    uint64_t seen = asker_gauge (&stage.asker, "discoveries");
    asker_wait (&stage.asker, "discoveries", seen + 3);
    CU_ASSERT (asker_gauge (&stage.asker, "partitions") == 1);   //  Defect 8
    const umbp_msg_devices_ok_t *ok = &s_ask (&stage, UMBP_MSG_devices)->devices_ok;
    CU_ASSERT (column_is (ok->parents, 1, "GPU-0") && column_is (ok->uuids, 1, uuid));
    umbp_msg_init (&stage.msg, UMBP_MSG_device_claim, 0);
    stage.msg.device_claim.uuid = umbp_text (uuid);
    stage.msg.device_claim.bytes = 4096;
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_join, 0);
    stage.msg.device_join.uuid = umbp_text (uuid);
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == UMBP_EAGAIN);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_claim, 0);
    stage.msg.device_claim.uuid = umbp_text (uuid);
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_join, 0);
    stage.msg.device_join.uuid = umbp_text (uuid);
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    CU_ASSERT (asker_gauge (&stage.asker, "partitions") == 0);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_split, 0);
    stage.msg.device_split.uuid = umbp_text ("GPU-9");
    stage.msg.device_split.template = umbp_text ("1g.3gb");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == UMBP_ENOENT);
    s_end (&stage);
}

//  A partition that the driver made and for which the table has no row goes back
static void test_split_beyond_table (void)
{
    stage_t stage;
    static words_t uuids, parents;
    uint32_t workers[UMBP_DEVICE_ROWS_MAX - 1] = { 0 };
    s_start (&stage, PROVIDER ("mock"), "1", 5000);
    s_wait (&stage, "devices_ok", 1);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_hold, 0);
    stage.msg.device_hold.uuids = words_numbered (&uuids, "GPU-0-held-", 0, COUNT_OF (workers));
    memset (&parents.column, 0, sizeof parents.column);
    for (size_t row = 0; row < COUNT_OF (workers); row++)
        words_add (&parents, "GPU-0", 5);
    stage.msg.device_hold.parents = parents.column;
    stage.msg.device_hold.workers = (umbp_u32s_t) { workers, COUNT_OF (workers) };
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    CU_ASSERT (asker_gauge (&stage.asker, "partitions") == COUNT_OF (workers));

    umbp_msg_init (&stage.msg, UMBP_MSG_device_split, 0);
    stage.msg.device_split.uuid = umbp_text ("GPU-0");
    stage.msg.device_split.template = umbp_text ("1g.3gb");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == UMBP_ENOSPC);
    s_wait (&stage, "splits_undone", 1);
    CU_ASSERT (asker_gauge (&stage.asker, "splits") == 0);
    CU_ASSERT (asker_gauge (&stage.asker, "partitions") == COUNT_OF (workers));

    //  One less, and it has room
    umbp_msg_init (&stage.msg, UMBP_MSG_device_join, 0);
    stage.msg.device_join.uuid = umbp_text ("GPU-0-held-7");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_split, 0);
    stage.msg.device_split.uuid = umbp_text ("GPU-0");
    stage.msg.device_split.template = umbp_text ("1g.3gb");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    CU_ASSERT (asker_gauge (&stage.asker, "splits_undone") == 1);
    s_end (&stage);
}

//  One that has the name of another that is there is not: it would be that one that goes
static void test_split_of_known_name (void)
{
    stage_t stage;
    static words_t uuids, parents;
    uint32_t worker = 1;
    s_start (&stage, PROVIDER ("mock"), "1", 5000);
    s_wait (&stage, "devices_ok", 1);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_hold, 0);
    stage.msg.device_hold.uuids = words (&uuids, "GPU-0-partition-0");
    stage.msg.device_hold.parents = words (&parents, "GPU-0");
    stage.msg.device_hold.workers = (umbp_u32s_t) { &worker, 1 };
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == 0);
    umbp_msg_init (&stage.msg, UMBP_MSG_device_split, 0);
    stage.msg.device_split.uuid = umbp_text ("GPU-0");
    stage.msg.device_split.template = umbp_text ("1g.3gb");
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS) == UMBP_EEXIST);
    CU_ASSERT (asker_ask (&stage.asker, &stage.msg, PEER_MS)
               == 0); //  After all that was to be done
    CU_ASSERT (asker_gauge (&stage.asker, "splits_undone") == 0);
    CU_ASSERT (asker_gauge (&stage.asker, "partitions") == 2);
    s_end (&stage);
}

//  NODE-34: Init is the first call that a library hears, Shutdown the last
static void test_shutdown_is_last (void)
{
    stage_t stage;
    char *calls = dlsym (accel_load (FIXTURE ("gen3")), "fixture_calls");
    memset (calls, 0, 256);
    s_poll_ms = 60000;                  //  Few calls, so that all of them are noted
    s_start (&stage, FIXTURE ("gen3"), "1", 5000);
    s_wait (&stage, "devices_ok", 4);
    s_end (&stage);
    s_poll_ms = 20;
    CU_ASSERT (calls[0] == 'I' && strlen (calls) < 255);
    CU_ASSERT (strchr (calls, 'S') == calls + strlen (calls) - 1);
}

//  ABI-06 and ABI-07 as a node sees them; ABI-08: no topology, and devices all the same
static void test_other_generations (void)
{
    static const struct {
        const char *name;
        uint64_t generation, peers;
    } rows[] = { { "gen1", 1, 0 },
                 { "gen2", 2, 12 },
                 { "gen4", 4, 12 },
                 { "gen5", 5, 12 },
                 { "wide", 5, 12 }, { "garbled", 5, 0 } };
    stage_t stage;
    for (size_t row = 0; row < COUNT_OF (rows); row++) {
        s_start (&stage, FIXTURE (rows[row].name), "1", 5000);
        s_wait (&stage, "devices_ok", 4);
        CU_ASSERT (asker_gauge (&stage.asker, "library_generation") == rows[row].generation);
        CU_ASSERT (asker_gauge (&stage.asker, "memory_used_bytes") == 16384 * MIB);
        const umbp_msg_t *msg = s_ask (&stage, UMBP_MSG_device_topology);
        CU_ASSERT (msg->device_topology_ok.ones.count == rows[row].peers);
        s_end (&stage);
    }
    s_start (&stage, FIXTURE ("strange"), "1", 5000);
    s_wait (&stage, "library_state", 4);
    const umbp_msg_devices_ok_t *ok = &s_ask (&stage, UMBP_MSG_devices)->devices_ok;
    char why[UMBP_TEXT_MAX];
    umbp_text_copy (ok->reason, why, sizeof why);
    CU_ASSERT (ok->uuids.count == 0 && strstr (why, "20980 bytes"));
    s_end (&stage);
}

//  ABI-01: no library, or none that can be loaded: an actor without devices
static void test_no_library (void)
{
    stage_t stage;
    s_start (&stage, "off", "1", 5000);
    const umbp_msg_devices_ok_t *ok = &s_ask (&stage, UMBP_MSG_devices)->devices_ok;
    CU_ASSERT (ok->state == 0 && ok->library.size == 0 && ok->uuids.count == 0);
    CU_ASSERT (s_events (&stage, 0)->kinds.count == 0);
    s_end (&stage);
    s_start (&stage, "/nowhere/libaccelerator.so", "1", 5000);
    s_wait (&stage, "library_state", 4);
    s_end (&stage);
}

int main (void)
{
    alarm (240);
    zsys_init ();
    if (!getenv ("UMBP_LOG"))
        zsys_set_logstream (NULL);
    zsock_t *sock = zsock_new (ZMQ_DEALER);     //  Then ZeroMQ has all its threads
    s_threads_alone = s_threads ();
    zsock_destroy (&sock);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("device", NULL, NULL);
    CU_ADD_TEST (suite, test_no_library);
    CU_ADD_TEST (suite, test_answers);
    CU_ADD_TEST (suite, test_tells_changes);
    CU_ADD_TEST (suite, test_fails);
    CU_ADD_TEST (suite, test_splits);
    CU_ADD_TEST (suite, test_split_beyond_table);
    CU_ADD_TEST (suite, test_split_of_known_name);
    CU_ADD_TEST (suite, test_shutdown_is_last);
    CU_ADD_TEST (suite, test_other_generations);
    CU_ADD_TEST (suite, test_hangs);
    CU_ADD_TEST (suite, test_ends_while_it_hangs);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
