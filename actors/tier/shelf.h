//  actors/tier/shelf.h - blocks on a file system that many nodes mount: each node writes segments of its own, and
//  all can read them without it.
//
//  A segment is written under a temporary name, synced, closed, renamed, its folder synced, and only then spoken of: once
//  it is full, or 50 ms after its first block. Nothing is changed in place. What is removed is named by a small file
//  beside its segment; a segment of which all is gone is deleted. There is no cleaning: for room the oldest segments
//  leave, those first of which little is left. See doc/architecture.md, "The shelf".
//
//  Every call on files is made by threads that can be left behind (hands.h). A mount that hangs stops those: what
//  waited ends with UMBP_ETIMEDOUT, nothing more is begun, and again and again it is asked whether it answers again.
//
//  A value: one owner, called from one thread, no time of its own. Only open and close block, for a bounded time. What
//  it says and is asked is as with the segment log (log.h): a depot drives either (medium.h). Memory: 40 bytes a record,
//  and what is under way.
#ifndef UMBP_SHELF_H
#define UMBP_SHELF_H

#include "actors/tier/log.h"
#include "actors/tier/shelf_file.h"

#define UMBP_SHELF_CLOSE_MS 50          //  A segment is closed so long after its first block
#define UMBP_SHELF_FULL_MS 30000        //  Nothing is written for so long after the file system was full
#define UMBP_SHELF_THREADS 8
#define UMBP_SHELF_OTHERS_MAX 1024      //  Nodes that have a folder in one directory

typedef struct umbp_shelf umbp_shelf_t;

typedef struct {
    const char *directory;              //  Of all nodes; ours is a folder in it. Created if absent
    const char *node;                   //  Ours: no two that run may have one name
    uint64_t epoch;                     //  Ours: higher with each start
    uint64_t capacity_bytes;            //  Of our segments
    uint64_t segment_bytes;             //  0: 256 MiB. A larger block has a segment of its own
    uint32_t segments;                  //  At most so many, > 64; 0: UMBP_SHELF_SEGMENTS_MAX
    umbp_shelf_mode_t
        mode; //  relaxed: written and renamed; commit: and synced; strict: each block by itself
    unsigned
        deadline_ms; //  Of a request; after as long what failed is tried again, and a mount that
                                        //  hangs is asked; 0: 5000
} umbp_shelf_args_t;

//  Finds what we have there (tables only), removes what former lives left over. NULL: why says what, to what, and what to
//  do. Blocks; gives up when the mount says nothing for deadline_ms.
umbp_shelf_t *umbp_shelf_open (const umbp_shelf_args_t *args, char *why, size_t why_size);

//  Publishes what was handed in, waits for what is under way, at most deadline_ms. False: the mount did not let go of
//  all; then the memory of what is under way is its own for as long as the process lives.
bool umbp_shelf_close (umbp_shelf_t **self_p);

//  As umbp_log_*. recovered: the newest first. append: also UMBP_ENOSPC while the file system is full. read: the whole of a
//  block is compared with its sum, UMBP_ECHECKSUM; UMBP_EUNREACH while the mount hangs, and for EIO and ESTALE: nothing is lost then.
bool umbp_shelf_recovered (umbp_shelf_t *self, umbp_medium_record_t *record, uint64_t *at_p);
void umbp_shelf_set_item (umbp_shelf_t *self, uint64_t at, uint32_t item);
int umbp_shelf_append (umbp_shelf_t *self, const umbp_medium_record_t *record,
                       const struct iovec *data, size_t count, uint32_t item, uint64_t tag);
int umbp_shelf_read (umbp_shelf_t *self, uint64_t at, uint32_t offset, uint32_t length,
                     const struct iovec *data, size_t count, uint64_t tag);
int umbp_shelf_remove (umbp_shelf_t *self, uint64_t at);
int umbp_shelf_fd (umbp_shelf_t *self);
bool umbp_shelf_event (umbp_shelf_t *self, umbp_medium_event_t *event);
void umbp_shelf_tick (umbp_shelf_t *self, int64_t now_ms);
void umbp_shelf_set_keep (umbp_shelf_t *self, umbp_medium_keep_fn *keep, void *arg);
void umbp_shelf_evict (umbp_shelf_t *self, uint64_t bytes);
uint64_t umbp_shelf_evicting (const umbp_shelf_t *self);             //  0: what leaves does so at once
uint64_t umbp_shelf_mark (umbp_shelf_t *self);
bool umbp_shelf_is_past (const umbp_shelf_t *self, uint64_t mark);
//  state: UMBP_ETIMEDOUT while the mount hangs
umbp_medium_stats_t umbp_shelf_stats (const umbp_shelf_t *self);

//  It, for a depot. Takes the shelf.
umbp_medium_t umbp_shelf_medium (umbp_shelf_t **self_p);

//  Of such a medium; NULL: it is another one
umbp_shelf_t *umbp_shelf_of (const umbp_medium_t *medium);

//  Where a record is for everybody who mounts the directory
typedef struct {
    char node[256];
    uint64_t epoch, counter, place;
} umbp_shelf_where_t;

bool umbp_shelf_where (const umbp_shelf_t *self, uint64_t at, umbp_shelf_where_t *where);

//  Read a block of anybody without asking its node. record: key and size have to match. Its sum is compared. UMBP_MEDIUM_READ
//  says with the tag: 0, UMBP_ENOENT (after three tries, 260 ms), UMBP_ECHECKSUM, ... Returns as umbp_shelf_read.
int umbp_shelf_fetch (umbp_shelf_t *self, const umbp_shelf_where_t *where,
                      const umbp_medium_record_t *record, const struct iovec *data, size_t count,
                      uint64_t tag);

//  List what another node has there: UMBP_MEDIUM_READ says with the tag when umbp_shelf_scanned can be asked, one by one,
//  the newest first. One scan at a time: UMBP_EAGAIN. Who may take over what is found is decided elsewhere.
int umbp_shelf_scan (umbp_shelf_t *self, const char *node, uint64_t tag);
bool umbp_shelf_scanned (umbp_shelf_t *self, umbp_medium_record_t *record,
                         umbp_shelf_where_t *where);

//  The same without an event: scan_status is 1 as long as it is under way, then 0 or an error
#define UMBP_SHELF_SILENT UINT64_MAX    //  As the tag
int umbp_shelf_scan_status (const umbp_shelf_t *self);

//  What the scan found becomes ours to read and to remove, one by one, as recovered: the next record and its at. Nothing
//  of it is ever written or evicted. What is removed is named by a file of ours beside the segment, which its node
//  heeds when it is back. False: that was all.
bool umbp_shelf_adopted (umbp_shelf_t *self, umbp_medium_record_t *record, uint64_t *at_p);

//  One of these, or all of a node, is no longer ours to read; it stays where it is. UMBP_MEDIUM_LEFT with UMBP_ENOENT is
//  said of those that have an item.
void umbp_shelf_forget (umbp_shelf_t *self, uint64_t at);
void umbp_shelf_disown (umbp_shelf_t *self, const char *node);
uint64_t umbp_shelf_adopted_count (const umbp_shelf_t *self, uint64_t *bytes_p);

//  Which nodes have a folder there. look begins, UMBP_EAGAIN if it cannot; looking: as long as that is under way; then
//  folders are the names, one after the other by folder = NULL, and the one before.
int umbp_shelf_look (umbp_shelf_t *self);
bool umbp_shelf_looking (const umbp_shelf_t *self);
const char *umbp_shelf_folder (const umbp_shelf_t *self, const char *folder);

//  What the directory lies on, in a line
const char *umbp_shelf_mount (const umbp_shelf_t *self);
unsigned umbp_shelf_hanging (const umbp_shelf_t *self);          //  Threads that were left behind

#endif
