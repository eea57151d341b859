//  actors/tier/pauses.c - answers that are held back: of drop, wipe and flush. They go when the shards have heard of all
//  changes so far, and what was said will hold whatever becomes of us: the disk is past it, and copies of what was
//  dropped that were on their way to other tiers of this node are undone.
#include "actors/tier/manager_self.h"

static void s_pause_end (umbp_manager_t *self, umbp_pause_t *pause, int status)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, (umbp_msg_type_t) pause->answer_type, 0);
    answer.status = (int16_t) status;
    if (pause->answer_type == UMBP_MSG_drop_ok) {
        answer.drop_ok.statuses = (umbp_s8s_t) { pause->statuses, pause->count };
        answer.drop_ok.bytes = pause->bytes;
    } else if (pause->answer_type == UMBP_MSG_wipe_ok) {
        answer.wipe_ok.blocks = pause->blocks;
        answer.wipe_ok.bytes = pause->bytes;
    }
    umbp_post_answer (self->post, &pause->origin, &answer, NULL, 0);
    free (pause->statuses);
    pause->used = false;
}

static bool s_is_heard (const umbp_manager_t *self, const umbp_pause_t *pause)
{
    return umbp_announce_heard (self->announce, pause->serial, pause->quiet)
           && (!pause->quiet || umbp_announce_quiet (self->announce));
}

//  Whether what was said will hold after our end, too. Of what came to the disk meanwhile the shards were told only now.
static bool s_is_safe (umbp_manager_t *self, umbp_pause_t *pause)
{
    if (pause->disk && umbp_depot_is_past (self->depot, &pause->mark)) {
        pause->disk = false;
        umbp_announce_send (self->announce);
        pause->serial = umbp_announce_mark (self->announce);
    }
    return !pause->disk && umbp_undos_are_done (self->undos, &pause->undos);
}

//  What is gone, and may be back after our end
static void s_pause_unsafe (umbp_manager_t *self, umbp_pause_t *pause)
{
    for (uint32_t index = 0; pause->statuses && index < pause->count; index++)
        if (pause->statuses[index] == 0)
            pause->statuses[index] = UMBP_ETIMEDOUT;
    s_pause_end (self, pause, pause->statuses ? 0 : UMBP_ETIMEDOUT);
}

//  Returns true if it was answered
static bool s_pause_step (umbp_manager_t *self, umbp_pause_t *pause, int64_t now)
{
    bool safe = s_is_safe (self, pause), heard = s_is_heard (self, pause);
    if ((!heard && pause->expires > now) || (!safe && pause->patient_until > now))
        return false;
    if (safe && !pause->undos.unsafe)
        s_pause_end (self, pause, heard ? 0 : pause->late);
    else
        s_pause_unsafe (self, pause);
    return true;
}

void umbp_manager_pause (umbp_manager_t *self, umbp_pause_t pause, int64_t wait_ms)
{
    umbp_announce_send (self->announce);
    pause.serial = umbp_announce_mark (self->announce);
    pause.patient_until = zclock_mono () + wait_ms - wait_ms / 4;
    pause.disk = pause.disk && self->depot;
    if (pause.disk)
        pause.mark = umbp_depot_mark (self->depot);
    size_t place = 0;
    while (place < UMBP_PAUSES_MAX && self->pauses[place].used)
        place++;
    if (s_pause_step (self, &pause, place < UMBP_PAUSES_MAX ? 0 : INT64_MAX))
        return;
    self->pauses[place] = pause;
    self->pauses[place].used = true;
    self->paused++;
}

//  Answers whose changes were heard of meanwhile, or whose time is up
void umbp_manager_resume (umbp_manager_t *self, int64_t now)
{
    size_t paused = self->paused;
    for (size_t place = 0; place < UMBP_PAUSES_MAX && paused > 0; place++) {
        umbp_pause_t *pause = &self->pauses[place];
        paused -= pause->used;
        if (pause->used && s_pause_step (self, pause, now))
            self->paused--;
    }
}

//  Copies of what was removed could not be: who waits for that hears of it
void umbp_manager_on_not_undone (void *owner, uint64_t number)
{
    umbp_manager_t *self = owner;
    for (size_t place = 0; place < UMBP_PAUSES_MAX; place++) {
        umbp_undo_span_t *span = &self->pauses[place].undos;
        span->unsafe |= self->pauses[place].used && number >= span->first && number <= span->last;
    }
}
