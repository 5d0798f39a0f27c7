/* The nodes that some sweeps of a source changed, and what lasts of it: what apply_shift.c decides
 * by. Held in a temporary table from pw_shift_gather on; inside the caller's transaction. */
#ifndef PW_STORE_SHIFT_H
#define PW_STORE_SHIFT_H

#include <stdint.h>

#include "base/error.h"
#include "compliance/event.h"
#include "store/db.h"

/* Which sweeps of which source. */
struct pw_shift_range {
    int64_t source_id;
    int64_t first_sweep_id, last_sweep_id;
};

/* temp.shift_node, a row a node, by event ids (NULL: none of that kind):
 *   first_flip, last_flip            its transitions
 *   first_presence, last_presence    node.missing and node.returned
 *   was, now                         its definite status before them and at present
 *   flip_stands, presence_stands, flapping_stands, settled_stands
 *   told_by                          the event that tells of what lasts; NULL: nothing does */

/* Fills temp.shift_node anew and counts: nodes, of_nodes, share_ppm, went_back, by_kind. of_nodes
 * and the share only where at least min_nodes are left (else 0: it is no mass change). */
PW_MUST_CHECK enum pw_status pw_shift_gather(struct pw_db *db, const struct pw_shift_range *range,
                                             int64_t min_nodes, struct pw_fleet_shift *out,
                                             struct pw_error *err);
/* Adds causes, baselines, regions and examples. out is freed with pw_shift_free, on error too. */
PW_MUST_CHECK enum pw_status pw_shift_describe(struct pw_db *db, struct pw_fleet_shift *out,
                                               struct pw_error *err);
void pw_shift_free(struct pw_fleet_shift *shift);
/* The cause that most nodes share. */
enum pw_event_cause pw_shift_cause(const struct pw_fleet_shift *shift);

#endif
