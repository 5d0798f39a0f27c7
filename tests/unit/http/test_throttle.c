/* The token bucket: how many, in which order, and what leaves the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "http/throttle.h"

enum { WAITERS = 64 };

struct line {
    uv_loop_t loop;
    struct pw_throttle *throttle;
    struct pw_throttle_waiter waiters[WAITERS];
    int served[WAITERS]; /* in order */
    size_t served_count;
    struct pw_throttle_waiter *victim;  /* forgotten by the first go */
    struct pw_throttle_waiter *another; /* queued by the first go */
};

static struct line *current; /* go() has no context of its own; one test runs at a time */

static void go(struct pw_throttle_waiter *waiter)
{
    struct line *line = current;

    line->served[line->served_count++] = (int)(waiter - line->waiters);
    if (line->victim != NULL)
        pw_throttle_forget(line->victim);
    line->victim = NULL;
    if (line->another != NULL) {
        struct pw_throttle_waiter *another = line->another;
        line->another = NULL;
        pw_throttle_wait(line->throttle, another);
    }
}

static int setup(void **state)
{
    static struct line line;

    memset(&line, 0, sizeof line);
    assert_int_equal(uv_loop_init(&line.loop), 0);
    for (size_t i = 0; i < WAITERS; i++)
        line.waiters[i].go = go;
    current = &line;
    *state = &line;
    return 0;
}

static int teardown(void **state)
{
    struct line *line = *state;

    for (size_t i = 0; i < WAITERS; i++)
        pw_throttle_forget(&line->waiters[i]);
    pw_throttle_close(line->throttle);
    (void)uv_run(&line->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&line->loop), 0);
    return 0;
}

static void limit(struct line *line, int64_t count, int64_t period_ms)
{
    struct pw_error err;

    assert_int_equal(pw_throttle_new(&line->loop, count, period_ms, &line->throttle, &err), PW_OK);
}

static void queue(struct line *line, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        pw_throttle_wait(line->throttle, &line->waiters[i]);
}

/* Runs until so many were served; gives the milliseconds that took. */
static uint64_t run_until(struct line *line, size_t count)
{
    uint64_t start;

    uv_update_time(&line->loop);
    start = uv_now(&line->loop);
    while (line->served_count < count && uv_run(&line->loop, UV_RUN_ONCE) != 0)
        ;
    assert_int_equal(line->served_count, count);
    uv_update_time(&line->loop);
    return uv_now(&line->loop) - start;
}

static void assert_in_order(const struct line *line)
{
    for (size_t i = 0; i < line->served_count; i++)
        assert_int_equal(line->served[i], i);
}

static void test_no_limit(void **state)
{
    struct line *line = *state;

    limit(line, 0, 1000);
    queue(line, 0, WAITERS);
    assert_int_equal(line->served_count, WAITERS);
    assert_in_order(line);
}

static void test_burst_then_rate(void **state)
{
    struct line *line = *state;
    uint64_t took_ms;

    /* 20 a second: 20 at once, 6 more within 300 ms, in order. */
    limit(line, 20, 1000);
    queue(line, 0, 26);
    assert_int_equal(line->served_count, 20);
    took_ms = run_until(line, 26);
    assert_in_order(line);
    assert_true(took_ms >= 290);
    assert_true(took_ms < 900);
}

static void test_slow_rate_has_a_burst_of_one(void **state)
{
    struct line *line = *state;
    uint64_t took_ms;

    /* 300 a minute is 5 a second; 6 a minute is one each ten seconds. */
    limit(line, 6, 60000);
    queue(line, 0, 2);
    assert_int_equal(line->served_count, 1);
    pw_throttle_set(line->throttle, 600, 60000);
    took_ms = run_until(line, 2);
    assert_true(took_ms >= 90);
    assert_true(took_ms < 600);
}

static void test_idle_time_earns_no_more_than_the_burst(void **state)
{
    struct line *line = *state;

    limit(line, 50, 1000);
    queue(line, 0, 50);
    assert_int_equal(line->served_count, 50);
    uv_sleep(100);
    uv_update_time(&line->loop);
    queue(line, 50, 60); /* 100 ms earned about 5 */
    assert_in_range(line->served_count, 55, 59);
    (void)run_until(line, 60);
    assert_in_order(line);
}

static void test_limit_lifted(void **state)
{
    struct line *line = *state;

    limit(line, 1, 60000);
    queue(line, 0, 10);
    assert_int_equal(line->served_count, 1);
    pw_throttle_set(line->throttle, 0, 1000);
    assert_int_equal(line->served_count, 1); /* not from within set */
    assert_true(run_until(line, 10) < 500);
    assert_in_order(line);
}

static void test_limit_set(void **state)
{
    struct line *line = *state;

    limit(line, 0, 1000);
    queue(line, 0, 5);
    pw_throttle_set(line->throttle, 2, 1000);
    queue(line, 5, 10); /* a full bucket of two */
    assert_int_equal(line->served_count, 7);
}

static void test_forget(void **state)
{
    static const int expected[] = {0, 2, 4};
    struct line *line = *state;

    limit(line, 1, 60000);
    queue(line, 0, 6);
    pw_throttle_forget(&line->waiters[1]); /* first, middle and last of the line */
    pw_throttle_forget(&line->waiters[3]);
    pw_throttle_forget(&line->waiters[5]);
    pw_throttle_forget(&line->waiters[5]);
    pw_throttle_forget(&line->waiters[0]); /* was served */
    pw_throttle_set(line->throttle, 0, 1);
    (void)run_until(line, 3);
    assert_memory_equal(line->served, expected, sizeof expected);
}

static void test_forget_all_lets_the_loop_end(void **state)
{
    struct line *line = *state;

    limit(line, 1, 60000);
    queue(line, 0, 3);
    pw_throttle_forget(&line->waiters[1]);
    pw_throttle_forget(&line->waiters[2]);
    assert_int_equal(uv_run(&line->loop, UV_RUN_NOWAIT), 0);
}

static void test_callbacks_may_change_the_line(void **state)
{
    static const int expected[] = {0, 2, 3, 9};
    struct line *line = *state;

    limit(line, 1, 60000);
    pw_throttle_wait(line->throttle, &line->waiters[63]); /* takes the burst */
    line->served_count = 0;
    queue(line, 0, 4);
    line->victim = &line->waiters[1];
    line->another = &line->waiters[9];
    pw_throttle_set(line->throttle, 100, 1000);
    (void)run_until(line, 4);
    assert_memory_equal(line->served, expected, sizeof expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_limit),
        TEST(test_burst_then_rate),
        TEST(test_slow_rate_has_a_burst_of_one),
        TEST(test_idle_time_earns_no_more_than_the_burst),
        TEST(test_limit_lifted),
        TEST(test_limit_set),
        TEST(test_forget),
        TEST(test_forget_all_lets_the_loop_end),
        TEST(test_callbacks_may_change_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
