//  test/unit/test_origin.c - the way back of a message, and who began it
#include "cluster/origin.h"

#include "proto/splitmix.h"

#include <CUnit/Basic.h>
#include <unistd.h>

static const umbp_pass_t s_alice = { .role = UMBP_PASS_CLIENT, .cert.words.name = "alice" };
static const umbp_pass_t s_shared = { .role = UMBP_PASS_NODE, .cert.words.name = "cluster" };
static const umbp_pass_t s_bound = { .role = UMBP_PASS_NODE,
                                     .cert.words = { .name = "x", .node = "node-b" } };

//  One more link on the way: puts its entry on top
static void s_pass (umbp_origin_t *origin, char side, const umbp_pass_t *pass)
{
    uint8_t user[UMBP_NAME_MAX + 2], out[UMBP_ORIGIN_MAX];
    umbp_origin_entry_t entry = { .side = side,
                                  .id = (const uint8_t *) "12345", .id_size = 5,
                                  .user = user,
                                  .user_size = pass ? umbp_origin_write_user (pass, user) : 0,
                                  .rest = origin->origin, .rest_size = origin->origin_size };
    size_t size = umbp_origin_push (&entry, out);
    CU_ASSERT_FATAL (size > 0);
    memcpy (origin->origin, out, size);
    origin->origin_size = (uint8_t) size;
}

static void s_check (const umbp_origin_t *origin, umbp_user_kind_t kind, const char *name,
                     bool bound)
{
    umbp_user_t user;
    umbp_origin_user (origin, &user);
    CU_ASSERT (user.kind == kind);
    CU_ASSERT_STRING_EQUAL (user.name, name);
    CU_ASSERT (user.bound == bound);
}

static void test_who_began (void)
{
    umbp_origin_t origin = { 0 };
    s_check (&origin, UMBP_USER_LOCAL, "", false);           //  An actor of this node
    s_pass (&origin, UMBP_SIDE_LOCAL, NULL);
    s_check (&origin, UMBP_USER_LOCAL, "", false);           //  A program around it
    origin = (umbp_origin_t){ .door = 5 };
    s_check (&origin, UMBP_USER_LOCAL, "", false);
    origin = (umbp_origin_t){ 0 };
    s_pass (&origin, UMBP_SIDE_WIRE, NULL);
    s_check (&origin, UMBP_USER_ANYONE, "", false);
    origin = (umbp_origin_t){ 0 };
    s_pass (&origin, UMBP_SIDE_SECURE, &s_alice);
    s_check (&origin, UMBP_USER_CLIENT, "alice", false);
    s_pass (&origin, UMBP_SIDE_SECURE, &s_bound);            //  Passed on by node-b
    s_check (&origin, UMBP_USER_CLIENT, "alice", false);
    origin = (umbp_origin_t){ 0 };
    s_pass (&origin, UMBP_SIDE_LOCAL, NULL);
    s_pass (&origin, UMBP_SIDE_SECURE, &s_bound);            //  An actor of node-b
    s_check (&origin, UMBP_USER_NODE, "node-b", true);
    origin = (umbp_origin_t){ 0 };
    s_pass (&origin, UMBP_SIDE_SECURE, &s_shared);           //  A console with a node's certificate
    s_check (&origin, UMBP_USER_NODE, "cluster", false);
}

//  What a client sends as the origin it came with is below its own entry
static void test_forged (void)
{
    umbp_origin_t origin = { 0 };
    s_pass (&origin, UMBP_SIDE_LOCAL, NULL);
    s_pass (&origin, UMBP_SIDE_SECURE, &s_bound);
    s_pass (&origin, UMBP_SIDE_SECURE, &s_alice);
    s_check (&origin, UMBP_USER_CLIENT, "alice", false);
    s_pass (&origin, UMBP_SIDE_SECURE, &s_shared);
    s_check (&origin, UMBP_USER_CLIENT, "alice", false);
}

static void test_limits (void)
{
    uint8_t out[UMBP_ORIGIN_MAX], id[41] = { 0 }, rest[UMBP_ORIGIN_MAX] = { 0 };
    umbp_origin_entry_t entry = { .side = UMBP_SIDE_WIRE,
                                  .id = id,
                                  .id_size = 40,
                                  .user = id, .rest = rest, .rest_size = UMBP_ORIGIN_MAX - 42 };
    CU_ASSERT (umbp_origin_push (&entry, out) == UMBP_ORIGIN_MAX);
    entry.rest_size++;
    CU_ASSERT (umbp_origin_push (&entry, out) == 0);
    entry.rest_size = 0;
    entry.id_size = 41;
    CU_ASSERT (umbp_origin_push (&entry, out) == 0);
    //  Both hops of a client, with the longest names all around
    umbp_pass_t longest = { .role = UMBP_PASS_NODE };
    memset (longest.cert.words.node, 'n', UMBP_NAME_MAX);
    uint8_t user[UMBP_NAME_MAX + 2];
    entry =
        (umbp_origin_entry_t){ .side = UMBP_SIDE_SECURE, .id = id, .id_size = 40, .user = user };
    entry.user_size = umbp_origin_write_user (&longest, user);
    entry.rest_size = umbp_origin_push (&entry, out);
    CU_ASSERT (entry.rest_size == 3 + 40 + 1 + UMBP_NAME_MAX);
    memcpy (rest, out, entry.rest_size);
    entry.rest = rest;
    CU_ASSERT (umbp_origin_push (&entry, out) == 2 * entry.rest_size);
}

//  Whatever bytes: no read beyond them, and no end of them without the entries in them
static void test_hostile (void)
{
    const char *text = getenv ("UMBP_SEED");
    uint64_t seed =
        text ? strtoull (text, NULL, 10) : (uint64_t) time (NULL) ^ (uint64_t) getpid ();
    printf ("[origin seed=%llu] ", (unsigned long long) seed);
    for (int round = 0; round < 200000; round++) {
        size_t size = umbp_splitmix (&seed) % 24;
        uint8_t *bytes = malloc (size + 1);     //  Just as long, for the sanitizer
        for (size_t at = 0; at < size; at++) {
            uint64_t draw = umbp_splitmix (&seed);
            bytes[at] = draw % 3 == 0 ? (uint8_t) "LWSnNc"[draw / 3 % 6] : (uint8_t) (draw / 3 % 8);
        }
        umbp_origin_entry_t entry;
        if (umbp_origin_pop (bytes, size, &entry)) {
            CU_ASSERT_FATAL (entry.rest >= bytes && entry.rest + entry.rest_size == bytes + size);
            CU_ASSERT_FATAL (entry.id + entry.id_size <= entry.rest);
        }
        umbp_origin_t origin = { .origin_size = (uint8_t) size };
        memcpy (origin.origin, bytes, size);
        umbp_user_t user;
        umbp_origin_user (&origin, &user);
        CU_ASSERT_FATAL (strlen (user.name) <= UMBP_NAME_MAX);
        free (bytes);
    }
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("origin", NULL, NULL);
    CU_ADD_TEST (suite, test_who_began);
    CU_ADD_TEST (suite, test_forged);
    CU_ADD_TEST (suite, test_limits);
    CU_ADD_TEST (suite, test_hostile);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
