/* Sweeps whose pages are large: decoded by the crew, with the same outcome as the small ones that
 * are decoded on the loop, and ended at any moment. The world's tear-down fails where anything is
 * left on the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../http/world.h"
#include "base/buffer.h"
#include "coc/sweep.h"
#include "http/crew.h"

enum {
    LARGE_BYTES = 400000, /* decoded by the crew */
    MANY = 1800           /* records: several turns of the loop */
};

struct bench {
    struct world *world;
    uv_timer_t heartbeat;
    struct pw_source_config source;
    char endpoint[64];
    struct pw_guard *guard;
    struct pw_credentials *credentials;
    struct pw_throttle *throttle;
    struct pw_pace pace;
    struct pw_index *index;
    struct pw_buffer staged; /* the node ids, a line each */
    size_t staged_count;
    struct pw_sweep *sweep;
    int done;
    struct pw_sweep_summary summary;
    struct answer answer;
    char *bytes;
    bool is_closed;
};

static void on_heartbeat(uv_timer_t *timer)
{
    (void)timer;
}

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct pw_error err;

    assert_non_null(bench);
    assert_int_equal(world_setup(state), 0);
    bench->world = *state;
    *state = bench;
    (void)uv_timer_init(&bench->world->loop, &bench->heartbeat);
    (void)uv_timer_start(&bench->heartbeat, on_heartbeat, 5, 5);
    (void)snprintf(bench->endpoint, sizeof bench->endpoint, "http://127.0.0.1:%d",
                   bench->world->server.port);
    bench->source =
        (struct pw_source_config){.name = (char *)(uintptr_t) "prod",
                                  .endpoint = bench->endpoint,
                                  .auth = PW_AUTH_NONE,
                                  .timeout_ms = 5000,
                                  .connect_timeout_ms = 1000,
                                  .sweep_timeout_ms = 20000,
                                  .page_size = MANY + 1, /* so that one page is the last */
                                  .offset = PW_OFFSET_SETTING_PAGE,
                                  .concurrency = 2};
    assert_int_equal(pw_guard_new(pw_clock_system(), &bench->guard, &err), PW_OK);
    assert_int_equal(pw_credentials_new(&bench->world->loop, bench->world->http, pw_clock_system(),
                                        bench->guard, &bench->source, &bench->credentials, &err),
                     PW_OK);
    assert_int_equal(pw_throttle_new(&bench->world->loop, 0, 1000, &bench->throttle, &err), PW_OK);
    pw_pace_configure(&bench->pace, 0, 1000, 2);
    bench->index = pw_index_new();
    assert_non_null(bench->index);
    pw_buffer_init(&bench->staged, 10000000);
    return 0;
}

static void on_closed(void *context)
{
    struct bench *bench = context;

    bench->is_closed = true;
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    struct world *world = bench->world;
    int result;

    pw_credentials_close(bench->credentials, on_closed, bench);
    while (!bench->is_closed)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    pw_throttle_close(bench->throttle);
    uv_close((uv_handle_t *)&bench->heartbeat, NULL);
    *state = world;
    result = world_teardown(state);
    pw_guard_free(bench->guard);
    pw_index_free(bench->index);
    pw_buffer_free(&bench->staged);
    free(bench->bytes);
    free(bench);
    return result;
}

/* One answer for ever: a body, followed by blanks up to a size. */
static void serve(struct bench *bench, struct pw_str body, size_t size_bytes)
{
    size_t len = body.len > size_bytes ? body.len : size_bytes;
    char *bytes = malloc(len + 200);
    int head;

    assert_non_null(bytes);
    head = snprintf(
        bytes, 200,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", len);
    memcpy(bytes + head, body.data, body.len);
    memset(bytes + head + body.len, ' ', len - body.len);
    free(bench->bytes);
    bench->bytes = bytes;
    bench->answer = (struct answer){.bytes = bytes, .len = (size_t)head + len};
    server_script(&bench->world->server, &bench->answer, 1);
}

/* A page that is the whole fleet: its count says so. */
static void serve_page(struct bench *bench, size_t records, const char *first, size_t size_bytes)
{
    struct pw_buffer body;

    pw_buffer_init(&body, 1000000);
    (void)pw_buffer_printf(&body, "{\"count\":%zu,\"instance_compliant\":[%s", records, first);
    for (size_t i = first[0] != '\0' ? 1 : 0; i < records; i++)
        (void)pw_buffer_printf(&body, "%s{\"instance_id\":\"i-%zu\",\"status\":\"compliant\"}",
                               i > 0 ? "," : "", i);
    (void)pw_buffer_append_text(&body, "]}");
    assert_int_equal(body.failed, PW_OK);
    serve(bench, pw_buffer_str(&body), size_bytes);
    pw_buffer_free(&body);
}

static enum pw_status on_stage(void *context, const struct pw_report *report)
{
    struct bench *bench = context;

    bench->staged_count++;
    (void)pw_buffer_append_str(&bench->staged, report->instance_id);
    return pw_buffer_append_text(&bench->staged, "\n");
}

static void on_sweep_done(void *context, const struct pw_sweep_summary *summary)
{
    struct bench *bench = context;

    bench->done++;
    bench->summary = *summary;
    bench->sweep = NULL;
}

static void start(struct bench *bench)
{
    struct pw_sweep_params params = {
        .loop = &bench->world->loop,
        .http = bench->world->http,
        .throttle = bench->throttle,
        .pace = &bench->pace,
        .credentials = bench->credentials,
        .clock = pw_clock_system(),
        .source = &bench->source,
        .index = bench->index,
        .connection_share = 2,
        .context = bench,
        .stage = on_stage,
        .done = on_sweep_done,
    };
    struct pw_error err;

    bench->done = 0;
    bench->staged_count = 0;
    pw_buffer_clear(&bench->staged);
    assert_int_equal(pw_sweep_start(&params, &bench->sweep, &err), PW_OK);
}

static void finish(struct bench *bench)
{
    while (bench->done == 0)
        (void)uv_run(&bench->world->loop, UV_RUN_ONCE);
    assert_int_equal(bench->done, 1);
}

/* ---- the tests -------------------------------------------------------------------------------*/

/* What a sweep says, of a page decoded here and of the same one decoded by the crew. */
static void assert_same_either_way(struct bench *bench, size_t records, const char *first)
{
    struct pw_sweep_summary summary;
    char *staged;

    serve_page(bench, records, first, 0);
    start(bench);
    finish(bench);
    summary = bench->summary;
    staged = pw_buffer_take(&bench->staged);
    assert_non_null(staged);
    serve_page(bench, records, first, LARGE_BYTES);
    start(bench);
    finish(bench);
    assert_string_equal(bench->staged.data != NULL ? bench->staged.data : "", staged);
    assert_int_equal(bench->summary.is_complete, summary.is_complete);
    assert_int_equal(bench->summary.records, summary.records);
    assert_int_equal(bench->summary.nodes, summary.nodes);
    assert_int_equal(bench->summary.reported_count, summary.reported_count);
    assert_int_equal(bench->summary.requests, summary.requests);
    assert_int_equal(bench->summary.pages, summary.pages);
    assert_string_equal(bench->summary.reason, summary.reason);
    assert_string_equal(bench->summary.error_code, summary.error_code);
    assert_string_equal(bench->summary.error_msg, summary.error_msg);
    free(staged);
}

static void test_same_as_on_the_loop(void **state)
{
    struct bench *bench = *state;

    bench->source.retries = 1;
    assert_same_either_way(bench, 10, "");
    assert_int_equal(bench->summary.records, 10);
    assert_int_equal(bench->staged_count, 10);
    assert_same_either_way(bench, MANY, "");
    assert_int_equal(bench->summary.records, MANY);
    assert_int_equal(bench->staged_count, MANY);
    /* A record that is none is left out, in the end. */
    assert_same_either_way(bench, 700, "{\"instance_id\":7}");
    assert_false(bench->summary.is_complete);
    assert_int_equal(bench->staged_count % 699, 0); /* in each pass */
    assert_non_null(strstr(bench->summary.error_msg, "instance_id is not a string"));
}

static void test_bad_bodies(void **state)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"<html>", "not the JSON it should be"},
        {"{\"count\":1,\"instance_compliant\":[{]}", "not the JSON it should be"},
        {"{\"count\":1}", "instance_compliant is missing or null"},
        {"{\"error_code\":\"COC.1\",\"error_msg\":\"no\"}", "no"},
    };
    struct bench *bench = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        serve(bench, pw_str_of(rows[i].body), LARGE_BYTES);
        start(bench);
        finish(bench);
        assert_false(bench->summary.is_complete);
        assert_false(bench->summary.saw_a_page);
        assert_int_equal(bench->staged_count, 0);
        assert_non_null(strstr(bench->summary.error_msg, rows[i].message));
    }
}

/* Runs until the crew has a body. */
static void run_until_decoding(struct bench *bench)
{
    while (pw_http_crew(bench->world->http)->at_work == 0 && bench->done == 0)
        (void)uv_run(&bench->world->loop, UV_RUN_ONCE);
}

static void test_cancel_while_decoding(void **state)
{
    struct bench *bench = *state;

    /* After so many more turns of the loop: while it is decoded, taken, given back. */
    for (int turns = 0; turns < 8; turns++) {
        serve_page(bench, MANY, "", 4000000);
        start(bench);
        run_until_decoding(bench);
        for (int i = 0; i < turns && bench->done == 0; i++)
            (void)uv_run(&bench->world->loop, UV_RUN_ONCE);
        if (bench->done == 0)
            pw_sweep_cancel(bench->sweep);
        finish(bench);
        assert_true(bench->summary.was_canceled || bench->summary.pages > 0);
    }
}

/* As above, with http closed under the sweep. */
static void test_close_while_decoding(void **state)
{
    struct bench *bench = *state;

    serve_page(bench, MANY, "", 4000000);
    start(bench);
    run_until_decoding(bench);
    assert_int_equal(bench->done, 0);
    pw_sweep_cancel(bench->sweep);
    world_close_http(bench->world);
    finish(bench);
    assert_true(bench->summary.was_canceled);
}

struct blocker {
    struct pw_task task;
    uv_sem_t *go;
};

static void block(struct pw_task *task)
{
    uv_sem_wait(((struct blocker *)(void *)task)->go);
}

static void unblocked(struct pw_task *task)
{
    (void)task;
}

/* sweep_timeout does not wait for a body that is not decoded yet. */
static void test_sweep_timeout_while_decoding(void **state)
{
    struct bench *bench = *state;
    struct blocker blockers[PW_CREW_AT_WORK_MAX] = {0};
    uv_sem_t go;

    assert_int_equal(uv_sem_init(&go, 0), 0);
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++) {
        blockers[i].task.run = block;
        blockers[i].task.done = unblocked;
        blockers[i].go = &go;
        pw_crew_add(pw_http_crew(bench->world->http), &blockers[i].task);
    }
    bench->source.sweep_timeout_ms = 200;
    serve_page(bench, MANY, "", LARGE_BYTES);
    start(bench);
    finish(bench);
    assert_false(bench->summary.is_complete);
    assert_non_null(strstr(bench->summary.reason, "sweep_timeout"));
    assert_int_equal(bench->staged_count, 0);
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++)
        uv_sem_post(&go);
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++) {
        while (blockers[i].task.state != PW_TASK_IDLE)
            (void)uv_run(&bench->world->loop, UV_RUN_ONCE);
    }
    uv_sem_destroy(&go);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_same_as_on_the_loop),          TEST(test_bad_bodies),
        TEST(test_cancel_while_decoding),        TEST(test_close_while_decoding),
        TEST(test_sweep_timeout_while_decoding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
