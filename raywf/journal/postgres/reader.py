"""The read side: looks, and never changes anything. A store that is missing, older or newer is refused."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg

from raywf.core.admission import Slot
from raywf.journal.addresses import take_apart
from raywf.journal.postgres import caching, making, rows
from raywf.journal.postgres.link import Link, escaped
from raywf.ports import (
    AggregatorRow,
    CachedRow,
    Clock,
    DefinitionRow,
    DeploymentRow,
    EventRow,
    EvidenceRow,
    ExecutionRow,
    LimitRow,
    OwnerRow,
    ScheduleRow,
    StoreFacts,
    VersionRow,
)

T = TypeVar("T")
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_SETTINGS = "server_version fsync synchronous_commit synchronous_standby_names".split()


class PostgresReader:
    """Connects when it is first used. ``clock`` takes the place of the server's, for tests."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self._url = url
        self._schema = take_apart(url)[1]
        self._clock = clock
        self._reading = Link(url, self._prepare)
        self._shown = self._reading.shown

    async def _prepare(self, db: Any) -> None:
        await making.require(db, self._schema, self._shown)

    async def _select(self, sql: str, *asked: Any) -> list[Any]:
        return await self._reading.run(lambda db: db.fetch(sql, *asked))

    async def _look(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Several statements that see the same moment."""
        return await self._reading.run(work, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    async def _now(self, db: Any) -> float:
        """The server's time: one clock for all hosts, so that no host's own can end another's lease."""
        return self._clock.now() if self._clock is not None else float(await db.fetchval(f"SELECT {_NOW}"))

    def _told(self) -> float | None:
        """The time, where a test has a clock of its own; None: the server has one."""
        return None if self._clock is None else self._clock.now()

    async def close(self) -> None:
        await self._reading.close()

    async def execution(self, namespace: str, execution_id: str) -> ExecutionRow | None:
        return (await self.existing(namespace, [execution_id])).get(execution_id)

    async def executions(
        self,
        namespace: str,
        *,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        started_after: float | None = None,
        started_before: float | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ExecutionRow]:
        asked: list[Any] = [namespace, limit]
        where = ["namespace = $1"]
        wanted = {"status =": status, "workflow =": workflow, "parent =": parent, "tags @>": rows.tags_json(tags)}
        for left, value in {**wanted, "created_at >=": started_after, "created_at <": started_before}.items():
            if value is not None:
                asked.append(value)
                where.append(f"{left} ${len(asked)}")
        if after is not None:
            asked.append(after)
            where.append(
                f"key < coalesce((SELECT key FROM executions WHERE namespace = $1 AND id = ${len(asked)}), "
                "9223372036854775807)"
            )
        sql = f"SELECT {rows.EXECUTION} FROM executions WHERE {' AND '.join(where)} ORDER BY key DESC LIMIT $2"
        return [rows.execution(row) for row in await self._select(sql, *asked)]

    async def existing(self, namespace: str, ids: Sequence[str]) -> dict[str, ExecutionRow]:
        sql = f"SELECT {rows.EXECUTION} FROM executions WHERE namespace = $1 AND id = ANY($2::text[])"
        return {row["id"]: rows.execution(row) for row in await self._select(sql, namespace, list(map(escaped, ids)))}

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        sql = f"SELECT {rows.EVENT} FROM events WHERE key = $1 AND seq > $2 ORDER BY seq LIMIT $3"
        return [EventRow._make(row) for row in await self._select(sql, key, after_seq, limit)]

    async def histories(self, keys: Sequence[int]) -> list[EventRow]:
        sql = f"SELECT {rows.EVENT} FROM events WHERE key = ANY($1::bigint[]) ORDER BY key, seq"
        return [EventRow._make(row) for row in await self._select(sql, list(keys))]

    async def ended_roots(self, namespace: str, until: float, after: int, limit: int) -> list[ExecutionRow]:
        sql = f"""SELECT {rows.EXECUTION} FROM executions WHERE namespace = $1 AND parent IS NULL
            AND ended_at <= $2 AND key > $3 ORDER BY key LIMIT $4"""
        return [rows.execution(row) for row in await self._select(sql, namespace, until, after, limit)]

    async def descendants(self, namespace: str, execution_id: str) -> list[ExecutionRow]:
        # '0' is the character after '/': a range of the index on ids
        sql = f"SELECT {rows.EXECUTION} FROM executions WHERE namespace = $1 AND id > $2 AND id < $3 ORDER BY key"
        asked = (namespace, f"{execution_id}/", f"{execution_id}0")
        return [rows.execution(row) for row in await self._select(sql, *asked)]

    async def closings(self, keys: Sequence[int]) -> dict[int, EventRow]:
        sql = f"""SELECT v.* FROM executions AS x CROSS JOIN LATERAL (
            SELECT {rows.EVENT} FROM events WHERE events.key = x.key ORDER BY seq DESC LIMIT 1) AS v
            WHERE x.key = ANY($1::bigint[]) AND x.ended_at IS NOT NULL"""
        return {row["key"]: EventRow._make(row) for row in await self._select(sql, list(keys))}

    async def definition(self, hash_: str) -> DefinitionRow | None:
        found = await self._select("SELECT hash, workflow, version, body FROM definitions WHERE hash = $1", hash_)
        return DefinitionRow._make(found[0]) if found else None

    async def versions(self, namespace: str, workflow: str) -> list[VersionRow]:
        sql = """SELECT d.hash, d.workflow, d.version, d.seen_at, coalesce(e.open, 0) FROM definitions AS d LEFT JOIN (
            SELECT definition, count(*) AS open FROM executions WHERE namespace = $1 AND ended_at IS NULL GROUP BY definition
            ) AS e ON e.definition = d.hash WHERE d.workflow = $2 ORDER BY d.seen_at NULLS FIRST, d.hash"""
        return [VersionRow._make(row) for row in await self._select(sql, namespace, workflow)]

    async def deployments(self, namespace: str, workflow: str | None = None) -> list[DeploymentRow]:
        sql = """SELECT namespace, workflow, number, hash, at, by FROM deployments
            WHERE namespace = $1 AND ($2::text IS NULL OR workflow = $2) ORDER BY workflow COLLATE "C", number"""
        return [DeploymentRow._make(row) for row in await self._select(sql, namespace, workflow)]

    async def count_open(self, namespace: str, lane: str | None = None) -> int:
        sql = """SELECT count(*) FROM executions
            WHERE namespace = $1 AND ended_at IS NULL AND ($2::text IS NULL OR lane = $2)"""
        return int((await self._select(sql, namespace, lane))[0][0])

    async def open_lanes(self, namespace: str) -> list[str]:
        sql = """SELECT lane FROM executions WHERE namespace = $1 AND ended_at IS NULL
            UNION SELECT lane FROM inbox WHERE namespace = $1 AND NOT taken ORDER BY lane"""
        return [row[0] for row in await self._select(sql, namespace)]

    async def owners(self) -> list[OwnerRow]:
        # Expiry is the server's time; a reader compares it with its own, so it is handed over as that.
        sql = f"SELECT {rows.OWNER}, {_NOW} AS now FROM owners WHERE NOT released ORDER BY started_at, owner"
        found = await self._select(sql)
        ahead = 0.0 if self._clock is not None or not found else time.time() - found[0]["now"]
        return [OwnerRow._make((*row[:6], row["expires_at"] + ahead, row["released"])) for row in found]

    async def aggregator(self, namespace: str, name: str) -> AggregatorRow | None:
        sql = "SELECT key, namespace, name, seq, at, body FROM aggregators WHERE namespace = $1 AND name = $2"
        found = await self._select(sql, namespace, name)
        return AggregatorRow._make(found[0]) if found else None

    async def aggregators(self, namespace: str) -> list[str]:
        sql = "SELECT name FROM aggregators WHERE namespace = $1 ORDER BY name"
        return [row[0] for row in await self._select(sql, namespace)]

    async def evidence(self, aggregator: int, after_seq: int = 0, limit: int | None = None) -> list[EvidenceRow]:
        sql = """SELECT aggregator, seq, item, at, body FROM evidence
            WHERE aggregator = $1 AND seq > $2 ORDER BY seq LIMIT $3"""
        return [EvidenceRow._make(row) for row in await self._select(sql, aggregator, after_seq, limit)]

    async def evidence_of(self, aggregator: int, items: Sequence[str]) -> list[EvidenceRow]:
        sql = """SELECT aggregator, seq, item, at, body FROM evidence
            WHERE aggregator = $1 AND item = ANY($2::text[]) ORDER BY seq"""
        return [EvidenceRow._make(row) for row in await self._select(sql, aggregator, list(map(escaped, items)))]

    async def limits(self, namespace: str) -> list[LimitRow]:
        sql = "SELECT namespace, name, rule, by FROM limits WHERE namespace = $1 ORDER BY name"
        return [rows.limit(row) for row in await self._select(sql, namespace)]

    async def slots(self, namespace: str) -> list[Slot]:
        async def look(db: Any) -> list[Any]:
            sql = f"SELECT {rows.SLOT} FROM slots WHERE namespace = $1 AND owner IN ({rows.LIVE}) ORDER BY asked_at, id"
            return list(await db.fetch(sql, namespace, await self._now(db)))

        return [rows.slot(row) for row in await self._look(look)]

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        sql = f"SELECT {rows.SCHEDULE} FROM schedules WHERE namespace = $1 ORDER BY id"
        return [rows.schedule(row) for row in await self._select(sql, namespace)]

    async def find_cached(self, namespace: str, keys: Sequence[str]) -> dict[str, CachedRow]:
        found = await self._select(caching.FIND, namespace, list(keys))
        return {row["key"]: CachedRow._make(row) for row in found}

    async def list_cached(self, namespace: str, task: str | None = None, limit: int = 100) -> list[CachedRow]:
        return [CachedRow._make(row) for row in await self._select(caching.LIST, namespace, task, limit)]

    async def facts(self) -> StoreFacts:
        details = {row[0]: row[1] for row in await self._select("SELECT name, value FROM meta")}
        asked = "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"
        details |= {row[0]: row[1] for row in await self._select(asked, _SETTINGS)}
        details["schema"] = self._schema
        details["path"] = self._shown
        driver = f"asyncpg {asyncpg.__version__}, PostgreSQL {details['server_version']}"
        return StoreFacts(self._shown, int(details["format"]), driver, details)
