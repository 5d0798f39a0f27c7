/* The delivery table as a durable queue: outcomes, and what start and reload do to it. Adding and
 * claiming have files of their own. */
#include "store/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/outbox_row.h"

enum { WHY_MAX_BYTES = 500, PUT_OFF_MS = 2 * 60 * 60 * 1000 };

static const char recover_sql[] = "UPDATE delivery SET claimed_at = NULL, next_attempt_at = ?1"
                                  " WHERE state = 'pending' AND claimed_at IS NOT NULL";
static const char recover_reminders_sql[] =
    "UPDATE delivery SET reminding_at = NULL WHERE reminding_at IS NOT NULL";

/* ?3: a reminder follows after so long, where the problem is still open. */
static const char delivered_sql[] =
    "UPDATE delivery SET state = 'delivered', delivered_at = ?2, claimed_at = NULL, wait = NULL,"
    " wait_until = NULL, last_error = NULL, reason = NULL,"
    " remind_at = CASE WHEN ?3 > 0 AND EXISTS (SELECT 1 FROM event AS e"
    "   JOIN node AS n ON n.node_id = e.node_id"
    "  WHERE e.event_id = delivery.event_id AND " PW_IS_OPEN ") THEN ?2 + ?3 END"
    " WHERE delivery_id = ?1 AND state <> 'delivered'";
static const char failed_sql[] =
    "UPDATE delivery SET claimed_at = NULL, next_attempt_at = ?2, last_error = ?3,"
    " state = CASE WHEN first_attempt_at < ?4 THEN 'dead' ELSE state END,"
    " group_key = CASE WHEN ?5 THEN NULL ELSE group_key END"
    " WHERE delivery_id = ?1 AND state = 'pending'";
static const char is_dead_sql[] = "SELECT state = 'dead' FROM delivery WHERE delivery_id = ?1";
static const char reminded_sql[] =
    "UPDATE delivery SET reminders = reminders + 1, reminded_at = ?2, reminding_at = NULL,"
    " remind_at = CASE WHEN remind_at IS NOT NULL AND ?3 > 0 THEN ?2 + ?3 END"
    " WHERE delivery_id = ?1";
static const char not_reminded_sql[] = "UPDATE delivery SET reminding_at = NULL,"
                                       " remind_at = CASE WHEN remind_at IS NOT NULL THEN ?2 END"
                                       " WHERE delivery_id = ?1";

static const char turn_off_sql[] =
    "INSERT INTO hook (name, target, reason, off_at) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (name) DO UPDATE SET target = ?2, reason = ?3, off_at = ?4";
/* While it is off nothing is tried, so that the time to try it in does not pass. */
static const char pause_sql[] =
    "UPDATE delivery SET first_attempt_at = NULL WHERE hook = ?1 AND state = 'pending'";
static const char turn_on_sql[] = "DELETE FROM hook";

static const char open_sql[] =
    "SELECT d.delivery_id, d.hook, d.rule, coalesce(d.reminded_at, d.delivered_at), d.remind_at"
    "  FROM node AS n CROSS JOIN event AS e ON e.node_id = n.node_id"
    "  CROSS JOIN delivery AS d ON d.event_id = e.event_id AND d.state = 'delivered'"
    " WHERE " PW_IS_OPEN " ORDER BY d.delivery_id";
static const char set_reminder_sql[] = "UPDATE delivery SET remind_at = ?2 WHERE delivery_id = ?1";
static const char look_again_sql[] =
    "UPDATE delivery SET wait_until = 0 WHERE state = 'muted' AND wait = 'mute'";

static const char sql_pending_by_hook[] =
    "SELECT hook, count(*) FROM delivery WHERE state = 'pending' GROUP BY hook ORDER BY hook";

static enum pw_status run(struct pw_db *db, const char *sql, int64_t first, int64_t second,
                          struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);

    if (status != PW_OK)
        return status;
    if (sqlite3_bind_parameter_count(statement) > 0)
        pw_db_bind_int(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
        pw_db_bind_int_or_null(statement, 2, second, PW_TIME_NONE);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_outbox_recover(struct pw_db *db, int64_t now_ms, struct pw_error *err)
{
    enum pw_status status = run(db, recover_sql, now_ms, 0, err);

    return status == PW_OK ? run(db, recover_reminders_sql, 0, 0, err) : status;
}

/* Outcomes ---------------------------------------------------------------------------------- */

static enum pw_status record_delivered(struct pw_db *db, const struct pw_delivery *delivery,
                                       const struct pw_outcome *outcome, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status =
        pw_db_prepare(db, delivery->reminder > 0 ? reminded_sql : delivered_sql, &statement, err);
    int64_t repeat_ms =
        outcome->router != NULL
            ? outcome->router->repeat_ms(outcome->router, delivery->hook, delivery->rule)
            : 0;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery->delivery_id);
    pw_db_bind_int(statement, 2, outcome->now_ms);
    pw_db_bind_int(statement, 3, repeat_ms);
    return pw_db_run(db, statement, err);
}

static enum pw_status record_failed(struct pw_db *db, const struct pw_delivery *delivery,
                                    struct pw_outcome *outcome, struct pw_error *err)
{
    char why[WHY_MAX_BYTES];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, failed_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery->delivery_id);
    pw_db_bind_int(statement, 2, outcome->next_attempt_at_ms);
    /* Often the words of a remote machine, to be shown on a terminal. */
    pw_db_bind_text(statement, 3, pw_text_printable(why, sizeof why, pw_str_of(outcome->why)));
    pw_db_bind_int(statement, 4, outcome->dead_before_ms);
    pw_db_bind_int(statement, 5, outcome->kind == PW_OUTCOME_REFUSED);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement); /* the text is not ours to keep beyond this function */
    if (status != PW_OK || sqlite3_changes(pw_db_handle(db)) == 0)
        return status;
    status = pw_db_prepare(db, is_dead_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery->delivery_id);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        outcome->dead += sqlite3_column_int(statement, 0) != 0;
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_outbox_record(struct pw_db *db, const struct pw_delivery *list,
                                struct pw_outcome *outcome, struct pw_error *err)
{
    enum pw_status status = pw_db_begin(db, err);

    outcome->dead = outcome->gone = 0;
    if (status != PW_OK)
        return status;
    for (const struct pw_delivery *each = list; each != NULL && status == PW_OK;
         each = each->next) {
        int before = sqlite3_total_changes(pw_db_handle(db));

        if (outcome->kind == PW_OUTCOME_DELIVERED)
            status = record_delivered(db, each, outcome, err);
        else if (each->reminder > 0)
            status = run(db, not_reminded_sql, each->delivery_id, outcome->next_attempt_at_ms, err);
        else
            status = record_failed(db, each, outcome, err);
        outcome->gone += sqlite3_total_changes(pw_db_handle(db)) == before;
    }
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    return status;
}

enum pw_status pw_outbox_turn_off(struct pw_db *db, const char *hook, const char *target,
                                  const char *reason, int64_t now_ms, struct pw_error *err)
{
    char printable[WHY_MAX_BYTES];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, turn_off_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    pw_db_bind_text(statement, 2, target != NULL ? target : "");
    pw_db_bind_text(statement, 3,
                    pw_text_printable(printable, sizeof printable, pw_str_of(reason)));
    pw_db_bind_int(statement, 4, now_ms);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement);
    if (status == PW_OK)
        status = pw_db_prepare(db, pause_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement);
    return status;
}

enum pw_status pw_outbox_turn_on(struct pw_db *db, struct pw_error *err)
{
    return run(db, turn_on_sql, 0, 0, err);
}

/* New rules --------------------------------------------------------------------------------- */

struct reminder {
    int64_t delivery_id;
    int64_t remind_at_ms; /* PW_TIME_NONE = never */
};

struct reminders {
    struct reminder *items;
    size_t count, capacity;
};

static bool add_reminder(struct reminders *list, struct reminder item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct reminder *items = realloc(list->items, capacity * sizeof *items);

        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return true;
}

/* Whether a reminder stays when it is: it is what the rules ask for, or is put off a little, being
 * made at this moment or muted. */
static bool is_fine(int64_t is_ms, int64_t ought_ms, int64_t now_ms)
{
    return is_ms == ought_ms || (is_ms != PW_TIME_NONE && ought_ms != PW_TIME_NONE &&
                                 ought_ms <= now_ms && is_ms <= now_ms + PUT_OFF_MS);
}

/* The reminders that the rules now ask for and the table does not say so. */
static enum pw_status find_reminders(struct pw_db *db, const struct pw_router *router,
                                     int64_t now_ms, struct reminders *list, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, open_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        char *hook = pw_str_dup(pw_db_column_str(statement, 1));
        char *rule = pw_str_dup(pw_db_column_str(statement, 2));
        int64_t told_ms = sqlite3_column_int64(statement, 3);
        int64_t is_ms = pw_db_column_int_or(statement, 4, PW_TIME_NONE), repeat_ms = 0, ought_ms;

        if (hook != NULL && rule != NULL)
            repeat_ms = router->repeat_ms(router, hook, rule);
        ought_ms = repeat_ms > 0 ? told_ms + repeat_ms : PW_TIME_NONE;
        if (hook == NULL || rule == NULL ||
            (!is_fine(is_ms, ought_ms, now_ms) &&
             !add_reminder(list, (struct reminder){sqlite3_column_int64(statement, 0), ought_ms})))
            status = pw_fail_nomem(err);
        free(hook);
        free(rule);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_outbox_look_again(struct pw_db *db, struct pw_error *err)
{
    return run(db, look_again_sql, 0, 0, err);
}

enum pw_status pw_outbox_follow(struct pw_db *db, const struct pw_router *router, int64_t now_ms,
                                struct pw_error *err)
{
    struct reminders list = {0};
    enum pw_status status = pw_db_begin(db, err);

    if (status != PW_OK)
        return status;
    status = find_reminders(db, router, now_ms, &list, err);
    for (size_t i = 0; i < list.count && status == PW_OK; i++)
        status =
            run(db, set_reminder_sql, list.items[i].delivery_id, list.items[i].remind_at_ms, err);
    if (status == PW_OK)
        status = pw_outbox_look_again(db, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    free(list.items);
    return status;
}

/* Orphans ----------------------------------------------------------------------------------- */

static bool is_one_of(struct pw_str hook, const char *const *hooks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pw_str_is(hook, hooks[i]))
            return true;
    }
    return false;
}

enum pw_status pw_outbox_orphans(struct pw_db *db, const char *const *hooks, size_t count,
                                 int64_t *total, char *text, size_t max_bytes, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    size_t used = 0;
    enum pw_status status;

    *total = 0;
    if (max_bytes > 0)
        text[0] = '\0';
    status = pw_db_prepare(db, sql_pending_by_hook, &statement, err);
    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        struct pw_str hook = pw_db_column_str(statement, 0);
        int64_t pending = sqlite3_column_int64(statement, 1);
        char line[256];
        int len;

        if (is_one_of(hook, hooks, count))
            continue;
        *total += pending;
        len = snprintf(line, sizeof line, "%.*s: %lld\n", (int)(hook.len > 200 ? 200 : hook.len),
                       hook.data, (long long)pending);
        /* Whole lines only: what does not fit is still in the total. */
        if (len > 0 && used + (size_t)len < max_bytes) {
            memcpy(text + used, line, (size_t)len + 1);
            used += (size_t)len;
        }
    }
    sqlite3_reset(statement);
    return status;
}

/* The state of the world ------------------------------------------------------------------- */

static const char standing_sql[] =
    "SELECT " PW_DELIVERY_COLUMNS " FROM delivery AS d CROSS JOIN event AS e USING (event_id)"
    "  JOIN source AS s ON s.source_id = e.source_id"
    "  LEFT JOIN node AS n ON n.node_id = e.node_id"
    " WHERE d.delivery_id IN"
    "  (SELECT d.delivery_id FROM node AS n CROSS JOIN event AS e ON e.node_id = n.node_id"
    "     CROSS JOIN delivery AS d ON d.event_id = e.event_id AND d.hook = ?1"
    "    WHERE d.state = 'delivered' AND ((" PW_IS_OPEN ") OR (" PW_IS_STILL_MISSING ")"
    "      OR (" PW_IS_STILL_FLAPPING "))   UNION ALL"
    "   SELECT d.delivery_id FROM source AS s"
    "     CROSS JOIN event AS e ON e.source_id = s.source_id AND e.node_id IS NULL"
    "      AND e.type = 'io.patchwatch.source.failing'"
    "     CROSS JOIN delivery AS d ON d.event_id = e.event_id AND d.hook = ?1"
    "    WHERE s.failing_told_at IS NOT NULL AND d.state = 'delivered'"
    "      AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.source_id = s.source_id"
    "        AND l.node_id IS NULL AND l.type = 'io.patchwatch.source.failing'"
    "        AND l.event_id > e.event_id)"
    "   UNION ALL"
    "   SELECT d.delivery_id FROM delivery AS d INDEXED BY delivery_told"
    "     CROSS JOIN event AS e ON e.event_id = d.event_id"
    "    WHERE d.hook = ?1 AND d.state = 'delivered' AND d.delivered_at >= ?2"
    "      AND e.type IN ('io.patchwatch.node.compliant', 'io.patchwatch.node.settled',"
    "                     'io.patchwatch.node.returned', 'io.patchwatch.source.recovered')"
    "      AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id = e.node_id"
    "        AND l.event_id > e.event_id AND +l.type IN ('io.patchwatch.node.non_compliant',"
    "            'io.patchwatch.node.missing', 'io.patchwatch.node.flapping',"
    "            'io.patchwatch.node.settled')))"
    " AND d.delivery_id > ?3 ORDER BY d.delivery_id LIMIT ?4";

enum pw_status pw_outbox_standing(struct pw_db *db, const char *hook, int64_t ended_since_ms,
                                  int64_t after_id, size_t max, struct pw_delivery **out,
                                  int64_t *last_id, struct pw_error *err)
{
    struct pw_delivery **end = out;
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, standing_sql, &statement, err);
    size_t count = 0;
    bool row;

    *out = NULL;
    *last_id = 0;
    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    pw_db_bind_int(statement, 2, ended_since_ms);
    pw_db_bind_int(statement, 3, after_id);
    pw_db_bind_int(statement, 4, max > INT32_MAX ? INT32_MAX : (int64_t)max);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        *end = pw_delivery_read(statement);
        if (*end == NULL) {
            status = pw_fail_nomem(err);
            break;
        }
        (*end)->reminder = 0;
        count++;
        *last_id = (*end)->delivery_id;
        end = &(*end)->next;
    }
    (void)sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (count < max)
        *last_id = 0;
    if (status != PW_OK) {
        pw_delivery_free(*out);
        *out = NULL;
    }
    return status;
}
