//  cluster/post.h - how one actor speaks: its inbox, its door, its questions and the answers to them.
//
//  Who is meant is said as an actor and a node; a local and a remote one are the same call. A message to an
//  actor of this node goes straight over inproc; one to another node goes to this node's link (link.h).
//  A client, through the door or over tcp, may have UMBP_CLIENT_OPEN_MAX requests open (clients.h); one more is
//  refused with UMBP_EAGAIN here, before the actor sees it, so that a flood takes no room from others.
//  Contract: each question ends exactly once, with its answer or, at its deadline at the latest, with
//  UMBP_EUNREACH (asked another node) or UMBP_ETIMEDOUT (asked this one). Nothing here ever waits.
//  A post belongs to one thread. Its sockets may be made in a constructor and then move to that thread.
#ifndef UMBP_POST_H
#define UMBP_POST_H

#include <czmq.h>

#include "cluster/latency.h"
#include "proto/message.h"

typedef struct umbp_post umbp_post_t;

//  Frames, as ZeroMQ carries them (a DEALER on the asking side, a ROUTER on the other):
//      to an actor           [origin][message][payload]    both ways
//      to a link             [address][origin][message][payload], and back with an empty address
//  The origin is the way back through links, a stack that only links read; it comes back as it was sent.
#define UMBP_ORIGIN_MAX 224
#define UMBP_ADDRESS_MAX (UMBP_NAME_MAX + 1 + UMBP_TEXT_MAX)

//  Where a request came from: all it takes to answer, now or later. May be copied.
typedef struct {
    uint64_t id;                        //  Of the request, 0: it wants no answer
    uint64_t door;                      //  Serial number of the door connection, 0: it came over ZeroMQ
    uint64_t call;                      //  Of which client request it is a part, 0: unknown
    int64_t taken_us;                   //  When it came, monotonic
    uint16_t type;                      //  What was asked
    bool counted;                       //  Among the open requests of its client
    uint8_t sender_size, origin_size;
    uint8_t sender[40];                 //  Routing id of the socket it came from
    uint8_t origin[UMBP_ORIGIN_MAX];
} umbp_origin_t;

//  A message as its receiver sees it; all of it is good for the call only
typedef struct {
    const umbp_msg_t *msg;
    const uint8_t *payload;
    size_t payload_size;
    const umbp_origin_t *origin;        //  NULL in answers
    int64_t expires;                    //  Monotonic ms at which the asker gives up; one that does not say, in 5 s
} umbp_mail_t;

//  Called with each request
typedef void (umbp_request_fn) (void *owner, const umbp_mail_t *mail);

//  Called once per question: status 0 and the answer; or an error, and mail is NULL if none came.
//  A status that the answer itself carries comes as status, with the mail.
typedef void (umbp_answer_fn) (void *owner, uint64_t tag, int status, const umbp_mail_t *mail);

//  Called when a client went away from the door, however it went
typedef void (umbp_closed_fn) (void *owner, uint64_t door);

//  An inbox under inproc for this actor of this instance (of a node: unique in the process). With door_path
//  also a UNIX socket there. Returns NULL if either cannot be bound.
umbp_post_t *umbp_post_new (const char *instance, const char *actor, const char *door_path);

void umbp_post_destroy (umbp_post_t **self_p);

//  From now on requests and closed doors go to these functions with shell, and answers to questions with owner.
//  The loop is the caller's and calls us.
void umbp_post_start (umbp_post_t *self, zloop_t *loop, void *shell, void *owner,
                      umbp_request_fn *request, umbp_closed_fn *closed);

//  The name of this node: a question to it is a local one
void umbp_post_set_node (umbp_post_t *self, const char *node);

//  Spin up to so long after the last message before the thread sleeps, as long as that pays (bulk/spin.h); 0 never
void umbp_post_set_spin (umbp_post_t *self, unsigned spin_us);

//  Requests that come without a call, and want an answer, get one from now on: from first, counting up. All that
//  is asked or told while a request is served carries its call, so that logs of all nodes can be put together;
//  what is asked later has to be given it: msg->call = origin->call.
void umbp_post_set_calls (umbp_post_t *self, uint64_t first);

//  Ask an actor; node NULL or our own is this node; an endpoint ("tcp://...") in place of a node is fine too.
//  The id and deadline of msg are set here. Returns 0, and fn is called later, exactly once; or UMBP_EAGAIN
//  (too many open questions or a full queue) or UMBP_ETOOBIG, and fn is not called.
int umbp_post_ask (umbp_post_t *self, const char *actor, const char *node, umbp_msg_t *msg,
                   const void *payload, size_t payload_size, uint32_t deadline_ms,
                   umbp_answer_fn *fn, uint64_t tag);

//  The same, for a part of the owner that takes its answers itself: fn is called with it in place of the owner
int umbp_post_ask_for (umbp_post_t *self, void *part, const char *actor, const char *node,
                       umbp_msg_t *msg, const void *payload, size_t payload_size,
                       uint32_t deadline_ms, umbp_answer_fn *fn, uint64_t tag);

//  To be called by an answer function whose question ended without an answer (mail is NULL), if an answer that comes
//  after all has to be undone. fn then is called with the same owner, once, if that is within 30 s and is no error. At
//  most 1024 are kept in mind, the oldest leaves first. actor and node: who was asked, node NULL is this one.
typedef void (umbp_late_fn) (void *owner, const char *actor, const char *node,
                             const umbp_mail_t *mail);
void umbp_post_expect_late (umbp_post_t *self, const char *actor, const char *node,
                            umbp_late_fn *fn);

//  Say it and expect no answer. Returns 0, UMBP_EAGAIN or UMBP_ETOOBIG.
int umbp_post_tell (umbp_post_t *self, const char *actor, const char *node, umbp_msg_t *msg);

//  Answer a request. A request without id is not answered, which is fine.
void umbp_post_answer (umbp_post_t *self, const umbp_origin_t *origin, umbp_msg_t *msg,
                       const void *payload, size_t payload_size);

//  Answer with nothing but a status
void umbp_post_answer_status (umbp_post_t *self, const umbp_origin_t *origin, int status);

//  Answer with refused: the status and why, as "field: what is wrong"
void umbp_post_refuse (umbp_post_t *self, const umbp_origin_t *origin, int status,
                       const char *field, const char *why);

//  Answer through a door and pass descriptors along; over ZeroMQ: refuses with UMBP_ENOTSUP
void umbp_post_answer_fds (umbp_post_t *self, const umbp_origin_t *origin, umbp_msg_t *msg,
                           const int *fds, size_t count);

//  What came, what went and what went wrong, since the start
typedef struct {
    uint64_t requests, answers, asked, timeouts;
    uint64_t bytes_max;                 //  Of the largest message that was sent, payload apart
    uint64_t malformed;                 //  Refused by the codec, or framed wrongly
    uint64_t lost;                      //  Answers that nobody was there to take
    uint64_t late;                      //  Answers that came too late, and were undone
    uint64_t crowded;                   //  Refused since their client had too many open
    uint64_t doors_open, doors_refused;
    uint64_t spin_us;                   //  CPU time for looking in vain, before sleeping
    uint64_t spins_paid, spins_vain;    //  Spins that a message ended; that none did
    uint64_t spin_rests;                //  Spins given up since others wanted the core
    uint64_t errors[1 - UMBP_ERR_LAST]; //  Answers given, by -status
    uint64_t received[UMBP_MSG_LAST];   //  Requests that were understood, by type
    umbp_latency_t latency;             //  Answers that were given to them
} umbp_post_stats_t;

const umbp_post_stats_t *umbp_post_stats (umbp_post_t *self);

//  Log every message when above 2
void umbp_post_set_log (umbp_post_t *self, unsigned level);

//  Where an actor of an instance has its inbox. Returns out.
char *umbp_post_inproc (const char *instance, const char *actor, char *out, size_t size);

#endif
