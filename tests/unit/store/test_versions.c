/* Versions of a report: none overlaps another, whatever the clock does and whoever writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "scratch.h"

#define VERSIONS                                                                                   \
    "SELECT r.status, r.valid_from, r.valid_to FROM report AS r JOIN node AS n USING (node_id)"    \
    " WHERE n.node_key = 'ECS/i-0' ORDER BY r.report_pk"

static struct pw_db *with_a_node(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'prod', 'https://x');"
                 "INSERT INTO node (node_id, source_id, node_key, status, status_since,"
                 " first_seen_at, last_seen_at) VALUES (1, 1, 'ECS/a', 'compliant', 1, 1, 1);"
                 "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                 " VALUES (1, 'b', 'compliant', 10, 20), (1, 'b', 'compliant', 20, 30),"
                 " (1, 'b', 'non_compliant', 40, NULL)");
    return db;
}

static void test_bad_rows_are_impossible(void **state)
{
    static const char *const bad[] = {
        "(1, 'b', 'compliant', 39, 41)", "(1, 'b', 'compliant', 15, 16)",
        "(1, 'b', 'compliant', 5, 11)",  "(1, 'b', 'compliant', 29, 39)",
        "(1, 'b', 'compliant', 5, 60)",  "(1, 'b', 'compliant', 45, 46)",
    };
    struct pw_db *db = with_a_node(state);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[256];
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                       " VALUES %s",
                       bad[i]);
        must_refuse(db, sql, "report: a version must");
    }
    must_refuse(db,
                "INSERT INTO report (node_id, baseline_id, status, valid_from)"
                " VALUES (1, 'b', 'compliant', 50)",
                "UNIQUE");
    must_refuse(db, "UPDATE report SET valid_to = 31 WHERE valid_to = 30", "is set once");
    must_refuse(db, "UPDATE report SET valid_to = NULL WHERE valid_to = 30", "UNIQUE");
    must_refuse(db, "UPDATE report SET valid_from = 21 WHERE valid_to = 30", "never change");
    must_refuse(db, "UPDATE report SET baseline_id = 'x' WHERE valid_to IS NULL", "never change");
    must_run(db, "UPDATE report SET valid_to = 50 WHERE valid_to IS NULL");
    must_refuse(db, "UPDATE report SET valid_to = NULL WHERE valid_to = 50", "is set once");
    must_refuse(db,
                "INSERT INTO report (node_id, baseline_id, status, valid_from)"
                " VALUES (1, 'b', 'compliant', 49)",
                "has ended");
    /* What may be: right behind it, in a gap, before all, under another baseline, or no time long.
     */
    must_run(db, "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                 " VALUES (1, 'b', 'compliant', 50, NULL), (1, 'b', 'compliant', 30, 40),"
                 " (1, 'b', 'compliant', 1, 10), (1, 'c', 'compliant', 15, 16),"
                 " (1, 'b', 'compliant', 20, 20)");
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

static void test_a_clock_that_is_set_back(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);

    (void)sweep_fleet(db, source_id, "cc", 10000);
    (void)sweep_fleet(db, source_id, "nc", 20000);
    assert_string_equal(rows(db, VERSIONS), "compliant|10000|20000\nnon_compliant|20000|-");
    /* The report's own time must be newer, else it is older news. */
    (void)sweep_fleet(db, source_id, "-c", 5000);
    assert_string_equal(rows(db, VERSIONS), "compliant|10000|20000\nnon_compliant|20000|20000");
    (void)sweep_fleet(db, source_id, "nc", 6000);
    assert_string_equal(rows(db, VERSIONS), "compliant|10000|20000\nnon_compliant|20000|20000\n"
                                            "non_compliant|20000|-");
    assert_string_equal(verify(db), "");
    (void)sweep_fleet(db, source_id, "-c", 7000);
    (void)sweep_fleet(db, source_id, "nc", 30000);
    assert_string_equal(verify(db), "");
    assert_int_equal(number(db, "SELECT valid_from FROM report JOIN node USING (node_id)"
                                " WHERE node_key = 'ECS/i-0' AND valid_to IS NULL"),
                     30000);
    pw_db_close(db);
}

/* What the fleet was at any time, by a model that only remembers every sweep. */
static void test_time_travel_against_a_model(void **state)
{
    enum { NODES = 8, SWEEPS = 120 };
    static char history[SWEEPS][NODES + 1];
    static int64_t times[SWEEPS];
    static const char at_sql[] =
        "SELECT ifnull((SELECT substr(r.status, 1, 1) FROM report AS r JOIN node AS n"
        " USING (node_id) WHERE n.node_key = 'ECS/i-%d' AND r.valid_from <= %lld"
        " AND (r.valid_to IS NULL OR r.valid_to > %lld)), '-')";
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    int64_t now_ms = 1000;
    unsigned seed = 4711;

    for (int s = 0; s < SWEEPS; s++) {
        now_ms += 1 + rand_r(&seed) % 5000;
        times[s] = now_ms;
        for (int n = 0; n < NODES; n++)
            history[s][n] =
                s > 0 && rand_r(&seed) % 4 != 0 ? history[s - 1][n] : "ccnnu-"[rand_r(&seed) % 6];
        history[s][0] = 'c'; /* never empty: an empty list waits for the next one */
        (void)sweep_fleet(db, source_id, history[s], now_ms);
    }
    assert_string_equal(verify(db), "");
    for (int look = 0; look < 500; look++) {
        int s = rand_r(&seed) % SWEEPS;
        int node = rand_r(&seed) % NODES;
        int64_t end = s + 1 < SWEEPS ? times[s + 1] : times[s] + 1000;
        int64_t at = times[s] + rand_r(&seed) % (end - times[s]);
        char sql[512];

        (void)snprintf(sql, sizeof sql, at_sql, node, (long long)at, (long long)at);
        assert_int_equal(rows(db, sql)[0], history[s][node]);
    }
    pw_db_close(db);
}

/* Unchanged sweeps write one row, and nothing else. */
static void test_an_unchanged_fleet_costs_one_row_a_sweep(void **state)
{
    enum { NODES = 500, SWEEPS = 100, MAX_BYTES_A_SWEEP = 1024 };
    char letters[NODES + 1];
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    int64_t before;

    memset(letters, 'c', NODES);
    letters[NODES] = '\0';
    (void)sweep_fleet(db, source_id, letters, HOUR_MS);
    before = number(db, "SELECT page_count * 4096 FROM pragma_page_count()");
    for (int i = 0; i < SWEEPS; i++)
        assert_int_equal(sweep_fleet(db, source_id, letters, (2 + i) * HOUR_MS), 0);
    assert_true(number(db, "SELECT page_count * 4096 FROM pragma_page_count()") - before <=
                (int64_t)SWEEPS * MAX_BYTES_A_SWEEP);
    assert_int_equal(number(db, "SELECT count(*) FROM sweep"), SWEEPS + 1);
    assert_int_equal(number(db, "SELECT count(*) FROM report"), NODES);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bad_rows_are_impossible, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_is_set_back, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_time_travel_against_a_model, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_an_unchanged_fleet_costs_one_row_a_sweep,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
