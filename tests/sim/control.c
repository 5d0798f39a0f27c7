/*
 * The routes of the control interface, and what their handlers share (see control.h).
 */
#include "control.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct route routes[] = {
    {"POST", "/sim/fleet", control_fleet, REALM_CONTROL},
    {"POST", "/sim/flip", control_flip, REALM_CONTROL},
    {"POST", "/sim/add", control_add, REALM_CONTROL},
    {"POST", "/sim/remove", control_remove, REALM_CONTROL},
    {"POST", "/sim/restore", control_restore, REALM_CONTROL},
    {"POST", "/sim/touch", control_touch, REALM_CONTROL},
    {"POST", "/sim/counts", control_counts, REALM_CONTROL},
    {"POST", "/sim/set", control_set, REALM_CONTROL},
    {"POST", "/sim/unset", control_unset, REALM_CONTROL},
    {"POST", "/sim/clear", control_clear, REALM_CONTROL},
    {"POST", "/sim/record", control_record, REALM_CONTROL},
    {"POST", "/sim/record/raw", control_record_raw, REALM_CONTROL},
    {"POST", "/sim/record/drop", control_record_drop, REALM_CONTROL},
    {"POST", "/sim/fault", control_fault, REALM_CONTROL},
    {"POST", "/sim/fault/clear", control_fault_clear, REALM_CONTROL},
    {"POST", "/sim/auth", control_auth, REALM_CONTROL},
    {"POST", "/sim/clock", control_clock, REALM_CONTROL},
    {"POST", "/sim/gzip", control_gzip, REALM_CONTROL},
    {"POST", "/sim/iam", control_iam, REALM_CONTROL},
    {"POST", "/sim/iam/user", control_iam_user, REALM_CONTROL},
    {"POST", "/sim/iam/revoke", control_iam_revoke, REALM_CONTROL},
    {"POST", "/sim/metadata", control_metadata, REALM_CONTROL},
    {"POST", "/sim/metadata/rotate", control_metadata_rotate, REALM_CONTROL},
    {"POST", "/sim/metadata/forget", control_metadata_forget, REALM_CONTROL},
    {"GET", "/sim/state", control_state, REALM_CONTROL},
    {"GET", "/sim/truth", control_truth, REALM_CONTROL},
    {"GET", "/sim/requests", control_requests, REALM_CONTROL},
    {"POST", "/sim/requests/clear", control_requests_clear, REALM_CONTROL},
    {"GET", "/sim/login", control_login, REALM_CONTROL},
};

const struct route *control_routes(size_t *count)
{
    *count = sizeof routes / sizeof *routes;
    return routes;
}

void control_fail(struct control *control, unsigned status, const char *format, ...)
{
    if (!control->failed) {
        char message[256];
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        control->failed = true;
        answer_error(&control->request->answer, status, message);
    }
}

struct only_context {
    struct control *control;
    const char *const *names;
};

static bool is_allowed(void *context, const char *name, const char *value)
{
    const struct only_context *only = context;
    (void)value;
    for (const char *const *known = only->names; *known != NULL; known++) {
        if (strcmp(*known, name) == 0) {
            return true;
        }
    }
    control_fail(only->control, 400, "unknown parameter %s", name);
    return false;
}

void control_only(struct control *control, const char *const *names)
{
    struct only_context context = {control, names};
    (void)request_each_param(control->request, &context, is_allowed);
}

const char *control_text(const struct control *control, const char *name)
{
    return request_param(control->request, name);
}

int64_t control_int(struct control *control, const char *name, int64_t min, int64_t max,
                    int64_t absent)
{
    const char *text = control_text(control, name);
    int64_t value = absent;
    if (text != NULL && !parse_int(text, min, max, &value)) {
        control_fail(control, 400, "%s must be an integer from %lld to %lld", name, (long long)min,
                     (long long)max);
    }
    return value;
}

double control_number(struct control *control, const char *name, double min, double max,
                      double absent)
{
    const char *text = control_text(control, name);
    double value = absent;
    if (text != NULL && !parse_number(text, min, max, &value)) {
        control_fail(control, 400, "%s must be a number from %g to %g", name, min, max);
    }
    return value;
}

bool control_flag(struct control *control, const char *name)
{
    return control_int(control, name, 0, 1, 0) == 1;
}

enum status control_status(struct control *control, const char *name)
{
    const char *text = control_text(control, name);
    enum status status = text != NULL ? status_find(text) : STATUSES;
    if (text != NULL && status == STATUSES) {
        control_fail(control, 400, "%s must be compliant, non_compliant or unknown", name);
    }
    return status;
}

uint32_t control_index(struct control *control)
{
    const struct fleet *fleet = &control->server->fleet;
    if (control_text(control, "index") == NULL) {
        control_fail(control, 400, "index is missing");
        return 0;
    }
    uint32_t index = (uint32_t)control_int(control, "index", 0, NODES_MAX, 0);
    if (!fleet_has_node(fleet, index)) {
        control_fail(control, 404, "no node %u", index);
    }
    return index;
}

struct report_change control_change(struct control *control)
{
    return (struct report_change){
        .report_time_ms = control_int(control, "report_time", -INT64_MAX, INT64_MAX, TIME_NEXT),
        .new_id = control_flag(control, "new_id"),
    };
}

void control_write_node(uint32_t index, const struct row *row, struct buf *out)
{
    static const enum field fields[] = {
        FIELD_REPORT_SCENE, FIELD_INSTANCE_ID, FIELD_CCE_INFO_ID, FIELD_NODE_ID,
        FIELD_NAME,         FIELD_ID,          FIELD_BASELINE_ID,
    };
    buf_printf(out, "\"index\":%u", index);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        buf_printf(out, ",\"%s\":", field_name(fields[i]));
        buf_json(out, row->field[fields[i]].bytes, row->field[fields[i]].len);
    }
}

struct affected affected_start(struct control *control)
{
    return (struct affected){
        .control = control,
        .listed = control_int(control, "list", 0, 1, 1) == 1,
    };
}

static void put_status(const struct fleet *fleet, const struct row *row, uint32_t index,
                       struct buf *out)
{
    if (fleet_has_node(fleet, index)) {
        buf_json(out, row->field[FIELD_STATUS].bytes, row->field[FIELD_STATUS].len);
    } else {
        buf_str(out, "null");
    }
}

void affected_before(struct affected *affected, uint32_t index)
{
    if (affected->listed) {
        const struct fleet *fleet = &affected->control->server->fleet;
        struct row row;
        affected->from.len = 0;
        if (fleet_has_node(fleet, index)) {
            (void)fleet_row(fleet, index, &row);
        } else {
            row_clear(&row);
        }
        put_status(fleet, &row, index, &affected->from);
    }
}

void affected_after(struct affected *affected, uint32_t index)
{
    affected->count++;
    if (affected->listed) {
        const struct fleet *fleet = &affected->control->server->fleet;
        struct buf *out = &affected->nodes;
        struct row row;
        (void)fleet_row(fleet, index, &row);
        buf_str(out, out->len > 0 ? ",{" : "{");
        control_write_node(index, &row, out);
        buf_str(out, ",\"from\":");
        buf_add(out, affected->from.data, affected->from.len);
        buf_str(out, ",\"to\":");
        put_status(fleet, &row, index, out);
        buf_printf(out, ",\"report_time\":%lld}", (long long)row.report_time_ms);
    }
}

void affected_finish(struct affected *affected)
{
    if (!affected->control->failed) {
        struct answer *answer = &affected->control->request->answer;
        answer->status = 200;
        buf_printf(&answer->body, "{\"affected\":%zu,\"nodes\":[", affected->count);
        buf_add(&answer->body, affected->nodes.data, affected->nodes.len);
        buf_str(&answer->body, "]}\n");
    }
    buf_free(&affected->from);
    buf_free(&affected->nodes);
}
