//  test/unit/test_adversary.c - a tier manager, with its real memory, bulk server and door, against
//  clients that are too slow, go on when their time is over, say things twice, or die: whatever they
//  do, no reader accepts a wrong byte, nobody's block changes, and no page is lost.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "cluster/bulk/tcp_sock.h"
#include "test/unit/adversary.h"
#include "test/unit/tier.h"

#define PAGE 4096
#define SESSION 5
#define TTL_MS 25                       //  Of slots and leases: over soon
#define SIZE_MAX_HERE (12 * PAGE)       //  Of a block; it fits a message, so that we can look at it
#define FILLERS_MAX 128
#define ROUNDS 40

static tier_t s_tier;
static uint8_t s_data[SIZE_MAX_HERE], s_out[SIZE_MAX_HERE], s_other[SIZE_MAX_HERE];

//  ------------------------------------------------------------------------------------------------
//  Blocks of others, whose pages are those that became free

typedef struct {
    char key[16];
    uint64_t number;
    uint32_t size;
} filler_t;

static filler_t s_fillers[FILLERS_MAX];
static size_t s_filler_count;

static void s_fill_up (void)
{
    s_filler_count = 0;
    for (int rc = 0; rc == 0 && s_filler_count < FILLERS_MAX;) {
        filler_t *filler = &s_fillers[s_filler_count];
        *filler = (filler_t) { .number = adversary_draw (UINT64_MAX),
                               .size = (uint32_t) (1 + adversary_draw (4 * PAGE)) };
        snprintf (filler->key, sizeof filler->key, "filler-%zu", s_filler_count);
        adversary_fill (s_other, filler->size, filler->number);
        rc = tier_store (&s_tier, filler->key, s_other, filler->size);
        CU_ASSERT (rc == 0 || rc == UMBP_EAGAIN || rc == UMBP_ENOSPC);
        s_filler_count += rc == 0;
    }
}

//  All of them are as they were stored
static void s_check_fillers (void)
{
    for (size_t index = 0; index < s_filler_count; index++) {
        filler_t *filler = &s_fillers[index];
        adversary_fill (s_other, filler->size, filler->number);
        CU_ASSERT (tier_holds (&s_tier, filler->key, s_other, filler->size));
    }
}

static void s_wipe (void)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_wipe, 0);
    CU_ASSERT (tier_ask (&s_tier, &msg) == 0);
}

//  What a reader would take for the block: true if it is there, and as its checksum says. Then it has
//  to be these bytes.
static bool s_is_accepted (const char *key, const uint8_t *data, uint32_t size)
{
    if (tier_lease (&s_tier, 0, key, UMBP_INLINE_MAX) != 0 || tier_leased (&s_tier, 0) != 0)
        return false;
    size_t there = s_tier.peer.payload_size;
    if (umbp_sum (s_tier.peer.payload, there) != umbp_u64s_at (s_tier.peer.msg.lease_ok.sums, 0))
        return false;
    CU_ASSERT (there == size && memcmp (s_tier.peer.payload, data, size) == 0);
    return true;
}

//  Nothing is held any more, and what is used is what the live blocks take
static void s_check_pages (void)
{
    uint64_t pages = 0;
    CU_ASSERT (tier_becomes (&s_tier, "slots", 0) && tier_becomes (&s_tier, "leases", 0));
    CU_ASSERT (tier_becomes (&s_tier, "doomed_blocks", 0));
    s_wipe ();
    CU_ASSERT (tier_becomes (&s_tier, "used_bytes", 0));
    s_fill_up ();
    for (size_t index = 0; index < s_filler_count; index++)
        pages += umbp_extent_page_count (s_fillers[index].size, PAGE);
    CU_ASSERT (tier_used_pages (&s_tier) == pages);
    CU_ASSERT (pages > 2 * s_tier.pages - 4);                //  All pages are there to be used
    CU_ASSERT (tier_gauge (&s_tier, "blocks") == s_filler_count);
    s_check_fillers ();
}

static void s_serve_until (int64_t moment)
{
    while (zclock_mono () <= moment)
        tier_serve (&s_tier, (int) (moment + 1 - zclock_mono ()));
}

//  No time, some, or more than a slot or lease lasts
static void s_dawdle (void)
{
    uint64_t kind = adversary_draw (3);
    int64_t ms = kind == 0 ? 0 : kind == 1 ? (int64_t) adversary_draw (TTL_MS) : 2 * TTL_MS;
    s_serve_until (zclock_mono () + ms);
}

static uint32_t s_draw_block (void)
{
    uint32_t size = (uint32_t) (2 + adversary_draw (SIZE_MAX_HERE - 2));
    adversary_fill (s_data, size, adversary_draw (UINT64_MAX));
    return size;
}

static void s_begin (void)
{
    tier_start (&s_tier, (tier_options_t){ .pages = 32,
                                           .slot_ttl_ms = TTL_MS,
                                            .lease_ttl_ms = TTL_MS });
    tier_alone (&s_tier);
}

//  ------------------------------------------------------------------------------------------------
//  Ways to the bytes of a slot or lease: over tcp, or in our own map of its pages

typedef struct {
    bool attached;
    umbp_bulk_client_t *client;
    int door;
    umbp_shm_map_t *map;
    uint64_t token;
    umbp_extent_t extents[64];
    size_t extent_count;
} way_t;

static void s_way_open (way_t *self, bool attached)
{
    *self = (way_t) { .attached = attached, .door = -1 };
    if (attached)
        self->door = tier_attach (&s_tier, SESSION, &self->map);
    else
        self->client = tier_connect (&s_tier, SESSION);
}

static void s_way_close (way_t *self)
{
    umbp_bulk_client_destroy (&self->client);
    umbp_shm_map_destroy (&self->map);
    if (self->door >= 0)
        close (self->door);
    CU_ASSERT (tier_becomes (&s_tier, "doors_open", 0));
}

static void s_way_take (way_t *self, uint64_t token, umbp_u16s_t regions, umbp_u32s_t pages,
                        umbp_u32s_t counts)
{
    CU_ASSERT_FATAL (regions.count <= COUNT_OF (self->extents));
    self->token = token;
    self->extent_count = regions.count;
    for (size_t row = 0; row < regions.count; row++)
        self->extents[row] =
            (umbp_extent_t){ umbp_u16s_at (regions, row), umbp_u32s_at (pages, row),
                             umbp_u32s_at (counts, row), 1 };
}

static bool s_way_lease (way_t *self, const char *key)
{
    if (tier_lease (&s_tier, SESSION, key, 0) != 0 || tier_leased (&s_tier, 0) != 0)
        return false;
    const umbp_msg_lease_ok_t *ok = &s_tier.peer.msg.lease_ok;
    s_way_take (self, ok->lease, ok->regions, ok->pages, ok->page_counts);
    return true;
}

static bool s_way_reserve (way_t *self, const char *key, uint32_t size)
{
    if (tier_reserve (&s_tier, SESSION, key, size) != 0 || tier_reserved (&s_tier, 0) != 0)
        return false;
    const umbp_msg_reserve_ok_t *ok = &s_tier.peer.msg.reserve_ok;
    s_way_take (self, tier_slot (&s_tier, 0), ok->regions, ok->pages, ok->page_counts);
    return true;
}

//  Copy a part of the block, page by page, as it lies in the map
static void s_copy (way_t *self, bool write, uint32_t from, uint32_t to, uint8_t *bytes)
{
    uint32_t start = 0;
    for (size_t row = 0; row < self->extent_count; row++) {
        const umbp_extent_t *extent = &self->extents[row];
        uint8_t *base = (uint8_t *) umbp_shm_map_base (self->map, extent->region)
                        + (size_t) extent->page * PAGE;
        uint32_t end = start + extent->count * PAGE;
        uint32_t first = from > start ? from : start, last = to < end ? to : end;
        if (first < last && write)
            memcpy (base + (first - start), bytes + first, last - first);
        else if (first < last)
            memcpy (bytes + first, base + (first - start), last - first);
        start = end;
    }
}

//  Move a part of the block. Returns its status; in a map nobody says no.
static int s_way_move (way_t *self, bool write, uint32_t from, uint32_t to, uint8_t *bytes)
{
    if (self->attached) {
        s_copy (self, write, from, to, bytes);
        return 0;
    }
    if (!umbp_bulk_client_is_open (self->client)) {          //  It was cut off: as the client does
        umbp_bulk_client_destroy (&self->client);
        self->client = tier_connect (&s_tier, SESSION);
    }
    umbp_piece_t piece = { bytes + from, to - from };
    umbp_bulk_io_t io = { .token = self->token,
                          .offset = from,
                          .pieces = &piece,
                          .piece_count = 1 };
    int status = 1;
    int64_t deadline_ms = umbp_clock_ms () + PEER_MS;
    if (write)
        umbp_bulk_client_write (self->client, &io, 1, &status, deadline_ms);
    else
        umbp_bulk_client_read (self->client, &io, 1, &status, deadline_ms);
    CU_ASSERT (status == 0 || status == UMBP_ESTALE || status == UMBP_ECLOSED);
    return status;
}

//  ------------------------------------------------------------------------------------------------
//  A reader slower than its lease, while others want its pages

static void s_slow_reader (bool attached)
{
    unsigned rounds = adversary_begin (attached ? "slow reader, shm" : "slow reader, tcp", ROUNDS);
    unsigned accepted = 0;
    way_t way;
    s_begin ();
    s_way_open (&way, attached);
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t size = s_draw_block (), cut = (uint32_t) adversary_draw (size);
        CU_ASSERT (tier_store (&s_tier, "key", s_data, size) == 0);
        CU_ASSERT_FATAL (s_way_lease (&way, "key"));
        memset (s_out, 0, size);
        int first = s_way_move (&way, false, 0, cut, s_out);
        CU_ASSERT (tier_drop (&s_tier, "key") == 0);
        s_dawdle ();
        s_fill_up ();
        int second = s_way_move (&way, false, cut, size, s_out);
        bool right = memcmp (s_out, s_data, size) == 0;
        CU_ASSERT (right || (!attached && (first != 0 || second != 0)));
        accepted += first == 0 && second == 0;
        s_check_fillers ();
        tier_release (&s_tier, way.token);
        s_wipe ();
    }
    CU_ASSERT (!attached || accepted == rounds);
    printf ("%u accepted ", accepted);
    s_check_pages ();
    s_way_close (&way);
    tier_stop (&s_tier);
}

static void test_slow_reader_tcp (void)
{
    s_slow_reader (false);
}

static void test_slow_reader_shm (void)
{
    s_slow_reader (true);
}

//  ------------------------------------------------------------------------------------------------
//  A writer that goes on after its slot has expired, and then says that it is done

static void s_late_writer (bool attached)
{
    unsigned rounds = adversary_begin (attached ? "late writer, shm" : "late writer, tcp", ROUNDS);
    unsigned committed = 0, stale = 0;
    way_t way;
    s_begin ();
    s_way_open (&way, attached);
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t size = s_draw_block (), cut = (uint32_t) adversary_draw (size);
        CU_ASSERT_FATAL (s_way_reserve (&way, "key", size));
        int first = s_way_move (&way, true, 0, cut, s_data);
        s_dawdle ();
        s_fill_up ();
        int second = s_way_move (&way, true, cut, size, s_data);
        s_check_fillers ();
        int rc = tier_commit (&s_tier, way.token, umbp_sum (s_data, size));
        CU_ASSERT (rc == 0 || rc == UMBP_ESTALE);
        CU_ASSERT (s_is_accepted ("key", s_data, size) == (rc == 0 && first == 0 && second == 0));
        committed += rc == 0;
        stale += rc != 0;
        s_check_fillers ();
        s_wipe ();
    }
    CU_ASSERT (stale > 0);
    printf ("%u committed, %u stale ", committed, stale);
    s_check_pages ();
    s_way_close (&way);
    tier_stop (&s_tier);
}

static void test_late_writer_tcp (void)
{
    s_late_writer (false);
}

static void test_late_writer_shm (void)
{
    s_late_writer (true);
}

//  ------------------------------------------------------------------------------------------------
//  A write whose bytes are on their way when the slot ends

static int s_connect_raw (void)
{
    uint8_t key[UMBP_BULK_KEY_BYTES];
    umbp_bulk_server_key (s_tier.server, umbp_bulk_alias (SESSION), key);
    return raw_greet (s_tier.bulk, umbp_bulk_alias (SESSION), key);
}

static void test_cut_writer (void)
{
    unsigned rounds = adversary_begin ("cut writer", ROUNDS);
    way_t way = { .attached = false };
    s_begin ();
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t size = s_draw_block (), cut = (uint32_t) adversary_draw (size);
        int sock = s_connect_raw ();
        CU_ASSERT_FATAL (s_way_reserve (&way, "key", size));
        umbp_bulk_request_t request = { .op = UMBP_BULK_WRITE,
                                        .tag = round,
                                        .token = way.token,
                                        .size = size };
        raw_say (sock, &request);
        CU_ASSERT (send (sock, s_data, cut, MSG_NOSIGNAL) == (ssize_t) cut);
        uint64_t how = adversary_draw (3);
        if (how == 0)
            tier_abort (&s_tier, way.token);
        else if (how == 1)
            s_dawdle ();
        s_fill_up ();
        ssize_t sent = send (sock, s_data + cut, size - cut, MSG_NOSIGNAL);
        int heard = raw_hear (sock);
        CU_ASSERT (sent >= 0 || heard == UMBP_ECLOSED);
        s_check_fillers ();
        int rc = tier_commit (&s_tier, way.token, umbp_sum (s_data, size));
        CU_ASSERT (s_is_accepted ("key", s_data, size) == (rc == 0 && heard == 0));
        close (sock);
        s_check_fillers ();
        s_wipe ();
    }
    s_check_pages ();
    tier_stop (&s_tier);
}

//  ------------------------------------------------------------------------------------------------
//  Commits said twice, and two slots for one key

//  Ask to commit, and wait for no answer
static uint64_t s_say_commit (uint64_t slot, uint64_t sum)
{
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &slot, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    return asker_say (&s_tier.peer, &msg, NULL, 0, PEER_MS);
}

//  The statuses of two commits under way, in whichever order they are answered
static void s_hear_commits (const uint64_t ids[2], int out[2])
{
    out[0] = out[1] = 1;
    int64_t end = zclock_mono () + PEER_MS;
    for (int heard = 0; heard < 2 && zclock_mono () < end;)
        if (tier_serve (&s_tier, 10)) {
            uint64_t id = asker_hear (&s_tier.peer, 0);
            bool fine = s_tier.peer.msg.type == UMBP_MSG_commit_ok;
            out[id == ids[1]] = fine ? umbp_s8s_at (s_tier.peer.msg.commit_ok.statuses, 0) : 1;
            heard++;
        }
}

static void test_commit_twice (void)
{
    unsigned rounds = adversary_begin ("commit twice", ROUNDS);
    way_t way, second;
    s_begin ();
    bool attached = false;
    for (unsigned round = 0; round < rounds; round++, attached = adversary_draw (2)) {
        uint32_t size = s_draw_block ();
        bool two = adversary_draw (2);                       //  Slots, of one key
        s_way_open (&way, attached);
        CU_ASSERT_FATAL (s_way_reserve (&way, "key", size));
        second = way;
        CU_ASSERT_FATAL (!two || s_way_reserve (&second, "key", size));
        int moved = s_way_move (&way, true, 0, size, s_data);
        memcpy (s_out, s_data, size);
        s_out[0] ^= two;
        moved |= s_way_move (&second, true, 0, size, s_out);
        uint64_t ids[2] = { s_say_commit (way.token, umbp_sum (s_data, size)),
                            s_say_commit (second.token, umbp_sum (s_out, size)) };
        int rcs[2];
        s_hear_commits (ids, rcs);
        bool one = (rcs[0] == 0) + (rcs[1] == 0) == 1, none = rcs[0] != 0 && rcs[1] != 0;
        CU_ASSERT (one || (none && rcs[0] == UMBP_ESTALE && rcs[1] == UMBP_ESTALE));
        for (int index = 0; index < 2; index++)
            CU_ASSERT (rcs[index] == 0 || rcs[index] == UMBP_ESTALE
                       || (two && rcs[index] == UMBP_EEXIST));
        bool there = s_is_accepted ("key", rcs[1] == 0 ? s_out : s_data, size);
        CU_ASSERT (moved != 0 || there == one);
        int again = tier_commit (&s_tier, way.token, umbp_sum (s_data, size));
        CU_ASSERT (again == UMBP_ESTALE);
        tier_abort (&s_tier, way.token);                     //  Nor does that hurt the block
        CU_ASSERT (s_is_accepted ("key", rcs[1] == 0 ? s_out : s_data, size) == there);
        s_way_close (&way);
        s_wipe ();
    }
    s_check_pages ();
    tier_stop (&s_tier);
}

//  ------------------------------------------------------------------------------------------------
//  A client that is killed, at any moment of a put and a get

static void s_child_ask (int door, umbp_msg_t *msg, int *fds, size_t room)
{
    static uint8_t wire[UMBP_SHM_DATA_MAX];
    msg->id = 1;
    msg->deadline_ms = PEER_MS;
    int size = umbp_msg_encode (msg, wire, sizeof wire);
    size_t count = room;
    if (size < 0 || umbp_shm_send (door, wire, (size_t) size, NULL, 0) != 0)
        _exit (1);
    size = umbp_shm_recv (door, wire, sizeof wire, fds, &count, PEER_MS);
    if (size < 0 || umbp_msg_decode (msg, wire, (size_t) size) < 0 || msg->status != 0)
        _exit (1);
}

//  In the child: all of it, until it is over
static void s_child (uint32_t size)
{
    static words_t column;
    way_t way = { .attached = true, .door = tier_door (&s_tier) };
    int fds[TIER_REGIONS], rc;
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_attach, 0);
    msg.attach.session = SESSION;
    s_child_ask (way.door, &msg, fds, TIER_REGIONS);
    way.map = umbp_shm_map_new (fds, TIER_REGIONS, true, &rc);
    umbp_msg_init (&msg, UMBP_MSG_reserve, 0);
    msg.reserve.session = SESSION;
    msg.reserve.keys = words (&column, "key");
    msg.reserve.sizes = (umbp_u32s_t) { &size, 1 };
    s_child_ask (way.door, &msg, NULL, 0);
    const umbp_msg_reserve_ok_t *ok = &msg.reserve_ok;
    if (!way.map || umbp_s8s_at (ok->statuses, 0) != 0)
        _exit (1);
    s_way_take (&way, umbp_u64s_at (ok->slots, 0), ok->regions, ok->pages, ok->page_counts);
    s_copy (&way, true, 0, size, s_data);
    uint64_t sum = umbp_sum (s_data, size);
    umbp_msg_init (&msg, UMBP_MSG_commit, 0);
    msg.commit.slots = (umbp_u64s_t) { &way.token, 1 };
    msg.commit.sums = (umbp_u64s_t) { &sum, 1 };
    s_child_ask (way.door, &msg, NULL, 0);
    umbp_msg_init (&msg, UMBP_MSG_lease, 0);
    msg.lease.session = SESSION;
    msg.lease.keys = words (&column, "key");
    s_child_ask (way.door, &msg, NULL, 0);
    for (;;)
        pause ();                       //  It holds the lease until it is killed
}

static void test_killed (void)
{
    unsigned rounds = adversary_begin ("killed", ROUNDS), there = 0;
    s_begin ();
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t size = s_draw_block ();
        int64_t moment = zclock_usecs () + (int64_t) adversary_draw (4000);
        fflush (stdout);
        pid_t child = fork ();
        if (child == 0)
            s_child (size);
        while (zclock_usecs () < moment)
            tier_serve (&s_tier, 0);
        kill (child, SIGKILL);
        CU_ASSERT (waitpid (child, NULL, 0) == child);
        CU_ASSERT (tier_becomes (&s_tier, "doors_open", 0));
        CU_ASSERT (tier_becomes (&s_tier, "slots", 0) && tier_gauge (&s_tier, "leases") == 0);
        there += s_is_accepted ("key", s_data, size);
        s_fill_up ();
        s_check_fillers ();
        s_wipe ();
        CU_ASSERT (tier_used_pages (&s_tier) == 0);
    }
    printf ("%u had committed ", there);
    s_check_pages ();
    tier_stop (&s_tier);
}

//  Over tcp its connections close, while what it said last is still on its way
static void test_gone_tcp (void)
{
    unsigned rounds = adversary_begin ("gone, tcp", ROUNDS), there = 0;
    way_t way;
    s_begin ();
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t size = s_draw_block ();
        uint64_t step = adversary_draw (4), id = 0;
        s_way_open (&way, false);
        CU_ASSERT_FATAL (s_way_reserve (&way, "key", size));
        int moved = step > 0 ? s_way_move (&way, true, 0, size, s_data) : 1;
        if (step > 1)
            id = s_say_commit (way.token, umbp_sum (s_data, size));
        if (step == 2 && adversary_draw (2))
            tier_serve (&s_tier, 0);
        int rc = step == 3 ? tier_wait (&s_tier, id, PEER_MS) : 1;
        umbp_bulk_client_destroy (&way.client);
        if (step == 2)
            rc = tier_wait (&s_tier, id, PEER_MS);
        if (rc == 0)
            rc = umbp_s8s_at (s_tier.peer.msg.commit_ok.statuses, 0);
        CU_ASSERT (tier_becomes (&s_tier, "slots", 0));
        CU_ASSERT (s_is_accepted ("key", s_data, size) == (rc == 0 && moved == 0));
        there += rc == 0;
        s_fill_up ();
        s_check_fillers ();
        s_wipe ();
        CU_ASSERT (tier_used_pages (&s_tier) == 0);
    }
    printf ("%u had committed ", there);
    s_check_pages ();
    tier_stop (&s_tier);
}

int main (int argc, char **argv)
{
    static const adversary_test_t tests[] = {
        { "slow-reader-tcp", test_slow_reader_tcp }, { "slow-reader-shm", test_slow_reader_shm },
        { "late-writer-tcp", test_late_writer_tcp }, { "late-writer-shm", test_late_writer_shm },
        { "cut-writer", test_cut_writer },           { "commit-twice", test_commit_twice },
        { "killed", test_killed },                   { "gone", test_gone_tcp },
    };
    zsys_init ();
    return adversary_run ("adversary", tests, COUNT_OF (tests), argc, argv);
}
