//  actors/verbs_links.h - the owner's end of RDMA: links of clients, and what is open to each. A block
//  is open to one link alone, by windows that have keys of their own, for as long as the bulk server
//  holds the token that it was opened under (tcp_server.h): so whatever ends a lease or a slot over tcp
//  ends it here too, and pages are not used again before that is done.
//
//  What is open to be read ends with its windows: a late reader gets nothing, or throws it away. What
//  is open to be written ends with its windows only if the writer says that all its requests are done;
//  else with the whole link, after which no packet of it can land any more.
//
//  For one thread. Calls wait for the device, not for the peer: microseconds, or seconds if it hangs.
#ifndef UMBP_VERBS_LINKS_H
#define UMBP_VERBS_LINKS_H

#include "cluster/bulk/tcp_server.h"
#include "cluster/bulk/verbs.h"
#include "proto/types.h"

#define UMBP_VERBS_LINKS_MAX 256        //  Of all clients; one of a session
#define UMBP_VERBS_WINDOWS_MAX 4096     //  Open to one link
#define UMBP_VERBS_SPANS_MAX 256        //  Of one block: who has more of them goes over tcp

typedef struct umbp_verbs_links umbp_verbs_links_t;

typedef struct {
    const umbp_verbs_api_t *api;
    umbp_verbs_t *verbs;                //  Owned from now on, in any case
    const umbp_piece_t *regions;        //  Copied; the memory must outlive us
    size_t region_count;
    uint32_t page_size;
    umbp_bulk_server_t *bulk;           //  Must outlive us
    int64_t idle_ms;                    //  A link that nothing is open to goes after so long
} umbp_verbs_links_args_t;

//  Makes the memory known to the devices, which takes it out of the system's hands: it is locked.
//  Returns NULL if that cannot be; *rc_p is UMBP_ENOSPC (locked memory: ulimit -l) or UMBP_EIO.
umbp_verbs_links_t *umbp_verbs_links_new (const umbp_verbs_links_args_t *args, int *rc_p);

//  Ends all links. When it returns no peer reaches the memory any more.
void umbp_verbs_links_destroy (umbp_verbs_links_t **self_p);

//  Where the regions are, for peers. Returns how many.
size_t umbp_verbs_links_regions (const umbp_verbs_links_t *self, uint64_t *bases, uint64_t *sizes);

//  Make a link to a peer, whose session must have a lease or slot here. A former link of the session
//  ends. user: who that is, as its certificate says. Returns 0, the number of the link, and our end;
//  or UMBP_ESTALE (no lease, no slot), UMBP_EAGAIN (too many links), or what link_new and
//  link_connect say.
int umbp_verbs_links_join (umbp_verbs_links_t *self, uint64_t session, const char *user,
                           const umbp_verbs_description_t *peer, uint64_t *number_p,
                           umbp_verbs_description_t *own);

//  Windows into one block
typedef struct {
    umbp_extent_t extent;               //  Generation 0: windows have no need of it
    uint32_t keys[UMBP_VERBS_QUEUES_MAX];
} umbp_verbs_row_t;

//  What is to be opened: a lease or slot and the number of the block in it, each
typedef struct {
    umbp_u64s_t tokens;
    umbp_u32s_t items;
    bool write;
} umbp_verbs_ask_t;

//  Open blocks to a link. Writes at most max rows, up to UMBP_WINDOWS_MAX; of each block how many of them
//  are its, and its status: 0, or UMBP_ESTALE, UMBP_EDENIED (another session's token), UMBP_EAGAIN (too
//  many windows, or it is open already), UMBP_ENOSPC (memory that may be locked), UMBP_ECLOSED, UMBP_EIO.
//  Returns the rows, or UMBP_ENOENT (no such link of that user).
int umbp_verbs_links_expose (umbp_verbs_links_t *self, uint64_t number, const char *user,
                             const umbp_verbs_ask_t *ask, umbp_verbs_row_t *rows, size_t max,
                             int8_t *statuses, uint16_t *counts);

//  Queue pairs of a link, 0 if there is none of that number and user
size_t umbp_verbs_links_queues (const umbp_verbs_links_t *self, uint64_t number, const char *user);

//  Close what is open to a link under a token. clean: the peer has no request under way there, and
//  lost no queue pair. If that is not so, or not for us, and it was open to writes, the link ends.
void umbp_verbs_links_conceal (umbp_verbs_links_t *self, uint64_t number, const char *user,
                               uint64_t token, bool clean);

//  End a link
void umbp_verbs_links_leave (umbp_verbs_links_t *self, uint64_t number, const char *user);

//  Close what the owner of the pages has revoked
void umbp_verbs_links_cut (umbp_verbs_links_t *self);

//  Every second: end links that are broken, and those that have been idle
void umbp_verbs_links_tidy (umbp_verbs_links_t *self);

typedef struct {
    uint64_t links, windows;            //  Now
    uint64_t joined, exposed, exposed_bytes, refused;
    uint64_t revoked;                   //  Blocks closed since their lease or slot ended
    uint64_t fenced;                    //  Links ended since what was open to writes was not let go cleanly
    uint64_t broken, idle;              //  Links ended for that
} umbp_verbs_links_stats_t;

umbp_verbs_links_stats_t umbp_verbs_links_stats (const umbp_verbs_links_t *self);

#endif
