//  test/guest/owner.h - the other host: a process that owns a region at the other end of the
//  cables, and does what it is asked through a socket. For one test at a time; it ends with its parent.
#ifndef UMBP_TEST_OWNER_H
#define UMBP_TEST_OWNER_H

#include "cluster/bulk/clock.h"
#include "cluster/bulk/copy.h"
#include "cluster/bulk/region.h"
#include "cluster/bulk/verbs.h"
#include "proto/error.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum {
    OWNER_LINK,
    OWNER_CONNECT,
    OWNER_OPEN,
    OWNER_CLOSE,
    OWNER_FENCE,
    OWNER_ALIVE,
    OWNER_FILL,
    OWNER_SUM
} owner_what_t;

typedef struct {
    owner_what_t what;
    unsigned delay_ms;                  //  Before it is done
    umbp_verbs_description_t peer;      //  LINK, CONNECT
    bool later;                         //  LINK: connect only when asked to
    int rights;                         //  LINK, OPEN
    uint64_t offset, bytes, seed;       //  OPEN, FILL, SUM
} owner_ask_t;

typedef struct {
    int rc;
    umbp_verbs_description_t link;
    umbp_verbs_memory_t memory;
    uint64_t sum;
    size_t alive;
} owner_answer_t;

typedef struct {
    pid_t pid;
    int fd;
} owner_t;

//  The same bytes on both sides, for a seed and a place
static inline void owner_fill (void *base, uint64_t bytes, uint64_t seed)
{
    unsigned char *at = base;
    uint64_t state = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
    for (uint64_t index = 0; index < bytes; index++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at[index] = (unsigned char) (state >> 24);
    }
}

typedef struct {
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;
    umbp_region_t *memory;
    umbp_verbs_region_t *region;
    umbp_verbs_link_t *link;
    umbp_verbs_window_t *window;
    bool alone;                         //  Nothing opens memory but windows
} owner_self_t;

static inline void owner_do (owner_self_t *self, const owner_ask_t *ask, owner_answer_t *answer)
{
    const umbp_verbs_api_t *api = self->api;
    char *base = umbp_region_base (self->memory);
    umbp_verbs_part_t part;
    poll (NULL, 0, (int) ask->delay_ms);
    switch (ask->what) {
    case OWNER_LINK:
        api->windows_destroy (&self->window, 1);
        api->link_destroy (&self->link);
        self->link =
            api->link_new (self->verbs, ask->peer.count,
                           ask->rights | (self->alone ? UMBP_VERBS_ALONE : 0), &answer->rc);
        if (!self->link)
            break;
        api->link_describe (self->link, &answer->link);
        api->region_describe (self->region, &answer->memory);
        if (!ask->later)
            answer->rc = api->link_connect (self->link, &ask->peer);
        break;
    case OWNER_CONNECT: answer->rc = api->link_connect (self->link, &ask->peer); break;
    case OWNER_OPEN:
        part = (umbp_verbs_part_t){ self->region, ask->offset,
                                    ask->bytes,   (umbp_verbs_right_t) ask->rights,
                                    NULL,         0 };
        api->windows_new (self->link, &part, 1);
        self->window = part.window;
        answer->rc = part.rc;
        if (self->window)
            api->window_describe (self->window, &answer->memory);
        break;
    case OWNER_CLOSE: answer->rc = api->windows_destroy (&self->window, 1); break;
    case OWNER_FENCE: api->link_destroy (&self->link); break;
    case OWNER_ALIVE: answer->alive = self->link ? api->link_alive (self->link) : 0; break;
    case OWNER_FILL: owner_fill (base + ask->offset, ask->bytes, ask->seed); break;
    case OWNER_SUM: break;
    }
    if (ask->bytes)
        answer->sum = umbp_sum (base + ask->offset, ask->bytes);
}

static inline void owner_serve (int fd, const char *plugin, const char *devices, int region_rights,
                                size_t bytes, bool no_windows)
{
    char why[UMBP_VERBS_WHY_MAX];
    owner_self_t self = { .api = umbp_verbs_load (plugin, why), .alone = no_windows };
    umbp_verbs_options_t options = { .devices = devices, .no_windows = no_windows };
    if (self.api)
        self.verbs = self.api->open (&options, NULL, why);
    if (!self.verbs) {
        printf ("owner: %s\n", why);
        _exit (1);
    }
    self.memory = umbp_region_new ("owner", bytes, false, true, NULL);
    assert (self.memory);
    self.region = self.api->region_new (self.verbs, umbp_region_base (self.memory), bytes,
                                        region_rights, NULL);
    assert (self.region);
    owner_ask_t ask;
    while (recv (fd, &ask, sizeof ask, 0) == sizeof ask) {
        owner_answer_t answer = { 0 };
        owner_do (&self, &ask, &answer);
        if (send (fd, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
    self.api->windows_destroy (&self.window, 1);
    self.api->link_destroy (&self.link);
    self.api->region_destroy (&self.region);
    self.api->close (&self.verbs);
    umbp_region_destroy (&self.memory);
    _exit (0);
}

static inline owner_t owner_start (const char *plugin, const char *devices, int region_rights,
                                   size_t bytes, bool no_windows)
{
    int fds[2];
    int rc = socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
    assert (rc == 0);
    owner_t self = { .pid = fork (), .fd = fds[0] };
    assert (self.pid >= 0);
    if (self.pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        close (fds[0]);
        owner_serve (fds[1], plugin, devices, region_rights, bytes, no_windows);
    }
    close (fds[1]);
    return self;
}

static inline void owner_tell (owner_t *self, const owner_ask_t *ask)
{
    ssize_t size = send (self->fd, ask, sizeof *ask, MSG_NOSIGNAL);
    assert (size == sizeof *ask);
}

static inline owner_answer_t owner_hear (owner_t *self)
{
    owner_answer_t answer = { .rc = UMBP_ECLOSED };
    if (recv (self->fd, &answer, sizeof answer, 0) != sizeof answer)
        printf ("the owner is gone\n");
    return answer;
}

static inline owner_answer_t owner_ask (owner_t *self, const owner_ask_t *ask)
{
    owner_tell (self, ask);
    return owner_hear (self);
}

//  Returns 0 if it ended well
static inline int owner_end (owner_t *self)
{
    int status = 0;
    close (self->fd);
    waitpid (self->pid, &status, 0);
    return status;
}

#endif
