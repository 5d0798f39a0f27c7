/* The capped buffer: its limit, its sticky failure, and who owns the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

static void test_empty(void **state)
{
    struct pw_buffer buffer;
    char *taken;

    (void)state;
    pw_buffer_init(&buffer, 10);
    assert_null(buffer.data);
    assert_int_equal(pw_buffer_str(&buffer).len, 0);
    assert_non_null(pw_buffer_str(&buffer).data); /* empty, not null */
    taken = pw_buffer_take(&buffer);
    assert_string_equal(taken, "");
    free(taken);
    pw_buffer_free(&buffer);
    pw_buffer_free(&buffer); /* twice does no harm */
}

static void test_the_limit_is_exact(void **state)
{
    static const size_t limits[] = {0, 1, 10, 255, 256, 257, 511, 512, 1000, 4096};

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct pw_buffer buffer;

        pw_buffer_init(&buffer, limits[i]);
        for (size_t n = 0; n < limits[i]; n++)
            assert_int_equal(pw_buffer_append(&buffer, "x", 1), PW_OK);
        assert_int_equal(buffer.len, limits[i]);
        assert_true(buffer.capacity <= limits[i] + 1 || buffer.capacity == 0);
        assert_int_equal(pw_buffer_append(&buffer, "", 0), PW_OK);
        assert_int_equal(pw_buffer_append(&buffer, "y", 1), PW_ELIMIT);
        assert_int_equal(buffer.len, limits[i]);
        if (limits[i] > 0)
            assert_int_equal(strlen(buffer.data), limits[i]);
        pw_buffer_free(&buffer);

        /* The same in one piece. */
        pw_buffer_init(&buffer, limits[i]);
        assert_int_equal(pw_buffer_reserve(&buffer, limits[i]), PW_OK);
        assert_int_equal(pw_buffer_reserve(&buffer, limits[i] + 1), PW_ELIMIT);
        pw_buffer_free(&buffer);
    }
}

static void test_a_size_near_the_end_of_memory(void **state)
{
    struct pw_buffer buffer;

    (void)state;
    pw_buffer_init(&buffer, 100);
    assert_int_equal(pw_buffer_append_text(&buffer, "abc"), PW_OK);
    assert_int_equal(pw_buffer_reserve(&buffer, SIZE_MAX), PW_ELIMIT);
    assert_string_equal(buffer.data, "abc");
    pw_buffer_free(&buffer);
}

static void test_failure_is_sticky(void **state)
{
    struct pw_buffer buffer;

    (void)state;
    pw_buffer_init(&buffer, 5);
    assert_int_equal(pw_buffer_append_text(&buffer, "abc"), PW_OK);
    assert_int_equal(pw_buffer_append_text(&buffer, "def"), PW_ELIMIT);
    /* Each of these would fit, but what was lost before them would go unnoticed. */
    assert_int_equal(pw_buffer_append_text(&buffer, "d"), PW_ELIMIT);
    assert_int_equal(pw_buffer_append(&buffer, NULL, 0), PW_ELIMIT);
    assert_int_equal(pw_buffer_printf(&buffer, "%d", 1), PW_ELIMIT);
    assert_int_equal(pw_buffer_reserve(&buffer, 0), PW_ELIMIT);
    assert_string_equal(buffer.data, "abc");
    assert_null(pw_buffer_take(&buffer));
    /* After take it is as new, with the same limit. */
    assert_int_equal(pw_buffer_append_text(&buffer, "12345"), PW_OK);
    assert_int_equal(pw_buffer_append_text(&buffer, "6"), PW_ELIMIT);
    pw_buffer_clear(&buffer);
    assert_int_equal(buffer.failed, PW_OK);
    assert_int_equal(buffer.len, 0);
    assert_string_equal(buffer.data, "");
    assert_int_equal(pw_buffer_append_text(&buffer, "abcde"), PW_OK);
    assert_string_equal(buffer.data, "abcde");
    pw_buffer_free(&buffer);
    assert_int_equal(buffer.max_bytes, 5);
}

static void test_take_hands_the_bytes_over(void **state)
{
    struct pw_buffer buffer;
    char *first, *second;

    (void)state;
    pw_buffer_init(&buffer, 100);
    assert_int_equal(pw_buffer_append_text(&buffer, "one"), PW_OK);
    first = pw_buffer_take(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.len, 0);
    assert_int_equal(pw_buffer_append_text(&buffer, "two"), PW_OK);
    second = pw_buffer_take(&buffer);
    assert_string_equal(first, "one");
    assert_string_equal(second, "two");
    free(first);
    free(second);
}

static void test_every_kind_of_append(void **state)
{
    struct pw_buffer buffer;

    (void)state;
    pw_buffer_init(&buffer, 10000);
    assert_int_equal(pw_buffer_append_str(&buffer, PW_STR_NULL), PW_OK);
    assert_int_equal(pw_buffer_append_str(&buffer, (struct pw_str){"abcdef", 2}), PW_OK);
    assert_int_equal(pw_buffer_append_text(&buffer, "-"), PW_OK);
    assert_int_equal(pw_buffer_append(&buffer, "\0z", 2), PW_OK);
    assert_int_equal(pw_buffer_printf(&buffer, "%s", ""), PW_OK);
    assert_int_equal(pw_buffer_printf(&buffer, "%04d|%s", 7, "x"), PW_OK);
    assert_int_equal(buffer.len, 11);
    assert_memory_equal(buffer.data, "ab-\0z0007|x", 12); /* and the final NUL */
    assert_int_equal(pw_buffer_str(&buffer).len, 11);
    assert_int_equal(pw_buffer_printf(&buffer, "%5000d", 1), PW_OK);
    assert_int_equal(buffer.len, 5011);
    assert_int_equal(strlen(buffer.data + 11), 5000);
    pw_buffer_free(&buffer);
}

static void test_printf_at_the_limit(void **state)
{
    struct pw_buffer buffer;

    (void)state;
    pw_buffer_init(&buffer, 5);
    assert_int_equal(pw_buffer_printf(&buffer, "%s", "12345"), PW_OK);
    assert_string_equal(buffer.data, "12345");
    pw_buffer_clear(&buffer);
    assert_int_equal(pw_buffer_printf(&buffer, "%s", "123456"), PW_ELIMIT);
    assert_int_equal(buffer.len, 0); /* all or nothing */
    assert_string_equal(buffer.data, "");
    pw_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_the_limit_is_exact),
        cmocka_unit_test(test_a_size_near_the_end_of_memory),
        cmocka_unit_test(test_failure_is_sticky),
        cmocka_unit_test(test_take_hands_the_bytes_over),
        cmocka_unit_test(test_every_kind_of_append),
        cmocka_unit_test(test_printf_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
