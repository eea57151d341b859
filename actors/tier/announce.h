//  actors/tier/announce.h - tells the index what a tier holds, and keeps telling until it knows.
//
//  One numbered stream of changes to each member of the ring, one message in flight on each. A number is said
//  again until it is acknowledged; a shard that lost count (it restarted, or there was a hole) is given a full
//  account. When the ring changes, new owners are told of the keys that came to them, and former ones keep their
//  entries until all members are settled (cluster/rings.h). The tier manager is always right; the index only
//  remembers.
//
//  A value of its tier manager's thread. What it asks runs over the manager's post.
#ifndef UMBP_ANNOUNCE_H
#define UMBP_ANNOUNCE_H

#include "actors/tier/store.h"
#include "cluster/post.h"
#include "cluster/rings.h"

#define UMBP_PATIENCE_MS 250            //  A shard that has let us wait longer is slow

typedef struct umbp_announce umbp_announce_t;

//  What a shard is to a block
typedef struct {
    uint8_t in;                         //  Rings in which it is an owner, of those that a put needs (rings.h)
    bool primary;                       //  The first owner, whose word decides between two writers
} umbp_shard_t;

//  What a shard said of a block that it was told of. verdict: 0; UMBP_EEXIST (another node has it too) or
//  UMBP_ECHECKSUM (another node has other bytes under that key) if its word decides, see announce_dispute.c;
//  UMBP_EUNREACH (it was not asked: too much waits for it; an account will tell it).
typedef struct {
    uint64_t tag;                       //  As given with the block, 0 if it was told for another reason
    uint32_t item;                      //  In the store, and the token it had
    uint64_t token;
    umbp_shard_t shard;
    int verdict;
} umbp_word_t;

typedef void (umbp_word_fn) (void *owner, const umbp_word_t *word);

//  Called after words were passed on: what was heard may have grown
typedef void (umbp_heard_fn) (void *owner);

//  The store is borrowed. owner is that of the post and of the words.
umbp_announce_t *umbp_announce_new (umbp_post_t *post, umbp_store_t *store, const char *node,
                                    uint64_t node_epoch, unsigned tier, void *owner,
                                    umbp_word_fn *word, umbp_heard_fn *on_heard);
void umbp_announce_destroy (umbp_announce_t **self_p);

//  The topology of now, NULL before the first
const umbp_topology_t *umbp_announce_now (const umbp_announce_t *self);

//  Of large full accounts begin at most so many in a window of time, in the order in which they became due; 0: no
//  bound. Whoever waits for one hears of what changes meanwhile, and its ring is not told (umbp_announce_told).
void umbp_announce_set_pace (umbp_announce_t *self, unsigned accounts, int64_t window_ms);

//  There is a new topology. Takes it.
void umbp_announce_topology (umbp_announce_t *self, umbp_topology_t **topology_p);

//  Who will hear of a block
typedef struct {
    size_t shards;
    uint8_t in;                         //  All rings in which they are owners
    bool primary;                       //  The first owner is among them, and is not known to be slow
} umbp_audience_t;

//  A live block came; tag comes back with each word on it. umbp_announce_send sends it on its way.
umbp_audience_t umbp_announce_add (umbp_announce_t *self, uint32_t item, uint64_t tag);

//  A live block is about to leave
void umbp_announce_drop (umbp_announce_t *self, uint32_t item);

//  The same for want of room: shards remember it for a while
void umbp_announce_evict (umbp_announce_t *self, uint32_t item);

//  Send what was added and dropped
void umbp_announce_send (umbp_announce_t *self);

//  Go on with what is slow or has to be said again, and send all; call every few milliseconds
void umbp_announce_pump (umbp_announce_t *self);

//  A number for all that was said until now
uint64_t umbp_announce_mark (umbp_announce_t *self);

//  Whether all members that are alive heard of what was said before that mark, accounts that are under way apart.
//  patient: also those that have been silent for UMBP_PATIENCE_MS.
bool umbp_announce_heard (const umbp_announce_t *self, uint64_t mark, bool patient);

//  No account is under way to a member that is alive, and what a new ring has to be told was told
bool umbp_announce_quiet (const umbp_announce_t *self);

//  The topology whose shards have heard of all blocks that are here; 0: those of the present one have not yet
uint64_t umbp_announce_told (const umbp_announce_t *self);

typedef struct {
    uint64_t sent, acknowledged;        //  Changes
    uint64_t accounts;                  //  Full accounts begun
    uint64_t accounts_waiting;          //  ... that wait for their turn
    uint64_t repeats;                   //  Messages said again
    uint64_t waiting;                   //  Changes not acknowledged yet
    uint64_t disputes;                  //  Blocks of which a shard knows other bytes, and that is not decided
    uint64_t rings;                     //  Rings whose owners are told: 1 when all is settled
} umbp_announce_stats_t;

umbp_announce_stats_t umbp_announce_stats (const umbp_announce_t *self);

#endif
