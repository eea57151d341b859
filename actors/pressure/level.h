//  actors/pressure/level.h - one number for how short of memory a node is, from many signals: 0 normal, 1 elevated,
//  2 high, 3 critical, 4 emergency. A level is entered when any of its signals held for a while (rise_ms), and
//  left, one at a time, when all have been below their lower marks for longer (fall_ms). So the same signals at
//  the same moments give the same levels: what happened once can be played back.
//
//  A value: no thread, no sockets, and the time is the caller's, in milliseconds of a monotonic clock.
#ifndef UMBP_LEVEL_H
#define UMBP_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_LEVEL_MAX 4
#define UMBP_LEVEL_WHY 96

//  Shares are per mille. Of a mark that is 0 the signal is not looked at for that level.
typedef struct {
    unsigned tier_enter[UMBP_LEVEL_MAX];        //  In use of any tier
    unsigned tier_leave[UMBP_LEVEL_MAX];        //  Below this
    unsigned
        device_enter[UMBP_LEVEL_MAX]; //  The same, of the memory of accelerators, whoever has it
    unsigned device_leave[UMBP_LEVEL_MAX];
    unsigned some[UMBP_LEVEL_MAX];              //  Time that tasks stood still for want of memory
    unsigned full[UMBP_LEVEL_MAX];              //  ... all of them at once
    unsigned available[UMBP_LEVEL_MAX];         //  Memory left, of the host or the cgroup: less than this
    unsigned margin;                            //  ... and so much more to leave the level again
    unsigned rise_ms, fall_ms;
    unsigned quiet_ms;                          //  No stall at all worth a level for so long, to leave level 1
} umbp_level_marks_t;

//  What section 3.7 of the requirements says
void umbp_level_marks_init (umbp_level_marks_t *marks);

//  Read marks from a text like "85,90,95,98", in percent, with one decimal at most; fewer than four are those of
//  the first levels, "-" is none. Returns 0, or UMBP_EINVAL if that is not what it says.
int umbp_level_marks_read (const char *text, unsigned out[UMBP_LEVEL_MAX]);

//  0 if they make sense: rising with the level (falling, for what is left), leave below enter; else UMBP_EINVAL,
//  and why says which
int umbp_level_marks_check (const umbp_level_marks_t *marks, const char **why);

typedef struct {
    unsigned tiers[5];                  //  In use, by UMBP_TIER_*; hbm: of the fullest device, with what others have
    unsigned some, full;                //  Of the last 2 s
    unsigned available;                 //  1000: all
    uint64_t high, max;                 //  Counters of the cgroup
    bool failed;                        //  An allocation failed, and nothing could leave for it
} umbp_signals_t;

//  What raised the level, or keeps it
typedef enum {
    UMBP_CAUSE_NONE,
    UMBP_CAUSE_TIER,                    //  A tier is full: letting blocks go helps
    UMBP_CAUSE_HOST,                    //  The host or the cgroup is short: giving memory back helps
    UMBP_CAUSE_DEVICE,                  //  An accelerator's memory is, and nothing else calls for that level
} umbp_cause_t;

typedef struct umbp_level umbp_level_t;

umbp_level_t *umbp_level_new (const umbp_level_marks_t *marks);
void umbp_level_destroy (umbp_level_t **self_p);

//  Take the signals of a moment. Returns the level from now on.
unsigned umbp_level_update (umbp_level_t *self, int64_t now_ms, const umbp_signals_t *signals);

unsigned umbp_level_now (const umbp_level_t *self);
int64_t umbp_level_since (const umbp_level_t *self);            //  When it became that
umbp_cause_t umbp_level_cause (const umbp_level_t *self);
const char *umbp_level_why (const umbp_level_t *self);          //  "tier dram 96.1 % >= 95.0 %"; empty at 0
uint64_t umbp_level_changes (const umbp_level_t *self);

const char *umbp_level_name (unsigned level);

#endif
