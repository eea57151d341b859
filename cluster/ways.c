//  cluster/ways.c - the sockets of a link to others, by endpoint. See ways.h for the contract.
#include "cluster/ways.h"

#define STRANGERS_MAX 64                //  Ways to endpoints of no member
#define STRANGER_IDLE_MS 30000          //  They are closed when nobody used them for so long
#define REDIAL_MS 5000                  //  A secure way that is silent for so long is made anew

struct umbp_ways {
    zhashx_t *table;                    //  By endpoint, umbp_way_t
    size_t strangers;                   //  Of that kind
    umbp_curve_t curve;                 //  Our own keys; off: all are plain
    umbp_keyring_t *const *keys_p;
    zloop_t *loop;
    zloop_reader_fn *heard;
    void *owner;
    uint64_t unnamed;
};

static void s_free (void **item)
{
    umbp_way_t *way = *item;
    zsock_destroy (&way->sock);
    free (way);
    *item = NULL;
}

umbp_ways_t *umbp_ways_new (void)
{
    umbp_ways_t *self = zmalloc (sizeof (umbp_ways_t));
    self->table = zhashx_new ();
    zhashx_set_destructor (self->table, s_free);
    return self;
}

void umbp_ways_destroy (umbp_ways_t **self_p)
{
    umbp_ways_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy (&self->table);
    memset (&self->curve, 0, sizeof self->curve);
    freen (*self_p);
}

void umbp_ways_secure (umbp_ways_t *self, const umbp_curve_t *curve, umbp_keyring_t *const *keys_p)
{
    self->curve = *curve;
    self->keys_p = keys_p;
}

uint64_t umbp_ways_unnamed (const umbp_ways_t *self)
{
    return self->unnamed;
}

static void s_drop (umbp_ways_t *self, umbp_way_t *way)
{
    self->strangers -= way->kind == UMBP_WAY_STRANGER;
    zloop_reader_end (self->loop, way->sock);
    zhashx_delete (self->table, way->endpoint);
}

//  The stranger that nobody used for the longest time
static umbp_way_t *s_oldest_stranger (umbp_ways_t *self)
{
    umbp_way_t *oldest = NULL;
    for (umbp_way_t *way = zhashx_first (self->table); way; way = zhashx_next (self->table))
        if (way->kind == UMBP_WAY_STRANGER && (!oldest || way->used < oldest->used))
            oldest = way;
    return oldest;
}

static int s_on_sweep (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    umbp_ways_t *self = arg;
    umbp_way_t *way;
    while ((way = s_oldest_stranger (self)) && zclock_mono () - way->used > STRANGER_IDLE_MS)
        s_drop (self, way);
    return 0;
}

void umbp_ways_start (umbp_ways_t *self, zloop_t *loop, zloop_reader_fn *heard, void *owner)
{
    self->loop = loop;
    self->heard = heard;
    self->owner = owner;
    zloop_timer (loop, STRANGER_IDLE_MS / 4, 0, s_on_sweep, self);
}

//  ZeroMQ dials no more once it was refused for its key, though the other end may know it by now
static bool s_is_stuck (const umbp_ways_t *self, const umbp_way_t *way)
{
    return self->curve.on && way->kind != UMBP_WAY_ACTOR && way->asked != 0
           && zclock_mono () - way->asked > REDIAL_MS;
}

//  The keys for an endpoint. Returns false if no certificate is for it: then nobody is dialled.
static bool s_keys_for (const umbp_ways_t *self, const char *endpoint, umbp_curve_t *curve)
{
    *curve = self->curve;
    const umbp_pass_t *pass = umbp_keyring_at (*self->keys_p, endpoint);
    if (pass)
        memcpy (curve->server_key, pass->cert.public_key, UMBP_CURVE_KEY);
    return pass != NULL;
}

static umbp_way_t *s_new (umbp_ways_t *self, const char *endpoint, umbp_way_kind_t kind)
{
    umbp_curve_t curve = { 0 };
    if (self->curve.on && kind != UMBP_WAY_ACTOR && !s_keys_for (self, endpoint, &curve)) {
        self->unnamed++;
        return NULL;
    }
    if (kind == UMBP_WAY_STRANGER && self->strangers == STRANGERS_MAX)
        s_drop (self, s_oldest_stranger (self));
    zsock_t *sock = umbp_link_dealer ();
    if (!umbp_curve_apply (&curve, zsock_resolve (sock))
        || zsock_connect (sock, "%s", endpoint) == -1) {
        zsock_destroy (&sock);
        return NULL;
    }
    umbp_way_t *way = zmalloc (sizeof (umbp_way_t));
    way->owner = self->owner;
    way->sock = sock;
    way->handle = zsock_resolve (sock);
    way->kind = kind;
    memcpy (way->server_key, curve.server_key, UMBP_CURVE_KEY);
    snprintf (way->endpoint, sizeof way->endpoint, "%s", endpoint);
    self->strangers += kind == UMBP_WAY_STRANGER;
    zhashx_insert (self->table, endpoint, way);
    zloop_reader (self->loop, sock, self->heard, way);
    return way;
}

umbp_way_t *umbp_ways_to (umbp_ways_t *self, const char *endpoint, umbp_way_kind_t kind)
{
    umbp_way_t *way = zhashx_lookup (self->table, endpoint);
    if (way && s_is_stuck (self, way)) {
        s_drop (self, way);
        way = NULL;
    }
    if (!way)
        way = s_new (self, endpoint, kind);
    if (!way)
        return NULL;
    way->used = zclock_mono ();
    if (way->asked == 0)
        way->asked = way->used;
    return way;
}

void umbp_ways_sort (umbp_ways_t *self, zhashx_t *before, zhashx_t *now)
{
    for (const char *old = zhashx_first (before); old; old = zhashx_next (before)) {
        umbp_way_t *way = zhashx_lookup (self->table, old);
        if (way && way->kind == UMBP_WAY_MEMBER)
            way->member = false;
    }
    for (const char *at = zhashx_first (now); at; at = zhashx_next (now)) {
        umbp_way_t *way = zhashx_lookup (self->table, at);
        if (!way)
            continue;
        self->strangers -= way->kind == UMBP_WAY_STRANGER;
        way->kind = UMBP_WAY_MEMBER;
        way->member = true;
    }
    for (const char *old = zhashx_first (before); old; old = zhashx_next (before)) {
        umbp_way_t *way = zhashx_lookup (self->table, old);
        if (way && way->kind == UMBP_WAY_MEMBER && !way->member)
            s_drop (self, way);
    }
}

//  The first way to another node that leads to a key that is not good for that endpoint any more
static umbp_way_t *s_outdated (umbp_ways_t *self)
{
    umbp_curve_t curve;
    for (umbp_way_t *way = zhashx_first (self->table); way; way = zhashx_next (self->table))
        if (way->kind != UMBP_WAY_ACTOR
            && (!s_keys_for (self, way->endpoint, &curve)
                || memcmp (curve.server_key, way->server_key, UMBP_CURVE_KEY) != 0))
            return way;
    return NULL;
}

void umbp_ways_renew (umbp_ways_t *self)
{
    for (umbp_way_t *way = s_outdated (self); way; way = s_outdated (self))
        s_drop (self, way);
}

void umbp_ways_linger (umbp_ways_t *self, int linger_ms)
{
    for (umbp_way_t *way = zhashx_first (self->table); way; way = zhashx_next (self->table))
        if (way->kind != UMBP_WAY_ACTOR)
            zsock_set_linger (way->sock, linger_ms);
}
