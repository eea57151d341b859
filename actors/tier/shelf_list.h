//  actors/tier/shelf_list.h - what a node has on a shelf: its segments and what their tables say, less what was removed.
//  Blocks; run by threads that may be left behind.
#ifndef UMBP_SHELF_LIST_H
#define UMBP_SHELF_LIST_H

#include "actors/tier/shelf_file.h"

#define UMBP_SHELF_SEGMENTS_MAX 262144
#define UMBP_SHELF_RECORDS_MAX (UINT32_C (1) << 24)
#define UMBP_SHELF_SWEEP_S 3600         //  What is being written under a temporary name may be so old

typedef struct {
    uint64_t epoch, counter, id, bytes;
    uint32_t *gone;                     //  place / 8 of what was removed, ascending
    size_t gone_count;
} umbp_shelf_segment_found_t;

typedef struct {
    uint32_t segment;                   //  In the list
    umbp_log_note_t note;               //  Its key is at key in the list's keys
    uint64_t key;
} umbp_shelf_record_found_t;

typedef struct {                        //  A file of another node, of what it removed while it served the segment
    uint64_t epoch, counter;
    char suffix[17];
} umbp_shelf_gone_found_t;

typedef struct {
    umbp_shelf_segment_found_t *segments;   //  By epoch and counter, ascending
    size_t segment_count, segment_room;
    umbp_shelf_record_found_t *records;     //  In the order of their segments
    size_t record_count, record_room;
    umbp_shelf_gone_found_t *gones;
    size_t gone_count, gone_room;
    uint8_t *keys;
    size_t key_bytes, key_room;
    uint64_t torn, bad;                 //  Records, and tables and heads, that are damaged
    uint64_t swept;                     //  Files that were removed
    uint64_t serial;                    //  The highest
} umbp_shelf_list_t;

typedef struct {
    const char *folder;                 //  Of the node
    const char *node;
    bool own;                           //  What is left over of former lives is removed
    uint64_t epoch;                     //  Ours, then
    umbp_task_t *task;                  //  Told that it gets on
} umbp_shelf_list_args_t;

//  Returns 0 or an errno. A segment that cannot be read is left out and counted; so is one of which it cannot be read, or is
//  damaged, what was removed from it, and that stays where it is.
int umbp_shelf_list (umbp_shelf_list_t *list, const umbp_shelf_list_args_t *args);
void umbp_shelf_list_free (umbp_shelf_list_t *list);

#endif
