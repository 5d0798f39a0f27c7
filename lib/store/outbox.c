/* The delivery table as a queue. Order: of the pending deliveries of one hook, those of one node
 * (or, for source events, of one source) go one after the other by event_id; what is dead, dropped
 * or muted holds up nobody. */
#include "store/outbox.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { WHY_MAX_BYTES = 500 };

/* Backoff never asks for more than a day, so that a later time than that stems from a clock that
 * was ahead when it was written: it counts as due now. Waiting for it might take years. */
#define CLOCK_JUMP_MS "86400000"

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
    "    AND y.state = 'pending')"

static const char sql_add[] =
    "INSERT INTO delivery (event_id, hook, rule, created_at, next_attempt_at)"
    " VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (event_id, hook) DO NOTHING";

static const char sql_recover[] = "UPDATE delivery SET claimed_at = NULL, next_attempt_at = ?1"
                                  " WHERE state = 'pending' AND claimed_at IS NOT NULL";

/* Stops at the first ?3 rows, going through the queue in its order. */
static const char sql_due[] =
    "SELECT d.delivery_id, d.event_id, d.attempts, d.created_at, e.uid, d.hook, d.rule, e.type,"
    "       s.name, n.node_key,"
    "       CASE WHEN json_valid(e.data) THEN json_extract(e.data, '$.data.node.name') END,"
    "       e.from_status, e.to_status, e.data"
    "  FROM delivery AS d INDEXED BY delivery_queue"
    "  CROSS JOIN event AS e ON e.event_id = d.event_id"
    "  JOIN source AS s ON s.source_id = e.source_id"
    "  LEFT JOIN node AS n ON n.node_id = e.node_id"
    " WHERE d.state = 'pending' AND d.hook = ?1 AND d.claimed_at IS NULL"
    "   AND d.held_by IS NULL AND (d.next_attempt_at <= ?2 OR d.next_attempt_at > ?2 "
    "+ " CLOCK_JUMP_MS ")"
    "   AND " IS_HEAD_OF_LINE " ORDER BY d.event_id LIMIT ?3";
enum {
    DUE_DELIVERY_ID,
    DUE_EVENT_ID,
    DUE_ATTEMPTS,
    DUE_CREATED_AT,
    DUE_FIRST_TEXT,
    DUE_TEXTS = 10
};

static const char sql_claim[] =
    "UPDATE delivery SET attempts = attempts + 1, claimed_at = ?2, last_attempt_at = ?2"
    " WHERE delivery_id = ?1";

static const char sql_next_due[] =
    "SELECT d.next_attempt_at FROM delivery AS d INDEXED BY delivery_waiting"
    "  CROSS JOIN event AS e ON e.event_id = d.event_id"
    " WHERE d.state = 'pending' AND d.claimed_at IS NULL AND d.hook = ?1"
    "   AND d.next_attempt_at > ?2 AND " IS_HEAD_OF_LINE " ORDER BY d.next_attempt_at LIMIT 1";

static const char sql_delivered[] =
    "UPDATE delivery SET state = 'delivered', delivered_at = ?2, claimed_at = NULL,"
    " last_error = NULL WHERE delivery_id = ?1 AND state <> 'delivered'";
static const char sql_retry[] =
    "UPDATE delivery SET claimed_at = NULL, next_attempt_at = ?2, last_error = ?3"
    " WHERE delivery_id = ?1 AND state = 'pending'";
static const char sql_dead[] = "UPDATE delivery SET state = 'dead', claimed_at = NULL,"
                               " last_error = ?3 WHERE delivery_id = ?1 AND state = 'pending'";
static const char sql_exists[] = "SELECT 1 FROM delivery WHERE delivery_id = ?1";

static const char sql_pending_by_hook[] =
    "SELECT hook, count(*) FROM delivery WHERE state = 'pending' GROUP BY hook ORDER BY hook";

enum pw_status pw_outbox_add(struct pw_db *db, int64_t event_id, const char *hook, const char *rule,
                             int64_t now_ms, size_t *added, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_add, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, event_id);
    pw_db_bind_text(statement, 2, hook);
    pw_db_bind_text(statement, 3, rule);
    pw_db_bind_int(statement, 4, now_ms);
    status = pw_db_run(db, statement, err);
    if (status == PW_OK && sqlite3_changes(pw_db_handle(db)) > 0)
        (*added)++;
    return status;
}

enum pw_status pw_outbox_recover(struct pw_db *db, int64_t now_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_recover, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, now_ms);
    return pw_db_run(db, statement, err);
}

/* Claiming ---------------------------------------------------------------------------------- */

void pw_delivery_free(struct pw_delivery *delivery)
{
    free(delivery);
}

static void free_list(struct pw_delivery *list)
{
    while (list != NULL) {
        struct pw_delivery *next = list->next;
        pw_delivery_free(list);
        list = next;
    }
}

/* A delivery and copies of its texts in one block. NULL where memory is short. */
static struct pw_delivery *delivery_from_row(sqlite3_stmt *statement)
{
    struct pw_str texts[DUE_TEXTS];
    size_t size_bytes = sizeof(struct pw_delivery);
    struct pw_delivery *delivery;
    char *to;

    for (int i = 0; i < DUE_TEXTS; i++) {
        texts[i] = pw_db_column_str(statement, DUE_FIRST_TEXT + i);
        size_bytes += texts[i].len + 1;
    }
    delivery = malloc(size_bytes);
    if (delivery == NULL)
        return NULL;
    to = (char *)(delivery + 1);
    for (int i = 0; i < DUE_TEXTS; i++) {
        if (texts[i].data == NULL)
            continue;
        memcpy(to, texts[i].data, texts[i].len);
        to[texts[i].len] = '\0';
        texts[i].data = to;
        to += texts[i].len + 1;
    }
    *delivery = (struct pw_delivery){
        .delivery_id = sqlite3_column_int64(statement, DUE_DELIVERY_ID),
        .event_id = sqlite3_column_int64(statement, DUE_EVENT_ID),
        .attempts = sqlite3_column_int64(statement, DUE_ATTEMPTS) + 1,
        .created_at_ms = sqlite3_column_int64(statement, DUE_CREATED_AT),
        .uid = texts[0].data,
        .hook = texts[1].data,
        .rule = texts[2].data,
        .type = texts[3].data,
        .source_name = texts[4].data,
        .node_key = texts[5],
        .node_name = texts[6],
        .from = texts[7],
        .to = texts[8],
        .event_json = texts[9],
    };
    return delivery;
}

static enum pw_status read_due(struct pw_db *db, const char *hook, size_t max, int64_t now_ms,
                               struct pw_delivery **out, size_t *count, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql_due, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    pw_db_bind_int(statement, 2, now_ms);
    pw_db_bind_int(statement, 3, max > INT32_MAX ? INT32_MAX : (int64_t)max);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        *out = delivery_from_row(statement);
        if (*out == NULL) {
            status = pw_fail_nomem(err);
            break;
        }
        out = &(*out)->next;
        (*count)++;
    }
    sqlite3_reset(statement);
    return status;
}

static enum pw_status mark_claimed(struct pw_db *db, int64_t delivery_id, int64_t now_ms,
                                   struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_claim, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    pw_db_bind_int(statement, 2, now_ms);
    return pw_db_run(db, statement, err);
}

/* What waits after a claim. Where the claim took fewer than it might have, nothing more is due, and
 * what is left waits for a later time (sql_next_due looks only at those). */
static enum pw_status find_next_due(struct pw_db *db, const char *hook, int64_t now_ms,
                                    int64_t *next_due_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql_next_due, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    pw_db_bind_int(statement, 2, now_ms);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        *next_due_ms = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    return status;
}

/* Whether one more delivery is due at once. */
static enum pw_status is_more_due(struct pw_db *db, const char *hook, int64_t now_ms, bool *more,
                                  struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_due, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, hook);
    pw_db_bind_int(statement, 2, now_ms);
    pw_db_bind_int(statement, 3, 1);
    status = pw_db_step(db, statement, more, err);
    if (status == PW_OK && *more)
        sqlite3_reset(statement);
    return status;
}

enum pw_status pw_outbox_claim(struct pw_db *db, const char *hook, size_t max, int64_t now_ms,
                               struct pw_delivery **out, int64_t *next_due_ms, struct pw_error *err)
{
    struct pw_delivery *list = NULL;
    size_t count = 0;
    bool more = false;
    enum pw_status status;

    *out = NULL;
    *next_due_ms = PW_TIME_NONE;
    status = pw_db_begin(db, err);
    if (status != PW_OK)
        return status;
    status = read_due(db, hook, max, now_ms, &list, &count, err);
    for (struct pw_delivery *each = list; each != NULL && status == PW_OK; each = each->next)
        status = mark_claimed(db, each->delivery_id, now_ms, err);
    if (status == PW_OK && count == max)
        status = is_more_due(db, hook, now_ms, &more, err);
    if (more)
        *next_due_ms = now_ms;
    else if (status == PW_OK)
        status = find_next_due(db, hook, now_ms, next_due_ms, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK) {
        pw_db_rollback(db);
        free_list(list);
        *next_due_ms = PW_TIME_NONE;
        return status;
    }
    *out = list;
    return PW_OK;
}

/* Outcomes ---------------------------------------------------------------------------------- */

/* A delivery that somebody dropped while it was in flight stays dropped, which is no error; one
 * that does not exist is. */
static enum pw_status check_exists(struct pw_db *db, int64_t delivery_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql_exists, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && !row)
        return pw_fail(err, PW_ENOTFOUND, "no delivery %lld", (long long)delivery_id);
    sqlite3_reset(statement);
    return status;
}

static enum pw_status set_outcome(struct pw_db *db, const char *sql, int64_t delivery_id,
                                  const int64_t *time_ms, const char *why, struct pw_error *err)
{
    char why_printable[WHY_MAX_BYTES];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, delivery_id);
    if (time_ms != NULL)
        pw_db_bind_int(statement, 2, *time_ms);
    /* Often the words of a remote machine, to be shown on a terminal. */
    if (why != NULL)
        pw_db_bind_text(statement, 3,
                        pw_text_printable(why_printable, sizeof why_printable, pw_str_of(why)));
    status = pw_db_run(db, statement, err);
    /* The text is not ours to keep beyond this function. */
    sqlite3_clear_bindings(statement);
    if (status == PW_OK && sqlite3_changes(pw_db_handle(db)) == 0)
        status = check_exists(db, delivery_id, err);
    return status;
}

enum pw_status pw_outbox_delivered(struct pw_db *db, int64_t delivery_id, int64_t now_ms,
                                   struct pw_error *err)
{
    return set_outcome(db, sql_delivered, delivery_id, &now_ms, NULL, err);
}

enum pw_status pw_outbox_retry(struct pw_db *db, int64_t delivery_id, int64_t next_attempt_at_ms,
                               const char *why, struct pw_error *err)
{
    return set_outcome(db, sql_retry, delivery_id, &next_attempt_at_ms, why, err);
}

enum pw_status pw_outbox_dead(struct pw_db *db, int64_t delivery_id, const char *why,
                              struct pw_error *err)
{
    return set_outcome(db, sql_dead, delivery_id, NULL, why, err);
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
