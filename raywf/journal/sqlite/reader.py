"""The read side of a SQLite store: short statements on a connection that cannot write."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from raywf.core.admission import Slot
from raywf.errors import StoreUnavailable
from raywf.journal.filesystems import filesystem_of
from raywf.journal.sqlite import limits, rows
from raywf.journal.sqlite.errors import explain, explained
from raywf.journal.sqlite.files import connect_reader, metadata
from raywf.journal.sqlite.migrations import format_of
from raywf.journal.sqlite.queries import query
from raywf.ports import (
    AggregatorRow,
    CachedRow,
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
_TRIES = 60
_PAUSE_S = 0.05


class SqliteReader:
    """Reads a store while others write. Opens nothing that is not there, holds no lock between two calls."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))
        self._reading: apsw.Connection | None = connect_reader(self._path)

    async def execution(self, namespace: str, execution_id: str) -> ExecutionRow | None:
        asked = {"namespace": namespace, "id": execution_id}
        found = await self._select("execution_by_id", asked, rows.execution)
        return found[0] if found else None

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
        asked = {
            "namespace": namespace,
            "status": status,
            "workflow": workflow,
            "tags": rows.as_json(dict(tags)) if tags else None,
            "parent": parent,
            "started_after": started_after,
            "started_before": started_before,
            "limit": limit,
            "after": after,
        }
        return await self._select("list_executions" if parent is None else "list_children", asked, rows.execution)

    async def existing(self, namespace: str, ids: Sequence[str]) -> dict[str, ExecutionRow]:
        asked = {"namespace": namespace, "ids": rows.as_json(list(ids))}
        return {row.id: row for row in await self._select("executions_by_ids", asked, rows.execution)}

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        asked = {"key": key, "after": after_seq, "limit": -1 if limit is None else limit}
        return await self._select("history", asked, rows.event)

    async def histories(self, keys: Sequence[int]) -> list[EventRow]:
        return await self._select("events_of", {"keys": rows.as_json(list(keys))}, rows.event)

    async def ended_roots(self, namespace: str, until: float, after: int, limit: int) -> list[ExecutionRow]:
        asked = {"namespace": namespace, "until": until, "after": after, "limit": limit}
        return await self._select("ended_roots", asked, rows.execution)

    async def descendants(self, namespace: str, execution_id: str) -> list[ExecutionRow]:
        return await self._select("descendants", {"namespace": namespace, "id": execution_id}, rows.execution)

    async def closings(self, keys: Sequence[int]) -> dict[int, EventRow]:
        found = await self._select("closings", {"keys": rows.as_json(list(keys))}, rows.event)
        return {row.key: row for row in found}

    async def definition(self, hash_: str) -> DefinitionRow | None:
        found = await self._select("definition", (hash_,), DefinitionRow._make)
        return found[0] if found else None

    async def versions(self, namespace: str, workflow: str) -> list[VersionRow]:
        return await self._select("versions", {"namespace": namespace, "workflow": workflow}, VersionRow._make)

    async def deployments(self, namespace: str, workflow: str | None = None) -> list[DeploymentRow]:
        return await self._select("deployments", {"namespace": namespace, "workflow": workflow}, DeploymentRow._make)

    async def count_open(self, namespace: str, lane: str | None = None) -> int:
        asked = {"namespace": namespace, "lane": lane}
        return (await self._select("count_open", asked, lambda row: int(row[0])))[0]

    async def open_lanes(self, namespace: str) -> list[str]:
        return await self._select("open_lanes", {"namespace": namespace}, lambda row: str(row[0]))

    async def owners(self) -> list[OwnerRow]:
        return await self._select("live_owners", (), rows.owner)

    async def aggregator(self, namespace: str, name: str) -> AggregatorRow | None:
        found = await self._select("aggregator", {"namespace": namespace, "name": name}, AggregatorRow._make)
        return found[0] if found else None

    async def aggregators(self, namespace: str) -> list[str]:
        return await self._select("aggregator_names", {"namespace": namespace}, lambda row: str(row[0]))

    async def evidence(self, aggregator: int, after_seq: int = 0, limit: int | None = None) -> list[EvidenceRow]:
        asked = {"aggregator": aggregator, "after": after_seq, "limit": -1 if limit is None else limit}
        return await self._select("evidence", asked, EvidenceRow._make)

    async def evidence_of(self, aggregator: int, items: Sequence[str]) -> list[EvidenceRow]:
        asked = {"aggregator": aggregator, "items": rows.as_json(list(items))}
        return await self._select("evidence_of", asked, EvidenceRow._make)

    async def limits(self, namespace: str) -> list[LimitRow]:
        return await self._select("limits", {"namespace": namespace}, limits.limit)

    async def slots(self, namespace: str) -> list[Slot]:
        return await self._select("live_slots", {"namespace": namespace, "now": time.time()}, limits.slot)

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        return await self._select("schedules", {"namespace": namespace}, limits.schedule)

    async def find_cached(self, namespace: str, keys: Sequence[str]) -> dict[str, CachedRow]:
        asked = {"namespace": namespace, "keys": rows.as_json(list(keys))}
        return {row.key: row for row in await self._select("find_cached", asked, CachedRow._make)}

    async def list_cached(self, namespace: str, task: str | None = None, limit: int = 100) -> list[CachedRow]:
        asked = {"namespace": namespace, "task": task, "limit": limit}
        return await self._select("list_cached", asked, CachedRow._make)

    async def facts(self) -> StoreFacts:
        return await self._read(self._facts)

    async def close(self) -> None:
        if self._reading is not None:
            db, self._reading = self._reading, None
            with explained(str(self._path)):
                db.close()

    def _facts(self, db: apsw.Connection) -> StoreFacts:
        details = metadata(db)
        for name in ("journal_mode", "page_size", "page_count"):
            details[name] = str(db.pragma(name))
        details["synchronous"] = "full"
        details["path"] = str(self._path)
        details["filesystem"] = filesystem_of(self._path)
        driver = f"apsw {apsw.apsw_version()}, SQLite {apsw.sqlite_lib_version()}"
        return StoreFacts(f"sqlite:///{self._path}", format_of(db), driver, details)

    async def _select(self, name: str, asked: Any, make: Callable[[Any], T]) -> list[T]:
        return await self._read(lambda db: [make(row) for row in db.execute(query(name), asked)])

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Readers wait for nobody in WAL mode, save for moments when the log is made or taken away."""
        for attempt in range(_TRIES):
            if self._reading is None:
                raise StoreUnavailable(f"store {self._path}: this connection is closed. Open the store again.")
            try:
                return work(self._reading)
            except (apsw.BusyError, apsw.LockedError) as error:
                if attempt == _TRIES - 1:
                    raise explain(error, str(self._path)) from error
            except apsw.Error as error:
                with explained(str(self._path)):
                    raise error
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError("unreachable")
