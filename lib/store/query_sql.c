/* The SQL of the command's questions. Plans are held to: no full scan of report, event or delivery
 * (tests/unit/store/test_query.c). INDEXED BY, CROSS JOIN and unary plus stand where SQLite, which
 * has no statistics of a fresh database, would choose another way. */
#include "store/query_sql.h"

#include <stddef.h>

#include "store/query.h"

/* Status ------------------------------------------------------------------------------------ */

/* The last sweep is the one with the greatest number, not the latest time: a clock that was ahead
 * for an hour would show an old one for that long. The plus lets it walk back by that number. */
const char pw_sql_sources[] =
    "SELECT s.name AS source, s.endpoint, s.offset_mode, s.baseline_at, s.last_complete_at,"
    "       s.failed_sweeps, s.failing_since, s.failing_told_at, s.empty_sweeps,"
    "       w.sweep_id, w.outcome, w.started_at, w.ended_at,"
    "       max(w.ended_at - w.started_at, 0) AS took_ms, w.reported_count, w.records, w.nodes,"
    "       w.changed, w.transitions, w.reason, w.error_code, w.error_msg,"
    "       r.started_at AS running_since"
    "  FROM source AS s"
    "  LEFT JOIN sweep AS w ON w.sweep_id ="
    "       (SELECT x.sweep_id FROM sweep AS x"
    "         WHERE +x.source_id = s.source_id AND x.outcome <> 'running'"
    "         ORDER BY x.sweep_id DESC LIMIT 1)"
    "  LEFT JOIN sweep AS r ON r.sweep_id ="
    "       (SELECT max(x.sweep_id) FROM sweep AS x"
    "         WHERE x.source_id = s.source_id AND x.outcome = 'running')"
    "   AND (w.sweep_id IS NULL OR r.sweep_id > w.sweep_id)"
    " ORDER BY s.name";

const char pw_sql_totals[] =
    "SELECT s.name AS source, ifnull(t.nodes, 0) AS nodes, ifnull(t.compliant, 0) AS compliant,"
    "       ifnull(t.non_compliant, 0) AS non_compliant, ifnull(t.unknown, 0) AS unknown,"
    "       ifnull(t.missing, 0) AS missing"
    "  FROM source AS s"
    "  LEFT JOIN (SELECT source_id, count(*) FILTER (WHERE missing_since IS NULL) AS nodes,"
    "                    count(*) FILTER (WHERE missing_since IS NULL AND status = 'compliant')"
    "                        AS compliant,"
    "                    count(*) FILTER (WHERE missing_since IS NULL AND status = 'non_compliant')"
    "                        AS non_compliant,"
    "                    count(*) FILTER (WHERE missing_since IS NULL AND status = 'unknown')"
    "                        AS unknown,"
    "                    count(missing_since) AS missing"
    "               FROM node GROUP BY source_id) AS t ON t.source_id = s.source_id"
    " ORDER BY s.name";

const char pw_sql_problems[] =
    "SELECT s.name AS source, n.node_key, n.name, n.region, n.status_since,"
    "       sum(r.non_compliant_count) AS non_compliant_count,"
    "       sum(r.non_compliant_critical) AS critical, sum(r.non_compliant_high) AS high"
    "  FROM (SELECT * FROM node WHERE status = 'non_compliant' AND missing_since IS NULL"
    "         ORDER BY status_since DESC, node_id DESC LIMIT ?1) AS n"
    "  JOIN source AS s ON s.source_id = n.source_id"
    "  LEFT JOIN report AS r ON r.node_id = n.node_id AND r.valid_to IS NULL"
    " GROUP BY n.node_id"
    " ORDER BY n.status_since DESC, n.node_id DESC";

/* last_error: of the oldest event, since that is what the hook is stuck at. */
const char pw_sql_backlog[] =
    "SELECT b.hook, 'pending' AS state, b.deliveries, b.oldest_at, b.attempts,"
    "       (SELECT d.last_error FROM delivery AS d"
    "         WHERE d.state = 'pending' AND d.hook = b.hook AND d.last_error IS NOT NULL"
    "         ORDER BY d.event_id LIMIT 1) AS last_error"
    "  FROM (SELECT hook, count(*) AS deliveries, min(created_at) AS oldest_at,"
    "               max(attempts) AS attempts FROM delivery"
    "         WHERE state = 'pending' AND wait IS NOT 'escalation' GROUP BY hook) AS b"
    " UNION ALL "
    "SELECT b.hook, 'dead', b.deliveries, b.oldest_at, b.attempts,"
    "       (SELECT d.last_error FROM delivery AS d"
    "         WHERE d.state = 'dead' AND d.hook = b.hook AND d.last_error IS NOT NULL"
    "         ORDER BY d.event_id DESC LIMIT 1)"
    "  FROM (SELECT hook, count(*) AS deliveries, min(created_at) AS oldest_at,"
    "               max(attempts) AS attempts"
    "          FROM delivery WHERE state = 'dead' GROUP BY hook) AS b"
    " ORDER BY hook, state";

/* Those only that somebody waits for. */
const char pw_sql_hooks_off[] =
    "SELECT h.name, h.off_at, h.reason FROM hook AS h WHERE EXISTS (SELECT 1 FROM delivery AS d"
    " WHERE d.hook = h.name AND d.state = 'pending') ORDER BY h.name";

const char pw_sql_told[] =
    "SELECT count(*) AS transitions,"
    "       count(*) FILTER (WHERE owed = 0) AS owed_to_nobody,"
    "       count(*) FILTER (WHERE owed > 0 AND delivered = owed) AS told,"
    "       count(*) FILTER (WHERE pending > 0) AS waiting,"
    "       count(*) FILTER (WHERE dead > 0) AS given_up,"
    "       count(*) FILTER (WHERE held > 0) AS held_back"
    /* An escalation that waits for its time is no debt yet. */
    "  FROM (SELECT count(d.delivery_id) FILTER (WHERE d.state <> 'pending' OR d.wait IS NOT"
    "                   'escalation') AS owed,"
    "               count(*) FILTER (WHERE d.state = 'delivered') AS delivered,"
    "               count(*) FILTER (WHERE d.state = 'pending' AND d.wait IS NOT 'escalation')"
    "                   AS pending,"
    "               count(*) FILTER (WHERE d.state = 'dead') AS dead,"
    "               count(*) FILTER (WHERE d.state IN ('muted', 'dropped')) AS held"
    "          FROM event AS e INDEXED BY event_by_time"
    "          LEFT JOIN delivery AS d ON d.event_id = e.event_id"
    "         WHERE e.recorded_at >= ?1"
    "           AND +e.type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.compliant')"
    "         GROUP BY e.event_id)";

/* Machines ---------------------------------------------------------------------------------- */

#define STATUS_RANK                                                                                \
    "CASE status WHEN 'non_compliant' THEN 3 WHEN 'unknown' THEN 2"                                \
    " WHEN 'missing' THEN 1 ELSE 0 END"

const char pw_sql_nodes[] =
    "SELECT * FROM ("
    "SELECT s.name AS source, n.node_key, n.name,"
    "       CASE WHEN n.missing_since IS NULL THEN n.status ELSE 'missing' END AS status,"
    "       CASE WHEN n.missing_since IS NULL THEN n.status_since ELSE n.missing_since END"
    "           AS status_since,"
    "       n.last_definite_status, n.missing_since,"
    "       sum(r.non_compliant_count) AS non_compliant_count,"
    "       sum(r.non_compliant_critical) AS critical, sum(r.non_compliant_high) AS high,"
    "       max(r.report_time) AS report_time, count(r.report_pk) AS reports, n.region,"
    "       n.report_scene, n.instance_id, n.cce_info_id, n.cce_node_id, n.ip, n.eip,"
    "       n.group_name, n.enterprise_project_id, n.operating_system, n.first_seen_at,"
    "       CASE WHEN n.missed_sweeps = 0 AND n.missing_since IS NULL"
    "            THEN max(n.last_seen_at, ifnull(s.last_complete_at, n.last_seen_at))"
    "            ELSE n.last_seen_at END AS last_seen_at"
    "  FROM node AS n"
    "  JOIN source AS s ON s.source_id = n.source_id"
    "  LEFT JOIN report AS r ON r.node_id = n.node_id AND r.valid_to IS NULL"
    " WHERE (?1 IS NULL OR s.name = ?1)"
    "   AND (?2 IS NULL OR ?2 = CASE WHEN n.missing_since IS NULL THEN n.status ELSE 'missing' END)"
    "   AND (?3 IS NULL OR n.region = ?3)"
    "   AND (?4 IS NULL OR n.report_scene = ?4 OR (?4 = '-' AND ifnull(n.report_scene, '') = ''))"
    " GROUP BY n.node_id)"
    " ORDER BY " STATUS_RANK " DESC, critical DESC, high DESC, non_compliant_count DESC, source,"
    "          node_key";

/* A version holds at valid_from and no longer at valid_to. */
const char pw_sql_at[] =
    "SELECT source, node_key, name,"
    "       CASE place WHEN 3 THEN 'non_compliant' WHEN 2 THEN 'compliant'"
    "                  WHEN 1 THEN 'unknown' ELSE 'missing' END AS status,"
    "       non_compliant_count, critical, high, report_time, reports, region, report_scene,"
    "       instance_id"
    "  FROM (SELECT s.name AS source, n.node_key, n.name,"
    "               max(CASE r.status WHEN 'non_compliant' THEN 3 WHEN 'compliant' THEN 2"
    "                                 WHEN 'unknown' THEN 1 ELSE 0 END) AS place,"
    "               sum(r.non_compliant_count) AS non_compliant_count,"
    "               sum(r.non_compliant_critical) AS critical, sum(r.non_compliant_high) AS high,"
    "               max(r.report_time) AS report_time, count(r.report_pk) AS reports, n.region,"
    "               n.report_scene, n.instance_id"
    "          FROM node AS n"
    "          JOIN source AS s ON s.source_id = n.source_id"
    "          LEFT JOIN report AS r ON r.node_id = n.node_id AND r.valid_from <= ?5"
    "               AND (r.valid_to IS NULL OR r.valid_to > ?5)"
    "         WHERE n.first_seen_at <= ?5"
    "           AND (?1 IS NULL OR s.name = ?1)"
    "           AND (?3 IS NULL OR n.region = ?3)"
    "           AND (?4 IS NULL OR n.report_scene = ?4"
    "                OR (?4 = '-' AND ifnull(n.report_scene, '') = ''))"
    "         GROUP BY n.node_id)"
    " WHERE ?2 IS NULL OR status = ?2"
    " ORDER BY " STATUS_RANK " DESC, critical DESC, high DESC, non_compliant_count DESC, source,"
    "          node_key";

const char pw_sql_span[] = "SELECT min(baseline_at) AS baseline_at,"
                           "       max(last_complete_at) AS last_complete_at,"
                           "       (SELECT min(n.first_seen_at) FROM node AS n"
                           "          JOIN source AS x ON x.source_id = n.source_id"
                           "         WHERE ?1 IS NULL OR x.name = ?1) AS first_seen_at"
                           "  FROM source WHERE ?1 IS NULL OR name = ?1";

#define FIND                                                                                       \
    "SELECT n.node_id, s.name AS source, n.node_key, n.name, n.instance_id, n.region,"             \
    "       CASE WHEN n.missing_since IS NULL THEN n.status ELSE 'missing' END AS status,"         \
    "       CASE WHEN n.missing_since IS NULL THEN n.status_since ELSE n.missing_since END"        \
    "           AS status_since"                                                                   \
    "  FROM node AS n CROSS JOIN source AS s ON s.source_id = n.source_id"                         \
    " WHERE (?2 IS NULL OR s.name = ?2) AND "
#define FIND_ORDER " ORDER BY s.name, n.node_key"

const char pw_sql_find_key[] = FIND "n.node_key = ?1" FIND_ORDER;
const char pw_sql_find_instance[] = FIND "(n.instance_id = ?1 OR n.cce_node_id = ?1)" FIND_ORDER;
const char pw_sql_find_name[] = FIND "n.name = ?1" FIND_ORDER;

const char pw_sql_node[] =
    "SELECT s.name AS source, n.node_key, n.name,"
    "       CASE WHEN n.missing_since IS NULL THEN n.status ELSE 'missing' END AS status,"
    "       CASE WHEN n.missing_since IS NULL THEN n.status_since ELSE n.missing_since END"
    "           AS status_since,"
    "       n.last_definite_status, n.missing_since, n.region, n.report_scene, n.instance_id,"
    "       n.cce_info_id, n.cce_node_id, n.ip, n.eip, n.group_name, n.enterprise_project_id,"
    "       n.operating_system, n.first_seen_at,"
    "       CASE WHEN n.missed_sweeps = 0 AND n.missing_since IS NULL"
    "            THEN max(n.last_seen_at, ifnull(s.last_complete_at, n.last_seen_at))"
    "            ELSE n.last_seen_at END AS last_seen_at,"
    "       n.pending_status, n.pending_sweeps, n.missed_sweeps"
    "  FROM node AS n JOIN source AS s ON s.source_id = n.source_id WHERE n.node_id = ?1";

const char pw_sql_reports[] =
    "SELECT r.baseline_id, r.baseline_name, r.rule_type, r.report_id, r.status, r.status_text,"
    "       r.report_time, r.job_id, r.order_id,"
    "       r.non_compliant_count, r.non_compliant_critical, r.non_compliant_high,"
    "       r.non_compliant_medium, r.non_compliant_low, r.non_compliant_informational,"
    "       r.non_compliant_unspecified, r.compliant_count, r.compliant_critical,"
    "       r.compliant_high, r.compliant_medium, r.compliant_low, r.compliant_informational,"
    "       r.compliant_unspecified, r.valid_from, r.valid_to"
    "  FROM report AS r JOIN node AS n ON n.node_id = r.node_id"
    " WHERE r.node_id = ?1 AND (r.valid_to IS NULL OR r.valid_to = n.missing_since)"
    " ORDER BY CASE r.status WHEN 'non_compliant' THEN 2 WHEN 'compliant' THEN 1 ELSE 0 END DESC,"
    "          r.report_time DESC, r.report_pk DESC";

#define TIMELINE_OF "  FROM node_timeline WHERE node_key = ?1 AND source = ?2"

const char pw_sql_timeline_length[] = "SELECT count(*) AS length" TIMELINE_OF;
const char pw_sql_timeline[] =
    "SELECT at, what, status, detail, event_id, hook" TIMELINE_OF " LIMIT -1 OFFSET ?3";

const char pw_sql_node_told[] =
    "SELECT e.event_id, replace(e.type, 'io.patchwatch.', '') AS type, e.occurred_at,"
    "       e.recorded_at, d.delivery_id, d.hook, d.rule, d.state, d.attempts, d.delivered_at,"
    "       d.last_error"
    "  FROM event AS e INDEXED BY event_by_node CROSS JOIN delivery AS d ON d.event_id = e.event_id"
    " WHERE e.node_id = ?1 ORDER BY e.event_id DESC, d.hook LIMIT ?2";

/* What happened ----------------------------------------------------------------------------- */

#define EVENT_COLUMNS                                                                              \
    "SELECT e.event_id, e.uid, replace(e.type, 'io.patchwatch.', '') AS type, s.name AS source,"   \
    "       n.node_key, n.name, n.region, e.from_status, e.to_status, e.cause, e.occurred_at,"     \
    "       e.recorded_at, e.sweep_id, CASE WHEN json_valid(e.data) THEN json(e.data) END"         \
    "           AS cloudevent"
#define EVENT_JOINS                                                                                \
    " CROSS JOIN source AS s ON s.source_id = e.source_id"                                         \
    "  LEFT JOIN node AS n ON n.node_id = e.node_id"

const char pw_sql_events_since[] =
    EVENT_COLUMNS "  FROM event AS e INDEXED BY event_by_time" EVENT_JOINS
                  " WHERE e.recorded_at >= ?1 AND (?2 IS NULL OR e.type GLOB ?2)"
                  " ORDER BY e.recorded_at, e.event_id";
const char pw_sql_events_after[] = EVENT_COLUMNS
    "  FROM event AS e" EVENT_JOINS " WHERE e.event_id > ?1 AND (?2 IS NULL OR e.type GLOB ?2)"
    "   AND (?3 = 0 OR e.node_id = ?3) ORDER BY e.event_id";
const char pw_sql_events_of_node[] =
    EVENT_COLUMNS "  FROM event AS e INDEXED BY event_by_node" EVENT_JOINS
                  " WHERE e.node_id = ?3 AND (?1 IS NULL OR e.recorded_at >= ?1)"
                  "   AND (?2 IS NULL OR e.type GLOB ?2) ORDER BY e.event_id";
/* Of the sequence too, which stays when retention takes the newest event. */
const char pw_sql_last_event[] =
    "SELECT max(ifnull((SELECT max(event_id) FROM event), 0),"
    "           ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)) AS event_id";

#define SWEEP_COLUMNS                                                                              \
    "SELECT w.sweep_id, s.name AS source, w.outcome, w.started_at, w.ended_at,"                    \
    "       max(w.ended_at - w.started_at, 0) AS took_ms, w.reported_count, w.records, w.nodes,"   \
    "       w.pages, w.requests, w.retries, w.bytes, w.changed, w.transitions, w.reason,"          \
    "       w.error_code, w.error_msg"                                                             \
    "  FROM sweep AS w CROSS JOIN source AS s ON s.source_id = w.source_id"

const char pw_sql_sweeps[] = SWEEP_COLUMNS " ORDER BY w.sweep_id DESC LIMIT ?2";
const char pw_sql_sweeps_of_source[] =
    SWEEP_COLUMNS " WHERE w.source_id = (SELECT source_id FROM source WHERE name = ?1)"
                  " ORDER BY w.sweep_id DESC LIMIT ?2";

#define DELIVERY_COLUMNS                                                                           \
    "SELECT d.delivery_id, d.hook, d.rule, d.state, d.event_id,"                                   \
    "       replace(e.type, 'io.patchwatch.', '') AS type, s.name AS source, n.node_key, n.name,"  \
    "       e.recorded_at, d.attempts, d.created_at, d.last_attempt_at, d.next_attempt_at,"        \
    "       d.delivered_at, d.last_error, d.reason, d.reminders, d.reminded_at,"                   \
    "       coalesce(d.last_error, d.reason, CASE WHEN d.held_by IS NOT NULL"                      \
    "                THEN 'one of many at once, to be confirmed' END,"                             \
    "                CASE d.wait WHEN 'group' THEN 'waits for its group'"                          \
    "                            WHEN 'escalation' THEN 'if it still stands then' END) AS note"
#define DELIVERY_JOINS                                                                             \
    " CROSS JOIN source AS s ON s.source_id = e.source_id"                                         \
    "  LEFT JOIN node AS n ON n.node_id = e.node_id"

const char pw_sql_pending[] = DELIVERY_COLUMNS
    "  FROM delivery AS d INDEXED BY delivery_queue CROSS JOIN event AS e ON e.event_id = "
    "d.event_id" DELIVERY_JOINS " WHERE d.state = 'pending' AND (?1 IS NULL OR d.hook = ?1)"
    " ORDER BY d.event_id, d.hook";
const char pw_sql_dead[] = DELIVERY_COLUMNS
    "  FROM delivery AS d INDEXED BY delivery_dead CROSS JOIN event AS e ON e.event_id = "
    "d.event_id" DELIVERY_JOINS " WHERE d.state = 'dead' AND (?1 IS NULL OR d.hook = ?1)"
    " ORDER BY d.event_id, d.hook";
const char pw_sql_deliveries[] =
    DELIVERY_COLUMNS "  FROM event AS e INDEXED BY event_by_time"
                     " CROSS JOIN delivery AS d ON d.event_id = e.event_id" DELIVERY_JOINS
                     " WHERE e.recorded_at >= ?3 AND (?1 IS NULL OR d.hook = ?1)"
                     "   AND (?2 IS NULL OR d.state = ?2)"
                     " ORDER BY e.recorded_at, e.event_id, d.hook";

/* For an answer that would be empty: no index leads from a hook to what was delivered. */
const char pw_sql_hook_known[] = "SELECT EXISTS (SELECT 1 FROM delivery WHERE hook = ?1)"
                                 "    OR EXISTS (SELECT 1 FROM told WHERE hook = ?1) AS is_known";

const struct pw_query_text pw_query_texts[] = {
    {"sources", pw_sql_sources},
    {"totals", pw_sql_totals},
    {"problems", pw_sql_problems},
    {"backlog", pw_sql_backlog},
    {"hooks_off", pw_sql_hooks_off},
    {"told", pw_sql_told},
    {"nodes", pw_sql_nodes},
    {"at", pw_sql_at},
    {"span", pw_sql_span},
    {"find_key", pw_sql_find_key},
    {"find_instance", pw_sql_find_instance},
    {"find_name", pw_sql_find_name},
    {"node", pw_sql_node},
    {"reports", pw_sql_reports},
    {"timeline_length", pw_sql_timeline_length},
    {"timeline", pw_sql_timeline},
    {"node_told", pw_sql_node_told},
    {"events_since", pw_sql_events_since},
    {"events_after", pw_sql_events_after},
    {"events_of_node", pw_sql_events_of_node},
    {"last_event", pw_sql_last_event},
    {"sweeps", pw_sql_sweeps},
    {"sweeps_of_source", pw_sql_sweeps_of_source},
    {"pending", pw_sql_pending},
    {"dead", pw_sql_dead},
    {"deliveries", pw_sql_deliveries},
    {"hook_known", pw_sql_hook_known},
};
const size_t pw_query_text_count = sizeof pw_query_texts / sizeof *pw_query_texts;
