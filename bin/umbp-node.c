//  bin/umbp-node.c - a node as a process of its own: reads its settings, starts the actors, and waits
//  for the signal to stop.
//
//  Exit status: 0 after SIGINT or SIGTERM, 1 if the node could not start, 2 if a setting is wrong.
#include <czmq.h>
#include <signal.h>

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

static int s_run (const umbp_node_options_t *options)
{
    sigset_t signals = s_block_signals ();
    zsys_handler_set (NULL);            //  Signals are ours
    zsys_set_logstream (stderr);
    zsys_set_logident ("umbp-node");

    int err = 0, number = 0;
    umbp_node_t *node = umbp_node_new (options, &err);
    if (!node)
        return s_complain (EXIT_START, "cannot start: ", umbp_strerror (err));
    printf ("umbp-node: ready node=%s endpoint=%s inproc=%s\n", umbp_node_id (node),
            umbp_node_endpoint (node), umbp_node_endpoint_inproc (node));
    fflush (stdout);

    sigwait (&signals, &number);
    zsys_info ("umbp-node: stopping after signal=%d, once more ends at once", number);
    sigprocmask (SIG_UNBLOCK, &signals, NULL);
    umbp_node_destroy (&node);
    return 0;
}

static int s_main (umbp_config_t *config, const umbp_node_options_t *options, int argc, char **argv)
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
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    umbp_config_t *config = umbp_config_new ("umbp-node", settings, count, &options);
    int status = s_main (config, &options, argc, argv);
    umbp_config_destroy (&config);
    return status;
}
