/* The report: what the API says of one node under one baseline, and the keys made from it. Pure. */
#ifndef PW_COMPLIANCE_REPORT_H
#define PW_COMPLIANCE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"

enum pw_severity {
    PW_CRITICAL,
    PW_HIGH,
    PW_MEDIUM,
    PW_LOW,
    PW_INFORMATIONAL,
    PW_UNSPECIFIED,
    PW_SEVERITY_COUNT
};

/* "critical" … "unspecified", the names that columns, events and alerts.yaml use. */
const char *pw_severity_name(enum pw_severity severity);

/* The status of a report or a node. Only the latter two are definite. */
enum pw_compliance { PW_UNKNOWN, PW_COMPLIANT, PW_NON_COMPLIANT };

const char *pw_compliance_name(enum pw_compliance status); /* as in the API; "unknown" */
/* "compliant", "non_compliant"; anything else, null included, is PW_UNKNOWN. */
enum pw_compliance pw_compliance_of(struct pw_str text);
static inline bool pw_is_definite(enum pw_compliance status)
{
    return status != PW_UNKNOWN;
}

#define PW_COUNT_NONE INT64_C(-1) /* a count that the API gave as null */

struct pw_patch_counts {
    int64_t total;
    int64_t by_severity[PW_SEVERITY_COUNT];
};

enum pw_rival {
    PW_RIVAL_NONE,
    PW_RIVAL_EARLIER, /* and read it before this one */
    PW_RIVAL_LATER
};

/* One record of the API (ListInstanceCompliant, InstanceCompliant). The strings are views: they
 * live as long as the page or the row that they were read from. Field names are the API's. */
struct pw_report {
    /* of the node */
    struct pw_str name;
    struct pw_str instance_id;
    struct pw_str node_id; /* of the CCE cluster */
    struct pw_str ip;
    struct pw_str eip;
    struct pw_str region;
    struct pw_str group;
    struct pw_str enterprise_project_id;
    struct pw_str operating_system;
    struct pw_str report_scene;
    struct pw_str cce_info_id;
    /* of the report */
    struct pw_str id;
    struct pw_str baseline_id;
    struct pw_str baseline_name;
    struct pw_str rule_type;
    struct pw_str status_text; /* as received */
    struct pw_str job_id;
    struct pw_str order_id;
    enum pw_compliance status; /* what status_text means */
    int64_t report_time_ms;    /* PW_TIME_NONE where null */
    struct pw_patch_counts compliant;
    struct pw_patch_counts non_compliant;
    /* not the API's: where a sweep read the record */
    int64_t place;       /* greater = further back in the list, or in the repair pass */
    enum pw_rival rival; /* whether the sweep also showed the record that the snapshot holds */
};

/* Hashes that the index goes by: 64 bits of the node key, 64 more of the report key. */
struct pw_report_key {
    uint64_t node;
    uint64_t report;
};

enum { PW_KEY_MAX_BYTES = 4096 };

/* Appends the node key to out: "SCENE/instance_id", "CCE/cce_info_id/node_id" (instance_id where
 * node_id is empty), "id/ID" where all of these are empty; scene "-" where null or empty.
 * PW_EFORMAT where the record names no machine at all, or the key is over PW_KEY_MAX_BYTES. */
PW_MUST_CHECK enum pw_status pw_report_node_key(const struct pw_report *report,
                                                struct pw_buffer *out, struct pw_error *err);

/* Hashes of a node key and a baseline id (null counts as empty). */
struct pw_report_key pw_report_key_of(struct pw_str node_key, struct pw_str baseline_id);

/* 64-bit digest of everything that the record says; equal content, equal digest (XXH3). */
uint64_t pw_report_digest(const struct pw_report *report);

/* What makes two records one when they show up twice in a sweep: id and report key; the content
 * where the record has no id. */
uint64_t pw_report_identity(const struct pw_report *report, struct pw_report_key key,
                            uint64_t digest);

/* Whether two records say the same of the report itself (all but the fields of the node). */
bool pw_report_same_version(const struct pw_report *a, const struct pw_report *b);

/* Whether candidate must not replace stored, being older: both times are known, candidate's is
 * less, and stored's is not more than a day after now_ms (a clock that was wrong must not freeze a
 * node). */
bool pw_report_is_stale(const struct pw_report *candidate, const struct pw_report *stored,
                        int64_t now_ms);

bool pw_patch_counts_same(const struct pw_patch_counts *a, const struct pw_patch_counts *b);

/* Less, equal or greater than 0 as a's non-compliant patches are better than, equal to or worse
 * than b's: the worst severity that differs decides, then the total. Null counts as 0. */
int pw_patch_counts_compare(const struct pw_patch_counts *a, const struct pw_patch_counts *b);

#endif
