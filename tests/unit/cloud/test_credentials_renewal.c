/* Log-ins over time and among sources: renewed beside what holds, held back, shared, cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cloud/credentials_state.h"
#include "iam.h"

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
    bench_renew(bench);
    assert_token(bench, "second-token");
}

/* Renewing fails while the old token holds: the sweep goes on, and nobody is locked out. */
static void test_renewal_refused(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, ANSWER("401 Unauthorized", "", "{}"), SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_renew(bench);
    for (int i = 0; i < 5; i++) {
        bench_must(bench, PW_OK);
        bench->clock.now_ms += 31 * PW_SECOND_MS; /* the guard says no, whatever the time */
    }
    world_run_ms(bench->world, 20);
    assert_int_equal(bench->world->server.requests, 2);
    assert_token(bench, PLANTED_TOKEN);
    (void)bench_file(bench, 0, "repaired");
    bench_renew(bench);
    assert_token(bench, "second-token");
}

static void test_renewal_unreachable(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, {.bytes = "", .then = THEN_RESET});
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_renew(bench);
    assert_token(bench, PLANTED_TOKEN);
    bench->clock.now_ms += HOUR_MS; /* now it has ended */
    bench_must(bench, PW_ENETWORK);
}

/* IAM is silent: the sweep starts with the old token all the same. */
static void test_renewal_hangs(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, {.bytes = NULL}, SECOND_TOKEN);
    use_password(bench);
    bench_must(bench, PW_OK);
    assert_int_equal(pw_credentials_generation(bench->credentials), 1);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    for (int i = 0; i < 3; i++)
        bench_must(bench, PW_OK);
    world_run_ms(bench->world, 30);
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 2); /* and there is one log-in, not four */
    assert_token(bench, PLANTED_TOKEN);
    pw_credentials_rest(bench->credentials);
    assert_int_equal(pw_credentials_generation(bench->credentials), 1);
    world_run_ms(bench->world, 1); /* closed with the log-in under way */
}

/* The outcome of a renewal comes in the middle of a sweep: used after it, or when the old token is
 * refused. */
static void test_renewed_in_a_sweep(void **state)
{
    struct bench *bench = *state;
    unsigned old;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN, TOKEN_FOR_A_DAY);
    use_password(bench);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_must(bench, PW_OK);
    world_run_ms(bench->world, 50);
    assert_int_equal(bench->world->server.requests, 2);
    assert_token(bench, PLANTED_TOKEN);
    old = pw_credentials_generation(bench->credentials);
    assert_true(bench_refused(bench));
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
    assert_int_not_equal(pw_credentials_generation(bench->credentials), old);
    /* A late 401 to the old one says nothing of the new one. */
    assert_true(pw_credentials_refused(bench->credentials, old));
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
    assert_int_equal(bench->world->server.requests, 2);
    /* Without a sweep it is put in use when it comes. */
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_must(bench, PW_OK);
    pw_credentials_rest(bench->credentials);
    world_run_ms(bench->world, 50);
    assert_int_equal(bench->world->server.requests, 3);
    assert_int_equal(pw_credentials_generation(bench->credentials), 3);
    bench_must(bench, PW_OK);
    assert_token(bench, PLANTED_TOKEN);
}

/* Between failed renewals: 30 s, then twice as long; one warning for one cause. */
static void test_renewal_waits(void **state)
{
    static const char failing[] = "the credentials cannot be renewed";
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY,
           ANSWER("400 Bad Request", "", "{\"error_code\":\"IAM.0011\",\"error_msg\":\"no 1\"}"),
           ANSWER("400 Bad Request", "", "{\"error_code\":\"IAM.0012\",\"error_msg\":\"no 2\"}"),
           ANSWER("400 Bad Request", "", "{\"error_code\":\"IAM.0012\",\"error_msg\":\"other\"}"),
           SECOND_TOKEN);
    use_password(bench);
    pw_log_set_level(PW_LOG_INFO);
    bench_must(bench, PW_OK);
    bench->clock.now_ms += 23 * HOUR_MS + 60000;
    bench_renew(bench);
    assert_int_equal(bench_logged(bench, failing), 1);
    bench->clock.now_ms += 29 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    world_run_ms(bench->world, 20);
    assert_int_equal(bench->world->server.requests, 2);
    bench->clock.now_ms += 2 * PW_SECOND_MS;
    bench_renew(bench);
    assert_int_equal(bench_logged(bench, failing), 1); /* the same but for numbers */
    bench->clock.now_ms += 31 * PW_SECOND_MS;
    bench_must(bench, PW_OK);
    world_run_ms(bench->world, 20);
    assert_int_equal(bench->world->server.requests, 3);
    bench->clock.now_ms += 30 * PW_SECOND_MS;
    bench_renew(bench);
    assert_int_equal(bench_logged(bench, failing), 2);
    assert_int_equal(bench_logged(bench, "can be renewed again"), 0);
    bench->clock.now_ms += 121 * PW_SECOND_MS;
    bench_renew(bench);
    assert_token(bench, "second-token");
    assert_int_equal(bench_logged(bench, "can be renewed again"), 1);
    pw_log_set_level(PW_LOG_DEBUG);
}

/* 403: a fresh token may have the right that was given meanwhile. */
static void test_forbidden(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, TOKEN_FOR_A_DAY, SECOND_TOKEN,
           ANSWER("400 Bad Request", "", "{\"error_msg\":\"no\"}"));
    use_password(bench);
    bench_must(bench, PW_OK);
    pw_credentials_forbidden(bench->credentials, 0); /* of long ago */
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 1);
    pw_credentials_forbidden(bench->credentials, pw_credentials_generation(bench->credentials));
    assert_token(bench, PLANTED_TOKEN);
    bench_must(bench, PW_OK);
    assert_token(bench, "second-token");
    bench_must(bench, PW_OK);
    assert_int_equal(bench->world->server.requests, 2);
    pw_credentials_forbidden(bench->credentials, pw_credentials_generation(bench->credentials));
    bench_must(bench, PW_OK); /* there is none, but the old one has not become worse */
    assert_int_equal(bench->world->server.requests, 3);
    assert_token(bench, "second-token");
}

/* A server that asks to be left alone for minutes holds up nobody. */
static void test_limit(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("503 Busy", "Retry-After: 300\r\n", ""), TOKEN_FOR_A_DAY);
    bench->source.retries = 2;
    use_password(bench);
    assert_int_equal(bench->credentials->fetch_limit_ms, 60000);
    bench->credentials->fetch_limit_ms = 100;
    bench_must(bench, PW_ENETWORK);
    assert_non_null(strstr(bench->message, "100ms"));
    assert_int_equal(bench->world->server.requests, 1);
    bench->credentials->fetch_limit_ms = 5000;
    bench_must(bench, PW_OK);
}

static void test_canceled(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, {.bytes = TOKEN_BYTES, .then = THEN_CLOSE, .delay_ms = 100});
    use_password(bench);
    pw_credentials_cancel(bench->credentials); /* nothing runs */
    bench_begin(bench);
    pw_credentials_cancel(bench->credentials); /* before anything was asked */
    world_run_ms(bench->world, 20);
    assert_int_equal(bench->ready, 0);
    assert_int_equal(bench->world->server.requests, 0);
    bench_begin(bench);
    world_run_ms(bench->world, 30);
    assert_int_equal(bench->world->server.requests, 1);
    pw_credentials_cancel(bench->credentials);
    bench_must(bench, PW_OK); /* waits for the same log-in */
    assert_int_equal(bench->world->server.requests, 1);
    assert_token(bench, PLANTED_TOKEN);
}

/* Two sources, one user: no second log-in before the first is answered, none at all if that was
 * refused. */
static void test_shared_user(void **state)
{
    struct bench *bench = *state;
    struct asker other;

    SCRIPT(bench->world,
           {.bytes = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n{}",
            .then = THEN_CLOSE,
            .delay_ms = 60},
           {.bytes = TOKEN_BYTES, .then = THEN_CLOSE, .delay_ms = 60}, SECOND_TOKEN);
    use_password(bench);
    asker_new(&other, bench);
    asker_begin(&other);
    bench_must(bench, PW_EPERM);
    asker_must(&other, PW_EPERM);
    assert_int_equal(bench->world->server.requests, 1);
    assert_int_equal(bench->world->server.most_waiting, 1);
    bench->clock.now_ms += 5 * 60 * PW_SECOND_MS;
    asker_begin(&other);
    bench_must(bench, PW_OK);
    asker_must(&other, PW_OK);
    assert_int_equal(bench->world->server.requests, 3);
    assert_int_equal(bench->world->server.most_waiting, 1);
    asker_close(&other);
}

/* Whoever logs in goes away: the next one does. */
static void test_shared_user_closed(void **state)
{
    struct bench *bench = *state;
    struct asker other;

    SCRIPT(bench->world, {.bytes = NULL}, TOKEN_FOR_A_DAY);
    use_password(bench);
    asker_new(&other, bench);
    bench_begin(bench);
    world_run_ms(bench->world, 20);
    asker_begin(&other);
    asker_waits(&other);
    assert_int_equal(bench->world->server.requests, 1);
    bench_close(bench);
    asker_must(&other, PW_OK);
    assert_int_equal(bench->world->server.requests, 2);
    asker_close(&other);
}

/* A new process of credentials, as after a reload, with the password that was refused. */
static void test_refused_log_in_outlives_a_reload(void **state)
{
    struct bench *bench = *state;

    SCRIPT(bench->world, ANSWER("401 Unauthorized", "", "{}"), TOKEN_FOR_A_DAY);
    use_password(bench);
    bench_must(bench, PW_EPERM);
    bench_close(bench);
    bench_new(bench);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "watcher"));
    assert_non_null(strstr(bench->message, "not shown again before 2026-01-02T15:09:05"));
    (void)bench_file(bench, 0, PLANTED_PASSWORD "\n"); /* the same */
    bench_must(bench, PW_EPERM);
    assert_int_equal(bench->world->server.requests, 1);
    (void)bench_file(bench, 0, "another pass\\word");
    bench_must(bench, PW_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_renewed_early),
        TEST(test_renewal_refused),
        TEST(test_renewal_unreachable),
        TEST(test_renewal_hangs),
        TEST(test_renewed_in_a_sweep),
        TEST(test_renewal_waits),
        TEST(test_forbidden),
        TEST(test_limit),
        TEST(test_canceled),
        TEST(test_shared_user),
        TEST(test_shared_user_closed),
        TEST(test_refused_log_in_outlives_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
