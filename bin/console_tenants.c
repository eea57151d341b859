//  bin/console_tenants.c - tenants: who uses how much of each memory tier, and how much each may
#include <inttypes.h>

#include "bin/console.h"

#define LIMITLESS UINT64_MAX

typedef struct {
    json_t *rows;
    const umbp_topology_t *topology;
    uint64_t silent;                    //  Nodes that did not answer, or cannot
} gather_t;

static void s_add (json_t *rows, const umbp_member_t *member, umbp_bytes_t name, size_t index,
                   const umbp_msg_tenants_ok_t *ok)
{
    uint64_t used = umbp_u64s_at (ok->useds, index), limit = umbp_u64s_at (ok->limits, index);
    json_t *row = json_pack (
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "tenant", umbp_view_text (name.data, name.size),
        "node", umbp_view_text (member->node, strlen (member->node)), "tier",
        umbp_console_tier_name (UMBP_TIER_DRAM), "used_bytes", umbp_view_number (used), "blocks",
        umbp_view_number (umbp_u64s_at (ok->blocks, index)), "refused",
        umbp_view_number (umbp_u64s_at (ok->refused, index)), "own_evicted",
        umbp_view_number (umbp_u64s_at (ok->evicted, index)));
    if (limit != LIMITLESS) {
        json_object_set_new (row, "limit_bytes", umbp_view_number (limit));
        json_object_set_new (row, "used_percent", json_real (umbp_view_percent (used, limit)));
    }
    json_array_append_new (rows, row);
}

static void s_gather (void *arg, size_t number, int status, const umbp_msg_t *answer)
{
    gather_t *gather = arg;
    if (status < 0 || answer->type != UMBP_MSG_tenants_ok) {
        gather->silent++;
        return;
    }
    const umbp_msg_tenants_ok_t *ok = &answer->tenants_ok;
    size_t offset = 0;
    for (size_t index = 0; index < ok->names.count; index++)
        s_add (gather->rows, umbp_topology_member (gather->topology, number),
               umbp_column_next (&ok->names, index, &offset), index, ok);
}

static void s_show (const umbp_console_t *self, const gather_t *gather)
{
    static const umbp_view_column_t columns[] = {
        { "TENANT", "shown", UMBP_VIEW_TEXT },
        { "NODE", "node", UMBP_VIEW_TEXT },
        { "TIER", "tier", UMBP_VIEW_TEXT },
        { "USED", "used_bytes", UMBP_VIEW_BYTES },
        { "LIMIT", "limit_bytes", UMBP_VIEW_BYTES },
        { "USE", "used_percent", UMBP_VIEW_PERCENT },
        { "BLOCKS", "blocks", UMBP_VIEW_COUNT },
        { "REFUSED", "refused", UMBP_VIEW_COUNT },
        { "OWN EVICTED", "own_evicted", UMBP_VIEW_COUNT },
    };
    size_t index;
    json_t *row;
    json_array_foreach (gather->rows, index, row)
    {
        const char *name = json_string_value (json_object_get (row, "tenant"));
        json_object_set_new (row, "shown", json_string (*name ? name : "(default)"));
    }
    umbp_view_table (stdout, gather->rows, columns, sizeof columns / sizeof *columns, self->colour);
    if (gather->silent)
        printf ("%" PRIu64 " nodes did not answer\n", gather->silent);
}

int umbp_console_tenants (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    int end;
    umbp_topology_t *topology = umbp_console_topology (self, &end);
    if (!topology)
        return end;
    size_t count = umbp_topology_count (topology);
    char (*texts)[UMBP_NAME_MAX + 16] = calloc (count, sizeof *texts);
    const char **addresses = calloc (count, sizeof *addresses);
    gather_t gather = { json_array (), topology, 0 };
    for (size_t index = 0; texts && addresses && index < count; index++) {
        snprintf (texts[index], sizeof *texts, "tier:dram@%s",
                  umbp_topology_member (topology, index)->node);
        addresses[index] = texts[index];
    }
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_tenants, 0);
    if (texts && addresses)
        umbp_talk_ask_each (self->talk, addresses, count, &question, s_gather, &gather);
    json_t *doc = json_pack ("{s:O, s:o}", "tenants", gather.rows, "nodes_silent",
                             umbp_view_number (gather.silent));
    if (!umbp_console_json (self, doc))
        s_show (self, &gather);
    json_decref (doc);
    json_decref (gather.rows);
    free (addresses);
    free (texts);
    umbp_topology_destroy (&topology);
    return UMBP_CONSOLE_OK;
}
