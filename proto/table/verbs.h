//  proto/table/verbs.h - messages: links and windows of RDMA. See proto/table.h.
#ifndef UMBP_TABLE_VERBS_H
#define UMBP_TABLE_VERBS_H

#define UMBP_MESSAGES_verbs(MESSAGE) \
    MESSAGE (120, join, "client -> verbs: here are my queue pairs; make yours for them.") \
    MESSAGE (121, join_ok, "verbs -> client.") \
    MESSAGE (122, expose, \
             "client -> verbs: open windows for my link to what these leases or slots hold.") \
    MESSAGE (123, expose_ok, "verbs -> client: where each block lies, and the keys to it.") \
    MESSAGE (124, conceal, \
             "client -> verbs: close what is open under these tokens. Answered with ok.")

//  Queue pairs of one end of an RDMA link (cluster/bulk/verbs.h), one row each
#define UMBP_FIELDS_queue_pairs(F, m, key) \
    F (m, key, numbers, U32S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, "number of each queue pair") \
    F (m, key + 1, psns, U32S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, "number of its first packet") \
    F (m, key + 2, lids, U16S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, \
       "address on InfiniBand, 0 on Ethernet") \
    F (m, key + 3, mtus, U16S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, "bytes in a packet, at most") \
    F (m, key + 4, reads, U8S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, "READs it answers at a time") \
    F (m, key + 5, devices, U8S, MUST, 1, 0, UMBP_QUEUE_PAIRS_MAX, \
       "place of its device in the list of its end") \
    F (m, key + 6, gids, BYTES, MUST, 0, 16, UMBP_QUEUE_PAIRS_MAX * 16, \
       "16 bytes each: address of its port")
#define UMBP_FIELDS_join(F, m) \
    F (m, 4, session, U64, MUST, 0, 1, UINT64_MAX, \
       "the client's bulk session, which has a lease or slot here; a former link of it ends") \
    UMBP_FIELDS_queue_pairs (F, m, 5)
#define UMBP_FIELDS_join_ok(F, m) \
    F (m, 4, link, U64, MUST, 0, 1, UINT64_MAX, "number of the link") \
    UMBP_FIELDS_queue_pairs (F, m, 5) \
    F (m, 12, page_size, U64, MUST, 0, 1, UINT32_MAX, "bytes in a page") \
    F (m, 13, bases, U64S, MUST, 2, 0, UMBP_REGIONS_MAX, "address of each region there") \
    F (m, 14, sizes, U64S, MUST, 2, 0, UMBP_REGIONS_MAX, "bytes of each region")
#define UMBP_FIELDS_expose(F, m) \
    F (m, 4, link, U64, MUST, 0, 1, UINT64_MAX, "by which link") \
    F (m, 5, tokens, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "lease or slot of each block") \
    F (m, 6, items, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "number of the block in its lease; 0 in a slot") \
    F (m, 7, write, BOOL, MAY, 0, 0, 1, "to write them: tokens are slots")
#define UMBP_FIELDS_expose_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "0 open, ESTALE over, EAGAIN too many windows: take tcp") \
    F (m, 5, counts, U16S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "how many rows of the next columns are its") \
    F (m, 6, regions, U16S, MUST, 2, 0, UMBP_WINDOWS_MAX, "region of each window") \
    F (m, 7, pages, U32S, MUST, 2, 0, UMBP_WINDOWS_MAX, "its first page") \
    F (m, 8, page_counts, U32S, MUST, 2, 0, UMBP_WINDOWS_MAX, "how many pages") \
    F (m, 9, keys, U32S, MUST, 0, 0, UMBP_WINDOWS_MAX * UMBP_QUEUE_PAIRS_MAX, \
       "of each window, one key for each queue pair of the link")
#define UMBP_FIELDS_conceal(F, m) \
    F (m, 4, link, U64, MUST, 0, 1, UINT64_MAX, "of which link; unknown ones are fine") \
    F (m, 5, tokens, U64S, MUST, 0, 0, UMBP_BATCH_MAX, "leases or slots; none: the link itself ends") \
    F (m, 6, clean, BOOL, MAY, 0, 0, 1, \
       "all requests succeeded and no queue pair was lost; else what was open to writes ends the link")

#endif
