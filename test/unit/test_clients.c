//  test/unit/test_clients.c - the share that each client has of an actor's requests
#include <CUnit/Basic.h>

#include "cluster/clients.h"

#define MANY 32

static void test_bound (void)
{
    umbp_clients_t *clients = umbp_clients_new ();
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "one", 3, 1000));
    for (int index = 0; index < 3; index++)
        CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1000));
    umbp_clients_end (clients, "one", 3, 1000);
    CU_ASSERT (umbp_clients_begin (clients, "one", 3, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1000));
    for (int index = 0; index < 2 * UMBP_CLIENT_OPEN_MAX; index++)
        umbp_clients_end (clients, "one", 3, 1000);          //  More than there were is none
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "one", 3, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "one", 3, 1000));
    umbp_clients_destroy (&clients);
    umbp_clients_destroy (&clients);
}

//  One that is full leaves the others alone; two of so many may fall together
static void test_others (void)
{
    umbp_clients_t *clients = umbp_clients_new ();
    int let_in = 0;
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "flood", 5, 1000));
    for (uint64_t name = 0; name < MANY; name++)
        let_in += umbp_clients_begin (clients, &name, sizeof name, 1000);
    CU_ASSERT (let_in >= MANY - 2);
    umbp_clients_destroy (&clients);
}

//  What nobody answers is forgiven, but not as long as others of its client are answered
static void test_forgiven (void)
{
    umbp_clients_t *clients = umbp_clients_new ();
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 1000));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 61000));
    umbp_clients_end (clients, "lost", 4, 30000);
    CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 61000));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 61001));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 90000));
    for (int index = 0; index < UMBP_CLIENT_OPEN_MAX; index++)
        CU_ASSERT (umbp_clients_begin (clients, "lost", 4, 90001));
    CU_ASSERT (!umbp_clients_begin (clients, "lost", 4, 90001));
    umbp_clients_destroy (&clients);
}

int main (void)
{
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("clients", NULL, NULL);
    CU_ADD_TEST (suite, test_bound);
    CU_ADD_TEST (suite, test_others);
    CU_ADD_TEST (suite, test_forgiven);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
