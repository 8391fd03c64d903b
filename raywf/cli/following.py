"""An execution as it unfolds, read from the store: its state after each look, and what has changed since the last.

Reads only. A look that finds nothing new costs one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from raywf.client.reading import Readings, instant, task_statuses
from raywf.core import approvals
from raywf.core import events as ev
from raywf.core.codec import began_under, from_record
from raywf.core.execution import initial
from raywf.core.ids import split_address, split_passes
from raywf.core.state import ExecutionState, TaskState, TaskStatus, address_of
from raywf.definition.compile import compile_plan

_QUIET = frozenset({"pending", "ready"})
"""Statuses that follow from others; a line for each would be noise."""


class Change(NamedTuple):
    """A task has another status now, or an attempt of it ended. ``task`` None: the execution itself."""

    at: datetime
    task: str | None
    status: str
    detail: str = ""


class Follower:
    """Follows one execution. ``row`` is its line in the index, ``state`` its folded history."""

    def __init__(self, readings: Readings, row: Any, state: ExecutionState) -> None:
        self.readings = readings
        self.row = row
        self.state = state
        self.seq = 0

    @classmethod
    async def open(cls, readings: Readings, execution_id: str) -> Follower:
        """Raises ``NotFound``."""
        row = await readings.row(execution_id)
        return cls(readings, row, initial(compile_plan(await readings.definition(row.definition))))

    @property
    def id(self) -> str:
        return str(self.row.id)

    @property
    def closed(self) -> bool:
        return self.state.closed is not None

    @property
    def status(self) -> str:
        """The execution's status; ``waiting`` also where it waits for code, which only the index knows."""
        return str(self.row.status) if not self.closed and self.row.status == "waiting" else self.state.status.value

    async def look(self) -> list[Change]:
        """What has happened since the last look."""
        events = await self.readings.reader.history(self.row.key, self.seq)
        self.row = await self.readings.row(self.id)
        if not events:
            return []
        if not self.seq:
            began = await self.readings.definition(began_under(events, self.row.definition))
            self.state = initial(compile_plan(began))
        before, known = task_statuses(self.state), {}
        changes: list[Change] = []
        for row in events:
            event = from_record(row.kind, row.task, row.attempt, row.data)
            self.state = await self.readings.evolved(self.state, event)
            known.update(self._told(event, instant(row.at), changes))
        self.seq = events[-1].seq
        at = instant(events[-1].at)
        for task, status in task_statuses(self.state).items():
            if status != known.get(task, before.get(task, "pending")) and status not in _QUIET:
                changes.append(Change(at, task, status))
        changes.sort(key=lambda change: change.task is None and change.status != "running")
        return changes

    def _told(self, event: ev.Event, at: datetime, changes: list[Change]) -> dict[str, str]:
        """Tell of the task that an event is about; gives its status as told."""
        match event:
            case ev.ExecutionStarted() | ev.ExecutionForked() | ev.ExecutionRetried():
                changes.append(Change(at, None, "running"))
            case ev.ExecutionCompleted() | ev.ExecutionFailed() | ev.ExecutionCancelled():
                changes.append(Change(at, None, self.state.status.value, ending(event)))
            case ev.ExecutionMigrated(definition=definition):
                changes.append(Change(at, None, self.state.status.value, f"migrated to version {definition[:12]}"))
            case ev.MigrationRefused(reason=reason):
                changes.append(Change(at, None, self.state.status.value, sentence("not migrated", reason)))
            case ev.CancelRequested(reason):
                changes.append(Change(at, None, "running", sentence("asked to cancel", reason)))
            case ev.ResultReused(address):
                return self._told_of(address, at, f"reused from {event.source}", changes)
            case ev.TaskCompleted(address) | ev.AttemptStarted(address) | ev.AttemptCancelled(address):
                return self._told_of(address, at, "", changes)
            case ev.AttemptFailed() | ev.AttemptLost():
                return self._told_of(event.task, at, attempt_text(event), changes, always=True)
            case ev.ApprovalRequested() | ev.SignalAwaited() | ev.TimerStarted() | ev.ApprovalDecided():
                return self._told_of(event.task, at, wait_text(event), changes)
            case _:
                pass
        return {}

    def _told_of(
        self, address: str, at: datetime, detail: str, changes: list[Change], *, always: bool = False
    ) -> dict[str, str]:
        task, item = split_address(address) if address not in self.state.plan.index else (address, None)
        task, _ = split_passes(task)
        current = self.state.tasks[self.state.plan.index[task]]
        if item is not None:
            if always and current.items is not None:
                changes.append(Change(at, address, current.items[item].status.value, detail))
            return {}
        status = "retrying" if always and current.status is TaskStatus.READY else current.status.value
        changes.append(Change(at, address, status, detail))
        return {task: current.status.value}


def sentence(said: str, reason: str) -> str:
    return f"{said}: {reason}" if reason else said


def ending(event: ev.ExecutionCompleted | ev.ExecutionFailed | ev.ExecutionCancelled) -> str:
    """Why an execution ended as it did, in words."""
    match event:
        case ev.ExecutionFailed(task, failure):
            where = f"task {task}: " if task else ""
            return f"{where}{failure.type}: {failure.message}"
        case ev.ExecutionCancelled(reason):
            return reason
        case _:
            return ""


def attempt_text(event: ev.AttemptFailed | ev.AttemptLost) -> str:
    """How an attempt ended."""
    if isinstance(event, ev.AttemptLost):
        return f"attempt {event.attempt} lost: {event.reason}"
    again = "" if event.retry_at is None else f"; again at {instant(event.retry_at).isoformat()}"
    return f"attempt {event.attempt}: {event.failure.type}: {event.failure.message}{again}"


def wait_text(event: ev.ApprovalRequested | ev.SignalAwaited | ev.TimerStarted | ev.ApprovalDecided) -> str:
    """What is waited for, or how that ended."""
    match event:
        case ev.ApprovalRequested() as asked:
            return f"for {approvals.words(asked, None)}: {asked.prompt}"
        case ev.SignalAwaited(_, name):
            return f"for {'update' if event.update else 'signal'} {name!r}"
        case ev.TimerStarted(_, due_at):
            return f"until {instant(due_at).isoformat()}"
        case ev.ApprovalDecided(_, approved, comment, _, by):
            return sentence(("approved" if approved else "rejected") + (f" by {by}" if by else ""), comment)


class Ask(NamedTuple):
    """Something that only the world outside can give: ``kind`` is ``approval``, ``signal``, ``update`` or ``doubt``. ``who`` is asked
    first, where somebody is named."""

    execution: str
    kind: str
    task: str
    text: str
    who: str = ""


def asks_of(execution: str, state: ExecutionState) -> Iterator[Ask]:
    """What an execution waits for from outside: approvals and signals."""
    if state.closed is not None:
        return
    for at, task in enumerate(state.tasks):
        if task.items is not None and task.status is TaskStatus.RUNNING:
            yield from (Ask(execution, "doubt", each.task, each.reason) for each in _doubts(task.items))
        if task.status is not TaskStatus.WAITING:
            continue
        where = address_of(state, at)
        match task.wait:
            case ev.ApprovalRequested(_, prompt):
                named = approvals.open_to(task.wait, task.notes)
                yield Ask(execution, "approval", where, prompt, named[0] if named else "")
            case ev.SignalAwaited(_, name):
                yield Ask(execution, "update" if task.wait.update else "signal", where, name)
            case ev.AttemptLost(doubtful, _, reason):
                yield Ask(execution, "doubt", doubtful, reason)
            case _:
                pass


def _doubts(items: Iterable[TaskState]) -> Iterator[ev.AttemptLost]:
    for item in items:
        if item.status is TaskStatus.WAITING and isinstance(item.wait, ev.AttemptLost):
            yield item.wait
