/*
 * GET /v1/patch/instance/compliant: the page, the fault it meets, and what a fault does to the
 * fleet behind the client's back.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

static const char login_page[] =
    "<!DOCTYPE html>\n<html><head><title>Login</title></head><body>"
    "<form method=\"post\"><input name=\"user\"><input type=\"password\"></form></body></html>\n";

static void set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = sim_strdup(text);
}

static void answer_status(const struct fault *fault, struct answer *answer)
{
    unsigned status = (unsigned)fault->number[NUMBER_STATUS];
    const char *code = NULL;
    const char *message = NULL;
    api_error_for(status, &code, &message);
    answer_api_error(answer, status, code, message);
    if (fault->has_body) {
        answer->body.len = 0;
        buf_add(&answer->body, fault->body.data, fault->body.len);
    }
    set_text(&answer->content_type, fault->text[TEXT_CONTENT_TYPE]);
    set_text(&answer->retry_after, fault->text[TEXT_RETRY_AFTER]);
}

static void answer_throttle(const struct fault *fault, struct answer *answer)
{
    const char *window = fault->text[TEXT_WINDOW];
    struct buf message = {0};
    buf_printf(&message,
               "The throttling threshold has been reached: policy user over ratelimit,"
               "limit:%lld,time:1 %s",
               (long long)fault->number[NUMBER_RATE], window != NULL ? window : "minute");
    buf_add(&message, "", 1);
    answer_api_error(answer, 429, "APIGW.0308", message.data);
    buf_free(&message);
    set_text(&answer->retry_after, fault->text[TEXT_RETRY_AFTER]);
}

static void answer_html(const struct fault *fault, struct answer *answer)
{
    const char *location = fault->text[TEXT_LOCATION];
    answer->body.len = 0;
    buf_str(&answer->body, login_page);
    set_text(&answer->content_type, "text/html; charset=utf-8");
    if (fault->kind == FAULT_HTML_302) {
        answer->status = 302;
        set_text(&answer->location, location != NULL ? location : "/sim/login");
    }
}

static void answer_wire(const struct fault *fault, struct answer *answer)
{
    int64_t len = (int64_t)answer->body.len;
    switch (fault->kind) {
    case FAULT_RESET:
        answer->wire = WIRE_RESET;
        break;
    case FAULT_RESET_MID:
        answer->wire = WIRE_RESET_MID;
        break;
    case FAULT_TIMEOUT:
        answer->wire = WIRE_SILENT;
        break;
    case FAULT_DRIP:
        answer->wire = WIRE_DRIP;
        answer->wire_arg = fault->number[NUMBER_BYTES_PER_SECOND];
        break;
    case FAULT_TRUNCATE:
        answer->wire = WIRE_TRUNCATE;
        break;
    case FAULT_LENGTH_LONG:
    case FAULT_LENGTH_SHORT:
        answer->wire = WIRE_LENGTH;
        answer->wire_arg =
            fault->kind == FAULT_LENGTH_LONG ? len + fault->number[NUMBER_BY] : len / 2;
        answer->close = true;
        break;
    default:
        break;
    }
}

/* The items at positions from `position` (from 1) on in the query's unfiltered order; the caller
 * frees them. */
static uint32_t *items_at(struct fleet *fleet, const struct query *query, const struct fault *fault,
                          size_t *count)
{
    const struct order *order = order_get(fleet);
    size_t first = (size_t)fault->number[NUMBER_POSITION] - 1;
    size_t left = first < order->count ? order->count - first : 0;
    *count =
        (size_t)fault->number[NUMBER_MOVES] < left ? (size_t)fault->number[NUMBER_MOVES] : left;
    uint32_t *items = sim_calloc(*count, sizeof *items);
    for (size_t i = 0; i < *count; i++) {
        items[i] = order_at(order, query->by_time, query->descending, first + i);
    }
    return items;
}

/* A time that sorts right before the row at the fault's position. */
static int64_t time_before(struct fleet *fleet, const struct query *query,
                           const struct fault *fault)
{
    size_t count = 0;
    uint32_t *items = items_at(fleet, query, fault, &count);
    int64_t time_ms = TIME_NEXT;
    if (query->by_time && count > 0) {
        time_ms = fleet_time(fleet, items[0]);
        if (query->descending && time_ms < INT64_MAX) {
            time_ms++;
        } else if (!query->descending && time_ms > 0) {
            time_ms--;
        }
    }
    free(items);
    return time_ms;
}

static void move_items(struct fleet *fleet, const struct query *query, const struct fault *fault)
{
    size_t count = 0;
    uint32_t *items = items_at(fleet, query, fault, &count);
    struct report_change change = {TIME_NEXT, fault->kind == FAULT_MOVE_NEW_ID};
    for (size_t i = 0; i < count; i++) {
        bool is_record = (items[i] & RECORD_BIT) != 0;
        if (fault->kind == FAULT_DELETE && is_record) {
            record_drop(fleet, items[i] & ~RECORD_BIT);
        } else if (fault->kind == FAULT_DELETE) {
            fleet_set_removed(fleet, items[i], true);
        } else if (!is_record) {
            report_touch(fleet, items[i], change);
        }
    }
    free(items);
}

/* What happens right after the answer. */
static void change_fleet(struct fleet *fleet, const struct query *query, const struct fault *fault)
{
    if (fault->kind == FAULT_INSERT) {
        int64_t time_ms = time_before(fleet, query, fault);
        for (int64_t i = 0; i < fault->number[NUMBER_MOVES] && fleet->node_count < NODES_MAX; i++) {
            (void)fleet_add(fleet, STATUSES, time_ms);
        }
    } else if (fault->kind == FAULT_MOVE || fault->kind == FAULT_MOVE_NEW_ID ||
               fault->kind == FAULT_DELETE) {
        move_items(fleet, query, fault);
    }
}

static void apply_fault(const struct fault *fault, struct answer *answer)
{
    answer->fault = fault_kind_name(fault->kind);
    answer->delay_ms = fault->number[NUMBER_DELAY_MS];
    switch (fault->kind) {
    case FAULT_STATUS:
        answer_status(fault, answer);
        break;
    case FAULT_THROTTLE:
        answer_throttle(fault, answer);
        break;
    case FAULT_HTML:
    case FAULT_HTML_302:
        answer_html(fault, answer);
        break;
    case FAULT_ERROR_200: {
        const char *code = fault->text[TEXT_CODE];
        const char *msg = fault->text[TEXT_MSG];
        answer_api_error(answer, 200, code != NULL ? code : "COC.00010001",
                         msg != NULL ? msg : "Internal error");
        break;
    }
    default:
        answer_wire(fault, answer);
        break;
    }
}

void api_list(struct server *server, struct request *request)
{
    struct answer *answer = &request->answer;
    struct query query;
    const char *message = NULL;
    if (!query_parse(request, &query, &message)) {
        answer_api_error(answer, 500, "COC.00010002", message);
        return;
    }
    const struct fault *fault =
        faults_pick(&server->faults, &query, request_query(request), server->fleet.page_mode);
    struct query shown = query;
    if (fault != NULL && fault->kind == FAULT_SWAP_PAGE) {
        shown.offset = fault->number[NUMBER_WITH];
    }
    struct page page = {0};
    page_render(&page, &server->fleet, &server->matches, &shown);
    if (fault != NULL) {
        spoil_page(fault, &page);
    }
    answer->status = 200;
    answer->body = page.body;
    if (fault != NULL) {
        apply_fault(fault, answer);
        change_fleet(&server->fleet, &query, fault);
    }
}
