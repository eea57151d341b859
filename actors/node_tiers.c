//  actors/node_tiers.c - the tiers of a node: memory, disks, the bulk servers over them, and their tier managers.
#include "actors/node_self.h"

#include <inttypes.h>

#include "actors/node_options.h"
#include "actors/tier/log.h"
#include "actors/tier/manager.h"
#include "actors/tier/pace.h"
#include "actors/tier/shelf.h"
#include "actors/tier/vram.h"
#include "cluster/topology.h"

#define WHY_MAX 768
#define DIRECTORY_SEPARATOR ","

//  What a tier is made of, until its manager has it
typedef struct {
    const char *name;
    unsigned tier;
    unsigned below, above;              //  Where blocks go that leave it, and that are read there; 0: nowhere
    unsigned fed_by;                    //  The tier whose blocks go down to it; 0: none
    const char *write, *admit;          //  What goes below, and which of that
    uint64_t down_rate, up_rate;
    umbp_vram_t *vram;                  //  Of the medium; NULL: it is another
    unsigned low;                       //  Percent down to which eviction goes
    uint64_t bytes;                     //  Of memory
    bool large;                         //  ... which may be in huge pages, and is faulted in first
    unsigned port;                      //  Of its bulk server; 0: any
    umbp_region_t **regions;
    size_t region_count;
    umbp_bulk_server_t *bulk;
    char bulk_endpoint[UMBP_TEXT_MAX];
    umbp_medium_t medium;               //  None: it has no disk
} making_t;

//  ------------------------------------------------------------------------------------------------
//  Memory

static void s_unmake (making_t *making)
{
    umbp_bulk_server_destroy (&making->bulk);
    for (size_t index = 0; index < making->region_count; index++)
        umbp_region_destroy (&making->regions[index]);
    freen (making->regions);
    making->region_count = 0;
    umbp_medium_close (&making->medium);
}

//  Returns 0 or an error
static int s_make_regions (const umbp_node_options_t *o, making_t *making)
{
    bool huge = making->large && o->huge_pages;
    uint64_t left = making->bytes;
    int rc = 0;
    making->regions = zmalloc (UMBP_REGIONS_MAX * sizeof (umbp_region_t *));
    while (left > 0 && rc == 0) {
        uint64_t bytes = left < o->region_bytes ? left : o->region_bytes;
        char name[64];
        snprintf (name, sizeof name, "umbp-%s-%zu", strchr (making->name, ':') + 1,
                  making->region_count);
        umbp_region_t *region =
            umbp_region_new (name, bytes, huge, making->large && o->prefault, &rc);
        if (region && huge && !umbp_region_huge (region))
            zsys_warning (
                "node: no huge pages for region %zu, small ones serve: see vm.nr_hugepages",
                making->region_count);
        if (region)
            making->regions[making->region_count++] = region;
        left -= bytes;
    }
    if (rc < 0)
        zsys_error ("node: cannot make %" PRIu64 " bytes of memory: %s", making->bytes,
                    umbp_strerror (rc));
    return rc;
}

static size_t s_pieces (const making_t *making, umbp_piece_t pieces[UMBP_REGIONS_MAX])
{
    for (size_t index = 0; index < making->region_count; index++)
        pieces[index] = (umbp_piece_t){ umbp_region_base (making->regions[index]),
                                        umbp_region_bytes (making->regions[index]) };
    return making->region_count;
}

//  "tcp://host:port" -> host
static void s_host_of (const char *endpoint, char *out, size_t size)
{
    const char *host = endpoint + strlen ("tcp://"), *colon = strrchr (host, ':');
    snprintf (out, size, "%.*s", (int) (colon - host), host);
}

//  Returns 0 or an error
static int s_make_bulk (const umbp_node_t *self, making_t *making)
{
    const umbp_node_options_t *o = &self->options;
    umbp_piece_t pieces[UMBP_REGIONS_MAX];
    char host[UMBP_TEXT_MAX], where[UMBP_TEXT_MAX + 16];
    s_host_of (self->bound, host, sizeof host);
    if (*o->bulk_host)
        snprintf (host, sizeof host, "%s", o->bulk_host);
    snprintf (where, sizeof where, "%s:%u", streq (host, "*") ? "0.0.0.0" : host, making->port);
    umbp_bulk_server_config_t config = { .endpoint = where,
                                         .regions = pieces,
                                         .region_count = s_pieces (making, pieces),
                                         .page_size = o->page_bytes, .tokens_max = 1 << 17,
                                         .connections_max = 4096,
                                         .idle_ms = (int) o->bulk_idle_ms };
    int rc = UMBP_EIO;
    making->bulk = umbp_bulk_server_new (&config, &rc);
    if (!making->bulk) {
        zsys_error ("node: cannot serve bulk bytes at %s: %s", where, umbp_strerror (rc));
        return rc;
    }
    s_host_of (self->endpoint, host, sizeof host);
    snprintf (making->bulk_endpoint, sizeof making->bulk_endpoint, "%.200s:%.5s", host,
              strrchr (umbp_bulk_server_endpoint (making->bulk), ':') + 1);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Disks

//  Returns 0 or an error
static int s_make_log (const umbp_node_options_t *o, making_t *making)
{
    char list[sizeof o->nvme_dirs], why[WHY_MAX] = "", *rest = NULL;
    const char *directories[UMBP_LOG_DIRECTORIES_MAX];
    struct iovec buffers[UMBP_REGIONS_MAX];
    umbp_log_args_t args = { .directories = directories,
                             .capacity_bytes = o->nvme_bytes,
                             .segment_bytes = o->nvme_segment_bytes,
                             .strict = streq (o->nvme_durability, "strict"),
                             .engine = o->nvme_engine, .clean_rate = o->nvme_clean_rate,
                             .buffers = buffers, .buffer_count = making->region_count };
    snprintf (list, sizeof list, "%s", o->nvme_dirs);
    for (char *name = strtok_r (list, DIRECTORY_SEPARATOR, &rest);
         name && args.directory_count < UMBP_LOG_DIRECTORIES_MAX;
         name = strtok_r (NULL, DIRECTORY_SEPARATOR, &rest))
        directories[args.directory_count++] = name;
    for (size_t index = 0; index < making->region_count; index++)
        buffers[index] = (struct iovec){ umbp_region_base (making->regions[index]),
                                         umbp_region_bytes (making->regions[index]) };
    umbp_log_t *log = umbp_log_open (&args, why, sizeof why);
    if (log) {
        making->medium = umbp_log_medium (&log);
        return 0;
    }
    zsys_error ("node: tier:nvme: %s", why);
    return UMBP_EIO;
}

//  ------------------------------------------------------------------------------------------------
//  Tiers

//  RDMA beside tcp, where there is some. None is no failure.
static void s_start_verbs (umbp_node_t *self, const umbp_piece_t *pieces, size_t count,
                           umbp_bulk_server_t *bulk)
{
    umbp_verbs_args_t args = { .home = &self->home,
                               .api = self->rdma_api, .verbs = self->rdma, .regions = pieces,
                               .region_count = count, .page_size = self->options.page_bytes,
                               .bulk = bulk, .idle_ms = self->options.bulk_idle_ms };
    self->rdma = NULL;
    if (!args.verbs || !umbp_node_add (self, umbp_verbs_actor_new (&args)))
        return;
    size_t row = 0;
    while (self->names[row])
        row++;
    self->names[row] = "verbs";
    self->serves_rdma = true;
}

//  A tier waits for the one below for as long as that itself waits, and once more: it would give up first, else
static unsigned s_patience_ms (const umbp_node_options_t *o, unsigned tier)
{
    unsigned below = (tier < UMBP_TIER_DRAM) + (tier < UMBP_TIER_NVME && *o->nvme_dirs)
                     + (tier < UMBP_TIER_SHARED && *o->shared_dir);
    return o->migration_patience_ms * (below ? below : 1);
}

//  The manager of what was made, which is its own from now on
static bool s_start_manager (umbp_node_t *self, making_t *making, uint64_t seed,
                             const umbp_quotas_t *quotas)
{
    const umbp_node_options_t *o = &self->options;
    umbp_manager_args_t args = { .home = &self->home,
                                 .quotas = quotas,
                                 .name = making->name,
                                 .tier = making->tier,
                                 .regions = making->regions, .region_count = making->region_count,
                                 .bulk = making->bulk, .bulk_endpoint = making->bulk_endpoint,
                                 .page_size = o->page_bytes, .seed = seed,
                                 .slot_ttl_ms = o->slot_ttl_ms, .lease_ttl_ms = o->lease_ttl_ms,
                                 .patience_ms = s_patience_ms (o, making->tier),
                                 .evict_high = o->evict_high, .resyncs = o->resyncs,
                                 .pinned = making->medium.calls || self->rdma,
                                 .policy = making->medium.calls && !making->vram ? "lru" : o->policy,
                                 .replicate_last = streq (o->replicate, "last"),
                                 .replicate_rate = o->replicate_rate, .medium = making->medium,
                                 .vram = making->vram,
                                 .below = making->below, .above = making->above,
                                 .fed_by = making->fed_by, .takeover_ms = o->shared_takeover_ms,
                                 .write_through = making->write && streq (making->write, "through"),
                                 .down_rate = making->down_rate, .up_rate = making->up_rate,
                                 .admit = making->admit, .target_ms = o->migration_target_ms,
                                 .flight_blocks = o->migration_blocks,
                                 .flight_bytes = o->migration_bytes,
                                 .storm_blocks = o->migration_storm, .evict_low = making->low,
                                 .idle_percent = making->vram ? 0 : o->migration_idle };
    assert (self->here_count < UMBP_HERE_MAX);
    umbp_here_t *here = &self->here[self->here_count++];
    snprintf (here->endpoint, sizeof here->endpoint, "%s", making->bulk_endpoint);
    here->server = making->bulk;
    zactor_t *manager = umbp_manager_new (&args);
    if (manager)
        self->tiers[self->tier_count++] = manager;
    return umbp_node_add (self, manager);
}

//  What is below of it there is, and what bounds the way there
static void s_set_below (const umbp_node_options_t *o, making_t *making, bool disk)
{
    if (disk) {
        making->below = UMBP_TIER_NVME;
        making->write = o->nvme_write;
        making->admit = o->nvme_admit;
        making->down_rate = o->nvme_down_rate;
    } else if (*o->shared_dir) {
        making->below = UMBP_TIER_SHARED;
        making->write = o->shared_write;
        making->admit = o->shared_admit;
        making->down_rate = o->shared_down_rate;
    }
}

static bool s_start_dram (umbp_node_t *self, uint64_t seed, const umbp_quotas_t *quotas, int *err)
{
    making_t making = { .name = "tier:dram",
                        .tier = UMBP_TIER_DRAM,
                        .above = self->has_hbm ? UMBP_TIER_HBM : 0, .fed_by = self->has_hbm ? UMBP_TIER_HBM : 0,
                        .up_rate = self->options.hbm_up_rate, .low = self->options.evict_low,
                        .bytes = self->options.dram_bytes, .large = true,
                        .port = self->options.bulk_port };
    umbp_piece_t pieces[UMBP_REGIONS_MAX];
    s_set_below (&self->options, &making, *self->options.nvme_dirs != 0);
    int rc = s_make_regions (&self->options, &making);
    if (rc == 0)
        rc = s_make_bulk (self, &making);
    if (rc < 0) {
        s_unmake (&making);
        *err = rc;
        return false;
    }
    snprintf (self->bulk, sizeof self->bulk, "%s", making.bulk_endpoint);
    size_t count = s_pieces (&making, pieces);
    if (!s_start_manager (self, &making, seed, quotas))
        return false;
    s_start_verbs (self, pieces, count, making.bulk);
    return true;
}

static bool s_start_nvme (umbp_node_t *self, uint64_t seed, const umbp_quotas_t *quotas, int *err)
{
    const umbp_node_options_t *o = &self->options;
    making_t making = { .name = "tier:nvme",
                        .tier = UMBP_TIER_NVME, .above = UMBP_TIER_DRAM, .fed_by = UMBP_TIER_DRAM,
                        .bytes = o->nvme_staging_bytes, .up_rate = o->nvme_up_rate,
                        .low = umbp_node_options_disk_low (o),
                        .port = o->bulk_port ? o->bulk_port + 1 : 0 };
    s_set_below (o, &making, false);
    int rc = s_make_regions (o, &making);
    if (rc == 0)
        rc = s_make_bulk (self, &making);
    if (rc == 0)
        rc = s_make_log (o, &making);
    if (rc == 0)
        return s_start_manager (self, &making, seed, quotas);
    s_unmake (&making);
    *err = rc;
    return false;
}

//  Returns 0 or an error
static int s_make_shelf (const umbp_node_t *self, making_t *making)
{
    const umbp_node_options_t *o = &self->options;
    char why[WHY_MAX] = "";
    umbp_shelf_args_t args = { .directory = o->shared_dir,
                               .node = self->home.node,
                               .epoch = self->home.node_epoch,
                               .capacity_bytes = o->shared_bytes,
                               .segment_bytes = o->shared_segment_bytes,
                               .deadline_ms = o->shared_deadline_ms,
                               .mode = (umbp_shelf_mode_t) umbp_shelf_mode (o->shared_durability) };
    umbp_shelf_t *shelf = umbp_shelf_open (&args, why, sizeof why);
    if (!shelf) {
        zsys_error ("node: tier:shared: %s", why);
        return UMBP_EIO;
    }
    zsys_info ("node: tier:shared: %s", umbp_shelf_mount (shelf));
    making->medium = umbp_shelf_medium (&shelf);
    return 0;
}

//  What is read there comes to memory, and not to the disk between the two
static bool s_start_shared (umbp_node_t *self, uint64_t seed, const umbp_quotas_t *quotas, int *err)
{
    const umbp_node_options_t *o = &self->options;
    making_t making = { .name = "tier:shared",
                        .tier = UMBP_TIER_SHARED, .above = UMBP_TIER_DRAM,
                        .fed_by = *o->nvme_dirs ? UMBP_TIER_NVME : UMBP_TIER_DRAM,
                        .bytes = o->shared_staging_bytes, .up_rate = o->shared_up_rate,
                        .low = umbp_node_options_shared_low (o),
                        .port = o->bulk_port ? o->bulk_port + 2 : 0 };
    int rc = s_make_regions (o, &making);
    if (rc == 0)
        rc = s_make_bulk (self, &making);
    if (rc == 0)
        rc = s_make_shelf (self, &making);
    if (rc == 0)
        return s_start_manager (self, &making, seed, quotas);
    s_unmake (&making);
    *err = rc;
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Memory of a device

//  The first device of a kind that answers, mock ones only where somebody wants them; NULL: there is none
static umbp_vram_t *s_find_hbm (const umbp_node_options_t *o)
{
    static const char *const kinds[] = { "cuda:0", "hip:0", "mock:0" };
    char why[UMBP_VRAM_WHY_MAX] = "";
    bool mock = getenv ("UMBP_MOCK_GPUS") || getenv ("GPU_GO_MOCK_GPUS");
    for (size_t row = 0; row < sizeof kinds / sizeof *kinds - !mock; row++) {
        umbp_vram_t *vram = umbp_vram_new (kinds[row], o->hbm_bytes, why);
        if (vram)
            return vram;
        zsys_info ("node: tier:hbm: %s", why);
    }
    zsys_warning (
        "node: hbm/device is auto, and no device has memory for us: there is no tier:hbm");
    return NULL;
}

bool umbp_node_open_hbm (umbp_node_t *self)
{
    const umbp_node_options_t *o = &self->options;
    char why[UMBP_VRAM_WHY_MAX] = "";
    bool any = streq (o->hbm_device, "auto");
    if (!*o->hbm_device)
        return true;
    self->hbm = any ? s_find_hbm (o) : umbp_vram_new (o->hbm_device, o->hbm_bytes, why);
    if (!self->hbm && !any)
        zsys_error ("node: tier:hbm: %s", why);
    self->has_hbm = self->hbm != NULL;
    return self->hbm || any;
}

//  Its staging memory holds what comes and goes; a block rests on the device alone. What goes down to memory has no
//  budget: but for what has to leave that is what is cold, while nothing else moves.
static bool s_start_hbm (umbp_node_t *self, uint64_t seed, const umbp_quotas_t *quotas, int *err)
{
    const umbp_node_options_t *o = &self->options;
    making_t making = { .name = "tier:hbm",
                        .tier = UMBP_TIER_HBM, .below = UMBP_TIER_DRAM, .admit = "all", .low = o->evict_low,
                        .bytes = o->hbm_staging_bytes,
                        .port = o->bulk_port ? o->bulk_port + 3 : 0 };
    int rc = s_make_regions (o, &making);
    if (rc == 0)
        rc = s_make_bulk (self, &making);
    if (rc < 0) {
        s_unmake (&making);
        *err = rc;
        return false;
    }
    making.vram = self->hbm;
    making.medium = umbp_vram_medium (self->hbm);
    self->hbm = NULL;
    return s_start_manager (self, &making, seed, quotas);
}

unsigned umbp_node_tier_count (const umbp_node_t *self)
{
    return 1 + (*self->options.nvme_dirs != '\0') + (*self->options.shared_dir != '\0')
           + self->has_hbm;
}

//  The file of quotas was fine when it was checked, but it is a file
bool umbp_node_start_tiers (umbp_node_t *self, uint64_t seed, int *err)
{
    char why[WHY_MAX] = "";
    umbp_quotas_t *quotas = *self->options.tenants_file
                                ? umbp_quotas_read (self->options.tenants_file, why, sizeof why)
                                : umbp_quotas_new ();
    if (!quotas)
        zsys_error ("node: tenants: %s", why);
    bool fine = quotas && s_start_dram (self, seed, quotas, err)
                && (!*self->options.nvme_dirs || s_start_nvme (self, seed, quotas, err))
                && (!*self->options.shared_dir || s_start_shared (self, seed, quotas, err))
                && (!self->has_hbm || s_start_hbm (self, seed, quotas, err));
    umbp_quotas_destroy (&quotas);
    return fine;
}
