//  cluster/bulk/tcp_server.c - serves the bytes of a node's regions. See tcp_server.h.
//
//  Who has much to move is served best in long turns, one connection after the other: its bytes are
//  in the caches, and fewer sleepers are woken. Who wants little shall not wait for all of them. So a
//  connection first gets a short turn, as soon as it is ready; what is left stands in line, of which
//  the first has a long turn between two looks at all that is ready. (Foreground and background:
//  L. Kleinrock, "Queueing Systems", volume 2, 1976.)
#include "cluster/bulk/tcp_server.h"

#include "cluster/bulk/clock.h"
#include "cluster/bulk/tcp_sock.h"
#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 64                   //  Sockets served per wake-up
#define ACCEPTS_MAX 16                  //  Connections taken per wake-up
#define STRANGERS_MIN 32                //  A bound on them is no lower unless it is given
#define TICK_MS 250                     //  How exact the time-outs of connections are
#define SHORT_TURN ((size_t) 128 * 1024)
#define LONG_TURN ((size_t) 1024 * 1024)

//  A connection and its place in the loop
typedef struct seat {
    umbp_conn_t conn;
    struct seat *next;                  //  Among the free ones
    struct seat *before, *after;        //  Among the strangers
    bool stranger;                      //  It gave no proof yet
    uint64_t from;                      //  Address of the peer
    uint32_t events;                    //  What epoll waits for
    struct seat *behind;                //  In line
    bool in_line;
    bool again;                         //  Has more to do, without waiting; else its place is void
} seat_t;

struct umbp_bulk_server {
    umbp_desk_t *desk;
    umbp_bulk_stats_t stats;
    umbp_conn_env_t env;
    char endpoint[160];
    int listener, epoll, wake;
    int cuts;                           //  Told when a transfer has to be cut, to who holds some
    bool listening;                     //  The listener is in the epoll set
    bool stop;                          //  Written by destroy, before it wakes the thread
    int hello_ms, token_ms, stall_ms, idle_ms;
    seat_t *seats, *free_seats;
    seat_t *oldest, *newest;            //  Strangers
    size_t stranger_count, strangers_max, strangers_per_address_max;
    size_t seat_count;
    seat_t *first, *last;               //  In line for a long turn
    int64_t tick_ms;
    pthread_t thread;
    bool running;
};

//  ---- Connections

static void s_watch (umbp_bulk_server_t *self, int op, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = data };
    epoll_ctl (self->epoll, op, fd, &event);
}

static void s_listen (umbp_bulk_server_t *self, bool on)
{
    if (self->listening != on)
        s_watch (self, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, self->listener, EPOLLIN,
                 &self->listener);
    self->listening = on;
}

//  Who has given a proof, or is gone
static void s_leave_strangers (umbp_bulk_server_t *self, seat_t *seat)
{
    *(seat->before ? &seat->before->after : &self->oldest) = seat->after;
    *(seat->after ? &seat->after->before : &self->newest) = seat->before;
    seat->stranger = false;
    self->stranger_count--;
}

static void s_join_strangers (umbp_bulk_server_t *self, seat_t *seat)
{
    seat->before = self->newest;
    seat->after = NULL;
    *(self->newest ? &self->newest->after : &self->oldest) = seat;
    self->newest = seat;
    seat->stranger = true;
    self->stranger_count++;
}

static void s_close (umbp_bulk_server_t *self, seat_t *seat)
{
    if (seat->stranger)
        s_leave_strangers (self, seat);
    umbp_conn_close (&seat->conn);      //  Leaves the epoll set by itself
    seat->again = false;
    seat->next = self->free_seats;
    self->free_seats = seat;
}

static void s_line_up (umbp_bulk_server_t *self, seat_t *seat)
{
    seat->again = true;
    if (seat->in_line)
        return;
    seat->in_line = true;
    seat->behind = NULL;
    *(self->first ? &self->last->behind : &self->first) = seat;
    self->last = seat;
}

//  Give a connection its turn, and arrange for the next one
static void s_turn (umbp_bulk_server_t *self, seat_t *seat, size_t bytes)
{
    umbp_conn_rc_t rc = umbp_conn_turn (&seat->conn, bytes);
    if (rc == UMBP_CONN_END) {
        s_close (self, seat);
        return;
    }
    if (seat->stranger && seat->conn.proven)
        s_leave_strangers (self, seat);
    if (rc == UMBP_CONN_MORE) {
        s_line_up (self, seat);
        return;
    }
    uint32_t events = rc == UMBP_CONN_OUT ? EPOLLOUT : EPOLLIN;
    if (events != seat->events)
        s_watch (self, EPOLL_CTL_MOD, seat->conn.sock, events, seat);
    seat->events = events;
}

//  A socket is ready. A long transfer that had to wait for it stands in line like others.
static void s_ready (umbp_bulk_server_t *self, seat_t *seat)
{
    if (seat->conn.sock == -1 || seat->again)
        return;
    if (umbp_conn_is_moving (&seat->conn, SHORT_TURN))
        s_line_up (self, seat);
    else
        s_turn (self, seat, SHORT_TURN);
}

//  Too many strangers in all, or from one address, or no seat left: the one that had most time has
//  to go, so that who has a proof to give gets in, whatever the others do
static void s_make_room (umbp_bulk_server_t *self, uint64_t from)
{
    size_t same = 0;
    seat_t *first = NULL;
    for (seat_t *seat = self->newest; seat; seat = seat->before)
        if (seat->from == from) {
            first = seat;
            same++;
        }
    bool full = self->stranger_count >= self->strangers_max || !self->free_seats;
    if (same < self->strangers_per_address_max)
        first = full ? self->oldest : NULL;
    if (!first)
        return;
    umbp_bulk_count (&self->stats.crowded, 1);
    s_close (self, first);
}

//  What strangers are counted by: the address, of IPv6 the half that says the network
static uint64_t s_address (const struct sockaddr_storage *peer)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };   //  IPv4 inside of IPv6
    uint64_t from = 0;
    struct sockaddr_in6 six;
    memcpy (&six, peer, sizeof six);
    if (peer->ss_family == AF_INET)
        from = ((const struct sockaddr_in *) peer)->sin_addr.s_addr;
    else if (memcmp (six.sin6_addr.s6_addr, mapped, sizeof mapped) == 0)
        memcpy (&from, six.sin6_addr.s6_addr + sizeof mapped, 4);
    else
        memcpy (&from, six.sin6_addr.s6_addr, sizeof from);
    return from;
}

static void s_seat (umbp_bulk_server_t *self, int sock, uint64_t from)
{
    s_make_room (self, from);
    seat_t *seat = self->free_seats;
    if (!seat) {
        umbp_bulk_count (&self->stats.turned_away, 1);
        close (sock);
        return;
    }
    self->free_seats = seat->next;
    umbp_bulk_count (&self->stats.accepted, 1);
    umbp_tcp_tune (sock);
    umbp_conn_open (&seat->conn, sock, &self->env);
    seat->from = from;
    s_join_strangers (self, seat);
    seat->events = EPOLLIN;
    s_watch (self, EPOLL_CTL_ADD, sock, EPOLLIN, seat);
}

static void s_accept (umbp_bulk_server_t *self)
{
    for (int count = 0; count < ACCEPTS_MAX; count++) {
        struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
        socklen_t size = sizeof peer;
        int sock = accept4 (self->listener, (struct sockaddr *) &peer, &size,
                            SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (sock != -1)
            s_seat (self, sock, s_address (&peer));
        else if (errno == EAGAIN)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            s_listen (self, false);     //  Else we would be woken at once, for nothing
            return;
        }
    }
}

//  ---- The thread

//  Close the connections whose transfers were revoked
static void s_cut (umbp_bulk_server_t *self)
{
    eventfd_t count;
    eventfd_read (self->wake, &count);
    for (size_t index = 0; index < self->seat_count; index++) {
        seat_t *seat = &self->seats[index];
        if (seat->conn.sock != -1 && seat->conn.card
            && umbp_desk_is_cut (self->desk, seat->conn.card)) {
            umbp_bulk_count (&self->stats.cut, 1);
            s_close (self, seat);
        }
    }
}

//  Why a connection must be closed by now: the counter of that. Returns NULL if it may stay. Who
//  trickles bytes gains no time for its proof by that.
static uint64_t *s_overdue (umbp_bulk_server_t *self, umbp_conn_t *conn)
{
    int64_t now_ms = self->env.now_ms;
    if (!conn->proven)
        return now_ms - conn->opened_ms < self->hello_ms ? NULL : &self->stats.silent;
    if (!umbp_conn_is_idle (conn) && now_ms - conn->moved_ms >= self->stall_ms)
        return &self->stats.stalled;
    if (conn->card)
        return NULL;
    if (!conn->used_ms && now_ms - conn->opened_ms >= self->token_ms)
        return umbp_conn_retire (conn, INT64_MAX) ? &self->stats.unused : NULL;
    if (!conn->used_ms || now_ms - conn->used_ms < self->idle_ms)
        return NULL;
    if (umbp_conn_retire (conn, now_ms))
        return &self->stats.idle;
    conn->used_ms = now_ms;             //  Its session has use for it, or may have: look later
    return NULL;
}

static void s_tick (umbp_bulk_server_t *self)
{
    for (size_t index = 0; index < self->seat_count; index++) {
        seat_t *seat = &self->seats[index];
        uint64_t *counter = seat->conn.sock == -1 ? NULL : s_overdue (self, &seat->conn);
        if (!counter)
            continue;
        umbp_bulk_count (counter, 1);
        s_close (self, seat);
    }
    s_listen (self, true);
}

//  A long turn for the first in line. It may have to stand behind the others again.
static void s_go_on (umbp_bulk_server_t *self)
{
    seat_t *seat = self->first;
    if (!seat)
        return;
    self->first = seat->behind;
    seat->in_line = false;
    if (seat->again) {
        seat->again = false;
        s_turn (self, seat, LONG_TURN);
    }
}

//  Connections are looked after every tick; without any the thread sleeps
static int s_timeout_ms (const umbp_bulk_server_t *self)
{
    if (self->first)
        return 0;
    return self->stats.connections > 0 || !self->listening ? TICK_MS : -1;
}

static void s_round (umbp_bulk_server_t *self)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait (self->epoll, events, EVENTS_MAX, s_timeout_ms (self));
    self->env.now_ms = umbp_clock_ms ();
    bool cut = false, accept = false;
    for (int index = 0; index < count; index++) {
        void *data = events[index].data.ptr;
        if (data == &self->wake)
            cut = true;
        else if (data == &self->listener)
            accept = true;
        else
            s_ready (self, data);
    }
    if (cut)
        s_cut (self);
    s_go_on (self);
    if (accept)
        s_accept (self);
    if (self->env.now_ms - self->tick_ms >= TICK_MS) {
        self->tick_ms = self->env.now_ms;
        s_tick (self);
    }
}

static void *s_thread (void *arg)
{
    umbp_bulk_server_t *self = arg;
    while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE))
        s_round (self);
    return NULL;
}

//  ---- Start and end

static size_t s_or (size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

//  A bound on strangers, if none is given: of a small table all
static size_t s_quarter (size_t count)
{
    return count / 4 > STRANGERS_MIN ? count / 4 : STRANGERS_MIN;
}

static void s_make_seats (umbp_bulk_server_t *self, size_t count)
{
    self->seats = calloc (count, sizeof (seat_t));
    assert (self->seats);
    self->seat_count = count;
    for (size_t index = count; index-- > 0;) {
        self->seats[index].conn.sock = -1;
        self->seats[index].next = self->free_seats;
        self->free_seats = &self->seats[index];
    }
}

static void s_make_desk (umbp_bulk_server_t *self, const umbp_bulk_server_config_t *config)
{
    size_t tokens_max = s_or (config->tokens_max, 4096);
    umbp_grants_t *grants =
        umbp_grants_new (config->regions, config->region_count, config->page_size, tokens_max,
                         s_or (config->grant_bytes_max, (size_t) 64 << 20));
    //  Twice as many sessions as connections: half of them may be gone and not yet reported
    self->desk = umbp_desk_new (&grants, tokens_max, 2 * self->seat_count);
    self->env = (umbp_conn_env_t) {
        .desk = self->desk,
        .stats = &self->stats,
        .size_max = s_or (config->size_max, UMBP_BULK_SIZE_MAX),
        .now_ms = umbp_clock_ms (),
    };
    umbp_bulk_auth_draw (self->env.secret, sizeof self->env.secret);
}

//  Open what the thread waits for. Returns 0 or an error.
static int s_make_sockets (umbp_bulk_server_t *self, const char *endpoint)
{
    self->listener = umbp_tcp_listen (endpoint, 128);
    if (self->listener < 0)
        return self->listener;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname (self->listener, (struct sockaddr *) &address, &size) == -1
        || umbp_tcp_endpoint (&address, self->endpoint, sizeof self->endpoint) != 0)
        return UMBP_EIO;
    self->epoll = epoll_create1 (EPOLL_CLOEXEC);
    self->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->cuts = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->epoll == -1 || self->wake == -1 || self->cuts == -1 || !self->desk)
        return UMBP_EIO;
    s_watch (self, EPOLL_CTL_ADD, self->wake, EPOLLIN, &self->wake);
    s_listen (self, true);
    return 0;
}

//  Signals are for the program's own threads
static int s_start (umbp_bulk_server_t *self)
{
    sigset_t all, old;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &old);
    self->running = pthread_create (&self->thread, NULL, s_thread, self) == 0;
    pthread_sigmask (SIG_SETMASK, &old, NULL);
    return self->running ? 0 : UMBP_EIO;
}

umbp_bulk_server_t *umbp_bulk_server_new (const umbp_bulk_server_config_t *config, int *rc_p)
{
    umbp_bulk_server_t *self = calloc (1, sizeof *self);
    assert (self);
    self->listener = self->epoll = self->wake = self->cuts = -1;
    int rc = UMBP_EINVAL;
    if (config->endpoint && config->page_size) {
        self->hello_ms = s_or (config->hello_ms, 5000);
        self->token_ms = s_or (config->token_ms, 5000);
        self->stall_ms = s_or (config->stall_ms, 30000);
        self->idle_ms = s_or (config->idle_ms, 60000);
        s_make_seats (self, s_or (config->connections_max, 256));
        self->strangers_max = s_or (config->strangers_max, s_quarter (self->seat_count));
        self->strangers_per_address_max =
            s_or (config->strangers_per_address_max, s_quarter (self->strangers_max));
        s_make_desk (self, config);
        rc = s_make_sockets (self, config->endpoint);
    }
    if (rc == 0)
        rc = s_start (self);
    if (rc != 0)
        umbp_bulk_server_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

void umbp_bulk_server_destroy (umbp_bulk_server_t **self_p)
{
    assert (self_p);
    umbp_bulk_server_t *self = *self_p;
    if (!self)
        return;
    if (self->running) {
        __atomic_store_n (&self->stop, true, __ATOMIC_RELEASE);
        eventfd_write (self->wake, 1);
        pthread_join (self->thread, NULL);
    }
    for (size_t index = 0; index < self->seat_count; index++)
        if (self->seats[index].conn.sock != -1)
            umbp_conn_close (&self->seats[index].conn);
    const int fds[] = { self->listener, self->epoll, self->wake, self->cuts };
    for (size_t index = 0; index < sizeof fds / sizeof *fds; index++)
        if (fds[index] >= 0)
            close (fds[index]);
    umbp_desk_destroy (&self->desk);
    free (self->seats);
    free (self);
    *self_p = NULL;
}

//  ---- For the owner of the pages

const char *umbp_bulk_server_endpoint (const umbp_bulk_server_t *self)
{
    return self->endpoint;
}

int umbp_bulk_server_grant (umbp_bulk_server_t *self, const umbp_grant_t *grant)
{
    return umbp_desk_grant (self->desk, grant);
}

int umbp_bulk_server_revoke (umbp_bulk_server_t *self, uint64_t token)
{
    int rc = umbp_desk_revoke (self->desk, token);
    if (rc > 0) {
        eventfd_write (self->wake, 1);
        eventfd_write (self->cuts, 1);
    }
    return rc;
}

int umbp_bulk_server_event (umbp_bulk_server_t *self, umbp_bulk_event_t *event)
{
    return umbp_desk_event (self->desk, event);
}

int umbp_bulk_server_fd (const umbp_bulk_server_t *self)
{
    return umbp_desk_fd (self->desk);
}

int umbp_bulk_server_hold (umbp_bulk_server_t *self, uint64_t session, uint64_t token,
                           uint32_t item, bool write, umbp_card_t **card_p, umbp_piece_t *spans,
                           size_t max)
{
    return umbp_desk_hold (self->desk, session, token, item, write, umbp_clock_ms (), card_p, spans,
                           max);
}

void umbp_bulk_server_let_go (umbp_bulk_server_t *self, umbp_card_t **card_p)
{
    umbp_desk_release (self->desk, card_p);
}

bool umbp_bulk_server_is_cut (const umbp_bulk_server_t *self, const umbp_card_t *card)
{
    return umbp_desk_is_cut (self->desk, card);
}

int umbp_bulk_server_cuts_fd (const umbp_bulk_server_t *self)
{
    return self->cuts;
}

bool umbp_bulk_server_is_live (const umbp_bulk_server_t *self, uint64_t session)
{
    return umbp_desk_is_live (self->desk, session, umbp_clock_ms ());
}

void umbp_bulk_server_key (const umbp_bulk_server_t *self, uint64_t session, uint8_t *key)
{
    umbp_bulk_auth_key (self->env.secret, session, key);
}

void umbp_bulk_server_stats (const umbp_bulk_server_t *self, umbp_bulk_stats_t *stats)
{
    //  All of them are counters, and each is read whole; they need not be of the same moment
    const uint64_t *from = (const uint64_t *) &self->stats;
    uint64_t *to = (uint64_t *) stats;
    for (size_t index = 0; index < sizeof *stats / sizeof *to; index++)
        to[index] = __atomic_load_n (&from[index], __ATOMIC_RELAXED);
}
