/* Batches: what they hold is theirs, and says exactly what the page said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compliance/batch.h"

/* Report number n: field i is null, empty or a text of its own. room holds the texts. */
static struct pw_report sample(unsigned n, char room[PW_REPORT_STRING_COUNT][32])
{
    struct pw_report report = {.status = PW_NON_COMPLIANT,
                               .report_time_ms = 1000 + n,
                               .place = n,
                               .rival = n % 2 == 1 ? PW_RIVAL_LATER : PW_RIVAL_NONE};

    for (unsigned i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_str *field = pw_report_string(&report, (int)i);

        (void)snprintf(room[i], 32, "report %u field %u", n, i);
        switch ((n + i) % 3) {
        case 0:
            *field = PW_STR_NULL;
            break;
        case 1:
            *field = pw_str_of("");
            break;
        default:
            *field = pw_str_of(room[i]);
        }
    }
    for (int s = 0; s < PW_SEVERITY_COUNT; s++) {
        report.compliant.by_severity[s] = (int64_t)n * s;
        report.non_compliant.by_severity[s] = PW_COUNT_NONE;
    }
    return report;
}

static void assert_same(struct pw_report *got, struct pw_report *wanted)
{
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++)
        assert_true(pw_str_eq(*pw_report_string(got, i), *pw_report_string(wanted, i)));
    assert_true(pw_report_digest(got) == pw_report_digest(wanted));
    assert_int_equal(got->status, wanted->status);
    assert_int_equal(got->rival, wanted->rival);
    assert_int_equal(got->place, wanted->place);
    assert_true(got->report_time_ms == wanted->report_time_ms);
}

static void add(struct pw_batch *batch, unsigned n)
{
    char room[PW_REPORT_STRING_COUNT][32];
    struct pw_report report = sample(n, room);

    assert_int_equal(pw_batch_add(batch, &report), PW_OK);
    memset(room, '#', sizeof room); /* the page is gone */
}

static void check(struct pw_batch *batch, size_t at, unsigned n)
{
    char room[PW_REPORT_STRING_COUNT][32];
    struct pw_report wanted = sample(n, room);

    assert_same(&batch->reports[at], &wanted);
}

static void test_fields_are_all_different(void **state)
{
    struct pw_report report;

    (void)state;
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_str *field = pw_report_string(&report, i);

        /* The eighteen strings stand side by side, so this finds one that is left out. */
        assert_ptr_equal(field, &report.name + i);
    }
    assert_ptr_equal(pw_report_string(&report, 17), &report.order_id);
    assert_int_equal(offsetof(struct pw_report, status),
                     sizeof(struct pw_str) * PW_REPORT_STRING_COUNT);
}

static void test_copies_are_deep(void **state)
{
    enum { COUNT = 5000 };
    struct pw_batch batch;

    (void)state;
    pw_batch_init(&batch);
    for (unsigned n = 0; n < COUNT; n++)
        add(&batch, n);
    assert_int_equal(batch.count, COUNT);
    for (unsigned n = 0; n < COUNT; n++)
        check(&batch, n, n); /* null, empty and text as they were */
    pw_batch_free(&batch);
    assert_int_equal(batch.count, 0);
    pw_batch_free(&batch);
}

static void test_large_texts(void **state)
{
    enum { LARGE = 300000 };
    char *large = malloc(LARGE);
    static const size_t sizes[] = {0,     1,      65534,  65535, 65536, 65537,
                                   LARGE, 131072, 100000, 3,     LARGE, 65520};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    struct pw_batch batch;

    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)('a' + i % 26);
    pw_batch_init(&batch);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            struct pw_report report = {.name = {large, sizes[i]},
                                       .order_id = {large + LARGE - sizes[i], sizes[i]},
                                       .ip = {"a\0b", 3}};

            assert_int_equal(pw_batch_add(&batch, &report), PW_OK);
        }
        for (size_t i = 0; i < SIZES; i++) {
            const struct pw_report *got = &batch.reports[i];

            assert_int_equal(got->name.len, sizes[i]);
            assert_non_null(got->name.data);
            assert_memory_equal(got->name.data, large, sizes[i]);
            assert_int_equal(got->order_id.len, sizes[i]);
            assert_memory_equal(got->order_id.data, large + LARGE - sizes[i], sizes[i]);
            assert_true(pw_str_eq(got->ip, (struct pw_str){"a\0b", 3}));
            assert_null(got->eip.data);
        }
        pw_batch_clear(&batch);
        assert_int_equal(batch.count, 0);
        assert_int_equal(batch.text_bytes, 0);
    }
    pw_batch_free(&batch);
    free(large);
}

static void test_clear_keeps_memory_for_the_next(void **state)
{
    struct pw_batch batch;
    size_t capacity;

    (void)state;
    pw_batch_init(&batch);
    pw_batch_clear(&batch); /* an empty one too */
    for (unsigned n = 0; n < 1000; n++)
        add(&batch, n);
    capacity = batch.capacity;
    for (unsigned round = 1; round <= 5; round++) {
        pw_batch_clear(&batch);
        for (unsigned n = 0; n < 1000; n++)
            add(&batch, n + round);
        assert_int_equal(batch.count, 1000);
        assert_int_equal(batch.capacity, capacity);
        for (unsigned n = 0; n < 1000; n++)
            check(&batch, n, n + round);
    }
    pw_batch_free(&batch);
}

static void test_move(void **state)
{
    struct pw_batch from, to;

    (void)state;
    pw_batch_init(&from);
    pw_batch_init(&to);
    for (unsigned n = 0; n < 100; n++)
        add(&from, n);
    pw_batch_move(&to, &from);
    assert_int_equal(from.count, 0);
    assert_null(from.reports);
    add(&from, 7); /* both go on by themselves */
    add(&to, 100);
    assert_int_equal(from.count, 1);
    assert_int_equal(to.count, 101);
    pw_batch_free(&from);
    for (unsigned n = 0; n <= 100; n++)
        check(&to, n, n);
    pw_batch_free(&to);
}

static void test_a_report_of_the_same_batch(void **state)
{
    struct pw_batch batch;

    (void)state;
    pw_batch_init(&batch);
    add(&batch, 5);
    for (int i = 0; i < 200; i++) /* across moves of the array that holds the original */
        assert_int_equal(pw_batch_add(&batch, &batch.reports[0]), PW_OK);
    for (size_t i = 0; i < batch.count; i++)
        check(&batch, i, 5);
    pw_batch_free(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_all_different),
        cmocka_unit_test(test_copies_are_deep),
        cmocka_unit_test(test_large_texts),
        cmocka_unit_test(test_clear_keeps_memory_for_the_next),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_a_report_of_the_same_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
