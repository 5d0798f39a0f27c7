-- Version 2: a source that fails is an event of its own, told once, reminded daily, ended by recovery.
ALTER TABLE source ADD COLUMN failed_sweeps INTEGER NOT NULL DEFAULT 0; -- in a row, up to now
ALTER TABLE source ADD COLUMN failing_since INTEGER;   -- start of the first of them
ALTER TABLE source ADD COLUMN failing_told_at INTEGER; -- last source.failing; NULL: not told
ALTER TABLE source ADD COLUMN empty_sweeps INTEGER NOT NULL DEFAULT 0 -- complete ones in a row that showed
    CHECK (empty_sweeps BETWEEN 0 AND 2); -- nothing: 1 waits for confirmation, 2 stands for more
ALTER TABLE sweep ADD COLUMN request_id TEXT; -- of the answer that error_code and error_msg come from
-- Who was told that a source fails is told of its recovery.
CREATE INDEX event_of_source ON event (source_id, type) WHERE node_id IS NULL;
