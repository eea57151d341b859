//  accel/find.h - which accelerator library a node loads. The first of these that says something:
//
//      the setting device/library: a path, or off
//      UMBP_ACCEL_LIB, TF_ACCELERATOR_LIB_PATH, TENSOR_FUSION_ACCELERATOR_LIB
//      the vendor whose driver is there: libaccelerator_<vendor>.so, where libraries of ours lie
//      (beside the program, ../lib, /usr/local/lib, /usr/lib, /usr/lib/umbp), then in
//      /usr/lib/tensor-fusion and /run/tensor-fusion
//      UMBP_MOCK_GPUS or GPU_GO_MOCK_GPUS: libaccelerator_mock.so, found in the same way
//
//  A library is code that runs as the node, so a path that others may change is refused.
#ifndef UMBP_FIND_H
#define UMBP_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"

#define UMBP_FIND_PATH_MAX 256
#define UMBP_FIND_WHY_MAX 512

typedef const char *(umbp_find_env_fn) (const char *name);       //  As getenv

typedef struct {
    const char *setting;                //  Of device/library; empty: look for it
    const char *root;                   //  In front of /dev, /proc and folders of libraries: ""
    const char *own;                    //  Folder of our own libraries, NULL: found by the program's
    bool insecure;                      //  Take paths that others may change
    umbp_find_env_fn *env;              //  NULL: the process's
} umbp_find_args_t;

//  Returns 0 with the path, 0 with an empty path if there is no accelerator to look after, and why
//  says so; or UMBP_EINVAL with why if what was named must not be taken.
int umbp_find_library (const umbp_find_args_t *args, char path[UMBP_FIND_PATH_MAX],
                       char why[UMBP_FIND_WHY_MAX]);

//  "libaccelerator_nvidia.so" of NVIDIA, AMD, Ascend, MooreThreads, PPU in any case; of others the
//  example's
const char *umbp_find_file (const char *vendor);

//  0, or UMBP_EINVAL with why: it is not absolute, not there, no file, or others may write it, its
//  folder, or one above
int umbp_find_check (const char *path, char why[UMBP_FIND_WHY_MAX]);

#endif
