-- When a definition was first seen, and which one new executions of a workflow get.
ALTER TABLE definitions ADD COLUMN seen_at float8;
CREATE TABLE deployments (
    namespace text COLLATE "C" NOT NULL, workflow text NOT NULL, number bigint NOT NULL, hash text NOT NULL,
    at float8 NOT NULL, by text, PRIMARY KEY (namespace, workflow, number)
);
