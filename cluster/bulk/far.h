//  cluster/bulk/far.h - blocks of other nodes by RDMA, as whoever reads or writes them sees it: links of
//  one session to nodes. The owner's end is actors/verbs_links.h.
//
//  A link is made (join) when much is first read or written at a node, and kept. A lease or slot is
//  opened to it (expose), moved by the devices without that node's processor, and closed: what was read
//  with the lease, or at once, what was written before its commit (conceal), or the node ends the link.
//
//  For one thread at a time. Messages are the owner's business (ops). Calls block, until their deadline.
#ifndef UMBP_FAR_H
#define UMBP_FAR_H

#include "cluster/bulk/tcp_client.h"    //  umbp_bulk_io_t
#include "cluster/bulk/verbs.h"
#include "proto/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_FAR_PEERS_MAX 64           //  Nodes with a link; of more, the one without use longest goes

typedef struct umbp_far umbp_far_t;

typedef struct {
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;                //  Borrowed
    //  Ask the verbs actor of a node. Returns 0 and the answer, of that type and good until the next
    //  call; or an error: UMBP_EUNREACH and UMBP_ENOTSUP mean that the node has no such actor.
    int (*ask) (void *arg, const char *node, umbp_msg_t *msg, int expected, int64_t deadline_ms,
                const umbp_msg_t **answer_p);
    //  Say it, and expect no answer. What is said later comes later.
    void (*tell) (void *arg, const char *node, umbp_msg_t *msg);
    void *arg;
} umbp_far_ops_t;

umbp_far_t *umbp_far_new (const umbp_far_ops_t *ops);

//  Ends all links, and tells nobody: the other ends find that out. drop tells them, and goes on.
void umbp_far_destroy (umbp_far_t **self_p);
void umbp_far_drop (umbp_far_t *self);

//  In a forked child: memory alone
void umbp_far_forget (umbp_far_t **self_p);

//  How to move
typedef struct {
    const char *node;
    uint64_t session;                   //  Of ours there, to which slots and leases belong
    bool write;
    bool again;                         //  These leases are read once more later: close them now
    int64_t deadline_ms;                //  Of the transfers
    int64_t end_ms;                     //  And for the node to hear that they are over
} umbp_far_way_t;

//  Move what can be moved. Each item that was gets status 0 and, if wanted, its sum; all others keep
//  the status that they had. Returns how many were moved. Nothing of the others is under way any more
//  when it returns, here and there, or their slot can not be committed.
size_t umbp_far_move (umbp_far_t *self, const umbp_far_way_t *way, umbp_bulk_io_t *ios,
                      size_t count, int *statuses);

//  Links made so far
uint64_t umbp_far_joined (const umbp_far_t *self);

#ifdef __cplusplus
}
#endif

#endif
