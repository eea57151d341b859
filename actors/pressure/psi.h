//  actors/pressure/psi.h - pressure stall information of the kernel: how long tasks stood still for want of
//  memory. Two ways to hear of it: the totals, which can be read at any time; and a trigger, a descriptor that
//  becomes readable (POLLPRI) when more than a threshold of a window was lost.
//
//  A process without CAP_SYS_RESOURCE may use windows that are multiples of 2 s alone: a window of 1 s is tried
//  first. If the write fails there is no trigger at all: the kernel reports POLLPRI and POLLERR at once for a
//  descriptor without one, which would be a false alarm. Values and functions of one thread; reading a file of
//  /proc or of a cgroup does not block.
#ifndef UMBP_PSI_H
#define UMBP_PSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_PSI_WINDOW_US 2000000      //  Shares are of this
#define UMBP_PSI_SAMPLES 64

//  A trigger on a file: tell when tasks ("some") or all of them at once ("full") stand still for more than so many
//  per mille of a window. Returns a descriptor to poll for POLLPRI, to be closed; or UMBP_ENOENT (no such file),
//  UMBP_EDENIED, or UMBP_EINVAL (the kernel takes none of the windows). *window_us, unless NULL, is what it took.
int umbp_psi_open (const char *path, bool full, unsigned permille, unsigned *window_us);

//  What a poll of a trigger said: 1 the threshold was passed, 0 nothing, UMBP_ECLOSED if the trigger is gone (its
//  cgroup is, or it never was one): to be closed, and no sign of pressure
int umbp_psi_event (short revents);

//  Microseconds lost since the start. Returns 0, or UMBP_ENOENT if there is no such file, UMBP_EPROTO if it
//  cannot be understood.
int umbp_psi_read (const char *path, uint64_t *some_us, uint64_t *full_us);

//  Totals over the last window
typedef struct {
    struct {
        int64_t at_us;
        uint64_t some_us, full_us;
    } samples[UMBP_PSI_SAMPLES];        //  A ring
    size_t first, count;
} umbp_psi_meter_t;

//  Add what was read at a moment, and say which share, per mille, of the last window was lost. With less than a
//  window of samples: of that window, as if nothing was lost before.
void umbp_psi_meter_add (umbp_psi_meter_t *self, int64_t now_us, uint64_t some_us, uint64_t full_us,
                         unsigned *some, unsigned *full);

#endif
