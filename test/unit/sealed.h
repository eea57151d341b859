//  test/unit/sealed.h - three nodes of this process with certificates, and who speaks to them. Nodes
//  find each other by seeds; clients are whoever a test hands out a certificate for.
#ifndef UMBP_TEST_SEALED_H
#define UMBP_TEST_SEALED_H

#include "bin/talk.h"
#include "test/unit/certs.h"
#include "test/unit/nodes.h"

#include <poll.h>

#define NODES 3
#define LONG_MS 60000

static umbp_node_t *sealed_nodes[NODES];
static char sealed_ends[NODES][64];

static inline void sealed_options (umbp_node_options_t *options, size_t number)
{
    umbp_node_options_init (options);
    snprintf (options->node, sizeof options->node, "node-%zu", number);
    snprintf (options->cluster, sizeof options->cluster, "test-%d", (int) getpid ());
    snprintf (options->listen, sizeof options->listen, "%s", sealed_ends[number]);
    snprintf (options->certificate, sizeof options->certificate, "%s/node-%zu", certs_room, number);
    snprintf (options->nodes_dir, sizeof options->nodes_dir, "%s/nodes", certs_room);
    snprintf (options->clients_dir, sizeof options->clients_dir, "%s/clients", certs_room);
    if (number > 0)
        snprintf (options->seeds, sizeof options->seeds, "%s", sealed_ends[0]);
    options->heartbeat_ms = 50;
    options->suspect_ms = 10000;        //  Nobody here falls silent but by a busy machine
    options->gone_ms = 40000;
    options->dram_bytes = options->region_bytes = 4 << 20;
    options->page_bytes = PAGE;
    options->index_keys = options->kv_hashes = 10000;
    options->log_level = 1;
}

//  Folders, and the certificates of the nodes
static inline void sealed_name (void)
{
    certs_folder ("nodes");
    certs_folder ("clients");
    for (size_t number = 0; number < NODES; number++) {
        char name[64];
        umbp_curve_words_t words = { 0 };
        snprintf (sealed_ends[number], sizeof sealed_ends[number], "tcp://%s:%zu", loopback_host (),
                  21000 + number);
        snprintf (words.node, sizeof words.node, "node-%zu", number);
        snprintf (words.endpoint, sizeof words.endpoint, "%s", sealed_ends[number]);
        snprintf (name, sizeof name, "nodes/node-%zu", number);
        certs_hand_out (certs_make (words.node, words), certs_path (name));
    }
}

//  A client that the nodes know
static inline void sealed_client (const char *name, const char *tenant)
{
    char path[64];
    umbp_curve_words_t words = { 0 };
    snprintf (words.tenant, sizeof words.tenant, "%s", tenant);
    snprintf (path, sizeof path, "clients/%s", name);
    certs_hand_out (certs_make (name, words), certs_path (path));
}

//  set: what is said of each node
static inline void sealed_start (void (*set) (umbp_node_options_t *options, size_t number))
{
    for (size_t number = 0; number < NODES; number++) {
        umbp_node_options_t options;
        set (&options, number);
        sealed_nodes[number] = umbp_node_new (&options, NULL);
        CU_ASSERT_FATAL (sealed_nodes[number] != NULL);
    }
}

//  After the suite
static inline int sealed_stop (void)
{
    for (size_t number = NODES; number-- > 0;)
        umbp_node_destroy (&sealed_nodes[number]);
    return certs_stop ();
}

//  A client of a node, with these certificates. Returns NULL and *err.
static inline umbp_t *sealed_connect (size_t number, const char *own, const char *server,
                                      uint32_t timeout_ms, int *err)
{
    umbp_options_t how = { .endpoints = sealed_ends[number],
                           .timeout_ms = timeout_ms, .no_shm = true, .lanes = 1,
                           .certificate = own, .server_certificate = server };
    return umbp_connect (&how, err);
}

static inline umbp_talk_t *sealed_talk (size_t number, const char *own)
{
    int err;
    char why[512];
    umbp_talk_t *talk = umbp_talk_new_secure (sealed_ends[number], own, certs_path ("nodes"),
                                              LONG_MS, &err, why, sizeof why);
    CU_ASSERT_FATAL (talk != NULL);
    return talk;
}

//  One of a node's gauges
static inline uint64_t sealed_gauge (umbp_talk_t *talk, const char *actor, const char *name)
{
    umbp_msg_t msg;
    const umbp_msg_t *answer;
    umbp_msg_init (&msg, UMBP_MSG_stat, 0);
    CU_ASSERT_FATAL (umbp_talk_ask (talk, actor, &msg, &answer) == 0);
    size_t offset = 0;
    for (size_t index = 0; index < answer->stat_ok.names.count; index++) {
        umbp_bytes_t item = umbp_column_next (&answer->stat_ok.names, index, &offset);
        if (item.size == strlen (name) && memcmp (item.data, name, item.size) == 0)
            return umbp_u64s_at (answer->stat_ok.values, index);
    }
    CU_FAIL_FATAL ("no such gauge");
    return 0;
}

//  Before the tests of a program
static inline void sealed_alone (void)
{
    unsetenv ("UMBP_CERTIFICATE");
    unsetenv ("UMBP_SERVER_CERTIFICATE");
}

#endif
