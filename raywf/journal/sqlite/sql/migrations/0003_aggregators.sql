-- What aggregators know. evidence is their event log, one row per item and commit, found by number and by item;
-- aggregators holds one snapshot each: what the evidence up to seq amounts to.

CREATE TABLE aggregators (
    key INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX aggregators_by_name ON aggregators (namespace, name);

CREATE TABLE evidence (
    aggregator INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    item TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (aggregator, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX evidence_by_item ON evidence (aggregator, item);
