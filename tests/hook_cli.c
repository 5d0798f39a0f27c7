/* Runs one attempt of one hook, for tests against real receivers:
 *
 *     hook-cli ALERTS.yaml HOOK [--reminder N] [--at UNIX_MS] [--each | --stop-after MS] < events
 *
 * Each line of stdin is a CloudEvent as patchwatch writes it; together they go in one attempt, with
 * --each one after the other. For each attempt a JSON line on stdout says how it ended. The
 * problems of ALERTS.yaml go to stderr; exit code 78 where there is an error among them. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "alert/alerts.h"
#include "alert/hook.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "http/http.h"

struct run {
    uv_loop_t loop;
    uv_timer_t stop_timer;
    struct pw_clock_manual clock;
    struct pw_hook_tools tools;
    const struct pw_hook_config *hook;
    struct pw_hook_run *running;
    bool is_done;
};

/* What a delivery points to: the event's reader and copies. */
struct item {
    struct pw_delivery delivery;
    struct pw_json_reader *reader;
    char *line, *uid, *type, *source;
};

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "hook-cli: %s\n", what);
    exit(EX_SOFTWARE);
}

static void read_item(struct item *item, const char *line, size_t len, const char *hook,
                      int64_t reminder)
{
    struct pw_error err;
    struct pw_str source;

    item->line = pw_str_dup((struct pw_str){line, len});
    item->reader = pw_json_reader_new();
    must(item->line != NULL && item->reader != NULL, "no memory");
    must(pw_json_reader_parse(item->reader, pw_str_of(item->line), false, &err) == PW_OK,
         "a line is no JSON");
    item->uid = pw_str_dup(pw_json_reader_text(item->reader, "id"));
    item->type = pw_str_dup(pw_json_reader_text(item->reader, "type"));
    source = pw_json_reader_text(item->reader, "source");
    must(source.len > 12, "a line has no source");
    item->source = pw_str_dup((struct pw_str){source.data + 12, source.len - 12});
    item->delivery = (struct pw_delivery){
        .delivery_id = 1,
        .uid = item->uid,
        .hook = hook,
        .rule = "rule",
        .type = item->type,
        .source_name = item->source,
        .node_key = pw_json_reader_text(item->reader, "subject"),
        .node_name = pw_json_reader_text(item->reader, "data.node.name"),
        .from = pw_json_reader_text(item->reader, "data.from"),
        .to = pw_json_reader_text(item->reader, "data.to"),
        .event_json = {item->line, len},
        .attempts = 1,
        .reminder = reminder,
    };
}

static void on_done(void *context, const struct pw_hook_result *result)
{
    static const char *const names[] = {"delivered", "retry", "refused", "gone"};
    struct run *run = context;
    struct pw_buffer out;
    struct pw_json json;

    run->is_done = true;
    if (uv_is_active((uv_handle_t *)&run->stop_timer))
        (void)uv_timer_stop(&run->stop_timer);
    pw_buffer_init(&out, 65536);
    pw_json_init(&json, &out);
    pw_json_object_begin(&json);
    pw_json_key(&json, "outcome");
    pw_json_text(&json, names[result->outcome]);
    pw_json_key(&json, "why");
    pw_json_text(&json, result->why);
    pw_json_key(&json, "retry_after_ms");
    pw_json_int(&json, result->retry_after_ms);
    pw_json_object_end(&json);
    (void)printf("%s\n", out.data);
    pw_buffer_free(&out);
}

static void on_stop(uv_timer_t *timer)
{
    struct run *run = timer->data;

    pw_hook_kind_of(run->hook)->stop(run->running);
}

static void attempt(struct run *run, const struct pw_delivery *list, int64_t stop_after_ms)
{
    struct pw_error err = {PW_OK, ""};

    run->is_done = false;
    if (pw_hook_kind_of(run->hook)->start(&run->tools, run->hook, list, on_done, run, &run->running,
                                          &err) != PW_OK) {
        (void)fprintf(stderr, "hook-cli: not started: %s\n", err.message);
        exit(EX_UNAVAILABLE);
    }
    must(!run->is_done, "start called done");
    if (stop_after_ms >= 0)
        (void)uv_timer_start(&run->stop_timer, on_stop, (uint64_t)stop_after_ms, 0);
    while (!run->is_done)
        (void)uv_run(&run->loop, UV_RUN_ONCE);
}

static void make_attempts(struct run *run, int64_t reminder, bool each, int64_t stop_after_ms)
{
    struct item *items = NULL;
    size_t count = 0, room = 0;
    char *line = NULL;
    ssize_t len;

    while ((len = getline(&line, &room, stdin)) > 0) {
        items = realloc(items, (count + 1) * sizeof *items);
        must(items != NULL, "no memory");
        read_item(&items[count], line, (size_t)len - (line[len - 1] == '\n'), run->hook->name,
                  reminder);
        count++;
    }
    must(count > 0, "no events on stdin");
    for (size_t i = 0; i + 1 < count && !each; i++)
        items[i].delivery.next = &items[i + 1].delivery;
    for (size_t i = 0; i < (each ? count : 1); i++)
        attempt(run, &items[i].delivery, stop_after_ms);
    for (size_t i = 0; i < count; i++) {
        pw_json_reader_free(items[i].reader);
        free(items[i].line);
        free(items[i].uid);
        free(items[i].type);
        free(items[i].source);
    }
    free(items);
    free(line);
}

static void on_http_closed(void *context)
{
    (void)context;
}

int main(int argc, char **argv)
{
    struct pw_problems problems;
    struct pw_alerts *alerts = NULL;
    int64_t reminder = 0, stop_after_ms = -1, at_ms = -1;
    struct pw_error err;
    struct run run = {.running = NULL};
    bool each = false;
    int exit_code = EX_CONFIG;

    if (argc < 3)
        return EX_USAGE;
    for (int i = 3; i < argc; i++) {
        each = each || strcmp(argv[i], "--each") == 0;
        if (strcmp(argv[i], "--reminder") == 0 && i + 1 < argc)
            reminder = atoll(argv[i + 1]);
        if (strcmp(argv[i], "--stop-after") == 0 && i + 1 < argc)
            stop_after_ms = atoll(argv[i + 1]);
        if (strcmp(argv[i], "--at") == 0 && i + 1 < argc)
            at_ms = atoll(argv[i + 1]);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    pw_log_set_level(PW_LOG_DEBUG);
    pw_problems_init(&problems);
    if (pw_alerts_load(argv[1], &alerts, &problems) == PW_OK)
        run.hook = pw_alerts_hook(alerts, argv[2]);
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    if (run.hook == NULL)
        goto out;
    pw_clock_manual_init(&run.clock, at_ms);
    must(uv_loop_init(&run.loop) == 0, "no loop");
    run.tools = (struct pw_hook_tools){.loop = &run.loop,
                                       .clock = at_ms >= 0 ? &run.clock.clock : pw_clock_system()};
    must(pw_http_new(&run.loop, 16, &run.tools.http, &err) == PW_OK, "no HTTP");
    (void)uv_timer_init(&run.loop, &run.stop_timer);
    run.stop_timer.data = &run;
    make_attempts(&run, reminder, each, stop_after_ms);
    pw_http_close(run.tools.http, on_http_closed, NULL);
    uv_close((uv_handle_t *)&run.stop_timer, NULL);
    (void)uv_run(&run.loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&run.loop) == 0, "something is left on the loop");
    exit_code = EX_OK;
out:
    pw_alerts_free(alerts);
    return exit_code;
}
