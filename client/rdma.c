//  client/rdma.c - RDMA of a client: its devices, its messages. See rdma.h.
#include "client/devmem.h"
#include "client/rdma.h"

#include <stdlib.h>

#include "cluster/bulk/clock.h"

//  ------------------------------------------------------------------------------------------------
//  Devices

umbp_verbs_t *umbp_rdma_open (umbp_t *pool)
{
    if (!pool->rdma_wanted)
        return NULL;
    pthread_mutex_lock (&pool->rdma_lock);
    if (!pool->rdma_tried) {
        char why[UMBP_VERBS_WHY_MAX];
        umbp_verbs_options_t options = { .devices = pool->rdma_devices,
                                         .gid_index = pool->rdma_gid };
        const umbp_verbs_api_t *api = umbp_verbs_load (getenv ("UMBP_RDMA_PLUGIN"), why);
        umbp_verbs_t *verbs = api ? api->open (&options, NULL, why) : NULL;
        pthread_mutex_lock (&pool->lock);
        pool->rdma_api = api;
        pool->rdma = verbs;
        if (verbs)
            umbp_ranges_announce (pool);
        pthread_mutex_unlock (&pool->lock);
        if (verbs)
            umbp_devmem_announce (pool);
        pool->rdma_tried = true;
    }
    umbp_verbs_t *verbs = pool->rdma;
    pthread_mutex_unlock (&pool->rdma_lock);
    return verbs;
}

void umbp_rdma_close (umbp_t *pool)
{
    if (pool->rdma)
        pool->rdma_api->close (&pool->rdma);
}

bool umbp_rdma_is_open (umbp_t *pool)
{
    pthread_mutex_lock (&pool->lock);
    bool open = pool->rdma != NULL;
    pthread_mutex_unlock (&pool->lock);
    return open;
}

void umbp_rdma_announce (umbp_t *pool, void *base, size_t size)
{
    if (pool->rdma)                     //  One too many goes through staging, like all that is not known
        pool->rdma_api->announce (pool->rdma, base, size);
}

int umbp_rdma_forget (umbp_t *pool, void *base, size_t size)
{
    int rc = pool->rdma ? pool->rdma_api->forget (pool->rdma, base, size) : 0;
    return rc == UMBP_EAGAIN ? rc : 0;  //  It was not announced: fine
}

//  ------------------------------------------------------------------------------------------------
//  Links of a lane

static int s_ask (void *arg, const char *node, umbp_msg_t *msg, int expected, int64_t deadline_ms,
                  const umbp_msg_t **answer_p)
{
    int rc;
    const umbp_answer_t *answer =
        umbp_wire_ask (arg, UMBP_WAY_WIRE, "verbs", node, msg, NULL, 0, expected, deadline_ms, &rc);
    *answer_p = answer ? &answer->msg : NULL;
    return answer ? 0 : rc;
}

static void s_tell (void *arg, const char *node, umbp_msg_t *msg)
{
    umbp_wire_tell (arg, UMBP_WAY_WIRE, "verbs", node, msg);
}

void umbp_rdma_drop (umbp_lane_t *lane)
{
    if (lane->rdma)
        umbp_far_drop (lane->rdma);
}

void umbp_rdma_forget_links (umbp_lane_t *lane)
{
    umbp_far_forget (&lane->rdma);
}

size_t umbp_rdma_move (umbp_lane_t *lane, const umbp_place_t *place, umbp_bulk_io_t *ios,
                       size_t count, int *statuses, int64_t deadline_ms)
{
    umbp_verbs_t *verbs = count ? umbp_rdma_open (lane->pool) : NULL;
    if (!verbs)
        return 0;
    if (!lane->rdma) {
        const umbp_far_ops_t ops = { .api = lane->pool->rdma_api,
                                     .verbs = verbs, .ask = s_ask, .tell = s_tell, .arg = lane };
        lane->rdma = umbp_far_new (&ops);
    }
    const umbp_far_way_t way = { .node = place->node,
                                 .session = lane->session,
                                 .write = place->write,
                                 .again = place->again,
                                 .deadline_ms = deadline_ms,
                                 .end_ms = umbp_lane_slice (lane, 0) };
    uint64_t joined = umbp_far_joined (lane->rdma);
    size_t done = umbp_far_move (lane->rdma, &way, ios, count, statuses);
    lane->stats.rdma_links += umbp_far_joined (lane->rdma) - joined;
    return done;
}
