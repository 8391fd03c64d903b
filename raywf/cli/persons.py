"""Whether only a person can move an execution on: all that is open in it, and in its children, waits for approvals."""

from __future__ import annotations

from raywf.cli.following import Ask, asks_of
from raywf.client.reading import Readings
from raywf.core.events import ChildStarted
from raywf.core.state import CLOSED, ExecutionState, ExecutionStatus, TaskState, TaskStatus

_ACTIVE = (TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.RETRYING)
_CHILDREN = 1000
"""So many children are looked at; with more, something is surely moving."""


async def left_to_persons(readings: Readings, execution_id: str, state: ExecutionState) -> list[Ask]:
    """The approvals without which nothing moves; empty where something else may still move it, or where it has ended."""
    if state.closed is not None or not state.started or state.closing is not None:
        return []
    asks = list(asks_of(execution_id, state))
    if any(ask.kind in ("signal", "update") for ask in asks) or len(asks) != state.waiting:
        return []  # a signal, or time, may come first
    if state.status is ExecutionStatus.WAITING:
        return asks
    if not _only_children_run(state):
        return []
    children = await readings.reader.executions(readings.namespace, parent=execution_id, limit=_CHILDREN)
    still_open = [row for row in children if row.status not in CLOSED]
    if not still_open or len(children) == _CHILDREN:
        return []
    for row in still_open:
        inside = await left_to_persons(readings, row.id, (await readings.state(row))[0])
        if not inside:
            return []
        asks += inside
    return asks


def _only_children_run(state: ExecutionState) -> bool:
    return all(_is_child(each) for each in _leaves(state) if each.status in _ACTIVE)


def _leaves(state: ExecutionState) -> list[TaskState]:
    leaves: list[TaskState] = []
    for task in state.tasks:
        if task.items is None:
            if not _decides(task):
                leaves.append(task)
        else:
            leaves.extend(task.items)
    return leaves


def _decides(task: TaskState) -> bool:
    """A ``when`` that has decided stays running until its side has ended; it does nothing itself."""
    return task.status is TaskStatus.RUNNING and task.wait is not None and not isinstance(task.wait, ChildStarted)


def _is_child(task: TaskState) -> bool:
    return task.status is TaskStatus.RUNNING and isinstance(task.wait, ChildStarted)
