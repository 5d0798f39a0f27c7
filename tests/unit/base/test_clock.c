/* Times: ISO 8601 at its limits, clocks, and how long to wait before trying again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"

static void test_iso8601(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {1, "1970-01-01T00:00:00.001Z"},
                {-1, "1969-12-31T23:59:59.999Z"},
                {-1000, "1969-12-31T23:59:59.000Z"},
                {-1001, "1969-12-31T23:59:58.999Z"},
                {INT64_C(1795506828123), "2026-11-24T07:53:48.123Z"},
                {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
                {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
                {INT64_C(253402300800000), "253402300800000"},
                /* RFC 3339: four digits of a year, always */
                {INT64_C(-30610224000000), "1000-01-01T00:00:00.000Z"},
                {INT64_C(-30610224000001), "0999-12-31T23:59:59.999Z"},
                {INT64_C(-62135596800000), "0001-01-01T00:00:00.000Z"},
                {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
                {INT64_C(-62167219200001), "-62167219200001"},
                {INT64_MAX, "9223372036854775807"},
                {PW_TIME_NONE, "-9223372036854775808"}};
    char out[PW_ISO8601_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(pw_iso8601(out, rows[i].ms), rows[i].text);
}

static void test_iso8601_sorts_as_time_does(void **state)
{
    char before[PW_ISO8601_SIZE], after[PW_ISO8601_SIZE];

    (void)state;
    (void)pw_iso8601(before, INT64_C(-62167219200000));
    for (int64_t ms = INT64_C(-62167219200000); ms <= INT64_C(253402300799999);
         ms += INT64_C(31556952123)) {
        (void)pw_iso8601(after, ms);
        assert_int_equal(strlen(after), 24);
        assert_true(strcmp(before, after) <= 0);
        memcpy(before, after, sizeof before);
    }
}

static void test_clocks(void **state)
{
    struct pw_clock_manual manual;
    const struct pw_clock *system = pw_clock_system();
    int64_t start = pw_clock_monotonic_ms(system);

    (void)state;
    assert_true(pw_clock_wall_ms(system) > INT64_C(1577836800000)); /* 2020 */
    assert_true(pw_clock_monotonic_ms(system) >= start);
    pw_clock_manual_init(&manual, 1000);
    assert_true(pw_clock_wall_ms(&manual.clock) == 1000);
    manual.now_ms += 500;
    assert_true(pw_clock_wall_ms(&manual.clock) == 1500);
    assert_true(pw_clock_monotonic_ms(&manual.clock) == 1500);
}

static void test_backoff_doubles_up_to_its_cap(void **state)
{
    static const int64_t tops[] = {100, 200, 400, 800, 1000, 1000, 1000};

    (void)state;
    for (unsigned attempt = 1; attempt <= 7; attempt++) {
        int64_t top = tops[attempt - 1];

        assert_true(pw_backoff_ms(attempt, 100, 1000, 0, 0) == 0);
        assert_true(pw_backoff_ms(attempt, 100, 1000, 0, (uint64_t)top) == top);
        assert_true(pw_backoff_ms(attempt, 100, 1000, 0, (uint64_t)top + 1) == 0);
        for (uint64_t random = 0; random < 5000; random += 7) {
            int64_t wait =
                pw_backoff_ms(attempt, 100, 1000, 50, random * UINT64_C(0x9E3779B97F4A7C15));

            assert_true(wait >= 50 && wait <= top);
        }
    }
    assert_true(pw_backoff_ms(UINT32_MAX, 100, 1000, 0, 1000) == 1000);
}

static void test_backoff_has_a_floor(void **state)
{
    (void)state;
    assert_true(pw_backoff_ms(1, 100, 1000, 100, UINT64_MAX) == 100);
    assert_true(pw_backoff_ms(1, 100, 1000, 5000, UINT64_MAX) == 5000);
    assert_true(pw_backoff_ms(9, 100, 1000, 5000, UINT64_MAX) == 5000);
    assert_true(pw_backoff_ms(1, 2000, 1000, 0, 1000) == 1000); /* a base over the cap */
}

static void test_backoff_at_the_ends_of_its_numbers(void **state)
{
    (void)state;
    /* Neither overflows nor counts to four thousand million. */
    assert_true(pw_backoff_ms(UINT32_MAX, 0, 1000, 0, 12345) == 0);
    assert_true(pw_backoff_ms(UINT32_MAX, 1, INT64_MAX, 0, (uint64_t)INT64_MAX) == INT64_MAX);
    assert_true(pw_backoff_ms(63, 3, INT64_MAX, 0, (uint64_t)INT64_MAX) == INT64_MAX);
    assert_true(pw_backoff_ms(1, INT64_MAX, INT64_MAX, 1, UINT64_MAX) >= 1);
}

static void test_random_numbers_differ(void **state)
{
    uint64_t first = pw_random();
    bool differs = false;

    (void)state;
    for (int i = 0; i < 8; i++)
        differs = differs || pw_random() != first;
    assert_true(differs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iso8601),
        cmocka_unit_test(test_iso8601_sorts_as_time_does),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_backoff_doubles_up_to_its_cap),
        cmocka_unit_test(test_backoff_has_a_floor),
        cmocka_unit_test(test_backoff_at_the_ends_of_its_numbers),
        cmocka_unit_test(test_random_numbers_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
