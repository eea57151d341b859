//  test/unit/test_bulk_grant.c - the rules of the bulk server without sockets: headers, grants,
//  desk
#include "cluster/bulk/tcp_desk.h"
#include "cluster/bulk/tcp_wire.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 16

static char s_memory[2][PAGES * PAGE];
static const umbp_piece_t s_regions[] = {
    { s_memory[0], sizeof s_memory[0] },
    { s_memory[1], sizeof s_memory[1] },
};

//  ---- Headers

static void test_headers_keep_their_layout (void)
{
    //  Written by hand from tcp_wire.h
    static const uint8_t request_wire[UMBP_BULK_REQUEST_BYTES - UMBP_BULK_SEAL_BYTES] = {
        'B', 'Q', 2, 0, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 5, 0, 0, 0,
        0,   0,   0, 0, 6, 0, 0, 0, 1,    0,    0,    0,    7,    0,    0,    0,    0, 0, 0, 0
    };
    static const uint8_t reply_wire[UMBP_BULK_REPLY_BYTES - UMBP_BULK_SEAL_BYTES] = {
        'B', 'R', 1, 0, 9, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0
    };
    static const uint8_t hello_wire[UMBP_BULK_HELLO_HEAD_BYTES] = {
        'U', 'B', 'M', 'B', 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 2
    };
    static const uint8_t welcome_wire[UMBP_BULK_WELCOME_HEAD_BYTES] = {
        'U', 'B', 'M', 'B', 1, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 64
    };
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    umbp_bulk_request_t request;
    CU_ASSERT_EQUAL (umbp_bulk_request_unpack (&request, request_wire), 0);
    CU_ASSERT (request.op == UMBP_BULK_WRITE && request.tag == 0x01020304 && request.item == 7);
    CU_ASSERT (request.token == UINT64_C (0x1112131415161718) && request.offset == 5);
    CU_ASSERT_EQUAL (request.size, (UINT64_C (1) << 32) + 6);
    umbp_bulk_request_pack (&request, wire);
    CU_ASSERT (memcmp (wire, request_wire, sizeof request_wire) == 0);
    umbp_bulk_reply_t reply;
    CU_ASSERT_EQUAL (umbp_bulk_reply_unpack (&reply, reply_wire), 0);
    CU_ASSERT (reply.op == UMBP_BULK_READ && reply.tag == 9 && reply.status == UMBP_ESTALE);
    CU_ASSERT_EQUAL (reply.size, 8);
    umbp_bulk_reply_pack (&reply, wire);
    CU_ASSERT (memcmp (wire, reply_wire, sizeof reply_wire) == 0);
    umbp_bulk_hello_t hello;
    CU_ASSERT_EQUAL (umbp_bulk_hello_unpack (&hello, hello_wire), 0);
    CU_ASSERT (hello.version == 1 && hello.session == (UINT64_C (2) << 56) + 3);
    umbp_bulk_hello_pack (&hello, wire);
    CU_ASSERT (memcmp (wire, hello_wire, sizeof hello_wire) == 0);
    umbp_bulk_welcome_t welcome;
    CU_ASSERT_EQUAL (umbp_bulk_welcome_unpack (&welcome, welcome_wire), 0);
    CU_ASSERT (welcome.version == 1 && welcome.status == UMBP_EAGAIN);
    CU_ASSERT_EQUAL (welcome.size_max, UMBP_BULK_SIZE_MAX);
    umbp_bulk_welcome_pack (&welcome, wire);
    CU_ASSERT (memcmp (wire, welcome_wire, sizeof welcome_wire) == 0);
}

static void test_headers_refuse_wrong_fields (void)
{
    //  Bytes whose change must be noticed: marks, ops, reserved ones, the sign of a status
    static const int of_request[] = { 0, 1, 2, 3, 36, 37, 38, 39, -1 };
    static const int of_reply[] = { 0, 1, 2, 3, 11, 12, 13, 14, 15, -1 };
    static const int of_welcome[] = { 0, 1, 2, 3, 6, 7, 11, 12, 13, 14, 15, -1 };
    static const int of_hello[] = { 0, 1, 2, 3, 6, 7, -1 };
    uint8_t wire[UMBP_BULK_REQUEST_BYTES];
    umbp_bulk_request_t request = { .op = UMBP_BULK_READ };
    umbp_bulk_reply_t reply = { .op = UMBP_BULK_READ, .status = -1 };
    umbp_bulk_welcome_t welcome = { .status = -1 };
    umbp_bulk_hello_t hello = { .session = 1 };
    for (int index = 0; of_request[index] >= 0; index++) {
        request.op = UMBP_BULK_READ;
        umbp_bulk_request_pack (&request, wire);
        wire[of_request[index]] ^= 0x80;
        CU_ASSERT_EQUAL (umbp_bulk_request_unpack (&request, wire), UMBP_EPROTO);
    }
    for (int index = 0; of_reply[index] >= 0; index++) {
        umbp_bulk_reply_t bad;
        umbp_bulk_reply_pack (&reply, wire);
        wire[of_reply[index]] ^= 0x80;
        CU_ASSERT_EQUAL (umbp_bulk_reply_unpack (&bad, wire), UMBP_EPROTO);
    }
    for (int index = 0; of_welcome[index] >= 0; index++) {
        umbp_bulk_welcome_t bad;
        umbp_bulk_welcome_pack (&welcome, wire);
        wire[of_welcome[index]] ^= 0x80;
        CU_ASSERT_EQUAL (umbp_bulk_welcome_unpack (&bad, wire), UMBP_EPROTO);
    }
    for (int index = 0; of_hello[index] >= 0; index++) {
        umbp_bulk_hello_pack (&hello, wire);
        wire[of_hello[index]] ^= 0x80;
        CU_ASSERT_EQUAL (umbp_bulk_hello_unpack (&hello, wire), UMBP_EPROTO);
    }
}

//  ---- Grants

static int s_add_one (umbp_grants_t *grants, uint64_t token, umbp_extent_t extent, uint64_t size)
{
    const umbp_grant_item_t item = { &extent, 1, size };
    const umbp_grant_t grant = { token, 1, false, INT64_MAX, &item, 1 };
    return umbp_grants_add (grants, &grant);
}

static void test_grants_name_only_what_exists (void)
{
    static const struct { umbp_extent_t extent; uint64_t size; int rc; } asked[] = {
        { { 0, 0, PAGES, 1 }, PAGES * PAGE, 0 },
        { { 1, PAGES - 1, 1, 1 }, 1, 0 },
        { { 2, 0, 1, 1 }, PAGE, UMBP_EINVAL },                  //  No such region
        { { 0, PAGES, 1, 1 }, PAGE, UMBP_EINVAL },              //  Behind its end
        { { 0, PAGES - 1, 2, 1 }, PAGE + 1, UMBP_EINVAL },
        { { 0, 0, 0, 1 }, 0, UMBP_EINVAL },                     //  Nothing
        { { 0, 0, 1, 1 }, 0, UMBP_EINVAL },
        { { 0, 0, 1, 1 }, PAGE + 1, UMBP_EINVAL },              //  A page missing
        { { 0, 0, 2, 1 }, PAGE, UMBP_EINVAL },                  //  A page to spare
        { { 0, UINT32_MAX, UINT32_MAX, 1 }, PAGE, UMBP_EINVAL },
        { { 0, 1, UINT32_MAX, 1 }, (uint64_t) UINT32_MAX * PAGE, UMBP_EINVAL },
    };
    umbp_grants_t *grants = umbp_grants_new (s_regions, 2, PAGE, 100, 100000);
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++)
        CU_ASSERT_EQUAL (s_add_one (grants, index, asked[index].extent, asked[index].size),
                         asked[index].rc);
    CU_ASSERT_EQUAL (s_add_one (grants, 0, asked[0].extent, asked[0].size), UMBP_EEXIST);
    const umbp_grant_t empty = { 99, 1, false, INT64_MAX, NULL, 0 };
    CU_ASSERT_EQUAL (umbp_grants_add (grants, &empty), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_grants_count (grants), 2);
    umbp_grants_destroy (&grants);
    umbp_grants_destroy (&grants);
    //  The largest page size must not make the sums wrap
    grants = umbp_grants_new (s_regions, 2, UINT32_MAX, 4, 1000);
    CU_ASSERT_EQUAL (s_add_one (grants, 1, (umbp_extent_t) { 0, UINT32_MAX, UINT32_MAX, 1 }, 1),
                     UMBP_EINVAL);
    umbp_grants_destroy (&grants);
}

static void test_grants_are_bounded (void)
{
    const umbp_extent_t extent = { 0, 0, 1, 1 };
    umbp_grants_t *grants = umbp_grants_new (s_regions, 2, PAGE, 10, 100000);
    for (uint64_t token = 0; token < 10; token++)
        CU_ASSERT_EQUAL (s_add_one (grants, token, extent, PAGE), 0);
    CU_ASSERT_EQUAL (s_add_one (grants, 10, extent, PAGE), UMBP_EAGAIN);
    umbp_grants_remove (grants, umbp_grants_find (grants, 5));
    CU_ASSERT (umbp_grants_find (grants, 5) == NULL);
    CU_ASSERT_EQUAL (s_add_one (grants, 10, extent, PAGE), 0);
    umbp_grants_destroy (&grants);
    grants = umbp_grants_new (s_regions, 2, PAGE, 10, 300);     //  Bytes, not cards, run out
    int rc = 0;
    for (uint64_t token = 0; rc == 0; token++)
        rc = s_add_one (grants, token, extent, PAGE);
    CU_ASSERT (rc == UMBP_EAGAIN && umbp_grants_count (grants) < 10);
    umbp_grants_destroy (&grants);
}

static void test_requests_are_judged (void)
{
    static const struct {
        uint64_t session;
        uint8_t op;
        uint32_t item;
        uint64_t offset, size;
        int64_t now_ms;
        int rc;
    } asked[] = {
        { 7, UMBP_BULK_READ, 0, 0, 3 * PAGE - 5, 99, 0 },
        { 7, UMBP_BULK_READ, 0, 3 * PAGE - 5, 0, 99, 0 },
        { 7, UMBP_BULK_READ, 1, 10, 20, 99, 0 },
        { 8, UMBP_BULK_READ, 0, 0, 1, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_WRITE, 0, 0, 1, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 2, 0, 1, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, UINT32_MAX, 0, 1, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 0, 0, 3 * PAGE - 4, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 0, 3 * PAGE - 5, 1, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 0, UINT64_MAX, 2, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 0, 2, UINT64_MAX, 99, UMBP_EDENIED },
        { 7, UMBP_BULK_READ, 0, 0, 1, 100, UMBP_ESTALE },
    };
    const umbp_extent_t first[] = { { 0, 4, 1, 1 }, { 0, 5, 1, 1 }, { 1, 0, 1, 1 } };
    const umbp_extent_t second[] = { { 1, 9, 1, 1 } };
    const umbp_grant_item_t items[] = { { first, 3, 3 * PAGE - 5 }, { second, 1, 100 } };
    const umbp_grant_t grant = { 1, 7, false, 100, items, 2 };
    umbp_grants_t *grants = umbp_grants_new (s_regions, 2, PAGE, 10, 10000);
    CU_ASSERT_EQUAL (umbp_grants_add (grants, &grant), 0);
    umbp_card_t *card = umbp_grants_find (grants, 1);
    umbp_cursor_t cursor;
    for (size_t index = 0; index < sizeof asked / sizeof *asked; index++) {
        const umbp_bulk_request_t request = { .op = asked[index].op,
                                              .item = asked[index].item,
                                              .offset = asked[index].offset,
                                              .size = asked[index].size };
        CU_ASSERT_EQUAL (
            umbp_card_judge (card, asked[index].session, &request, asked[index].now_ms, &cursor),
            asked[index].rc);
    }
    //  Where the bytes are: two extents that touch are one run
    const umbp_bulk_request_t request = { .op = UMBP_BULK_READ, .offset = 10, .size = 2 * PAGE };
    CU_ASSERT_EQUAL (umbp_card_judge (card, 7, &request, 0, &cursor), 0);
    struct iovec vectors[4];
    CU_ASSERT_EQUAL (umbp_cursor_vectors (&cursor, vectors, 4, SIZE_MAX, NULL), 2);
    CU_ASSERT (vectors[0].iov_base == s_memory[0] + 4 * PAGE + 10);
    CU_ASSERT (vectors[0].iov_len == 2 * PAGE - 10);
    CU_ASSERT (vectors[1].iov_base == s_memory[1] && vectors[1].iov_len == 10);
    umbp_grants_destroy (&grants);
}

//  ---- Desk

static umbp_desk_t *s_desk (size_t tokens_max, size_t sessions_max)
{
    umbp_grants_t *grants = umbp_grants_new (s_regions, 2, PAGE, tokens_max, 100000);
    umbp_desk_t *desk = umbp_desk_new (&grants, tokens_max, sessions_max);
    CU_ASSERT_FATAL (desk != NULL && grants == NULL);
    return desk;
}

static int s_grant (umbp_desk_t *desk, uint64_t token)
{
    const umbp_extent_t extent = { 0, 0, 1, 1 };
    const umbp_grant_item_t item = { &extent, 1, PAGE };
    const umbp_grant_t grant = { token, 1, true, INT64_MAX, &item, 1 };
    return umbp_desk_grant (desk, &grant);
}

static int s_claim (umbp_desk_t *desk, uint64_t token, umbp_card_t **card_p)
{
    umbp_cursor_t cursor;
    const umbp_bulk_request_t request = { .op = UMBP_BULK_WRITE, .token = token, .size = PAGE };
    return umbp_desk_claim (desk, 1, &request, 0, card_p, &cursor);
}

static bool s_has_event (umbp_desk_t *desk)
{
    struct pollfd poll_item = { .fd = umbp_desk_fd (desk), .events = POLLIN };
    return poll (&poll_item, 1, 0) == 1;
}

static void s_expect (umbp_desk_t *desk, umbp_bulk_event_type_t type, uint64_t id)
{
    umbp_bulk_event_t event;
    CU_ASSERT (s_has_event (desk));
    CU_ASSERT_EQUAL_FATAL (umbp_desk_event (desk, &event), 1);
    CU_ASSERT (event.type == type && event.id == id);
}

static void test_revoke_waits_for_transfers (void)
{
    umbp_desk_t *desk = s_desk (2, 4);
    umbp_card_t *first = NULL, *second = NULL, *third = NULL;
    CU_ASSERT_EQUAL (s_grant (desk, 1), 0);
    CU_ASSERT_EQUAL (umbp_desk_revoke (desk, 1), 0);            //  Nobody uses it
    CU_ASSERT_EQUAL (umbp_desk_revoke (desk, 1), UMBP_ENOENT);
    CU_ASSERT_EQUAL (s_claim (desk, 1, &first), UMBP_ESTALE);
    CU_ASSERT_EQUAL (s_grant (desk, 2), 0);
    CU_ASSERT_EQUAL (s_claim (desk, 2, &first), 0);
    CU_ASSERT_EQUAL (s_claim (desk, 2, &second), 0);
    CU_ASSERT (!umbp_desk_is_cut (desk, first));
    CU_ASSERT_EQUAL (umbp_desk_revoke (desk, 2), 2);
    CU_ASSERT (umbp_desk_is_cut (desk, first));
    CU_ASSERT_EQUAL (s_claim (desk, 2, &third), UMBP_ESTALE);   //  None can begin
    CU_ASSERT_EQUAL (s_grant (desk, 2), UMBP_EEXIST);
    umbp_desk_release (desk, &first);
    CU_ASSERT (first == NULL && !s_has_event (desk));
    CU_ASSERT_EQUAL (umbp_desk_revoke (desk, 2), 1);
    umbp_desk_release (desk, &second);
    //  Until the event is fetched it takes the token's place
    CU_ASSERT_EQUAL (s_grant (desk, 3), 0);
    CU_ASSERT_EQUAL (s_grant (desk, 4), UMBP_EAGAIN);
    s_expect (desk, UMBP_BULK_REVOKED, 2);
    CU_ASSERT (!s_has_event (desk));
    CU_ASSERT_EQUAL (s_grant (desk, 4), 0);
    umbp_desk_destroy (&desk);
    umbp_desk_destroy (&desk);
}

//  Windows of RDMA are transfers like others, of whole items
static void test_what_is_held_is_fenced_too (void)
{
    const umbp_extent_t extents[] = { { 0, 4, 2, 1 }, { 1, 0, 1, 1 } };
    const umbp_grant_item_t item = { extents, 2, 2 * PAGE + 5 };
    const umbp_grant_t grant = { 9, 7, false, 1000, &item, 1 };
    umbp_desk_t *desk = s_desk (2, 4);
    umbp_piece_t spans[2];
    umbp_card_t *card = NULL;
    CU_ASSERT (!umbp_desk_is_live (desk, 7, 0));
    CU_ASSERT_EQUAL (umbp_desk_grant (desk, &grant), 0);
    CU_ASSERT (umbp_desk_is_live (desk, 7, 999) && !umbp_desk_is_live (desk, 7, 1000));
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 8, 9, 0, false, 0, &card, spans, 2), UMBP_EDENIED);
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 9, 0, true, 0, &card, spans, 2), UMBP_EDENIED);
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 9, 1, false, 0, &card, spans, 2), UMBP_EDENIED);
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 9, 0, false, 1000, &card, spans, 2), UMBP_ESTALE);
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 9, 0, false, 0, &card, spans, 1), UMBP_ETOOBIG);
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 5, 0, false, 0, &card, spans, 2), UMBP_ESTALE);
    CU_ASSERT (card == NULL);           //  None of these holds anything
    CU_ASSERT_EQUAL (umbp_desk_hold (desk, 7, 9, 0, false, 0, &card, spans, 2), 2);
    CU_ASSERT (spans[0].base == s_memory[0] + 4 * PAGE && spans[0].size == 2 * PAGE);
    CU_ASSERT (spans[1].base == s_memory[1] && spans[1].size == PAGE);
    CU_ASSERT_EQUAL (umbp_desk_revoke (desk, 9), 1);
    CU_ASSERT (umbp_desk_is_cut (desk, card) && !s_has_event (desk));
    umbp_desk_release (desk, &card);
    s_expect (desk, UMBP_BULK_REVOKED, 9);
    umbp_desk_destroy (&desk);
}

static void test_sessions_end_with_their_last_connection (void)
{
    umbp_desk_t *desk = s_desk (2, 3);
    umbp_bulk_event_t event;
    CU_ASSERT_EQUAL (umbp_desk_event (desk, &event), 0);
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 10), 0);
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 10), 0);
    umbp_desk_leave (desk, 10);
    CU_ASSERT (!s_has_event (desk));
    umbp_desk_leave (desk, 10);
    //  It comes back before anybody asked: it is not gone
    CU_ASSERT (s_has_event (desk));
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 10), 0);
    CU_ASSERT_EQUAL (umbp_desk_event (desk, &event), 0);
    CU_ASSERT (!s_has_event (desk));
    for (int round = 0; round < 100; round++) {
        umbp_desk_leave (desk, 10);
        CU_ASSERT_EQUAL (umbp_desk_enter (desk, 10), 0);
    }
    umbp_desk_leave (desk, 10);
    //  Ends that were not fetched count
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 0), 0);             //  0 is a number like others
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 11), 0);
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 12), UMBP_EAGAIN);
    umbp_desk_leave (desk, 0);
    s_expect (desk, UMBP_BULK_CLOSED, 10);
    s_expect (desk, UMBP_BULK_CLOSED, 0);
    CU_ASSERT_EQUAL (umbp_desk_event (desk, &event), 0);
    CU_ASSERT_EQUAL (umbp_desk_enter (desk, 12), 0);
    umbp_desk_leave (desk, 12);
    umbp_desk_leave (desk, 11);
    s_expect (desk, UMBP_BULK_CLOSED, 12);
    s_expect (desk, UMBP_BULK_CLOSED, 11);
    umbp_desk_destroy (&desk);
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_grant", NULL, NULL);
    CU_ADD_TEST (suite, test_headers_keep_their_layout);
    CU_ADD_TEST (suite, test_headers_refuse_wrong_fields);
    CU_ADD_TEST (suite, test_grants_name_only_what_exists);
    CU_ADD_TEST (suite, test_grants_are_bounded);
    CU_ADD_TEST (suite, test_requests_are_judged);
    CU_ADD_TEST (suite, test_revoke_waits_for_transfers);
    CU_ADD_TEST (suite, test_what_is_held_is_fenced_too);
    CU_ADD_TEST (suite, test_sessions_end_with_their_last_connection);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
