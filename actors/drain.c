//  actors/drain.c - how this node is drained. See drain.h.
#include "actors/drain.h"

#include <unistd.h>

#define ASK_MS 2000
#define SEE_MS 1000                     //  Between the end of the drain and that of the process
#define LEAVE_MS 60000                  //  So long others may take to settle without us

//  What a tier said last
typedef struct {
    char name[UMBP_NAME_MAX + 1];
    bool asked, heard;
    uint64_t turn;                      //  Of the drain that its answer is about
    umbp_msg_drain_ok_t said;
} tier_t;

struct umbp_drain {
    umbp_post_t *post;
    umbp_members_t *members;
    int stop_fd;
    umbp_drain_state_t state;
    bool stop, stopped;                 //  The process is to end; it was told to
    int64_t leave_by, stop_at;
    uint64_t turn;                      //  One more with each beginning and each end
    size_t tier_count;
    tier_t tiers[UMBP_DRAIN_TIERS_MAX];
};

umbp_drain_t *umbp_drain_new (umbp_members_t *members, const char *const *tiers, size_t tier_count,
                              int stop_fd)
{
    umbp_drain_t *self = zmalloc (sizeof (umbp_drain_t));
    assert (tier_count <= UMBP_DRAIN_TIERS_MAX);
    self->members = members;
    self->stop_fd = stop_fd;
    self->tier_count = tier_count;
    for (size_t index = 0; index < tier_count; index++)
        snprintf (self->tiers[index].name, sizeof self->tiers[index].name, "%s", tiers[index]);
    return self;
}

void umbp_drain_destroy (umbp_drain_t **self_p)
{
    freen (*self_p);
}

void umbp_drain_start (umbp_drain_t *self, umbp_post_t *post)
{
    self->post = post;
}

//  --------------------------------------------------------------------------------------------------
//  The tiers of this node

static void s_on_answer (void *part, uint64_t tag, int status, const umbp_mail_t *mail)
{
    umbp_drain_t *self = part;
    tier_t *tier = &self->tiers[tag % UMBP_DRAIN_TIERS_MAX];
    tier->asked = false;
    if (tier->turn != self->turn)
        return;                         //  It was about something else
    if (status == 0 && mail && mail->msg->type == UMBP_MSG_drain_ok) {
        tier->said = mail->msg->drain_ok;
        tier->heard = true;
    } else if (status == UMBP_ENOTSUP) {
        zsys_warning ("drain: %s cannot be drained, its blocks leave with the node", tier->name);
        tier->said = (umbp_msg_drain_ok_t) { .state = UMBP_DRAIN_DONE };
        tier->heard = true;
    }
}

static void s_ask (umbp_drain_t *self, uint64_t action)
{
    for (size_t index = 0; index < self->tier_count; index++) {
        tier_t *tier = &self->tiers[index];
        if (tier->asked && tier->turn == self->turn)
            continue;
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_drain, 0);
        msg.drain.action = action;
        tier->turn = self->turn;
        tier->asked = umbp_post_ask_for (self->post, self, tier->name, NULL, &msg, NULL, 0, ASK_MS,
                                         s_on_answer, index)
                      == 0;
    }
}

//  What all tiers together are up to
static umbp_drain_state_t s_of_tiers (const umbp_drain_t *self)
{
    bool done = true, full = false;
    for (size_t index = 0; index < self->tier_count; index++) {
        const tier_t *tier = &self->tiers[index];
        done = done && tier->heard && tier->said.state == UMBP_DRAIN_DONE;
        full |= tier->heard && tier->said.state == UMBP_DRAIN_FULL;
    }
    return done ? UMBP_DRAIN_LEAVING : full ? UMBP_DRAIN_FULL : UMBP_DRAIN_MOVING;
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_begin (umbp_drain_t *self, bool stop)
{
    self->stop |= stop;
    if (self->state != UMBP_DRAIN_NONE)
        return;
    zsys_info ("drain: begins%s", stop ? ", then the process ends" : "");
    self->state = UMBP_DRAIN_MOVING;
    self->turn++;
    for (size_t index = 0; index < self->tier_count; index++)
        self->tiers[index].heard = false;
    umbp_members_drain (self->members, true);
    s_ask (self, 1);
}

static void s_cancel (umbp_drain_t *self)
{
    if (self->state == UMBP_DRAIN_NONE)
        return;
    zsys_info ("drain: is taken back");
    self->state = UMBP_DRAIN_NONE;
    self->stop = false;
    self->turn++;
    for (size_t index = 0; index < self->tier_count; index++)
        self->tiers[index].heard = false;
    umbp_members_drain (self->members, false);
    umbp_members_step_out (self->members, false);
    s_ask (self, 3);
}

int umbp_drain_act (umbp_drain_t *self, uint64_t action)
{
    if (action == 2 && self->stop_fd == 0)
        return UMBP_ENOTSUP;
    if (action == 1 || action == 2)
        s_begin (self, action == 2);
    else if (action == 3)
        s_cancel (self);
    return UMBP_OK;
}

static void s_stop (umbp_drain_t *self)
{
    uint64_t one = 1;
    self->stopped = true;
    zsys_info ("drain: the process ends");
    if (write (self->stop_fd, &one, sizeof one) != sizeof one)
        zsys_error ("drain: cannot end the process: %s", strerror (errno));
}

//  A tier that has not heard yet that the drain was taken back
static bool s_is_behind (const umbp_drain_t *self)
{
    bool behind = false;
    for (size_t index = 0; self->turn > 0 && index < self->tier_count; index++)
        behind |= !self->tiers[index].heard;
    return behind;
}

//  Out of the ring is out when the others have said that they know: until then they may ask our shard
void umbp_drain_tick (umbp_drain_t *self, int64_t now)
{
    switch (self->state) {
    case UMBP_DRAIN_NONE:
        if (s_is_behind (self))
            s_ask (self, 3);
        return;
    case UMBP_DRAIN_MOVING:
    case UMBP_DRAIN_FULL:
        s_ask (self, 1);
        self->state = s_of_tiers (self);
        if (self->state != UMBP_DRAIN_LEAVING)
            return;
        zsys_info ("drain: all blocks are elsewhere, leaving the ring");
        self->leave_by = now + LEAVE_MS;
        umbp_members_step_out (self->members, true);
        return;
    case UMBP_DRAIN_LEAVING:
        if (!umbp_members_settled (self->members) && now < self->leave_by)
            return;
        zsys_info ("drain: done");
        self->stop_at = now + SEE_MS;
        self->state = UMBP_DRAIN_DONE;
        return;
    case UMBP_DRAIN_DONE:               //  The one who asks sees that before the process ends
        if (self->stop && !self->stopped && now >= self->stop_at)
            s_stop (self);
        return;
    }
}

void umbp_drain_fill (const umbp_drain_t *self, umbp_msg_drain_ok_t *out)
{
    *out = (umbp_msg_drain_ok_t) { .state = self->state, .stop = self->stop };
    for (size_t index = 0; self->state != UMBP_DRAIN_NONE && index < self->tier_count; index++) {
        const umbp_msg_drain_ok_t *said = &self->tiers[index].said;
        if (!self->tiers[index].heard)
            continue;
        out->blocks += said->blocks;
        out->bytes += said->bytes;
        out->moved_blocks += said->moved_blocks;
        out->moved_bytes += said->moved_bytes;
    }
}
