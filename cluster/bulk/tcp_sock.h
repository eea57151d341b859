//  cluster/bulk/tcp_sock.h - TCP sockets as both ends of a bulk connection want them.
#ifndef UMBP_TCP_SOCK_H
#define UMBP_TCP_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

//  Read "host:port" or "[host]:port", where the host is an address in numbers: looking a name up
//  may take for ever, and is done by who has the time. Returns the address' size, or UMBP_EINVAL.
int umbp_tcp_address (const char *endpoint, struct sockaddr_storage *address);

//  Write an address as umbp_tcp_address reads it. Returns 0, or UMBP_EINVAL if it does not fit.
int umbp_tcp_endpoint (const struct sockaddr_storage *address, char *endpoint, size_t max);

//  Options for bulk bytes: no Nagle, cubic (bbr, the default of many hosts, paces fast local
//  networks down to half), a dead peer noticed in half a minute. What the kernel does not know is
//  left out. Buffer sizes are left to the kernel, which adapts them; fixed ones measured no better.
void umbp_tcp_tune (int sock);

//  Listen at an endpoint. Never blocks. Returns the socket (non-blocking, close-on-exec), or
//  UMBP_EINVAL (endpoint), UMBP_EEXIST (taken), UMBP_EIO (see errno).
int umbp_tcp_listen (const char *endpoint, int backlog);

//  Connect to an endpoint. Blocks until deadline_ms (clock.h) at most. Returns the socket (non-
//  blocking, close-on-exec), or UMBP_EINVAL (endpoint), UMBP_EUNREACH, UMBP_ETIMEDOUT, UMBP_EIO.
int umbp_tcp_connect (const char *endpoint, int64_t deadline_ms);

//  Whether a connected socket ends on the host where it begins
bool umbp_tcp_is_here (int sock);

//  Wait until a socket is ready for some of the poll events. Returns those, or UMBP_ETIMEDOUT.
int umbp_tcp_wait (int sock, short events, int64_t deadline_ms);

#ifdef __cplusplus
}
#endif

#endif
