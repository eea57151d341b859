//  cluster/bulk/shm.c - regions shared with a process of the same host. See shm.h.
#include "cluster/bulk/shm.h"

#include "cluster/bulk/clock.h"
#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

//  ---- Sockets

static int s_address (const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    size_t length = strnlen (path, sizeof address->sun_path);
    if (length == 0 || length == sizeof address->sun_path)
        return UMBP_EINVAL;
    memcpy (address->sun_path, path, length);
    return 0;
}

static int s_socket (int flags)
{
    return socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
}

//  Close it and say why
static int s_give_up (int sock, int rc)
{
    int error = errno;
    close (sock);
    errno = error;
    return rc;
}

//  The directory of a path, opened and locked, so that of two processes that start at once only one
//  takes the other's file for a stale one. The lock ends with the descriptor.
static int s_lock_directory (const char *path)
{
    char name[sizeof ((struct sockaddr_un *) NULL)->sun_path];
    const char *slash = strrchr (path, '/');
    size_t length = slash ? (size_t) (slash - path) + 1 : 0;
    memcpy (name, path, length);
    name[length] = '\0';
    int fd = open (length ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return UMBP_EIO;
    if (flock (fd, LOCK_EX | LOCK_NB) == -1)
        return s_give_up (fd, errno == EWOULDBLOCK ? UMBP_EAGAIN : UMBP_EIO);
    return fd;
}

//  True if the file is a socket and nobody listens at it
static bool s_is_stale (const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat (address->sun_path, &status) == -1 || !S_ISSOCK (status.st_mode))
        return false;
    int probe = s_socket (SOCK_NONBLOCK);
    if (probe == -1)
        return false;
    bool stale = connect (probe, (const struct sockaddr *) address, sizeof *address) == -1
                 && errno == ECONNREFUSED;
    close (probe);
    return stale;
}

static int s_bind (int sock, const struct sockaddr_un *address, int backlog)
{
    const struct sockaddr *name = (const struct sockaddr *) address;
    //  The mode of the socket becomes that of the file, so there is no moment when others can
    //  connect
    if (fchmod (sock, 0600) == -1)
        return UMBP_EIO;
    int rc = bind (sock, name, sizeof *address);
    if (rc == -1 && errno == EADDRINUSE) {
        if (!s_is_stale (address))
            return UMBP_EEXIST;
        unlink (address->sun_path);
        rc = bind (sock, name, sizeof *address);
    }
    return rc == -1 || listen (sock, backlog) == -1 ? UMBP_EIO : 0;
}

int umbp_shm_listen (const char *path, int backlog)
{
    struct sockaddr_un address;
    if (s_address (path, &address) != 0)
        return UMBP_EINVAL;
    int directory = s_lock_directory (path);
    if (directory < 0)
        return directory;
    int sock = s_socket (SOCK_NONBLOCK);
    if (sock == -1)
        return s_give_up (directory, UMBP_EIO);
    int rc = s_bind (sock, &address, backlog);
    s_give_up (directory, rc);
    return rc == 0 ? sock : s_give_up (sock, rc);
}

void umbp_shm_unlisten (int *sock_p, const char *path)
{
    if (*sock_p != -1) {
        unlink (path);                  //  First, or we might remove our successor's
        close (*sock_p);
        *sock_p = -1;
    }
}

static bool s_is_trusted (int sock, pid_t *pid_p)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt (sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1 || size != sizeof peer)
        return false;
    if (pid_p)
        *pid_p = peer.pid;
    return peer.uid == geteuid () || peer.uid == 0;
}

int umbp_shm_accept (int listener, pid_t *pid_p)
{
    int sock = accept4 (listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock == -1) {
        bool gone = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        return gone ? UMBP_EAGAIN : UMBP_EIO;
    }
    return s_is_trusted (sock, pid_p) ? sock : s_give_up (sock, UMBP_EDENIED);
}

static int s_connect_code (int error)
{
    switch (error) {
    case ENOENT: return UMBP_ENOENT;
    case ECONNREFUSED:
    case EPROTOTYPE:                    //  A socket of another type
        return UMBP_EUNREACH;
    case EAGAIN:
    case EINTR: return UMBP_ETIMEDOUT;
    case EACCES:
    case EPERM: return UMBP_EDENIED;
    default: return UMBP_EIO;
    }
}

int umbp_shm_connect (const char *path, int timeout_ms, pid_t *pid_p)
{
    struct sockaddr_un address;
    if (s_address (path, &address) != 0 || timeout_ms < 0)
        return UMBP_EINVAL;
    int sock = s_socket (0);
    if (sock == -1)
        return UMBP_EIO;
    //  A UNIX connect waits for room in the listener's queue, by the socket's time-out for sending;
    //  0 there would mean for ever
    struct timeval limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
    if (timeout_ms == 0)
        limit.tv_usec = 1;
    if (setsockopt (sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == -1)
        return s_give_up (sock, UMBP_EIO);
    if (connect (sock, (const struct sockaddr *) &address, sizeof address) == -1)
        return s_give_up (sock, s_connect_code (errno));
    if (!s_is_trusted (sock, pid_p))
        return s_give_up (sock, UMBP_EDENIED);
    if (fcntl (sock, F_SETFL, O_NONBLOCK) == -1)
        return s_give_up (sock, UMBP_EIO);
    return sock;
}

//  ---- Messages

//  Room for one descriptor more than we take, since the kernel fills the padding too
typedef union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE (sizeof (int) * (UMBP_SHM_FDS_MAX + 1))];
} control_t;

static int s_io_code (int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ETOOMANYREFS:                  //  Too many descriptors on their way at once
        return UMBP_EAGAIN;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN: return UMBP_ECLOSED;
    default: return UMBP_EIO;
    }
}

int umbp_shm_send (int sock, const void *data, size_t size, const int *fds, size_t count)
{
    //  An empty message could not be told from the end of the connection
    if (size == 0 || size > UMBP_SHM_DATA_MAX || count > UMBP_SHM_FDS_MAX)
        return UMBP_EINVAL;
    control_t control = { 0 };
    struct iovec vector = { (void *) data, size };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE (sizeof (int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR (&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN (sizeof (int) * count);
        memcpy (CMSG_DATA (header), fds, sizeof (int) * count);
    }
    if (sendmsg (sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
        return s_io_code (errno);
    return 0;
}

void umbp_shm_close (int *fds, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (fds[index] >= 0)
            close (fds[index]);
        fds[index] = -1;
    }
}

//  Take the descriptors out of a message, at most max. Returns how many came; what is beyond max is
//  closed.
static size_t s_take_fds (struct msghdr *message, int *fds, size_t max)
{
    size_t count = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR (message); at; at = CMSG_NXTHDR (message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (at->cmsg_len - CMSG_LEN (0)) / sizeof (int);
        for (size_t index = 0; index < here; index++) {
            int fd;
            memcpy (&fd, CMSG_DATA (at) + index * sizeof (int), sizeof fd);
            if (count < max)
                fds[count] = fd;
            else
                close (fd);
            count++;
        }
    }
    return count;
}

//  Wait until the socket has something. Returns 0 or UMBP_ETIMEDOUT.
static int s_wait (int sock, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - umbp_clock_ms ();
        struct pollfd poll_item = { .fd = sock, .events = POLLIN };
        int rc = poll (&poll_item, 1, left > 0 ? (int) left : 0);
        if (rc > 0)
            return 0;
        if (left <= 0)
            return UMBP_ETIMEDOUT;
    }
}

int umbp_shm_recv (int sock, void *data, size_t max, int *fds, size_t *count_p, int timeout_ms)
{
    size_t room = *count_p;
    *count_p = 0;
    int64_t deadline_ms = umbp_clock_ms () + (timeout_ms > 0 ? timeout_ms : 0);
    control_t control;
    struct iovec vector = { data, max };
    struct msghdr message;
    ssize_t size;
    for (;;) {
        message = (struct msghdr) {
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = sizeof control,
        };
        size = recvmsg (sock, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (size != -1)
            break;
        int rc = s_io_code (errno);
        if (rc == UMBP_EAGAIN)
            rc = s_wait (sock, deadline_ms);
        if (rc != 0)
            return rc;
    }
    size_t count = s_take_fds (&message, fds, room);
    if (size > 0 && count <= room && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        *count_p = count;
        return (int) size;
    }
    umbp_shm_close (fds, count < room ? count : room);
    return size == 0 ? UMBP_ECLOSED : UMBP_ETOOBIG;
}

//  ---- Maps

#define PAGE_MIN 4096
#define STEP_BYTES ((size_t) 16 << 20)  //  Put in place at once, which takes a few milliseconds

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22           //  Kernel 5.14; older ones answer EINVAL
#define MADV_POPULATE_WRITE 23
#endif

typedef struct {
    void *base;
    size_t bytes;
} part_t;

struct umbp_shm_map {
    size_t count;
    bool writable;
    part_t parts[UMBP_SHM_FDS_MAX];
};

static int s_map (part_t *part, int fd, bool writable)
{
    struct stat status;
    int seals = fcntl (fd, F_GET_SEALS);
    if (seals == -1 || !(seals & F_SEAL_SHRINK) || fstat (fd, &status) == -1)
        return UMBP_EDENIED;
    if (status.st_size <= 0 || (uint64_t) status.st_size > SIZE_MAX)
        return UMBP_EDENIED;
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *base = mmap (NULL, status.st_size, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return errno == EACCES || errno == EPERM ? UMBP_EDENIED
               : errno == ENOMEM                 ? UMBP_ENOSPC
                                                 : UMBP_EIO;
    *part = (part_t) { base, status.st_size };
    return 0;
}

umbp_shm_map_t *umbp_shm_map_new (const int *fds, size_t count, bool writable, int *rc_p)
{
    int rc = count > 0 && count <= UMBP_SHM_FDS_MAX ? 0 : UMBP_EINVAL;
    umbp_shm_map_t *self = calloc (1, sizeof (umbp_shm_map_t));
    assert (self);
    self->writable = writable;
    for (size_t index = 0; rc == 0 && index < count; index++) {
        rc = s_map (&self->parts[index], fds[index], writable);
        self->count += rc == 0;
    }
    if (rc != 0)
        umbp_shm_map_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

//  So many pages from one on that are alike: there, or not
static size_t s_alike (const uint8_t *there, size_t at, size_t count)
{
    size_t end = at + 1;
    while (end < count && (there[end] & 1) == (there[at] & 1))
        end++;
    return end - at;
}

//  Map those pages of a step that exist. Returns false if the kernel will not.
static bool s_populate_step (uint8_t *base, size_t bytes, size_t page, int advice)
{
    uint8_t there[STEP_BYTES / PAGE_MIN];
    size_t count = (bytes + page - 1) / page;
    if (mincore (base, bytes, there) != 0)
        return false;
    for (size_t at = 0, run; at < count; at += run) {
        run = s_alike (there, at, count);
        int rc = 0;
        do
            rc = there[at] & 1 ? madvise (base + at * page, run * page, advice) : 0;
        while (rc != 0 && errno == EINTR);
        if (rc != 0)
            return false;
    }
    return true;
}

//  Returns false if time is over, or the kernel will not
static bool s_populate (const part_t *part, int advice, int64_t deadline_ms)
{
    size_t page = (size_t) sysconf (_SC_PAGESIZE);
    for (size_t at = 0; at < part->bytes; at += STEP_BYTES) {
        size_t left = part->bytes - at, step = left < STEP_BYTES ? left : STEP_BYTES;
        if (umbp_clock_ms () >= deadline_ms
            || !s_populate_step ((uint8_t *) part->base + at, step, page, advice))
            return false;
    }
    return true;
}

void umbp_shm_map_populate (umbp_shm_map_t *self, int64_t deadline_ms)
{
    int advice = self->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    for (size_t index = 0; index < self->count; index++)
        if (!s_populate (&self->parts[index], advice, deadline_ms))
            return;
}

void umbp_shm_map_destroy (umbp_shm_map_t **self_p)
{
    assert (self_p);
    umbp_shm_map_t *self = *self_p;
    if (self) {
        for (size_t index = 0; index < self->count; index++)
            munmap (self->parts[index].base, self->parts[index].bytes);
        free (self);
        *self_p = NULL;
    }
}

void *umbp_shm_map_base (const umbp_shm_map_t *self, size_t region)
{
    return region < self->count ? self->parts[region].base : NULL;
}

size_t umbp_shm_map_bytes (const umbp_shm_map_t *self, size_t region)
{
    return region < self->count ? self->parts[region].bytes : 0;
}

size_t umbp_shm_map_count (const umbp_shm_map_t *self)
{
    return self->count;
}
