//  actors/router_self.h - the state of a router, shared by the files that make it up: router.c (life, the small
//  requests), router_lookup.c (asking the shards), router_put.c, router_get.c, router_undo.c. Nobody else includes this.
//
//  A request lives through stages. A stage asks several actors at once and ends when all have answered or their
//  deadlines have passed; since each is asked with less time than the client gave, the answer is never late.
#ifndef UMBP_ROUTER_SELF_H
#define UMBP_ROUTER_SELF_H

#include "actors/index.h"
#include "actors/router.h"
#include "cluster/bulk/tcp_wire.h"
#include "cluster/rings.h"
#include "cluster/silence.h"

#define UMBP_PLACES_MAX 4               //  Replicas of one block that are worth trying
#define UMBP_ROWS_MAX 64                //  Nodes (or leases) in one answer
#define UMBP_AVOID_MAX 16               //  Owners that a reader had better not meet again
#define UMBP_ODD_MAX 8
#define UMBP_ANOTHER_MS 1000            //  Who is silent for so long is left for another, if there is one

typedef struct umbp_router umbp_router_t;
typedef struct umbp_req umbp_req_t;

//  A ring that is not ours, and when a shard last worked with it
typedef struct {
    uint64_t epoch;
    int64_t seen_at;
} umbp_odd_t;

//  Some items of a request, asked of one member together
typedef struct umbp_sub {
    umbp_req_t *req;
    struct umbp_sub *before, *after;    //  In the router's list, so that none is lost at the end
    uint16_t member;
    uint8_t tier;
    bool replaceable;                   //  Another member can be asked for each of the items: see UMBP_ANOTHER_MS
    uint32_t count;
    uint32_t items[];
} umbp_sub_t;

//  A snapshot of the cluster that requests hold on to
typedef struct {
    umbp_rings_t rings;
    const umbp_topology_t *topology;    //  The one that is now
    unsigned users;
} umbp_view_of_t;

typedef struct {
    uint16_t member;
    uint8_t tier;
    uint32_t size;
} umbp_replica_t;

//  One item of a request
typedef struct {
    const uint8_t *key;
    uint64_t position;                  //  On the ring
    uint64_t sum, slot;
    uint32_t size;
    uint32_t extent_first;              //  In the request's extents
    uint32_t number;                    //  In its lease
    uint32_t inline_at;                 //  In the request's payload
    uint16_t key_size, depth, extent_count, row;
    int8_t status;
    uint8_t owners_asked;               //  Shards that had their say
    bool wanted;                        //  Still to be dealt with in this stage
    bool looked;                        //  It is being looked up
    bool heard;                         //  Some shard has answered for it
    bool left;                          //  Some shard knows that it left for want of room
    bool doubted;                       //  Who knows nothing of it works with another ring, or named nodes we do not know
    bool misled;                        //  Of a remove: some shard named a place where it is not
    bool inlined;
    uint16_t named_by;                  //  The shard that named its places: member + 1, or 0
    uint16_t misled_by;                 //  In this lookup it is asked after others
    uint8_t missing;                    //  Of a put: copies that were not made
    uint8_t replica_count, replica_next;
    umbp_replica_t replicas[UMBP_PLACES_MAX];
    umbp_tried_t tried;                 //  Of a put
} umbp_part_t;

//  A row of the answer: a node that gave slots or a lease
typedef struct {
    char node[UMBP_NAME_MAX + 1], bulk[UMBP_TEXT_MAX];
    uint8_t bulk_key[UMBP_BULK_KEY_BYTES];
    bool has_key;                       //  Else there are zeros: the session needs none, or got none
    uint8_t tier;
    uint32_t page_size, ttl_ms;
    uint64_t lease;
} umbp_row_t;

struct umbp_req {
    umbp_router_t *router;
    umbp_req_t *before, *after;
    umbp_origin_t origin;
    int64_t expires;                    //  When the client must have its answer
    int64_t doubts_until;               //  Until then who is in doubt is asked again
    umbp_view_of_t *view;
    uint16_t type;                      //  UMBP_MSG_*
    unsigned pending;                   //  Answers this stage still waits for
    void (*next) (umbp_req_t *req);     //  What to do when the stage ends
    void (*after_lookup) (umbp_req_t *req);
    bool places;                        //  Of a lookup
    bool any_silent;
    bool silent[UMBP_NODES_MAX];        //  Members that gave no answer lately, as it was when it began
    uint16_t
        untold[UMBP_UNTOLD_MAX]; //  Members that shards lack the word of: their tiers are asked
    uint8_t untold_count;
    unsigned rounds, looks;

    uint64_t session, bytes, blocks;
    uint16_t avoid[UMBP_AVOID_MAX];     //  Of a get: members to ask last
    uint8_t avoid_count;
    umbp_place_strategy_t strategy;
    unsigned tier;
    bool nowait, by_payload;
    bool everywhere;                    //  Of a clear
    bool suspended;                     //  Of a put: some node refused its tenant for want of memory
    uint8_t wanted_replicas;            //  Of a put
    uint8_t hint;
    uint8_t advice;                     //  Of a where: what those who have a block shall know
    const uint8_t *payload;             //  put: the values. get: those that were inlined
    uint32_t payload_size, payload_room;

    umbp_row_t *rows;
    uint16_t row_count;
    uint16_t *regions;                  //  Extents, extent_room of each
    uint32_t *pages, *page_counts, *generations;
    uint32_t extent_count, extent_room;

    uint32_t count;
    umbp_part_t parts[];                //  Then the keys
};

struct umbp_router {
    umbp_post_t *post;
    umbp_placement_t *placement;
    umbp_view_of_t *view;               //  NULL until the registry has spoken
    umbp_place_strategy_t strategy;
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    zloop_t *loop;
    unsigned strain;                    //  Level of pressure on this node's memory
    int64_t doubts_until;               //  Until then other rings than ours may be newer ones
    umbp_odd_t odd[UMBP_ODD_MAX];       //  Rings that shards worked with lately, which are not ours
    unsigned odd_next;
    umbp_req_t *requests;
    umbp_sub_t *subs;
    unsigned request_count;
    umbp_silence_t silence;             //  Of shards
    uint64_t puts, gets, exists, removes, rerouted, failovers, relooks, unheard, doubts,
        refused_busy, tiers_asked;

    //  Room for the columns of one message
    uint8_t *keys, *scoped;             //  scoped: keys of a request, with their tenant
    uint16_t scoped_sizes[UMBP_BATCH_MAX];
    uint8_t lefts[UMBP_BATCH_MAX];
    uint16_t sizes16[UMBP_BATCH_MAX], refs[UMBP_EXTENTS_MAX], counts16[UMBP_BATCH_MAX];
    uint32_t sizes[UMBP_EXTENTS_MAX], numbers[UMBP_BATCH_MAX];
    uint64_t sums[UMBP_BATCH_MAX], slots[UMBP_BATCH_MAX];
    int8_t statuses[UMBP_BATCH_MAX];
    uint16_t regions[UMBP_EXTENTS_MAX];
    uint32_t pages[UMBP_EXTENTS_MAX], page_counts[UMBP_EXTENTS_MAX], generations[UMBP_EXTENTS_MAX];
    uint8_t bytes[UMBP_EXTENTS_MAX];
    uint8_t payload[UMBP_INLINE_MAX];
};

//  router.c
//  Let a request see the cluster as it is now. Nothing may be under way for it, and places looked up before are void
//  if it returns true: then the ring is another one, and members may have other numbers.
bool umbp_router_refresh (umbp_req_t *req);
umbp_req_t *umbp_router_request (umbp_router_t *self, const umbp_mail_t *mail,
                                 const umbp_column_t *keys);
void umbp_router_done (umbp_req_t *req);             //  Answered: forget it
void umbp_router_finish (umbp_req_t *req, umbp_msg_t *answer, const void *payload, size_t size);
//  Ask a member for some items; answered, a sub is freed with umbp_router_sub_done
umbp_sub_t *umbp_router_sub (umbp_req_t *req, uint16_t member, uint8_t tier, uint32_t count_max);
bool umbp_router_ask (umbp_sub_t *sub, const char *actor, umbp_msg_t *msg, const void *payload,
                      size_t size, umbp_answer_fn *fn);
void umbp_router_sub_done (umbp_sub_t *sub);         //  May end the stage
void umbp_router_sub_free (umbp_sub_t *sub);
uint32_t umbp_router_left (const umbp_req_t *req, unsigned share);
umbp_column_t umbp_router_keys (umbp_router_t *self, const umbp_sub_t *sub);
const char *umbp_router_tier_name (unsigned tier);
uint16_t umbp_router_row (umbp_req_t *req, const umbp_sub_t *sub, umbp_text_t bulk,
                          umbp_bytes_t bulk_key, uint32_t page_size, uint32_t ttl_ms,
                          uint64_t lease);
//  Rows of extents of an answer, copied to the item; *at moves on in any case. False if they are not there.
bool umbp_router_take_extents (umbp_req_t *req, umbp_part_t *part, umbp_u16s_t counts, size_t index,
                               umbp_u16s_t regions, umbp_u32s_t pages, umbp_u32s_t page_counts,
                               umbp_u32s_t generations, size_t *at);
//  Extents of all items that succeeded, in the order of the items, and their counts, in the router's room.
//  Returns how many.
uint32_t umbp_router_gather_extents (umbp_req_t *req);
//  Columns of the answer's nodes; the texts and keys live in the router's room
void umbp_router_node_columns (umbp_req_t *req, umbp_column_t *nodes, umbp_column_t *bulks,
                               umbp_bytes_t *bulk_keys);

//  router_lookup.c: ask the shards about all wanted parts, then go on with next
void umbp_router_lookup (umbp_req_t *req, bool places, void (*next) (umbp_req_t *req));

//  There is another ring: shards that work with others may be behind us, or ahead
void umbp_router_doubt (umbp_router_t *self);

//  router_undo.c: give back what nobody will hear of
void umbp_router_release (umbp_router_t *self, const char *actor, const char *node, uint64_t lease);
//  Those that are not 0
void umbp_router_abort (umbp_router_t *self, const char *actor, const char *node,
                        umbp_u64s_t slots);
//  The sub's question has ended; if it was without an answer, undo what comes after all
void umbp_router_expect_late (const umbp_sub_t *sub);

//  router_put.c, router_get.c, router_keys.c
void umbp_router_on_put (void *owner, const umbp_mail_t *mail);
void umbp_router_on_get (void *owner, const umbp_mail_t *mail);
void umbp_router_on_exists (void *owner, const umbp_mail_t *mail);
void umbp_router_on_where (void *owner, const umbp_mail_t *mail);
void umbp_router_on_remove (void *owner, const umbp_mail_t *mail);
void umbp_router_on_clear (void *owner, const umbp_mail_t *mail);

#endif
