/* The versions of each report: side by side, one after the other, none recorded ahead of now. */
#include <inttypes.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "store/verifying.h"

static const char versions_sql[] =
    "SELECT r.node_id, r.baseline_id, r.report_pk, r.valid_from, r.valid_to"
    "  FROM report AS r INDEXED BY report_by_node"
    " ORDER BY r.node_id, r.baseline_id, r.valid_from, r.valid_to IS NULL, r.valid_to";
static const char ahead_sql[] =
    "SELECT event_id, recorded_at FROM event WHERE recorded_at > ?1 ORDER BY recorded_at";

/* What is known of the report key at hand. */
struct version_key {
    int64_t node_id;
    struct pw_buffer baseline_id;
    bool any, has_current;
    int64_t last_pk, ends; /* of the version that ends last so far */
};

static enum pw_status look_at_key(struct version_key *key, int64_t node_id, struct pw_str baseline,
                                  struct pw_error *err)
{
    struct pw_buffer *kept = &key->baseline_id;

    if (key->any && key->node_id == node_id &&
        pw_str_eq(pw_buffer_str(kept), pw_str_empty(baseline) ? pw_str_of("") : baseline))
        return PW_OK;
    key->node_id = node_id;
    key->any = true;
    key->has_current = false;
    key->ends = INT64_MIN;
    pw_buffer_clear(kept);
    return pw_buffer_append_str(kept, baseline) == PW_OK ? PW_OK : pw_fail_nomem(err);
}

static void tell_ahead(struct pw_verifying *verify, const char *what, int64_t id, int64_t at_ms)
{
    char at[PW_ISO8601_SIZE];

    pw_verify_found(verify,
                    "the clock was wrong when %s %" PRId64 " was recorded: it says %s, which is "
                    "still to come",
                    what, id, pw_iso8601(at, at_ms));
}

static enum pw_status verify_version(struct pw_verifying *verify, sqlite3_stmt *statement,
                                     struct version_key *key)
{
    int64_t node_id = sqlite3_column_int64(statement, 0);
    struct pw_str baseline = pw_db_column_str(statement, 1);
    int64_t pk = sqlite3_column_int64(statement, 2), from = sqlite3_column_int64(statement, 3);
    bool is_current = sqlite3_column_type(statement, 4) == SQLITE_NULL;
    int64_t to = is_current ? INT64_MAX : sqlite3_column_int64(statement, 4);

    enum pw_status status = look_at_key(key, node_id, baseline, verify->err);

    if (status != PW_OK)
        return status;
    if (from > verify->now_ms + PW_CLOCK_SLACK_MS)
        tell_ahead(verify, "report", pk, from);
    if (to < from)
        pw_verify_found(verify, "report %" PRId64 " (node %" PRId64 "): ends before it begins", pk,
                        node_id);
    if (key->has_current && is_current)
        pw_verify_found(verify,
                        "reports %" PRId64 " and %" PRId64 " (node %" PRId64 "): both are current",
                        key->last_pk, pk, node_id);
    else if (from < key->ends)
        pw_verify_found(
            verify, "reports %" PRId64 " and %" PRId64 " (node %" PRId64 ", baseline %.*s) overlap",
            key->last_pk, pk, node_id, pw_verify_len(baseline), pw_verify_text(baseline));
    key->has_current = key->has_current || is_current;
    if (to >= key->ends) {
        key->ends = to;
        key->last_pk = pk;
    }
    return PW_OK;
}

static enum pw_status verify_ahead(struct pw_verifying *verify)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, ahead_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, verify->now_ms + PW_CLOCK_SLACK_MS);
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row)
        tell_ahead(verify, "event", sqlite3_column_int64(statement, 0),
                   sqlite3_column_int64(statement, 1));
    return status;
}

enum pw_status pw_verify_versions(struct pw_verifying *verify)
{
    struct version_key key = {0};
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, versions_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_buffer_init(&key.baseline_id, SIZE_MAX / 2); /* SQLite's own limit is below */
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        verify->result->reports++;
        status = verify_version(verify, statement, &key);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    pw_buffer_free(&key.baseline_id);
    return status == PW_OK ? verify_ahead(verify) : status;
}
