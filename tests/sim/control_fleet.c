/*
 * Control of the fleet: replacing it, flips, touches, overrides, nodes that come and go.
 */
#include "control.h"

#include <stdlib.h>
#include <string.h>

enum { MASS_CHANGE = 64 }; /* from here on rebuilding the order is cheaper than mending it */

static void set_mode(struct control *control, struct fleet *fleet)
{
    const char *mode = control_text(control, "offset_mode");
    if (mode != NULL && strcmp(mode, "page") != 0 && strcmp(mode, "record") != 0) {
        control_fail(control, 400, "offset_mode must be page or record");
    } else if (mode != NULL && !control->failed) {
        fleet->page_mode = strcmp(mode, "page") == 0;
    }
}

void control_fleet(struct server *server, struct request *request)
{
    static const char *const known[] = {"nodes",     "seed",        "non_compliant",
                                        "base_time", "offset_mode", NULL};
    struct control control = {server, request, false};
    struct fleet *fleet = &server->fleet;
    bool anew = false;
    for (size_t i = 0; i < 4; i++) {
        anew |= control_text(&control, known[i]) != NULL;
    }
    control_only(&control, known);
    int64_t nodes = control_int(&control, "nodes", 0, NODES_MAX, (int64_t)fleet->node_count);
    int64_t seed = control_int(&control, "seed", 0, INT64_MAX, (int64_t)fleet->seed);
    int64_t base = control_int(&control, "base_time", 0, INT64_MAX / 2, fleet->base_time_ms);
    double percent =
        control_number(&control, "non_compliant", 0.0, 100.0, fleet->non_compliant_percent);
    set_mode(&control, fleet);
    if (control.failed) {
        return;
    }
    if (anew) {
        fleet->seed = (uint64_t)seed;
        fleet->base_time_ms = base;
        fleet->non_compliant_percent = percent;
        fleet->picks = 0;
        fleet_make(fleet, (size_t)nodes);
    }
    control_state(server, request);
}

static enum status opposite(enum status status)
{
    return status == STATUS_NON_COMPLIANT ? STATUS_COMPLIANT : STATUS_NON_COMPLIANT;
}

/* The nodes that index= or count= names, first those whose status is not `other_than`; the caller
 * frees them. */
static uint32_t *chosen_nodes(struct control *control, enum status other_than, bool at_random,
                              size_t *count)
{
    struct fleet *fleet = &control->server->fleet;
    *count = 0;
    if (control_text(control, "index") != NULL) {
        uint32_t *one = sim_calloc(1, sizeof *one);
        *one = control_index(control);
        *count = control->failed ? 0 : 1;
        return one;
    }
    int64_t wanted = control_int(control, "count", 0, NODES_MAX, -1);
    if (wanted < 0) {
        control_fail(control, 400, "index or count is missing");
    }
    if (control->failed) {
        return NULL;
    }
    uint32_t *indexes = sim_calloc(fleet->node_count, sizeof *indexes);
    if (other_than < STATUSES || at_random) {
        *count = report_pick(fleet, (size_t)wanted, other_than, indexes);
        return indexes;
    }
    for (uint32_t i = 0; i < fleet->node_count && *count < (size_t)wanted; i++) {
        if (!fleet->nodes[i].removed) {
            indexes[(*count)++] = i;
        }
    }
    return indexes;
}

/* Marks the order stale where mending it for each of so many would cost more. */
static void expect_changes(struct fleet *fleet, size_t count)
{
    fleet->order.stale |= count > MASS_CHANGE;
}

void control_flip(struct server *server, struct request *request)
{
    static const char *const known[] = {"index",  "count", "to", "report_time",
                                        "new_id", "list",  NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    enum status to = control_status(&control, "to");
    struct report_change change = control_change(&control);
    struct affected affected = affected_start(&control);
    size_t count = 0;
    uint32_t *indexes = control.failed ? NULL : chosen_nodes(&control, to, true, &count);
    expect_changes(&server->fleet, count);
    for (size_t i = 0; i < count; i++) {
        enum status now = report_status(&server->fleet, indexes[i]);
        affected_before(&affected, indexes[i]);
        report_flip(&server->fleet, indexes[i], to < STATUSES ? to : opposite(now), change);
        affected_after(&affected, indexes[i]);
    }
    free(indexes);
    affected_finish(&affected);
}

void control_touch(struct server *server, struct request *request)
{
    static const char *const known[] = {"index", "count", "report_time", "new_id", "list", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    struct report_change change = control_change(&control);
    struct affected affected = affected_start(&control);
    size_t count = 0;
    uint32_t *indexes = control.failed ? NULL : chosen_nodes(&control, STATUSES, false, &count);
    expect_changes(&server->fleet, count);
    for (size_t i = 0; i < count; i++) {
        affected_before(&affected, indexes[i]);
        report_touch(&server->fleet, indexes[i], change);
        affected_after(&affected, indexes[i]);
    }
    free(indexes);
    affected_finish(&affected);
}

void control_add(struct server *server, struct request *request)
{
    static const char *const known[] = {"count", "status", "list", NULL};
    struct control control = {server, request, false};
    struct fleet *fleet = &server->fleet;
    control_only(&control, known);
    int64_t count = control_int(&control, "count", 0, NODES_MAX, 1);
    enum status status = control_status(&control, "status");
    struct affected affected = affected_start(&control);
    if (!control.failed && fleet->node_count + (size_t)count > NODES_MAX) {
        control_fail(&control, 400, "a fleet has at most %d nodes", NODES_MAX);
    }
    if (!control.failed) {
        expect_changes(fleet, (size_t)count);
        for (int64_t i = 0; i < count; i++) {
            affected_before(&affected, (uint32_t)fleet->node_count);
            affected_after(&affected, fleet_add(fleet, status, TIME_NEXT));
        }
    }
    affected_finish(&affected);
}

void control_remove(struct server *server, struct request *request)
{
    static const char *const known[] = {"index", "count", "list", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    struct affected affected = affected_start(&control);
    size_t count = 0;
    uint32_t *indexes = control.failed ? NULL : chosen_nodes(&control, STATUSES, false, &count);
    expect_changes(&server->fleet, count);
    for (size_t i = 0; i < count; i++) {
        affected_before(&affected, indexes[i]);
        fleet_set_removed(&server->fleet, indexes[i], true);
        affected_after(&affected, indexes[i]);
    }
    free(indexes);
    affected_finish(&affected);
}

void control_restore(struct server *server, struct request *request)
{
    static const char *const known[] = {"index", "list", NULL};
    struct control control = {server, request, false};
    struct fleet *fleet = &server->fleet;
    control_only(&control, known);
    int64_t index = control_int(&control, "index", 0, NODES_MAX, -1);
    struct affected affected = affected_start(&control);
    if (index < 0) {
        control_fail(&control, 400, "index is missing");
    } else if ((size_t)index >= fleet->node_count || fleet_has_node(fleet, (uint32_t)index)) {
        control_fail(&control, 404, "no removed node %lld", (long long)index);
    }
    if (!control.failed) {
        affected_before(&affected, (uint32_t)index);
        fleet_set_removed(fleet, (uint32_t)index, false);
        affected_after(&affected, (uint32_t)index);
    }
    affected_finish(&affected);
}

static void set_severities(struct control *control, struct values *values, int64_t total)
{
    static const char *const severities[SEVERITIES] = {"critical", "high",   "informational",
                                                       "low",      "medium", "unspecified"};
    int64_t sum = 0;
    for (unsigned i = 0; i < SEVERITIES; i++) {
        int64_t count = control_int(control, severities[i], 0, INT32_MAX, 0);
        values->count[COUNT_NON_COMPLIANT + 1 + i] = count;
        sum += count;
    }
    values->count[COUNT_NON_COMPLIANT] = total >= 0 ? total : sum;
    values->counted |= ((1U << GROUP_SIZE) - 1) << COUNT_NON_COMPLIANT;
}

void control_counts(struct server *server, struct request *request)
{
    static const char *const known[] = {
        "index", "critical",    "high",      "informational", "low",  "medium", "unspecified",
        "total", "report_time", "keep_time", "new_id",        "list", NULL};
    struct control control = {server, request, false};
    struct values given = {0};
    control_only(&control, known);
    uint32_t index = control_index(&control);
    int64_t total = control_int(&control, "total", 0, INT32_MAX, -1);
    bool keep_time = control_flag(&control, "keep_time");
    struct report_change change = control_change(&control);
    struct affected affected = affected_start(&control);
    set_severities(&control, &given, total);
    if (!control.failed) {
        affected_before(&affected, index);
        struct values *values = fleet_override(&server->fleet, index);
        values->counted |= given.counted;
        memcpy(values->count, given.count, sizeof given.count);
        fleet_changed(&server->fleet);
        if (!keep_time) {
            report_touch(&server->fleet, index, change);
        }
        affected_after(&affected, index);
    }
    affected_finish(&affected);
}

void control_unset(struct server *server, struct request *request)
{
    static const char *const known[] = {"index", "list", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    uint32_t index = control_index(&control);
    struct affected affected = affected_start(&control);
    if (!control.failed) {
        affected_before(&affected, index);
        fleet_unset(&server->fleet, index);
        affected_after(&affected, index);
    }
    affected_finish(&affected);
}

void control_clear(struct server *server, struct request *request)
{
    static const char *const known[] = {NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    if (!control.failed) {
        fleet_clear(&server->fleet);
        server_reset(server);
        control_state(server, request);
    }
}
