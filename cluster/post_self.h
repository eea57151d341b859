//  cluster/post_self.h - a post from inside, shared by the files that make it up: post.c and post_requests.c. Nobody else
//  includes this.
#ifndef UMBP_POST_SELF_H
#define UMBP_POST_SELF_H

#include "cluster/bulk/spin.h"
#include "cluster/clients.h"
#include "cluster/doors.h"
#include "cluster/late.h"
#include "cluster/post.h"
#include "cluster/questions.h"

#define UMBP_POST_PEERS_MAX 32                    //  Local actors that one actor speaks to

typedef struct {
    char name[UMBP_NAME_MAX + 1];
    zsock_t *sock;                      //  DEALER
    void *handle;
    bool link;
} umbp_post_peer_t;

struct umbp_post {
    char instance[UMBP_TEXT_MAX], actor[UMBP_NAME_MAX + 1], node[UMBP_NAME_MAX + 1];
    zsock_t *inbox;
    void *inbox_handle;
    zloop_t *loop;
    void *shell, *owner;
    umbp_request_fn *request;
    umbp_closed_fn *closed;

    umbp_post_peer_t peers[UMBP_POST_PEERS_MAX];
    size_t peer_count;

    umbp_questions_t *questions;
    int sweep_timer;                    //  -1: not running
    umbp_late_t *late;                  //  NULL until there is one
    uint64_t ending;                    //  Question whose end without an answer is being told, 0: none
    void *ending_owner;
    umbp_clients_t *clients;

    umbp_doors_t *doors;                //  NULL: none

    umbp_spin_t spin;
    unsigned log_level;
    uint64_t next_call;                 //  0: none are given
    uint64_t call;                      //  Of the request that is being served, 0: none is
    umbp_post_stats_t stats;
    umbp_msg_t msg;                     //  What was decoded last
    uint8_t *wire;                      //  Room to encode a message
};

//  post.c
void umbp_post_log (const umbp_post_t *self, const char *what, const umbp_msg_t *msg);
void umbp_post_count_bytes (umbp_post_t *self, int size);
int umbp_post_send_frame (void *handle, const void *data, size_t size, int flags);
int umbp_post_send_body (void *handle, const void *wire, size_t size, const void *payload,
                         size_t payload_size);

//  post_requests.c: decode and hand over one request; what is malformed is refused here
void umbp_post_take_request (umbp_post_t *self, umbp_origin_t *origin, const void *data,
                             size_t size, const void *payload, size_t payload_size);

#endif
