/* Mutes made with the command: rows that come, end and are listed. What a mute means is alert/'s.
 * Runs on the thread that owns db; each change is a transaction of its own. */
#ifndef PW_STORE_MUTE_H
#define PW_STORE_MUTE_H

#include <stdint.h>

#include "base/error.h"
#include "store/db.h"
#include "store/query.h"

/* A mute to be added; everything is borrowed for the call. */
struct pw_mute_row {
    const char *match;   /* a JSON object that was checked, one line */
    int64_t from_ms;     /* PW_TIME_NONE: from ever */
    int64_t until_ms;    /* PW_TIME_NONE: for ever; later than from_ms */
    const char *author;  /* NULL: not known */
    const char *comment; /* NULL: none */
};

/* Adds a mute and gives its number. PW_EINVAL: it would end before it begins or is over already. */
PW_MUST_CHECK enum pw_status pw_mute_add(struct pw_db *db, const struct pw_mute_row *mute,
                                         int64_t now_ms, int64_t *mute_id, struct pw_error *err);
/* Ends a mute now; one that has not begun yet goes as if it had never been (*was_begun false).
 * PW_ENOTFOUND: there is none of that number; PW_EINVAL: it has ended already. */
PW_MUST_CHECK enum pw_status pw_mute_remove(struct pw_db *db, int64_t mute_id, const char *by,
                                            int64_t now_ms, bool *was_begun, struct pw_error *err);
/* The mutes that hold now or will, the oldest first, or with all those that are over too: mute_id,
 * state ('active', 'future', 'ended'), match, from_at, until_at, author, comment, created_at,
 * removed_by. */
PW_MUST_CHECK enum pw_status pw_mute_list(struct pw_db *db, bool all, int64_t now_ms,
                                          struct pw_rows *out, struct pw_error *err);

#endif
