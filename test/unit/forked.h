//  test/unit/forked.h - nodes in processes of their own, to be stopped and killed. Each is forked before
//  the test has any thread, and waits for its orders, which are its seeds, on a pipe; it answers with
//  its endpoint, or is never started. It dies with the test.
#ifndef UMBP_TEST_FORKED_H
#define UMBP_TEST_FORKED_H

#include "test/unit/nodes.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct {
    pid_t pid;
    int orders, says;                   //  Our ends of its pipes
    char endpoint[256];
} forked_t;

//  What is said of the node of this number; seeds and where it listens are set afterwards
typedef void (forked_set_t) (umbp_node_options_t *options, int number);

//  A node, until somebody kills it
static inline void forked_be (int number, forked_set_t *set, int orders, int says)
{
    char seeds[1024];
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (read (orders, seeds, sizeof seeds) <= 0)
        _exit (0);                      //  Not needed
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    set (&options, number);
    snprintf (options.listen, sizeof options.listen, "%s", loopback_tcp ());
    snprintf (options.seeds, sizeof options.seeds, "%s", seeds);
    umbp_node_t *node = umbp_node_new (&options, NULL);
    const char *endpoint = node ? umbp_node_endpoint (node) : "";
    if (write (says, endpoint, strlen (endpoint) + 1) < 1)
        _exit (1);
    while (read (orders, seeds, sizeof seeds) > 0)
        ;
    _exit (0);
}

//  One more of these processes, after those before it. Returns false if there can be none.
static inline bool forked_new (forked_t *all, int number, forked_set_t *set)
{
    int orders[2], says[2];
    if (pipe (orders) == -1 || pipe (says) == -1)
        return false;
    forked_t *self = &all[number];
    self->pid = fork ();
    if (self->pid == 0) {
        for (int other = 0; other < number; other++) {
            close (all[other].orders);
            close (all[other].says);
        }
        close (orders[1]);
        close (says[0]);
        forked_be (number, set, orders[0], says[1]);
    }
    close (orders[0]);
    close (says[1]);
    self->orders = orders[1];
    self->says = says[0];
    return self->pid > 0;
}

//  Its node starts; empty seeds for a first one. Returns true once it is there.
static inline bool forked_start (forked_t *self, const char *seeds)
{
    return write (self->orders, seeds, strlen (seeds) + 1) > 0
           && read (self->says, self->endpoint, sizeof self->endpoint) > 1;
}

//  It stands still, to the last of its threads
static inline void forked_halt (const forked_t *self)
{
    kill (self->pid, SIGSTOP);
    waitpid (self->pid, NULL, WUNTRACED);
}

static inline void forked_kill (forked_t *self)
{
    if (self->pid > 0) {
        kill (self->pid, SIGKILL);
        waitpid (self->pid, NULL, 0);
    }
    self->pid = 0;
}

#endif
