/* What the daemon does around the diff, for one node: pairs slots, and does as the actions say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

struct world world(void)
{
    return (struct world){.state = {.missing_since_ms = PW_TIME_NONE},
                          .baseline_done = true,
                          .confirm = 1,
                          .missing_after = 2,
                          .now_ms = NOW};
}

struct pw_report record(int status, int64_t time_ms, int64_t high)
{
    struct pw_report report = {.status = (enum pw_compliance)status,
                               .status_text = pw_str_of(status == C   ? "compliant"
                                                        : status == N ? "non_compliant"
                                                                      : NULL),
                               .report_time_ms = time_ms};

    report.non_compliant.total = report.non_compliant.by_severity[PW_HIGH] = high;
    return report;
}

void show_report(struct world *w, int slot, struct pw_report report)
{
    w->shown[slot] = report;
    w->is_shown[slot] = true;
}

void show(struct world *w, int slot, int status, int64_t time_ms)
{
    show_report(w, slot, record(status, time_ms, status == N ? 1 : 0));
}

void show_known(struct world *w, int slot)
{
    w->is_known[slot] = true;
}

void sweep(struct world *w, bool complete)
{
    struct pw_report_slot slots[SLOTS] = {{NULL, NULL, false}};
    struct pw_node_state before = w->state;
    struct pw_diff_input input = {.before = &before,
                                  .slots = slots,
                                  .slot_count = SLOTS,
                                  .sweep_complete = complete,
                                  .baseline_done = w->baseline_done,
                                  .confirm = w->confirm,
                                  .missing_after = w->missing_after,
                                  .misses = 1,
                                  .now_ms = w->now_ms};
    static struct pw_report kept[2 * SLOTS]; /* what the result's events point to */

    for (int i = 0; i < SLOTS; i++) {
        kept[i] = w->stored[i];
        kept[SLOTS + i] = w->shown[i];
        slots[i].old = w->is_stored[i] ? &kept[i] : NULL;
        slots[i].found = w->is_shown[i] ? &kept[SLOTS + i] : NULL;
        slots[i].seen = w->is_shown[i] || w->is_known[i];
    }
    pw_diff_node(&input, w->actions, &w->result);
    for (int i = 0; i < SLOTS; i++) {
        switch (w->actions[i]) {
        case PW_REPORT_INSERT:
        case PW_REPORT_REPLACE:
            w->stored[i] = w->shown[i];
            w->is_stored[i] = true;
            break;
        case PW_REPORT_RETIRE:
            /* The last reports of a missing node are handed in again; of others they are past. */
            w->is_stored[i] = w->result.after.missing_since_ms != PW_TIME_NONE;
            break;
        case PW_REPORT_DROP:
            w->is_stored[i] = w->is_stored[i] && w->result.after.missing_since_ms != PW_TIME_NONE;
            break;
        case PW_REPORT_KEEP:
        case PW_REPORT_REOPEN:
            break;
        }
        w->is_shown[i] = w->is_known[i] = false;
    }
    w->state = w->result.after;
    w->now_ms += 1000;
}

struct world with(int status)
{
    struct world w = world();

    show(&w, 0, status, 100);
    sweep(&w, true);
    assert_int_equal(w.result.event_count, 1);
    return w;
}

void assert_event(const struct world *w, size_t at, enum pw_event_type type, int from, int to,
                  enum pw_event_cause cause)
{
    const struct pw_diff_event *event = &w->result.events[at];

    assert_true(at < w->result.event_count);
    assert_string_equal(pw_event_type_name(event->type), pw_event_type_name(type));
    assert_int_equal(event->has_from, from >= 0);
    assert_int_equal(event->has_to, to >= 0);
    if (from >= 0)
        assert_int_equal(event->from, from);
    if (to >= 0)
        assert_int_equal(event->to, to);
    assert_int_equal(event->cause, cause);
}

void assert_only(const struct world *w, enum pw_event_type type, int from, int to,
                 enum pw_event_cause cause)
{
    assert_event(w, 0, type, from, to, cause);
    assert_int_equal(w->result.event_count, 1);
}

void assert_quiet(const struct world *w)
{
    assert_int_equal(w->result.event_count, 0);
}
