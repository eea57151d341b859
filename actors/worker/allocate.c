//  actors/worker/allocate.c - which worker has which devices. See allocate.h for the rules.
#include "actors/worker/allocate.h"

#include <ctype.h>
#include <czmq.h>
#include <math.h>

#include "proto/error.h"

#define MIB (1u << 20)

typedef enum { WANTED, SPLITTING, READY, DOOMED, JOINING, GONE } part_state_t;

typedef struct {
    part_state_t state;
    uint64_t ticket;
    char device[UMBP_DEVICE_ID_MAX], partition[UMBP_DEVICE_ID_MAX];
} part_t;

typedef struct {
    umbp_hold_state_t state;            //  NONE: the row is free
    char uid[UMBP_NAME_MAX + 1];
    umbp_isolation_t mode;
    char template[UMBP_DEVICE_ID_MAX];
    size_t count, part_count;
    char devices[UMBP_WORKER_DEVICES_MAX][UMBP_DEVICE_ID_MAX];
    part_t parts[UMBP_WORKER_DEVICES_MAX];
    int err;                            //  Why it is undone
} hold_t;

struct umbp_allocator {
    umbp_isolation_t policy;
    bool can_split;
    umbp_device_record_t devices[UMBP_DEVICE_ROWS_MAX];
    size_t device_count;
    hold_t holds[UMBP_HOLDS_MAX];
    uint64_t ticket, leaked, changes;
};

static int s_refuse (char *why, size_t size, int err, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static int s_refuse (char *why, size_t size, int err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (why, size, format, args);
    va_end (args);
    return err;
}

umbp_allocator_t *umbp_allocator_new (umbp_isolation_t policy, bool can_split)
{
    umbp_allocator_t *self = zmalloc (sizeof (umbp_allocator_t));
    self->policy = policy;
    self->can_split = can_split;
    return self;
}

void umbp_allocator_destroy (umbp_allocator_t **self_p)
{
    freen (*self_p);
}

//  ------------------------------------------------------------------------------------------------
//  Devices

static bool s_has (const hold_t *hold, const char *uuid)
{
    for (size_t index = 0; index < hold->count; index++)
        if (streq (hold->devices[index], uuid))
            return true;
    return false;
}

size_t umbp_allocator_set_devices (umbp_allocator_t *self, const umbp_device_record_t *rows,
                                   size_t count)
{
    self->changes++;
    self->device_count = count < UMBP_DEVICE_ROWS_MAX ? count : UMBP_DEVICE_ROWS_MAX;
    if (self->device_count)
        memcpy (self->devices, rows, self->device_count * sizeof *rows);
    return count - self->device_count;
}

size_t umbp_allocator_devices (const umbp_allocator_t *self)
{
    return self->device_count;
}

const umbp_device_record_t *umbp_allocator_device (const umbp_allocator_t *self, const char *uuid)
{
    for (size_t index = 0; index < self->device_count; index++)
        if (streq (self->devices[index].uuid, uuid))
            return &self->devices[index];
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Claims

static hold_t *s_find (const umbp_allocator_t *self, const char *uid)
{
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++)
        if (self->holds[index].state != UMBP_HOLD_NONE && streq (self->holds[index].uid, uid))
            return (hold_t *) &self->holds[index];
    return NULL;
}

//  Whether the others that have this device let one of that mode in
static int s_check_others (const umbp_allocator_t *self, const umbp_claim_t *claim,
                           const umbp_device_record_t *device, bool dynamic, char *why, size_t size)
{
    size_t others = 0;
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++) {
        const hold_t *hold = &self->holds[index];
        if (hold->state == UMBP_HOLD_NONE || !s_has (hold, device->uuid))
            continue;
        others++;
        if (dynamic && hold->mode != claim->mode)
            return s_refuse (why, size, UMBP_EAGAIN, "%s: is %s now, for worker %s: %s has to wait",
                             device->name, umbp_isolation_name (hold->mode), hold->uid,
                             umbp_isolation_name (claim->mode));
        if (dynamic && claim->mode == UMBP_ISOLATION_SHARED)
            return s_refuse (why, size, UMBP_EAGAIN,
                             "%s: worker %s has it, and a shared worker wants it alone",
                             device->name, hold->uid);
    }
    unsigned most =
        claim->mode == UMBP_ISOLATION_PARTITIONED ? device->partitions_max : device->workers_max;
    if (most && others >= most)
        return s_refuse (why, size, UMBP_EAGAIN, "%s: %zu workers have it, which is its limit",
                         device->name, others);
    return UMBP_OK;
}

static int s_check_ability (const umbp_allocator_t *self, const umbp_claim_t *claim,
                            const umbp_device_record_t *device, char *why, size_t size)
{
    bool fine = true;
    switch (claim->mode) {
    case UMBP_ISOLATION_PARTITIONED: fine = device->known && device->partitions; break;
    case UMBP_ISOLATION_HARD: fine = !device->known || device->hard || device->limits_self; break;
    case UMBP_ISOLATION_SOFT: fine = !device->known || device->soft || device->limits_self; break;
    default: break;
    }
    if (!fine)
        return s_refuse (why, size, UMBP_ENOTSUP, "%s: this device cannot be %s", device->name,
                         umbp_isolation_name (claim->mode));
    if (claim->mode != UMBP_ISOLATION_PARTITIONED)
        return UMBP_OK;
    if (!*claim->template)
        return s_refuse (why, size, UMBP_EINVAL, "PartitionTemplateID: partitioned needs one");
    if (!self->can_split && claim->part_count == 0)
        return s_refuse (why, size, UMBP_ENOTSUP,
                         "%s: nobody makes partitions here: no accelerator library is in use",
                         device->name);
    return UMBP_OK;
}

static int s_check_device (const umbp_allocator_t *self, const umbp_claim_t *claim,
                           const char *uuid, char *why, size_t size)
{
    const umbp_device_record_t *device = umbp_allocator_device (self, uuid);
    if (!device)
        return s_refuse (why, size, UMBP_ENOENT,
                         "%s: no such device: none of the %zu that are known", uuid,
                         self->device_count);
    umbp_isolation_t policy = device->has_policy ? device->policy : self->policy;
    bool dynamic = policy == UMBP_ISOLATION_DYNAMIC;
    if (!dynamic && policy != claim->mode)
        return s_refuse (why, size, UMBP_EINVAL, "%s: by policy it is %s, not %s: see devices.json",
                         device->name, umbp_isolation_name (policy),
                         umbp_isolation_name (claim->mode));
    if (dynamic && claim->mode == UMBP_ISOLATION_PARTITIONED)
        return s_refuse (why, size, UMBP_EINVAL,
                         "%s: by policy its mode is dynamic, which has no partitions: make it "
                         "Static and partitioned in devices.json",
                         device->name);
    int rc = s_check_ability (self, claim, device, why, size);
    if (rc == UMBP_OK && *device->ill && !claim->keeps)
        return s_refuse (why, size, UMBP_EAGAIN, "%s: this device is %s: see umbp-console devices",
                         device->name, device->ill);
    return rc == UMBP_OK ? s_check_others (self, claim, device, dynamic, why, size) : rc;
}

//  The same devices in the same mode?
static bool s_is_same (const hold_t *hold, const umbp_claim_t *claim)
{
    bool same =
        hold->count == claim->count && hold->mode == claim->mode
        && (hold->mode != UMBP_ISOLATION_PARTITIONED || streq (hold->template, claim->template));
    for (size_t index = 0; same && index < claim->count; index++)
        same = s_has (hold, claim->devices[index]);
    return same;
}

//  One partition of each device, those it has from before and those to be made
static void s_plan_parts (hold_t *hold, const umbp_claim_t *claim)
{
    for (size_t index = 0; index < claim->count; index++) {
        part_t *part = &hold->parts[hold->part_count++];
        snprintf (part->device, sizeof part->device, "%s", claim->devices[index]);
        for (size_t row = 0; row < claim->part_count; row++)
            if (streq (claim->parts[row].device, part->device)) {
                snprintf (part->partition, sizeof part->partition, "%s",
                          claim->parts[row].partition);
                part->state = READY;
            }
    }
}

//  Done splitting, or undoing? Then the next state
static void s_settle (hold_t *hold)
{
    size_t ready = 0, gone = 0;
    for (size_t index = 0; index < hold->part_count; index++) {
        ready += hold->parts[index].state == READY;
        gone += hold->parts[index].state == GONE;
    }
    if (hold->state == UMBP_HOLD_SPLITTING && ready == hold->part_count)
        hold->state = UMBP_HOLD_HELD;
    if (hold->state == UMBP_HOLD_UNDOING && gone == hold->part_count)
        hold->state = UMBP_HOLD_NONE;
}

int umbp_allocator_claim (umbp_allocator_t *self, const umbp_claim_t *claim, char *why, size_t size)
{
    hold_t *hold = s_find (self, claim->uid);
    if (hold && hold->state != UMBP_HOLD_UNDOING && s_is_same (hold, claim))
        return hold->state == UMBP_HOLD_HELD ? 0 : 1;
    if (hold)
        return s_refuse (why, size, UMBP_EEXIST, "%s: it has other devices: release these first",
                         claim->uid);
    if (claim->count < 1 || claim->count > UMBP_WORKER_DEVICES_MAX)
        return s_refuse (why, size, UMBP_EINVAL, "AllocatedDevices: allowed are 1 to %d",
                         UMBP_WORKER_DEVICES_MAX);
    for (size_t index = 0; index < claim->count; index++) {
        int rc = s_check_device (self, claim, claim->devices[index], why, size);
        if (rc < 0)
            return rc;
    }
    hold = self->holds;
    while (hold < self->holds + UMBP_HOLDS_MAX && hold->state != UMBP_HOLD_NONE)
        hold++;
    if (hold == self->holds + UMBP_HOLDS_MAX)
        return s_refuse (why, size, UMBP_ENOSPC, "%d workers have devices, which is the limit",
                         UMBP_HOLDS_MAX);
    self->changes++;
    *hold = (hold_t){ .state = UMBP_HOLD_SPLITTING, .mode = claim->mode, .count = claim->count };
    snprintf (hold->uid, sizeof hold->uid, "%s", claim->uid);
    snprintf (hold->template, sizeof hold->template, "%s", claim->template);
    memcpy (hold->devices, claim->devices, claim->count * sizeof *hold->devices);
    if (claim->mode == UMBP_ISOLATION_PARTITIONED)
        s_plan_parts (hold, claim);
    s_settle (hold);
    return hold->state == UMBP_HOLD_HELD ? 0 : 1;
}

//  What was not asked for is not; what there is goes; what is under way goes once it is there
static void s_undo (hold_t *hold, int err)
{
    hold->state = UMBP_HOLD_UNDOING;
    hold->err = err;
    for (size_t index = 0; index < hold->part_count; index++) {
        part_t *part = &hold->parts[index];
        part->state = part->state == WANTED ? GONE : part->state == READY ? DOOMED : part->state;
    }
    s_settle (hold);
}

int umbp_allocator_release (umbp_allocator_t *self, const char *uid)
{
    hold_t *hold = s_find (self, uid);
    if (hold && hold->state != UMBP_HOLD_UNDOING) {
        self->changes++;
        s_undo (hold, UMBP_OK);
    }
    return hold && hold->state != UMBP_HOLD_NONE;
}

umbp_hold_state_t umbp_allocator_state (const umbp_allocator_t *self, const char *uid)
{
    const hold_t *hold = s_find (self, uid);
    return hold ? hold->state : UMBP_HOLD_NONE;
}

size_t umbp_allocator_holds (const umbp_allocator_t *self)
{
    size_t count = 0;
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++)
        count += self->holds[index].state != UMBP_HOLD_NONE;
    return count;
}

size_t umbp_allocator_parts (const umbp_allocator_t *self, const char *uid,
                             umbp_worker_part_t *parts)
{
    const hold_t *hold = s_find (self, uid);
    size_t count = 0;
    for (size_t index = 0; hold && index < hold->part_count; index++)
        if (hold->parts[index].state == READY || hold->parts[index].state == DOOMED) {
            memcpy (parts[count].device, hold->parts[index].device, UMBP_DEVICE_ID_MAX);
            memcpy (parts[count++].partition, hold->parts[index].partition, UMBP_DEVICE_ID_MAX);
        }
    return count;
}

//  ------------------------------------------------------------------------------------------------
//  What is held, and how that is

bool umbp_allocator_lost (const umbp_allocator_t *self, const char *uid, char *why, size_t size)
{
    const hold_t *hold = s_find (self, uid);
    for (size_t index = 0; hold && index < hold->count; index++) {
        const umbp_device_record_t *device = umbp_allocator_device (self, hold->devices[index]);
        if (device && !device->lost)
            continue;
        snprintf (why, size, "%s: this device of it is %s",
                  device ? device->name : hold->devices[index], device ? device->ill : "gone");
        return true;
    }
    return false;
}

//  One worker more has it
static void s_use (const umbp_allocator_t *self, umbp_device_use_t *uses, size_t *count,
                   const char *uuid, const char *name, const char *parent)
{
    size_t index = 0;
    while (index < *count && strneq (uses[index].uuid, uuid))
        index++;
    if (index == UMBP_DEVICE_ROWS_MAX)
        return;
    if (index == *count) {
        const umbp_device_record_t *device = *parent ? NULL : umbp_allocator_device (self, uuid);
        uses[(*count)++] = (umbp_device_use_t){ .workers = 0 };
        snprintf (uses[index].uuid, sizeof uses[index].uuid, "%s", uuid);
        snprintf (uses[index].name, sizeof uses[index].name, "%s", device ? device->name : name);
        snprintf (uses[index].parent, sizeof uses[index].parent, "%s", parent);
    }
    uses[index].workers++;
}

size_t umbp_allocator_uses (const umbp_allocator_t *self, umbp_device_use_t *uses)
{
    size_t count = 0;
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++) {
        const hold_t *hold = &self->holds[index];
        for (size_t row = 0; hold->state != UMBP_HOLD_NONE && row < hold->count; row++)
            s_use (self, uses, &count, hold->devices[row], hold->devices[row], "");
        for (size_t row = 0; hold->state != UMBP_HOLD_NONE && row < hold->part_count; row++) {
            const part_t *part = &hold->parts[row];
            char uuid[UMBP_DEVICE_ID_MAX];
            if (part->state != READY)
                continue;
            for (size_t byte = 0; byte < sizeof uuid; byte++)
                uuid[byte] = (char) tolower ((unsigned char) part->partition[byte]);
            s_use (self, uses, &count, uuid, part->partition, part->device);
        }
    }
    return count;
}

uint64_t umbp_allocator_changes (const umbp_allocator_t *self)
{
    return self->changes;
}

//  ------------------------------------------------------------------------------------------------
//  Partitions

static bool s_take_job (umbp_allocator_t *self, const hold_t *hold, part_t *part,
                        umbp_device_job_t *job)
{
    if (part->state != WANTED && part->state != DOOMED)
        return false;
    *job = (umbp_device_job_t){ .join = part->state == DOOMED, .ticket = ++self->ticket };
    part->ticket = job->ticket;
    part->state = job->join ? JOINING : SPLITTING;
    self->changes++;
    const umbp_device_record_t *device = umbp_allocator_device (self, part->device);
    snprintf (job->device, sizeof job->device, "%s", device ? device->name : part->device);
    snprintf (job->template, sizeof job->template, "%s", hold->template);
    snprintf (job->partition, sizeof job->partition, "%s", part->partition);
    return true;
}

bool umbp_allocator_next (umbp_allocator_t *self, umbp_device_job_t *job)
{
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++) {
        hold_t *hold = &self->holds[index];
        for (size_t part = 0; hold->state != UMBP_HOLD_NONE && part < hold->part_count; part++)
            if (s_take_job (self, hold, &hold->parts[part], job))
                return true;
    }
    return false;
}

static part_t *s_find_ticket (umbp_allocator_t *self, uint64_t ticket, hold_t **hold_p)
{
    for (size_t index = 0; index < UMBP_HOLDS_MAX; index++) {
        hold_t *hold = *hold_p = &self->holds[index];
        for (size_t row = 0; hold->state != UMBP_HOLD_NONE && row < hold->part_count; row++) {
            part_t *part = &hold->parts[row];
            if (part->ticket == ticket && (part->state == SPLITTING || part->state == JOINING))
                return part;
        }
    }
    return NULL;
}

//  Whoever takes partitions back cannot do so now
static bool s_is_passing (int status)
{
    return status == UMBP_EAGAIN || status == UMBP_EUNREACH || status == UMBP_ETIMEDOUT;
}

int umbp_allocator_done (umbp_allocator_t *self, uint64_t ticket, int status, const char *partition,
                         char *uid, int *err)
{
    hold_t *hold;
    part_t *part = s_find_ticket (self, ticket, &hold);
    if (!part)
        return UMBP_ENOENT;
    snprintf (uid, UMBP_NAME_MAX + 1, "%s", hold->uid);
    if (part->state == SPLITTING && status == 0
        && (!*partition || strlen (partition) >= UMBP_DEVICE_ID_MAX)) {
        self->leaked++;                 //  Made, but nobody can name it
        status = UMBP_EPROTO;
    }
    self->changes++;
    if (part->state == JOINING && s_is_passing (status))
        part->state = DOOMED;
    else if (part->state == JOINING) {
        self->leaked += status < 0 && status != UMBP_ENOENT;
        part->state = GONE;
        s_settle (hold);
    } else if (status < 0) {
        part->state = GONE;
        s_undo (hold, hold->state == UMBP_HOLD_UNDOING ? hold->err : status);
    } else {
        snprintf (part->partition, sizeof part->partition, "%s", partition);
        part->state = hold->state == UMBP_HOLD_UNDOING ? DOOMED : READY;
        s_settle (hold);
    }
    *err = hold->err;
    return UMBP_OK;
}

uint64_t umbp_allocator_leaked (const umbp_allocator_t *self)
{
    return self->leaked;
}

//  ------------------------------------------------------------------------------------------------
//  What a process is told

static int s_by_index (const void *one, const void *other)
{
    const umbp_device_record_t *const *left = one, *const *right = other;
    return (*left)->index < (*right)->index ? -1 : (*left)->index > (*right)->index;
}

//  NVIDIA's programs want "GPU-1b2c..." and "MIG-...", and files have all in lower case
static void s_nvidia_name (const char *uuid, char *out, size_t size)
{
    snprintf (out, size, "%s", uuid);
    for (char *at = out; *at && *at != '-'; at++)
        *at = (char) toupper ((unsigned char) *at);
}

//  "amd" -> "ROCR_VISIBLE_DEVICES", "ascend" -> "ASCEND_VISIBLE_DEVICES"
static void s_variable (const char *vendor, char *out, size_t size)
{
    if (strcasecmp (vendor, "amd") == 0 || strcasecmp (vendor, "hygon") == 0) {
        snprintf (out, size, "ROCR_VISIBLE_DEVICES");
        return;
    }
    snprintf (out, size, "%s_VISIBLE_DEVICES", *vendor ? vendor : "ACCELERATOR");
    for (char *at = out; *at; at++)
        *at = isalnum ((unsigned char) *at) ? (char) toupper ((unsigned char) *at) : '_';
}

static const char *s_partition_of (const hold_t *hold, const char *uuid)
{
    for (size_t index = 0; index < hold->part_count; index++)
        if (streq (hold->parts[index].device, uuid))
            return hold->parts[index].partition;
    return NULL;
}

static void s_env_limits (const umbp_worker_record_t *record, const umbp_device_record_t *device,
                          umbp_env_fn *fn, void *arg)
{
    char text[32];
    double percent = device && device->tflops > 0 && record->tflops_limit > 0
                         ? ceil (100 * record->tflops_limit / device->tflops)
                         : 100;
    snprintf (text, sizeof text, "%d", percent < 1 ? 1 : percent > 100 ? 100 : (int) percent);
    fn (arg, "TF_CUDA_SM_PERCENT_LIMIT", text);
    if (record->vram_limit == 0)
        return;
    snprintf (text, sizeof text, "%llu", (unsigned long long) (record->vram_limit / MIB));
    fn (arg, "TF_CUDA_MEMORY_LIMIT", text);
}

void umbp_allocator_env (const umbp_allocator_t *self, const umbp_worker_record_t *record,
                         umbp_env_fn *fn, void *arg)
{
    const umbp_device_record_t *devices[UMBP_WORKER_DEVICES_MAX];
    size_t count = 0;
    const hold_t *hold = s_find (self, record->uid);
    for (size_t index = 0; hold && index < hold->count; index++) {
        devices[count] = umbp_allocator_device (self, hold->devices[index]);
        count += devices[count] != NULL;
    }
    qsort (devices, count, sizeof *devices, s_by_index);
    char list[UMBP_WORKER_DEVICES_MAX * (UMBP_DEVICE_ID_MAX + 1)] = "", name[64];
    bool nvidia = count && strcasecmp (devices[0]->vendor, "nvidia") == 0;
    for (size_t index = 0; index < count; index++) {
        size_t used = strlen (list);
        char item[UMBP_DEVICE_ID_MAX];
        const char *part = s_partition_of (hold, devices[index]->uuid);
        if (nvidia)
            s_nvidia_name (part ? part : devices[index]->name, item, sizeof item);
        else if (part)
            snprintf (item, sizeof item, "%s", part);
        else
            snprintf (item, sizeof item, "%u", devices[index]->index);
        snprintf (list + used, sizeof list - used, "%s%s", used ? "," : "", item);
    }
    if (count) {
        s_variable (devices[0]->vendor, name, sizeof name);
        fn (arg, name, list);
    }
    if (nvidia)
        fn (arg, "CUDA_VISIBLE_DEVICES", list);
    if (record->mode == UMBP_ISOLATION_HARD)
        s_env_limits (record, count ? devices[0] : NULL, fn, arg);
}
