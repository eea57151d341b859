//  test/unit/test_verbs_cut.c - transfers into requests, addresses and sizes of packets, and the
//  plug-in that is not there
#include "cluster/bulk/verbs.h"
#include "cluster/bulk/verbs_cut.h"
#include "cluster/bulk/verbs_gid.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 512
#define PAGES 64
#define EXTENTS 20
#define PIECES 50
#define ROUNDS 2000

static unsigned char s_region[2][PAGE * PAGES], s_local[PAGE * PAGES];

//  ---- Requests

static void test_cuts_at_extents_and_sizes (void)
{
    const umbp_extent_t extents[] = { { .region = 1, .page = 3, .count = 2 }, { .count = 1 } };
    const umbp_piece_t pieces[] = { { s_local, 700 },
                                    { s_local + 1000, 0 },
                                    { s_local + 900, 300 } };
    umbp_cut_t cut;
    umbp_chunk_t chunk;
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 2, PAGE, 400, pieces, 3), 0);
    CU_ASSERT (umbp_cut_next (&cut, 500, &chunk));
    CU_ASSERT (chunk.region == 1 && chunk.offset == 3 * PAGE + 400 && chunk.bytes == 500);
    CU_ASSERT (chunk.vector_count == 1 && chunk.vectors[0].iov_base == s_local);
    CU_ASSERT (umbp_cut_next (&cut, 500, &chunk));
    CU_ASSERT (chunk.region == 1 && chunk.offset == 3 * PAGE + 900 && chunk.bytes == 124);
    CU_ASSERT (umbp_cut_next (&cut, 500, &chunk));
    CU_ASSERT (chunk.region == 0 && chunk.offset == 0 && chunk.bytes == 376);
    CU_ASSERT (chunk.vector_count == 2 && chunk.vectors[0].iov_len == 76);
    CU_ASSERT (chunk.vectors[1].iov_base == s_local + 900 && chunk.vectors[1].iov_len == 300);
    CU_ASSERT (!umbp_cut_next (&cut, 500, &chunk));
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 2, PAGE, 537, pieces, 3), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 2, PAGE, 9999, pieces, 1), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 0, PAGE, 0, pieces, 1), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 2, 0, 0, pieces, 1), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, 0, PAGE, 0, pieces, 0), 0);
    CU_ASSERT (!umbp_cut_next (&cut, 500, &chunk));
}

//  Requests put end to end are the block: bytes written by them are where a plain walk expects them
static void s_round (void)
{
    umbp_extent_t extents[EXTENTS];
    umbp_piece_t pieces[PIECES];
    uint64_t room = 0, size = 0;
    for (size_t index = 0; index < EXTENTS; index++) {
        extents[index] = (umbp_extent_t) { .region = (uint16_t) (index % 2),
                                           .page = (uint32_t) (index / 2 * 6),
                                           .count = 1 + (uint32_t) random () % 5 };
        room += (uint64_t) extents[index].count * PAGE;
    }
    uint64_t offset = (uint64_t) random () % room;
    size_t count = (size_t) random () % (PIECES + 1);
    for (size_t index = 0; index < count; index++) {
        size_t bytes = (size_t) random () % 900;
        bytes = offset + size + bytes > room ? 0 : bytes;
        pieces[index] = (umbp_piece_t) { s_local + size, bytes };
        size += bytes;
    }
    memset (s_region, 0, sizeof s_region);
    umbp_cut_t cut;
    umbp_chunk_t chunk;
    uint32_t most = 1 + (uint32_t) random () % 4000;
    CU_ASSERT_EQUAL (umbp_cut_init (&cut, extents, EXTENTS, PAGE, offset, pieces, count), 0);
    uint64_t moved = 0, bad = 0;
    while (umbp_cut_next (&cut, most, &chunk)) {
        unsigned char *at = s_region[chunk.region] + chunk.offset;
        bad += chunk.bytes == 0 || chunk.bytes > most;
        moved += chunk.bytes;
        for (uint32_t index = 0; index < chunk.vector_count; index++) {
            memcpy (at, chunk.vectors[index].iov_base, chunk.vectors[index].iov_len);
            at += chunk.vectors[index].iov_len;
        }
        bad += at != s_region[chunk.region] + chunk.offset + chunk.bytes;
    }
    uint64_t place = 0;
    for (size_t index = 0; index < EXTENTS; index++)
        for (uint32_t byte = 0; byte < extents[index].count * PAGE; byte++, place++) {
            unsigned char is = s_region[extents[index].region][extents[index].page * PAGE + byte];
            bool ours = place >= offset && place < offset + size;
            bad += is != (ours ? s_local[place - offset] : 0);
        }
    CU_ASSERT_EQUAL (bad, 0);
    CU_ASSERT_EQUAL (moved, size);
}

static void test_random_cuts (void)
{
    for (size_t index = 0; index < sizeof s_local; index++)
        s_local[index] = (unsigned char) (1 + random () % 255);
    for (int round = 0; round < ROUNDS; round++)
        s_round ();
}

//  ---- Addresses and sizes

static umbp_gid_t s_gid (uint32_t index, umbp_gid_type_t type, const char *address)
{
    umbp_gid_t gid = { .index = index, .type = type };
    CU_ASSERT_EQUAL (inet_pton (AF_INET6, address, gid.gid), 1);
    return gid;
}

static void test_chooses_an_address (void)
{
    umbp_gid_t gids[] = {
        s_gid (0, UMBP_GID_ROCE_V1, "::ffff:10.0.0.1"),
        s_gid (1, UMBP_GID_ROCE_V2, "fe80::1"),
        s_gid (2, UMBP_GID_ROCE_V2, "2001:db8::1"),
        s_gid (7, UMBP_GID_ROCE_V2, "::ffff:10.0.0.2"),
        s_gid (5, UMBP_GID_ROCE_V2, "::ffff:10.0.0.1"),
        s_gid (6, UMBP_GID_IB, "fe80::2"),
        s_gid (8, UMBP_GID_ROCE_V2, "::"),
    };
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 7, -1), 4);      //  IPv4, v2, the lowest index
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 7, 0), 4);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 3, -1), 2);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 2, -1), 1);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 1, -1), 0);
    CU_ASSERT_EQUAL (umbp_gid_choose (&gids[5], 1, -1), 0);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 7, 2), 2);       //  The operator knows better
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 7, 8), UMBP_ENOENT);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 7, 99), UMBP_ENOENT);
    CU_ASSERT_EQUAL (umbp_gid_choose (gids, 0, -1), UMBP_ENOENT);
    char text[46];
    CU_ASSERT_STRING_EQUAL (umbp_gid_print (gids[3].gid, text, sizeof text), "10.0.0.2");
    CU_ASSERT_STRING_EQUAL (umbp_gid_print (gids[2].gid, text, sizeof text), "2001:db8::1");
}

static void test_agrees_on_packets (void)
{
    CU_ASSERT_EQUAL (umbp_verbs_mtu (0, 4096, 1024), 1024);
    CU_ASSERT_EQUAL (umbp_verbs_mtu (512, 4096, 1024), 512);
    CU_ASSERT_EQUAL (umbp_verbs_mtu (4096, 1024, 4096), 1024);
    CU_ASSERT_EQUAL (umbp_verbs_mtu (1500, 4096, 4096), 0);
    CU_ASSERT_EQUAL (umbp_verbs_mtu (0, 4096, 0), 0);
    CU_ASSERT_EQUAL (umbp_verbs_mtu (0, 8192, 4096), 0);
    CU_ASSERT_EQUAL (umbp_verbs_timeout (2000, 8), 16);      //  268 ms, eight times
    CU_ASSERT_EQUAL (umbp_verbs_timeout (1, 8), 8);
    CU_ASSERT_EQUAL (umbp_verbs_timeout (UINT32_MAX, 1), 31);
}

//  ---- The plug-in

static void test_says_that_there_is_no_plugin (void)
{
    char why[UMBP_VERBS_WHY_MAX];
    CU_ASSERT (!umbp_verbs_load ("/nonexistent/libumbp-verbs.so", why));
    CU_ASSERT (strstr (why, "/nonexistent/libumbp-verbs.so") && strstr (why, "libibverbs-dev"));
    CU_ASSERT (!umbp_verbs_load ("libc.so.6", why));
    CU_ASSERT (strstr (why, "libc.so.6 is no RDMA plug-in") != NULL);
}

//  The one of this build, if there is one, on a host with devices or without
static void test_plugin_says_what_it_finds (void)
{
    char path[4096], why[UMBP_VERBS_WHY_MAX], text[4096];
    ssize_t size = readlink ("/proc/self/exe", path, sizeof path - 64);
    CU_ASSERT_FATAL (size > 0);
    path[size] = 0;
    *strrchr (path, '/') = 0;
    strcat (path, "/../lib/libumbp-verbs.so");
    const umbp_verbs_api_t *api = umbp_verbs_load (path, why);
    if (!api) {
        printf ("\n    %s\n", why);
        CU_ASSERT (access (path, F_OK) != 0);
        return;
    }
    int rc = 1;
    umbp_verbs_options_t options = { .chunk_bytes = 1 };
    CU_ASSERT (!api->open (&options, &rc, why) && rc == UMBP_EINVAL && strstr (why, "chunk_bytes"));
    umbp_verbs_t *verbs = api->open (NULL, &rc, why);
    if (verbs) {
        CU_ASSERT (rc == 0 && api->print (verbs, text, sizeof text) > 0);
        printf ("\n%s", text);
        api->close (&verbs);
    } else {
        CU_ASSERT (rc == UMBP_ENOTSUP && strstr (why, "device"));
        printf ("\n    %s\n", why);
    }
}

int main (int argc, char **argv)
{
    alarm (60);
    unsigned seed = argc > 1 ? (unsigned) strtoul (argv[1], NULL, 10) : (unsigned) time (NULL);
    printf ("seed %u\n", seed);
    srandom (seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("verbs_cut", NULL, NULL);
    CU_ADD_TEST (suite, test_cuts_at_extents_and_sizes);
    CU_ADD_TEST (suite, test_random_cuts);
    CU_ADD_TEST (suite, test_chooses_an_address);
    CU_ADD_TEST (suite, test_agrees_on_packets);
    CU_ADD_TEST (suite, test_says_that_there_is_no_plugin);
    CU_ADD_TEST (suite, test_plugin_says_what_it_finds);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
