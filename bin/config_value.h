//  bin/config_value.h - one setting: reads its text into its member, checks it, writes it back
#ifndef UMBP_CONFIG_VALUE_H
#define UMBP_CONFIG_VALUE_H

#include "bin/config.h"

//  Read into the member of target. Returns 0, or UMBP_EINVAL: then the member is as it was, and why
//  is "what is wrong; allowed: what would be right".
int umbp_config_value_read (const umbp_setting_t *setting, const char *text, void *target,
                            char *why, size_t size);

//  Write the member as a file has it, texts in quotes
void umbp_config_value_write (const umbp_setting_t *setting, const void *target, char *out,
                              size_t size);

//  Write what is allowed: "1MiB..16TiB, like 512MiB or 4GiB"
void umbp_config_value_allowed (const umbp_setting_t *setting, char *out, size_t size);

//  What stands for a value in a list of flags: "SIZE". Static text.
const char *umbp_config_value_word (const umbp_setting_t *setting);

#endif
