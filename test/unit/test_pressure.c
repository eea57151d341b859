//  test/unit/test_pressure.c - levels and the ladder by themselves: what the signals of a script make of them,
//  the order of steps and victims, and what the kernel's triggers say when they cannot be had
#include <CUnit/Basic.h>
#include <czmq.h>
#include <fcntl.h>
#include <poll.h>

#include "actors/pressure.h"
#include "actors/pressure/cgroup.h"
#include "actors/pressure/ladder.h"
#include "actors/pressure/psi.h"
#include "cluster/quotas.h"
#include "cluster/topology.h"
#include "proto/error.h"
#include "proto/splitmix.h"
#include "test/unit/peer.h"

//  ------------------------------------------------------------------------------------------------
//  Marks

static void test_marks_are_read (void)
{
    static const struct {
        const char *text;
        int rc;
        unsigned marks[4];
    } cases[] = {
        { "85,90,95,98", 0, { 850, 900, 950, 980 } },
        { "7.5,15", 0, { 75, 150, 0, 0 } },
        { "-,-,5,20", 0, { 0, 0, 50, 200 } },
        { "100", 0, { 1000, 0, 0, 0 } },
        { "-", 0, { 0, 0, 0, 0 } },
        { "", UMBP_EINVAL, { 0 } },
        { "85,", UMBP_EINVAL, { 0 } },
        { "100.1", UMBP_EINVAL, { 0 } },
        { "101", UMBP_EINVAL, { 0 } },
        { "1,2,3,4,5", UMBP_EINVAL, { 0 } },
        { "99999999999999999999", UMBP_EINVAL, { 0 } },
        { "7.55", UMBP_EINVAL, { 0 } },
        { "a", UMBP_EINVAL, { 0 } },
    };
    for (size_t index = 0; index < COUNT_OF (cases); index++) {
        unsigned marks[4] = { 1, 1, 1, 1 };
        CU_ASSERT_EQUAL (umbp_level_marks_read (cases[index].text, marks), cases[index].rc);
        for (size_t level = 0; level < 4; level++)
            CU_ASSERT_EQUAL (marks[level], cases[index].rc ? 1 : cases[index].marks[level]);
    }
}

static void test_marks_make_sense (void)
{
    umbp_level_marks_t marks;
    const char *why;
    umbp_level_marks_init (&marks);
    CU_ASSERT_EQUAL (umbp_level_marks_check (&marks, &why), 0);
    marks.tier_leave[1] = 910;          //  Above where it is entered
    CU_ASSERT_EQUAL (umbp_level_marks_check (&marks, &why), UMBP_EINVAL);
    umbp_level_marks_init (&marks);
    marks.available[2] = 80;            //  More than for level 2
    CU_ASSERT_EQUAL (umbp_level_marks_check (&marks, &why), UMBP_EINVAL);
    CU_ASSERT_PTR_NOT_NULL (strstr (why, "available"));
    umbp_level_marks_init (&marks);
    marks.tier_enter[3] = 0;            //  A mark to leave alone
    CU_ASSERT_EQUAL (umbp_level_marks_check (&marks, &why), UMBP_EINVAL);
}

//  ------------------------------------------------------------------------------------------------
//  PRS-01: a script of signals gives exactly these levels

//  "+MS what=value ...": so much later; what is not said stays. At the end the level that has to come of it.
static const char *const s_script[] = {
    "+0 dram=500 avail=600 = 0",
    "+250 dram=849 = 0",
    "+250 dram=850 = 0",                //  The mark of level 1, for less than a second
    "+750 = 0",
    "+250 = 1",                         //  A second
    "+250 dram=849 = 1",                //  Below the mark, above the one to leave
    "+9000 = 1",
    "+250 dram=799 = 1",
    "+4750 = 1",
    "+250 dram=800 = 1",                //  Once more at the mark: all begins anew
    "+250 dram=799 = 1",
    "+4750 = 1",
    "+250 = 0",                         //  5 s
    "+250 dram=990 = 0",                //  From nothing to level 4, without those between
    "+750 = 0",
    "+250 = 4",
    "+250 dram=400 = 4",
    "+4750 = 4",
    "+250 = 3",                         //  And down one by one, 5 s each
    "+4750 = 3",
    "+250 = 2",
    "+2000 dram=930 = 2",               //  Up to 2 again: it is that already
    "+2000 = 2",
    "+250 dram=100 = 2",
    "+5000 = 1",
    "+5000 = 0",
    "+250 some=80 = 0",                 //  Tasks stand still: 8 % of 2 s
    "+1000 = 1",
    "+250 some=0 = 1",
    "+5000 = 1",                        //  Level 1 waits for 10 s of quiet
    "+4500 = 1",
    "+500 = 1",                         //  ... and 5 s after that
    "+5000 = 0",
    "+250 some=149 full=49 = 0",
    "+1000 = 1",
    "+250 full=50 = 1",                 //  All tasks, 5 %: critical
    "+1000 = 3",
    "+250 full=200 = 3",
    "+1000 = 4",
    "+250 some=0 full=0 = 4",
    "+5000 = 3",
    "+5000 = 2",
    "+5000 = 1",
    "+5000 = 0",
    "+250 avail=99 = 0",                //  Less than 10 % left
    "+1000 = 1",
    "+250 avail=69 = 1",
    "+1000 = 2",
    "+250 avail=39 = 2",
    "+1000 = 3",
    "+250 avail=49 = 3",                //  Not enough to leave level 3: 40 and 10 are
    "+6000 = 3",
    "+250 avail=50 = 3",
    "+5000 = 2",
    "+250 max=1 = 2",                   //  The limit was hit, but 5 % are left: page cache
    "+1000 = 2",
    "+250 avail=30 max=2 = 2",
    "+1000 = 4",                        //  ... now it is serious
    "+1250 = 4",                        //  2 s later that is over
    "+250 avail=600 = 4",
    "+5000 = 3",
    "+5000 = 2",
    "+5000 = 1",
    "+5000 = 0",
    "+250 high=7 = 0",                  //  memory.high was passed
    "+1000 = 2",
    "+1000 = 2",                        //  Not again
    "+4750 = 2",
    "+250 = 1",
    "+5000 = 0",
    "+250 failed=1 = 0",
    "+1000 = 4",
    "+250 failed=0 = 4",
    "+20000 = 3",                       //  However long nobody looked: one level at a time
    "+5000 = 2",
    "+250 hbm=960 = 2",                 //  A device, with what others have there
    "+1000 = 3",
    "+250 hbm=0 = 3",
    "+5000 = 2",
    "+5000 = 1",
    "+5000 = 0",
};

static void s_set_signal (umbp_signals_t *signals, const char *what, unsigned value)
{
    static const char *const names[] = { "dram", "avail", "some",   "full",
                                         "high", "max",   "failed", "hbm" };
    size_t index = 0;
    while (index < COUNT_OF (names) && strneq (names[index], what))
        index++;
    switch (index) {
    case 0: signals->tiers[UMBP_TIER_DRAM] = value; break;
    case 1: signals->available = value; break;
    case 2: signals->some = value; break;
    case 3: signals->full = value; break;
    case 4: signals->high = value; break;
    case 5: signals->max = value; break;
    case 6: signals->failed = value; break;
    case 7: signals->tiers[UMBP_TIER_HBM] = value; break;
    default: CU_FAIL_FATAL ("the script says something unknown");
    }
}

static void test_script_of_levels (void)
{
    umbp_level_marks_t marks;
    umbp_level_marks_init (&marks);
    umbp_level_t *level = umbp_level_new (&marks);
    umbp_signals_t signals = { .available = 1000 };
    int64_t now = 1000000;
    for (size_t index = 0; index < COUNT_OF (s_script); index++) {
        char line[128], *rest = line, *word;
        snprintf (line, sizeof line, "%s", s_script[index]);
        unsigned wanted = UINT32_MAX;
        while ((word = strsep (&rest, " "))) {
            char what[16];
            unsigned value;
            if (*word == '+')
                now += atoi (word + 1);
            else if (sscanf (word, "%15[a-z]=%u", what, &value) == 2)
                s_set_signal (&signals, what, value);
            else if (*word >= '0' && *word <= '9')
                wanted = (unsigned) atoi (word);
        }
        unsigned is = umbp_level_update (level, now, &signals);
        if (is != wanted)
            printf ("\n    line %zu: \"%s\": level %u (%s)\n", index, s_script[index], is,
                    umbp_level_why (level));
        CU_ASSERT_EQUAL (is, wanted);
        CU_ASSERT_EQUAL (umbp_level_cause (level) == UMBP_CAUSE_NONE, is == 0);
        CU_ASSERT_EQUAL (*umbp_level_why (level) == 0, is == 0);
    }
    umbp_level_destroy (&level);
}

//  However signals go: no level without a second of them, no fall by more than one, none before 5 s
static void test_levels_of_random_signals (void)
{
    uint64_t state = (uint64_t) zclock_usecs ();
    printf ("(seed %" PRIu64 ") ", state);
    umbp_level_marks_t marks;
    umbp_level_marks_init (&marks);
    umbp_level_t *level = umbp_level_new (&marks);
    umbp_signals_t signals = { .available = 1000 };
    int64_t now = 0, changed = 0;
    for (int round = 0; round < 100000; round++) {
        unsigned before = umbp_level_now (level);
        now += (int64_t) (umbp_splitmix (&state) % 500);
        if (umbp_splitmix (&state) % 4 == 0)
            signals.tiers[UMBP_TIER_DRAM] = (unsigned) (700 + umbp_splitmix (&state) % 300);
        if (umbp_splitmix (&state) % 16 == 0)
            signals.some = (unsigned) (umbp_splitmix (&state) % 100);
        unsigned after = umbp_level_update (level, now, &signals);
        CU_ASSERT (after + 1 >= before);
        if (after < before)
            CU_ASSERT (now - changed >= marks.fall_ms);
        if (after != before)
            changed = now;
    }
    CU_ASSERT (umbp_level_changes (level) > 10);
    umbp_level_destroy (&level);
}

//  ------------------------------------------------------------------------------------------------
//  PRS-03: the ladder

static umbp_ladder_tenant_t s_tenant (const char *name, unsigned qos, uint64_t bytes,
                                      uint64_t limit, uint64_t blocks)
{
    umbp_ladder_tenant_t who = { .qos = qos, .bytes = bytes, .limit = limit, .blocks = blocks };
    snprintf (who.name, sizeof who.name, "%s", name);
    return who;
}

static void s_expect (umbp_ladder_t *ladder, int64_t now, unsigned level, bool failed,
                      const umbp_ladder_tenant_t *tenants, size_t count, umbp_step_t step,
                      const char *tenant)
{
    umbp_action_t action;
    bool any = umbp_ladder_next (ladder, now, level, failed, tenants, count, &action);
    if (action.step != step || (tenant && strneq (action.tenant, tenant)))
        printf ("\n    at %" PRId64 ": %s %s, wanted %s %s\n", now, umbp_step_name (action.step),
                action.tenant, umbp_step_name (step), tenant ? tenant : "");
    CU_ASSERT_EQUAL (any, step != UMBP_STEP_NONE);
    CU_ASSERT_EQUAL (action.step, step);
    if (tenant)
        CU_ASSERT_STRING_EQUAL (action.tenant, tenant);
}

static void test_ladder_in_order (void)
{
    umbp_ladder_tenant_t tenants[] = {
        s_tenant ("crit", UMBP_QOS_CRITICAL, 9000, UINT64_MAX, 1),
        s_tenant ("high", UMBP_QOS_HIGH, 100, UINT64_MAX, 10),
        s_tenant ("even", UMBP_QOS_LOW, 100, UINT64_MAX, 10),   //  10 bytes a block
        s_tenant ("over", UMBP_QOS_LOW, 100, 90, 10),           //  Over its limit
        s_tenant ("good", UMBP_QOS_LOW, 100, 200, 5),           //  20 bytes a block
        s_tenant ("none", UMBP_QOS_LOW, 0, UINT64_MAX, 0),
    };
    const size_t count = COUNT_OF (tenants);
    umbp_ladder_t *ladder = umbp_ladder_new ();
    s_expect (ladder, 0, 0, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 10, 1, false, tenants, count, UMBP_STEP_RELAX, "");
    s_expect (ladder, 10, 1, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 20, 2, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 500, 2, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 1020, 2, false, tenants, count, UMBP_STEP_REDUCE, "");
    //  One victim a second, by priority, then over the limit, then bytes for each block
    s_expect (ladder, 1030, 3, false, tenants, count, UMBP_STEP_SUSPEND, "over");
    s_expect (ladder, 1030, 3, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 2019, 3, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 2020, 3, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 2029, 3, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 2030, 3, false, tenants, count, UMBP_STEP_SUSPEND, "good");
    //  At level 4 blocks are dropped, of the lowest first; both steps share the one a second
    s_expect (ladder, 3020, 4, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 3029, 4, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 3030, 4, false, tenants, count, UMBP_STEP_DROP, "over");
    tenants[3].bytes = tenants[3].blocks = 0;
    s_expect (ladder, 3999, 4, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 4020, 4, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 4030, 4, false, tenants, count, UMBP_STEP_DROP, "good");
    tenants[4].bytes = tenants[4].blocks = 0;
    s_expect (ladder, 5020, 4, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 5030, 4, false, tenants, count, UMBP_STEP_DROP, "even");
    tenants[2].bytes = tenants[2].blocks = 0;
    s_expect (ladder, 6020, 4, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 6030, 4, false, tenants, count, UMBP_STEP_DROP, "high");
    tenants[1].bytes = tenants[1].blocks = 0;
    //  Nobody but a critical one holds anything any more
    s_expect (ladder, 7020, 4, false, tenants, count, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 7030, 4, false, tenants, count, UMBP_STEP_DROP, "crit");
    CU_ASSERT_EQUAL (umbp_ladder_suspended (ladder), 5);
    //  It is better: who was suspended last comes back first, one a second
    s_expect (ladder, 8030, 1, false, tenants, count, UMBP_STEP_RESUME, "crit");
    s_expect (ladder, 8031, 1, false, tenants, count, UMBP_STEP_NONE, "");
    s_expect (ladder, 9030, 0, false, tenants, count, UMBP_STEP_RESUME, "high");
    s_expect (ladder, 10030, 0, false, tenants, count, UMBP_STEP_RESUME, "even");
    s_expect (ladder, 11030, 0, false, tenants, count, UMBP_STEP_RESUME, "good");
    s_expect (ladder, 12030, 0, false, tenants, count, UMBP_STEP_RESUME, "over");
    s_expect (ladder, 13030, 0, false, tenants, count, UMBP_STEP_NONE, "");
    umbp_ladder_destroy (&ladder);
}

//  A level that jumps to 4 still takes steps 1, 2 and 3 first; a failed allocation does not
static void test_ladder_skips_nothing (void)
{
    umbp_ladder_tenant_t tenants[] = { s_tenant ("a", UMBP_QOS_MEDIUM, 10, UINT64_MAX, 1),
                                       s_tenant ("b", UMBP_QOS_LOW, 10, UINT64_MAX, 1) };
    umbp_ladder_t *ladder = umbp_ladder_new ();
    s_expect (ladder, 0, 4, false, tenants, 2, UMBP_STEP_RELAX, "");
    s_expect (ladder, 0, 4, false, tenants, 2, UMBP_STEP_REDUCE, "");
    s_expect (ladder, 0, 4, false, tenants, 2, UMBP_STEP_SUSPEND, "b");
    s_expect (ladder, 0, 4, false, tenants, 2, UMBP_STEP_NONE, "");
    umbp_ladder_destroy (&ladder);
    ladder = umbp_ladder_new ();
    s_expect (ladder, 0, 4, true, tenants, 2, UMBP_STEP_DROP, "b");
    s_expect (ladder, 0, 4, true, tenants, 2, UMBP_STEP_RELAX, "");
    umbp_ladder_destroy (&ladder);
}

//  Whatever levels and tenants do: never two victims within a second, never a critical one while another holds
//  anything, never a step before those below it
static void test_ladder_at_random (void)
{
    uint64_t state = (uint64_t) zclock_usecs ();
    printf ("(seed %" PRIu64 ") ", state);
    umbp_ladder_tenant_t tenants[12];
    umbp_ladder_t *ladder = umbp_ladder_new ();
    for (size_t index = 0; index < COUNT_OF (tenants); index++) {
        char name[16];
        snprintf (name, sizeof name, "t%zu", index);
        tenants[index] = s_tenant (name, (unsigned) (index % UMBP_QOS_COUNT), 0, UINT64_MAX, 0);
    }
    int64_t now = 0, victim_at = INT64_MIN / 2;
    unsigned level = 0, tried = 0;
    size_t drops = 0;
    for (int round = 0; round < 50000; round++) {
        now += (int64_t) (umbp_splitmix (&state) % 400);
        if (umbp_splitmix (&state) % 8 == 0)
            level = (unsigned) (umbp_splitmix (&state) % 5);
        size_t which = umbp_splitmix (&state) % COUNT_OF (tenants);
        tenants[which].blocks = umbp_splitmix (&state) % 4;
        tenants[which].bytes = tenants[which].blocks * (umbp_splitmix (&state) % 1000 + 1);
        tried = level == 0 ? 0 : tried;
        umbp_action_t action;
        if (!umbp_ladder_next (ladder, now, level, false, tenants, COUNT_OF (tenants), &action))
            continue;
        if (action.step <= UMBP_STEP_DROP) {
            CU_ASSERT (action.step <= level && action.step <= tried + 2);
            tried = action.step > tried ? action.step : tried;
        }
        if (action.step < UMBP_STEP_SUSPEND)
            continue;
        CU_ASSERT (now - victim_at >= UMBP_LADDER_VICTIM_MS);
        victim_at = now;
        drops += action.step == UMBP_STEP_DROP;
        if (action.step == UMBP_STEP_RESUME)
            continue;
        const umbp_ladder_tenant_t *victim = NULL;
        bool others = false;
        for (size_t index = 0; index < COUNT_OF (tenants); index++) {
            if (streq (tenants[index].name, action.tenant))
                victim = &tenants[index];
            others = others || (tenants[index].bytes && tenants[index].qos < UMBP_QOS_CRITICAL);
        }
        CU_ASSERT_FATAL (victim != NULL);
        CU_ASSERT (victim->bytes > 0 && !(victim->qos == UMBP_QOS_CRITICAL && others));
    }
    CU_ASSERT (drops > 100);
    umbp_ladder_destroy (&ladder);
}

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
    CU_ADD_TEST (suite, test_marks_are_read);
    CU_ADD_TEST (suite, test_marks_make_sense);
    CU_ADD_TEST (suite, test_script_of_levels);
    CU_ADD_TEST (suite, test_levels_of_random_signals);
    CU_ADD_TEST (suite, test_ladder_in_order);
    CU_ADD_TEST (suite, test_ladder_skips_nothing);
    CU_ADD_TEST (suite, test_ladder_at_random);
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
