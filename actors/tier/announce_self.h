//  actors/tier/announce_self.h - what announce.c (blocks, rings, whom to tell) and announce_stream.c (one stream of
//  changes to one shard) share. Nobody else includes this.
#ifndef UMBP_ANNOUNCE_SELF_H
#define UMBP_ANNOUNCE_SELF_H

#include "actors/tier/announce.h"
#include "actors/tier/pace.h"

#define UMBP_CHANGES_MAX 1024           //  In a message
#define UMBP_QUEUE_MAX 16384            //  Changes that wait, per member; beyond: a full account later
#define UMBP_QUEUE_CALM (UMBP_QUEUE_MAX / 2)         //  A walk goes on only while all queues are shorter
#define UMBP_WALK_MAX 4096              //  Blocks looked at in one step of a walk over the store
#define UMBP_HOLDS 1
#define UMBP_DROPPED 2
#define UMBP_EVICTED 3                  //  Dropped for want of room

typedef struct {
    umbp_fingerprint_t print;
    uint64_t serial, tag, token;
    uint32_t item, size, sum;
    uint8_t kind;
    umbp_shard_t shard;
} umbp_change_t;

//  A block of which a shard knows other bytes, while its word does not decide
typedef struct {
    uint64_t turn;                      //  Of the stream to that shard
    uint64_t token;
    uint32_t item;
    int64_t due;                        //  When it is told once more
} umbp_dispute_t;

#define UMBP_DISPUTES_MAX 4096

typedef struct {
    umbp_announce_t *parent;
    char node[UMBP_NAME_MAX + 1];
    uint64_t epoch;                     //  Its incarnation: another one knows nothing
    uint64_t turn;                      //  Of this stream, so that answers to an older one are passed over
    uint64_t next;                      //  Number of the change at the head of the queue
    umbp_change_t *queue;               //  UMBP_QUEUE_MAX of them, a ring
    uint32_t head, count;
    uint32_t flying;                    //  Changes of the head that are under way
    bool asked;                         //  A message is under way
    bool begin, end;                    //  The next message begins a full account; the account is walked through
    bool account;                       //  A full account is being given
    uint64_t ticket;                    //  The account waits for its turn, lower ones go first; 0: it does not
    uint32_t cursor;                    //  Items of the store that the account has passed
    uint64_t account_serial;            //  Of the last change that the account stands for
    bool last_flying;                   //  The message under way ends the account
    int64_t retry_at;
    int64_t waiting_since;              //  The head is said, and not acknowledged; 0: nothing is
    uint64_t swings, swings_flying,
        swings_sure; //  Of its topology: now, when the message under way was sent, when it last knew us
} umbp_stream_t;

struct umbp_announce {
    umbp_post_t *post;
    umbp_store_t *store;
    void *owner;
    umbp_word_fn *word;
    umbp_heard_fn *on_heard;
    char node[UMBP_NAME_MAX + 1];
    uint64_t node_epoch, turns;
    uint64_t floor;                     //  No number below this is said for the first time: a member may come back
    uint64_t serial;                    //  Of the last change, whoever is to hear of it
    unsigned tier;
    umbp_rings_t rings;
    enum { TELL, WAIT, TRIM, REST } phase;           //  Of a new ring, see s_walk
    uint32_t cursor;                    //  Items of the store that the walk has passed
    uint64_t told_serial,
        told_epoch; //  When this one is heard all shards of the ring know all; 0: not yet
    int64_t settled_at;                 //  0: not settled
    umbp_stream_t *streams[UMBP_NODES_MAX];          //  By member number
    umbp_pace_t pace;                   //  Of full accounts
    uint64_t tickets;
    umbp_dispute_t *disputes;           //  UMBP_DISPUTES_MAX of them, a ring: the first one is due first
    uint32_t first_dispute, dispute_count;
    bool disputes_missed;               //  There were more: all is told anew once these are settled
    umbp_announce_stats_t stats;
    uint8_t prints[UMBP_CHANGES_MAX * sizeof (umbp_fingerprint_t)];
    uint32_t sizes[UMBP_CHANGES_MAX], sums[UMBP_CHANGES_MAX];
    uint8_t kinds[UMBP_CHANGES_MAX];
};

//  announce.c
//  All who keep the entry of a block, or kept it in a ring that still matters. Returns how many.
size_t umbp_announce_owners (const umbp_announce_t *self, uint32_t item, umbp_owner_t *owners);
//  Of the owners in their order, what one is to a block; 0 in it: it need not know
umbp_shard_t umbp_announce_shard (const umbp_announce_t *self, const umbp_owner_t *owners,
                                  size_t index);

//  announce_dispute.c
//  What the word of a shard on a change means for the block: 0 if it does not decide. Then the block is told once more.
int umbp_dispute_judge (umbp_stream_t *stream, const umbp_change_t *change, int verdict,
                        uint64_t topo_epoch);
//  Tell again what is due
void umbp_dispute_pump (umbp_announce_t *self, int64_t now);

//  announce_stream.c
umbp_stream_t *umbp_stream_of (umbp_announce_t *self, uint64_t turn);
umbp_stream_t *umbp_stream_new (umbp_announce_t *self, const umbp_member_t *member);
void umbp_stream_destroy (umbp_stream_t **stream_p);
//  Start over with all that the member ought to know. The stream begins at once, so that it takes what changes from
//  now on; the blocks that are here follow when it is its turn.
void umbp_stream_account (umbp_stream_t *stream);
//  One more change. What an account or a walk over the blocks says counts as part of the change after the last one.
void umbp_stream_push (umbp_stream_t *stream, uint32_t item, uint8_t kind, umbp_shard_t shard,
                       uint64_t tag, uint64_t serial);
//  Put what is due of the account into the queue
void umbp_stream_walk (umbp_stream_t *stream);
//  Send what waits, unless a message is under way or it is too early to say it again
void umbp_stream_send (umbp_stream_t *stream);
//  Whether the account that is being given to a member will come to an item: then it is not said twice
bool umbp_stream_comes (const umbp_stream_t *stream, uint32_t item);
bool umbp_stream_is_slow (const umbp_stream_t *stream);
//  Whether the member may have forgotten us since it was heard of last: it might have given us up, dropped our
//  entries, and taken us in again, while we noticed nothing. Then it is asked, with a change that changes nothing.
bool umbp_stream_is_unsure (const umbp_stream_t *stream);

#endif
