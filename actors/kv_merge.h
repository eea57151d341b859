//  actors/kv_merge.h - one answer to kv_match, put together from those of several nodes: which
//  engines hold which hashes of a request, in which of their tiers. An engine that several nodes
//  name is one engine, and what they say of it adds up.
//
//  A value: one owner, no thread, and once made no allocation. What does not fit one message makes
//  the whole answer UMBP_ETOOBIG, since one that silently lacks matches would be wrong.
#ifndef UMBP_KV_MERGE_H
#define UMBP_KV_MERGE_H

#include "proto/message.h"

#define UMBP_KV_ADDRESSES_MAX (256u << 10)      //  Bytes of all addresses in an answer

typedef struct umbp_kv_merge umbp_kv_merge_t;

//  Where the columns of an answer are put in order; one will do for many merges
typedef struct {
    uint32_t first[UMBP_EXTENTS_MAX + 1];        //  Of each row, its first pair in the order
    uint16_t ordered[65536];            //  Hashes, row by row
    uint16_t refs[UMBP_EXTENTS_MAX];
    uint8_t tiers[UMBP_EXTENTS_MAX];
    uint32_t counts[UMBP_EXTENTS_MAX];
    uint16_t seen[UMBP_BATCH_MAX];      //  By hash: the row that has it already, plus 1
    uint16_t matches[65536];
    uint8_t addresses[UMBP_KV_ADDRESSES_MAX];
} umbp_kv_columns_t;

umbp_kv_merge_t *umbp_kv_merge_new (void);
void umbp_kv_merge_destroy (umbp_kv_merge_t **self_p);

//  Forget all, and start on a request of so many hashes, at most UMBP_BATCH_MAX
void umbp_kv_merge_reset (umbp_kv_merge_t *self, size_t hash_count);

//  The number of an engine in this merge, to add matches with; or UMBP_ETOOBIG. The first address
//  that is not empty stays. Sizes are within those of kv_match_ok.
int umbp_kv_merge_engine (umbp_kv_merge_t *self, umbp_text_t id, umbp_text_t address);

//  The engine holds a hash of the request, by its number, in a tier, 1..8. Returns 0 or
//  UMBP_ETOOBIG.
int umbp_kv_merge_add (umbp_kv_merge_t *self, int engine, unsigned tier, size_t hash);

//  Add all that another node answered. Returns 0, or UMBP_EPROTO if its columns contradict each
//  other, and then nothing was added, or UMBP_ETOOBIG.
int umbp_kv_merge_answer (umbp_kv_merge_t *self, const umbp_msg_kv_match_ok_t *answer);

//  True if any engine holds that hash
bool umbp_kv_merge_has (const umbp_kv_merge_t *self, size_t hash);

//  Fill the columns of an answer; they are views of the merge and of columns. Returns 0, or
//  UMBP_ETOOBIG if any call on this request did.
int umbp_kv_merge_write (const umbp_kv_merge_t *self, umbp_kv_columns_t *columns,
                         umbp_msg_kv_match_ok_t *answer);

#endif
