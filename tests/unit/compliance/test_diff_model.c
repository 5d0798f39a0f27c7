/* The diff against a second, slow reading of what nodes, sweeps and transitions mean: random nodes
 * live through random sweeps, and both must tell the same story.
 *
 * The model knows records, not slots and actions: it takes what each sweep read, in order. Between
 * it and the diff stands what the daemon has there: an index that lets through only what is new,
 * and a snapshot that does as the actions say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "compliance/diff.h"

enum { BASELINES = 3, READS_MAX = 2, LIVES = 12000, SWEEPS = 14, START = 1000000000 };

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int pick(uint64_t *seed, int count)
{
    return (int)(next_random(seed) % (uint64_t)count);
}

/* What one sweep read of the node: records of each baseline in the order of reading. */
struct reading {
    struct pw_report records[BASELINES][READS_MAX];
    int count[BASELINES];
    bool complete;
};

struct settings {
    int64_t confirm, missing_after;
};

/* The model ----------------------------------------------------------------------------------- */

struct model {
    bool exists, missing;
    bool current[BASELINES]; /* of a missing node: what it had last */
    struct pw_report report[BASELINES];
    enum pw_compliance status, last_definite;
    int64_t held, missed;
};

struct story {
    struct {
        enum pw_event_type type;
        int from, to; /* -1: none */
    } events[8];
    int count;
};

static void tell(struct story *story, enum pw_event_type type, int from, int to)
{
    story->events[story->count].type = type;
    story->events[story->count].from = from;
    story->events[story->count].to = to;
    story->count++;
}

/* "The one with the greatest report_time counts; ties: the one read last." */
static const struct pw_report *winner(const struct reading *reading, int baseline)
{
    const struct pw_report *best = NULL;

    for (int i = 0; i < reading->count[baseline]; i++) {
        const struct pw_report *record = &reading->records[baseline][i];

        if (best == NULL || record->report_time_ms >= best->report_time_ms)
            best = record;
    }
    return best;
}

/* "A record older than the snapshot's never replaces it (unless the stored time lies more than a
 * day in the future)." A record that a sweep showed together with the stored one is judged with it.
 */
static bool may_replace(const struct pw_report *record, const struct pw_report *stored, int64_t now)
{
    if (record->report_time_ms == PW_TIME_NONE || stored->report_time_ms == PW_TIME_NONE)
        return true;
    return record->report_time_ms >= stored->report_time_ms ||
           stored->report_time_ms - now > INT64_C(86400000);
}

static enum pw_compliance status_of(const struct model *model)
{
    bool any_definite = false;

    for (int b = 0; b < BASELINES; b++) {
        if (model->current[b] && model->report[b].status == PW_NON_COMPLIANT)
            return PW_NON_COMPLIANT;
        any_definite =
            any_definite || (model->current[b] && pw_is_definite(model->report[b].status));
    }
    return any_definite ? PW_COMPLIANT : PW_UNKNOWN;
}

/* The non-compliant patches of the node before and after; -1 better, 1 worse. */
static int compare(const struct model *before, const struct model *after)
{
    for (int level = 0; level <= PW_SEVERITY_COUNT; level++) {
        int64_t change = 0;

        for (int b = 0; b < BASELINES; b++) {
            const struct model *sides[] = {before, after};
            bool readable = true;

            for (int side = 0; side < 2; side++)
                readable = readable && (!sides[side]->current[b] ||
                                        pw_is_definite(sides[side]->report[b].status));
            for (int side = 0; side < 2 && readable; side++) {
                const struct pw_patch_counts *counts = &sides[side]->report[b].non_compliant;
                int64_t count =
                    level < PW_SEVERITY_COUNT ? counts->by_severity[level] : counts->total;

                if (sides[side]->current[b] && count > 0)
                    change += side == 0 ? -count : count;
            }
        }
        if (change != 0)
            return change > 0 ? 1 : -1;
    }
    return 0;
}

static void model_sweep(struct model *model, const struct reading *reading,
                        const struct settings *settings, bool baseline_done, int64_t now,
                        struct story *story)
{
    struct model before = *model;
    bool shown = false, holds = false, returned;

    for (int b = 0; b < BASELINES; b++)
        shown = shown || reading->count[b] > 0;
    if (!shown) {
        if (!reading->complete || model->missing)
            return;
        model->held = 0;
        if (++model->missed >= settings->missing_after) {
            model->missing = true;
            tell(story, PW_EVENT_NODE_MISSING, (int)model->status, -1);
        }
        return;
    }
    returned = model->missing;
    model->missing = false;
    model->missed = 0;
    for (int b = 0; b < BASELINES; b++) {
        const struct pw_report *record = winner(reading, b);

        if (record == NULL) {
            model->current[b] = model->current[b] && !reading->complete;
        } else if (!model->current[b] || may_replace(record, &model->report[b], now)) {
            model->current[b] = true;
            model->report[b] = *record;
        }
    }
    model->status = status_of(model);
    if (!before.exists) {
        model->exists = true;
        model->last_definite = model->status;
        if (baseline_done)
            tell(story, PW_EVENT_NODE_DISCOVERED, -1, (int)model->status);
        return;
    }
    if (returned)
        tell(story, PW_EVENT_NODE_RETURNED, -1, (int)model->status);
    for (int b = 0; b < BASELINES; b++)
        holds = holds || (reading->count[b] > 0 && model->report[b].status == model->status);
    if (!pw_is_definite(model->status)) {
        model->held = 0;
    } else if (!pw_is_definite(model->last_definite)) {
        model->last_definite = model->status;
    } else if (model->status == model->last_definite) {
        int order = before.status == model->status ? compare(&before, model) : 0;

        model->held = 0;
        if (order != 0)
            tell(story, order > 0 ? PW_EVENT_NODE_WORSENED : PW_EVENT_NODE_IMPROVED,
                 (int)model->status, (int)model->status);
    } else {
        model->held += model->held == 0 || holds;
        if (model->held >= settings->confirm) {
            tell(story,
                 model->status == PW_COMPLIANT ? PW_EVENT_NODE_COMPLIANT
                                               : PW_EVENT_NODE_NON_COMPLIANT,
                 (int)model->last_definite, (int)model->status);
            model->last_definite = model->status;
            model->held = 0;
        }
    }
}

/* The diff, with an index before it and a snapshot behind it ------------------------------------
 */

struct daemon {
    struct pw_node_state state;
    bool stored[BASELINES];
    struct pw_report report[BASELINES];
    bool restless;
};

static void daemon_sweep(struct daemon *daemon, const struct reading *reading,
                         const struct settings *settings, bool baseline_done, int64_t now,
                         struct pw_diff_result *result)
{
    struct pw_report old[BASELINES], found[BASELINES];
    struct pw_report_slot slots[BASELINES] = {{NULL, NULL, false}};
    enum pw_report_action actions[BASELINES];
    struct pw_node_state before = daemon->state;
    bool missing = before.missing_since_ms != PW_TIME_NONE;
    struct pw_diff_input input = {.before = &before,
                                  .slots = slots,
                                  .slot_count = BASELINES,
                                  .sweep_complete = reading->complete,
                                  .baseline_done = baseline_done,
                                  .confirm = settings->confirm,
                                  .missing_after = settings->missing_after,
                                  .misses = 1,
                                  .now_ms = now};

    for (int b = 0; b < BASELINES; b++) {
        bool touched = false, known = false;

        old[b] = daemon->report[b];
        slots[b].old = daemon->stored[b] ? &old[b] : NULL;
        slots[b].seen = reading->count[b] > 0;
        for (int i = 0; i < reading->count[b]; i++) {
            struct pw_report record = reading->records[b][i];

            if (daemon->stored[b] && !missing && !touched && !daemon->restless &&
                pw_report_digest(&record) == pw_report_digest(&old[b])) {
                known = true;
                continue;
            }
            record.rival = known ? PW_RIVAL_EARLIER : PW_RIVAL_NONE; /* in the order of reading */
            if (!touched || record.report_time_ms >= found[b].report_time_ms)
                found[b] = record;
            touched = true;
        }
        slots[b].found = touched ? &found[b] : NULL;
    }
    pw_diff_node(&input, actions, result);
    daemon->state = result->after;
    daemon->restless = result->restless;
    for (int b = 0; b < BASELINES; b++) {
        bool gone = actions[b] == PW_REPORT_RETIRE || actions[b] == PW_REPORT_DROP;

        if (actions[b] == PW_REPORT_INSERT || actions[b] == PW_REPORT_REPLACE) {
            daemon->stored[b] = true;
            daemon->report[b] = found[b];
            daemon->report[b].rival = PW_RIVAL_NONE;
        } else if (gone && result->after.missing_since_ms == PW_TIME_NONE) {
            daemon->stored[b] = false;
        }
    }
}

/* Random lives -------------------------------------------------------------------------------- */

static struct pw_report random_record(uint64_t *seed, int64_t now)
{
    struct pw_report report = {.id = pw_str_of(pick(seed, 2) == 0 ? "a" : "b")};
    int status = pick(seed, 5);

    report.status = status == 0 ? PW_UNKNOWN : status < 3 ? PW_COMPLIANT : PW_NON_COMPLIANT;
    report.status_text = pw_str_of(report.status == PW_UNKNOWN     ? "odd"
                                   : report.status == PW_COMPLIANT ? "compliant"
                                                                   : "non_compliant");
    switch (pick(seed, 12)) {
    case 0:
        report.report_time_ms = PW_TIME_NONE;
        break;
    case 1:
        report.report_time_ms = now + PW_DAY_MS + pick(seed, 5) - 2;
        break;
    case 2:
        report.report_time_ms = now + 30 * PW_DAY_MS + pick(seed, 3);
        break;
    default:
        report.report_time_ms = now - 3 + pick(seed, 5); /* some older than the last, some equal */
    }
    report.non_compliant.by_severity[PW_CRITICAL] = pick(seed, 2);
    report.non_compliant.by_severity[PW_LOW] = pick(seed, 3) - 1;
    report.non_compliant.total = pick(seed, 4) - 1;
    return report;
}

static void random_reading(struct reading *reading, const struct daemon *daemon, int habits,
                           int64_t now, uint64_t *seed)
{
    reading->complete = pick(seed, 3) != 0;
    for (int b = 0; b < BASELINES; b++) {
        int shown = pick(seed, 10);

        reading->count[b] = habits == 0 && b > 0 ? 0 : shown < 4 ? 0 : shown < 8 ? 1 : 2;
        for (int i = 0; i < reading->count[b]; i++)
            reading->records[b][i] = daemon->stored[b] && pick(seed, 2) == 0
                                         ? daemon->report[b]
                                         : random_record(seed, now);
    }
}

static void assert_same_story(const struct story *story, const struct pw_diff_result *result)
{
    assert_int_equal(result->event_count, story->count);
    for (int i = 0; i < story->count; i++) {
        const struct pw_diff_event *event = &result->events[i];

        assert_int_equal(event->type, story->events[i].type);
        assert_int_equal(event->has_from ? (int)event->from : -1, story->events[i].from);
        assert_int_equal(event->has_to ? (int)event->to : -1, story->events[i].to);
    }
}

static void assert_same_state(const struct model *model, const struct daemon *daemon)
{
    assert_int_equal(daemon->state.missing_since_ms != PW_TIME_NONE, model->missing);
    assert_int_equal(daemon->state.status, model->status);
    assert_int_equal(daemon->state.last_definite, model->last_definite);
    if (!model->missing)
        assert_int_equal(daemon->state.missed_sweeps, model->missed);
    for (int b = 0; b < BASELINES; b++) {
        assert_int_equal(daemon->stored[b], model->current[b]);
        if (model->current[b])
            assert_true(pw_report_digest(&daemon->report[b]) ==
                        pw_report_digest(&model->report[b]));
    }
}

static int told[PW_EVENT_TYPE_COUNT];

static void live(uint64_t life)
{
    uint64_t seed = life * 1000003;
    struct settings settings = {.confirm = 1 + pick(&seed, 3), .missing_after = 1 + pick(&seed, 3)};
    struct model model = {.status = PW_UNKNOWN};
    struct daemon daemon = {.state = {.missing_since_ms = PW_TIME_NONE}};
    int habits = pick(&seed, 2);
    bool baseline_done = pick(&seed, 2) == 0;
    int64_t now = START;

    for (int i = 0; i < SWEEPS; i++) {
        struct reading reading;
        struct story story = {.count = 0};
        struct pw_diff_result result;

        random_reading(&reading, &daemon, habits, now, &seed);
        if (!model.exists && reading.count[0] == 0) { /* nobody asks of a node never shown */
            reading.records[0][0] = random_record(&seed, now);
            reading.count[0] = 1;
        }
        model_sweep(&model, &reading, &settings, baseline_done, now, &story);
        daemon_sweep(&daemon, &reading, &settings, baseline_done, now, &result);
        assert_same_story(&story, &result);
        assert_same_state(&model, &daemon);
        for (int e = 0; e < story.count; e++)
            told[story.events[e].type]++;
        baseline_done = baseline_done || reading.complete;
        now += pick(&seed, 3) == 0 ? PW_DAY_MS : 2;
    }
}

static void test_both_tell_the_same_story(void **state)
{
    (void)state;
    for (uint64_t life = 1; life <= LIVES; life++)
        live(life);
    /* It was a story worth telling. */
    for (int type = 0; type < PW_EVENT_NODE_FLAPPING; type++)
        assert_true(told[type] > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_tell_the_same_story)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
