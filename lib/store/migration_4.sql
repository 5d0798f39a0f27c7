-- Version 4: alerting. Everything that an alert waits for is a row, so that no timer is lost.

-- Events of one rule and one hook whose keys are equal go together; NULL: alone.
ALTER TABLE delivery ADD COLUMN group_key TEXT;
-- What a pending delivery waits for before its first attempt ('group', 'escalation'), or a muted one
-- before somebody looks whether its matter still stands ('mute'; NULL on a muted one: for good).
ALTER TABLE delivery ADD COLUMN wait TEXT CHECK (wait IN ('group', 'escalation', 'mute'));
ALTER TABLE delivery ADD COLUMN wait_until INTEGER;
-- The sweep whose changes are so many that nobody is told one by one before they are confirmed.
ALTER TABLE delivery ADD COLUMN held_by INTEGER;
ALTER TABLE delivery ADD COLUMN reason TEXT; -- why it is muted or dropped
ALTER TABLE delivery ADD COLUMN retried_at INTEGER; -- when somebody had it tried anew
ALTER TABLE delivery ADD COLUMN remind_at INTEGER; -- the next reminder; NULL: none
ALTER TABLE delivery ADD COLUMN reminders INTEGER NOT NULL DEFAULT 0; -- made
ALTER TABLE delivery ADD COLUMN reminded_at INTEGER; -- the last one

DROP INDEX delivery_queue;
CREATE INDEX delivery_queue
    ON delivery (hook, event_id, next_attempt_at, claimed_at, wait_until, held_by)
    WHERE state = 'pending';
CREATE INDEX delivery_group ON delivery (hook, rule, group_key, wait_until)
    WHERE state = 'pending' AND group_key IS NOT NULL;
CREATE INDEX delivery_muted ON delivery (hook, wait_until) WHERE state = 'muted' AND wait = 'mute';
CREATE INDEX delivery_held ON delivery (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX delivery_told ON delivery (hook, delivered_at) WHERE state = 'delivered';
CREATE INDEX delivery_remind ON delivery (hook, remind_at) WHERE remind_at IS NOT NULL;

-- A mute that was removed ends at that moment; who ended it.
ALTER TABLE mute ADD COLUMN removed_by TEXT;

-- Somebody works on the open problem of a node: reminders and escalations of it stop.
CREATE TABLE ack (
    ack_id     INTEGER PRIMARY KEY,
    node_id    INTEGER NOT NULL REFERENCES node (node_id),
    author     TEXT,
    comment    TEXT,
    created_at INTEGER NOT NULL,
    until_at   INTEGER, -- NULL: until the problem ends
    ended_at   INTEGER,
    ended_by   TEXT CHECK (ended_by IN ('recovery', 'expiry', 'command', 'renewal')),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX ack_open ON ack (node_id) WHERE ended_at IS NULL;

-- A hook that its receiver turned off (410 Gone). What it is owed stays pending.
CREATE TABLE hook (
    name   TEXT PRIMARY KEY,
    off_at INTEGER NOT NULL,
    target TEXT NOT NULL, -- a hash of the URL that answered so: another one turns the hook on again
    reason TEXT NOT NULL
) STRICT;

-- Since when the node changes its status so often that each change is no news.
ALTER TABLE node ADD COLUMN flapping_since INTEGER;
CREATE INDEX node_flapping ON node (source_id) WHERE flapping_since IS NOT NULL;

-- Since when a mass change of the source waits for confirmation, and the sweeps that could not give
-- it.
ALTER TABLE source ADD COLUMN shift_since INTEGER;
ALTER TABLE source ADD COLUMN shift_sweeps INTEGER NOT NULL DEFAULT 0;
-- The first sweep of whose changes it is not decided yet whether they are a mass change: of one that
-- waits, or of a process that died amid a sweep. No reference: retention may take the sweep.
ALTER TABLE source ADD COLUMN shift_from INTEGER;
-- The last so many complete sweeps of a source.
CREATE INDEX sweep_complete ON sweep (source_id) WHERE outcome = 'complete';
