-- The views for people. docs/history.md has an example query for each. A number column that is a
-- time (Unix milliseconds) has its ISO 8601 UTC text beside it under the same name with _utc.

-- The fleet now: one row a node that is present; counts are summed over its current reports.
CREATE VIEW current_nodes AS
SELECT source, node_key, name, status, non_compliant_count, critical, high, baseline_name, region,
       report_time,
       strftime('%Y-%m-%dT%H:%M:%fZ', report_time / 1000.0, 'unixepoch') AS report_time_utc,
       status_since,
       strftime('%Y-%m-%dT%H:%M:%fZ', status_since / 1000.0, 'unixepoch') AS status_since_utc,
       last_seen_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', last_seen_at / 1000.0, 'unixepoch') AS last_seen_at_utc,
       first_seen_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', first_seen_at / 1000.0, 'unixepoch') AS first_seen_at_utc,
       instance_id, ip, eip, group_name, enterprise_project_id, operating_system, report_scene,
       cce_info_id, cce_node_id, reports
  FROM (SELECT s.name AS source,
               n.node_key, n.name, n.status,
               sum(r.non_compliant_count) AS non_compliant_count,
               sum(r.non_compliant_critical) AS critical,
               sum(r.non_compliant_high) AS high,
               -- of the report that decides the status: the worst, of equal ones the newest
               (SELECT d.baseline_name
                  FROM report AS d
                 WHERE d.node_id = n.node_id AND d.valid_to IS NULL
                 ORDER BY CASE d.status WHEN 'non_compliant' THEN 2
                                        WHEN 'compliant' THEN 1 ELSE 0 END DESC,
                          d.report_time DESC, d.report_pk DESC
                 LIMIT 1) AS baseline_name,
               n.region,
               max(r.report_time) AS report_time,
               n.status_since,
               -- The node's own last_seen_at moves only when the node changes; one that missed no
               -- complete sweep was shown by the last of them too.
               CASE WHEN n.missed_sweeps = 0
                    THEN max(n.last_seen_at, ifnull(s.last_complete_at, n.last_seen_at))
                    ELSE n.last_seen_at END AS last_seen_at,
               n.first_seen_at, n.instance_id, n.ip, n.eip, n.group_name, n.enterprise_project_id,
               n.operating_system, n.report_scene, n.cce_info_id, n.cce_node_id,
               count(r.report_pk) AS reports
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          LEFT JOIN report AS r ON r.node_id = n.node_id AND r.valid_to IS NULL
         WHERE n.missing_since IS NULL
         GROUP BY n.node_id, n.node_key);

-- The work list: present nodes that are not compliant, the worst first.
CREATE VIEW non_compliant_nodes AS
SELECT *
  FROM current_nodes
 WHERE status = 'non_compliant'
 ORDER BY critical DESC, high DESC, non_compliant_count DESC, source, node_key;

-- Every change of a node's definite status, in the order in which they were recorded.
CREATE VIEW transitions AS
SELECT e.event_id,
       s.name AS source,
       n.node_key, n.name, n.region,
       e.type, e.from_status, e.to_status, e.cause,
       e.occurred_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.occurred_at / 1000.0, 'unixepoch') AS occurred_at_utc,
       e.recorded_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.recorded_at / 1000.0, 'unixepoch') AS recorded_at_utc,
       e.sweep_id, e.uid
  FROM event AS e
  JOIN source AS s ON s.source_id = e.source_id
  LEFT JOIN node AS n ON n.node_id = e.node_id
 WHERE e.type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.compliant')
 ORDER BY e.event_id;

-- All that is known to have happened to a node: report versions, events, and who was told.
CREATE VIEW node_timeline AS
SELECT source, node_key, name, at,
       strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at_utc,
       what, status, detail, event_id, hook
  FROM (SELECT s.name AS source, n.node_key, n.name, r.valid_from AS at, 1 AS place,
               'report' AS what, r.status,
               printf('%s: %s non-compliant patches (%s critical, %s high)',
                      coalesce(r.baseline_name, nullif(r.baseline_id, ''), 'no baseline'),
                      ifnull(r.non_compliant_count, '?'), ifnull(r.non_compliant_critical, '?'),
                      ifnull(r.non_compliant_high, '?')) AS detail,
               NULL AS event_id, NULL AS hook
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN report AS r ON r.node_id = n.node_id
        UNION ALL
        -- Only where no newer version took its place.
        SELECT s.name, n.node_key, n.name, r.valid_to, 0, 'report ended', r.status,
               coalesce(r.baseline_name, nullif(r.baseline_id, ''), 'no baseline'), NULL, NULL
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN report AS r ON r.node_id = n.node_id
         WHERE r.valid_to IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM report AS x
                            WHERE x.node_id = r.node_id AND x.baseline_id = r.baseline_id
                              AND x.valid_from = r.valid_to AND x.report_pk <> r.report_pk)
        UNION ALL
        SELECT s.name, n.node_key, n.name, e.recorded_at, 2, 'event', e.to_status,
               replace(e.type, 'io.patchwatch.', '') || ifnull(' (' || e.cause || ')', ''),
               e.event_id, NULL
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN event AS e ON e.node_id = n.node_id
        UNION ALL
        SELECT s.name, n.node_key, n.name,
               coalesce(d.delivered_at, d.last_attempt_at, d.created_at), 3, 'delivery', d.state,
               printf('%s, attempts: %d%s', replace(e.type, 'io.patchwatch.', ''), d.attempts,
                      ifnull(': ' || d.last_error, '')),
               e.event_id, d.hook
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN event AS e ON e.node_id = n.node_id
          JOIN delivery AS d ON d.event_id = e.event_id)
 ORDER BY at, place, event_id;

-- Nodes by status at the end of each UTC day (today: now), from the first day on, all sources
-- together. Computed from what the reports said: a version covers the days at whose end it held.
CREATE VIEW fleet_daily AS
WITH RECURSIVE
     today (day) AS (SELECT unixepoch('now') / 86400),
     -- the days on which something about a node may differ from the day before
     change (node_id, day) AS (
         SELECT node_id, first_seen_at / 86400000 FROM node
         UNION
         SELECT node_id, valid_from / 86400000 FROM report
         UNION
         SELECT node_id, valid_to / 86400000 FROM report WHERE valid_to IS NOT NULL),
     -- what the node was at the end of such a day: 3 non_compliant, 2 compliant, 1 unknown,
     -- 0 missing (no report held)
     state (node_id, day, rank) AS (
         SELECT c.node_id, c.day,
                ifnull((SELECT max(CASE r.status WHEN 'non_compliant' THEN 3
                                                 WHEN 'compliant' THEN 2 ELSE 1 END)
                          FROM report AS r
                         WHERE r.node_id = c.node_id
                           AND r.valid_from < (c.day + 1) * 86400000
                           AND (r.valid_to IS NULL OR r.valid_to >= (c.day + 1) * 86400000)), 0)
           FROM change AS c
          WHERE c.day <= (SELECT day FROM today)),
     -- a node leaves the count of its old status and joins that of its new one
     step (day, rank, nodes) AS (
         SELECT day, rank, count(*) FROM state GROUP BY day, rank
         UNION ALL
         SELECT day, was, -count(*)
           FROM (SELECT day, lag(rank) OVER (PARTITION BY node_id ORDER BY day) AS was FROM state)
          WHERE was IS NOT NULL
          GROUP BY day, was),
     calendar (day) AS (
         SELECT day FROM (SELECT min(day) AS day FROM step) WHERE day IS NOT NULL
         UNION ALL
         SELECT day + 1 FROM calendar WHERE day < (SELECT day FROM today)),
     daily (day, compliant, non_compliant, unknown, missing) AS (
         SELECT c.day, total(s.nodes) FILTER (WHERE s.rank = 2),
                total(s.nodes) FILTER (WHERE s.rank = 3), total(s.nodes) FILTER (WHERE s.rank = 1),
                total(s.nodes) FILTER (WHERE s.rank = 0)
           FROM calendar AS c
           LEFT JOIN step AS s ON s.day = c.day
          GROUP BY c.day)
SELECT strftime('%Y-%m-%d', day * 86400, 'unixepoch') AS day,
       CAST(sum(compliant) OVER so_far AS INTEGER) AS compliant,
       CAST(sum(non_compliant) OVER so_far AS INTEGER) AS non_compliant,
       CAST(sum(unknown) OVER so_far AS INTEGER) AS unknown,
       CAST(sum(missing) OVER so_far AS INTEGER) AS missing
  FROM daily
WINDOW so_far AS (ORDER BY daily.day)
 ORDER BY daily.day;

-- Each problem: from the report that made a node non_compliant to the one that made it compliant.
-- A problem that was there when the node was first seen has no event at its start: it begins with
-- the node's first non_compliant report.
CREATE VIEW remediation AS
WITH change (node_id, bad, place, at, next_at) AS (
         SELECT node_id, type = 'io.patchwatch.node.non_compliant',
                row_number() OVER history, occurred_at, lead(occurred_at) OVER history
           FROM event
          WHERE type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.compliant')
            AND node_id IS NOT NULL
         WINDOW history AS (PARTITION BY node_id ORDER BY event_id)),
     -- nodes that were non_compliant before their first change, with the end of that
     born_bad (node_id, "end") AS (
         SELECT node_id, at FROM change WHERE place = 1 AND NOT bad
         UNION ALL
         SELECT node_id, NULL FROM node
          WHERE last_definite_status = 'non_compliant'
            AND node_id NOT IN (SELECT node_id FROM change)),
     problem (node_id, started_by, "start", "end") AS (
         SELECT node_id, 'event', at, next_at FROM change WHERE bad
         UNION ALL
         SELECT n.node_id, 'first report',
                ifnull((SELECT ifnull(r.report_time, r.valid_from) FROM report AS r
                         WHERE r.node_id = n.node_id AND r.status = 'non_compliant'
                         ORDER BY r.valid_from, r.report_pk LIMIT 1), n.first_seen_at),
                b."end"
           FROM born_bad AS b
           JOIN node AS n ON n.node_id = b.node_id)
SELECT s.name AS source,
       n.node_key, n.name, n.region,
       p."start",
       strftime('%Y-%m-%dT%H:%M:%fZ', p."start" / 1000.0, 'unixepoch') AS start_utc,
       p."end",
       strftime('%Y-%m-%dT%H:%M:%fZ', p."end" / 1000.0, 'unixepoch') AS end_utc,
       round(max(ifnull(p."end", unixepoch('now') * 1000) - p."start", 0) / 3600000.0, 2) AS hours,
       p.started_by
  FROM problem AS p
  JOIN node AS n ON n.node_id = p.node_id
  JOIN source AS s ON s.source_id = n.source_id
 ORDER BY p."start", n.node_id;

-- Every sweep, the newest first.
CREATE VIEW sweep_log AS
SELECT w.sweep_id,
       s.name AS source,
       w.outcome,
       w.started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.started_at / 1000.0, 'unixepoch') AS started_at_utc,
       w.ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.ended_at / 1000.0, 'unixepoch') AS ended_at_utc,
       max(w.ended_at - w.started_at, 0) / 1000.0 AS seconds,
       w.reported_count, w.records, w.nodes, w.pages, w.requests, w.retries, w.bytes, w.changed,
       w.transitions, w.reason, w.error_code, w.error_msg
  FROM sweep AS w
  JOIN source AS s ON s.source_id = w.source_id
 ORDER BY w.started_at DESC, w.sweep_id DESC;

-- What somebody is still owed, the oldest first: pending, or dead until somebody decides.
CREATE VIEW undelivered AS
SELECT d.delivery_id, d.hook, d.rule, d.state, d.event_id, e.type,
       s.name AS source,
       n.node_key, n.name, d.attempts,
       d.created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.created_at / 1000.0, 'unixepoch') AS created_at_utc,
       round(max(unixepoch('now') * 1000 - d.created_at, 0) / 3600000.0, 2) AS age_hours,
       d.next_attempt_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at_utc,
       d.last_error
  FROM delivery AS d
  JOIN event AS e ON e.event_id = d.event_id
  JOIN source AS s ON s.source_id = e.source_id
  LEFT JOIN node AS n ON n.node_id = e.node_id
 WHERE d.state = 'pending' OR d.state = 'dead'
 ORDER BY d.event_id, d.hook;
