//  bin/console_moves.c - moves: what is under way on each edge between two tiers of each node, of what kind, and how much
//  more could be
#include "bin/console_cluster.h"

#include <string.h>

//  What the two ways of a tier count. The members of a row are the same.
typedef struct {
    const char *open, *flying, *bytes, *done, *done_bytes, *failed, *rate, *pressed, *idle;
} way_t;

static const way_t s_down = { "demotions_open",   "demoting_blocks",   "demoting_bytes",
                              "demoted",          "demoted_bytes",     "demotions_failed",
                              "down_rate",        "demotions_pressed", "idle_open" };
static const way_t s_up = { "promotions_open",
                            "promoting_blocks",
                            "promoting_bytes",
                            "promoted",
                            "promoted_bytes",
                            "promotions_failed",
                            "up_rate",
                            NULL,
                            NULL };

static json_int_t s_value (const json_t *row, const char *name)
{
    return name ? json_integer_value (json_object_get (row, name)) : 0;
}

//  In a word what goes on
static const char *s_word (const json_t *row, const way_t *way)
{
    if (s_value (row, "storm"))
        return "storm";
    if (s_value (row, "migration_share") < 1000)
        return "slowed";                //  Readers go first
    return s_value (row, way->open) || s_value (row, way->idle) ? "moving" : "quiet";
}

//  The tier of a member to which blocks of one go; 0: there is none. What is read below memory comes to memory.
static unsigned s_next (const umbp_member_t *member, unsigned tier, bool up)
{
    unsigned above = tier > UMBP_TIER_DRAM ? UMBP_TIER_DRAM : UMBP_TIER_HBM;
    if (up)
        return above < tier && member->tiers[above].total ? above : 0;
    while (++tier < UMBP_TIERS)
        if (member->tiers[tier].total)
            return tier;
    return 0;
}

static void s_add_edge (json_t *edges, const json_t *row, const umbp_member_t *member,
                        unsigned tier, const way_t *way)
{
    unsigned other = s_next (member, tier, way == &s_up);
    if (!other || !json_object_get (row, way->open))
        return;
    json_int_t open = s_value (row, way->open), pressed = s_value (row, way->pressed);
    char edge[64];
    snprintf (edge, sizeof edge, "%s > %s", umbp_console_tier_name (tier),
              umbp_console_tier_name (other));
    json_t *out = json_object ();
    json_object_set (out, "node", json_object_get (row, "node"));
    json_object_set_new (out, "edge", json_string (edge));
    json_object_set_new (out, "state", json_string (s_word (row, way)));
    json_object_set_new (out, "storm", json_boolean (s_value (row, "storm")));
    json_object_set_new (out, "pressed", json_integer (pressed));
    json_object_set_new (out, "asked", json_integer (open > pressed ? open - pressed : 0));
    json_object_set_new (out, "idle", json_integer (s_value (row, way->idle)));
    json_object_set_new (out, "flying_blocks", json_integer (s_value (row, way->flying)));
    json_object_set_new (out, "flying_bytes", json_integer (s_value (row, way->bytes)));
    json_object_set_new (out, "rate_bytes", json_integer (s_value (row, way->rate)));
    json_object_set_new (out, "share_percent",
                         json_real ((double) s_value (row, "migration_share") / 10));
    json_object_set_new (out, "wait_p95_ms", json_integer (s_value (row, "moves_wait_p95_ms")));
    json_object_set_new (out, "moved_blocks", json_integer (s_value (row, way->done)));
    json_object_set_new (out, "moved_bytes", json_integer (s_value (row, way->done_bytes)));
    json_object_set_new (out, "failed", json_integer (s_value (row, way->failed)));
    json_array_append_new (edges, out);
}

//  A row for each tier, to be filled by those who manage them
static json_t *s_tiers (const umbp_topology_t *topology)
{
    json_t *rows = json_array ();
    for (size_t index = 0; index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        for (unsigned tier = 1; tier < UMBP_TIERS; tier++) {
            char actor[UMBP_NAME_MAX + 1];
            if (!member->tiers[tier].total)
                continue;
            snprintf (actor, sizeof actor, "tier:%s", umbp_console_tier_name (tier));
            json_array_append_new (
                rows, json_pack ("{s:o, s:s, s:i, s:i}", "node",
                                 umbp_view_text (member->node, strlen (member->node)), "actor",
                                 actor, "number", (int) tier, "member", (int) index));
        }
    }
    return rows;
}

static json_t *s_edges (umbp_console_t *self, const umbp_topology_t *topology)
{
    static const umbp_cluster_counter_t counters[] = {
        { "demotions_open", "demotions_open" }, { "demotions_pressed", "demotions_pressed" },
        { "demoting_blocks", "demoting_blocks" }, { "demoting_bytes", "demoting_bytes" },
        { "demoted", "demoted" }, { "demoted_bytes", "demoted_bytes" },
        { "demotions_failed", "demotions_failed" }, { "promotions_open", "promotions_open" },
        { "promoting_blocks", "promoting_blocks" }, { "promoting_bytes", "promoting_bytes" },
        { "promoted", "promoted" }, { "promoted_bytes", "promoted_bytes" },
        { "promotions_failed", "promotions_failed" }, { "idle_open", "idle_open" },
        { "down_rate", "down_rate" }, { "up_rate", "up_rate" }, { "storm", "storm" },
        { "migration_share", "migration_share" }, { "moves_wait_p95_ms", "moves_wait_p95_ms" },
        { NULL, NULL },
    };
    json_t *rows = s_tiers (topology), *edges = json_array (), *row;
    size_t index;
    umbp_cluster_gather (self, rows, "", counters);
    json_array_foreach (rows, index, row)
    {
        const umbp_member_t *member =
            umbp_topology_member (topology, (size_t) s_value (row, "member"));
        s_add_edge (edges, row, member, (unsigned) s_value (row, "number"), &s_down);
        s_add_edge (edges, row, member, (unsigned) s_value (row, "number"), &s_up);
    }
    json_decref (rows);
    return edges;
}

int umbp_console_moves (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT },
        { "EDGE", "edge", UMBP_VIEW_TEXT },
        { "STATE", "state", UMBP_VIEW_STATE },
        { "PRESSED", "pressed", UMBP_VIEW_COUNT },
        { "ASKED", "asked", UMBP_VIEW_COUNT },
        { "IDLE", "idle", UMBP_VIEW_COUNT },
        { "ON ITS WAY", "flying_blocks", UMBP_VIEW_COUNT },
        { "BYTES", "flying_bytes", UMBP_VIEW_BYTES },
        { "RATE/S", "rate_bytes", UMBP_VIEW_BYTES },
        { "SHARE", "share_percent", UMBP_VIEW_PERCENT },
        { "MOVED", "moved_blocks", UMBP_VIEW_COUNT },
        { "FAILED", "failed", UMBP_VIEW_COUNT },
    };
    (void) argc;
    (void) argv;
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    json_t *rows = s_edges (self, topology);
    json_t *doc = json_pack ("{s:o}", "moves", rows);
    if (!umbp_console_json (self, doc)) {
        if (json_array_size (rows))
            umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
        else
            puts ("no node has two tiers that answer: nothing moves between them");
    }
    json_decref (doc);
    umbp_topology_destroy (&topology);
    return UMBP_CONSOLE_OK;
}
