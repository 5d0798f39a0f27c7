/* The check that says where a text stops being JSON, beside the parser that decides elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "alert/template_parts.h"
#include "base/json_reader.h"

static void test_places(void **state)
{
    static const struct {
        const char *text;
        size_t at; /* SIZE_MAX = it is JSON */
    } cases[] = {
        {"null", SIZE_MAX},
        {" [1, -2.5e+10, \"a\\u00e9\\n\", {\"k\": [true, false, null]}]\r\n\t", SIZE_MAX},
        {"{}", SIZE_MAX},
        {"[]", SIZE_MAX},
        {"0", SIZE_MAX},
        {"-0.0E-1", SIZE_MAX},
        {"", 0},
        {"  ", 2},
        {"[1,]", 3},
        {"[1 2]", 3},
        {"{\"a\" 1}", 5},
        {"{a: 1}", 1},
        {"{\"a\": 1,}", 8},
        {"01", 1},
        {"1.", 2},
        {"1e", 2},
        {"-", 1},
        {".5", 0},
        {"nul", 3},
        {"nulls", 4},
        {"\"a", 2},
        {"\"a\nb\"", 2},
        {"\"\\x\"", 2},
        {"\"\\u12G4\"", 5},
        {"\"\xff\"", 1},
        {"[1]]", 3},
        {"'a'", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (pw_json_check(pw_str_of(cases[i].text)) != cases[i].at)
            fail_msg("%s: %zu", cases[i].text, pw_json_check(pw_str_of(cases[i].text)));
    }
}

static void test_depth(void **state)
{
    char text[401];

    (void)state;
    memset(text, '[', 200);
    memset(text + 200, ']', 200);
    text[400] = '\0';
    assert_int_equal(pw_json_check(pw_str_of(text)), 64);
    assert_int_equal(pw_json_check((struct pw_str){text + 200 - 64, 128}), SIZE_MAX);
}

/* A document with bytes changed at random is JSON to both or to neither. */
static void test_same_verdict_as_the_parser(void **state)
{
    static const char seed_text[] =
        "{\"a\": [1, -2.5e3, \"x\\u00e9\\\\\", \"\xc3\xa9\"], \"b\": {\"c\": null, \"d\": true}}";
    static const char bytes[] = "{}[]\",:\\u0123456789eE+-. tfn\n\x01\xc3";
    struct pw_json_reader *reader = pw_json_reader_new();
    size_t good = 0, bad = 0;
    unsigned random = 1;

    (void)state;
    assert_non_null(reader);
    for (int i = 0; i < 40000; i++) {
        char text[sizeof seed_text];
        struct pw_error err;
        bool is_json;

        memcpy(text, seed_text, sizeof text);
        for (int n = 0; n < 1 + i % 3; n++) {
            random = random * 1103515245 + 12345;
            size_t at = (random >> 16) % (sizeof text - 1);
            random = random * 1103515245 + 12345;
            text[at] = bytes[(random >> 16) % (sizeof bytes - 1)];
        }
        is_json = pw_json_check((struct pw_str){text, sizeof text - 1}) == SIZE_MAX;
        if (is_json != (pw_json_reader_parse(reader, (struct pw_str){text, sizeof text - 1}, false,
                                             &err) == PW_OK))
            fail_msg("we say %d: %s", is_json, text);
        good += is_json;
        bad += !is_json;
    }
    assert_true(good > 1000 && bad > 1000);
    pw_json_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_same_verdict_as_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
