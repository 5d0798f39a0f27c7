/* Each allocation fails in turn while alerts.yaml with hooks of every kind is loaded, and while an
 * attempt starts: nothing leaks (the sanitizer watches), nothing crashes, and what was asked either
 * is refused with "no memory" or is done whole. malloc and its kin are wrapped by the linker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/alerts.h"
#include "alert/hook.h"
#include "http/http.h"

static long allocations_left = -1; /* -1 = no limit */
static bool was_denied;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int may_allocate(void)
{
    if (allocations_left == 0) {
        was_denied = true;
        return 0;
    }
    if (allocations_left > 0)
        allocations_left--;
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

static char dir[] = "/tmp/pw-nomem-XXXXXX";
static char path[64];

static void write_file(const char *name, const char *text)
{
    char file_path[64];
    FILE *file;

    (void)snprintf(file_path, sizeof file_path, "%s/%s", dir, name);
    file = fopen(file_path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(file_path, 0600), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/alerts.yaml", dir);
    write_file("url", "https://u:p@127.0.0.1:1/x\n");
    write_file("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    write_file("body", "[{{#events}}{{comma}}\n\"{{summary}} {{node.name}}\"{{/events}}]");
    write_file("alerts.yaml",
               "version: 1\nhooks:\n"
               "  a: {type: webhook, url_file: url, secret_file: key, token_file: key, "
               "ca_file: url, proxy: 'http://127.0.0.1:1'}\n"
               "  b: {type: webhook, url: http://127.0.0.1:1, format: slack, headers: {X: y}}\n"
               "  c: {type: webhook, url: http://127.0.0.1:1, template: body, secret_file: key}\n"
               "  d: {type: alertmanager, urls: [http://127.0.0.1:1, http://127.0.0.1:2], "
               "labels: {a: b}}\n"
               "  e: {type: exec, command: [/bin/true, x]}\n"
               "rules: [{name: r, hooks: [a, b, c, d, e]}]\n");
    return 0;
}

static int teardown(void **state)
{
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void test_load(void **state)
{
    struct pw_alerts *alerts = NULL;
    long n = 0;

    (void)state;
    for (; n < 5000; n++) {
        struct pw_problems problems;
        enum pw_status status;

        pw_problems_init(&problems);
        allocations_left = n;
        was_denied = false;
        status = pw_alerts_load(path, &alerts, &problems);
        if (!was_denied) {
            allocations_left = -1;
            assert_int_equal(status, PW_OK);
            pw_alerts_free(alerts);
            pw_problems_free(&problems);
            break;
        }
        allocations_left = -1;
        assert_int_not_equal(status, PW_OK);
        assert_null(alerts);
        pw_problems_free(&problems);
    }
    assert_true(n > 50 && n < 5000);
}

static void on_done(void *context, const struct pw_hook_result *result)
{
    int *done = context;

    assert_true(result->outcome == PW_HOOK_RETRY);
    assert_non_null(result->why);
    (*done)++;
}

static void on_http_closed(void *context)
{
    (void)context;
}

/* Starts with ever more memory; returns how often there was too little. */
static long starve(const struct pw_hook_tools *tools, const struct pw_hook_config *hook,
                   const struct pw_delivery *list)
{
    for (long n = 0; n < 1000; n++) {
        struct pw_hook_run *run;
        struct pw_error err = {PW_OK, ""};
        enum pw_status status;
        bool was_enough;
        int done = 0;

        allocations_left = n;
        was_denied = false;
        status = pw_hook_kind_of(hook)->start(tools, hook, list, on_done, &done, &run, &err);
        was_enough = !was_denied;
        allocations_left = -1;
        assert_int_equal(done, 0);
        if (status != PW_OK) {
            /* libcurl calls a URL bad that it has no memory to take apart. */
            assert_true(status == PW_ENOMEM || status == PW_EINVAL);
            assert_null(run);
            assert_string_not_equal(err.message, "");
            (void)uv_run(tools->loop, UV_RUN_NOWAIT);
        }
        while (status == PW_OK && done == 0)
            (void)uv_run(tools->loop, UV_RUN_ONCE);
        if (was_enough) {
            assert_int_equal(done, 1);
            return n;
        }
    }
    fail();
    return 0;
}

static void test_start(void **state)
{
    static const char json[] = "{\"time\":\"2026-11-24T07:53:48.123Z\",\"data\":{\"node\":{"
                               "\"region\":\"r\"},\"report\":{\"baseline_name\":\"b\"}}}";
    struct pw_delivery first = {
        .uid = "00000000-0000-5000-8000-000000000001",
        .hook = "h",
        .rule = "r",
        .type = "io.patchwatch.node.non_compliant",
        .source_name = "prod",
        .node_key = pw_str_of("ECS/i-1"),
        .node_name = pw_str_of("web"),
        .to = pw_str_of("non_compliant"),
        .event_json = {json, sizeof json - 1},
    };
    struct pw_delivery second = first;
    struct pw_problems problems;
    struct pw_alerts *alerts;
    struct pw_hook_tools tools = {.clock = pw_clock_system()};
    struct pw_error err;
    uv_loop_t loop;

    (void)state;
    second.uid = "00000000-0000-5000-8000-000000000002";
    first.next = &second;
    pw_problems_init(&problems);
    assert_int_equal(pw_alerts_load(path, &alerts, &problems), PW_OK);
    pw_problems_free(&problems);
    assert_int_equal(uv_loop_init(&loop), 0);
    tools.loop = &loop;
    assert_int_equal(pw_http_new(&loop, 8, &tools.http, &err), PW_OK);
    for (size_t i = 0; i < 4; i++)
        assert_true(starve(&tools, &alerts->hooks[i], &first) > 2);
    pw_http_close(tools.http, on_http_closed, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    pw_alerts_free(alerts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
