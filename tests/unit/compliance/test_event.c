/* Events: their names, their ids, and every byte of their JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "compliance/event.h"

static const char *const type_names[PW_EVENT_TYPE_COUNT] = {
    "node.non_compliant", "node.compliant", "node.discovered", "node.missing", "node.returned",
    "node.worsened",      "node.improved",  "node.flapping",   "node.settled", "fleet.shift",
    "source.baseline",    "source.failing", "source.recovered"};

static void test_type_names(void **state)
{
    static const char *const wrong[] = {"",
                                        "node",
                                        "node.Missing",
                                        "node.missing ",
                                        "io.patchwatch.",
                                        "compliant",
                                        "io.patchwatch",
                                        "io.patchwatchXnode.missing",
                                        "io.patchwatch.io.patchwatch.node.missing",
                                        "node.flappin"};
    enum pw_event_type type = PW_EVENT_NODE_MISSING;
    char full[64];

    (void)state;
    for (int i = 0; i < PW_EVENT_TYPE_COUNT; i++) {
        assert_string_equal(pw_event_type_name((enum pw_event_type)i), type_names[i]);
        assert_true(pw_event_type_parse(pw_str_of(type_names[i]), &type));
        assert_int_equal(type, i);
        type = PW_EVENT_TYPE_COUNT;
        (void)strcpy(full, "io.patchwatch.");
        (void)strcat(full, type_names[i]);
        assert_true(pw_event_type_parse(pw_str_of(full), &type));
        assert_int_equal(type, i);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(pw_event_type_parse(pw_str_of(wrong[i]), &type));
    assert_false(pw_event_type_parse(PW_STR_NULL, &type));
    assert_int_equal(type, PW_EVENT_SOURCE_RECOVERED); /* untouched by what is wrong */
}

static void test_cause_names(void **state)
{
    static const struct {
        enum pw_event_cause cause;
        const char *name;
    } rows[] = {{PW_CAUSE_PATCHES, "patches"},         {PW_CAUSE_BASELINE, "baseline"},
                {PW_CAUSE_STATUS, "status"},           {PW_CAUSE_FIRST_SEEN, "first_seen"},
                {PW_CAUSE_RETURNED, "returned"},       {PW_CAUSE_NOT_SHOWN, "not_shown"},
                {PW_CAUSE_FIRST_SWEEP, "first_sweep"}, {PW_CAUSE_INCOMPLETE, "incomplete"},
                {PW_CAUSE_FAILED, "failed"},           {PW_CAUSE_COMPLETE, "complete"}};

    (void)state;
    assert_int_equal(sizeof rows / sizeof rows[0], PW_CAUSE_COUNT - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(pw_event_cause_name(rows[i].cause), rows[i].name);
        assert_int_equal(pw_event_cause_of(pw_str_of(rows[i].name)), rows[i].cause);
    }
    assert_null(pw_event_cause_name(PW_CAUSE_NONE));
    assert_int_equal(pw_event_cause_of(PW_STR_NULL), PW_CAUSE_NONE);
    assert_int_equal(pw_event_cause_of(pw_str_of("")), PW_CAUSE_NONE);
    assert_int_equal(pw_event_cause_of(pw_str_of("patch")), PW_CAUSE_NONE);
}

/* The expected ids are what Python's uuid.uuid5 makes of the namespace
 * 8d0c1b1e-6d0e-4b57-9c43-2f7f0e0a5b61 and the lines
 * /patchwatch/SOURCE, node key, io.patchwatch.TYPE, status, report_time[, counter]. */
static void test_ids(void **state)
{
    static char long_key[PW_KEY_MAX_BYTES + 1], wide_key[4 + 5 * 800 + 1], long_source[65];
    static const struct {
        const char *source;
        const char *key;
        enum pw_event_type type;
        bool has_to;
        enum pw_compliance to;
        int64_t report_time_ms;
        unsigned counter;
        const char *uid;
    } rows[] = {
        {"prod", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200000), 0, "eb8f6c17-e887-5a38-b9d3-b41508a9a0fa"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200000), 1, "ad8282a3-b6dd-5bb8-84be-d951f68cf70f"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200000), UINT32_MAX, "539548d9-2c5e-5382-8b25-58f3a178ef44"},
        {"test", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200000), 0, "779ad6df-fa93-5af4-9b31-fc5b9ad630dd"},
        {"prod", "ECS/i-2", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200000), 0, "436055fd-0061-5ffe-bc12-6666c1114a68"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_COMPLIANT, true, PW_COMPLIANT, INT64_C(1768435200000), 0,
         "3ffb7bfb-14ad-5b82-b5e5-e8ac6b7e4b2a"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT,
         INT64_C(1768435200001), 0, "d38f5670-fe07-532b-8f79-b7d93f2de2bc"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_NON_COMPLIANT, true, PW_NON_COMPLIANT, PW_TIME_NONE, 0,
         "3a9d36aa-4c04-5d91-b840-5032cd1b8a7c"},
        {"prod", "ECS/i-1", PW_EVENT_NODE_MISSING, false, PW_UNKNOWN, INT64_C(1768435200000), 0,
         "c42cfc50-31d0-57e1-8512-c01218a56dee"},
        {"prod", long_key, PW_EVENT_NODE_DISCOVERED, true, PW_UNKNOWN, 0, 0,
         "ad3a9894-272f-5691-837e-9b446ea6aaf7"},
        {long_source, wide_key, PW_EVENT_NODE_RETURNED, true, PW_COMPLIANT, -5, 0,
         "ee37cb8a-6584-5a5b-8b61-a47bf2172e06"},
    };

    (void)state;
    memset(long_key, 'k', PW_KEY_MAX_BYTES);
    memcpy(long_key, "ECS/", 4);
    memcpy(wide_key, "CCE/", 4);
    for (size_t i = 0; i < 800; i++)
        memcpy(wide_key + 4 + 5 * i, "ä€", 5);
    memset(long_source, 's', 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pw_report report = {.report_time_ms = rows[i].report_time_ms};
        struct pw_event event = {.type = rows[i].type,
                                 .source_name = rows[i].source,
                                 .node_key = pw_str_of(rows[i].key),
                                 .to = rows[i].to,
                                 .has_to = rows[i].has_to,
                                 .report = &report};
        char uid[PW_EVENT_UID_SIZE];

        pw_event_uid(&event, rows[i].counter, uid);
        assert_string_equal(uid, rows[i].uid);
        /* Nothing that only one of two collectors knows goes into it. */
        event.sweep_id = 99;
        event.sequence = 12;
        event.recorded_at_ms = 12345;
        event.cause = PW_CAUSE_PATCHES;
        event.from = PW_COMPLIANT;
        event.has_from = true;
        event.previous = &report;
        pw_event_uid(&event, rows[i].counter, uid);
        assert_string_equal(uid, rows[i].uid);
    }
}

static void test_id_of_a_source_event(void **state)
{
    struct pw_fleet_totals totals = {1, 1, 0, 0};
    struct pw_event event = {
        .type = PW_EVENT_SOURCE_BASELINE, .source_name = "prod", .totals = &totals};
    char uid[PW_EVENT_UID_SIZE];

    (void)state;
    pw_event_uid(&event, 0, uid);
    assert_string_equal(uid, "1c8cee74-3ff0-5b9d-9557-aed11731eb5e");
}

static void assert_json(const struct pw_event *event, const char *wanted)
{
    struct pw_buffer out;

    pw_buffer_init(&out, 65536);
    pw_event_write(event, &out);
    assert_int_equal(out.failed, PW_OK);
    assert_string_equal(out.data, wanted);
    pw_buffer_free(&out);
}

static void test_json_of_a_transition(void **state)
{
    struct pw_report report = {
        .name = pw_str_of("web \"1\"\n"),
        .instance_id = pw_str_of("i-1"),
        .ip = pw_str_of(""),
        .region = pw_str_of("cn-north-4"),
        .operating_system = pw_str_of("Euler\xFFOS"),
        .report_scene = pw_str_of("ECS"),
        .id = pw_str_of("r-2"),
        .baseline_id = pw_str_of("b-1"),
        .baseline_name = pw_str_of("Basis ä"),
        .status_text = pw_str_of("non_compliant"),
        .status = PW_NON_COMPLIANT,
        .report_time_ms = INT64_C(1768435200123),
        .compliant = {7, {0, 1, 2, 3, 4, 5}},
        .non_compliant = {PW_COUNT_NONE, {1, PW_COUNT_NONE, 0, 0, 0, INT64_MAX}}};
    struct pw_report previous = {.id = pw_str_of("r-1"),
                                 .status_text = pw_str_of("odd"),
                                 .status = PW_UNKNOWN,
                                 .report_time_ms = PW_TIME_NONE};
    struct pw_event event = {.type = PW_EVENT_NODE_NON_COMPLIANT,
                             .cause = PW_CAUSE_PATCHES,
                             .source_name = "prod",
                             .node_key = pw_str_of("ECS/i-1"),
                             .from = PW_COMPLIANT,
                             .to = PW_NON_COMPLIANT,
                             .has_from = true,
                             .has_to = true,
                             .report = &report,
                             .previous = &previous,
                             .sweep_id = 97,
                             .occurred_at_ms = INT64_C(1768435200123),
                             .recorded_at_ms = INT64_C(1768435260000),
                             .sequence = 42,
                             .uid = "eb8f6c17-e887-5a38-b9d3-b41508a9a0fa"};

    (void)state;
    assert_json(
        &event,
        "{\"specversion\":\"1.0\",\"id\":\"eb8f6c17-e887-5a38-b9d3-b41508a9a0fa\","
        "\"source\":\"/patchwatch/prod\",\"type\":\"io.patchwatch.node.non_compliant\","
        "\"subject\":\"ECS/i-1\",\"time\":\"2026-01-15T00:00:00.123Z\","
        "\"datacontenttype\":\"application/json\","
        "\"recordedtime\":\"2026-01-15T00:01:00.000Z\",\"sequence\":\"0000000000000000042\","
        "\"data\":{\"node\":{\"key\":\"ECS/i-1\",\"name\":\"web \\\"1\\\"\\n\","
        "\"instance_id\":\"i-1\",\"node_id\":null,\"ip\":\"\",\"eip\":null,"
        "\"region\":\"cn-north-4\",\"group\":null,\"enterprise_project_id\":null,"
        "\"operating_system\":\"Euler\\ufffdOS\",\"report_scene\":\"ECS\",\"cce_info_id\":null},"
        "\"from\":\"compliant\",\"to\":\"non_compliant\",\"cause\":\"patches\","
        "\"report\":{\"id\":\"r-2\",\"status\":\"non_compliant\","
        "\"status_text\":\"non_compliant\",\"baseline_id\":\"b-1\",\"baseline_name\":\"Basis ä\","
        "\"rule_type\":null,\"report_time\":1768435200123,\"job_id\":null,\"order_id\":null,"
        "\"compliant\":{\"count\":7,\"critical\":0,\"high\":1,\"medium\":2,\"low\":3,"
        "\"informational\":4,\"unspecified\":5},"
        "\"non_compliant\":{\"count\":null,\"critical\":1,\"high\":null,\"medium\":0,\"low\":0,"
        "\"informational\":0,\"unspecified\":9223372036854775807}},"
        "\"previous\":{\"id\":\"r-1\",\"status\":\"unknown\",\"status_text\":\"odd\","
        "\"baseline_id\":null,\"baseline_name\":null,\"rule_type\":null,\"report_time\":null,"
        "\"job_id\":null,\"order_id\":null,"
        "\"compliant\":{\"count\":0,\"critical\":0,\"high\":0,\"medium\":0,\"low\":0,"
        "\"informational\":0,\"unspecified\":0},"
        "\"non_compliant\":{\"count\":0,\"critical\":0,\"high\":0,\"medium\":0,\"low\":0,"
        "\"informational\":0,\"unspecified\":0}},"
        "\"delta\":{\"count\":null,\"critical\":1,\"high\":null,\"medium\":0,\"low\":0,"
        "\"informational\":0,\"unspecified\":9223372036854775807},\"sweep\":97}}");
}

/* The members behind "previous" of an event. */
static void assert_tail(const struct pw_event *event, const char *wanted)
{
    struct pw_buffer out;
    const char *tail;

    pw_buffer_init(&out, 65536);
    pw_event_write(event, &out);
    assert_int_equal(out.failed, PW_OK);
    tail = strstr(out.data, "\"delta\":");
    assert_non_null(tail);
    assert_string_equal(tail, wanted);
    pw_buffer_free(&out);
}

static void test_json_of_patches(void **state)
{
    struct pw_patch listed[2] = {
        {"kernel-5.10 \"x\"", "Security", "CRITICAL", "UNSPECIFIED", "MISSING"},
        {.title = "curl-8", .status = "PENDING_REBOOT"}};
    struct pw_patch_list patches = {.was_read = true, .total = 204, .listed = listed, .count = 2};
    struct pw_event event = {.type = PW_EVENT_NODE_NON_COMPLIANT,
                             .source_name = "p",
                             .node_key = pw_str_of("-/x"),
                             .patches = &patches};

    (void)state;
    assert_tail(&event, "\"delta\":null,\"patches\":{\"total\":204,\"listed\":["
                        "{\"title\":\"kernel-5.10 \\\"x\\\"\",\"classification\":\"Security\","
                        "\"severity_level\":\"CRITICAL\",\"compliance_level\":\"UNSPECIFIED\","
                        "\"status\":\"MISSING\"},{\"title\":\"curl-8\",\"classification\":null,"
                        "\"severity_level\":null,\"compliance_level\":null,"
                        "\"status\":\"PENDING_REBOOT\"}]},\"sweep\":0}}");
    (void)strcpy(patches.error, "HTTP 500");
    patches.count = 0;
    assert_tail(&event, "\"delta\":null,\"patches\":{\"total\":204,\"listed\":[]},"
                        "\"patches_error\":\"HTTP 500\",\"sweep\":0}}");
    patches.was_read = false;
    assert_tail(&event, "\"delta\":null,\"patches_error\":\"HTTP 500\",\"sweep\":0}}");
    event.patches = NULL;
    assert_tail(&event, "\"delta\":null,\"sweep\":0}}");
}

static void test_json_of_a_delta(void **state)
{
    struct pw_report report = {.non_compliant = {5, {0, 3, 2, 0, 0, PW_COUNT_NONE}}};
    struct pw_report previous = {.non_compliant = {9, {4, PW_COUNT_NONE, 2, 3, 0, 0}}};
    struct pw_event event = {.type = PW_EVENT_NODE_IMPROVED,
                             .source_name = "p",
                             .node_key = pw_str_of("-/x"),
                             .report = &report,
                             .previous = &previous};

    (void)state;
    assert_tail(&event, "\"delta\":{\"count\":-4,\"critical\":-4,\"high\":null,\"medium\":0,"
                        "\"low\":-3,\"informational\":0,\"unspecified\":null},\"sweep\":0}}");
}

static void test_json_of_a_node_without_a_report(void **state)
{
    struct pw_event event = {.type = PW_EVENT_NODE_MISSING,
                             .cause = PW_CAUSE_NONE,
                             .source_name = "p",
                             .node_key = pw_str_of("-/x"),
                             .from = PW_UNKNOWN,
                             .has_from = true,
                             .sweep_id = 1,
                             .occurred_at_ms = 0,
                             .recorded_at_ms = 0,
                             .sequence = INT64_MAX,
                             .uid = "u"};

    (void)state;
    assert_json(&event, "{\"specversion\":\"1.0\",\"id\":\"u\",\"source\":\"/patchwatch/p\","
                        "\"type\":\"io.patchwatch.node.missing\",\"subject\":\"-/x\","
                        "\"time\":\"1970-01-01T00:00:00.000Z\","
                        "\"datacontenttype\":\"application/json\","
                        "\"recordedtime\":\"1970-01-01T00:00:00.000Z\","
                        "\"sequence\":\"9223372036854775807\","
                        "\"data\":{\"node\":{\"key\":\"-/x\"},\"from\":\"unknown\",\"to\":null,"
                        "\"cause\":null,\"report\":null,\"previous\":null,"
                        "\"delta\":null,\"sweep\":1}}");
}

static void test_json_of_a_baseline(void **state)
{
    struct pw_fleet_totals totals = {1200, 1100, 90, 10};
    struct pw_event event = {.type = PW_EVENT_SOURCE_BASELINE,
                             .cause = PW_CAUSE_FIRST_SWEEP,
                             .source_name =
                                 "0123456789012345678901234567890123456789012345678901234567890123",
                             .totals = &totals,
                             .sweep_id = 1,
                             .occurred_at_ms = 1000,
                             .recorded_at_ms = 1000,
                             .sequence = 1,
                             .uid = "u"};

    (void)state;
    assert_json(&event, "{\"specversion\":\"1.0\",\"id\":\"u\",\"source\":\"/patchwatch/"
                        "0123456789012345678901234567890123456789012345678901234567890123\","
                        "\"type\":\"io.patchwatch.source.baseline\","
                        "\"time\":\"1970-01-01T00:00:01.000Z\","
                        "\"datacontenttype\":\"application/json\","
                        "\"recordedtime\":\"1970-01-01T00:00:01.000Z\","
                        "\"sequence\":\"0000000000000000001\","
                        "\"data\":{\"totals\":{\"nodes\":1200,\"compliant\":1100,"
                        "\"non_compliant\":90,\"unknown\":10},\"cause\":\"first_sweep\","
                        "\"sweep\":1}}");
}

static void test_json_that_does_not_fit(void **state)
{
    struct pw_event event = {.type = PW_EVENT_NODE_MISSING, .source_name = "p", .uid = "u"};
    struct pw_buffer out;

    (void)state;
    pw_buffer_init(&out, 50);
    pw_event_write(&event, &out);
    assert_int_equal(out.failed, PW_ELIMIT);
    assert_null(pw_buffer_take(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_cause_names),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_id_of_a_source_event),
        cmocka_unit_test(test_json_of_a_transition),
        cmocka_unit_test(test_json_of_patches),
        cmocka_unit_test(test_json_of_a_delta),
        cmocka_unit_test(test_json_of_a_node_without_a_report),
        cmocka_unit_test(test_json_of_a_baseline),
        cmocka_unit_test(test_json_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
