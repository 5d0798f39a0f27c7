/* What a mail says: subject and text for the events of one attempt. */
#ifndef PW_ALERT_MAIL_TEXT_H
#define PW_ALERT_MAIL_TEXT_H

#include "base/buffer.h"
#include "base/error.h"
#include "store/outbox.h"

/* So many events of a group have a line each. */
enum { PW_MAIL_MAX_ROWS = 50 };

/* Appends the subject, one line, and the text, lines that end in LF. What comes from outside is cut
 * and escaped. Depends on nothing but the list. PW_ENOMEM, or what the buffers say. */
PW_MUST_CHECK enum pw_status pw_mail_text(const struct pw_delivery *list, struct pw_buffer *subject,
                                          struct pw_buffer *text, struct pw_error *err);

#endif
