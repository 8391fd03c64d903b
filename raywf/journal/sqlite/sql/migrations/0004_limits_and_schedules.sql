-- Format 4: limits, who holds and waits for what they allow, and schedules.

-- rule is JSON. by is who set it; NULL: a definition declared it, and the next definition may.
CREATE TABLE limits (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    by TEXT,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

-- A slot counts while its owner lives. held_at NULL: it waits.
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

CREATE TABLE meters (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (namespace, name, key, kind)
) STRICT, WITHOUT ROWID;

-- spec is JSON. next_at is the instant of the next firing, infinite when there is none.
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

CREATE INDEX schedules_due ON schedules (lane, next_at) WHERE paused = 0;
