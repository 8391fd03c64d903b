-- Results of tasks that are reused: key is the content key, task is module:function.
CREATE TABLE cache (
    namespace text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, task text NOT NULL, workflow text NOT NULL,
    value bytea NOT NULL, stored_at float8 NOT NULL, expires_at float8 NOT NULL, source text NOT NULL,
    source_task text NOT NULL, PRIMARY KEY (namespace, key)
);
CREATE INDEX cache_by_age ON cache (namespace, stored_at);
