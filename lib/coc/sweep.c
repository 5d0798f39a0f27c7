/* The sweep: pages in flight, records against the index, one summary at the end. */
#include "coc/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coc/query.h"
#include "coc/sweeping.h"

enum {
    BODY_MAX_BYTES = 8 * 1024 * 1024,
    /* Where a key is revoked in mid-sweep, what is under way fails: fewer than lock it. */
    SIGNED_AT_ONCE_MAX = 4,
};

_Static_assert((int)PW_HTTP_BODY_PADDING >= (int)PW_PAGE_PADDING,
               "pages are decoded straight from the receive buffer");

bool pw_sweeping_must_stop(const struct pw_sweep *sweep)
{
    return sweep->out_of_memory || sweep->timed_out || sweep->summary.was_canceled ||
           sweep->summary.auth_failed || sweep->no_credential;
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
    pw_sweeping_forget_decoding(call);
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
        if (!sweep->is_preparing &&
            call->generation == pw_credentials_generation(sweep->params.credentials))
            sweep->was_accepted = true;
        pw_credentials_accepted(sweep->params.credentials, call->generation);
        if (pw_paging_answer(&sweep->paging, call->offset, &call->answer) != PW_OK)
            sweep->out_of_memory = true;
    } else {
        pw_sweeping_failed(call, result);
    }
    unlink_call(call);
    if (summary->auth_failed && !had_failed)
        cancel_calls(sweep);
    pw_sweeping_go_on(sweep);
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
        .prepare = pw_sweeping_prepare,
        .wait_hint_ms = pw_sweeping_slow_down,
        .judge = pw_sweeping_judge,
        .done = page_done,
    };
    struct page_call *call;
    enum pw_status status;

    if (pw_query_url(source, offset, &sweep->url) != PW_OK)
        return pw_fail(err, PW_ELIMIT, "the query is longer than %d bytes", PW_SWEEP_URL_MAX_BYTES);
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
    summary->is_complete = pw_paging_is_complete(&sweep->paging) && !pw_sweeping_must_stop(sweep);
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

/* How many pages may be under way. A credential is shown alone until it has been accepted, so that
 * one that is wrong fails once. */
static size_t allowed_at_once(const struct pw_sweep *sweep)
{
    const struct pw_sweep_params *params = &sweep->params;
    int64_t allowed = params->pace->allowed;

    if (params->source->auth != PW_AUTH_NONE && !sweep->was_accepted)
        return 1;
    if ((params->source->auth == PW_AUTH_AKSK || params->source->auth == PW_AUTH_METADATA) &&
        allowed > SIGNED_AT_ONCE_MAX)
        allowed = SIGNED_AT_ONCE_MAX;
    if (allowed > params->connection_share)
        allowed = params->connection_share;
    return allowed > 1 ? (size_t)allowed : 1;
}

static bool next_offset(struct pw_sweep *sweep, int64_t *offset)
{
    if (sweep->again_count == 0)
        return pw_paging_next(&sweep->paging, offset);
    *offset = sweep->again[--sweep->again_count];
    return true;
}

void pw_sweeping_go_on(struct pw_sweep *sweep)
{
    struct pw_error error;
    int64_t offset;

    if (sweep->is_ending)
        return;
    while (!sweep->is_held && !sweep->is_preparing && !pw_sweeping_must_stop(sweep) &&
           sweep->call_count < allowed_at_once(sweep) && next_offset(sweep, &offset)) {
        if (ask_page(sweep, offset, &error) == PW_OK)
            continue;
        pw_log_err("%s: page at offset %" PRId64 ": %s", sweep->params.source->name, offset,
                   error.message);
        pw_sweeping_tell(sweep, PW_STR_NULL, pw_str_of(error.message), NULL);
        pw_paging_lost(&sweep->paging, offset);
    }
    if (sweep->call_count > 0 || sweep->is_preparing)
        return;
    if (pw_sweeping_must_stop(sweep)) {
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
    if (sweep->is_preparing) {
        pw_credentials_cancel(sweep->params.credentials);
        sweep->is_preparing = false;
        pw_sweeping_tell(sweep, PW_STR_NULL, pw_str_of("the credential did not come in time"),
                         NULL);
    }
    cancel_calls(sweep);
    pw_sweeping_go_on(sweep);
}

static void on_kick(uv_idle_t *idle)
{
    struct pw_sweep *sweep = idle->data;

    (void)uv_idle_stop(idle);
    if (!sweep->was_prepared && !pw_sweeping_must_stop(sweep))
        pw_sweeping_get_credential(sweep);
    pw_sweeping_go_on(sweep);
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
    pw_buffer_init(&sweep->url, PW_SWEEP_URL_MAX_BYTES);
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
    pw_sweeping_go_on(sweep);
}
