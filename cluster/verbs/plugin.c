//  cluster/verbs/plugin.c - the one symbol of libumbp-verbs.so: its functions. See
//  cluster/bulk/verbs.h.
#include "cluster/verbs/inner.h"

extern const umbp_verbs_api_t umbp_verbs_plugin;

const umbp_verbs_api_t umbp_verbs_plugin = {
    .version = UMBP_VERBS_VERSION,
    .open = umbp_verbs_open,
    .close = umbp_verbs_close,
    .print = umbp_verbs_print,
    .stats = umbp_verbs_stats,
    .region_new = umbp_verbs_region_new,
    .region_destroy = umbp_verbs_region_destroy,
    .region_describe = umbp_verbs_region_describe,
    .announce = umbp_verbs_announce,
    .forget = umbp_verbs_forget,
    .announce_dmabuf = umbp_verbs_announce_dmabuf,
    .link_new = umbp_verbs_link_new,
    .link_destroy = umbp_verbs_link_destroy,
    .link_describe = umbp_verbs_link_describe,
    .link_connect = umbp_verbs_link_connect,
    .link_alive = umbp_verbs_link_alive,
    .link_why = umbp_verbs_link_why,
    .read = umbp_verbs_read,
    .write = umbp_verbs_write,
    .windows_new = umbp_verbs_windows_new,
    .windows_destroy = umbp_verbs_windows_destroy,
    .window_describe = umbp_verbs_window_describe,
};
