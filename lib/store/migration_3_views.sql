-- The views of version 3, in the place of those of views.sql.

DROP VIEW node_timeline;
-- All that is known to have happened to a node: report versions, events, and who was told. Of what
-- came at the same instant the version that was replaced comes first.
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
               NULL AS event_id, NULL AS hook, r.report_pk
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN report AS r ON r.node_id = n.node_id
        UNION ALL
        -- Only where no newer version took its place.
        SELECT s.name, n.node_key, n.name, r.valid_to, 0, 'report ended', r.status,
               coalesce(r.baseline_name, nullif(r.baseline_id, ''), 'no baseline'), NULL, NULL,
               r.report_pk
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
               e.event_id, NULL, NULL
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN event AS e ON e.node_id = n.node_id
        UNION ALL
        SELECT s.name, n.node_key, n.name,
               coalesce(d.delivered_at, d.last_attempt_at, d.created_at), 3, 'delivery', d.state,
               printf('%s, attempts: %d%s', replace(e.type, 'io.patchwatch.', ''), d.attempts,
                      ifnull(': ' || d.last_error, '')),
               e.event_id, d.hook, NULL
          FROM node AS n
          JOIN source AS s ON s.source_id = n.source_id
          JOIN event AS e ON e.node_id = n.node_id
          JOIN delivery AS d ON d.event_id = e.event_id)
 ORDER BY at, place, report_pk, event_id;

DROP VIEW fleet_daily;
-- Nodes by status at the end of each UTC day (today: now), from the first day on, or the first that
-- retention left whole; all sources together. A version covers the days at whose end it held.
CREATE VIEW fleet_daily AS
WITH RECURSIVE
     today (day) AS (SELECT unixepoch('now') / 86400),
     -- the first whole day of which retention took nothing
     begin (day) AS (
         SELECT ifnull((SELECT (kept_from + 86399999) / 86400000 FROM horizon), -1000000)),
     span (node_id, bit, first_day, end_day) AS (
         SELECT node_id,
                CASE status WHEN 'non_compliant' THEN 1 << 40 WHEN 'compliant' THEN 1 << 20
                            ELSE 1 END,
                max(valid_from / 86400000, (SELECT day FROM begin)), valid_to / 86400000
           FROM report),
     -- Reports of a status that a node has from a day's end on, more or fewer than before: three
     -- counts of 20 bits in one number. A span that covers no day's end is none.
     delta (node_id, day, reports, is_first) AS (
         SELECT node_id, first_day, bit, 0 FROM span WHERE end_day IS NULL OR end_day > first_day
         UNION ALL
         SELECT node_id, end_day, -bit, 0 FROM span WHERE end_day > first_day
         UNION ALL
         SELECT node_id, max(first_seen_at / 86400000, (SELECT day FROM begin)), 0, 1 FROM node),
     -- Most versions follow one of the same status: nothing is left of those.
     net (node_id, day, reports) AS (
         SELECT node_id, day, sum(reports) FROM delta GROUP BY node_id, day
         HAVING (sum(reports) <> 0 OR max(is_first)) AND day <= (SELECT day FROM today)),
     held (node_id, day, reports) AS (
         SELECT node_id, day, sum(reports) OVER (PARTITION BY node_id ORDER BY day) FROM net),
     -- what the node is from then on: 3 non_compliant, 2 compliant, 1 unknown, 0 missing (no report)
     state (node_id, day, rank) AS (
         SELECT node_id, day, CASE WHEN reports >= 1 << 40 THEN 3 WHEN reports >= 1 << 20 THEN 2
                                   WHEN reports > 0 THEN 1 ELSE 0 END
           FROM held),
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

DROP VIEW remediation;
-- Each problem: from the report that made a node non_compliant to the one that made it compliant.
-- A problem that was there when the node was first seen has no event at its start: it begins with
-- the node's first non_compliant report. Where that event was pruned, nobody knows when one that is
-- over began.
CREATE VIEW remediation AS
WITH change (node_id, bad, place, at, recorded_at, next_at) AS (
         SELECT node_id, type = 'io.patchwatch.node.non_compliant',
                row_number() OVER history, occurred_at, recorded_at,
                lead(occurred_at) OVER history
           FROM event
          WHERE type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.compliant')
            AND node_id IS NOT NULL
         WINDOW history AS (PARTITION BY node_id ORDER BY event_id)),
     -- nodes that were non_compliant before their first change that is left, with the end of that
     earlier (node_id, "end") AS (
         SELECT node_id, at FROM change WHERE place = 1 AND NOT bad
         UNION ALL
         SELECT node_id, NULL FROM node
          WHERE last_definite_status = 'non_compliant'
            AND node_id NOT IN (SELECT node_id FROM change)),
     -- Did an event tell of its beginning, that is gone? Not where its first version is left; nor
     -- where it was first seen after all that could go.
     opened (node_id, first_seen_at, status_since, is_pruned, "end") AS (
         SELECT n.node_id, n.first_seen_at, n.status_since,
                n.first_seen_at < (SELECT max(kept_from) FROM chain_anchor)
                AND NOT EXISTS (SELECT 1 FROM report AS r
                                 WHERE r.node_id = n.node_id AND r.valid_from <= n.first_seen_at
                                   AND r.status <> 'compliant'),
                o."end"
           FROM earlier AS o
           JOIN node AS n ON n.node_id = o.node_id),
     -- moment: when we learned of it
     problem (node_id, started_by, "start", "end", moment) AS (
         SELECT node_id, 'event', at, next_at, recorded_at FROM change WHERE bad
         UNION ALL
         SELECT o.node_id, 'pruned', CASE WHEN o."end" IS NULL THEN o.status_since END, o."end",
                (SELECT min(r.valid_from) FROM report AS r
                  WHERE r.node_id = o.node_id AND r.status = 'non_compliant' AND o."end" IS NULL
                    AND ifnull(r.report_time, r.valid_from) = o.status_since)
           FROM opened AS o WHERE o.is_pruned
         UNION ALL
         SELECT o.node_id, 'first report',
                ifnull((SELECT ifnull(r.report_time, r.valid_from) FROM report AS r
                         WHERE r.node_id = o.node_id AND r.status = 'non_compliant'
                         ORDER BY r.valid_from, r.report_pk LIMIT 1), o.first_seen_at),
                o."end",
                (SELECT min(r.valid_from) FROM report AS r
                  WHERE r.node_id = o.node_id AND r.status = 'non_compliant')
           FROM opened AS o WHERE o.is_pruned IS NOT TRUE)
SELECT s.name AS source,
       n.node_key, n.name, n.region,
       p."start",
       strftime('%Y-%m-%dT%H:%M:%fZ', p."start" / 1000.0, 'unixepoch') AS start_utc,
       -- the cloud's clock may have been set back in between
       ifnull(max(p."end", p."start"), p."end") AS "end",
       strftime('%Y-%m-%dT%H:%M:%fZ', ifnull(max(p."end", p."start"), p."end") / 1000.0,
                'unixepoch') AS end_utc,
       round(max(ifnull(p."end", unixepoch('now') * 1000) - p."start", 0) / 3600000.0, 2) AS hours,
       p.started_by,
       CASE (SELECT max(CASE WHEN r.non_compliant_critical > 0 THEN 6
                             WHEN r.non_compliant_high > 0 THEN 5
                             WHEN r.non_compliant_medium > 0 THEN 4
                             WHEN r.non_compliant_low > 0 THEN 3
                             WHEN r.non_compliant_informational > 0 THEN 2
                             WHEN r.non_compliant_unspecified > 0 THEN 1 END)
               FROM report AS r
              WHERE r.node_id = p.node_id AND r.status = 'non_compliant'
                AND r.valid_from <= p.moment AND ifnull(r.valid_to > p.moment, TRUE))
            WHEN 6 THEN 'critical' WHEN 5 THEN 'high' WHEN 4 THEN 'medium' WHEN 3 THEN 'low'
            WHEN 2 THEN 'informational' WHEN 1 THEN 'unspecified' END AS severity
  FROM problem AS p
  JOIN node AS n ON n.node_id = p.node_id
  JOIN source AS s ON s.source_id = n.source_id
 ORDER BY p."start", n.node_id;

DROP VIEW sweep_log;
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
 ORDER BY w.sweep_id DESC;

DROP VIEW undelivered;
-- What somebody is still owed, the oldest first: pending, or dead until somebody decides. Each half
-- has an index of its own, so that the deliveries that were made are not even looked at.
CREATE VIEW undelivered AS
SELECT owed.delivery_id, owed.hook, owed.rule, owed.state, owed.event_id, e.type,
       s.name AS source,
       n.node_key, n.name, owed.attempts,
       owed.created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', owed.created_at / 1000.0, 'unixepoch') AS created_at_utc,
       round(max(unixepoch('now') * 1000 - owed.created_at, 0) / 3600000.0, 2) AS age_hours,
       owed.next_attempt_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', owed.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at_utc,
       owed.last_error
  FROM (SELECT * FROM delivery INDEXED BY delivery_queue WHERE state = 'pending'
        UNION ALL
        SELECT * FROM delivery INDEXED BY delivery_dead WHERE state = 'dead') AS owed
  JOIN event AS e ON e.event_id = owed.event_id
  JOIN source AS s ON s.source_id = e.source_id
  LEFT JOIN node AS n ON n.node_id = e.node_id
 ORDER BY owed.event_id, owed.hook;
