/*
 * New reports of nodes: flips, touches, and the logical clock that gives them their times (see
 * fleet.h).
 */
#include "fleet.h"

#include <stdlib.h>

enum { CLOCK_STEP_MS = 1000 };

void report_set_time(struct fleet *fleet, uint32_t index, int64_t report_time_ms)
{
    struct node *node = &fleet->nodes[index];
    if (report_time_ms == TIME_NEXT) {
        report_time_ms = fleet->clock_ms > INT64_MAX - CLOCK_STEP_MS
                             ? INT64_MAX
                             : fleet->clock_ms + CLOCK_STEP_MS;
    }
    if (!node->removed) {
        order_remove(fleet, index);
    }
    node->report_time_ms = report_time_ms;
    if (fleet->clock_ms < report_time_ms) {
        fleet->clock_ms = report_time_ms;
    }
    if (!node->removed) {
        order_insert(fleet, index);
    }
    fleet_changed(fleet);
}

/* Drops overrides that the new report would contradict. */
static void forget(struct fleet *fleet, uint32_t index, bool status_too)
{
    if (fleet->nodes[index].overridden) {
        struct values *values = fleet_override(fleet, index);
        values_unset(values, FIELD_ORDER_ID);
        values_unset(values, FIELD_JOB_ID);
        if (status_too) {
            values_unset(values, FIELD_STATUS);
            values->counted = 0;
        }
    }
}

void report_touch(struct fleet *fleet, uint32_t index, struct report_change change)
{
    struct node *node = &fleet->nodes[index];
    node->report_rev++;
    forget(fleet, index, false);
    if (change.new_id) {
        node->id_rev++;
        if (node->overridden) {
            values_unset(fleet_override(fleet, index), FIELD_ID);
        }
    }
    report_set_time(fleet, index, change.report_time_ms);
}

void report_flip(struct fleet *fleet, uint32_t index, enum status to, struct report_change change)
{
    struct node *node = &fleet->nodes[index];
    node->status = (uint8_t)to;
    node->counts_rev++;
    forget(fleet, index, true);
    report_touch(fleet, index, change);
}

enum status report_status(const struct fleet *fleet, uint32_t index)
{
    const struct node *node = &fleet->nodes[index];
    if (!node->overridden) {
        return (enum status)node->status;
    }
    struct row row;
    (void)fleet_row(fleet, index, &row);
    unsigned i = 0;
    while (i < STATUSES && !row_status_is(&row, status_name((enum status)i))) {
        i++;
    }
    return (enum status)i;
}

/* Partial Fisher-Yates shuffle of all candidates. */
static size_t pick_random(struct fleet *fleet, size_t count, uint32_t *indexes)
{
    uint32_t *candidates = sim_calloc(fleet->node_count, sizeof *candidates);
    size_t found = 0;
    for (uint32_t i = 0; i < fleet->node_count; i++) {
        if (!fleet->nodes[i].removed && report_status(fleet, i) < STATUS_UNKNOWN) {
            candidates[found++] = i;
        }
    }
    size_t picked = 0;
    while (picked < count && picked < found) {
        uint64_t hash = derive_hash(fleet->seed, 0x7069636bU, fleet->picks++);
        size_t other = picked + (size_t)(hash % (found - picked));
        indexes[picked] = candidates[other];
        candidates[other] = candidates[picked];
        picked++;
    }
    free(candidates);
    return picked;
}

size_t report_pick(struct fleet *fleet, size_t count, enum status to, uint32_t *indexes)
{
    if (to == STATUSES) {
        return pick_random(fleet, count, indexes);
    }
    size_t picked = 0;
    for (uint32_t i = 0; i < fleet->node_count && picked < count; i++) {
        if (!fleet->nodes[i].removed && report_status(fleet, i) != to) {
            indexes[picked++] = i;
        }
    }
    return picked;
}
