//  bin/console_top.c - status again and again: on a terminal in its place, else block after block
#include <czmq.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "bin/console_cluster.h"

#define ROWS_DEFAULT 24                 //  Of a terminal that does not say
#define LINES_AROUND 12                 //  Of what is not the table
#define CONTROL_C 3

static volatile sig_atomic_t s_stopped;

static void s_on_signal (int number)
{
    (void) number;
    s_stopped = 1;
}

//  The terminal, and how it was before
typedef struct {
    bool live;
    struct termios before;
    struct sigaction old_term, old_hup;
} screen_t;

static void s_open (screen_t *screen)
{
    screen->live = isatty (STDIN_FILENO) && isatty (STDOUT_FILENO)
                   && tcgetattr (STDIN_FILENO, &screen->before) == 0;
    if (!screen->live)
        return;
    struct sigaction stop = { .sa_handler = s_on_signal };
    sigaction (SIGTERM, &stop, &screen->old_term);
    sigaction (SIGHUP, &stop, &screen->old_hup);
    struct termios raw = screen->before;
    raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO | ISIG);
    tcsetattr (STDIN_FILENO, TCSANOW, &raw);
    //  Another screen, no cursor, and a line that is too long ends at the edge
    fputs ("\033[?1049h\033[?25l\033[?7l", stdout);
}

static void s_close (screen_t *screen)
{
    if (!screen->live)
        return;
    fputs ("\033[?7h\033[?25h\033[?1049l", stdout);
    fflush (stdout);
    tcsetattr (STDIN_FILENO, TCSANOW, &screen->before);
    sigaction (SIGTERM, &screen->old_term, NULL);
    sigaction (SIGHUP, &screen->old_hup, NULL);
    if (s_stopped)
        raise (SIGTERM);
}

static size_t s_rows (const screen_t *screen)
{
    struct winsize size;
    if (!screen->live)
        return UMBP_NODES_MAX;
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_row == 0)
        size.ws_row = ROWS_DEFAULT;
    return size.ws_row > LINES_AROUND ? (size_t) (size.ws_row - LINES_AROUND) : 1;
}

//  Wait so long. Returns whether to go on: nobody pressed q.
static bool s_wait (const screen_t *screen, uint32_t interval_ms)
{
    int64_t until = zclock_mono () + interval_ms;
    if (!screen->live) {
        zclock_sleep ((int) interval_ms);
        return true;
    }
    for (int64_t left = interval_ms; left > 0 && !s_stopped; left = until - zclock_mono ()) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        char key;
        if (poll (&input, 1, (int) left) <= 0)
            continue;
        if (read (STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == CONTROL_C)
            return false;
        return true;                    //  Any other key: look now
    }
    return !s_stopped;
}

static void s_draw (umbp_console_t *self, const screen_t *screen, const json_t *doc)
{
    if (umbp_console_json (self, doc))
        return;
    if (!screen->live) {
        umbp_cluster_show (self, stdout, doc, s_rows (screen));
        puts ("");
        fflush (stdout);
        return;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *page = open_memstream (&text, &size);
    umbp_cluster_show (self, page, doc, s_rows (screen));
    fprintf (page, "\n%sq quits, any other key looks at once%s\n",
             umbp_view_paint ("dim", self->colour), umbp_view_plain (self->colour));
    fclose (page);
    fputs ("\033[H", stdout);           //  Written over, line by line, so that nothing flickers
    for (const char *line = text; *line;) {
        size_t length = strcspn (line, "\n");
        printf ("%.*s\033[K\n", (int) length, line);
        line += length + (line[length] == '\n');
    }
    fputs ("\033[J", stdout);
    fflush (stdout);
    free (text);
}

//  One more look. Returns the document, NULL with *end set on failure.
static json_t *s_look (umbp_console_t *self, const json_t *before, int64_t *then, int *end)
{
    json_t *doc = umbp_cluster_document (self, end);
    int64_t now = zclock_usecs ();
    if (doc)
        umbp_cluster_rates (doc, before, before ? (double) (now - *then) / 1e6 : 1);
    *then = now;
    return doc;
}

int umbp_console_top (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    int end = umbp_console_talk (self);
    if (end != UMBP_CONSOLE_OK)
        return end;
    uint64_t left = self->given & UMBP_OPTION_COUNT ? self->count : UINT64_MAX;
    screen_t screen = { .live = false };
    json_t *before = NULL;
    int64_t then = 0;
    bool json = self->json;
    s_stopped = 0;
    if (!json)
        s_open (&screen);
    while (left > 0) {
        json_t *doc = s_look (self, before, &then, &end);
        json_decref (before);
        before = doc;
        if (!doc)
            break;
        s_draw (self, &screen, doc);
        if (--left > 0 && !s_wait (&screen, self->interval_ms))
            break;
    }
    json_decref (before);
    s_close (&screen);
    return end;
}
