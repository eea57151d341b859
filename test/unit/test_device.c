//  test/unit/test_device.c - the device actor: its table and health by hand, then the actor over the
//  mock, which does what a script says, and over libraries of other generations. UMBP_LOG shows what
//  is logged.
#include "actors/device.h"

#include <dirent.h>

#include "actors/device_table.h"
#include "test/unit/accel.h"
#include "test/unit/peer.h"

#define MIB (UINT64_C (1) << 20)

//  --------------------------------------------------------------------------------------------------
//  The table

static umbp_device_t s_device (const char *uuid)
{
    umbp_device_t device = { .memory_bytes = 16384 * MIB, .gflops = 10 };
    snprintf (device.uuid, sizeof device.uuid, "%s", uuid);
    snprintf (device.key, sizeof device.key, "%s", uuid);
    return device;
}

static umbp_device_metrics_t s_metrics (const char *uuid, bool known)
{
    umbp_device_metrics_t metrics = { .known = known };
    snprintf (metrics.key, sizeof metrics.key, "%s", uuid);
    return metrics;
}

//  One device, "a", that is found or not, and polled well or not
static umbp_device_health_t s_round (umbp_device_table_t *table, bool found, bool good)
{
    static int64_t now;
    umbp_device_t device = s_device ("a");
    umbp_device_metrics_t metrics = s_metrics ("a", good);
    umbp_device_table_found (table, &device, found, ++now);
    umbp_device_table_polled (table, &metrics, 1, now);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    return row ? row->health : UMBP_HEALTHS;
}

static umbp_device_health_t s_poll (umbp_device_table_t *table, bool good)
{
    umbp_device_metrics_t metrics = s_metrics ("a", good);
    umbp_device_table_polled (table, &metrics, 1, 1000);
    return umbp_device_table_find (table, "a")->health;
}

//  DEV-46
static void test_health (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    CU_ASSERT (s_round (table, true, false) == UMBP_HEALTH_UNKNOWN);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_OK);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_OK);      //  Three in a row
    s_poll (table, false);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_FAILED);
    CU_ASSERT (umbp_device_table_seeks (table));
    for (int poll = 0; poll < 5; poll++)        //  Good polls alone heal nothing
        CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_FAILED);
    CU_ASSERT (s_round (table, true, false) == UMBP_HEALTH_FAILED);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_FAILED);  //  Found, and not well
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    CU_ASSERT (!umbp_device_table_seeks (table));
    umbp_device_table_destroy (&table);
}

static void test_errors (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    umbp_device_metrics_t metrics = s_metrics ("a", true);
    metrics.extra_count = 2;
    snprintf (metrics.extras[0].key, 64, "xidErrors");
    snprintf (metrics.extras[1].key, 64, "fatalErrors");
    metrics.extras[0].value = 5;        //  Before our time: no news
    s_round (table, true, false);
    umbp_device_table_polled (table, &metrics, 1, 1);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    metrics.extras[0].value = 6;
    umbp_device_table_polled (table, &metrics, 1, 2);
    CU_ASSERT (row->health == UMBP_HEALTH_SUSPECT);
    for (int poll = 0; poll < 3; poll++)
        umbp_device_table_polled (table, &metrics, 1, 3);
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    metrics.extras[1].value = 1;
    umbp_device_table_polled (table, &metrics, 1, 4);
    CU_ASSERT (row->health == UMBP_HEALTH_FAILED);
    umbp_device_t device = s_device ("a");
    umbp_device_table_found (table, &device, 1, 5);
    umbp_device_table_polled (table, &metrics, 1, 5);
    CU_ASSERT (row->health == UMBP_HEALTH_FAILED);       //  As long as it says so
    metrics.extras[1].value = 0;        //  Reset
    umbp_device_table_found (table, &device, 1, 6);
    umbp_device_table_polled (table, &metrics, 1, 6);
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    umbp_device_table_destroy (&table);
}

//  Vanished and not in use: removed; in use: missing, until it is let go of, or comes back
static void test_missing (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    CU_ASSERT (s_round (table, false, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_SUSPECT);      //  It was a slip
    s_round (table, true, true);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    CU_ASSERT (umbp_device_table_claim (table, "a", 100, 1) == 0);
    for (int round = 0; round < 6; round++)
        s_round (table, false, true);
    CU_ASSERT (umbp_device_table_find (table, "a")->health == UMBP_HEALTH_FAILED
               || umbp_device_table_find (table, "a")->health == UMBP_HEALTH_MISSING);
    CU_ASSERT (umbp_device_table_find (table, "a")->health == UMBP_HEALTH_MISSING);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    for (int round = 0; round < 6; round++)
        s_round (table, false, true);
    CU_ASSERT (umbp_device_table_claim (table, "a", 0, 1) == 0);
    CU_ASSERT_PTR_NULL (umbp_device_table_find (table, "a"));
    s_round (table, true, true);
    s_round (table, false, true);
    s_round (table, false, true);
    CU_ASSERT (s_round (table, false, true) == UMBP_HEALTHS);    //  At once, if nobody needs it
    umbp_device_table_destroy (&table);
}

//  DEV-09, defect 8: partitions stay through discoveries, and go with their device
static void test_partitions (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    CU_ASSERT (umbp_device_table_split (table, "b", "p", 1) == UMBP_ENOENT);
    CU_ASSERT (umbp_device_table_split (table, "a", "A-P", 1) == 0);
    CU_ASSERT (umbp_device_table_split (table, "a", "a-p", 1) == UMBP_EEXIST);
    CU_ASSERT (umbp_device_table_split (table, "a-p", "q", 1) == UMBP_ENOENT);   //  Not of a part
    for (int round = 0; round < 10; round++)
        s_round (table, true, true);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a-p");
    CU_ASSERT_PTR_NOT_NULL_FATAL (row);
    CU_ASSERT_STRING_EQUAL (row->parent, "a");
    CU_ASSERT_STRING_EQUAL (row->device.uuid, "A-P");
    s_poll (table, false);
    CU_ASSERT (row->health == UMBP_HEALTH_SUSPECT);      //  As its device
    umbp_device_table_claim (table, "a-p", 1, 1);
    CU_ASSERT (umbp_device_table_join (table, "a-p", 1) == UMBP_EAGAIN); //  Drained first
    umbp_device_table_claim (table, "a-p", 0, 1);
    CU_ASSERT (umbp_device_table_join (table, "a", 1) == UMBP_ENOENT);
    CU_ASSERT (umbp_device_table_join (table, "a-p", 1) == 0);
    umbp_device_table_split (table, "a", "p1", 1);
    umbp_device_table_split (table, "a", "p2", 1);
    for (int round = 0; round < 3; round++)
        s_round (table, false, false);
    CU_ASSERT (umbp_device_table_count (table) == 0);
    umbp_device_table_destroy (&table);
}

//  DEV-21: exactly these, in this order
static void test_events (void)
{
    static const struct {
        umbp_device_kind_t kind;
        const char *uuid;
        umbp_device_health_t now;
    } wanted[] = {
        { UMBP_DEVICE_ADDED, "a", UMBP_HEALTH_UNKNOWN }, { UMBP_DEVICE_DONE, "", 0 },
        { UMBP_DEVICE_HEALTH, "a", UMBP_HEALTH_OK },     { UMBP_DEVICE_ADDED, "b", 0 },
        { UMBP_DEVICE_DONE, "", 0 },                     { UMBP_DEVICE_CHANGED, "b", 0 },
        { UMBP_DEVICE_DONE, "", 0 },
    };
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    s_round (table, true, true);        //  Nothing new: no event
    umbp_device_t devices[] = { s_device ("a"), s_device ("b") };
    umbp_device_table_found (table, devices, 2, 1);
    devices[1].memory_bytes /= 2;
    umbp_device_table_found (table, devices, 2, 1);
    CU_ASSERT_FATAL (umbp_device_table_last (table) == COUNT_OF (wanted));
    for (size_t row = 0; row < COUNT_OF (wanted); row++) {
        const umbp_device_event_t *event = umbp_device_table_event (table, row + 1);
        CU_ASSERT (event->kind == wanted[row].kind && event->now == wanted[row].now);
        CU_ASSERT_STRING_EQUAL (event->uuid, wanted[row].uuid);
    }
    for (int round = 0; round < 300; round++) {         //  Old ones are forgotten
        devices[1].gflops++;
        umbp_device_table_found (table, devices, 2, 1);
    }
    uint64_t first = umbp_device_table_first (table), last = umbp_device_table_last (table);
    CU_ASSERT (last - first + 1 == UMBP_DEVICE_EVENTS_MAX);
    CU_ASSERT (umbp_device_table_event (table, first)->number == first);
    umbp_device_table_destroy (&table);
}

//  DEV-12
static void test_foreign_use (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    umbp_device_metrics_t metrics = s_metrics ("a", true);
    umbp_device_process_t processes[] = { { .pid = 1, .key = "a", .memory_used_bytes = 300 },
                                          { .pid = 2, .key = "a", .memory_used_bytes = 700 } };
    s_round (table, true, true);
    metrics.memory_used_bytes = 1000;
    umbp_device_table_polled (table, &metrics, 1, 1);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    CU_ASSERT (umbp_device_row_foreign (row) == 1000);
    umbp_device_table_processes (table, processes, 2, 2);
    CU_ASSERT (umbp_device_row_foreign (row) == 300);
    umbp_device_table_claim (table, "a", 900, 1);        //  More than its library has heard of
    CU_ASSERT (umbp_device_row_foreign (row) == 100);
    umbp_device_table_claim (table, "a", 5000, 1);
    CU_ASSERT (umbp_device_row_foreign (row) == 0);
    umbp_device_table_destroy (&table);
}

//  Random rounds: rows are unique, partitions have their device, counts hold
static void test_random (void)
{
    unsigned seed = (unsigned) time (NULL) ^ (unsigned) getpid ();
    printf ("[seed=%u] ", seed);
    srandom (seed);
    umbp_device_table_t *table = umbp_device_table_new ();
    for (int64_t now = 1; now < 3000; now++) {
        umbp_device_t devices[8];
        size_t count = 0;
        char name[16], part[16];
        for (int number = 0; number < 8; number++)
            if (random () % 4) {
                snprintf (name, sizeof name, "d%d", number);
                devices[count++] = s_device (name);
            }
        snprintf (name, sizeof name, "d%ld", random () % 8);
        snprintf (part, sizeof part, "p%ld", random () % 200);
        switch (random () % 6) {
        case 0: umbp_device_table_failed (table, "test", now); break;
        case 1: umbp_device_table_split (table, name, part, now); break;
        case 2: umbp_device_table_join (table, part, now); break;
        case 3:
            umbp_device_table_claim (table, random () % 2 ? name : part, random () % 2, now);
            break;
        default: umbp_device_table_found (table, devices, count, now);
        }
        size_t rows = umbp_device_table_count (table);
        CU_ASSERT_FATAL (rows <= UMBP_DEVICE_ROWS_MAX);
        for (size_t row = 0; row < rows; row++) {
            const umbp_device_row_t *one = umbp_device_table_row (table, row);
            CU_ASSERT_FATAL (umbp_device_table_find (table, one->device.key) == one);
            CU_ASSERT_FATAL (!*one->parent || umbp_device_table_find (table, one->parent));
        }
    }
    umbp_device_table_destroy (&table);
}

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
                                .discover_ms = 1000, .poll_ms = 20, .patience_ms = patience_ms };
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
    CU_ADD_TEST (suite, test_health);
    CU_ADD_TEST (suite, test_errors);
    CU_ADD_TEST (suite, test_missing);
    CU_ADD_TEST (suite, test_partitions);
    CU_ADD_TEST (suite, test_events);
    CU_ADD_TEST (suite, test_foreign_use);
    CU_ADD_TEST (suite, test_random);
    CU_ADD_TEST (suite, test_no_library);
    CU_ADD_TEST (suite, test_answers);
    CU_ADD_TEST (suite, test_tells_changes);
    CU_ADD_TEST (suite, test_fails);
    CU_ADD_TEST (suite, test_splits);
    CU_ADD_TEST (suite, test_other_generations);
    CU_ADD_TEST (suite, test_hangs);
    CU_ADD_TEST (suite, test_ends_while_it_hangs);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
