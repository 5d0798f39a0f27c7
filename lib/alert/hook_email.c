/* The email hook: one message an attempt. A run is freed when its handle is closed; only then is
 * `done` called. */
#include "alert/hook_email.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/hook.h"
#include "base/failpoint.h"
#include "base/log.h"

/* Some servers keep one waiting before they greet. */
enum { CONNECT_TIMEOUT_MS = 30000 };
enum { MESSAGE_MAX_BYTES = 4 * 1024 * 1024, WHY_BYTES = 640 };

struct pw_hook_run {
    const struct pw_hook_config *hook;
    struct pw_email_config *email;
    pw_hook_done done;
    void *context;
    uv_timer_t end; /* lets `done` be called from the loop */
    struct pw_mail *mail;
    struct pw_buffer message;
    char id[PW_EMAIL_ID_BYTES];
    uint64_t told; /* before this attempt */
    const char *recipients[PW_MAIL_MAX_RECIPIENTS];
    size_t which[PW_MAIL_MAX_RECIPIENTS]; /* their places in the configuration */
    size_t recipient_count;
    bool is_stopped;
    enum pw_hook_outcome outcome;
    char why[WHY_BYTES];
};

/* Who took it already ------------------------------------------------------------------------- */

static uint64_t recall(const struct pw_email_memory *memory, const char *id)
{
    for (size_t i = 0; i < PW_EMAIL_MEMORY; i++) {
        if (strcmp(memory->messages[i].id, id) == 0)
            return memory->messages[i].told;
    }
    return 0;
}

static void remember(struct pw_email_memory *memory, const char *id, uint64_t told)
{
    size_t i = 0;

    while (i < PW_EMAIL_MEMORY && strcmp(memory->messages[i].id, id) != 0)
        i++;
    if (i == PW_EMAIL_MEMORY) {
        i = memory->next;
        memory->next = (memory->next + 1) % PW_EMAIL_MEMORY;
    }
    (void)snprintf(memory->messages[i].id, PW_EMAIL_ID_BYTES, "%s", id);
    memory->messages[i].told = told;
}

static void forget(struct pw_email_memory *memory, const char *id)
{
    for (size_t i = 0; i < PW_EMAIL_MEMORY; i++) {
        if (strcmp(memory->messages[i].id, id) == 0)
            memory->messages[i].id[0] = '\0';
    }
}

/* What the answers mean ----------------------------------------------------------------------- */

static bool is_for_good(int code)
{
    return code >= 500 && code <= 599;
}

/* The recipients that took it, and the first of those that may take it later. */
static const struct pw_mail_reply *sort_recipients(struct pw_hook_run *run,
                                                   const struct pw_mail_result *result,
                                                   bool is_accepted, size_t *later)
{
    *later = PW_MAIL_MAX_RECIPIENTS;
    for (size_t i = 0; i < run->recipient_count; i++) {
        const struct pw_mail_reply *reply = &result->recipients[i];

        if (reply->code >= 200 && reply->code <= 299) {
            if (is_accepted)
                run->told |= UINT64_C(1) << run->which[i];
        } else if (!is_for_good(reply->code) && *later == PW_MAIL_MAX_RECIPIENTS) {
            *later = i;
        }
    }
    return *later < PW_MAIL_MAX_RECIPIENTS ? &result->recipients[*later] : NULL;
}

static void warn_of_refused(const struct pw_hook_run *run, const struct pw_mail_result *result)
{
    for (size_t i = 0; i < run->recipient_count; i++) {
        if (is_for_good(result->recipients[i].code))
            pw_log_warning("hook %s: %s refuses the recipient %s, the others were told: %s",
                           run->hook->name, run->email->server, run->recipients[i],
                           result->recipients[i].text);
    }
}

/* The server took it for one recipient at least, now or before, and refused no content. */
static void conclude_told(struct pw_hook_run *run, const struct pw_mail_result *result,
                          const struct pw_mail_reply *reply, size_t later)
{
    warn_of_refused(run, result);
    if (reply == NULL) {
        run->outcome = PW_HOOK_DELIVERED;
        forget(run->email->memory, run->id);
        return;
    }
    remember(run->email->memory, run->id, run->told);
    (void)snprintf(run->why, sizeof run->why, "%s: not yet taken for %s: %s", run->email->server,
                   run->recipients[later], reply->text);
}

static void conclude(struct pw_hook_run *run, const struct pw_mail_result *result)
{
    bool is_accepted = result->status == PW_OK, is_asked;
    const struct pw_mail_reply *reply;
    size_t later;

    run->outcome = PW_HOOK_RETRY;
    reply = sort_recipients(run, result, is_accepted, &later);
    is_asked = result->status == PW_EREMOTE && result->stage == PW_MAIL_RECIPIENT;
    if (is_accepted || (is_asked && run->told != 0)) {
        conclude_told(run, result, reply, later);
        return;
    }
    if (result->status == PW_ECANCELED && run->is_stopped) {
        (void)snprintf(run->why, sizeof run->why, "stopped, because patchwatchd ends");
        return;
    }
    /* Only what was said of the message itself can be the fault of one event. */
    if (result->status == PW_EREMOTE &&
        ((result->stage == PW_MAIL_CONTENT && is_for_good(result->reply.code)) ||
         result->reply.code == 552))
        run->outcome = PW_HOOK_REFUSED;
    (void)snprintf(run->why, sizeof run->why, "%s: %s%s", run->email->server,
                   result->stage == PW_MAIL_LOGIN && result->status == PW_EREMOTE ? "login: " : "",
                   result->error.message);
}

/* A run ---------------------------------------------------------------------------------------- */

static void run_free(struct pw_hook_run *run)
{
    pw_buffer_free(&run->message);
    free(run);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_hook_run *run = handle->data;
    pw_hook_done done = run->done;
    void *context = run->context;
    char why[WHY_BYTES];
    struct pw_hook_result result = {.outcome = run->outcome, .why = why};

    memcpy(why, run->why, sizeof why);
    run_free(run);
    done(context, &result);
}

static void on_mail(void *context, const struct pw_mail_result *result)
{
    struct pw_hook_run *run = context;

    pw_failpoint("hook_end");
    run->mail = NULL;
    conclude(run, result);
    uv_close((uv_handle_t *)&run->end, on_closed);
}

static enum pw_status send_mail(struct pw_hook_run *run, const struct pw_hook_tools *tools,
                                struct pw_error *err)
{
    const struct pw_email_config *email = run->email;
    const struct pw_mail_request request = {
        .url = email->url,
        .starttls = email->starttls,
        .ca_file = email->ca_file,
        .user = email->user,
        .password = email->user != NULL ? &email->password : NULL,
        .from = email->from.address,
        .recipients = run->recipients,
        .recipient_count = run->recipient_count,
        .message = pw_buffer_str(&run->message),
        .timeout_ms = run->hook->timeout_ms,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .context = run,
        .done = on_mail,
    };

    return pw_mail_start(tools->http, &request, &run->mail, err);
}

static enum pw_status email_start(const struct pw_hook_tools *tools,
                                  const struct pw_hook_config *hook, const struct pw_delivery *list,
                                  pw_hook_done done, void *context, struct pw_hook_run **out,
                                  struct pw_error *err)
{
    struct pw_hook_run *run = calloc(1, sizeof *run);
    enum pw_status status;

    *out = NULL;
    if (run == NULL)
        return pw_fail_nomem(err);
    run->hook = hook;
    run->email = hook->email;
    run->done = done;
    run->context = context;
    pw_buffer_init(&run->message, MESSAGE_MAX_BYTES);
    pw_email_id(list, run->id);
    run->told = recall(run->email->memory, run->id);
    for (size_t i = 0; i < run->email->recipient_count; i++) {
        if ((run->told >> i & 1) != 0)
            continue;
        run->which[run->recipient_count] = i;
        run->recipients[run->recipient_count++] = run->email->recipients[i].address;
    }
    status = pw_email_message(run->email, list, pw_clock_wall_ms(tools->clock), &run->message, err);
    if (status == PW_OK)
        status = send_mail(run, tools, err);
    if (status != PW_OK) {
        run_free(run);
        return status;
    }
    pw_failpoint("hook_start");
    (void)uv_timer_init(tools->loop, &run->end);
    run->end.data = run;
    *out = run;
    return PW_OK;
}

static void email_stop(struct pw_hook_run *run)
{
    run->is_stopped = true;
    pw_mail_cancel(run->mail);
}

const struct pw_hook_kind pw_hook_email = {.start = email_start, .stop = email_stop};
