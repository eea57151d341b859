//  cluster/doors.c - clients at the UNIX socket of an actor. See doors.h for the contract.
#include "cluster/doors.h"

#include <sys/socket.h>
#include <unistd.h>

#include "cluster/bulk/shm.h"
#include "proto/error.h"
#include "proto/message.h"

#define WAITING_MAX 64                  //  Clients that connect at the same moment
#define DRAIN_MAX 16                    //  Datagrams of a door per wake-up, so that none starves others

typedef struct {
    int fd;                             //  -1: free
    uint64_t number;
} door_t;

struct umbp_doors {
    int listener;
    char path[UMBP_TEXT_MAX];
    door_t doors[UMBP_DOORS_MAX];
    size_t high;                        //  All doors from here on are free
    uint64_t numbers;                   //  Given so far
    zloop_t *loop;
    umbp_doors_take_fn *take;
    umbp_doors_closed_fn *closed;
    void (*woken) (void *arg);
    void *arg;
    umbp_doors_stats_t stats;
    uint8_t *datagram;
};

umbp_doors_t *umbp_doors_new (const char *path, umbp_doors_take_fn *take,
                              umbp_doors_closed_fn *closed, void *arg)
{
    int listener = umbp_shm_listen (path, WAITING_MAX);
    if (listener < 0) {
        zsys_error ("post: cannot open door %s: %s", path, umbp_strerror (listener));
        return NULL;
    }
    umbp_doors_t *self = zmalloc (sizeof (umbp_doors_t));
    self->listener = listener;
    snprintf (self->path, sizeof self->path, "%s", path);
    for (size_t index = 0; index < UMBP_DOORS_MAX; index++)
        self->doors[index].fd = -1;
    self->take = take;
    self->closed = closed;
    self->arg = arg;
    self->datagram = zmalloc (UMBP_SHM_DATA_MAX + 1);
    return self;
}

void umbp_doors_destroy (umbp_doors_t **self_p)
{
    umbp_doors_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->high; index++)
        if (self->doors[index].fd >= 0)
            close (self->doors[index].fd);
    close (self->listener);
    unlink (self->path);
    free (self->datagram);
    freen (*self_p);
}

const umbp_doors_stats_t *umbp_doors_stats (const umbp_doors_t *self)
{
    return &self->stats;
}

static void s_close (umbp_doors_t *self, door_t *door)
{
    zmq_pollitem_t item = { .fd = door->fd, .events = ZMQ_POLLIN };
    zloop_poller_end (self->loop, &item);
    close (door->fd);
    door->fd = -1;
    self->stats.open--;
    if (self->closed)
        self->closed (self->arg, door->number);
}

bool umbp_doors_send (umbp_doors_t *self, uint64_t door, const void *data, size_t size,
                      const int *fds, size_t count)
{
    size_t index = 0;
    while (index < self->high && (self->doors[index].fd < 0 || self->doors[index].number != door))
        index++;
    if (index < self->high && umbp_shm_send (self->doors[index].fd, data, size, fds, count) == 0)
        return true;
    if (index < self->high)
        shutdown (self->doors[index].fd, SHUT_RDWR);    //  The loop notices its end, and closes it
    return false;
}

static bool s_once (umbp_doors_t *self, door_t *door)
{
    ssize_t size = recv (door->fd, self->datagram, UMBP_SHM_DATA_MAX + 1, MSG_DONTWAIT);
    if (size == -1 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (size <= 0) {
        s_close (self, door);
        return false;
    }
    if (!self->take (self->arg, door->number, self->datagram, (size_t) size))
        shutdown (door->fd, SHUT_RDWR);
    return true;
}

bool umbp_doors_once (umbp_doors_t *self)
{
    bool any = false;
    for (size_t index = 0; index < self->high; index++)
        if (self->doors[index].fd >= 0)
            any |= s_once (self, &self->doors[index]);
    return any;
}

static int s_on_door (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    umbp_doors_t *self = arg;
    for (size_t index = 0; index < self->high; index++) {
        door_t *door = &self->doors[index];
        if (door->fd != item->fd)
            continue;
        for (int budget = DRAIN_MAX; budget > 0 && door->fd == item->fd && s_once (self, door);
             budget--)
            ;
        break;
    }
    self->woken (self->arg);
    return 0;
}

static int s_on_listener (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    umbp_doors_t *self = arg;
    int fd = umbp_shm_accept (item->fd, NULL);
    if (fd < 0)
        return 0;
    size_t index = 0;
    while (index < UMBP_DOORS_MAX && self->doors[index].fd >= 0)
        index++;
    if (index == UMBP_DOORS_MAX) {
        self->stats.refused++;
        close (fd);
        return 0;
    }
    self->doors[index] = (door_t) { fd, ++self->numbers };
    self->high = index >= self->high ? index + 1 : self->high;
    self->stats.open++;
    zmq_pollitem_t reader = { .fd = fd, .events = ZMQ_POLLIN };
    zloop_poller (loop, &reader, s_on_door, self);
    zloop_poller_set_tolerant (loop, &reader);  //  Else a hang-up ends the reading
    return 0;
}

void umbp_doors_start (umbp_doors_t *self, zloop_t *loop, void (*woken) (void *arg))
{
    self->loop = loop;
    self->woken = woken;
    zmq_pollitem_t item = { .fd = self->listener, .events = ZMQ_POLLIN };
    zloop_poller (loop, &item, s_on_listener, self);
}
