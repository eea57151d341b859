//  proto/error.h - what can go wrong. The numbers go on the wire and into every language: add,
//  never renumber. 0 or a count is success, a negative one of these is a failure.
#ifndef UMBP_ERROR_H
#define UMBP_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    UMBP_OK = 0,
    UMBP_EPROTO = -1,
    UMBP_ENOENT = -2,
    UMBP_EAGAIN = -3,
    UMBP_ESTALE = -4,
    UMBP_EIO = -5,
    UMBP_EEXIST = -6,
    UMBP_EINVAL = -7,
    UMBP_ETIMEDOUT = -8,
    UMBP_EUNREACH = -9,
    UMBP_ENOSPC = -10,
    UMBP_ETOOBIG = -11,
    UMBP_ECHECKSUM = -12,
    UMBP_ENOTSUP = -13,
    UMBP_EFORKED = -14,
    UMBP_ECLOSED = -15,
    UMBP_EDENIED = -16,
    UMBP_EQUOTA = -17,
} umbp_err_t;

//  The lowest number above, for tables that count errors by name
#define UMBP_ERR_LAST (-17)

//  One sentence: what happened and what to do next. Static text, never NULL.
const char *umbp_strerror (int err);

//  The name as written above without UMBP_, e.g. "EAGAIN"; "E?" for an unknown number. Static text.
const char *umbp_errname (int err);

#ifdef __cplusplus
}
#endif

#endif
