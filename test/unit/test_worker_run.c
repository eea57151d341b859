//  test/unit/test_worker_run.c - the processes of the worker actor: started, ended, started again, taken
//  over by who comes after it.
#include "test/unit/worker_actor.h"

//  WRK-37, WRK-38, WRK-39, D11: the record says what runs, and how
static void test_process (void)
{
    worker_begin ();
    worker_put_workers (
        worker_record ("w", "soft", "gpu-1 gpu-0", "Pending",
                       "echo \"$MARK $WORKER_ID $NVIDIA_VISIBLE_DEVICES $0 $UMBP_SECRET.\" "
                       ">said.new; pwd >>said.new; mv said.new said; exec sleep 1000"),
        NULL);
    setenv ("UMBP_SECRET", "for nobody", 1);
    worker_start ();
    pid_t pid = worker_wait_pid ("w", 0);
    CU_ASSERT_FATAL (pid > 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("said") && zclock_mono () < until;)
        usleep (10000);
    unsetenv ("UMBP_SECRET");
    char said[512] = "", cwd[128] = "";
    unsigned port = 0;
    FILE *file = fopen (folder_path ("said"), "r");
    CU_ASSERT_FATAL (file != NULL);
    CU_ASSERT (fscanf (file, "m w %64s %u .\n%127s", said, &port, cwd) == 3);
    fclose (file);
    CU_ASSERT_STRING_EQUAL (said, "GPU-0,GPU-1");
    CU_ASSERT (port > 0 && port < 65536 && streq (cwd, folder));
    json_t *json = worker_saved ("w"), *info = json_object_get (json, "WorkerRunningInfo");
    CU_ASSERT (json_integer_value (json_object_get (info, "pid")) == pid);
    CU_ASSERT (json_integer_value (json_object_get (info, "port")) == port);
    CU_ASSERT (json_is_true (json_object_get (info, "isRunning")));
    json_decref (json);

    //  It ends, and comes again; and on the same port
    worker_kill (pid);
    pid_t next = worker_wait_pid ("w", pid);
    CU_ASSERT_FATAL (next > 0);
    seen_t seen;
    CU_ASSERT (worker_look ("w", &seen) && seen.restarts == 1 && seen.code == 128 + SIGKILL);
    json = worker_saved ("w");
    info = json_object_get (json, "WorkerRunningInfo");
    CU_ASSERT (json_integer_value (json_object_get (info, "port")) == port);
    CU_ASSERT (json_integer_value (json_object_get (info, "restarts")) == 1);
    json_decref (json);

    //  Stopped and started by hand
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_stop, "w") == 0);
    CU_ASSERT (worker_wait_gone (next) && worker_look ("w", &seen) && seen.pid == 0
               && seen.stopped);
    CU_ASSERT (seen.state == UMBP_WORKER_RUNNING && asker_gauge (&worker_asker, "holds") == 1);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_start, "w") == 0);
    pid = worker_wait_pid ("w", next);
    CU_ASSERT_FATAL (pid > 0);
    //  Another program, in the file
    worker_put_workers (worker_record ("w", "soft", "gpu-1 gpu-0", "Running", "exec sleep 2000"),
                        NULL);
    next = worker_wait_pid ("w", pid);
    CU_ASSERT (next > 0 && worker_wait_gone (pid));
    CU_ASSERT (worker_wait_event (3, "w") && worker_wait_event (7, "w")
               && worker_wait_event (5, "w"));
    CU_ASSERT (asker_gauge (&worker_asker, "updated") == 1);
    //  No record, no process
    worker_put_workers (NULL);
    CU_ASSERT (worker_wait_gone (next) && worker_wait_event (2, "w"));
    CU_ASSERT (asker_gauge (&worker_asker, "processes") == 0
               && asker_gauge (&worker_asker, "removed") == 1);
    CU_ASSERT (asker_gauge (&worker_asker, "holds") == 0);
    worker_stop ();
    folder_end ();
}

//  D2 and more: devices are free only when the process has ended
static void test_order (void)
{
    worker_begin ();
    worker_put_workers (worker_record ("deaf", "shared", "gpu-0", "Pending",
                                       "trap '' TERM; echo >ready; while :; do sleep 1000; done"),
                        NULL);
    worker_start ();
    pid_t pid = worker_wait_pid ("deaf", 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("ready") && zclock_mono () < until;)
        usleep (10000);
    worker_put_workers (worker_record ("next", "shared", "gpu-0", "Pending", NULL), NULL);
    CU_ASSERT (worker_wait_event (8, "next"));       //  Not yet
    CU_ASSERT (worker_wait_event (7, "deaf") && worker_wait_gone (pid));   //  By SIGKILL
    CU_ASSERT (worker_wait_event (2, "deaf"));
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "deaf") == UMBP_ENOENT);
    CU_ASSERT (worker_allocate ("next", 0, "gpu-0") == 0);    //  Asked again: now
    worker_stop ();
    folder_end ();
}

//  Its record is taken out and put back before its process has ended: it runs again after that, and what
//  the file says of it meanwhile stays
static void test_comes_back (void)
{
    worker_begin ();
    worker_put_workers (worker_record ("deaf", "shared", "gpu-0", "Pending",
                                       "trap '' TERM; echo >ready; while :; do sleep 1000; done"),
                        NULL);
    worker_grace_ms = 1500;
    worker_start ();
    worker_grace_ms = 300;
    pid_t pid = worker_wait_pid ("deaf", 0);
    for (int64_t until = zclock_mono () + PEER_MS; !folder_has ("ready") && zclock_mono () < until;)
        usleep (10000);
    worker_put_workers (NULL);
    for (int64_t until = zclock_mono () + PEER_MS;
         worker_ask_about (UMBP_MSG_worker_start, "deaf") == 0 && zclock_mono () < until;)
        usleep (10000);
    uint64_t rereads = asker_gauge (&worker_asker, "rereads");
    worker_put_workers (worker_record ("deaf", "shared", "gpu-0", "Pending", "exec sleep 1000"),
                        NULL);
    asker_wait (&worker_asker, "rereads", rereads + 1);
    bool kept = worker_is_saved ("deaf", "Pending");
    seen_t seen;
    CU_ASSERT (worker_look ("deaf", &seen));
    if (seen.pid == pid)                //  Else the machine was slower than its grace
        CU_ASSERT (kept);
    pid_t next = worker_wait_pid ("deaf", pid);
    CU_ASSERT (next > 0 && next != pid && worker_wait_gone (pid));
    CU_ASSERT (worker_wait_event (2, "deaf") && worker_wait_event (1, "deaf"));
    CU_ASSERT (worker_look ("deaf", &seen) && seen.restarts == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "deaf") == 0);
    CU_ASSERT (worker_wait_gone (next));
    worker_kill (pid);
    worker_stop ();
    folder_end ();
}

//  D12: a node that starts again takes over what runs, known or not, and starts nothing twice
static void test_adopt (void)
{
    worker_begin ();
    worker_put_workers (worker_record ("w", "soft", "gpu-0", "Pending", "sleep 1000 & wait"),
                        worker_record ("v", "soft", "gpu-0", "Pending", "exec sleep 1000"), NULL);
    worker_start ();
    pid_t one = worker_wait_pid ("w", 0), two = worker_wait_pid ("v", 0);
    CU_ASSERT_FATAL (one > 0 && two > 0);
    worker_stop ();
    CU_ASSERT (kill (one, 0) == 0 && kill (two, 0) == 0);
    worker_start ();
    CU_ASSERT (worker_wait_pid ("w", 0) == one && worker_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&worker_asker, "adopted") == 2
               && asker_gauge (&worker_asker, "started") == 0);
    worker_stop ();

    //  The file has not heard of the one, and names another's process for the other
    json_t *array = folder_get ("workers.json"), *json;
    size_t index;
    json_array_foreach (array, index, json)
    {
        json_t *info = json_object_get (json, "WorkerRunningInfo");
        bool is_w = streq (umbp_record_text (json, "WorkerUID"), "w");
        json_object_set_new (info, "pid", json_integer (is_w ? 0 : getpid ()));
        json_object_del (info, "startTicks");
    }
    char *text = json_dumps (array, 0);
    folder_put ("workers.json", text);
    free (text);
    json_decref (array);
    worker_start ();
    CU_ASSERT (worker_wait_pid ("w", 0) == one && worker_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&worker_asker, "adopted") == 2
               && asker_gauge (&worker_asker, "started") == 0);
    //  It ends while nobody looks; a new one comes
    worker_stop ();
    kill (-one, SIGKILL);
    waitpid (one, NULL, 0);
    worker_start ();
    pid_t next = worker_wait_pid ("w", 0);
    CU_ASSERT (next > 0 && next != one && worker_wait_pid ("v", 0) == two);
    CU_ASSERT (asker_gauge (&worker_asker, "adopted") == 1
               && asker_gauge (&worker_asker, "started") == 1);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "w") == 0);
    CU_ASSERT (worker_ask_about (UMBP_MSG_worker_release, "v") == 0);
    CU_ASSERT (worker_wait_gone (next) && worker_wait_gone (two));
    worker_stop ();
    waitpid (two, NULL, WNOHANG);
    folder_end ();
}

int main (void)
{
    alarm (200);
    zsys_init ();
    zsys_handler_set (NULL);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker_run", NULL, NULL);
    CU_ADD_TEST (suite, test_process);
    CU_ADD_TEST (suite, test_order);
    CU_ADD_TEST (suite, test_comes_back);
    CU_ADD_TEST (suite, test_adopt);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
