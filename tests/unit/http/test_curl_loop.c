/* When libcurl's machinery breaks under running transfers: they fail as the network does, are tried
 * again, and the next ones work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

/* Makes the loop refuse to watch the next socket that is opened: libuv believes that its number
 * already has a watcher (UV_EEXIST). */
struct blocker {
    uv_poll_t poll;
    int pipe[2];
};

static void on_nothing(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void block(struct blocker *blocker, struct world *world)
{
    assert_int_equal(pipe2(blocker->pipe, O_CLOEXEC), 0);
    assert_int_equal(uv_poll_init(&world->loop, &blocker->poll, blocker->pipe[0]), 0);
    assert_int_equal(uv_poll_start(&blocker->poll, UV_READABLE, on_nothing), 0);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    (void)close(blocker->pipe[0]);
}

static void unblock(struct blocker *blocker)
{
    (void)close(blocker->pipe[1]);
    uv_close((uv_handle_t *)&blocker->poll, NULL);
}

struct unblocking {
    struct ask ask; /* first, so that context serves both */
    struct blocker *blocker;
    void (*then)(void *context, const struct pw_http_result *result);
};

static void unblocking_done(void *context, const struct pw_http_result *result)
{
    struct unblocking *unblocking = context;

    unblocking->then(context, result);
    unblock(unblocking->blocker);
}

static void test_broken_machinery(void **state)
{
    struct world *world = *state;
    struct unblocking second;
    struct blocker blocker;
    struct ask first, third;

    SCRIPT(world, {.bytes = NULL}, {.bytes = OK_HELLO});
    ask_init(&first, world);
    first.request.retries = 1;
    ask_start(&first, world);
    world_run_ms(world, 20);
    assert_int_equal(world->server.requests, 1);

    block(&blocker, world);
    ask_init(&second.ask, world);
    second.then = second.ask.request.done;
    second.blocker = &blocker;
    second.ask.request.done = unblocking_done;
    ask_start(&second.ask, world);
    ask_wait(&second.ask, world);
    assert_int_equal(second.ask.status, PW_ENETWORK);
    assert_non_null(strstr(second.ask.message, "an error of our own"));

    if (first.done == 0)
        ask_wait(&first, world);
    assert_int_equal(first.status, PW_OK);
    assert_int_equal(first.attempts, 2);
    ask_init(&third, world);
    ask_start(&third, world);
    ask_wait(&third, world);
    assert_int_equal(third.status, PW_OK);
    ask_free(&first);
    ask_free(&third);
}

/* Between the break and the next request there is no machinery to close. */
static void test_close_while_broken(void **state)
{
    struct world *world = *state;
    struct blocker blocker;
    struct ask ask;

    SCRIPT(world, {.bytes = OK_HELLO});
    block(&blocker, world);
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_int_equal(world->server.requests, 0);
    world_close_http(world);
    unblock(&blocker);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT); /* blocker leaves the loop before the stack */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_broken_machinery),
        TEST(test_close_while_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
