//  test/unit/test_device_table.c - which devices there are, how they are and who has them: the value of
//  the device actor, by hand.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/device_table.h"
#include "proto/error.h"

#define COUNT_OF(array) (sizeof (array) / sizeof *(array))
#define MIB (UINT64_C (1) << 20)

static umbp_device_t s_device (const char *uuid)
{
    umbp_device_t device = { .memory_bytes = 16384 * MIB, .gflops = 10 };
    snprintf (device.uuid, sizeof device.uuid, "%s", uuid);
    snprintf (device.key, sizeof device.key, "%s", uuid);
    return device;
}

static umbp_device_metrics_t s_metrics (const char *uuid, bool known)
{
    umbp_device_metrics_t metrics = { .known = known };
    snprintf (metrics.key, sizeof metrics.key, "%s", uuid);
    return metrics;
}

//  One device, "a", that is found or not, and polled well or not
static umbp_device_health_t s_round (umbp_device_table_t *table, bool found, bool good)
{
    static int64_t now;
    umbp_device_t device = s_device ("a");
    umbp_device_metrics_t metrics = s_metrics ("a", good);
    umbp_device_table_found (table, &device, found, ++now);
    umbp_device_table_polled (table, &metrics, 1, now);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    return row ? row->health : UMBP_HEALTHS;
}

static umbp_device_health_t s_poll (umbp_device_table_t *table, bool good)
{
    umbp_device_metrics_t metrics = s_metrics ("a", good);
    umbp_device_table_polled (table, &metrics, 1, 1000);
    return umbp_device_table_find (table, "a")->health;
}

//  DEV-46
static void test_health (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    CU_ASSERT (s_round (table, true, false) == UMBP_HEALTH_UNKNOWN);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_OK);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_OK);      //  Three in a row
    s_poll (table, false);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_poll (table, false) == UMBP_HEALTH_FAILED);
    CU_ASSERT (umbp_device_table_seeks (table));
    for (int poll = 0; poll < 5; poll++)        //  Good polls alone heal nothing
        CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_FAILED);
    CU_ASSERT (s_round (table, true, false) == UMBP_HEALTH_FAILED);
    CU_ASSERT (s_poll (table, true) == UMBP_HEALTH_FAILED);  //  Found, and not well
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    CU_ASSERT (!umbp_device_table_seeks (table));
    umbp_device_table_destroy (&table);
}

static void test_errors (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    umbp_device_metrics_t metrics = s_metrics ("a", true);
    metrics.extra_count = 2;
    snprintf (metrics.extras[0].key, 64, "xidErrors");
    snprintf (metrics.extras[1].key, 64, "fatalErrors");
    metrics.extras[0].value = 5;        //  Before our time: no news
    s_round (table, true, false);
    umbp_device_table_polled (table, &metrics, 1, 1);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    metrics.extras[0].value = 6;
    umbp_device_table_polled (table, &metrics, 1, 2);
    CU_ASSERT (row->health == UMBP_HEALTH_SUSPECT);
    for (int poll = 0; poll < 3; poll++)
        umbp_device_table_polled (table, &metrics, 1, 3);
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    metrics.extras[1].value = 1;
    umbp_device_table_polled (table, &metrics, 1, 4);
    CU_ASSERT (row->health == UMBP_HEALTH_FAILED);
    umbp_device_t device = s_device ("a");
    umbp_device_table_found (table, &device, 1, 5);
    umbp_device_table_polled (table, &metrics, 1, 5);
    CU_ASSERT (row->health == UMBP_HEALTH_FAILED);       //  As long as it says so
    metrics.extras[1].value = 0;        //  Reset
    umbp_device_table_found (table, &device, 1, 6);
    umbp_device_table_polled (table, &metrics, 1, 6);
    CU_ASSERT (row->health == UMBP_HEALTH_OK);
    umbp_device_table_destroy (&table);
}

//  Vanished and not in use: removed; in use: missing, until it is let go of, or comes back
static void test_missing (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    CU_ASSERT (s_round (table, false, true) == UMBP_HEALTH_SUSPECT);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_SUSPECT);      //  It was a slip
    s_round (table, true, true);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    CU_ASSERT (umbp_device_table_claim (table, "a", 100, 1) == 0);
    for (int round = 0; round < 6; round++)
        s_round (table, false, true);
    CU_ASSERT (umbp_device_table_find (table, "a")->health == UMBP_HEALTH_FAILED
               || umbp_device_table_find (table, "a")->health == UMBP_HEALTH_MISSING);
    CU_ASSERT (umbp_device_table_find (table, "a")->health == UMBP_HEALTH_MISSING);
    CU_ASSERT (s_round (table, true, true) == UMBP_HEALTH_OK);
    for (int round = 0; round < 6; round++)
        s_round (table, false, true);
    CU_ASSERT (umbp_device_table_claim (table, "a", 0, 1) == 0);
    CU_ASSERT_PTR_NULL (umbp_device_table_find (table, "a"));
    s_round (table, true, true);
    s_round (table, false, true);
    s_round (table, false, true);
    CU_ASSERT (s_round (table, false, true) == UMBP_HEALTHS);    //  At once, if nobody needs it
    umbp_device_table_destroy (&table);
}

//  DEV-09, defect 8: partitions stay through discoveries, and go with their device
static void test_partitions (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    CU_ASSERT (umbp_device_table_split (table, "b", "p", 1) == UMBP_ENOENT);
    CU_ASSERT (umbp_device_table_split (table, "a", "A-P", 1) == 0);
    CU_ASSERT (umbp_device_table_split (table, "a", "a-p", 1) == UMBP_EEXIST);
    CU_ASSERT (umbp_device_table_split (table, "a-p", "q", 1) == UMBP_ENOENT);   //  Not of a part
    for (int round = 0; round < 10; round++)
        s_round (table, true, true);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a-p");
    CU_ASSERT_PTR_NOT_NULL_FATAL (row);
    CU_ASSERT_STRING_EQUAL (row->parent, "a");
    CU_ASSERT_STRING_EQUAL (row->device.uuid, "A-P");
    s_poll (table, false);
    CU_ASSERT (row->health == UMBP_HEALTH_SUSPECT);      //  As its device
    umbp_device_table_claim (table, "a-p", 1, 1);
    CU_ASSERT (umbp_device_table_join (table, "a-p", 1) == UMBP_EAGAIN); //  Drained first
    umbp_device_table_claim (table, "a-p", 0, 1);
    CU_ASSERT (umbp_device_table_join (table, "a", 1) == UMBP_ENOENT);
    CU_ASSERT (umbp_device_table_join (table, "a-p", 1) == 0);
    umbp_device_table_split (table, "a", "p1", 1);
    umbp_device_table_split (table, "a", "p2", 1);
    for (int round = 0; round < 3; round++)
        s_round (table, false, false);
    CU_ASSERT (umbp_device_table_count (table) == 0);
    umbp_device_table_destroy (&table);
}

//  What workers have stays in the list, as missing; a partition from before our time is one again, and is
//  not taken back from under a worker. All of it is said each time.
static void test_held (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    umbp_device_hold_t holds[] = { { .uuid = "A", .workers = 2 },
                                   { .uuid = "A-Part", .parent = "a", .workers = 1 },
                                   { .uuid = "of-none", .parent = "nobody", .workers = 1 },
                                   { .uuid = "nobody", .workers = 1 } };
    s_round (table, true, true);
    umbp_device_table_hold (table, holds, COUNT_OF (holds), 1);
    CU_ASSERT (umbp_device_table_count (table) == 2);
    CU_ASSERT (umbp_device_table_find (table, "a")->workers == 2);
    const umbp_device_row_t *part = umbp_device_table_find (table, "a-part");
    CU_ASSERT_PTR_NOT_NULL_FATAL (part);
    CU_ASSERT (part->workers == 1 && streq (part->parent, "a")
               && streq (part->device.uuid, "A-Part"));
    umbp_device_table_hold (table, holds, COUNT_OF (holds), 1);
    CU_ASSERT (umbp_device_table_count (table) == 2);
    CU_ASSERT (umbp_device_table_join (table, "a-part", 1) == UMBP_EAGAIN);
    for (int round = 0; round < 6; round++)
        s_round (table, false, true);
    CU_ASSERT_PTR_NOT_NULL_FATAL (umbp_device_table_find (table, "a"));
    CU_ASSERT (umbp_device_table_find (table, "a")->health == UMBP_HEALTH_MISSING);
    umbp_device_table_hold (table, &holds[1], 1, 1);    //  Its partition is in use
    CU_ASSERT (umbp_device_table_find (table, "a")->workers == 0);
    CU_ASSERT (umbp_device_table_count (table) == 2);
    umbp_device_table_hold (table, NULL, 0, 1);
    CU_ASSERT (umbp_device_table_count (table) == 0);
    s_round (table, true, true);
    umbp_device_table_hold (table, holds, 1, 1);
    umbp_device_table_hold (table, NULL, 0, 1);
    CU_ASSERT (umbp_device_table_count (table) == 1);   //  It is there, whoever has it
    umbp_device_table_destroy (&table);
}

//  DEV-21: exactly these, in this order
static void test_events (void)
{
    static const struct {
        umbp_device_kind_t kind;
        const char *uuid;
        umbp_device_health_t now;
    } wanted[] = {
        { UMBP_DEVICE_ADDED, "a", UMBP_HEALTH_UNKNOWN }, { UMBP_DEVICE_DONE, "", 0 },
        { UMBP_DEVICE_HEALTH, "a", UMBP_HEALTH_OK },     { UMBP_DEVICE_ADDED, "b", 0 },
        { UMBP_DEVICE_DONE, "", 0 },                     { UMBP_DEVICE_CHANGED, "b", 0 },
        { UMBP_DEVICE_DONE, "", 0 },
    };
    umbp_device_table_t *table = umbp_device_table_new ();
    s_round (table, true, true);
    s_round (table, true, true);        //  Nothing new: no event
    umbp_device_t devices[] = { s_device ("a"), s_device ("b") };
    umbp_device_table_found (table, devices, 2, 1);
    devices[1].memory_bytes /= 2;
    umbp_device_table_found (table, devices, 2, 1);
    CU_ASSERT_FATAL (umbp_device_table_last (table) == COUNT_OF (wanted));
    for (size_t row = 0; row < COUNT_OF (wanted); row++) {
        const umbp_device_event_t *event = umbp_device_table_event (table, row + 1);
        CU_ASSERT (event->kind == wanted[row].kind && event->now == wanted[row].now);
        CU_ASSERT_STRING_EQUAL (event->uuid, wanted[row].uuid);
    }
    for (int round = 0; round < 300; round++) {         //  Old ones are forgotten
        devices[1].gflops++;
        umbp_device_table_found (table, devices, 2, 1);
    }
    uint64_t first = umbp_device_table_first (table), last = umbp_device_table_last (table);
    CU_ASSERT (last - first + 1 == UMBP_DEVICE_EVENTS_MAX);
    CU_ASSERT (umbp_device_table_event (table, first)->number == first);
    umbp_device_table_destroy (&table);
}

//  DEV-12
static void test_foreign_use (void)
{
    umbp_device_table_t *table = umbp_device_table_new ();
    umbp_device_metrics_t metrics = s_metrics ("a", true);
    umbp_device_process_t processes[] = { { .pid = 1, .key = "a", .memory_used_bytes = 300 },
                                          { .pid = 2, .key = "a", .memory_used_bytes = 700 } };
    s_round (table, true, true);
    metrics.memory_used_bytes = 1000;
    umbp_device_table_polled (table, &metrics, 1, 1);
    const umbp_device_row_t *row = umbp_device_table_find (table, "a");
    CU_ASSERT (umbp_device_row_foreign (row) == 1000);
    umbp_device_table_processes (table, processes, 2, 2);
    CU_ASSERT (umbp_device_row_foreign (row) == 300);
    umbp_device_table_claim (table, "a", 900, 1);        //  More than its library has heard of
    CU_ASSERT (umbp_device_row_foreign (row) == 100);
    umbp_device_table_claim (table, "a", 5000, 1);
    CU_ASSERT (umbp_device_row_foreign (row) == 0);
    umbp_device_table_destroy (&table);
}

//  Random rounds: rows are unique, partitions have their device, counts hold
static void test_random (void)
{
    unsigned seed = (unsigned) time (NULL) ^ (unsigned) getpid ();
    printf ("[seed=%u] ", seed);
    srandom (seed);
    umbp_device_table_t *table = umbp_device_table_new ();
    for (int64_t now = 1; now < 3000; now++) {
        umbp_device_t devices[8];
        size_t count = 0;
        char name[16], part[16];
        for (int number = 0; number < 8; number++)
            if (random () % 4) {
                snprintf (name, sizeof name, "d%d", number);
                devices[count++] = s_device (name);
            }
        snprintf (name, sizeof name, "d%ld", random () % 8);
        snprintf (part, sizeof part, "p%ld", random () % 200);
        switch (random () % 6) {
        case 0: umbp_device_table_failed (table, "test", now); break;
        case 1: umbp_device_table_split (table, name, part, now); break;
        case 2: umbp_device_table_join (table, part, now); break;
        case 3:
            umbp_device_table_claim (table, random () % 2 ? name : part, random () % 2, now);
            break;
        default: umbp_device_table_found (table, devices, count, now);
        }
        size_t rows = umbp_device_table_count (table);
        CU_ASSERT_FATAL (rows <= UMBP_DEVICE_ROWS_MAX);
        for (size_t row = 0; row < rows; row++) {
            const umbp_device_row_t *one = umbp_device_table_row (table, row);
            CU_ASSERT_FATAL (umbp_device_table_find (table, one->device.key) == one);
            CU_ASSERT_FATAL (!*one->parent || umbp_device_table_find (table, one->parent));
        }
    }
    umbp_device_table_destroy (&table);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("device_table", NULL, NULL);
    CU_ADD_TEST (suite, test_health);
    CU_ADD_TEST (suite, test_errors);
    CU_ADD_TEST (suite, test_missing);
    CU_ADD_TEST (suite, test_partitions);
    CU_ADD_TEST (suite, test_held);
    CU_ADD_TEST (suite, test_events);
    CU_ADD_TEST (suite, test_foreign_use);
    CU_ADD_TEST (suite, test_random);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
