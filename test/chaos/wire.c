//  test/chaos/wire.c - a bad cable between two network interfaces of this namespace: frames are
//  carried from each to the other late, in another order, or not at all. For kernels without
//  netem, and the same on those with it.
//
//      chaos-wire IF IF --seed S [--delay MS] [--jitter MS] [--loss PERCENT]
//
//  Jitter is drawn for each frame, so frames overtake each other. Runs until SIGTERM. Offloads of
//  who sends must be off: a frame without its checksum would be carried so.
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>

#include "test/chaos/block.h"

#define FRAME_MAX 2048
#define FRAMES_MAX 4096                 //  On the wire at once; more are lost, as in any queue
#define DRAIN_MAX 256

typedef struct {
    int64_t due_us;
    uint64_t number;                    //  Those due at once keep their order
    int to;
    size_t size;
    uint8_t bytes[FRAME_MAX];
} frame_t;

typedef struct {
    int sockets[2];
    uint64_t random, number;
    unsigned delay_ms, jitter_ms, loss_percent;
    frame_t *heap[FRAMES_MAX];          //  The one due first is the first
    frame_t *spare[FRAMES_MAX];
    size_t count, spare_count;
} self_t;

static int64_t s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int s_open (const char *name)
{
    unsigned number = if_nametoindex (name);
    int fd = socket (AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons (ETH_P_ALL));
    struct sockaddr_ll where = { .sll_family = AF_PACKET,
                                 .sll_protocol = htons (ETH_P_ALL),
                                 .sll_ifindex = (int) number };
    struct packet_mreq all = { .mr_ifindex = (int) number, .mr_type = PACKET_MR_PROMISC };
    if (number == 0 || fd == -1 || bind (fd, (struct sockaddr *) &where, sizeof where) == -1
        || setsockopt (fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) == -1) {
        fprintf (stderr, "chaos-wire: %s: %s\n", name, strerror (errno));
        exit (1);
    }
    return fd;
}

static bool s_before (const frame_t *one, const frame_t *other)
{
    return one->due_us != other->due_us ? one->due_us < other->due_us : one->number < other->number;
}

static void s_push (self_t *self, frame_t *frame)
{
    size_t at = self->count++;
    for (; at > 0 && s_before (frame, self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = frame;
}

static frame_t *s_pop (self_t *self)
{
    frame_t *first = self->heap[0], *last = self->heap[--self->count];
    size_t at = 0;
    for (size_t child = 1; child < self->count; child = 2 * at + 1) {
        if (child + 1 < self->count && s_before (self->heap[child + 1], self->heap[child]))
            child++;
        if (!s_before (self->heap[child], last))
            break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return first;
}

//  Returns false if there is nothing more to read
static bool s_take (self_t *self, int side)
{
    if (self->spare_count == 0)
        return false;
    frame_t *frame = self->spare[self->spare_count - 1];
    struct sockaddr_ll from;
    socklen_t from_size = sizeof from;
    ssize_t size = recvfrom (self->sockets[side], frame->bytes, sizeof frame->bytes,
                             MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &from, &from_size);
    if (size <= 0)
        return false;
    bool lost = umbp_splitmix (&self->random) % 100 < self->loss_percent;
    if (from.sll_pkttype == PACKET_OUTGOING || (size_t) size > sizeof frame->bytes || lost)
        return true;
    uint64_t late_ms = self->jitter_ms ? umbp_splitmix (&self->random) % self->jitter_ms : 0;
    frame->due_us = s_now_us () + (int64_t) (self->delay_ms + late_ms) * 1000;
    frame->number = self->number++;
    frame->to = self->sockets[!side];
    frame->size = (size_t) size;
    self->spare_count--;
    s_push (self, frame);
    return true;
}

//  A frame that cannot be sent now is lost
static void s_deliver (self_t *self)
{
    while (self->count > 0 && self->heap[0]->due_us <= s_now_us ()) {
        frame_t *frame = s_pop (self);
        if (send (frame->to, frame->bytes, frame->size, MSG_DONTWAIT) == -1 && errno == ENETDOWN)
            fprintf (stderr, "chaos-wire: an interface is down\n");
        self->spare[self->spare_count++] = frame;
    }
}

static void s_run (self_t *self)
{
    struct pollfd polls[] = { { self->sockets[0], POLLIN, 0 }, { self->sockets[1], POLLIN, 0 } };
    for (;;) {
        int64_t wait_us = self->count > 0 ? self->heap[0]->due_us - s_now_us () : 1000000;
        struct timespec wait = { wait_us / 1000000, wait_us % 1000000 * 1000 };
        if (wait_us <= 0)
            wait = (struct timespec) { 0 };
        ppoll (polls, 2, &wait, NULL);
        for (int side = 0; side < 2; side++)
            for (int budget = DRAIN_MAX; budget > 0 && s_take (self, side); budget--)
                ;
        s_deliver (self);
    }
}

int main (int argc, char **argv)
{
    static const struct option flags[] = { { "seed", 1, NULL, 's' },
                                           { "delay", 1, NULL, 'd' },
                                           { "jitter", 1, NULL, 'j' }, { "loss", 1, NULL, 'l' },
                                           { NULL, 0, NULL, 0 } };
    self_t *self = calloc (1, sizeof (self_t));
    frame_t *frames = calloc (FRAMES_MAX, sizeof (frame_t));
    if (!self || !frames)
        return 1;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (int flag; (flag = getopt_long (argc, argv, "", flags, NULL)) != -1;) {
        unsigned value = flag == '?' ? 0 : (unsigned) strtoul (optarg, NULL, 10);
        switch (flag) {
        case 's': self->random = strtoull (optarg, NULL, 10); break;
        case 'd': self->delay_ms = value; break;
        case 'j': self->jitter_ms = value; break;
        case 'l': self->loss_percent = value; break;
        default: return 2;
        }
    }
    if (argc - optind != 2) {
        fprintf (stderr, "chaos-wire: IF IF --seed S [--delay MS] [--jitter MS] [--loss %%]\n");
        return 2;
    }
    for (; self->spare_count < FRAMES_MAX; self->spare_count++)
        self->spare[self->spare_count] = &frames[self->spare_count];
    self->sockets[0] = s_open (argv[optind]);
    self->sockets[1] = s_open (argv[optind + 1]);
    s_run (self);
    return 0;
}
