/* The table mute. Owns nothing. */
#include "store/mute.h"

#include "base/clock.h"

static const char sql_add[] =
    "INSERT INTO mute (match, from_at, until_at, author, comment, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
static const char sql_find[] = "SELECT from_at, until_at FROM mute WHERE mute_id = ?1";
static const char sql_delete[] = "DELETE FROM mute WHERE mute_id = ?1";
static const char sql_end[] = "UPDATE mute SET until_at = ?2, removed_by = ?3 WHERE mute_id = ?1";
static const char sql_list[] =
    "SELECT mute_id,"
    "       CASE WHEN until_at <= ?1 THEN 'ended' WHEN from_at > ?1 THEN 'future'"
    "            ELSE 'active' END AS state,"
    "       match, from_at, until_at, author, comment, created_at, removed_by"
    "  FROM mute"
    " WHERE ?2 OR until_at IS NULL OR until_at > ?1"
    " ORDER BY mute_id";

enum pw_status pw_mute_add(struct pw_db *db, const struct pw_mute_row *mute, int64_t now_ms,
                           int64_t *mute_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;

    *mute_id = 0;
    if (mute->until_ms != PW_TIME_NONE && mute->until_ms <= now_ms)
        return pw_fail(err, PW_EINVAL, "the mute would be over already");
    if (mute->until_ms != PW_TIME_NONE && mute->from_ms != PW_TIME_NONE &&
        mute->until_ms <= mute->from_ms)
        return pw_fail(err, PW_EINVAL, "the mute would end before it begins");
    status = pw_db_prepare(db, sql_add, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, mute->match);
    pw_db_bind_int_or_null(statement, 2, mute->from_ms, PW_TIME_NONE);
    pw_db_bind_int_or_null(statement, 3, mute->until_ms, PW_TIME_NONE);
    pw_db_bind_text(statement, 4, mute->author);
    pw_db_bind_text(statement, 5, mute->comment);
    pw_db_bind_int(statement, 6, now_ms);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement); /* the texts are not ours to keep */
    if (status == PW_OK)
        *mute_id = sqlite3_last_insert_rowid(pw_db_handle(db));
    return status;
}

static enum pw_status find(struct pw_db *db, int64_t mute_id, int64_t *from_ms, int64_t *until_ms,
                           struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql_find, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, mute_id);
    status = pw_db_step(db, statement, &row, err);
    if (status != PW_OK)
        return status;
    if (!row)
        return pw_fail(err, PW_ENOTFOUND, "there is no mute %lld", (long long)mute_id);
    *from_ms = pw_db_column_int_or(statement, 0, PW_TIME_NONE);
    *until_ms = pw_db_column_int_or(statement, 1, PW_TIME_NONE);
    sqlite3_reset(statement);
    return PW_OK;
}

static enum pw_status end(struct pw_db *db, int64_t mute_id, const char *by, int64_t now_ms,
                          bool was_begun, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, was_begun ? sql_end : sql_delete, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, mute_id);
    if (was_begun) {
        pw_db_bind_int(statement, 2, now_ms);
        pw_db_bind_text(statement, 3, by);
    }
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement);
    return status;
}

enum pw_status pw_mute_remove(struct pw_db *db, int64_t mute_id, const char *by, int64_t now_ms,
                              bool *was_begun, struct pw_error *err)
{
    int64_t from_ms = PW_TIME_NONE, until_ms = PW_TIME_NONE;
    char text[PW_ISO8601_SIZE];
    enum pw_status status = pw_db_begin(db, err);

    *was_begun = false;
    if (status != PW_OK)
        return status;
    status = find(db, mute_id, &from_ms, &until_ms, err);
    if (status == PW_OK && until_ms != PW_TIME_NONE && until_ms <= now_ms)
        status = pw_fail(err, PW_EINVAL, "mute %lld ended already, at %s", (long long)mute_id,
                         pw_iso8601(text, until_ms));
    *was_begun = from_ms == PW_TIME_NONE || from_ms < now_ms;
    if (status == PW_OK)
        status = end(db, mute_id, by, now_ms, *was_begun, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    return status;
}

enum pw_status pw_mute_list(struct pw_db *db, bool all, int64_t now_ms, struct pw_rows *out,
                            struct pw_error *err)
{
    enum pw_status status;

    out->db = db;
    status = pw_db_prepare(db, sql_list, &out->statement, err);
    if (status == PW_OK) {
        pw_db_bind_int(out->statement, 1, now_ms);
        pw_db_bind_int(out->statement, 2, all);
    }
    return status;
}
