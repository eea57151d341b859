//  cluster/bulk/shm.h - regions shared with a process of the same host. Descriptors travel over a
//  UNIX SEQPACKET socket; the other side maps them. A socket belongs to one thread at a time; a map
//  may be read by all. Only processes of our own user, or root's, are spoken to.
#ifndef UMBP_SHM_H
#define UMBP_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_SHM_FDS_MAX 64             //  Descriptors in one message
#define UMBP_SHM_DATA_MAX (192 * 1024)  //  Bytes in one message

//  Listen at a path, with mode 0600. A socket file that nobody answers at is replaced. Never
//  blocks. Returns the socket (non-blocking, close-on-exec), or UMBP_EINVAL (path empty or too long
//  for a socket's name, 107 bytes), UMBP_EEXIST (somebody answers there, or it is no socket),
//  UMBP_EAGAIN (another process is just setting up a socket in that directory), UMBP_EIO (see
//  errno).
int umbp_shm_listen (const char *path, int backlog);

//  Stop listening: closes *sock_p, leaves a -1, removes the file.
void umbp_shm_unlisten (int *sock_p, const char *path);

//  Take a connection that waits. Never blocks. pid_p, unless NULL, receives the peer's process id.
//  Returns the socket (non-blocking, close-on-exec), or UMBP_EAGAIN (none waits), UMBP_EDENIED (it
//  was another user's, and is closed), UMBP_EIO (see errno).
int umbp_shm_accept (int listener, pid_t *pid_p);

//  Connect to a path. Blocks for timeout_ms at most. pid_p as above.
//  Returns the socket (non-blocking, close-on-exec), or UMBP_EINVAL (path), UMBP_ENOENT (no such
//  file), UMBP_EUNREACH (nobody answers), UMBP_ETIMEDOUT, UMBP_EDENIED (another user's), UMBP_EIO
//  (see errno).
int umbp_shm_connect (const char *path, int timeout_ms, pid_t *pid_p);

//  Send one message: 1..UMBP_SHM_DATA_MAX bytes and up to UMBP_SHM_FDS_MAX descriptors, which stay
//  the caller's. Never blocks. Returns 0, or UMBP_EINVAL (limits), UMBP_EAGAIN (the peer does not
//  read: poll for POLLOUT), UMBP_ECLOSED (the peer is gone), UMBP_EIO (see errno).
int umbp_shm_send (int sock, const void *data, size_t size, const int *fds, size_t count);

//  Receive one message. *count_p says how many descriptors fds has room for, and then how many
//  came; they are the caller's to close, and are close-on-exec. Blocks for timeout_ms at most, 0
//  does not wait. Returns its size in bytes, or UMBP_ETIMEDOUT, UMBP_ECLOSED (the peer is gone),
//  UMBP_ETOOBIG (more bytes or descriptors than there is room for; all are dropped and closed),
//  UMBP_EIO (errno). After an error no descriptor is left open, and *count_p is 0.
int umbp_shm_recv (int sock, void *data, size_t max, int *fds, size_t *count_p, int timeout_ms);

//  Close descriptors that came, and leave -1 in their place.
void umbp_shm_close (int *fds, size_t count);

//  Regions of another process, mapped into ours.
typedef struct umbp_shm_map umbp_shm_map_t;

//  Map them all, in order, for reading or for reading and writing. Each must be a memfd sealed
//  against shrinking: one that shrinks would kill us by SIGBUS. The descriptors stay the caller's,
//  and may be closed at once.
//  Returns NULL if one cannot be mapped; *rc_p, unless it is NULL, says why: UMBP_EINVAL (none, or
//  more than UMBP_SHM_FDS_MAX), UMBP_EDENIED (not sealed, empty, or not open for writing),
//  UMBP_ENOSPC, UMBP_EIO.
umbp_shm_map_t *umbp_shm_map_new (const int *fds, size_t count, bool writable, int *rc_p);

//  Map the pages that exist, since a fault for each small page would halve the speed of the first
//  copy. Those that do not exist are not made: their owner did not want them yet, or gave them back.
//  Takes a second for some GiB, and ends at deadline_ms (clock.h); pages that were not mapped by
//  then, or by a kernel before 5.14, come when they are used first.
void umbp_shm_map_populate (umbp_shm_map_t *self, int64_t deadline_ms);

void umbp_shm_map_destroy (umbp_shm_map_t **self_p);

//  Where a region lies, and its bytes; NULL and 0 for one that is not in the map.
void *umbp_shm_map_base (const umbp_shm_map_t *self, size_t region);
size_t umbp_shm_map_bytes (const umbp_shm_map_t *self, size_t region);
size_t umbp_shm_map_count (const umbp_shm_map_t *self);

#ifdef __cplusplus
}
#endif

#endif
