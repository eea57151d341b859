//  cluster/discovery/etcd_json.c - requests to etcd's JSON gateway, and its answers. See etcd_json.h.
#include "cluster/discovery/etcd_json.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

#define ENCODED_MAX sodium_base64_ENCODED_LEN (UMBP_ETCD_TEXT_MAX, sodium_base64_VARIANT_ORIGINAL)
#define NUMBER_MAX 24                   //  Digits of 64 bits, and a 0

//  --------------------------------------------------------------------------------------------------
//  Saying

//  A text as base64. What we say of ourselves always fits.
static json_t *s_encoded (const char *text)
{
    char out[ENCODED_MAX];
    size_t size = strlen (text);
    assert (size <= UMBP_ETCD_TEXT_MAX);
    sodium_bin2base64 (out, sizeof out, (const unsigned char *) text, size,
                       sodium_base64_VARIANT_ORIGINAL);
    return json_string (out);
}

//  64 bits are a text in JSON, where numbers are doubles
static json_t *s_number (int64_t number)
{
    char out[NUMBER_MAX];
    snprintf (out, sizeof out, "%" PRId64, number);
    return json_string (out);
}

//  The end of all keys that begin like this: its last byte goes up by one
static json_t *s_end_of (const char *prefix)
{
    char end[UMBP_ETCD_TEXT_MAX + 1];
    size_t size = strlen (prefix);
    assert (size > 0 && size <= UMBP_ETCD_TEXT_MAX);
    memcpy (end, prefix, size + 1);
    end[size - 1]++;
    return s_encoded (end);
}

static char *s_dump (json_t *doc)
{
    char *text = json_dumps (doc, JSON_COMPACT);
    assert (text);                      //  Only what is not UTF-8 has none, and it was left out
    json_decref (doc);
    return text;
}

char *umbp_etcd_say_auth (const char *user, const char *password)
{
    json_t *doc = json_object ();
    json_object_set_new (doc, "name", json_string (user));
    json_object_set_new (doc, "password", json_string (password));
    return s_dump (doc);
}

char *umbp_etcd_say_grant (uint64_t ttl_s)
{
    return s_dump (json_pack ("{s:o}", "TTL", s_number ((int64_t) ttl_s)));
}

char *umbp_etcd_say_lease (int64_t lease)
{
    return s_dump (json_pack ("{s:o}", "ID", s_number (lease)));
}

char *umbp_etcd_say_put (const char *key, const char *value, int64_t lease)
{
    return s_dump (json_pack ("{s:o, s:o, s:o}", "key", s_encoded (key), "value", s_encoded (value),
                              "lease", s_number (lease)));
}

char *umbp_etcd_say_range (const char *prefix, size_t limit)
{
    return s_dump (json_pack ("{s:o, s:o, s:o}", "key", s_encoded (prefix), "range_end",
                              s_end_of (prefix), "limit", s_number ((int64_t) limit)));
}

char *umbp_etcd_say_watch (const char *prefix, int64_t from_revision)
{
    return s_dump (json_pack ("{s:{s:o, s:o, s:o}}", "create_request", "key", s_encoded (prefix),
                              "range_end", s_end_of (prefix), "start_revision",
                              s_number (from_revision)));
}

//  --------------------------------------------------------------------------------------------------
//  Hearing

//  An object, or NULL. A stream wraps each answer into "result".
static json_t *s_parse (const char *text, size_t size)
{
    json_t *doc = json_loadb (text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *result = json_object_get (doc, "result");
    if (result) {
        json_incref (result);
        json_decref (doc);
        doc = result;
    }
    if (json_is_object (doc))
        return doc;
    json_decref (doc);
    return NULL;
}

//  A number, as a text or as itself; what is not there is 0. Returns 0 or UMBP_EPROTO.
static int s_integer (const json_t *doc, const char *name, int64_t *out)
{
    const json_t *item = json_object_get (doc, name);
    const char *text = json_string_value (item);
    *out = json_integer_value (item);
    if (!item || json_is_integer (item))
        return 0;
    size_t digits = text ? strspn (text, "0123456789") : 0;
    if (digits == 0 || digits > 19 || text[digits])
        return UMBP_EPROTO;
    uint64_t number = strtoull (text, NULL, 10);        //  19 digits always fit
    *out = (int64_t) number;
    return number <= INT64_MAX ? 0 : UMBP_EPROTO;
}

//  True or false; what is not there is false. Returns 0 or UMBP_EPROTO.
static int s_boolean (const json_t *doc, const char *name, bool *out)
{
    const json_t *item = json_object_get (doc, name);
    *out = json_is_true (item);
    return !item || json_is_boolean (item) ? 0 : UMBP_EPROTO;
}

//  Returns 1 if it can be a text of ours, 0 if not, or UMBP_EPROTO if it is no base64
static int s_decoded (const json_t *doc, const char *name, char *out)
{
    const json_t *item = json_object_get (doc, name);
    const char *text = json_string_value (item);
    size_t size = 0, length = json_string_length (item);
    unsigned char bytes[UMBP_ETCD_TEXT_MAX + 3];        //  Digits come in fours, bytes in threes
    *out = 0;
    if (!item)
        return 1;                       //  So the gateway writes what is empty
    if (!text)
        return UMBP_EPROTO;
    if (length >= ENCODED_MAX)
        return 0;
    if (sodium_base642bin (bytes, sizeof bytes, text, length, NULL, &size, NULL,
                           sodium_base64_VARIANT_ORIGINAL)
        != 0)
        return UMBP_EPROTO;
    if (size > UMBP_ETCD_TEXT_MAX)
        return 0;
    memcpy (out, bytes, size);
    out[size] = 0;
    for (size_t index = 0; index < size; index++)
        if (out[index] <= ' ' || out[index] > '~')
            return 0;
    return 1;
}

static int s_hear_key (const json_t *kv, bool deleted, umbp_etcd_key_fn *fn, void *arg,
                       umbp_etcd_news_t *news)
{
    char key[UMBP_ETCD_TEXT_MAX + 1], value[UMBP_ETCD_TEXT_MAX + 1];
    if (!json_is_object (kv))
        return UMBP_EPROTO;
    int key_fits = s_decoded (kv, "key", key), value_fits = s_decoded (kv, "value", value);
    if (key_fits < 0 || value_fits < 0)
        return UMBP_EPROTO;
    if (key_fits && value_fits && *key) {
        news->keys++;
        fn (arg, key, deleted ? NULL : value);
    } else
        news->ignored++;
    return 0;
}

static int s_hear_header (const json_t *doc, umbp_etcd_news_t *news)
{
    const json_t *header = json_object_get (doc, "header");
    return json_is_object (header) ? s_integer (header, "revision", &news->revision) : UMBP_EPROTO;
}

int umbp_etcd_hear_token (const char *text, size_t size, char *token)
{
    json_t *doc = s_parse (text, size);
    const json_t *item = json_object_get (doc, "token");
    const char *value = json_string_value (item);
    size_t length = json_string_length (item);
    //  It goes into a line of a header
    bool fine = value && length > 0 && length <= UMBP_ETCD_TOKEN_MAX;
    for (size_t index = 0; fine && index < length; index++)
        fine = value[index] > ' ' && value[index] <= '~';
    if (fine)
        memcpy (token, value, length + 1);
    json_decref (doc);
    return fine ? 0 : UMBP_EPROTO;
}

int umbp_etcd_hear_lease (const char *text, size_t size, int64_t *lease, int64_t *ttl_s)
{
    json_t *doc = s_parse (text, size);
    bool fine = doc && s_integer (doc, "ID", lease) == 0 && s_integer (doc, "TTL", ttl_s) == 0
                && *lease > 0 && *ttl_s >= 0;
    json_decref (doc);
    return fine ? 0 : UMBP_EPROTO;
}

int umbp_etcd_hear_put (const char *text, size_t size)
{
    umbp_etcd_news_t news;
    json_t *doc = s_parse (text, size);
    int rc = doc ? s_hear_header (doc, &news) : UMBP_EPROTO;
    json_decref (doc);
    return rc;
}

int umbp_etcd_hear_range (const char *text, size_t size, umbp_etcd_key_fn *fn, void *arg,
                          umbp_etcd_news_t *news)
{
    *news = (umbp_etcd_news_t) { 0 };
    json_t *doc = s_parse (text, size);
    const json_t *kvs = json_object_get (doc, "kvs");
    int rc = doc ? s_hear_header (doc, news) : UMBP_EPROTO;
    if (rc == 0 && ((kvs && !json_is_array (kvs)) || news->revision <= 0))
        rc = UMBP_EPROTO;
    if (rc == 0)
        rc = s_boolean (doc, "more", &news->more);
    for (size_t index = 0; rc == 0 && index < json_array_size (kvs); index++)
        rc = s_hear_key (json_array_get (kvs, index), false, fn, arg, news);
    json_decref (doc);
    return rc;
}

//  PUT is the default, and so it is not written
static int s_hear_event (const json_t *event, umbp_etcd_key_fn *fn, void *arg,
                         umbp_etcd_news_t *news)
{
    const json_t *type = json_object_get (event, "type");
    const char *name = json_is_string (type) ? json_string_value (type) : "?";
    bool deleted = strcmp (name, "DELETE") == 0;
    if (!json_is_object (event) || (type && !deleted && strcmp (name, "PUT") != 0))
        return UMBP_EPROTO;
    return s_hear_key (json_object_get (event, "kv"), deleted, fn, arg, news);
}

int umbp_etcd_hear_watch (const char *text, size_t size, umbp_etcd_key_fn *fn, void *arg,
                          umbp_etcd_news_t *news)
{
    *news = (umbp_etcd_news_t) { 0 };
    json_t *doc = s_parse (text, size);
    const json_t *events = json_object_get (doc, "events");
    int64_t compacted = 0;
    int rc = doc ? s_hear_header (doc, news) : UMBP_EPROTO;
    if (rc == 0 && events && !json_is_array (events))
        rc = UMBP_EPROTO;
    if (rc == 0)
        rc = s_boolean (doc, "created", &news->created);
    if (rc == 0)
        rc = s_boolean (doc, "canceled", &news->canceled);
    if (rc == 0)
        rc = s_integer (doc, "compact_revision", &compacted);
    for (size_t index = 0; rc == 0 && index < json_array_size (events); index++)
        rc = s_hear_event (json_array_get (events, index), fn, arg, news);
    news->compacted = compacted > 0;
    json_decref (doc);
    return rc;
}

char *umbp_etcd_hear_error (const char *text, size_t size, char *out, size_t out_size)
{
    json_t *doc = size > 0 ? json_loadb (text, size, 0, NULL) : NULL;
    const json_t *error = json_object_get (doc, "error");
    if (json_is_object (error))         //  A stream's
        error = json_object_get (error, "message");
    snprintf (out, out_size, "%s", json_is_string (error) ? json_string_value (error) : "");
    for (char *at = out; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    json_decref (doc);
    return out;
}
