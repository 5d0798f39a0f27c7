/* Files that the configuration names: where a relative name is looked up, and whether a secret is
 * kept well enough. Looks at metadata only; no secret is read here. */
#ifndef PW_CONFIG_SECRET_H
#define PW_CONFIG_SECRET_H

#include "base/error.h"

/* The absolute path of name: itself if absolute, else beside ini_file. The caller frees *out. */
PW_MUST_CHECK enum pw_status pw_path_beside(const char *ini_file, const char *name, char **out,
                                            struct pw_error *err);
/* The absolute path of a secret file: a relative name is looked up in $CREDENTIALS_DIRECTORY where
 * that is set (systemd.exec(5)), else beside ini_file. PW_ENOTFOUND; PW_EPERM where group or
 * others may use it (but not in $CREDENTIALS_DIRECTORY, whose modes systemd sets); PW_EINVAL where
 * it is no regular file. The caller frees *out. */
PW_MUST_CHECK enum pw_status pw_path_secret(const char *ini_file, const char *name, char **out,
                                            struct pw_error *err);
/* The absolute path of a regular file that must exist, beside ini_file. The caller frees *out. */
PW_MUST_CHECK enum pw_status pw_path_existing(const char *ini_file, const char *name, char **out,
                                              struct pw_error *err);

#endif
