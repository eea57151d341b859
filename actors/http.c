//  actors/http.c - a few pages over HTTP. See http.h.
#include "actors/http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>

#define BACKLOG 64
#define TURNS_MAX 16                    //  Rounds of work in one wake-up, so that the actor's inbox gets its turn
#define WATCH_MS 250                    //  How late a connection's end may be
#define AGAIN_MS 1

typedef struct {
    int fd;                             //  -1: free
    int64_t ends;
    bool cut;
} guest_t;

struct umbp_http {
    struct MHD_Daemon *daemon;
    int epoll;
    zloop_t *loop;
    int again;                          //  Timer, -1: none
    void *owner;
    umbp_http_fn *fn;
    guest_t guests[UMBP_HTTP_CONNECTIONS_MAX];
    umbp_http_stats_t stats;
};

//  --------------------------------------------------------------------------------------------------
//  Where we listen

//  "tcp://host:port" or "tcp://[::1]:port" in its parts. Returns false if it is not like that.
static bool s_split (const char *listen, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *start = listen + strlen ("tcp://"), *colon = strrchr (listen, ':');
    if (strncmp (listen, "tcp://", strlen ("tcp://")) != 0 || !colon || colon < start)
        return false;
    size_t size = (size_t) (colon - start);
    if (size >= 2 && *start == '[' && colon[-1] == ']') {
        start++;
        size -= 2;
    }
    if (size == 0 || size >= host_size || strlen (colon + 1) >= port_size)
        return false;
    snprintf (host, host_size, "%.*s", (int) size, start);
    snprintf (port, port_size, "%s", streq (colon + 1, "*") ? "0" : colon + 1);
    return true;
}

bool umbp_http_is_loopback (const char *listen)
{
    char host[256], port[16];
    unsigned char address[sizeof (struct in6_addr)];
    if (!s_split (listen, host, sizeof host, port, sizeof port))
        return false;
    if (streq (host, "localhost"))
        return true;
    if (inet_pton (AF_INET, host, address) == 1)
        return address[0] == 127;
    return inet_pton (AF_INET6, host, address) == 1
           && memcmp (address, &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

//  A listening socket. Returns -1, with *why static text.
static int s_listen (const char *host, const char *port, const char **why)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
    int rc = getaddrinfo (streq (host, "*") ? NULL : host, port, &hints, &found);
    if (rc != 0) {
        *why = gai_strerror (rc);
        return -1;
    }
    int one = 1, fd = socket (found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1 || setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == -1
        || bind (fd, found->ai_addr, found->ai_addrlen) == -1 || listen (fd, BACKLOG) == -1) {
        *why = strerror (errno);
        if (fd != -1)
            close (fd);
        fd = -1;
    }
    freeaddrinfo (found);
    return fd;
}

static void s_write_url (int fd, char *url, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[128] = "?", port[16] = "0";
    if (getsockname (fd, (struct sockaddr *) &address, &length) == 0)
        getnameinfo ((struct sockaddr *) &address, length, host, sizeof host, port, sizeof port,
                     NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf (url, size, strchr (host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

//  --------------------------------------------------------------------------------------------------
//  Pages

static enum MHD_Result s_send (struct MHD_Connection *connection, const umbp_page_t *page)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer (page->size, (void *) page->text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header (response, "Content-Type", page->type);
    MHD_add_response_header (response, "Cache-Control", "no-store");
    MHD_add_response_header (response, "Connection", "close");
    if (page->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header (response, "Allow", "GET, HEAD");
    enum MHD_Result rc = MHD_queue_response (connection, page->status, response);
    MHD_destroy_response (response);
    return rc;
}

//  Called once the headers are there. A body is not read: the connection ends with our answer.
static enum MHD_Result s_on_request (void *arg, struct MHD_Connection *connection, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *data_size, void **state)
{
    static const char no_page[] = "no such page: there are /metrics, /healthz and /readyz\n";
    static const char no_method[] = "only GET and HEAD\n";
    (void) version;
    (void) data;
    (void) data_size;
    (void) state;
    umbp_http_t *self = arg;
    umbp_page_t page = { 0 };
    self->stats.requests++;
    if (strneq (method, "GET") && strneq (method, "HEAD"))
        page = (umbp_page_t){ MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", no_method,
                              sizeof no_method - 1 };
    else if (!self->fn (self->owner, url, &page))
        page = (umbp_page_t){ MHD_HTTP_NOT_FOUND, "text/plain", no_page, sizeof no_page - 1 };
    self->stats.refused +=
        page.status != MHD_HTTP_OK && page.status != MHD_HTTP_SERVICE_UNAVAILABLE;
    return s_send (connection, &page);
}

//  --------------------------------------------------------------------------------------------------
//  Connections

static guest_t *s_guest (umbp_http_t *self, int fd)
{
    for (size_t index = 0; index < UMBP_HTTP_CONNECTIONS_MAX; index++)
        if (self->guests[index].fd == fd)
            return &self->guests[index];
    return NULL;
}

static void s_on_connection (void *arg, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    (void) context;
    umbp_http_t *self = arg;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return;
    bool starts = code == MHD_CONNECTION_NOTIFY_STARTED;
    guest_t *guest = s_guest (self, starts ? -1 : info->connect_fd);
    if (!guest)
        return;
    if (starts)
        *guest = (guest_t) { info->connect_fd, zclock_mono () + UMBP_HTTP_TIME_MS, false };
    else
        guest->fd = -1;
    self->stats.connections += starts ? 1 : -1;
}

//  libmicrohttpd knows how long a connection is silent, not how long it lasts: a byte now and then would keep it
static void s_cut_slow (umbp_http_t *self)
{
    int64_t now = zclock_mono ();
    for (size_t index = 0; index < UMBP_HTTP_CONNECTIONS_MAX; index++) {
        guest_t *guest = &self->guests[index];
        if (guest->fd == -1 || guest->cut || guest->ends > now)
            continue;
        shutdown (guest->fd, SHUT_RDWR);    //  Closed by libmicrohttpd, which hears of it
        guest->cut = true;
        self->stats.cut++;
    }
}

//  --------------------------------------------------------------------------------------------------
//  The loop

static int s_on_again (zloop_t *loop, int timer, void *arg);

//  All work that is to be done now, or some of it and the rest at once after the others had their turn
static void s_run (umbp_http_t *self)
{
    MHD_UNSIGNED_LONG_LONG left_ms = 1;
    bool more = true;
    for (int turn = 0; more && turn < TURNS_MAX; turn++) {
        MHD_run (self->daemon);
        more = MHD_get_timeout (self->daemon, &left_ms) == MHD_YES && left_ms == 0;
    }
    if (more && self->again == -1)
        self->again = zloop_timer (self->loop, AGAIN_MS, 1, s_on_again, self);
}

static int s_on_again (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    umbp_http_t *self = arg;
    self->again = -1;
    s_run (self);
    return 0;
}

static int s_on_epoll (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    (void) item;
    s_run (arg);
    return 0;
}

static int s_on_watch (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    s_cut_slow (arg);
    s_run (arg);
    return 0;
}

void umbp_http_start (umbp_http_t *self, zloop_t *loop, void *owner, umbp_http_fn *fn)
{
    self->loop = loop;
    self->owner = owner;
    self->fn = fn;
    zmq_pollitem_t item = { .fd = self->epoll, .events = ZMQ_POLLIN };
    zloop_poller (loop, &item, s_on_epoll, self);
    zloop_poller_set_tolerant (loop, &item);
    zloop_timer (loop, WATCH_MS, 0, s_on_watch, self);
}

const umbp_http_stats_t *umbp_http_stats (const umbp_http_t *self)
{
    return &self->stats;
}

//  --------------------------------------------------------------------------------------------------
//  Life

umbp_http_t *umbp_http_new (const char *listen, char *url, size_t size)
{
    char host[256], port[16];
    const char *why = "must be tcp://host:port";
    int fd =
        s_split (listen, host, sizeof host, port, sizeof port) ? s_listen (host, port, &why) : -1;
    if (fd == -1) {
        zsys_error ("gateway: cannot listen on %s: %s", listen, why);
        return NULL;
    }
    umbp_http_t *self = zmalloc (sizeof (umbp_http_t));
    self->again = -1;
    for (size_t index = 0; index < UMBP_HTTP_CONNECTIONS_MAX; index++)
        self->guests[index].fd = -1;
    s_write_url (fd, url, size);
    self->daemon = MHD_start_daemon (
        MHD_USE_EPOLL, 0, NULL, NULL, s_on_request, self, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned) UMBP_HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) UMBP_HTTP_REQUEST_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) UMBP_HTTP_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION,
        s_on_connection, self, MHD_OPTION_END);
    if (!self->daemon) {
        zsys_error ("gateway: cannot serve HTTP on %s: %s", listen, strerror (errno));
        close (fd);
        free (self);
        return NULL;
    }
    self->epoll = MHD_get_daemon_info (self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return self;
}

void umbp_http_destroy (umbp_http_t **self_p)
{
    umbp_http_t *self = *self_p;
    if (!self)
        return;
    MHD_stop_daemon (self->daemon);     //  Closes the socket too
    freen (*self_p);
}
