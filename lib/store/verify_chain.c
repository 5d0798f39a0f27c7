/* The chain of the events: every link, its two ends, and what other rows know of it. Whoever can
 * write to the file can forge all of this together; the link that was noted elsewhere is what he
 * cannot reach. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "store/verifying.h"

static const char chain_sql[] =
    "SELECT " PW_CHAIN_COLUMNS ", chain_hash FROM event ORDER BY event_id";
static const char sequence_sql[] =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0),"
    " coalesce((SELECT max(event_id) FROM chain_start), 0),"
    " coalesce((SELECT max(kept_from) FROM chain_anchor), 0)";
/* Of a sweep that ended (which is when its events are recorded) after all that could be pruned, or
 * began after the first event that is left, every transition must be there. More than it counted is
 * what a kill leaves. */
static const char sweeps_sql[] =
    "SELECT w.sweep_id, w.transitions, w.left FROM"
    " (SELECT s.sweep_id, s.transitions,"
    "         (SELECT count(*) FROM event AS e WHERE e.sweep_id = s.sweep_id AND +e.type IN"
    "           ('io.patchwatch.node.compliant', 'io.patchwatch.node.non_compliant')) AS left"
    "    FROM sweep AS s"
    "   WHERE s.transitions > 0"
    "     AND s.sweep_id > coalesce((SELECT max(sweep_id) FROM chain_start), 0)"
    "     AND (s.ended_at BETWEEN ?1 AND ?2"
    "          OR EXISTS (SELECT 1 FROM (SELECT sweep_id, recorded_at FROM event"
    "                                     ORDER BY event_id LIMIT 1) AS f"
    "                      WHERE s.sweep_id > f.sweep_id AND s.started_at > f.recorded_at"
    "                        AND s.ended_at BETWEEN s.started_at AND ?2"
    "                        AND (SELECT x.ended_at FROM sweep AS x WHERE x.sweep_id = f.sweep_id)"
    "                            < s.started_at"
    "                        AND (SELECT x.started_at FROM sweep AS x"
    "                              WHERE x.sweep_id = f.sweep_id) <= f.recorded_at))) AS w"
    " WHERE w.left < w.transitions ORDER BY w.sweep_id";
/* Retention takes versions before events. */
static const char older_sql[] = "SELECT count(*), min(report_pk) FROM report WHERE valid_to < ?1";
static const char link_sql[] = "SELECT chain_hash FROM event WHERE event_id = ?1";

/* What is known before the walk. */
struct ends {
    int64_t sequence;
    int64_t start;     /* numbers up to it may have gaps */
    int64_t kept_from; /* of the anchor; 0 where there is none */
};

static void tell_missing(struct pw_verifying *verify, const struct ends *ends, int64_t first,
                         int64_t last)
{
    if (first <= ends->start)
        first = ends->start + 1;
    if (first == last)
        pw_verify_found(verify, "event %" PRId64 " was removed", first);
    else
        pw_verify_found(verify, "events %" PRId64 " to %" PRId64 " were removed", first, last);
}

/* One event behind *before. *proved: the hash in *before is what the chain says, so that the event
 * can be held against it. */
static enum pw_status verify_link(struct pw_verifying *verify, sqlite3_stmt *statement,
                                  const struct ends *ends, struct pw_chain_link *before,
                                  bool *proved)
{
    unsigned char stored[PW_CHAIN_BYTES], computed[PW_CHAIN_BYTES];
    struct pw_chain_row row;
    enum pw_status status;
    bool has_hash;

    pw_chain_row_read(statement, 0, &row);
    has_hash = pw_chain_hash_read(statement, PW_CHAIN_COLUMN_COUNT, stored);
    if (row.event_id <= before->event_id) {
        pw_verify_found(verify,
                        "event %" PRId64 " was inserted: events up to %" PRId64 " are pruned",
                        row.event_id, before->event_id);
        return PW_OK;
    }
    if (row.event_id != before->event_id + 1 && row.event_id - 1 > ends->start) {
        tell_missing(verify, ends, before->event_id + 1, row.event_id - 1);
        *proved = false;
    }
    status = pw_chain_hash(before->hash, &row, computed, verify->err);
    if (status != PW_OK)
        return status;
    if (!has_hash)
        pw_verify_found(verify, "event %" PRId64 " was inserted: it has no hash", row.event_id);
    else if (*proved && memcmp(stored, computed, sizeof stored) != 0)
        pw_verify_found(verify,
                        "event %" PRId64
                        " was changed or inserted: its hash does not follow from what it "
                        "says and from event %" PRId64,
                        row.event_id, before->event_id);
    /* Each row is held against what the one before it says, so that one change is one finding. */
    before->event_id = row.event_id;
    memcpy(before->hash, stored, sizeof stored);
    *proved = true;
    return PW_OK;
}

static enum pw_status read_ends(struct pw_verifying *verify, struct ends *out)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, sequence_sql, &statement, verify->err);
    bool row;

    *out = (struct ends){0};
    if (status != PW_OK)
        return status;
    status = pw_db_step(verify->db, statement, &row, verify->err);
    if (status == PW_OK && row)
        *out = (struct ends){sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                             sqlite3_column_int64(statement, 2)};
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status verify_links(struct pw_verifying *verify, const struct ends *ends)
{
    struct pw_verify_result *result = verify->result;
    sqlite3_stmt *statement;
    bool row, proved = true;
    enum pw_status status = pw_db_prepare(verify->db, chain_sql, &statement, verify->err);

    if (status != PW_OK)
        return status;
    result->last = result->first;
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row) {
        result->events++;
        status = verify_link(verify, statement, ends, &result->last, &proved);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    if (status != PW_OK)
        return status;
    if (result->last.event_id < ends->sequence && ends->sequence > ends->start)
        tell_missing(verify, ends, result->last.event_id + 1, ends->sequence);
    else if (result->last.event_id > ends->sequence)
        pw_verify_found(verify,
                        "the sequence of events says %" PRId64 ", but there is event %" PRId64,
                        ends->sequence, result->last.event_id);
    return PW_OK;
}

/* What other rows know ------------------------------------------------------------------------ */

static enum pw_status verify_sweeps(struct pw_verifying *verify, const struct ends *ends)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(verify->db, sweeps_sql, &statement, verify->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, ends->kept_from);
    pw_db_bind_int(statement, 2, verify->now_ms);
    while ((status = pw_db_step(verify->db, statement, &row, verify->err)) == PW_OK && row)
        pw_verify_found(verify,
                        "events were removed: sweep %lld raised %lld transitions, %lld of them are "
                        "left",
                        sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                        sqlite3_column_int64(statement, 2));
    return status;
}

/* An anchor says that all before it was pruned: then that was so long ago that the versions of that
 * time are gone too. */
static enum pw_status verify_anchor(struct pw_verifying *verify, const struct ends *ends)
{
    const struct pw_verify_result *result = verify->result;
    char at[PW_ISO8601_SIZE];
    sqlite3_stmt *statement;
    enum pw_status status;
    bool row;

    if (result->first.event_id == 0)
        return PW_OK;
    if (result->pruned_at_ms > verify->now_ms + PW_CLOCK_SLACK_MS)
        pw_verify_found(verify,
                        "events up to %" PRId64 " are said to be pruned at %s, which is still to "
                        "come",
                        result->first.event_id, pw_iso8601(at, result->pruned_at_ms));
    if (ends->kept_from > result->pruned_at_ms)
        pw_verify_found(verify,
                        "events up to %" PRId64 " are said to be pruned for being older than the "
                        "time at which that was",
                        result->first.event_id);
    status = pw_db_prepare(verify->db, older_sql, &statement, verify->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, ends->kept_from);
    status = pw_db_step(verify->db, statement, &row, verify->err);
    if (status == PW_OK && row && sqlite3_column_int64(statement, 0) > 0)
        pw_verify_found(verify,
                        "events up to %" PRId64 " are said to be pruned for being older than %s, "
                        "but report %lld, which ended before, is there: retention did not do that",
                        result->first.event_id, pw_iso8601(at, ends->kept_from),
                        sqlite3_column_int64(statement, 1));
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status verify_expected(struct pw_verifying *verify)
{
    const struct pw_chain_link *expected = verify->params->expected;
    const struct pw_chain_link *first = &verify->result->first;
    unsigned char stored[PW_CHAIN_BYTES];
    char hex[PW_CHAIN_HEX_SIZE];
    sqlite3_stmt *statement;
    enum pw_status status;
    bool row;

    if (expected == NULL)
        return PW_OK;
    if (expected->event_id < first->event_id) {
        pw_verify_found(verify,
                        "event %" PRId64
                        ", which was noted elsewhere, is pruned (all up to %" PRId64
                        " are): its hash cannot be compared any more",
                        expected->event_id, first->event_id);
        return PW_OK;
    }
    status = pw_db_prepare(verify->db, link_sql, &statement, verify->err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, expected->event_id);
    status = pw_db_step(verify->db, statement, &row, verify->err);
    if (status != PW_OK)
        return status;
    if (row) {
        (void)pw_chain_hash_read(statement, 0, stored);
    } else if (expected->event_id == first->event_id && first->event_id > 0) {
        memcpy(stored, first->hash, sizeof stored);
        row = true;
    }
    (void)sqlite3_reset(statement);
    if (!row)
        pw_verify_found(
            verify, "event %" PRId64 ", which was noted elsewhere, is not there: it was removed",
            expected->event_id);
    else if (memcmp(stored, expected->hash, sizeof stored) != 0)
        pw_verify_found(verify,
                        "event %" PRId64 " has the hash %s, not the one that was noted elsewhere: "
                        "the chain was written anew",
                        expected->event_id, pw_chain_hex(hex, stored));
    return PW_OK;
}

enum pw_status pw_verify_chain(struct pw_verifying *verify)
{
    struct pw_verify_result *result = verify->result;
    struct ends ends;
    enum pw_status status =
        pw_chain_anchor(verify->db, &result->first, &result->pruned_at_ms, verify->err);

    if (status == PW_OK)
        status = read_ends(verify, &ends);
    if (status == PW_OK)
        status = verify_links(verify, &ends);
    if (status == PW_OK)
        status = verify_sweeps(verify, &ends);
    if (status == PW_OK)
        status = verify_anchor(verify, &ends);
    return status == PW_OK ? verify_expected(verify) : status;
}
