//  actors/tier/log_format.c - the bytes of a segment, see log_format.h
#include "actors/tier/log_format.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY          //  A state on the stack
#include <xxhash.h>

#include "actors/tier/log.h"

#define MAGIC_SUPER UINT32_C (0x55534c55)       //  "ULSU", "ULHE", "ULRE", "ULTR" in memory
#define MAGIC_HEAD UINT32_C (0x45484c55)
#define MAGIC_RECORD UINT32_C (0x45524c55)
#define MAGIC_TRAILER UINT32_C (0x52544c55)
#define SUPER_SEED UINT64_C (0x756d62702d6c6f67)
#define HEAD_SUM 56                     //  Where the sum lies in a head, a superblock
#define TRAILER_SUM 72
#define RECORD_SUM 56

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers on disk are little-endian");

static void s_put (uint8_t *at, uint64_t value, size_t size)
{
    memcpy (at, &value, size);
}

static uint64_t s_get (const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    memcpy (&value, at, size);
    return value;
}

size_t umbp_log_note_bytes (const umbp_log_note_t *note)
{
    return umbp_log_up (UMBP_LOG_RECORD_BYTES + note->key_size, 8);
}

uint64_t umbp_log_note_data (const umbp_log_note_t *note)
{
    return note->type == UMBP_LOG_TYPE_LARGE ? UMBP_LOG_BLOCK : umbp_log_note_bytes (note);
}

uint64_t umbp_log_note_room (const umbp_log_note_t *note)
{
    uint64_t step = note->type == UMBP_LOG_TYPE_LARGE ? UMBP_LOG_BLOCK : 8;
    return umbp_log_note_data (note) + umbp_log_up (note->size, step);
}

size_t umbp_log_entry_bytes (const umbp_log_note_t *note)
{
    return umbp_log_up (UMBP_LOG_ENTRY_BYTES + note->key_size, 8);
}

//  ------------------------------------------------------------------------------------------------
//  Superblock, head and trailer of a segment

static void s_begin (uint8_t *block, uint32_t magic)
{
    memset (block, 0, UMBP_LOG_BLOCK);
    s_put (block, magic, 4);
    s_put (block + 4, UMBP_LOG_VERSION, 2);
}

static bool s_begins (const uint8_t *block, uint32_t magic)
{
    return s_get (block, 4) == magic && s_get (block + 4, 2) == UMBP_LOG_VERSION;
}

void umbp_log_put_super (const umbp_log_super_t *super, uint8_t *block)
{
    s_begin (block, MAGIC_SUPER);
    s_put (block + 8, super->id, 8);
    s_put (block + 16, super->segment_bytes, 8);
    s_put (block + HEAD_SUM, XXH3_64bits_withSeed (block, HEAD_SUM, SUPER_SEED), 8);
}

bool umbp_log_get_super (umbp_log_super_t *super, const uint8_t *block)
{
    super->id = s_get (block + 8, 8);
    super->segment_bytes = s_get (block + 16, 8);
    return s_begins (block, MAGIC_SUPER)
           && s_get (block + HEAD_SUM, 8) == XXH3_64bits_withSeed (block, HEAD_SUM, SUPER_SEED)
           && super->segment_bytes >= UMBP_LOG_SEGMENT_BYTES_MIN
           && super->segment_bytes <= UMBP_LOG_SEGMENT_BYTES_MAX
           && super->segment_bytes % UMBP_LOG_BLOCK == 0;
}

void umbp_log_put_head (const umbp_log_head_t *head, uint8_t *block)
{
    s_begin (block, MAGIC_HEAD);
    s_put (block + 6, head->free, 1);
    s_put (block + 8, head->id, 8);
    s_put (block + 16, head->seq, 8);
    s_put (block + 24, head->index, 8);
    s_put (block + HEAD_SUM, XXH3_64bits_withSeed (block, HEAD_SUM, head->id), 8);
}

bool umbp_log_get_head (umbp_log_head_t *head, const uint8_t *block, uint64_t id)
{
    head->free = block[6] != 0;
    head->id = s_get (block + 8, 8);
    head->seq = s_get (block + 16, 8);
    head->index = s_get (block + 24, 8);
    return s_begins (block, MAGIC_HEAD) && head->id == id
           && s_get (block + HEAD_SUM, 8) == XXH3_64bits_withSeed (block, HEAD_SUM, id);
}

void umbp_log_put_trailer (const umbp_log_trailer_t *trailer, uint8_t *block)
{
    s_begin (block, MAGIC_TRAILER);
    const uint64_t values[] = { trailer->id,       trailer->seq,         trailer->index,
                                trailer->tail,     trailer->table_bytes, trailer->count,
                                trailer->table_sum };
    memcpy (block + 8, values, sizeof values);
    s_put (block + TRAILER_SUM, XXH3_64bits_withSeed (block, TRAILER_SUM, trailer->id), 8);
}

bool umbp_log_get_trailer (umbp_log_trailer_t *trailer, const uint8_t *block, uint64_t id,
                           uint64_t segment_bytes)
{
    uint64_t values[7];
    memcpy (values, block + 8, sizeof values);
    *trailer = (umbp_log_trailer_t) { values[0], values[1], values[2], values[3],
                                     values[4], values[5], values[6] };
    return s_begins (block, MAGIC_TRAILER) && trailer->id == id
           && s_get (block + TRAILER_SUM, 8) == XXH3_64bits_withSeed (block, TRAILER_SUM, id)
           && trailer->table_bytes % UMBP_LOG_BLOCK == 0 && trailer->table_bytes < segment_bytes
           && trailer->tail >= UMBP_LOG_BLOCK && trailer->tail % UMBP_LOG_BLOCK == 0
           && trailer->tail < segment_bytes
           && trailer->tail + trailer->table_bytes + UMBP_LOG_BLOCK <= segment_bytes;
}

//  ------------------------------------------------------------------------------------------------
//  Records and entries

static uint64_t s_note_sum (const uint8_t *bytes, size_t key_size, uint64_t id)
{
    XXH3_state_t state;
    XXH3_64bits_reset_withSeed (&state, id);
    XXH3_64bits_update (&state, bytes, RECORD_SUM);
    XXH3_64bits_update (&state, bytes + UMBP_LOG_RECORD_BYTES, key_size);
    return XXH3_64bits_digest (&state);
}

size_t umbp_log_put_note (const umbp_log_note_t *note, uint64_t id, uint8_t *out)
{
    size_t bytes = umbp_log_note_bytes (note);
    if (note->key_size)
        memmove (out + UMBP_LOG_RECORD_BYTES, note->key, note->key_size);
    memset (out + UMBP_LOG_RECORD_BYTES + note->key_size, 0,
            bytes - UMBP_LOG_RECORD_BYTES - note->key_size);
    s_put (out, MAGIC_RECORD, 4);
    s_put (out + 4, UMBP_LOG_VERSION, 2);
    out[6] = note->type;
    out[7] = note->replicas;
    const uint64_t values[] = { note->seq, note->place, note->serial, note->sum };
    memcpy (out + 8, values, sizeof values);
    s_put (out + 40, note->size, 4);
    s_put (out + 44, note->key_size, 2);
    s_put (out + 46, note->depth, 2);
    s_put (out + 48, 0, 8);
    s_put (out + RECORD_SUM, s_note_sum (out, note->key_size, id), 8);
    return bytes;
}

//  Can it be? Of a table or a record, whose sum has been found right: then only a defect could make it say otherwise
static bool s_sound (const umbp_log_note_t *note, uint64_t segment_bytes)
{
    bool block = note->type == UMBP_LOG_TYPE_LARGE || note->type == UMBP_LOG_TYPE_PACKED;
    if (!block && note->type != UMBP_LOG_TYPE_TOMBS)
        return false;
    if (block ? note->key_size == 0 : note->key_size != 0)
        return false;
    if (note->type == UMBP_LOG_TYPE_LARGE ? note->place % UMBP_LOG_BLOCK != 0
                                          : note->size > UMBP_LOG_PACKED_MAX)
        return false;
    return note->key_size <= UMBP_MEDIUM_KEY_MAX && note->size > 0
           && note->size <= UMBP_MEDIUM_SIZE_MAX && note->place % 8 == 0
           && note->place >= UMBP_LOG_BLOCK && note->place < segment_bytes
           && umbp_log_note_room (note) <= segment_bytes - note->place;
}

bool umbp_log_get_note (umbp_log_note_t *note, const uint8_t *bytes, size_t room, uint64_t id,
                        uint64_t seq, uint64_t place, uint64_t segment_bytes)
{
    if (room < UMBP_LOG_RECORD_BYTES || s_get (bytes, 4) != MAGIC_RECORD
        || s_get (bytes + 4, 2) != UMBP_LOG_VERSION)
        return false;
    *note = (umbp_log_note_t) {
        .seq = s_get (bytes + 8, 8), .place = s_get (bytes + 16, 8), .serial = s_get (bytes + 24, 8),
        .sum = s_get (bytes + 32, 8), .size = (uint32_t) s_get (bytes + 40, 4),
        .key_size = (uint16_t) s_get (bytes + 44, 2), .depth = (uint16_t) s_get (bytes + 46, 2),
        .type = bytes[6], .replicas = bytes[7], .key = bytes + UMBP_LOG_RECORD_BYTES,
    };
    return note->seq == seq && note->place == place && s_sound (note, segment_bytes)
           && room >= umbp_log_note_bytes (note)
           && s_get (bytes + RECORD_SUM, 8) == s_note_sum (bytes, note->key_size, id);
}

size_t umbp_log_put_entry (const umbp_log_note_t *note, uint8_t *out)
{
    size_t bytes = umbp_log_entry_bytes (note);
    memset (out, 0, bytes);
    const uint64_t values[] = { note->place, note->serial, note->sum };
    memcpy (out, values, sizeof values);
    s_put (out + 24, note->size, 4);
    s_put (out + 28, note->key_size, 2);
    s_put (out + 30, note->depth, 2);
    out[32] = note->type;
    out[33] = note->replicas;
    if (note->key_size)
        memcpy (out + UMBP_LOG_ENTRY_BYTES, note->key, note->key_size);
    return bytes;
}

//  An entry within room bytes; 0: it cannot be one
static size_t s_get_entry (umbp_log_note_t *note, const uint8_t *bytes, size_t room,
                           uint64_t segment_bytes)
{
    if (room < UMBP_LOG_ENTRY_BYTES)
        return 0;
    *note = (umbp_log_note_t) {
        .place = s_get (bytes, 8), .serial = s_get (bytes + 8, 8), .sum = s_get (bytes + 16, 8),
        .size = (uint32_t) s_get (bytes + 24, 4), .key_size = (uint16_t) s_get (bytes + 28, 2),
        .depth = (uint16_t) s_get (bytes + 30, 2), .type = bytes[32], .replicas = bytes[33],
        .key = bytes + UMBP_LOG_ENTRY_BYTES,
    };
    if (umbp_log_entry_bytes (note) > room)
        return 0;
    bool sound =
        note->type == UMBP_LOG_TYPE_TOMBS ? note->key_size == 0 : s_sound (note, segment_bytes);
    return sound ? umbp_log_entry_bytes (note) : 0;
}

bool umbp_log_walk_table (const umbp_log_trailer_t *trailer, const uint8_t *table,
                          uint64_t segment_bytes, umbp_log_found_fn *found, umbp_log_tomb_fn *tomb,
                          void *arg)
{
    if (XXH3_64bits_withSeed (table, trailer->table_bytes, trailer->id) != trailer->table_sum)
        return false;
    umbp_log_note_t note;
    for (int told = 0; told < 2; told++) {          //  First whether all of it is sound
        uint64_t at = 0;
        for (uint64_t index = 0; index < trailer->count; index++) {
            size_t bytes =
                s_get_entry (&note, table + at, trailer->table_bytes - at, segment_bytes);
            if (bytes == 0)
                return false;
            at += bytes;
            note.seq = trailer->seq;
            umbp_log_tomb_t dead = { note.serial, note.size, (uint32_t) note.place };
            if (told && note.type == UMBP_LOG_TYPE_TOMBS)
                tomb (arg, &dead);
            else if (told)
                found (arg, &note);
        }
    }
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  A segment without a table

#define HEAD_ROOM (UMBP_LOG_RECORD_BYTES + UMBP_MEDIUM_KEY_MAX)

//  Do the data of a record match? Tombstones are kept in tombs as they pass.
static bool s_data_match (const umbp_log_note_t *note, umbp_log_fetch_fn *fetch, void *arg,
                          uint8_t *tombs)
{
    XXH3_state_t state;
    XXH3_64bits_reset (&state);
    uint64_t at = note->place + umbp_log_note_data (note);
    for (uint32_t done = 0; done < note->size;) {
        size_t got;
        const uint8_t *bytes = fetch (arg, at + done, note->size - done, &got);
        if (!bytes)
            return false;
        XXH3_64bits_update (&state, bytes, got);
        if (note->type == UMBP_LOG_TYPE_TOMBS)
            memcpy (tombs + done, bytes, got);
        done += (uint32_t) got;
    }
    return XXH3_64bits_digest (&state) == note->sum;
}

//  First place from at on, in steps of 8, where a head may begin, among the bytes that are at hand
static size_t s_skip (const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at + 8 <= size && s_get (bytes + at, 4) != MAGIC_RECORD)
        at += 8;
    return at < size ? at : size;
}

uint64_t umbp_log_scan (uint64_t id, uint64_t seq, uint64_t segment_bytes, umbp_log_fetch_fn *fetch,
                        umbp_log_found_fn *found, umbp_log_tomb_fn *tomb, void *arg,
                        uint64_t *torn_p)
{
    uint8_t key[HEAD_ROOM], tombs[UMBP_LOG_PACKED_MAX];
    uint64_t at = UMBP_LOG_BLOCK, tail = UMBP_LOG_BLOCK;
    while (at + UMBP_LOG_RECORD_BYTES <= segment_bytes) {
        size_t got;
        const uint8_t *bytes = fetch (arg, at, segment_bytes - at, &got);
        size_t skipped = bytes ? s_skip (bytes, got / 8 * 8) : UMBP_LOG_BLOCK - at % UMBP_LOG_BLOCK;
        if (skipped) {                  //  A block that cannot be read is passed over
            at += skipped;
            continue;
        }
        size_t head = 0, room = segment_bytes - at < sizeof key ? segment_bytes - at : sizeof key;
        for (; head < room; head += got) {
            bytes = fetch (arg, at + head, room - head, &got);
            if (!bytes)
                break;
            memcpy (key + head, bytes, got);
        }
        umbp_log_note_t note;
        if (!umbp_log_get_note (&note, key, head, id, seq, at, segment_bytes)) {
            at += 8;
            continue;
        }
        if (!s_data_match (&note, fetch, arg, tombs)) {
            ++*torn_p;
            at += 8;
            continue;
        }
        if (note.type != UMBP_LOG_TYPE_TOMBS)
            found (arg, &note);
        for (size_t one = 0;
             note.type == UMBP_LOG_TYPE_TOMBS && one + sizeof (umbp_log_tomb_t) <= note.size;
             one += sizeof (umbp_log_tomb_t)) {
            umbp_log_tomb_t dead;
            memcpy (&dead, tombs + one, sizeof dead);
            tomb (arg, &dead);
        }
        at += umbp_log_note_room (&note);
        tail = umbp_log_up (at, UMBP_LOG_BLOCK);
    }
    return tail;
}
