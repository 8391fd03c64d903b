CREATE TABLE aggregators (
    key INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE cache (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    task TEXT NOT NULL,
    workflow TEXT NOT NULL,
    value BLOB NOT NULL,
    stored_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    source TEXT NOT NULL,
    source_task TEXT NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions (
    hash TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    body BLOB NOT NULL
, seen_at REAL) STRICT;

CREATE TABLE deployments (
    namespace TEXT NOT NULL,
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at REAL NOT NULL,
    by TEXT,
    PRIMARY KEY (namespace, workflow, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    key INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    by TEXT,
    kind TEXT NOT NULL,
    task TEXT,
    attempt INTEGER,
    data BLOB,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    aggregator INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    item TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (aggregator, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE executions (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    lane TEXT NOT NULL,
    shard INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    definition TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL,
    parent TEXT,
    tags TEXT,
    created_at REAL NOT NULL,
    deadline REAL,
    traceparent TEXT,
    ended_at REAL,
    waiting_for TEXT
, wake_at REAL) STRICT;

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    execution TEXT NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB,
    command_id TEXT NOT NULL,
    by TEXT,
    at REAL NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE leases (
    lane TEXT NOT NULL,
    shard INTEGER NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (lane, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE limits (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    by TEXT,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meters (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (namespace, name, key, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE owners (
    owner TEXT PRIMARY KEY,
    lane TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    spec BLOB NOT NULL,
    started_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    released INTEGER NOT NULL,
    machine TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    lane TEXT NOT NULL,
    shard INTEGER NOT NULL,
    spec TEXT NOT NULL,
    next_at REAL NOT NULL,
    paused INTEGER NOT NULL,
    last TEXT,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    priority INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    held_at REAL,
    execution TEXT NOT NULL,
    task TEXT,
    claims TEXT NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    key INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE UNIQUE INDEX aggregators_by_name ON aggregators (namespace, name);

CREATE INDEX cache_by_age ON cache (namespace, stored_at);

CREATE INDEX evidence_by_item ON evidence (aggregator, item);

CREATE UNIQUE INDEX executions_by_id ON executions (namespace, id);

CREATE INDEX executions_by_parent ON executions (namespace, parent) WHERE parent IS NOT NULL;

CREATE INDEX executions_open ON executions (lane, shard, wake_at) WHERE ended_at IS NULL;

CREATE UNIQUE INDEX inbox_once ON inbox (namespace, execution, command_id);

CREATE INDEX inbox_waiting ON inbox (lane, id) WHERE taken = 0;

CREATE INDEX schedules_due ON schedules (lane, next_at) WHERE paused = 0;
