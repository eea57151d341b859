//  cluster/bulk/verbs_gid.c - addresses of a port, sizes of packets. See verbs_gid.h.
#include "cluster/bulk/verbs_gid.h"

#include "proto/error.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

static const uint8_t s_mapped[12] = { [10] = 0xff, [11] = 0xff };       //  ::ffff:a.b.c.d

//  Higher is better, 0 will not do
static int s_rank (const umbp_gid_t *self)
{
    static const uint8_t none[16];
    static const int types[] = {
        [UMBP_GID_IB] = 20, [UMBP_GID_ROCE_V1] = 10, [UMBP_GID_ROCE_V2] = 30,
    };
    if (self->type > UMBP_GID_ROCE_V2 || !memcmp (self->gid + 8, none, 8))
        return 0;
    bool local = self->gid[0] == 0xfe && (self->gid[1] & 0xc0) == 0x80;
    int family = !memcmp (self->gid, s_mapped, sizeof s_mapped) ? 3 : local ? 1 : 2;
    return types[self->type] + family;
}

int umbp_gid_choose (const umbp_gid_t *gids, size_t count, int index)
{
    int best = UMBP_ENOENT, best_rank = 0;
    for (size_t at = 0; at < count; at++) {
        int rank = s_rank (&gids[at]);
        if (index > 0 && gids[at].index != (uint32_t) index)
            continue;
        if (rank > best_rank || (rank && rank == best_rank && gids[at].index < gids[best].index)) {
            best = (int) at;
            best_rank = rank;
        }
    }
    return best;
}

char *umbp_gid_print (const uint8_t gid[16], char *out, size_t size)
{
    bool four = !memcmp (gid, s_mapped, sizeof s_mapped);
    if (!inet_ntop (four ? AF_INET : AF_INET6, four ? gid + 12 : gid, out, (socklen_t) size)
        && size)
        out[0] = 0;
    return out;
}

uint32_t umbp_verbs_mtu (uint32_t wanted, uint32_t ours, uint32_t theirs)
{
    uint32_t sizes[] = { wanted ? wanted : 4096, ours, theirs }, least = 4096;
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        uint32_t size = sizes[index];
        if (size < 256 || size > 4096 || (size & (size - 1)))
            return 0;
        least = size < least ? size : least;
    }
    return least;
}

uint8_t umbp_verbs_timeout (uint32_t silence_ms, uint32_t tries)
{
    uint8_t exponent = 8;
    while (exponent < 31 && (UINT64_C (4096) << exponent) * tries < silence_ms * UINT64_C (1000000))
        exponent++;
    return exponent;
}
