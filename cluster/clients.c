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
    int64_t ended_ms;                   //  When one was answered last, or the first one came
} share_t;

struct umbp_clients {
    uint64_t seed;                      //  So that nobody chooses with whom it falls together
    share_t shares[SHARES];
};

umbp_clients_t *umbp_clients_new (void)
{
    umbp_clients_t *self = calloc (1, sizeof (umbp_clients_t));
    assert (self);
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

bool umbp_clients_begin (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms)
{
    share_t *share = s_share (self, name, size);
    if (share->open >= UMBP_CLIENT_OPEN_MAX && now_ms - share->ended_ms <= FORGIVE_MS)
        return false;
    if (share->open == 0 || share->open >= UMBP_CLIENT_OPEN_MAX) {
        share->open = 0;
        share->ended_ms = now_ms;
    }
    share->open++;
    return true;
}

void umbp_clients_end (umbp_clients_t *self, const void *name, size_t size, int64_t now_ms)
{
    share_t *share = s_share (self, name, size);
    share->open -= share->open > 0;
    share->ended_ms = now_ms;
}
