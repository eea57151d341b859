//  actors/sheet.h - members as columns: what views of a topology_ok, beat or beat_ok point into.
//  A value: no thread, no socket. Its room is fixed.
#ifndef UMBP_SHEET_H
#define UMBP_SHEET_H

#include "cluster/topology.h"

typedef struct umbp_sheet umbp_sheet_t;

umbp_sheet_t *umbp_sheet_new (void);
void umbp_sheet_destroy (umbp_sheet_t **self_p);

//  Empty it; views of messages made from it are void
void umbp_sheet_clear (umbp_sheet_t *self);

//  Add a member, up to UMBP_NODES_MAX since the last clear. silent_ms is cut to 32 bits.
void umbp_sheet_add (umbp_sheet_t *self, const umbp_member_t *member, int64_t silent_ms);

//  Add no more than its endpoint, or than its tiers
void umbp_sheet_add_endpoint (umbp_sheet_t *self, const umbp_member_t *member);
void umbp_sheet_add_tiers (umbp_sheet_t *self, const umbp_member_t *member);

//  Set the columns of a message to what was added
void umbp_sheet_topology (const umbp_sheet_t *self, umbp_msg_topology_ok_t *out);
void umbp_sheet_beat (const umbp_sheet_t *self, umbp_msg_beat_t *out);

#endif
