"""The commonest move, by a path of its own: a task has its first result, and those that needed only it are ready.

Two of three events of an execution without accidents are this one, and the general path (a draft, a dozen small moves)
costs as much as everything else in a turn. The shortcut gives what the general path gives, state and effects, or
declines; a property test holds the two together. Whatever is out of the ordinary (a retry, an item, a branch, a
compensation, a closing execution, an event that cannot follow) is declined.
"""

from __future__ import annotations

from raywf.core.effects import Close, Effect
from raywf.core.events import TaskCompleted
from raywf.core.state import ExecutionState, TaskState, TaskStatus

_READY = TaskState(TaskStatus.READY, attempt=1)
_RUNNING = TaskState(TaskStatus.RUNNING, attempt=1)
_FIRST = (_READY, _RUNNING)
_REST = _READY[6:]
_PENDING, _COMPLETED = TaskStatus.PENDING, TaskStatus.COMPLETED
_CLOSE = (Close(),)
_new = tuple.__new__
"""Without the constructor's own call: this is made for every event, and of slices, which copy fastest."""


def completed(state: ExecutionState, event: TaskCompleted) -> tuple[ExecutionState, tuple[Effect, ...]] | None:
    """The state after the event and what is newly outstanding; None where the general path must decide."""
    if state.closing is not None or state.closed is not None or state.pause is not None:
        return None
    plan, tasks, left, active = state[:4]
    if type(tasks) is not tuple:
        return None
    address, attempt, value = event
    task = plan.index.get(address)
    if task is None or attempt != 1 or not plan.plain[task] or tasks[task] not in _FIRST:
        return None
    after, effects, active = list(tasks), [], active - 1
    after[task] = _new(TaskState, (_COMPLETED, 0, 1, 0, 0, value) + _REST)  # noqa: RUF005
    for dependent in plan.nodes[task].dependents:
        current = after[dependent]
        if current.status is not _PENDING:
            continue
        if current.remaining > 1:
            after[dependent] = TaskState(_PENDING, current.remaining - 1)
            continue
        start = plan.first_starts[dependent]
        if start is None:
            return None
        after[dependent] = _READY
        active += 1
        effects.append(start)
    left -= 1
    moved = _new(ExecutionState, (plan, tuple(after), left, active) + state[4:])  # noqa: RUF005
    return moved, _CLOSE if left == 0 else tuple(effects)
