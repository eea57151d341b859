//  actors/pressure_self.h - the state of the pressure actor, shared by the files that make it up: pressure.c (signals,
//  messages) and pressure_act.c (what is done about it). Nobody else includes this.
#ifndef UMBP_PRESSURE_SELF_H
#define UMBP_PRESSURE_SELF_H

#include "actors/pressure.h"
#include "actors/pressure/cgroup.h"
#include "actors/pressure/ladder.h"
#include "actors/pressure/psi.h"

#define UMBP_PRESSURE_ASK_MS 2000                     //  For a tier to answer
#define UMBP_PRESSURE_STEPS_MAX 16                    //  Kept in mind
#define UMBP_PRESSURE_PENDING_MAX 64                  //  Questions of clients that wait for a tier
#define UMBP_PRESSURE_TRIGGERS 2
#define UMBP_PRESSURE_DEVICE_MS 5000    //  What devices hold counts for so long
#define UMBP_PRESSURE_TIER "tier:dram"

typedef struct {
    umbp_step_t step;
    int64_t at;
    bool done;
    char tenant[UMBP_NAME_MAX + 1];
} taken_t;

//  What the tier said last
typedef struct {
    bool known, asked, grew_full;       //  grew_full: reservations failed since the answer before
    uint64_t total, used, made, full;
    umbp_ladder_tenant_t tenants[UMBP_TENANTS_MAX];
    size_t count;
} tier_t;

//  Blocks of a tenant leave, message by message
typedef struct {
    bool used;
    char tenant[UMBP_NAME_MAX + 1];
} drop_t;

typedef struct {
    umbp_post_t *post;
    zloop_t *loop;
    umbp_pressure_mode_t mode;
    umbp_level_marks_t marks;
    unsigned keep, calm_ms;
    bool secure;
    umbp_level_t *level;                //  Of all signals: what the node says
    umbp_level_t *host;                 //  Of all but devices: steps 2 to 4 go by it
    umbp_ladder_t *ladder;
    umbp_cgroup_t cgroup;
    umbp_memory_t memory;
    umbp_psi_meter_t meter;
    umbp_signals_t signals;
    int64_t device_at;                  //  When that of devices was said last
    int triggers[UMBP_PRESSURE_TRIGGERS];             //  Of some and full tasks; -1: none
    tier_t tier;
    drop_t drops[UMBP_TENANTS_MAX];
    umbp_origin_t pending[UMBP_PRESSURE_PENDING_MAX];
    bool waits[UMBP_PRESSURE_PENDING_MAX];
    uint64_t ceiling;                   //  What an operator wants a tier to hold at most; 0: all
    int64_t grown_at;
    unsigned told;                      //  Level that others know of
    taken_t taken[UMBP_PRESSURE_STEPS_MAX];           //  A ring
    uint64_t steps[UMBP_STEP_GROW
                   + 1]; //  Taken, by kind; the number of those in the ring is in steps[0]
    uint64_t observed, wakeups, alarms_closed, unheard, dropped_blocks;
} umbp_pressure_t;

//  pressure_act.c
void umbp_pressure_tell_level (umbp_pressure_t *self, const char *actor);
void umbp_pressure_act (umbp_pressure_t *self, const umbp_action_t *action);
void umbp_pressure_grow (umbp_pressure_t *self, int64_t now);

#endif
