//  cluster/discovery/seeds.c - a list of endpoints where nodes may be. See seeds.h.
#include "cluster/discovery/seeds.h"

#include "cluster/discovery/finder.h"
#include "cluster/endpoint.h"

#define WAIT_MIN_MS 1000
#define WAIT_MAX_MS 10000

typedef struct {
    umbp_finder_t *finder;
    char *list;
    const char *at;                     //  The rest of this round
    unsigned wait_ms;                   //  After this round
} self_t;

static int s_on_turn (zloop_t *loop, int timer, void *arg);

static void s_turn_in (self_t *self, zloop_t *loop, unsigned delay_ms)
{
    zloop_timer (loop, delay_ms, 1, s_on_turn, self);
}

//  One seed per turn, so that a slow name server keeps us from the pipe for one look-up only
static int s_on_turn (zloop_t *loop, int timer, void *arg)
{
    (void) timer;
    self_t *self = arg;
    umbp_text_t seed = umbp_endpoint_next (&self->at);
    if (seed.size > 0) {
        char name[UMBP_TEXT_MAX + 1], endpoint[UMBP_TEXT_MAX + 1];
        umbp_text_copy (seed, name, sizeof name);
        if (umbp_endpoint_resolve (name, endpoint, sizeof endpoint) == 0)
            umbp_finder_found (self->finder, endpoint);
        s_turn_in (self, loop, 0);
        return 0;
    }
    self->at = self->list;
    s_turn_in (self, loop, self->wait_ms);
    self->wait_ms = self->wait_ms * 2 < WAIT_MAX_MS ? self->wait_ms * 2 : WAIT_MAX_MS;
    return 0;
}

static void s_start (void *owner, zloop_t *loop)
{
    s_turn_in (owner, loop, 0);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    umbp_finder_destroy (&self->finder);
    free (self->list);
    freen (*self_p);
}

static bool s_is_list (const char *list)
{
    size_t count = 0;
    for (;;) {
        umbp_text_t seed = umbp_endpoint_next (&list);
        if (seed.size == 0)
            return count > 0;
        if (!umbp_endpoint_ok (seed))
            return false;
        count++;
    }
}

zactor_t *umbp_seeds_new (const umbp_seeds_args_t *args)
{
    if (!s_is_list (args->seeds)) {
        zsys_error ("seeds: not a list of tcp://host:port: '%s'", args->seeds);
        return NULL;
    }
    self_t *self = zmalloc (sizeof (self_t));
    self->finder = umbp_finder_new (args->instance, args->endpoint);
    self->list = strdup (args->seeds);
    self->at = self->list;
    self->wait_ms = WAIT_MIN_MS;
    return umbp_finder_actor (self, s_start, s_destroy);
}
