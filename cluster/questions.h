//  cluster/questions.h - what one actor has asked and waits for. Each question ends exactly once: with
//  an answer, or when its time is over. An id names one question for ever, so that an answer that
//  comes too late finds nobody.
#ifndef UMBP_QUESTIONS_H
#define UMBP_QUESTIONS_H

#include "cluster/post.h"

#define UMBP_QUESTIONS_MAX 8192         //  At a time

typedef struct umbp_questions umbp_questions_t;

typedef struct {
    uint64_t id;
    umbp_answer_fn *fn;                 //  To be told of its end, with owner and tag
    void *owner;
    uint64_t tag, call;
    int64_t expires;                    //  On the clock of zclock_mono
    bool remote;
} umbp_question_t;

umbp_questions_t *umbp_questions_new (void);
void umbp_questions_destroy (umbp_questions_t **self_p);

//  The id that the next one has, 0 if there are too many
uint64_t umbp_questions_next (const umbp_questions_t *self);

//  Begin the one with that id. It is copied.
void umbp_questions_begin (umbp_questions_t *self, const umbp_question_t *question);

//  End it. Returns false if there is none with this id.
bool umbp_questions_end (umbp_questions_t *self, uint64_t id, umbp_question_t *question);

//  End the next one whose time is over. cursor is 0 and left the count at first, so that a round sees
//  each at most once, though questions begin meanwhile. Returns false at the end of the round.
bool umbp_questions_expired (umbp_questions_t *self, int64_t now, uint32_t *cursor, uint32_t *left,
                             umbp_question_t *question);

uint32_t umbp_questions_count (const umbp_questions_t *self);

#endif
