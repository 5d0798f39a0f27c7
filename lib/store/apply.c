/* Applying a sweep: walks the nodes that were staged or not shown, in transactions of whole nodes,
 * and ends the sweep in the last of them. */
#include "store/apply.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "store/applying.h"
#include "store/record.h"
#include "store/stage.h"

enum { BATCH_REPORTS = 20000 }; /* bounds what one transaction holds */

static const char source_sql[] =
    "SELECT baseline_at, last_complete_at, empty_sweeps, shift_from, shift_since, shift_sweeps"
    " FROM source WHERE source_id = ?1";
static const char complete_sql[] =
    "UPDATE source SET last_complete_sweep_id = ?2, last_complete_at = ?3,"
    " baseline_at = coalesce(baseline_at, ?3), empty_sweeps = ?4 WHERE source_id = ?1";
static const char totals_sql[] = "SELECT count(*), coalesce(sum(status = 'compliant'), 0),"
                                 " coalesce(sum(status = 'non_compliant'), 0),"
                                 " coalesce(sum(status = 'unknown'), 0)"
                                 " FROM node WHERE source_id = ?1 AND missing_since IS NULL";

void pw_apply_result_free(struct pw_apply_result *result)
{
    free(result->changes);
    *result = (struct pw_apply_result){0};
}

/* Transactions -------------------------------------------------------------------------------- */

static enum pw_status begin_batch(struct pw_applying *apply)
{
    enum pw_status status;

    if (apply->in_transaction)
        return PW_OK;
    status = pw_db_begin(apply->db, apply->err);
    apply->in_transaction = status == PW_OK;
    apply->batch_reports = 0;
    return status;
}

static enum pw_status commit_batch(struct pw_applying *apply)
{
    enum pw_status status;

    pw_failpoint("apply");
    status = pw_db_commit(apply->db, apply->err);
    if (status != PW_OK)
        return status;
    apply->in_transaction = false;
    apply->committed = *apply->result;
    pw_failpoint("commit");
    return PW_OK;
}

static enum pw_status commit_full_batch(struct pw_applying *apply)
{
    enum pw_status status;

    if (apply->batch_reports < BATCH_REPORTS)
        return PW_OK;
    status = pw_applying_undecided(apply);
    return status == PW_OK ? commit_batch(apply) : status;
}

/* The three passes ------------------------------------------------------------------------------
 */

static enum pw_status apply_staged(struct pw_applying *apply)
{
    struct pw_staged_cursor cursor = {.sweep_id = apply->params->sweep_id};
    enum pw_status status;
    bool found;

    for (;;) {
        struct pw_node_row node;

        status =
            pw_staged_next(apply->db, &cursor, &apply->node_key, &apply->found, &found, apply->err);
        if (status != PW_OK || !found)
            return status;
        status = begin_batch(apply);
        if (status != PW_OK)
            return status;
        pw_batch_clear(&apply->old);
        status = pw_node_find(apply->db, apply->params->source_id, pw_buffer_str(&apply->node_key),
                              &node, apply->err);
        if (status == PW_OK && node.state.exists)
            status = pw_node_reports(apply->db, &node, &apply->old, apply->err);
        if (status == PW_OK)
            status = pw_applying_node(apply, &node);
        if (status == PW_OK)
            status = commit_full_batch(apply);
        if (status != PW_OK)
            return status;
    }
}

/* Nodes of which nothing was staged, but some or all reports were not shown. */
static enum pw_status apply_unseen(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;
    enum pw_status status;

    for (size_t u = 0; u < params->unseen_count; u++) {
        struct pw_node_row node;

        if (apply->handled[u])
            continue;
        status = begin_batch(apply);
        if (status != PW_OK)
            return status;
        pw_batch_clear(&apply->old);
        pw_batch_clear(&apply->found);
        status =
            pw_node_get(apply->db, params->unseen[u].node_id, &apply->node_key, &node, apply->err);
        if (status == PW_OK)
            status = pw_node_reports(apply->db, &node, &apply->old, apply->err);
        if (status == PW_OK)
            status = pw_applying_node(apply, &node);
        if (status == PW_OK)
            status = commit_full_batch(apply);
        if (status != PW_OK)
            return status;
    }
    return PW_OK;
}

/* Nodes that no longer change as often as they did. */
static enum pw_status settle_flapping(struct pw_applying *apply)
{
    int64_t node_id = 0;
    enum pw_status status;

    for (;;) {
        status = pw_applying_next_flapping(apply, node_id, &node_id);
        if (status != PW_OK || node_id == 0)
            return status;
        status = begin_batch(apply);
        if (status == PW_OK)
            status = pw_applying_settle(apply, node_id);
        apply->batch_reports++;
        if (status == PW_OK)
            status = commit_full_batch(apply);
        if (status != PW_OK)
            return status;
    }
}

/* A fleet that is gone at once is more often a wrong endpoint, project or permission than the
 * truth: the first such sweep changes nothing, and counts together with the next one that says the
 * same. */
static void note_empty(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;

    if (params->facts.records > 0 || params->unseen_count == 0)
        return;
    apply->empty_now = apply->empty_before == 0 ? 1 : 2;
    if (apply->empty_now == 1)
        pw_log_warning("%s: the API answers an empty list where it had %zu reports: nothing is "
                       "missing until the next sweep says the same; check endpoint, project and "
                       "permissions",
                       params->source_name, params->unseen_count);
}

static enum pw_status record_baseline(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_fleet_totals totals = {0};
    struct pw_event event = {
        .type = PW_EVENT_SOURCE_BASELINE,
        .cause = PW_CAUSE_FIRST_SWEEP,
        .source_name = params->source_name,
        .totals = &totals,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = params->now_ms,
        .recorded_at_ms = params->now_ms,
    };
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, totals_sql, &statement, apply->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, params->source_id);
    status = pw_db_step(apply->db, statement, &row, apply->err);
    if (status == PW_OK) {
        totals.nodes = sqlite3_column_int64(statement, 0);
        totals.compliant = sqlite3_column_int64(statement, 1);
        totals.non_compliant = sqlite3_column_int64(statement, 2);
        totals.unknown = sqlite3_column_int64(statement, 3);
    }
    (void)sqlite3_reset(statement);
    if (status == PW_OK)
        status = pw_event_record(apply->db, &event, params->source_id, 0, params->router, NULL,
                                 &apply->result->deliveries, apply->err);
    if (status == PW_OK) {
        apply->result->events++;
        apply->result->baseline_set = true;
    }
    return status;
}

static enum pw_status note_complete(struct pw_applying *apply)
{
    sqlite3_stmt *statement;
    enum pw_status status = PW_OK;

    if (!apply->baseline_done)
        status = record_baseline(apply);
    if (status == PW_OK)
        status = pw_db_prepare(apply->db, complete_sql, &statement, apply->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int(statement, 2, apply->params->sweep_id);
    pw_db_bind_int(statement, 3, apply->params->now_ms);
    pw_db_bind_int(statement, 4, apply->empty_now);
    return pw_db_run(apply->db, statement, apply->err);
}

/* The last transaction: what is left of the nodes, and the sweep's own row. */
static enum pw_status finish_sweep(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;
    enum pw_status status = begin_batch(apply);

    if (status == PW_OK && params->facts.outcome == PW_SWEEP_COMPLETE)
        status = note_complete(apply);
    if (status == PW_OK)
        status = pw_applying_health(apply);
    if (status == PW_OK)
        status = pw_applying_shift(apply);
    if (status == PW_OK)
        status =
            pw_sweep_row_end(apply->db, params->sweep_id, &params->facts, apply->result->changed,
                             apply->result->transitions, params->now_ms, apply->err);
    if (status == PW_OK)
        status = commit_batch(apply);
    return status;
}

static enum pw_status read_source(struct pw_applying *apply)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, source_sql, &statement, apply->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    status = pw_db_step(apply->db, statement, &row, apply->err);
    if (status == PW_OK && !row)
        status = pw_fail(apply->err, PW_ENOTFOUND, "there is no source %" PRId64,
                         apply->params->source_id);
    if (status == PW_OK) {
        apply->baseline_done = pw_db_column_int_or(statement, 0, PW_TIME_NONE) != PW_TIME_NONE;
        apply->last_complete_ms = pw_db_column_int_or(statement, 1, 0);
        apply->empty_before = sqlite3_column_int(statement, 2);
        apply->shifting.from_sweep_id = pw_db_column_int_or(statement, 3, 0);
        apply->shifting.since_ms = pw_db_column_int_or(statement, 4, PW_TIME_NONE);
        apply->shifting.sweeps = sqlite3_column_int64(statement, 5);
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_apply_finish(struct pw_db *db, const struct pw_apply_params *params,
                               struct pw_apply_result *result, struct pw_error *err)
{
    struct pw_applying apply = {.db = db, .params = params, .result = result, .err = err};
    struct pw_error ignored;
    enum pw_status status = PW_OK;

    *result = (struct pw_apply_result){0};
    pw_buffer_init(&apply.node_key, (size_t)2 * PW_KEY_MAX_BYTES);
    pw_batch_init(&apply.found);
    pw_batch_init(&apply.old);
    pw_batch_init(&apply.earlier);
    if (params->unseen_count > 0) {
        apply.handled = calloc(params->unseen_count, 1);
        if (apply.handled == NULL)
            status = pw_fail_nomem(err);
    }
    if (status == PW_OK)
        status = read_source(&apply);
    if (status == PW_OK)
        status = apply_staged(&apply);
    if (status == PW_OK && params->facts.outcome == PW_SWEEP_COMPLETE) {
        note_empty(&apply);
        if (apply.empty_now != 1) /* else it waits for the next sweep to say the same */
            status = apply_unseen(&apply);
        if (status == PW_OK)
            status = settle_flapping(&apply);
    }
    if (status == PW_OK)
        status = finish_sweep(&apply);
    if (status != PW_OK) {
        struct pw_index_change *changes = result->changes;

        if (apply.in_transaction)
            pw_db_rollback(db);
        *result = apply.committed; /* what was committed is true; the rest was never read */
        result->changes = changes;
    }
    if (pw_staged_clear(db, params->sweep_id, &ignored) != PW_OK)
        pw_log_warning("what sweep %" PRId64 " staged stays in the temporary file: %s",
                       params->sweep_id, ignored.message);
    free(apply.handled);
    free(apply.window);
    pw_applying_free_slots(&apply);
    pw_buffer_free(&apply.node_key);
    pw_batch_free(&apply.found);
    pw_batch_free(&apply.old);
    pw_batch_free(&apply.earlier);
    return status;
}
