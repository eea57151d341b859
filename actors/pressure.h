//  actors/pressure.h - the pressure actor: how short of memory this node is, and what is done about it. It reads
//  the host, the cgroup and the tiers four times a second, and at once when the kernel says that tasks stand
//  still for want of memory; makes one level of it (pressure/level.h), and takes the steps of the ladder
//  (pressure/ladder.h), one at a time, by messages to those whom they concern.
#ifndef UMBP_PRESSURE_H
#define UMBP_PRESSURE_H

#include "actors/actor.h"
#include "actors/pressure/level.h"

typedef enum {
    UMBP_PRESSURE_OFF,                  //  Looks at nothing
    UMBP_PRESSURE_OBSERVE,              //  Says the level, and which steps it would take
    UMBP_PRESSURE_ACT,
} umbp_pressure_mode_t;

typedef struct {
    const umbp_home_t *home;
    umbp_pressure_mode_t mode;
    umbp_level_marks_t marks;
    unsigned keep;                      //  Percent of its memory that a tier keeps whatever comes; 0: 50
    unsigned calm_ms;                   //  Level 0 for so long before a tier grows again; 0: a minute
    const char *cgroup;                 //  Folder of the memory cgroup; empty: our own
} umbp_pressure_args_t;

//  Takes strain, cost, suspend and balloon of anyone, the last two not of tenants; capacity of hbm of this node's
//  actors. Has a door. Returns NULL if it cannot bind, or if cgroup is no folder of a memory cgroup.
zactor_t *umbp_pressure_new (const umbp_pressure_args_t *args);

//  "off", "observe", "act" -> the mode, -1 for anything else
int umbp_pressure_mode (const char *name);

#endif
