//  cluster/bulk/tcp_desk.c - where owner and server thread meet. See tcp_desk.h.
#include "cluster/bulk/tcp_desk.h"

#include "proto/error.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
    uint64_t id;
    uint32_t connections;               //  0 and not told: the place is free
    bool told;                          //  Its CLOSED stands in the events
} session_t;

struct umbp_desk {
    pthread_mutex_t lock;
    umbp_grants_t *grants;
    size_t tokens_max;
    size_t owed;                        //  REVOKED events not yet fetched; they keep their place
    session_t *sessions;
    size_t sessions_max;
    int fd;                             //  Readable while there are events
    umbp_bulk_event_t *events;          //  A ring; one event of each token and session fits
    size_t events_max, events_at, events_count;
};

umbp_desk_t *umbp_desk_new (umbp_grants_t **grants_p, size_t tokens_max, size_t sessions_max)
{
    umbp_desk_t *self = calloc (1, sizeof *self);
    assert (self);
    *self = (umbp_desk_t) {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .grants = *grants_p,
        .tokens_max = tokens_max,
        .sessions = calloc (sessions_max, sizeof (session_t)),
        .sessions_max = sessions_max,
        .fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK),
        .events = calloc (tokens_max + sessions_max, sizeof (umbp_bulk_event_t)),
        .events_max = tokens_max + sessions_max,
    };
    assert (self->sessions && self->events);
    *grants_p = NULL;
    if (self->fd == -1)
        umbp_desk_destroy (&self);
    return self;
}

void umbp_desk_destroy (umbp_desk_t **self_p)
{
    assert (self_p);
    umbp_desk_t *self = *self_p;
    if (!self)
        return;
    umbp_grants_destroy (&self->grants);
    if (self->fd != -1)
        close (self->fd);
    pthread_mutex_destroy (&self->lock);
    free (self->sessions);
    free (self->events);
    free (self);
    *self_p = NULL;
}

//  ---- Events

static void s_tell (umbp_desk_t *self, umbp_bulk_event_type_t type, uint64_t id)
{
    assert (self->events_count < self->events_max);
    size_t at = (self->events_at + self->events_count++) % self->events_max;
    self->events[at] = (umbp_bulk_event_t) { type, id };
    if (self->events_count == 1)
        eventfd_write (self->fd, 1);
}

static session_t *s_session (umbp_desk_t *self, uint64_t id)
{
    for (size_t index = 0; index < self->sessions_max; index++) {
        session_t *session = &self->sessions[index];
        if (session->id == id && (session->connections || session->told))
            return session;
    }
    return NULL;
}

//  An event leaves the ring. Returns false if it is not true any more.
static bool s_settle (umbp_desk_t *self, const umbp_bulk_event_t *event)
{
    if (event->type == UMBP_BULK_REVOKED) {
        self->owed--;
        return true;
    }
    session_t *session = s_session (self, event->id);
    session->told = false;
    return session->connections == 0;   //  Else it came back before we could say that it was gone
}

int umbp_desk_event (umbp_desk_t *self, umbp_bulk_event_t *event)
{
    int found = 0;
    pthread_mutex_lock (&self->lock);
    while (!found && self->events_count) {
        *event = self->events[self->events_at];
        self->events_at = (self->events_at + 1) % self->events_max;
        self->events_count--;
        found = s_settle (self, event);
    }
    eventfd_t count;
    if (self->events_count == 0)
        eventfd_read (self->fd, &count);
    pthread_mutex_unlock (&self->lock);
    return found;
}

int umbp_desk_fd (const umbp_desk_t *self)
{
    return self->fd;
}

//  ---- Grants

int umbp_desk_grant (umbp_desk_t *self, const umbp_grant_t *grant)
{
    pthread_mutex_lock (&self->lock);
    int rc = UMBP_EAGAIN;
    if (umbp_grants_count (self->grants) + self->owed < self->tokens_max)
        rc = umbp_grants_add (self->grants, grant);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

int umbp_desk_revoke (umbp_desk_t *self, uint64_t token)
{
    int rc = UMBP_ENOENT;
    pthread_mutex_lock (&self->lock);
    umbp_card_t *card = umbp_grants_find (self->grants, token);
    if (card) {
        card->revoked = true;
        rc = card->users;
        if (rc == 0)
            umbp_grants_remove (self->grants, card);
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

int umbp_desk_claim (umbp_desk_t *self, uint64_t session, const umbp_bulk_request_t *request,
                     int64_t now_ms, umbp_card_t **card_p, umbp_cursor_t *cursor)
{
    pthread_mutex_lock (&self->lock);
    int rc = UMBP_ESTALE;
    umbp_card_t *card = umbp_grants_find (self->grants, request->token);
    if (card)
        rc = umbp_card_judge (card, session, request, now_ms, cursor);
    if (rc == 0) {
        card->users++;
        *card_p = card;
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

int umbp_desk_hold (umbp_desk_t *self, uint64_t session, uint64_t token, uint32_t item, bool write,
                    int64_t now_ms, umbp_card_t **card_p, umbp_piece_t *spans, size_t max)
{
    pthread_mutex_lock (&self->lock);
    int rc = UMBP_ESTALE;
    umbp_card_t *card = umbp_grants_find (self->grants, token);
    if (card)
        rc = umbp_card_spans (card, session, item, write, now_ms, spans, max);
    if (rc > 0) {
        card->users++;
        *card_p = card;
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

bool umbp_desk_is_live (umbp_desk_t *self, uint64_t session, int64_t now_ms)
{
    pthread_mutex_lock (&self->lock);
    bool live = umbp_grants_has_live (self->grants, session, now_ms);
    pthread_mutex_unlock (&self->lock);
    return live;
}

void umbp_desk_release (umbp_desk_t *self, umbp_card_t **card_p)
{
    umbp_card_t *card = *card_p;
    *card_p = NULL;
    pthread_mutex_lock (&self->lock);
    card->users--;
    if (card->users == 0 && card->revoked) {
        self->owed++;
        s_tell (self, UMBP_BULK_REVOKED, card->token);
        umbp_grants_remove (self->grants, card);
    }
    pthread_mutex_unlock (&self->lock);
}

bool umbp_desk_is_cut (umbp_desk_t *self, const umbp_card_t *card)
{
    pthread_mutex_lock (&self->lock);
    bool cut = card->revoked;
    pthread_mutex_unlock (&self->lock);
    return cut;
}

//  ---- Sessions

//  A place for a session that is not here. Returns NULL if there is none.
static session_t *s_free_place (umbp_desk_t *self)
{
    for (size_t index = 0; index < self->sessions_max; index++)
        if (self->sessions[index].connections == 0 && !self->sessions[index].told)
            return &self->sessions[index];
    return NULL;
}

bool umbp_desk_has_room (umbp_desk_t *self, uint64_t id)
{
    pthread_mutex_lock (&self->lock);
    bool room = s_session (self, id) || s_free_place (self);
    pthread_mutex_unlock (&self->lock);
    return room;
}

int umbp_desk_enter (umbp_desk_t *self, uint64_t id)
{
    pthread_mutex_lock (&self->lock);
    session_t *session = s_session (self, id);
    if (!session) {
        session = s_free_place (self);
        if (session)
            session->id = id;
    }
    if (session)
        session->connections++;
    pthread_mutex_unlock (&self->lock);
    return session ? 0 : UMBP_EAGAIN;
}

void umbp_desk_leave (umbp_desk_t *self, uint64_t id)
{
    pthread_mutex_lock (&self->lock);
    session_t *session = s_session (self, id);
    session->connections--;
    if (session->connections == 0 && !session->told) {
        session->told = true;
        s_tell (self, UMBP_BULK_CLOSED, id);
    }
    pthread_mutex_unlock (&self->lock);
}

//  Under one lock with the grants: what is granted from now on is not lost by our leaving
bool umbp_desk_retire (umbp_desk_t *self, uint64_t id, int64_t now_ms)
{
    pthread_mutex_lock (&self->lock);
    bool live = umbp_grants_has_live (self->grants, id, now_ms);
    if (!live)
        s_session (self, id)->connections--;
    pthread_mutex_unlock (&self->lock);
    return !live;
}
