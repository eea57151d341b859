//  test/unit/test_worker_state.c - the shared files: whole at any moment, nobody's edit lost
#include "actors/worker/record.h"
#include "actors/worker/state.h"
#include "proto/error.h"
#include "test/unit/killed.h"
#include "test/unit/worker.h"

static umbp_state_t *s_open (const char *dir)
{
    int err;
    char why[512] = "";
    umbp_state_t *state = umbp_state_new (dir, &err, why, sizeof why);
    if (!state)
        printf ("(%s) ", why);
    return state;
}

static int s_read (umbp_state_t *state)
{
    char why[512] = "";
    return umbp_state_read (state, UMBP_STATE_WORKERS, why, sizeof why);
}

static int s_save (umbp_state_t *state, const json_t *records)
{
    char why[512] = "";
    int rc = umbp_state_save (state, UMBP_STATE_WORKERS, records, why, sizeof why);
    if (rc == UMBP_EIO)
        printf ("(%s) ", why);
    return rc;
}

//  ST-25, D6: for us alone; nobody else may write there, no symlink leads there
static void test_folder (void)
{
    struct stat info;
    int err = 0;
    char why[512] = "", made[96];
    folder_begin ();
    snprintf (made, sizeof made, "%s/a/b", folder);
    umbp_state_t *state = s_open (made);
    CU_ASSERT_FATAL (state != NULL);
    CU_ASSERT (stat (made, &info) == 0 && (info.st_mode & 07777) == 0700);
    CU_ASSERT (umbp_state_new (made, &err, why, sizeof why) == NULL && err == UMBP_EEXIST);
    CU_ASSERT (strstr (why, "another node") != NULL);
    umbp_state_destroy (&state);
    state = s_open (made);              //  Free again
    CU_ASSERT (state != NULL);
    umbp_state_destroy (&state);

    chmod (made, 0777);
    CU_ASSERT (umbp_state_new (made, &err, why, sizeof why) == NULL && err == UMBP_EDENIED);
    chmod (made, 0755);                 //  As the Go program makes it
    state = s_open (made);
    CU_ASSERT (state != NULL);
    umbp_state_destroy (&state);
    CU_ASSERT (symlink (made, folder_path ("link")) == 0);
    CU_ASSERT (umbp_state_new (folder_path ("link"), &err, why, sizeof why) == NULL);
    CU_ASSERT (umbp_state_new ("/dev/null/x", &err, why, sizeof why) == NULL && err == UMBP_EIO);
    folder_end ();
}

//  ST-26: both kinds of records are read; unknown keys and records survive that we write
static void test_records (void)
{
    folder_begin ();
    folder_put ("workers.json", FULL_RECORD);
    umbp_state_t *state = s_open (folder);
    CU_ASSERT_FATAL (state != NULL && s_read (state) == 1);
    json_t *array = json_deep_copy (umbp_state_records (state, UMBP_STATE_WORKERS)),
           *before = json_deep_copy (array), *json = json_array_get (array, 1);
    umbp_worker_record_t record;
    char why[256] = "";
    CU_ASSERT (umbp_worker_record_read (&record, json, why, sizeof why) == 0);
    CU_ASSERT_STRING_EQUAL (record.uid, "w-full");
    CU_ASSERT (record.device_count == 2 && streq (record.devices[0], "gpu-a"));
    CU_ASSERT (record.mode == UMBP_ISOLATION_HARD && record.qos == UMBP_QOS_HIGH);
    CU_ASSERT (record.tflops_limit == 78 && record.vram_limit == (uint64_t) 24 << 30);
    CU_ASSERT (record.state == UMBP_WORKER_PENDING && !record.deleted);
    record.state = UMBP_WORKER_RUNNING;
    CU_ASSERT (umbp_worker_record_write (&record, json));
    CU_ASSERT (!umbp_worker_record_write (&record, json));      //  Nothing new in it
    CU_ASSERT (s_save (state, array) == 0);
    json_t *after = folder_get ("workers.json"), *was = json_array_get (before, 1);
    json_object_set_new (was, "Status", json_string ("Running"));
    CU_ASSERT (json_equal (before, after));     //  Strangers at their places, too
    umbp_worker_record_end (&record);
    json_decref (after);
    json_decref (before);
    json_decref (array);

    folder_put ("workers.json", SEED_EXAMPLE);
    CU_ASSERT (s_read (state) == 1);
    json = json_array_get (umbp_state_records (state, UMBP_STATE_WORKERS), 0);
    CU_ASSERT (umbp_worker_record_read (&record, json, why, sizeof why) == 0);
    CU_ASSERT (record.state == UMBP_WORKER_RUNNING && record.mode == UMBP_ISOLATION_SHARED);
    CU_ASSERT (record.device_count == 1 && streq (record.devices[0], "gpu-uuid-0"));
    umbp_worker_record_end (&record);
    umbp_state_destroy (&state);
    folder_end ();
}

static void test_bad_records (void)
{
    static const struct {
        const char *text, *says;
    } s_bad[] = {
        { "{}", "WorkerUID" },
        { "[]", "no object" },
        { "{\"WorkerUID\": 7}", "WorkerUID" },
        { "{\"WorkerUID\": \"x\", \"Status\": \"Flying\"}", "Status" },
        { "{\"WorkerUID\": \"x\", \"IsolationMode\": \"wild\"}", "IsolationMode" },
        { "{\"WorkerUID\": \"x\", \"QoS\": \"best\"}", "QoS" },
        { "{\"WorkerUID\": \"x\", \"AllocatedDevices\": \"gpu\"}", "AllocatedDevices" },
        { "{\"WorkerUID\": \"x\", \"AllocatedDevices\": [1]}", "AllocatedDevices" },
        { "{\"WorkerUID\": \"x\", \"Limits\": {\"vram\": \"much\"}}", "Limits" },
        { "{\"WorkerUID\": \"x\", \"Limits\": {\"vram\": \"-1\"}}", "Limits" },
        { "{\"WorkerUID\": \"x\", \"WorkerRunningInfo\": {\"args\": [1]}}", "args" },
        { "{\"WorkerUID\": \"x\", \"WorkerRunningInfo\": {\"env\": {\"a=b\": \"c\"}}}", "env" },
        { "{\"WorkerUID\": \"x\", \"WorkerRunningInfo\": []}", "WorkerRunningInfo" },
    };
    for (size_t index = 0; index < sizeof s_bad / sizeof *s_bad; index++) {
        umbp_worker_record_t record;
        char why[256] = "";
        json_t *json = json_loads (s_bad[index].text, 0, NULL);
        CU_ASSERT_FATAL (json != NULL);
        CU_ASSERT (umbp_worker_record_read (&record, json, why, sizeof why) == UMBP_EINVAL);
        CU_ASSERT (strstr (why, s_bad[index].says) != NULL);
        json_decref (json);
    }
    static const struct {
        const char *text;
        double value;
    } s_fine[] = { { "0", 0 },
                   { "312", 312 },
                   { "1.5", 1.5 },
                   { "24Gi", 24.0 * (1 << 30) },
                   { "500m", 0.5 }, { "2k", 2000 }, { "3Ti", 3 * 0x1p40 } };
    double value;
    for (size_t index = 0; index < sizeof s_fine / sizeof *s_fine; index++)
        CU_ASSERT (umbp_quantity (s_fine[index].text, &value) && value == s_fine[index].value);
    static const char *const s_wrong[] = { "", "-1", "1.2.3", "5 Gi", "Gi", "1e9", "nan", "1gb" };
    for (size_t index = 0; index < sizeof s_wrong / sizeof *s_wrong; index++)
        CU_ASSERT (!umbp_quantity (s_wrong[index], &value));
}

//  ------------------------------------------------------------------------------------------------
//  ST-27

static const char *const s_steps[] = { "create", "write", "sync",     "swap",
                                       "check",  "sweep", "sync_dir", NULL };

static void s_die (void *arg, const char *step)
{
    killed_pass (arg, step);
}

//  Old or new, whole, whenever the writer is killed; the next one cleans up
static void test_killed (void)
{
    folder_begin ();
    json_t *old = json_loads (SEED_EXAMPLE, 0, NULL), *new = json_deep_copy (old);
    json_object_set_new (json_array_get (new, 0), "Status", json_string ("Terminated"));
    for (const char *const *step = s_steps; *step; step++) {
        folder_put ("workers.json", SEED_EXAMPLE);
        killed_t killed;
        killed_arm (&killed, *step, 1);
        pid_t child = killed_fork ();
        if (child == 0) {
            umbp_state_t *state = s_open (folder);
            umbp_state_set_step (state, s_die, &killed);
            s_read (state);
            s_save (state, new);
            _exit (3);                  //  No such step
        }
        CU_ASSERT (killed_wait (&killed, child));
        json_t *now = folder_get ("workers.json");
        bool is_old = json_equal (now, old), is_new = json_equal (now, new);
        CU_ASSERT (is_old != is_new);
        bool past = streq (*step, "check") || streq (*step, "sweep") || streq (*step, "sync_dir");
        CU_ASSERT (is_new == past);
        json_decref (now);
        umbp_state_t *state = s_open (folder);
        CU_ASSERT_FATAL (state != NULL);
        CU_ASSERT (folder_count (".umbp-") == 0);
        CU_ASSERT (s_read (state) == 1);
        umbp_state_destroy (&state);
    }
    json_decref (old);
    json_decref (new);
    folder_end ();
}

//  A symlink planted at the target, or where a file is read from, leads nowhere
static void test_symlink (void)
{
    char victim[96], why[256] = "", name[64];
    folder_begin ();
    snprintf (victim, sizeof victim, "%s/victim", folder);
    folder_put ("victim", "[{\"WorkerUID\": \"trap\"}]");
    umbp_state_t *state = s_open (folder);
    CU_ASSERT_FATAL (state != NULL && s_read (state) == 0);
    CU_ASSERT (symlink (victim, folder_path ("workers.json")) == 0);
    json_t *records = json_loads (SEED_EXAMPLE, 0, NULL);
    CU_ASSERT (s_save (state, records) == UMBP_ESTALE);
    CU_ASSERT (umbp_state_read (state, UMBP_STATE_WORKERS, why, sizeof why) == UMBP_EINVAL);
    CU_ASSERT (strstr (why, "symlink") != NULL && umbp_state_is_bad (state, UMBP_STATE_WORKERS));
    CU_ASSERT (json_array_size (umbp_state_records (state, UMBP_STATE_WORKERS)) == 0);
    CU_ASSERT (umbp_state_put_aside (state, UMBP_STATE_WORKERS, name, sizeof name) == 0);
    CU_ASSERT (s_save (state, records) == 0);
    json_t *trap = folder_get ("victim"), *now = folder_get ("workers.json");
    CU_ASSERT (json_array_size (trap) == 1 && json_equal (now, records));
    CU_ASSERT_STRING_EQUAL (umbp_record_text (json_array_get (trap, 0), "WorkerUID"), "trap");
    struct stat info;
    CU_ASSERT (lstat (folder_path ("workers.json"), &info) == 0 && S_ISREG (info.st_mode));
    CU_ASSERT ((info.st_mode & 07777) == 0600);
    json_decref (now);
    json_decref (trap);
    json_decref (records);
    umbp_state_destroy (&state);
    folder_end ();
}

//  ------------------------------------------------------------------------------------------------
//  ST-28, ST-36, D5

static void test_missing_and_corrupt (void)
{
    char why[256] = "", name[64];
    folder_begin ();
    umbp_state_t *state = s_open (folder);
    CU_ASSERT_FATAL (state != NULL);
    CU_ASSERT (s_read (state) == 0);    //  Missing is empty
    CU_ASSERT (json_array_size (umbp_state_records (state, UMBP_STATE_WORKERS)) == 0);
    static const char *const s_texts[] = { "[{\"WorkerUID\": \"x\",\n,]", "{}", "", "[1" };
    for (size_t index = 0; index < sizeof s_texts / sizeof *s_texts; index++) {
        folder_put ("workers.json", s_texts[index]);
        CU_ASSERT (umbp_state_read (state, UMBP_STATE_WORKERS, why, sizeof why) == UMBP_EINVAL);
        CU_ASSERT (strncmp (why, "workers.json", 12) == 0);
        CU_ASSERT (index > 0 || strncmp (why, "workers.json:2:", 15) == 0);
        CU_ASSERT (s_read (state) == 0);            //  Said once
        CU_ASSERT (umbp_state_put_aside (state, UMBP_STATE_WORKERS, name, sizeof name) == 0);
        CU_ASSERT (folder_has (name) && !folder_has ("workers.json"));
        CU_ASSERT (streq (name, "workers.json.bad") == (index == 0));    //  None is lost
    }
    CU_ASSERT (folder_count ("workers.json.bad") == 4);
    CU_ASSERT (s_read (state) == 0);
    umbp_state_destroy (&state);
    folder_end ();
}

//  Edits by others are noticed, in whichever way they are written; our own are not news
static void test_edits (void)
{
    folder_begin ();
    umbp_state_t *state = s_open (folder);
    CU_ASSERT_FATAL (state != NULL && s_read (state) == 0);
    struct pollfd fd = { .fd = umbp_state_fd (state), .events = POLLIN };
    umbp_state_drain (state);
    folder_put ("workers.json", SEED_EXAMPLE);
    CU_ASSERT (fd.fd == -1 || poll (&fd, 1, 20000) == 1);
    umbp_state_drain (state);
    CU_ASSERT (s_read (state) == 1 && s_read (state) == 0);

    json_t *records = json_deep_copy (umbp_state_records (state, UMBP_STATE_WORKERS));
    json_object_set_new (json_array_get (records, 0), "Mark", json_integer (1));
    CU_ASSERT (s_save (state, records) == 0);
    umbp_state_drain (state);
    CU_ASSERT (s_read (state) == 0);    //  No echo
    //  In place, of the same size, at once: the kernel tells even where times and sizes do not
    char *text = json_dumps (records, JSON_INDENT (2)), *at = strstr (text, "\"Mark\": 1");
    CU_ASSERT_FATAL (at != NULL);
    at[8] = '2';
    folder_put_inplace ("workers.json", text);
    CU_ASSERT (fd.fd == -1 || poll (&fd, 1, 20000) == 1);
    umbp_state_drain (state);
    CU_ASSERT (s_read (state) == 1);
    free (text);
    //  Missing for a moment, as some editors do it, is nothing; for good, it is empty
    rename (folder_path ("workers.json"), folder_path ("workers.json~"));
    CU_ASSERT (s_read (state) == 0);
    CU_ASSERT (json_array_size (umbp_state_records (state, UMBP_STATE_WORKERS)) == 1);
    CU_ASSERT (s_save (state, records) == UMBP_ESTALE && s_read (state) == 0);
    rename (folder_path ("workers.json~"), folder_path ("workers.json"));
    CU_ASSERT (s_read (state) == 0);
    unlink (folder_path ("workers.json"));
    int64_t until = zclock_mono () + 60000;
    while (s_read (state) == 0 && zclock_mono () < until)
        usleep (10000);
    CU_ASSERT (json_array_size (umbp_state_records (state, UMBP_STATE_WORKERS)) == 0);
    json_decref (records);
    umbp_state_destroy (&state);
    folder_end ();
}

typedef struct {
    const char *step;
    unsigned times;
} intruder_t;

//  Another program adds a worker, in the middle of our save
static void s_intrude (void *arg, const char *step)
{
    intruder_t *intruder = arg;
    if (!streq (step, intruder->step) || intruder->times == 0)
        return;
    intruder->times--;
    json_t *array = folder_get ("workers.json");
    if (!array)
        array = json_array ();
    json_array_append_new (
        array, json_pack ("{s:o}", "WorkerUID", json_sprintf ("theirs-%u", intruder->times)));
    char *text = json_dumps (array, 0);
    folder_put ("workers.json", text);
    free (text);
    json_decref (array);
}

//  Two writers at any moment of each other: both workers are there in the end
static void test_no_lost_update (void)
{
    for (unsigned empty = 0; empty < 2; empty++)
        for (const char *const *step = s_steps; *step; step++) {
            if (streq (*step, "sweep") || streq (*step, "sync_dir"))
                continue;               //  Then ours was there before theirs
            folder_begin ();
            if (!empty)
                folder_put ("workers.json", SEED_EXAMPLE);
            umbp_state_t *state = s_open (folder);
            CU_ASSERT_FATAL (state != NULL && s_read (state) == !empty);
            intruder_t intruder = { *step, 2 };
            umbp_state_set_step (state, s_intrude, &intruder);
            int rc = UMBP_ESTALE;
            unsigned tries = 0;
            while (rc == UMBP_ESTALE && tries++ < 10) {
                s_read (state);
                json_t *array = json_deep_copy (umbp_state_records (state, UMBP_STATE_WORKERS));
                json_array_append_new (array, json_pack ("{s:s}", "WorkerUID", "ours"));
                rc = s_save (state, array);
                json_decref (array);
            }
            CU_ASSERT (rc == 0);
            //  "check" comes only where there was a file; then they write over ours, which has it
            CU_ASSERT (intruder.times == 0 || streq (*step, "check"));
            json_t *array = folder_get ("workers.json"), *json;
            size_t index, ours = 0, theirs = 0;
            json_array_foreach (array, index, json)
            {
                ours += streq (umbp_record_text (json, "WorkerUID"), "ours");
                theirs += strncmp (umbp_record_text (json, "WorkerUID"), "theirs", 6) == 0;
            }
            CU_ASSERT (ours == 1 && theirs == 2 - intruder.times);
            CU_ASSERT (folder_count (".umbp-") == 0);
            json_decref (array);
            umbp_state_destroy (&state);
            folder_end ();
        }
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker_state", NULL, NULL);
    CU_ADD_TEST (suite, test_folder);
    CU_ADD_TEST (suite, test_records);
    CU_ADD_TEST (suite, test_bad_records);
    CU_ADD_TEST (suite, test_killed);
    CU_ADD_TEST (suite, test_symlink);
    CU_ADD_TEST (suite, test_missing_and_corrupt);
    CU_ADD_TEST (suite, test_edits);
    CU_ADD_TEST (suite, test_no_lost_update);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
