//  actors/tier/log_format.h - what the bytes of a segment mean, see doc/log-format.md: heads, records, tombstones,
//  tables. Nothing here reads a file: it works on bytes that somebody fetched, and believes none of them.
//
//  All sums of heads are XXH3-64 seeded with the number that the log drew when it was made. So no block's bytes, not
//  even those of another log, are taken for a record.
#ifndef UMBP_LOG_FORMAT_H
#define UMBP_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_LOG_BLOCK 4096             //  All that is written begins and ends at a multiple of it
#define UMBP_LOG_SUPER_BYTES (2 * UMBP_LOG_BLOCK)      //  At the start of a file: the superblock, twice
#define UMBP_LOG_VERSION 1
#define UMBP_LOG_RECORD_BYTES 64        //  Head of a record, before its key
#define UMBP_LOG_ENTRY_BYTES 40         //  Of a table, before its key
#define UMBP_LOG_PACKED_MAX 65536       //  Blocks up to this size are packed

typedef enum {
    UMBP_LOG_TYPE_LARGE = 1,            //  The data begins a block after the head
    UMBP_LOG_TYPE_PACKED = 2,           //  The data begins after the key
    UMBP_LOG_TYPE_TOMBS = 3,            //  The data are tombstones
} umbp_log_type_t;

typedef struct {
    uint64_t id, segment_bytes;
} umbp_log_super_t;

//  First block of a segment
typedef struct {
    uint64_t id, seq,
        index; //  seq: each use of a segment has a number of its own, and higher ones are newer
    bool free;
} umbp_log_head_t;

//  A record's head; an entry of a table has the same. place is its offset in the segment.
typedef struct {
    uint64_t seq, place, serial, sum;
    uint32_t size;
    uint16_t key_size, depth;
    uint8_t type, replicas;
    const uint8_t *key;
} umbp_log_note_t;

//  Names a record that is no more
typedef struct {
    uint64_t seq;
    uint32_t segment;                   //  Of its directory
    uint32_t place8;                    //  place / 8
} umbp_log_tomb_t;

//  Last block of a sealed segment; its table lies before it
typedef struct {
    uint64_t id, seq, index;
    uint64_t tail;                      //  Where records end
    uint64_t table_bytes, count, table_sum;
} umbp_log_trailer_t;

static inline uint64_t umbp_log_up (uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

//  Bytes of the head and key, of the whole record, of an entry
size_t umbp_log_note_bytes (const umbp_log_note_t *note);
uint64_t umbp_log_note_room (const umbp_log_note_t *note);
size_t umbp_log_entry_bytes (const umbp_log_note_t *note);
//  Where its data begins, from its place
uint64_t umbp_log_note_data (const umbp_log_note_t *note);

//  Write into block, of UMBP_LOG_BLOCK bytes
void umbp_log_put_super (const umbp_log_super_t *super, uint8_t *block);
void umbp_log_put_head (const umbp_log_head_t *head, uint8_t *block);
void umbp_log_put_trailer (const umbp_log_trailer_t *trailer, uint8_t *block);
//  Write head and key, or an entry. Returns how many bytes; the padding is zero.
size_t umbp_log_put_note (const umbp_log_note_t *note, uint64_t id, uint8_t *out);
size_t umbp_log_put_entry (const umbp_log_note_t *note, uint8_t *out);

//  Read; false: it is none, or damaged
bool umbp_log_get_super (umbp_log_super_t *super, const uint8_t *block);
bool umbp_log_get_head (umbp_log_head_t *head, const uint8_t *block, uint64_t id);
bool umbp_log_get_trailer (umbp_log_trailer_t *trailer, const uint8_t *block, uint64_t id,
                           uint64_t segment_bytes);
//  A record's head within room bytes, of a segment's use seq and at place. note->key points into bytes.
bool umbp_log_get_note (umbp_log_note_t *note, const uint8_t *bytes, size_t room, uint64_t id,
                        uint64_t seq, uint64_t place, uint64_t segment_bytes);

typedef void (umbp_log_found_fn) (void *arg, const umbp_log_note_t *note);
typedef void (umbp_log_tomb_fn) (void *arg, const umbp_log_tomb_t *tomb);

//  Walk a table that has the trailer's sum. False: it is damaged, and nobody was told of anything.
bool umbp_log_walk_table (const umbp_log_trailer_t *trailer, const uint8_t *table,
                          uint64_t segment_bytes, umbp_log_found_fn *found, umbp_log_tomb_fn *tomb,
                          void *arg);

//  Bytes of a segment, at least one and at most length of them, from offset on; *got_p says how many. NULL: cannot be
//  read. Good until the next call.
typedef const uint8_t *(umbp_log_fetch_fn) (void *arg, uint64_t offset, size_t length,
                                            size_t *got_p);

//  Find the records of a segment without a table by looking at all of it: each record found has a head and data that
//  match their sums. After something broken it goes on behind it. Returns where the last record ends; *torn_p counts
//  heads whose data do not match.
uint64_t umbp_log_scan (uint64_t id, uint64_t seq, uint64_t segment_bytes, umbp_log_fetch_fn *fetch,
                        umbp_log_found_fn *found, umbp_log_tomb_fn *tomb, void *arg,
                        uint64_t *torn_p);

#endif
