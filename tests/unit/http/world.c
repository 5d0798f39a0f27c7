/* Loop, server and requests for the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct pw_error err;

    assert_non_null(world);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    server_start(&world->server, &world->loop);
    assert_int_equal(pw_http_new(&world->loop, 4, &world->http, &err), PW_OK);
    (void)snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/path?query=1",
                   world->server.port);
    *state = world;
    return 0;
}

static void on_http_closed(void *context)
{
    struct world *world = context;

    world->is_http_closed = true;
}

void world_begin_close(struct world *world)
{
    struct pw_http *http = world->http;

    world->http = NULL;
    if (http != NULL)
        pw_http_close(http, on_http_closed, world);
}

void world_close_http(struct world *world)
{
    world_begin_close(world);
    while (!world->is_http_closed)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
}

int world_teardown(void **state)
{
    struct world *world = *state;
    int result;

    world_close_http(world);
    server_stop(&world->server);
    (void)uv_run(&world->loop, UV_RUN_DEFAULT);
    result = uv_loop_close(&world->loop);
    free(world);
    assert_int_equal(result, 0);
    return 0;
}

static void on_deadline(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void world_run_ms(struct world *world, uint64_t duration_ms)
{
    uv_timer_t timer;
    bool is_over = false;

    uv_update_time(&world->loop);
    (void)uv_timer_init(&world->loop, &timer);
    timer.data = &is_over;
    (void)uv_timer_start(&timer, on_deadline, duration_ms, 1); /* again: uv_run may wait after it */
    while (!is_over)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
}

static void keep_text(char *out, size_t size_bytes, struct pw_str text)
{
    (void)snprintf(out, size_bytes, "%.*s", PW_STR_ARG(text));
}

static void on_done(void *context, const struct pw_http_result *result)
{
    struct ask *ask = context;

    ask->done++;
    ask->status = result->status;
    if (result->status != PW_OK) {
        assert_int_equal(result->error.status, result->status);
        (void)snprintf(ask->message, sizeof ask->message, "%s", result->error.message);
    }
    ask->attempts = result->attempts;
    ask->received_bytes = result->received_bytes;
    ask->ended_at_ms = uv_hrtime() / 1000000;
    if (result->response != NULL) {
        const struct pw_http_response *response = result->response;

        ask->has_response = true;
        ask->http_status = response->status;
        assert_non_null(response->body.data);
        /* AddressSanitizer watches these reads. */
        for (size_t i = 0; i < PW_HTTP_BODY_PADDING; i++)
            assert_int_equal(response->body.data[response->body.len + i], 0);
        free(ask->body);
        ask->body = pw_str_dup(response->body);
        ask->body_len = response->body.len;
        keep_text(ask->content_type, sizeof ask->content_type, response->content_type);
        keep_text(ask->request_id, sizeof ask->request_id, response->request_id);
        ask->retry_after_ms = response->retry_after_ms;
        ask->date_ms = response->date_ms;
    }
}

void ask_init(struct ask *ask, struct world *world)
{
    memset(ask, 0, sizeof *ask);
    ask->request = (struct pw_http_request){
        .url = world->url,
        .timeout_ms = 2000,
        .connect_timeout_ms = 1000,
        .body_max_bytes = 1000,
        .backoff_base_ms = 1,
        .backoff_cap_ms = 2,
        .context = ask,
        .done = on_done,
    };
}

void ask_start(struct ask *ask, struct world *world)
{
    struct pw_error err = {.status = PW_OK};

    if (pw_http_start(world->http, &ask->request, &ask->call, &err) != PW_OK)
        fail_msg("pw_http_start: %s", err.message);
    assert_int_equal(ask->done, 0);
}

void ask_wait(struct ask *ask, struct world *world)
{
    uv_timer_t timer;
    bool is_over = false;

    uv_update_time(&world->loop);
    (void)uv_timer_init(&world->loop, &timer);
    timer.data = &is_over;
    (void)uv_timer_start(&timer, on_deadline, 5000, 0);
    while (ask->done == 0 && !is_over)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    assert_int_equal(ask->done, 1);
}

void ask_free(struct ask *ask)
{
    free(ask->body);
    ask->body = NULL;
}
