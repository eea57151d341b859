//  bin/console_workers.c - workers: the processes of hosts' accelerators, and what is done to one
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "bin/console.h"

#define DEVICES_MAX 16                  //  Of a worker

static const char *const s_states[] = { "Pending", "DeviceAllocating", "Running", "Terminated" };
static const char *const s_modes[] = { "shared", "soft", "hard", "partitioned" };
static const char *const s_qoses[] = { "low", "medium", "high", "critical" };
static const char *const s_kinds[] = { "?",      "added",       "removed",     "changed",
                                       "state",  "started",     "adopted",     "ended",
                                       "failed", "device lost", "device back", "frozen",
                                       "goes on" };

static const char *s_word (const char *const *words, size_t count, size_t number)
{
    return number < count ? words[number] : "?";
}

#define WORD(words, number) s_word (words, sizeof words / sizeof *words, number)

//  A column that is walked from its front
typedef struct {
    const umbp_column_t *column;
    size_t index, offset;
} walk_t;

static json_t *s_next (walk_t *walk)
{
    umbp_bytes_t item = umbp_column_next (walk->column, walk->index++, &walk->offset);
    return umbp_view_text (item.data, item.size);
}

//  ------------------------------------------------------------------------------------------------
//  List

static json_t *s_devices (walk_t *devices, walk_t *parts, size_t count)
{
    json_t *list = json_array ();
    for (size_t index = 0; index < count && devices->index < devices->column->count; index++) {
        json_t *device = json_pack ("{s:o}", "uuid", s_next (devices)), *part = s_next (parts);
        if (*json_string_value (part))
            json_object_set (device, "partition", part);
        json_decref (part);
        json_array_append_new (list, device);
    }
    return list;
}

//  "gpu-1, gpu-2/part", for people
static json_t *s_shown_devices (const json_t *devices)
{
    char text[DEVICES_MAX * 132] = "";
    size_t index;
    json_t *device;
    json_array_foreach (devices, index, device)
    {
        size_t used = strlen (text);
        const char *part = json_string_value (json_object_get (device, "partition"));
        snprintf (text + used, sizeof text - used, "%s%s%s%s", used ? ", " : "",
                  json_string_value (json_object_get (device, "uuid")), part ? "/" : "",
                  part ? part : "");
    }
    return json_string (text);
}

static json_t *s_rows (const umbp_msg_workers_ok_t *ok)
{
    walk_t uids = { &ok->uids, 0, 0 }, names = { &ok->names, 0, 0 }, spaces = { &ok->spaces, 0, 0 },
           pods = { &ok->pods, 0, 0 }, reasons = { &ok->reasons, 0, 0 },
           devices = { &ok->devices, 0, 0 }, parts = { &ok->partitions, 0, 0 };
    json_t *rows = json_array ();
    for (size_t index = 0; index < ok->uids.count; index++) {
        uint16_t code = umbp_u16s_at (ok->codes, index);
        json_t *row = json_pack (
            "{s:o, s:o, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:o}",
            "uid", s_next (&uids), "name", s_next (&names), "namespace", s_next (&spaces), "state",
            WORD (s_states, umbp_u8s_at (ok->states, index)), "mode",
            WORD (s_modes, umbp_u8s_at (ok->modes, index)), "qos",
            WORD (s_qoses, umbp_u8s_at (ok->qoses, index)), "pid",
            umbp_view_number (umbp_u32s_at (ok->pids, index)), "inner_pid",
            umbp_view_number (umbp_u32s_at (ok->inner_pids, index)), "pod", s_next (&pods),
            "restarts", umbp_view_number (umbp_u64s_at (ok->restarts, index)), "next_start_ms",
            umbp_view_number (umbp_u32s_at (ok->waits_ms, index)), "stopped",
            umbp_u8s_at (ok->stops, index) != 0, "device_lost",
            index < ok->losts.count && umbp_u8s_at (ok->losts, index), "frozen",
            index < ok->frozens.count && umbp_u8s_at (ok->frozens, index), "reason",
            s_next (&reasons), "devices",
            s_devices (&devices, &parts, umbp_u8s_at (ok->device_counts, index)));
        if (code != UINT16_MAX)
            json_object_set_new (row, "exit_status", json_integer (code));
        json_array_append_new (rows, row);
    }
    return rows;
}

//  Its process, in words
static json_t *s_shown_process (const json_t *row)
{
    char text[64];
    json_int_t pid = json_integer_value (json_object_get (row, "pid"));
    json_int_t wait = json_integer_value (json_object_get (row, "next_start_ms"));
    bool runs = strcmp (json_string_value (json_object_get (row, "state")), "Running") == 0;
    bool lost = json_is_true (json_object_get (row, "device_lost"));
    bool stopped = json_is_true (json_object_get (row, "stopped"));
    bool frozen = json_is_true (json_object_get (row, "frozen"));
    if (pid)
        snprintf (text, sizeof text, "%s%" JSON_INTEGER_FORMAT,
                  stopped  ? "ends: "
                  : frozen ? "frozen: "
                           : "",
                  pid);
    else if (stopped)
        snprintf (text, sizeof text, "stopped");
    else if (wait && runs)
        snprintf (text, sizeof text, "starts in %.1f s", (double) wait / 1000);
    else
        snprintf (text, sizeof text, "%s", lost ? "waits" : runs ? "not ours" : "");
    return json_string (text);
}

//  Rows, and where they come from
static void s_show (const umbp_console_t *self, json_t *rows, const char *folder, uint64_t bad)
{
    static const umbp_view_column_t columns[] = {
        { "WORKER", "uid", UMBP_VIEW_TEXT },
        { "STATE", "shown_state", UMBP_VIEW_TEXT },
        { "MODE", "mode", UMBP_VIEW_TEXT },
        { "PROCESS", "process", UMBP_VIEW_TEXT },
        { "RESTARTS", "restarts", UMBP_VIEW_COUNT },
        { "DEVICES", "shown", UMBP_VIEW_TEXT },
        { "POD", "pod", UMBP_VIEW_TEXT },
        { "WHAT IS WRONG", "reason", UMBP_VIEW_TEXT },
    };
    size_t index;
    bool in_pods = false;
    json_t *row;
    json_array_foreach (rows, index, row)
    {
        char text[64];
        bool lost = json_is_true (json_object_get (row, "device_lost"));
        snprintf (text, sizeof text, "%s%s", json_string_value (json_object_get (row, "state")),
                  lost ? ", device lost" : "");
        in_pods |= *json_string_value (json_object_get (row, "pod")) != 0;
        json_object_set_new (row, "shown_state", json_string (text));
        json_object_set_new (row, "process", s_shown_process (row));
        json_object_set_new (row, "shown", s_shown_devices (json_object_get (row, "devices")));
    }
    umbp_view_column_t shown[sizeof columns / sizeof *columns];
    size_t count = 0;
    for (size_t column = 0; column < sizeof columns / sizeof *columns; column++)
        if (in_pods || strcmp (columns[column].title, "POD") != 0)
            shown[count++] = columns[column];
    if (json_array_size (rows))
        umbp_view_table (stdout, rows, shown, count, self->colour);
    printf ("%s%s/workers.json\n", json_array_size (rows) ? "of " : "no workers in ", folder);
    if (bad)
        puts ("A file there is no JSON, and so is not heeded: the node's log says where the fault "
              "is");
}

static const char *s_address (const char *node, char *out, size_t size)
{
    snprintf (out, size, "worker%s%.64s", *node ? "@" : "", node);
    return out;
}

int umbp_console_workers (umbp_console_t *self, int argc, char **argv)
{
    int end;
    char address[UMBP_TEXT_MAX];
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_workers, 0);
    const umbp_msg_t *answer = umbp_console_ask (
        self, s_address (argc ? argv[0] : "", address, sizeof address), &question, "workers", &end);
    if (!answer)
        return end;
    const umbp_msg_workers_ok_t *ok = &answer->workers_ok;
    json_t *rows = s_rows (ok);
    json_t *doc =
        json_pack ("{s:o, s:O, s:o}", "folder", umbp_view_text (ok->folder.data, ok->folder.size),
                   "workers", rows, "files_bad", umbp_view_number (ok->bad));
    if (!umbp_console_json (self, doc))
        s_show (self, rows, json_string_value (json_object_get (doc, "folder")), ok->bad);
    json_decref (doc);
    json_decref (rows);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  One worker

//  "done: UID", or a document
static int s_done (umbp_console_t *self, const char *action, const char *uid)
{
    json_t *doc =
        json_pack ("{s:s, s:o}", "done", action, "uid", umbp_view_text (uid, strlen (uid)));
    if (!umbp_console_json (self, doc))
        printf ("%s: %s\n", action, uid);
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

static int s_show_allocated (umbp_console_t *self, const char *uid,
                             const umbp_msg_worker_allocate_ok_t *ok)
{
    walk_t devices = { &ok->devices, 0, 0 }, parts = { &ok->partitions, 0, 0 },
           names = { &ok->env_names, 0, 0 }, values = { &ok->env_values, 0, 0 };
    json_t *env = json_object (), *value;
    const char *name;
    for (size_t index = 0; index < ok->env_names.count; index++) {
        json_t *text = s_next (&names);
        json_object_set_new (env, json_string_value (text), s_next (&values));
        json_decref (text);
    }
    json_t *doc =
        json_pack ("{s:o, s:o, s:O}", "uid", umbp_view_text (uid, strlen (uid)), "devices",
                   s_devices (&devices, &parts, ok->devices.count), "env", env);
    if (!umbp_console_json (self, doc))
        json_object_foreach (env, name, value) printf ("%s=%s\n", name, json_string_value (value));
    json_decref (env);
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

//  worker allocate UID MODE DEVICE...: a mode may be partitioned:TEMPLATE
static int s_allocate (umbp_console_t *self, const char *address, int argc, char **argv)
{
    uint8_t bytes[DEVICES_MAX * UMBP_NAME_MAX];
    uint16_t sizes[DEVICES_MAX];
    umbp_column_t devices = { bytes, sizes, 0, 0 };
    if (argc < 3 || argc > 2 + DEVICES_MAX)
        return umbp_console_usage (self, "usage: worker allocate UID MODE DEVICE..., at most %d",
                                   DEVICES_MAX);
    size_t mode = 0, size = strcspn (argv[1], ":");
    while (mode < 4 && (strncmp (argv[1], s_modes[mode], size) != 0 || s_modes[mode][size]))
        mode++;
    if (mode == 4)
        return umbp_console_usage (
            self, "%.40s: no mode; allowed: shared, soft, hard, partitioned:TEMPLATE", argv[1]);
    for (int index = 2; index < argc; index++) {
        size_t length = strlen (argv[index]);
        if (length < 1 || length > UMBP_NAME_MAX)
            return umbp_console_usage (self, "%.40s: no device; allowed: 1..%d bytes", argv[index],
                                       UMBP_NAME_MAX);
        memcpy (bytes + devices.size, argv[index], length);
        sizes[devices.count++] = (uint16_t) length;
        devices.size += (uint32_t) length;
    }
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_worker_allocate, 0);
    question.worker_allocate.uid = umbp_text (argv[0]);
    question.worker_allocate.mode = mode;
    question.worker_allocate.template = umbp_text (argv[1][size] ? argv[1] + size + 1 : "");
    question.worker_allocate.devices = devices;
    const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "worker", &end);
    return answer ? s_show_allocated (self, argv[0], &answer->worker_allocate_ok) : end;
}

//  No process is no number, and a state is said once
static void s_shorten (json_t *rows)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row)
    {
        char text[32] = "";
        json_int_t pid = json_integer_value (json_object_get (row, "pid"));
        json_t *reason = json_object_get (row, "reason");
        if (pid)
            snprintf (text, sizeof text, "%" JSON_INTEGER_FORMAT, pid);
        json_object_set_new (row, "process", json_string (text));
        if (!json_equal (reason, json_object_get (row, "state")))
            json_object_set (row, "more", reason);
    }
}

static int s_events (umbp_console_t *self, const char *address, const char *since)
{
    static const umbp_view_column_t columns[] = {
        { "NUMBER", "number", UMBP_VIEW_COUNT }, { "AGE", "age_ms", UMBP_VIEW_MS },
        { "WORKER", "uid", UMBP_VIEW_TEXT },     { "EVENT", "event", UMBP_VIEW_TEXT },
        { "STATE", "state", UMBP_VIEW_TEXT },    { "PROCESS", "process", UMBP_VIEW_TEXT },
        { "", "more", UMBP_VIEW_TEXT },
    };
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_worker_events, 0);
    question.worker_events.since = strtoull (since, NULL, 10);
    const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "worker", &end);
    if (!answer)
        return end;
    const umbp_msg_worker_events_ok_t *ok = &answer->worker_events_ok;
    walk_t uids = { &ok->uids, 0, 0 }, reasons = { &ok->reasons, 0, 0 };
    json_t *rows = json_array ();
    for (size_t index = 0; index < ok->uids.count; index++)
        json_array_append_new (
            rows,
            json_pack ("{s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "number",
                       umbp_view_number (ok->last - ok->uids.count + index + 1), "age_ms",
                       umbp_view_number (umbp_u64s_at (ok->ages_ms, index)), "uid", s_next (&uids),
                       "event", WORD (s_kinds, umbp_u8s_at (ok->kinds, index)), "state",
                       WORD (s_states, umbp_u8s_at (ok->states, index)), "pid",
                       umbp_view_number (umbp_u32s_at (ok->pids, index)), "reason",
                       s_next (&reasons)));
    json_t *doc = json_pack ("{s:O, s:o, s:o}", "events", rows, "last", umbp_view_number (ok->last),
                             "lost", umbp_view_number (ok->lost));
    if (!umbp_console_json (self, doc)) {
        s_shorten (rows);
        umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
    }
    json_decref (doc);
    json_decref (rows);
    return UMBP_CONSOLE_OK;
}

static int s_act (umbp_console_t *self, const char *address, umbp_msg_type_t type,
                  const char *action, const char *uid)
{
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, type, 0);
    switch (type) {
    case UMBP_MSG_worker_start: question.worker_start.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_stop: question.worker_stop.uid = umbp_text (uid); break;
    case UMBP_MSG_worker_freeze:
        question.worker_freeze.uid = umbp_text (uid);
        question.worker_freeze.frozen = strcmp (action, "frozen") == 0;
        break;
    default: question.worker_release.uid = umbp_text (uid); break;
    }
    if (!*uid || strlen (uid) > UMBP_NAME_MAX)
        return umbp_console_usage (self, "%.40s: no worker; allowed: 1..%d bytes", uid,
                                   UMBP_NAME_MAX);
    return umbp_console_ask (self, address, &question, "worker", &end) ? s_done (self, action, uid)
                                                                       : end;
}

int umbp_console_worker (umbp_console_t *self, int argc, char **argv)
{
    static const struct {
        const char *name, *done;
        umbp_msg_type_t type;
    } s_actions[] = {
        { "start", "started", UMBP_MSG_worker_start },
        { "stop", "stopped", UMBP_MSG_worker_stop },
        { "release", "released", UMBP_MSG_worker_release },
        { "freeze", "frozen", UMBP_MSG_worker_freeze },
        { "thaw", "goes on", UMBP_MSG_worker_freeze },
    };
    char address[UMBP_TEXT_MAX];
    s_address (self->given & UMBP_OPTION_NODE ? self->node : "", address, sizeof address);
    if (strcmp (argv[0], "allocate") == 0)
        return s_allocate (self, address, argc - 1, argv + 1);
    if (strcmp (argv[0], "events") == 0 && argc <= 2)
        return s_events (self, address, argc > 1 ? argv[1] : "0");
    for (size_t index = 0; index < sizeof s_actions / sizeof *s_actions; index++)
        if (strcmp (argv[0], s_actions[index].name) == 0 && argc == 2)
            return s_act (self, address, s_actions[index].type, s_actions[index].done, argv[1]);
    return umbp_console_usage (
        self,
        "usage: worker (start UID | stop UID | freeze UID | thaw UID | release UID | allocate UID MODE DEVICE... | "
        "events [NUMBER]) [--node NODE]");
}
