/*
 * Field values given by tests: overrides of nodes, and explicit records.
 */
#include "control.h"

#include <stdlib.h>
#include <string.h>

struct fields_context {
    struct control *control;
    struct values *values;
    const char *const *also; /* names that are no fields, up to NULL */
    bool record;             /* numbers and whole objects may be given, too */
};

static bool take_null(struct fields_context *context, const char *value)
{
    enum field field = field_find(value);
    uint32_t object = context->record ? object_find(value) : 0;
    if (field < FIELDS) {
        values_set(context->values, field, NULL);
    } else if (object != 0) {
        context->values->null_objects |= object;
    } else {
        control_fail(context->control, 400, "no field %s to be null", value);
    }
    return !context->control->failed;
}

static bool take_count(struct fields_context *context, const char *name, const char *value)
{
    unsigned count = context->record ? count_find(name) : COUNTS;
    if (count == COUNTS) {
        control_fail(context->control, 400, "unknown parameter %s", name);
    } else if (!parse_int(value, -INT64_MAX, INT64_MAX, &context->values->count[count])) {
        control_fail(context->control, 400, "%s must be an integer", name);
    } else {
        context->values->counted |= 1U << count;
    }
    return !context->control->failed;
}

static bool take_field(void *cls, const char *name, const char *value)
{
    struct fields_context *context = cls;
    for (const char *const *known = context->also; *known != NULL; known++) {
        if (strcmp(*known, name) == 0) {
            return true;
        }
    }
    if (strcmp(name, "null") == 0) {
        return take_null(context, value);
    }
    enum field field = field_find(name);
    if (field < FIELDS) {
        values_set(context->values, field, value);
        return true;
    }
    return take_count(context, name, value);
}

static void take_time(struct control *control, struct values *values)
{
    values->has_time = control_text(control, "report_time") != NULL;
    values->report_time_ms = control_int(control, "report_time", -INT64_MAX, INT64_MAX, 0);
}

void control_set(struct server *server, struct request *request)
{
    static const char *const also[] = {"index", "report_time", "list", NULL};
    struct control control = {server, request, false};
    struct values given = {0};
    struct fields_context context = {&control, &given, also, false};
    uint32_t index = control_index(&control);
    struct affected affected = affected_start(&control);
    take_time(&control, &given);
    (void)request_each_param(request, &context, take_field);
    if (!control.failed) {
        affected_before(&affected, index);
        struct values *values = fleet_override(&server->fleet, index);
        for (unsigned i = 0; i < FIELDS; i++) {
            if ((given.given & (1U << i)) != 0) {
                values_set(values, (enum field)i, given.text[i]);
            }
        }
        fleet_changed(&server->fleet);
        if (given.has_time) {
            report_set_time(&server->fleet, index, given.report_time_ms);
        }
        affected_after(&affected, index);
    }
    values_free(&given);
    affected_finish(&affected);
}

static void add_record(struct control *control, struct record *record)
{
    if (control->failed) {
        values_free(&record->values);
        free(record->raw);
        return;
    }
    struct answer *answer = &control->request->answer;
    uint32_t number = record_add(&control->server->fleet, *record);
    answer->status = 200;
    buf_printf(&answer->body, "{\"record\":%u}\n", number);
}

void control_record(struct server *server, struct request *request)
{
    static const char *const also[] = {"report_time", "counted", NULL};
    struct control control = {server, request, false};
    struct record record = {0};
    struct fields_context context = {&control, &record.values, also, true};
    record.counted = control_int(&control, "counted", 0, 1, 1) == 1;
    take_time(&control, &record.values);
    (void)request_each_param(request, &context, take_field);
    add_record(&control, &record);
}

void control_record_raw(struct server *server, struct request *request)
{
    static const char *const known[] = {"report_time", "counted", NULL};
    struct control control = {server, request, false};
    struct record record = {0};
    control_only(&control, known);
    record.counted = control_int(&control, "counted", 0, 1, 1) == 1;
    take_time(&control, &record.values);
    record.raw_len = request->upload.len;
    record.raw = sim_alloc(record.raw_len);
    if (record.raw_len > 0) {
        memcpy(record.raw, request->upload.data, record.raw_len);
    }
    add_record(&control, &record);
}

void control_record_drop(struct server *server, struct request *request)
{
    static const char *const known[] = {"n", NULL};
    struct control control = {server, request, false};
    struct fleet *fleet = &server->fleet;
    control_only(&control, known);
    int64_t number = control_int(&control, "n", 0, INT32_MAX, -1);
    if (number >= 0 && !record_present(fleet, (uint32_t)number)) {
        control_fail(&control, 404, "no record %lld", (long long)number);
    }
    if (control.failed) {
        return;
    }
    size_t dropped = 0;
    for (uint32_t i = 0; i < fleet->record_count; i++) {
        if (record_present(fleet, i) && (number < 0 || number == i)) {
            record_drop(fleet, i);
            dropped++;
        }
    }
    request->answer.status = 200;
    buf_printf(&request->answer.body, "{\"dropped\":%zu}\n", dropped);
}
