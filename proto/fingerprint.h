//  proto/fingerprint.h - what the index knows of a key: 128 bits of a hash keyed with the cluster's
//  secret seed. Its bits are evenly spread, so tables use them as they are. Two keys may share one:
//  who owns the block compares the whole key.
#ifndef UMBP_FINGERPRINT_H
#define UMBP_FINGERPRINT_H

#include <stdint.h>

typedef struct {
    uint64_t hi, lo;
} umbp_fingerprint_t;

#endif
