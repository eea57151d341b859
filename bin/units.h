//  bin/units.h - sizes, times and counts as people write and read them. Nothing here keeps state;
//  what writes, writes to the caller's room, always terminated, and returns it.
#ifndef UMBP_UNITS_H
#define UMBP_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define UMBP_UNITS_ROOM 32              //  Bytes that hold whatever is written here

//  Read a whole number and its unit, with or without spaces between, in any case: bytes in B, KiB,
//  MiB, GiB, TiB or k, M, G, T, which are the same 1024s; times in us, ms, s, m, h, without a unit
//  in the one asked for. A fraction is fine if the result is whole. Return 0, or UMBP_EINVAL for
//  anything else, also where 64 bits are not enough.
int umbp_units_read_count (const char *text, uint64_t *value);
int umbp_units_read_bytes (const char *text, uint64_t *value);
int umbp_units_read_ms (const char *text, uint64_t *value);
int umbp_units_read_us (const char *text, uint64_t *value);

//  Write so that reading gives the same number: 64KiB, 1536MiB, 250ms, 2m
char *umbp_units_write_bytes (uint64_t value, char *out);
char *umbp_units_write_ms (uint64_t value, char *out);
char *umbp_units_write_us (uint64_t value, char *out);

//  Write for people, rounded to three digits or so: 1.50 GiB, 12,345, 1.2 s
char *umbp_units_show_bytes (uint64_t value, char *out);
char *umbp_units_show_count (uint64_t value, char *out);
char *umbp_units_show_ms (uint64_t value, char *out);

#endif
