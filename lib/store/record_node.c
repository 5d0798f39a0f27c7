/* Rows of nodes and of report versions. */
#include "store/columns.h"
#include "store/record.h"
#include "store/snapshot.h"

#define STATE_COLUMNS                                                                              \
    "status, last_definite_status, status_since, pending_status, pending_cause, pending_sweeps, "  \
    "missed_sweeps, missing_since, flapping_since"

static const char find_sql[] =
    "SELECT node_id, node_key, " STATE_COLUMNS " FROM node WHERE source_id = ?1 AND node_key = ?2";
static const char get_sql[] =
    "SELECT node_id, node_key, " STATE_COLUMNS " FROM node WHERE node_id = ?1";
static const char current_sql[] = "SELECT " PW_REPORT_COLUMNS " FROM report AS r"
                                  " JOIN node AS n ON n.node_id = r.node_id"
                                  " WHERE r.node_id = ?1 AND r.valid_to IS NULL"
                                  " ORDER BY r.baseline_id";
static const char last_sql[] = "SELECT " PW_REPORT_COLUMNS " FROM report AS r"
                               " JOIN node AS n ON n.node_id = r.node_id"
                               " WHERE r.node_id = ?1 AND r.valid_to >= ?2"
                               /* a clock that was set back may leave several of one baseline */
                               " AND NOT EXISTS (SELECT 1 FROM report AS later"
                               " WHERE later.node_id = r.node_id"
                               " AND later.baseline_id = r.baseline_id"
                               " AND later.report_pk > r.report_pk)"
                               " ORDER BY r.baseline_id";
static const char ended_sql[] = "SELECT " PW_REPORT_COLUMNS " FROM report AS r"
                                " JOIN node AS n ON n.node_id = r.node_id"
                                " WHERE r.node_id = ?1 AND r.valid_to IS NOT NULL"
                                " AND r.status = ?2 ORDER BY r.valid_to DESC LIMIT 1";
static const char add_sql[] =
    "INSERT INTO node (source_id, node_key, name, instance_id, cce_node_id, ip, eip, region,"
    " group_name, enterprise_project_id, operating_system, report_scene, cce_info_id, status,"
    " last_definite_status, status_since, first_seen_at, last_seen_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17)";
static const char update_state_sql[] =
    "UPDATE node SET status = ?2, last_definite_status = ?3, status_since = ?4,"
    " pending_status = ?5, pending_cause = ?6, pending_sweeps = ?7, missed_sweeps = ?8,"
    " missing_since = ?9, last_seen_at = max(last_seen_at, ?10) WHERE node_id = ?1";
static const char update_facts_sql[] =
    "UPDATE node SET name = ?2, instance_id = ?3, cce_node_id = ?4, ip = ?5, eip = ?6,"
    " region = ?7, group_name = ?8, enterprise_project_id = ?9, operating_system = ?10,"
    " report_scene = ?11, cce_info_id = ?12 WHERE node_id = ?1";
static const char open_sql[] =
    "INSERT INTO report (node_id, report_id, baseline_id, baseline_name, rule_type, status_text,"
    " job_id, order_id, status, report_time, compliant_count, compliant_critical, compliant_high,"
    " compliant_medium, compliant_low, compliant_informational, compliant_unspecified,"
    " non_compliant_count, non_compliant_critical, non_compliant_high, non_compliant_medium,"
    " non_compliant_low, non_compliant_informational, non_compliant_unspecified, valid_from)"
    " VALUES (?1, ?2, coalesce(?3, ''), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
    " ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";
/* Looked for only where the trigger report_no_overlap refuses the version: a clock that was set
 * back must not make it begin before the one before it ended. */
static const char last_end_sql[] =
    "SELECT max(r.valid_to) FROM report AS r WHERE r.node_id = ?1 AND r.valid_to > ?3"
    " AND r.baseline_id = coalesce(?2, '')";
/* A clock that was set back must not make a version end before it began. */
static const char end_sql[] = "UPDATE report SET valid_to = max(?3, valid_from)"
                              " WHERE node_id = ?1 AND baseline_id = ?2 AND valid_to IS NULL";

static void read_state(sqlite3_stmt *statement, struct pw_node_row *out)
{
    out->node_id = sqlite3_column_int64(statement, 0);
    out->state = (struct pw_node_state){
        .exists = true,
        .status = pw_compliance_of(pw_db_column_str(statement, 2)),
        .last_definite = pw_compliance_of(pw_db_column_str(statement, 3)),
        .status_since_ms = sqlite3_column_int64(statement, 4),
        .pending_status = pw_compliance_of(pw_db_column_str(statement, 5)),
        .pending_cause = pw_event_cause_of(pw_db_column_str(statement, 6)),
        .pending_sweeps = sqlite3_column_int64(statement, 7),
        .missed_sweeps = sqlite3_column_int64(statement, 8),
        .missing_since_ms = pw_db_column_int_or(statement, 9, PW_TIME_NONE),
    };
    out->flapping_since_ms = pw_db_column_int_or(statement, 10, PW_TIME_NONE);
}

enum pw_status pw_node_find(struct pw_db *db, int64_t source_id, struct pw_str node_key,
                            struct pw_node_row *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, find_sql, &statement, err);
    bool row;

    *out = (struct pw_node_row){.state = {.missing_since_ms = PW_TIME_NONE},
                                .flapping_since_ms = PW_TIME_NONE};
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, source_id);
    pw_db_bind_str(statement, 2, node_key);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        read_state(statement, out);
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_node_get(struct pw_db *db, int64_t node_id, struct pw_buffer *node_key,
                           struct pw_node_row *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, get_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && !row)
        status = pw_fail(err, PW_ENOTFOUND, "there is no node %lld", (long long)node_id);
    if (status == PW_OK) {
        read_state(statement, out);
        pw_buffer_clear(node_key);
        if (pw_buffer_append_str(node_key, pw_db_column_str(statement, 1)) != PW_OK)
            status = pw_fail_nomem(err);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status collect_reports(struct pw_db *db, sqlite3_stmt *statement,
                                      struct pw_batch *out, struct pw_error *err)
{
    enum pw_status status;
    bool row;

    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        struct pw_report report;

        pw_report_from_row(statement, 0, &report);
        if (pw_batch_add(out, &report) != PW_OK) {
            status = pw_fail_nomem(err);
            break;
        }
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_node_reports(struct pw_db *db, const struct pw_node_row *node,
                               struct pw_batch *out, struct pw_error *err)
{
    bool is_missing = node->state.missing_since_ms != PW_TIME_NONE;
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, is_missing ? last_sql : current_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node->node_id);
    if (is_missing)
        pw_db_bind_int(statement, 2, node->state.missing_since_ms);
    return collect_reports(db, statement, out, err);
}

enum pw_status pw_node_last_ended(struct pw_db *db, int64_t node_id, enum pw_compliance status_was,
                                  struct pw_batch *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, ended_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    pw_db_bind_text(statement, 2, pw_compliance_name(status_was));
    return collect_reports(db, statement, out, err);
}

static void bind_status_or_null(sqlite3_stmt *statement, int index, enum pw_compliance status)
{
    pw_db_bind_text(statement, index, pw_is_definite(status) ? pw_compliance_name(status) : NULL);
}

enum pw_status pw_node_add(struct pw_db *db, int64_t source_id, struct pw_str node_key,
                           const struct pw_report *facts, struct pw_node_row *node, int64_t now_ms,
                           struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, add_sql, &statement, err);
    int next;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, source_id);
    pw_db_bind_str(statement, 2, node_key);
    next = pw_bind_report_strings(statement, 3, facts, 0, PW_NODE_STRING_COUNT);
    pw_db_bind_text(statement, next++, pw_compliance_name(node->state.status));
    bind_status_or_null(statement, next++, node->state.last_definite);
    pw_db_bind_int(statement, next++, node->state.status_since_ms);
    pw_db_bind_int(statement, next, now_ms);
    status = pw_db_run(db, statement, err);
    if (status == PW_OK)
        node->node_id = sqlite3_last_insert_rowid(pw_db_handle(db));
    return status;
}

enum pw_status pw_node_update(struct pw_db *db, const struct pw_node_row *node,
                              const struct pw_report *facts, int64_t last_seen_ms,
                              struct pw_error *err)
{
    const struct pw_node_state *state = &node->state;
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, update_state_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node->node_id);
    pw_db_bind_text(statement, 2, pw_compliance_name(state->status));
    bind_status_or_null(statement, 3, state->last_definite);
    pw_db_bind_int(statement, 4, state->status_since_ms);
    bind_status_or_null(statement, 5, state->pending_status);
    pw_db_bind_text(statement, 6, pw_event_cause_name(state->pending_cause));
    pw_db_bind_int(statement, 7, state->pending_sweeps);
    pw_db_bind_int(statement, 8, state->missed_sweeps);
    pw_db_bind_int_or_null(statement, 9, state->missing_since_ms, PW_TIME_NONE);
    pw_db_bind_int(statement, 10, last_seen_ms);
    status = pw_db_run(db, statement, err);
    if (status != PW_OK || facts == NULL)
        return status;
    status = pw_db_prepare(db, update_facts_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node->node_id);
    (void)pw_bind_report_strings(statement, 2, facts, 0, PW_NODE_STRING_COUNT);
    return pw_db_run(db, statement, err);
}

static enum pw_status find_last_end(struct pw_db *db, int64_t node_id, struct pw_str baseline_id,
                                    int64_t now_ms, int64_t *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, last_end_sql, &statement, err);
    bool row;

    *out = now_ms;
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    pw_db_bind_str(statement, 2, baseline_id);
    pw_db_bind_int(statement, 3, now_ms);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        *out = pw_db_column_int_or(statement, 0, now_ms);
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_report_open(struct pw_db *db, int64_t node_id, const struct pw_report *report,
                              int64_t now_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, open_sql, &statement, err);
    int64_t begins_ms;
    int next;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    next =
        pw_bind_report_strings(statement, 2, report, PW_NODE_STRING_COUNT, PW_REPORT_STRING_COUNT);
    next = pw_bind_report_numbers(statement, next, report);
    pw_db_bind_int(statement, next, now_ms);
    status = pw_db_run(db, statement, err);
    if (status != PW_EINVAL ||
        sqlite3_extended_errcode(pw_db_handle(db)) != SQLITE_CONSTRAINT_TRIGGER)
        return status;
    status = find_last_end(db, node_id, report->baseline_id, now_ms, &begins_ms, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, next, begins_ms);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_report_end(struct pw_db *db, int64_t node_id, struct pw_str baseline_id,
                             int64_t now_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, end_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    pw_db_bind_str(statement, 2, pw_str_empty(baseline_id) ? pw_str_of("") : baseline_id);
    pw_db_bind_int(statement, 3, now_ms);
    return pw_db_run(db, statement, err);
}
