/* Text from anywhere in the form that mail carries: header values (RFC 2047), addresses (RFC 5322)
 * and bodies (RFC 2045). Pure. Failure is the buffer's. */
#ifndef PW_ALERT_MAIL_ENCODE_H
#define PW_ALERT_MAIL_ENCODE_H

#include <stddef.h>

#include "base/buffer.h"

/* The longest address, and the longest name before one. */
enum { PW_MAIL_ADDRESS_BYTES = 255, PW_MAIL_NAME_BYTES = 128 };

struct pw_mail_address {
    char address[PW_MAIL_ADDRESS_BYTES]; /* local@domain, ASCII */
    char name[PW_MAIL_NAME_BYTES];       /* "" = none */
};

/* "ops@example" or "Operations <ops@example>". The address is a dot-atom and a domain or a
 * bracketed IP address (RFC 5321, 4.1.2; no quoted local part, no comment); PW_EINVAL says what is
 * wrong. */
PW_MUST_CHECK enum pw_status pw_mail_address_parse(const char *text, struct pw_mail_address *out,
                                                   struct pw_error *err);
/* The domain of an address. */
const char *pw_mail_domain(const char *address);

/* Appends unstructured text that begins at column (characters of the line that are already there),
 * folded: as it is where it is plain ASCII, else as encoded-words. Nothing in text can end the
 * header. */
void pw_mail_append_text(struct pw_buffer *out, struct pw_str text, size_t column);
/* Appends an address with its name, one line or two. */
void pw_mail_append_address(struct pw_buffer *out, const struct pw_mail_address *address);
/* Appends text, whose lines end in LF, as quoted-printable with CRLF. */
void pw_mail_append_body(struct pw_buffer *out, struct pw_str text);

#endif
