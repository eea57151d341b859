//  cluster/discovery/etcd.c - nodes found through etcd. See etcd.h.
//
//  A turn does the first of these that is not done: a token, if there is a user; a lease; keeping it
//  alive, when that is due; our key; reading all keys, and with that the watch from there on. So
//  whatever was lost (the lease, the key, the watch, all data of etcd) is made good by the same
//  steps. A step is one request, one at a time; the watch is the only other one.
#include "cluster/discovery/etcd.h"

#include "cluster/discovery/etcd_json.h"
#include "cluster/discovery/finder.h"
#include "cluster/discovery/etcd_http.h"
#include "cluster/endpoint.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define REPEAT_MS 10000
#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 5000
#define DEADLINE_MIN_MS 1000            //  Of a request: a third of the lease, within these
#define DEADLINE_MAX_MS 5000
#define WATCH_MS 300000                 //  Then all is read again, in case something was missed
#define GOODBYE_MS 1000
#define ANSWER_MAX (2 << 20)            //  1024 nodes are less than 1 MiB
#define PATH_MAX_SIZE 32
#define NEVER INT64_MAX

enum { PLACE_STEP, PLACE_WATCH };

typedef enum { STEP_AUTH, STEP_GRANT, STEP_KEEP, STEP_PUT, STEP_READ, STEP_NONE } step_t;

typedef struct {
    char url[UMBP_TEXT_MAX + 1];
    int said;                           //  The failure that was logged last, 0: it works
} base_t;

struct umbp_etcd {
    umbp_finder_t *finder;
    umbp_etcd_http_t *http;
    zloop_t *loop;
    base_t bases[UMBP_ETCD_ENDPOINTS_MAX];
    size_t base_count, base;            //  How many, and which is used
    char *prefix, *key, *value, *user, *password;
    char token[UMBP_ETCD_TOKEN_MAX + 1];
    unsigned ttl_ms, repeat_ms;
    zhashx_t *heard;                    //  Node -> its endpoint
    zhashx_t *reading;                  //  The same, while all is read
    int64_t lease;                      //  0: none
    int64_t lease_s;                    //  How long it lasts without us
    step_t step;                        //  Under way, or NONE
    bool put, created;                  //  Our key is there; the watch answers
    int64_t keep_at, rest_until, watch_by;    //  Monotonic ms: keep alive; do nothing; watch answers
    int timer;                          //  Of the next turn, -1: none
    unsigned failed;                    //  In a row
    uint64_t random;
    bool works;
    umbp_etcd_stats_t stats;
};

static void s_turn (umbp_etcd_t *self);
static int s_on_turn (zloop_t *loop, int timer, void *arg);

//  --------------------------------------------------------------------------------------------------
//  Time

static unsigned s_deadline (const umbp_etcd_t *self)
{
    unsigned third = self->ttl_ms / 3;
    if (third < DEADLINE_MIN_MS)
        return DEADLINE_MIN_MS;
    return third < DEADLINE_MAX_MS ? third : DEADLINE_MAX_MS;
}

//  The next turn, not before so many ms; also from where no request may be made
static void s_turn_in (umbp_etcd_t *self, int64_t delay_ms)
{
    if (self->timer != -1)
        zloop_timer_end (self->loop, self->timer);
    self->timer =
        zloop_timer (self->loop, delay_ms > 0 ? (size_t) delay_ms : 0, 1, s_on_turn, self);
}

static int64_t s_keep_in (const umbp_etcd_t *self)
{
    return self->lease_s * 1000 / 3;
}

//  After a failure: ever longer, and not all nodes at the same moment. Each endpoint gets its try
//  before it becomes longer.
static int64_t s_rest_ms (umbp_etcd_t *self)
{
    unsigned lap = (unsigned) ((self->failed - 1) / self->base_count);
    int64_t delay_ms = lap < 5 ? RETRY_MIN_MS << lap : RETRY_MAX_MS;
    if (delay_ms > RETRY_MAX_MS)
        delay_ms = RETRY_MAX_MS;
    return delay_ms / 2 + (int64_t) (umbp_splitmix (&self->random) % (uint64_t) (delay_ms / 2 + 1));
}

//  --------------------------------------------------------------------------------------------------
//  Success and failure

static void s_works (umbp_etcd_t *self)
{
    base_t *base = &self->bases[self->base];
    if (base->said != 0)
        zsys_info ("etcd: works again endpoint=%s", base->url);
    else if (!self->works)
        zsys_info ("etcd: registered endpoint=%s key=%s", base->url, self->key);
    base->said = 0;
    self->works = true;
}

static const char *s_reason (const umbp_etcd_http_answer_t *answer)
{
    switch (answer->status) {
    case UMBP_EPROTO: return "not an answer of etcd to this";
    case UMBP_ETOOBIG: return "the answer is too long";
    default: return answer->code == 0 || answer->code == 200 ? answer->why : "etcd is not there";
    }
}

//  Logged when it starts, and when it becomes another one
static void s_say_failure (umbp_etcd_t *self, const char *what,
                           const umbp_etcd_http_answer_t *answer)
{
    base_t *base = &self->bases[self->base];
    int said = answer->status * 1000 - (int) answer->code;
    char reason[128];
    if (base->said == said)
        return;
    base->said = said;
    umbp_etcd_hear_error (answer->data, answer->size, reason, sizeof reason);
    zsys_warning ("etcd: %s failed endpoint=%s http=%ld: %s; tried again, known nodes are kept",
                  what, base->url, answer->code, *reason ? reason : s_reason (answer));
}

//  The next endpoint, after a while, with all that may have to be made anew
static void s_failed (umbp_etcd_t *self, const char *what, const umbp_etcd_http_answer_t *answer)
{
    s_say_failure (self, what, answer);
    self->stats.failures++;
    self->stats.refused += answer->status == UMBP_EPROTO || answer->status == UMBP_ETOOBIG;
    self->failed++;
    self->works = false;
    self->step = STEP_NONE;
    umbp_etcd_http_cancel (self->http, PLACE_STEP);
    umbp_etcd_http_cancel (self->http, PLACE_WATCH);
    *self->token = 0;
    self->keep_at = 0;
    self->base = (self->base + 1) % self->base_count;
    self->rest_until = zclock_mono () + s_rest_ms (self);
    s_turn_in (self, self->rest_until - zclock_mono ());
}

//  --------------------------------------------------------------------------------------------------
//  Keys

//  The node that a key of ours names, or NULL
static const char *s_node_of (const umbp_etcd_t *self, const char *key)
{
    size_t size = strlen (self->prefix), rest = strlen (key) - (strlen (key) < size ? 0 : size);
    if (strncmp (key, self->prefix, size) != 0 || rest == 0 || rest > UMBP_NAME_MAX)
        return NULL;
    return key + size;
}

//  A node is there, or was still there not long ago
static void s_heard (umbp_etcd_t *self, zhashx_t *table, const char *node, const char *value)
{
    bool full = zhashx_size (table) >= UMBP_NODES_MAX && !zhashx_lookup (table, node);
    if (full || !umbp_endpoint_ok (umbp_text (value))) {
        self->stats.ignored++;
        return;
    }
    zhashx_update (table, node, strdup (value));
    umbp_finder_found (self->finder, value);
}

static void s_on_read_key (void *arg, const char *key, const char *value)
{
    umbp_etcd_t *self = arg;
    const char *node = s_node_of (self, key);
    if (node)
        s_heard (self, self->reading, node, value);
    else
        self->stats.ignored++;
}

//  Our own key goes when somebody removes it, and is put again when the lease is kept alive next
static void s_on_watched_key (void *arg, const char *key, const char *value)
{
    umbp_etcd_t *self = arg;
    const char *node = s_node_of (self, key);
    self->stats.events++;
    if (!node)
        self->stats.ignored++;
    else if (value)
        s_heard (self, self->heard, node, value);
    else {
        zhashx_delete (self->heard, node);
        self->put = self->put && !streq (key, self->key);
    }
}

static void s_text_free (void **item)
{
    free (*item);
    *item = NULL;
}

static zhashx_t *s_table (void)
{
    zhashx_t *table = zhashx_new ();
    zhashx_set_destructor (table, s_text_free);
    return table;
}

//  --------------------------------------------------------------------------------------------------
//  The watch

static int s_on_watch_line (void *owner, const char *line, size_t size)
{
    umbp_etcd_t *self = owner;
    umbp_etcd_news_t news;
    int rc = umbp_etcd_hear_watch (line, size, s_on_watched_key, self, &news);
    self->stats.ignored += news.ignored;
    self->stats.compactions += news.compacted;
    self->created = self->created || news.created;
    if (rc == 0 && (news.canceled || news.compacted))
        rc = UMBP_ESTALE;               //  What we have is too old, all is read again
    return rc;
}

//  A watch ends after WATCH_MS, or when etcd has forgotten where it began; all else is a failure
static void s_on_watch_end (void *owner, const umbp_etcd_http_answer_t *answer)
{
    umbp_etcd_t *self = owner;
    bool fine =
        (answer->status == UMBP_ETIMEDOUT && self->created) || answer->status == UMBP_ESTALE;
    if (!fine) {
        umbp_etcd_http_answer_t closed = *answer;
        if (closed.status == UMBP_OK) { //  200, and then an end, is none of a watch
            closed.status = UMBP_ECLOSED;
            closed.why = "the watch was closed";
        }
        s_failed (self, "watch", &closed);
        return;
    }
    self->rest_until = zclock_mono () + RETRY_MIN_MS;
    s_turn_in (self, RETRY_MIN_MS);
}

static void s_ask (umbp_etcd_t *self, size_t place, const char *path, char *body,
                   umbp_etcd_http_request_t *request)
{
    char url[UMBP_TEXT_MAX + PATH_MAX_SIZE];
    snprintf (url, sizeof url, "%s%s", self->bases[self->base].url, path);
    request->url = url;
    request->body = body;
    request->authorization = self->token;
    request->answer_max = ANSWER_MAX;
    request->owner = self;
    umbp_etcd_http_ask (self->http, place, request);
    free (body);
}

static void s_watch (umbp_etcd_t *self, int64_t revision)
{
    umbp_etcd_http_request_t request = { .deadline_ms = WATCH_MS,
                                         .line = s_on_watch_line,
                                    .done = s_on_watch_end };
    self->stats.watches++;
    self->created = false;
    self->watch_by = zclock_mono () + s_deadline (self);
    s_ask (self, PLACE_WATCH, "/v3/watch", umbp_etcd_say_watch (self->prefix, revision + 1),
           &request);
}

//  --------------------------------------------------------------------------------------------------
//  Steps: what each says, and what is done with the answer. These return 0 or an error.

static char *s_say_auth (umbp_etcd_t *self)
{
    return umbp_etcd_say_auth (self->user, self->password);
}

static int s_hear_auth (umbp_etcd_t *self, const char *data, size_t size)
{
    return umbp_etcd_hear_token (data, size, self->token);
}

static char *s_say_grant (umbp_etcd_t *self)
{
    return umbp_etcd_say_grant ((self->ttl_ms + 999) / 1000);
}

static int s_hear_grant (umbp_etcd_t *self, const char *data, size_t size)
{
    int64_t lease, ttl_s;
    if (umbp_etcd_hear_lease (data, size, &lease, &ttl_s) < 0 || ttl_s < 1
        || ttl_s > 10 * UMBP_ETCD_TTL_MAX_MS / 1000)
        return UMBP_EPROTO;
    self->lease = lease;
    self->lease_s = ttl_s;
    self->put = false;
    self->keep_at = zclock_mono () + s_keep_in (self);
    self->stats.leases++;
    return UMBP_OK;
}

static char *s_say_lease (umbp_etcd_t *self)
{
    return umbp_etcd_say_lease (self->lease);
}

static int s_hear_keep (umbp_etcd_t *self, const char *data, size_t size)
{
    int64_t lease, ttl_s;
    if (umbp_etcd_hear_lease (data, size, &lease, &ttl_s) < 0 || lease != self->lease)
        return UMBP_EPROTO;
    self->stats.keepalives++;
    if (ttl_s > 0) {
        self->keep_at = zclock_mono () + s_keep_in (self);
        if (self->works)
            self->failed = 0;           //  Only now: not for one that fails right after it began
        return UMBP_OK;
    }
    zsys_info ("etcd: the lease is over, another one is taken");
    self->stats.leases_lost++;
    self->lease = 0;
    return UMBP_OK;
}

static char *s_say_put (umbp_etcd_t *self)
{
    return umbp_etcd_say_put (self->key, self->value, self->lease);
}

static int s_hear_put (umbp_etcd_t *self, const char *data, size_t size)
{
    int rc = umbp_etcd_hear_put (data, size);
    self->put = rc == 0;
    self->stats.puts += rc == 0;
    return rc;
}

static char *s_say_read (umbp_etcd_t *self)
{
    return umbp_etcd_say_range (self->prefix, UMBP_NODES_MAX);
}

//  Takes the place of what was known; then the watch goes on from there
static int s_hear_read (umbp_etcd_t *self, const char *data, size_t size)
{
    umbp_etcd_news_t news;
    self->reading = s_table ();
    int rc = umbp_etcd_hear_range (data, size, s_on_read_key, self, &news);
    if (rc == 0) {
        zhashx_t *former = self->heard;
        self->heard = self->reading;
        self->reading = former;
        self->stats.ignored += news.ignored;
        self->stats.reads++;
        const char *own = zhashx_lookup (self->heard, self->key + strlen (self->prefix));
        self->put = self->put && own;
    }
    zhashx_destroy (&self->reading);
    if (rc == 0) {
        s_works (self);
        s_watch (self, news.revision);
    }
    return rc;
}

static const struct {
    const char *name, *path;
    char *(*say) (umbp_etcd_t *self);
    int (*hear) (umbp_etcd_t *self, const char *data, size_t size);
} s_steps[] = {
    [STEP_AUTH] = { "authentication", "/v3/auth/authenticate", s_say_auth, s_hear_auth },
    [STEP_GRANT] = { "grant of a lease", "/v3/lease/grant", s_say_grant, s_hear_grant },
    [STEP_KEEP] = { "keepalive", "/v3/lease/keepalive", s_say_lease, s_hear_keep },
    [STEP_PUT] = { "put", "/v3/kv/put", s_say_put, s_hear_put },
    [STEP_READ] = { "range", "/v3/kv/range", s_say_read, s_hear_read },
};

//  A token lasts some minutes. That it is over is no failure, unless the next one is none either.
static bool s_token_over (umbp_etcd_t *self, step_t step, const umbp_etcd_http_answer_t *answer)
{
    bool over = answer->code == 401 && *self->token && step != STEP_AUTH && self->works;
    if (over) {
        *self->token = 0;
        self->works = false;
    }
    return over;
}

static void s_on_step (void *owner, const umbp_etcd_http_answer_t *answer)
{
    umbp_etcd_t *self = owner;
    umbp_etcd_http_answer_t heard = *answer;
    step_t step = self->step;
    self->step = STEP_NONE;
    if (heard.status == UMBP_OK)
        heard.status = s_steps[step].hear (self, heard.data, heard.size);
    if (heard.status < 0 && !s_token_over (self, step, &heard))
        s_failed (self, s_steps[step].name, &heard);
    else
        s_turn (self);
}

//  Which is the first that is not done. Our key alone waits for a keepalive once it was lost.
static step_t s_next (umbp_etcd_t *self, int64_t now)
{
    if (*self->user && !*self->token)
        return STEP_AUTH;
    if (!self->lease)
        return STEP_GRANT;
    if (now >= self->keep_at)
        return STEP_KEEP;
    if (!self->put)
        return STEP_PUT;
    return umbp_etcd_http_busy (self->http, PLACE_WATCH) ? STEP_NONE : STEP_READ;
}

//  One step, or waiting for when one is due
static void s_turn (umbp_etcd_t *self)
{
    int64_t now = zclock_mono ();
    if (self->step != STEP_NONE)
        return;
    if (now < self->rest_until) {
        s_turn_in (self, self->rest_until - now);
        return;
    }
    bool watching = umbp_etcd_http_busy (self->http, PLACE_WATCH);
    if (watching && !self->created && now >= self->watch_by) {
        umbp_etcd_http_answer_t silent = { .status = UMBP_ETIMEDOUT,
                                           .data = "",
                                           .why = "no answer" };
        s_failed (self, "watch", &silent);
        return;
    }
    self->step = s_next (self, now);
    if (self->step == STEP_NONE) {
        s_turn_in (self, self->keep_at - now);
        return;
    }
    umbp_etcd_http_request_t request = { .deadline_ms = s_deadline (self), .done = s_on_step };
    s_ask (self, PLACE_STEP, s_steps[self->step].path, s_steps[self->step].say (self), &request);
}

static int s_on_turn (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    umbp_etcd_t *self = arg;
    if (timer == self->timer) {
        self->timer = -1;
        s_turn (self);
    }
    return 0;
}

static int s_on_repeat (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    (void) timer;
    umbp_etcd_t *self = arg;
    for (const char *endpoint = zhashx_first (self->heard); endpoint;
         endpoint = zhashx_next (self->heard))
        umbp_finder_found (self->finder, endpoint);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Life

//  The next of a list between commas, copied to url of UMBP_TEXT_MAX + 1 bytes, without spaces and
//  without a slash at its end. Returns false if there is no more, or it is none.
static bool s_next_base (const char **list, char *url)
{
    char checked[UMBP_TEXT_MAX + 1];
    umbp_text_t text = umbp_endpoint_next (list);
    if (text.size == 0 || text.size > UMBP_TEXT_MAX)
        return false;
    umbp_text_copy (text, url, UMBP_TEXT_MAX + 1);
    if (url[text.size - 1] == '/')
        url[text.size - 1] = 0;
    size_t scheme = strncmp (url, "http://", 7) == 0    ? 7
                    : strncmp (url, "https://", 8) == 0 ? 8
                                                        : 0;
    snprintf (checked, sizeof checked, "tcp://%.*s", UMBP_TEXT_MAX - 6, url + scheme);
    return scheme > 0 && umbp_endpoint_ok (umbp_text (checked));
}

static int s_count_bases (const char *list)
{
    char url[UMBP_TEXT_MAX + 1];
    int count = 0;
    for (;;) {
        const char *at = list;
        if (umbp_endpoint_next (&at).size == 0)
            return count;
        if (!s_next_base (&list, url) || ++count > UMBP_ETCD_ENDPOINTS_MAX)
            return UMBP_EINVAL;
    }
}

static const char *s_or_empty (const char *text)
{
    return text ? text : "";
}

//  Not empty, printable, and without spaces
static bool s_prefix_ok (const char *prefix)
{
    size_t size = strlen (prefix);
    for (const char *at = prefix; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return size > 0 && size <= UMBP_ETCD_PREFIX_MAX && prefix[size - 1] != '/';
}

int umbp_etcd_check (const umbp_etcd_args_t *args, const char **why)
{
    *why = NULL;
    if (s_count_bases (args->endpoints) <= 0)
        *why = "etcd_endpoints: must be http://host:port,... or https://, at most 16";
    else if (!s_prefix_ok (args->prefix))
        *why = "etcd_prefix: allowed are 1 to 127 characters, no spaces, no / at the end";
    else if (args->ttl_ms < UMBP_ETCD_TTL_MIN_MS || args->ttl_ms > UMBP_ETCD_TTL_MAX_MS)
        *why = "etcd_ttl_ms: allowed are 2000 to 3600000";
    else if (*s_or_empty (args->password) && !*s_or_empty (args->user))
        *why = "etcd_user: needed with etcd_password";
    else if (!*s_or_empty (args->cert) != !*s_or_empty (args->key))
        *why = "etcd_cert, etcd_key: both or none";
    return *why ? UMBP_EINVAL : UMBP_OK;
}

umbp_etcd_t *umbp_etcd_new (const umbp_etcd_args_t *args)
{
    const char *why = NULL, *list = args->endpoints;
    int rc = umbp_etcd_check (args, &why);
    assert (rc == 0);
    umbp_etcd_t *self = zmalloc (sizeof (umbp_etcd_t));
    umbp_etcd_http_args_t http = { args->ca, args->cert, args->key };
    self->finder = umbp_finder_new (args->instance, args->endpoint);
    self->http = umbp_etcd_http_new (&http);
    while (self->base_count < UMBP_ETCD_ENDPOINTS_MAX
           && s_next_base (&list, self->bases[self->base_count].url))
        self->base_count++;
    assert (self->base_count > 0);
    self->prefix = zsys_sprintf ("%s/%s/", args->prefix, args->cluster);
    self->key = zsys_sprintf ("%s%s", self->prefix, args->node);
    self->value = strdup (args->endpoint);
    self->user = strdup (s_or_empty (args->user));
    self->password = strdup (s_or_empty (args->password));
    self->ttl_ms = args->ttl_ms;
    self->repeat_ms = args->repeat_ms ? args->repeat_ms : REPEAT_MS;
    self->heard = s_table ();
    self->step = STEP_NONE;
    self->timer = -1;
    self->random = (uint64_t) zclock_usecs () ^ (uint64_t) getpid () << 40;
    self->base = umbp_splitmix (&self->random) % self->base_count;
    return self;
}

void umbp_etcd_start (umbp_etcd_t *self, zloop_t *loop)
{
    self->loop = loop;
    umbp_etcd_http_start (self->http, loop);
    zloop_timer (loop, self->repeat_ms, 0, s_on_repeat, self);
    s_turn_in (self, 0);
}

//  With the lease goes our key. If etcd does not answer, both go by themselves.
static void s_give_back (umbp_etcd_t *self)
{
    char url[UMBP_TEXT_MAX + PATH_MAX_SIZE];
    char *body = umbp_etcd_say_lease (self->lease);
    snprintf (url, sizeof url, "%s/v3/lease/revoke", self->bases[self->base].url);
    umbp_etcd_http_request_t request = { .url = url,
                                         .body = body,
                                         .authorization = self->token,
                                    .deadline_ms = GOODBYE_MS, .answer_max = ANSWER_MAX };
    umbp_etcd_http_ask_last (self->http, &request);
    free (body);
}

void umbp_etcd_destroy (umbp_etcd_t **self_p)
{
    assert (self_p);
    umbp_etcd_t *self = *self_p;
    if (!self)
        return;
    if (self->works && self->lease)
        s_give_back (self);
    umbp_etcd_http_destroy (&self->http);
    umbp_finder_destroy (&self->finder);
    zhashx_destroy (&self->heard);
    free (self->prefix);
    free (self->key);
    free (self->value);
    free (self->user);
    free (self->password);
    freen (*self_p);
}

void umbp_etcd_stats (const umbp_etcd_t *self, umbp_etcd_stats_t *stats)
{
    *stats = self->stats;
    stats->endpoint = self->works ? (unsigned) self->base + 1 : 0;
    stats->lease_ms = self->lease ? (uint64_t) self->lease_s * 1000 : 0;
    stats->nodes = zhashx_size (self->heard);
}
