//  bin/console_cluster.c - status, nodes and ring: the cluster as a whole
#include "bin/console_cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "bin/units.h"

#define STATUS_ROWS 16                  //  Members that status shows: it is to fit one screen
#define BAR_CELLS 20                    //  Of the bar of the whole cluster
#define ADDRESS_ROOM (2 * UMBP_NAME_MAX + 2)

//  ------------------------------------------------------------------------------------------------
//  Members

const char *umbp_cluster_state (const umbp_member_t *member)
{
    if (member->draining && member->state == UMBP_MEMBER_ALIVE)
        return member->in_ring ? "draining" : "drained";
    return member->state == UMBP_MEMBER_ALIVE ? "alive"
           : member->state == UMBP_MEMBER_SUSPECT ? "suspect"
                                                  : "unknown";
}

static umbp_tier_room_t s_sum_tiers (const umbp_member_t *member)
{
    umbp_tier_room_t sum = { 0, 0, 0 };
    for (unsigned tier = 0; tier < UMBP_TIERS; tier++) {
        sum.total += member->tiers[tier].total;
        sum.used += member->tiers[tier].used;
        sum.blocks += member->tiers[tier].blocks;
    }
    return sum;
}

static json_t *s_text (const char *text)
{
    return umbp_view_text (text, strlen (text));
}

//  64 bits that mean no quantity, and that many readers of JSON would round
static json_t *s_hex (uint64_t value)
{
    char text[20];
    snprintf (text, sizeof text, "%016" PRIx64, value);
    return json_string (text);
}

void umbp_cluster_add_room (json_t *row, const umbp_tier_room_t *room)
{
    json_object_set_new (row, "used_bytes", umbp_view_number (room->used));
    json_object_set_new (row, "total_bytes", umbp_view_number (room->total));
    json_object_set_new (row, "used_percent",
                         json_real (umbp_view_percent (room->used, room->total)));
    json_object_set_new (row, "blocks", umbp_view_number (room->blocks));
}

static json_t *s_member (const umbp_member_t *member)
{
    umbp_tier_room_t room = s_sum_tiers (member);
    json_t *row = json_object ();
    json_object_set_new (row, "node", s_text (member->node));
    json_object_set_new (row, "state", json_string (umbp_cluster_state (member)));
    json_object_set_new (row, "in_ring", json_boolean (member->in_ring));
    json_object_set_new (row, "silent_ms", umbp_view_number (member->silent_ms));
    json_object_set_new (row, "load_percent", json_real (member->load / 10.0));
    umbp_cluster_add_room (row, &room);
    json_object_set_new (row, "endpoint", s_text (member->endpoint));
    json_object_set_new (row, "bulk", s_text (member->bulk));
    json_object_set_new (row, "host", s_text (member->host));
    json_object_set_new (row, "epoch", umbp_view_number (member->epoch));
    return row;
}

static json_t *s_members (const umbp_topology_t *topology)
{
    json_t *rows = json_array ();
    for (size_t index = 0; index < umbp_topology_count (topology); index++)
        json_array_append_new (rows, s_member (umbp_topology_member (topology, index)));
    return rows;
}

int umbp_console_nodes (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_STATE },
        { "RING", "in_ring", UMBP_VIEW_BOOL }, { "SILENT", "silent_ms", UMBP_VIEW_MS },
        { "LOAD", "load_percent", UMBP_VIEW_PERCENT }, { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "TOTAL", "total_bytes", UMBP_VIEW_BYTES }, { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "ENDPOINT", "endpoint", UMBP_VIEW_TEXT }, { "BULK", "bulk", UMBP_VIEW_TEXT },
    };
    (void) argc;
    (void) argv;
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    json_t *doc = json_pack ("{s:o}", "nodes", s_members (topology));
    if (!umbp_console_json (self, doc))
        umbp_view_table (stdout, json_object_get (doc, "nodes"), columns,
                         sizeof columns / sizeof *columns, self->colour);
    json_decref (doc);
    umbp_topology_destroy (&topology);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  The ring

//  How many virtual nodes each member has
static void s_count_vnodes (const umbp_topology_t *topology, size_t *counts)
{
    const umbp_ring_t *ring = umbp_topology_ring (topology);
    uint64_t hash;
    uint16_t member;
    for (size_t index = 0; umbp_ring_vnode (ring, index, &hash, &member) == 0; index++)
        counts[member]++;
}

static json_t *s_shares (const umbp_topology_t *topology)
{
    size_t counts[UMBP_NODES_MAX] = { 0 };
    s_count_vnodes (topology, counts);
    json_t *rows = json_array ();
    for (size_t index = 0; index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        double share = umbp_ring_share (umbp_topology_ring (topology), (uint16_t) index);
        json_array_append_new (
            rows, json_pack ("{s:o, s:s, s:b, s:o, s:f}", "node", s_text (member->node), "state",
                             umbp_cluster_state (member), "in_ring", member->in_ring, "vnodes",
                             umbp_view_number (counts[index]), "share_percent", 100 * share));
    }
    return rows;
}

static int s_ring_key (umbp_console_t *self, const umbp_topology_t *topology, const char *text)
{
    static const umbp_view_column_t columns[] = {
        { "OWNER", "owner", UMBP_VIEW_COUNT }, { "NODE", "node", UMBP_VIEW_TEXT },
        { "STATE", "state", UMBP_VIEW_STATE },
    };
    uint8_t key[UMBP_KEY_MAX];
    size_t size = umbp_console_key (self, text, key, sizeof key);
    if (!size)
        return UMBP_CONSOLE_USAGE;
    uint16_t owners[UMBP_COPIES_MAX];
    uint64_t position = umbp_ring_position (umbp_topology_ring (topology), key, size);
    size_t count = umbp_topology_owners (topology, position, owners);
    json_t *rows = json_array ();
    for (size_t index = 0; index < count; index++) {
        const umbp_member_t *member = umbp_topology_member (topology, owners[index]);
        json_array_append_new (rows, json_pack ("{s:I, s:o, s:s}", "owner", (json_int_t) index + 1,
                                                "node", s_text (member->node), "state",
                                                umbp_cluster_state (member)));
    }
    json_t *doc = json_pack ("{s:o, s:o, s:f, s:o}", "key", umbp_view_text (key, size), "position",
                             s_hex (position), "position_percent",
                             100 * ((double) position / 0x1p64), "owners", rows);
    if (!umbp_console_json (self, doc)) {
        printf ("%s is at %s, %.1f %% of the way round\n",
                json_string_value (json_object_get (doc, "key")),
                json_string_value (json_object_get (doc, "position")),
                json_real_value (json_object_get (doc, "position_percent")));
        umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

int umbp_console_ring (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_STATE },
        { "VNODES", "vnodes", UMBP_VIEW_COUNT }, { "SHARE", "share_percent", UMBP_VIEW_PERCENT },
        { "", "share_percent", UMBP_VIEW_BAR },
    };
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    if (argc)
        end = s_ring_key (self, topology, argv[0]);
    else {
        json_t *rows = s_shares (topology);
        json_t *doc =
            json_pack ("{s:o, s:i, s:o}", "topo_epoch", s_hex (umbp_topology_epoch (topology)),
                       "copies", (int) umbp_topology_copies (topology), "nodes", rows);
        if (!umbp_console_json (self, doc))
            umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
        json_decref (doc);
    }
    umbp_topology_destroy (&topology);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  The whole

typedef struct {
    json_t *rows;
    const umbp_cluster_counter_t *counters;          //  Which; ends with a NULL
    bool optional;                      //  Nodes of older versions have no such actor
} gather_t;

static void s_gather (void *arg, size_t index, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    json_t *row = json_array_get (gather->rows, index);
    if (status < 0) {
        if (!gather->optional)
            json_object_set_new (row, "silent", json_true ());
        return;
    }
    size_t offset = 0;
    for (size_t at = 0; at < answer->stat_ok.names.count; at++) {
        umbp_bytes_t name = umbp_column_next (&answer->stat_ok.names, at, &offset);
        umbp_text_t text = { (const char *) name.data, name.size };
        for (const umbp_cluster_counter_t *want = gather->counters; want->name; want++)
            if (umbp_text_is (text, want->name))
                json_object_set_new (row, want->member,
                                     umbp_view_number (umbp_u64s_at (answer->stat_ok.values, at)));
    }
}

static void s_gather_some (umbp_console_t *self, json_t *rows, const char *actor,
                           const umbp_cluster_counter_t *counters, bool optional)
{
    size_t count = json_array_size (rows);
    char (*texts)[ADDRESS_ROOM] = calloc (count, sizeof *texts);
    const char **addresses = calloc (count, sizeof *addresses);
    gather_t gather = { rows, counters, optional };
    for (size_t index = 0; texts && addresses && index < count; index++) {
        const json_t *row = json_array_get (rows, index);
        const json_t *own = json_object_get (row, "actor");
        snprintf (texts[index], sizeof *texts, "%s@%s", own ? json_string_value (own) : actor,
                  json_string_value (json_object_get (row, "node")));
        addresses[index] = texts[index];
    }
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_stat, 0);
    if (texts && addresses)
        umbp_talk_ask_each (self->talk, addresses, count, &question, s_gather, &gather);
    free (addresses);
    free (texts);
}

void umbp_cluster_gather (umbp_console_t *self, json_t *rows, const char *actor,
                          const umbp_cluster_counter_t *counters)
{
    s_gather_some (self, rows, actor, counters, false);
}

static uint64_t s_sum (const json_t *rows, const char *member)
{
    uint64_t sum = 0;
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) sum +=
        (uint64_t) json_integer_value (json_object_get (row, member));
    return sum;
}

static size_t s_count_alive (const umbp_topology_t *topology)
{
    size_t alive = 0;
    for (size_t index = 0; index < umbp_topology_count (topology); index++)
        alive += umbp_topology_member (topology, index)->state == UMBP_MEMBER_ALIVE;
    return alive;
}

static json_t *s_totals (const umbp_console_t *self, const umbp_topology_t *topology, json_t *rows)
{
    const umbp_member_t *us = umbp_topology_member (topology, umbp_topology_self (topology));
    size_t count = umbp_topology_count (topology), alive = s_count_alive (topology);
    size_t vnodes = umbp_ring_vnode_count (umbp_topology_ring (topology));
    umbp_tier_room_t room = { s_sum (rows, "total_bytes"), s_sum (rows, "used_bytes"),
                              s_sum (rows, "blocks") };
    char summary[256];
    snprintf (summary, sizeof summary, "cluster[nodes=%zu healthy=%zu vnodes=%zu self=%s]", count,
              alive, vnodes, us->node);
    json_t *doc = json_object ();
    json_object_set_new (doc, "summary", s_text (summary));
    json_object_set_new (doc, "cluster", s_text (umbp_talk_cluster (self->talk)));
    json_object_set_new (doc, "self", s_text (us->node));
    json_object_set_new (doc, "topo_epoch", s_hex (umbp_topology_epoch (topology)));
    json_object_set_new (doc, "nodes", umbp_view_number (count));
    json_object_set_new (doc, "alive", umbp_view_number (alive));
    json_object_set_new (doc, "suspect", umbp_view_number (count - alive));
    json_object_set_new (doc, "vnodes", umbp_view_number (vnodes));
    json_object_set_new (doc, "copies", umbp_view_number (umbp_topology_copies (topology)));
    umbp_cluster_add_room (doc, &room);
    json_object_set_new (doc, "index_entries", umbp_view_number (s_sum (rows, "index_entries")));
    json_object_set_new (doc, "index_bytes", umbp_view_number (s_sum (rows, "index_bytes")));
    json_object_set_new (doc, "members", rows);
    return doc;
}

json_t *umbp_cluster_document (umbp_console_t *self, int *end)
{
    static const umbp_cluster_counter_t of_index[] = {
        { "entries", "index_entries" }, { "memory_bytes", "index_bytes" }, { NULL, NULL },
    };
    static const umbp_cluster_counter_t of_router[] = {
        { "puts", "puts" }, { "gets", "gets" }, { "exists", "exists" }, { NULL, NULL },
    };
    static const umbp_cluster_counter_t of_pressure[] = { { "level", "pressure" }, { NULL, NULL } };
    umbp_topology_t *topology = umbp_console_topology (self, end);
    if (!topology)
        return NULL;
    json_t *rows = s_members (topology);
    umbp_cluster_gather (self, rows, "index", of_index);
    umbp_cluster_gather (self, rows, "router", of_router);
    s_gather_some (self, rows, "pressure", of_pressure, true);
    json_t *doc = s_totals (self, topology, rows);
    json_object_set_new (doc, "tiers", umbp_cluster_tiers (self, topology));
    umbp_topology_destroy (&topology);
    return doc;
}

static double s_rate (const json_t *row, const json_t *before, const char *member, double seconds)
{
    const json_t *old = json_object_get (before, member);
    json_int_t more = json_integer_value (json_object_get (row, member)) - json_integer_value (old);
    return old && more > 0 ? (double) more / seconds : 0;
}

void umbp_cluster_rates (json_t *doc, const json_t *earlier, double seconds)
{
    static const char *const members[][2] = {
        { "puts", "puts_per_s" }, { "gets", "gets_per_s" }, { "exists", "exists_per_s" },
    };
    size_t index, other;
    json_t *row, *old;
    umbp_cluster_tier_rates (doc, earlier, seconds);
    json_array_foreach (json_object_get (doc, "members"), index, row)
    {
        const json_t *before = NULL;
        json_array_foreach (
            json_object_get (earlier, "members"), other,
            old) if (json_equal (json_object_get (row, "node"), json_object_get (old, "node"))
                     && json_equal (json_object_get (row, "epoch"), json_object_get (old, "epoch")))
            before = old;
        for (size_t at = 0; at < sizeof members / sizeof *members; at++) {
            double rate = s_rate (row, before, members[at][0], seconds);
            json_object_set_new (row, members[at][1], umbp_view_number ((uint64_t) (rate + 0.5)));
        }
    }
}

//  ------------------------------------------------------------------------------------------------
//  The whole, for people

static uint64_t s_int (const json_t *doc, const char *member)
{
    return (uint64_t) json_integer_value (json_object_get (doc, member));
}

//  One line of totals under its name
static void s_line (const umbp_console_t *self, FILE *out, const char *name, const char *text, ...)
    __attribute__ ((format (printf, 4, 5)));

static void s_line (const umbp_console_t *self, FILE *out, const char *name, const char *text, ...)
{
    fprintf (out, "%s%-10s%s", umbp_view_paint ("dim", self->colour), name,
             umbp_view_plain (self->colour));
    va_list args;
    va_start (args, text);
    vfprintf (out, text, args);
    va_end (args);
    fputc ('\n', out);
}

static void s_show_totals (const umbp_console_t *self, FILE *out, const json_t *doc)
{
    char one[UMBP_UNITS_ROOM], two[UMBP_UNITS_ROOM], bar[3 * BAR_CELLS + 1];
    const char *plain = umbp_view_plain (self->colour);
    uint64_t suspect = s_int (doc, "suspect");
    double percent = json_number_value (json_object_get (doc, "used_percent"));
    fprintf (out, "%s%s%s\n\n", umbp_view_paint ("title", self->colour),
             json_string_value (json_object_get (doc, "summary")), plain);
    s_line (self, out, "cluster", "%s, topology %s, %" PRIu64 " copies of each index entry",
            json_string_value (json_object_get (doc, "cluster")),
            json_string_value (json_object_get (doc, "topo_epoch")), s_int (doc, "copies"));
    s_line (self, out, "members", "%s%" PRIu64 " alive%s, %s%" PRIu64 " suspect%s",
            umbp_view_paint ("alive", self->colour), s_int (doc, "alive"), plain,
            suspect ? umbp_view_paint ("suspect", self->colour) : "", suspect,
            suspect ? plain : "");
    s_line (self, out, "capacity", "%s %s of %s used (%.1f %%)",
            umbp_view_bar (percent, BAR_CELLS, bar),
            umbp_units_show_bytes (s_int (doc, "used_bytes"), one),
            umbp_units_show_bytes (s_int (doc, "total_bytes"), two), percent);
    s_line (self, out, "blocks", "%s", umbp_units_show_count (s_int (doc, "blocks"), one));
    s_line (self, out, "index", "%s entries in %s\n",
            umbp_units_show_count (s_int (doc, "index_entries"), one),
            umbp_units_show_bytes (s_int (doc, "index_bytes"), two));
}

void umbp_cluster_show (const umbp_console_t *self, FILE *out, const json_t *doc, size_t rows)
{
    //  Where there are rates they come first: a narrow terminal shows them, and cuts off others
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_STATE },
        { "SILENT", "silent_ms", UMBP_VIEW_MS }, { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "TOTAL", "total_bytes", UMBP_VIEW_BYTES }, { "FULL", "used_percent", UMBP_VIEW_PERCENT },
        { "", "used_percent", UMBP_VIEW_BAR }, { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "INDEX", "index_entries", UMBP_VIEW_COUNT },
        { "PRESSURE", "pressure", UMBP_VIEW_COUNT },
    };
    static const umbp_view_column_t live[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_STATE },
        { "PUT/S", "puts_per_s", UMBP_VIEW_COUNT }, { "GET/S", "gets_per_s", UMBP_VIEW_COUNT },
        { "EXISTS/S", "exists_per_s", UMBP_VIEW_COUNT }, { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "TOTAL", "total_bytes", UMBP_VIEW_BYTES }, { "FULL", "used_percent", UMBP_VIEW_PERCENT },
        { "", "used_percent", UMBP_VIEW_BAR }, { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "INDEX", "index_entries", UMBP_VIEW_COUNT }, { "SILENT", "silent_ms", UMBP_VIEW_MS },
        { "PRESSURE", "pressure", UMBP_VIEW_COUNT },
    };
    const json_t *members = json_object_get (doc, "members");
    bool rates = json_object_get (json_array_get (members, 0), "puts_per_s") != NULL;
    size_t all = json_array_size (members), shown = all < rows ? all : rows;
    json_t *first = json_array ();
    for (size_t index = 0; index < shown; index++)
        json_array_append (first, json_array_get (members, index));
    s_show_totals (self, out, doc);
    umbp_view_table (out, first, rates ? live : columns,
                     rates ? sizeof live / sizeof *live : sizeof columns / sizeof *columns,
                     self->colour);
    if (shown < all)
        fprintf (out, "and %zu more: see nodes\n", all - shown);
    umbp_cluster_show_tiers (self, out, doc, rows > shown + 3 ? rows - shown - 3 : 0);
    json_decref (first);
}

int umbp_console_status (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    int end;
    json_t *doc = umbp_cluster_document (self, &end);
    if (doc && !umbp_console_json (self, doc))
        umbp_cluster_show (self, stdout, doc, STATUS_ROWS);
    json_decref (doc);
    return end;
}
