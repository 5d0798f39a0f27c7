/* One request through all its attempts.
 *
 *   waiting ──timer──▶ throttled ──token──▶ flying ──▶ unpacking ──▶ judging ──▶ ended
 *      ▲                                      │            │            │
 *      └────────────── retry ─────────────────┴────────────┴────────────┘
 *
 * Most answers are neither unpacked nor judged elsewhere: from flying they go on at once. A call
 * starts in `waiting` with a timer of 0, so that nothing is called back from within pw_http_start,
 * and any state may go to `ended`. The call owns copies of URL and headers, its easy handle and two
 * replies (the one coming in, and the last that was whole). Its memory has users: the timer until
 * its close callback, so that callbacks may end the call under our feet (whoever calls one looks at
 * the state afterwards), the crew while it unpacks, and a judge that takes its time. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "http/call.h"
#include "http/guest.h"
#include "http/retry.h"
#include "http/wiping.h"

#define BACKOFF_BASE_DEFAULT_MS INT64_C(500)
#define BACKOFF_CAP_DEFAULT_MS INT64_C(30000)
#define MAX_CONNECTIONS_MAX 10000

/* ---- state -----------------------------------------------------------------------------------*/

void pw_call_set_state(struct pw_http_call *call, enum pw_call_state state)
{
    static const char *const names[] = {"waiting",   "throttled", "flying",
                                        "unpacking", "judging",   "ended"};

    assert(call->state != PW_CALL_ENDED);
    assert(state == PW_CALL_ENDED || state == call->state + 1 ||
           (state == PW_CALL_JUDGING && call->state == PW_CALL_FLYING) ||
           (state == PW_CALL_WAITING && call->state >= PW_CALL_FLYING));
    pw_log_debug("%s: %s -> %s", call->label, names[call->state], names[state]);
    call->state = state;
}

static void part_closed(struct pw_http *http)
{
    void (*closed)(void *context) = http->closed;
    void *context = http->closed_context;

    if (--http->open_parts > 0)
        return;
    pw_pool_free(&http->pool);
    free(http);
    curl_global_cleanup();
    if (closed != NULL)
        closed(context);
}

static void call_free(struct pw_http_call *call)
{
    pw_unpack_end(&call->unpack);
    pw_transfer_free(&call->transfer);
    pw_reply_free(&call->replies[0]);
    pw_reply_free(&call->replies[1]);
    curl_slist_free_all(call->headers);
    if (call->request.is_secret && call->url != NULL)
        explicit_bzero(call->url, strlen(call->url));
    free(call->url);
    free(call);
}

void pw_call_leave(struct pw_http_call *call)
{
    struct pw_http *http = call->http;

    if (--call->users > 0)
        return;
    if (call->request.is_secret) { /* its handle goes with the call: libcurl keeps headers in it */
        pw_reply_wipe(&call->replies[0]);
        pw_reply_wipe(&call->replies[1]);
    } else {
        pw_pool_give_easy(&http->pool, call->transfer.easy);
        call->transfer.easy = NULL;
    }
    pw_pool_give_body(&http->pool, &call->replies[0].body);
    pw_pool_give_body(&http->pool, &call->replies[1].body);
    call_free(call);
    part_closed(http);
}

static void on_call_closed(uv_handle_t *handle)
{
    pw_call_leave(handle->data);
}

/* The one way out. err is what is wrong, without the request's name. */
static void end(struct pw_http_call *call, enum pw_status status, const struct pw_error *err)
{
    struct pw_http_result result = {
        .status = status,
        .response = call->whole != NULL ? &call->whole->response : NULL,
        .attempts = call->attempts,
        .received_bytes = call->received_bytes,
    };

    if (call->state == PW_CALL_UNPACKING)
        pw_call_stop_unpacking(call);
    pw_call_set_state(call, PW_CALL_ENDED);
    (void)uv_timer_stop(&call->timer);
    pw_throttle_forget(&call->waiter);
    pw_curl_loop_remove(call->http->curl, &call->job);
    TAILQ_REMOVE(&call->http->calls, call, link);
    if (status != PW_OK && call->attempts > 1)
        (void)pw_fail(&result.error, status, "%s: %.*s (%u attempts)", call->label, 160,
                      err->message, call->attempts);
    else if (status != PW_OK)
        (void)pw_fail(&result.error, status, "%s: %.*s", call->label, 180, err->message);
    if (call->request.done != NULL)
        call->request.done(call->request.context, &result);
    uv_close((uv_handle_t *)&call->timer, on_call_closed);
}

/* ---- one attempt after the other -------------------------------------------------------------*/

void pw_call_on_timer(uv_timer_t *timer)
{
    struct pw_http_call *call = timer->data;

    if (call->state == PW_CALL_UNPACKING) {
        pw_call_unpacks_too_long(call);
        return;
    }
    pw_call_set_state(call, PW_CALL_THROTTLED);
    if (call->request.throttle != NULL)
        pw_throttle_wait(call->request.throttle, &call->waiter);
    else
        call->waiter.go(&call->waiter);
}

static void on_token(struct pw_throttle_waiter *waiter)
{
    struct pw_http_call *call =
        (struct pw_http_call *)(void *)((char *)waiter - offsetof(struct pw_http_call, waiter));

    pw_call_set_state(call, PW_CALL_FLYING);
    pw_curl_loop_add(call->http->curl, &call->job);
}

static CURL *on_ready(struct pw_curl_job *job)
{
    struct pw_http_call *call =
        (struct pw_http_call *)(void *)((char *)job - offsetof(struct pw_http_call, job));
    const struct pw_http_request *request = &call->request;
    const char *const *extra = NULL;
    struct pw_error err = {.status = PW_OK};
    enum pw_status status = PW_OK;

    call->attempts++;
    if (request->prepare != NULL) {
        status = request->prepare(request->context, &extra, &err);
        if (call->state == PW_CALL_ENDED)
            return NULL;
        if (status != PW_OK && err.message[0] == '\0')
            (void)pw_fail(&err, status, "the request could not be prepared");
    }
    if (status == PW_OK)
        status = pw_transfer_setup(
            &call->transfer, request, call->url, call->headers, extra,
            call->whole == &call->replies[0] ? &call->replies[1] : &call->replies[0], &err);
    if (status == PW_OK)
        return call->transfer.easy;
    end(call, status, &err);
    return NULL;
}

static void retry_later(struct pw_http_call *call, const struct pw_http_response *response,
                        const struct pw_error *err)
{
    const struct pw_http_request *request = &call->request;
    int64_t asked_ms = -1, base_ms, cap_ms, wait_ms;

    if (response != NULL) {
        if (request->wait_hint_ms != NULL)
            asked_ms = request->wait_hint_ms(request->context, response);
        if (call->state == PW_CALL_ENDED)
            return;
        if (response->retry_after_ms >= 0)
            asked_ms = response->retry_after_ms;
    }
    base_ms = request->backoff_base_ms > 0 ? request->backoff_base_ms : BACKOFF_BASE_DEFAULT_MS;
    cap_ms = request->backoff_cap_ms > 0 ? request->backoff_cap_ms : BACKOFF_CAP_DEFAULT_MS;
    wait_ms = pw_retry_wait_ms(call->attempts, base_ms, cap_ms, asked_ms, pw_random());
    pw_log_debug("%s: %s; attempt %u of %u in %lld ms", call->label, err->message,
                 call->attempts + 1, request->retries + 1, (long long)wait_ms);
    pw_call_set_state(call, PW_CALL_WAITING);
    (void)uv_timer_start(&call->timer, pw_call_on_timer, (uint64_t)wait_ms, 0);
}

void pw_call_conclude(struct pw_http_call *call, enum pw_status status, bool retry,
                      const struct pw_http_response *response, const struct pw_error *err)
{
    if (status != PW_OK && retry && call->attempts <= call->request.retries)
        retry_later(call, response, err);
    else
        end(call, status, err);
}

/* ---- the face --------------------------------------------------------------------------------*/

static enum pw_status copy_request(struct pw_http_call *call, const struct pw_http_request *request,
                                   struct pw_error *err)
{
    char shown[256];
    enum pw_status status = pw_url_display(request->url, shown, sizeof shown, err);

    if (status != PW_OK)
        return status;
    call->request = *request;
    if (request->label != NULL)
        (void)snprintf(call->label, sizeof call->label, "%s", request->label);
    else
        (void)snprintf(call->label, sizeof call->label, "%s %s",
                       request->method != NULL ? request->method : "GET", shown);
    call->url = strdup(request->url);
    if (call->url == NULL)
        return pw_fail_nomem(err);
    for (const char *const *line = request->headers; line != NULL && *line != NULL; line++) {
        struct curl_slist *longer;

        if (pw_header_is_bad(*line))
            return pw_fail(err, PW_EINVAL, "a header is no \"Name: value\" line");
        longer = curl_slist_append(call->headers, *line);
        if (longer == NULL)
            return pw_fail_nomem(err);
        call->headers = longer;
    }
    call->request.url = call->url;
    call->request.headers = NULL;
    call->request.label = NULL;
    return PW_OK;
}

enum pw_status pw_http_start(struct pw_http *http, const struct pw_http_request *request,
                             struct pw_http_call **out, struct pw_error *err)
{
    struct pw_http_call *call;
    enum pw_status status;

    if (out != NULL)
        *out = NULL;
    if (http->is_closing)
        return pw_fail(err, PW_ECANCELED, "no request is started while shutting down");
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return pw_fail_nomem(err);
    pw_reply_init(&call->replies[0]);
    pw_reply_init(&call->replies[1]);
    status = copy_request(call, request, err);
    if (status != PW_OK) {
        call_free(call);
        return status;
    }
    call->transfer.easy = pw_pool_take_easy(&http->pool);
    pw_pool_take_body(&http->pool, &call->replies[0].body);
    call->http = http;
    call->users = 1; /* the timer */
    call->state = PW_CALL_WAITING;
    call->waiter.go = on_token;
    call->job.ready = on_ready;
    call->job.finished = pw_call_on_finished;
    (void)uv_timer_init(http->loop, &call->timer);
    call->timer.data = call;
    (void)uv_timer_start(&call->timer, pw_call_on_timer, 0, 0);
    TAILQ_INSERT_TAIL(&http->calls, call, link);
    http->open_parts++;
    if (out != NULL)
        *out = call;
    return PW_OK;
}

void pw_http_cancel(struct pw_http_call *call)
{
    struct pw_error err = {.status = PW_OK};

    if (call == NULL || call->state == PW_CALL_ENDED)
        return;
    (void)pw_fail(&err, PW_ECANCELED, "canceled");
    end(call, PW_ECANCELED, &err);
}

enum pw_status pw_http_new(uv_loop_t *loop, size_t max_connections, struct pw_http **out,
                           struct pw_error *err)
{
    struct pw_http *http;
    enum pw_status status;

    *out = NULL;
    if (max_connections < 1 || max_connections > MAX_CONNECTIONS_MAX)
        return pw_fail(err, PW_EINVAL, "connections must be 1 to %d", MAX_CONNECTIONS_MAX);
    http = calloc(1, sizeof *http);
    if (http == NULL)
        return pw_fail_nomem(err);
    if (pw_wiping_curl_init() != CURLE_OK) {
        free(http);
        return pw_fail(err, PW_ENOMEM, "libcurl cannot be initialised");
    }
    status = pw_curl_loop_new(loop, max_connections, &http->curl, err);
    if (status != PW_OK) {
        curl_global_cleanup();
        free(http);
        return status;
    }
    http->loop = loop;
    pw_crew_init(&http->crew, loop);
    TAILQ_INIT(&http->calls);
    TAILQ_INIT(&http->guests);
    http->open_parts = 1;
    *out = http;
    return PW_OK;
}

bool pw_http_admit(struct pw_http *http, struct pw_http_guest *guest)
{
    if (http->is_closing)
        return false;
    guest->http = http;
    guest->curl = http->curl;
    guest->loop = http->loop;
    TAILQ_INSERT_TAIL(&http->guests, guest, link);
    http->open_parts++;
    return true;
}

void pw_http_leave(struct pw_http_guest *guest)
{
    TAILQ_REMOVE(&guest->http->guests, guest, link);
}

void pw_http_forget(struct pw_http_guest *guest)
{
    part_closed(guest->http);
}

struct pw_crew *pw_http_crew(struct pw_http *http)
{
    return &http->crew;
}

static void on_curl_closed(void *context)
{
    part_closed(context);
}

void pw_http_close(struct pw_http *http, void (*closed)(void *context), void *context)
{
    struct pw_http_guest *guest;
    struct pw_http_call *call;

    if (http->is_closing)
        return;
    http->is_closing = true;
    http->closed = closed;
    http->closed_context = context;
    while ((call = TAILQ_FIRST(&http->calls)) != NULL)
        pw_http_cancel(call);
    while ((guest = TAILQ_FIRST(&http->guests)) != NULL)
        guest->cancel(guest);
    pw_curl_loop_close(http->curl, on_curl_closed, http);
}
