/* The inner side of verify.h: what one pw_store_verify works with, and the checks that have a file
 * of their own. */
#ifndef PW_STORE_VERIFYING_H
#define PW_STORE_VERIFYING_H

#include <stdint.h>

#include "store/verify.h"

enum { PW_CLOCK_SLACK_MS = 60 * 1000 }; /* what lies so far ahead is no wrong clock yet */

struct pw_verifying {
    struct pw_db *db;
    const struct pw_verify_params *params;
    struct pw_verify_result *result;
    enum pw_verify_check check;
    int64_t now_ms;
    struct pw_error *err;
};

/* Tells and counts a finding of the check at hand. */
void pw_verify_found(struct pw_verifying *verify, const char *format, ...) PW_PRINTF(2, 3);

/* Follows the chain; the anchor, what was noted elsewhere, and whether each sweep still has all the
 * events that it raised. */
PW_MUST_CHECK enum pw_status pw_verify_chain(struct pw_verifying *verify);

/* The versions of each report, and what was recorded ahead of now. */
PW_MUST_CHECK enum pw_status pw_verify_versions(struct pw_verifying *verify);

/* For "%.*s": texts of the database are not trusted to end. */
static inline int pw_verify_len(struct pw_str text)
{
    return (int)(text.len < 200 ? text.len : 200);
}

static inline const char *pw_verify_text(struct pw_str text)
{
    return text.data != NULL ? text.data : "";
}

#endif
