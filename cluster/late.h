//  cluster/late.h - questions that ended without an answer, but whose answer has to be undone if it
//  comes after all: it gave us something, and we would never give it back. A bounded memory: each is
//  kept for a while, and the oldest leaves for a new one. A value for one thread; nothing blocks.
#ifndef UMBP_LATE_H
#define UMBP_LATE_H

#include "proto/types.h"

#define UMBP_LATE_MAX 1024
#define UMBP_LATE_MS 30000

typedef void (umbp_late_any_fn) (void);      //  Cast back by who knows what it is

typedef struct {
    uint64_t id;                        //  Of the question, 0: free
    int64_t until;
    umbp_late_any_fn *fn;
    void *owner;
    char actor[UMBP_NAME_MAX + 1], node[UMBP_TEXT_MAX + 1];      //  Who was asked
} umbp_late_question_t;

typedef struct umbp_late umbp_late_t;

umbp_late_t *umbp_late_new (void);
void umbp_late_destroy (umbp_late_t **self_p);

//  Keep a question until UMBP_LATE_MS after now, or until UMBP_LATE_MAX more have come
void umbp_late_keep (umbp_late_t *self, const umbp_late_question_t *question, int64_t now);

//  Take a question out by its id. Returns false if it is not kept, or no longer.
bool umbp_late_take (umbp_late_t *self, uint64_t id, int64_t now, umbp_late_question_t *out);

#endif
