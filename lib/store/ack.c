/* The table ack. Owns nothing. */
#include "store/ack.h"

#include "base/clock.h"
#include "base/text.h"

static const char sql_node[] =
    "SELECT n.node_id, n.last_definite_status,"
    "       (SELECT a.ack_id FROM ack AS a WHERE a.node_id = n.node_id AND a.ended_at IS NULL)"
    "  FROM node AS n JOIN source AS s ON s.source_id = n.source_id"
    " WHERE s.name = ?1 AND n.node_key = ?2";
static const char sql_end[] = "UPDATE ack SET ended_at = ?2, ended_by = ?3 WHERE ack_id = ?1";
static const char sql_add[] =
    "INSERT INTO ack (node_id, author, comment, created_at, until_at) VALUES (?1, ?2, ?3, ?4, ?5)";

struct found {
    int64_t node_id;
    bool is_bad;
    int64_t open_id; /* 0: none */
};

static enum pw_status find(struct pw_db *db, const char *source, const char *node_key,
                           struct found *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    char shown[256];
    enum pw_status status = pw_db_prepare(db, sql_node, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(statement, 1, source);
    pw_db_bind_text(statement, 2, node_key);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        *out = (struct found){
            .node_id = sqlite3_column_int64(statement, 0),
            .is_bad = pw_str_is(pw_db_column_str(statement, 1), "non_compliant"),
            .open_id = pw_db_column_int_or(statement, 2, 0),
        };
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement); /* the texts are not ours to keep */
    if (status == PW_OK && !row)
        return pw_fail(err, PW_ENOTFOUND, "source %s has no machine %s", source,
                       pw_text_printable(shown, sizeof shown, pw_str_of(node_key)));
    return status;
}

static enum pw_status end(struct pw_db *db, int64_t ack_id, const char *by, int64_t now_ms,
                          struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_end, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, ack_id);
    pw_db_bind_int(statement, 2, now_ms);
    pw_db_bind_text(statement, 3, by);
    return pw_db_run(db, statement, err);
}

static enum pw_status insert(struct pw_db *db, int64_t node_id, const struct pw_ack_row *ack,
                             int64_t now_ms, int64_t *ack_id, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql_add, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, node_id);
    pw_db_bind_text(statement, 2, ack->author);
    pw_db_bind_text(statement, 3, ack->comment);
    pw_db_bind_int(statement, 4, now_ms);
    pw_db_bind_int_or_null(statement, 5, ack->until_ms, PW_TIME_NONE);
    status = pw_db_run(db, statement, err);
    sqlite3_clear_bindings(statement);
    if (status == PW_OK)
        *ack_id = sqlite3_last_insert_rowid(pw_db_handle(db));
    return status;
}

enum pw_status pw_ack_add(struct pw_db *db, const struct pw_ack_row *ack, int64_t now_ms,
                          int64_t *ack_id, bool *is_renewal, struct pw_error *err)
{
    struct found node = {0};
    char shown[256];
    enum pw_status status;

    *ack_id = 0;
    *is_renewal = false;
    if (ack->until_ms != PW_TIME_NONE && ack->until_ms <= now_ms)
        return pw_fail(err, PW_EINVAL, "the acknowledgement would be over already");
    status = pw_db_begin(db, err);
    if (status != PW_OK)
        return status;
    status = find(db, ack->source, ack->node_key, &node, err);
    if (status == PW_OK && !node.is_bad)
        status = pw_fail(err, PW_EINVAL, "%s is not non_compliant: there is nothing to acknowledge",
                         pw_text_printable(shown, sizeof shown, pw_str_of(ack->node_key)));
    if (status == PW_OK && node.open_id != 0)
        status = end(db, node.open_id, "renewal", now_ms, err);
    if (status == PW_OK)
        status = insert(db, node.node_id, ack, now_ms, ack_id, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    *is_renewal = node.open_id != 0;
    return status;
}

enum pw_status pw_ack_end(struct pw_db *db, const char *source, const char *node_key,
                          int64_t now_ms, int64_t *ack_id, struct pw_error *err)
{
    struct found node = {0};
    char shown[256];
    enum pw_status status = pw_db_begin(db, err);

    *ack_id = 0;
    if (status != PW_OK)
        return status;
    status = find(db, source, node_key, &node, err);
    if (status == PW_OK && node.open_id == 0)
        status = pw_fail(err, PW_EINVAL, "%s is not acknowledged",
                         pw_text_printable(shown, sizeof shown, pw_str_of(node_key)));
    if (status == PW_OK)
        status = end(db, node.open_id, "command", now_ms, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    *ack_id = node.open_id;
    return status;
}
