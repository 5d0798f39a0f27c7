/* Decoding of pages: every field lands where it belongs, and nothing that a server can send is
 * taken for a page that it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bodies.h"

static int setup(void **state)
{
    static struct decoded decoded;

    decoded_open(&decoded);
    *state = &decoded;
    return 0;
}

static int teardown(void **state)
{
    decoded_close(*state);
    return 0;
}

static void assert_counts(const struct pw_patch_counts *counts, int64_t total, int64_t critical,
                          int64_t high, int64_t medium, int64_t low, int64_t informational,
                          int64_t unspecified)
{
    assert_int_equal(counts->total, total);
    assert_int_equal(counts->by_severity[PW_CRITICAL], critical);
    assert_int_equal(counts->by_severity[PW_HIGH], high);
    assert_int_equal(counts->by_severity[PW_MEDIUM], medium);
    assert_int_equal(counts->by_severity[PW_LOW], low);
    assert_int_equal(counts->by_severity[PW_INFORMATIONAL], informational);
    assert_int_equal(counts->by_severity[PW_UNSPECIFIED], unspecified);
}

static void test_sample(void **state)
{
    struct decoded *d = *state;
    const struct pw_report *report;

    assert_int_equal(decode_file(d, "document-sample.json"), PW_OK);
    assert_int_equal(d->page.reported_count, 1);
    assert_int_equal(d->page.count, 1);
    assert_int_equal(d->page.complaint.status, PW_OK);
    assert_string_equal(d->page.complaint.message, "");
    report = &d->page.reports[0];
    assert_str(report->name, "the name");
    assert_str(report->instance_id, "the instance");
    assert_str(report->node_id, "");
    assert_str(report->ip, "192.0.2.7");
    assert_str(report->eip, NULL);
    assert_str(report->region, "a region");
    assert_str(report->group, NULL);
    assert_str(report->enterprise_project_id, "project");
    assert_str(report->operating_system, "EulerOS");
    assert_str(report->report_scene, "ECS");
    assert_str(report->cce_info_id, NULL);
    assert_str(report->id, "the id");
    assert_str(report->baseline_id, "JX-1234");
    assert_str(report->baseline_name, "a baseline");
    assert_str(report->rule_type, "standard");
    assert_str(report->status_text, "non_compliant");
    assert_str(report->job_id, "job");
    assert_str(report->order_id, "order");
    assert_int_equal(report->status, PW_NON_COMPLIANT);
    assert_int_equal(report->report_time_ms, INT64_C(1715308575000));
    assert_counts(&report->compliant, 264, 1, 2, 5, 4, 3, 249);
    assert_counts(&report->non_compliant, 204, 10, 20, 50, 40, 30, 54);
    assert_int_equal(report->rival, PW_RIVAL_NONE);
}

static void assert_nothing(const struct pw_report *report)
{
    const struct pw_str *texts[] = {
        &report->name,         &report->instance_id,      &report->node_id, &report->ip,
        &report->eip,          &report->region,           &report->group,   &report->baseline_id,
        &report->report_scene, &report->operating_system, &report->job_id,  &report->order_id,
        &report->status_text,  &report->baseline_name};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_str(*texts[i], NULL);
    assert_int_equal(report->status, PW_UNKNOWN);
    assert_int_equal(report->report_time_ms, PW_TIME_NONE);
    assert_counts(&report->compliant, -1, -1, -1, -1, -1, -1, -1);
    assert_counts(&report->non_compliant, -1, -1, -1, -1, -1, -1, -1);
}

static void test_nulls(void **state)
{
    static const char *const files[] = {"everything-null.json", "inner-nulls.json"};
    struct decoded *d = *state;

    for (int i = 0; i < 2; i++) {
        /* Whatever the page before left behind must not shine through. */
        assert_int_equal(decode_file(d, "document-sample.json"), PW_OK);
        assert_int_equal(decode_file(d, files[i]), PW_OK);
        assert_int_equal(d->page.count, 1);
        assert_int_equal(d->page.bad_records, 0);
        assert_nothing(&d->page.reports[0]);
    }
    assert_int_equal(decode_text(d, "{\"count\":1,\"instance_compliant\":[{}]}"), PW_OK);
    assert_nothing(&d->page.reports[0]);
}

/* A value of the wrong type makes its record unusable, and no other. */
static void test_wrong_types(void **state)
{
    static const char *const texts[] = {
        "baseline_id", "baseline_name", "cce_info_id", "eip",   "group",   "enterprise_project_id",
        "id",          "instance_id",   "ip",          "name",  "node_id", "operating_system",
        "region",      "report_scene",  "rule_type",   "status"};
    static const char *const not_texts[] = {"1", "true", "1.5", "[]", "{}", "[\"compliant\"]"};
    static const char *const others[] = {
        "\"execution_summary\":[]",
        "\"execution_summary\":\"\"",
        "\"execution_summary\":{\"report_time\":\"1715308575000\"}",
        "\"execution_summary\":{\"report_time\":-1}",
        "\"execution_summary\":{\"report_time\":1.5e12}",
        "\"execution_summary\":{\"report_time\":9223372036854775808}",
        "\"execution_summary\":{\"report_time\":true}",
        "\"execution_summary\":{\"job_id\":1}",
        "\"execution_summary\":{\"order_id\":{}}",
        "\"compliant_summary\":1",
        "\"compliant_summary\":{\"compliant_count\":\"1\"}",
        "\"compliant_summary\":{\"compliant_count\":-1}",
        "\"compliant_summary\":{\"severity_summary\":[]}",
        "\"compliant_summary\":{\"severity_summary\":{\"critical_count\":\"\"}}",
        "\"non_compliant_summary\":[1]",
        "\"non_compliant_summary\":{\"non_compliant_count\":0.5}",
        "\"non_compliant_summary\":{\"severity_summary\":{\"high_count\":{}}}",
        "\"non_compliant_summary\":{\"severity_summary\":{\"low_count\":-5}}",
        "\"non_compliant_summary\":{\"severity_summary\":{\"medium_count\":false}}",
        "\"non_compliant_summary\":{\"severity_summary\":{\"informational_count\":1e3}}",
        "\"non_compliant_summary\":{\"severity_summary\":{\"unspecified_count\":[0]}}"};
    static const size_t text_count = sizeof texts / sizeof texts[0] * 6;
    struct decoded *d = *state;

    for (size_t i = 0; i < text_count + sizeof others / sizeof others[0]; i++) {
        char field[160], body[400];

        if (i < text_count)
            (void)snprintf(field, sizeof field, "\"%s\":%s", texts[i / 6], not_texts[i % 6]);
        else
            (void)snprintf(field, sizeof field, "%s", others[i - text_count]);
        (void)snprintf(body, sizeof body,
                       "{\"count\":3,\"instance_compliant\":[{\"name\":\"first\"},{%s},"
                       "{\"name\":\"third\"}]}",
                       field);
        assert_int_equal(decode_text(d, body), PW_OK);
        if (d->page.bad_records != 1)
            fail_msg("%s was taken", field);
        assert_int_equal(d->page.rows, 3);
        assert_str(d->page.reports[0].name, "first");
        assert_str(d->page.reports[1].name, "third");
        assert_int_equal(d->page.complaint.status, PW_EFORMAT);
        assert_non_null(strstr(d->page.complaint.message, "record 2 of the page: "));
        *strchr(field + 1, '"') = '\0'; /* names the field */
        assert_non_null(strstr(d->page.complaint.message, field + 1));
    }
}

static void test_elements_that_are_no_records(void **state)
{
    static const char *const elements[] = {"null", "1", "\"\"", "true", "[]", "[{}]"};
    struct decoded *d = *state;

    assert_int_equal(decode_file(d, "null-record.json"), PW_OK);
    assert_int_equal(d->page.rows, 3);
    assert_int_equal(d->page.bad_records, 1);
    assert_str(d->page.reports[1].name, "third");
    assert_string_equal(d->page.complaint.message, "record 2 of the page: is null");
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        char body[100];

        (void)snprintf(body, sizeof body, "{\"count\":1,\"instance_compliant\":[%s]}", elements[i]);
        assert_int_equal(decode_text(d, body), PW_OK);
        assert_int_equal(d->page.count, 0);
        assert_int_equal(d->page.bad_records, 1);
    }
}

static void test_statuses(void **state)
{
    static const struct {
        const char *text;
        enum pw_compliance status;
    } cases[] = {{"compliant", PW_COMPLIANT},
                 {"non_compliant", PW_NON_COMPLIANT},
                 {"", PW_UNKNOWN},
                 {"Compliant", PW_UNKNOWN},
                 {"compliant ", PW_UNKNOWN},
                 {"compliant\\u0000", PW_UNKNOWN},
                 {"unknown", PW_UNKNOWN},
                 {"non-compliant", PW_UNKNOWN}};
    struct decoded *d = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[100];

        (void)snprintf(body, sizeof body,
                       "{\"count\":1,\"instance_compliant\":[{\"status\":\"%s\"}]}", cases[i].text);
        assert_int_equal(decode_text(d, body), PW_OK);
        assert_int_equal(d->page.reports[0].status, cases[i].status);
    }
}

static void test_counts(void **state)
{
    static const char *const unusable[] = {"\"1\"", "-1",   "1e3", "1.0", "9223372036854775808",
                                           "null",  "true", "[]",  "{}"};
    struct decoded *d = *state;
    char body[100];

    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        (void)snprintf(body, sizeof body, "{\"count\":%s,\"instance_compliant\":[{}]}",
                       unusable[i]);
        assert_int_equal(decode_text(d, body), PW_OK);
        assert_int_equal(d->page.reported_count, -1);
        assert_int_equal(d->page.count, 1); /* the record is true all the same */
        assert_int_equal(d->page.complaint.status, PW_EFORMAT);
        assert_non_null(strstr(d->page.complaint.message, "count is missing"));
    }
    /* A number that no integer holds makes the page unreadable, which is as good. */
    assert_int_equal(decode_text(d, "{\"count\":18446744073709551616,\"instance_compliant\":[{}]}"),
                     PW_EFORMAT);
    assert_int_equal(decode_text(d, "{\"instance_compliant\":[]}"), PW_OK);
    assert_int_equal(d->page.reported_count, -1);
    assert_int_equal(d->page.complaint.status, PW_EFORMAT);
    assert_int_equal(decode_text(d, "{\"count\":9223372036854775807,\"instance_compliant\":[]}"),
                     PW_OK);
    assert_int_equal(d->page.reported_count, INT64_MAX);
    assert_int_equal(decode_text(d, "{\"count\":0,\"instance_compliant\":[]}"), PW_OK);
    assert_int_equal(d->page.reported_count, 0);
    assert_int_equal(d->page.complaint.status, PW_OK);
}

/* An error under status 200, in whatever spelling, is no empty fleet. */
static void test_errors_with_an_empty_list(void **state)
{
    static const struct {
        const char *members, *code;
    } errors[] = {
        {"\"error_code\":\"COC.00010002\",\"error_msg\":\"m\"", "COC.00010002"},
        {"\"error_code\":500,\"error_msg\":\"m\"", "500"},
        {"\"errorCode\":\"COC.7\",\"errorMsg\":\"m\"", "COC.7"},
        {"\"code\":\"APIGW.0301\",\"message\":\"m\"", "APIGW.0301"},
        {"\"code\":-1,\"message\":\"m\"", "-1"},
        {"\"error\":{\"code\":409,\"message\":\"m\"}", "409"},
        {"\"error_msg\":\"m\"", NULL},
        {"\"error\":\"m\"", NULL},
    };
    static const char *const well[] = {"\"error_code\":\"COC.00000000\"", "\"error_code\":0",
                                       "\"code\":200,\"message\":\"ok\"", "\"code\":\"0\"",
                                       "\"message\":\"ok\""};
    static const char *const lists[] = {"[]", "null"};
    struct decoded *d = *state;
    char body[200];

    for (size_t list = 0; list < 2; list++) {
        for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
            (void)snprintf(body, sizeof body, "{%s,\"count\":0,\"instance_compliant\":%s}",
                           errors[i].members, lists[list]);
            assert_int_equal(decode_text(d, body), PW_EREMOTE);
            if (errors[i].code != NULL)
                assert_true(pw_str_eq(d->api_error.code, pw_str_of(errors[i].code)));
            else
                assert_true(pw_str_empty(d->api_error.code));
            assert_true(pw_str_eq(d->api_error.message, pw_str_of("m")));
        }
        for (size_t i = 0; i < sizeof well / sizeof well[0]; i++) {
            (void)snprintf(body, sizeof body, "{%s,\"count\":0,\"instance_compliant\":%s}", well[i],
                           lists[list]);
            assert_int_equal(decode_text(d, body), PW_OK);
        }
    }
    /* Beside machines only what can be nothing else is an error. */
    assert_int_equal(decode_text(d, "{\"error_code\":7,\"count\":1,\"instance_compliant\":[{}]}"),
                     PW_EREMOTE);
    assert_int_equal(decode_text(d, "{\"code\":7,\"count\":1,\"instance_compliant\":[{}]}"), PW_OK);
}

static void test_lists(void **state)
{
    static const char *const none[] = {
        "{\"count\":1,\"instance_compliant\":{}}", "{\"count\":1,\"instance_compliant\":\"\"}",
        "{\"count\":0,\"instance_compliant\":0}",  "{\"count\":0,\"instance_compliants\":[]}",
        "{\"instance_compliant\":null}",           "{}"};
    struct decoded *d = *state;

    assert_int_equal(decode_file(d, "list-missing.json"), PW_EFORMAT);
    assert_int_equal(decode_file(d, "null-list-count-5.json"), PW_EFORMAT);
    assert_int_equal(decode_file(d, "null-list-count-0.json"), PW_OK);
    assert_int_equal(d->page.count, 0);
    assert_int_equal(d->page.reported_count, 0);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(decode_text(d, none[i]), PW_EFORMAT);
        assert_non_null(strstr(d->error.message, "instance_compliant"));
    }
}

static void test_unknown_and_repeated_keys(void **state)
{
    struct decoded *d = *state;

    assert_int_equal(decode_file(d, "unknown-fields.json"), PW_OK);
    assert_int_equal(d->page.count, 2);
    assert_str(d->page.reports[0].name, "ä€😀");
    assert_str(d->page.reports[1].status_text, "half");
    assert_int_equal(d->page.reports[1].status, PW_UNKNOWN);

    /* At the top the first one counts, in a record the last: what matters is that it is one. */
    assert_int_equal(decode_file(d, "duplicate-keys.json"), PW_OK);
    assert_int_equal(d->page.reported_count, 1);
    assert_int_equal(d->page.count, 1);
    assert_str(d->page.reports[0].name, "second");
    assert_str(d->page.reports[0].status_text, "non_compliant");
    assert_int_equal(d->page.reports[0].status, PW_NON_COMPLIANT);
}

static void test_text(void **state)
{
    enum { LONG = 1024 * 1024 };
    struct decoded *d = *state;
    char *text = malloc(LONG + 100);
    size_t before;

    assert_int_equal(decode_file(d, "nul-in-name.json"), PW_OK);
    assert_str(d->page.reports[0].name, "x\xEF\xBF\xBDy\xEF\xBF\xBD");
    assert_int_equal(decode_file(d, "invalid-utf8.json"), PW_EFORMAT);
    assert_int_equal(
        decode_text(d, "{\"count\":1,\"instance_compliant\":[{\"name\":\"\\ud800\"}]}"),
        PW_EFORMAT); /* half of a surrogate pair */

    assert_non_null(text);
    before = (size_t)sprintf(text, "{\"count\":1,\"instance_compliant\":[{\"name\":\"");
    memset(text + before, 'x', LONG);
    strcpy(text + before + LONG, "\"}]}");
    assert_int_equal(decode_text(d, text), PW_OK);
    assert_int_equal(d->page.reports[0].name.len, LONG);
    assert_int_equal(d->page.reports[0].name.data[LONG - 1], 'x');
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nulls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elements_that_are_no_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_with_an_empty_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_and_repeated_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
