//  test/unit/test_client_full.c - puts into a pool that is full: how long they wait for room, and
//  that this has nothing to do with how long a call may take
#include "test/unit/nodes.h"

#include <pthread.h>

#define MIB ((size_t) 1 << 20)
#define VIEWS 4
#define SIZE 900000
#define LONG_MS 60000

static nodes_t s_nodes;
static umbp_t *s_pool;
static umbp_view_t *s_views[VIEWS];
static uint8_t s_data[SIZE];

//  A node whose room is all held by views: nothing can leave
static void s_start_full (void)
{
    CU_ASSERT_FATAL (nodes_start (&s_nodes, 1, WITH_DOORS, VIEWS * MIB));
    s_pool = nodes_connect (&s_nodes, 0, (umbp_options_t) { .lanes = VIEWS + 2 });
    CU_ASSERT_FATAL (s_pool != NULL);
    for (size_t index = 0; index < VIEWS; index++) {
        char key[] = { 'v', (char) ('0' + index), 0 };
        nodes_fill (s_data, SIZE, index);
        CU_ASSERT (umbp_put (s_pool, key, s_data, SIZE) == 0);
        s_views[index] = umbp_view_get (s_pool, (umbp_key_t) { key, 2 }, 0, NULL);
        CU_ASSERT_FATAL (s_views[index] != NULL);
    }
}

static void s_stop (void)
{
    umbp_close (&s_pool);
    nodes_stop (&s_nodes);
}

static void s_release (void)
{
    for (size_t index = 0; index < VIEWS; index++)
        umbp_view_release (&s_views[index]);
}

static umbp_item_t s_item (const char *key)
{
    return (umbp_item_t) { .key = { key, strlen (key) }, .data = s_data, .size = SIZE };
}

//  Room is waited for no longer than the caller wants, though there is time; blocks that are there
//  need none
static void test_wait_ends_before_deadline (void)
{
    s_start_full ();
    umbp_item_t items[] = { s_item ("new"), s_item ("v1"), s_item ("newer") };
    umbp_put_options_t options = { .full_ms = 150 };
    int64_t start_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_put_batch (s_pool, items, 3, &options, LONG_MS) == 1);
    int64_t took_ms = umbp_clock_ms () - start_ms;
    CU_ASSERT (took_ms >= 150 && took_ms < LONG_MS / 4);
    CU_ASSERT (items[0].status == UMBP_EAGAIN && items[1].status == UMBP_EEXIST);
    CU_ASSERT (items[2].status == UMBP_EAGAIN);

    //  And no longer than the deadline
    options.full_ms = LONG_MS;
    start_ms = umbp_clock_ms ();
    CU_ASSERT (umbp_put_batch (s_pool, items, 1, &options, 200) == 0);
    CU_ASSERT (items[0].status == UMBP_EAGAIN && umbp_clock_ms () - start_ms < LONG_MS / 4);
    s_release ();
    s_stop ();
}

static void *s_release_once_full (void *arg)
{
    (void) arg;
    umbp_item_t item = s_item ("full");
    umbp_put_options_t options = { .full_ms = 1 };
    umbp_put_batch (s_pool, &item, 1, &options, LONG_MS);
    s_release ();
    return item.status == UMBP_EAGAIN ? NULL : &s_pool;
}

//  Who waits long enough is given the room that others leave
static void test_room_comes (void)
{
    s_start_full ();
    umbp_item_t item = s_item ("new");
    umbp_put_options_t options = { .full_ms = LONG_MS / 2 };
    pthread_t thread;
    void *failed = NULL;
    CU_ASSERT_FATAL (pthread_create (&thread, NULL, s_release_once_full, NULL) == 0);
    CU_ASSERT (umbp_put_batch (s_pool, &item, 1, &options, LONG_MS) == 1 && item.status == 0);
    CU_ASSERT (pthread_join (thread, &failed) == 0 && !failed);
    CU_ASSERT (umbp_get (s_pool, "new", s_data, SIZE) == SIZE);
    s_stop ();
}

int main (void)
{
    alarm (200);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("client of a full pool", NULL, NULL);
    CU_ADD_TEST (suite, test_wait_ends_before_deadline);
    CU_ADD_TEST (suite, test_room_comes);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
