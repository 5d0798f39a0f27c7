/* Sweeps that somebody asked for by the control socket and waits for. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/nearest.h"
#include "daemon/operating.h"
#include "store/apply.h"

struct awaited {
    const struct pw_collector *collector; /* NULL: it has answered */
    int64_t number;                       /* of the sweep */
};

struct pw_sweep_wait {
    struct pw_sweep_wait *next;
    struct pw_exchange *exchange;
    struct pw_answer answer; /* begun; a sweep is added as it ends */
    bool is_all_complete;
    size_t left, count;
    struct awaited awaited[];
};

static void put_words(struct pw_json *json, const char *key, const char *text)
{
    pw_json_key(json, key);
    pw_json_text(json, text[0] != '\0' ? text : NULL);
}

static void put_sweep(struct pw_sweep_wait *wait, const struct pw_collector *collector)
{
    struct pw_json *json = &wait->answer.json;
    struct pw_collector_swept swept;

    pw_collector_last(collector, &swept);
    if (swept.outcome != PW_SWEEP_COMPLETE)
        wait->is_all_complete = false;
    pw_json_object_begin(json);
    put_words(json, "source", pw_collector_name(collector));
    put_words(json, "outcome", pw_sweep_outcome_name(swept.outcome));
    pw_json_key(json, "sweep_id");
    if (swept.sweep_id != 0)
        pw_json_int(json, swept.sweep_id);
    else
        pw_json_null(json);
    pw_answer_time(&wait->answer, "started_at", swept.started_ms);
    pw_operator_put_count(json, "took_ms", swept.took_ms);
    pw_operator_put_count(json, "records", swept.records);
    pw_operator_put_count(json, "nodes", swept.nodes);
    pw_operator_put_count(json, "changed", swept.changed);
    pw_operator_put_count(json, "transitions", swept.transitions);
    put_words(json, "reason", swept.reason);
    put_words(json, "error_code", swept.error_code);
    put_words(json, "error_msg", swept.error_msg);
    pw_json_object_end(json);
}

/* Ends a wait that is in no list any more. */
static void end_wait(struct pw_sweep_wait *wait)
{
    pw_json_array_end(&wait->answer.json);
    pw_answer_end(&wait->answer, wait->is_all_complete ? EX_OK : EX_TEMPFAIL);
    pw_operator_reply(wait->exchange, &wait->answer);
    free(wait);
}

/* Takes the collector off every wait; is_swept: where its sweep is the one that is waited for. */
static void strike(struct pw_service *service, const struct pw_collector *collector, bool is_swept)
{
    struct pw_sweep_wait **at = &service->operator.sweeps, *wait;

    while ((wait = *at) != NULL) {
        for (size_t i = 0; i < wait->count; i++) {
            if (wait->awaited[i].collector != collector ||
                (is_swept && pw_collector_begun(collector) < wait->awaited[i].number))
                continue;
            wait->awaited[i].collector = NULL;
            wait->left--;
            if (is_swept) {
                put_sweep(wait, collector);
                continue;
            }
            wait->is_all_complete = false;
            pw_json_object_begin(&wait->answer.json);
            put_words(&wait->answer.json, "source", pw_collector_name(collector));
            put_words(&wait->answer.json, "outcome", "failed");
            put_words(&wait->answer.json, "reason", "a reload took the source away");
            pw_json_object_end(&wait->answer.json);
        }
        if (wait->left > 0) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        end_wait(wait);
    }
}

void pw_operator_swept(struct pw_service *service, const struct pw_collector *collector)
{
    strike(service, collector, true);
}

void pw_operator_source_gone(struct pw_service *service, const struct pw_collector *collector)
{
    strike(service, collector, false);
}

static void fail_source(struct pw_service *service, struct pw_exchange *exchange, const char *name)
{
    const char **names = calloc(service->collector_count + 1, sizeof *names);
    const char *near;
    struct pw_answer answer;
    char shown[64];

    if (names == NULL) {
        pw_operator_fail_nomem(exchange);
        return;
    }
    for (size_t i = 0; i < service->collector_count; i++)
        names[i] = pw_collector_name(service->collectors[i]);
    near = pw_nearest(name, names);
    pw_answer_init(&answer);
    pw_answer_fail(&answer, EX_USAGE, "the daemon watches no source '%s'%s%s%s",
                   pw_text_printable(shown, sizeof shown, pw_str_of(name)),
                   near != NULL ? "; do you mean '" : "", near != NULL ? near : "",
                   near != NULL ? "'?" : "");
    free(names);
    pw_operator_reply(exchange, &answer);
}

void pw_operator_start_sweep(struct pw_service *service, struct pw_exchange *exchange,
                             const char *name)
{
    struct pw_sweep_wait *wait;

    if (pw_caretaker_is_full(service->caretaker)) {
        pw_operator_fail(exchange, EX_TEMPFAIL,
                         "the disk is full: no sweep begins until there is room");
        return;
    }
    wait = calloc(1, sizeof *wait + service->collector_count * sizeof *wait->awaited);
    if (wait == NULL) {
        pw_operator_fail_nomem(exchange);
        return;
    }
    for (size_t i = 0; i < service->collector_count; i++) {
        struct pw_collector *collector = service->collectors[i];

        if (name == NULL || strcmp(name, pw_collector_name(collector)) == 0)
            wait->awaited[wait->count++] =
                (struct awaited){collector, pw_collector_sweep_now(collector)};
    }
    if (wait->count == 0 && name != NULL) {
        free(wait);
        fail_source(service, exchange, name);
        return;
    }
    wait->exchange = exchange;
    wait->is_all_complete = true;
    wait->left = wait->count;
    pw_answer_init(&wait->answer);
    pw_answer_begin(&wait->answer);
    pw_json_key(&wait->answer.json, "sweeps");
    pw_json_array_begin(&wait->answer.json);
    if (wait->count == 0) {
        end_wait(wait);
        return;
    }
    wait->next = service->operator.sweeps;
    service->operator.sweeps = wait;
}

void pw_operator_stop_sweeps(struct pw_service *service)
{
    struct pw_sweep_wait *wait;

    while ((wait = service->operator.sweeps) != NULL) {
        service->operator.sweeps = wait->next;
        pw_answer_fail(&wait->answer, EX_TEMPFAIL, "the daemon is stopping");
        pw_operator_reply(wait->exchange, &wait->answer);
        free(wait);
    }
}
