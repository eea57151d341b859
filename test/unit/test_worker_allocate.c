//  test/unit/test_worker_allocate.c - which worker gets which devices; partitions that fail halfway;
//  any order of all that
#include "actors/worker/allocate.h"
#include "proto/error.h"
#include "proto/splitmix.h"
#include "test/unit/worker.h"

enum { SHARED, SOFT, HARD, PARTED };

static umbp_device_record_t s_device (const char *uuid, const char *vendor, unsigned index)
{
    umbp_device_record_t device = { .index = index,
                                    .memory_bytes = (uint64_t) 16 << 30,
                                    .tflops = 312, .known = true, .partitions = true, .soft = true,
                                    .hard = true, .policy = UMBP_ISOLATION_DYNAMIC };
    snprintf (device.uuid, sizeof device.uuid, "%s", uuid);
    snprintf (device.name, sizeof device.name, "%s", uuid);
    snprintf (device.vendor, sizeof device.vendor, "%s", vendor);
    return device;
}

//  gpu-0 .. gpu-3
static umbp_allocator_t *s_new (umbp_isolation_t policy)
{
    umbp_device_record_t devices[4];
    umbp_allocator_t *allocator = umbp_allocator_new (policy, true);
    for (unsigned index = 0; index < 4; index++) {
        char uuid[16];
        snprintf (uuid, sizeof uuid, "gpu-%u", index);
        devices[index] = s_device (uuid, "NVIDIA", index);
    }
    CU_ASSERT (umbp_allocator_set_devices (allocator, devices, 4) == 0);
    return allocator;
}

//  Devices as a text, "gpu-0 gpu-1"
static int s_claim_with (umbp_allocator_t *self, const char *uid, int mode, const char *devices,
                         const char *template, const umbp_worker_part_t *parts, size_t part_count,
                         char *why)
{
    static char list[UMBP_WORKER_DEVICES_MAX + 1][UMBP_DEVICE_ID_MAX];
    size_t count = 0;
    char text[512];
    snprintf (text, sizeof text, "%s", devices);
    for (char *word = strtok (text, " "); word; word = strtok (NULL, " "))
        snprintf (list[count++], UMBP_DEVICE_ID_MAX, "%s", word);
    umbp_claim_t claim = { .uid = uid,
                           .devices = list,
                           .count = count, .mode = (umbp_isolation_t) mode, .template = template,
                           .parts = parts, .part_count = part_count };
    return umbp_allocator_claim (self, &claim, why, 256);
}

static int s_claim (umbp_allocator_t *self, const char *uid, int mode, const char *devices)
{
    char why[256] = "";
    return s_claim_with (self, uid, mode, devices, mode == PARTED ? "1g.5gb" : "", NULL, 0, why);
}

//  WRK-31: the same again is the same, and holds nothing twice
static void test_again (void)
{
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_DYNAMIC);
    CU_ASSERT (s_claim (self, "a", SOFT, "gpu-0 gpu-1") == 0);
    CU_ASSERT (s_claim (self, "a", SOFT, "gpu-1 gpu-0") == 0);
    CU_ASSERT (umbp_allocator_holds (self) == 1);
    CU_ASSERT (s_claim (self, "a", SOFT, "gpu-0 gpu-2") == UMBP_EEXIST);
    CU_ASSERT (s_claim (self, "a", SOFT, "gpu-0") == UMBP_EEXIST);
    CU_ASSERT (s_claim (self, "a", HARD, "gpu-0 gpu-1") == UMBP_EEXIST);
    CU_ASSERT (umbp_allocator_release (self, "a") == 0);
    CU_ASSERT (umbp_allocator_release (self, "a") == 0);
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_NONE);
    CU_ASSERT (umbp_allocator_holds (self) == 0);
    CU_ASSERT (s_claim (self, "b", HARD, "gpu-0 gpu-1") == 0);
    umbp_allocator_destroy (&self);
}

//  WRK-32: who may join whom on one device
static void test_matrix (void)
{
    static const int may[3][3] = {
        //  [there already][comes]
        { UMBP_EAGAIN, UMBP_EAGAIN, UMBP_EAGAIN },
        { UMBP_EAGAIN, 0, UMBP_EAGAIN },
        { UMBP_EAGAIN, UMBP_EAGAIN, 0 },
    };
    for (int there = SHARED; there <= HARD; there++)
        for (int comes = SHARED; comes <= HARD; comes++) {
            umbp_allocator_t *self = s_new (UMBP_ISOLATION_DYNAMIC);
            CU_ASSERT (s_claim (self, "a", there, "gpu-0") == 0);
            CU_ASSERT (s_claim (self, "b", comes, "gpu-0") == may[there][comes]);
            CU_ASSERT (s_claim (self, "c", comes, "gpu-1") == 0);
            CU_ASSERT (umbp_allocator_release (self, "a") == 0);
            CU_ASSERT (s_claim (self, "d", SHARED, "gpu-0")
                       == (may[there][comes] ? 0 : UMBP_EAGAIN));
            umbp_allocator_destroy (&self);
        }
    for (int policy = SHARED; policy <= PARTED; policy++)
        for (int comes = SHARED; comes <= PARTED; comes++) {
            umbp_allocator_t *self = s_new ((umbp_isolation_t) policy);
            int rc = s_claim (self, "a", comes, "gpu-0");
            CU_ASSERT (rc == (policy != comes ? UMBP_EINVAL : comes == PARTED));
            CU_ASSERT (policy != comes || s_claim (self, "b", comes, "gpu-0") == rc);
            umbp_allocator_destroy (&self);
        }
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_DYNAMIC);
    CU_ASSERT (s_claim (self, "a", PARTED, "gpu-0") == UMBP_EINVAL);
    umbp_allocator_destroy (&self);
}

//  What a device cannot, and limits of its own; a policy of its own goes before the node's
static void test_abilities (void)
{
    umbp_allocator_t *self = umbp_allocator_new (UMBP_ISOLATION_DYNAMIC, true);
    umbp_device_record_t devices[] = { s_device ("plain", "amd", 0), s_device ("few", "amd", 1),
                                       s_device ("own", "amd", 2), s_device ("unknown", "amd", 3) };
    devices[0].soft = devices[0].hard = false;
    devices[1].workers_max = 2;
    devices[2].has_policy = true;
    devices[2].policy = UMBP_ISOLATION_PARTITIONED;
    devices[2].partitions_max = 1;
    devices[3].known = devices[3].soft = devices[3].hard = devices[3].partitions = false;
    umbp_allocator_set_devices (self, devices, 4);
    CU_ASSERT (s_claim (self, "a", SOFT, "plain") == UMBP_ENOTSUP);
    CU_ASSERT (s_claim (self, "a", HARD, "plain") == UMBP_ENOTSUP);
    CU_ASSERT (s_claim (self, "a", SHARED, "plain") == 0);
    CU_ASSERT (s_claim (self, "b", SOFT, "few") == 0);
    CU_ASSERT (s_claim (self, "c", SOFT, "few") == 0);
    CU_ASSERT (s_claim (self, "d", SOFT, "few") == UMBP_EAGAIN);
    CU_ASSERT (s_claim (self, "e", SOFT, "own") == UMBP_EINVAL);
    CU_ASSERT (s_claim (self, "e", PARTED, "own") == 1);
    CU_ASSERT (s_claim (self, "f", PARTED, "own") == UMBP_EAGAIN);
    CU_ASSERT (s_claim (self, "g", SOFT, "unknown") == 0);
    char why[256] = "";
    CU_ASSERT (s_claim_with (self, "h", PARTED, "own", "", NULL, 0, why) == UMBP_EINVAL);
    CU_ASSERT (strstr (why, "PartitionTemplateID") != NULL);
    umbp_allocator_destroy (&self);
    self = umbp_allocator_new (UMBP_ISOLATION_PARTITIONED, false);
    umbp_allocator_set_devices (self, devices, 3);
    CU_ASSERT (s_claim (self, "a", PARTED, "few") == UMBP_ENOTSUP);
    umbp_allocator_destroy (&self);
}

//  D9: one unknown device among others, and nothing is held
static void test_unknown (void)
{
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_DYNAMIC);
    char why[256] = "";
    CU_ASSERT (s_claim_with (self, "a", SOFT, "gpu-0 gpu-9 gpu-1", "", NULL, 0, why)
               == UMBP_ENOENT);
    CU_ASSERT (strstr (why, "gpu-9") != NULL);
    CU_ASSERT (umbp_allocator_holds (self) == 0);
    CU_ASSERT (s_claim (self, "b", HARD, "gpu-0 gpu-1") == 0);
    CU_ASSERT (s_claim (self, "c", SOFT, "") == UMBP_EINVAL);
    char many[512] = "";
    for (unsigned index = 0; index <= UMBP_WORKER_DEVICES_MAX; index++)
        snprintf (many + strlen (many), sizeof many - strlen (many), "gpu-%u ", index);
    CU_ASSERT (s_claim (self, "c", SOFT, many) == UMBP_EINVAL);
    //  A device that goes while it is held stays with its worker, and nobody else gets it
    CU_ASSERT (umbp_allocator_set_devices (self, NULL, 0) == 0);
    CU_ASSERT (umbp_allocator_state (self, "b") == UMBP_HOLD_HELD);
    CU_ASSERT (s_claim (self, "d", HARD, "gpu-0") == UMBP_ENOENT);
    CU_ASSERT (umbp_allocator_release (self, "b") == 0);
    umbp_allocator_destroy (&self);
}

//  A device that is not well is given to nobody, but whoever had it before we started; and one that has it
//  knows that it is lost
static void test_ill (void)
{
    umbp_allocator_t *self = umbp_allocator_new (UMBP_ISOLATION_DYNAMIC, true);
    umbp_device_record_t devices[] = { s_device ("gpu-0", "NVIDIA", 0),
                                       s_device ("gpu-1", "NVIDIA", 1) };
    char why[256] = "";
    umbp_allocator_set_devices (self, devices, 2);
    CU_ASSERT (s_claim (self, "a", SOFT, "gpu-0 gpu-1") == 0);
    CU_ASSERT (!umbp_allocator_lost (self, "a", why, sizeof why));
    snprintf (devices[1].ill, sizeof devices[1].ill, "suspect");
    umbp_allocator_set_devices (self, devices, 2);
    CU_ASSERT (!umbp_allocator_lost (self, "a", why, sizeof why));       //  It may be a slip
    CU_ASSERT (s_claim_with (self, "b", SOFT, "gpu-0 gpu-1", "", NULL, 0, why) == UMBP_EAGAIN);
    CU_ASSERT (strstr (why, "gpu-1: this device is suspect") != NULL);
    CU_ASSERT (s_claim (self, "b", SOFT, "gpu-0") == 0);
    snprintf (devices[1].ill, sizeof devices[1].ill, "failed");
    devices[1].lost = true;
    umbp_allocator_set_devices (self, devices, 2);
    CU_ASSERT (umbp_allocator_lost (self, "a", why, sizeof why) && strstr (why, "failed"));
    CU_ASSERT (!umbp_allocator_lost (self, "b", why, sizeof why));
    umbp_allocator_set_devices (self, devices, 1);
    CU_ASSERT (umbp_allocator_lost (self, "a", why, sizeof why) && strstr (why, "gone"));
    umbp_allocator_set_devices (self, devices, 2);
    char list[1][UMBP_DEVICE_ID_MAX] = { "gpu-1" };
    umbp_claim_t claim = { .uid = "c",
                           .devices = list,
                           .count = 1,
                           .mode = UMBP_ISOLATION_SOFT, .template = "" };
    CU_ASSERT (umbp_allocator_claim (self, &claim, why, sizeof why) == UMBP_EAGAIN);
    claim.keeps = true;
    CU_ASSERT (umbp_allocator_claim (self, &claim, why, sizeof why) == 0);
    umbp_allocator_destroy (&self);
}

//  What workers have, said once for each; of a partition also its device
static void test_uses (void)
{
    umbp_allocator_t *self = umbp_allocator_new (UMBP_ISOLATION_PARTITIONED, true);
    umbp_device_record_t device = s_device ("gpu-0", "NVIDIA", 0);
    umbp_device_use_t uses[UMBP_DEVICE_ROWS_MAX];
    umbp_worker_part_t parts[] = { { "gpu-0", "MIG-A" } };
    char why[256];
    snprintf (device.name, sizeof device.name, "GPU-0");
    umbp_allocator_set_devices (self, &device, 1);
    CU_ASSERT (umbp_allocator_uses (self, uses) == 0);
    uint64_t changes = umbp_allocator_changes (self);
    CU_ASSERT (s_claim_with (self, "a", PARTED, "gpu-0", "t", parts, 1, why) == 0);
    CU_ASSERT (s_claim_with (self, "b", PARTED, "gpu-0", "t", NULL, 0, why) == 1);
    CU_ASSERT (umbp_allocator_changes (self) != changes);
    CU_ASSERT_FATAL (umbp_allocator_uses (self, uses) == 2);
    CU_ASSERT (streq (uses[0].uuid, "gpu-0") && streq (uses[0].name, "GPU-0")
               && uses[0].workers == 2);
    CU_ASSERT (streq (uses[1].uuid, "mig-a") && streq (uses[1].name, "MIG-A")
               && uses[1].workers == 1);
    CU_ASSERT (streq (uses[1].parent, "gpu-0") && !*uses[0].parent);
    changes = umbp_allocator_changes (self);
    CU_ASSERT (umbp_allocator_release (self, "a") == 1);
    CU_ASSERT (umbp_allocator_changes (self) != changes);
    CU_ASSERT (umbp_allocator_uses (self, uses) == 1);  //  Nobody has it once it goes back
    umbp_allocator_destroy (&self);
}

//  ------------------------------------------------------------------------------------------------
//  Partitions

//  A driver that cannot take one back now is asked again; what it does not know any more is back
static void test_passing (void)
{
    static const int passing[] = { UMBP_EAGAIN, UMBP_EUNREACH, UMBP_ETIMEDOUT };
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_PARTITIONED);
    umbp_device_job_t job;
    umbp_worker_part_t parts[UMBP_WORKER_DEVICES_MAX];
    char uid[UMBP_NAME_MAX + 1];
    int err = 0;
    CU_ASSERT (s_claim (self, "a", PARTED, "gpu-0") == 1);
    CU_ASSERT_FATAL (umbp_allocator_next (self, &job));
    CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "part", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_release (self, "a") == 1);
    for (size_t index = 0; index < sizeof passing / sizeof *passing; index++) {
        CU_ASSERT (umbp_allocator_parts (self, "a", parts) == 1);        //  Not forgotten
        CU_ASSERT_FATAL (umbp_allocator_next (self, &job) && job.join);
        CU_ASSERT (umbp_allocator_done (self, job.ticket, passing[index], "", uid, &err) == 0);
        CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_UNDOING);
    }
    CU_ASSERT_FATAL (umbp_allocator_next (self, &job) && job.join);
    CU_ASSERT (umbp_allocator_done (self, job.ticket, UMBP_ENOENT, "", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_NONE);
    CU_ASSERT (umbp_allocator_leaked (self) == 0);
    umbp_allocator_destroy (&self);
}

//  Whatever the second of three does, none of them is left
static void test_rollback (void)
{
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_PARTITIONED);
    umbp_device_job_t jobs[3], job;
    char uid[UMBP_NAME_MAX + 1];
    int err;
    CU_ASSERT (s_claim (self, "a", PARTED, "gpu-0 gpu-1 gpu-2") == 1);
    for (size_t index = 0; index < 3; index++)
        CU_ASSERT (umbp_allocator_next (self, &jobs[index]) && !jobs[index].join);
    CU_ASSERT (!umbp_allocator_next (self, &job));
    CU_ASSERT (streq (jobs[0].device, "gpu-0") && streq (jobs[0].template, "1g.5gb"));
    CU_ASSERT (umbp_allocator_done (self, jobs[0].ticket, 0, "part-0", uid, &err) == 0 && !err);
    CU_ASSERT (umbp_allocator_done (self, jobs[1].ticket, UMBP_EIO, "", uid, &err) == 0);
    CU_ASSERT (err == UMBP_EIO && streq (uid, "a"));
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_UNDOING);
    CU_ASSERT (s_claim (self, "a", PARTED, "gpu-0 gpu-1 gpu-2") == UMBP_EEXIST);
    CU_ASSERT (umbp_allocator_next (self, &job) && job.join && streq (job.partition, "part-0"));
    CU_ASSERT (!umbp_allocator_next (self, &jobs[1]));  //  The third is not there yet
    CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "", uid, &err) == UMBP_ENOENT);
    CU_ASSERT (umbp_allocator_done (self, jobs[2].ticket, 0, "part-2", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_next (self, &job) && job.join && streq (job.partition, "part-2"));
    CU_ASSERT (umbp_allocator_done (self, job.ticket, UMBP_EIO, "", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_NONE);
    CU_ASSERT (umbp_allocator_leaked (self) == 1);
    CU_ASSERT (s_claim (self, "b", PARTED, "gpu-0") == 1);
    //  A partition without a name is none
    CU_ASSERT (umbp_allocator_next (self, &job));
    CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "", uid, &err) == 0);
    CU_ASSERT (err == UMBP_EPROTO && umbp_allocator_state (self, "b") == UMBP_HOLD_NONE);
    umbp_allocator_destroy (&self);
}

//  After a restart: a partition that the record names is not made again, and goes once
static void test_recover (void)
{
    umbp_allocator_t *self = s_new (UMBP_ISOLATION_PARTITIONED);
    umbp_worker_part_t parts[UMBP_WORKER_DEVICES_MAX] = { { "gpu-0", "old-0" } };
    umbp_device_job_t job;
    char uid[UMBP_NAME_MAX + 1], why[256];
    int err;
    CU_ASSERT (s_claim_with (self, "a", PARTED, "gpu-0 gpu-1", "t", parts, 1, why) == 1);
    CU_ASSERT (umbp_allocator_next (self, &job) && streq (job.device, "gpu-1"));
    CU_ASSERT (!umbp_allocator_next (self, &job));
    CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "new-1", uid, &err) == 0);
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_HELD);
    CU_ASSERT (umbp_allocator_parts (self, "a", parts) == 2);
    CU_ASSERT (streq (parts[0].partition, "old-0") && streq (parts[1].partition, "new-1"));
    CU_ASSERT (umbp_allocator_release (self, "a") == 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        CU_ASSERT (umbp_allocator_next (self, &job) && job.join);
        CU_ASSERT (umbp_allocator_done (self, job.ticket, 0, "", uid, &err) == 0);
    }
    CU_ASSERT (!umbp_allocator_next (self, &job));
    CU_ASSERT (umbp_allocator_state (self, "a") == UMBP_HOLD_NONE);
    umbp_allocator_destroy (&self);
}

//  I-19. Whatever happens in whatever order: modes do not mix on a device, a shared worker is alone, each
//  partition that was made is taken back exactly once, or belongs to one that holds.
#define ROUNDS 20000
#define WORKERS 12
#define OPEN_MAX 64

typedef struct {
    umbp_allocator_t *self;
    uint64_t state;
    umbp_device_job_t open[OPEN_MAX];
    size_t open_count;
    uint64_t made, joined;
    struct {
        int mode;
        bool devices[4];
    } wants[WORKERS];
} game_t;

static unsigned s_draw (game_t *game, unsigned below)
{
    return (unsigned) (umbp_splitmix (&game->state) % below);
}

static void s_play_claim (game_t *game)
{
    unsigned worker = s_draw (game, WORKERS), bits = 1 + s_draw (game, 15);
    char uid[16], devices[64] = "", why[256];
    snprintf (uid, sizeof uid, "w-%u", worker);
    int mode = (int) s_draw (game, 4);
    for (unsigned index = 0; index < 4; index++)
        if (bits & 1u << index)
            snprintf (devices + strlen (devices), 16, "gpu-%u ", index);
    bool held = umbp_allocator_state (game->self, uid) != UMBP_HOLD_NONE;
    int rc = s_claim_with (game->self, uid, mode, devices, "t", NULL, 0, why);
    if (held || rc < 0)
        return;
    game->wants[worker].mode = mode;
    for (unsigned index = 0; index < 4; index++)
        game->wants[worker].devices[index] = bits & 1u << index;
}

static void s_play_answer (game_t *game)
{
    char uid[UMBP_NAME_MAX + 1], part[32];
    int err;
    if (game->open_count == 0)
        return;
    size_t at = s_draw (game, (unsigned) game->open_count);
    umbp_device_job_t job = game->open[at];
    game->open[at] = game->open[--game->open_count];
    int status = s_draw (game, 4) == 0 ? UMBP_EIO : 0;
    if (!job.join && status == 0)
        game->made++;
    game->joined += job.join;
    snprintf (part, sizeof part, "part-%llu", (unsigned long long) game->made);
    CU_ASSERT (umbp_allocator_done (game->self, job.ticket, status, part, uid, &err) == 0);
    CU_ASSERT (umbp_allocator_done (game->self, job.ticket, 0, part, uid, &err) == UMBP_ENOENT);
}

static void s_check_game (game_t *game, bool dynamic)
{
    umbp_worker_part_t parts[UMBP_WORKER_DEVICES_MAX];
    for (unsigned device = 0; device < 4; device++) {
        int mode = -1, count = 0;
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            char uid[16];
            snprintf (uid, sizeof uid, "w-%u", worker);
            if (!game->wants[worker].devices[device]
                || umbp_allocator_state (game->self, uid) == UMBP_HOLD_NONE)
                continue;
            count++;
            CU_ASSERT (!dynamic || mode == -1 || mode == game->wants[worker].mode);
            mode = game->wants[worker].mode;
        }
        CU_ASSERT (!dynamic || mode != SHARED || count == 1);
    }
    uint64_t held = 0;
    for (unsigned worker = 0; worker < WORKERS && game->open_count == 0; worker++) {
        char uid[16];
        snprintf (uid, sizeof uid, "w-%u", worker);
        held += umbp_allocator_parts (game->self, uid, parts);
    }
    if (game->open_count == 0)
        CU_ASSERT (game->made == game->joined + held);
}

static void s_play (umbp_isolation_t policy, uint64_t seed)
{
    game_t game = { .self = s_new (policy), .state = seed };
    unsigned failures = CU_get_number_of_failures ();
    for (unsigned round = 0; round < ROUNDS && CU_get_number_of_failures () == failures; round++) {
        char uid[16];
        switch (s_draw (&game, 4)) {
        case 0: s_play_claim (&game); break;
        case 1:
            snprintf (uid, sizeof uid, "w-%u", s_draw (&game, WORKERS));
            umbp_allocator_release (game.self, uid);
            break;
        default: s_play_answer (&game); break;
        }
        while (game.open_count < OPEN_MAX
               && umbp_allocator_next (game.self, &game.open[game.open_count]))
            game.open_count++;
        s_check_game (&game, policy == UMBP_ISOLATION_DYNAMIC);
    }
    //  The end: all is given back
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        char uid[16];
        snprintf (uid, sizeof uid, "w-%u", worker);
        umbp_allocator_release (game.self, uid);
    }
    for (unsigned left = 0; left < 1000; left++) {
        while (umbp_allocator_next (game.self, &game.open[game.open_count]))
            game.open_count++;
        s_play_answer (&game);
    }
    CU_ASSERT (umbp_allocator_holds (game.self) == 0 && game.made == game.joined);
    CU_ASSERT (policy != UMBP_ISOLATION_PARTITIONED || game.made > 0);
    umbp_allocator_destroy (&game.self);
}

static void test_any_order (void)
{
    const char *given = getenv ("SEED");
    uint64_t seed = given ? strtoull (given, NULL, 0) : (uint64_t) zclock_usecs ();
    printf ("seed %llu ", (unsigned long long) seed);
    s_play (UMBP_ISOLATION_DYNAMIC, seed);
    s_play (UMBP_ISOLATION_PARTITIONED, seed);
}

//  ------------------------------------------------------------------------------------------------
//  WRK-39: what the process is told

static void s_note (void *arg, const char *name, const char *value)
{
    char *text = arg;
    snprintf (text + strlen (text), 1024 - strlen (text), "%s=%s\n", name, value);
}

static void test_environment (void)
{
    umbp_allocator_t *self = umbp_allocator_new (UMBP_ISOLATION_DYNAMIC, true);
    umbp_device_record_t devices[] = {
        s_device ("gpu-bb", "NVIDIA", 1), s_device ("gpu-aa", "nvidia", 0),
        s_device ("amd-gpu-1", "AMD", 3), s_device ("amd-gpu-0", "AMD", 2),
        s_device ("npu", "as-cend", 0),   s_device ("gpu-cc", "NVIDIA", 4),
    };
    devices[5].has_policy = true;
    devices[5].policy = UMBP_ISOLATION_PARTITIONED;
    umbp_allocator_set_devices (self, devices, 6);
    umbp_worker_record_t record = { .uid = "n", .mode = UMBP_ISOLATION_SOFT };
    char text[1024] = "";
    CU_ASSERT (s_claim (self, "n", SOFT, "gpu-bb gpu-aa") == 0);
    umbp_allocator_env (self, &record, s_note, text);
    CU_ASSERT_STRING_EQUAL (text, "NVIDIA_VISIBLE_DEVICES=GPU-aa,GPU-bb\n"
                                  "CUDA_VISIBLE_DEVICES=GPU-aa,GPU-bb\n");
    snprintf (record.uid, sizeof record.uid, "a");
    CU_ASSERT (s_claim (self, "a", SOFT, "amd-gpu-1 amd-gpu-0") == 0);
    *text = 0;
    umbp_allocator_env (self, &record, s_note, text);
    CU_ASSERT_STRING_EQUAL (text, "ROCR_VISIBLE_DEVICES=2,3\n");
    snprintf (record.uid, sizeof record.uid, "h");
    record.mode = UMBP_ISOLATION_HARD;
    CU_ASSERT (s_claim (self, "h", HARD, "npu") == 0);
    static const struct {
        double tflops;
        const char *says;
    } s_limits[] = { { 0, "=100\n" },
                     { 78, "=25\n" },
                     { 78.1, "=26\n" },
                     { 0.001, "=1\n" },
                     { 1000, "=100\n" } };
    for (size_t index = 0; index < sizeof s_limits / sizeof *s_limits; index++) {
        *text = 0;
        record.tflops_limit = s_limits[index].tflops;
        record.vram_limit = (uint64_t) 24 << 30;
        umbp_allocator_env (self, &record, s_note, text);
        CU_ASSERT (strstr (text, "AS_CEND_VISIBLE_DEVICES=0\n") == text);
        const char *at = strstr (text, "TF_CUDA_SM_PERCENT_LIMIT");
        CU_ASSERT (at
                   && strncmp (at + 24, s_limits[index].says, strlen (s_limits[index].says)) == 0);
        CU_ASSERT (strstr (text, "TF_CUDA_MEMORY_LIMIT=24576\n") != NULL);
    }
    umbp_worker_part_t part = { "gpu-cc", "mig-1234" };
    char why[256];
    snprintf (record.uid, sizeof record.uid, "p");
    record.mode = UMBP_ISOLATION_PARTITIONED;
    CU_ASSERT (s_claim_with (self, "p", PARTED, "gpu-cc", "t", &part, 1, why) == 0);
    *text = 0;
    umbp_allocator_env (self, &record, s_note, text);
    CU_ASSERT (strstr (text, "NVIDIA_VISIBLE_DEVICES=MIG-1234\n") == text);
    umbp_allocator_destroy (&self);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker_allocate", NULL, NULL);
    CU_ADD_TEST (suite, test_again);
    CU_ADD_TEST (suite, test_matrix);
    CU_ADD_TEST (suite, test_abilities);
    CU_ADD_TEST (suite, test_unknown);
    CU_ADD_TEST (suite, test_ill);
    CU_ADD_TEST (suite, test_uses);
    CU_ADD_TEST (suite, test_passing);
    CU_ADD_TEST (suite, test_rollback);
    CU_ADD_TEST (suite, test_recover);
    CU_ADD_TEST (suite, test_any_order);
    CU_ADD_TEST (suite, test_environment);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
