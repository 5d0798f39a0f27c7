/*
 * One row of the report as the API shows it: the fields' names, a row resolved from wherever it
 * comes, and sets of field values given by a test (which own their text).
 */
#ifndef COC_SIM_ROW_H
#define COC_SIM_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Every string of a record; order_id and job_id are those of execution_summary. */
enum field {
    FIELD_ID,
    FIELD_ENTERPRISE_PROJECT_ID,
    FIELD_NAME,
    FIELD_INSTANCE_ID,
    FIELD_NODE_ID,
    FIELD_IP,
    FIELD_EIP,
    FIELD_REGION,
    FIELD_GROUP,
    FIELD_REPORT_SCENE,
    FIELD_CCE_INFO_ID,
    FIELD_STATUS,
    FIELD_BASELINE_ID,
    FIELD_BASELINE_NAME,
    FIELD_RULE_TYPE,
    FIELD_OPERATING_SYSTEM,
    FIELD_ORDER_ID,
    FIELD_JOB_ID,
    FIELDS
};

/* Two groups of seven numbers: a total, then the severities in the order of the API's sample. */
enum { SEVERITIES = 6, GROUP_SIZE = 1 + SEVERITIES, COUNTS = 2 * GROUP_SIZE };
enum { COUNT_COMPLIANT = 0, COUNT_NON_COMPLIANT = GROUP_SIZE };

enum object {
    OBJECT_COMPLIANT_SUMMARY = 1,
    OBJECT_NON_COMPLIANT_SUMMARY = 2,
    OBJECT_EXECUTION_SUMMARY = 4
};

struct text {
    const char *bytes; /* NULL = null */
    size_t len;
};

/* A row; its texts point into itself, into static text or into the fleet: good until the fleet
 * changes. Not to be copied. */
struct row {
    struct text field[FIELDS];
    int64_t count[COUNTS];
    uint32_t null_counts; /* bit per count */
    uint32_t null_objects;
    int64_t report_time_ms;
    bool null_time;
    size_t scratch_len;
    char scratch[768];
};

/* Values that a test gave. */
struct values {
    char *text[FIELDS]; /* NULL where not given or null */
    size_t text_len[FIELDS];
    uint32_t given;   /* bit per field: text or null */
    uint32_t counted; /* bit per count */
    int64_t count[COUNTS];
    uint32_t null_objects;
    bool has_time;
    int64_t report_time_ms;
};

const char *field_name(enum field field);
/* The field of that name; FIELDS if there is none. */
enum field field_find(const char *name);
/* The count with that parameter name (compliant_count, non_compliant_critical ...); COUNTS if there
 * is none. */
unsigned count_find(const char *name);
/* The severity (0 to SEVERITIES - 1) of that name; SEVERITIES if there is none. */
unsigned severity_find(const char *name);
/* The object's bit; 0 if there is none of that name. */
uint32_t object_find(const char *name);

/* A row all of nulls. */
void row_clear(struct row *row);
void row_set(struct row *row, enum field field, const char *text);
bool row_status_is(const struct row *row, const char *status);

/* Takes a copy of `text` (NULL = null). */
void values_set(struct values *values, enum field field, const char *text);
void values_unset(struct values *values, enum field field);
void values_free(struct values *values);
/* Puts the given values over those of the row. */
void values_apply(const struct values *values, struct row *row);

#endif
