//  actors/metrics.c - the table of metrics. See metrics.h.
#include "actors/metrics.h"

#include <stdio.h>
#include <string.h>

#define C UMBP_METRIC_COUNTER
#define G UMBP_METRIC_GAUGE

static const umbp_metric_t s_metrics[] = {
    { "*", "requests", C, "messages that came and were no answers" },
    { "*", "answers", C, "answers given" },
    { "*", "asked", C, "questions to other actors" },
    { "*", "timeouts", C, "own questions that ended without an answer" },
    { "*", "message_bytes_max", G, "bytes of the largest message that was sent" },
    { "*", "malformed", C, "messages that the codec refused, or that were framed wrongly" },
    { "*", "lost", C, "answers that nobody was there to take" },
    { "*", "late", C, "answers that came too late, and were undone" },
    { "*", "crowded", C, "requests refused since their client had too many open" },
    { "*", "doors_open", G, "clients connected through the door" },
    { "*", "doors_refused", C, "clients turned away at the door for their number" },
    { "*", "spin_us", C, "microseconds of CPU time spent looking for messages before sleep" },
    { "*", "spins_paid", C, "such looks that a message ended" },
    { "*", "spins_vain", C, "such looks after which the actor slept all the same" },
    { "*", "spin_rests", C, "such looks given up for a rest, since others wanted the core" },

    { "registry", "members_alive", G, "members that were heard lately, this node included" },
    { "registry", "members_suspect", G, "members that are silent, but still on the ring" },
    { "registry", "members_gone", C, "members removed for their silence" },
    { "registry", "members_left", C, "members that took leave" },
    { "registry", "beats_sent", C, "heartbeats sent" },
    { "registry", "beats_received", C, "heartbeats received" },
    { "registry", "beat_gap_ms_max", G, "longest time between two signs of life of one member" },
    { "registry", "members_named", C, "endpoints of members that others lacked, told to them" },
    { "registry", "probes", C, "places that were asked whether a node lives there" },
    { "registry", "probes_open", G, "of these, not answered yet" },
    { "registry", "probes_failed", C, "of these, without a usable answer" },
    { "registry", "pushes", C, "topologies told to the actors of this node" },
    { "registry", "pushes_lost", C, "of these, not told since a queue was full" },
    { "registry", "stalls", C, "times that this node itself stood still" },
    { "registry", "stalled_ms", C, "for how long in all" },
    { "registry", "refused_cluster", C, "nodes of another cluster that were not let in" },
    { "registry", "refused_version", C, "nodes of another version of the protocol, not let in" },
    { "registry", "refused_name", C, "nodes with an impossible name, not let in" },
    { "registry", "refused_id", C, "nodes whose id another one has, not let in" },
    { "registry", "refused_stale", C, "former incarnations of a node, not let in" },
    { "registry", "refused_endpoint", C, "nodes with an impossible endpoint, not let in" },
    { "registry", "refused_full", C, "nodes not let in since the cluster is full" },
    { "registry", "refused_settings", C, "nodes with other shared settings, not let in" },

    { "router", "requests_open", G, "requests under way" },
    { "router", "puts", C, "put messages, not keys" },
    { "router", "gets", C, "get messages, not keys" },
    { "router", "exists", C, "exists messages, not keys; clients in C ask the index instead" },
    { "router", "removes", C, "remove messages, not keys" },
    { "router", "puts_rerouted", C, "blocks tried at another node: no room, or no answer" },
    { "router", "gets_failed_over", C, "blocks tried at another replica" },
    { "router", "gets_looked_again", C, "blocks that were not where the index said, looked up again" },
    { "router", "unheard", C, "questions to shards and tiers without a usable answer" },
    { "router", "doubts", C, "lookups repeated since a shard had another ring" },
    { "router", "refused_busy", C, "requests refused for their number, or before a topology" },
    { "router", "tiers_asked", C, "tiers asked for what no shard knew, since shards lack their word" },

    { "index", "entries", G, "places recorded" },
    { "index", "keys", G, "keys that have a place" },
    { "index", "memory_bytes", G, "memory of the table" },
    { "index", "ghosts", G, "keys that left for want of room and are remembered" },
    { "index", "streams", G, "tiers of nodes that tell this shard what they hold" },
    { "index", "members_untold", G, "members that have yet to say all they hold, 8 at most" },
    { "index", "lookups", C, "lookup messages" },
    { "index", "keys_asked", C, "keys in them" },
    { "index", "keys_found", C, "keys in them that had a place" },
    { "index", "changes", C, "changes applied" },
    { "index", "changes_repeated", C, "changes that were known already" },
    { "index", "holes", C, "streams that had to begin anew: a resync of a range" },
    { "index", "conflicts", C, "keys under which two nodes had other bytes" },
    { "index", "changes_refused_full", C, "changes refused since the table was full" },

    { "tier", "over_quota", C, "reservations answered EQUOTA: nothing of the tenant's own could leave" },
    { "tier", "not_theirs", C, "slots and leases that a client of another tenant named" },
    { "tier", "total_bytes", G, "what the tier can hold" },
    { "tier", "used_bytes", G, "in use, in whole pages" },
    { "tier", "blocks", G, "blocks that can be found" },
    { "tier", "slots", G, "reservations that are not committed yet" },
    { "tier", "leases", G, "leases of readers" },
    { "tier", "doomed_blocks", G, "blocks removed, but still read by somebody" },
    { "tier", "puts", C, "blocks that became visible" },
    { "tier", "put_bytes", C, "bytes of these" },
    { "tier", "hits", C, "keys asked of this tier that it has" },
    { "tier", "hit_bytes", C, "bytes of these" },
    { "tier", "misses", C, "keys asked of this tier that it has not; another may" },
    { "tier", "board_hits", C, "of the hits: blocks that clients of this host read by themselves" },
    { "tier", "board_blocks", G, "blocks that the board shows to clients of this host" },
    { "tier", "keys_asked", C, "keys that no shard knew, asked of this tier" },
    { "tier", "keys_found", C, "keys in them that were there" },
    { "tier", "full", C, "reservations that found no room" },
    { "tier", "evicted", C, "blocks that left for want of room" },
    { "tier", "probation_blocks", G, "blocks used once, or not since they came; 0 under lru and clock" },
    { "tier", "ghosts", G, "blocks that left and are remembered" },
    { "tier", "ghost_hits", C, "blocks that came back while they were remembered" },
    { "tier", "returned", C, "blocks put of which a shard knew that they had left some node for want of room" },
    { "tier", "promotions", C, "blocks that passed their probation" },
    { "tier", "reprieves", C, "times that a block would have left, but was used meanwhile or held" },
    { "tier", "dropped", C, "blocks removed by request, or by a lost conflict" },
    { "tier", "disputes", G, "own blocks of which a shard knows other bytes, not decided yet" },
    { "tier", "conflicts", C, "own blocks dropped since another node had other bytes" },
    { "tier", "stale_commits", C, "commits that came after their slot's time" },
    { "tier", "bad_checksums", C, "values that did not fit their checksum" },
    { "tier", "expired_slots", C, "slots that ended by their deadline" },
    { "tier", "expired_leases", C, "leases of readers over tcp that ended by their deadline" },
    { "tier", "fences_waited", C, "transfers cut off before their pages were used again" },
    { "tier", "announced", C, "changes told to the index" },
    { "tier", "acknowledged", C, "changes that the index has acknowledged" },
    { "tier", "announce_waiting", G, "changes that the index has not acknowledged yet" },
    { "tier", "accounts", C, "full accounts given to shards: resyncs" },
    { "tier", "accounts_waiting", G, "full accounts that wait for their turn" },
    { "tier", "replicas_made", C, "copies that other nodes made for blocks of this tier" },
    { "tier", "replica_bytes", C, "bytes of these" },
    { "tier", "replicas_failed", C, "questions about copies that were not answered, or with an error" },
    { "tier", "replicas_undone", C, "copies removed since their block was, while they were made" },
    { "tier", "replicas_missing", C, "copies that were wanted and could not be made" },
    { "tier", "replicas_open", G, "blocks of puts that wait for copies" },
    { "tier", "restores_open", G, "blocks that wait for copies after a loss" },
    { "tier", "members_lost", C, "times that members left or were restarted" },
    { "tier", "draining", G, "1 while this node is drained" },
    { "tier", "moved_blocks", C, "blocks that drains moved to other nodes" },
    { "tier", "moved_bytes", C, "bytes of these" },
    { "tier", "announce_repeats", C, "messages to the index said again" },
    { "tier", "rings_told", G, "rings whose owners are told of changes; 1 when settled" },
    { "tier", "demoted", C, "blocks copied to the tier below" },
    { "tier", "demoted_bytes", C, "bytes of these" },
    { "tier", "demoted_known", C, "blocks that had to leave and were below already" },
    { "tier", "demotions_failed", C, "blocks that the tier below did not take" },
    { "tier", "evicted_without_copy", C, "blocks that left since the tier below was too slow, or full" },
    { "tier", "promoted", C, "blocks that were read here and copied to the tier above" },
    { "tier", "promoted_bytes", C, "bytes of these" },
    { "tier", "promotions_failed", C, "blocks that the tier above did not take" },
    { "tier", "shifts_undone", C, "copies removed since their block was, while they were made" },
    { "tier", "page_bytes", G, "memory of the tier; where blocks rest on disk, that through which they come and go" },
    { "tier", "paged_bytes", G, "of it, in use" },
    { "tier", "paged_blocks", G, "blocks that are in memory" },
    { "tier", "leases_waiting", G, "requests of readers that wait for the disk" },
    { "tier", "disk_state", G, "0, or the error that the disk is in: see umbp-console errors" },
    { "tier", "disk_jobs", G, "blocks on their way from or to disk" },
    { "tier", "disk_stuck", G, "of these, such that the disk says nothing of, though their time is over" },
    { "tier", "disk_fetches", C, "blocks read from disk" },
    { "tier", "disk_fetches_shared", C, "times that a block was wanted while it was being read" },
    { "tier", "disk_failures", C, "blocks that could not be written, or not be read" },
    { "tier", "disk_rotten", C, "blocks that came back from disk other than they were, and were given up" },
    { "tier", "disk_live_bytes", G, "bytes on disk of blocks that can be found" },
    { "tier", "disk_dead_bytes", G, "bytes on disk of blocks that left, not won back yet" },
    { "tier", "disk_written_bytes", C, "bytes written, with what cleaning copies" },
    { "tier", "disk_read_bytes", C, "bytes read" },
    { "tier", "disk_cleaned_bytes", C, "bytes copied to win back space" },
    { "tier", "disk_segments", G, "segments of the files on disk" },
    { "tier", "disk_free_segments", G, "of these, such that are empty" },
    { "tier", "disk_torn", C, "records that were cut short by a crash, found at the start" },
    { "tier", "disk_errors", C, "errors of the disk" },
    { "tier", "disk_syncs", C, "times that the disk was told to make all durable" },
    { "tier", "disk_recovered", G, "blocks found on disk at the start" },
    { "tier", "disk_recover_us", G, "how long that took, in microseconds" },
    { "tier", "bulk_in_bytes", C, "bytes written through the bulk port" },
    { "tier", "bulk_out_bytes", C, "bytes read through the bulk port" },
    { "tier", "bulk_connections", G, "connections at the bulk port" },
    { "tier", "bulk_strangers", G, "of these, such that have given no proof yet" },
    { "tier", "bulk_accepted", C, "connections that came to the bulk port" },
    { "tier", "bulk_turned_away", C, "of these, too many, or of another version" },
    { "tier", "bulk_silent", C, "closed since they gave no proof in time" },
    { "tier", "bulk_crowded", C, "closed before they gave a proof, to make room for others" },
    { "tier", "bulk_unproven", C, "closed for a wrong proof" },
    { "tier", "bulk_forged", C, "closed for a request with a wrong seal" },
    { "tier", "bulk_malformed", C, "closed for what they sent" },
    { "tier", "bulk_refused", C, "requests whose token was not good for them" },
    { "tier", "bulk_unused", C, "closed since they showed no valid token in time" },
    { "tier", "bulk_idle", C, "closed since nobody used them, and no token was out" },

    { "verbs", "links", G, "RDMA links of clients" },
    { "verbs", "windows", G, "parts of memory that are open to them" },
    { "verbs", "joined", C, "links that were made" },
    { "verbs", "exposed", C, "blocks that were opened to a link" },
    { "verbs", "exposed_bytes", C, "bytes of their pages" },
    { "verbs", "not_exposed", C, "blocks that were not: their lease was over, or too many are open" },
    { "verbs", "revoked", C, "blocks that were closed since their lease or slot ended" },
    { "verbs", "links_fenced", C, "links ended so that a writer could not go on after its slot" },
    { "verbs", "links_broken", C, "links whose queue pairs had all failed" },
    { "verbs", "links_idle", C, "links that nobody used" },

    { "eviction", "waiting", G, "requests to evict that are under way" },
    { "eviction", "pressures", C, "times that a tier said it is full" },
    { "eviction", "rounds", C, "rounds of eviction" },
    { "eviction", "bytes", C, "bytes freed" },
    { "eviction", "blocks", C, "blocks that left" },
    { "eviction", "futile", C, "steps that freed nothing, since all that is left is leased" },
    { "eviction", "failed", C, "steps that a tier did not answer" },

    { "extkv", "hashes", G, "hashes held by the engines of this node" },
    { "extkv", "engines", G, "engines of this node" },
    { "extkv", "hit_counts", G, "hashes whose hits are counted" },
    { "extkv", "waiting", G, "questions to other nodes under way" },
    { "extkv", "reports", C, "hashes reported" },
    { "extkv", "revokes", C, "hashes revoked" },
    { "extkv", "matches", C, "match messages" },
    { "extkv", "matched", C, "hashes that matched" },
    { "extkv", "nodes_asked", C, "other nodes asked" },
    { "extkv", "silent", C, "of these, that did not answer in time" },
    { "extkv", "busy", C, "questions refused for their number" },
    { "extkv", "full", C, "hashes refused since the table was full" },

    { "migrator", "requests_open", G, "copies under way" },
    { "migrator", "requests_waiting", G, "copies that wait for their turn" },
    { "migrator", "copy_requests", C, "copy messages" },
    { "migrator", "rounds", C, "rounds of at most 256 keys" },
    { "migrator", "copies", C, "blocks copied" },
    { "migrator", "bytes", C, "bytes of these" },
    { "migrator", "read_rdma_bytes", C, "bytes read from other nodes by RDMA" },
    { "migrator", "read_tcp_bytes", C, "bytes read from other nodes over tcp" },
    { "migrator", "moved_here_bytes", C, "bytes copied between tiers of this node, from page to page" },
    { "migrator", "misses", C, "blocks that were not at the node named" },
    { "migrator", "failures", C, "blocks that could not be copied" },
    { "migrator", "busy", C, "copies refused for their number" },

    { "gateway", "http_requests", C, "pages asked for" },
    { "gateway", "http_refused", C, "of these, of no such page or method" },
    { "gateway", "http_cut", C, "connections ended since they took too long" },
    { "gateway", "http_connections", G, "connections open" },
    { "gateway", "page_bytes", G, "size of /metrics" },
    { "gateway", "pages_cut", C, "times that /metrics did not fit and its end is missing" },

    { "gate", "nodes", G, "certificates of nodes that may join" },
    { "gate", "clients", G, "certificates of clients that may connect" },
    { "gate", "accepted", C, "connections that were taken, before anybody said who it is" },
    { "gate", "let_in_nodes", C, "connections of nodes that were let in" },
    { "gate", "let_in_clients", C, "connections of clients that were let in" },
    { "gate", "refused_key", C, "connections with a key that is not listed" },
    { "gate", "refused_handshake", C, "connections whose handshake failed" },
    { "gate", "refused_removed", C, "messages with a key that was taken away" },
    { "gate", "unnamed_endpoints", C, "endpoints not dialled since no certificate is for them" },
    { "gate", "rereads", C, "times that the folders of certificates were read anew" },
    { "gate", "bad_files", C, "times that a file there was no certificate" },

    { "device", "devices", G, "accelerators that are known, partitions apart" },
    { "device", "devices_unknown", G, "of these, not polled yet" },
    { "device", "devices_ok", G, "of these, well" },
    { "device", "devices_suspect", G, "of these, with a bad poll, an error or missing lately" },
    { "device", "devices_failed", G, "of these, not to be used before they are found again" },
    { "device", "devices_missing", G, "of these, gone while a tier has bytes there" },
    { "device", "partitions", G, "partitions of devices, made through this node" },
    { "device", "memory_total_bytes", G, "memory of all devices" },
    { "device", "memory_used_bytes", G, "of it, in use by whomever" },
    { "device", "memory_foreign_bytes", G, "of it, in use by others than this node" },
    { "device", "memory_claimed_bytes", G, "of it, in use by tiers of this node" },
    { "device", "processes", G, "processes that use devices" },
    { "device", "library_state", G, "0 no library, 1 it starts, 2 answers, 3 a call hangs, 4 refused" },
    { "device", "library_generation", G, "layout of the library, 1 to 5; 0: not known yet" },
    { "device", "discoveries", C, "times that devices were looked for" },
    { "device", "discoveries_failed", C, "of these, without a usable answer" },
    { "device", "polls", C, "times that devices were asked how they are" },
    { "device", "polls_failed", C, "of these, without any answer" },
    { "device", "calls_hung", C, "calls to the library that took longer than 5 s" },
    { "device", "events", C, "devices that came, went, changed, or changed their health" },
    { "device", "splits", C, "partitions that were made" },
    { "device", "joins", C, "partitions that were taken back" },
    { "device", "library_lines", C, "lines that accelerator libraries of this process logged" },
    { "device", "library_lines_hidden", C, "of these, too many to be shown" },

    { "etcd", "endpoint", G, "number of the etcd in use, 0: none answers" },
    { "etcd", "lease_ms", G, "time that our lease has left" },
    { "etcd", "nodes", G, "nodes that etcd knows of" },
    { "etcd", "leases", C, "leases that were granted" },
    { "etcd", "leases_lost", C, "leases that ended without us" },
    { "etcd", "keepalives", C, "times that a lease was kept alive" },
    { "etcd", "puts", C, "times that our key was written" },
    { "etcd", "reads", C, "times that all keys were read" },
    { "etcd", "watches", C, "watches that were begun" },
    { "etcd", "events", C, "changes that a watch told" },
    { "etcd", "compactions", C, "watches begun anew since their revision was gone" },
    { "etcd", "ignored", C, "keys or values that are no endpoint" },
    { "etcd", "refused", C, "answers that were not understood" },
    { "etcd", "failures", C, "requests that failed" },
};

const umbp_metric_t *umbp_metrics (size_t *count)
{
    *count = sizeof s_metrics / sizeof *s_metrics;
    return s_metrics;
}

const char *umbp_metric_class (const char *actor, char *out)
{
    snprintf (out, UMBP_METRIC_NAME_MAX, "%.*s", (int) strcspn (actor, ":"), actor);
    return out;
}

const umbp_metric_t *umbp_metric_find (const char *actor, const char *name)
{
    char class[UMBP_METRIC_NAME_MAX];
    umbp_metric_class (actor, class);
    for (size_t row = 0; row < sizeof s_metrics / sizeof *s_metrics; row++)
        if ((strcmp (s_metrics[row].actor, "*") == 0 || strcmp (s_metrics[row].actor, class) == 0)
            && strcmp (s_metrics[row].name, name) == 0)
            return &s_metrics[row];
    return NULL;
}

static bool s_ends (const char *name, const char *end)
{
    size_t size = strlen (name), end_size = strlen (end);
    return size >= end_size && strcmp (name + size - end_size, end) == 0;
}

const char *umbp_metric_family (const char *class, const char *name, char *out, const char **unit,
                                double *scale)
{
    bool ms = s_ends (name, "_ms"), us = s_ends (name, "_us");
    size_t size = strlen (name) - (ms || us ? 3 : 0);
    snprintf (out, UMBP_METRIC_NAME_MAX, "umbp_%.60s_%.*s%s", class, (int) (size < 80 ? size : 80),
              name, ms || us ? "_seconds" : "");
    for (char *at = out; *at; at++)     //  Whatever an actor calls itself
        if (!strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *at))
            *at = '_';
    *unit = ms || us ? "seconds" : s_ends (out, "_bytes") ? "bytes" : "";
    *scale = ms ? 1e-3 : us ? 1e-6 : 1;
    return out;
}
