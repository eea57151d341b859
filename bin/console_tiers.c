//  bin/console_tiers.c - tiers: what each tier of each node holds, how it is, and what moves between them
#include "bin/console_cluster.h"

#include <string.h>

#include "proto/error.h"

//  ------------------------------------------------------------------------------------------------
//  Rows

//  What a tier is like, in a word or two. Rests of the member's own state come first.
static const char *s_word (const json_t *row, const umbp_member_t *member)
{
    const json_t *disk = json_object_get (row, "disk_state");
    if (member->state != UMBP_MEMBER_ALIVE || member->draining)
        return umbp_cluster_state (member);
    if (json_object_get (row, "silent"))
        return "silent";
    const char *fine = json_integer_value (json_object_get (row, "storm")) ? "storm" : "fine";
    if (!disk)
        return fine;
    const char *tier = json_string_value (json_object_get (row, "tier"));
    if (tier && strcmp (tier, "hbm") == 0)
        switch (-json_integer_value (disk)) {
        case 0: return fine;
        case UMBP_ETIMEDOUT: return "device hangs";
        default: return "device failed";
        }
    bool shared = tier && strcmp (tier, "shared") == 0;
    switch (-json_integer_value (disk)) {
    case 0:
        if (json_integer_value (json_object_get (row, "disk_stuck")))
            return shared ? "slow" : "disk slow";
        return fine;
    case UMBP_ENOSPC: return shared ? "full" : "disk full";
    case UMBP_EDENIED: return "read-only";
    case UMBP_ETIMEDOUT: return "hangs";
    default: return shared ? "failed" : "disk failed";
    }
}

static json_t *s_row (const umbp_member_t *member, unsigned tier)
{
    char actor[UMBP_NAME_MAX + 1];
    json_t *row = json_object ();
    snprintf (actor, sizeof actor, "tier:%s", umbp_console_tier_name (tier));
    json_object_set_new (row, "node", umbp_view_text (member->node, strlen (member->node)));
    json_object_set_new (row, "tier", json_string (umbp_console_tier_name (tier)));
    json_object_set_new (row, "actor", json_string (actor));
    json_object_set_new (row, "epoch", umbp_view_number (member->epoch));
    umbp_cluster_add_room (row, &member->tiers[tier]);
    return row;
}

json_t *umbp_cluster_tiers (umbp_console_t *self, const umbp_topology_t *topology)
{
    static const umbp_cluster_counter_t counters[] = {
        { "hits", "hits" },           { "misses", "misses" },
        { "hit_bytes", "hit_bytes" }, { "demoted", "moved_down" },
        { "promoted", "moved_up" },   { "demoted_bytes", "moved_down_bytes" },
        { "promoted_bytes", "moved_up_bytes" }, { "evicted", "evicted" },
        { "evicted_without_copy", "evicted_without_copy" },
        { "storm", "storm" }, { "disk_state", "disk_state" }, { "disk_stuck", "disk_stuck" },
        { "down_rate", "down_rate" }, { "up_rate", "up_rate" },
        { "migration_share", "migration_share" }, { NULL, NULL },
    };
    json_t *rows = json_array ();
    size_t whose[UMBP_NODES_MAX * UMBP_TIERS], count = 0;
    for (size_t index = 0; index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        for (unsigned tier = 0; tier < UMBP_TIERS; tier++)
            if (member->tiers[tier].total) {
                json_array_append_new (rows, s_row (member, tier));
                whose[count++] = index;
            }
    }
    umbp_cluster_gather (self, rows, "", counters);
    for (size_t index = 0; index < count; index++) {
        json_t *row = json_array_get (rows, index);
        json_object_set_new (
            row, "state",
            json_string (s_word (row, umbp_topology_member (topology, whose[index]))));
    }
    return rows;
}

//  What the shared tiers rest on, in a line for each
static json_t *s_shelves (umbp_console_t *self, json_t *rows)
{
    json_t *shelves = json_array (), *row;
    size_t at;
    json_array_foreach (rows, at, row)
    {
        const char *node = json_string_value (json_object_get (row, "node"));
        if (strcmp (json_string_value (json_object_get (row, "tier")), "shared") != 0
            || json_object_get (row, "silent"))
            continue;
        char address[UMBP_TEXT_MAX];
        snprintf (address, sizeof address, "tier:shared@%.64s", node);
        umbp_msg_t question;
        umbp_msg_init (&question, UMBP_MSG_shelf, 0);
        int end;
        const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "shelf", &end);
        if (!answer)
            continue;
        const umbp_msg_shelf_ok_t *ok = &answer->shelf_ok;
        json_t *others = json_array ();
        size_t offset = 0;
        for (size_t index = 0; index < ok->nodes.count && index < ok->states.count; index++) {
            umbp_bytes_t name = umbp_column_next (&ok->nodes, index, &offset);
            if (umbp_u8s_at (ok->states, index) == 2)
                json_array_append_new (others, umbp_view_text (name.data, name.size));
        }
        json_array_append_new (shelves, json_pack ("{s:s, s:o, s:o, s:o}", "node", node, "mount",
                                                   umbp_view_text (ok->mount.data, ok->mount.size),
                                                   "hanging", umbp_view_number (ok->hanging),
                                                   "serves", others));
    }
    return shelves;
}

static void s_show_shelves (const json_t *shelves)
{
    size_t at, index;
    json_t *shelf, *other;
    json_array_foreach ((json_t *) shelves, at, shelf)
    {
        printf ("%s%s: %s", at ? "" : "\n", json_string_value (json_object_get (shelf, "node")),
                json_string_value (json_object_get (shelf, "mount")));
        json_int_t hanging = json_integer_value (json_object_get (shelf, "hanging"));
        if (hanging > 0)
            printf ("; %" JSON_INTEGER_FORMAT " calls hang", hanging);
        json_array_foreach (json_object_get (shelf, "serves"), index, other) printf (
            "%s%s", index ? ", " : "; serves also what was written by ", json_string_value (other));
        putchar ('\n');
    }
}

int umbp_console_tiers (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT },
        { "TIER", "tier", UMBP_VIEW_TEXT },
        { "STATE", "state", UMBP_VIEW_STATE },
        { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "TOTAL", "total_bytes", UMBP_VIEW_BYTES },
        { "FULL", "used_percent", UMBP_VIEW_PERCENT },
        { "", "used_percent", UMBP_VIEW_BAR },
        { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "HITS", "hits", UMBP_VIEW_COUNT },
        { "DOWN", "moved_down_bytes", UMBP_VIEW_BYTES },
        { "UP", "moved_up_bytes", UMBP_VIEW_BYTES },
        { "UNSAVED", "evicted_without_copy", UMBP_VIEW_COUNT },
    };
    (void) argc;
    (void) argv;
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    json_t *rows = umbp_cluster_tiers (self, topology);
    json_t *shelves = s_shelves (self, rows);
    json_t *doc = json_pack ("{s:o, s:o}", "tiers", rows, "shelves", shelves);
    if (!umbp_console_json (self, doc)) {
        umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
        s_show_shelves (shelves);
    }
    json_decref (doc);
    umbp_topology_destroy (&topology);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  Rates

static json_int_t s_more (const json_t *row, const json_t *before, const char *member)
{
    json_int_t more = json_integer_value (json_object_get (row, member))
                      - json_integer_value (json_object_get (before, member));
    return before && more > 0 ? more : 0;
}

//  The row of the same tier of the same incarnation
static const json_t *s_before (const json_t *earlier, const json_t *row)
{
    static const char *const same[] = { "node", "tier", "epoch" };
    size_t index;
    const json_t *old;
    json_array_foreach (json_object_get (earlier, "tiers"), index, old)
    {
        size_t at = 0;
        while (at < 3
               && json_equal (json_object_get (row, same[at]), json_object_get (old, same[at])))
            at++;
        if (at == 3)
            return old;
    }
    return NULL;
}

//  Bytes a second that moves may use now which nothing presses; nothing where there is no such way, or no bound
static void s_add_budget (json_t *row, const char *rate, const char *member)
{
    json_int_t bytes = json_integer_value (json_object_get (row, rate)),
               share = json_integer_value (json_object_get (row, "migration_share"));
    if (bytes > 0)
        json_object_set_new (row, member,
                             umbp_view_number ((uint64_t) bytes / 1000 * (uint64_t) share));
}

void umbp_cluster_tier_rates (json_t *doc, const json_t *earlier, double seconds)
{
    static const char *const members[][2] = {
        { "hits", "hits_per_s" },
        { "moved_down", "moved_down_per_s" },
        { "moved_up", "moved_up_per_s" },
        { "moved_down_bytes", "moved_down_bytes_per_s" },
        { "moved_up_bytes", "moved_up_bytes_per_s" },
    };
    json_int_t all = 0;
    size_t index;
    json_t *row;
    json_array_foreach (json_object_get (doc, "tiers"), index, row) all +=
        s_more (row, s_before (earlier, row), "hits");
    json_array_foreach (json_object_get (doc, "tiers"), index, row)
    {
        const json_t *before = s_before (earlier, row);
        for (size_t at = 0; at < sizeof members / sizeof *members; at++) {
            double rate = (double) s_more (row, before, members[at][0]) / seconds;
            json_object_set_new (row, members[at][1], umbp_view_number ((uint64_t) (rate + 0.5)));
        }
        s_add_budget (row, "down_rate", "budget_down_bytes");
        s_add_budget (row, "up_rate", "budget_up_bytes");
        uint64_t hits = (uint64_t) s_more (row, before, "hits");
        json_object_set_new (row, "hits_percent",
                             json_real (umbp_view_percent (hits, (uint64_t) all)));
    }
}

void umbp_cluster_show_tiers (const umbp_console_t *self, FILE *out, const json_t *doc, size_t rows)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT },
        { "TIER", "tier", UMBP_VIEW_TEXT },
        { "STATE", "state", UMBP_VIEW_STATE },
        { "HIT/S", "hits_per_s", UMBP_VIEW_COUNT },
        { "SHARE", "hits_percent", UMBP_VIEW_PERCENT },
        { "DOWN/S", "moved_down_bytes_per_s", UMBP_VIEW_BYTES },
        { "BUDGET", "budget_down_bytes", UMBP_VIEW_BYTES },
        { "UP/S", "moved_up_bytes_per_s", UMBP_VIEW_BYTES },
        { "BUDGET", "budget_up_bytes", UMBP_VIEW_BYTES },
    };
    const json_t *tiers = json_object_get (doc, "tiers");
    size_t all = json_array_size (tiers), shown = all < rows ? all : rows;
    bool rates = json_object_get (json_array_get (tiers, 0), "hits_per_s") != NULL;
    if (!rates || shown == 0 || all <= json_array_size (json_object_get (doc, "members")))
        return;
    json_t *first = json_array ();
    for (size_t index = 0; index < shown; index++)
        json_array_append (first, json_array_get (tiers, index));
    fputc ('\n', out);
    umbp_view_table (out, first, columns, sizeof columns / sizeof *columns, self->colour);
    if (shown < all)
        fprintf (out, "and %zu more: see tiers\n", all - shown);
    json_decref (first);
}
