//  cluster/bulk/host.h - whether two processes share a host closely enough for doors and shared
//  memory: the same kernel since its start, the same view of files, the same user.
#ifndef UMBP_HOST_H
#define UMBP_HOST_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBP_HOST_ID_MAX 128            //  Bytes in a host id, the final 0 included

//  Write the id of this process' host: equal texts, same host. Never blocks. Returns out, which
//  holds an empty text if the system does not tell; that equals nobody's. May be called from any
//  thread.
char *umbp_host_id (char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
