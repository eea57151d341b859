//  umbp_node.h - a whole node inside this program: the same actors that umbp-node runs. A client connects to it
//  with umbp_connect, over inproc or tcp, in this process or another.
//
//      umbp_node_options_t options;
//      umbp_node_options_init (&options);
//      umbp_node_t *node = umbp_node_new (&options, NULL);
//      umbp_options_t how = { .endpoints = umbp_node_endpoint_inproc (node) };
//      umbp_t *pool = umbp_connect (&how, NULL);
//
//  Threads: a node may be used and destroyed by any one thread at a time. It starts about a dozen of its own.
//  Signals are left to the program. Several nodes in one process are fine.
#ifndef UMBP_NODE_H
#define UMBP_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UMBP_NODE_EXPORT __attribute__ ((visibility ("default")))
#else
#define UMBP_NODE_EXPORT
#endif

//  All sizes in bytes, all times in milliseconds unless the name says otherwise. Texts are copied.
typedef struct {
    char node[65];                      //  Stable id, [A-Za-z0-9._-]; empty: host name and port
    char cluster[65];                   //  Only nodes of one name find each other
    char secret[129];                   //  Of the cluster: seeds the fingerprints; empty: the cluster's name
    char listen[256];                   //  "tcp://host:port"; port * or 0: any. Loopback unless told otherwise
    char advertise[256];                //  What others shall connect to; empty: what listen became
    char bulk_host[128];                //  Where bulk bytes are served; empty: the host of listen
    unsigned bulk_port;                 //  0: any
    unsigned bulk_idle_ms;              //  So long a connection there may be of no use to anybody
    char run_dir[200];                  //  Folder for doors; empty: none is opened. At most 91 bytes
                                        //  less the name of the node

    char seeds[1024];                   //  "tcp://host:port,..." of nodes that may be there
    char gossip_bind[256];              //  zgossip: where to listen; empty: off
    char gossip_connect[1024];          //  zgossip: "tcp://host:port,..." to connect to
    unsigned beacon_port;               //  zbeacon: UDP port; 0: off
    char beacon_interface[64];          //  zbeacon: network interface; empty: the system's choice

    char etcd_endpoints[1024];          //  etcd: "http://host:port,..." or https://; empty: off
    char etcd_prefix[128];              //  etcd: keys are <prefix>/<cluster>/<node>
    unsigned etcd_ttl_ms;               //  etcd: our key goes so long after us
    char etcd_user[65], etcd_password[129];     //  etcd: empty: none
    char etcd_ca[256], etcd_cert[256], etcd_key[256];   //  etcd: files for https; empty: the
                                        //  system's authorities, no certificate of our own
    char certificate[256];              //  File of this node's certificate, its secret part beside
                                        //  it in FILE_secret; empty: links are plain, and only
                                        //  loopback is listened on
    char nodes_dir[256];                //  Folder: certificates of the nodes that may join
    char clients_dir[256];              //  Folder: certificates of the clients that may connect
    char tenants_file[256];             //  File: how many bytes each tenant may use; empty: no limits
    char tenant[65];                    //  Of the programs of this host that come through doors or
                                        //  over inproc; empty: the default tenant
    bool insecure;                      //  Listen anywhere without a certificate: whoever reaches
                                        //  the ports can read, write and remove everything

    char rdma[8];                       //  auto: serve blocks by RDMA too if there are devices; off
    char rdma_windows[8];               //  auto: memory windows where a device has them; off: as if none
    char rdma_devices[256];             //  "name,name:port"; empty: all that are active
    unsigned rdma_gid;                  //  Index of the GID of all of them; 0: chosen
    char rdma_plugin[256];              //  File; empty: libumbp-verbs.so where libraries lie

    char device_library[256];           //  Accelerator library: a path, or off; empty: looked for
    bool device_insecure;               //  ... though others may write that path
    unsigned device_discover_ms;        //  How often devices are looked for, 1000 at least
    unsigned device_poll_ms;            //  ... and asked how they are, 100 at least

    unsigned heartbeat_ms, suspect_ms, gone_ms;
    unsigned copies;                    //  R, 1..3
    unsigned vnodes;                    //  Points of a node on the ring
    bool ring_plain;                    //  Plain FNV-1a, badly spread: to compare with others only

    uint64_t dram_bytes;                //  Memory for blocks
    uint64_t region_bytes;              //  ... in regions of at most this
    uint32_t page_bytes;
    bool huge_pages, prefault;

    char hbm_device[16];                //  auto, cuda:N, hip:N or mock:N; empty: no tier in device memory
    uint64_t hbm_bytes;                 //  ... which takes so much of it
    uint64_t hbm_staging_bytes;         //  Host memory through which blocks come and go
    uint64_t hbm_up_rate;               //  Bytes a second that come there from memory; 0: no bound

    char nvme_dirs[1024];               //  "folder,folder" on as many disks; empty: no NVMe tier
    uint64_t nvme_bytes;                //  Files there take at most this, all together
    uint64_t nvme_segment_bytes;        //  ... in segments of this
    uint64_t nvme_staging_bytes;        //  Memory through which blocks come and go
    uint64_t nvme_clean_rate;           //  Bytes a second copied to win back space; 0: no bound
    char nvme_write[8];                 //  back: what leaves memory goes to disk; through: all does at once
    uint64_t nvme_down_rate;            //  ... with so many bytes a second; 0: no bound
    uint64_t nvme_up_rate;              //  What is read there comes to memory, with so many; 0: no bound
    char nvme_admit[16];                //  Of what leaves memory: all, second-touch, auto
    unsigned migration_patience_ms;     //  What has to leave memory waits so long for the disk
    unsigned nvme_low;                  //  Percent to which eviction brings the disk; 0: 2 below evict_high
    unsigned
        migration_target_ms; //  Readers of the disk that wait longer slow moves down; 0: they do not
    unsigned migration_blocks;          //  On their way between two tiers at a time, each way
    uint64_t migration_bytes;           //  ... and their bytes
    unsigned migration_storm;           //  So many to move at once are a storm; 0: never one
    unsigned migration_idle;            //  Percent of the blocks copied to disk beforehand a second,
                                        //  while nothing else moves; 0: none
    char nvme_durability[8];            //  strict: a put is done once it is on disk; or relaxed
    char nvme_engine[12];               //  auto, io_uring, posix

    char shared_dir[821];               //  Folder that several nodes mount; empty: no shared tier
    uint64_t shared_bytes;              //  Our files there take at most this
    uint64_t shared_segment_bytes;      //  ... in segments of this
    uint64_t shared_staging_bytes;      //  Memory through which blocks come and go
    char shared_durability[8];          //  relaxed, commit, strict: see tier/shelf.h
    char shared_write[8];               //  back: what leaves the tier above goes there; through: all does at once
    uint64_t shared_down_rate;          //  ... with so many bytes a second; 0: no bound
    uint64_t shared_up_rate;            //  What is read there comes to memory, with so many; 0: no bound
    char shared_admit[16];              //  Of what leaves the tier above: all, second-touch, auto
    unsigned
        shared_deadline_ms; //  A mount that says nothing for so long hangs; it is asked again as often
    unsigned
        shared_takeover_ms; //  So long after a node fell silent another serves what it has there; 0: never
    unsigned shared_low;                //  Percent to which eviction brings it; 0: 2 below evict_high

    unsigned evict_high, evict_low;     //  Percent of a tier: over high, evict down to low
    char policy[16];                    //  Which blocks leave: s3fifo, lru, clock, arc, reuse
    char strategy[16];                  //  local, most_free, weighted, same
    unsigned slot_ttl_ms, lease_ttl_ms;
    char replicate[8];                  //  Blocks put with replicas whose last copy is here after a
                                        //  loss: off, or last: new copies are made
    uint64_t replicate_rate;            //  ... with so many bytes a second; 0: no bound
    unsigned resyncs;                   //  Full accounts to joining shards that begin in 30 s, at
                                        //  most 1024; 0: no bound
    bool may_stop;                      //  A drain may ask for our end: watch umbp_node_stop_fd

    char pressure_mode[8];              //  off, observe: say how short of memory the node is and what
                                        //  would be done, act: do it
    char pressure_tier[32],
        pressure_tier_leave[32]; //  Percent of a tier in use: "85,90,95,98", the
                                        //  marks of levels 1 to 4; "-" is none
    char pressure_device[32], pressure_device_leave[32];        //  ... of the memory of any device
    char pressure_some[32], pressure_full[32];  //  ... of time that tasks, or all, wait for memory
    char pressure_available[32];        //  ... of memory left, of the host or the cgroup
    unsigned pressure_rise_ms, pressure_fall_ms, pressure_quiet_ms;
    unsigned pressure_calm_ms;          //  Calm for so long, and a pool that shrank grows again
    unsigned pressure_keep;             //  Percent of its memory that a tier keeps whatever comes
    char pressure_cgroup[256];          //  Folder of the memory cgroup; empty: our own

    uint64_t index_keys;                //  Index entries this node may keep, at most 2^32 - 1
    uint64_t kv_hashes;                 //  Hashes of the external index it may keep, at most 2^28

    unsigned spin_us;                   //  Actors spin so long before they sleep; 0: never. Less
                                        //  latency for CPU: doc/operations.md, Spinning
    unsigned log_level;                 //  0 errors .. 3 every message

    char gateway_listen[256];           //  "tcp://host:port" for /metrics and probes over HTTP; empty: off
    bool gateway_open;                  //  That may be an address which other hosts reach

    char worker_state_dir[256];         //  Folder of workers.json and devices.json: their processes
                                        //  are kept running; empty: no workers
    char worker_log_dir[256];           //  What these say goes there; empty: logs in that folder
    char worker_isolation[16];          //  Of devices that have no policy of their own: dynamic,
                                        //  or shared, soft, hard, partitioned for all
    unsigned worker_backoff_ms;         //  Pause after the first exit of a process; it doubles up
                                        //  to 20 times that, and is forgotten after as long a run
    unsigned worker_grace_ms;           //  Between SIGTERM and SIGKILL
    unsigned worker_poll_ms;            //  How often the files are looked at in any case
    unsigned worker_split_ms;           //  How long a driver may take to make a partition, or take it back
} umbp_node_options_t;

typedef struct umbp_node umbp_node_t;

//  The defaults: listen on loopback port 7710, 1 GiB of memory, alone in the cluster "umbp"
UMBP_NODE_EXPORT void umbp_node_options_init (umbp_node_options_t *options);

//  0 if a node can be made of them; else UMBP_EINVAL, and why names the option and what is allowed
UMBP_NODE_EXPORT int umbp_node_options_check (const umbp_node_options_t *options, char *why,
                                              size_t size);

//  Start. Blocks until all actors run (memory is faulted in first: about 0.3 s a GiB). Returns NULL on failure,
//  with *err unless it is NULL; the reason is logged.
UMBP_NODE_EXPORT umbp_node_t *umbp_node_new (const umbp_node_options_t *options, int *err);

//  Tell the others, stop all actors, give the memory back. Leaves a NULL; NULL is fine.
UMBP_NODE_EXPORT void umbp_node_destroy (umbp_node_t **self_p);

//  Readable once a drain that was asked to end the node is done: then destroy it. -1 unless may_stop.
UMBP_NODE_EXPORT int umbp_node_stop_fd (const umbp_node_t *self);

//  Its id, and the endpoints a client can connect to; good until umbp_node_destroy
UMBP_NODE_EXPORT const char *umbp_node_id (const umbp_node_t *self);
UMBP_NODE_EXPORT const char *umbp_node_endpoint (const umbp_node_t *self);
UMBP_NODE_EXPORT const char *umbp_node_endpoint_inproc (const umbp_node_t *self);

//  Where it serves /metrics, "http://host:port"; "" if it does not
UMBP_NODE_EXPORT const char *umbp_node_gateway (const umbp_node_t *self);

#ifdef __cplusplus
}
#endif

#endif
