//  actors/device_scratch.h - columns of an answer of the device actor, one after the other in its
//  scratch. For device_say.c and device_use.c.
#ifndef UMBP_DEVICE_SCRATCH_H
#define UMBP_DEVICE_SCRATCH_H

#include "actors/device_self.h"

#define ROW(self, index) umbp_device_table_row ((self)->table, index)

typedef struct {
    uint8_t *at, *end;
} umbp_scratch_t;

static inline umbp_scratch_t umbp_scratch (umbp_device_self_t *self)
{
    return (umbp_scratch_t) { self->scratch, self->scratch + UMBP_DEVICE_SCRATCH_BYTES };
}

//  Room for so many numbers; our bounds are such that it is there
static inline void *umbp_scratch_room (umbp_scratch_t *scratch, size_t count, size_t width)
{
    uint8_t *room = (uint8_t *) (((uintptr_t) scratch->at + 7) & ~(uintptr_t) 7);
    assert ((size_t) (scratch->end - room) >= count * width);
    scratch->at = room + count * width;
    return room;
}

//  Defines a function that makes a column of numbers, one for each of so many rows of its first argument,
//  `from`; `row` declares what the expression says them with
#define UMBP_SCRATCH_NUMBERS(name, from_t, rows, row, type, width, expression)                     \
    static type name (const from_t *from, umbp_scratch_t *scratch)                                 \
    {                                                                                              \
        size_t count = (rows);                                                                     \
        width *numbers = umbp_scratch_room (scratch, count, sizeof *numbers);                      \
        for (size_t index = 0; index < count; index++) {                                           \
            row;                                                                                   \
            numbers[index] = (width) (expression);                                                 \
        }                                                                                          \
        return (type) { numbers, (uint32_t) count };                                               \
    }

typedef const char *(umbp_scratch_text_fn) (const void *arg, size_t index);

static inline umbp_column_t umbp_scratch_texts (umbp_scratch_t *scratch, size_t count,
                                                umbp_scratch_text_fn *text, const void *arg)
{
    uint16_t *sizes = umbp_scratch_room (scratch, count, sizeof *sizes);
    uint8_t *bytes = scratch->at;
    size_t used = 0;
    for (size_t index = 0; index < count; index++) {
        const char *from = text (arg, index);
        sizes[index] = (uint16_t) strlen (from);
        assert ((size_t) (scratch->end - bytes) >= used + sizes[index]);
        for (size_t byte = 0; byte < sizes[index]; byte++)
            bytes[used++] = (uint8_t) from[byte];
    }
    scratch->at = bytes + used;
    return (umbp_column_t) { bytes, sizes, (uint32_t) used, (uint32_t) count };
}

static inline uint64_t umbp_scratch_age (int64_t at)
{
    return at ? (uint64_t) (zclock_mono () - at) : 0;
}

#endif
