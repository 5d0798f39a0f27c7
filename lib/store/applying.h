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

/* Whether what a sweep changed is a mass change: what is known so far. apply_shift.c */
struct pw_shifting {
    int64_t from_sweep_id; /* the first undecided sweep, as stored; 0 = none */
    int64_t since_ms;      /* since when it waits for confirmation; PW_TIME_NONE = it does not */
    int64_t sweeps;        /* that could not give it */
    int64_t nodes;         /* that this sweep changed */
    bool node_counts;      /* the node at hand is one of them */
    bool is_touched;       /* this sweep recorded something of a node */
};

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
    int64_t *window;        /* ids of the last complete sweeps before this one, the newest first */
    size_t window_count;
    struct pw_shifting shifting;
};

/* Decides and writes the node whose key is in node_key, whose stored reports are in old and whose
 * staged ones in found. Inside the caller's transaction. */
PW_MUST_CHECK enum pw_status pw_applying_node(struct pw_applying *apply, struct pw_node_row *node);
/* Frees what pw_applying_node kept from node to node. */
void pw_applying_free_slots(struct pw_applying *apply);

/* Counts whether the source fails, and raises what that means. In the transaction that ends the
 * sweep. */
PW_MUST_CHECK enum pw_status pw_applying_health(struct pw_applying *apply);

/* What pw_applying_flap found out of a transition. */
struct pw_flap_verdict {
    bool is_flapping; /* nobody is told of the transition itself */
    bool begins;      /* it is the one that makes the node flap */
    struct pw_flapping facts;
};
/* Before a transition of the node is recorded. Marks the node where it begins to flap. */
PW_MUST_CHECK enum pw_status pw_applying_flap(struct pw_applying *apply, struct pw_node_row *node,
                                              struct pw_flap_verdict *out);
/* After it: records node.flapping like the transition, for whoever would have been told of that. */
PW_MUST_CHECK enum pw_status pw_applying_flapping(struct pw_applying *apply,
                                                  const struct pw_event *transition,
                                                  int64_t node_id, const struct pw_flapping *facts);
/* The next present node of the source after `after` that flaps; *node_id 0 where there is none. */
PW_MUST_CHECK enum pw_status pw_applying_next_flapping(struct pw_applying *apply, int64_t after,
                                                       int64_t *node_id);
/* In a complete sweep, once all changes are recorded: settles that node where it has. */
PW_MUST_CHECK enum pw_status pw_applying_settle(struct pw_applying *apply, int64_t node_id);

/* The sweep by which the deliveries of this sweep's node events are held, 0 = not held. */
int64_t pw_applying_holder(const struct pw_applying *apply);
/* Before a batch is committed that is not the last one. */
PW_MUST_CHECK enum pw_status pw_applying_undecided(struct pw_applying *apply);
/* In the transaction that ends the sweep: decides on what is held. */
PW_MUST_CHECK enum pw_status pw_applying_shift(struct pw_applying *apply);

/* Ends the row of a sweep. */
PW_MUST_CHECK enum pw_status pw_sweep_row_end(struct pw_db *db, int64_t sweep_id,
                                              const struct pw_sweep_facts *facts, int64_t changed,
                                              int64_t transitions, int64_t now_ms,
                                              struct pw_error *err);

#endif
