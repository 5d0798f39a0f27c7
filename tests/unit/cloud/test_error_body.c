/* Error bodies in all their forms, causes, throttle windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_reader.h"
#include "cloud/error_body.h"

static struct pw_error_body *reader;

static int make_reader(void **state)
{
    (void)state;
    reader = pw_error_body_new();
    return reader == NULL;
}

static int free_reader(void **state)
{
    (void)state;
    pw_error_body_free(reader);
    pw_error_body_free(NULL);
    return 0;
}

static struct pw_api_error decode_bytes(const char *body, size_t len)
{
    char *block = calloc(1, len + PW_JSON_READER_PADDING);
    struct pw_api_error found;

    assert_non_null(block);
    memcpy(block, body, len);
    pw_error_body_decode(reader, block, len, &found);
    free(block); /* the views must not need it */
    return found;
}

static void assert_text(struct pw_str found, const char *expected, const char *body)
{
    if (expected == NULL ? found.data != NULL : !pw_str_is(found, expected))
        fail_msg("%s: '%.*s', expected '%s'", body, PW_STR_ARG(found),
                 expected != NULL ? expected : "(none)");
}

static void assert_found(const char *body, const char *code, const char *message,
                         const char *request_id)
{
    struct pw_api_error found = decode_bytes(body, strlen(body));

    assert_text(found.code, code, body);
    assert_text(found.message, message, body);
    assert_text(found.request_id, request_id, body);
}

static void test_forms(void **state)
{
    (void)state;
    assert_found("{\"error_code\":\"APIGW.0301\",\"error_msg\":\"m\",\"request_id\":\"r\"}",
                 "APIGW.0301", "m", "r");
    assert_found("{\"errorCode\":\"C\",\"errorMsg\":\"m\",\"requestId\":\"r\"}", "C", "m", "r");
    assert_found("{\"errorCode\":\"C\",\"errorMessage\":\"m\"}", "C", "m", NULL);
    assert_found("{\"code\":\"C\",\"message\":\"m\"}", "C", "m", NULL);
    assert_found("{\"error\":{\"code\":401,\"message\":\"m\",\"title\":\"Unauthorized\"}}", "401",
                 "m", NULL);
    assert_found("{\"error\":{\"code\":\"x\",\"message\":\"m\"},\"request_id\":\"r\"}", "x", "m",
                 "r");
    assert_found("{\"a\":{\"b\":{\"error_code\":12,\"error_msg\":\"m\"}}}", "12", "m", NULL);
    assert_found("[{\"error_code\":\"C\",\"error_msg\":\"m\"}]", "C", "m", NULL);
    assert_found("{\"provider_code\":\"049\",\"error_code\":\"COC.00010002\",\"error_msg\":\"m\","
                 "\"data\":null}",
                 "COC.00010002", "m", NULL);
    assert_found("{\"error_msg\":\"m only\"}", NULL, "m only", NULL);
    assert_found("{\"error_code\":\"C only\"}", "C only", NULL, NULL);
    assert_found("{\"timestamp\":1,\"status\":404,\"error\":\"Not Found\",\"path\":\"/\"}", NULL,
                 "Not Found", NULL);
    assert_found("{\"error\":\"invalid\",\"error_description\":\"why\"}", NULL, "why", NULL);
}

/* Which of several errors in one body counts. */
static void test_choice(void **state)
{
    (void)state;
    assert_found("{\"details\":[{\"error_code\":\"D\",\"error_msg\":\"d\"}],\"error_code\":\"C\","
                 "\"error_msg\":\"m\"}",
                 "C", "m", NULL);
    assert_found(
        "{\"code\":\"generic\",\"error_code\":\"C\",\"message\":\"g\",\"error_msg\":\"m\"}", "C",
        "m", NULL);
    assert_found("{\"message\":\"outer\",\"error\":{\"code\":\"C\",\"message\":\"m\"}}", "C", "m",
                 NULL);
    assert_found("{\"message\":\"outer\",\"error\":{\"code\":\"C\"}}", "C", "outer", NULL);
    assert_found("{\"a\":{\"code\":\"1\",\"message\":\"one\"},\"b\":{\"code\":\"2\",\"message\":"
                 "\"two\"}}",
                 "1", "one", NULL);
    assert_found("{\"a\":{\"x\":{\"code\":\"deep\",\"message\":\"d\"}},\"b\":{\"code\":\"2\","
                 "\"message\":\"two\"}}",
                 "2", "two", NULL);
    assert_found("{\"error_code\":null,\"code\":\"C\",\"error_msg\":\"\",\"message\":\"m\"}", "C",
                 "m", NULL);
    assert_found("{\"error_code\":\"C\",\"error_msg\":500}", "C", NULL, NULL);
}

static void test_no_json(void **state)
{
    static char page[100000];
    struct pw_api_error found;

    (void)state;
    assert_found("", NULL, NULL, NULL);
    assert_found(" \r\n\t ", NULL, NULL, NULL);
    assert_found("\n  502 Bad Gateway \n", NULL, "502 Bad Gateway", NULL);
    assert_found("{\"torn", NULL, "{\"torn", NULL);
    assert_found("{\"unknown\":true}", NULL, "{\"unknown\":true}", NULL);
    assert_found("line\nbreak\x1b[31m", NULL, "line\\x0Abreak\\x1B[31m", NULL);
    found = decode_bytes("a\0b", 3);
    assert_text(found.message, "a\\x00b", "NUL");
    memset(page, 'x', sizeof page);
    found = decode_bytes(page, sizeof page);
    assert_in_range(found.message.len, 190, 200);
}

/* Long, deep, wide, hostile: bounded, printable. */
static void test_bounds(void **state)
{
    static char body[200000];
    struct pw_api_error found;
    size_t used = 0;

    (void)state;
    used += (size_t)snprintf(body, sizeof body, "{\"error_code\":\"");
    memset(body + used, 'c', 5000);
    used += 5000;
    used += (size_t)snprintf(body + used, sizeof body - used, "\",\"error_msg\":\"");
    memset(body + used, 'm', 5000);
    used += 5000;
    used += (size_t)snprintf(body + used, sizeof body - used, "\"}");
    found = decode_bytes(body, used);
    assert_in_range(found.code.len, 80, 100);
    assert_in_range(found.message.len, 480, 512);
    assert_found("{\"error_code\":\"a\\u0000b\",\"error_msg\":\"x\\ny\"}", "a\\x00b", "x\\x0Ay",
                 NULL);
    /* Deeper than anybody looks: the beginning is shown instead. */
    used = 0;
    for (int i = 0; i < 20; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, "{\"a\":");
    used += (size_t)snprintf(body + used, sizeof body - used, "{\"error_code\":\"C\"}");
    memset(body + used, '}', 20);
    found = decode_bytes(body, used + 20);
    assert_null(found.code.data);
    assert_non_null(found.message.data);
    /* Wider than anybody looks. */
    used = (size_t)snprintf(body, sizeof body, "{");
    for (int i = 0; i < 5000; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, "\"k%d\":1,", i);
    used += (size_t)snprintf(body + used, sizeof body - used, "\"error_code\":\"C\"}");
    found = decode_bytes(body, used);
    assert_null(found.code.data);
}

static void test_causes(void **state)
{
    static const struct {
        long status;
        const char *code;
        enum pw_api_cause cause;
    } cases[] = {
        {401, "APIGW.0301", PW_API_AUTH},
        {401, "APIG.0303", PW_API_AUTH},
        {401, "APIC.0307", PW_API_AUTH},
        {403, "APIGW.0302", PW_API_FORBIDDEN},
        {403, "APIGW.0303", PW_API_FORBIDDEN}, /* the status is believed */
        {403, "APIGW.0304", PW_API_FORBIDDEN},
        {404, "APIGW.0101", PW_API_NOT_FOUND},
        {429, "APIGW.0308", PW_API_THROTTLED},
        {429, NULL, PW_API_THROTTLED},
        {400, "COC.00010002", PW_API_BAD_REQUEST},
        {405, NULL, PW_API_BAD_REQUEST},
        {413, "APIGW.0201", PW_API_BAD_REQUEST},
        {494, NULL, PW_API_BAD_REQUEST},
        {408, NULL, PW_API_OTHER},
        {500, "APIG.0103", PW_API_OTHER},
        {502, "APIGW.0301", PW_API_OTHER},
        {504, NULL, PW_API_OTHER},
        {200, "APIGW.0301", PW_API_AUTH},
        {200, "APIG.0303", PW_API_AUTH},
        {200, "APIC.0305", PW_API_AUTH},
        {200, "x.0307", PW_API_AUTH},
        {200, "APIGW.0302", PW_API_FORBIDDEN},
        {200, "APIGW.0304", PW_API_FORBIDDEN},
        {200, "APIGW.0306", PW_API_FORBIDDEN},
        {200, "APIGW.0308", PW_API_THROTTLED},
        {200, "APIGW.0101", PW_API_NOT_FOUND},
        {200, "APIGW.0106", PW_API_BAD_REQUEST},
        {200, "common.01010001", PW_API_AUTH},
        {200, "COC.00010301", PW_API_OTHER}, /* a longer number that ends like one */
        {200, "0301", PW_API_OTHER},
        {200, "", PW_API_OTHER},
        {200, NULL, PW_API_OTHER},
        {302, NULL, PW_API_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum pw_api_cause cause = pw_api_cause_of(cases[i].status, pw_str_of(cases[i].code));

        if (cause != cases[i].cause)
            fail_msg("%ld %s: %s", cases[i].status, cases[i].code, pw_api_cause_name(cause));
    }
    assert_string_equal(pw_api_cause_name(PW_API_THROTTLED), "throttled");
    assert_string_equal(pw_api_cause_name(PW_API_CAUSE_COUNT), "unknown");
}

static void assert_window(const char *text, int64_t window_ms, int64_t limit)
{
    int64_t found_limit = 77, found_ms = pw_api_throttle_window_ms(pw_str_of(text), &found_limit);

    if (found_ms != window_ms || found_limit != limit)
        fail_msg("%s: %lld ms, limit %lld", text, (long long)found_ms, (long long)found_limit);
}

static void test_throttle_windows(void **state)
{
    (void)state;
    assert_window("The throttling threshold has been reached: policy user over ratelimit,"
                  "limit:100,time:1 minute",
                  60000, 100);
    assert_window("policy user over ratelimit,limit:5,time:1 second", 1000, 5);
    assert_window("time:10 seconds", 10000, -1);
    assert_window("limit: 3, TIME : 2 Minutes.", 120000, 3);
    assert_window("limit:9,time:1minute", 60000, 9);
    assert_window("time:1 hour", 3600000, -1);
    assert_window("time:500 ms", 500, -1);
    assert_window("time:3 days", PW_DAY_MS, -1);
    assert_window("time:999999999 minutes", PW_DAY_MS, -1);
    assert_window("runtime:5 minutes", -1, -1);
    assert_window("time:minute", -1, -1);
    assert_window("time:0 minute", -1, -1);
    assert_window("time:1", -1, -1);
    assert_window("time:1 fortnight", -1, -1);
    assert_window("time:1 secondhand", -1, -1);
    assert_window("time:9999999999 second", -1, -1);
    assert_window("limit:x,time:", -1, -1);
    assert_window("time", -1, -1);
    assert_window("", -1, -1);
    assert_window(NULL, -1, -1);
    assert_int_equal(pw_api_throttle_window_ms(pw_str_of("time:1 second"), NULL), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_choice),
        cmocka_unit_test(test_no_json), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_causes),  cmocka_unit_test(test_throttle_windows),
    };

    return cmocka_run_group_tests(tests, make_reader, free_reader);
}
