//  test/unit/test_etcd_json.c - requests to etcd as its gateway wants them; answers of a real one,
//  and all that may come instead of them. UMBP_SEED repeats a run.
#include <CUnit/Basic.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster/discovery/etcd_json.h"
#include "proto/error.h"
#include "proto/splitmix.h"

#define COUNT_OF(array) (sizeof (array) / sizeof *(array))
#define MUTANTS 20000

//  As etcd 3.4.23 said them
#define HEADER \
    "\"header\":{\"cluster_id\":\"10424453998665500301\",\"member_id\":\"461443183244759715\"," \
    "\"revision\":\"12\",\"raft_term\":\"2\"}"
#define KV \
    "{\"key\":\"Zm9v\",\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\"," \
    "\"value\":\"YmFy\"}"

static const char s_granted[] = "{" HEADER ",\"ID\":\"5954781233734157573\",\"TTL\":\"3\"}";
static const char s_kept[] = "{\"result\":{" HEADER ",\"ID\":\"123\",\"TTL\":\"10\"}}\n";
static const char s_over[] = "{\"result\":{" HEADER ",\"ID\":\"123\"}}\n";
static const char s_read[] = "{" HEADER ",\"kvs\":[" KV "," KV "],\"count\":\"2\"}";
static const char s_empty[] = "{" HEADER "}";
static const char s_created[] = "{\"result\":{" HEADER ",\"created\":true}}";
static const char s_events[] = "{\"result\":{" HEADER ",\"events\":[{\"kv\":" KV "},"
                               "{\"type\":\"DELETE\",\"kv\":{\"key\":\"Zm9v\","
                               "\"mod_revision\":\"3\"}}]}}";
static const char s_compacted[] = "{\"result\":{" HEADER ",\"canceled\":true,"
                                  "\"compact_revision\":\"2\"}}";
static const char s_denied[] = "{\"error\":\"etcdserver: requested lease not found\",\"message\":"
                               "\"etcdserver: requested lease not found\",\"code\":5}";

typedef struct {
    char said[256];                     //  "key=value key-deleted "
    size_t calls;
} calls_t;

static void s_on_key (void *arg, const char *key, const char *value)
{
    calls_t *calls = arg;
    size_t used = strlen (calls->said);
    calls->calls++;
    CU_ASSERT (*key && strlen (key) <= UMBP_ETCD_TEXT_MAX);
    for (const char *at = key; *at; at++)
        CU_ASSERT (*at > ' ' && *at <= '~');
    snprintf (calls->said + used, sizeof calls->said - used, "%s%s%s ", key, value ? "=" : "-gone",
              value ? value : "");
}

static int s_range (const char *text, calls_t *calls, umbp_etcd_news_t *news)
{
    *calls = (calls_t) { 0 };
    return umbp_etcd_hear_range (text, strlen (text), s_on_key, calls, news);
}

static int s_watch (const char *text, calls_t *calls, umbp_etcd_news_t *news)
{
    *calls = (calls_t) { 0 };
    return umbp_etcd_hear_watch (text, strlen (text), s_on_key, calls, news);
}

//  ------------------------------------------------------------------------------------------------

static void s_is (char *text, const char *wanted)
{
    CU_ASSERT_STRING_EQUAL (text, wanted);
    free (text);
}

static void test_requests (void)
{
    s_is (umbp_etcd_say_auth ("me", "a\"b"), "{\"name\":\"me\",\"password\":\"a\\\"b\"}");
    s_is (umbp_etcd_say_grant (10), "{\"TTL\":\"10\"}");
    s_is (umbp_etcd_say_lease (INT64_MAX), "{\"ID\":\"9223372036854775807\"}");
    s_is (umbp_etcd_say_put ("foo", "bar", 5),
          "{\"key\":\"Zm9v\",\"value\":\"YmFy\",\"lease\":\"5\"}");
    s_is (umbp_etcd_say_range ("foo", 7),
          "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\",\"limit\":\"7\"}");
    s_is (
        umbp_etcd_say_watch ("foo", 13),
        "{\"create_request\":{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\",\"start_revision\":\"13\"}}");
}

static void test_answers (void)
{
    int64_t lease, ttl_s;
    calls_t calls;
    umbp_etcd_news_t news;
    CU_ASSERT_EQUAL (umbp_etcd_hear_lease (s_granted, strlen (s_granted), &lease, &ttl_s), 0);
    CU_ASSERT (lease == 5954781233734157573 && ttl_s == 3);
    CU_ASSERT_EQUAL (umbp_etcd_hear_lease (s_kept, strlen (s_kept), &lease, &ttl_s), 0);
    CU_ASSERT (lease == 123 && ttl_s == 10);
    CU_ASSERT_EQUAL (umbp_etcd_hear_lease (s_over, strlen (s_over), &lease, &ttl_s), 0);
    CU_ASSERT (lease == 123 && ttl_s == 0);
    CU_ASSERT_EQUAL (umbp_etcd_hear_put (s_empty, strlen (s_empty)), 0);
    CU_ASSERT_EQUAL (s_range (s_read, &calls, &news), 0);
    CU_ASSERT_STRING_EQUAL (calls.said, "foo=bar foo=bar ");
    CU_ASSERT (news.revision == 12 && news.keys == 2 && news.ignored == 0 && !news.more);
    CU_ASSERT_EQUAL (s_range (s_empty, &calls, &news), 0);
    CU_ASSERT_EQUAL (calls.calls, 0);
    CU_ASSERT_EQUAL (s_watch (s_created, &calls, &news), 0);
    CU_ASSERT (news.created && !news.canceled && !news.compacted && calls.calls == 0);
    CU_ASSERT_EQUAL (s_watch (s_events, &calls, &news), 0);
    CU_ASSERT_STRING_EQUAL (calls.said, "foo=bar foo-gone ");
    CU_ASSERT_EQUAL (s_watch (s_compacted, &calls, &news), 0);
    CU_ASSERT (!news.created && news.canceled && news.compacted);
}

static void test_errors (void)
{
    char text[64];
    CU_ASSERT_STRING_EQUAL (umbp_etcd_hear_error (s_denied, strlen (s_denied), text, sizeof text),
                            "etcdserver: requested lease not found");
    const char *stream = "{\"error\":{\"grpc_code\":14,\"message\":\"a\\nb\\u0000c\"}}";
    CU_ASSERT_STRING_EQUAL (umbp_etcd_hear_error (stream, strlen (stream), text, sizeof text), "");
    stream = "{\"error\":{\"grpc_code\":14,\"message\":\"a\\nb\\u00e4\"}}";
    CU_ASSERT_STRING_EQUAL (umbp_etcd_hear_error (stream, strlen (stream), text, sizeof text),
                            "a?b??");
    CU_ASSERT_STRING_EQUAL (umbp_etcd_hear_error ("<html>", 6, text, sizeof text), "");
    CU_ASSERT_STRING_EQUAL (umbp_etcd_hear_error ("", 0, text, sizeof text), "");
}

static void test_token (void)
{
    char token[UMBP_ETCD_TOKEN_MAX + 1], large[UMBP_ETCD_TOKEN_MAX + 32];
    static const char *const bad[] = {
        "{}",
        "{\"token\":5}",
        "{\"token\":\"\"}",
        "{\"token\":\"a b\"}",
        "[]",
        "",
        "{\"token\":\"a\\r\\nX-Evil: 1\"}",
    };
    const char *good = "{\"token\":\"abc.7\"}";
    CU_ASSERT_EQUAL (umbp_etcd_hear_token (good, strlen (good), token), 0);
    CU_ASSERT_STRING_EQUAL (token, "abc.7");
    for (size_t index = 0; index < COUNT_OF (bad); index++)
        CU_ASSERT_EQUAL (umbp_etcd_hear_token (bad[index], strlen (bad[index]), token),
                         UMBP_EPROTO);
    int size = snprintf (large, sizeof large, "{\"token\":\"%0*d\"}", UMBP_ETCD_TOKEN_MAX, 0);
    CU_ASSERT_EQUAL (umbp_etcd_hear_token (large, (size_t) size, token), 0);
    size = snprintf (large, sizeof large, "{\"token\":\"%0*d\"}", UMBP_ETCD_TOKEN_MAX + 1, 0);
    CU_ASSERT_EQUAL (umbp_etcd_hear_token (large, (size_t) size, token), UMBP_EPROTO);
}

//  What etcd would not say
static void test_refused (void)
{
    static const char *const leases[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"ID\":\"1\",\"TTL\":\"-1\"}",
        "{\"ID\":\"0\"}",
        "{\"ID\":\"-5\"}",
        "{\"ID\":1.5}",
        "{\"ID\":\"1x\"}",
        "{\"ID\":\"9223372036854775808\"}",
        "{\"ID\":\"99999999999999999999999999\"}",
        "{\"ID\":\"1\",\"TTL\":[]}",
        "{\"ID\":\"1\",\"ID\":\"2\"}",
        "{\"result\":[]}",
        "{\"ID\":\"\"}",
    };
    static const char *const ranges[] = {
        "",
        "{}",
        "{\"header\":5}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[5]}",
        "{" HEADER ",\"kvs\":[{\"key\":5}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"Zm9\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"Z*9v\"}]}",
        "{" HEADER ",\"more\":5}",
        "{\"header\":{\"revision\":\"0\"}}",
        "{\"header\":{}}",
        "{" HEADER "} x",
    };
    static const char *const watches[] = {
        "",
        "{}",
        "{\"error\":{}}",
        "{" HEADER ",\"events\":5}",
        "{" HEADER ",\"events\":[5]}",
        "{" HEADER ",\"events\":[{}]}",
        "{" HEADER ",\"events\":[{\"type\":\"OTHER\",\"kv\":{}}]}",
        "{" HEADER ",\"events\":[{\"type\":5,\"kv\":{\"key\":\"Zm9v\"}}]}",
        "{" HEADER ",\"created\":5}",
        "{" HEADER ",\"canceled\":\"true\"}",
        "{" HEADER ",\"compact_revision\":{}}",
    };
    int64_t lease, ttl_s;
    calls_t calls;
    umbp_etcd_news_t news;
    for (size_t index = 0; index < COUNT_OF (leases); index++)
        CU_ASSERT_EQUAL (
            umbp_etcd_hear_lease (leases[index], strlen (leases[index]), &lease, &ttl_s),
            UMBP_EPROTO);
    for (size_t index = 0; index < COUNT_OF (ranges); index++)
        CU_ASSERT_EQUAL (s_range (ranges[index], &calls, &news), UMBP_EPROTO);
    for (size_t index = 0; index < COUNT_OF (watches); index++)
        CU_ASSERT_EQUAL (s_watch (watches[index], &calls, &news), UMBP_EPROTO);
}

//  What a healthy etcd may hold, but none of ours
static void test_ignored (void)
{
    static const char *const kvs[] = {
        "{\"key\":\"AAECAw==\"}",       //  Binary
        "{\"key\":\"YSBi\"}",           //  A space
        "{\"value\":\"YmFy\"}",         //  The empty key
        "{\"key\":\"Zm9v\",\"value\":\"/w==\"}",
    };
    char text[2048];
    calls_t calls;
    umbp_etcd_news_t news;
    for (size_t index = 0; index < COUNT_OF (kvs); index++) {
        snprintf (text, sizeof text, "{" HEADER ",\"kvs\":[%s," KV "]}", kvs[index]);
        CU_ASSERT_EQUAL (s_range (text, &calls, &news), 0);
        CU_ASSERT (news.keys == 1 && news.ignored == 1 && calls.calls == 1);
    }
    //  510 bytes, and then 513 and 516, which are too many for ours
    for (int digits = 680; digits <= 688; digits += 4) {
        char key[700] = "";
        for (int index = 0; index < digits; index += 4)
            memcpy (key + index, "YWFh", 5);
        snprintf (text, sizeof text, "{" HEADER ",\"kvs\":[{\"key\":\"%s\"}]}", key);
        CU_ASSERT_EQUAL (s_range (text, &calls, &news), 0);
        CU_ASSERT_EQUAL (news.keys, digits == 680);
        CU_ASSERT_EQUAL (news.ignored, digits != 680);
    }
}

//  Some bytes of what is good are others, or it ends earlier: an answer or a refusal, and no crash
static void test_mutants (void)
{
    static const char *const good[] = {
        s_granted, s_kept,   s_over,      s_read,   s_empty,
        s_created, s_events, s_compacted, s_denied, "{\"token\":\"a.1\"}"
    };
    static const char alphabet[] = "\"{}[]:,\\0129-.eEtrueZ=/+\x80\xff\n ";
    const char *seed_text = getenv ("UMBP_SEED");
    uint64_t seed = seed_text ? strtoull (seed_text, NULL, 0) : (uint64_t) time (NULL);
    printf ("seed %llu, ", (unsigned long long) seed);
    for (int count = 0; count < MUTANTS; count++) {
        char text[1024], out[64], token[UMBP_ETCD_TOKEN_MAX + 1];
        const char *model = good[umbp_splitmix (&seed) % COUNT_OF (good)];
        size_t size = strlen (model);
        memcpy (text, model, size + 1);
        for (uint64_t left = umbp_splitmix (&seed) % 4; left > 0; left--)
            text[umbp_splitmix (&seed) % size] =
                alphabet[umbp_splitmix (&seed) % (sizeof alphabet - 1)];
        if (umbp_splitmix (&seed) % 4 == 0)
            size = umbp_splitmix (&seed) % size;
        char *copy = malloc (size ? size : 1);          //  So that a sanitizer sees its end
        memcpy (copy, text, size);
        int64_t lease, ttl_s;
        calls_t calls = { 0 };
        umbp_etcd_news_t news;
        int results[] = {
            umbp_etcd_hear_token (copy, size, token),
            umbp_etcd_hear_lease (copy, size, &lease, &ttl_s),
            umbp_etcd_hear_put (copy, size),
            umbp_etcd_hear_range (copy, size, s_on_key, &calls, &news),
            umbp_etcd_hear_watch (copy, size, s_on_key, &calls, &news),
        };
        for (size_t index = 0; index < COUNT_OF (results); index++)
            CU_ASSERT (results[index] == 0 || results[index] == UMBP_EPROTO);
        CU_ASSERT (strlen (umbp_etcd_hear_error (copy, size, out, sizeof out)) < sizeof out);
        free (copy);
    }
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("etcd_json", NULL, NULL);
    CU_ADD_TEST (suite, test_requests);
    CU_ADD_TEST (suite, test_answers);
    CU_ADD_TEST (suite, test_errors);
    CU_ADD_TEST (suite, test_token);
    CU_ADD_TEST (suite, test_refused);
    CU_ADD_TEST (suite, test_ignored);
    CU_ADD_TEST (suite, test_mutants);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
