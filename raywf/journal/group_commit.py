"""The group commit: how thousands of executions share one write to disk.

::

      turns of the loop                 the buffer                          the store
    ┌────────────────────┐   add_*   ┌──────────────┐   commit (one at  ┌────────────┐
    │ step → events      │ ────────> │ next segment │    a time)        │ epochs     │
    │ on_durable(effects)│           ├──────────────┤ ────────────────> │ asserted,  │
    │ no await in a turn │ <──────── │ on its way   │ <──────────────── │ rows on    │
    └────────────────────┘ callbacks └──────────────┘   on disk         │ disk       │
                                                                        └────────────┘

**Pace.** No timer. A commit starts as soon as the last one is on disk and takes along whatever came meanwhile: alone, an
execution waits for one write; in a crowd, thousands share it. ``rows_per_commit`` bounds a commit for the sake of those
who wait for it; the buffer is cut only where ``on_durable`` was called, so a turn that calls it last stays in one piece.

**Authority.** The store. Nothing added here is true until its commit is on disk; whoever must act on it (start a task,
answer a caller) says so with ``on_durable`` and is called afterwards, in order. A row is written under the epoch that its
shard had *when the row was added*: a shard that was lost and won again meanwhile does not make old rows good.

**Failure.** ``StoreUnavailable`` (full disk, read-only, busy): ``on_trouble`` hears of it and the same commit is
tried again, ever more slowly, for as long as it takes; nothing is dropped and no callback runs. A try may have been
written although its answer was an error: the next one is refused then, and who finds its own last event there goes
on. ``LeaseLost``: another owner has a shard; the buffer stops for good, drops what was never acknowledged and calls
``on_lost`` with every shard this owner believed in: who lost one was silent too long to trust the others.
``KeysTaken``: another lane was first with an execution id; those executions are taken out and told to ``on_refused``,
the rest is committed. Anything else is a defect: it stops the buffer too, ``drain`` raises it, and the next owner
goes on from the journal. If the process dies, the journal is what counts: effects of unwritten events never began.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.conflicts import KeysTaken
from raywf.ports import (
    AggregatorRow,
    Batch,
    CachedRow,
    DefinitionRow,
    EventRow,
    EvidenceRow,
    ExecutionRow,
    Journal,
    Redefinition,
    SnapshotRow,
    StatusChange,
)

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


@dataclass(slots=True)
class _Segment:
    """What one commit carries, and whom to call when it is on disk."""

    batch: Batch
    rows: int = 0
    callbacks: list[Callable[[], None]] = field(default_factory=list)


class GroupCommit:
    """The commit buffer of one workflow actor. Belongs to one event loop; adding never waits.

    ``epochs`` is the owner's live map from shard to epoch. ``on_lost(shards)`` is called once, when this owner must stop;
    ``on_trouble(error)`` with each failed try, and with None when writing works again; ``on_refused(keys)`` for new
    executions whose id is taken.
    """

    def __init__(
        self,
        journal: Journal,
        owner: str,
        lane: str,
        epochs: Mapping[int, int],
        *,
        rows_per_commit: int = 4000,
        on_lost: Callable[[tuple[int, ...]], None] = lambda shards: None,
        on_trouble: Callable[[StoreUnavailable | None], None] = lambda error: None,
        on_refused: Callable[[tuple[int, ...]], None] = lambda keys: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._owner = owner
        self._lane = lane
        self._epochs = epochs
        self._rows_per_commit = rows_per_commit
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._on_refused = on_refused
        self._sleep = sleep
        self._segments: deque[_Segment] = deque([self._new_segment()])
        self._committing = False
        self._stopped: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._draining: set[asyncio.Future[None]] = set()

    # -- adding: synchronous, within a turn ----------------------------------------------------------------------

    def add_events(self, shard: int, rows: Iterable[EventRow]) -> None:
        """History events of one execution of ``shard``."""
        segment = self._segment(shard)
        events = segment.batch.events
        before = len(events)
        events.extend(rows)
        segment.rows += len(events) - before

    def add_turn(self, shard: int, rows: list[EventRow], then: Callable[[], None]) -> None:
        """``add_events`` and ``on_durable`` in one: a turn, and what it leads to."""
        segment = self._segments[-1]
        if self._wake is not None or self._stopped is not None or shard not in segment.batch.epochs:
            segment = self._segment(shard)
        segment.batch.events += rows
        segment.callbacks.append(then)
        segment.rows += len(rows)
        if segment.rows >= self._rows_per_commit:
            self._segments.append(self._new_segment())

    def add_opened(self, row: ExecutionRow, definition: DefinitionRow | None = None) -> None:
        """A new execution; its definition, if it may be new to the store."""
        segment = self._segment(row.shard)
        segment.batch.opened.append(row)
        segment.rows += 2
        if definition is not None:
            segment.batch.definitions.append(definition)

    def add_definition(self, shard: int, definition: DefinitionRow) -> None:
        """A definition that an event of an execution of ``shard`` refers to."""
        segment = self._segment(shard)
        segment.batch.definitions.append(definition)
        segment.rows += 1

    def add_changed(self, shard: int, change: StatusChange) -> None:
        """A new status for an execution of ``shard``."""
        segment = self._segment(shard)
        segment.batch.changed.append(change)
        segment.rows += 1

    def add_redefined(self, shard: int, row: Redefinition) -> None:
        """An execution of ``shard`` goes on under another definition."""
        segment = self._segment(shard)
        segment.batch.redefined.append(row)
        segment.rows += 1

    def add_snapshot(self, shard: int, row: SnapshotRow) -> None:
        """A snapshot of an execution of ``shard``, or that it is to be dropped."""
        segment = self._segment(shard)
        segment.batch.snapshots.append(row)
        segment.rows += 1

    def add_taken(self, command: int) -> None:
        """A command of the inbox whose outcome is in this turn's events."""
        segment = self._segment(None)
        segment.batch.taken.append(command)
        segment.rows += 1

    def add_evidence(self, shard: int, rows: Sequence[EvidenceRow]) -> None:
        """What an aggregator was told."""
        segment = self._segment(shard)
        segment.batch.evidence.extend(rows)
        segment.rows += len(rows)

    def add_aggregator(self, shard: int, row: AggregatorRow) -> None:
        """What an aggregator's evidence so far amounts to; of several in one commit the last one counts."""
        segment = self._segment(shard)
        segment.batch.aggregators.append(row)
        segment.rows += 1

    def add_cached(self, shard: int, row: CachedRow) -> None:
        """A result to be reused. It goes with the event that is added next: both are on disk, or neither."""
        segment = self._segment(shard)
        segment.batch.cached.append(row)
        segment.rows += 1

    def on_durable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once everything added before is on disk. Callbacks run in order and must not raise."""
        segment = self._segment(None)
        segment.callbacks.append(callback)
        if segment.rows >= self._rows_per_commit:
            self._segments.append(self._new_segment())

    @property
    def waiting_rows(self) -> int:
        """Rows that are not on disk yet: how far the disk is behind."""
        return sum(segment.rows for segment in self._segments)

    @property
    def stopped(self) -> BaseException | None:
        """Why nothing more is written, or None while all is well."""
        return self._stopped

    # -- waiting -------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Wait until everything added so far is on disk and its callbacks have run. Raises what stopped the buffer."""
        if self._stopped is None and (self._committing or not self._is_empty()):
            done = asyncio.get_running_loop().create_future()
            self._draining.add(done)
            self.on_durable(lambda: _settle(done))
            try:
                await done
            finally:
                self._draining.discard(done)
        if self._stopped is not None:
            raise self._stopped

    async def close(self) -> None:
        """Write what is left, then stop. While the store is out of reach this waits; cancel it to give up."""
        try:
            while self._committing or not self._is_empty():
                await self.drain()
        except (LeaseLost, StoreUnavailable):
            pass  # said already, through on_lost
        finally:
            self._stop(StoreUnavailable("this commit buffer is closed: the engine is shutting down."))
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])

    # -- the loop that commits -----------------------------------------------------------------------------------

    def _segment(self, shard: int | None) -> _Segment:
        """The segment that takes the next row, with the epoch that ``shard`` has now."""
        if self._stopped is not None:
            raise self._stopped
        segment = self._segments[-1]
        if shard is not None and shard not in segment.batch.epochs:
            epoch = self._epochs.get(shard)
            if epoch is None:
                raise LeaseLost(f"owner {self._owner!r} does not hold shard {shard} of lane {self._lane!r}", (shard,))
            segment.batch.epochs[shard] = epoch
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="raywf-group-commit")
        elif self._wake is not None:
            self._wake.set_result(None)
            self._wake = None
        return segment

    def _new_segment(self) -> _Segment:
        return _Segment(Batch(self._lane, self._owner))

    def _is_empty(self) -> bool:
        return len(self._segments) == 1 and not self._segments[0].callbacks and not self._segments[0].batch

    async def _run(self) -> None:
        try:
            while True:
                if self._is_empty():
                    await self._next_row()
                self._committing = True
                segment = self._segments[0]
                if len(self._segments) == 1:
                    self._segments.append(self._new_segment())
                await self._commit(segment.batch)
                self._segments.popleft()
                for callback in segment.callbacks:
                    callback()
                self._committing = False
                await asyncio.sleep(0)  # the loop's turn: what becomes ready now goes with the next commit
        except (asyncio.CancelledError, GeneratorExit):  # the latter: the loop it ran on is gone
            raise
        except LeaseLost as error:
            self._stop(error)
            self._on_lost(tuple(sorted({*error.shards, *self._epochs})))
        except BaseException as error:
            log.exception("the commit buffer of owner %s stops: this is a defect of raywf", self._owner)
            self._stop(error)
            self._on_lost(tuple(self._epochs))

    async def _next_row(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    async def _commit(self, batch: Batch) -> None:
        pause_s = _FIRST_PAUSE_S
        troubled = False
        while batch:
            try:
                if await self._try(batch, troubled):
                    break
            except StoreUnavailable as error:
                troubled = True
                self._on_trouble(error)
                await self._sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        if troubled:
            self._on_trouble(None)

    async def _try(self, batch: Batch, in_doubt: bool) -> bool:
        """Write the batch, unless an earlier try already has. False: some of it was refused; try the rest."""
        try:
            await self._journal.commit(batch)
        except (KeysTaken, LeaseLost) as error:
            if in_doubt and await self._was_written(batch):
                return True
            if isinstance(error, LeaseLost):
                raise
            for segment in self._segments:
                _without(segment.batch, error.keys)
            self._on_refused(error.keys)
            return False
        return True

    async def _was_written(self, batch: Batch) -> bool:
        """Whether an earlier try that ended in trouble was written all the same: its answer got lost on the way.

        Raises ``LeaseLost`` when the shards have another owner by now: then it does not matter.
        """
        if not batch.events:
            return False
        await self._journal.commit(Batch(batch.lane, batch.owner, epochs=dict(batch.epochs)))
        last = batch.events[-1]
        return await self._journal.history(last.key, last.seq - 1, 1) == [last]

    def _stop(self, reason: BaseException) -> None:
        self._stopped = self._stopped or reason
        for done in self._draining:
            _settle(done)


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _without(batch: Batch, keys: tuple[int, ...]) -> None:
    """Take executions out of a batch, with all that was written about them."""
    out = frozenset(keys)
    batch.opened = [row for row in batch.opened if row.key not in out]
    batch.events = [row for row in batch.events if row.key not in out]
    batch.changed = [row for row in batch.changed if row.key not in out]
    batch.snapshots = [row for row in batch.snapshots if row.key not in out]
    batch.redefined = [row for row in batch.redefined if row.key not in out]
