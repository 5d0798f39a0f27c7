/* What the tests of credentials share: a source, a clock that can be moved, a folder for its files,
 * and credentials whose outcome is remembered. Everything that is logged or told as an error is
 * searched for the planted secrets at the end. Include cmocka.h before it. */
#ifndef PW_TESTS_CLOUD_BENCH_H
#define PW_TESTS_CLOUD_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../http/world.h"
#include "base/clock.h"
#include "cloud/credentials.h"
#include "config/config.h"

#define PLANTED_AK "PLANTEDACCESSKEY0001"
#define PLANTED_SK "planted-secret-key-0002"
#define PLANTED_STS "planted-security-token-0003"
#define PLANTED_TOKEN "planted-iam-token-0004"
#define PLANTED_PASSWORD "planted \"pass\\word\" \xC3\xA4 0005"
#define PLANTED_SESSION "planted-session-token-0006"

/* 2026-01-02T15:04:05Z */
#define BENCH_NOW_MS INT64_C(1767366245000)

struct bench {
    struct world *world;
    uv_timer_t heartbeat; /* a loop that has nothing to do would sleep for ever */
    struct pw_clock_manual clock;
    struct pw_source_config source;
    struct pw_guard *guard; /* stays when the credentials are closed, as over a reload */
    struct pw_credentials *credentials;
    char folder[64], paths[4][128], base[64];
    int log_fd, stderr_fd;
    int ready;
    enum pw_status status;
    char message[512];
    bool is_closed;
};

int bench_setup(void **state);
int bench_teardown(void **state);

/* Writes (by rename, mode 0600) one of the four files; returns its path, which stays. */
char *bench_file(struct bench *bench, size_t number, const char *text);
void bench_new(struct bench *bench);
/* Prepares and waits for the outcome. */
void bench_prepare(struct bench *bench);
void bench_begin(struct bench *bench);
void bench_must(struct bench *bench, enum pw_status expected);
/* Prepares twice: at the first time a renewal begins beside the old credential, of which the second
 * finds the outcome. Both are PW_OK. */
void bench_renew(struct bench *bench);
void bench_close(struct bench *bench);
/* A server takes, or refuses, what is in use. */
void bench_accepted(struct bench *bench);
bool bench_refused(struct bench *bench);
/* How often text stands in what was logged so far. */
int bench_logged(struct bench *bench, const char *text);

/* Credentials beside those of the bench, of the same source or another one. */
struct asker {
    struct bench *bench;
    struct pw_source_config source;
    struct pw_credentials *credentials;
    int ready;
    enum pw_status status;
    bool is_closed;
};
/* With a copy of the bench's source. */
void asker_new(struct asker *asker, struct bench *bench);
void asker_begin(struct asker *asker);
/* Waits for the outcome of asker_begin. */
void asker_must(struct asker *asker, enum pw_status expected);
/* A while later there is no outcome yet. */
void asker_waits(struct asker *asker);
void asker_close(struct asker *asker);

/* The headers for a GET, as one text with a newline behind each; "" and a failed test otherwise. */
const char *bench_headers(struct bench *bench, const char *url);
/* Fails if text shows a planted secret. */
void bench_clean(const char *text);

#define ANSWER(status_line, headers, body_text)                                                    \
    {                                                                                              \
        .bytes = "HTTP/1.1 " status_line "\r\nConnection: close\r\n" headers "\r\n" body_text,     \
        .then = THEN_CLOSE                                                                         \
    }

#endif
