/* Views of strings, durations, numbers, patterns, and what is shown of hostile text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static struct pw_str bytes(const char *data, size_t len)
{
    return (struct pw_str){data, len};
}

static void test_null_is_not_empty(void **state)
{
    char *copy;

    (void)state;
    assert_true(pw_str_empty(PW_STR_NULL));
    assert_true(pw_str_empty(pw_str_of("")));
    assert_false(pw_str_empty(pw_str_of("x")));
    assert_true(pw_str_eq(PW_STR_NULL, pw_str_of(NULL)));
    assert_false(pw_str_eq(PW_STR_NULL, pw_str_of("")));
    assert_true(pw_str_eq(pw_str_of("ab"), bytes("abc", 2)));
    assert_false(pw_str_eq(pw_str_of("ab"), pw_str_of("abc")));
    assert_false(pw_str_eq(bytes("a\0b", 3), bytes("a\0c", 3)));
    assert_false(pw_str_is(PW_STR_NULL, ""));
    assert_true(pw_str_is(pw_str_of(""), ""));
    assert_false(pw_str_is(bytes("ab\0", 3), "ab"));
    copy = pw_str_dup(PW_STR_NULL);
    assert_string_equal(copy, "");
    free(copy);
    copy = pw_str_dup(bytes("abcdef", 3));
    assert_string_equal(copy, "abc");
    free(copy);
}

static void test_durations_that_are_right(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"0", 0},
                {"0s", 0},
                {"250ms", 250},
                {"15m", 900000},
                {"10 s", 10000},
                {"1h30m", 5400000},
                {"1h 30m", 5400000},
                {"7d", 604800000},
                {"2w", 1209600000},
                {"400d", INT64_C(34560000000)},
                {"1d1h1m1s1ms", 90061001},
                {"9223372036854775807ms", INT64_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = -1;

        assert_int_equal(pw_parse_duration_ms(rows[i].text, &ms, NULL), PW_OK);
        assert_true(ms == rows[i].ms);
    }
}

static void test_durations_that_are_wrong(void **state)
{
    static const char *const rows[] = {"", " ", "15", "m", "-5m", "1.5h", "15M", "15min", "15m,",
                                       "1h30", " 15m", "15 ", "+5m", "0x1s", "5m\n", "1y", "5m-3",
                                       "5m junk", "\xd9\xa5m",
                                       /* just beyond 63 bits: the number, the product, the sum */
                                       "9223372036854775808ms", "9223372036854776s",
                                       "9223372036854775807ms1ms", "99999999999999999999w"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = 77;
        struct pw_error err = {PW_OK, ""};

        assert_int_equal(pw_parse_duration_ms(rows[i], &ms, &err), PW_EINVAL);
        assert_true(ms == 77);
        assert_int_equal(err.status, PW_EINVAL);
        assert_non_null(strstr(err.message, "15m"));
    }
}

static void test_durations_as_people_write_them(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},
                {-1, "0s"},
                {INT64_MIN, "0s"},
                {1, "1ms"},
                {999, "999ms"},
                {1500, "1s500ms"},
                {60000, "1m"},
                {90000, "1m30s"},
                {900000, "15m"},
                {3600000, "1h"},
                {3661000, "1h1m"},
                {3601000, "1h"},
                {86400000, "1d"},
                {INT64_C(34560000000), "400d"},
                {INT64_MAX, "106751991167d7h"}};
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(pw_duration_text(out, sizeof out, rows[i].ms), rows[i].text);
    /* Where the second unit does not fit it is left out whole: "1m3" would be another time. */
    assert_string_equal(pw_duration_text(out, 5, 90000), "1m");
    assert_string_equal(pw_duration_text(out, 6, 90000), "1m30s");
    assert_string_equal(pw_duration_text(out, 1, 90000), "");
}

static void test_whole_numbers(void **state)
{
    static const char *const wrong[] = {"",
                                        " 5",
                                        "5 ",
                                        "+5",
                                        "\t5",
                                        "\n5",
                                        "\v5",
                                        "0x5",
                                        "5.0",
                                        "5e1",
                                        "--5",
                                        "11",
                                        "-11",
                                        "-",
                                        "abc",
                                        "9223372036854775808",
                                        "-9223372036854775809"};
    int64_t value = 77;
    struct pw_error err = {PW_OK, ""};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(pw_parse_int(wrong[i], -10, 10, &value, &err), PW_EINVAL);
    assert_true(value == 77);
    assert_non_null(strstr(err.message, "from -10 to 10"));
    assert_int_equal(pw_parse_int("-10", -10, 10, &value, NULL), PW_OK);
    assert_true(value == -10);
    assert_int_equal(pw_parse_int("10", -10, 10, &value, NULL), PW_OK);
    assert_true(value == 10);
    assert_int_equal(pw_parse_int("-9223372036854775808", INT64_MIN, INT64_MAX, &value, NULL),
                     PW_OK);
    assert_true(value == INT64_MIN);
    assert_int_equal(pw_parse_int("9223372036854775807", INT64_MIN, INT64_MAX, &value, NULL),
                     PW_OK);
    assert_true(value == INT64_MAX);
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {{"", "", true},
                {"", NULL, true},
                {"*", NULL, true},
                {"*", "", true},
                {"?", "", false},
                {"", "a", false},
                {"prod-*", "prod-1", true},
                {"prod-*", "xprod-1", false},
                {"prod", "prod-1", false},
                {"*-db", "prod-a-db", true},
                {"web-?", "web-1", true},
                {"web-?", "web-12", false},
                {"web-[0-3]", "web-2", true},
                {"web-[0-3]", "web-4", false},
                {"web-[!0-3]", "web-4", true},
                {"PROD", "prod", false},
                {"a*b", "a/x/b", true},
                {"*", ".hidden", true},
                {"a\\*", "a*", false},
                {"a\\*", "a\\x", true},
                {"[", "[", true}};
    char long_text[1001];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(pw_glob_match(rows[i].pattern, pw_str_of(rows[i].text)), rows[i].matches);
    /* A view need not be terminated. */
    assert_true(pw_glob_match("abc", bytes("abcdef", 3)));
    memset(long_text, 'a', 1000);
    long_text[1000] = '\0';
    for (size_t len = 254; len <= 258; len++) { /* about where the copy moves to the heap */
        assert_true(pw_glob_match("a*a", bytes(long_text, len)));
        assert_false(pw_glob_match("a*b", bytes(long_text, len)));
    }
    /* Many stars over a long text must not take for ever. */
    assert_false(pw_glob_match("*a*a*a*a*a*a*a*a*a*b", bytes(long_text, 1000)));
}

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } rows[] = {{"a", 1},
                {"\xC3\xA4", 2},
                {"\xE2\x82\xAC", 3},
                {"\xF0\x9F\x98\x80", 4},
                {"\x80", 0},     /* a continuation alone */
                {"\xC0\xAF", 0}, /* overlong */
                {"\xC1\xBF", 0},
                {"\xE0\x9F\xBF", 0},
                {"\xF0\x8F\xBF\xBF", 0},
                {"\xED\xA0\x80", 0},     /* a surrogate */
                {"\xED\x9F\xBF", 3},     /* the last before them */
                {"\xF4\x8F\xBF\xBF", 4}, /* U+10FFFF */
                {"\xF4\x90\x80\x80", 0}, /* beyond */
                {"\xF5\x80\x80\x80", 0},
                {"\xFF", 0},
                {"\xE2\x82", 0}, /* cut */
                {"\xE2\x28\xA1", 0},
                {"\xF0\x9F\x28\x80", 0}};

    (void)state;
    assert_int_equal(pw_utf8_length(NULL, 0), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(pw_utf8_length(rows[i].text, strlen(rows[i].text)), rows[i].length);
    assert_int_equal(pw_utf8_length("\0", 1), 1);
}

static void test_hostile_text_is_shown_harmless(void **state)
{
    char out[128];

    (void)state;
    assert_string_equal(pw_text_printable(out, sizeof out, PW_STR_NULL), "");
    assert_string_equal(pw_text_printable(out, sizeof out, pw_str_of("web-1 ä €")), "web-1 ä €");
    assert_string_equal(pw_text_printable(out, sizeof out, bytes("a\n<3>b\r\0c", 9)),
                        "a\\x0A<3>b\\x0D\\x00c");
    assert_string_equal(pw_text_printable(out, sizeof out, pw_str_of("\x1b[2J\x7f")),
                        "\\x1B[2J\\x7F");
    assert_string_equal(pw_text_printable(out, sizeof out, pw_str_of("\xFFx\xC3")), "\\xFFx\\xC3");
    /* C1 controls are valid UTF-8 and move a terminal's cursor all the same; U+00A0 does not. */
    assert_string_equal(pw_text_printable(out, sizeof out, pw_str_of("\xC2\x9B\xC2\x85\xC2\xA0")),
                        "\\xC2\\x9B\\xC2\\x85\xC2\xA0");
}

static void test_cuts(void **state)
{
    static const char mixed[] = "ab\n\xC3\xA4\xF0\x9F\x98\x80\xFF"
                                "cdefgh";
    char out[128];

    (void)state;
    assert_string_equal(pw_text_printable(out, 8, pw_str_of("abcdefg")), "abcdefg");
    assert_string_equal(pw_text_printable(out, 7, pw_str_of("abcdefg")), "abc…");
    assert_string_equal(pw_text_printable(out, 4, pw_str_of("abcdefg")), "…");
    assert_string_equal(pw_text_printable(out, 3, pw_str_of("abcdefg")), "");
    assert_string_equal(pw_text_printable(out, 3, pw_str_of("ab")), "ab");
    assert_string_equal(pw_text_printable(out, 1, pw_str_of("a")), "");
    /* No size writes beyond itself, cuts a character in two or drops text without a sign. */
    for (size_t size = 1; size < sizeof out; size++) {
        char *room = malloc(size); /* the sanitizer watches its ends */
        size_t len;

        assert_non_null(room);
        (void)pw_text_printable(room, size, bytes(mixed, sizeof mixed - 1));
        len = strlen(room);
        assert_true(len < size);
        for (size_t i = 0; i < len;) {
            size_t n = pw_utf8_length(room + i, len - i);

            assert_true(n > 0);
            i += n;
        }
        if (size >= 4 && strcmp(room, "ab\\x0A\xC3\xA4\xF0\x9F\x98\x80\\xFF"
                                      "cdefgh") != 0)
            assert_string_equal(room + len - 3, "…");
        free(room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_is_not_empty),
        cmocka_unit_test(test_durations_that_are_right),
        cmocka_unit_test(test_durations_that_are_wrong),
        cmocka_unit_test(test_durations_as_people_write_them),
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_hostile_text_is_shown_harmless),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
