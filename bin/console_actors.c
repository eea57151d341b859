//  bin/console_actors.c - stat, ping and log-level: one actor, or all of a node
#include <czmq.h>
#include <inttypes.h>

#include "bin/console.h"

//  Add what we know better than the sentence that every timeout has: there may be no such actor
static const umbp_msg_t *s_ask (umbp_console_t *self, const char *address, umbp_msg_t *question,
                                const char *what, int *end)
{
    const umbp_msg_t *answer = umbp_console_ask (self, address, question, what, end);
    if (!answer && *end == UMBP_CONSOLE_UNREACHABLE && self->talk)
        fprintf (stderr, "Addresses are like index, tier:dram@node-1; nodes lists the nodes\n");
    return answer;
}

static int s_stat_one (umbp_console_t *self, char *address)
{
    static const umbp_view_column_t columns[] = {
        { "NAME", "name", UMBP_VIEW_TEXT }, { "VALUE", "value", UMBP_VIEW_COUNT },
    };
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_stat, 0);
    const umbp_msg_t *answer = s_ask (self, address, &question, "stat", &end);
    if (!answer)
        return end;
    const umbp_msg_stat_ok_t *stat = &answer->stat_ok;
    json_t *rows = json_array (), *map = json_object ();
    size_t offset = 0;
    for (size_t index = 0; index < stat->names.count; index++) {
        umbp_bytes_t name = umbp_column_next (&stat->names, index, &offset);
        json_t *text = umbp_view_text (name.data, name.size);
        json_t *value = umbp_view_number (umbp_u64s_at (stat->values, index));
        json_object_set (map, json_string_value (text), value);
        json_array_append_new (rows, json_pack ("{s:o, s:o}", "name", text, "value", value));
    }
    json_t *doc = json_pack ("{s:o, s:o}", "actor", umbp_view_text (address, strlen (address)),
                             "counters", map);
    if (!umbp_console_json (self, doc))
        umbp_view_table (stdout, rows, columns, 2, self->colour);
    json_decref (rows);
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

int umbp_console_ping (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    int end = umbp_console_talk (self);
    if (end != UMBP_CONSOLE_OK)
        return end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_ping, 0);
    int64_t start = zclock_usecs ();
    if (!s_ask (self, argv[0], &question, "ping", &end))
        return end;
    int64_t took = zclock_usecs () - start;
    json_t *doc = json_pack ("{s:o, s:I}", "actor", umbp_view_text (argv[0], strlen (argv[0])),
                             "took_us", (json_int_t) took);
    if (!umbp_console_json (self, doc))
        printf ("%s answers after %" PRId64 " us\n",
                json_string_value (json_object_get (doc, "actor")), took);
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------

typedef struct {
    json_t *rows;
    int err;                            //  Of the first that failed
} told_t;

static void s_told (void *arg, size_t index, int status, const umbp_msg_t *answer)
{
    (void) answer;
    told_t *told = arg;
    json_object_set_new (json_array_get (told->rows, index), "status",
                         json_string (status == 0 ? "ok" : umbp_errname (status)));
    if (told->err == 0)
        told->err = status;
}

typedef char address_t[2 * UMBP_NAME_MAX + 2];  //  actor@node

//  Addresses of the actors of a node: "@node", or "" for the one that we are connected to. Returns
//  how many.
static size_t s_all_actors (umbp_console_t *self, const char *node, address_t *addresses, int *end)
{
    char names[UMBP_CONSOLE_ACTORS_MAX][UMBP_NAME_MAX + 1], registry[UMBP_TEXT_MAX];
    snprintf (registry, sizeof registry, "registry%.*s", UMBP_NAME_MAX + 1, node);
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_who, 0);
    const umbp_msg_t *answer = s_ask (self, registry, &question, "who", end);
    if (!answer)
        return 0;
    size_t count = umbp_console_said_actors (&answer->who_ok, names);
    umbp_topology_t *topology = count == 0 ? umbp_console_topology (self, end) : NULL;
    if (topology)                       //  An older node: those that all have
        count = umbp_console_actors (umbp_topology_member (topology, umbp_topology_self (topology)),
                                     names);
    umbp_topology_destroy (&topology);
    for (size_t index = 0; index < count; index++)
        snprintf (addresses[index], sizeof *addresses, "%.*s%.*s", UMBP_NAME_MAX, names[index],
                  UMBP_NAME_MAX + 1, node);
    return count;
}

//  What all actors count
static void s_tell (void *arg, size_t index, int status, const umbp_msg_t *answer)
{
    static const char *const common[] = { "requests", "answers", "asked",   "timeouts", "malformed",
                                          "lost",     "late",    "crowded", NULL };
    s_told (arg, index, status, answer);
    json_t *row = json_array_get (((told_t *) arg)->rows, index);
    size_t offset = 0;
    for (size_t at = 0; status == 0 && at < answer->stat_ok.names.count; at++) {
        umbp_bytes_t name = umbp_column_next (&answer->stat_ok.names, at, &offset);
        for (const char *const *want = common; *want; want++)
            if (umbp_text_is ((umbp_text_t) { (const char *) name.data, name.size }, *want))
                json_object_set_new (row, *want,
                                     umbp_view_number (umbp_u64s_at (answer->stat_ok.values, at)));
    }
}

//  A line for each actor of a node
static int s_stat_all (umbp_console_t *self, const char *node)
{
    static const umbp_view_column_t columns[] = {
        { "ACTOR", "actor", UMBP_VIEW_TEXT },          { "STATUS", "status", UMBP_VIEW_STATE },
        { "REQUESTS", "requests", UMBP_VIEW_COUNT },   { "ANSWERS", "answers", UMBP_VIEW_COUNT },
        { "ASKED", "asked", UMBP_VIEW_COUNT },         { "TIMEOUTS", "timeouts", UMBP_VIEW_COUNT },
        { "MALFORMED", "malformed", UMBP_VIEW_COUNT }, { "LOST", "lost", UMBP_VIEW_COUNT },
        { "LATE", "late", UMBP_VIEW_COUNT },           { "CROWDED", "crowded", UMBP_VIEW_COUNT },
    };
    address_t names[UMBP_CONSOLE_ACTORS_MAX];
    const char *addresses[UMBP_CONSOLE_ACTORS_MAX];
    int end;
    size_t count = s_all_actors (self, node, names, &end);
    if (end != UMBP_CONSOLE_OK)
        return end;
    told_t told = { json_array (), 0 };
    for (size_t index = 0; index < count; index++) {
        addresses[index] = names[index];
        json_array_append_new (
            told.rows,
            json_pack ("{s:o}", "actor", umbp_view_text (names[index], strlen (names[index]))));
    }
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_stat, 0);
    umbp_talk_ask_each (self->talk, addresses, count, &question, s_tell, &told);
    json_t *doc = json_pack ("{s:o}", "actors", told.rows);
    if (!self->json)
        umbp_view_table (stdout, told.rows, columns, sizeof columns / sizeof *columns,
                         self->colour);
    if (told.err < 0)
        end = umbp_console_fail (self, told.err, "stat", umbp_talk_reason (self->talk));
    else
        umbp_console_json (self, doc);
    json_decref (doc);
    return end;
}

int umbp_console_stat (umbp_console_t *self, int argc, char **argv)
{
    if (argc > 0 && *argv[0] != '@')
        return s_stat_one (self, argv[0]);
    return s_stat_all (self, argc > 0 ? argv[0] : "");
}

int umbp_console_log (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "ACTOR", "actor", UMBP_VIEW_TEXT }, { "LEVEL", "level", UMBP_VIEW_TEXT },
        { "STATUS", "status", UMBP_VIEW_STATE },
    };
    static const char *const levels[] = { "error", "warning", "info", "debug" };
    address_t names[UMBP_CONSOLE_ACTORS_MAX];
    const char *addresses[UMBP_CONSOLE_ACTORS_MAX] = { argc > 1 ? argv[1] : NULL };
    size_t level = 0, count = 1;
    while (level < 4 && strneq (argv[0], levels[level]))
        level++;
    if (level == 4)
        return umbp_console_usage (self, "%.40s: not a level; allowed: error, warning, info, debug",
                                   argv[0]);
    int end = umbp_console_talk (self);
    if (end == UMBP_CONSOLE_OK && argc < 2) {
        count = s_all_actors (self, "", names, &end);
        for (size_t index = 0; index < count; index++)
            addresses[index] = names[index];
    }
    if (end != UMBP_CONSOLE_OK)
        return end;
    told_t told = { json_array (), 0 };
    for (size_t index = 0; index < count; index++)
        json_array_append_new (
            told.rows, json_pack ("{s:o, s:s}", "actor",
                                  umbp_view_text (addresses[index], strlen (addresses[index])),
                                  "level", levels[level]));
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_log, 0);
    question.log.level = level;
    umbp_talk_ask_each (self->talk, addresses, count, &question, s_told, &told);
    json_t *doc = json_pack ("{s:o}", "actors", told.rows);
    if (!self->json)
        umbp_view_table (stdout, told.rows, columns, 3, self->colour);
    if (told.err < 0)
        end = umbp_console_fail (self, told.err, "log-level", umbp_talk_reason (self->talk));
    else
        umbp_console_json (self, doc);
    json_decref (doc);
    return end;
}
