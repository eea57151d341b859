//  test/unit/spawn.h - nodes that are processes of their own, so that a test can kill them, or stop and wake
//  them. The program is the umbp-node built beside the test.
#ifndef UMBP_TEST_SPAWN_H
#define UMBP_TEST_SPAWN_H

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "test/unit/nodes.h"

//  A node of that name in the cluster of others, the first of which is its seed. flags: more arguments, ended by
//  a NULL. Returns its pid, 0 if it could not be started.
static inline pid_t spawn_node (const nodes_t *others, const char *node, const char *listen,
                                char *const *flags)
{
    const umbp_node_options_t *like = &others->options[0];
    char path[512], cluster[UMBP_NAME_MAX + 1], seeds[256], times[3][32];
    ssize_t size = readlink ("/proc/self/exe", path, sizeof path - 32);
    char *end = size > 0 ? memrchr (path, '/', (size_t) size) : NULL;
    end = end ? memrchr (path, '/', (size_t) (end - path)) : NULL;
    if (!end)
        return 0;
    strcpy (end, "/bin/umbp-node");
    snprintf (cluster, sizeof cluster, "%s", like->cluster);
    snprintf (seeds, sizeof seeds, "%s", umbp_node_endpoint (others->nodes[0]));
    snprintf (times[0], sizeof times[0], "%ums", like->heartbeat_ms);
    snprintf (times[1], sizeof times[1], "%ums", like->suspect_ms);
    snprintf (times[2], sizeof times[2], "%ums", like->gone_ms);
    char *args[48] = { path,
                       "--node-id",
                       (char *) node,
                       "--cluster-name",
                       cluster,
                       "--cluster-seeds",
                       seeds,
                       "--network-listen",
                       (char *) listen,
                       "--cluster-heartbeat",
                       times[0],
                       "--cluster-suspect",
                       times[1],
                       "--cluster-gone",
                       times[2],
                       "--node-log",
                       "error" };
    size_t count = 0;
    while (args[count])
        count++;
    while (*flags && count < sizeof args / sizeof *args - 1)
        args[count++] = *flags++;
    pid_t pid = 0;
    return posix_spawn (&pid, path, NULL, NULL, args, environ) == 0 ? pid : 0;
}

static inline void spawn_kill (pid_t *pid)
{
    if (*pid > 0) {
        kill (*pid, SIGKILL);
        waitpid (*pid, NULL, 0);
    }
    *pid = 0;
}

#endif
