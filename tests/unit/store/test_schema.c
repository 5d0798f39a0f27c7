/* The schema takes what is right and refuses what cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "scratch.h"
#include "store/migrate.h"

#define ONE_SOURCE "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'prod', 'https://x');"
#define ONE_NODE                                                                                   \
    "INSERT INTO node (node_id, source_id, node_key, status, status_since, first_seen_at,"         \
    " last_seen_at) VALUES (1, 1, 'ECS/a', 'compliant', 1, 1, 1);"
#define ONE_EVENT                                                                                  \
    "INSERT INTO event (event_id, uid, type, source_id, node_id, occurred_at, recorded_at, data)"  \
    " VALUES (1, 'u1', 'io.patchwatch.node.compliant', 1, 1, 1, 1, '{}');"

static struct pw_db *with_a_node(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, ONE_SOURCE ONE_NODE ONE_EVENT);
    return db;
}

static void test_identity(void **state)
{
    struct pw_db *db = open_writer(*state);

    assert_int_equal(number(db, "PRAGMA application_id"), 0x50575443);
    assert_int_equal(number(db, "PRAGMA user_version"), PW_DB_SCHEMA_VERSION);
    assert_string_equal(rows(db, "PRAGMA journal_mode"), "wal");
    assert_int_equal(number(db, "SELECT count(*) FROM pragma_table_list"
                                " WHERE schema = 'main' AND type = 'table' AND NOT strict"
                                " AND name NOT LIKE 'sqlite_%'"),
                     0);
    assert_string_equal(rows(db, "SELECT name FROM sqlite_schema WHERE type = 'view'"
                                 " ORDER BY name"),
                        "current_nodes\nfleet_daily\nnode_timeline\nnon_compliant_nodes\n"
                        "remediation\nsweep_log\ntransitions\nundelivered");
    pw_db_close(db);
}

/* The columns that docs/history.md promises under exactly these names. */
static void test_columns(void **state)
{
    static const struct {
        const char *table, *columns;
    } promised[] = {
        {"source", "source_id, name, endpoint, offset_mode, baseline_at"},
        {"sweep", "sweep_id, source_id, started_at, ended_at, outcome, reported_count, records,"
                  " nodes, pages, requests, retries, bytes, changed, transitions, reason,"
                  " error_code, error_msg"},
        {"node", "node_id, source_id, node_key, name, instance_id, cce_node_id, ip, eip, region,"
                 " group_name, enterprise_project_id, operating_system, report_scene, cce_info_id,"
                 " status, last_definite_status, status_since, first_seen_at, last_seen_at,"
                 " missing_since"},
        {"report",
         "report_pk, node_id, baseline_id, baseline_name, rule_type, report_id, status,"
         " report_time, job_id, order_id, compliant_count, compliant_critical, compliant_high,"
         " compliant_medium, compliant_low, compliant_informational, compliant_unspecified,"
         " non_compliant_count, non_compliant_critical, non_compliant_high, non_compliant_medium,"
         " non_compliant_low, non_compliant_informational, non_compliant_unspecified, valid_from,"
         " valid_to"},
        {"event", "event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status,"
                  " cause, occurred_at, recorded_at, data"},
        {"delivery", "delivery_id, event_id, hook, rule, state, attempts, next_attempt_at,"
                     " delivered_at, last_error"},
        {"mute", "mute_id, match, from_at, until_at, author, comment"},
        {"current_nodes", "source, node_key, name, status, non_compliant_count, critical, high,"
                          " baseline_name, region, report_time, status_since, last_seen_at"},
        {"fleet_daily", "day, compliant, non_compliant, unknown, missing"},
        {"remediation", "source, node_key, start, end, hours"},
    };
    struct pw_db *db = open_writer(*state);

    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++) {
        char sql[1024];
        (void)snprintf(sql, sizeof sql, "SELECT %s FROM %s", promised[i].columns,
                       promised[i].table);
        assert_string_equal(rows(db, sql), "");
    }
    pw_db_close(db);
}

static void test_source_and_sweep(void **state)
{
    struct pw_db *db = with_a_node(state);

    must_refuse(db, ONE_SOURCE, "UNIQUE");
    must_refuse(db, "UPDATE source SET offset_mode = 'sideways'", "CHECK");
    must_refuse(db, "INSERT INTO sweep (source_id, started_at) VALUES (9, 1)", "FOREIGN KEY");
    must_refuse(db,
                "INSERT INTO sweep (source_id, started_at, ended_at, outcome)"
                " VALUES (1, 1, 2, 'fine')",
                "CHECK");
    must_refuse(db, "INSERT INTO sweep (source_id, started_at, outcome) VALUES (1, 1, 'complete')",
                "CHECK");
    must_refuse(db, "INSERT INTO sweep (source_id, started_at, ended_at) VALUES (1, 1, 2)",
                "CHECK");
    must_refuse(db, "INSERT INTO sweep (source_id, started_at) VALUES (1, 'noon')", "cannot store");
    /* The clock may have been set back under way. */
    must_run(db, "INSERT INTO sweep (sweep_id, source_id, started_at, ended_at, outcome)"
                 " VALUES (1, 1, 10, 5, 'complete');"
                 "UPDATE source SET last_complete_sweep_id = 1;"
                 "DELETE FROM sweep");
    assert_string_equal(rows(db, "SELECT last_complete_sweep_id FROM source"), "-");
    pw_db_close(db);
}

static void test_node(void **state)
{
    struct pw_db *db = with_a_node(state);

    must_refuse(db, ONE_NODE, "UNIQUE");
    must_refuse(db, "UPDATE node SET status = 'fine'", "CHECK");
    must_refuse(db, "UPDATE node SET status = NULL", "NOT NULL");
    must_refuse(db, "UPDATE node SET last_definite_status = 'unknown'", "CHECK");
    must_refuse(db, "UPDATE node SET pending_status = 'unknown'", "CHECK");
    must_refuse(db, "UPDATE node SET missed_sweeps = -1", "CHECK");
    must_refuse(db, "UPDATE node SET node_key = ''", "CHECK");
    must_refuse(db, "UPDATE node SET source_id = 2", "FOREIGN KEY");
    must_refuse(db, "UPDATE node SET last_seen_at = 1.5", "cannot store");
    /* The same key under another source is another node. */
    must_run(db, "INSERT INTO source (source_id, name, endpoint) VALUES (2, 'test', 'https://y');"
                 "INSERT INTO node (source_id, node_key, status, status_since, first_seen_at,"
                 " last_seen_at) VALUES (2, 'ECS/a', 'unknown', 1, 1, 1)");
    pw_db_close(db);
}

static void test_report(void **state)
{
    struct pw_db *db = with_a_node(state);

    must_run(db, "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                 " VALUES (1, 'b', 'compliant', 1, 2), (1, 'b', 'compliant', 2, 2),"
                 " (1, 'b', 'non_compliant', 2, NULL), (1, 'c', 'unknown', 2, NULL)");
    must_refuse(db,
                "INSERT INTO report (node_id, baseline_id, status, valid_from)"
                " VALUES (1, 'b', 'compliant', 3)",
                "UNIQUE");
    must_refuse(db, "UPDATE report SET valid_to = 1 WHERE valid_from = 2", "CHECK");
    must_refuse(db, "UPDATE report SET status = 'Compliant'", "CHECK");
    must_refuse(db, "UPDATE report SET baseline_id = NULL", "NOT NULL");
    must_refuse(db, "UPDATE report SET non_compliant_high = 'many'", "cannot store");
    must_refuse(db, "DELETE FROM node", "FOREIGN KEY");
    pw_db_close(db);
}

static void test_event_and_delivery(void **state)
{
    struct pw_db *db = with_a_node(state);

    must_refuse(db, ONE_EVENT, "UNIQUE");
    must_refuse(db, "UPDATE event SET data = '{'", "CHECK");
    must_refuse(db, "UPDATE event SET type = 'node.compliant'", "CHECK");
    must_refuse(db, "UPDATE event SET to_status = ''", "CHECK");
    must_refuse(db,
                "INSERT INTO event (uid, type, source_id, occurred_at, recorded_at, data)"
                " VALUES ('u1', 'io.patchwatch.source.baseline', 1, 1, 1, '{}')",
                "UNIQUE");

    must_run(db, "INSERT INTO delivery (event_id, hook, rule, created_at, next_attempt_at)"
                 " VALUES (1, 'pager', 'r', 1, 1)");
    must_refuse(db,
                "INSERT INTO delivery (event_id, hook, rule, created_at, next_attempt_at)"
                " VALUES (1, 'pager', 'r2', 1, 1)",
                "UNIQUE");
    must_refuse(db,
                "INSERT INTO delivery (event_id, hook, rule, created_at, next_attempt_at)"
                " VALUES (7, 'pager', 'r', 1, 1)",
                "FOREIGN KEY");
    must_refuse(db, "UPDATE delivery SET state = 'lost'", "CHECK");
    must_refuse(db, "UPDATE delivery SET state = 'delivered'", "CHECK");
    must_refuse(db, "UPDATE delivery SET delivered_at = 1", "CHECK");
    must_refuse(db, "UPDATE delivery SET state = 'dead', claimed_at = 1", "CHECK");
    must_refuse(db, "DELETE FROM event", "FOREIGN KEY");
    pw_db_close(db);
}

/* A sequence number that was deleted never comes back: receivers go by it. */
static void test_sequence_is_not_reused(void **state)
{
    struct pw_db *db = with_a_node(state);

    must_run(db, "DELETE FROM event;"
                 "INSERT INTO event (uid, type, source_id, occurred_at, recorded_at, data)"
                 " VALUES ('u2', 'io.patchwatch.source.baseline', 1, 1, 1, '{}')");
    assert_int_equal(number(db, "SELECT event_id FROM event"), 2);
    pw_db_close(db);
}

static void test_mute(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO mute (match, author) VALUES ('{\"region\": \"cn-north-4\"}', 'me')");
    must_refuse(db, "INSERT INTO mute (match) VALUES ('region')", "CHECK");
    must_refuse(db, "INSERT INTO mute (match, from_at, until_at) VALUES ('{}', 2, 2)", "CHECK");
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_columns, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_source_and_sweep, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_node, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_report, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_event_and_delivery, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sequence_is_not_reused, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_mute, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
