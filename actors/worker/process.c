//  actors/worker/process.c - one process that is kept running. See process.h for the contract.
#include "actors/worker/process.h"

#include <czmq.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "actors/worker/proc.h"
#include "proto/error.h"

struct umbp_process {
    umbp_process_times_t times;
    char root[256];
    pid_t pid;
    int pidfd;
    uint64_t ticks;
    bool child;                         //  Ours to wait for, not adopted
    bool stopping, killed, frozen;
    int64_t started_at, kill_at, next_at;
    unsigned exits;
    int code;
};

umbp_process_times_t umbp_process_times (int64_t backoff_ms, int64_t grace_ms)
{
    return (umbp_process_times_t){ .backoff_ms = backoff_ms,
                                   .backoff_max_ms = 20 * backoff_ms,
                                   .healthy_ms = 20 * backoff_ms, .grace_ms = grace_ms,
                                   .pause_ms = backoff_ms / 30 };
}

umbp_process_t *umbp_process_new (const umbp_process_times_t *times, const char *root)
{
    umbp_process_t *self = zmalloc (sizeof (umbp_process_t));
    self->times = *times;
    self->pidfd = -1;
    snprintf (self->root, sizeof self->root, "%s", root);
    return self;
}

static void s_forget (umbp_process_t *self)
{
    if (self->pidfd != -1)
        close (self->pidfd);
    self->pidfd = -1;
    self->pid = 0;
    self->ticks = 0;
    self->stopping = self->killed = self->frozen = false;
}

void umbp_process_destroy (umbp_process_t **self_p)
{
    if (*self_p)
        s_forget (*self_p);
    freen (*self_p);
}

pid_t umbp_process_pid (const umbp_process_t *self)
{
    return self->pid;
}

uint64_t umbp_process_ticks (const umbp_process_t *self)
{
    return self->ticks;
}

int umbp_process_fd (const umbp_process_t *self)
{
    return self->pidfd;
}

int umbp_process_code (const umbp_process_t *self)
{
    return self->code;
}

int64_t umbp_process_next (const umbp_process_t *self)
{
    return self->next_at;
}

unsigned umbp_process_exits (const umbp_process_t *self)
{
    return self->exits;
}

bool umbp_process_is_stopping (const umbp_process_t *self)
{
    return self->stopping;
}

void umbp_process_forgive (umbp_process_t *self)
{
    self->exits = 0;
    self->next_at = 0;
}

//  ------------------------------------------------------------------------------------------------
//  Beginning

//  The child has default signals, none of them blocked, a session of its own and three descriptors
static int s_spawn (pid_t *pid, char *const *argv, char *const *envp, const char *folder, int null,
                    int log)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawn_file_actions_init (&files);
    posix_spawnattr_init (&how);
    int rc = posix_spawn_file_actions_adddup2 (&files, null, STDIN_FILENO)
                     || posix_spawn_file_actions_adddup2 (&files, log, STDOUT_FILENO)
                     || posix_spawn_file_actions_adddup2 (&files, log, STDERR_FILENO)
                     || posix_spawn_file_actions_addclosefrom_np (&files, STDERR_FILENO + 1)
                     || (folder && posix_spawn_file_actions_addchdir_np (&files, folder))
                     || posix_spawnattr_setsigmask (&how, &none)
                     || posix_spawnattr_setsigdefault (&how, &all)
                     || posix_spawnattr_setflags (
                         &how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID)
                 ? ENOMEM
                 : posix_spawnp (pid, argv[0], &files, &how, argv, envp);
    posix_spawnattr_destroy (&how);
    posix_spawn_file_actions_destroy (&files);
    return rc;
}

//  One more exit in a row: when may it start again?
static void s_count_exit (umbp_process_t *self, int64_t now, bool healthy)
{
    self->exits = healthy ? 1 : self->exits + 1;
    int64_t pause = self->times.backoff_ms;
    for (unsigned exit = 1; exit < self->exits && pause < self->times.backoff_max_ms; exit++)
        pause *= 2;
    if (pause > self->times.backoff_max_ms)
        pause = self->times.backoff_max_ms;
    self->next_at = now + pause;
}

//  Above stderr: dup2 to itself would leave a descriptor that exec closes
static int s_lift (int fd)
{
    if (fd == -1 || fd > STDERR_FILENO)
        return fd;
    int lifted = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close (fd);
    return lifted;
}

int umbp_process_start (umbp_process_t *self, char *const *argv, char *const *envp,
                        const char *folder, const char *log, int64_t now, char *why, size_t size)
{
    assert (self->pid == 0);
    pid_t pid = 0;
    int null = s_lift (open ("/dev/null", O_RDONLY | O_CLOEXEC));
    int out =
        s_lift (open (log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
    int rc = null == -1 || out == -1 ? errno : s_spawn (&pid, argv, envp, folder, null, out);
    if (rc)
        snprintf (why, size, "%s: %s", out == -1 ? log : argv[0], strerror (rc));
    if (null != -1)
        close (null);
    if (out != -1)
        close (out);
    if (rc) {
        s_count_exit (self, now, false);
        self->code = 127;
        return UMBP_EIO;
    }
    umbp_proc_stat_t stat = { .start_ticks = 0 };
    umbp_proc_stat (self->root, pid, &stat);
    self->pid = pid;
    self->pidfd = (int) syscall (SYS_pidfd_open, pid, 0);     //  Nobody else waits for it yet
    self->ticks = stat.start_ticks;
    self->child = true;
    self->started_at = now;
    return UMBP_OK;
}

int umbp_process_adopt (umbp_process_t *self, pid_t pid, uint64_t start_ticks, int64_t now)
{
    assert (self->pid == 0);
    umbp_proc_stat_t stat;
    //  First the descriptor: whom it means cannot change while we look who that is
    int fd = pid > 0 ? (int) syscall (SYS_pidfd_open, pid, 0) : -1;
    if (fd == -1 || umbp_proc_stat (self->root, pid, &stat) < 0 || stat.state == 'Z'
        || stat.start_ticks != start_ticks) {
        if (fd != -1)
            close (fd);
        return UMBP_ENOENT;
    }
    self->pid = pid;
    self->pidfd = fd;
    self->ticks = start_ticks;
    self->child = false;
    self->frozen = stat.state == 'T';
    self->started_at = now;
    return UMBP_OK;
}

//  ------------------------------------------------------------------------------------------------
//  Ending

//  A child of ours keeps its number until we wait for it; of an adopted one the descriptor knows
static void s_signal (const umbp_process_t *self, int number)
{
    if (self->pidfd != -1)
        syscall (SYS_pidfd_send_signal, self->pidfd, number, NULL, 0);
    else if (self->child)
        kill (self->pid, number);
}

//  A signal to all of its session, as long as nobody new leads one of that number: known by its session,
//  and by descriptors, since of an adopted one the number may be another's soon
static void s_signal_session (const umbp_process_t *self, int number)
{
    umbp_proc_stat_t stat;
    if (umbp_proc_stat (self->root, self->pid, &stat) == 0 && stat.start_ticks != self->ticks)
        return;
    DIR *dir = opendir (self->root);
    for (struct dirent *entry = dir ? readdir (dir) : NULL; entry; entry = readdir (dir)) {
        pid_t pid = atoi (entry->d_name);
        int fd = pid > 0 ? (int) syscall (SYS_pidfd_open, pid, 0) : -1;
        if (fd == -1)
            continue;
        if (umbp_proc_stat (self->root, pid, &stat) == 0 && stat.session == self->pid
            && stat.start_ticks >= self->ticks)
            syscall (SYS_pidfd_send_signal, fd, number, NULL, 0);
        close (fd);
    }
    if (dir)
        closedir (dir);
}

//  Twice, since one that was not asked yet may have made another meanwhile
int umbp_process_freeze (umbp_process_t *self, bool frozen)
{
    if (self->pid == 0)
        return UMBP_ENOENT;
    if (self->frozen == frozen)
        return UMBP_OK;
    self->frozen = frozen;
    for (unsigned turn = 0; turn < 2; turn++)
        s_signal_session (self, frozen ? SIGSTOP : SIGCONT);
    return UMBP_OK;
}

bool umbp_process_is_frozen (const umbp_process_t *self)
{
    return self->frozen;
}

void umbp_process_stop (umbp_process_t *self, int64_t now)
{
    if (self->pid == 0 || self->stopping)
        return;
    self->stopping = true;
    self->kill_at = now + self->times.grace_ms;
    s_signal (self, SIGTERM);
    umbp_process_freeze (self, false);  //  Who stands still hears nothing
}

static int s_code_of (const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

//  Has our child ended? What it left of its session goes too, as long as its number is its own
static bool s_is_reaped (umbp_process_t *self)
{
    siginfo_t info = { .si_pid = 0 };
    if (waitid (P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == -1) {
        if (errno == EINTR)
            return false;
        self->code = -1;                //  The program around us has waited for it
        return true;
    }
    if (info.si_pid == 0)
        return false;
    self->code = s_code_of (&info);
    kill (-self->pid, SIGKILL);
    waitid (P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG);
    return true;
}

static bool s_has_ended (umbp_process_t *self)
{
    if (self->child)
        return s_is_reaped (self);
    struct pollfd fd = { .fd = self->pidfd, .events = POLLIN };
    if (poll (&fd, 1, 0) != 1)
        return false;
    self->code = -1;
    s_signal_session (self, SIGKILL);
    return true;
}

bool umbp_process_look (umbp_process_t *self, int64_t now)
{
    if (self->pid == 0)
        return false;
    if (!s_has_ended (self)) {
        if (self->stopping && !self->killed && now >= self->kill_at) {
            self->killed = true;
            if (self->child)
                kill (-self->pid, SIGKILL);
            s_signal (self, SIGKILL);
        }
        return false;
    }
    if (self->stopping)
        self->next_at = now + self->times.pause_ms;
    else
        s_count_exit (self, now, now - self->started_at >= self->times.healthy_ms);
    s_forget (self);
    return true;
}
