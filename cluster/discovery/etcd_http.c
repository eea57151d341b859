//  cluster/discovery/etcd_http.c - questions over HTTP, out of a loop. See etcd_http.h.
#include "cluster/discovery/etcd_http.h"

#include <curl/curl.h>
#include <pthread.h>

#include "proto/error.h"

#define STREAM_BYTES_S (1 << 20)        //  No stream may keep this thread busier
#define HEADER_MAX 4352                 //  A line of our own
#define CONNECTIONS_KEPT 4
#define DRAIN_MAX 64

typedef struct {
    CURL *easy;                         //  NULL: nothing is under way
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
    char *data;                         //  Of the answer, or of a line
    size_t size, room, max;
    int refused;                        //  Why we ended it
    umbp_etcd_http_line_fn *line;
    umbp_etcd_http_done_fn *done;
    void *owner;
} call_t;

struct umbp_etcd_http {
    CURLM *multi;
    zloop_t *loop;
    int timer;                          //  -1: none
    char *ca, *cert, *key;
    call_t calls[UMBP_ETCD_HTTP_CALLS];
};

static char *s_copy (const char *text)
{
    return strdup (text ? text : "");
}

//  --------------------------------------------------------------------------------------------------
//  Bytes of an answer

//  Whole lines go to their function, and the rest to the front. Returns 0 or its error.
static int s_split (call_t *call)
{
    size_t from = 0;
    for (;;) {
        const char *start = call->data + from;
        const char *end = memchr (start, '\n', call->size - from);
        if (!end)
            break;
        int rc = end > start ? call->line (call->owner, start, (size_t) (end - start)) : 0;
        if (rc < 0)
            return rc;
        from += (size_t) (end - start) + 1;
    }
    call->size -= from;
    memmove (call->data, call->data + from, call->size);
    return 0;
}

//  What is kept grows, up to the bound. Returns 0, or UMBP_ETOOBIG.
static int s_keep (call_t *call, const char *data, size_t size)
{
    if (size > call->max - call->size)
        return UMBP_ETOOBIG;
    if (call->size + size > call->room) {
        size_t room = 2 * (call->size + size);
        call->room = room < call->max ? room : call->max;
        call->data = realloc (call->data, call->room);
        assert (call->data);
    }
    memcpy (call->data + call->size, data, size);
    call->size += size;
    return 0;
}

//  libcurl has some bytes for us, at most 16 KiB. Anything but their number ends the transfer.
static size_t s_on_bytes (char *data, size_t one, size_t size, void *arg)
{
    call_t *call = arg;
    long code = 0;
    curl_easy_getinfo (call->easy, CURLINFO_RESPONSE_CODE, &code);
    call->refused = s_keep (call, data, size * one);
    if (call->refused == 0 && call->line && code == 200 && memchr (data, '\n', size))
        call->refused = s_split (call);
    return call->refused == 0 ? size : 0;
}

//  --------------------------------------------------------------------------------------------------
//  One question

static int s_status (const call_t *call, CURLcode result, long code)
{
    switch (result) {
    case CURLE_OK: return code == 200 ? UMBP_OK : UMBP_EIO;
    case CURLE_OPERATION_TIMEDOUT: return UMBP_ETIMEDOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: return UMBP_EUNREACH;
    case CURLE_WRITE_ERROR: return call->refused < 0 ? call->refused : UMBP_EIO;
    default: return UMBP_EIO;
    }
}

static void s_set_file (CURL *easy, CURLoption option, const char *file)
{
    if (*file)
        curl_easy_setopt (easy, option, file);
}

static struct curl_slist *s_headers (const umbp_etcd_http_request_t *request)
{
    struct curl_slist *headers = curl_slist_append (NULL, "Content-Type: application/json");
    headers = curl_slist_append (headers, "Expect:");
    if (request->authorization && *request->authorization) {
        char line[HEADER_MAX];
        snprintf (line, sizeof line, "Authorization: %s", request->authorization);
        headers = curl_slist_append (headers, line);
    }
    return headers;
}

static void s_prepare (umbp_etcd_http_t *self, call_t *call,
                       const umbp_etcd_http_request_t *request)
{
    *call = (call_t){ .easy = curl_easy_init (),
                      .headers = s_headers (request),
                       .max = request->answer_max, .line = request->line, .done = request->done,
                       .owner = request->owner };
    assert (call->easy && call->headers);
    CURL *easy = call->easy;
    curl_easy_setopt (easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt (easy, CURLOPT_URL, request->url);
    curl_easy_setopt (easy, CURLOPT_COPYPOSTFIELDS, request->body);
    curl_easy_setopt (easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt (easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt (easy, CURLOPT_PROXY, "");
    curl_easy_setopt (easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt (easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt (easy, CURLOPT_TIMEOUT_MS, (long) request->deadline_ms);
    curl_easy_setopt (easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt (easy, CURLOPT_WRITEFUNCTION, s_on_bytes);
    curl_easy_setopt (easy, CURLOPT_WRITEDATA, call);
    if (request->line)
        curl_easy_setopt (easy, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t) STREAM_BYTES_S);
    s_set_file (easy, CURLOPT_CAINFO, self->ca);
    s_set_file (easy, CURLOPT_SSLCERT, self->cert);
    s_set_file (easy, CURLOPT_SSLKEY, self->key);
}

static void s_clear (call_t *call)
{
    curl_easy_cleanup (call->easy);
    curl_slist_free_all (call->headers);
    free (call->data);
    *call = (call_t) { 0 };
}

//  The place is free again when done is called, so that it can be used
static void s_finish (umbp_etcd_http_t *self, call_t *call, CURLcode result)
{
    call_t over = *call;
    long code = 0;
    curl_easy_getinfo (call->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_multi_remove_handle (self->multi, call->easy);
    *call = (call_t) { 0 };
    umbp_etcd_http_answer_t answer = { .status = s_status (&over, result, code),
                                       .code = code,
                                  .data = over.data ? over.data : "", .size = over.size,
                                  .why = *over.error ? over.error : curl_easy_strerror (result) };
    over.done (over.owner, &answer);
    s_clear (&over);
}

//  --------------------------------------------------------------------------------------------------
//  The loop

static void s_drain (umbp_etcd_http_t *self)
{
    int left;
    for (int budget = DRAIN_MAX; budget > 0; budget--) {
        const CURLMsg *msg = curl_multi_info_read (self->multi, &left);
        if (!msg)
            break;
        void *call = NULL;
        CURLcode result = msg->data.result;     //  The message does not outlive the handle
        curl_easy_getinfo (msg->easy_handle, CURLINFO_PRIVATE, &call);
        if (msg->msg == CURLMSG_DONE)
            s_finish (self, call, result);
    }
}

static void s_act (umbp_etcd_http_t *self, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action (self->multi, fd, events, &running);
    s_drain (self);
}

static int s_on_socket (zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void) loop;
    int events = (item->revents & ZMQ_POLLIN ? CURL_CSELECT_IN : 0)
                 | (item->revents & ZMQ_POLLOUT ? CURL_CSELECT_OUT : 0)
                 | (item->revents & ZMQ_POLLERR ? CURL_CSELECT_ERR : 0);
    s_act (arg, item->fd, events);
    return 0;
}

static int s_on_time (zloop_t *loop, int timer, void *arg)
{
    (void) loop;
    umbp_etcd_http_t *self = arg;
    if (timer == self->timer) {
        self->timer = -1;
        s_act (self, CURL_SOCKET_TIMEOUT, 0);
    }
    return 0;
}

//  libcurl wants to hear of this socket, or no more
static int s_want_socket (CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket)
{
    (void) easy;
    (void) per_socket;
    umbp_etcd_http_t *self = arg;
    zmq_pollitem_t item = { .fd = fd };
    zloop_poller_end (self->loop, &item);
    if (what != CURL_POLL_REMOVE) {
        item.events = (short) ((what & CURL_POLL_IN ? ZMQ_POLLIN : 0)
                               | (what & CURL_POLL_OUT ? ZMQ_POLLOUT : 0));
        zloop_poller (self->loop, &item, s_on_socket, self);
        zloop_poller_set_tolerant (self->loop, &item);  //  Errors are for libcurl
    }
    return 0;
}

static int s_want_time (CURLM *multi, long delay_ms, void *arg)
{
    (void) multi;
    umbp_etcd_http_t *self = arg;
    if (self->timer != -1)
        zloop_timer_end (self->loop, self->timer);
    self->timer =
        delay_ms < 0 ? -1 : zloop_timer (self->loop, (size_t) delay_ms, 1, s_on_time, self);
    return 0;
}

void umbp_etcd_http_ask (umbp_etcd_http_t *self, size_t place,
                         const umbp_etcd_http_request_t *request)
{
    assert (self->loop && place < UMBP_ETCD_HTTP_CALLS && !self->calls[place].easy);
    s_prepare (self, &self->calls[place], request);
    curl_multi_add_handle (self->multi, self->calls[place].easy);
}

void umbp_etcd_http_cancel (umbp_etcd_http_t *self, size_t place)
{
    call_t *call = &self->calls[place];
    if (!call->easy)
        return;
    curl_multi_remove_handle (self->multi, call->easy);
    s_clear (call);
}

bool umbp_etcd_http_busy (const umbp_etcd_http_t *self, size_t place)
{
    return self->calls[place].easy != NULL;
}

int umbp_etcd_http_ask_last (umbp_etcd_http_t *self, const umbp_etcd_http_request_t *request)
{
    call_t call;
    umbp_etcd_http_request_t once = *request;
    once.line = NULL;
    s_prepare (self, &call, &once);
    CURLcode result = curl_easy_perform (call.easy);
    long code = 0;
    curl_easy_getinfo (call.easy, CURLINFO_RESPONSE_CODE, &code);
    int status = s_status (&call, result, code);
    s_clear (&call);
    return status;
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_init_curl (void)
{
    curl_global_init (CURL_GLOBAL_DEFAULT);
}

umbp_etcd_http_t *umbp_etcd_http_new (const umbp_etcd_http_args_t *args)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, s_init_curl);
    umbp_etcd_http_t *self = zmalloc (sizeof (umbp_etcd_http_t));
    self->multi = curl_multi_init ();
    assert (self->multi);
    self->timer = -1;
    self->ca = s_copy (args->ca);
    self->cert = s_copy (args->cert);
    self->key = s_copy (args->key);
    return self;
}

void umbp_etcd_http_start (umbp_etcd_http_t *self, zloop_t *loop)
{
    self->loop = loop;
    curl_multi_setopt (self->multi, CURLMOPT_SOCKETFUNCTION, s_want_socket);
    curl_multi_setopt (self->multi, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt (self->multi, CURLMOPT_TIMERFUNCTION, s_want_time);
    curl_multi_setopt (self->multi, CURLMOPT_TIMERDATA, self);
    curl_multi_setopt (self->multi, CURLMOPT_MAXCONNECTS, (long) CONNECTIONS_KEPT);
}

void umbp_etcd_http_destroy (umbp_etcd_http_t **self_p)
{
    assert (self_p);
    umbp_etcd_http_t *self = *self_p;
    if (!self)
        return;
    for (size_t place = 0; place < UMBP_ETCD_HTTP_CALLS; place++)
        umbp_etcd_http_cancel (self, place);
    curl_multi_cleanup (self->multi);
    free (self->ca);
    free (self->cert);
    free (self->key);
    freen (*self_p);
}
