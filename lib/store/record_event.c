/* Rows of events and of the deliveries that they owe, written in one transaction with the change
 * that they tell of. */
#include <stdio.h>
#include <string.h>

#include "store/chain.h"
#include "store/owe.h"
#include "store/record.h"

enum { EVENT_MAX_BYTES = 8 * 1024 * 1024 };

static const char uid_used_sql[] = "SELECT 1 FROM event WHERE uid = ?1";
static const char add_sql[] =
    "INSERT INTO event (event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status,"
    " cause, occurred_at, recorded_at, data, chain_hash)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
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

/* Writes the row, chained to the one before it. */
static enum pw_status add_row(struct pw_db *db, const struct pw_event *event, int64_t source_id,
                              int64_t node_id, struct pw_str data,
                              const struct pw_chain_link *before, struct pw_error *err)
{
    char type[64];
    struct pw_chain_row row = {
        .event_id = event->sequence,
        .uid = pw_str_of(event->uid),
        .source_id = source_id,
        .node_id = node_id != 0 ? node_id : PW_CHAIN_NULL,
        .sweep_id = event->sweep_id,
        .from_status = pw_str_of(event->has_from ? pw_compliance_name(event->from) : NULL),
        .to_status = pw_str_of(event->has_to ? pw_compliance_name(event->to) : NULL),
        .cause = pw_str_of(pw_event_cause_name(event->cause)),
        .occurred_at_ms = event->occurred_at_ms,
        .recorded_at_ms = event->recorded_at_ms,
        .data = data,
    };
    unsigned char hash[PW_CHAIN_BYTES];
    sqlite3_stmt *statement;
    enum pw_status status;

    (void)snprintf(type, sizeof type, "io.patchwatch.%s", pw_event_type_name(event->type));
    row.type = pw_str_of(type);
    status = pw_chain_hash(before->hash, &row, hash, err);
    if (status == PW_OK)
        status = pw_db_prepare(db, add_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, row.event_id);
    pw_db_bind_str(statement, 2, row.uid);
    pw_db_bind_str(statement, 3, row.type);
    pw_db_bind_int(statement, 4, row.source_id);
    pw_db_bind_int_or_null(statement, 5, row.node_id, PW_CHAIN_NULL);
    pw_db_bind_int(statement, 6, row.sweep_id);
    pw_db_bind_str(statement, 7, row.from_status);
    pw_db_bind_str(statement, 8, row.to_status);
    pw_db_bind_str(statement, 9, row.cause);
    pw_db_bind_int(statement, 10, row.occurred_at_ms);
    pw_db_bind_int(statement, 11, row.recorded_at_ms);
    pw_db_bind_str(statement, 12, row.data);
    pw_db_bind_bytes(statement, 13, hash, sizeof hash);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_event_record(struct pw_db *db, struct pw_event *event, int64_t source_id,
                               int64_t node_id, const struct pw_router *router,
                               const struct pw_owing *owing, size_t *deliveries,
                               struct pw_error *err)
{
    struct pw_buffer data;
    struct pw_chain_link before;
    enum pw_status status;

    pw_buffer_init(&data, EVENT_MAX_BYTES);
    status = pw_chain_end(db, &before, err);
    event->sequence = before.event_id + 1;
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
    status = add_row(db, event, source_id, node_id, pw_buffer_str(&data), &before, err);
    if (status == PW_OK)
        status = pw_owe(db, event, source_id, node_id, router, owing, deliveries, err);
out:
    pw_buffer_free(&data);
    return status;
}
