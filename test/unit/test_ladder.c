//  test/unit/test_ladder.c - levels of pressure and the ladder by themselves: what the signals of a script make of them, and
//  the order of steps and victims
#include <CUnit/Basic.h>
#include <czmq.h>

#include "actors/pressure/ladder.h"
#include "actors/pressure/level.h"
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

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("ladder", NULL, NULL);
    CU_ADD_TEST (suite, test_marks_are_read);
    CU_ADD_TEST (suite, test_marks_make_sense);
    CU_ADD_TEST (suite, test_script_of_levels);
    CU_ADD_TEST (suite, test_levels_of_random_signals);
    CU_ADD_TEST (suite, test_ladder_in_order);
    CU_ADD_TEST (suite, test_ladder_skips_nothing);
    CU_ADD_TEST (suite, test_ladder_at_random);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
