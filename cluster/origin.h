//  cluster/origin.h - the way back of a message through links, and who began it. An origin is a
//  stack; each link puts the sender on top. Where links are secure it notes whose certificate the
//  sender has, which nobody can forge: what lies below a client's entry is the client's own and is
//  not looked at, and what lies below a node's entry is that node's word.
#ifndef UMBP_ORIGIN_H
#define UMBP_ORIGIN_H

#include "cluster/keyring.h"
#include "cluster/post.h"

#define UMBP_SIDE_LOCAL 'L'             //  Which ROUTER of a link the way back begins at: inproc,
#define UMBP_SIDE_WIRE 'W'              //  ... tcp without certificates,
#define UMBP_SIDE_SECURE 'S'            //  ... or tcp with them: then the user follows the sender

typedef enum {
    UMBP_USER_LOCAL,                    //  Of this node: an actor, a program around it, a door
    UMBP_USER_ANYONE,                   //  Over tcp without certificates: nobody knows
    UMBP_USER_CLIENT,
    UMBP_USER_NODE,
} umbp_user_kind_t;

typedef struct {
    umbp_user_kind_t kind;
    bool bound;                         //  A node: its certificate is for the node of this name alone
    bool link;                          //  Local: a program, through the link, and no actor of ours
    char name[UMBP_NAME_MAX + 1];       //  Client or node: as its certificate says
    char tenant[UMBP_NAME_MAX + 1];     //  Client: as this side's copy of its certificate says
} umbp_user_t;

//  Who began a request: a client also where another node passed it on
void umbp_origin_user (const umbp_origin_t *origin, umbp_user_t *user);

//  The tenant on whose behalf a request was made. home: that of the programs of this node, which come
//  through its doors or over inproc. Nodes, and who has no certificate, are of the default one.
const char *umbp_origin_tenant (const umbp_origin_t *origin, const char *home, umbp_user_t *user);

//  For links. One entry of the stack; rest is what lies below it.
typedef struct {
    char side;
    const uint8_t *id, *user, *rest;
    size_t id_size, user_size, rest_size;
} umbp_origin_entry_t;

//  Write an entry and what is below it to out, which has UMBP_ORIGIN_MAX bytes. Returns the size, 0
//  if it does not fit.
size_t umbp_origin_push (const umbp_origin_entry_t *entry, uint8_t *out);

//  Read the top entry. Returns false if there is none.
bool umbp_origin_pop (const uint8_t *origin, size_t size, umbp_origin_entry_t *entry);

//  The user of an entry, as links write it: kind, name and, of a client that has one, a zero and its
//  tenant. out has UMBP_ORIGIN_USER_MAX bytes. Returns its size.
#define UMBP_ORIGIN_USER_MAX (2 + 2 * UMBP_NAME_MAX)
size_t umbp_origin_write_user (const umbp_pass_t *pass, uint8_t *out);

#endif
