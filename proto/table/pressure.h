//  proto/table/pressure.h - messages: what a node does when memory is short. See proto/table.h.
#ifndef UMBP_TABLE_PRESSURE_H
#define UMBP_TABLE_PRESSURE_H

#define UMBP_MESSAGES_pressure(MESSAGE) \
    MESSAGE (160, strain, "client -> pressure: how short of memory is this node, and since when?") \
    MESSAGE (161, strain_ok, "pressure -> client: the level, why, and what was done about it.") \
    MESSAGE (162, cost, \
             "client -> pressure -> tier manager: what would it cost to let go of so much?") \
    MESSAGE (163, cost_ok, "tier manager -> pressure -> client.") \
    MESSAGE (164, suspend, \
             "client -> pressure -> tier manager: give this tenant no new room, or again. " \
             "Answered with ok.") \
    MESSAGE (165, balloon, \
             "client -> pressure -> tier manager: give memory back to the system, or take it again.") \
    MESSAGE (166, balloon_ok, "tier manager -> pressure -> client: how far that is.") \
    MESSAGE (167, events, "client -> tier manager: what happened to memory, from a number on?") \
    MESSAGE (168, events_ok, "tier manager -> client.") \
    MESSAGE (169, usage, "pressure, client -> tier manager: who uses how much, as of which event?") \
    MESSAGE (170, usage_ok, "tier manager -> pressure, client.") \
    MESSAGE (171, relax, \
             "pressure -> tier manager, router, no answer: so short of memory is this node now; " \
             "let go of what you can have again.")

#define UMBP_FIELDS_strain(F, m)
#define UMBP_FIELDS_strain_ok(F, m) \
    F (m, 4, level, U64, MUST, 0, 0, 4, \
       "0 normal, 1 elevated, 2 high, 3 critical, 4 emergency") \
    F (m, 5, mode, U64, MUST, 0, 0, 2, "0 off, 1 observe, 2 act") \
    F (m, 6, since_ms, U64, MUST, 0, 0, UINT64_MAX, "it has been that for so long") \
    F (m, 7, why, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "the signal that speaks for it, and its mark") \
    F (m, 8, names, COLUMN, MAY, 1, 1, UMBP_NAME_MAX, "signals: some_permille, available_bytes, ...") \
    F (m, 9, values, U64S, MAY, 1, 0, UMBP_NAME_MAX, "the value under each name") \
    F (m, 10, steps, U8S, MAY, 2, 0, UMBP_NAME_MAX, \
       "last steps, the newest first: 1 relax, 2 reduce, 3 suspend, 4 drop, 5 resume, 6 grow") \
    F (m, 11, ages_ms, U64S, MAY, 2, 0, UMBP_NAME_MAX, "so long ago") \
    F (m, 12, tenants, COLUMN, MAY, 2, 0, UMBP_NAME_MAX, "whom each concerned; empty: all, or the default one") \
    F (m, 13, done, U8S, MAY, 2, 0, UMBP_NAME_MAX, "1: was taken; 0: would have been")
#define UMBP_FIELDS_cost(F, m) \
    F (m, 4, tier, U64, MAY, 0, 0, 4, "of which tier; 0: dram") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "to be freed") \
    F (m, 6, own, BOOL, MAY, 0, 0, 1, "only blocks of the tenant below") \
    F (m, 7, tenant, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "whose; empty: the default tenant's")
#define UMBP_FIELDS_cost_ok(F, m) \
    F (m, 4, time_us, U64, MUST, 0, 0, UINT64_MAX, "it would take so long") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "that would be free then; less: no more can leave") \
    F (m, 6, moved_bytes, U64, MUST, 0, 0, UINT64_MAX, "that would be copied elsewhere for that") \
    F (m, 7, blocks, U64, MUST, 0, 0, UINT64_MAX, "that would leave the tier") \
    F (m, 8, lost_blocks, U64, MUST, 0, 0, UINT64_MAX, \
       "of these, that were put without replicas and have no lower tier to go to")
#define UMBP_FIELDS_suspend(F, m) \
    F (m, 4, tenant, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "whom; empty: the default tenant") \
    F (m, 5, on, BOOL, MUST, 0, 0, 1, "1 suspend, 0 resume")
#define UMBP_FIELDS_balloon(F, m) \
    F (m, 4, tier, U64, MAY, 0, 0, 4, "which tier; 0: dram") \
    F (m, 5, capacity, U64, MAY, 0, 0, UINT64_MAX, \
       "bytes that it shall hold from now on, at most what it was made with; 0: as it is")
#define UMBP_FIELDS_balloon_ok(F, m) \
    F (m, 4, capacity, U64, MUST, 0, 0, UINT64_MAX, "bytes that it holds now") \
    F (m, 5, goal, U64, MUST, 0, 0, UINT64_MAX, "bytes that it is to hold") \
    F (m, 6, made, U64, MUST, 0, 0, UINT64_MAX, "bytes that it was made with") \
    F (m, 7, returned, U64, MUST, 0, 0, UINT64_MAX, "of these, that the system has back") \
    F (m, 8, leaving, U64, MUST, 0, 0, UINT64_MAX, "bytes that somebody still reads or writes")
#define UMBP_FIELDS_events(F, m) \
    F (m, 4, first, U64, MAY, 0, 0, UINT64_MAX, "number of the first event wanted; 0: the oldest") \
    F (m, 5, most, U64, MAY, 0, 0, UMBP_BATCH_MAX, "so many at most; 0: as many as fit")
#define UMBP_FIELDS_events_ok(F, m) \
    F (m, 4, node_epoch, U64, MUST, 0, 0, UINT64_MAX, "incarnation: numbers begin anew with each") \
    F (m, 5, first, U64, MUST, 0, 0, UINT64_MAX, \
       "oldest event that is kept; after the one asked for: some were missed") \
    F (m, 6, next, U64, MUST, 0, 0, UINT64_MAX, "number to ask for next") \
    F (m, 7, numbers, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "number of each event") \
    F (m, 8, times_us, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "when, wall clock") \
    F (m, 9, kinds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, \
       "1 alloc, 2 free, 3 evict, 4 full, 5 suspend, 6 resume, 7 capacity, 8 level, 9 move") \
    F (m, 10, amounts, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes; of a level: its number") \
    F (m, 11, tenants, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "whose; empty: the default tenant, or none")
#define UMBP_FIELDS_usage(F, m)
#define UMBP_FIELDS_usage_ok(F, m) \
    F (m, 4, total, U64, MUST, 0, 0, UINT64_MAX, "bytes that the tier holds now") \
    F (m, 5, used, U64, MUST, 0, 0, UINT64_MAX, "bytes in use: the sum of all tenants") \
    F (m, 6, made, U64, MUST, 0, 0, UINT64_MAX, "bytes that it was made with") \
    F (m, 7, full, U64, MUST, 0, 0, UINT64_MAX, "reservations that found no room, since the start") \
    F (m, 8, next, U64, MUST, 0, 0, UINT64_MAX, "number of the next event: all before are counted") \
    F (m, 9, names, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "tenants; an empty name: the default one") \
    F (m, 10, useds, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "bytes in use, in whole pages") \
    F (m, 11, limits, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "bytes allowed; 2^64 - 1: no limit") \
    F (m, 12, blocks, U64S, MUST, 1, 0, UMBP_TENANTS_MAX, "blocks and slots that use them") \
    F (m, 13, qos, U8S, MUST, 1, 0, UMBP_TENANTS_MAX, "0 low, 1 medium, 2 high, 3 critical") \
    F (m, 14, suspended, U8S, MUST, 1, 0, UMBP_TENANTS_MAX, "1: gets no new room")
#define UMBP_FIELDS_relax(F, m) \
    F (m, 4, level, U64, MUST, 0, 0, 4, "0 normal ... 4 emergency")

#endif
