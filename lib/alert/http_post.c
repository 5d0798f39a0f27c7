/* POSTs and their outcomes. A run owns its body, the headers of its requests and a timer handle; it
 * is freed in that handle's close callback, and only then is `done` called, so that neither start
 * nor stop call back. */
#include "alert/http_post.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/http.h"

enum {
    ANSWER_MAX_BYTES = 16 * 1024, /* of a 2xx answer, which nobody reads */
    EXCERPT_BYTES = 200,
    REASON_BYTES = 480, /* of one URL */
    WHY_BYTES = 1000,   /* of all */
    HEADER_BYTES = 256,
    EXTRA_HEADERS = 5
};
/* A receiver that asks for more is asked earlier: the delivery would die in the meantime. */
#define RETRY_AFTER_MAX_MS PW_DAY_MS

struct post_call {
    struct pw_hook_run *run;
    struct pw_http_call *call; /* NULL = it is over */
    const struct pw_secret *url;
    enum pw_hook_outcome outcome;
    int64_t retry_after_ms; /* -1 = it did not say */
    char why[REASON_BYTES];
    char id_line[HEADER_BYTES], time_line[HEADER_BYTES];
    char signature_line[PW_SIGNATURE_LINE_SIZE];
    const char *extra[EXTRA_HEADERS];
};

struct pw_hook_run {
    struct pw_http_post post;
    const struct pw_clock *clock;
    pw_hook_done done;
    void *context;
    uv_timer_t timer; /* only to come back to the loop */
    bool is_started, is_closing, is_stopped;
    size_t calls_left, call_count;
    struct post_call calls[PW_HTTP_LINK_MAX_URLS];
};

/* Outcomes ------------------------------------------------------------------------------------ */

/* One URL's outcome counts before another's in this order: somebody has it; it takes offence (then
 * one by one helps); it may take it later; all have turned it off. */
static int weight(enum pw_hook_outcome outcome)
{
    switch (outcome) {
    case PW_HOOK_DELIVERED:
        return 3;
    case PW_HOOK_REFUSED:
        return 2;
    case PW_HOOK_RETRY:
        return 1;
    case PW_HOOK_GONE:
        break;
    }
    return 0;
}

static enum pw_hook_outcome outcome_of(long http_status)
{
    if (http_status >= 200 && http_status <= 299)
        return PW_HOOK_DELIVERED;
    if (http_status == 410)
        return PW_HOOK_GONE;
    if (http_status >= 400 && http_status <= 499 && http_status != 408 && http_status != 425 &&
        http_status != 429)
        return PW_HOOK_REFUSED;
    return PW_HOOK_RETRY;
}

static void redact(const struct pw_http_post *post, char *text)
{
    pw_http_link_redact(post->link, text);
    if (post->keys != NULL)
        pw_signature_keys_redact(post->keys, text);
}

/* The beginning of an answer on one line, printable, without the secrets that it repeats. */
static void quote_answer(const struct pw_http_post *post, struct pw_str body,
                         char out[EXCERPT_BYTES])
{
    char text[4 * EXCERPT_BYTES];
    size_t len = 0;

    for (size_t i = 0; i < body.len && len < sizeof text - 1; i++) {
        char c = body.data[i];
        bool is_space = c == ' ' || c == '\n' || c == '\r' || c == '\t';

        if (c == '\0' || (is_space && (len == 0 || text[len - 1] == ' ')))
            continue;
        text[len++] = is_space ? ' ' : c;
    }
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    redact(post, text);
    (void)pw_text_printable(out, EXCERPT_BYTES, (struct pw_str){text, len});
}

static void note_outcome(struct post_call *call, const struct pw_http_result *result)
{
    const struct pw_http_response *response = result->response;
    const char *message = strstr(result->error.message, ": "); /* behind the label */
    char excerpt[EXCERPT_BYTES] = "";

    call->outcome = PW_HOOK_RETRY;
    call->retry_after_ms = -1;
    if (response != NULL) {
        call->outcome = outcome_of(response->status);
        quote_answer(&call->run->post, response->body, excerpt);
        if (call->outcome == PW_HOOK_RETRY && response->retry_after_ms >= 0)
            call->retry_after_ms = response->retry_after_ms < RETRY_AFTER_MAX_MS
                                       ? response->retry_after_ms
                                       : RETRY_AFTER_MAX_MS;
    }
    if (call->outcome == PW_HOOK_DELIVERED)
        return;
    message = message != NULL ? message + 2 : result->error.message;
    if (call->run->is_stopped && result->status == PW_ECANCELED)
        message = "stopped, because patchwatchd ends";
    (void)snprintf(call->why, sizeof call->why, "%.240s%s%s", message,
                   excerpt[0] != '\0' ? ": " : "", excerpt);
    redact(&call->run->post, call->why);
}

static void add_reason(char why[WHY_BYTES], const struct pw_hook_run *run,
                       const struct post_call *call)
{
    size_t used = strlen(why);

    if (call->outcome == PW_HOOK_DELIVERED)
        return;
    if (run->call_count > 1)
        (void)snprintf(why + used, WHY_BYTES - used, "%s%.120s: %s", used > 0 ? "; " : "",
                       call->url->data, call->why);
    else
        (void)snprintf(why + used, WHY_BYTES - used, "%s", call->why);
}

static void conclude(const struct pw_hook_run *run, struct pw_hook_result *result,
                     char why[WHY_BYTES])
{
    int64_t asked_ms = INT64_MAX;

    result->outcome = run->call_count > 0 ? run->calls[0].outcome : PW_HOOK_DELIVERED;
    why[0] = '\0';
    for (size_t i = 0; i < run->call_count; i++) {
        const struct post_call *call = &run->calls[i];

        if (weight(call->outcome) > weight(result->outcome))
            result->outcome = call->outcome;
        if (call->outcome != PW_HOOK_GONE && call->retry_after_ms < asked_ms)
            asked_ms = call->retry_after_ms;
        add_reason(why, run, call);
    }
    if (run->post.is_list && run->post.body.failed == PW_ELIMIT) {
        result->outcome = PW_HOOK_REFUSED;
        (void)snprintf(why, WHY_BYTES, "the events together are longer than %d bytes",
                       (int)PW_HTTP_POST_MAX_BYTES);
    }
    if (result->outcome == PW_HOOK_DELIVERED && why[0] != '\0') {
        pw_log_info("hook %s: delivered, but not to all: %s", run->post.hook->name, why);
        why[0] = '\0';
    }
    if (result->outcome == PW_HOOK_RETRY && asked_ms > 0 && asked_ms != INT64_MAX)
        result->retry_after_ms = asked_ms;
    result->why = why;
}

/* The end ------------------------------------------------------------------------------------- */

static void free_run(struct pw_hook_run *run)
{
    pw_buffer_free(&run->post.body);
    free(run);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_hook_run *run = handle->data;
    struct pw_hook_result result = {0};
    pw_hook_done done = run->done;
    void *context = run->context;
    char why[WHY_BYTES];

    if (!run->is_started) { /* start has said so */
        free_run(run);
        return;
    }
    conclude(run, &result, why);
    free_run(run);
    done(context, &result);
}

static void close_run(struct pw_hook_run *run)
{
    if (run->is_closing)
        return;
    run->is_closing = true;
    uv_close((uv_handle_t *)&run->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    close_run(timer->data);
}

static void on_answer(void *context, const struct pw_http_result *result)
{
    struct post_call *call = context;
    struct pw_hook_run *run = call->run;

    call->call = NULL;
    note_outcome(call, result);
    if (--run->calls_left == 0)
        close_run(run);
}

/* The start ----------------------------------------------------------------------------------- */

/* Right before the request goes out, so that the timestamp is that of the attempt. */
static enum pw_status on_prepare(void *context, const char *const **extra_headers,
                                 struct pw_error *err)
{
    struct post_call *call = context;
    const struct pw_http_post *post = &call->run->post;
    int64_t now_s = pw_clock_wall_ms(call->run->clock) / PW_SECOND_MS;
    enum pw_status status;
    size_t count = 0;

    if (post->link->bearer.len > 0)
        call->extra[count++] = post->link->bearer.data;
    if (post->keys != NULL) {
        (void)snprintf(call->id_line, sizeof call->id_line, "webhook-id: %s", post->id);
        (void)snprintf(call->time_line, sizeof call->time_line, "webhook-timestamp: %" PRId64,
                       now_s);
        status = pw_signature_line(post->keys, post->id, now_s, pw_buffer_str(&post->body),
                                   call->signature_line, err);
        if (status != PW_OK)
            return status;
        call->extra[count++] = call->id_line;
        call->extra[count++] = call->time_line;
        call->extra[count++] = call->signature_line;
    }
    call->extra[count] = NULL;
    *extra_headers = call->extra;
    return PW_OK;
}

static enum pw_status start_call(struct pw_hook_run *run, struct pw_http *http,
                                 const struct pw_secret *url, struct pw_error *err)
{
    const struct pw_http_post *post = &run->post;
    struct post_call *call = &run->calls[run->call_count];
    const char *headers[PW_HTTP_LINK_MAX_HEADERS + 2] = {NULL};
    char label[96], type_line[96];
    struct pw_http_request request = {
        .method = "POST",
        .url = url->data,
        .label = label,
        .headers = headers,
        .body = pw_buffer_str(&post->body),
        .ca_file = post->link->ca_file,
        .proxy = post->link->proxy,
        .is_secret = post->link->url_is_secret || post->link->bearer.len > 0,
        .timeout_ms = post->hook->timeout_ms,
        .body_max_bytes = ANSWER_MAX_BYTES,
        .body_may_be_cut = true,
        .context = call,
        .prepare = on_prepare,
        .done = on_answer,
    };
    size_t count = 0;
    enum pw_status status;

    (void)snprintf(label, sizeof label, "hook %.64s", post->hook->name);
    (void)snprintf(type_line, sizeof type_line, "Content-Type: %s", post->content_type);
    headers[count++] = type_line;
    for (char **line = post->link->headers;
         line != NULL && *line != NULL && count <= PW_HTTP_LINK_MAX_HEADERS; line++)
        headers[count++] = *line;
    *call = (struct post_call){.run = run, .url = url};
    status = pw_http_start(http, &request, &call->call, err);
    if (status != PW_OK)
        return status;
    run->call_count++;
    run->calls_left++;
    return PW_OK;
}

enum pw_status pw_http_post_start(const struct pw_hook_tools *tools, struct pw_http_post *post,
                                  pw_hook_done done, void *context, struct pw_hook_run **out,
                                  struct pw_error *err)
{
    struct pw_hook_run *run = calloc(1, sizeof *run);
    enum pw_status status = PW_OK;
    bool is_too_long;

    *out = NULL;
    if (run == NULL) {
        pw_buffer_free(&post->body);
        return pw_fail_nomem(err);
    }
    run->post = *post;
    run->clock = tools->clock;
    run->done = done;
    run->context = context;
    is_too_long = post->body.failed == PW_ELIMIT && post->is_list;
    if (post->body.failed != PW_OK && !is_too_long) {
        status = post->body.failed == PW_ENOMEM
                     ? pw_fail_nomem(err)
                     : pw_fail(err, PW_ELIMIT, "the event is longer than %d bytes",
                               (int)PW_HTTP_POST_MAX_BYTES);
        free_run(run);
        return status;
    }
    (void)uv_timer_init(tools->loop, &run->timer); /* cannot fail */
    run->timer.data = run;
    if (post->is_empty || is_too_long) {
        (void)uv_timer_start(&run->timer, on_timer, 0, 0);
    } else {
        for (size_t i = 0; i < post->link->url_count; i++) {
            enum pw_status failed = start_call(run, tools->http, &post->link->urls[i], err);

            status = failed != PW_OK ? failed : status;
        }
        if (run->call_count == 0) {
            close_run(run); /* on_closed frees it */
            return status;
        }
        /* One that could not be started is told with the next resend. */
    }
    run->is_started = true;
    *out = run;
    return PW_OK;
}

void pw_http_post_stop(struct pw_hook_run *run)
{
    run->is_stopped = true;
    for (size_t i = 0; i < run->call_count; i++)
        pw_http_cancel(run->calls[i].call);
}
