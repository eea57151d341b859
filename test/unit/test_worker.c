//  test/unit/test_worker.c - the worker actor as its peers and as other programs see it: a folder of
//  files, messages, processes. Partitions come from a provider of the test.
#include "actors/worker.h"
#include "actors/worker/proc.h"
#include "test/unit/peer.h"
#include "test/unit/worker.h"

#define BACKOFF_MS 60                   //  In place of 3 s: all is 50 times as fast
#define DEVICES                                                                                    \
    "[{\"UUID\": \"gpu-0\", \"Vendor\": \"NVIDIA\", \"Index\": 0, \"Mystery\": 42},"               \
    " {\"UUID\": \"gpu-1\", \"Vendor\": \"NVIDIA\", \"Index\": 1},"                                \
    " {\"UUID\": \"gpu-2\", \"Vendor\": \"NVIDIA\", \"Index\": 2}]"

static zactor_t *s_actor;
static asker_t s_asker;
static uint64_t s_seen;                 //  Number of the last event that a test looked at

static void s_start_with (const umbp_worker_provider_t *provider, unsigned poll_ms,
                          const char *policy)
{
    static unsigned number;
    umbp_home_t home = { .node = "node-1", .node_epoch = 7 };
    snprintf (home.instance, sizeof home.instance, "worker-%d-%u", getpid (), number++);
    umbp_worker_args_t args = { .home = &home,
                                .folder = folder, .logs = "", .policy = policy,
                                .backoff_ms = BACKOFF_MS, .grace_ms = 300, .poll_ms = poll_ms,
                                .provider = provider };
    s_actor = umbp_worker_new (&args);
    CU_ASSERT_FATAL (s_actor != NULL);
    asker_start (&s_asker, home.instance, "worker");
    s_seen = 0;
}

static void s_start (void)
{
    s_start_with (NULL, 5000, "dynamic");
}

static void s_stop (void)
{
    asker_end (&s_asker);
    zactor_destroy (&s_actor);
}

static void s_begin (void)
{
    folder_begin ();
    folder_put ("devices.json", DEVICES);
}

//  ------------------------------------------------------------------------------------------------
//  Asking

static int s_ask_about (umbp_msg_type_t type, const char *uid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, type, 0);
    switch (type) {
    case UMBP_MSG_worker_start: msg.worker_start.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_stop: msg.worker_stop.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_release: msg.worker_release.uid = umbp_text (uid); break;
    default: msg.workers.uid = umbp_text (uid); break;
    }
    return asker_ask (&s_asker, &msg, PEER_MS);
}

static int s_allocate (const char *uid, uint64_t mode, const char *devices)
{
    static words_t list;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_allocate, 0);
    msg.worker_allocate.uid = umbp_text (uid);
    msg.worker_allocate.mode = mode;
    msg.worker_allocate.template = umbp_text (mode == 3 ? "1g" : "");
    msg.worker_allocate.devices = words (&list, devices);
    return asker_ask (&s_asker, &msg, PEER_MS);
}

typedef struct {
    unsigned state, restarts, code, stopped;
    pid_t pid;
    char reason[UMBP_TEXT_MAX + 1];
} seen_t;

//  Returns false if there is no such worker
static bool s_look (const char *uid, seen_t *seen)
{
    size_t offset = 0;
    if (s_ask_about (UMBP_MSG_workers, uid) != 0)
        return false;
    const umbp_msg_workers_ok_t *ok = &s_asker.msg.workers_ok;
    CU_ASSERT_FATAL (s_asker.msg.type == UMBP_MSG_workers_ok && ok->uids.count == 1);
    umbp_bytes_t reason = umbp_column_next (&ok->reasons, 0, &offset);
    *seen = (seen_t){ .state = umbp_u8s_at (ok->states, 0),
                      .restarts = (unsigned) umbp_u64s_at (ok->restarts, 0),
                      .code = umbp_u16s_at (ok->codes, 0),
                      .stopped = umbp_u8s_at (ok->stops, 0),
                      .pid = (pid_t) umbp_u32s_at (ok->pids, 0) };
    umbp_text_copy ((umbp_text_t){ (const char *) reason.data, reason.size }, seen->reason,
                    sizeof seen->reason);
    return true;
}

static bool s_wait_state (const char *uid, umbp_worker_state_t state)
{
    seen_t seen = { 0 };
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (s_look (uid, &seen) && seen.state == state)
            return true;
    return false;
}

static pid_t s_wait_pid (const char *uid, pid_t other_than)
{
    seen_t seen = { 0 };
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (s_look (uid, &seen) && seen.pid && seen.pid != other_than)
            return seen.pid;
    return 0;
}

static bool s_wait_gone (pid_t pid)
{
    umbp_proc_stat_t stat;
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (umbp_proc_stat ("/proc", pid, &stat) < 0 || stat.state == 'Z')
            return true;
    return false;
}

//  The next event. Returns its kind, 0 if none came; uid is whose
static unsigned s_event (char *uid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    msg.worker_events.since = s_seen;
    if (asker_ask (&s_asker, &msg, PEER_MS) != 0)
        return 0;
    const umbp_msg_worker_events_ok_t *ok = &s_asker.msg.worker_events_ok;
    size_t offset = 0;
    if (ok->uids.count == 0)
        return 0;
    umbp_bytes_t name = umbp_column_next (&ok->uids, 0, &offset);
    umbp_text_copy ((umbp_text_t){ (const char *) name.data, name.size }, uid, UMBP_NAME_MAX + 1);
    s_seen = ok->last - ok->uids.count + 1;
    return umbp_u8s_at (ok->kinds, 0);
}

//  Until one of that kind about that worker. Returns false if none comes.
static bool s_wait_event (unsigned kind, const char *uid)
{
    char whose[UMBP_NAME_MAX + 1];
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until;)
        if (s_event (whose) == kind && streq (whose, uid))
            return true;
    return false;
}

//  A record with a process, or without: script NULL
static char *s_record (const char *uid, const char *mode, const char *devices, const char *status,
                       const char *script)
{
    json_t *list = json_array (), *json;
    char text[512];
    snprintf (text, sizeof text, "%s", devices);
    for (char *word = strtok (text, " "); word; word = strtok (NULL, " "))
        json_array_append_new (list, json_string (word));
    json = json_pack ("{s:s, s:s, s:o, s:s, s:s, s:i}", "WorkerUID", uid, "IsolationMode", mode,
                      "AllocatedDevices", list, "Status", status, "Extra", "kept", "DeletedAt", 0);
    if (script)
        json_object_set_new (json, "WorkerRunningInfo",
                             json_pack ("{s:s, s:s, s:[sss], s:s, s:{s:s}}", "type", "process",
                                        "executable", "/bin/sh", "args", "-c", script, "<port>",
                                        "workingDir", folder, "env", "MARK", "m"));
    char *record = json_dumps (json, 0);
    json_decref (json);
    return record;
}

//  workers.json of these records; NULL ends them. Frees them.
static void s_put_list (char **records)
{
    char text[16384] = "[";
    for (char **record = records; *record; record++) {
        snprintf (text + strlen (text), sizeof text - strlen (text), "%s%s",
                  record == records ? "" : ",", *record);
        free (*record);
    }
    strcat (text, "]");
    folder_put ("workers.json", text);
}

#define s_put_workers(...) s_put_list ((char *[]){ __VA_ARGS__ })

static json_t *s_saved (const char *uid)
{
    json_t *array = folder_get ("workers.json"), *json, *found = NULL;
    size_t index;
    json_array_foreach (array, index, json) if (streq (umbp_record_text (json, "WorkerUID"), uid))
        found = json_incref (json);
    json_decref (array);
    return found;
}

static bool s_is_saved (const char *uid, const char *status)
{
    json_t *json = s_saved (uid);
    bool is = json && streq (umbp_record_text (json, "Status"), status);
    json_decref (json);
    return is;
}

static void s_kill (pid_t pid)
{
    if (pid > 1)
        kill (pid, SIGKILL);
}

//  ------------------------------------------------------------------------------------------------
//  Tests

//  WRK-16, WRK-17: Pending, DeviceAllocating, Running, Terminated; never back, and free once
static void test_life (void)
{
    char whose[UMBP_NAME_MAX + 1];
    seen_t seen;
    s_begin ();
    s_put_workers (s_record ("w", "soft", "GPU-0 gpu-1", "Pending", NULL), NULL);
    s_start ();
    CU_ASSERT (s_event (whose) == 1 && streq (whose, "w"));      //  D3: added comes first
    CU_ASSERT (s_event (whose) == 4);   //  DeviceAllocating
    CU_ASSERT (umbp_u8s_at (s_asker.msg.worker_events_ok.states, 0) == UMBP_WORKER_ALLOCATING);
    CU_ASSERT (s_event (whose) == 4);
    CU_ASSERT (s_wait_state ("w", UMBP_WORKER_RUNNING));
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 1 && asker_gauge (&s_asker, "devices") == 3);
    CU_ASSERT (s_is_saved ("w", "Running"));
    json_t *json = s_saved ("w");
    CU_ASSERT_STRING_EQUAL (umbp_record_text (json, "Extra"), "kept");
    json_decref (json);

    s_put_workers (s_record ("w", "soft", "GPU-0 gpu-1", "Pending", NULL), NULL);
    asker_wait (&s_asker, "refused_moves", 1);
    CU_ASSERT (s_look ("w", &seen) && seen.state == UMBP_WORKER_RUNNING);
    asker_wait (&s_asker, "saves", 2);
    CU_ASSERT (s_is_saved ("w", "Running"));
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (s_is_saved ("w", "Terminated"));  //  Before the answer
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 0);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (s_allocate ("w", 1, "gpu-0 gpu-1") == UMBP_ESTALE);
    s_put_workers (s_record ("w", "soft", "GPU-0 gpu-1", "Running", NULL), NULL);
    asker_wait (&s_asker, "refused_moves", 2);
    CU_ASSERT (s_look ("w", &seen) && seen.state == UMBP_WORKER_TERMINATED);
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 0);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "nobody") == UMBP_ENOENT);
    s_stop ();
    folder_end ();
}

//  WRK-22, D1, D2: what others write is an event, each once; our own writes are none
static void test_events (void)
{
    char whose[UMBP_NAME_MAX + 1];
    s_begin ();
    s_start ();
    s_put_workers (s_record ("a", "soft", "gpu-0", "Pending", NULL),
                   s_record ("b", "hard", "gpu-1", "Pending", NULL), NULL);
    CU_ASSERT (s_event (whose) == 1 && streq (whose, "a"));
    CU_ASSERT (s_event (whose) == 1 && streq (whose, "b"));
    CU_ASSERT (s_wait_state ("a", UMBP_WORKER_RUNNING) && s_wait_state ("b", UMBP_WORKER_RUNNING));
    uint64_t rereads = asker_gauge (&s_asker, "rereads");
    CU_ASSERT (s_allocate ("c", 1, "gpu-0") == 0);      //  A write of ours
    CU_ASSERT (s_is_saved ("c", "Running") && s_is_saved ("a", "Running"));
    CU_ASSERT (asker_gauge (&s_asker, "rereads") == rereads);
    CU_ASSERT (asker_gauge (&s_asker, "updated") == 0);

    //  One uuid of another device: as many devices as before. It moves there.
    s_put_workers (s_record ("a", "soft", "gpu-2", "Running", NULL),
                   s_record ("b", "hard", "gpu-1", "Running", NULL),
                   s_record ("c", "soft", "gpu-0", "Running", NULL), NULL);
    CU_ASSERT (s_wait_event (3, "a"));
    CU_ASSERT (s_allocate ("only-soft", 1, "gpu-2") == 0);
    CU_ASSERT (s_allocate ("no-hard", 2, "gpu-2") == UMBP_EAGAIN);
    //  Its record goes: so do its devices
    s_put_workers (s_record ("b", "hard", "gpu-1", "Running", NULL), NULL);
    CU_ASSERT (s_wait_event (2, "only-soft"));
    asker_wait_down (&s_asker, "holds", 1);
    CU_ASSERT (s_allocate ("now-hard", 2, "gpu-0 gpu-2") == 0);
    CU_ASSERT (s_ask_about (UMBP_MSG_workers, "a") == UMBP_ENOENT);
    //  Deleted, but there: terminated
    char *record = s_record ("b", "hard", "gpu-1", "Running", NULL),
         *at = strstr (record, "\"DeletedAt\": 0");
    CU_ASSERT_FATAL (at != NULL);
    at[13] = '9';
    s_put_workers (record, NULL);
    CU_ASSERT (s_wait_state ("b", UMBP_WORKER_TERMINATED));
    asker_wait_down (&s_asker, "holds", 0);
    s_stop ();
    folder_end ();
}

//  D4: a listener who does not listen holds nobody up, and hears what he lost; D5: and many writers
static void test_listeners (void)
{
    umbp_msg_t msg;
    char uid[32];
    s_begin ();
    s_start ();
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    uint64_t waits = asker_say (&s_asker, &msg, NULL, 0, PEER_MS);   //  Nothing yet: it is kept
    for (unsigned number = 0; number < 100; number++) {
        static words_t list;
        umbp_msg_t ask;
        snprintf (uid, sizeof uid, "many-%u", number);
        umbp_msg_init (&ask, UMBP_MSG_worker_allocate, 0);
        ask.worker_allocate.uid = umbp_text (uid);
        ask.worker_allocate.mode = 1;
        ask.worker_allocate.devices = words (&list, "gpu-0");
        asker_say (&s_asker, &ask, NULL, 0, PEER_MS);
    }
    bool heard = false;
    unsigned done = 0;
    while (done < 100) {
        uint64_t id = asker_hear (&s_asker, PEER_MS);
        CU_ASSERT_FATAL (id != 0);
        heard |= id == waits && s_asker.msg.worker_events_ok.uids.count > 0;
        done += id != waits && s_asker.msg.status == 0;
    }
    CU_ASSERT (heard);
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    CU_ASSERT (asker_ask (&s_asker, &msg, PEER_MS) == 0);
    const umbp_msg_worker_events_ok_t *ok = &s_asker.msg.worker_events_ok;
    CU_ASSERT (ok->last == 300 && ok->lost == 300 - UMBP_WORKERS_MAX);
    CU_ASSERT (ok->uids.count == UMBP_WORKERS_MAX);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 100);  //  Not one of them is lost
    json_decref (array);
    //  Who waits in vain is told so, in time
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    msg.worker_events.since = 300;
    CU_ASSERT (asker_ask (&s_asker, &msg, 300) == 0);
    CU_ASSERT (s_asker.msg.worker_events_ok.uids.count == 0);
    s_stop ();
    folder_end ();
}

//  WRK-31, D9: again is the same; an unknown device is an error, and nothing of it stays
static void test_allocate (void)
{
    s_begin ();
    s_start ();
    CU_ASSERT (s_allocate ("w", 2, "gpu-1 GPU-0") == 0);
    const umbp_msg_worker_allocate_ok_t *ok = &s_asker.msg.worker_allocate_ok;
    CU_ASSERT (ok->devices.count == 2 && column_is (ok->devices, 0, "gpu-1"));
    CU_ASSERT (column_is (ok->env_names, 0, "NVIDIA_VISIBLE_DEVICES"));
    CU_ASSERT (column_is (ok->env_values, 0, "GPU-0,GPU-1"));
    CU_ASSERT (column_is (ok->env_names, ok->env_names.count - 1, "WORKER_ID"));
    CU_ASSERT (s_allocate ("w", 2, "gpu-0 gpu-1") == 0);
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 1 && asker_gauge (&s_asker, "workers") == 1);
    CU_ASSERT (s_allocate ("w", 2, "gpu-0") == UMBP_EEXIST);
    CU_ASSERT (s_allocate ("x", 1, "gpu-2 gpu-9") == UMBP_ENOENT);
    CU_ASSERT (s_allocate ("x", 3, "gpu-2") == UMBP_EINVAL);
    CU_ASSERT (asker_gauge (&s_asker, "workers") == 1);
    CU_ASSERT (s_ask_about (UMBP_MSG_workers, "x") == UMBP_ENOENT);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 1);
    json_decref (array);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_start, "w") == UMBP_EINVAL);     //  It names no program
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_stop, "w") == UMBP_EINVAL);
    //  In a file it waits, and says for what, until the device is there
    s_put_workers (s_record ("f", "soft", "gpu-9", "Pending", NULL), NULL);
    CU_ASSERT (s_wait_event (8, "f"));
    seen_t seen;
    CU_ASSERT (s_look ("f", &seen) && seen.state == UMBP_WORKER_ALLOCATING);
    CU_ASSERT (strstr (seen.reason, "gpu-9: no such device") != NULL);
    folder_put ("devices.json", "[{\"UUID\": \"GPU-9\"}]");      //  D7: it is read
    CU_ASSERT (s_wait_state ("f", UMBP_WORKER_RUNNING));
    s_stop ();
    folder_end ();
}

//  WRK-37, WRK-38, WRK-39, D11: the record says what runs, and how
static void test_process (void)
{
    s_begin ();
    s_put_workers (s_record ("w", "soft", "gpu-1 gpu-0", "Pending",
                             "echo \"$MARK $WORKER_ID $NVIDIA_VISIBLE_DEVICES $0 $UMBP_SECRET.\" "
                             ">said.new; pwd >>said.new; mv said.new said; exec sleep 1000"),
                   NULL);
    setenv ("UMBP_SECRET", "for nobody", 1);
    s_start ();
    pid_t pid = s_wait_pid ("w", 0);
    CU_ASSERT_FATAL (pid > 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("said") && zclock_mono () < until;)
        usleep (10000);
    unsetenv ("UMBP_SECRET");
    char said[512] = "", cwd[128] = "";
    unsigned port = 0;
    FILE *file = fopen (folder_path ("said"), "r");
    CU_ASSERT_FATAL (file != NULL);
    CU_ASSERT (fscanf (file, "m w %64s %u .\n%127s", said, &port, cwd) == 3);
    fclose (file);
    CU_ASSERT_STRING_EQUAL (said, "GPU-0,GPU-1");
    CU_ASSERT (port > 0 && port < 65536 && streq (cwd, folder));
    json_t *json = s_saved ("w"), *info = json_object_get (json, "WorkerRunningInfo");
    CU_ASSERT (json_integer_value (json_object_get (info, "pid")) == pid);
    CU_ASSERT (json_integer_value (json_object_get (info, "port")) == port);
    CU_ASSERT (json_is_true (json_object_get (info, "isRunning")));
    json_decref (json);

    //  It ends, and comes again; and on the same port
    s_kill (pid);
    pid_t next = s_wait_pid ("w", pid);
    CU_ASSERT_FATAL (next > 0);
    seen_t seen;
    CU_ASSERT (s_look ("w", &seen) && seen.restarts == 1 && seen.code == 128 + SIGKILL);
    json = s_saved ("w");
    info = json_object_get (json, "WorkerRunningInfo");
    CU_ASSERT (json_integer_value (json_object_get (info, "port")) == port);
    CU_ASSERT (json_integer_value (json_object_get (info, "restarts")) == 1);
    json_decref (json);

    //  Stopped and started by hand
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_stop, "w") == 0);
    CU_ASSERT (s_wait_gone (next) && s_look ("w", &seen) && seen.pid == 0 && seen.stopped);
    CU_ASSERT (seen.state == UMBP_WORKER_RUNNING && asker_gauge (&s_asker, "holds") == 1);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_start, "w") == 0);
    pid = s_wait_pid ("w", next);
    CU_ASSERT_FATAL (pid > 0);
    //  Another program, in the file
    s_put_workers (s_record ("w", "soft", "gpu-1 gpu-0", "Running", "exec sleep 2000"), NULL);
    next = s_wait_pid ("w", pid);
    CU_ASSERT (next > 0 && s_wait_gone (pid));
    CU_ASSERT (s_wait_event (3, "w") && s_wait_event (7, "w") && s_wait_event (5, "w"));
    CU_ASSERT (asker_gauge (&s_asker, "updated") == 1);
    //  No record, no process
    s_put_workers (NULL);
    CU_ASSERT (s_wait_gone (next) && s_wait_event (2, "w"));
    CU_ASSERT (asker_gauge (&s_asker, "processes") == 0 && asker_gauge (&s_asker, "removed") == 1);
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 0);
    s_stop ();
    folder_end ();
}

//  D2 and more: devices are free only when the process has ended
static void test_order (void)
{
    s_begin ();
    s_put_workers (s_record ("deaf", "shared", "gpu-0", "Pending",
                             "trap '' TERM; echo >ready; while :; do sleep 1000; done"),
                   NULL);
    s_start ();
    pid_t pid = s_wait_pid ("deaf", 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("ready") && zclock_mono () < until;)
        usleep (10000);
    s_put_workers (s_record ("next", "shared", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (s_wait_event (8, "next"));       //  Not yet
    CU_ASSERT (s_wait_event (7, "deaf") && s_wait_gone (pid));   //  By SIGKILL
    CU_ASSERT (s_wait_event (2, "deaf"));
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "deaf") == UMBP_ENOENT);
    CU_ASSERT (s_allocate ("next", 0, "gpu-0") == 0);    //  Asked again: now
    s_stop ();
    folder_end ();
}

//  D12: a node that starts again takes over what runs, known or not, and starts nothing twice
static void test_adopt (void)
{
    s_begin ();
    s_put_workers (s_record ("w", "soft", "gpu-0", "Pending", "sleep 1000 & wait"),
                   s_record ("v", "soft", "gpu-0", "Pending", "exec sleep 1000"), NULL);
    s_start ();
    pid_t one = s_wait_pid ("w", 0), two = s_wait_pid ("v", 0);
    CU_ASSERT_FATAL (one > 0 && two > 0);
    s_stop ();
    CU_ASSERT (kill (one, 0) == 0 && kill (two, 0) == 0);
    s_start ();
    CU_ASSERT (s_wait_pid ("w", 0) == one && s_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&s_asker, "adopted") == 2 && asker_gauge (&s_asker, "started") == 0);
    s_stop ();

    //  The file has not heard of the one, and names another's process for the other
    json_t *array = folder_get ("workers.json"), *json;
    size_t index;
    json_array_foreach (array, index, json)
    {
        json_t *info = json_object_get (json, "WorkerRunningInfo");
        bool is_w = streq (umbp_record_text (json, "WorkerUID"), "w");
        json_object_set_new (info, "pid", json_integer (is_w ? 0 : getpid ()));
        json_object_del (info, "startTicks");
    }
    char *text = json_dumps (array, 0);
    folder_put ("workers.json", text);
    free (text);
    json_decref (array);
    s_start ();
    CU_ASSERT (s_wait_pid ("w", 0) == one && s_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&s_asker, "adopted") == 2 && asker_gauge (&s_asker, "started") == 0);
    //  It ends while nobody looks; a new one comes
    s_stop ();
    kill (-one, SIGKILL);
    waitpid (one, NULL, 0);
    s_start ();
    pid_t next = s_wait_pid ("w", 0);
    CU_ASSERT (next > 0 && next != one && s_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&s_asker, "adopted") == 1 && asker_gauge (&s_asker, "started") == 1);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "v") == 0);
    CU_ASSERT (s_wait_gone (next) && s_wait_gone (two));
    s_stop ();
    waitpid (two, NULL, WNOHANG);
    folder_end ();
}

//  ST-28, ST-36 in the actor: bad files; and by polling alone
static void test_files (void)
{
    s_begin ();
    folder_put ("workers.json", "[{\"WorkerUID\": \"x\"");
    s_start_with (NULL, 20, "dynamic");
    CU_ASSERT (asker_gauge (&s_asker, "bad_files") == 1 && folder_has ("workers.json.bad"));
    CU_ASSERT (asker_gauge (&s_asker, "files_bad") == 0);
    CU_ASSERT (s_allocate ("w", 1, "gpu-0") == 0);
    //  While we run: it is not heeded, nor written over
    folder_put_inplace ("workers.json", "[{\"WorkerUID\": ");
    asker_wait (&s_asker, "files_bad", 1);
    CU_ASSERT (s_ask_about (UMBP_MSG_workers, "w") == 0);
    CU_ASSERT (s_asker.msg.workers_ok.bad == 1);
    s_put_workers (s_record ("w", "soft", "gpu-0", "Running", NULL),
                   s_record ("x", "soft", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (s_wait_state ("x", UMBP_WORKER_RUNNING));
    CU_ASSERT (asker_gauge (&s_asker, "files_bad") == 0 && asker_gauge (&s_asker, "holds") == 2);
    //  Records that are none stay, and their neighbours count
    folder_put ("workers.json", FULL_RECORD);
    CU_ASSERT (s_wait_event (8, "w-full"));     //  Of devices that are not here
    CU_ASSERT (asker_gauge (&s_asker, "bad_records") == 2);
    json_t *array = folder_get ("workers.json");
    CU_ASSERT (json_array_size (array) == 4 && json_is_null (json_array_get (array, 0)));
    json_decref (array);
    s_stop ();
    folder_end ();
}

//  ------------------------------------------------------------------------------------------------
//  A provider

typedef struct {
    umbp_worker_sink_t *sink;
    unsigned made, joined, fails_at, lists;
    bool knows_none;
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
    umbp_worker_found (fake->sink, fake->knows_none ? NULL : rows, fake->knows_none ? 0 : 2);
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
    umbp_worker_provider_t provider = { &fake,        s_fake_start, s_fake_list,
                                        s_fake_split, s_fake_join,  NULL };
    s_begin ();
    s_start_with (&provider, 5000, "partitioned");
    asker_wait (&s_asker, "devices", 2);        //  gpu-2 is not found
    CU_ASSERT (s_allocate ("w", 3, "gpu-0 gpu-1") == UMBP_EIO);
    asker_wait_down (&s_asker, "workers", 0);
    CU_ASSERT (asker_gauge (&s_asker, "holds") == 0);
    CU_ASSERT (s_allocate ("w", 3, "gpu-0 gpu-1") == 0);
    CU_ASSERT (column_is (s_asker.msg.worker_allocate_ok.partitions, 0, "mig-gpu-0-3"));
    CU_ASSERT (column_is (s_asker.msg.worker_allocate_ok.env_values, 0, "MIG-gpu-0-3,MIG-gpu-1-4"));
    s_stop ();                          //  From here on fake is ours again
    CU_ASSERT (fake.made == 4 && fake.joined == 1);
    json_t *array = folder_get ("devices.json"), *json = json_array_get (array, 0);
    CU_ASSERT (json_array_size (array) == 3);
    CU_ASSERT (json_integer_value (json_object_get (json, "Mystery")) == 42);
    CU_ASSERT (json_is_true (json_object_get (json, "Healthy")));
    CU_ASSERT (json_integer_value (json_object_get (json, "TotalMemoryBytes")) == 1 << 30);
    CU_ASSERT (json_is_false (json_object_get (json_array_get (array, 2), "Healthy")));
    json_decref (array);

    s_start_with (&provider, 5000, "partitioned");
    asker_wait (&s_asker, "holds", 1);
    CU_ASSERT (s_ask_about (UMBP_MSG_workers, "w") == 0);
    CU_ASSERT (column_is (s_asker.msg.workers_ok.partitions, 1, "mig-gpu-1-4"));
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (s_ask_about (UMBP_MSG_worker_release, "w") == 0);
    s_stop ();
    CU_ASSERT (fake.made == 4 && fake.joined == 3);
    json = s_saved ("w");
    CU_ASSERT (json_object_get (json, "Partitions") == NULL);
    json_decref (json);

    fake.knows_none = true;             //  Then the file is what there is
    s_start_with (&provider, 5000, "dynamic");
    CU_ASSERT (s_allocate ("v", 0, "gpu-2") == 0);
    CU_ASSERT (asker_gauge (&s_asker, "devices") == 3);
    s_stop ();
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
    CU_ADD_TEST (suite, test_process);
    CU_ADD_TEST (suite, test_order);
    CU_ADD_TEST (suite, test_adopt);
    CU_ADD_TEST (suite, test_files);
    CU_ADD_TEST (suite, test_provider);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
