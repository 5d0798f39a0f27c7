/* The exec hook with real processes: scripts in a temporary folder that write down what they see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/hook.h"
#include "alert/hook_env.h"
#include "base/log.h"

struct fixture {
    uv_loop_t own_loop;
    uv_loop_t *loop; /* own_loop, or that of another fixture that runs at the same time */
    char dir[64];
    char script[96];
    struct pw_hook_config hook;
    struct pw_delivery delivery;
    int done_calls;
    enum pw_hook_outcome outcome;
    char why[1024];
    uint64_t started_ms, took_ms;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    pw_log_set_level(PW_LOG_ERR);
    assert_int_equal(uv_loop_init(&f->own_loop), 0);
    f->loop = &f->own_loop;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/pw-exec-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->script, sizeof f->script, "%s/hook", f->dir);
    f->hook = (struct pw_hook_config){.name = (char *)"pager", .timeout_ms = 5000};
    f->delivery = (struct pw_delivery){
        .delivery_id = 7,
        .uid = "00000000-0000-5000-8000-000000000001",
        .hook = "pager",
        .rule = "the rule",
        .type = "io.patchwatch.node.non_compliant",
        .source_name = "prod",
        .node_key = pw_str_of("ECS/i-1"),
        .node_name = pw_str_of("web $(id) `id` ;'\"\n1"),
        .from = PW_STR_NULL,
        .to = pw_str_of("non_compliant"),
        .event_json = pw_str_of("{\"id\":\"1\"}"),
        .attempts = 3,
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    assert_int_equal(uv_loop_close(&f->own_loop), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void write_script(struct fixture *f, const char *body)
{
    FILE *file = fopen(f->script, "we");

    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\nD=%s\n%s\n", f->dir, body) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(f->script, 0755), 0);
}

/* What the hook left in a file of its folder, with its length; static. */
static const char *left(struct fixture *f, const char *name, size_t *len)
{
    static char text[1 << 16];
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    file = fopen(path, "re");
    if (file == NULL)
        fail_msg("the hook left no %s", name);
    *len = fread(text, 1, sizeof text - 1, file);
    text[*len] = '\0';
    (void)fclose(file);
    return text;
}

static void assert_left(struct fixture *f, const char *name, const char *expected)
{
    size_t len;

    assert_string_equal(left(f, name, &len), expected);
}

static void on_done(void *context, const struct pw_hook_result *result)
{
    struct fixture *f = context;

    f->done_calls++;
    f->outcome = result->outcome;
    (void)snprintf(f->why, sizeof f->why, "%s", result->why);
    f->took_ms = uv_hrtime() / 1000000 - f->started_ms;
}

static enum pw_status start(struct fixture *f, char **command, struct pw_hook_run **run,
                            struct pw_error *err)
{
    char *just_the_script[] = {f->script, NULL};
    struct pw_hook_tools tools = {.loop = f->loop, .clock = pw_clock_system()};

    f->hook.command = command != NULL ? command : just_the_script;
    f->done_calls = 0;
    f->started_ms = uv_hrtime() / 1000000;
    return pw_hook_exec.start(&tools, &f->hook, &f->delivery, on_done, f, run, err);
}

/* Runs one attempt to its end. */
static void attempt_command(struct fixture *f, char **command)
{
    struct pw_hook_run *run;
    struct pw_error err;

    assert_int_equal(start(f, command, &run, &err), PW_OK);
    assert_int_equal(uv_run(f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->done_calls, 1);
}

static void attempt(struct fixture *f, const char *body)
{
    write_script(f, body);
    attempt_command(f, NULL);
}

static void test_stdin_and_environment(void **state)
{
    struct fixture *f = *state;

    attempt(f, "cat > $D/in; cat /dev/stdin > $D/again; tr '\\0' '|' < /proc/$$/environ > $D/env;"
               "pwd > $D/cwd; echo chatter; echo more >&2");
    assert_int_equal(f->outcome, PW_HOOK_DELIVERED);
    assert_string_equal(f->why, "");
    assert_left(f, "in", "{\"id\":\"1\"}\n");
    assert_left(f, "again", "{\"id\":\"1\"}\n"); /* a file: it can be opened once more */
    assert_left(f, "cwd", "/\n");
    assert_left(f, "env",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|LANG=C.UTF-8|"
                "PATCHWATCH_EVENT_ID=00000000-0000-5000-8000-000000000001|"
                "PATCHWATCH_TYPE=io.patchwatch.node.non_compliant|PATCHWATCH_SOURCE=prod|"
                "PATCHWATCH_NODE_KEY=ECS/i-1|PATCHWATCH_NODE_NAME=web $(id) `id` ;'\"\n1|"
                "PATCHWATCH_FROM=|PATCHWATCH_TO=non_compliant|PATCHWATCH_HOOK=pager|"
                "PATCHWATCH_RULE=the rule|PATCHWATCH_ATTEMPT=3|PATCHWATCH_COUNT=1|");
}

static void test_hostile_values(void **state)
{
    struct fixture *f = *state;
    static char longname[3 * 8192];
    size_t len;

    for (size_t i = 0; i + 3 <= sizeof longname; i += 3)
        memcpy(longname + i, "\xE2\x82\xAC", 3);
    f->delivery.node_name = (struct pw_str){longname, sizeof longname};
    f->delivery.node_key = (struct pw_str){"a\0b\xFFz", 5};
    attempt(f, "printf %s \"$PATCHWATCH_NODE_KEY\" > $D/key; "
               "printf %s \"$PATCHWATCH_NODE_NAME\" > $D/name");
    assert_int_equal(f->outcome, PW_HOOK_DELIVERED);
    assert_left(f, "key",
                "a\xEF\xBF\xBD"
                "b\xFFz");
    (void)left(f, "name", &len);
    assert_int_equal(len, PW_HOOK_ENV_VALUE_MAX_BYTES / 3 * 3); /* no half character */
}

static void test_arguments_as_written(void **state)
{
    struct fixture *f = *state;
    char *command[] = {f->script,     (char *)"two words", (char *)"$HOME",
                       (char *)"'\"", (char *)"",          (char *)"*",
                       NULL};

    write_script(f, "for a in \"$@\"; do printf '[%s]' \"$a\"; done > $D/args");
    attempt_command(f, command);
    assert_left(f, "args", "[two words][$HOME]['\"][][*]");
}

static void test_large_event(void **state)
{
    struct fixture *f = *state;
    size_t size = 8 << 20, len;
    char *big = malloc(size), expected[32];

    assert_non_null(big);
    memset(big, 'x', size);
    f->delivery.event_json = (struct pw_str){big, size};
    attempt(f, "wc -c > $D/size");
    (void)snprintf(expected, sizeof expected, "%zu\n", size + 1);
    assert_string_equal(left(f, "size", &len), expected);
    attempt(f, "exec <&-; exit 0"); /* reads nothing at all */
    assert_int_equal(f->outcome, PW_HOOK_DELIVERED);
    free(big);
}

static void test_no_descriptor_is_inherited(void **state)
{
    struct fixture *f = *state;
    int fds[8];
    const char *list;
    size_t len;

    for (size_t i = 0; i < 8; i++) {
        fds[i] = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as libraries do */
        assert_true(fds[i] > 2);
    }
    attempt(f, "ls -l /proc/$$/fd > $D/fds");
    for (size_t i = 0; i < 8; i++)
        (void)close(fds[i]);
    list = left(f, "fds", &len);
    assert_non_null(strstr(list, " 0 -> /memfd:patchwatch-event"));
    assert_non_null(strstr(list, " 2 -> pipe:"));
    assert_null(strstr(list, "/dev/null"));
    assert_null(strstr(list, "anon_inode")); /* of the loop */
    assert_null(strstr(list, "socket:"));
}

static void test_exit_codes(void **state)
{
    struct fixture *f = *state;

    attempt(f, "echo first; echo 'cannot reach pager' >&2; exit 3");
    assert_int_equal(f->outcome, PW_HOOK_RETRY);
    assert_string_equal(f->why, "exit code 3: first cannot reach pager");
    attempt(f, "exit 1");
    assert_string_equal(f->why, "exit code 1");
    attempt(f, "kill -SEGV $$");
    assert_int_equal(f->outcome, PW_HOOK_RETRY);
    assert_string_equal(f->why, "killed by signal 11 (Segmentation fault)");
    attempt(f, "printf '\\033[2Jevil\\001\\n'; exit 1");
    assert_string_equal(f->why, "exit code 1: \\x1B[2Jevil\\x01");
}

static void test_much_output(void **state)
{
    struct fixture *f = *state;

    attempt(f, "head -c 10000000 /dev/zero | tr '\\0' 'y'; echo; echo the last line; exit 1");
    assert_true(strlen(f->why) < 500);
    assert_non_null(strstr(f->why, "yyy the last line"));
    attempt(f, "head -c 10000000 /dev/zero");
    assert_int_equal(f->outcome, PW_HOOK_DELIVERED);
}

static void test_cannot_be_started(void **state)
{
    struct fixture *f = *state;
    char *missing[] = {(char *)"/nonexistent/hook", NULL};
    struct pw_hook_run *run;
    struct pw_error err;

    assert_int_equal(start(f, missing, &run, &err), PW_EIO);
    assert_null(run);
    assert_string_equal(err.message,
                        "/nonexistent/hook cannot be started: no such file or directory");
    write_script(f, "");
    assert_int_equal(chmod(f->script, 0600), 0);
    assert_int_equal(start(f, NULL, &run, &err), PW_EIO);
    assert_non_null(strstr(err.message, "permission denied"));
    assert_int_equal(uv_run(f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->done_calls, 0);
}

static void assert_dead(struct fixture *f, const char *name)
{
    size_t len;
    pid_t pid = (pid_t)strtol(left(f, name, &len), NULL, 10);
    char path[64], status[512] = "";
    FILE *file;

    assert_true(pid > 1);
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    /* Nobody may have collected an orphan yet: a zombie is dead too. A signal takes a moment. */
    for (int i = 0; i < 100; i++) {
        char *end;

        file = fopen(path, "re");
        if (file == NULL)
            return;
        len = fread(status, 1, sizeof status - 1, file);
        status[len] = '\0';
        (void)fclose(file);
        end = strrchr(status, ')');
        if (len == 0 || (end != NULL && end[1] == ' ' && end[2] == 'Z'))
            return;
        (void)usleep(10000);
    }
    fail_msg("%s (%d) still lives", name, (int)pid);
}

/* Two at once, to save the time: one ignores TERM; the other dies of it, and what it started has
 * the rest of the grace, no more. */
static void test_timeout_kills_all(void **state)
{
    struct fixture *f = *state, *other;
    struct pw_hook_run *run;
    struct pw_error err;
    void *second;

    (void)setup(&second);
    other = second;
    other->loop = f->loop;
    f->hook.timeout_ms = other->hook.timeout_ms = 300;
    write_script(other, "(trap '' TERM; sh -c 'echo $$ > '$D'/child; while :; do sleep 0.1; done')"
                        " &\nsleep 60");
    assert_int_equal(start(other, NULL, &run, &err), PW_OK);
    attempt(f, "trap '' TERM; echo $$ > $D/self; echo working\n"
               "(trap '' TERM; sh -c 'echo $$ > '$D'/child; while :; do sleep 0.1; done') &\n"
               "while :; do sleep 0.1; done");
    assert_int_equal(f->outcome, PW_HOOK_RETRY);
    assert_string_equal(f->why, "timed out after 300ms: working");
    assert_in_range(f->took_ms, 2200, 3200);
    assert_dead(f, "self");
    assert_dead(f, "child");
    assert_int_equal(other->done_calls, 1);
    assert_string_equal(other->why, "timed out after 300ms");
    assert_dead(other, "child");
    (void)teardown(&second);
}

static void test_timeout_by_term(void **state)
{
    struct fixture *f = *state;

    f->hook.timeout_ms = 300;
    attempt(f, "trap 'echo cleaned up > $D/term; exit 0' TERM; while :; do sleep 0.05; done");
    assert_int_equal(f->outcome, PW_HOOK_RETRY); /* whatever it says on its way out */
    assert_int_equal(strncmp(f->why, "timed out after 300ms", 21), 0);
    assert_left(f, "term", "cleaned up\n");
    assert_in_range(f->took_ms, 290, 1500);
}

static void test_grandchild_holds_the_output(void **state)
{
    struct fixture *f = *state;

    attempt(f, "sleep 60 & echo $! > $D/pid; exit 0");
    assert_int_equal(f->outcome, PW_HOOK_DELIVERED);
    assert_in_range(f->took_ms, 900, 2000);
    {
        size_t len;
        pid_t pid = (pid_t)strtol(left(f, "pid", &len), NULL, 10);

        assert_int_equal(kill(pid, SIGKILL), 0); /* it was left alone */
    }
}

static void stop_run(uv_timer_t *timer)
{
    pw_hook_exec.stop(timer->data);
    uv_close((uv_handle_t *)timer, NULL);
}

static void test_stop(void **state)
{
    struct fixture *f = *state;
    struct pw_hook_run *run;
    struct pw_error err;
    uv_timer_t timer;

    write_script(f, "sleep 60");
    assert_int_equal(start(f, NULL, &run, &err), PW_OK);
    assert_int_equal(uv_timer_init(f->loop, &timer), 0);
    timer.data = run;
    assert_int_equal(uv_timer_start(&timer, stop_run, 100, 0), 0);
    assert_int_equal(uv_run(f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->done_calls, 1);
    assert_int_equal(f->outcome, PW_HOOK_RETRY);
    assert_string_equal(f->why, "stopped, because patchwatchd ends");
    assert_true(f->took_ms < 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stdin_and_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptor_is_inherited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_much_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_be_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_kills_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_by_term, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grandchild_holds_the_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
