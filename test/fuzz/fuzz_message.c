//  test/fuzz/fuzz_message.c - the codec of messages: whatever the bytes, decode gives a message that
//  keeps every limit of the table and says the same again once it was encoded, or a named error.
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "cluster/bulk/pairs.h"
#include "proto/message.h"
#include "proto/splitmix.h"

#define ROOM (UMBP_MESSAGE_MAX + UMBP_INLINE_MAX)
#define ARENA 2048                      //  Bytes in the columns of a message that we make up

static uint8_t s_wire[ROOM];

//  Refused: the sender can be told what was wrong with what
static void s_refused (const umbp_msg_t *msg, int rc)
{
    FUZZ_CHECK (rc == UMBP_EPROTO || rc == UMBP_EINVAL || rc == UMBP_ETOOBIG || rc == UMBP_ENOTSUP);
    FUZZ_CHECK (msg->fault && *msg->fault && msg->fault_field && *msg->fault_field);
    FUZZ_CHECK (*umbp_errname (rc) && *umbp_strerror (rc));
}

static void s_printed (const umbp_msg_t *msg)
{
    static char text[1 << 16];
    static const size_t sizes[] = { 1, 40, sizeof text };
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        size_t length = umbp_msg_print (msg, text, sizes[index]);
        FUZZ_CHECK (length < sizes[index] && strlen (text) == length);
    }
}

//  Queue pairs of a peer: refused, or what a link is connected to, and said again they are the same
static void s_linked (umbp_pairs_t pairs)
{
    umbp_verbs_description_t peer, again;
    umbp_pairs_room_t room;
    if (!umbp_pairs_read (&pairs, &peer))
        return;
    FUZZ_CHECK (peer.count > 0 && peer.count <= UMBP_VERBS_QUEUES_MAX);
    pairs = umbp_pairs_write (&peer, &room);
    FUZZ_CHECK (umbp_pairs_read (&pairs, &again));
    FUZZ_CHECK (peer.count == again.count);
    for (size_t index = 0; index < peer.count; index++) {
        const umbp_verbs_queue_t *one = &peer.queues[index], *other = &again.queues[index];
        FUZZ_CHECK (one->number == other->number && one->psn == other->psn);
        FUZZ_CHECK (one->lid == other->lid && one->mtu == other->mtu && one->reads == other->reads);
        FUZZ_CHECK (one->device == other->device && memcmp (one->gid, other->gid, 16) == 0);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static umbp_msg_t msg, again;
    int rc = umbp_msg_decode (&msg, data, size);
    s_printed (&msg);
    if (rc < 0) {
        s_refused (&msg, rc);
        return 0;
    }
    FUZZ_CHECK (rc > 0 && (size_t) rc <= size);
    FUZZ_CHECK (umbp_msg_check (&msg) == 0 && umbp_msg_name (msg.type));
    int wrote = umbp_msg_encode (&msg, s_wire, sizeof s_wire);
    FUZZ_CHECK (wrote > 0);
    FUZZ_CHECK (umbp_msg_decode (&again, s_wire, (size_t) wrote) == wrote);
    FUZZ_CHECK (umbp_msg_equal (&msg, &again));
    if (msg.type == UMBP_MSG_join)
        s_linked (UMBP_PAIRS_OF (&msg.join));
    else if (msg.type == UMBP_MSG_join_ok)
        s_linked (UMBP_PAIRS_OF (&msg.join_ok));
    return 0;
}

//  Now and then a message that is sound, of any type, for the others to be made from. It may be
//  larger than what fits: then the bytes are mutated as ever.
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    static uint8_t arena[ARENA], wire[2 * ARENA];
    uint64_t state = seed;
    if (umbp_splitmix (&state) % 16 == 0) {
        umbp_msg_t msg;
        int type = (int) (umbp_splitmix (&state) % UMBP_MSG_LAST), wrote = -1;
        if (umbp_msg_random (&msg, type, &state, arena, sizeof arena) == 0)
            wrote = umbp_msg_encode (&msg, wire, sizeof wire);
        if (wrote > 0 && (size_t) wrote <= size_max) {
            memcpy (data, wire, (size_t) wrote);
            return (size_t) wrote;
        }
    }
    return LLVMFuzzerMutate (data, size, size_max);
}
