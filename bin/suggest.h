//  bin/suggest.h - which known word somebody may have meant
#ifndef UMBP_SUGGEST_H
#define UMBP_SUGGEST_H

#include <stddef.h>

#define UMBP_SUGGEST_MAX 64             //  Longer words resemble nothing

//  How many letters to add, take away or change to make one word of the other, or SIZE_MAX if that
//  is so many that nobody means one by the other
size_t umbp_suggest_distance (const char *word, const char *other);

#endif
