//  actors/http.h - serves a few pages over HTTP/1.1 to scrapers and probes, in the thread and the loop of an actor:
//  libmicrohttpd with its epoll descriptor in the zloop. Everybody who connects is a stranger: connections are few,
//  each asks once, has little room for its request and little time in all, so that a slow or hostile one costs its
//  own connection and nothing else. Nothing here blocks.
#ifndef UMBP_HTTP_H
#define UMBP_HTTP_H

#include <czmq.h>

#define UMBP_HTTP_CONNECTIONS_MAX 64
#define UMBP_HTTP_REQUEST_MAX 16384     //  Bytes of a request's line and headers, and of our own head
#define UMBP_HTTP_TIME_MS 5000          //  A connection has in all
#define UMBP_HTTP_IDLE_S 3              //  ... and without a byte

typedef struct umbp_http umbp_http_t;

typedef struct {
    unsigned status;                    //  200, 503
    const char *type;                   //  Content type, static text
    const char *text;                   //  Copied
    size_t size;
} umbp_page_t;

//  Called with each path that is asked for, "/metrics". Returns false if there is no such page.
typedef bool (umbp_http_fn) (void *owner, const char *path, umbp_page_t *page);

typedef struct {
    uint64_t requests, refused;         //  refused: no such page or method
    uint64_t cut;                       //  Connections that took too long
    uint64_t connections;               //  Now
} umbp_http_stats_t;

//  Bind "tcp://host:port", port * or 0 for any; writes "http://host:port" to url. Returns NULL, and logs why, if that
//  fails. A name is resolved, which may block: only for a constructor.
umbp_http_t *umbp_http_new (const char *listen, char *url, size_t size);
void umbp_http_destroy (umbp_http_t **self_p);

//  In the thread of the loop: serve from now on
void umbp_http_start (umbp_http_t *self, zloop_t *loop, void *owner, umbp_http_fn *fn);

const umbp_http_stats_t *umbp_http_stats (const umbp_http_t *self);

//  Whether only this host can connect to "tcp://host:port": 127.x.y.z, [::1] or localhost
bool umbp_http_is_loopback (const char *listen);

#endif
