//  test/fuzz/fuzz_log.c - what a disk may give back when the segment log is opened: arbitrary bytes as a segment. The
//  first byte says how they are read. Whatever they are, nothing outside them is looked at, and what is found in them
//  lies in them; with sums that match it is found again where it was put. Since nobody finds a sum by trying, half of
//  the readings put right sums into heads, trailers and tables first.
#include "test/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#include "actors/tier/log.h"
#include "actors/tier/log_format.h"

#define ID UINT64_C (0x1122334455667788)
#define SEQ 7
#define SEGMENT (64 << 10)

static uint8_t s_segment[SEGMENT];

typedef struct {
    uint64_t found, last_end;
    size_t piece;
    bool scan;
} walk_t;

static void s_found (void *arg, const umbp_log_note_t *note)
{
    walk_t *walk = arg;
    walk->found++;
    FUZZ_CHECK (note->key_size >= 1 && note->key_size <= UMBP_MEDIUM_KEY_MAX);
    FUZZ_CHECK (note->size >= 1 && note->place >= UMBP_LOG_BLOCK);
    FUZZ_CHECK (note->place + umbp_log_note_room (note) <= SEGMENT);
    uint8_t entry[UMBP_LOG_ENTRY_BYTES + UMBP_MEDIUM_KEY_MAX + 8];
    FUZZ_CHECK (umbp_log_put_entry (note, entry) == umbp_log_entry_bytes (note));
    if (!walk->scan)
        return;
    FUZZ_CHECK (note->place >= walk->last_end);         //  No two overlap
    walk->last_end = note->place + umbp_log_note_room (note);
    FUZZ_CHECK (XXH3_64bits (s_segment + note->place + umbp_log_note_data (note), note->size)
                == note->sum);
}

static void s_tomb (void *arg, const umbp_log_tomb_t *tomb)
{
    (void) arg;
    FUZZ_CHECK (tomb != NULL);
}

//  As if it were read in pieces
static const uint8_t *s_fetch (void *arg, uint64_t offset, size_t length, size_t *got_p)
{
    const walk_t *walk = arg;
    FUZZ_CHECK (length > 0 && offset < SEGMENT && length <= SEGMENT - offset);
    size_t got = walk->piece - offset % walk->piece;
    *got_p = got < length ? got : length;
    return s_segment + offset;
}

//  Where a record's head begins with the mark, give it a sum, and its data too
static void s_mend_records (void)
{
    static const char mark[4] = "ULRE";
    for (size_t at = UMBP_LOG_BLOCK; at + 1024 <= SEGMENT; at += 8) {
        if (memcmp (s_segment + at, mark, 4) != 0)
            continue;
        uint8_t *head = s_segment + at;
        umbp_log_note_t note = { .seq = SEQ,
                                 .place = at,
                                 .type = head[6] % 5,
                                 .replicas = head[7],
                                 .key = head + UMBP_LOG_RECORD_BYTES };
        memcpy (&note.size, head + 40, 4);
        memcpy (&note.key_size, head + 44, 2);
        note.key_size %= UMBP_MEDIUM_KEY_MAX + 3;
        if (head[46] % 2)
            note.size %= 4096;
        uint64_t data = at + umbp_log_note_data (&note);
        if (data + note.size <= SEGMENT)
            note.sum = XXH3_64bits (s_segment + data, note.size);
        umbp_log_put_note (&note, ID, head);
    }
}

static void s_table (walk_t *walk, bool mend)
{
    umbp_log_trailer_t trailer;
    uint8_t *block = s_segment + SEGMENT - UMBP_LOG_BLOCK;
    if (mend) {
        uint64_t values[7];
        memcpy (values, block + 8, sizeof values);
        trailer = (umbp_log_trailer_t) {
            .id = ID, .seq = SEQ, .tail = values[3] % SEGMENT / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK,
            .table_bytes = values[4] % 5 * UMBP_LOG_BLOCK, .count = values[5] % 512,
        };
        const uint8_t *table = block - trailer.table_bytes;
        trailer.table_sum = XXH3_64bits_withSeed (table, trailer.table_bytes, ID);
        umbp_log_put_trailer (&trailer, block);
    }
    if (!umbp_log_get_trailer (&trailer, block, ID, SEGMENT))
        return;
    FUZZ_CHECK (trailer.tail + trailer.table_bytes + UMBP_LOG_BLOCK <= SEGMENT);
    umbp_log_walk_table (&trailer, block - trailer.table_bytes, SEGMENT, s_found, s_tomb, walk);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t how = data[0];
    memset (s_segment, 0, sizeof s_segment);
    size_t room = SEGMENT - UMBP_LOG_BLOCK, body = size - 1 < room ? size - 1 : room;
    memcpy (s_segment + UMBP_LOG_BLOCK, data + 1, body);
    size_t end =
        body < 3 * UMBP_LOG_BLOCK ? body : 3 * UMBP_LOG_BLOCK; //  Also as a table and a trailer
    memcpy (s_segment + SEGMENT - 3 * UMBP_LOG_BLOCK, data + 1, end);
    if (how & 1)
        s_mend_records ();
    walk_t table = { .scan = false };
    s_table (&table, how & 2);
    walk_t scan = { .scan = true, .piece = how & 4 ? 4096 : how & 8 ? 520 : SEGMENT };
    uint64_t torn = 0;
    uint64_t tail = umbp_log_scan (ID, SEQ, SEGMENT, s_fetch, s_found, s_tomb, &scan, &torn);
    FUZZ_CHECK (tail >= scan.last_end && tail <= SEGMENT && tail % UMBP_LOG_BLOCK == 0);
    umbp_log_head_t head;
    umbp_log_super_t super;
    umbp_log_get_head (&head, s_segment + UMBP_LOG_BLOCK, ID);
    umbp_log_get_super (&super, s_segment + UMBP_LOG_BLOCK);
    return 0;
}
