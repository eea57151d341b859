//  actors/vitals.c - what actors said of themselves. See vitals.h.
#include "actors/vitals_self.h"

umbp_vitals_t *umbp_vitals_new (const char *node, int64_t now)
{
    umbp_vitals_t *self = zmalloc (sizeof (umbp_vitals_t));
    snprintf (self->node, sizeof self->node, "%s", node);
    self->topology_at = now;
    return self;
}

void umbp_vitals_destroy (umbp_vitals_t **self_p)
{
    umbp_vitals_t *self = *self_p;
    if (!self)
        return;
    for (size_t number = 0; number < self->count; number++) {
        free (self->patients[number]->tenants);
        free (self->patients[number]);
    }
    freen (*self_p);
}

int umbp_vitals_add (umbp_vitals_t *self, const char *actor)
{
    if (self->count == UMBP_VITALS_ACTORS_MAX)
        return UMBP_ENOSPC;
    umbp_patient_t *patient = zmalloc (sizeof (umbp_patient_t));
    snprintf (patient->name, sizeof patient->name, "%s", actor);
    patient->heard_at = self->topology_at;
    self->patients[self->count] = patient;
    return (int) self->count++;
}

size_t umbp_vitals_count (const umbp_vitals_t *self)
{
    return self->count;
}

const char *umbp_vitals_actor (const umbp_vitals_t *self, size_t number)
{
    return self->patients[number]->name;
}

//  --------------------------------------------------------------------------------------------------
//  What was said

static void s_copy_name (umbp_bytes_t name, char out[UMBP_NAME_MAX + 1])
{
    umbp_text_copy ((umbp_text_t) { (const char *) name.data, name.size }, out, UMBP_NAME_MAX + 1);
}

static void s_copy (umbp_tally_t *tally, const umbp_column_t *names, const umbp_u64s_t *values)
{
    size_t offset = 0;
    tally->count = 0;
    for (size_t index = 0; index < names->count && index < values->count; index++) {
        if (tally->count == UMBP_VITALS_NAMES_MAX)
            return;
        s_copy_name (umbp_column_next (names, index, &offset), tally->names[tally->count]);
        tally->values[tally->count++] = umbp_u64s_at (*values, index);
    }
}

static void s_copy_delays (umbp_patient_t *patient, const umbp_msg_stat_ok_t *stat)
{
    size_t count = stat->operations.count, offset = 0;
    patient->delay_count = 0;
    if (stat->paths.count != count || stat->sums_us.count != count
        || stat->buckets.count != count * UMBP_LATENCY_BUCKETS)
        return;
    for (size_t row = 0; row < count && row < UMBP_LATENCY_ROWS; row++) {
        umbp_delay_t *delay = &patient->delays[patient->delay_count++];
        s_copy_name (umbp_column_next (&stat->operations, row, &offset), delay->operation);
        delay->path = umbp_u8s_at (stat->paths, row);
        delay->sum_us = umbp_u64s_at (stat->sums_us, row);
        for (size_t bucket = 0; bucket < UMBP_LATENCY_BUCKETS; bucket++)
            delay->buckets[bucket] =
                umbp_u64s_at (stat->buckets, row * UMBP_LATENCY_BUCKETS + bucket);
    }
}

void umbp_vitals_take (umbp_vitals_t *self, size_t number, const umbp_msg_stat_ok_t *stat,
                       int64_t now)
{
    umbp_patient_t *patient = self->patients[number];
    patient->heard = true;
    patient->heard_at = now;
    s_copy (&patient->gauges, &stat->names, &stat->values);
    s_copy (&patient->messages, &stat->messages, &stat->received);
    s_copy_delays (patient, stat);
}

void umbp_vitals_tenants (umbp_vitals_t *self, size_t number, const umbp_msg_tenants_ok_t *tenants)
{
    umbp_patient_t *patient = self->patients[number];
    size_t offset = 0;
    if (!patient->tenants)
        patient->tenants = zmalloc (UMBP_TENANTS_MAX * sizeof (umbp_tenant_row_t));
    patient->tenant_count = 0;
    for (size_t index = 0; index < tenants->names.count && index < UMBP_TENANTS_MAX; index++) {
        umbp_tenant_row_t *row = &patient->tenants[patient->tenant_count++];
        s_copy_name (umbp_column_next (&tenants->names, index, &offset), row->name);
        row->used = umbp_u64s_at (tenants->useds, index);
        row->limit = umbp_u64s_at (tenants->limits, index);
        row->blocks = umbp_u64s_at (tenants->blocks, index);
        row->refused = umbp_u64s_at (tenants->refused, index);
        row->evicted = umbp_u64s_at (tenants->evicted, index);
    }
}

void umbp_vitals_topology (umbp_vitals_t *self, const umbp_msg_topology_ok_t *topology, int64_t now)
{
    size_t offset = 0;
    self->known = true;
    self->topology_at = now;
    self->settled = topology->settled;
    self->copies = topology->copies;
    self->in_ring = false;
    self->alive = self->suspect = self->on_ring = 0;
    for (size_t index = 0; index < topology->nodes.count; index++) {
        umbp_bytes_t node = umbp_column_next (&topology->nodes, index, &offset);
        bool in_ring = umbp_u8s_at (topology->rings, index) != 0;
        uint8_t state = umbp_u8s_at (topology->states, index);
        self->alive += state == UMBP_MEMBER_ALIVE;
        self->suspect += state == UMBP_MEMBER_SUSPECT;
        self->on_ring += in_ring;
        if (umbp_text_is ((umbp_text_t) { (const char *) node.data, node.size }, self->node))
            self->in_ring = in_ring;
    }
}

void umbp_vitals_stalled (umbp_vitals_t *self, int64_t ms)
{
    self->topology_at += ms;
    for (size_t number = 0; number < self->count; number++)
        self->patients[number]->heard_at += ms;
}

//  --------------------------------------------------------------------------------------------------
//  Health

bool umbp_vitals_healthy (const umbp_vitals_t *self, int64_t now, char *why, size_t size)
{
    size_t used = 0, silent = 0, unheard = 0;
    *why = 0;
    for (size_t number = 0; number < self->count && used < size; number++) {
        const umbp_patient_t *patient = self->patients[number];
        int64_t silence = now - patient->heard_at;
        unheard += !patient->heard;
        if (silence < UMBP_VITALS_SILENT_MS)
            continue;
        used += (size_t) snprintf (why + used, size - used, "%s%s for %lld s",
                                   silent++ ? ", " : "silent: ", patient->name,
                                   (long long) silence / 1000);
    }
    if (silent == 0 && unheard > 0)
        snprintf (why, size, "starting: %zu of %zu actors have not answered yet", unheard,
                  self->count);
    return silent == 0 && unheard == 0;
}

bool umbp_vitals_ready (const umbp_vitals_t *self, int64_t now, char *why, size_t size)
{
    const char *reason = "";
    if (now - self->topology_at >= UMBP_VITALS_SILENT_MS)
        reason = "the registry is silent: see /healthz";
    else if (!self->known)
        reason = "starting: no topology yet";
    else if (!self->in_ring)
        reason = "not in the ring: not all tiers have reported yet";
    else if (!self->settled)
        reason = "the topology is not settled: members are changing over to a new ring";
    snprintf (why, size, "%s", reason);
    return *reason == 0;
}
