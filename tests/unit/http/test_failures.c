/* Attempts that fail: what is tried again, when, and what the message says in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "world.h"

#define HTTP_503 "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"

/* Starts and waits; the world has its script. */
static void ask_run(struct ask *ask, struct world *world, unsigned retries)
{
    ask_init(ask, world);
    ask->request.retries = retries;
    ask_start(ask, world);
    ask_wait(ask, world);
    ask_free(ask);
}

/* The first attempt gets this answer, the second a good one. */
static void assert_retried(struct world *world, const struct answer *bad)
{
    struct answer script[2] = {*bad, {.bytes = OK_HELLO}};
    struct ask ask;

    server_script(&world->server, script, 2);
    ask_run(&ask, world, 1);
    assert_int_equal(ask.status, PW_OK);
    assert_int_equal(ask.attempts, 2);
    assert_int_equal(world->server.requests, 2);
    server_script(&world->server, script, 1);
    ask_run(&ask, world, 0);
    assert_int_not_equal(ask.status, PW_OK);
    assert_int_equal(ask.attempts, 1);
}

static void test_bad_statuses_are_retried(void **state)
{
    static const int statuses[] = {408, 425, 429, 500, 502, 503, 504};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        char bytes[128];
        (void)snprintf(bytes, sizeof bytes, "HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno",
                       statuses[i]);
        assert_retried(*state, &(struct answer){.bytes = bytes});
    }
}

static void test_torn_answers_are_retried(void **state)
{
    static const struct answer torn[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", .then = THEN_CLOSE},
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
         .then = THEN_RESET,
         .drip_ms = 1},
        {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
         .then = THEN_CLOSE},
        {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
         .then = THEN_CLOSE},
        {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"},
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .then = THEN_CLOSE},
        {.bytes = "SSH-2.0-OpenSSH_9.2p1\r\n", .then = THEN_CLOSE},
    };

    for (size_t i = 0; i < sizeof torn / sizeof torn[0]; i++) {
        assert_retried(*state, &torn[i]);
    }
}

/* Each on a fresh connection: on a used one libcurl itself repeats a GET that got nothing. */
static void test_reset_without_a_word(void **state)
{
    assert_retried(*state, &(struct answer){.bytes = "", .then = THEN_RESET});
}

static void test_closed_without_a_word(void **state)
{
    assert_retried(*state, &(struct answer){.bytes = "", .then = THEN_CLOSE});
}

/* An answer that came in whole counts, whatever the connection did after it: a server that refuses
 * a body unread resets the connection behind its answer. */
static void test_whole_answer_before_a_reset(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig", .then = THEN_RESET});
    for (int i = 0; i < 10; i++) {
        ask_init(&ask, world);
        ask.request.method = "POST";
        ask.request.body = pw_str_of("long");
        ask_start(&ask, world);
        ask_wait(&ask, world);
        assert_int_equal(ask.status, PW_EREMOTE);
        assert_int_equal(ask.http_status, 413);
        assert_string_equal(ask.body, "big");
        ask_free(&ask);
    }
}

static void test_retries_run_out(void **state)
{
    struct world *world = *state;
    struct ask ask;
    char expected[128];

    SCRIPT(world, {.bytes = HTTP_503});
    ask_run(&ask, world, 2);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(ask.attempts, 3);
    assert_int_equal(ask.http_status, 503);
    assert_int_equal(ask.received_bytes, 12);
    assert_int_equal(world->server.requests, 3);
    /* Neither query nor anything else of the URL. */
    (void)snprintf(expected, sizeof expected, "GET http://127.0.0.1:%d/path: HTTP 503 (3 attempts)",
                   world->server.port);
    assert_string_equal(ask.message, expected);
}

/* The answer that is kept is the last whole one, also when later attempts got none. */
static void test_last_whole_answer_is_kept(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = HTTP_503},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntorn", .then = THEN_CLOSE});
    ask_init(&ask, world);
    ask.request.retries = 1;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_int_equal(ask.http_status, 503);
    assert_string_equal(ask.body, "busy");
    ask_free(&ask);
}

static void test_refused_at_once(void **state)
{
    static const struct answer script[] = {
        {.bytes = "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone"},
        {.bytes = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"},
        {.bytes = "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n"},
        {.bytes = "HTTP/1.1 304 No\r\n\r\n"},
    };
    static const char *const says[] = {"HTTP 404", "HTTP 401", "HTTP 501", "HTTP 304"};
    struct world *world = *state;

    for (size_t i = 0; i < sizeof script / sizeof script[0]; i++) {
        struct ask ask;
        server_script(&world->server, &script[i], 1);
        ask_run(&ask, world, 5);
        assert_int_equal(ask.status, PW_EREMOTE);
        assert_int_equal(ask.attempts, 1);
        assert_int_equal(world->server.requests, 1);
        assert_non_null(strstr(ask.message, says[i]));
        assert_true(ask.has_response);
    }
}

static void test_redirects_are_named(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world,
           {.bytes = "HTTP/1.1 302 Go\r\nLocation: https://login.example/?secret=1\r\n"
                     "Content-Length: 0\r\n\r\n"},
           {.bytes = "HTTP/1.1 301 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"},
           {.bytes = "HTTP/1.1 301 Go\r\nLocation: ht!tp://\r\nContent-Length: 0\r\n\r\n"});
    ask_run(&ask, world, 5);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(ask.attempts, 1);
    assert_non_null(strstr(ask.message, "redirected to https://login.example: check the endpoint"));
    assert_null(strstr(ask.message, "secret"));
    ask_run(&ask, world, 5);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(world->server.requests, 2);
    ask_run(&ask, world, 5);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_non_null(strstr(ask.message, "check the endpoint"));
}

/* The page behind an error may be huge: it is cut, and the status still counts. */
static void test_huge_error_page(void **state)
{
    struct world *world = *state;
    size_t head, len = 200000;
    char *bytes = malloc(len);
    struct answer script[2];
    struct ask ask;

    assert_non_null(bytes);
    head = (size_t)snprintf(bytes, len, "HTTP/1.1 502 No\r\nContent-Length: 199900\r\n\r\n");
    memset(bytes + head, 'x', len - head);
    script[0] = (struct answer){.bytes = bytes, .len = len};
    script[1] = (struct answer){.bytes = OK_HELLO};
    server_script(&world->server, script, 2);
    ask_init(&ask, world);
    ask.request.body_max_bytes = 1000000;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(ask.http_status, 502);
    assert_int_equal(ask.body_len, 65536);
    ask_free(&ask);
    server_script(&world->server, script, 2);
    ask_run(&ask, world, 1);
    assert_int_equal(ask.status, PW_OK);
    world_run_ms(world, 20);
    free(bytes);
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void test_retry_after_seconds(void **state)
{
    struct world *world = *state;
    struct ask ask;
    uint64_t start = now_ms();

    SCRIPT(world, {.bytes = "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"},
           {.bytes = OK_HELLO});
    ask_run(&ask, world, 1);
    assert_int_equal(ask.status, PW_OK);
    assert_in_range(ask.ended_at_ms - start, 990, 2500);
}

/* Measured against the server's own clock, which may be decades off. */
static void test_retry_after_date(void **state)
{
    struct world *world = *state;
    struct ask ask;
    uint64_t start = now_ms();

    SCRIPT(world,
           {.bytes = "HTTP/1.1 503 Slow\r\nRetry-After: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
                     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"},
           {.bytes = OK_HELLO});
    ask_run(&ask, world, 1);
    assert_int_equal(ask.status, PW_OK);
    assert_in_range(ask.ended_at_ms - start, 990, 2500);
}

static void test_retry_after_is_handed_out(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = "HTTP/1.1 429 Slow\r\nRetry-After: 7200\r\nContent-Length: 0\r\n\r\n"});
    ask_run(&ask, world, 0);
    assert_int_equal(ask.status, PW_EREMOTE);
    assert_int_equal(ask.retry_after_ms, 7200000);
}

static int64_t hint(void *context, const struct pw_http_response *response)
{
    (void)context;
    assert_int_equal(response->status, 429);
    return 300;
}

static void test_hint_where_there_is_no_retry_after(void **state)
{
    struct world *world = *state;
    struct ask ask;
    uint64_t start = now_ms();

    SCRIPT(world, {.bytes = "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"}, {.bytes = OK_HELLO});
    ask_init(&ask, world);
    ask.request.retries = 1;
    ask.request.wait_hint_ms = hint;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    ask_free(&ask);
    assert_int_equal(ask.status, PW_OK);
    assert_in_range(ask.ended_at_ms - start, 290, 1500);
}

static void test_silence_times_out(void **state)
{
    struct world *world = *state;
    struct ask ask;
    uint64_t start = now_ms();

    SCRIPT(world, {.bytes = NULL});
    ask_init(&ask, world);
    ask.request.timeout_ms = 100;
    ask.request.retries = 1;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_in_range(ask.ended_at_ms - start, 190, 1500);
    assert_non_null(strstr(ask.message, "timed out after 100ms (2 attempts)"));
    assert_false(ask.has_response);
    ask_free(&ask);
}

static void test_drip_hits_the_deadline(void **state)
{
    struct world *world = *state;
    struct ask ask;
    uint64_t start = now_ms();

    SCRIPT(world, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nslowly and for ever ...",
                   .drip_ms = 10});
    ask_init(&ask, world);
    ask.request.timeout_ms = 250;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_non_null(strstr(ask.message, "timed out after 250ms"));
    assert_in_range(ask.ended_at_ms - start, 240, 1500);
    ask_free(&ask);
}

static void test_drip_within_the_deadline(void **state)
{
    struct world *world = *state;
    struct ask ask;

    SCRIPT(world, {.bytes = OK_HELLO, .drip_ms = 1});
    ask_run(&ask, world, 0);
    assert_int_equal(ask.status, PW_OK);
}

static void test_connection_refused(void **state)
{
    struct world *world = *state;
    struct sockaddr_in address;
    int len = sizeof address;
    uv_tcp_t tcp;
    char url[64];
    struct ask ask;

    /* A port that is bound but not listened on refuses. */
    (void)uv_ip4_addr("127.0.0.1", 0, &address);
    (void)uv_tcp_init(&world->loop, &tcp);
    assert_int_equal(uv_tcp_bind(&tcp, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&tcp, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    ask_init(&ask, world);
    ask.request.url = url;
    ask.request.retries = 1;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_int_equal(ask.attempts, 2);
    ask_free(&ask);
    uv_close((uv_handle_t *)&tcp, NULL);
    (void)uv_run(&world->loop, UV_RUN_NOWAIT); /* tcp leaves the loop before the stack */
}

static void test_not_tls(void **state)
{
    struct world *world = *state;
    struct ask ask;
    char url[64];

    /* The server waits for a blank line that a TLS hello does not hold. */
    SCRIPT(world, {.bytes = OK_HELLO});
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", world->server.port);
    ask_init(&ask, world);
    ask.request.url = url;
    ask.request.connect_timeout_ms = 100;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_ENETWORK);
    assert_non_null(strstr(ask.message, "no connection within 100ms"));
    ask_free(&ask);
}

static void test_missing_ca_file_is_not_retried(void **state)
{
    struct world *world = *state;
    struct ask ask;
    char url[64];

    SCRIPT(world, {.bytes = OK_HELLO});
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", world->server.port);
    ask_init(&ask, world);
    ask.request.url = url;
    ask.request.ca_file = "/nonexistent/ca.pem";
    ask.request.retries = 3;
    ask_start(&ask, world);
    ask_wait(&ask, world);
    assert_int_equal(ask.status, PW_EINVAL);
    assert_int_equal(ask.attempts, 1);
    assert_non_null(strstr(ask.message, "/nonexistent/ca.pem"));
    ask_free(&ask);
}

static void test_impossible_requests(void **state)
{
    static const char *const smuggled[] = {"X-A: 1\r\nX-B: 2", NULL};
    struct world *world = *state;
    struct pw_http_call *call = NULL;
    struct pw_http *http = NULL;
    struct pw_error err;
    struct ask ask;

    ask_init(&ask, world);
    ask.request.url = "ftp://127.0.0.1/";
    assert_int_equal(pw_http_start(world->http, &ask.request, &call, &err), PW_EINVAL);
    ask.request.url = "not a url";
    assert_int_equal(pw_http_start(world->http, &ask.request, &call, &err), PW_EINVAL);
    ask_init(&ask, world);
    ask.request.headers = smuggled;
    assert_int_equal(pw_http_start(world->http, &ask.request, &call, &err), PW_EINVAL);
    assert_null(call);
    world_run_ms(world, 5);
    assert_int_equal(ask.done, 0);
    assert_int_equal(pw_http_new(&world->loop, 0, &http, &err), PW_EINVAL);
    assert_null(http);
}

/* Retries take tokens too, and stand in line for them. */
static void test_throttled(void **state)
{
    struct world *world = *state;
    struct pw_throttle *throttle;
    struct pw_error err;
    struct ask asks[3];
    uint64_t start = now_ms();

    SCRIPT(world, {.bytes = HTTP_503}, {.bytes = OK_HELLO});
    /* Less than one a second in name, so a burst of one; then one each 100 ms. */
    assert_int_equal(pw_throttle_new(&world->loop, 1, 2000, &throttle, &err), PW_OK);
    for (int i = 0; i < 3; i++) {
        ask_init(&asks[i], world);
        asks[i].request.throttle = throttle;
        asks[i].request.retries = 1;
        ask_start(&asks[i], world);
    }
    world_run_ms(world, 20);
    assert_int_equal(world->server.requests, 1);
    pw_throttle_set(throttle, 10, 1000);
    for (int i = 0; i < 3; i++) {
        if (asks[i].done == 0)
            ask_wait(&asks[i], world);
        assert_int_equal(asks[i].status, PW_OK);
        ask_free(&asks[i]);
    }
    assert_int_equal(world->server.requests, 4);
    assert_int_equal(asks[0].attempts, 2);
    assert_true(asks[1].ended_at_ms < asks[2].ended_at_ms);
    assert_true(asks[2].ended_at_ms < asks[0].ended_at_ms);
    assert_in_range(now_ms() - start, 250, 1500);
    pw_throttle_close(throttle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bad_statuses_are_retried),
        TEST(test_torn_answers_are_retried),
        TEST(test_reset_without_a_word),
        TEST(test_closed_without_a_word),
        TEST(test_whole_answer_before_a_reset),
        TEST(test_retries_run_out),
        TEST(test_last_whole_answer_is_kept),
        TEST(test_refused_at_once),
        TEST(test_redirects_are_named),
        TEST(test_huge_error_page),
        TEST(test_retry_after_seconds),
        TEST(test_retry_after_date),
        TEST(test_retry_after_is_handed_out),
        TEST(test_hint_where_there_is_no_retry_after),
        TEST(test_silence_times_out),
        TEST(test_drip_hits_the_deadline),
        TEST(test_drip_within_the_deadline),
        TEST(test_connection_refused),
        TEST(test_not_tls),
        TEST(test_missing_ca_file_is_not_retried),
        TEST(test_impossible_requests),
        TEST(test_throttled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
