//  proto/table/extkv.h - messages: what engines hold in tiers of their own. See proto/table.h.
#ifndef UMBP_TABLE_EXTKV_H
#define UMBP_TABLE_EXTKV_H

#define UMBP_MESSAGES_extkv(MESSAGE) \
    MESSAGE (90, kv_report, \
             "client -> extkv: this engine holds these hashes in this tier. Answered with ok.") \
    MESSAGE (91, kv_revoke, "client -> extkv: it holds them there no more. Answered with ok.") \
    MESSAGE (92, kv_revoke_all, \
             "client -> extkv: it holds nothing in that tier, or nothing at all.") \
    MESSAGE (93, kv_revoke_all_ok, "extkv -> client.") \
    MESSAGE (94, kv_match, "client -> extkv: which engines hold these hashes, and where?") \
    MESSAGE (95, kv_match_ok, "extkv -> client.") \
    MESSAGE (96, kv_hits, "client -> extkv: how often did these hashes match?") \
    MESSAGE (97, kv_hits_ok, "extkv -> client.")

#define UMBP_HASH_MAX 128               //  Bytes in a hash of the external index
#define UMBP_SCOPED_HASH_MAX (UMBP_HASH_MAX + UMBP_SCOPE_MAX)
#define UMBP_FIELDS_kv_report(F, m) \
    F (m, 4, engine, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "who holds them") \
    F (m, 5, address, TEXT, MAY, 0, 0, 128, "where the engine takes requests") \
    F (m, 6, tier, U64, MUST, 0, 1, 8, "in which of its own tiers: 1 hbm, 2 dram, 3 nvme, ...") \
    F (m, 7, hashes, COLUMN, MUST, 1, 1, UMBP_HASH_MAX, "what it holds")
#define UMBP_FIELDS_kv_revoke(F, m) \
    F (m, 4, engine, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "who held them") \
    F (m, 5, tier, U64, MUST, 0, 1, 8, "in which of its own tiers") \
    F (m, 6, hashes, COLUMN, MUST, 1, 1, UMBP_HASH_MAX, "what it held")
#define UMBP_FIELDS_kv_revoke_all(F, m) \
    F (m, 4, engine, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "who held them") \
    F (m, 5, tier, U64, MAY, 0, 0, 8, "in which of its own tiers; 0: in all")
#define UMBP_FIELDS_kv_revoke_all_ok(F, m) \
    F (m, 4, count, U64, MUST, 0, 0, UINT64_MAX, "hashes that were held there")
#define UMBP_FIELDS_kv_match(F, m) \
    F (m, 4, hashes, COLUMN, MUST, 1, 1, UMBP_SCOPED_HASH_MAX, \
       "what to look for; no prefix is implied") \
    F (m, 5, count_as_hit, BOOL, MAY, 0, 0, 1, "add one to the hits of each that matched") \
    F (m, 6, only_here, BOOL, MAY, 0, 0, 1, "do not ask the other nodes") \
    F (m, 7, scoped, BOOL, MAY, 0, 0, 1, \
       "hashes have their tenants in front of them; not for clients")
#define UMBP_FIELDS_kv_match_ok(F, m) \
    F (m, 4, engines, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "engines that hold any of them") \
    F (m, 5, addresses, COLUMN, MUST, 1, 0, 128, "where each takes requests") \
    F (m, 6, refs, U16S, MUST, 2, 0, UMBP_EXTENTS_MAX, \
       "row in engines: one row per engine and tier") \
    F (m, 7, tiers, U8S, MUST, 2, 0, UMBP_EXTENTS_MAX, "the tier") \
    F (m, 8, counts, U32S, MUST, 2, 0, UMBP_EXTENTS_MAX, \
       "how many of the next column are this row's") \
    F (m, 9, matches, U16S, MUST, 0, 0, 65536, "number of the hash in the request, from 0") \
    F (m, 10, nodes_asked, U64, MUST, 0, 0, UMBP_NODES_MAX, "nodes that were asked") \
    F (m, 11, nodes_silent, U64, MUST, 0, 0, UMBP_NODES_MAX, "of them, that did not answer in time")
#define UMBP_FIELDS_kv_hits(F, m) \
    F (m, 4, hashes, COLUMN, MUST, 1, 1, UMBP_SCOPED_HASH_MAX, "what to look for") \
    F (m, 5, only_here, BOOL, MAY, 0, 0, 1, "do not ask the other nodes") \
    F (m, 6, scoped, BOOL, MAY, 0, 0, 1, \
       "hashes have their tenants in front of them; not for clients")
#define UMBP_FIELDS_kv_hits_ok(F, m) \
    F (m, 4, counts, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "hits of each hash") \
    F (m, 5, nodes_asked, U64, MAY, 0, 0, UMBP_NODES_MAX, "nodes that were asked") \
    F (m, 6, nodes_silent, U64, MAY, 0, 0, UMBP_NODES_MAX, "of them, that did not answer in time")

#endif
