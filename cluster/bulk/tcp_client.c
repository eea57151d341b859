//  cluster/bulk/tcp_client.c - one connection to a bulk server. See tcp_client.h.
//
//  A batch has two ends that move on their own: one sends requests (and the bytes of writes), the
//  other receives replies (and the bytes of reads). Whichever the socket lets go on does, so a
//  server that waits for us to read can never wait for ever.
#include "cluster/bulk/tcp_client.h"

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/bulk/tcp_sock.h"
#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t) 512 * 1024)   //  Moved at once, and summed while in cache
#define VECTORS_MAX 64
#define REQUESTS_MAX 64                     //  Headers sent at once
#define AHEAD_BYTES                                                                                \
    ((size_t) 32 * 1024) //  Received behind a reply, so that small blocks come together
#define RUNS_MAX 5                      //  Connections that one batch is tried on
#define UNKNOWN INT_MAX                     //  Status of an item without an outcome

struct umbp_bulk_client {
    int sock;                           //  -1 once it failed
    uint64_t size_max;
    uint32_t tag;                       //  Of the next batch's first item
    umbp_bulk_seal_t requests, replies;
    size_t ahead_at, ahead_size;        //  Of what came behind a reply, and has its turn next
    uint8_t ahead[AHEAD_BYTES];
};

typedef struct {
    umbp_bulk_client_t *client;
    umbp_bulk_io_t *items;
    size_t count;
    int *status;
    uint8_t op;
    //  The sending end
    size_t next;                        //  The item whose request is made next
    uint8_t out[REQUESTS_MAX * UMBP_BULK_REQUEST_BYTES];
    size_t out_at, out_size;
    umbp_cursor_t out_cursor;           //  Bytes of a write that follow the header
    size_t summed;                      //  Of those, what lies in the sum but was not sent
    umbp_sum_t out_sum;
    umbp_bulk_io_t *out_item;           //  Whose bytes these are
    //  The receiving end
    size_t at;                          //  The item whose reply comes
    uint8_t in[UMBP_BULK_REPLY_BYTES];
    size_t in_size;
    bool in_body;                       //  The header said yes, and bytes of a read come
    umbp_cursor_t in_cursor;
    umbp_sum_t in_sum;
} batch_t;

//  The outcome of a call that moved no bytes: 0 if it would have to wait
static int s_blocked (ssize_t rc)
{
    if (rc == 0)
        return UMBP_ECLOSED;
    switch (errno) {
    case EAGAIN:
    case EINTR: return 0;
    case EPIPE:
    case ECONNRESET: return UMBP_ECLOSED;
    case ETIMEDOUT:                     //  The kernel gave up on a silent peer
        return UMBP_ETIMEDOUT;
    default: return UMBP_EIO;
    }
}

//  ---- Sending. Steps return 1 if bytes moved, 0 if the socket is full, or an error.

//  Pass over items that have an outcome before they start
static size_t s_skip (const batch_t *batch, size_t index)
{
    while (index < batch->count && batch->status[index] != UNKNOWN)
        index++;
    return index;
}

static bool s_has_output (const batch_t *batch)
{
    return batch->out_at < batch->out_size || batch->out_cursor.left || batch->next < batch->count;
}

static uint64_t s_size (const umbp_bulk_io_t *item)
{
    return umbp_piece_total (item->pieces, item->piece_count);
}

//  Write the request of an item at the end of the output
static void s_put_request (batch_t *batch, size_t index)
{
    const umbp_bulk_io_t *item = &batch->items[index];
    const umbp_bulk_request_t request = {
        .op = batch->op,
        .tag = batch->client->tag + (uint32_t) index,
        .item = item->item,
        .token = item->token,
        .offset = item->offset,
        .size = s_size (item),
    };
    umbp_bulk_request_pack (&request, batch->out + batch->out_size);
    umbp_bulk_seal (&batch->client->requests, batch->out + batch->out_size,
                    UMBP_BULK_REQUEST_BYTES);
    batch->out_size += UMBP_BULK_REQUEST_BYTES;
}

//  Fill the output: many headers of reads, one of a write, which its bytes follow
static void s_refill (batch_t *batch)
{
    batch->out_at = batch->out_size = 0;
    size_t max = batch->op == UMBP_BULK_READ ? REQUESTS_MAX : 1;
    for (size_t made = 0; made < max && batch->next < batch->count; made++) {
        s_put_request (batch, batch->next);
        batch->out_item = &batch->items[batch->next];
        batch->next = s_skip (batch, batch->next + 1);
    }
    if (batch->op == UMBP_BULK_WRITE) {
        umbp_bulk_io_t *item = batch->out_item;
        uint64_t size = s_size (item);
        umbp_cursor_set (&batch->out_cursor, item->pieces, 0, size);
        umbp_sum_init (&batch->out_sum, size);
        batch->summed = 0;
    }
}

static void s_sum_vectors (umbp_sum_t *sum, const struct iovec *vectors, size_t size)
{
    for (; size; vectors++) {
        size_t here = vectors->iov_len < size ? vectors->iov_len : size;
        umbp_sum_update (sum, vectors->iov_base, here);
        size -= here;
    }
}

//  Name the next chunk to send, all of it in the sum. What an earlier call could not send is sent
//  first, since it was summed already.
static size_t s_chunk (batch_t *batch, struct iovec *vectors, size_t max)
{
    size_t bytes_max = batch->summed ? batch->summed : CHUNK_BYTES, bytes;
    size_t count = umbp_cursor_vectors (&batch->out_cursor, vectors, max, bytes_max, &bytes);
    if (batch->summed == 0) {
        if (batch->out_item->want_sum)
            s_sum_vectors (&batch->out_sum, vectors, bytes);
        batch->summed = bytes;
    }
    return count;
}

static int s_send_step (batch_t *batch)
{
    if (batch->out_at == batch->out_size && batch->out_cursor.left == 0)
        s_refill (batch);
    struct iovec vectors[VECTORS_MAX];
    size_t count = 0, header = batch->out_size - batch->out_at;
    if (header)
        vectors[count++] = (struct iovec) { batch->out + batch->out_at, header };
    if (batch->out_cursor.left)
        count += s_chunk (batch, vectors + count, VECTORS_MAX - count);
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    int more = batch->op == UMBP_BULK_WRITE && batch->next < batch->count ? MSG_MORE : 0;
    ssize_t rc = sendmsg (batch->client->sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
    if (rc <= 0)
        return s_blocked (rc);
    size_t size = (size_t) rc < header ? (size_t) rc : header;
    batch->out_at += size;
    size = rc - size;
    umbp_cursor_skip (&batch->out_cursor, size);
    batch->summed -= size;
    if (batch->op == UMBP_BULK_WRITE && batch->out_cursor.left == 0 && batch->out_item->want_sum)
        batch->out_item->sum = umbp_sum_final (&batch->out_sum);
    return 1;
}

//  ---- Receiving. Steps return as above.

static void s_finish (batch_t *batch, int status)
{
    umbp_bulk_io_t *item = &batch->items[batch->at];
    if (batch->op == UMBP_BULK_READ && status == 0 && item->want_sum)
        item->sum = umbp_sum_final (&batch->in_sum);
    batch->status[batch->at] = status;
    batch->at = s_skip (batch, batch->at + 1);
    batch->in_body = false;
}

//  True if all bytes of the item whose reply comes have left; until then it can only be refused
static bool s_is_sent (const batch_t *batch)
{
    bool under_way = batch->out_at < batch->out_size || batch->out_cursor.left;
    return batch->op == UMBP_BULK_READ || !under_way || &batch->items[batch->at] != batch->out_item;
}

//  A whole reply header is here
static int s_take_reply (batch_t *batch)
{
    umbp_bulk_reply_t reply;
    batch->in_size = 0;
    if (!umbp_bulk_seal_fits (&batch->client->replies, batch->in, sizeof batch->in))
        return UMBP_EPROTO;
    if (umbp_bulk_reply_unpack (&reply, batch->in) != 0 || reply.op != batch->op
        || reply.tag != batch->client->tag + (uint32_t) batch->at || batch->at >= batch->next)
        return UMBP_EPROTO;
    umbp_bulk_io_t *item = &batch->items[batch->at];
    bool has_body = batch->op == UMBP_BULK_READ && reply.status == 0;
    uint64_t size = has_body ? s_size (item) : 0;
    if (reply.size != size || (reply.status == 0 && !s_is_sent (batch)))
        return UMBP_EPROTO;
    if (has_body)
        umbp_sum_init (&batch->in_sum, size);
    if (size == 0)
        s_finish (batch, reply.status);
    else {
        batch->in_body = true;
        umbp_cursor_set (&batch->in_cursor, item->pieces, 0, size);
    }
    return 1;
}

//  Name where the next bytes go: the rest of the body, up to a chunk, the reply header after it if
//  one more is to come, and what comes behind that. body_p receives how many bytes of body that is.
static size_t s_room (batch_t *batch, struct iovec *vectors, size_t *body_p)
{
    size_t count = 0;
    *body_p = 0;
    bool more = true;
    if (batch->in_body) {
        count =
            umbp_cursor_vectors (&batch->in_cursor, vectors, VECTORS_MAX - 2, CHUNK_BYTES, body_p);
        more = *body_p == batch->in_cursor.left && s_skip (batch, batch->at + 1) < batch->count;
    }
    if (more) {
        vectors[count++] =
            (struct iovec){ batch->in + batch->in_size, sizeof batch->in - batch->in_size };
        vectors[count++] = (struct iovec) { batch->client->ahead, AHEAD_BYTES };
    }
    return count;
}

//  Take what came behind a reply: of one body, or of one header
static int s_take_ahead (batch_t *batch)
{
    umbp_bulk_client_t *client = batch->client;
    uint8_t *from = client->ahead + client->ahead_at;
    size_t size = client->ahead_size - client->ahead_at;
    if (batch->in_body) {
        size = umbp_cursor_put (&batch->in_cursor, from, size);
        if (batch->items[batch->at].want_sum)
            umbp_sum_update (&batch->in_sum, from, size);
        if (batch->in_cursor.left == 0)
            s_finish (batch, 0);
    } else {
        size_t room = sizeof batch->in - batch->in_size;
        size = size < room ? size : room;
        memcpy (batch->in + batch->in_size, from, size);
        batch->in_size += size;
    }
    client->ahead_at += size;
    return batch->in_size == sizeof batch->in ? s_take_reply (batch) : 1;
}

static int s_recv_step (batch_t *batch)
{
    umbp_bulk_client_t *client = batch->client;
    if (client->ahead_at < client->ahead_size)
        return s_take_ahead (batch);
    struct iovec vectors[VECTORS_MAX];
    size_t body;
    struct msghdr message = { .msg_iov = vectors };
    message.msg_iovlen = s_room (batch, vectors, &body);
    ssize_t rc = recvmsg (client->sock, &message, MSG_DONTWAIT);
    if (rc <= 0)
        return s_blocked (rc);
    size_t size = (size_t) rc < body ? (size_t) rc : body, rest = (size_t) rc - size;
    size_t head = sizeof batch->in - batch->in_size;
    head = rest < head ? rest : head;
    batch->in_size += head;
    client->ahead_at = 0;
    client->ahead_size = rest - head;
    if (size) {
        if (batch->items[batch->at].want_sum)
            s_sum_vectors (&batch->in_sum, vectors, size);
        umbp_cursor_skip (&batch->in_cursor, size);
        if (batch->in_cursor.left == 0)
            s_finish (batch, 0);
    }
    return batch->in_size == sizeof batch->in ? s_take_reply (batch) : 1;
}

//  ---- Batches

//  Sending failed: take the replies that came before that, so that what was done counts as done
static int s_last_words (batch_t *batch, int error)
{
    while (batch->at < batch->count && s_recv_step (batch) > 0)
        continue;
    return error;
}

//  Wait until one end can move. Returns the poll events, or an error.
static int s_wait (const batch_t *batch, int64_t deadline_ms)
{
    int events = (s_has_output (batch) ? POLLOUT : 0) | (batch->at < batch->count ? POLLIN : 0);
    int rc = umbp_tcp_wait (batch->client->sock, (short) events, deadline_ms);
    return rc < 0 ? rc : rc & (POLLERR | POLLHUP) ? POLLIN | POLLOUT : rc;
}

//  Move both ends until every item has its outcome, and the stream is at the end of a request, also
//  if the last one was refused early. Returns 0, or the error that ended it.
static int s_move (batch_t *batch, int64_t deadline_ms)
{
    int ready = POLLIN | POLLOUT;
    while (batch->at < batch->count || s_has_output (batch)) {
        int rc;
        if (ready & POLLOUT && s_has_output (batch)) {
            rc = s_send_step (batch);
            if (rc < 0)
                return s_last_words (batch, rc);
            if (rc == 0)
                ready &= ~POLLOUT;
        } else if (ready & POLLIN && batch->at < batch->count) {
            rc = s_recv_step (batch);
            if (rc == 0)
                ready &= ~POLLIN;
        } else
            rc = ready = s_wait (batch, deadline_ms);
        if (rc < 0)
            return rc;
        if (umbp_clock_ms () >= deadline_ms)
            return UMBP_ETIMEDOUT;
    }
    return 0;
}

static void s_close (umbp_bulk_client_t *self)
{
    if (self->sock != -1)
        close (self->sock);
    self->sock = -1;
}

static int s_run (umbp_bulk_client_t *self, uint8_t op, umbp_bulk_io_t *items, size_t count,
                  int *status, int64_t deadline_ms)
{
    batch_t batch = {
        .client = self, .items = items, .count = count, .status = status, .op = op,
    };
    for (size_t index = 0; index < count; index++)
        status[index] = s_size (&items[index]) > self->size_max ? UMBP_ETOOBIG : UNKNOWN;
    batch.at = batch.next = s_skip (&batch, 0);
    int rc = self->sock == -1 ? UMBP_ECLOSED : s_move (&batch, deadline_ms);
    self->tag += (uint32_t) count;
    if (rc < 0)
        s_close (self);
    int done = 0;
    for (size_t index = 0; index < count; index++) {
        if (status[index] == UNKNOWN)
            status[index] = rc;
        done += status[index] == 0;
    }
    return rc < 0 ? rc : done;
}

int umbp_bulk_client_read (umbp_bulk_client_t *self, umbp_bulk_io_t *items, size_t count,
                           int *status, int64_t deadline_ms)
{
    return s_run (self, UMBP_BULK_READ, items, count, status, deadline_ms);
}

int umbp_bulk_client_write (umbp_bulk_client_t *self, umbp_bulk_io_t *items, size_t count,
                            int *status, int64_t deadline_ms)
{
    return s_run (self, UMBP_BULK_WRITE, items, count, status, deadline_ms);
}

//  ---- Connecting

static int s_recv_all (int sock, uint8_t *data, size_t size, int64_t deadline_ms)
{
    for (size_t at = 0; at < size;) {
        int rc = umbp_tcp_wait (sock, POLLIN, deadline_ms);
        if (rc < 0)
            return rc;
        ssize_t got = recv (sock, data + at, size - at, MSG_DONTWAIT);
        if (got > 0)
            at += got;
        else if ((rc = s_blocked (got)) < 0)
            return rc;
    }
    return 0;
}

//  The first bytes on a connection always fit its buffer
static int s_send_all (int sock, const uint8_t *data, size_t size)
{
    ssize_t sent = send (sock, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t) size ? 0 : UMBP_ECLOSED;
}

//  Hear WELCOME, behind HELLO in talk, with the proof behind it. Returns 0 or an error.
static int s_hear_welcome (umbp_bulk_client_t *self, uint8_t *wire, int64_t deadline_ms)
{
    umbp_bulk_welcome_t welcome;
    int rc = s_recv_all (self->sock, wire, UMBP_BULK_WELCOME_HEAD_BYTES, deadline_ms);
    if (rc == 0)
        rc = umbp_bulk_welcome_unpack (&welcome, wire);
    if (rc == 0)
        rc = welcome.status;
    if (rc == 0 && welcome.version != UMBP_BULK_VERSION)
        rc = UMBP_ENOTSUP;
    if (rc != 0)
        return rc;
    self->size_max = welcome.size_max;
    return s_recv_all (self->sock, wire + UMBP_BULK_WELCOME_HEAD_BYTES,
                       UMBP_BULK_WELCOME_BYTES - UMBP_BULK_WELCOME_HEAD_BYTES, deadline_ms);
}

//  Say HELLO, hear WELCOME, and give a proof for a proof
static int s_greet (umbp_bulk_client_t *self, const umbp_bulk_peer_t *peer, int64_t deadline_ms)
{
    uint8_t talk[UMBP_BULK_TALK_BYTES + UMBP_BULK_PROOF_BYTES];
    const umbp_bulk_hello_t hello = { UMBP_BULK_VERSION, peer->session };
    umbp_bulk_hello_pack (&hello, talk);
    umbp_bulk_auth_draw (talk + UMBP_BULK_HELLO_HEAD_BYTES, UMBP_BULK_NONCE_BYTES);
    int rc = s_send_all (self->sock, talk, UMBP_BULK_HELLO_BYTES);
    if (rc == 0)
        rc = s_hear_welcome (self, talk + UMBP_BULK_HELLO_BYTES, deadline_ms);
    if (rc != 0)
        return rc;
    umbp_bulk_auth_t auth;
    umbp_bulk_auth_set (&auth, peer->key, talk);
    self->requests = auth.requests;
    self->replies = auth.replies;
    if (!umbp_bulk_auth_proves (talk + UMBP_BULK_TALK_BYTES, auth.server_proof))
        return UMBP_EDENIED;
    return s_send_all (self->sock, auth.client_proof, UMBP_BULK_PROOF_BYTES);
}

umbp_bulk_client_t *umbp_bulk_client_new (const umbp_bulk_peer_t *peer, int64_t deadline_ms,
                                          int *rc_p)
{
    umbp_bulk_client_t *self = calloc (1, sizeof *self);
    assert (self);
    self->sock = -1;
    int rc = peer->key ? umbp_tcp_connect (peer->endpoint, deadline_ms) : UMBP_ENOTSUP;
    if (rc >= 0) {
        self->sock = rc;
        rc = s_greet (self, peer, deadline_ms);
    }
    if (rc != 0)
        umbp_bulk_client_destroy (&self);
    if (rc_p)
        *rc_p = rc;
    return self;
}

void umbp_bulk_client_destroy (umbp_bulk_client_t **self_p)
{
    assert (self_p);
    if (*self_p) {
        s_close (*self_p);
        free (*self_p);
        *self_p = NULL;
    }
}

bool umbp_bulk_client_is_open (const umbp_bulk_client_t *self)
{
    return self->sock != -1;
}

bool umbp_bulk_client_is_here (const umbp_bulk_client_t *self)
{
    return self->sock != -1 && umbp_tcp_is_here (self->sock);
}

//  ---- Connections that are kept

static void s_fail_all (int *status, size_t count, int rc)
{
    for (size_t index = 0; index < count; index++)
        status[index] = rc;
}

//  Let a moment pass for a server that had no room: 0, 1, 2, 4 ms
static void s_pause (int runs)
{
    if (runs > 1)
        poll (NULL, 0, 1 << (runs - 2));
}

int umbp_bulk_client_run (umbp_bulk_client_t **client_p, const umbp_bulk_peer_t *peer,
                          int64_t connect_ms, umbp_bulk_transfer_fn *transfer,
                          umbp_bulk_io_t *items, size_t count, int *status, int64_t deadline_ms)
{
    int rc = UMBP_ECLOSED;
    for (int runs = 0; rc == UMBP_ECLOSED && runs < RUNS_MAX; runs++) {
        if (*client_p && !umbp_bulk_client_is_open (*client_p))
            umbp_bulk_client_destroy (client_p);
        s_pause (runs);
        int64_t until = umbp_clock_ms () + connect_ms;
        if (!*client_p)
            *client_p = umbp_bulk_client_new (peer, until < deadline_ms ? until : deadline_ms, &rc);
        if (*client_p)
            rc = transfer (*client_p, items, count, status, deadline_ms);
        else
            s_fail_all (status, count, rc);
    }
    return rc;
}
