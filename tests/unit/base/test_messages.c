/* What people read: errors, problems of files, log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/problems.h"

static void test_every_status_has_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < PW_STATUS_COUNT; i++) {
        const char *name = pw_status_name((enum pw_status)i);

        assert_non_null(name);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, pw_status_name((enum pw_status)j));
    }
    assert_string_equal(pw_status_name(PW_STATUS_COUNT), "unknown status");
    assert_string_equal(pw_status_name((enum pw_status)9999), "unknown status");
}

static void test_failing(void **state)
{
    struct pw_error err = {PW_OK, ""};

    (void)state;
    assert_int_equal(pw_fail(&err, PW_EIO, "cannot read %s: %d", "x", 5), PW_EIO);
    assert_int_equal(err.status, PW_EIO);
    assert_string_equal(err.message, "cannot read x: 5");
    assert_int_equal(pw_fail(NULL, PW_EPERM, "nobody reads this"), PW_EPERM);
    assert_int_equal(pw_fail_nomem(NULL), PW_ENOMEM);
    assert_int_equal(pw_fail_nomem(&err), PW_ENOMEM);
    assert_string_equal(err.message, "out of memory");
    assert_int_equal(pw_fail(&err, PW_EIO, "%02000d", 1), PW_EIO);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void test_context_before_a_message(void **state)
{
    struct pw_error err;

    (void)state;
    (void)pw_fail(&err, PW_ENOTFOUND, "no such file");
    assert_int_equal(pw_fail_in(&err, "source %s", "prod"), PW_ENOTFOUND);
    assert_string_equal(err.message, "source prod: no such file");
    assert_int_equal(pw_fail_in(&err, "outer"), PW_ENOTFOUND);
    assert_string_equal(err.message, "outer: source prod: no such file");
    /* Neither a long context nor a long message runs over, and the context survives. */
    (void)pw_fail(&err, PW_EIO, "%0600d", 7);
    (void)pw_fail_in(&err, "here");
    assert_true(strncmp(err.message, "here: 000", 9) == 0);
    assert_true(strlen(err.message) < sizeof err.message);
    (void)pw_fail_in(&err, "%0900d", 8);
    assert_true(strlen(err.message) < sizeof err.message);
    assert_non_null(strstr(err.message, ": here: 0"));
}

static void test_log_levels(void **state)
{
    static const struct {
        const char *name;
        enum pw_log_level level;
    } rows[] = {{"debug", PW_LOG_DEBUG},
                {"info", PW_LOG_INFO},
                {"notice", PW_LOG_NOTICE},
                {"warning", PW_LOG_WARNING},
                {"err", PW_LOG_ERR}};
    static const char *const wrong[] = {"", "INFO", "warn", "error", "info ", "6", "infos"};
    enum pw_log_level level = PW_LOG_ERR;
    struct pw_error err = {PW_OK, ""};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(pw_log_parse_level(rows[i].name, &level, NULL), PW_OK);
        assert_int_equal(level, rows[i].level);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(pw_log_parse_level(wrong[i], &level, &err), PW_EINVAL);
        assert_int_equal(level, PW_LOG_ERR);
        assert_non_null(strstr(err.message, "debug, info, notice, warning, err"));
    }
}

/* What a log call wrote to stderr; the caller frees. */
static char *logged(enum pw_log_level level, const char *text)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    char *out = calloc(1, 8192);
    size_t len;

    assert_non_null(file);
    assert_non_null(out);
    assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    pw_log(level, "%s", text);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    rewind(file);
    len = fread(out, 1, 8191, file);
    out[len] = '\0';
    (void)fclose(file);
    return out;
}

static void test_log_lines_cannot_be_forged(void **state)
{
    static char long_text[5000];
    char *line;

    (void)state;
    line = logged(PW_LOG_INFO, "name\n<0>2026-11-24 err: all is lost\r\x1b[2J");
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strchr(line, '\x1b'));
    assert_null(strchr(line, '\r'));
    assert_non_null(strstr(line, " info: name\\x0A<0>"));
    free(line);
    memset(long_text, '\n', sizeof long_text - 1);
    line = logged(PW_LOG_INFO, long_text);
    assert_true(strlen(line) < 2200);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    free(line);
}

static void test_log_level_drops(void **state)
{
    char *line;

    (void)state;
    assert_int_equal(pw_log_get_level(), PW_LOG_INFO);
    line = logged(PW_LOG_DEBUG, "x");
    assert_string_equal(line, "");
    free(line);
    pw_log_set_level(PW_LOG_ERR);
    line = logged(PW_LOG_WARNING, "x");
    assert_string_equal(line, "");
    free(line);
    line = logged(PW_LOG_ERR, "x");
    assert_non_null(strstr(line, " err: x\n"));
    free(line);
    pw_log_set_level(PW_LOG_INFO);
}

/* The printed problems; the caller frees. */
static char *printed(const struct pw_problems *problems)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    assert_non_null(file);
    pw_problems_print(problems, file);
    (void)fclose(file);
    return text;
}

static void test_problems(void **state)
{
    struct pw_problems problems;
    char *text;

    (void)state;
    pw_problems_init(&problems);
    text = printed(&problems);
    assert_string_equal(text, "");
    free(text);
    pw_problem_error(&problems, "a.ini", 3, "no key '%s'", "x");
    pw_problem_warning(&problems, "a.ini", 4, "odd");
    pw_problem_error(&problems, "b.yaml", 0, "cannot be read");
    assert_int_equal(problems.count, 3);
    assert_int_equal(problems.errors, 2);
    assert_string_equal(problems.items[0].text, "a.ini:3: no key 'x'");
    assert_false(problems.items[0].is_warning);
    assert_true(problems.items[1].is_warning);
    text = printed(&problems);
    assert_string_equal(text, "a.ini:3: no key 'x'\na.ini:4: odd (warning)\n"
                              "b.yaml: cannot be read\n");
    free(text);
    pw_problems_free(&problems);
    assert_int_equal(problems.count, 0);
    assert_int_equal(problems.errors, 0);
}

static void test_problems_with_hostile_words(void **state)
{
    struct pw_problems problems;
    static char name[3000];
    char *text;

    (void)state;
    pw_problems_init(&problems);
    pw_problem_error(&problems, "a\n.ini", 1, "bad \x1b[31m\nb.ini:2: forged");
    memset(name, 'n', sizeof name - 1);
    pw_problem_error(&problems, name, 7, "%s", name); /* cut, yet with its line */
    for (int i = 0; i < 2000; i++)
        pw_problem_warning(&problems, "many", i + 1, "w");
    assert_int_equal(problems.count, 2002);
    assert_int_equal(problems.errors, 2);
    assert_non_null(strstr(problems.items[1].text, "n:7: n"));
    text = printed(&problems);
    assert_true(strncmp(text, "a\\x0A.ini:1: bad \\x1B[31m\\x0Ab.ini:2: forged\n", 45) == 0);
    assert_non_null(strstr(text, "many:2000: w (warning)\n"));
    free(text);
    pw_problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_its_name),
        cmocka_unit_test(test_failing),
        cmocka_unit_test(test_context_before_a_message),
        cmocka_unit_test(test_log_levels),
        cmocka_unit_test(test_log_lines_cannot_be_forged),
        cmocka_unit_test(test_log_level_drops),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_problems_with_hostile_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
