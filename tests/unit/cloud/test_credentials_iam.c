/* auth = password: log-ins at IAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "bench.h"

#define URL "https://coc.example.com/v1"
#define HOUR_MS (3600 * PW_SECOND_MS)
#define DATE "Date: Fri, 02 Jan 2026 15:04:05 GMT\r\n"
#define TOKEN_FOR_A_DAY                                                                            \
    ANSWER("201 Created", DATE "X-Subject-Token: " PLANTED_TOKEN "\r\n",                           \
           "{\"token\":{\"expires_at\":\"2026-01-03T15:04:05.123000Z\"}}")
#define SECOND_TOKEN                                                                               \
    ANSWER("201 Created", DATE "x-subject-token: second-token\r\n",                                \
           "{\"token\":{\"expires_at\":\"2026-01-03T15:04:05.123000Z\"}}")

static void use_password(struct bench *bench)
{
    bench->source.auth = PW_AUTH_PASSWORD;
    bench->source.iam_domain = (char *)(uintptr_t) "acme";
    bench->source.iam_user = (char *)(uintptr_t) "watcher";
    bench->source.iam_password_file = bench_file(bench, 0, PLANTED_PASSWORD "\n");
    bench_new(bench);
}

static void assert_token(struct bench *bench, const char *token)
{
    char expected[128];

    (void)snprintf(expected, sizeof expected, "X-Auth-Token: %s\n", token);
    if (strstr(bench_headers(bench, URL), expected) == NULL)
        fail_msg("%s", bench_headers(bench, URL));
}

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

static void test_renewed_early(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 22 * HOUR_MS;
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 1);
    bench->clock.now_ms += HOUR_MS + 1000;
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
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
    bench_must(bench, PW_OK);
    assert_token(bench, "unknown"); /* taken for an hour */
    bench->clock.now_ms += 40 * 60 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    assert_token(bench, "unknown");
    bench->clock.now_ms += 10 * 60 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
}

static void test_refused_token(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN, TOKEN_FOR_A_DAY, SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    assert_true(pw_credentials_refused(bench->credentials));
    assert_true(pw_credentials_refused(bench->credentials)); /* the second request with it */
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
    /* The fresh one too: no third within the sweep. */
    assert_false(pw_credentials_refused(bench->credentials));
    assert_false(pw_credentials_refused(bench->credentials));
    assert_int_equal(bench->world->server.requests, 2);
    /* After a wait another try is fair, and a token that worked for hours may be renewed. */
    bench->clock.now_ms += 2 * HOUR_MS;
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 3);
    bench->clock.now_ms += 2 * HOUR_MS;
    assert_true(pw_credentials_refused(bench->credentials));
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

/* Renewing fails while the old token holds: the sweep goes on, and nobody is locked out. */
static void test_renewal_refused(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, ANSWER("401 Unauthorized", "", "{}"), SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    for (int i = 0; i < 5; i++)
        bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 2);
    assert_token(bench, PLANTED_TOKEN);
    (void)bench_file(bench, 0, "repaired");
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
}

static void test_renewal_unreachable(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, {.bytes = "", .then = THEN_RESET});
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_must(bench, PW_OK);
    assert_token(bench, PLANTED_TOKEN);
    bench->clock.now_ms += HOUR_MS; /* now it has ended */
    bench_must(bench, PW_ENETWORK);
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
        TEST(test_renewed_early),
        TEST(test_wrong_clock),
        TEST(test_short_and_unknown_lives),
        TEST(test_refused_token),
        TEST(test_wrong_password),
        TEST(test_renewal_refused),
        TEST(test_renewal_unreachable),
        TEST(test_other_failures),
        TEST(test_bad_password_files),
        TEST(test_large_token),
        TEST(test_closed_under_way),
        TEST(test_http_closed_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
