//  cluster/quotas.h - how many bytes of each tier each tenant may use on a node: a file in ZPL,
//
//      tenant = team-a
//          dram = 20GiB
//          qos = high
//      tenant = *
//          dram = 1GiB
//
//  where * stands for all that are not named, and "" for the default tenant, which * does not mean.
//  What is not said is not limited. A value: no thread; reading the file blocks.
#ifndef UMBP_QUOTAS_H
#define UMBP_QUOTAS_H

#include "proto/types.h"

#define UMBP_QUOTA_NONE UINT64_MAX      //  No limit
#define UMBP_QUOTA_TIERS 5              //  By number: hbm 1, dram 2, nvme 3, shared 4
#define UMBP_QUOTA_OTHERS "*"

//  Who gives way first when memory is short: the lowest. A line "qos = low" below a tenant; medium else
enum {
    UMBP_QOS_LOW,
    UMBP_QOS_MEDIUM,
    UMBP_QOS_HIGH,
    UMBP_QOS_CRITICAL,
    UMBP_QOS_COUNT,
};

typedef struct umbp_quotas umbp_quotas_t;

//  No limits at all
umbp_quotas_t *umbp_quotas_new (void);
void umbp_quotas_destroy (umbp_quotas_t **self_p);

//  Read a file. Returns NULL if it cannot be read, or any line of it is wrong; then why says which
//  line of which file, what is wrong with it and what is allowed.
umbp_quotas_t *umbp_quotas_read (const char *path, char *why, size_t size);

//  Set one limit. Returns 0, or UMBP_ENOSPC: more than UMBP_TENANTS_MAX are named.
int umbp_quotas_set (umbp_quotas_t *self, const char *tenant, unsigned tier, uint64_t bytes);

//  Set its priority, UMBP_QOS_*. Returns 0, or UMBP_ENOSPC.
int umbp_quotas_set_qos (umbp_quotas_t *self, const char *tenant, unsigned qos);

//  The priority of a tenant, and its name; "?" for what there is not
unsigned umbp_quotas_qos (const umbp_quotas_t *self, umbp_text_t tenant);
const char *umbp_qos_name (unsigned qos);

umbp_quotas_t *umbp_quotas_copy (const umbp_quotas_t *self);

//  What a tenant may use of a tier
uint64_t umbp_quotas_limit (const umbp_quotas_t *self, umbp_text_t tenant, unsigned tier);

//  Who is named, in the order of the file, and with which limit. NULL at the end.
const char *umbp_quotas_at (const umbp_quotas_t *self, size_t index, unsigned tier,
                            uint64_t *bytes);

//  A number that changes when the file does; 0: it cannot be read, 1: path is empty
uint64_t umbp_quotas_stamp (const char *path);

#endif
