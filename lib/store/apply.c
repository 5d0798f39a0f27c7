/* Applying a sweep: node by node, the pure diff decides and its verdict is written. */
#include "store/apply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "store/columns.h"
#include "store/record.h"
#include "store/stage.h"

enum { BATCH_REPORTS = 20000 }; /* bounds what one transaction holds */

static const char running_sql[] = "UPDATE sweep SET outcome = 'incomplete', ended_at = ?2,"
                                  " reason = 'interrupted: the daemon ended during this sweep'"
                                  " WHERE source_id = ?1 AND outcome = 'running'";
static const char begin_sql[] = "INSERT INTO sweep (source_id, started_at) VALUES (?1, ?2)";
static const char end_sql[] =
    "UPDATE sweep SET ended_at = ?2, outcome = ?3, reported_count = ?4, records = ?5, nodes = ?6,"
    " pages = ?7, requests = ?8, retries = ?9, bytes = ?10, changed = ?11, transitions = ?12,"
    " reason = ?13, error_code = ?14, error_msg = ?15 WHERE sweep_id = ?1";
static const char source_sql[] =
    "SELECT baseline_at, last_complete_at FROM source WHERE source_id = ?1";
static const char complete_sql[] =
    "UPDATE source SET last_complete_sweep_id = ?2, last_complete_at = ?3,"
    " baseline_at = coalesce(baseline_at, ?3) WHERE source_id = ?1";
static const char totals_sql[] = "SELECT count(*), coalesce(sum(status = 'compliant'), 0),"
                                 " coalesce(sum(status = 'non_compliant'), 0),"
                                 " coalesce(sum(status = 'unknown'), 0)"
                                 " FROM node WHERE source_id = ?1 AND missing_since IS NULL";

/* What finish works with. */
struct apply {
    struct pw_db *db;
    const struct pw_apply_params *params;
    struct pw_apply_result *result;
    struct pw_error *err;
    bool baseline_done;
    int64_t last_complete_ms; /* of the sweep before */
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

const char *pw_sweep_outcome_name(enum pw_sweep_outcome outcome)
{
    switch (outcome) {
    case PW_SWEEP_COMPLETE:
        return "complete";
    case PW_SWEEP_INCOMPLETE:
        return "incomplete";
    case PW_SWEEP_FAILED:
        break;
    }
    return "failed";
}

void pw_apply_result_free(struct pw_apply_result *result)
{
    free(result->changes);
    *result = (struct pw_apply_result){0};
}

enum pw_status pw_apply_begin(struct pw_db *db, int64_t source_id, int64_t started_at_ms,
                              int64_t *sweep_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_begin(db, err);

    if (status != PW_OK)
        return status;
    status = pw_db_prepare(db, running_sql, &statement, err);
    if (status == PW_OK) {
        pw_db_bind_int(statement, 1, source_id);
        pw_db_bind_int(statement, 2, started_at_ms);
        status = pw_db_run(db, statement, err);
    }
    if (status == PW_OK)
        status = pw_db_prepare(db, begin_sql, &statement, err);
    if (status == PW_OK) {
        pw_db_bind_int(statement, 1, source_id);
        pw_db_bind_int(statement, 2, started_at_ms);
        status = pw_db_run(db, statement, err);
    }
    if (status == PW_OK) {
        *sweep_id = sqlite3_last_insert_rowid(pw_db_handle(db));
        status = pw_db_commit(db, err);
    }
    if (status != PW_OK)
        pw_db_rollback(db);
    return status;
}

/* Slots --------------------------------------------------------------------------------------- */

static enum pw_status reserve_slots(struct apply *apply, size_t count)
{
    struct pw_report_slot *slots;
    struct pw_report_key *keys;
    enum pw_report_action *actions;

    if (count <= apply->slot_capacity)
        return PW_OK;
    slots = realloc(apply->slots, count * sizeof *slots);
    if (slots != NULL)
        apply->slots = slots;
    keys = realloc(apply->keys, count * sizeof *keys);
    if (keys != NULL)
        apply->keys = keys;
    actions = realloc(apply->actions, count * sizeof *actions);
    if (actions != NULL)
        apply->actions = actions;
    if (slots == NULL || keys == NULL || actions == NULL)
        return pw_fail_nomem(apply->err);
    apply->slot_capacity = count;
    return PW_OK;
}

static bool same_key(struct pw_report_key a, struct pw_report_key b)
{
    return a.node == b.node && a.report == b.report;
}

/* Puts old and found reports of the node side by side. */
static enum pw_status pair_slots(struct apply *apply)
{
    struct pw_str node_key = pw_buffer_str(&apply->node_key);
    enum pw_status status = reserve_slots(apply, apply->old.count + apply->found.count);

    if (status != PW_OK)
        return status;
    apply->slot_count = 0;
    for (size_t i = 0; i < apply->old.count; i++) {
        apply->keys[apply->slot_count] =
            pw_report_key_of(node_key, apply->old.reports[i].baseline_id);
        apply->slots[apply->slot_count++] = (struct pw_report_slot){.old = &apply->old.reports[i]};
    }
    for (size_t i = 0; i < apply->found.count; i++) {
        struct pw_report_key key = pw_report_key_of(node_key, apply->found.reports[i].baseline_id);
        size_t at = 0;

        while (at < apply->slot_count && !same_key(apply->keys[at], key))
            at++;
        if (at == apply->slot_count) {
            apply->keys[at] = key;
            apply->slots[at] = (struct pw_report_slot){0};
            apply->slot_count++;
        }
        apply->slots[at].found = &apply->found.reports[i];
        apply->slots[at].seen = true;
    }
    return PW_OK;
}

/* The first of the unseen entries of a node; unseen_count where there is none. */
static size_t first_unseen(const struct apply *apply, int64_t node_id)
{
    size_t low = 0, high = apply->params->unseen_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (apply->params->unseen[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A complete sweep showed every report of the node but those that are listed as unseen. */
static void mark_seen_slots(struct apply *apply, int64_t node_id)
{
    const struct pw_apply_params *params = apply->params;

    if (params->facts.outcome != PW_SWEEP_COMPLETE)
        return;
    for (size_t i = 0; i < apply->slot_count; i++)
        apply->slots[i].seen = true;
    for (size_t u = first_unseen(apply, node_id);
         u < params->unseen_count && params->unseen[u].node_id == node_id; u++) {
        apply->handled[u] = 1;
        for (size_t i = 0; i < apply->slot_count; i++) {
            if (apply->slots[i].found == NULL && same_key(apply->keys[i], params->unseen[u].key))
                apply->slots[i].seen = false;
        }
    }
}

/* Writing ------------------------------------------------------------------------------------- */

static enum pw_status add_change(struct apply *apply, const struct pw_index_change *change)
{
    struct pw_apply_result *result = apply->result;

    if (result->change_count == apply->change_capacity) {
        size_t capacity = apply->change_capacity == 0 ? 256 : apply->change_capacity * 2;
        struct pw_index_change *changes = realloc(result->changes, capacity * sizeof *changes);

        if (changes == NULL)
            return pw_fail_nomem(apply->err);
        result->changes = changes;
        apply->change_capacity = capacity;
    }
    result->changes[result->change_count++] = *change;
    return PW_OK;
}

/* Writes what was decided for one report key and notes what the index must learn. */
static enum pw_status write_report(struct apply *apply, const struct pw_node_row *node, size_t i,
                                   bool restless)
{
    const struct pw_report_slot *slot = &apply->slots[i];
    int64_t now_ms = apply->params->now_ms;
    struct pw_index_change change = {
        .key = apply->keys[i], .node_id = (uint32_t)node->node_id, .restless = restless};
    enum pw_status status = PW_OK;

    switch (apply->actions[i]) {
    case PW_REPORT_DROP:
        return PW_OK;
    case PW_REPORT_KEEP:
        /* A record that says the same, though of a node with another name, say, is what the index
         * must know from now on; an older one is not. */
        if (slot->found != NULL && pw_report_same_version(slot->found, slot->old))
            change.digest = pw_report_digest(slot->found);
        else
            change.keep_digest = true;
        return add_change(apply, &change);
    case PW_REPORT_RETIRE:
        change.removed = true;
        status =
            pw_report_end(apply->db, node->node_id, slot->old->baseline_id, now_ms, apply->err);
        break;
    case PW_REPORT_REOPEN:
        change.digest = pw_report_digest(
            slot->found != NULL && pw_report_same_version(slot->found, slot->old) ? slot->found
                                                                                  : slot->old);
        status = pw_report_open(apply->db, node->node_id, slot->old, now_ms, apply->err);
        break;
    case PW_REPORT_REPLACE:
        status =
            pw_report_end(apply->db, node->node_id, slot->old->baseline_id, now_ms, apply->err);
        if (status != PW_OK)
            return status;
        /* fall through */
    case PW_REPORT_INSERT:
        change.digest = pw_report_digest(slot->found);
        status = pw_report_open(apply->db, node->node_id, slot->found, now_ms, apply->err);
        break;
    }
    if (status != PW_OK)
        return status;
    apply->result->changed++;
    return add_change(apply, &change);
}

static enum pw_status write_event(struct apply *apply, const struct pw_diff_event *decided,
                                  int64_t node_id)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_event event = {
        .type = decided->type,
        .cause = decided->cause,
        .source_name = params->source_name,
        .node_key = pw_buffer_str(&apply->node_key),
        .from = decided->from,
        .to = decided->to,
        .has_from = decided->has_from,
        .has_to = decided->has_to,
        .report = decided->report,
        .previous = decided->previous,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = decided->occurred_at_ms,
        .recorded_at_ms = params->now_ms,
    };
    bool is_transition =
        event.type == PW_EVENT_NODE_COMPLIANT || event.type == PW_EVENT_NODE_NON_COMPLIANT;
    enum pw_status status = PW_OK;

    /* With `confirm`, what it was before ended some sweeps ago. */
    if (is_transition && event.previous == NULL) {
        pw_batch_clear(&apply->earlier);
        status = pw_node_last_ended(apply->db, node_id, event.from, &apply->earlier, apply->err);
        if (status == PW_OK && apply->earlier.count > 0)
            event.previous = &apply->earlier.reports[0];
    }
    if (status == PW_OK)
        status = pw_event_record(apply->db, &event, params->source_id, node_id, params->router,
                                 &apply->result->deliveries, apply->err);
    if (status != PW_OK)
        return status;
    apply->result->events++;
    apply->result->transitions += is_transition;
    return PW_OK;
}

static bool same_facts(const struct pw_report *a, const struct pw_report *b)
{
    struct pw_report left = *a, right = *b;

    for (int i = 0; i < PW_NODE_STRING_COUNT; i++) {
        if (!pw_str_eq(*pw_report_string(&left, i), *pw_report_string(&right, i)))
            return false;
    }
    return true;
}

static bool same_state(const struct pw_node_state *a, const struct pw_node_state *b)
{
    return a->status == b->status && a->last_definite == b->last_definite &&
           a->status_since_ms == b->status_since_ms && a->pending_status == b->pending_status &&
           a->pending_cause == b->pending_cause && a->pending_sweeps == b->pending_sweeps &&
           a->missed_sweeps == b->missed_sweeps && a->missing_since_ms == b->missing_since_ms;
}

static bool has_report_change(const struct apply *apply)
{
    for (size_t i = 0; i < apply->slot_count; i++) {
        if (apply->actions[i] != PW_REPORT_KEEP && apply->actions[i] != PW_REPORT_DROP)
            return true;
    }
    return false;
}

static enum pw_status write_node(struct apply *apply, struct pw_node_row *node,
                                 const struct pw_diff_result *decided)
{
    const struct pw_apply_params *params = apply->params;
    const struct pw_report *facts = decided->node_facts;
    bool is_new = !node->state.exists;
    bool state_differs = !same_state(&node->state, &decided->after);
    int64_t last_seen_ms = params->now_ms;

    node->state = decided->after;
    if (is_new)
        return pw_node_add(apply->db, params->source_id, pw_buffer_str(&apply->node_key), facts,
                           node, params->now_ms, apply->err);
    if (facts != NULL && apply->old.count > 0 && same_facts(facts, &apply->old.reports[0]))
        facts = NULL;
    if (!decided->shown)
        last_seen_ms = apply->last_complete_ms; /* the last sweep that can have shown it */
    if (!state_differs && facts == NULL && !has_report_change(apply))
        return PW_OK;
    return pw_node_update(apply->db, node, facts, last_seen_ms, apply->err);
}

/* Decides and writes one node; apply->old, found and the slots are filled. */
static enum pw_status settle_node(struct apply *apply, struct pw_node_row *node)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_node_state before = node->state;
    struct pw_diff_input input = {
        .before = &before,
        .slots = apply->slots,
        .slot_count = apply->slot_count,
        .sweep_complete = params->facts.outcome == PW_SWEEP_COMPLETE,
        .baseline_done = apply->baseline_done,
        .confirm = params->confirm,
        .missing_after = params->missing_after,
        .now_ms = params->now_ms,
    };
    struct pw_diff_result decided;
    enum pw_status status;

    pw_diff_node(&input, apply->actions, &decided);
    status = write_node(apply, node, &decided);
    for (size_t i = 0; i < apply->slot_count && status == PW_OK; i++)
        status = write_report(apply, node, i, decided.restless);
    for (size_t i = 0; i < decided.event_count && status == PW_OK; i++)
        status = write_event(apply, &decided.events[i], node->node_id);
    apply->batch_reports += apply->slot_count;
    return status;
}

/* Transactions -------------------------------------------------------------------------------- */

static enum pw_status begin_batch(struct apply *apply)
{
    enum pw_status status;

    if (apply->in_transaction)
        return PW_OK;
    status = pw_db_begin(apply->db, apply->err);
    apply->in_transaction = status == PW_OK;
    apply->batch_reports = 0;
    return status;
}

static enum pw_status commit_batch(struct apply *apply)
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

static enum pw_status commit_full_batch(struct apply *apply)
{
    return apply->batch_reports < BATCH_REPORTS ? PW_OK : commit_batch(apply);
}

/* The three passes ------------------------------------------------------------------------------
 */

static enum pw_status apply_staged(struct apply *apply)
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
            status = pair_slots(apply);
        if (status != PW_OK)
            return status;
        if (node.state.exists)
            mark_seen_slots(apply, node.node_id);
        status = settle_node(apply, &node);
        if (status == PW_OK)
            status = commit_full_batch(apply);
        if (status != PW_OK)
            return status;
    }
}

/* Nodes of which nothing was staged, but some or all reports were not shown. */
static enum pw_status apply_unseen(struct apply *apply)
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
            status = pair_slots(apply);
        if (status != PW_OK)
            return status;
        mark_seen_slots(apply, node.node_id);
        status = settle_node(apply, &node);
        if (status == PW_OK)
            status = commit_full_batch(apply);
        if (status != PW_OK)
            return status;
    }
    return PW_OK;
}

static enum pw_status record_baseline(struct apply *apply)
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
        status = pw_event_record(apply->db, &event, params->source_id, 0, params->router,
                                 &apply->result->deliveries, apply->err);
    if (status == PW_OK) {
        apply->result->events++;
        apply->result->baseline_set = true;
    }
    return status;
}

static enum pw_status note_complete(struct apply *apply)
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
    return pw_db_run(apply->db, statement, apply->err);
}

static enum pw_status end_row(struct pw_db *db, int64_t sweep_id,
                              const struct pw_sweep_facts *facts, int64_t changed,
                              int64_t transitions, int64_t now_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, end_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, sweep_id);
    pw_db_bind_int(statement, 2, now_ms);
    pw_db_bind_text(statement, 3, pw_sweep_outcome_name(facts->outcome));
    pw_db_bind_int_or_null(statement, 4, facts->reported_count, PW_COUNT_NONE);
    pw_db_bind_int(statement, 5, facts->records);
    pw_db_bind_int(statement, 6, facts->nodes);
    pw_db_bind_int(statement, 7, facts->pages);
    pw_db_bind_int(statement, 8, facts->requests);
    pw_db_bind_int(statement, 9, facts->retries);
    pw_db_bind_int(statement, 10, facts->bytes);
    pw_db_bind_int(statement, 11, changed);
    pw_db_bind_int(statement, 12, transitions);
    pw_db_bind_text(statement, 13, facts->reason);
    pw_db_bind_text(statement, 14, facts->error_code);
    pw_db_bind_text(statement, 15, facts->error_msg);
    return pw_db_run(db, statement, err);
}

/* The last transaction: what is left of the nodes, and the sweep's own row. */
static enum pw_status finish_sweep(struct apply *apply)
{
    const struct pw_apply_params *params = apply->params;
    enum pw_status status = begin_batch(apply);

    if (status == PW_OK && params->facts.outcome == PW_SWEEP_COMPLETE)
        status = note_complete(apply);
    if (status == PW_OK)
        status = end_row(apply->db, params->sweep_id, &params->facts, apply->result->changed,
                         apply->result->transitions, params->now_ms, apply->err);
    if (status == PW_OK)
        status = commit_batch(apply);
    return status;
}

static enum pw_status read_source(struct apply *apply)
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
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_apply_finish(struct pw_db *db, const struct pw_apply_params *params,
                               struct pw_apply_result *result, struct pw_error *err)
{
    struct apply apply = {.db = db, .params = params, .result = result, .err = err};
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
    if (status == PW_OK && params->facts.outcome == PW_SWEEP_COMPLETE)
        status = apply_unseen(&apply);
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
    free(apply.slots);
    free(apply.keys);
    free(apply.actions);
    pw_buffer_free(&apply.node_key);
    pw_batch_free(&apply.found);
    pw_batch_free(&apply.old);
    pw_batch_free(&apply.earlier);
    return status;
}

enum pw_status pw_apply_abort(struct pw_db *db, int64_t sweep_id,
                              const struct pw_sweep_facts *facts, int64_t now_ms,
                              struct pw_error *err)
{
    enum pw_status status = pw_staged_clear(db, sweep_id, err);

    if (status == PW_OK)
        status = end_row(db, sweep_id, facts, 0, 0, now_ms, err);
    return status;
}
