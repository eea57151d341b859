//  proto/table/tier.h - messages: slots, leases and blocks of one tier, tenants and their quotas. See proto/table.h.
#ifndef UMBP_TABLE_TIER_H
#define UMBP_TABLE_TIER_H

#define UMBP_MESSAGES_tier(MESSAGE) \
    MESSAGE (60, attach, "client -> tier manager, only through its door: lend me your regions.") \
    MESSAGE (61, attach_ok, \
             "tier manager -> client: sizes of the regions; their descriptors come along.") \
    MESSAGE (62, reserve, "router -> tier manager: slots for these blocks.") \
    MESSAGE (63, reserve_ok, "tier manager -> router.") \
    MESSAGE (64, commit, \
             "client -> tier manager: these slots are written; make the blocks visible.") \
    MESSAGE (65, commit_ok, "tier manager -> client.") \
    MESSAGE (66, abort, "client -> tier manager: I let go of these slots. Answered with ok.") \
    MESSAGE (67, touch, "client, router -> tier manager: read from your board lately; or what will be read.") \
    MESSAGE (68, lease, "router -> tier manager: hold these blocks for a reader.") \
    MESSAGE (69, lease_ok, "tier manager -> router. Small values may come along as payload.") \
    MESSAGE (70, release, \
             "client -> tier manager: the reader is done. Answered with ok when it has an id.") \
    MESSAGE (72, store, "router -> tier manager: blocks whose bytes are the payload.") \
    MESSAGE (73, store_ok, "tier manager -> router.") \
    MESSAGE (74, drop, "router, eviction -> tier manager: forget these blocks.") \
    MESSAGE (75, drop_ok, "tier manager -> router, eviction.") \
    MESSAGE (76, wipe, "router -> tier manager: forget all blocks.") \
    MESSAGE (77, wipe_ok, "tier manager -> router.") \
    MESSAGE (78, flush, \
             "client -> tier manager: answer ok once the index has heard of all changes so far.") \
    MESSAGE (110, wipe_tenant, \
             "router -> tier manager: forget all blocks of one tenant. Answered with wipe_ok.") \
    MESSAGE (111, tenants, "client -> tier manager: who uses how much of you?") \
    MESSAGE (112, tenants_ok, "tier manager -> client: a client hears of its own tenant alone.") \
    MESSAGE (113, quotas, \
             "gate -> tier manager, no answer: how much of you each tenant may use.")

#define UMBP_FIELDS_attach(F, m) \
    F (m, 4, session, U64, MUST, 0, 1, UINT64_MAX, \
       "the client's bulk session, from now on tied to this door") \
    F (m, 5, board, BOOL, MAY, 0, 0, 1, "and the board: where blocks lie, read without a message")
#define UMBP_FIELDS_attach_ok(F, m) \
    F (m, 4, page_size, U64, MUST, 0, 1, UINT32_MAX, "bytes in a page") \
    F (m, 5, regions, U64S, MUST, 0, 0, UMBP_REGIONS_MAX, "bytes of each region") \
    F (m, 6, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "whose memory") \
    F (m, 7, node_epoch, U64, MUST, 0, 1, UINT64_MAX, "in which incarnation") \
    F (m, 8, board, U64, MAY, 0, 0, UINT64_MAX, \
       "bytes of the board, whose descriptor follows those of the regions; 0: there is none")
#define UMBP_FIELDS_reserve(F, m) \
    F (m, 4, session, U64, MAY, 0, 0, UINT64_MAX, "who will write") \
    F (m, 5, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "one key per block") \
    F (m, 6, sizes, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of each block") \
    F (m, 7, depths, U16S, MAY, 1, 0, UMBP_BATCH_MAX, "depth in the prefix tree") \
    F (m, 8, replicas, U64, MAY, 0, 0, UMBP_REPLICAS_MAX, \
       "wanted copies, this one included; 0 as 1. Made after a commit without keep") \
    F (m, 9, calm, BOOL, MAY, 0, 0, 1, \
       "only if nothing has to leave for it: EAGAIN beyond the mark at which evictions begin") \
    F (m, 10, hint, U64, MAY, 0, 0, UMBP_HINT_COPY, \
       "0 unknown, 1 read once, 2 read often, 3 another node has it and keeps it") \
    F (m, 11, left, U8S, MAY, 0, 0, UMBP_BATCH_MAX, \
       "one for each key, or none: 1 as left in lookup_ok") \
    F (m, 12, keep, BOOL, MAY, 0, 0, 1, \
       "as in commit; of an actor of the node: what is here already was not asked for, it was moved")
#define UMBP_FIELDS_reserve_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0 reserved, EEXIST held already, EAGAIN full, ENOSPC") \
    F (m, 5, slots, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "fence token of each slot, 0 for none") \
    UMBP_FIELDS_extents (F, m, 6, 1, 2) \
    F (m, 11, page_size, U64, MUST, 0, 1, UINT32_MAX, "bytes in a page") \
    F (m, 12, ttl_ms, U64, MUST, 0, 1, UINT32_MAX, "how long the slots live") \
    F (m, 13, bulk, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "host:port of the bulk server") \
    F (m, 16, bulk_key, BYTES, MAY, 0, 0, 32, "key of the session there") \
    F (m, 17, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "of an EAGAIN that is no want of room")
#define UMBP_FIELDS_commit(F, m) \
    F (m, 4, slots, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "fence tokens") \
    F (m, 5, sums, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "XXH3-64 of the bytes written to each") \
    F (m, 6, nowait, BOOL, MAY, 0, 0, 1, "answer before the index has heard") \
    F (m, 7, keep, BOOL, MAY, 0, 0, 1, "keep the copy even if another node has one")
#define UMBP_FIELDS_commit_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0 visible, EEXIST another was first, ESTALE slot is gone") \
    F (m, 5, missing, U8S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "visible, but so many of the wanted copies could not be made")
#define UMBP_FIELDS_abort(F, m) \
    F (m, 4, slots, U64S, MUST, 0, 0, UMBP_BATCH_MAX, "fence tokens")
#define UMBP_FIELDS_lease(F, m) \
    F (m, 4, session, U64, MAY, 0, 0, UINT64_MAX, "who will read") \
    F (m, 5, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "blocks to hold") \
    F (m, 6, inline_max, U64, MAY, 0, 0, UMBP_INLINE_MAX, \
       "send up to so many bytes of values as payload") \
    F (m, 7, calm, BOOL, MAY, 0, 0, 1, "for a copy: that is no use of the blocks")
#define UMBP_FIELDS_lease_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0 held (or sent), ENOENT not here") \
    F (m, 5, inlined, U8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "1: its bytes are payload, and it is not leased") \
    F (m, 6, sizes, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of each block") \
    F (m, 7, sums, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "XXH3-64 of each block") \
    UMBP_FIELDS_extents (F, m, 8, 1, 2) \
    F (m, 13, lease, U64, MUST, 0, 0, UINT64_MAX, "one lease on all that are held; 0: none is") \
    F (m, 14, page_size, U64, MUST, 0, 1, UINT32_MAX, "bytes in a page") \
    F (m, 15, ttl_ms, U64, MUST, 0, 1, UINT32_MAX, \
       "how long the lease lasts for a reader over tcp") \
    F (m, 16, bulk, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "host:port of the bulk server") \
    F (m, 19, bulk_key, BYTES, MAY, 0, 0, 32, "key of the session there") \
    F (m, 20, depths, U16S, MAY, 1, 0, UMBP_BATCH_MAX, "of each block, if it was asked for calmly")
#define UMBP_FIELDS_release(F, m) \
    F (m, 4, leases, U64S, MUST, 0, 0, UMBP_BATCH_MAX, "leases that end")
#define UMBP_FIELDS_touch(F, m) \
    F (m, 4, items, U32S, MUST, 0, 0, UMBP_BATCH_MAX, \
       "what notices call them, in the order of reading") \
    F (m, 5, keys, COLUMN, MAY, 0, 1, UMBP_SCOPED_KEY_MAX, \
       "router -> tier manager: blocks of which a client said") \
    F (m, 6, advice, U64, MAY, 0, 0, UMBP_ADVICE_COLD, \
       "1 it will need them soon, 2 it will not")
#define UMBP_FIELDS_store(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "one key per block") \
    F (m, 5, sizes, U32S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "bytes of each, one behind the other in the payload") \
    F (m, 6, sums, U64S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "XXH3-64 of each: verified before it is kept") \
    F (m, 7, depths, U16S, MAY, 1, 0, UMBP_BATCH_MAX, "depth in the prefix tree") \
    F (m, 8, nowait, BOOL, MAY, 0, 0, 1, "answer before the index has heard") \
    F (m, 9, keep, BOOL, MAY, 0, 0, 1, "keep the copy even if another node has one") \
    F (m, 10, replicas, U64, MAY, 0, 0, UMBP_REPLICAS_MAX, \
       "wanted copies, this one included; 0 as 1. Made unless keep is set") \
    F (m, 11, calm, BOOL, MAY, 0, 0, 1, "as in reserve") \
    F (m, 12, hint, U64, MAY, 0, 0, UMBP_HINT_COPY, "as in reserve") \
    F (m, 13, left, U8S, MAY, 0, 0, UMBP_BATCH_MAX, "as in reserve")
#define UMBP_FIELDS_store_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0 visible, EEXIST held already, EAGAIN full, ...") \
    F (m, 5, missing, U8S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "visible, but so many of the wanted copies could not be made") \
    F (m, 6, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "of an EAGAIN that is no want of room")
#define UMBP_FIELDS_drop(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "blocks to forget") \
    F (m, 5, moved, BOOL, MAY, 0, 0, 1, \
       "they were removed while they were moved to you: forget what was moved, and so shall those to whom you moved it on") \
    F (m, 6, tier, U64, MAY, 0, 0, 4, "... which tier says so; 0: one of another node")
#define UMBP_FIELDS_drop_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0 forgotten, ENOENT not here") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, \
       "freed now; leased ones follow when their leases end")
#define UMBP_FIELDS_wipe(F, m)
#define UMBP_FIELDS_wipe_ok(F, m) \
    F (m, 4, blocks, U64, MUST, 0, 0, UINT64_MAX, "forgotten") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "freed; those under a lease follow when it ends")
#define UMBP_FIELDS_flush(F, m)
#define UMBP_FIELDS_wipe_tenant(F, m) \
    F (m, 4, tenant, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "whose; wipe is for the default tenant")
#define UMBP_FIELDS_tenants(F, m)
#define UMBP_FIELDS_tenants_ok(F, m) \
    F (m, 4, names, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "tenants; an empty name: the default one") \
    F (m, 5, useds, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "bytes in use, in whole pages") \
    F (m, 6, limits, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "bytes allowed; 2^64 - 1: no limit") \
    F (m, 7, blocks, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "blocks and slots that use them") \
    F (m, 8, refused, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "reservations answered EQUOTA") \
    F (m, 9, evicted, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, \
       "own blocks that left to make room under the limit")
#define UMBP_FIELDS_quotas(F, m) \
    F (m, 4, names, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "tenants; *: all that are not named") \
    F (m, 5, limits, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "bytes allowed") \
    F (m, 6, qos, U8S, MAY, 1, 0, UMBP_TENANTS_MAX, \
       "0 low, 1 medium, 2 high, 3 critical: who gives way first; none: all are medium")

#endif
