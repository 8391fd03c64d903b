CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);
CREATE TABLE definitions (hash text COLLATE "C" PRIMARY KEY, workflow text NOT NULL, version text NOT NULL, body bytea NOT NULL);
CREATE TABLE executions (
    key bigint PRIMARY KEY, id text COLLATE "C" NOT NULL, namespace text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL, shard integer NOT NULL, workflow text NOT NULL, version text NOT NULL,
    definition text NOT NULL, fingerprint text NOT NULL, status text NOT NULL, priority bigint NOT NULL, parent text,
    tags jsonb, created_at float8 NOT NULL, deadline float8, traceparent text, ended_at float8, waiting_for text,
    wake_at float8
);
CREATE UNIQUE INDEX executions_by_id ON executions (namespace, id);
CREATE INDEX executions_open ON executions (lane, shard, wake_at) WHERE ended_at IS NULL;
CREATE INDEX executions_by_parent ON executions (namespace, parent) WHERE parent IS NOT NULL;
CREATE INDEX executions_by_tags ON executions USING gin (tags jsonb_path_ops) WHERE tags IS NOT NULL;
CREATE TABLE events (
    key bigint NOT NULL, seq bigint NOT NULL, at float8 NOT NULL, by text, kind text NOT NULL, task text,
    attempt bigint, data bytea, PRIMARY KEY (key, seq)
);
CREATE TABLE snapshots (key bigint PRIMARY KEY, seq bigint NOT NULL, data bytea NOT NULL);
CREATE TABLE owners (
    owner text COLLATE "C" PRIMARY KEY, lane text COLLATE "C" NOT NULL, host text NOT NULL, pid bigint NOT NULL,
    spec bytea NOT NULL, started_at float8 NOT NULL, expires_at float8 NOT NULL, released boolean NOT NULL
);
CREATE TABLE leases (
    lane text COLLATE "C" NOT NULL, shard integer NOT NULL, owner text COLLATE "C" NOT NULL, epoch bigint NOT NULL,
    PRIMARY KEY (lane, shard)
);
-- The last commit of each owner: whether a commit whose answer was lost is on disk.
CREATE TABLE commits (owner text COLLATE "C" PRIMARY KEY, id uuid NOT NULL);
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace text COLLATE "C" NOT NULL,
    execution text COLLATE "C" NOT NULL, lane text COLLATE "C" NOT NULL, kind text NOT NULL, body bytea,
    command_id text COLLATE "C" NOT NULL, by text, at float8 NOT NULL, taken boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX inbox_once ON inbox (namespace, execution, command_id);
CREATE INDEX inbox_waiting ON inbox (lane, id) WHERE NOT taken;
CREATE TABLE aggregators (
    key bigint PRIMARY KEY, namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, seq bigint NOT NULL,
    at float8 NOT NULL, body bytea NOT NULL
);
CREATE UNIQUE INDEX aggregators_by_name ON aggregators (namespace, name);
CREATE TABLE evidence (
    aggregator bigint NOT NULL, seq bigint NOT NULL, item text NOT NULL, at float8 NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (aggregator, seq)
);
CREATE INDEX evidence_by_item ON evidence (aggregator, item);
CREATE TABLE limits (
    namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, rule text NOT NULL, by text,
    PRIMARY KEY (namespace, name)
);
CREATE TABLE slots (
    namespace text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL,
    priority bigint NOT NULL, asked_at float8 NOT NULL, claims text NOT NULL, held_at float8, execution text NOT NULL,
    task text, PRIMARY KEY (namespace, id)
);
CREATE TABLE meters (
    namespace text COLLATE "C" NOT NULL, name text NOT NULL, key text NOT NULL, kind text NOT NULL,
    value float8 NOT NULL, PRIMARY KEY (namespace, name, key, kind)
);
CREATE TABLE schedules (
    namespace text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, lane text COLLATE "C" NOT NULL,
    shard integer NOT NULL, spec text NOT NULL, next_at float8 NOT NULL, paused boolean NOT NULL, last text,
    PRIMARY KEY (namespace, id)
);
CREATE INDEX schedules_due ON schedules (lane, next_at) WHERE NOT paused;
-- Values too large for a history event, under their content hash.
CREATE TABLE blobs (hash text COLLATE "C" PRIMARY KEY, data bytea NOT NULL);
ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL;
