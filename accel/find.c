//  accel/find.c - which accelerator library a node loads. See find.h.
#include "accel/find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *vendor, *file;
    const char *sign;                   //  There if its driver is; NULL: cannot be told
} s_vendors[] = {
    { "NVIDIA", "libaccelerator_nvidia.so", "/dev/nvidiactl" },
    { "AMD", "libaccelerator_amd.so", "/dev/kfd" },
    { "Ascend", "libaccelerator_ascend.so", "/dev/davinci_manager" },
    { "MooreThreads", "libaccelerator_musa.so", "/dev/mtgpu.0" },
    { "PPU", "libaccelerator_ppu.so", "/dev/alixpu" },
    { "mock", "libaccelerator_mock.so", NULL },
};

#define VENDORS (sizeof s_vendors / sizeof *s_vendors)

const char *umbp_find_file (const char *vendor)
{
    for (size_t row = 0; row < VENDORS; row++)
        if (strcasecmp (s_vendors[row].vendor, vendor) == 0)
            return s_vendors[row].file;
    return "libaccelerator_example.so";
}

//  --------------------------------------------------------------------------------------------------
//  Safety

static int s_refuse (char why[UMBP_FIND_WHY_MAX], const char *path, const char *what)
{
    snprintf (why, UMBP_FIND_WHY_MAX, "accelerator library %.220s: %s", path, what);
    return UMBP_EINVAL;
}

//  The folders above: where anybody may write, anybody may put another file in place; in a folder
//  like /tmp only what is his own
static int s_check_folders (const char *path, char why[UMBP_FIND_WHY_MAX])
{
    char folder[UMBP_FIND_PATH_MAX], what[UMBP_FIND_PATH_MAX];
    struct stat status;
    snprintf (folder, sizeof folder, "%s", path);
    for (char *slash = strrchr (folder, '/'); slash; slash = strrchr (folder, '/')) {
        *slash = 0;
        const char *name = *folder ? folder : "/";
        if (stat (name, &status) == 0 && (status.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH) {
            snprintf (what, sizeof what, "anybody may write to the folder %.180s: chmod o-w it",
                      name);
            return s_refuse (why, path, what);
        }
    }
    return 0;
}

int umbp_find_check (const char *path, char why[UMBP_FIND_WHY_MAX])
{
    struct stat status;
    char real[4096];
    if (*path != '/')
        return s_refuse (why, path, "give an absolute path");
    if (strlen (path) >= UMBP_FIND_PATH_MAX)
        return s_refuse (why, path, "the path is too long, 255 bytes are allowed");
    if (!realpath (path, real) || stat (real, &status) == -1)
        return s_refuse (why, path, strerror (errno));
    if (!S_ISREG (status.st_mode))
        return s_refuse (why, path, "is no file");
    if (status.st_mode & S_IWOTH)
        return s_refuse (why, path, "anybody may write it: chmod o-w it");
    int rc = s_check_folders (path, why);
    return rc < 0 || strlen (real) >= UMBP_FIND_PATH_MAX ? rc : s_check_folders (real, why);
}

//  --------------------------------------------------------------------------------------------------
//  Places

static bool s_there (const char *folder, const char *file, char path[UMBP_FIND_PATH_MAX])
{
    char whole[2 * UMBP_FIND_PATH_MAX];
    int size = snprintf (whole, sizeof whole, "%s/%s", folder, file);
    if (size >= UMBP_FIND_PATH_MAX || access (whole, R_OK) != 0)
        return false;
    memcpy (path, whole, (size_t) size + 1);
    return true;
}

//  The folder of the program that runs
static void s_own_folder (char *out, size_t size)
{
    ssize_t length = readlink ("/proc/self/exe", out, size - 1);
    out[length > 0 ? length : 0] = 0;
    char *slash = strrchr (out, '/');
    if (slash)
        *slash = 0;
}

static bool s_search (const umbp_find_args_t *args, const char *file, char path[UMBP_FIND_PATH_MAX])
{
    static const char *const system[] = { "/usr/local/lib", "/usr/lib", "/usr/lib/umbp",
                                          "/usr/lib/tensor-fusion", "/run/tensor-fusion" };
    char folder[UMBP_FIND_PATH_MAX], place[UMBP_FIND_PATH_MAX + 16];
    if (args->own)
        snprintf (folder, sizeof folder, "%s", args->own);
    else
        s_own_folder (folder, sizeof folder);
    if (*folder && s_there (folder, file, path))
        return true;
    snprintf (place, sizeof place, "%s/../lib", folder);
    if (*folder && !args->own && s_there (place, file, path))
        return true;
    for (size_t row = 0; row < sizeof system / sizeof *system; row++) {
        snprintf (place, sizeof place, "%.200s%s", args->root ? args->root : "", system[row]);
        if (s_there (place, file, path))
            return true;
    }
    return false;
}

static const char *s_env (const umbp_find_args_t *args, const char *name)
{
    const char *value = args->env ? args->env (name) : getenv (name);
    return value ? value : "";
}

//  Of a driver that is there, or of the mock if that is asked for; empty if neither
static void s_guess (const umbp_find_args_t *args, char path[UMBP_FIND_PATH_MAX],
                     char why[UMBP_FIND_WHY_MAX])
{
    char sign[UMBP_FIND_PATH_MAX];
    for (size_t row = 0; row < VENDORS; row++) {
        snprintf (sign, sizeof sign, "%.200s%s", args->root ? args->root : "",
                  s_vendors[row].sign ? s_vendors[row].sign : "");
        if (!s_vendors[row].sign || access (sign, F_OK) != 0)
            continue;
        if (s_search (args, s_vendors[row].file, path))
            return;
        snprintf (why, UMBP_FIND_WHY_MAX,
                  "a driver of %s is there, but no %s: install it, or name one in device/library",
                  s_vendors[row].vendor, s_vendors[row].file);
    }
    if (!*s_env (args, "UMBP_MOCK_GPUS") && !*s_env (args, "GPU_GO_MOCK_GPUS")) {
        if (!*why)
            snprintf (why, UMBP_FIND_WHY_MAX, "no driver of an accelerator is there");
        return;
    }
    if (!s_search (args, umbp_find_file ("mock"), path))
        snprintf (why, UMBP_FIND_WHY_MAX,
                  "mock devices are asked for, but there is no libaccelerator_mock.so: make all");
}

int umbp_find_library (const umbp_find_args_t *args, char path[UMBP_FIND_PATH_MAX],
                       char why[UMBP_FIND_WHY_MAX])
{
    static const char *const names[] = { "UMBP_ACCEL_LIB", "TF_ACCELERATOR_LIB_PATH",
                                         "TENSOR_FUSION_ACCELERATOR_LIB" };
    const char *named = args->setting && *args->setting ? args->setting : "";
    path[0] = why[0] = 0;
    if (strcmp (named, "off") == 0) {
        snprintf (why, UMBP_FIND_WHY_MAX, "device/library is off");
        return 0;
    }
    for (size_t row = 0; !*named && row < sizeof names / sizeof *names; row++)
        named = s_env (args, names[row]);
    if (!*named)
        s_guess (args, path, why);
    else if (strlen (named) < UMBP_FIND_PATH_MAX)
        snprintf (path, UMBP_FIND_PATH_MAX, "%s", named);
    else
        return umbp_find_check (named, why);
    if (!*path || args->insecure)
        return 0;
    int rc = umbp_find_check (path, why);
    if (rc < 0)
        path[0] = 0;
    return rc;
}
