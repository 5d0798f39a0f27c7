/* Flapping nodes and mass changes: who is owed what in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "history.h"
#include "scratch.h"

enum { WINDOW = 6, FLEET = 40 };

/* "pager" is owed problems (and so their ends), "log" nothing but what is told of the fleet. */
static enum pw_status route(const struct pw_router *router, const struct pw_event *event,
                            struct pw_route_sink *sink)
{
    (void)router;
    if (event->type == PW_EVENT_NODE_NON_COMPLIANT || event->type == PW_EVENT_NODE_MISSING)
        return sink->add(sink, &(struct pw_owed){.hook = "pager", .rule = "problems"});
    if (event->type == PW_EVENT_FLEET_SHIFT)
        return sink->add(sink, &(struct pw_owed){.hook = "log", .rule = "shifts"});
    if (event->type == PW_EVENT_NODE_DISCOVERED)
        return sink->add(sink, &(struct pw_owed){.hook = "pager", .rule = "new"});
    return PW_OK;
}

static struct pw_router the_router;

static struct {
    struct pw_db *db;
    int64_t source_id, now_ms;
    struct pw_apply_params given;
} at;

static void begin(void **state)
{
    the_router = router_of(route);
    at.db = open_writer(*state);
    at.source_id = open_prod(at.db);
    at.now_ms = 0;
    at.given = plain_params(at.source_id, 0);
    at.given.router = &the_router;
}

static bool swept(const char *letters)
{
    at.now_ms += HOUR_MS;
    at.given.now_ms = at.now_ms;
    return sweep_with(at.db, letters, &at.given).shift_begun;
}

static void with_outcome(enum pw_sweep_outcome outcome)
{
    at.given.facts.outcome = outcome;
    at.given.facts.reason = outcome == PW_SWEEP_COMPLETE ? NULL : "a test";
}

/* Every delivery in order: "type key state hook reason". */
static const char *owed(void)
{
    return rows(at.db, "SELECT substr(e.type, 15) || ' ' || ifnull(n.node_key, '-') || ' ' ||"
                       " d.state || ' ' || d.hook || ifnull(' ' || d.reason, '') ||"
                       " iif(d.held_by IS NULL, '', ' held')"
                       " FROM delivery AS d JOIN event AS e USING (event_id)"
                       " LEFT JOIN node AS n USING (node_id) ORDER BY d.delivery_id");
}

/* So many deliveries of that type in that state (or "held"), reason matching the pattern. */
static int64_t count_owed(const char *type, const char *state, const char *reason)
{
    char sql[512];
    bool is_held = strcmp(state, "held") == 0;

    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM delivery AS d JOIN event AS e USING (event_id)"
                   " WHERE e.type = 'io.patchwatch.%s' AND d.state = '%s'"
                   " AND d.held_by IS %s NULL AND ifnull(d.reason, '') GLOB '%s'",
                   type, is_held ? "pending" : state, is_held ? "NOT" : "", reason);
    return number(at.db, sql);
}

static int64_t count_events(const char *type)
{
    char sql[128];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM event WHERE type = 'io.patchwatch.%s'",
                   type);
    return number(at.db, sql);
}

static void finish(void)
{
    assert_string_equal(verify(at.db), "");
    pw_db_close(at.db);
}

/* Flapping ------------------------------------------------------------------------------------ */

static void begin_flapping(void **state)
{
    begin(state);
    at.given.flap_window = WINDOW;
    at.given.flap_on_percent = 50;
    at.given.flap_off_percent = 25;
    /* Two changes are told (0.2, 0.393), the third makes the node flap: 1.2 + 1.12 + 1.04 of 6. */
    (void)swept("c");
    (void)swept("n");
    (void)swept("c");
    (void)swept("n");
}

static void test_flapping_is_told_once(void **state)
{
    begin_flapping(state);
    assert_string_equal(owed(), "node.non_compliant ECS/i-0 pending pager\n"
                                "node.compliant ECS/i-0 pending pager\n"
                                "node.non_compliant ECS/i-0 muted pager flapping\n"
                                "node.flapping ECS/i-0 pending pager");
    assert_string_equal(rows(at.db, "SELECT from_status, to_status, cause,"
                                    " json_extract(data, '$.data.flapping'),"
                                    " json_extract(data, '$.data.node.key')"
                                    " FROM event WHERE type LIKE '%flapping'"),
                        "compliant|non_compliant|patches|"
                        "{\"changes\":3,\"sweeps\":6,\"share\":0.560}|ECS/i-0");
    (void)swept("c");
    (void)swept("n");
    assert_int_equal(count_events("node.flapping"), 1);
    assert_int_equal(count_events("node.non_compliant"), 3);
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery WHERE state = 'pending'"), 3);
    assert_int_equal(number(at.db, "SELECT flapping_since FROM node"), 4 * HOUR_MS);
    finish();
}

static void test_it_settles_bad_and_its_end_is_told(void **state)
{
    begin_flapping(state);
    for (int i = 0; i < 5; i++) {
        (void)swept("n");
        assert_int_equal(count_events("node.settled"), i == 4); /* .52 .48 .44 .28 .13 */
    }
    assert_string_equal(rows(at.db, "SELECT from_status, to_status, cause,"
                                    " json_extract(data, '$.data.report.status')"
                                    " FROM event WHERE type LIKE '%settled'"),
                        "compliant|non_compliant|-|non_compliant");
    assert_int_equal(number(at.db, "SELECT count(*) FROM node WHERE flapping_since IS NULL"), 1);
    assert_int_equal(count_owed("node.settled", "pending", ""), 1);
    for (int i = 0; i < WINDOW; i++)
        (void)swept("n");
    (void)swept("c");
    assert_int_equal(count_owed("node.compliant", "pending", ""), 2);
    assert_int_equal(number(at.db, "SELECT count(*) FROM told"), 0);
    assert_int_equal(count_events("node.settled"), 1);
    finish();
}

static void test_it_settles_good(void **state)
{
    begin_flapping(state);
    (void)swept("c");
    for (int i = 0; i < 5; i++)
        (void)swept("c");
    assert_string_equal(rows(at.db, "SELECT from_status, to_status FROM event"
                                    " WHERE type LIKE '%settled'"),
                        "compliant|compliant");
    assert_int_equal(count_owed("node.settled", "pending", ""), 1);
    assert_int_equal(count_owed("node.compliant", "muted", "flapping"), 1); /* as its problem was */
    assert_int_equal(number(at.db, "SELECT count(*) FROM told"), 0);
    (void)swept("n");
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 2);
    finish();
}

static void test_a_missing_node_settles_after_its_return(void **state)
{
    begin_flapping(state);
    at.given.missing_after = 2;
    for (int i = 0; i < 2 * WINDOW; i++)
        (void)swept("-c"); /* another node, or the sweep would show nothing at all */
    assert_int_equal(count_events("node.missing"), 1);
    assert_int_equal(count_events("node.settled"), 0);
    (void)swept("nc");
    assert_int_equal(count_events("node.settled"), 1);
    finish();
}

static void test_incomplete_sweeps_do_not_settle(void **state)
{
    begin_flapping(state);
    with_outcome(PW_SWEEP_INCOMPLETE);
    for (int i = 0; i < 2 * WINDOW; i++)
        (void)swept("n");
    assert_int_equal(count_events("node.settled"), 0);
    with_outcome(PW_SWEEP_COMPLETE);
    for (int i = 0; i < 5; i++)
        (void)swept("n");
    assert_int_equal(count_events("node.settled"), 1);
    finish();
}

static void test_turned_off_it_settles(void **state)
{
    begin_flapping(state);
    at.given.flap_window = 0;
    (void)swept("c");
    assert_int_equal(count_events("node.settled"), 1);
    for (int i = 0; i < WINDOW; i++)
        (void)swept(i % 2 == 0 ? "n" : "c");
    assert_int_equal(count_events("node.flapping"), 1);
    finish();
}

/* "pager" wants severe problems only: what began to flap unseen by it ends as a problem for it. */
static void test_a_hook_that_was_not_told_of_flapping_is_told_how_it_ends(void **state)
{
    begin(state);
    at.given.router = NULL;
    at.given.flap_window = WINDOW;
    at.given.flap_on_percent = 50;
    at.given.flap_off_percent = 25;
    (void)swept("c");
    (void)swept("n");
    (void)swept("c");
    (void)swept("n");
    assert_int_equal(count_events("node.flapping"), 1);
    assert_string_equal(owed(), "");
    at.given.router = &the_router;
    (void)swept("c");
    (void)swept("n");
    for (int i = 0; i < 5; i++)
        (void)swept("n");
    assert_string_equal(owed(), "node.non_compliant ECS/i-0 muted pager flapping\n"
                                "node.settled ECS/i-0 pending pager");
    finish();
}

/* The breaker --------------------------------------------------------------------------------- */

static char fleet[FLEET + 1];

/* Nodes [from, from + count) become that letter. */
static const char *turn(int from, int count, char letter)
{
    memset(fleet + from, letter, (size_t)count);
    return fleet;
}

static void begin_fleet(void **state)
{
    begin(state);
    at.given.mass_change_percent = 25;
    at.given.mass_change_min = 5;
    memset(fleet, 'c', FLEET);
    fleet[FLEET] = '\0';
    assert_false(swept(fleet));
}

static const char *source_state(void)
{
    return rows(at.db, "SELECT shift_from, shift_since, shift_sweeps FROM source");
}

static const char *shift(const char *member)
{
    char sql[256];

    (void)snprintf(sql, sizeof sql,
                   "SELECT json_extract(data, '$.data.shift.%s') FROM event"
                   " WHERE type = 'io.patchwatch.fleet.shift'",
                   member);
    return rows(at.db, sql);
}

static void test_few_changes_are_told_at_once(void **state)
{
    begin_fleet(state);
    assert_false(swept(turn(0, 10, 'n'))); /* a quarter is not more than a quarter */
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 10);
    assert_string_equal(source_state(), "-|-|0");
    at.given.mass_change_min = 21;
    assert_false(swept(turn(10, 20, 'n'))); /* fewer than the least */
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 30);
    at.given.mass_change_percent = 0;
    assert_false(swept(turn(0, FLEET, 'c')));
    assert_int_equal(count_owed("node.compliant", "pending", ""), 30);
    assert_int_equal(count_events("fleet.shift"), 0);
    finish();
}

static void test_a_confirmed_shift_is_one_event(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, 'n')));
    assert_int_equal(count_owed("node.non_compliant", "held", ""), 30);
    assert_string_equal(source_state(), "2|7200000|0");
    assert_false(swept(turn(30, 2, 'n'))); /* what it adds belongs to it */
    assert_int_equal(count_events("fleet.shift"), 1);
    assert_int_equal(count_owed("node.non_compliant", "muted", "fleet.shift *"), 32);
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery WHERE state = 'pending'"), 2);
    assert_int_equal(count_owed("fleet.shift", "pending", ""), 2); /* pager, log */
    assert_string_equal(source_state(), "-|-|0");
    assert_string_equal(shift("nodes"), "32");
    assert_string_equal(shift("of"), "40");
    assert_string_equal(shift("share"), "0.8");
    assert_string_equal(shift("confirmed"), "1");
    assert_string_equal(shift("changes"),
                        "{\"to_non_compliant\":32,\"to_compliant\":0,"
                        "\"missing\":0,\"returned\":0,\"flapping\":0,\"settled\":0}");
    assert_string_equal(shift("causes"), "{\"patches\":32}");
    assert_string_equal(shift("baselines"), "[{\"id\":\"base\",\"name\":null,\"nodes\":32}]");
    assert_string_equal(shift("regions"), "[{\"name\":null,\"nodes\":32}]");
    assert_string_equal(shift("examples[19].change"), "to_non_compliant");
    assert_string_equal(shift("examples[20]"), "-");
    assert_string_equal(shift("first_sweep"), "2");
    assert_string_equal(shift("last_sweep"), "3");
    assert_string_equal(rows(at.db, "SELECT node_id, cause, json_extract(data, '$.subject')"
                                    " FROM event WHERE type LIKE '%shift'"),
                        "-|patches|-");
    /* Later recoveries, one by one. */
    assert_false(swept(turn(0, 3, 'c')));
    assert_int_equal(count_owed("node.compliant", "pending", ""), 3);
    finish();
}

static void test_a_shift_that_is_gone_again(void **state)
{
    begin_fleet(state);
    (void)swept(turn(0, 2, 'n')); /* told before */
    (void)swept(turn(38, 2, 'n'));
    assert_true(swept(turn(0, 30, 'n')));
    (void)turn(0, 30, 'c');
    assert_false(swept(turn(0, 5, 'n')));
    assert_int_equal(count_events("fleet.shift"), 0);
    /* 0, 1 and 38, 39 as before, 2 to 4 stand, 25 went back: neither problem nor end is told. */
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 7);
    assert_int_equal(count_owed("node.non_compliant", "dropped", "went back*"), 25);
    assert_int_equal(count_owed("node.compliant", "dropped", "went back*"), 25);
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery WHERE held_by IS NOT NULL"), 0);
    assert_string_equal(source_state(), "-|-|0");
    finish();
}

static void test_who_knew_of_a_problem_is_told_of_its_end_in_the_end(void **state)
{
    begin_fleet(state);
    at.given.mass_change_percent = 0;
    (void)swept(turn(0, 30, 'n'));
    at.given.mass_change_percent = 25;
    at.given.router = &the_router;
    assert_true(swept(turn(0, 30, 'c')));
    assert_int_equal(count_owed("node.compliant", "held", ""), 30);
    assert_false(swept(turn(0, 30, 'n'))); /* back: all of it was nothing */
    assert_int_equal(count_owed("node.compliant", "dropped", "went back*"), 30);
    assert_int_equal(count_owed("node.non_compliant", "dropped", "went back*"), 30);
    assert_int_equal(number(at.db, "SELECT count(*) FROM told"), 30);
    (void)swept(turn(0, 4, 'c'));
    assert_int_equal(count_owed("node.compliant", "pending", ""), 4);
    assert_int_equal(number(at.db, "SELECT count(*) FROM told"), 26);
    finish();
}

static void test_part_of_it_went_back(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, 'n')));
    assert_false(swept(turn(0, 10, 'c')));
    assert_int_equal(count_events("fleet.shift"), 1);
    assert_string_equal(shift("nodes"), "20");
    assert_string_equal(shift("went_back"), "10");
    assert_int_equal(count_owed("node.non_compliant", "muted", "fleet.shift*"), 20);
    assert_int_equal(count_owed("node.non_compliant", "muted", "went back*"), 10);
    assert_int_equal(count_owed("node.compliant", "muted", "went back*"), 10);
    finish();
}

static void test_incomplete_sweeps_confirm_nothing(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, 'n')));
    with_outcome(PW_SWEEP_FAILED);
    assert_false(swept(""));
    with_outcome(PW_SWEEP_INCOMPLETE);
    at.given.facts.was_stopped = true;
    assert_false(swept("nnn"));
    at.given.facts.was_stopped = false;
    assert_false(swept("nnn"));
    assert_string_equal(source_state(), "2|7200000|2");
    assert_int_equal(count_owed("node.non_compliant", "held", ""), 30);
    assert_false(swept("nnn"));
    assert_string_equal(shift("confirmed"), "0");
    assert_string_equal(shift("nodes"), "30");
    assert_int_equal(count_owed("node.non_compliant", "muted", "fleet.shift*"), 30);
    assert_string_equal(source_state(), "-|-|0");
    finish();
}

static void test_a_complete_sweep_after_incomplete_ones(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, 'n')));
    with_outcome(PW_SWEEP_INCOMPLETE);
    assert_false(swept("ccc"));
    with_outcome(PW_SWEEP_COMPLETE);
    (void)turn(3, 27, 'n');
    assert_false(swept(turn(0, 3, 'c')));
    assert_string_equal(shift("confirmed"), "1");
    assert_string_equal(shift("went_back"), "3");
    finish();
}

static void test_turned_off_it_is_let_go(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, 'n')));
    at.given.mass_change_percent = 0;
    with_outcome(PW_SWEEP_FAILED);
    assert_false(swept(""));
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 30);
    assert_string_equal(source_state(), "-|-|0");
    finish();
}

static void test_gone_and_back(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, '-')));
    assert_int_equal(count_owed("node.missing", "held", ""), 30);
    assert_false(swept(fleet));
    assert_string_equal(shift("changes.missing"), "30");
    assert_string_equal(shift("of"), "40");
    assert_string_equal(shift("causes"), "{\"not_shown\":30}");
    assert_true(swept(turn(0, 30, 'c')));
    assert_false(swept(fleet));
    assert_int_equal(count_events("fleet.shift"), 2);
    assert_int_equal(count_events("node.returned"), 30);
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery WHERE held_by IS NOT NULL"), 0);
    finish();
}

static void test_missing_nodes_that_are_back_at_once(void **state)
{
    begin_fleet(state);
    assert_true(swept(turn(0, 30, '-')));
    assert_false(swept(turn(0, 30, 'c')));
    assert_int_equal(count_events("fleet.shift"), 0);
    assert_int_equal(count_owed("node.missing", "dropped", "went back*"), 30);
    finish();
}

static void test_new_nodes_and_the_first_sweep(void **state)
{
    begin(state);
    at.given.mass_change_percent = 25;
    at.given.mass_change_min = 5;
    assert_false(swept("nnnnnnnnnnnnnnnnnnnn"));
    assert_false(swept("nnnnnnnnnnnnnnnnnnnncccccccccccccccccccc"));
    assert_int_equal(count_owed("node.discovered", "pending", ""), 20);
    /* New beside a mass change: told once that is decided, by itself. */
    assert_true(swept("ccccccccccccccccccccccccccccccccccccccccc"));
    assert_int_equal(count_owed("node.discovered", "held", ""), 1);
    assert_false(swept("ccccccccccccccccccccccccccccccccccccccccc"));
    assert_int_equal(count_events("fleet.shift"), 1);
    assert_int_equal(count_owed("node.discovered", "pending", ""), 21);
    finish();
}

/* What a process that was killed amid a sweep left behind counts with the next sweep. */
static void leave_behind(int nodes)
{
    at.given.mass_change_min = 1000; /* as if its last transaction had never been */
    at.given.mass_change_percent = 25;
    (void)swept(turn(0, nodes, 'n'));
    must_run(at.db, "UPDATE source SET shift_from = (SELECT max(sweep_id) FROM sweep);"
                    "UPDATE delivery SET held_by = (SELECT max(sweep_id) FROM sweep)"
                    " WHERE event_id IN (SELECT event_id FROM event WHERE sweep_id ="
                    "  (SELECT max(sweep_id) FROM sweep));");
    at.given.mass_change_min = 5;
}

static void test_left_behind_by_a_crash(void **state)
{
    begin_fleet(state);
    leave_behind(8);
    assert_false(swept(turn(8, 1, 'n'))); /* nine in all: no mass change */
    assert_int_equal(count_owed("node.non_compliant", "pending", ""), 9);
    (void)swept(turn(0, 9, 'c'));
    leave_behind(8);
    assert_true(swept(turn(8, 8, 'n'))); /* sixteen */
    assert_false(swept(fleet));
    assert_string_equal(shift("nodes"), "16");
    assert_string_equal(source_state(), "-|-|0");
    finish();
}

static void test_a_fleet_that_flaps(void **state)
{
    begin_fleet(state);
    at.given.flap_window = WINDOW;
    at.given.flap_on_percent = 50;
    at.given.flap_off_percent = 25;
    for (int i = 0; i < 12; i++)
        (void)swept(turn(0, 30, i % 2 == 0 ? 'n' : 'c'));
    assert_int_equal(count_events("node.flapping"), 30);
    for (int i = 0; i < 8; i++)
        (void)swept(fleet);
    assert_int_equal(count_events("node.settled"), 30);
    /* Not one of it was told one by one. */
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery AS d JOIN event AS e"
                                   " USING (event_id) WHERE d.state = 'pending'"
                                   " AND e.node_id IS NOT NULL"),
                     0);
    assert_int_equal(number(at.db, "SELECT count(*) FROM delivery WHERE held_by IS NOT NULL"), 0);
    finish();
}

static void test_quiet_sweeps_write_nothing(void **state)
{
    char before[256];

    begin_fleet(state);
    at.given.flap_window = WINDOW;
    at.given.flap_on_percent = 50;
    at.given.flap_off_percent = 25;
    (void)snprintf(before, sizeof before, "%s", rows(at.db, "SELECT count(*) FROM event"));
    (void)swept(fleet);
    assert_string_equal(rows(at.db, "SELECT count(*) FROM event"), before);
    assert_string_equal(source_state(), "-|-|0");
    assert_int_equal(number(at.db, "SELECT count(*) FROM temp.sqlite_schema"
                                   " WHERE name = 'shift_node'"),
                     0);
    finish();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_flapping_is_told_once),
        TEST(test_it_settles_bad_and_its_end_is_told),
        TEST(test_it_settles_good),
        TEST(test_a_missing_node_settles_after_its_return),
        TEST(test_incomplete_sweeps_do_not_settle),
        TEST(test_turned_off_it_settles),
        TEST(test_a_hook_that_was_not_told_of_flapping_is_told_how_it_ends),
        TEST(test_few_changes_are_told_at_once),
        TEST(test_a_confirmed_shift_is_one_event),
        TEST(test_a_shift_that_is_gone_again),
        TEST(test_who_knew_of_a_problem_is_told_of_its_end_in_the_end),
        TEST(test_part_of_it_went_back),
        TEST(test_incomplete_sweeps_confirm_nothing),
        TEST(test_a_complete_sweep_after_incomplete_ones),
        TEST(test_turned_off_it_is_let_go),
        TEST(test_gone_and_back),
        TEST(test_missing_nodes_that_are_back_at_once),
        TEST(test_new_nodes_and_the_first_sweep),
        TEST(test_left_behind_by_a_crash),
        TEST(test_a_fleet_that_flaps),
        TEST(test_quiet_sweeps_write_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
