//  bin/units.c - numbers with units, see units.h
#include "bin/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/error.h"

typedef struct {
    const char *name;
    uint64_t factor;
} unit_t;

#define KIB UINT64_C (1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define TIB (GIB * KIB)
#define SECOND_US UINT64_C (1000000)

//  Each ends with a NULL. What is written takes the largest that divides: the first ones go first
static const unit_t s_no_units[] = { { "", 1 }, { NULL, 0 } };
static const unit_t s_bytes[] = {
    { "TiB", TIB }, { "GiB", GIB }, { "MiB", MIB }, { "KiB", KIB }, { "B", 1 },
    { "", 1 }, { "T", TIB }, { "G", GIB }, { "M", MIB }, { "k", KIB }, { NULL, 0 },
};
static const unit_t s_ms[] = {
    { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { "", 1 }, { NULL, 0 },
};
static const unit_t s_us[] = {
    { "s", SECOND_US }, { "ms", 1000 }, { "us", 1 }, { "", 1 }, { NULL, 0 },
};

//  Digits of a whole number. Returns how many there were, 0 also where 64 bits are not enough.
static size_t s_digits (const char *text, uint64_t *value)
{
    size_t count = 0;
    for (*value = 0; text[count] >= '0' && text[count] <= '9'; count++)
        if (__builtin_mul_overflow (*value, 10, value)
            || __builtin_add_overflow (*value, (uint64_t) (text[count] - '0'), value))
            return 0;
    return count;
}

static int s_read (const char *text, const unit_t *units, uint64_t *value)
{
    uint64_t whole, part = 0, scale = 1;
    size_t used = s_digits (text, &whole);
    if (used == 0)
        return UMBP_EINVAL;
    text += used;
    if (*text == '.') {
        used = s_digits (++text, &part);
        if (used == 0 || used > 9)
            return UMBP_EINVAL;
        text += used;
        while (used-- > 0)
            scale *= 10;
    }
    text += strspn (text, " ");
    while (units->name && strcasecmp (units->name, text) != 0)
        units++;
    if (!units->name || __builtin_mul_overflow (whole, units->factor, &whole)
        || __builtin_mul_overflow (part, units->factor, &part) || part % scale
        || __builtin_add_overflow (whole, part / scale, value))
        return UMBP_EINVAL;
    return 0;
}

int umbp_units_read_count (const char *text, uint64_t *value)
{
    return s_read (text, s_no_units, value);
}

int umbp_units_read_bytes (const char *text, uint64_t *value)
{
    return s_read (text, s_bytes, value);
}

int umbp_units_read_ms (const char *text, uint64_t *value)
{
    return s_read (text, s_ms, value);
}

int umbp_units_read_us (const char *text, uint64_t *value)
{
    return s_read (text, s_us, value);
}

static char *s_write (uint64_t value, const unit_t *units, char *out)
{
    while (value && value % units->factor)
        units++;
    if (value)
        snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64 "%s", value / units->factor, units->name);
    else
        snprintf (out, UMBP_UNITS_ROOM, "0");
    return out;
}

char *umbp_units_write_bytes (uint64_t value, char *out)
{
    return s_write (value, s_bytes, out);
}

char *umbp_units_write_ms (uint64_t value, char *out)
{
    return s_write (value, s_ms, out);
}

char *umbp_units_write_us (uint64_t value, char *out)
{
    return s_write (value, s_us, out);
}

//  Three digits, as many of them behind the point as there is room for
static char *s_show (double value, const char *unit, char *out)
{
    int places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf (out, UMBP_UNITS_ROOM, "%.*f %s", places, value, unit);
    return out;
}

char *umbp_units_show_bytes (uint64_t value, char *out)
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    if (value < KIB) {
        snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64 " B", value);
        return out;
    }
    double shown = (double) value;
    size_t unit = 0;
    for (; shown >= 999.5 && unit + 1 < sizeof names / sizeof *names; unit++)
        shown /= 1024;
    return s_show (shown, names[unit], out);
}

char *umbp_units_show_count (uint64_t value, char *out)
{
    char digits[UMBP_UNITS_ROOM];
    int count = snprintf (digits, sizeof digits, "%" PRIu64, value);
    char *to = out;
    for (int index = 0; index < count; index++) {
        if (index > 0 && (count - index) % 3 == 0)
            *to++ = ',';
        *to++ = digits[index];
    }
    *to = 0;
    return out;
}

char *umbp_units_show_ms (uint64_t value, char *out)
{
    if (value < 1000)
        snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64 " ms", value);
    else if (value < 60000)
        snprintf (out, UMBP_UNITS_ROOM, "%.1f s", (double) value / 1000);
    else
        snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64 " m %02" PRIu64 " s", value / 60000,
                  value / 1000 % 60);
    return out;
}
