"""One execution, through as many lives of its owner as it takes: the real owner, commit buffer and recovery, without Ray.

::

    life 1: loop, owner, hands ──commits──┐
       dies: at a fault, or at a commit    ├──> MortalJournal ──> the store's twin in memory (outlives them all)
    life 2: another loop, another owner ──┘          │
       claims, folds, issues what is outstanding     └──> Ledger: what is on disk, what was called

A life that dies runs nothing more: its loop stops, its commits never return, and what its attempts still say is dropped.
Its successor claims the shards with a higher epoch and goes on from what is on disk. The client outlives them: in each
life it submits again under the same id, and sends its signals again under the same keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Protocol, cast

from raywf.aggregation import FactSet
from raywf.client.reading import Readings, open_approvals, open_doubts
from raywf.config import Settings
from raywf.core import events as ev
from raywf.core.approvals import answerer
from raywf.core.codec import from_record
from raywf.core.ids import SHARDS
from raywf.definition.values import encode
from raywf.definition.workflows import Workflow
from raywf.errors import InvalidInput, RaywfError
from raywf.journal import memory
from raywf.journal.group_commit import GroupCommit
from raywf.journal.memory import MemoryJournal
from raywf.ports import Batch, EventRow, ExecutionRow, InboxRow, Journal, OwnerRow
from raywf.runtime.clock import SystemEntropy
from raywf.runtime.data import MemoryBlobs
from raywf.runtime.definitions import definition_row
from raywf.runtime.local import InlineThreads, JumpingLoop, LoopClock
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts, SubmitRequest
from raywf.telemetry import Telemetry
from raywf.testing.aggregators import LocalReach
from raywf.testing.faults import Faults
from raywf.testing.ledger import Clock, Ledger
from raywf.testing.work import FaultyWork, WatchedCode, code_of

ID = "test"
"""The id of the execution that a test runs, unless it names one."""
LANE = "default/testing"

_PATIENCE_S = 3600.0 * 24 * 3650
_MOST_LIVES = 1000
_OUTCOMES = ("task_completed", "result_reused", "attempt_failed", "task_continued")
_numbers = itertools.count(1)


class Stuck(RaywfError):
    """The execution can only go on by somebody who never comes."""


class Watch(Protocol):
    """Looks on at each commit of all lives (``number`` counts from 1), and may end the life: True means die now."""

    def before(self, number: int, batch: Batch) -> bool: ...
    def after(self, number: int, batch: Batch) -> bool: ...
    def dies_next(self, number: int) -> bool:
        """Whether the life ends once what this commit has led to has left, and before anybody is answered."""
        ...


class Calm:
    """A watch under which nobody dies."""

    def before(self, number: int, batch: Batch) -> bool:
        return False

    def after(self, number: int, batch: Batch) -> bool:
        return False

    def dies_next(self, number: int) -> bool:
        return False


@dataclass(slots=True)
class Scene:
    """What an execution is run with. ``decide`` answers an at-most-once task in doubt: outcome and encoded value by key;
    ``start_after_s`` is how long its start rule has it wait; ``deadline`` an epoch second; ``retries`` how often it is retried
    when it has failed; ``aggregators`` what those of the store know."""

    workflow: Workflow[..., Any]
    input: bytes
    faults: Faults
    ledger: Ledger
    clock: Clock
    signals: Mapping[str, Any] = field(default_factory=dict)
    approve: bool | None = None
    seed: int = 0
    watch: Watch = field(default_factory=Calm)
    decide: Callable[[str], tuple[str, bytes | None]] | None = None
    updates: Mapping[str, Any] = field(default_factory=dict)
    id: str = ID
    priority: int = 0
    deadline: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    start_after_s: float = 0.0
    retries: int = 0
    aggregators: Mapping[str, FactSet] = field(default_factory=dict)


class Lives:
    """Runs one scene to its end. ``commits`` and ``deaths`` count over all lives."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.name = f"testing-{next(_numbers)}"
        self.store = MemoryJournal(self.name, clock=_Seconds(scene.clock))
        self.blobs = MemoryBlobs()
        self.code = code_of(scene.workflow, WatchedCode(scene.ledger, scene.clock, scene.faults))
        self.readings = Readings(f"memory://{self.name}", "default", self.store)
        self.readings.blobs = self.blobs
        self.commits = 0
        self.deaths = 0
        self.retried = 0
        self.ids: dict[int, str] = {}
        self.closing: EventRow | None = None
        self._at_the_end: Callable[[], Awaitable[None]] | None = None
        self._buried: list[asyncio.AbstractEventLoop] = []

    def play(self, at_the_end: Callable[[], Awaitable[None]] | None = None) -> EventRow:
        """The closing event of the execution; ``at_the_end`` may look at the store. Raises ``Stuck``."""
        self._at_the_end = at_the_end
        try:
            while self.closing is None:
                self._one()
                if self.deaths > _MOST_LIVES:
                    raise Stuck(f"the execution died {self.deaths} times: the faults never let it end")
            return self.closing
        finally:
            for loop in self._buried:
                _bury(loop)
            memory.forget(self.name)

    def _one(self) -> None:
        loop = MortalLoop()
        self.scene.clock.run_by(LoopClock(loop, self.scene.clock.seconds()))
        main = loop.create_task(self._live(loop))
        main.add_done_callback(lambda task: loop.stop())
        try:
            loop.run_forever()
            if loop.is_dead:
                self.deaths += 1
                self._buried.append(loop)
                return
            main.result()
        finally:
            self.scene.clock.run_by(None)
            if not loop.is_dead:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()

    async def _live(self, loop: MortalLoop) -> None:
        owner, moved = self._owner(loop)
        try:
            former = [f"{self.name}-{number}" for number in range(self.deaths)]
            await owner.claim(range(SHARDS), dead=former)
            scene, definition = self.scene, self.scene.workflow.definition
            if self.deaths == 0 and scene.start_after_s:
                await asyncio.sleep(scene.start_after_s)
            request = SubmitRequest(
                scene.id, self.deaths == 0, definition.content_hash, scene.input, "", scene.priority, scene.deadline,
                dict(scene.tags), None, None,
            )  # fmt: skip
            await owner.submit("test", [definition_row(definition)], [request], True)
            await self._awake(owner)
            await self._to_the_end(owner, moved)
        finally:
            if not loop.is_dead:
                owner.sleepers.stop()
                await owner.work.runners.close()
                owner.gate.close()
                await owner.work.aggregators.close()
                await owner.commits.close()

    def _owner(self, loop: MortalLoop) -> tuple[Owner, asyncio.Event]:
        scene, name = self.scene, f"{self.name}-{self.deaths}"
        clock = LoopClock(loop, scene.clock.seconds())
        parts = Parts(
            journal=cast(Journal, MortalJournal(self, loop)),
            open_journal=lambda: self.store,
            commit_buffer=_Noticing,
            clock=clock,
            entropy=SystemEntropy(scene.seed + self.deaths),
            settings=replace(
                Settings.from_env(os.environ, f"memory://{self.name}"), lease_s=_PATIENCE_S, approval_timeout_s=inf
            ),
            blobs=self.blobs,
            threads=InlineThreads(loop),
            telemetry=Telemetry(),
            code=self.code,
            work=functools.partial(FaultyWork, faults=scene.faults, is_dead=lambda: loop.is_dead, die=loop.die),
        )
        now = clock.now()
        me = OwnerRow(name, LANE, "localhost", 0, b"{}", now, now + 3600.0, False)
        owner = Owner(me, "default", parts)
        owner.work.aggregators = LocalReach(parts.journal, clock, self.deaths, scene.aggregators)
        moved = cast(_Noticing, owner.commits).moved = asyncio.Event()
        return owner, moved

    async def _awake(self, owner: Owner) -> None:
        """Have in memory what the life before left asleep, so that it is seen to wait."""
        if self.deaths:
            rows = await self.store.executions("default", limit=1_000_000)
            await owner.sleepers.wake("default", [row.id for row in rows if row.wake_at is not None])

    async def _to_the_end(self, owner: Owner, moved: asyncio.Event) -> None:
        """Answer whoever asks, until the execution has ended or only somebody else could move it."""
        id_ = self.scene.id
        live = owner.host.open.get(id_)
        if live is not None:
            for number, (name, payload) in enumerate(self.scene.signals.items()):
                owner.host.signal(live, name, encode(payload), f"signal-{number}", None)
            for number, (name, payload) in enumerate(self.scene.updates.items()):
                owner.updates.take(
                    live, self._command("update", {"name": name, "value": encode(payload).decode()}, number)
                )
        while True:
            moved.clear()
            await owner.commits.drain()
            row = await self.readings.row(id_)
            if row.ended_at is not None:
                if row.status == "failed" and self.retried < self.scene.retries:
                    await self._retry(owner)
                    continue
                break
            self._answer(owner)
            try:
                await asyncio.wait_for(moved.wait(), _PATIENCE_S)
            except TimeoutError:
                await self._check_updates(row)
                each = next(iter(owner.host.open.values()), None)
                waiting_for = row.waiting_for if each is None else each.waiting_for or each.status
                raise Stuck(f"the execution cannot end by itself: it waits for {waiting_for}") from None
        await self._check_updates(row)
        if self._at_the_end is not None:
            await self._at_the_end()
        self.closing = await self.readings.outcome(row)

    def _command(self, kind: str, body: dict[str, Any], number: int) -> InboxRow:
        at, words = self.scene.clock.seconds(), json.dumps(body).encode()
        return InboxRow(0, "default", self.scene.id, LANE, kind, words, f"{kind}-{number}", None, at)

    async def _retry(self, owner: Owner) -> None:
        """As ``handle.retry()`` does: a row of the inbox, which counts once however often a life sends it."""
        await self.store.send(self._command("retry", {}, self.retried))
        await owner.hear()
        self.retried += 1

    async def _check_updates(self, row: ExecutionRow) -> None:
        """Raises ``InvalidInput`` with the words of a validator that has refused an update."""
        for event in await self.store.history(row.key) if self.scene.updates else ():
            told = from_record(event.kind, event.task, event.attempt, event.data)
            if isinstance(told, ev.UpdateRefused):
                raise InvalidInput(f"update {told.name!r} of execution {row.id!r} was refused: {told.failure.message}")

    def _answer(self, owner: Owner) -> None:
        host, approve, decide = owner.host, self.scene.approve, self.scene.decide
        for each in list(host.open.values()):
            while approve is not None and (waiting := open_approvals(each.state)):
                by = answerer(each.state, waiting[0])
                host.decide_approval(each, waiting[0], approve, "", f"answer-{each.id}-{waiting[0]}-{by}", by)
            for task in open_doubts(each.state) if decide is not None else ():
                assert decide is not None
                outcome, value = decide(f"{each.id}/{task}")
                host.resolve(each, task, outcome, value, "", f"doubt-{each.id}-{task}-{self.deaths}", "testing")

    # what is on disk

    def written(self, batch: Batch) -> None:
        """A commit is on disk."""
        for row in batch.opened:
            self.ids[row.key] = row.id
        for event in batch.events:
            if event.kind == "task_completed":
                self.scene.ledger.kept(f"{self.ids[event.key]}/{event.task}")

    def crashes_after(self, batch: Batch) -> bool:
        """Whether a fault wants the process to die now that an outcome is on disk."""
        for event in batch.events:
            if event.kind not in _OUTCOMES or event.task is None:
                continue
            fault = self.scene.faults.of(self.ids[event.key], event.task, event.attempt or 0)
            if fault is not None and fault.kind == "crash_after_commit":
                return True
        return False


class MortalLoop(JumpingLoop):
    """A loop whose process may die: nothing is told it any more from then on."""

    is_dead = False

    def die(self) -> None:
        self.is_dead = True
        self.stop()


class MortalJournal:
    """The store, as one life sees it. A commit of one that died is on disk or is not, and never returns."""

    def __init__(self, lives: Lives, loop: MortalLoop) -> None:
        self._lives = lives
        self._loop = loop

    async def commit(self, batch: Batch) -> None:
        lives, watch = self._lives, self._lives.scene.watch
        lives.commits += 1
        number = lives.commits
        if self._loop.is_dead or watch.before(number, batch):
            await self._died()
        await lives.store.commit(batch)
        lives.written(batch)
        if watch.after(number, batch) or lives.crashes_after(batch):
            await self._died()
        if watch.dies_next(number):
            self._loop.call_soon(self._loop.die)

    async def _died(self) -> None:
        self._loop.die()
        await self._loop.create_future()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lives.store, name)


class _Noticing(GroupCommit):
    """A commit buffer that tells when something happens."""

    moved: asyncio.Event

    def add_events(self, shard: int, rows: Iterable[EventRow]) -> None:
        super().add_events(shard, rows)
        self.moved.set()

    def add_turn(self, shard: int, rows: list[EventRow], then: Callable[[], None]) -> None:
        super().add_turn(shard, rows, then)
        self.moved.set()


class _Seconds:
    """``ports.Clock`` of the store, which outlives every loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.seconds()

    def monotonic(self) -> float:
        return self._clock.seconds()


def _bury(loop: asyncio.AbstractEventLoop) -> None:
    """Close what a dead process left behind. Its tasks are past telling anybody."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coroutine = task.get_coro()
        with contextlib.suppress(Exception):  # it awaited something on its way out
            if coroutine is not None:
                coroutine.close()
    loop.close()
