//  cluster/verbs/device.c - finds and opens devices, and hears their events. See inner.h.
#include "cluster/bulk/verbs_gid.h"
#include "cluster/verbs/inner.h"
#include "proto/error.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIDS_MAX 256                    //  Looked at, of a device
#define DEPTH_MAX 4096

static uint32_t s_or (uint32_t value, uint32_t other)
{
    return value ? value : other;
}

static uint32_t s_least (uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

//  Returns 0 or UMBP_EINVAL
static int s_options (umbp_verbs_options_t *self, const umbp_verbs_options_t *from, char *why)
{
    *self = from ? *from : (umbp_verbs_options_t) { 0 };
    self->devices = NULL;
    self->depth = s_or (self->depth, 16);
    self->reads = s_or (self->reads, 16);
    self->chunk_bytes = s_or (self->chunk_bytes, 1 << 20);
    self->inline_bytes = s_or (self->inline_bytes, 64);
    self->staging_bytes = s_or (self->staging_bytes, 4 << 20);
    self->cache_bytes = self->cache_bytes ? self->cache_bytes : UINT64_C (1) << 30;
    self->cache_count = s_or (self->cache_count, 1024);
    self->spin_us = s_or (self->spin_us, 50);
    self->silence_ms = s_or (self->silence_ms, 2000);
    const char *wrong = NULL;
    if (self->mtu && !umbp_verbs_mtu (self->mtu, 4096, 4096))
        wrong = "mtu";
    if (self->queues > UMBP_VERBS_QUEUES_MAX)
        wrong = "queues";
    if (self->depth > DEPTH_MAX)
        wrong = "depth";
    if (self->chunk_bytes < 4096 || self->chunk_bytes > 1u << 30)
        wrong = "chunk_bytes";
    if (self->inline_bytes > 4096)
        wrong = "inline_bytes";
    if (self->staging_bytes < 65536)
        wrong = "staging_bytes";
    if (wrong)
        snprintf (why, UMBP_VERBS_WHY_MAX, "RDMA: %s is out of range, see verbs.h", wrong);
    return wrong ? UMBP_EINVAL : 0;
}

//  Look for the GID to use. Returns 0 or UMBP_ENOENT.
static int s_choose_gid (umbp_device_t *self, int wanted)
{
    struct ibv_gid_entry entries[GIDS_MAX];
    ssize_t count = ibv_query_gid_table (self->context, entries, GIDS_MAX, 0);
    umbp_gid_t gids[GIDS_MAX];
    size_t found = 0;
    for (ssize_t index = 0; index < count; index++)
        if (entries[index].port_num == self->port) {
            gids[found] = (umbp_gid_t) {
                .index = entries[index].gid_index,
                .type = entries[index].gid_type,
            };
            memcpy (gids[found++].gid, entries[index].gid.raw, 16);
        }
    int best = umbp_gid_choose (gids, found, wanted);
    if (best < 0)
        return UMBP_ENOENT;
    self->gid_index = (uint8_t) gids[best].index;
    memcpy (self->gid, gids[best].gid, 16);
    return 0;
}

//  Take the wanted port, or the first that is active
static bool s_choose_port (umbp_device_t *self, uint8_t port, uint8_t ports, int gid_index)
{
    for (self->port = port ? port : 1; self->port <= (port ? port : ports); self->port++) {
        struct ibv_port_attr attr;
        if (ibv_query_port (self->context, self->port, &attr) != 0 || attr.state != IBV_PORT_ACTIVE
            || s_choose_gid (self, gid_index) != 0)
            continue;
        self->lid = attr.link_layer == IBV_LINK_LAYER_ETHERNET ? 0 : attr.lid;
        self->mtu = 128u << attr.active_mtu;                 //  IBV_MTU_256 is 1
        return true;
    }
    return false;
}

static void s_device_drop (umbp_device_t *self)
{
    if (self->pd)
        ibv_dealloc_pd (self->pd);
    if (self->context)
        ibv_close_device (self->context);
    *self = (umbp_device_t) { 0 };
}

static bool s_device_init (umbp_device_t *self, struct ibv_device *device, uint8_t port,
                           const umbp_verbs_options_t *options)
{
    *self = (umbp_device_t) { .context = ibv_open_device (device), .up = true };
    snprintf (self->name, sizeof self->name, "%s", ibv_get_device_name (device));
    struct ibv_device_attr attr = { .phys_port_cnt = 0 };
    if (self->context && ibv_query_device (self->context, &attr) == 0
        && s_choose_port (self, port, attr.phys_port_cnt, options->gid_index))
        self->pd = ibv_alloc_pd (self->context);
    if (!self->context || !self->pd) {
        s_device_drop (self);
        return false;
    }
    self->sges = (uint32_t) attr.max_sge;
    self->depth = (uint32_t) attr.max_qp_wr;
    self->reads = (uint32_t) s_least (attr.max_qp_rd_atom, attr.max_qp_init_rd_atom);
    self->windows =
        !options->no_windows
        && attr.device_cap_flags & (IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B);
    fcntl (self->context->async_fd, F_SETFL, fcntl (self->context->async_fd, F_GETFL) | O_NONBLOCK);
    return true;
}

//  Open a device, unless it is of no use or there are enough
static void s_take (umbp_verbs_t *self, struct ibv_device *device, uint8_t port)
{
    if (self->device_count == UMBP_VERBS_DEVICES_MAX
        || !s_device_init (&self->devices[self->device_count], device, port, &self->options))
        return;
    self->devices[self->device_count].number = (uint8_t) self->device_count;
    self->device_count++;
}

//  Open those of a list "name,name:port", in its order, so that the n-th ones of two nodes may be
//  made to match; an empty list has all.
static void s_take_listed (umbp_verbs_t *self, struct ibv_device **devices, const char *list)
{
    if (!list || !*list) {
        for (; *devices; devices++)
            s_take (self, *devices, 0);
        return;
    }
    for (const char *at = list; *at; at += strcspn (at, ",")) {
        at += strspn (at, ", ");
        size_t length = strcspn (at, ",: ");
        uint8_t port = at[length] == ':' ? (uint8_t) strtoul (at + length + 1, NULL, 10) : 0;
        for (struct ibv_device **device = devices; *device; device++) {
            const char *name = ibv_get_device_name (*device);
            if (length == strlen (name) && !memcmp (name, at, length))
                s_take (self, *device, port);
        }
    }
}

//  Returns 0 or UMBP_ENOTSUP
static int s_devices (umbp_verbs_t *self, const char *list, char *why)
{
    int count = 0;
    struct ibv_device **devices = ibv_get_device_list (&count);
    if (devices) {
        s_take_listed (self, devices, list);
        ibv_free_device_list (devices);
    }
    if (self->device_count)
        return 0;
    if (count == 0)
        snprintf (why, UMBP_VERBS_WHY_MAX, "RDMA: no device on this host; bulk bytes go over tcp");
    else
        snprintf (why, UMBP_VERBS_WHY_MAX,
                  "RDMA: of %d devices none%s%s is usable: ibv_devinfo "
                  "should show an active port, and show_gids an address",
                  count, list && *list ? " of " : "", list && *list ? list : "");
    return UMBP_ENOTSUP;
}

umbp_verbs_t *umbp_verbs_open (const umbp_verbs_options_t *options, int *rc_p,
                               char why[UMBP_VERBS_WHY_MAX])
{
    umbp_verbs_t *self = calloc (1, sizeof (umbp_verbs_t));
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    why[0] = 0;
    ibv_fork_init ();                   //  Kernels before 5.12 would give a child our pages
    int rc = s_options (&self->options, options, why);
    if (rc == 0)
        rc = s_devices (self, options ? options->devices : NULL, why);
    if (rc == 0) {
        umbp_cache_ops_t ops = umbp_verbs_cache_ops;
        ops.arg = self;
        self->cache = umbp_cache_new (&ops, self->options.cache_count, self->options.cache_bytes);
        if (self->options.queues == 0)
            self->options.queues =
                s_least (2 * (uint32_t) self->device_count, UMBP_VERBS_QUEUES_MAX);
    } else
        umbp_verbs_close (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

void umbp_verbs_close (umbp_verbs_t **self_p)
{
    umbp_verbs_t *self = *self_p;
    if (!self)
        return;
    umbp_cache_destroy (&self->cache);
    for (size_t index = 0; index < self->device_count; index++)
        s_device_drop (&self->devices[index]);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

size_t umbp_verbs_print (const umbp_verbs_t *self, char *text, size_t size)
{
    size_t at = 0;
    if (size)
        text[0] = 0;
    for (size_t index = 0; index < self->device_count && at < size; index++) {
        const umbp_device_t *device = &self->devices[index];
        char gid[INET6_ADDRSTRLEN];
        at += (size_t) snprintf (text + at, size - at, "%s:%u gid %u %s mtu %u%s\n", device->name,
                                 device->port, device->gid_index,
                                 umbp_gid_print (device->gid, gid, sizeof gid), device->mtu,
                                 device->windows ? " windows" : " registrations");
    }
    return self->device_count;
}

void umbp_device_events (umbp_device_t *self)
{
    struct ibv_async_event event;
    while (ibv_get_async_event (self->context, &event) == 0) {
        bool port =
            event.event_type == IBV_EVENT_PORT_ERR || event.event_type == IBV_EVENT_PORT_ACTIVE;
        if (port && event.element.port_num == self->port)
            atomic_store (&self->up, event.event_type == IBV_EVENT_PORT_ACTIVE);
        else if (event.event_type == IBV_EVENT_DEVICE_FATAL)
            atomic_store (&self->up, false);
        ibv_ack_async_event (&event);
    }
}
