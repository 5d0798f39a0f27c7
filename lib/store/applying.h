/* The inner side of apply.h: what one pw_apply_finish works with, and the two halves that it is
 * made of besides the walk itself: one node (apply_node.c) and the sweep's own row (sweep_row.c).
 */
#ifndef PW_STORE_APPLYING_H
#define PW_STORE_APPLYING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "compliance/batch.h"
#include "compliance/diff.h"
#include "store/apply.h"
#include "store/record.h"

/* What pw_apply_finish works with. */
struct pw_applying {
    struct pw_db *db;
    const struct pw_apply_params *params;
    struct pw_apply_result *result;
    struct pw_error *err;
    bool baseline_done;
    int64_t last_complete_ms;    /* of the sweep before */
    int empty_before, empty_now; /* complete sweeps in a row that showed nothing: 0, 1, 2 = more */
    /* the node at hand */
    struct pw_buffer node_key;
    struct pw_batch found;
    struct pw_batch old;
    struct pw_batch earlier; /* what a late transition came from */
    struct pw_report_slot *slots;
    struct pw_report_key *keys;
    enum pw_report_action *actions;
    size_t slot_count, slot_capacity;
    /* the transaction at hand */
    size_t batch_reports;
    bool in_transaction;
    struct pw_apply_result committed; /* counters as of the last commit */
    size_t change_capacity;
    unsigned char *handled; /* of params->unseen: dealt with together with what was staged */
};

/* Decides and writes the node whose key is in node_key, whose stored reports are in old and whose
 * staged ones in found. Inside the caller's transaction. */
PW_MUST_CHECK enum pw_status pw_applying_node(struct pw_applying *apply, struct pw_node_row *node);
/* Frees what pw_applying_node kept from node to node. */
void pw_applying_free_slots(struct pw_applying *apply);

/* Counts whether the source fails, and raises what that means. In the transaction that ends the
 * sweep. */
PW_MUST_CHECK enum pw_status pw_applying_health(struct pw_applying *apply);

/* Ends the row of a sweep. */
PW_MUST_CHECK enum pw_status pw_sweep_row_end(struct pw_db *db, int64_t sweep_id,
                                              const struct pw_sweep_facts *facts, int64_t changed,
                                              int64_t transitions, int64_t now_ms,
                                              struct pw_error *err);

#endif
