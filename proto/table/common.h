//  proto/table/common.h - messages: what any actor answers, and what messages share. See proto/table.h.
#ifndef UMBP_TABLE_COMMON_H
#define UMBP_TABLE_COMMON_H

#define UMBP_MESSAGES_common(MESSAGE) \
    MESSAGE (1, ok, \
             "Done, or not: the status says. Answer to requests that ask for nothing back.") \
    MESSAGE (2, refused, "The request was not understood or not allowed. May answer any request.") \
    MESSAGE (3, ping, "Are you there? Any actor answers ok.") \
    MESSAGE (4, stat, "How are you? Any actor answers stat_ok.") \
    MESSAGE (5, stat_ok, "Counters and gauges of one actor, by name.") \
    MESSAGE (6, log, "Change how much this node logs. Any actor answers ok.")

#define UMBP_FIELDS_ok(F, m)
#define UMBP_FIELDS_refused(F, m) \
    F (m, 4, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "what was wrong, and with which field")
#define UMBP_FIELDS_ping(F, m)
#define UMBP_FIELDS_stat(F, m)
#define UMBP_FIELDS_stat_ok(F, m) \
    F (m, 4, names, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "units come last: used_bytes, hits") \
    F (m, 5, values, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "the value under each name") \
    F (m, 6, messages, COLUMN, MAY, 2, 1, UMBP_NAME_MAX, "names of the messages that came") \
    F (m, 7, received, U64S, MAY, 2, 0, UMBP_BATCH_MAX, "how many of each") \
    F (m, 8, operations, COLUMN, MAY, 3, 1, UMBP_NAME_MAX, "names of requests that were answered") \
    F (m, 9, paths, U8S, MAY, 3, 0, UMBP_BATCH_MAX, \
       "how they came: 1 an actor of this node, 2 the link, 3 the door") \
    F (m, 10, sums_us, U64S, MAY, 3, 0, UMBP_BATCH_MAX, \
       "time from the request to its answer, of all") \
    F (m, 11, buckets, U64S, MAY, 0, 0, UMBP_BATCH_MAX, \
       "25 for each operation and path: answers within 2, 4, 8, ... 2^24 us, and later ones")
#define UMBP_FIELDS_log(F, m) \
    F (m, 4, level, U64, MUST, 0, 0, 3, \
       "0 errors, 1 and warnings, 2 and life-cycle, 3 and every message")

//  Extents of blocks, row by row: block i owns the next extent_counts[i] rows of group g
#define UMBP_FIELDS_extents(F, m, key, rows, g) \
    F (m, key, extent_counts, U16S, MAY, rows, 0, UMBP_BATCH_MAX, \
       "how many extents are this block's") \
    F (m, key + 1, regions, U16S, MAY, g, 0, UMBP_EXTENTS_MAX, "region of each extent") \
    F (m, key + 2, pages, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, "its first page") \
    F (m, key + 3, page_counts, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, "how many pages") \
    F (m, key + 4, generations, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, \
       "the generation those pages are in")

#endif
