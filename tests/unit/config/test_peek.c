/* pw_config_peek: what a program that only reads gets from a configuration that the daemon would
 * refuse. */
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

#include "config/config.h"

struct folder {
    char path[64], main[96], conf_d[96], extra[128];
};

static int setup(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);

    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/pw-peek-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->main, sizeof folder->main, "%s/main.ini", folder->path);
    (void)snprintf(folder->conf_d, sizeof folder->conf_d, "%s/conf.d", folder->path);
    (void)snprintf(folder->extra, sizeof folder->extra, "%s/1.ini", folder->conf_d);
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    struct folder *folder = *state;

    (void)unlink(folder->extra);
    (void)rmdir(folder->conf_d);
    (void)unlink(folder->main);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct pw_config *peek(const char *path, enum pw_status expected, size_t errors)
{
    struct pw_problems problems;
    struct pw_config *config;

    pw_problems_init(&problems);
    assert_int_equal(pw_config_peek(path, &config, &problems), expected);
    assert_int_equal(problems.errors, errors);
    assert_true((config != NULL) == (expected == PW_OK));
    pw_problems_free(&problems);
    return config;
}

/* Secrets that are not there, sources that lack what they need, unsupported options: all the same.
 */
static void test_needs_no_secrets(void **state)
{
    const struct folder *folder = *state;
    struct pw_config *config;

    write_file(folder->main, "[daemon]\ndatabase = /srv/h.db\n"
                             "[defaults]\ninterval = 5m\n"
                             "[source a]\nendpoint = https://a\naccess_key_file = none\n"
                             "secret_key_file = none\nfailing_after = 7\n"
                             "[source b]\ninterval = soon\n");
    config = peek(folder->main, PW_OK, 0);
    assert_string_equal(config->daemon.database, "/srv/h.db");
    assert_int_equal(config->source_count, 2);
    assert_string_equal(config->sources[0].name, "a");
    assert_int_equal(config->sources[0].interval_ms, 300000);
    assert_int_equal(config->sources[0].failing_after, 7);
    assert_string_equal(config->sources[1].name, "b");
    pw_config_free(config);
}

static void test_later_file_wins(void **state)
{
    const struct folder *folder = *state;
    struct pw_config *config;

    write_file(folder->main, "[daemon]\ndatabase = /srv/h.db\n");
    assert_int_equal(mkdir(folder->conf_d, 0700), 0);
    write_file(folder->extra, "[daemon]\ndatabase = /srv/other.db\n");
    config = peek(folder->main, PW_OK, 0);
    assert_string_equal(config->daemon.database, "/srv/other.db");
    assert_int_equal(config->source_count, 0);
    pw_config_free(config);
}

/* A bad file is told of, but what it says of the database counts. */
static void test_problems_are_told(void **state)
{
    const struct folder *folder = *state;

    write_file(folder->main, "[daemon]\ndatabase = /srv/h.db\nnonsense\n");
    pw_config_free(peek(folder->main, PW_OK, 1));
}

/* Never the default path where another one was meant. */
static void test_no_database(void **state)
{
    const struct folder *folder = *state;

    (void)peek(folder->main, PW_EINVAL, 1);
    write_file(folder->main, "[daemon]\ndatabase = relative.db\n");
    (void)peek(folder->main, PW_EINVAL, 1);
    write_file(folder->main, "[daemon]\ndatabase =\n");
    (void)peek(folder->main, PW_EINVAL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_needs_no_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_file_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_problems_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_database, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
