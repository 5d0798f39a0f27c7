/* Answers that arrive: bodies, limits, encodings, headers, the judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "world.h"

static void test_plain_answer(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "x-request-id:  abc-1 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                            "Content-Length: 5\r\n\r\nhello"});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.http_status, 200);
    assert_string_equal(ask.body, "hello");
    assert_string_equal(ask.content_type, "application/json");
    assert_string_equal(ask.request_id, "abc-1");
    assert_int_equal(ask.date_ms, INT64_C(784111777000));
    assert_int_equal(ask.retry_after_ms, -1);
    assert_int_equal(ask.received_bytes, 5);
    assert_int_equal(ask.attempts, 1);
    /* What went out. */
    assert_memory_equal(world->server.request, "GET /path?query=1 HTTP/1.1\r\n", 28);
    assert_non_null(strstr(world->server.request, "User-Agent: patchwatch/"));
    assert_non_null(strstr(world->server.request, "Accept-Encoding: gzip, deflate\r\n"));
    ask_free(&ask);
}

static void test_absent_headers(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.body_len, 0);
    assert_string_equal(ask.content_type, "");
    assert_string_equal(ask.request_id, "");
    assert_int_equal(ask.date_ms, PW_TIME_NONE);
    ask_free(&ask);
}

static void test_connection_is_reused(void **state)
{
    struct world *world = *state;

    SCRIPT(world, {.bytes = OK_HELLO});
    for (int i = 0; i < 5; i++) {
        struct ask ask;
        ask_init(&ask, world);
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_OK);
        ask_free(&ask);
    }
    assert_int_equal(world->server.requests, 5);
    assert_int_equal(world->server.connections, 1);
}

static void test_at_most_so_many_at_once(void **state)
{
    struct world *world = *state;
    struct ask asks[10];

    SCRIPT(world, {.bytes = OK_HELLO, .delay_ms = 30});
    for (int i = 0; i < 10; i++) {
        ask_init(&asks[i], world);
        /* Less than all of them take together: waiting for a connection does not count. */
        asks[i].request.timeout_ms = 80;
        ask_start(&asks[i], world);
    }
    for (int i = 0; i < 10; i++) {
        if (asks[i].done == 0)
            ask_wait(&asks[i], world);
        assert_int_equal(asks[i].status, PW_OK);
        ask_free(&asks[i]);
    }
    assert_int_equal(world->server.requests, 10);
    assert_int_equal(world->server.most_waiting, 4);
    assert_int_equal(world->server.connections, 4);
}

static void test_headers_and_body_of_a_post(void **state)
{
    static const char *const headers[] = {"X-One: 1", "Content-Type: text/plain", NULL};
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = OK_HELLO});
    for (int i = 0; i < 2; i++) {
        ask_init(&ask, world);
        ask.request.method = "POST";
        ask.request.headers = headers;
        ask.request.body = pw_str_of("a=b&c");
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_OK);
        ask_free(&ask);
    }
    assert_memory_equal(world->server.request, "POST /path", 10);
    assert_non_null(strstr(world->server.request, "X-One: 1\r\n"));
    assert_non_null(strstr(world->server.request, "Content-Type: text/plain\r\n"));
    assert_null(strstr(world->server.request, "x-www-form-urlencoded"));
    assert_null(strstr(world->server.request, "Expect:"));
    assert_non_null(strstr(world->server.request, "\r\n\r\na=b&c"));
    /* Never on a used connection: libcurl would repeat it behind our back. */
    assert_int_equal(world->server.connections, 2);
}

static void test_other_methods(void **state)
{
    static const char *const lines[] = {"PUT /path", "DELETE /path", "HEAD /path"};
    struct world *world = *state;

    SCRIPT(world, {.bytes = OK_HELLO}, {.bytes = OK_HELLO},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"});
    for (int i = 0; i < 3; i++) {
        struct ask ask;
        char method[8];

        (void)snprintf(method, sizeof method, "%.*s", (int)strcspn(lines[i], " "), lines[i]);
        ask_init(&ask, world);
        ask.request.method = method;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_OK);
        assert_ptr_equal(strstr(world->server.request, lines[i]), world->server.request);
        ask_free(&ask);
    }
}

static void test_the_environment_has_no_say(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = OK_HELLO});
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    (void)unsetenv("http_proxy");
    (void)unsetenv("ALL_PROXY");
    assert_int_equal(ask.status, PW_OK);
    ask_free(&ask);
}

static void test_proxy(void **state)
{
    struct world *world = *state;
    struct ask ask;
    char proxy[64];

    SCRIPT(world, {.bytes = OK_HELLO});
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", world->server.port);
    assert_int_equal(setenv("no_proxy", "*", 1), 0);
    ask_init(&ask, world);
    ask.request.url = "http://nosuch.invalid/path";
    ask.request.proxy = proxy;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    (void)unsetenv("no_proxy");
    assert_int_equal(ask.status, PW_OK);
    assert_memory_equal(world->server.request, "GET http://nosuch.invalid/path HTTP/1.1", 39);
    ask_free(&ask);
}

/* The body limit is exact, whether the length is announced or not. */
static void test_body_limit(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a"},
           {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"},
           {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "4\r\n0123\r\n7\r\n456789a\r\n0\r\n\r\n"});
    for (int i = 0; i < 4; i++) {
        ask_init(&ask, world);
        ask.request.body_max_bytes = 10;
        ask.request.retries = 3;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        if (i % 2 == 0) {
            assert_int_equal(ask.status, PW_OK);
            assert_string_equal(ask.body, "0123456789");
        } else {
            assert_int_equal(ask.status, PW_ELIMIT);
            assert_non_null(strstr(ask.message, "limit of 10 bytes"));
            assert_int_equal(ask.attempts, 1);
            assert_false(ask.has_response);
        }
        ask_free(&ask);
    }
}

/* Where nobody reads the body, one that is too long is cut, and the answer counts. */
static void test_body_that_may_be_cut(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n0123456789abc"},
           {.bytes = "HTTP/1.1 200 OK\r\n\r\n0123456789abc", .then = THEN_KEEP},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"});
    for (int i = 0; i < 3; i++) {
        ask_init(&ask, world);
        ask.request.method = "POST";
        ask.request.body = pw_str_of("x");
        ask.request.body_max_bytes = 10;
        ask.request.body_may_be_cut = true;
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_OK);
        assert_int_equal(ask.http_status, 200);
        assert_string_equal(ask.body, "0123456789");
        ask_free(&ask);
    }
}

#define GZIP_HELLO                                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 28\r\n\r\n"                      \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\x01\xe3\x51\x3d" \
    "\x8d\x17\x00\x00\x00"
/* 50,000 zeros. */
#define GZIP_BOMB                                                                                  \
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 83\r\n\r\n"                      \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7\x4f\x6d\x0f" \
    "\x07\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
    "\x00\x00\x00\x00\x4f\x06\x25\xb3\xb7\x16\x50\xc3\x00\x00"

static void test_gzip(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = GZIP_HELLO, .len = sizeof GZIP_HELLO - 1},
           {.bytes = GZIP_BOMB, .len = sizeof GZIP_BOMB - 1});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_string_equal(ask.body, "hello hello hello hello");
    assert_int_equal(ask.received_bytes, 28);
    ask_free(&ask);
    /* The limit counts what comes out, not what came in. */
    ask_init(&ask, world);
    ask.request.body_max_bytes = 49999;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ELIMIT);
    ask_free(&ask);
    ask_init(&ask, world);
    ask.request.body_max_bytes = 50000;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.body_len, 50000);
    ask_free(&ask);
}

static void test_broken_gzip(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world,
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"},
           {.bytes = OK_HELLO});
    ask_init(&ask, world);
    ask.request.retries = 1;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.attempts, 2);
    ask_free(&ask);
}

/* A longer body than announced is cut there, and what is left over is no answer to the next. */
static void test_body_longer_than_announced(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world,
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nonetwo"
                     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"},
           {.bytes = OK_HELLO});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_string_equal(ask.body, "one");
    ask_free(&ask);
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_string_equal(ask.body, "hello");
    assert_int_equal(world->server.connections, 2);
    ask_free(&ask);
}

static void test_body_until_close(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\n\r\nall of it", .then = THEN_CLOSE});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_string_equal(ask.body, "all of it");
    ask_free(&ask);
}

static void test_interim_answer_and_trailers(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 103 Early Hints\r\nX-Request-Id: early\r\n\r\n"
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "2\r\nhi\r\n0\r\nX-Request-Id: late\r\n\r\n"});
    ask_init(&ask, world);
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.http_status, 200);
    assert_string_equal(ask.body, "hi");
    assert_string_equal(ask.request_id, "");
    ask_free(&ask);
}

static void test_headers_without_end(void **state)
{
    struct world *world = *state;
    size_t len = 0, size = 400000;
    char *bytes = malloc(size);
    struct answer script;
    struct ask ask;

    assert_non_null(bytes);
    len += (size_t)snprintf(bytes, size, "HTTP/1.1 200 OK\r\n");
    while (len < 300000)
        len += (size_t)snprintf(bytes + len, size - len, "X-Junk-%zu: %0100d\r\n", len, 0);
    script = (struct answer){.bytes = bytes, .len = len};
    server_script(&world->server, &script, 1);
    ask_init(&ask, world);
    ask.request.retries = 3;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ELIMIT);
    assert_non_null(strstr(ask.message, "headers"));
    assert_int_equal(ask.attempts, 1);
    ask_free(&ask);
    world_run_ms(world, 20); /* the server still looks at bytes until it sees the end */
    free(bytes);
}

/* The judge says what its context's script says; "last" is kept. */
struct court {
    struct ask ask; /* first, so that on_done finds it */
    enum pw_http_verdict verdicts[4];
    bool last[4];
    unsigned sittings;
    enum pw_status status; /* what it fills in */
};

static enum pw_http_verdict judge(void *context, const struct pw_http_response *response, bool last,
                                  struct pw_error *err)
{
    struct court *court = context;

    assert_int_equal(response->status / 100, 2);
    court->last[court->sittings] = last;
    if (court->status != PW_OK)
        (void)pw_fail(err, court->status, "ruling %u", court->sittings);
    return court->verdicts[court->sittings++];
}

static void court_run(struct court *court, struct world *world, unsigned retries)
{
    SCRIPT(world, {.bytes = OK_HELLO});
    ask_init(&court->ask, world);
    court->ask.request.judge = judge;
    court->ask.request.retries = retries;
    court->sittings = 0;
    ask_start(&court->ask, world);
    ask_wait(&court->ask, world);
    ask_free(&court->ask);
}

static void test_judge_retries_then_accepts(void **state)
{
    struct court court = {.verdicts = {PW_HTTP_RETRY, PW_HTTP_ACCEPT}, .status = PW_EFORMAT};

    court_run(&court, *state, 1);
    assert_int_equal(court.ask.status, PW_OK);
    assert_int_equal(court.ask.attempts, 2);
    assert_int_equal(court.ask.received_bytes, 10);
    assert_false(court.last[0]);
    assert_true(court.last[1]);
}

static void test_judge_refuses(void **state)
{
    struct court court = {.verdicts = {PW_HTTP_REFUSE}, .status = PW_EPERM};

    court_run(&court, *state, 5);
    assert_int_equal(court.ask.status, PW_EPERM);
    assert_int_equal(court.ask.attempts, 1);
    assert_non_null(strstr(court.ask.message, "/path: ruling 0"));
    assert_null(strstr(court.ask.message, "attempts"));
    assert_true(court.ask.has_response);
}

static void test_judge_is_never_content(void **state)
{
    struct court court = {.verdicts = {PW_HTTP_RETRY, PW_HTTP_RETRY, PW_HTTP_RETRY}};

    court_run(&court, *state, 2);
    assert_int_equal(court.ask.status, PW_EREMOTE);
    assert_int_equal(court.ask.attempts, 3);
    assert_non_null(strstr(court.ask.message, "(3 attempts)"));
    assert_false(court.last[1]);
    assert_true(court.last[2]);
}

/* prepare gives each attempt its own headers. */
struct signer {
    struct ask ask;
    unsigned calls, fail_at;
    const char *bad_line;
    char line[32];
    const char *lines[2];
};

static enum pw_status prepare(void *context, const char *const **extra, struct pw_error *err)
{
    struct signer *signer = context;

    if (++signer->calls == signer->fail_at)
        return pw_fail(err, PW_ENOTFOUND, "no key");
    (void)snprintf(signer->line, sizeof signer->line, "X-Signed: %u", signer->calls);
    signer->lines[0] = signer->bad_line != NULL ? signer->bad_line : signer->line;
    *extra = signer->lines;
    return PW_OK;
}

static void signer_run(struct signer *signer, struct world *world)
{
    SCRIPT(world, {.bytes = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"}, {.bytes = OK_HELLO});
    ask_init(&signer->ask, world);
    signer->ask.request.prepare = prepare;
    signer->ask.request.retries = 3;
    ask_start(&signer->ask, world);
    ask_wait(&signer->ask, world);
    ask_free(&signer->ask);
}

static void test_prepare_each_attempt(void **state)
{
    struct world *world = *state;
    struct signer signer = {.calls = 0};

    signer_run(&signer, world);
    assert_int_equal(signer.ask.status, PW_OK);
    assert_int_equal(signer.calls, 2);
    assert_non_null(strstr(world->server.request, "X-Signed: 2\r\n"));
    assert_null(strstr(world->server.request, "X-Signed: 1\r\n"));
}

static void test_prepare_fails(void **state)
{
    struct signer first = {.fail_at = 1}, second = {.fail_at = 2};
    struct world *world = *state;

    signer_run(&first, world);
    assert_int_equal(first.ask.status, PW_ENOTFOUND);
    assert_non_null(strstr(first.ask.message, "/path: no key"));
    assert_int_equal(world->server.requests, 0);
    signer_run(&second, world);
    assert_int_equal(second.ask.status, PW_ENOTFOUND);
    assert_int_equal(second.ask.http_status, 503);
}

static void test_prepared_header_cannot_smuggle(void **state)
{
    struct signer signer = {.bad_line = "X-A: 1\r\nX-B: 2"};
    struct world *world = *state;

    signer_run(&signer, world);
    assert_int_equal(signer.ask.status, PW_EINVAL);
    assert_int_equal(world->server.requests, 0);
}

static void test_label(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"});
    ask_init(&ask, world);
    ask.request.label = "webhook chat";
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_string_equal(ask.message, "webhook chat: HTTP 404");
    ask_free(&ask);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain_answer),
        TEST(test_absent_headers),
        TEST(test_connection_is_reused),
        TEST(test_at_most_so_many_at_once),
        TEST(test_headers_and_body_of_a_post),
        TEST(test_other_methods),
        TEST(test_the_environment_has_no_say),
        TEST(test_proxy),
        TEST(test_body_limit),
        TEST(test_body_that_may_be_cut),
        TEST(test_gzip),
        TEST(test_broken_gzip),
        TEST(test_body_longer_than_announced),
        TEST(test_body_until_close),
        TEST(test_interim_answer_and_trailers),
        TEST(test_headers_without_end),
        TEST(test_judge_retries_then_accepts),
        TEST(test_judge_refuses),
        TEST(test_judge_is_never_content),
        TEST(test_prepare_each_attempt),
        TEST(test_prepare_fails),
        TEST(test_prepared_header_cannot_smuggle),
        TEST(test_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
