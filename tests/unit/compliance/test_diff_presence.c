/* The diff of one node: which records count, and nodes that go missing, return or are new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "world.h"

static void test_older_records_never_replace(void **state)
{
    struct world w = with(C);

    (void)state;
    show(&w, 0, N, 99);
    sweep(&w, true);
    assert_quiet(&w);
    assert_int_equal(w.actions[0], PW_REPORT_KEEP);
    assert_int_equal(w.state.status, C);
    assert_null(w.result.node_facts); /* nor do they rename the node */
    show(&w, 0, N, 100);              /* not older: read last, it counts */
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_PATCHES);
    assert_non_null(w.result.node_facts);
}

static void test_a_time_far_in_the_future_freezes_nothing(void **state)
{
    struct world w = with(C);

    (void)state;
    w.now_ms = NOW;
    show(&w, 0, C, NOW + 1000 + PW_DAY_MS);
    sweep(&w, true);
    show(&w, 0, N, NOW); /* now a day ahead, not more */
    sweep(&w, true);
    assert_quiet(&w);
    show(&w, 0, C, w.now_ms + 1 + PW_DAY_MS + 1000);
    sweep(&w, true);
    show(&w, 0, N, NOW);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_PATCHES);
}

/* "The one with the greatest report_time counts": no sweep that shows both may swing to and fro. */
static void test_of_two_records_the_newer_counts(void **state)
{
    static const int64_t stored_times[] = {100, NOW + 2 * PW_DAY_MS, NOW + 400 * PW_DAY_MS};
    static const int64_t rival_times[] = {PW_TIME_NONE, 0, 99};

    (void)state;
    for (size_t s = 0; s < 3; s++) {
        for (size_t r = 0; r < 3; r++) {
            struct world w = world();
            struct pw_report rival = record(N, rival_times[r], 1);

            show(&w, 0, C, stored_times[s]);
            sweep(&w, true);
            /* the sweep showed the stored record as well */
            rival.rival = s == 0 ? PW_RIVAL_LATER : PW_RIVAL_EARLIER;
            show_report(&w, 0, rival);
            sweep(&w, true);
            assert_quiet(&w);
            assert_int_equal(w.actions[0], PW_REPORT_KEEP);
            assert_null(w.result.node_facts);
        }
    }
    for (int later = 0; later < 2; later++) { /* ties: the one read last */
        struct world w = with(C);
        struct pw_report rival = record(N, 100, 1);

        rival.rival = later ? PW_RIVAL_LATER : PW_RIVAL_EARLIER;
        show_report(&w, 0, rival);
        sweep(&w, true);
        assert_int_equal(w.state.status, later ? C : N);
    }
}

static void test_missing_and_returned(void **state)
{
    struct world w = with(C);

    (void)state;
    w.missing_after = 3;
    sweep(&w, true);
    sweep(&w, true);
    assert_quiet(&w);
    assert_true(w.result.restless);
    show_known(&w, 0); /* in between it shows up: the count begins anew */
    sweep(&w, true);
    assert_int_equal(w.state.missed_sweeps, 0);
    sweep(&w, true);
    sweep(&w, false); /* what an incomplete sweep does not show means nothing */
    sweep(&w, false);
    sweep(&w, true);
    assert_quiet(&w);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_MISSING, C, -1, PW_CAUSE_NOT_SHOWN);
    assert_true(w.result.events[0].report->report_time_ms == 100);
    assert_true(w.result.events[0].occurred_at_ms == w.now_ms - 1000);
    assert_true(w.state.missing_since_ms == w.now_ms - 1000);
    assert_int_equal(w.actions[0], PW_REPORT_RETIRE);
    for (int i = 0; i < 5; i++) { /* told once */
        sweep(&w, i % 2 == 0);
        assert_quiet(&w);
        assert_int_equal(w.actions[0], PW_REPORT_DROP);
    }
    show(&w, 0, C, 100);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_RETURNED, -1, C, PW_CAUSE_RETURNED);
    assert_int_equal(w.actions[0], PW_REPORT_REOPEN);
    assert_true(w.state.missing_since_ms == PW_TIME_NONE);
    assert_int_equal(w.state.missed_sweeps, 0);
}

static void test_a_node_that_returns_with_another_status(void **state)
{
    struct world w = with(N);

    (void)state;
    w.missing_after = 1;
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_MISSING, N, -1, PW_CAUSE_NOT_SHOWN);
    show(&w, 0, C, 200);
    sweep(&w, false);
    assert_event(&w, 0, PW_EVENT_NODE_RETURNED, -1, C, PW_CAUSE_RETURNED);
    assert_event(&w, 1, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_RETURNED);
    assert_int_equal(w.result.event_count, 2);
}

static void test_a_node_that_returns_in_part(void **state)
{
    (void)state;
    for (int complete = 0; complete < 2; complete++) {
        struct world w = world();

        show(&w, 0, C, 100);
        show(&w, 1, N, 100);
        sweep(&w, true);
        w.missing_after = 1;
        sweep(&w, true);
        show(&w, 0, C, 200);
        sweep(&w, complete);
        assert_int_equal(w.actions[0], PW_REPORT_INSERT);
        assert_int_equal(w.actions[1], complete ? PW_REPORT_DROP : PW_REPORT_REOPEN);
        assert_int_equal(w.state.status, complete ? C : N);
        assert_int_equal(w.result.event_count, complete ? 2 : 1);
    }
}

static void test_a_node_that_returns_with_an_older_record(void **state)
{
    struct world w = with(N);

    (void)state;
    w.missing_after = 1;
    sweep(&w, true);
    show(&w, 0, C, 50);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_RETURNED, -1, N, PW_CAUSE_RETURNED);
    assert_int_equal(w.actions[0], PW_REPORT_REOPEN);
}

static void test_first_sweeps_discover_nothing(void **state)
{
    struct world w = world();

    (void)state;
    w.baseline_done = false;
    show(&w, 0, N, 100);
    sweep(&w, false);
    assert_quiet(&w);
    assert_true(w.state.exists);
    assert_int_equal(w.state.last_definite, N);
    w = world();
    w.baseline_done = false;
    show(&w, 0, N, 100);
    sweep(&w, true);
    assert_quiet(&w);
    w.baseline_done = true;
    show(&w, 0, C, 101);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_PATCHES);
}

static void test_an_incomplete_sweep_retires_nothing(void **state)
{
    struct world w = world();

    (void)state;
    show(&w, 0, C, 100);
    show(&w, 1, N, 100);
    sweep(&w, true);
    show_known(&w, 0);
    sweep(&w, false);
    assert_quiet(&w);
    assert_int_equal(w.actions[1], PW_REPORT_KEEP);
    show_known(&w, 0);
    sweep(&w, true);
    assert_int_equal(w.actions[1], PW_REPORT_RETIRE);
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_BASELINE);
    assert_true(w.result.events[0].previous->status == PW_NON_COMPLIANT);
}

static void test_nothing_shown_changes_nothing(void **state)
{
    struct world w = with(N);
    struct pw_node_state before = w.state;

    (void)state;
    for (int i = 0; i < 10; i++) {
        sweep(&w, false);
        assert_quiet(&w);
        assert_false(w.result.shown);
        assert_memory_equal(&before, &w.state, sizeof before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_records_never_replace),
        cmocka_unit_test(test_a_time_far_in_the_future_freezes_nothing),
        cmocka_unit_test(test_of_two_records_the_newer_counts),
        cmocka_unit_test(test_missing_and_returned),
        cmocka_unit_test(test_a_node_that_returns_with_another_status),
        cmocka_unit_test(test_a_node_that_returns_in_part),
        cmocka_unit_test(test_a_node_that_returns_with_an_older_record),
        cmocka_unit_test(test_first_sweeps_discover_nothing),
        cmocka_unit_test(test_an_incomplete_sweep_retires_nothing),
        cmocka_unit_test(test_nothing_shown_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
