//  actors/openmetrics.c - writes a page of OpenMetrics. See openmetrics.h.
#include "actors/openmetrics.h"

#include <czmq.h>
#include <inttypes.h>
#include <stdarg.h>

#define LINE_MAX_BYTES 2048
#define EOF_MARK "# EOF\n"

struct umbp_openmetrics {
    char *text;
    size_t used, room, max;
    bool whole;
    char family[256];
    char line[LINE_MAX_BYTES];          //  The one that is being written
    size_t line_used;
    bool line_whole;
};

umbp_openmetrics_t *umbp_openmetrics_new (size_t size_max)
{
    umbp_openmetrics_t *self = zmalloc (sizeof (umbp_openmetrics_t));
    self->max = size_max;
    umbp_openmetrics_clear (self);
    return self;
}

void umbp_openmetrics_destroy (umbp_openmetrics_t **self_p)
{
    umbp_openmetrics_t *self = *self_p;
    if (!self)
        return;
    free (self->text);
    freen (*self_p);
}

void umbp_openmetrics_clear (umbp_openmetrics_t *self)
{
    self->used = 0;
    self->whole = true;
    self->family[0] = 0;
}

//  --------------------------------------------------------------------------------------------------
//  Lines

static void s_begin (umbp_openmetrics_t *self)
{
    self->line_used = 0;
    self->line_whole = true;
}

static void s_put (umbp_openmetrics_t *self, const char *data, size_t size)
{
    if (size > LINE_MAX_BYTES - self->line_used) {
        self->line_whole = false;
        return;
    }
    memcpy (self->line + self->line_used, data, size);
    self->line_used += size;
}

static void s_say (umbp_openmetrics_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void s_say (umbp_openmetrics_t *self, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    int size = vsnprintf (text, sizeof text, format, args);
    va_end (args);
    if (size < 0 || size >= (int) sizeof text)
        self->line_whole = false;
    else
        s_put (self, text, (size_t) size);
}

static void s_escape (umbp_openmetrics_t *self, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            s_put (self, "\\", 1);
        s_put (self, *text == '\n' ? "\\n" : text, *text == '\n' ? 2 : 1);
    }
}

//  Keep the line, if there is room for it and the mark of the end
static bool s_keep (umbp_openmetrics_t *self)
{
    s_put (self, "\n", 1);
    size_t need = self->used + self->line_used + sizeof EOF_MARK;
    if (!self->line_whole || need > self->max) {
        self->whole = false;
        return false;
    }
    if (need > self->room) {
        size_t room = 2 * need > self->max ? self->max : 2 * need;
        char *text = realloc (self->text, room);
        assert (text);
        self->text = text;
        self->room = room;
    }
    memcpy (self->text + self->used, self->line, self->line_used);
    self->used += self->line_used;
    return true;
}

//  --------------------------------------------------------------------------------------------------
//  Families and samples

void umbp_openmetrics_family (umbp_openmetrics_t *self, const char *name, const char *type,
                              const char *unit, const char *help)
{
    snprintf (self->family, sizeof self->family, "%s", name);
    s_begin (self);
    s_say (self, "# TYPE %s %s\n", name, type);
    if (*unit)
        s_say (self, "# UNIT %s %s\n", name, unit);
    s_say (self, "# HELP %s ", name);
    s_escape (self, help);
    if (!s_keep (self))
        self->family[0] = 0;            //  Its samples would be without a type
}

static void s_sample (umbp_openmetrics_t *self, const char *suffix, const umbp_label_t *labels,
                      const char *value)
{
    if (!self->family[0])
        return;
    s_begin (self);
    s_say (self, "%s%s", self->family, suffix);
    for (size_t index = 0; labels && labels[index].name; index++) {
        s_say (self, "%s%s=\"", index ? "," : "{", labels[index].name);
        s_escape (self, labels[index].value);
        s_put (self, "\"", 1);
    }
    if (labels && labels[0].name)
        s_put (self, "}", 1);
    s_say (self, " %s", value);
    s_keep (self);
}

void umbp_openmetrics_sample (umbp_openmetrics_t *self, const char *suffix,
                              const umbp_label_t *labels, uint64_t value)
{
    char text[32];
    snprintf (text, sizeof text, "%" PRIu64, value);
    s_sample (self, suffix, labels, text);
}

void umbp_openmetrics_sample_real (umbp_openmetrics_t *self, const char *suffix,
                                   const umbp_label_t *labels, double value)
{
    char text[64];
    snprintf (text, sizeof text, "%.15g", value);
    for (char *at = text; *at; at++)    //  A comma where the locale of the program says so
        *at = *at == ',' ? '.' : *at;
    s_sample (self, suffix, labels, text);
}

const char *umbp_openmetrics_end (umbp_openmetrics_t *self, size_t *size, bool *whole)
{
    s_begin (self);
    self->family[0] = 0;
    *whole = self->whole;
    size_t need = self->used + sizeof EOF_MARK;
    if (need > self->room) {
        char *text = realloc (self->text, need);
        assert (text);
        self->text = text;
        self->room = need;
    }
    memcpy (self->text + self->used, EOF_MARK, sizeof EOF_MARK);
    *size = self->used + sizeof EOF_MARK - 1;
    return self->text;
}
