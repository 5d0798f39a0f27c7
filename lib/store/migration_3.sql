-- Version 3: what an auditor can rely on. Versions of a report that cannot overlap, events that are
-- chained by hash (the rows that exist are chained by pw_chain_migrate), and what retention needs.
-- Its views: migration_3_views.sql.

-- Where the clock was set back, a version could begin before the one before it had ended.
UPDATE report
   SET valid_from = fixed.earliest, valid_to = max(valid_to, fixed.earliest)
  FROM (SELECT report_pk AS pk,
               max(valid_to) OVER (PARTITION BY node_id, baseline_id ORDER BY report_pk
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earliest
          FROM report) AS fixed
 WHERE report.report_pk = fixed.pk AND report.valid_from < fixed.earliest;

CREATE TRIGGER report_no_overlap AFTER INSERT ON report
BEGIN
    SELECT RAISE(ABORT, 'report: a version must not begin before the one before it has ended')
      FROM report AS o
     WHERE o.node_id = NEW.node_id AND o.valid_to > NEW.valid_from
       AND o.baseline_id = NEW.baseline_id AND o.report_pk <> NEW.report_pk
       AND (NEW.valid_to IS NULL OR o.valid_from < NEW.valid_to);
    SELECT RAISE(ABORT, 'report: a version must end before the current one begins')
      FROM report AS o
     WHERE NEW.valid_to IS NOT NULL
       AND o.node_id = NEW.node_id AND o.baseline_id = NEW.baseline_id AND o.valid_to IS NULL
       AND o.valid_from < NEW.valid_to;
END;
CREATE TRIGGER report_ends_once AFTER UPDATE OF valid_to ON report
WHEN OLD.valid_to IS NOT NULL AND NEW.valid_to IS NOT OLD.valid_to
BEGIN
    SELECT RAISE(ABORT, 'report: the end of a version is set once');
END;
CREATE TRIGGER report_stays_where_it_is
AFTER UPDATE OF report_pk, node_id, baseline_id, valid_from ON report
WHEN NEW.valid_from <> OLD.valid_from OR NEW.node_id <> OLD.node_id
     OR NEW.baseline_id <> OLD.baseline_id OR NEW.report_pk <> OLD.report_pk
BEGIN
    SELECT RAISE(ABORT, 'report: what a version is of, and its beginning, never change');
END;

-- SHA-256 of the hash of the event before it and of everything in this row.
ALTER TABLE event ADD COLUMN chain_hash BLOB CHECK (length(chain_hash) = 32);

-- Where the chain begins once old events were pruned: at most one row, the newest of those.
CREATE TABLE chain_anchor (
    event_id  INTEGER PRIMARY KEY,
    hash      BLOB NOT NULL CHECK (length(hash) = 32),
    pruned_at INTEGER NOT NULL,
    kept_from INTEGER NOT NULL -- what was recorded before this could go
) STRICT;

-- The events of a file that an older version made were chained afterwards, and may have had gaps
-- before: one row in such a file, the last of those events and of the sweeps of that time.
CREATE TABLE chain_start (
    event_id    INTEGER PRIMARY KEY,
    sweep_id    INTEGER NOT NULL,
    migrated_at INTEGER NOT NULL
) STRICT;

-- How far back versions and missing nodes are whole: one row once retention took some of them.
CREATE TABLE horizon (
    horizon_id INTEGER PRIMARY KEY CHECK (horizon_id = 1),
    kept_from  INTEGER NOT NULL, -- the greatest cutoff that took something
    pruned_at  INTEGER NOT NULL
) STRICT;

-- Who was told of a problem that is still open though its event was pruned, and is therefore owed
-- its end.
CREATE TABLE told (
    told_id   INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES source (source_id),
    node_id   INTEGER REFERENCES node (node_id), -- NULL: that the source fails
    event_id  INTEGER NOT NULL, -- the event that was pruned
    hook      TEXT NOT NULL CHECK (hook <> ''),
    rule      TEXT NOT NULL
) STRICT;
CREATE INDEX told_by_node ON told (node_id, source_id);

CREATE INDEX node_missing ON node (missing_since) WHERE missing_since IS NOT NULL;
