/* Events from their JSON. */
#include "compliance/event_read.h"

#include <stdio.h>
#include <string.h>

#define SOURCE_PREFIX "/patchwatch/"

static int64_t count_at(const struct pw_json_reader *reader, const char *name)
{
    char path[64];
    int64_t count;

    (void)snprintf(path, sizeof path, "data.report.non_compliant.%s", name);
    return pw_json_reader_number(reader, path, &count) ? count : PW_COUNT_NONE;
}

/* The machine's fields are in data.node, those of the report that decided in data.report. */
static void read_report(struct pw_event_copy *copy)
{
    const struct pw_json_reader *reader = copy->reader;
    struct pw_report *report = &copy->report;

    report->name = pw_json_reader_text(reader, "data.node.name");
    report->instance_id = pw_json_reader_text(reader, "data.node.instance_id");
    report->node_id = pw_json_reader_text(reader, "data.node.node_id");
    report->ip = pw_json_reader_text(reader, "data.node.ip");
    report->eip = pw_json_reader_text(reader, "data.node.eip");
    report->region = pw_json_reader_text(reader, "data.node.region");
    report->group = pw_json_reader_text(reader, "data.node.group");
    report->enterprise_project_id = pw_json_reader_text(reader, "data.node.enterprise_project_id");
    report->operating_system = pw_json_reader_text(reader, "data.node.operating_system");
    report->report_scene = pw_json_reader_text(reader, "data.node.report_scene");
    report->cce_info_id = pw_json_reader_text(reader, "data.node.cce_info_id");
    report->id = pw_json_reader_text(reader, "data.report.id");
    report->baseline_id = pw_json_reader_text(reader, "data.report.baseline_id");
    report->baseline_name = pw_json_reader_text(reader, "data.report.baseline_name");
    report->rule_type = pw_json_reader_text(reader, "data.report.rule_type");
    report->status_text = pw_json_reader_text(reader, "data.report.status_text");
    report->status = pw_compliance_of(report->status_text);
    if (!pw_json_reader_number(reader, "data.report.report_time", &report->report_time_ms))
        report->report_time_ms = PW_TIME_NONE;
    report->non_compliant.total = count_at(reader, "count");
    for (int s = 0; s < PW_SEVERITY_COUNT; s++)
        report->non_compliant.by_severity[s] =
            count_at(reader, pw_severity_name((enum pw_severity)s));
}

enum pw_status pw_event_read(struct pw_event_copy *copy, struct pw_str json, struct pw_error *err)
{
    struct pw_event *event = &copy->event;
    struct pw_str type, source, from, to;
    enum pw_status status;

    if (copy->reader == NULL)
        copy->reader = pw_json_reader_new();
    if (copy->reader == NULL)
        return pw_fail_nomem(err);
    *event = (struct pw_event){.source_name = copy->source_name};
    copy->report = (struct pw_report){.report_time_ms = PW_TIME_NONE};
    copy->source_name[0] = '\0';
    status = pw_json_reader_parse(copy->reader, json, false, err);
    if (status != PW_OK)
        return status;
    type = pw_json_reader_text(copy->reader, "type");
    if (!pw_event_type_parse(type, &event->type))
        return pw_fail(err, PW_EFORMAT, "an event of a type that is not known");
    source = pw_json_reader_text(copy->reader, "source");
    if (source.len >= strlen(SOURCE_PREFIX) &&
        memcmp(source.data, SOURCE_PREFIX, strlen(SOURCE_PREFIX)) == 0)
        (void)snprintf(copy->source_name, sizeof copy->source_name, "%.*s",
                       (int)(source.len - strlen(SOURCE_PREFIX)),
                       source.data + strlen(SOURCE_PREFIX));
    event->node_key = pw_json_reader_text(copy->reader, "subject");
    event->cause = pw_event_cause_of(pw_json_reader_text(copy->reader, "data.cause"));
    from = pw_json_reader_text(copy->reader, "data.from");
    to = pw_json_reader_text(copy->reader, "data.to");
    event->has_from = from.data != NULL;
    event->from = pw_compliance_of(from);
    event->has_to = to.data != NULL;
    event->to = pw_compliance_of(to);
    (void)pw_json_reader_number(copy->reader, "data.sweep", &event->sweep_id);
    (void)snprintf(event->uid, sizeof event->uid, "%.*s",
                   PW_STR_ARG(pw_json_reader_text(copy->reader, "id")));
    if (event->node_key.data != NULL) {
        read_report(copy);
        event->report = &copy->report;
    }
    return PW_OK;
}

void pw_event_copy_free(struct pw_event_copy *copy)
{
    pw_json_reader_free(copy->reader);
    *copy = (struct pw_event_copy){0};
}
