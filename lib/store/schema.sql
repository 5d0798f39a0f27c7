-- history.db, schema version 1. Times are Unix milliseconds. docs/history.md explains every column.
-- No index is here without a query that needs it: each one slows the first sweep of a big fleet.
-- CHECKs guard what the program decides itself; what the API sends (counts, its times) is taken as
-- it comes, so that an odd record can never stop a sweep. No CHECK may call json_valid(): with
-- trusted_schema off, as we open it, SQLite 3.40 takes the JSON functions for unsafe.

-- A source: one section [source NAME] of patchwatch.ini. Rows are never deleted.
CREATE TABLE source (
    source_id              INTEGER PRIMARY KEY,
    name                   TEXT NOT NULL UNIQUE,
    endpoint               TEXT NOT NULL,
    offset_mode            TEXT CHECK (offset_mode IN ('page', 'record')), -- NULL: not found out yet
    baseline_at            INTEGER, -- end of the first complete sweep; NULL before it
    last_complete_sweep_id INTEGER REFERENCES sweep (sweep_id) ON DELETE SET NULL,
    last_complete_at       INTEGER  -- end of the last complete sweep
) STRICT;

-- A sweep: one reading of every page of a source.
CREATE TABLE sweep (
    sweep_id       INTEGER PRIMARY KEY,
    source_id      INTEGER NOT NULL REFERENCES source (source_id),
    started_at     INTEGER NOT NULL,
    ended_at       INTEGER, -- may be before started_at where the clock was set back
    outcome        TEXT NOT NULL DEFAULT 'running'
                   CHECK (outcome IN ('running', 'complete', 'incomplete', 'failed')),
    reported_count INTEGER, -- the API's own count; NULL where it never gave one
    records        INTEGER NOT NULL DEFAULT 0,
    nodes          INTEGER NOT NULL DEFAULT 0,
    pages          INTEGER NOT NULL DEFAULT 0,
    requests       INTEGER NOT NULL DEFAULT 0,
    retries        INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0,
    changed        INTEGER NOT NULL DEFAULT 0,
    transitions    INTEGER NOT NULL DEFAULT 0,
    reason         TEXT, -- why it is not complete
    error_code     TEXT,
    error_msg      TEXT,
    CHECK ((ended_at IS NULL) = (outcome = 'running'))
) STRICT;
CREATE INDEX sweep_by_source ON sweep (source_id, started_at);
-- Those that a killed process left behind.
CREATE INDEX sweep_running ON sweep (source_id) WHERE outcome = 'running';

-- A node, present or missing. The three counters at the end are the program's own memory between
-- sweeps.
CREATE TABLE node (
    node_id               INTEGER PRIMARY KEY,
    source_id             INTEGER NOT NULL REFERENCES source (source_id),
    node_key              TEXT NOT NULL CHECK (node_key <> ''),
    name                  TEXT,
    instance_id           TEXT,
    cce_node_id           TEXT,
    ip                    TEXT,
    eip                   TEXT,
    region                TEXT,
    group_name            TEXT,
    enterprise_project_id TEXT,
    operating_system      TEXT,
    report_scene          TEXT,
    cce_info_id           TEXT,
    status                TEXT NOT NULL CHECK (status IN ('compliant', 'non_compliant', 'unknown')),
    last_definite_status  TEXT CHECK (last_definite_status IN ('compliant', 'non_compliant')),
    status_since          INTEGER NOT NULL,
    first_seen_at         INTEGER NOT NULL,
    last_seen_at          INTEGER NOT NULL, -- rewritten only when the node changes
    missing_since         INTEGER,          -- NULL: present
    pending_status        TEXT CHECK (pending_status IN ('compliant', 'non_compliant')),
    pending_cause         TEXT, -- the event's cause, should it come to one
    pending_sweeps        INTEGER NOT NULL DEFAULT 0 CHECK (pending_sweeps >= 0),
    missed_sweeps         INTEGER NOT NULL DEFAULT 0 CHECK (missed_sweeps >= 0),
    UNIQUE (node_key, source_id) -- this way round it finds a key without its source too
) STRICT;
-- By name or instance_id the table is scanned: 20 ms at 100,000 nodes, for a person's command only.

-- A version of a report. A change ends one version (valid_to) and begins the next (valid_from);
-- a version holds at valid_from and no longer at valid_to. valid_to NULL: current.
CREATE TABLE report (
    report_pk                   INTEGER PRIMARY KEY,
    node_id                     INTEGER NOT NULL REFERENCES node (node_id),
    baseline_id                 TEXT NOT NULL DEFAULT '', -- '' also where the API said null
    baseline_name               TEXT,
    rule_type                   TEXT,
    report_id                   TEXT, -- the API's id of the record
    status                      TEXT NOT NULL
                                CHECK (status IN ('compliant', 'non_compliant', 'unknown')),
    status_text                 TEXT,    -- the status as the API sent it
    report_time                 INTEGER, -- the API's; NULL where it said null
    job_id                      TEXT,
    order_id                    TEXT,
    compliant_count             INTEGER, -- a count is NULL where the API said null
    compliant_critical          INTEGER,
    compliant_high              INTEGER,
    compliant_medium            INTEGER,
    compliant_low               INTEGER,
    compliant_informational     INTEGER,
    compliant_unspecified       INTEGER,
    non_compliant_count         INTEGER,
    non_compliant_critical      INTEGER,
    non_compliant_high          INTEGER,
    non_compliant_medium        INTEGER,
    non_compliant_low           INTEGER,
    non_compliant_informational INTEGER,
    non_compliant_unspecified   INTEGER,
    valid_from                  INTEGER NOT NULL,
    valid_to                    INTEGER,
    CHECK (valid_to IS NULL OR valid_to >= valid_from)
) STRICT;
-- One current version a report key.
CREATE UNIQUE INDEX report_current ON report (node_id, baseline_id) WHERE valid_to IS NULL;
CREATE INDEX report_by_node ON report (node_id, valid_to);
CREATE INDEX report_ended ON report (valid_to) WHERE valid_to IS NOT NULL;

-- An event. event_id is its sequence and never used twice. type is the whole CloudEvents type
-- ("io.patchwatch.node.compliant"); no list of them here, so that a new one needs no migration.
CREATE TABLE event (
    event_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    uid         TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL CHECK (type GLOB 'io.patchwatch.?*'),
    source_id   INTEGER NOT NULL REFERENCES source (source_id),
    node_id     INTEGER REFERENCES node (node_id), -- NULL: of the source as a whole
    sweep_id    INTEGER REFERENCES sweep (sweep_id) ON DELETE SET NULL,
    from_status TEXT CHECK (from_status IN ('compliant', 'non_compliant', 'unknown')),
    to_status   TEXT CHECK (to_status IN ('compliant', 'non_compliant', 'unknown')),
    cause       TEXT,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    data        TEXT NOT NULL CHECK (data GLOB '{*}') -- the CloudEvent, JSON
) STRICT;
CREATE INDEX event_by_node ON event (node_id); -- and so by (node_id, event_id)
CREATE INDEX event_by_type ON event (type);
CREATE INDEX event_by_time ON event (recorded_at);
CREATE INDEX event_by_sweep ON event (sweep_id);

-- What one hook is owed of one event. claimed_at is set while an attempt is in flight.
CREATE TABLE delivery (
    delivery_id     INTEGER PRIMARY KEY,
    event_id        INTEGER NOT NULL REFERENCES event (event_id),
    hook            TEXT NOT NULL CHECK (hook <> ''),
    rule            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'delivered', 'dead', 'muted', 'dropped')),
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- counted before they are made
    created_at      INTEGER NOT NULL,
    claimed_at      INTEGER,
    last_attempt_at INTEGER,
    next_attempt_at INTEGER NOT NULL,
    delivered_at    INTEGER,
    last_error      TEXT,
    UNIQUE (event_id, hook),
    CHECK ((delivered_at IS NOT NULL) = (state = 'delivered')),
    CHECK (claimed_at IS NULL OR state = 'pending')
) STRICT;
-- The queue in its order, with all that a claim looks at.
CREATE INDEX delivery_queue ON delivery (hook, event_id, next_attempt_at, claimed_at)
    WHERE state = 'pending';
-- What wakes a hook next.
CREATE INDEX delivery_waiting ON delivery (hook, next_attempt_at)
    WHERE state = 'pending' AND claimed_at IS NULL;
CREATE INDEX delivery_in_flight ON delivery (claimed_at)
    WHERE state = 'pending' AND claimed_at IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (hook, event_id) WHERE state = 'dead';

-- A mute made with the command. Times NULL: from ever, for ever.
CREATE TABLE mute (
    mute_id    INTEGER PRIMARY KEY,
    match      TEXT NOT NULL CHECK (match GLOB '{*}'), -- JSON, as match in alerts.yaml
    from_at    INTEGER,
    until_at   INTEGER,
    author     TEXT,
    comment    TEXT,
    created_at INTEGER NOT NULL DEFAULT (unixepoch('now') * 1000),
    CHECK (from_at IS NULL OR until_at IS NULL OR until_at > from_at)
) STRICT;
