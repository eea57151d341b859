//  cluster/verbs/inner.h - what the files of the RDMA plug-in share. device.c opens devices,
//  memory.c registers, queue.c makes queue pairs, link.c puts them together, transfer.c moves bytes over
//  them, window.c narrows what a peer may touch, plugin.c is the table of functions.
#ifndef UMBP_VERBS_INNER_H
#define UMBP_VERBS_INNER_H

#include "cluster/bulk/verbs.h"
#include "cluster/bulk/verbs_cache.h"
#include "cluster/bulk/verbs_cut.h"

#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdatomic.h>

#define UMBP_VERBS_SGE_MAX 8            //  Local pieces in a request; more of them are staged
#define UMBP_VERBS_TRIES 6              //  Times that a device sends again; 7 means for ever to rxe

//  A port of a device
typedef struct {
    struct ibv_context *context;
    struct ibv_pd *pd;
    char name[IBV_SYSFS_NAME_MAX];
    uint8_t number, port, gid_index, gid[16];
    uint16_t lid;
    uint32_t mtu, sges, depth, reads;   //  Bytes; the most that it takes
    bool windows;                       //  Of type 2, and to be used
    _Atomic bool up;                    //  As the last event of the port said
} umbp_device_t;

struct umbp_verbs {
    umbp_verbs_options_t options;       //  With defaults; devices is not kept
    umbp_device_t devices[UMBP_VERBS_DEVICES_MAX];
    size_t device_count;
    pthread_mutex_t lock;               //  Around cache and stats
    umbp_cache_t *cache;
    umbp_verbs_stats_t stats;
};

//  Registrations of one piece of memory, one for each device
typedef struct {
    struct ibv_mr *mrs[UMBP_VERBS_DEVICES_MAX];
} umbp_mrs_t;

struct umbp_verbs_region {
    umbp_verbs_t *verbs;
    char *base;
    size_t bytes;
    umbp_mrs_t mrs;
};

//  A queue pair with its own completion queue
typedef struct {
    umbp_device_t *device;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    uint32_t psn, mtu, depth, reads, sges, inline_bytes;
    uint32_t busy;                      //  Requests under way
    bool armed;                         //  An event will tell of the next completion
    bool broken;                        //  Takes no more requests
    uint8_t peer_device;
} umbp_queue_t;

//  A request under way
typedef struct umbp_op umbp_op_t;

struct umbp_op {
    umbp_op_t *next;                    //  Free, or to be sent again
    umbp_queue_t *queue;                //  That has it, or NULL
    umbp_chunk_t chunk;
    size_t item;
    uint64_t at;                        //  Its first byte in the item
    bool live;                          //  In use
    char *stage;                        //  Where its bytes lie meanwhile, or NULL
    uint32_t held_count;
    const umbp_cache_part_t *held[UMBP_VERBS_SGE_MAX];       //  By vector
};

struct umbp_verbs_link {
    umbp_verbs_t *verbs;
    int rights;
    bool connected;
    struct ibv_pd
        *pds[UMBP_VERBS_DEVICES_MAX]; //  Of this link alone, by device; NULL: the device's
    umbp_queue_t queues[UMBP_VERBS_QUEUES_MAX];
    size_t queue_count, turn;           //  turn: where to look first for a queue with room
    size_t alive, busy;                 //  Sums over the queues
    umbp_op_t *ops, *free, *again;      //  All, those not in use, those whose queue pair failed
    size_t op_count;
    char *staging;                      //  op_count slots at most, made with the first use
    umbp_mrs_t staging_mrs;
    char **stages;                      //  Free slots
    size_t stage_count;
    uint32_t stage_bytes;               //  Of a slot
    uint32_t spin_us;                   //  How long polling seems worth while at the moment
    umbp_verbs_stats_t stats;           //  Since they were last added to those of verbs
    int last_error;
    char why[UMBP_VERBS_WHY_MAX];
};

//  device.c
umbp_verbs_t *umbp_verbs_open (const umbp_verbs_options_t *options, int *rc_p,
                               char why[UMBP_VERBS_WHY_MAX]);
void umbp_verbs_close (umbp_verbs_t **self_p);
size_t umbp_verbs_print (const umbp_verbs_t *self, char *text, size_t size);
//  Take in what the device has to say of its port and of queue pairs. Never blocks.
void umbp_device_events (umbp_device_t *self);

//  memory.c. Returns 0, UMBP_ENOSPC or UMBP_EIO.
int umbp_mrs_add (umbp_verbs_t *verbs, void *base, size_t bytes, int access, umbp_mrs_t *mrs);
void umbp_mrs_drop (umbp_mrs_t *mrs);
extern const umbp_cache_ops_t umbp_verbs_cache_ops;         //  arg is to be the umbp_verbs_t
umbp_verbs_region_t *umbp_verbs_region_new (umbp_verbs_t *verbs, void *base, size_t bytes,
                                            int rights, int *rc_p);
void umbp_verbs_region_destroy (umbp_verbs_region_t **self_p);
void umbp_verbs_region_describe (const umbp_verbs_region_t *self, umbp_verbs_memory_t *memory);
int umbp_verbs_announce (umbp_verbs_t *self, void *base, size_t bytes);
int umbp_verbs_forget (umbp_verbs_t *self, void *base, size_t bytes);
int umbp_verbs_announce_dmabuf (umbp_verbs_t *self, void *base, size_t bytes, int fd,
                                uint64_t offset);
void umbp_verbs_stats (umbp_verbs_t *self, umbp_verbs_stats_t *stats);

//  queue.c. They return 0 or an error.
int umbp_queue_init (umbp_queue_t *self, umbp_device_t *device, struct ibv_pd *pd,
                     const umbp_verbs_options_t *options, int rights);
void umbp_queue_drop (umbp_queue_t *self);
void umbp_queue_describe (const umbp_queue_t *self, umbp_verbs_queue_t *description);
int umbp_queue_connect (umbp_queue_t *self, const umbp_verbs_queue_t *peer,
                        const umbp_verbs_options_t *options);
//  Let all requests under way come back as failed, and take no more
void umbp_queue_fail (umbp_queue_t *self);

//  link.c
umbp_op_t *umbp_link_take_op (umbp_verbs_link_t *self);      //  NULL if all are in use
void umbp_link_give_op (umbp_verbs_link_t *self, umbp_op_t *op);
umbp_verbs_link_t *umbp_verbs_link_new (umbp_verbs_t *verbs, uint32_t queues, int rights,
                                        int *rc_p);
void umbp_verbs_link_destroy (umbp_verbs_link_t **self_p);
void umbp_verbs_link_describe (const umbp_verbs_link_t *self,
                               umbp_verbs_description_t *description);
int umbp_verbs_link_connect (umbp_verbs_link_t *self, const umbp_verbs_description_t *peer);
size_t umbp_verbs_link_alive (umbp_verbs_link_t *self);
const char *umbp_verbs_link_why (const umbp_verbs_link_t *self);
//  A queue pair is of no use any more. error: as umbp_verbs_link_t's calls return it; the first
//  one of a queue counts.
void umbp_link_lose (umbp_verbs_link_t *self, umbp_queue_t *queue, int error, const char *why);
//  Notice devices whose port went down
void umbp_link_check (umbp_verbs_link_t *self);

//  wait.c: hand requests to a queue pair and fetch their completions. The caller hears of each once,
//  by finish. A queue pair whose request failed is lost by then.
typedef void umbp_finish_t (void *arg, umbp_op_t *op, enum ibv_wc_status status);
//  A chain of requests, whose wr_id is their op. What the device refuses is finished as flushed.
void umbp_link_post (umbp_verbs_link_t *self, umbp_queue_t *queue, struct ibv_send_wr *chain,
                     umbp_finish_t *finish, void *arg);
//  Returns how many completed; never blocks
size_t umbp_link_poll (umbp_verbs_link_t *self, umbp_finish_t *finish, void *arg);
//  Polls for a moment, then sleeps until some complete, or 100 ms are over, or the deadline
void umbp_link_wait (umbp_verbs_link_t *self, umbp_finish_t *finish, void *arg,
                     int64_t deadline_ms);
//  Give up all queue pairs, and return once no request is under way
void umbp_link_abandon (umbp_verbs_link_t *self, int error, const char *why, umbp_finish_t *finish,
                        void *arg);

//  transfer.c
int umbp_verbs_read (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                     int64_t deadline_ms);
int umbp_verbs_write (umbp_verbs_link_t *self, umbp_verbs_io_t *items, size_t count, int *status,
                      int64_t deadline_ms);

//  window.c
size_t umbp_verbs_windows_new (umbp_verbs_link_t *link, umbp_verbs_part_t *parts, size_t count);
int umbp_verbs_windows_destroy (umbp_verbs_window_t **windows, size_t count);
void umbp_verbs_window_describe (const umbp_verbs_window_t *self, umbp_verbs_memory_t *memory);

#endif
