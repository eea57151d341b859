//  cluster/bulk/verbs.c - finds and checks the RDMA plug-in. See verbs.h.
#include "cluster/bulk/verbs.h"

#include <dlfcn.h>
#include <stdio.h>

#define PLUGIN "libumbp-verbs.so"
#define SYMBOL "umbp_verbs_plugin"

const umbp_verbs_api_t *umbp_verbs_load (const char *path, char why[UMBP_VERBS_WHY_MAX])
{
    const char *name = path && *path ? path : PLUGIN;
    why[0] = 0;
    void *library = dlopen (name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf (why, UMBP_VERBS_WHY_MAX,
                  "no RDMA plug-in (%s): install libibverbs-dev, then "
                  "make and make install; bulk bytes go over tcp",
                  dlerror ());
        return NULL;
    }
    const umbp_verbs_api_t *api = dlsym (library, SYMBOL);
    if (!api)
        snprintf (why, UMBP_VERBS_WHY_MAX, "%s is no RDMA plug-in of umbp: it lacks " SYMBOL, name);
    else if (api->version != UMBP_VERBS_VERSION) {
        snprintf (why, UMBP_VERBS_WHY_MAX,
                  "%s is of version %u, this umbp wants %u: install both "
                  "from one build",
                  name, api->version, (unsigned) UMBP_VERBS_VERSION);
        api = NULL;
    }
    if (!api)
        dlclose (library);
    return api;
}
