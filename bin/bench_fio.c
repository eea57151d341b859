//  bin/bench_fio.c - fio, to compare with on the same disk. See bench_fio.h.
#include "bin/bench_fio.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bin/bench_nodes.h"
#include "cluster/bulk/clock.h"

#define FIO_MS 600000
#define THREADS_MAX 16                  //  Of the posix engine of the log
#define REPORT_MAX (1 << 20)

double umbp_bench_fio (const umbp_bench_fio_t *what)
{
    bool reads = what->reads, uring = what->uring;
    unsigned jobs = uring ? 1 : (unsigned) what->depth;
    if (jobs > THREADS_MAX)
        jobs = THREADS_MAX;
    uint64_t share = what->bytes / jobs / what->block_bytes * what->block_bytes;
    char name[512], size[40], block[40], depth[40], numjobs[40], step[48];
    snprintf (name, sizeof name, "--filename=%s", what->file);
    snprintf (size, sizeof size, "--size=%" PRIu64, share);
    snprintf (step, sizeof step, "--offset_increment=%" PRIu64, share);
    snprintf (block, sizeof block, "--bs=%" PRIu64, what->block_bytes);
    snprintf (depth, sizeof depth, "--iodepth=%" PRIu64, uring ? what->depth : 1);
    snprintf (numjobs, sizeof numjobs, "--numjobs=%u", jobs);
    char *argv[] = {
        "fio",
        "--name=umbp",
        name,
        size,
        step,
        block,
        depth,
        numjobs,
        "--thread",
        "--direct=1",
        "--group_reporting",
        "--output-format=json",
        reads ? "--rw=read" : "--rw=write",
        uring ? "--ioengine=io_uring" : "--ioengine=psync",
        uring ? "--fixedbufs" : NULL,
        "--registerfiles",
        NULL,
    };
    int out = -1;
    pid_t pid = umbp_bench_start_process (argv, "/dev/null", &out);
    if (pid <= 0)
        return -1;
    char *text = malloc (REPORT_MAX);
    size_t used = 0;
    ssize_t got = 1;
    int64_t until = umbp_clock_ms () + FIO_MS;
    while (text && got > 0 && used < REPORT_MAX - 1 && umbp_clock_ms () < until
           && poll (&(struct pollfd) { .fd = out, .events = POLLIN }, 1, FIO_MS) > 0) {
        got = read (out, text + used, REPORT_MAX - 1 - used);
        used += got > 0 ? (size_t) got : 0;
    }
    close (out);
    int status = umbp_bench_end_process (pid, 0, 5000);
    json_t *report = status == 0 ? json_loadb (text, used, 0, NULL) : NULL;
    json_t *job = json_array_get (json_object_get (report, "jobs"), 0);
    json_t *part = json_object_get (job, reads ? "read" : "write");
    json_t *rate = json_object_get (part, "bw_bytes");
    double mb = rate ? json_number_value (rate) / 1e6 : -1;
    json_decref (report);
    free (text);
    return mb;
}
