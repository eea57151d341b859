//  proto/table/index.h - messages: which node has which block. See proto/table.h.
#ifndef UMBP_TABLE_INDEX_H
#define UMBP_TABLE_INDEX_H

#define UMBP_MESSAGES_index(MESSAGE) \
    MESSAGE (50, lookup, \
             "router, client -> index, tier manager: what do you know of these keys?") \
    MESSAGE (51, lookup_ok, "index, tier manager -> router, client.") \
    MESSAGE (52, change, "tier manager -> index: numbered changes of what one node holds.") \
    MESSAGE (53, change_ok, \
             "index -> tier manager: up to which number I know, and what I think of each.")

#define UMBP_FIELDS_lookup(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "keys to look for") \
    F (m, 5, places, BOOL, MAY, 0, 0, 1, "say where too, not only whether") \
    F (m, 6, scoped, BOOL, MAY, 0, 0, 1, \
       "keys are as tiers keep them, with their tenants; not for clients")
#define UMBP_FIELDS_lookup_ok(F, m) \
    F (m, 4, topo_epoch, U64, MUST, 0, 0, UINT64_MAX, "the ring this shard works with") \
    F (m, 5, found, U8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "how many copies; so many rows follow, if asked for") \
    F (m, 6, refs, U16S, MAY, 2, 0, UMBP_EXTENTS_MAX, "row in nodes") \
    F (m, 7, tiers, U8S, MAY, 2, 0, UMBP_EXTENTS_MAX, "tier of that copy") \
    F (m, 8, sizes, U32S, MAY, 2, 0, UMBP_EXTENTS_MAX, "bytes of that copy") \
    F (m, 9, nodes, COLUMN, MAY, 3, 1, UMBP_NAME_MAX, "nodes that appear in refs") \
    F (m, 10, unsettled, BOOL, MAY, 0, 0, 1, \
       "the ring is new, or some are untold: what this shard does not know may exist") \
    F (m, 11, untold, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, \
       "members that have yet to say what they hold, 8 at most: their tiers know") \
    F (m, 12, left, U8S, MAY, 0, 0, UMBP_BATCH_MAX, \
       "one for each key, or none: 1 not here, but it left lately for want of room")
#define UMBP_FIELDS_change(F, m) \
    F (m, 4, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "whose blocks") \
    F (m, 5, node_epoch, U64, MUST, 0, 1, UINT64_MAX, "in which of its incarnations") \
    F (m, 6, seq, U64, MUST, 0, 1, UINT64_MAX, "number of the first change; the others follow on") \
    F (m, 7, fresh, BOOL, MAY, 0, 0, 1, \
       "a full account of this tier starts here, with any number") \
    F (m, 8, tier, U64, MUST, 0, 1, 4, "in which of its tiers") \
    F (m, 9, kinds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "1 holds it, 2 holds it no more, 3 nor that, it left for want of room") \
    F (m, 10, prints, BYTES, MUST, 0, 0, UMBP_BATCH_MAX * 16, \
       "16 bytes each: fingerprint of the key") \
    F (m, 11, sizes, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of the block") \
    F (m, 12, sums, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "low half of its checksum") \
    F (m, 13, done, BOOL, MAY, 0, 0, 1, \
       "the full account ends here: forget what was there before it began")
#define UMBP_FIELDS_change_ok(F, m) \
    F (m, 4, next, U64, MUST, 0, 0, UINT64_MAX, "the number expected next") \
    F (m, 5, verdicts, S8S, MAY, 0, 0, UMBP_BATCH_MAX, \
       "0 first copy, EEXIST a replica, ECHECKSUM other bytes") \
    F (m, 6, topo_epoch, U64, MAY, 0, 0, UINT64_MAX, \
       "the ring by which it judged, if that is settled and all have told what they hold")

#endif
