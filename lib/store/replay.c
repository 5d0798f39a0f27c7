/* The past, told again. */
#include "store/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "compliance/event_read.h"
#include "store/connection.h"
#include "store/migrate.h"
#include "store/owe.h"

enum { MAX_STEPS = 2000000, ATTEMPTS = 100, LEASE_MS = 60000 };

static const char sources_sql[] = "SELECT source_id, name FROM source ORDER BY source_id";
static const char add_source_sql[] =
    "INSERT INTO source (source_id, name, endpoint) VALUES (?1, ?2, '-')";
static const char mutes_sql[] = "SELECT match, from_at, until_at, author FROM mute"
                                " WHERE until_at IS NULL OR until_at > ?1 ORDER BY mute_id";
static const char add_mute_sql[] =
    "INSERT INTO mute (match, from_at, until_at, author) VALUES (?1, ?2, ?3, ?4)";
/* The CROSS JOIN keeps the order of the index on recorded_at out of it: by number. */
static const char events_sql[] =
    "SELECT e.event_id, e.uid, e.type, e.source_id, e.node_id, n.node_key, e.from_status,"
    "       e.to_status, e.cause, e.occurred_at, e.recorded_at, e.data,"
    "       (SELECT d.reason FROM delivery AS d WHERE d.event_id = e.event_id"
    "          AND d.state = 'muted' AND (d.reason = 'flapping' OR d.reason GLOB 'fleet.shift *')"
    "        LIMIT 1)"
    "  FROM event AS e LEFT JOIN node AS n ON n.node_id = e.node_id"
    " WHERE e.event_id >= (SELECT min(event_id) FROM event WHERE recorded_at >= ?1)"
    " ORDER BY e.event_id";
enum {
    EVENT_ID,
    EVENT_UID,
    EVENT_TYPE,
    EVENT_SOURCE_ID,
    EVENT_NODE_ID,
    EVENT_NODE_KEY,
    EVENT_FROM,
    EVENT_TO,
    EVENT_CAUSE,
    EVENT_OCCURRED_AT,
    EVENT_RECORDED_AT,
    EVENT_DATA,
    EVENT_QUIET
};
static const char add_node_sql[] =
    "INSERT INTO node (node_id, source_id, node_key, status, status_since, first_seen_at,"
    " last_seen_at) VALUES (?1, ?2, ?3, 'unknown', 0, 0, 0) ON CONFLICT DO NOTHING";
static const char set_node_sql[] =
    "UPDATE node SET last_definite_status = CASE WHEN ?2 IN ('compliant', 'non_compliant') THEN ?2"
    " ELSE last_definite_status END,"
    " missing_since = CASE ?3 WHEN 'io.patchwatch.node.missing' THEN ?4"
    "                         WHEN 'io.patchwatch.node.returned' THEN NULL ELSE missing_since END,"
    " flapping_since = CASE ?3 WHEN 'io.patchwatch.node.flapping' THEN ?4"
    "                          WHEN 'io.patchwatch.node.settled' THEN NULL ELSE flapping_since END"
    " WHERE node_id = ?1";
static const char add_event_sql[] =
    "INSERT INTO event (event_id, uid, type, source_id, node_id, from_status, to_status, cause,"
    " occurred_at, recorded_at, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
static const char unheard_sql[] =
    "SELECT count(*) FROM event AS e WHERE NOT EXISTS (SELECT 1 FROM delivery AS d"
    " WHERE d.event_id = e.event_id AND d.state = 'delivered')";

struct replay {
    struct pw_db *db;    /* the past */
    struct pw_db memory; /* and how it is told now */
    const struct pw_replay_params *params;
    struct pw_replay_result *result;
    struct pw_error *err;
    struct pw_event_copy copy;
    int64_t now_ms;
    int steps;
};

static enum pw_status prepare(struct replay *r, const char *sql, sqlite3_stmt **out)
{
    return pw_db_prepare(&r->memory, sql, out, r->err);
}

static enum pw_status copy_sources(struct replay *r)
{
    sqlite3_stmt *from, *to;
    enum pw_status status = pw_db_prepare(r->db, sources_sql, &from, r->err);
    bool row;

    while (status == PW_OK && (status = pw_db_step(r->db, from, &row, r->err)) == PW_OK && row) {
        status = prepare(r, add_source_sql, &to);
        if (status != PW_OK)
            break;
        pw_db_bind_int(to, 1, sqlite3_column_int64(from, 0));
        pw_db_bind_str(to, 2, pw_db_column_str(from, 1));
        status = pw_db_run(&r->memory, to, r->err);
    }
    return status;
}

static enum pw_status copy_mutes(struct replay *r)
{
    sqlite3_stmt *from, *to;
    enum pw_status status = pw_db_prepare(r->db, mutes_sql, &from, r->err);
    bool row;

    if (status == PW_OK)
        pw_db_bind_int(from, 1, r->params->since_ms);
    while (status == PW_OK && (status = pw_db_step(r->db, from, &row, r->err)) == PW_OK && row) {
        status = prepare(r, add_mute_sql, &to);
        if (status != PW_OK)
            break;
        pw_db_bind_str(to, 1, pw_db_column_str(from, 0));
        pw_db_bind_int_or_null(to, 2, pw_db_column_int_or(from, 1, PW_TIME_NONE), PW_TIME_NONE);
        pw_db_bind_int_or_null(to, 3, pw_db_column_int_or(from, 2, PW_TIME_NONE), PW_TIME_NONE);
        pw_db_bind_str(to, 4, pw_db_column_str(from, 3));
        status = pw_db_run(&r->memory, to, r->err);
    }
    return status;
}

/* Time goes on -------------------------------------------------------------------------------- */

static enum pw_status deliver(struct replay *r, const struct pw_delivery *attempts)
{
    enum pw_status status = PW_OK;

    for (; attempts != NULL && status == PW_OK; attempts = attempts->next_attempt) {
        struct pw_outcome outcome = {
            .kind = PW_OUTCOME_DELIVERED, .router = r->params->router, .now_ms = r->now_ms};

        r->params->told(r->params->context, attempts, r->now_ms);
        status = pw_outbox_record(&r->memory, attempts, &outcome, r->err);
    }
    return status;
}

/* All hooks take what is due now; *next_ms: when something is due again. */
static enum pw_status tell_all(struct replay *r, int64_t *next_ms)
{
    *next_ms = PW_TIME_NONE;
    for (size_t h = 0; h < r->params->hook_count; h++) {
        struct pw_claim claim;

        do {
            enum pw_status status;

            claim = (struct pw_claim){.hook = r->params->hooks[h],
                                      .router = r->params->router,
                                      .max_attempts = ATTEMPTS,
                                      .now_ms = r->now_ms,
                                      .lease_ms = LEASE_MS};
            status = pw_outbox_claim(&r->memory, &claim, r->err);
            if (status == PW_OK)
                status = deliver(r, claim.list);
            pw_claimed_free(claim.list);
            if (status != PW_OK)
                return status;
            if (++r->steps > MAX_STEPS)
                return pw_fail(r->err, PW_ELIMIT,
                               "this would be told for ever; look at a shorter time");
        } while (claim.next_due_ms != PW_TIME_NONE && claim.next_due_ms <= r->now_ms);
        if (claim.next_due_ms != PW_TIME_NONE &&
            (*next_ms == PW_TIME_NONE || claim.next_due_ms < *next_ms))
            *next_ms = claim.next_due_ms;
    }
    return PW_OK;
}

static enum pw_status advance(struct replay *r, int64_t to_ms)
{
    for (;;) {
        int64_t next_ms;
        enum pw_status status = tell_all(r, &next_ms);

        if (status != PW_OK)
            return status;
        if (next_ms == PW_TIME_NONE || next_ms > to_ms)
            break;
        r->now_ms = next_ms;
    }
    if (r->now_ms < to_ms)
        r->now_ms = to_ms;
    return PW_OK;
}

/* The events ---------------------------------------------------------------------------------- */

static enum pw_status add_node(struct replay *r, sqlite3_stmt *event)
{
    sqlite3_stmt *statement;
    enum pw_status status = prepare(r, add_node_sql, &statement);

    if (status != PW_OK || sqlite3_column_type(event, EVENT_NODE_ID) == SQLITE_NULL)
        return status;
    pw_db_bind_int(statement, 1, sqlite3_column_int64(event, EVENT_NODE_ID));
    pw_db_bind_int(statement, 2, sqlite3_column_int64(event, EVENT_SOURCE_ID));
    pw_db_bind_str(statement, 3, pw_db_column_str(event, EVENT_NODE_KEY));
    status = pw_db_run(&r->memory, statement, r->err);
    if (status == PW_OK)
        status = prepare(r, set_node_sql, &statement);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, sqlite3_column_int64(event, EVENT_NODE_ID));
    pw_db_bind_str(statement, 2, pw_db_column_str(event, EVENT_TO));
    pw_db_bind_str(statement, 3, pw_db_column_str(event, EVENT_TYPE));
    pw_db_bind_int(statement, 4, r->now_ms);
    return pw_db_run(&r->memory, statement, r->err);
}

static enum pw_status add_event(struct replay *r, sqlite3_stmt *event)
{
    sqlite3_stmt *statement;
    enum pw_status status = prepare(r, add_event_sql, &statement);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, sqlite3_column_int64(event, EVENT_ID));
    pw_db_bind_str(statement, 2, pw_db_column_str(event, EVENT_UID));
    pw_db_bind_str(statement, 3, pw_db_column_str(event, EVENT_TYPE));
    pw_db_bind_int(statement, 4, sqlite3_column_int64(event, EVENT_SOURCE_ID));
    pw_db_bind_int_or_null(statement, 5, pw_db_column_int_or(event, EVENT_NODE_ID, 0), 0);
    pw_db_bind_str(statement, 6, pw_db_column_str(event, EVENT_FROM));
    pw_db_bind_str(statement, 7, pw_db_column_str(event, EVENT_TO));
    pw_db_bind_str(statement, 8, pw_db_column_str(event, EVENT_CAUSE));
    pw_db_bind_int(statement, 9, sqlite3_column_int64(event, EVENT_OCCURRED_AT));
    pw_db_bind_int(statement, 10, r->now_ms);
    pw_db_bind_str(statement, 11, pw_db_column_str(event, EVENT_DATA));
    return pw_db_run(&r->memory, statement, r->err);
}

static enum pw_status owe(struct replay *r, sqlite3_stmt *event)
{
    char *quiet = NULL;
    struct pw_owing owing = {0};
    size_t added = 0;
    enum pw_status status;

    if (sqlite3_column_type(event, EVENT_QUIET) != SQLITE_NULL) {
        quiet = pw_str_dup(pw_db_column_str(event, EVENT_QUIET));
        if (quiet == NULL)
            return pw_fail_nomem(r->err);
        owing.muted_reason = quiet;
    }
    r->copy.event.sequence = sqlite3_column_int64(event, EVENT_ID);
    r->copy.event.recorded_at_ms = r->now_ms;
    status = pw_owe(&r->memory, &r->copy.event, sqlite3_column_int64(event, EVENT_SOURCE_ID),
                    pw_db_column_int_or(event, EVENT_NODE_ID, 0), r->params->router, &owing, &added,
                    r->err);
    free(quiet);
    return status;
}

static enum pw_status tell_event(struct replay *r, sqlite3_stmt *event)
{
    struct pw_error unreadable;
    enum pw_status status = advance(r, sqlite3_column_int64(event, EVENT_RECORDED_AT));

    if (status != PW_OK ||
        pw_event_read(&r->copy, pw_db_column_str(event, EVENT_DATA), &unreadable) != PW_OK)
        return status; /* of a later version, say */
    r->result->events++;
    status = pw_db_begin(&r->memory, r->err);
    if (status == PW_OK)
        status = add_node(r, event);
    if (status == PW_OK)
        status = add_event(r, event);
    if (status == PW_OK)
        status = owe(r, event);
    return status == PW_OK ? pw_db_commit(&r->memory, r->err) : status;
}

static enum pw_status tell_events(struct replay *r)
{
    sqlite3_stmt *event;
    enum pw_status status = pw_db_prepare(r->db, events_sql, &event, r->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(event, 1, r->params->since_ms);
    while ((status = pw_db_step(r->db, event, &row, r->err)) == PW_OK && row) {
        status = tell_event(r, event);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(event);
    return status;
}

static enum pw_status count_unheard(struct replay *r)
{
    sqlite3_stmt *statement;
    enum pw_status status = prepare(r, unheard_sql, &statement);
    bool row;

    if (status != PW_OK)
        return status;
    status = pw_db_step(&r->memory, statement, &row, r->err);
    if (status == PW_OK && row)
        r->result->unheard = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_replay(struct pw_db *db, const struct pw_replay_params *params,
                         struct pw_replay_result *result, struct pw_error *err)
{
    struct replay r = {
        .db = db, .params = params, .result = result, .err = err, .now_ms = params->since_ms};
    enum pw_status status;

    *result = (struct pw_replay_result){0};
    status = pw_db_open_memory(&r.memory, err);
    if (status == PW_OK)
        status = copy_sources(&r);
    if (status == PW_OK)
        status = copy_mutes(&r);
    if (status == PW_OK)
        status = tell_events(&r);
    if (status == PW_OK)
        status = advance(&r, params->until_ms);
    if (status == PW_OK)
        status = count_unheard(&r);
    pw_event_copy_free(&r.copy);
    pw_db_close_memory(&r.memory);
    return status;
}
