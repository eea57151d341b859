//  bin/bench_nodes.c - processes that a bench starts and ends, see bench_nodes.h
#include "bin/bench_nodes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bin/view.h"
#include "cluster/bulk/clock.h"
#include "cluster/topology.h"

#define START_MS 30000                  //  For a node to say that it is ready, memory and all
#define MEET_MS 20000                   //  For nodes to see each other
#define STOP_MS 20000
#define ASK_MS 2000
#define POLL_MS 5
#define ARGS_MAX 48

static void s_pause (void)
{
    nanosleep (&(struct timespec) { .tv_nsec = POLL_MS * 1000000 }, NULL);
}

//  ------------------------------------------------------------------------------------------------
//  Processes

//  In the child: nothing but calls that are safe between fork and exec
static void s_become (char *const *argv, int out, int err)
{
    sigset_t none;
    assert (argv[0]);
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    dup2 (out, STDOUT_FILENO);
    dup2 (err, STDERR_FILENO);
    execvp (argv[0], argv);
    _exit (127);
}

pid_t umbp_bench_start_process (char *const *argv, const char *log, int *out)
{
    int pipes[2] = { -1, -1 };
    int err = open (log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (err == -1)
        return -1;
    if (out && pipe2 (pipes, O_CLOEXEC) == -1) {
        close (err);
        return -1;
    }
    pid_t pid = fork ();
    if (pid == 0)
        s_become (argv, out ? pipes[1] : err, err);
    close (err);
    if (!out)
        return pid;
    close (pipes[1]);
    *out = pipes[0];
    if (pid == -1)
        close (pipes[0]);
    return pid;
}

int umbp_bench_end_process (pid_t pid, int signal, int timeout_ms)
{
    int status = 0;
    int64_t until_ms = umbp_clock_ms () + timeout_ms;
    if (signal)
        kill (pid, signal);
    pid_t ended;
    while ((ended = waitpid (pid, &status, WNOHANG)) == 0 && umbp_clock_ms () < until_ms)
        s_pause ();
    if (ended == pid)
        return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
    if (ended == 0) {
        kill (pid, SIGKILL);
        waitpid (pid, &status, 0);
    }
    return -1;
}

int umbp_bench_dial (pid_t pid, const char *path, int timeout_ms, int call_s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf (address.sun_path, sizeof address.sun_path, "%s", path);
    int64_t until_ms = umbp_clock_ms () + timeout_ms;
    int sock = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = call_s };
    setsockopt (sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt (sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    while (sock >= 0 && umbp_clock_ms () < until_ms && waitpid (pid, NULL, WNOHANG) == 0) {
        if (connect (sock, (struct sockaddr *) &address, sizeof address) == 0)
            return sock;
        s_pause ();
    }
    if (sock >= 0)
        close (sock);
    return -1;
}

double umbp_bench_cpu (pid_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    size_t got = fread (text, 1, sizeof text - 1, file);
    fclose (file);
    text[got] = 0;
    const char *after = strrchr (text, ')');        //  The name may hold anything
    if (!after
        || sscanf (after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                   &system)
               < 2)
        return 0;
    return (double) (user + system) / (double) sysconf (_SC_CLK_TCK);
}

//  ------------------------------------------------------------------------------------------------
//  Nodes

//  The line that a node prints when it is ready. Returns false if none comes.
static bool s_read_ready (int fd, char *line, size_t size)
{
    size_t used = 0;
    int64_t until_ms = umbp_clock_ms () + START_MS;
    while (used < size - 1 && !memchr (line, '\n', used)) {
        struct pollfd item = { .fd = fd, .events = POLLIN };
        int64_t left_ms = until_ms - umbp_clock_ms ();
        if (left_ms <= 0 || poll (&item, 1, (int) left_ms) <= 0)
            return false;
        ssize_t got = read (fd, line + used, size - 1 - used);
        if (got <= 0)
            return false;
        used += (size_t) got;
    }
    line[used] = 0;
    return true;
}

//  Where umbp-node is: next to this program
static bool s_program (char *out, size_t size)
{
    ssize_t got = readlink ("/proc/self/exe", out, size - 1);
    out[got > 0 ? got : 0] = 0;
    char *slash = strrchr (out, '/');
    if (!slash || (size_t) (slash - out) + sizeof "/umbp-node" > size)
        return false;
    memcpy (slash, "/umbp-node", sizeof "/umbp-node");
    return true;
}

//  Cut a line at its spaces
static void s_cut (char *line, char **argv)
{
    char *rest = line;
    size_t count = 0;
    while (count < ARGS_MAX && (argv[count] = strtok_r (rest, " ", &rest)))
        count++;
    argv[count] = NULL;
}

static bool s_start_node (umbp_bench_cluster_t *self, size_t number, const char *flags)
{
    char program[256], log[128], line[1024];
    char *argv[ARGS_MAX + 1];
    int out;
    if (!s_program (program, sizeof program))
        return false;
    snprintf (self->nodes[number].id, sizeof self->nodes[number].id, "bench-%zu", number + 1);
    snprintf (log, sizeof log, "%s/%s.log", self->folder, self->nodes[number].id);
    snprintf (line, sizeof line,
              "%s --node-id %s --cluster-name bench --network-listen tcp://127.0.0.1:* "
              "--node-run-dir %s --cluster-heartbeat 200ms --cluster-suspect 10s "
              "--node-log warning %s%s %s",
              program, self->nodes[number].id, self->folder, number ? "--cluster-seeds " : "",
              number ? self->nodes[0].endpoint : "", flags);
    s_cut (line, argv);
    pid_t pid = umbp_bench_start_process (argv, log, &out);
    if (pid == -1)
        return false;
    self->nodes[number].pid = pid;
    self->count = number + 1;
    line[0] = 0;
    bool ready = s_read_ready (out, line, sizeof line);
    close (out);
    const char *endpoint = strstr (line, "endpoint=");
    if (ready && endpoint)
        sscanf (endpoint, "endpoint=%127s", self->nodes[number].endpoint);
    return ready && endpoint;
}

//  Remove a folder of files
static void s_remove_folder (const char *folder)
{
    char *argv[] = { "/bin/rm", "-rf", (char *) folder, NULL };
    pid_t pid = umbp_bench_start_process (argv, "/dev/null", NULL);
    if (pid > 0)
        umbp_bench_end_process (pid, 0, STOP_MS);
}

int umbp_bench_cluster_start (umbp_bench_cluster_t *self, size_t count, const char *flags)
{
    *self = (umbp_bench_cluster_t) { .folder = "/tmp/umbp-bench-XXXXXX" };
    if (!mkdtemp (self->folder)) {
        fprintf (stderr, "umbp-bench: %s: %s\n", self->folder, strerror (errno));
        return -1;
    }
    bool fine = true;
    for (size_t number = 0; number < count && fine; number++)
        fine = s_start_node (self, number, flags);
    int err = 0;
    umbp_talk_t *talk = fine ? umbp_talk_new (self->nodes[0].endpoint, ASK_MS, &err) : NULL;
    fine = talk && umbp_bench_wait_members (talk, count, MEET_MS) == 0;
    umbp_talk_destroy (&talk);
    if (fine)
        return 0;
    fprintf (stderr, "umbp-bench: the nodes did not come up, their logs are in %s\n", self->folder);
    for (size_t number = 0; number < self->count; number++)
        umbp_bench_end_process (self->nodes[number].pid, SIGKILL, STOP_MS);
    self->count = 0;
    *self->folder = 0;                  //  The logs stay
    return -1;
}

int umbp_bench_cluster_add (umbp_bench_cluster_t *self, const char *flags)
{
    if (self->count == UMBP_BENCH_NODES_MAX || !s_start_node (self, self->count, flags))
        return -1;
    return 0;
}

int umbp_bench_cluster_stop (umbp_bench_cluster_t *self)
{
    int rc = 0;
    for (size_t number = self->count; number-- > 0;) {
        int status = umbp_bench_end_process (self->nodes[number].pid, SIGTERM, STOP_MS);
        if (status != 0) {
            fprintf (stderr, "umbp-bench: %s ended with %d, its log is in %s\n",
                     self->nodes[number].id, status, self->folder);
            rc = -1;
        }
    }
    if (rc == 0 && *self->folder)
        s_remove_folder (self->folder);
    return rc;
}

double umbp_bench_cluster_cpu (const umbp_bench_cluster_t *self)
{
    double sum = 0;
    for (size_t number = 0; number < self->count; number++)
        sum += umbp_bench_cpu (self->nodes[number].pid);
    return sum;
}

//  ------------------------------------------------------------------------------------------------
//  Questions

static umbp_topology_t *s_topology (umbp_talk_t *talk)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_topology, 0);
    if (umbp_talk_ask (talk, "registry", &question, &answer) != 0)
        return NULL;
    return umbp_topology_new (&answer->topology_ok);
}

int umbp_bench_wait_members (umbp_talk_t *talk, size_t count, int timeout_ms)
{
    int64_t until_ms = umbp_clock_ms () + timeout_ms;
    size_t alive = 0;
    while (alive < count && umbp_clock_ms () < until_ms) {
        umbp_topology_t *topology = s_topology (talk);
        alive = 0;
        for (size_t index = 0; topology && index < umbp_topology_count (topology); index++) {
            const umbp_member_t *member = umbp_topology_member (topology, index);
            alive += member->state == UMBP_MEMBER_ALIVE && member->in_ring;
        }
        umbp_topology_destroy (&topology);
        s_pause ();
    }
    return alive >= count ? 0 : UMBP_ETIMEDOUT;
}

json_t *umbp_bench_tiers (const char *endpoint)
{
    static const char *const names[UMBP_TIERS] = { "", "hbm", "dram", "nvme", "shared" };
    int err;
    umbp_talk_t *talk = umbp_talk_new (*endpoint ? endpoint : "tcp://127.0.0.1:7710", ASK_MS, &err);
    umbp_topology_t *topology = talk ? s_topology (talk) : NULL;
    json_t *rows = topology ? json_array () : NULL;
    for (size_t index = 0; topology && index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        for (unsigned tier = 1; tier < UMBP_TIERS; tier++) {
            const umbp_tier_room_t *room = &member->tiers[tier];
            if (!room->total)
                continue;
            json_t *row = json_object ();
            json_object_set_new (row, "node", umbp_view_text (member->node, strlen (member->node)));
            json_object_set_new (row, "tier", json_string (names[tier]));
            json_object_set_new (row, "used_bytes", umbp_view_number (room->used));
            json_object_set_new (row, "total_bytes", umbp_view_number (room->total));
            json_object_set_new (row, "used_percent",
                                 json_real (umbp_view_percent (room->used, room->total)));
            json_object_set_new (row, "blocks", umbp_view_number (room->blocks));
            json_array_append_new (rows, row);
        }
    }
    umbp_topology_destroy (&topology);
    umbp_talk_destroy (&talk);
    return rows;
}

int umbp_bench_stat (umbp_talk_t *talk, const char *address, const char *name, uint64_t *value)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_stat, 0);
    int rc = umbp_talk_ask (talk, address, &question, &answer);
    size_t offset = 0;
    for (size_t index = 0; rc == 0 && index < answer->stat_ok.names.count; index++) {
        umbp_bytes_t found = umbp_column_next (&answer->stat_ok.names, index, &offset);
        if (found.size == strlen (name) && memcmp (found.data, name, found.size) == 0) {
            *value = umbp_u64s_at (answer->stat_ok.values, index);
            return 0;
        }
    }
    return rc ? rc : UMBP_ENOENT;
}
