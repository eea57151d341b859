//  bin/view.h - what a program says, as JSON for programs and as aligned tables for people, both
//  from one document. Text that came over the network reaches no terminal with control characters
//  in it.
#ifndef UMBP_VIEW_H
#define UMBP_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

//  How a member of a row is shown
typedef enum {
    UMBP_VIEW_TEXT,
    UMBP_VIEW_STATE,                    //  Text, coloured by whether it is good news
    UMBP_VIEW_BOOL,                     //  yes, or nothing
    UMBP_VIEW_COUNT,                    //  Numbers from here on, to the right
    UMBP_VIEW_BYTES,
    UMBP_VIEW_MS,
    UMBP_VIEW_PERCENT,
    UMBP_VIEW_BAR,                      //  Percent as a bar
} umbp_view_form_t;

typedef struct {
    const char *title;
    const char *member;                 //  Of each row
    umbp_view_form_t form;
} umbp_view_column_t;

//  Print an array of objects as a table with a line of titles. A member that a row lacks stays
//  empty.
void umbp_view_table (FILE *out, const json_t *rows, const umbp_view_column_t *columns,
                      size_t count, bool colour);

//  A string of these bytes, where \xNN stands for what is no printable UTF-8
json_t *umbp_view_text (const void *data, size_t size);

//  A number; JSON's are signed, so that one beyond becomes the largest
json_t *umbp_view_number (uint64_t value);

//  part of whole in percent, 0 of nothing
double umbp_view_percent (uint64_t part, uint64_t whole);

//  A bar of so many cells for a percentage, as bytes of UTF-8. Returns out, which has room for 3
//  bytes a cell and 1.
char *umbp_view_bar (double percent, size_t cells, char *out);

//  Begin and end a colour on a terminal; nothing unless colour is true
const char *umbp_view_paint (const char *state, bool colour);
const char *umbp_view_plain (bool colour);

#endif
