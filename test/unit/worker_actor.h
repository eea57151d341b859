//  test/unit/worker_actor.h - the worker actor on a folder of files, and somebody who asks it
#ifndef UMBP_TEST_WORKER_ACTOR_H
#define UMBP_TEST_WORKER_ACTOR_H

#include "actors/worker.h"
#include "actors/worker/proc.h"
#include "test/unit/peer.h"
#include "test/unit/worker.h"

#define BACKOFF_MS 60                   //  In place of 3 s: all is 50 times as fast
#define DEVICES                                                                                    \
    "[{\"UUID\": \"gpu-0\", \"Vendor\": \"NVIDIA\", \"Index\": 0, \"Mystery\": 42},"               \
    " {\"UUID\": \"gpu-1\", \"Vendor\": \"NVIDIA\", \"Index\": 1},"                                \
    " {\"UUID\": \"gpu-2\", \"Vendor\": \"NVIDIA\", \"Index\": 2}]"

static zactor_t *worker_actor;
static asker_t worker_asker;
static uint64_t worker_seen;                 //  Number of the last event that a test looked at
static int64_t worker_grace_ms = 300;        //  Of the next one that is started

static inline void worker_start_in (const char *instance, const umbp_worker_provider_t *provider,
                                    unsigned poll_ms, const char *policy)
{
    umbp_home_t home = { .node = "node-1", .node_epoch = 7 };
    snprintf (home.instance, sizeof home.instance, "%s", instance);
    umbp_worker_args_t args = { .home = &home,
                                .folder = folder, .logs = "", .policy = policy,
                                .backoff_ms = BACKOFF_MS, .grace_ms = worker_grace_ms, .poll_ms = poll_ms,
                                .provider = provider };
    worker_actor = umbp_worker_new (&args);
    CU_ASSERT_FATAL (worker_actor != NULL);
    asker_start (&worker_asker, home.instance, "worker");
    worker_seen = 0;
}

static inline void worker_start_with (const umbp_worker_provider_t *provider, unsigned poll_ms,
                                      const char *policy)
{
    static unsigned number;
    char instance[32];
    snprintf (instance, sizeof instance, "worker-%d-%u", getpid (), number++);
    worker_start_in (instance, provider, poll_ms, policy);
}

static inline void worker_start (void)
{
    worker_start_with (NULL, 5000, "dynamic");
}

static inline void worker_stop (void)
{
    asker_end (&worker_asker);
    zactor_destroy (&worker_actor);
}

static inline void worker_begin (void)
{
    folder_begin ();
    folder_put ("devices.json", DEVICES);
}

//  ------------------------------------------------------------------------------------------------
//  Asking

static inline int worker_ask_about (umbp_msg_type_t type, const char *uid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, type, 0);
    switch (type) {
    case UMBP_MSG_worker_start: msg.worker_start.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_stop: msg.worker_stop.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_release: msg.worker_release.uid = umbp_text (uid); break;
    default: msg.workers.uid = umbp_text (uid); break;
    }
    return asker_ask (&worker_asker, &msg, PEER_MS);
}

static inline int worker_allocate (const char *uid, uint64_t mode, const char *devices)
{
    static words_t list;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_allocate, 0);
    msg.worker_allocate.uid = umbp_text (uid);
    msg.worker_allocate.mode = mode;
    msg.worker_allocate.template = umbp_text (mode == 3 ? "1g" : "");
    msg.worker_allocate.devices = words (&list, devices);
    return asker_ask (&worker_asker, &msg, PEER_MS);
}

typedef struct {
    unsigned state, restarts, code, stopped;
    pid_t pid;
    char reason[UMBP_TEXT_MAX + 1];
} seen_t;

//  Returns false if there is no such worker
static inline bool worker_look (const char *uid, seen_t *seen)
{
    size_t offset = 0;
    if (worker_ask_about (UMBP_MSG_workers, uid) != 0)
        return false;
    const umbp_msg_workers_ok_t *ok = &worker_asker.msg.workers_ok;
    CU_ASSERT_FATAL (worker_asker.msg.type == UMBP_MSG_workers_ok && ok->uids.count == 1);
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

static inline bool worker_wait_state (const char *uid, umbp_worker_state_t state)
{
    seen_t seen = { 0 };
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (worker_look (uid, &seen) && seen.state == state)
            return true;
    return false;
}

static inline bool worker_wait_reason (const char *uid, const char *part)
{
    seen_t seen = { .reason = "" };
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (worker_look (uid, &seen) && strstr (seen.reason, part))
            return true;
    printf ("%s: %s\n", uid, seen.reason);
    return false;
}

static inline pid_t worker_wait_pid (const char *uid, pid_t other_than)
{
    seen_t seen = { 0 };
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (worker_look (uid, &seen) && seen.pid && seen.pid != other_than)
            return seen.pid;
    return 0;
}

static inline bool worker_wait_gone (pid_t pid)
{
    umbp_proc_stat_t stat;
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (umbp_proc_stat ("/proc", pid, &stat) < 0 || stat.state == 'Z')
            return true;
    return false;
}

//  The next event. Returns its kind, 0 if none came; uid is whose
static inline unsigned worker_event (char *uid)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_events, 0);
    msg.worker_events.since = worker_seen;
    if (asker_ask (&worker_asker, &msg, PEER_MS) != 0)
        return 0;
    const umbp_msg_worker_events_ok_t *ok = &worker_asker.msg.worker_events_ok;
    size_t offset = 0;
    if (ok->uids.count == 0)
        return 0;
    umbp_bytes_t name = umbp_column_next (&ok->uids, 0, &offset);
    umbp_text_copy ((umbp_text_t){ (const char *) name.data, name.size }, uid, UMBP_NAME_MAX + 1);
    worker_seen = ok->last - ok->uids.count + 1;
    return umbp_u8s_at (ok->kinds, 0);
}

//  Until one of that kind about that worker. Returns false if none comes.
static inline bool worker_wait_event (unsigned kind, const char *uid)
{
    char whose[UMBP_NAME_MAX + 1];
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until;)
        if (worker_event (whose) == kind && streq (whose, uid))
            return true;
    return false;
}

//  A record with a process, or without: script NULL
static inline char *worker_record (const char *uid, const char *mode, const char *devices,
                                   const char *status, const char *script)
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
static inline void worker_put_list (char **records)
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

#define worker_put_workers(...) worker_put_list ((char *[]){ __VA_ARGS__ })

static inline json_t *worker_saved (const char *uid)
{
    json_t *array = folder_get ("workers.json"), *json, *found = NULL;
    size_t index;
    json_array_foreach (array, index, json) if (streq (umbp_record_text (json, "WorkerUID"), uid))
        found = json_incref (json);
    json_decref (array);
    return found;
}

//  As an editor does that changes one member of one record. Takes the value.
static inline void worker_edit (const char *uid, const char *key, json_t *value)
{
    json_t *array = folder_get ("workers.json"), *json;
    size_t index;
    json_array_foreach (array, index, json) if (streq (umbp_record_text (json, "WorkerUID"), uid))
        json_object_set (json, key, value);
    char *text = json_dumps (array, 0);
    folder_put ("workers.json", text);
    free (text);
    json_decref (array);
    json_decref (value);
}

//  How many partitions the file names for it
static inline size_t worker_saved_parts (const char *uid)
{
    json_t *json = worker_saved (uid);
    size_t count = json_object_size (json_object_get (json, "Partitions"));
    json_decref (json);
    return count;
}

static inline bool worker_wait_parts (const char *uid, size_t count)
{
    for (int64_t until = zclock_mono () + PEER_MS; zclock_mono () < until; usleep (10000))
        if (worker_saved_parts (uid) == count)
            return true;
    return false;
}

static inline bool worker_is_saved (const char *uid, const char *status)
{
    json_t *json = worker_saved (uid);
    bool is = json && streq (umbp_record_text (json, "Status"), status);
    json_decref (json);
    return is;
}

static inline void worker_kill (pid_t pid)
{
    if (pid > 1)
        kill (pid, SIGKILL);
}

#endif
