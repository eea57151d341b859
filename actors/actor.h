//  actors/actor.h - the shape all actors share. An actor is a value with its rules, a table of operations by
//  message type, and this thin shell around them: a thread, a loop, a post. The shell answers ping, stat and log
//  for all, refuses what the table lacks, and ends on $TERM only.
#ifndef UMBP_ACTOR_H
#define UMBP_ACTOR_H

#include <czmq.h>

#include "cluster/post.h"

typedef void (umbp_op_fn) (void *self, const umbp_mail_t *mail);

typedef struct {
    uint16_t type;                      //  UMBP_MSG_*, 0 ends the table
    umbp_op_fn *fn;                     //  Answers once, now or later, if the request has an id
} umbp_op_t;

//  Gauges and counters of an actor, in the order they are to be seen. Names are static text.
#define UMBP_GAUGES_MAX 192
typedef struct {
    size_t count;
    const char *names[UMBP_GAUGES_MAX];
    uint64_t values[UMBP_GAUGES_MAX];
} umbp_gauges_t;

//  Add one; over the limit it is left out
void umbp_gauges_add (umbp_gauges_t *stats, const char *name, uint64_t value);

//  What all actors of a node know from the start
typedef struct {
    char instance[UMBP_TEXT_MAX];       //  Unique in the process: prefix of the node's inproc names
    char node[UMBP_NAME_MAX + 1];
    uint64_t node_epoch;
    char doors[UMBP_TEXT_MAX];          //  Folder of the doors, empty: none
    unsigned spin_us;
    unsigned log_level;
    char tenant[UMBP_NAME_MAX + 1];     //  Of programs that come through its doors or over inproc
    bool secure;                        //  Links have certificates, so clients may have tenants
} umbp_home_t;

typedef struct {
    const char *name;                   //  "index": its address
    const umbp_home_t *home;            //  Copied
    bool door;                          //  Opens <doors>/<name>.sock, if there is a folder
    const umbp_op_t *ops;               //  Static
    void *self;                         //  The value; the actor owns it from now on
    void (*start) (void *self, umbp_post_t *post, zloop_t *loop);    //  In the thread, first thing
    void (*stat) (void *self, umbp_gauges_t *stats);                  //  May be NULL, like all below
    void (*closed) (void *self, uint64_t door);
    void (*tick) (void *self);          //  Every tick_ms
    unsigned tick_ms;
    void (*stops) (void *self);         //  Its node is about to end, and the others with it
    void (*destroy) (void **self_p);
} umbp_actor_args_t;

//  Bind and start. Returns NULL, with the value destroyed, if it cannot bind. Destroy with zactor_destroy.
zactor_t *umbp_actor_new (const umbp_actor_args_t *args);

//  Say to an actor that its node is about to end
void umbp_actor_stops (zactor_t *actor);

#endif
