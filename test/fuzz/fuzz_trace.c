//  test/fuzz/fuzz_trace.c - the reader of traces (JSONL): each line is a request within all limits,
//  or refused with where it stands, and reading goes on behind it.
#include "test/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bin/workload.h"
#include "proto/error.h"

static void s_check (const umbp_request_t *request)
{
    FUZZ_CHECK (request->blocks <= UMBP_WORKLOAD_BLOCKS_MAX);
    FUZZ_CHECK (request->time_ms <= INT64_MAX);
    for (uint32_t index = 0; index < request->blocks; index++) {
        FUZZ_CHECK (request->hash_ids[index] <= INT64_MAX);
        FUZZ_CHECK (strspn (request->keys[index], "0123456789abcdef") == 64);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    int file = memfd_create ("trace", MFD_CLOEXEC);
    FUZZ_CHECK (file >= 0 && write (file, data, size) == (ssize_t) size);
    char path[64], error[256] = "";
    snprintf (path, sizeof path, "/proc/self/fd/%d", file);
    umbp_workload_t *trace = umbp_workload_new_trace (path, error, sizeof error);
    FUZZ_CHECK (trace);
    size_t lines = 0, most = 1;
    for (size_t at = 0; at < size; at++)
        most += data[at] == '\n';
    umbp_request_t request;
    int rc;
    while ((rc = umbp_workload_next (trace, &request, error, sizeof error)) != 0) {
        FUZZ_CHECK (rc == 1 || rc == UMBP_EPROTO);
        FUZZ_CHECK (++lines <= most);
        if (rc == 1)
            s_check (&request);
        else
            FUZZ_CHECK (strncmp (error, path, strlen (path)) == 0
                        && strlen (error) > strlen (path));
        *error = 0;
    }
    FUZZ_CHECK (umbp_workload_next (trace, &request, error, sizeof error) == 0);
    umbp_workload_destroy (&trace);
    close (file);
    return 0;
}
