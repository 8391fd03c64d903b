"""The SQLite store as its owner and its clients see it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from raywf.core.admission import Slot
from raywf.errors import StoreUnavailable
from raywf.journal.clock import SystemClock
from raywf.journal.hosts import this_machine
from raywf.journal.places import PLACES, select
from raywf.journal.sqlite import caching, limits, rows, transactions
from raywf.journal.sqlite.errors import explained
from raywf.journal.sqlite.files import connect_client, connect_owner, metadata
from raywf.journal.sqlite.queries import query
from raywf.journal.sqlite.reader import SqliteReader
from raywf.journal.sqlite.writer import Writer
from raywf.ports import (
    Admission,
    Batch,
    Clock,
    DefinitionRow,
    DeploymentRow,
    InboxRow,
    LimitRow,
    Loaded,
    OwnerRow,
    Resealed,
    ScheduleRow,
    SnapshotRow,
    StoredValue,
)

_PER_LOAD = 500


class SqliteInbox(SqliteReader):
    """Reads, and sends commands. Needs no engine, and leaves the log to the owner."""

    def __init__(self, path: Path) -> None:
        path = Path(os.path.realpath(path))
        db = connect_client(path)
        try:
            super().__init__(path)
        except BaseException:
            db.close()
            raise
        self._writer = Writer(db, path)

    async def send(self, row: InboxRow) -> bool:
        return await self._writer.run(lambda db: transactions.send(db, row))

    async def bring_in(self, batch: Batch) -> None:
        where, now = str(self._path), time.time()
        await self._writer.run(lambda db: transactions.write_batch(db, batch, where, now), 1.0)

    async def forget(self, namespace: str, keys: Sequence[int], until: float) -> int:
        return await self._writer.run(lambda db: transactions.forget(db, namespace, keys, until), 1.0)

    async def set_limit(self, row: LimitRow) -> None:
        await self._writer.run(lambda db: limits.set_limit(db, row))

    async def drop_limit(self, namespace: str, name: str) -> bool:
        return await self._writer.run(lambda db: limits.drop(db, "drop_limit", namespace, name))

    async def clear_cached(
        self,
        namespace: str,
        task: str | None = None,
        *,
        key: str | None = None,
        expired_at: float | None = None,
        limit: int = 10_000,
    ) -> int:
        return await self._writer.run(lambda db: caching.clear(db, namespace, task, key, expired_at, limit))

    async def put_definition(self, row: DefinitionRow) -> None:
        seen = (*row, time.time())
        await self._writer.run(lambda db: db.execute(query("insert_definition"), seen))

    async def put_deployment(self, row: DeploymentRow) -> bool:
        return await self._writer.run(lambda db: transactions.put_deployment(db, row))

    async def put_schedule(self, row: ScheduleRow) -> None:
        await self._writer.run(lambda db: limits.put_schedule(db, row))

    async def drop_schedule(self, namespace: str, id: str) -> bool:
        return await self._writer.run(lambda db: limits.drop(db, "drop_schedule", namespace, id))

    async def set_fact(self, name: str, value: str) -> None:
        await self._writer.run(lambda db: db.execute(query("set_meta"), (name, value)))

    async def stored_values(self, place: str, after: Sequence[Any] | None, limit: int) -> list[StoredValue]:
        found = PLACES[place]
        asked = (*(after or ()), limit)
        return await self._read(
            lambda db: [StoredValue(row[:-1], row[-1]) for row in db.execute(select(found, after, "?"), asked)]
        )

    async def reseal(self, place: str, changes: Sequence[Resealed]) -> int:
        return await self._writer.run(lambda db: transactions.reseal(db, PLACES[place], changes), 1.0)

    async def close(self) -> None:
        await super().close()  # first: the last connection folds the log into the file, and a reader cannot
        await self._writer.close()


class SqliteJournal(SqliteInbox):
    """The whole store, for an owner of leases. ``store_id`` refuses a file other than the one meant."""

    def __init__(
        self, path: Path, *, clock: Clock | None = None, store_id: str | None = None, machine: str | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._machine = machine or this_machine()
        self._costs = _Costs()
        path = Path(os.path.realpath(path))
        if store_id is not None:
            _refuse_missing(path)
        db = connect_owner(path, self._clock)
        try:
            if store_id is not None:
                _refuse_other(path, db, store_id)
            SqliteReader.__init__(self, path)
        except BaseException:
            db.close()
            raise
        self._writer = Writer(db, path)

    async def claim(
        self, owner: OwnerRow, shards: Sequence[int], lease_s: float, *, dead: Sequence[str] = ()
    ) -> dict[int, int]:
        now = self._clock.now()
        until = owner._replace(expires_at=now + lease_s)
        return await self._writer.run(lambda db: transactions.claim(db, until, shards, dead, now, self._machine))

    async def renew(self, owner: str, lease_s: float) -> bool:
        until = self._clock.now() + lease_s
        return await self._writer.run(lambda db: transactions.renew(db, owner, until))

    async def release(self, owner: str) -> None:
        await self._writer.run(lambda db: db.execute(query("release_owner"), (owner,)))

    async def commit(self, batch: Batch) -> None:
        count = len(batch.events) + 2 * len(batch.opened) + len(batch.changed) + len(batch.taken) + len(batch.evidence)
        where, now = str(self._path), self._clock.now()
        await self._writer.run(
            lambda db: transactions.write_batch(db, batch, where, now), self._costs.expected_s(count)
        )
        self._costs.learn(count, self._writer.took_s)

    async def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        asked = {"lane": lane, "shards": rows.as_json(list(shards))}
        keys = await self._select("open_keys", asked, itemgetter(0))
        for start in range(0, len(keys), _PER_LOAD):
            for loaded in await self.load(keys[start : start + _PER_LOAD]):
                yield loaded

    async def load(self, keys: Sequence[int]) -> list[Loaded]:
        some = {"keys": rows.as_json(sorted(set(keys)))}
        return await self._read(lambda db: _histories(db, some))

    async def due(self, lane: str, shards: Sequence[int], until: float, limit: int) -> list[tuple[int, float]]:
        asked = {"lane": lane, "shards": rows.as_json(list(shards)), "until": until, "limit": limit}
        return await self._select("due", asked, lambda row: (int(row[0]), float(row[1])))

    async def next_wake(self, lane: str, shards: Sequence[int], after: float) -> float | None:
        asked = {"lane": lane, "shards": rows.as_json(list(shards)), "after": after}
        found = await self._select("next_wake", asked, lambda row: None if row[0] is None else float(row[0]))
        return found[0]

    async def slots(self, namespace: str) -> list[Slot]:
        return await self._select("live_slots", {"namespace": namespace, "now": self._clock.now()}, limits.slot)

    async def admit(
        self, namespace: str, owner: str, asks: Sequence[Slot], done: Sequence[str], declared: Sequence[LimitRow]
    ) -> Admission:
        now = self._clock.now()
        return await self._writer.run(lambda db: limits.admit(db, namespace, owner, asks, done, declared, now))

    async def due_schedules(self, lane: str, shards: Sequence[int], until: float) -> list[ScheduleRow]:
        asked = {"lane": lane, "until": until, "shards": rows.as_json(list(shards))}
        return await self._select("due_schedules", asked, limits.schedule)

    async def advance_schedule(self, row: ScheduleRow, next_at: float, last: str | None) -> bool:
        return await self._writer.run(lambda db: limits.advance_schedule(db, row, next_at, last))

    async def inbox(self, lane: str, after: int, limit: int = 1000) -> list[InboxRow]:
        asked = {"lane": lane, "after": after, "limit": limit}
        return await self._select("waiting_commands", asked, rows.command)


_ONE_HOST = (
    "A SQLite store serves one machine: keep the workflow actors on the host that has the file, "
    "or use postgresql:// for a cluster."
)


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise StoreUnavailable(f"store {path}: this host does not see the engine's file. {_ONE_HOST}")


def _refuse_other(path: Path, db: apsw.Connection, store_id: str) -> None:
    with explained(str(path)):
        found = metadata(db)["store_id"]
    if found != store_id:
        raise StoreUnavailable(
            f"store {path}: on this host that path is another store ({found[:8]}…) than the engine's "
            f"({store_id[:8]}…). {_ONE_HOST}"
        )


def _histories(db: apsw.Connection, some: dict[str, str]) -> list[Loaded]:
    with db:  # all statements see the same moment
        opened = [rows.execution(row) for row in db.execute(query("open_executions"), some)]
        events = map(rows.event, db.execute(query("histories"), some))
        of = {key: list(found) for key, found in groupby(events, key=itemgetter(0))}
        snapshots = {row[0]: SnapshotRow._make(row) for row in db.execute(query("snapshots"), some)}
    return [Loaded(row, of.get(row.key, []), snapshots.get(row.key)) for row in opened]


class _Costs:
    """What a commit is likely to take: so much for any, and so much for each row. Learned as it goes."""

    def __init__(self) -> None:
        self._any_s = 0.0005
        self._row_s = 0.000_004

    def expected_s(self, count: int) -> float:
        return self._any_s + count * self._row_s

    def learn(self, count: int, took_s: float) -> None:
        if count <= 32:
            self._any_s += (took_s - count * self._row_s - self._any_s) / 8
        else:
            self._row_s += (max(took_s - self._any_s, 0.0) / count - self._row_s) / 8
