//  bin/bench_socket.c - plain sockets to compare with, see bench_socket.h
#include "bin/bench_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#include "bin/bench_nodes.h"

#define LIMIT_S 30
#define RUNS_MAX 64
#define END_MS 5000

//  What the other process is asked for
typedef struct {
    uint32_t way, count;
    uint64_t size, offsets[RUNS_MAX];
} order_t;

static bool s_send (int sock, const void *data, size_t size)
{
    for (const uint8_t *at = data; size > 0;) {
        ssize_t sent = send (sock, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

static bool s_receive (int sock, void *data, size_t size)
{
    for (uint8_t *at = data; size > 0;) {
        ssize_t got = recv (sock, at, size, MSG_WAITALL);
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t) got;
    }
    return true;
}

static bool s_sendfile (int sock, int file, uint64_t offset, size_t size)
{
    off_t at = (off_t) offset;
    while (size > 0) {
        ssize_t sent = sendfile (sock, file, &at, size);
        if (sent <= 0)
            return false;
        size -= (size_t) sent;
    }
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  The other process

static bool s_follow (int sock, int file, uint8_t *map, const order_t *order)
{
    bool fine = true;
    for (uint32_t index = 0; index < order->count && fine; index++) {
        uint64_t offset = order->offsets[index];
        if (order->way == UMBP_BENCH_SENDFILE)
            fine = s_sendfile (sock, file, offset, order->size);
        else if (order->way == UMBP_BENCH_SEND)
            fine = s_send (sock, map + offset, order->size);
        else
            fine = s_receive (sock, map + offset, order->size);
    }
    return fine && (order->way != UMBP_BENCH_RECEIVE || s_send (sock, "k", 1));
}

static int s_serve (int listener, int file, size_t bytes)
{
    order_t order;
    int sock = accept (listener, NULL, NULL);
    int on = 1;
    setsockopt (sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint8_t *map = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (sock == -1 || map == MAP_FAILED)
        return 1;
    while (s_receive (sock, &order, sizeof order))
        if (!s_follow (sock, file, map, &order))
            return 1;
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Ours

static int s_listen (struct sockaddr_in *address, const char *congestion)
{
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in) { .sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt (listener, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t) strlen (congestion));
    if (listener == -1 || bind (listener, (struct sockaddr *) address, size) == -1
        || listen (listener, 1) == -1
        || getsockname (listener, (struct sockaddr *) address, &size) == -1)
        return -1;
    return listener;
}

bool umbp_bench_socket_start (umbp_bench_socket_t *self, int file, size_t bytes,
                              const char *congestion)
{
    struct sockaddr_in address;
    int on = 1;
    *self = (umbp_bench_socket_t) { .sock = -1 };
    int listener = s_listen (&address, congestion);
    self->pid = listener == -1 ? -1 : fork ();
    if (self->pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        _exit (s_serve (listener, file, bytes));
    }
    if (self->pid > 0) {
        self->sock = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt (self->sock, IPPROTO_TCP, TCP_CONGESTION, congestion,
                    (socklen_t) strlen (congestion));
        setsockopt (self->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct timeval limit = { .tv_sec = LIMIT_S };
        setsockopt (self->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt (self->sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    bool fine =
        self->pid > 0 && connect (self->sock, (struct sockaddr *) &address, sizeof address) == 0;
    if (!fine)
        fprintf (stderr, "umbp-bench: plain socket: %s\n", strerror (errno));
    close (listener);
    return fine;
}

void umbp_bench_socket_stop (umbp_bench_socket_t *self)
{
    if (self->sock >= 0)
        close (self->sock);
    if (self->pid > 0)
        umbp_bench_end_process (self->pid, 0, END_MS);
}

bool umbp_bench_socket_move (umbp_bench_socket_t *self, umbp_bench_socket_way_t way,
                             const uint64_t *offsets, uint8_t *const *rooms, size_t count,
                             size_t size)
{
    order_t order = { .way = way, .count = (uint32_t) count, .size = size };
    if (count > RUNS_MAX)
        return false;
    memcpy (order.offsets, offsets, count * sizeof *offsets);
    bool fine = s_send (self->sock, &order, sizeof order);
    for (size_t index = 0; index < count && fine; index++)
        fine = way == UMBP_BENCH_RECEIVE ? s_send (self->sock, rooms[index], size)
                                         : s_receive (self->sock, rooms[index], size);
    char done;
    return fine && (way != UMBP_BENCH_RECEIVE || s_receive (self->sock, &done, 1));
}
