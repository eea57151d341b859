//  bin/bench_iperf.c - iperf3 to compare with, see bench_iperf.h
#include "bin/bench_iperf.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bin/bench_nodes.h"
#include "cluster/bulk/clock.h"

#define START_MS 10000                  //  For the server to listen
#define RUN_MS 60000
#define END_MS 1000
#define TEXT 65536                      //  Of a report

//  A port that nobody has right now; 0: none
static unsigned s_free_port (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int sock = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;
    if (sock >= 0 && bind (sock, (struct sockaddr *) &address, size) == 0
        && getsockname (sock, (struct sockaddr *) &address, &size) == 0)
        port = ntohs (address.sin_port);
    if (sock >= 0)
        close (sock);
    return port;
}

//  All that a process prints, until it ends or RUN_MS are over. Returns how much.
static size_t s_read (int fd, char *text, size_t room)
{
    size_t size = 0;
    ssize_t got = 1;
    int64_t until_ms = umbp_clock_ms () + RUN_MS, left_ms;
    struct pollfd item = { .fd = fd, .events = POLLIN };
    while (got > 0 && size < room && (left_ms = until_ms - umbp_clock_ms ()) > 0
           && poll (&item, 1, (int) left_ms) > 0) {
        got = read (fd, text + size, room - size);
        size += got > 0 ? (size_t) got : 0;
    }
    return size;
}

//  One report of a client. NULL: it failed, perhaps as the server does not listen yet.
static json_t *s_ask (const char *log, unsigned port, unsigned gib, size_t write_bytes,
                      const char *congestion)
{
    static char text[TEXT];
    char at[16], length[24], amount[16];
    int out = -1;
    snprintf (at, sizeof at, "%u", port);
    snprintf (length, sizeof length, "%zu", write_bytes);
    snprintf (amount, sizeof amount, "%uG", gib);
    char *argv[] = { "iperf3", "-c", "127.0.0.1",         "-p", at,  "-n", amount, "-l",
                     length,   "-C", (char *) congestion, "-J", NULL };
    pid_t pid = umbp_bench_start_process (argv, log, &out);
    if (pid <= 0)
        return NULL;
    size_t size = s_read (out, text, sizeof text);
    close (out);
    int status = umbp_bench_end_process (pid, 0, END_MS);
    return status == 0 ? json_loadb (text, size, 0, NULL) : NULL;
}

double umbp_bench_iperf (const char *folder, unsigned gib, size_t write_bytes,
                         const char *congestion, double *cpu_s, const char **why)
{
    char log[100], at[16];
    unsigned port = s_free_port ();
    snprintf (log, sizeof log, "%s/iperf3.log", folder);
    snprintf (at, sizeof at, "%u", port);
    char *argv[] = { "iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", at, NULL };
    *why = "there is no iperf3, or it failed";
    pid_t pid = umbp_bench_start_process (argv, log, NULL);
    if (pid <= 0)
        return -1;
    json_t *report = NULL;
    int64_t until_ms = umbp_clock_ms () + START_MS;
    while (!report && umbp_clock_ms () < until_ms && kill (pid, 0) == 0) {
        nanosleep (&(struct timespec) { .tv_nsec = 20000000 }, NULL);
        report = s_ask (log, port, gib, write_bytes, congestion);
    }
    umbp_bench_end_process (pid, report ? 0 : SIGTERM, END_MS);
    double bits = -1, seconds = 0, host = 0, remote = 0;
    json_error_t error;
    if (!report
        || json_unpack_ex (report, &error, 0, "{s:{s:{s:F,s:F},s:{s:F,s:F}}}", "end",
                           "sum_received", "bits_per_second", &bits, "seconds", &seconds,
                           "cpu_utilization_percent", "host_total", &host, "remote_total", &remote)
               != 0)
        bits = -8e9;
    json_decref (report);
    *cpu_s = seconds * (host + remote) / 100;
    return bits / 8e9;
}
