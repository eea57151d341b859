//  actors/gate.h - the actor "gate": who may connect to this node over tcp. It answers the questions
//  of ZeroMQ (ZAP) when somebody does, reads the folders of certificates again when they change and
//  tells the link, and counts and names those who are refused. Only nodes with a certificate have
//  one. It must start before the link and end after it.
#ifndef UMBP_GATE_H
#define UMBP_GATE_H

#include "actors/actor.h"
#include "cluster/keyring.h"

typedef struct {
    const umbp_home_t *home;
    void *context;                      //  ZeroMQ's, of this node alone; the link is in it too
    const umbp_pass_t *own;             //  This node's certificate, which is always good; copied
    const char *nodes, *clients;        //  Folders of certificates, empty: none; copied
    const char *tenants;                //  File of quotas (cluster/quotas.h), empty: none; copied.
                                        //  When it changes the tier manager is told
} umbp_gate_args_t;

//  Who may connect: the own certificate, and those of both folders. A file that is none is passed
//  over, and why, empty before, says what is wrong with one of these. Returns NULL if a folder cannot
//  be read, or both have too many; then why says which.
umbp_keyring_t *umbp_gate_read (const umbp_pass_t *own, const char *nodes, const char *clients,
                                char *why, size_t size);

//  Returns NULL if a folder cannot be read, or the gate cannot be bound in this context
zactor_t *umbp_gate_new (const umbp_gate_args_t *args);

#endif
