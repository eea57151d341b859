//  client/flush.c - nowait puts: which nodes they went to, and waiting for these.
#include <stdlib.h>

#include "client/batch.h"

//  ------------------------------------------------------------------------------------------------
//  Which nodes

//  Both under the lock
static bool s_is_known (const umbp_t *self, const char *node)
{
    for (size_t index = 0; index < self->unheard_count; index++)
        if (streq (self->unheard[index], node))
            return true;
    return false;
}

static void s_note (umbp_t *self, const char *node)
{
    if (self->unheard_all || (node && s_is_known (self, node)))
        return;
    if (!self->unheard)
        self->unheard = zmalloc (UMBP_NODES_MAX * sizeof *self->unheard);
    if (node && self->unheard_count < UMBP_NODES_MAX)
        snprintf (self->unheard[self->unheard_count++], sizeof *self->unheard, "%s", node);
    else
        self->unheard_all = true;
}

void umbp_pool_note_unheard (umbp_t *self, const char *node)
{
    pthread_mutex_lock (&self->lock);
    s_note (self, node);
    pthread_mutex_unlock (&self->lock);
}

//  What a flush has to wait for, in scratch memory
typedef struct {
    char (*names)[UMBP_NAME_MAX + 1];
    size_t count;
    bool all;                           //  All members, whoever that is
} noted_t;

//  Take the list: what is put from now on is another flush's. Returns whether there is anything in it.
static bool s_take (umbp_t *self, umbp_lane_t *lane, noted_t *noted)
{
    *noted = (noted_t) { .names = umbp_lane_take (lane, UMBP_NODES_MAX, sizeof *noted->names) };
    pthread_mutex_lock (&self->lock);
    noted->all = self->unheard_all;
    noted->count = self->unheard_count;
    if (noted->count > 0)
        memcpy (noted->names, self->unheard, noted->count * sizeof *noted->names);
    self->unheard_count = 0;
    self->unheard_all = false;
    pthread_mutex_unlock (&self->lock);
    return noted->all || noted->count > 0;
}

//  Nobody was asked
static void s_put_back (umbp_t *self, const noted_t *noted)
{
    pthread_mutex_lock (&self->lock);
    for (size_t index = 0; index < noted->count; index++)
        s_note (self, noted->names[index]);
    if (noted->all)
        s_note (self, NULL);
    pthread_mutex_unlock (&self->lock);
}

static bool s_is_noted (const noted_t *self, const char *node)
{
    for (size_t index = 0; index < self->count; index++)
        if (streq (self->names[index], node))
            return true;
    return self->all;
}

//  Those that are members. Who is none any more took its blocks along. Returns how many names, in scratch memory.
static size_t s_members (umbp_lane_t *lane, const noted_t *noted, const char ***names_p)
{
    const umbp_topology_t *topology = lane->cluster->topology;
    size_t members = umbp_topology_count (topology), count = 0;
    const char **names = *names_p = umbp_lane_take (lane, members, sizeof *names);
    for (size_t index = 0; index < members; index++) {
        const char *node = umbp_topology_member (topology, index)->node;
        if (s_is_noted (noted, node))
            names[count++] = node;
    }
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  Waiting

//  Whether there may be something in that tier of that node
static bool s_has_tier (const umbp_lane_t *lane, const char *node, unsigned tier)
{
    const umbp_topology_t *topology = lane->cluster->topology;
    int member = umbp_topology_find (topology, umbp_text (node));
    return tier == UMBP_TIER_DRAM
           || (member >= 0
               && umbp_topology_member (topology, (size_t) member)->tiers[tier].total > 0);
}

//  Ask one tier of all, then hear them. Returns 0, or the last error; who did not answer well is noted again.
static int s_flush_tier (umbp_t *self, umbp_lane_t *lane, const char **all, size_t count,
                         unsigned tier)
{
    int rc = 0, error = 0;
    uint64_t *questions = umbp_lane_take (lane, count, sizeof *questions);
    const char **names = umbp_lane_take (lane, count, sizeof *names);
    for (size_t index = 0; index < count; index++) {
        questions[index] = 0;
        names[index] = s_has_tier (lane, all[index], tier) ? all[index] : NULL;
        if (!names[index])
            continue;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_flush, 0);
        rc = umbp_wire_send (lane, UMBP_WAY_WIRE, umbp_tier_actor (tier), names[index], &msg, NULL,
                             0, lane->deadline_ms);
        questions[index] = rc == 0 ? msg.id : 0;
        error = rc != 0 ? rc : error;
    }
    while (lane->question_count > 0) {
        const umbp_answer_t *answer = umbp_wire_wait (lane, lane->deadline_ms);
        if (!answer) {
            error = UMBP_ETIMEDOUT;
            lane->stats.timeouts++;
            break;
        }
        for (size_t index = 0; index < count && answer->status == 0; index++)
            if (questions[index] == answer->id)
                names[index] = NULL;
        error = answer->status != 0 ? answer->status : error;
    }
    for (size_t index = 0; index < count; index++)
        if (names[index])
            umbp_pool_note_unheard (self, names[index]);
    return error;
}

//  Who is there, and with which tiers, is asked first: the snapshot may be older than the nodes that the puts went to
static int s_flush (umbp_t *self, umbp_lane_t *lane, const noted_t *noted)
{
    int error = umbp_lane_refresh (lane, lane->deadline_ms);
    if (error != 0) {
        s_put_back (self, noted);
        return error;
    }
    const char **names;
    size_t count = s_members (lane, noted, &names);
    for (unsigned tier = 1; tier < UMBP_TIERS; tier++) {
        int rc = s_flush_tier (self, lane, names, count, tier);
        error = rc != 0 ? rc : error;
    }
    return error;
}

int umbp_flush (umbp_t *self, uint32_t timeout_ms)
{
    umbp_lane_t *lane;
    noted_t noted;
    int rc = umbp_pool_enter (self, timeout_ms, &lane);
    if (rc != 0)
        return rc;
    if (s_take (self, lane, &noted))
        rc = s_flush (self, lane, &noted);
    umbp_pool_leave (self, &lane);
    return rc;
}
