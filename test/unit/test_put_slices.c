//  test/unit/test_put_slices.c - a large batch for a disk: it is told of a slice at a time, so that it writes while the next
//  slice is filled, and each block has the status and the bytes that it would have had alone
#include <sys/syscall.h>

#include "test/unit/disk.h"

#define COUNT 70                        //  Of about a MiB: five slices
#define OLD 7                           //  Each such one was there before
#define BAD 33                          //  It has no bytes

static size_t s_size (size_t number)
{
    return MIB - 40000 + number * 1000;
}

static void s_put (disk_t *self, umbp_t *pool)
{
    batch_t batch = batch_new ("slice", 0, COUNT, 2 * MIB);
    umbp_put_options_t how = { .tier = UMBP_TIER_NVME };
    for (size_t index = 0; index < COUNT; index++) {
        umbp_item_t *item = &batch.items[index];
        item->size = s_size (index);
        nodes_fill (item->data, item->size, disk_number ("slice", index));
        if (index % OLD == 0)
            CU_ASSERT (umbp_put_batch (pool, item, 1, &how, DISK_MS) == 1);
    }
    batch.items[BAD].size = 0;
    uint64_t before = disk_gauge (self, "tier:nvme", "requests");
    CU_ASSERT (umbp_put_batch (pool, batch.items, COUNT, &how, DISK_MS) == COUNT - 1);
    uint64_t asked = disk_gauge (self, "tier:nvme", "requests") - before;
    CU_ASSERT (asked >= 4);             //  Commits of slices
    CU_ASSERT (asked < COUNT / 2);
    for (size_t index = 0; index < COUNT; index++) {
        int expected = index == BAD ? UMBP_EINVAL : index % OLD == 0 ? UMBP_EEXIST : 0;
        CU_ASSERT_EQUAL (batch.items[index].status, expected);
    }
    batch_destroy (&batch);
}

//  From disk: what is read does not come up to memory first, as it has room for none
static void s_get (umbp_t *pool)
{
    batch_t batch = batch_new ("slice", 0, COUNT, 2 * MIB);
    CU_ASSERT (umbp_get_batch (pool, batch.items, COUNT, DISK_MS) == COUNT - 1);
    for (size_t index = 0; index < COUNT; index++) {
        const umbp_item_t *item = &batch.items[index];
        CU_ASSERT_EQUAL (item->status, index == BAD ? UMBP_ENOENT : 0);
        CU_ASSERT (index == BAD || item->size == s_size (index));
        CU_ASSERT (index == BAD
                   || nodes_is_filled (item->data, item->size, disk_number ("slice", index)));
    }
    batch_destroy (&batch);
}

static void s_put_and_get (doors_t doors, bool no_shm)
{
    disk_t disk;
    umbp_node_options_t *options = disk_prepare (&disk, doors, 8 * MIB);
    options->nvme_bytes = 256 * MIB;
    options->nvme_staging_bytes = 128 * MIB;
    disk_run (&disk);
    umbp_t *pool = nodes_connect (&disk.nodes, 0, (umbp_options_t) { .no_shm = no_shm });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    if (no_shm) {
        disk_put (pool, "slice", 0, COUNT, MIB, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        CU_ASSERT (disk_get (pool, "slice", 0, COUNT, MIB, DISK_MS, NULL) == COUNT);
    } else {
        disk_put (pool, "warm", 0, 4, MIB, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
        s_put (&disk, pool);
        s_get (pool);
        umbp_close (&pool);
        disk_again (&disk);
        pool = nodes_connect (&disk.nodes, 0, (umbp_options_t) { 0 });
        CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
        s_get (pool);
    }
    umbp_close (&pool);
    disk_stop (&disk);
}

static void test_here (void)
{
    s_put_and_get (WITH_DOORS, false);
}

static void test_there (void)
{
    s_put_and_get (WITHOUT_DOORS, true);
}

//  --------------------------------------------------------------------------------------------------
//  A door that closes between two slices

static _Thread_local bool s_armed;      //  Of this thread's commits the next one finds its door closed

ssize_t sendmsg (int sock, const struct msghdr *message, int flags)
{
    if (s_armed) {
        umbp_msg_t msg;
        const struct iovec *data = message->msg_iov;
        if (umbp_msg_decode (&msg, data->iov_base, data->iov_len) > 0
            && msg.type == UMBP_MSG_commit) {
            s_armed = false;
            errno = EPIPE;
            return -1;
        }
    }
    return syscall (SYS_sendmsg, sock, message, flags);
}

//  The session's slots end with the door, and their pages may be others' by then: nothing more is written there
static void test_closed (void)
{
    disk_t disk;
    umbp_stats_t before, after;
    umbp_node_options_t *options = disk_prepare (&disk, WITH_DOORS, 8 * MIB);
    options->nvme_bytes = 256 * MIB;
    options->nvme_staging_bytes = 128 * MIB;
    disk_run (&disk);
    umbp_t *pool = nodes_connect (&disk.nodes, 0, (umbp_options_t) { 0 });
    CU_ASSERT_PTR_NOT_NULL_FATAL (pool);
    disk_put (pool, "warm", 0, 4, MIB, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    umbp_stats (pool, &before);
    s_armed = true;
    disk_put (pool, "slice", 0, COUNT, MIB, (umbp_put_options_t) { .tier = UMBP_TIER_NVME });
    umbp_stats (pool, &after);
    CU_ASSERT (!s_armed);
    uint64_t twice = after.shm_put_bytes + after.tcp_put_bytes - before.shm_put_bytes
                     - before.tcp_put_bytes - (uint64_t) COUNT * MIB;
    CU_ASSERT (twice > 0 && twice <= 17 * MIB);      //  The first slice
    if (twice > 17 * MIB)
        printf ("\n    written to a closed door: %llu bytes\n", (unsigned long long) twice);
    CU_ASSERT (disk_get (pool, "slice", 0, COUNT, MIB, DISK_MS, NULL) == COUNT);
    CU_ASSERT (disk_until (&disk, "tier:nvme", "blocks", COUNT + 4));
    CU_ASSERT (disk_gauge (&disk, "tier:nvme", "slots") == 0);
    umbp_close (&pool);
    disk_stop (&disk);
}

int main (void)
{
    alarm (180);
    CU_initialize_registry ();
    disk_seed = nodes_seed ("put_slices");
    CU_pSuite suite = CU_add_suite ("put_slices", NULL, NULL);
    CU_ADD_TEST (suite, test_here);
    CU_ADD_TEST (suite, test_there);
    CU_ADD_TEST (suite, test_closed);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    unsigned failures = CU_get_number_of_failures ();
    CU_cleanup_registry ();
    return failures > 0;
}
