/* Who is told what, and when: each thing that may hold an alert back against a problem, its end,
 * and both while it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "telling.h"

static const char plain[] = "rules: [{name: r, hooks: a}]";

static void test_nothing_in_the_way(void **state)
{
    struct world w;

    world_begin(&w, state, plain, "ccc");
    world_sweep(&w, "cnn");
    assert_string_equal(take(&w, "a"), "n1 n2");
    assert_string_equal(take(&w, "b"), "");
    world_sweep(&w, "ncn");
    assert_string_equal(take(&w, "a"), "n0 c1");
    world_end(&w);
}

/* A rule that names only problems sends their ends too, whatever else it asks for; recovery: false
 * does not; a reload alters nothing of who was told. */
static void test_recovery(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, match: {type: node.non_compliant}, hooks: a},"
                " {name: quiet, recovery: false, hooks: b}]",
                "cc");
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0 n1");
    assert_string_equal(take(&w, "b"), "n0 n1");
    world_sweep(&w, "cn");
    assert_string_equal(take(&w, "a"), "c0");
    assert_string_equal(take(&w, "b"), "");
    world_rules(&w, "rules: [{name: another, match: {source: other}, hooks: b}]");
    world_restart(&w);
    world_sweep(&w, "cc");
    assert_string_equal(take(&w, "a"), "c1"); /* its rule is gone */
    assert_string_equal(take(&w, "b"), "c1"); /* and with it what turned recoveries off */
    world_end(&w);
}

static void test_discovered_as_a_problem(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, match: {type: node.discovered}, hooks: a}]", "c");
    world_sweep(&w, "cnc");
    assert_string_equal(take(&w, "a"), "new1 new2");
    world_sweep(&w, "ccc");
    assert_string_equal(take(&w, "a"), "c1"); /* who was told of it is told of its end */
    world_sweep(&w, "nnn");
    assert_string_equal(take(&w, "a"), "");
    world_end(&w);
}

/* Groups -------------------------------------------------------------------------------------- */

static const char grouped[] = "rules: [{name: r, hooks: a, group: {wait: 30s, max: 3}}]";

static void test_group(void **state)
{
    struct world w;

    world_begin(&w, state, grouped, "cccccc");
    world_sweep(&w, "nccccc");
    assert_string_equal(take(&w, "a"), "");
    assert_int_equal(w.next_due_ms, w.now_ms + 30000);
    world_pass(&w, 20000);
    world_restart(&w);
    world_sweep(&w, "nncccc"); /* joins, and does not begin the wait anew */
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 10000);
    assert_string_equal(take(&w, "a"), "n0+n1");
    /* Full: no more waiting, and no more than max at once. */
    world_sweep(&w, "nnnnnc");
    assert_string_equal(take(&w, "a"), "n2+n3+n4");
    world_sweep(&w, "nnnnnn");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 30000);
    assert_string_equal(take(&w, "a"), "n5");
    world_end(&w);
}

static void test_group_that_is_over_before_it_is_due(void **state)
{
    struct world w;

    world_begin(&w, state, grouped, "ccc");
    world_sweep(&w, "nnc");
    world_pass(&w, 10000);
    world_sweep(&w, "cnc");
    world_pass(&w, MINUTE_MS);
    assert_string_equal(take(&w, "a"), "n1"); /* 0 is well again: neither is told */
    assert_string_equal(rows(w.db, "SELECT state FROM delivery JOIN event USING (event_id)"
                                   " JOIN node USING (node_id) WHERE node_key = 'ECS/i-0'"),
                        "dropped\ndropped");
    /* A recovery that waits for its group is not taken back by a new problem. */
    world_sweep(&w, "ccc");
    world_pass(&w, 1000);
    world_sweep(&w, "cnc");
    world_pass(&w, MINUTE_MS);
    assert_string_equal(take(&w, "a"), "c1 n1");
    /* Nor is a problem that waits cancelled once an attempt was made. */
    world_sweep(&w, "nnc");
    world_pass(&w, MINUTE_MS);
    assert_string_equal(fail_to_take(&w, "a", 5 * MINUTE_MS), "n0");
    world_sweep(&w, "cnc");
    world_pass(&w, 5 * MINUTE_MS);
    assert_string_equal(take(&w, "a"), "n0 c0");
    world_end(&w);
}

/* Groups by a field; what goes alone does not wait for them. */
static void test_groups_are_kept_apart(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, hooks: a, group: {by: node, wait: 30s}}]", "ccc");
    world_sweep(&w, "nnn");
    world_pass(&w, 30000);
    assert_string_equal(take(&w, "a"), "n0 n1 n2");
    world_end(&w);
}

/* A receiver that takes offence gets them one by one: the bad one keeps back nobody. */
static void test_refused_group(void **state)
{
    struct world w;
    struct pw_claim claim = {.hook = "a", .max_attempts = 4, .lease_ms = 1};
    struct pw_outcome refused = {.kind = PW_OUTCOME_REFUSED, .why = "400"};
    struct pw_error err;

    world_begin(&w, state, grouped, "ccc");
    world_sweep(&w, "nnn");
    claim.router = &w.alerts->router;
    claim.now_ms = refused.now_ms = refused.next_attempt_at_ms = w.now_ms;
    assert_int_equal(pw_outbox_claim(w.db, &claim, &err), PW_OK);
    assert_non_null(claim.list->next->next);
    assert_int_equal(pw_outbox_record(w.db, claim.list, &refused, &err), PW_OK);
    pw_claimed_free(claim.list);
    assert_string_equal(take(&w, "a"), "n0 n1 n2");
    world_end(&w);
}

/* Escalation and reminders ----------------------------------------------------------------------
 */

static const char escalating[] = "rules: [{name: r, hooks: a}, {name: boss, after: 4h, hooks: b}]";

static void test_escalation(void **state)
{
    struct world w;

    world_begin(&w, state, escalating, "ccc");
    world_sweep(&w, "nnc");
    assert_string_equal(take(&w, "a"), "n0 n1");
    assert_string_equal(take(&w, "b"), "");
    assert_int_equal(w.next_due_ms, w.now_ms + 4 * HOUR_MS);
    world_pass(&w, 2 * HOUR_MS);
    world_restart(&w);
    world_sweep(&w, "cnc"); /* 0 is over before it reaches the boss */
    assert_string_equal(take(&w, "a"), "c0");
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "b"), "n1");
    world_sweep(&w, "ccc");
    assert_string_equal(take(&w, "b"), "c1"); /* and no c0 */
    assert_string_equal(take(&w, "a"), "c1");
    /* The same hook at once and later: at once. */
    world_rules(&w, "rules: [{name: boss, after: 4h, hooks: a}, {name: r, hooks: a}]");
    world_sweep(&w, "ccn");
    assert_string_equal(take(&w, "a"), "n2");
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    world_end(&w);
}

static void test_reminders(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, hooks: a, repeat: 24h}]", "cc");
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0 n1");
    assert_int_equal(w.next_due_ms, w.now_ms + PW_DAY_MS);
    world_pass(&w, PW_DAY_MS - 1);
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 1);
    world_restart(&w);
    assert_string_equal(take(&w, "a"), "n0!1 n1!1");
    world_sweep(&w, "cn");
    assert_string_equal(take(&w, "a"), "c0");
    world_pass(&w, PW_DAY_MS);
    assert_string_equal(fail_to_take(&w, "a", MINUTE_MS), "n1!2");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, MINUTE_MS);
    assert_string_equal(take(&w, "a"), "n1!2"); /* the same one again */
    /* Rules change: reminders follow them. */
    world_rules(&w, plain);
    world_pass(&w, 10 * PW_DAY_MS);
    assert_string_equal(take(&w, "a"), "");
    world_rules(&w, "rules: [{name: r, hooks: a, repeat: 1h}]");
    assert_string_equal(take(&w, "a"), "n1!3");
    /* Nobody knows of a machine that is missing. */
    world_sweep(&w, "c-");
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    world_sweep(&w, "cn");
    assert_string_equal(take(&w, "a"), "n1!4");
    assert_string_equal(rows(w.db, "SELECT state, reminders FROM delivery JOIN event"
                                   " USING (event_id) JOIN node USING (node_id)"
                                   " WHERE to_status = 'non_compliant' ORDER BY node_key"),
                        "delivered|1\ndelivered|4");
    world_end(&w);
}

static void test_ack(void **state)
{
    struct world w;
    char until[32];

    world_begin(&w, state,
                "rules: [{name: r, hooks: a, repeat: 1h}, {name: boss, after: 4h, hooks: b}]",
                "cc");
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0 n1");
    world_ack(&w, "ECS/i-0", NULL);
    (void)snprintf(until, sizeof until, "%lld", (long long)(w.now_ms + 6 * HOUR_MS));
    world_ack(&w, "ECS/i-1", until);
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    assert_string_equal(take(&w, "b"), "");
    assert_int_equal(w.next_due_ms, w.now_ms + 2 * HOUR_MS); /* when the second ends by itself */
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "b"), "n1");
    assert_string_equal(take(&w, "a"), "n1!1");
    world_sweep(&w, "cn"); /* the recovery is told, and ends the other */
    assert_string_equal(take(&w, "a"), "c0");
    assert_string_equal(rows(w.db, "SELECT ended_by FROM ack ORDER BY ack_id"), "recovery\nexpiry");
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "n0!1 n1!2"); /* a new problem has no ack */
    assert_string_equal(take(&w, "b"), "n0");
    world_end(&w);
}

/* Mutes -----------------------------------------------------------------------------------------
 */

/* From 01:00 to 05:00 on Tuesdays; the world begins at 00:00 on one. */
static const char patch_night[] = "rules: [{name: r, hooks: a}]\n"
                                  "mutes: [{name: patch night, match: {source: prod},"
                                  " weekly: {days: [tue], start: \"01:00\", end: \"05:00\"}}]";

static void test_mute(void **state)
{
    struct world w;

    world_begin(&w, state, patch_night, "ccccc");
    world_sweep(&w, "nnccc");
    assert_string_equal(take(&w, "a"), "n0 n1"); /* told before */
    world_pass(&w, 90 * MINUTE_MS);
    world_sweep(&w, "cnnnc"); /* the end of 0; problems 2 and 3 */
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, HOUR_MS);
    world_restart(&w);
    world_sweep(&w, "cncnc"); /* 2 began and ended inside it */
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 3 * HOUR_MS - 30 * MINUTE_MS);
    assert_string_equal(take(&w, "a"), "c0 n3");
    world_sweep(&w, "ccccc");
    assert_string_equal(take(&w, "a"), "c1 c3"); /* not of 2, of which nobody heard */
    assert_string_equal(rows(w.db, "SELECT d.state, d.reason FROM delivery AS d JOIN event"
                                   " USING (event_id) JOIN node USING (node_id)"
                                   " WHERE node_key = 'ECS/i-2'"),
                        "muted|mute 'patch night'\nmuted|what it ends was never told");
    world_end(&w);
}

/* Bad, told; well and bad again inside the mute: the end is told, and that it is bad again. */
static void test_mute_across_both(void **state)
{
    struct world w;

    world_begin(&w, state, patch_night, "c");
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, 2 * HOUR_MS);
    world_sweep(&w, "c");
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "c0 n0");
    world_end(&w);
}

/* What waits or is to be reminded of when the mute begins is held back as well. */
static void test_mute_of_what_waits(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a, repeat: 2h}, {name: boss, after: 2h, hooks: b}]\n"
                "mutes: [{name: m, match: {source: prod}, from: 2024-11-26 01:00, until: "
                "2024-11-26 05:00}]",
                "ccc");
    world_sweep(&w, "nnc");
    assert_string_equal(take(&w, "a"), "n0 n1");
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    assert_string_equal(take(&w, "b"), "");
    world_sweep(&w, "cnc");
    world_pass(&w, 3 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "c0 n1!1");
    assert_string_equal(take(&w, "b"), "n1");
    world_end(&w);
}

static void test_mute_of_the_table(void **state)
{
    struct world w;
    char sql[256];

    world_begin(&w, state, plain, "ccc");
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO mute (match, until_at, author) VALUES"
                   " ('{\"node\": [\"ECS/i-1\"]}', NULL, 'ann'),"
                   " ('{\"node\": \"ECS/i-2\"}', %lld, 'bob'), ('{nonsense}', NULL, 'eve')",
                   (long long)(w.now_ms + HOUR_MS));
    must_run(w.db, sql);
    world_sweep(&w, "nnn");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "a"), "n2");
    /* Somebody removes the other by hand: seen within minutes. */
    must_run(w.db, "DELETE FROM mute");
    world_pass(&w, 6 * MINUTE_MS);
    assert_string_equal(take(&w, "a"), "n1");
    world_end(&w);
}

/* The file changes: what it muted is told at once. */
static void test_mute_is_taken_back(void **state)
{
    struct world w;

    world_begin(&w, state, patch_night, "cc");
    world_pass(&w, 2 * HOUR_MS);
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "");
    world_rules(&w, plain);
    assert_string_equal(take(&w, "a"), "n0 n1");
    world_end(&w);
}

/* Events that do not stand are muted for good; a machine that is missing stands. */
static void test_mute_of_what_does_not_stand(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a, match: {type: [node.missing, node.returned,"
                " node.discovered]}}]\n"
                "mutes: [{name: m, match: {source: prod}, until: 2024-11-26 05:00}]",
                "ccc");
    world_sweep(&w, "c--c");
    world_sweep(&w, "cc-c");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 5 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "gone2");
    world_end(&w);
}

/* The hook is down --------------------------------------------------------------------------------
 */

/* 72 hours, then everything, once, in order for each machine. */
static void test_down_for_three_days(void **state)
{
    struct world w;

    world_begin(&w, state, plain, "ccc");
    world_sweep(&w, "nnc");
    for (int hour = 0; hour < 72; hour++) {
        (void)fail_to_take(&w, "a", 15 * MINUTE_MS);
        world_pass(&w, HOUR_MS);
        if (hour == 10)
            world_sweep(&w, "cnn");
        if (hour == 20)
            world_sweep(&w, "ncn");
        if (hour == 30)
            world_restart(&w);
    }
    assert_string_equal(take(&w, "a"), "n0 c0 n0 n1 c1 n2");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, PW_DAY_MS);
    assert_string_equal(take(&w, "a"), "");
    world_end(&w);
}

static void test_dead(void **state)
{
    struct world w;

    world_begin(&w, state, plain, "c");
    world_sweep(&w, "n");
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    world_pass(&w, 3 * PW_DAY_MS + 1);
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    assert_string_equal(rows(w.db, "SELECT state, last_error FROM delivery"), "dead|no");
    world_sweep(&w, "c");
    assert_string_equal(take(&w, "a"), "c0"); /* it may have been seen all the same */
    world_end(&w);
}

/* Off: nothing is claimed, nothing is lost, and another target turns it on. */
static void test_turned_off(void **state)
{
    struct world w;
    struct pw_error err;
    struct pw_claim claim = {.hook = "a", .target = "x", .max_attempts = 4};

    world_begin(&w, state, plain, "cc");
    assert_int_equal(pw_outbox_turn_off(w.db, "a", "x", "HTTP 410", w.now_ms, &err), PW_OK);
    world_sweep(&w, "nn");
    claim.now_ms = w.now_ms;
    claim.router = &w.alerts->router;
    assert_int_equal(pw_outbox_claim(w.db, &claim, &err), PW_OK);
    assert_true(claim.is_off);
    assert_null(claim.list);
    world_restart(&w);
    assert_string_equal(take(&w, "a"), "n0 n1"); /* with no target: another one */
    assert_int_equal(number(w.db, "SELECT count(*) FROM hook"), 0);
    world_end(&w);
}

/* Held by a sweep whose changes are too many: nothing of it is due. */
static void test_held(void **state)
{
    struct world w;

    world_begin(&w, state, plain, "cc");
    world_sweep(&w, "nn");
    must_run(w.db, "UPDATE delivery SET held_by = 2 WHERE event_id IN (SELECT event_id FROM event"
                   " JOIN node USING (node_id) WHERE node_key = 'ECS/i-0')");
    assert_string_equal(take(&w, "a"), "n1");
    must_run(w.db, "UPDATE delivery SET held_by = NULL");
    assert_string_equal(take(&w, "a"), "n0");
    world_end(&w);
}

static void test_standing(void **state)
{
    struct world w;
    struct pw_delivery *list;
    struct pw_error err;
    int64_t last;

    world_begin(&w, state, plain, "ccc");
    world_sweep(&w, "nnn");
    assert_string_equal(take(&w, "a"), "n0 n1 n2");
    world_pass(&w, HOUR_MS);
    world_sweep(&w, "ccn");
    assert_string_equal(take(&w, "a"), "c0 c1");
    world_sweep(&w, "cnn");
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n1");
    assert_int_equal(pw_outbox_standing(w.db, "a", w.now_ms - 1, 0, 100, &list, &last, &err),
                     PW_OK);
    assert_true(pw_str_is(list->node_key, "ECS/i-2"));
    assert_true(pw_str_is(list->to, "non_compliant"));
    assert_true(pw_str_is(list->next->node_key, "ECS/i-0")); /* not 1, which is bad again */
    assert_true(pw_str_is(list->next->to, "compliant"));
    assert_null(list->next->next);
    assert_int_equal(last, 0);
    pw_delivery_free(list);
    world_end(&w);
}

/* The clock was a year ahead for a while: nothing waits for that year to pass. */
static void test_clock_that_was_ahead(void **state)
{
    const int64_t year_ms = 365 * PW_DAY_MS;
    struct world w;

    world_begin(
        &w, state,
        "rules: [{name: r, hooks: a, repeat: 24h}, {name: g, hooks: b, group: {wait: 1h}}]\n"
        "mutes: [{name: m, match: {node: ECS/i-1}, until: 2025-11-26 01:00}]",
        "cc");
    world_pass(&w, year_ms);
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0");
    assert_string_equal(take(&w, "b"), "");
    world_pass(&w, -year_ms);
    world_rules(
        &w, "rules: [{name: r, hooks: a, repeat: 24h}, {name: g, hooks: b, group: {wait: 1h}}]");
    assert_string_equal(take(&w, "b"), "n0+n1");
    assert_string_equal(take(&w, "a"), "n0!1 n1");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, PW_DAY_MS);
    assert_string_equal(take(&w, "a"), "n0!2 n1!1");
    pw_db_close(w.db); /* not verified: its times are still to come */
    pw_alerts_free(w.alerts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(test_nothing_in_the_way),
        TEST(test_recovery),
        TEST(test_discovered_as_a_problem),
        TEST(test_group),
        TEST(test_group_that_is_over_before_it_is_due),
        TEST(test_groups_are_kept_apart),
        TEST(test_refused_group),
        TEST(test_escalation),
        TEST(test_reminders),
        TEST(test_ack),
        TEST(test_mute),
        TEST(test_mute_across_both),
        TEST(test_mute_of_what_waits),
        TEST(test_mute_of_the_table),
        TEST(test_mute_is_taken_back),
        TEST(test_mute_of_what_does_not_stand),
        TEST(test_down_for_three_days),
        TEST(test_dead),
        TEST(test_turned_off),
        TEST(test_held),
        TEST(test_standing),
        TEST(test_clock_that_was_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
