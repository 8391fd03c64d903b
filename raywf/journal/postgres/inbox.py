"""Reading, and sending commands, with or without an engine. Makes and migrates nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from raywf.core.admission import rule_data
from raywf.errors import StoreUnavailable
from raywf.journal.conflicts import KeysTaken
from raywf.journal.places import PLACES, select, update
from raywf.journal.postgres import caching, commits, rows
from raywf.journal.postgres.bell import ring
from raywf.journal.postgres.link import Link, escaped
from raywf.journal.postgres.reader import PostgresReader
from raywf.ports import (
    Batch,
    Clock,
    DefinitionRow,
    DeploymentRow,
    InboxRow,
    LimitRow,
    Resealed,
    ScheduleRow,
    StoredValue,
)

T = TypeVar("T")


class PostgresInbox(PostgresReader):
    """What a client needs: to look, and to send commands. Two connections, so that a long look holds no command up."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        super().__init__(url, clock=clock)
        self._writing = Link(url, self._prepare)

    async def _change(self, work: Callable[[Any], Awaitable[T]]) -> T:
        return await self._writing.run(work, "BEGIN")

    async def _write(self, sql: str, *asked: Any) -> int:
        return rows.count(await self._writing.run(lambda db: db.execute(sql, *asked)))

    async def close(self) -> None:
        await super().close()
        await self._writing.close()

    async def send(self, row: InboxRow) -> bool:
        async def write(db: Any) -> bool:
            # One sender at a time: an id that becomes visible after a greater one would be passed over by ``inbox``.
            await db.execute("SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))", self._schema, row.lane)
            sql = f"""INSERT INTO inbox ({rows.INBOX.partition(", ")[2]}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                ON CONFLICT (namespace, execution, command_id) DO NOTHING"""
            return rows.count(await db.execute(sql, *row[1:])) == 1

        is_new = await self._change(write)
        if is_new:
            with suppress(StoreUnavailable, asyncpg.PostgresError):  # the row is there, and will be looked for
                await self._writing.run(lambda db: ring(db, self._schema, row.lane, row.execution))
        return is_new

    async def bring_in(self, batch: Batch) -> None:
        try:
            await self._change(lambda db: commits.write(db, batch, uuid.uuid4(), self._schema, self._told()))
        except asyncpg.UniqueViolationError as error:
            taken = await self._reading.run(lambda db: commits.taken(db, batch))
            if not taken:
                raise
            raise KeysTaken(taken, self._shown) from error

    async def forget(self, namespace: str, keys: Sequence[int], until: float) -> int:
        async def write(db: Any) -> int:
            found = await db.fetch(
                """DELETE FROM executions WHERE key = ANY($1::bigint[]) AND namespace = $2 AND ended_at <= $3
                RETURNING key, id""",
                *(list(keys), namespace, until),
            )
            gone = [row["key"] for row in found]
            for table in ("events", "snapshots"):
                await db.execute(f"DELETE FROM {table} WHERE key = ANY($1::bigint[])", gone)
            ids = [escaped(row["id"]) for row in found]
            await db.execute("DELETE FROM inbox WHERE namespace = $1 AND execution = ANY($2::text[])", namespace, ids)
            return len(gone)

        return await self._change(write)

    async def set_limit(self, row: LimitRow) -> None:
        await self._change(lambda db: set_limit(db, row))

    async def drop_limit(self, namespace: str, name: str) -> bool:
        return await self._write("DELETE FROM limits WHERE namespace = $1 AND name = $2", namespace, name) == 1

    async def clear_cached(
        self,
        namespace: str,
        task: str | None = None,
        *,
        key: str | None = None,
        expired_at: float | None = None,
        limit: int = 10_000,
    ) -> int:
        return await self._change(lambda db: caching.clear(db, namespace, task, key, expired_at, limit))

    async def put_definition(self, row: DefinitionRow) -> None:
        await self._change(lambda db: commits.see(db, [row], self._told()))

    async def put_deployment(self, row: DeploymentRow) -> bool:
        return (
            await self._write("INSERT INTO deployments VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING", *row)
            == 1
        )

    async def put_schedule(self, row: ScheduleRow) -> None:
        await self._write(
            f"""INSERT INTO schedules ({rows.SCHEDULE}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (namespace, id) DO UPDATE SET lane = excluded.lane, shard = excluded.shard,
            spec = excluded.spec, next_at = excluded.next_at, paused = excluded.paused, last = excluded.last""",
            *row._replace(spec=row.spec.decode()),  # type: ignore[arg-type]
        )

    async def drop_schedule(self, namespace: str, id: str) -> bool:
        return await self._write("DELETE FROM schedules WHERE namespace = $1 AND id = $2", namespace, id) == 1

    async def set_fact(self, name: str, value: str) -> None:
        sql = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        await self._write(sql, name, value)

    async def stored_values(self, place: str, after: Sequence[Any] | None, limit: int) -> list[StoredValue]:
        found = await self._select(select(PLACES[place], after, "$"), *(after or ()), limit)
        return [StoredValue(tuple(row)[:-1], row[-1]) for row in found]

    async def reseal(self, place: str, changes: Sequence[Resealed]) -> int:
        sql = update(PLACES[place], "$")

        async def write(db: Any) -> int:
            return sum([rows.count(await db.execute(sql, each.new, *each.identity, each.old)) for each in changes])

        return await self._change(write)


async def set_limit(db: Any, row: LimitRow) -> None:
    await db.execute(
        """INSERT INTO limits VALUES ($1, $2, $3, $4)
        ON CONFLICT (namespace, name) DO UPDATE SET rule = excluded.rule, by = excluded.by""",
        *(row.namespace, row.name, json.dumps(rule_data(row.rule)), row.by),
    )
