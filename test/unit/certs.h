//  test/unit/certs.h - certificates in a folder of their own, for tests
#ifndef UMBP_TEST_CERTS_H
#define UMBP_TEST_CERTS_H

#include "cluster/keyring.h"
#include "proto/error.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char certs_room[64];

//  Before the suite, and after it
static inline int certs_start (void)
{
    snprintf (certs_room, sizeof certs_room, "/tmp/umbp-certs-XXXXXX");
    return mkdtemp (certs_room) ? 0 : 1;
}

static inline int certs_stop (void)
{
    char command[128];
    snprintf (command, sizeof command, "rm -rf '%s'", certs_room);
    return system (command);
}

//  A path in the room; 16 of them are good at a time
static inline const char *certs_path (const char *name)
{
    static char paths[16][192];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    snprintf (path, sizeof paths[0], "%s/%s", certs_room, name);
    return path;
}

static inline const char *certs_folder (const char *name)
{
    const char *path = certs_path (name);
    mkdir (path, 0700);
    return path;
}

//  A new pair. Returns its path.
static inline const char *certs_make (const char *name, umbp_curve_words_t words)
{
    char why[512] = "";
    const char *path = certs_path (name);
    CU_ASSERT_FATAL (umbp_curve_make (path, &words, why, sizeof why) == 0);
    return path;
}

static inline void certs_write (const char *path, const char *text)
{
    FILE *file = fopen (path, "w");
    CU_ASSERT_FATAL (file != NULL);
    fputs (text, file);
    fclose (file);
}

//  The public part alone, as it is handed to others
static inline void certs_hand_out (const char *from, const char *to)
{
    char text[4096];
    FILE *file = fopen (from, "r");
    CU_ASSERT_FATAL (file != NULL);
    text[fread (text, 1, sizeof text - 1, file)] = 0;
    fclose (file);
    certs_write (to, text);
}

#endif
