/* Answers that are no pages: what they mean for the credential, the pace and the words of the
 * summary. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "coc/query.h"
#include "coc/sweeping.h"

enum {
    MAX_RENEWALS = 3,        /* of the credential in one sweep */
    THROTTLED_MIN_MS = 2000, /* where a 429 says nothing of when: two to five seconds */
    THROTTLED_SPREAD_MS = 3000,
};
#define SKEW_WORTH_TELLING_MS (60 * PW_SECOND_MS)

/* Words ----------------------------------------------------------------------------------------*/

static void put(struct pw_sweep *sweep, char *out, size_t size_bytes, struct pw_str text)
{
    (void)pw_text_printable(out, size_bytes, text);
    pw_credentials_redact(sweep->params.credentials, out);
}

/* Offsets, sizes and times differ from sweep to sweep. */
static void without_numbers(char *out, size_t size_bytes, const char *text)
{
    size_t used = 0;

    for (; *text != '\0' && used + 1 < size_bytes; text++) {
        if (*text < '0' || *text > '9')
            out[used++] = *text;
    }
    out[used] = '\0';
}

void pw_sweeping_tell(struct pw_sweep *sweep, struct pw_str code, struct pw_str message,
                      const char *cause)
{
    struct pw_sweep_summary *summary = &sweep->summary;

    if (summary->error_msg[0] != '\0')
        return; /* the first cause is the one to tell */
    put(sweep, summary->error_code, sizeof summary->error_code, code);
    put(sweep, summary->error_msg, sizeof summary->error_msg, message);
    if (cause != NULL)
        put(sweep, summary->cause, sizeof summary->cause, pw_str_of(cause));
    else
        without_numbers(summary->cause, sizeof summary->cause, summary->error_msg);
}

/* A signature is good for some minutes only, so a clock that is wrong looks like a wrong secret. */
static void tell_skew(struct pw_sweep *sweep, const struct pw_http_response *response)
{
    struct pw_sweep_summary *summary = &sweep->summary;
    size_t used = strlen(summary->error_msg);
    char duration[32];
    int64_t skew_ms;

    if (response->date_ms == PW_TIME_NONE)
        return;
    skew_ms = pw_clock_wall_ms(sweep->params.clock) - response->date_ms;
    if (llabs(skew_ms) < SKEW_WORTH_TELLING_MS)
        return;
    (void)snprintf(summary->error_msg + used, sizeof summary->error_msg - used,
                   " (our clock is %s %s the server's)",
                   pw_duration_text(duration, sizeof duration, llabs(skew_ms)),
                   skew_ms > 0 ? "ahead of" : "behind");
}

static bool is_success(long http_status)
{
    return http_status >= 200 && http_status <= 299;
}

/* The answer to the last attempt; NULL where that one had none, though an earlier one did. */
static const struct pw_http_response *answer_of(const struct pw_http_result *result)
{
    return result->status == PW_EREMOTE || result->status == PW_EFORMAT ? result->response : NULL;
}

/* What the answer says, else what was wrong with it. */
static void tell_failure(struct pw_sweep *sweep, const struct pw_http_result *result,
                         const struct pw_api_error *api)
{
    const struct pw_http_response *response = answer_of(result);
    struct pw_sweep_summary *summary = &sweep->summary;
    char message[sizeof summary->error_msg], cause[sizeof summary->cause];
    struct pw_str said = api->message.data != NULL ? api->message : PW_STR_NULL;

    if (summary->error_msg[0] != '\0')
        return;
    if (response == NULL || pw_str_empty(said)) {
        said = pw_str_of(result->error.message);
    } else if (is_success(response->status) && result->error.status != PW_EREMOTE) {
        /* No page, and no error either: what is wrong with it, and how it begins. */
        (void)snprintf(message, sizeof message, "%.250s: %.*s", result->error.message,
                       PW_STR_ARG(said));
        said = pw_str_of(message);
    }
    if (!pw_str_empty(api->code))
        (void)snprintf(cause, sizeof cause, "%.*s", PW_STR_ARG(api->code));
    else if (response != NULL && !is_success(response->status))
        (void)snprintf(cause, sizeof cause, "HTTP %ld", response->status);
    else if (result->error.status == PW_EREMOTE)
        (void)snprintf(cause, sizeof cause, "an error under status 200");
    else
        without_numbers(cause, sizeof cause, result->error.message);
    pw_sweeping_tell(sweep, api->code, said, cause);
    /* What the vendor's support asks for first. */
    put(sweep, summary->request_id, sizeof summary->request_id,
        response != NULL && !pw_str_empty(response->request_id) ? response->request_id
                                                                : api->request_id);
}

/* Pace -----------------------------------------------------------------------------------------*/

void pw_sweeping_follow_pace(struct pw_sweep *sweep)
{
    int64_t count, period_ms;

    pw_pace_rate(sweep->params.pace, &count, &period_ms);
    pw_throttle_set(sweep->params.throttle, count, period_ms);
}

static void throttled(struct page_call *call)
{
    if (pw_pace_throttled(call->sweep->params.pace, call->mark))
        pw_sweeping_follow_pace(call->sweep);
}

static bool is_throttle(const struct page_call *call, long http_status)
{
    return http_status == 429 || (is_success(http_status) && call->refusal == PW_API_THROTTLED);
}

int64_t pw_sweeping_slow_down(void *context, const struct pw_http_response *response)
{
    struct page_call *call = context;
    struct pw_sweep *sweep = call->sweep;
    struct pw_api_error api = {0};
    int64_t window_ms;

    if (!is_throttle(call, response->status)) {
        if (response->status >= 502)
            pw_pace_strained(sweep->params.pace, call->mark);
        return -1;
    }
    throttled(call);
    pw_error_body_decode(sweep->error_body, response->body.data, response->body.len, &api);
    window_ms = pw_api_throttle_window_ms(api.message, NULL);
    if (window_ms >= 0)
        return window_ms;
    return THROTTLED_MIN_MS + (int64_t)(pw_random() % THROTTLED_SPREAD_MS);
}

/* Credentials ----------------------------------------------------------------------------------*/

enum pw_status pw_sweeping_prepare(void *context, const char *const **headers, struct pw_error *err)
{
    struct page_call *call = context;
    struct pw_sweep *sweep = call->sweep;

    call->generation = pw_credentials_generation(sweep->params.credentials);
    call->mark = pw_pace_mark(sweep->params.pace);
    call->refusal = PW_API_OTHER;
    if (pw_query_url(sweep->params.source, call->offset, &sweep->url) != PW_OK)
        return pw_fail(err, PW_ELIMIT, "the query is longer than %d bytes", PW_SWEEP_URL_MAX_BYTES);
    return pw_credentials_headers(sweep->params.credentials, "GET", sweep->url.data, PW_STR_NULL,
                                  headers, err);
}

static void credential_is_ready(void *context, enum pw_status status, const struct pw_error *error)
{
    struct pw_sweep *sweep = context;
    const struct pw_credentials_trouble *trouble;

    sweep->is_preparing = false;
    if (status != PW_OK && status != PW_ECANCELED) {
        trouble = pw_credentials_trouble(sweep->params.credentials);
        sweep->no_credential = true;
        sweep->summary.auth_failed = status == PW_EPERM;
        if (sweep->summary.error_msg[0] == '\0')
            put(sweep, sweep->summary.request_id, sizeof sweep->summary.request_id,
                pw_str_of(trouble->request_id));
        pw_sweeping_tell(sweep, pw_str_of(trouble->code), pw_str_of(error->message),
                         trouble->code[0] != '\0' ? trouble->code : NULL);
    }
    pw_sweeping_go_on(sweep);
}

void pw_sweeping_get_credential(struct pw_sweep *sweep)
{
    sweep->is_preparing = sweep->was_prepared = true;
    pw_credentials_prepare(sweep->params.credentials, credential_is_ready, sweep);
}

static bool ask_again(struct pw_sweep *sweep, int64_t offset)
{
    if (sweep->again_count == sweep->again_capacity) {
        size_t capacity = sweep->again_capacity == 0 ? 16 : sweep->again_capacity * 2;
        int64_t *again = realloc(sweep->again, capacity * sizeof *again);

        if (again == NULL)
            return false;
        sweep->again = again;
        sweep->again_capacity = capacity;
    }
    sweep->again[sweep->again_count++] = offset;
    return true;
}

/* 401: true where the page is to be asked once more, with a credential that is another one by now
 * or that is being renewed. Never the same one again: five failures lock an access key. */
static bool renews_for(struct page_call *call)
{
    struct pw_sweep *sweep = call->sweep;
    struct pw_credentials *credentials = sweep->params.credentials;

    if (!sweep->is_preparing) {
        if (!pw_credentials_refused(credentials, call->generation) ||
            sweep->renewals >= MAX_RENEWALS)
            return false;
        if (call->generation == pw_credentials_generation(credentials)) {
            pw_log_info("%s: the credential was refused, a fresh one is fetched",
                        sweep->params.source->name);
            sweep->renewals++;
            sweep->was_accepted = false;
            pw_sweeping_get_credential(sweep);
        }
    }
    return ask_again(sweep, call->offset);
}

/* Not even sent: what was to be shown was refused meanwhile, perhaps by way of another source, or
 * is new and must be cleared first. True where the page is to be asked after another prepare. */
static bool prepares_for(struct page_call *call)
{
    struct pw_sweep *sweep = call->sweep;

    if (!sweep->is_preparing) {
        if (sweep->renewals >= MAX_RENEWALS)
            return false;
        sweep->renewals++;
        sweep->was_accepted = false;
        pw_sweeping_get_credential(sweep);
    }
    return ask_again(sweep, call->offset);
}

void pw_sweeping_failed(struct page_call *call, const struct pw_http_result *result)
{
    struct pw_sweep *sweep = call->sweep;
    const struct pw_http_response *response = answer_of(result);
    struct pw_api_error api = {0};
    enum pw_api_cause cause = PW_API_OTHER;
    char message[sizeof result->error.message];

    if (result->status == PW_ECANCELED)
        goto lost;
    put(sweep, message, sizeof message, pw_str_of(result->error.message));
    pw_log_debug("%s: page at offset %" PRId64 ": %s", sweep->params.source->name, call->offset,
                 message);
    if (response != NULL) {
        if (response->body.len > 0)
            pw_error_body_decode(sweep->error_body, response->body.data, response->body.len, &api);
        cause = is_success(response->status) ? call->refusal
                : response->status == 407    ? PW_API_OTHER /* a proxy, which knows no key */
                                             : pw_api_cause_of(response->status, PW_STR_NULL);
        if (is_throttle(call, response->status))
            throttled(call);
    }
    if (result->status == PW_ENETWORK)
        pw_pace_strained(sweep->params.pace, call->mark);
    if (response == NULL && result->status == PW_EPERM) {
        cause = PW_API_AUTH;
        if (!pw_sweeping_must_stop(sweep) && prepares_for(call))
            return;
    } else if (cause == PW_API_AUTH && !pw_sweeping_must_stop(sweep) && renews_for(call))
        return;
    if (cause == PW_API_FORBIDDEN) { /* but it knows who asks */
        pw_credentials_accepted(sweep->params.credentials, call->generation);
        pw_credentials_forbidden(sweep->params.credentials, call->generation);
    }
    tell_failure(sweep, result, &api);
    if ((cause == PW_API_AUTH || cause == PW_API_FORBIDDEN) && !sweep->summary.auth_failed &&
        !sweep->no_credential) {
        sweep->summary.auth_failed = true;
        if (response != NULL)
            tell_skew(sweep, response);
    }
lost:
    pw_paging_lost(&sweep->paging, call->offset);
}
