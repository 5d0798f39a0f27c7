/* auth = password: log-ins at IAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "iam.h"

static void test_log_in(void **state)
{
    struct bench *bench = *state;
    const char *request = bench->world->server.request;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY);
    use_password(bench);
    bench_must(bench, PW_OK);
    assert_token(bench, PLANTED_TOKEN);
    assert_memory_equal(request, "POST /v3/auth/tokens?nocatalog=true HTTP/1.1\r\n", 46);
    assert_non_null(strstr(request, "Content-Type: application/json;charset=utf8\r\n"));
    assert_non_null(
        strstr(request,
               "\r\n\r\n{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":"
               "{\"name\":\"watcher\",\"password\":\"planted \\\"pass\\\\word\\\" \xC3\xA4 0005\","
               "\"domain\":{\"name\":\"acme\"}}}},\"scope\":{\"domain\":{\"name\":\"acme\"}}}}"));
    bench_must(bench, PW_OK); /* it holds: no second log-in */
    assert_int_equal(bench->world->server.requests, 1);
}

static void test_scopes(void **state)
{
    struct bench *bench = *state;
    const char *request = bench->world->server.request;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY);
    bench->source.project_id = (char *)(uintptr_t) "p1";
    use_password(bench);
    bench_must(bench, PW_OK);
    assert_non_null(strstr(request, "\"scope\":{\"project\":{\"id\":\"p1\"}}"));
    assert_non_null(strstr(bench_headers(bench, URL), "X-Project-Id: p1\n"));
    bench_close(bench);
    bench->source.domain_id = (char *)(uintptr_t) "d1";
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(strstr(request, "\"scope\":{\"domain\":{\"id\":\"d1\"}}"));
}

/* Our clock is a day ahead: by it the token would be old before it came. */
static void test_wrong_clock(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN);
    bench->clock.now_ms += 30 * HOUR_MS;
    use_password(bench);
    bench_must(bench, PW_OK);
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 1);
    bench->clock.now_ms += 24 * HOUR_MS;
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
}

static void test_short_and_unknown_lives(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world,
           ANSWER("201 Created", "X-Subject-Token: short\r\n",
                  "{\"token\":{\"expires_at\":\"2026-01-02T15:14:05Z\"}}"),
           ANSWER("201 Created", "X-Subject-Token: unknown\r\n", "not even JSON"), SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 7 * 60 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    assert_token(bench, "short");
    bench->clock.now_ms += 60 * PW_SECOND_MS; /* less than a quarter of its ten minutes */
    bench_renew(bench);
    assert_token(bench, "unknown"); /* taken for an hour */
    bench->clock.now_ms += 40 * 60 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    assert_token(bench, "unknown");
    bench->clock.now_ms += 10 * 60 * PW_SECOND_MS;
    bench_renew(bench);
    assert_token(bench, "second-token");
}

static void test_refused_token(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN, TOKEN_FOR_A_DAY, SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    assert_true(bench_refused(bench));
    assert_true(bench_refused(bench)); /* the second request with it */
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
    /* The fresh one too: no third within the sweep. */
    assert_false(bench_refused(bench));
    assert_false(bench_refused(bench));
    assert_int_equal(bench->world->server.requests, 2);
    /* After a wait another try is fair, and a token that worked for hours may be renewed. */
    bench->clock.now_ms += 2 * HOUR_MS;
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 3);
    bench->clock.now_ms += 2 * HOUR_MS;
    assert_true(bench_refused(bench));
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 4);
}

static void test_wrong_password(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world,
           ANSWER("401 Unauthorized", "",
                  "{\"error\":{\"code\":401,\"message\":\"The username or password is wrong. You "
                  "sent planted \\\"pass\\\\word\\\" \xC3\xA4 0005\",\"title\":\"Unauthorized\"}}"),
           TOKEN_FOR_A_DAY);
    use_password(bench);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "watcher"));
    assert_non_null(strstr(bench->message, "acme"));
    assert_non_null(strstr(bench->message, "The username or password is wrong."));
    assert_non_null(strstr(bench->message, "check iam_domain"));
    assert_int_equal(bench->world->server.requests, 1); /* five lock the account */
    assert_false(pw_credentials_changed(bench->credentials));
    (void)bench_file(bench, 0, "new-pass\\word");
    assert_true(pw_credentials_changed(bench->credentials));
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench->world->server.request, "new-pass"));
}

static void test_other_failures(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world,
           ANSWER("403 Forbidden", "", "{\"error_code\":\"IAM.0002\",\"error_msg\":\"locked\"}"),
           ANSWER("400 Bad Request", "", "{\"error_code\":\"IAM.0011\",\"error_msg\":\"scope\"}"),
           ANSWER("404 Not Found", "", "<html>no"), ANSWER("500 Oops", "", ""),
           ANSWER("200 OK", "", "<html>a login page"),
           ANSWER("201 Created", "X-Subject-Token: two words\r\n", "{}"));
    use_password(bench);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "IAM.0002: locked"));
    bench_must(bench, PW_EPERM); /* without a request */
    assert_int_equal(bench->world->server.requests, 1);
    bench->clock.now_ms += 5 * 60 * PW_SECOND_MS;
    bench_must(bench, PW_EREMOTE);
    assert_non_null(strstr(bench->message, "IAM.0011: scope"));
    bench_must(bench, PW_EREMOTE);
    assert_non_null(strstr(bench->message, "HTTP 404"));
    bench_must(bench, PW_EREMOTE);
    assert_non_null(strstr(bench->message, "HTTP 500"));
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, "X-Subject-Token"));
    bench_must(bench, PW_EFORMAT);
}

/* What IAM said, for support. */
static void test_trouble(void **state)
{
    struct bench *bench = *state;
    const struct pw_credentials_trouble *trouble;

    SCRIPT(bench->world,
           ANSWER("400 Bad Request", "X-Request-Id: r-1\r\n",
                  "{\"error_code\":\"IAM.0011\",\"error_msg\":\"scope\",\"request_id\":\"r-2\"}"),
           ANSWER("400 Bad Request", "",
                  "{\"error_code\":\"IAM.0012\",\"error_msg\":\"scope\",\"request_id\":\"r-2\"}"),
           ANSWER("401 Unauthorized", "X-Request-Id: planted \"pass\\word\" 0005\r\n",
                  "{\"error\":{\"code\":401,\"message\":\"no\"}}"),
           TOKEN_FOR_A_DAY);
    use_password(bench);
    (void)bench_file(bench, 0, "planted \"pass\\word\" 0005");
    trouble = pw_credentials_trouble(bench->credentials);
    assert_string_equal(trouble->code, "");
    bench_must(bench, PW_EREMOTE);
    assert_string_equal(trouble->code, "IAM.0011");
    assert_string_equal(trouble->request_id, "r-1");
    bench_must(bench, PW_EREMOTE);
    assert_string_equal(trouble->code, "IAM.0012");
    assert_string_equal(trouble->request_id, "r-2");
    bench_must(bench, PW_EPERM);
    assert_string_equal(trouble->code, "401");
    bench_clean(trouble->request_id);
    bench_must(bench, PW_EPERM); /* the guard: no server said anything */
    assert_string_equal(trouble->code, "");
    assert_string_equal(trouble->request_id, "");
    bench->source.iam_password_file = (char *)(uintptr_t) "/nowhere";
    bench_must(bench, PW_ENOTFOUND);
    assert_string_equal(trouble->code, "");
}

static void test_bad_password_files(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY);
    use_password(bench);
    (void)bench_file(bench, 0, "latin-1 \xE4");
    bench_must(bench, PW_EFORMAT);
    (void)bench_file(bench, 0, "");
    bench_must(bench, PW_EFORMAT);
    assert_int_equal(bench->world->server.requests, 0);
    bench->source.iam_user = NULL;
    bench_must(bench, PW_EINVAL);
}

static void test_large_token(void **state)
{
    static char bytes[80000];
    struct answer answer = {.bytes = bytes, .then = THEN_CLOSE};
    struct bench *bench = *state;
    int len;

    len = snprintf(bytes, sizeof bytes, "HTTP/1.1 201 Created\r\nX-Subject-Token: ");
    memset(bytes + len, 'T', 16000);
    (void)snprintf(bytes + len + 16000, 64, "\r\nConnection: close\r\n\r\n{}");
    server_script(&bench->world->server, &answer, 1);
    use_password(bench);
    bench_must(bench, PW_OK);
    {
        const char *const *headers;
        struct pw_error err;

        assert_int_equal(
            pw_credentials_headers(bench->credentials, "GET", URL, PW_STR_NULL, &headers, &err),
            PW_OK);
        assert_int_equal(strlen(headers[0]), 16000 + sizeof "X-Auth-Token: " - 1);
    }
    /* Over every reason: not taken, and no half of it either. */
    memset(bytes + len + 16000, 'T', 54000);
    (void)snprintf(bytes + len + 70000, 64, "\r\nConnection: close\r\n\r\n{}");
    bench_close(bench);
    bench_new(bench);
    bench_must(bench, PW_EFORMAT);
}

static void test_closed_under_way(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, {.bytes = NULL});
    use_password(bench);
    bench_begin(bench);
    world_run_ms(bench->world, 20);
    bench_close(bench);
    assert_int_equal(bench->ready, 0);
}

static void test_http_closed_under_way(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, {.bytes = NULL});
    use_password(bench);
    bench_begin(bench);
    world_run_ms(bench->world, 20);
    world_close_http(bench->world);
    assert_int_equal(bench->ready, 1);
    assert_int_equal(bench->status, PW_ECANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_log_in),
        TEST(test_scopes),
        TEST(test_wrong_clock),
        TEST(test_short_and_unknown_lives),
        TEST(test_refused_token),
        TEST(test_wrong_password),
        TEST(test_other_failures),
        TEST(test_trouble),
        TEST(test_bad_password_files),
        TEST(test_large_token),
        TEST(test_closed_under_way),
        TEST(test_http_closed_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
