-- Format 5: results of tasks that are reused.

-- key is the content key; task is module:function. expires_at is infinite for what stays until it is cleared.
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

CREATE INDEX cache_by_age ON cache (namespace, stored_at);
