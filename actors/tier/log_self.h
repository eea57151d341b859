//  actors/tier/log_self.h - the state of a segment log, shared by the files that make it up: log.c (records, events,
//  time), log_open.c, log_write.c (appending, sealing, syncs), log_pack.c (small records, tombstones), log_read.c,
//  log_clean.c, log_recover.c. Nobody else includes this.
#ifndef UMBP_LOG_SELF_H
#define UMBP_LOG_SELF_H

#define XXH_STATIC_LINKING_ONLY         //  States inside others
#include <xxhash.h>

#include "actors/tier/completions.h"
#include "actors/tier/log.h"
#include "actors/tier/log_format.h"
#include "actors/tier/log_io.h"

#define UMBP_LOG_NONE UINT32_MAX
#define UMBP_LOG_DEPTH_MAX 1024
#define UMBP_LOG_PIECES (UMBP_MEDIUM_PIECES_MAX + 2)      //  Head and tail besides
#define UMBP_LOG_STAGE (2 * UMBP_LOG_BLOCK)            //  Of a request: head, tail
#define UMBP_LOG_BOUNCE (256 << 10)
#define UMBP_LOG_BOUNCES 8
#define UMBP_LOG_PACK (256 << 10)
#define UMBP_LOG_PACKS 8
#define UMBP_LOG_PACK_RECORDS 512
#define UMBP_LOG_COPY (1 << 20)
#define UMBP_LOG_COPIES 4
#define UMBP_LOG_CHUNK 65536            //  Records allocated at a time
#define UMBP_LOG_RETRY_MS 5000          //  A directory that failed is tried again after so long

typedef enum {
    UMBP_LOG_RECORD_FREE = 0,
    UMBP_LOG_RECORD_WRITING,
    UMBP_LOG_RECORD_LIVE,               //  In the list of its segment
    UMBP_LOG_RECORD_COPYING,            //  In no list; still counts for its segment
    UMBP_LOG_RECORD_DOOMED,             //  Removed while it was copied
} umbp_log_record_state_t;

typedef struct {
    uint32_t segment;
    uint32_t place8;
    uint32_t size, item, turn;          //  turn: half of its name
    uint32_t next, prev;
    uint16_t key_size;
    uint8_t state;
    bool packed : 1;
    bool kept : 1;                      //  Cleaning was told that it stays: it is not asked again until it was copied
} umbp_log_slot_t;

_Static_assert(sizeof (umbp_log_slot_t) == 32, "log.h says so");

typedef enum {
    UMBP_LOG_SEGMENT_FREE = 0,
    UMBP_LOG_SEGMENT_OPEN,              //  Being filled, or sealed right now
    UMBP_LOG_SEGMENT_SEALED,
    UMBP_LOG_SEGMENT_CLEANING,
    UMBP_LOG_SEGMENT_BAD,               //  Can be neither read nor reused
} umbp_log_segment_state_t;

typedef struct {
    uint64_t seq;
    uint64_t live_bytes;
    uint32_t first, live_records;
    uint32_t readers;                   //  Reads under way in it
    uint32_t tombs;                     //  Tombstones in it, needed or not
    uint8_t state;
    bool tableless;                     //  Its table could not be written: only a restart makes a new one
    bool worthless;                     //  Its head never came to disk
} umbp_log_segment_t;

typedef struct umbp_log_drive umbp_log_drive_t;

//  What is known of a segment that is being filled, until its table is on disk
typedef struct umbp_log_open_segment {
    umbp_log_drive_t *drive;
    uint32_t segment;                   //  Of the log
    uint64_t tail;
    uint8_t *table;
    size_t table_used, table_room;
    uint64_t table_reserved;            //  With those entries whose records are being written
    uint64_t entries;
    unsigned writing;                   //  Records under way
    bool headed, closing,
        tabled; //  Its head is on disk; nothing is added; its table is being written
    int error;
    uint64_t need;                      //  Sync before the table is written; 0: not known yet
    struct umbp_log_open_segment *next;
} umbp_log_open_t;

typedef enum {
    UMBP_LOG_REQUEST_NONE = 0,
    UMBP_LOG_REQUEST_READ,
    UMBP_LOG_REQUEST_APPEND,
    UMBP_LOG_REQUEST_PACK,
    UMBP_LOG_REQUEST_COPY,
    UMBP_LOG_REQUEST_HEAD,
    UMBP_LOG_REQUEST_TABLE,
    UMBP_LOG_REQUEST_SYNC,
    UMBP_LOG_REQUEST_CLEAN,
} umbp_log_request_kind_t;

typedef struct umbp_log_request {
    umbp_log_job_t job;
    uint8_t kind;
    bool late;                          //  Its owner was told that its time is over
    bool placed;                        //  Of a copy
    umbp_log_drive_t *drive;
    umbp_log_open_t *open;              //  Of what is written
    uint32_t segment, record, item;
    uint64_t tag;
    int64_t since;
    int status;
    uint64_t need;                      //  Sync that has to have ended, 0: not known yet
    struct umbp_log_request *next;

    umbp_log_note_t note;               //  Its key lies in stage
    uint8_t *stage;                     //  Head and tail; or a buffer
    struct iovec *iov;                  //  Of the job
    struct iovec *data;                 //  The caller's
    unsigned data_count;
    uint8_t *bounce;                    //  NULL: from and to the caller's memory
    uint64_t position;                  //  In the file, of what is asked for
    uint64_t done, length;              //  Bytes
    uint32_t tail;                      //  Bytes that come by way of the stage
    XXH3_state_t *sum;                  //  Of a copy
    struct iovec own[3];
} umbp_log_request_t;

typedef struct {
    uint32_t record;                    //  UMBP_LOG_NONE: tombstones
    uint32_t item;
    uint64_t tag;
    bool moves;                         //  Else a new block
    umbp_log_note_t note;               //  Its place is in the pack until it is written
} umbp_log_packed_t;

typedef struct {
    umbp_log_request_t request;
    umbp_log_packed_t *records;
    unsigned count;
    size_t used, entry_bytes;
    bool busy, moves, tombs;
    uint64_t tombs_era;                 //  Of its oldest tombstone
} umbp_log_pack_t;

typedef enum {
    UMBP_LOG_CLEAN_IDLE = 0,
    UMBP_LOG_CLEAN_TABLE,               //  Its tombstones are read
    UMBP_LOG_CLEAN_COPY,
    UMBP_LOG_CLEAN_SETTLE,              //  All tombstones of until then are being written
    UMBP_LOG_CLEAN_SYNC,
    UMBP_LOG_CLEAN_FREE,                //  Its head is being overwritten
    UMBP_LOG_CLEAN_FREED,               //  ... and synced
} umbp_log_clean_phase_t;

struct umbp_log_drive {
    unsigned index;
    char *path;
    int file;
    bool read_only, direct;
    uint64_t id, next_seq;
    uint32_t first, count, free_count;  //  Its segments, of the log's
    int state;                          //  0 or why it cannot be written
    int64_t retry_at;
    umbp_log_open_t *open, *closing;    //  The one that is filled; those that will be sealed
    umbp_log_request_t *waiting;        //  Written, but not on disk, or their segment's head is not

    umbp_log_request_t sync;
    uint64_t sync_started, sync_ended, sync_failed;
    bool sync_wanted;

    umbp_log_tomb_t *tombs;             //  To be written
    size_t tomb_count, tomb_room;
    int64_t tombs_since;
    uint64_t tombs_era;                 //  Of the oldest of those to be written
    bool tombs_wanted;                  //  Somebody waits for them
    unsigned dooms;                     //  Records that were removed while they were copied
    uint64_t dooms_era;                 //  Of the oldest of them
    umbp_log_pack_t *pack;              //  Open: what is moved

    umbp_log_clean_phase_t phase;
    int64_t clean_at;                   //  When it is worth looking again
    umbp_log_request_t clean;
    uint32_t victim;
    bool evicts;
    unsigned copies;
    uint64_t clean_need;                //  Sync that has to have ended
    uint64_t clean_mark;                //  Its tombstones are past then; UINT64_MAX: it is given up
};

typedef struct {
    uint64_t serial;
    uint32_t record;
    uint16_t drive;
    const uint8_t *entry;
} umbp_log_found_t;

//  Where a look for victims begins, see log_victims.c. record NONE: behind all of its segment
typedef struct {
    uint64_t seq;
    uint32_t segment, record;
} umbp_log_hand_t;

struct umbp_log {
    bool strict, recovering, closing;
    uint64_t segment_bytes, clean_rate, serial;
    int64_t now, ticked;
    umbp_log_drive_t drives[UMBP_LOG_DIRECTORIES_MAX];
    size_t drive_count;
    unsigned turn;                      //  Of directories
    umbp_log_segment_t *segments;
    uint32_t segment_count;
    umbp_log_slot_t **chunks;
    uint32_t chunk_count, chunk_max, record_free;

    umbp_log_io_t *io;
    uint8_t *memory;
    size_t memory_bytes;
    umbp_log_request_t *requests;       //  Of callers
    unsigned depth;
    umbp_log_request_t *request_free;
    uint8_t *bounces[UMBP_LOG_BOUNCES];
    unsigned bounce_count;
    umbp_log_pack_t packs[UMBP_LOG_PACKS];
    umbp_log_pack_t *pack;              //  Open: new blocks
    umbp_log_request_t copies[UMBP_LOG_COPIES];

    umbp_completions_t completions;

    umbp_medium_keep_fn *keep;
    void *keep_arg;
    uint64_t evict_left, evict_rounds;
    umbp_log_hand_t hand;
    uint64_t era;                       //  Of what is removed now, see umbp_log_mark
    int64_t budget;                     //  Bytes that may be copied now

    uint8_t **tables;                   //  Of each segment, until recovered is through
    umbp_log_found_t *found;
    size_t found_count, found_next;
    umbp_medium_stats_t stats;
};

static inline umbp_log_slot_t *umbp_log_slot (const umbp_log_t *self, uint32_t record)
{
    return &self->chunks[record / UMBP_LOG_CHUNK][record % UMBP_LOG_CHUNK];
}

static inline umbp_log_drive_t *umbp_log_drive_of (umbp_log_t *self, uint32_t segment)
{
    umbp_log_drive_t *drive = self->drives;
    while (segment >= drive->first + drive->count)
        drive++;
    return drive;
}

//  Where a segment begins in its file
static inline uint64_t umbp_log_base (const umbp_log_t *self, const umbp_log_drive_t *drive,
                                      uint32_t segment)
{
    return UMBP_LOG_SUPER_BYTES + (segment - drive->first) * self->segment_bytes;
}

//  log.c
uint32_t umbp_log_take_record (umbp_log_t *self);       //  UMBP_LOG_NONE: there are none
void umbp_log_give_record (umbp_log_t *self, uint32_t record);
void umbp_log_link (umbp_log_t *self, uint32_t record);          //  Live from now on
void umbp_log_unlink (umbp_log_t *self, uint32_t record);
uint64_t umbp_log_room (const umbp_log_slot_t *slot);            //  Bytes on disk
uint64_t umbp_log_at (const umbp_log_t *self, uint32_t record);
void umbp_log_say (umbp_log_t *self, umbp_medium_event_type_t type, int status, uint32_t item,
                   uint64_t tag, uint64_t at);
void umbp_log_reap (umbp_log_t *self);                  //  Jobs that ended
int umbp_log_status (int error);                        //  Of an errno
umbp_log_request_t *umbp_log_take_request (umbp_log_t *self, umbp_log_request_kind_t kind);
void umbp_log_give_request (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_submit (umbp_log_t *self, umbp_log_request_t *request, umbp_log_op_t op,
                      uint64_t offset, unsigned count);
//  Copy between bytes and pieces, from an offset of the pieces on
void umbp_log_gather (const struct iovec *data, unsigned count, uint64_t offset, uint8_t *out,
                      size_t length);
void umbp_log_scatter (const struct iovec *data, unsigned count, uint64_t offset,
                       const uint8_t *bytes, size_t length);

//  log_write.c
//  Room in the segment that is being filled, or the next one. inner: for cleaning and tombstones, which may take the
//  last free segment. 0, and the open segment and place; else why not.
int umbp_log_reserve (umbp_log_t *self, umbp_log_drive_t *drive, uint64_t room,
                      uint64_t entry_bytes, bool inner, umbp_log_open_t **open_p,
                      uint64_t *place_p);
//  A directory to write to next; NULL, and why
umbp_log_drive_t *umbp_log_choose (umbp_log_t *self, uint64_t room, uint64_t entry_bytes,
                                   int *status_p);
void umbp_log_add_entry (umbp_log_open_t *open, const umbp_log_note_t *note);
void umbp_log_fail (umbp_log_t *self, umbp_log_drive_t *drive, int status);
void umbp_log_wait_disk (umbp_log_t *self,
                         umbp_log_request_t *request); //  Written: now until it counts
void umbp_log_settle (umbp_log_t *self, umbp_log_drive_t *drive);           //  What can go on
void umbp_log_close_open (umbp_log_t *self, umbp_log_drive_t *drive);
void umbp_log_appended (umbp_log_t *self, umbp_log_request_t *request);     //  Its job ended
void umbp_log_append_ended (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_headed (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_tabled (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_synced (umbp_log_t *self, umbp_log_request_t *request);
//  Table and trailer of a segment as they go to its end: aligned memory, *bytes_p of it
uint8_t *umbp_log_make_table (umbp_log_t *self, const umbp_log_open_t *open, size_t *bytes_p);

//  log_pack.c
int umbp_log_pack_block (umbp_log_t *self, const umbp_log_note_t *note, const struct iovec *data,
                         unsigned count, uint32_t item, uint64_t tag);
int umbp_log_pack_move (umbp_log_t *self, umbp_log_drive_t *drive, const umbp_log_note_t *note,
                        const uint8_t *data, uint32_t record); //  0, or why not
void umbp_log_bury (umbp_log_t *self, uint32_t segment, uint32_t place8);   //  A tombstone for that
void umbp_log_bury_of (umbp_log_t *self, uint32_t segment, uint32_t place8, uint64_t era);
uint64_t umbp_log_era (umbp_log_t *self,
                       const umbp_log_slot_t *slot); //  When a record was removed, or now
void umbp_log_flush (umbp_log_t *self);                 //  Of new blocks, if nothing is gained by waiting
int umbp_log_flush_inner (umbp_log_t *self, umbp_log_drive_t *drive);   //  0, or why not
int umbp_log_flush_tombs (umbp_log_t *self, umbp_log_drive_t *drive);   //  0, or why some wait
bool umbp_log_buries (const umbp_log_t *self, const umbp_log_drive_t *drive);
//  umbp_log_is_past of one directory
bool umbp_log_drive_is_past (const umbp_log_t *self, const umbp_log_drive_t *drive, uint64_t mark);
void umbp_log_pack_ended (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_pack_late (umbp_log_t *self, umbp_log_pack_t *pack);

//  log_read.c
void umbp_log_read_ended (umbp_log_t *self, umbp_log_request_t *request);

//  log_clean.c
void umbp_log_clean (umbp_log_t *self);
void umbp_log_clean_ended (umbp_log_t *self, umbp_log_request_t *request);
void umbp_log_copied (umbp_log_t *self, umbp_log_request_t *request);       //  A job of a copy ended
void umbp_log_copy_ended (umbp_log_t *self, umbp_log_request_t *request);
//  A record's copy counts: it is at the new place from now on, status 0; or it stays, or is damaged
void umbp_log_moved (umbp_log_t *self, uint32_t record, uint32_t segment, uint64_t place,
                     int status);

//  log_recover.c
void umbp_log_recover (umbp_log_t *self);
bool umbp_log_read_super (int file, umbp_log_super_t *super, bool *blank_p);
void umbp_log_forget_tables (umbp_log_t *self);

#endif
