/* The outbox by hand: deliveries that were given up are tried again, others are dropped. Runs on
 * the thread that owns db; each change is a transaction of its own. */
#ifndef PW_STORE_OUTBOX_MANAGE_H
#define PW_STORE_OUTBOX_MANAGE_H

#include <stdint.h>

#include "base/error.h"
#include "store/db.h"

/* Makes a dead delivery, or one that somebody dropped by hand, due now; its attempts stay counted.
 * PW_ENOTFOUND: there is none of that number; PW_EINVAL: its state is another one. */
PW_MUST_CHECK enum pw_status pw_outbox_revive(struct pw_db *db, int64_t delivery_id, int64_t now_ms,
                                              struct pw_error *err);
/* The same for all dead ones, of one hook where it is not NULL. *count: how many there were. */
PW_MUST_CHECK enum pw_status pw_outbox_revive_dead(struct pw_db *db, const char *hook,
                                                   int64_t now_ms, int64_t *count,
                                                   struct pw_error *err);
/* Drops a pending or dead delivery; reason then says by whom. An attempt that is under way goes on,
 * and its success still counts. PW_ENOTFOUND, PW_EINVAL as above. */
PW_MUST_CHECK enum pw_status pw_outbox_drop(struct pw_db *db, int64_t delivery_id, const char *by,
                                            struct pw_error *err);

#endif
