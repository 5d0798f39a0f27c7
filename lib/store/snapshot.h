/* What is read from the snapshot at start: sources, and the index of what is current. Runs on the
 * thread that owns db. */
#ifndef PW_STORE_SNAPSHOT_H
#define PW_STORE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "compliance/index.h"
#include "store/db.h"

enum pw_offset_mode { PW_OFFSET_UNKNOWN, PW_OFFSET_PAGE, PW_OFFSET_RECORD };
const char *pw_offset_mode_name(enum pw_offset_mode mode); /* NULL for unknown, "page", "record" */

struct pw_source_row {
    int64_t source_id;
    enum pw_offset_mode offset_mode; /* what an earlier sweep found out */
    int64_t baseline_at_ms;          /* PW_TIME_NONE before the first complete sweep */
    int64_t last_ended_at_ms;        /* end of its last sweep, PW_TIME_NONE if there was none */
};

/* Finds or adds the source of that name and notes its endpoint. */
PW_MUST_CHECK enum pw_status pw_source_open(struct pw_db *db, const char *name,
                                            const char *endpoint, struct pw_source_row *out,
                                            struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_source_set_offset_mode(struct pw_db *db, int64_t source_id,
                                                       enum pw_offset_mode mode,
                                                       struct pw_error *err);
/* Puts every current report of the source into index, which must be empty. An entry is restless
 * where its node has pending_status set or missed_sweeps > 0. */
PW_MUST_CHECK enum pw_status pw_index_load(struct pw_db *db, int64_t source_id,
                                           struct pw_index *index, struct pw_error *err);

/* Reads a report from the columns that PW_REPORT_COLUMNS names, starting at column `first`. Views
 * into the row. The node's fields come from the node's row. */
struct pw_report;
void pw_report_from_row(sqlite3_stmt *statement, int first, struct pw_report *out);
/* For SELECT … FROM report AS r JOIN node AS n; PW_REPORT_COLUMN_COUNT columns. */
#define PW_REPORT_COLUMNS                                                                          \
    "n.name, n.instance_id, n.cce_node_id, n.ip, n.eip, n.region, n.group_name, "                  \
    "n.enterprise_project_id, n.operating_system, n.report_scene, n.cce_info_id, "                 \
    "r.report_id, r.baseline_id, r.baseline_name, r.rule_type, r.status_text, r.job_id, "          \
    "r.order_id, r.status, r.report_time, "                                                        \
    "r.compliant_count, r.compliant_critical, r.compliant_high, r.compliant_medium, "              \
    "r.compliant_low, r.compliant_informational, r.compliant_unspecified, "                        \
    "r.non_compliant_count, r.non_compliant_critical, r.non_compliant_high, "                      \
    "r.non_compliant_medium, r.non_compliant_low, r.non_compliant_informational, "                 \
    "r.non_compliant_unspecified"
enum { PW_REPORT_COLUMN_COUNT = 34 };

#endif
