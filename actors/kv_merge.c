//  actors/kv_merge.c - one answer to kv_match from those of several nodes. See kv_merge.h. Matches
//  are noted as they come, as pairs of row and hash, and put in order only when the answer is
//  written: a row is one engine and one tier.
#include "actors/kv_merge.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#define TIERS_MAX 8
#define ENGINES_MAX UMBP_BATCH_MAX      //  The limit of a column
#define SLOTS (2 * ENGINES_MAX)         //  A power of two
#define IDS_MAX (128u << 10)            //  Bytes of all ids
#define PAIRS_MAX 65536                 //  The limit of matches

typedef struct {
    uint16_t row, hash;
} pair_t;

typedef struct {
    uint32_t id_at, address_at;         //  In their arenas
    uint16_t rows[TIERS_MAX];           //  Row of each tier, plus 1
} engine_t;

typedef struct {
    uint16_t engine;
    uint8_t tier;
} row_t;

struct umbp_kv_merge {
    bool full;                          //  Something did not fit
    size_t hash_count, engine_count, row_count, pair_count;
    uint32_t ids_size, addresses_size;
    bool matched[UMBP_BATCH_MAX];       //  By hash
    uint16_t slots[SLOTS];              //  Engines by a hash of their id, number plus 1
    engine_t engines[ENGINES_MAX];
    uint16_t id_sizes[ENGINES_MAX], address_sizes[ENGINES_MAX];
    row_t rows[UMBP_EXTENTS_MAX];
    pair_t pairs[PAIRS_MAX];
    uint8_t ids[IDS_MAX], addresses[UMBP_KV_ADDRESSES_MAX];
};

umbp_kv_merge_t *umbp_kv_merge_new (void)
{
    umbp_kv_merge_t *self = calloc (1, sizeof (umbp_kv_merge_t));
    assert (self);
    return self;
}

void umbp_kv_merge_destroy (umbp_kv_merge_t **self_p)
{
    assert (self_p);
    free (*self_p);
    *self_p = NULL;
}

void umbp_kv_merge_reset (umbp_kv_merge_t *self, size_t hash_count)
{
    assert (hash_count <= UMBP_BATCH_MAX);
    self->full = false;
    self->hash_count = hash_count;
    self->engine_count = self->row_count = self->pair_count = 0;
    self->ids_size = self->addresses_size = 0;
    memset (self->matched, 0, hash_count * sizeof *self->matched);
    memset (self->slots, 0, sizeof self->slots);
}

static int s_full (umbp_kv_merge_t *self)
{
    self->full = true;
    return UMBP_ETOOBIG;
}

//  Where the number of an engine is written, or would be
static uint16_t *s_slot (umbp_kv_merge_t *self, umbp_text_t id)
{
    //  The seed differs from run to run, so that nobody can aim at one slot
    size_t at = XXH3_64bits_withSeed (id.data, id.size, (uintptr_t) self);
    for (;; at++) {
        uint16_t *slot = &self->slots[at % SLOTS];
        if (*slot == 0)
            return slot;
        size_t number = *slot - 1u;
        if (self->id_sizes[number] == id.size
            && memcmp (self->ids + self->engines[number].id_at, id.data, id.size) == 0)
            return slot;
    }
}

//  Returns 0, or UMBP_ETOOBIG if all addresses together get too long
static int s_set_address (umbp_kv_merge_t *self, size_t number, umbp_text_t address)
{
    if (self->address_sizes[number] || address.size == 0)
        return 0;
    if (self->addresses_size + address.size > UMBP_KV_ADDRESSES_MAX)
        return s_full (self);
    memcpy (self->addresses + self->addresses_size, address.data, address.size);
    self->engines[number].address_at = self->addresses_size;
    self->address_sizes[number] = (uint16_t) address.size;
    self->addresses_size += address.size;
    return 0;
}

int umbp_kv_merge_engine (umbp_kv_merge_t *self, umbp_text_t id, umbp_text_t address)
{
    uint16_t *slot = s_slot (self, id);
    if (*slot == 0) {
        if (self->engine_count == ENGINES_MAX || self->ids_size + id.size > IDS_MAX)
            return s_full (self);
        size_t number = self->engine_count++;
        self->engines[number] = (engine_t) { .id_at = self->ids_size };
        self->id_sizes[number] = (uint16_t) id.size;
        self->address_sizes[number] = 0;
        memcpy (self->ids + self->ids_size, id.data, id.size);
        self->ids_size += id.size;
        *slot = (uint16_t) (number + 1);
    }
    int rc = s_set_address (self, *slot - 1u, address);
    return rc ? rc : *slot - 1;
}

int umbp_kv_merge_add (umbp_kv_merge_t *self, int engine, unsigned tier, size_t hash)
{
    assert (engine >= 0 && (size_t) engine < self->engine_count && tier >= 1 && tier <= TIERS_MAX
            && hash < self->hash_count);
    uint16_t *row = &self->engines[engine].rows[tier - 1];
    if (self->pair_count == PAIRS_MAX || (*row == 0 && self->row_count == UMBP_EXTENTS_MAX))
        return s_full (self);
    if (*row == 0) {
        self->rows[self->row_count] = (row_t) { (uint16_t) engine, (uint8_t) tier };
        *row = (uint16_t) ++self->row_count;
    }
    self->pairs[self->pair_count++] = (pair_t) { (uint16_t) (*row - 1), (uint16_t) hash };
    self->matched[hash] = true;
    return 0;
}

//  Whether its columns refer to nothing that is not there
static bool s_is_sound (const umbp_kv_merge_t *self, const umbp_msg_kv_match_ok_t *answer)
{
    uint64_t total = 0;
    for (size_t row = 0; row < answer->refs.count; row++) {
        if (umbp_u16s_at (answer->refs, row) >= answer->engines.count
            || umbp_u8s_at (answer->tiers, row) < 1 || umbp_u8s_at (answer->tiers, row) > TIERS_MAX)
            return false;
        total += umbp_u32s_at (answer->counts, row);
    }
    for (size_t index = 0; index < answer->matches.count; index++)
        if (umbp_u16s_at (answer->matches, index) >= self->hash_count)
            return false;
    return total == answer->matches.count && answer->engines.count == answer->addresses.count;
}

int umbp_kv_merge_answer (umbp_kv_merge_t *self, const umbp_msg_kv_match_ok_t *answer)
{
    if (!s_is_sound (self, answer))
        return UMBP_EPROTO;
    int16_t ours[ENGINES_MAX];          //  Our numbers of its engines
    size_t id_at = 0, address_at = 0;
    for (size_t index = 0; index < answer->engines.count; index++) {
        umbp_bytes_t id = umbp_column_next (&answer->engines, index, &id_at);
        umbp_bytes_t address = umbp_column_next (&answer->addresses, index, &address_at);
        int number =
            umbp_kv_merge_engine (self, (umbp_text_t) { (const char *) id.data, id.size },
                                  (umbp_text_t) { (const char *) address.data, address.size });
        if (number < 0)
            return number;
        ours[index] = (int16_t) number;
    }
    size_t at = 0;
    for (size_t row = 0; row < answer->refs.count; row++)
        for (uint32_t left = umbp_u32s_at (answer->counts, row); left > 0; left--) {
            int rc = umbp_kv_merge_add (self, ours[umbp_u16s_at (answer->refs, row)],
                                        umbp_u8s_at (answer->tiers, row),
                                        umbp_u16s_at (answer->matches, at++));
            if (rc < 0)
                return rc;
        }
    return 0;
}

bool umbp_kv_merge_has (const umbp_kv_merge_t *self, size_t hash)
{
    return hash < self->hash_count && self->matched[hash];
}

//  Put the pairs in the order of rows: count, find where each row begins, and deal them out
static void s_order (const umbp_kv_merge_t *self, umbp_kv_columns_t *columns)
{
    memset (columns->first, 0, (self->row_count + 1) * sizeof *columns->first);
    for (size_t index = 0; index < self->pair_count; index++)
        columns->first[self->pairs[index].row + 1]++;
    for (size_t row = 0; row < self->row_count; row++)
        columns->first[row + 1] += columns->first[row];
    for (size_t index = 0; index < self->pair_count; index++) {
        const pair_t *pair = &self->pairs[index];
        columns->ordered[columns->first[pair->row]++] = pair->hash;
    }                                   //  Now first[row] is where the row ends
}

//  Write a row's hashes, each once. Returns how many.
static uint32_t s_write_row (umbp_kv_columns_t *columns, size_t row, uint16_t *out)
{
    uint32_t count = 0;
    for (uint32_t at = row ? columns->first[row - 1] : 0; at < columns->first[row]; at++) {
        uint16_t hash = columns->ordered[at];
        if (columns->seen[hash] == row + 1)
            continue;                   //  Two nodes said the same
        columns->seen[hash] = (uint16_t) (row + 1);
        out[count++] = hash;
    }
    return count;
}

//  Lay the addresses end to end, in the order of the engines. Returns their size.
static uint32_t s_write_addresses (const umbp_kv_merge_t *self, umbp_kv_columns_t *columns)
{
    uint32_t size = 0;
    for (size_t number = 0; number < self->engine_count; number++) {
        memcpy (columns->addresses + size, self->addresses + self->engines[number].address_at,
                self->address_sizes[number]);
        size += self->address_sizes[number];
    }
    return size;
}

int umbp_kv_merge_write (const umbp_kv_merge_t *self, umbp_kv_columns_t *columns,
                         umbp_msg_kv_match_ok_t *answer)
{
    if (self->full)
        return UMBP_ETOOBIG;
    s_order (self, columns);
    memset (columns->seen, 0, self->hash_count * sizeof *columns->seen);
    uint32_t matches = 0, rows = (uint32_t) self->row_count;
    uint32_t engines = (uint32_t) self->engine_count;
    for (size_t row = 0; row < self->row_count; row++) {
        columns->refs[row] = self->rows[row].engine;
        columns->tiers[row] = self->rows[row].tier;
        columns->counts[row] = s_write_row (columns, row, columns->matches + matches);
        matches += columns->counts[row];
    }
    answer->engines = (umbp_column_t) { self->ids, self->id_sizes, self->ids_size, engines };
    answer->addresses = (umbp_column_t) { columns->addresses, self->address_sizes,
                                         s_write_addresses (self, columns), engines };
    answer->refs = (umbp_u16s_t) { columns->refs, rows };
    answer->tiers = (umbp_u8s_t) { columns->tiers, rows };
    answer->counts = (umbp_u32s_t) { columns->counts, rows };
    answer->matches = (umbp_u16s_t) { columns->matches, matches };
    return 0;
}
