/* Claiming: what is due now, as attempts. Order: of the pending deliveries of one hook, those of
 * one node (or, for source events, of one source) go one after the other by event_id, and after a
 * reminder of it that is being made; what is dead, dropped or muted holds up nobody, nor does an
 * escalation whose time has not come. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/muting.h"
#include "store/outbox_row.h"
#include "store/owed.h"

enum {
    RELEASE_ROWS = 500, /* looked at in one claim, that no job takes too long */
    MUTE_ROWS = 500,
    LOOK_AGAIN_MS = 60000
};

/* Backoff never asks for more than a day, so that a later time than that stems from a clock that
 * was ahead when it was written: it counts as due now. Waiting for it might take years. */
#define CLOCK_JUMP_MS "86400000"
#define MAX_GROUP_WAIT_MS "3600000" /* as alerts.yaml allows */

/* No older delivery of the same hook and node is pending, in flight included. Looks only at the
 * events of that node that are not older than the hook's oldest pending one; the CROSS JOINs keep
 * SQLite from going through the whole queue instead. */
#define IS_HEAD_OF_LINE                                                                            \
    "NOT EXISTS (SELECT 1 FROM event AS x"                                                         \
    "  CROSS JOIN delivery AS y ON y.event_id = x.event_id AND y.hook = ?1"                        \
    "  WHERE x.node_id IS e.node_id AND x.source_id = e.source_id"                                 \
    "    AND x.event_id < e.event_id"                                                              \
    "    AND x.event_id >= (SELECT min(z.event_id) FROM delivery AS z"                             \
    "                        WHERE z.hook = ?1 AND z.state = 'pending')"                           \
    "    AND y.state = 'pending' AND NOT (y.wait IS 'escalation' AND y.attempts = 0))"             \
    " AND NOT EXISTS (SELECT 1 FROM delivery AS r INDEXED BY delivery_reminding"                   \
    "  CROSS JOIN event AS x ON x.event_id = r.event_id"                                           \
    "  WHERE r.hook = ?1 AND r.reminding_at IS NOT NULL"                                           \
    "    AND x.node_id IS e.node_id AND x.source_id = e.source_id)"

/* Somebody works on the node's problem. */
#define IS_ACKED                                                                                   \
    "EXISTS (SELECT 1 FROM ack AS a WHERE a.node_id = e.node_id AND a.ended_at IS NULL)"

/* ?2 now, ?3 whether groups are due. A time that lies far ahead is believed where it is waited for
 * on purpose, unless the row itself was written by a clock that was ahead. */
#define IS_DUE                                                                                     \
    "d.state = 'pending' AND d.hook = ?1 AND d.claimed_at IS NULL AND d.held_by IS NULL"           \
    " AND (d.next_attempt_at <= ?2 OR d.created_at > ?2 + " CLOCK_JUMP_MS                          \
    "      OR (d.next_attempt_at > ?2 + " CLOCK_JUMP_MS                                            \
    "          AND (d.wait_until IS NULL OR d.next_attempt_at > d.wait_until))"                    \
    "      OR (d.wait IS 'group' AND (?3 OR d.wait_until > ?2 + " MAX_GROUP_WAIT_MS ")))"          \
    " AND NOT (d.wait IS 'escalation' AND " IS_ACKED ") AND " IS_HEAD_OF_LINE

#define FROM_QUEUE                                                                                 \
    " FROM delivery AS d INDEXED BY delivery_queue"                                                \
    " CROSS JOIN event AS e ON e.event_id = d.event_id"                                            \
    " JOIN source AS s ON s.source_id = e.source_id"                                               \
    " LEFT JOIN node AS n ON n.node_id = e.node_id"

static const char due_sql[] =
    "SELECT " PW_DELIVERY_COLUMNS FROM_QUEUE " WHERE " IS_DUE " ORDER BY d.event_id LIMIT 1";
static const char companions_sql[] =
    "SELECT " PW_DELIVERY_COLUMNS FROM_QUEUE " WHERE " IS_DUE
    " AND d.rule = ?5 AND d.group_key = ?6 AND d.delivery_id <> ?7 ORDER BY d.event_id LIMIT ?8";
static const char claim_sql[] =
    "UPDATE delivery SET attempts = attempts + 1, claimed_at = ?2, last_attempt_at = ?2,"
    " first_attempt_at = min(coalesce(first_attempt_at, ?2), ?2) WHERE delivery_id = ?1";
static const char next_due_sql[] =
    "SELECT d.next_attempt_at FROM delivery AS d INDEXED BY delivery_waiting"
    "  CROSS JOIN event AS e ON e.event_id = d.event_id"
    " WHERE d.state = 'pending' AND d.claimed_at IS NULL AND d.hook = ?1 AND d.held_by IS NULL"
    "   AND d.next_attempt_at > ?2 AND " IS_HEAD_OF_LINE " ORDER BY d.next_attempt_at LIMIT 1";

/* Of a machine that is missing nobody knows whether the problem is still there. */
#define IS_TO_BE_REMINDED                                                                          \
    " FROM delivery AS d INDEXED BY delivery_remind"                                               \
    " CROSS JOIN event AS e ON e.event_id = d.event_id"                                            \
    " JOIN source AS s ON s.source_id = e.source_id"                                               \
    " JOIN node AS n ON n.node_id = e.node_id AND n.missing_since IS NULL"                         \
    "  AND n.flapping_since IS NULL"                                                               \
    " WHERE d.hook = ?1 AND (d.remind_at <= ?2 OR (d.remind_at IS NOT NULL"                        \
    "      AND d.last_attempt_at > ?2 + " CLOCK_JUMP_MS "))"                                       \
    "  AND d.state = 'delivered' AND NOT " IS_ACKED
static const char remind_sql[] = "SELECT " PW_DELIVERY_COLUMNS IS_TO_BE_REMINDED " LIMIT 1";
static const char remind_companions_sql[] =
    "SELECT " PW_DELIVERY_COLUMNS IS_TO_BE_REMINDED
    " AND d.rule = ?5 AND d.group_key = ?6 AND d.delivery_id <> ?7 ORDER BY d.event_id LIMIT ?8";
static const char lease_sql[] =
    "UPDATE delivery SET attempts = attempts + 1, remind_at = ?3, last_attempt_at = ?2,"
    " reminding_at = ?2 WHERE delivery_id = ?1";
/* The last attempt is no later than now, or a reminder would be due until the clock has caught up
 * with the one that was ahead. */
static const char postpone_sql[] =
    "UPDATE delivery SET remind_at = ?2, last_attempt_at = min(last_attempt_at, ?3)"
    " WHERE delivery_id = ?1";

/* Earliest of what else wakes a hook; the second: a reminder that is due but held up. */
static const char wake_sql[] =
    "SELECT (SELECT min(wait_until) FROM delivery WHERE hook = ?1 AND state = 'muted'"
    "         AND wait = 'mute'),"
    "       (SELECT min(remind_at) FROM delivery WHERE hook = ?1 AND remind_at IS NOT NULL"
    "         AND remind_at > ?2),"
    "       (SELECT min(until_at) FROM ack WHERE ended_at IS NULL),"
    "       (SELECT 1 FROM delivery WHERE hook = ?1 AND remind_at <= ?2 LIMIT 1)";

static const char off_sql[] = "SELECT target FROM hook WHERE name = ?1";
static const char on_sql[] = "DELETE FROM hook WHERE name = ?1";
static const char expire_sql[] = "UPDATE ack SET ended_at = until_at, ended_by = 'expiry'"
                                 " WHERE ended_at IS NULL AND until_at <= ?1";

/* Whose mute may be over. What ended while it was muted no longer waits, see owe.c: all that are
 * found here still stand. */
static const char muted_sql[] =
    "SELECT d.delivery_id, e.data FROM delivery AS d INDEXED BY delivery_muted"
    "  CROSS JOIN event AS e ON e.event_id = d.event_id"
    " WHERE d.hook = ?1 AND d.state = 'muted' AND d.wait = 'mute'"
    "   AND (d.wait_until <= ?2 OR d.wait_until > ?2 + " CLOCK_JUMP_MS ") LIMIT ?3";
/* An escalation that is muted, and was never tried, is known by its time to come: next_attempt_at
 * is later than created_at. */
#define IS_ESCALATION "attempts = 0 AND next_attempt_at > created_at"
static const char mute_sql[] =
    "UPDATE delivery SET state = 'muted', reason = ?2, wait = CASE WHEN ?4 THEN 'mute' END,"
    " wait_until = CASE WHEN ?4 THEN ?3 END, next_attempt_at = CASE"
    "  WHEN state = 'muted' OR (wait IS 'escalation' AND attempts = 0) THEN next_attempt_at"
    "  ELSE created_at END WHERE delivery_id = ?1";
static const char unmute_sql[] =
    "UPDATE delivery SET state = 'pending', reason = NULL, first_attempt_at = NULL,"
    " wait = CASE WHEN " IS_ESCALATION " THEN 'escalation' END,"
    " wait_until = CASE WHEN " IS_ESCALATION " THEN max(next_attempt_at, ?2) END,"
    " next_attempt_at = CASE WHEN " IS_ESCALATION " THEN max(next_attempt_at, ?2) ELSE ?2 END"
    " WHERE delivery_id = ?1";

/* A problem that nobody mutes is told after the end of the one before it, muted or not: the end
 * must not be the last word, and without it the problem would look like the old one. */
#define ENDS                                                                                       \
    "('io.patchwatch.node.compliant', 'io.patchwatch.node.settled',"                               \
    " 'io.patchwatch.node.returned', 'io.patchwatch.source.recovered')"
static const char has_muted_sql[] =
    "SELECT 1 FROM delivery AS d INDEXED BY delivery_muted"
    " WHERE d.hook = ?1 AND d.state = 'muted' AND d.wait = 'mute' LIMIT 1";
static const char release_ends_sql[] =
    "UPDATE delivery SET state = 'pending', reason = NULL, wait = NULL, wait_until = NULL,"
    " next_attempt_at = ?2 WHERE delivery_id IN"
    "  (SELECT y.delivery_id FROM event AS e CROSS JOIN event AS x"
    "     ON x.node_id IS e.node_id AND x.source_id = e.source_id AND x.event_id < e.event_id"
    "    CROSS JOIN delivery AS y ON y.event_id = x.event_id AND y.hook = ?3"
    "    WHERE e.event_id = ?1 AND y.state = 'muted' AND y.wait = 'mute' AND +x.type IN " ENDS ")";
static const char newer_sql[] =
    "SELECT x.data FROM event AS e CROSS JOIN event AS x"
    "   ON x.node_id IS e.node_id AND x.source_id = e.source_id AND x.event_id > e.event_id"
    " CROSS JOIN delivery AS y ON y.event_id = x.event_id AND y.hook = ?2"
    " WHERE e.event_id = ?1 AND y.state = 'pending' AND y.held_by IS NULL"
    "   AND +x.type NOT IN " ENDS " ORDER BY x.event_id LIMIT 20";

/* A mass change that is to be told only if it lasts, and of which nothing is left. */
static const char end_shifts_sql[] =
    "UPDATE delivery SET state = 'dropped', wait = NULL, wait_until = NULL,"
    " reason = 'over before it was due' WHERE delivery_id IN"
    "  (SELECT d.delivery_id FROM event AS f INDEXED BY event_by_type"
    "    CROSS JOIN delivery AS d ON d.event_id = f.event_id AND d.hook = ?1"
    "    WHERE f.type = 'io.patchwatch.fleet.shift' AND d.state = 'pending' AND d.attempts = 0"
    "      AND d.wait IS 'escalation' AND d.next_attempt_at <= ?2"
    "      AND NOT EXISTS (SELECT 1 FROM event AS e INDEXED BY event_by_sweep"
    "        CROSS JOIN delivery AS t ON t.event_id = e.event_id AND t.hook = d.hook"
    "        CROSS JOIN node AS n ON n.node_id = e.node_id"
    "        WHERE e.sweep_id BETWEEN json_extract(f.data, '$.data.shift.first_sweep')"
    "                         AND f.sweep_id"
    "          AND t.reason = '" PW_SHIFT_REASON "' || d.event_id"
    "          AND ((" PW_IS_OPEN ") OR (" PW_IS_STILL_MISSING "))))";

struct claiming {
    struct pw_db *db;
    struct pw_claim *claim;
    struct pw_error *err;
    bool muting;    /* something is muted by somebody */
    bool has_muted; /* something of the hook's waits for the end of a mute */
    bool more;      /* there is more to be done at once */
    size_t muted, attempts;
    struct pw_event_copy copy;
    struct pw_delivery **end;
};

static enum pw_status run_with(struct claiming *c, const char *sql, int64_t id, int64_t time_ms,
                               int64_t second_ms)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, sql, &statement, c->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, id);
    if (sqlite3_bind_parameter_count(statement) > 1)
        pw_db_bind_int(statement, 2, time_ms);
    if (sqlite3_bind_parameter_count(statement) > 2)
        pw_db_bind_int(statement, 3, second_ms);
    return pw_db_run(c->db, statement, c->err);
}

/* Whether the hook is off, or on again since it has another target. */
static enum pw_status look_whether_off(struct claiming *c)
{
    const char *target = c->claim->target != NULL ? c->claim->target : "";
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, off_sql, &statement, c->err);
    bool row, is_other = false;

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, c->claim->hook);
    status = pw_db_step(c->db, statement, &row, c->err);
    if (status == PW_OK && row) {
        is_other = !pw_str_is(pw_db_column_str(statement, 0), target);
        c->claim->is_off = !is_other;
    }
    (void)sqlite3_reset(statement);
    if (status != PW_OK || !is_other)
        return status;
    status = pw_db_prepare(c->db, on_sql, &statement, c->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, c->claim->hook);
    return pw_db_run(c->db, statement, c->err);
}

/* Mutes --------------------------------------------------------------------------------------- */

static enum pw_status judge(struct claiming *c, struct pw_str json, struct pw_mute_verdict *verdict)
{
    struct pw_error ignored;

    *verdict = (struct pw_mute_verdict){0};
    if (!c->muting)
        return PW_OK;
    if (pw_event_read(&c->copy, json, &ignored) != PW_OK)
        return PW_OK; /* what cannot be read cannot be muted: better told than lost */
    return pw_muting_judge(c->db, c->claim->router, &c->copy.event, c->claim->now_ms, verdict,
                           c->err);
}

/* waits: what it tells of may still be told after the mute. */
static enum pw_status write_mute(struct claiming *c, int64_t delivery_id,
                                 const struct pw_mute_verdict *verdict, bool waits)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, mute_sql, &statement, c->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    pw_db_bind_text(statement, 2, verdict->reason);
    pw_db_bind_int(statement, 3, verdict->until_ms);
    pw_db_bind_int(statement, 4, waits);
    status = pw_db_run(c->db, statement, c->err);
    sqlite3_clear_bindings(statement);
    return status;
}

struct muted_row {
    int64_t delivery_id;
    struct pw_mute_verdict verdict;
};

static enum pw_status read_muted(struct claiming *c, struct muted_row *rows, size_t *count)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, muted_sql, &statement, c->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, c->claim->hook);
    pw_db_bind_int(statement, 2, c->claim->now_ms);
    pw_db_bind_int(statement, 3, RELEASE_ROWS);
    while ((status = pw_db_step(c->db, statement, &row, c->err)) == PW_OK && row) {
        rows[*count].delivery_id = sqlite3_column_int64(statement, 0);
        status = judge(c, pw_db_column_str(statement, 1), &rows[*count].verdict);
        if (status != PW_OK)
            break;
        (*count)++;
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status look_whether_muted(struct claiming *c)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, has_muted_sql, &statement, c->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, c->claim->hook);
    status = pw_db_step(c->db, statement, &c->has_muted, c->err);
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status end_shifts(struct claiming *c)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, end_shifts_sql, &statement, c->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, c->claim->hook);
    pw_db_bind_int(statement, 2, c->claim->now_ms);
    return pw_db_run(c->db, statement, c->err);
}

/* *released: muted ends go before the problem. */
static enum pw_status release_ends(struct claiming *c, const struct pw_delivery *problem,
                                   bool *released)
{
    sqlite3_stmt *statement;
    enum pw_status status;

    *released = false;
    if (!c->has_muted)
        return PW_OK;
    status = pw_db_prepare(c->db, release_ends_sql, &statement, c->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, problem->event_id);
    pw_db_bind_int(statement, 2, c->claim->now_ms);
    pw_db_bind_text(statement, 3, c->claim->hook);
    status = pw_db_run(c->db, statement, c->err);
    *released = status == PW_OK && sqlite3_changes(pw_db_handle(c->db)) > 0;
    return status;
}

/* *is_awaited: a newer problem of the same node, which nobody mutes, waits for this end. */
static enum pw_status look_whether_awaited(struct claiming *c, const struct pw_delivery *end,
                                           bool *is_awaited)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, newer_sql, &statement, c->err);
    bool row;

    *is_awaited = false;
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, end->event_id);
    pw_db_bind_text(statement, 2, c->claim->hook);
    while (!*is_awaited && (status = pw_db_step(c->db, statement, &row, c->err)) == PW_OK && row) {
        struct pw_mute_verdict verdict;

        status = judge(c, pw_db_column_str(statement, 0), &verdict);
        if (status != PW_OK)
            break;
        *is_awaited = !verdict.is_muted;
    }
    (void)sqlite3_reset(statement);
    return status;
}

/* Lets go what is no longer muted. */
static enum pw_status release_muted(struct claiming *c)
{
    struct muted_row *rows = malloc(RELEASE_ROWS * sizeof *rows);
    size_t count = 0;
    enum pw_status status;

    if (rows == NULL)
        return pw_fail_nomem(c->err);
    status = read_muted(c, rows, &count);
    for (size_t i = 0; i < count && status == PW_OK; i++) {
        if (rows[i].verdict.is_muted)
            status = write_mute(c, rows[i].delivery_id, &rows[i].verdict, true);
        else
            status = run_with(c, unmute_sql, rows[i].delivery_id, c->claim->now_ms, 0);
    }
    c->more = c->more || count == RELEASE_ROWS;
    free(rows);
    return status;
}

/* Attempts ------------------------------------------------------------------------------------ */

/* What one kind of attempt is made of. */
struct queue {
    const char *first_sql, *companions_sql;
    bool is_reminder;
};
static const struct queue queue_due = {due_sql, companions_sql, false};
static const struct queue queue_reminders = {remind_sql, remind_companions_sql, true};

static enum pw_status take(struct claiming *c, const struct queue *queue,
                           struct pw_delivery *delivery)
{
    delivery->attempts++;
    if (!queue->is_reminder) {
        delivery->reminder = 0;
        return run_with(c, claim_sql, delivery->delivery_id, c->claim->now_ms, 0);
    }
    delivery->reminder++;
    return run_with(c, lease_sql, delivery->delivery_id, c->claim->now_ms,
                    c->claim->now_ms + c->claim->lease_ms);
}

static bool is_one_of_ends(const char *type)
{
    static const char *const ends[] = {"io.patchwatch.node.compliant", "io.patchwatch.node.settled",
                                       "io.patchwatch.node.returned",
                                       "io.patchwatch.source.recovered"};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (strcmp(type, ends[i]) == 0)
            return true;
    }
    return false;
}

static enum pw_status hold_back(struct claiming *c, const struct queue *queue,
                                const struct pw_delivery *delivery,
                                const struct pw_mute_verdict *verdict, bool waits)
{
    c->muted++;
    if (queue->is_reminder)
        return run_with(c, postpone_sql, delivery->delivery_id, verdict->until_ms,
                        c->claim->now_ms);
    c->has_muted = c->has_muted || waits;
    return write_mute(c, delivery->delivery_id, verdict, waits);
}

/* Takes delivery into the list at *end, or holds it back. */
static enum pw_status take_unless_muted(struct claiming *c, const struct queue *queue,
                                        struct pw_delivery *delivery, struct pw_delivery ***end)
{
    struct pw_mute_verdict verdict;
    enum pw_status status = judge(c, delivery->event_json, &verdict);
    bool is_end = is_one_of_ends(delivery->type);
    bool waits = verdict.is_muted && pw_event_outlives_mute(&c->copy.event);
    bool goes_first = false;

    if (status == PW_OK && verdict.is_muted && is_end && !queue->is_reminder) {
        bool is_awaited;

        status = look_whether_awaited(c, delivery, &is_awaited);
        verdict.is_muted = !is_awaited;
    } else if (status == PW_OK && !verdict.is_muted && !is_end && !queue->is_reminder) {
        status = release_ends(c, delivery, &goes_first);
    }
    if (status == PW_OK && verdict.is_muted)
        status = hold_back(c, queue, delivery, &verdict, waits);
    else if (status == PW_OK && !goes_first) {
        status = take(c, queue, delivery);
        if (status == PW_OK) {
            **end = delivery;
            *end = &delivery->next;
            return PW_OK;
        }
    }
    pw_delivery_free(delivery);
    return status;
}

static void bind_queue(const struct claiming *c, sqlite3_stmt *statement)
{
    pw_db_bind_text(statement, 1, c->claim->hook);
    pw_db_bind_int(statement, 2, c->claim->now_ms);
    if (sqlite3_bind_parameter_count(statement) >= 3)
        pw_db_bind_int(statement, 3, c->claim->groups_are_due);
}

/* The first that is due, NULL where there is none, and its group (freed by the caller). */
static enum pw_status read_first(struct claiming *c, const struct queue *queue,
                                 struct pw_delivery **out, char **group_key)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, queue->first_sql, &statement, c->err);
    bool row;

    *out = NULL;
    *group_key = NULL;
    if (status != PW_OK)
        return status;
    bind_queue(c, statement);
    status = pw_db_step(c->db, statement, &row, c->err);
    if (status == PW_OK && row) {
        struct pw_str key = pw_db_column_str(statement, PW_DELIVERY_COLUMN_GROUP);

        *out = pw_delivery_read(statement);
        if (key.data != NULL)
            *group_key = pw_str_dup(key);
        if (*out == NULL || (key.data != NULL && *group_key == NULL))
            status = pw_fail_nomem(c->err);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status read_companions(struct claiming *c, const struct queue *queue,
                                      const struct pw_delivery *first, const char *group_key,
                                      int64_t max, struct pw_delivery **out)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, queue->companions_sql, &statement, c->err);
    bool row;

    if (status != PW_OK)
        return status;
    bind_queue(c, statement);
    pw_db_bind_text(statement, 5, first->rule);
    pw_db_bind_text(statement, 6, group_key);
    pw_db_bind_int(statement, 7, first->delivery_id);
    pw_db_bind_int(statement, 8, max);
    while ((status = pw_db_step(c->db, statement, &row, c->err)) == PW_OK && row) {
        *out = pw_delivery_read(statement);
        if (*out == NULL) {
            status = pw_fail_nomem(c->err);
            break;
        }
        out = &(*out)->next;
    }
    (void)sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

/* One attempt into the list; *found false: nothing is due. */
static enum pw_status claim_one(struct claiming *c, const struct queue *queue, bool *found)
{
    const struct pw_router *router = c->claim->router;
    struct pw_delivery *first, *companions = NULL, *taken = NULL, **end = &taken;
    char *group_key;
    int64_t group_max;
    enum pw_status status = read_first(c, queue, &first, &group_key);

    *found = first != NULL;
    if (status != PW_OK || first == NULL)
        goto out;
    group_max = group_key != NULL && router != NULL ? router->group_max(router, first->rule) : 1;
    if (group_max > 1)
        status = read_companions(c, queue, first, group_key, group_max - 1, &companions);
    if (status == PW_OK) {
        status = take_unless_muted(c, queue, first, &end);
        first = NULL;
    }
    while (companions != NULL && status == PW_OK) {
        struct pw_delivery *each = companions;

        companions = each->next;
        each->next = NULL;
        status = take_unless_muted(c, queue, each, &end);
    }
    if (taken != NULL) {
        *c->end = taken;
        c->end = &taken->next_attempt;
        c->attempts++;
    }
out:
    pw_delivery_free(first);
    pw_delivery_free(companions);
    free(group_key);
    return status;
}

static enum pw_status claim_queue(struct claiming *c, const struct queue *queue)
{
    struct pw_delivery *left;
    char *group_key;
    enum pw_status status;
    bool found = true;

    while (found && c->attempts < c->claim->max_attempts && c->muted < MUTE_ROWS) {
        status = claim_one(c, queue, &found);
        if (status != PW_OK)
            return status;
    }
    if (!found)
        return PW_OK;
    status = read_first(c, queue, &left, &group_key);
    c->more = c->more || left != NULL;
    pw_delivery_free(left);
    free(group_key);
    return status;
}

/* What is next ------------------------------------------------------------------------------ */

static void earlier(int64_t *at_ms, int64_t candidate_ms)
{
    if (candidate_ms != PW_TIME_NONE && (*at_ms == PW_TIME_NONE || candidate_ms < *at_ms))
        *at_ms = candidate_ms;
}

static enum pw_status find_next_due(struct claiming *c)
{
    int64_t *at_ms = &c->claim->next_due_ms;
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(c->db, next_due_sql, &statement, c->err);
    bool row;

    if (status != PW_OK)
        return status;
    bind_queue(c, statement);
    status = pw_db_step(c->db, statement, &row, c->err);
    if (status == PW_OK && row)
        earlier(at_ms, sqlite3_column_int64(statement, 0));
    (void)sqlite3_reset(statement);
    if (status == PW_OK)
        status = pw_db_prepare(c->db, wake_sql, &statement, c->err);
    if (status != PW_OK)
        return status;
    bind_queue(c, statement);
    status = pw_db_step(c->db, statement, &row, c->err);
    if (status == PW_OK && row) {
        for (int i = 0; i < 3; i++)
            earlier(at_ms, pw_db_column_int_or(statement, i, PW_TIME_NONE));
        if (sqlite3_column_type(statement, 3) != SQLITE_NULL)
            earlier(at_ms, c->claim->now_ms + LOOK_AGAIN_MS);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status claim_all(struct claiming *c)
{
    struct pw_claim *claim = c->claim;
    enum pw_status status = look_whether_off(c);

    if (status != PW_OK || claim->is_off)
        return status;
    status = run_with(c, expire_sql, claim->now_ms, 0, 0);
    if (status == PW_OK)
        status = pw_muting_is_on(c->db, claim->router, claim->now_ms, &c->muting, c->err);
    if (status == PW_OK)
        status = release_muted(c);
    if (status == PW_OK)
        status = look_whether_muted(c);
    if (status == PW_OK)
        status = end_shifts(c);
    if (status == PW_OK)
        status = claim_queue(c, &queue_due);
    if (status == PW_OK)
        status = claim_queue(c, &queue_reminders);
    if (status == PW_OK && c->more)
        claim->next_due_ms = claim->now_ms;
    else if (status == PW_OK)
        status = find_next_due(c);
    return status;
}

enum pw_status pw_outbox_claim(struct pw_db *db, struct pw_claim *claim, struct pw_error *err)
{
    struct claiming c = {.db = db, .claim = claim, .err = err, .end = &claim->list};
    enum pw_status status;

    claim->list = NULL;
    claim->next_due_ms = PW_TIME_NONE;
    claim->is_off = false;
    status = pw_db_begin(db, err);
    if (status != PW_OK)
        return status;
    status = claim_all(&c);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    pw_event_copy_free(&c.copy);
    if (status == PW_OK)
        return PW_OK;
    pw_db_rollback(db);
    pw_claimed_free(claim->list);
    claim->list = NULL;
    claim->next_due_ms = PW_TIME_NONE;
    return status;
}
