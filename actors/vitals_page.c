//  actors/vitals_page.c - vitals as OpenMetrics. See vitals.h. Actors of one kind (tier:dram, tier:nvme) share their
//  families, with the tier as a label.
#include "actors/metrics.h"
#include "actors/vitals_self.h"

static const char *const s_types[] = {
    [UMBP_METRIC_COUNTER] = "counter", [UMBP_METRIC_GAUGE] = "gauge", [UMBP_METRIC_UNKNOWN] = "unknown"
};

//  Errors are counted under their names: EAGAIN, ...
static bool s_is_error (const char *name)
{
    return name[0] == 'E' && name[1] >= 'A' && name[1] <= 'Z';
}

static const uint64_t *s_value (const umbp_tally_t *tally, const char *name)
{
    for (size_t index = 0; index < tally->count; index++)
        if (streq (tally->names[index], name))
            return &tally->values[index];
    return NULL;
}

static bool s_is_of (const umbp_patient_t *patient, const char *class)
{
    char own[UMBP_METRIC_NAME_MAX];
    return streq (umbp_metric_class (patient->name, own), class);
}

//  --------------------------------------------------------------------------------------------------
//  Gauges

static void s_write_gauge (const umbp_vitals_t *self, umbp_openmetrics_t *page, const char *class,
                           const char *name, const umbp_metric_t *metric)
{
    char family[UMBP_METRIC_NAME_MAX];
    const char *unit;
    double scale;
    umbp_metric_kind_t kind = metric ? metric->kind : UMBP_METRIC_UNKNOWN;
    umbp_metric_family (class, name, family, &unit, &scale);
    bool begun = false;
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        const uint64_t *value = s_is_of (patient, class) ? s_value (&patient->gauges, name) : NULL;
        if (!value)
            continue;
        if (!begun)
            umbp_openmetrics_family (page, family, s_types[kind], unit,
                                     metric ? metric->help : "not described yet");
        begun = true;
        const char *colon = strchr (patient->name, ':');
        umbp_label_t labels[] = { { colon ? class : NULL, colon ? colon + 1 : NULL }, { 0 } };
        const char *suffix = kind == UMBP_METRIC_COUNTER ? "_total" : "";
        if (scale == 1)
            umbp_openmetrics_sample (page, suffix, labels, *value);
        else
            umbp_openmetrics_sample_real (page, suffix, labels, (double) *value * scale);
    }
}

//  Whether an actor of the same class, before this one, reports the same
static bool s_came_before (const umbp_vitals_t *self, size_t number, const char *class,
                           const char *name)
{
    for (size_t before = 0; before < number; before++)
        if (s_is_of (self->patients[before], class)
            && s_value (&self->patients[before]->gauges, name))
            return true;
    return false;
}

//  What no row of the table describes is not hidden
static void s_write_unknown (const umbp_vitals_t *self, umbp_openmetrics_t *page, size_t number,
                             const char *class)
{
    const umbp_tally_t *gauges = &self->patients[number]->gauges;
    for (size_t index = 0; index < gauges->count; index++) {
        const char *name = gauges->names[index];
        if (!s_is_error (name) && !umbp_metric_find (class, name)
            && !s_came_before (self, number, class, name))
            s_write_gauge (self, page, class, name, NULL);
    }
}

static bool s_is_first (const umbp_vitals_t *self, size_t number, const char *class)
{
    for (size_t before = 0; before < number; before++)
        if (s_is_of (self->patients[before], class))
            return false;
    return true;
}

static void s_write_gauges (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    size_t rows;
    const umbp_metric_t *metrics = umbp_metrics (&rows);
    for (size_t number = 0; number < self->count; number++) {
        char class[UMBP_METRIC_NAME_MAX];
        umbp_metric_class (self->patients[number]->name, class);
        for (size_t row = 0; row < rows && s_is_first (self, number, class); row++)
            if (streq (metrics[row].actor, "*") || streq (metrics[row].actor, class))
                s_write_gauge (self, page, class, metrics[row].name, &metrics[row]);
        s_write_unknown (self, page, number, class);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Errors, messages, delays

static void s_write_errors (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    umbp_openmetrics_family (page, "umbp_errors", "counter", "",
                             "answers given with this error as a whole");
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        for (size_t index = 0; index < patient->gauges.count; index++) {
            umbp_label_t labels[] = { { "actor", patient->name },
                                      { "error", patient->gauges.names[index] }, { 0 } };
            if (s_is_error (patient->gauges.names[index]))
                umbp_openmetrics_sample (page, "_total", labels, patient->gauges.values[index]);
        }
    }
}

static void s_write_messages (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    umbp_openmetrics_family (page, "umbp_messages", "counter", "",
                             "messages that came and were no answers, by name");
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        for (size_t index = 0; index < patient->messages.count; index++) {
            umbp_label_t labels[] = { { "actor", patient->name },
                                      { "message", patient->messages.names[index] }, { 0 } };
            umbp_openmetrics_sample (page, "_total", labels, patient->messages.values[index]);
        }
    }
}

static void s_write_delay (umbp_openmetrics_t *page, const char *actor, const umbp_delay_t *delay)
{
    static const char *const paths[] = { [UMBP_PATH_ACTOR] = "actor",
                                         [UMBP_PATH_LINK] = "link", [UMBP_PATH_DOOR] = "door" };
    const char *path = delay->path > 0 && delay->path < UMBP_PATH_COUNT ? paths[delay->path] : "?";
    char bound[32] = "";
    umbp_label_t labels[] = {
        { "actor", actor }, { "operation", delay->operation }, { "path", path }, { "le", bound }, { 0 },
    };
    uint64_t count = 0;
    for (size_t bucket = 0; bucket < UMBP_LATENCY_BUCKETS; bucket++) {
        uint64_t bound_us = umbp_latency_bound_us (bucket);
        count += delay->buckets[bucket];
        if (bucket + 1 == UMBP_LATENCY_BUCKETS)
            snprintf (bound, sizeof bound, "+Inf");
        else                            //  Not %g: a decimal point in all locales
            snprintf (bound, sizeof bound, "%u.%06u", (unsigned) (bound_us / 1000000),
                      (unsigned) (bound_us % 1000000));
        umbp_openmetrics_sample (page, "_bucket", labels, count);
    }
    labels[3] = (umbp_label_t) { 0 };
    umbp_openmetrics_sample_real (page, "_sum", labels, (double) delay->sum_us * 1e-6);
    umbp_openmetrics_sample (page, "_count", labels, count);
}

static void s_write_delays (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    umbp_openmetrics_family (page, "umbp_request_seconds", "histogram", "seconds",
                             "from the arrival of a request at an actor to its answer");
    for (size_t number = 0; number < self->count; number++)
        for (size_t row = 0; row < self->patients[number]->delay_count; row++)
            s_write_delay (page, self->patients[number]->name,
                           &self->patients[number]->delays[row]);
}

//  --------------------------------------------------------------------------------------------------
//  Tenants of tiers: at most UMBP_TENANTS_MAX each

static void s_write_tenant (const umbp_vitals_t *self, umbp_openmetrics_t *page, const char *family,
                            const char *type, const char *unit, const char *help, size_t offset)
{
    bool any = false;                   //  Nobody has a limit: no family either
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        const char *colon = strchr (patient->name, ':');
        for (size_t row = 0; row < patient->tenant_count; row++) {
            const umbp_tenant_row_t *tenant = &patient->tenants[row];
            umbp_label_t labels[] = { { "tier", colon ? colon + 1 : patient->name },
                                      { "tenant", tenant->name }, { 0 } };
            uint64_t value;
            memcpy (&value, (const char *) tenant + offset, sizeof value);
            if (value == UINT64_MAX)    //  No limit: no sample
                continue;
            if (!any)
                umbp_openmetrics_family (page, family, type, unit, help);
            any = true;
            umbp_openmetrics_sample (page, streq (type, "counter") ? "_total" : "", labels, value);
        }
    }
}

static void s_write_tenants (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    s_write_tenant (self, page, "umbp_tenant_used_bytes", "gauge", "bytes",
                    "what a tenant uses, in whole pages; no name: the default tenant",
                    offsetof (umbp_tenant_row_t, used));
    s_write_tenant (self, page, "umbp_tenant_limit_bytes", "gauge", "bytes",
                    "what a tenant may use; none: no limit", offsetof (umbp_tenant_row_t, limit));
    s_write_tenant (self, page, "umbp_tenant_blocks", "gauge", "", "blocks and slots of a tenant",
                    offsetof (umbp_tenant_row_t, blocks));
    s_write_tenant (self, page, "umbp_tenant_refused", "counter", "",
                    "reservations of a tenant answered EQUOTA",
                    offsetof (umbp_tenant_row_t, refused));
    s_write_tenant (self, page, "umbp_tenant_evicted", "counter", "",
                    "blocks of a tenant that left to make room under its own limit",
                    offsetof (umbp_tenant_row_t, evicted));
}

//  --------------------------------------------------------------------------------------------------
//  The node

static void s_write_one (umbp_openmetrics_t *page, const char *name, const char *help,
                         uint64_t value)
{
    umbp_openmetrics_family (page, name, "gauge", "", help);
    umbp_openmetrics_sample (page, "", NULL, value);
}

static void s_write_node (const umbp_vitals_t *self, umbp_openmetrics_t *page)
{
    char protocol[16];
    snprintf (protocol, sizeof protocol, "%d", UMBP_PROTOCOL_VERSION);
    umbp_label_t info[] = { { "node", self->node }, { "protocol", protocol }, { 0 } };
    umbp_openmetrics_family (page, "umbp_node", "info", "",
                             "which node this is, and which version of the protocol it speaks");
    umbp_openmetrics_sample (page, "_info", info, 1);
    if (!self->known)
        return;
    umbp_label_t alive[] = { { "state", "alive" }, { 0 } };
    umbp_label_t suspect[] = { { "state", "suspect" }, { 0 } };
    umbp_openmetrics_family (page, "umbp_members", "gauge", "",
                             "members of the cluster by state, as this node sees them");
    umbp_openmetrics_sample (page, "", alive, self->alive);
    umbp_openmetrics_sample (page, "", suspect, self->suspect);
    s_write_one (page, "umbp_ring_members", "members on the ring", self->on_ring);
    s_write_one (page, "umbp_ring_copies", "nodes that keep the index entries of a key",
                 self->copies);
    s_write_one (page, "umbp_node_in_ring", "1: this node is on the ring", self->in_ring);
    s_write_one (page, "umbp_topology_settled", "1: all members work with the same ring",
                 self->settled);
}

static void s_write_actors (const umbp_vitals_t *self, umbp_openmetrics_t *page, int64_t now)
{
    umbp_openmetrics_family (page, "umbp_actor_up", "gauge", "",
                             "1: this actor answered within the last 10 s");
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        umbp_label_t labels[] = { { "actor", patient->name }, { 0 } };
        umbp_openmetrics_sample (page, "", labels,
                                 patient->heard && now - patient->heard_at < UMBP_VITALS_SILENT_MS);
    }
    umbp_openmetrics_family (page, "umbp_actor_silence_seconds", "gauge", "seconds",
                             "age of what this page says of the actor");
    for (size_t number = 0; number < self->count; number++) {
        const umbp_patient_t *patient = self->patients[number];
        umbp_label_t labels[] = { { "actor", patient->name }, { 0 } };
        int64_t silence = now > patient->heard_at ? now - patient->heard_at : 0;
        umbp_openmetrics_sample_real (page, "", labels, (double) silence * 1e-3);
    }
}

void umbp_vitals_write (const umbp_vitals_t *self, umbp_openmetrics_t *page, int64_t now)
{
    s_write_node (self, page);
    s_write_actors (self, page, now);
    s_write_gauges (self, page);
    s_write_tenants (self, page);
    s_write_errors (self, page);
    s_write_messages (self, page);
    s_write_delays (self, page);
}
