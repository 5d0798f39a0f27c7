/* The synthetic event and its one attempt. A test owns the texts that its delivery points to until
 * its hook is done. */
#include "alert/hook_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/nearest.h"
#include "compliance/event.h"

#define TEST_SOURCE "hook-test"
#define TEST_KEY "ECS/patchwatch-hook-test"
#define TEST_NAME "TEST-of-a-patchwatch-hook"
#define DATA_END "}}" /* of the data, then of the event */

enum { EVENT_MAX_BYTES = 64 * 1024 };

struct pw_hook_test {
    const struct pw_hook_kind *kind;
    struct pw_hook_run *run;
    const struct pw_clock *clock;
    int64_t started_ms; /* monotonic */
    struct pw_delivery delivery;
    char uid[PW_EVENT_UID_SIZE];
    struct pw_buffer event;
    pw_hook_test_done done;
    void *context;
};

static void free_test(struct pw_hook_test *test)
{
    if (test == NULL)
        return;
    pw_buffer_free(&test->event);
    free(test);
}

static enum pw_status write_event(struct pw_hook_test *test, int64_t now_ms, struct pw_error *err)
{
    struct pw_report report = {
        .name = pw_str_of(TEST_NAME),
        .instance_id = pw_str_of("patchwatch-hook-test"),
        .region = pw_str_of("test"),
        .report_scene = pw_str_of("ECS"),
        .id = pw_str_of("patchwatch-hook-test"),
        .baseline_id = pw_str_of("patchwatch-hook-test"),
        .baseline_name = pw_str_of("patchwatch hook test"),
        .status_text = pw_str_of("non_compliant"),
        .status = PW_NON_COMPLIANT,
        .report_time_ms = now_ms,
    };
    struct pw_event event = {
        .type = PW_EVENT_NODE_NON_COMPLIANT,
        .cause = PW_CAUSE_PATCHES,
        .source_name = TEST_SOURCE,
        .node_key = pw_str_of(TEST_KEY),
        .from = PW_COMPLIANT,
        .to = PW_NON_COMPLIANT,
        .has_from = true,
        .has_to = true,
        .report = &report,
        .occurred_at_ms = now_ms,
        .recorded_at_ms = now_ms,
    };
    size_t end = sizeof DATA_END - 1;

    report.non_compliant.total = 1;
    report.non_compliant.by_severity[PW_CRITICAL] = 1;
    pw_event_uid(&event, 0, event.uid);
    memcpy(test->uid, event.uid, sizeof test->uid);
    pw_event_write(&event, &test->event);
    if (test->event.failed == PW_OK && test->event.len > end &&
        memcmp(test->event.data + test->event.len - end, DATA_END, end) == 0)
        test->event.len -= end;
    (void)pw_buffer_append_text(&test->event, ",\"test\":true" DATA_END);
    return test->event.failed == PW_OK ? PW_OK : pw_fail_nomem(err);
}

static void on_done(void *context, const struct pw_hook_result *result)
{
    struct pw_hook_test *test = context;
    struct pw_hook_test_result told = {
        .outcome = result->outcome,
        .why = result->why,
        .took_ms = pw_clock_monotonic_ms(test->clock) - test->started_ms,
    };

    test->done(test->context, &told);
    free_test(test);
}

enum pw_status pw_hook_test_start(const struct pw_hook_tools *tools,
                                  const struct pw_hook_config *hook, pw_hook_test_done done,
                                  void *context, struct pw_hook_test **out, struct pw_error *err)
{
    struct pw_hook_test *test = calloc(1, sizeof *test);
    int64_t now_ms = pw_clock_wall_ms(tools->clock);
    enum pw_status status;

    *out = NULL;
    if (test == NULL)
        return pw_fail_nomem(err);
    pw_buffer_init(&test->event, EVENT_MAX_BYTES);
    status = write_event(test, now_ms, err);
    if (status == PW_OK) {
        test->kind = pw_hook_kind_of(hook);
        test->clock = tools->clock;
        test->started_ms = pw_clock_monotonic_ms(tools->clock);
        test->done = done;
        test->context = context;
        test->delivery = (struct pw_delivery){
            .uid = test->uid,
            .hook = hook->name,
            .rule = TEST_SOURCE,
            .type = "io.patchwatch.node.non_compliant",
            .source_name = TEST_SOURCE,
            .node_key = pw_str_of(TEST_KEY),
            .node_name = pw_str_of(TEST_NAME),
            .from = pw_str_of("compliant"),
            .to = pw_str_of("non_compliant"),
            .event_json = pw_buffer_str(&test->event),
            .attempts = 1,
            .created_at_ms = now_ms,
        };
        status = test->kind->start(tools, hook, &test->delivery, on_done, test, &test->run, err);
    }
    if (status != PW_OK) {
        free_test(test);
        return status;
    }
    *out = test;
    return PW_OK;
}

void pw_hook_test_stop(struct pw_hook_test *test)
{
    test->kind->stop(test->run);
}

const char *pw_hook_test_nearest(const struct pw_alerts *alerts, const char *name)
{
    const char *names[PW_ALERTS_MAX_HOOKS + 1] = {NULL};

    for (size_t i = 0; i < alerts->hook_count && i < PW_ALERTS_MAX_HOOKS; i++)
        names[i] = alerts->hooks[i].name;
    return pw_nearest(name, names);
}
