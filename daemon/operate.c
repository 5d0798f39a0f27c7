/* Requests to the daemon, each from its line to its answer. */
#include "daemon/operate.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "alert/hook_test.h"
#include "base/log.h"
#include "daemon/change.h"
#include "daemon/hook_answer.h"
#include "daemon/operating.h"

enum { PROBLEMS_MAX = 200 };

void pw_operator_reply(struct pw_exchange *exchange, struct pw_answer *answer)
{
    pw_exchange_answer(exchange, pw_answer_line(answer));
    pw_answer_free(answer);
}

void pw_operator_fail(struct pw_exchange *exchange, int exit_code, const char *message)
{
    struct pw_answer answer;

    pw_answer_init(&answer);
    pw_answer_fail(&answer, exit_code, "%s", message);
    pw_operator_reply(exchange, &answer);
}

void pw_operator_fail_nomem(struct pw_exchange *exchange)
{
    pw_operator_fail(exchange, EX_OSERR, "the daemon is out of memory");
}

void pw_operator_put_count(struct pw_json *json, const char *key, int64_t value)
{
    pw_json_key(json, key);
    pw_json_int(json, value);
}

/* Changes of the history ----------------------------------------------------------------------- */

struct change_job {
    struct pw_store_job job;
    struct pw_service *service;
    struct pw_exchange *exchange;
    struct pw_request request;
    int64_t now_ms;
    struct pw_answer answer;
    enum pw_status status;
};

static void change_run(struct pw_store_job *job, struct pw_db *db)
{
    struct change_job *change = (struct change_job *)job;

    change->status = pw_change_run(db, &change->request, change->now_ms, &change->answer);
}

/* Whether it is the database that failed, not what was asked for. */
static bool is_trouble(enum pw_status status)
{
    return status != PW_OK && status != PW_EINVAL && status != PW_ENOTFOUND &&
           status != PW_EFORMAT && status != PW_ELIMIT;
}

static void change_done(struct pw_store_job *job)
{
    struct change_job *change = (struct change_job *)job;
    const struct pw_control_peer *peer = pw_exchange_peer(change->exchange);
    const char *author = change->request.texts[PW_REQUEST_AUTHOR];
    char shown[64];

    if (change->status == PW_OK) {
        pw_log_notice(
            "control: %s by %s (uid %d, pid %d)", pw_request_name(change->request.command),
            pw_text_printable(shown, sizeof shown, pw_str_of(author != NULL ? author : "somebody")),
            (int)peer->uid, (int)peer->pid);
        if (!change->service->is_stopping)
            pw_dispatch_poke(change->service->dispatch);
    } else if (is_trouble(change->status)) {
        pw_serving_troubled(change->service, change->status, "a request could not be stored");
    }
    pw_operator_reply(change->exchange, &change->answer);
    pw_request_free(&change->request);
    free(change);
}

static void start_change(struct pw_service *service, struct pw_exchange *exchange,
                         struct pw_request *request)
{
    struct change_job *change = calloc(1, sizeof *change);

    if (change == NULL) {
        pw_operator_fail_nomem(exchange);
        return;
    }
    change->job.run = change_run;
    change->job.done = change_done;
    change->service = service;
    change->exchange = exchange;
    change->request = *request;
    pw_request_init(request, request->command); /* its texts are the job's now */
    change->now_ms = pw_clock_wall_ms(pw_clock_system());
    pw_answer_init(&change->answer);
    pw_store_submit(service->store, &change->job);
}

/* Reload --------------------------------------------------------------------------------------- */

static void put_problems(struct pw_json *json, const struct pw_problems *problems)
{
    pw_json_key(json, "problems");
    pw_json_array_begin(json);
    for (size_t i = 0; i < problems->count && i < PROBLEMS_MAX; i++) {
        pw_json_object_begin(json);
        pw_json_key(json, "text");
        pw_json_text(json, problems->items[i].text);
        pw_json_key(json, "kind");
        pw_json_text(json, problems->items[i].is_warning ? "warning" : "error");
        pw_json_object_end(json);
    }
    pw_json_array_end(json);
    pw_operator_put_count(json, "left_out",
                          problems->count > PROBLEMS_MAX ? (int64_t)(problems->count - PROBLEMS_MAX)
                                                         : 0);
}

static void start_reload(struct pw_service *service, struct pw_exchange *exchange)
{
    struct pw_problems problems;
    struct pw_answer answer;
    bool is_reloaded;

    pw_problems_init(&problems);
    is_reloaded = pw_serving_reload(service, &problems);
    pw_answer_init(&answer);
    pw_answer_begin(&answer);
    if (!is_reloaded) {
        pw_json_key(&answer.json, "error");
        pw_json_text(&answer.json, "reload refused: the configuration in use stays");
    } else {
        pw_operator_put_count(&answer.json, "sources",
                              (int64_t)pw_serving_config(service)->source_count);
        pw_operator_put_count(&answer.json, "hooks", (int64_t)service->alerts->alerts->hook_count);
        pw_operator_put_count(&answer.json, "rules", (int64_t)service->alerts->alerts->rule_count);
    }
    put_problems(&answer.json, &problems);
    pw_answer_end(&answer, is_reloaded ? EX_OK : EX_CONFIG);
    pw_problems_free(&problems);
    pw_operator_reply(exchange, &answer);
}

/* Tests of hooks ------------------------------------------------------------------------------- */

struct pw_hook_wait {
    struct pw_hook_wait *next;
    struct pw_service *service;
    struct pw_exchange *exchange;
    struct pw_alerts_in_use *alerts; /* which the hook is of */
    struct pw_hook_tools tools;
    const char *name;
    struct pw_hook_test *test;
};

static void on_tested(void *context, const struct pw_hook_test_result *result)
{
    struct pw_hook_wait *wait = context, **at = &wait->service->operator.hooks;
    struct pw_answer answer;

    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    pw_answer_init(&answer);
    pw_hook_test_answer(&answer, wait->name, result);
    pw_operator_reply(wait->exchange, &answer);
    pw_alerts_use_release(wait->alerts);
    free(wait);
}

static void start_hook(struct pw_service *service, struct pw_exchange *exchange, const char *name)
{
    const struct pw_hook_config *hook = pw_alerts_hook(service->alerts->alerts, name);
    struct pw_hook_wait *wait;
    struct pw_answer answer;
    struct pw_error error;
    enum pw_status status;

    pw_answer_init(&answer);
    if (hook == NULL) {
        pw_hook_test_answer_unknown(&answer, service->alerts->alerts, name);
        pw_operator_reply(exchange, &answer);
        return;
    }
    wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        pw_operator_fail_nomem(exchange);
        return;
    }
    wait->service = service;
    wait->exchange = exchange;
    wait->alerts = service->alerts;
    wait->tools = pw_serving_hook_tools(service);
    wait->name = hook->name;
    status = pw_hook_test_start(&wait->tools, hook, on_tested, wait, &wait->test, &error);
    if (status != PW_OK) {
        struct pw_hook_test_result result = {PW_HOOK_RETRY, error.message, 0};

        pw_hook_test_answer(&answer, wait->name, &result);
        free(wait);
        pw_operator_reply(exchange, &answer);
        return;
    }
    wait->alerts->users++;
    wait->next = service->operator.hooks;
    service->operator.hooks = wait;
}

/* All of them ---------------------------------------------------------------------------------- */

static void handle(struct pw_service *service, struct pw_exchange *exchange,
                   struct pw_request *request)
{
    if (service->is_stopping) {
        pw_operator_fail(exchange, EX_TEMPFAIL, "the daemon is stopping");
        return;
    }
    if (!service->is_started) {
        pw_operator_fail(exchange, EX_TEMPFAIL,
                         "the daemon is still checking its database; try again later");
        return;
    }
    switch (request->command) {
    case PW_REQUEST_SWEEP:
        pw_operator_start_sweep(service, exchange, request->texts[PW_REQUEST_SOURCE]);
        break;
    case PW_REQUEST_RELOAD:
        pw_log_notice("control: reload (uid %d, pid %d)", (int)pw_exchange_peer(exchange)->uid,
                      (int)pw_exchange_peer(exchange)->pid);
        start_reload(service, exchange);
        break;
    case PW_REQUEST_HOOK_TEST:
        start_hook(service, exchange, request->texts[PW_REQUEST_HOOK]);
        break;
    default:
        start_change(service, exchange, request);
        break;
    }
}

void pw_operator_handle(void *context, struct pw_exchange *exchange, struct pw_str line)
{
    struct pw_request request;
    struct pw_error error;
    enum pw_status status = pw_request_parse(line, &request, &error);

    if (status != PW_OK) {
        pw_operator_fail(exchange, pw_answer_exit_code(status), error.message);
        return;
    }
    handle(context, exchange, &request);
    pw_request_free(&request);
}

void pw_operator_stop(struct pw_service *service)
{
    pw_operator_stop_sweeps(service);
    for (struct pw_hook_wait *hook = service->operator.hooks; hook != NULL; hook = hook->next)
        pw_hook_test_stop(hook->test);
}
