//  cluster/bulk/tcp_sock.c - TCP sockets as both ends of a bulk connection want them. See
//  tcp_sock.h.
#include "cluster/bulk/tcp_sock.h"

#include "cluster/bulk/clock.h"
#include "proto/error.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_IDLE_S 10                  //  Silence before the first probe
#define KEEP_PROBE_S 5
#define KEEP_PROBES 4
#define UNACKED_MS 30000                //  Bytes sent that the peer's kernel does not confirm

//  The C library would take signs and numbers that do not fit
static bool s_is_port (const char *text)
{
    size_t length = strspn (text, "0123456789");
    return length > 0 && length <= 5 && text[length] == '\0' && atoi (text) <= UINT16_MAX;
}

int umbp_tcp_address (const char *endpoint, struct sockaddr_storage *address)
{
    char host[128];
    const char *colon = strrchr (endpoint, ':');
    size_t length = colon ? (size_t) (colon - endpoint) : 0;
    if (length > 1 && endpoint[0] == '[' && endpoint[length - 1] == ']') {
        endpoint++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof host)
        return UMBP_EINVAL;
    memcpy (host, endpoint, length);
    host[length] = '\0';
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found;
    if (!s_is_port (colon + 1) || getaddrinfo (host, colon + 1, &hints, &found) != 0)
        return UMBP_EINVAL;
    int size = (int) found->ai_addrlen;
    memcpy (address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo (found);
    return size;
}

int umbp_tcp_endpoint (const struct sockaddr_storage *address, char *endpoint, size_t max)
{
    char host[128], port[8];
    bool six = address->ss_family == AF_INET6;
    socklen_t size = six ? sizeof (struct sockaddr_in6) : sizeof (struct sockaddr_in);
    if (getnameinfo ((const struct sockaddr *) address, size, host, sizeof host, port, sizeof port,
                     NI_NUMERICHOST | NI_NUMERICSERV)
        != 0)
        return UMBP_EINVAL;
    int length = snprintf (endpoint, max, six ? "[%s]:%s" : "%s:%s", host, port);
    return length > 0 && (size_t) length < max ? 0 : UMBP_EINVAL;
}

static void s_set (int sock, int level, int option, int value)
{
    setsockopt (sock, level, option, &value, sizeof value);
}

void umbp_tcp_tune (int sock)
{
    s_set (sock, IPPROTO_TCP, TCP_NODELAY, 1);
    setsockopt (sock, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    s_set (sock, SOL_SOCKET, SO_KEEPALIVE, 1);
    s_set (sock, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    s_set (sock, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_PROBE_S);
    s_set (sock, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES);
    s_set (sock, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS);
}

bool umbp_tcp_is_here (int sock)
{
    struct sockaddr_storage ends[2] = { 0 };
    socklen_t one = sizeof ends[0], other = sizeof ends[1];
    if (getsockname (sock, (struct sockaddr *) &ends[0], &one) == -1
        || getpeername (sock, (struct sockaddr *) &ends[1], &other) == -1
        || ends[0].ss_family != ends[1].ss_family)
        return false;
    if (ends[0].ss_family == AF_INET6)
        return memcmp (&((struct sockaddr_in6 *) &ends[0])->sin6_addr,
                       &((struct sockaddr_in6 *) &ends[1])->sin6_addr, sizeof (struct in6_addr))
               == 0;
    in_addr_t from = ntohl (((struct sockaddr_in *) &ends[0])->sin_addr.s_addr);
    in_addr_t to = ntohl (((struct sockaddr_in *) &ends[1])->sin_addr.s_addr);
    return from == to || to >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

//  Close it and say why
static int s_give_up (int sock, int rc)
{
    int error = errno;
    close (sock);
    errno = error;
    return rc;
}

int umbp_tcp_listen (const char *endpoint, int backlog)
{
    struct sockaddr_storage address;
    int size = umbp_tcp_address (endpoint, &address);
    if (size < 0)
        return size;
    int sock = socket (address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock == -1)
        return UMBP_EIO;
    s_set (sock, SOL_SOCKET, SO_REUSEADDR, 1);
    umbp_tcp_tune (sock);
    if (bind (sock, (struct sockaddr *) &address, size) == -1 || listen (sock, backlog) == -1)
        return s_give_up (sock, errno == EADDRINUSE ? UMBP_EEXIST : UMBP_EIO);
    return sock;
}

static int s_connect_code (int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL: return UMBP_EUNREACH;
    case ETIMEDOUT: return UMBP_ETIMEDOUT;
    default: return UMBP_EIO;
    }
}

//  The connection is under way. Returns 0 once it is made.
static int s_connected (int sock, int64_t deadline_ms)
{
    int rc = umbp_tcp_wait (sock, POLLOUT, deadline_ms);
    if (rc < 0)
        return rc;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt (sock, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
        return UMBP_EIO;
    errno = error;
    return error ? s_connect_code (error) : 0;
}

int umbp_tcp_connect (const char *endpoint, int64_t deadline_ms)
{
    struct sockaddr_storage address;
    int size = umbp_tcp_address (endpoint, &address);
    if (size < 0)
        return size;
    int sock = socket (address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock == -1)
        return UMBP_EIO;
    umbp_tcp_tune (sock);
    int rc = 0;
    if (connect (sock, (struct sockaddr *) &address, size) == -1)
        rc = errno == EINPROGRESS ? s_connected (sock, deadline_ms) : s_connect_code (errno);
    return rc == 0 ? sock : s_give_up (sock, rc);
}

int umbp_tcp_wait (int sock, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - umbp_clock_ms ();
        if (left < 0)
            left = 0;
        if (left > INT_MAX)
            left = INT_MAX;
        struct pollfd poll_item = { .fd = sock, .events = events };
        if (poll (&poll_item, 1, (int) left) > 0)
            return poll_item.revents;
        if (left == 0)
            return UMBP_ETIMEDOUT;
    }
}
