"""A store behind a codec: what belongs to users is sealed on its way in and opened on its way out.

::

      owner, client  ──rows──>  Sealed…  ──rows with sealed values──>  sqlite, postgres, memory
                     <─rows───           <───────────────────────────

A layer around the store's door, so that every store has it, and a store without a codec does not have it at all: an owner then
works on the bare journal. Readers and inboxes always have it, because what is sealed must be told from what is damaged.

**Authority.** The store's fact ``codec`` says what may be written: where it is ``encrypted``, nobody without keys opens it for
writing, so a forgotten variable cannot put plain values beside encrypted ones. **Failure.** What does not open (no key, changed) is
an error for who reads it and for that execution only: an owner holds the others, and leaves its commands and schedules where
they are. A batch that is tried again after trouble is the same sealed batch, so a store recognises its own commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from raywf.errors import KeyMissing, RaywfError, SealBroken
from raywf.journal.places import (
    AGGREGATORS,
    CACHE,
    EVENTS,
    EVIDENCE,
    FINGERPRINTS,
    INBOX,
    REASONS,
    SCHEDULES,
    SNAPSHOTS,
)
from raywf.ports import (
    AggregatorRow,
    Batch,
    CachedRow,
    EventRow,
    EvidenceRow,
    ExecutionRow,
    Inbox,
    InboxRow,
    Journal,
    Loaded,
    Reader,
    ScheduleRow,
    SnapshotRow,
    StatusChange,
)
from raywf.sealing import Codec, Sealer, is_sealed, is_sealed_text, key_of, key_of_text

log = logging.getLogger("raywf.journal")

FACT = "codec"
ENCRYPTED, COMPRESSED = "encrypted", "compressed"
_FROM_ANYBODY = ("cancel", "pause", "resume")
"""Commands that need no key: who is called at night may stop what runs. They carry a reason at most."""

_MUCH = 500_000
"""Bytes of a batch above which it is sealed in a thread."""


class _Store(Reader, Inbox, Protocol):
    pass


async def behind(journal: Journal, codec: Codec) -> Journal:
    """The journal that an owner works on: bare where neither codec nor store ask for more. Notes in the store that there is a codec.

    Raises ``KeyMissing`` where the store is encrypted and the codec has no keys.
    """
    known = (await journal.facts()).details.get(FACT)
    if known == ENCRYPTED and not codec.keys:
        raise KeyMissing(
            "this store's values are encrypted, and this engine was given no keys: set RAYWF_KEYS=file:/path/to/keys (or env:NAME), "
            "or raywf.connect(codec=raywf.Codec(keys=…)); `raywf keys ls` says which keys it uses"
        )
    if known is None and not codec:
        return journal
    found = sealed_journal(journal, codec.sealer())  # before the note: keys that cannot be read change nothing
    wanted = ENCRYPTED if codec.keys else COMPRESSED if codec.compress else known
    if wanted is not None and known not in (wanted, ENCRYPTED):
        await journal.set_fact(FACT, wanted)
    return found


def sealed_journal(journal: Journal, sealer: Sealer) -> Journal:
    return cast(Journal, SealedJournal(journal, sealer))


def sealer_of(store: object) -> Sealer | None:
    """What seals and opens for a store's door; None for a bare one."""
    return store.sealer if isinstance(store, SealedReader) else None


class SealedReader:
    """Opens what a reader gives. Calls that carry no values go to it as they are."""

    def __init__(self, inner: Any, sealer: Sealer) -> None:
        self.inner = inner
        self.sealer = sealer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # executions: what waits, and the fingerprint; both stay sealed where they do not open

    async def execution(self, namespace: str, execution_id: str) -> ExecutionRow | None:
        row = await self.inner.execution(namespace, execution_id)
        return None if row is None else self._execution(row)

    async def executions(self, namespace: str, **like: Any) -> list[ExecutionRow]:
        return [self._execution(row) for row in await self.inner.executions(namespace, **like)]

    async def existing(self, namespace: str, ids: Sequence[str]) -> dict[str, ExecutionRow]:
        return {id_: self._execution(row) for id_, row in (await self.inner.existing(namespace, ids)).items()}

    async def ended_roots(self, namespace: str, until: float, after: int, limit: int) -> list[ExecutionRow]:
        return [self._execution(row) for row in await self.inner.ended_roots(namespace, until, after, limit)]

    async def descendants(self, namespace: str, execution_id: str) -> list[ExecutionRow]:
        return [self._execution(row) for row in await self.inner.descendants(namespace, execution_id)]

    def _execution(self, row: ExecutionRow) -> ExecutionRow:
        reason, fingerprint = row.waiting_for, row.fingerprint
        if reason is not None and is_sealed_text(reason):
            try:
                reason = self.sealer.open_text(reason, REASONS.words(row.key))
            except RaywfError:
                reason = f"encrypted with key {key_of_text(reason)!r}"
        if is_sealed_text(fingerprint):
            try:
                fingerprint = self.sealer.open_text(fingerprint, FINGERPRINTS.words(row.key))
            except RaywfError:
                pass  # equal to none: it is only compared
        if reason is row.waiting_for and fingerprint is row.fingerprint:
            return row
        return row._replace(waiting_for=reason, fingerprint=fingerprint)

    # histories

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        return [self._event(row) for row in await self.inner.history(key, after_seq, limit)]

    async def histories(self, keys: Sequence[int]) -> list[EventRow]:
        return [self._event(row) for row in await self.inner.histories(keys)]

    async def closings(self, keys: Sequence[int]) -> dict[int, EventRow]:
        return {key: self._event(row) for key, row in (await self.inner.closings(keys)).items()}

    def _event(self, row: EventRow) -> EventRow:
        data = row.data
        if data is None or not is_sealed(data):
            return row
        return row._replace(data=self.sealer.open(data, EVENTS.words(row.key, row.seq, row.kind, row.task)))

    # reused results: their keys are hashes of arguments, which who knows what to look for could guess, so they are keyed here

    async def find_cached(self, namespace: str, keys: Sequence[str]) -> dict[str, CachedRow]:
        if not keys:
            return {}
        aliases = {key: self.sealer.aliases(key) for key in keys}
        found = await self.inner.find_cached(namespace, [alias for several in aliases.values() for alias in several])
        opened: dict[str, CachedRow] = {}
        for key, several in aliases.items():
            row = next((found[alias] for alias in several if alias in found), None)
            if row is not None:
                with contextlib.suppress(KeyMissing, SealBroken):  # then it is computed anew
                    opened[key] = self._cached(row)._replace(key=key)
        return opened

    async def list_cached(self, namespace: str, task: str | None = None, limit: int = 100) -> list[CachedRow]:
        return [self._cached(row) for row in await self.inner.list_cached(namespace, task, limit)]

    def _cached(self, row: CachedRow) -> CachedRow:
        return row._replace(value=self.sealer.open(row.value, CACHE.words(row.namespace, row.key, row.task)))

    # schedules and aggregators

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        return [self._schedule(row) for row in await self.inner.schedules(namespace)]

    def _schedule(self, row: ScheduleRow) -> ScheduleRow:
        text = row.spec.decode()
        return row._replace(spec=self.sealer.open_text(text, SCHEDULES.words(row.namespace, row.id)).encode())

    async def aggregator(self, namespace: str, name: str) -> AggregatorRow | None:
        row = await self.inner.aggregator(namespace, name)
        return (
            None if row is None else row._replace(body=self.sealer.open(row.body, AGGREGATORS.words(row.key, row.seq)))
        )

    async def evidence(self, aggregator: int, after_seq: int = 0, limit: int | None = None) -> list[EvidenceRow]:
        return [self._told(row) for row in await self.inner.evidence(aggregator, after_seq, limit)]

    async def evidence_of(self, aggregator: int, items: Sequence[str]) -> list[EvidenceRow]:
        return [self._told(row) for row in await self.inner.evidence_of(aggregator, items)]

    def _told(self, row: EvidenceRow) -> EvidenceRow:
        return row._replace(body=self.sealer.open(row.body, EVIDENCE.words(row.aggregator, row.seq, row.item)))


async def history_as_far_as_it_opens(reader: Reader, key: int, after_seq: int = 0) -> list[EventRow]:
    """A history whose events keep their sealed data where that does not open: kinds, tasks and times are readable to all."""
    if not isinstance(reader, SealedReader):
        return await reader.history(key, after_seq)
    found = []
    for row in await reader.inner.history(key, after_seq):
        try:
            found.append(reader._event(row))
        except RaywfError:
            found.append(row)
    return found


def why_sealed(data: bytes) -> str:
    """What is shown in the place of a value that does not open here."""
    id_ = key_of(data)
    return f"encrypted with key {id_!r}, which is not given here (RAYWF_KEYS)" if id_ else "sealed, and does not open"


class SealedInbox(SealedReader):
    """Seals what is sent, as well. Without keys nothing of a user's goes into an encrypted store."""

    _may_write = False

    async def send(self, row: InboxRow) -> bool:
        if row.kind not in _FROM_ANYBODY:
            await self._check_keys()
        words = INBOX.words(row.namespace, row.execution, row.kind, row.command_id)
        sent: bool = await self.inner.send(row._replace(body=self.sealer.seal(row.body, words)))
        return sent

    async def put_schedule(self, row: ScheduleRow) -> None:
        await self._check_keys()
        text = self.sealer.seal_text(row.spec.decode(), SCHEDULES.words(row.namespace, row.id))
        await self.inner.put_schedule(row._replace(spec=text.encode()))

    async def bring_in(self, batch: Batch) -> None:
        await self._check_keys()
        await self.inner.bring_in(seal_batch(batch, self.sealer))

    async def clear_cached(self, namespace: str, task: str | None = None, *, key: str | None = None, **of: Any) -> int:
        if key is None:
            cleared: int = await self.inner.clear_cached(namespace, task, **of)
            return cleared
        return sum(
            [await self.inner.clear_cached(namespace, task, key=each, **of) for each in self.sealer.aliases(key)]
        )

    async def _check_keys(self) -> None:
        if self._may_write or self.sealer.encrypts:
            return
        if (await self.inner.facts()).details.get(FACT) == ENCRYPTED:
            raise KeyMissing(
                "this store's values are encrypted, and this process was given no keys, so nothing was sent: set "
                "RAYWF_KEYS=file:/path/to/keys (or env:NAME); `raywf keys ls` says which keys it uses"
            )
        self._may_write = True


class SealedJournal(SealedInbox):
    """The whole store behind a codec, for an owner."""

    def __init__(self, inner: Any, sealer: Sealer) -> None:
        super().__init__(inner, sealer)
        self._last: tuple[Batch, Any, Batch] | None = None
        self._specs: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    async def commit(self, batch: Batch) -> None:
        parts = (batch.opened, batch.events, batch.changed, batch.snapshots)
        last = self._last
        if last is None or last[0] is not batch or any(a is not b for a, b in zip(last[1], parts, strict=True)):
            sealed = await self._sealed(batch)
            self._last = last = (batch, parts, sealed)
        await self.inner.commit(last[2])
        self._last = None

    async def _sealed(self, batch: Batch) -> Batch:
        much = sum(len(row.data) for row in batch.events if row.data is not None)
        if much > _MUCH:
            return await asyncio.to_thread(seal_batch, batch, self.sealer)
        return seal_batch(batch, self.sealer)

    async def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        async for loaded in self.inner.load_open(lane, shards):
            yield self._loaded(loaded)

    async def load(self, keys: Sequence[int]) -> list[Loaded]:
        return [self._loaded(loaded) for loaded in await self.inner.load(keys)]

    def _loaded(self, loaded: Loaded) -> Loaded:
        """An execution of which something does not open keeps to itself: ``trouble`` is raised when it is folded."""
        row, kept = self._execution(loaded.row), loaded.snapshot
        try:
            if kept is not None and kept.data is not None:
                with contextlib.suppress(
                    SealBroken
                ):  # left as it is it cannot be read, and the history takes its place
                    kept = kept._replace(data=self.sealer.open(kept.data, SNAPSHOTS.words(kept.key, kept.seq)))
            return Loaded(row, [self._event(each) for each in loaded.events], kept)
        except (KeyMissing, SealBroken) as error:
            return Loaded(row, [], None, error)

    async def inbox(self, lane: str, after: int, limit: int = 1000) -> list[InboxRow]:
        found = []
        for row in await self.inner.inbox(lane, after, limit):
            words = INBOX.words(row.namespace, row.execution, row.kind, row.command_id)
            try:
                found.append(row._replace(body=self.sealer.open(row.body, words)))
            except (KeyMissing, SealBroken) as error:
                log.error("command %s to %s stays in the inbox: %s", row.command_id, row.execution, error)
        return found

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        return self._opened(await self.inner.schedules(namespace))

    async def due_schedules(self, lane: str, shards: Sequence[int], until: float) -> list[ScheduleRow]:
        return self._opened(await self.inner.due_schedules(lane, shards, until))

    def _opened(self, rows: Sequence[ScheduleRow]) -> list[ScheduleRow]:
        found = []
        for row in rows:
            try:
                found.append(self._schedule(row))
                self._specs[row.namespace, row.id] = (found[-1].spec, row.spec)
            except (KeyMissing, SealBroken) as error:
                log.error("schedule %s of namespace %s does not fire: %s", row.id, row.namespace, error)
        return found

    async def advance_schedule(self, row: ScheduleRow, next_at: float, last: str | None) -> bool:
        """The store compares what it has with ``row``, so ``row`` must be as it was read: sealed twice, a spec differs."""
        if (row.namespace, row.id) not in self._specs:
            await self.schedules(row.namespace)
        plain, stored = self._specs.get((row.namespace, row.id), (b"", b""))
        seen = row._replace(spec=stored) if plain == row.spec else row
        advanced: bool = await self.inner.advance_schedule(seen, next_at, last)
        return advanced


def seal_batch(batch: Batch, sealer: Sealer) -> Batch:
    """A batch as it goes to the store. The rows handed in stay as they are."""
    seal, text = sealer.seal, sealer.seal_text
    return replace(
        batch,
        opened=[
            row._replace(
                fingerprint=row.fingerprint and text(row.fingerprint, FINGERPRINTS.words(row.key)),
                waiting_for=None if row.waiting_for is None else text(row.waiting_for, REASONS.words(row.key)),
            )
            for row in batch.opened
        ],
        events=[
            row
            if row.data is None
            else row._replace(data=seal(row.data, EVENTS.words(row.key, row.seq, row.kind, row.task)))
            for row in map(EventRow._make, batch.events)
        ],
        changed=[_changed(row, sealer) for row in batch.changed],
        snapshots=[
            SnapshotRow(key, seq, None if data is None else seal(data, SNAPSHOTS.words(key, seq)))
            for key, seq, data in batch.snapshots
        ],
        evidence=[
            row._replace(body=seal(row.body, EVIDENCE.words(row.aggregator, row.seq, row.item)))
            for row in map(EvidenceRow._make, batch.evidence)
        ],
        aggregators=[
            row._replace(body=seal(row.body, AGGREGATORS.words(row.key, row.seq)))
            for row in map(AggregatorRow._make, batch.aggregators)
        ],
        cached=[_kept(row, sealer) for row in map(CachedRow._make, batch.cached)],
    )


def _kept(row: CachedRow, sealer: Sealer) -> CachedRow:
    key = sealer.aliases(row.key)[0]
    return row._replace(key=key, value=sealer.seal(row.value, CACHE.words(row.namespace, key, row.task)))


def _changed(row: StatusChange, sealer: Sealer) -> StatusChange:
    if row.waiting_for is None:
        return row
    return row._replace(waiting_for=sealer.seal_text(row.waiting_for, REASONS.words(row.key)))
