/* Signatures of Standard Webhooks 1.0 (standardwebhooks.com, "Signature scheme"): HMAC-SHA256 over
 * ID.TIMESTAMP.BODY, symmetric keys. */
#ifndef PW_ALERT_SIGNATURE_H
#define PW_ALERT_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"
#include "store/outbox.h"

enum {
    PW_SIGNATURE_MAX_KEYS = 8,
    PW_SIGNATURE_ID_SIZE = 80,
    PW_SIGNATURE_LINE_SIZE = 32 + PW_SIGNATURE_MAX_KEYS * 64
};

struct pw_signature_keys {
    struct pw_secret keys[PW_SIGNATURE_MAX_KEYS];  /* the bytes */
    struct pw_secret texts[PW_SIGNATURE_MAX_KEYS]; /* their base64: to be redacted */
    size_t count;
};

/* Takes the keys from the lines of a secret file: base64 of 24 to 64 bytes, "whsec_" before it or
 * not; empty lines are skipped. PW_EFORMAT with the number of the line, never its text; PW_ENOMEM.
 */
PW_MUST_CHECK enum pw_status pw_signature_keys_parse(struct pw_signature_keys *keys,
                                                     const struct pw_secret *lines,
                                                     struct pw_error *err);
void pw_signature_keys_clear(struct pw_signature_keys *keys);
/* Puts stars over every key in text. */
void pw_signature_keys_redact(const struct pw_signature_keys *keys, char *text);

/* The webhook-id of a message: the event's id, or for several a hash of theirs, with the number of
 * the reminder; the same in every attempt with the same events. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_signature_id(const struct pw_delivery *list,
                                             char out[PW_SIGNATURE_ID_SIZE], struct pw_error *err);

/* "webhook-signature: v1,BASE64 v1,BASE64": one for each key. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_signature_line(const struct pw_signature_keys *keys, const char *id,
                                               int64_t timestamp_s, struct pw_str body,
                                               char out[PW_SIGNATURE_LINE_SIZE],
                                               struct pw_error *err);

#endif
