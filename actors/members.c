//  actors/members.c - the rules of membership: the table, the number of the topology, time. See members.h.
#include "actors/members.h"

#include <czmq.h>
#include <xxhash.h>

#include "actors/members_self.h"
#include "cluster/endpoint.h"

#define HEARTBEATS_MIN 3                //  Of silence before a node is suspect
#define CLASH_QUIET_MS 60000            //  After that a clash of ids is news again

//  -----------------------------------------------------------------------------------------------
//  Life

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
    else if (!umbp_members_name_ok (umbp_text (args->node)))
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
    self->random = XXH3_64bits_withSeed (args->node, strlen (args->node), args->node_epoch);
    self->by_endpoint = zhashx_new ();
    self->sheet = umbp_sheet_new ();

    umbp_entry_t *entry = zmalloc (sizeof (umbp_entry_t));
    s_copy (entry->seen.node, sizeof entry->seen.node, args->node);
    s_copy (entry->seen.endpoint, sizeof entry->seen.endpoint, args->endpoint);
    s_copy (entry->seen.bulk, sizeof entry->seen.bulk, args->bulk);
    s_copy (entry->seen.host, sizeof entry->seen.host, args->host);
    s_copy (entry->seen.doors, sizeof entry->seen.doors, args->doors);
    entry->seen.epoch = args->node_epoch;
    entry->seen.state = UMBP_MEMBER_ALIVE;
    entry->seen.in_ring = entry->ready = args->tiers_expected == 0;
    self->self = entry;
    umbp_members_insert (self, entry);
    umbp_members_changed (self);
    self->changes = self->settled;
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

umbp_entry_t *umbp_members_entry (const umbp_members_t *self, umbp_text_t node)
{
    int number = umbp_members_find (self, node);
    return number < 0 ? NULL : self->entries[number];
}

void umbp_members_take_endpoint (umbp_members_t *self, umbp_entry_t *entry)
{
    entry->hash = umbp_digest_hash (entry->seen.endpoint);
    umbp_digest_add (&self->digest, entry->hash);
    zhashx_update (self->by_endpoint, entry->seen.endpoint, entry);
}

//  Another member may have taken over the endpoint meanwhile
void umbp_members_leave_endpoint (umbp_members_t *self, umbp_entry_t *entry)
{
    umbp_digest_remove (&self->digest, entry->hash);
    if (zhashx_lookup (self->by_endpoint, entry->seen.endpoint) == entry)
        zhashx_delete (self->by_endpoint, entry->seen.endpoint);
}

void umbp_members_insert (umbp_members_t *self, umbp_entry_t *entry)
{
    bool found;
    size_t place = s_place (self, umbp_text (entry->seen.node), &found);
    assert (!found && self->count < UMBP_NODES_MAX);
    memmove (&self->entries[place + 1], &self->entries[place],
             (self->count - place) * sizeof (umbp_entry_t *));
    self->entries[place] = entry;
    self->count++;
    umbp_members_take_endpoint (self, entry);
}

void umbp_members_remove (umbp_members_t *self, size_t number)
{
    umbp_entry_t *entry = self->entries[number];
    umbp_members_leave_endpoint (self, entry);
    self->disagreeing -= entry->disagrees;
    self->count--;
    memmove (&self->entries[number], &self->entries[number + 1],
             (self->count - number) * sizeof (umbp_entry_t *));
    free (entry);
}

//  -----------------------------------------------------------------------------------------------
//  The topology, and who agrees with it

//  Size before bytes, so that no two lists of ids read the same. A restart makes another topology: what the former
//  incarnation knew is lost.
static void s_count_epoch (umbp_members_t *self)
{
    uint8_t *at = self->list;
    for (size_t index = 0; index < self->count; index++) {
        const umbp_entry_t *entry = self->entries[index];
        uint8_t size = (uint8_t) strlen (entry->seen.node);
        *at++ = size;
        memcpy (at, entry->seen.node, size);
        at += size;
        *at++ = entry->ready;
        memcpy (at, &entry->seen.epoch, sizeof entry->seen.epoch);
        at += sizeof entry->seen.epoch;
    }
    uint8_t ring[] = { 0, (uint8_t) self->copies, (uint8_t) self->vnodes,
                       (uint8_t) (self->vnodes >> 8), self->ring_plain };
    memcpy (at, ring, sizeof ring);
    at += sizeof ring;
    assert (at <= self->list + sizeof self->list);
    self->epoch = XXH3_64bits (self->list, (size_t) (at - self->list)) >> 1;
}

uint64_t umbp_members_told (const umbp_members_t *self)
{
    for (size_t tier = 1; tier < UMBP_TIERS; tier++)
        if (self->tiers_reported & 1u << tier && self->tier_told[tier] != self->epoch)
            return 0;
    return self->epoch;
}

static bool s_agrees (const umbp_members_t *self, const umbp_entry_t *entry)
{
    if (entry == self->self)
        return umbp_members_told (self) == self->epoch;
    return entry->topo_epoch == self->epoch && entry->told_epoch == self->epoch;
}

//  Suspects and those who are not in the ring yet have no say
static void s_count (umbp_members_t *self, umbp_entry_t *entry)
{
    bool disagrees =
        entry->seen.state == UMBP_MEMBER_ALIVE && entry->ready && !s_agrees (self, entry);
    self->disagreeing += disagrees;
    self->disagreeing -= entry->disagrees;
    entry->disagrees = disagrees;
}

static void s_settle (umbp_members_t *self)
{
    bool settled = self->disagreeing == 0;
    self->changes += settled != self->settled;
    self->settled = settled;
}

void umbp_members_recount (umbp_members_t *self, umbp_entry_t *entry)
{
    s_count (self, entry);
    s_settle (self);
}

void umbp_members_changed (umbp_members_t *self)
{
    self->changes++;
    s_count_epoch (self);
    for (size_t index = 0; index < self->count; index++)
        s_count (self, self->entries[index]);
    s_settle (self);
}

//  -----------------------------------------------------------------------------------------------
//  We ourselves

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
        umbp_members_changed (self);
    }
    umbp_members_recount (self, self->self);
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
    umbp_members_changed (self);
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
    for (size_t index = 0; index < UMBP_LEFT_MAX; index++)
        self->left[index].until += late_ms;
    self->stalls++;
    self->stalled_ms += (uint64_t) late_ms;
}

static void s_judge (umbp_members_t *self, size_t number, int64_t now, umbp_gone_fn *gone,
                     void *arg)
{
    umbp_entry_t *entry = self->entries[number];
    int64_t silent_ms = now - entry->heard;
    if (silent_ms >= self->gone_ms) {
        zsys_warning ("registry: gone node=%s silent_ms=%" PRId64, entry->seen.node, silent_ms);
        if (gone)
            gone (arg, &entry->seen);
        umbp_members_remove (self, number);
        umbp_members_changed (self);
    } else if (silent_ms >= self->suspect_ms && entry->seen.state == UMBP_MEMBER_ALIVE) {
        zsys_warning ("registry: suspect node=%s silent_ms=%" PRId64, entry->seen.node, silent_ms);
        entry->seen.state = UMBP_MEMBER_SUSPECT;
        umbp_members_changed (self);
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
    const umbp_entry_t *entry = self->entries[number];
    return entry->topo_epoch != self->epoch && entry->members != umbp_digest_all (&self->digest);
}

bool umbp_members_at_endpoint (const umbp_members_t *self, const char *endpoint)
{
    return zhashx_lookup (self->by_endpoint, endpoint) != NULL;
}

uint64_t umbp_members_named (const umbp_members_t *self)
{
    return self->named;
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
