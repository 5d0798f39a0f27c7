/* The set of hashes against a sorted list of what was put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hashset.h"

static bool put(struct pw_hashset *set, uint64_t hash)
{
    bool added = false;

    assert_int_equal(pw_hashset_add(set, hash, &added), PW_OK);
    return added;
}

/* splitmix64: the same numbers at every run. */
static uint64_t number(uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void test_empty(void **state)
{
    struct pw_hashset set;

    (void)state;
    pw_hashset_init(&set);
    assert_null(set.slots);
    assert_false(pw_hashset_has(&set, 0));
    assert_false(pw_hashset_has(&set, 5));
    pw_hashset_free(&set);
    pw_hashset_free(&set);
}

static void test_zero_is_a_hash_like_others(void **state)
{
    struct pw_hashset set;

    (void)state;
    pw_hashset_init(&set);
    assert_true(put(&set, 7));
    assert_false(pw_hashset_has(&set, 0));
    assert_true(put(&set, 0));
    assert_true(pw_hashset_has(&set, 0));
    assert_false(put(&set, 0));
    assert_int_equal(set.count, 2);
    assert_true(put(&set, UINT64_MAX));
    assert_true(pw_hashset_has(&set, UINT64_MAX));
    assert_false(pw_hashset_has(&set, UINT64_MAX - 1));
    pw_hashset_free(&set);
    assert_int_equal(set.count, 0);
    assert_false(pw_hashset_has(&set, 0));
    assert_true(put(&set, 0)); /* usable again */
    pw_hashset_free(&set);
}

static void test_many(void **state)
{
    enum { COUNT = 100000 };
    struct pw_hashset set;

    (void)state;
    pw_hashset_init(&set);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(put(&set, number(i)));
        /* Just before and after it grows, nothing is lost. */
        if ((set.count & (set.count - 1)) == 0)
            for (uint64_t j = 0; j <= i; j++)
                assert_true(pw_hashset_has(&set, number(j)));
    }
    assert_int_equal(set.count, COUNT);
    assert_true(set.capacity <= 4 * (size_t)COUNT); /* 8 bytes a slot, so the memory is bounded */
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(pw_hashset_has(&set, number(i)));
        assert_false(put(&set, number(i)));
        assert_false(pw_hashset_has(&set, number(COUNT + i)));
    }
    assert_int_equal(set.count, COUNT);
    pw_hashset_free(&set);
}

static void test_hashes_that_look_alike(void **state)
{
    enum { COUNT = 20000 };
    static const unsigned shifts[] = {0, 10, 20, 32, 44};

    (void)state;
    for (size_t s = 0; s < sizeof shifts / sizeof shifts[0]; s++) {
        struct pw_hashset set;

        pw_hashset_init(&set);
        for (uint64_t i = 1; i <= COUNT; i++)
            assert_true(put(&set, (i + 1) << shifts[s]));
        for (uint64_t i = 1; i <= COUNT; i++)
            assert_true(pw_hashset_has(&set, (i + 1) << shifts[s]));
        assert_int_equal(set.count, COUNT);
        pw_hashset_free(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_zero_is_a_hash_like_others),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_hashes_that_look_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
