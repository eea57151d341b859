//  actors/tier/hands.h - threads for calls that may never return: a few of them take tasks, run them, and give them
//  back. One that is overdue is given up: its thread is left behind with what the task uses, and another takes its
//  place, up to a bound; should the call return after all, the task comes back and the thread serves again.
//
//  A value, used from one thread at a time. The threads see tasks and nothing else of the owner.
#ifndef UMBP_HANDS_H
#define UMBP_HANDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define UMBP_HANDS_LOST_MAX 24          //  Threads left behind; beyond them fewer serve

typedef struct umbp_hands umbp_hands_t;
typedef struct umbp_task umbp_task_t;

//  Who asks fills in the first half, and leaves all as it is until the task comes back
struct umbp_task {
    void (*run) (umbp_task_t *task);    //  In a thread; may block

    atomic_bool beats;                  //  See umbp_task_beat
    bool begun, late;                   //  A thread has it or had it; it was given up
    int64_t since;                      //  0: no time was told yet since it was given
    umbp_task_t *next;
};

//  NULL with an errno: no thread can be had
umbp_hands_t *umbp_hands_new (unsigned threads);

//  Waits for what is under way, so long at most. False: threads stay behind, and what their tasks use is theirs; a task
//  is not looked at any more once it has run.
bool umbp_hands_destroy (umbp_hands_t **self_p, int wait_ms);

int umbp_hands_fd (const umbp_hands_t *self);            //  Readable when tasks ended, or woken
void umbp_hands_wake (umbp_hands_t *self);
void umbp_hands_clear (umbp_hands_t *self);              //  No longer readable for what came so far

void umbp_hands_give (umbp_hands_t *self, umbp_task_t *task);
umbp_task_t *umbp_hands_take (umbp_hands_t *self);       //  One that ended, late ones too; NULL: none

//  A task whose time is over, each once; NULL: none. Not begun: it is the owner's again, and does not come back.
umbp_task_t *umbp_hands_overdue (umbp_hands_t *self, int64_t now_ms, int64_t deadline_ms);

//  Said by a task that consists of many calls: it got on, its time begins anew
void umbp_task_beat (umbp_task_t *task);

unsigned umbp_hands_lost (const umbp_hands_t *self);     //  Threads left behind now
unsigned umbp_hands_pending (
    const umbp_hands_t *self); //  Tasks given and not back, but those that are late

#endif
