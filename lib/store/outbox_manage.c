/* Deliveries changed by hand. What was dropped by hand is known by its reason; the others were over
 * before they were due, and nobody wants them back. */
#include "store/outbox_manage.h"

#include <stdio.h>

#include "base/text.h"

#define BY_HAND "dropped by "

/* Due at once: what it waited for before is not waited for again. */
#define REVIVE                                                                                     \
    "UPDATE delivery SET state = 'pending', next_attempt_at = ?2, retried_at = ?2,"                \
    " first_attempt_at = NULL,"                                                                    \
    " claimed_at = NULL, wait = NULL, wait_until = NULL, held_by = NULL, reason = NULL"

static const char sql_revive[] =
    REVIVE " WHERE delivery_id = ?1 AND (state = 'dead'"
           "    OR (state = 'dropped' AND substr(reason, 1, 11) = '" BY_HAND "'))";
static const char sql_revive_dead[] = REVIVE " WHERE state = 'dead'";
static const char sql_revive_dead_hook[] = REVIVE " WHERE state = 'dead' AND hook = ?1";
_Static_assert(sizeof BY_HAND - 1 == 11, "as in sql_revive");
static const char sql_drop[] =
    "UPDATE delivery SET state = 'dropped', claimed_at = NULL, wait = NULL, wait_until = NULL,"
    " held_by = NULL, reason = ?2"
    " WHERE delivery_id = ?1 AND state IN ('pending', 'dead')";
static const char sql_state[] = "SELECT state, reason FROM delivery WHERE delivery_id = ?1";

/* Why a delivery could not be changed. */
static enum pw_status explain(struct pw_db *db, int64_t delivery_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    struct pw_str reason;
    char shown[256];
    enum pw_status status = pw_db_prepare(db, sql_state, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    status = pw_db_step(db, statement, &row, err);
    if (status != PW_OK)
        return status;
    if (!row)
        return pw_fail(err, PW_ENOTFOUND, "there is no delivery %lld", (long long)delivery_id);
    reason = pw_db_column_str(statement, 1);
    status = pw_fail(err, PW_EINVAL, "delivery %lld is %s already%s%s%s", (long long)delivery_id,
                     (const char *)sqlite3_column_text(statement, 0), reason.len > 0 ? " (" : "",
                     pw_text_printable(shown, sizeof shown, reason), reason.len > 0 ? ")" : "");
    sqlite3_reset(statement);
    return status;
}

enum pw_status pw_outbox_revive(struct pw_db *db, int64_t delivery_id, int64_t now_ms,
                                struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_revive, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    pw_db_bind_int(statement, 2, now_ms);
    status = pw_db_run(db, statement, err);
    if (status == PW_OK && sqlite3_changes(pw_db_handle(db)) == 0)
        status = explain(db, delivery_id, err);
    return status;
}

enum pw_status pw_outbox_revive_dead(struct pw_db *db, const char *hook, int64_t now_ms,
                                     int64_t *count, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status =
        pw_db_prepare(db, hook != NULL ? sql_revive_dead_hook : sql_revive_dead, &statement, err);

    *count = 0;
    if (status != PW_OK)
        return status;
    if (hook != NULL)
        pw_db_bind_text(statement, 1, hook);
    pw_db_bind_int(statement, 2, now_ms);
    status = pw_db_run(db, statement, err);
    if (hook != NULL)
        sqlite3_clear_bindings(statement);
    if (status == PW_OK)
        *count = sqlite3_changes(pw_db_handle(db));
    return status;
}

enum pw_status pw_outbox_drop(struct pw_db *db, int64_t delivery_id, const char *by,
                              struct pw_error *err)
{
    char reason[256], shown[200];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_drop, &statement, err);

    if (status != PW_OK)
        return status;
    (void)snprintf(reason, sizeof reason, BY_HAND "%s",
                   by != NULL ? pw_text_printable(shown, sizeof shown, pw_str_of(by)) : "somebody");
    pw_db_bind_int(statement, 1, delivery_id);
    pw_db_bind_text(statement, 2, reason);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement);
    if (status == PW_OK && sqlite3_changes(pw_db_handle(db)) == 0)
        status = explain(db, delivery_id, err);
    return status;
}
