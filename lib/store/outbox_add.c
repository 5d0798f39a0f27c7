/* Deliveries on their way into the table: at once, with their group, or as an escalation. */
#include "store/outbox.h"

static const char group_sql[] =
    "SELECT count(*), min(wait_until) FROM delivery"
    " WHERE hook = ?1 AND rule = ?2 AND group_key = ?3 AND state = 'pending' AND wait_until > ?4"
    "   AND wait = 'group' AND attempts = 0";
static const char flush_sql[] =
    "UPDATE delivery SET wait_until = ?4, next_attempt_at = ?4"
    " WHERE hook = ?1 AND rule = ?2 AND group_key = ?3 AND state = 'pending' AND wait_until > ?4"
    "   AND wait = 'group' AND attempts = 0";
static const char add_sql[] =
    "INSERT INTO delivery (event_id, hook, rule, state, created_at, next_attempt_at, group_key,"
    " wait, wait_until, held_by, reason)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (event_id, hook) DO "
    "NOTHING";

static void bind_group(sqlite3_stmt *statement, const struct pw_outbox_entry *entry)
{
    pw_db_bind_text(statement, 1, entry->owed->hook);
    pw_db_bind_text(statement, 2, entry->owed->rule);
    pw_db_bind_text(statement, 3, entry->owed->group_key);
    pw_db_bind_int(statement, 4, entry->now_ms);
}

/* When the group that entry joins is due; the one that fills it makes it due now. */
static enum pw_status join_group(struct pw_db *db, const struct pw_outbox_entry *entry,
                                 int64_t *due_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, group_sql, &statement, err);
    int64_t own_ms = entry->now_ms + entry->owed->group_wait_ms, waiting = 0;
    bool row;

    *due_ms = own_ms;
    if (status != PW_OK)
        return status;
    bind_group(statement, entry);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        waiting = sqlite3_column_int64(statement, 0);
        *due_ms = pw_db_column_int_or(statement, 1, own_ms);
        if (*due_ms > own_ms) /* written by a clock that was ahead */
            *due_ms = own_ms;
    }
    (void)sqlite3_reset(statement);
    if (status != PW_OK || waiting + 1 < entry->owed->group_max)
        return status;
    *due_ms = entry->now_ms;
    status = pw_db_prepare(db, flush_sql, &statement, err);
    if (status != PW_OK)
        return status;
    bind_group(statement, entry);
    return pw_db_run(db, statement, err);
}

/* What a pending entry waits for, and until when. */
static enum pw_status decide_wait(struct pw_db *db, const struct pw_outbox_entry *entry,
                                  const char **wait, int64_t *due_ms, struct pw_error *err)
{
    const struct pw_owed *owed = entry->owed;

    *wait = NULL;
    *due_ms = entry->now_ms;
    if (owed->after_ms > 0) {
        *wait = "escalation";
        *due_ms = entry->now_ms + owed->after_ms;
        return PW_OK;
    }
    if (owed->group_key == NULL || owed->group_wait_ms == 0)
        return PW_OK;
    *wait = "group";
    return join_group(db, entry, due_ms, err);
}

enum pw_status pw_outbox_add(struct pw_db *db, const struct pw_outbox_entry *entry, size_t *added,
                             struct pw_error *err)
{
    const struct pw_owed *owed = entry->owed;
    bool is_pending = entry->state == NULL;
    bool waits_for_mute = !is_pending && entry->muted_until_ms != PW_TIME_NONE;
    const char *wait = waits_for_mute ? "mute" : NULL;
    int64_t due_ms = entry->now_ms;
    sqlite3_stmt *statement;
    enum pw_status status = PW_OK;

    if (is_pending)
        status = decide_wait(db, entry, &wait, &due_ms, err);
    else /* an escalation is known by it, see unmute_sql */
        due_ms += owed->after_ms;
    if (status == PW_OK)
        status = pw_db_prepare(db, add_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, entry->event_id);
    pw_db_bind_text(statement, 2, owed->hook);
    pw_db_bind_text(statement, 3, owed->rule);
    pw_db_bind_text(statement, 4, is_pending ? "pending" : entry->state);
    pw_db_bind_int(statement, 5, entry->now_ms);
    pw_db_bind_int(statement, 6, due_ms);
    pw_db_bind_text(statement, 7, owed->group_key);
    pw_db_bind_text(statement, 8, wait);
    if (waits_for_mute)
        pw_db_bind_int(statement, 9, entry->muted_until_ms);
    else if (wait != NULL)
        pw_db_bind_int(statement, 9, due_ms);
    pw_db_bind_int_or_null(statement, 10, is_pending ? entry->held_by : 0, 0);
    pw_db_bind_text(statement, 11, is_pending ? NULL : entry->reason);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement); /* the texts are not ours to keep */
    if (status == PW_OK && sqlite3_changes(pw_db_handle(db)) > 0)
        (*added)++;
    return status;
}
