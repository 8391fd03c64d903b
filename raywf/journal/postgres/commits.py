"""What a commit writes inside its transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from raywf.errors import LeaseLost
from raywf.journal.postgres import caching, rows
from raywf.journal.postgres.link import escaped
from raywf.ports import Batch, DefinitionRow, EventRow, EvidenceRow, ExecutionRow


async def write(db: Any, batch: Batch, id_: uuid.UUID, schema: str, now: float | None) -> None:
    """Everything of a batch, if its epochs still hold; nothing if this very commit is on disk already."""

    async def copy(table: str, records: Sequence[Any], columns: Sequence[str]) -> None:
        await db.copy_records_to_table(table, records=records, columns=columns, schema_name=schema)

    fresh = await db.fetchval(
        """INSERT INTO commits (owner, id) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET id = excluded.id
        WHERE commits.id <> excluded.id RETURNING 1""",
        *(batch.owner, id_),
    )
    if fresh is None:
        return  # the try before this one was written, only its answer was lost
    if batch.epochs:
        await _assert_epochs(db, batch)
    if batch.definitions:
        await see(db, batch.definitions, now)
    if batch.opened:
        await copy("executions", list(map(rows.from_execution, batch.opened)), ExecutionRow._fields)
    if batch.events:
        await copy("events", batch.events, EventRow._fields)
    if batch.changed:
        last = list({change.key: change for change in batch.changed}.values())
        keys, statuses, ended, why, wake = map(list, zip(*last, strict=True))
        changes = (keys, list(map(escaped, statuses)), ended, [each and escaped(each) for each in why], wake)
        await db.execute(
            """UPDATE executions AS x SET status = v.status, ended_at = v.ended, waiting_for = v.why, wake_at = v.wake
            FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::text[], $5::float8[])
                AS v (key, status, ended, why, wake) WHERE x.key = v.key""",
            *changes,
        )
    if batch.redefined:
        await db.executemany("UPDATE executions SET definition = $2, version = $3 WHERE key = $1", batch.redefined)
    shots = {row.key: row for row in batch.snapshots}.values()
    kept = [row for row in shots if row.data is not None]
    gone = [row.key for row in shots if row.data is None]
    if kept:
        await db.executemany(
            """INSERT INTO snapshots VALUES ($1, $2, $3)
            ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, data = excluded.data""",
            kept,
        )
    if gone:
        await db.execute("DELETE FROM snapshots WHERE key = ANY($1::bigint[])", gone)
    if batch.taken:
        await db.execute("UPDATE inbox SET taken = true, body = NULL WHERE id = ANY($1::bigint[])", batch.taken)
    if batch.evidence:
        await copy("evidence", batch.evidence, EvidenceRow._fields)
    if batch.aggregators:
        await db.executemany(
            """INSERT INTO aggregators VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, at = excluded.at, body = excluded.body""",
            batch.aggregators,
        )
    if batch.cached:
        await caching.keep(db, batch.cached)


async def see(db: Any, definitions: Sequence[DefinitionRow], now: float | None) -> None:
    """Definitions that may be new, with the time when they were first seen: the server's where ``now`` is None."""
    different = {row.hash: row for row in definitions}.values()
    await db.executemany(
        """INSERT INTO definitions (hash, workflow, version, body, seen_at)
        VALUES ($1, $2, $3, $4, coalesce($5, extract(epoch FROM clock_timestamp())::float8)) ON CONFLICT DO NOTHING""",
        [(*row, now) for row in different],
    )


async def taken(db: Any, batch: Batch) -> tuple[int, ...]:
    found = await db.fetch(
        """SELECT v.key FROM unnest($1::bigint[], $2::text[], $3::text[]) AS v (key, namespace, id)
        WHERE EXISTS (SELECT 1 FROM executions AS x WHERE x.key = v.key)
           OR EXISTS (SELECT 1 FROM executions AS x WHERE x.namespace = v.namespace AND x.id = v.id)""",
        [row.key for row in batch.opened],
        [escaped(row.namespace) for row in batch.opened],
        [escaped(row.id) for row in batch.opened],
    )
    stored = {row[0] for row in found}
    seen: set[Any] = set()
    for row in batch.opened:
        names = {row.key, (row.namespace, row.id)}
        if names & seen:
            stored.add(row.key)
        seen |= names
    return tuple(sorted(stored))


async def _assert_epochs(db: Any, batch: Batch) -> None:
    """Locked in order of shard until the commit is on disk: who takes over waits for it, or it fails here."""
    found = await db.fetch(
        """SELECT shard, epoch FROM leases WHERE lane = $1 AND owner = $2 AND shard = ANY($3::integer[])
        ORDER BY shard FOR SHARE""",
        *(batch.lane, batch.owner, list(batch.epochs)),
    )
    held = {row[0]: row[1] for row in found}
    lost = tuple(sorted(shard for shard, epoch in batch.epochs.items() if held.get(shard) != epoch))
    if lost:
        raise LeaseLost(
            f"owner {batch.owner!r} no longer holds {len(lost)} shard(s) of lane {batch.lane!r} "
            f"({', '.join(map(str, lost[:8]))}): another owner took over. Nothing was written.",
            lost,
        )
