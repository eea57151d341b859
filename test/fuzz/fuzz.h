//  test/fuzz/fuzz.h - what the fuzz targets share. A target is a program under libFuzzer, with the
//  address and undefined-behaviour sanitizers; what it claims is said with FUZZ_CHECK, which is never
//  compiled out and stops the program, so that libFuzzer keeps the input.
#ifndef UMBP_FUZZ_H
#define UMBP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_CHECK(claim)                                                                          \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf (stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                   \
            abort ();                                                                              \
        }                                                                                          \
    } while (0)

//  libFuzzer calls these by name
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t size_max, unsigned seed);

#endif
