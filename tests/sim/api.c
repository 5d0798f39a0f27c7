/*
 * GET /v1/patch/instance/compliant: who asks, the page, the fault it meets, and what a fault does
 * to the fleet behind the client's back.
 */
#include "server.h"

#include <stdlib.h>

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

void api_list(struct server *server, struct request *request)
{
    struct answer *answer = &request->answer;
    struct query query;
    const char *message = NULL;
    if (!auth_check(server, request)) {
        return;
    }
    if (!query_parse(request, &query, &message)) {
        answer_api_error(answer, 500, "COC.00010002", message);
        return;
    }
    const struct fault *fault =
        faults_pick(&server->faults, request, &query, server->fleet.page_mode);
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
        fault_answer(fault, request);
        change_fleet(&server->fleet, &query, fault);
    }
}
