//  actors/worker/events.c - what happened to workers, by number, and who waits to hear of it. An
//  event never waits for a listener: who is slow hears how many he lost.
#include "actors/worker/self.h"

#define EARLY_MS 50                     //  Before his deadline a listener hears that there is nothing

void umbp_worker_say (umbp_worker_t *self, umbp_worker_event_kind_t kind,
                      const umbp_worker_row_t *row, const char *reason)
{
    umbp_worker_events_t *events = &self->events;
    umbp_worker_event_t *event = &events->ring[events->last++ % UMBP_WORKERS_MAX];
    *event = (umbp_worker_event_t){ .kind = kind,
                                    .state = row->record.state,
                                    .pid = row->process ? umbp_process_pid (row->process) : 0,
                                    .at = zclock_mono () };
    snprintf (event->uid, sizeof event->uid, "%s", row->record.uid);
    snprintf (event->reason, sizeof event->reason, "%s", reason);
}

typedef struct {
    uint8_t bytes[UMBP_WORKERS_MAX * UMBP_TEXT_MAX];
    uint16_t sizes[UMBP_WORKERS_MAX];
    umbp_column_t column;
} texts_t;

static void s_add (texts_t *texts, const char *text)
{
    size_t size = strlen (text);
    memcpy (texts->bytes + texts->column.size, text, size);
    texts->sizes[texts->column.count++] = (uint16_t) size;
    texts->column.size += (uint32_t) size;
    texts->column.bytes = texts->bytes;
    texts->column.sizes = texts->sizes;
}

static void s_answer (umbp_worker_t *self, const umbp_origin_t *origin, uint64_t since, int64_t now)
{
    const umbp_worker_events_t *events = &self->events;
    texts_t *uids = zmalloc (sizeof *uids), *reasons = zmalloc (sizeof *reasons);
    uint8_t kinds[UMBP_WORKERS_MAX], states[UMBP_WORKERS_MAX];
    uint32_t pids[UMBP_WORKERS_MAX], count = 0;
    uint64_t ages_ms[UMBP_WORKERS_MAX];
    since = since < events->last ? since : events->last;
    uint64_t left = events->last - since;
    uint64_t lost = left > UMBP_WORKERS_MAX ? left - UMBP_WORKERS_MAX : 0;
    for (uint64_t number = since + lost; number < events->last; number++) {
        const umbp_worker_event_t *event = &events->ring[number % UMBP_WORKERS_MAX];
        s_add (uids, event->uid);
        s_add (reasons, event->reason);
        kinds[count] = (uint8_t) event->kind;
        states[count] = (uint8_t) event->state;
        pids[count] = (uint32_t) event->pid;
        ages_ms[count++] = (uint64_t) (now - event->at);
    }
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_worker_events_ok, 0);
    umbp_msg_worker_events_ok_t *ok = &msg.worker_events_ok;
    ok->last = events->last;
    ok->lost = lost;
    ok->kinds = (umbp_u8s_t){ kinds, count };
    ok->uids = uids->column;
    ok->states = (umbp_u8s_t){ states, count };
    ok->pids = (umbp_u32s_t){ pids, count };
    ok->reasons = reasons->column;
    ok->ages_ms = (umbp_u64s_t){ ages_ms, count };
    umbp_post_answer (self->post, origin, &msg, NULL, 0);
    free (uids);
    free (reasons);
}

//  A number from before we started is of our former self: then all there is
void umbp_worker_listen (umbp_worker_t *self, const umbp_mail_t *mail)
{
    uint64_t since = mail->msg->worker_events.since;
    int64_t now = zclock_mono ();
    since = since <= self->events.last ? since : 0;
    if (since < self->events.last || mail->expires - EARLY_MS <= now) {
        s_answer (self, mail->origin, since, now);
        return;
    }
    for (size_t place = 0; place < UMBP_WORKER_LISTENERS_MAX; place++)
        if (self->events.listeners[place].until == 0) {
            self->events.listeners[place].origin = *mail->origin;
            self->events.listeners[place].since = since;
            self->events.listeners[place].until = mail->expires - EARLY_MS;
            return;
        }
    umbp_post_refuse (self->post, mail->origin, UMBP_EAGAIN, "since", "too many wait for events");
}

void umbp_worker_tell (umbp_worker_t *self, int64_t now)
{
    for (size_t place = 0; place < UMBP_WORKER_LISTENERS_MAX; place++)
        if (self->events.listeners[place].until
            && (self->events.listeners[place].since < self->events.last
                || self->events.listeners[place].until <= now)) {
            self->events.listeners[place].until = 0;
            s_answer (self, &self->events.listeners[place].origin,
                      self->events.listeners[place].since, now);
        }
}
