//  actors/tier/medium.h - what blocks of a tier rest on while they are not in pages: a log on drives (log.h), files that
//  many nodes mount (shelf.h), the memory of a device. A depot (depot.h) drives any of them through this table.
//
//  A medium is a value: one owner, called from one thread, no time of its own. None of its calls but close block: what
//  takes time is begun, and an event says what came of it.
#ifndef UMBP_MEDIUM_H
#define UMBP_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define UMBP_MEDIUM_KEY_MAX 640         //  With its tenant
#define UMBP_MEDIUM_SIZE_MAX (UINT32_C (1) << 30)
#define UMBP_MEDIUM_PIECES_MAX 128      //  iovecs of a call

typedef struct {                        //  What a record says of its block
    const void *key;
    size_t key_size;                    //  1..UMBP_MEDIUM_KEY_MAX bytes
    uint32_t size;                      //  Bytes of data, > 0, up to 1 GiB
    uint64_t sum;                       //  XXH3-64 of the data
    uint16_t depth;
    uint8_t replicas;
} umbp_medium_record_t;

typedef enum {
    UMBP_MEDIUM_WRITTEN,
    UMBP_MEDIUM_READ,
    UMBP_MEDIUM_MOVED,                  //  The record of item lies elsewhere now. at names it as before
    UMBP_MEDIUM_LEFT,                   //  The item was let go: to make room (status 0), or it was found damaged
                                        //  (UMBP_ECHECKSUM, UMBP_EIO). The owner forgets the block, and at
    UMBP_MEDIUM_RELEASED,               //  The memory of the request that timed out, by its tag, is the owner's again
} umbp_medium_event_type_t;

//  After WRITTEN or READ with UMBP_ETIMEDOUT the medium may still write to the memory of the request, or read from
//  it: nobody else may have it before RELEASED, with the same tag, has come.
typedef struct {
    umbp_medium_event_type_t type;
    int status;
    uint32_t item;                      //  Not of READ
    uint64_t tag, at;
} umbp_medium_event_t;

//  For eviction: shall the block stay (copied on, if the medium does such), or leave? Without one all leave.
typedef bool (umbp_medium_keep_fn) (void *arg, uint32_t item);

typedef struct {
    uint64_t capacity;                  //  Bytes of all of it
    uint64_t room;                      //  ... that blocks may fill; the rest is what it needs for itself
    uint64_t live_bytes,
        dead_bytes; //  There, with headers and padding; dead: what comes back by and by
    uint64_t records, segments, free_segments;
    uint64_t written_bytes, read_bytes, cleaned_bytes, tombstones;
    uint64_t torn,
        bad_headers; //  Found broken: records by a scan; heads or tables of segments, records
    uint64_t io_errors, timeouts, syncs;
    uint64_t waiting;                   //  Requests under way
    uint64_t recovered, recover_us;     //  Records, and how long open took for them
    const char *engine;
    bool direct, registered;            //  O_DIRECT; buffers are registered with io_uring
    uint32_t unit;                      //  A block takes multiples of this; 0: as store.h has it
    int state;                          //  0, UMBP_ENOSPC, UMBP_EIO, UMBP_EDENIED or, it hangs, UMBP_ETIMEDOUT
} umbp_medium_stats_t;

//  Those of log.h say more on each
typedef struct {
    //  Append; the data stays as it is until the event, WRITTEN, which names the record by at. Returns 0; UMBP_EAGAIN:
    //  not now, try after the next event; UMBP_ENOSPC: ask evict for room, and try again if evicting then says that some
    //  is coming; any other error.
    int (*append) (void *self, const umbp_medium_record_t *record, const struct iovec *data,
                   size_t count, uint32_t item, uint64_t tag);
    //  Read length bytes from offset of a block's data; READ says when: UMBP_EIO, UMBP_ECHECKSUM, UMBP_ENOENT: it is lost. Nothing is compared with the sum. Returns 0;
    //  UMBP_EAGAIN; UMBP_ENOENT: no such record; any other error.
    int (*read) (void *self, uint64_t at, uint32_t offset, uint32_t length,
                 const struct iovec *data, size_t count, uint64_t tag);
    //  The block is no more, and does not come back at the next start once this is past a mark
    int (*remove) (void *self, uint64_t at);
    //  Blocks that were there from before, one by one; false: that was all. The key is good until the next call.
    bool (*recovered) (void *self, umbp_medium_record_t *record, uint64_t *at_p);
    //  The owner's number of a record's block, UINT32_MAX: it has none. Given back by events, and asked of keep
    void (*set_item) (void *self, uint64_t at, uint32_t item);
    void (*set_keep) (void *self, umbp_medium_keep_fn *keep, void *arg);
    //  Make room for so many bytes: LEFT is said of each block that goes, of some only later. Calls add up
    //  NULL: nothing leaves by itself, the owner chooses by its policy
    void (*evict) (void *self, uint64_t bytes);
    uint64_t (*evicting) (const void *self);         //  Bytes asked for that did not leave yet
    //  Items of the records whose removal gives room soonest, of those that may go; how many. Who may not, and
    //  comes before the first of them, is not asked about again before all others were. Optional: NULL, there is no such
    //  order
    size_t (*victims) (void *self, umbp_medium_keep_fn *may_go, void *arg, size_t max,
                       uint32_t *items);
    //  A name for all that was removed so far; and whether that is as safe as what counts as written
    uint64_t (*mark) (void *self);
    bool (*is_past) (const void *self, uint64_t mark);
    int (*fd) (void *self);             //  Readable when there may be events
    bool (*event) (void *self, umbp_medium_event_t *event);          //  Next event, false: none now
    void (*tick) (void *self, int64_t now_ms);       //  Every ~20 ms: deadlines, what waits for its time
    umbp_medium_stats_t (*stats) (const void *self);
    //  Writes what was handed in, waits for what is under way, a bounded time. False: the medium did not let go of all;
    //  then the memory of what is under way is its own for as long as the process lives. Blocks.
    bool (*close) (void *self);
    //  A read that is not done in time is as one that failed: the block is given up, others have it or make it anew
    bool forgets;
} umbp_medium_calls_t;

typedef struct {
    const umbp_medium_calls_t *calls;   //  NULL: there is none
    void *self;
} umbp_medium_t;

//  Ends it, and leaves its owner none. Returns what close did; true if there was none.
static inline bool umbp_medium_close (umbp_medium_t *medium)
{
    bool clean = !medium->calls || medium->calls->close (medium->self);
    *medium = (umbp_medium_t) { NULL, NULL };
    return clean;
}

#endif
