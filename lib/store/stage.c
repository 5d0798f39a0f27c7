/* Staging: what a sweep shows waits in a temporary table, which may grow beyond memory, until the
 * sweep has ended and the record that counts is known for each report key. Then it can be asked
 * which nodes are about to turn. */
#include "store/stage.h"

#include "store/apply.h"
#include "store/columns.h"
#include "store/snapshot.h"

/* The order is that of pw_report_from_row. */
#define STAGED_COLUMNS                                                                             \
    "name, instance_id, cce_node_id, ip, eip, region, group_name, enterprise_project_id, "         \
    "operating_system, report_scene, cce_info_id, report_id, baseline_id, baseline_name, "         \
    "rule_type, status_text, job_id, order_id, status, report_time, compliant_count, "             \
    "compliant_critical, compliant_high, compliant_medium, compliant_low, "                        \
    "compliant_informational, compliant_unspecified, non_compliant_count, "                        \
    "non_compliant_critical, non_compliant_high, non_compliant_medium, non_compliant_low, "        \
    "non_compliant_informational, non_compliant_unspecified"
enum { KEY_COLUMN, RIVAL_COLUMN, REPORT_COLUMN };

static const char create_sql[] =
    "CREATE TEMP TABLE IF NOT EXISTS staged ("
    " sweep_id INTEGER NOT NULL, node_hash INTEGER NOT NULL, report_hash INTEGER NOT NULL,"
    " node_key TEXT NOT NULL,"
    " name TEXT, instance_id TEXT, cce_node_id TEXT, ip TEXT, eip TEXT, region TEXT,"
    " group_name TEXT, enterprise_project_id TEXT, operating_system TEXT, report_scene TEXT,"
    " cce_info_id TEXT, report_id TEXT, baseline_id TEXT, baseline_name TEXT, rule_type TEXT,"
    " status_text TEXT, job_id TEXT, order_id TEXT, status TEXT, report_time INTEGER,"
    " compliant_count INTEGER, compliant_critical INTEGER, compliant_high INTEGER,"
    " compliant_medium INTEGER, compliant_low INTEGER, compliant_informational INTEGER,"
    " compliant_unspecified INTEGER, non_compliant_count INTEGER, non_compliant_critical INTEGER,"
    " non_compliant_high INTEGER, non_compliant_medium INTEGER, non_compliant_low INTEGER,"
    " non_compliant_informational INTEGER, non_compliant_unspecified INTEGER,"
    " place INTEGER NOT NULL, rival INTEGER NOT NULL,"
    " PRIMARY KEY (sweep_id, node_hash, report_hash))";

/* Of several records for one report key the greatest report_time stays, of equal ones the one that
 * was read last; pages arrive in any order, so that is a matter of its place. */
static const char stage_sql[] =
    "INSERT INTO temp.staged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
    " ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32,"
    " ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40)"
    " ON CONFLICT (sweep_id, node_hash, report_hash) DO UPDATE SET"
    " name = excluded.name, instance_id = excluded.instance_id,"
    " cce_node_id = excluded.cce_node_id, ip = excluded.ip, eip = excluded.eip,"
    " region = excluded.region, group_name = excluded.group_name,"
    " enterprise_project_id = excluded.enterprise_project_id,"
    " operating_system = excluded.operating_system, report_scene = excluded.report_scene,"
    " cce_info_id = excluded.cce_info_id, report_id = excluded.report_id,"
    " baseline_id = excluded.baseline_id, baseline_name = excluded.baseline_name,"
    " rule_type = excluded.rule_type, status_text = excluded.status_text,"
    " job_id = excluded.job_id, order_id = excluded.order_id, status = excluded.status,"
    " report_time = excluded.report_time, compliant_count = excluded.compliant_count,"
    " compliant_critical = excluded.compliant_critical, compliant_high = excluded.compliant_high,"
    " compliant_medium = excluded.compliant_medium, compliant_low = excluded.compliant_low,"
    " compliant_informational = excluded.compliant_informational,"
    " compliant_unspecified = excluded.compliant_unspecified,"
    " non_compliant_count = excluded.non_compliant_count,"
    " non_compliant_critical = excluded.non_compliant_critical,"
    " non_compliant_high = excluded.non_compliant_high,"
    " non_compliant_medium = excluded.non_compliant_medium,"
    " non_compliant_low = excluded.non_compliant_low,"
    " non_compliant_informational = excluded.non_compliant_informational,"
    " non_compliant_unspecified = excluded.non_compliant_unspecified,"
    " place = excluded.place, rival = excluded.rival"
    " WHERE (coalesce(excluded.report_time, -1), excluded.place)"
    " >= (coalesce(staged.report_time, -1), staged.place)";

static const char group_sql[] =
    "SELECT node_key, rival, " STAGED_COLUMNS
    " FROM temp.staged WHERE sweep_id = ?1 AND node_hash = ?2 ORDER BY report_hash";

static const char next_sql[] = "SELECT node_hash FROM temp.staged WHERE sweep_id = ?1 AND"
                               " node_hash > ?2 ORDER BY node_hash LIMIT 1";

static const char first_sql[] =
    "SELECT node_hash FROM temp.staged WHERE sweep_id = ?1 ORDER BY node_hash LIMIT 1";

/* The diff decides in the end; what differs costs a request for nothing, or a word in an event. A
 * record that is older than the snapshot's does not replace it (pw_report_is_stale). */
static const char turning_sql[] =
    "SELECT s.report_id, s.non_compliant_count FROM temp.staged AS s"
    " CROSS JOIN node AS n ON n.source_id = ?1 AND n.node_key = s.node_key"
    " WHERE s.sweep_id = ?2 AND s.status = 'non_compliant'"
    " AND n.last_definite_status = 'compliant'"
    " AND (?3 <= 1 OR (n.pending_status = 'non_compliant' AND n.pending_sweeps + 1 >= ?3))"
    " AND NOT EXISTS (SELECT 1 FROM report AS r WHERE r.node_id = n.node_id"
    "  AND r.valid_to IS NULL AND ifnull(r.baseline_id, '') = ifnull(s.baseline_id, '')"
    "  AND r.report_time > s.report_time AND r.report_time <= ?4)"
    " ORDER BY s.node_hash, s.report_hash";

static const char clear_sql[] = "DELETE FROM temp.staged WHERE sweep_id = ?1";

static enum pw_status stage_one(struct pw_db *db, sqlite3_stmt *statement, int64_t sweep_id,
                                const struct pw_report *report, struct pw_buffer *node_key,
                                struct pw_error *err)
{
    struct pw_report_key key;
    enum pw_status status;
    int next;

    pw_buffer_clear(node_key);
    status = pw_report_node_key(report, node_key, err);
    if (status != PW_OK)
        return status;
    key = pw_report_key_of(pw_buffer_str(node_key), report->baseline_id);
    (void)sqlite3_reset(statement);
    pw_db_bind_int(statement, 1, sweep_id);
    pw_db_bind_int(statement, 2, (int64_t)key.node);
    pw_db_bind_int(statement, 3, (int64_t)key.report);
    pw_db_bind_str(statement, 4, pw_buffer_str(node_key));
    next = pw_bind_report_strings(statement, 5, report, 0, PW_REPORT_STRING_COUNT);
    next = pw_bind_report_numbers(statement, next, report);
    pw_db_bind_int(statement, next++, report->place);
    pw_db_bind_int(statement, next, (int64_t)report->rival);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_apply_stage(struct pw_db *db, int64_t sweep_id, const struct pw_report *reports,
                              size_t count, struct pw_error *err)
{
    struct pw_buffer node_key;
    sqlite3_stmt *statement = NULL;
    enum pw_status status;

    pw_buffer_init(&node_key, (size_t)2 * PW_KEY_MAX_BYTES);
    status = pw_db_exec(db, create_sql, err);
    if (status != PW_OK)
        return status;
    /* Deferred: it touches the temporary file only, and takes no lock on history.db. */
    status = pw_db_exec(db, "BEGIN", err);
    if (status != PW_OK)
        return status;
    status = pw_db_prepare(db, stage_sql, &statement, err);
    for (size_t i = 0; i < count && status == PW_OK; i++)
        status = stage_one(db, statement, sweep_id, &reports[i], &node_key, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    pw_buffer_free(&node_key);
    return status;
}

/* The hash of the next node, without leaving a statement open. */
static enum pw_status next_hash(struct pw_db *db, struct pw_staged_cursor *cursor, bool *found,
                                struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;

    status = pw_db_prepare(db, cursor->started ? next_sql : first_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, cursor->sweep_id);
    if (cursor->started)
        pw_db_bind_int(statement, 2, cursor->node_hash);
    status = pw_db_step(db, statement, found, err);
    if (status == PW_OK && *found) {
        cursor->node_hash = sqlite3_column_int64(statement, 0);
        cursor->started = true;
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_staged_next(struct pw_db *db, struct pw_staged_cursor *cursor,
                              struct pw_buffer *node_key, struct pw_batch *reports, bool *found,
                              struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;
    bool row = false;

    *found = false;
    status = pw_db_exec(db, create_sql, err); /* where nothing was staged there is no table yet */
    if (status == PW_OK)
        status = next_hash(db, cursor, found, err);
    if (status != PW_OK || !*found)
        return status;
    pw_buffer_clear(node_key);
    pw_batch_clear(reports);
    status = pw_db_prepare(db, group_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, cursor->sweep_id);
    pw_db_bind_int(statement, 2, cursor->node_hash);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        struct pw_report report;

        if (node_key->len == 0)
            (void)pw_buffer_append_str(node_key, pw_db_column_str(statement, KEY_COLUMN));
        pw_report_from_row(statement, REPORT_COLUMN, &report);
        report.rival = (enum pw_rival)sqlite3_column_int(statement, RIVAL_COLUMN);
        if (node_key->failed != PW_OK || pw_batch_add(reports, &report) != PW_OK) {
            status = pw_fail_nomem(err);
            break;
        }
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_apply_turning(struct pw_db *db, const struct pw_apply_params *params,
                                struct pw_patch_book *book, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_exec(db, create_sql, err);
    bool row = false, has_room = true;

    if (status == PW_OK)
        status = pw_db_prepare(db, turning_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, params->source_id);
    pw_db_bind_int(statement, 2, params->sweep_id);
    pw_db_bind_int(statement, 3, params->confirm);
    pw_db_bind_int(statement, 4, params->now_ms + PW_DAY_MS);
    while (has_room && (status = pw_db_step(db, statement, &row, err)) == PW_OK && row)
        has_room = pw_patch_book_add(book, pw_db_column_str(statement, 0),
                                     pw_db_column_int_or(statement, 1, PW_COUNT_NONE));
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_staged_clear(struct pw_db *db, int64_t sweep_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_exec(db, create_sql, err);

    if (status == PW_OK)
        status = pw_db_prepare(db, clear_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, sweep_id);
    return pw_db_run(db, statement, err);
}
