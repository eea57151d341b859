//  umbp.h - the door to a pool of KV-cache blocks that all hosts of a cluster share.
//
//      umbp_t *pool = umbp_connect (NULL, NULL);             //  The node of this host
//      umbp_put (pool, "prefix-17", data, size);
//      long got = umbp_get (pool, "prefix-17", buffer, sizeof buffer);
//      umbp_close (&pool);
//
//  A block is an immutable run of 1 byte to 1 GiB under a key of 1..512 bytes. The first writer
//  wins: putting a key that is there is no failure (UMBP_EEXIST per item, which counts as done). A
//  block may leave when the pool is full; a get then is a miss (UMBP_ENOENT). What a get returns is
//  what was put: every block is checked against its checksum (XXH3-64) on the way, on every path.
//
//  Errors     an int or long below 0 is one of UMBP_E* (error.h); umbp_strerror says what to do
//             next. Buffers of a get that failed hold anything.
//  Blocking   every call returns by its deadline; none waits for ever, whatever dies.
//  Threads    all calls on one umbp_t may be made from any thread at any time, except umbp_close.
//             They run side by side on up to "lanes" connections; more callers wait for a free one,
//             within their deadline.
//  Fork       a child must connect anew, over tcp: calls on its parent's umbp_t return
//             UMBP_EFORKED. Only umbp_close is fine there: it frees the child's memory and leaves
//             the parent's connections alone.
//  Memory     buffers stay the caller's and must stay as they are until the call returns. Where a
//             node of this host has shared memory, it is mapped into this process.
//  Signals    none is touched, and none ends a call.
#ifndef UMBP_H
#define UMBP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UMBP_EXPORT __attribute__ ((visibility ("default")))
#else
#define UMBP_EXPORT
#endif

#define UMBP_VERSION "0.1.0"

typedef struct umbp umbp_t;

//  How to connect. Zero is a good value for every member.
typedef struct {
    const char *endpoints;              //  "tcp://host:port,..." tried in order, or the inproc://
                                        //  endpoint of a node in this process
                                        //  (umbp_node_endpoint_inproc). NULL: $UMBP_ENDPOINTS, else
                                        //  tcp://127.0.0.1:7710
    uint32_t timeout_ms;                //  Deadline of a call that is given 0. 0: 10000
    unsigned lanes;                     //  Calls that may run side by side. 0: 8, at most 64
    unsigned spin_us;                   //  Spin up to so long for an answer before sleeping, as long
                                        //  as that pays. 0: what the node advises
    bool no_shm;                        //  Never use shared memory and doors, even on the same host
    bool no_verify;                     //  Do not compare checksums on get. For measurements only
    const char *certificate;            //  File of the caller's certificate (umbp-console keygen),
                                        //  its secret part beside it in FILE_secret. NULL:
                                        //  $UMBP_CERTIFICATE, else the link is plain. Not for inproc
    const char *server_certificate;     //  The node's public one, or a folder with those of several
                                        //  nodes, whose words name endpoints. NULL:
                                        //  $UMBP_SERVER_CERTIFICATE
    const char *paths;                  //  How bytes of blocks may travel: "auto", or a list of shm,
                                        //  rdma, tcp. Of those allowed the first that both ends have
                                        //  is taken, in this order, and what it could not do is left
                                        //  to the next one. Small blocks ride in messages all the
                                        //  same. NULL: $UMBP_PATHS, else auto
    const char *rdma_devices;           //  "name,name:port", in an order that fits that of the nodes.
                                        //  NULL: $UMBP_RDMA_DEVICES, else all that are active
    unsigned rdma_gid;                  //  Index of their GID. 0: chosen
    int copy_threads;                   //  Threads of the client's own that help calls with copies of
                                        //  512 KiB and more; at most 16. They are made at the first
                                        //  such call. UMBP_COPY_ALONE: none, the caller copies alone.
                                        //  0: $UMBP_COPY_THREADS (0 there: none), else one fewer than
                                        //  the cores that the process may run on, at most 3
    unsigned tcp_streams;               //  Bulk connections to one node that a call of 16 MiB and more
                                        //  may use at once, 1 to 4, each moved by another thread of
                                        //  these. 0: $UMBP_TCP_STREAMS, else chosen: 2, and to a node
                                        //  of our own host one for two cores
} umbp_options_t;

#define UMBP_COPY_ALONE (-1)

//  Connect to a node. Blocks up to options->timeout_ms, of which each endpoint gets its share.
//  Returns NULL if none of them answers; *err, unless NULL, says why: UMBP_EINVAL (not an
//  endpoint or a path, or no certificate where one is named), UMBP_EUNREACH, UMBP_ETIMEDOUT (so too if the
//  node does not know the certificate, or has another one than we think: it says nothing then),
//  UMBP_EDENIED (the certificate was taken away; or its secret part can be read by all),
//  UMBP_ENOENT (no certificate for that endpoint), UMBP_ENOTSUP (another version), UMBP_EIO.
//  options may be NULL.
UMBP_EXPORT umbp_t *umbp_connect (const umbp_options_t *options, int *err);

//  Release everything, views too. No other call may be running. Batches in the background that run
//  are waited for, those that wait are dropped. Leaves a NULL; NULL is fine.
UMBP_EXPORT void umbp_close (umbp_t **self_p);

//  ------------------------------------------------------------------------------------------------
//  One block. Keys are texts; the deadline is the client's default.

//  Returns 0 when every node can get it, also if it was there already; or an error.
UMBP_EXPORT int umbp_put (umbp_t *self, const char *key, const void *data, size_t size);

//  Read a whole block into a buffer. Returns its size, or an error: UMBP_ENOENT for a miss,
//  UMBP_ETOOBIG if the buffer is smaller than the block.
UMBP_EXPORT long umbp_get (umbp_t *self, const char *key, void *buffer, size_t size);

//  Returns 1 if there is a block, 0 if not, or an error.
UMBP_EXPORT int umbp_exists (umbp_t *self, const char *key);

//  Returns 0 when it is gone everywhere, UMBP_ENOENT if there was none. The index forgets it a moment
//  later, so exists may still say 1 until then. A node that nobody could reach at the time, and that
//  was not counted as a member any more, comes back with its copy. UMBP_ETIMEDOUT: it is gone, but a disk did not say in
//  time that it will be after a crash.
UMBP_EXPORT int umbp_remove (umbp_t *self, const char *key);

//  ------------------------------------------------------------------------------------------------
//  Batches. Any count: long ones are cut into messages. Each item has its own status; one bad item
//  never fails its neighbours. The return value is the number of items whose status is fine, or an
//  error if nobody could be asked about any of them (then every status holds that error).

typedef struct {
    const void *key;                    //  key_size bytes, no terminator needed
    size_t key_size;
} umbp_key_t;

typedef enum {
    UMBP_STRATEGY_DEFAULT = 0,          //  As the node is configured
    UMBP_STRATEGY_LOCAL,                //  This node while it has room, then the one with most
    UMBP_STRATEGY_MOST_FREE,
    UMBP_STRATEGY_WEIGHTED,             //  At random, by free bytes
    UMBP_STRATEGY_SAME,                 //  The whole batch on one node if it fits
} umbp_strategy_t;

//  What the writer of blocks knows of their readers. It says where blocks begin in the order in which they
//  leave when room is wanted: a wrong one costs hits, and none makes a block stay
typedef enum {
    UMBP_HINT_NONE = 0,
    UMBP_HINT_ONCE,                     //  Read once, as from prefill to decode: then it goes first
    UMBP_HINT_KEEP,                     //  Read often, as a system prompt: goes later than new ones
} umbp_hint_t;

typedef struct {
    umbp_strategy_t strategy;
    uint8_t tier;                       //  Wanted: 1 hbm, 2 dram, 3 nvme, 4 shared; 0: any
    bool nowait;                        //  Return before the index has heard: others may miss it
                                        //  for a moment, see umbp_flush
    uint32_t full_ms;                   //  Wait so long for room, once the pool is full. 0: until
                                        //  the deadline
    uint8_t replicas;                   //  Copies of each block, 1 to 4, each on another node and
                                        //  on another host if there are enough; 0 as 1. A status
                                        //  is 0 as long as one copy stands: umbp_stats counts those
                                        //  that could not be made (replicas_missing). With nowait
                                        //  they are made later. A block that was there already
                                        //  stays as it is
    uint8_t hint;                       //  umbp_hint_t: what will become of these blocks
} umbp_put_options_t;

//  A whole block from or to one buffer
typedef struct {
    umbp_key_t key;
    void *data;                         //  put: read only. get: room for size bytes
    size_t size;                        //  put: of the block. get: room; afterwards, if the status
                                        //  is 0 or UMBP_ETOOBIG, the size of the block
    uint16_t depth;                     //  put: blocks before it in its prefix chain; deeper ones
                                        //  leave first
    int status;                         //  Out: 0, UMBP_EEXIST (put: fine), or an error
} umbp_item_t;

//  options may be NULL. timeout_ms 0: the default. A full pool is waited for within the deadline,
//  then UMBP_EAGAIN. Who would rather drop a block than wait for room sets full_ms and leaves the
//  deadline as it is: a short deadline also ends what is merely slow, as UMBP_ETIMEDOUT.
UMBP_EXPORT int umbp_put_batch (umbp_t *self, umbp_item_t *items, size_t count,
                                const umbp_put_options_t *options, uint32_t timeout_ms);
UMBP_EXPORT int umbp_get_batch (umbp_t *self, umbp_item_t *items, size_t count,
                                uint32_t timeout_ms);

//  Pieces of a block to and from scattered buffers
typedef struct {
    void *base;
    size_t size;
    uint64_t offset;                    //  In the block
} umbp_range_t;

typedef struct {
    umbp_key_t key;
    umbp_range_t *ranges;
    size_t range_count;                 //  At most 4096
    size_t size;                        //  put: of the block, which the ranges must tile exactly.
                                        //  get, out: of the block
    uint16_t depth;
    int status;
} umbp_vec_t;

//  Ranges of a put must cover the block without gap or overlap, in any order; else UMBP_EINVAL.
UMBP_EXPORT int umbp_put_v (umbp_t *self, umbp_vec_t *items, size_t count,
                            const umbp_put_options_t *options, uint32_t timeout_ms);

//  Ranges of a get may leave gaps and overlap; one that passes the end of the block: UMBP_EINVAL.
//  The checksum is that of the whole block, so a partial read verifies it over the whole block too
//  (in place over shared memory; over tcp the whole block comes). no_verify turns that off.
UMBP_EXPORT int umbp_get_v (umbp_t *self, umbp_vec_t *items, size_t count, uint32_t timeout_ms);

//  found[i]: 1, 0, or an error. Takes no lease and extends no life. Returns how many are there.
UMBP_EXPORT int umbp_exists_batch (umbp_t *self, const umbp_key_t *keys, size_t count,
                                   int8_t *found, uint32_t timeout_ms);

//  Returns how many keys from the front are known to be there without a gap, or the error of the
//  first one.
UMBP_EXPORT int umbp_exists_prefix (umbp_t *self, const umbp_key_t *keys, size_t count,
                                    uint32_t timeout_ms);

//  statuses[i]: 0 gone, UMBP_ENOENT there was none, or an error. May be NULL. Returns how many are
//  gone.
UMBP_EXPORT int umbp_remove_batch (umbp_t *self, const umbp_key_t *keys, size_t count,
                                   int8_t *statuses, uint32_t timeout_ms);

//  What a reader knows of blocks that are there already
typedef enum {
    UMBP_ADVISE_NEED = 1,               //  They will be read soon: what is on disk comes to memory on its
                                        //  node, unless that has better to do, and leaves later
    UMBP_ADVISE_COLD,                   //  They will not: they are the first to leave memory. No block is
                                        //  lost that would have stayed somewhere, and a read ends it
} umbp_advice_t;

//  Say so to all nodes that have them. Returns when it was said, not when it was done, and promises
//  nothing; a node of an older version does not listen. statuses[i]: 0 some node has it, UMBP_ENOENT
//  none, or an error. May be NULL. Returns how many are there.
UMBP_EXPORT int umbp_advise (umbp_t *self, const umbp_key_t *keys, size_t count,
                             umbp_advice_t advice, int8_t *statuses, uint32_t timeout_ms);

//  ------------------------------------------------------------------------------------------------
//  Batches in the background, for programs that must not block: submit, go on, and drain what is
//  done. Batches run side by side, as many as the client has lanes, each as the call of its name
//  would; in no particular order, so one that needs another's outcome is submitted behind it.
//
//      uint64_t id;
//      umbp_submit_get (pool, items, count, 0, my_request, &id);
//      ... poll umbp_done_fd (pool) beside everything else ...
//      umbp_done_t done[16];
//      int got = umbp_drain (pool, done, 16, 0);
//
//  Items, and all they point to, must stay as they are until their batch was drained. At most 1024
//  are not drained at any time; one more is refused, UMBP_EAGAIN. The deadline counts from the
//  submit. These calls do not block, but for umbp_drain as it is told; the first ones start threads
//  of the client's own, which take no signals.

//  Each returns 0 and *id, never 0; or UMBP_EAGAIN (drain first), UMBP_EINVAL, UMBP_EFORKED,
//  UMBP_EIO (no thread can be made). options are copied, and may be NULL; user comes back in the
//  umbp_done_t; id may be NULL.
UMBP_EXPORT int umbp_submit_put (umbp_t *self, umbp_item_t *items, size_t count,
                                 const umbp_put_options_t *options, uint32_t timeout_ms, void *user,
                                 uint64_t *id);
UMBP_EXPORT int umbp_submit_get (umbp_t *self, umbp_item_t *items, size_t count,
                                 uint32_t timeout_ms, void *user, uint64_t *id);
UMBP_EXPORT int umbp_submit_put_v (umbp_t *self, umbp_vec_t *items, size_t count,
                                   const umbp_put_options_t *options, uint32_t timeout_ms,
                                   void *user, uint64_t *id);
UMBP_EXPORT int umbp_submit_get_v (umbp_t *self, umbp_vec_t *items, size_t count,
                                   uint32_t timeout_ms, void *user, uint64_t *id);

typedef struct {
    uint64_t id;
    void *user;
    int result;                         //  What the call would have returned
} umbp_done_t;

//  Batches that are done, in the order of their ends. Waits up to timeout_ms for the first one if
//  there is none yet and some are under way; 0 does not wait. Returns how many, or UMBP_EFORKED.
UMBP_EXPORT int umbp_drain (umbp_t *self, umbp_done_t *done, size_t max, uint32_t timeout_ms);

//  A descriptor (eventfd) that is readable while there is something to drain. It stays the client's:
//  poll it, and leave reading and closing to us. Returns it, or UMBP_EFORKED, UMBP_EIO.
UMBP_EXPORT int umbp_done_fd (umbp_t *self);

//  ------------------------------------------------------------------------------------------------
//  Views: read a block where it lies, without a copy. Only for blocks in the memory of a node of
//  this host.

typedef struct {
    const void *base;
    size_t size;
} umbp_span_t;

typedef struct umbp_view umbp_view_t;

//  Hold a block and see it. Its bytes stay as they are until umbp_view_release, whatever the pool
//  does. The checksum is verified before this returns. Returns NULL with *err: UMBP_ENOENT, or
//  UMBP_ENOTSUP if the block is not in shared memory of this host (use get). A view occupies one
//  lane of the client while it is held.
UMBP_EXPORT umbp_view_t *umbp_view_get (umbp_t *self, umbp_key_t key, uint32_t timeout_ms,
                                        int *err);

//  The spans of the block, in order: one if its pages are contiguous. Good until the release.
UMBP_EXPORT const umbp_span_t *umbp_view_spans (const umbp_view_t *view, size_t *count);
UMBP_EXPORT size_t umbp_view_size (const umbp_view_t *view);

//  Let go. Leaves a NULL; NULL is fine. Writing through a view is a fault: the memory is mapped
//  read-only.
UMBP_EXPORT void umbp_view_release (umbp_view_t **view_p);

//  ------------------------------------------------------------------------------------------------
//  Device views: read blocks where they lie in the memory of an accelerator of this host, without a copy through
//  host memory. Only for blocks in the hbm tier of the client's own node, and through its doors.
//
//  A view names chunks of device memory by handles as the driver exports them (cuIpcOpenMemHandle, hipIpcOpenMemHandle;
//  "mock": a process and a descriptor of it, see accel/memory.h), and each block by spans of these chunks. Map a
//  chunk, keep it mapped for the next view if you like, read. The view is a lease: while it lasts the bytes stay as they
//  are. It lasts ttl_ms at most, whatever the reader does, and ends early if the node ends: so what was read counts
//  once umbp_device_view_check or umbp_device_view_release has said 0 afterwards. A mapped chunk is never written to by
//  readers: it has blocks of others too.

typedef struct {
    uint16_t handle;                    //  Which chunk
    uint64_t offset, bytes;             //  In it
} umbp_device_span_t;

typedef struct {
    uint8_t bytes[64];                  //  As the driver has it; equal ones name the same chunk
    uint64_t block_bytes;               //  Size of the chunk
} umbp_device_handle_t;

typedef struct {
    int status;                         //  0: it is held; UMBP_ENOENT: not on the device (use get);
                                        //  UMBP_EAGAIN: on its way there
    size_t size;
    uint64_t sum;                       //  XXH3-64 of its bytes
    const umbp_device_span_t *spans;    //  In order
    size_t span_count;
} umbp_device_block_t;

typedef struct {
    const char *kind;                   //  cuda, hip or mock
    int device;                         //  Its number there
    uint32_t ttl_ms;                    //  From the call on
    const umbp_device_handle_t *handles;
    size_t handle_count;
    const umbp_device_block_t *blocks;  //  One for each key
    size_t count;
} umbp_device_info_t;

typedef struct umbp_device_view umbp_device_view_t;

#define UMBP_DEVICE_VIEW_MAX 256        //  Keys of a view

//  Hold those of the blocks that are there. NULL if none is, with *err: UMBP_ENOENT; UMBP_ENOTSUP if this node lends no
//  device memory, or there is no door to it; UMBP_EIO while the device hangs; UMBP_EAGAIN if too many views are held. A
//  view occupies one lane of the client while it is held.
UMBP_EXPORT umbp_device_view_t *umbp_device_view_get (umbp_t *self, const umbp_key_t *keys,
                                                      size_t count, uint32_t timeout_ms, int *err);

//  Good until the release
UMBP_EXPORT const umbp_device_info_t *umbp_device_view_info (const umbp_device_view_t *view);

//  0: what was read before this call is right. UMBP_ESTALE: the view ended before, throw it away.
UMBP_EXPORT int umbp_device_view_check (umbp_device_view_t *view);

//  The same, and let go. Leaves a NULL; NULL is fine.
UMBP_EXPORT int umbp_device_view_release (umbp_device_view_t **view_p);

//  ------------------------------------------------------------------------------------------------
//  Memory that many calls will use. Registered memory is faulted in and locked if the limits allow,
//  so that no transfer waits for a page; with RDMA it is also known to the card, which then copies
//  straight to and from it. Transfers
//  work from any memory.

//  Returns 0, UMBP_EEXIST if it overlaps a registered range, UMBP_EINVAL, UMBP_ENOSPC over 1024
//  ranges.
UMBP_EXPORT int umbp_register (umbp_t *self, void *base, size_t size);

//  Memory of a device that the program has allocated: kind cuda, hip or mock, and the number that the
//  device has for CUDA or HIP in this process. From now on base is an address that puts, gets and their
//  ranges may name as any buffer: its bytes go through staging memory of the client, or straight by RDMA
//  where device and network cards allow it (umbp_stats). A buffer lies in one registration as a whole,
//  or in none. Copies are made on streams of the client's own: what a kernel writes has to be there
//  before a put, and no kernel may use a buffer during a get. Returns 0; UMBP_EEXIST if it overlaps
//  what is registered; UMBP_EINVAL (also if these are no bytes of that device); UMBP_ENOENT (no such
//  driver or device), UMBP_ENOTSUP (the driver lacks a call), UMBP_EIO; UMBP_ENOSPC over 1024 registrations or 32
//  devices; UMBP_EFORKED, UMBP_ETIMEDOUT. why, unless NULL, gets a sentence of up to why_size bytes.
UMBP_EXPORT int umbp_register_device (umbp_t *self, const char *kind, int device, void *base,
                                      size_t size, char *why, size_t why_size);

//  base is that of a whole registered range of either kind; pages of the host are unlocked. To be called
//  before memory of a device is freed. Returns 0, UMBP_ENOENT, or UMBP_EAGAIN while a transfer is under
//  way in it.
UMBP_EXPORT int umbp_deregister (umbp_t *self, void *base);

//  ------------------------------------------------------------------------------------------------
//  The external index: which engine holds which hash in its own memory. These bytes are not ours. A
//  hash is 1..128 bytes. Tiers are the engine's: 1 hbm, 2 dram, 3 nvme, up to 8. engine is the id
//  that other hosts see, 1..64 bytes; address (may be NULL, at most 128 bytes) is where it takes
//  requests. Returns are 0, or an error unless said otherwise; UMBP_EINVAL if a limit is broken,
//  and then nothing was done.

UMBP_EXPORT int umbp_kv_report (umbp_t *self, const char *engine, const char *address,
                                unsigned tier, const umbp_key_t *hashes, size_t count,
                                uint32_t timeout_ms);
UMBP_EXPORT int umbp_kv_revoke (umbp_t *self, const char *engine, unsigned tier,
                                const umbp_key_t *hashes, size_t count, uint32_t timeout_ms);

//  tier 0: all tiers. Returns how many hashes were held there.
UMBP_EXPORT long umbp_kv_revoke_all (umbp_t *self, const char *engine, unsigned tier,
                                     uint32_t timeout_ms);

//  One row per engine and tier that holds any of the hashes
typedef struct {
    char engine[65], address[129];
    unsigned tier;
    size_t count;
    const uint32_t *hashes;             //  Their numbers in the question, from 0
} umbp_kv_row_t;

typedef struct umbp_kv_match umbp_kv_match_t;

//  Ask all nodes. Returns NULL with *err on failure; else rows to be freed with
//  umbp_kv_match_destroy.
UMBP_EXPORT umbp_kv_match_t *umbp_kv_match (umbp_t *self, const umbp_key_t *hashes, size_t count,
                                            bool count_as_hit, uint32_t timeout_ms, int *err);
UMBP_EXPORT const umbp_kv_row_t *umbp_kv_match_rows (const umbp_kv_match_t *match, size_t *count);

//  Nodes that did not answer in time: what only they know is missing
UMBP_EXPORT unsigned umbp_kv_match_silent (const umbp_kv_match_t *match);
UMBP_EXPORT void umbp_kv_match_destroy (umbp_kv_match_t **match_p);

//  counts[i]: how often hash i matched with count_as_hit
UMBP_EXPORT int umbp_kv_hits (umbp_t *self, const umbp_key_t *hashes, size_t count,
                              uint64_t *counts, uint32_t timeout_ms);

//  ------------------------------------------------------------------------------------------------
//  The rest

//  Wait until everything that was put with nowait can be seen by all, and is on disk if it was to go there. Returns 0 or an error, after
//  which another flush waits for the same again.
UMBP_EXPORT int umbp_flush (umbp_t *self, uint32_t timeout_ms);

//  Forget all blocks of the node, or of the cluster. Blocks under a lease follow when it ends.
//  Returns how many, or an error.
UMBP_EXPORT long umbp_clear (umbp_t *self, bool everywhere, uint32_t timeout_ms);

//  What this client has done since it connected. Calls under way are not in it yet.
typedef struct {
    uint64_t puts, gets, exists, removes;                     //  Items
    uint64_t hits, misses, already, retries;
    uint64_t shm_put_bytes, shm_get_bytes, tcp_put_bytes, tcp_get_bytes;
    uint64_t inline_put_bytes, inline_get_bytes;
    uint64_t checksum_errors, stale, timeouts;
    uint64_t board_hits;                //  Of the hits: found and read here without any message
    uint64_t replicas_missing;          //  Copies that puts asked for and that were not made in time
    uint64_t spin_us;                   //  CPU time spent looking for answers before sleeping
    uint64_t rdma_put_bytes, rdma_get_bytes;
    uint64_t rdma_links;                //  That were made
    uint64_t device_put_bytes, device_get_bytes;    //  From and to memory of devices, through staging
    uint64_t device_direct_put_bytes, device_direct_get_bytes;  //  ... by RDMA, straight
    uint64_t device_summed_bytes;       //  Of these, read into staging for their checksums
} umbp_stats_t;

UMBP_EXPORT void umbp_stats (umbp_t *self, umbp_stats_t *out);

//  How short of memory the node was that took the last put: 0 not at all .. 4 emergency. From 1 on,
//  engines on its host do well to let go of what they could have again. Never blocks.
UMBP_EXPORT int umbp_strain (umbp_t *self);

//  Name of the node this client is connected to; good until umbp_close
UMBP_EXPORT const char *umbp_node_name (umbp_t *self);

#ifdef __cplusplus
}
#endif

#endif
