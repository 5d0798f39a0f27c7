/* JSON as written: commas, nesting, escapes, and bytes that are no UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json_writer.h"

struct paper {
    struct pw_buffer buffer;
    struct pw_json json;
};

static int blank(void **state)
{
    static struct paper paper;

    pw_buffer_init(&paper.buffer, 100000);
    pw_json_init(&paper.json, &paper.buffer);
    *state = &paper;
    return 0;
}

static int shred(void **state)
{
    struct paper *paper = *state;

    pw_buffer_free(&paper->buffer);
    return 0;
}

static const char *written(const struct paper *paper)
{
    return pw_buffer_str(&paper->buffer).data;
}

static void test_every_kind_of_value(void **state)
{
    struct paper *paper = *state;
    struct pw_json *json = &paper->json;

    pw_json_object_begin(json);
    pw_json_key(json, "a");
    pw_json_int(json, INT64_MIN);
    pw_json_key(json, "b");
    pw_json_int(json, INT64_MAX);
    pw_json_key(json, "c");
    pw_json_bool(json, true);
    pw_json_key(json, "d");
    pw_json_bool(json, false);
    pw_json_key(json, "e");
    pw_json_null(json);
    pw_json_key(json, "f");
    pw_json_str(json, PW_STR_NULL);
    pw_json_key(json, "g");
    pw_json_str(json, pw_str_of(""));
    pw_json_key(json, "h");
    pw_json_text(json, NULL);
    pw_json_key(json, "i");
    pw_json_raw(json, pw_str_of("{\"x\":1}"));
    pw_json_key(json, "j");
    pw_json_text(json, "t");
    pw_json_object_end(json);
    assert_string_equal(written(paper),
                        "{\"a\":-9223372036854775808,\"b\":9223372036854775807,\"c\":true,"
                        "\"d\":false,\"e\":null,\"f\":null,\"g\":\"\",\"h\":null,"
                        "\"i\":{\"x\":1},\"j\":\"t\"}");
}

static void test_commas_in_nests(void **state)
{
    struct paper *paper = *state;
    struct pw_json *json = &paper->json;

    pw_json_array_begin(json);
    pw_json_array_begin(json);
    pw_json_array_end(json);
    pw_json_object_begin(json);
    pw_json_object_end(json);
    pw_json_int(json, 1);
    pw_json_array_begin(json);
    pw_json_int(json, 2);
    pw_json_object_begin(json);
    pw_json_key(json, "k");
    pw_json_array_begin(json);
    pw_json_null(json);
    pw_json_text(json, "x");
    pw_json_array_end(json);
    pw_json_key(json, "l");
    pw_json_object_begin(json);
    pw_json_key(json, "m");
    pw_json_bool(json, true);
    pw_json_object_end(json);
    pw_json_object_end(json);
    pw_json_array_end(json);
    pw_json_raw(json, pw_str_of("3"));
    pw_json_array_end(json);
    assert_string_equal(written(paper), "[[],{},1,[2,{\"k\":[null,\"x\"],\"l\":{\"m\":true}}],3]");
}

static void test_deep_nests(void **state)
{
    struct paper *paper = *state;
    const char *text;

    for (int i = 0; i < 1000; i++)
        pw_json_array_begin(&paper->json);
    for (int i = 0; i < 1000; i++)
        pw_json_array_end(&paper->json);
    text = written(paper);
    assert_int_equal(strlen(text), 2000);
    assert_int_equal(strspn(text, "["), 1000);
    assert_int_equal(strspn(text + 1000, "]"), 1000);
}

static void test_escapes(void **state)
{
    struct paper *paper = *state;

    pw_json_str(&paper->json, (struct pw_str){"\"\\/\n\r\t\b\f\x01\x1F\x7F\0z", 13});
    assert_string_equal(written(paper), "\"\\\"\\\\/\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\\u007f"
                                        "\\u0000z\"");
}

static void test_every_byte_alone(void **state)
{
    struct paper *paper = *state;

    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        char expected[16];

        pw_buffer_clear(&paper->buffer);
        pw_json_init(&paper->json, &paper->buffer);
        pw_json_str(&paper->json, (struct pw_str){&byte, 1});
        if (c >= 0x80)
            (void)snprintf(expected, sizeof expected, "\"\\ufffd\"");
        else if (c == '\n' || c == '\r' || c == '\t')
            (void)snprintf(expected, sizeof expected, "\"\\%c\"",
                           c == '\n'   ? 'n'
                           : c == '\r' ? 'r'
                                       : 't');
        else if (c == '"' || c == '\\')
            (void)snprintf(expected, sizeof expected, "\"\\%c\"", c);
        else if (c < 0x20 || c == 0x7F)
            (void)snprintf(expected, sizeof expected, "\"\\u%04x\"", (unsigned)c);
        else
            (void)snprintf(expected, sizeof expected, "\"%c\"", c);
        assert_string_equal(written(paper), expected);
    }
}

static void test_utf8_stays_and_what_is_none_does_not(void **state)
{
    struct paper *paper = *state;
    struct pw_json *json = &paper->json;

    pw_json_array_begin(json);
    pw_json_text(json, "ä€😀");
    pw_json_text(json, "\xC3");                 /* cut */
    pw_json_text(json, "a\xC3(b");              /* a lead without its follower */
    pw_json_text(json, "\xED\xA0\x80");         /* a surrogate */
    pw_json_text(json, "\xC0\xA2");             /* an overlong quote */
    pw_json_text(json, "\xF4\x90\x80\x80.");    /* beyond U+10FFFF */
    pw_json_str(json, (struct pw_str){"€", 2}); /* a view that ends within */
    pw_json_array_end(json);
    assert_string_equal(written(paper), "[\"ä€😀\",\"\\ufffd\",\"a\\ufffd(b\","
                                        "\"\\ufffd\\ufffd\\ufffd\",\"\\ufffd\\ufffd\","
                                        "\"\\ufffd\\ufffd\\ufffd\\ufffd.\",\"\\ufffd\\ufffd\"]");
}

static void test_keys_are_escaped_too(void **state)
{
    struct paper *paper = *state;

    pw_json_object_begin(&paper->json);
    pw_json_key(&paper->json, "a\"b\n");
    pw_json_int(&paper->json, 1);
    pw_json_object_end(&paper->json);
    assert_string_equal(written(paper), "{\"a\\\"b\\n\":1}");
}

static void test_failure_is_the_buffers(void **state)
{
    struct pw_buffer small;
    struct pw_json json;

    (void)state;
    pw_buffer_init(&small, 8);
    pw_json_init(&json, &small);
    pw_json_array_begin(&json);
    pw_json_text(&json, "0123456789");
    pw_json_int(&json, 1);
    pw_json_array_end(&json);
    assert_int_equal(small.failed, PW_ELIMIT);
    assert_null(pw_buffer_take(&small));
    pw_buffer_free(&small);
}

#define WITH_PAPER(test) cmocka_unit_test_setup_teardown(test, blank, shred)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAPER(test_every_kind_of_value),
        WITH_PAPER(test_commas_in_nests),
        WITH_PAPER(test_deep_nests),
        WITH_PAPER(test_escapes),
        WITH_PAPER(test_every_byte_alone),
        WITH_PAPER(test_utf8_stays_and_what_is_none_does_not),
        WITH_PAPER(test_keys_are_escaped_too),
        cmocka_unit_test(test_failure_is_the_buffers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
