//  actors/gate.c - who may connect to this node. See gate.h for the contract.
#include "actors/gate.h"

#include <netdb.h>
#include <sys/socket.h>

#include "cluster/link.h"
#include "cluster/quotas.h"
#include "cluster/topology.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"   //  As RFC 27 has it
#define ZAP_FRAMES 7                    //  Version, id, domain, address, routing id, mechanism, key
#define ZAP_ROOM 256                    //  Bytes of each that we look at
#define TICK_MS 1000                    //  How soon a changed folder is noticed
#define FOLDER_MAX 512
#define SAID_MAX 64                     //  Refusals that were logged lately
#define SAID_MS 60000                   //  ... and for so long are only counted
#define SOCKS_MAX 4096                  //  Descriptors whose other ends we can name
#define DRAIN_MAX 64

typedef struct {
    uint64_t what;
    int64_t until;
} said_t;

typedef struct {
    void *zap, *events;                 //  REP, PAIR
    zsock_t *link;                      //  PAIR
    umbp_pass_t own;
    char nodes[FOLDER_MAX], clients[FOLDER_MAX], tenants[FOLDER_MAX];
    umbp_post_t *post;
    uint64_t quota_stamp;               //  Of the file of quotas, when it was read
    uint64_t stamps[2];                 //  Of the folders when they were read
    umbp_keyring_t *keys;
    umbp_link_report_t report;          //  The last of the link
    said_t said[SAID_MAX];
    char (*peers)[NI_MAXHOST];          //  Of each descriptor, address and port
    char failure[128];                  //  Of a handshake whose connection ends next
    uint64_t accepted, let_in_nodes, let_in_clients, refused_key, refused_handshake, rereads,
        bad_files;
} self_t;

//  ------------------------------------------------------------------------------------------------
//  Telling people

//  What a peer can repeat is logged once a minute, and no more lines in that time than the table
//  has rows, however many keys he tries. Returns whether it is news.
static bool s_is_news (self_t *self, const char *text)
{
    uint64_t what = 14695981039346656037u;
    for (const char *at = text; *at; at++)
        what = (what ^ (uint8_t) *at) * 1099511628211u;
    int64_t now = zclock_mono ();
    said_t *oldest = self->said;
    for (size_t index = 0; index < SAID_MAX; index++) {
        said_t *said = &self->said[index];
        if (said->what == what && said->until > now)
            return false;
        if (said->until < oldest->until)
            oldest = said;
    }
    if (oldest->until > now)
        return false;
    *oldest = (said_t){ what, now + SAID_MS };
    return true;
}

static void s_log_refused (self_t *self, const char *who, const char *why)
{
    char line[512];
    snprintf (line, sizeof line, "gate: refused %s: %s", who, why);
    if (s_is_news (self, line))
        zsys_warning ("%s", line);
}

//  ------------------------------------------------------------------------------------------------
//  Keys

umbp_keyring_t *umbp_gate_read (const umbp_pass_t *own, const char *nodes, const char *clients,
                                char *why, size_t size)
{
    umbp_keyring_t *keys = umbp_keyring_new ();
    umbp_keyring_add (keys, own);
    int rc = *nodes ? umbp_keyring_add_folder (keys, nodes, UMBP_PASS_NODE, why, size) : 0;
    if (rc >= 0 && *clients)
        rc = umbp_keyring_add_folder (keys, clients, UMBP_PASS_CLIENT, why, size);
    if (rc < 0)
        umbp_keyring_destroy (&keys);
    return keys;
}

static void s_stamp (const self_t *self, uint64_t *stamps)
{
    stamps[0] = umbp_keyring_stamp (self->nodes);
    stamps[1] = umbp_keyring_stamp (self->clients);
}

static void s_tell_link (self_t *self)
{
    size_t count;
    const umbp_pass_t *passes = umbp_keyring_passes (self->keys, &count);
    zmq_send (zsock_resolve (self->link), passes, count * sizeof *passes, ZMQ_DONTWAIT);
}

//  Returns false if it cannot be read; then what was known stays
static bool s_read (self_t *self)
{
    char why[1280] = "";
    s_stamp (self, self->stamps);       //  First: what changes while we read is read again
    umbp_keyring_t *keys = umbp_gate_read (&self->own, self->nodes, self->clients, why, sizeof why);
    if (*why) {
        self->bad_files++;
        zsys_warning ("gate: %s%s", why, keys ? "" : "; who was good before stays so");
    }
    if (!keys)
        return false;
    umbp_keyring_destroy (&self->keys);
    self->keys = keys;
    return true;
}

//  Tell the tier what its tenants may use from now on. Returns false if the queue is full.
static bool s_tell_quotas (self_t *self, const umbp_quotas_t *quotas)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_quotas, 0);
    uint8_t names[UMBP_TENANTS_MAX * UMBP_NAME_MAX];
    uint16_t sizes[UMBP_TENANTS_MAX];
    uint64_t limits[UMBP_TENANTS_MAX];
    uint8_t qos[UMBP_TENANTS_MAX];
    umbp_column_t column = { names, sizes, 0, 0 };
    const char *name;
    while ((name = umbp_quotas_at (quotas, column.count, UMBP_TIER_DRAM, &limits[column.count]))) {
        size_t size = strlen (name);
        qos[column.count] = (uint8_t) umbp_quotas_qos (quotas, umbp_text (name));
        memcpy (names + column.size, name, size);
        column.size += (uint32_t) size;
        sizes[column.count++] = (uint16_t) size;
        if (column.count == UMBP_TENANTS_MAX)
            break;
    }
    msg.quotas.names = column;
    msg.quotas.limits = (umbp_u64s_t) { limits, column.count };
    msg.quotas.qos = (umbp_u8s_t) { qos, column.count };
    return umbp_post_tell (self->post, "tier:dram", NULL, &msg) == 0;
}

static void s_look_at_quotas (self_t *self)
{
    char why[768] = "";
    uint64_t stamp = umbp_quotas_stamp (self->tenants);
    if (stamp == self->quota_stamp)
        return;
    umbp_quotas_t *quotas = umbp_quotas_read (self->tenants, why, sizeof why);
    if (!quotas) {
        self->bad_files++;
        self->quota_stamp = stamp;
        zsys_warning ("gate: %s; the quotas from before stay", why);
        return;
    }
    if (s_tell_quotas (self, quotas)) { //  Else at the next tick
        self->quota_stamp = stamp;
        self->rereads++;
        zsys_info ("gate: quotas read again: %s", self->tenants);
    }
    umbp_quotas_destroy (&quotas);
}

static void s_tick (void *owner)
{
    self_t *self = owner;
    uint64_t stamps[2];
    if (*self->tenants)
        s_look_at_quotas (self);
    s_stamp (self, stamps);
    if (memcmp (stamps, self->stamps, sizeof stamps) == 0 || !s_read (self))
        return;
    size_t count;
    umbp_keyring_passes (self->keys, &count);
    self->rereads++;
    zsys_info ("gate: certificates read again count=%zu", count);
    s_tell_link (self);
}

//  ------------------------------------------------------------------------------------------------
//  Questions of ZeroMQ: may this key connect?

typedef struct {
    char text[ZAP_FRAMES][ZAP_ROOM];
    int sizes[ZAP_FRAMES];
    int count;
} zap_t;

//  Returns false if nothing waits
static bool s_zap_receive (void *sock, zap_t *zap)
{
    *zap = (zap_t){ 0 };
    for (bool more = true; more; zap->count++) {
        char spare[ZAP_ROOM];
        bool fits = zap->count < ZAP_FRAMES;
        int size =
            zmq_recv (sock, fits ? zap->text[zap->count] : spare, ZAP_ROOM - 1, ZMQ_DONTWAIT);
        if (size == -1)
            return false;
        if (fits)
            zap->sizes[zap->count] = size < ZAP_ROOM ? size : ZAP_ROOM - 1;
        int flag = 0;
        size_t flag_size = sizeof flag;
        zmq_getsockopt (sock, ZMQ_RCVMORE, &flag, &flag_size);
        more = flag;
    }
    return true;
}

static void s_zap_answer (void *sock, const zap_t *zap, const char *status, const char *text,
                          const char *user)
{
    zmq_send (sock, zap->text[0], (size_t) zap->sizes[0], ZMQ_SNDMORE);
    zmq_send (sock, zap->text[1], (size_t) zap->sizes[1], ZMQ_SNDMORE);
    zmq_send (sock, status, strlen (status), ZMQ_SNDMORE);
    zmq_send (sock, text, strlen (text), ZMQ_SNDMORE);
    zmq_send (sock, user, strlen (user), ZMQ_SNDMORE);
    zmq_send (sock, "", 0, 0);
}

//  The key itself is the user: its link looks up whose it is with each message
static void s_judge (self_t *self, const zap_t *zap)
{
    const uint8_t *key = (const uint8_t *) zap->text[6];
    char user[UMBP_CURVE_TEXT] = "?", who[256];
    bool curve = zap->count == ZAP_FRAMES && streq (zap->text[0], "1.0")
                 && streq (zap->text[5], "CURVE") && zap->sizes[6] == UMBP_CURVE_KEY;
    const umbp_pass_t *pass = curve ? umbp_keyring_find (self->keys, key) : NULL;
    if (curve)
        umbp_curve_text (key, user);
    if (pass) {
        self->let_in_nodes += pass->role == UMBP_PASS_NODE;
        self->let_in_clients += pass->role == UMBP_PASS_CLIENT;
        s_zap_answer (self->zap, zap, "200", "OK", user);
        return;
    }
    self->refused_key++;
    snprintf (who, sizeof who, "address=%.80s key=%s", zap->text[3], user);
    s_log_refused (self, who, "its certificate is neither in security/nodes nor security/clients");
    s_zap_answer (self->zap, zap, "400", "unknown certificate", "");
}

static int s_on_zap (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    (void) item;
    self_t *self = arg;
    zap_t zap;
    for (int budget = DRAIN_MAX; budget > 0 && s_zap_receive (self->zap, &zap); budget--)
        s_judge (self, &zap);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  What becomes of connections. Somebody without keys, or with the wrong one for us, fails before
//  ZeroMQ asks; his address is known by the descriptor alone. Who does not even speak ZeroMQ is cut
//  off by it without a word: there is only one more that was accepted.

static void s_name_peer (self_t *self, uint32_t fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    if (fd >= SOCKS_MAX)
        return;
    self->peers[fd][0] = 0;
    if (getpeername ((int) fd, (struct sockaddr *) &address, &size) == 0
        && getnameinfo ((struct sockaddr *) &address, size, host, sizeof host, port, sizeof port,
                        NI_NUMERICHOST | NI_NUMERICSERV)
               == 0)
        snprintf (self->peers[fd], sizeof self->peers[fd], "%.200s", host);
}

static const char *s_failure (uint16_t event, uint32_t value)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        return "it does not speak CURVE, or went away";
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
        return "it expects another key here: compare its server certificate with ours";
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return "it has no certificate";
    return "it does not speak CURVE";
}

static void s_happened (self_t *self, uint16_t event, uint32_t value)
{
    char who[NI_MAXHOST + 16];
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        self->accepted++;
        s_name_peer (self, value);
        return;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        self->refused_handshake++;
        snprintf (self->failure, sizeof self->failure, "%s", s_failure (event, value));
        return;
    default: break;
    }
    //  A connection ended; if its handshake failed, that was said just before
    const char *peer = value < SOCKS_MAX && self->peers[value][0] ? self->peers[value] : "?";
    snprintf (who, sizeof who, "address=%s", peer);
    if (*self->failure)
        s_log_refused (self, who, self->failure);
    self->failure[0] = 0;
}

//  Two frames: event and value, and the endpoint, which is always ours
static int s_on_events (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    self_t *self = arg;
    uint8_t head[8];
    char endpoint[8];
    for (int budget = DRAIN_MAX; budget > 0; budget--) {
        int size = zmq_recv (item->socket, head, sizeof head, ZMQ_DONTWAIT);
        if (size == -1)
            break;
        zmq_recv (item->socket, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
        uint16_t event;
        uint32_t value;
        memcpy (&event, head, sizeof event);
        memcpy (&value, head + 2, sizeof value);
        if (size == 6)
            s_happened (self, event, value);
    }
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  What only the link sees

static int s_on_link (zloop_t *loop, zsock_t *sock, void *arg)
{
    (void) loop;
    self_t *self = arg;
    umbp_link_report_t report;
    char who[64], key[UMBP_CURVE_TEXT];
    while (zmq_recv (zsock_resolve (sock), &report, sizeof report, ZMQ_DONTWAIT)
           == (int) sizeof report) {
        if (report.removed > self->report.removed) {
            snprintf (who, sizeof who, "key=%s", umbp_curve_text (report.removed_key, key));
            s_log_refused (self, who, "its certificate was taken away while it was connected");
        }
        self->report = report;
    }
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  Life

static const umbp_op_t s_ops[] = { { 0, NULL } };

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    self_t *self = owner;
    self->post = post;
    zmq_pollitem_t zap = { .socket = self->zap, .events = ZMQ_POLLIN };
    zmq_pollitem_t events = { .socket = self->events, .events = ZMQ_POLLIN };
    zloop_poller (loop, &zap, s_on_zap, self);
    zloop_poller (loop, &events, s_on_events, self);
    zloop_reader (loop, self->link, s_on_link, self);
}

static void s_stat (void *owner, umbp_gauges_t *stats)
{
    const self_t *self = owner;
    size_t count, nodes = 0;
    const umbp_pass_t *passes = umbp_keyring_passes (self->keys, &count);
    for (size_t index = 0; index < count; index++)
        nodes += passes[index].role == UMBP_PASS_NODE;
    umbp_gauges_add (stats, "nodes", nodes);
    umbp_gauges_add (stats, "clients", count - nodes);
    umbp_gauges_add (stats, "accepted", self->accepted);
    umbp_gauges_add (stats, "let_in_nodes", self->let_in_nodes);
    umbp_gauges_add (stats, "let_in_clients", self->let_in_clients);
    umbp_gauges_add (stats, "refused_key", self->refused_key);
    umbp_gauges_add (stats, "refused_handshake", self->refused_handshake);
    umbp_gauges_add (stats, "refused_removed", self->report.removed);
    umbp_gauges_add (stats, "unnamed_endpoints", self->report.unnamed);
    umbp_gauges_add (stats, "rereads", self->rereads);
    umbp_gauges_add (stats, "bad_files", self->bad_files);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    if (self->zap)
        zmq_close (self->zap);
    if (self->events)
        zmq_close (self->events);
    zsock_destroy (&self->link);
    umbp_keyring_destroy (&self->keys);
    free (self->peers);
    freen (*self_p);
}

static bool s_open (self_t *self, const umbp_gate_args_t *args)
{
    char inproc[2 * UMBP_TEXT_MAX];
    int none = 0;
    self->zap = zmq_socket (args->context, ZMQ_REP);
    self->events = zmq_socket (args->context, ZMQ_PAIR);
    self->link = zsock_new (ZMQ_PAIR);
    zsock_set_linger (self->link, 0);
    umbp_post_inproc (args->home->instance, UMBP_LINK_GATE, inproc, sizeof inproc);
    return self->zap && self->events
           && zmq_setsockopt (self->zap, ZMQ_LINGER, &none, sizeof none) == 0
           && zmq_setsockopt (self->events, ZMQ_LINGER, &none, sizeof none) == 0
           && zmq_bind (self->zap, ZAP_ENDPOINT) == 0
           && zmq_connect (self->events, UMBP_LINK_EVENTS) == 0
           && zsock_bind (self->link, "%s", inproc) != -1;
}

zactor_t *umbp_gate_new (const umbp_gate_args_t *args)
{
    self_t *self = zmalloc (sizeof (self_t));
    self->own = *args->own;
    self->peers = zmalloc (SOCKS_MAX * sizeof *self->peers);
    snprintf (self->nodes, sizeof self->nodes, "%s", args->nodes);
    snprintf (self->clients, sizeof self->clients, "%s", args->clients);
    snprintf (self->tenants, sizeof self->tenants, "%s", args->tenants ? args->tenants : "");
    self->quota_stamp = umbp_quotas_stamp (self->tenants);
    if (!s_read (self) || !s_open (self, args)) {
        zsys_error ("gate: cannot open: %s", strerror (errno));
        s_destroy ((void **) &self);
        return NULL;
    }
    umbp_actor_args_t actor = { .name = "gate",
                                .home = args->home,
                                .ops = s_ops, .self = self, .start = s_start, .stat = s_stat,
                                .tick = s_tick, .tick_ms = TICK_MS, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}
