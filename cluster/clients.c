//  cluster/clients.c - how many requests each client has open at one actor. See clients.h.
#include "cluster/clients.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#define SHARES 4096                     //  Clients that may be told apart, less those that collide
#define FORGIVE_MS 60000                //  With all open and none answered for so long

typedef struct {
    uint32_t open;
    size_t bytes;
    int64_t ended_ms;                   //  When one was answered last, or the first one came
} share_t;

struct umbp_clients {
    uint32_t open_max;
    size_t bytes_max;
    uint64_t seed;                      //  So that nobody chooses with whom it falls together
    share_t shares[SHARES];
};

umbp_clients_t *umbp_clients_new (uint32_t open_max, size_t bytes_max)
{
    umbp_clients_t *self = calloc (1, sizeof (umbp_clients_t));
    assert (self);
    self->open_max = open_max;
    self->bytes_max = bytes_max;
    if (getrandom (&self->seed, sizeof self->seed, GRND_NONBLOCK) != sizeof self->seed)
        self->seed = (uint64_t) (uintptr_t) self;
    return self;
}

void umbp_clients_destroy (umbp_clients_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

static share_t *s_share (umbp_clients_t *self, const void *name, size_t size)
{
    return &self->shares[XXH3_64bits_withSeed (name, size, self->seed) % SHARES];
}

bool umbp_clients_begin (umbp_clients_t *self, const void *name, size_t size, size_t bytes,
                         int64_t now_ms)
{
    share_t *share = s_share (self, name, size);
    bool full = share->open >= self->open_max
                || (share->open > 0 && share->bytes + bytes > self->bytes_max);
    if (full && now_ms - share->ended_ms <= FORGIVE_MS)
        return false;
    if (full || share->open == 0)
        *share = (share_t) { .ended_ms = now_ms };
    share->open++;
    share->bytes += bytes;
    return true;
}

void umbp_clients_end (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms)
{
    share_t *share = s_share (self, name, size);
    if (share->open > 0) {
        share->bytes -= share->bytes / share->open;
        share->open--;
    }
    share->ended_ms = now_ms;
}
