/* Loading alerts.yaml: each file of tests/data/alerts with what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/alerts.h"
#include "alert/rules.h"

#define DATA PW_TEST_DATA "/alerts/"

static struct pw_alerts *load_good(const char *path)
{
    struct pw_problems problems;
    struct pw_alerts *alerts = NULL;

    pw_problems_init(&problems);
    if (pw_alerts_load(path, &alerts, &problems) != PW_OK)
        pw_problems_print(&problems, stderr);
    assert_int_equal(problems.count, 0);
    assert_non_null(alerts);
    pw_problems_free(&problems);
    return alerts;
}

static void test_absent_file_is_no_alerts(void **state)
{
    struct pw_alerts *alerts = load_good("/nonexistent/alerts.yaml");

    (void)state;
    assert_int_equal(alerts->hook_count, 0);
    assert_int_equal(alerts->rule_count, 0);
    pw_alerts_free(alerts);
}

static void test_good_files(void **state)
{
    struct pw_alerts *alerts;

    (void)state;
    pw_alerts_free(load_good(DATA "good-minimal.yaml"));
    pw_alerts_free(load_good(DATA "good-empty-sections.yaml"));
    alerts = load_good(DATA "good-full.yaml");
    assert_int_equal(alerts->hook_count, 2);
    assert_string_equal(alerts->hooks[0].name, "pager");
    assert_int_equal(alerts->hooks[0].timeout_ms, 5000);
    assert_string_equal(alerts->hooks[0].command[0], "/bin/true");
    assert_string_equal(alerts->hooks[0].command[2], "in fra");
    assert_string_equal(alerts->hooks[0].command[3], "it's");
    assert_string_equal(alerts->hooks[0].command[4], "$HOME; rm -rf /");
    assert_null(alerts->hooks[0].command[5]);
    assert_int_equal(alerts->hooks[1].timeout_ms, 30000);
    assert_ptr_equal(pw_alerts_hook(alerts, "log.file-2_x"), &alerts->hooks[1]);
    assert_null(pw_alerts_hook(alerts, "nobody"));
    assert_int_equal(alerts->rule_count, 4);
    assert_string_equal(alerts->rules[0].name, "production, high");
    assert_int_equal(alerts->rules[0].match.types,
                     (1U << PW_EVENT_NODE_NON_COMPLIANT) | (1U << PW_EVENT_NODE_MISSING));
    assert_int_equal(alerts->rules[0].match.causes,
                     (1U << PW_CAUSE_PATCHES) | (1U << PW_CAUSE_BASELINE));
    assert_int_equal(alerts->rules[0].match.severity, PW_HIGH);
    assert_int_equal(alerts->rules[0].match.fields[PW_MATCH_SCENE].count, 2);
    assert_string_equal(alerts->rules[0].match.fields[PW_MATCH_GROUP].texts[0], "");
    assert_int_equal(alerts->rules[0].hook_count, 2);
    assert_int_equal(alerts->rules[1].match.types,
                     (1U << PW_EVENT_NODE_NON_COMPLIANT) | (1U << PW_EVENT_NODE_COMPLIANT));
    assert_int_equal(alerts->rules[1].hook_count, 1);
    assert_true(alerts->rules[1].sends_recovery);
    assert_false(alerts->rules[1].group.is_on);
    assert_int_equal(alerts->rules[2].match.types, 1U << PW_EVENT_NODE_NON_COMPLIANT);
    assert_true(alerts->rules[2].group.is_on);
    assert_int_equal(alerts->rules[2].group.by, (1U << PW_MATCH_REGION) | (1U << PW_MATCH_SOURCE));
    assert_int_equal(alerts->rules[2].group.wait_ms, 60000);
    assert_int_equal(alerts->rules[2].group.max, 50);
    assert_int_equal(alerts->rules[3].after_ms, 4 * 3600000);
    assert_int_equal(alerts->rules[3].repeat_ms, PW_DAY_MS);
    assert_int_equal(alerts->rules[3].group.wait_ms, 30000);
    assert_int_equal(alerts->mute_count, 2);
    assert_true(alerts->mutes[0].is_weekly);
    assert_int_equal(alerts->mutes[0].days, 1U << 5 | 1U << 6);
    assert_int_equal(alerts->mutes[0].start_minute, 23 * 60);
    assert_int_equal(alerts->mutes[1].from_ms, INT64_C(1795827600000));
    assert_int_equal(alerts->mutes[1].until_ms, INT64_C(1795831200000));
    pw_alerts_free(alerts);
}

static bool take_problem(const struct pw_problems *problems, bool *taken, const char *yaml_path,
                         const char *expected)
{
    char start[4096 + 32];
    int line = 0, used = 0;

    if (sscanf(expected, "%d: %n", &line, &used) != 1)
        return false;
    (void)snprintf(start, sizeof start, "%s:%d: ", yaml_path, line);
    for (size_t i = 0; i < problems->count; i++) {
        const char *text = problems->items[i].text;

        if (taken[i] || problems->items[i].is_warning || strncmp(text, start, strlen(start)) != 0 ||
            strstr(text, expected + used) == NULL)
            continue;
        taken[i] = true;
        return true;
    }
    return false;
}

static void check_bad_file(const char *expect_path)
{
    struct pw_problems problems;
    struct pw_alerts *alerts = NULL;
    bool taken[64] = {false};
    char yaml_path[4096], line[512];
    size_t expected = 0;
    FILE *file = fopen(expect_path, "re");

    assert_non_null(file);
    (void)snprintf(yaml_path, sizeof yaml_path, "%.*s.yaml",
                   (int)(strlen(expect_path) - strlen(".expect")), expect_path);
    pw_problems_init(&problems);
    assert_int_equal(pw_alerts_load(yaml_path, &alerts, &problems), PW_EINVAL);
    assert_null(alerts);
    assert_true(problems.count <= 64);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        expected++;
        if (!take_problem(&problems, taken, yaml_path, line)) {
            pw_problems_print(&problems, stderr);
            fail_msg("%s: nobody said '%s'", yaml_path, line);
        }
    }
    if (problems.errors != expected) {
        pw_problems_print(&problems, stderr);
        fail_msg("%s: %zu errors, not %zu", yaml_path, problems.errors, expected);
    }
    (void)fclose(file);
    pw_problems_free(&problems);
}

static void test_bad_files(void **state)
{
    glob_t found;

    (void)state;
    assert_int_equal(glob(DATA "*.expect", 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 15);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_bad_file(found.gl_pathv[i]);
    globfree(&found);
}

/* Files that only a test can make. The path of the file is *dir "/alerts.yaml". */
static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static size_t load_text(const char *text, size_t len, bool want_warning, char *first, size_t size)
{
    char dir[] = "/tmp/pw-alerts-XXXXXX", path[64];
    struct pw_problems problems;
    struct pw_alerts *alerts = NULL;
    enum pw_status status;
    size_t errors;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/alerts.yaml", dir);
    write_file(path, text, len);
    pw_problems_init(&problems);
    status = pw_alerts_load(path, &alerts, &problems);
    assert_int_equal(status == PW_OK, alerts != NULL);
    first[0] = '\0';
    for (size_t i = 0; i < problems.count && first[0] == '\0'; i++) {
        if (problems.items[i].is_warning == want_warning)
            (void)snprintf(first, size, "%s", problems.items[i].text + strlen(path));
    }
    errors = problems.errors;
    assert_int_equal(alerts == NULL, errors > 0);
    pw_alerts_free(alerts);
    pw_problems_free(&problems);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    return errors;
}

static void test_limits(void **state)
{
    static char big[(1 << 20) + 16];
    char first[512];
    size_t len;

    (void)state;
    memset(big, '#', sizeof big);
    memcpy(big, "version: 1\n", 11);
    assert_int_equal(load_text(big, 1 << 20, false, first, sizeof first), 0);
    assert_int_equal(load_text(big, (1 << 20) + 1, false, first, sizeof first), 1);
    assert_string_equal(first, ": larger than 1 MiB");

    len = (size_t)snprintf(big, sizeof big, "version: 1\nhooks:\n");
    for (int i = 0; i < PW_ALERTS_MAX_HOOKS + 1; i++)
        len += (size_t)snprintf(big + len, sizeof big - len,
                                " h%d: {type: exec, command: [/bin/true]}\n", i);
    assert_int_equal(load_text(big, len, false, first, sizeof first), 1);
    assert_string_equal(first, ":3: more than 64 hooks");

    len = (size_t)snprintf(big, sizeof big, "version: 1\nrules:\n");
    for (int i = 0; i < PW_ALERTS_MAX_RULES + 1; i++)
        len += (size_t)snprintf(big + len, sizeof big - len, "- {name: r%d}\n", i);
    assert_int_equal(load_text(big, len, false, first, sizeof first), 1);
    assert_string_equal(first, ":3: more than 1000 rules");

    len = (size_t)snprintf(big, sizeof big, "version: 1\n");
    for (int i = 0; i < 1100; i++)
        len += (size_t)snprintf(big + len, sizeof big - len, "k%d: x\n", i);
    assert_int_equal(load_text(big, len, false, first, sizeof first), 1);
    assert_string_equal(first, ":1: alerts.yaml has too many keys");
}

static void test_warnings(void **state)
{
    char command[] = "/tmp/pw-hook-XXXXXX", text[256], first[512];
    int fd = mkstemp(command);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0757), 0);
    (void)close(fd);
    (void)snprintf(text, sizeof text,
                   "version: 1\nhooks:\n a: {type: exec, command: [%s]}\n"
                   "rules: [{name: r, hooks: a}]\n",
                   command);
    assert_int_equal(load_text(text, strlen(text), true, first, sizeof first), 0);
    assert_non_null(strstr(first, ":3: command '/tmp/pw-hook-"));
    assert_non_null(strstr(first, "can be changed by anybody"));
    assert_int_equal(unlink(command), 0);

    (void)snprintf(text, sizeof text, "version: 1\nhooks: {a: {type: exec, command: [/bin/true]}}");
    assert_int_equal(load_text(text, strlen(text), true, first, sizeof first), 0);
    assert_string_equal(first, ":2: no rule names the hook 'a'");
}

static void test_not_a_file(void **state)
{
    struct pw_problems problems;
    struct pw_alerts *alerts;
    char fifo[] = "/tmp/pw-fifo-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(fifo));
    pw_problems_init(&problems);
    assert_int_equal(pw_alerts_load(fifo, &alerts, &problems), PW_EINVAL);
    assert_non_null(strstr(problems.items[0].text, ": not a regular file"));
    assert_int_equal(rmdir(fifo), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(pw_alerts_load(fifo, &alerts, &problems), PW_EINVAL);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(problems.errors, 2);
    pw_problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_file_is_no_alerts),
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_not_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
