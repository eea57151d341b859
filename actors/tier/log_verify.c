//  actors/tier/log_verify.c - the segment log, offline: is every byte what it was?
//
//  Each segment is read whole. What its table names and the reading does not find with matching sums is damaged;
//  without a table that is what has a head whose data do not match.
#include "actors/tier/log_self.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "proto/error.h"

#define WINDOW (4 << 20)

typedef struct {
    uint64_t *places;
    size_t count, room;
} places_t;

typedef struct {
    int file;
    uint64_t id, segment_bytes, base, first;
    uint8_t *bytes;
    size_t length;
    places_t found, named, *into;
} verify_t;

static void s_note (void *arg, const umbp_log_note_t *note)
{
    places_t *places = ((verify_t *) arg)->into;
    if (places->count == places->room) {
        places->room = places->room ? 2 * places->room : 256;
        places->places = realloc (places->places, places->room * sizeof *places->places);
        assert (places->places);
    }
    places->places[places->count++] = note->place;
}

static void s_tomb (void *arg, const umbp_log_tomb_t *tomb)
{
    (void) arg;
    (void) tomb;
}

static bool s_read (int file, uint8_t *out, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread (file, out + done, bytes - done, (off_t) (offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t) got;
    }
    return true;
}

static const uint8_t *s_fetch (void *arg, uint64_t offset, size_t length, size_t *got_p)
{
    verify_t *self = arg;
    if (offset < self->first || offset >= self->first + self->length) {
        self->first = offset / UMBP_LOG_BLOCK * UMBP_LOG_BLOCK;
        uint64_t left = self->segment_bytes - self->first;
        self->length = left < WINDOW ? left : WINDOW;
        if (!s_read (self->file, self->bytes, self->length, self->base + self->first)) {
            self->length = UMBP_LOG_BLOCK;
            if (!s_read (self->file, self->bytes, self->length, self->base + self->first)) {
                self->length = 0;
                return NULL;
            }
        }
    }
    size_t got = self->first + self->length - offset;
    *got_p = got < length ? got : length;
    return self->bytes + (offset - self->first);
}

static int s_compare (const void *one, const void *other)
{
    uint64_t first, second;
    memcpy (&first, one, sizeof first);
    memcpy (&second, other, sizeof second);
    return first < second ? -1 : first > second;
}

static bool s_has_table (verify_t *self, uint64_t seq)
{
    uint64_t end = self->base + self->segment_bytes - UMBP_LOG_BLOCK;
    umbp_log_trailer_t trailer;
    bool good = s_read (self->file, self->bytes, UMBP_LOG_BLOCK, end)
                && umbp_log_get_trailer (&trailer, self->bytes, self->id, self->segment_bytes)
                && trailer.seq == seq;
    uint8_t *table = good ? malloc (trailer.table_bytes + 1) : NULL;
    self->into = &self->named;
    good = table && s_read (self->file, table, trailer.table_bytes, end - trailer.table_bytes)
           && umbp_log_walk_table (&trailer, table, self->segment_bytes, s_note, s_tomb, self);
    free (table);
    return good;
}

//  Damaged records of a segment; *records_p counts those that there are
static int64_t s_verify_segment (verify_t *self, uint64_t index, uint64_t *records_p)
{
    umbp_log_head_t head;
    self->base = UMBP_LOG_SUPER_BYTES + index * self->segment_bytes;
    self->length = 0;
    self->found.count = self->named.count = 0;
    if (!s_read (self->file, self->bytes, UMBP_LOG_BLOCK, self->base))
        return 1;
    bool blank = true;
    for (size_t at = 0; blank && at < UMBP_LOG_BLOCK; at++)
        blank = self->bytes[at] == 0;
    if (blank)
        return 0;
    if (!umbp_log_get_head (&head, self->bytes, self->id) || head.index != index)
        return 1;
    if (head.free)
        return 0;
    bool tabled = s_has_table (self, head.seq);
    uint64_t torn = 0;
    self->into = &self->found;
    umbp_log_scan (self->id, head.seq, self->segment_bytes, s_fetch, s_note, s_tomb, self, &torn);
    if (!tabled) {
        *records_p += self->found.count;
        return (int64_t) torn;
    }
    int64_t damaged = 0;
    for (size_t at = 0; at < self->named.count; at++)
        damaged += self->found.count == 0
                   || !bsearch (&self->named.places[at], self->found.places, self->found.count,
                                sizeof *self->found.places, s_compare);
    *records_p += self->named.count;
    return damaged;
}

int64_t umbp_log_verify (const char *directory, uint64_t *records_p, char *why, size_t why_size)
{
    char path[4096];
    struct stat status;
    umbp_log_super_t super;
    bool blank;
    *records_p = 0;
    snprintf (path, sizeof path, "%s/umbp.log", directory);
    verify_t self = { .file = open (path, O_RDONLY | O_CLOEXEC) };
    if (self.file < 0 || fstat (self.file, &status) != 0) {
        snprintf (why, why_size, "%s: %s: name the directory of a log", path, strerror (errno));
        if (self.file >= 0)
            close (self.file);
        return UMBP_EIO;
    }
    if (!umbp_log_read_super (self.file, &super, &blank)) {
        snprintf (why, why_size, "%s: not a log that this version reads", path);
        close (self.file);
        return UMBP_ECHECKSUM;
    }
    self.id = super.id;
    self.segment_bytes = super.segment_bytes;
    self.bytes = aligned_alloc (UMBP_LOG_BLOCK, WINDOW);
    assert (self.bytes);
    int64_t damaged = 0;
    uint64_t count = ((uint64_t) status.st_size - UMBP_LOG_SUPER_BYTES) / super.segment_bytes;
    for (uint64_t index = 0; index < count; index++)
        damaged += s_verify_segment (&self, index, records_p);
    free (self.bytes);
    free (self.found.places);
    free (self.named.places);
    close (self.file);
    return damaged;
}
