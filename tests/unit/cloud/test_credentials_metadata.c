/* auth = metadata: session token, keys, fall-backs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "bench.h"

#define URL "https://coc.example.com/v1"
#define MINUTE_MS (60 * PW_SECOND_MS)
#define SESSION ANSWER("200 OK", "", PLANTED_SESSION "\n")
#define KEYS_NAMED(name, expires_at)                                                               \
    ANSWER("200 OK", "",                                                                           \
           "{\"credential\":{\"access\":\"" name "\",\"secret\":\"" PLANTED_SK                     \
           "\",\"securitytoken\":\"" PLANTED_STS "\",\"expires_at\":\"" expires_at "\"}}")
#define KEYS KEYS_NAMED(PLANTED_AK, "2026-01-02T17:04:05.000000Z") /* in two hours */
#define SECOND_KEYS KEYS_NAMED("SECOND", "2026-01-02T19:04:05Z")

static void use_metadata(struct bench *bench)
{
    bench->source.auth = PW_AUTH_METADATA;
    bench->source.proxy = (char *)(uintptr_t) "http://127.0.0.1:1"; /* not for this */
    bench_new(bench);
}

static void assert_access(struct bench *bench, const char *access)
{
    char expected[128];

    (void)snprintf(expected, sizeof expected, "Access=%s,", access);
    if (strstr(bench_headers(bench, URL), expected) == NULL)
        fail_msg("%s", bench_headers(bench, URL));
    assert_non_null(strstr(bench_headers(bench, URL), "X-Security-Token: " PLANTED_STS "\n"));
}

static void test_keys(void **state)
{
    struct bench *bench = *state;
    const char *request = bench->world->server.request;

    SCRIPT(bench->world, SESSION, KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    assert_access(bench, PLANTED_AK);
    assert_memory_equal(request, "GET /openstack/latest/securitykey HTTP/1.1\r\n", 44);
    assert_non_null(strstr(request, "X-Metadata-Token: " PLANTED_SESSION "\r\n"));
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 2);
}

static void test_asks_for_a_session(void **state)
{
    struct bench *bench = *state;
    const char *request = bench->world->server.request;

    SCRIPT(bench->world, ANSWER("401 Unauthorized", "", ""));
    use_metadata(bench);
    bench_must(bench, PW_EPERM);
    assert_memory_equal(request, "PUT /meta-data/latest/api/token HTTP/1.1\r\n", 42);
    assert_non_null(strstr(request, "X-Metadata-Token-Ttl-Seconds: 21600\r\n"));
    assert_int_equal(bench->world->server.requests, 1);
}

/* Broken throughout: each is asked three times, the keys without a session in the end. */
static void test_broken_service(void **state)
{
    struct bench *bench = *state;
    const char *request = bench->world->server.request;

    SCRIPT(bench->world, ANSWER("500 Oops", "", "broken"));
    use_metadata(bench);
    bench_must(bench, PW_EREMOTE);
    assert_non_null(strstr(bench->message, "HTTP 500"));
    assert_non_null(strstr(bench->message, "broken"));
    assert_memory_equal(request, "GET /openstack/latest/securitykey HTTP/1.1\r\n", 44);
    assert_int_equal(bench->world->server.requests, 6);
}

static void without_sessions(struct bench *bench, size_t requests)
{
    use_metadata(bench);
    bench_must(bench, PW_OK);
    assert_access(bench, PLANTED_AK);
    assert_null(strstr(bench->world->server.request, "X-Metadata-Token"));
    assert_int_equal(bench->world->server.requests, requests);
}

static void test_without_sessions_404(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("404 Not Found", "", ""), KEYS);
    without_sessions(bench, 2);
}

static void test_without_sessions_405(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("405 Method Not Allowed", "", ""), KEYS);
    without_sessions(bench, 2);
}

static void test_without_sessions_503(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("503 Unavailable", "", ""), ANSWER("503 Unavailable", "", ""),
           ANSWER("500 Oops", "", ""), KEYS);
    without_sessions(bench, 4);
}

static void test_without_sessions_400(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("400 Bad Request", "", "what is a PUT?"), KEYS);
    without_sessions(bench, 2);
}

static void test_without_sessions_501(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("501 Not Implemented", "", ""), KEYS);
    without_sessions(bench, 2);
}

static void test_sessions_of_no_use(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("200 OK", "", "<html>login</html>"), KEYS, ANSWER("200 OK", "", ""),
           KEYS, ANSWER("200 OK", "", "two words"), KEYS, ANSWER("200 OK", "", "{}"), KEYS);
    without_sessions(bench, 2);
    for (size_t i = 2; i <= 4; i++) {
        bench_close(bench);
        without_sessions(bench, 2 * i);
    }
}

static void test_renewed(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, KEYS, SESSION, SECOND_KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 79 * MINUTE_MS;
    bench_must(bench, PW_OK);
    assert_access(bench, PLANTED_AK);
    bench->clock.now_ms += 2 * MINUTE_MS; /* 39 remain */
    bench_renew(bench);
    assert_access(bench, "SECOND");
}

static void test_renewal_fails(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, KEYS, {.bytes = "", .then = THEN_RESET});
    use_metadata(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 100 * MINUTE_MS;
    bench_renew(bench);
    assert_access(bench, PLANTED_AK);
    bench->clock.now_ms += 20 * MINUTE_MS;
    bench_must(bench, PW_ENETWORK);
}

static void test_refused_keys(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, KEYS, SESSION, SECOND_KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    assert_true(bench_refused(bench));
    bench_must(bench, PW_OK);
    assert_access(bench, "SECOND");
    assert_false(bench_refused(bench));
    assert_false(pw_credentials_changed(bench->credentials));
}

/* The service knows no others: they are not shown to the API again. */
static void test_refused_keys_again(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, KEYS, SESSION, KEYS, SESSION, KEYS, SESSION, SECOND_KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    assert_true(bench_refused(bench));
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "metadata service was refused at 2026-01-02T15:04:05"));
    bench_must(bench, PW_EPERM); /* looks whether there are others by now */
    assert_int_equal(bench->world->server.requests, 6);
    bench_must(bench, PW_OK);
    assert_access(bench, "SECOND");
}

/* Two sources on one machine get the same keys. */
static void test_shared_keys(void **state)
{
    struct bench *bench = *state;
    struct asker other;

    SCRIPT(bench->world, SESSION, KEYS, SESSION, KEYS, SESSION, SECOND_KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    asker_new(&other, bench);
    asker_begin(&other);
    while (bench->world->server.requests < 4)
        world_run_ms(bench->world, 1);
    asker_waits(&other);
    (void)bench_refused(bench);
    asker_must(&other, PW_EPERM);
    asker_begin(&other);
    asker_must(&other, PW_OK);
    asker_close(&other);
}

static void test_old_session(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, ANSWER("401 Unauthorized", "", "token expired"), SESSION, KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 4);
    assert_access(bench, PLANTED_AK);
}

static void test_refused_twice(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, ANSWER("401 Unauthorized", "", "no such token"), SESSION,
           ANSWER("401 Unauthorized", "", "no such token"), SESSION, KEYS);
    use_metadata(bench);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "no such token"));
    assert_int_equal(bench->world->server.requests, 4);
    bench_must(bench, PW_OK);
}

static void test_no_agency(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION,
           ANSWER("401 Unauthorized", "X-Request-Id: m-1\r\n",
                  "Please configure Cloud Service Agency first.\n"));
    use_metadata(bench);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "no agency"));
    assert_non_null(strstr(bench->message, "coc:complianceReport:list"));
    assert_string_equal(pw_credentials_trouble(bench->credentials)->request_id, "m-1");
    assert_int_equal(bench->world->server.requests, 2); /* a new session would not help */
}

static void test_not_a_cloud_machine(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("404 Not Found", "", ""));
    use_metadata(bench);
    bench_must(bench, PW_ENOTFOUND);
    assert_non_null(strstr(bench->message, "metadata_endpoint"));
}

static void test_useless_answers(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, ANSWER("200 OK", "", "two words"), ANSWER("200 OK", "", ""),
           ANSWER("200 OK", "", "{}"), SESSION,
           ANSWER("200 OK", "",
                  "{\"credential\":{\"access\":\"" PLANTED_AK "\",\"secret\":\"" PLANTED_SK
                  "\"}}"));
    use_metadata(bench);
    bench_must(bench, PW_EFORMAT);
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, "securitytoken"));
}

static void test_unknown_life(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, KEYS_NAMED(PLANTED_AK, "soon"), SESSION, SECOND_KEYS);
    use_metadata(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 19 * MINUTE_MS; /* taken for an hour */
    bench_must(bench, PW_OK);
    assert_access(bench, PLANTED_AK);
    bench->clock.now_ms += 2 * MINUTE_MS;
    bench_renew(bench);
    assert_access(bench, "SECOND");
}

static void test_closed_between(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, SESSION, {.bytes = NULL});
    use_metadata(bench);
    bench_begin(bench);
    while (bench->world->server.requests < 2)
        world_run_ms(bench->world, 1);
    bench_close(bench);
    assert_int_equal(bench->ready, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_asks_for_a_session),
        TEST(test_without_sessions_404),
        TEST(test_without_sessions_405),
        TEST(test_without_sessions_503),
        TEST(test_without_sessions_400),
        TEST(test_without_sessions_501),
        TEST(test_sessions_of_no_use),
        TEST(test_broken_service),
        TEST(test_refused_keys_again),
        TEST(test_shared_keys),
        TEST(test_renewed),
        TEST(test_renewal_fails),
        TEST(test_refused_keys),
        TEST(test_old_session),
        TEST(test_refused_twice),
        TEST(test_no_agency),
        TEST(test_not_a_cloud_machine),
        TEST(test_useless_answers),
        TEST(test_unknown_life),
        TEST(test_closed_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
