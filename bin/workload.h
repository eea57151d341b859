//  bin/workload.h - requests for replay, the bytes of their blocks, and what a plain LRU would make
//  of them. For benches and tests; not thread-safe, except for fill, verify and page, which keep
//  nothing.
//
//  A source is a trace file in Mooncake's JSONL format, or a generator of multi-turn conversations
//  of the same shape. Both give prompts as prefix chains: equal ids are equal blocks after equal
//  prefixes.
#ifndef UMBP_WORKLOAD_H
#define UMBP_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_WORKLOAD_LINE_MAX (1 << 20)         //  Bytes of a trace line
#define UMBP_WORKLOAD_BLOCKS_MAX 65536           //  Blocks of a request
#define UMBP_WORKLOAD_KEY_SIZE 65                //  A key's 64 lower-case hex digits, and a zero
#define UMBP_WORKLOAD_TALKS_MAX 16384
#define UMBP_WORKLOAD_PROMPTS_MAX 4096
#define UMBP_WORKLOAD_PAGES_MAX (1 << 24)        //  Of all conversations at once

typedef struct umbp_workload umbp_workload_t;

//  Good until the next call on its source
typedef struct {
    uint64_t time_ms;                            //  Since the start of the source
    uint32_t input_tokens, output_tokens;
    uint32_t blocks;
    const uint64_t *hash_ids;                    //  One per block of the prompt, first to last
    const char (*keys)[UMBP_WORKLOAD_KEY_SIZE];  //  The same as text
} umbp_request_t;

//  Conversations to make. Lengths and pauses are means: real ones are mostly shorter, at most four
//  times as long.
typedef struct {
    uint64_t seed;                               //  Equal seeds make equal requests
    uint64_t requests;                           //  How many to make
    uint32_t talks;                              //  Conversations at once, 1..TALKS_MAX
    uint32_t prompts;                            //  Shared system prompts, 1..PROMPTS_MAX; the n-th
                                                 //  is chosen in proportion to 1 / n
    uint32_t page_tokens;                        //  1..65536
    uint32_t context_tokens;                     //  Longest prompt; a conversation ends before it
    uint32_t prompt_tokens, question_tokens, answer_tokens, turns;      //  At least 1 each
    uint32_t think_ms;                           //  From a request to the next of the same talk
} umbp_talks_t;

//  A middling start: 32 talks of some 5 turns, after system prompts of some 1000 tokens
#define UMBP_TALKS_DEFAULT { .seed = 1, .requests = 1000, .talks = 32, .prompts = 8, \
    .page_tokens = 64, .context_tokens = 32768, .prompt_tokens = 1024, .question_tokens = 256, \
    .answer_tokens = 384, .turns = 5, .think_ms = 20000 }

//  Open a trace. NULL if it cannot be read, and error, of error_size bytes, says why.
umbp_workload_t *umbp_workload_new_trace (const char *path, char *error, size_t error_size);

//  Make a generator. NULL if a setting is out of its range or memory is out, and error says which:
//  the first prompt must always fit, 4 * (prompt_tokens + question_tokens) <= context_tokens, a
//  prompt has at most BLOCKS_MAX pages, and all conversations together at most PAGES_MAX.
umbp_workload_t *umbp_workload_new_talks (const umbp_talks_t *talks, char *error,
                                          size_t error_size);

void umbp_workload_destroy (umbp_workload_t **self_p);

//  The next request. Returns 1, 0 at the end, UMBP_EPROTO if a line of the trace is malformed or
//  over a limit, UMBP_EIO if reading fails; then error says "file:line: what is wrong". After
//  UMBP_EPROTO the next call goes on with the next line. A trace's blocks have the ids it gives,
//  and its keys are SHA-256 of the id as 8 bytes, little end first; empty lines are passed over. A
//  generator's keys are page keys, and its ids their first 8 bytes; its time never goes back.
int umbp_workload_next (umbp_workload_t *self, umbp_request_t *request, char *error,
                        size_t error_size);

//  The page key of SGLang: SHA-256 over the parent's 32 bytes (NULL for the first page), then each
//  token as 4 bytes, little end first. Written to digest, 32 bytes.
void umbp_workload_page (const unsigned char *parent, const uint32_t *tokens, size_t count,
                         unsigned char *digest);

//  A block's bytes, told by its seed (a hash_id will do) and its size alone; and whether these are
//  they. Equal on all hosts of the same byte order.
void umbp_workload_fill (uint64_t seed, void *buf, size_t size);
bool umbp_workload_verify (uint64_t seed, const void *buf, size_t size);

//  A cache of so many equal blocks that evicts the least recently used
typedef struct umbp_lru umbp_lru_t;

//  NULL if capacity is outside of 1..2^30 or memory is out
umbp_lru_t *umbp_lru_new (uint32_t capacity);
void umbp_lru_destroy (umbp_lru_t **self_p);

//  One request: returns how many blocks from the front are present, then touches or adds every
//  block from the last to the first, so that a prefix outlives its suffix.
uint32_t umbp_lru_request (umbp_lru_t *self, const uint64_t *hash_ids, uint32_t blocks);

//  Blocks present
uint32_t umbp_lru_count (const umbp_lru_t *self);

#endif
