/* Which events a rule matches, and what the router owes to whom. Rules are written as YAML, as
 * users write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/alerts.h"

static struct pw_report the_report;
static struct pw_event the_event;

static struct pw_alerts *load(const char *rules)
{
    char path[] = "/tmp/pw-match-XXXXXX";
    struct pw_problems problems;
    struct pw_alerts *alerts;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_true(dprintf(fd,
                        "version: 1\nhooks: {a: {type: exec, command: [/bin/true]}, "
                        "b: {type: exec, command: [/bin/true]}}\nrules:\n%s\n",
                        rules) > 0);
    (void)close(fd);
    pw_problems_init(&problems);
    if (pw_alerts_load(path, &alerts, &problems) != PW_OK)
        pw_problems_print(&problems, stderr);
    assert_int_equal(problems.errors, 0);
    pw_problems_free(&problems);
    assert_int_equal(unlink(path), 0);
    return alerts;
}

struct sink {
    struct pw_route_sink sink;
    char owed[256]; /* "a=rule b=rule …" */
    enum pw_status answer;
};

static enum pw_status sink_add(struct pw_route_sink *base, const struct pw_owed *owed_now)
{
    struct sink *sink = (struct sink *)base;
    size_t used = strlen(sink->owed);

    (void)snprintf(sink->owed + used, sizeof sink->owed - used, "%s%s=%s", used > 0 ? " " : "",
                   owed_now->hook, owed_now->rule);
    return sink->answer;
}

static const char *owed(const struct pw_alerts *alerts, struct sink *sink)
{
    *sink = (struct sink){.sink = {.add = sink_add}};
    assert_int_equal(alerts->router.route(&alerts->router, &the_event, &sink->sink), PW_OK);
    return sink->owed;
}

static bool matches(const char *match)
{
    char rule[512];
    struct pw_alerts *alerts;
    struct sink sink;
    bool result;

    (void)snprintf(rule, sizeof rule, "- {name: r, hooks: a, match: %s}", match);
    alerts = load(rule);
    result = owed(alerts, &sink)[0] != '\0';
    pw_alerts_free(alerts);
    return result;
}

static int reset(void **state)
{
    (void)state;
    the_report = (struct pw_report){
        .name = pw_str_of("prod-web-1"),
        .region = pw_str_of("cn-north-4"),
        .group = PW_STR_NULL,
        .enterprise_project_id = pw_str_of("0"),
        .operating_system = pw_str_of("EulerOS"),
        .report_scene = pw_str_of("ECS"),
        .baseline_id = pw_str_of("bl-1"),
        .baseline_name = pw_str_of("Linux default"),
        .status = PW_NON_COMPLIANT,
        .non_compliant = {.total = 3, .by_severity = {PW_COUNT_NONE, 0, 3, 0, 0, 0}},
    };
    the_event = (struct pw_event){
        .type = PW_EVENT_NODE_NON_COMPLIANT,
        .cause = PW_CAUSE_PATCHES,
        .source_name = "prod",
        .node_key = pw_str_of("ECS/i-1"),
        .report = &the_report,
    };
    return 0;
}

static void test_each_key(void **state)
{
    static const struct {
        const char *match;
        bool expected;
    } cases[] = {
        {"{}", true},
        {"{source: prod}", true},
        {"{source: pro*}", false}, /* globs are for names only */
        {"{source: [test, prod]}", true},
        {"{source: test}", false},
        {"{scene: ECS}", true},
        {"{scene: ecs}", false},
        {"{region: cn-north-4}", true},
        {"{region: [cn-north-1, cn-north-9]}", false},
        {"{group: web}", false},
        {"{group: \"\"}", true},
        {"{group: [web, \"\"]}", true},
        {"{region: \"\"}", false},
        {"{name: \"prod-*\"}", true},
        {"{name: \"*-web-?\"}", true},
        {"{name: \"prod-[a-w]*\"}", true},
        {"{name: \"prod\"}", false},
        {"{name: [\"test-*\", \"prod-*\"]}", true},
        {"{name: \"\"}", false},
        {"{operating_system: EulerOS}", true},
        {"{operating_system: CentOS}", false},
        {"{enterprise_project_id: 0}", true},
        {"{enterprise_project_id: \"00\"}", false},
        {"{baseline: bl-1}", true},
        {"{baseline: Linux default}", true},
        {"{baseline: Linux}", false},
        {"{cause: patches}", true},
        {"{cause: [baseline, patches]}", true},
        {"{cause: returned}", false},
        {"{severity: critical}", false},
        {"{severity: high}", false},
        {"{severity: medium}", true},
        {"{severity: low}", true},
        {"{severity: unspecified}", true},
        {"{severity: [critical, low]}", true},
        {"{type: node.non_compliant}", true},
        {"{type: io.patchwatch.node.non_compliant}", true},
        {"{type: [node.compliant, node.missing]}", false},
        {"{source: prod, region: cn-north-4, severity: medium, name: \"*\"}", true},
        {"{source: prod, region: cn-north-4, severity: medium, name: x}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (matches(cases[i].match) != cases[i].expected)
            fail_msg("%s should%s match", cases[i].match, cases[i].expected ? "" : " not");
    }
}

static void test_types(void **state)
{
    (void)state;
    for (int t = 0; t < PW_EVENT_TYPE_COUNT; t++) {
        char match[128];

        the_event.type = (enum pw_event_type)t;
        assert_int_equal(matches("{}"),
                         t == PW_EVENT_NODE_NON_COMPLIANT || t == PW_EVENT_NODE_COMPLIANT);
        (void)snprintf(match, sizeof match, "{type: %s}", pw_event_type_name(the_event.type));
        assert_true(matches(match));
        the_event.type = (enum pw_event_type)((t + 1) % PW_EVENT_TYPE_COUNT);
        assert_false(matches(match));
    }
}

static void test_nulls(void **state)
{
    (void)state;
    the_report.name = PW_STR_NULL;
    assert_true(matches("{name: \"*\"}")); /* everything, machines without a name included */
    assert_true(matches("{name: \"\"}"));
    assert_false(matches("{name: \"?*\"}"));
    the_report.baseline_id = PW_STR_NULL;
    assert_true(matches("{baseline: Linux default}"));
    /* An event without a machine. */
    the_event.type = PW_EVENT_SOURCE_BASELINE;
    the_event.cause = PW_CAUSE_FIRST_SWEEP;
    the_event.report = NULL;
    the_event.node_key = PW_STR_NULL;
    assert_true(matches("{type: source.baseline}"));
    assert_true(matches("{type: source.baseline, source: prod, cause: first_sweep}"));
    assert_false(matches("{type: source.baseline, region: cn-north-4}"));
    assert_false(matches("{type: source.baseline, severity: unspecified}"));
    assert_false(matches("{type: source.baseline, baseline: bl-1}"));
    the_event.cause = PW_CAUSE_NONE;
    assert_false(matches("{type: source.baseline, cause: patches}"));
}

/* YAML would read these as other things than text. */
static void test_scalars_are_text(void **state)
{
    (void)state;
    the_report.region = pw_str_of("no");
    assert_true(matches("{region: no}"));
    the_report.region = pw_str_of("0x10");
    assert_true(matches("{region: 0x10}"));
    the_report.region = pw_str_of("null");
    assert_true(matches("{region: null}"));
    the_report.region = pw_str_of("~");
    assert_true(matches("{region: ~}"));
}

static void test_every_rule_applies(void **state)
{
    struct sink sink;
    struct pw_alerts *alerts = load("- {name: one, hooks: [a, b]}\n"
                                    "- {name: none, match: {source: other}, hooks: [a]}\n"
                                    "- {name: two, match: {source: prod}, hooks: [b]}");

    (void)state;
    assert_string_equal(owed(alerts, &sink), "a=one b=one");
    sink = (struct sink){.sink = {.add = sink_add}, .answer = PW_EIO};
    assert_int_equal(alerts->router.route(&alerts->router, &the_event, &sink.sink), PW_EIO);
    assert_string_equal(sink.owed, "a=one"); /* the first failure ends it */
    pw_alerts_free(alerts);
}

static const char *recovery(const struct pw_alerts *alerts, struct sink *sink, const char *hook,
                            const char *rule)
{
    *sink = (struct sink){.sink = {.add = sink_add}};
    assert_int_equal(alerts->router.recovery(&alerts->router, &the_event, hook, rule, &sink->sink),
                     PW_OK);
    return sink->owed;
}

static void test_recovery(void **state)
{
    struct pw_alerts *alerts = load("- {name: r, match: {severity: high}, hooks: [a]}\n"
                                    "- {name: s, match: {type: node.missing}, hooks: [b]}\n"
                                    "- {name: quiet, hooks: [b], recovery: false}");
    struct sink sink;

    (void)state;
    assert_string_equal(recovery(alerts, &sink, "a", "r"), "a=r");
    assert_string_equal(recovery(alerts, &sink, "b", "s"), "b=s");
    assert_string_equal(recovery(alerts, &sink, "a", "a rule that is gone"),
                        "a=a rule that is gone");
    assert_string_equal(recovery(alerts, &sink, "b", "quiet"), "");
    pw_alerts_free(alerts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_key, reset),
        cmocka_unit_test_setup(test_types, reset),
        cmocka_unit_test_setup(test_nulls, reset),
        cmocka_unit_test_setup(test_scalars_are_text, reset),
        cmocka_unit_test_setup(test_every_rule_applies, reset),
        cmocka_unit_test_setup(test_recovery, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
