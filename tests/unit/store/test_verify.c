/* Verify says nothing of a history that is sound, and names what is wrong in one that is not. (What
 * it finds in the chain of the events: test_chain.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "history.h"
#include "scratch.h"

/* Does something that only somebody with his own sqlite3 can do, looks, and undoes it. */
static void finds(struct pw_db *db, const char *sql, const char *words)
{
    must_run(db, "BEGIN; DROP TRIGGER report_no_overlap; DROP TRIGGER report_ends_once;"
                 "DROP TRIGGER report_stays_where_it_is");
    must_run(db, sql);
    if (strstr(verify(db), words) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\" after %s", verify(db), words, sql);
    assert_true(verified()->total > 0);
    must_run(db, "ROLLBACK");
}

static void test_a_sound_history(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch), *reader;
    struct pw_error err;

    assert_string_equal(verify(db), ""); /* an empty one */
    make_history(db, 10);
    (void)sweep_fleet_told(db, 1, "cn-uccccc-", 9 * HOUR_MS);
    (void)sweep_fleet_told(db, 1, "ncc-cccccc", 10 * HOUR_MS);
    assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &reader, &err), PW_OK);
    assert_string_equal(verify(reader), "");
    assert_int_equal(verified()->total, 0);
    assert_int_equal(verified()->nodes, 10);
    assert_int_equal(verified()->events, number(db, "SELECT count(*) FROM event"));
    assert_int_equal(verified()->reports, number(db, "SELECT count(*) FROM report"));
    assert_int_equal(verified()->deliveries, number(db, "SELECT count(*) FROM delivery"));
    assert_int_equal(verified()->last.event_id, verified()->events);
    pw_db_close(reader);
    pw_db_close(db);
}

static void test_versions(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 2);
    finds(db, "UPDATE report SET valid_to = valid_to + 1 WHERE report_pk = 1",
          "versions: reports 1 and 3 (node 1, baseline base) overlap");
    finds(db, "UPDATE report SET valid_from = valid_from - 1 WHERE report_pk = 3", "overlap");
    finds(db,
          "DROP INDEX report_current; INSERT INTO report (node_id, baseline_id, status, valid_from)"
          " SELECT node_id, baseline_id, status, valid_from + 1 FROM report WHERE report_pk = 5",
          "both are current");
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

/* Two baselines whose ids differ behind the 300th byte only. */
static void test_long_baseline_ids(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 1);
    must_run(db, "INSERT INTO report (node_id, baseline_id, status, valid_from)"
                 " VALUES (1, hex(zeroblob(150)) || 'a', 'compliant', 1),"
                 "        (1, hex(zeroblob(150)) || 'b', 'compliant', 1)");
    assert_string_equal(verify(db), "");
    finds(db,
          "DROP INDEX report_current; INSERT INTO report (node_id, baseline_id, status, valid_from)"
          " VALUES (1, hex(zeroblob(150)) || 'b', 'compliant', 1)",
          "both are current");
    pw_db_close(db);
}

/* What was recorded while the clock was ahead stays, and is named. */
static void test_times_to_come(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);

    (void)sweep_fleet(db, source_id, "c", HOUR_MS);
    (void)sweep_fleet(db, source_id, "n", INT64_C(4102444800000)); /* 2100 */
    assert_string_equal(verify(db),
                        "versions: the clock was wrong when report 2 was recorded: it says "
                        "2100-01-01T00:00:00.000Z, which is still to come\n"
                        "versions: the clock was wrong when event 2 was recorded: it says "
                        "2100-01-01T00:00:00.000Z, which is still to come\n");
    (void)sweep_fleet(db, source_id, "c", 2 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT recorded_at > 4e12 FROM event ORDER BY event_id"),
                        "0\n1\n0");
    pw_db_close(db);
}

static void test_schema(void **state)
{
    static const struct {
        const char *sql, *words;
    } changes[] = {
        {"DROP TRIGGER report_no_overlap",
         "schema: trigger report_no_overlap (of report) is missing"},
        {"DROP INDEX event_by_time", "schema: index event_by_time (of event) is missing"},
        {"DROP VIEW remediation; CREATE VIEW remediation AS SELECT 0 AS hours",
         "schema: view remediation (of remediation) is not the one that patchwatchd made"},
        {"ALTER TABLE node ADD COLUMN extra TEXT",
         "schema: table node (of node) is not the one that patchwatchd made"},
        {"CREATE TRIGGER hush AFTER INSERT ON delivery BEGIN DELETE FROM delivery; END",
         "schema: trigger hush (of delivery) is not patchwatchd's"},
        {"CREATE TABLE notes (text)", "schema: table notes (of notes) is not patchwatchd's"},
        {"CREATE INDEX aaa ON node (ip)", "schema: index aaa (of node) is not patchwatchd's"},
        {"DROP TABLE mute", "schema: table mute (of mute) is missing"},
    };
    struct pw_db *db = open_writer(*state);

    make_history(db, 3);
    must_run(db, "ANALYZE"); /* SQLite's own tables are none of ours */
    assert_string_equal(verify(db), "");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        must_run(db, "BEGIN");
        must_run(db, changes[i].sql);
        if (strstr(verify(db), changes[i].words) == NULL || verified()->total != 1)
            fail_msg("%s: %s", changes[i].sql, verify(db));
        must_run(db, "ROLLBACK");
    }
    pw_db_close(db);
}

static void test_status(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 2);
    finds(db, "UPDATE node SET status = 'non_compliant' WHERE node_key = 'ECS/i-1'",
          " (ECS/i-1) is stored as non_compliant, its current reports make it compliant");
    finds(db, "UPDATE report SET status = 'unknown' WHERE valid_to IS NULL AND node_id = 1",
          "its current reports make it unknown");
    finds(db, "UPDATE node SET missing_since = 5 WHERE node_id = 2",
          "is missing and has 1 current reports");
    finds(
        db, "UPDATE node SET last_definite_status = 'non_compliant' WHERE node_id = 2",
        "status: node 2 (ECS/i-0) was last non_compliant, but its newest transition, event 5, made "
        "it compliant");
    pw_db_close(db);
}

static void test_deliveries_and_references(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);

    (void)sweep_fleet_told(db, source_id, "cc", HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nn", 2 * HOUR_MS);
    assert_string_equal(verify(db), "");
    finds(db, "UPDATE delivery SET state = 'delivered', delivered_at = 5 WHERE delivery_id = 1",
          "deliveries: delivery 1 (event 2, hook pager) is delivered, but was never tried");
    finds(db, "UPDATE delivery SET claimed_at = 5 WHERE delivery_id = 2",
          "its attempt was not counted");
    /* Foreign keys and CHECKs bind only those who leave them on. */
    must_run(db, "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON");
    finds(db, "DELETE FROM node WHERE node_id = 1",
          "references: report: row 1 refers to a row of node that is not there");
    finds(db, "DELETE FROM event WHERE event_id = 2", "its event is not there");
    finds(db, "UPDATE delivery SET delivered_at = 5 WHERE delivery_id = 1",
          "has a time of delivery, but is not delivered");
    pw_db_close(db);
}

static void test_many_findings_are_counted(void **state)
{
    struct pw_db *db = open_writer(*state);

    make_history(db, 300);
    must_run(db, "BEGIN; UPDATE node SET status = 'unknown'");
    (void)verify(db);
    assert_int_equal(verified()->findings[PW_VERIFY_STATUS], 300);
    assert_int_equal(verified()->total, 300);
    must_run(db, "ROLLBACK");
    pw_db_close(db);
}

/* Pages that were overwritten: found, and the rest is looked at all the same. */
static void test_damaged_pages(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    char garbage[4096], wal[128];
    int64_t page, bytes;
    struct pw_error err;
    int fd;

    make_history(db, 200);
    page = number(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_type'");
    pw_db_close(db);
    (void)snprintf(wal, sizeof wal, "%s-wal", scratch->path);
    assert_int_equal(truncate(wal, 0), 0); /* checkpointed: all is in the file */
    memset(garbage, 0x77, sizeof garbage);
    fd = open(scratch->path, O_RDWR);
    bytes = pwrite(fd, garbage, sizeof garbage, (page - 1) * 4096);
    assert_int_equal(bytes, 4096);
    (void)close(fd);
    assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &db, &err), PW_OK);
    assert_non_null(strstr(verify(db), "file: "));
    assert_true(verified()->findings[PW_VERIFY_FILE] > 0);
    assert_int_equal(verified()->events, 401);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_sound_history, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_versions, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_long_baseline_ids, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_times_to_come, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_schema, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_status, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_deliveries_and_references, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_many_findings_are_counted, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_pages, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
