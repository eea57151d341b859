//  actors/node.c - a whole node: makes its memory, starts its actors in the order in which they
//  need each other, and ends them in the reverse one. Behind umbp_node.h.
#include "actors/node_self.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/device.h"
#include "actors/etcd_actor.h"
#include "actors/eviction.h"
#include "actors/extkv.h"
#include "actors/gate.h"
#include "actors/gateway.h"
#include "actors/http.h"
#include "actors/index.h"
#include "actors/kv_table.h"
#include "actors/migrator.h"
#include "actors/node_options.h"
#include "actors/pressure.h"
#include "actors/registry.h"
#include "actors/router.h"
#include "actors/tier/pace.h"
#include "actors/tier/vram.h"
#include "actors/worker.h"
#include "actors/worker/devices.h"
#include "cluster/bulk/host.h"
#include "cluster/discovery/beacon.h"
#include "cluster/discovery/gossip.h"
#include "cluster/discovery/seeds.h"
#include "cluster/endpoint.h"
#include "cluster/link.h"
#include "cluster/topology.h"
#include "proto/key.h"

#define EPOCH_PATH_MAX 320

//  --------------------------------------------------------------------------------------------------
//  Who and where we are

//  The folder of the doors also has the number of our last incarnation, so that the next one is higher even if the
//  clock was set back meanwhile. What cannot be read or written is no reason not to start: others then refuse us
//  until they forget our former self. An orderly end takes the number away: then we took leave.
static void s_epoch_path (const umbp_node_t *self, const char *name, char *path, size_t size)
{
    snprintf (path, size, "%.*s/%s/%s", UMBP_DOOR_PATH_MAX, self->options.run_dir, self->home.node,
              name);
}

//  Returns 0 if there is none
static uint64_t s_read_epoch (const umbp_node_t *self)
{
    char path[EPOCH_PATH_MAX];
    uint64_t epoch = 0;
    s_epoch_path (self, "epoch", path, sizeof path);
    FILE *file = *self->options.run_dir ? fopen (path, "r") : NULL;
    if (file && fscanf (file, "%" SCNu64, &epoch) != 1)
        epoch = 0;
    if (file)
        fclose (file);
    return epoch;
}

static void s_write_epoch (const umbp_node_t *self)
{
    char path[EPOCH_PATH_MAX], fresh[EPOCH_PATH_MAX];
    s_epoch_path (self, "epoch", path, sizeof path);
    s_epoch_path (self, "epoch.new", fresh, sizeof fresh);
    FILE *file = fopen (fresh, "w");
    bool fine = file && fprintf (file, "%" PRIu64 "\n", self->home.node_epoch) > 0;
    fine = file && fclose (file) == 0 && fine && rename (fresh, path) == 0;
    if (!fine) {
        zsys_warning (
            "node: cannot write %s: %s; if the clock is set back, a restart will be refused for a while",
            path, strerror (errno));
        unlink (fresh);
    }
}

//  Who we are in this process, where addresses of nodes come again, and in the cluster
static void s_make_home (umbp_node_t *self)
{
    static atomic_ullong serial;        //  Of all nodes of the process: their threads may start some
    umbp_home_t *home = &self->home;
    home->node_epoch = umbp_node_clock_us ();
    home->spin_us = self->options.spin_us;
    home->log_level = self->options.log_level;
    home->secure = *self->options.certificate;
    snprintf (home->tenant, sizeof home->tenant, "%s", self->options.tenant);
    snprintf (home->instance, sizeof home->instance, "%d-%llu", getpid (),
              atomic_fetch_add (&serial, 1) + 1);
    umbp_node_options_name (&self->options, home->node_epoch, home->node);
    uint64_t former = s_read_epoch (self);
    if (former >= home->node_epoch)
        home->node_epoch = former + 1;
}

//  The folder of the doors, for our user only. Returns false if it cannot be made.
static bool s_make_doors (umbp_node_t *self)
{
    if (!*self->options.run_dir)
        return true;
    snprintf (self->home.doors, sizeof self->home.doors, "%.*s/%s", UMBP_DOOR_PATH_MAX,
              self->options.run_dir, self->home.node);
    if (mkdir (self->options.run_dir, 0700) == -1 && errno != EEXIST) {
        zsys_error ("node: cannot make run_dir %s: %s", self->options.run_dir, strerror (errno));
        return false;
    }
    if (mkdir (self->home.doors, 0700) == -1 && errno != EEXIST) {
        zsys_error ("node: cannot make %s: %s", self->home.doors, strerror (errno));
        return false;
    }
    s_write_epoch (self);
    return true;
}

//  --------------------------------------------------------------------------------------------------
//  Actors

bool umbp_node_add (umbp_node_t *self, zactor_t *actor)
{
    assert (self->actor_count < UMBP_NODE_ACTORS_MAX);
    if (actor)
        self->actors[self->actor_count++] = actor;
    return actor != NULL;
}

//  Of fingerprints
static uint64_t s_seed (const umbp_node_options_t *options)
{
    return umbp_key_seed (*options->secret ? options->secret : options->cluster);
}

static umbp_verbs_t *s_open_rdma (umbp_node_t *self, bool quiet)
{
    const umbp_node_options_t *o = &self->options;
    umbp_verbs_how_t how = { .plugin = o->rdma_plugin,
                             .devices = o->rdma_devices,
                             .gid_index = o->rdma_gid,
                             .no_windows = streq (o->rdma_windows, "off"),
                             .quiet = quiet };
    return umbp_verbs_actor_open (&how, &self->rdma_api);
}

static bool s_start_registry (umbp_node_t *self)
{
    char host[UMBP_TEXT_MAX];
    umbp_registry_args_t args = { .home = &self->home,
                                  .cluster = self->options.cluster,
                                  .endpoint = self->endpoint, .bulk = self->bulk,
                                  .host = umbp_host_id (host, sizeof host),
                                  .heartbeat_ms = self->options.heartbeat_ms,
                                  .suspect_ms = self->options.suspect_ms, .gone_ms = self->options.gone_ms,
                                  .copies = self->options.copies, .vnodes = self->options.vnodes,
                                  .ring_plain = self->options.ring_plain,
                                  .seed = s_seed (&self->options), .tiers = umbp_node_tier_count (self),
                                  .stop_fd = self->options.may_stop ? self->stop_fd : 0,
                                  .actors = self->listeners, .all = self->names };
    self->registry = umbp_registry_new (&args);
    return self->registry != NULL;
}

static bool s_start_discovery (umbp_node_t *self)
{
    const umbp_node_options_t *o = &self->options;
    const char *instance = self->home.instance;
    umbp_seeds_args_t seeds = { instance, self->endpoint, o->seeds };
    umbp_gossip_args_t gossip = { .instance = instance,
                                  .cluster = o->cluster,
                                  .node = self->home.node,
                                  .endpoint = self->endpoint, .bind = o->gossip_bind,
                                  .connect = o->gossip_connect };
    umbp_beacon_args_t beacon = { .instance = instance,
                                  .cluster = o->cluster,
                                  .endpoint = self->endpoint,
                                  .interface = o->beacon_interface, .port = o->beacon_port };
    umbp_etcd_args_t etcd = umbp_node_options_etcd (o);
    etcd.instance = instance;
    etcd.node = self->home.node;
    etcd.endpoint = self->endpoint;
    return (!*o->seeds || umbp_node_add (self, umbp_seeds_new (&seeds)))
           && ((!*o->gossip_bind && !*o->gossip_connect)
               || umbp_node_add (self, umbp_gossip_new (&gossip, NULL)))
           && (!o->beacon_port || umbp_node_add (self, umbp_beacon_new (&beacon)))
           && (!*o->etcd_endpoints
               || umbp_node_add (self, umbp_etcd_actor_new (&self->home, &etcd)));
}

//  The registry, who is told of the topology, and those that not all nodes have
static void s_name_actors (umbp_node_t *self)
{
    static const char *const listeners[] = { "index",    "tier:dram", "router",
                                             "eviction", "extkv",     "migrator" };
    size_t count = 0;
    for (; count < sizeof listeners / sizeof *listeners; count++)
        self->listeners[count] = listeners[count];
    if (*self->options.nvme_dirs)
        self->listeners[count++] = "tier:nvme";
    if (self->has_hbm)
        self->listeners[count++] = "tier:hbm";
    if (*self->options.shared_dir)
        self->listeners[count++] = "tier:shared";
    for (size_t index = 0; index < count; index++)
        self->names[index] = self->listeners[index];
    self->names[count++] = "registry";
    self->names[count++] = "device";
    self->names[count++] = "pressure";
    if (self->gate)
        self->names[count++] = "gate";
    if (*self->options.etcd_endpoints)
        self->names[count++] = "etcd";
    if (*self->options.worker_state_dir)
        self->names[count++] = "worker";
    if (*self->options.gateway_listen)
        self->names[count++] = "gateway";
}

//  After the tiers that it asks. The options were checked before.
static bool s_start_pressure (umbp_node_t *self)
{
    const umbp_node_options_t *o = &self->options;
    const char *option, *why;
    umbp_pressure_args_t args = { .home = &self->home,
                                  .mode = (umbp_pressure_mode_t) umbp_pressure_mode (o->pressure_mode),
                                  .keep = o->pressure_keep, .calm_ms = o->pressure_calm_ms,
                                  .cgroup = o->pressure_cgroup };
    umbp_node_options_marks (o, &args.marks, &option, &why);
    return umbp_node_add (self, umbp_pressure_new (&args));
}

static bool s_start_gateway (umbp_node_t *self)
{
    umbp_gateway_args_t args = { .home = &self->home,
                                 .listen = self->options.gateway_listen, .actors = self->names };
    return !*self->options.gateway_listen
           || umbp_node_add (self, umbp_gateway_new (&args, self->gateway, sizeof self->gateway));
}

//  It has devices of its own, to read from other nodes, where ours serve
static bool s_start_migrator (umbp_node_t *self)
{
    umbp_migrator_args_t args = { .home = &self->home,
                                  .here = self->here, .here_count = self->here_count };
    if (self->serves_rdma)
        args.rdma = s_open_rdma (self, true);
    args.rdma_api = self->rdma_api;
    return umbp_node_add (self, umbp_migrator_new (&args));
}

//  Accelerators, if there are any
static bool s_start_device (umbp_node_t *self)
{
    const umbp_node_options_t *o = &self->options;
    umbp_device_args_t args = {
        .home = &self->home,
                                .find = { .setting = o->device_library,
                                          .insecure = o->device_insecure },
                                .discover_ms = o->device_discover_ms, .poll_ms = o->device_poll_ms,
                                .folder = o->run_dir,
                                .tells = umbp_pressure_mode (o->pressure_mode) != UMBP_PRESSURE_OFF };
    return umbp_node_add (self, umbp_device_actor_new (&args));
}

static bool s_start_worker (umbp_node_t *self)
{
    const umbp_node_options_t *o = &self->options;
    umbp_worker_args_t args = { .home = &self->home,
                                .folder = o->worker_state_dir,
                                .logs = o->worker_log_dir, .policy = o->worker_isolation,
                                .backoff_ms = o->worker_backoff_ms,
                                .grace_ms = o->worker_grace_ms, .poll_ms = o->worker_poll_ms };
    if (!*o->worker_state_dir)
        return true;
    umbp_worker_provider_t devices = umbp_worker_devices_new (o->worker_split_ms);
    args.provider = &devices;
    return umbp_node_add (self, umbp_worker_new (&args));
}

static bool s_start_actors (umbp_node_t *self, int *err)
{
    const umbp_node_options_t *o = &self->options;
    uint64_t seed = s_seed (o);
    umbp_index_args_t index = { &self->home, seed, o->index_keys };
    umbp_eviction_args_t eviction = { &self->home,
                                      o->evict_high,
                                      o->evict_low,
                                      umbp_node_options_disk_low (o),
                                      umbp_node_options_shared_low (o),
                                      o->migration_patience_ms };
    umbp_extkv_args_t extkv = { .home = &self->home, .hashes = o->kv_hashes };
    umbp_router_args_t router = { .home = &self->home,
                                  .strategy = umbp_place_strategy (o->strategy),
                                  .evict_high = o->evict_high, .evict_low = o->evict_low,
                                  .page_bytes = o->page_bytes };
    if (!umbp_node_open_hbm (self))
        return false;
    s_name_actors (self);
    return s_start_device (self) && umbp_node_add (self, umbp_index_new (&index))
           && umbp_node_add (self, umbp_eviction_new (&eviction))
           && umbp_node_start_tiers (self, seed, err)
           && umbp_node_add (self, umbp_extkv_new (&extkv))
           && umbp_node_add (self, umbp_router_new (&router)) && s_start_migrator (self)
           && s_start_worker (self) && s_start_pressure (self) && s_start_gateway (self)
           && s_start_registry (self) && s_start_discovery (self);
}

//  --------------------------------------------------------------------------------------------------
//  Life

//  The gate, and the link behind it. What the certificate is was checked before, but it is a file.
static bool s_start_secure (umbp_node_t *self, const umbp_link_args_t *args)
{
    const umbp_node_options_t *o = &self->options;
    char why[UMBP_TEXT_MAX] = "";
    umbp_pass_t own = { .role = UMBP_PASS_NODE };
    umbp_curve_t curve = { .on = true };
    umbp_keyring_t *keys = NULL;
    if (umbp_curve_read_own (o->certificate, &own.cert, curve.secret_key, why, sizeof why) == 0)
        keys = umbp_gate_read (&own, o->nodes_dir, o->clients_dir, why, sizeof why);
    memcpy (curve.public_key, own.cert.public_key, UMBP_CURVE_KEY);
    umbp_gate_args_t gate = { .home = &self->home,
                              .own = &own, .nodes = o->nodes_dir, .clients = o->clients_dir,
                              .tenants = o->tenants_file };
    if (keys) {
        gate.context = self->context = zmq_ctx_new ();
        self->gate = umbp_gate_new (&gate);
        umbp_link_security_t security = { self->context, &curve, keys };
        if (self->gate)
            self->link = umbp_link_new_secure (args, &security, self->bound, sizeof self->bound);
    } else
        zsys_error ("node: certificate: %s", why);
    umbp_keyring_destroy (&keys);
    memset (&curve, 0, sizeof curve);
    return self->link != NULL;
}

static bool s_start_link (umbp_node_t *self)
{
    umbp_link_args_t args = { .instance = self->home.instance,
                              .node = self->home.node,
                              .listen = self->options.listen };
    if (streq (self->options.rdma, "auto"))
        self->rdma = s_open_rdma (self, false);
    char actors[512];                   //  Who asks for others is told at once that they are not there
    snprintf (actors, sizeof actors, UMBP_LINK_ACTORS "%s%s", self->rdma ? ",verbs" : "",
              *self->options.worker_state_dir ? ",worker" : "");
    args.actors = actors;
    if (self->options.insecure)
        zsys_warning ("node: security/insecure is set: nothing is encrypted, and whoever reaches "
                      "%s can read, write and remove everything",
                      self->options.listen);
    if (*self->options.certificate)
        s_start_secure (self, &args);
    else
        self->link = umbp_link_new (&args, self->bound, sizeof self->bound);
    if (!self->link)
        return false;
    snprintf (self->endpoint, sizeof self->endpoint, "%s",
              *self->options.advertise ? self->options.advertise : self->bound);
    umbp_post_inproc (self->home.instance, "link", self->inproc, sizeof self->inproc);
    return true;
}

umbp_node_t *umbp_node_new (const umbp_node_options_t *options, int *err)
{
    char why[UMBP_TEXT_MAX];
    int rc = umbp_node_options_check (options, why, sizeof why);
    if (err)
        *err = rc;
    if (rc < 0) {
        zsys_error ("node: %s", why);
        return NULL;
    }
    zsys_handler_set (NULL);            //  Signals are the program's
    umbp_node_t *self = zmalloc (sizeof (umbp_node_t));
    self->options = *options;
    rc = UMBP_EIO;
    self->stop_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->stop_fd = self->stop_fd > 0 ? self->stop_fd : 0;
    s_make_home (self);
    bool fine = s_start_link (self) && s_make_doors (self) && s_start_actors (self, &rc);
    if (!fine)
        umbp_node_destroy (&self);
    if (err)
        *err = fine ? UMBP_OK : rc;
    return self;
}

void umbp_node_destroy (umbp_node_t **self_p)
{
    umbp_node_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->tier_count; index++)
        umbp_actor_stops (self->tiers[index]);
    zactor_destroy (&self->registry);   //  Takes leave of the others
    while (self->actor_count > 0)
        zactor_destroy (&self->actors[--self->actor_count]);
    zactor_destroy (&self->link);
    zactor_destroy (&self->gate);
    if (self->hbm) {
        umbp_medium_t unused = umbp_vram_medium (self->hbm);
        umbp_medium_close (&unused);
    }
    if (self->rdma)
        self->rdma_api->close (&self->rdma);
    if (self->context)
        zmq_ctx_term (self->context);
    if (*self->home.doors) {
        char path[EPOCH_PATH_MAX];
        s_epoch_path (self, "epoch", path, sizeof path);
        unlink (path);
        rmdir (self->home.doors);
    }
    if (self->stop_fd)
        close (self->stop_fd);
    freen (*self_p);
}

const char *umbp_node_id (const umbp_node_t *self)
{
    return self->home.node;
}

int umbp_node_stop_fd (const umbp_node_t *self)
{
    return self->options.may_stop && self->stop_fd ? self->stop_fd : -1;
}

const char *umbp_node_endpoint (const umbp_node_t *self)
{
    return self->endpoint;
}

const char *umbp_node_endpoint_inproc (const umbp_node_t *self)
{
    return self->inproc;
}

const char *umbp_node_gateway (const umbp_node_t *self)
{
    return self->gateway;
}
