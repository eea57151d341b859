//  actors/tier/shelf_file.h - what a shelf does to its files, one blocking call sequence each: run by threads that may
//  be left behind (hands.h), so nothing here touches a shelf. All return 0 or an errno; EBADMSG: damaged.
//
//  A segment is <folder>/<node>/<node>.<epoch>.<counter>.seg, in the format of a segment of the log
//  (doc/log-format.md); .tmp while it is written; .gone names what was removed from it. See doc/architecture.md.
#ifndef UMBP_SHELF_FILE_H
#define UMBP_SHELF_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "actors/tier/hands.h"
#include "actors/tier/log_format.h"

#define UMBP_SHELF_NAME_MAX 384         //  Node, numbers and suffix
#define UMBP_SHELF_PATH_MAX 1536

typedef enum { UMBP_SHELF_RELAXED, UMBP_SHELF_COMMIT, UMBP_SHELF_STRICT } umbp_shelf_mode_t;

//  By its name: relaxed, commit, strict. Returns it, or UMBP_EINVAL.
int umbp_shelf_mode (const char *name);

void umbp_shelf_name (char out[UMBP_SHELF_NAME_MAX], const char *node, uint64_t epoch,
                      uint64_t counter, const char *suffix);
//  Of the file that names what we removed from a segment of another node
void umbp_shelf_gone_suffix (char out[17], const char *node);
//  What follows the numbers; NULL: not a name of this node's files
const char *umbp_shelf_parse (const char *name, const char *node, uint64_t *epoch_p,
                              uint64_t *counter_p);

//  Make a segment's file, with its head. Leaves file_p alone if that fails: nothing is open then.
int umbp_shelf_create (const char *path, const umbp_log_head_t *head, bool dsync, int *file_p);
int umbp_shelf_write (int file, const char *path, struct iovec *iov, unsigned count,
                      uint64_t offset);

typedef struct {
    const char *folder, *tmp, *name;    //  Names in the folder
    int file;                           //  Closed in any case
    umbp_shelf_mode_t mode;
    const uint8_t *table;               //  With the trailer
    size_t table_bytes;
    uint64_t table_at;
} umbp_shelf_publish_t;

//  Table, fdatasync, close, rename, fsync of the folder. After an error there is neither name, as far as it goes.
int umbp_shelf_publish (const umbp_shelf_publish_t *how);

//  A small file, written in the same way; it replaces what has the name
int umbp_shelf_put_file (const char *folder, const char *name, const void *bytes, size_t size,
                         umbp_shelf_mode_t mode);
int umbp_shelf_get_file (const char *path, uint8_t **bytes_p, size_t *size_p);   //  Caller frees
int umbp_shelf_unlink (const char *folder, const char *name);    //  What is not there is no error
//  Names that came and went there stay as they are, also when the power is lost; relaxed: nothing is done
int umbp_shelf_settle_names (const char *folder, umbp_shelf_mode_t mode);
struct dirent *umbp_shelf_next (DIR *folder, const char *path,
                                int *error_p); //  NULL: that was all, or an error
int umbp_shelf_probe (const char *folder);                       //  Does the mount answer?

typedef struct {
    const char *path;
    uint64_t id, seq;                   //  Of the segment; 0, 0: as its head says
    uint64_t place;
    uint32_t size;                      //  Of the block
    uint16_t key_size;
    const uint8_t *key;                 //  NULL: whichever
    uint32_t offset, length;            //  Of its data; the sum is compared if that is all
    const struct iovec *data;
    unsigned count;
    bool patient;                       //  The name may not be seen yet: ENOENT is asked again, thrice
} umbp_shelf_ask_t;

//  The file is opened anew, and once more after ESTALE and EIO
int umbp_shelf_read_file (const umbp_shelf_ask_t *ask);

//  Removed records of a segment: a file of them, and back. places: place / 8, ascending.
uint8_t *umbp_shelf_put_gone (uint64_t id, const uint32_t *places, size_t count, size_t *size_p);
bool umbp_shelf_get_gone (uint64_t id, const uint8_t *bytes, size_t size, const uint32_t **places_p,
                          size_t *count_p);

//  Tests define these; nobody else does. A named point was passed. What comes of a call: 0 as it is, or the errno with
//  which it fails; it may block, as a mount that hangs does. How many bytes are transferred of so many.
void umbp_shelf_point (const char *name) __attribute__ ((weak));
int umbp_shelf_fault (const char *call, const char *path) __attribute__ ((weak));
size_t umbp_shelf_short (size_t bytes) __attribute__ ((weak));

static inline void umbp_shelf_pass (const char *name)
{
    if (umbp_shelf_point)
        umbp_shelf_point (name);
}

static inline int umbp_shelf_ill (const char *call, const char *path)
{
    return umbp_shelf_fault ? umbp_shelf_fault (call, path) : 0;
}

#endif
