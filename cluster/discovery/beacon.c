//  cluster/discovery/beacon.c - nodes found by UDP broadcast. See beacon.h.
#include "cluster/discovery/beacon.h"

#include <xxhash.h>

#include "cluster/discovery/finder.h"
#include "cluster/endpoint.h"

#define HEAD_SIZE 13                    //  Magic, version, hash of the cluster's name
#define BEACON_MAX 255                  //  What zbeacon can carry
#define SCHEME "tcp://"
#define DRAIN_MAX 64

typedef struct {
    umbp_finder_t *finder;
    zactor_t *beacon;
    byte head[HEAD_SIZE];
} self_t;

static void s_write_head (byte *head, const char *cluster)
{
    static const byte magic[] = { 'U', 'M', 'B', 'P', UMBP_BEACON_VERSION };
    uint64_t hash = XXH3_64bits (cluster, strlen (cluster));
    memcpy (head, magic, sizeof magic);
    for (int index = 0; index < 8; index++)
        head[5 + index] = (byte) (hash >> (56 - 8 * index));
}

//  zbeacon lets pass only what begins with our own head, but a beacon may be shorter or broken
static void s_hear (self_t *self, zframe_t *frame)
{
    char endpoint[sizeof SCHEME + BEACON_MAX] = SCHEME;
    size_t size = zframe_size (frame);
    if (size <= HEAD_SIZE || size > BEACON_MAX
        || memcmp (zframe_data (frame), self->head, HEAD_SIZE) != 0)
        return;
    memcpy (endpoint + strlen (SCHEME), zframe_data (frame) + HEAD_SIZE, size - HEAD_SIZE);
    if (strlen (endpoint) == strlen (SCHEME) + size - HEAD_SIZE)
        umbp_finder_found (self->finder, endpoint);
}

static int s_on_beacon (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    self_t *self = arg;
    for (int budget = DRAIN_MAX; budget > 0 && zsock_events (sock) & ZMQ_POLLIN; budget--) {
        zmsg_t *msg = zmsg_recv (sock);
        if (!msg)
            break;
        zframe_t *frame = zmsg_last (msg);      //  Behind the address it came from
        if (frame && zmsg_size (msg) == 2)
            s_hear (self, frame);
        zmsg_destroy (&msg);
    }
    return 0;
}

static void s_start (void *owner, zloop_t *loop)
{
    self_t *self = owner;
    zloop_reader (loop, zactor_sock (self->beacon), s_on_beacon, self);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    zactor_destroy (&self->beacon);
    umbp_finder_destroy (&self->finder);
    freen (*self_p);
}

//  Returns false if there is no interface to shout on
static bool s_configure (zactor_t *beacon, const umbp_beacon_args_t *args)
{
    zsock_set_rcvtimeo (beacon, 5000);
    zsock_send (beacon, "si", "CONFIGURE", (int) args->port);
    char *host = zstr_recv (beacon);
    bool fine = host && *host;
    zstr_free (&host);
    return fine;
}

zactor_t *umbp_beacon_new (const umbp_beacon_args_t *args)
{
    byte shout[BEACON_MAX];
    if (!umbp_endpoint_ok (umbp_text (args->endpoint))
        || strlen (args->endpoint) - strlen (SCHEME) > BEACON_MAX - HEAD_SIZE || args->port == 0
        || args->port > 65535) {
        zsys_error ("beacon: port must be 1 to 65535 and endpoint a short tcp://host:port: %s",
                    args->endpoint);
        return NULL;
    }
    umbp_text_t where = umbp_text (args->endpoint + strlen (SCHEME));
    s_write_head (shout, args->cluster);
    memcpy (shout + HEAD_SIZE, where.data, where.size);

    const char *interface = args->interface ? args->interface : "";
    if (strneq (zsys_interface (), interface))
        zsys_set_interface (interface); //  Other beacons read it at any time, so never without need
    zactor_t *beacon = zactor_new (zbeacon, NULL);
    if (!s_configure (beacon, args)) {
        zsys_error ("beacon: cannot broadcast on interface '%s'", interface);
        zactor_destroy (&beacon);
        return NULL;
    }
    zsock_send (beacon, "sb", "SUBSCRIBE", shout, (size_t) HEAD_SIZE);
    zsock_send (beacon, "sbi", "PUBLISH", shout, (size_t) HEAD_SIZE + where.size,
                args->interval_ms ? (int) args->interval_ms : 1000);
    self_t *self = zmalloc (sizeof (self_t));
    memcpy (self->head, shout, HEAD_SIZE);
    self->beacon = beacon;
    self->finder = umbp_finder_new (args->instance, args->endpoint);
    return umbp_finder_actor (self, s_start, s_destroy);
}
