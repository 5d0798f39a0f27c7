/* Small JSON documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"

static enum pw_status parse(struct pw_json_reader *reader, const char *text, struct pw_error *err)
{
    /* A block of exactly its size: AddressSanitizer sees who reads beyond. */
    size_t len = strlen(text);
    char *block = malloc(len > 0 ? len : 1);
    enum pw_status status;

    assert_non_null(block);
    memcpy(block, text, len);
    status = pw_json_reader_parse(reader, (struct pw_str){block, len}, false, err);
    free(block);
    return status;
}

static void must_parse(struct pw_json_reader *reader, const char *text)
{
    struct pw_error err;

    if (parse(reader, text, &err) != PW_OK)
        fail_msg("%s: %s", text, err.message);
}

static void test_paths(void **state)
{
    struct pw_json_reader *reader = pw_json_reader_new();
    int64_t number = 5;

    (void)state;
    must_parse(reader, "{\"token\":{\"expires_at\":\"2026-01-02T15:04:05Z\",\"n\":7,\"z\":null,"
                       "\"big\":18446744073709551615,\"half\":1.5},\"list\":[1]}");
    assert_true(pw_str_is(pw_json_reader_text(reader, "token.expires_at"), "2026-01-02T15:04:05Z"));
    assert_null(pw_json_reader_text(reader, "token").data);
    assert_null(pw_json_reader_text(reader, "token.n").data);
    assert_null(pw_json_reader_text(reader, "token.z").data);
    assert_null(pw_json_reader_text(reader, "token.expires_at.more").data);
    assert_null(pw_json_reader_text(reader, "absent.x").data);
    assert_null(pw_json_reader_text(reader, "").data);
    assert_null(pw_json_reader_text(reader, "list.0").data);
    assert_false(pw_json_reader_number(reader, "token.big", &number));
    assert_false(pw_json_reader_number(reader, "token.half", &number));
    assert_false(pw_json_reader_number(reader, "token.expires_at", &number));
    assert_int_equal(number, 5);
    assert_true(pw_json_reader_number(reader, "token.n", &number));
    assert_int_equal(number, 7);
    pw_json_reader_free(reader);
}

static void test_bad_documents(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "{\"a\":}",
                                      "nonsense",
                                      "{} {}",
                                      "[1,]",
                                      "\"\xff\"",
                                      "{\"a\" 1}",
                                      "\xef\xbb",
                                      "<html>",
                                      "{\"a\":\""
                                      "secret-horse"
                                      "\""};
    struct pw_json_reader *reader = pw_json_reader_new();

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pw_error err = {.status = PW_OK};

        must_parse(reader, "{\"a\":\"old\"}");
        assert_int_equal(parse(reader, bad[i], &err), PW_EFORMAT);
        assert_null(strstr(err.message, "horse"));
        assert_null(pw_json_reader_text(reader, "a").data); /* nor the document before it */
    }
    pw_json_reader_free(reader);
}

static void test_limits(void **state)
{
    struct pw_json_reader *reader = pw_json_reader_new();
    size_t len = PW_JSON_READER_MAX_BYTES;
    char *text = malloc(len + 2), *nested = malloc(4001);
    struct pw_error err;

    (void)state;
    memset(text, ' ', len + 1);
    text[len + 1] = '\0';
    text[0] = '{';
    text[len - 1] = '}';
    assert_int_equal(pw_json_reader_parse(reader, (struct pw_str){text, len}, false, &err), PW_OK);
    assert_int_equal(pw_json_reader_parse(reader, (struct pw_str){text, len + 1}, false, &err),
                     PW_ELIMIT);
    memset(nested, '[', 2000);
    memset(nested + 2000, ']', 2000);
    nested[4000] = '\0';
    assert_int_equal(parse(reader, nested, &err), PW_EFORMAT);
    free(text);
    free(nested);
    pw_json_reader_free(reader);
}

static void test_padded(void **state)
{
    struct pw_json_reader *reader = pw_json_reader_new();
    char block[7 + PW_JSON_READER_PADDING] = "{\"a\":\"b\"}";
    struct pw_error err;

    (void)state;
    assert_int_equal(pw_json_reader_parse(reader, (struct pw_str){block, 9}, true, &err), PW_OK);
    memset(block, 0, sizeof block); /* the body may go */
    assert_true(pw_str_is(pw_json_reader_text(reader, "a"), "b"));
    pw_json_reader_free(reader);
}

static void test_wipe(void **state)
{
    struct pw_json_reader *reader = pw_json_reader_new();

    (void)state;
    pw_json_reader_wipe(reader); /* before any document */
    must_parse(reader, "{\"a\":\"b\"}");
    pw_json_reader_wipe(reader);
    assert_null(pw_json_reader_text(reader, "a").data);
    must_parse(reader, "{\"a\":\"c\"}");
    assert_true(pw_str_is(pw_json_reader_text(reader, "a"), "c"));
    pw_json_reader_free(reader);
    pw_json_reader_free(NULL);
}

struct seen {
    char text[512];
    size_t stop_after;
};

static bool note(void *context, const struct pw_json_member *member)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    (void)snprintf(seen->text + used, sizeof seen->text - used, "%zu/%u %.*s=%.*s%s;",
                   member->object, member->depth, PW_STR_ARG(member->key), PW_STR_ARG(member->text),
                   member->is_number ? "#" : "");
    return seen->stop_after == 0 || --seen->stop_after > 0;
}

static void test_walk(void **state)
{
    struct pw_json_reader *reader = pw_json_reader_new();
    struct seen seen = {.text = ""};

    (void)state;
    must_parse(reader, "{\"in\":{\"x\":1,\"deep\":{\"y\":2}},\"a\":\"A\",\"t\":true,\"n\":null,"
                       "\"l\":[{\"z\":-3.5},4],\"e\":\"\"}");
    pw_json_reader_walk(reader, 9, note, &seen);
    assert_string_equal(seen.text, "0/0 a=A;0/0 e=;1/1 x=1#;2/2 y=2#;3/2 z=-3.5#;");
    seen.text[0] = '\0';
    pw_json_reader_walk(reader, 1, note, &seen);
    assert_string_equal(seen.text, "0/0 a=A;0/0 e=;1/1 x=1#;");
    seen = (struct seen){.stop_after = 2};
    pw_json_reader_walk(reader, 9, note, &seen);
    assert_string_equal(seen.text, "0/0 a=A;0/0 e=;");
    seen = (struct seen){.stop_after = 0};
    must_parse(reader, "[{\"a\":18446744073709551615}]");
    pw_json_reader_walk(reader, 9, note, &seen);
    assert_string_equal(seen.text, "0/1 a=18446744073709551615#;");
    pw_json_reader_wipe(reader);
    seen.text[0] = '\0';
    pw_json_reader_walk(reader, 9, note, &seen);
    assert_string_equal(seen.text, "");
    pw_json_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),  cmocka_unit_test(test_bad_documents),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_padded),
        cmocka_unit_test(test_wipe),   cmocka_unit_test(test_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
