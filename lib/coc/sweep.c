/* The sweep: pages in flight, records against the index, one summary at the end. */
#include "coc/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/buffer.h"
#include "base/failpoint.h"
#include "base/hashset.h"
#include "base/log.h"
#include "cloud/error_body.h"
#include "coc/page.h"
#include "coc/query.h"

enum {
    BODY_MAX_BYTES = 8 * 1024 * 1024,
    URL_MAX_BYTES = 16 * 1024,
    ORDER_MIN_RECORDS = 8,   /* fewer say nothing of how the server sorts */
    MAX_RENEWALS = 3,        /* of the credential in one sweep */
    THROTTLED_MIN_MS = 2000, /* where a 429 says nothing of when: two to five seconds */
    THROTTLED_SPREAD_MS = 3000,
};
#define SKEW_WORTH_TELLING_MS (60 * PW_SECOND_MS)

_Static_assert(2 * (PW_OFFSET_MAX + 1) <= PW_INDEX_MAX_PAGE,
               "the index has room for the page numbers of both passes");
_Static_assert((int)PW_HTTP_BODY_PADDING >= (int)PW_PAGE_PADDING,
               "pages are decoded straight from the receive buffer");

/* One page on its way. */
struct page_call {
    struct pw_sweep *sweep;
    struct pw_http_call *http_call;
    struct page_call *next, *previous;
    int64_t offset;
    int pass;
    unsigned credential;            /* the one that its last attempt showed */
    unsigned round;                 /* of the pace, when its last attempt began */
    struct pw_paging_answer answer; /* once judged; owns identities */
    uint64_t *identities;
};

struct pw_sweep {
    struct pw_sweep_params params;
    struct pw_paging paging;
    struct pw_page_decoder *decoder;
    struct pw_error_body *error_body;
    struct pw_buffer url;
    struct pw_buffer node_key;
    struct pw_hashset nodes;   /* node keys seen */
    struct pw_hashset touched; /* report keys that were staged: what follows on them is too */
    struct page_call *calls;
    size_t call_count;
    int64_t *again; /* offsets to ask once more, with a fresh credential */
    size_t again_count, again_capacity;
    unsigned credential; /* counts those that were prepared */
    bool is_preparing;
    uv_timer_t deadline;
    uv_idle_t kick; /* the first requests, and the end, are never made from within a caller */
    int open_handles;
    bool is_held, is_ending, timed_out, out_of_memory, no_credential;
    struct pw_sweep_summary summary;
};

static void pump(struct pw_sweep *sweep);

/* Nothing more is asked, whatever is left. */
static bool must_stop(const struct pw_sweep *sweep)
{
    return sweep->out_of_memory || sweep->timed_out || sweep->summary.was_canceled ||
           sweep->summary.auth_failed || sweep->no_credential;
}

static void tell_error(struct pw_sweep *sweep, struct pw_str code, struct pw_str message)
{
    struct pw_sweep_summary *summary = &sweep->summary;

    if (summary->error_msg[0] != '\0')
        return; /* the first cause is the one to tell */
    (void)pw_text_printable(summary->error_code, sizeof summary->error_code, code);
    (void)pw_text_printable(summary->error_msg, sizeof summary->error_msg, message);
    pw_credentials_redact(sweep->params.credentials, summary->error_msg);
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

static void note_error(struct pw_sweep *sweep, const struct pw_http_result *result)
{
    struct pw_sweep_summary *summary = &sweep->summary;
    struct pw_api_error api = {0};
    struct pw_str request_id;

    if (summary->error_msg[0] != '\0')
        return;
    if (result->response != NULL && result->response->body.len > 0)
        pw_error_body_decode(sweep->error_body, result->response->body.data,
                             result->response->body.len, &api);
    tell_error(sweep, api.code,
               api.message.data != NULL ? api.message : pw_str_of(result->error.message));
    /* What the vendor's support asks for first. */
    request_id = result->response != NULL && !pw_str_empty(result->response->request_id)
                     ? result->response->request_id
                     : api.request_id;
    (void)pw_text_printable(summary->request_id, sizeof summary->request_id, request_id);
}

/* Pages in the order of reading: those of the repair pass come after all others. */
static uint32_t page_number(const struct page_call *call)
{
    return (uint32_t)(call->pass - 1) * (uint32_t)(PW_OFFSET_MAX + 1) + (uint32_t)call->offset;
}

/* Holds one usable record against the index. */
static enum pw_status take_record(struct page_call *call, const struct pw_report *report,
                                  size_t row, struct pw_str node_key, uint64_t *identity)
{
    struct pw_sweep *sweep = call->sweep;
    struct pw_index *index = sweep->params.index;
    struct pw_report_key key = pw_report_key_of(node_key, report->baseline_id);
    uint64_t digest = pw_report_digest(report);
    uint64_t touch = key.node * 31 + key.report;
    struct pw_index_entry *entry = pw_index_find(index, key);
    struct pw_report staged;
    bool added;
    enum pw_status status;

    *identity = pw_report_identity(report, key, digest);
    status = pw_hashset_add(&sweep->nodes, key.node, &added);
    if (status != PW_OK)
        return status;
    staged = *report;
    staged.place = (int64_t)page_number(call) * PW_PAGE_MAX_RECORDS + (int64_t)row;
    staged.rival = PW_RIVAL_NONE;
    if (entry != NULL) {
        pw_index_mark_seen(index, entry);
        if (entry->digest == digest) {
            pw_index_mark_shown(index, entry, page_number(call));
            if (!entry->restless && !pw_hashset_has(&sweep->touched, touch))
                return PW_OK;
        } else if (entry->shown_at != 0) {
            /* On its own page the stored one was read before. */
            staged.rival = entry->shown_at > page_number(call) ? PW_RIVAL_LATER : PW_RIVAL_EARLIER;
        }
    }
    status = pw_hashset_add(&sweep->touched, touch, &added);
    if (status != PW_OK)
        return status;
    sweep->summary.staged++;
    return sweep->params.stage(sweep->params.context, &staged);
}

/* Whether the page is in the order that was asked for, and what its newest is. */
static void note_order(const struct pw_page *page, bool was_asked, struct pw_paging_answer *answer)
{
    bool falls = false, rises = false;

    answer->newest_ms = -1;
    for (size_t i = 0; i < page->count; i++) {
        int64_t time_ms = page->reports[i].report_time_ms;

        if (time_ms > answer->newest_ms)
            answer->newest_ms = time_ms;
        if (i > 0) {
            rises = rises || time_ms > page->reports[i - 1].report_time_ms;
            falls = falls || time_ms < page->reports[i - 1].report_time_ms;
        }
    }
    /* A few records are in order by chance. */
    if (was_asked && page->count >= ORDER_MIN_RECORDS && (rises || falls))
        answer->order = rises ? PW_ORDER_OTHER : PW_ORDER_NEWEST_FIRST;
}

static enum pw_status take_page(struct page_call *call, const struct pw_page *page)
{
    struct pw_sweep *sweep = call->sweep;
    struct pw_paging_answer *answer = &call->answer;
    struct pw_error error;
    enum pw_status status;

    call->identities = malloc((page->count + 1) * sizeof *call->identities);
    if (call->identities == NULL)
        return PW_ENOMEM;
    *answer = (struct pw_paging_answer){.count = page->reported_count,
                                        .rows = page->rows,
                                        .bad_records = page->bad_records,
                                        .identities = call->identities};
    note_order(page, sweep->params.source->sort_by_report_time, answer);
    for (size_t i = 0; i < page->count; i++) {
        pw_buffer_clear(&sweep->node_key);
        if (pw_report_node_key(&page->reports[i], &sweep->node_key, &error) != PW_OK) {
            pw_log_debug("%s: record %zu at offset %" PRId64 ": %s", sweep->params.source->name,
                         i + 1, call->offset, error.message);
            answer->bad_records++;
            continue;
        }
        status = take_record(call, &page->reports[i], i, pw_buffer_str(&sweep->node_key),
                             &call->identities[answer->identity_count]);
        if (status != PW_OK)
            return status;
        answer->identity_count++;
    }
    return PW_OK;
}

static void follow_pace(struct pw_sweep *sweep)
{
    int64_t count, period_ms;

    pw_pace_rate(sweep->params.pace, &count, &period_ms);
    pw_throttle_set(sweep->params.throttle, count, period_ms);
}

/* An answer that will be tried again: goes slower, and says how long to wait at least. */
static int64_t slow_down(void *context, const struct pw_http_response *response)
{
    struct page_call *call = context;
    struct pw_sweep *sweep = call->sweep;
    struct pw_api_error api = {0};
    int64_t window_ms;

    if (response->status != 429) {
        if (response->status >= 502)
            pw_pace_strained(sweep->params.pace, call->round);
        return -1;
    }
    if (pw_pace_throttled(sweep->params.pace, call->round))
        follow_pace(sweep);
    pw_error_body_decode(sweep->error_body, response->body.data, response->body.len, &api);
    window_ms = pw_api_throttle_window_ms(api.message, NULL);
    if (window_ms >= 0)
        return window_ms;
    return THROTTLED_MIN_MS + (int64_t)(pw_random() % THROTTLED_SPREAD_MS);
}

static enum pw_status show_credential(void *context, const char *const **headers,
                                      struct pw_error *err)
{
    struct page_call *call = context;
    struct pw_sweep *sweep = call->sweep;

    call->credential = sweep->credential;
    call->round = sweep->params.pace->round;
    if (pw_query_url(sweep->params.source, call->offset, &sweep->url) != PW_OK)
        return pw_fail(err, PW_ELIMIT, "the query is longer than %d bytes", URL_MAX_BYTES);
    return pw_credentials_headers(sweep->params.credentials, "GET", sweep->url.data, PW_STR_NULL,
                                  headers, err);
}

static enum pw_http_verdict judge_page(void *context, const struct pw_http_response *response,
                                       bool last, struct pw_error *err)
{
    struct page_call *call = context;
    struct pw_page page;
    struct pw_api_error api_error;

    if (pw_page_decode(call->sweep->decoder, response->body.data, response->body.len, &page,
                       &api_error, err) != PW_OK)
        return PW_HTTP_RETRY;
    if (pw_pace_good(call->sweep->params.pace))
        follow_pace(call->sweep);
    if (page.complaint.status != PW_OK) {
        /* A page that is right in parts is asked again; in the end what is right of it is true. */
        *err = page.complaint;
        if (!last)
            return PW_HTTP_RETRY;
        pw_log_warning("%s: page at offset %" PRId64 ": %s", call->sweep->params.source->name,
                       call->offset, err->message);
        tell_error(call->sweep, PW_STR_NULL, pw_str_of(err->message));
    }
    if (take_page(call, &page) != PW_OK) {
        call->sweep->out_of_memory = true;
        (void)pw_fail_nomem(err);
        return PW_HTTP_REFUSE;
    }
    pw_failpoint("fetch");
    return PW_HTTP_ACCEPT;
}

static void unlink_call(struct page_call *call)
{
    struct pw_sweep *sweep = call->sweep;

    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        sweep->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    sweep->call_count--;
    free(call->identities);
    free(call);
}

/* Cancels what is on its way; each call's done counts it as lost. */
static void cancel_calls(struct pw_sweep *sweep)
{
    bool was_held = sweep->is_held;

    sweep->is_held = true; /* no new ones meanwhile */
    while (sweep->calls != NULL)
        pw_http_cancel(sweep->calls->http_call);
    sweep->is_held = was_held;
}

static void prepare_credential(struct pw_sweep *sweep);

static void credential_is_ready(void *context, enum pw_status status, const struct pw_error *error)
{
    struct pw_sweep *sweep = context;

    sweep->is_preparing = false;
    sweep->credential++;
    if (status != PW_OK && status != PW_ECANCELED) {
        sweep->no_credential = true;
        sweep->summary.auth_failed = status == PW_EPERM;
        tell_error(sweep, PW_STR_NULL, pw_str_of(error->message));
    }
    pump(sweep);
}

static void prepare_credential(struct pw_sweep *sweep)
{
    sweep->is_preparing = true;
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

    if (call->credential == sweep->credential && !sweep->is_preparing) {
        if (sweep->credential > MAX_RENEWALS || !pw_credentials_refused(sweep->params.credentials))
            return false;
        pw_log_info("%s: the credential was refused, a fresh one is fetched",
                    sweep->params.source->name);
        prepare_credential(sweep);
    }
    return ask_again(sweep, call->offset);
}

/* A page that was given up, or that must wait for another credential. */
static void page_failed(struct page_call *call, const struct pw_http_result *result)
{
    struct pw_sweep *sweep = call->sweep;
    long http_status = result->response != NULL ? result->response->status : 0;

    if (result->status != PW_ECANCELED) {
        pw_log_debug("%s: page at offset %" PRId64 ": %s", sweep->params.source->name, call->offset,
                     result->error.message);
        if (http_status == 401 && !must_stop(sweep) && renews_for(call))
            return;
        if (result->status == PW_ENETWORK)
            pw_pace_strained(sweep->params.pace, call->round);
        if (http_status == 429 && pw_pace_throttled(sweep->params.pace, call->round))
            follow_pace(sweep);
        note_error(sweep, result);
        if ((http_status == 401 || http_status == 403) && !sweep->summary.auth_failed) {
            sweep->summary.auth_failed = true;
            tell_skew(sweep, result->response);
        }
    }
    pw_paging_lost(&sweep->paging, call->offset);
}

static void page_done(void *context, const struct pw_http_result *result)
{
    struct page_call *call = context;
    struct pw_sweep *sweep = call->sweep;
    struct pw_sweep_summary *summary = &sweep->summary;
    bool had_failed = summary->auth_failed;

    summary->requests += result->attempts;
    summary->retries += result->attempts > 1 ? result->attempts - 1 : 0;
    summary->bytes += result->received_bytes;
    if (result->status == PW_OK) {
        summary->pages++;
        summary->saw_a_page = true;
        if (pw_paging_answer(&sweep->paging, call->offset, &call->answer) != PW_OK)
            sweep->out_of_memory = true;
    } else {
        page_failed(call, result);
    }
    unlink_call(call);
    if (summary->auth_failed && !had_failed)
        cancel_calls(sweep);
    pump(sweep);
}

static enum pw_status ask_page(struct pw_sweep *sweep, int64_t offset, struct pw_error *err)
{
    const struct pw_source_config *source = sweep->params.source;
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct pw_http_request request = {
        .headers = headers,
        .ca_file = source->ca_file,
        .proxy = source->proxy,
        .timeout_ms = source->timeout_ms,
        .connect_timeout_ms = source->connect_timeout_ms,
        .body_max_bytes = BODY_MAX_BYTES,
        .retries = (unsigned)source->retries,
        .throttle = sweep->params.throttle,
        .http2 = source->http2,
        .prepare = show_credential,
        .wait_hint_ms = slow_down,
        .judge = judge_page,
        .done = page_done,
    };
    struct page_call *call;
    enum pw_status status;

    if (pw_query_url(source, offset, &sweep->url) != PW_OK)
        return pw_fail(err, PW_ELIMIT, "the query is longer than %d bytes", URL_MAX_BYTES);
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return pw_fail_nomem(err);
    call->sweep = sweep;
    call->offset = offset;
    call->pass = sweep->paging.pass;
    request.url = sweep->url.data;
    request.context = call;
    status = pw_http_start(sweep->params.http, &request, &call->http_call, err);
    if (status != PW_OK) {
        free(call);
        return status;
    }
    call->next = sweep->calls;
    if (sweep->calls != NULL)
        sweep->calls->previous = call;
    sweep->calls = call;
    sweep->call_count++;
    return PW_OK;
}

static void handle_closed(uv_handle_t *handle)
{
    struct pw_sweep *sweep = handle->data;

    if (--sweep->open_handles > 0)
        return;
    sweep->params.done(sweep->params.context, &sweep->summary);
    pw_paging_free(&sweep->paging);
    pw_page_decoder_free(sweep->decoder);
    pw_error_body_free(sweep->error_body);
    free(sweep->again);
    pw_hashset_free(&sweep->nodes);
    pw_hashset_free(&sweep->touched);
    pw_buffer_free(&sweep->url);
    pw_buffer_free(&sweep->node_key);
    free(sweep);
}

static void end_sweep(struct pw_sweep *sweep)
{
    struct pw_sweep_summary *summary = &sweep->summary;
    char duration[32];

    sweep->is_ending = true;
    summary->is_complete = pw_paging_is_complete(&sweep->paging) && !must_stop(sweep);
    summary->proved_mode =
        summary->is_complete ? pw_paging_proved_mode(&sweep->paging) : PW_PAGING_AUTO;
    summary->reported_count = sweep->paging.count;
    summary->records = pw_paging_records(&sweep->paging);
    summary->nodes = (int64_t)sweep->nodes.count;
    if (summary->was_canceled)
        (void)snprintf(summary->reason, sizeof summary->reason, "stopped before its end");
    else if (sweep->timed_out)
        (void)snprintf(
            summary->reason, sizeof summary->reason,
            "not at its end after sweep_timeout (%s), %" PRId64 " pages read",
            pw_duration_text(duration, sizeof duration, sweep->params.source->sweep_timeout_ms),
            summary->pages);
    else if (sweep->out_of_memory)
        (void)snprintf(summary->reason, sizeof summary->reason, "out of memory");
    else if (summary->auth_failed)
        (void)snprintf(summary->reason, sizeof summary->reason,
                       "the credential was refused; it is not shown again until it changes, or "
                       "some time has passed");
    else if (sweep->no_credential)
        (void)snprintf(summary->reason, sizeof summary->reason, "there is no credential");
    else if (!summary->is_complete)
        pw_paging_reason(&sweep->paging, summary->reason, sizeof summary->reason);
    uv_close((uv_handle_t *)&sweep->deadline, handle_closed);
    uv_close((uv_handle_t *)&sweep->kick, handle_closed);
}

static bool next_offset(struct pw_sweep *sweep, int64_t *offset)
{
    if (sweep->again_count == 0)
        return pw_paging_next(&sweep->paging, offset);
    *offset = sweep->again[--sweep->again_count];
    return true;
}

static void pump(struct pw_sweep *sweep)
{
    struct pw_error error;
    int64_t offset;

    if (sweep->is_ending)
        return;
    while (!sweep->is_held && !sweep->is_preparing && !must_stop(sweep) &&
           sweep->call_count < (size_t)sweep->params.pace->allowed && next_offset(sweep, &offset)) {
        if (ask_page(sweep, offset, &error) == PW_OK)
            continue;
        pw_log_err("%s: page at offset %" PRId64 ": %s", sweep->params.source->name, offset,
                   error.message);
        (void)snprintf(sweep->summary.error_msg, sizeof sweep->summary.error_msg, "%s",
                       error.message);
        pw_paging_lost(&sweep->paging, offset);
    }
    if (sweep->call_count > 0 || sweep->is_preparing)
        return;
    if (must_stop(sweep)) {
        while (sweep->again_count > 0)
            pw_paging_lost(&sweep->paging, sweep->again[--sweep->again_count]);
        end_sweep(sweep);
    } else if (pw_paging_is_over(&sweep->paging)) {
        end_sweep(sweep);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct pw_sweep *sweep = timer->data;

    sweep->timed_out = true;
    cancel_calls(sweep);
    pump(sweep);
}

static void on_kick(uv_idle_t *idle)
{
    struct pw_sweep *sweep = idle->data;

    (void)uv_idle_stop(idle);
    if (sweep->credential == 0 && !sweep->is_preparing && !must_stop(sweep))
        prepare_credential(sweep);
    pump(sweep);
}

enum pw_status pw_sweep_start(const struct pw_sweep_params *params, struct pw_sweep **out,
                              struct pw_error *err)
{
    struct pw_sweep *sweep = calloc(1, sizeof *sweep);

    *out = NULL;
    if (sweep == NULL)
        return pw_fail_nomem(err);
    sweep->decoder = pw_page_decoder_new();
    sweep->error_body = pw_error_body_new();
    if (sweep->decoder == NULL || sweep->error_body == NULL) {
        pw_page_decoder_free(sweep->decoder);
        pw_error_body_free(sweep->error_body);
        free(sweep);
        return pw_fail_nomem(err);
    }
    sweep->params = *params;
    pw_paging_init(&sweep->paging, params->source->page_size,
                   params->source->offset == PW_OFFSET_SETTING_PAGE     ? PW_PAGING_PAGE
                   : params->source->offset == PW_OFFSET_SETTING_RECORD ? PW_PAGING_RECORD
                                                                        : PW_PAGING_AUTO,
                   params->remembered);
    pw_buffer_init(&sweep->url, URL_MAX_BYTES);
    pw_buffer_init(&sweep->node_key, (size_t)2 * PW_KEY_MAX_BYTES);
    pw_hashset_init(&sweep->nodes);
    pw_hashset_init(&sweep->touched);
    pw_index_begin(params->index);
    /* uv_timer_init and uv_idle_init cannot fail. */
    (void)uv_timer_init(params->loop, &sweep->deadline);
    (void)uv_idle_init(params->loop, &sweep->kick);
    sweep->open_handles = 2;
    sweep->deadline.data = sweep;
    sweep->kick.data = sweep;
    (void)uv_timer_start(&sweep->deadline, on_deadline, (uint64_t)params->source->sweep_timeout_ms,
                         0);
    (void)uv_idle_start(&sweep->kick, on_kick);
    *out = sweep;
    return PW_OK;
}

void pw_sweep_hold(struct pw_sweep *sweep, bool hold)
{
    sweep->is_held = hold;
    if (!hold && !sweep->is_ending)
        (void)uv_idle_start(&sweep->kick, on_kick);
}

void pw_sweep_cancel(struct pw_sweep *sweep)
{
    if (sweep->is_ending)
        return;
    sweep->summary.was_canceled = true;
    sweep->is_preparing = false; /* nobody will call us any more */
    cancel_calls(sweep);
    pump(sweep);
}
