"""A state while one event is applied to it."""

from __future__ import annotations

from typing import Any

from raywf.core.chunks import Chunks, Edited
from raywf.core.events import BranchTaken, Event, PassStarted
from raywf.core.ids import item_address, pass_address, split_address, split_passes
from raywf.core.owed import OPEN, stopped
from raywf.core.state import ExecutionState, TaskState, TaskStatus

BY_OTHERS = (BranchTaken, PassStarted)
"""Tasks that wait for one of these are moved by the tasks inside them, and count neither as active nor as waiting."""


class IllegalTransition(Exception):
    """The state does not allow this event. It marks a defect in the hands, never a user's mistake."""


class Draft:
    """A state while one event is applied to it. Lives for one call; the state it came from is not touched."""

    __slots__ = ("active", "changes", "closing", "left", "plan", "state", "tasks", "touched", "waiting")

    def __init__(self, state: ExecutionState) -> None:
        self.state = state
        self.plan = state.plan
        tasks = state.tasks
        self.tasks: list[TaskState] | Edited[TaskState] = Edited(tasks) if type(tasks) is Chunks else list(tasks)
        self.left = state.left
        self.active = state.active
        self.waiting = state.waiting
        self.closing = state.closing
        self.changes: dict[str, Any] = {}
        self.touched: list[tuple[int, int | None]] = []

    def freeze(self) -> ExecutionState:
        old = self.state
        if self.changes or self.closing is not old.closing:
            old = old._replace(closing=self.closing, **self.changes)
        tasks = self.tasks.done() if type(self.tasks) is Edited else tuple(self.tasks)
        return ExecutionState._make((old.plan, tasks, self.left, self.active, self.waiting, *old[5:]))

    def goes_on(self, task: int) -> bool:
        """Whether a task that has not succeeded yet may be tried again: a compensation also on the way to the end."""
        if self.closing is not None:
            return self.plan.nodes[task].undoes is not None
        return self.plan.nodes[task].merged_by is None or not stopped(self.tasks, self.plan.nodes[task])

    def locate(self, address: str) -> tuple[int, int | None]:
        task = self.plan.index.get(address)
        if task is not None and not self.plan.nodes[task].loops:
            return task, None
        try:
            name, item = split_address(address)
            name, passes = split_passes(name)
            task = self.plan.index[name]
        except (KeyError, ValueError):
            raise IllegalTransition(f"there is no task {address!r} in the plan of {self.plan.workflow!r}") from None
        if passes != self.passes(task):
            raise IllegalTransition(f"{address!r} is of another pass: its loop is at {self.name(task, item)!r}")
        return task, item

    def asked(self, address: str) -> int | None:
        """The task that somebody outside means, who need not know the pass it is in; None for one of an earlier pass."""
        name, passes = split_passes(address)
        task = self.plan.index.get(name)
        if task is None:
            raise IllegalTransition(f"there is no task {address!r} in the plan of {self.plan.workflow!r}")
        return task if passes in ((), self.passes(task)) else None

    def passes(self, task: int) -> tuple[int, ...]:
        """The pass that each loop around a task is in, outermost first."""
        return tuple(self.tasks[loop].passes for loop in self.plan.nodes[task].loops)

    def name(self, task: int, item: int | None) -> str:
        name = pass_address(self.plan.nodes[task].id, self.passes(task))
        return name if item is None else item_address(name, item)

    def at(self, task: int, item: int | None) -> TaskState:
        current = self.tasks[task]
        if item is None:
            return current
        if current.items is None or not 0 <= item < len(current.items):
            raise IllegalTransition(f"task {self.plan.nodes[task].id!r} has no item {item}")
        return current.items[item]

    def put(self, task: int, item: int | None, new: TaskState) -> None:
        if item is None:
            self.tasks[task] = new
            return
        parent = self.tasks[task]
        assert parent.items is not None
        self.tasks[task] = parent._replace(items=parent.items.replaced(item, new))

    def expect(self, task: int, item: int | None, allowed: tuple[TaskStatus, ...], event: Event) -> TaskState:
        current = self.at(task, item)
        if current.status not in allowed:
            raise IllegalTransition(f"task {self.name(task, item)!r} is {current.status}: it takes no {event!r:.200}")
        return current

    def current(self, address: str, attempt: int | None, event: Event) -> tuple[int, int | None, TaskState]:
        """The task whose attempt the event is about: it is open, and the attempt is the one that counts now."""
        task, item = self.locate(address)
        current = self.expect(task, item, OPEN, event)
        by_others = current.status is TaskStatus.RUNNING and (
            current.items is not None or isinstance(current.wait, BY_OTHERS)
        )
        if by_others or (attempt is not None and attempt != current.attempt):
            what = "moved by what is inside it" if by_others else f"at attempt {current.attempt}"
            raise IllegalTransition(f"task {address!r} is {current.status}, {what}: it takes no {event!r:.200}")
        return task, item, current
