//  bin/suggest.c - edit distance, see suggest.h
#include "bin/suggest.h"

#include <stdint.h>
#include <string.h>

size_t umbp_suggest_distance (const char *word, const char *other)
{
    size_t rows = strlen (word), columns = strlen (other);
    if (rows > UMBP_SUGGEST_MAX || columns > UMBP_SUGGEST_MAX)
        return SIZE_MAX;
    size_t costs[UMBP_SUGGEST_MAX + 1];           //  Of the row above, then of this one
    for (size_t column = 0; column <= columns; column++)
        costs[column] = column;
    for (size_t row = 1; row <= rows; row++) {
        size_t corner = costs[0];
        costs[0] = row;
        for (size_t column = 1; column <= columns; column++) {
            size_t change = corner + (word[row - 1] != other[column - 1]);
            corner = costs[column];
            size_t add = (corner < costs[column - 1] ? corner : costs[column - 1]) + 1;
            costs[column] = change < add ? change : add;
        }
    }
    size_t longest = rows > columns ? rows : columns;
    return costs[columns] <= 1 + longest / 4 ? costs[columns] : SIZE_MAX;
}
