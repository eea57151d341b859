//  test/unit/test_vitals.c - what actors say of themselves: health, readiness, and the page they make
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/vitals.h"
#include "cluster/latency.h"
#include "cluster/topology.h"

#define START 1000000

static char s_why[256];

//  -----------------------------------------------------------------------------------------------
//  Messages

typedef struct {
    uint8_t bytes[4096];
    uint16_t sizes[64];
    uint64_t values[64];
    uint32_t used, count;
} column_t;

static void s_add (column_t *column, const char *name, uint64_t value)
{
    size_t size = strlen (name);
    memcpy (column->bytes + column->used, name, size);
    column->sizes[column->count] = (uint16_t) size;
    column->values[column->count++] = value;
    column->used += (uint32_t) size;
}

static umbp_column_t s_column (const column_t *column)
{
    return (umbp_column_t) { column->bytes, column->sizes, column->used, column->count };
}

static void s_take (umbp_vitals_t *vitals, size_t number, const column_t *gauges, int64_t now)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat_ok, 1);
    msg.stat_ok.names = s_column (gauges);
    msg.stat_ok.values = (umbp_u64s_t) { gauges->values, gauges->count };
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    umbp_vitals_take (vitals, number, &msg.stat_ok, now);
}

//  Two members, the first of them us
static void s_topology (umbp_vitals_t *vitals, bool in_ring, bool settled, uint8_t other_state,
                        int64_t now)
{
    column_t nodes = { 0 };
    s_add (&nodes, "one", 0);
    s_add (&nodes, "two", 0);
    uint8_t rings[] = { in_ring, 1 }, states[] = { UMBP_MEMBER_ALIVE, other_state };
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_topology_ok, 1);
    msg.topology_ok.nodes = s_column (&nodes);
    msg.topology_ok.rings = (umbp_u8s_t) { rings, 2 };
    msg.topology_ok.states = (umbp_u8s_t) { states, 2 };
    msg.topology_ok.settled = settled;
    msg.topology_ok.copies = 2;
    umbp_vitals_topology (vitals, &msg.topology_ok, now);
}

static const char *s_page (const umbp_vitals_t *vitals, umbp_openmetrics_t *page, int64_t now)
{
    size_t size;
    bool whole;
    umbp_openmetrics_clear (page);
    umbp_vitals_write (vitals, page, now);
    const char *text = umbp_openmetrics_end (page, &size, &whole);
    CU_ASSERT (whole);
    return text;
}

static bool s_has (const char *text, const char *line)
{
    bool has = strstr (text, line) != NULL;
    if (!has)
        printf ("\nmissing: %s", line);
    return has;
}

//  -----------------------------------------------------------------------------------------------

static void test_health (void)
{
    umbp_vitals_t *vitals = umbp_vitals_new ("one", START);
    CU_ASSERT (umbp_vitals_add (vitals, "index") == 0
               && umbp_vitals_add (vitals, "tier:dram") == 1);
    CU_ASSERT (umbp_vitals_count (vitals) == 2);
    CU_ASSERT_STRING_EQUAL (umbp_vitals_actor (vitals, 1), "tier:dram");
    column_t gauges = { 0 };
    s_add (&gauges, "blocks", 1);

    CU_ASSERT (!umbp_vitals_healthy (vitals, START, s_why, sizeof s_why));
    CU_ASSERT_STRING_EQUAL (s_why, "starting: 2 of 2 actors have not answered yet");
    s_take (vitals, 0, &gauges, START + 1000);
    CU_ASSERT (!umbp_vitals_healthy (vitals, START + 1000, s_why, sizeof s_why));
    s_take (vitals, 1, &gauges, START + 2000);
    CU_ASSERT (umbp_vitals_healthy (vitals, START + 2000, s_why, sizeof s_why));
    CU_ASSERT (
        umbp_vitals_healthy (vitals, START + 999 + UMBP_VITALS_SILENT_MS, s_why, sizeof s_why));
    CU_ASSERT (
        !umbp_vitals_healthy (vitals, START + 1000 + UMBP_VITALS_SILENT_MS, s_why, sizeof s_why));
    CU_ASSERT_STRING_EQUAL (s_why, "silent: index for 10 s");
    CU_ASSERT (!umbp_vitals_healthy (vitals, START + 62000, s_why, sizeof s_why));
    CU_ASSERT_STRING_EQUAL (s_why, "silent: index for 61 s, tier:dram for 60 s");
    char narrow[12];                    //  Cut, and nothing written behind it
    CU_ASSERT (!umbp_vitals_healthy (vitals, START + 62000, narrow, sizeof narrow));
    CU_ASSERT_STRING_EQUAL (narrow, "silent: ind");

    umbp_vitals_stalled (vitals, 60000);        //  It was us who slept
    CU_ASSERT (umbp_vitals_healthy (vitals, START + 62000, s_why, sizeof s_why));
    umbp_vitals_destroy (&vitals);
    CU_ASSERT (vitals == NULL);
}

static void test_too_many_actors (void)
{
    umbp_vitals_t *vitals = umbp_vitals_new ("one", START);
    for (int number = 0; number < UMBP_VITALS_ACTORS_MAX; number++)
        CU_ASSERT (umbp_vitals_add (vitals, "some") == number);
    CU_ASSERT (umbp_vitals_add (vitals, "more") == UMBP_ENOSPC);
    umbp_vitals_destroy (&vitals);
}

static void test_ready (void)
{
    umbp_vitals_t *vitals = umbp_vitals_new ("one", START);
    CU_ASSERT (!umbp_vitals_ready (vitals, START, s_why, sizeof s_why));
    CU_ASSERT_STRING_EQUAL (s_why, "starting: no topology yet");
    s_topology (vitals, false, false, UMBP_MEMBER_ALIVE, START);
    CU_ASSERT (!umbp_vitals_ready (vitals, START, s_why, sizeof s_why));
    CU_ASSERT (strncmp (s_why, "not in the ring", 15) == 0);
    s_topology (vitals, true, false, UMBP_MEMBER_ALIVE, START);
    CU_ASSERT (!umbp_vitals_ready (vitals, START, s_why, sizeof s_why));
    CU_ASSERT (strncmp (s_why, "the topology is not settled", 27) == 0);
    s_topology (vitals, true, true, UMBP_MEMBER_SUSPECT, START);
    CU_ASSERT (umbp_vitals_ready (vitals, START, s_why, sizeof s_why));
    CU_ASSERT (!umbp_vitals_ready (vitals, START + UMBP_VITALS_SILENT_MS, s_why, sizeof s_why));
    CU_ASSERT (strncmp (s_why, "the registry is silent", 22) == 0);
    umbp_vitals_stalled (vitals, UMBP_VITALS_SILENT_MS);
    CU_ASSERT (umbp_vitals_ready (vitals, START + UMBP_VITALS_SILENT_MS, s_why, sizeof s_why));
    umbp_vitals_destroy (&vitals);
}

static void test_page (void)
{
    umbp_openmetrics_t *page = umbp_openmetrics_new (UMBP_OPENMETRICS_MAX);
    umbp_vitals_t *vitals = umbp_vitals_new ("one", START);
    umbp_vitals_add (vitals, "registry");
    umbp_vitals_add (vitals, "tier:dram");
    umbp_vitals_add (vitals, "tier:nvme");
    const char *text = s_page (vitals, page, START);
    CU_ASSERT (!strstr (text, "umbp_members")
               && s_has (text, "umbp_actor_up{actor=\"registry\"} 0\n"));

    column_t registry = { 0 }, dram = { 0 }, nvme = { 0 };
    s_add (&registry, "stalled_ms", 1500);
    s_add (&registry, "EAGAIN", 3);
    s_add (&dram, "used_bytes", 10);
    s_add (&dram, "puts", 4);
    s_add (&dram, "brand_new", 5);
    s_add (&nvme, "used_bytes", 20);
    s_add (&nvme, "brand_new", 6);
    s_take (vitals, 0, &registry, START);
    s_take (vitals, 1, &dram, START);
    s_take (vitals, 2, &nvme, START + 500);
    s_topology (vitals, true, true, UMBP_MEMBER_SUSPECT, START);
    text = s_page (vitals, page, START + 500);
    CU_ASSERT (s_has (text, "umbp_node_info{node=\"one\",protocol=\"1\"} 1\n"));
    CU_ASSERT (
        s_has (text, "umbp_members{state=\"alive\"} 1\numbp_members{state=\"suspect\"} 1\n"));
    CU_ASSERT (s_has (text, "umbp_ring_members 2\n") && s_has (text, "umbp_node_in_ring 1\n"));
    CU_ASSERT (s_has (text, "umbp_ring_copies 2\n"));
    CU_ASSERT (s_has (text, "umbp_topology_settled 1\n"));
    CU_ASSERT (s_has (text, "umbp_actor_up{actor=\"registry\"} 1\n"));
    CU_ASSERT (s_has (text, "umbp_actor_silence_seconds{actor=\"tier:dram\"} 0.5\n"));
    CU_ASSERT (s_has (text, "# UNIT umbp_registry_stalled_seconds seconds\n"));
    CU_ASSERT (s_has (text, "umbp_registry_stalled_seconds_total 1.5\n"));
    CU_ASSERT (s_has (text, "umbp_errors_total{actor=\"registry\",error=\"EAGAIN\"} 3\n"));
    //  Tiers share a family, whose samples are together
    CU_ASSERT (s_has (text, "\numbp_tier_used_bytes{tier=\"dram\"} 10\n"
                            "umbp_tier_used_bytes{tier=\"nvme\"} 20\n"));
    CU_ASSERT (s_has (text, "# TYPE umbp_tier_puts counter\n"));
    CU_ASSERT (s_has (text, "\numbp_tier_puts_total{tier=\"dram\"} 4\n"));
    //  What nobody has described is shown all the same, once
    CU_ASSERT (s_has (text, "# TYPE umbp_tier_brand_new unknown\n"
                            "# HELP umbp_tier_brand_new not described yet\n"
                            "umbp_tier_brand_new{tier=\"dram\"} 5\n"
                            "umbp_tier_brand_new{tier=\"nvme\"} 6\n"));
    umbp_vitals_destroy (&vitals);
    umbp_openmetrics_destroy (&page);
}

static void test_delays (void)
{
    uint64_t buckets[UMBP_LATENCY_BUCKETS] = { 1, 2 }, sums[] = { 2500000 }, received[] = { 4 };
    uint8_t paths[] = { UMBP_PATH_DOOR };
    buckets[UMBP_LATENCY_BUCKETS - 1] = 1;
    column_t names = { 0 }, operations = { 0 };
    s_add (&names, "puts", 4);
    s_add (&operations, "put", 0);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_stat_ok, 1);
    msg.stat_ok = (umbp_msg_stat_ok_t) {
        .names = s_column (&names), .values = { names.values, 1 },
        .messages = s_column (&operations), .received = { received, 1 },
        .operations = s_column (&operations), .paths = { paths, 1 }, .sums_us = { sums, 1 },
        .buckets = { buckets, UMBP_LATENCY_BUCKETS },
    };
    CU_ASSERT (umbp_msg_check (&msg) == 0);
    umbp_openmetrics_t *page = umbp_openmetrics_new (UMBP_OPENMETRICS_MAX);
    umbp_vitals_t *vitals = umbp_vitals_new ("one", START);
    umbp_vitals_add (vitals, "router");
    umbp_vitals_take (vitals, 0, &msg.stat_ok, START);
    const char *text = s_page (vitals, page, START);
    const char *labels =
        "umbp_request_seconds_bucket{actor=\"router\",operation=\"put\",path=\"door\",";
    char wanted[512];
    snprintf (wanted, sizeof wanted, "%sle=\"0.000002\"} 1\n%sle=\"0.000004\"} 3\n", labels,
              labels);
    CU_ASSERT (s_has (text, wanted));
    snprintf (wanted, sizeof wanted, "%sle=\"16.777216\"} 3\n%sle=\"+Inf\"} 4\n", labels, labels);
    CU_ASSERT (s_has (text, wanted));
    CU_ASSERT (s_has (text, "_sum{actor=\"router\",operation=\"put\",path=\"door\"} 2.5\n"
                            "umbp_request_seconds_count{actor=\"router\",operation=\"put\","
                            "path=\"door\"} 4\n"));
    CU_ASSERT (s_has (text, "umbp_messages_total{actor=\"router\",message=\"put\"} 4\n"));

    msg.stat_ok.buckets.count--;        //  Another version counts otherwise: no histogram, and no harm
    umbp_vitals_take (vitals, 0, &msg.stat_ok, START);
    CU_ASSERT (!strstr (s_page (vitals, page, START), "umbp_request_seconds_count"));
    umbp_vitals_destroy (&vitals);
    umbp_openmetrics_destroy (&page);
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("vitals", NULL, NULL);
    CU_ADD_TEST (suite, test_health);
    CU_ADD_TEST (suite, test_too_many_actors);
    CU_ADD_TEST (suite, test_ready);
    CU_ADD_TEST (suite, test_page);
    CU_ADD_TEST (suite, test_delays);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
