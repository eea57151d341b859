//  actors/pressure/psi.c - pressure stall information. See psi.h.
#include "actors/pressure/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"

int umbp_psi_open (const char *path, bool full, unsigned permille, unsigned *window_us)
{
    static const unsigned windows_us[] = { 1000000, UMBP_PSI_WINDOW_US };
    int fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1)
        return errno == ENOENT || errno == ENOTDIR ? UMBP_ENOENT : UMBP_EDENIED;
    for (size_t index = 0; index < sizeof windows_us / sizeof *windows_us; index++) {
        char line[64];
        int size = snprintf (line, sizeof line, "%s %u %u", full ? "full" : "some",
                             windows_us[index] / 1000 * permille, windows_us[index]);
        if (write (fd, line, (size_t) size + 1) == size + 1) {
            if (window_us)
                *window_us = windows_us[index];
            return fd;
        }
    }
    int rc = errno == EACCES || errno == EPERM ? UMBP_EDENIED : UMBP_EINVAL;
    close (fd);
    return rc;
}

int umbp_psi_event (short revents)
{
    if (revents & (POLLERR | POLLNVAL | POLLHUP))
        return UMBP_ECLOSED;
    return revents & POLLPRI ? 1 : 0;
}

int umbp_psi_read (const char *path, uint64_t *some_us, uint64_t *full_us)
{
    char text[512];
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return UMBP_ENOENT;
    ssize_t size = read (fd, text, sizeof text - 1);
    close (fd);
    if (size <= 0)
        return UMBP_ENOENT;             //  EOPNOTSUPP: the kernel was started with psi=0
    text[size] = 0;
    const char *some = strstr (text, "some "), *full = strstr (text, "full ");
    const char *some_total = some ? strstr (some, "total=") : NULL;
    const char *full_total = full ? strstr (full, "total=") : NULL;
    *full_us = 0;                       //  Kernels before 5.13 have no "full" for some resources
    if (!some_total || sscanf (some_total, "total=%" SCNu64, some_us) != 1)
        return UMBP_EPROTO;
    if (full_total && sscanf (full_total, "total=%" SCNu64, full_us) != 1)
        return UMBP_EPROTO;
    return 0;
}

void umbp_psi_meter_add (umbp_psi_meter_t *self, int64_t now_us, uint64_t some_us, uint64_t full_us,
                         unsigned *some, unsigned *full)
{
    //  Keep the newest sample that is a window old: the share is counted from it
    while (self->count > 1
           && (self->count == UMBP_PSI_SAMPLES
               || self->samples[(self->first + 1) % UMBP_PSI_SAMPLES].at_us
                      <= now_us - UMBP_PSI_WINDOW_US)) {
        self->first = (self->first + 1) % UMBP_PSI_SAMPLES;
        self->count--;
    }
    size_t place = (self->first + self->count++) % UMBP_PSI_SAMPLES;
    self->samples[place].at_us = now_us;
    self->samples[place].some_us = some_us;
    self->samples[place].full_us = full_us;
    size_t from = self->first;
    int64_t over_us = now_us - self->samples[from].at_us;
    if (over_us < UMBP_PSI_WINDOW_US)
        over_us = UMBP_PSI_WINDOW_US;
    uint64_t lost_some = some_us - self->samples[from].some_us;
    uint64_t lost_full = full_us - self->samples[from].full_us;
    *some = (unsigned) (lost_some * 1000 / (uint64_t) over_us);
    *full = (unsigned) (lost_full * 1000 / (uint64_t) over_us);
}
