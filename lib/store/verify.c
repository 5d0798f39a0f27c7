/* Walking the history once a check (verify_chain.c and verify_versions.c have one each). Each check
 * reads in a transaction of its own, so that a long verification holds no write-ahead log longer
 * than one of them takes; memory does not grow with the rows: all orders come from indexes, or are
 * sorted one node at a time. */
#include "store/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/schema_compare.h"
#include "store/verifying.h"

enum { FINDING_MAX_BYTES = 600 };

static const char begin_sql[] = "BEGIN";
static const char end_sql[] = "COMMIT";
static const char integrity_sql[] = "PRAGMA integrity_check(100)";
static const char references_sql[] = "PRAGMA foreign_key_check";
static const char nodes_sql[] =
    "SELECT n.node_id, n.node_key, n.status, n.missing_since IS NOT NULL,"
    "       (SELECT count(*) FROM report AS r WHERE r.node_id = n.node_id AND r.valid_to IS NULL),"
    "       CASE (SELECT max(CASE r.status WHEN 'non_compliant' THEN 2 WHEN 'compliant' THEN 1"
    "                        ELSE 0 END)"
    "               FROM report AS r WHERE r.node_id = n.node_id AND r.valid_to IS NULL)"
    "            WHEN 2 THEN 'non_compliant' WHEN 1 THEN 'compliant' ELSE 'unknown' END,"
    "       n.last_definite_status,"
    "       (SELECT max(e.event_id) FROM event AS e WHERE e.node_id = n.node_id AND +e.type IN"
    "         ('io.patchwatch.node.compliant', 'io.patchwatch.node.non_compliant'))"
    "  FROM node AS n ORDER BY n.node_id";
static const char type_sql[] = "SELECT replace(type, 'io.patchwatch.node.', '') FROM event"
                               " WHERE event_id = ?1";
static const char deliveries_sql[] =
    "SELECT d.delivery_id, d.event_id, d.hook, d.state, d.attempts, d.last_attempt_at,"
    "       d.delivered_at, d.claimed_at, e.event_id IS NULL"
    "  FROM delivery AS d LEFT JOIN event AS e ON e.event_id = d.event_id ORDER BY d.delivery_id";

const char *pw_verify_check_name(enum pw_verify_check check)
{
    static const char *const names[PW_VERIFY_CHECK_COUNT] = {
        "schema", "file", "references", "chain", "versions", "status", "deliveries"};
    return names[check];
}

void pw_verify_found(struct pw_verifying *verify, const char *format, ...)
{
    char message[FINDING_MAX_BYTES];
    va_list arguments;

    verify->result->total++;
    if (verify->result->findings[verify->check]++ >= PW_VERIFY_MAX_FINDINGS)
        return;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    verify->params->found(verify->params->context, verify->check, message);
}

/* The schema ------------------------------------------------------------------------------------
 */

static void tell_difference(void *context, const struct pw_schema_difference *difference)
{
    static const char *const words[] = {"is missing", "is not the one that patchwatchd made",
                                        "is not patchwatchd's"};
    struct pw_verifying *verify = context;

    pw_verify_found(verify, "%.*s %.*s (of %.*s) %s", pw_verify_len(difference->type),
                    pw_verify_text(difference->type), pw_verify_len(difference->name),
                    pw_verify_text(difference->name), pw_verify_len(difference->table),
                    pw_verify_text(difference->table), words[difference->fault]);
}

static enum pw_status verify_schema(struct pw_verifying *verify)
{
    return pw_schema_compare(verify->db, tell_difference, verify, verify->err);
}

/* The file --------------------------------------------------------------------------------------
 */

static enum pw_status verify_file(struct pw_verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, integrity_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        struct pw_str said = pw_db_column_str(statement, 0);

        if (!pw_str_is(said, "ok"))
            pw_verify_found(verify, "%.*s", (int)(said.len < 500 ? said.len : 500),
                            pw_verify_text(said));
    }
    return status;
}

static enum pw_status verify_references(struct pw_verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, references_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        struct pw_str table = pw_db_column_str(statement, 0),
                      parent = pw_db_column_str(statement, 2);

        pw_verify_found(verify, "%.*s: row %lld refers to a row of %.*s that is not there",
                        pw_verify_len(table), pw_verify_text(table),
                        sqlite3_column_int64(statement, 1), pw_verify_len(parent),
                        pw_verify_text(parent));
    }
    return status;
}

/* Nodes and deliveries --------------------------------------------------------------------------
 */

/* The last definite status is what the newest transition says, unless that was pruned. */
static enum pw_status verify_definite(struct pw_verifying *verify, int64_t node_id,
                                      struct pw_str key, struct pw_str says, int64_t event_id)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, type_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, event_id);
    status = pw_db_step(verify->db, statement, &row, verify->err);
    if (status == PW_OK && row) {
        struct pw_str told = pw_db_column_str(statement, 0);

        if (!pw_str_eq(says, told))
            pw_verify_found(verify,
                            "node %" PRId64 " (%.*s) was last %.*s, but its newest transition, "
                            "event %" PRId64 ", made it %.*s",
                            node_id, pw_verify_len(key), pw_verify_text(key), pw_verify_len(says),
                            says.data != NULL ? says.data : "", event_id, pw_verify_len(told),
                            pw_verify_text(told));
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status verify_node(struct pw_verifying *verify, sqlite3_stmt *statement)
{
    int64_t node_id = sqlite3_column_int64(statement, 0);
    struct pw_str key = pw_db_column_str(statement, 1), says = pw_db_column_str(statement, 2);
    bool is_missing = sqlite3_column_int(statement, 3) != 0;
    int64_t current = sqlite3_column_int64(statement, 4);
    struct pw_str worst = pw_db_column_str(statement, 5);
    struct pw_str definite = pw_db_column_str(statement, 6);
    int64_t event_id = pw_db_column_int_or(statement, 7, 0);

    if (is_missing && current > 0)
        pw_verify_found(verify,
                        "node %" PRId64 " (%.*s) is missing and has %" PRId64 " current reports",
                        node_id, pw_verify_len(key), pw_verify_text(key), current);
    else if (!is_missing && !pw_str_eq(says, worst))
        pw_verify_found(
            verify, "node %" PRId64 " (%.*s) is stored as %.*s, its current reports make it %.*s",
            node_id, pw_verify_len(key), pw_verify_text(key), pw_verify_len(says),
            pw_verify_text(says), pw_verify_len(worst), pw_verify_text(worst));
    return event_id == 0 ? PW_OK : verify_definite(verify, node_id, key, definite, event_id);
}

static enum pw_status verify_nodes(struct pw_verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, nodes_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        verify->result->nodes++;
        status = verify_node(verify, statement);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

/* What cannot be; NULL where all is well. */
static const char *delivery_fault(sqlite3_stmt *statement)
{
    struct pw_str state = pw_db_column_str(statement, 3);
    bool is_delivered = pw_str_is(state, "delivered");
    int64_t attempts = sqlite3_column_int64(statement, 4);
    bool has_attempt = sqlite3_column_type(statement, 5) != SQLITE_NULL;
    bool has_end = sqlite3_column_type(statement, 6) != SQLITE_NULL;
    bool is_claimed = sqlite3_column_type(statement, 7) != SQLITE_NULL;

    if (sqlite3_column_int(statement, 8) != 0)
        return "its event is not there";
    if (is_delivered && !has_end)
        return "is delivered, but nobody knows when";
    if (!is_delivered && has_end)
        return "has a time of delivery, but is not delivered";
    if (is_delivered && (attempts < 1 || !has_attempt))
        return "is delivered, but was never tried";
    if (is_claimed && !pw_str_is(state, "pending"))
        return "is under way, but not pending";
    if (is_claimed && attempts < 1)
        return "is under way, but its attempt was not counted";
    return NULL;
}

static enum pw_status verify_deliveries(struct pw_verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, deliveries_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        const char *fault = delivery_fault(statement);
        struct pw_str hook = pw_db_column_str(statement, 2);

        verify->result->deliveries++;
        if (fault != NULL)
            pw_verify_found(verify, "delivery %lld (event %lld, hook %.*s) %s",
                            sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                            pw_verify_len(hook), pw_verify_text(hook), fault);
    }
    return status;
}

/* All of it -------------------------------------------------------------------------------------
 */

static enum pw_status run(struct pw_db *db, const char *sql, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);

    return status == PW_OK ? pw_db_run(db, statement, err) : status;
}

/* In a transaction of its own, unless the caller is in one. */
static enum pw_status run_check(struct pw_verifying *verify)
{
    static enum pw_status (*const checks[PW_VERIFY_CHECK_COUNT])(struct pw_verifying *) = {
        verify_schema,      verify_file,  verify_references, pw_verify_chain,
        pw_verify_versions, verify_nodes, verify_deliveries,
    };
    bool is_own = sqlite3_get_autocommit(pw_db_handle(verify->db)) != 0;
    enum pw_status status = is_own ? run(verify->db, begin_sql, verify->err) : PW_OK;

    if (verify->params->begins != NULL)
        verify->params->begins(verify->params->context, verify->check);
    if (status == PW_OK)
        status = checks[verify->check](verify);
    if (status == PW_OK && is_own)
        status = run(verify->db, end_sql, verify->err);
    if (status != PW_OK && is_own)
        pw_db_rollback(verify->db);
    return status;
}

enum pw_status pw_store_verify(struct pw_db *db, const struct pw_verify_params *params,
                               struct pw_verify_result *result, struct pw_error *err)
{
    struct pw_error error = {PW_OK, ""};
    struct pw_verifying verify = {.db = db,
                                  .params = params,
                                  .result = result,
                                  .now_ms = pw_clock_wall_ms(pw_clock_system()),
                                  .err = &error};

    *result = (struct pw_verify_result){0};
    for (int check = 0; check < PW_VERIFY_CHECK_COUNT; check++) {
        enum pw_status status;

        verify.check = (enum pw_verify_check)check;
        verify.now_ms = pw_clock_wall_ms(pw_clock_system()); /* the daemon may be writing on */
        status = run_check(&verify);
        if (status == PW_OK)
            continue;
        if (status != PW_ECORRUPT)
            return pw_fail(err, status, "verifying %s: %s", pw_verify_check_name(verify.check),
                           error.message);
        /* The rest may still be read. */
        pw_verify_found(&verify, "cannot be read on: %s", error.message);
    }
    return PW_OK;
}
