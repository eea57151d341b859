//  cluster/questions.c - a table of open questions: an array with a free list. The place in it is one
//  half of an id, how often the place was used the other.
#include "cluster/questions.h"

typedef struct {
    umbp_question_t question;           //  Without fn: free
    uint32_t turn;                      //  How often the place was used
    uint32_t next;                      //  In the free list
} place_t;

struct umbp_questions {
    place_t places[UMBP_QUESTIONS_MAX];
    uint32_t free_head;                 //  UMBP_QUESTIONS_MAX: none
    uint32_t count;
};

umbp_questions_t *umbp_questions_new (void)
{
    umbp_questions_t *self = zmalloc (sizeof (umbp_questions_t));
    for (uint32_t index = 0; index < UMBP_QUESTIONS_MAX; index++)
        self->places[index].next = index + 1;
    return self;
}

void umbp_questions_destroy (umbp_questions_t **self_p)
{
    freen (*self_p);
}

uint32_t umbp_questions_count (const umbp_questions_t *self)
{
    return self->count;
}

uint64_t umbp_questions_next (const umbp_questions_t *self)
{
    if (self->free_head == UMBP_QUESTIONS_MAX)
        return 0;
    return (uint64_t) self->places[self->free_head].turn << 32 | (self->free_head + 1);
}

void umbp_questions_begin (umbp_questions_t *self, const umbp_question_t *question)
{
    place_t *place = &self->places[self->free_head];
    self->free_head = place->next;
    self->count++;
    place->question = *question;
}

static void s_end (umbp_questions_t *self, uint32_t index, umbp_question_t *question)
{
    place_t *place = &self->places[index];
    *question = place->question;
    place->question.fn = NULL;
    place->turn++;
    place->next = self->free_head;
    self->free_head = index;
    self->count--;
}

bool umbp_questions_end (umbp_questions_t *self, uint64_t id, umbp_question_t *question)
{
    uint32_t index = (uint32_t) id - 1;
    if ((uint32_t) id == 0 || index >= UMBP_QUESTIONS_MAX || !self->places[index].question.fn
        || self->places[index].turn != id >> 32)
        return false;
    s_end (self, index, question);
    return true;
}

bool umbp_questions_expired (umbp_questions_t *self, int64_t now, uint32_t *cursor, uint32_t *left,
                             umbp_question_t *question)
{
    for (; *cursor<UMBP_QUESTIONS_MAX && * left> 0; (*cursor)++) {
        const umbp_question_t *open = &self->places[*cursor].question;
        if (!open->fn)
            continue;
        (*left)--;
        if (open->expires > now)
            continue;
        s_end (self, (*cursor)++, question);
        return true;
    }
    return false;
}
