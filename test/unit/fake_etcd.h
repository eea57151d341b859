//  test/unit/fake_etcd.h - a small HTTP server that answers like etcd's JSON gateway, or as badly as
//  it is told. A thread of its own; what it shall do is told through atomics and a pipe.
#ifndef UMBP_TEST_FAKE_ETCD_H
#define UMBP_TEST_FAKE_ETCD_H

#include <CUnit/Basic.h>
#include <czmq.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/loopback.h"

#define FAKE_CONNECTIONS 32
#define FAKE_REQUEST_MAX 8192

typedef enum { AT_AUTH, AT_GRANT, AT_KEEP, AT_PUT, AT_RANGE, AT_WATCH, AT_REVOKE, AT_OTHER } at_t;

typedef enum {
    EVIL_NOT,
    EVIL_GARBAGE,
    EVIL_TYPES,
    EVIL_EMPTY,
    EVIL_CUT,
    EVIL_CLOSE,
    EVIL_NO_HTTP,
    EVIL_ERROR,
    EVIL_REDIRECT,
    EVIL_DEEP,
    EVIL_SILENT,
    EVIL_ENDLESS,
    EVIL_HUGE,
    EVIL_HEADERS,
    EVIL_KINDS,
    EVIL_DENIED,                        //  Once, then it is good again
    EVIL_LEASE_OVER,                    //  The same
} evil_t;

typedef struct {
    int fd;                             //  -1: free
    char request[FAKE_REQUEST_MAX + 1];
    size_t size;
    bool watch, endless;
    const char *more;                   //  What is endless
} fake_connection_t;

typedef struct {
    int listen, orders[2];
    unsigned port;
    pthread_t thread;
    fake_connection_t connections[FAKE_CONNECTIONS];
    char *kvs;                          //  Of a range; set before the thread starts
    atomic_int at, evil;
    atomic_uint asked[AT_OTHER + 1];
} fake_t;

#define FAKE_HEADER "\"header\":{\"revision\":\"5\"}"

static const struct {
    const char *path, *answer;
} fake_good[] = {
    [AT_AUTH] = { "/v3/auth/authenticate", "{" FAKE_HEADER ",\"token\":\"abc.1\"}" },
    [AT_GRANT] = { "/v3/lease/grant", "{" FAKE_HEADER ",\"ID\":\"77\",\"TTL\":\"1\"}" },
    [AT_KEEP] = { "/v3/lease/keepalive",
                  "{\"result\":{" FAKE_HEADER ",\"ID\":\"77\",\"TTL\":\"1\"}}\n" },
    [AT_PUT] = { "/v3/kv/put", "{" FAKE_HEADER "}" },
    [AT_RANGE] = { "/v3/kv/range", NULL },
    [AT_WATCH] = { "/v3/watch", "{\"result\":{" FAKE_HEADER ",\"created\":true}}\n" },
    [AT_REVOKE] = { "/v3/lease/revoke", "{" FAKE_HEADER "}" },
};

static inline void fake_close (fake_connection_t *one)
{
    close (one->fd);
    *one = (fake_connection_t) { .fd = -1 };
}

//  What cannot be sent at once is not sent: all but the endless is short
static inline void fake_send (fake_connection_t *one, const void *data, size_t size)
{
    if (send (one->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == -1 && errno != EAGAIN)
        fake_close (one);
}

static inline void fake_answer (fake_connection_t *one, const char *status, const char *body)
{
    size_t room = strlen (body) + 256;
    char *text = malloc (room);
    int size = snprintf (text, room, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
                         strlen (body), body);
    fake_send (one, text, (size_t) size);
    free (text);
}

static inline void fake_begin (fake_connection_t *one, const char *text)
{
    fake_send (one, text, strlen (text));
}

static inline void fake_chunk (fake_connection_t *one, const char *data, size_t size)
{
    char text[4200];
    int head = snprintf (text, sizeof text, "%zx\r\n", size);
    memcpy (text + head, data, size);
    memcpy (text + head + size, "\r\n", 2);
    fake_send (one, text, (size_t) head + size + 2);
}

static inline void fake_be_good (fake_t *self, fake_connection_t *one, at_t at)
{
    one->watch = at == AT_WATCH;
    if (one->watch) {
        fake_begin (one, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        fake_chunk (one, fake_good[at].answer, strlen (fake_good[at].answer));
    } else
        fake_answer (one, at == AT_OTHER ? "404 Not Found" : "200 OK",
                     at == AT_OTHER   ? ""
                     : at == AT_RANGE ? self->kvs
                                      : fake_good[at].answer);
}

static inline void fake_be_evil (fake_t *self, fake_connection_t *one, evil_t evil)
{
    static char deep[100001];
    char text[256];
    memset (deep, '[', sizeof deep - 1);
    switch (evil) {
    case EVIL_GARBAGE: fake_answer (one, "200 OK", "\x01\xff{\"header\":\n"); break;
    case EVIL_TYPES:
        fake_answer (one, "200 OK",
                     "{\"header\":{\"revision\":\"x\"},\"result\":{\"header\":5,"
                     "\"ID\":\"-1\",\"TTL\":{},\"kvs\":7,\"token\":[]}}\n");
        break;
    case EVIL_EMPTY: fake_answer (one, "200 OK", ""); break;
    case EVIL_CUT:
        fake_begin (one, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"header\":{");
        fake_close (one);
        break;
    case EVIL_NO_HTTP: fake_begin (one, "SSH-2.0-OpenSSH_9.2\r\n\r\n"); break;
    case EVIL_ERROR:
        fake_answer (one, "500 Oops", "{\"error\":\"no\\nleader\",\"code\":14}");
        break;
    case EVIL_REDIRECT:
        snprintf (text, sizeof text,
                  "HTTP/1.1 307 Elsewhere\r\nLocation: http://%s:%u/elsewhere\r\n"
                  "Content-Length: 0\r\n\r\n",
                  loopback_host (), self->port);
        fake_begin (one, text);
        break;
    case EVIL_DEEP: fake_answer (one, "200 OK", deep); break;
    case EVIL_SILENT: break;
    case EVIL_ENDLESS:
        fake_begin (one, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        one->more = "{\"key\":\"AAAA\"},";
        one->endless = true;
        break;
    case EVIL_HUGE:
        fake_begin (one, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        one->more = "{\"result\":{\"header\":{\"revision\":\"5\"},\"x\":[";
        one->endless = true;
        break;
    case EVIL_HEADERS:
        fake_begin (one, "HTTP/1.1 200 OK\r\n");
        one->more = "X-More: and more and more and more\r\n";
        one->endless = true;
        break;
    case EVIL_DENIED:
        atomic_store (&self->evil, EVIL_NOT);
        fake_answer (one, "401 Unauthorized", "{\"error\":\"invalid auth token\",\"code\":16}");
        break;
    case EVIL_LEASE_OVER:
        atomic_store (&self->evil, EVIL_NOT);
        fake_answer (one, "200 OK", "{\"result\":{" FAKE_HEADER ",\"ID\":\"77\"}}\n");
        break;
    default: fake_close (one); break;
    }
}

//  One request, if it is whole
static inline void fake_serve (fake_t *self, fake_connection_t *one)
{
    one->request[one->size] = 0;
    const char *end = strstr (one->request, "\r\n\r\n");
    const char *length = strcasestr (one->request, "content-length:");
    if (!end || !length
        || one->size < (size_t) (end + 4 - one->request) + (size_t) atoi (length + 15))
        return;
    one->size = 0;
    at_t at = AT_AUTH;
    while (at < AT_OTHER
           && (strncmp (one->request, "POST ", 5) != 0
               || strncmp (one->request + 5, fake_good[at].path, strlen (fake_good[at].path)) != 0))
        at++;
    atomic_fetch_add (&self->asked[at], 1);
    if (atomic_load (&self->at) == (int) at && atomic_load (&self->evil) != EVIL_NOT)
        fake_be_evil (self, one, (evil_t) atomic_load (&self->evil));
    else
        fake_be_good (self, one, at);
}

static inline void fake_read (fake_t *self, fake_connection_t *one)
{
    ssize_t size =
        recv (one->fd, one->request + one->size, FAKE_REQUEST_MAX - one->size, MSG_DONTWAIT);
    if (size <= 0 && !(size == -1 && errno == EAGAIN))
        fake_close (one);
    else if (size > 0) {
        one->size += (size_t) size;
        fake_serve (self, one);
    }
}

//  Much at a time: whoever reads this has a bound, which is to be reached
static inline void fake_write_more (fake_connection_t *one)
{
    char text[60000];
    size_t size = strlen (one->more), used = 0;
    for (; used + size <= sizeof text; used += size)
        memcpy (text + used, one->more, size);
    //  A part of a piece may be lost here, and then it is nonsense, as it well may be
    fake_send (one, text, used);
}

static inline void fake_accept (fake_t *self)
{
    int fd = accept (self->listen, NULL, NULL);
    fake_connection_t *one = self->connections;
    while (one < self->connections + FAKE_CONNECTIONS && one->fd != -1)
        one++;
    if (one == self->connections + FAKE_CONNECTIONS)
        close (fd);
    else if (fd != -1)
        one->fd = fd;
}

//  A line for all who watch. Returns false at the end.
static inline bool fake_order (fake_t *self)
{
    char line[4096];
    ssize_t size = read (self->orders[0], line, sizeof line);
    for (size_t index = 0; size > 0 && index < FAKE_CONNECTIONS; index++)
        if (self->connections[index].fd != -1 && self->connections[index].watch)
            fake_chunk (&self->connections[index], line, (size_t) size);
    return size > 0;
}

static void *fake_run (void *arg)
{
    fake_t *self = arg;
    for (;;) {
        zmq_pollitem_t items[FAKE_CONNECTIONS + 2] = { { NULL, self->listen, ZMQ_POLLIN, 0 },
                                                       { NULL, self->orders[0], ZMQ_POLLIN, 0 } };
        int count = 2, of[FAKE_CONNECTIONS + 2] = { 0 };
        for (int index = 0; index < FAKE_CONNECTIONS; index++) {
            const fake_connection_t *one = &self->connections[index];
            short wanted = (short) (ZMQ_POLLIN | (one->endless ? ZMQ_POLLOUT : 0));
            of[count] = index;
            if (one->fd != -1)
                items[count++] = (zmq_pollitem_t) { NULL, one->fd, wanted, 0 };
        }
        if (zmq_poll (items, count, -1) == -1)
            continue;
        for (int number = 2; number < count; number++) {
            fake_connection_t *one = &self->connections[of[number]];
            if (items[number].revents & (ZMQ_POLLIN | ZMQ_POLLERR))
                fake_read (self, one);
            if (one->fd != -1 && one->endless && items[number].revents & ZMQ_POLLOUT)
                fake_write_more (one);
        }
        if (items[0].revents)
            fake_accept (self);
        if (items[1].revents && !fake_order (self))
            return NULL;
    }
}

//  kvs: the answer to a range, which is then the server's
static inline void fake_start (fake_t *self, char *kvs)
{
    *self = (fake_t) { .kvs = kvs };
    for (size_t index = 0; index < FAKE_CONNECTIONS; index++)
        self->connections[index].fd = -1;
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    inet_pton (AF_INET, loopback_host (), &address.sin_addr);
    self->listen = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind (self->listen, (struct sockaddr *) &address, sizeof address);
    assert (rc == 0 && listen (self->listen, 64) == 0);
    rc = getsockname (self->listen, (struct sockaddr *) &address, &size);
    assert (rc == 0 && pipe (self->orders) == 0);
    self->port = ntohs (address.sin_port);
    rc = pthread_create (&self->thread, NULL, fake_run, self);
    assert (rc == 0);
}

static inline void fake_end (fake_t *self)
{
    close (self->orders[1]);
    pthread_join (self->thread, NULL);
    for (size_t index = 0; index < FAKE_CONNECTIONS; index++)
        if (self->connections[index].fd != -1)
            close (self->connections[index].fd);
    close (self->listen);
    close (self->orders[0]);
    free (self->kvs);
}

static inline void fake_be (fake_t *self, at_t at, evil_t evil)
{
    atomic_store (&self->at, (int) at);
    atomic_store (&self->evil, (int) evil);
}

static inline void fake_say (fake_t *self, const char *line)
{
    ssize_t size = write (self->orders[1], line, strlen (line));
    assert (size == (ssize_t) strlen (line));
}

static inline unsigned fake_asked (fake_t *self, at_t at)
{
    return atomic_load (&self->asked[at]);
}

#endif
