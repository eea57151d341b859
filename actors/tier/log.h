//  actors/tier/log.h - the segment log of the NVMe tier: blocks on disk, found again after a restart.
//
//  Each directory (a drive, say) has one file, umbp.log, allocated whole when it is made and cut into segments.
//  Records are appended to one segment of each directory at a time; a full one gets a table of its records at its
//  end, so that the next start reads the tables and not the blocks. Nothing is changed in place: what is removed
//  is named by a tombstone, and the room comes back when cleaning copies what is left of a segment elsewhere.
//  Directories know nothing of each other: one that is lost takes its own blocks along, and no others. See
//  doc/log-format.md.
//
//  A value: one owner, called from one thread (which may be another than the one that opened it), no time of its
//  own. Only open and close block; all else is queued with the kernel (io_uring) or a few threads (posix). Memory:
//  32 bytes per record, 24 more and its key while the segment it is in is being filled, and from open until
//  umbp_log_recovered has said false; 12 MiB of buffers.
#ifndef UMBP_LOG_H
#define UMBP_LOG_H

#include "actors/tier/medium.h"

typedef struct umbp_log umbp_log_t;

#define UMBP_LOG_DIRECTORIES_MAX 16
#define UMBP_LOG_SEGMENT_BYTES (UINT64_C (256) << 20)
#define UMBP_LOG_SEGMENT_BYTES_MIN (UINT64_C (1) << 20)
#define UMBP_LOG_SEGMENT_BYTES_MAX (UINT64_C (16) << 30)
#define UMBP_LOG_SEGMENTS_MIN 4         //  In each directory
#define UMBP_LOG_DEADLINE_MS 5000       //  Of a request
#define UMBP_LOG_REMOVE_MS 100          //  A tombstone is on its way to the disk after so long

typedef struct {
    const char *const *directories;     //  Striped: segments go round them. Created if absent (0700)
    size_t directory_count;
    uint64_t capacity_bytes;            //  Of all of them together, tables and all; never more on disk
    uint64_t segment_bytes;             //  A multiple of 4096; 0: 256 MiB. Fixed once the log is made
    unsigned depth;                     //  Reads and large writes at a time; 0: 64
    bool strict;                        //  Written means on disk (fdatasync, grouped); else: handed to the disk
    const char *engine;                 //  "auto", "io_uring", "posix"; NULL: auto
    uint64_t clean_rate;                //  Bytes/s that cleaning may copy; 0: no bound
    const struct iovec *buffers;        //  Regions that reads and writes use (registered where that works)
    size_t buffer_count;
} umbp_log_args_t;

//  Opens or makes it, reads what is there, and locks its directories (flock; somebody else's: refused). With less
//  capacity than before the segments beyond it are let go. On a read-only file system blocks can be read, and
//  nothing else. NULL: why says what, to what, and what to do. Blocks.
umbp_log_t *umbp_log_open (const umbp_log_args_t *args, char *why, size_t why_size);

//  Writes what was handed in, waits for what is under way, at most 5 s, and seals. False: the disk did not let go of
//  all; then the memory of what is under way belongs to the kernel for as long as the process lives. Blocks.
bool umbp_log_close (umbp_log_t **self_p);

//  Blocks found at open, one by one, in the order they were written; false at the end. *at_p names the record from
//  now on. The key is good until the next call. Until the end nothing is cleaned or evicted.
bool umbp_log_recovered (umbp_log_t *self, umbp_medium_record_t *record, uint64_t *at_p);

//  item: the owner's number of the block of a record, UINT32_MAX unknown; given back by events and asked of keep
void umbp_log_set_item (umbp_log_t *self, uint64_t at, uint32_t item);

//  Append; the data stays as it is until the event, WRITTEN, which names the record: before it there is nothing to
//  read or remove. Pieces that begin at a multiple of 512 and are a multiple of 4096 long (but the last) are written
//  from where they lie, others are copied; blocks of up to 64 KiB are always copied, and written together. Returns
//  0; UMBP_EAGAIN (full queue: try after the next event), UMBP_ENOSPC (no segment free: evict, or wait for
//  cleaning), UMBP_ETOOBIG (more than a segment), UMBP_EIO or UMBP_EDENIED (no directory can be written now),
//  UMBP_EINVAL. The status of the event may also be UMBP_EIO, UMBP_ENOSPC, UMBP_ETIMEDOUT.
int umbp_log_append (umbp_log_t *self, const umbp_medium_record_t *record, const struct iovec *data,
                     size_t count, uint32_t item, uint64_t tag);

//  Read length bytes from offset of a block's data, and from the disk only the 4 KiB pages they are in. The bytes are
//  not compared with the sum. Returns 0; UMBP_EAGAIN, UMBP_ENOENT (no such record), UMBP_EINVAL. A record may be
//  moved or removed meanwhile: the read still ends with its bytes.
int umbp_log_read (umbp_log_t *self, uint64_t at, uint32_t offset, uint32_t length,
                   const struct iovec *data, size_t count, uint64_t tag);

//  The block is no more: it does not come back at the next start (once the tombstone is on disk, grouped with
//  other writes; on its way within 100 ms). Returns 0 or UMBP_ENOENT.
int umbp_log_remove (umbp_log_t *self, uint64_t at);

//  A name for all that was removed so far, whose tombstones are written now; and whether they are on disk, as safe as
//  what counts as written. Then none of it comes back, however we end.
uint64_t umbp_log_mark (umbp_log_t *self);
bool umbp_log_is_past (const umbp_log_t *self, uint64_t mark);

int umbp_log_fd (umbp_log_t *self);     //  Readable when there may be events
bool umbp_log_event (umbp_log_t *self, umbp_medium_event_t *event);     //  Next event, false: none now
void umbp_log_tick (umbp_log_t *self,
                    int64_t now_ms); //  Deadlines, tombstones, cleaning: every ~20 ms

//  Cleaning. keep (arg, item): shall the block of a segment that is emptied stay (copied on), or leave? Called only
//  for eviction; dead space alone is reclaimed without asking (all live records are copied on), cheapest segment
//  first. Without keep all leave. What cannot be copied on for want of room leaves too.
void umbp_log_set_keep (umbp_log_t *self, umbp_medium_keep_fn *keep, void *arg);

//  Make room: empty segments by the clock hand (oldest first) until so many bytes of live data left or were found
//  dead. Calls add up. It ends after two rounds in any case.
void umbp_log_evict (umbp_log_t *self, uint64_t bytes);

//  Items of the oldest segments, of which may_go says yes; how many. Among so many at most as are looked at in a moment:
//  0 may mean that the next call finds some. Who is passed over before the first of them, or because there is none, is not
//  asked about again before all others were.
size_t umbp_log_victims (umbp_log_t *self, umbp_medium_keep_fn *may_go, void *arg, size_t max,
                         uint32_t *items);

//  Bytes that such calls asked for and that did not leave yet
uint64_t umbp_log_evicting (const umbp_log_t *self);

//  state is the worst of the directories
umbp_medium_stats_t umbp_log_stats (const umbp_log_t *self);

//  It, for a depot. Takes the log.
umbp_medium_t umbp_log_medium (umbp_log_t **self_p);

//  Offline: read every record of a directory and compare all sums. Returns how many are damaged (of *records_p), or
//  a negative error with why. Blocks, for as long as reading takes.
int64_t umbp_log_verify (const char *directory, uint64_t *records_p, char *why, size_t why_size);

#endif
