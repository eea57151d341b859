//  bin/console_pressure.c - pressure: how short of memory a node is and why, what was done about it, what it would
//  cost to let go of more; and by hand what the node does by itself
#include <inttypes.h>

#include "actors/pressure/ladder.h"
#include "actors/tier/journal.h"
#include "bin/console.h"
#include "bin/units.h"

static const char *const s_modes[] = { "off", "observe", "act" };

//  "actor@node", of the node that was named, or the one we are connected to
static const char *s_at (const umbp_console_t *self, const char *actor)
{
    static char address[UMBP_TEXT_MAX];
    if (self->given & UMBP_OPTION_NODE)
        snprintf (address, sizeof address, "%s@%.64s", actor, self->node);
    else
        snprintf (address, sizeof address, "%s", actor);
    return address;
}

static json_t *s_text (umbp_text_t text)
{
    return umbp_view_text (text.data, text.size);
}

//  ------------------------------------------------------------------------------------------------
//  How it is

static json_t *s_signals (const umbp_msg_strain_ok_t *ok)
{
    json_t *signals = json_object ();
    size_t offset = 0;
    for (size_t index = 0; index < ok->names.count && index < ok->values.count; index++) {
        umbp_bytes_t name = umbp_column_next (&ok->names, index, &offset);
        json_t *key = umbp_view_text (name.data, name.size);
        json_object_set_new (signals, json_string_value (key),
                             umbp_view_number (umbp_u64s_at (ok->values, index)));
        json_decref (key);
    }
    return signals;
}

static json_t *s_steps (const umbp_msg_strain_ok_t *ok)
{
    json_t *rows = json_array ();
    size_t offset = 0;
    for (size_t index = 0; index < ok->steps.count && index < ok->tenants.count; index++) {
        unsigned step = umbp_u8s_at (ok->steps, index);
        umbp_bytes_t tenant = umbp_column_next (&ok->tenants, index, &offset);
        bool whose = step >= UMBP_STEP_SUSPEND && step <= UMBP_STEP_RESUME;
        json_t *name = umbp_view_text (tenant.data, tenant.size);
        json_t *row = json_pack ("{s:s, s:o, s:b}", "step", umbp_step_name (step), "age_ms",
                                 umbp_view_number (umbp_u64s_at (ok->ages_ms, index)), "done",
                                 umbp_u8s_at (ok->done, index) != 0);
        if (whose)
            json_object_set (row, "tenant", name);
        json_object_set_new (row, "whom",
                             !whose                             ? json_string ("")
                             : *json_string_value (name) == '\0' ? json_string ("(default)")
                                                                 : json_incref (name));
        json_decref (name);
        json_array_append_new (rows, row);
    }
    return rows;
}

static void s_show_signals (const json_t *signals)
{
    const char *key;
    json_t *value;
    char text[UMBP_UNITS_ROOM];
    json_object_foreach ((json_t *) signals, key, value)
    {
        uint64_t number = (uint64_t) json_integer_value (value);
        const char *end = strrchr (key, '_');
        if (end && strcmp (end, "_permille") == 0)
            printf ("%-22.*s%" PRIu64 ".%" PRIu64 " %%\n", (int) (end - key), key, number / 10,
                    number % 10);
        else if (end && strcmp (end, "_bytes") == 0)
            printf ("%-22.*s%s\n", (int) (end - key), key,
                    number >= INT64_MAX ? "no limit" : umbp_units_show_bytes (number, text));
        else
            printf ("%-22s%" PRIu64 "\n", key, number);
    }
}

static int s_show (umbp_console_t *self)
{
    static const umbp_view_column_t columns[] = {
        { "STEP", "step", UMBP_VIEW_TEXT },
        { "TENANT", "whom", UMBP_VIEW_TEXT },
        { "AGO", "age_ms", UMBP_VIEW_MS },
        { "TAKEN", "done", UMBP_VIEW_BOOL },
    };
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_strain, 0);
    const umbp_msg_t *answer =
        umbp_console_ask (self, s_at (self, "pressure"), &question, "pressure", &end);
    if (!answer)
        return end;
    const umbp_msg_strain_ok_t *ok = &answer->strain_ok;
    json_t *doc = json_pack ("{s:i, s:s, s:s, s:o, s:o, s:o, s:o}", "level", (int) ok->level,
                             "name", umbp_level_name ((unsigned) ok->level), "mode",
                             s_modes[ok->mode], "since_ms", umbp_view_number (ok->since_ms), "why",
                             s_text (ok->why), "signals", s_signals (ok), "steps", s_steps (ok));
    if (!umbp_console_json (self, doc)) {
        char since[UMBP_UNITS_ROOM];
        const char *why = json_string_value (json_object_get (doc, "why"));
        printf ("level %" PRIu64 ", %s, for %s%s%s; mode %s\n\n", ok->level,
                umbp_level_name ((unsigned) ok->level), umbp_units_show_ms (ok->since_ms, since),
                *why ? ": " : "", why, s_modes[ok->mode]);
        s_show_signals (json_object_get (doc, "signals"));
        if (ok->steps.count) {
            puts ("");
            umbp_view_table (stdout, json_object_get (doc, "steps"), columns,
                             sizeof columns / sizeof *columns, self->colour);
        }
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  What it would cost

static int s_cost (umbp_console_t *self, const char *size)
{
    int end;
    uint64_t bytes;
    if (umbp_units_read_bytes (size, &bytes) < 0)
        return umbp_console_usage (self, "pressure cost: not a size: %.64s; allowed: 500MiB, 20GiB",
                                   size);
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_cost, 0);
    question.cost.bytes = bytes;
    question.cost.own = self->given & UMBP_OPTION_TENANT;
    if (question.cost.own)
        question.cost.tenant = umbp_text (self->tenant);
    const umbp_msg_t *answer =
        umbp_console_ask (self, s_at (self, "pressure"), &question, "cost", &end);
    if (!answer)
        return end;
    const umbp_msg_cost_ok_t *ok = &answer->cost_ok;
    json_t *doc = json_pack (
        "{s:f, s:o, s:o, s:o, s:o}", "seconds", (double) ok->time_us / 1e6, "bytes",
        umbp_view_number (ok->bytes), "moved_bytes", umbp_view_number (ok->moved_bytes), "blocks",
        umbp_view_number (ok->blocks), "lost_blocks", umbp_view_number (ok->lost_blocks));
    if (!umbp_console_json (self, doc)) {
        char freed[UMBP_UNITS_ROOM], moved[UMBP_UNITS_ROOM];
        printf ("%.3f s: %" PRIu64 " blocks leave, which frees %s; %s move, %" PRIu64
                " blocks are lost\n",
                (double) ok->time_us / 1e6, ok->blocks, umbp_units_show_bytes (ok->bytes, freed),
                umbp_units_show_bytes (ok->moved_bytes, moved), ok->lost_blocks);
        if (ok->bytes < bytes)
            puts ("no more than that can leave now: the rest is in use, or there is no more");
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  By hand

static int s_pool (umbp_console_t *self, const char *size)
{
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_balloon, 0);
    if (size
        && (umbp_units_read_bytes (size, &question.balloon.capacity) < 0
            || question.balloon.capacity == 0))
        return umbp_console_usage (self, "pressure pool: not a size: %.64s; allowed: 500MiB, 20GiB",
                                   size);
    const umbp_msg_t *answer =
        umbp_console_ask (self, s_at (self, "pressure"), &question, "pool", &end);
    if (!answer)
        return end;
    const umbp_msg_balloon_ok_t *ok = &answer->balloon_ok;
    json_t *doc =
        json_pack ("{s:o, s:o, s:o, s:o, s:o}", "capacity_bytes", umbp_view_number (ok->capacity),
                   "goal_bytes", umbp_view_number (ok->goal), "made_bytes",
                   umbp_view_number (ok->made), "returned_bytes", umbp_view_number (ok->returned),
                   "leaving_bytes", umbp_view_number (ok->leaving));
    if (!umbp_console_json (self, doc)) {
        char one[UMBP_UNITS_ROOM], two[UMBP_UNITS_ROOM], three[UMBP_UNITS_ROOM],
            four[UMBP_UNITS_ROOM];
        printf ("holds %s of %s, shall hold %s; the system has %s back\n",
                umbp_units_show_bytes (ok->capacity, one), umbp_units_show_bytes (ok->made, two),
                umbp_units_show_bytes (ok->goal, three),
                umbp_units_show_bytes (ok->returned, four));
        if (ok->leaving)
            printf ("%s are still read or written, and go when that is over\n",
                    umbp_units_show_bytes (ok->leaving, one));
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

static int s_suspend (umbp_console_t *self, const char *tenant, bool on)
{
    int end;
    if (strlen (tenant) > UMBP_NAME_MAX)
        return umbp_console_usage (self, "pressure suspend: names of tenants have %d bytes at most",
                                   UMBP_NAME_MAX);
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_suspend, 0);
    question.suspend.tenant = umbp_text (tenant);
    question.suspend.on = on;
    if (!umbp_console_ask (self, s_at (self, "pressure"), &question, on ? "suspend" : "resume",
                           &end))
        return end;
    json_t *doc = json_pack ("{s:o, s:b}", "tenant", umbp_view_text (tenant, strlen (tenant)),
                             "suspended", on);
    if (!umbp_console_json (self, doc))
        printf ("%s %s\n", *tenant ? tenant : "(default)",
                on ? "gets no new room on that node until it is resumed" : "gets room again");
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  What happened

static int s_events (umbp_console_t *self, const char *first)
{
    static const umbp_view_column_t columns[] = {
        { "NUMBER", "number", UMBP_VIEW_TEXT },
        { "EVENT", "event", UMBP_VIEW_TEXT },
        { "TENANT", "tenant", UMBP_VIEW_TEXT },
        { "AMOUNT", "amount", UMBP_VIEW_TEXT },
    };
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_events, 0);
    if (first && umbp_units_read_count (first, &question.events.first) < 0)
        return umbp_console_usage (self, "pressure events: not a number: %.64s", first);
    const umbp_msg_t *answer =
        umbp_console_ask (self, s_at (self, "tier:dram"), &question, "events", &end);
    if (!answer)
        return end;
    const umbp_msg_events_ok_t *ok = &answer->events_ok;
    json_t *rows = json_array ();
    size_t offset = 0;
    for (size_t index = 0; index < ok->numbers.count && index < ok->tenants.count; index++) {
        umbp_bytes_t tenant = umbp_column_next (&ok->tenants, index, &offset);
        char number[24], amount[24];
        snprintf (number, sizeof number, "%" PRIu64, umbp_u64s_at (ok->numbers, index));
        snprintf (amount, sizeof amount, "%" PRIu64, umbp_u64s_at (ok->amounts, index));
        json_array_append_new (
            rows, json_pack ("{s:s, s:o, s:s, s:o, s:s}", "number", number, "time_us",
                             umbp_view_number (umbp_u64s_at (ok->times_us, index)), "event",
                             umbp_event_name (umbp_u8s_at (ok->kinds, index)), "tenant",
                             umbp_view_text (tenant.data, tenant.size), "amount", amount));
    }
    bool gap = question.events.first > 0 && ok->first > question.events.first;
    json_t *doc =
        json_pack ("{s:o, s:o, s:o, s:b, s:O}", "node_epoch", umbp_view_number (ok->node_epoch),
                   "first", umbp_view_number (ok->first), "next", umbp_view_number (ok->next),
                   "missed", gap, "events", rows);
    if (!umbp_console_json (self, doc)) {
        umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
        printf ("%snext: %" PRIu64 "\n", gap ? "some were missed; " : "", ok->next);
    }
    json_decref (doc);
    json_decref (rows);
    return UMBP_CONSOLE_OK;
}

int umbp_console_pressure (umbp_console_t *self, int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "", *value = argc > 1 ? argv[1] : NULL;
    if (argc == 0)
        return s_show (self);
    if (strcmp (what, "cost") == 0 && value)
        return s_cost (self, value);
    if (strcmp (what, "pool") == 0)
        return s_pool (self, value);
    if (strcmp (what, "suspend") == 0 && value)
        return s_suspend (self, value, true);
    if (strcmp (what, "resume") == 0 && value)
        return s_suspend (self, value, false);
    if (strcmp (what, "events") == 0)
        return s_events (self, value);
    return umbp_console_usage (
        self,
        "pressure: unknown: %.64s; allowed: nothing, cost SIZE, pool [SIZE], "
        "suspend TENANT, resume TENANT, events [NUMBER]",
        what);
}
