//  actors/probes.c - which endpoints to try, and when. See probes.h.
#include "actors/probes.h"

#include <czmq.h>
#include <xxhash.h>

#include "proto/types.h"

#define WAIT_MAX_MS 10000

typedef struct {
    char endpoint[UMBP_TEXT_MAX + 1];
    char node[UMBP_NAME_MAX + 1];       //  Who is behind it, at home elsewhere; empty: nobody
    int64_t next;                       //  Not before
    int64_t until;                      //  Tried by ourselves up to then
    int64_t failed;                     //  When it last did
    unsigned wait_ms;
    int status;                         //  Of the last try
    bool open;
} probe_t;

struct umbp_probes {
    unsigned wait_ms;
    size_t count, open;
    uint64_t tags[UMBP_PROBES_MAX];     //  Beside the probes, for a quick search
    probe_t probes[UMBP_PROBES_MAX];
};

umbp_probes_t *umbp_probes_new (unsigned wait_ms)
{
    umbp_probes_t *self = zmalloc (sizeof (umbp_probes_t));
    self->wait_ms = wait_ms;
    return self;
}

void umbp_probes_destroy (umbp_probes_t **self_p)
{
    assert (self_p);
    freen (*self_p);
}

uint64_t umbp_probes_tag (const char *endpoint)
{
    return XXH3_64bits (endpoint, strlen (endpoint));
}

static probe_t *s_find (umbp_probes_t *self, uint64_t tag)
{
    for (size_t index = 0; index < self->count; index++)
        if (self->tags[index] == tag)
            return &self->probes[index];
    return NULL;
}

//  Forget one; the last of the table takes its place
static void s_forget (umbp_probes_t *self, probe_t *probe)
{
    size_t index = (size_t) (probe - self->probes);
    self->open -= probe->open;
    self->count--;
    if (index != self->count) {
        self->probes[index] = self->probes[self->count];
        self->tags[index] = self->tags[self->count];
    }
}

//  Make room in a full table: whoever waits longest goes, as what we look after ourselves goes last
static void s_make_room (umbp_probes_t *self, int64_t now)
{
    probe_t *victim = NULL;
    for (size_t index = 0; index < self->count; index++) {
        probe_t *probe = &self->probes[index];
        if (probe->open)
            continue;
        bool kept = probe->until > now, victim_kept = victim && victim->until > now;
        if (!victim || kept < victim_kept || (kept == victim_kept && probe->next > victim->next))
            victim = probe;
    }
    assert (victim);                    //  Far fewer are open than there are places
    s_forget (self, victim);
}

static probe_t *s_need (umbp_probes_t *self, const char *endpoint, int64_t now)
{
    uint64_t tag = umbp_probes_tag (endpoint);
    probe_t *probe = s_find (self, tag);
    if (probe)
        return probe;
    if (self->count == UMBP_PROBES_MAX)
        s_make_room (self, now);
    self->tags[self->count] = tag;
    probe = &self->probes[self->count++];
    *probe = (probe_t) { .next = now, .wait_ms = self->wait_ms };
    snprintf (probe->endpoint, sizeof probe->endpoint, "%s", endpoint);
    return probe;
}

bool umbp_probes_begin (umbp_probes_t *self, const char *endpoint, int64_t now)
{
    if (self->open == UMBP_PROBES_OPEN_MAX)
        return false;
    probe_t *probe = s_need (self, endpoint, now);
    if (probe->open || probe->next > now)
        return false;
    probe->open = true;
    self->open++;
    return true;
}

static void s_close (umbp_probes_t *self, probe_t *probe)
{
    self->open -= probe->open;
    probe->open = false;
}

bool umbp_probes_failed (umbp_probes_t *self, uint64_t tag, int status, int64_t now)
{
    probe_t *probe = s_find (self, tag);
    if (!probe || !probe->open)
        return false;
    s_close (self, probe);
    bool news = probe->status != status;
    probe->status = status;
    probe->failed = now;
    probe->next = now + probe->wait_ms;
    probe->wait_ms = probe->wait_ms > WAIT_MAX_MS / 2 ? WAIT_MAX_MS : probe->wait_ms * 2;
    return news;
}

void umbp_probes_heard (umbp_probes_t *self, const char *endpoint)
{
    probe_t *probe = s_find (self, umbp_probes_tag (endpoint));
    if (probe && !*probe->node && probe->next > probe->failed + self->wait_ms)
        probe->next = probe->failed + self->wait_ms;
}

void umbp_probes_met (umbp_probes_t *self, uint64_t tag)
{
    probe_t *probe = s_find (self, tag);
    if (probe)
        s_forget (self, probe);
}

void umbp_probes_alias (umbp_probes_t *self, uint64_t tag, const char *node, int64_t now)
{
    probe_t *probe = s_find (self, tag);
    if (!probe)
        return;
    s_close (self, probe);
    snprintf (probe->node, sizeof probe->node, "%s", node);
    probe->next = now + WAIT_MAX_MS;
    probe->status = 0;
}

const char *umbp_probes_node (const umbp_probes_t *self, const char *endpoint)
{
    const probe_t *probe = s_find ((umbp_probes_t *) self, umbp_probes_tag (endpoint));
    return probe && *probe->node ? probe->node : NULL;
}

void umbp_probes_lost (umbp_probes_t *self, const char *endpoint, int64_t until, int64_t now)
{
    probe_t *probe = s_need (self, endpoint, now);
    probe->until = until;
}

const char *umbp_probes_due (const umbp_probes_t *self, size_t *cursor, int64_t now)
{
    for (; *cursor < self->count; (*cursor)++) {
        const probe_t *probe = &self->probes[*cursor];
        if (!probe->open && probe->until > now && probe->next <= now) {
            (*cursor)++;
            return probe->endpoint;
        }
    }
    return NULL;
}

size_t umbp_probes_open (const umbp_probes_t *self)
{
    return self->open;
}
