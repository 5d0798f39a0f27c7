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
    struct pw_clock_manual clock;
    struct pw_source_config source;
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
void bench_close(struct bench *bench);
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
