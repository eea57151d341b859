//  client/wire.c - messages of a lane: sent through a door or over ZeroMQ, and the answers to them.
//  Frames over ZeroMQ are those of cluster/link.h, with an empty origin; through a door a message
//  is one datagram, with the payload behind the CBOR item.
#include "client/lane.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>

#include "client/batch.h"
#include "cluster/bulk/clock.h"

#define ADDRESS_MAX (2 * UMBP_NAME_MAX + 2)
#define ANSWER_MARGIN_MS 250            //  The node gives up so much before us, so that it can tell

static uint64_t s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

//  ------------------------------------------------------------------------------------------------
//  Send

//  Wait until a message can be sent. Returns false if it cannot by the deadline.
static bool s_wait_room (void *handle, int fd, int64_t deadline_ms)
{
    zmq_pollitem_t item = { .socket = handle, .fd = fd, .events = ZMQ_POLLOUT };
    for (;;) {
        int64_t left = deadline_ms - umbp_clock_ms ();
        if (left <= 0)
            return false;
        if (zmq_poll (&item, 1, (long) left) > 0)
            return true;
    }
}

//  One message. The first frame decides: once it was taken the others are sent whatever happens, or
//  their remains would spoil the next message.
static int s_send_wire (umbp_lane_t *lane, const char *actor, const char *node, size_t size,
                        const void *payload, size_t payload_size, int64_t deadline_ms)
{
    char address[ADDRESS_MAX];
    int length = snprintf (address, sizeof address, node ? "%s@%s" : "%s", actor, node);
    while (zmq_send (lane->socket, address, (size_t) length, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1)
        if ((errno != EAGAIN && errno != EINTR) || !s_wait_room (lane->socket, 0, deadline_ms)) {
            umbp_lane_redial (lane);
            return UMBP_EUNREACH;
        }
    int more = payload_size ? ZMQ_SNDMORE : 0;
    bool sent = zmq_send (lane->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) != -1;
    sent &= zmq_send (lane->socket, lane->wire, size, more | ZMQ_DONTWAIT) != -1;
    if (payload_size)
        sent &= zmq_send (lane->socket, payload, payload_size, ZMQ_DONTWAIT) != -1;
    return sent ? 0 : UMBP_EUNREACH;
}

static int s_send_door (umbp_lane_t *lane, int number, size_t size, const void *payload,
                        size_t payload_size, int64_t deadline_ms)
{
    if (payload_size)
        memcpy (lane->wire + size, payload, payload_size);
    int fd = lane->doors[number].fd, rc;
    while ((rc = umbp_shm_send (fd, lane->wire, size + payload_size, NULL, 0)) == UMBP_EAGAIN)
        if (!s_wait_room (NULL, fd, deadline_ms))
            break;
    return rc;
}

//  Which door a message of that size takes, UMBP_NO_DOOR: none
static int s_door (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                   size_t size)
{
    if (way == UMBP_WAY_WIRE || size > UMBP_DOOR_BYTES)
        return UMBP_NO_DOOR;
    return umbp_door_find (lane, actor, node ? node : lane->pool->node);
}

static int s_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                   umbp_msg_t *msg, const void *payload, size_t payload_size, int64_t deadline_ms,
                   int *door_p)
{
    int size = umbp_msg_encode (msg, lane->wire, UMBP_MESSAGE_MAX);
    if (size < 0)
        return size;
    int door = s_door (lane, way, actor, node, (size_t) size + payload_size);
    int rc = UMBP_ECLOSED;
    if (door != UMBP_NO_DOOR) {
        rc = s_send_door (lane, door, (size_t) size, payload, payload_size, deadline_ms);
        if (rc != 0) {
            umbp_door_close (lane, door);
            door = UMBP_NO_DOOR;
        }
    }
    if (door == UMBP_NO_DOOR && way != UMBP_WAY_DOOR)
        rc = s_send_wire (lane, actor, node, (size_t) size, payload, payload_size, deadline_ms);
    *door_p = door;
    return rc;
}

//  Slots and leases are given to a session
static bool s_bears_session (const umbp_msg_t *msg)
{
    return msg->type == UMBP_MSG_put || msg->type == UMBP_MSG_get;
}

int umbp_wire_send (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                    umbp_msg_t *msg, const void *payload, size_t payload_size, int64_t deadline_ms)
{
    if (lane->question_count == UMBP_QUESTIONS_MAX)
        return UMBP_EAGAIN;
    int64_t left = deadline_ms - umbp_clock_ms ();
    if (left <= 0)
        return UMBP_ETIMEDOUT;
    int64_t margin = left / 8 < ANSWER_MARGIN_MS ? left / 8 : ANSWER_MARGIN_MS;
    msg->id = ++lane->last_id;
    msg->deadline_ms = left - margin < UINT32_MAX ? (uint32_t) (left - margin) : UINT32_MAX;
    int door, rc = s_send (lane, way, actor, node, msg, payload, payload_size, deadline_ms, &door);
    if (rc != 0)
        return rc;
    lane->questions[lane->question_count++] =
        (umbp_question_t) { .id = msg->id, .door = door, .gift = s_bears_session (msg) };
    if (door == UMBP_NO_DOOR)
        lane->wire_open++;
    else
        lane->doors[door].open++;
    return 0;
}

void umbp_wire_tell (umbp_lane_t *lane, umbp_way_t way, const char *actor, const char *node,
                     umbp_msg_t *msg)
{
    int door;
    msg->id = 0;
    msg->deadline_ms = 0;
    s_send (lane, way, actor, node, msg, NULL, 0, 0, &door);
}

//  ------------------------------------------------------------------------------------------------
//  Receive

static void s_expect_late (umbp_lane_t *lane, const umbp_question_t *question)
{
    if (!question->gift)
        return;
    lane->late[lane->late_next] = question->id;
    lane->late_next = (lane->late_next + 1) % UMBP_LATE_GIFTS_MAX;
}

//  Release, or abort, what one node gave
static void s_give_back (umbp_lane_t *lane, const umbp_column_t *nodes, size_t row, unsigned tier,
                         umbp_msg_t *msg)
{
    char node[UMBP_NAME_MAX + 1];
    size_t at = 0;
    umbp_bytes_t name = { NULL, 0 };
    for (size_t index = 0; index <= row; index++)
        name = umbp_column_next (nodes, index, &at);
    umbp_text_copy ((umbp_text_t) { (const char *) name.data, name.size }, node, sizeof node);
    const char *actor = umbp_tier_actor (tier);
    if (actor)
        umbp_wire_tell (lane, UMBP_WAY_WIRE, actor, node, msg);
}

static void s_give_back_leases (umbp_lane_t *lane, const umbp_msg_get_ok_t *ok)
{
    for (size_t row = 0; row < ok->nodes.count && row < ok->leases.count; row++) {
        uint64_t lease = umbp_u64s_at (ok->leases, row);
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_release, 0);
        msg.release.leases = (umbp_u64s_t) { &lease, 1 };
        if (lease)
            s_give_back (lane, &ok->nodes, row,
                         row < ok->tiers.count ? umbp_u8s_at (ok->tiers, row) : UMBP_TIER_DRAM,
                         &msg);
    }
}

static void s_give_back_slots (umbp_lane_t *lane, const umbp_msg_put_ok_t *ok)
{
    uint64_t slots[UMBP_BATCH_MAX];
    for (size_t row = 0; row < ok->nodes.count; row++) {
        uint32_t count = 0;
        for (size_t index = 0; index < ok->slots.count && index < ok->refs.count; index++)
            if (umbp_u16s_at (ok->refs, index) == row && umbp_u64s_at (ok->slots, index))
                slots[count++] = umbp_u64s_at (ok->slots, index);
        umbp_msg_t msg;
        umbp_msg_init (&msg, UMBP_MSG_abort, 0);
        msg.abort.slots = (umbp_u64s_t) { slots, count };
        if (count)
            s_give_back (lane, &ok->nodes, row,
                         row < ok->tiers.count ? umbp_u8s_at (ok->tiers, row) : UMBP_TIER_DRAM,
                         &msg);
    }
}

//  An answer to no open question. Our session was renewed when its question ended (umbp_lane_renew),
//  so what it gives us would end with its time; but that may be long, and holds pages.
static void s_take_late (umbp_lane_t *lane, const umbp_msg_t *msg)
{
    size_t place = 0;
    while (place < UMBP_LATE_GIFTS_MAX && (msg->id == 0 || lane->late[place] != msg->id))
        place++;
    if (place == UMBP_LATE_GIFTS_MAX)
        return;
    lane->late[place] = 0;
    if (msg->type == UMBP_MSG_get_ok)
        s_give_back_leases (lane, &msg->get_ok);
    else if (msg->type == UMBP_MSG_put_ok)
        s_give_back_slots (lane, &msg->put_ok);
}

void umbp_wire_abandon (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->question_count; index++)
        s_expect_late (lane, &lane->questions[index]);
    lane->question_count = lane->lost_count = 0;
    lane->wire_open = 0;
    for (size_t index = 0; index < lane->door_count; index++)
        lane->doors[index].open = 0;
}

//  Take a question out of the list
static void s_close_question (umbp_lane_t *lane, size_t index)
{
    umbp_question_t question = lane->questions[index];
    lane->questions[index] = lane->questions[--lane->question_count];
    if (question.lost)
        lane->lost_count--;
    else if (question.door == UMBP_NO_DOOR)
        lane->wire_open--;
    else
        lane->doors[question.door].open--;
}

//  Read what came. Returns the answer, or NULL if it answers no open question: it is too late.
static umbp_answer_t *s_take (umbp_lane_t *lane, int door, const uint8_t *data, size_t size)
{
    umbp_answer_t *answer = &lane->answer;
    int rc = umbp_msg_decode (&answer->msg, data, size);
    size_t index = 0;
    while (index < lane->question_count
           && (lane->questions[index].id != answer->msg.id || lane->questions[index].lost
               || lane->questions[index].door != door))
        index++;
    if (index == lane->question_count) {
        if (rc > 0)
            s_take_late (lane, &answer->msg);
        return NULL;
    }
    s_close_question (lane, index);
    answer->id = answer->msg.id;
    answer->by_door = door != UMBP_NO_DOOR;
    answer->payload = rc > 0 ? data + rc : NULL;
    answer->payload_size = rc > 0 ? size - (size_t) rc : 0;
    answer->status = rc < 0 ? rc : answer->msg.status > 0 ? UMBP_EPROTO : answer->msg.status;
    return answer;
}

//  All frames of one message into lane->frames. Returns how many there were, 0 if nothing waits.
static size_t s_receive (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->frame_count; index++)
        zmq_msg_close (&lane->frames[index]);
    lane->frame_count = 0;
    size_t count = 0;
    for (bool more = true; more; count++) {
        zmq_msg_t spare;
        bool fits = lane->frame_count < sizeof lane->frames / sizeof *lane->frames;
        zmq_msg_t *frame = fits ? &lane->frames[lane->frame_count] : &spare;
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, lane->socket, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (frame);
            return 0;
        }
        more = zmq_msg_more (frame);
        if (fits)
            lane->frame_count++;
        else
            zmq_msg_close (&spare);
    }
    return count;
}

//  *any_p: something was there, though perhaps not what we wait for
static umbp_answer_t *s_hear_wire (umbp_lane_t *lane, bool *any_p)
{
    size_t count = s_receive (lane);
    *any_p = count > 0;
    if (count < 3 || count > 4)
        return NULL;
    zmq_msg_t *body = &lane->frames[2];
    umbp_answer_t *answer = s_take (lane, UMBP_NO_DOOR, zmq_msg_data (body), zmq_msg_size (body));
    if (answer) {
        if (answer->payload_size)
            answer->status = UMBP_EPROTO;                    //  Bytes behind the CBOR item
        answer->payload = count == 4 ? zmq_msg_data (&lane->frames[3]) : NULL;
        answer->payload_size = count == 4 ? zmq_msg_size (&lane->frames[3]) : 0;
    }
    return answer;
}

static umbp_answer_t *s_hear_door (umbp_lane_t *lane, int number, bool *any_p)
{
    int fd = lane->doors[number].fd;
    ssize_t size = recv (fd, lane->datagram, UMBP_DATAGRAM_MAX, MSG_DONTWAIT | MSG_TRUNC);
    *any_p = size > 0;
    if (size > 0 && (size_t) size <= UMBP_DATAGRAM_MAX)
        return s_take (lane, number, lane->datagram, (size_t) size);
    if (size >= 0 || (errno != EAGAIN && errno != EINTR))
        umbp_door_close (lane, number);
    return NULL;
}

//  The end of a question whose door has closed
static umbp_answer_t *s_lose (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->question_count; index++)
        if (lane->questions[index].lost) {
            lane->answer = (umbp_answer_t){ .id = lane->questions[index].id,
                                            .by_door = true,
                                             .status = UMBP_ECLOSED };
            s_close_question (lane, index);
            return &lane->answer;
        }
    return NULL;
}

//  Look everywhere once
static umbp_answer_t *s_look (umbp_lane_t *lane)
{
    bool any = true;
    umbp_answer_t *answer = NULL;
    for (size_t index = 0; index < lane->door_count; index++) {
        any = lane->doors[index].open > 0;
        while (!answer && any && lane->doors[index].open > 0)
            answer = s_hear_door (lane, (int) index, &any);
        if (answer)
            return answer;
    }
    if (lane->lost_count > 0)
        return s_lose (lane);
    any = lane->wire_open > 0;
    while (!answer && any)
        answer = s_hear_wire (lane, &any);
    return answer;
}

//  Sleep until something comes, or the deadline
static void s_sleep (umbp_lane_t *lane, int64_t deadline_ms)
{
    zmq_pollitem_t items[1 + UMBP_DOORS_MAX];
    int count = 0;
    if (lane->wire_open > 0)
        items[count++] = (zmq_pollitem_t) { .socket = lane->socket, .events = ZMQ_POLLIN };
    for (size_t index = 0; index < lane->door_count; index++)
        if (lane->doors[index].open > 0)
            items[count++] = (zmq_pollitem_t){ .fd = lane->doors[index].fd, .events = ZMQ_POLLIN };
    int64_t left = deadline_ms - umbp_clock_ms ();
    if (left > 0)
        zmq_poll (items, count, (long) left);
}

//  Nothing is there, for the first time in this wait or again. Returns whether to look again at once.
static bool s_spin (umbp_lane_t *lane, bool first, uint64_t now_us)
{
    umbp_spin_t *spin = &lane->spin;
    if (spin->max_us != lane->pool->spin_us)                 //  The node told us only now
        umbp_spin_init (spin, lane->pool->spin_us);
    if (spin->max_us == 0)
        return false;
    if (first)
        return umbp_spin_begin (spin, (int64_t) now_us);
    uint64_t spent_us = spin->spent_us;
    bool again = umbp_spin_again (spin, (int64_t) now_us);
    lane->stats.spin_us += spin->spent_us - spent_us;
    return again;
}

umbp_answer_t *umbp_wire_wait (umbp_lane_t *lane, int64_t deadline_ms)
{
    bool first = true, again = true;
    for (;; first = false) {
        umbp_answer_t *answer = s_look (lane);
        if (answer) {
            if (!first && umbp_spin_waits (&lane->spin))
                umbp_spin_found (&lane->spin, (int64_t) s_now_us ());
            return answer;
        }
        uint64_t now_us = s_now_us ();
        if (lane->question_count == 0 || (int64_t) (now_us / 1000) >= deadline_ms) {
            umbp_wire_abandon (lane);
            return NULL;
        }
        again = again && s_spin (lane, first, now_us);
        if (again)
            sched_yield ();
        else
            s_sleep (lane, deadline_ms);
    }
}

umbp_answer_t *umbp_wire_ask (umbp_lane_t *lane, umbp_way_t way, const char *actor,
                              const char *node, umbp_msg_t *msg, const void *payload,
                              size_t payload_size, int expected, int64_t deadline_ms, int *rc_p)
{
    for (;;) {
        *rc_p = umbp_wire_send (lane, way, actor, node, msg, payload, payload_size, deadline_ms);
        if (*rc_p != 0)
            return NULL;
        umbp_answer_t *answer;
        do
            answer = umbp_wire_wait (lane, deadline_ms);
        while (answer && answer->id != msg->id);
        if (!answer) {
            lane->stats.timeouts++;
            *rc_p = UMBP_ETIMEDOUT;
            return NULL;
        }
        *rc_p = answer->status == 0 && answer->msg.type != expected ? UMBP_EPROTO : answer->status;
        if (*rc_p == 0)
            return answer;
        //  A door closed, or was too small for the answer: the long way takes it
        if (way != UMBP_WAY_ANY || !answer->by_door || s_bears_session (msg)
            || (*rc_p != UMBP_ECLOSED && *rc_p != UMBP_ETOOBIG))
            return NULL;
        way = UMBP_WAY_WIRE;
    }
}
