//  test/unit/test_etcd.c - the actor that finds nodes through etcd, against a server of our own that
//  is good, or as bad as can be, at any of its steps. Against a real etcd: test/cluster/etcd.sh.
//  We play the registry. UMBP_LOG shows what is logged.
#include "actors/etcd_actor.h"
#include "proto/error.h"
#include "test/unit/fake_etcd.h"
#include "test/unit/peer.h"

#include <sodium.h>

#define OWN "tcp://10.77.0.1:7710"
#define OTHER "tcp://10.77.0.2:7710"
#define THIRD "tcp://10.77.0.3:7710"
#define MANY 1500

typedef struct {
    fake_t fake;
    char urls[256];
    zsock_t *registry;
    zactor_t *actor;
    asker_t asker;
    unsigned ttl_ms;                    //  0: so long that every request has 5 s
} stage_t;

//  ------------------------------------------------------------------------------------------------
//  What the server has

static void s_encode (const char *text, char *out, size_t size)
{
    sodium_bin2base64 (out, size, (const unsigned char *) text, strlen (text),
                       sodium_base64_VARIANT_ORIGINAL);
}

//  {"key":...,"value":...} of a node, as text that is good until the next call
static const char *s_kv (const char *key, const char *value)
{
    static char kv[1024];
    char key_64[400], value_64[400];
    s_encode (key, key_64, sizeof key_64);
    s_encode (value, value_64, sizeof value_64);
    snprintf (kv, sizeof kv, "{\"key\":\"%s\",\"value\":\"%s\"}", key_64, value_64);
    return kv;
}

//  Ourselves and another node, and what is none of ours
static char *s_two (void)
{
    char *kvs = zsys_sprintf ("{" FAKE_HEADER ",\"kvs\":[%s", s_kv ("/umbp/test/a", OWN));
    static const char *const more[][2] = {
        { "/umbp/test/b", OTHER },
        { "/umbp/test/no-endpoint", "tcp://*:1" },
        { "/umbp/test/", "tcp://foreign:1" },
        { "/umbp/other/b", "tcp://foreign:2" },
        { "/umbp/test/spa ce", "tcp://foreign:3" },
    };
    for (size_t index = 0; index < COUNT_OF (more); index++) {
        char *longer = zsys_sprintf ("%s,%s", kvs, s_kv (more[index][0], more[index][1]));
        free (kvs);
        kvs = longer;
    }
    char *whole = zsys_sprintf ("%s]}", kvs);
    free (kvs);
    return whole;
}

static char *s_many (void)
{
    size_t room = MANY * 256, used = 0;
    char *kvs = malloc (room);
    used += (size_t) snprintf (kvs, room, "{" FAKE_HEADER ",\"more\":true,\"kvs\":[");
    for (int number = 0; number < MANY; number++) {
        char key[64];
        snprintf (key, sizeof key, "/umbp/test/n%d", number);
        used += (size_t) snprintf (kvs + used, room - used, "%s%s", number ? "," : "",
                                   s_kv (key, OTHER));
    }
    snprintf (kvs + used, room - used, "]}");
    return kvs;
}

//  ------------------------------------------------------------------------------------------------
//  The stage

static void s_quiet (void)
{
    zsys_set_logstream (getenv ("UMBP_LOG") ? stdout : NULL);
}

static umbp_etcd_args_t s_args (const char *instance, const char *urls)
{
    return (umbp_etcd_args_t){ .instance = instance,
                               .cluster = "test",
                               .node = "a",
                                .endpoint = OWN, .endpoints = urls, .prefix = "/umbp",
                                .ttl_ms = 15000, .repeat_ms = 200 };
}

static zactor_t *s_actor (const char *instance, const umbp_etcd_args_t *args)
{
    umbp_home_t home = { .node = "a" };
    snprintf (home.instance, sizeof home.instance, "%s", instance);
    return umbp_etcd_actor_new (&home, args);
}

static void s_open_actor (stage_t *self, const char *instance, const char *user)
{
    umbp_etcd_args_t args = s_args (instance, self->urls);
    args.user = args.password = user;
    args.ttl_ms = self->ttl_ms ? self->ttl_ms : args.ttl_ms;
    self->actor = s_actor (instance, &args);
    CU_ASSERT_FATAL (self->actor != NULL);
    asker_start (&self->asker, instance, "etcd");
}

static void s_close_actor (stage_t *self)
{
    asker_end (&self->asker);
    zactor_destroy (&self->actor);
}

//  The registry of one more instance. A name is free again only some time after it was given up.
static void s_bind (stage_t *self, const char *instance)
{
    char inproc[2 * UMBP_TEXT_MAX];
    int rc = zsock_bind (self->registry, "%s",
                         umbp_post_inproc (instance, "registry", inproc, sizeof inproc));
    CU_ASSERT_FATAL (rc == 0);
}

//  Until a counter is at least this. It takes some time: we do not ask all the time.
static void s_wait (stage_t *self, const char *name, uint64_t least)
{
    int64_t end = zclock_mono () + PEER_MS;
    uint64_t value = asker_gauge (&self->asker, name);
    for (; value < least && zclock_mono () < end; value = asker_gauge (&self->asker, name))
        zclock_sleep (5);
    CU_ASSERT (value >= least && value != UINT64_MAX);
}

//  Until the server was asked so often
static void s_wait_asked (stage_t *self, at_t at, unsigned least)
{
    int64_t end = zclock_mono () + PEER_MS;
    while (fake_asked (&self->fake, at) < least && zclock_mono () < end)
        zclock_sleep (5);
    CU_ASSERT (fake_asked (&self->fake, at) >= least);
}

static void s_open (stage_t *self, const char *instance, char *kvs)
{
    self->ttl_ms = 0;
    fake_start (&self->fake, kvs);
    snprintf (self->urls, sizeof self->urls, "http://%s:%u", loopback_host (), self->fake.port);
    self->registry = zsock_new (ZMQ_ROUTER);
    zsock_set_rcvtimeo (self->registry, PEER_MS);
    s_bind (self, instance);
}

static void s_close (stage_t *self)
{
    zsock_destroy (&self->registry);
    fake_end (&self->fake);
}

//  Until the registry is told of this one. What is not ours must never come.
static bool s_found (stage_t *self, const char *wanted)
{
    for (;;) {
        char endpoint[UMBP_TEXT_MAX + 1];
        zmsg_t *parts = zmsg_recv (self->registry);
        if (!parts)
            return false;
        zframe_t *frame = zmsg_last (parts);
        umbp_msg_t msg;
        CU_ASSERT (umbp_msg_decode (&msg, zframe_data (frame), zframe_size (frame)) > 0);
        umbp_text_copy (msg.found.endpoint, endpoint, sizeof endpoint);
        zmsg_destroy (&parts);
        CU_ASSERT (strncmp (endpoint, "tcp://foreign", 13) != 0);
        CU_ASSERT_STRING_NOT_EQUAL (endpoint, OWN);
        if (streq (endpoint, wanted))
            return true;
    }
}

//  ------------------------------------------------------------------------------------------------
//  A good one

static void test_finds (void)
{
    stage_t stage;
    s_open (&stage, "etcd-1", s_two ());
    s_open_actor (&stage, "etcd-1", NULL);
    CU_ASSERT (s_found (&stage, OTHER));
    s_wait (&stage, "endpoint", 1);
    s_wait (&stage, "keepalives", 2);         //  A third of the second that was granted
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "nodes"), 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "ignored"), 4);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "lease_ms"), 1000);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "leases"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "puts"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "watches"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "failures"), 0);
    CU_ASSERT (s_found (&stage, OTHER));                //  Said again and again
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_REVOKE), 0);
    s_close_actor (&stage);
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_REVOKE), 1);
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_AUTH), 0);
    s_close (&stage);
}

//  A line of a watch with one event
static void s_event (stage_t *self, const char *type, const char *key, const char *value)
{
    char line[2048];
    snprintf (line, sizeof line, "{\"result\":{" FAKE_HEADER ",\"events\":[{%s\"kv\":%s}]}}\n",
              type, s_kv (key, value));
    fake_say (&self->fake, line);
}

static void test_watches (void)
{
    stage_t stage;
    s_open (&stage, "etcd-2", s_two ());
    s_open_actor (&stage, "etcd-2", NULL);
    s_wait (&stage, "watches", 1);
    CU_ASSERT (s_found (&stage, OTHER));
    s_wait_asked (&stage, AT_WATCH, 1);
    s_event (&stage, "", "/umbp/test/c", THIRD);
    CU_ASSERT (s_found (&stage, THIRD));
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "nodes"), 3);
    s_event (&stage, "\"type\":\"DELETE\",", "/umbp/test/c", "");
    asker_wait_down (&stage.asker, "nodes", 2);
    s_event (&stage, "\"type\":\"PUT\",", "/umbp/other/c", "tcp://foreign:9");
    s_wait (&stage, "ignored", 5);

    //  Our own key: put again. In two pieces: a line is a line however it comes.
    fake_say (&stage.fake, "{\"result\":{" FAKE_HEADER ",\"events\":[{\"type\":\"DELETE\",");
    s_wait (&stage, "keepalives", asker_gauge (&stage.asker, "keepalives") + 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "puts"), 1);
    fake_say (&stage.fake, "\"kv\":{\"key\":\"L3VtYnAvdGVzdC9h\"}}]}}\n");
    s_wait (&stage, "puts", 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "events"), 4);

    //  What it has seen is no more: read again, which is no failure
    fake_say (&stage.fake, "{\"result\":{\"header\":{},\"canceled\":true,"
                           "\"compact_revision\":\"9\"}}\n");
    s_wait (&stage, "watches", 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "compactions"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "reads"), 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "failures"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "refused"), 0);

    s_wait_asked (&stage, AT_WATCH, 2);
    fake_say (&stage.fake, "{\"result\":{" FAKE_HEADER ",\"events\":{}}}\n");
    s_wait (&stage, "refused", 1);
    s_wait (&stage, "watches", 3);
    s_close_actor (&stage);
    s_close (&stage);
}

static void test_lease_over (void)
{
    stage_t stage;
    s_open (&stage, "etcd-3", s_two ());
    s_open_actor (&stage, "etcd-3", NULL);
    s_wait (&stage, "keepalives", 1);
    fake_be (&stage.fake, AT_KEEP, EVIL_LEASE_OVER);
    s_wait (&stage, "leases", 2);
    s_wait (&stage, "puts", 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "leases_lost"), 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "failures"), 0);
    s_close_actor (&stage);
    s_close (&stage);
}

//  A token that has run out is replaced; one that never worked is a failure
static void test_token (void)
{
    stage_t stage;
    s_open (&stage, "etcd-4", s_two ());
    s_open_actor (&stage, "etcd-4", "user");
    s_wait (&stage, "keepalives", 1);
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_AUTH), 1);
    fake_be (&stage.fake, AT_KEEP, EVIL_DENIED);
    s_wait (&stage, "keepalives", asker_gauge (&stage.asker, "keepalives") + 2);
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_AUTH), 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "failures"), 0);
    s_close_actor (&stage);
    fake_be (&stage.fake, AT_GRANT, EVIL_DENIED);
    s_bind (&stage, "etcd-4b");
    s_open_actor (&stage, "etcd-4b", "user");
    s_wait (&stage, "failures", 1);
    s_wait (&stage, "endpoint", 1);
    s_close_actor (&stage);
    s_close (&stage);
}

static void test_too_many (void)
{
    stage_t stage;
    s_open (&stage, "etcd-5", s_many ());
    s_open_actor (&stage, "etcd-5", NULL);
    s_wait (&stage, "endpoint", 1);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "nodes"), UMBP_NODES_MAX);
    CU_ASSERT (asker_gauge (&stage.asker, "ignored") >= MANY - UMBP_NODES_MAX);
    s_close_actor (&stage);
    s_close (&stage);
}

//  Wherever in its list it begins, it comes to the one that is there
static void test_next_endpoint (void)
{
    stage_t stage;
    s_open (&stage, "etcd-6", s_two ());
    snprintf (stage.urls, sizeof stage.urls, "http://%s:1, http://%s:%u/,http://%s:2",
              loopback_host (), loopback_host (), stage.fake.port, loopback_host ());
    s_open_actor (&stage, "etcd-6", NULL);
    s_wait (&stage, "endpoint", 2);
    CU_ASSERT_EQUAL (asker_gauge (&stage.asker, "endpoint"), 2);
    s_close_actor (&stage);
    s_close (&stage);
}

//  ------------------------------------------------------------------------------------------------
//  Bad ones

//  From its start, or, since it must have begun to be kept alive, soon after
static void s_try (stage_t *self, at_t at, evil_t evil)
{
    char instance[32];
    snprintf (instance, sizeof instance, "etcd-7-%d-%d", (int) evil, (int) at);
    s_bind (self, instance);
    self->ttl_ms = evil == EVIL_SILENT ? 2000 : 0;      //  Then every request has 1 s
    fake_be (&self->fake, at, evil);
    s_open_actor (self, instance, "user");
    s_wait (self, "failures", 1);
    if (evil == EVIL_TYPES || evil == EVIL_HUGE || evil == EVIL_ENDLESS)
        CU_ASSERT (asker_gauge (&self->asker, "refused") >= 1);
    fake_be (&self->fake, at, EVIL_NOT);
    s_wait (self, "endpoint", 1);
    s_wait (self, "nodes", 2);
    CU_ASSERT (s_found (self, OTHER));
    s_close_actor (self);
}

//  Whatever is answered, at whatever step: it is refused, and the next try works
static void test_hostile (void)
{
    stage_t stage;
    s_open (&stage, "etcd-7", s_two ());
    for (evil_t evil = EVIL_GARBAGE; evil < EVIL_KINDS; evil++)
        for (at_t at = AT_AUTH; at <= AT_WATCH; at++) {
            int64_t start = zclock_mono ();
            s_try (&stage, at, evil);
            if (getenv ("UMBP_LOG"))
                printf ("evil %d at %d: %d ms\n", (int) evil, (int) at,
                        (int) (zclock_mono () - start));
        }
    CU_ASSERT_EQUAL (fake_asked (&stage.fake, AT_OTHER), 0);    //  No redirect was followed
    s_close (&stage);
}

//  The same failure again and again is one line
static void test_logs_once (void)
{
    char line[1024];
    int warnings = 0, works = 0;
    FILE *log = tmpfile ();
    stage_t stage;
    s_open (&stage, "etcd-8", s_two ());
    zsys_set_logstream (log);
    fake_be (&stage.fake, AT_PUT, EVIL_ERROR);
    s_open_actor (&stage, "etcd-8", NULL);
    s_wait (&stage, "failures", 4);
    fake_be (&stage.fake, AT_PUT, EVIL_NOT);
    s_wait (&stage, "endpoint", 1);
    s_close_actor (&stage);
    s_quiet ();
    rewind (log);
    while (fgets (line, sizeof line, log)) {
        warnings += strstr (line, "etcd: put failed") != NULL;
        works += strstr (line, "etcd: works again") != NULL;
        if (strstr (line, "etcd: put failed"))
            CU_ASSERT (strstr (line, "http=500: no?leader") != NULL);
    }
    CU_ASSERT_EQUAL (warnings, 1);
    CU_ASSERT_EQUAL (works, 1);
    fclose (log);
    s_close (&stage);
}

//  ------------------------------------------------------------------------------------------------
//  Life

static void test_start_and_stop (void)
{
    stage_t stage;
    s_open (&stage, "etcd-9", s_two ());
    for (int times = 0; times < 20; times++) {
        char instance[32];
        snprintf (instance, sizeof instance, "etcd-9-%d", times);
        umbp_etcd_args_t args = s_args (instance, stage.urls);
        zactor_t *actor = s_actor (instance, &args);
        CU_ASSERT (actor != NULL);
        CU_ASSERT_PTR_NULL (s_actor (instance, &args));     //  Its address is taken
        zactor_destroy (&actor);
    }
    fake_be (&stage.fake, AT_REVOKE, EVIL_SILENT);      //  Then the lease ends by itself
    s_open_actor (&stage, "etcd-9", NULL);
    s_wait (&stage, "endpoint", 1);
    s_close_actor (&stage);
    s_close (&stage);
}

static void test_check (void)
{
    static const struct {
        const char *urls, *prefix, *user, *password, *cert, *key;
        unsigned ttl_ms;
        const char *why;                //  NULL: fine
    } cases[] = {
        { "http://h:1", "/umbp", "", "", "", "", 2000, NULL },
        { "https://[::1]:2379/, http://a.b:1", "x", "u", "p", "c", "k", 3600000, NULL },
        { "", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "http://h", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "tcp://h:1", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "http://u:p@h:1", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "http://h:1/v3", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "http://h:1,ftp://h:1", "/umbp", "", "", "", "", 2000, "etcd_endpoints" },
        { "http://h:1", "", "", "", "", "", 2000, "etcd_prefix" },
        { "http://h:1", "/", "", "", "", "", 2000, "etcd_prefix" },
        { "http://h:1", "/a b", "", "", "", "", 2000, "etcd_prefix" },
        { "http://h:1", "/umbp", "", "", "", "", 1999, "etcd_ttl_ms" },
        { "http://h:1", "/umbp", "", "", "", "", 3600001, "etcd_ttl_ms" },
        { "http://h:1", "/umbp", "", "p", "", "", 2000, "etcd_user" },
        { "http://h:1", "/umbp", "", "", "c", "", 2000, "etcd_cert" },
        { "http://h:1", "/umbp", "", "", "", "k", 2000, "etcd_cert" },
    };
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        umbp_etcd_args_t args = s_args ("x", cases[index].urls);
        args.prefix = cases[index].prefix;
        args.user = cases[index].user;
        args.password = cases[index].password;
        args.cert = cases[index].cert;
        args.key = cases[index].key;
        args.ttl_ms = cases[index].ttl_ms;
        const char *why, *wanted = cases[index].why;
        CU_ASSERT_EQUAL (umbp_etcd_check (&args, &why), wanted ? UMBP_EINVAL : 0);
        CU_ASSERT (wanted ? why && strncmp (why, wanted, strlen (wanted)) == 0 : !why);
    }
    char list[17 * 16] = "";
    for (int number = 1; number <= 17; number++)
        sprintf (list + strlen (list), "http://h:%d,", number);
    const char *why;
    umbp_etcd_args_t args = s_args ("x", list);
    CU_ASSERT_EQUAL (umbp_etcd_check (&args, &why), UMBP_EINVAL);
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    s_quiet ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("etcd", NULL, NULL);
    CU_ADD_TEST (suite, test_check);
    CU_ADD_TEST (suite, test_finds);
    CU_ADD_TEST (suite, test_watches);
    CU_ADD_TEST (suite, test_lease_over);
    CU_ADD_TEST (suite, test_token);
    CU_ADD_TEST (suite, test_too_many);
    CU_ADD_TEST (suite, test_next_endpoint);
    CU_ADD_TEST (suite, test_hostile);
    CU_ADD_TEST (suite, test_logs_once);
    CU_ADD_TEST (suite, test_start_and_stop);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
