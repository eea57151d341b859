//  test/unit/test_bulk_host.c - who is on the same host
#include "cluster/bulk/host.h"

#include <CUnit/Basic.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

//  The id that a child sees after it did something, or "-" if it could not
static void s_child (int (*change) (void), char *out, size_t size)
{
    int pipes[2];
    CU_ASSERT_FATAL (pipe (pipes) == 0);
    pid_t child = fork ();
    if (child == 0) {
        char id[UMBP_HOST_ID_MAX] = "-";
        if (change () == 0)
            umbp_host_id (id, sizeof id);
        _exit (write (pipes[1], id, strlen (id) + 1) < 0);
    }
    close (pipes[1]);
    memset (out, 0, size);
    CU_ASSERT (read (pipes[0], out, size - 1) > 0);
    close (pipes[0]);
    CU_ASSERT (waitpid (child, NULL, 0) == child);
}

static int s_nothing (void)
{
    return 0;
}

static int s_other_files (void)
{
    return unshare (CLONE_NEWNS);
}

static int s_other_name (void)
{
    return unshare (CLONE_NEWUTS);
}

static int s_other_user (void)
{
    return seteuid (geteuid () == 0 ? 1234 : 0);
}

static void test_same_host (void)
{
    char mine[UMBP_HOST_ID_MAX], other[UMBP_HOST_ID_MAX], small[8];
    CU_ASSERT (umbp_host_id (mine, sizeof mine) == mine && strlen (mine) > 40);
    CU_ASSERT_STRING_EQUAL (umbp_host_id (other, sizeof other), mine);
    s_child (s_nothing, other, sizeof other);
    CU_ASSERT_STRING_EQUAL (other, mine);
    CU_ASSERT_STRING_EQUAL (umbp_host_id (small, sizeof small), "");
    int (*const changes[]) (void) = { s_other_files, s_other_name, s_other_user };
    for (size_t index = 0; index < sizeof changes / sizeof *changes; index++) {
        s_child (changes[index], other, sizeof other);       //  Without the right: "-"
        CU_ASSERT (strcmp (other, mine) != 0);
    }
}

int main (void)
{
    alarm (30);
    CU_initialize_registry ();
    CU_ADD_TEST (CU_add_suite ("host", NULL, NULL), test_same_host);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
