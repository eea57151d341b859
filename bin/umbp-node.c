//  bin/umbp-node.c - a node as a process of its own: reads its settings, starts the actors, and
//  waits for the signal to stop.
//
//  Exit status: 0 after SIGINT, SIGTERM or a drain that was to end it, 1 if the node could not start, 2 if a setting is wrong.
#include <czmq.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "actors/umbp_node.h"
#include "bin/config.h"
#include "bin/node_settings.h"
#include "client/umbp.h"

#define EXIT_START 1
#define EXIT_SETTINGS 2

static int s_complain (int status, const char *what, const char *why)
{
    fprintf (stderr, "umbp-node: %s%s\n", what, why);
    return status;
}

//  The signals that stop us. They stay blocked in all threads, and wait until we take them.
static sigset_t s_block_signals (void)
{
    sigset_t signals;
    sigemptyset (&signals);
    sigaddset (&signals, SIGINT);
    sigaddset (&signals, SIGTERM);
    sigprocmask (SIG_BLOCK, &signals, NULL);
    signal (SIGPIPE, SIG_IGN);
    return signals;
}

//  Our own way to stdout. All others are sent to stderr, where the log belongs: czmq's gossip would
//  set it back to stdout. Returns NULL if there is no descriptor left.
static FILE *s_take_stdout (void)
{
    int fd = dup (STDOUT_FILENO);
    FILE *out = fd == -1 ? NULL : fdopen (fd, "w");
    if (out && dup2 (STDERR_FILENO, STDOUT_FILENO) == -1) {
        fclose (out);
        out = NULL;
    }
    return out;
}

//  Until a signal comes, whose number is returned, or a drain wants our end: 0
static int s_wait (const umbp_node_t *node, const sigset_t *signals)
{
    struct signalfd_siginfo info = { .ssi_signo = 0 };
    struct pollfd fds[] = { { .fd = signalfd (-1, signals, SFD_CLOEXEC), .events = POLLIN },
                            { .fd = umbp_node_stop_fd (node), .events = POLLIN } };
    int number = 0;
    if (fds[0].fd == -1) {              //  No descriptor left: then signals alone
        sigwait (signals, &number);
        return number;
    }
    while (poll (fds, 2, -1) == -1 && errno == EINTR)
        ;
    if (fds[0].revents && read (fds[0].fd, &info, sizeof info) == sizeof info)
        number = (int) info.ssi_signo;
    close (fds[0].fd);
    return number;
}

static int s_serve (const umbp_node_options_t *options, FILE *out, const sigset_t *signals)
{
    int err = 0;
    umbp_node_t *node = umbp_node_new (options, &err);
    if (!node)
        return s_complain (EXIT_START, "cannot start: ", umbp_strerror (err));
    const char *gateway = umbp_node_gateway (node);
    fprintf (out, "umbp-node: ready node=%s endpoint=%s inproc=%s%s%s\n", umbp_node_id (node),
             umbp_node_endpoint (node), umbp_node_endpoint_inproc (node),
             *gateway ? " gateway=" : "", gateway);
    fflush (out);

    int number = s_wait (node, signals);
    if (number)
        zsys_info ("umbp-node: stopping after signal=%d, once more ends at once", number);
    else
        zsys_info ("umbp-node: stopping after a drain, a signal ends at once");
    sigprocmask (SIG_UNBLOCK, signals, NULL);
    umbp_node_destroy (&node);
    return 0;
}

static int s_run (const umbp_node_options_t *options)
{
    sigset_t signals = s_block_signals ();
    FILE *out = s_take_stdout ();
    if (!out)
        return s_complain (EXIT_START, "cannot start: ", strerror (errno));
    zsys_init ();                       //  First, as it would take the signals back
    zsys_handler_set (NULL);            //  They are ours
    zsys_set_logident ("umbp-node");
    int status = s_serve (options, out, &signals);
    fclose (out);
    return status;
}

//  Where workers are, as programs that share these files with us know it
static void s_find_workers (umbp_node_options_t *options)
{
    const char *shared = getenv ("TENSOR_FUSION_STATE_DIR"), *state = getenv ("XDG_STATE_HOME"),
               *logs = getenv ("TF_LOG_PATH");
    char *dir = options->worker_state_dir;
    size_t size = sizeof options->worker_state_dir;
    bool automatic = strcmp (dir, "auto") == 0;
    if ((automatic || !*dir) && shared && *shared)
        snprintf (dir, size, "%s", shared);
    else if (automatic && state && *state == '/')
        snprintf (dir, size, "%s/umbp", state);
    else if (automatic)
        snprintf (dir, size, "/var/lib/umbp");
    if (!*options->worker_log_dir && logs)
        snprintf (options->worker_log_dir, sizeof options->worker_log_dir, "%s", logs);
}

static int s_main (umbp_config_t *config, umbp_node_options_t *options, int argc, char **argv)
{
    char why[512] = "";
    if (umbp_config_read (config, argc, argv, environ) < 0)
        return s_complain (EXIT_SETTINGS, umbp_config_error (config), "");
    umbp_config_todo_t todo = umbp_config_todo (config);
    if (todo == UMBP_TODO_HELP)
        umbp_config_help (config, stdout);
    if (todo == UMBP_TODO_VERSION)
        puts ("umbp-node " UMBP_VERSION);
    if (todo == UMBP_TODO_HELP || todo == UMBP_TODO_VERSION)
        return 0;
    if (todo != UMBP_TODO_PRINT)
        s_find_workers (options);
    if (umbp_node_options_check (options, why, sizeof why) < 0)
        return s_complain (EXIT_SETTINGS, umbp_config_blame (config, why), "");
    if (todo == UMBP_TODO_PRINT)
        umbp_config_print (config, stdout);
    if (todo == UMBP_TODO_CHECK)
        puts ("ok");
    return todo == UMBP_TODO_RUN ? s_run (options) : 0;
}

int main (int argc, char **argv)
{
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    options.may_stop = true;
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    umbp_config_t *config = umbp_config_new ("umbp-node", settings, count, &options);
    int status = s_main (config, &options, argc, argv);
    umbp_config_destroy (&config);
    return status;
}
