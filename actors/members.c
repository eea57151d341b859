//  actors/members.c - the rules of membership. See members.h.
#include "actors/members.h"

#include <czmq.h>
#include <xxhash.h>

#include "actors/sheet.h"
#include "cluster/endpoint.h"

#define LEFT_MAX 64                     //  Nodes that shut down lately
#define HEARTBEATS_MIN 3                //  Of silence before a node is suspect
#define CLASH_QUIET_MS 60000            //  After that a clash of ids is news again

typedef struct {
    umbp_member_t seen;                 //  As others see it, silent_ms apart
    int64_t heard;
    uint64_t topo_epoch,
        told_epoch; //  The topology it sees, and the one whose shards know all its blocks
    bool ready;
} entry_t;

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    uint64_t epoch;
    int64_t until;
} left_t;

struct umbp_members {
    char cluster[UMBP_NAME_MAX + 1];
    unsigned heartbeat_ms, suspect_ms, gone_ms, copies, vnodes, tiers_expected;
    bool ring_plain;
    entry_t *self;                      //  One of the entries
    unsigned tier_loads[UMBP_TIERS];
    unsigned tiers_reported;            //  A bit for each
    uint64_t tier_told[UMBP_TIERS];     //  The topology whose shards know all blocks of that tier

    entry_t *entries[UMBP_NODES_MAX];   //  By id
    size_t count;
    zhashx_t *by_endpoint;              //  Entries
    left_t left[LEFT_MAX];
    size_t left_next;

    uint64_t changes, epoch;
    uint64_t settings;                  //  Hash of what all nodes share
    bool away;                          //  We stay out of the ring, ready or not
    bool settled;                       //  All work with this epoch, and its shards know all
    int64_t ticked;                     //  When time went by last
    int64_t clashed;                    //  When somebody last claimed to be us
    bool clash;
    uint64_t stalls, stalled_ms, gap_ms;
    const umbp_refusal_t *refusal;
    uint64_t refused[UMBP_REFUSED_KINDS];
    umbp_sheet_t *sheet;                //  What messages made here point into
};

static const umbp_refusal_t s_refusals[UMBP_REFUSED_KINDS] = {
    [UMBP_REFUSED_CLUSTER] = { UMBP_EDENIED, "cluster", "this is another one", "refused_cluster" },
    [UMBP_REFUSED_VERSION] = { UMBP_ENOTSUP, "version", "this node speaks another one",
                               "refused_version" },
    [UMBP_REFUSED_NAME] = { UMBP_EINVAL, "node", "letters, digits, '.', '_' and '-' only",
                            "refused_name" },
    [UMBP_REFUSED_ID] = { UMBP_EEXIST, "node", "that id is taken", "refused_id" },
    [UMBP_REFUSED_STALE] = { UMBP_ESTALE, "node_epoch", "a later one came, or this one has left",
                             "refused_stale" },
    [UMBP_REFUSED_ENDPOINT] = { UMBP_EINVAL, "endpoint", "must be tcp://host:port",
                                "refused_endpoint" },
    [UMBP_REFUSED_FULL] = { UMBP_ENOSPC, "node", "this cluster is full", "refused_full" },
    [UMBP_REFUSED_SETTINGS] = { UMBP_EDENIED, "settings",
                                "the secret or index copies, vnodes or ring are others than here",
                                "refused_settings" },
};

//  -----------------------------------------------------------------------------------------------
//  Life

static bool s_name_ok (umbp_text_t name)
{
    if (name.size == 0 || name.size > UMBP_NAME_MAX)
        return false;
    for (size_t index = 0; index < name.size; index++) {
        char c = name.data[index];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr ("._-", c))
            return false;
    }
    return true;
}

static bool s_text_ok (const char *text, size_t max)
{
    return !text || strlen (text) <= max;
}

int umbp_members_check (const umbp_members_args_t *args, const char **why)
{
    size_t cluster_size = strlen (args->cluster);
    *why = NULL;
    if (cluster_size == 0 || cluster_size > UMBP_NAME_MAX)
        *why = "cluster: 1 to 64 bytes";
    else if (!s_name_ok (umbp_text (args->node)))
        *why = "node: 1 to 64 letters, digits, '.', '_' and '-'";
    else if (args->node_epoch == 0)
        *why = "node_epoch: more than 0";
    else if (!umbp_endpoint_ok (umbp_text (args->endpoint)))
        *why = "endpoint: tcp://host:port, as others reach it";
    else if (!s_text_ok (args->bulk, UMBP_TEXT_MAX) || !s_text_ok (args->host, UMBP_TEXT_MAX)
             || !s_text_ok (args->doors, UMBP_TEXT_MAX))
        *why = "bulk, host, doors: at most 256 bytes";
    else if (args->heartbeat_ms < UMBP_MEMBERS_TICKS || args->heartbeat_ms > 60000)
        *why = "heartbeat_ms: 4 to 60000";
    else if (args->suspect_ms / HEARTBEATS_MIN < args->heartbeat_ms)
        *why = "suspect_ms: at least 3 heartbeats";
    else if (args->gone_ms < args->suspect_ms)
        *why = "gone_ms: at least suspect_ms";
    else if (args->copies < 1 || args->copies > UMBP_COPIES_MAX)
        *why = "copies: 1 to 3";
    else if (args->vnodes < 1 || args->vnodes > UMBP_RING_REPLICAS_MAX)
        *why = "vnodes: 1 to 4096";
    else if (args->tiers_expected >= UMBP_TIERS)
        *why = "tiers_expected: 0 to 4";
    return *why ? UMBP_EINVAL : 0;
}

static void s_copy (char *out, size_t size, const char *text)
{
    snprintf (out, size, "%s", text ? text : "");
}

static void s_insert (umbp_members_t *self, entry_t *entry);
static void s_count_epoch (umbp_members_t *self);

//  What our own tiers have told; 0 if one of them has not
static uint64_t s_told (const umbp_members_t *self)
{
    for (size_t tier = 1; tier < UMBP_TIERS; tier++)
        if (self->tiers_reported & 1u << tier && self->tier_told[tier] != self->epoch)
            return 0;
    return self->epoch;
}

static bool s_agrees (const umbp_members_t *self, const entry_t *entry)
{
    if (entry == self->self)
        return s_told (self) == self->epoch;
    return entry->topo_epoch == self->epoch && entry->told_epoch == self->epoch;
}

//  Suspects and those who are not in the ring yet have no say
static void s_settle (umbp_members_t *self)
{
    bool settled = true;
    for (size_t index = 0; index < self->count && settled; index++) {
        const entry_t *entry = self->entries[index];
        settled = entry->seen.state != UMBP_MEMBER_ALIVE || !entry->ready || s_agrees (self, entry);
    }
    self->changes += settled != self->settled;
    self->settled = settled;
}

//  Of the seed, which nobody else should learn, 16 bits: enough to tell an error
static uint64_t s_settings (const umbp_members_args_t *args)
{
    uint64_t all[] = { args->copies, args->vnodes, args->ring_plain,
                       XXH3_64bits (&args->seed, sizeof args->seed) & 0xffff };
    return XXH3_64bits (all, sizeof all) | 1;
}

umbp_members_t *umbp_members_new (const umbp_members_args_t *args, int64_t now)
{
    umbp_members_t *self = zmalloc (sizeof (umbp_members_t));
    s_copy (self->cluster, sizeof self->cluster, args->cluster);
    self->heartbeat_ms = args->heartbeat_ms;
    self->suspect_ms = args->suspect_ms;
    self->gone_ms = args->gone_ms;
    self->copies = args->copies;
    self->vnodes = args->vnodes;
    self->ring_plain = args->ring_plain;
    self->settings = s_settings (args);
    self->tiers_expected = args->tiers_expected;
    self->ticked = now;
    self->by_endpoint = zhashx_new ();
    self->sheet = umbp_sheet_new ();

    entry_t *entry = zmalloc (sizeof (entry_t));
    s_copy (entry->seen.node, sizeof entry->seen.node, args->node);
    s_copy (entry->seen.endpoint, sizeof entry->seen.endpoint, args->endpoint);
    s_copy (entry->seen.bulk, sizeof entry->seen.bulk, args->bulk);
    s_copy (entry->seen.host, sizeof entry->seen.host, args->host);
    s_copy (entry->seen.doors, sizeof entry->seen.doors, args->doors);
    entry->seen.epoch = args->node_epoch;
    entry->seen.state = UMBP_MEMBER_ALIVE;
    entry->seen.in_ring = entry->ready = args->tiers_expected == 0;
    self->self = entry;
    s_insert (self, entry);
    s_count_epoch (self);
    s_settle (self);
    return self;
}

void umbp_members_destroy (umbp_members_t **self_p)
{
    assert (self_p);
    umbp_members_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->count; index++)
        free (self->entries[index]);
    zhashx_destroy (&self->by_endpoint);
    umbp_sheet_destroy (&self->sheet);
    freen (*self_p);
}

//  -----------------------------------------------------------------------------------------------
//  The table

static int s_compare (umbp_text_t one, const char *other)
{
    size_t size = strlen (other), least = one.size < size ? one.size : size;
    int order = memcmp (one.data, other, least);
    return order ? order : (one.size > size) - (one.size < size);
}

//  Where an id is, or would be; *found says which
static size_t s_place (const umbp_members_t *self, umbp_text_t node, bool *found)
{
    size_t low = 0, high = self->count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = (low + high) / 2;
        int order = s_compare (node, self->entries[middle]->seen.node);
        if (order < 0)
            high = middle;
        else if (order > 0)
            low = middle + 1;
        else {
            low = middle;
            *found = true;
        }
    }
    return low;
}

int umbp_members_find (const umbp_members_t *self, umbp_text_t node)
{
    bool found;
    size_t place = s_place (self, node, &found);
    return found ? (int) place : -1;
}

static entry_t *s_entry (const umbp_members_t *self, umbp_text_t node)
{
    int number = umbp_members_find (self, node);
    return number < 0 ? NULL : self->entries[number];
}

static void s_insert (umbp_members_t *self, entry_t *entry)
{
    bool found;
    size_t place = s_place (self, umbp_text (entry->seen.node), &found);
    assert (!found && self->count < UMBP_NODES_MAX);
    memmove (&self->entries[place + 1], &self->entries[place],
             (self->count - place) * sizeof (entry_t *));
    self->entries[place] = entry;
    self->count++;
    zhashx_update (self->by_endpoint, entry->seen.endpoint, entry);
}

//  Another member may have taken over the endpoint meanwhile
static void s_leave_endpoint (umbp_members_t *self, const entry_t *entry)
{
    if (zhashx_lookup (self->by_endpoint, entry->seen.endpoint) == entry)
        zhashx_delete (self->by_endpoint, entry->seen.endpoint);
}

static void s_remove (umbp_members_t *self, size_t number)
{
    entry_t *entry = self->entries[number];
    s_leave_endpoint (self, entry);
    self->count--;
    memmove (&self->entries[number], &self->entries[number + 1],
             (self->count - number) * sizeof (entry_t *));
    free (entry);
}

//  Size before bytes, so that no two lists of ids read the same. A restart makes another topology: what the former
//  incarnation knew is lost.
static void s_count_epoch (umbp_members_t *self)
{
    XXH3_state_t *state = XXH3_createState ();
    assert (state);
    XXH3_64bits_reset (state);
    for (size_t index = 0; index < self->count; index++) {
        const entry_t *entry = self->entries[index];
        uint8_t size = (uint8_t) strlen (entry->seen.node), ready = entry->ready;
        XXH3_64bits_update (state, &size, 1);
        XXH3_64bits_update (state, entry->seen.node, size);
        XXH3_64bits_update (state, &ready, 1);
        XXH3_64bits_update (state, &entry->seen.epoch, sizeof entry->seen.epoch);
    }
    uint8_t ring[] = { 0, (uint8_t) self->copies, (uint8_t) self->vnodes,
                       (uint8_t) (self->vnodes >> 8), self->ring_plain };
    XXH3_64bits_update (state, ring, sizeof ring);
    self->epoch = XXH3_64bits_digest (state) >> 1;
    XXH3_freeState (state);
}

static void s_changed (umbp_members_t *self)
{
    self->changes++;
    s_count_epoch (self);
    s_settle (self);
}

//  -----------------------------------------------------------------------------------------------
//  Who may come in

static int s_refuse (umbp_members_t *self, umbp_refused_t kind)
{
    self->refused[kind]++;
    self->refusal = &s_refusals[kind];
    return self->refusal->status;
}

static bool s_has_left (const umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    for (size_t index = 0; index < LEFT_MAX; index++) {
        const left_t *left = &self->left[index];
        if (left->until > now && beat->node_epoch <= left->epoch
            && umbp_text_is (beat->node, left->node))
            return true;
    }
    return false;
}

//  An operator has to give one of the two another id. Said once for as long as it goes on.
static int s_clash (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    if (!self->clash)
        zsys_error ("registry: node=%s is also claimed from %.*s, change one of them",
                    self->self->seen.node, (int) beat->endpoint.size, beat->endpoint.data);
    self->clash = true;
    self->clashed = now;
    return s_refuse (self, UMBP_REFUSED_ID);
}

static bool s_is_same (const entry_t *entry, const umbp_msg_beat_t *beat)
{
    return beat->node_epoch == entry->seen.epoch
           && umbp_text_is (beat->endpoint, entry->seen.endpoint);
}

//  Returns 0 if this may be a member, 1 if it is ourselves, or why not
static int s_vet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    if (!umbp_text_is (beat->cluster, self->cluster))
        return s_refuse (self, UMBP_REFUSED_CLUSTER);
    if (beat->version != UMBP_PROTOCOL_VERSION)
        return s_refuse (self, UMBP_REFUSED_VERSION);
    if (beat->settings && beat->settings != self->settings)
        return s_refuse (self, UMBP_REFUSED_SETTINGS);
    if (!s_name_ok (beat->node))
        return s_refuse (self, UMBP_REFUSED_NAME);
    if (!umbp_endpoint_ok (beat->endpoint))
        return s_refuse (self, UMBP_REFUSED_ENDPOINT);
    const entry_t *entry = s_entry (self, beat->node);
    if (entry == self->self)
        return s_is_same (entry, beat) ? 1 : s_clash (self, beat, now);
    if (s_has_left (self, beat, now) || (entry && beat->node_epoch < entry->seen.epoch))
        return s_refuse (self, UMBP_REFUSED_STALE);
    if (!entry && self->count == UMBP_NODES_MAX)
        return s_refuse (self, UMBP_REFUSED_FULL);
    return 0;
}

static void s_read_tiers (umbp_member_t *seen, const umbp_msg_beat_t *beat)
{
    memset (seen->tiers, 0, sizeof seen->tiers);
    for (size_t index = 0; index < beat->tiers.count; index++) {
        unsigned tier = umbp_u8s_at (beat->tiers, index);
        if (tier > 0 && tier < UMBP_TIERS && index < beat->totals.count && index < beat->useds.count
            && index < beat->blocks.count)
            seen->tiers[tier] = (umbp_tier_room_t) { umbp_u64s_at (beat->totals, index),
                                                    umbp_u64s_at (beat->useds, index),
                                                    umbp_u64s_at (beat->blocks, index) };
    }
}

//  A sign of life, with news about load and room
static void s_hear (umbp_members_t *self, entry_t *entry, const umbp_msg_beat_t *beat, int64_t now)
{
    if (entry->heard && (uint64_t) (now - entry->heard) > self->gap_ms && now > entry->heard)
        self->gap_ms = (uint64_t) (now - entry->heard);
    entry->heard = now;
    if (entry->topo_epoch != beat->topo_epoch) {
        entry->seen.swings++;           //  It may have given us up for a while, and forgotten us
        self->changes++;
    }
    entry->topo_epoch = beat->topo_epoch;
    entry->told_epoch = beat->told_epoch;
    entry->seen.load = (uint16_t) (beat->load < 1000 ? beat->load : 1000);
    s_read_tiers (&entry->seen, beat);
    self->changes += entry->seen.draining != beat->draining;
    entry->seen.draining = beat->draining;
    if (entry->seen.state == UMBP_MEMBER_ALIVE && entry->ready == beat->ready) {
        s_settle (self);
        return;
    }
    if (entry->seen.state == UMBP_MEMBER_SUSPECT)
        zsys_info ("registry: alive again node=%s", entry->seen.node);
    entry->seen.state = UMBP_MEMBER_ALIVE;
    entry->seen.in_ring = entry->ready = beat->ready;
    s_changed (self);
}

int umbp_members_greet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    int rc = s_vet (self, beat, now);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    entry_t *entry = s_entry (self, beat->node);
    if (!entry || !s_is_same (entry, beat))
        return 1;
    s_hear (self, entry, beat, now);
    return 0;
}

//  Who it is and where; the rest comes with each sign of life
static void s_describe (entry_t *entry, const umbp_msg_beat_t *beat)
{
    umbp_member_t *seen = &entry->seen;
    umbp_text_copy (beat->node, seen->node, sizeof seen->node);
    umbp_text_copy (beat->endpoint, seen->endpoint, sizeof seen->endpoint);
    umbp_text_copy (beat->bulk, seen->bulk, sizeof seen->bulk);
    umbp_text_copy (beat->host, seen->host, sizeof seen->host);
    umbp_text_copy (beat->doors, seen->doors, sizeof seen->doors);
    entry->heard = 0;
    seen->epoch = beat->node_epoch;
    seen->state = UMBP_MEMBER_ALIVE;
    seen->in_ring = entry->ready = beat->ready;
}

int umbp_members_meet (umbp_members_t *self, const umbp_msg_beat_t *beat, int64_t now)
{
    int rc = s_vet (self, beat, now);
    if (rc != 0)
        return rc;
    entry_t *entry = s_entry (self, beat->node);
    bool joins = !entry, returns = entry && !s_is_same (entry, beat);
    if (joins) {
        entry = zmalloc (sizeof (entry_t));
        s_describe (entry, beat);
        s_insert (self, entry);
    } else if (returns) {
        s_leave_endpoint (self, entry);
        s_describe (entry, beat);
        zhashx_update (self->by_endpoint, entry->seen.endpoint, entry);
    }
    if (joins || returns) {
        zsys_info ("registry: %s node=%s endpoint=%s", joins ? "joined" : "restarted",
                   entry->seen.node, entry->seen.endpoint);
        s_changed (self);
    }
    s_hear (self, entry, beat, now);
    return 0;
}

int umbp_members_leave (umbp_members_t *self, umbp_text_t node, uint64_t epoch, int64_t now)
{
    int number = umbp_members_find (self, node);
    if (number < 0 || self->entries[number] == self->self)
        return UMBP_ENOENT;
    const umbp_member_t *seen = &self->entries[number]->seen;
    if (seen->epoch != epoch)
        return UMBP_ESTALE;
    left_t *left = &self->left[self->left_next++ % LEFT_MAX];
    *left = (left_t) { .epoch = epoch, .until = now + self->gone_ms };
    s_copy (left->node, sizeof left->node, seen->node);
    zsys_info ("registry: left node=%s", seen->node);
    s_remove (self, (size_t) number);
    s_changed (self);
    return 0;
}

int umbp_members_capacity (umbp_members_t *self, const umbp_msg_capacity_t *capacity)
{
    if (capacity->tier == 0 || capacity->tier >= UMBP_TIERS)
        return UMBP_EINVAL;
    umbp_member_t *seen = &self->self->seen;
    seen->tiers[capacity->tier] =
        (umbp_tier_room_t) { capacity->total, capacity->used, capacity->blocks };
    self->tier_loads[capacity->tier] = (unsigned) (capacity->load < 1000 ? capacity->load : 1000);
    self->tier_told[capacity->tier] = capacity->told_epoch;
    self->tiers_reported |= 1u << capacity->tier;
    seen->load = 0;
    for (size_t tier = 1; tier < UMBP_TIERS; tier++)
        if (self->tier_loads[tier] > seen->load)
            seen->load = (uint16_t) self->tier_loads[tier];
    if (!self->self->ready && !self->away
        && (unsigned) __builtin_popcount (self->tiers_reported) >= self->tiers_expected) {
        seen->in_ring = self->self->ready = true;
        zsys_info ("registry: ready node=%s", seen->node);
        s_changed (self);
    }
    s_settle (self);
    return 0;
}

void umbp_members_drain (umbp_members_t *self, bool draining)
{
    self->changes += self->self->seen.draining != draining;
    self->self->seen.draining = draining;
}

void umbp_members_step_out (umbp_members_t *self, bool out)
{
    bool up = (unsigned) __builtin_popcount (self->tiers_reported) >= self->tiers_expected;
    bool ready = up && !out;
    self->away = out;
    if (self->self->ready == ready)
        return;
    zsys_info ("registry: %s node=%s", ready ? "ready" : "out of the ring", self->self->seen.node);
    self->self->seen.in_ring = self->self->ready = ready;
    s_changed (self);
}

bool umbp_members_settled (const umbp_members_t *self)
{
    return self->settled;
}

//  -----------------------------------------------------------------------------------------------
//  Time

//  We slept: whatever was sent to us meanwhile is still to be read
static void s_excuse (umbp_members_t *self, int64_t late_ms)
{
    for (size_t index = 0; index < self->count; index++)
        self->entries[index]->heard += late_ms;
    for (size_t index = 0; index < LEFT_MAX; index++)
        self->left[index].until += late_ms;
    self->stalls++;
    self->stalled_ms += (uint64_t) late_ms;
}

static void s_judge (umbp_members_t *self, size_t number, int64_t now, umbp_gone_fn *gone,
                     void *arg)
{
    entry_t *entry = self->entries[number];
    int64_t silent_ms = now - entry->heard;
    if (silent_ms >= self->gone_ms) {
        zsys_warning ("registry: gone node=%s silent_ms=%" PRId64, entry->seen.node, silent_ms);
        if (gone)
            gone (arg, &entry->seen);
        s_remove (self, number);
        s_changed (self);
    } else if (silent_ms >= self->suspect_ms && entry->seen.state == UMBP_MEMBER_ALIVE) {
        zsys_warning ("registry: suspect node=%s silent_ms=%" PRId64, entry->seen.node, silent_ms);
        entry->seen.state = UMBP_MEMBER_SUSPECT;
        s_changed (self);
    }
}

void umbp_members_tick (umbp_members_t *self, int64_t now, umbp_gone_fn *gone, void *arg)
{
    int64_t tick_ms = self->heartbeat_ms / UMBP_MEMBERS_TICKS;
    int64_t late_ms = now - self->ticked - tick_ms;
    self->ticked = now;
    if (late_ms > 2 * tick_ms)
        s_excuse (self, late_ms);
    for (size_t number = self->count; number > 0; number--)
        if (self->entries[number - 1] != self->self)
            s_judge (self, number - 1, now, gone, arg);
    if (self->clash && now - self->clashed > CLASH_QUIET_MS) {
        self->clash = false;
        zsys_info ("registry: node=%s is claimed by nobody else any more", self->self->seen.node);
    }
}

//  -----------------------------------------------------------------------------------------------
//  What there is to see

const umbp_refusal_t *umbp_members_refusal (const umbp_members_t *self)
{
    return self->refusal;
}

uint64_t umbp_members_refused (const umbp_members_t *self, umbp_refused_t kind, const char **gauge)
{
    *gauge = s_refusals[kind].gauge;
    return self->refused[kind];
}

uint64_t umbp_members_changes (const umbp_members_t *self)
{
    return self->changes;
}

uint64_t umbp_members_epoch (const umbp_members_t *self)
{
    return self->epoch;
}

size_t umbp_members_count (const umbp_members_t *self)
{
    return self->count;
}

const umbp_member_t *umbp_members_at (const umbp_members_t *self, size_t number)
{
    return &self->entries[number]->seen;
}

bool umbp_members_is_self (const umbp_members_t *self, size_t number)
{
    return self->entries[number] == self->self;
}

bool umbp_members_differs (const umbp_members_t *self, size_t number)
{
    return self->entries[number]->topo_epoch != self->epoch;
}

bool umbp_members_at_endpoint (const umbp_members_t *self, const char *endpoint)
{
    return zhashx_lookup (self->by_endpoint, endpoint) != NULL;
}

size_t umbp_members_in_state (const umbp_members_t *self, unsigned state)
{
    size_t count = 0;
    for (size_t index = 0; index < self->count; index++)
        count += self->entries[index]->seen.state == state;
    return count;
}

uint64_t umbp_members_stalls (const umbp_members_t *self, uint64_t *stalled_ms)
{
    *stalled_ms = self->stalled_ms;
    return self->stalls;
}

uint64_t umbp_members_gap_ms (const umbp_members_t *self)
{
    return self->gap_ms;
}

//  -----------------------------------------------------------------------------------------------
//  Messages

void umbp_members_beat (umbp_members_t *self, umbp_msg_beat_t *beat, bool with_known)
{
    const umbp_member_t *me = &self->self->seen;
    *beat = (umbp_msg_beat_t) {
        .cluster = umbp_text (self->cluster),
        .node = umbp_text (me->node),
        .node_epoch = me->epoch,
        .topo_epoch = self->epoch,
        .version = UMBP_PROTOCOL_VERSION,
        .endpoint = umbp_text (me->endpoint),
        .bulk = umbp_text (me->bulk),
        .host = umbp_text (me->host),
        .doors = umbp_text (me->doors),
        .ready = self->self->ready,
        .draining = me->draining,
        .settings = self->settings,
        .told_epoch = s_told (self),
        .load = me->load,
    };
    umbp_sheet_clear (self->sheet);
    umbp_sheet_add_tiers (self->sheet, me);
    for (size_t index = 0; with_known && index < self->count; index++)
        if (self->entries[index] != self->self)
            umbp_sheet_add_endpoint (self->sheet, &self->entries[index]->seen);
    umbp_sheet_beat (self->sheet, beat);
}

void umbp_members_topology (umbp_members_t *self, umbp_msg_topology_ok_t *out, int64_t now)
{
    *out = (umbp_msg_topology_ok_t) {
        .topo_epoch = self->epoch,
        .self = umbp_text (self->self->seen.node),
        .copies = self->copies,
        .vnodes = self->vnodes,
        .hash = self->ring_plain ? UMBP_RING_PLAIN : UMBP_RING_MIXED,
        .settled = self->settled,
    };
    umbp_sheet_clear (self->sheet);
    for (size_t index = 0; index < self->count; index++) {
        const entry_t *entry = self->entries[index];
        umbp_sheet_add (self->sheet, &entry->seen, entry == self->self ? 0 : now - entry->heard);
    }
    umbp_sheet_topology (self->sheet, out);
}
