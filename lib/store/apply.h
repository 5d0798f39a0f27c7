/* Applying a sweep to the snapshot: begin, stage what changed, finish. Nothing of a sweep touches
 * the snapshot before finish, so that a record that a later page supersedes leaves no trace; finish
 * goes through the changed nodes in transactions of whole nodes, each with its history rows, events
 * and deliveries. Runs on the thread that owns db. One sweep per source at a time. */
#ifndef PW_STORE_APPLY_H
#define PW_STORE_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "compliance/event.h"
#include "compliance/index.h"
#include "compliance/report.h"
#include "store/db.h"
#include "store/router.h"

enum pw_sweep_outcome { PW_SWEEP_COMPLETE, PW_SWEEP_INCOMPLETE, PW_SWEEP_FAILED };
const char *pw_sweep_outcome_name(enum pw_sweep_outcome outcome);

/* What the sweep row says at its end. */
struct pw_sweep_facts {
    enum pw_sweep_outcome outcome;
    int64_t reported_count; /* the API's count, PW_COUNT_NONE if it never said one */
    int64_t records;        /* distinct records */
    int64_t nodes;          /* distinct nodes */
    int64_t pages;          /* answered and decoded */
    int64_t requests;
    int64_t retries;
    int64_t bytes;
    bool was_stopped;       /* by us: it says nothing of the source */
    const char *reason;     /* why it is not complete; NULL */
    const char *error_code; /* of the API, NULL */
    const char *request_id; /* of the answer that said so, for the vendor's support; NULL */
    const char *error_msg;  /* of the API or ours, NULL */
};

struct pw_unseen {
    uint32_t node_id;
    struct pw_report_key key;
};

/* What the index must learn after a commit. */
struct pw_index_change {
    struct pw_report_key key;
    uint64_t digest;
    uint32_t node_id;
    bool restless;
    bool keep_digest; /* only restless is news; the entry is there already */
    bool removed;
};

struct pw_apply_result {
    struct pw_index_change *changes; /* freed with pw_apply_result_free */
    size_t change_count;
    int64_t changed;     /* reports with a new version */
    int64_t transitions; /* the two transition events */
    int64_t events;
    size_t deliveries;
    bool baseline_set; /* this was the source's first complete sweep */
    bool shift_begun;  /* a mass change waits for the next sweep to confirm it */
};
void pw_apply_result_free(struct pw_apply_result *result);

struct pw_apply_params {
    int64_t source_id;
    const char *source_name;
    int64_t sweep_id;
    int64_t confirm;
    int64_t missing_after;
    int64_t failing_after; /* so many sweeps in a row that are not complete raise source.failing */
    int64_t failing_repeat_ms; /* and again after so long */
    int64_t flap_window;       /* complete sweeps; 0 = nothing flaps */
    int64_t flap_on_percent, flap_off_percent;
    int64_t mass_change_percent; /* 0 = nothing is held */
    int64_t mass_change_min;
    const struct pw_router *router;      /* NULL: nobody is owed anything */
    const struct pw_patch_book *patches; /* for node.non_compliant; NULL: nobody asked for them */
    struct pw_sweep_facts facts;
    const struct pw_unseen
        *unseen; /* of a complete sweep: what it did not show; sorted by node_id */
    size_t unseen_count;
    int64_t now_ms;
};

/* Adds the row of a sweep that starts. Sweeps that an earlier process left running become
 * incomplete with a reason. */
PW_MUST_CHECK enum pw_status pw_apply_begin(struct pw_db *db, int64_t source_id,
                                            int64_t started_at_ms, int64_t *sweep_id,
                                            struct pw_error *err);

/* Stages records that are new, changed or of a restless node, for pw_apply_finish. Of several for
 * one report key the one with the greatest report_time stays, of equal ones the one with the
 * greatest place. */
PW_MUST_CHECK enum pw_status pw_apply_stage(struct pw_db *db, int64_t sweep_id,
                                            const struct pw_report *reports, size_t count,
                                            struct pw_error *err);

/* Adds to the book the reports that are about to turn their nodes non-compliant, of all that was
 * staged: what pw_apply_finish will find, but for what only the diff can tell. Reads only. */
PW_MUST_CHECK enum pw_status pw_apply_turning(struct pw_db *db,
                                              const struct pw_apply_params *params,
                                              struct pw_patch_book *book, struct pw_error *err);

/* Applies what was staged and ends the sweep. On error the changes of the batches that were
 * committed are in *result (they are true); the rest is as if it had never been read, and the
 * sweep's row stays to be ended by pw_apply_abort. */
PW_MUST_CHECK enum pw_status pw_apply_finish(struct pw_db *db, const struct pw_apply_params *params,
                                             struct pw_apply_result *result, struct pw_error *err);

/* Forgets what was staged and ends the sweep's row without touching the snapshot. */
PW_MUST_CHECK enum pw_status pw_apply_abort(struct pw_db *db, int64_t sweep_id,
                                            const struct pw_sweep_facts *facts, int64_t now_ms,
                                            struct pw_error *err);

#endif
