//  test/unit/test_worker_process.c - one process that is kept running. Real ones; nothing here asks how
//  fast they are: the rules of pauses are looked at with times that we make up.
#include "actors/worker/proc.h"
#include "actors/worker/process.h"
#include "proto/error.h"
#include "test/unit/worker.h"

#define WAIT_MS 60000

static char *const s_no_env[] = { "PATH=/usr/bin:/bin", NULL };

static umbp_process_t *s_new (int64_t backoff_ms, int64_t grace_ms)
{
    umbp_process_times_t times = umbp_process_times (backoff_ms, grace_ms);
    return umbp_process_new (&times, "/proc");
}

static int s_start (umbp_process_t *self, char *const *argv, int64_t now)
{
    static unsigned number;
    char why[256] = "", log[32];
    snprintf (log, sizeof log, "log-%u", number++);
    int rc =
        umbp_process_start (self, argv, s_no_env, folder, folder_path (log), now, why, sizeof why);
    if (rc)
        printf ("(%s) ", why);
    return rc;
}

static int s_sh (umbp_process_t *self, const char *script, int64_t now)
{
    char *argv[] = { "/bin/sh", "-c", (char *) script, NULL };
    return s_start (self, argv, now);
}

//  Until it has ended. Times are what the caller says, but for the wait
static bool s_wait_end (umbp_process_t *self, int64_t now)
{
    int64_t until = zclock_mono () + WAIT_MS;
    while (zclock_mono () < until) {
        if (umbp_process_look (self, now))
            return true;
        struct pollfd fd = { .fd = umbp_process_fd (self), .events = POLLIN };
        poll (&fd, 1, 50);
    }
    return false;
}

static bool s_wait_file (const char *name)
{
    int64_t until = zclock_mono () + WAIT_MS;
    while (!folder_has (name) && zclock_mono () < until)
        usleep (5000);
    return folder_has (name);
}

static char *s_log (const char *name)
{
    static char text[4096];
    FILE *file = fopen (folder_path (name), "r");
    size_t size = file ? fread (text, 1, sizeof text - 1, file) : 0;
    text[size] = 0;
    if (file)
        fclose (file);
    return text;
}

static bool s_wait_gone (pid_t pid)
{
    umbp_proc_stat_t stat;
    int64_t until = zclock_mono () + WAIT_MS;
    while (umbp_proc_stat ("/proc", pid, &stat) == 0 && stat.state != 'Z' && zclock_mono () < until)
        usleep (5000);
    return zclock_mono () < until;
}

//  WRK-43: 3, 6, 12, 24, 48, 60, 60 after exits; D11: after a long run, 3 again
static void test_backoff (void)
{
    static const int64_t s_pauses[] = { 3000, 6000, 12000, 24000, 48000, 60000, 60000, 60000 };
    char *argv[] = { "/bin/true", NULL };
    int64_t now = 1000000;
    folder_begin ();
    umbp_process_t *self = s_new (3000, 5000);
    CU_ASSERT (umbp_process_next (self) == 0);
    for (size_t exit = 0; exit < sizeof s_pauses / sizeof *s_pauses; exit++) {
        CU_ASSERT_FATAL (s_start (self, argv, now) == 0);
        CU_ASSERT_FATAL (s_wait_end (self, now));
        CU_ASSERT (umbp_process_code (self) == 0);
        CU_ASSERT_EQUAL (umbp_process_next (self) - now, s_pauses[exit]);
        CU_ASSERT (umbp_process_exits (self) == exit + 1);
        now = umbp_process_next (self);
    }
    CU_ASSERT_FATAL (s_start (self, argv, now) == 0);
    now += 59999;                       //  Not long enough
    CU_ASSERT_FATAL (s_wait_end (self, now));
    CU_ASSERT (umbp_process_next (self) - now == 60000);
    now = umbp_process_next (self);
    CU_ASSERT_FATAL (s_start (self, argv, now) == 0);
    now += 60000;
    CU_ASSERT_FATAL (s_wait_end (self, now));
    CU_ASSERT (umbp_process_next (self) - now == 3000 && umbp_process_exits (self) == 1);
    umbp_process_forgive (self);
    CU_ASSERT (umbp_process_next (self) == 0 && umbp_process_exits (self) == 0);
    umbp_process_destroy (&self);
    folder_end ();
}

//  What cannot start counts as an exit, and says why
static void test_cannot_start (void)
{
    char *argv[] = { "/no/such/program", NULL }, *text[] = { "./text", NULL }, why[256] = "";
    folder_begin ();
    umbp_process_t *self = s_new (3000, 5000);
    int rc =
        umbp_process_start (self, argv, s_no_env, NULL, folder_path ("log"), 0, why, sizeof why);
    CU_ASSERT (rc == UMBP_EIO && strstr (why, "/no/such/program: No such file") != NULL);
    CU_ASSERT (umbp_process_next (self) == 3000 && umbp_process_code (self) == 127);
    CU_ASSERT (umbp_process_pid (self) == 0 && !umbp_process_look (self, 1));
    //  A log that is there, and be it a symlink, is not written to
    char *fine[] = { "/bin/true", NULL };
    CU_ASSERT (symlink ("/dev/null", folder_path ("planted")) == 0);
    rc = umbp_process_start (self, fine, s_no_env, NULL, folder_path ("planted"), 0, why,
                             sizeof why);
    CU_ASSERT (rc == UMBP_EIO && strstr (why, "planted") != NULL);
    CU_ASSERT (umbp_process_next (self) == 6000);
    //  No shell helps out where a file is no program
    folder_put ("text", "touch shell-was-here\n");
    chmod (folder_path ("text"), 0700);
    rc = umbp_process_start (self, text, s_no_env, folder, folder_path ("log-2"), 0, why,
                             sizeof why);
    CU_ASSERT (rc == UMBP_EIO && !folder_has ("shell-was-here"));
    umbp_process_destroy (&self);
    folder_end ();
}

//  Arguments are taken as they are; three descriptors, a session of its own, default signals
static void test_surroundings (void)
{
    folder_begin ();
    umbp_process_t *self = s_new (3000, 5000);
    char *echo[] = { "/bin/echo", "a b", "$HOME;`id`", "*", "", NULL };
    char why[256] = "";
    int rc = umbp_process_start (self, echo, s_no_env, folder, folder_path ("words"), 0, why,
                                 sizeof why);
    CU_ASSERT_FATAL (rc == 0 && s_wait_end (self, 0));
    CU_ASSERT_STRING_EQUAL (s_log ("words"), "a b $HOME;`id` * \n");
    struct stat info;
    CU_ASSERT (stat (folder_path ("words"), &info) == 0 && (info.st_mode & 07777) == 0600);

    int leak = open (folder_path ("words"), O_RDONLY);      //  Without CLOEXEC, as a library may do
    CU_ASSERT (leak > 2);
    sigset_t block, before;
    sigemptyset (&block);
    sigaddset (&block, SIGTERM);
    sigprocmask (SIG_BLOCK, &block, &before);
    signal (SIGPIPE, SIG_IGN);
    char *list[] = { "/bin/sh", "-c",
                     "readlink /proc/self/fd/0; pwd; ls /proc/self/fd; "
                     "echo err >&2; env",
                     NULL };
    rc =
        umbp_process_start (self, list, s_no_env, folder, folder_path ("list"), 0, why, sizeof why);
    CU_ASSERT_FATAL (rc == 0);
    umbp_proc_stat_t stat;
    CU_ASSERT (umbp_proc_stat ("/proc", umbp_process_pid (self), &stat) == 0);
    CU_ASSERT (stat.session == umbp_process_pid (self));
    CU_ASSERT (stat.start_ticks == umbp_process_ticks (self) && stat.start_ticks > 0);
    CU_ASSERT (s_wait_end (self, 0));
    //  Without a shell in between, which has its own idea of signals
    char *grep[] = { "/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status", NULL };
    rc = umbp_process_start (self, grep, s_no_env, folder, folder_path ("signals"), 0, why,
                             sizeof why);
    CU_ASSERT (rc == 0 && s_wait_end (self, 0));
    sigprocmask (SIG_SETMASK, &before, NULL);
    signal (SIGPIPE, SIG_DFL);
    close (leak);
    char *said = s_log ("list");
    CU_ASSERT (strncmp (said, "/dev/null\n", 10) == 0);
    CU_ASSERT (strstr (said, folder) != NULL);
    CU_ASSERT (strstr (said, "\n0\n1\n2\n3\nerr\n") != NULL);           //  3 is the folder that ls reads
    CU_ASSERT (strstr (said, "PATH=/usr/bin:/bin") != NULL);
    said = s_log ("signals");
    CU_ASSERT (strstr (said, "SigBlk:\t0000000000000000") != NULL);
    const char *ignored = strstr (said, "SigIgn:");      //  glibc itself ignores 32 and 33
    CU_ASSERT (ignored && (strtoull (ignored + 7, NULL, 16) & ~UINT64_C (0x180000000)) == 0);
    umbp_process_destroy (&self);
    folder_end ();
}

//  SIGTERM; who does not listen is killed once his grace is over, and not before
static void test_stop (void)
{
    folder_begin ();
    umbp_process_t *self = s_new (3000, 5000);
    CU_ASSERT_FATAL (s_sh (self, "exec sleep 1000", 1000) == 0);
    umbp_process_stop (self, 1000);
    umbp_process_stop (self, 2000);     //  Again is nothing
    CU_ASSERT (umbp_process_is_stopping (self));
    CU_ASSERT (s_wait_end (self, 1001));
    CU_ASSERT (umbp_process_code (self) == 128 + SIGTERM);
    CU_ASSERT (umbp_process_next (self) == 1101 && umbp_process_exits (self) == 0);

    //  Deaf, and with a child that is deaf too
    CU_ASSERT_FATAL (
        s_sh (self, "trap '' TERM; sleep 1000 & echo $! >child.new; mv child.new child; wait; wait",
              2000)
        == 0);
    CU_ASSERT_FATAL (s_wait_file ("child"));
    pid_t child = atoi (s_log ("child"));
    umbp_process_stop (self, 2000);
    for (unsigned look = 0; look < 20; look++)
        CU_ASSERT (!umbp_process_look (self, 6999));
    CU_ASSERT (umbp_process_pid (self) > 0 && kill (umbp_process_pid (self), 0) == 0);
    CU_ASSERT (s_wait_end (self, 7000));
    CU_ASSERT (umbp_process_code (self) == 128 + SIGKILL);
    CU_ASSERT (s_wait_gone (child));    //  What it left of its session is gone, too
    umbp_process_destroy (&self);
    folder_end ();
}

static char s_state_of (pid_t pid)
{
    umbp_proc_stat_t stat;
    return umbp_proc_stat ("/proc", pid, &stat) == 0 ? stat.state : '-';
}

static bool s_wait_proc_state (pid_t pid, char state)
{
    for (int64_t until = zclock_mono () + WAIT_MS; zclock_mono () < until; usleep (5000))
        if (s_state_of (pid) == state)
            return true;
    return false;
}

//  PRS-11: it stands still with all of its session, goes on, stays so for who takes it over, and ends all
//  the same when it is asked to
static void test_freeze (void)
{
    umbp_process_t *self = s_new (3000, 5000), *next = s_new (3000, 5000);
    folder_begin ();
    CU_ASSERT (umbp_process_freeze (self, true) == UMBP_ENOENT);
    CU_ASSERT_FATAL (s_sh (self, "sleep 1000 & echo $! >new; mv new child; wait", 0) == 0);
    pid_t pid = umbp_process_pid (self), child = 0;
    CU_ASSERT_FATAL (s_wait_file ("child"));
    FILE *file = fopen (folder_path ("child"), "r");
    CU_ASSERT_FATAL (file != NULL && fscanf (file, "%d", &child) == 1);
    fclose (file);
    CU_ASSERT (umbp_process_freeze (self, true) == 0 && umbp_process_is_frozen (self));
    CU_ASSERT (s_wait_proc_state (pid, 'T') && s_wait_proc_state (child, 'T'));
    CU_ASSERT (umbp_process_freeze (self, false) == 0 && !umbp_process_is_frozen (self));
    CU_ASSERT (s_wait_proc_state (pid, 'S') && s_wait_proc_state (child, 'S'));
    CU_ASSERT (umbp_process_freeze (self, true) == 0 && s_wait_proc_state (pid, 'T'));
    CU_ASSERT (umbp_process_adopt (next, pid, umbp_process_ticks (self), 0) == 0);
    CU_ASSERT (umbp_process_is_frozen (next));
    umbp_process_stop (self, 0);        //  Its grace is not over at 0: by SIGTERM
    CU_ASSERT (s_wait_end (self, 0) && umbp_process_code (self) == 128 + SIGTERM);
    CU_ASSERT (!umbp_process_is_frozen (self) && s_wait_gone (child));
    umbp_process_destroy (&self);
    umbp_process_destroy (&next);
    folder_end ();
}

//  D12: who comes after us takes over the very process, and no other one of its number
static void test_adopt (void)
{
    folder_begin ();
    umbp_process_t *first = s_new (3000, 5000), *second = s_new (3000, 5000);
    CU_ASSERT_FATAL (s_sh (first, "sleep 1000 & echo $! >child.new; mv child.new child; wait", 0)
                     == 0);
    CU_ASSERT_FATAL (s_wait_file ("child"));
    pid_t child = atoi (s_log ("child"));
    pid_t pid = umbp_process_pid (first);
    uint64_t ticks = umbp_process_ticks (first);
    umbp_process_destroy (&first);      //  Lets it go on
    CU_ASSERT (kill (pid, 0) == 0);
    CU_ASSERT (umbp_process_adopt (second, pid, ticks + 1, 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_process_adopt (second, 0, ticks, 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_process_adopt (second, -1, ticks, 0) == UMBP_ENOENT);
    CU_ASSERT (umbp_process_pid (second) == 0);
    CU_ASSERT (umbp_process_adopt (second, pid, ticks, 0) == 0);
    CU_ASSERT (umbp_process_pid (second) == pid && !umbp_process_look (second, 1));
    umbp_process_stop (second, 1);
    CU_ASSERT (s_wait_end (second, 2));
    CU_ASSERT (umbp_process_code (second) == -1);       //  Not our child, for all it knows
    CU_ASSERT (s_wait_gone (child));
    CU_ASSERT (umbp_process_adopt (second, pid, ticks, 0) == UMBP_ENOENT);   //  Dead, not buried
    CU_ASSERT (waitpid (pid, NULL, 0) == pid);
    CU_ASSERT (umbp_process_adopt (second, pid, ticks, 0) == UMBP_ENOENT);
    umbp_process_destroy (&second);
    folder_end ();
}

//  Found by its environment: the leader of its session, not what it started
static void test_find (void)
{
    char mark[128], why[256] = "", *env[] = { "WORKER_ID=find-me", mark, NULL };
    char *argv[] = { "/bin/sh", "-c", "/bin/sleep 1000 & wait", NULL };
    folder_begin ();
    snprintf (mark, sizeof mark, "HOME_OF=%s", folder);
    CU_ASSERT (umbp_proc_find ("/proc", "WORKER_ID", "find-me", "HOME_OF", folder) == 0);
    umbp_process_t *self = s_new (3000, 100);
    CU_ASSERT_FATAL (
        umbp_process_start (self, argv, env, NULL, folder_path ("log"), 0, why, sizeof why) == 0);
    //  The kernel shows its environment a little after it lets us go on
    int64_t until = zclock_mono () + WAIT_MS;
    pid_t found = 0;
    while (!found && zclock_mono () < until)
        found = umbp_proc_find ("/proc", "WORKER_ID", "find-me", "HOME_OF", folder);
    CU_ASSERT (found == umbp_process_pid (self));
    CU_ASSERT (umbp_proc_find ("/proc", "WORKER_ID", "find-m", "HOME_OF", folder) == 0);
    CU_ASSERT (umbp_proc_find ("/proc", "WORKER_ID", "find-me", "HOME_OF", "/elsewhere") == 0);
    umbp_process_stop (self, 0);
    CU_ASSERT (s_wait_end (self, 100));
    umbp_process_destroy (&self);
    folder_end ();
}

//  ------------------------------------------------------------------------------------------------
//  WRK-44, in a /proc of our own

#define POD "0f9b8a7c-1122-3344-5566-778899aabbcc"
#define POD_ "0f9b8a7c_1122_3344_5566_778899aabbcc"
#define BOX "4c2d7a1be3f5968708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f"

static void s_put_proc (int pid, const char *name, const char *text, size_t size)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%d", folder, pid);
    mkdir (path, 0700);
    snprintf (path, sizeof path, "%s/%d/%s", folder, pid, name);
    FILE *file = fopen (path, "w");
    CU_ASSERT_FATAL (file && fwrite (text, 1, size, file) == size && fclose (file) == 0);
}

static void test_map (void)
{
    static const struct {
        const char *cgroup, *pod, *box;
    } s_groups[] = {
        //  Version 1, cgroupfs: several lines, and a hybrid host's line of version 2
        { "12:memory:/kubepods/burstable/pod" POD "/" BOX "\n1:name=systemd:/x\n0::/\n", POD, BOX },
        //  Version 1, systemd
        { "5:devices:/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_
          ".slice/docker-" BOX ".scope\n",
          POD, BOX },
        //  Version 2, systemd, three runtimes
        { "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
          ".slice/cri-containerd-" BOX ".scope\n",
          POD, BOX },
        { "0::/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" BOX ".scope/container\n", POD, BOX },
        { "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" POD_
          ".slice:cri-containerd:" BOX "\n",
          POD, BOX },
        //  Version 2, cgroupfs; and a static pod, whose uid has no dashes
        { "0::/kubepods/pod" POD "/" BOX "\n", POD, BOX },
        { "0::/kubepods/burstable/pod0f9b8a7c11223344556677889900aabb/" BOX "\n",
          "0f9b8a7c11223344556677889900aabb", BOX },
        //  A node that is a container itself: the inner one counts
        { "0::/docker/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff/kubelet/"
          "kubepods/pod" POD "/" BOX "\n",
          POD, BOX },
        //  Containers without pods, and neither
        { "0::/system.slice/docker-" BOX ".scope\n", "", BOX },
        { "0::/user.slice/user-0.slice/session-1.scope\n", "", "" },
        { "0::/podman/tripod" POD "/x\n", "", "" },
        { "", "", "" },
    };
    static const char s_env[] =
        "PATH=/bin\0POD_NAME=pod-1\0POD_NAMESPACE=space\0CONTAINER_NAME=main\0WORKER_ID=w\0";
    static const char s_status[] = "Name:\tx\nNSpid:\t4711\t12\t7\nThreads:\t1\n";
    umbp_proc_map_t map;
    folder_begin ();
    CU_ASSERT (umbp_proc_map (folder, 4711, &map) == UMBP_ENOENT);
    s_put_proc (4711, "status", s_status, strlen (s_status));
    for (size_t index = 0; index < sizeof s_groups / sizeof *s_groups; index++) {
        s_put_proc (4711, "cgroup", s_groups[index].cgroup, strlen (s_groups[index].cgroup));
        CU_ASSERT (umbp_proc_map (folder, 4711, &map) == 0);
        CU_ASSERT_STRING_EQUAL (map.pod_uid, s_groups[index].pod);
        CU_ASSERT_STRING_EQUAL (map.container, s_groups[index].box);
        CU_ASSERT (map.inner_pid == 7 && !*map.pod);
    }
    s_put_proc (4711, "environ", s_env, sizeof s_env - 1);
    CU_ASSERT (umbp_proc_map (folder, 4711, &map) == 0);
    CU_ASSERT_STRING_EQUAL (map.pod, "space_pod-1_main");
    s_put_proc (4711, "environ", "POD_NAME=alone\0", 15);       //  Stripped: no half names
    CU_ASSERT (umbp_proc_map (folder, 4711, &map) == 0 && !*map.pod);

    //  A program may call itself what it likes
    static const char s_stat[] = "4711 (a) R 1 (b) S 99 4711 4711 0 -1 4194304 1 2 3 4 5 6 7 8 20 "
                                 "0 1 0 123456789012 4096 1 18446744073709551615\n";
    umbp_proc_stat_t stat;
    CU_ASSERT (umbp_proc_stat (folder, 4711, &stat) == UMBP_ENOENT);
    s_put_proc (4711, "stat", s_stat, strlen (s_stat));
    CU_ASSERT (umbp_proc_stat (folder, 4711, &stat) == 0);
    CU_ASSERT (stat.state == 'S' && stat.session == 4711 && stat.start_ticks == 123456789012);
    s_put_proc (4711, "stat", "4711 (x", 7);
    CU_ASSERT (umbp_proc_stat (folder, 4711, &stat) == UMBP_ENOENT);
    folder_end ();
}

int main (void)
{
    alarm (240);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("worker_process", NULL, NULL);
    CU_ADD_TEST (suite, test_backoff);
    CU_ADD_TEST (suite, test_cannot_start);
    CU_ADD_TEST (suite, test_surroundings);
    CU_ADD_TEST (suite, test_stop);
    CU_ADD_TEST (suite, test_freeze);
    CU_ADD_TEST (suite, test_adopt);
    CU_ADD_TEST (suite, test_find);
    CU_ADD_TEST (suite, test_map);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
