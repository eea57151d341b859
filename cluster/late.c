//  cluster/late.c - questions whose answer has to be undone if it comes after all. See late.h.
#include "cluster/late.h"

#include <assert.h>
#include <stdlib.h>

struct umbp_late {
    size_t next;                        //  Place of the oldest
    umbp_late_question_t questions[UMBP_LATE_MAX];
};

umbp_late_t *umbp_late_new (void)
{
    umbp_late_t *self = calloc (1, sizeof (umbp_late_t));
    assert (self);
    return self;
}

void umbp_late_destroy (umbp_late_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

void umbp_late_keep (umbp_late_t *self, const umbp_late_question_t *question, int64_t now)
{
    umbp_late_question_t *place = &self->questions[self->next];
    *place = *question;
    place->until = now + UMBP_LATE_MS;
    self->next = (self->next + 1) % UMBP_LATE_MAX;
}

bool umbp_late_take (umbp_late_t *self, uint64_t id, int64_t now, umbp_late_question_t *out)
{
    for (size_t place = 0; id && place < UMBP_LATE_MAX; place++) {
        umbp_late_question_t *question = &self->questions[place];
        if (question->id != id)
            continue;
        *out = *question;
        question->id = 0;
        return out->until > now;
    }
    return false;
}
