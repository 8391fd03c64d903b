"""An owner without Ray over a journal in memory, on a loop whose clock jumps; and the ways in which it may die."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from raywf.config import Settings
from raywf.core.codec import from_record
from raywf.core.execution import fold, may_start
from raywf.core.ids import SHARDS, split_address, split_passes
from raywf.definition import values
from raywf.definition.context import current
from raywf.definition.inputs import bind_input
from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.group_commit import GroupCommit
from raywf.journal.memory import MemoryJournal
from raywf.ports import Batch, EventRow, InboxRow, OwnerRow
from raywf.runtime.clock import SystemEntropy
from raywf.runtime.code import Code
from raywf.runtime.data import MemoryBlobs
from raywf.runtime.definitions import definition_row
from raywf.runtime.live import Live
from raywf.runtime.local import InlineThreads, JumpingLoop, LoopClock
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts, SubmitRequest
from raywf.telemetry import Telemetry
from raywf.testing.work import code_of

_numbers = itertools.count(1)
LANE = "default/tests"
ID = "x"


class TrickyJournal(MemoryJournal):
    """A journal that dies, fails or holds commits back when it is told to.

    ``die_at``: the commit (counted from 1) that never returns, ``die_after_writing`` whether it was written.
    ``fail``: what the next commits raise. ``gate``: commits wait while it is not set.
    """

    def __init__(self, name: str, clock: LoopClock) -> None:
        super().__init__(name, clock=clock)
        self.commits = 0
        self.die_at = 0
        self.die_after_writing = False
        self.died = asyncio.Event()
        self.fail: list[BaseException] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[Batch] = []

    async def commit(self, batch: Batch) -> None:
        await self.gate.wait()
        if self.fail:
            raise self.fail.pop(0)
        self.commits += 1
        dies = self.commits == self.die_at
        if not dies or self.die_after_writing:
            await super().commit(batch)
            self.batches.append(batch)
        if dies:
            self.died.set()
            await asyncio.get_running_loop().create_future()


class Noticing(GroupCommit):
    moved: asyncio.Event

    def add_events(self, shard: int, rows: Iterable[EventRow]) -> None:
        super().add_events(shard, rows)
        self.moved.set()

    def add_turn(self, shard: int, rows: list[EventRow], then: Callable[[], None]) -> None:
        super().add_turn(shard, rows, then)
        self.moved.set()


@dataclass
class Ledger:
    """The outside world: which attempts began there, under which key. It outlives every crash."""

    began: list[tuple[str, str, int]] = field(default_factory=list)
    keys: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    check: Callable[[str, str, int], None] = lambda execution, task, attempt: None

    def note(self) -> None:
        """Called by a task as it begins."""
        here = current()
        place = (here.execution_id, here.task_id, here.attempt)
        assert place not in self.began, f"attempt {place} began twice"
        self.check(*place)
        self.began.append(place)
        self.keys.setdefault(place[:2], set()).add(here.idempotency_key)
        assert len(self.keys[place[:2]]) == 1, "the key is the same for all attempts of a task"

    def fails(self, times: int) -> bool:
        """True the first ``times`` times for the task that asks."""
        where = f"{current().execution_id} {current().task_id}"
        self.failures[where] += 1
        return self.failures[where] <= times

    @property
    def tasks(self) -> Counter[tuple[str, str]]:
        return Counter((execution, task) for execution, task, _ in self.began)


class Engine:
    """One life of an owner. ``life`` counts from 1; each knows that those before are dead."""

    def __init__(self, workflow: Any, store: str, life: int = 1, *, now: float = 1_700_000_000.0,
                 telemetry: Telemetry | None = None, code: Code | None = None, **settings: Any):  # fmt: skip
        loop = asyncio.get_running_loop()
        self.workflow = workflow
        self.clock = LoopClock(loop, now)
        self.journal = TrickyJournal(store, self.clock)
        self.threads = InlineThreads(loop)
        self.blobs = MemoryBlobs()
        self.telemetry = telemetry or Telemetry()
        self.troubles: list[StoreUnavailable | None] = []
        parts = Parts(
            journal=self.journal,
            open_journal=lambda: self.journal,
            commit_buffer=Noticing,
            clock=self.clock,
            entropy=SystemEntropy(life),
            settings=Settings(**{"store": f"memory://{store}", "lease_s": 1e9, **settings}),
            blobs=self.blobs,
            threads=self.threads,
            telemetry=self.telemetry,
            code=code or code_of(workflow),
        )
        at = self.clock.now()
        self.life = life
        self.me = OwnerRow(f"owner-{life}", LANE, "localhost", life, b"{}", at, at + 3600.0, False)
        self.owner = Owner(self.me, "default", parts)
        self.host = self.owner.host
        self.commits = cast(Noticing, self.owner.commits)
        self.moved = self.commits.moved = asyncio.Event()

    async def claim(self, *, clean: bool = False) -> int:
        dead = [f"owner-{life}" for life in range(1, self.life)]
        return await self.owner.claim(range(SHARDS), dead=dead, clean=clean)

    def request(self, *args: Any, id: str = ID, **options: Any) -> SubmitRequest:
        defaults = {"priority": 0, "deadline": None, "tags": {}, "traceparent": None, "by": None}
        return SubmitRequest(
            id,
            False,
            self.workflow.definition.content_hash,
            bind_input(self.workflow, args, {}),
            "f",
            **{**defaults, **options},
        )

    async def submit(self, *args: Any, id: str = ID, **options: Any) -> str:
        row = definition_row(self.workflow.definition)
        replies = await self.owner.submit("client", [row], [self.request(*args, id=id, **options)], True)
        return replies[0][0]

    def live(self, id: str = ID) -> Live | None:
        return self.host.open.get(id)

    async def send(self, number: int, kind: str, body: dict[str, Any], id: str = ID) -> bool:
        """A command, as the command line would send it."""
        row = InboxRow(0, "default", id, LANE, kind, json.dumps(body).encode(), f"command-{number}", "me", 0.0)
        new = await self.journal.send(row)
        await self.owner._take_once()
        return new

    async def to_the_end(self, commands: Iterable[tuple[str, dict[str, Any]]] = (), id: str = ID) -> tuple[str, Any]:
        """Wait for the end; whenever the execution waits, the next command is given."""
        todo = enumerate(commands)
        while True:
            await self.commits.drain()
            live = self.live(id)
            if live is None:
                await self.commits.drain()  # its end may not be on disk yet
            row = await self.journal.execution("default", id)
            if live is None and (row is None or row.ended_at is not None):
                return await self.ending(id)
            status = live.status if live is not None else row.status if row is not None else ""
            if status == "waiting" and (command := next(todo, None)) is not None:
                await self.send(command[0], *command[1], id=id)
                continue
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), 1e9)

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something holds."""
        for _ in range(10_000):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it does not come true")

    async def history(self, id: str = ID) -> list[EventRow]:
        row = await self.journal.execution("default", id)
        return [] if row is None else await self.journal.history(row.key)

    async def kinds(self, id: str = ID) -> list[str]:
        return [row.kind if row.task is None else f"{row.kind} {row.task}" for row in await self.history(id)]

    async def ending(self, id: str = ID) -> tuple[str, Any]:
        """How an execution ended, so that two ends can be compared: its value, or who failed and why."""
        last = (await self.history(id))[-1]
        if last.kind == "execution_completed":
            assert last.data is not None
            return last.kind, values.decode(last.data, self.owner.parts.code.find_class, self.blobs.get)
        data = json.loads(last.data or b"null")
        failure = data.get("failure")
        if failure is None:
            return last.kind, data
        return last.kind, (last.task, failure["type"], re.sub(r"\d+\.\d+", "<time>", failure["message"]))

    async def close(self) -> None:
        for live in list(self.host.open.values()):
            for handle in (live.inflight or {}).values():
                self.owner.work.cancel(handle)
        self.host.parked = True
        self.owner.gate.close()
        self.host.alarms.stop()
        if self.host._recorder is not None:
            self.host._recorder.cancel()


def check_against(store: str, workflow: Any) -> Callable[[str, str, int], None]:
    """A check that the history on disk asks for an attempt: nothing begins before its reason is durable."""
    from raywf.journal.memory import _STORES
    from raywf.runtime.definitions import Definitions

    def check(execution: str, task: str, attempt: int) -> None:
        rows = _STORES[store]
        key = rows.keys["default", execution]
        definitions = Definitions()
        for row in rows.definitions.values():
            definitions.add(row)
        plan = definitions.plan(rows.executions[key].definition)
        events = [from_record(*row[4:]) for _, row in sorted(rows.events[key].items())]
        state = fold(plan, events)
        name, item = (task, None) if task in plan.index else split_address(task)
        name, at = split_passes(name)
        assert may_start(state, plan.index[name], item, attempt, at), f"{task} began, and the history is {events}"

    return check


def live_through(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run one life on a loop of its own. Whatever still runs when it returns dies with it."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        for _ in range(20):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=0.001))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def new_store() -> str:
    return f"unit-{next(_numbers)}"


__all__ = ["ID", "LANE", "Engine", "LeaseLost", "Ledger", "TrickyJournal", "check_against", "live_through", "new_store"]
