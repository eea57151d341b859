//  actors/mover_here.c - moves blocks between pages of this process. See mover_here.h.
#include "actors/mover_here.h"

#include <string.h>

#include "cluster/bulk/copy.h"
#include "proto/error.h"

#define SPANS_MAX 128                   //  Extents of a block: see tier/store.h

//  A block that is held
typedef struct {
    umbp_bulk_server_t *server;
    umbp_card_t *card;
    umbp_piece_t spans[SPANS_MAX];
    umbp_cursor_t cursor;               //  On what is left of the bytes that were asked for
} hold_t;

umbp_bulk_server_t *umbp_here_find (const umbp_here_t *here, size_t count, const char *endpoint)
{
    for (size_t index = 0; index < count; index++)
        if (strcmp (here[index].endpoint, endpoint) == 0)
            return here[index].server;
    return NULL;
}

static void s_let_go (hold_t *hold)
{
    umbp_bulk_server_let_go (hold->server, &hold->card);
}

//  Returns 0 and holds it, or an error
static int s_hold (const umbp_here_block_t *block, bool write, uint64_t offset, uint64_t size,
                   hold_t *hold)
{
    hold->server = block->server;
    int count = umbp_bulk_server_hold (block->server, block->session, block->token, block->item,
                                       write, &hold->card, hold->spans, SPANS_MAX);
    if (count <= 0)
        return count < 0 ? count : UMBP_EDENIED;
    uint64_t total = umbp_piece_total (hold->spans, (size_t) count);
    if (offset > total || size > total - offset) {
        s_let_go (hold);
        return UMBP_EDENIED;
    }
    umbp_cursor_set (&hold->cursor, hold->spans, offset, size);
    return 0;
}

//  The next bytes in one run
static umbp_piece_t s_run (const umbp_cursor_t *cursor)
{
    struct iovec run = { NULL, 0 };
    umbp_cursor_vectors (cursor, &run, 1, SIZE_MAX, NULL);
    return (umbp_piece_t) { run.iov_base, run.iov_len };
}

static uint64_t s_copy (hold_t *from, hold_t *to, uint64_t size)
{
    umbp_sum_t sum;
    umbp_sum_init (&sum, size);
    while (from->cursor.left > 0) {
        umbp_piece_t source = s_run (&from->cursor), target = s_run (&to->cursor);
        size_t bytes = source.size < target.size ? source.size : target.size;
        umbp_sum_copy (&sum, target.base, source.base, bytes);
        umbp_cursor_skip (&from->cursor, bytes);
        umbp_cursor_skip (&to->cursor, bytes);
    }
    return umbp_sum_final (&sum);
}

int umbp_here_copy (const umbp_here_block_t *from, const umbp_here_block_t *to, uint64_t size,
                    uint64_t sum)
{
    hold_t source, target;
    int rc = s_hold (from, false, 0, size, &source);
    if (rc != 0)
        return rc;
    rc = s_hold (to, true, 0, size, &target);
    if (rc == 0) {
        rc = s_copy (&source, &target, size) == sum ? 0 : UMBP_ECHECKSUM;
        s_let_go (&target);
    }
    s_let_go (&source);
    return rc;
}

int umbp_here_write (const umbp_here_block_t *to, uint64_t offset, const void *data, size_t size)
{
    hold_t target;
    int rc = s_hold (to, true, offset, size, &target);
    if (rc != 0)
        return rc;
    umbp_cursor_put (&target.cursor, data, size);
    s_let_go (&target);
    return 0;
}
