//  proto/table/registry.h - messages: members, topology, drains. See proto/table.h.
#ifndef UMBP_TABLE_REGISTRY_H
#define UMBP_TABLE_REGISTRY_H

#define UMBP_MESSAGES_registry(MESSAGE) \
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
    MESSAGE (21, drain_ok, "registry -> client, tier manager -> registry: how far that is.")

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

#endif
