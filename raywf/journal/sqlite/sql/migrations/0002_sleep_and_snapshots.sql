-- Format 2: executions that sleep in the store, and snapshots of long histories.

-- Set exactly while only time, a signal or a person can move an open execution: when it must be looked at (infinite: time
-- does not move it). What was waiting before this format is loaded once more, and falls asleep then.
ALTER TABLE executions ADD COLUMN wake_at REAL;

DROP INDEX executions_open;

CREATE INDEX executions_open ON executions (lane, shard, wake_at) WHERE ended_at IS NULL;

CREATE TABLE snapshots (
    key INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
