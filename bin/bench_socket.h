//  bin/bench_socket.h - the least that moving bytes over tcp costs: another process that sends
//  parts of a file, or takes them, on one connection over loopback. To compare with.
#ifndef UMBP_BENCH_SOCKET_H
#define UMBP_BENCH_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum {
    UMBP_BENCH_SENDFILE,                //  The other side sends with sendfile
    UMBP_BENCH_SEND,                    //  ... with send, from the file mapped
    UMBP_BENCH_RECEIVE,                 //  ... takes, with recv into the file mapped
} umbp_bench_socket_way_t;

typedef struct {
    int sock;
    pid_t pid;
} umbp_bench_socket_t;

//  Start the other process, with a memfd of so many bytes. congestion is the algorithm of both
//  ends. Returns false if that cannot be done, and has said why.
bool umbp_bench_socket_start (umbp_bench_socket_t *self, int file, size_t bytes,
                              const char *congestion);
void umbp_bench_socket_stop (umbp_bench_socket_t *self);

//  Move count runs of size bytes, at these offsets of the file, from or to rooms. Returns false on
//  failure. The deadline is that of the connection, 30 s for each run.
bool umbp_bench_socket_move (umbp_bench_socket_t *self, umbp_bench_socket_way_t way,
                             const uint64_t *offsets, uint8_t *const *rooms, size_t count,
                             size_t size);

#endif
