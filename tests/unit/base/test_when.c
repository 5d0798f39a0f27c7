/* Times as people write them, and as they are printed for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/when.h"

/* 2026-11-24T07:53:48.123Z, a Tuesday. */
#define NOW INT64_C(1795506828123)

static void use_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static int64_t parse(const char *text)
{
    struct pw_error err = {PW_OK, ""};
    int64_t ms = 0;

    if (pw_when_parse(text, NOW, &ms, &err) != PW_OK)
        fail_msg("%s: %s", text, err.message);
    return ms;
}

static void test_spans(void **state)
{
    (void)state;
    assert_int_equal(parse("now"), NOW);
    assert_int_equal(parse("0"), NOW);
    assert_int_equal(parse("24h"), NOW - PW_DAY_MS);
    assert_int_equal(parse("24h ago"), NOW - PW_DAY_MS);
    assert_int_equal(parse("3d ago"), NOW - 3 * PW_DAY_MS);
    assert_int_equal(parse("1h30m"), NOW - 5400000);
}

static void test_dates(void **state)
{
    (void)state;
    use_zone("UTC");
    assert_int_equal(parse("2026-11-24T07:53:48.123Z"), NOW);
    assert_int_equal(parse("2026-11-24 07:53:48.123"), NOW);
    assert_int_equal(parse("2026-11-24T07:53:48.1234567Z"), NOW);
    assert_int_equal(parse("2026-11-24T15:53:48,123+08:00"), NOW);
    assert_int_equal(parse("2026-11-24 02:23:48.123 -0530"), NOW);
    assert_int_equal(parse("2026-11-24 08:53:48.123+01"), NOW);
    assert_int_equal(parse("2026-11-24T07:53Z"), NOW - 48123);
    assert_int_equal(parse("2026-11-24"), INT64_C(1795478400000));
    assert_int_equal(parse("today"), INT64_C(1795478400000));
    assert_int_equal(parse("yesterday"), INT64_C(1795392000000));
    assert_int_equal(parse("2028-02-29"), INT64_C(1835395200000));
    assert_int_equal(parse("1969-12-31T23:59:59.5Z"), -500);
    assert_int_equal(parse("@1795506828.123"), NOW);
    assert_int_equal(parse("@0"), 0);
    assert_int_equal(parse("1795506828123"), NOW);
}

/* What has no zone is local time, summer and winter. */
static void test_local_time(void **state)
{
    (void)state;
    use_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_int_equal(parse("2026-11-24 08:53:48.123"), NOW);
    assert_int_equal(parse("2026-07-01 12:00"), INT64_C(1782900000000));
    assert_int_equal(parse("2026-07-01 12:00Z"), INT64_C(1782907200000));
    assert_int_equal(parse("today"), INT64_C(1795474800000));
    use_zone("CST-8");
    assert_int_equal(parse("2026-11-24 15:53:48.123"), NOW);
    use_zone("UTC");
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "tomorrow",
        "24",
        "24 hours",
        "2026",
        "2026-11",
        "2026-13-01",
        "2026-02-30",
        "2027-02-29",
        "2026-11-24T",
        "2026-11-24T25:00",
        "2026-11-24T10:60",
        "2026-11-24T10",
        "2026-11-24T10:00X",
        "2026-11-24T10:00+25:00",
        "2026-11-24T10:00+1",
        "2026-11-24T10:00:00.Z",
        "@",
        "@x",
        "@1.",
        "12345678901",
        "ago",
        " ago",
        "3d from now",
        "99999999999999999999d",
        "-5m",
        "2026-00-10",
        "26-11-24",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pw_error err = {PW_OK, ""};
        int64_t ms;

        if (pw_when_parse(bad[i], NOW, &ms, &err) != PW_EINVAL)
            fail_msg("'%s' was taken for a time", bad[i]);
        assert_non_null(strstr(err.message, "is not a time"));
    }
}

static void test_printing(void **state)
{
    char out[PW_WHEN_SIZE];

    (void)state;
    use_zone("UTC");
    assert_string_equal(pw_when_text(out, NOW), "2026-11-24 07:53:48Z");
    assert_string_equal(pw_when_text(out, -1), "1969-12-31 23:59:59Z");
    assert_string_equal(pw_when_text(out, PW_TIME_NONE), "-");
    assert_string_equal(pw_when_text(out, INT64_MAX), "9223372036854775807");
    use_zone("CST-8");
    assert_string_equal(pw_when_text(out, NOW), "2026-11-24 15:53:48+08:00");
    use_zone("NST3:30");
    assert_string_equal(pw_when_text(out, NOW), "2026-11-24 04:23:48-03:30");
    /* What is printed can be given back. */
    assert_int_equal(parse(pw_when_text(out, NOW)), NOW - 123);
    use_zone("UTC");
}

static void test_ages(void **state)
{
    static const struct {
        int64_t span_ms;
        const char *text;
    } spans[] = {
        {-5, "0s"},          {0, "0s"},
        {999, "0s"},         {12345, "12s"},
        {599999, "9m59s"},   {600000, "10m"},
        {11520000, "3h12m"}, {INT64_C(86400000) * 5 + 14400000, "5d4h"},
    };
    char out[PW_WHEN_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        assert_string_equal(pw_when_span(out, spans[i].span_ms), spans[i].text);
    assert_string_equal(pw_when_relative(out, NOW - 65000, NOW), "1m5s ago");
    assert_string_equal(pw_when_relative(out, NOW + 240000, NOW), "in 4m");
    assert_string_equal(pw_when_relative(out, NOW - 999, NOW), "now");
    assert_string_equal(pw_when_relative(out, PW_TIME_NONE, NOW), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),      cmocka_unit_test(test_dates),
        cmocka_unit_test(test_local_time), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_printing),   cmocka_unit_test(test_ages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
