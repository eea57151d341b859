//  bin/console_drain.c - drain: move the blocks of a node elsewhere, with a bar that shows how far it is
#include <czmq.h>
#include <inttypes.h>

#include "bin/console.h"
#include "bin/units.h"

#define LOOK_MS 250                     //  Between two questions
#define FULL_MS 8000                    //  No room for so long: say so, and leave it to the operator
#define BAR 30                          //  Letters of the bar

enum { NONE, MOVING, FULL, LEAVING, DONE };         //  States of a drain

static const char *const s_words[] = { "not drained", "moving blocks", "no other node has room",
                                       "leaving the ring", "done" };

//  One question. Returns NULL with *end set if it fails.
static const umbp_msg_drain_ok_t *s_ask (umbp_console_t *self, const char *node, uint64_t action,
                                         int *end)
{
    char address[UMBP_TEXT_MAX];
    snprintf (address, sizeof address, "registry@%.64s", node);
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_drain, 0);
    question.drain.action = action;
    const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "drain", end);
    return answer ? &answer->drain_ok : NULL;
}

static const char *s_word (uint64_t state)
{
    return state <= DONE ? s_words[state] : "?";
}

//  On a terminal a bar that stays in its line; else a line whenever another tenth is done
static void s_show (const umbp_console_t *self, const umbp_msg_drain_ok_t *drain)
{
    static uint64_t shown = UINT64_MAX;
    uint64_t all = drain->blocks + drain->moved_blocks;
    uint64_t percent = all ? drain->moved_blocks * 100 / all : drain->state >= LEAVING ? 100 : 0;
    char left[UMBP_UNITS_ROOM], bar[BAR + 1];
    umbp_units_show_bytes (drain->bytes, left);
    for (unsigned at = 0; at < BAR; at++)
        bar[at] = at < percent * BAR / 100 ? '#' : '.';
    bar[BAR] = 0;
    bool terminal = isatty (STDOUT_FILENO);
    uint64_t step = percent / 10 * 8 + drain->state;
    if (self->json || (!terminal && step == shown))
        return;
    shown = step;
    printf ("%s[%s] %3" PRIu64 " %%  %" PRIu64 " blocks, %s left: %s%s", terminal ? "\r" : "", bar,
            percent, drain->blocks, left, s_word (drain->state), terminal ? "\033[K" : "\n");
    fflush (stdout);
}

static void s_end_line (const umbp_console_t *self)
{
    if (!self->json && isatty (STDOUT_FILENO))
        putchar ('\n');
}

//  The last word: a document, or a line
static int s_finish (umbp_console_t *self, const char *node, const umbp_msg_drain_ok_t *drain,
                     int end)
{
    json_t *doc = json_pack (
        "{s:o, s:s, s:o, s:o, s:o, s:o, s:b}", "node", umbp_view_text (node, strlen (node)),
        "state", s_word (drain->state), "blocks", umbp_view_number (drain->blocks), "bytes",
        umbp_view_number (drain->bytes), "moved_blocks", umbp_view_number (drain->moved_blocks),
        "moved_bytes", umbp_view_number (drain->moved_bytes), "stop", drain->stop);
    if (!umbp_console_json (self, doc)) {
        char moved[UMBP_UNITS_ROOM];
        if (drain->state == DONE)
            printf ("%s is drained, %" PRIu64 " blocks with %s went elsewhere%s\n", node,
                    drain->moved_blocks, umbp_units_show_bytes (drain->moved_bytes, moved),
                    drain->stop ? ", its process ends" : "");
        else if (drain->state == NONE)
            printf ("%s is not drained, and takes blocks\n", node);
    }
    json_decref (doc);
    return end;
}

static int s_no_room (umbp_console_t *self, const char *node, const umbp_msg_drain_ok_t *drain)
{
    char what[512], left[UMBP_UNITS_ROOM];
    snprintf (what, sizeof what,
              "drain %.64s: no other node has room for %" PRIu64
              " blocks, %s. It goes on by itself "
              "when there is room: add a node or remove blocks; or take it back with drain %.64s "
              "--cancel",
              node, drain->blocks, umbp_units_show_bytes (drain->bytes, left), node);
    return umbp_console_fail (self, UMBP_ENOSPC, what, "");
}

//  Look until it is over
static int s_follow (umbp_console_t *self, const char *node, umbp_msg_drain_ok_t drain)
{
    int end = UMBP_CONSOLE_OK;
    int64_t full_since = 0;
    while (drain.state != DONE && drain.state != NONE) {
        int64_t now = zclock_mono ();
        full_since = drain.state != FULL ? 0 : full_since ? full_since : now;
        s_show (self, &drain);
        if (full_since && now - full_since >= FULL_MS) {
            s_end_line (self);
            return s_no_room (self, node, &drain);
        }
        zclock_sleep (LOOK_MS);
        if (zsys_interrupted)
            break;
        const umbp_msg_drain_ok_t *now_at = s_ask (self, node, 0, &end);
        if (!now_at) {
            s_end_line (self);
            return end;
        }
        drain = *now_at;
    }
    s_show (self, &drain);
    s_end_line (self);
    return s_finish (self, node, &drain, drain.state == DONE ? end : UMBP_CONSOLE_NO);
}

int umbp_console_drain (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    int end;
    bool stop = self->given & UMBP_OPTION_STOP, cancel = self->given & UMBP_OPTION_CANCEL;
    if (stop && cancel)
        return umbp_console_usage (self, "drain takes --stop or --cancel, not both");
    const umbp_msg_drain_ok_t *drain = s_ask (self, argv[0], cancel ? 3 : stop ? 2 : 1, &end);
    if (!drain)
        return end;
    if (cancel)
        return s_finish (self, argv[0], drain, UMBP_CONSOLE_OK);
    return s_follow (self, argv[0], *drain);
}
