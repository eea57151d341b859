//  actors/tier/lends.c - blocks that engines read where they lie on a device. See lends.h.
#include "actors/tier/lends.h"

#include <sys/random.h>

#include "cluster/origin.h"
#include "proto/scope.h"

#define SPANS_MAX 4096                  //  In an answer, which goes through a door

typedef struct {
    uint32_t item;
    uint64_t at;                        //  In the medium
} lent_t;

typedef struct {
    uint64_t number, door;              //  number: nobody can guess it; 0: free
    int64_t expires;
    uint32_t count;
    lent_t *blocks;
} lend_t;

struct umbp_lends {
    lend_t lends[UMBP_LENDS_MAX];
    size_t count;
    uint64_t blocks, bytes, expired;    //  Held now; lends that ended with their time
    uint64_t all;                       //  Blocks lent so far
};

//  ------------------------------------------------------------------------------------------------
//  The table

static void s_end (umbp_manager_t *self, lend_t *lend)
{
    umbp_lends_t *lends = self->lends;
    for (uint32_t index = 0; index < lend->count; index++) {
        lends->bytes -= umbp_store_block (self->store, lend->blocks[index].item)->size;
        umbp_vram_return (self->args.vram, lend->blocks[index].at);
        umbp_store_unhold (self->store, lend->blocks[index].item);
    }
    lends->blocks -= lend->count;
    lends->count--;
    free (lend->blocks);
    *lend = (lend_t) { 0 };
}

static lend_t *s_find (umbp_lends_t *lends, uint64_t number, uint64_t door)
{
    for (size_t index = 0; lends && number && index < UMBP_LENDS_MAX; index++)
        if (lends->lends[index].number == number && lends->lends[index].door == door)
            return &lends->lends[index];
    return NULL;
}

//  NULL: there are too many
static lend_t *s_place (umbp_manager_t *self)
{
    if (!self->lends)
        self->lends = zmalloc (sizeof (umbp_lends_t));
    for (size_t index = 0; index < UMBP_LENDS_MAX; index++)
        if (self->lends->lends[index].number == 0)
            return &self->lends->lends[index];
    return NULL;
}

void umbp_manager_end_lends_of (umbp_manager_t *self, uint64_t door)
{
    for (size_t index = 0; self->lends && index < UMBP_LENDS_MAX; index++)
        if (self->lends->lends[index].number && self->lends->lends[index].door == door)
            s_end (self, &self->lends->lends[index]);
}

void umbp_manager_expire_lends (umbp_manager_t *self, int64_t now)
{
    for (size_t index = 0; self->lends && self->lends->count && index < UMBP_LENDS_MAX; index++) {
        lend_t *lend = &self->lends->lends[index];
        if (lend->number && lend->expires <= now) {
            self->lends->expired++;
            s_end (self, lend);
        }
    }
}

void umbp_manager_end_lends (umbp_manager_t *self)
{
    for (size_t index = 0; self->lends && index < UMBP_LENDS_MAX; index++)
        if (self->lends->lends[index].number)
            s_end (self, &self->lends->lends[index]);
    freen (self->lends);
}

//  ------------------------------------------------------------------------------------------------
//  device_lease

//  The columns of an answer
typedef struct {
    int8_t statuses[UMBP_LENT_MAX];
    uint32_t sizes[UMBP_LENT_MAX];
    uint64_t sums[UMBP_LENT_MAX];
    uint16_t counts[UMBP_LENT_MAX];
    uint16_t chunks[SPANS_MAX];
    uint64_t offsets[SPANS_MAX], bytes[SPANS_MAX];
    uint32_t spans;
    uint8_t handles[UMBP_VRAM_CHUNKS_MAX * UMBP_MEMORY_HANDLE_MAX];
    uint64_t chunk_bytes[UMBP_VRAM_CHUNKS_MAX];
    uint32_t handle_count;
    uint16_t rows[UMBP_VRAM_CHUNKS_MAX];             //  Of each chunk, plus one; 0: it is not named
} sheet_t;

//  The row of a chunk in the answer
static uint16_t s_row (const umbp_vram_t *vram, sheet_t *sheet, uint16_t chunk)
{
    if (sheet->rows[chunk] == 0) {
        const umbp_memory_handle_t *handle = umbp_vram_handle (vram, chunk);
        memcpy (sheet->handles + (size_t) sheet->handle_count * UMBP_MEMORY_HANDLE_MAX,
                handle->bytes, UMBP_MEMORY_HANDLE_MAX);
        sheet->chunk_bytes[sheet->handle_count] = handle->block_bytes;
        sheet->rows[chunk] = (uint16_t) ++sheet->handle_count;
    }
    return (uint16_t) (sheet->rows[chunk] - 1);
}

//  Hold one block where it lies. Returns its status.
static int s_lend (umbp_manager_t *self, uint32_t item, sheet_t *sheet, size_t index, lent_t *lent)
{
    umbp_vram_span_t spans[UMBP_MEDIUM_PIECES_MAX];
    const umbp_block_t *block = umbp_store_block (self->store, item);
    if (block->place == UMBP_STORE_NOWHERE)
        return UMBP_EAGAIN;             //  On its way there
    int count = umbp_vram_lend (self->args.vram, block->place, spans);
    if (count < 0)
        return count;
    if (sheet->spans + (uint32_t) count > SPANS_MAX) {
        umbp_vram_return (self->args.vram, block->place);
        return UMBP_EAGAIN;
    }
    for (int row = 0; row < count; row++, sheet->spans++) {
        sheet->chunks[sheet->spans] = s_row (self->args.vram, sheet, spans[row].chunk);
        sheet->offsets[sheet->spans] = spans[row].offset;
        sheet->bytes[sheet->spans] = spans[row].bytes;
    }
    sheet->sizes[index] = block->size;
    sheet->sums[index] = block->sum;
    sheet->counts[index] = (uint16_t) count;
    *lent = (lent_t) { item, block->place };
    umbp_store_hold (self->store, item);
    self->lends->bytes += block->size;
    self->hit_bytes += block->size;
    return 0;
}

static void s_lend_all (umbp_manager_t *self, const umbp_column_t *keys, sheet_t *sheet,
                        lend_t *lend)
{
    size_t offset = 0;
    self->tick++;
    for (size_t index = 0; index < keys->count; index++) {
        umbp_bytes_t key = umbp_column_next (keys, index, &offset);
        uint32_t item = umbp_store_find (self->store, key.data, key.size);
        bool here = item != UMBP_STORE_NONE;
        *(here ? &self->hits : &self->misses) += 1;
        if (here)
            umbp_store_touch (self->store, item, self->tick);
        sheet->statuses[index] =
            (int8_t) (here ? s_lend (self, item, sheet, index, &lend->blocks[lend->count])
                           : UMBP_ENOENT);
        lend->count += sheet->statuses[index] == 0;
    }
}

static void s_answer (umbp_manager_t *self, const umbp_mail_t *mail, const sheet_t *sheet,
                      uint32_t count, uint64_t lease)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_device_lease_ok, 0);
    umbp_msg_device_lease_ok_t *ok = &answer.device_lease_ok;
    ok->statuses = (umbp_s8s_t) { sheet->statuses, count };
    ok->sizes = (umbp_u32s_t) { sheet->sizes, count };
    ok->sums = (umbp_u64s_t) { sheet->sums, count };
    ok->counts = (umbp_u16s_t) { sheet->counts, count };
    ok->chunks = (umbp_u16s_t) { sheet->chunks, sheet->spans };
    ok->offsets = (umbp_u64s_t) { sheet->offsets, sheet->spans };
    ok->bytes = (umbp_u64s_t) { sheet->bytes, sheet->spans };
    ok->handles = (umbp_bytes_t){ sheet->handles, sheet->handle_count * UMBP_MEMORY_HANDLE_MAX };
    ok->chunk_bytes = (umbp_u64s_t) { sheet->chunk_bytes, sheet->handle_count };
    ok->kind = umbp_text (umbp_vram_kind (self->args.vram));
    ok->device = (uint64_t) umbp_vram_number (self->args.vram);
    ok->lease = lease;
    ok->ttl_ms = self->args.lease_ttl_ms;
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

static uint64_t s_number (void)
{
    uint64_t number = 0;
    while (number == 0)
        if (getrandom (&number, sizeof number, 0) != sizeof number)
            number = 0;
    return number;
}

void umbp_manager_on_device_lease (void *owner, const umbp_mail_t *mail)
{
    static const char *const whys[] = { "blocks of this tier are in no device's memory",
                                        "only through the door of this actor",
                                        "more than 256 blocks", "too many are held" };
    umbp_manager_t *self = owner;
    const umbp_column_t *said = &mail->msg->device_lease.keys;
    uint8_t scoped[UMBP_LENT_MAX * UMBP_SCOPED_KEY_MAX];
    uint16_t sizes[UMBP_LENT_MAX];
    lend_t *lend = s_place (self);
    int why = !self->args.vram              ? 0
              : !mail->origin->door         ? 1
              : said->count > UMBP_LENT_MAX ? 2
              : !lend                       ? 3
                                            : -1;
    if (why >= 0) {
        static const int codes[] = { UMBP_ENOTSUP, UMBP_EDENIED, UMBP_ETOOBIG, UMBP_EAGAIN };
        umbp_post_refuse (self->post, mail->origin, codes[why], "device_lease", whys[why]);
        return;
    }
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    umbp_column_t keys = umbp_scope_column (*said, tenant, scoped, sizes);
    sheet_t *sheet = zmalloc (sizeof (sheet_t));
    *lend = (lend_t) { .door = mail->origin->door,
                       .expires = zclock_mono () + self->args.lease_ttl_ms,
                       .blocks = zmalloc ((keys.count + 1) * sizeof (lent_t)) };
    s_lend_all (self, &keys, sheet, lend);
    self->lends->blocks += lend->count;
    self->lends->all += lend->count;
    if (lend->count > 0) {
        lend->number = s_number ();
        self->lends->count++;
    } else
        freen (lend->blocks);
    s_answer (self, mail, sheet, keys.count, lend->number);
    free (sheet);
}

//  ------------------------------------------------------------------------------------------------
//  device_check

void umbp_manager_on_device_check (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_device_check_t *ask = &mail->msg->device_check;
    int64_t now = zclock_mono ();
    int rc = 0;
    for (size_t index = 0; index < ask->leases.count; index++) {
        lend_t *lend = s_find (self->lends, umbp_u64s_at (ask->leases, index), mail->origin->door);
        if (!lend || lend->expires <= now)
            rc = UMBP_ESTALE;
        if (lend && ask->release)
            s_end (self, lend);
    }
    umbp_post_answer_status (self->post, mail->origin, rc);
}

void umbp_manager_stat_lends (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    static const umbp_lends_t none;
    const umbp_lends_t *lends = self->lends ? self->lends : &none;
    uint64_t total, left;
    if (!self->args.vram)
        return;
    umbp_vram_room (self->args.vram, &total, &left);
    umbp_gauges_add (gauges, "device_bytes", total);
    umbp_gauges_add (gauges, "device_free_bytes", left);
    umbp_gauges_add (gauges, "lends", lends->count);
    umbp_gauges_add (gauges, "lent_blocks", lends->blocks);
    umbp_gauges_add (gauges, "lent_bytes", lends->bytes);
    umbp_gauges_add (gauges, "blocks_lent", lends->all);
    umbp_gauges_add (gauges, "lends_expired", lends->expired);
}
