/* Staging, the inner side of pw_apply_stage: reading back what was staged, node by node. */
#ifndef PW_STORE_STAGE_H
#define PW_STORE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "compliance/batch.h"
#include "store/db.h"

/* Walks the staged nodes of a sweep in the order of their hashes. */
struct pw_staged_cursor {
    int64_t sweep_id;
    int64_t node_hash;
    bool started;
};

/* The next node: its key into node_key (cleared first), its records into reports (cleared first).
 * *found false at the end. No statement stays open in between, so that transactions may end. */
PW_MUST_CHECK enum pw_status pw_staged_next(struct pw_db *db, struct pw_staged_cursor *cursor,
                                            struct pw_buffer *node_key, struct pw_batch *reports,
                                            bool *found, struct pw_error *err);

/* Forgets what a sweep staged. */
PW_MUST_CHECK enum pw_status pw_staged_clear(struct pw_db *db, int64_t sweep_id,
                                             struct pw_error *err);

#endif
