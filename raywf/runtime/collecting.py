"""Submits that are not executions of their own yet: debounce, singleton, batch. Of one owner; ``core.collecting`` decides.

::

    submit ──> row of the inbox ──held in order──> decide ──> what was decided ──> [execution opened, rows taken]
               (accepted)                                     (row, per collector)   one commit

**Authority.** The inbox: a submit is accepted when its row is there, and stays until the commit that opens the execution it belongs
to. Nothing is counted in memory only; times are those of the rows.

**Failure.** Before an execution is opened, a row says which submits it is made of (``recent``). Whoever takes over reads it: those rows
start that execution, under the same id, or are taken where it is there already. So no submit is lost, and none counts twice.

**Which execution.** ``COLLECTOR/SUBMIT``, after the first submit that it is made of, so it is known before it starts. What has
become of a submit is remembered for two minutes, for a client that lost its answer.

Free while no workflow has such a rule: a schedule's row of kind ``start`` in the namespace is what makes an owner look.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raywf.core.collecting import KEPT_S, StartRule, decide, rule_from
from raywf.core.ids import shard_of
from raywf.core.schedules import kind_of
from raywf.errors import LeaseLost, NotConnected
from raywf.ports import Clock, InboxRow, Journal, ScheduleRow
from raywf.runtime.definitions import Definitions
from raywf.runtime.hands import Commits
from raywf.runtime.parts import SubmitRequest

log = logging.getLogger("raywf.collecting")
LOOK_S = 0.1
MARK = "@start"
_SKIPPED = "!"
_ROW = "@"
"""What the rows of collectors begin with, and no id of a schedule or a trigger does."""


def inbox_of(lane: str) -> str:
    """Where submits wait that are collected: apart from commands, which must not wait behind them."""
    return f"{lane}#start"


class _Held(NamedTuple):
    row: int
    submit: str
    at: float
    body: Mapping[str, Any]


@dataclass(slots=True)
class _Collector:
    """One key of one workflow. ``recent``: which execution a submit belongs to, and when that was decided."""

    id: str
    rule: StartRule
    held: list[_Held] = field(default_factory=list)
    last: str | None = None
    recent: dict[str, tuple[str, float]] = field(default_factory=dict)
    look_at: float = -math.inf
    cancelled: str | None = None


class Collectors:
    """The collectors of one owner. Runs on its loop; one look at a time."""

    def __init__(
        self,
        journal: Journal,
        namespace: str,
        lane: str,
        epochs: Mapping[int, int],
        clock: Clock,
        definitions: Definitions,
        commits: Commits,
        open_: Callable[[SubmitRequest], Any],
        is_here: Callable[[str], bool],
        durable: Callable[[], Awaitable[None]],
        may_act: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._namespace = namespace
        self._lane = lane
        self._epochs = epochs
        self._clock = clock
        self._definitions = definitions
        self._commits = commits
        self._open = open_
        self._is_here = is_here
        self._durable = durable
        self._may_act = may_act
        self._collectors: dict[str, _Collector] = {}
        self._known: set[int] = set()
        self._cursor = 0
        self._loading = True
        self.lock = asyncio.Lock()
        self._news = asyncio.Event()
        self.are_there = False

    def again(self, are_there: bool) -> None:
        """The rows of schedules were read: whether there is any rule, and whether to read everything anew."""
        if are_there and not self.are_there:
            self._news.set()
        self.are_there = are_there or bool(self._collectors)

    def forget(self) -> None:
        """Other shards are held now: read everything anew."""
        self._loading = True
        self._news.set()

    @property
    def is_holding(self) -> bool:
        """Whether a submit waits here."""
        return any(each.held for each in self._collectors.values())

    def look_soon(self) -> None:
        if self.are_there:
            self._news.set()

    async def look_after(self, gone: asyncio.Event) -> None:
        while not gone.is_set():
            self._news.clear()
            try:
                if self.are_there:
                    await self.look()
            except LeaseLost:
                if not self._epochs:
                    return
                self._loading = True  # one shard has another owner now
            except Exception as error:
                log.warning("submits that are collected wait, trying again: %s", error)
                self._loading = True
            try:
                await asyncio.wait_for(self._news.wait(), LOOK_S if self.are_there else None)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Read what came, and do what is due."""
        if not self._epochs or not self._may_act():
            return
        async with self.lock:
            if self._loading:
                await self._load()
            await self._read()
            now = self._clock.now()
            for collector in list(self._collectors.values()):
                if collector.held and collector.look_at <= now:
                    await self._settle(collector)
                elif not collector.held:
                    await self._sweep(collector, now)

    async def submitted(self, collector: str, submit: str) -> tuple[str, str]:
        """What has become of a submit: ``("execution" | "skipped" | "unknown", execution)``. ``NotConnected``: ask another owner."""
        if shard_of(collector) not in self._epochs:
            raise NotConnected(f"the shard of {collector!r} has another owner")
        self.again(True)  # the client may be faster than our own look at the schedules,
        await self.look()
        self.again(True)  # and that look may have come in between with what was true before
        found = self._collectors.get(collector)
        if found is None:
            return "unknown", ""
        known = found.recent.get(submit)
        if known is not None:
            execution = known[0]
            return ("skipped" if execution.startswith(_SKIPPED) else "execution"), execution.removeprefix(_SKIPPED)
        if any(each.submit == submit for each in found.held):
            return "execution", _execution(found, found.held[0])
        return "unknown", ""

    # reading

    async def _load(self) -> None:
        self._collectors.clear()
        self._known.clear()
        self._cursor = 0
        for row in await self._journal.schedules(self._namespace):
            if row.lane == self._lane and row.shard in self._epochs and kind_of(row.spec) == "collected":
                said = json.loads(row.spec)
                recent = {submit: (execution, at) for submit, execution, at in said["recent"]}
                id_ = row.id.removeprefix(_ROW)
                self._collectors[id_] = _Collector(id_, rule_from(said["rule"]), [], row.last, recent)
        self._loading = False

    async def _read(self) -> None:
        while True:
            rows = await self._journal.inbox(inbox_of(self._lane), self._cursor)
            for row in rows:
                self._cursor = max(self._cursor, row.id)
                if row.id not in self._known and shard_of(row.execution) in self._epochs:
                    self._hold(row)
            if len(rows) < 1000:
                return

    def _hold(self, row: InboxRow) -> None:
        self._known.add(row.id)
        body = json.loads(row.body)
        rule = rule_from(body["rule"])
        found = self._collectors.setdefault(row.execution, _Collector(row.execution, rule))
        found.rule = rule  # the newest definition says
        found.held.append(_Held(row.id, row.command_id, row.at, body))
        found.look_at = -math.inf

    # deciding

    async def _settle(self, it: _Collector) -> None:
        await self._finish(it)
        while it.held:
            now = self._clock.now()
            is_open = it.rule.kind == "singleton" and await self._runs(it.last)
            verdict = decide(it.rule, [each.at for each in it.held], now, is_open)
            if verdict.cancel and it.last is not None and it.cancelled != it.last:
                await self._cancel(it.last)
                it.cancelled = it.last
            if verdict.take == 0:
                it.look_at = now if verdict.look_at is None else verdict.look_at
                return
            group = it.held[: verdict.take]
            if verdict.start:
                it.last = _execution(it, group[0])
                await self._note(it, group, it.last)
                await self._start(it, group, it.last)
            else:
                assert it.last is not None
                await self._note(it, group, it.last if it.rule.on_conflict == "join" else _SKIPPED + it.last)
                await self._take(it, group)

    async def _finish(self, it: _Collector) -> None:
        """What was decided before, and may not have come to its end."""
        decided: dict[str, list[_Held]] = {}
        for each in it.held:
            if each.submit in it.recent:
                decided.setdefault(it.recent[each.submit][0], []).append(each)
        for execution, group in decided.items():
            if execution == _execution(it, group[0]):
                await self._start(it, group, execution)
            else:
                await self._take(it, group)

    async def _note(self, it: _Collector, group: list[_Held], execution: str) -> None:
        """Say which execution these submits belong to, before anything is done about it."""
        now = self._clock.now()
        it.recent = {submit: known for submit, known in it.recent.items() if known[1] > now - KEPT_S}
        it.recent |= {each.submit: (execution, now) for each in group}
        recent = [[submit, *known] for submit, known in it.recent.items()]
        rule = {name: getattr(it.rule, name) for name in StartRule.__slots__}
        spec = json.dumps({"kind": "collected", "rule": rule, "recent": recent}).encode()
        row = ScheduleRow(self._namespace, _ROW + it.id, self._lane, shard_of(it.id), spec, math.inf, True, it.last)
        await self._journal.put_schedule(row)

    async def _start(self, it: _Collector, group: list[_Held], execution: str) -> None:
        """Open an execution and take its submits, in one commit."""
        body = group[-1].body
        await self._definitions.load(self._journal, body["definition"])
        there = self._is_here(execution) or await self._journal.execution(self._namespace, execution) is not None
        for each in group:
            self._commits.add_taken(each.row)
        if not there:
            self._open(
                SubmitRequest(
                    id=execution,
                    fresh=False,
                    definition=body["definition"],
                    input=_input(it.rule, group),
                    fingerprint="",
                    priority=max(each.body.get("priority", 0) for each in group),
                    deadline=body.get("deadline"),
                    tags=body.get("tags"),
                    traceparent=body.get("traceparent"),
                    by=body.get("by"),
                )
            )
        await self._settled(it, group)

    async def _take(self, it: _Collector, group: list[_Held]) -> None:
        for each in group:
            self._commits.add_taken(each.row)
        await self._settled(it, group)

    async def _settled(self, it: _Collector, group: list[_Held]) -> None:
        gone = {each.row for each in group}
        it.held = [each for each in it.held if each.row not in gone]
        await self._durable()
        self._known -= gone  # taken: the inbox does not give them any more

    async def _runs(self, execution: str | None) -> bool:
        if execution is None:
            return False
        if self._is_here(execution):
            return True
        row = await self._journal.execution(self._namespace, execution)
        return row is not None and row.ended_at is None

    async def _cancel(self, execution: str) -> None:
        body = json.dumps({"reason": "a later submit of the same key takes its place"}).encode()
        now = self._clock.now()
        await self._journal.send(
            InboxRow(0, self._namespace, execution, self._lane, "cancel", body, "singleton", "singleton", now)
        )

    async def _sweep(self, it: _Collector, now: float) -> None:
        """A key that nobody asks about any more leaves no row."""
        if it.look_at > now:
            return
        it.look_at = now + KEPT_S
        if any(at > now - KEPT_S for _, at in it.recent.values()):
            return
        if it.rule.kind == "singleton" and await self._runs(it.last):
            return
        await self._journal.drop_schedule(self._namespace, _ROW + it.id)
        del self._collectors[it.id]


def _execution(it: _Collector, first: _Held) -> str:
    return f"{it.id}/{first.submit}"


def _input(rule: StartRule, group: list[_Held]) -> bytes:
    """The arguments: the last submit's, or a list of everybody's item."""
    body = group[-1].body
    if rule.last_counts:
        return str(body["input"]).encode()
    items = ",".join(each.body["item"] for each in group)
    return f"{{{json.dumps(body['parameter'])}:[{items}]}}".encode()
