/* Flapping nodes: found at a transition, told once, and let settle at the end of a complete sweep.
 * While a node flaps each transition is recorded, and nobody is told of it. */
#include <stdlib.h>

#include "base/log.h"
#include "compliance/flap.h"
#include "store/applying.h"
#include "store/owed.h"

enum { PPM_PER_PERCENT = 10000 };

static const char window_sql[] =
    "SELECT sweep_id FROM sweep WHERE source_id = ?1 AND outcome = 'complete' AND sweep_id < ?2"
    " ORDER BY sweep_id DESC LIMIT ?3";
/* Stepped only as far back as the window goes. */
static const char changes_sql[] = "SELECT e.sweep_id, e.type IN ('io.patchwatch.node.compliant',"
                                  " 'io.patchwatch.node.non_compliant')"
                                  " FROM event AS e WHERE e.node_id = ?1 ORDER BY e.event_id DESC";
static const char mark_sql[] = "UPDATE node SET flapping_since = ?2 WHERE node_id = ?1";
static const char next_sql[] =
    "SELECT node_id FROM node INDEXED BY node_flapping WHERE source_id = ?1"
    " AND flapping_since IS NOT NULL AND node_id > ?2"
    " AND missing_since IS NULL AND missed_sweeps = 0 ORDER BY node_id LIMIT 1";
/* Whom the transition would have been told, and when, had it not been muted. */
static const char silenced_sql[] =
    "SELECT hook, rule, next_attempt_at - created_at FROM delivery WHERE event_id = ?1"
    " AND state = 'muted' AND reason = '" PW_FLAPPING_REASON "' ORDER BY delivery_id";
static const char last_flapping_sql[] =
    "SELECT e.event_id, e.from_status FROM event AS e WHERE e.node_id = ?1"
    " AND +e.type = 'io.patchwatch.node.flapping' ORDER BY e.event_id DESC LIMIT 1";
static const char told_flapping_sql[] =
    "SELECT hook, rule, CASE WHEN attempts = 0 AND (wait IS 'escalation' OR state = 'muted')"
    "  THEN max(next_attempt_at - ?2, 0) ELSE 0 END"
    " FROM delivery WHERE event_id = ?1 AND state <> 'dropped' ORDER BY delivery_id";
/* A problem that lasts is news to a hook that was told neither of it nor that the node flaps. */
static const char open_problem_sql[] =
    "SELECT d.hook, d.rule, max(d.next_attempt_at - ?2, 0) FROM delivery AS d"
    " WHERE d.state = 'muted' AND d.reason = '" PW_FLAPPING_REASON "' AND d.event_id ="
    " (SELECT e.event_id FROM event AS e WHERE e.node_id = ?1"
    "   AND +e.type = 'io.patchwatch.node.non_compliant' ORDER BY e.event_id DESC LIMIT 1)"
    " ORDER BY d.delivery_id";
/* The last complete sweeps before this one. Read once, where something changed or flaps. */
static enum pw_status load_window(struct pw_applying *apply)
{
    int64_t window = apply->params->flap_window;
    sqlite3_stmt *statement;
    enum pw_status status;
    bool row;

    if (apply->window != NULL)
        return PW_OK;
    apply->window = malloc((size_t)window * sizeof *apply->window);
    if (apply->window == NULL)
        return pw_fail_nomem(apply->err);
    status = pw_db_prepare(apply->db, window_sql, &statement, apply->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int(statement, 2, apply->params->sweep_id);
    pw_db_bind_int(statement, 3, window);
    while ((status = pw_db_step(apply->db, statement, &row, apply->err)) == PW_OK && row)
        apply->window[apply->window_count++] = sqlite3_column_int64(statement, 0);
    return status;
}

/* How many complete sweeps followed that one, this one included. */
static int64_t age_of(const struct pw_applying *apply, int64_t sweep_id)
{
    int64_t age =
        apply->params->facts.outcome == PW_SWEEP_COMPLETE && sweep_id < apply->params->sweep_id;

    for (size_t i = 0; i < apply->window_count && apply->window[i] > sweep_id; i++)
        age++;
    return age;
}

/* Notes the transitions of the node that are recorded. */
static enum pw_status tally_changes(struct pw_applying *apply, int64_t node_id,
                                    struct pw_flap_tally *tally)
{
    sqlite3_stmt *statement;
    enum pw_status status = load_window(apply);
    bool row;

    if (status == PW_OK)
        status = pw_db_prepare(apply->db, changes_sql, &statement, apply->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    while ((status = pw_db_step(apply->db, statement, &row, apply->err)) == PW_OK && row) {
        /* An event whose sweep was pruned is older than any window. */
        int64_t age = age_of(apply, pw_db_column_int_or(statement, 0, 0));

        if (age >= tally->window)
            break;
        if (sqlite3_column_int(statement, 1) != 0)
            pw_flap_note(tally, age);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status mark(struct pw_applying *apply, struct pw_node_row *node, int64_t since_ms)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, mark_sql, &statement, apply->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node->node_id);
    pw_db_bind_int_or_null(statement, 2, since_ms, PW_TIME_NONE);
    node->flapping_since_ms = since_ms;
    return pw_db_run(apply->db, statement, apply->err);
}

enum pw_status pw_applying_flap(struct pw_applying *apply, struct pw_node_row *node,
                                struct pw_flap_verdict *out)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_flap_tally tally = {.window = params->flap_window};
    enum pw_status status;

    *out = (struct pw_flap_verdict){.is_flapping = false};
    if (params->flap_window == 0)
        return PW_OK;
    out->is_flapping = node->flapping_since_ms != PW_TIME_NONE;
    if (out->is_flapping)
        return PW_OK;
    pw_flap_note(&tally, 0);
    status = tally_changes(apply, node->node_id, &tally);
    if (status != PW_OK)
        return status;
    out->facts = pw_flap_result(&tally);
    if (out->facts.share_ppm < params->flap_on_percent * PPM_PER_PERCENT)
        return PW_OK;
    out->is_flapping = out->begins = true;
    return mark(apply, node, params->now_ms);
}

/* Adds the hooks of the rows that the statement gives for that id, as of now. */
static enum pw_status read_owed(struct pw_applying *apply, const char *sql, int64_t id,
                                struct pw_owed_list *owed)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, sql, &statement, apply->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, id);
    if (sqlite3_bind_parameter_count(statement) > 1)
        pw_db_bind_int(statement, 2, apply->params->now_ms);
    return pw_owed_read(owed, apply->db, statement, apply->err);
}

static enum pw_status record(struct pw_applying *apply, struct pw_event *event, int64_t node_id,
                             const struct pw_owed_list *owed)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_owing owing = {
        .held_by = pw_applying_holder(apply), .also = owed->items, .also_count = owed->count};
    enum pw_status status =
        pw_event_record(apply->db, event, params->source_id, node_id, params->router, &owing,
                        &apply->result->deliveries, apply->err);

    if (status == PW_OK) {
        apply->result->events++;
        apply->shifting.is_touched = true;
    }
    return status;
}

enum pw_status pw_applying_flapping(struct pw_applying *apply, const struct pw_event *transition,
                                    int64_t node_id, const struct pw_flapping *facts)
{
    struct pw_event event = *transition;
    struct pw_owed_list owed = {0};
    enum pw_status status = read_owed(apply, silenced_sql, transition->sequence, &owed);

    event.type = PW_EVENT_NODE_FLAPPING;
    event.flapping = facts;
    if (status == PW_OK)
        status = record(apply, &event, node_id, &owed);
    pw_owed_free(&owed);
    return status;
}

enum pw_status pw_applying_next_flapping(struct pw_applying *apply, int64_t after, int64_t *node_id)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, next_sql, &statement, apply->err);
    bool row;

    *node_id = 0;
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int(statement, 2, after);
    status = pw_db_step(apply->db, statement, &row, apply->err);
    if (status == PW_OK && row)
        *node_id = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return status;
}

/* Of the current reports the newest that says that status, else the newest; NULL where there is
 * none. */
static const struct pw_report *telling_report(const struct pw_batch *reports,
                                              enum pw_compliance wanted)
{
    const struct pw_report *best = NULL;

    for (size_t i = 0; i < reports->count; i++) {
        const struct pw_report *report = &reports->reports[i];
        bool says = report->status == wanted;
        bool best_says = best != NULL && best->status == wanted;

        if (best == NULL || (says && !best_says) ||
            (says == best_says && report->report_time_ms > best->report_time_ms))
            best = report;
    }
    return best;
}

/* What was told last before it flapped, and who was told that it does. */
static enum pw_status read_beginning(struct pw_applying *apply, int64_t node_id,
                                     struct pw_event *event, struct pw_owed_list *owed)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, last_flapping_sql, &statement, apply->err);
    int64_t event_id = 0;
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    status = pw_db_step(apply->db, statement, &row, apply->err);
    if (status == PW_OK && row) {
        event_id = sqlite3_column_int64(statement, 0);
        event->from = pw_compliance_of(pw_db_column_str(statement, 1));
        event->has_from = pw_is_definite(event->from);
    }
    (void)sqlite3_reset(statement);
    if (status == PW_OK && event_id != 0)
        status = read_owed(apply, told_flapping_sql, event_id, owed);
    return status;
}

static enum pw_status record_settled(struct pw_applying *apply, struct pw_node_row *node,
                                     const struct pw_flapping *facts)
{
    const struct pw_apply_params *params = apply->params;
    enum pw_compliance final = node->state.last_definite;
    struct pw_owed_list owed = {0};
    struct pw_event event = {
        .type = PW_EVENT_NODE_SETTLED,
        .source_name = params->source_name,
        .node_key = pw_buffer_str(&apply->node_key),
        .to = final,
        .has_to = true,
        .flapping = facts,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = params->now_ms,
        .recorded_at_ms = params->now_ms,
    };
    enum pw_status status;

    pw_batch_clear(&apply->old);
    status = pw_node_reports(apply->db, node, &apply->old, apply->err);
    event.report = telling_report(&apply->old, final);
    if (status == PW_OK)
        status = read_beginning(apply, node->node_id, &event, &owed);
    if (status == PW_OK && final == PW_NON_COMPLIANT)
        status = read_owed(apply, open_problem_sql, node->node_id, &owed);
    if (status == PW_OK)
        status = record(apply, &event, node->node_id, &owed);
    pw_owed_free(&owed);
    return status;
}

enum pw_status pw_applying_settle(struct pw_applying *apply, int64_t node_id)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_flap_tally tally = {.window = params->flap_window};
    struct pw_flapping facts = {0};
    struct pw_node_row node;
    enum pw_status status = pw_node_get(apply->db, node_id, &apply->node_key, &node, apply->err);

    if (status == PW_OK && params->flap_window > 0) {
        status = tally_changes(apply, node_id, &tally);
        facts = pw_flap_result(&tally);
    }
    if (status != PW_OK || facts.share_ppm >= params->flap_off_percent * PPM_PER_PERCENT)
        return status;
    status = mark(apply, &node, PW_TIME_NONE);
    if (status == PW_OK)
        status = record_settled(apply, &node, &facts);
    apply->shifting.nodes++;
    return status;
}
