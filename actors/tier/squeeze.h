//  actors/tier/squeeze.h - a tier manager under pressure: which tenants get no new room, what it costs to let go,
//  how much memory there is at all, and what happened to it. Part of the tier manager: its messages and state.
#ifndef UMBP_SQUEEZE_H
#define UMBP_SQUEEZE_H

#include "actors/tier/balloon.h"
#include "actors/tier/journal.h"
#include "actors/tier/manager_self.h"

#define UMBP_SQUEEZE_REASON "this node is short of memory and suspended the tenant: try again later"

//  Once, when the store is there; and at the end
void umbp_manager_squeeze_new (umbp_manager_t *self);
void umbp_manager_squeeze_destroy (umbp_manager_t *self);

//  Every tick
void umbp_manager_squeeze (umbp_manager_t *self);

//  A copy of a block that is to go elsewhere is made, or cannot be; for a drain of the whole tier see keeper.c
void umbp_manager_squeeze_spread (umbp_manager_t *self, const umbp_spread_end_t *end);

//  Whether a key is of a tenant that gets no new room. What is here already may be put again, but does not count as
//  somebody's copy: soon it may be elsewhere. Counts if so.
bool umbp_manager_is_suspended (umbp_manager_t *self, umbp_bytes_t key, bool copy);

//  The reason of an answer, if any of the reservations since the last call was refused for that; else empty
umbp_text_t umbp_manager_refusal (umbp_manager_t *self);

//  A reservation found no room
void umbp_manager_was_full (umbp_manager_t *self, uint32_t size);

//  Around an eviction that was asked for: how long such things take. begin returns a moment.
int64_t umbp_manager_evict_begin (umbp_manager_t *self);
void umbp_manager_evict_end (umbp_manager_t *self, int64_t begun, uint64_t blocks, uint64_t bytes);
//  ... lately: for a block, and from one step to the next
void umbp_manager_evict_pace (const umbp_manager_t *self, uint64_t *block_ns, uint64_t *pause_ns);

void umbp_manager_on_usage (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_suspend (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_cost (void *owner, const umbp_mail_t *mail);     //  See cost.c
void umbp_manager_on_balloon (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_events (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_relax (void *owner, const umbp_mail_t *mail);

void umbp_manager_squeeze_stat (umbp_manager_t *self, umbp_gauges_t *gauges);

#endif
