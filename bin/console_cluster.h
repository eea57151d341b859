//  bin/console_cluster.h - the cluster as one document: who is in it, what it holds
#ifndef UMBP_CONSOLE_CLUSTER_H
#define UMBP_CONSOLE_CLUSTER_H

#include "bin/console.h"

//  What status and top say: totals, and one row for each member. NULL with *end set on failure; to
//  be released with json_decref.
json_t *umbp_cluster_document (umbp_console_t *self, int *end);

//  Add the rates since an earlier document to each member: puts, gets and exists a second
void umbp_cluster_rates (json_t *doc, const json_t *earlier, double seconds);

//  Print the totals and the members for people, at most so many rows
void umbp_cluster_show (const umbp_console_t *self, FILE *out, const json_t *doc, size_t rows);

#endif
