/* The row of a sweep: its beginning and its end. */
#include "base/clock.h"
#include "base/log.h"
#include "store/applying.h"
#include "store/connection.h"
#include "store/stage.h"

static const char running_sql[] = "UPDATE sweep SET outcome = 'incomplete', ended_at = ?2,"
                                  " reason = 'interrupted: the daemon ended during this sweep'"
                                  " WHERE source_id = ?1 AND outcome = 'running'";
static const char newest_sql[] =
    "SELECT max((SELECT max(w.started_at) FROM sweep AS w WHERE w.source_id = s.source_id))"
    "  FROM source AS s";
static const char begin_sql[] = "INSERT INTO sweep (source_id, started_at) VALUES (?1, ?2)";
static const char end_sql[] =
    "UPDATE sweep SET ended_at = ?2, outcome = ?3, reported_count = ?4, records = ?5, nodes = ?6,"
    " pages = ?7, requests = ?8, retries = ?9, bytes = ?10, changed = ?11, transitions = ?12,"
    " reason = ?13, error_code = ?14, error_msg = ?15, request_id = ?16 WHERE sweep_id = ?1";

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

/* What is recorded now would stand before what is recorded already: said once, until the clock is
 * right again. */
static enum pw_status look_at_clock(struct pw_db *db, int64_t now_ms, struct pw_error *err)
{
    enum { SLACK_MS = 60 * 1000 };
    char newest_at[PW_ISO8601_SIZE], now_at[PW_ISO8601_SIZE];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, newest_sql, &statement, err);
    int64_t newest_ms = INT64_MIN;
    bool row, is_behind;

    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        newest_ms = pw_db_column_int_or(statement, 0, INT64_MIN);
    (void)sqlite3_reset(statement);
    if (status != PW_OK)
        return status;
    is_behind = newest_ms != INT64_MIN && newest_ms - SLACK_MS > now_ms;
    if (is_behind && !db->is_behind_told)
        pw_log_warning("the clock says %s, but a sweep was recorded at %s: it is wrong now, or it "
                       "was then; recorded times stay as they are (\"patchwatch verify\" names "
                       "those that are still to come)",
                       pw_iso8601(now_at, now_ms), pw_iso8601(newest_at, newest_ms));
    db->is_behind_told = is_behind;
    return PW_OK;
}

enum pw_status pw_apply_begin(struct pw_db *db, int64_t source_id, int64_t started_at_ms,
                              int64_t *sweep_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_begin(db, err);

    if (status != PW_OK)
        return status;
    status = look_at_clock(db, started_at_ms, err);
    if (status == PW_OK)
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

enum pw_status pw_sweep_row_end(struct pw_db *db, int64_t sweep_id,
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
    pw_db_bind_text(statement, 16, facts->request_id);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_apply_abort(struct pw_db *db, int64_t sweep_id,
                              const struct pw_sweep_facts *facts, int64_t now_ms,
                              struct pw_error *err)
{
    enum pw_status status = pw_staged_clear(db, sweep_id, err);

    if (status == PW_OK)
        status = pw_sweep_row_end(db, sweep_id, facts, 0, 0, now_ms, err);
    return status;
}
