//  cluster/bulk/pairs.h - the queue pairs of one end of an RDMA link as columns of a message: join and
//  join_ok have the same ones. Pure functions.
#ifndef UMBP_PAIRS_H
#define UMBP_PAIRS_H

#include "cluster/bulk/verbs.h"
#include "proto/types.h"

#ifdef __cplusplus
extern "C" {
#endif

//  The columns, one row for each queue pair
typedef struct {
    umbp_u32s_t numbers, psns;
    umbp_u16s_t lids, mtus;
    umbp_u8s_t reads, devices;
    umbp_bytes_t gids;                  //  16 bytes each
} umbp_pairs_t;

//  From and into a join or join_ok
#define UMBP_PAIRS_OF(m)                                                                           \
    ((umbp_pairs_t) { (m)->numbers, (m)->psns, (m)->lids, (m)->mtus, (m)->reads, (m)->devices,     \
                      (m)->gids })
#define UMBP_PAIRS_INTO(m, pairs)                                                                  \
    ((m)->numbers = (pairs).numbers, (m)->psns = (pairs).psns, (m)->lids = (pairs).lids,           \
     (m)->mtus = (pairs).mtus, (m)->reads = (pairs).reads, (m)->devices = (pairs).devices,         \
     (m)->gids = (pairs).gids)

//  Memory for columns that are to be sent
typedef struct {
    uint32_t numbers[UMBP_VERBS_QUEUES_MAX], psns[UMBP_VERBS_QUEUES_MAX];
    uint16_t lids[UMBP_VERBS_QUEUES_MAX], mtus[UMBP_VERBS_QUEUES_MAX];
    uint8_t reads[UMBP_VERBS_QUEUES_MAX], devices[UMBP_VERBS_QUEUES_MAX];
    uint8_t gids[16 * UMBP_VERBS_QUEUES_MAX];
} umbp_pairs_room_t;

//  Columns that lie in room
umbp_pairs_t umbp_pairs_write (const umbp_verbs_description_t *from, umbp_pairs_room_t *room);

//  Returns false if the columns do not fit each other, or have no row or too many. What they say is
//  looked at by link_connect.
bool umbp_pairs_read (const umbp_pairs_t *self, umbp_verbs_description_t *to);

#ifdef __cplusplus
}
#endif

#endif
