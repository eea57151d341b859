//  bin/bench_blank.h - many blocks of 64 zero bytes whose pages nobody ever touches: they are reserved and committed
//  by messages, as a client would, and the memory for them is not there until somebody looks at it. So millions of
//  real blocks fit where their pages would not.
#ifndef UMBP_BENCH_BLANK_H
#define UMBP_BENCH_BLANK_H

#include "bin/talk.h"

#define UMBP_BENCH_BLANK_BYTES 64       //  Of a block
#define UMBP_BENCH_BLANK_BATCH 2048     //  In a message
#define UMBP_BENCH_BLANK_KEY_MAX 72

//  Writes the key of a number, returns its size
typedef size_t (umbp_bench_blank_key_fn) (char key[UMBP_BENCH_BLANK_KEY_MAX], uint64_t number);

//  Makes the blocks of so many numbers, in the memory of a node. Returns when the index has heard of all, so that
//  nobody gets far ahead of it; false if one was refused. Blocks, for as long as the deadline of talk for each batch.
bool umbp_bench_blank_make (umbp_talk_t *talk, const char *node, umbp_bench_blank_key_fn *key,
                            uint64_t first, uint64_t count);

#endif
