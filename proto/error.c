//  proto/error.c - every error with its name and a sentence that says what to do next.
#include "proto/error.h"

const char *umbp_strerror (int err)
{
    if (err > 0)
        return "ok";
    switch ((umbp_err_t) err) {         //  No default: the compiler finds a code without words
    case UMBP_OK: return "ok";
    case UMBP_EPROTO: return "malformed or unknown message: compare the versions of both ends";
    case UMBP_ENOENT: return "no such block, a definite miss: compute it";
    case UMBP_EAGAIN: return "full and evicting, this is not a miss: try again";
    case UMBP_ESTALE: return "the slot, lease or pages named are no longer yours: ask again";
    case UMBP_EIO: return "medium or transport failed: take another replica, see that node's log";
    case UMBP_EEXIST: return "the key already has a block, first writer wins: nothing to do";
    case UMBP_EINVAL:
        return "an argument is out of its range: compare it with the limits in umbp.h";
    case UMBP_ETIMEDOUT: return "no answer before the deadline: try again or raise the deadline";
    case UMBP_EUNREACH: return "that node cannot be reached: check that umbp-node runs there";
    case UMBP_ENOSPC: return "larger than the whole tier: raise its capacity";
    case UMBP_ETOOBIG: return "over a size limit: split the batch or shorten the key";
    case UMBP_ECHECKSUM: return "bytes differ from their checksum, they were discarded: ask again";
    case UMBP_ENOTSUP: return "not available on this path or build: see the docs of the call";
    case UMBP_EFORKED: return "this client belongs to the parent process: connect again after fork";
    case UMBP_ECLOSED: return "the connection or client is closed: connect again";
    case UMBP_EDENIED: return "refused by policy: check cluster name, token and permissions";
    case UMBP_EQUOTA:
        return "over this tenant's quota and nothing of its own can leave: let go of blocks, or "
               "have the quota raised";
    }
    return "unknown error: the other end is newer";
}

const char *umbp_errname (int err)
{
    if (err > 0)
        return "OK";
    switch ((umbp_err_t) err) {
    case UMBP_OK: return "OK";
    case UMBP_EPROTO: return "EPROTO";
    case UMBP_ENOENT: return "ENOENT";
    case UMBP_EAGAIN: return "EAGAIN";
    case UMBP_ESTALE: return "ESTALE";
    case UMBP_EIO: return "EIO";
    case UMBP_EEXIST: return "EEXIST";
    case UMBP_EINVAL: return "EINVAL";
    case UMBP_ETIMEDOUT: return "ETIMEDOUT";
    case UMBP_EUNREACH: return "EUNREACH";
    case UMBP_ENOSPC: return "ENOSPC";
    case UMBP_ETOOBIG: return "ETOOBIG";
    case UMBP_ECHECKSUM: return "ECHECKSUM";
    case UMBP_ENOTSUP: return "ENOTSUP";
    case UMBP_EFORKED: return "EFORKED";
    case UMBP_ECLOSED: return "ECLOSED";
    case UMBP_EDENIED: return "EDENIED";
    case UMBP_EQUOTA: return "EQUOTA";
    }
    return "E?";
}
