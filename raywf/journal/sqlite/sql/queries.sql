-- Every statement the SQLite journal runs, by name. `/*rows*/` marks the one group that is repeated for many rows.

-- name: insert_definition
-- A definition is content-addressed: whoever was first is right.
INSERT INTO definitions (hash, workflow, version, body, seen_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING;

-- name: redefine
UPDATE executions SET definition = ?, version = ? WHERE key = ?;

-- name: versions
SELECT d.hash, d.workflow, d.version, d.seen_at, coalesce(e.open, 0) FROM definitions AS d LEFT JOIN (
    SELECT definition, count(*) AS open FROM executions WHERE namespace = :namespace AND ended_at IS NULL GROUP BY definition
) AS e ON e.definition = d.hash
WHERE d.workflow = :workflow ORDER BY d.seen_at, d.hash;

-- name: deployments
SELECT namespace, workflow, number, hash, at, by FROM deployments
WHERE namespace = :namespace AND (:workflow IS NULL OR workflow = :workflow) ORDER BY workflow, number;

-- name: put_deployment
INSERT INTO deployments (namespace, workflow, number, hash, at, by) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: insert_execution
INSERT INTO executions (
    key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
) VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_event
INSERT INTO events (key, seq, at, by, kind, task, attempt, data) VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?);

-- name: change_status
UPDATE executions SET status = v.column2, ended_at = v.column3, waiting_for = v.column4, wake_at = v.column5
FROM (VALUES /*rows*/ (?, ?, ?, ?, ?)) AS v WHERE executions.key = v.column1;

-- name: mark_taken
UPDATE inbox SET taken = 1, body = NULL WHERE id IN (SELECT value FROM json_each(?));

-- name: lost_shards
-- Of the shards and epochs a writer believes in (a JSON object), those that are no longer its own.
SELECT CAST(believed.key AS INTEGER) FROM json_each(:believed) AS believed
LEFT JOIN leases ON leases.lane = :lane AND leases.shard = CAST(believed.key AS INTEGER)
WHERE leases.owner IS NOT :owner OR leases.epoch IS NOT believed.value;

-- name: taken_keys
-- Of new executions (a JSON list of [key, namespace, id]), the keys of those that cannot be stored.
SELECT value ->> 0 FROM json_each(:opened)
WHERE EXISTS (SELECT 1 FROM executions WHERE key = value ->> 0)
   OR EXISTS (SELECT 1 FROM executions WHERE namespace = value ->> 1 AND id = value ->> 2);

-- name: claim_shards
-- Take what is free, lapsed, released, or held by one of the dead. The epoch of what is taken rises.
INSERT INTO leases (lane, shard, owner, epoch)
SELECT :lane, value, :owner, 1 FROM json_each(:shards) WHERE true
ON CONFLICT (lane, shard) DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1
WHERE leases.owner IN (SELECT value FROM json_each(:dead))
   OR NOT EXISTS (
       SELECT 1 FROM owners
       WHERE owners.owner = leases.owner AND owners.released = 0 AND owners.expires_at > :now
   );

-- name: held_shards
SELECT shard, epoch FROM leases
WHERE lane = :lane AND owner = :owner AND shard IN (SELECT value FROM json_each(:shards)) ORDER BY shard;

-- name: register_owner
INSERT INTO owners (owner, lane, host, pid, spec, started_at, expires_at, released, machine)
VALUES (:owner, :lane, :host, :pid, :spec, :started_at, :expires_at, 0, :machine)
ON CONFLICT (owner) DO UPDATE SET
    lane = excluded.lane, host = excluded.host, pid = excluded.pid, spec = excluded.spec,
    started_at = excluded.started_at, expires_at = excluded.expires_at, released = 0, machine = excluded.machine;

-- name: forget_idle_owners
-- Owners that lost or gave up everything have nothing left to say.
DELETE FROM owners
WHERE owner <> :owner AND (released = 1 OR lane = :lane)
  AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.lane = owners.lane AND leases.owner = owners.owner);

-- name: foreign_owner
-- A live owner under another kernel: SQLite's shared memory does not reach it.
SELECT owner, host, pid, expires_at FROM owners
WHERE released = 0 AND expires_at > :now AND machine <> :machine AND owner NOT IN (SELECT value FROM json_each(:dead))
LIMIT 1;

-- name: renew_owner
UPDATE owners SET expires_at = :expires_at
WHERE owner = :owner AND released = 0
  AND EXISTS (SELECT 1 FROM leases WHERE leases.lane = owners.lane AND leases.owner = owners.owner);

-- name: release_owner
UPDATE owners SET released = 1 WHERE owner = ?;

-- name: live_owners
SELECT owner, lane, host, pid, spec, started_at, expires_at, released FROM owners
WHERE released = 0 ORDER BY started_at, owner;

-- name: send_command
INSERT INTO inbox (namespace, execution, lane, kind, body, command_id, by, at)
VALUES (:namespace, :execution, :lane, :kind, :body, :command_id, :by, :at)
ON CONFLICT (namespace, execution, command_id) DO NOTHING;

-- name: waiting_commands
SELECT id, namespace, execution, lane, kind, body, command_id, by, at FROM inbox
WHERE taken = 0 AND lane = :lane AND id > :after ORDER BY id LIMIT :limit;

-- name: execution_by_id
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace AND id = :id;

-- name: executions_by_ids
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace AND id IN (SELECT value FROM json_each(:ids));

-- name: open_keys
-- Open executions of some shards that are not asleep, in order of key.
SELECT key FROM executions
WHERE lane = :lane AND ended_at IS NULL AND wake_at IS NULL AND shard IN (SELECT value FROM json_each(:shards)) ORDER BY key;

-- name: open_executions
-- Those of some keys that are still open.
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE key IN (SELECT value FROM json_each(:keys)) AND ended_at IS NULL ORDER BY key;

-- name: histories
-- What came after the snapshot; everything where there is none.
SELECT e.key, e.seq, e.at, e.by, e.kind, e.task, e.attempt, e.data
FROM json_each(:keys) AS wanted LEFT JOIN snapshots AS s ON s.key = wanted.value
CROSS JOIN events AS e ON e.key = wanted.value AND e.seq > coalesce(s.seq, 0) ORDER BY e.key, e.seq;

-- name: snapshots
SELECT key, seq, data FROM snapshots WHERE key IN (SELECT value FROM json_each(:keys));

-- name: put_snapshot
INSERT INTO snapshots (key, seq, data) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, data = excluded.data;

-- name: drop_snapshots
DELETE FROM snapshots WHERE key IN (SELECT value FROM json_each(?));

-- name: due
SELECT key, wake_at FROM executions
WHERE lane = :lane AND ended_at IS NULL AND wake_at <= :until AND shard IN (SELECT value FROM json_each(:shards))
ORDER BY wake_at, key LIMIT :limit;

-- name: next_wake
-- A shard at a time, so that the index answers each with its first entry.
SELECT min((
    SELECT min(wake_at) FROM executions
    WHERE lane = :lane AND shard = shards.value AND ended_at IS NULL AND wake_at > :after
)) FROM json_each(:shards) AS shards;

-- name: history
SELECT key, seq, at, by, kind, task, attempt, data FROM events
WHERE key = :key AND seq > :after ORDER BY seq LIMIT :limit;

-- name: closings
-- The last event of executions that are closed: nothing follows a closing event.
SELECT key, seq, at, by, kind, task, attempt, data FROM events
JOIN (
    SELECT e.key AS closed, (SELECT max(seq) FROM events WHERE events.key = e.key) AS last
    FROM json_each(:keys) AS wanted CROSS JOIN executions AS e ON e.key = wanted.value
    WHERE e.ended_at IS NOT NULL
) ON events.key = closed AND events.seq = last;

-- name: definition
SELECT hash, workflow, version, body FROM definitions WHERE hash = ?;

-- name: count_open
SELECT count(*) FROM executions WHERE namespace = :namespace AND ended_at IS NULL AND (:lane IS NULL OR lane = :lane);

-- name: open_lanes
-- A command to what has ended may open it again.
SELECT lane FROM executions WHERE namespace = :namespace AND ended_at IS NULL
UNION SELECT lane FROM inbox WHERE namespace = :namespace AND taken = 0 ORDER BY lane;

-- name: meta
SELECT name, value FROM meta;

-- name: set_meta
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: list_executions
-- Newest first. Every filter is off when NULL. `after` is an execution's id.
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace
  AND key < coalesce((SELECT key FROM executions WHERE namespace = :namespace AND id = :after), 9223372036854775807)
  AND (:status IS NULL OR status = :status)
  AND (:workflow IS NULL OR workflow = :workflow)
  AND (:started_after IS NULL OR created_at >= :started_after)
  AND (:started_before IS NULL OR created_at < :started_before)
  AND (:tags IS NULL OR NOT EXISTS (
      SELECT 1 FROM json_each(:tags) AS wanted
      WHERE NOT EXISTS (
          SELECT 1 FROM json_each(executions.tags) AS found
          WHERE found.key = wanted.key AND found.value = wanted.value
      )
  ))
ORDER BY key DESC LIMIT :limit;

-- name: list_children
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace AND parent = :parent
  AND key < coalesce((SELECT key FROM executions WHERE namespace = :namespace AND id = :after), 9223372036854775807)
  AND (:status IS NULL OR status = :status)
  AND (:workflow IS NULL OR workflow = :workflow)
  AND (:started_after IS NULL OR created_at >= :started_after)
  AND (:started_before IS NULL OR created_at < :started_before)
  AND (:tags IS NULL OR NOT EXISTS (
      SELECT 1 FROM json_each(:tags) AS wanted
      WHERE NOT EXISTS (
          SELECT 1 FROM json_each(executions.tags) AS found
          WHERE found.key = wanted.key AND found.value = wanted.value
      )
  ))
ORDER BY key DESC LIMIT :limit;

-- name: insert_evidence
INSERT INTO evidence (aggregator, seq, item, at, body) VALUES /*rows*/ (?, ?, ?, ?, ?);

-- name: put_aggregator
-- A snapshot takes the place of the one before.
INSERT INTO aggregators (key, namespace, name, seq, at, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, at = excluded.at, body = excluded.body;

-- name: aggregator
SELECT key, namespace, name, seq, at, body FROM aggregators WHERE namespace = :namespace AND name = :name;

-- name: aggregator_names
SELECT name FROM aggregators WHERE namespace = :namespace ORDER BY name;

-- name: evidence
SELECT aggregator, seq, item, at, body FROM evidence
WHERE aggregator = :aggregator AND seq > :after ORDER BY seq LIMIT :limit;

-- name: evidence_of
-- Left to itself SQLite reads all evidence of the aggregator in the order of seq, rather than sort the few rows of these items.
SELECT aggregator, seq, item, at, body FROM evidence INDEXED BY evidence_by_item
WHERE aggregator = :aggregator AND item IN (SELECT value FROM json_each(:items)) ORDER BY seq;

-- name: limits
SELECT namespace, name, rule, by FROM limits WHERE namespace = :namespace ORDER BY name;

-- name: set_limit
INSERT INTO limits (namespace, name, rule, by) VALUES (?, ?, ?, ?)
ON CONFLICT (namespace, name) DO UPDATE SET rule = excluded.rule, by = excluded.by;

-- name: drop_limit
DELETE FROM limits WHERE namespace = ? AND name = ?;

-- name: every_slot
SELECT id, owner, priority, asked_at, claims, held_at, execution, task FROM slots WHERE namespace = :namespace;

-- name: live_slots
SELECT id, owner, priority, asked_at, claims, held_at, execution, task FROM slots
WHERE namespace = :namespace
  AND owner IN (SELECT owner FROM owners WHERE released = 0 AND expires_at > :now)
ORDER BY asked_at, id;

-- name: drop_lapsed_slots
-- A slot is a lease: it counts while its owner lives.
DELETE FROM slots WHERE namespace = :namespace
  AND owner NOT IN (SELECT owner FROM owners WHERE released = 0 AND expires_at > :now);

-- name: drop_slots
DELETE FROM slots WHERE namespace = :namespace AND id IN (SELECT value FROM json_each(:ids));

-- name: put_slot
INSERT INTO slots (namespace, id, owner, priority, asked_at, claims, held_at, execution, task)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, id) DO UPDATE SET
    owner = excluded.owner, priority = excluded.priority, asked_at = excluded.asked_at, claims = excluded.claims,
    held_at = excluded.held_at, execution = excluded.execution, task = excluded.task;

-- name: meters
SELECT name, key, kind, value FROM meters WHERE namespace = :namespace;

-- name: put_meter
INSERT INTO meters (namespace, name, key, kind, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (namespace, name, key, kind) DO UPDATE SET value = excluded.value;

-- name: schedules
SELECT namespace, id, lane, shard, spec, next_at, paused, last FROM schedules WHERE namespace = :namespace ORDER BY id;

-- name: due_schedules
SELECT namespace, id, lane, shard, spec, next_at, paused, last FROM schedules
WHERE lane = :lane AND paused = 0 AND next_at <= :until AND shard IN (SELECT value FROM json_each(:shards))
ORDER BY next_at, id;

-- name: put_schedule
INSERT INTO schedules (namespace, id, lane, shard, spec, next_at, paused, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, id) DO UPDATE SET
    lane = excluded.lane, shard = excluded.shard, spec = excluded.spec, next_at = excluded.next_at,
    paused = excluded.paused, last = excluded.last;

-- name: advance_schedule
UPDATE schedules SET next_at = :next_at, last = :last
WHERE namespace = :namespace AND id = :id AND spec = :spec AND next_at = :seen AND paused = 0;

-- name: drop_schedule
DELETE FROM schedules WHERE namespace = ? AND id = ?;

-- name: events_of
SELECT key, seq, at, by, kind, task, attempt, data FROM events
WHERE key IN (SELECT value FROM json_each(:keys)) ORDER BY key, seq;

-- name: ended_roots
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace AND parent IS NULL AND ended_at <= :until AND key > :after
ORDER BY key LIMIT :limit;

-- name: descendants
-- '0' is the character after '/': a range of the index on ids.
SELECT key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status, priority, parent, tags,
    created_at, deadline, traceparent, ended_at, waiting_for, wake_at
FROM executions WHERE namespace = :namespace AND id > :id || '/' AND id < :id || '0' ORDER BY key;

-- name: forgettable
SELECT key, id FROM executions
WHERE key IN (SELECT value FROM json_each(:keys)) AND namespace = :namespace AND ended_at <= :until;

-- name: forget_events
DELETE FROM events WHERE key IN (SELECT value FROM json_each(?));

-- name: forget_executions
DELETE FROM executions WHERE key IN (SELECT value FROM json_each(?));

-- name: forget_commands
DELETE FROM inbox WHERE namespace = :namespace AND execution IN (SELECT value FROM json_each(:ids));

-- name: keep_cached
-- core.caching.replaces, as a condition: the first result counts while it lives.
INSERT INTO cache (namespace, key, task, workflow, value, stored_at, expires_at, source, source_task)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    task = excluded.task, workflow = excluded.workflow, value = excluded.value, stored_at = excluded.stored_at,
    expires_at = excluded.expires_at, source = excluded.source, source_task = excluded.source_task
WHERE cache.expires_at <= excluded.stored_at
   OR cache.stored_at <= excluded.stored_at - (excluded.expires_at - excluded.stored_at);

-- name: find_cached
SELECT namespace, key, task, workflow, value, stored_at, expires_at, source, source_task FROM cache
WHERE namespace = :namespace AND key IN (SELECT value FROM json_each(:keys));

-- name: list_cached
SELECT namespace, key, task, workflow, value, stored_at, expires_at, source, source_task FROM cache
WHERE namespace = :namespace
  AND (:task IS NULL OR task = :task OR substr(task, instr(task, ':') + 1) = :task)
ORDER BY stored_at DESC, key LIMIT :limit;

-- name: clear_cached
DELETE FROM cache WHERE namespace = :namespace AND key IN (
    SELECT key FROM cache WHERE namespace = :namespace
      AND (:task IS NULL OR task = :task OR substr(task, instr(task, ':') + 1) = :task)
      AND (:key IS NULL OR key = :key) AND (:expired_at IS NULL OR expires_at <= :expired_at)
    LIMIT :limit);
