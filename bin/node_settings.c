//  bin/node_settings.c - one row per option of a node. The defaults are umbp_node_options_init's.
#include "bin/node_settings.h"

#include "actors/kv_table.h"
#include "actors/tier/policy.h"
#include "actors/umbp_node.h"

#define KIB (UINT64_C (1) << 10)
#define MIB (UINT64_C (1) << 20)
#define TIB (UINT64_C (1) << 40)
#define MINUTE_MS 60000
#define HOUR_MS (60 * MINUTE_MS)

//  Lists of endpoints have room for more, but a line of a file ends after 1024 bytes
#define LIST_MAX 1000

#define MEMBER(name) \
    #name, offsetof (umbp_node_options_t, name), sizeof (((umbp_node_options_t *) 0)->name)

static const umbp_setting_t s_settings[] = {
    { "node/id", UMBP_SETTING_ID, MEMBER (node), 0, 64, NULL,
      "stable name of this node, unique in the cluster; nothing: host name and port" },
    { "node/run_dir", UMBP_SETTING_TEXT, MEMBER (run_dir), 0, 199, NULL,
      "folder of the UNIX sockets through which clients of this host reach shared memory; nothing: "
      "none is opened" },
    { "node/tenant", UMBP_SETTING_ID, MEMBER (tenant), 0, 64, NULL,
      "tenant of the programs of this host that come through run_dir, equal on all nodes of a host; "
      "nothing: the default one" },
    { "node/spin", UMBP_SETTING_US, MEMBER (spin_us), 0, 1000000, NULL,
      "how long an actor looks for the next message before it sleeps; 0: never. Where latency "
      "counts and cores are idle try 50us: single small gets take about half the time. Costs CPU: "
      "up to that much after each message, at each actor it passes and in clients" },
    { "node/log", UMBP_SETTING_LEVEL, MEMBER (log_level), 0, 3, "error|warning|info|debug",
      "how much to log; debug is every message" },

    { "cluster/name", UMBP_SETTING_ID, MEMBER (cluster), 1, 64, NULL,
      "only nodes of one name find each other" },
    { "cluster/secret", UMBP_SETTING_TEXT, MEMBER (secret), 0, 128, NULL,
      "seeds the fingerprints of keys, equal on all nodes; nothing: the name of the cluster. Keep "
      "it in the file or the environment: others can see the arguments of a process" },
    { "cluster/seeds", UMBP_SETTING_ENDPOINTS, MEMBER (seeds), 0, LIST_MAX, NULL,
      "nodes that may be there" },
    { "cluster/heartbeat", UMBP_SETTING_MS, MEMBER (heartbeat_ms), 10, MINUTE_MS, NULL,
      "how often nodes tell each other that they are alive" },
    { "cluster/suspect", UMBP_SETTING_MS, MEMBER (suspect_ms), 30, HOUR_MS, NULL,
      "after so much silence a node is asked no more" },
    { "cluster/gone", UMBP_SETTING_MS, MEMBER (gone_ms), 30, 24 * HOUR_MS, NULL,
      "after so much silence a node is taken off the ring" },
    { "cluster/copies", UMBP_SETTING_COUNT, MEMBER (copies), 1, 3, NULL,
      "on how many nodes the index keeps each key" },

    { "ring/vnodes", UMBP_SETTING_COUNT, MEMBER (vnodes), 1, 4096, NULL,
      "points of a node on the ring, equal on all nodes" },
    { "ring/plain", UMBP_SETTING_BOOL, MEMBER (ring_plain), 0, 1, NULL,
      "plain FNV-1a, which spreads badly: to compare with others only" },

    { "network/listen", UMBP_SETTING_LISTEN, MEMBER (listen), 1, 255, NULL,
      "where clients and nodes connect to" },
    { "network/advertise", UMBP_SETTING_ENDPOINT, MEMBER (advertise), 0, 255, NULL,
      "what others shall connect to, needed where listen is on all interfaces; nothing: what "
      "listen became" },
    { "network/bulk_host", UMBP_SETTING_TEXT, MEMBER (bulk_host), 0, 127, NULL,
      "address on which the bytes of blocks are served; nothing: the host of listen" },
    { "network/bulk_port", UMBP_SETTING_PORT, MEMBER (bulk_port), 0, 65535, NULL,
      "and the port; 0: any free one" },
    { "network/bulk_idle", UMBP_SETTING_MS, MEMBER (bulk_idle_ms), 100, HOUR_MS, NULL,
      "a connection there is closed after so long without use, unless its client holds a slot or "
      "lease; it makes another when it needs one" },

    { "rdma/use", UMBP_SETTING_NAME, MEMBER (rdma), 0, 7, "auto|off",
      "the bytes of blocks by RDMA too, if libumbp-verbs.so is there and a device has an active "
      "port: all memory is locked then; tcp stays for who has none" },
    { "rdma/devices", UMBP_SETTING_TEXT, MEMBER (rdma_devices), 0, 255, NULL,
      "which devices, NAME or NAME:PORT by comma, in an order that fits that of the other nodes; "
      "nothing: all that are active" },
    { "rdma/gid", UMBP_SETTING_COUNT, MEMBER (rdma_gid), 0, 255, NULL,
      "index of the address in the table of each device; 0: chosen, RoCE v2 first" },
    { "rdma/windows", UMBP_SETTING_NAME, MEMBER (rdma_windows), 0, 7, "auto|off",
      "keys of leases and slots are memory windows where a device has them; off, and where it has none: "
      "registrations, which take longer and count as locked memory" },
    { "rdma/plugin", UMBP_SETTING_TEXT, MEMBER (rdma_plugin), 0, 255, NULL,
      "file of the plug-in; nothing: libumbp-verbs.so where libraries lie" },

    { "security/certificate", UMBP_SETTING_TEXT, MEMBER (certificate), 0, 255, NULL,
      "this node's certificate, of umbp-console keygen, its secret part beside it in FILE_secret: "
      "all links are encrypted, and only who is listed below may connect; nothing: plain, and "
      "listening on loopback only" },
    { "security/nodes", UMBP_SETTING_TEXT, MEMBER (nodes_dir), 0, 255, NULL,
      "folder with the certificates of the nodes that may join; read again when it changes" },
    { "security/clients", UMBP_SETTING_TEXT, MEMBER (clients_dir), 0, 255, NULL,
      "folder with the certificates of the clients that may connect; read again when it changes" },
    { "security/tenants", UMBP_SETTING_TEXT, MEMBER (tenants_file), 0, 255, NULL,
      "file that says how many bytes of this node each tenant may use; read again when it changes; "
      "nothing: no limits" },
    { "security/insecure", UMBP_SETTING_BOOL, MEMBER (insecure), 0, 1, NULL,
      "listen beyond loopback without a certificate: whoever reaches the ports can read, write and "
      "remove everything" },

    { "gossip/bind", UMBP_SETTING_LISTEN, MEMBER (gossip_bind), 0, 255, NULL,
      "finding by gossip: where to listen; nothing: off" },
    { "gossip/connect", UMBP_SETTING_ENDPOINTS, MEMBER (gossip_connect), 0, LIST_MAX, NULL,
      "finding by gossip: whom to connect to" },
    { "beacon/port", UMBP_SETTING_PORT, MEMBER (beacon_port), 0, 65535, NULL,
      "finding by UDP broadcast: the port; 0: off" },
    { "beacon/interface", UMBP_SETTING_TEXT, MEMBER (beacon_interface), 0, 63, NULL,
      "finding by UDP broadcast: the network interface; nothing: the system's choice" },

    { "etcd/endpoints", UMBP_SETTING_TEXT, MEMBER (etcd_endpoints), 0, LIST_MAX, NULL,
      "finding through etcd, by its JSON gateway: http://HOST:PORT,... or https://, the next one if "
      "one fails; nothing: off" },
    { "etcd/prefix", UMBP_SETTING_TEXT, MEMBER (etcd_prefix), 1, 127, NULL,
      "keys there are <prefix>/<name of the cluster>/<id of the node>; the same on all nodes" },
    { "etcd/ttl", UMBP_SETTING_MS, MEMBER (etcd_ttl_ms), 2000, HOUR_MS, NULL,
      "how long the key of a node outlives it; kept alive three times as often" },
    { "etcd/user", UMBP_SETTING_TEXT, MEMBER (etcd_user), 0, 64, NULL,
      "who we are to etcd; nothing: etcd asks for no name" },
    { "etcd/password", UMBP_SETTING_TEXT, MEMBER (etcd_password), 0, 128, NULL,
      "and the password. Keep it in the file or the environment: others can see the arguments of a "
      "process" },
    { "etcd/ca", UMBP_SETTING_TEXT, MEMBER (etcd_ca), 0, 255, NULL,
      "https: file (PEM) of the authorities that may vouch for etcd; nothing: the system's" },
    { "etcd/cert", UMBP_SETTING_TEXT, MEMBER (etcd_cert), 0, 255, NULL,
      "https: file (PEM) of our own certificate, where etcd asks for one" },
    { "etcd/key", UMBP_SETTING_TEXT, MEMBER (etcd_key), 0, 255, NULL,
      "https: file (PEM) of its private key" },

    { "dram/capacity", UMBP_SETTING_BYTES, MEMBER (dram_bytes), MIB, 16 * TIB, NULL,
      "memory for blocks" },
    { "dram/region", UMBP_SETTING_BYTES, MEMBER (region_bytes), MIB, 16 * TIB, NULL,
      "in regions of at most this" },
    { "dram/page", UMBP_SETTING_BYTES, MEMBER (page_bytes), 4 * KIB, 1024 * MIB, NULL,
      "the least a block takes; a multiple of 4KiB" },
    { "dram/huge_pages", UMBP_SETTING_BOOL, MEMBER (huge_pages), 0, 1, NULL,
      "take the memory in huge pages, which must have been set aside" },
    { "dram/prefault", UMBP_SETTING_BOOL, MEMBER (prefault), 0, 1, NULL,
      "fault all memory in before serving" },

    { "hbm/device", UMBP_SETTING_TEXT, MEMBER (hbm_device), 0, 15, NULL,
      "blocks in the memory of an accelerator too: auto, cuda:N, hip:N or mock:N; nothing: none" },
    { "hbm/capacity", UMBP_SETTING_BYTES, MEMBER (hbm_bytes), 64 * KIB, 16 * TIB, NULL,
      "so much of its memory, taken when the node starts" },
    { "hbm/staging", UMBP_SETTING_BYTES, MEMBER (hbm_staging_bytes), 4 * KIB, TIB, NULL,
      "host memory through which blocks come from the device and go there" },
    { "hbm/up_rate", UMBP_SETTING_BYTES, MEMBER (hbm_up_rate), 0, TIB, NULL,
      "bytes a second of what is read in memory that are brought to the device, at most; 0: no bound" },

    { "nvme/directories", UMBP_SETTING_TEXT, MEMBER (nvme_dirs), 0, LIST_MAX, NULL,
      "blocks on disk too: folders by comma, one on each drive; nothing: none" },
    { "nvme/capacity", UMBP_SETTING_BYTES, MEMBER (nvme_bytes), 8 * MIB, 1024 * TIB, NULL,
      "all files there take at most this" },
    { "nvme/segment", UMBP_SETTING_BYTES, MEMBER (nvme_segment_bytes), MIB, 4096 * MIB, NULL,
      "in files of this; blocks that are larger do not fit" },
    { "nvme/staging", UMBP_SETTING_BYTES, MEMBER (nvme_staging_bytes), 4 * KIB, TIB, NULL,
      "memory through which blocks come from disk and go there; what was read last stays in it" },
    { "nvme/write", UMBP_SETTING_NAME, MEMBER (nvme_write), 0, 7, "back|through",
      "what goes there: back, what has to leave memory; through, every block at once, so that it "
      "outlives a restart" },
    { "nvme/down_rate", UMBP_SETTING_BYTES, MEMBER (nvme_down_rate), 0, TIB, NULL,
      "bytes a second written through, at most; what has to leave memory is not bound by it; 0: no "
      "bound" },
    { "nvme/up_rate", UMBP_SETTING_BYTES, MEMBER (nvme_up_rate), 0, TIB, NULL,
      "bytes a second of what was read there that are brought to memory, at most; 0: no bound" },
    { "nvme/admit", UMBP_SETTING_NAME, MEMBER (nvme_admit), 0, 15, "all|second-touch|auto",
      "which of the blocks that have to leave memory go to disk: all; second-touch, those that were "
      "asked for twice, which spares the drive; auto, all unless blocks leave the disk before they are "
      "asked for again, or more is written than nvme/down_rate" },
    { "nvme/low", UMBP_SETTING_PERCENT, MEMBER (nvme_low), 0, 99, NULL,
      "percent of the disk to which eviction brings it once eviction/high is passed; 0: 2 below that" },
    { "nvme/durability", UMBP_SETTING_NAME, MEMBER (nvme_durability), 0, 7, "relaxed|strict",
      "what is in this tier: handed to the disk, or on it, so that a loss of power takes nothing" },
    { "nvme/engine", UMBP_SETTING_NAME, MEMBER (nvme_engine), 0, 11, "auto|io_uring|posix",
      "how the disk is spoken to; auto: io_uring where the kernel has it" },
    { "nvme/clean_rate", UMBP_SETTING_BYTES, MEMBER (nvme_clean_rate), 0, TIB, NULL,
      "bytes a second that may be copied to win back the space of removed blocks; 0: no bound" },

    { "shared/directory", UMBP_SETTING_TEXT, MEMBER (shared_dir), 0, 820, NULL,
      "blocks also in this folder of a file system that several nodes mount, so that what one wrote "
      "can be read without it; nothing: none" },
    { "shared/capacity", UMBP_SETTING_BYTES, MEMBER (shared_bytes), 8 * MIB, 1024 * TIB, NULL,
      "files of this node there take at most this" },
    { "shared/segment", UMBP_SETTING_BYTES, MEMBER (shared_segment_bytes), MIB, 4096 * MIB, NULL,
      "in files of this at most; a larger block has one of its own" },
    { "shared/staging", UMBP_SETTING_BYTES, MEMBER (shared_staging_bytes), 4 * KIB, TIB, NULL,
      "memory through which blocks come from there and go there; what was read last stays in it" },
    { "shared/durability", UMBP_SETTING_NAME, MEMBER (shared_durability), 0, 7,
      "relaxed|commit|strict",
      "what is in this tier: relaxed, written and named; commit, and synced, many blocks at a time; "
      "strict, each block by itself" },
    { "shared/write", UMBP_SETTING_NAME, MEMBER (shared_write), 0, 7, "back|through",
      "what goes there: back, what has to leave the tier above; through, every block at once, so that "
      "others can read it should this node be lost" },
    { "shared/down_rate", UMBP_SETTING_BYTES, MEMBER (shared_down_rate), 0, TIB, NULL,
      "bytes a second written through, at most; what has to leave is not bound by it; 0: no bound" },
    { "shared/up_rate", UMBP_SETTING_BYTES, MEMBER (shared_up_rate), 0, TIB, NULL,
      "bytes a second of what was read there that are brought to memory, at most; 0: no bound" },
    { "shared/admit", UMBP_SETTING_NAME, MEMBER (shared_admit), 0, 15, "all|second-touch|auto",
      "which of the blocks that have to leave the tier above go there: as nvme/admit" },
    { "shared/deadline", UMBP_SETTING_MS, MEMBER (shared_deadline_ms), 100, HOUR_MS, NULL,
      "a mount that says nothing for so long hangs: nothing is begun there until it answers again" },
    { "shared/takeover", UMBP_SETTING_MS, MEMBER (shared_takeover_ms), 0, HOUR_MS, NULL,
      "so long after a node fell silent one of the others serves what it has there; 0: never" },
    { "shared/low", UMBP_SETTING_PERCENT, MEMBER (shared_low), 0, 99, NULL,
      "percent of shared/capacity to which eviction brings it once eviction/high is passed; 0: 2 below "
      "that" },

    { "migration/target", UMBP_SETTING_MS, MEMBER (migration_target_ms), 0, HOUR_MS, NULL,
      "what moves between memory and disk with nothing pressing it slows down while the slowest "
      "twentieth of those who read from disk waits longer than this; 0: never" },
    { "migration/patience", UMBP_SETTING_MS, MEMBER (migration_patience_ms), 100, 60000, NULL,
      "what has to leave memory waits so long for the disk, and anew after each block that the disk "
      "took, ten times as long at most; what that has not taken by then leaves without a copy. The "
      "longer, the less is lost, and the longer a put may find no room. What has to leave device "
      "memory waits so long for each tier below" },
    { "migration/blocks", UMBP_SETTING_COUNT, MEMBER (migration_blocks), 1, 256, NULL,
      "blocks on their way from one tier to another at a time, at most" },
    { "migration/bytes", UMBP_SETTING_BYTES, MEMBER (migration_bytes), MIB, TIB, NULL,
      "and their bytes, but for a block that is larger" },
    { "migration/storm", UMBP_SETTING_COUNT, MEMBER (migration_storm), 0, 1000000, NULL,
      "so many asked for within a second, and waiting at once, are a storm, as are long waits: until it "
      "is over nothing idle moves, and blocks come to memory at their second read; 0: there is none" },
    { "migration/idle", UMBP_SETTING_PERCENT, MEMBER (migration_idle), 0, 100, NULL,
      "percent of the blocks in memory a second that are copied to disk while nothing else moves, of "
      "those that would leave next, so that who wants room waits for no disk; 0: none" },

    { "device/library", UMBP_SETTING_TEXT, MEMBER (device_library), 0, 255, NULL,
      "accelerator library to load: a path that only its owner can write, or off; nothing: that of "
      "the driver that is there" },
    { "device/insecure", UMBP_SETTING_BOOL, MEMBER (device_insecure), 0, 1, NULL,
      "load it though others can write it, or put another file in its place" },
    { "device/interval", UMBP_SETTING_MS, MEMBER (device_discover_ms), 1000, 24 * HOUR_MS, NULL,
      "how often devices are looked for; at once if their number changes" },
    { "device/poll", UMBP_SETTING_MS, MEMBER (device_poll_ms), 100, HOUR_MS, NULL,
      "how often devices are asked how they are, and who uses them" },

    { "eviction/high", UMBP_SETTING_PERCENT, MEMBER (evict_high), 1, 100, NULL,
      "once a tier is fuller than this, blocks leave" },
    { "eviction/low", UMBP_SETTING_PERCENT, MEMBER (evict_low), 1, 99, NULL,
      "until it is no fuller than this" },

    { "blocks/strategy", UMBP_SETTING_NAME, MEMBER (strategy), 0, 15,
      "local|most_free|weighted|same", "which node takes a new block" },
    { "blocks/slot_ttl", UMBP_SETTING_MS, MEMBER (slot_ttl_ms), 100, HOUR_MS, NULL,
      "how long a writer may take" },
    { "blocks/lease_ttl", UMBP_SETTING_MS, MEMBER (lease_ttl_ms), 100, HOUR_MS, NULL,
      "how long a reader may take" },
    { "blocks/replicate", UMBP_SETTING_NAME, MEMBER (replicate), 0, 7, "off|last",
      "after a node is lost: nothing; or make new copies of blocks that were put with replicas and "
      "of which only the copy here is left" },
    { "blocks/replicate_rate", UMBP_SETTING_BYTES, MEMBER (replicate_rate), 0, TIB, NULL,
      "... with so many bytes a second at most; 0: as fast as it goes" },

    { "tier/policy", UMBP_SETTING_NAME, MEMBER (policy), 0, 15, UMBP_POLICY_NAMES,
      "which blocks leave when room is wanted: s3fifo, which a passing crowd of new blocks does not "
      "upset; lru, least recently used; clock, arc; reuse, which learns after how long blocks are "
      "used again" },
    { "tier/resyncs", UMBP_SETTING_COUNT, MEMBER (resyncs), 0, 1024, NULL,
      "when many nodes join: of how many a tier begins to tell all it holds within 30s; the others "
      "wait for their turn; 0: all at once" },

    { "pressure/mode", UMBP_SETTING_NAME, MEMBER (pressure_mode), 0, 7, "off|observe|act",
      "when memory is short: look at nothing; say how short, and what would be done; or do it: tell "
      "clients to let go, evict, give memory back, suspend tenants, drop the blocks of the lowest" },
    { "pressure/tier", UMBP_SETTING_TEXT, MEMBER (pressure_tier), 1, 31, NULL,
      "percent of a tier in use from which levels 1 to 4 hold; - is none" },
    { "pressure/tier_leave", UMBP_SETTING_TEXT, MEMBER (pressure_tier_leave), 1, 31, NULL,
      "percent below which each is left again" },
    { "pressure/device", UMBP_SETTING_TEXT, MEMBER (pressure_device), 1, 31, NULL,
      "percent of an accelerator's memory in use, by whomever, from which levels hold, like 85,90,95,98; - "
      "is none, as engines take all that they can get" },
    { "pressure/device_leave", UMBP_SETTING_TEXT, MEMBER (pressure_device_leave), 1, 31, NULL,
      "percent below which each is left again" },
    { "pressure/some", UMBP_SETTING_TEXT, MEMBER (pressure_some), 1, 31, NULL,
      "percent of 2s that tasks stood still for want of memory, from which levels hold" },
    { "pressure/full", UMBP_SETTING_TEXT, MEMBER (pressure_full), 1, 31, NULL,
      "the same, of all tasks at once" },
    { "pressure/available", UMBP_SETTING_TEXT, MEMBER (pressure_available), 1, 31, NULL,
      "percent of memory left, of the host or of the cgroup, below which levels hold" },
    { "pressure/rise", UMBP_SETTING_MS, MEMBER (pressure_rise_ms), 0, HOUR_MS, NULL,
      "for so long it has to last until the level rises" },
    { "pressure/fall", UMBP_SETTING_MS, MEMBER (pressure_fall_ms), 0, HOUR_MS, NULL,
      "for so long it has to be better until the level falls, by one" },
    { "pressure/quiet", UMBP_SETTING_MS, MEMBER (pressure_quiet_ms), 0, HOUR_MS, NULL,
      "for so long nobody may have stood still until level 1 is left" },
    { "pressure/calm", UMBP_SETTING_MS, MEMBER (pressure_calm_ms), 100, 24 * HOUR_MS, NULL,
      "for so long all has to be normal until a tier that gave memory back takes some again" },
    { "pressure/keep", UMBP_SETTING_PERCENT, MEMBER (pressure_keep), 1, 100, NULL,
      "of its memory that a tier keeps whatever comes" },
    { "pressure/cgroup", UMBP_SETTING_TEXT, MEMBER (pressure_cgroup), 0, 255, NULL,
      "folder of the memory cgroup whose limit counts; nothing: that of this process" },

    { "index/keys", UMBP_SETTING_COUNT, MEMBER (index_keys), 1, UINT32_MAX, NULL,
      "index entries this node keeps at most" },
    { "extkv/hashes", UMBP_SETTING_COUNT, MEMBER (kv_hashes), 1, UMBP_KV_HASHES_MAX, NULL,
      "hashes of the external index this node keeps at most" },

    { "gateway/listen", UMBP_SETTING_LISTEN, MEMBER (gateway_listen), 0, 255, NULL,
      "HTTP: where /metrics, /healthz and /readyz are served; nothing: off" },
    { "gateway/open", UMBP_SETTING_BOOL, MEMBER (gateway_open), 0, 1, NULL,
      "gateway/listen may be an address that other hosts reach; else loopback only" },

    { "worker/state_dir", UMBP_SETTING_TEXT, MEMBER (worker_state_dir), 0, 255, NULL,
      "folder of workers.json and devices.json, whose processes are kept running; auto: "
      "$TENSOR_FUSION_STATE_DIR, or else $XDG_STATE_HOME/umbp or /var/lib/umbp; nothing: "
      "$TENSOR_FUSION_STATE_DIR, or else no workers. Whoever can write there runs programs as our "
      "user" },
    { "worker/log_dir", UMBP_SETTING_TEXT, MEMBER (worker_log_dir), 0, 255, NULL,
      "what these processes say goes there; nothing: $TF_LOG_PATH, or else logs in that folder" },
    { "worker/isolation", UMBP_SETTING_NAME, MEMBER (worker_isolation), 0, 15,
      "dynamic|shared|soft|hard|partitioned",
      "mode of all devices that devices.json gives no policy; dynamic: each has the mode of the "
      "workers that it has" },
    { "worker/backoff", UMBP_SETTING_MS, MEMBER (worker_backoff_ms), 30, HOUR_MS, NULL,
      "pause after the first exit of a process; it doubles with each up to 20 times that, and "
      "begins anew after as long a run" },
    { "worker/grace", UMBP_SETTING_MS, MEMBER (worker_grace_ms), 10, HOUR_MS, NULL,
      "how long a process that shall end may take before it is killed" },
    { "worker/poll", UMBP_SETTING_MS, MEMBER (worker_poll_ms), 10, HOUR_MS, NULL,
      "how often the files are looked at, besides when the kernel says that they changed" },
    { "worker/split", UMBP_SETTING_MS, MEMBER (worker_split_ms), 100, HOUR_MS, NULL,
      "how long a driver may take to make a partition of a device; after that the worker's other "
      "partitions are taken back, and it waits" },
};

const umbp_setting_t *umbp_node_settings (size_t *count)
{
    *count = sizeof s_settings / sizeof *s_settings;
    return s_settings;
}
