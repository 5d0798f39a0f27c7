/* sweep, reload, hook test: what only a running daemon does, or what is tried without one. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

#include "alert/alerts.h"
#include "alert/hook_test.h"
#include "daemon/cli.h"
#include "daemon/cli_ask.h"
#include "daemon/cli_output.h"
#include "daemon/hook_answer.h"
#include "http/http.h"

enum { RELOAD_TIMEOUT_MS = 60000, MAX_CONNECTIONS = 16 };

/* Asks the daemon, which must run. */
static int ask(struct cli *cli, struct pw_request *request, int timeout_ms,
               void (*show)(const struct cli *cli, const struct cli_answer *answer))
{
    struct cli_answer answer;
    int fd, code = EX_SOFTWARE;
    enum cli_reach reach = cli_reach_daemon(cli, &fd);

    if (reach != CLI_REACHED) {
        pw_request_free(request);
        return cli_fail_reach(cli, reach);
    }
    if (cli_talk(cli, fd, request, timeout_ms, &answer, &code)) {
        code = answer.exit_code;
        /* A refusal too has more to show than its error. */
        (void)cli_show_answer(cli, &answer);
        if (!cli_is_json(cli))
            show(cli, &answer);
    }
    cli_answer_free(&answer);
    pw_request_free(request);
    return code;
}

/* sweep ---------------------------------------------------------------------------------------- */

enum { FIELDS = 7 };
/* In the order in which the daemon gives them. */
static const char *const fields[FIELDS] = {"source",  "outcome",     "took_ms", "nodes",
                                           "changed", "transitions", "reason"};

struct sweep_line {
    const struct cli *cli;
    size_t object; /* 0: none yet */
    struct pw_str values[FIELDS];
    char numbers[FIELDS][32];
};

static void print_sweep(struct sweep_line *line)
{
    const struct pw_str *values = line->values;
    struct cli_text hold;
    char took[32];

    if (line->object == 0)
        return;
    (void)snprintf(took, sizeof took, "%.*s", PW_STR_ARG(values[2]));
    (void)printf("%s: ", cli_printable(&hold, values[0]));
    cli_text_free(&hold);
    cli_print(line->cli, cli_paint_of(values[1]), "%.*s", PW_STR_ARG(values[1]));
    if (values[2].data != NULL)
        (void)printf(" after %s ms: %.*s machines, %.*s reports changed, %.*s changes of status",
                     took, PW_STR_ARG(values[3]), PW_STR_ARG(values[4]), PW_STR_ARG(values[5]));
    if (values[6].data != NULL)
        (void)printf("; %s", cli_printable(&hold, values[6]));
    if (values[6].data != NULL)
        cli_text_free(&hold);
    (void)fputc('\n', stdout);
}

static bool visit_sweep(void *context, const struct pw_json_member *member)
{
    struct sweep_line *line = context;

    if (member->depth == 0)
        return true;
    if (member->object != line->object) {
        print_sweep(line);
        *line = (struct sweep_line){.cli = line->cli, .object = member->object};
    }
    for (size_t i = 0; i < FIELDS; i++) {
        if (!pw_str_is(member->key, fields[i]))
            continue;
        line->values[i] = member->text;
        if (member->is_number) {
            (void)snprintf(line->numbers[i], sizeof line->numbers[i], "%.*s",
                           PW_STR_ARG(member->text));
            line->values[i] = pw_str_of(line->numbers[i]);
        }
    }
    return true;
}

static void show_sweeps(const struct cli *cli, const struct cli_answer *answer)
{
    struct sweep_line line = {.cli = cli};

    pw_json_reader_walk(answer->reader, 3, visit_sweep, &line);
    print_sweep(&line);
}

int cli_sweep(struct cli *cli)
{
    struct pw_request request;

    pw_request_init(&request, PW_REQUEST_SWEEP);
    if (cli->operand_count > 0 && !cli_request_text(&request, PW_REQUEST_SOURCE, cli->operands[0]))
        return EX_OSERR;
    return ask(cli, &request, -1, show_sweeps);
}

/* reload --------------------------------------------------------------------------------------- */

static bool visit_problem(void *context, const struct pw_json_member *member)
{
    struct cli_text hold;

    (void)context;
    if (member->depth > 0 && pw_str_is(member->key, "text")) {
        (void)fprintf(stderr, "%s", cli_printable(&hold, member->text));
        cli_text_free(&hold);
    }
    if (member->depth > 0 && pw_str_is(member->key, "kind"))
        (void)fprintf(stderr, "%s\n", pw_str_is(member->text, "warning") ? " (warning)" : "");
    return true;
}

static void show_reload(const struct cli *cli, const struct cli_answer *answer)
{
    int64_t sources, hooks = 0, rules = 0, left_out = 0;

    (void)cli;
    pw_json_reader_walk(answer->reader, 3, visit_problem, NULL);
    if (pw_json_reader_number(answer->reader, "left_out", &left_out) && left_out > 0)
        (void)fprintf(stderr, "and %" PRId64 " more\n", left_out);
    if (!pw_json_reader_number(answer->reader, "sources", &sources))
        return;
    (void)pw_json_reader_number(answer->reader, "hooks", &hooks);
    (void)pw_json_reader_number(answer->reader, "rules", &rules);
    (void)printf("reloaded: %" PRId64 " sources, %" PRId64 " hooks, %" PRId64 " rules\n", sources,
                 hooks, rules);
}

int cli_reload(struct cli *cli)
{
    struct pw_request request;

    pw_request_init(&request, PW_REQUEST_RELOAD);
    return ask(cli, &request, RELOAD_TIMEOUT_MS, show_reload);
}

/* hook test ------------------------------------------------------------------------------------ */

static void show_hook(const struct cli *cli, const struct cli_answer *answer)
{
    struct pw_str outcome = pw_json_reader_text(answer->reader, "outcome");
    struct pw_str why = pw_json_reader_text(answer->reader, "why");
    int64_t took_ms = 0;
    struct cli_text hold;

    if (outcome.data == NULL)
        return;
    (void)pw_json_reader_number(answer->reader, "took_ms", &took_ms);
    (void)printf("%s: ", cli_printable(&hold, pw_json_reader_text(answer->reader, "hook")));
    cli_text_free(&hold);
    cli_print(cli, pw_str_is(outcome, "delivered") ? PW_PAINT_GOOD : PW_PAINT_BAD, "%.*s",
              PW_STR_ARG(outcome));
    (void)printf(" after %" PRId64 " ms", took_ms);
    if (!pw_str_empty(why)) {
        (void)printf(": %s", cli_printable(&hold, why));
        cli_text_free(&hold);
    }
    (void)fputc('\n', stdout);
}

/* The test on a loop of the command's own. */
struct local_test {
    uv_loop_t loop;
    uv_signal_t on_int, on_term;
    struct pw_http *http;
    struct pw_hook_test *test;
    const char *name;
    struct pw_answer answer;
};

static void on_http_closed(void *context)
{
    struct local_test *local = context;

    uv_close((uv_handle_t *)&local->on_int, NULL);
    uv_close((uv_handle_t *)&local->on_term, NULL);
}

static void on_tested(void *context, const struct pw_hook_test_result *result)
{
    struct local_test *local = context;

    pw_hook_test_answer(&local->answer, local->name, result);
    local->test = NULL;
    pw_http_close(local->http, on_http_closed, local);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct local_test *local = signal->data;

    (void)number;
    if (local->test != NULL)
        pw_hook_test_stop(local->test);
}

static void watch_signal(struct local_test *local, uv_signal_t *handle, int number)
{
    (void)uv_signal_init(&local->loop, handle); /* cannot fail on a fresh loop */
    handle->data = local;
    (void)uv_signal_start(handle, on_signal, number);
}

static enum pw_status run_test(struct local_test *local, const struct pw_hook_config *hook,
                               struct pw_error *err)
{
    struct pw_hook_tools tools = {.loop = &local->loop, .clock = pw_clock_system()};
    struct pw_hook_test_result failed = {PW_HOOK_RETRY, err->message, 0};
    enum pw_status status;

    if (uv_loop_init(&local->loop) != 0)
        return pw_fail_nomem(err);
    local->name = hook->name;
    status = pw_http_new(&local->loop, MAX_CONNECTIONS, &local->http, err);
    if (status != PW_OK) {
        (void)uv_loop_close(&local->loop);
        return status;
    }
    watch_signal(local, &local->on_int, SIGINT);
    watch_signal(local, &local->on_term, SIGTERM);
    tools.http = local->http;
    if (pw_hook_test_start(&tools, hook, on_tested, local, &local->test, err) != PW_OK)
        on_tested(local, &failed);
    (void)uv_run(&local->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&local->loop) != 0)
        return pw_fail(err, PW_EIO, "bug: something was left on the loop");
    return PW_OK;
}

static bool load_alerts(struct cli *cli, struct pw_alerts **alerts)
{
    struct pw_problems problems;
    enum pw_status status;

    pw_problems_init(&problems);
    status = pw_alerts_load(cli->config->daemon.alerts, alerts, &problems);
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    return status == PW_OK;
}

static int test_here(struct cli *cli, const char *name)
{
    struct pw_alerts *alerts = NULL;
    const struct pw_hook_config *hook;
    struct local_test local = {0};
    struct cli_answer answer = {0};
    int code = EX_CONFIG;
    enum pw_status status = PW_OK;

    if (cli->config == NULL)
        return cli_usage("hook test: --config says where the hooks are, --database does not");
    if (!load_alerts(cli, &alerts))
        return EX_CONFIG;
    pw_answer_init(&local.answer);
    hook = pw_alerts_hook(alerts, name);
    if (hook == NULL)
        pw_hook_test_answer_unknown(&local.answer, alerts, name);
    else
        status = run_test(&local, hook, &cli->err);
    if (status != PW_OK) {
        code = cli_fail(cli, status);
    } else if (cli_take_answer(cli, pw_answer_line(&local.answer), &answer, &code)) {
        code = answer.exit_code;
        if (cli_show_answer(cli, &answer))
            show_hook(cli, &answer);
    }
    cli_answer_free(&answer);
    pw_answer_free(&local.answer);
    pw_alerts_free(alerts);
    return code;
}

int cli_hook(struct cli *cli)
{
    struct pw_request request;
    int fd;

    if (strcmp(cli->operands[0], "test") != 0)
        return cli_usage("hook test NAME");
    switch (cli_reach_daemon(cli, &fd)) {
    case CLI_BARRED:
        return cli_fail_reach(cli, CLI_BARRED);
    case CLI_NOBODY:
    case CLI_LOCKED:
        return test_here(cli, cli->operands[1]);
    case CLI_REACHED:
        break;
    }
    (void)close(fd);
    pw_request_init(&request, PW_REQUEST_HOOK_TEST);
    if (!cli_request_text(&request, PW_REQUEST_HOOK, cli->operands[1]))
        return EX_OSERR;
    return ask(cli, &request, -1, show_hook);
}
