#ifndef UMBP_LOG_H
#define UMBP_LOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
    typedef struct umbp_log umbp_log_t;
    #define UMBP_LOG_DIRECTORIES_MAX 16
    typedef struct {
        const char *const *directories;     //  Striped: segments go round them. Created if absent (0700)
        size_t directory_count;
        uint64_t capacity_bytes;            //  Of all of them together; never more on disk (segments + their tables)
        uint64_t segment_bytes;             //  0: 256 MiB
        unsigned depth;                     //  Requests in flight at a time; 0: 64
        bool strict;                        //  Written means on disk (fdatasync, grouped); else: handed to the disk
        const char *engine;                 //  "auto", "io_uring", "posix"
        uint64_t clean_rate;                //  Bytes/s that cleaning may copy; 0: no bound
        const struct iovec *buffers;        //  Regions that reads and writes use (registered with io_uring where that works)
        size_t buffer_count;
    } umbp_log_args_t;
    typedef struct { const void *key; size_t key_size; uint32_t size; uint64_t sum; uint16_t depth; uint8_t replicas; } umbp_log_record_t;
    umbp_log_t *umbp_log_open (const umbp_log_args_t *args, char *why, size_t why_size);
    void umbp_log_close (umbp_log_t **self_p);
    bool umbp_log_recovered (umbp_log_t *self, umbp_log_record_t *record, uint64_t *at_p);
    void umbp_log_set_item (umbp_log_t *self, uint64_t at, uint32_t item);
    int umbp_log_append (umbp_log_t *self, const umbp_log_record_t *record, const struct iovec *data, size_t count, uint32_t item, uint64_t tag);
    int umbp_log_read (umbp_log_t *self, uint64_t at, uint32_t offset, uint32_t length, const struct iovec *data, size_t count, uint64_t tag);
    int umbp_log_remove (umbp_log_t *self, uint64_t at);
    typedef enum { UMBP_LOG_WRITTEN, UMBP_LOG_READ, UMBP_LOG_MOVED, UMBP_LOG_LEFT } umbp_log_event_type_t;
    typedef struct { umbp_log_event_type_t type; int status; uint32_t item; uint64_t tag, at; } umbp_log_event_t;
    int umbp_log_fd (umbp_log_t *self);
    bool umbp_log_event (umbp_log_t *self, umbp_log_event_t *event);
    void umbp_log_tick (umbp_log_t *self, int64_t now_ms);
    typedef bool (umbp_log_keep_fn) (void *arg, uint32_t item);
    void umbp_log_set_keep (umbp_log_t *self, umbp_log_keep_fn *keep, void *arg);
    void umbp_log_evict (umbp_log_t *self, uint64_t bytes);
    typedef struct { uint64_t capacity, live_bytes, dead_bytes, records, segments, free_segments, written_bytes, read_bytes, cleaned_bytes,
        tombstones, torn, bad_headers, io_errors, syncs, waiting, recovered, recover_us; const char *engine; int state; } umbp_log_stats_t;
    umbp_log_stats_t umbp_log_stats (const umbp_log_t *self);
#endif
