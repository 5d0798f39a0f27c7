/* One value of one option: text from the file to a field of the configuration. */
#ifndef PW_CONFIG_VALUE_H
#define PW_CONFIG_VALUE_H

#include "base/error.h"
#include "config/option.h"

/* Reads text (not empty) as the option's type into its field of target, which is a
 * pw_daemon_config or pw_source_config. A string there before is freed; the new one belongs to the
 * target. ini_file is where the text stands: relative paths begin beside it. PW_ENOMEM, or another
 * status with a message that does not name the key; the field is then as it was. */
PW_MUST_CHECK enum pw_status pw_value_set(const struct pw_option *option, void *target,
                                          const char *text, const char *ini_file,
                                          struct pw_error *err);
/* Frees the strings that the section's options own in target. */
void pw_value_free_all(enum pw_option_section section, void *target);

#endif
