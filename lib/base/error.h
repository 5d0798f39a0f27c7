/* The one error type: a status for code, a sentence for people. Nothing here allocates. */
#ifndef PW_BASE_ERROR_H
#define PW_BASE_ERROR_H

#include <stddef.h>

#define PW_MUST_CHECK __attribute__((warn_unused_result))
#define PW_PRINTF(format_index, first_index)                                                       \
    __attribute__((format(printf, format_index, first_index)))

enum pw_status {
    PW_OK = 0,
    PW_ENOMEM,    /* no memory */
    PW_EINVAL,    /* the caller or the configuration asked for something impossible */
    PW_EFORMAT,   /* bytes from outside that are not what they should be */
    PW_ELIMIT,    /* a limit of ours was reached (body size, buffer maximum) */
    PW_ENOTFOUND, /* no such file, row, key */
    PW_EPERM,     /* permissions, or a file that is too open */
    PW_EIO,       /* the operating system or SQLite failed to read or write */
    PW_EFULL,     /* the disk is full */
    PW_ECORRUPT,  /* a database that is damaged, foreign or too new */
    PW_ENETWORK,  /* no answer: connect, TLS, reset, timeout */
    PW_EREMOTE,   /* an answer that says no */
    PW_ECANCELED, /* stopped because we are shutting down or reloading */
    PW_EBUSY,     /* somebody else holds it */
    PW_STATUS_COUNT
};

struct pw_error {
    enum pw_status status;
    char message[512];
};

/* Name of a status for logs ("not found"); never NULL. */
const char *pw_status_name(enum pw_status status);

/* Fills err (may be NULL) and returns status, so that `return pw_fail(err, PW_EIO, "…")` reads
 * well. A message that does not fit is cut. */
enum pw_status pw_fail(struct pw_error *err, enum pw_status status, const char *format, ...)
    PW_PRINTF(3, 4);

/* pw_fail for "no memory", the one failure with nothing to say. */
enum pw_status pw_fail_nomem(struct pw_error *err);

/* Puts "context: " before the message of err and returns its status. */
enum pw_status pw_fail_in(struct pw_error *err, const char *format, ...) PW_PRINTF(2, 3);

#endif
