/* The diff of one node: status, transitions, and what makes a node worse or better. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

/* "A node is non_compliant if any of its current reports is, else unknown if none is definite." */
static void test_status_of_several_reports(void **state)
{
    (void)state;
    for (int mask = 0; mask < 27; mask++) {
        int statuses[3] = {mask % 3, mask / 3 % 3, mask / 9};
        int wanted = U;
        struct world w = world();

        for (int i = 0; i < 3; i++) {
            show(&w, i, statuses[i], 100 + i);
            if (statuses[i] == N || (statuses[i] == C && wanted == U))
                wanted = statuses[i];
        }
        sweep(&w, true);
        assert_int_equal(w.state.status, wanted);
        assert_only(&w, PW_EVENT_NODE_DISCOVERED, -1, wanted, PW_CAUSE_FIRST_SEEN);
        assert_int_equal(w.result.events[0].report->status, wanted);
        assert_null(w.result.events[0].previous);
    }
}

static void test_transitions_with_unknown_between(void **state)
{
    static const struct {
        int statuses[5];
        int events; /* that the last of them raises */
    } rows[] = {{{C, C}, 0},       {{C, N}, 1},         {{N, C}, 1},    {{N, N}, 0},
                {{C, U}, 0},       {{C, U, C}, 0},      {{C, U, N}, 1}, {{N, U, C}, 1},
                {{N, U, U, N}, 0}, {{C, U, U, N}, 1},   {{U, U}, 0},    {{C, N, U, N}, 0},
                {{C, N, U, C}, 1}, {{U, C, N}, 1},      {{U, N, C}, 1}, {{C, N, C, N}, 1},
                {{U, C, U, C}, 0}, {{U, N, U, N, C}, 1}};

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world w = world();
        int last = 4, definite = U;

        while (last > 1 && rows[row].statuses[last] == U)
            last--;
        for (int i = 0; i <= last; i++) {
            int status = rows[row].statuses[i];

            show(&w, 0, status, 100 + i);
            sweep(&w, i % 2 == 0); /* what an incomplete sweep read is just as true */
            assert_int_equal(w.state.status, status);
            if (i == last && rows[row].events == 1)
                assert_only(&w, status == C ? PW_EVENT_NODE_COMPLIANT : PW_EVENT_NODE_NON_COMPLIANT,
                            definite, status, w.result.events[0].cause);
            else if (i == last)
                assert_quiet(&w);
            definite = status != U ? status : definite;
            assert_int_equal(w.state.last_definite, definite);
        }
    }
}

static void test_first_definite_status_is_no_transition(void **state)
{
    struct world w = with(U);

    (void)state;
    show(&w, 0, N, 101);
    sweep(&w, true);
    assert_quiet(&w);
    show(&w, 0, C, 102);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_PATCHES);
}

static void test_what_a_transition_tells(void **state)
{
    struct world w = with(C);
    const struct pw_diff_event *event = &w.result.events[0];

    (void)state;
    show(&w, 0, N, 200);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_PATCHES);
    assert_true(event->report->report_time_ms == 200 && event->previous->report_time_ms == 100);
    assert_true(event->occurred_at_ms == 200 && w.state.status_since_ms == 200);
    assert_false(w.result.restless);
    /* Without a time, or with one that no text can hold, it is that of the sweep. */
    show(&w, 0, C, PW_TIME_NONE);
    sweep(&w, true);
    assert_true(event->occurred_at_ms == w.now_ms - 1000);
    show(&w, 0, N, INT64_MAX);
    sweep(&w, true);
    assert_true(event->occurred_at_ms == w.now_ms - 1000);
}

static void test_confirm(void **state)
{
    /* Statuses of the sweeps after a first compliant one; '-': a complete sweep without the node,
     * '.': an incomplete one without it. Events: '!' a transition, ' ' none. */
    static const struct {
        int64_t confirm;
        const char *sweeps, *events;
    } rows[] = {
        {1, "NCN", "!!!"},       {2, "NN", " !"},         {2, "NCNN", "   !"},
        {2, "NUNN", "   !"},     {3, "NNN", "  !"},       {3, "NNCNNN", "     !"},
        {3, "NNUNNN", "     !"}, {2, "N.N", "  !"},       {2, "NNCC", " ! !"},
        {2, "NNUCC", " !  !"},   {2, "NCNCNC", "      "}, {3, "NNNCCUCCC", "  !     !"},
        {2, "N-NN", "   !"},     {1000, "NNNN", "    "},
    };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world w = with(C);

        w.confirm = rows[row].confirm;
        w.missing_after = 3;
        for (size_t i = 0; rows[row].sweeps[i] != '\0'; i++) {
            char what = rows[row].sweeps[i];

            if (what == 'N' || what == 'C' || what == 'U')
                show(&w, 0, what == 'N' ? N : what == 'C' ? C : U, 200 + (int64_t)i);
            sweep(&w, what != '.');
            assert_int_equal(w.result.event_count, rows[row].events[i] == '!');
            if (what == 'N' && w.state.last_definite == PW_COMPLIANT)
                assert_true(w.result.restless); /* or the next sighting would go unnoticed */
        }
    }
}

static void test_confirm_by_an_unchanged_report(void **state)
{
    struct world w = with(C);

    (void)state;
    w.confirm = 3;
    show(&w, 0, N, 200);
    sweep(&w, true);
    show_known(&w, 0);
    sweep(&w, true);
    assert_quiet(&w);
    sweep(&w, false); /* shows nothing */
    assert_int_equal(w.state.pending_sweeps, 2);
    show_known(&w, 0);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_PATCHES); /* why it came to wait */
    assert_int_equal(w.state.pending_sweeps, 0);
    assert_false(w.result.restless);
}

static void test_confirm_counts_what_was_shown(void **state)
{
    struct world w = with(C);

    (void)state;
    w.confirm = 3;
    show(&w, 1, N, 300);
    show(&w, 2, N, 200);
    sweep(&w, false);
    assert_int_equal(w.state.pending_sweeps, 1);
    show_known(&w, 0); /* a compliant one proves nothing: the others were not read */
    sweep(&w, false);
    assert_int_equal(w.state.pending_sweeps, 1);
    sweep(&w, false); /* neither does a sweep that does not show the node */
    assert_int_equal(w.state.pending_sweeps, 1);
    show_known(&w, 2); /* it need not be the newest */
    sweep(&w, false);
    assert_int_equal(w.state.pending_sweeps, 2);
    show_known(&w, 1);
    sweep(&w, false);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_BASELINE);
}

static void test_confirm_begins_anew_after_missing(void **state)
{
    struct world w = with(C);

    (void)state;
    w.confirm = 2;
    show(&w, 0, N, 200);
    sweep(&w, true);
    sweep(&w, true);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_MISSING, N, -1, PW_CAUSE_NOT_SHOWN);
    show(&w, 0, N, 200);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_RETURNED, -1, N, PW_CAUSE_RETURNED);
    show_known(&w, 0);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_RETURNED);
}

static void test_a_baseline_swap(void **state)
{
    static const struct {
        int before, after;
        int64_t high_before, high_after;
        int type; /* -1: nothing */
    } rows[] = {{C, N, 0, 1, PW_EVENT_NODE_NON_COMPLIANT},
                {N, C, 1, 0, PW_EVENT_NODE_COMPLIANT},
                {C, C, 0, 0, -1},
                {N, N, 3, 3, -1},
                {N, N, 3, 4, PW_EVENT_NODE_WORSENED},
                {N, N, 3, 2, PW_EVENT_NODE_IMPROVED}};

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world w = world();

        show_report(&w, 0, record(rows[row].before, 100, rows[row].high_before));
        sweep(&w, true);
        show_report(&w, 1, record(rows[row].after, 200, rows[row].high_after));
        sweep(&w, true);
        assert_int_equal(w.actions[0], PW_REPORT_RETIRE);
        assert_int_equal(w.actions[1], PW_REPORT_INSERT);
        if (rows[row].type < 0) {
            assert_quiet(&w);
            continue;
        }
        assert_only(&w, (enum pw_event_type)rows[row].type, rows[row].before, rows[row].after,
                    PW_CAUSE_BASELINE);
        assert_true(w.result.events[0].report->report_time_ms == 200);
        assert_true(w.result.events[0].previous->report_time_ms == 100);
    }
}

static void test_causes(void **state)
{
    struct world w = with(C);
    struct pw_report report = record(N, 200, 0);

    (void)state;
    show_report(&w, 0, report); /* the counts are as they were */
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_NON_COMPLIANT, C, N, PW_CAUSE_STATUS);
    show(&w, 0, C, 300);
    show(&w, 1, N, 300); /* one baseline more */
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_WORSENED, N, N, PW_CAUSE_BASELINE);
    show_known(&w, 0);
    show(&w, 1, C, 400);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_PATCHES);
}

/* Several baselines are scanned at once; the event is about the one that made the difference. */
static void test_the_report_that_made_the_difference(void **state)
{
    struct world w = world();
    const struct pw_diff_event *event = &w.result.events[0];

    (void)state;
    show(&w, 0, C, 100);
    show(&w, 1, N, 100);
    sweep(&w, true);
    show(&w, 0, C, 300); /* newer, but as compliant as before */
    show(&w, 1, C, 200);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_PATCHES);
    assert_true(event->report->report_time_ms == 200);
    assert_int_equal(event->previous->status, N);

    w = world();
    show(&w, 0, C, 100);
    show(&w, 1, N, 100);
    sweep(&w, true);
    show(&w, 0, C, 300);
    sweep(&w, true); /* baseline 1 is gone */
    assert_only(&w, PW_EVENT_NODE_COMPLIANT, N, C, PW_CAUSE_BASELINE);
    assert_int_equal(event->previous->status, N);
}

static void test_worsened_and_improved(void **state)
{
    struct world w = with(N);
    struct pw_report report = record(N, 200, 3);

    (void)state;
    show_report(&w, 0, report);
    sweep(&w, false);
    assert_only(&w, PW_EVENT_NODE_WORSENED, N, N, PW_CAUSE_PATCHES);
    report.report_time_ms++; /* only the time is another */
    show_report(&w, 0, report);
    sweep(&w, true);
    assert_quiet(&w);
    report.report_time_ms++; /* fewer, but one is critical */
    report.non_compliant = (struct pw_patch_counts){.total = 1, .by_severity = {1}};
    show_report(&w, 0, report);
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_WORSENED, N, N, PW_CAUSE_PATCHES);
    show_report(&w, 0, record(N, 300, 50));
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_IMPROVED, N, N, PW_CAUSE_PATCHES);
    report = record(N, 400, 50);
    report.compliant.total = 1000; /* patches that are there are no problem */
    show_report(&w, 0, report);
    sweep(&w, true);
    assert_quiet(&w);
}

static void test_one_baseline_more_or_less(void **state)
{
    struct world w = world();

    (void)state;
    show_report(&w, 0, record(N, 100, 5));
    sweep(&w, true);
    show_known(&w, 0);
    show_report(&w, 1, record(N, 200, 1)); /* 5 and 1 are not fewer than 5 */
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_WORSENED, N, N, PW_CAUSE_BASELINE);
    show_known(&w, 0);
    sweep(&w, true); /* 5 are not more than 5 and 1 */
    assert_only(&w, PW_EVENT_NODE_IMPROVED, N, N, PW_CAUSE_BASELINE);
    show_report(&w, 0, record(N, 300, 4));
    show_report(&w, 1, record(N, 300, 10));
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_WORSENED, N, N, PW_CAUSE_BASELINE);
    show_known(&w, 0);
    show_report(&w, 1, record(U, 400, 0)); /* it could not be read: nothing got better */
    sweep(&w, true);
    assert_quiet(&w);
    show_known(&w, 0);
    show_report(&w, 1, record(N, 500, 10));
    sweep(&w, true);
    assert_quiet(&w);
}

static void test_counts_as_large_as_can_be(void **state)
{
    struct world w = world();

    (void)state;
    for (int i = 0; i < 3; i++)
        show_report(&w, i, record(N, 100, INT64_MAX - 1));
    sweep(&w, true);
    for (int i = 0; i < 3; i++)
        show_report(&w, i, record(N, 200, INT64_MAX));
    sweep(&w, true); /* the sums reach their end, and do not wrap to "improved" */
    assert_quiet(&w);
    for (int i = 0; i < 3; i++)
        show_report(&w, i, record(N, 300, 0));
    sweep(&w, true);
    assert_only(&w, PW_EVENT_NODE_IMPROVED, N, N, PW_CAUSE_PATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_of_several_reports),
        cmocka_unit_test(test_transitions_with_unknown_between),
        cmocka_unit_test(test_first_definite_status_is_no_transition),
        cmocka_unit_test(test_what_a_transition_tells),
        cmocka_unit_test(test_confirm),
        cmocka_unit_test(test_confirm_by_an_unchanged_report),
        cmocka_unit_test(test_confirm_counts_what_was_shown),
        cmocka_unit_test(test_confirm_begins_anew_after_missing),
        cmocka_unit_test(test_a_baseline_swap),
        cmocka_unit_test(test_causes),
        cmocka_unit_test(test_the_report_that_made_the_difference),
        cmocka_unit_test(test_worsened_and_improved),
        cmocka_unit_test(test_one_baseline_more_or_less),
        cmocka_unit_test(test_counts_as_large_as_can_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
