/* Memory for secrets: pages of their own that no core dump holds (MADV_DONTDUMP), that no child
 * inherits (MADV_DONTFORK), that do not go to swap where the limits allow (mlock(2)), and that are
 * wiped before they are given back. A zeroed struct pw_secret is an empty one; whoever has it
 * clears it. */
#ifndef PW_BASE_SECRET_H
#define PW_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"

struct pw_secret {
    char *data; /* NUL-terminated; NULL = none */
    size_t len;
    size_t mapped_bytes;
};

/* A secret file is no longer than this. */
enum { PW_SECRET_MAX_BYTES = 64 * 1024 };

/* Replaces the secret by a copy of text (which may lie in the secret itself). PW_ENOMEM leaves it
 * as it was. */
PW_MUST_CHECK enum pw_status pw_secret_set(struct pw_secret *secret, struct pw_str text,
                                           struct pw_error *err);
/* Wipes and frees; as after zero initialisation. */
void pw_secret_clear(struct pw_secret *secret);
/* a becomes b and b becomes a. */
void pw_secret_swap(struct pw_secret *a, struct pw_secret *b);

/* For a text that is put together: empties the secret and lays *over on its memory, a buffer that
 * takes at most max_bytes, never moves and must not be freed. It is done with pw_secret_written.
 * PW_ENOMEM leaves the secret as it was. */
PW_MUST_CHECK enum pw_status pw_secret_write(struct pw_secret *secret, size_t max_bytes,
                                             struct pw_buffer *over, struct pw_error *err);
/* The secret is what was written; a buffer that failed (its state is returned) leaves it empty. */
PW_MUST_CHECK enum pw_status pw_secret_written(struct pw_secret *secret,
                                               const struct pw_buffer *over);

/* Reads a small file (at most PW_SECRET_MAX_BYTES) into the secret; newlines at its end are not
 * part of it. Errors name the path, never the content, and leave the secret as it was:
 * PW_ENOTFOUND, PW_EPERM (others may use it: mode & 077, unless the file lies in
 * $CREDENTIALS_DIRECTORY), PW_EINVAL (no regular file), PW_EFORMAT (empty, a NUL or a line break
 * within), PW_ELIMIT, PW_EIO, PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_secret_read(struct pw_secret *secret, const char *path,
                                            struct pw_error *err);
/* As pw_secret_read, but of a file of many lines. */
PW_MUST_CHECK enum pw_status pw_secret_read_lines(struct pw_secret *secret, const char *path,
                                                  struct pw_error *err);

/* Overwrites every place in text (NUL-terminated) that shows the secret, or its first eight bytes
 * and on, by stars: a server may repeat what it was told, as it is or escaped as in JSON (RFC 8259)
 * or URLs (RFC 3986), in part or throughout. Secrets under four bytes are let be. */
void pw_secret_redact(const struct pw_secret *secret, char *text);

static inline struct pw_str pw_secret_str(const struct pw_secret *secret)
{
    return (struct pw_str){secret->data, secret->len};
}

#endif
