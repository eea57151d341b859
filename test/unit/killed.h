//  test/unit/killed.h - processes that die of SIGKILL at a point which they pass, and memory in which
//  they leave word to who forked them. Whoever forks has no threads.
#ifndef UMBP_TEST_KILLED_H
#define UMBP_TEST_KILLED_H

#include <CUnit/Basic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

//  In shared memory
typedef struct {
    char point[32];
    uint64_t left;                      //  Passes until who comes by dies; 0: nobody does
} killed_t;

//  Zeros, for us and all that we fork
static inline void *killed_share (size_t bytes)
{
    void *memory = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort ();                       //  Asked for before any test runs
    return memory;
}

//  From now on who passes this point for the n-th time dies
static inline void killed_arm (killed_t *self, const char *point, uint64_t passes)
{
    snprintf (self->point, sizeof self->point, "%s", point);
    __atomic_store_n (&self->left, passes, __ATOMIC_SEQ_CST);
}

//  In any thread
static inline void killed_pass (killed_t *self, const char *point)
{
    if (__atomic_load_n (&self->left, __ATOMIC_SEQ_CST) > 0 && strcmp (point, self->point) == 0
        && __atomic_sub_fetch (&self->left, 1, __ATOMIC_SEQ_CST) == 0)
        raise (SIGKILL);
}

//  Returns 0 in a process of its own, which dies with us and ends by _exit
static inline pid_t killed_fork (void)
{
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0)
        prctl (PR_SET_PDEATHSIG, SIGKILL);
    CU_ASSERT_FATAL (pid >= 0);
    return pid;
}

//  Wait for its end. Returns true if it was killed, false if it exited with 0; all else is a
//  failure of the test.
static inline bool killed_wait (killed_t *self, pid_t pid)
{
    int status = -1;
    CU_ASSERT_FATAL (waitpid (pid, &status, 0) == pid);
    if (WIFEXITED (status) && WEXITSTATUS (status) != 0)
        printf ("[%s: exit %d] ", self->point, WEXITSTATUS (status));
    CU_ASSERT (WIFSIGNALED (status) ? WTERMSIG (status) == SIGKILL : WEXITSTATUS (status) == 0);
    self->left = 0;                     //  We may pass
    return WIFSIGNALED (status);
}

#endif
