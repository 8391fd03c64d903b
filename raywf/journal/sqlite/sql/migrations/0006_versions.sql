-- Format 6: when a definition was first seen, and which one new executions of a workflow get.

ALTER TABLE definitions ADD COLUMN seen_at REAL;

UPDATE definitions SET seen_at = used.at
FROM (SELECT definition, min(created_at) AS at FROM executions GROUP BY definition) AS used
WHERE used.definition = definitions.hash;

-- The greatest number of a workflow is the one that counts; those before say what a rollback may go back to.
CREATE TABLE deployments (
    namespace TEXT NOT NULL,
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at REAL NOT NULL,
    by TEXT,
    PRIMARY KEY (namespace, workflow, number)
) STRICT, WITHOUT ROWID;
