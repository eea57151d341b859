//  bin/workload.c - requests from a trace or a generator, block contents, an LRU; see the header
#include "bin/workload.h"
#include "proto/error.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST crypto_hash_sha256_BYTES
#define VOCABULARY 0x1ffff              //  Mask of the token numbers that the generator uses

typedef char key_text_t[UMBP_WORKLOAD_KEY_SIZE];

//  A conversation. Its stream of random numbers is its own, so talks do not depend on their order.
typedef struct {
    uint64_t time_ms, stream;
    uint32_t tokens, pages;             //  Of the prompt so far; only full pages
    uint32_t turns, answer;             //  Left to take, tokens of the last answer
    uint32_t filled;                    //  Tokens in the open page
    uint32_t *page;                     //  Those
    uint64_t *ids;
    key_text_t *keys;
    unsigned char digest[DIGEST];       //  Of the last full page
} talk_t;

struct umbp_workload {
    int (*next) (umbp_workload_t *, umbp_request_t *, char *, size_t);
    //  A trace
    FILE *file;
    char *path, *line;
    size_t number;                      //  Of the line
    uint64_t *ids;
    key_text_t *keys;
    //  Conversations
    umbp_talks_t set;
    uint64_t made;
    talk_t *talks;
    uint32_t *shares;                   //  Of the system prompts, summed up
};

static int s_fail (int rc, char *error, size_t error_size, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static int s_fail (int rc, char *error, size_t error_size, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (error, error_size, format, args);
    va_end (args);
    return rc;
}

void umbp_workload_destroy (umbp_workload_t **self_p)
{
    assert (self_p);
    umbp_workload_t *self = *self_p;
    if (!self)
        return;
    if (self->file)
        fclose (self->file);
    for (uint32_t index = 0; self->talks && index < self->set.talks; index++) {
        free (self->talks[index].page);
        free (self->talks[index].ids);
        free (self->talks[index].keys);
    }
    free (self->path);
    free (self->line);
    free (self->ids);
    free (self->keys);
    free (self->talks);
    free (self->shares);
    free (self);
    *self_p = NULL;
}

int umbp_workload_next (umbp_workload_t *self, umbp_request_t *request, char *error,
                        size_t error_size)
{
    return self->next (self, request, error, error_size);
}

void umbp_workload_page (const unsigned char *parent, const uint32_t *tokens, size_t count,
                         unsigned char *digest)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init (&state);
    if (parent)
        crypto_hash_sha256_update (&state, parent, DIGEST);
    for (size_t index = 0; index < count; index++) {
        uint32_t token = htole32 (tokens[index]);
        crypto_hash_sha256_update (&state, (const unsigned char *) &token, sizeof token);
    }
    crypto_hash_sha256_final (&state, digest);
}

//  --- A trace ---------------------------------------------------------------------------------

//  Read a line without its end into self->line. Returns its size, or -1 at the end of the file. Of
//  a line over the limit only so much is kept, but all is read and counted.
static ssize_t s_line (umbp_workload_t *self)
{
    ssize_t size = 0;
    int byte = getc_unlocked (self->file);
    if (byte == EOF)
        return -1;
    self->number++;
    for (; byte != EOF && byte != '\n'; byte = getc_unlocked (self->file)) {
        if (size < UMBP_WORKLOAD_LINE_MAX)
            self->line[size] = byte;
        size++;
    }
    return size;
}

//  A whole number from 0 to max. Returns false if the field is not one, or is not there.
static bool s_number (const json_t *value, uint64_t max, uint64_t *number)
{
    if (!json_is_integer (value) || json_integer_value (value) < 0)
        return false;
    *number = json_integer_value (value);
    return *number <= max;
}

static void s_trace_key (uint64_t id, char *key)
{
    unsigned char digest[DIGEST];
    uint64_t bytes = htole64 (id);
    crypto_hash_sha256 (digest, (const unsigned char *) &bytes, sizeof bytes);
    sodium_bin2hex (key, UMBP_WORKLOAD_KEY_SIZE, digest, DIGEST);
}

//  Read a request from a line's object. Returns NULL, or what is wrong with it.
static const char *s_trace_request (umbp_workload_t *self, const json_t *root,
                                    umbp_request_t *request)
{
    uint64_t input, output;
    const json_t *ids = json_object_get (root, "hash_ids");
    if (!json_is_object (root))
        return "not an object";
    if (!s_number (json_object_get (root, "timestamp"), INT64_MAX, &request->time_ms))
        return "timestamp is not a whole number from 0 on";
    if (!s_number (json_object_get (root, "input_length"), UINT32_MAX, &input))
        return "input_length is not a whole number below 2^32";
    if (!s_number (json_object_get (root, "output_length"), UINT32_MAX, &output))
        return "output_length is not a whole number below 2^32";
    if (!json_is_array (ids))
        return "hash_ids is not an array";
    if (json_array_size (ids) > UMBP_WORKLOAD_BLOCKS_MAX)
        return "hash_ids has more than 65536 items";
    request->blocks = json_array_size (ids);
    for (uint32_t index = 0; index < request->blocks; index++) {
        if (!s_number (json_array_get (ids, index), INT64_MAX, self->ids + index))
            return "hash_ids has an item that is not a whole number from 0 on";
        s_trace_key (self->ids[index], self->keys[index]);
    }
    request->input_tokens = input;
    request->output_tokens = output;
    request->hash_ids = self->ids;
    request->keys = (const key_text_t *) self->keys;
    return NULL;
}

static int s_trace_next (umbp_workload_t *self, umbp_request_t *request, char *error,
                         size_t error_size)
{
    ssize_t size;
    do
        size = s_line (self);
    while (size == 0 || (size == 1 && self->line[0] == '\r'));
    if (ferror (self->file))
        return s_fail (UMBP_EIO, error, error_size, "%s:%zu: cannot read on", self->path,
                       self->number + 1);
    if (size < 0)
        return 0;
    if (size > UMBP_WORKLOAD_LINE_MAX)
        return s_fail (UMBP_EPROTO, error, error_size, "%s:%zu: line of more than %d bytes",
                       self->path, self->number, UMBP_WORKLOAD_LINE_MAX);
    json_error_t what;
    json_t *root = json_loadb (self->line, size, JSON_REJECT_DUPLICATES, &what);
    const char *wrong = root ? s_trace_request (self, root, request) : what.text;
    json_decref (root);
    if (wrong)
        return s_fail (UMBP_EPROTO, error, error_size, "%s:%zu: %s", self->path, self->number,
                       wrong);
    return 1;
}

umbp_workload_t *umbp_workload_new_trace (const char *path, char *error, size_t error_size)
{
    umbp_workload_t *self = sodium_init () < 0 ? NULL : calloc (1, sizeof (umbp_workload_t));
    if (self) {
        self->next = s_trace_next;
        self->path = strdup (path);
        self->line = malloc (UMBP_WORKLOAD_LINE_MAX);
        self->ids = calloc (UMBP_WORKLOAD_BLOCKS_MAX, sizeof (uint64_t));
        self->keys = calloc (UMBP_WORKLOAD_BLOCKS_MAX, sizeof (key_text_t));
    }
    if (!self || !self->path || !self->line || !self->ids || !self->keys) {
        s_fail (0, error, error_size, "%s: out of memory", path);
        umbp_workload_destroy (&self);
        return NULL;
    }
    self->file = fopen (path, "re");
    if (!self->file) {
        s_fail (0, error, error_size, "%s: %s", path, strerror (errno));
        umbp_workload_destroy (&self);
    }
    return self;
}

//  --- Conversations ---------------------------------------------------------------------------

//  SplitMix64, by Sebastiano Vigna, public domain
static uint64_t s_random (uint64_t *stream)
{
    uint64_t value = *stream += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

//  A whole number from 1 (0 if the mean is 0) to four times the mean, short ones more often: the
//  product of two even numbers. In integers, so that it is the same everywhere.
static uint32_t s_length (uint64_t *stream, uint32_t mean)
{
    uint64_t value = s_random (stream);
    uint64_t length = ((uint64_t) mean * 4 * (value >> 32)) >> 32;
    length = (length * (value & UINT32_MAX)) >> 32;
    return length > 0 || mean == 0 ? length : 1;
}

//  Append tokens of a stream to a prompt, closing pages as they fill
static void s_say (const umbp_workload_t *self, talk_t *talk, uint64_t *stream, uint32_t tokens)
{
    talk->tokens += tokens;
    for (; tokens > 0; tokens--) {
        talk->page[talk->filled++] = s_random (stream) & VOCABULARY;
        if (talk->filled < self->set.page_tokens)
            continue;
        umbp_workload_page (talk->pages ? talk->digest : NULL, talk->page, talk->filled,
                            talk->digest);
        uint64_t id;
        memcpy (&id, talk->digest, sizeof id);
        talk->ids[talk->pages] = le64toh (id);
        sodium_bin2hex (talk->keys[talk->pages], sizeof (key_text_t), talk->digest, DIGEST);
        talk->pages++;
        talk->filled = 0;
    }
}

//  Start a conversation anew, with one of the system prompts
static void s_greet (const umbp_workload_t *self, talk_t *talk)
{
    uint32_t point = s_random (&talk->stream) % self->shares[self->set.prompts - 1];
    uint32_t prompt = 0;
    while (self->shares[prompt] <= point)
        prompt++;
    uint64_t stream = self->set.seed ^ (prompt + 1) * UINT64_C (0xd1342543de82ef95);
    talk->tokens = talk->pages = talk->filled = talk->answer = 0;
    talk->turns = s_length (&talk->stream, self->set.turns);
    uint32_t tokens = s_length (&stream, self->set.prompt_tokens);
    s_say (self, talk, &stream, tokens);
}

//  Take a turn: the prompt grows by the last answer and a new question
static void s_turn (const umbp_workload_t *self, talk_t *talk)
{
    uint32_t question = s_length (&talk->stream, self->set.question_tokens);
    if (talk->turns == 0
        || (uint64_t) talk->tokens + talk->answer + question > self->set.context_tokens)
        s_greet (self, talk);
    s_say (self, talk, &talk->stream, talk->answer + question);
    talk->answer = s_length (&talk->stream, self->set.answer_tokens);
    talk->turns--;
}

static int s_talks_next (umbp_workload_t *self, umbp_request_t *request, char *error,
                         size_t error_size)
{
    (void) error;
    (void) error_size;
    if (self->made == self->set.requests)
        return 0;
    talk_t *talk = self->talks;
    for (uint32_t index = 1; index < self->set.talks; index++)
        if (self->talks[index].time_ms < talk->time_ms)
            talk = self->talks + index;
    s_turn (self, talk);
    *request = (umbp_request_t) {
        .time_ms = talk->time_ms, .input_tokens = talk->tokens, .output_tokens = talk->answer,
        .blocks = talk->pages, .hash_ids = talk->ids, .keys = (const key_text_t *) talk->keys,
    };
    talk->time_ms += s_length (&talk->stream, self->set.think_ms);
    self->made++;
    return 1;
}

//  Returns NULL, or which setting is impossible
static const char *s_talks_check (const umbp_talks_t *set)
{
    if (set->talks < 1 || set->talks > UMBP_WORKLOAD_TALKS_MAX)
        return "talks is not in 1..16384";
    if (set->prompts < 1 || set->prompts > UMBP_WORKLOAD_PROMPTS_MAX)
        return "prompts is not in 1..4096";
    if (set->page_tokens < 1 || set->page_tokens > 65536)
        return "page_tokens is not in 1..65536";
    if (!set->prompt_tokens || !set->question_tokens || !set->answer_tokens || !set->turns)
        return "prompt_tokens, question_tokens, answer_tokens or turns is 0";
    if (set->answer_tokens > UINT32_MAX / 4 || set->turns > UINT32_MAX / 4
        || set->think_ms > UINT32_MAX / 4)
        return "answer_tokens, turns or think_ms is not below 2^30";
    if (4 * ((uint64_t) set->prompt_tokens + set->question_tokens) > set->context_tokens)
        return "context_tokens is less than 4 * (prompt_tokens + question_tokens)";
    uint32_t pages = set->context_tokens / set->page_tokens;
    if (pages > UMBP_WORKLOAD_BLOCKS_MAX)
        return "context_tokens is more than 65536 pages";
    if ((uint64_t) pages * set->talks > UMBP_WORKLOAD_PAGES_MAX)
        return "all conversations together are more than 2^24 pages";
    return NULL;
}

//  Returns whether there was memory
static bool s_talks_start (umbp_workload_t *self)
{
    self->talks = calloc (self->set.talks, sizeof (talk_t));
    self->shares = calloc (self->set.prompts, sizeof (uint32_t));
    if (!self->talks || !self->shares)
        return false;
    uint32_t sum = 0;
    for (uint32_t index = 0; index < self->set.prompts; index++)
        self->shares[index] = sum += (1 << 20) / (index + 1);
    size_t pages = self->set.context_tokens / self->set.page_tokens + 1;
    uint64_t stream = self->set.seed;
    for (uint32_t index = 0; index < self->set.talks; index++) {
        talk_t *talk = self->talks + index;
        talk->stream = s_random (&stream);
        talk->time_ms = s_length (&talk->stream, self->set.think_ms);
        talk->page = calloc (self->set.page_tokens, sizeof (uint32_t));
        talk->ids = calloc (pages, sizeof (uint64_t));
        talk->keys = calloc (pages, sizeof (key_text_t));
        if (!talk->page || !talk->ids || !talk->keys)
            return false;
    }
    return true;
}

umbp_workload_t *umbp_workload_new_talks (const umbp_talks_t *talks, char *error, size_t error_size)
{
    const char *wrong = s_talks_check (talks);
    umbp_workload_t *self = wrong ? NULL : calloc (1, sizeof (umbp_workload_t));
    if (self) {
        self->next = s_talks_next;
        self->set = *talks;
    }
    if (!self || sodium_init () < 0 || !s_talks_start (self)) {
        s_fail (0, error, error_size, "%s", wrong ? wrong : "out of memory");
        umbp_workload_destroy (&self);
    }
    return self;
}

//  --- Contents --------------------------------------------------------------------------------

#define LANES 8                         //  Vectors of 16 bytes, which all our processors have

typedef uint64_t vector_t __attribute__ ((vector_size (16)));

typedef struct {
    vector_t lane[LANES];
} lanes_t;

static void s_lanes_start (lanes_t *lanes, uint64_t seed)
{
    for (int index = 0; index < LANES; index++) {
        lanes->lane[index][0] = s_random (&seed) | 1;         //  Xorshift would stay at 0
        lanes->lane[index][1] = s_random (&seed) | 1;
    }
}

//  Xorshift64, by George Marsaglia, in one lane
static inline __attribute__ ((always_inline)) vector_t s_step (vector_t lane)
{
    lane ^= lane << 13;
    lane ^= lane >> 7;
    return lane ^ lane << 17;
}

void umbp_workload_fill (uint64_t seed, void *buf, size_t size)
{
    lanes_t lanes;
    s_lanes_start (&lanes, seed);
    unsigned char *to = buf, *end = to + size;
    for (; (size_t) (end - to) >= sizeof lanes; to += sizeof lanes)
        for (int index = 0; index < LANES; index++) {
            lanes.lane[index] = s_step (lanes.lane[index]);
            memcpy (to + index * sizeof (vector_t), lanes.lane + index, sizeof (vector_t));
        }
    for (int index = 0; index < LANES; index++)
        lanes.lane[index] = s_step (lanes.lane[index]);
    memcpy (to, &lanes, end - to);
}

bool umbp_workload_verify (uint64_t seed, const void *buf, size_t size)
{
    lanes_t lanes;
    s_lanes_start (&lanes, seed);
    vector_t found, wrong = { 0 };
    const unsigned char *from = buf, *end = from + size;
    for (; (size_t) (end - from) >= sizeof lanes; from += sizeof lanes)
        for (int index = 0; index < LANES; index++) {
            lanes.lane[index] = s_step (lanes.lane[index]);
            memcpy (&found, from + index * sizeof (vector_t), sizeof (vector_t));
            wrong |= found ^ lanes.lane[index];
        }
    for (int index = 0; index < LANES; index++)
        lanes.lane[index] = s_step (lanes.lane[index]);
    return !(wrong[0] | wrong[1]) && !memcmp (from, &lanes, end - from);
}

//  --- LRU -------------------------------------------------------------------------------------

typedef struct {
    uint64_t id;
    uint32_t newer, older;              //  In a ring through block 0, which is none
    uint32_t next;                      //  In its bucket, ends with 0
} block_t;

struct umbp_lru {
    uint32_t capacity, count, mask;
    block_t *blocks;                    //  From 1 on
    uint32_t *buckets;
};

umbp_lru_t *umbp_lru_new (uint32_t capacity)
{
    if (capacity < 1 || capacity > 1 << 30)
        return NULL;
    umbp_lru_t *self = calloc (1, sizeof (umbp_lru_t));
    if (!self)
        return NULL;
    size_t buckets = 1;
    while (buckets < capacity)
        buckets *= 2;
    self->capacity = capacity;
    self->mask = buckets - 1;
    self->blocks = calloc ((size_t) capacity + 1, sizeof (block_t));
    self->buckets = calloc (buckets, sizeof (uint32_t));
    if (!self->blocks || !self->buckets)
        umbp_lru_destroy (&self);
    return self;
}

void umbp_lru_destroy (umbp_lru_t **self_p)
{
    assert (self_p);
    if (!*self_p)
        return;
    free ((*self_p)->blocks);
    free ((*self_p)->buckets);
    free (*self_p);
    *self_p = NULL;
}

//  Where the number of a block is written, or would be
static uint32_t *s_lru_seek (const umbp_lru_t *self, uint64_t id)
{
    uint64_t stream = id;
    uint32_t *link = self->buckets + (s_random (&stream) & self->mask);
    while (*link && self->blocks[*link].id != id)
        link = &self->blocks[*link].next;
    return link;
}

static void s_lru_unlink (umbp_lru_t *self, uint32_t number)
{
    const block_t *block = self->blocks + number;
    self->blocks[block->newer].older = block->older;
    self->blocks[block->older].newer = block->newer;
}

//  Make a block the newest
static void s_lru_link (umbp_lru_t *self, uint32_t number)
{
    uint32_t newest = self->blocks[0].older;
    self->blocks[number].newer = 0;
    self->blocks[number].older = newest;
    self->blocks[newest].newer = number;
    self->blocks[0].older = number;
}

//  The number of a block that is free: a fresh one, or the oldest's
static uint32_t s_lru_take (umbp_lru_t *self)
{
    if (self->count < self->capacity)
        return ++self->count;
    uint32_t number = self->blocks[0].newer;
    s_lru_unlink (self, number);
    *s_lru_seek (self, self->blocks[number].id) = self->blocks[number].next;
    return number;
}

static void s_lru_touch (umbp_lru_t *self, uint64_t id)
{
    uint32_t number = *s_lru_seek (self, id);
    if (number)
        s_lru_unlink (self, number);
    else {
        number = s_lru_take (self);
        self->blocks[number].id = id;
        self->blocks[number].next = 0;
        *s_lru_seek (self, id) = number;         //  Sought again, as taking may change the bucket
    }
    s_lru_link (self, number);
}

uint32_t umbp_lru_request (umbp_lru_t *self, const uint64_t *hash_ids, uint32_t blocks)
{
    uint32_t usable = 0;
    while (usable < blocks && *s_lru_seek (self, hash_ids[usable]))
        usable++;
    for (uint32_t index = blocks; index > 0; index--)
        s_lru_touch (self, hash_ids[index - 1]);
    return usable;
}

uint32_t umbp_lru_count (const umbp_lru_t *self)
{
    return self->count;
}
