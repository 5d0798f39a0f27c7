/* How far back the history can be asked: retention takes versions of reports and missing nodes, and
 * what it leaves of the time before says nothing of the fleet as it was then. */
#ifndef PW_STORE_HORIZON_H
#define PW_STORE_HORIZON_H

#include <stdint.h>

#include "base/error.h"
#include "store/db.h"

/* From when on the history is whole: *kept_from_ms is PW_TIME_NONE (base/clock.h) where
 * nothing was ever pruned. Reads only; the errors of a statement. */
PW_MUST_CHECK enum pw_status pw_store_horizon(struct pw_db *db, int64_t *kept_from_ms,
                                              struct pw_error *err);

/* Notes that what ended before cutoff_ms goes. It never moves back. In the transaction that takes
 * it away. */
PW_MUST_CHECK enum pw_status pw_horizon_move(struct pw_db *db, int64_t cutoff_ms, int64_t now_ms,
                                             struct pw_error *err);

#endif
