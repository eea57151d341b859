//  cluster/link_sockets.c - the sockets of a link, with all their options. See link_sockets.h.
#include "cluster/link_sockets.h"

#include "cluster/clients.h"
#include "cluster/link.h"
#include "proto/types.h"

#define PARCEL_MAX (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)     //  Bytes in a frame
#define HANDSHAKE_MS 10000              //  Who takes longer to say who he is, is cut off

static void s_set (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    assert (rc == 0);
}

zsock_t *umbp_link_dealer (void)
{
    zsock_t *sock = zsock_new (ZMQ_DEALER);
    zsock_set_linger (sock, 0);
    zsock_set_sndhwm (sock, UMBP_LINK_QUEUE_MAX);
    zsock_set_rcvhwm (sock, UMBP_LINK_QUEUE_MAX);
    zsock_set_maxmsgsize (sock, PARCEL_MAX);
    zsock_set_reconnect_ivl_max (sock, 1000);
    zsock_set_heartbeat_ivl (sock, 2000);       //  A silent wire is given up and made anew
    zsock_set_heartbeat_timeout (sock, 6000);
    return sock;
}

zsock_t *umbp_link_local (void)
{
    zsock_t *sock = zsock_new (ZMQ_ROUTER);
    zsock_set_linger (sock, 0);
    zsock_set_router_mandatory (sock, 1);
    zsock_set_sndhwm (sock, UMBP_LINK_QUEUE_MAX);
    zsock_set_rcvhwm (sock, UMBP_LINK_QUEUE_MAX);
    zsock_set_maxmsgsize (sock, PARCEL_MAX);    //  Drops a peer that sends more
    return sock;
}

void *umbp_link_wire (void *context)
{
    void *wire =
        context ? zmq_socket (context, ZMQ_ROUTER) : zsys_socket (ZMQ_ROUTER, __FILE__, __LINE__);
    int64_t size_max = PARCEL_MAX;
    assert (wire);
    zmq_setsockopt (wire, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    s_set (wire, ZMQ_LINGER, 0);
    s_set (wire, ZMQ_ROUTER_MANDATORY, 1);
    s_set (wire, ZMQ_SNDHWM, UMBP_LINK_QUEUE_MAX);
    s_set (wire, ZMQ_RCVHWM, UMBP_CLIENT_LINK_MAX);     //  Of each peer; more waits at its end
    s_set (wire, ZMQ_BACKLOG, 256);
    s_set (wire, ZMQ_TCP_KEEPALIVE, 1);         //  A host that vanished leaves nothing behind
    s_set (wire, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    s_set (wire, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    s_set (wire, ZMQ_TCP_KEEPALIVE_CNT, 3);
    return wire;
}

//  Its events go to a gate that ends after us: no more of them from here on
void umbp_link_wire_close (void *context, void **wire_p)
{
    if (context) {
        zmq_socket_monitor (*wire_p, NULL, 0);
        zmq_close (*wire_p);
    } else
        zsys_close (*wire_p, __FILE__, __LINE__);
    *wire_p = NULL;
}

bool umbp_link_guard (void *wire, const umbp_curve_t *curve)
{
    const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED
                       | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    s_set (wire, ZMQ_CURVE_SERVER, 1);
    s_set (wire, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    return zmq_setsockopt (wire, ZMQ_ZAP_DOMAIN, UMBP_LINK_GATE, strlen (UMBP_LINK_GATE)) == 0
           && zmq_setsockopt (wire, ZMQ_CURVE_SECRETKEY, curve->secret_key, UMBP_CURVE_KEY) == 0
           && zmq_socket_monitor (wire, UMBP_LINK_EVENTS, events) == 0;
}
