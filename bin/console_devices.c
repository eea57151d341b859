//  bin/console_devices.c - devices: the accelerators of each node, how they are, which workers have them
//  and which processes use them
#include <inttypes.h>
#include <strings.h>

#include "bin/console.h"

#define NUMA_UNKNOWN UINT32_MAX
#define RUNNING 2                       //  Of a worker

typedef struct {
    json_t *rows, *libraries;           //  One of these for each device, for each node
    const char *node;                   //  That answers now
    const umbp_topology_t *topology;
    const size_t *numbers;              //  Members that are asked; NULL: all, in their order
    uint64_t silent;                    //  Nodes that did not answer, or are too old to
} gather_t;

static json_t *s_text (const umbp_column_t *column, size_t index, size_t *offset)
{
    umbp_bytes_t item = umbp_column_next (column, index, offset);
    return umbp_view_text (item.data, item.size);
}

static const char *s_health (uint8_t health)
{
    static const char *const names[] = { "unknown", "ok", "suspect", "failed", "missing" };
    return health < sizeof names / sizeof *names ? names[health] : "?";
}

static const char *s_state (uint64_t state)
{
    static const char *const names[] = { "none", "starting", "ok", "stale", "refused" };
    return state < sizeof names / sizeof *names ? names[state] : "?";
}

static const char *s_node (const gather_t *gather, size_t number)
{
    return umbp_topology_member (gather->topology,
                                 gather->numbers ? gather->numbers[number] : number)
        ->node;
}

//  The row of a device that was told of before, NULL if there is none
static json_t *s_find (const gather_t *gather, const char *node, const json_t *uuid)
{
    size_t index;
    json_t *row;
    json_array_foreach (gather->rows, index, row)
    {
        if (strcmp (json_string_value (json_object_get (row, "node")), node) == 0
            && json_equal (json_object_get (row, "id"), uuid))
            return row;
    }
    return NULL;
}

//  Where we are in each column of devices_ok
typedef struct {
    size_t uuids, parents, vendors, models, drivers, firmwares, nodes, keys, values, property;
} offsets_t;

static json_t *s_properties (const umbp_msg_devices_ok_t *ok, size_t index, offsets_t *at)
{
    json_t *properties = json_object ();
    size_t count = umbp_u8s_at (ok->property_counts, index);
    for (size_t row = 0; row < count && at->property < ok->property_keys.count; row++) {
        json_t *key = s_text (&ok->property_keys, at->property, &at->keys);
        json_object_set_new (properties, json_string_value (key),
                             s_text (&ok->property_values, at->property++, &at->values));
        json_decref (key);
    }
    return properties;
}

static void s_add (gather_t *gather, const char *node, const umbp_msg_devices_ok_t *ok,
                   size_t index, offsets_t *at)
{
    uint64_t limits = umbp_u64s_at (ok->limits, index);
    uint32_t numa = umbp_u32s_at (ok->numas, index);
    json_t *row = json_object ();
    json_object_set_new (row, "node", umbp_view_text (node, strlen (node)));
    json_object_set_new (row, "id", s_text (&ok->uuids, index, &at->uuids));
    json_object_set_new (row, "parent", s_text (&ok->parents, index, &at->parents));
    json_object_set_new (row, "vendor", s_text (&ok->vendors, index, &at->vendors));
    json_object_set_new (row, "model", s_text (&ok->models, index, &at->models));
    json_object_set_new (row, "driver", s_text (&ok->drivers, index, &at->drivers));
    json_object_set_new (row, "firmware", s_text (&ok->firmwares, index, &at->firmwares));
    json_object_set_new (row, "file", s_text (&ok->nodes, index, &at->nodes));
    json_object_set_new (row, "index", json_integer ((int32_t) umbp_u32s_at (ok->indexes, index)));
    json_object_set_new (row, "numa", numa == NUMA_UNKNOWN ? json_null () : json_integer (numa));
    json_object_set_new (row, "memory_bytes", umbp_view_number (umbp_u64s_at (ok->totals, index)));
    json_object_set_new (row, "memory_mb",
                         umbp_view_number (umbp_u64s_at (ok->totals, index) >> 20));
    json_object_set_new (row, "units", umbp_view_number (umbp_u64s_at (ok->units, index)));
    json_object_set_new (row, "gflops", umbp_view_number (umbp_u64s_at (ok->gflops, index)));
    json_object_set_new (row, "pcie_gen", json_integer (umbp_u8s_at (ok->pcie_gens, index)));
    json_object_set_new (row, "pcie_width", json_integer (umbp_u8s_at (ok->pcie_widths, index)));
    json_object_set_new (row, "capabilities", json_integer (umbp_u8s_at (ok->caps, index)));
    json_object_set_new (row, "partitions_max", json_integer ((json_int_t) (limits & UINT32_MAX)));
    json_object_set_new (row, "workers_max", json_integer ((json_int_t) (limits >> 32)));
    json_object_set_new (row, "health", json_string (s_health (umbp_u8s_at (ok->healths, index))));
    json_object_set_new (row, "since_ms", umbp_view_number (umbp_u64s_at (ok->since_ms, index)));
    json_object_set_new (row, "properties", s_properties (ok, index, at));
    json_object_set_new (row, "processes", json_array ());
    json_object_set_new (row, "workers", json_array ());
    if (index < ok->workers.count)
        json_object_set_new (row, "worker_count", json_integer (umbp_u32s_at (ok->workers, index)));
    json_array_append_new (gather->rows, row);
}

static void s_on_devices (void *arg, size_t number, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    const char *node = s_node (gather, number);
    if (status < 0 || answer->type != UMBP_MSG_devices_ok) {
        gather->silent++;
        return;
    }
    const umbp_msg_devices_ok_t *ok = &answer->devices_ok;
    offsets_t at = { 0 };
    for (size_t index = 0; index < ok->uuids.count; index++)
        s_add (gather, node, ok, index, &at);
    json_array_append_new (
        gather->libraries,
        json_pack ("{s:o, s:o, s:o, s:s, s:o, s:o}", "node", umbp_view_text (node, strlen (node)),
                   "library", umbp_view_text (ok->library.data, ok->library.size), "generation",
                   umbp_view_number (ok->generation), "state", s_state (ok->state), "reason",
                   umbp_view_text (ok->reason.data, ok->reason.size), "age_ms",
                   umbp_view_number (ok->age_ms)));
}

static void s_on_metrics (void *arg, size_t number, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    const char *node = s_node (gather, number);
    size_t offset = 0;
    if (status < 0 || answer->type != UMBP_MSG_device_metrics_ok)
        return;
    const umbp_msg_device_metrics_ok_t *ok = &answer->device_metrics_ok;
    for (size_t index = 0; index < ok->uuids.count; index++) {
        json_t *uuid = s_text (&ok->uuids, index, &offset);
        json_t *row = s_find (gather, node, uuid);
        uint64_t used = umbp_u64s_at (ok->useds, index);
        int fresh = umbp_s8s_at (ok->statuses, index);
        json_decref (uuid);
        if (!row || fresh == UMBP_EAGAIN)
            continue;
        json_object_set_new (row, "used_bytes", umbp_view_number (used));
        json_object_set_new (
            row, "used_percent",
            json_real (umbp_view_percent (used, umbp_u64s_at (ok->totals, index))));
        json_object_set_new (row, "foreign_bytes",
                             umbp_view_number (umbp_u64s_at (ok->foreigns, index)));
        json_object_set_new (row, "busy_percent",
                             json_real (umbp_u8s_at (ok->busy_percents, index)));
        json_object_set_new (row, "power_mw",
                             umbp_view_number (umbp_u64s_at (ok->powers_mw, index)));
        json_object_set_new (row, "temperature_mc",
                             umbp_view_number (umbp_u64s_at (ok->temperatures_mc, index)));
        json_object_set_new (row, "rx_bytes",
                             umbp_view_number (umbp_u64s_at (ok->rx_bytes, index)));
        json_object_set_new (row, "tx_bytes",
                             umbp_view_number (umbp_u64s_at (ok->tx_bytes, index)));
        json_object_set_new (row, "stale", json_boolean (fresh == UMBP_ESTALE));
        json_object_set_new (row, "age_ms", umbp_view_number (umbp_u64s_at (ok->ages_ms, index)));
    }
}

static void s_on_processes (void *arg, size_t number, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    const char *node = s_node (gather, number);
    size_t offset = 0;
    if (status < 0 || answer->type != UMBP_MSG_device_processes_ok)
        return;
    const umbp_msg_device_processes_ok_t *ok = &answer->device_processes_ok;
    for (size_t index = 0; index < ok->uuids.count; index++) {
        json_t *uuid = s_text (&ok->uuids, index, &offset);
        json_t *row = s_find (gather, node, uuid);
        json_decref (uuid);
        if (row)
            json_array_append_new (
                json_object_get (row, "processes"),
                json_pack ("{s:o, s:o, s:b}", "pid", json_integer (umbp_u32s_at (ok->pids, index)),
                           "used_bytes", umbp_view_number (umbp_u64s_at (ok->useds, index)), "own",
                           (int) umbp_u8s_at (ok->own, index)));
    }
}

//  A worker that runs has the devices of its row. Its letters are small ones, those of a device are the
//  vendor's.
static void s_note_worker (const gather_t *gather, const char *node, const json_t *uuid,
                           json_t *worker)
{
    size_t index;
    json_t *row;
    if (!*json_string_value (uuid))
        return;
    json_array_foreach (gather->rows, index, row)
    {
        if (strcmp (json_string_value (json_object_get (row, "node")), node) == 0
            && strcasecmp (json_string_value (json_object_get (row, "id")),
                           json_string_value (uuid))
                   == 0)
            json_array_append (json_object_get (row, "workers"), worker);
    }
}

//  Nodes without workers refuse, which is fine
static void s_on_workers (void *arg, size_t number, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    const char *node = s_node (gather, number);
    size_t uids = 0, devices = 0, parts = 0, at = 0;
    if (status < 0 || answer->type != UMBP_MSG_workers_ok)
        return;
    const umbp_msg_workers_ok_t *ok = &answer->workers_ok;
    for (size_t index = 0; index < ok->uids.count; index++) {
        json_t *worker = s_text (&ok->uids, index, &uids);
        size_t end = at + umbp_u8s_at (ok->device_counts, index);
        for (; at < end && at < ok->devices.count; at++) {
            json_t *device = s_text (&ok->devices, at, &devices);
            json_t *part = s_text (&ok->partitions, at, &parts);
            if (umbp_u8s_at (ok->states, index) == RUNNING) {
                s_note_worker (gather, node, device, worker);
                s_note_worker (gather, node, part, worker);
            }
            json_decref (device);
            json_decref (part);
        }
        json_decref (worker);
    }
}

//  "w-1 w-2 ..."
static void s_show_workers (json_t *row)
{
    char text[64] = "";
    size_t index;
    json_t *worker, *all = json_object_get (row, "workers");
    json_array_foreach (all, index, worker)
    {
        size_t used = strlen (text);
        const char *uid = json_string_value (worker);
        if (used + strlen (uid) + 6 > sizeof text) {
            snprintf (text + used, sizeof text - used, " ...");
            break;
        }
        snprintf (text + used, sizeof text - used, "%s%s", used ? " " : "", uid);
    }
    json_object_set_new (row, "uids", json_string (text));
}

//  Of a partition only its driver knows more
static void s_show_partition (json_t *row)
{
    char text[128];
    const char *parent = json_string_value (json_object_get (row, "parent"));
    if (!*parent)
        return;
    snprintf (text, sizeof text, "part of %.100s", parent);
    json_object_set_new (row, "model", json_string (text));
    json_object_del (row, "memory_bytes");
}

//  "4242 (8.0 GiB), ..." would be long: the pids alone
static void s_show_processes (json_t *row)
{
    char text[64];
    size_t used = 0, index;
    json_t *process, *all = json_object_get (row, "processes");
    text[0] = 0;
    json_array_foreach (all, index, process)
    {
        if (used + 24 >= sizeof text) {
            snprintf (text + used, sizeof text - used, " ...");
            break;
        }
        used += (size_t) snprintf (text + used, sizeof text - used, "%s%" JSON_INTEGER_FORMAT,
                                   used ? " " : "",
                                   json_integer_value (json_object_get (process, "pid")));
    }
    json_object_set_new (row, "pids", json_string (text));
}

static void s_show (const umbp_console_t *self, const gather_t *gather)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT },          { "ID", "id", UMBP_VIEW_TEXT },
        { "VENDOR", "vendor", UMBP_VIEW_TEXT },      { "MODEL", "model", UMBP_VIEW_TEXT },
        { "MEMORY", "memory_bytes", UMBP_VIEW_BYTES }, { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "USE", "used_percent", UMBP_VIEW_PERCENT }, { "BUSY", "busy_percent", UMBP_VIEW_PERCENT },
        { "HEALTH", "health", UMBP_VIEW_STATE }, { "FOR", "since_ms", UMBP_VIEW_MS },
        { "STALE", "stale", UMBP_VIEW_BOOL },    { "WORKERS", "uids", UMBP_VIEW_TEXT },
        { "PROCESSES", "pids", UMBP_VIEW_TEXT },
    };
    size_t index;
    json_t *row;
    json_array_foreach (gather->rows, index, row)
    {
        s_show_processes (row);
        s_show_workers (row);
        s_show_partition (row);
    }
    if (json_array_size (gather->rows))
        umbp_view_table (stdout, gather->rows, columns, sizeof columns / sizeof *columns,
                         self->colour);
    json_array_foreach (gather->libraries, index, row)
    {
        const char *state = json_string_value (json_object_get (row, "state"));
        if (strcmp (state, "ok") != 0)
            printf ("%s: %s: %s\n", json_string_value (json_object_get (row, "node")), state,
                    json_string_value (json_object_get (row, "reason")));
    }
    if (gather->silent)
        printf ("%" PRIu64 " nodes did not answer\n", gather->silent);
}

//  Four questions to each of the nodes
static void s_ask (umbp_console_t *self, gather_t *gather, size_t count)
{
    static const struct {
        umbp_msg_type_t type;
        umbp_talk_fn *fn;
        const char *actor;
    } asks[] = { { UMBP_MSG_devices, s_on_devices, "device" },
                 { UMBP_MSG_device_metrics, s_on_metrics, "device" },
                 { UMBP_MSG_device_processes, s_on_processes, "device" },
                 { UMBP_MSG_workers, s_on_workers, "worker" } };
    char (*texts)[UMBP_NAME_MAX + 16] = calloc (count, sizeof *texts);
    const char **addresses = calloc (count, sizeof *addresses);
    for (size_t ask = 0; texts && addresses && ask < sizeof asks / sizeof *asks; ask++) {
        umbp_msg_t question;
        for (size_t index = 0; index < count; index++) {
            snprintf (texts[index], sizeof *texts, "%s@%s", asks[ask].actor,
                      s_node (gather, index));
            addresses[index] = texts[index];
        }
        umbp_msg_init (&question, asks[ask].type, 0);
        umbp_talk_ask_each (self->talk, addresses, count, &question, asks[ask].fn, gather);
    }
    free (addresses);
    free (texts);
}

int umbp_console_devices (umbp_console_t *self, int argc, char **argv)
{
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    gather_t gather = { .rows = json_array (), .libraries = json_array (), .topology = topology };
    size_t count = umbp_topology_count (topology), number = 0;
    if (argc) {
        while (number < count
               && strcmp (umbp_topology_member (topology, number)->node, argv[0]) != 0)
            number++;
        gather.numbers = &number;
    }
    if (argc && number == count)
        end = umbp_console_fail (self, UMBP_ENOENT, "devices", "no member of that name; see nodes");
    else {
        s_ask (self, &gather, argc ? 1 : count);
        json_t *doc =
            json_pack ("{s:O, s:O, s:o}", "devices", gather.rows, "libraries", gather.libraries,
                       "nodes_silent", umbp_view_number (gather.silent));
        if (!umbp_console_json (self, doc))
            s_show (self, &gather);
        json_decref (doc);
        end = UMBP_CONSOLE_OK;
    }
    json_decref (gather.rows);
    json_decref (gather.libraries);
    umbp_topology_destroy (&topology);
    return end;
}
