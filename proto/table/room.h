//  proto/table/room.h - messages: eviction, and copies between tiers and nodes. See proto/table.h.
#ifndef UMBP_TABLE_ROOM_H
#define UMBP_TABLE_ROOM_H

#define UMBP_MESSAGES_room(MESSAGE) \
    MESSAGE (80, pressure, \
             "tier manager -> eviction, no answer: over the mark, or a reservation failed.") \
    MESSAGE (81, evict, \
             "eviction -> tier manager, client -> eviction: let go of the least useful blocks.") \
    MESSAGE (82, evict_ok, "tier manager -> eviction, eviction -> client.") \
    MESSAGE (83, pace, \
             "tier manager -> those above and below it, no answer: what it can take now.") \
    MESSAGE (85, copy, \
             "client -> migrator: fetch these blocks from that node and keep a replica here.") \
    MESSAGE (86, copy_ok, "migrator -> client.")

#define UMBP_FIELDS_pressure(F, m) \
    F (m, 4, tier, U64, MUST, 0, 1, 4, "which") \
    F (m, 5, total, U64, MUST, 0, 0, UINT64_MAX, "bytes it can hold") \
    F (m, 6, used, U64, MUST, 0, 0, UINT64_MAX, "bytes in use") \
    F (m, 7, need, U64, MUST, 0, 0, UINT64_MAX, "bytes a reservation did not get")
#define UMBP_FIELDS_evict(F, m) \
    F (m, 4, tier, U64, MUST, 0, 1, 4, "which") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, \
       "to free, at least; 0 to eviction: down to the low mark") \
    F (m, 6, own, BOOL, MAY, 0, 0, 1, "only blocks of the tenant below; eviction -> tier manager") \
    F (m, 7, tenant, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "whose; empty: the default tenant's")
#define UMBP_FIELDS_evict_ok(F, m) \
    F (m, 4, bytes, U64, MUST, 0, 0, UINT64_MAX, "freed") \
    F (m, 5, blocks, U64, MUST, 0, 0, UINT64_MAX, "that left")
#define UMBP_FIELDS_pace(F, m) \
    F (m, 4, share, U64, MUST, 0, 0, 1000, \
       "of the budget of what nothing presses, per mille: less while its readers wait too long") \
    F (m, 5, stay, U64, MAY, 0, 0, UINT64_MAX, \
       "milliseconds that a block stays until it leaves for want of room; 0: none did yet") \
    F (m, 6, reads, U64, MAY, 0, 0, UINT64_MAX, "readers of the last second") \
    F (m, 7, storm, BOOL, MAY, 0, 0, 1, "more shall move to or from me than can") \
    F (m, 8, tier, U64, MAY, 0, 0, 4, "who says so; 0: the tier below") \
    F (m, 9, took, U64, MAY, 0, 0, UINT64_MAX, \
       "blocks that I or those below me took since the start: while it grows it is worth waiting")
#define UMBP_FIELDS_copy(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "blocks to fetch") \
    F (m, 5, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "from whom") \
    F (m, 6, tier, U64, MUST, 0, 1, 4, "from which of its tiers") \
    F (m, 7, replicas, U64, MAY, 0, 0, UMBP_REPLICAS_MAX, \
       "copies that these blocks were put with, to be remembered here") \
    F (m, 8, scoped, BOOL, MAY, 0, 0, 1, \
       "keys are as tiers keep them, with their tenants; not for clients") \
    F (m, 9, calm, BOOL, MAY, 0, 0, 1, "as in reserve") \
    F (m, 10, hint, U64, MAY, 0, 0, UMBP_HINT_COPY, "as in reserve: of the copies") \
    F (m, 11, to, U64, MAY, 0, 0, 4, "into which tier here; 0: memory")
#define UMBP_FIELDS_copy_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0 here now, EEXIST was here, ENOENT not there") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "fetched")

#endif
