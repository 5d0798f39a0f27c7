/* Cancelling and closing, in every state and from within every callback. The tear-down of each test
 * proves that nothing stays on the loop; AddressSanitizer, that nothing is used after its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static void assert_canceled(struct ask *ask)
{
    assert_int_equal(ask->done, 1);
    assert_int_equal(ask->status, PW_ECANCELED);
    assert_non_null(strstr(ask->message, "canceled"));
    ask_free(ask);
}

static void cancel_and_check(struct ask *ask, struct world *world)
{
    pw_http_cancel(ask->call);
    assert_int_equal(ask->done, 1);
    world_run_ms(world, 10);
    assert_canceled(ask);
}

static void test_cancel_at_once(void **state)
{
    struct world *world = *state;
    struct ask ask;

    ask_init(&ask, world);
    ask_start(&ask, world);
    cancel_and_check(&ask, world);
    assert_int_equal(world->server.connections, 0);
}

static void test_cancel_waiting_for_a_token(void **state)
{
    struct world *world = *state;
    struct pw_throttle *throttle;
    struct pw_error err;
    struct ask first, second;

    SCRIPT(world, {.bytes = OK_HELLO});
    assert_int_equal(pw_throttle_new(&world->loop, 1, 60000, &throttle, &err), PW_OK);
    ask_init(&first, world);
    first.request.throttle = throttle;
    ask_start(&first, world);
    ask_wait(&first, world);
    ask_free(&first);
    ask_init(&second, world);
    second.request.throttle = throttle;
    ask_start(&second, world);
    world_run_ms(world, 10);
    assert_int_equal(second.done, 0);
    cancel_and_check(&second, world);
    assert_int_equal(world->server.requests, 1);
    pw_throttle_close(throttle);
}

static void test_cancel_in_the_queue(void **state)
{
    struct world *world = *state;
    struct ask asks[5];

    SCRIPT(world, {.bytes = OK_HELLO, .delay_ms = 50});
    for (int i = 0; i < 5; i++) {
        ask_init(&asks[i], world);
        ask_start(&asks[i], world);
    }
    world_run_ms(world, 20);
    assert_int_equal(world->server.requests, 4);
    cancel_and_check(&asks[4], world);
    for (int i = 0; i < 4; i++) {
        if (asks[i].done == 0)
            ask_wait(&asks[i], world);
        assert_int_equal(asks[i].status, PW_OK);
        ask_free(&asks[i]);
    }
    assert_int_equal(world->server.requests, 4);
}

static void test_cancel_in_flight(void **state)
{
    struct world *world = *state;
    struct ask ask, next;

    SCRIPT(world, {.bytes = NULL}, {.bytes = OK_HELLO});
    ask_init(&ask, world);
    ask_start(&ask, world);
    world_run_ms(world, 20);
    assert_int_equal(world->server.requests, 1);
    cancel_and_check(&ask, world);
    assert_int_equal(ask.attempts, 1);
    ask_init(&next, world);
    ask_start(&next, world);
    ask_wait(&next, world);
    assert_int_equal(next.status, PW_OK);
    ask_free(&next);
}

/* A canceled flight makes room for those in line. */
static void test_cancel_in_flight_lets_the_next_in(void **state)
{
    struct world *world = *state;
    struct ask asks[5];

    SCRIPT(world, {.bytes = NULL}, {.bytes = NULL}, {.bytes = NULL}, {.bytes = NULL},
           {.bytes = OK_HELLO});
    for (int i = 0; i < 5; i++) {
        ask_init(&asks[i], world);
        ask_start(&asks[i], world);
    }
    world_run_ms(world, 20);
    pw_http_cancel(asks[2].call);
    ask_wait(&asks[4], world);
    assert_int_equal(asks[4].status, PW_OK);
    ask_free(&asks[4]);
    world_close_http(world);
    for (int i = 0; i < 4; i++)
        assert_canceled(&asks[i]);
}

static void test_cancel_between_attempts(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 2\r\n\r\nno"});
    ask_init(&ask, world);
    ask.request.retries = 3;
    ask_start(&ask, world);
    world_run_ms(world, 30);
    assert_int_equal(world->server.requests, 1);
    cancel_and_check(&ask, world);
    assert_int_equal(ask.http_status, 503); /* what it had got so far */
    assert_int_equal(ask.attempts, 1);
}

/* ---- from within callbacks -------------------------------------------------------------------*/

struct plot {
    struct ask ask; /* first, so that context serves both */
    struct world *world;
    struct pw_http *http; /* the world forgets it when it closes */
    struct ask *victim;
    bool closes;
    void (*then)(void *context, const struct pw_http_result *result);
};

static void act(struct plot *plot)
{
    if (plot->victim != NULL)
        pw_http_cancel(plot->victim->call);
    if (plot->closes)
        world_begin_close(plot->world);
}

static enum pw_http_verdict acting_judge(void *context, const struct pw_http_response *response,
                                         bool last, struct pw_error *err)
{
    (void)last;
    (void)err;
    act(context);
    /* The answer outlives the request within its judge. */
    assert_memory_equal(response->body.data, "hello", 5);
    return PW_HTTP_ACCEPT;
}

static enum pw_status acting_prepare(void *context, const char *const **extra, struct pw_error *err)
{
    (void)extra;
    (void)err;
    act(context);
    return PW_OK;
}

static int64_t acting_hint(void *context, const struct pw_http_response *response)
{
    (void)response;
    act(context);
    return -1;
}

static void acting_done(void *context, const struct pw_http_result *result)
{
    struct plot *plot = context;

    plot->then(context, result);
    act(plot);
}

static void plot_init(struct plot *plot, struct world *world)
{
    memset(plot, 0, sizeof *plot);
    ask_init(&plot->ask, world);
    plot->world = world;
    plot->http = world->http;
    plot->then = plot->ask.request.done;
}

static void test_cancel_itself_in_judge(void **state)
{
    struct world *world = *state;
    struct plot plot;

    SCRIPT(world, {.bytes = OK_HELLO});
    plot_init(&plot, world);
    plot.ask.request.judge = acting_judge;
    plot.victim = &plot.ask;
    ask_start(&plot.ask, world);
    ask_wait(&plot.ask, world);
    assert_canceled(&plot.ask);
}

static void test_cancel_itself_in_prepare(void **state)
{
    struct world *world = *state;
    struct plot plot;

    plot_init(&plot, world);
    plot.ask.request.prepare = acting_prepare;
    plot.victim = &plot.ask;
    ask_start(&plot.ask, world);
    ask_wait(&plot.ask, world);
    assert_canceled(&plot.ask);
    assert_int_equal(world->server.connections, 0);
}

static void test_cancel_itself_in_hint(void **state)
{
    struct world *world = *state;
    struct plot plot;

    SCRIPT(world, {.bytes = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"});
    plot_init(&plot, world);
    plot.ask.request.wait_hint_ms = acting_hint;
    plot.ask.request.retries = 1;
    plot.victim = &plot.ask;
    ask_start(&plot.ask, world);
    ask_wait(&plot.ask, world);
    assert_canceled(&plot.ask);
}

static void test_cancel_itself_in_done_is_nothing(void **state)
{
    struct world *world = *state;
    struct plot plot;

    SCRIPT(world, {.bytes = OK_HELLO});
    plot_init(&plot, world);
    plot.ask.request.done = acting_done;
    plot.victim = &plot.ask;
    ask_start(&plot.ask, world);
    ask_wait(&plot.ask, world);
    assert_int_equal(plot.ask.status, PW_OK);
    ask_free(&plot.ask);
}

/* Both answers are there in the same turn of the loop. */
static void test_cancel_another_in_done(void **state)
{
    struct world *world = *state;
    struct plot plots[2];

    SCRIPT(world, {.bytes = OK_HELLO, .delay_ms = 20});
    for (int i = 0; i < 2; i++) {
        plot_init(&plots[i], world);
        plots[i].ask.request.done = acting_done;
    }
    plots[0].victim = &plots[1].ask;
    plots[1].victim = &plots[0].ask;
    for (int i = 0; i < 2; i++)
        ask_start(&plots[i].ask, world);
    /* Once one is done, its call is gone for the other, which it cancels in time. */
    while (plots[0].ask.done + plots[1].ask.done == 0)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(plots[0].ask.done, 1);
    assert_int_equal(plots[1].ask.done, 1);
    assert_int_equal(plots[0].ask.status == PW_OK, plots[1].ask.status == PW_ECANCELED);
    assert_int_equal(plots[1].ask.status == PW_OK, plots[0].ask.status == PW_ECANCELED);
    for (int i = 0; i < 2; i++)
        ask_free(&plots[i].ask);
}

static void close_from(struct world *world, void (*arrange)(struct plot *plot))
{
    struct plot plot;
    struct ask others[6];

    SCRIPT(world, {.bytes = OK_HELLO}, {.bytes = NULL});
    plot_init(&plot, world);
    arrange(&plot);
    plot.closes = true;
    ask_start(&plot.ask, world);
    for (int i = 0; i < 6; i++) { /* some fly, some are in the queue */
        ask_init(&others[i], world);
        ask_start(&others[i], world);
    }
    ask_wait(&plot.ask, world);
    ask_free(&plot.ask);
    for (int i = 0; i < 6; i++)
        assert_canceled(&others[i]);
}

static void in_done(struct plot *plot)
{
    plot->ask.request.done = acting_done;
}

static void in_judge(struct plot *plot)
{
    plot->ask.request.judge = acting_judge;
}

static void in_prepare(struct plot *plot)
{
    plot->ask.request.prepare = acting_prepare;
}

static void test_close_in_done(void **state)
{
    close_from(*state, in_done);
}

static void test_close_in_judge(void **state)
{
    close_from(*state, in_judge);
}

static void test_close_in_prepare(void **state)
{
    close_from(*state, in_prepare);
}

/* ---- closing ---------------------------------------------------------------------------------*/

static void test_close_unused(void **state)
{
    world_close_http(*state);
}

static void test_close_with_everything_under_way(void **state)
{
    struct world *world = *state;
    struct pw_throttle *throttle;
    struct pw_error err;
    struct ask asks[9];

    SCRIPT(world, {.bytes = "HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"},
           {.bytes = NULL});
    assert_int_equal(pw_throttle_new(&world->loop, 1, 60000, &throttle, &err), PW_OK);
    for (int i = 0; i < 9; i++) {
        ask_init(&asks[i], world);
        asks[i].request.retries = 1;
        asks[i].request.throttle = i >= 7 ? throttle : NULL;
        ask_start(&asks[i], world);
        if (i == 0) {
            world_run_ms(world, 20);
        }
    }
    world_run_ms(world, 20);
    assert_int_equal(world->server.requests, 5); /* one waits to retry, four fly */
    world_close_http(world);
    for (int i = 0; i < 9; i++)
        assert_canceled(&asks[i]);
    pw_throttle_close(throttle);
}

static void starting_done(void *context, const struct pw_http_result *result)
{
    struct plot *plot = context;
    struct pw_error err;

    plot->then(context, result);
    assert_int_equal(pw_http_start(plot->http, &plot->ask.request, NULL, &err), PW_ECANCELED);
}

static void test_no_start_while_closing(void **state)
{
    struct world *world = *state;
    struct plot plot;

    SCRIPT(world, {.bytes = NULL});
    plot_init(&plot, world);
    plot.ask.request.done = starting_done;
    ask_start(&plot.ask, world);
    world_run_ms(world, 10);
    world_close_http(world);
    assert_canceled(&plot.ask);
}

static void test_unresolvable_host_does_not_hold_up_closing(void **state)
{
    struct world *world = *state;
    uint64_t start;
    struct ask ask;

    ask_init(&ask, world);
    ask.request.url = "http://nosuch.invalid/";
    ask.request.retries = 100;
    ask_start(&ask, world);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    start = uv_hrtime();
    world_close_http(world);
    assert_true((uv_hrtime() - start) / 1000000 < 500);
    assert_canceled(&ask);
}

static void test_unresolvable_host(void **state)
{
    struct world *world = *state;
    struct ask ask;

    ask_init(&ask, world);
    ask.request.url = "http://nosuch.invalid/";
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_memory_equal(ask.message, "GET http://nosuch.invalid/: ", 28);
    ask_free(&ask);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cancel_at_once),
        TEST(test_cancel_waiting_for_a_token),
        TEST(test_cancel_in_the_queue),
        TEST(test_cancel_in_flight),
        TEST(test_cancel_in_flight_lets_the_next_in),
        TEST(test_cancel_between_attempts),
        TEST(test_cancel_itself_in_judge),
        TEST(test_cancel_itself_in_prepare),
        TEST(test_cancel_itself_in_hint),
        TEST(test_cancel_itself_in_done_is_nothing),
        TEST(test_cancel_another_in_done),
        TEST(test_close_in_done),
        TEST(test_close_in_judge),
        TEST(test_close_in_prepare),
        TEST(test_close_unused),
        TEST(test_close_with_everything_under_way),
        TEST(test_no_start_while_closing),
        TEST(test_unresolvable_host_does_not_hold_up_closing),
        TEST(test_unresolvable_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
