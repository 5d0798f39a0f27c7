/* The hash chain of the events: what pw_event_record writes is what the documentation says, and
 * nobody changes, removes or inserts an event unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "history.h"
#include "scratch.h"
#include "store/chain.h"
#include "store/migrate.h"

static const unsigned char zeros[PW_CHAIN_BYTES];

/* The encoding once more, by hand, as docs/history.md describes it. */
static size_t put_number(unsigned char *at, int64_t value)
{
    at[0] = 'I';
    for (int i = 0; i < 8; i++)
        at[1 + i] = (unsigned char)((uint64_t)value >> (56 - 8 * i));
    return 9;
}

static size_t put_text(unsigned char *at, const char *text)
{
    size_t len = strlen(text);

    (void)put_number(at, (int64_t)len);
    at[0] = 'T';
    memcpy(at + 9, text, len);
    return 9 + len;
}

static size_t put_null(unsigned char *at)
{
    at[0] = 'N';
    return 1;
}

static void test_encoding_is_the_documented_one(void **state)
{
    struct pw_chain_row row = {
        .event_id = 7,
        .uid = pw_str_of("u"),
        .type = pw_str_of("io.patchwatch.node.missing"),
        .source_id = 1,
        .node_id = 258,
        .sweep_id = PW_CHAIN_NULL,
        .from_status = pw_str_of("compliant"),
        .to_status = PW_STR_NULL,
        .cause = pw_str_of(""),
        .occurred_at_ms = -1,
        .recorded_at_ms = INT64_C(1700000000000),
        .data = pw_str_of("{\"a\":1}"),
    };
    unsigned char bytes[512], expected[PW_CHAIN_BYTES], actual[PW_CHAIN_BYTES];
    size_t used = PW_CHAIN_BYTES;
    struct pw_error err;

    (void)state;
    memset(bytes, 0xab, PW_CHAIN_BYTES);
    used += put_number(bytes + used, 7);
    used += put_text(bytes + used, "u");
    used += put_text(bytes + used, "io.patchwatch.node.missing");
    used += put_number(bytes + used, 1);
    used += put_number(bytes + used, 258);
    used += put_null(bytes + used);
    used += put_text(bytes + used, "compliant");
    used += put_null(bytes + used);
    used += put_text(bytes + used, "");
    used += put_number(bytes + used, -1);
    used += put_number(bytes + used, INT64_C(1700000000000));
    used += put_text(bytes + used, "{\"a\":1}");
    assert_int_equal(EVP_Digest(bytes, used, expected, NULL, EVP_sha256(), NULL), 1);
    assert_int_equal(pw_chain_hash(bytes, &row, actual, &err), PW_OK);
    assert_memory_equal(actual, expected, PW_CHAIN_BYTES);
    /* An empty text is not null. */
    row.cause = PW_STR_NULL;
    assert_int_equal(pw_chain_hash(bytes, &row, actual, &err), PW_OK);
    assert_memory_not_equal(actual, expected, PW_CHAIN_BYTES);
}

static void test_hex(void **state)
{
    unsigned char hash[PW_CHAIN_BYTES] = {0x00, 0x9f, 0xff};
    char hex[PW_CHAIN_HEX_SIZE];

    (void)state;
    assert_string_equal(pw_chain_hex(hex, hash),
                        "009fff0000000000000000000000000000000000000000000000000000000000");
}

/* What a recorded event holds is the hash of its row as it is read back. */
static void test_recorded_events_are_chained(void **state)
{
    struct pw_db *db = open_writer(*state);
    unsigned char before[PW_CHAIN_BYTES] = {0};
    static const char sql[] =
        "SELECT " PW_CHAIN_COLUMNS ", chain_hash FROM event ORDER BY event_id";
    struct pw_chain_link end;
    sqlite3_stmt *statement;
    struct pw_error err;
    bool row;
    int events = 0;

    assert_int_equal(pw_chain_end(db, &end, &err), PW_OK);
    assert_int_equal(end.event_id, 0);
    assert_memory_equal(end.hash, zeros, PW_CHAIN_BYTES);
    make_history(db, 5);
    assert_int_equal(pw_db_prepare(db, sql, &statement, &err), PW_OK);
    while (pw_db_step(db, statement, &row, &err) == PW_OK && row) {
        unsigned char computed[PW_CHAIN_BYTES], stored[PW_CHAIN_BYTES];
        struct pw_chain_row content;

        pw_chain_row_read(statement, 0, &content);
        assert_int_equal(pw_chain_hash(before, &content, computed, &err), PW_OK);
        assert_true(pw_chain_hash_read(statement, PW_CHAIN_COLUMN_COUNT, stored));
        assert_memory_equal(stored, computed, PW_CHAIN_BYTES);
        memcpy(before, stored, PW_CHAIN_BYTES);
        events++;
    }
    assert_true(events > 5);
    assert_int_equal(pw_chain_end(db, &end, &err), PW_OK);
    assert_int_equal(end.event_id, events);
    assert_memory_equal(end.hash, before, PW_CHAIN_BYTES);
    must_refuse(db, "UPDATE event SET chain_hash = x'00'", "CHECK");
    pw_db_close(db);
}

/* The row of an event that everybody can forget, as version 2 wrote it, gets its hash. */
static void test_rows_of_older_versions_are_chained(void **state)
{
    struct scratch *scratch = *state;
    sqlite3 *handle;
    struct pw_db *db;

    assert_int_equal(sqlite3_open(scratch->path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, pw_sql_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, pw_sql_views, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, pw_sql_migration_2, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(handle,
                     "PRAGMA application_id = 1347900483; PRAGMA user_version = 2;"
                     "INSERT INTO source (name, endpoint) VALUES ('old', 'https://x');"
                     "INSERT INTO event (uid, type, source_id, occurred_at, recorded_at, data)"
                     " VALUES ('a', 'io.patchwatch.source.failing', 1, 1, 1, '{}'),"
                     "        ('b', 'io.patchwatch.source.recovered', 1, 2, 2, '{}');"
                     "INSERT INTO node (node_id, source_id, node_key, status, status_since,"
                     " first_seen_at, last_seen_at) VALUES (1, 1, 'ECS/a', 'compliant', 1, 1, 1);"
                     /* the clock was set back between the first and the second */
                     "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                     " VALUES (1, 'b', 'compliant', 100, 200), (1, 'b', 'unknown', 150, 160),"
                     " (1, 'b', 'compliant', 160, NULL), (1, 'c', 'compliant', 10, NULL)",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);

    db = open_writer(scratch);
    assert_int_equal(number(db, "PRAGMA user_version"), PW_DB_SCHEMA_VERSION);
    assert_string_equal(rows(db, "SELECT valid_from, valid_to FROM report ORDER BY report_pk"),
                        "100|200\n200|200\n200|-\n10|-");
    assert_string_equal(verify(db), "");
    make_history(db, 2);
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

static void test_changes_are_found_and_named(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 4);
    assert_string_equal(verify(db), "");

    must_run(db, "BEGIN; UPDATE event SET data = '{}' WHERE event_id = 3");
    assert_non_null(strstr(verify(db), "chain: event 3 was changed"));
    must_run(db, "ROLLBACK");
    must_run(db, "BEGIN; UPDATE event SET occurred_at = occurred_at + 1 WHERE event_id = 2");
    assert_non_null(strstr(verify(db), "chain: event 2 was changed"));
    assert_null(strstr(verify(db), "event 3 was"));
    must_run(db, "ROLLBACK");
    must_run(db, "BEGIN; UPDATE event SET chain_hash = zeroblob(32) WHERE event_id = 2");
    assert_non_null(strstr(verify(db), "chain: event 2 was changed"));
    must_run(db, "ROLLBACK; BEGIN; UPDATE event SET sweep_id = NULL WHERE event_id = 1");
    assert_non_null(strstr(verify(db), "chain: event 1 was changed"));
    must_run(db, "ROLLBACK");
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

static void test_removals_are_found_and_named(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t last;

    make_history(db, 4);
    last = number(db, "SELECT max(event_id) FROM event");

    must_run(db, "BEGIN; DELETE FROM event WHERE event_id = 2");
    assert_string_equal(verify(db),
                        "chain: event 2 was removed\n"
                        "chain: events were removed: sweep 2 raised 4 transitions, 3 of "
                        "them are left\n");
    must_run(db, "ROLLBACK; BEGIN; DELETE FROM event WHERE event_id IN (1, 2)");
    assert_non_null(strstr(verify(db), "chain: events 1 to 2 were removed\n"));
    must_run(db, "ROLLBACK; BEGIN;"
                 " DELETE FROM event WHERE event_id = (SELECT max(event_id) FROM event)");
    {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "chain: event %lld was removed\n",
                       (long long)last);
        assert_non_null(strstr(verify(db), expected));
    }
    /* And so it is once the daemon has gone on. */
    record_event(db, 1, 90000);
    assert_non_null(strstr(verify(db), "was removed"));
    assert_null(strstr(verify(db), "changed"));
    must_run(db, "ROLLBACK; BEGIN; DELETE FROM event");
    assert_non_null(strstr(verify(db), "chain: events 1 to"));
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

static void test_insertions_are_found_and_named(void **state)
{
    struct pw_db *db = open_writer(*state);
    static const char insert[] =
        "BEGIN; INSERT INTO event (uid, type, source_id, occurred_at, recorded_at, data)"
        " VALUES ('x', 'io.patchwatch.node.compliant', 1, 1, 1, '{}')";

    make_history(db, 2);
    must_run(db, insert);
    assert_non_null(strstr(verify(db), "was inserted: it has no hash"));
    /* The daemon goes on behind it; the one that is wrong is the only one. */
    record_event(db, 1, 90000);
    assert_non_null(strstr(verify(db), "was inserted: it has no hash"));
    assert_null(strstr(verify(db), "changed"));
    must_run(db, "UPDATE event SET chain_hash = zeroblob(32) WHERE uid = 'x'");
    assert_non_null(strstr(verify(db), "was changed or inserted"));
    must_run(db, "ROLLBACK");
    /* In the place of one that was removed. */
    must_run(db, "BEGIN; UPDATE event SET uid = 'y', type = 'io.patchwatch.node.missing'"
                 " WHERE event_id = 2");
    assert_non_null(strstr(verify(db), "event 2 was changed or inserted"));
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

/* Whoever cuts the end and sets the sequence back leaves a chain that fits: the sweeps know, and
 * the node itself does. */
static void test_a_cut_end_is_found(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 4); /* events 2 to 5: bad, 6 to 9: good */
    must_run(db, "BEGIN; DELETE FROM event WHERE event_id = 9;"
                 "UPDATE sqlite_sequence SET seq = 8 WHERE name = 'event'");
    assert_string_equal(verify(db),
                        "chain: events were removed: sweep 3 raised 4 transitions, 3 of them are "
                        "left\n"
                        "status: node 4 (ECS/i-2) was last compliant, but its newest transition, "
                        "event 5, made it non_compliant\n");
    must_run(db, "DELETE FROM event; UPDATE sqlite_sequence SET seq = 0 WHERE name = 'event'");
    assert_non_null(strstr(verify(db), "sweep 2 raised 4 transitions, 0 of them are left"));
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

static void test_a_forged_anchor_is_found(void **state)
{
    struct pw_db *db = open_writer(*state);
    static const char forge[] = "BEGIN; INSERT INTO chain_anchor SELECT event_id, chain_hash, %s"
                                " FROM event WHERE event_id = 5; DELETE FROM event WHERE event_id"
                                " <= 5";
    static const struct {
        const char *times, *words;
    } forgeries[] = {
        {"7200000, 0", "sweep 2 raised 4 transitions, 0 of them are left"},
        {"7200000, 7200000", "sweep 2 raised 4 transitions, 0 of them are left"},
        /* after the second sweep: then its versions would be gone too */
        {"99000000, 10800001", "report 1, which ended before, is there"},
        {"99000000, 99000001", "older than the time at which that was"},
        {"99e12, 0", "pruned at 5107-"},
    };

    make_history(db, 4);
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        char sql[512];
        (void)snprintf(sql, sizeof sql, forge, forgeries[i].times);
        must_run(db, sql);
        if (strstr(verify(db), forgeries[i].words) == NULL)
            fail_msg("%s: \"%s\" does not speak of \"%s\"", forgeries[i].times, verify(db),
                     forgeries[i].words);
        must_run(db, "ROLLBACK");
    }
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

static void test_a_link_that_was_noted_elsewhere(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_chain_link noted, ahead;
    struct pw_error err;

    make_history(db, 2);
    assert_int_equal(pw_chain_end(db, &noted, &err), PW_OK);
    assert_string_equal(verify_expecting(db, &noted), "");
    ahead = noted;
    ahead.event_id++;
    assert_non_null(strstr(verify_expecting(db, &ahead), "is not there: it was removed"));
    record_event(db, 1, 9 * HOUR_MS);
    assert_string_equal(verify_expecting(db, &noted), "");
    noted.hash[31] ^= 1;
    assert_non_null(strstr(verify_expecting(db, &noted), "not the one that was noted elsewhere"));
    noted.hash[31] ^= 1;
    /* The anchor is compared still; what was before it cannot be. */
    must_run(db, "BEGIN; INSERT INTO chain_anchor SELECT event_id, chain_hash, 99, 99 FROM event"
                 " WHERE event_id = 5; DELETE FROM event WHERE event_id <= 5");
    assert_null(strstr(verify_expecting(db, &noted), "noted elsewhere"));
    noted.hash[0] ^= 1;
    assert_non_null(strstr(verify_expecting(db, &noted), "noted elsewhere"));
    noted.event_id = 4;
    assert_non_null(strstr(verify_expecting(db, &noted), "cannot be compared any more"));
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

static void make_version_2(const char *path, const char *events)
{
    sqlite3 *handle;
    const char *const sqls[] = {pw_sql_schema, pw_sql_views, pw_sql_migration_2,
                                "PRAGMA application_id = 1347900483; PRAGMA user_version = 2;"
                                "INSERT INTO source (name, endpoint) VALUES ('prod', 'https://x')",
                                events};

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    for (size_t i = 0; i < sizeof sqls / sizeof *sqls; i++)
        assert_int_equal(sqlite3_exec(handle, sqls[i], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

/* Gaps of a time without a chain are nobody's fault; what is removed later is found all the same.
 */
static void test_gaps_of_older_versions(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db;

    make_version_2(scratch->path,
                   "INSERT INTO event (event_id, uid, type, source_id, occurred_at, recorded_at,"
                   " data) VALUES (5, 'a', 'io.patchwatch.source.failing', 1, 1, 1, '{}'),"
                   " (6, 'b', 'io.patchwatch.source.recovered', 1, 2, 2, '{}'),"
                   " (9, 'c', 'io.patchwatch.source.failing', 1, 3, 3, '{}'),"
                   " (12, 'd', 'io.patchwatch.source.failing', 1, 3, 3, '{}');"
                   "INSERT INTO sweep (source_id, started_at, ended_at, outcome, transitions)"
                   " VALUES (1, 1, 1, 'complete', 7);"
                   "DELETE FROM event WHERE event_id = 12");
    db = open_writer(scratch);
    assert_string_equal(rows(db, "SELECT event_id, sweep_id, migrated_at > 0 FROM chain_start"),
                        "12|1|1");
    assert_string_equal(rows(db, "SELECT event_id, kept_from FROM chain_anchor"), "4|0");
    assert_string_equal(verify(db), "");
    make_history(db, 2);
    assert_string_equal(verify(db), "");
    assert_int_equal(verified()->first.event_id, 4);
    assert_int_equal(number(db, "SELECT min(event_id) FROM event WHERE event_id > 9"), 13);
    must_run(db, "BEGIN; DELETE FROM event WHERE event_id = 6");
    assert_non_null(strstr(verify(db), "event 9 was changed or inserted"));
    must_run(db, "ROLLBACK; BEGIN; DELETE FROM event WHERE event_id = 13");
    assert_non_null(strstr(verify(db), "chain: event 13 was removed"));
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

/* Nothing is left of the events, but their numbers were used. */
static void test_older_version_without_events(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db;

    make_version_2(scratch->path,
                   "INSERT INTO event (event_id, uid, type, source_id, occurred_at, recorded_at,"
                   " data) VALUES (5, 'a', 'io.patchwatch.source.failing', 1, 1, 1, '{}');"
                   "DELETE FROM event");
    db = open_writer(scratch);
    assert_string_equal(verify(db), "");
    make_history(db, 2);
    assert_string_equal(verify(db), "");
    assert_int_equal(number(db, "SELECT min(event_id) FROM event"), 6);
    pw_db_close(db);
}

static void test_anchor(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_chain_link link = {0};
    int64_t pruned_at_ms;
    struct pw_error err;

    assert_int_equal(pw_chain_anchor(db, &link, &pruned_at_ms, &err), PW_OK);
    assert_int_equal(link.event_id, 0);
    for (int i = 1; i <= 2; i++) {
        link = (struct pw_chain_link){.event_id = i * 10, .hash = {(unsigned char)i}};
        assert_int_equal(pw_chain_set_anchor(db, &link, 0, 77, &err), PW_OK);
    }
    assert_int_equal(number(db, "SELECT count(*) FROM chain_anchor"), 1);
    assert_int_equal(pw_chain_anchor(db, &link, &pruned_at_ms, &err), PW_OK);
    assert_int_equal(link.event_id, 20);
    assert_int_equal(link.hash[0], 2);
    assert_int_equal(pruned_at_ms, 77);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoding_is_the_documented_one),
        cmocka_unit_test(test_hex),
        cmocka_unit_test_setup_teardown(test_recorded_events_are_chained, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rows_of_older_versions_are_chained, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_changes_are_found_and_named, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_removals_are_found_and_named, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_insertions_are_found_and_named, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_cut_end_is_found, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_forged_anchor_is_found, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_link_that_was_noted_elsewhere, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_gaps_of_older_versions, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_older_version_without_events, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_anchor, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
