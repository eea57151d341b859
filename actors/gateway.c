//  actors/gateway.c - what a node says of itself over HTTP. See gateway.h.
#include "actors/gateway.h"

#include "actors/http.h"
#include "actors/vitals.h"

#define TICK_MS 1000
#define ASK_MS 5000                     //  An actor has to answer
#define STALL_MS 2000                   //  Between two ticks: we stood still ourselves
#define TOPOLOGY UMBP_VITALS_ACTORS_MAX //  Tag of that question; others have an actor's number,
#define TENANTS (TOPOLOGY + 1)          //  ... or that and this, of a tier

typedef struct {
    umbp_vitals_t *vitals;
    umbp_http_t *http;
    umbp_openmetrics_t *page;
    umbp_post_t *post;
    bool asked[TENANTS + UMBP_VITALS_ACTORS_MAX];       //  And not answered yet
    int64_t ticked_at;
    uint64_t page_bytes, pages_cut;
    char line[1024];                    //  Of /healthz and /readyz
} self_t;

//  --------------------------------------------------------------------------------------------------
//  Asking

static void s_on_answer (void *owner, uint64_t tag, int status, const umbp_mail_t *mail)
{
    self_t *self = owner;
    self->asked[tag] = false;
    if (status < 0 || !mail)
        return;                         //  Its silence counts
    if (tag == TOPOLOGY && mail->msg->type == UMBP_MSG_topology_ok)
        umbp_vitals_topology (self->vitals, &mail->msg->topology_ok, zclock_mono ());
    if (tag >= TENANTS && mail->msg->type == UMBP_MSG_tenants_ok)
        umbp_vitals_tenants (self->vitals, tag - TENANTS, &mail->msg->tenants_ok);
    if (tag < TOPOLOGY && mail->msg->type == UMBP_MSG_stat_ok)
        umbp_vitals_take (self->vitals, tag, &mail->msg->stat_ok, zclock_mono ());
}

static void s_ask (self_t *self, size_t tag, const char *actor, umbp_msg_type_t type)
{
    if (self->asked[tag])
        return;                         //  A slow one is not asked again meanwhile
    umbp_msg_t msg;
    umbp_msg_init (&msg, type, 0);
    self->asked[tag] =
        umbp_post_ask (self->post, actor, NULL, &msg, NULL, 0, ASK_MS, s_on_answer, tag) == 0;
}

static void s_tick (void *owner)
{
    self_t *self = owner;
    int64_t now = zclock_mono (), gap_ms = now - self->ticked_at;
    if (gap_ms > STALL_MS)
        umbp_vitals_stalled (self->vitals, gap_ms - TICK_MS);
    self->ticked_at = now;
    for (size_t number = 0; number < umbp_vitals_count (self->vitals); number++) {
        const char *actor = umbp_vitals_actor (self->vitals, number);
        s_ask (self, number, actor, UMBP_MSG_stat);
        if (strncmp (actor, "tier:", 5) == 0)
            s_ask (self, TENANTS + number, actor, UMBP_MSG_tenants);
    }
    s_ask (self, TOPOLOGY, "registry", UMBP_MSG_topology);
}

//  --------------------------------------------------------------------------------------------------
//  Pages

static void s_metrics (self_t *self, umbp_page_t *page)
{
    bool whole;
    umbp_openmetrics_clear (self->page);
    umbp_vitals_write (self->vitals, self->page, zclock_mono ());
    page->text = umbp_openmetrics_end (self->page, &page->size, &whole);
    page->type = UMBP_OPENMETRICS_TYPE;
    page->status = 200;
    self->page_bytes = page->size;
    self->pages_cut += !whole;
}

static void s_probe (self_t *self, bool good, umbp_page_t *page)
{
    size_t used = good ? 0 : strlen (self->line);
    snprintf (self->line + used, sizeof self->line - used, good ? "ok\n" : "\n");
    *page = (umbp_page_t) { good ? 200 : 503, "text/plain; charset=utf-8", self->line,
                           strlen (self->line) };
}

static bool s_on_page (void *owner, const char *path, umbp_page_t *page)
{
    self_t *self = owner;
    int64_t now = zclock_mono ();
    char *line = self->line;
    size_t size = sizeof self->line - 1;        //  And the end of the line
    if (streq (path, "/metrics"))
        s_metrics (self, page);
    else if (streq (path, "/healthz"))
        s_probe (self, umbp_vitals_healthy (self->vitals, now, line, size), page);
    else if (streq (path, "/readyz"))
        s_probe (self, umbp_vitals_ready (self->vitals, now, line, size), page);
    else
        return false;
    return true;
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_stat (void *owner, umbp_gauges_t *gauges)
{
    self_t *self = owner;
    const umbp_http_stats_t *http = umbp_http_stats (self->http);
    umbp_gauges_add (gauges, "http_requests", http->requests);
    umbp_gauges_add (gauges, "http_refused", http->refused);
    umbp_gauges_add (gauges, "http_cut", http->cut);
    umbp_gauges_add (gauges, "http_connections", http->connections);
    umbp_gauges_add (gauges, "page_bytes", self->page_bytes);
    umbp_gauges_add (gauges, "pages_cut", self->pages_cut);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    self_t *self = owner;
    self->post = post;
    self->ticked_at = zclock_mono ();
    umbp_http_start (self->http, loop, self, s_on_page);
    s_tick (self);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    umbp_http_destroy (&self->http);
    umbp_openmetrics_destroy (&self->page);
    umbp_vitals_destroy (&self->vitals);
    freen (*self_p);
}

zactor_t *umbp_gateway_new (const umbp_gateway_args_t *args, char *url, size_t size)
{
    static const umbp_op_t ops[] = { { 0, NULL } };
    umbp_http_t *http = umbp_http_new (args->listen, url, size);
    if (!http)
        return NULL;
    self_t *self = zmalloc (sizeof (self_t));
    self->http = http;
    self->page = umbp_openmetrics_new (UMBP_OPENMETRICS_MAX);
    self->vitals = umbp_vitals_new (args->home->node, zclock_mono ());
    umbp_vitals_add (self->vitals, "registry");
    for (const char *const *actor = args->actors; *actor; actor++)
        if (strneq (*actor, "registry") && strneq (*actor, "gateway")
            && umbp_vitals_add (self->vitals, *actor) < 0)
            zsys_warning ("gateway: too many actors, %s is not asked", *actor);
    if (umbp_vitals_add (self->vitals, "gateway") < 0)
        zsys_warning ("gateway: too many actors, our own metrics are left out");
    umbp_actor_args_t actor = { .name = "gateway",
                                .home = args->home,
                                .ops = ops, .self = self,
                                .start = s_start, .stat = s_stat, .tick = s_tick, .tick_ms = TICK_MS,
                                .destroy = s_destroy };
    zactor_t *gateway = umbp_actor_new (&actor);
    if (gateway)
        zsys_info ("gateway: serves %s/metrics", url);
    return gateway;
}
