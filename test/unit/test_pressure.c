//  test/unit/test_pressure.c - how the pressure actor hears of the host: the kernel's triggers, and what they say when they
//  cannot be had, the files of cgroups, and the actor with a tier that the test plays
#include <CUnit/Basic.h>
#include <czmq.h>
#include <fcntl.h>
#include <poll.h>

#include "actors/pressure.h"
#include "actors/pressure/cgroup.h"
#include "actors/pressure/psi.h"
#include "cluster/quotas.h"
#include "cluster/topology.h"
#include "proto/error.h"
#include "proto/splitmix.h"
#include "test/unit/peer.h"

//  ------------------------------------------------------------------------------------------------
//  PRS-04: triggers

static void test_trigger_that_cannot_be_had (void)
{
    unsigned window_us = 0;
    CU_ASSERT_EQUAL (umbp_psi_open ("/proc/pressure/no such", false, 75, &window_us), UMBP_ENOENT);
    //  A file of another kind: what is written there is no trigger
    CU_ASSERT (umbp_psi_open ("/proc/self/mem", false, 75, &window_us) < 0);
    //  More than the window
    int rc = umbp_psi_open ("/proc/pressure/memory", false, 1001, &window_us);
    CU_ASSERT (rc < 0);
    CU_ASSERT_EQUAL (window_us, 0);
}

//  What the kernel says of a descriptor on which no trigger was registered is a false alarm, and is known as such
static void test_error_is_no_alarm (void)
{
    CU_ASSERT_EQUAL (umbp_psi_event (POLLPRI | POLLERR), UMBP_ECLOSED);
    CU_ASSERT_EQUAL (umbp_psi_event (POLLERR), UMBP_ECLOSED);
    CU_ASSERT_EQUAL (umbp_psi_event (POLLPRI), 1);
    CU_ASSERT_EQUAL (umbp_psi_event (0), 0);
    int fd = open ("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        printf ("(no /proc/pressure/memory: only the words were tested) ");
        return;
    }
    struct pollfd item = { .fd = fd, .events = POLLPRI };
    CU_ASSERT (write (fd, "some 3000000 2000000", 21) == -1);   //  Threshold above the window
    CU_ASSERT_EQUAL (poll (&item, 1, 0), 1);
    CU_ASSERT_EQUAL (umbp_psi_event (item.revents), UMBP_ECLOSED);
    close (fd);
}

//  The window that the kernel takes is 1 s for the privileged, else 2 s
static void test_trigger_of_the_kernel (void)
{
    unsigned window_us = 0;
    int fd = umbp_psi_open ("/proc/pressure/memory", false, 75, &window_us);
    if (fd < 0) {
        printf ("(no trigger here: %s) ", umbp_errname (fd));
        CU_ASSERT (fd == UMBP_ENOENT || fd == UMBP_EDENIED || fd == UMBP_EINVAL);
        return;
    }
    printf ("(window %u us) ", window_us);
    CU_ASSERT (window_us == 1000000 || window_us == 2000000);
    struct pollfd item = { .fd = fd, .events = POLLPRI };
    poll (&item, 1, 0);
    CU_ASSERT (umbp_psi_event (item.revents) >= 0);  //  Perhaps pressure, but no error
    close (fd);
}

static void test_meter (void)
{
    umbp_psi_meter_t meter = { .count = 0 };
    unsigned some, full;
    int64_t now = 0;
    umbp_psi_meter_add (&meter, now, 1000, 500, &some, &full);
    CU_ASSERT (some == 0 && full == 0); //  Lost before we came
    umbp_psi_meter_add (&meter, now += 250000, 101000, 500, &some, &full);
    CU_ASSERT (some == 50 && full == 0);         //  100 ms of 2 s
    for (int step = 0; step < 7; step++)
        umbp_psi_meter_add (&meter, now += 250000, 101000, 500, &some, &full);
    CU_ASSERT_EQUAL (some, 50);
    umbp_psi_meter_add (&meter, now += 250000, 101000, 500, &some, &full);
    CU_ASSERT_EQUAL (some, 0);          //  More than a window ago
    for (int step = 0; step < 1000; step++)      //  Sampled much too often: the ring is bounded
        umbp_psi_meter_add (&meter, now += 1000, 101000, 500, &some, &full);
    CU_ASSERT (meter.count <= UMBP_PSI_SAMPLES);
}

//  ------------------------------------------------------------------------------------------------
//  cgroups, of both versions, as files

static void s_write (const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf (path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen (path, "w");
    CU_ASSERT_FATAL (file != NULL);
    fputs (text, file);
    fclose (file);
}

static void s_remove (const char *folder)
{
    static const char *const names[] = {
        "memory.max",     "memory.current",    "memory.high",           "memory.stat",
        "memory.events",  "memory.pressure",   "memory.limit_in_bytes", "memory.usage_in_bytes",
        "memory.failcnt", "memory.oom_control"
    };
    char path[512];
    for (size_t index = 0; index < COUNT_OF (names); index++) {
        snprintf (path, sizeof path, "%s/%s", folder, names[index]);
        unlink (path);
    }
    rmdir (folder);
}

static void test_cgroup_two (void)
{
    char folder[] = "/tmp/umbp-cgroup-XXXXXX";
    CU_ASSERT_FATAL (mkdtemp (folder) != NULL);
    umbp_cgroup_t cgroup;
    umbp_memory_t memory;
    CU_ASSERT_EQUAL (umbp_cgroup_find (&cgroup, folder), UMBP_ENOENT);
    s_write (folder, "memory.max", "1000000\n");
    s_write (folder, "memory.high", "max\n");
    s_write (folder, "memory.current", "700000\n");
    s_write (folder, "memory.stat", "anon 5\ninactive_file 100000\nactive_file 50000\n");
    s_write (folder, "memory.events", "low 0\nhigh 3\nmax 4\noom 1\noom_kill 2\n");
    s_write (folder, "memory.pressure",
             "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n"
             "full avg10=0.00 avg60=0.00 avg300=0.00 total=33\n");
    CU_ASSERT_EQUAL (umbp_cgroup_find (&cgroup, folder), 0);
    CU_ASSERT_EQUAL (cgroup.version, 2);
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT (memory.limit == 1000000 && memory.used == 550000);
    CU_ASSERT (memory.high == 3 && memory.max == 4 && memory.oom_kills == 2);
    CU_ASSERT_EQUAL (umbp_memory_available (&memory), 450);
    CU_ASSERT_EQUAL (umbp_memory_missing (&memory, 500), 50000);
    CU_ASSERT_EQUAL (umbp_memory_missing (&memory, 1), 0);
    uint64_t some, full;
    CU_ASSERT_EQUAL (umbp_psi_read (cgroup.psi, &some, &full), 0);
    CU_ASSERT (some == 77 && full == 33);
    s_write (folder, "memory.high", "600000\n");
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT_EQUAL (memory.limit, 600000);
    s_write (folder, "memory.current", "900000\n");  //  Over it: nothing is left
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT_EQUAL (umbp_memory_available (&memory), 0);
    s_write (folder, "memory.pressure", "nonsense\n");
    CU_ASSERT_EQUAL (umbp_psi_read (cgroup.psi, &some, &full), UMBP_EPROTO);
    s_remove (folder);
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), UMBP_ENOENT);
}

static void test_cgroup_one (void)
{
    char folder[] = "/tmp/umbp-cgroup-XXXXXX";
    CU_ASSERT_FATAL (mkdtemp (folder) != NULL);
    umbp_cgroup_t cgroup;
    umbp_memory_t memory;
    s_write (folder, "memory.limit_in_bytes", "9223372036854771712\n");
    s_write (folder, "memory.usage_in_bytes", "700000\n");
    s_write (
        folder, "memory.stat",
        "hierarchical_memory_limit 2000000\ntotal_inactive_file 60000\ntotal_active_file 40000\n");
    s_write (folder, "memory.failcnt", "12\n");
    s_write (folder, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
    CU_ASSERT_EQUAL (umbp_cgroup_find (&cgroup, folder), 0);
    CU_ASSERT_EQUAL (cgroup.version, 1);
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT (memory.limit == 2000000 && memory.used == 600000);        //  That of a folder above
    CU_ASSERT (memory.max == 12 && memory.oom_kills == 5);
    CU_ASSERT (umbp_memory_available (&memory) <= 700);
    s_write (folder, "memory.stat", "hierarchical_memory_limit 9223372036854771712\n");
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT_EQUAL (memory.limit, UINT64_MAX);
    s_remove (folder);
}

//  Our own, whatever it is here
static void test_cgroup_own (void)
{
    umbp_cgroup_t cgroup;
    umbp_memory_t memory;
    CU_ASSERT_EQUAL (umbp_cgroup_find (&cgroup, NULL), 0);
    printf ("(version %d: %s) ", cgroup.version, cgroup.folder);
    CU_ASSERT_EQUAL (umbp_cgroup_read (&cgroup, &memory), 0);
    CU_ASSERT (memory.host_total > 0 && memory.host_available <= memory.host_total);
    CU_ASSERT (umbp_memory_available (&memory) <= 1000);
}

//  ------------------------------------------------------------------------------------------------
//  The actor, with a tier that the test plays, in a cgroup made of files

typedef struct {
    zactor_t *actor;
    asker_t peer;
    asked_t tier;
    char folder[64], psi[96];
} actor_t;

//  memory.pressure is a folder: it can neither be read nor written
static void s_actor_start (actor_t *self, umbp_pressure_mode_t mode)
{
    static int number;
    char instance[32];
    umbp_home_t home;
    snprintf (instance, sizeof instance, "pressure-%d", number++);
    snprintf (self->folder, sizeof self->folder, "/tmp/umbp-cgroup-XXXXXX");
    CU_ASSERT_FATAL (mkdtemp (self->folder) != NULL);
    s_write (self->folder, "memory.max", "1000000000\n");
    s_write (self->folder, "memory.current", "100000000\n");
    snprintf (self->psi, sizeof self->psi, "%s/memory.pressure", self->folder);
    CU_ASSERT_EQUAL (mkdir (self->psi, 0700), 0);
    umbp_pressure_args_t args = { .home = home_of (&home, instance, "a"),
                                  .mode = mode, .cgroup = self->folder };
    umbp_level_marks_init (&args.marks);
    for (size_t level = 0; level < UMBP_LEVEL_MAX; level++)
        args.marks.available[level] = 0;         //  The host of this test may be short of memory
    args.marks.rise_ms = args.marks.fall_ms = 0;
    asked_start (&self->tier, instance, "tier:dram");
    self->actor = umbp_pressure_new (&args);
    CU_ASSERT_FATAL (self->actor != NULL);
    asker_start (&self->peer, instance, "pressure");
}

static void s_actor_stop (actor_t *self)
{
    asker_end (&self->peer);
    zactor_destroy (&self->actor);
    asked_end (&self->tier);
    rmdir (self->psi);
    s_remove (self->folder);
}

static void s_answer_usage (actor_t *self, uint64_t used)
{
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_usage_ok, 0);
    answer.usage_ok.total = answer.usage_ok.made = 1000;
    answer.usage_ok.used = used;
    asked_answer (&self->tier, &answer, NULL, 0);
}

//  Answer so many questions of the actor about the use of its tier. Returns how often it told a level.
static int s_serve_tier (actor_t *self, int rounds, uint64_t used, uint64_t *told)
{
    int levels = 0;
    for (int64_t end = zclock_mono () + PEER_MS; rounds > 0 && zclock_mono () < end;) {
        if (!asked_hear (&self->tier, 100))
            continue;
        if (self->tier.msg.type == UMBP_MSG_relax) {
            levels++;
            *told = self->tier.msg.relax.level;
        } else if (self->tier.msg.type == UMBP_MSG_usage) {
            rounds--;
            s_answer_usage (self, used);
        }
    }
    CU_ASSERT_EQUAL (rounds, 0);
    return levels;
}

//  PRS-04: where PSI can neither be read nor watched, that raises nothing, and the other signals count
static void test_no_alarm_without_psi (void)
{
    actor_t self;
    uint64_t told = 0;
    s_actor_start (&self, UMBP_PRESSURE_OBSERVE);
    CU_ASSERT_EQUAL (s_serve_tier (&self, 6, 100, &told), 0);
    CU_ASSERT_EQUAL (asker_gauge (&self.peer, "triggers"), 0);
    CU_ASSERT_EQUAL (asker_gauge (&self.peer, "level"), 0);
    CU_ASSERT (s_serve_tier (&self, 3, 910, &told) > 0);
    CU_ASSERT_EQUAL (told, 2);
    CU_ASSERT_EQUAL (asker_gauge (&self.peer, "level"), 2);
    s_actor_stop (&self);
}

//  A device of this node says how full it is; a tier that does not answer holds nothing up
static void test_device_and_silent_tier (void)
{
    actor_t self;
    s_actor_start (&self, UMBP_PRESSURE_OBSERVE);
    umbp_msg_t msg;
    umbp_msg_init (&msg, UMBP_MSG_capacity, 0);
    msg.capacity.tier = UMBP_TIER_HBM;
    msg.capacity.total = 1000;
    msg.capacity.used = 960;
    asker_say (&self.peer, &msg, NULL, 0, 0);
    asker_wait (&self.peer, "level", 3);
    msg.capacity.used = 100;
    asker_say (&self.peer, &msg, NULL, 0, 0);
    asker_wait_down (&self.peer, "level", 2);
    asker_wait (&self.peer, "unheard", 1);       //  The tier
    s_actor_stop (&self);
}

static void test_wrong_cgroup (void)
{
    umbp_home_t home;
    umbp_pressure_args_t args = { .home = home_of (&home, "pressure-wrong", "a"),
                                  .mode = UMBP_PRESSURE_OBSERVE, .cgroup = "/tmp" };
    umbp_level_marks_init (&args.marks);
    CU_ASSERT_PTR_NULL (umbp_pressure_new (&args));
}

int main (void)
{
    alarm (120);
    zsys_init ();
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("pressure", NULL, NULL);
    CU_ADD_TEST (suite, test_trigger_that_cannot_be_had);
    CU_ADD_TEST (suite, test_error_is_no_alarm);
    CU_ADD_TEST (suite, test_trigger_of_the_kernel);
    CU_ADD_TEST (suite, test_meter);
    CU_ADD_TEST (suite, test_cgroup_two);
    CU_ADD_TEST (suite, test_cgroup_one);
    CU_ADD_TEST (suite, test_cgroup_own);
    CU_ADD_TEST (suite, test_no_alarm_without_psi);
    CU_ADD_TEST (suite, test_device_and_silent_tier);
    CU_ADD_TEST (suite, test_wrong_cgroup);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
