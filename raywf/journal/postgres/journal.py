"""The whole store, for an owner of leases.

A commit is one transaction. Its first statement takes the row of ``commits`` that belongs to the owner and writes the
commit's id there: a commit whose answer was lost is tried again under the same id, waits for whatever is left of the first
try on the server, and is recognised if that was written.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import asyncpg

from raywf.core.admission import Slot
from raywf.errors import LeaseLost
from raywf.journal.admitting import Book, turn
from raywf.journal.conflicts import KeysTaken
from raywf.journal.postgres import commits, making, rows
from raywf.journal.postgres.inbox import PostgresInbox, set_limit
from raywf.journal.postgres.link import escaped
from raywf.ports import (
    Admission,
    Batch,
    Clock,
    EventRow,
    InboxRow,
    LimitRow,
    Loaded,
    OwnerRow,
    ScheduleRow,
    SnapshotRow,
)


class PostgresJournal(PostgresInbox):
    """Makes the store if there is none. With ``store_id`` nothing is made, and another store is refused. Leases follow
    the server's clock; ``clock`` takes its place in tests."""

    def __init__(self, url: str, *, clock: Clock | None = None, store_id: str | None = None) -> None:
        super().__init__(url, clock=clock)
        self._store_id = store_id
        self._unsure: tuple[Batch, uuid.UUID] | None = None

    async def _prepare(self, db: Any) -> None:
        if self._store_id is None:
            await making.make(db, self._schema, self._shown)
        else:
            await making.require(db, self._schema, self._shown, self._store_id)

    # -- reading -------------------------------------------------------------------------------------------------

    async def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        sql = """SELECT key FROM executions WHERE lane = $1 AND shard = ANY($2::integer[])
            AND ended_at IS NULL AND wake_at IS NULL ORDER BY key"""
        keys = [row[0] for row in await self._select(sql, lane, list(shards))]
        for start in range(0, len(keys), 500):
            for loaded in await self.load(keys[start : start + 500]):
                yield loaded

    async def load(self, keys: Sequence[int]) -> list[Loaded]:
        wanted = sorted(set(keys))

        async def look(db: Any) -> list[Loaded]:
            of_key = "= ANY($1::bigint[])"
            opened = await db.fetch(
                f"SELECT {rows.EXECUTION} FROM executions WHERE key {of_key} AND ended_at IS NULL ORDER BY key", wanted
            )
            events = await db.fetch(
                f"""SELECT e.* FROM events AS e LEFT JOIN snapshots AS s ON s.key = e.key
                WHERE e.key {of_key} AND e.seq > coalesce(s.seq, 0) ORDER BY e.key, e.seq""",
                wanted,
            )
            snapshots = await db.fetch(f"SELECT key, seq, data FROM snapshots WHERE key {of_key}", wanted)
            of = {key: list(found) for key, found in groupby(map(EventRow._make, events), key=itemgetter(0))}
            short = {row["key"]: SnapshotRow._make(row) for row in snapshots}
            return [Loaded(rows.execution(row), of.get(row["key"], []), short.get(row["key"])) for row in opened]

        return await self._look(look)

    async def due(self, lane: str, shards: Sequence[int], until: float, limit: int) -> list[tuple[int, float]]:
        sql = """SELECT key, wake_at FROM executions WHERE lane = $1 AND shard = ANY($2::integer[])
            AND ended_at IS NULL AND wake_at <= $3 ORDER BY wake_at, key LIMIT $4"""
        return [(row[0], row[1]) for row in await self._select(sql, lane, list(shards), until, limit)]

    async def next_wake(self, lane: str, shards: Sequence[int], after: float) -> float | None:
        sql = """SELECT min((SELECT min(wake_at) FROM executions WHERE lane = $1 AND shard = s AND ended_at IS NULL
            AND wake_at > $3)) FROM unnest($2::integer[]) AS s"""
        found = (await self._select(sql, lane, list(shards), after))[0][0]
        return None if found is None else float(found)

    async def due_schedules(self, lane: str, shards: Sequence[int], until: float) -> list[ScheduleRow]:
        sql = f"""SELECT {rows.SCHEDULE} FROM schedules WHERE lane = $1 AND NOT paused AND next_at <= $3
            AND shard = ANY($2::integer[]) ORDER BY next_at, id"""
        return [rows.schedule(row) for row in await self._select(sql, lane, list(shards), until)]

    async def inbox(self, lane: str, after: int, limit: int = 1000) -> list[InboxRow]:
        sql = f"SELECT {rows.INBOX} FROM inbox WHERE NOT taken AND lane = $1 AND id > $2 ORDER BY id LIMIT $3"
        return [InboxRow._make(row) for row in await self._select(sql, lane, after, limit)]

    # -- writing -------------------------------------------------------------------------------------------------

    async def advance_schedule(self, row: ScheduleRow, next_at: float, last: str | None) -> bool:
        sql = """UPDATE schedules SET next_at = $5, last = $6
            WHERE namespace = $1 AND id = $2 AND spec = $3 AND next_at = $4 AND NOT paused"""
        asked = (row.namespace, row.id, row.spec.decode(), row.next_at, next_at, last)
        return await self._write(sql, *asked) == 1

    async def claim(
        self, owner: OwnerRow, shards: Sequence[int], lease_s: float, *, dead: Sequence[str] = ()
    ) -> dict[int, int]:
        wanted = sorted(set(shards))

        async def write(db: Any) -> dict[int, int]:
            await making.assert_format(db, self._shown)
            now = await self._now(db)
            row = owner._replace(expires_at=now + lease_s, released=False)
            await db.execute(
                """INSERT INTO leases (lane, shard, owner, epoch) SELECT $1, s, $2, 1 FROM unnest($3::integer[]) AS s
                ON CONFLICT (lane, shard) DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1
                WHERE leases.owner = ANY($4::text[]) OR NOT EXISTS (SELECT 1 FROM owners
                    WHERE owners.owner = leases.owner AND NOT released AND expires_at > $5)""",
                *(row.lane, row.owner, wanted, list(map(escaped, dead)), now),
            )
            held = await db.fetch(
                "SELECT shard, epoch FROM leases WHERE lane = $1 AND owner = $2 AND shard = ANY($3::integer[])",
                *(row.lane, row.owner, wanted),
            )
            if held:
                await db.execute(
                    f"""INSERT INTO owners ({rows.OWNER}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                    ON CONFLICT (owner) DO UPDATE SET lane = excluded.lane, host = excluded.host, pid = excluded.pid,
                    spec = excluded.spec, started_at = excluded.started_at, expires_at = excluded.expires_at,
                    released = false""",
                    *row,
                )
                await db.execute(
                    """DELETE FROM owners AS o WHERE o.owner <> $1 AND (o.released OR o.lane = $2)
                    AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.lane = o.lane AND leases.owner = o.owner)""",
                    *(row.owner, row.lane),
                )
            return dict(sorted((each[0], each[1]) for each in held))

        return await self._change(write)

    async def renew(self, owner: str, lease_s: float) -> bool:
        sql = """UPDATE owners AS o SET expires_at = $2 WHERE o.owner = $1 AND NOT o.released
            AND EXISTS (SELECT 1 FROM leases WHERE leases.lane = o.lane AND leases.owner = o.owner)"""

        async def write(db: Any) -> bool:
            return rows.count(await db.execute(sql, owner, await self._now(db) + lease_s)) == 1

        return await self._change(write)

    async def release(self, owner: str) -> None:
        await self._write("UPDATE owners SET released = true WHERE owner = $1", owner)

    async def admit(
        self, namespace: str, owner: str, asks: Sequence[Slot], done: Sequence[str], declared: Sequence[LimitRow]
    ) -> Admission:
        async def write(db: Any) -> Admission:
            now = await self._now(db)
            await db.execute("SELECT pg_advisory_xact_lock(hashtext($1), -1)", f"{self._schema} {namespace}")
            await db.execute(f"DELETE FROM slots WHERE namespace = $1 AND owner NOT IN ({rows.LIVE})", namespace, now)
            await db.execute(
                "DELETE FROM slots WHERE namespace = $1 AND id = ANY($2::text[])", namespace, list(map(escaped, done))
            )
            limits = await db.fetch("SELECT namespace, name, rule, by FROM limits WHERE namespace = $1", namespace)
            slots = await db.fetch(f"SELECT {rows.SLOT} FROM slots WHERE namespace = $1", namespace)
            meters = await db.fetch("SELECT name, key, kind, value FROM meters WHERE namespace = $1", namespace)
            book = Book(
                {row["name"]: rows.limit(row) for row in limits},
                {row["id"]: rows.slot(row) for row in slots},
                {(row[0], json.loads(row[1]), row[2]): row[3] for row in meters},
            )
            changes = turn(book, owner, asks, (), declared, now)
            for changed in changes.limits:
                await set_limit(db, changed)
            await db.executemany(
                f"""INSERT INTO slots (namespace, {rows.SLOT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                ON CONFLICT (namespace, id) DO UPDATE SET owner = excluded.owner, priority = excluded.priority,
                asked_at = excluded.asked_at, claims = excluded.claims, held_at = excluded.held_at,
                execution = excluded.execution, task = excluded.task""",
                [(namespace, *each[:4], json.dumps(each.claims), *each[5:]) for each in changes.slots],
            )
            await db.executemany(
                """INSERT INTO meters VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (namespace, name, key, kind) DO UPDATE SET value = excluded.value""",
                # as JSON: a meter's key may hold the character 0, which PostgreSQL's text cannot
                [
                    (namespace, name, json.dumps(key), kind, value)
                    for (name, key, kind), value in changes.meters.items()
                ],
            )
            return changes.answer

        return await self._change(write)

    async def commit(self, batch: Batch) -> None:
        if not batch and not batch.epochs:
            return
        unsure = self._unsure
        id_ = unsure[1] if unsure is not None and unsure[0] is batch else uuid.uuid4()
        self._unsure = (batch, id_)
        try:
            await self._change(lambda db: commits.write(db, batch, id_, self._schema, self._told()))
        except asyncpg.UniqueViolationError as error:
            self._unsure = None
            taken = (
                await self._reading.run(lambda db: commits.taken(db, batch)) if error.table_name == "executions" else ()
            )
            if taken:
                raise KeysTaken(taken, self._shown) from error
            raise LeaseLost(
                f"a history event of this commit is in {self._shown} already: another writer went on with the same "
                "execution. Nothing was written; this owner must stop and read the history again.",
                tuple(sorted(batch.epochs)),
            ) from error
        self._unsure = None
