//  test/unit/test_bench_nodes.c - processes that a bench starts and ends, and its plain socket
#include <CUnit/Basic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bin/bench_nodes.h"
#include "bin/bench_socket.h"

#define LIMIT_MS 10000

static pid_t s_shell (const char *script, int *out)
{
    char *argv[] = { "sh", "-c", (char *) script, NULL };
    return umbp_bench_start_process (argv, "/dev/null", out);
}

static void test_ends (void)
{
    CU_ASSERT (umbp_bench_end_process (s_shell ("exit 0", NULL), 0, LIMIT_MS) == 0);
    CU_ASSERT (umbp_bench_end_process (s_shell ("exit 7", NULL), 0, LIMIT_MS) == 7);
    CU_ASSERT (umbp_bench_end_process (s_shell ("exec sleep 60", NULL), SIGTERM, LIMIT_MS)
               == 128 + SIGTERM);
    char *argv[] = { "/nowhere/program", NULL };
    pid_t pid = umbp_bench_start_process (argv, "/dev/null", NULL);
    CU_ASSERT (umbp_bench_end_process (pid, 0, LIMIT_MS) == 127);
    CU_ASSERT (umbp_bench_start_process (argv, "/nowhere/log", NULL) == -1);
}

//  Who does not heed a signal is killed
static void test_kills (void)
{
    char byte;
    int out;
    pid_t pid = s_shell ("trap '' TERM; echo; while :; do sleep 60; done", &out);
    CU_ASSERT (read (out, &byte, 1) == 1);
    CU_ASSERT (umbp_bench_end_process (pid, SIGTERM, 50) == -1);
    close (out);
    CU_ASSERT (kill (pid, 0) == -1);
}

static void test_cpu (void)
{
    double start = umbp_bench_cpu (getpid ());
    while (umbp_bench_cpu (getpid ()) < start + 0.05)
        getpid ();
    CU_ASSERT (umbp_bench_cpu (getpid ()) < start + 5);
    CU_ASSERT (umbp_bench_cpu (-1) == 0);
}

static void test_socket (void)
{
    enum { BYTES = 1 << 20, PART = 100000 };
    int file = memfd_create ("test", MFD_CLOEXEC);
    CU_ASSERT_FATAL (file >= 0 && ftruncate (file, BYTES) == 0);
    uint8_t *map = mmap (NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CU_ASSERT_FATAL (map != MAP_FAILED);
    for (size_t index = 0; index < BYTES; index++)
        map[index] = (uint8_t) (index * 7 + index / 251);
    umbp_bench_socket_t sock;
    CU_ASSERT_FATAL (umbp_bench_socket_start (&sock, file, BYTES, "cubic"));
    uint8_t *room = malloc (2 * PART), *rooms[2] = { room, room + PART };
    const uint64_t offsets[2] = { 700000, 12345 };
    for (int way = UMBP_BENCH_SENDFILE; way <= UMBP_BENCH_SEND; way++) {
        memset (room, 0, 2 * PART);
        CU_ASSERT (
            umbp_bench_socket_move (&sock, (umbp_bench_socket_way_t) way, offsets, rooms, 2, PART));
        CU_ASSERT (memcmp (rooms[0], map + offsets[0], PART) == 0);
        CU_ASSERT (memcmp (rooms[1], map + offsets[1], PART) == 0);
    }
    memset (room, 9, 2 * PART);
    CU_ASSERT (umbp_bench_socket_move (&sock, UMBP_BENCH_RECEIVE, offsets, rooms, 2, PART));
    CU_ASSERT (memcmp (rooms[0], map + offsets[0], PART) == 0);
    CU_ASSERT (memcmp (rooms[1], map + offsets[1], PART) == 0);
    umbp_bench_socket_stop (&sock);
    free (room);
    munmap (map, BYTES);
    close (file);
}

int main (void)
{
    alarm (60);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("bench_nodes", NULL, NULL);
    CU_ADD_TEST (suite, test_ends);
    CU_ADD_TEST (suite, test_kills);
    CU_ADD_TEST (suite, test_cpu);
    CU_ADD_TEST (suite, test_socket);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
