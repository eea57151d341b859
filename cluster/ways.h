//  cluster/ways.h - the sockets through which a link reaches others: one way to each actor of the
//  node, to each member, and to some endpoints that nobody has named yet, which are closed again when
//  they are not used. Where links are secure a way knows whose key must be at its end.
#ifndef UMBP_WAYS_H
#define UMBP_WAYS_H

#include <czmq.h>

#include "cluster/keyring.h"
#include "cluster/link_sockets.h"
#include "cluster/post.h"

typedef enum {
    UMBP_WAY_ACTOR,                     //  To an actor of this node
    UMBP_WAY_MEMBER,                    //  To another node
    UMBP_WAY_STRANGER,                  //  To an endpoint nobody has named yet
} umbp_way_kind_t;

typedef struct umbp_ways umbp_ways_t;

typedef struct {
    void *owner;                        //  Of the ways: given at their start
    zsock_t *sock;                      //  DEALER
    void *handle;
    umbp_way_kind_t kind;
    bool member;                        //  While sorting: still one
    int64_t used;
    int64_t asked;                      //  Secure ways: since when nothing came back; 0: it did
    uint8_t server_key[UMBP_CURVE_KEY]; //  Secure ways: of who must be there
    char endpoint[2 * UMBP_TEXT_MAX];
} umbp_way_t;

umbp_ways_t *umbp_ways_new (void);
void umbp_ways_destroy (umbp_ways_t **self_p);

//  From now on ways that others than our actors are at are secure, with our keys; keys_p is where the
//  keyring with everybody's is at any time.
void umbp_ways_secure (umbp_ways_t *self, const umbp_curve_t *curve, umbp_keyring_t *const *keys_p);

//  The loop calls heard with a way (umbp_way_t) when something came
void umbp_ways_start (umbp_ways_t *self, zloop_t *loop, zloop_reader_fn *heard, void *owner);

//  The way to an endpoint, made if there is none. There are as many as actors, members and strangers,
//  each of which is bounded. Returns NULL if no certificate is for the endpoint, or it cannot be
//  dialled.
umbp_way_t *umbp_ways_to (umbp_ways_t *self, const char *endpoint, umbp_way_kind_t kind);

//  Members are at these endpoints now, and were at those: texts of both, by any key. Ways to former
//  ones are closed, unless another member is there.
void umbp_ways_sort (umbp_ways_t *self, zhashx_t *before, zhashx_t *now);

//  The keyring has changed: close the ways to keys that are not good for their endpoint any more
void umbp_ways_renew (umbp_ways_t *self);

//  At the end: wait so long for what was said last to others than our actors
void umbp_ways_linger (umbp_ways_t *self, int linger_ms);

//  Endpoints that were not dialled, since no certificate is for them
uint64_t umbp_ways_unnamed (const umbp_ways_t *self);

#endif
