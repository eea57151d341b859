//  actors/node_options.h - what follows from the options of a node; the options are in umbp_node.h.
#ifndef UMBP_NODE_OPTIONS_H
#define UMBP_NODE_OPTIONS_H

#include "actors/etcd_actor.h"
#include "actors/pressure/level.h"
#include "actors/umbp_node.h"

#define UMBP_DOOR_PATH_MAX 107          //  What the name of a UNIX socket may have

//  What a node of these options is called: its id, or the host's name and port; where the port is
//  not known yet, something unique. out has UMBP_NAME_MAX + 1 bytes.
void umbp_node_options_name (const umbp_node_options_t *options, uint64_t node_epoch, char *out);

//  Of etcd, all but who and where we are: that is not known before the link. Views of the options.
umbp_etcd_args_t umbp_node_options_etcd (const umbp_node_options_t *options);

//  Percent to which eviction brings a tier on disk
unsigned umbp_node_options_disk_low (const umbp_node_options_t *options);

//  ... and its part of a directory that several nodes mount
unsigned umbp_node_options_shared_low (const umbp_node_options_t *options);

//  When this node is short of memory. Returns 0, or UMBP_EINVAL and which option is wrong, and why.
int umbp_node_options_marks (const umbp_node_options_t *options, umbp_level_marks_t *marks,
                             const char **option, const char **why);

//  Microseconds of the wall clock
uint64_t umbp_node_clock_us (void);

#endif
