"""An activated execution: its state in memory, and what the hands remember about it."""

from __future__ import annotations

import math
from typing import Any

from raywf.core import approvals, snapshot
from raywf.core import events as ev
from raywf.core.execution import initial, step
from raywf.core.plan import Plan
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, address_of
from raywf.ports import ExecutionRow


class Live:
    """One execution held by this process. Only the loop that obeys the brain touches it."""

    __slots__ = (
        "columns",
        "functions",
        "gated",
        "id",
        "inflight",
        "key",
        "missing",
        "parent",
        "rested",
        "row",
        "seq",
        "shard",
        "snapshot_at",
        "state",
        "status",
        "waiting_for",
        "wake_at",
        "watchers",
    )

    def __init__(self, row: ExecutionRow, state: ExecutionState, seq: int, functions: list[Any] | None = None) -> None:
        self.row = row
        self.functions = functions if functions is not None else [None] * len(state.plan.nodes)
        self.state = state
        self.id = row.id
        self.key = row.key
        self.seq = seq
        self.shard = row.shard
        self.status = row.status
        self.waiting_for = row.waiting_for
        self.inflight: dict[tuple[int, int | None], Any] | None = None
        self.columns: dict[int, tuple[tuple[int, ...], list[list[bytes]]]] | None = None
        self.watchers: frozenset[str] | None = None
        self.parent: tuple[Live, int, int | None] | None = None
        self.missing: str | None = None
        self.gated = bool(state.plan.limits)
        self.wake_at = row.wake_at
        self.rested = 0
        self.snapshot_at = snapshot.EVERY

    @property
    def is_closed(self) -> bool:
        return self.state.closed is not None

    def __repr__(self) -> str:
        return f"<Live {self.row.id} {self.state.status}>"


_INPUT = ExecutionState._fields.index("input")


class Prepared:
    """What all executions of a definition begin with: the states before and after their first event, which differ from
    one to the other by their input alone, and what that event leads to."""

    __slots__ = ("_head", "_tail", "before", "effects", "functions")

    def __init__(self, plan: Plan) -> None:
        self.functions: list[Any] = [None] * len(plan.nodes)
        self.before = initial(plan)
        after, self.effects = step(self.before, ev.ExecutionStarted(b"{}"))
        self._head, self._tail = after[:_INPUT], after[_INPUT + 1 :]

    def after(self, input_: bytes) -> ExecutionState:
        """The state after the first event."""
        return tuple.__new__(ExecutionState, (*self._head, input_, *self._tail))


def only_runs(state: ExecutionState) -> bool:
    """Whether the status is plainly ``running``."""
    return not state.waiting and state.closed is None and not state.undoing and state.started and state.pause is None


def goes_on(live: Live) -> bool:
    """Whether nothing is to be said of an execution but what has happened: it is running, and is said to be."""
    if live.status != "running" or live.missing is not None or live.seq >= live.snapshot_at:
        return False
    state = live.state  # ``only_runs``, without the call: it is asked at every event
    return not state.waiting and state.closed is None and not state.undoing and state.started and state.pause is None


def address(live: Live, task: int, item: int | None) -> str:
    return address_of(live.state, task, item)


def wake_at(live: Live) -> float | None:
    """When an execution that only time, a signal or a person can move must be looked at: infinite where time does not
    move it. None for any other, which must be in memory; and for a child, whose parent wants to hear of its end."""
    state = live.state
    if (
        live.missing is not None
        or state.status is not ExecutionStatus.WAITING
        or state.closing is not None
        or live.row.parent is not None
    ):
        return None
    due = [task.due_at for task in state.tasks if task.due_at is not None and task.status is TaskStatus.WAITING]
    if live.row.deadline is not None:
        due.append(live.row.deadline)
    return min(due, default=math.inf)


def doubt_words(doubt: ev.AttemptLost) -> str:
    return f"a decision about {doubt.task}, of which nobody knows whether it happened: {doubt.reason}"


def words(live: Live) -> str | None:
    """What a waiting execution waits for, in words."""
    if live.missing is not None and not live.is_closed:
        return live.missing
    pause = live.state.pause
    if pause is not None and not live.is_closed:
        return f"to be resumed{f' ({pause.reason})' if pause.reason else ''}"
    if live.state.status is not ExecutionStatus.WAITING:
        return None
    parts = []
    for node, task in zip(live.state.plan.nodes, live.state.tasks, strict=True):
        items = task.items if task.status is TaskStatus.RUNNING and task.items is not None else ()
        doubts = [each.wait for each in items if isinstance(each.wait, ev.AttemptLost)]
        if task.status.value != "waiting" and not doubts:
            continue
        match task.wait:
            case ev.ApprovalRequested() as asked:
                parts.append(f"{approvals.words(asked, task.notes)} ({node.id}): {asked.prompt}")
            case ev.SignalAwaited(_, name):
                parts.append(f"{'an update' if task.wait.update else 'a signal'} {name!r}")
            case ev.TimerStarted():
                parts.append(f"time ({node.id})")
            case ev.AttemptLost():
                parts.append(doubt_words(task.wait))
            case _:
                parts.extend(doubt_words(doubt) for doubt in doubts)
    return "; ".join(parts[:5]) or None


def worker_lost_text(where: str, losses: int, reason: str) -> str:
    return (
        f"the process that ran {where} died {losses} times with it, the last time alone in a process ({reason}). "
        "A task that ends its process (a segmentation fault, os._exit, too much memory) cannot succeed by being run "
        "again: look at the worker's log, fix the task, and run the workflow again."
    )
