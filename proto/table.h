//  proto/table.h - the message table: every message, every field, every limit, once. The C structs,
//  encode, decode, check, print, the random generator and proto/umbp.cddl all come from here.
//
//  MESSAGE (number, name, "what it says")
//      number  for ever: a new message takes a new one
//  FIELD (message, key, name, KIND, NEED, group, low, high, "what it means")
//      key     the field's number in the CBOR map: for ever too; 0..3 and 31 are the head's
//      KIND    U64 BOOL TEXT BYTES COLUMN U8S S8S U16S U32S U64S
//      NEED    MUST be there, or MAY be (absent reads as 0, false or empty)
//      group   columns of one group have the same count (a MAY column may also be empty);
//              0: on its own
//      low..high  U64: the value; TEXT, BYTES: the size; COLUMN: the size of each item;
//                 arrays: the count. A TEXT is UTF-8 without NUL
#ifndef UMBP_TABLE_H
#define UMBP_TABLE_H

#define UMBP_MESSAGES(MESSAGE) \
    MESSAGE (1, ok, \
             "Done, or not: the status says. Answer to requests that ask for nothing back.") \
    MESSAGE (2, refused, "The request was not understood or not allowed. May answer any request.") \
    MESSAGE (3, ping, "Are you there? Any actor answers ok.") \
    MESSAGE (4, stat, "How are you? Any actor answers stat_ok.") \
    MESSAGE (5, stat_ok, "Counters and gauges of one actor, by name.") \
    MESSAGE (6, log, "Change how much this node logs. Any actor answers ok.") \
    MESSAGE (10, who, "client -> registry: which node is this, and which ways lead to it?") \
    MESSAGE (11, who_ok, "registry -> client.") \
    MESSAGE (12, beat, \
             "registry -> registry, every heartbeat: what I am, what I hold, whom I know.") \
    MESSAGE (13, beat_ok, "registry -> registry: the same about the one that answers.") \
    MESSAGE (14, found, "discovery -> registry, no answer: somebody may live at this endpoint.") \
    MESSAGE (15, leave, "registry -> registry, no answer: that node shuts down in good order.") \
    MESSAGE (16, topology, "anyone -> registry: who is in the cluster?") \
    MESSAGE (17, topology_ok, \
             "registry -> whoever asked, and unasked to the actors of its node on change.") \
    MESSAGE (18, capacity, "tier manager -> registry, no answer: how full one tier is.") \
    MESSAGE (20, drain, \
             "client -> registry -> its tiers: move your blocks to other nodes, then leave the ring.") \
    MESSAGE (21, drain_ok, "registry -> client, tier manager -> registry: how far that is.") \
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
    MESSAGE (41, clear_ok, "router -> client.") \
    MESSAGE (50, lookup, \
             "router, client -> index, tier manager: what do you know of these keys?") \
    MESSAGE (51, lookup_ok, "index, tier manager -> router, client.") \
    MESSAGE (52, change, "tier manager -> index: numbered changes of what one node holds.") \
    MESSAGE (53, change_ok, \
             "index -> tier manager: up to which number I know, and what I think of each.") \
    MESSAGE (60, attach, "client -> tier manager, only through its door: lend me your regions.") \
    MESSAGE (61, attach_ok, \
             "tier manager -> client: sizes of the regions; their descriptors come along.") \
    MESSAGE (62, reserve, "router -> tier manager: slots for these blocks.") \
    MESSAGE (63, reserve_ok, "tier manager -> router.") \
    MESSAGE (64, commit, \
             "client -> tier manager: these slots are written; make the blocks visible.") \
    MESSAGE (65, commit_ok, "tier manager -> client.") \
    MESSAGE (66, abort, "client -> tier manager: I let go of these slots. Answered with ok.") \
    MESSAGE (67, touch, "client -> tier manager: I read these blocks from your board, lately.") \
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
    MESSAGE (80, pressure, \
             "tier manager -> eviction, no answer: over the mark, or a reservation failed.") \
    MESSAGE (81, evict, \
             "eviction -> tier manager, client -> eviction: let go of the least useful blocks.") \
    MESSAGE (82, evict_ok, "tier manager -> eviction, eviction -> client.") \
    MESSAGE (85, copy, \
             "client -> migrator: fetch these blocks from that node and keep a replica here.") \
    MESSAGE (86, copy_ok, "migrator -> client.") \
    MESSAGE (90, kv_report, \
             "client -> extkv: this engine holds these hashes in this tier. Answered with ok.") \
    MESSAGE (91, kv_revoke, "client -> extkv: it holds them there no more. Answered with ok.") \
    MESSAGE (92, kv_revoke_all, \
             "client -> extkv: it holds nothing in that tier, or nothing at all.") \
    MESSAGE (93, kv_revoke_all_ok, "extkv -> client.") \
    MESSAGE (94, kv_match, "client -> extkv: which engines hold these hashes, and where?") \
    MESSAGE (95, kv_match_ok, "extkv -> client.") \
    MESSAGE (96, kv_hits, "client -> extkv: how often did these hashes match?") \
    MESSAGE (97, kv_hits_ok, "extkv -> client.") \
    MESSAGE (110, wipe_tenant, \
             "router -> tier manager: forget all blocks of one tenant. Answered with wipe_ok.") \
    MESSAGE (111, tenants, "client -> tier manager: who uses how much of you?") \
    MESSAGE (112, tenants_ok, "tier manager -> client: a client hears of its own tenant alone.") \
    MESSAGE (113, quotas, \
             "gate -> tier manager, no answer: how much of you each tenant may use.") \
    MESSAGE (120, join, "client -> verbs: here are my queue pairs; make yours for them.") \
    MESSAGE (121, join_ok, "verbs -> client.") \
    MESSAGE (122, expose, \
             "client -> verbs: open windows for my link to what these leases or slots hold.") \
    MESSAGE (123, expose_ok, "verbs -> client: where each block lies, and the keys to it.") \
    MESSAGE (124, conceal, \
             "client -> verbs: close what is open under these tokens. Answered with ok.") \
    MESSAGE (130, devices, "client -> device: which accelerators has this node?") \
    MESSAGE (131, devices_ok, "device -> client: all it knows of, how they are, and whose word that is.") \
    MESSAGE (132, device_metrics, "client -> device: how busy, full and warm are these devices?") \
    MESSAGE (133, device_metrics_ok, "device -> client: what each said last, and when.") \
    MESSAGE (134, device_processes, "client -> device: who uses the devices?") \
    MESSAGE (135, device_processes_ok, "device -> client.") \
    MESSAGE (136, device_topology, "client -> device: how far are devices from each other?") \
    MESSAGE (137, device_topology_ok, "device -> client.") \
    MESSAGE (138, device_events, "client -> device: what changed since the event of that number?") \
    MESSAGE (139, device_events_ok, "device -> client.") \
    MESSAGE (140, device_split, "client -> device: make a partition of a device.") \
    MESSAGE (141, device_split_ok, "device -> client.") \
    MESSAGE (142, device_join, "client -> device: take a partition back. Answered with ok.") \
    MESSAGE (143, device_claim, \
             "tier manager -> device: so much of a device's memory is in use by me. Answered with ok.") \
    MESSAGE (150, workers, "client -> worker: which workers has this node, and how are they?") \
    MESSAGE (151, workers_ok, "worker -> client.") \
    MESSAGE (152, worker_allocate, \
             "client -> worker: these devices for this worker, all or none; again is fine.") \
    MESSAGE (153, worker_allocate_ok, "worker -> client: it has them.") \
    MESSAGE (154, worker_release, \
             "client -> worker: this worker is over: end its process, free its devices. For ever.") \
    MESSAGE (155, worker_start, "client -> worker: let its process run again. Answered with ok.") \
    MESSAGE (156, worker_stop, \
             "client -> worker: end its process until it is started. Answered with ok once it ended.") \
    MESSAGE (157, worker_events, \
             "client -> worker: what happened since that event? Waits for one until the deadline.") \
    MESSAGE (158, worker_events_ok, "worker -> client.") \
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

#define UMBP_FIELDS_who(F, m)
#define UMBP_FIELDS_who_ok(F, m) \
    F (m, 4, cluster, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "name of the cluster") \
    F (m, 5, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "stable id of the node") \
    F (m, 6, node_epoch, U64, MUST, 0, 1, UINT64_MAX, \
       "incarnation of the node: a restart has a higher one") \
    F (m, 7, topo_epoch, U64, MUST, 0, 0, UINT64_MAX, \
       "number of the topology: equal numbers, equal rings") \
    F (m, 8, version, U64, MUST, 0, 1, 65535, "of this protocol") \
    F (m, 9, endpoint, TEXT, MUST, 0, 0, UMBP_TEXT_MAX, "where the node listens for messages") \
    F (m, 10, bulk, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, \
       "host:port where it serves bulk bytes over tcp") \
    F (m, 11, host, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, \
       "equal on two nodes: they share a kernel, doors may open") \
    F (m, 12, doors, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, \
       "folder of UNIX sockets, one per actor: <actor>.sock") \
    F (m, 13, spin_us, U64, MAY, 0, 0, 1000000, "how long a client may well spin before it sleeps") \
    F (m, 14, actors, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, "of this node, that can be asked for stat") \
    F (m, 15, tenant, TEXT, MAY, 0, 0, UMBP_NAME_MAX, \
       "of whoever asks; empty: the default tenant") \
    F (m, 16, ask_router, BOOL, MAY, 0, 0, 1, \
       "ask the router what exists: shards of other nodes cannot tell whose program you are")
#define UMBP_FIELDS_beat(F, m) \
    F (m, 4, cluster, TEXT, MUST, 0, 1, UMBP_NAME_MAX, \
       "name of the cluster: another one is refused") \
    F (m, 5, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "stable id of the sender") \
    F (m, 6, node_epoch, U64, MUST, 0, 1, UINT64_MAX, "incarnation of the sender") \
    F (m, 7, topo_epoch, U64, MUST, 0, 0, UINT64_MAX, "the topology as the sender sees it") \
    F (m, 8, version, U64, MUST, 0, 1, 65535, "of this protocol") \
    F (m, 9, endpoint, TEXT, MUST, 0, 1, UMBP_TEXT_MAX, "where the sender listens") \
    F (m, 10, bulk, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "host:port of its bulk server") \
    F (m, 11, host, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "which kernel it runs on") \
    F (m, 12, doors, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "folder of its doors") \
    F (m, 13, ready, BOOL, MUST, 0, 0, 1, "its tiers are up: it may enter the ring") \
    F (m, 14, load, U64, MAY, 0, 0, 1000, "how busy, per mille") \
    F (m, 15, tiers, U8S, MAY, 1, 0, 16, "its tiers: 1 hbm, 2 dram, 3 nvme, 4 shared") \
    F (m, 16, totals, U64S, MAY, 1, 0, 16, "bytes each can hold") \
    F (m, 17, useds, U64S, MAY, 1, 0, 16, "bytes in use") \
    F (m, 18, blocks, U64S, MAY, 1, 0, 16, "blocks held") \
    F (m, 19, known, COLUMN, MAY, 0, 1, UMBP_TEXT_MAX, \
       "endpoints of members the sender knows, and the other may lack") \
    F (m, 20, told_epoch, U64, MAY, 0, 0, UINT64_MAX, \
       "topology whose shards have heard of all the sender holds; 0 none") \
    F (m, 21, settings, U64, MAY, 0, 0, UINT64_MAX, \
       "hash of the settings that all nodes share; another one is refused") \
    F (m, 22, draining, BOOL, MAY, 0, 0, 1, "it moves its blocks away and takes no new ones") \
    F (m, 23, members, U64, MAY, 0, 0, UINT64_MAX, \
       "hash of all endpoints the sender knows, its own included; 0: it understands no digest") \
    F (m, 24, digest, U16S, MAY, 0, 0, UMBP_DIGEST_MAX, \
       "the same endpoints in 2^n buckets: name me yours in those that differ") \
    F (m, 25, salt, U64, MAY, 0, 0, UINT64_MAX, "of the digest")
#define UMBP_FIELDS_beat_ok(F, m) UMBP_FIELDS_beat (F, m)
#define UMBP_FIELDS_found(F, m) \
    F (m, 4, endpoint, TEXT, MUST, 0, 1, UMBP_TEXT_MAX, "tcp://host:port")
#define UMBP_FIELDS_leave(F, m) \
    F (m, 4, node, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "who leaves") \
    F (m, 5, node_epoch, U64, MUST, 0, 1, UINT64_MAX, "which incarnation of it")
#define UMBP_FIELDS_topology(F, m)
#define UMBP_FIELDS_topology_ok(F, m) \
    F (m, 4, topo_epoch, U64, MUST, 0, 0, UINT64_MAX, "equal numbers, equal rings") \
    F (m, 5, self, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "the node that answers") \
    F (m, 6, nodes, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "members, sorted by id") \
    F (m, 7, epochs, U64S, MUST, 1, 0, UMBP_NODES_MAX, "incarnation of each") \
    F (m, 8, endpoints, COLUMN, MUST, 1, 1, UMBP_TEXT_MAX, "where each listens") \
    F (m, 9, bulks, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "where each serves bulk bytes over tcp") \
    F (m, 10, hosts, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "which kernel each runs on") \
    F (m, 11, doors, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "folder of each one's doors") \
    F (m, 12, states, U8S, MUST, 1, 0, UMBP_NODES_MAX, "1 alive, 2 suspect") \
    F (m, 13, rings, U8S, MUST, 1, 0, UMBP_NODES_MAX, "1: in the ring") \
    F (m, 14, loads, U16S, MUST, 1, 0, UMBP_NODES_MAX, "per mille") \
    F (m, 15, silent_ms, U32S, MUST, 1, 0, UMBP_NODES_MAX, "since it was last heard") \
    F (m, 16, tier_counts, U8S, MUST, 1, 0, UMBP_NODES_MAX, \
       "how many rows of the next columns are its") \
    F (m, 17, tiers, U8S, MUST, 2, 0, UMBP_BATCH_MAX, "1 hbm, 2 dram, 3 nvme, 4 shared") \
    F (m, 18, totals, U64S, MUST, 2, 0, UMBP_BATCH_MAX, "bytes it can hold") \
    F (m, 19, useds, U64S, MUST, 2, 0, UMBP_BATCH_MAX, "bytes in use") \
    F (m, 20, blocks, U64S, MUST, 2, 0, UMBP_BATCH_MAX, "blocks held") \
    F (m, 21, copies, U64, MUST, 0, 1, 3, "R: on how many nodes the index keeps each key") \
    F (m, 22, vnodes, U64, MUST, 0, 1, 4096, "points of each node on the ring") \
    F (m, 23, hash, U64, MUST, 0, 0, 1, \
       "hash of the ring: 0 FNV-1a with finaliser, 1 plain FNV-1a") \
    F (m, 24, settled, BOOL, MAY, 0, 0, 1, \
       "all that are alive work with this ring, and its shards know all blocks") \
    F (m, 25, swings, U64S, MAY, 1, 0, UMBP_NODES_MAX, \
       "how often each was heard to have another topology than before") \
    F (m, 26, drains, U8S, MAY, 1, 0, UMBP_NODES_MAX, \
       "1: it moves its blocks away and takes no new ones")
#define UMBP_FIELDS_capacity(F, m) \
    F (m, 4, tier, U64, MUST, 0, 1, 4, "which") \
    F (m, 5, total, U64, MUST, 0, 0, UINT64_MAX, "bytes it can hold") \
    F (m, 6, used, U64, MUST, 0, 0, UINT64_MAX, "bytes in use") \
    F (m, 7, blocks, U64, MUST, 0, 0, UINT64_MAX, "blocks held") \
    F (m, 8, load, U64, MAY, 0, 0, 1000, "how busy, per mille") \
    F (m, 9, told_epoch, U64, MAY, 0, 0, UINT64_MAX, \
       "topology whose shards have heard of all it holds; 0 none")
#define UMBP_FIELDS_drain(F, m) \
    F (m, 4, action, U64, MUST, 0, 0, 3, \
       "0 only say how far it is, 1 begin, 2 begin and end the process when done, 3 take it back")
#define UMBP_FIELDS_drain_ok(F, m) \
    F (m, 4, state, U64, MUST, 0, 0, 4, \
       "0 none, 1 blocks are moving, 2 no other node has room, 3 leaving the ring, 4 done") \
    F (m, 5, blocks, U64, MUST, 0, 0, UINT64_MAX, "blocks that are still to be moved") \
    F (m, 6, bytes, U64, MUST, 0, 0, UINT64_MAX, "that they and what is still read of them take") \
    F (m, 7, moved_blocks, U64, MAY, 0, 0, UINT64_MAX, "blocks that are elsewhere now") \
    F (m, 8, moved_bytes, U64, MAY, 0, 0, UINT64_MAX, "their bytes") \
    F (m, 9, stop, BOOL, MAY, 0, 0, 1, "the process ends when it is done")

//  Extents of blocks, row by row: block i owns the next extent_counts[i] rows of group g
#define UMBP_FIELDS_extents(F, m, key, rows, g) \
    F (m, key, extent_counts, U16S, MAY, rows, 0, UMBP_BATCH_MAX, \
       "how many extents are this block's") \
    F (m, key + 1, regions, U16S, MAY, g, 0, UMBP_EXTENTS_MAX, "region of each extent") \
    F (m, key + 2, pages, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, "its first page") \
    F (m, key + 3, page_counts, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, "how many pages") \
    F (m, key + 4, generations, U32S, MAY, g, 0, UMBP_EXTENTS_MAX, \
       "the generation those pages are in")

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
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "keys to look for")
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
       "one for each key, or none: 1 as left in lookup_ok")
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
       "what notices call them, in the order of reading")
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
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_SCOPED_KEY_MAX, "blocks to forget")
#define UMBP_FIELDS_drop_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_BATCH_MAX, "0 forgotten, ENOENT not here") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, \
       "freed now; leased ones follow when their leases end")
#define UMBP_FIELDS_wipe(F, m)
#define UMBP_FIELDS_wipe_ok(F, m) \
    F (m, 4, blocks, U64, MUST, 0, 0, UINT64_MAX, "forgotten") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "freed; those under a lease follow when it ends")
#define UMBP_FIELDS_flush(F, m)

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

//  Accelerators (actors/device.h). A health is 0 unknown, 1 ok, 2 suspect, 3 failed, 4 missing
#define UMBP_FIELDS_devices(F, m) \
    F (m, 4, discover, BOOL, MAY, 0, 0, 1, "look for devices now; the answer does not wait for it")
#define UMBP_FIELDS_devices_ok(F, m) \
    F (m, 4, library, TEXT, MUST, 0, 0, UMBP_TEXT_MAX, "path of the accelerator library; empty: none") \
    F (m, 5, generation, U64, MAY, 0, 0, 255, "of its layout, 1 to 5; 0: not known yet") \
    F (m, 6, state, U64, MUST, 0, 0, 4, \
       "0 no library, 1 it starts, 2 it answers, 3 stale: a call hangs, 4 it was refused or fails") \
    F (m, 7, reason, TEXT, MAY, 0, 0, UMBP_TEXT_MAX, "why it is not 2") \
    F (m, 8, age_ms, U64, MAY, 0, 0, UINT64_MAX, "since the last discovery that succeeded") \
    F (m, 9, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "devices and partitions, in the vendor's letters") \
    F (m, 10, parents, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "of a partition: its device; else empty") \
    F (m, 11, vendors, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "who made each") \
    F (m, 12, models, COLUMN, MUST, 1, 0, 128, "as what") \
    F (m, 13, drivers, COLUMN, MUST, 1, 0, 128, "version of the driver") \
    F (m, 14, firmwares, COLUMN, MUST, 1, 0, 128, "version of the firmware") \
    F (m, 15, nodes, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "its file in /dev, may be empty") \
    F (m, 16, indexes, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "number that the vendor gives it") \
    F (m, 17, numas, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "NUMA node; 2^32 - 1: unknown") \
    F (m, 18, totals, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory") \
    F (m, 19, units, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "compute units") \
    F (m, 20, gflops, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "10^9 operations a second") \
    F (m, 21, pcie_gens, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "generation of PCIe; 0: unknown") \
    F (m, 22, pcie_widths, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "lanes; 0: unknown") \
    F (m, 23, caps, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "sum of 1 partitions, 2 soft and 4 hard limits, 8 snapshots, 16 metrics, 32 remoting") \
    F (m, 24, limits, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "partitions at most in the lower 32 bits, workers in the upper") \
    F (m, 25, healths, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "how it is") \
    F (m, 26, since_ms, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "for how long") \
    F (m, 27, property_counts, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 28, property_keys, COLUMN, MAY, 2, 1, UMBP_NAME_MAX, "names, like clockSM") \
    F (m, 29, property_values, COLUMN, MAY, 2, 0, 256, "and what they are")
#define UMBP_FIELDS_device_metrics(F, m) \
    F (m, 4, uuids, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, "of which, 128 at most; none: of all")
#define UMBP_FIELDS_device_metrics_ok(F, m) \
    F (m, 4, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "as asked for") \
    F (m, 5, statuses, S8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "0 fresh, ESTALE old, EAGAIN nothing said yet, ENOENT no such device") \
    F (m, 6, ages_ms, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "since it was said") \
    F (m, 7, powers_mw, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "milliwatts") \
    F (m, 8, temperatures_mc, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "thousandths of a degree Celsius") \
    F (m, 9, rx_bytes, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes over PCIe to it, as its library counts") \
    F (m, 10, tx_bytes, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "and from it") \
    F (m, 11, busy_percents, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "of its compute units") \
    F (m, 12, useds, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory in use") \
    F (m, 13, totals, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes of memory") \
    F (m, 14, foreigns, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes in use by others than this node") \
    F (m, 15, claims, U64S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "bytes in use by tiers of this node") \
    F (m, 16, extra_counts, U8S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 17, extra_keys, COLUMN, MAY, 2, 1, UMBP_NAME_MAX, "what else it measures") \
    F (m, 18, extra_millis, U64S, MAY, 2, 0, UMBP_DEVICE_ROWS_MAX * 64, "times 1000")
#define UMBP_FIELDS_device_processes(F, m)
#define UMBP_FIELDS_device_processes_ok(F, m) \
    F (m, 4, age_ms, U64, MUST, 0, 0, UINT64_MAX, "since it was said") \
    F (m, 5, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "of the device") \
    F (m, 6, pids, U32S, MUST, 1, 0, UMBP_BATCH_MAX, "number of the process on its host") \
    F (m, 7, busy_percents, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "of the compute units") \
    F (m, 8, units_active, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "compute units at work for it") \
    F (m, 9, units, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "of so many") \
    F (m, 10, useds, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes of memory in use") \
    F (m, 11, reserved, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "bytes set aside for it") \
    F (m, 12, own, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "1: it is this node")
#define UMBP_FIELDS_device_topology(F, m)
#define UMBP_FIELDS_device_topology_ok(F, m) \
    F (m, 4, uuids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "devices") \
    F (m, 5, numas, U32S, MUST, 1, 0, UMBP_DEVICE_ROWS_MAX, "NUMA node; 2^32 - 1: unknown") \
    F (m, 6, ones, U8S, MUST, 2, 0, UMBP_BATCH_MAX, "pairs: row of one") \
    F (m, 7, others, U8S, MUST, 2, 0, UMBP_BATCH_MAX, "row of the other") \
    F (m, 8, levels, U8S, MUST, 2, 0, UMBP_BATCH_MAX, \
       "0 a link of their own, 1 one switch, 2 switches, 3 host bridge, 4 NUMA node, 5 system, 7 unknown")
#define UMBP_FIELDS_device_events(F, m) \
    F (m, 4, since, U64, MAY, 0, 0, UINT64_MAX, "0: all that are there as added, then done")
#define UMBP_FIELDS_device_events_ok(F, m) \
    F (m, 4, last, U64, MUST, 0, 0, UINT64_MAX, "number of the last event: ask from there the next time") \
    F (m, 5, lost, U64, MAY, 0, 0, UINT64_MAX, "events since then that are forgotten: ask from 0") \
    F (m, 6, kinds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "1 added, 2 removed, 3 changed, 4 health, 5 done") \
    F (m, 7, uuids, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "of which device; done: empty") \
    F (m, 8, olds, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "health before") \
    F (m, 9, news, U8S, MUST, 1, 0, UMBP_BATCH_MAX, "and from then on") \
    F (m, 10, reasons, COLUMN, MUST, 1, 0, 128, "why") \
    F (m, 11, ages_ms, U64S, MUST, 1, 0, UMBP_BATCH_MAX, "since it happened") \
    F (m, 12, ram_bytes, U64, MAY, 0, 0, UINT64_MAX, "memory of the host") \
    F (m, 13, disk_bytes, U64, MAY, 0, 0, UINT64_MAX, "size of the file system that run_dir is on") \
    F (m, 14, memory_bytes, U64, MAY, 0, 0, UINT64_MAX, "of all devices together") \
    F (m, 15, gflops, U64, MAY, 0, 0, UINT64_MAX, "of all devices together") \
    F (m, 16, ids, COLUMN, MAY, 0, 1, UMBP_NAME_MAX, "all devices")
#define UMBP_FIELDS_device_split(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the device") \
    F (m, 5, template, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "as its driver calls that kind of partition")
#define UMBP_FIELDS_device_split_ok(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 0, UMBP_NAME_MAX, "of the partition")
#define UMBP_FIELDS_device_join(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the partition")
#define UMBP_FIELDS_device_claim(F, m) \
    F (m, 4, uuid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the device or partition") \
    F (m, 5, bytes, U64, MUST, 0, 0, UINT64_MAX, "0: none any more")

//  Workers (actors/worker.h). A state is 0 Pending, 1 DeviceAllocating, 2 Running, 3 Terminated; a mode
//  0 shared, 1 soft, 2 hard, 3 partitioned; a qos 0 low, 1 medium, 2 high, 3 critical
#define UMBP_FIELDS_workers(F, m) \
    F (m, 4, uid, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "of which; empty: all")
#define UMBP_FIELDS_workers_ok(F, m) \
    F (m, 4, folder, TEXT, MUST, 0, 0, UMBP_TEXT_MAX, "where workers.json is") \
    F (m, 5, bad, U64, MUST, 0, 0, 2, "of its files, that are no JSON now and so are not heeded") \
    F (m, 6, uids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "workers") \
    F (m, 7, names, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "what they are called") \
    F (m, 8, spaces, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "in which namespace") \
    F (m, 9, states, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "of each") \
    F (m, 10, modes, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "isolation mode") \
    F (m, 11, qoses, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "quality of service") \
    F (m, 12, pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "its process; 0: none runs") \
    F (m, 13, inner_pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "the same in its innermost namespace of pids") \
    F (m, 14, pods, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "namespace_pod_container it runs in, or the uid of the pod") \
    F (m, 15, restarts, U64S, MUST, 1, 0, UMBP_WORKERS_MAX, "times its process was started again") \
    F (m, 16, codes, U16S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "exit status of the last one, 128 and a signal; 65535: unknown") \
    F (m, 17, waits_ms, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "until it is started again") \
    F (m, 18, stops, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "1: its process is stopped, or about to be") \
    F (m, 19, reasons, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "why it does not go on") \
    F (m, 20, device_counts, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 21, devices, COLUMN, MUST, 2, 1, UMBP_NAME_MAX, "devices it has, or shall have") \
    F (m, 22, partitions, COLUMN, MUST, 2, 0, UMBP_NAME_MAX, "which part of each; empty: no part")
#define UMBP_FIELDS_worker_allocate(F, m) \
    F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the worker; an unknown one is made, without a process") \
    F (m, 5, devices, COLUMN, MUST, 0, 1, UMBP_NAME_MAX, "uuids, 1 to 16") \
    F (m, 6, mode, U64, MAY, 0, 0, 3, "isolation mode") \
    F (m, 7, template, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "kind of partition")
#define UMBP_FIELDS_worker_allocate_ok(F, m) \
    F (m, 4, devices, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "uuids") \
    F (m, 5, partitions, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "which part of each; empty: no part") \
    F (m, 6, env_names, COLUMN, MUST, 2, 1, UMBP_NAME_MAX, "variables that its process needs") \
    F (m, 7, env_values, COLUMN, MUST, 2, 0, 2048, "and their values")
#define UMBP_FIELDS_worker_release(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_start(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_stop(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_events(F, m) \
    F (m, 4, since, U64, MAY, 0, 0, UINT64_MAX, "number of the last event that is known; 0: all")
#define UMBP_FIELDS_worker_events_ok(F, m) \
    F (m, 4, last, U64, MUST, 0, 0, UINT64_MAX, "number of the last event: ask from there the next time") \
    F (m, 5, lost, U64, MAY, 0, 0, UINT64_MAX, "events since then that are forgotten: ask for the workers") \
    F (m, 6, kinds, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "1 added, 2 removed, 3 changed, 4 state, 5 started, 6 adopted, 7 ended, 8 failed") \
    F (m, 7, uids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "of which worker") \
    F (m, 8, states, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "its state then") \
    F (m, 9, pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "its process then; 0: none") \
    F (m, 10, reasons, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "more, in words") \
    F (m, 11, ages_ms, U64S, MUST, 1, 0, UMBP_WORKERS_MAX, "since it happened")

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
