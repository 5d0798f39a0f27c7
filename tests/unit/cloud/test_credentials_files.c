/* Credentials that stand in files and variables: none, token, aksk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bench.h"

#define URL "https://coc.example.com/v1/patch/instance/compliant?limit=100&offset=1"

static void use_keys(struct bench *bench)
{
    bench->source.auth = PW_AUTH_AKSK;
    bench->source.access_key_file = bench_file(bench, 0, PLANTED_AK "\n");
    bench->source.secret_key_file = bench_file(bench, 1, PLANTED_SK "\n");
}

static void test_none(void **state)
{
    struct bench *bench = *state;

    bench->source.auth = PW_AUTH_NONE;
    bench_new(bench);
    assert_string_equal(bench_headers(bench, URL), "");
    assert_int_equal(pw_credentials_generation(bench->credentials), 1);
    bench_must(bench, PW_OK);
    bench->source.project_id = (char *)(uintptr_t) "p1";
    assert_string_equal(bench_headers(bench, URL), "X-Project-Id: p1\n");
    assert_false(bench_refused(bench));
    assert_false(pw_credentials_changed(bench->credentials));
}

static void test_token(void **state)
{
    struct bench *bench = *state;

    bench->source.auth = PW_AUTH_TOKEN;
    bench->source.domain_id = (char *)(uintptr_t) "d1";
    bench->source.token_file = bench_file(bench, 0, PLANTED_TOKEN "\n");
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_string_equal(bench_headers(bench, URL),
                        "X-Auth-Token: " PLANTED_TOKEN "\nX-Domain-Id: d1\n");
    /* Refused: no other token is there, so waiting is all that is left. */
    assert_false(bench_refused(bench));
    assert_false(pw_credentials_changed(bench->credentials));
    (void)bench_file(bench, 0, "another-token");
    assert_true(pw_credentials_changed(bench->credentials));
    assert_true(bench_refused(bench));
    bench_must(bench, PW_OK);
    assert_false(pw_credentials_changed(bench->credentials));
    assert_string_equal(bench_headers(bench, URL),
                        "X-Auth-Token: another-token\nX-Domain-Id: d1\n");
}

static void test_nothing_prepared(void **state)
{
    struct bench *bench = *state;
    const char *const *headers;
    struct pw_error err;

    use_keys(bench);
    bench_new(bench);
    assert_int_equal(
        pw_credentials_headers(bench->credentials, "GET", URL, PW_STR_NULL, &headers, &err),
        PW_EPERM);
    assert_null(headers);
}

static void test_keys(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    bench_new(bench);
    bench_must(bench, PW_OK);
    /* The signature was computed with an independent implementation (Python's hmac). */
    assert_string_equal(bench_headers(bench, URL),
                        "Host: coc.example.com\n"
                        "X-Sdk-Date: 20260102T150405Z\n"
                        "Authorization: SDK-HMAC-SHA256 Access=" PLANTED_AK
                        ", SignedHeaders=host;x-sdk-date, Signature="
                        "a67c3b26b26379e93cfcc92e5738868cc9365368eafe3dd0694a4abda04ed836\n");
    bench->clock.now_ms += 1000; /* a signature of its own for each attempt */
    assert_non_null(strstr(bench_headers(bench, URL), "20260102T150406Z"));
    bench->source.domain_id = (char *)(uintptr_t) "d1";
    bench->source.project_id = (char *)(uintptr_t) "p1";
    assert_non_null(strstr(bench_headers(bench, URL),
                           "SignedHeaders=host;x-domain-id;x-project-id;x-sdk-date,"));
}

static void test_temporary_keys(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    bench->source.security_token_file = bench_file(bench, 2, PLANTED_STS);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "\nX-Security-Token: " PLANTED_STS "\n"));
    assert_non_null(
        strstr(bench_headers(bench, URL), "SignedHeaders=host;x-sdk-date;x-security-token,"));
}

static void test_keys_are_read_anew(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_false(bench_refused(bench));
    (void)bench_file(bench, 0, "ROTATED");
    assert_true(pw_credentials_changed(bench->credentials));
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=ROTATED,"));
    assert_false(pw_credentials_changed(bench->credentials));
    /* Half written: empty for a moment. The old pair goes on. */
    (void)bench_file(bench, 0, "");
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=ROTATED,"));
    (void)unlink(bench->paths[0]);
    bench_must(bench, PW_OK);
    (void)bench_file(bench, 0, "THIRD");
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=THIRD,"));
    /* Open to others: refused, whatever was read before; good again once it is closed. */
    assert_int_equal(chmod(bench->paths[1], 0644), 0);
    assert_true(pw_credentials_changed(bench->credentials));
    bench_must(bench, PW_EPERM);
    assert_non_null(strstr(bench->message, "mode 0644"));
    assert_int_equal(chmod(bench->paths[1], 0600), 0);
    assert_true(pw_credentials_changed(bench->credentials));
    bench_must(bench, PW_OK);
}

static void test_bad_key_files(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    (void)unlink(bench->paths[0]);
    bench_new(bench);
    bench_must(bench, PW_ENOTFOUND);
    (void)bench_file(bench, 0, PLANTED_AK " ");
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, bench->paths[0]));
    (void)bench_file(bench, 0, "two\nlines");
    bench_must(bench, PW_EFORMAT);
    (void)bench_file(bench, 0, "");
    bench_must(bench, PW_EFORMAT);
    (void)bench_file(bench, 0, PLANTED_AK);
    bench_must(bench, PW_OK);
    bench_close(bench);
    bench->source.secret_key_file = NULL;
    bench_new(bench);
    bench_must(bench, PW_EINVAL);
}

static void test_environment(void **state)
{
    struct bench *bench = *state;

    bench->source.auth = PW_AUTH_AKSK;
    bench_new(bench);
    bench_must(bench, PW_ENOTFOUND);
    assert_non_null(strstr(bench->message, "access_key_file"));
    assert_int_equal(setenv("HUAWEICLOUD_SDK_AK", PLANTED_AK, 1), 0);
    bench_must(bench, PW_EFORMAT);
    assert_string_equal(bench->message, "HUAWEICLOUD_SDK_SK is missing beside HUAWEICLOUD_SDK_AK");
    assert_int_equal(setenv("HUAWEICLOUD_SDK_SK", PLANTED_SK " with blank", 1), 0);
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, "HUAWEICLOUD_SDK_SK"));
    assert_int_equal(setenv("HUAWEICLOUD_SDK_SK", PLANTED_SK, 1), 0);
    assert_int_equal(setenv("HUAWEICLOUD_SDK_SECURITY_TOKEN", PLANTED_STS, 1), 0);
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=" PLANTED_AK ","));
    assert_non_null(strstr(bench_headers(bench, URL), "X-Security-Token: " PLANTED_STS));
    assert_false(bench_refused(bench));
}

static void test_sdk_file(void **state)
{
    struct bench *bench = *state;
    char home[80], path[160];

    bench->source.auth = PW_AUTH_AKSK;
    (void)snprintf(home, sizeof home, "%s/.huaweicloud", bench->folder);
    assert_int_equal(mkdir(home, 0700), 0);
    (void)bench_file(bench, 0,
                     "# of the SDK\n[basic]\nak = BASIC\nsk = s\n\n[global]\r\n ak=" PLANTED_AK
                     "\r\nsk : " PLANTED_SK "\n;ak=x\nsecurity_token = " PLANTED_STS "\n[other]\n"
                     "ak=OTHER\n");
    (void)snprintf(path, sizeof path, "%s/credentials", home);
    assert_int_equal(rename(bench->paths[0], path), 0);
    assert_int_equal(setenv("HOME", bench->folder, 1), 0);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(strstr(bench_headers(bench, URL), "Access=" PLANTED_AK ","));
    assert_non_null(strstr(bench_headers(bench, URL), "X-Security-Token: " PLANTED_STS));
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(bench_refused(bench));
    bench_must(bench, PW_EPERM);
    bench_close(bench);

    assert_int_equal(setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE",
                            bench_file(bench, 1, "[basic]\nak=" PLANTED_AK "\n"), 1),
                     0);
    bench_new(bench);
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, "[basic]: sk is missing beside ak"));
    (void)bench_file(bench, 1, "[basic]\nak=" PLANTED_AK "\nsk=" PLANTED_SK);
    bench_must(bench, PW_OK);
    assert_null(strstr(bench_headers(bench, URL), "X-Security-Token"));
    (void)bench_file(bench, 1, "[basic]\nak=A B\nsk=" PLANTED_SK);
    bench_must(bench, PW_OK); /* the old ones */
    bench_close(bench);
    (void)bench_file(bench, 1, "ak=A\nsk=" PLANTED_SK);
    bench_new(bench);
    bench_must(bench, PW_ENOTFOUND);
}

static void test_sdk_ids(void **state)
{
    struct bench *bench = *state;

    bench->source.auth = PW_AUTH_AKSK;
    assert_int_equal(setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE",
                            bench_file(bench, 0,
                                       "[global]\nak=" PLANTED_AK "\nsk=" PLANTED_SK
                                       "\ndomain_id = d-file\nproject_id=p-file\n"),
                            1),
                     0);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(
        strstr(bench_headers(bench, URL), "\nX-Domain-Id: d-file\nX-Project-Id: p-file\n"));
    assert_non_null(strstr(bench_headers(bench, URL),
                           "SignedHeaders=host;x-domain-id;x-project-id;x-sdk-date,"));
    /* The ini file has the first word, the environment the second. */
    bench->source.project_id = (char *)(uintptr_t) "p-ini";
    assert_int_equal(setenv("HUAWEICLOUD_SDK_DOMAIN_ID", "d-env", 1), 0);
    assert_int_equal(setenv("HUAWEICLOUD_SDK_PROJECT_ID", "p-env", 1), 0);
    bench_close(bench);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(
        strstr(bench_headers(bench, URL), "\nX-Domain-Id: d-env\nX-Project-Id: p-ini\n"));
    bench_close(bench);
    assert_int_equal(setenv("HUAWEICLOUD_SDK_AK", PLANTED_AK, 1), 0);
    assert_int_equal(setenv("HUAWEICLOUD_SDK_SK", PLANTED_SK, 1), 0);
    bench->source.project_id = NULL;
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_non_null(
        strstr(bench_headers(bench, URL), "\nX-Domain-Id: d-env\nX-Project-Id: p-env\n"));
    bench_close(bench);
    assert_int_equal(setenv("HUAWEICLOUD_SDK_DOMAIN_ID", "d env\nX-Evil: 1", 1), 0);
    bench_new(bench);
    bench_must(bench, PW_EFORMAT);
    assert_non_null(strstr(bench->message, "HUAWEICLOUD_SDK_DOMAIN_ID"));
    bench_close(bench);
    /* With key files of its own a source has nothing to do with the SDK. */
    bench->source.access_key_file = bench_file(bench, 1, PLANTED_AK);
    bench->source.secret_key_file = bench_file(bench, 2, PLANTED_SK);
    bench_new(bench);
    bench_must(bench, PW_OK);
    assert_null(strstr(bench_headers(bench, URL), "X-Domain-Id"));
}

/* One warning while a file stays bad, one line when it is good again. */
static void test_warns_once(void **state)
{
    static const char failing[] = "the credentials cannot be renewed";
    struct bench *bench = *state;

    use_keys(bench);
    bench_new(bench);
    pw_log_set_level(PW_LOG_INFO);
    bench_must(bench, PW_OK);
    (void)bench_file(bench, 0, "");
    for (int i = 0; i < 3; i++)
        bench_must(bench, PW_OK);
    assert_int_equal(bench_logged(bench, failing), 1);
    (void)unlink(bench->paths[0]);
    bench_must(bench, PW_OK);
    bench_must(bench, PW_OK);
    assert_int_equal(bench_logged(bench, failing), 2);
    (void)bench_file(bench, 0, "ROTATED");
    bench_must(bench, PW_OK);
    bench_must(bench, PW_OK);
    assert_int_equal(bench_logged(bench, "can be renewed again"), 1);
    pw_log_set_level(PW_LOG_DEBUG);
}

static void test_redaction(void **state)
{
    struct bench *bench = *state;
    char text[] = "gateway says: secret " PLANTED_SK " of " PLANTED_AK;

    use_keys(bench);
    bench_new(bench);
    pw_credentials_redact(bench->credentials, text); /* harmless before there is one */
    bench_must(bench, PW_OK);
    pw_credentials_redact(bench->credentials, text);
    bench_clean(text);
    assert_non_null(strstr(text, "gateway says: secret **"));
}

/* Closing while an outcome is on its way: it is not told any more. */
static void test_close_while_preparing(void **state)
{
    struct bench *bench = *state;

    use_keys(bench);
    bench_new(bench);
    bench_begin(bench);
    bench_close(bench);
    world_run_ms(bench->world, 5);
    assert_int_equal(bench->ready, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none),
        TEST(test_token),
        TEST(test_nothing_prepared),
        TEST(test_keys),
        TEST(test_temporary_keys),
        TEST(test_keys_are_read_anew),
        TEST(test_bad_key_files),
        TEST(test_environment),
        TEST(test_sdk_file),
        TEST(test_sdk_ids),
        TEST(test_warns_once),
        TEST(test_redaction),
        TEST(test_close_while_preparing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
