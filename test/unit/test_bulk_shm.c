//  test/unit/test_bulk_shm.c - regions, and what two processes of one host do to share them
#include "cluster/bulk/clock.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/shm.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)

static char s_folder[] = "/tmp/umbp-shm-XXXXXX";
static char s_path[64];

static int s_setup (void)
{
    if (!mkdtemp (s_folder) || chmod (s_folder, 0755) == -1)
        return 1;
    snprintf (s_path, sizeof s_path, "%s/socket", s_folder);
    return 0;
}

static int s_teardown (void)
{
    unlink (s_path);
    return rmdir (s_folder);
}

//  Open descriptors of this process
static int s_fd_count (void)
{
    DIR *folder = opendir ("/proc/self/fd");
    int count = 0;
    while (readdir (folder))
        count++;
    closedir (folder);
    return count;
}

static void test_region_is_sealed_memory (void)
{
    int rc = 1, fds = s_fd_count ();
    umbp_region_t *region = umbp_region_new ("test", MIB + 1, false, true, &rc);
    CU_ASSERT_FATAL (region != NULL);
    CU_ASSERT (rc == 0 && !umbp_region_huge (region));
    CU_ASSERT_EQUAL (umbp_region_bytes (region), MIB + (size_t) sysconf (_SC_PAGESIZE));
    memset (umbp_region_base (region), 7, umbp_region_bytes (region));
    int fd = umbp_region_fd (region);
    struct stat status;
    CU_ASSERT (fstat (fd, &status) == 0 && (size_t) status.st_size == umbp_region_bytes (region));
    CU_ASSERT (status.st_blocks * 512 >= status.st_size);       //  All pages exist
    CU_ASSERT (ftruncate (fd, 4096) == -1 && errno == EPERM);
    CU_ASSERT (ftruncate (fd, 4 * MIB) == -1 && errno == EPERM);
    CU_ASSERT (fcntl (fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM);
    CU_ASSERT (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    umbp_region_destroy (&region);
    CU_ASSERT (region == NULL);
    umbp_region_destroy (&region);
    CU_ASSERT_EQUAL (s_fd_count (), fds);
}

static void test_region_may_be_lazy (void)
{
    umbp_region_t *region = umbp_region_new ("lazy", 16 * MIB, false, false, NULL);
    CU_ASSERT_FATAL (region != NULL);
    struct stat status;
    CU_ASSERT (fstat (umbp_region_fd (region), &status) == 0 && status.st_blocks == 0);
    umbp_region_destroy (&region);
}

static void test_region_asks_for_huge_pages (void)
{
    //  There may be some or none; either way the region is there and says which it is
    umbp_region_t *region = umbp_region_new ("huge", 3 * MIB, true, true, NULL);
    CU_ASSERT_FATAL (region != NULL);
    CU_ASSERT_EQUAL (umbp_region_bytes (region), umbp_region_huge (region) ? 4 * MIB : 3 * MIB);
    memset (umbp_region_base (region), 1, umbp_region_bytes (region));
    umbp_region_destroy (&region);
    //  More than any machine has of them
    region = umbp_region_new ("huge", (size_t) 1 << 46, true, false, NULL);
    CU_ASSERT (region == NULL || !umbp_region_huge (region));
    umbp_region_destroy (&region);
}

static void test_region_refuses_nonsense (void)
{
    char name[300];
    memset (name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    int rc, fds = s_fd_count ();
    CU_ASSERT (umbp_region_new ("zero", 0, false, true, &rc) == NULL && rc == UMBP_EINVAL);
    CU_ASSERT (umbp_region_new ("most", SIZE_MAX, true, true, &rc) == NULL && rc == UMBP_EINVAL);
    CU_ASSERT (umbp_region_new ("", MIB, false, true, &rc) == NULL && rc == UMBP_EINVAL);
    CU_ASSERT (umbp_region_new (name, MIB, false, true, &rc) == NULL && rc == UMBP_EINVAL);
    CU_ASSERT (umbp_region_new ("much", (size_t) 1 << 62, false, true, &rc) == NULL && rc != 0);
    CU_ASSERT_EQUAL (s_fd_count (), fds);
}

static void test_region_can_be_given_for_reading_only (void)
{
    umbp_region_t *region = umbp_region_new ("test", MIB, false, true, NULL);
    memset (umbp_region_base (region), 7, MIB);
    int fd = umbp_region_open_readonly (region), rc;
    CU_ASSERT_FATAL (fd >= 0);
    CU_ASSERT (umbp_shm_map_new (&fd, 1, true, &rc) == NULL && rc == UMBP_EDENIED);
    umbp_shm_map_t *map = umbp_shm_map_new (&fd, 1, false, &rc);
    CU_ASSERT_FATAL (map != NULL && rc == 0);
    CU_ASSERT (memcmp (umbp_shm_map_base (map, 0), umbp_region_base (region), MIB) == 0);
    umbp_shm_map_destroy (&map);
    close (fd);
    umbp_region_destroy (&region);
}

static void test_listens_where_nobody_answers (void)
{
    int sock = umbp_shm_listen (s_path, 4);
    CU_ASSERT_FATAL (sock >= 0);
    struct stat status;
    CU_ASSERT (stat (s_path, &status) == 0 && (status.st_mode & 0777) == 0600);
    CU_ASSERT_EQUAL (umbp_shm_listen (s_path, 4), UMBP_EEXIST);
    close (sock);                       //  As if the process had died: the file stays
    CU_ASSERT_EQUAL (umbp_shm_connect (s_path, 100, NULL), UMBP_EUNREACH);
    sock = umbp_shm_listen (s_path, 4);
    CU_ASSERT (sock >= 0);
    umbp_shm_unlisten (&sock, s_path);
    umbp_shm_unlisten (&sock, s_path);
    CU_ASSERT (sock == -1 && access (s_path, F_OK) == -1);
    CU_ASSERT_EQUAL (umbp_shm_connect (s_path, 100, NULL), UMBP_ENOENT);
    int file = open (s_path, O_CREAT | O_WRONLY, 0600);
    CU_ASSERT_EQUAL (umbp_shm_listen (s_path, 4), UMBP_EEXIST);
    CU_ASSERT (access (s_path, F_OK) == 0);         //  It is not ours to remove
    close (file);
    unlink (s_path);
}

static void test_checks_paths (void)
{
    char path[200];
    memset (path, 'x', sizeof path);
    path[108] = '\0';
    int fds = s_fd_count ();
    CU_ASSERT_EQUAL (umbp_shm_listen (path, 4), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_listen ("", 4), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_connect (path, 0, NULL), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_connect ("", 0, NULL), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_listen ("/nonexistent/socket", 4), UMBP_EIO);
    CU_ASSERT_EQUAL (s_fd_count (), fds);
}

static void test_connects_with_a_deadline (void)
{
    int listener = umbp_shm_listen (s_path, 0), socks[8], count = 0, rc;
    CU_ASSERT_EQUAL (umbp_shm_accept (listener, NULL), UMBP_EAGAIN);
    //  Nobody accepts, so the queue is full soon
    while (count < 8 && (rc = umbp_shm_connect (s_path, 50, NULL)) >= 0)
        socks[count++] = rc;
    CU_ASSERT (count > 0 && count < 8);
    CU_ASSERT_EQUAL (rc, UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (umbp_shm_connect (s_path, 0, NULL), UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (umbp_shm_listen (s_path, 4), UMBP_EEXIST);     //  Full is not dead
    umbp_shm_close (socks, count);
    umbp_shm_unlisten (&listener, s_path);
}

//  Try to connect as a user that owns nothing. Returns the child's exit status: 0 if it could.
static int s_connect_as_nobody (void)
{
    pid_t child = fork ();
    if (child == 0) {
        if (setgid (65534) == -1 || setuid (65534) == -1)
            _exit (2);
        _exit (umbp_shm_connect (s_path, 1000, NULL) >= 0 ? 0 : 1);
    }
    int status = 0;
    waitpid (child, &status, 0);
    return WEXITSTATUS (status);
}

static void test_refuses_other_users (void)
{
    if (geteuid () != 0) {
        printf ("skipped: not root, cannot be another user ");
        return;
    }
    int listener = umbp_shm_listen (s_path, 4);
    CU_ASSERT_EQUAL (s_connect_as_nobody (), 1);
    CU_ASSERT_EQUAL (umbp_shm_accept (listener, NULL), UMBP_EAGAIN);
    CU_ASSERT (chmod (s_path, 0666) == 0);          //  Even with the file open to all
    CU_ASSERT_EQUAL (s_connect_as_nobody (), 0);
    CU_ASSERT_EQUAL (umbp_shm_accept (listener, NULL), UMBP_EDENIED);
    umbp_shm_unlisten (&listener, s_path);
}

//  A connected pair, made as two processes make it
static void s_pair (int socks[2])
{
    int listener = umbp_shm_listen (s_path, 4);
    pid_t pids[2] = { 0, 0 };
    socks[0] = umbp_shm_connect (s_path, 1000, &pids[0]);
    socks[1] = umbp_shm_accept (listener, &pids[1]);
    CU_ASSERT_FATAL (socks[0] >= 0 && socks[1] >= 0);
    CU_ASSERT (pids[0] == getpid () && pids[1] == getpid ());
    umbp_shm_unlisten (&listener, s_path);
}

static void test_passes_regions (void)
{
    int before = s_fd_count (), socks[2], fds[3], rc;
    s_pair (socks);
    umbp_region_t *regions[3];
    for (int index = 0; index < 3; index++) {
        regions[index] = umbp_region_new ("pass", (index + 1) * MIB, false, true, NULL);
        fds[index] = umbp_region_fd (regions[index]);
        memset (umbp_region_base (regions[index]), 'a' + index, (index + 1) * MIB);
    }
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], "three regions", 13, fds, 3), 0);
    char data[64];
    int got[UMBP_SHM_FDS_MAX];
    size_t count = UMBP_SHM_FDS_MAX;
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[1], data, sizeof data, got, &count, 1000), 13);
    CU_ASSERT (memcmp (data, "three regions", 13) == 0);
    CU_ASSERT_EQUAL_FATAL (count, 3);
    CU_ASSERT (fcntl (got[0], F_GETFD) & FD_CLOEXEC);
    umbp_shm_map_t *map = umbp_shm_map_new (got, count, true, &rc);
    umbp_shm_close (got, count);
    CU_ASSERT (got[0] == -1);
    CU_ASSERT_FATAL (map != NULL && rc == 0 && umbp_shm_map_count (map) == 3);
    for (size_t index = 0; index < 3; index++) {
        char *base = umbp_shm_map_base (map, index);
        CU_ASSERT_EQUAL (umbp_shm_map_bytes (map, index), (index + 1) * MIB);
        CU_ASSERT (base[0] == 'a' + (char) index && base[(index + 1) * MIB - 1] == base[0]);
        base[5] = 'X';
        CU_ASSERT_EQUAL (((char *) umbp_region_base (regions[index]))[5], 'X');
        umbp_region_destroy (&regions[index]);      //  The map keeps the memory alive
        CU_ASSERT_EQUAL (base[5], 'X');
    }
    CU_ASSERT (umbp_shm_map_base (map, 3) == NULL && umbp_shm_map_bytes (map, 3) == 0);
    umbp_shm_map_destroy (&map);
    umbp_shm_map_destroy (&map);
    umbp_shm_close (socks, 2);
    CU_ASSERT_EQUAL (s_fd_count (), before);
}

static void test_messages_have_limits (void)
{
    int socks[2], fds[UMBP_SHM_FDS_MAX + 1];
    char data[64];
    static char big[UMBP_SHM_DATA_MAX + 1];
    s_pair (socks);
    int before = s_fd_count ();
    for (int index = 0; index <= UMBP_SHM_FDS_MAX; index++)
        fds[index] = socks[0];
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], data, 0, NULL, 0), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], big, sizeof big, NULL, 0), UMBP_EINVAL);
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], "x", 1, fds, UMBP_SHM_FDS_MAX + 1), UMBP_EINVAL);
    int got[UMBP_SHM_FDS_MAX];
    for (size_t room = 0; room <= UMBP_SHM_FDS_MAX; room++) {       //  Odd ones have padding
        CU_ASSERT_EQUAL (umbp_shm_send (socks[0], "x", 1, fds, UMBP_SHM_FDS_MAX), 0);
        size_t count = room;
        int rc = umbp_shm_recv (socks[1], data, sizeof data, got, &count, 1000);
        CU_ASSERT_EQUAL (rc, room < UMBP_SHM_FDS_MAX ? UMBP_ETOOBIG : 1);
        CU_ASSERT_EQUAL (count, room < UMBP_SHM_FDS_MAX ? 0 : UMBP_SHM_FDS_MAX);
        umbp_shm_close (got, count);
        CU_ASSERT_EQUAL (s_fd_count (), before);
    }
    //  More than the control data has room for: the kernel truncates it
    char control[CMSG_SPACE (sizeof (int) * 200)] = { 0 };
    struct iovec vector = { data, 1 };
    struct msghdr message = { .msg_iov = &vector,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    *header = (struct cmsghdr) { CMSG_LEN (sizeof (int) * 200), SOL_SOCKET, SCM_RIGHTS };
    for (int index = 0; index < 200; index++)
        memcpy (CMSG_DATA (header) + index * sizeof (int), socks, sizeof (int));
    CU_ASSERT_EQUAL (sendmsg (socks[0], &message, 0), 1);
    size_t count = UMBP_SHM_FDS_MAX;
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[1], data, 64, got, &count, 1000), UMBP_ETOOBIG);
    CU_ASSERT (count == 0 && s_fd_count () == before);
    //  A message longer than the room for it, with a descriptor
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], big, 65, fds, 1), 0);
    count = 1;
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[1], data, 64, got, &count, 1000), UMBP_ETOOBIG);
    CU_ASSERT (count == 0 && s_fd_count () == before);
    umbp_shm_close (socks, 2);
}

static void test_nobody_waits_for_ever (void)
{
    int socks[2], rc;
    char data[4096] = { 0 };
    size_t count = 0;
    s_pair (socks);
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[1], data, 64, NULL, &count, 0), UMBP_ETIMEDOUT);
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[1], data, 64, NULL, &count, 30), UMBP_ETIMEDOUT);
    for (int sent = 0; (rc = umbp_shm_send (socks[0], data, sizeof data, NULL, 0)) == 0; sent++)
        CU_ASSERT_FATAL (sent < 100000);
    CU_ASSERT_EQUAL (rc, UMBP_EAGAIN);
    close (socks[1]);
    CU_ASSERT_EQUAL (umbp_shm_send (socks[0], "x", 1, NULL, 0), UMBP_ECLOSED);
    CU_ASSERT_EQUAL (umbp_shm_recv (socks[0], data, 64, NULL, &count, 1000), UMBP_ECLOSED);
    close (socks[0]);
}

static void test_maps_only_what_is_safe (void)
{
    int rc, before = s_fd_count ();
    int fd = memfd_create ("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CU_ASSERT (ftruncate (fd, 8192) == 0);
    CU_ASSERT (umbp_shm_map_new (&fd, 1, false, &rc) == NULL && rc == UMBP_EDENIED);
    CU_ASSERT (fcntl (fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
    CU_ASSERT (umbp_shm_map_new (&fd, 1, false, &rc) == NULL && rc == UMBP_EDENIED);
    umbp_region_t *region = umbp_region_new ("good", 8192, false, true, NULL);
    int fds[UMBP_SHM_FDS_MAX + 1] = { umbp_region_fd (region), fd };
    CU_ASSERT (umbp_shm_map_new (fds, 2, false, &rc) == NULL && rc == UMBP_EDENIED);
    CU_ASSERT (umbp_shm_map_new (fds, 0, false, &rc) == NULL && rc == UMBP_EINVAL);
    CU_ASSERT (umbp_shm_map_new (fds, UMBP_SHM_FDS_MAX + 1, false, &rc) == NULL
               && rc == UMBP_EINVAL);
    int empty = memfd_create ("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CU_ASSERT (fcntl (empty, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    CU_ASSERT (umbp_shm_map_new (&empty, 1, false, &rc) == NULL && rc == UMBP_EDENIED);
    int pipes[2];
    CU_ASSERT (pipe (pipes) == 0);
    CU_ASSERT (umbp_shm_map_new (pipes, 1, false, &rc) == NULL && rc == UMBP_EDENIED);
    umbp_shm_close (pipes, 2);
    close (empty);
    close (fd);
    umbp_region_destroy (&region);
    CU_ASSERT_EQUAL (s_fd_count (), before);
}

//  Bytes of a mapping that are mapped, of a page each that exists
static size_t s_mapped (const volatile uint8_t *base)
{
    FILE *file = fopen ("/proc/self/smaps", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL (file);
    char line[512];
    bool ours = false;
    size_t kib = 0;
    while (fgets (line, sizeof line, file)) {
        uintptr_t from, to;
        if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            ours = from == (uintptr_t) base;
        else if (ours && sscanf (line, "Rss: %zu kB", &kib) == 1)
            break;
    }
    fclose (file);
    return kib * 1024;
}

//  Pages that exist are mapped, but not for longer than there is time; those that do not exist are not made
static void test_populate (void)
{
    int rc;
    umbp_region_t *region = umbp_region_new ("shm test", 40 * MIB, false, false, &rc);
    CU_ASSERT_FATAL (region != NULL);
    int fd = umbp_region_fd (region);
    size_t bytes = umbp_region_bytes (region), half = bytes / 2;
    struct stat status;
    umbp_shm_map_t *map = umbp_shm_map_new (&fd, 1, true, &rc);
    CU_ASSERT_FATAL (map != NULL);
    volatile uint8_t *base = umbp_shm_map_base (map, 0);
    bool can = madvise (umbp_region_base (region), 4096, 23) == 0;     //  MADV_POPULATE_WRITE
    memset (umbp_region_base (region), 1, half);
    CU_ASSERT (fstat (fd, &status) == 0 && (size_t) status.st_blocks == half / 512);
    umbp_shm_map_populate (map, umbp_clock_ms ());
    CU_ASSERT (s_mapped (base) == 0);
    bool mapped = false;
    for (int turn = 0; can && turn < 50 && !mapped; turn++) {
        if (turn > 0)
            usleep (100000);            //  A kernel that reclaims what looks cold takes some back at once
        umbp_shm_map_populate (map, umbp_clock_ms () + 60000);
        mapped = s_mapped (base) == half;
    }
    CU_ASSERT (!can || mapped);
    CU_ASSERT (fstat (fd, &status) == 0 && (size_t) status.st_blocks == half / 512);
    memset ((void *) (base + half), 1, bytes - half);
    CU_ASSERT (fstat (fd, &status) == 0 && (size_t) status.st_blocks == bytes / 512);
    umbp_shm_map_destroy (&map);
    umbp_region_destroy (&region);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bulk_shm", s_setup, s_teardown);
    CU_ADD_TEST (suite, test_region_is_sealed_memory);
    CU_ADD_TEST (suite, test_region_may_be_lazy);
    CU_ADD_TEST (suite, test_region_asks_for_huge_pages);
    CU_ADD_TEST (suite, test_region_refuses_nonsense);
    CU_ADD_TEST (suite, test_region_can_be_given_for_reading_only);
    CU_ADD_TEST (suite, test_listens_where_nobody_answers);
    CU_ADD_TEST (suite, test_checks_paths);
    CU_ADD_TEST (suite, test_connects_with_a_deadline);
    CU_ADD_TEST (suite, test_refuses_other_users);
    CU_ADD_TEST (suite, test_passes_regions);
    CU_ADD_TEST (suite, test_messages_have_limits);
    CU_ADD_TEST (suite, test_nobody_waits_for_ever);
    CU_ADD_TEST (suite, test_maps_only_what_is_safe);
    CU_ADD_TEST (suite, test_populate);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
