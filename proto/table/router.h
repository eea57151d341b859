//  proto/table/router.h - messages: what clients ask of blocks. See proto/table.h.
#ifndef UMBP_TABLE_ROUTER_H
#define UMBP_TABLE_ROUTER_H

#define UMBP_MESSAGES_router(MESSAGE) \
    MESSAGE (30, put, \
             "client -> router: find room for these blocks. Small values may come as payload.") \
    MESSAGE (31, put_ok, "router -> client: where to write each block, or what became of it.") \
    MESSAGE (32, get, "client -> router: where can I read these blocks?") \
    MESSAGE (33, get_ok, \
             "router -> client: leases to read under, or the bytes themselves as payload.") \
    MESSAGE (34, exists, "client -> router: which of these keys have a block?") \
    MESSAGE (35, exists_ok, "router -> client.") \
    MESSAGE (36, remove, "client -> router: forget these blocks, on every node.") \
    MESSAGE (37, remove_ok, "router -> client.") \
    MESSAGE (38, where, "client -> router: on which nodes and tiers are these blocks?") \
    MESSAGE (39, where_ok, "router -> client.") \
    MESSAGE (40, clear, "client -> router: forget all blocks of this node, or of the cluster.") \
    MESSAGE (41, clear_ok, "router -> client.")

#define UMBP_FIELDS_put(F, m) \
    F (m, 4, session, U64, MAY, 0, 0, UINT64_MAX, \
       "the client's bulk session; 0: the values come as payload") \
    F (m, 5, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "one key per block") \
    F (m, 6, sizes, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of each block, more than 0") \
    F (m, 7, sums, U64S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "XXH3-64 of each; values then are payload, as with session 0") \
    F (m, 8, depths, U16S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "depth in the prefix tree: deeper ones leave first") \
    F (m, 9, strategy, U64, MAY, 0, 0, 4, \
       "0 as configured, 1 local, 2 most_free, 3 weighted, 4 same") \
    F (m, 10, tier, U64, MAY, 0, 0, 4, "wanted tier, 0 any") \
    F (m, 11, nowait, BOOL, MAY, 0, 0, 1, "with payload: answer before the index has heard") \
    F (m, 12, replicas, U64, MAY, 0, 0, UMBP_REPLICAS_MAX, \
       "wanted copies of each block, on so many nodes; 0 as 1") \
    F (m, 13, hint, U64, MAY, 0, 0, 2, \
       "what will become of these blocks: 0 unknown, 1 read once, 2 read often")
#define UMBP_FIELDS_put_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0: write it (or stored, if it came as payload)") \
    F (m, 5, refs, U16S, MAY, 1, 0, UMBP_BATCH_MAX, "row in nodes, 65535 for none") \
    F (m, 6, slots, U64S, MAY, 1, 0, UMBP_BATCH_MAX, "fence token of each slot, 0 for none") \
    UMBP_FIELDS_extents (F, m, 7, 1, 2) \
    F (m, 12, nodes, COLUMN, MAY, 3, 1, UMBP_NAME_MAX, "nodes that appear in refs") \
    F (m, 13, bulks, COLUMN, MAY, 3, 0, UMBP_TEXT_MAX, "host:port of each one's bulk server") \
    F (m, 14, tiers, U8S, MAY, 3, 0, UMBP_NODES_MAX, "tier that gave the slots there") \
    F (m, 15, page_sizes, U32S, MAY, 3, 0, UMBP_NODES_MAX, "bytes in a page there") \
    F (m, 16, ttls_ms, U32S, MAY, 3, 0, UMBP_NODES_MAX, "how long the slots live") \
    F (m, 17, missing, U8S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "stored, but so many of the wanted copies could not be made") \
    F (m, 20, bulk_keys, BYTES, MAY, 0, 0, UMBP_NODES_MAX * 32, \
       "32 bytes for each of nodes: key of the session at its bulk server") \
    F (m, 21, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, \
       "of an EAGAIN that is no want of room: the tenant is suspended") \
    F (m, 22, level, U64, MAY, 0, 0, 4, \
       "pressure on the memory of this host: from 1 on let go of what you can have again")
#define UMBP_FIELDS_get(F, m) \
    F (m, 4, session, U64, MAY, 0, 0, UINT64_MAX, \
       "the client's bulk session; 0: it can only take payload") \
    F (m, 5, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "one key per block") \
    F (m, 6, inline_max, U64, MAY, 0, 0, UMBP_INLINE_MAX, \
       "take up to so many bytes of values as payload") \
    F (m, 7, avoid, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, \
       "owners that failed this reader: take another replica if there is one")
#define UMBP_FIELDS_get_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0: here it is") \
    F (m, 5, refs, U16S, MAY, 1, 0, UMBP_BATCH_MAX, \
       "row in nodes; 65535: none, or the bytes are payload") \
    F (m, 6, sizes, U32S, MAY, 1, 0, UMBP_BATCH_MAX, "bytes of each block") \
    F (m, 7, sums, U64S, MAY, 1, 0, UMBP_BATCH_MAX, "XXH3-64 of each block: verify") \
    UMBP_FIELDS_extents (F, m, 8, 1, 2) \
    F (m, 13, items, U32S, MAY, 1, 0, UMBP_BATCH_MAX, "number of the block inside its lease") \
    F (m, 14, nodes, COLUMN, MAY, 3, 1, UMBP_NAME_MAX, "owners that appear in refs") \
    F (m, 15, bulks, COLUMN, MAY, 3, 0, UMBP_TEXT_MAX, "host:port of each one's bulk server") \
    F (m, 16, tiers, U8S, MAY, 3, 0, UMBP_NODES_MAX, "tier that holds the blocks there") \
    F (m, 17, page_sizes, U32S, MAY, 3, 0, UMBP_NODES_MAX, "bytes in a page there") \
    F (m, 18, leases, U64S, MAY, 3, 0, UMBP_NODES_MAX, "lease on all blocks there: release it") \
    F (m, 19, ttls_ms, U32S, MAY, 3, 0, UMBP_NODES_MAX, \
       "discard what was read over tcp later than this") \
    F (m, 22, bulk_keys, BYTES, MAY, 0, 0, UMBP_NODES_MAX * 32, \
       "32 bytes for each of nodes: key of the session at its bulk server")
#define UMBP_FIELDS_exists(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "keys to look for")
#define UMBP_FIELDS_exists_ok(F, m) \
    F (m, 4, found, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "1 it has a block, 0 not, below 0 an error: unknown") \
    F (m, 5, prefix, U64, MUST, 0, 0, UMBP_BATCH_MAX, "how many keys from the front are there")
#define UMBP_FIELDS_remove(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "blocks to forget")
#define UMBP_FIELDS_remove_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0 forgotten, ENOENT there was none")
#define UMBP_FIELDS_where(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "keys to look for") \
    F (m, 5, advice, U64, MAY, 0, 0, UMBP_ADVICE_COLD, \
       "what the tiers that have them shall know: 1 I will need them soon, 2 I will not. No promise")
#define UMBP_FIELDS_where_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0 it has a block, ENOENT not") \
    F (m, 5, counts, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "how many rows of the next columns are its") \
    F (m, 6, refs, U16S, MUST, 2, 0, UMBP_EXTENTS_MAX, "row in nodes") \
    F (m, 7, tiers, U8S, MUST, 2, 0, UMBP_EXTENTS_MAX, "tier of that copy") \
    F (m, 8, sizes, U32S, MUST, 2, 0, UMBP_EXTENTS_MAX, "bytes of that copy") \
    F (m, 9, nodes, COLUMN, MUST, 3, 1, UMBP_NAME_MAX, "nodes that appear in refs")
#define UMBP_FIELDS_clear(F, m) \
    F (m, 4, everywhere, BOOL, MAY, 0, 0, 1, "on all nodes, not only on this one")
#define UMBP_FIELDS_clear_ok(F, m) \
    F (m, 4, blocks, U64, MUST, 0, 0, UINT64_MAX, "forgotten") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "freed; those under a lease follow when it ends")

#endif
