/* What the tests of credentials share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static void on_heartbeat(uv_timer_t *timer)
{
    (void)timer;
}

int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    void *world = NULL;

    assert_non_null(bench);
    (void)unsetenv("HUAWEICLOUD_SDK_AK");
    (void)unsetenv("HUAWEICLOUD_SDK_SK");
    (void)unsetenv("HUAWEICLOUD_SDK_SECURITY_TOKEN");
    (void)unsetenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE");
    (void)unsetenv("HUAWEICLOUD_SDK_DOMAIN_ID");
    (void)unsetenv("HUAWEICLOUD_SDK_PROJECT_ID");
    (void)unsetenv("HOME");
    assert_int_equal(world_setup(&world), 0);
    bench->world = world;
    assert_int_equal(uv_timer_init(&bench->world->loop, &bench->heartbeat), 0);
    assert_int_equal(uv_timer_start(&bench->heartbeat, on_heartbeat, 5, 5), 0);
    pw_clock_manual_init(&bench->clock, BENCH_NOW_MS);
    assert_int_equal(pw_guard_new(&bench->clock.clock, &bench->guard, NULL), PW_OK);
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/pw-cloud-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    (void)snprintf(bench->base, sizeof bench->base, "http://127.0.0.1:%d",
                   bench->world->server.port);
    bench->source =
        (struct pw_source_config){.name = (char *)(uintptr_t) "prod",
                                  .endpoint = (char *)(uintptr_t) "https://coc.example.com",
                                  .timeout_ms = 2000,
                                  .connect_timeout_ms = 1000,
                                  .iam_endpoint = bench->base,
                                  .metadata_endpoint = bench->base};
    /* The log goes to a file until the end. */
    (void)fflush(stderr);
    bench->stderr_fd = dup(STDERR_FILENO);
    bench->log_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(bench->log_fd >= 0);
    assert_true(dup2(bench->log_fd, STDERR_FILENO) >= 0);
    pw_log_set_level(PW_LOG_DEBUG);
    *state = bench;
    return 0;
}

void bench_clean(const char *text)
{
    static const char *const planted[] = {PLANTED_AK,    PLANTED_SK, PLANTED_STS,
                                          PLANTED_TOKEN, "pass\\",   PLANTED_SESSION};

    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        if (strstr(text, planted[i]) != NULL)
            fail_msg("a secret shows in: %s", text);
    }
}

static void on_closed(void *context)
{
    struct bench *bench = context;

    bench->is_closed = true;
}

void bench_close(struct bench *bench)
{
    struct pw_credentials *credentials = bench->credentials;

    if (credentials == NULL)
        return;
    bench->credentials = NULL;
    bench->is_closed = false;
    pw_credentials_close(credentials, on_closed, bench);
    for (int i = 0; !bench->is_closed && i < 5000; i++)
        world_run_ms(bench->world, 1);
    assert_true(bench->is_closed);
}

int bench_teardown(void **state)
{
    struct bench *bench = *state;
    static char log[262144];
    char command[128];
    void *world = bench->world;
    ssize_t len;

    bench_close(bench);
    pw_guard_free(bench->guard);
    uv_close((uv_handle_t *)&bench->heartbeat, NULL);
    assert_int_equal(world_teardown(&world), 0);
    (void)fflush(stderr);
    (void)dup2(bench->stderr_fd, STDERR_FILENO);
    len = pread(bench->log_fd, log, sizeof log - 1, 0);
    assert_true(len >= 0);
    log[len] = '\0';
    (void)close(bench->stderr_fd);
    (void)close(bench->log_fd);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", bench->folder);
    assert_int_equal(system(command), 0);
    free(bench);
    bench_clean(log);
    return 0;
}

char *bench_file(struct bench *bench, size_t number, const char *text)
{
    char *path = bench->paths[number];
    char fresh[160];
    int fd;

    (void)snprintf(path, sizeof bench->paths[number], "%s/file%zu", bench->folder, number);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(fresh, path), 0);
    return path;
}

void bench_new(struct bench *bench)
{
    struct pw_error err;

    assert_int_equal(pw_credentials_new(&bench->world->loop, bench->world->http,
                                        &bench->clock.clock, bench->guard, &bench->source,
                                        &bench->credentials, &err),
                     PW_OK);
}

static void on_ready(void *context, enum pw_status status, const struct pw_error *error)
{
    struct bench *bench = context;

    bench->ready++;
    bench->status = status;
    assert_int_equal(error->status, status);
    (void)snprintf(bench->message, sizeof bench->message, "%s",
                   status != PW_OK ? error->message : "");
    if (status != PW_OK)
        assert_true(bench->message[0] != '\0');
    bench_clean(bench->message);
}

void bench_begin(struct bench *bench)
{
    bench->ready = 0;
    pw_credentials_prepare(bench->credentials, on_ready, bench);
    assert_int_equal(bench->ready, 0); /* never from within */
}

void bench_prepare(struct bench *bench)
{
    bench_begin(bench);
    for (int i = 0; bench->ready == 0 && i < 5000; i++)
        world_run_ms(bench->world, 1);
    assert_int_equal(bench->ready, 1);
}

void bench_must(struct bench *bench, enum pw_status expected)
{
    bench_prepare(bench);
    if (bench->status != expected)
        fail_msg("%s instead of %s: %s", pw_status_name(bench->status), pw_status_name(expected),
                 bench->message);
}

void bench_renew(struct bench *bench)
{
    size_t requests = bench->world->server.requests;

    bench_must(bench, PW_OK);
    for (int i = 0; bench->world->server.requests == requests && i < 1000; i++)
        world_run_ms(bench->world, 1);
    assert_int_not_equal(bench->world->server.requests, requests);
    world_run_ms(bench->world, 50);
    bench_must(bench, PW_OK);
}

const char *bench_headers(struct bench *bench, const char *url)
{
    static char text[8192];
    const char *const *headers;
    struct pw_error err;
    size_t used = 0;

    text[0] = '\0';
    if (pw_credentials_headers(bench->credentials, "GET", url, PW_STR_NULL, &headers, &err) !=
        PW_OK)
        fail_msg("%s", err.message);
    for (; *headers != NULL; headers++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", *headers);
    return text;
}

void bench_accepted(struct bench *bench)
{
    pw_credentials_accepted(bench->credentials, pw_credentials_generation(bench->credentials));
}

bool bench_refused(struct bench *bench)
{
    return pw_credentials_refused(bench->credentials,
                                  pw_credentials_generation(bench->credentials));
}

int bench_logged(struct bench *bench, const char *text)
{
    static char log[262144];
    ssize_t len;
    int count = 0;

    (void)fflush(stderr);
    len = pread(bench->log_fd, log, sizeof log - 1, 0);
    assert_true(len >= 0);
    log[len] = '\0';
    for (const char *p = log; (p = strstr(p, text)) != NULL; p++)
        count++;
    return count;
}

/* ---- askers ----------------------------------------------------------------------------------*/

void asker_new(struct asker *asker, struct bench *bench)
{
    struct pw_error err;

    *asker = (struct asker){.bench = bench, .source = bench->source};
    assert_int_equal(pw_credentials_new(&bench->world->loop, bench->world->http,
                                        &bench->clock.clock, bench->guard, &asker->source,
                                        &asker->credentials, &err),
                     PW_OK);
}

static void on_asker_ready(void *context, enum pw_status status, const struct pw_error *error)
{
    struct asker *asker = context;

    asker->ready++;
    asker->status = status;
    bench_clean(error->message);
}

void asker_begin(struct asker *asker)
{
    asker->ready = 0;
    pw_credentials_prepare(asker->credentials, on_asker_ready, asker);
    assert_int_equal(asker->ready, 0);
}

void asker_must(struct asker *asker, enum pw_status expected)
{
    for (int i = 0; asker->ready == 0 && i < 5000; i++)
        world_run_ms(asker->bench->world, 1);
    assert_int_equal(asker->ready, 1);
    assert_int_equal(asker->status, expected);
}

void asker_waits(struct asker *asker)
{
    world_run_ms(asker->bench->world, 20);
    assert_int_equal(asker->ready, 0);
}

static void on_asker_closed(void *context)
{
    struct asker *asker = context;

    asker->is_closed = true;
}

void asker_close(struct asker *asker)
{
    pw_credentials_close(asker->credentials, on_asker_closed, asker);
    for (int i = 0; !asker->is_closed && i < 5000; i++)
        world_run_ms(asker->bench->world, 1);
    assert_true(asker->is_closed);
}
