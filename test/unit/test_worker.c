//  test/unit/test_worker.c - the worker actor as its peers and as other programs see it: a folder of
//  files, and messages. Partitions come from a provider of the test. Its processes: test_worker_run.c;
//  devices of a device actor: test_worker_devices.c.
#include <stdatomic.h>

#include "test/unit/worker_actor.h"

//  WRK-16, WRK-17: Pending, DeviceAllocating, Running, Terminated; never back, and free once
static void test_life (void)
{
    char whose[UMBP_NAME_MAX + 1];
    seen_t seen;
    worker_begin ();
    worker_put_workers (worker_record ("w", "soft", "GPU-0 gpu-1", "Pending", NULL), NULL);
    worker_start ();
    CU_ASSERT (worker_event (whose) == 1 && streq (whose, "w"));      //  D3: added comes first
    CU_ASSERT (worker_event (whose) == 4);   //  DeviceAllocating
    CU_ASSERT (umbp_u8s_at (worker_asker.msg.worker_events_ok.states, 0) == UMBP_WORKER_ALLOCATING);
    CU_ASSERT (worker_event (whose) == 4);
    CU_ASSERT (worker_wait_state ("w", UMBP_WORKER_RUNNING));
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 1
               && asker_gauge (&worker_asker, "devices") == 3);
    CU_ASSERT (worker_is_saved ("w", "Running"));
    json_t *json = worker_saved ("w");
    CU_ASSERT_STRING_EQUAL (umbp_record_text (json, "Extra"), "kept");
    json_decref (json);

    worker_put_workers (worker_record ("w", "soft", "GPU-0 gpu-1", "Pending", NULL), NULL);
    asker_wait (&worker_asker, "refused_moves", 1);
    CU_ASSERT (worker_look ("w", &seen) && seen.state == UMBP_WORKER_RUNNING);
    asker_wait (&worker_asker, "saves", 2);
    CU_ASSERT (worker_is_saved ("w", "Running"));
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_is_saved ("w", "Terminated"));  //  Before the answer
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_allocate ("w", 1, "gpu-0 gpu-1") == UMBP_ESTALE);
    worker_put_workers (worker_record ("w", "soft", "GPU-0 gpu-1", "Running", NULL), NULL);
    asker_wait (&worker_asker, "refused_moves", 2);
    CU_ASSERT (worker_look ("w", &seen) && seen.state == UMBP_WORKER_TERMINATED);
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "nobody") == UMBP_ENOENT);
    worker_stop ();
    folder_end ();
}

//  WRK-22, D1, D2: what others write is an event, each once; our own writes are none
static void test_events (void)
{
    char whose[UMBP_NAME_MAX + 1];
    worker_begin ();
    worker_start ();
    worker_put_workers (worker_record ("a", "soft", "gpu-0", "Pending", NULL),
                        worker_record ("b", "hard", "gpu-1", "Pending", NULL), NULL);
    CU_ASSERT (worker_event (whose) == 1 && streq (whose, "a"));
    CU_ASSERT (worker_event (whose) == 1 && streq (whose, "b"));
    CU_ASSERT (worker_wait_state ("a", UMBP_WORKER_RUNNING)
               && worker_wait_state ("b", UMBP_WORKER_RUNNING));
    uint64_t rereads = asker_gauge (&worker_asker, "rereads");
    CU_ASSERT (worker_allocate ("c", 1, "gpu-0") == 0);      //  A write of ours
    CU_ASSERT (worker_is_saved ("c", "Running") && worker_is_saved ("a", "Running"));
    CU_ASSERT (asker_gauge (&worker_asker, "rereads") == rereads);
    CU_ASSERT (asker_gauge (&worker_asker, "updated") == 0);

    //  One uuid of another device: as many devices as before. It moves there.
    worker_put_workers (worker_record ("a", "soft", "gpu-2", "Running", NULL),
                        worker_record ("b", "hard", "gpu-1", "Running", NULL),
                        worker_record ("c", "soft", "gpu-0", "Running", NULL), NULL);
    CU_ASSERT (worker_wait_event (3, "a"));
    CU_ASSERT (worker_allocate ("only-soft", 1, "gpu-2") == 0);
    CU_ASSERT (worker_allocate ("no-hard", 2, "gpu-2") == UMBP_EAGAIN);
    //  Its record goes: so do its devices
    worker_put_workers (worker_record ("b", "hard", "gpu-1", "Running", NULL), NULL);
    CU_ASSERT (worker_wait_event (2, "only-soft"));
    asker_wait_down (&worker_asker, "holds", 1);
    CU_ASSERT (worker_allocate ("now-hard", 2, "gpu-0 gpu-2") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "a") == UMBP_ENOENT);
    //  Deleted, but there: terminated
    char *record = worker_record ("b", "hard", "gpu-1", "Running", NULL),
         *at = strstr (record, "\"DeletedAt\": 0");
    CU_ASSERT_FATAL (at != NULL);
    at[13] = '9';
    worker_put_workers (record, NULL);
    CU_ASSERT (worker_wait_state ("b", UMBP_WORKER_TERMINATED));
    asker_wait_down (&worker_asker, "holds", 0);
    worker_stop ();
    folder_end ();
}

//  D4: a listener who does not listen holds nobody up, and hears what he lost; D5: and many writers
static void test_listeners (void)
{
    umbp_msg_t msg;
    char uid[32];
    worker_begin ();
    worker_start ();
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    uint64_t waits = asker_say (&worker_asker, &msg, NULL, 0, PEER_MS);   //  Nothing yet: it is kept
    for (unsigned number = 0; number < 100; number++) {
        static words_t list;
        umbp_msg_t ask;
        snprintf (uid, sizeof uid, "many-%u", number);
        umbp_msg_init (&ask, UMBP_MSG_worker_allocate, 0);
        ask.worker_allocate.uid = umbp_text (uid);
        ask.worker_allocate.mode = 1;
        ask.worker_allocate.devices = words (&list, "gpu-0");
        asker_say (&worker_asker, &ask, NULL, 0, PEER_MS);
    }
    bool heard = false;
    unsigned done = 0;
    while (done < 100) {
        uint64_t id = asker_hear (&worker_asker, PEER_MS);
        CU_ASSERT_FATAL (id != 0);
        heard |= id == waits && worker_asker.msg.worker_events_ok.uids.count > 0;
        done += id != waits && worker_asker.msg.status == 0;
    }
    CU_ASSERT (heard);
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    CU_ASSERT (asker_ask (&worker_asker, &msg, PEER_MS) == 0);
    const umbp_msg_worker_events_ok_t *ok = &worker_asker.msg.worker_events_ok;
    CU_ASSERT (ok->last == 300 && ok->lost == 300 - UMBP_WORKERS_MAX);
    CU_ASSERT (ok->uids.count == UMBP_WORKERS_MAX);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 100);  //  Not one of them is lost
    json_decref (array);
    //  Who waits in vain is told so, in time
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    msg.worker_events.since = 300;
    CU_ASSERT (asker_ask (&worker_asker, &msg, 300) == 0);
    CU_ASSERT (worker_asker.msg.worker_events_ok.uids.count == 0);
    worker_stop ();
    folder_end ();
}

//  WRK-31, D9: again is the same; an unknown device is an error, and nothing of it stays
static void test_allocate (void)
{
    worker_begin ();
    worker_start ();
    CU_ASSERT (worker_allocate ("w", 2, "gpu-1 GPU-0") == 0);
    const umbp_msg_worker_allocate_ok_t *ok = &worker_asker.msg.worker_allocate_ok;
    CU_ASSERT (ok->devices.count == 2 && column_is (ok->devices, 0, "gpu-1"));
    CU_ASSERT (column_is (ok->env_names, 0, "NVIDIA_VISIBLE_DEVICES"));
    CU_ASSERT (column_is (ok->env_values, 0, "GPU-0,GPU-1"));
    CU_ASSERT (column_is (ok->env_names, ok->env_names.count - 1, "WORKER_ID"));
    CU_ASSERT (worker_allocate ("w", 2, "gpu-0 gpu-1") == 0);
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 1
               && asker_gauge (&worker_asker, "workers") == 1);
    CU_ASSERT (worker_allocate ("w", 2, "gpu-0") == UMBP_EEXIST);
    CU_ASSERT (worker_allocate ("x", 1, "gpu-2 gpu-9") == UMBP_ENOENT);
    CU_ASSERT (worker_allocate ("x", 3, "gpu-2") == UMBP_EINVAL);
    CU_ASSERT (asker_gauge (&worker_asker, "workers") == 1);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "x") == UMBP_ENOENT);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 1);
    json_decref (array);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_start, "w")
               == UMBP_EINVAL); //  It names no program
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_stop, "w") == UMBP_EINVAL);
    //  In a file it waits, and says for what, until the device is there
    worker_put_workers (worker_record ("f", "soft", "gpu-9", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_event (8, "f"));
    seen_t seen;
    CU_ASSERT (worker_look ("f", &seen) && seen.state == UMBP_WORKER_ALLOCATING);
    CU_ASSERT (strstr (seen.reason, "gpu-9: no such device") != NULL);
    folder_put ("devices.json", "[{\"UUID\": \"GPU-9\"}]");      //  D7: it is read
    CU_ASSERT (worker_wait_state ("f", UMBP_WORKER_RUNNING));
    worker_stop ();
    folder_end ();
}

//  ST-28, ST-36 in the actor: bad files; and by polling alone
static void test_files (void)
{
    worker_begin ();
    folder_put ("workers.json", "[{\"WorkerUID\": \"x\"");
    worker_start_with (NULL, 20, "dynamic");
    CU_ASSERT (asker_gauge (&worker_asker, "bad_files") == 1 && folder_has ("workers.json.bad"));
    CU_ASSERT (asker_gauge (&worker_asker, "files_bad") == 0);
    CU_ASSERT (worker_allocate ("w", 1, "gpu-0") == 0);
    //  While we run: it is not heeded, nor written over
    folder_put_inplace ("workers.json", "[{\"WorkerUID\": ");
    asker_wait (&worker_asker, "files_bad", 1);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "w") == 0);
    CU_ASSERT (worker_asker.msg.workers_ok.bad == 1);
    worker_put_workers (worker_record ("w", "soft", "gpu-0", "Running", NULL),
                        worker_record ("x", "soft", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_state ("x", UMBP_WORKER_RUNNING));
    CU_ASSERT (asker_gauge (&worker_asker, "files_bad") == 0
               && asker_gauge (&worker_asker, "holds") == 2);
    //  Records that are none stay, and their neighbours count
    folder_put ("workers.json", FULL_RECORD);
    CU_ASSERT (worker_wait_event (8, "w-full"));     //  Of devices that are not here
    CU_ASSERT (asker_gauge (&worker_asker, "bad_records") == 2);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 4 && json_is_null (json_array_get (array, 0)));
    json_decref (array);
    worker_stop ();
    folder_end ();
}

//  ------------------------------------------------------------------------------------------------
//  A provider

typedef struct {
    umbp_worker_sink_t *sink;
    unsigned made, joined, fails_at, lists;
    bool knows_none;
    atomic_bool hides;                  //  gpu-0 is not there
} lender_fake_t;

static void s_fake_start (void *arg, umbp_post_t *post, umbp_worker_sink_t *sink)
{
    lender_fake_t *fake = arg;
    (void) post;
    fake->sink = sink;
}

static void s_fake_list (void *arg)
{
    lender_fake_t *fake = arg;
    umbp_device_record_t rows[2] = { { .index = 0,
                                       .memory_bytes = 1 << 30,
                                       .tflops = 10,
                                       .known = true, .partitions = true, .partitions_max = 7 } };
    snprintf (rows[0].uuid, sizeof rows[0].uuid, "gpu-0");
    snprintf (rows[0].name, sizeof rows[0].name, "gpu-0");
    snprintf (rows[0].vendor, sizeof rows[0].vendor, "NVIDIA");
    rows[1] = rows[0];
    rows[1].index = 1;
    snprintf (rows[1].uuid, sizeof rows[1].uuid, "gpu-1");
    snprintf (rows[1].name, sizeof rows[1].name, "gpu-1");
    fake->lists++;
    bool hides = atomic_load (&fake->hides);
    umbp_worker_found (fake->sink, fake->knows_none ? NULL : rows + hides,
                       fake->knows_none ? 0 : 2 - hides);
}

static int s_fake_split (void *arg, uint64_t ticket, const char *device, const char *template)
{
    lender_fake_t *fake = arg;
    char name[UMBP_DEVICE_ID_MAX];
    if (strneq (template, "1g") || ++fake->made == fake->fails_at)
        return UMBP_EIO;
    snprintf (name, sizeof name, "mig-%.40s-%u", device, fake->made);
    umbp_worker_done (fake->sink, ticket, 0, name);
    return 0;
}

static int s_fake_join (void *arg, uint64_t ticket, const char *partition)
{
    lender_fake_t *fake = arg;
    CU_ASSERT (strncmp (partition, "mig-", 4) == 0);
    fake->joined++;
    umbp_worker_done (fake->sink, ticket, 0, NULL);
    return 0;
}

//  Partitions are made and taken back through it, also those from before a restart; what it finds is
//  in devices.json, beside what others wrote there
static void test_provider (void)
{
    lender_fake_t fake = { .fails_at = 2 };
    umbp_worker_provider_t provider = { .self = &fake,
                                        .start = s_fake_start, .list = s_fake_list,
                                        .split = s_fake_split, .join = s_fake_join };
    worker_begin ();
    worker_start_with (&provider, 5000, "partitioned");
    asker_wait (&worker_asker, "devices", 2);        //  gpu-2 is not found
    CU_ASSERT (worker_allocate ("w", 3, "gpu-0 gpu-1") == UMBP_EIO);
    asker_wait_down (&worker_asker, "workers", 0);
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 0);
    CU_ASSERT (worker_allocate ("w", 3, "gpu-0 gpu-1") == 0);
    CU_ASSERT (column_is (worker_asker.msg.worker_allocate_ok.partitions, 0, "mig-gpu-0-3"));
    CU_ASSERT (
        column_is (worker_asker.msg.worker_allocate_ok.env_values, 0, "MIG-gpu-0-3,MIG-gpu-1-4"));
    worker_stop ();                          //  From here on fake is ours again
    CU_ASSERT (fake.made == 4 && fake.joined == 1);
    json_t *array = folder_get ("devices.json"), *json = json_array_get (array, 0);
    CU_ASSERT (json_array_size (array) == 3);
    CU_ASSERT (json_integer_value (json_object_get (json, "Mystery")) == 42);
    CU_ASSERT (json_is_true (json_object_get (json, "Healthy")));
    CU_ASSERT (json_integer_value (json_object_get (json, "TotalMemoryBytes")) == 1 << 30);
    CU_ASSERT (json_is_false (json_object_get (json_array_get (array, 2), "Healthy")));
    json_decref (array);

    worker_start_with (&provider, 5000, "partitioned");
    asker_wait (&worker_asker, "holds", 1);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "w") == 0);
    CU_ASSERT (column_is (worker_asker.msg.workers_ok.partitions, 1, "mig-gpu-1-4"));
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    worker_stop ();
    CU_ASSERT (fake.made == 4 && fake.joined == 3);
    json = worker_saved ("w");
    CU_ASSERT (json_object_get (json, "Partitions") == NULL);
    json_decref (json);

    fake.knows_none = true;             //  Then the file is what there is
    worker_start_with (&provider, 5000, "dynamic");
    CU_ASSERT (worker_allocate ("v", 0, "gpu-2") == 0);
    CU_ASSERT (asker_gauge (&worker_asker, "devices") == 3);
    worker_stop ();
    folder_end ();
}

//  A worker that others ended while its node was down: what was made for it is taken back, once devices
//  are known; and its name stays in the file till then
static void test_ended_meanwhile (void)
{
    lender_fake_t fake = { .made = 0 };
    umbp_worker_provider_t provider = { .self = &fake,
                                        .start = s_fake_start, .list = s_fake_list,
                                        .split = s_fake_split, .join = s_fake_join };
    worker_begin ();
    worker_start_with (&provider, 5000, "partitioned");
    asker_wait (&worker_asker, "devices", 2);
    CU_ASSERT (worker_allocate ("w", 3, "gpu-0 gpu-1") == 0);
    CU_ASSERT (worker_allocate ("v", 3, "gpu-0 gpu-1") == 0);
    CU_ASSERT (worker_allocate ("u", 3, "gpu-0") == 0);
    worker_stop ();
    CU_ASSERT (worker_saved_parts ("w") == 2 && worker_saved_parts ("v") == 2);
    worker_edit ("w", "DeletedAt", json_integer (9));
    worker_start_with (&provider, 5000, "partitioned");
    CU_ASSERT (worker_wait_state ("w", UMBP_WORKER_TERMINATED));
    CU_ASSERT (worker_wait_parts ("w", 0));
    worker_stop ();
    CU_ASSERT (fake.made == 5 && fake.joined == 2);

    //  One of its devices is not there for now
    worker_edit ("v", "Status", json_string ("Terminated"));
    atomic_store (&fake.hides, true);
    worker_start_with (&provider, 5000, "partitioned");
    CU_ASSERT (worker_wait_reason ("v", "cannot be taken back yet: gpu-0: no such device"));
    CU_ASSERT (worker_wait_state ("v", UMBP_WORKER_TERMINATED));
    CU_ASSERT (worker_saved_parts ("v") == 2);
    json_t *json = worker_saved ("v");
    worker_put_workers (json_dumps (json, 0), NULL);     //  Without u, which has to stay for now
    json_decref (json);
    CU_ASSERT (worker_wait_reason ("u", "cannot be taken back yet: gpu-0: no such device"));
    atomic_store (&fake.hides, false);
    CU_ASSERT (worker_wait_event (2, "u"));
    CU_ASSERT (worker_wait_parts ("v", 0));
    seen_t seen;
    CU_ASSERT (worker_look ("v", &seen) && seen.state == UMBP_WORKER_TERMINATED && !*seen.reason);
    worker_stop ();
    CU_ASSERT (fake.made == 5 && fake.joined == 5);
    folder_end ();
}

//  Its record is taken out and put back as it was before its process has ended: the partition that it
//  names is gone by then, and another one is made
static void test_comes_back (void)
{
    lender_fake_t fake = { .made = 0 };
    umbp_worker_provider_t provider = { .self = &fake,
                                        .start = s_fake_start, .list = s_fake_list,
                                        .split = s_fake_split, .join = s_fake_join };
    worker_begin ();
    worker_put_workers (worker_record ("deaf", "partitioned", "gpu-0", "Pending",
                                       "trap '' TERM; echo >ready; while :; do sleep 1000; done"),
                        NULL);
    worker_edit ("deaf", "PartitionTemplateID", json_string ("1g"));
    worker_grace_ms = 1500;
    worker_start_with (&provider, 5000, "partitioned");
    worker_grace_ms = 300;
    pid_t pid = worker_wait_pid ("deaf", 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("ready") && zclock_mono () < until;)
        usleep (10000);
    CU_ASSERT (worker_wait_parts ("deaf", 1));
    json_t *json = worker_saved ("deaf");
    worker_put_workers (NULL);
    for (int64_t until = zclock_mono () + PEER_MS;
         worker_ask_about (UMBP_MSG_worker_start, "deaf") == 0 && zclock_mono () < until;)
        usleep (10000);
    worker_put_workers (json_dumps (json, 0), NULL);
    json_decref (json);
    pid_t next = worker_wait_pid ("deaf", pid);
    CU_ASSERT_FATAL (next > 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_workers, "deaf") == 0);
    CU_ASSERT (column_is (worker_asker.msg.workers_ok.partitions, 0, "mig-gpu-0-2"));
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "deaf") == 0);
    worker_stop ();
    CU_ASSERT (fake.made == 2 && fake.joined == 2);
    folder_end ();
}

int main (void)
{
    alarm (280);
    zsys_init ();
    zsys_handler_set (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker", NULL, NULL);
    CU_ADD_TEST (suite, test_life);
    CU_ADD_TEST (suite, test_events);
    CU_ADD_TEST (suite, test_listeners);
    CU_ADD_TEST (suite, test_allocate);
    CU_ADD_TEST (suite, test_files);
    CU_ADD_TEST (suite, test_provider);
    CU_ADD_TEST (suite, test_ended_meanwhile);
    CU_ADD_TEST (suite, test_comes_back);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
