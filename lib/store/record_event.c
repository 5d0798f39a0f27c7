/* Rows of events and of the deliveries that they owe, written in one transaction with the change
 * that they tell of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/outbox.h"
#include "store/record.h"

enum { EVENT_MAX_BYTES = 8 * 1024 * 1024 };

static const char sequence_sql[] =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) + 1";
static const char uid_used_sql[] = "SELECT 1 FROM event WHERE uid = ?1";
static const char add_sql[] =
    "INSERT INTO event (event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status,"
    " cause, occurred_at, recorded_at, data)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
/* Who was told, or is still to be told, of the problem that now ends. */
static const char node_told_sql[] =
    "SELECT d.hook, d.rule FROM delivery AS d WHERE d.event_id ="
    " (SELECT max(e.event_id) FROM event AS e"
    "   WHERE e.node_id = ?1 AND +e.type = 'io.patchwatch.node.non_compliant')"
    " AND d.state IN ('pending', 'delivered', 'dead') ORDER BY d.delivery_id";
static const char source_told_sql[] =
    "SELECT d.hook, d.rule FROM delivery AS d WHERE d.event_id ="
    " (SELECT max(e.event_id) FROM event AS e WHERE e.node_id IS NULL AND e.source_id = ?1"
    "   AND e.type = 'io.patchwatch.source.failing')"
    " AND d.state IN ('pending', 'delivered', 'dead') ORDER BY d.delivery_id";

static enum pw_status next_sequence(struct pw_db *db, int64_t *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sequence_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK)
        *out = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return status;
}

/* The first id of this name that no event has. */
static enum pw_status choose_uid(struct pw_db *db, struct pw_event *event, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, uid_used_sql, &statement, err);
    bool used = true;

    for (unsigned counter = 0; status == PW_OK && used; counter++) {
        pw_event_uid(event, counter, event->uid);
        (void)sqlite3_reset(statement);
        pw_db_bind_text(statement, 1, event->uid);
        status = pw_db_step(db, statement, &used, err);
        (void)sqlite3_reset(statement);
    }
    return status;
}

static enum pw_status add_row(struct pw_db *db, const struct pw_event *event, int64_t source_id,
                              int64_t node_id, struct pw_str data, struct pw_error *err)
{
    char type[64];
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, add_sql, &statement, err);

    if (status != PW_OK)
        return status;
    (void)snprintf(type, sizeof type, "io.patchwatch.%s", pw_event_type_name(event->type));
    pw_db_bind_int(statement, 1, event->sequence);
    pw_db_bind_text(statement, 2, event->uid);
    pw_db_bind_text(statement, 3, type);
    pw_db_bind_int(statement, 4, source_id);
    pw_db_bind_int_or_null(statement, 5, node_id, 0);
    pw_db_bind_int(statement, 6, event->sweep_id);
    pw_db_bind_text(statement, 7, event->has_from ? pw_compliance_name(event->from) : NULL);
    pw_db_bind_text(statement, 8, event->has_to ? pw_compliance_name(event->to) : NULL);
    pw_db_bind_text(statement, 9, pw_event_cause_name(event->cause));
    pw_db_bind_int(statement, 10, event->occurred_at_ms);
    pw_db_bind_int(statement, 11, event->recorded_at_ms);
    pw_db_bind_str(statement, 12, data);
    return pw_db_run(db, statement, err);
}

/* Writes deliveries for the hooks that the router names. */
struct outbox_sink {
    struct pw_route_sink sink;
    struct pw_db *db;
    const struct pw_event *event;
    size_t *added;
    struct pw_error *err;
};

static enum pw_status sink_add(struct pw_route_sink *sink, const char *hook, const char *rule)
{
    struct outbox_sink *outbox = (struct outbox_sink *)sink;

    return pw_outbox_add(outbox->db, outbox->event->sequence, hook, rule,
                         outbox->event->recorded_at_ms, outbox->added, outbox->err);
}

/* Whoever was told of the problem is told of its end, whatever the rules say by now. */
static enum pw_status owe_recovery(struct pw_db *db, const char *told_sql, int64_t of_id,
                                   const struct pw_router *router, struct outbox_sink *sink,
                                   struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, told_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, of_id);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        char *hook = pw_str_dup(pw_db_column_str(statement, 0));
        char *rule = pw_str_dup(pw_db_column_str(statement, 1));

        if (hook == NULL || rule == NULL)
            status = pw_fail_nomem(err);
        else if (router->wants_recovery(router, hook, rule))
            status = sink_add(&sink->sink, hook, rule);
        free(hook);
        free(rule);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_event_record(struct pw_db *db, struct pw_event *event, int64_t source_id,
                               int64_t node_id, const struct pw_router *router, size_t *deliveries,
                               struct pw_error *err)
{
    struct pw_buffer data;
    struct outbox_sink sink = {{sink_add}, db, event, deliveries, err};
    enum pw_status status;

    pw_buffer_init(&data, EVENT_MAX_BYTES);
    status = next_sequence(db, &event->sequence, err);
    if (status == PW_OK)
        status = choose_uid(db, event, err);
    if (status != PW_OK)
        goto out;
    pw_event_write(event, &data);
    if (data.failed != PW_OK) {
        status = pw_fail(err, data.failed, "an event of more than %d bytes, or no memory for it",
                         EVENT_MAX_BYTES);
        goto out;
    }
    status = add_row(db, event, source_id, node_id, pw_buffer_str(&data), err);
    if (status != PW_OK || router == NULL)
        goto out;
    status = router->route(router, event, &sink.sink);
    if (status == PW_OK && event->type == PW_EVENT_NODE_COMPLIANT)
        status = owe_recovery(db, node_told_sql, node_id, router, &sink, err);
    else if (status == PW_OK && event->type == PW_EVENT_SOURCE_RECOVERED)
        status = owe_recovery(db, source_told_sql, source_id, router, &sink, err);
out:
    pw_buffer_free(&data);
    return status;
}
