//  test/unit/test_worker_devices.c - the worker actor with the device actor of its node, both real, over
//  the mock: its devices appear, vanish, fail and hang as a script says.
#include "actors/device.h"
#include "actors/device_table.h"
#include "actors/worker/devices.h"
#include "test/unit/accel.h"
#include "test/unit/worker_actor.h"

#define LOST 9                          //  Events of workers
#define RETURNED 10
#define FAILED 8

static zactor_t *s_device;
static asker_t s_asker;                 //  Of the device actor
static char s_instance[32];
static unsigned s_split_ms = 60000;

static void s_obey (const char *line)
{
    FILE *file = fopen (folder_path ("script"), "a");
    CU_ASSERT_FATAL (file != NULL);
    fprintf (file, "%s\n", line);
    fclose (file);
}

static void s_start_devices (const char *gpus)
{
    umbp_home_t home;
    setenv ("UMBP_MOCK_SCRIPT", folder_path ("script"), 1);
    setenv ("UMBP_MOCK_GPUS", gpus, 1);
    umbp_device_args_t args = { .home = home_of (&home, s_instance, "node-1"),
                                .find = { .setting = PROVIDER ("mock"), .insecure = true },
                                .discover_ms = 1000, .poll_ms = 20, .patience_ms = 200 };
    s_device = umbp_device_actor_new (&args);
    CU_ASSERT_FATAL (s_device != NULL);
    asker_start (&s_asker, s_instance, "device");
}

static void s_start_workers (const char *policy)
{
    umbp_worker_provider_t provider = umbp_worker_devices_new (s_split_ms);
    worker_start_in (s_instance, &provider, 5000, policy);
}

static void s_stop_devices (void)
{
    asker_end (&s_asker);
    zactor_destroy (&s_device);
}

//  A node with so many devices and an empty folder
static void s_begin (const char *gpus, const char *policy)
{
    static unsigned number;
    snprintf (s_instance, sizeof s_instance, "devices-%d-%u", getpid (), number++);
    folder_begin ();
    s_start_devices (gpus);
    s_start_workers (policy);
}

static void s_end (void)
{
    worker_stop ();
    s_stop_devices ();
    folder_end ();
}

static void s_wait_gauge (asker_t *asker, const char *name, uint64_t value)
{
    uint64_t found = 0;
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if ((found = asker_gauge (asker, name)) == value)
            return;
    printf ("%s: %llu\n", name, (unsigned long long) found);
    CU_FAIL ("a gauge");
}

//  What the device actor says of one
typedef struct {
    bool there;
    unsigned health, workers;
    char parent[UMBP_NAME_MAX + 1];
} device_t;

static device_t s_look_at (const char *uuid)
{
    device_t device = { .there = false };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_devices, 0);
    CU_ASSERT_FATAL (asker_ask (&s_asker, &msg, PEER_MS) == 0);
    const umbp_msg_devices_ok_t *ok = &s_asker.msg.devices_ok;
    size_t parents = 0;
    for (size_t index = 0; index < ok->uuids.count && !device.there; index++) {
        umbp_bytes_t parent = umbp_column_next (&ok->parents, index, &parents);
        device.there = column_is (ok->uuids, index, uuid);
        device.health = umbp_u8s_at (ok->healths, index);
        device.workers = umbp_u32s_at (ok->workers, index);
        umbp_text_copy ((umbp_text_t) { (const char *) parent.data, parent.size }, device.parent,
                        sizeof device.parent);
    }
    return device;
}

//  A worker of partitions, as soon as it is known that its devices are well
static int s_retry_with (const char *uid, uint64_t mode, const char *devices)
{
    int rc = UMBP_EAGAIN;
    for (int64_t until = zclock_mono () + PEER_MS; rc == UMBP_EAGAIN && zclock_mono () < until;
         usleep (10000))
        rc = worker_allocate (uid, mode, devices);
    return rc;
}

static int s_retry_allocate (const char *uid, const char *devices)
{
    return s_retry_with (uid, 3, devices);
}

//  ------------------------------------------------------------------------------------------------
//  Tests

//  WRK-17: Pending, DeviceAllocating, Running, Terminated on devices that were found; devices.json has
//  what the library says of them (DEV-15), and the device actor has who is there
static void test_life (void)
{
    s_begin ("2", "dynamic");
    worker_put_workers (
        worker_record ("w", "soft", "gpu-1 gpu-0", "Pending",
                       "echo \"$MOCK_VISIBLE_DEVICES\" >s; mv s said; exec sleep 1000"),
        NULL);
    pid_t pid = worker_wait_pid ("w", 0);
    CU_ASSERT_FATAL (pid > 0);
    s_wait_gauge (&s_asker, "held", 2);
    CU_ASSERT (s_look_at ("GPU-1").workers == 1 && s_look_at ("GPU-0").workers == 1);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("said") && zclock_mono () < until;)
        usleep (10000);
    char said[16] = "";
    FILE *file = fopen (folder_path ("said"), "r");
    CU_ASSERT_FATAL (file != NULL && fgets (said, sizeof said, file) != NULL);
    fclose (file);
    CU_ASSERT_STRING_EQUAL (said, "0,1\n");

    json_t *array = folder_get ("devices.json"), *json = json_array_get (array, 1), *wanted;
    wanted = json_pack (
        "{s:s, s:s, s:s, s:i, s:i, s:I, s:f, s:s, s:b, s:{s:s}, s:{s:s, s:s, s:s, s:s, s:s},"
        " s:{s:b, s:b, s:b, s:i, s:i}}",
        "UUID", "gpu-1", "Vendor", "mock", "Model", "Mock-RTX-4090", "Index", 1, "NUMANode", 1,
        "TotalMemoryBytes", (json_int_t) 24576 << 20, "MaxTflops", 82.6, "ParentUUID", "",
        "Healthy", 1, "DeviceNode", "/dev/mock1", "/dev/mock1", "Properties", "driverVersion",
        "535.104.05", "firmwareVersion", "1.0", "totalComputeUnits", "128", "pcieGen", "4",
        "pcieWidth", "16", "VirtualizationCapabilities", "SupportsPartitioning", 1,
        "SupportsSoftIsolation", 0, "SupportsHardIsolation", 0, "MaxPartitions", 7,
        "MaxWorkersPerDevice", 16);
    CU_ASSERT (json_array_size (array) == 2 && json_equal (json, wanted));
    json_decref (wanted);
    json_decref (array);

    char whose[UMBP_NAME_MAX + 1];
    CU_ASSERT (worker_event (whose) == 1);      //  Added, DeviceAllocating, Running, started
    CU_ASSERT (worker_event (whose) == 4 && worker_event (whose) == 4);
    CU_ASSERT (worker_event (whose) == 5 && streq (whose, "w"));
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_wait_gone (pid) && worker_is_saved ("w", "Terminated"));
    s_wait_gauge (&s_asker, "held", 0);
    s_end ();
}

//  Two that want the same device for themselves: one waits, says for whom, and is next at once
static void test_exclusive (void)
{
    s_begin ("2", "dynamic");
    CU_ASSERT (s_retry_with ("one", 0, "gpu-0") == 0);
    worker_put_workers (worker_record ("one", "shared", "gpu-0", "Running", NULL),
                        worker_record ("two", "shared", "gpu-1 gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_reason ("two", "GPU-0: worker one has it"));
    seen_t seen;
    CU_ASSERT (worker_look ("two", &seen) && seen.state == UMBP_WORKER_ALLOCATING);
    CU_ASSERT (s_look_at ("GPU-1").workers == 0);        //  All or none
    CU_ASSERT (worker_allocate ("three", 1, "gpu-1") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "three") == 0);
    int64_t start = zclock_mono ();
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "one") == 0);
    CU_ASSERT (worker_wait_state ("two", UMBP_WORKER_RUNNING));
    CU_ASSERT (zclock_mono () - start < PEER_MS);        //  Not after 30 s, as if nothing had happened
    CU_ASSERT (worker_look ("two", &seen) && seen.reason[0] == 0);
    s_end ();
}

//  A device that vanishes from under a worker is missing, not forgotten: the worker says so, its process
//  is left alone, is not started again there, and nobody else gets the device; until it is back
static void test_vanish (void)
{
    s_begin ("2", "dynamic");
    worker_put_workers (worker_record ("w", "soft", "gpu-1", "Pending", "exec sleep 1000"), NULL);
    pid_t pid = worker_wait_pid ("w", 0);
    s_wait_gauge (&s_asker, "held", 1);
    s_wait_gauge (&s_asker, "devices_ok", 2);
    s_obey ("vanish 1");
    CU_ASSERT (worker_wait_event (LOST, "w"));
    CU_ASSERT (worker_wait_reason ("w", "GPU-1: this device of it is"));
    s_wait_gauge (&s_asker, "devices_missing", 1);
    CU_ASSERT (worker_wait_reason ("w", "missing"));
    CU_ASSERT (asker_gauge (&worker_asker, "devices_lost") == 1);
    CU_ASSERT_FATAL (worker_ask_about (UMBP_MSG_workers, "w") == 0);
    CU_ASSERT (umbp_u8s_at (worker_asker.msg.workers_ok.losts, 0) == 1);
    CU_ASSERT (kill (pid, 0) == 0);
    CU_ASSERT (worker_allocate ("x", 1, "gpu-1") == UMBP_EAGAIN);
    worker_kill (pid);
    CU_ASSERT (worker_wait_event (7, "w"));
    uint64_t started = asker_gauge (&worker_asker, "started");
    usleep (10 * BACKOFF_MS * 1000);    //  It would be back by now
    CU_ASSERT (asker_gauge (&worker_asker, "started") == started);
    json_t *array = folder_get ("devices.json");
    CU_ASSERT (json_is_false (json_object_get (json_array_get (array, 1), "Healthy")));
    CU_ASSERT (json_is_true (json_object_get (json_array_get (array, 0), "Healthy")));
    json_decref (array);
    s_obey ("appear 1");
    CU_ASSERT (worker_wait_event (RETURNED, "w"));
    CU_ASSERT (worker_wait_pid ("w", pid) > 0);
    CU_ASSERT (asker_gauge (&worker_asker, "devices_lost") == 0);
    //  Without a worker it leaves the list
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    s_wait_gauge (&s_asker, "held", 0);
    s_obey ("vanish 1");
    s_wait_gauge (&s_asker, "devices", 1);
    s_wait_gauge (&worker_asker, "devices", 1);
    CU_ASSERT (worker_allocate ("x", 1, "gpu-1") == UMBP_ENOENT);
    s_end ();
}

//  One that is not well is given to nobody, and taken as soon as it is
static void test_ill (void)
{
    s_begin ("1", "dynamic");
    CU_ASSERT (s_retry_with ("has", 1, "gpu-0") == 0);
    s_obey ("mute 0 5");
    CU_ASSERT (worker_wait_reason ("has", "this device of it is failed"));    //  So that is known here
    worker_put_workers (worker_record ("has", "soft", "gpu-0", "Running", NULL),
                        worker_record ("w", "soft", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_reason ("w", "this device is failed"));
    s_obey ("mute 0 0");
    CU_ASSERT (worker_wait_state ("w", UMBP_WORKER_RUNNING));
    seen_t seen;
    CU_ASSERT (worker_look ("has", &seen) && seen.state == UMBP_WORKER_RUNNING && !*seen.reason);
    s_end ();
}

//  The driver hangs in one of two partitions: both go, nothing is left over, also of that which is made
//  after its deadline
static void test_hang (void)
{
    s_split_ms = 1500;
    s_begin ("2", "partitioned");
    s_split_ms = 60000;
    s_wait_gauge (&s_asker, "devices_ok", 2);
    CU_ASSERT (s_retry_allocate ("first", "gpu-0") == 0);      //  It does work
    CU_ASSERT (column_is (worker_asker.msg.worker_allocate_ok.partitions, 0, "GPU-0-partition-0"));
    s_wait_gauge (&s_asker, "partitions", 1);
    s_obey ("hang split 600s");
    int rc = worker_allocate ("w", 3, "gpu-0 gpu-1");
    CU_ASSERT (rc == UMBP_ETIMEDOUT || rc == UMBP_EUNREACH);
    s_wait_gauge (&s_asker, "library_state", 3);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "") == 0);    //  It answers
    s_obey ("release");
    s_wait_gauge (&s_asker, "library_state", 2);
    s_wait_gauge (&worker_asker, "workers", 1);
    s_wait_gauge (&s_asker, "partitions", 1);
    s_wait_gauge (&s_asker, "devices_ok", 2);
    s_obey ("hang split 600s");
    CU_ASSERT (s_retry_allocate ("w", "gpu-1") == UMBP_ETIMEDOUT);
    uint64_t joins = asker_gauge (&s_asker, "joins"), undone = 0;
    s_obey ("release");
    //  Whoever is the first to see that it comes too late, the device actor or the worker
    for (int64_t until = zclock_mono () + PEER_MS; !undone && zclock_mono () < until;
         usleep (10000))
        undone = asker_gauge (&s_asker, "splits_undone") + asker_gauge (&s_asker, "joins") - joins;
    CU_ASSERT (undone == 1);
    s_wait_gauge (&worker_asker, "workers", 1);
    s_wait_gauge (&worker_asker, "holds", 1);
    s_wait_gauge (&s_asker, "partitions", 1);
    CU_ASSERT (asker_gauge (&worker_asker, "partitions_leaked") == 0);
    s_wait_gauge (&s_asker, "devices_ok", 2);
    CU_ASSERT (s_retry_allocate ("w", "gpu-0 gpu-1") == 0);
    s_wait_gauge (&s_asker, "partitions", 3);
    s_end ();
}

//  One of two cannot be made: the other goes; and while the driver fails, it is asked again
static void test_rollback (void)
{
    s_begin ("2", "partitioned");
    s_wait_gauge (&s_asker, "devices_ok", 2);
    CU_ASSERT (s_retry_allocate ("a", "gpu-0") == 0);
    s_wait_gauge (&s_asker, "partitions", 1);
    s_obey ("mute 1 5");
    s_wait_gauge (&s_asker, "devices_failed", 1);
    CU_ASSERT (worker_allocate ("b", 3, "gpu-0 gpu-1") == UMBP_EAGAIN);
    s_wait_gauge (&worker_asker, "holds", 1);
    s_wait_gauge (&s_asker, "partitions", 1);
    s_obey ("mute 1 0\nfail split 4");
    s_wait_gauge (&s_asker, "devices_ok", 2);
    int rc = s_retry_allocate ("b", "gpu-0 gpu-1");
    CU_ASSERT (rc < 0 && rc != UMBP_EAGAIN);
    s_wait_gauge (&worker_asker, "holds", 1);
    //  It cannot be taken back now: it is, once the driver is there
    s_obey ("fail split 0\nhang join 600s");
    asker_t other;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_release, 0);
    msg.worker_release.uid = umbp_text ("a");
    asker_start (&other, s_instance, "worker");
    asker_say (&other, &msg, NULL, 0, PEER_MS);
    s_wait_gauge (&s_asker, "library_state", 3);
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 1);
    s_obey ("release");
    s_wait_gauge (&worker_asker, "holds", 0);
    s_wait_gauge (&s_asker, "partitions", 0);
    CU_ASSERT (asker_gauge (&worker_asker, "partitions_leaked") == 0);
    CU_ASSERT (asker_hear (&other, PEER_MS) > 0 && other.msg.status == 0);
    CU_ASSERT (worker_is_saved ("a", "Terminated"));
    asker_end (&other);
    s_end ();
}

//  A node that starts again: the process is taken over with its devices though these are not well yet, and
//  the device actor hears of a partition that no discovery shows
static void test_restart (void)
{
    s_begin ("2", "partitioned");
    folder_put ("devices.json", "[{\"UUID\": \"GPU-1\", \"IsolationPolicy\": \"Dynamic\"}]");
    s_wait_gauge (&s_asker, "devices_ok", 2);
    CU_ASSERT (s_retry_allocate ("p", "gpu-0") == 0);
    json_t *array = folder_get ("workers.json");
    char *record = worker_record ("w", "soft", "gpu-1", "Pending", "exec sleep 1000");
    json_array_append_new (array, json_loads (record, 0, NULL));
    free (record);
    char *text = json_dumps (array, 0);
    folder_put ("workers.json", text);
    free (text);
    json_decref (array);
    pid_t pid = worker_wait_pid ("w", 0);
    CU_ASSERT_FATAL (pid > 0);
    worker_stop ();
    s_stop_devices ();
    s_obey ("mute 1 5");
    strcat (s_instance, "-again");
    s_start_devices ("2");
    s_start_workers ("partitioned");
    CU_ASSERT (worker_wait_pid ("w", 0) == pid);
    s_wait_gauge (&worker_asker, "holds", 2);
    CU_ASSERT (asker_gauge (&worker_asker, "adopted") == 1);
    s_wait_gauge (&s_asker, "partitions", 1);
    device_t part = s_look_at ("GPU-0-partition-0");
    CU_ASSERT (part.there && streq (part.parent, "GPU-0") && part.workers == 1);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_device_join, 0);
    msg.device_join.uuid = umbp_text ("GPU-0-partition-0");
    CU_ASSERT (asker_ask (&s_asker, &msg, PEER_MS) == UMBP_EAGAIN);      //  A worker has it
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "p") == 0);
    s_wait_gauge (&s_asker, "partitions", 0);
    s_obey ("mute 1 0");
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_wait_gone (pid));
    waitpid (pid, NULL, WNOHANG);
    s_end ();
}

//  A worker that ended while its node was down: no discovery shows its partition, and yet it goes back
static void test_ended_meanwhile (void)
{
    s_begin ("1", "partitioned");
    s_wait_gauge (&s_asker, "devices_ok", 1);
    CU_ASSERT (s_retry_allocate ("p", "gpu-0") == 0);
    worker_stop ();
    s_stop_devices ();
    CU_ASSERT (worker_saved_parts ("p") == 1);
    worker_edit ("p", "DeletedAt", json_integer (9));
    strcat (s_instance, "-again");
    s_start_devices ("1");
    s_start_workers ("partitioned");
    s_wait_gauge (&s_asker, "joins", 1);
    CU_ASSERT (worker_wait_state ("p", UMBP_WORKER_TERMINATED) && worker_wait_parts ("p", 0));
    s_wait_gauge (&s_asker, "partitions", 0);
    CU_ASSERT (asker_gauge (&worker_asker, "partitions_leaked") == 0);
    s_end ();
}

//  A library that hangs before it has said anything: nobody gets a device, and is told why
static void test_hangs_at_start (void)
{
    snprintf (s_instance, sizeof s_instance, "devices-%d-start", getpid ());
    folder_begin ();
    folder_put ("devices.json", "[{\"UUID\": \"gpu-0\"}]");
    s_obey ("hang init 600s");
    s_start_devices ("1");
    s_start_workers ("dynamic");
    worker_put_workers (worker_record ("w", "soft", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_reason ("w", "not known yet: "));
    seen_t seen;
    CU_ASSERT (worker_look ("w", &seen) && seen.state == UMBP_WORKER_PENDING);
    CU_ASSERT (worker_allocate ("x", 1, "gpu-0") == UMBP_EAGAIN);
    s_obey ("release");
    CU_ASSERT (worker_wait_state ("w", UMBP_WORKER_RUNNING));
    s_end ();
}

//  Somebody in place of the device actor answers questions about events, which has so many, until another
//  one comes: of that type, or there was none in time
static bool s_answer_until (asked_t *asked, umbp_msg_type_t type, uint64_t last)
{
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until;) {
        if (asked_hear (asked, 100) == 0)
            continue;
        if (asked->msg.type == type)
            return true;
        if (asked->msg.type != UMBP_MSG_device_events)
            continue;
        umbp_msg_t answer;
        umbp_msg_init (&answer, UMBP_MSG_device_events_ok, 0);
        answer.device_events_ok.last = last;
        asked_answer (asked, &answer, NULL, 0);
    }
    return false;
}

//  There are news, and the list that is asked for then does not come: it is asked for again, not after a
//  minute
static void test_asks_again (void)
{
    asked_t asked;
    umbp_msg_t answer;
    snprintf (s_instance, sizeof s_instance, "devices-%d-again", getpid ());
    folder_begin ();
    asked_start (&asked, s_instance, "device");
    s_start_workers ("dynamic");
    CU_ASSERT_FATAL (s_answer_until (&asked, UMBP_MSG_devices, 1));
    umbp_msg_init (&answer, UMBP_MSG_devices_ok, 0);
    answer.devices_ok.state = 2;        //  A library that answers, of no devices
    asked_answer (&asked, &answer, NULL, 0);
    CU_ASSERT (s_answer_until (&asked, UMBP_MSG_device_events, 1));
    CU_ASSERT (asked.msg.device_events.since == 1);
    umbp_msg_init (&answer, UMBP_MSG_device_events_ok, 0);
    answer.device_events_ok.last = 2;
    asked_answer (&asked, &answer, NULL, 0);
    CU_ASSERT (s_answer_until (&asked, UMBP_MSG_devices, 2));    //  It gets no answer
    CU_ASSERT_FATAL (s_answer_until (&asked, UMBP_MSG_devices, 2));
    umbp_msg_init (&answer, UMBP_MSG_devices_ok, 0);
    answer.devices_ok.state = 2;
    asked_answer (&asked, &answer, NULL, 0);
    CU_ASSERT (s_answer_until (&asked, UMBP_MSG_device_events, 2));
    CU_ASSERT (asked.msg.device_events.since == 2);
    worker_stop ();
    asked_end (&asked);
    folder_end ();
}

//  Without a library devices.json is right, as it ever was
static void test_no_library (void)
{
    umbp_home_t home;
    snprintf (s_instance, sizeof s_instance, "devices-%d-none", getpid ());
    folder_begin ();
    folder_put ("devices.json", "[{\"UUID\": \"gpu-7\"}]");
    umbp_device_args_t args = { .home = home_of (&home, s_instance, "node-1"),
                                .find = { .setting = "off" } };
    s_device = umbp_device_actor_new (&args);
    asker_start (&s_asker, s_instance, "device");
    s_start_workers ("dynamic");
    CU_ASSERT (worker_allocate ("w", 1, "gpu-7") == 0);
    CU_ASSERT (worker_allocate ("x", 1, "gpu-0") == UMBP_ENOENT);
    s_end ();
}

int main (void)
{
    alarm (280);
    zsys_init ();
    if (!getenv ("UMBP_LOG"))
        zsys_set_logstream (NULL);
    zsys_handler_set (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker_devices", NULL, NULL);
    CU_ADD_TEST (suite, test_no_library);
    CU_ADD_TEST (suite, test_life);
    CU_ADD_TEST (suite, test_exclusive);
    CU_ADD_TEST (suite, test_vanish);
    CU_ADD_TEST (suite, test_ill);
    CU_ADD_TEST (suite, test_hang);
    CU_ADD_TEST (suite, test_rollback);
    CU_ADD_TEST (suite, test_restart);
    CU_ADD_TEST (suite, test_ended_meanwhile);
    CU_ADD_TEST (suite, test_hangs_at_start);
    CU_ADD_TEST (suite, test_asks_again);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
