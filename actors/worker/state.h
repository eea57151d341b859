//  actors/worker/state.h - the folder that we share with other programs: workers.json and
//  devices.json, each an array of objects. What we do not understand stays as it is.
//
//  Contract: whoever is killed at whatever moment, each file is the former or the new one, whole. A
//  file that changed since we read it is not overwritten: umbp_state_save says UMBP_ESTALE, and
//  nothing of either side is lost. Our own writes do not count as changes. No symlink is followed,
//  neither for the files nor for the folder, which must be ours alone to write. One process of ours
//  uses a folder at a time (flock on .umbp.lock).
//  A value: one owner, no thread. Reading and writing blocks on the disk.
#ifndef UMBP_WORKER_STATE_H
#define UMBP_WORKER_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define UMBP_STATE_BYTES_MAX (16u << 20)    //  Of a file
#define UMBP_STATE_BADS_MAX 10          //  Files that were kept aside, of each

typedef enum { UMBP_STATE_WORKERS, UMBP_STATE_DEVICES, UMBP_STATE_FILES } umbp_state_file_t;

typedef struct umbp_state umbp_state_t;

//  Make the folder (0700) unless it is there, and take it. Returns NULL, with *err and why: it is a
//  symlink or a file, others may write to it, or UMBP_EEXIST: another process of ours has it.
umbp_state_t *umbp_state_new (const char *dir, int *err, char *why, size_t size);
void umbp_state_destroy (umbp_state_t **self_p);

//  Readable when something in the folder changed; -1: there is no inotify, look from time to time
int umbp_state_fd (const umbp_state_t *self);

//  Forget what made it readable
void umbp_state_drain (umbp_state_t *self);

//  Read a file if it may have changed. Returns 1 if its content differs from what we know, which is
//  that from then on; 0 if it does not. A missing file is an empty array; one that was there, after
//  2 s. UMBP_EINVAL: it is no JSON
//  array, is too large or no regular file; what we know stays, and why says where the fault is.
//  UMBP_EIO: it could not be read. The same bad content is said once, and is 0 from then on.
int umbp_state_read (umbp_state_t *self, umbp_state_file_t file, char *why, size_t size);

//  Whether the file is known to be bad
bool umbp_state_is_bad (const umbp_state_t *self, umbp_state_file_t file);

//  Move a bad file to NAME.bad, or NAME.bad.1 and so on, so that it can be written anew. Returns 0
//  with its new name, or UMBP_EIO.
int umbp_state_put_aside (umbp_state_t *self, umbp_state_file_t file, char *name, size_t size);

//  What we know of it: an array, good until the next call
const json_t *umbp_state_records (const umbp_state_t *self, umbp_state_file_t file);

//  Write it. Returns 0; UMBP_ESTALE: somebody else changed it since it was read, so read, merge and
//  try again; UMBP_EIO: the former one stays, and why says what failed.
int umbp_state_save (umbp_state_t *self, umbp_state_file_t file, const json_t *records, char *why,
                     size_t size);

//  For tests: fn is called before each step of a save, with its name
//  (create, write, sync, swap, check, sweep, sync_dir)
typedef void (umbp_state_step_fn) (void *arg, const char *step);
void umbp_state_set_step (umbp_state_t *self, umbp_state_step_fn *fn, void *arg);

#endif
