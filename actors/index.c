//  actors/index.c - the index actor.
//
//  State   a table: fingerprint -> places (index_table.h); one stream per tier of a node: its incarnation, the
//          number of the change expected next, and the place number under which its entries are filed.
//  Rules   A number seen before is acknowledged and skipped. A hole, or a stream nobody began, is answered
//          ESTALE, and a full account follows. While it comes, its entries are filed under a new place number
//          beside the old ones, so that a block is never missed meanwhile; when it is done the old ones go.
//          A node that is not in the topology is asked to say it again later; one that left it is not seen in
//          answers, and its entries are dropped. Of two contents of a key the first one stays and the other is not
//          recorded; that decides only while all is settled. Nobody loses to an entry that is on its way out. Until all
//          is settled an answer says so: what this shard does not know may exist. And as long as a member's full account is not
//          done (it is new, was restarted, or had been given up and came back) answers name it: its tiers know.
#include "actors/index.h"

#include "actors/index_table.h"
#include "actors/tier/ghost.h"
#include "cluster/origin.h"
#include "cluster/topology.h"
#include "proto/key.h"
#include "proto/scope.h"

#define PLACES_MAX 4096                 //  Place numbers, of all tiers of all nodes
#define SHOWN_MAX 16                    //  Places told of one key
#define SWEEP_BUDGET 20000              //  Entries looked at per tick
#define TICK_MS 20
#define HOLDS 1
#define EVICTED 3
#define GHOSTS_MAX (1u << 20)           //  Keys that are remembered after they left
#define GHOSTS 2                        //  ... for each that is there, at most
#define DROPPED 2
#define NO_PLACE UINT16_MAX

//  A place number: one account of one tier of one node
typedef struct {
    char node[UMBP_NAME_MAX + 1];
    uint8_t tier;
    bool used, doomed,
        in_round; //  doomed: its entries are to be swept away; in_round: they are now
} account_t;

typedef struct {
    char node[UMBP_NAME_MAX + 1];
    uint8_t tier;
    uint64_t epoch, next;
    uint16_t place, old_place;          //  old_place: of the account before, while the new one comes
    bool told;                          //  A full account was done, and nothing is missing since
} stream_t;

typedef struct {
    umbp_post_t *post;
    umbp_index_table_t *table;
    umbp_topology_t *topology;
    uint64_t seed;
    char tenant[UMBP_NAME_MAX + 1];     //  Of the programs of this node
    uint8_t *scoped;                    //  Room for keys with their tenants
    uint16_t scoped_sizes[UMBP_BATCH_MAX];
    account_t accounts[PLACES_MAX];
    bool live[PLACES_MAX];              //  Its node is in the topology
    size_t reach;                       //  Place numbers ever used are below this
    stream_t streams[PLACES_MAX / 2];
    size_t stream_count;
    uint16_t untold[UMBP_UNTOLD_MAX];   //  Members whose account is not done, that many at most
    size_t untold_count;
    uint32_t sweep_cursor;
    bool sweeping;
    uint64_t lookups, keys, hits, changes, repeats, holes, conflicts, full;

    umbp_fingerprint_t prints[UMBP_BATCH_MAX];
    uint8_t found[UMBP_BATCH_MAX], left[UMBP_BATCH_MAX];
    umbp_ghost_t ghost;                 //  Keys that left for want of room
    int8_t verdicts[UMBP_BATCH_MAX];
    uint16_t refs[UMBP_EXTENTS_MAX];
    uint8_t tiers[UMBP_EXTENTS_MAX];
    uint32_t sizes[UMBP_EXTENTS_MAX];
    uint8_t names[UMBP_NODES_MAX * UMBP_NAME_MAX];
    uint16_t name_sizes[UMBP_NODES_MAX];
    uint8_t untold_names[UMBP_UNTOLD_MAX * UMBP_NAME_MAX];
    uint16_t untold_sizes[UMBP_UNTOLD_MAX];
} self_t;

//  --------------------------------------------------------------------------------------------------
//  Places

static uint16_t s_place_new (self_t *self, const char *node, uint8_t tier)
{
    uint16_t number = 0;
    while (number < PLACES_MAX && self->accounts[number].used)
        number++;
    if (number == PLACES_MAX)
        return NO_PLACE;
    self->accounts[number] = (account_t) { .tier = tier, .used = true };
    snprintf (self->accounts[number].node, sizeof self->accounts[number].node, "%s", node);
    self->live[number] =
        self->topology && umbp_topology_find (self->topology, umbp_text (node)) >= 0;
    self->reach = number >= self->reach ? number + 1u : self->reach;
    return number;
}

//  Its entries are not seen from now on, and go bit by bit
static void s_place_doom (self_t *self, uint16_t *place)
{
    if (*place != NO_PLACE) {
        self->accounts[*place].doomed = true;
        self->live[*place] = false;
        self->sweeping = true;
    }
    *place = NO_PLACE;
}

static bool s_is_doomed (void *arg, const umbp_fingerprint_t *key, const umbp_place_t *place)
{
    (void) key;
    return ((self_t *) arg)->accounts[place->node].doomed;
}

//  A round over the table frees the numbers that were doomed when it began; others wait for the next
static void s_sweep (self_t *self)
{
    if (!self->sweeping)
        return;
    if (self->sweep_cursor == 0)
        for (size_t index = 0; index < self->reach; index++)
            self->accounts[index].in_round = self->accounts[index].doomed;
    umbp_index_table_sweep (self->table, &self->sweep_cursor, SWEEP_BUDGET, s_is_doomed, self);
    if (self->sweep_cursor != 0)
        return;
    self->sweeping = false;
    for (size_t index = 0; index < self->reach; index++) {
        account_t *account = &self->accounts[index];
        if (account->in_round)
            *account = (account_t) { .used = false };
        self->sweeping |= account->doomed;
    }
}

//  --------------------------------------------------------------------------------------------------
//  change

static stream_t *s_stream (self_t *self, umbp_text_t node, uint8_t tier)
{
    for (size_t index = 0; index < self->stream_count; index++)
        if (self->streams[index].tier == tier && umbp_text_is (node, self->streams[index].node))
            return &self->streams[index];
    if (self->stream_count == sizeof self->streams / sizeof *self->streams)
        return NULL;
    stream_t *stream = &self->streams[self->stream_count++];
    *stream = (stream_t) { .tier = tier, .place = NO_PLACE, .old_place = NO_PLACE };
    umbp_text_copy (node, stream->node, sizeof stream->node);
    return stream;
}

//  Who has tiers and has not told what they hold; whenever somebody has, or the topology is another. Suspects are
//  not asked what others denied, so nobody hears of them.
static void s_find_untold (self_t *self)
{
    uint8_t told[UMBP_NODES_MAX] = { 0 };
    for (size_t index = 0; index < self->stream_count; index++) {
        const stream_t *stream = &self->streams[index];
        int member = umbp_topology_find (self->topology, umbp_text (stream->node));
        if (member >= 0 && stream->told
            && stream->epoch == umbp_topology_member (self->topology, (size_t) member)->epoch)
            told[member] |= (uint8_t) (1u << stream->tier);
    }
    self->untold_count = 0;
    for (size_t number = 0;
         number < umbp_topology_count (self->topology) && self->untold_count < UMBP_UNTOLD_MAX;
         number++) {
        const umbp_member_t *member = umbp_topology_member (self->topology, number);
        bool untold = false;
        for (unsigned tier = 1; tier < UMBP_TIERS; tier++)
            untold |= member->tiers[tier].total > 0 && !(told[number] & 1u << tier);
        if (untold && member->in_ring && member->state == UMBP_MEMBER_ALIVE)
            self->untold[self->untold_count++] = (uint16_t) number;
    }
}

//  A full account begins. The one before stays in sight until this one is done, unless it was not done itself.
static int s_begin (self_t *self, stream_t *stream, const umbp_msg_change_t *change)
{
    uint16_t place = s_place_new (self, stream->node, stream->tier);
    if (place == NO_PLACE)
        return UMBP_EAGAIN;
    if (stream->epoch != change->node_epoch || stream->old_place != NO_PLACE) {
        uint16_t unfinished = stream->place;
        if (stream->epoch != change->node_epoch) {           //  What a former incarnation held is gone
            s_place_doom (self, &stream->old_place);
            s_place_doom (self, &stream->place);
        } else {
            s_place_doom (self, &unfinished);
            stream->place = stream->old_place;
        }
    }
    stream->old_place = stream->place;
    stream->place = place;
    stream->epoch = change->node_epoch;
    stream->next = change->seq;
    stream->told = false;
    s_find_untold (self);
    return 0;
}

//  Whether the change may be applied; else what to answer
static int s_accept (self_t *self, stream_t *stream, const umbp_msg_change_t *change)
{
    if (change->node_epoch < stream->epoch)
        return UMBP_EDENIED;            //  A former incarnation still speaks
    if (change->fresh)                  //  The same account may be begun again: its answer was lost
        return stream->epoch == change->node_epoch
                       && stream->next == change->seq + change->kinds.count
                       && stream->place != NO_PLACE && change->kinds.count > 0
                   ? 0
                   : s_begin (self, stream, change);
    if (stream->place == NO_PLACE || change->node_epoch != stream->epoch
        || change->seq > stream->next) {
        self->holes++;
        stream->told = false;
        s_find_untold (self);
        return UMBP_ESTALE;
    }
    return 0;
}

//  Other bytes are recorded under this key. Remove what is doomed anyway, and what the stream itself said in its
//  account before this one. Returns true if nothing else stands against it.
static bool s_make_way (self_t *self, const stream_t *stream, const umbp_fingerprint_t *print)
{
    umbp_place_t places[SHOWN_MAX];
    size_t count, removed;
    do {
        count = umbp_index_table_find (self->table, print, places, SHOWN_MAX);
        removed = 0;
        for (size_t index = 0; index < count; index++) {
            const umbp_place_t *place = &places[index];
            if (self->accounts[place->node].doomed || place->node == stream->old_place)
                removed +=
                    umbp_index_table_remove (self->table, print, place->node, place->tier) == 0;
        }
    } while (count > 0 && removed == count);
    return count == 0;
}

//  A key left for want of room. If it comes back soon whoever gets it shall know: it may be another node.
static void s_remember (self_t *self, const umbp_fingerprint_t *print)
{
    umbp_place_t place;
    if (umbp_index_table_find (self->table, print, &place, 1) > 0)
        return;
    uint64_t most = GHOSTS * ((uint64_t) umbp_index_table_keys (self->table) + 1);
    umbp_ghost_add (&self->ghost, print->lo, 0);
    umbp_ghost_trim (&self->ghost, most < GHOSTS_MAX ? (uint32_t) most : GHOSTS_MAX);
}

static int s_apply (self_t *self, stream_t *stream, const umbp_msg_change_t *change, size_t index)
{
    umbp_fingerprint_t print;
    memcpy (&print, change->prints.data + index * sizeof print, sizeof print);
    umbp_place_t place = { .node = stream->place,
                           .tier = stream->tier,
                           .size = umbp_u32s_at (change->sizes, index),
                           .sum = umbp_u32s_at (change->sums, index) };
    self->changes++;
    if (umbp_u8s_at (change->kinds, index) == HOLDS) {
        int rc = umbp_index_table_add (self->table, &print, &place);
        if (rc == UMBP_ECHECKSUM && s_make_way (self, stream, &print))
            rc = umbp_index_table_add (self->table, &print, &place);
        self->conflicts += rc == UMBP_ECHECKSUM;
        self->full += rc == UMBP_ENOSPC;
        uint64_t note;
        umbp_ghost_take (&self->ghost, print.lo, &note);
        if (rc != UMBP_EEXIST)
            return rc;
        //  Another place has it; only one of another node makes this a replica
        umbp_place_t places[SHOWN_MAX];
        size_t count = umbp_index_table_find (self->table, &print, places, SHOWN_MAX);
        for (size_t other = 0; other < count; other++)
            if (self->live[places[other].node]
                && strneq (self->accounts[places[other].node].node, stream->node))
                return UMBP_EEXIST;
        return 0;
    }
    umbp_index_table_remove (self->table, &print, stream->place, stream->tier);
    if (stream->old_place != NO_PLACE)
        umbp_index_table_remove (self->table, &print, stream->old_place, stream->tier);
    if (umbp_u8s_at (change->kinds, index) == EVICTED)
        s_remember (self, &print);
    return 0;
}

//  What to say of a change that was applied before: the first answer may never have come
static int s_repeat (self_t *self, const stream_t *stream, const umbp_msg_change_t *change,
                     size_t index)
{
    umbp_fingerprint_t print;
    memcpy (&print, change->prints.data + index * sizeof print, sizeof print);
    umbp_place_t places[SHOWN_MAX];
    size_t count = umbp_index_table_find (self->table, &print, places, SHOWN_MAX);
    if (count == 0 || umbp_u8s_at (change->kinds, index) != HOLDS)
        return 0;
    for (size_t other = 0; other < count; other++)
        if (places[other].node == stream->place && places[other].tier == stream->tier)
            return 0;
    return places[0].size == umbp_u32s_at (change->sizes, index)
                   && places[0].sum == umbp_u32s_at (change->sums, index)
               ? 0
               : UMBP_ECHECKSUM;
}

//  The ring by which what is said here decides; 0: it does not, since another shard may see it differently
static uint64_t s_judges_by (const self_t *self)
{
    return umbp_topology_settled (self->topology) && self->untold_count == 0
               ? umbp_topology_epoch (self->topology)
               : 0;
}

static void s_on_change (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_change_t *change = &mail->msg->change;
    uint32_t count = change->kinds.count;
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_change_ok, 0);
    if (change->prints.size != count * sizeof (umbp_fingerprint_t)) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EINVAL, "prints",
                          "not 16 bytes for each change");
        return;
    }
    bool known = self->topology && umbp_topology_find (self->topology, change->node) >= 0;
    stream_t *stream = known ? s_stream (self, change->node, (uint8_t) change->tier) : NULL;
    answer.status = (int16_t) (stream ? s_accept (self, stream, change) : UMBP_EAGAIN);
    if (answer.status == 0) {
        uint64_t seen = stream->next - change->seq;          //  So many from the front are known
        self->repeats += seen < count ? seen : count;
        for (size_t index = 0; index < count; index++) {
            int verdict = index < seen ? s_repeat (self, stream, change, index)
                                       : s_apply (self, stream, change, index);
            self->verdicts[index] = (int8_t) verdict;
        }
        if (count > seen)
            stream->next = change->seq + count;
        if (change->done) {
            s_place_doom (self, &stream->old_place);
            stream->told = true;
            s_find_untold (self);
        }
        answer.change_ok.verdicts = (umbp_s8s_t) { self->verdicts, count };
        answer.change_ok.topo_epoch = s_judges_by (self);
    }
    answer.change_ok.next = stream ? stream->next : 0;
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  lookup

static void s_prepare (self_t *self, const umbp_column_t *keys)
{
    size_t offset = 0;
    for (size_t index = 0; index < keys->count; index++) {
        umbp_bytes_t key = umbp_column_next (keys, index, &offset);
        self->prints[index] = umbp_fingerprint (key.data, key.size, self->seed);
        umbp_index_table_prefetch (self->table, &self->prints[index]);
    }
    self->lookups++;
    self->keys += keys->count;
}

//  Row of a node in the answer's list of nodes, which is made as nodes turn up
static uint16_t s_ref (self_t *self, umbp_column_t *nodes, const char *node)
{
    size_t offset = 0;
    for (size_t index = 0; index < nodes->count; index++) {
        umbp_bytes_t name = umbp_column_next (nodes, index, &offset);
        if (umbp_text_is ((umbp_text_t) { (const char *) name.data, name.size }, node))
            return (uint16_t) index;
    }
    size_t size = strlen (node);
    memcpy (self->names + nodes->size, node, size);
    self->name_sizes[nodes->count] = (uint16_t) size;
    nodes->size += (uint32_t) size;
    return (uint16_t) nodes->count++;
}

//  All places of one key, each node and tier once. Returns how many; they go from one row on to before another.
static uint8_t s_places (self_t *self, const umbp_fingerprint_t *print, umbp_column_t *nodes,
                         size_t row, size_t end)
{
    umbp_place_t places[SHOWN_MAX];
    size_t count = umbp_index_table_find (self->table, print, places, SHOWN_MAX), shown = 0;
    for (size_t index = 0; index < count && row + shown < end; index++) {
        if (!self->live[places[index].node] || nodes->count == UMBP_NODES_MAX)
            continue;
        uint16_t ref = s_ref (self, nodes, self->accounts[places[index].node].node);
        bool twice = false;             //  The old and the new account of one tier
        for (size_t other = row; other < row + shown; other++)
            twice |= self->refs[other] == ref && self->tiers[other] == places[index].tier;
        if (twice)
            continue;
        self->refs[row + shown] = ref;
        self->tiers[row + shown] = places[index].tier;
        self->sizes[row + shown++] = places[index].size;
    }
    return (uint8_t) shown;
}

//  Names of those whose word we do not have
static umbp_column_t s_untold (self_t *self)
{
    umbp_column_t names = { .bytes = self->untold_names, .sizes = self->untold_sizes };
    for (size_t index = 0; index < self->untold_count; index++) {
        const char *node = umbp_topology_member (self->topology, self->untold[index])->node;
        size_t size = strlen (node);
        memcpy (self->untold_names + names.size, node, size);
        self->untold_sizes[names.count++] = (uint16_t) size;
        names.size += (uint32_t) size;
    }
    return names;
}

static void s_on_lookup (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    const umbp_msg_lookup_t *lookup = &mail->msg->lookup;
    uint32_t count = lookup->keys.count, rows = 0, lefts = 0;
    umbp_user_t user;
    umbp_column_t keys = lookup->keys;
    const char *tenant = umbp_origin_tenant (mail->origin, self->tenant, &user);
    if (lookup->scoped && user.kind == UMBP_USER_CLIENT) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "scoped",
                          "only nodes may name tenants");
        return;
    }
    if (!lookup->scoped)
        keys = umbp_scope_column (keys, tenant, self->scoped, self->scoped_sizes);
    s_prepare (self, &keys);
    umbp_column_t nodes = { .bytes = self->names, .sizes = self->name_sizes };
    for (size_t index = 0; index < count; index++) {
        uint32_t end =
            UMBP_EXTENTS_MAX - (count - 1 - index); //  Each key behind has a row at least
        self->found[index] =
            lookup->places ? s_places (self, &self->prints[index], &nodes, rows, end)
                           : umbp_index_table_has (self->table, &self->prints[index], self->live);
        rows += lookup->places ? self->found[index] : 0;
        self->hits += self->found[index] > 0;
        self->left[index] =
            self->found[index] == 0 && umbp_ghost_has (&self->ghost, self->prints[index].lo);
        lefts += self->left[index];
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_lookup_ok, 0);
    answer.lookup_ok.topo_epoch = self->topology ? umbp_topology_epoch (self->topology) : 0;
    answer.lookup_ok.unsettled =
        !self->topology || !umbp_topology_settled (self->topology) || self->untold_count > 0;
    answer.lookup_ok.untold = s_untold (self);
    answer.lookup_ok.found = (umbp_u8s_t) { self->found, count };
    answer.lookup_ok.refs = (umbp_u16s_t) { self->refs, rows };
    answer.lookup_ok.tiers = (umbp_u8s_t) { self->tiers, rows };
    answer.lookup_ok.sizes = (umbp_u32s_t) { self->sizes, rows };
    answer.lookup_ok.nodes = nodes;
    answer.lookup_ok.left = (umbp_u8s_t) { self->left, lefts ? count : 0 };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}

//  --------------------------------------------------------------------------------------------------
//  topology

static void s_forget_gone (self_t *self)
{
    for (size_t index = 0; index < self->stream_count;) {
        stream_t *stream = &self->streams[index];
        int member = umbp_topology_find (self->topology, umbp_text (stream->node));
        if (member >= 0 && stream->epoch <= umbp_topology_member (self->topology, member)->epoch) {
            index++;
            continue;
        }
        s_place_doom (self, &stream->place);
        s_place_doom (self, &stream->old_place);
        *stream = self->streams[--self->stream_count];
    }
}

static void s_on_topology (void *owner, const umbp_mail_t *mail)
{
    self_t *self = owner;
    umbp_topology_t *fresh = umbp_topology_renew (self->topology, &mail->msg->topology_ok);
    if (!fresh)
        return;
    umbp_topology_destroy (&self->topology);
    self->topology = fresh;
    s_forget_gone (self);
    for (size_t index = 0; index < self->reach; index++)
        self->live[index] =
            self->accounts[index].used && !self->accounts[index].doomed
            && umbp_topology_find (fresh, umbp_text (self->accounts[index].node)) >= 0;
    s_find_untold (self);
}

//  --------------------------------------------------------------------------------------------------
//  Life

static void s_start (void *owner, umbp_post_t *post, zloop_t *loop)
{
    (void) loop;
    ((self_t *) owner)->post = post;
}

static void s_tick (void *owner)
{
    s_sweep (owner);
}

static void s_stat (void *owner, umbp_gauges_t *gauges)
{
    self_t *self = owner;
    umbp_gauges_add (gauges, "entries", umbp_index_table_count (self->table));
    umbp_gauges_add (gauges, "keys", umbp_index_table_keys (self->table));
    umbp_gauges_add (gauges, "memory_bytes", umbp_index_table_bytes (self->table));
    umbp_gauges_add (gauges, "ghosts", self->ghost.count);
    umbp_gauges_add (gauges, "streams", self->stream_count);
    umbp_gauges_add (gauges, "members_untold", self->untold_count);
    umbp_gauges_add (gauges, "lookups", self->lookups);
    umbp_gauges_add (gauges, "keys_asked", self->keys);
    umbp_gauges_add (gauges, "keys_found", self->hits);
    umbp_gauges_add (gauges, "changes", self->changes);
    umbp_gauges_add (gauges, "changes_repeated", self->repeats);
    umbp_gauges_add (gauges, "holes", self->holes);
    umbp_gauges_add (gauges, "conflicts", self->conflicts);
    umbp_gauges_add (gauges, "changes_refused_full", self->full);
}

static void s_destroy (void **self_p)
{
    self_t *self = *self_p;
    umbp_index_table_destroy (&self->table);
    umbp_ghost_free (&self->ghost);
    umbp_topology_destroy (&self->topology);
    free (self->scoped);
    freen (*self_p);
}

zactor_t *umbp_index_new (const umbp_index_args_t *args)
{
    static const umbp_op_t ops[] = {
        { UMBP_MSG_lookup, s_on_lookup },
        { UMBP_MSG_change, s_on_change },
        { UMBP_MSG_topology_ok, s_on_topology },
        { 0, NULL },
    };
    self_t *self = zmalloc (sizeof (self_t));
    self->seed = args->seed;
    snprintf (self->tenant, sizeof self->tenant, "%s", args->home->tenant);
    self->table = umbp_index_table_new (args->entries_max);
    umbp_ghost_resize (&self->ghost, GHOSTS_MAX);
    if (!self->table) {
        umbp_ghost_free (&self->ghost);
        freen (self);
        return NULL;
    }
    self->scoped = zmalloc (UMBP_BATCH_MAX * (UMBP_SCOPED_KEY_MAX + UMBP_SCOPE_MAX));
    umbp_actor_args_t actor = { .name = "index",
                                .home = args->home,
                                .door = true,
                                .ops = ops,
                                .self = self, .start = s_start, .stat = s_stat, .tick = s_tick,
                                .tick_ms = TICK_MS, .destroy = s_destroy };
    return umbp_actor_new (&actor);
}
