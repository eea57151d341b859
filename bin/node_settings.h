//  bin/node_settings.h - the settings of umbp-node: every member of umbp_node_options_t has one
#ifndef UMBP_NODE_SETTINGS_H
#define UMBP_NODE_SETTINGS_H

#include "bin/config.h"

//  The table, for umbp_config_new with options as the target. Static.
const umbp_setting_t *umbp_node_settings (size_t *count);

#endif
