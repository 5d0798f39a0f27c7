/* Walking the history once a check. Each check reads in a transaction of its own, so that a long
 * verification holds no write-ahead log longer than one of them takes; memory does not grow with
 * the rows: all orders come from indexes, or are sorted one node at a time. */
#include "store/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FINDING_MAX_BYTES = 600 };

static const char begin_sql[] = "BEGIN";
static const char end_sql[] = "COMMIT";
static const char integrity_sql[] = "PRAGMA integrity_check(100)";
static const char references_sql[] = "PRAGMA foreign_key_check";
static const char chain_sql[] =
    "SELECT " PW_CHAIN_COLUMNS ", chain_hash FROM event ORDER BY event_id";
static const char sequence_sql[] =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)";
static const char versions_sql[] =
    "SELECT r.node_id, r.baseline_id, r.report_pk, r.valid_from, r.valid_to"
    "  FROM report AS r INDEXED BY report_by_node"
    " ORDER BY r.node_id, r.baseline_id, r.valid_from, r.valid_to IS NULL, r.valid_to";
static const char nodes_sql[] =
    "SELECT n.node_id, n.node_key, n.status, n.missing_since IS NOT NULL,"
    "       (SELECT count(*) FROM report AS r WHERE r.node_id = n.node_id AND r.valid_to IS NULL),"
    "       CASE (SELECT max(CASE r.status WHEN 'non_compliant' THEN 2 WHEN 'compliant' THEN 1"
    "                        ELSE 0 END)"
    "               FROM report AS r WHERE r.node_id = n.node_id AND r.valid_to IS NULL)"
    "            WHEN 2 THEN 'non_compliant' WHEN 1 THEN 'compliant' ELSE 'unknown' END"
    "  FROM node AS n ORDER BY n.node_id";
static const char deliveries_sql[] =
    "SELECT d.delivery_id, d.event_id, d.hook, d.state, d.attempts, d.last_attempt_at,"
    "       d.delivered_at, d.claimed_at, e.event_id IS NULL"
    "  FROM delivery AS d LEFT JOIN event AS e ON e.event_id = d.event_id ORDER BY d.delivery_id";

struct verifying {
    struct pw_db *db;
    const struct pw_verify_params *params;
    struct pw_verify_result *result;
    enum pw_verify_check check;
    struct pw_error *err;
};

const char *pw_verify_check_name(enum pw_verify_check check)
{
    static const char *const names[PW_VERIFY_CHECK_COUNT] = {
        "file", "references", "chain", "versions", "status", "deliveries"};
    return names[check];
}

static void found(struct verifying *verify, const char *format, ...) PW_PRINTF(2, 3);

static void found(struct verifying *verify, const char *format, ...)
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

/* For "%.*s" and "%s": texts of the database are not trusted to end. */
static int shown(struct pw_str text)
{
    return (int)(text.len < 200 ? text.len : 200);
}

static const char *text_or_empty(struct pw_str text)
{
    return text.data != NULL ? text.data : "";
}

/* The file --------------------------------------------------------------------------------------
 */

static enum pw_status verify_file(struct verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, integrity_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        struct pw_str said = pw_db_column_str(statement, 0);

        if (!pw_str_is(said, "ok"))
            found(verify, "%.*s", (int)(said.len < 500 ? said.len : 500), text_or_empty(said));
    }
    return status;
}

static enum pw_status verify_references(struct verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, references_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        struct pw_str table = pw_db_column_str(statement, 0),
                      parent = pw_db_column_str(statement, 2);

        found(verify, "%.*s: row %lld refers to a row of %.*s that is not there", shown(table),
              text_or_empty(table), sqlite3_column_int64(statement, 1), shown(parent),
              text_or_empty(parent));
    }
    return status;
}

/* The chain -------------------------------------------------------------------------------------
 */

static void tell_missing(struct verifying *verify, int64_t first, int64_t last)
{
    if (first == last)
        found(verify, "event %" PRId64 " was removed", first);
    else
        found(verify, "events %" PRId64 " to %" PRId64 " were removed", first, last);
}

/* One event behind *before. *proved: the hash in *before is what the chain says, so that the event
 * can be held against it. */
static enum pw_status verify_link(struct verifying *verify, sqlite3_stmt *statement,
                                  struct pw_chain_link *before, bool *proved)
{
    unsigned char stored[PW_CHAIN_BYTES], computed[PW_CHAIN_BYTES];
    struct pw_chain_row row;
    enum pw_status status;
    bool has_hash;

    pw_chain_row_read(statement, 0, &row);
    has_hash = pw_chain_hash_read(statement, PW_CHAIN_COLUMN_COUNT, stored);
    if (row.event_id <= before->event_id) {
        found(verify, "event %" PRId64 " was inserted: events up to %" PRId64 " are pruned",
              row.event_id, before->event_id);
        return PW_OK;
    }
    if (row.event_id != before->event_id + 1) {
        tell_missing(verify, before->event_id + 1, row.event_id - 1);
        *proved = false;
    }
    status = pw_chain_hash(before->hash, &row, computed, verify->err);
    if (status != PW_OK)
        return status;
    if (!has_hash)
        found(verify, "event %" PRId64 " was inserted: it has no hash", row.event_id);
    else if (*proved && memcmp(stored, computed, sizeof stored) != 0)
        found(verify,
              "event %" PRId64 " was changed or inserted: its hash does not follow from what it "
              "says and from event %" PRId64,
              row.event_id, before->event_id);
    /* Each row is held against what the one before it says, so that one change is one finding. */
    before->event_id = row.event_id;
    memcpy(before->hash, stored, sizeof stored);
    *proved = true;
    return PW_OK;
}

static enum pw_status read_sequence(struct verifying *verify, int64_t *out)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, sequence_sql, &statement, verify->err);
    bool row;

    *out = 0;
    if (status != PW_OK)
        return status;
    status = pw_db_step(verify->db, statement, &row, verify->err);
    if (status == PW_OK && row)
        *out = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status verify_chain(struct verifying *verify)
{
    struct pw_verify_result *result = verify->result;
    sqlite3_stmt *statement;
    bool row, proved = true;
    int64_t sequence;
    enum pw_status status =
        pw_chain_anchor(verify->db, &result->first, &result->pruned_at_ms, verify->err);

    if (status == PW_OK)
        status = read_sequence(verify, &sequence);
    if (status == PW_OK)
        status = pw_db_prepare(verify->db, chain_sql, &statement, verify->err);
    if (status != PW_OK)
        return status;
    result->last = result->first;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        result->events++;
        status = verify_link(verify, statement, &result->last, &proved);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    if (status != PW_OK)
        return status;
    if (result->last.event_id < sequence)
        tell_missing(verify, result->last.event_id + 1, sequence);
    else if (result->last.event_id > sequence)
        found(verify, "the sequence of events says %" PRId64 ", but there is event %" PRId64,
              sequence, result->last.event_id);
    return PW_OK;
}

/* Versions --------------------------------------------------------------------------------------
 */

/* What is known of the report key at hand. */
struct version_key {
    int64_t node_id;
    char baseline_id[256]; /* cut; long ones are told apart by their length */
    size_t baseline_len;
    bool any, has_current;
    int64_t last_pk, ends; /* of the version that ends last so far */
};

static bool is_same_key(const struct version_key *key, int64_t node_id, struct pw_str baseline)
{
    size_t kept = baseline.len < sizeof key->baseline_id ? baseline.len : sizeof key->baseline_id;

    return key->any && key->node_id == node_id && key->baseline_len == baseline.len &&
           memcmp(key->baseline_id, text_or_empty(baseline), kept) == 0;
}

static void start_key(struct version_key *key, int64_t node_id, struct pw_str baseline)
{
    size_t kept = baseline.len < sizeof key->baseline_id ? baseline.len : sizeof key->baseline_id;

    *key = (struct version_key){.node_id = node_id, .baseline_len = baseline.len, .any = true};
    key->ends = INT64_MIN;
    if (kept > 0)
        memcpy(key->baseline_id, baseline.data, kept);
}

static void verify_version(struct verifying *verify, sqlite3_stmt *statement,
                           struct version_key *key)
{
    int64_t node_id = sqlite3_column_int64(statement, 0);
    struct pw_str baseline = pw_db_column_str(statement, 1);
    int64_t pk = sqlite3_column_int64(statement, 2), from = sqlite3_column_int64(statement, 3);
    bool is_current = sqlite3_column_type(statement, 4) == SQLITE_NULL;
    int64_t to = is_current ? INT64_MAX : sqlite3_column_int64(statement, 4);

    if (!is_same_key(key, node_id, baseline))
        start_key(key, node_id, baseline);
    if (to < from)
        found(verify, "report %" PRId64 " (node %" PRId64 "): ends before it begins", pk, node_id);
    if (key->has_current && is_current)
        found(verify, "reports %" PRId64 " and %" PRId64 " (node %" PRId64 "): both are current",
              key->last_pk, pk, node_id);
    else if (from < key->ends)
        found(verify,
              "reports %" PRId64 " and %" PRId64 " (node %" PRId64 ", baseline %.*s) overlap",
              key->last_pk, pk, node_id, shown(baseline), text_or_empty(baseline));
    key->has_current = key->has_current || is_current;
    if (to >= key->ends) {
        key->ends = to;
        key->last_pk = pk;
    }
}

static enum pw_status verify_versions(struct verifying *verify)
{
    struct version_key key = {0};
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, versions_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        verify->result->reports++;
        verify_version(verify, statement, &key);
    }
    return status;
}

/* Nodes and deliveries --------------------------------------------------------------------------
 */

static void verify_node(struct verifying *verify, sqlite3_stmt *statement)
{
    int64_t node_id = sqlite3_column_int64(statement, 0);
    struct pw_str key = pw_db_column_str(statement, 1), says = pw_db_column_str(statement, 2);
    bool is_missing = sqlite3_column_int(statement, 3) != 0;
    int64_t current = sqlite3_column_int64(statement, 4);
    struct pw_str worst = pw_db_column_str(statement, 5);

    if (is_missing && current > 0)
        found(verify, "node %" PRId64 " (%.*s) is missing and has %" PRId64 " current reports",
              node_id, shown(key), text_or_empty(key), current);
    else if (!is_missing && !pw_str_eq(says, worst))
        found(verify, "node %" PRId64 " (%.*s) is stored as %.*s, its current reports make it %.*s",
              node_id, shown(key), text_or_empty(key), shown(says), text_or_empty(says),
              shown(worst), text_or_empty(worst));
}

static enum pw_status verify_nodes(struct verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, nodes_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        verify->result->nodes++;
        verify_node(verify, statement);
    }
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

static enum pw_status verify_deliveries(struct verifying *verify)
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
            found(verify, "delivery %lld (event %lld, hook %.*s) %s",
                  sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                  shown(hook), text_or_empty(hook), fault);
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
static enum pw_status run_check(struct verifying *verify)
{
    static enum pw_status (*const checks[PW_VERIFY_CHECK_COUNT])(struct verifying *) = {
        verify_file,     verify_references, verify_chain,
        verify_versions, verify_nodes,      verify_deliveries,
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
    struct verifying verify = {.db = db, .params = params, .result = result, .err = &error};

    *result = (struct pw_verify_result){0};
    for (int check = 0; check < PW_VERIFY_CHECK_COUNT; check++) {
        enum pw_status status;

        verify.check = (enum pw_verify_check)check;
        status = run_check(&verify);
        if (status == PW_OK)
            continue;
        if (status != PW_ECORRUPT)
            return pw_fail(err, status, "verifying %s: %s", pw_verify_check_name(verify.check),
                           error.message);
        /* The rest may still be read. */
        found(&verify, "cannot be read on: %s", error.message);
    }
    return PW_OK;
}
