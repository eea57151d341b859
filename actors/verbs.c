//  actors/verbs.c - the verbs actor: its messages. See verbs.h; what it does is in verbs_links.c.
#include "actors/verbs.h"

#include <unistd.h>

#include "actors/verbs_links.h"
#include "cluster/bulk/pairs.h"
#include "cluster/bulk/tcp_auth.h"
#include "cluster/origin.h"

#define TICK_MS 1000
#define USER_MAX (UMBP_NAME_MAX + 4)

typedef struct {
    uint32_t page_size;
    umbp_bulk_server_t *bulk;
    umbp_verbs_links_t *links;
    umbp_post_t *post;
    umbp_verbs_row_t rows[UMBP_WINDOWS_MAX];
    uint32_t keys[UMBP_WINDOWS_MAX * UMBP_QUEUE_PAIRS_MAX];
    uint32_t pages[UMBP_WINDOWS_MAX], page_counts[UMBP_WINDOWS_MAX];
    uint16_t regions[UMBP_WINDOWS_MAX], counts[UMBP_BATCH_MAX];
    int8_t statuses[UMBP_BATCH_MAX];
} self_t;

//  Who asks, as its certificate says: links are bound to that as well as to their numbers
static void s_user (const umbp_mail_t *mail, char *out)
{
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    snprintf (out, USER_MAX, "%d %s", (int) user.kind, user.name);
}

//  --------------------------------------------------------------------------------------------------
//  join

static void s_answer_join (self_t *self, const umbp_mail_t *mail, uint64_t number,
                           const umbp_verbs_description_t *own)
{
    umbp_pairs_room_t room;
    umbp_pairs_t pairs = umbp_pairs_write (own, &room);
    uint64_t bases[UMBP_REGIONS_MAX], sizes[UMBP_REGIONS_MAX];
    uint32_t regions = (uint32_t) umbp_verbs_links_regions (self->links, bases, sizes);
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_join_ok, 0);
    umbp_msg_join_ok_t *ok = &answer.join_ok;
    ok->link = number;
    UMBP_PAIRS_INTO (ok, pairs);
    ok->page_size = self->page_size;
    ok->bases = (umbp_u64s_t) { bases, regions };
    ok->sizes = (umbp_u64s_t) { sizes, regions };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

static void s_on_join (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    umbp_verbs_description_t peer, own;
    char user[USER_MAX];
    uint64_t number = 0;
    s_user (mail, user);
    umbp_pairs_t pairs = UMBP_PAIRS_OF (&mail->msg->join);
    int rc = UMBP_EPROTO;
    if (umbp_pairs_read (&pairs, &peer))
        rc = umbp_verbs_links_join (self->links, umbp_bulk_alias (mail->msg->join.session), user,
                                    &peer, &number, &own);
    if (rc == 0)
        s_answer_join (self, mail, number, &own);
    else
        umbp_post_refuse (self->post, mail->origin, rc, "join",
                          rc == UMBP_ESTALE   ? "the session has no lease or slot here"
                          : rc == UMBP_EAGAIN ? "too many links are in use"
                                              : "these queue pairs cannot be linked to");
}

//  --------------------------------------------------------------------------------------------------
//  expose, conceal

static void s_on_expose (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_expose_t *ask = &mail->msg->expose;
    char user[USER_MAX];
    s_user (mail, user);
    size_t queues = umbp_verbs_links_queues (self->links, ask->link, user);
    if (queues == 0) {
        umbp_post_refuse (self->post, mail->origin, UMBP_ENOENT, "link",
                          "there is none of that number any more: join again");
        return;
    }
    uint32_t count = ask->tokens.count;
    const umbp_verbs_ask_t blocks = { ask->tokens, ask->items, ask->write };
    int rc = umbp_verbs_links_expose (self->links, ask->link, user, &blocks, self->rows,
                                      UMBP_WINDOWS_MAX, self->statuses, self->counts);
    uint32_t used = rc < 0 ? 0 : (uint32_t) rc;
    for (uint32_t row = 0; row < used; row++) {
        self->regions[row] = self->rows[row].extent.region;
        self->pages[row] = self->rows[row].extent.page;
        self->page_counts[row] = self->rows[row].extent.count;
        memcpy (self->keys + row * queues, self->rows[row].keys, queues * sizeof *self->keys);
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_expose_ok, 0);
    umbp_msg_expose_ok_t *ok = &answer.expose_ok;
    ok->statuses = (umbp_s8s_t) { self->statuses, count };
    ok->counts = (umbp_u16s_t) { self->counts, count };
    ok->regions = (umbp_u16s_t) { self->regions, used };
    ok->pages = (umbp_u32s_t) { self->pages, used };
    ok->page_counts = (umbp_u32s_t) { self->page_counts, used };
    ok->keys = (umbp_u32s_t) { self->keys, used * (uint32_t) queues };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

static void s_on_conceal (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_conceal_t *ask = &mail->msg->conceal;
    char user[USER_MAX];
    s_user (mail, user);
    for (size_t index = 0; index < ask->tokens.count; index++)
        umbp_verbs_links_conceal (self->links, ask->link, user, umbp_u64s_at (ask->tokens, index),
                                  ask->clean);
    if (ask->tokens.count == 0)
        umbp_verbs_links_leave (self->links, ask->link, user);
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  --------------------------------------------------------------------------------------------------
//  Life

static int s_on_cuts (zloop_t *loop, zmq_pollitem_t *item, void *owner)
{
    (void) loop;
    self_t *self = owner;
    uint64_t count;
    if (read (item->fd, &count, sizeof count) == sizeof count)
        umbp_verbs_links_cut (self->links);
    return 0;
}

static void s_tick (void *owner)
{
    umbp_verbs_links_tidy (((self_t *) owner)->links);
}

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    self_t *self = owner;
    self->post = post;
    zmq_pollitem_t item = { .fd = umbp_bulk_server_cuts_fd (self->bulk), .events = ZMQ_POLLIN };
    zloop_poller (loop, &item, s_on_cuts, self);
}

static void s_stat (void *owner, umbp_gauges_t *gauges)
{
    umbp_verbs_links_stats_t stats = umbp_verbs_links_stats (((self_t *) owner)->links);
    umbp_gauges_add (gauges, "links", stats.links);
    umbp_gauges_add (gauges, "windows", stats.windows);
    umbp_gauges_add (gauges, "joined", stats.joined);
    umbp_gauges_add (gauges, "exposed", stats.exposed);
    umbp_gauges_add (gauges, "exposed_bytes", stats.exposed_bytes);
    umbp_gauges_add (gauges, "not_exposed", stats.refused);
    umbp_gauges_add (gauges, "revoked", stats.revoked);
    umbp_gauges_add (gauges, "links_fenced", stats.fenced);
    umbp_gauges_add (gauges, "links_broken", stats.broken);
    umbp_gauges_add (gauges, "links_idle", stats.idle);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    umbp_verbs_links_destroy (&self->links);
    freen (*self_p);
}

umbp_verbs_t *umbp_verbs_actor_open (const umbp_verbs_how_t *how, const umbp_verbs_api_t **api_p)
{
    char text[1024], why[UMBP_VERBS_WHY_MAX];
    umbp_verbs_options_t options = { .devices = how->devices,
                                     .gid_index = (int) how->gid_index,
                                     .no_windows = how->no_windows };
    const umbp_verbs_api_t *api = umbp_verbs_load (how->plugin, why);
    umbp_verbs_t *verbs = api ? api->open (&options, NULL, why) : NULL;
    if (!verbs) {
        if (!how->quiet)
            zsys_info ("verbs: %s", why);
        return NULL;
    }
    api->print (verbs, text, sizeof text);
    for (char *rest = NULL, *line = how->quiet ? NULL : strtok_r (text, "\n", &rest); line;
         line = strtok_r (NULL, "\n", &rest))
        zsys_info ("verbs: serving by %s", line);
    *api_p = api;
    return verbs;
}

static umbp_verbs_links_t *s_links (const umbp_verbs_args_t *args)
{
    umbp_verbs_links_args_t how = { .api = args->api,
                                    .verbs = args->verbs,
                                    .regions = args->regions, .region_count = args->region_count,
                                    .page_size = args->page_size, .bulk = args->bulk,
                                    .idle_ms = args->idle_ms };
    int rc = 0;
    umbp_verbs_links_t *self = umbp_verbs_links_new (&how, &rc);
    if (!self)
        zsys_warning ("verbs: cannot lock the memory for RDMA: %s; raise ulimit -l (LimitMEMLOCK); "
                      "bulk bytes go over tcp",
                      umbp_strerror (rc));
    return self;
}

zactor_t *umbp_verbs_actor_new (const umbp_verbs_args_t *args)
{
    static const umbp_op_t ops[] = {
        { UMBP_MSG_join, s_on_join },
        { UMBP_MSG_expose, s_on_expose },
        { UMBP_MSG_conceal, s_on_conceal },
        { 0, NULL },
    };
    umbp_verbs_links_t *links = s_links (args);
    if (!links)
        return NULL;
    self_t *self = zmalloc (sizeof (self_t));
    self->page_size = args->page_size;
    self->bulk = args->bulk;
    self->links = links;
    umbp_actor_args_t actor = { .name = "verbs",
                                .home = args->home,
                                .ops = ops,
                                .self = self, .start = s_start, .stat = s_stat,
                                .tick = s_tick, .tick_ms = TICK_MS, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}
