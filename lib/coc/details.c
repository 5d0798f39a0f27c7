/* Reading the patches of a book's reports. Of each report the states of a patch that is not in
 * place are asked for one after the other, MISSING first, until as many patches were counted as the
 * report itself says that it lacks: one request, most of the time. */
#include "coc/details.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud/error_body.h"
#include "coc/items.h"
#include "coc/query.h"

enum {
    BODY_MAX_BYTES = 1024 * 1024,
    URL_MAX_BYTES = 4096,
    PAGES_MAX = 5,         /* of one status of one report */
    AT_ONCE_MAX = 4,       /* fewer failures than lock an access key */
    ATTEMPT_MAX_MS = 2500, /* half of the deadline: one that hangs does not use it up */
    AGAIN_MAX_MS = 1000,   /* a failure that took no longer is tried once more */
    FAILURES_MAX = 3,      /* reports in a row */
};

_Static_assert((int)PW_HTTP_BODY_PADDING >= (int)PW_ITEMS_PADDING &&
                   (int)PW_HTTP_BODY_PADDING >= 64,
               "items are decoded straight from the receive buffer");

/* Not the states of a patch that is in place. */
static const char *const statuses[] = {"MISSING", "FAILED", "PENDING_REBOOT", "REJECT"};
/* What messages of pw_http call the request; the event need not be told. */
#define LABEL "the patches"

enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

/* One report that is being read. */
struct reading {
    struct pw_details *details;
    struct pw_patch_list *list;
    struct pw_http_call *call; /* NULL: nothing is under way */
    size_t status;             /* of statuses, what is asked for */
    int64_t page;              /* from 0 */
    int64_t seen;              /* items of this status */
    uint64_t began_ms;
    bool was_repeated;
    bool auth_failed, was_throttled; /* what a 200 said that was an error */
    struct pw_pace_mark mark;
    struct pw_items items; /* of the answer at hand */
};

struct pw_details {
    struct pw_details_params params;
    struct pw_items_decoder *decoder;
    struct pw_error_body *error_body;
    struct pw_buffer url;
    struct reading readings[PW_PATCH_LISTS_MAX];
    size_t begun, under_way;
    size_t failures; /* in a row */
    bool was_accepted;
    bool is_canceling, is_ending;
    char stop[PW_PATCH_ERROR_SIZE]; /* why nothing more is asked; "" */
    uv_timer_t deadline;
};

static void go_on(struct pw_details *details);

/* Words ----------------------------------------------------------------------------------------*/

static void set_error(struct pw_patch_list *list, const char *text)
{
    (void)snprintf(list->error, sizeof list->error, "%s", text);
}

static void stop(struct pw_details *details, const char *why)
{
    if (details->stop[0] == '\0')
        (void)snprintf(details->stop, sizeof details->stop, "%s", why);
}

/* The end -------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct pw_details *details = handle->data;

    details->params.done(details->params.context);
    pw_items_decoder_free(details->decoder);
    pw_error_body_free(details->error_body);
    pw_buffer_free(&details->url);
    free(details);
}

static void end(struct pw_details *details)
{
    struct pw_patch_book *book = details->params.book;

    details->is_ending = true;
    for (size_t i = 0; i < book->count; i++) {
        if (!book->lists[i].was_read && book->lists[i].error[0] == '\0')
            set_error(&book->lists[i], details->stop);
    }
    uv_close((uv_handle_t *)&details->deadline, on_closed);
}

static void cancel_all(struct pw_details *details)
{
    details->is_canceling = true; /* nothing new meanwhile */
    for (size_t i = 0; i < details->begun; i++)
        pw_http_cancel(details->readings[i].call);
    details->is_canceling = false;
    go_on(details);
}

static void on_deadline(uv_timer_t *timer)
{
    struct pw_details *details = timer->data;
    char why[64];

    (void)snprintf(why, sizeof why, "not read within %d s", PW_DETAILS_DEADLINE_MS / 1000);
    stop(details, why);
    cancel_all(details);
}

void pw_details_cancel(struct pw_details *details)
{
    if (details->is_ending)
        return;
    stop(details, "patchwatch was being stopped");
    cancel_all(details);
}

/* One answer ----------------------------------------------------------------------------------- */

/* The URL of what is asked for into details->url. */
static enum pw_status make_url(const struct reading *reading)
{
    struct pw_details *details = reading->details;
    const struct pw_source_config *source = details->params.source;
    int64_t step = details->params.mode == PW_PAGING_RECORD ? source->page_size : 1;

    return pw_query_patches_url(source, reading->list->report_id, statuses[reading->status],
                                1 + reading->page * step, &details->url);
}

static enum pw_status prepare(void *context, const char *const **headers, struct pw_error *err)
{
    struct reading *reading = context;
    struct pw_details *details = reading->details;

    reading->mark = pw_pace_mark(details->params.pace);
    if (make_url(reading) != PW_OK)
        return pw_fail(err, PW_ELIMIT, "the query is longer than %d bytes", URL_MAX_BYTES);
    return pw_credentials_headers(details->params.credentials, "GET", details->url.data,
                                  PW_STR_NULL, headers, err);
}

static enum pw_http_verdict judge(void *context, const struct pw_http_response *response, bool last,
                                  struct pw_error *err)
{
    struct reading *reading = context;
    struct pw_details *details = reading->details;
    struct pw_api_error api = {0};
    enum pw_api_cause cause;

    (void)last;
    if (pw_items_decode(details->decoder, response->body.data, response->body.len, &reading->items,
                        err) == PW_OK) {
        for (size_t i = 0; i < reading->items.count; i++) {
            struct pw_str status = reading->items.patches[i].status;

            if (!pw_str_empty(status) && !pw_str_is(status, statuses[reading->status])) {
                (void)pw_fail(err, PW_EFORMAT, "patches of another status than was asked for");
                return PW_HTTP_REFUSE;
            }
        }
        return PW_HTTP_ACCEPT;
    }
    pw_error_body_decode(details->error_body, response->body.data, response->body.len, &api);
    if (!pw_str_empty(api.code)) {
        cause = pw_api_cause_of(response->status, api.code);
        reading->auth_failed = cause == PW_API_AUTH || cause == PW_API_FORBIDDEN;
        reading->was_throttled = cause == PW_API_THROTTLED;
        (void)pw_fail(err, PW_EREMOTE, "%.*s: %.*s", PW_STR_ARG(api.code), PW_STR_ARG(api.message));
    }
    return PW_HTTP_REFUSE;
}

static void take_items(struct reading *reading)
{
    struct pw_patch_list *list = reading->list;
    const struct pw_items *items = &reading->items;

    if (reading->page == 0)
        list->total += items->reported_count > (int64_t)items->count ? items->reported_count
                                                                     : (int64_t)items->count;
    list->was_read = true;
    for (size_t i = 0; i < items->count; i++) {
        struct pw_patch_view patch = items->patches[i];

        if (pw_str_empty(patch.status))
            patch.status = pw_str_of(statuses[reading->status]);
        if (pw_patch_list_take(list, &patch) != PW_OK)
            set_error(list, "out of memory");
    }
    reading->seen += (int64_t)items->count;
}

/* What to ask next of this report; false where that was all. */
static bool move_on(struct reading *reading)
{
    const struct pw_details *details = reading->details;
    struct pw_patch_list *list = reading->list;
    const struct pw_items *items = &reading->items;

    if (reading->seen < items->reported_count && details->params.mode != PW_PAGING_AUTO) {
        if (items->count > 0 && reading->page + 1 < PAGES_MAX) {
            reading->page++;
            return true;
        }
        if (items->count == 0)
            (void)snprintf(list->error, sizeof list->error,
                           "the API counts %" PRId64 " patches and showed %" PRId64,
                           items->reported_count, reading->seen);
    }
    if (list->expected > 0 && list->total >= list->expected)
        return false;
    reading->page = 0;
    reading->seen = 0;
    return ++reading->status < STATUS_COUNT;
}

/* Whether it may be tried once more: what failed at once, and may be better in a moment. */
static bool is_worth_repeating(const struct reading *reading, const struct pw_http_result *result)
{
    long status = result->response != NULL ? result->response->status : 0;
    bool is_answer = result->status == PW_EREMOTE || result->status == PW_EFORMAT;

    return !reading->was_repeated && !reading->auth_failed && !reading->was_throttled &&
           (result->status == PW_ENETWORK ||
            (is_answer && ((status >= 500 && status != 501) || (status >= 200 && status < 300)))) &&
           uv_now(reading->details->params.loop) - reading->began_ms < AGAIN_MAX_MS;
}

/* Why, in a few words, nothing of the credential among them. */
static void describe(struct reading *reading, const struct pw_http_result *result)
{
    struct pw_details *details = reading->details;
    const struct pw_http_response *response =
        result->status == PW_EREMOTE || result->status == PW_EFORMAT ? result->response : NULL;
    struct pw_api_error api = {0};
    char text[sizeof result->error.message];

    if (response == NULL || (response->status >= 200 && response->status < 300)) {
        (void)snprintf(text, sizeof text, "%s",
                       result->error.message +
                           (strncmp(result->error.message, LABEL ": ", sizeof LABEL + 1) == 0
                                ? sizeof LABEL + 1
                                : 0));
    } else {
        pw_error_body_decode(details->error_body, response->body.data, response->body.len, &api);
        if (pw_str_empty(api.code))
            (void)snprintf(text, sizeof text, "HTTP %ld", response->status);
        else
            (void)snprintf(text, sizeof text, "HTTP %ld: %.*s: %.*s", response->status,
                           PW_STR_ARG(api.code), PW_STR_ARG(api.message));
    }
    pw_credentials_redact(details->params.credentials, text);
    (void)pw_text_printable(reading->list->error, sizeof reading->list->error, pw_str_of(text));
}

/* What one report's failure means for the others. */
static void note_failure(struct reading *reading, const struct pw_http_result *result)
{
    struct pw_details *details = reading->details;
    long status =
        result->status == PW_EREMOTE && result->response != NULL ? result->response->status : 0;
    int64_t count, period_ms;

    describe(reading, result);
    if (status == 429 || reading->was_throttled) {
        if (pw_pace_throttled(details->params.pace, reading->mark)) {
            pw_pace_rate(details->params.pace, &count, &period_ms);
            pw_throttle_set(details->params.throttle, count, period_ms);
        }
        stop(details, reading->list->error);
    } else if (status == 401 || status == 403 || reading->auth_failed ||
               result->status == PW_EPERM) {
        /* Nothing is said of the credential to its guard: the pages judge it. */
        stop(details, reading->list->error);
    } else if (status != 404 && ++details->failures == FAILURES_MAX) {
        stop(details, reading->list->error);
    }
}

static void ask(struct reading *reading);

static void answered(void *context, const struct pw_http_result *result)
{
    struct reading *reading = context;
    struct pw_details *details = reading->details;
    bool goes_on = false;

    reading->call = NULL;
    details->under_way--;
    if (result->status == PW_OK) {
        details->was_accepted = true;
        details->failures = 0;
        reading->was_repeated = false;
        take_items(reading);
        goes_on = move_on(reading);
    } else if (result->status == PW_ECANCELED) {
        set_error(reading->list, details->stop[0] != '\0' ? details->stop : "canceled");
    } else if (is_worth_repeating(reading, result)) {
        reading->was_repeated = goes_on = true;
    } else {
        note_failure(reading, result);
    }
    if (goes_on && details->stop[0] != '\0')
        set_error(reading->list, details->stop);
    else if (goes_on)
        ask(reading);
    go_on(details);
}

/* Asking --------------------------------------------------------------------------------------- */

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

/* Asks for the page that is due. Where not even that can be done, the list says so. */
static void ask(struct reading *reading)
{
    struct pw_details *details = reading->details;
    const struct pw_source_config *source = details->params.source;
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct pw_http_request request = {
        .label = LABEL,
        .headers = headers,
        .ca_file = source->ca_file,
        .proxy = source->proxy,
        .timeout_ms = at_most(source->timeout_ms, ATTEMPT_MAX_MS),
        .connect_timeout_ms = at_most(source->connect_timeout_ms, ATTEMPT_MAX_MS),
        .body_max_bytes = BODY_MAX_BYTES,
        .throttle = details->params.throttle,
        .http2 = source->http2,
        .context = reading,
        .prepare = prepare,
        .judge = judge,
        .done = answered,
    };
    struct pw_error error;

    reading->auth_failed = reading->was_throttled = false;
    reading->began_ms = uv_now(details->params.loop);
    if (make_url(reading) != PW_OK) {
        set_error(reading->list, "the query is too long");
        return;
    }
    request.url = details->url.data;
    if (pw_http_start(details->params.http, &request, &reading->call, &error) == PW_OK)
        details->under_way++;
    else
        set_error(reading->list, error.message);
}

/* One at a time until the credential was good for this request too. */
static size_t allowed_at_once(const struct pw_details *details)
{
    int64_t allowed = at_most(details->params.pace->allowed, AT_ONCE_MAX);

    allowed = at_most(allowed, details->params.connection_share);
    if (details->params.source->auth != PW_AUTH_NONE && !details->was_accepted)
        return 1;
    return allowed > 1 ? (size_t)allowed : 1;
}

static void go_on(struct pw_details *details)
{
    struct pw_patch_book *book = details->params.book;

    if (details->is_canceling || details->is_ending)
        return;
    while (details->stop[0] == '\0' && details->begun < book->count &&
           details->under_way < allowed_at_once(details)) {
        struct reading *reading = &details->readings[details->begun];

        reading->details = details;
        reading->list = &book->lists[details->begun++];
        ask(reading);
    }
    if (details->under_way == 0)
        end(details);
}

enum pw_status pw_details_start(const struct pw_details_params *params, struct pw_details **out,
                                struct pw_error *err)
{
    struct pw_details *details = calloc(1, sizeof *details);

    *out = NULL;
    if (details == NULL)
        return pw_fail_nomem(err);
    details->params = *params;
    details->decoder = pw_items_decoder_new();
    details->error_body = pw_error_body_new();
    if (details->decoder == NULL || details->error_body == NULL) {
        pw_items_decoder_free(details->decoder);
        pw_error_body_free(details->error_body);
        free(details);
        return pw_fail_nomem(err);
    }
    pw_buffer_init(&details->url, URL_MAX_BYTES);
    (void)uv_timer_init(params->loop, &details->deadline); /* cannot fail */
    details->deadline.data = details;
    (void)uv_timer_start(&details->deadline, on_deadline, PW_DETAILS_DEADLINE_MS, 0);
    *out = details;
    go_on(details);
    return PW_OK;
}
