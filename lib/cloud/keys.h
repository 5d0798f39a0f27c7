/* What a credential consists of, and where keys and tokens in files and variables are read from.
 * Internal to this room. */
#ifndef PW_CLOUD_KEYS_H
#define PW_CLOUD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/config.h"

/* Either a pair of keys, perhaps with a security token, or an IAM token. */
struct pw_keys {
    struct pw_secret access_key, secret_key, security_token;
    struct pw_secret token;
    /* No secrets, but they come with the keys where those are from the SDK's places. */
    struct pw_secret domain_id, project_id;
};

void pw_keys_clear(struct pw_keys *keys);
/* *keys takes over what *fresh holds, which is empty then. */
void pw_keys_take(struct pw_keys *keys, struct pw_keys *fresh);
/* Overwrites whatever of them text shows. */
void pw_keys_redact(const struct pw_keys *keys, char *text);

/* Copies value, which must be fit for a header: printable ASCII without blanks. what names it in
 * the message. PW_EFORMAT, PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_keys_set(struct pw_secret *secret, struct pw_str value,
                                         const char *what, struct pw_error *err);

/* aksk: the files that source names; else HUAWEICLOUD_SDK_AK, _SK and _SECURITY_TOKEN; else
 * sdk_file (NULL = none), section [global] or [basic]; from the last two places also the
 * ids that HUAWEICLOUD_SDK_DOMAIN_ID and _PROJECT_ID, or the file, name. token: its file. Errors as
 * pw_secret_read; *out stays empty then. */
PW_MUST_CHECK enum pw_status pw_keys_read(const struct pw_source_config *source,
                                          const char *sdk_file, struct pw_keys *out,
                                          struct pw_error *err);

/* Whether HUAWEICLOUD_SDK_AK or _SK is set. */
bool pw_keys_in_environment(void);

/* "2026-01-02T15:04:05Z", with or without a fraction, to Unix milliseconds; PW_TIME_NONE where text
 * is no such time. */
int64_t pw_cloud_time_ms(struct pw_str text);

#endif
