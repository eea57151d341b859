//  cluster/discovery/etcd_http.h - questions over HTTP, out of a loop: libcurl's sockets and timers join
//  it, and nothing waits. Every question has a deadline and a bound on its answer; a stream has one on
//  each of its lines, and on its speed. No redirects, no proxies; https shows and checks certificates.
//
//  A value that belongs to one thread. It may be made in a constructor and then move.
#ifndef UMBP_ETCD_HTTP_H
#define UMBP_ETCD_HTTP_H

#include <czmq.h>

#define UMBP_ETCD_HTTP_CALLS 2               //  Under way at once, each in a place of its own

typedef struct umbp_etcd_http umbp_etcd_http_t;

typedef struct {
    const char *ca, *cert, *key;        //  Files, PEM; NULL or empty: the system's, none
} umbp_etcd_http_args_t;

typedef struct {
    int status;                         //  0: HTTP said 200. UMBP_EIO, UMBP_ETIMEDOUT,
                                        //  UMBP_EUNREACH, UMBP_ETOOBIG, or what the line function
                                        //  returned
    long code;                          //  Of HTTP; 0: there was no answer
    const char *data;                   //  All of the answer; of a stream what was no whole line
    size_t size;
    const char *why;                    //  Words of libcurl
} umbp_etcd_http_answer_t;

//  Called with each whole line of a stream that began with 200. An error ends the stream. Must not
//  call into http.
typedef int (umbp_etcd_http_line_fn) (void *owner, const char *line, size_t size);

//  Called once at the end, unless it was cancelled. May ask again. Views good for the call.
typedef void (umbp_etcd_http_done_fn) (void *owner, const umbp_etcd_http_answer_t *answer);

typedef struct {
    const char *url;                    //  http:// or https://
    const char *body;                   //  JSON, to be posted
    const char *authorization;          //  Value of that header; NULL or empty: none
    unsigned deadline_ms;               //  For all of it
    size_t answer_max;                  //  Bytes in the answer, or in a line of a stream
    umbp_etcd_http_line_fn *line;            //  NULL: no stream
    umbp_etcd_http_done_fn *done;
    void *owner;
} umbp_etcd_http_request_t;

umbp_etcd_http_t *umbp_etcd_http_new (const umbp_etcd_http_args_t *args);

//  Ends all that is under way without a call. While a name is being looked up this may take as long
//  as the name servers do.
void umbp_etcd_http_destroy (umbp_etcd_http_t **self_p);

//  In the thread, before the first question. The loop has to outlive this.
void umbp_etcd_http_start (umbp_etcd_http_t *self, zloop_t *loop);

//  Ask, in a place of 0 to UMBP_ETCD_HTTP_CALLS - 1 that is free. All texts are copied.
void umbp_etcd_http_ask (umbp_etcd_http_t *self, size_t place,
                         const umbp_etcd_http_request_t *request);

//  End it without a call; nothing happens if none is there. Not from within line.
void umbp_etcd_http_cancel (umbp_etcd_http_t *self, size_t place);

bool umbp_etcd_http_busy (const umbp_etcd_http_t *self, size_t place);

//  Ask and wait, for the deadline at most, outside of the loop: for the end of a thread. Line and
//  done of the request are not called. Returns the status of the answer, which is thrown away.
int umbp_etcd_http_ask_last (umbp_etcd_http_t *self, const umbp_etcd_http_request_t *request);

#endif
