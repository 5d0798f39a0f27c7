/* The one row of horizon. Nothing here keeps memory. */
#include "store/horizon.h"

#include "base/clock.h"

static const char get_sql[] = "SELECT kept_from FROM horizon";
static const char move_sql[] =
    "INSERT INTO horizon (horizon_id, kept_from, pruned_at) VALUES (1, ?1, ?2)"
    " ON CONFLICT (horizon_id) DO UPDATE SET kept_from = max(kept_from, excluded.kept_from),"
    " pruned_at = excluded.pruned_at";

enum pw_status pw_store_horizon(struct pw_db *db, int64_t *kept_from_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, get_sql, &statement, err);
    bool row;

    *kept_from_ms = PW_TIME_NONE;
    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        *kept_from_ms = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_horizon_move(struct pw_db *db, int64_t cutoff_ms, int64_t now_ms,
                               struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, move_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, cutoff_ms);
    pw_db_bind_int(statement, 2, now_ms);
    return pw_db_run(db, statement, err);
}
