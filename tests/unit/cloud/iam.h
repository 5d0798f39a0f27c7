/* What the tests of log-ins share: answers of IAM, and a source that logs in. Include cmocka.h
 * before it. */
#ifndef PW_TESTS_CLOUD_IAM_H
#define PW_TESTS_CLOUD_IAM_H

#include <stdio.h>
#include <string.h>

#include "bench.h"

#define URL "https://coc.example.com/v1"
#define HOUR_MS (3600 * PW_SECOND_MS)
#define DATE "Date: Fri, 02 Jan 2026 15:04:05 GMT\r\n"
#define TOKEN_FOR_A_DAY                                                                            \
    ANSWER("201 Created", DATE "X-Subject-Token: " PLANTED_TOKEN "\r\n",                           \
           "{\"token\":{\"expires_at\":\"2026-01-03T15:04:05.123000Z\"}}")
#define TOKEN_BYTES                                                                                \
    "HTTP/1.1 201 Created\r\nConnection: close\r\n" DATE "X-Subject-Token: " PLANTED_TOKEN         \
    "\r\n\r\n{\"token\":{\"expires_at\":\"2026-01-03T15:04:05.123000Z\"}}"
#define SECOND_TOKEN                                                                               \
    ANSWER("201 Created", DATE "x-subject-token: second-token\r\n",                                \
           "{\"token\":{\"expires_at\":\"2026-01-03T15:04:05.123000Z\"}}")

static inline void use_password(struct bench *bench)
{
    bench->source.auth = PW_AUTH_PASSWORD;
    bench->source.iam_domain = (char *)(uintptr_t) "acme";
    bench->source.iam_user = (char *)(uintptr_t) "watcher";
    bench->source.iam_password_file = bench_file(bench, 0, PLANTED_PASSWORD "\n");
    bench_new(bench);
}

static inline void assert_token(struct bench *bench, const char *token)
{
    char expected[128];

    (void)snprintf(expected, sizeof expected, "X-Auth-Token: %s\n", token);
    if (strstr(bench_headers(bench, URL), expected) == NULL)
        fail_msg("%s", bench_headers(bench, URL));
}

#endif
