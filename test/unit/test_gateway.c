//  test/unit/test_gateway.c - a node's pages over HTTP, as a scraper, a probe and somebody hostile see them
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "actors/gateway.h"
#include "actors/http.h"
#include "cluster/link.h"
#include "test/unit/nodes.h"

#define WAIT_MS 60000                   //  The machine may be slow; nothing takes so long by design
#define FLOOD 300                       //  Connections at once, of somebody hostile
#define PAGE_MAX (4u << 20)

static nodes_t s_nodes;
static char s_page[PAGE_MAX];           //  The last answer, head and all

//  -----------------------------------------------------------------------------------------------
//  HTTP, by hand

//  A connection to "http://host:port", maybe not there yet. Returns its descriptor.
static int s_dial (const char *url)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    char host[64];
    unsigned port;
    CU_ASSERT_FATAL (sscanf (url, "http://%63[^:]:%u", host, &port) == 2);
    to.sin_port = htons ((uint16_t) port);
    inet_pton (AF_INET, host, &to.sin_addr);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CU_ASSERT_FATAL (fd >= 0);
    int rc = connect (fd, (struct sockaddr *) &to, sizeof to);
    CU_ASSERT (rc == 0 || errno == EINPROGRESS);
    return fd;
}

//  Send all, unless the other end goes or a deadline passes. Returns how much went out.
static size_t s_send (int fd, const char *data, size_t size, int64_t deadline_ms)
{
    size_t sent = 0;
    while (sent < size && umbp_clock_ms () < deadline_ms) {
        struct pollfd item = { .fd = fd, .events = POLLOUT };
        if (poll (&item, 1, 100) == 0)
            continue;
        ssize_t rc = send (fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (rc > 0)
            sent += (size_t) rc;
        else if (errno != EAGAIN && errno != EINPROGRESS && errno != ENOTCONN)
            break;
    }
    return sent;
}

//  Read to the end, into s_page. Returns false if the end does not come in time.
static bool s_read (int fd, int64_t deadline_ms)
{
    size_t used = 0;
    while (umbp_clock_ms () < deadline_ms) {
        struct pollfd item = { .fd = fd, .events = POLLIN };
        if (poll (&item, 1, 100) == 0)
            continue;
        ssize_t rc = recv (fd, s_page + used, PAGE_MAX - 1 - used, 0);
        if (rc == -1 && errno == EAGAIN)
            continue;
        s_page[used + (rc > 0 ? (size_t) rc : 0)] = 0;
        if (rc <= 0)
            return true;
        used += (size_t) rc;
    }
    return false;
}

//  Ask and read the answer. Returns its status, 0 if there was none.
static int s_ask (const char *url, const char *request)
{
    int64_t deadline_ms = umbp_clock_ms () + WAIT_MS;
    int fd = s_dial (url), status = 0;
    s_page[0] = 0;
    s_send (fd, request, strlen (request), deadline_ms);
    s_read (fd, deadline_ms);
    close (fd);
    sscanf (s_page, "HTTP/1.1 %d", &status);
    return status;
}

static int s_get (const char *url, const char *path)
{
    char request[256];
    snprintf (request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    return s_ask (url, request);
}

static bool s_becomes (const char *url, const char *path, int status)
{
    for (int64_t end = umbp_clock_ms () + WAIT_MS; umbp_clock_ms () < end; zclock_sleep (20))
        if (s_get (url, path) == status)
            return true;
    printf ("\n%s does not become %d: %s\n", path, status, s_page);
    return false;
}

static const char *s_url (void)
{
    return umbp_node_gateway (s_nodes.nodes[0]);
}

//  -----------------------------------------------------------------------------------------------
//  A node

static void test_start (void)
{
    s_nodes = (nodes_t) { .count = 1 };
    snprintf (s_nodes.run_dir, sizeof s_nodes.run_dir, "/tmp/umbp-test-XXXXXX");
    CU_ASSERT_FATAL (mkdtemp (s_nodes.run_dir) != NULL);
    nodes_options (&s_nodes, 0, WITH_DOORS, 4 << 20);
    snprintf (s_nodes.options[0].gateway_listen, sizeof s_nodes.options[0].gateway_listen, "%s",
              loopback_tcp ());
    s_nodes.nodes[0] = nodes_new (&s_nodes.options[0]);
    CU_ASSERT_FATAL (s_nodes.nodes[0] != NULL);
    CU_ASSERT_FATAL (strncmp (s_url (), "http://127.", 11) == 0);
    CU_ASSERT_FATAL (nodes_meet (&s_nodes));
}

static void test_stop (void)
{
    nodes_stop (&s_nodes);
}

static void test_probes (void)
{
    CU_ASSERT (s_becomes (s_url (), "/healthz", 200) && strstr (s_page, "\r\n\r\nok\n"));
    CU_ASSERT (s_becomes (s_url (), "/readyz", 200) && strstr (s_page, "\r\n\r\nok\n"));
    CU_ASSERT (s_ask (s_url (), "HEAD /healthz HTTP/1.0\r\n\r\n") == 200);
    CU_ASSERT (strstr (s_page, "\r\n\r\n") == s_page + strlen (s_page) - 4);
    CU_ASSERT (s_get (s_url (), "/") == 404 && strstr (s_page, "/metrics"));
    CU_ASSERT (s_get (s_url (), "/metrics/../x") == 404);
    CU_ASSERT (
        s_ask (s_url (), "POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 9999999\r\n\r\nx")
        == 405);
}

//  Everything an actor reports has its row in the table, and nobody is missing
static void test_metrics (void)
{
    static const char *const actors[] = { "registry",  "router",   "index",   "extkv",
                                          "eviction", "migrator", "gateway", "tier:dram" };
    CU_ASSERT (s_becomes (s_url (), "/healthz", 200));
    CU_ASSERT (s_get (s_url (), "/metrics") == 200);
    CU_ASSERT (strstr (s_page, "Content-Type: application/openmetrics-text; version=1.0.0; "
                               "charset=utf-8\r\n")
               != NULL);
    CU_ASSERT_STRING_EQUAL (s_page + strlen (s_page) - 7, "\n# EOF\n");
    for (size_t index = 0; index < sizeof actors / sizeof *actors; index++) {
        char line[128];
        snprintf (line, sizeof line, "umbp_actor_up{actor=\"%s\"} 1\n", actors[index]);
        CU_ASSERT (strstr (s_page, line) != NULL);
    }
    for (char *line = strtok (s_page, "\n"); line; line = strtok (NULL, "\n")) {
        char name[160], type[16];
        bool typed = sscanf (line, "# TYPE %159s %15s", name, type) == 2;
        bool unknown = typed && strcmp (type, "unknown") == 0;
        if (unknown)
            printf ("\nno row in actors/metrics.c: %s\n", name);
        CU_ASSERT (!unknown);
    }
}

//  What a client does is seen: by count, by message, and by how long it took
static void test_counts (void)
{
    umbp_t *pool = nodes_connect (&s_nodes, 0,
                                  (umbp_options_t){ .timeout_ms = WAIT_MS,
                                                                  .no_shm = true });
    CU_ASSERT_FATAL (pool != NULL);
    char text[8];
    CU_ASSERT (umbp_put (pool, "key", "value", 5) == 0);
    CU_ASSERT (umbp_get (pool, "key", text, sizeof text) == 5);
    umbp_close (&pool);
    static const char *const wanted[] = {
        "umbp_request_seconds_count{actor=\"router\",operation=\"put\"",
        "umbp_request_seconds_count{actor=\"router\",operation=\"get\"",
        "umbp_request_seconds_count{actor=\"tier:dram\",operation=\"lease\"",
        "umbp_messages_total{actor=\"router\",message=\"get\"}",
        "\numbp_tier_total_bytes{tier=\"dram\"} 4194304\n",
        "\numbp_members{state=\"alive\"} 1\n",
    };
    bool all = false;
    for (int64_t end = umbp_clock_ms () + WAIT_MS; !all && umbp_clock_ms () < end;
         zclock_sleep (20)) {           //  Asked for once a second
        s_get (s_url (), "/metrics");
        all = true;
        for (size_t index = 0; index < sizeof wanted / sizeof *wanted; index++)
            all = all && strstr (s_page, wanted[index]);
    }
    CU_ASSERT (all);
}

//  -----------------------------------------------------------------------------------------------
//  Somebody hostile

//  More of a request than there is room for
static void test_giant_request (void)
{
    size_t size = 1 << 20;
    char *request = malloc (size);
    CU_ASSERT_FATAL (request != NULL);
    static const char *const starts[] = { "GET /metrics HTTP/1.1\r\nX: ", "GET /", "", "\r\n" };
    for (size_t index = 0; index < sizeof starts / sizeof *starts; index++) {
        int64_t deadline_ms = umbp_clock_ms () + WAIT_MS;
        memset (request, 'a', size);
        memcpy (request, starts[index], strlen (starts[index]));
        int fd = s_dial (s_url ());
        s_send (fd, request, size, deadline_ms);
        CU_ASSERT (s_read (fd, deadline_ms));       //  It ends
        CU_ASSERT (strncmp (s_page, "HTTP/1.1 200", 12) != 0);
        close (fd);
    }
    free (request);
    CU_ASSERT (s_becomes (s_url (), "/metrics", 200));
}

static void test_garbage (void)
{
    uint64_t state = nodes_seed ("gateway");
    for (int round = 0; round < 200; round++) {
        uint64_t words[32];
        for (size_t index = 0; index < 32; index++)
            words[index] = umbp_splitmix (&state);
        int fd = s_dial (s_url ());
        s_send (fd, (const char *) words, umbp_splitmix (&state) % sizeof words,
                umbp_clock_ms () + WAIT_MS);
        close (fd);
    }
    CU_ASSERT (s_becomes (s_url (), "/metrics", 200));
}

//  A byte now and then keeps a connection from being idle, but not for long
static void test_slow_loris (void)
{
    static const char start[] = "GET /metrics HTTP/1.1\r\nX: ";
    int64_t deadline_ms = umbp_clock_ms () + WAIT_MS;
    int fd = s_dial (s_url ());
    CU_ASSERT (s_send (fd, start, sizeof start - 1, deadline_ms) == sizeof start - 1);
    while (umbp_clock_ms () < deadline_ms && s_send (fd, "a", 1, deadline_ms) == 1)
        zclock_sleep (100);
    CU_ASSERT (umbp_clock_ms () < deadline_ms);     //  We were cut off
    close (fd);
    CU_ASSERT (s_becomes (s_url (), "/metrics", 200));
    bool cut = false;
    deadline_ms = umbp_clock_ms () + WAIT_MS;
    for (; !cut && umbp_clock_ms () < deadline_ms; zclock_sleep (20)) {
        s_get (s_url (), "/metrics");
        cut = strstr (s_page, "\numbp_gateway_http_cut_total 1\n") != NULL;
    }
    CU_ASSERT (cut);
}

//  Somebody takes all connections there are. Blocks do not notice; and then the pages are there again.
static void test_flood (void)
{
    static int fds[FLOOD];
    umbp_t *pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .timeout_ms = WAIT_MS });
    CU_ASSERT_FATAL (pool != NULL);
    for (size_t index = 0; index < FLOOD; index++)
        fds[index] = s_dial (s_url ());
    for (int round = 0; round < 100; round++) {
        char key[16], text[16];
        snprintf (key, sizeof key, "flood-%d", round);
        CU_ASSERT (umbp_put (pool, key, key, sizeof key) == 0);
        CU_ASSERT (umbp_get (pool, key, text, sizeof text) == sizeof key);
        CU_ASSERT (memcmp (key, text, sizeof key) == 0);
    }
    CU_ASSERT (s_becomes (s_url (), "/metrics", 200));       //  They are still there, and idle
    for (size_t index = 0; index < FLOOD; index++)
        close (fds[index]);
    umbp_close (&pool);
    CU_ASSERT (s_becomes (s_url (), "/healthz", 200));
}

//  Asks for pages and does not read them
static void test_reads_nothing (void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n";
    int fds[32];
    for (size_t index = 0; index < 32; index++) {
        int small = 1024;
        fds[index] = s_dial (s_url ());
        setsockopt (fds[index], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        s_send (fds[index], request, sizeof request - 1, umbp_clock_ms () + WAIT_MS);
    }
    CU_ASSERT (s_becomes (s_url (), "/metrics", 200));
    for (size_t index = 0; index < 32; index++)
        close (fds[index]);
}

//  -----------------------------------------------------------------------------------------------
//  A gateway whose actors do not all live

static void test_silent (void)
{
    static const char *const actors[] = { "nobody", NULL };
    char url[UMBP_TEXT_MAX];
    umbp_home_t home = { .node_epoch = 1, .log_level = 1 };
    snprintf (home.instance, sizeof home.instance, "gateway-%d", (int) getpid ());
    snprintf (home.node, sizeof home.node, "alone");
    umbp_gateway_args_t args = { &home, loopback_tcp (), actors };
    zactor_t *gateway = umbp_gateway_new (&args, url, sizeof url);
    CU_ASSERT_FATAL (gateway != NULL);
    CU_ASSERT (s_get (url, "/healthz") == 503 && strstr (s_page, "starting: "));
    CU_ASSERT (s_get (url, "/readyz") == 503 && strstr (s_page, "starting: no topology yet\n"));
    bool said = false;
    for (int64_t end = umbp_clock_ms () + WAIT_MS; !said && umbp_clock_ms () < end;
         zclock_sleep (50))
        said = s_get (url, "/healthz") == 503 && strstr (s_page, "silent: registry for 1");
    CU_ASSERT (said && strstr (s_page, ", nobody for 1"));
    CU_ASSERT (strstr (s_page, "gateway") == NULL);  //  Which answers itself
    CU_ASSERT (s_becomes (url, "/readyz", 503) && strstr (s_page, "the registry is silent"));
    CU_ASSERT (s_get (url, "/metrics") == 200);
    CU_ASSERT (strstr (s_page, "umbp_actor_up{actor=\"nobody\"} 0\n") != NULL);
    CU_ASSERT (strstr (s_page, "umbp_actor_up{actor=\"gateway\"} 1\n") != NULL);

    char second[UMBP_TEXT_MAX], taken[UMBP_TEXT_MAX];
    snprintf (taken, sizeof taken, "tcp://%s", url + strlen ("http://"));
    snprintf (home.instance, sizeof home.instance, "second-%d", (int) getpid ());
    args.listen = taken;                //  The port is another's
    CU_ASSERT (umbp_gateway_new (&args, second, sizeof second) == NULL);
    zactor_destroy (&gateway);
}

static void test_loopback_only (void)
{
    static const char *const here[] = { "tcp://127.0.0.1:*", "tcp://127.9.9.9:1", "tcp://[::1]:80",
                                        "tcp://localhost:80" };
    static const char *const there[] = { "tcp://*:80",
                                         "tcp://0.0.0.0:80",
                                         "tcp://[::]:80",
                                         "tcp://a.b:80",
                                         "tcp://10.0.0.1:80",
                                         "tcp://:80",
                                         "",
                                         "tcp" };
    umbp_node_options_t options;
    umbp_node_options_init (&options);
    CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    for (size_t index = 0; index < sizeof here / sizeof *here; index++) {
        snprintf (options.gateway_listen, sizeof options.gateway_listen, "%s", here[index]);
        CU_ASSERT (umbp_http_is_loopback (here[index]));
        CU_ASSERT (umbp_node_options_check (&options, NULL, 0) == 0);
    }
    for (size_t index = 0; index < sizeof there / sizeof *there; index++)
        CU_ASSERT (!umbp_http_is_loopback (there[index]));
    char why[256];
    snprintf (options.gateway_listen, sizeof options.gateway_listen, "tcp://10.0.0.1:80");
    CU_ASSERT (umbp_node_options_check (&options, why, sizeof why) == UMBP_EINVAL);
    CU_ASSERT (strncmp (why, "gateway_listen: ", 16) == 0 && strstr (why, "gateway_open"));
    options.gateway_open = true;
    CU_ASSERT (umbp_node_options_check (&options, why, sizeof why) == 0);
    snprintf (options.gateway_listen, sizeof options.gateway_listen, "http://127.0.0.1:80");
    CU_ASSERT (umbp_node_options_check (&options, why, sizeof why) == UMBP_EINVAL);
}

int main (void)
{
    zsys_handler_set (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("gateway", NULL, NULL);
    CU_ADD_TEST (suite, test_loopback_only);
    CU_ADD_TEST (suite, test_start);
    CU_ADD_TEST (suite, test_probes);
    CU_ADD_TEST (suite, test_metrics);
    CU_ADD_TEST (suite, test_counts);
    CU_ADD_TEST (suite, test_giant_request);
    CU_ADD_TEST (suite, test_garbage);
    CU_ADD_TEST (suite, test_slow_loris);
    CU_ADD_TEST (suite, test_reads_nothing);
    CU_ADD_TEST (suite, test_flood);
    CU_ADD_TEST (suite, test_stop);
    CU_ADD_TEST (suite, test_silent);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
