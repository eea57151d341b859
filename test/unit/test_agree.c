//  test/unit/test_agree.c - registries come to agree on who is there, whatever differs and whatever is lost, and say no
//  more for that than what differs. The nodes are those of bin/bench_beats.h: real rules, real messages. UMBP_SEED
//  repeats a run.
#include <CUnit/Basic.h>
#include <czmq.h>

#include "bin/bench_beats.h"
#include "proto/splitmix.h"

#define SUSPECT 10                      //  Intervals: where messages are lost, silence is common
#define GONE 25
#define NAMED_MAX 64                    //  In one answer

//  Intervals until all have to agree. With no loss some tens are enough: dead nodes are gone after 25,
//  and lost places are tried at least each 10.
#define WAIT_MAX 200

typedef struct {
    uint64_t random;
    unsigned lost;                      //  Of a hundred messages
    size_t split;                       //  Nodes below do not reach the others; 0: all reach all
    size_t former;                      //  Nodes below know nothing of digests
    size_t newcomers;                   //  From this number on; 0: none are
    uint64_t messages, digests, named, named_among_old, most_named;
} net_t;

static uint64_t s_seed;

//  What is said in a cluster: some of it is lost, some of it was not there in former times
static bool s_pass (void *arg, size_t from, size_t to, umbp_msg_beat_t *beat)
{
    net_t *net = arg;
    net->messages++;
    net->digests += beat->digest.count > 0;
    net->named += beat->known.count;
    if (net->newcomers && from < net->newcomers && to < net->newcomers)
        net->named_among_old += beat->known.count;
    if (beat->known.count > net->most_named)
        net->most_named = beat->known.count;
    if (from < net->former || to < net->former) {
        beat->members = beat->salt = 0;
        beat->digest = (umbp_u16s_t) { NULL, 0 };
    }
    if (net->split && (from < net->split) != (to < net->split))
        return false;
    return umbp_splitmix (&net->random) % 100 >= net->lost;
}

static umbp_bench_beats_t *s_cluster (net_t *net, size_t nodes)
{
    net->random = umbp_splitmix (&s_seed);
    umbp_bench_beats_t *beats = umbp_bench_beats_new (SUSPECT, GONE, umbp_splitmix (&s_seed));
    umbp_bench_beats_filter (beats, s_pass, net);
    for (size_t number = 0; number < nodes; number++)
        umbp_bench_beats_add (beats);
    return beats;
}

static unsigned s_until_agreed (umbp_bench_beats_t *beats)
{
    unsigned intervals = 0;
    do
        umbp_bench_beats_interval (beats);
    while (++intervals < WAIT_MAX && !umbp_bench_beats_agree (beats));
    CU_ASSERT (umbp_bench_beats_agree (beats));
    return intervals;
}

static void s_run (umbp_bench_beats_t *beats, unsigned intervals)
{
    for (unsigned interval = 0; interval < intervals; interval++)
        umbp_bench_beats_interval (beats);
}

//  -----------------------------------------------------------------------------------------------
//  Two alone: what they know of is out of reach, so that only what they tell each other counts

#define PLACES 300

typedef struct {
    umbp_members_t *members;
    size_t known;                       //  Of the places
    bool cut_off;                       //  From the places n1..: it cannot meet who lives there
} end_t;

static umbp_members_t *s_end (const char *node, const char *endpoint)
{
    umbp_members_args_t args = { .cluster = "test",
                                 .node = node,
                                 .node_epoch = 1,
                                 .endpoint = endpoint, .heartbeat_ms = 1000, .suspect_ms = 3000,
                                 .gone_ms = 30000, .copies = 2, .vnodes = 150 };
    return umbp_members_new (&args, 0);
}

static void s_learn (end_t *end, const char *endpoint)
{
    if (umbp_members_at_endpoint (end->members, endpoint)
        || (end->cut_off && strstr (endpoint, "n1")))
        return;
    char node[UMBP_NAME_MAX + 1];
    snprintf (node, sizeof node, "%s", strrchr (endpoint, '.') + 1);
    *strchr (node, ':') = 0;
    umbp_msg_beat_t beat = { .cluster = umbp_text ("test"),
                             .node = umbp_text (node),
                             .node_epoch = 1, .version = UMBP_PROTOCOL_VERSION,
                             .endpoint = umbp_text (endpoint), .ready = true };
    CU_ASSERT (umbp_members_meet (end->members, &beat, 0) == 0);
    end->known++;
}

//  One asks the other. Returns how many were named.
static size_t s_ask (end_t *from, umbp_members_t *to)
{
    umbp_msg_beat_t beat, answer;
    umbp_members_beat (from->members, &beat, true);
    umbp_members_answer (to, &answer, &beat);
    size_t offset = 0;
    for (size_t index = 0; index < answer.known.count; index++) {
        char endpoint[UMBP_TEXT_MAX + 1];
        umbp_bytes_t item = umbp_column_next (&answer.known, index, &offset);
        umbp_text_copy ((umbp_text_t) { (const char *) item.data, item.size }, endpoint,
                        sizeof endpoint);
        s_learn (from, endpoint);
    }
    CU_ASSERT (answer.known.count <= NAMED_MAX);
    return answer.known.count;
}

//  Each place is known to both, to one or to none, at random; percent of them to both
static unsigned s_two (unsigned percent, size_t *named)
{
    end_t one = { .members = s_end ("one", "tcp://10.1.0.1:1") };
    end_t two = { .members = s_end ("two", "tcp://10.1.0.2:1") };
    size_t any = 0;
    s_learn (&one, "tcp://10.1.0.2:1");                     //  By another id than its own, no matter
    for (unsigned number = 0; number < PLACES; number++) {
        char endpoint[48];
        snprintf (endpoint, sizeof endpoint, "tcp://10.0.0.n%u:1", number);
        bool both = umbp_splitmix (&s_seed) % 100 < percent;
        unsigned whose = (unsigned) (umbp_splitmix (&s_seed) % 3);
        any += both || whose < 2;
        if (both || whose == 0)
            s_learn (&one, endpoint);
        if (both || whose == 1)
            s_learn (&two, endpoint);
    }
    unsigned rounds = 0;
    for (; rounds < 200 && (one.known < any + 1 || two.known < any); rounds++) {
        *named += s_ask (&one, two.members);
        *named += s_ask (&two, one.members);
    }
    CU_ASSERT (one.known == any + 1 && two.known == any);
    umbp_members_destroy (&one.members);
    umbp_members_destroy (&two.members);
    return rounds;
}

static void test_two (void)
{
    for (unsigned percent = 0; percent <= 100; percent += 20) {
        size_t named = 0;
        unsigned rounds = s_two (percent, &named);
        printf ("%u%%: %u rounds, %zu named ", percent, rounds, named);
        CU_ASSERT (rounds <= 40);
    }
}

//  What one cannot use is named to it again and again, and does not keep the rest from it
static void test_out_of_reach (void)
{
    end_t one = { .members = s_end ("one", "tcp://10.1.0.1:1"), .cut_off = true };
    end_t two = { .members = s_end ("two", "tcp://10.1.0.2:1") };
    size_t reachable = 0;
    for (unsigned number = 0; number < PLACES; number++) {
        char endpoint[48];
        snprintf (endpoint, sizeof endpoint, "tcp://10.0.0.n%u:1", number);
        s_learn (&two, endpoint);
        reachable += strstr (endpoint, "n1") == NULL;
    }
    CU_ASSERT (PLACES - reachable > NAMED_MAX);             //  They alone fill an answer
    unsigned rounds = 0;
    for (; rounds < 200 && one.known < reachable; rounds++)
        s_ask (&one, two.members);
    printf ("%u rounds ", rounds);
    CU_ASSERT (one.known == reachable);
    umbp_members_destroy (&one.members);
    umbp_members_destroy (&two.members);
}

//  -----------------------------------------------------------------------------------------------
//  Many

//  What is said while one joins does not grow with how many are there: a digest, and a handful of names
static void test_names_what_differs (void)
{
    static const size_t sizes[] = { 40, 80, 160 };
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        net_t net = { 0 };
        size_t nodes = sizes[index];
        umbp_bench_beats_t *beats = s_cluster (&net, nodes);
        umbp_bench_beats_meet (beats);
        s_run (beats, 2);
        net = (net_t) { .random = net.random };
        s_run (beats, 2);
        CU_ASSERT (net.named == 0 && net.digests == 0);     //  Quiet: nothing but the hash
        umbp_bench_beats_add (beats);
        net.newcomers = nodes;
        umbp_bench_beats_tally (beats);
        unsigned intervals = s_until_agreed (beats);
        umbp_bench_beats_tally_t tally = umbp_bench_beats_tally (beats);
        printf ("%zu: %u intervals, %" PRIu64 " B and %.2f names a message ", nodes, intervals,
                tally.bytes / tally.messages, (double) net.named / (double) net.messages);
        CU_ASSERT (intervals <= 2 && net.most_named <= NAMED_MAX);
        CU_ASSERT (net.named_among_old <= 8 * net.messages);
        CU_ASSERT (tally.bytes / tally.messages < 250 + 2 * UMBP_DIGEST_MAX + 8 * 24);
        s_run (beats, 2);
        uint64_t named = net.named;
        s_run (beats, 2);
        CU_ASSERT (net.named == named); //  And quiet again
        umbp_bench_beats_destroy (&beats);
    }
}

//  Some that cannot reach each other, for ever: they cannot agree, and the others do not pay for it
static bool s_pass_wall (void *arg, size_t from, size_t to, umbp_msg_beat_t *beat)
{
    return s_pass (arg, from, to, beat) && !((from == 0 && to < 4) || (to == 0 && from < 4));
}

static void test_never_the_same (void)
{
    net_t net = { 0 };
    umbp_bench_beats_t *beats = s_cluster (&net, 50);
    umbp_bench_beats_filter (beats, s_pass_wall, &net);
    s_run (beats, 40);
    for (size_t number = 4; number < 50; number++)
        CU_ASSERT (umbp_members_count (umbp_bench_beats_members (beats, number)) == 50);
    CU_ASSERT (umbp_members_count (umbp_bench_beats_members (beats, 0)) == 47);
    CU_ASSERT (umbp_members_count (umbp_bench_beats_members (beats, 1)) == 49);
    net.named = net.messages = net.most_named = 0;
    s_run (beats, 10);
    CU_ASSERT (net.most_named <= 24);   //  Those in 4 of 32 buckets
    CU_ASSERT (net.named < net.messages);
    umbp_bench_beats_filter (beats, s_pass, &net);          //  The wall falls
    printf ("%u intervals ", s_until_agreed (beats));
    umbp_bench_beats_destroy (&beats);
}

//  Two halves gave each other up, and find each other again
static void test_split_and_heal (void)
{
    net_t net = { 0 };
    umbp_bench_beats_t *beats = s_cluster (&net, 60);
    umbp_bench_beats_meet (beats);
    s_run (beats, 2);
    net.split = 30;
    s_run (beats, GONE + 5);
    CU_ASSERT (umbp_members_count (umbp_bench_beats_members (beats, 0)) == 30);
    CU_ASSERT (umbp_members_count (umbp_bench_beats_members (beats, 59)) == 30);
    net.split = 0;
    unsigned intervals = s_until_agreed (beats);
    printf ("%u intervals ", intervals);
    CU_ASSERT (intervals <= 12);        //  The pause between two tries is 10 at most
    umbp_bench_beats_destroy (&beats);
}

//  All begin anew at once, where they were or elsewhere
static void test_all_restart (void)
{
    net_t net = { 0 };
    umbp_bench_beats_t *beats = s_cluster (&net, 60);
    umbp_bench_beats_meet (beats);
    s_run (beats, 2);
    for (size_t number = 0; number < 60; number++)
        umbp_bench_beats_restart (beats, number, number % 2);
    unsigned intervals = s_until_agreed (beats);
    printf ("%u intervals ", intervals);
    CU_ASSERT (intervals <= 12);
    CU_ASSERT (net.most_named <= NAMED_MAX);
    umbp_bench_beats_destroy (&beats);
}

//  A cluster of which a part knows no digests, as while it is brought up to date
static void test_former_peers (void)
{
    for (size_t former = 1; former <= 41; former += 20) {
        net_t net = { .former = former };
        umbp_bench_beats_t *beats = s_cluster (&net, 41);
        unsigned first = s_until_agreed (beats);
        umbp_bench_beats_restart (beats, 0, true);
        umbp_bench_beats_restart (beats, 40, true);
        umbp_bench_beats_add (beats);
        unsigned again = s_until_agreed (beats);
        printf ("%zu of 41: %u and %u intervals ", former, first, again);
        CU_ASSERT (first <= 3 && again <= 12);
        umbp_bench_beats_destroy (&beats);
    }
}

//  Nodes come, go, die, and are cut off, while every so many messages are lost
static void s_event (umbp_bench_beats_t *beats, net_t *net, bool *up, size_t *count)
{
    size_t which = umbp_splitmix (&s_seed) % *count;
    switch (umbp_splitmix (&s_seed) % 8) {
    case 0:
    case 1:
        up[(*count)++] = true;
        umbp_bench_beats_add (beats);
        break;
    case 2:
    case 3:
        umbp_bench_beats_restart (beats, which, umbp_splitmix (&s_seed) % 2);
        up[which] = true;
        break;
    case 4:
    case 5:
        if (up[which] && which > 1) {
            (umbp_splitmix (&s_seed) % 2 ? umbp_bench_beats_kill : umbp_bench_beats_leave) (beats,
                                                                                            which);
            up[which] = false;
        }
        break;
    case 6: net->split = which; break;
    default: net->split = 0; break;
    }
}

static void test_random_loss (void)
{
    for (unsigned round = 0; round < 8; round++) {
        net_t net = { .lost = round * 2 };
        bool up[UMBP_NODES_MAX] = { false };
        size_t count = 2 + umbp_splitmix (&s_seed) % 20;
        for (size_t number = 0; number < count; number++)
            up[number] = true;
        umbp_bench_beats_t *beats = s_cluster (&net, count);
        for (int event = 0; event < 30; event++) {
            s_event (beats, &net, up, &count);
            s_run (beats, (unsigned) (umbp_splitmix (&s_seed) % 4));
        }
        net.split = 0;
        printf ("%u%% lost of %zu: %u intervals ", net.lost, count, s_until_agreed (beats));
        CU_ASSERT (net.most_named <= NAMED_MAX);
        umbp_bench_beats_destroy (&beats);
    }
}

int main (void)
{
    alarm (280);
    setvbuf (stdout, NULL, _IONBF, 0);
    zsys_set_logstream (NULL);
    const char *given = getenv ("UMBP_SEED");
    s_seed = given ? strtoull (given, NULL, 0) : (uint64_t) zclock_usecs ();
    printf ("UMBP_SEED=0x%" PRIx64 " ", s_seed);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("agree", NULL, NULL);
    CU_ADD_TEST (suite, test_two);
    CU_ADD_TEST (suite, test_out_of_reach);
    CU_ADD_TEST (suite, test_names_what_differs);
    CU_ADD_TEST (suite, test_never_the_same);
    CU_ADD_TEST (suite, test_split_and_heal);
    CU_ADD_TEST (suite, test_all_restart);
    CU_ADD_TEST (suite, test_former_peers);
    CU_ADD_TEST (suite, test_random_loss);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
