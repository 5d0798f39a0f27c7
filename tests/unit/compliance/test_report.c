/* Keys, digests and comparisons of reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compliance/batch.h"
#include "compliance/report.h"

/* A record with a different text in every field. */
static struct pw_report full(void)
{
    struct pw_report report = {.name = pw_str_of("web-1"),
                               .instance_id = pw_str_of("i-1"),
                               .node_id = pw_str_of("n-1"),
                               .ip = pw_str_of("10.0.0.1"),
                               .eip = pw_str_of("1.2.3.4"),
                               .region = pw_str_of("cn-north-4"),
                               .group = pw_str_of("g"),
                               .enterprise_project_id = pw_str_of("ep"),
                               .operating_system = pw_str_of("EulerOS"),
                               .report_scene = pw_str_of("ECS"),
                               .cce_info_id = pw_str_of("c-1"),
                               .id = pw_str_of("r-1"),
                               .baseline_id = pw_str_of("b-1"),
                               .baseline_name = pw_str_of("Base"),
                               .rule_type = pw_str_of("rt"),
                               .status_text = pw_str_of("compliant"),
                               .job_id = pw_str_of("j-1"),
                               .order_id = pw_str_of("o-1"),
                               .status = PW_COMPLIANT,
                               .report_time_ms = 1000};

    for (int s = 0; s < PW_SEVERITY_COUNT; s++) {
        report.compliant.by_severity[s] = 10 + s;
        report.non_compliant.by_severity[s] = 20 + s;
    }
    report.compliant.total = 100;
    report.non_compliant.total = 200;
    return report;
}

static void test_names(void **state)
{
    static const char *const severities[] = {"critical", "high",          "medium",
                                             "low",      "informational", "unspecified"};
    static const char *const unknown[] = {"",           "unknown",        "Compliant",
                                          "COMPLIANT",  "non-compliant",  "noncompliant",
                                          "compliant ", "non_compliant\n"};

    (void)state;
    for (int s = 0; s < PW_SEVERITY_COUNT; s++)
        assert_string_equal(pw_severity_name((enum pw_severity)s), severities[s]);
    assert_int_equal(pw_compliance_of(pw_str_of("compliant")), PW_COMPLIANT);
    assert_int_equal(pw_compliance_of(pw_str_of("non_compliant")), PW_NON_COMPLIANT);
    assert_int_equal(pw_compliance_of(PW_STR_NULL), PW_UNKNOWN);
    assert_int_equal(pw_compliance_of((struct pw_str){"compliant\0", 10}), PW_UNKNOWN);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(pw_compliance_of(pw_str_of(unknown[i])), PW_UNKNOWN);
    assert_string_equal(pw_compliance_name(PW_UNKNOWN), "unknown");
    assert_string_equal(pw_compliance_name(PW_COMPLIANT), "compliant");
    assert_string_equal(pw_compliance_name(PW_NON_COMPLIANT), "non_compliant");
    assert_false(pw_is_definite(PW_UNKNOWN));
    assert_true(pw_is_definite(PW_COMPLIANT) && pw_is_definite(PW_NON_COMPLIANT));
}

static void test_node_keys(void **state)
{
    static const struct {
        const char *scene, *instance, *cce_info, *node, *id, *key;
    } rows[] = {
        {"ECS", "i-1", NULL, NULL, "r", "ECS/i-1"},
        {"BMS", "i-1", "", "", "r", "BMS/i-1"},
        {"Other", "i-1", "c", "n", "r", "Other/i-1"}, /* cluster and node are of CCE only */
        {NULL, "i-1", NULL, NULL, "r", "-/i-1"},
        {"", "i-1", NULL, NULL, "r", "-/i-1"},
        {"cce", "i-1", "c", "n", "r", "cce/i-1"}, /* as received: another scene */
        {"CCE", "i-1", "c", "n", "r", "CCE/c/n"},
        {"CCE", "i-1", "c", "", "r", "CCE/c/i-1"},
        {"CCE", "i-1", "c", NULL, "r", "CCE/c/i-1"},
        {"CCE", NULL, "c", "n", "r", "CCE/c/n"},
        {"CCE", "i-1", NULL, "n", "r", "CCE//n"},
        {"CCE", "i-1", "", "", "r", "CCE//i-1"},
        {"CCE", "", "c", "", "r", "CCE/c/"}, /* id only where all three are empty */
        {"CCE", "", "", "", "r", "id/r"},
        {"CCE", NULL, NULL, NULL, "r", "id/r"},
        {"ECS", NULL, NULL, NULL, "r", "id/r"},
        {"ECS", "", NULL, NULL, "r", "id/r"},
        {NULL, NULL, NULL, NULL, "r", "id/r"},
        {"ECS", NULL, NULL, NULL, NULL, NULL},
        {"CCE", "", "", "", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pw_report report = {.report_scene = pw_str_of(rows[i].scene),
                                   .instance_id = pw_str_of(rows[i].instance),
                                   .cce_info_id = pw_str_of(rows[i].cce_info),
                                   .node_id = pw_str_of(rows[i].node),
                                   .id = pw_str_of(rows[i].id)};
        struct pw_buffer key;
        struct pw_error err = {PW_OK, ""};
        enum pw_status status;

        pw_buffer_init(&key, 8192);
        status = pw_report_node_key(&report, &key, &err);
        if (rows[i].key == NULL) {
            assert_int_equal(status, PW_EFORMAT);
            assert_non_null(strstr(err.message, "instance_id"));
        } else {
            assert_int_equal(status, PW_OK);
            assert_string_equal(key.data, rows[i].key);
        }
        pw_buffer_free(&key);
    }
}

static void test_no_other_field_makes_another_node(void **state)
{
    static const size_t in_key[] = {offsetof(struct pw_report, instance_id),
                                    offsetof(struct pw_report, report_scene)};
    struct pw_buffer key;

    (void)state;
    pw_buffer_init(&key, 8192);
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_report report = full();
        struct pw_str *field = pw_report_string(&report, i);
        size_t offset = (size_t)((char *)field - (char *)&report);

        *field = pw_str_of("another");
        pw_buffer_clear(&key);
        assert_int_equal(pw_report_node_key(&report, &key, NULL), PW_OK);
        if (offset == in_key[0] || offset == in_key[1])
            assert_string_not_equal(key.data, "ECS/i-1");
        else
            assert_string_equal(key.data, "ECS/i-1");
    }
    pw_buffer_free(&key);
}

static void test_node_keys_have_a_limit(void **state)
{
    static char id[PW_KEY_MAX_BYTES + 1];
    struct pw_report report = {.report_scene = pw_str_of("ECS")};
    struct pw_buffer key;
    struct pw_error err;

    (void)state;
    memset(id, 'x', sizeof id);
    pw_buffer_init(&key, (size_t)2 * PW_KEY_MAX_BYTES);
    report.instance_id = (struct pw_str){id, PW_KEY_MAX_BYTES - 4};
    assert_int_equal(pw_report_node_key(&report, &key, &err), PW_OK);
    assert_int_equal(key.len, PW_KEY_MAX_BYTES);
    pw_buffer_clear(&key);
    report.instance_id.len++;
    assert_int_equal(pw_report_node_key(&report, &key, &err), PW_EFORMAT);
    pw_buffer_free(&key);
    pw_buffer_init(&key, 6);
    assert_int_equal(pw_report_node_key(&report, &key, &err), PW_EFORMAT);
    pw_buffer_free(&key);
}

static void test_report_keys(void **state)
{
    struct pw_report_key key = pw_report_key_of(pw_str_of("ECS/i-1"), pw_str_of("b"));
    struct pw_report_key same = pw_report_key_of(pw_str_of("ECS/i-1"), PW_STR_NULL);
    struct pw_report_key empty = pw_report_key_of(pw_str_of("ECS/i-1"), pw_str_of(""));
    struct pw_report_key other = pw_report_key_of(pw_str_of("ECS/i-1b"), PW_STR_NULL);

    (void)state;
    assert_true(key.node == same.node && key.report != same.report);
    assert_true(same.report == empty.report);
    assert_true(other.node != key.node && other.report != key.report);
    assert_true(pw_report_key_of(pw_str_of("ECS/i-2"), pw_str_of("b")).report != key.report);
}

static void test_every_field_changes_the_digest(void **state)
{
    struct pw_report base = full();
    uint64_t digest = pw_report_digest(&base);
    uint64_t seen[64];
    size_t seen_count = 0;
    struct pw_report twin = full();
    int64_t *numbers[2 + 2 * PW_SEVERITY_COUNT];
    size_t number_count = 0;

    (void)state;
    assert_true(pw_report_digest(&twin) == digest);
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_report changed = full();

        *pw_report_string(&changed, i) = pw_str_of("?");
        seen[seen_count++] = pw_report_digest(&changed);
    }
    for (int s = 0; s < PW_SEVERITY_COUNT; s++) {
        numbers[number_count++] = &twin.compliant.by_severity[s];
        numbers[number_count++] = &twin.non_compliant.by_severity[s];
    }
    numbers[number_count++] = &twin.compliant.total;
    numbers[number_count++] = &twin.non_compliant.total;
    for (size_t i = 0; i < number_count; i++) {
        int64_t kept = *numbers[i];

        *numbers[i] = kept + 1;
        seen[seen_count++] = pw_report_digest(&twin);
        *numbers[i] = PW_COUNT_NONE;
        seen[seen_count++] = pw_report_digest(&twin);
        *numbers[i] = kept;
    }
    twin.report_time_ms++;
    seen[seen_count++] = pw_report_digest(&twin);
    twin.report_time_ms = PW_TIME_NONE;
    seen[seen_count++] = pw_report_digest(&twin);
    for (size_t i = 0; i < seen_count; i++) {
        assert_true(seen[i] != digest);
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    }
    twin = full();
    twin.rival = PW_RIVAL_LATER;
    twin.place = 17; /* says where it was found, not what it says */
    assert_true(pw_report_digest(&twin) == digest);
}

static void test_null_and_empty_have_two_digests(void **state)
{
    (void)state;
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_report null = full(), empty = full();
        bool is_baseline = pw_report_string(&null, i) == &null.baseline_id;

        *pw_report_string(&null, i) = PW_STR_NULL;
        *pw_report_string(&empty, i) = pw_str_of("");
        assert_int_equal(pw_report_digest(&null) == pw_report_digest(&empty), is_baseline);
    }
}

static void test_text_that_moves_between_fields(void **state)
{
    static char long_text[5000];
    struct pw_report a = {.name = pw_str_of("ab"), .instance_id = pw_str_of("c")};
    struct pw_report b = {.name = pw_str_of("a"), .instance_id = pw_str_of("bc")};
    uint64_t before = 0;

    (void)state;
    assert_true(pw_report_digest(&a) != pw_report_digest(&b));
    /* Texts about the size of the inner buffer, and beyond it. */
    memset(long_text, 'x', sizeof long_text);
    for (size_t len = 1900; len < 2100; len++) {
        a.name = (struct pw_str){long_text, len};
        assert_true(pw_report_digest(&a) != before);
        before = pw_report_digest(&a);
        assert_true(pw_report_digest(&a) == before);
    }
    a.name.len = sizeof long_text;
    before = pw_report_digest(&a);
    for (size_t at = 0; at < sizeof long_text; at += 499) {
        long_text[at] = 'y';
        assert_true(pw_report_digest(&a) != before);
        long_text[at] = 'x';
    }
    a.job_id = pw_str_of("after it");
    assert_true(pw_report_digest(&a) != before);
}

static void test_identity(void **state)
{
    struct pw_report report = full();
    struct pw_report_key key = {1, 2}, other_key = {1, 3};
    uint64_t identity = pw_report_identity(&report, key, 77);

    (void)state;
    /* The same record with other content, moved to a later page, is one record. */
    assert_true(pw_report_identity(&report, key, 78) == identity);
    assert_true(pw_report_identity(&report, other_key, 77) != identity);
    report.id = pw_str_of("r-2");
    assert_true(pw_report_identity(&report, key, 77) != identity);
    report.id = PW_STR_NULL;
    assert_true(pw_report_identity(&report, key, 77) == 77);
    report.id = pw_str_of("");
    assert_true(pw_report_identity(&report, key, 78) == 78);
}

static void test_same_version_leaves_out_the_node(void **state)
{
    struct pw_report base = full();

    (void)state;
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_report changed = full();
        struct pw_str *field = pw_report_string(&changed, i);
        bool of_node = field < &changed.id;
        bool is_key = field == &changed.baseline_id;

        *field = pw_str_of("?");
        assert_int_equal(pw_report_same_version(&base, &changed), of_node || is_key);
        *field = PW_STR_NULL;
        assert_int_equal(pw_report_same_version(&base, &changed), of_node || is_key);
    }
    for (int which = 0; which < 3; which++) {
        struct pw_report changed = full();

        if (which == 0)
            changed.report_time_ms++;
        else if (which == 1)
            changed.compliant.by_severity[PW_LOW]++;
        else
            changed.non_compliant.total++;
        assert_false(pw_report_same_version(&base, &changed));
    }
}

static void test_stale(void **state)
{
    enum { NOW = 1000000 };
    static const struct {
        int64_t candidate, stored;
        bool stale;
    } rows[] = {
        {NOW - 2, NOW - 1, true},
        {NOW - 1, NOW - 1, false},
        {NOW, NOW - 1, false},
        {NOW, NOW + PW_DAY_MS, true},      /* a day ahead is not more than a day */
        {NOW, NOW + PW_DAY_MS + 1, false}, /* a clock that was wrong freezes no node */
        {NOW + PW_DAY_MS + 1, NOW + PW_DAY_MS + 2, false},
        {PW_TIME_NONE, NOW, false},
        {NOW, PW_TIME_NONE, false},
        {PW_TIME_NONE, PW_TIME_NONE, false},
        {0, 1, true},
        {NOW, INT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pw_report candidate = full(), stored = full();

        candidate.report_time_ms = rows[i].candidate;
        stored.report_time_ms = rows[i].stored;
        assert_int_equal(pw_report_is_stale(&candidate, &stored, NOW), rows[i].stale);
    }
}

static void test_comparing_counts(void **state)
{
    struct pw_patch_counts a = {.total = 5, .by_severity = {0, 1, 4, 0, 0, 0}};
    struct pw_patch_counts b = a, none = {.total = PW_COUNT_NONE}, zero = {0};

    (void)state;
    assert_true(pw_patch_counts_same(&a, &b));
    assert_int_equal(pw_patch_counts_compare(&a, &b), 0);
    b.by_severity[PW_CRITICAL] = 1; /* one critical outweighs whatever is milder */
    b.by_severity[PW_HIGH] = 0;
    b.total = 1;
    assert_false(pw_patch_counts_same(&a, &b));
    assert_true(pw_patch_counts_compare(&b, &a) > 0);
    assert_true(pw_patch_counts_compare(&a, &b) < 0);
    b = a;
    b.total = 6;
    assert_true(pw_patch_counts_compare(&b, &a) > 0);
    for (int s = 0; s < PW_SEVERITY_COUNT; s++)
        none.by_severity[s] = PW_COUNT_NONE;
    assert_int_equal(pw_patch_counts_compare(&none, &zero), 0);
    assert_false(pw_patch_counts_same(&none, &zero));
    b.total = INT64_MAX;
    assert_true(pw_patch_counts_compare(&none, &b) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_node_keys),
        cmocka_unit_test(test_no_other_field_makes_another_node),
        cmocka_unit_test(test_node_keys_have_a_limit),
        cmocka_unit_test(test_report_keys),
        cmocka_unit_test(test_every_field_changes_the_digest),
        cmocka_unit_test(test_null_and_empty_have_two_digests),
        cmocka_unit_test(test_text_that_moves_between_fields),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_same_version_leaves_out_the_node),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_comparing_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
