/* Each allocation of the loader fails in turn: it says "no memory", gives nothing, leaks nothing
 * (the sanitizer watches) and does not crash. malloc and its kin are wrapped by the linker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

static long allocations_left = -1; /* -1 = no limit */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int may_allocate(void)
{
    if (allocations_left == 0)
        return 0;
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

/* Loads with ever more memory until it is enough; returns how often it was not. */
static long starve(const char *path, enum pw_status enough)
{
    for (long n = 0; n < 5000; n++) {
        struct pw_problems problems;
        struct pw_config *config = NULL;
        enum pw_status status;

        pw_problems_init(&problems);
        allocations_left = n;
        status = pw_config_load(path, &config, &problems);
        if (allocations_left > 0) {
            allocations_left = -1;
            assert_int_equal(status, enough);
            pw_config_free(config);
            pw_problems_free(&problems);
            return n;
        }
        allocations_left = -1;
        if (enough == PW_OK && status != PW_OK) {
            assert_int_equal(status, PW_ENOMEM);
            assert_null(config);
        }
        assert_true(status == PW_OK || config == NULL);
        assert_true(enough == PW_OK || status != PW_OK);
        pw_config_free(config);
        pw_problems_free(&problems);
    }
    fail();
    return 0;
}

static void test_good_file(void **state)
{
    char path[] = "/tmp/pw-nomem-XXXXXX";
    int fd = mkstemp(path);
    FILE *file;

    (void)state;
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    (void)fprintf(file,
                  "[daemon]\nalerts = a.yaml\nlog_level = err\n[defaults]\nretries = 1\n"
                  "token_file = %s\nca_file = %s\nproxy = p\n[source a]\n"
                  "endpoint = https://x\nauth = none\n"
                  "filter.region = r\n[source b]\nendpoint = https://x\nauth = none\n",
                  path, path);
    assert_int_equal(fclose(file), 0);
    assert_true(starve(path, PW_OK) > 30);
    assert_int_equal(unlink(path), 0);
}

static void test_bad_files(void **state)
{
    (void)state;
    assert_true(starve(PW_TEST_DATA "/config/bad-words.ini", PW_EINVAL) > 50);
    assert_true(starve(PW_TEST_DATA "/config/bad-endpoint.ini", PW_EINVAL) > 50);
    assert_true(starve(PW_TEST_DATA "/config/duplicate-section.ini", PW_EINVAL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_bad_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
