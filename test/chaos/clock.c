//  test/chaos/clock.c - a wall clock that jumps: loaded into a node before the C library
//  (LD_PRELOAD), it adds to CLOCK_REALTIME the nanoseconds that are in the file $UMBP_CHAOS_CLOCK,
//  an int64_t in the host's order, which may change at any time. Other clocks are left alone.
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *s_offset;

static void __attribute__ ((constructor)) s_open (void)
{
    const char *name = getenv ("UMBP_CHAOS_CLOCK");
    int fd = name ? open (name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd == -1 ? MAP_FAILED : mmap (NULL, sizeof *s_offset, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort ();                       //  A test that would test nothing
    s_offset = map;
    close (fd);
}

int clock_gettime (clockid_t clock, struct timespec *out)
{
    int rc = (int) syscall (SYS_clock_gettime, clock, out);
    if (rc != 0 || !s_offset || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return rc;
    int64_t sum = (int64_t) out->tv_sec * 1000000000 + out->tv_nsec + atomic_load (s_offset);
    out->tv_sec = sum / 1000000000;
    out->tv_nsec = sum % 1000000000;
    return 0;
}

int gettimeofday (struct timeval *out, void *zone)
{
    struct timespec now;
    (void) zone;
    if (clock_gettime (CLOCK_REALTIME, &now) != 0)
        return -1;
    *out = (struct timeval) { now.tv_sec, now.tv_nsec / 1000 };
    return 0;
}

time_t time (time_t *out)
{
    struct timespec now;
    if (clock_gettime (CLOCK_REALTIME, &now) != 0)
        return -1;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
