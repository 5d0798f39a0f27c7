/* An event as an entry of the systemd journal. Pure. */
#ifndef PW_ALERT_JOURNAL_ENTRY_H
#define PW_ALERT_JOURNAL_ENTRY_H

#include "base/buffer.h"
#include "base/error.h"
#include "store/outbox.h"

/* The MESSAGE_ID of a type of event, with or without "io.patchwatch."; NULL where it has none. */
const char *pw_journal_message_id(const char *type);

/* Appends the fields of one entry as the journal's native protocol has them
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). PW_ENOMEM, or what the buffer says. */
PW_MUST_CHECK enum pw_status pw_journal_entry(const struct pw_delivery *delivery,
                                              struct pw_buffer *out, struct pw_error *err);

#endif
