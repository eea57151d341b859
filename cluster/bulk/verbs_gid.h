//  cluster/bulk/verbs_gid.h - which of a port's addresses (GIDs) to speak from, sizes of packets,
//  times. Pure functions.
#ifndef UMBP_VERBS_GID_H
#define UMBP_VERBS_GID_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { UMBP_GID_IB = 0, UMBP_GID_ROCE_V1 = 1, UMBP_GID_ROCE_V2 = 2 } umbp_gid_type_t;

typedef struct {
    uint32_t index, type;
    uint8_t gid[16];
} umbp_gid_t;

//  Choose: the one of an index if that is above 0, else RoCE v2 before InfiniBand before RoCE v1,
//  since only the first is routed; in each, IPv4 before global IPv6 before link-local; and of
//  equals the lowest index. Empty ones are never chosen. Returns its place in the list, or
//  UMBP_ENOENT if none will do.
int umbp_gid_choose (const umbp_gid_t *gids, size_t count, int index);

//  Write it as an address: 10.0.0.1 if it holds an IPv4 one, else as of IPv6. out has 46 bytes.
char *umbp_gid_print (const uint8_t gid[16], char *out, size_t size);

//  The largest size of packets, 256..4096 bytes, that all three allow; wanted 0 allows all. Returns
//  0 if there is none, or a size is no power of two from 256 to 4096.
uint32_t umbp_verbs_mtu (uint32_t wanted, uint32_t ours, uint32_t theirs);

//  The exponent of the time after which a request is sent again, such that `tries` of these take at
//  least silence_ms: 4.096 us * 2^n, n in 8..31
uint8_t umbp_verbs_timeout (uint32_t silence_ms, uint32_t tries);

#ifdef __cplusplus
}
#endif

#endif
