/* From the body of an answer to the index: decoding, and each record held against what is known. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "coc/sweeping.h"

enum {
    ORDER_MIN_RECORDS = 8, /* fewer say nothing of how the server sorts */
    /* A page of 100 records has 91 KB: decoding it takes less than waking another thread up. */
    DECODED_HERE_MAX_BYTES = 256 * 1024
};

_Static_assert(2 * (PW_OFFSET_MAX + 1) <= PW_INDEX_MAX_PAGE,
               "the index has room for the page numbers of both passes");

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

static enum pw_status begin_page(struct page_call *call, const struct pw_page *page)
{
    struct pw_sweep *sweep = call->sweep;
    struct pw_paging_answer *answer = &call->answer;

    call->identities = malloc((page->count + 1) * sizeof *call->identities);
    if (call->identities == NULL)
        return PW_ENOMEM;
    *answer = (struct pw_paging_answer){.count = page->reported_count,
                                        .rows = page->rows,
                                        .bad_records = page->bad_records,
                                        .identities = call->identities};
    note_order(page, sweep->params.source->sort_by_report_time, answer);
    return PW_OK;
}

static enum pw_status take_records(struct page_call *call, const struct pw_page *page, size_t from,
                                   size_t to)
{
    struct pw_sweep *sweep = call->sweep;
    struct pw_paging_answer *answer = &call->answer;
    struct pw_error error;
    enum pw_status status;

    for (size_t i = from; i < to; i++) {
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

/* A 200 that holds an error. The same credential is shown again as little as after a 401. */
static enum pw_http_verdict judge_error(struct page_call *call, const struct pw_api_error *error)
{
    call->refusal = pw_api_cause_of(200, error->code);
    switch (call->refusal) {
    case PW_API_AUTH:
    case PW_API_FORBIDDEN:
    case PW_API_NOT_FOUND:
    case PW_API_BAD_REQUEST:
        return PW_HTTP_REFUSE;
    default:
        return PW_HTTP_RETRY;
    }
}

bool pw_sweeping_accepts(struct page_call *call, const struct pw_decoded *decoded, bool last,
                         enum pw_http_verdict *verdict, struct pw_error *err)
{
    struct pw_sweep *sweep = call->sweep;

    *verdict = PW_HTTP_RETRY;
    if (decoded->status != PW_OK) {
        *err = decoded->error;
        pw_credentials_redact(sweep->params.credentials, err->message);
        if (decoded->status == PW_EREMOTE)
            *verdict = judge_error(call, &decoded->api_error);
        return false;
    }
    if (pw_pace_good(sweep->params.pace))
        pw_sweeping_follow_pace(sweep);
    if (decoded->page.complaint.status != PW_OK) {
        /* A page that is right in parts is asked again; in the end what is right of it is true. */
        *err = decoded->page.complaint;
        pw_credentials_redact(sweep->params.credentials, err->message);
        if (!last)
            return false;
        pw_log_debug("%s: page at offset %" PRId64 ": %s", sweep->params.source->name, call->offset,
                     err->message);
        pw_sweeping_tell(sweep, PW_STR_NULL, pw_str_of(err->message), NULL);
    }
    return true;
}

enum pw_http_verdict pw_sweeping_take(struct page_call *call, const struct pw_page *page,
                                      size_t from, size_t to, struct pw_error *err)
{
    enum pw_status status = from == 0 ? begin_page(call, page) : PW_OK;

    if (status == PW_OK)
        status = take_records(call, page, from, to);
    if (status != PW_OK) {
        call->sweep->out_of_memory = true;
        (void)pw_fail_nomem(err);
        return PW_HTTP_REFUSE;
    }
    if (to < page->count)
        return PW_HTTP_LATER;
    pw_failpoint("fetch");
    return PW_HTTP_ACCEPT;
}

enum pw_http_verdict pw_sweeping_judge(void *context, const struct pw_http_response *response,
                                       bool last, struct pw_error *err)
{
    struct page_call *call = context;
    struct pw_decoded decoded = {.error = {.status = PW_OK}};
    enum pw_http_verdict verdict;

    if (response->body.len > DECODED_HERE_MAX_BYTES)
        return pw_sweeping_decode_later(call, response, last, err);
    decoded.status = pw_page_decode(call->sweep->decoder, response->body.data, response->body.len,
                                    &decoded.page, &decoded.api_error, &decoded.error);
    if (!pw_sweeping_accepts(call, &decoded, last, &verdict, err))
        return verdict;
    return pw_sweeping_take(call, &decoded.page, 0, decoded.page.count, err);
}
