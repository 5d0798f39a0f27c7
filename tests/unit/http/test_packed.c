/* Packed answers of a server: what comes of them, and ending a request while its answer is being
 * unpacked or judged elsewhere. The world's tear-down fails where anything is left on the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "http/crew.h"
#include "packing.h"
#include "world.h"

enum { LARGE_BYTES = 8000000, ROOM_BYTES = 8 * 1024 * 1024 };

/* Serves one packed answer, for ever. */
struct served {
    char *bytes;
    struct answer answer;
};

static void serve(struct world *world, struct served *served, const char *encoding, char *body,
                  size_t len)
{
    size_t answer_len;

    served->bytes = packed_answer(encoding, body, len, &answer_len);
    free(body);
    served->answer = (struct answer){.bytes = served->bytes, .len = answer_len};
    server_script(&world->server, &served->answer, 1);
}

static void serve_blanks(struct world *world, struct served *served, size_t len)
{
    size_t packed_len;
    char *body = packed(PACK_GZIP, NULL, len, &packed_len);

    serve(world, served, "Content-Encoding: gzip", body, packed_len);
}

/* Two tasks that keep the crew busy until they are let go. */
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

struct blockers {
    struct blocker blocker[PW_CREW_AT_WORK_MAX];
    uv_sem_t go;
};

static void blockers_start(struct blockers *blockers, struct world *world)
{
    memset(blockers, 0, sizeof *blockers);
    assert_int_equal(uv_sem_init(&blockers->go, 0), 0);
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++) {
        blockers->blocker[i].go = &blockers->go;
        blockers->blocker[i].task.run = block;
        blockers->blocker[i].task.done = unblocked;
        pw_crew_add(pw_http_crew(world->http), &blockers->blocker[i].task);
    }
}

static void blockers_end(struct blockers *blockers, struct world *world)
{
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++)
        uv_sem_post(&blockers->go);
    for (size_t i = 0; i < PW_CREW_AT_WORK_MAX; i++) {
        while (blockers->blocker[i].task.state != PW_TASK_IDLE)
            (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    uv_sem_destroy(&blockers->go);
}

static void test_large_answer(void **state)
{
    static const enum packing how[] = {PACK_GZIP, PACK_ZLIB, PACK_RAW};
    struct world *world = *state;

    for (size_t i = 0; i < sizeof how / sizeof how[0]; i++) {
        struct served served;
        struct ask ask;
        size_t len;
        char *body = packed(how[i], NULL, LARGE_BYTES, &len);

        serve(world, &served,
              how[i] == PACK_GZIP ? "Content-Encoding: gzip" : "content-encoding: deflate", body,
              len);
        ask_init(&ask, world);
        ask.request.body_max_bytes = ROOM_BYTES;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_OK);
        assert_int_equal(ask.body_len, LARGE_BYTES);
        assert_int_equal(ask.received_bytes, len);
        assert_int_equal(ask.body[0], ' ');
        assert_int_equal(ask.body[LARGE_BYTES - 1], ' ');
        ask_free(&ask);
        free(served.bytes);
    }
}

static void test_bomb(void **state)
{
    struct world *world = *state;
    struct served served;
    struct ask ask;

    serve_blanks(world, &served, 20000000);
    ask_init(&ask, world);
    ask.request.body_max_bytes = ROOM_BYTES;
    ask.request.retries = 3;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ELIMIT);
    assert_int_equal(ask.attempts, 1);
    assert_non_null(strstr(ask.message, "longer than the limit of 8388608 bytes"));
    ask_free(&ask);
    free(served.bytes);
}

/* What is packed is limited too, though nothing would come out of it. */
static void test_long_packed_body(void **state)
{
    struct world *world = *state;
    struct served served;
    struct ask ask;
    char *body = calloc(1, 100000);

    assert_non_null(body);
    serve(world, &served, "Content-Encoding: gzip", body, 100000);
    ask_init(&ask, world);
    ask.request.retries = 3;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ELIMIT);
    assert_non_null(strstr(ask.message, "longer than the limit of 1000 bytes"));
    ask_free(&ask);
    free(served.bytes);
}

/* A body that is cut within, or followed by something, is asked for again. */
static void test_torn_large_answer(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 2; i++) {
        struct served served;
        struct ask ask;
        size_t len;
        char *body = packed(PACK_GZIP, NULL, LARGE_BYTES, &len);

        serve(world, &served, "Content-Encoding: gzip", body, i == 0 ? len - 1 : len);
        if (i == 1) { /* the last byte of the checksum belongs to something else */
            served.bytes[served.answer.len - 1] ^= 1;
        }
        ask_init(&ask, world);
        ask.request.body_max_bytes = ROOM_BYTES;
        ask.request.retries = 2;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_EFORMAT);
        assert_int_equal(ask.attempts, 3);
        assert_non_null(strstr(ask.message, i == 0 ? "ends too early" : "is damaged"));
        assert_false(ask.has_response);
        ask_free(&ask);
        free(served.bytes);
    }
}

static void test_what_was_not_asked_for(void **state)
{
    static const struct {
        const char *header, *message;
    } rows[] = {
        {"Content-Encoding: br", "packed as \"br\", which was not asked for"},
        {"Content-Encoding: gzip\r\nContent-Encoding: gzip", "packed more than once"},
        {"Content-Encoding: deflate, gzip", "packed more than once"},
        {"Transfer-Encoding: gzip", "packed as \"gzip\", which was not asked for"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct served served;
        struct ask ask;
        size_t len;
        char *body = packed(PACK_GZIP, NULL, 100, &len);

        serve(world, &served, rows[i].header, body, len);
        served.answer.then = THEN_CLOSE;
        ask_init(&ask, world);
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_EFORMAT);
        assert_non_null(strstr(ask.message, rows[i].message));
        ask_free(&ask);
        free(served.bytes);
    }
}

/* Its status is what counts of a refusal; its words where they can be read. */
static void test_refusals(void **state)
{
    static const char *const heads[] = {
        "HTTP/1.1 401 Unauthorized\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 401 Unauthorized\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello"};
    struct world *world = *state;
    struct served served;
    struct ask ask;

    for (size_t i = 0; i < 2; i++) {
        struct answer answer = {.bytes = heads[i]};

        server_script(&world->server, &answer, 1);
        ask_init(&ask, world);
        ask.request.retries = 5;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_EREMOTE);
        assert_int_equal(ask.attempts, 1);
        assert_int_equal(ask.http_status, 401);
        assert_int_equal(ask.body_len, 0);
        ask_free(&ask);
    }
    serve_blanks(world, &served, LARGE_BYTES);
    memcpy(served.bytes + 9, "500", 3);
    ask_init(&ask, world);
    ask.request.body_max_bytes = ROOM_BYTES;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(ask.body_len, 64 * 1024);
    ask_free(&ask);
    free(served.bytes);
}

/* The request is ended while the crew has its answer, or while that waits in the line. */
static void test_cancel_while_unpacking(void **state)
{
    struct world *world = *state;

    for (int how = 0; how < 2; how++) {
        struct served served;
        struct blockers blockers;
        struct ask ask;

        serve_blanks(world, &served, LARGE_BYTES);
        if (how == 0)
            blockers_start(&blockers, world);
        ask_init(&ask, world);
        ask.request.body_max_bytes = ROOM_BYTES;
        ask.request.retries = 1;
        ask_start(&ask, world);
        if (how == 0) { /* it waits in the line */
            world_run_ms(world, 200);
        } else {
            /* On a turn of the loop on which it has begun. */
            while (pw_http_crew(world->http)->at_work == 0 && ask.done == 0)
                (void)uv_run(&world->loop, UV_RUN_ONCE);
        }
        assert_true(ask.done == 0 || how == 1); /* on a slow machine the crew was faster */
        if (ask.done == 0) {
            pw_http_cancel(ask.call);
            assert_int_equal(ask.status, PW_ECANCELED);
        }
        assert_int_equal(ask.done, 1);
        if (how == 0)
            blockers_end(&blockers, world);
        world_run_ms(world, 50);
        assert_int_equal(ask.done, 1);
        ask_free(&ask);
        free(served.bytes);
    }
}

/* As above, with everything closed at once. */
static void test_close_while_unpacking(void **state)
{
    struct world *world = *state;
    struct served served;
    struct ask ask;

    serve_blanks(world, &served, LARGE_BYTES);
    ask_init(&ask, world);
    ask.request.body_max_bytes = ROOM_BYTES;
    ask_start(&ask, world);
    while (pw_http_crew(world->http)->at_work == 0 && ask.done == 0)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    world_close_http(world);
    assert_int_equal(ask.done, 1);
    ask_free(&ask);
    free(served.bytes);
}

/* An attempt's time goes on while its answer waits to be unpacked; then there is another one. */
static void test_late_while_unpacking(void **state)
{
    struct world *world = *state;
    struct blockers blockers;
    struct served served;
    struct ask ask;

    serve_blanks(world, &served, LARGE_BYTES);
    blockers_start(&blockers, world);
    ask_init(&ask, world);
    ask.request.body_max_bytes = ROOM_BYTES;
    ask.request.timeout_ms = 300;
    ask.request.retries = 1;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_int_equal(ask.attempts, 2);
    assert_non_null(strstr(ask.message, "timed out after 300ms"));
    blockers_end(&blockers, world);
    ask_free(&ask);
    free(served.bytes);
}

/* ---- a judge that takes its time -------------------------------------------------------------*/

struct judge {
    struct ask ask;
    const struct pw_http_response *response;
    int judged;
    bool cancels;
};

static enum pw_http_verdict judge_later(void *context, const struct pw_http_response *response,
                                        bool last, struct pw_error *err)
{
    struct judge *judge = context;

    (void)last;
    (void)err;
    judge->judged++;
    judge->response = response;
    if (judge->cancels)
        pw_http_cancel(judge->ask.call);
    return PW_HTTP_LATER;
}

static void judge_done(void *context, const struct pw_http_result *result)
{
    struct judge *judge = context;

    judge->ask.done++;
    judge->ask.status = result->status;
    judge->ask.attempts = result->attempts;
}

static void judge_start(struct judge *judge, struct world *world)
{
    memset(judge, 0, sizeof *judge);
    ask_init(&judge->ask, world);
    judge->ask.request.context = judge;
    judge->ask.request.judge = judge_later;
    judge->ask.request.done = judge_done;
    judge->ask.request.retries = 1;
    ask_start(&judge->ask, world);
}

static void judge_wait(struct judge *judge, struct world *world, int times)
{
    while (judge->judged < times)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
}

static void test_judged_later(void **state)
{
    struct world *world = *state;
    struct judge judge;
    struct pw_http_call *call;

    SCRIPT(world, {.bytes = OK_HELLO});
    judge_start(&judge, world);
    call = judge.ask.call;
    judge_wait(&judge, world, 1);
    world_run_ms(world, 20);
    assert_int_equal(judge.ask.done, 0);
    pw_http_judged(call, PW_HTTP_RETRY, NULL);
    pw_http_release(call);
    judge_wait(&judge, world, 2);
    pw_http_judged(call, PW_HTTP_ACCEPT, NULL);
    assert_int_equal(judge.ask.done, 1);
    assert_int_equal(judge.ask.status, PW_OK);
    assert_int_equal(judge.ask.attempts, 2);
    /* Not released yet: it is there still. */
    world_run_ms(world, 20);
    assert_memory_equal(judge.response->body.data, "hello", 5);
    pw_http_release(call);
}

/* The answer stays until it is released, whatever becomes of the request. */
static void test_cancel_while_judging(void **state)
{
    struct world *world = *state;
    struct judge judge;
    struct pw_http_call *call;

    SCRIPT(world, {.bytes = OK_HELLO});
    judge_start(&judge, world);
    call = judge.ask.call;
    judge_wait(&judge, world, 1);
    pw_http_cancel(call);
    assert_int_equal(judge.ask.done, 1);
    assert_int_equal(judge.ask.status, PW_ECANCELED);
    world_run_ms(world, 20);
    assert_memory_equal(judge.response->body.data, "hello", 5);
    pw_http_judged(call, PW_HTTP_ACCEPT, NULL);
    assert_int_equal(judge.ask.done, 1);
    world_begin_close(world);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT);
    assert_false(world->is_http_closed); /* it waits for the judge */
    pw_http_release(call);
    assert_true(world->is_http_closed);
}

static void test_cancel_from_the_judge(void **state)
{
    struct world *world = *state;
    struct judge judge;
    struct pw_http_call *call;

    SCRIPT(world, {.bytes = OK_HELLO});
    judge_start(&judge, world);
    call = judge.ask.call;
    judge.cancels = true;
    judge_wait(&judge, world, 1);
    assert_int_equal(judge.ask.done, 1);
    world_run_ms(world, 20);
    assert_memory_equal(judge.response->body.data, "hello", 5);
    pw_http_release(call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_large_answer),           TEST(test_bomb),
        TEST(test_long_packed_body),       TEST(test_torn_large_answer),
        TEST(test_what_was_not_asked_for), TEST(test_refusals),
        TEST(test_cancel_while_unpacking), TEST(test_close_while_unpacking),
        TEST(test_late_while_unpacking),   TEST(test_judged_later),
        TEST(test_cancel_while_judging),   TEST(test_cancel_from_the_judge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
