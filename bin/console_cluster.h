//  bin/console_cluster.h - the cluster as one document: who is in it, what it holds
#ifndef UMBP_CONSOLE_CLUSTER_H
#define UMBP_CONSOLE_CLUSTER_H

#include "bin/console.h"

//  A counter of an actor, and where it goes in a row
typedef struct {
    const char *name, *member;
} umbp_cluster_counter_t;

//  The state of a member in a word; room of a tier, or of all, as members of a row
const char *umbp_cluster_state (const umbp_member_t *member);
void umbp_cluster_add_room (json_t *row, const umbp_tier_room_t *room);

//  Ask the actor of each row's node, or the one that the row names, for its counters, which end with a NULL, and put
//  them into the row. One that does not answer gets "silent".
void umbp_cluster_gather (umbp_console_t *self, json_t *rows, const char *actor,
                          const umbp_cluster_counter_t *counters);

//  console_tiers.c: one row for each tier of each member, with what its tier manager says
json_t *umbp_cluster_tiers (umbp_console_t *self, const umbp_topology_t *topology);

//  Rates and shares of hits in "tiers" since an earlier document
void umbp_cluster_tier_rates (json_t *doc, const json_t *earlier, double seconds);

//  Print the tiers with their rates, at most so many rows; nothing if there are no rates yet, or one tier each
void umbp_cluster_show_tiers (const umbp_console_t *self, FILE *out, const json_t *doc,
                              size_t rows);

//  What status and top say: totals, and one row for each member. NULL with *end set on failure; to
//  be released with json_decref.
json_t *umbp_cluster_document (umbp_console_t *self, int *end);

//  Add the rates since an earlier document to each member: puts, gets and exists a second
void umbp_cluster_rates (json_t *doc, const json_t *earlier, double seconds);

//  Print the totals and the members for people, at most so many rows
void umbp_cluster_show (const umbp_console_t *self, FILE *out, const json_t *doc, size_t rows);

#endif
