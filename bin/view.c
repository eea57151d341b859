//  bin/view.c - documents and tables, see view.h
#include "bin/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "bin/units.h"

#define CELL_ROOM 1024                  //  Bytes of a cell; longer ones are cut
#define BAR_CELLS 12
#define COLUMNS_MAX 16
#define GAP 2                           //  Spaces between columns

//  ------------------------------------------------------------------------------------------------
//  Values

//  Bytes of the printable character at data, 0 if there is none
static size_t s_printable (const uint8_t *data, size_t size)
{
    if (*data < 0x80)
        return *data >= 0x20 && *data != 0x7f;
    size_t length = *data >= 0xf0 ? 4 : *data >= 0xe0 ? 3 : 2;
    if (length > size || (*data == 0xc2 && data[1] < 0xa0))
        return 0;
    json_t *valid = json_stringn ((const char *) data, length);
    json_decref (valid);
    return valid ? length : 0;
}

json_t *umbp_view_text (const void *data, size_t size)
{
    const uint8_t *bytes = data;
    char *text = malloc (4 * size + 1);
    if (!text)
        return json_null ();
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        size_t length = s_printable (bytes + at, size - at);
        if (length)
            memcpy (text + used, bytes + at, length);
        else
            snprintf (text + used, 5, "\\x%02x", bytes[at]);
        used += length ? length : 4;
        at += length ? length : 1;
    }
    json_t *value = json_stringn (text, used);
    free (text);
    return value;
}

json_t *umbp_view_number (uint64_t value)
{
    return json_integer (value > INT64_MAX ? INT64_MAX : (json_int_t) value);
}

double umbp_view_percent (uint64_t part, uint64_t whole)
{
    return whole ? round (1000.0 * (double) part / (double) whole) / 10 : 0;
}

//  ------------------------------------------------------------------------------------------------
//  Cells

char *umbp_view_bar (double percent, size_t cells, char *out)
{
    static const char full[] = "\u2588", half[] = "\u258c", empty[] = "\u2591";
    double filled = percent / 100 * (double) cells;
    char *to = out;
    for (size_t index = 0; index < cells; index++) {
        double rest = filled - (double) index;
        memcpy (to, rest >= 0.75 ? full : rest >= 0.25 ? half : empty, 3);
        to += 3;
    }
    *to = 0;
    return out;
}

const char *umbp_view_paint (const char *state, bool colour)
{
    static const struct { const char *state, *code; } colours[] = {
        { "alive", "\033[32m" }, { "ok", "\033[32m" }, { "fine", "\033[32m" }, { "suspect", "\033[33m" },
        { "draining", "\033[33m" }, { "drained", "\033[2m" },
        { "storm", "\033[33m" }, { "slowed", "\033[33m" }, { "moving", "\033[32m" }, { "quiet", "\033[2m" },
        { "title", "\033[1m" }, { "dim", "\033[2m" },
    };
    if (!colour)
        return "";
    for (size_t index = 0; index < sizeof colours / sizeof *colours; index++)
        if (strcmp (state, colours[index].state) == 0)
            return colours[index].code;
    return "\033[31m";
}

const char *umbp_view_plain (bool colour)
{
    return colour ? "\033[0m" : "";
}

static void s_cell (const json_t *row, const umbp_view_column_t *column, char *out)
{
    const json_t *value = json_object_get (row, column->member);
    uint64_t number = json_is_integer (value) ? (uint64_t) json_integer_value (value) : 0;
    *out = 0;
    if (!value || json_is_null (value))
        return;
    switch (column->form) {
    case UMBP_VIEW_TEXT:
    case UMBP_VIEW_STATE: snprintf (out, CELL_ROOM, "%s", json_string_value (value)); break;
    case UMBP_VIEW_BOOL: snprintf (out, CELL_ROOM, "%s", json_is_true (value) ? "yes" : ""); break;
    case UMBP_VIEW_COUNT: umbp_units_show_count (number, out); break;
    case UMBP_VIEW_BYTES: umbp_units_show_bytes (number, out); break;
    case UMBP_VIEW_MS: umbp_units_show_ms (number, out); break;
    case UMBP_VIEW_PERCENT: snprintf (out, CELL_ROOM, "%.1f %%", json_number_value (value)); break;
    case UMBP_VIEW_BAR: umbp_view_bar (json_number_value (value), BAR_CELLS, out); break;
    }
}

//  Columns of a terminal that a text takes
static size_t s_width (const char *text)
{
    mbstate_t state = { 0 };
    size_t width = 0, left = strlen (text);
    while (left > 0) {
        wchar_t letter;
        size_t used = mbrtowc (&letter, text, left, &state);
        if (used == 0 || used > left)   //  Not a letter of this locale: count it as one
            used = 1, width += 1, memset (&state, 0, sizeof state);
        else
            width += wcwidth (letter) > 0 ? (size_t) wcwidth (letter) : 0;
        text += used;
        left -= used;
    }
    return width;
}

//  ------------------------------------------------------------------------------------------------
//  Tables

static void s_pad (FILE *out, size_t width)
{
    while (width-- > 0)
        fputc (' ', out);
}

//  One cell in its column. Nothing is put behind the last one, where nobody would see it.
static void s_put (FILE *out, const char *text, size_t width, bool right, bool last,
                   const char *paint, const char *plain)
{
    size_t used = s_width (text), pad = width > used ? width - used : 0;
    if (right)
        s_pad (out, pad);
    fprintf (out, "%s%s%s", paint, text, plain);
    if (!right && !last)
        s_pad (out, pad);
    if (!last)
        s_pad (out, GAP);
}

static bool s_is_right (const umbp_view_column_t *column)
{
    return column->form >= UMBP_VIEW_COUNT && column->form != UMBP_VIEW_BAR;
}

void umbp_view_table (FILE *out, const json_t *rows, const umbp_view_column_t *columns,
                      size_t count, bool colour)
{
    size_t widths[COLUMNS_MAX], index;
    char cell[CELL_ROOM];
    json_t *row;
    for (size_t column = 0; column < count && column < COLUMNS_MAX; column++) {
        widths[column] = s_width (columns[column].title);
        json_array_foreach (rows, index, row)
        {
            s_cell (row, &columns[column], cell);
            if (s_width (cell) > widths[column])
                widths[column] = s_width (cell);
        }
    }
    const char *title = umbp_view_paint ("title", colour), *plain = umbp_view_plain (colour);
    for (size_t column = 0; column < count && column < COLUMNS_MAX; column++)
        s_put (out, columns[column].title, widths[column], s_is_right (&columns[column]),
               column + 1 == count, title, plain);
    fputc ('\n', out);
    json_array_foreach (rows, index, row)
    {
        for (size_t column = 0; column < count && column < COLUMNS_MAX; column++) {
            bool state = columns[column].form == UMBP_VIEW_STATE;
            s_cell (row, &columns[column], cell);
            s_put (out, cell, widths[column], s_is_right (&columns[column]), column + 1 == count,
                   state ? umbp_view_paint (cell, colour) : "", state ? plain : "");
        }
        fputc ('\n', out);
    }
}
