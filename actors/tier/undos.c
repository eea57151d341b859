//  actors/tier/undos.c - copies of blocks that were removed meanwhile. See undos.h.
#include "actors/tier/undos.h"

#include "cluster/topology.h"

#define DROP_MS 5000

struct umbp_undos {
    umbp_post_t *post;
    unsigned tier;
    void *owner;
    umbp_undos_fn *failed;
    uint64_t number, sent;
    uint64_t open[UMBP_UNDOS_MAX];      //  Numbers
    size_t count;
};

umbp_undos_t *umbp_undos_new (umbp_post_t *post, unsigned tier, void *owner, umbp_undos_fn *failed)
{
    umbp_undos_t *self = zmalloc (sizeof (umbp_undos_t));
    self->post = post;
    self->tier = tier;
    self->owner = owner;
    self->failed = failed;
    return self;
}

void umbp_undos_destroy (umbp_undos_t **self_p)
{
    freen (*self_p);
}

uint64_t umbp_undos_plan (umbp_undos_t *self, umbp_undo_span_t *span)
{
    if (self->count == UMBP_UNDOS_MAX) {
        span->unsafe = true;
        return 0;
    }
    self->open[self->count++] = ++self->number;
    umbp_undos_join (span, self->number);
    return self->number;
}

void umbp_undos_join (umbp_undo_span_t *span, uint64_t number)
{
    span->first = span->first && span->first < number ? span->first : number;
    span->last = span->last > number ? span->last : number;
}

static void s_end (umbp_undos_t *self, uint64_t number, bool done)
{
    size_t at = 0;
    while (at < self->count && self->open[at] != number)
        at++;
    if (at == self->count)
        return;                         //  Nobody waits for it
    self->open[at] = self->open[--self->count];
    if (!done)
        self->failed (self->owner, number);
}

static void s_on_dropped (void *part, uint64_t number, int status, const umbp_mail_t *mail)
{
    bool done = status == 0 && mail && mail->msg->type == UMBP_MSG_drop_ok;
    const umbp_s8s_t *said = done ? &mail->msg->drop_ok.statuses : NULL;
    for (uint32_t index = 0; done && index < said->count; index++)
        done = umbp_s8s_at (*said, index) == 0 || umbp_s8s_at (*said, index) == UMBP_ENOENT;
    s_end (part, number, done);
}

int umbp_undos_send (umbp_undos_t *self, uint64_t number, unsigned to, const umbp_column_t *keys)
{
    static const char *const tiers[UMBP_TIERS] = {
        [UMBP_TIER_HBM] = "tier:hbm",
        [UMBP_TIER_DRAM] = "tier:dram",
        [UMBP_TIER_NVME] = "tier:nvme",
        [UMBP_TIER_SHARED] = "tier:shared",
    };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_drop, 0);
    msg.drop.keys = *keys;
    msg.drop.moved = true;
    msg.drop.tier = self->tier;
    self->sent++;
    int rc = umbp_post_ask_for (self->post, self, tiers[to], NULL, &msg, NULL, 0, DROP_MS,
                                s_on_dropped, number);
    if (rc < 0)
        s_end (self, number, false);
    return rc;
}

bool umbp_undos_are_done (const umbp_undos_t *self, const umbp_undo_span_t *span)
{
    for (size_t at = 0; span->first && at < self->count; at++)
        if (self->open[at] >= span->first && self->open[at] <= span->last)
            return false;
    return true;
}

uint64_t umbp_undos_sent (const umbp_undos_t *self)
{
    return self->sent;
}
