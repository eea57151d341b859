//  actors/node.c - a whole node: makes its memory, starts its actors in the order in which they
//  need each other, and ends them in the reverse one. Behind umbp_node.h.
#include "actors/umbp_node.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/actor.h"
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
#include "actors/tier/manager.h"
#include "actors/tier/pace.h"
#include "actors/verbs.h"
#include "cluster/bulk/host.h"
#include "cluster/discovery/beacon.h"
#include "cluster/discovery/gossip.h"
#include "cluster/discovery/seeds.h"
#include "cluster/endpoint.h"
#include "cluster/link.h"
#include "cluster/topology.h"
#include "proto/key.h"

#define ACTORS_MAX 16
#define EPOCH_PATH_MAX 320

struct umbp_node {
    umbp_node_options_t options;
    umbp_home_t home;
    char bound[UMBP_TEXT_MAX];          //  Where we listen, as an address: listen may name an interface
    char endpoint[UMBP_TEXT_MAX], inproc[UMBP_TEXT_MAX + UMBP_NAME_MAX], bulk[UMBP_TEXT_MAX];
    zactor_t *actors[ACTORS_MAX];       //  In the order of their start
    size_t actor_count;
    zactor_t *registry, *link;          //  First and last to go
    zactor_t *gate;                     //  NULL: links are plain. Outlives the link
    void *context;                      //  Of the sockets that the gate looks after
    char gateway[UMBP_TEXT_MAX];        //  Its URL, empty: there is none
    const char *names[ACTORS_MAX + 3];  //  Who can be asked for stat; ends with NULL
    const umbp_verbs_api_t *rdma_api;
    umbp_verbs_t *rdma;                 //  Devices, until their actor has them; NULL: none
    int stop_fd;                        //  Readable once a drain wants us to end; 0: none
};

//  Who is told of the topology
static const char *const s_listeners[] = { "index", "tier:dram", "router",   "eviction",
                                           "extkv", "migrator",  NULL };

//  --------------------------------------------------------------------------------------------------
//  Who and where we are

//  "tcp://host:port" -> host
static void s_host_of (const char *endpoint, char *out, size_t size)
{
    const char *host = endpoint + strlen ("tcp://"), *colon = strrchr (host, ':');
    snprintf (out, size, "%.*s", (int) (colon - host), host);
}

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
//  Memory

static void s_regions_destroy (umbp_region_t ***regions_p, size_t count)
{
    for (size_t index = 0; index < count; index++)
        umbp_region_destroy (&(*regions_p)[index]);
    freen (*regions_p);
}

//  Returns how many, or an error
static int s_make_regions (umbp_node_t *self, umbp_region_t ***regions_p)
{
    umbp_region_t **regions = zmalloc (UMBP_REGIONS_MAX * sizeof (umbp_region_t *));
    uint64_t left = self->options.dram_bytes;
    size_t count = 0;
    int rc = 0;
    while (left > 0 && rc == 0) {
        uint64_t bytes = left < self->options.region_bytes ? left : self->options.region_bytes;
        char name[64];
        snprintf (name, sizeof name, "umbp-dram-%zu", count);
        regions[count] =
            umbp_region_new (name, bytes, self->options.huge_pages, self->options.prefault, &rc);
        if (regions[count] && self->options.huge_pages && !umbp_region_huge (regions[count]))
            zsys_warning (
                "node: no huge pages for region %zu, small ones serve: see vm.nr_hugepages", count);
        count += regions[count] != NULL;
        left -= bytes;
    }
    if (rc == 0) {
        *regions_p = regions;
        return (int) count;
    }
    zsys_error ("node: cannot make %" PRIu64 " bytes of memory: %s", self->options.dram_bytes,
                umbp_strerror (rc));
    s_regions_destroy (&regions, count);
    return rc;
}

static umbp_bulk_server_t *s_make_bulk (umbp_node_t *self, umbp_region_t **regions, size_t count,
                                        int *err)
{
    umbp_piece_t pieces[UMBP_REGIONS_MAX];
    for (size_t index = 0; index < count; index++)
        pieces[index] =
            (umbp_piece_t){ umbp_region_base (regions[index]), umbp_region_bytes (regions[index]) };
    char host[UMBP_TEXT_MAX], where[UMBP_TEXT_MAX + 16];
    s_host_of (self->bound, host, sizeof host);
    if (*self->options.bulk_host)
        snprintf (host, sizeof host, "%s", self->options.bulk_host);
    snprintf (where, sizeof where, "%s:%u", streq (host, "*") ? "0.0.0.0" : host,
              self->options.bulk_port);
    umbp_bulk_server_config_t config = { .endpoint = where,
                                         .regions = pieces,
                                         .region_count = count,
                                         .page_size = self->options.page_bytes, .tokens_max = 1 << 17,
                                         .connections_max = 4096,
                                         .idle_ms = (int) self->options.bulk_idle_ms };
    umbp_bulk_server_t *bulk = umbp_bulk_server_new (&config, err);
    if (!bulk) {
        zsys_error ("node: cannot serve bulk bytes at %s: %s", where, umbp_strerror (*err));
        return NULL;
    }
    s_host_of (self->endpoint, host, sizeof host);
    snprintf (self->bulk, sizeof self->bulk, "%.200s:%.5s", host,
              strrchr (umbp_bulk_server_endpoint (bulk), ':') + 1);
    return bulk;
}

//  --------------------------------------------------------------------------------------------------
//  Actors

static bool s_add (umbp_node_t *self, zactor_t *actor)
{
    assert (self->actor_count < ACTORS_MAX);
    if (actor)
        self->actors[self->actor_count++] = actor;
    return actor != NULL;
}

//  Of fingerprints
static uint64_t s_seed (const umbp_node_options_t *options)
{
    return umbp_key_seed (*options->secret ? options->secret : options->cluster);
}

//  RDMA beside tcp, where there is some. None is no failure.
static void s_start_verbs (umbp_node_t *self, umbp_region_t **regions, size_t count,
                           umbp_bulk_server_t *bulk)
{
    umbp_piece_t pieces[UMBP_REGIONS_MAX];
    for (size_t index = 0; index < count; index++)
        pieces[index] =
            (umbp_piece_t){ umbp_region_base (regions[index]), umbp_region_bytes (regions[index]) };
    umbp_verbs_args_t args = { .home = &self->home,
                               .api = self->rdma_api, .verbs = self->rdma, .regions = pieces,
                               .region_count = count, .page_size = self->options.page_bytes,
                               .bulk = bulk, .idle_ms = self->options.bulk_idle_ms };
    self->rdma = NULL;
    if (!args.verbs || !s_add (self, umbp_verbs_actor_new (&args)))
        return;
    size_t row = 0;
    while (self->names[row])
        row++;
    self->names[row] = "verbs";
}

//  *err is set if this fails for want of memory or a port, and else stays as it is
static bool s_start_tier (umbp_node_t *self, uint64_t seed, const umbp_quotas_t *quotas, int *err)
{
    umbp_region_t **regions = NULL;
    int rc = 0, count = s_make_regions (self, &regions);
    if (count < 0) {
        *err = count;
        return false;
    }
    umbp_bulk_server_t *bulk = s_make_bulk (self, regions, (size_t) count, &rc);
    if (!bulk) {
        *err = rc;
        s_regions_destroy (&regions, (size_t) count);
        return false;
    }
    umbp_manager_args_t args = { .home = &self->home,
                                 .quotas = quotas,
                                 .name = "tier:dram",
                                 .tier = UMBP_TIER_DRAM,
                                 .regions = regions, .region_count = (size_t) count, .bulk = bulk,
                                 .bulk_endpoint = self->bulk, .page_size = self->options.page_bytes,
                                 .seed = seed, .slot_ttl_ms = self->options.slot_ttl_ms,
                                 .lease_ttl_ms = self->options.lease_ttl_ms,
                                 .evict_high = self->options.evict_high,
                                 .resyncs = self->options.resyncs,
                                 .pinned = self->rdma != NULL,
                                 .replicate_last = streq (self->options.replicate, "last"),
                                 .replicate_rate = self->options.replicate_rate };
    if (!s_add (self, umbp_manager_new (&args)))
        return false;
    s_start_verbs (self, regions, (size_t) count, bulk);
    return true;
}

//  With what tenants may use. The file was fine when it was checked, but it is a file.
static bool s_start_limited_tier (umbp_node_t *self, uint64_t seed, int *err)
{
    char why[768] = "";
    umbp_quotas_t *quotas = *self->options.tenants_file
                                ? umbp_quotas_read (self->options.tenants_file, why, sizeof why)
                                : umbp_quotas_new ();
    if (!quotas)
        zsys_error ("node: tenants: %s", why);
    bool fine = quotas && s_start_tier (self, seed, quotas, err);
    umbp_quotas_destroy (&quotas);
    return fine;
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
                                  .seed = s_seed (&self->options), .tiers = 1,
                                  .stop_fd = self->options.may_stop ? self->stop_fd : 0,
                                  .actors = s_listeners, .all = self->names };
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
    return (!*o->seeds || s_add (self, umbp_seeds_new (&seeds)))
           && ((!*o->gossip_bind && !*o->gossip_connect)
               || s_add (self, umbp_gossip_new (&gossip, NULL)))
           && (!o->beacon_port || s_add (self, umbp_beacon_new (&beacon)))
           && (!*o->etcd_endpoints || s_add (self, umbp_etcd_actor_new (&self->home, &etcd)));
}

//  The registry, who is told of the topology, and those that not all nodes have
static void s_name_actors (umbp_node_t *self)
{
    size_t count = 0;
    self->names[count++] = "registry";
    for (size_t index = 0; s_listeners[index]; index++)
        self->names[count++] = s_listeners[index];
    self->names[count++] = "pressure";
    if (self->gate)
        self->names[count++] = "gate";
    if (*self->options.etcd_endpoints)
        self->names[count++] = "etcd";
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
    return s_add (self, umbp_pressure_new (&args));
}

static bool s_start_gateway (umbp_node_t *self)
{
    umbp_gateway_args_t args = { .home = &self->home,
                                 .listen = self->options.gateway_listen, .actors = self->names };
    return !*self->options.gateway_listen
           || s_add (self, umbp_gateway_new (&args, self->gateway, sizeof self->gateway));
}

static bool s_start_actors (umbp_node_t *self, int *err)
{
    const umbp_node_options_t *o = &self->options;
    uint64_t seed = s_seed (o);
    umbp_index_args_t index = { &self->home, seed, o->index_keys };
    umbp_eviction_args_t eviction = { &self->home, o->evict_high, o->evict_low };
    umbp_extkv_args_t extkv = { .home = &self->home, .hashes = o->kv_hashes };
    umbp_router_args_t router = { .home = &self->home,
                                  .strategy = umbp_place_strategy (o->strategy),
                                  .evict_high = o->evict_high, .evict_low = o->evict_low,
                                  .page_bytes = o->page_bytes };
    umbp_migrator_args_t migrator = { .home = &self->home };
    s_name_actors (self);
    return s_add (self, umbp_index_new (&index)) && s_add (self, umbp_eviction_new (&eviction))
           && s_start_limited_tier (self, seed, err) && s_add (self, umbp_extkv_new (&extkv))
           && s_add (self, umbp_router_new (&router)) && s_add (self, umbp_migrator_new (&migrator))
           && s_start_pressure (self) && s_start_gateway (self) && s_start_registry (self)
           && s_start_discovery (self);
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
        self->rdma = umbp_verbs_actor_open (self->options.rdma_plugin, self->options.rdma_devices,
                                            self->options.rdma_gid, &self->rdma_api);
    if (self->rdma)                     //  Else who asks for it is told at once that it is not there
        args.actors = UMBP_LINK_ACTORS ",verbs";
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
    zactor_destroy (&self->registry);   //  Takes leave of the others
    while (self->actor_count > 0)
        zactor_destroy (&self->actors[--self->actor_count]);
    zactor_destroy (&self->link);
    zactor_destroy (&self->gate);
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
