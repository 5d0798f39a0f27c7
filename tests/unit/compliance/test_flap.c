/* The weighted share of recent changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compliance/flap.h"

static int64_t share(int64_t window, int64_t first_age, int64_t count, int64_t step)
{
    struct pw_flap_tally tally = {.window = window};

    for (int64_t i = 0; i < count; i++)
        pw_flap_note(&tally, first_age + i * step);
    return pw_flap_result(&tally).share_ppm;
}

static void test_nothing_and_all(void **state)
{
    (void)state;
    for (int64_t window = 1; window <= 200; window++) {
        assert_int_equal(share(window, 0, 0, 1), 0);
        assert_int_equal(share(window, 0, window, 1), 1000000);     /* a change in every sweep */
        assert_int_equal(share(window, 0, 3 * window, 1), 1000000); /* older ones count nothing */
        assert_int_equal(share(window, window, 5, 1), 0);
    }
}

static void test_newer_changes_weigh_more(void **state)
{
    (void)state;
    assert_int_equal(share(20, 0, 1, 1), 60000);  /* 1.2 / 20 */
    assert_int_equal(share(20, 19, 1, 1), 40000); /* 0.8 / 20 */
    assert_int_equal(share(5, 2, 1, 1), 200000);  /* the middle one weighs 1 */
    assert_int_equal(share(1, 0, 1, 1), 1000000);
    for (int64_t age = 0; age < 19; age++)
        assert_true(share(20, age, 1, 1) > share(20, age + 1, 1, 1));
    /* What docs/alerts.md says: nine changes in a row are half, eight are not. */
    assert_true(share(20, 0, 9, 1) >= 500000);
    assert_true(share(20, 0, 8, 1) < 500000);
    /* Every second sweep. */
    assert_int_equal(share(20, 0, 10, 2), 505263);
}

static void test_several_changes_of_one_age(void **state)
{
    struct pw_flap_tally tally = {.window = 4};
    struct pw_flapping flapping;

    (void)state;
    for (int i = 0; i < 9; i++)
        pw_flap_note(&tally, 0);
    flapping = pw_flap_result(&tally);
    assert_int_equal(flapping.changes, 9);
    assert_int_equal(flapping.sweeps, 4);
    assert_int_equal(flapping.share_ppm, 1000000); /* never more than all */
    pw_flap_note(&tally, 4);
    pw_flap_note(&tally, -1);
    assert_int_equal(pw_flap_result(&tally).changes, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_and_all),
        cmocka_unit_test(test_newer_changes_weigh_more),
        cmocka_unit_test(test_several_changes_of_one_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
