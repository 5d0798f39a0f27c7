/* Every file in tests/data/config: what loading it reports is exactly what its .expect says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

#define DIRECTORY PW_TEST_DATA "/config"

/* Whether the problem is the one of an expectation "LINE: text". */
static bool is_expected(const struct pw_problem *problem, const char *file, const char *expected)
{
    static const char warning[] = "warning: ";
    const char *text = strstr(expected, ": ");
    long line = strtol(expected, NULL, 10);
    char prefix[1024];
    bool is_warning;

    if (text == NULL)
        return false;
    text += 2;
    is_warning = strncmp(text, warning, sizeof warning - 1) == 0;
    if (is_warning)
        text += sizeof warning - 1;
    if (line > 0)
        (void)snprintf(prefix, sizeof prefix, "%s:%ld: ", file, line);
    else
        (void)snprintf(prefix, sizeof prefix, "%s: ", file);
    return problem->is_warning == is_warning &&
           strncmp(problem->text, prefix, strlen(prefix)) == 0 &&
           strstr(problem->text + strlen(prefix), text) != NULL;
}

/* Loads one file; returns how many things are not as expected, and prints them. */
static int check_file(const char *ini)
{
    char expect_path[1024], line[1024];
    struct pw_config *config = NULL;
    struct pw_problems problems;
    bool used[64] = {false};
    enum pw_status status;
    int wrong = 0;
    FILE *expect;

    (void)snprintf(expect_path, sizeof expect_path, "%.*s.expect", (int)strlen(ini) - 4, ini);
    expect = fopen(expect_path, "r");
    if (expect == NULL) {
        print_error("%s is missing\n", expect_path);
        return 1;
    }
    pw_problems_init(&problems);
    status = pw_config_load(ini, &config, &problems);
    assert_true(problems.count <= sizeof used / sizeof used[0]);
    while (fgets(line, sizeof line, expect) != NULL) {
        bool found = false;

        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < problems.count && !found; i++) {
            if (!used[i] && is_expected(&problems.items[i], ini, line))
                used[i] = found = true;
        }
        if (!found) {
            print_error("%s: not reported: %s\n", ini, line);
            wrong++;
        }
    }
    for (size_t i = 0; i < problems.count; i++) {
        if (!used[i]) {
            print_error("not expected: %s\n", problems.items[i].text);
            wrong++;
        }
        if (strstr(problems.items[i].text, "geheim") != NULL) {
            print_error("repeats a secret: %s\n", problems.items[i].text);
            wrong++;
        }
    }
    if (status != (problems.errors > 0 ? PW_EINVAL : PW_OK) ||
        (config != NULL) != (problems.errors == 0)) {
        print_error("%s: wrong result: %s\n", ini, pw_status_name(status));
        wrong++;
    }
    pw_config_free(config);
    pw_problems_free(&problems);
    (void)fclose(expect);
    return wrong;
}

static void test_every_file(void **state)
{
    struct dirent *entry;
    int wrong = 0, files = 0;
    DIR *directory;

    (void)state;
    directory = opendir(DIRECTORY);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        size_t len = strlen(entry->d_name);
        char path[1024];

        if (len < 5 || strcmp(entry->d_name + len - 4, ".ini") != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", DIRECTORY, entry->d_name);
        wrong += check_file(path);
        files++;
    }
    (void)closedir(directory);
    assert_true(files > 40);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_file)};

    /* Where a secret file is looked up must not depend on who runs the tests. */
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
