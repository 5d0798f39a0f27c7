/* The views, on a history made by hand: five days of four nodes.
 *
 *   day         0 Oct 4       1              2 (at 00:00)  3          4               5
 *   ECS/a       compliant     non_compliant                compliant                  bad for an
 * hour ECS/b       b1 non_c.,    |              b1 compliant b2 compliant ECS/c       unknown
 * missing                                 non_compliant ECS/d discovered, non_compliant
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "scratch.h"

/* Day 0 is 2024-10-04. */
#define T(day, hour) "((20000 + " #day ") * 86400000 + " #hour " * 3600000)"

static const char history_nodes[] =
    "INSERT INTO source (source_id, name, endpoint, baseline_at, last_complete_at)"
    " VALUES (1, 'prod', 'x', " T(0, 1) ", " T(
        6,
        0) ");"
           "INSERT INTO sweep (sweep_id, source_id, started_at, ended_at, outcome, records, reason)"
           " VALUES (1, 1, " T(0, 1) ", " T(
               0, 1) " + 2500, 'complete', 4, NULL),"
                     "        (2, 1, " T(1, 1) ", " T(
                         1, 1) " - 5, 'failed', 0, 'no answer'),"
                               "        (3, 1, " T(
                                   6,
                                   0) ", NULL, 'running', 0, NULL);"
                                      "INSERT INTO node (node_id, source_id, node_key, name, "
                                      "region, status, last_definite_status,"
                                      " status_since, first_seen_at, last_seen_at, missing_since, "
                                      "missed_sweeps) VALUES"
                                      " (1, 1, 'ECS/a', 'web-a', 'r1', 'compliant', "
                                      "'compliant', " T(5, 2) ", " T(0, 1) ", " T(
                                          5,
                                          2) ", NULL, 0),"
                                             " (2, 1, 'ECS/b', 'web-b', 'r1', 'compliant', "
                                             "'compliant', " T(2, 0) ", " T(0, 1) ", " T(
                                                 2,
                                                 0) ", NULL, 1),"
                                                    " (3, 1, 'ECS/c', NULL, 'r2', 'non_compliant', "
                                                    "'non_compliant', " T(4, 2) ", " T(0, 1) ", " T(
                                                        4,
                                                        2) ", NULL, 0),"
                                                           " (4, 1, 'ECS/d', 'db-d', 'r2', "
                                                           "'non_compliant', 'non_compliant', " T(
                                                               2,
                                                               5) ", " T(2,
                                                                         5) ", " T(2,
                                                                                   5) ", NULL, 0)";

static const char history_reports[] =
    "INSERT INTO report (node_id, baseline_id, baseline_name, status, report_time,"
    " non_compliant_count, non_compliant_critical, non_compliant_high, valid_from, valid_to) VALUES"
    " (1, 'b1', 'CVE', 'compliant', " T(0, 0) ", 0, 0, 0, " T(0, 1) ", " T(
        1,
        1) "),"
           " (1, 'b1', 'CVE', 'non_compliant', " T(1, 0) ", 3, 1, 2, " T(1, 1) ", " T(
               3,
               1) "),"
                  " (1, 'b1', 'CVE', 'compliant', " T(3, 0) ", 0, 0, 0, " T(3, 1) ", " T(
                      5,
                      1) "),"
                         " (1, 'b1', 'CVE', 'non_compliant', " T(5, 0) ", 1, 0, 1, " T(5, 1) ", " T(
                             5,
                             2) "),"
                                " (1, 'b1', 'CVE', 'compliant', " T(5, 1) ", 0, 0, 0, " T(
                                    5,
                                    2) ", NULL),"
                                       " (2, 'b1', 'CVE', 'non_compliant', " T(
                                           0,
                                           0) ", 2, 0, 2, " T(0,
                                                              1) ", " T(2,
                                                                        0) "),"
                                                                           " (2, 'b1', 'CVE', "
                                                                           "'compliant', " T(1, 23) ", 0, 0, 0, " T(
                                                                               2,
                                                                               0) ", NULL),"
                                                                                  " (2, 'b2', "
                                                                                  "'Tuesday', "
                                                                                  "'compliant', " T(0, 0) ", 0, 0, 0, " T(
                                                                                      0,
                                                                                      1) ", NULL),"
                                                                                         " (3, '', "
                                                                                         "NULL, "
                                                                                         "'unknown'"
                                                                                         ", NULL, "
                                                                                         "NULL, "
                                                                                         "NULL, "
                                                                                         "NULL, " T(0, 1) ", " T(
                                                                                             1,
                                                                                             2) "),"
                                                                                                " ("
                                                                                                "3,"
                                                                                                " '"
                                                                                                "',"
                                                                                                " N"
                                                                                                "UL"
                                                                                                "L,"
                                                                                                " '"
                                                                                                "no"
                                                                                                "n_"
                                                                                                "co"
                                                                                                "mp"
                                                                                                "li"
                                                                                                "an"
                                                                                                "t'"
                                                                                                ", "
                                                                                                "NU"
                                                                                                "LL"
                                                                                                ", "
                                                                                                "NU"
                                                                                                "LL"
                                                                                                ", "
                                                                                                "NU"
                                                                                                "LL"
                                                                                                ", "
                                                                                                "NU"
                                                                                                "LL"
                                                                                                ","
                                                                                                " " T(
                                                                                                    4,
                                                                                                    2) ", NULL),"
                                                                                                       " (4, 'b1', 'CVE', 'unknown', " T(2, 7) ", NULL, NULL, NULL, " T(
                                                                                                           2,
                                                                                                           5) ", NULL),"
                                                                                                              " (4, 'b2', 'Tuesday', 'non_compliant', " T(2, 4) ", 5, 2, 0, " T(
                                                                                                                  2,
                                                                                                                  5) ", NULL),"
                                                                                                                     " (4, 'b3', 'Thursday', 'non_compliant', " T(
                                                                                                                         2,
                                                                                                                         3) ", 1, 1, 0, " T(2,
                                                                                                                                            5) ", NULL)";

#define EVENT(id, type, node, from, to, cause, occurred, recorded)                                 \
    "(" #id ", 'uid" #id "', 'io.patchwatch." type "', 1, " node ", " from ", " to ", '" cause     \
    "', " occurred ", " recorded ", '{}')"
#define BAD "'non_compliant'"
#define GOOD "'compliant'"

static const char history_events[] =
    "INSERT INTO event (event_id, uid, type, source_id, node_id, from_status, to_status, cause,"
    " occurred_at, recorded_at, data) VALUES" EVENT(1, "source.baseline", "NULL", "NULL", "NULL", "first_sweep", T(0, 1), T(0, 1)) "," EVENT(
        2, "node.non_compliant",
        "1", GOOD, BAD,
        "patches", T(1, 0),
        T(1,
          1)) "," EVENT(3, "node.missing", "3", "'unknown'", "NULL", "not_shown", T(1, 2),
                        T(1,
                          2)) "," EVENT(4, "node.compliant", "2", BAD, GOOD, "patches", T(1, 23),
                                        T(2,
                                          0)) "," EVENT(5, "node.discovered", "4", "NULL", BAD,
                                                        "first_seen", T(2, 4),
                                                        T(2,
                                                          5)) "," EVENT(6, "node.compliant", "1",
                                                                        BAD, GOOD, "patches",
                                                                        T(3, 0),
                                                                        T(3,
                                                                          1)) "," EVENT(7,
                                                                                        "node."
                                                                                        "returned",
                                                                                        "3", "NULL",
                                                                                        BAD,
                                                                                        "returned",
                                                                                        T(4, 2),
                                                                                        T(
                                                                                            4, 2)) "," EVENT(8,
                                                                                                             "node.non_compliant",
                                                                                                             "1", GOOD,
                                                                                                             BAD, "patches", T(5, 0), T(5, 1)) "," EVENT(9, "node.compliant", "1", BAD, GOOD, "patches", T(5, 1), T(5, 2)) ";"
                                                                                                                                                                                                                           "INSERT INTO delivery (event_id, hook, rule, state, attempts, created_at, last_attempt_at,"
                                                                                                                                                                                                                           " next_attempt_at, delivered_at, last_error) VALUES"
                                                                                                                                                                                                                           " (2, 'pager', 'r', 'delivered', 1, " T(1,
                                                                                                                                                                                                                                                                   1) ", " T(1,
                                                                                                                                                                                                                                                                             1) ", " T(1,
                                                                                                                                                                                                                                                                                       1) ", " T(1,
                                                                                                                                                                                                                                                                                                 2) ", NULL),"
                                                                                                                                                                                                                                                                                                    " (6, 'pager', 'r', 'dead', 9, " T(3, 1) ", " T(5, 3) ", " T(3, 1) ", NULL, 'HTTP 500'),"
                                                                                                                                                                                                                                                                                                                                                                       " (8, 'pager', 'r', 'muted', 0, " T(
                                                                                                                                                                                                                                                                                                                                                                           5, 1) ", NULL, " T(5,
                                                                                                                                                                                                                                                                                                                                                                                              1) ", NULL, NULL),"
                                                                                                                                                                                                                                                                                                                                                                                                 " (1, 'chat', 'r', 'pending', 2, " T(0, 1) ", " T(
                                                                                                                                                                                                                                                                                                                                                                                                     0,
                                                                                                                                                                                                                                                                                                                                                                                                     2) ", " T(0,
                                                                                                                                                                                                                                                                                                                                                                                                               3) ", NULL, 'timeout')";

static struct pw_db *with_history(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, history_nodes);
    must_run(db, history_reports);
    must_run(db, history_events);
    return db;
}

/* On an empty history every view is there and empty. */
static void test_empty(void **state)
{
    static const char *const queries[] = {
        "SELECT * FROM current_nodes", "SELECT * FROM non_compliant_nodes",
        "SELECT * FROM transitions",   "SELECT * FROM node_timeline",
        "SELECT * FROM fleet_daily",   "SELECT * FROM remediation",
        "SELECT * FROM sweep_log",     "SELECT * FROM undelivered"};
    struct pw_db *db = open_writer(*state);

    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        assert_string_equal(rows(db, queries[i]), "");
    pw_db_close(db);
}

static void test_current_nodes(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(
        rows(db, "SELECT source, node_key, name, status, non_compliant_count, critical, high,"
                 " baseline_name, region, report_time_utc, status_since_utc, last_seen_at_utc,"
                 " reports FROM current_nodes ORDER BY node_key"),
        "prod|ECS/a|web-a|compliant|0|0|0|CVE|r1|2024-10-09T01:00:00.000Z|"
        "2024-10-09T02:00:00.000Z|2024-10-10T00:00:00.000Z|1\n"
        /* missed a sweep: the last complete one did not show it */
        "prod|ECS/b|web-b|compliant|0|0|0|CVE|r1|2024-10-05T23:00:00.000Z|"
        "2024-10-06T00:00:00.000Z|2024-10-06T00:00:00.000Z|2\n"
        "prod|ECS/c|-|non_compliant|-|-|-|-|r2|-|"
        "2024-10-08T02:00:00.000Z|2024-10-10T00:00:00.000Z|1\n"
        /* the newest of the reports that are not compliant decides, the newest of all dates it */
        "prod|ECS/d|db-d|non_compliant|6|3|0|Tuesday|r2|2024-10-06T07:00:00.000Z|"
        "2024-10-06T05:00:00.000Z|2024-10-10T00:00:00.000Z|3");
    assert_string_equal(rows(db, "SELECT node_key, critical FROM non_compliant_nodes"),
                        "ECS/d|3\nECS/c|-");
    must_run(db, "UPDATE node SET missing_since = 1 WHERE node_id = 4");
    assert_string_equal(rows(db, "SELECT node_key FROM non_compliant_nodes"), "ECS/c");
    pw_db_close(db);
}

static void test_fleet_daily(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(rows(db, "SELECT day, compliant, non_compliant, unknown, missing"
                                 " FROM fleet_daily WHERE day <= '2024-10-10'"),
                        "2024-10-04|1|1|1|0\n"
                        "2024-10-05|0|2|0|1\n"
                        "2024-10-06|1|2|0|1\n"
                        "2024-10-07|2|1|0|1\n"
                        "2024-10-08|2|2|0|0\n"
                        "2024-10-09|2|2|0|0\n"
                        "2024-10-10|2|2|0|0");
    assert_int_equal(number(db, "SELECT count(*) FROM fleet_daily"),
                     number(db, "SELECT unixepoch('now') / 86400 - 20000 + 1"));
    assert_int_equal(number(db, "SELECT max(day) = date('now') FROM fleet_daily"), 1);
    /* A clock that was ahead once adds no days to come. */
    must_run(db, "DROP TRIGGER report_stays_where_it_is;"
                 "UPDATE report SET valid_from = valid_from + 40 * 365 * 86400000"
                 " WHERE node_id = 4");
    assert_int_equal(number(db, "SELECT max(day) = date('now') FROM fleet_daily"), 1);
    assert_string_equal(rows(db, "SELECT compliant, non_compliant, unknown, missing"
                                 " FROM fleet_daily WHERE day = date('now')"),
                        "2|1|0|1");
    pw_db_close(db);
}

static void test_remediation(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(
        rows(db, "SELECT source, node_key, name, region, start_utc, end_utc, started_by,"
                 " CASE WHEN end IS NOT NULL THEN hours END, hours > 0 FROM remediation"),
        "prod|ECS/b|web-b|r1|2024-10-04T00:00:00.000Z|2024-10-05T23:00:00.000Z|first report|"
        "47.0|1\n"
        "prod|ECS/a|web-a|r1|2024-10-05T00:00:00.000Z|2024-10-07T00:00:00.000Z|event|48.0|1\n"
        "prod|ECS/d|db-d|r2|2024-10-06T04:00:00.000Z|-|first report|-|1\n"
        "prod|ECS/c|-|r2|2024-10-08T02:00:00.000Z|-|first report|-|1\n"
        "prod|ECS/a|web-a|r1|2024-10-09T00:00:00.000Z|2024-10-09T01:00:00.000Z|event|1.0|1");
    assert_string_equal(rows(db, "SELECT node_key, severity FROM remediation"),
                        "ECS/b|high\nECS/a|critical\nECS/d|critical\nECS/c|-\nECS/a|high");
    /* The cloud's clock may have been set back between the two. */
    must_run(db,
             "BEGIN; UPDATE event SET occurred_at = occurred_at - 864000000 WHERE event_id = 6");
    assert_string_equal(rows(db, "SELECT start_utc, end_utc, hours FROM remediation"
                                 " WHERE node_key = 'ECS/a' LIMIT 1"),
                        "2024-10-05T00:00:00.000Z|2024-10-05T00:00:00.000Z|0.0");
    assert_int_equal(number(db, "SELECT count(*) FROM remediation WHERE start > end"), 0);
    must_run(db, "ROLLBACK");
    /* What began before what is left of the history began when the node was first seen. */
    must_run(db, "DELETE FROM report WHERE node_id = 4");
    assert_string_equal(rows(db, "SELECT start_utc FROM remediation WHERE node_key = 'ECS/d'"),
                        "2024-10-06T05:00:00.000Z");
    pw_db_close(db);
}

static void test_transitions(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(rows(db, "SELECT event_id, source, node_key, from_status, to_status,"
                                 " cause, occurred_at_utc, recorded_at_utc FROM transitions"
                                 " WHERE event_id < 5"),
                        "2|prod|ECS/a|compliant|non_compliant|patches|2024-10-05T00:00:00.000Z|"
                        "2024-10-05T01:00:00.000Z\n"
                        "4|prod|ECS/b|non_compliant|compliant|patches|2024-10-05T23:00:00.000Z|"
                        "2024-10-06T00:00:00.000Z");
    assert_int_equal(number(db, "SELECT count(*) FROM transitions"), 5);
    pw_db_close(db);
}

static void test_timeline(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(
        rows(db, "SELECT at_utc, what, status, detail, event_id, hook FROM node_timeline"
                 " WHERE node_key = 'ECS/a' AND at < " T(5, 0)),
        "2024-10-04T01:00:00.000Z|report|compliant|"
        "CVE: 0 non-compliant patches (0 critical, 0 high)|-|-\n"
        "2024-10-05T01:00:00.000Z|report|non_compliant|"
        "CVE: 3 non-compliant patches (1 critical, 2 high)|-|-\n"
        "2024-10-05T01:00:00.000Z|event|non_compliant|node.non_compliant (patches)|2|-\n"
        "2024-10-05T02:00:00.000Z|delivery|delivered|node.non_compliant, attempts: 1|2|pager\n"
        "2024-10-07T01:00:00.000Z|report|compliant|"
        "CVE: 0 non-compliant patches (0 critical, 0 high)|-|-\n"
        "2024-10-07T01:00:00.000Z|event|compliant|node.compliant (patches)|6|-");
    assert_string_equal(
        rows(db, "SELECT at_utc, what, status, detail FROM node_timeline"
                 " WHERE node_key = 'ECS/a' AND what = 'delivery' AND at >= " T(5, 0)),
        "2024-10-09T01:00:00.000Z|delivery|muted|node.non_compliant, attempts: 0\n"
        "2024-10-09T03:00:00.000Z|delivery|dead|node.compliant, attempts: 9: HTTP 500");
    assert_string_equal(rows(db, "SELECT at_utc, what, detail FROM node_timeline"
                                 " WHERE node_key = 'ECS/c' AND at < " T(4, 0)),
                        "2024-10-04T01:00:00.000Z|report|"
                        "no baseline: ? non-compliant patches (? critical, ? high)\n"
                        "2024-10-05T02:00:00.000Z|report ended|no baseline\n"
                        "2024-10-05T02:00:00.000Z|event|node.missing (not_shown)");
    pw_db_close(db);
}

/* Of two versions that begin at the same instant the one that was replaced comes first. */
static void test_timeline_at_one_instant(void **state)
{
    struct pw_db *db = with_history(state);

    must_run(db, "INSERT INTO node (node_id, source_id, node_key, status, status_since,"
                 " first_seen_at, last_seen_at) VALUES (5, 1, 'ECS/e', 'unknown', 1, 1, 1);"
                 "INSERT INTO report (report_pk, node_id, status, valid_from, valid_to) VALUES"
                 " (101, 5, 'unknown', 50, 50), (102, 5, 'compliant', 50, 50),"
                 " (103, 5, 'unknown', 50, NULL)");
    assert_string_equal(rows(db, "SELECT status FROM node_timeline WHERE node_key = 'ECS/e'"),
                        "unknown\ncompliant\nunknown");
    pw_db_close(db);
}

static void test_sweep_log_and_undelivered(void **state)
{
    struct pw_db *db = with_history(state);

    assert_string_equal(rows(db, "SELECT sweep_id, source, outcome, started_at_utc, ended_at_utc,"
                                 " seconds, reason FROM sweep_log"),
                        "3|prod|running|2024-10-10T00:00:00.000Z|-|-|-\n"
                        "2|prod|failed|2024-10-05T01:00:00.000Z|2024-10-05T00:59:59.995Z|0.0|"
                        "no answer\n"
                        "1|prod|complete|2024-10-04T01:00:00.000Z|2024-10-04T01:00:02.500Z|2.5|-");
    /* The last is the one that began last, whatever the clock said. */
    must_run(
        db, "UPDATE sweep SET started_at = 5, ended_at = 6, outcome = 'failed' WHERE sweep_id = 3");
    assert_int_equal(number(db, "SELECT sweep_id FROM sweep_log LIMIT 1"), 3);
    assert_string_equal(rows(db, "SELECT hook, state, event_id, type, source, node_key, attempts,"
                                 " created_at_utc, next_attempt_at_utc, last_error, age_hours > 0"
                                 " FROM undelivered"),
                        "chat|pending|1|io.patchwatch.source.baseline|prod|-|2|"
                        "2024-10-04T01:00:00.000Z|2024-10-04T03:00:00.000Z|timeout|1\n"
                        "pager|dead|6|io.patchwatch.node.compliant|prod|ECS/a|9|"
                        "2024-10-07T01:00:00.000Z|2024-10-07T01:00:00.000Z|HTTP 500|1");
    pw_db_close(db);
}

/* One node out of many, and the backlog, are looked up; nothing goes through whole tables. */
static void test_plans(void **state)
{
    static const char *const queries[] = {
        "SELECT * FROM current_nodes WHERE node_key = 'ECS/a'",
        "SELECT * FROM node_timeline WHERE node_key = 'ECS/a'",
        "SELECT * FROM undelivered",
        "SELECT * FROM transitions",
    };
    static const char *const tables[] = {"SCAN n\n", "SCAN r\n", "SCAN e\n", "SCAN d\n",
                                         "SCAN x\n", "SCAN n",   "AUTOMATIC"};
    struct pw_db *db = with_history(state);

    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        const char *lines = plan(db, queries[i]);
        for (size_t j = 0; j < sizeof tables / sizeof *tables; j++) {
            if (strstr(lines, tables[j]) != NULL)
                fail_msg("%s: %s", queries[i], lines);
        }
    }
    pw_db_close(db);
}

/* Every time of every view has its text beside it. */
static void test_every_time_has_its_text(void **state)
{
    struct pw_db *db = open_writer(*state);

    assert_string_equal(
        rows(db, "SELECT v.name, c.name FROM sqlite_schema AS v, pragma_table_info(v.name) AS c"
                 " WHERE v.type = 'view'"
                 "   AND (c.name LIKE '%!_at' ESCAPE '!' OR c.name IN ('at', 'start', 'end',"
                 "        'status_since', 'report_time'))"
                 "   AND NOT EXISTS (SELECT 1 FROM pragma_table_info(v.name) AS t"
                 "                    WHERE t.name = c.name || '_utc')"),
        "");
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_current_nodes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_fleet_daily, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_remediation, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_transitions, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_timeline, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_timeline_at_one_instant, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sweep_log_and_undelivered, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_plans, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_every_time_has_its_text, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
