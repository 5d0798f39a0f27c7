/* Bodies that are no pages: cut, nested, rubbish, of the wrong kind, or an error in disguise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bodies.h"

static int setup(void **state)
{
    static struct decoded decoded;

    decoded_open(&decoded);
    *state = &decoded;
    return 0;
}

static int teardown(void **state)
{
    decoded_close(*state);
    return 0;
}

/* Cut at any byte it is an error, but where only white space is missing it is the whole. */
static void test_truncated(void **state)
{
    struct decoded *d = *state;
    struct body whole = body_file("document-sample.json");
    size_t full = whole.len;

    while (full > 0 && whole.block[full - 1] != '}')
        full--;
    for (size_t len = 0; len <= whole.len; len++) {
        enum pw_status status = decode(d, body_of(whole.block, len));

        assert_int_equal(status, len >= full ? PW_OK : PW_EFORMAT);
        if (status == PW_OK)
            assert_str(d->page.reports[0].status_text, "non_compliant");
    }
    body_free(&whole);
}

/* Any single byte replaced: a page, an error, but no crash, and never a status of its own. */
static void test_spoiled(void **state)
{
    static const char bytes[] = {'\0', '"', '{', ']', ',', '\\', '9', '\x80'};
    struct decoded *d = *state;
    struct body whole = body_file("document-sample.json");

    for (size_t i = 0; i < whole.len; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            char kept = whole.block[i];

            whole.block[i] = bytes[k];
            if (decode(d, body_of(whole.block, whole.len)) == PW_OK && d->page.count == 1)
                assert_int_not_equal(d->page.reports[0].status, PW_COMPLIANT);
            whole.block[i] = kept;
        }
    }
    body_free(&whole);
}

static void test_nested(void **state)
{
    enum { DEPTH = 20000 };
    static const char *const open[] = {"[", "{\"a\":", "{\"instance_compliant\":["};
    struct decoded *d = *state;

    for (int i = 0; i < 3; i++) {
        size_t one = strlen(open[i]);
        char *text = malloc(DEPTH * one + 1);

        assert_non_null(text);
        for (size_t k = 0; k < DEPTH; k++)
            memcpy(text + k * one, open[i], one);
        assert_int_equal(decode(d, body_of(text, DEPTH * one)), PW_EFORMAT);
        free(text);
    }
}

/* A short body must not cost a long allocation: over a gigabyte of reports for 8 MiB of "{},". */
static void test_too_many_records(void **state)
{
    static const char head[] = "{\"count\":10001,\"instance_compliant\":[{}";
    struct decoded *d = *state;
    char *text = malloc(sizeof head + (size_t)3 * 10000 + 2);

    assert_non_null(text);
    strcpy(text, head);
    for (int i = 0; i < 9999; i++)
        strcpy(text + sizeof head - 1 + (size_t)3 * (size_t)i, ",{}");
    strcpy(text + sizeof head - 1 + (size_t)3 * 9999, "]}");
    assert_int_equal(decode_text(d, text), PW_OK);
    assert_int_equal(d->page.count, 10000);
    strcpy(text + sizeof head - 1 + (size_t)3 * 9999, ",{}]}");
    assert_int_equal(decode_text(d, text), PW_EFORMAT);
    assert_non_null(strstr(d->error.message, "over 10000 records"));
    free(text);
}

static void test_rubbish(void **state)
{
    static const char *const bodies[] = {"",
                                         " ",
                                         "null",
                                         "true",
                                         "1",
                                         "\"{}\"",
                                         "[]",
                                         "[{}]",
                                         "{",
                                         "}",
                                         "{}{}",
                                         "{} x",
                                         "{'count':1}",
                                         "OK",
                                         "{,}",
                                         "\xEF\xBB",
                                         "{\"a\":1,}",
                                         "\x1f\x8b\x08",
                                         "{\"count\":01}",
                                         "NaN",
                                         "{\"count\":NaN,\"instance_compliant\":[]}",
                                         "{\"count\":1,\"instance_compliant\":[{}]} {\"count\":1}"};
    struct decoded *d = *state;
    struct body zeros = {calloc(1, 4096 + PW_PAGE_PADDING), 4096};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        if (decode_text(d, bodies[i]) != PW_EFORMAT)
            fail_msg("'%s' was taken", bodies[i]);
    }
    assert_int_equal(decode_file(d, "login-page.html"), PW_EFORMAT);
    assert_int_equal(decode(d, zeros), PW_EFORMAT);
    /* It recovers from all of that. */
    assert_int_equal(decode_file(d, "document-sample.json"), PW_OK);
    assert_int_equal(d->page.count, 1);
}

static void test_error_under_200(void **state)
{
    struct decoded *d = *state;
    struct pw_str text;

    assert_int_equal(decode_file(d, "error-under-200.json"), PW_EREMOTE);
    assert_str(d->api_error.code, "COC.00000400");
    assert_str(d->api_error.message, "The request is wrong.");
    assert_str(d->api_error.request_id, "r-1");
    assert_non_null(strstr(d->error.message, "COC.00000400"));

    /* With a page beside it, it is an error still: no record of it counts. */
    assert_int_equal(decode_text(d, "{\"error_code\":\"COC.1\",\"count\":1,"
                                    "\"instance_compliant\":[{\"status\":\"compliant\"}]}"),
                     PW_EREMOTE);
    text = d->api_error.message;
    assert_str(text, NULL);

    assert_int_equal(decode_file(d, "success-code.json"), PW_OK);
    assert_int_equal(d->page.count, 1);
    assert_int_equal(decode_text(d, "{\"error_code\":\"0\",\"count\":0,\"instance_compliant\":[]}"),
                     PW_OK);
    assert_int_equal(decode_text(d, "{\"error_code\":null,\"count\":0,\"instance_compliant\":[]}"),
                     PW_OK);
    assert_int_equal(decode_text(d, "{\"errorCode\":\"COC.1\",\"errorMsg\":\"no\"}"), PW_EREMOTE);
}

static void test_free_nothing(void **state)
{
    (void)state;
    pw_page_decoder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoiled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_under_200, setup, teardown),
        cmocka_unit_test(test_free_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
