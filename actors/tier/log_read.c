//  actors/tier/log_read.c - the segment log: reading a part of a record
//
//  O_DIRECT reads whole blocks. Bytes go straight to the caller's memory where both ends lie well, but for a part of
//  a block at the end; else by way of a buffer, in turns.
#include "actors/tier/log_self.h"

#include <czmq.h>

#include "proto/error.h"

//  Pieces for reading straight, 0 if that cannot be. The tail goes to the stage.
static unsigned s_direct_pieces (umbp_log_request_t *request)
{
    if (request->position % UMBP_LOG_BLOCK)
        return 0;
    unsigned count = 0;
    for (unsigned index = 0; index < request->data_count; index++) {
        struct iovec piece = request->data[index];
        bool last = index + 1 == request->data_count;
        if ((uintptr_t) piece.iov_base % 512 || (!last && piece.iov_len % UMBP_LOG_BLOCK))
            return 0;
        piece.iov_len -= piece.iov_len % UMBP_LOG_BLOCK;
        if (piece.iov_len)
            request->iov[count++] = piece;
    }
    request->tail = (uint32_t) (request->length % UMBP_LOG_BLOCK);
    if (request->tail)
        request->iov[count++] = (struct iovec) { request->stage + UMBP_LOG_BLOCK, UMBP_LOG_BLOCK };
    return count;
}

//  The next bytes that are wanted, and the blocks around them
static void s_read_next (umbp_log_t *self, umbp_log_request_t *request)
{
    uint64_t first = (request->position + request->done) / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK;
    uint64_t last = umbp_log_up (request->position + request->length, UMBP_LOG_BLOCK);
    size_t length = last - first < UMBP_LOG_BOUNCE ? last - first : UMBP_LOG_BOUNCE;
    request->iov[0] = (struct iovec) { request->bounce, length };
    umbp_log_submit (self, request, UMBP_LOG_OP_READ, first, 1);
}

int umbp_log_read (umbp_log_t *self, uint64_t at, uint32_t offset, uint32_t length,
                   const struct iovec *data, size_t count, uint64_t tag)
{
    uint32_t record = (uint32_t) at - 1;
    if (record / UMBP_LOG_CHUNK >= self->chunk_count)
        return UMBP_ENOENT;
    const umbp_log_slot_t *slot = umbp_log_slot (self, record);
    if (slot->turn != at >> 32
        || (slot->state != UMBP_LOG_RECORD_LIVE && slot->state != UMBP_LOG_RECORD_COPYING))
        return UMBP_ENOENT;
    uint64_t bytes = 0;
    for (size_t index = 0; index < count; index++)
        bytes += data[index].iov_len;
    if (length == 0 || offset > slot->size || length > slot->size - offset || bytes != length
        || count > UMBP_MEDIUM_PIECES_MAX)
        return UMBP_EINVAL;
    if (!self->request_free || self->bounce_count == 0)
        return UMBP_EAGAIN;
    umbp_log_drive_t *drive = umbp_log_drive_of (self, slot->segment);
    umbp_log_request_t *request = umbp_log_take_request (self, UMBP_LOG_REQUEST_READ);
    request->drive = drive;
    request->segment = slot->segment;
    request->record = record;
    request->item = slot->item;
    request->tag = tag;
    request->length = length;
    umbp_log_note_t note = {
        .type = slot->packed ? UMBP_LOG_TYPE_PACKED : UMBP_LOG_TYPE_LARGE, .key_size = slot->key_size,
    };
    request->position = umbp_log_base (self, drive, slot->segment) + slot->place8 * UINT64_C (8)
                        + umbp_log_note_data (&note) + offset;
    request->data_count = (unsigned) count;
    memcpy (request->data, data, count * sizeof *data);
    self->segments[slot->segment].readers++;
    unsigned pieces = s_direct_pieces (request);
    if (pieces)
        umbp_log_submit (self, request, UMBP_LOG_OP_READ, request->position, pieces);
    else {
        request->bounce = self->bounces[--self->bounce_count];
        s_read_next (self, request);
    }
    umbp_log_io_kick (self->io);
    return 0;
}

//  What came by way of the buffer. True: there is more to come.
static bool s_take_bounced (umbp_log_t *self, umbp_log_request_t *request)
{
    uint64_t position = request->position + request->done, lead = position % UMBP_LOG_BLOCK;
    uint64_t left = request->length - request->done;
    uint64_t got = left < UMBP_LOG_BOUNCE - lead ? left : UMBP_LOG_BOUNCE - lead;
    umbp_log_scatter (request->data, request->data_count, request->done, request->bounce + lead,
                      got);
    request->done += got;
    if (request->done == request->length)
        return false;
    s_read_next (self, request);
    return true;
}

void umbp_log_read_ended (umbp_log_t *self, umbp_log_request_t *request)
{
    request->status = umbp_log_status (request->job.error);
    if (request->status)
        self->stats.io_errors++;
    else if (request->bounce && !request->late) {
        if (s_take_bounced (self, request))
            return;
    } else if (request->tail && !request->late)
        umbp_log_scatter (request->data, request->data_count, request->length - request->tail,
                          request->stage + UMBP_LOG_BLOCK, request->tail);
    self->segments[request->segment].readers--;
    if (request->late)
        umbp_log_say (self, UMBP_MEDIUM_RELEASED, 0, request->item, request->tag, 0);
    else {
        self->stats.read_bytes += request->status ? 0 : request->length;
        umbp_log_say (self, UMBP_MEDIUM_READ, request->status, request->item, request->tag,
                      umbp_log_at (self, request->record));
    }
    umbp_log_give_request (self, request);
}
