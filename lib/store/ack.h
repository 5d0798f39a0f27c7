/* Acknowledgements: somebody works on the open problem of a node. Made and ended by hand here;
 * recovery and expiry end them elsewhere. Runs on the thread that owns db; each change is a
 * transaction of its own. */
#ifndef PW_STORE_ACK_H
#define PW_STORE_ACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/db.h"

/* Everything is borrowed for the call. */
struct pw_ack_row {
    const char *source, *node_key;
    int64_t until_ms;    /* PW_TIME_NONE: until the problem ends */
    const char *author;  /* NULL: not known */
    const char *comment; /* NULL: none */
};

/* Acknowledges; what was open of the node before ends ('renewal', then *is_renewal). PW_ENOTFOUND:
 * no such node; PW_EINVAL: its last definite status is not non_compliant, or it would be over
 * already. */
PW_MUST_CHECK enum pw_status pw_ack_add(struct pw_db *db, const struct pw_ack_row *ack,
                                        int64_t now_ms, int64_t *ack_id, bool *is_renewal,
                                        struct pw_error *err);
/* Ends what is open of the node ('command'). PW_ENOTFOUND: no such node; PW_EINVAL: nothing is
 * open. */
PW_MUST_CHECK enum pw_status pw_ack_end(struct pw_db *db, const char *source, const char *node_key,
                                        int64_t now_ms, int64_t *ack_id, struct pw_error *err);

#endif
