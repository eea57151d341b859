//  actors/openmetrics.h - writes a page of OpenMetrics 1.0: families of metrics, each with TYPE, UNIT and HELP, and
//  their samples. A value: no thread, no socket. Its room is bounded; what does not fit is left out in whole lines.
//  Contract: a family is begun once, and its samples follow at once; names are letters, digits and _, and end in the
//  unit if there is one. Texts may be anything, they are escaped.
#ifndef UMBP_OPENMETRICS_H
#define UMBP_OPENMETRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMBP_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define UMBP_OPENMETRICS_MAX (4u << 20) //  Bytes in a page
#define UMBP_LABELS_MAX 8

typedef struct umbp_openmetrics umbp_openmetrics_t;

typedef struct {
    const char *name, *value;
} umbp_label_t;

//  For pages of up to so many bytes
umbp_openmetrics_t *umbp_openmetrics_new (size_t size_max);
void umbp_openmetrics_destroy (umbp_openmetrics_t **self_p);

//  Begin a page
void umbp_openmetrics_clear (umbp_openmetrics_t *self);

//  Begin a family. type: counter, gauge, histogram, info or unknown; unit may be "".
void umbp_openmetrics_family (umbp_openmetrics_t *self, const char *name, const char *type,
                              const char *unit, const char *help);

//  A sample of the family: suffix "" or "_total", "_bucket", "_sum", "_count", "_info"; labels end with a NULL name,
//  at most UMBP_LABELS_MAX. A whole number is written exactly.
void umbp_openmetrics_sample (umbp_openmetrics_t *self, const char *suffix,
                              const umbp_label_t *labels, uint64_t value);
void umbp_openmetrics_sample_real (umbp_openmetrics_t *self, const char *suffix,
                                   const umbp_label_t *labels, double value);

//  End the page with its EOF mark. Returns the text, good until the next clear, and its size. *whole says whether all
//  of it fitted.
const char *umbp_openmetrics_end (umbp_openmetrics_t *self, size_t *size, bool *whole);

#endif
