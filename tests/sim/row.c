/*
 * Field names, rows and sets of given values (see row.h).
 */
#include "row.h"

#include <stdlib.h>
#include <string.h>

static const char *const field_names[FIELDS] = {
    [FIELD_ID] = "id",
    [FIELD_ENTERPRISE_PROJECT_ID] = "enterprise_project_id",
    [FIELD_NAME] = "name",
    [FIELD_INSTANCE_ID] = "instance_id",
    [FIELD_NODE_ID] = "node_id",
    [FIELD_IP] = "ip",
    [FIELD_EIP] = "eip",
    [FIELD_REGION] = "region",
    [FIELD_GROUP] = "group",
    [FIELD_REPORT_SCENE] = "report_scene",
    [FIELD_CCE_INFO_ID] = "cce_info_id",
    [FIELD_STATUS] = "status",
    [FIELD_BASELINE_ID] = "baseline_id",
    [FIELD_BASELINE_NAME] = "baseline_name",
    [FIELD_RULE_TYPE] = "rule_type",
    [FIELD_OPERATING_SYSTEM] = "operating_system",
    [FIELD_ORDER_ID] = "order_id",
    [FIELD_JOB_ID] = "job_id",
};

static const char *const severity_names[SEVERITIES] = {
    "critical", "high", "informational", "low", "medium", "unspecified",
};

const char *field_name(enum field field)
{
    return field_names[field];
}

enum field field_find(const char *name)
{
    unsigned i = 0;
    while (i < FIELDS && strcmp(field_names[i], name) != 0) {
        i++;
    }
    return (enum field)i;
}

unsigned severity_find(const char *name)
{
    unsigned i = 0;
    while (i < SEVERITIES && strcmp(severity_names[i], name) != 0) {
        i++;
    }
    return i;
}

unsigned count_find(const char *name)
{
    static const char group[] = "compliant_";
    unsigned base = COUNT_COMPLIANT;
    if (strncmp(name, "non_", 4) == 0) {
        base = COUNT_NON_COMPLIANT;
        name += 4;
    }
    if (strncmp(name, group, sizeof group - 1) != 0) {
        return COUNTS;
    }
    name += sizeof group - 1;
    if (strcmp(name, "count") == 0) {
        return base;
    }
    unsigned severity = severity_find(name);
    return severity < SEVERITIES ? base + 1 + severity : COUNTS;
}

uint32_t object_find(const char *name)
{
    if (strcmp(name, "compliant_summary") == 0) {
        return OBJECT_COMPLIANT_SUMMARY;
    }
    if (strcmp(name, "non_compliant_summary") == 0) {
        return OBJECT_NON_COMPLIANT_SUMMARY;
    }
    return strcmp(name, "execution_summary") == 0 ? OBJECT_EXECUTION_SUMMARY : 0;
}

void row_clear(struct row *row)
{
    memset(row->field, 0, sizeof row->field);
    memset(row->count, 0, sizeof row->count);
    row->null_counts = (1U << COUNTS) - 1;
    row->null_objects = 0;
    row->report_time_ms = 0;
    row->null_time = true;
    row->scratch_len = 0;
}

void row_set(struct row *row, enum field field, const char *text)
{
    row->field[field] = (struct text){text, text != NULL ? strlen(text) : 0};
}

bool row_status_is(const struct row *row, const char *status)
{
    const struct text *text = &row->field[FIELD_STATUS];
    return text->bytes != NULL && text->len == strlen(status) &&
           memcmp(text->bytes, status, text->len) == 0;
}

void values_unset(struct values *values, enum field field)
{
    free(values->text[field]);
    values->text[field] = NULL;
    values->text_len[field] = 0;
    values->given &= ~(1U << field);
}

void values_set(struct values *values, enum field field, const char *text)
{
    values_unset(values, field);
    values->text[field] = sim_strdup(text);
    values->text_len[field] = text != NULL ? strlen(text) : 0;
    values->given |= 1U << field;
}

void values_free(struct values *values)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        free(values->text[i]);
    }
    *values = (struct values){0};
}

void values_apply(const struct values *values, struct row *row)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        if ((values->given & (1U << i)) != 0) {
            row->field[i] = (struct text){values->text[i], values->text_len[i]};
        }
    }
    for (unsigned i = 0; i < COUNTS; i++) {
        if ((values->counted & (1U << i)) != 0) {
            row->count[i] = values->count[i];
            row->null_counts &= ~(1U << i);
        }
    }
    row->null_objects |= values->null_objects;
    if (values->has_time) {
        row->report_time_ms = values->report_time_ms;
        row->null_time = false;
    }
}
