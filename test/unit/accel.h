//  test/unit/accel.h - where accelerator libraries of tests are, and their variables
#ifndef UMBP_TEST_ACCEL_H
#define UMBP_TEST_ACCEL_H

#include <CUnit/Basic.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

//  Of the build folder; good until the next call but three
static inline const char *accel_path (const char *format, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4], file[128];
    const char *build = getenv ("UMBP_BUILD");
    snprintf (file, sizeof file, format, name);
    snprintf (path, sizeof *paths, "%s/%s", build ? build : "build", file);
    return path;
}

#define FIXTURE(name) accel_path ("test/accel/libfixture-%s.so", name)
#define VENDOR(name) accel_path ("test/accel/lib%s.so", name)
#define PROVIDER(name) accel_path ("lib/libaccelerator_%s.so", name)

//  Load it ahead of whoever wants it by its SONAME
static inline void *accel_load (const char *path)
{
    void *library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        printf ("%s\n", dlerror ());
    CU_ASSERT_PTR_NOT_NULL_FATAL (library);
    return library;
}

//  A variable of it
#define ACCEL_VARIABLE(library, type, name) (*(type *) dlsym (library, name))

#endif
