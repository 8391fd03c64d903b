"""The journal's twin in memory: the same promises, save that they end with the process. For tests and for the clock
that jumps.

A store has a name and lives as long as the process does; every journal, inbox or reader opened on ``memory://name``
sees it, from any thread. Rows go in and out as values: nothing handed out changes later.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from raywf.core.admission import Meter, Slot
from raywf.core.caching import replaces
from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.admitting import Book, turn
from raywf.journal.clock import SystemClock
from raywf.journal.conflicts import KeysTaken
from raywf.journal.memory_values import reseal, stored_values
from raywf.journal.places import PLACES
from raywf.ports import (
    Admission,
    AggregatorRow,
    Batch,
    CachedRow,
    Clock,
    DefinitionRow,
    DeploymentRow,
    EventRow,
    EvidenceRow,
    ExecutionRow,
    InboxRow,
    LimitRow,
    Loaded,
    OwnerRow,
    Resealed,
    ScheduleRow,
    SnapshotRow,
    StatusChange,
    StoredValue,
    StoreFacts,
    VersionRow,
)


@dataclass(slots=True)
class MemoryStore:
    """What SQLite's tables are to ``sqlite``."""

    definitions: dict[str, DefinitionRow] = field(default_factory=dict)
    executions: dict[int, ExecutionRow] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    events: dict[int, dict[int, EventRow]] = field(default_factory=dict)
    owners: dict[str, OwnerRow] = field(default_factory=dict)
    leases: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    inbox: list[InboxRow] = field(default_factory=list)
    commands: set[tuple[str, str, str]] = field(default_factory=set)
    snapshots: dict[int, SnapshotRow] = field(default_factory=dict)
    sent: int = 0
    aggregators: dict[int, AggregatorRow] = field(default_factory=dict)
    evidence: dict[int, dict[int, EvidenceRow]] = field(default_factory=dict)
    limits: dict[tuple[str, str], LimitRow] = field(default_factory=dict)
    slots: dict[str, dict[str, Slot]] = field(default_factory=dict)
    meters: dict[str, dict[Meter, float]] = field(default_factory=dict)
    schedules: dict[tuple[str, str], ScheduleRow] = field(default_factory=dict)
    cache: dict[tuple[str, str], CachedRow] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    deployments: dict[tuple[str, str, int], DeploymentRow] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_STORES: dict[str, MemoryStore] = {}


def forget(name: str) -> None:
    """Drop a store, as deleting the file would."""
    _STORES.pop(name, None)


class MemoryJournal:
    """All three doors to a store in memory. ``create=False`` refuses a name that nobody has used yet."""

    def __init__(self, name: str = "", *, clock: Clock | None = None, create: bool = True) -> None:
        if not create and name not in _STORES:
            raise StoreUnavailable(
                f"there is no store memory://{name} in this process: open_journal makes one, and it ends with the process."
            )
        self._url = f"memory://{name}"
        self._store: MemoryStore | None = _STORES.setdefault(name, MemoryStore()) if name else MemoryStore()
        self._clock = clock or SystemClock()

    # -- reading -------------------------------------------------------------------------------------------------

    async def execution(self, namespace: str, execution_id: str) -> ExecutionRow | None:
        store = self._open()
        with store.lock:
            key = store.keys.get((namespace, execution_id))
            return None if key is None else _copy(store.executions[key])

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
        store = self._open()
        with store.lock:
            before = store.keys.get((namespace, after)) if after is not None else None
            found = (
                _copy(row)
                for key, row in sorted(store.executions.items(), reverse=True)
                if row.namespace == namespace
                and (before is None or key < before)
                and (status is None or row.status == status)
                and (workflow is None or row.workflow == workflow)
                and (parent is None or row.parent == parent)
                and (not tags or tags.items() <= row.tags.items())
                and (started_after is None or row.created_at >= started_after)
                and (started_before is None or row.created_at < started_before)
            )
            return list(islice(found, limit))

    async def existing(self, namespace: str, ids: Sequence[str]) -> dict[str, ExecutionRow]:
        found = {id_: await self.execution(namespace, id_) for id_ in ids}
        return {id_: row for id_, row in found.items() if row is not None}

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        store = self._open()
        with store.lock:
            return list(islice((row for row in _ordered(store, key) if row.seq > after_seq), limit))

    async def histories(self, keys: Sequence[int]) -> list[EventRow]:
        store = self._open()
        with store.lock:
            return [event for key in sorted(set(keys)) for event in _ordered(store, key)]

    async def ended_roots(self, namespace: str, until: float, after: int, limit: int) -> list[ExecutionRow]:
        store = self._open()
        with store.lock:
            found = (
                _copy(row)
                for key, row in sorted(store.executions.items())
                if row.namespace == namespace and row.parent is None and key > after and _ended(row, until)
            )
            return list(islice(found, limit))

    async def descendants(self, namespace: str, execution_id: str) -> list[ExecutionRow]:
        store = self._open()
        with store.lock:
            rows = [row for _, row in sorted(store.executions.items()) if row.namespace == namespace]
            return [_copy(row) for row in rows if row.id.startswith(f"{execution_id}/")]

    async def closings(self, keys: Sequence[int]) -> dict[int, EventRow]:
        store = self._open()
        with store.lock:
            rows = {key: store.executions[key] for key in keys if key in store.executions}
            ends = {key: _ordered(store, key) for key, row in rows.items() if row.ended_at is not None}
            return {key: events[-1] for key, events in ends.items() if events}

    async def definition(self, hash_: str) -> DefinitionRow | None:
        return self._open().definitions.get(hash_)

    async def versions(self, namespace: str, workflow: str) -> list[VersionRow]:
        store = self._open()
        with store.lock:
            rows = store.executions.values()
            held = Counter(row.definition for row in rows if row.namespace == namespace and row.ended_at is None)
            known = [row for row in store.definitions.values() if row.workflow == workflow]
            found = [VersionRow(row.hash, workflow, row.version, store.seen[row.hash], held[row.hash]) for row in known]
        return sorted(found, key=lambda row: (row.seen_at, row.hash))

    async def deployments(self, namespace: str, workflow: str | None = None) -> list[DeploymentRow]:
        store = self._open()
        with store.lock:
            rows = [row for row in store.deployments.values() if row.namespace == namespace]
        return sorted(row for row in rows if workflow in (None, row.workflow))

    async def count_open(self, namespace: str, lane: str | None = None) -> int:
        store = self._open()
        with store.lock:
            return sum(
                row.namespace == namespace and row.ended_at is None and (lane is None or row.lane == lane)
                for row in store.executions.values()
            )

    async def open_lanes(self, namespace: str) -> list[str]:
        store = self._open()
        with store.lock:
            rows = store.executions.values()
            open_ = {row.lane for row in rows if row.namespace == namespace and row.ended_at is None}
            return sorted(open_ | {row.lane for row in store.inbox if row.namespace == namespace})

    async def owners(self) -> list[OwnerRow]:
        store = self._open()
        with store.lock:
            live = [row for row in store.owners.values() if not row.released]
        return sorted(live, key=lambda row: (row.started_at, row.owner))

    async def aggregator(self, namespace: str, name: str) -> AggregatorRow | None:
        store = self._open()
        with store.lock:
            rows = store.aggregators.values()
            return next((row for row in rows if (row.namespace, row.name) == (namespace, name)), None)

    async def aggregators(self, namespace: str) -> list[str]:
        store = self._open()
        with store.lock:
            return sorted(row.name for row in store.aggregators.values() if row.namespace == namespace)

    async def evidence(self, aggregator: int, after_seq: int = 0, limit: int | None = None) -> list[EvidenceRow]:
        store = self._open()
        with store.lock:
            found = store.evidence.get(aggregator, {})
            return list(islice((row for seq, row in sorted(found.items()) if seq > after_seq), limit))

    async def evidence_of(self, aggregator: int, items: Sequence[str]) -> list[EvidenceRow]:
        wanted = frozenset(items)
        return [row for row in await self.evidence(aggregator) if row.item in wanted]

    async def limits(self, namespace: str) -> list[LimitRow]:
        store = self._open()
        with store.lock:
            return sorted(row for row in store.limits.values() if row.namespace == namespace)

    async def slots(self, namespace: str) -> list[Slot]:
        store = self._open()
        with store.lock:
            return sorted(self._living(namespace).values(), key=lambda slot: (slot.asked_at, slot.id))

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        store = self._open()
        with store.lock:
            return sorted(row for row in store.schedules.values() if row.namespace == namespace)

    async def find_cached(self, namespace: str, keys: Sequence[str]) -> dict[str, CachedRow]:
        store = self._open()
        with store.lock:
            return {key: row for key in keys if (row := store.cache.get((namespace, key))) is not None}

    async def list_cached(self, namespace: str, task: str | None = None, limit: int = 100) -> list[CachedRow]:
        store = self._open()
        with store.lock:
            rows = [row for row in store.cache.values() if row.namespace == namespace and _is_result_of(row, task)]
        return sorted(rows, key=lambda row: (-row.stored_at, row.key))[:limit]

    async def facts(self) -> StoreFacts:
        store = self._open()
        return StoreFacts(self._url, 0, "memory", {"shards": "256", **store.facts})

    async def close(self) -> None:
        self._store = None

    # -- commands ------------------------------------------------------------------------------------------------

    async def send(self, row: InboxRow) -> bool:
        store = self._open()
        with store.lock:
            command = (row.namespace, row.execution, row.command_id)
            store.sent += 1
            if command in store.commands:
                return False
            store.commands.add(command)
            store.inbox.append(row._replace(id=store.sent))
            return True

    async def inbox(self, lane: str, after: int, limit: int = 1000) -> list[InboxRow]:
        store = self._open()
        with store.lock:
            return list(islice((row for row in store.inbox if row.lane == lane and row.id > after), limit))

    async def bring_in(self, batch: Batch) -> None:
        await self.commit(batch)

    async def forget(self, namespace: str, keys: Sequence[int], until: float) -> int:
        store = self._open()
        with store.lock:
            rows = [store.executions[key] for key in set(keys) if key in store.executions]
            gone = [row for row in rows if row.namespace == namespace and _ended(row, until)]
            for row in gone:
                del store.executions[row.key], store.keys[namespace, row.id]
                store.events.pop(row.key, None)
                store.snapshots.pop(row.key, None)
            ids = {row.id for row in gone}
            store.inbox = [row for row in store.inbox if row.namespace != namespace or row.execution not in ids]
            store.commands = {each for each in store.commands if each[0] != namespace or each[1] not in ids}
            return len(gone)

    async def clear_cached(
        self,
        namespace: str,
        task: str | None = None,
        *,
        key: str | None = None,
        expired_at: float | None = None,
        limit: int = 10_000,
    ) -> int:
        store = self._open()
        with store.lock:
            found = (
                place
                for place, row in store.cache.items()
                if row.namespace == namespace
                and _is_result_of(row, task)
                and (key is None or row.key == key)
                and (expired_at is None or row.expires_at <= expired_at)
            )
            gone = list(islice(found, limit))
            for place in gone:
                del store.cache[place]
            return len(gone)

    # -- limits and schedules ------------------------------------------------------------------------------------

    async def set_limit(self, row: LimitRow) -> None:
        store = self._open()
        with store.lock:
            store.limits[row.namespace, row.name] = row

    async def drop_limit(self, namespace: str, name: str) -> bool:
        store = self._open()
        with store.lock:
            return store.limits.pop((namespace, name), None) is not None

    async def put_definition(self, row: DefinitionRow) -> None:
        _see(self._open(), row, self._clock.now())

    async def put_deployment(self, row: DeploymentRow) -> bool:
        store = self._open()
        with store.lock:
            return store.deployments.setdefault((row.namespace, row.workflow, row.number), row) is row

    async def put_schedule(self, row: ScheduleRow) -> None:
        store = self._open()
        with store.lock:
            store.schedules[row.namespace, row.id] = row

    async def drop_schedule(self, namespace: str, id: str) -> bool:
        store = self._open()
        with store.lock:
            return store.schedules.pop((namespace, id), None) is not None

    async def set_fact(self, name: str, value: str) -> None:
        self._open().facts[name] = value

    async def stored_values(self, place: str, after: Sequence[Any] | None, limit: int) -> list[StoredValue]:
        store = self._open()
        with store.lock:
            found = stored_values(store, PLACES[place])
            wanted = len(PLACES[place].identity)
            return [each for each in found if after is None or each.of_row[:wanted] > tuple(after)][:limit]

    async def reseal(self, place: str, changes: Sequence[Resealed]) -> int:
        store = self._open()
        with store.lock:
            return sum([reseal(store, PLACES[place], each) for each in changes])

    async def due_schedules(self, lane: str, shards: Sequence[int], until: float) -> list[ScheduleRow]:
        store, wanted = self._open(), set(shards)
        with store.lock:
            rows = [
                row
                for row in store.schedules.values()
                if row.lane == lane and row.shard in wanted and not row.paused and row.next_at <= until
            ]
            return sorted(rows, key=lambda row: (row.next_at, row.id))

    async def advance_schedule(self, row: ScheduleRow, next_at: float, last: str | None) -> bool:
        store = self._open()
        with store.lock:
            if store.schedules.get((row.namespace, row.id)) != row:
                return False
            store.schedules[row.namespace, row.id] = row._replace(next_at=next_at, last=last)
            return True

    async def admit(
        self, namespace: str, owner: str, asks: Sequence[Slot], done: Sequence[str], declared: Sequence[LimitRow]
    ) -> Admission:
        store = self._open()
        with store.lock:
            limits = {row.name: row for row in store.limits.values() if row.namespace == namespace}
            meters = store.meters.setdefault(namespace, {})
            book = Book(limits, self._living(namespace), meters)
            changes = turn(book, owner, asks, done, declared, self._clock.now())
            store.limits.update({(namespace, row.name): row for row in changes.limits})
            store.slots[namespace] = book.slots
            meters.update(changes.meters)
            return changes.answer

    def _living(self, namespace: str) -> dict[str, Slot]:
        """The slots of owners that live: others count no more."""
        store, now = self._open(), self._clock.now()
        slots = store.slots.get(namespace, {})
        return {id_: slot for id_, slot in slots.items() if _is_live(store, slot.owner, now)}

    # -- leases --------------------------------------------------------------------------------------------------

    async def claim(
        self, owner: OwnerRow, shards: Sequence[int], lease_s: float, *, dead: Sequence[str] = ()
    ) -> dict[int, int]:
        store, now = self._open(), self._clock.now()
        with store.lock:
            for shard in dict.fromkeys(shards):
                holder, epoch = store.leases.get((owner.lane, shard), (None, 0))
                if holder is None or holder in dead or not _is_live(store, holder, now):
                    store.leases[owner.lane, shard] = (owner.owner, epoch + 1)
            held = {shard: store.leases[owner.lane, shard] for shard in sorted(set(shards))}
            mine = {shard: epoch for shard, (holder, epoch) in held.items() if holder == owner.owner}
            if mine:
                store.owners[owner.owner] = owner._replace(expires_at=now + lease_s, released=False)
                _forget_idle(store, owner)
            return mine

    async def renew(self, owner: str, lease_s: float) -> bool:
        store = self._open()
        with store.lock:
            row = store.owners.get(owner)
            if row is None or row.released or not _holds(store, row):
                return False
            store.owners[owner] = row._replace(expires_at=self._clock.now() + lease_s)
            return True

    async def release(self, owner: str) -> None:
        store = self._open()
        with store.lock:
            if owner in store.owners:
                store.owners[owner] = store.owners[owner]._replace(released=True)

    # -- writing -------------------------------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> None:
        store = self._open()
        with store.lock:
            _check(store, batch, self._url)
            for definition in batch.definitions:
                _see(store, definition, self._clock.now())
            for row in batch.opened:
                store.executions[row.key] = _copy(row)
                store.keys[row.namespace, row.id] = row.key
            for event in batch.events:
                store.events.setdefault(event.key, {})[event.seq] = EventRow._make(event)
            for change in batch.changed:
                _change(store, change)
            for moved in batch.redefined:
                row = store.executions[moved.key]
                store.executions[moved.key] = row._replace(definition=moved.definition, version=moved.version)
            for snapshot in batch.snapshots:
                if snapshot.data is None:
                    store.snapshots.pop(snapshot.key, None)
                else:
                    store.snapshots[snapshot.key] = snapshot
            if batch.taken:
                store.inbox = [row for row in store.inbox if row.id not in batch.taken]
            for told in batch.evidence:
                store.evidence.setdefault(told.aggregator, {})[told.seq] = EvidenceRow._make(told)
            for aggregator in batch.aggregators:
                store.aggregators[aggregator.key] = AggregatorRow._make(aggregator)
            for cached in batch.cached:
                known = store.cache.get((cached.namespace, cached.key))
                if known is None or replaces(known[5:7], cached[5:7]):
                    store.cache[cached.namespace, cached.key] = CachedRow._make(cached)

    async def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        store = self._open()
        with store.lock:
            loaded = [_load(store, row) for row in _opened(store, lane, shards) if row.wake_at is None]
        for execution in loaded:
            yield execution

    async def load(self, keys: Sequence[int]) -> list[Loaded]:
        store = self._open()
        with store.lock:
            rows = (store.executions[key] for key in sorted(set(keys)) if key in store.executions)
            return [_load(store, row) for row in rows if row.ended_at is None]

    async def due(self, lane: str, shards: Sequence[int], until: float, limit: int) -> list[tuple[int, float]]:
        store = self._open()
        with store.lock:
            asleep = ((row.key, row.wake_at) for row in _opened(store, lane, shards) if row.wake_at is not None)
            return sorted((found for found in asleep if found[1] <= until), key=lambda found: found[::-1])[:limit]

    async def next_wake(self, lane: str, shards: Sequence[int], after: float) -> float | None:
        store = self._open()
        with store.lock:
            asleep = (row.wake_at for row in _opened(store, lane, shards) if row.wake_at is not None)
            return min((wake_at for wake_at in asleep if wake_at > after), default=None)

    def _open(self) -> MemoryStore:
        if self._store is None:
            raise StoreUnavailable(f"store {self._url}: this connection is closed. Open the store again.")
        return self._store


def _is_result_of(row: CachedRow, task: str | None) -> bool:
    return task is None or task in (row.task, row.task.partition(":")[2])


def _see(store: MemoryStore, row: DefinitionRow, now: float) -> None:
    if store.definitions.setdefault(row.hash, row) is row:
        store.seen.setdefault(row.hash, now)


def _copy(row: ExecutionRow) -> ExecutionRow:
    return row._replace(tags=dict(row.tags))


def _ended(row: ExecutionRow, until: float) -> bool:
    return row.ended_at is not None and row.ended_at <= until


def _opened(store: MemoryStore, lane: str, shards: Sequence[int]) -> list[ExecutionRow]:
    wanted = set(shards)
    rows = sorted(store.executions.items())
    return [row for _, row in rows if row.lane == lane and row.shard in wanted and row.ended_at is None]


def _load(store: MemoryStore, row: ExecutionRow) -> Loaded:
    snapshot = store.snapshots.get(row.key)
    after = snapshot.seq if snapshot is not None else 0
    return Loaded(_copy(row), [event for event in _ordered(store, row.key) if event.seq > after], snapshot)


def _ordered(store: MemoryStore, key: int) -> list[EventRow]:
    return [row for _, row in sorted(store.events.get(key, {}).items())]


def _is_live(store: MemoryStore, owner: str, now: float) -> bool:
    row = store.owners.get(owner)
    return row is not None and not row.released and row.expires_at > now


def _holds(store: MemoryStore, owner: OwnerRow) -> bool:
    return any(lane == owner.lane and holder == owner.owner for (lane, _), (holder, _) in store.leases.items())


def _forget_idle(store: MemoryStore, claimer: OwnerRow) -> None:
    for name, row in list(store.owners.items()):
        if name != claimer.owner and (row.released or row.lane == claimer.lane) and not _holds(store, row):
            del store.owners[name]


def _check(store: MemoryStore, batch: Batch, where: str) -> None:
    """Everything that may refuse a batch, before anything of it is written."""
    lost = [s for s, epoch in batch.epochs.items() if store.leases.get((batch.lane, s)) != (batch.owner, epoch)]
    if lost:
        raise LeaseLost(f"owner {batch.owner!r} no longer holds shards {sorted(lost)}", tuple(sorted(lost)))
    taken = tuple(sorted(_taken_keys(store, batch)))
    if taken:
        raise KeysTaken(taken, where)
    places = [(event.key, event.seq) for event in batch.events]
    told = [(row.aggregator, row.seq) for row in batch.evidence]
    for what, wanted, stored in (("history event", places, store.events), ("evidence", told, store.evidence)):
        taken_places = [place for place in wanted if place[1] in stored.get(place[0], ())]
        if taken_places or len(set(wanted)) < len(wanted):
            raise LeaseLost(f"{what} {taken_places[:1]} is in {where} already", tuple(sorted(batch.epochs)))


def _taken_keys(store: MemoryStore, batch: Batch) -> Iterator[int]:
    seen: set[object] = set()
    for row in batch.opened:
        name = (row.namespace, row.id)
        if row.key in store.executions or name in store.keys or row.key in seen or name in seen:
            yield row.key
        seen |= {row.key, name}


def _change(store: MemoryStore, change: StatusChange) -> None:
    row = store.executions.get(change.key)
    if row is not None:
        store.executions[change.key] = row._replace(
            status=change.status,
            ended_at=change.ended_at,
            waiting_for=change.waiting_for,
            wake_at=change.wake_at,
        )
