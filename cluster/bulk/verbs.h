//  cluster/bulk/verbs.h - one-sided RDMA (libibverbs, RC): reads and writes blocks in the regions of
//  another node, by its extents, without its processor. The code lies in a plug-in,
//  libumbp-verbs.so, so that nothing else of umbp needs an RDMA library: umbp_verbs_load gives its
//  table of functions, or says why not.
//
//  Two ends make a link out of plain values, which travel by any other way: each makes its end
//  (link_new), describes it, and connects it to the description of the other. Then each may read
//  and write what the other has shared: memory_t of a region, or of a window into it.
//
//  verbs_t is safe to use from many threads; a link is for one thread at a time. Its calls block,
//  until their deadline at most. Deadlines are on the clock of clock.h. Errors are proto/error.h.
#ifndef UMBP_VERBS_H
#define UMBP_VERBS_H

#include "cluster/bulk/extent.h"
#include "cluster/bulk/piece.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_VERBS_VERSION 3            //  Of the table; a plug-in of another one is refused
#define UMBP_VERBS_DEVICES_MAX 8
#define UMBP_VERBS_QUEUES_MAX 16        //  Queue pairs of a link
#define UMBP_VERBS_WHY_MAX 256          //  Bytes of a sentence on what went wrong

typedef struct umbp_verbs umbp_verbs_t;                      //  The devices of this process
typedef struct umbp_verbs_link umbp_verbs_link_t;            //  One end of queue pairs to one peer
typedef struct umbp_verbs_region umbp_verbs_region_t;        //  Memory of ours that peers may use
typedef struct umbp_verbs_window umbp_verbs_window_t;        //  A part of it, for one link alone

//  What is 0 gets the default in parentheses
typedef struct {
    const char *devices;                //  Names by comma, each "name" or "name:port" (all active)
    int gid_index;                      //  Of all devices; a negative one or 0 is (chosen)
    uint32_t mtu;                       //  Bytes in a packet, 256..4096 (what both ends can)
    uint32_t queues;                    //  Queue pairs of a link (2 per device)
    uint32_t depth;                     //  Requests under way in a queue pair (16)
    uint32_t reads;                     //  READs of these (16, and what both devices can)
    uint32_t chunk_bytes;               //  In one request (1 MiB)
    uint32_t inline_bytes;              //  Writes up to this size go with the request (64)
    uint32_t staging_bytes;             //  Of a link, for memory that is not registered (4 MiB)
    uint64_t cache_bytes;               //  Registered at a time of announced buffers (1 GiB)
    uint32_t cache_count;               //  Registrations for that (1024)
    uint32_t spin_us;                   //  Poll so long, at most, before sleeping (50)
    uint32_t silence_ms;                //  Resend for about so long before a peer is gone (2000)
    bool no_windows;                    //  Do as devices do that have no windows, see windows_new
} umbp_verbs_options_t;

//  A queue pair, as its peer has to know it
typedef struct {
    uint32_t number, psn;
    uint16_t lid;                       //  InfiniBand; 0 on Ethernet
    uint16_t mtu;                       //  Bytes
    uint8_t reads;                      //  That it answers at a time
    uint8_t device;                     //  Its place in the list of devices of its end
    uint8_t gid[16];
} umbp_verbs_queue_t;

typedef struct {
    uint32_t count;
    umbp_verbs_queue_t queues[UMBP_VERBS_QUEUES_MAX];
} umbp_verbs_description_t;

//  Remote memory: where it is, and a key for each device of its owner (a region), or for each queue
//  pair of one link (a window), through which no other key works. Offsets in extents count from the
//  region's base, in both.
typedef struct {
    uint64_t base, bytes;
    bool per_queue;
    uint32_t keys[UMBP_VERBS_QUEUES_MAX];
} umbp_verbs_memory_t;

//  One transfer: a part of a block in extents, and buffers for it. Its size is that of the pieces
//  together.
typedef struct {
    const umbp_verbs_memory_t *memories;             //  By the region number of the extents
    size_t memory_count;
    const umbp_extent_t *extents;
    size_t extent_count;
    uint32_t page_size;
    uint64_t offset;                    //  In the block, in bytes
    const umbp_piece_t *pieces;
    size_t piece_count;
    bool want_sum;
    bool device;                        //  Pieces are memory of a device, which no processor reads:
                                        //  what is not announced is refused, UMBP_ENOTSUP, and no
                                        //  sum can be wanted
    uint64_t sum;                       //  Out, if wanted: umbp_sum (copy.h) of what moved
} umbp_verbs_io_t;

//  What a peer may do. UMBP_VERBS_ALONE, of a link that only answers: nothing but the windows of this
//  link opens anything by it, whatever the device has for windows.
typedef enum {
    UMBP_VERBS_KEEP = 0,
    UMBP_VERBS_READ = 1,
    UMBP_VERBS_WRITE = 2,
    UMBP_VERBS_ALONE = 4
} umbp_verbs_right_t;

//  A part of a region that is to be opened
typedef struct {
    umbp_verbs_region_t *region;
    uint64_t offset, bytes;
    umbp_verbs_right_t right;
    umbp_verbs_window_t *window;        //  Out
    int rc;                             //  Out
} umbp_verbs_part_t;

typedef struct {
    uint64_t bytes_read, bytes_written, requests;
    uint64_t staged_bytes;              //  Of these, copied through staging
    uint64_t inlined;                   //  Requests whose bytes went with them
    uint64_t resent;                    //  Requests given to another queue pair after theirs failed
    uint64_t queues_lost;               //  Queue pairs that failed
    uint64_t sleeps;                    //  Waits in which polling found nothing
    uint64_t busiest;                   //  Most requests that a queue pair had under way
    uint64_t cache_hits, cache_misses, cache_evictions, cache_refusals;
    uint64_t cache_bytes;               //  Registered now
} umbp_verbs_stats_t;

typedef struct {
    uint32_t version;                   //  UMBP_VERBS_VERSION

    //  Open devices. Returns NULL if there is none, or none that is asked for; *rc_p then is
    //  UMBP_ENOTSUP (no RDMA here), UMBP_EINVAL (an option), UMBP_EIO, and why a sentence.
    umbp_verbs_t *(*open) (const umbp_verbs_options_t *options, int *rc_p,
                           char why[UMBP_VERBS_WHY_MAX]);
    //  After all links, regions and windows
    void (*close) (umbp_verbs_t **self_p);
    //  One line on each device: name, port, GID, MTU. Returns how many devices there are.
    size_t (*print) (const umbp_verbs_t *self, char *text, size_t size);
    void (*stats) (umbp_verbs_t *self, umbp_verbs_stats_t *stats);

    //  Register memory on all devices, for as long as the region lives, with what any peer of this
    //  process may do there; UMBP_VERBS_KEEP: nothing but through windows. Returns NULL if that
    //  cannot be; *rc_p then is UMBP_ENOSPC (memory that may be locked: ulimit -l) or UMBP_EIO.
    umbp_verbs_region_t *(*region_new) (umbp_verbs_t *verbs, void *base, size_t bytes, int rights,
                                        int *rc_p);
    void (*region_destroy) (umbp_verbs_region_t **self_p);
    void (*region_describe) (const umbp_verbs_region_t *self, umbp_verbs_memory_t *memory);

    //  Announce a buffer of ours that transfers will use; it is registered as it is used. What is
    //  not announced goes through staging. forget: before it is freed; once it returns 0 no
    //  device knows the buffer. Returns 0, or UMBP_EINVAL, UMBP_EAGAIN (too many buffers; forget:
    //  a transfer is under way in it).
    int (*announce) (umbp_verbs_t *self, void *base, size_t bytes);
    int (*forget) (umbp_verbs_t *self, void *base, size_t bytes);
    //  The same of memory of a device (GPUDirect): a dma-buf, and where in it the buffer begins. base is
    //  its address on the device, and the one that transfers name. It is registered at once, as a whole;
    //  the descriptor stays the caller's, who may close it then. Returns UMBP_ENOTSUP too: a device or
    //  libibverbs does not take this one.
    int (*announce_dmabuf) (umbp_verbs_t *self, void *base, size_t bytes, int fd, uint64_t offset);

    //  Make an end with new queue pairs, as many as queues, or as options say if that is 0. rights:
    //  what the peer may do by it at all. Returns NULL and an error at *rc_p.
    umbp_verbs_link_t *(*link_new) (umbp_verbs_t *verbs, uint32_t queues, int rights, int *rc_p);
    //  The fence: once it returns, nothing that the peer sent or will send touches memory through
    //  this link, and no device touches buffers of our transfers.
    void (*link_destroy) (umbp_verbs_link_t **self_p);
    void (*link_describe) (const umbp_verbs_link_t *self, umbp_verbs_description_t *description);
    //  Returns 0, UMBP_EPROTO (a description that cannot be), UMBP_EUNREACH (the device refused the
    //  way there) or UMBP_EIO. Once only; what fails has to be destroyed.
    int (*link_connect) (umbp_verbs_link_t *self, const umbp_verbs_description_t *peer);
    //  Queue pairs that still work: fewer than at the start is a link to replace soon, 0 one whose
    //  calls return UMBP_ECLOSED.
    size_t (*link_alive) (umbp_verbs_link_t *self);
    //  The last failure of a queue pair in words, empty if there was none
    const char *(*link_why) (const umbp_verbs_link_t *self);

    //  Read or write a batch. Each item has its own outcome in status[]: 0, UMBP_EINVAL (extents
    //  outside their region or too short), UMBP_EDENIED (the key is not or no longer good),
    //  UMBP_EUNREACH (peer silent), UMBP_EAGAIN (receiver not ready), UMBP_ETIMEDOUT, UMBP_ECLOSED,
    //  UMBP_EIO; all UMBP_ENOTSUP by a link that is UMBP_VERBS_ALONE. Returns how many succeeded,
    //  or, once no queue pair is left, why the last one
    //  failed. No device uses the buffers any more when it returns. Of what failed, buffers or the
    //  pages hold anything.
    int (*read) (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                 int64_t deadline_ms);
    int (*write) (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                  int64_t deadline_ms);

    //  Let the peer of this link, and nobody else, read or write parts of regions, until their windows
    //  are destroyed: the keys of leases, or slots. Many at once cost little more than one. A device
    //  without windows of type 2 knows each part as a registration of its own, in a protection
    //  domain that belongs to the link: that takes longer, and counts as locked memory. Each part
    //  gets its window, or NULL and why in rc: UMBP_ENOTSUP (such a device, and the link is not
    //  UMBP_VERBS_ALONE), UMBP_EINVAL (outside the region), UMBP_ENOSPC (memory that may be locked),
    //  UMBP_ECLOSED, UMBP_EIO. Returns how many windows there are.
    size_t (*windows_new) (umbp_verbs_link_t *link, umbp_verbs_part_t *parts, size_t count);
    //  All of one link, before it and their regions; NULLs among them are fine. Returns 0 once no new
    //  request is let in by their keys; requests that had begun are only ended by link_destroy.
    int (*windows_destroy) (umbp_verbs_window_t **windows, size_t count);
    void (*window_describe) (const umbp_verbs_window_t *self, umbp_verbs_memory_t *memory);
} umbp_verbs_api_t;

//  Load the plug-in: the file path, or libumbp-verbs.so from where libraries lie if path is NULL or
//  empty. It stays loaded. Returns NULL if there is none that fits, and a sentence in why.
const umbp_verbs_api_t *umbp_verbs_load (const char *path, char why[UMBP_VERBS_WHY_MAX]);

#ifdef __cplusplus
}
#endif

#endif
