//  test/unit/loopback.h - a loopback address that only this process uses. All of 127.0.0.0/8 is
//  this host, so nobody who still looks for the former neighbour of a port finds us there, and no
//  other process takes a port that we gave up for a moment.
#ifndef UMBP_TEST_LOOPBACK_H
#define UMBP_TEST_LOOPBACK_H

#include <stdio.h>
#include <unistd.h>

//  "127.x.y.z", made of the process id, which has 22 bits; never 127.0.0.1. One thread at a time.
static inline const char *loopback_host (void)
{
    static char host[16];
    unsigned pid = (unsigned) getpid ();
    if (!*host)                         //  A child keeps what its parent had
        snprintf (host, sizeof host, "127.%u.%u.%u", 64 | (pid >> 16 & 63), pid >> 8 & 255,
                  pid & 255);
    return host;
}

//  There, at any port that is free: for a bulk server, and for a socket of ZeroMQ. Good until the
//  next call.
static inline const char *loopback_bulk (void)
{
    static char endpoint[32];
    snprintf (endpoint, sizeof endpoint, "%s:0", loopback_host ());
    return endpoint;
}

static inline const char *loopback_tcp (void)
{
    static char endpoint[32];
    snprintf (endpoint, sizeof endpoint, "tcp://%s:*", loopback_host ());
    return endpoint;
}

#endif
