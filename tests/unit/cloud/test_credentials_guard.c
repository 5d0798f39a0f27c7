/* What was refused is not shown again, by whatever source; what nobody knows is shown by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cloud/credentials_state.h"

#define URL "https://coc.example.com/v1"
#define MINUTE_MS (60 * PW_SECOND_MS)

static void use_keys(struct bench *bench)
{
    bench->source.auth = PW_AUTH_AKSK;
    bench->source.access_key_file = bench_file(bench, 0, PLANTED_AK "\n");
    bench->source.secret_key_file = bench_file(bench, 1, PLANTED_SK "\n");
    bench_new(bench);
}

static void assert_no_headers(struct pw_credentials *credentials)
{
    const char *const *headers;
    struct pw_error err;

    assert_int_equal(pw_credentials_headers(credentials, "GET", URL, PW_STR_NULL, &headers, &err),
                     PW_EPERM);
    assert_null(headers);
}

static void test_shared_key_refused(void **state)
{
    struct bench *bench = *state;
    struct asker waiting, late;

    use_keys(bench);
    asker_new(&waiting, bench);
    asker_new(&late, bench);
    bench_must(bench, PW_OK);
    asker_begin(&waiting);
    asker_waits(&waiting); /* one shows it at a time */
    assert_no_headers(waiting.credentials);
    bench_must(bench, PW_OK); /* as often as it likes */
    assert_false(bench_refused(bench));
    assert_false(bench_refused(bench));
    asker_must(&waiting, PW_EPERM);
    asker_begin(&late);
    asker_must(&late, PW_EPERM);
    assert_no_headers(bench->credentials);
    assert_no_headers(late.credentials);
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "the access key was refused at 2026-01-02T15:04:05"));
    assert_non_null(strstr(bench->message, "not shown again before 2026-01-02T15:09:05"));
    asker_close(&waiting);
    asker_close(&late);
}

static void test_shared_key_accepted(void **state)
{
    struct bench *bench = *state;
    struct asker one, two;

    use_keys(bench);
    asker_new(&one, bench);
    asker_new(&two, bench);
    bench_must(bench, PW_OK);
    asker_begin(&one);
    asker_begin(&two);
    asker_waits(&one);
    asker_waits(&two);
    pw_credentials_accepted(bench->credentials, 0); /* of other keys */
    asker_waits(&one);
    bench_accepted(bench);
    asker_must(&one, PW_OK);
    asker_must(&two, PW_OK);
    asker_begin(&one); /* proven is proven */
    asker_must(&one, PW_OK);
    /* Until it is revoked: who is in the middle of a sweep stops as well. */
    assert_false(bench_refused(bench));
    assert_no_headers(one.credentials);
    pw_credentials_accepted(two.credentials, pw_credentials_generation(two.credentials));
    asker_begin(&two); /* an answer that was late proves nothing */
    asker_must(&two, PW_EPERM);
    asker_close(&one);
    asker_close(&two);
}

static void test_other_keys_and_hosts(void **state)
{
    struct bench *bench = *state;
    struct asker elsewhere, other;

    use_keys(bench);
    bench_must(bench, PW_OK);
    asker_new(&elsewhere, bench);
    elsewhere.source.endpoint = (char *)(uintptr_t) "https://coc.example.eu";
    asker_begin(&elsewhere);
    asker_must(&elsewhere, PW_OK);
    asker_new(&other, bench);
    other.source.secret_key_file = bench_file(bench, 2, "another-secret");
    asker_begin(&other);
    asker_must(&other, PW_OK);
    assert_false(bench_refused(bench));
    asker_begin(&elsewhere);
    asker_must(&elsewhere, PW_OK);
    asker_begin(&other);
    asker_must(&other, PW_OK);
    asker_close(&elsewhere);
    asker_close(&other);
}

/* The prover's sweep ends without an answer, is cancelled, is closed: the next one's turn. */
static void test_prover_rests(void **state)
{
    struct bench *bench = *state;
    struct asker one, two, three;

    use_keys(bench);
    asker_new(&one, bench);
    asker_new(&two, bench);
    asker_new(&three, bench);
    bench_must(bench, PW_OK);
    asker_begin(&one);
    asker_waits(&one);
    asker_begin(&two);
    asker_waits(&two);
    asker_begin(&three);
    asker_waits(&three);
    pw_credentials_rest(bench->credentials);
    asker_must(&one, PW_OK);
    asker_waits(&two);
    pw_credentials_rest(three.credentials); /* is no prover: nothing */
    asker_waits(&two);
    asker_close(&one);
    asker_must(&two, PW_OK);
    asker_waits(&three);
    /* Who rested waits like anyone else. */
    bench_begin(bench);
    world_run_ms(bench->world, 20);
    assert_int_equal(bench->ready, 0);
    /* Chosen, and cancelled before it knows. */
    pw_credentials_rest(two.credentials);
    pw_credentials_cancel(three.credentials);
    for (int i = 0; bench->ready == 0 && i < 1000; i++)
        world_run_ms(bench->world, 1);
    assert_int_equal(bench->ready, 1);
    assert_int_equal(bench->status, PW_OK);
    assert_int_equal(three.ready, 0);
    asker_close(&two);
    asker_close(&three);
}

static void test_waiting_is_canceled(void **state)
{
    struct bench *bench = *state;
    struct asker one, two;

    use_keys(bench);
    asker_new(&one, bench);
    asker_new(&two, bench);
    bench_must(bench, PW_OK);
    asker_begin(&one);
    asker_waits(&one);
    asker_begin(&two);
    asker_waits(&two);
    pw_credentials_cancel(one.credentials);
    bench_accepted(bench);
    asker_must(&two, PW_OK);
    asker_waits(&one);
    asker_begin(&one);
    asker_must(&one, PW_OK);
    asker_close(&one);
    asker_close(&two);
}

/* 5 min, 10, 20, 40, 60, 60. */
static void test_next_tries(void **state)
{
    static const int minutes[] = {5, 10, 20, 40, 60, 60};
    struct bench *bench = *state;
    struct asker other;

    use_keys(bench);
    asker_new(&other, bench);
    for (size_t i = 0; i < sizeof minutes / sizeof minutes[0]; i++) {
        bench_must(bench, PW_OK);
        assert_false(bench_refused(bench));
        bench->clock.now_ms += minutes[i] * MINUTE_MS - 1;
        bench_must(bench, PW_EPERM);
        bench->clock.now_ms += 1;
    }
    bench_must(bench, PW_OK); /* by one source */
    asker_begin(&other);
    asker_waits(&other);
    bench_accepted(bench);
    asker_must(&other, PW_OK);
    assert_false(bench_refused(bench)); /* and the count starts anew */
    bench->clock.now_ms += 5 * MINUTE_MS;
    bench_must(bench, PW_OK);
    asker_close(&other);
}

static void test_outlives_a_reload(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    bench_must(bench, PW_OK);
    assert_false(bench_refused(bench));
    bench_close(bench);
    bench->source.name = (char *)(uintptr_t) "renamed";
    bench_new(bench);
    bench_must(bench, PW_EPERM);
    assert_no_headers(bench->credentials);
}

/* Configuration management writes the same file again and again. */
static void test_same_bytes(void **state)
{
    struct bench *bench = *state;
    unsigned generation;

    use_keys(bench);
    bench_must(bench, PW_OK);
    generation = pw_credentials_generation(bench->credentials);
    assert_int_not_equal(generation, 0);
    assert_false(bench_refused(bench));
    (void)bench_file(bench, 0, PLANTED_AK "\n\n");
    assert_true(bench_refused(bench)); /* it may be another one */
    bench_must(bench, PW_EPERM);       /* it is not */
    assert_no_headers(bench->credentials);
    assert_int_equal(pw_credentials_generation(bench->credentials), generation);
    (void)bench_file(bench, 0, "ROTATED");
    bench_must(bench, PW_OK);
    assert_int_not_equal(pw_credentials_generation(bench->credentials), generation);
    /* A late 401 to the old pair. */
    assert_true(pw_credentials_refused(bench->credentials, generation));
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=ROTATED,"));
}

static void test_truncated_after_a_refusal(void **state)
{
    struct bench *bench = *state;
    struct asker other;

    use_keys(bench);
    asker_new(&other, bench);
    bench_must(bench, PW_OK);
    bench_accepted(bench);
    asker_begin(&other);
    asker_must(&other, PW_OK);
    assert_false(bench_refused(bench));
    (void)bench_file(bench, 0, "");
    bench_must(bench, PW_EFORMAT);
    assert_no_headers(bench->credentials);
    asker_begin(&other); /* did not see the 401 itself */
    asker_must(&other, PW_EPERM);
    (void)unlink(bench->paths[0]);
    bench_must(bench, PW_ENOTFOUND);
    bench->clock.now_ms += 6 * MINUTE_MS;
    bench_must(bench, PW_ENOTFOUND);
    (void)bench_file(bench, 0, PLANTED_AK);
    bench_must(bench, PW_OK); /* its time has come again */
    asker_close(&other);
}

static void test_token(void **state)
{
    struct bench *bench = *state;

    bench->source.auth = PW_AUTH_TOKEN;
    bench->source.token_file = bench_file(bench, 0, PLANTED_TOKEN "\n");
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_false(bench_refused(bench));
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "the token was refused"));
    (void)bench_file(bench, 0, "another-token");
    bench_must(bench, PW_OK);
    pw_credentials_forbidden(bench->credentials, pw_credentials_generation(bench->credentials));
    bench_must(bench, PW_OK);
}

/* ---- the table -------------------------------------------------------------------------------*/

static void ignore(void *context)
{
    (void)context;
}

static struct pw_guard_print print_of(const struct pw_guard *guard, int number)
{
    struct pw_guard_print print;
    char text[16];
    const struct pw_str part = {text, (size_t)snprintf(text, sizeof text, "%d", number)};

    assert_int_equal(pw_guard_fingerprint(guard, &part, 1, &print, NULL), PW_OK);
    return print;
}

static void test_bounded(void **state)
{
    struct bench *bench = *state;
    struct pw_guard *guard = bench->guard;
    struct pw_guard_turn turn = {.guard = guard, .go = ignore, .proof_ms = INT64_MAX};
    struct pw_guard_print print;
    enum pw_guard_answer answer;

    for (int i = 0; i < 3000; i++) {
        print = print_of(guard, i);
        assert_int_equal(pw_guard_ask(&turn, &print, &answer, NULL), PW_OK);
        assert_int_equal(answer, PW_GUARD_GO);
        if (i == 0)
            pw_guard_refused(&turn);
        else if (i < 2999)
            pw_guard_accepted(&turn);
    }
    assert_in_range(pw_guard_count(guard), 1000, PW_GUARD_MAX_IDLE + 1);
    /* The refused one is the oldest, and still known; what nobody had an answer to is not. */
    print = print_of(guard, 0);
    assert_int_equal(pw_guard_ask(&turn, &print, &answer, NULL), PW_OK);
    assert_int_equal(answer, PW_GUARD_REFUSED);
    assert_in_range(pw_guard_count(guard), 1000, PW_GUARD_MAX_IDLE);
    pw_guard_leave(&turn);
    pw_guard_free(NULL);
}

static void test_prints(void **state)
{
    struct bench *bench = *state;
    const struct pw_str ab[] = {pw_str_of("ab"), pw_str_of("c"), PW_STR_NULL};
    const struct pw_str bc[] = {pw_str_of("a"), pw_str_of("bc"), PW_STR_NULL};
    struct pw_guard_print one, two, salted;
    struct pw_guard *other;

    assert_int_equal(pw_guard_new(&bench->clock.clock, &other, NULL), PW_OK);
    assert_int_equal(pw_guard_fingerprint(bench->guard, ab, 3, &one, NULL), PW_OK);
    assert_int_equal(pw_guard_fingerprint(bench->guard, bc, 3, &two, NULL), PW_OK);
    assert_memory_not_equal(&one, &two, sizeof one);
    assert_int_equal(pw_guard_fingerprint(bench->guard, ab, 3, &two, NULL), PW_OK);
    assert_memory_equal(&one, &two, sizeof one);
    assert_int_equal(pw_guard_fingerprint(other, ab, 3, &salted, NULL), PW_OK);
    assert_memory_not_equal(&one, &salted, sizeof one);
    pw_guard_free(other);
}

/* A proof that counts for a while only: then one asker alone once more. */
static void test_old_proof(void **state)
{
    struct bench *bench = *state;
    struct pw_guard_turn one = {.guard = bench->guard, .go = ignore, .proof_ms = MINUTE_MS};
    struct pw_guard_turn two = one;
    struct pw_guard_print print = print_of(bench->guard, 1);
    enum pw_guard_answer answer;

    assert_int_equal(pw_guard_ask(&one, &print, &answer, NULL), PW_OK);
    pw_guard_accepted(&one);
    assert_int_equal(pw_guard_ask(&two, &print, &answer, NULL), PW_OK);
    assert_int_equal(answer, PW_GUARD_GO);
    bench->clock.now_ms += MINUTE_MS;
    assert_int_equal(pw_guard_ask(&one, &print, &answer, NULL), PW_OK);
    assert_int_equal(answer, PW_GUARD_GO);
    assert_int_equal(pw_guard_ask(&two, &print, &answer, NULL), PW_OK);
    assert_int_equal(answer, PW_GUARD_WAIT);
    pw_guard_leave(&two);
    pw_guard_leave(&one);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shared_key_refused),
        TEST(test_shared_key_accepted),
        TEST(test_other_keys_and_hosts),
        TEST(test_prover_rests),
        TEST(test_waiting_is_canceled),
        TEST(test_next_tries),
        TEST(test_outlives_a_reload),
        TEST(test_same_bytes),
        TEST(test_truncated_after_a_refusal),
        TEST(test_token),
        TEST(test_bounded),
        TEST(test_prints),
        TEST(test_old_proof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
