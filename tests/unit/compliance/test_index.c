/* The digest index, against a plain list that does the same slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "compliance/index.h"

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void put(struct pw_index *index, struct pw_report_key key, uint64_t digest, uint32_t node)
{
    assert_int_equal(pw_index_put(index, key, digest, node, false), PW_OK);
}

static size_t count_unseen(const struct pw_index *index)
{
    size_t cursor = 0, count = 0;

    while (pw_index_next_unseen(index, &cursor) != NULL)
        count++;
    return count;
}

static void test_empty(void **state)
{
    struct pw_index *index = pw_index_new();
    size_t cursor = 0;

    (void)state;
    assert_non_null(index);
    assert_int_equal(pw_index_count(index), 0);
    assert_null(pw_index_find(index, (struct pw_report_key){1, 2}));
    pw_index_remove(index, (struct pw_report_key){1, 2});
    pw_index_begin(index);
    assert_null(pw_index_next_unseen(index, &cursor));
    pw_index_free(index);
    pw_index_free(NULL);
}

static void test_put_find_replace_remove(void **state)
{
    struct pw_index *index = pw_index_new();
    struct pw_report_key key = {5, 6}, half = {5, 7}, zero_node = {0, 6}, zero_report = {5, 0};
    struct pw_index_entry *entry;

    (void)state;
    put(index, key, 100, 1);
    assert_null(pw_index_find(index, half));
    put(index, half, 200, 1);
    put(index, zero_node, 300, 2);
    put(index, zero_report, 400, UINT32_MAX);
    assert_int_equal(pw_index_count(index), 4);
    entry = pw_index_find(index, key);
    assert_true(entry->digest == 100 && entry->node_id == 1 && entry->restless == 0);
    assert_int_equal(pw_index_put(index, key, 101, 9, true), PW_OK);
    assert_int_equal(pw_index_count(index), 4);
    entry = pw_index_find(index, key);
    assert_true(entry->digest == 101 && entry->node_id == 9 && entry->restless == 1);
    assert_true(pw_index_find(index, zero_node)->digest == 300);
    assert_true(pw_index_find(index, zero_report)->node_id == UINT32_MAX);
    pw_index_remove(index, key);
    assert_null(pw_index_find(index, key));
    assert_true(pw_index_find(index, half)->digest == 200);
    pw_index_remove(index, key);
    assert_int_equal(pw_index_count(index), 3);
    pw_index_free(index);
}

static void test_sweeps(void **state)
{
    struct pw_index *index = pw_index_new();
    size_t cursor = 0;
    const struct pw_index_entry *unseen;

    (void)state;
    for (uint64_t i = 1; i <= 100; i++)
        put(index, (struct pw_report_key){i, i * 31}, i, (uint32_t)i);
    for (int sweep = 0; sweep < 3; sweep++) {
        pw_index_begin(index);
        assert_int_equal(count_unseen(index), 100);
        for (uint64_t i = 1; i <= 100; i++) {
            struct pw_index_entry *entry = pw_index_find(index, (struct pw_report_key){i, i * 31});

            assert_false(pw_index_is_seen(index, entry));
            if (i == 42)
                continue;
            pw_index_mark_seen(index, entry);
            pw_index_mark_seen(index, entry);
            assert_true(pw_index_is_seen(index, entry));
        }
        cursor = 0;
        unseen = pw_index_next_unseen(index, &cursor);
        assert_non_null(unseen);
        assert_true(unseen->node_id == 42);
        assert_null(pw_index_next_unseen(index, &cursor));
        assert_null(pw_index_next_unseen(index, &cursor));
    }
    /* New in a running sweep is seen; replaced keeps what it was. */
    put(index, (struct pw_report_key){1000, 1}, 1, 1000);
    put(index, (struct pw_report_key){42, UINT64_C(42) * 31}, 2, 42);
    assert_int_equal(count_unseen(index), 1);
    pw_index_begin(index);
    assert_int_equal(count_unseen(index), 101);
    pw_index_free(index);
}

static void test_where_the_stored_content_was_shown(void **state)
{
    struct pw_index *index = pw_index_new();
    struct pw_report_key key = {7, 7};
    struct pw_index_entry *entry;

    (void)state;
    put(index, key, 1, 1);
    entry = pw_index_find(index, key);
    pw_index_begin(index);
    pw_index_mark_seen(index, entry); /* with other content */
    assert_int_equal(entry->shown_at, 0);
    pw_index_mark_shown(index, entry, 9);
    pw_index_mark_shown(index, entry, 3); /* the last page counts, in whatever order they come */
    pw_index_mark_seen(index, entry);
    assert_int_equal(entry->shown_at, 9);
    pw_index_begin(index);
    assert_false(pw_index_is_seen(index, entry));
    pw_index_mark_seen(index, entry);
    assert_int_equal(entry->shown_at, 0);
    pw_index_mark_shown(index, entry, PW_INDEX_MAX_PAGE);
    assert_int_equal(entry->shown_at, PW_INDEX_MAX_PAGE);
    pw_index_free(index);
}

static void test_numbers_of_sweeps_begin_anew(void **state)
{
    struct pw_index *index = pw_index_new();
    struct pw_report_key key = {7, 7};

    (void)state;
    put(index, key, 1, 1);
    for (int sweep = 0; sweep < 5000; sweep++) {
        pw_index_begin(index);
        assert_int_equal(count_unseen(index), 1);
        if (sweep % 3 != 0)
            pw_index_mark_seen(index, pw_index_find(index, key));
    }
    pw_index_free(index);
}

static void test_restless_survives_sweeps_and_growth(void **state)
{
    struct pw_index *index = pw_index_new();
    struct pw_report_key key = {7, 7};

    (void)state;
    assert_int_equal(pw_index_put(index, key, 1, 1, true), PW_OK);
    for (uint64_t i = 1; i < 5000; i++) {
        put(index, (struct pw_report_key){i << 20, i}, i, 2);
        if (i % 1000 == 0)
            pw_index_begin(index);
    }
    assert_true(pw_index_find(index, key)->restless);
    pw_index_mark_seen(index, pw_index_find(index, key));
    assert_true(pw_index_find(index, key)->restless);
    pw_index_find(index, key)->restless = 0;
    assert_false(pw_index_find(index, key)->restless);
    assert_true(pw_index_is_seen(index, pw_index_find(index, key)));
    pw_index_free(index);
}

/* The slow twin: one place for each of the keys that the test uses. */
enum { KEYS = 1500 };
struct twin {
    bool present, seen, restless;
    uint64_t digest;
    uint32_t node_id;
};

static struct pw_report_key key_of(size_t i, unsigned shape)
{
    uint64_t seed = i;

    if (shape == 0)
        return (struct pw_report_key){next_random(&seed), next_random(&seed)};
    if (shape == 1) /* a few homes for many keys, at the end of the table too */
        return (struct pw_report_key){(uint64_t)(i % 7), ((uint64_t)i << 40) | 0xFFFF};
    return (struct pw_report_key){i + 1, i + 1}; /* one home for all */
}

static void check_all(struct pw_index *index, const struct twin *twins, unsigned shape)
{
    size_t count = 0, unseen = 0;

    for (size_t i = 0; i < KEYS; i++) {
        const struct pw_index_entry *entry = pw_index_find(index, key_of(i, shape));

        assert_int_equal(entry != NULL, twins[i].present);
        if (entry == NULL)
            continue;
        count++;
        unseen += !twins[i].seen;
        assert_true(entry->digest == twins[i].digest && entry->node_id == twins[i].node_id);
        assert_int_equal(entry->restless, twins[i].restless);
        assert_int_equal(pw_index_is_seen(index, entry), twins[i].seen);
    }
    assert_int_equal(pw_index_count(index), count);
    assert_int_equal(count_unseen(index), unseen);
}

static void run_against_twin(unsigned shape, size_t keys, int operations)
{
    struct pw_index *index = pw_index_new();
    struct twin *twins = calloc(KEYS, sizeof *twins);
    uint64_t seed = 4711 + shape;

    assert_non_null(twins);
    pw_index_begin(index);
    for (int n = 0; n < operations; n++) {
        uint64_t random = next_random(&seed);
        size_t i = (size_t)(random >> 32) % keys;
        struct twin *twin = &twins[i];
        struct pw_report_key key = key_of(i, shape);
        struct pw_index_entry *entry;
        /* Times of growth and times of shrinking take turns. */
        unsigned puts = n / 5000 % 2 == 0 ? 50 : 25;

        if (random % 100 < puts) {
            twin->seen = twin->present ? twin->seen : true;
            twin->present = true;
            twin->digest = random;
            twin->node_id = (uint32_t)random;
            twin->restless = random >> 63;
            assert_int_equal(pw_index_put(index, key, twin->digest, twin->node_id, twin->restless),
                             PW_OK);
        } else if (random % 100 < 75) {
            twin->present = twin->seen = false;
            pw_index_remove(index, key);
        } else {
            entry = pw_index_find(index, key);
            assert_int_equal(entry != NULL, twin->present);
            if (entry != NULL) {
                assert_true(entry->digest == twin->digest);
                pw_index_mark_seen(index, entry);
                twin->seen = true;
            }
        }
        if (random % 3001 == 0) {
            pw_index_begin(index);
            for (size_t j = 0; j < KEYS; j++)
                twins[j].seen = false;
        }
        if (n % 2500 == 0)
            check_all(index, twins, shape);
    }
    check_all(index, twins, shape);
    for (size_t i = 0; i < KEYS; i++)
        pw_index_remove(index, key_of(i, shape));
    assert_int_equal(pw_index_count(index), 0);
    assert_int_equal(count_unseen(index), 0);
    free(twins);
    pw_index_free(index);
}

static void test_random_operations(void **state)
{
    (void)state;
    run_against_twin(0, KEYS, 200000);
}

static void test_random_operations_with_keys_that_collide(void **state)
{
    (void)state;
    run_against_twin(1, 200, 30000);
    run_against_twin(2, 45, 30000);
    run_against_twin(2, 48, 30000); /* as full as it gets */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_put_find_replace_remove),
        cmocka_unit_test(test_sweeps),
        cmocka_unit_test(test_where_the_stored_content_was_shown),
        cmocka_unit_test(test_numbers_of_sweeps_begin_anew),
        cmocka_unit_test(test_restless_survives_sweeps_and_growth),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_random_operations_with_keys_that_collide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
