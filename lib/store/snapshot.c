/* What is read from the snapshot at start: sources, and the index of current reports. */
#include "store/snapshot.h"

#include <stddef.h>

static const char sql_source_put[] =
    "INSERT INTO source (name, endpoint) VALUES (?1, ?2)"
    " ON CONFLICT (name) DO UPDATE"
    /* What was found out about one server says nothing of another. */
    " SET endpoint = excluded.endpoint, offset_mode = NULL"
    " WHERE endpoint <> excluded.endpoint";

static const char sql_source_get[] =
    "SELECT source_id, offset_mode, baseline_at,"
    "       (SELECT w.ended_at FROM sweep AS w"
    "         WHERE w.source_id = s.source_id AND w.ended_at IS NOT NULL"
    "         ORDER BY w.started_at DESC LIMIT 1)"
    "  FROM source AS s WHERE name = ?1";

static const char sql_source_offset_mode[] =
    "UPDATE source SET offset_mode = ?2 WHERE source_id = ?1 AND offset_mode IS NOT ?2";

static const char sql_index_load[] =
    "SELECT n.node_id, n.node_key, n.pending_status IS NOT NULL OR n.missed_sweeps > 0,"
    " " PW_REPORT_COLUMNS " FROM node AS n"
    "  JOIN report AS r ON r.node_id = n.node_id AND r.valid_to IS NULL"
    " WHERE n.source_id = ?1";
enum { INDEX_LOAD_REPORT = 3 };

const char *pw_offset_mode_name(enum pw_offset_mode mode)
{
    switch (mode) {
    case PW_OFFSET_PAGE:
        return "page";
    case PW_OFFSET_RECORD:
        return "record";
    case PW_OFFSET_UNKNOWN:
        break;
    }
    return NULL;
}

static enum pw_offset_mode offset_mode_of(struct pw_str name)
{
    if (pw_str_is(name, "page"))
        return PW_OFFSET_PAGE;
    if (pw_str_is(name, "record"))
        return PW_OFFSET_RECORD;
    return PW_OFFSET_UNKNOWN;
}

enum pw_status pw_source_open(struct pw_db *db, const char *name, const char *endpoint,
                              struct pw_source_row *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql_source_put, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, name);
    pw_db_bind_text(statement, 2, endpoint);
    status = pw_db_run(db, statement, err);
    if (status == PW_OK)
        status = pw_db_prepare(db, sql_source_get, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, name);
    status = pw_db_step(db, statement, &row, err);
    if (status != PW_OK)
        return status;
    if (!row)
        return pw_fail(err, PW_ENOTFOUND, "source %s is gone from the database", name);
    out->source_id = sqlite3_column_int64(statement, 0);
    out->offset_mode = offset_mode_of(pw_db_column_str(statement, 1));
    out->baseline_at_ms = pw_db_column_int_or(statement, 2, PW_TIME_NONE);
    out->last_ended_at_ms = pw_db_column_int_or(statement, 3, PW_TIME_NONE);
    sqlite3_reset(statement);
    return PW_OK;
}

enum pw_status pw_source_set_offset_mode(struct pw_db *db, int64_t source_id,
                                         enum pw_offset_mode mode, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_source_offset_mode, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, source_id);
    pw_db_bind_text(statement, 2, pw_offset_mode_name(mode));
    return pw_db_run(db, statement, err);
}

static void counts_from_row(sqlite3_stmt *statement, int first, struct pw_patch_counts *out)
{
    out->total = pw_db_column_int_or(statement, first, PW_COUNT_NONE);
    for (int severity = 0; severity < PW_SEVERITY_COUNT; severity++)
        out->by_severity[severity] =
            pw_db_column_int_or(statement, first + 1 + severity, PW_COUNT_NONE);
}

void pw_report_from_row(sqlite3_stmt *statement, int first, struct pw_report *out)
{
    struct pw_str *const texts[] = {
        &out->name,
        &out->instance_id,
        &out->node_id,
        &out->ip,
        &out->eip,
        &out->region,
        &out->group,
        &out->enterprise_project_id,
        &out->operating_system,
        &out->report_scene,
        &out->cce_info_id,
        &out->id,
        &out->baseline_id,
        &out->baseline_name,
        &out->rule_type,
        &out->status_text,
        &out->job_id,
        &out->order_id,
    };
    int column = first;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = pw_db_column_str(statement, column++);
    out->status = pw_compliance_of(pw_db_column_str(statement, column++));
    out->report_time_ms = pw_db_column_int_or(statement, column++, PW_TIME_NONE);
    counts_from_row(statement, column, &out->compliant);
    counts_from_row(statement, column + 1 + PW_SEVERITY_COUNT, &out->non_compliant);
}

enum pw_status pw_index_load(struct pw_db *db, int64_t source_id, struct pw_index *index,
                             struct pw_error *err)
{
    sqlite3_stmt *statement = NULL;
    bool row;
    enum pw_status status;

    if (pw_index_count(index) != 0)
        return pw_fail(err, PW_EINVAL, "the index is not empty");
    status = pw_db_prepare(db, sql_index_load, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, source_id);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        int64_t node_id = sqlite3_column_int64(statement, 0);
        struct pw_report report;
        struct pw_report_key key;

        if (node_id < 0 || node_id > UINT32_MAX) {
            status = pw_fail(err, PW_ELIMIT, "node_id %lld is over 32 bits", (long long)node_id);
            break;
        }
        pw_report_from_row(statement, INDEX_LOAD_REPORT, &report);
        key = pw_report_key_of(pw_db_column_str(statement, 1), report.baseline_id);
        status = pw_index_put(index, key, pw_report_digest(&report), (uint32_t)node_id,
                              sqlite3_column_int(statement, 2) != 0);
        if (status != PW_OK) {
            (void)pw_fail_nomem(err);
            break;
        }
    }
    sqlite3_reset(statement);
    return status;
}
