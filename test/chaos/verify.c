//  test/chaos/verify.c - what one node says of many blocks. Keys come on stdin, a line each; of
//  each goes to stdout, once,
//
//      S status key variant            get: 0 and its bytes are right, or a number of error.h; a
//                                      status that says "ask again" only after several times
//      X key                           get: its bytes are WRONG
//      S status key                    --put: 0 also if it was there already
//      W key size node,node            --where: its size, and the nodes that have it; "-" for none. With --tiers
//                                      node/tier,node/tier
//
//      chaos-verify --endpoint E [--tcp] [--where [--tiers] | --put] [--timeout MS] [--once]
//
//  --once: do not ask again.
//
//  Exit status: 0 if every key got its line, 1 if the node could not be asked.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bin/talk.h"
#include "client/umbp.h"
#include "test/chaos/block.h"

#define BATCH 32
#define KEY_MAX 64
#define TRIES 4
#define ENDS_S 300

typedef struct {
    const char *endpoint;
    bool tcp, where, tiers, put, once;
    uint32_t timeout_ms;
    umbp_t *pool;
    umbp_talk_t *talk;
    char keys[BATCH][KEY_MAX];
    size_t count;
    umbp_item_t items[BATCH];
    uint8_t *bytes;
} self_t;

//  Returns false at the end of the keys
static bool s_read (self_t *self)
{
    self->count = 0;
    while (self->count < BATCH && fgets (self->keys[self->count], KEY_MAX, stdin)) {
        char *key = self->keys[self->count];
        key[strcspn (key, "\n")] = 0;
        self->count += *key != 0;
    }
    return self->count > 0;
}

static bool s_is_final (int status)
{
    return status == 0 || status == UMBP_ENOENT;
}

//  Get what has no final status yet. Returns how many still have none.
static size_t s_get_rest (self_t *self)
{
    umbp_item_t rest[BATCH];
    size_t of[BATCH], count = 0, left = 0;
    for (size_t index = 0; index < self->count; index++)
        if (!s_is_final (self->items[index].status)) {
            of[count] = index;
            rest[count++] = (umbp_item_t) {
                .key = { self->keys[index], strlen (self->keys[index]) },
                .data = self->bytes + index * CHAOS_BLOCK_MAX, .size = CHAOS_BLOCK_MAX
            };
        }
    umbp_get_batch (self->pool, rest, count, self->timeout_ms);
    for (size_t index = 0; index < count; index++) {
        self->items[of[index]] = rest[index];
        left += !s_is_final (rest[index].status);
    }
    return left;
}

static void s_get (self_t *self)
{
    struct timespec pause = { 0, 300000000 };
    for (size_t index = 0; index < self->count; index++)
        self->items[index].status = UMBP_EAGAIN;
    for (int tries = self->once ? 1 : TRIES; s_get_rest (self) > 0 && tries > 1; tries--)
        nanosleep (&pause, NULL);
    for (size_t index = 0; index < self->count; index++) {
        const umbp_item_t *item = &self->items[index];
        if (item->status == 0 && !chaos_is_right (self->keys[index], item->data, item->size))
            printf ("X %s\n", self->keys[index]);
        else
            printf ("S %d %s %d\n", item->status, self->keys[index],
                    item->status == 0 ? chaos_variant (self->keys[index], item->data, item->size)
                                      : 0);
    }
}

static void s_put (self_t *self)
{
    for (size_t index = 0; index < self->count; index++) {
        const char *key = self->keys[index];
        uint8_t *bytes = self->bytes + index * CHAOS_BLOCK_MAX;
        chaos_fill (key, bytes, chaos_size (key));
        self->items[index] = (umbp_item_t){ .key = { key, strlen (key) },
                                            .data = bytes,
                                             .size = chaos_size (key) };
    }
    umbp_put_batch (self->pool, self->items, self->count, NULL, self->timeout_ms);
    for (size_t index = 0; index < self->count; index++) {
        int status = self->items[index].status;
        printf ("S %d %s\n", status == UMBP_EEXIST ? 0 : status, self->keys[index]);
    }
}

static const umbp_msg_where_ok_t *s_ask (self_t *self)
{
    uint8_t bytes[BATCH * KEY_MAX];
    uint16_t sizes[BATCH];
    uint32_t used = 0;
    umbp_msg_t msg;
    const umbp_msg_t *answer = NULL;
    umbp_msg_init (&msg, UMBP_MSG_where, 0);
    for (size_t index = 0; index < self->count; index++) {
        sizes[index] = (uint16_t) strlen (self->keys[index]);
        memcpy (bytes + used, self->keys[index], sizes[index]);
        used += sizes[index];
    }
    msg.where.keys = (umbp_column_t) { bytes, sizes, used, (uint32_t) self->count };
    int rc = umbp_talk_ask (self->talk, "router", &msg, &answer);
    if (rc != 0)
        fprintf (stderr, "chaos-verify: where: %s\n", umbp_strerror (rc));
    return rc == 0 && answer->where_ok.counts.count == self->count ? &answer->where_ok : NULL;
}

//  Returns false if nobody answers
static bool s_where (self_t *self)
{
    const umbp_msg_where_ok_t *where = NULL;
    for (int tries = TRIES; !where && tries > 0; tries--)
        where = s_ask (self);
    if (!where)
        return false;
    size_t row = 0;
    for (size_t index = 0; index < self->count; index++) {
        size_t end = row + umbp_u8s_at (where->counts, index);
        printf ("W %s %zu %s", self->keys[index], chaos_size (self->keys[index]),
                row == end ? "-\n" : "");
        for (; row < end && row < where->refs.count; row++) {
            size_t offset = 0, ref = umbp_u16s_at (where->refs, row);
            umbp_bytes_t node = { 0 };
            for (size_t number = 0; number <= ref && number < where->nodes.count; number++)
                node = umbp_column_next (&where->nodes, number, &offset);
            printf ("%.*s", (int) node.size, (const char *) node.data);
            if (self->tiers)
                printf ("/%u", umbp_u8s_at (where->tiers, row));
            printf (row + 1 < end ? "," : "\n");
        }
    }
    return true;
}

static int s_run (self_t *self)
{
    umbp_options_t how = { .endpoints = self->endpoint,
                           .timeout_ms = self->timeout_ms,
                           .no_shm = self->tcp };
    char why[256];
    int err = 0;
    if (self->where)
        self->talk = umbp_talk_new_secure (self->endpoint, getenv ("UMBP_CERTIFICATE"),
                                           getenv ("UMBP_SERVER_CERTIFICATE"), self->timeout_ms,
                                           &err, why, sizeof why);
    else
        self->pool = umbp_connect (&how, &err);
    if (!self->talk && !self->pool) {
        fprintf (stderr, "chaos-verify: %s: %s\n", self->endpoint, umbp_strerror (err));
        return 1;
    }
    bool fine = true;
    while (fine && s_read (self)) {
        if (self->where)
            fine = s_where (self);
        else if (self->put)
            s_put (self);
        else
            s_get (self);
    }
    return fine ? 0 : 1;
}

int main (int argc, char **argv)
{
    static const struct option flags[] = { { "endpoint", 1, NULL, 'e' },
                                           { "tcp", 0, NULL, 't' },
                                           { "where", 0, NULL, 'w' }, { "put", 0, NULL, 'p' },
                                           { "tiers", 0, NULL, 'i' },
                                           { "once", 0, NULL, '1' }, { "timeout", 1, NULL, 'o' },
                                           { NULL, 0, NULL, 0 } };
    static self_t self = { .timeout_ms = 10000 };
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (int flag; (flag = getopt_long (argc, argv, "", flags, NULL)) != -1;)
        switch (flag) {
        case 'e': self.endpoint = optarg; break;
        case 't': self.tcp = true; break;
        case 'w': self.where = true; break;
        case 'i': self.tiers = true; break;
        case 'p': self.put = true; break;
        case '1': self.once = true; break;
        case 'o': self.timeout_ms = (uint32_t) strtoul (optarg, NULL, 10); break;
        default: return 2;
        }
    self.bytes = malloc ((size_t) BATCH * CHAOS_BLOCK_MAX);
    if (!self.endpoint || !self.bytes)
        return 2;
    alarm (ENDS_S);
    int status = s_run (&self);
    umbp_talk_destroy (&self.talk);
    umbp_close (&self.pool);
    free (self.bytes);
    return fflush (stdout) == 0 ? status : 1;
}
