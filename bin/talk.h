//  bin/talk.h - a client that asks the actors of a cluster, in messages of the table, through the
//  link of one node. Contract: every call ends by its deadline, and what comes back keeps the
//  table's limits and is of the type that answers the question. One thread at a time.
#ifndef UMBP_TALK_H
#define UMBP_TALK_H

#include "proto/message.h"

typedef struct umbp_talk umbp_talk_t;

//  Connect to the first of the endpoints ("tcp://host:port,...") whose registry answers. Blocks up
//  to timeout_ms, of which each endpoint has an equal share, and which is also the deadline of each question
//  later on. Returns NULL and *err:
//  UMBP_EINVAL if that is no list of endpoints, UMBP_EUNREACH if nobody answers.
umbp_talk_t *umbp_talk_new (const char *endpoints, uint32_t timeout_ms, int *err);

//  The same with certificates as umbp_curve_client takes them; why says what is wrong with these,
//  and is empty if nothing is. *err is then also what umbp_curve_client returns.
umbp_talk_t *umbp_talk_new_secure (const char *endpoints, const char *certificate,
                                   const char *server, uint32_t timeout_ms, int *err, char *why,
                                   size_t size);
void umbp_talk_destroy (umbp_talk_t **self_p);

//  Another deadline for the questions to come
void umbp_talk_set_timeout (umbp_talk_t *self, uint32_t timeout_ms);

//  What answered: its endpoint, its node, the name of its cluster
const char *umbp_talk_endpoint (const umbp_talk_t *self);
const char *umbp_talk_node (const umbp_talk_t *self);
const char *umbp_talk_cluster (const umbp_talk_t *self);

//  Ask "actor" or "actor@node". The id and the deadline of the question are set here. Returns 0 and
//  *answer, good until the next call; or an error: what the other end said, UMBP_ETIMEDOUT if it
//  said nothing, UMBP_EPROTO if it said something else.
int umbp_talk_ask (umbp_talk_t *self, const char *address, umbp_msg_t *question,
                   const umbp_msg_t **answer);

//  Called once for each address; answer is NULL unless status is 0, and good for the call
typedef void (umbp_talk_fn) (void *arg, size_t index, int status, const umbp_msg_t *answer);

//  Ask many at once, under one deadline
void umbp_talk_ask_each (umbp_talk_t *self, const char *const *addresses, size_t count,
                         umbp_msg_t *question, umbp_talk_fn *fn, void *arg);

//  Why the last question that failed was refused, in the words of who refused it; may be empty
const char *umbp_talk_reason (const umbp_talk_t *self);

#endif
