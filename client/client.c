//  client/client.c - what the callers of one client share: connecting, lanes, and what is lent to
//  lanes. See umbp.h and pool.h.
#include "client/pool.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/crew.h"
#include "client/devmem.h"
#include "client/lane.h"
#include "client/rdma.h"
#include "cluster/bulk/clock.h"
#include "cluster/bulk/host.h"

#define ENDPOINT_DEFAULT "tcp://127.0.0.1:7710"
#define STREAMS_AUTO 2                  //  Bulk connections to one node, where there are helpers
#define REFRESH_MS 50                   //  Between two questions for the topology, when in doubt

//  ------------------------------------------------------------------------------------------------
//  Lanes

bool umbp_pool_is_forked (const umbp_t *self)
{
    return getpid () != self->pid;
}

//  An idle lane, or the right to make one. Returns 0 and the lane or NULL; UMBP_ETIMEDOUT.
static int s_take_lane (umbp_t *self, int64_t deadline_ms, umbp_lane_t **lane_p)
{
    struct timespec until = { deadline_ms / 1000, deadline_ms % 1000 * 1000000 };
    int rc = 0;
    pthread_mutex_lock (&self->lock);
    while (self->idle_count == 0 && self->lane_count == self->lanes_max && rc == 0)
        rc = pthread_cond_timedwait (&self->freed, &self->lock, &until);
    *lane_p = NULL;
    if (self->idle_count > 0) {
        *lane_p = self->idle[--self->idle_count];
        rc = 0;
    } else if (self->lane_count < self->lanes_max) {
        self->lane_count++;
        rc = 0;
    }
    pthread_mutex_unlock (&self->lock);
    return rc == 0 ? 0 : UMBP_ETIMEDOUT;
}

static umbp_lane_t *s_make_lane (umbp_t *self)
{
    umbp_lane_t *lane = umbp_lane_new (self, self->endpoint);
    pthread_mutex_lock (&self->lock);
    if (lane) {
        size_t index = 0;
        while (self->lanes[index])
            index++;
        self->lanes[index] = lane;
    } else {
        self->lane_count--;
        pthread_cond_signal (&self->freed);
    }
    pthread_mutex_unlock (&self->lock);
    return lane;
}

//  What a call finds ready: scratch memory, a snapshot of the cluster, the memory of our node
static void s_prepare (umbp_lane_t *lane, int64_t deadline_ms)
{
    umbp_t *self = lane->pool;
    lane->deadline_ms = deadline_ms;
    umbp_lane_rewind (lane, (umbp_mark_t) { 0 });
    umbp_pool_swap_cluster (self, &lane->cluster);
    if (umbp_pool_wants_cluster (self))
        umbp_lane_refresh (lane, umbp_lane_slice (lane, 0));
    umbp_memory_tidy (lane);
    lane->near = self->shm && lane->cluster ? umbp_memory_near (lane) : NULL;
}

int umbp_pool_enter (umbp_t *self, uint32_t timeout_ms, umbp_lane_t **lane_p)
{
    *lane_p = NULL;
    if (umbp_pool_is_forked (self))
        return UMBP_EFORKED;
    int64_t deadline_ms = umbp_clock_ms () + (timeout_ms ? timeout_ms : self->timeout_ms);
    int rc = s_take_lane (self, deadline_ms, lane_p);
    if (rc != 0)
        return rc;
    if (!*lane_p)
        *lane_p = s_make_lane (self);
    if (!*lane_p)
        return UMBP_EIO;
    s_prepare (*lane_p, deadline_ms);
    return 0;
}

static void s_add_stats (umbp_stats_t *to, umbp_stats_t *from)
{
    uint64_t *sums = (uint64_t *) to;
    const uint64_t *values = (const uint64_t *) from;
    for (size_t index = 0; index < sizeof *to / sizeof *sums; index++)
        sums[index] += values[index];
    memset (from, 0, sizeof *from);
}

//  A node has gone: idle lanes let go of its memory too, or it would stay taken while the node's
//  next incarnation takes as much again
static void s_tidy_idle (umbp_t *self)
{
    umbp_lane_t *lanes[UMBP_LANES_MAX];
    pthread_mutex_lock (&self->lock);
    unsigned count = self->idle_count;
    memcpy (lanes, self->idle, count * sizeof *lanes);
    self->idle_count = 0;
    pthread_mutex_unlock (&self->lock);
    for (unsigned index = 0; index < count; index++)
        umbp_memory_tidy (lanes[index]);
    pthread_mutex_lock (&self->lock);
    memcpy (self->idle + self->idle_count, lanes, count * sizeof *lanes);
    self->idle_count += count;
    pthread_cond_broadcast (&self->freed);
    pthread_mutex_unlock (&self->lock);
}

void umbp_pool_leave (umbp_t *self, umbp_lane_t **lane_p)
{
    umbp_lane_t *lane = *lane_p;
    *lane_p = NULL;
    umbp_wire_abandon (lane);
    if (lane->bereaved)
        s_tidy_idle (self);
    lane->bereaved = false;
    pthread_mutex_lock (&self->lock);
    s_add_stats (&self->stats, &lane->stats);
    self->stale |= lane->doubts;
    lane->doubts = false;
    self->idle[self->idle_count++] = lane;
    pthread_cond_signal (&self->freed);
    pthread_mutex_unlock (&self->lock);
}

//  ------------------------------------------------------------------------------------------------
//  The snapshot of the cluster

static void s_unuse_cluster (umbp_cluster_t **cluster_p)
{
    umbp_cluster_t *cluster = *cluster_p;
    *cluster_p = NULL;
    if (!cluster || --cluster->users > 0)
        return;
    umbp_topology_destroy (&cluster->topology);
    free (cluster);
}

void umbp_pool_swap_cluster (umbp_t *self, umbp_cluster_t **cluster_p)
{
    pthread_mutex_lock (&self->lock);
    if (*cluster_p != self->cluster) {
        s_unuse_cluster (cluster_p);
        *cluster_p = self->cluster;
        self->cluster->users++;
    }
    pthread_mutex_unlock (&self->lock);
}

void umbp_pool_set_cluster (umbp_t *self, umbp_topology_t *topology)
{
    umbp_cluster_t *cluster = zmalloc (sizeof (umbp_cluster_t));
    cluster->topology = topology;
    cluster->users = 1;
    char host[UMBP_HOST_ID_MAX];
    umbp_host_id (host, sizeof host);
    for (size_t index = 0; index < umbp_topology_count (topology); index++) {
        const umbp_member_t *member = umbp_topology_member (topology, index);
        cluster->here[index] = *host && *member->doors && streq (member->host, host);
    }
    pthread_mutex_lock (&self->lock);
    s_unuse_cluster (&self->cluster);
    self->cluster = cluster;
    self->stale = false;
    pthread_mutex_unlock (&self->lock);
}

bool umbp_pool_wants_cluster (umbp_t *self)
{
    int64_t now_ms = umbp_clock_ms ();
    pthread_mutex_lock (&self->lock);
    bool wants = self->stale && now_ms >= self->refreshed_ms + REFRESH_MS;
    if (wants)
        self->refreshed_ms = now_ms;
    pthread_mutex_unlock (&self->lock);
    return wants;
}

//  ------------------------------------------------------------------------------------------------
//  Mapped memory

static umbp_memory_t *s_find_memory (umbp_t *self, const char *actor, const char *node,
                                     uint64_t node_epoch)
{
    umbp_memory_t *memory = self->memories;
    while (memory
           && (memory->node_epoch != node_epoch || strneq (memory->node, node)
               || strneq (memory->actor, actor)))
        memory = memory->next;
    if (memory)
        memory->users++;
    return memory;
}

umbp_memory_t *umbp_pool_memory (umbp_t *self, const char *actor, const char *node,
                                 uint64_t node_epoch)
{
    pthread_mutex_lock (&self->lock);
    umbp_memory_t *memory = s_find_memory (self, actor, node, node_epoch);
    pthread_mutex_unlock (&self->lock);
    return memory;
}

umbp_memory_t *umbp_pool_add_memory (umbp_t *self, umbp_memory_t *memory)
{
    pthread_mutex_lock (&self->lock);
    umbp_memory_t *first = s_find_memory (self, memory->actor, memory->node, memory->node_epoch);
    if (!first) {
        memory->users = 1;
        memory->next = self->memories;
        self->memories = memory;
    }
    pthread_mutex_unlock (&self->lock);
    if (first)
        umbp_memory_unmap (&memory);
    return first ? first : memory;
}

void umbp_pool_return_memory (umbp_t *self, umbp_memory_t **memory_p)
{
    umbp_memory_t *memory = *memory_p;
    *memory_p = NULL;
    if (!memory)
        return;
    pthread_mutex_lock (&self->lock);
    bool unused = --memory->users == 0;
    for (umbp_memory_t **link = &self->memories; unused && *link; link = &(*link)->next)
        if (*link == memory) {
            *link = memory->next;
            break;
        }
    pthread_mutex_unlock (&self->lock);
    if (unused)
        umbp_memory_unmap (&memory);
}

//  ------------------------------------------------------------------------------------------------
//  Connect and close

static void s_end_context (umbp_t *self)
{
    if (self->context)
        zmq_ctx_term (self->context);
    self->context = NULL;
}

//  Endpoints of this process are known to the context that CZMQ shares; others are reached through
//  one of our own, which a child of this process can have too. When CZMQ starts it takes SIGINT and
//  SIGTERM, which is for programs and not for a library.
static int s_choose_context (umbp_t *self, const char *endpoint)
{
    if (strncmp (endpoint, "inproc://", 9) != 0) {
        if (!self->context)
            self->context = zmq_ctx_new ();
        return self->context ? 0 : UMBP_EIO;
    }
    s_end_context (self);
    struct sigaction interrupt, terminate;
    sigaction (SIGINT, NULL, &interrupt);
    sigaction (SIGTERM, NULL, &terminate);
    zsys_init ();
    sigaction (SIGINT, &interrupt, NULL);
    sigaction (SIGTERM, &terminate, NULL);
    return 0;
}

static const char *s_or_env (const char *value, const char *variable)
{
    return value ? value : getenv (variable);
}

//  "auto", or a list of paths. Returns false for anything else.
static bool s_choose_paths (umbp_t *self, const char *paths)
{
    static const char *const names[] = { "shm", "rdma", "tcp" };
    bool *const allowed[] = { &self->shm, &self->rdma_wanted, &self->tcp };
    bool all = !paths || !*paths || streq (paths, "auto"), fine = true;
    for (size_t index = 0; index < 3; index++)
        *allowed[index] = all;
    for (size_t length; fine && !all && *paths; paths += length + (paths[length] == ',')) {
        length = strcspn (paths, ",");
        fine = false;
        for (size_t index = 0; index < 3; index++)
            if (strlen (names[index]) == length && strncmp (names[index], paths, length) == 0)
                *allowed[index] = fine = true;
    }
    return fine;
}

//  A number of the environment; otherwise if there is none, or something else
static unsigned s_env_number (const char *variable, unsigned otherwise)
{
    const char *text = getenv (variable);
    bool number =
        text && *text && strspn (text, "0123456789") == strlen (text) && strlen (text) < 5;
    return number ? (unsigned) atoi (text) : otherwise;
}

//  How many threads copy, and how many connections they read from
static void s_choose_threads (umbp_t *self, const umbp_options_t *options)
{
    unsigned helpers = 0, streams = options->tcp_streams;
    if (options->copy_threads == 0)
        helpers = s_env_number ("UMBP_COPY_THREADS", umbp_crew_fitting ());
    else if (options->copy_threads > 0)
        helpers = (unsigned) options->copy_threads;
    self->crew = umbp_crew_new (helpers);
    if (streams == 0)
        streams = s_env_number ("UMBP_TCP_STREAMS", 0);
    bool chosen = streams > 0;
    if (!chosen)
        streams = STREAMS_AUTO;
    self->streams = streams < UMBP_STREAMS_MAX ? streams : UMBP_STREAMS_MAX;
    if (self->streams > umbp_crew_helpers (self->crew) + 1)
        self->streams = umbp_crew_helpers (self->crew) + 1;
    self->streams_here = chosen ? self->streams : (umbp_crew_fitting () + 1) / 2;
    if (self->streams_here == 0)
        self->streams_here = 1;
}

static umbp_t *s_new (const umbp_options_t *options)
{
    umbp_t *self = zmalloc (sizeof (umbp_t));
    self->pid = getpid ();
    self->timeout_ms = options->timeout_ms ? options->timeout_ms : UMBP_TIMEOUT_MS;
    self->lanes_max = options->lanes ? options->lanes : 8;
    if (self->lanes_max > UMBP_LANES_MAX)
        self->lanes_max = UMBP_LANES_MAX;
    self->spin_us = options->spin_us;
    self->paths_fine = s_choose_paths (self, s_or_env (options->paths, "UMBP_PATHS"));
    self->shm = self->shm && !options->no_shm;
    const char *devices = s_or_env (options->rdma_devices, "UMBP_RDMA_DEVICES");
    snprintf (self->rdma_devices, sizeof self->rdma_devices, "%s", devices ? devices : "");
    self->rdma_gid = (int) options->rdma_gid;
    pthread_mutex_init (&self->rdma_lock, NULL);
    self->verify = !options->no_verify;
    self->certificate = s_or_env (options->certificate, "UMBP_CERTIFICATE");
    self->server_certificate = s_or_env (options->server_certificate, "UMBP_SERVER_CERTIFICATE");
    s_choose_threads (self, options);
    self->ranges = umbp_ranges_new ();
    self->devmem = umbp_devmem_new ();
    self->async = umbp_async_new (self);
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->freed, &attributes);
    pthread_condattr_destroy (&attributes);
    return self;
}

//  A view that the caller did not let go holds a lane: with the lane's door its lease ends too
static void s_close_lane (umbp_lane_t **lane_p, bool forked)
{
    umbp_lane_t *lane = *lane_p;
    free (lane->view);
    s_unuse_cluster (&lane->cluster);
    if (forked)
        umbp_lane_forget (lane_p);
    else
        umbp_lane_destroy (lane_p);
}

//  Ask the node at the lane's other end who it is, and whom it knows
static int s_meet (umbp_t *self, umbp_lane_t *lane)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_who, 0);
    int rc;
    umbp_answer_t *answer = umbp_wire_ask (lane, UMBP_WAY_WIRE, "registry", NULL, &msg, NULL, 0,
                                           UMBP_MSG_who_ok, lane->deadline_ms, &rc);
    if (!answer)
        return rc;
    const umbp_msg_who_ok_t *who = &answer->msg.who_ok;
    if (who->version != UMBP_PROTOCOL_VERSION)
        return UMBP_ENOTSUP;
    umbp_text_copy (who->node, self->node, sizeof self->node);
    self->ask_router = who->ask_router;
    if (self->spin_us == 0)
        self->spin_us = (unsigned) who->spin_us;
    return umbp_lane_refresh (lane, lane->deadline_ms);
}

//  Try one endpoint. Its lane becomes the first one of the client.
static int s_try (umbp_t *self, const char *endpoint, int64_t deadline_ms)
{
    int rc = s_choose_context (self, endpoint);
    self->curve = (umbp_curve_t){ 0 };
    if (rc == 0 && self->context)
        rc = umbp_curve_client (&self->curve, self->certificate, self->server_certificate, endpoint,
                                NULL, 0);
    umbp_lane_t *lane = rc == 0 ? umbp_lane_new (self, endpoint) : NULL;
    if (!lane)
        return rc != 0 ? rc : UMBP_EINVAL;
    lane->deadline_ms = deadline_ms;
    rc = s_meet (self, lane);
    if (rc != 0) {
        s_close_lane (&lane, false);
        return rc;
    }
    snprintf (self->endpoint, sizeof self->endpoint, "%s", endpoint);
    self->lanes[self->lane_count++] = lane;
    if (self->shm)
        umbp_memory_attach (lane, UMBP_SHARED_ACTOR, self->node);
    umbp_pool_leave (self, &lane);
    return 0;
}

//  The next endpoint of a list. Returns false at its end.
static bool s_next_endpoint (const char **list_p, char *out, size_t size)
{
    const char *list = *list_p + strspn (*list_p, ", \t\n");
    size_t length = strcspn (list, ", \t\n");
    *list_p = list + length;
    umbp_text_copy ((umbp_text_t) { list, (uint32_t) length }, out, size);
    return length > 0;
}

//  All endpoints in order; each gets its share of the time that is left
static int s_try_all (umbp_t *self, const char *list, int64_t deadline_ms)
{
    char endpoint[UMBP_TEXT_MAX + 1];
    size_t count = 0;
    for (const char *rest = list; s_next_endpoint (&rest, endpoint, sizeof endpoint);)
        count++;
    int rc = UMBP_EINVAL;
    for (const char *rest = list; s_next_endpoint (&rest, endpoint, sizeof endpoint); count--) {
        int64_t now_ms = umbp_clock_ms (), left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
        rc = s_try (self, endpoint, now_ms + left / (int64_t) count);
        if (rc == 0)
            break;
    }
    return rc;
}

umbp_t *umbp_connect (const umbp_options_t *options, int *err)
{
    umbp_t *self = s_new (options ? options : &(umbp_options_t) { 0 });
    const char *list = options ? options->endpoints : NULL;
    if (!list)
        list = getenv ("UMBP_ENDPOINTS");
    if (!list || !*list)
        list = ENDPOINT_DEFAULT;
    int rc = UMBP_EINVAL;
    if (self->paths_fine)
        rc = s_try_all (self, list, umbp_clock_ms () + self->timeout_ms);
    self->certificate = self->server_certificate = NULL;
    if (rc != 0)
        umbp_close (&self);
    if (err)
        *err = rc;
    return self;
}

void umbp_close (umbp_t **self_p)
{
    assert (self_p);
    umbp_t *self = *self_p;
    if (!self)
        return;
    bool forked = umbp_pool_is_forked (self);
    umbp_async_destroy (&self->async, forked);
    umbp_crew_destroy (&self->crew, forked);
    for (size_t index = 0; index < UMBP_LANES_MAX; index++)
        if (self->lanes[index])
            s_close_lane (&self->lanes[index], forked);
    s_unuse_cluster (&self->cluster);
    while (self->memories) {
        umbp_memory_t *memory = self->memories;
        self->memories = memory->next;
        umbp_memory_unmap (&memory);
    }
    if (!forked) {                      //  There somebody may have held the lock at the fork
        umbp_rdma_close (self);
        s_end_context (self);
        pthread_mutex_destroy (&self->rdma_lock);
        pthread_cond_destroy (&self->freed);
        pthread_mutex_destroy (&self->lock);
    }
    umbp_devmem_destroy (&self->devmem, forked);
    umbp_ranges_destroy (&self->ranges);
    memset (&self->curve, 0, sizeof self->curve);
    free (self->unheard);
    free (self);
    *self_p = NULL;
}

//  ------------------------------------------------------------------------------------------------
//  The rest

void umbp_stats (umbp_t *self, umbp_stats_t *out)
{
    *out = (umbp_stats_t) { 0 };
    if (umbp_pool_is_forked (self))
        return;
    pthread_mutex_lock (&self->lock);
    *out = self->stats;
    pthread_mutex_unlock (&self->lock);
}

const char *umbp_node_name (umbp_t *self)
{
    return self->node;
}
