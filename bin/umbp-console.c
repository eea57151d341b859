//  bin/umbp-console.c - asks a cluster and says what it hears, one-shot or line by line. See help.
#include <czmq.h>
#include <locale.h>

#include "bin/console.h"

#define ENDPOINTS_DEFAULT "tcp://127.0.0.1:7710"
#define TIMEOUT_MS_DEFAULT 5000
#define CONNECT_MS_DEFAULT 10000        //  A busy machine takes a while to say who it is

int main (int argc, char **argv)
{
    setlocale (LC_CTYPE, "");
    if (MB_CUR_MAX == 1)
        setlocale (LC_CTYPE, "C.UTF-8");
    signal (SIGPIPE, SIG_IGN);
    zsys_init ();                       //  First, as it would undo what follows
    zsys_handler_set (NULL);            //  Ctrl-C ends us
    zsys_set_logstream (stderr);

    umbp_console_t console = { .timeout_ms = TIMEOUT_MS_DEFAULT,
                               .connect_ms = CONNECT_MS_DEFAULT };
    const char *endpoints = getenv ("UMBP_ENDPOINTS"), *no_colour = getenv ("NO_COLOR");
    if (!endpoints || !*endpoints)
        endpoints = ENDPOINTS_DEFAULT;
    snprintf (console.endpoints, sizeof console.endpoints, "%s", endpoints);
    const char *own = getenv ("UMBP_CERTIFICATE"), *server = getenv ("UMBP_SERVER_CERTIFICATE");
    snprintf (console.certificate, sizeof console.certificate, "%s", own ? own : "");
    snprintf (console.server_certificate, sizeof console.server_certificate, "%s",
              server ? server : "");
    console.colour = isatty (STDOUT_FILENO) && !(no_colour && *no_colour);

    bool empty;
    int end = umbp_console_run (&console, argc, argv, &empty);
    if (empty)
        end = umbp_console_shell (&console);
    umbp_console_close (&console);
    return end;
}
