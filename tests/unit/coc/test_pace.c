/* How fast a source is asked: down at once, up step by step, never beyond what was configured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coc/pace.h"

static void assert_rate(const struct pw_pace *pace, int64_t count, int64_t period_ms)
{
    int64_t is_count, is_period_ms;

    pw_pace_rate(pace, &is_count, &is_period_ms);
    assert_int_equal(is_count, count);
    assert_int_equal(is_period_ms, period_ms);
}

static void test_full_speed(void **state)
{
    struct pw_pace pace = {0};

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 4);
    for (int i = 0; i < 1000; i++)
        assert_false(pw_pace_good(&pace));
    assert_rate(&pace, 10, 1000);
    assert_int_equal(pace.allowed, 4);
}

static void test_throttled_and_recovered(void **state)
{
    struct pw_pace pace = {0};
    int answers = 0;

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 4);
    assert_true(pw_pace_throttled(&pace, pw_pace_mark(&pace)));
    assert_rate(&pace, 10, 2000); /* half of it */
    assert_int_equal(pace.allowed, 2);
    assert_true(pw_pace_throttled(&pace, pw_pace_mark(&pace)));
    assert_rate(&pace, 10, 4000);
    assert_int_equal(pace.allowed, 1);
    while ((pace.share < 1000 || pace.allowed < 4) && answers < 10000) {
        (void)pw_pace_good(&pace);
        answers++;
    }
    assert_in_range(answers, 50, 1000);
    assert_rate(&pace, 10, 1000);
    assert_int_equal(pace.allowed, 4);
}

static void test_throttled_for_ever(void **state)
{
    struct pw_pace pace = {0};

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 64);
    for (int i = 0; i < 100; i++)
        (void)pw_pace_throttled(&pace, pw_pace_mark(&pace));
    assert_false(pw_pace_throttled(&pace, pw_pace_mark(&pace)));
    assert_rate(&pace, 10, 100000); /* a hundredth, and no less: it must find out when it is over */
    assert_int_equal(pace.allowed, 1);
}

/* Eight requests under way are refused at once: that is one step down, not eight. */
static void test_refused_together(void **state)
{
    struct pw_pace pace = {0};
    struct pw_pace_mark mark;

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 8);
    mark = pw_pace_mark(&pace);
    assert_true(pw_pace_throttled(&pace, mark));
    for (int i = 0; i < 7; i++) {
        assert_false(pw_pace_throttled(&pace, mark));
        pw_pace_strained(&pace, mark);
    }
    assert_rate(&pace, 10, 2000);
    assert_int_equal(pace.allowed, 4);
    assert_true(pw_pace_throttled(&pace, pw_pace_mark(&pace))); /* one that began since */
    assert_rate(&pace, 10, 4000);
}

/* A server that breaks down and then says "too many" has said so. */
static void test_strained_and_throttled(void **state)
{
    struct pw_pace pace = {0};
    struct pw_pace_mark mark;

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 8);
    mark = pw_pace_mark(&pace);
    pw_pace_strained(&pace, mark);
    assert_true(pw_pace_throttled(&pace, mark));
    assert_rate(&pace, 10, 2000);
    assert_int_equal(pace.allowed, 4);
}

/* However low the rate, a step back takes as long as at any other. */
static void test_recovers_from_the_least(void **state)
{
    struct pw_pace pace = {0};
    int64_t count, period_ms, passed_ms = 0;

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 4);
    for (int i = 0; i < 100; i++)
        (void)pw_pace_throttled(&pace, pw_pace_mark(&pace));
    while (pace.share < 1000) {
        pw_pace_rate(&pace, &count, &period_ms);
        passed_ms += period_ms / count;
        (void)pw_pace_good(&pace);
    }
    assert_in_range(passed_ms, 20000, 90000);
}

static void test_no_limit_configured(void **state)
{
    struct pw_pace pace = {0};

    (void)state;
    pw_pace_configure(&pace, 0, 1000, 4);
    assert_rate(&pace, 0, 1000);
    assert_true(pw_pace_throttled(&pace, pw_pace_mark(&pace)));
    assert_rate(&pace, 50, 2000); /* now there is one */
    for (int i = 0; i < 10000; i++)
        (void)pw_pace_good(&pace);
    assert_rate(&pace, 0, 1000);
}

static void test_strained(void **state)
{
    struct pw_pace pace = {0};

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 5);
    pw_pace_strained(&pace, pw_pace_mark(&pace));
    assert_int_equal(pace.allowed, 3);
    for (int i = 0; i < 100; i++)
        pw_pace_strained(&pace, pw_pace_mark(&pace));
    assert_int_equal(pace.allowed, 1);
    assert_rate(&pace, 10, 1000); /* at the same rate */
}

static void test_configured_again(void **state)
{
    struct pw_pace pace = {0};

    (void)state;
    pw_pace_configure(&pace, 10, 1000, 4);
    (void)pw_pace_throttled(&pace, pw_pace_mark(&pace));
    pw_pace_configure(&pace, 10, 1000, 4); /* the same: what was learned stays */
    assert_rate(&pace, 10, 2000);
    pw_pace_configure(&pace, 20, 1000, 4);
    assert_rate(&pace, 20, 1000);
    assert_int_equal(pace.allowed, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_speed),
        cmocka_unit_test(test_throttled_and_recovered),
        cmocka_unit_test(test_throttled_for_ever),
        cmocka_unit_test(test_no_limit_configured),
        cmocka_unit_test(test_refused_together),
        cmocka_unit_test(test_recovers_from_the_least),
        cmocka_unit_test(test_strained_and_throttled),
        cmocka_unit_test(test_strained),
        cmocka_unit_test(test_configured_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
