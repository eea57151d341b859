//  test/unit/test_find.c - which accelerator library is taken, and which must not be
#include "accel/find.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char s_room[] = "/tmp/umbp-find-XXXXXX";
static char s_path[UMBP_FIND_PATH_MAX], s_why[UMBP_FIND_WHY_MAX];

//  What the environment is in this test: "NAME=value" each
static const char *s_variables[8];

static const char *s_env (const char *name)
{
    for (size_t row = 0; row < 8 && s_variables[row]; row++)
        if (strncmp (s_variables[row], name, strlen (name)) == 0
            && s_variables[row][strlen (name)] == '=')
            return s_variables[row] + strlen (name) + 1;
    return NULL;
}

//  A file of these rights in our room, with the folders above it. Returns its path, good for a while.
static const char *s_file (const char *name, mode_t mode)
{
    static char paths[16][256];
    static unsigned next;
    char *path = paths[next++ % 16], folder[256];
    snprintf (path, sizeof *paths, "%s/%s", s_room, name);
    for (char *slash = path + strlen (s_room); (slash = strchr (slash + 1, '/'));) {
        snprintf (folder, sizeof folder, "%.*s", (int) (slash - path), path);
        mkdir (folder, 0755);
    }
    FILE *file = fopen (path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL (file);
    fclose (file);
    chmod (path, mode);
    return path;
}

static int s_find (const char *setting, bool insecure)
{
    char own[256];
    snprintf (own, sizeof own, "%s/own", s_room);
    umbp_find_args_t args = { .setting = setting,
                              .root = s_room,
                              .own = own,
                              .insecure = insecure,
                              .env = s_env };
    return umbp_find_library (&args, s_path, s_why);
}

//  ABI-02
static void test_vendors (void)
{
    static const char *const rows[][2] = {
        { "NVIDIA", "libaccelerator_nvidia.so" },     { "nvidia", "libaccelerator_nvidia.so" },
        { "AMD", "libaccelerator_amd.so" },           { "Ascend", "libaccelerator_ascend.so" },
        { "MooreThreads", "libaccelerator_musa.so" }, { "PPU", "libaccelerator_ppu.so" },
        { "whoever", "libaccelerator_example.so" },
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        CU_ASSERT_STRING_EQUAL (umbp_find_file (rows[row][0]), rows[row][1]);
}

//  ABI-02: from the last to the first, each goes before those that were there
static void test_precedence (void)
{
    memset (s_variables, 0, sizeof s_variables);
    CU_ASSERT (s_find ("", false) == 0 && !*s_path);
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, "no driver"));
    const char *mock = s_file ("usr/lib/libaccelerator_mock.so", 0644);
    CU_ASSERT (s_find ("", false) == 0 && !*s_path);    //  Nobody asked for it
    s_variables[0] = "GPU_GO_MOCK_GPUS=2";
    CU_ASSERT (s_find ("", false) == 0);
    CU_ASSERT_STRING_EQUAL (s_path, mock);
    s_file ("dev/nvidiactl", 0666);
    CU_ASSERT (s_find ("", false) == 0);        //  A driver without a library: the mock still
    CU_ASSERT_STRING_EQUAL (s_path, mock);
    const char *theirs = s_file ("run/tensor-fusion/libaccelerator_nvidia.so", 0644);
    CU_ASSERT (s_find ("", false) == 0);
    CU_ASSERT_STRING_EQUAL (s_path, theirs);
    const char *own = s_file ("own/libaccelerator_nvidia.so", 0644);
    CU_ASSERT (s_find ("", false) == 0);
    CU_ASSERT_STRING_EQUAL (s_path, own);
    char last[300], middle[300], first[300];
    snprintf (last, sizeof last, "TENSOR_FUSION_ACCELERATOR_LIB=%s", s_file ("last.so", 0644));
    snprintf (middle, sizeof middle, "TF_ACCELERATOR_LIB_PATH=%s", s_file ("middle.so", 0644));
    snprintf (first, sizeof first, "UMBP_ACCEL_LIB=%s", s_file ("first.so", 0644));
    s_variables[1] = last;
    CU_ASSERT (s_find ("", false) == 0 && strstr (s_path, "/last.so"));
    s_variables[2] = middle;
    CU_ASSERT (s_find ("", false) == 0 && strstr (s_path, "/middle.so"));
    s_variables[3] = first;
    CU_ASSERT (s_find ("", false) == 0 && strstr (s_path, "/first.so"));
    const char *set = s_file ("set.so", 0644);
    CU_ASSERT (s_find (set, false) == 0 && strstr (s_path, "/set.so"));
    CU_ASSERT (s_find ("off", false) == 0 && !*s_path);
}

static void s_refused (const char *path, const char *says)
{
    CU_ASSERT (s_find (path, false) == UMBP_EINVAL);
    CU_ASSERT (!*s_path);
    if (!strstr (s_why, says))
        printf ("%s\n", s_why);
    CU_ASSERT_PTR_NOT_NULL (strstr (s_why, says));
}

static void test_unsafe_paths (void)
{
    memset (s_variables, 0, sizeof s_variables);
    s_refused ("lib.so", "give an absolute path");
    s_refused ("/nowhere/lib.so", "No such file");
    s_refused ("/tmp", "is no file");
    s_refused (s_file ("open.so", 0666), "anybody may write it");
    const char *inside = s_file ("folder/inside.so", 0644);
    char folder[256], link[256];
    snprintf (folder, sizeof folder, "%s/folder", s_room);
    chmod (folder, 0777);
    s_refused (inside, "/folder: chmod o-w it");
    //  By a link from a safe place as well
    snprintf (link, sizeof link, "%s/link.so", s_room);
    CU_ASSERT (symlink (inside, link) == 0);
    s_refused (link, "/folder: chmod o-w it");
    CU_ASSERT (s_find (inside, true) == 0 && *s_path);  //  Unless that is wanted
    chmod (folder, 01777);              //  As /tmp is: the file is ours to change alone
    CU_ASSERT (s_find (inside, false) == 0 && *s_path);
    chmod (folder, 0755);
    CU_ASSERT (s_find (inside, false) == 0 && *s_path);
    s_variables[0] = "UMBP_ACCEL_LIB=relative.so";      //  The environment is not trusted more
    s_refused ("", "give an absolute path");
}

//  ABI-01: nothing of a vendor's is linked
static void test_links_no_vendor (void)
{
    char command[512];
    const char *build = getenv ("UMBP_BUILD");
    snprintf (command, sizeof command,
              "readelf -d %s/bin/umbp-node %s/lib/libaccelerator_*.so | grep NEEDED "
              "| grep -E 'nvidia|cuda|amd|hip|rocm'",
              build ? build : "build", build ? build : "build");
    CU_ASSERT (system (command) != 0);
}

int main (void)
{
    alarm (60);
    umask (022);
    if (!mkdtemp (s_room))
        return 1;
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("find", NULL, NULL);
    CU_ADD_TEST (suite, test_vendors);
    CU_ADD_TEST (suite, test_precedence);
    CU_ADD_TEST (suite, test_unsafe_paths);
    CU_ADD_TEST (suite, test_links_no_vendor);
    CU_basic_run_tests ();
    char command[128];
    snprintf (command, sizeof command, "rm -r %s", s_room);
    return system (command) != 0 || CU_get_number_of_failures () > 0;
}
