/* The email hook: its configuration, and the message that it sends. */
#ifndef PW_ALERT_HOOK_EMAIL_H
#define PW_ALERT_HOOK_EMAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/mail_encode.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/secret.h"
#include "http/mail.h"
#include "store/outbox.h"

enum { PW_EMAIL_ID_BYTES = 64, PW_EMAIL_MEMORY = 128 };

/* Recipients that took a message which others will be given again. Kept for as long as the
 * configuration is loaded: who took it is not sent it twice. The loop's alone. */
struct pw_email_memory {
    struct {
        char id[PW_EMAIL_ID_BYTES]; /* pw_email_id; "" = free */
        uint64_t told;              /* a bit for each recipient, in their order */
    } messages[PW_EMAIL_MEMORY];
    size_t next; /* to be overwritten */
};

struct pw_email_config {
    char *url;    /* as pw_mail_request wants it */
    char *server; /* the same for messages: smtps://mail.example */
    bool starttls;
    char *ca_file, *user; /* NULL = none */
    struct pw_secret password;
    struct pw_mail_address from;
    struct pw_mail_address *recipients; /* first the `to`, then the `cc` */
    size_t to_count, recipient_count;   /* all of them */
    char *subject_prefix;               /* "" = none */
    struct pw_email_memory *memory;
};

/* What the message for a list is known by: the same in every attempt, another one for a reminder.
 */
void pw_email_id(const struct pw_delivery *list, char out[PW_EMAIL_ID_BYTES]);

/* Appends the whole message (RFC 5322). now_ms is its date; the rest follows from the configuration
 * and the list. PW_ENOMEM; PW_ELIMIT where it would be longer than the buffer may be. */
PW_MUST_CHECK enum pw_status pw_email_message(const struct pw_email_config *email,
                                              const struct pw_delivery *list, int64_t now_ms,
                                              struct pw_buffer *out, struct pw_error *err);

#endif
