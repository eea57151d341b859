//  actors/node_options.c - the options of a node: what they are without other word, and what is allowed.
#include "actors/node_options.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "accel/find.h"
#include "actors/gate.h"
#include "actors/http.h"
#include "actors/kv_table.h"
#include "actors/placement.h"
#include "actors/pressure.h"
#include "actors/tier/pace.h"
#include "actors/tier/policy.h"
#include "actors/tier/shelf.h"
#include "actors/tier/vram.h"
#include "actors/worker/record.h"
#include "cluster/endpoint.h"
#include "cluster/quotas.h"
#include "cluster/ring.h"

#define PAGES_MAX 0xffff0000            //  32 bits; a region may be rounded up by some
#define SPIN_MAX_US 1000000             //  As who_ok can say
#define SEGMENT_MIN (UINT64_C (1) << 20)
#define SEGMENT_MAX (UINT64_C (4) << 30)
#define SEGMENTS_MIN 8                  //  One is written, one is emptied
#define DOOR_LONGEST "/tier:dram.sock"  //  Of all our actors' doors, behind the folder
#define DOOR_SHARED "/tier:shared.sock"          //  ... where there is a shared tier

void umbp_node_options_init (umbp_node_options_t *options)
{
    *options = (umbp_node_options_t) {
        .cluster = "umbp", .listen = "tcp://127.0.0.1:7710",
        .etcd_prefix = "/umbp", .etcd_ttl_ms = 10000,
        .heartbeat_ms = 1000, .suspect_ms = 3000, .gone_ms = 30000,
        .copies = 2, .vnodes = 150,
        .dram_bytes = (uint64_t) 1 << 30, .region_bytes = (uint64_t) 1 << 30, .page_bytes = 64 << 10,
        .hbm_bytes = (uint64_t) 1 << 30, .hbm_staging_bytes = (uint64_t) 128 << 20,
        .hbm_up_rate = (uint64_t) 1 << 30,
        .nvme_bytes = (uint64_t) 64 << 30, .nvme_segment_bytes = (uint64_t) 256 << 20,
        .nvme_staging_bytes = (uint64_t) 256 << 20, .nvme_clean_rate = (uint64_t) 256 << 20,
        .migration_patience_ms = 1000,
        .nvme_write = "back", .nvme_admit = "all", .migration_target_ms = 20,
        .migration_storm = 100, .migration_idle = 1,
        .migration_blocks = 256, .migration_bytes = (uint64_t) 128 << 20, .nvme_down_rate = (uint64_t) 256 << 20,
        .nvme_up_rate = (uint64_t) 512 << 20, .nvme_durability = "relaxed", .nvme_engine = "auto",
        .shared_bytes = (uint64_t) 64 << 30, .shared_segment_bytes = (uint64_t) 256 << 20,
        .shared_staging_bytes = (uint64_t) 256 << 20, .shared_durability = "commit",
        .shared_write = "back", .shared_admit = "second-touch", .shared_deadline_ms = 5000, .shared_takeover_ms = 3000,
        .shared_down_rate = (uint64_t) 256 << 20, .shared_up_rate = (uint64_t) 512 << 20,
        .prefault = true, .evict_high = 90, .evict_low = 70, .policy = "s3fifo", .strategy = "local",
        .slot_ttl_ms = 30000, .lease_ttl_ms = 10000, .bulk_idle_ms = 60000,
        .replicate = "off", .replicate_rate = (uint64_t) 256 << 20, .resyncs = 12,
        .index_keys = (uint64_t) 64 << 20, .kv_hashes = 4 << 20,
        .log_level = 2,
        .rdma = "auto", .rdma_windows = "auto",
        .device_discover_ms = 60000, .device_poll_ms = 5000,
        .worker_isolation = "dynamic", .worker_backoff_ms = 3000, .worker_grace_ms = 5000,
        .worker_poll_ms = 5000, .worker_split_ms = 30000,
        .pressure_mode = "observe", .pressure_tier = "85,90,95,98",
        .pressure_tier_leave = "80,85,90,95", .pressure_some = "7.5,15",
        .pressure_device = "-", .pressure_device_leave = "-",
        .pressure_full = "-,-,5,20", .pressure_available = "10,7,4",
        .pressure_rise_ms = 1000, .pressure_fall_ms = 5000, .pressure_quiet_ms = 10000,
        .pressure_calm_ms = 60000, .pressure_keep = 50,
    };
}

static int s_refuse (char *why, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int s_refuse (char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    if (why)
        vsnprintf (why, size, format, args);
    va_end (args);
    return UMBP_EINVAL;
}

static bool s_name_ok (const char *name)
{
    size_t size = strlen (name);
    return size > 0 && size <= UMBP_NAME_MAX
           && strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
                  == size;
}

//  True for "tcp://*:...", "tcp://0.0.0.0:..." and the like: nobody can connect there
static bool s_is_wildcard (const char *endpoint)
{
    return strncmp (endpoint, "tcp://*", 7) == 0 || strncmp (endpoint, "tcp://0.0.0.0:", 14) == 0
           || strncmp (endpoint, "tcp://[::]:", 11) == 0;
}

//  True for nothing, and for one or more endpoints that can be connected to
static bool s_is_list (const char *list)
{
    const char *at = list;
    umbp_text_t peer = umbp_endpoint_next (&at);
    if (peer.size == 0)
        return *list == 0;
    while (peer.size > 0 && umbp_endpoint_ok (peer))
        peer = umbp_endpoint_next (&at);
    return peer.size == 0;
}

void umbp_node_options_name (const umbp_node_options_t *o, uint64_t node_epoch, char *out)
{
    char host[UMBP_NAME_MAX] = "node";
    gethostname (host, 40);
    host[40] = 0;
    const char *port = strrchr (o->listen, ':') + 1;
    if (*o->node)
        snprintf (out, UMBP_NAME_MAX + 1, "%s", o->node);
    else if (atoi (port) > 0)
        snprintf (out, UMBP_NAME_MAX + 1, "%.40s-%.5s", host, port);
    else
        snprintf (out, UMBP_NAME_MAX + 1, "%.40s-%" PRIx64, host, node_epoch);
}

uint64_t umbp_node_clock_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static int s_check_network (const umbp_node_options_t *o, char *why, size_t size)
{
    if (strncmp (o->listen, "tcp://", 6) != 0 || !strrchr (o->listen + 6, ':'))
        return s_refuse (why, size, "listen: must be tcp://host:port, port * for any");
    if (s_is_wildcard (o->listen) && !*o->advertise)
        return s_refuse (why, size,
                         "advertise: needed when listen is all interfaces: tcp://host:port");
    if (*o->advertise && !umbp_endpoint_ok (umbp_text (o->advertise)))
        return s_refuse (why, size, "advertise: must be tcp://host:port");
    if (!s_is_list (o->seeds))
        return s_refuse (why, size, "seeds: must be tcp://host:port,... of single hosts");
    if (!s_is_list (o->gossip_connect))
        return s_refuse (why, size, "gossip_connect: must be tcp://host:port,... of single hosts");
    if (o->bulk_idle_ms < 100)
        return s_refuse (why, size, "bulk_idle_ms: must be 100 or more");
    if (strneq (o->rdma, "auto") && strneq (o->rdma, "off"))
        return s_refuse (why, size, "rdma: allowed are auto and off");
    if (strneq (o->rdma_windows, "auto") && strneq (o->rdma_windows, "off"))
        return s_refuse (why, size, "rdma_windows: allowed are auto and off");
    if (o->rdma_gid > 255)
        return s_refuse (why, size, "rdma_gid: allowed are 0 to 255");
    if (o->bulk_port > 65535)
        return s_refuse (why, size, "bulk_port: allowed are 0 to 65535");
    if (o->beacon_port > 65535)
        return s_refuse (why, size, "beacon_port: allowed are 0 to 65535");
    return UMBP_OK;
}

static int s_check_listen (const char *where, const char *member, char *why, size_t size)
{
    if (!*where || umbp_endpoint_is_loopback (where))
        return UMBP_OK;
    return s_refuse (why, size,
                     "%s: %.200s is not loopback, and whoever reaches it could read and remove "
                     "everything: set security/certificate (umbp-console keygen makes one), or "
                     "security/insecure = yes if that network is trusted",
                     member, where);
}

//  Who has no certificate listens to this host alone, unless told otherwise
static int s_check_plain (const umbp_node_options_t *o, char *why, size_t size)
{
    if (*o->nodes_dir || *o->clients_dir || *o->tenants_file || *o->tenant)
        return s_refuse (why, size, "%s: it needs a certificate of this node too",
                         *o->nodes_dir      ? "nodes_dir"
                         : *o->clients_dir  ? "clients_dir"
                         : *o->tenants_file ? "tenants_file"
                                            : "tenant");
    if (o->insecure)
        return UMBP_OK;
    int rc = s_check_listen (o->listen, "listen", why, size);
    if (rc == UMBP_OK)
        rc = s_check_listen (o->bulk_host, "bulk_host", why, size);
    return rc == UMBP_OK ? s_check_listen (o->gossip_bind, "gossip_bind", why, size) : rc;
}

static int s_check_tenants (const umbp_node_options_t *o, char *why, size_t size)
{
    char what[UMBP_TEXT_MAX + 256] = "";
    if (*o->tenant && !s_name_ok (o->tenant))
        return s_refuse (why, size, "tenant: allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    umbp_quotas_t *quotas =
        *o->tenants_file ? umbp_quotas_read (o->tenants_file, what, sizeof what) : NULL;
    if (*o->tenants_file && !quotas)
        return s_refuse (why, size, "tenants_file: %s", what);
    umbp_quotas_destroy (&quotas);
    return UMBP_OK;
}

static int s_check_security (const umbp_node_options_t *o, char *why, size_t size)
{
    umbp_pass_t own = { .role = UMBP_PASS_NODE };
    uint8_t secret_key[UMBP_CURVE_KEY];
    char what[UMBP_TEXT_MAX] = "";
    if (!*o->certificate)
        return s_check_plain (o, why, size);
    if (o->insecure)
        return s_refuse (why, size, "insecure: not with a certificate: take one of both away");
    int rc = umbp_curve_read_own (o->certificate, &own.cert, secret_key, what, sizeof what);
    memset (secret_key, 0, sizeof secret_key);
    if (rc < 0)
        return s_refuse (why, size, "certificate: %s", what);
    if (*own.cert.words.node && *o->node && strneq (own.cert.words.node, o->node))
        return s_refuse (why, size, "certificate: %.200s is for the node %s, not for %s",
                         o->certificate, own.cert.words.node, o->node);
    umbp_keyring_t *keys = umbp_gate_read (&own, o->nodes_dir, o->clients_dir, what, sizeof what);
    if (!keys)
        return s_refuse (why, size, "nodes_dir, clients_dir: %s", what);
    umbp_keyring_destroy (&keys);
    return s_check_tenants (o, why, size);
}

umbp_etcd_args_t umbp_node_options_etcd (const umbp_node_options_t *o)
{
    return (umbp_etcd_args_t){ .cluster = o->cluster,
                               .endpoints = o->etcd_endpoints,
                                .prefix = o->etcd_prefix, .ttl_ms = o->etcd_ttl_ms,
                                .user = o->etcd_user, .password = o->etcd_password,
                                .ca = o->etcd_ca, .cert = o->etcd_cert, .key = o->etcd_key };
}

static int s_check_etcd (const umbp_node_options_t *o, char *why, size_t size)
{
    umbp_etcd_args_t args = umbp_node_options_etcd (o);
    const char *reason = NULL;
    if (*o->etcd_endpoints && umbp_etcd_check (&args, &reason) < 0)
        return s_refuse (why, size, "%s", reason);
    return UMBP_OK;
}

static int s_check_gateway (const umbp_node_options_t *o, char *why, size_t size)
{
    if (*o->gateway_listen
        && (strncmp (o->gateway_listen, "tcp://", 6) != 0 || !strrchr (o->gateway_listen + 6, ':')))
        return s_refuse (why, size, "gateway_listen: must be tcp://host:port, port * for any");
    if (*o->gateway_listen && !o->gateway_open && !umbp_http_is_loopback (o->gateway_listen))
        return s_refuse (why, size,
                         "gateway_listen: other hosts reach this address: use 127.0.0.1, or set "
                         "gateway_open");
    return UMBP_OK;
}

//  After the network: the name may have the port of listen in it
static int s_check_names (const umbp_node_options_t *o, char *why, size_t size)
{
    if (*o->node && !s_name_ok (o->node))
        return s_refuse (why, size, "node: allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!s_name_ok (o->cluster))
        return s_refuse (why, size, "cluster: allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    char node[UMBP_NAME_MAX + 1];
    umbp_node_options_name (o, umbp_node_clock_us (), node);
    const char *door = *o->shared_dir ? DOOR_SHARED : DOOR_LONGEST;
    size_t bytes = strlen (o->run_dir) + 1 + strlen (node) + strlen (door);
    if (*o->run_dir && bytes > UMBP_DOOR_PATH_MAX)
        return s_refuse (why, size,
                         "run_dir: run_dir/%s%s has %zu bytes, a UNIX socket path has at most %d",
                         node, door, bytes, UMBP_DOOR_PATH_MAX);
    return UMBP_OK;
}

static int s_check_members (const umbp_node_options_t *o, char *why, size_t size)
{
    if (o->heartbeat_ms < 10 || o->heartbeat_ms > 60000)
        return s_refuse (why, size, "heartbeat_ms: allowed are 10 to 60000");
    if (o->suspect_ms / 3 < o->heartbeat_ms)
        return s_refuse (why, size, "suspect_ms: must be at least 3 times heartbeat_ms");
    if (o->gone_ms < o->suspect_ms)
        return s_refuse (why, size, "gone_ms: must be at least suspect_ms");
    if (o->copies < 1 || o->copies > UMBP_COPIES_MAX)
        return s_refuse (why, size, "copies: allowed are 1 to %d", UMBP_COPIES_MAX);
    if (o->vnodes < 1 || o->vnodes > UMBP_RING_REPLICAS_MAX)
        return s_refuse (why, size, "vnodes: allowed are 1 to %d", UMBP_RING_REPLICAS_MAX);
    return UMBP_OK;
}

static int s_check_memory (const umbp_node_options_t *o, char *why, size_t size)
{
    if (o->page_bytes < 4096 || o->page_bytes > 1 << 30 || o->page_bytes % 4096)
        return s_refuse (why, size, "page_bytes: allowed are multiples of 4 KiB up to 1 GiB");
    if (o->dram_bytes < o->page_bytes || o->region_bytes < o->page_bytes)
        return s_refuse (why, size, "dram_bytes, region_bytes: must hold one page at least");
    if ((o->dram_bytes - 1) / o->region_bytes >= UMBP_REGIONS_MAX)
        return s_refuse (why, size,
                         "region_bytes: too small, dram_bytes would need more than %d regions",
                         UMBP_REGIONS_MAX);
    if (o->dram_bytes / o->page_bytes > PAGES_MAX)
        return s_refuse (why, size,
                         "page_bytes: too small, dram_bytes would need more than %u pages",
                         PAGES_MAX);
    return UMBP_OK;
}

static int s_check_hbm (const umbp_node_options_t *o, char *why, size_t size)
{
    char kind[8];
    int number;
    if (!*o->hbm_device)
        return UMBP_OK;
    if (strneq (o->hbm_device, "auto") && umbp_vram_device (o->hbm_device, kind, &number) < 0)
        return s_refuse (why, size, "hbm_device: allowed are auto, cuda:N, hip:N, mock:N");
    if (o->hbm_bytes < UMBP_VRAM_PAGE_BYTES)
        return s_refuse (why, size, "hbm_bytes: must be %u or more", UMBP_VRAM_PAGE_BYTES);
    if (o->hbm_staging_bytes < o->page_bytes
        || (o->hbm_staging_bytes - 1) / o->region_bytes >= UMBP_REGIONS_MAX)
        return s_refuse (why, size,
                         "hbm_staging_bytes: must hold one page at least, in at most %d regions",
                         UMBP_REGIONS_MAX);
    return UMBP_OK;
}

static int s_check_disks (const umbp_node_options_t *o, char *why, size_t size)
{
    if (!*o->nvme_dirs)
        return UMBP_OK;
    if (o->nvme_segment_bytes < SEGMENT_MIN || o->nvme_segment_bytes > SEGMENT_MAX)
        return s_refuse (why, size, "nvme_segment_bytes: allowed are 1 MiB to 4 GiB");
    if (o->nvme_bytes / o->nvme_segment_bytes < SEGMENTS_MIN)
        return s_refuse (why, size, "nvme_bytes: must hold %d segments at least", SEGMENTS_MIN);
    if (o->nvme_staging_bytes < o->page_bytes
        || (o->nvme_staging_bytes - 1) / o->region_bytes >= UMBP_REGIONS_MAX)
        return s_refuse (why, size,
                         "nvme_staging_bytes: must hold one page at least, in at most %d regions",
                         UMBP_REGIONS_MAX);
    if (o->migration_patience_ms < 100 || o->migration_patience_ms > 60000)
        return s_refuse (why, size, "migration_patience_ms: must be 100 to 60000");
    if (strneq (o->nvme_write, "back") && strneq (o->nvme_write, "through"))
        return s_refuse (why, size, "nvme_write: allowed are back, through");
    if (strneq (o->nvme_admit, "all") && strneq (o->nvme_admit, "second-touch")
        && strneq (o->nvme_admit, "auto"))
        return s_refuse (why, size, "nvme_admit: allowed are all, second-touch, auto");
    if (o->nvme_low >= o->evict_high)
        return s_refuse (why, size, "nvme_low: must be below evict_high, or 0");
    if (o->migration_idle > 100)
        return s_refuse (why, size, "migration_idle: must be 100 at most, or 0");
    if (o->migration_blocks < 1 || o->migration_bytes < 1)
        return s_refuse (why, size, "migration_blocks, migration_bytes: must be 1 at least");
    if (strneq (o->nvme_durability, "strict") && strneq (o->nvme_durability, "relaxed"))
        return s_refuse (why, size, "nvme_durability: allowed are strict, relaxed");
    if (strneq (o->nvme_engine, "auto") && strneq (o->nvme_engine, "io_uring")
        && strneq (o->nvme_engine, "posix"))
        return s_refuse (why, size, "nvme_engine: allowed are auto, io_uring, posix");
    return UMBP_OK;
}

static int s_check_shared (const umbp_node_options_t *o, char *why, size_t size)
{
    if (!*o->shared_dir)
        return UMBP_OK;
    if (*o->shared_dir != '/')
        return s_refuse (why, size, "shared_dir: must be an absolute path");
    if (o->shared_segment_bytes < SEGMENT_MIN || o->shared_segment_bytes > SEGMENT_MAX)
        return s_refuse (why, size, "shared_segment_bytes: allowed are 1 MiB to 4 GiB");
    if (o->shared_bytes / o->shared_segment_bytes < SEGMENTS_MIN)
        return s_refuse (why, size, "shared_bytes: must hold %d segments at least", SEGMENTS_MIN);
    if (o->shared_staging_bytes < o->page_bytes
        || (o->shared_staging_bytes - 1) / o->region_bytes >= UMBP_REGIONS_MAX)
        return s_refuse (why, size,
                         "shared_staging_bytes: must hold one page at least, in at most %d regions",
                         UMBP_REGIONS_MAX);
    if (umbp_shelf_mode (o->shared_durability) < 0)
        return s_refuse (why, size, "shared_durability: allowed are relaxed, commit, strict");
    if (strneq (o->shared_write, "back") && strneq (o->shared_write, "through"))
        return s_refuse (why, size, "shared_write: allowed are back, through");
    if (strneq (o->shared_admit, "all") && strneq (o->shared_admit, "second-touch")
        && strneq (o->shared_admit, "auto"))
        return s_refuse (why, size, "shared_admit: allowed are all, second-touch, auto");
    if (o->shared_deadline_ms < 100)
        return s_refuse (why, size, "shared_deadline_ms: must be 100 or more");
    if (o->shared_low >= o->evict_high)
        return s_refuse (why, size, "shared_low: must be below evict_high, or 0");
    if (o->migration_blocks < 1 || o->migration_bytes < 1)
        return s_refuse (why, size, "migration_blocks, migration_bytes: must be 1 at least");
    return UMBP_OK;
}

static int s_check_blocks (const umbp_node_options_t *o, char *why, size_t size)
{
    if (o->evict_low < 1 || o->evict_low >= o->evict_high || o->evict_high > 100)
        return s_refuse (why, size, "evict_low, evict_high: must be 1 <= low < high <= 100");
    umbp_policy_t *policy = umbp_policy_new (o->policy);
    if (!policy)
        return s_refuse (why, size, "policy: allowed are s3fifo, lru, clock, arc, reuse");
    umbp_policy_destroy (&policy);
    if (!umbp_place_strategy (o->strategy))
        return s_refuse (why, size, "strategy: allowed are local, most_free, weighted, same");
    if (strneq (o->replicate, "off") && strneq (o->replicate, "last"))
        return s_refuse (why, size, "replicate: allowed are off, last");
    if (o->resyncs > UMBP_PACE_MAX)
        return s_refuse (why, size, "resyncs: allowed are 0 to %d", UMBP_PACE_MAX);
    if (o->slot_ttl_ms < 100 || o->lease_ttl_ms < 100)
        return s_refuse (why, size, "slot_ttl_ms, lease_ttl_ms: must be 100 or more");
    if (o->index_keys < 1 || o->index_keys > UINT32_MAX)
        return s_refuse (why, size, "index_keys: allowed are 1 to %u", UINT32_MAX);
    if (o->kv_hashes < 1 || o->kv_hashes > UMBP_KV_HASHES_MAX)
        return s_refuse (why, size, "kv_hashes: allowed are 1 to %d", UMBP_KV_HASHES_MAX);
    return UMBP_OK;
}

//  A library that is not there is no reason not to start: then there are no devices
static int s_check_devices (const umbp_node_options_t *o, char *why, size_t size)
{
    char what[UMBP_FIND_WHY_MAX] = "", path[UMBP_FIND_PATH_MAX];
    umbp_find_args_t find = { .setting = o->device_library, .insecure = o->device_insecure };
    if (o->device_discover_ms < 1000)
        return s_refuse (why, size, "device_discover_ms: must be 1000 or more");
    if (o->device_poll_ms < 100)
        return s_refuse (why, size, "device_poll_ms: must be 100 or more");
    if (*o->device_library && umbp_find_library (&find, path, what) < 0
        && (*o->device_library != '/' || access (o->device_library, F_OK) == 0))
        return s_refuse (why, size, "device_library: %s", what);
    return UMBP_OK;
}

static int s_check_worker (const umbp_node_options_t *o, char *why, size_t size)
{
    if (*o->worker_state_dir && *o->worker_state_dir != '/')
        return s_refuse (why, size, "worker_state_dir: must be an absolute path");
    if (strneq (o->worker_isolation, "dynamic") && umbp_isolation_of (o->worker_isolation) < 0)
        return s_refuse (why, size,
                         "worker_isolation: allowed are dynamic, shared, soft, hard, partitioned");
    if (o->worker_split_ms < 100)
        return s_refuse (why, size, "worker_split_ms: must be 100 or more");
    if (o->worker_backoff_ms < 30 || o->worker_grace_ms < 10 || o->worker_poll_ms < 10)
        return s_refuse (why, size,
                         "worker_backoff_ms, worker_grace_ms, worker_poll_ms: must be 30, 10 and "
                         "10 or more");
    return UMBP_OK;
}

int umbp_node_options_marks (const umbp_node_options_t *o, umbp_level_marks_t *marks,
                             const char **option, const char **why)
{
    const struct {
        const char *name, *text;
        unsigned *marks;
    } lists[] = {
        { "pressure_tier", o->pressure_tier, marks->tier_enter },
        { "pressure_tier_leave", o->pressure_tier_leave, marks->tier_leave },
        { "pressure_device", o->pressure_device, marks->device_enter },
        { "pressure_device_leave", o->pressure_device_leave, marks->device_leave },
        { "pressure_some", o->pressure_some, marks->some },
        { "pressure_full", o->pressure_full, marks->full },
        { "pressure_available", o->pressure_available, marks->available },
    };
    umbp_level_marks_init (marks);
    marks->rise_ms = o->pressure_rise_ms;
    marks->fall_ms = o->pressure_fall_ms;
    marks->quiet_ms = o->pressure_quiet_ms;
    *why = "must be 1 to 4 percentages by comma, or - for none, like 85,90,95,98";
    for (size_t index = 0; index < sizeof lists / sizeof *lists; index++) {
        *option = lists[index].name;
        if (umbp_level_marks_read (lists[index].text, lists[index].marks) < 0)
            return UMBP_EINVAL;
    }
    *option =
        "pressure_tier, pressure_tier_leave, pressure_device, pressure_device_leave, pressure_some, "
        "pressure_full, pressure_available";
    return umbp_level_marks_check (marks, why);
}

static int s_check_pressure (const umbp_node_options_t *o, char *why, size_t size)
{
    umbp_level_marks_t marks;
    const char *option, *what;
    if (umbp_pressure_mode (o->pressure_mode) < 0)
        return s_refuse (why, size, "pressure_mode: allowed are off, observe, act");
    if (umbp_node_options_marks (o, &marks, &option, &what) < 0)
        return s_refuse (why, size, "%s: %s", option, what);
    if (o->pressure_keep < 1 || o->pressure_keep > 100)
        return s_refuse (why, size, "pressure_keep: allowed are 1 to 100");
    return UMBP_OK;
}

static int s_check_running (const umbp_node_options_t *o, char *why, size_t size)
{
    if (o->spin_us > SPIN_MAX_US)
        return s_refuse (why, size, "spin_us: allowed are 0 to %d", SPIN_MAX_US);
    if (o->log_level > 3)
        return s_refuse (why, size, "log_level: allowed are 0 to 3");
    return s_check_gateway (o, why, size);
}

int umbp_node_options_check (const umbp_node_options_t *options, char *why, size_t size)
{
    static int (*const checks[]) (const umbp_node_options_t *, char *, size_t) = {
        s_check_network, s_check_names,  s_check_etcd,    s_check_members,  s_check_memory,
        s_check_disks,   s_check_shared, s_check_blocks,  s_check_devices,  s_check_running,
        s_check_security, s_check_worker, s_check_pressure, s_check_hbm,
    };
    int rc = UMBP_OK;
    for (size_t index = 0; index < sizeof checks / sizeof *checks && rc == UMBP_OK; index++)
        rc = checks[index](options, why, size);
    return rc;
}

//  A medium lets go of whole segments, and what is kept free beyond that holds no block
static unsigned s_low (unsigned low, unsigned high)
{
    return low ? low : high > 3 ? high - 2 : high - 1;
}

unsigned umbp_node_options_disk_low (const umbp_node_options_t *options)
{
    return s_low (options->nvme_low, options->evict_high);
}

unsigned umbp_node_options_shared_low (const umbp_node_options_t *options)
{
    return s_low (options->shared_low, options->evict_high);
}
