"""What starts executions by itself: schedules whose time has come. Of one owner; the decision is ``core.schedules``'.

::

    due --decide--> advance: next_at, last = ID?  --submit, on disk--> last = ID
                         (compare and set)

**Authority.** The row of the schedule. It is moved on before anything starts, and says what was decided: ``last`` with a question
mark is an execution that may not be there yet.

**Failure.** Whoever takes over reads the question marks and submits those executions again, under the same ids: one that is
there already stays the one. So nothing fires twice, and what was decided starts. A row that was changed meanwhile does not move.

Free while there are no schedules: one look at a takeover, and then only when a command says that there is something new.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from raywf.core.schedules import Previous, Spec, decide, firing_id, kind_of, scheduled_at, spec_from
from raywf.errors import LeaseLost, NotConnected, StoreUnavailable
from raywf.ports import Clock, InboxRow, Journal, ScheduleRow
from raywf.runtime.collecting import Collectors
from raywf.runtime.definitions import Definitions
from raywf.runtime.parts import SubmitRequest

log = logging.getLogger("raywf.triggers")
LOOK_S = 1.0
"""How often schedules are looked at while there are any. What comes due before the next look is waited for exactly."""

SCAN_S = 60.0
"""How often all of them are read, for what a former owner may have left undone."""

KINDS = ("schedules", "backfill", "start")
"""The commands that are for this, and not for an execution that is there: there is something new; start these instants; start
this execution (an event wants it)."""

_DOUBT = "?"


class Starts(Protocol):
    """How executions are started (``Owner.submit``)."""

    def __call__(
        self, client: str, definitions: Sequence[Any], requests: Sequence[SubmitRequest], watch: bool
    ) -> Awaitable[list[tuple[str, str]]]: ...


class Triggers:
    """The schedules of one owner. Runs on its loop."""

    def __init__(
        self,
        journal: Journal,
        namespace: str,
        lane: str,
        epochs: Mapping[int, int],
        clock: Clock,
        definitions: Definitions,
        submit: Starts,
        may_act: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._namespace = namespace
        self._lane = lane
        self._epochs = epochs
        self._clock = clock
        self._definitions = definitions
        self._submit = submit
        self._may_act = may_act
        self.collectors: Collectors
        self._news = asyncio.Event()
        self._scan_at = -math.inf
        self._are_due = False
        self.are_there = False
        """Whether an owner of these shards must stay, although nothing is open."""

    def poke(self) -> None:
        """There is something new, or the owner goes: look now."""
        self._scan_at = -math.inf
        self._news.set()

    async def look_after(self, gone: asyncio.Event) -> None:
        """Look until the owner is gone."""
        while not gone.is_set():
            self._news.clear()
            try:
                pause: float | None = await self.look()
            except LeaseLost:
                return
            except Exception as error:
                log.warning("schedules cannot be looked at now, trying again: %s", error)
                self._scan_at, pause = -math.inf, LOOK_S
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

    async def look(self) -> float | None:
        """Start what is due. Returns after how many seconds to look again; None: when there is news."""
        if not self._epochs or not self._may_act():
            return LOOK_S
        if self._scan_at <= self._clock.now():
            await self._scan()
        if not self._are_due:
            return None
        now = self._clock.now()
        pause = LOOK_S
        for row in await self._journal.due_schedules(self._lane, list(self._epochs), now + LOOK_S):
            if row.next_at > now:
                pause = min(pause, row.next_at - now)
                continue
            try:
                await self._fire(row, now)
            except (LeaseLost, StoreUnavailable, NotConnected):
                raise
            except Exception:  # one that cannot be read must not keep the others from going on
                log.exception("schedule %s cannot fire", row.id)
        return max(0.001, pause)

    async def _scan(self) -> None:
        """Read them all: whether there are any, and which have a start in doubt."""
        lane = [row for row in await self._journal.schedules(self._namespace) if row.lane == self._lane]
        collected = any(kind_of(row.spec) == "start" for row in lane)
        self.collectors.again(collected)
        rows = [row for row in lane if row.shard in self._epochs]
        for row in rows:
            if row.last is not None and row.last.endswith(_DOUBT):
                await self._settle(row)
        awake = [row for row in rows if not row.paused]
        self._are_due = any(math.isfinite(row.next_at) for row in awake)
        self.are_there = self._are_due or any(kind_of(row.spec) == "event" for row in awake)
        self._scan_at = self._clock.now() + SCAN_S

    # firing

    async def _fire(self, row: ScheduleRow, now: float) -> None:
        if row.last is not None and row.last.endswith(_DOUBT):
            row = await self._settle(row)
        spec = spec_from(row.spec)
        previous = await self._previous(row.last)
        decision = decide(spec, row.id, row.next_at, now, previous)
        if decision.cancel and previous is not None:
            await self._cancel(row, previous.id)
        if not decision.fire and decision.next_at != row.next_at:
            log.info("schedule %s starts nothing now: %s", row.id, _why_not(previous))
            await self._journal.advance_schedule(row, decision.next_at, row.last)
        delay = spec.delay_s(row.id)
        for at, following in zip(decision.fire, (*decision.fire[1:], None), strict=True):
            next_at = decision.next_at if following is None else following + delay
            id_ = firing_id(row.id, at)
            if not await self._journal.advance_schedule(row, next_at, id_ + _DOUBT):
                return  # it was paused, changed or dropped just now
            row = await self._settle(row._replace(next_at=next_at, last=id_ + _DOUBT))

    async def _settle(self, row: ScheduleRow) -> ScheduleRow:
        """Start what was decided, and say that it has started."""
        assert row.last is not None
        id_ = row.last.removesuffix(_DOUBT)
        await self._start(row.id, spec_from(row.spec), [id_])
        await self._journal.advance_schedule(row, row.next_at, id_)
        return row._replace(last=id_)

    async def _start(self, schedule: str, spec: Spec, ids: Sequence[str]) -> None:
        """Start executions of a schedule, unless they are there. Returns when they are on disk."""
        start = {
            "definition": spec.definition,
            "input": spec.input,
            "fingerprint": spec.fingerprint,
            "priority": spec.priority,
            "tags": {**(spec.tags or {}), "schedule": schedule},
            "by": f"schedule {schedule}",
        }
        await self._start_all(ids, start)

    async def _start_all(self, ids: Sequence[str], start: Mapping[str, Any]) -> None:
        await self._definitions.load(self._journal, start["definition"])
        requests = [
            SubmitRequest(
                id=id_,
                fresh=False,
                definition=start["definition"],
                input=start["input"].encode(),
                fingerprint=start["fingerprint"],
                priority=start.get("priority", 0),
                deadline=None,
                tags=start["tags"],
                traceparent=None,
                by=start["by"],
            )
            for id_ in ids
        ]
        replies = await self._submit("", [], requests, False)
        if any(answer == "moved" for answer, _ in replies):
            raise NotConnected(f"the shard of {ids[0]!r} has another owner now")

    async def _previous(self, last: str | None) -> Previous | None:
        if last is None:
            return None
        row = await self._journal.execution(self._namespace, last)
        return None if row is None else Previous(last, row.ended_at)

    async def _cancel(self, row: ScheduleRow, id_: str) -> None:
        """Ask the previous execution to end, once however often this is decided."""
        body = json.dumps({"reason": f"schedule {row.id} starts it anew"}).encode()
        command = f"schedule-{row.id}-again"
        now = self._clock.now()
        await self._journal.send(
            InboxRow(0, self._namespace, id_, self._lane, "cancel", body, command, f"schedule {row.id}", now)
        )

    # commands

    async def take(self, row: InboxRow) -> None:
        """Carry out a command. Whoever dies before it is taken leaves it to the next owner: starts repeat themselves."""
        if row.kind == "backfill":
            body = json.loads(row.body)
            spec = spec_from(body["spec"].encode())
            await self._start(row.execution, spec, [firing_id(row.execution, at) for at in body["instants"]])
        if row.kind == "start":
            await self._start_all([row.execution], json.loads(row.body))
        else:
            self.poke()


def _why_not(previous: Previous | None) -> str:
    if previous is not None and previous.ended_at is None:
        at = scheduled_at(previous.id)
        since = "" if at is None else f" since {at:%Y-%m-%d %H:%M:%S} UTC"
        return f"execution {previous.id} runs{since}"
    return "its instants were missed, and are older than its catch-up window"
