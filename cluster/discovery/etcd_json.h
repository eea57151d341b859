//  cluster/discovery/etcd_json.h - what is said to etcd through its JSON gateway (version 3), and what
//  it answers. Keys and values are base64 there, and numbers of 64 bits are texts. Whatever comes
//  may be hostile: what is not of the shape expected is UMBP_EPROTO as a whole, and what may be in
//  a healthy etcd but is none of ours (binary or overlong keys and values) is passed over and
//  counted. No state, any thread, nothing blocks.
#ifndef UMBP_ETCD_JSON_H
#define UMBP_ETCD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_ETCD_TEXT_MAX 511          //  Bytes in a key or a value that can be ours
#define UMBP_ETCD_TOKEN_MAX 4095

//  Requests: a text that the caller frees
char *umbp_etcd_say_auth (const char *user, const char *password);
char *umbp_etcd_say_grant (uint64_t ttl_s);
char *umbp_etcd_say_lease (int64_t lease);             //  To keep alive and to revoke
char *umbp_etcd_say_put (const char *key, const char *value, int64_t lease);
char *umbp_etcd_say_range (const char *prefix, size_t limit);
char *umbp_etcd_say_watch (const char *prefix, int64_t from_revision);

//  Called with each key that was read or has changed; value NULL: it was deleted. Both are
//  printable, without spaces.
typedef void (umbp_etcd_key_fn) (void *arg, const char *key, const char *value);

typedef struct {
    int64_t revision;                   //  Of the whole etcd
    size_t keys;                        //  That were called with
    size_t ignored;                     //  That cannot be ours
    bool more;                          //  Of a range: there are more than were asked for
    bool created, canceled, compacted;  //  Of a watch
} umbp_etcd_news_t;

//  Answers. They return 0 or UMBP_EPROTO; then calls may have been made already. token has
//  UMBP_ETCD_TOKEN_MAX + 1 bytes, and is printable ASCII afterwards.
int umbp_etcd_hear_token (const char *text, size_t size, char *token);

//  *ttl_s is 0 if there is no such lease any more
int umbp_etcd_hear_lease (const char *text, size_t size, int64_t *lease, int64_t *ttl_s);

//  To a put: all that is to be known is that it is one
int umbp_etcd_hear_put (const char *text, size_t size);

int umbp_etcd_hear_range (const char *text, size_t size, umbp_etcd_key_fn *fn, void *arg,
                          umbp_etcd_news_t *news);

//  One line of a watch
int umbp_etcd_hear_watch (const char *text, size_t size, umbp_etcd_key_fn *fn, void *arg,
                          umbp_etcd_news_t *news);

//  What an answer with an error says, fit for a line of a log; "" if it says nothing. Returns out.
char *umbp_etcd_hear_error (const char *text, size_t size, char *out, size_t out_size);

#endif
