//  actors/tier/shelf_self.h - the state of a shelf, shared by the files that make it up: shelf.c (records, segments,
//  removal, time), shelf_write.c (segments being written), shelf_read.c, shelf_open.c. Nobody else includes this.
#ifndef UMBP_SHELF_SELF_H
#define UMBP_SHELF_SELF_H

#include "actors/tier/completions.h"
#include "actors/tier/mount.h"
#include "actors/tier/shelf.h"
#include "actors/tier/shelf_list.h"

#define UMBP_SHELF_NONE UINT32_MAX
#define UMBP_SHELF_CHUNK 65536          //  Records allocated at a time
#define UMBP_SHELF_WORKS_MAX 4096       //  Tasks of callers under way
#define UMBP_SHELF_CHORES_MAX                                                                      \
    8 //  Files of segments that are deleted at a time; files of removals that are written
#define UMBP_SHELF_BATCHES_MAX 4        //  Segments being written
#define UMBP_SHELF_BATCHES_STRICT 32    //  ... each of one block
#define UMBP_SHELF_ADOPTED_MAX (UINT32_C (1) << 23)          //  Records of others

typedef enum {
    UMBP_SHELF_OPEN,
    UMBP_SHELF_WRITE,
    UMBP_SHELF_PUBLISH,
    UMBP_SHELF_DISCARD,
    UMBP_SHELF_READ,
    UMBP_SHELF_GONE,
    UMBP_SHELF_UNLINK,
    UMBP_SHELF_PROBE,
    UMBP_SHELF_LIST,
    UMBP_SHELF_FOLDERS,
} umbp_shelf_kind_t;

//  A record that is there: in the list of its segment
typedef struct {
    uint32_t segment, prev, next, item;
    uint32_t place8, size, turn;
    uint16_t key_size;
    bool used;
} umbp_shelf_slot_t;

typedef struct {
    uint64_t epoch, counter, id;
    uint64_t bytes, live_bytes;
    uint32_t live, first;               //  Records
    uint32_t older, newer;              //  As they leave: sparse ones, then by age; of others: in no order
    uint32_t owner;                     //  0: we; else its place in the others
    uint32_t readers;
    uint32_t *gone, gone_count, gone_room;           //  place / 8, ascending once written
    int64_t dirty_since;                //  Removals not on disk yet; 0: all are
    uint64_t unsafe;                    //  The first removal (umbp_shelf.removals) that may come back; 0: none
    uint64_t unsafe_next;               //  ... of those that came while earlier ones were on their way
    bool sparse;                        //  Less than a quarter is left
    bool going, deleting,
        telling; //  Nothing is left; its file is being deleted; removals are on their way
} umbp_shelf_segment_t;

typedef struct umbp_shelf_work umbp_shelf_work_t;

//  A segment that is being written
typedef struct umbp_shelf_batch {
    uint64_t counter, id, tail;
    const char *folder, *node;
    uint64_t epoch;
    umbp_shelf_mode_t mode;
    int file;                           //  -1: not there yet
    int64_t since;
    uint64_t entry_bytes;
    unsigned tasks, writing;            //  With the threads; records not written yet
    bool opened, closing, publishing, dead;          //  dead: given up
    umbp_shelf_work_t *first, **end;    //  Its records
    uint8_t *table;
    size_t table_bytes;
    struct umbp_shelf_batch *next;
} umbp_shelf_batch_t;

struct umbp_shelf_work {
    umbp_task_t task;
    umbp_shelf_kind_t kind;
    int error;
    umbp_shelf_batch_t *batch;
    umbp_shelf_work_t *next;            //  In its batch
    bool given, ended, told;            //  A thread has it; it is back; the owner heard of it
    bool silent;                        //  No event is said of it
    bool overdue;                       //  ... that its time is over: and will hear when its memory is free
    uint32_t segment, item;
    uint64_t tag;
    umbp_log_note_t note;
    uint8_t *stage;                     //  Head and key; or a file's bytes
    size_t stage_bytes;
    umbp_shelf_ask_t ask;
    char *path, *name;                  //  name: in our folder
    const char *folder;
    umbp_shelf_mode_t mode;
    umbp_shelf_list_args_t list_args;
    umbp_shelf_list_t list;
    unsigned count;
    struct iovec iov[];
};

struct umbp_shelf {
    umbp_shelf_args_t args;
    char *folder, *node, *directory;
    char mount[1024];
    int lock;
    umbp_hands_t *hands;
    int64_t now;
    uint64_t counter, serial;

    umbp_shelf_slot_t **chunks;
    uint32_t chunk_count, record_free;
    uint64_t record_count;
    umbp_shelf_segment_t *segments;
    uint32_t segment_count, segment_room, segment_free;      //  free: by older
    uint32_t oldest, newest;
    uint32_t foreign;                   //  First of those of others, which came by umbp_shelf_adopted
    char *others[UMBP_SHELF_OTHERS_MAX + 1];         //  Their names, from 1 on
    uint64_t foreign_count, foreign_bytes;           //  Records, and their bytes
    uint64_t used_bytes, going_bytes, live_bytes;
    uint32_t going_count;               //  Segments of which nothing is left, and whose files are there still
    uint32_t dirty, again;              //  Segments with removals that wait; those to be deleted again, by older
    int64_t again_at;
    uint32_t doomed, doomed_last;       //  Those to be deleted as soon as may be, by older
    unsigned deletings, tellings;       //  Deletions, and files of removals, that are with the threads
    uint32_t tell_next;                 //  Removals of the segments from there on go to disk next
    bool tell_more;                     //  ... and have waited for others
    uint64_t removals;                  //  So far
    uint32_t unsafe;                    //  Segments some of whose removals may come back

    umbp_shelf_batch_t *batches, *open;
    unsigned batch_count, works, records_under_way;
    bool failed, probing;
    int64_t failed_at, probed_at, full_until, bad_until;
    int bad_state;

    umbp_completions_t completions;
    umbp_medium_keep_fn *keep;
    void *keep_arg;
    umbp_shelf_list_t found;            //  Of our own, until recovered is through
    size_t found_next;
    uint64_t *found_at;
    umbp_shelf_list_t scan;
    size_t scan_next;
    char *scan_node;
    uint32_t *scan_segments;            //  Ours of each that the scan found; NONE: none yet
    bool scanning;
    int scan_status;
    char *names;                        //  Folders that were found, each with its NUL
    size_t names_bytes;
    bool looking;
    umbp_medium_stats_t stats;
};

static inline umbp_shelf_slot_t *umbp_shelf_slot (const umbp_shelf_t *self, uint32_t record)
{
    return &self->chunks[record / UMBP_SHELF_CHUNK][record % UMBP_SHELF_CHUNK];
}

//  shelf.c
void umbp_shelf_say (umbp_shelf_t *self, umbp_medium_event_type_t type, int status, uint32_t item,
                     uint64_t tag, uint64_t at);
int umbp_shelf_status (int error);
int umbp_shelf_state (const umbp_shelf_t *self);
//  What an error of a call makes of the shelf; of one that never was, nothing
void umbp_shelf_heed (umbp_shelf_t *self, const umbp_shelf_work_t *work);
umbp_shelf_work_t *umbp_shelf_work_new (umbp_shelf_kind_t kind, unsigned iov_count);
void umbp_shelf_work_free (umbp_shelf_work_t *work);
void umbp_shelf_give (umbp_shelf_t *self, umbp_shelf_work_t *work);

//  shelf_segments.c
uint32_t umbp_shelf_add_segment (umbp_shelf_t *self, const umbp_shelf_segment_t *as);
uint64_t umbp_shelf_add_record (umbp_shelf_t *self, uint32_t segment, const umbp_log_note_t *note,
                                uint32_t item);         //  Returns its at; UINT64_MAX: too many
void umbp_shelf_drop_record (umbp_shelf_t *self, uint32_t record);
umbp_shelf_slot_t *umbp_shelf_find (const umbp_shelf_t *self, uint64_t at);
uint64_t umbp_shelf_at (const umbp_shelf_t *self, uint32_t record);
uint32_t umbp_shelf_after (const umbp_shelf_t *self,
                           uint32_t segment); //  Ours, then those of others
char *umbp_shelf_name_of (const umbp_shelf_t *self, const umbp_shelf_segment_t *segment,
                          const char *suffix);
void umbp_shelf_rank (umbp_shelf_t *self,
                      uint32_t segment); //  It leaves first if little of it is left
void umbp_shelf_settle (umbp_shelf_t *self, uint32_t segment);   //  Delete it if nobody needs it
void umbp_shelf_deleted (umbp_shelf_t *self, umbp_shelf_work_t *work);       //  A task of that is back
//  What could not be deleted is tried again: its blocks would come back with the next start
void umbp_shelf_delete_again (umbp_shelf_t *self);
//  Removals go to disk, those whose time has come. Returns true if nothing was left over.
bool umbp_shelf_tell_all (umbp_shelf_t *self, int64_t now);
void umbp_shelf_told (umbp_shelf_t *self, umbp_shelf_work_t *work);          //  A task of that is back
bool umbp_shelf_flush (umbp_shelf_t *self);             //  All removals are on their way. True: there are none
//  Segments leave, as many as have to, for so many bytes more, and for one segment more
void umbp_shelf_make_room (umbp_shelf_t *self, uint64_t bytes);
//  As many segments as there may be, those apart that are being written
static inline uint32_t umbp_shelf_segments_most (const umbp_shelf_t *self)
{
    return self->args.segments - UMBP_SHELF_BATCHES_STRICT;
}

//  shelf_others.c
void umbp_shelf_listed (umbp_shelf_t *self, umbp_shelf_work_t *work);        //  Folders
void umbp_shelf_others_free (umbp_shelf_t *self);

//  shelf_write.c
void umbp_shelf_wrote (umbp_shelf_t *self, umbp_shelf_work_t *work);        //  A task of a batch is back
void umbp_shelf_write_late (umbp_shelf_t *self, umbp_shelf_work_t *work);
void umbp_shelf_close_batch (umbp_shelf_t *self);
void umbp_shelf_go_on_all (umbp_shelf_t *self);         //  Those that waited for the mount
void umbp_shelf_batches_free (umbp_shelf_t *self);

//  shelf_read.c
void umbp_shelf_read_ended (umbp_shelf_t *self, umbp_shelf_work_t *work);
void umbp_shelf_read_late (umbp_shelf_t *self, umbp_shelf_work_t *work);

#endif
