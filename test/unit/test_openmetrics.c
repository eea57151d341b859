//  test/unit/test_openmetrics.c - a page of OpenMetrics, to the byte; and the table of metrics
#include <CUnit/Basic.h>
#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/metrics.h"
#include "actors/openmetrics.h"

static void test_page (void)
{
    static const char wanted[] =
        "# TYPE umbp_tier_used_bytes gauge\n"
        "# UNIT umbp_tier_used_bytes bytes\n"
        "# HELP umbp_tier_used_bytes in \\\"use\\\", a\\\\b\\nc\n"
        "umbp_tier_used_bytes{tier=\"d\\\"r\\\\am\\n\",x=\"\"} 18446744073709551615\n"
        "umbp_tier_used_bytes 0\n"
        "# TYPE umbp_stalled_seconds counter\n"
        "# UNIT umbp_stalled_seconds seconds\n"
        "# HELP umbp_stalled_seconds for how long\n"
        "umbp_stalled_seconds_total 1.25\n"
        "umbp_stalled_seconds_total 1e-06\n"
        "# EOF\n";
    umbp_label_t labels[] = { { "tier", "d\"r\\am\n" }, { "x", "" }, { 0 } };
    umbp_openmetrics_t *page = umbp_openmetrics_new (UMBP_OPENMETRICS_MAX);
    for (int round = 0; round < 2; round++) {
        size_t size;
        bool whole;
        umbp_openmetrics_clear (page);
        umbp_openmetrics_family (page, "umbp_tier_used_bytes", "gauge", "bytes",
                                 "in \"use\", a\\b\nc");
        umbp_openmetrics_sample (page, "", labels, UINT64_MAX);
        umbp_openmetrics_sample (page, "", NULL, 0);
        umbp_openmetrics_family (page, "umbp_stalled_seconds", "counter", "seconds",
                                 "for how long");
        setlocale (LC_NUMERIC, "de_DE.UTF-8");      //  A comma for a point, where there is one
        umbp_openmetrics_sample_real (page, "_total", NULL, 1.25);
        umbp_openmetrics_sample_real (page, "_total", NULL, 1e-6);
        setlocale (LC_NUMERIC, "C");
        const char *text = umbp_openmetrics_end (page, &size, &whole);
        CU_ASSERT (whole && size == sizeof wanted - 1);
        CU_ASSERT_STRING_EQUAL (text, wanted);
    }
    umbp_openmetrics_destroy (&page);
    CU_ASSERT (page == NULL);
    umbp_openmetrics_destroy (&page);
}

//  Whatever fits, the page is whole lines, within its size, has its mark at the end, and no sample without its TYPE
static void test_bounded (void)
{
    for (size_t max = 0; max < 2000; max++) {
        size_t size;
        bool whole;
        umbp_openmetrics_t *page = umbp_openmetrics_new (max);
        for (int number = 0; number < 20; number++) {
            char name[40];
            snprintf (name, sizeof name, "umbp_some_%d", number);
            umbp_openmetrics_family (page, name, "gauge", "", "help");
            umbp_openmetrics_sample (page, "", NULL, 1);
        }
        const char *text = umbp_openmetrics_end (page, &size, &whole);
        CU_ASSERT (size <= max || size == strlen ("# EOF\n"));
        CU_ASSERT (size == strlen (text) && strcmp (text + size - 6, "# EOF\n") == 0);
        CU_ASSERT (whole == (strstr (text, "\numbp_some_19 1\n") != NULL));
        int type = -1, sample;
        for (const char *line = text; *line; line = strchr (line, '\n') + 1) {
            CU_ASSERT_FATAL (strchr (line, '\n') != NULL);
            sscanf (line, "# TYPE umbp_some_%d", &type);
            if (sscanf (line, "umbp_some_%d", &sample) == 1)
                CU_ASSERT (sample == type);
        }
        umbp_openmetrics_destroy (&page);
    }
}

//  A line that is too long for any name of ours is left out alone
static void test_long_line (void)
{
    char *long_text = malloc (10001);
    CU_ASSERT_FATAL (long_text != NULL);
    memset (long_text, '"', 10000);
    long_text[10000] = 0;
    size_t size;
    bool whole;
    umbp_label_t labels[] = { { "label", long_text }, { 0 } };
    umbp_openmetrics_t *page = umbp_openmetrics_new (UMBP_OPENMETRICS_MAX);
    umbp_openmetrics_family (page, "umbp_a", "gauge", "", "help");
    umbp_openmetrics_sample (page, "", labels, 1);
    umbp_openmetrics_sample (page, "", NULL, 2);
    umbp_openmetrics_family (page, "umbp_b", "gauge", "", long_text);
    umbp_openmetrics_sample (page, "", NULL, 3);
    const char *text = umbp_openmetrics_end (page, &size, &whole);
    CU_ASSERT (!whole);
    CU_ASSERT_STRING_EQUAL (text, "# TYPE umbp_a gauge\n# HELP umbp_a help\numbp_a 2\n# EOF\n");
    umbp_openmetrics_destroy (&page);
    free (long_text);
}

static bool s_is_name (const char *name)
{
    for (const char *at = name; *at; at++)
        if (!(islower ((unsigned char) *at) || isdigit ((unsigned char) *at) || *at == '_'))
            return false;
    return *name != 0;
}

//  Every row can be exported as it is, and no two give the same family
static void test_table (void)
{
    size_t count;
    const umbp_metric_t *metrics = umbp_metrics (&count);
    CU_ASSERT (count > 100);
    for (size_t row = 0; row < count; row++) {
        const umbp_metric_t *metric = &metrics[row];
        char family[UMBP_METRIC_NAME_MAX], other[UMBP_METRIC_NAME_MAX];
        const char *unit;
        double scale;
        umbp_metric_family (metric->actor, metric->name, family, &unit, &scale);
        CU_ASSERT (s_is_name (metric->name) && strlen (metric->help) > 5);
        CU_ASSERT (metric->kind != UMBP_METRIC_UNKNOWN);
        size_t size = strlen (family), unit_size = strlen (unit);
        CU_ASSERT (!*unit
                   || (family[size - unit_size - 1] == '_'
                       && strcmp (family + size - unit_size, unit) == 0));
        CU_ASSERT (size < 6 || strcmp (family + size - 6, "_total") != 0);
        for (size_t before = 0; before < row; before++) {
            umbp_metric_family (metrics[before].actor, metrics[before].name, other, &unit, &scale);
            bool same = strcmp (family, other) == 0;
            if (same)
                printf ("twice: %s\n", family);
            CU_ASSERT (!same);
            bool hides = strcmp (metrics[before].actor, "*") == 0
                         && strcmp (metrics[before].name, metric->name) == 0;
            CU_ASSERT (!hides);
        }
    }
}

static void test_find (void)
{
    char text[UMBP_METRIC_NAME_MAX];
    const char *unit;
    double scale;
    CU_ASSERT (umbp_metric_find ("tier:dram", "used_bytes") != NULL);
    CU_ASSERT (umbp_metric_find ("tier:nvme", "used_bytes")
               == umbp_metric_find ("tier", "used_bytes"));
    CU_ASSERT (umbp_metric_find ("router", "requests") == umbp_metric_find ("index", "requests"));
    CU_ASSERT (umbp_metric_find ("router", "used_bytes") == NULL);
    CU_ASSERT (umbp_metric_find ("nobody", "no_such") == NULL);
    CU_ASSERT_STRING_EQUAL (umbp_metric_class ("tier:dram", text), "tier");
    CU_ASSERT_STRING_EQUAL (umbp_metric_class ("router", text), "router");
    umbp_metric_family ("registry", "stalled_ms", text, &unit, &scale);
    CU_ASSERT_STRING_EQUAL (text, "umbp_registry_stalled_seconds");
    CU_ASSERT_STRING_EQUAL (unit, "seconds");
    CU_ASSERT (scale == 1e-3);
    umbp_metric_family ("eviction", "bytes", text, &unit, &scale);
    CU_ASSERT_STRING_EQUAL (text, "umbp_eviction_bytes");
    CU_ASSERT_STRING_EQUAL (unit, "bytes");
    umbp_metric_family ("odd-one", "na me\n", text, &unit, &scale);
    CU_ASSERT_STRING_EQUAL (text, "umbp_odd_one_na_me_");
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("openmetrics", NULL, NULL);
    CU_ADD_TEST (suite, test_page);
    CU_ADD_TEST (suite, test_bounded);
    CU_ADD_TEST (suite, test_long_line);
    CU_ADD_TEST (suite, test_table);
    CU_ADD_TEST (suite, test_find);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
