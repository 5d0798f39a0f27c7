/* The end of what somebody was told, and the clock of each delivery, where several things hold
 * alerts back at the same time: none of them may make the other forget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "telling.h"

enum { WINDOW = 6, FLEET = 40 };

static const char plain[] = "rules: [{name: r, hooks: a}]";

/* A source that fails ------------------------------------------------------------------------- */

static const char sources[] =
    "rules: [{name: r, match: {type: source.failing}, hooks: a}]\n"
    "mutes: [{name: m, match: {source: prod}, from: 2024-11-26 23:00, until: 2024-11-27 05:00}]";

/* Told that it fails; told again inside a mute; it recovers inside the mute. */
static void test_muted_repeat(void **state)
{
    struct world w;

    world_begin(&w, state, sources, "c");
    w.how.failing_after = 1;
    world_fail_to_sweep(&w);
    assert_string_equal(take(&w, "a"), "failing");
    world_pass(&w, PW_DAY_MS);
    world_fail_to_sweep(&w);
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, HOUR_MS);
    world_restart(&w);
    world_sweep(&w, "c");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 6 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "recovered");
    world_end(&w);
}

/* Never told, since each time it was muted or over: nobody hears of the end. */
static void test_repeats_that_were_never_told(void **state)
{
    struct world w;

    world_begin(&w, state, sources, "c");
    w.how.failing_after = 1;
    world_pass(&w, 23 * HOUR_MS);
    world_fail_to_sweep(&w);
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, HOUR_MS);
    world_sweep(&w, "c");
    world_pass(&w, 6 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    world_end(&w);
}

/* Repeats that wait for their group are taken back, all of them, and the end is told. */
static void test_waiting_repeats(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, match: {type: source.failing}, hooks: a, group: {wait: 30m}}]",
                "c");
    w.how.failing_after = 1;
    w.how.failing_repeat_ms = 10 * MINUTE_MS;
    world_fail_to_sweep(&w);
    world_pass(&w, 30 * MINUTE_MS);
    assert_string_equal(take(&w, "a"), "failing");
    for (int i = 0; i < 2; i++) {
        world_fail_to_sweep(&w);
        world_pass(&w, 10 * MINUTE_MS);
    }
    world_sweep(&w, "c");
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "a"), "recovered");
    assert_string_equal(rows(w.db, "SELECT state, count(*) FROM delivery GROUP BY state"),
                        "delivered|2\ndropped|2");
    world_end(&w);
}

/* Flapping ------------------------------------------------------------------------------------ */

static void flap(struct world *w)
{
    w->how.flap_window = WINDOW;
    w->how.flap_on_percent = 50;
    w->how.flap_off_percent = 25;
}

static void sweep_hourly(struct world *w, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        world_pass(w, HOUR_MS);
        world_sweep(w, (const char[]){*letters, '\0'});
    }
}

/* Told of the problem; in a mute it begins to flap, and settles well again. */
static void test_flaps_inside_a_mute(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a}]\n"
                "mutes: [{name: m, match: {source: prod}, from: 2024-11-26 02:30,"
                " until: 2024-11-26 12:00}]",
                "n");
    flap(&w);
    sweep_hourly(&w, "cn");
    assert_string_equal(take(&w, "a"), "c0 n0");
    sweep_hourly(&w, "cccccc");
    assert_string_equal(take(&w, "a"), "");
    world_pass(&w, 6 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "settled0");
    assert_string_equal(rows(w.db, "SELECT to_status FROM event WHERE type LIKE '%settled'"),
                        "compliant");
    sweep_hourly(&w, "n");
    assert_string_equal(take(&w, "a"), "n0");
    world_end(&w);
}

/* The end of one silenced change takes nothing from the muted message that the node flaps. */
static void test_flaps_on_beyond_a_mute(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a}]\n"
                "mutes: [{name: m, match: {source: prod}, from: 2024-11-26 02:30,"
                " until: 2024-11-26 05:30}]",
                "c");
    flap(&w);
    sweep_hourly(&w, "nc");
    assert_string_equal(take(&w, "a"), "n0 c0");
    sweep_hourly(&w, "ncn");
    assert_string_equal(take(&w, "a"), "");
    sweep_hourly(&w, "c");
    assert_string_equal(take(&w, "a"), "flaps0");
    sweep_hourly(&w, "cccccc");
    assert_string_equal(take(&w, "a"), "settled0");
    world_end(&w);
}

/* Who is told only of what lasts is told so of flapping, too; and not of what is over by then. */
static void test_flapping_escalates(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: boss, after: 150m, hooks: b}]", "c");
    flap(&w);
    sweep_hourly(&w, "ncn");
    assert_string_equal(take(&w, "b"), "");
    sweep_hourly(&w, "cn");
    assert_string_equal(take(&w, "b"), "");
    sweep_hourly(&w, "c");
    assert_string_equal(take(&w, "b"), "flaps0");
    sweep_hourly(&w, "cccccc");
    assert_string_equal(take(&w, "b"), "settled0");
    world_end(&w);
}

/* Escalations --------------------------------------------------------------------------------- */

/* Muted when it began: due as long after the beginning as any, and acknowledged as any. */
static void test_escalation_that_was_muted(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: boss, after: 4h, hooks: b}]\n"
                "mutes: [{name: m, match: {source: prod}, until: 2024-11-26 02:00}]",
                "cccc");
    world_sweep(&w, "nnnc");
    assert_string_equal(take(&w, "b"), "");
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "b"), "");
    assert_int_equal(w.next_due_ms, w.now_ms + 2 * HOUR_MS);
    world_ack(&w, "ECS/i-0", NULL);
    world_sweep(&w, "ncnc");
    world_pass(&w, 2 * HOUR_MS);
    assert_string_equal(take(&w, "b"), "n2");
    world_sweep(&w, "cccc");
    assert_string_equal(take(&w, "b"), "c2");
    world_end(&w);
}

/* Its time comes inside the mute, where somebody is at work on it already. */
static void test_muted_escalation_that_is_acknowledged(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: boss, after: 1h, hooks: b}]\n"
                "mutes: [{name: m, match: {source: prod}, until: 2024-11-26 02:00}]",
                "cc");
    world_sweep(&w, "nn");
    world_ack(&w, "ECS/i-0", NULL);
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "b"), "");
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "b"), "n1");
    must_run(w.db, "UPDATE ack SET ended_at = 1, ended_by = 'command'");
    assert_string_equal(take(&w, "b"), "n0");
    world_end(&w);
}

/* A muted end and a problem after it ---------------------------------------------------------- */

/* The mute is taken back by hand between the two. */
static void test_end_of_a_mute_that_was_removed(void **state)
{
    struct world w;

    world_begin(&w, state, plain, "c");
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "n0");
    must_run(w.db, "INSERT INTO mute (match, author) VALUES ('{\"source\": \"prod\"}', 'ann')");
    world_pass(&w, MINUTE_MS);
    world_sweep(&w, "c");
    assert_string_equal(take(&w, "a"), "");
    must_run(w.db, "DELETE FROM mute");
    world_pass(&w, MINUTE_MS);
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "c0 n0");
    world_end(&w);
}

/* The mute is of the one, and not of the other: the end goes first all the same. */
static void test_end_that_alone_is_muted(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a}]\n"
                "mutes: [{name: m, match: {type: node.compliant}, until: 2024-11-26 05:00}]",
                "cc");
    world_sweep(&w, "nn");
    assert_string_equal(take(&w, "a"), "n0 n1");
    world_sweep(&w, "cc");
    assert_string_equal(take(&w, "a"), "");
    world_sweep(&w, "nc");
    assert_string_equal(take(&w, "a"), "c0 n0");
    world_pass(&w, 5 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "c1");
    world_end(&w);
}

/* It was tried, and nobody knows whether it was seen; then muted, and over: only its end is told.
 */
static void test_muted_after_an_attempt(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a}]\n"
                "mutes: [{name: m, match: {source: prod}, from: 2024-11-26 01:00,"
                " until: 2024-11-26 05:00}]",
                "cc");
    world_sweep(&w, "nn");
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0 n1");
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "a"), "");
    world_sweep(&w, "cn");
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "a"), "c0 n1");
    world_end(&w);
}

/* Time ---------------------------------------------------------------------------------------- */

/* A group begun by a clock that was ahead keeps nobody waiting. */
static void group_with_a_clock_ahead(void **state, int64_t ahead_ms)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, hooks: a, group: {wait: 30s}}]", "cc");
    world_pass(&w, ahead_ms);
    world_sweep(&w, "nc");
    world_pass(&w, -ahead_ms);
    world_sweep(&w, "nn");
    world_pass(&w, 30000);
    assert_string_equal(take(&w, "a"), "n0+n1");
    pw_db_close(w.db); /* not verified: its times are still to come */
    pw_alerts_free(w.alerts);
}

static void test_group_of_a_clock_that_was_a_year_ahead(void **state)
{
    group_with_a_clock_ahead(state, 365 * PW_DAY_MS);
}

static void test_group_of_a_clock_that_was_hours_ahead(void **state)
{
    group_with_a_clock_ahead(state, 2 * HOUR_MS);
}

/* The time to try it in begins with the first attempt, whatever it waited for before. */
static void test_first_attempt_after_a_long_wait(void **state)
{
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a}, {name: boss, after: 120h, hooks: b}]\n"
                "mutes: [{name: m, match: {source: prod}, until: 2024-12-01 00:00}]",
                "c");
    world_sweep(&w, "n");
    world_pass(&w, 5 * PW_DAY_MS);
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    assert_string_equal(fail_to_take(&w, "b", HOUR_MS), "n0");
    world_pass(&w, 2 * PW_DAY_MS);
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    assert_string_equal(take(&w, "b"), "n0");
    world_pass(&w, PW_DAY_MS + 1);
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    assert_string_equal(rows(w.db, "SELECT hook, state FROM delivery ORDER BY hook"),
                        "a|dead\nb|delivered");
    world_end(&w);
}

/* Off for a week: that is no time in which it was tried. */
static void test_turned_off_for_long(void **state)
{
    struct world w;
    struct pw_error err;

    world_begin(&w, state, plain, "c");
    world_sweep(&w, "n");
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0");
    assert_int_equal(pw_outbox_turn_off(w.db, "a", "x", "HTTP 410", w.now_ms, &err), PW_OK);
    world_pass(&w, 7 * PW_DAY_MS);
    assert_string_equal(fail_to_take(&w, "a", HOUR_MS), "n0"); /* its target is another one */
    world_pass(&w, HOUR_MS);
    assert_string_equal(take(&w, "a"), "n0");
    world_end(&w);
}

/* Reminders ----------------------------------------------------------------------------------- */

/* Being reminded of at this moment: the end waits until that is through. */
static void test_end_behind_a_reminder(void **state)
{
    struct world w;
    struct pw_claim claim = {.hook = "a", .max_attempts = 4, .lease_ms = HOUR_MS};
    struct pw_outcome done = {.kind = PW_OUTCOME_DELIVERED};
    struct pw_error err;

    world_begin(&w, state, "rules: [{name: r, hooks: a, repeat: 1h}]", "cc");
    world_sweep(&w, "nc");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, HOUR_MS);
    claim.router = done.router = &w.alerts->router;
    claim.now_ms = w.now_ms;
    assert_int_equal(pw_outbox_claim(w.db, &claim, &err), PW_OK);
    assert_int_equal(claim.list->reminder, 1);
    world_sweep(&w, "cn");
    assert_string_equal(take(&w, "a"), "n1");
    done.now_ms = w.now_ms;
    assert_int_equal(pw_outbox_record(w.db, claim.list, &done, &err), PW_OK);
    pw_claimed_free(claim.list);
    assert_string_equal(take(&w, "a"), "c0");
    world_end(&w);
}

/* The process dies while it reminds: the end is told by the next one. */
static void test_reminder_that_is_cut_off(void **state)
{
    struct world w;
    struct pw_claim claim = {.hook = "a", .max_attempts = 4, .lease_ms = HOUR_MS};
    struct pw_error err;

    world_begin(&w, state, "rules: [{name: r, hooks: a, repeat: 1h}]", "c");
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, HOUR_MS);
    claim.router = &w.alerts->router;
    claim.now_ms = w.now_ms;
    assert_int_equal(pw_outbox_claim(w.db, &claim, &err), PW_OK);
    pw_claimed_free(claim.list);
    world_sweep(&w, "c");
    world_restart(&w);
    assert_string_equal(take(&w, "a"), "c0");
    world_end(&w);
}

/* A muted reminder of a time that is still to come is not looked at without end. */
static void test_muted_reminder_of_a_clock_that_was_ahead(void **state)
{
    const int64_t year_ms = 365 * PW_DAY_MS;
    struct world w;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a, repeat: 1h}]\n"
                "mutes: [{name: m, match: {source: prod}, until: 2024-11-27}]",
                "c");
    world_pass(&w, year_ms);
    world_sweep(&w, "n");
    assert_string_equal(take(&w, "a"), "n0");
    world_pass(&w, -year_ms);
    assert_string_equal(take(&w, "a"), "");
    assert_in_range(w.next_due_ms, w.now_ms + MINUTE_MS, w.now_ms + HOUR_MS);
    pw_db_close(w.db); /* not verified: its times are still to come */
    pw_alerts_free(w.alerts);
}

/* Mass changes -------------------------------------------------------------------------------- */

static const char *fleet(int bad)
{
    static char letters[FLEET + 1];

    memset(letters, 'c', FLEET);
    memset(letters, 'n', (size_t)bad);
    return letters;
}

static void shift(struct world *w)
{
    w->how.mass_change_percent = 25;
    w->how.mass_change_min = 20;
}

/* Who is told only of what lasts is told of the mass change when it has lasted. */
static void test_shift_escalates(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, hooks: a}, {name: boss, after: 4h, hooks: b}]",
                fleet(0));
    shift(&w);
    world_sweep(&w, fleet(30));
    world_sweep(&w, fleet(30));
    assert_string_equal(take(&w, "a"), "shift");
    assert_string_equal(take(&w, "b"), "");
    world_sweep(&w, fleet(28)); /* of these two the boss has not heard */
    assert_string_equal(take(&w, "a"), "c28 c29");
    assert_string_equal(take(&w, "b"), "");
    world_pass(&w, 4 * HOUR_MS);
    world_restart(&w);
    assert_string_equal(take(&w, "b"), "shift");
    world_sweep(&w, fleet(26));
    assert_string_equal(take(&w, "a"), "c26 c27");
    assert_string_equal(take(&w, "b"), "c26 c27");
    world_end(&w);
}

static void test_shift_that_is_over_before_it_escalates(void **state)
{
    struct world w;

    world_begin(&w, state, "rules: [{name: r, hooks: a}, {name: boss, after: 4h, hooks: b}]",
                fleet(0));
    shift(&w);
    world_sweep(&w, fleet(21));
    world_sweep(&w, fleet(21));
    assert_string_equal(take(&w, "a"), "shift");
    for (int bad = 14; bad >= 0; bad -= 7) {
        world_sweep(&w, fleet(bad));
        (void)take(&w, "a");
    }
    world_pass(&w, 4 * HOUR_MS);
    assert_string_equal(take(&w, "b"), "");
    assert_int_equal(number(w.db, "SELECT count(*) FROM delivery WHERE hook = 'b'"
                                  " AND state IN ('pending', 'delivered')"),
                     0);
    world_end(&w);
}

/* The state of the world ---------------------------------------------------------------------- */

/* What a receiver that forgets has to hear again: machines that are missing, or that flap. */
static void test_standing_of_other_kinds(void **state)
{
    struct world w;
    struct pw_delivery *list;
    struct pw_error err;
    int64_t last;

    world_begin(&w, state,
                "rules: [{name: r, hooks: a, match: {type: [node.missing, node.flapping,"
                " node.non_compliant]}}]",
                "ccc");
    flap(&w);
    world_sweep(&w, "ccn");
    world_sweep(&w, "ccc");
    world_sweep(&w, "c-n");
    assert_string_equal(take(&w, "a"), "gone1 n2 c2 flaps2");
    world_pass(&w, HOUR_MS);
    assert_int_equal(pw_outbox_standing(w.db, "a", w.now_ms - 1, 0, 100, &list, &last, &err),
                     PW_OK);
    assert_string_equal(list->type, "io.patchwatch.node.flapping");
    assert_string_equal(list->next->type, "io.patchwatch.node.missing");
    assert_null(list->next->next);
    pw_delivery_free(list);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(test_muted_repeat),
        TEST(test_repeats_that_were_never_told),
        TEST(test_waiting_repeats),
        TEST(test_flaps_inside_a_mute),
        TEST(test_flaps_on_beyond_a_mute),
        TEST(test_flapping_escalates),
        TEST(test_escalation_that_was_muted),
        TEST(test_muted_escalation_that_is_acknowledged),
        TEST(test_end_of_a_mute_that_was_removed),
        TEST(test_end_that_alone_is_muted),
        TEST(test_muted_after_an_attempt),
        TEST(test_group_of_a_clock_that_was_a_year_ahead),
        TEST(test_group_of_a_clock_that_was_hours_ahead),
        TEST(test_first_attempt_after_a_long_wait),
        TEST(test_turned_off_for_long),
        TEST(test_end_behind_a_reminder),
        TEST(test_reminder_that_is_cut_off),
        TEST(test_muted_reminder_of_a_clock_that_was_ahead),
        TEST(test_shift_escalates),
        TEST(test_shift_that_is_over_before_it_escalates),
        TEST(test_standing_of_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
