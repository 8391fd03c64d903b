"""The commonest move, by a path of its own: a task has its first result, and those that needed only it are ready.

Two of three events of an execution without accidents are this one, and the general path (a draft, a dozen small moves)
costs as much as everything else in a turn. The shortcut gives what the general path gives, state and effects, or
declines; a property test holds the two together. Whatever is out of the ordinary (a retry, an item, a branch, a
compensation, a closing execution, an event that cannot follow) is declined.
"""

from __future__ import annotations

from raywf.core.effects import Close, Effect, StartAttempt
from raywf.core.events import TaskCompleted
from raywf.core.plan import NodeKind
from raywf.core.state import ExecutionState, TaskState, TaskStatus

_READY = TaskState(TaskStatus.READY, attempt=1)


def completed(state: ExecutionState, event: TaskCompleted) -> tuple[ExecutionState, tuple[Effect, ...]] | None:
    """The state after the event and what is newly outstanding; None where the general path must decide."""
    plan, tasks = state.plan, state.tasks
    task = plan.index.get(event.task)
    if (
        task is None
        or state.closing is not None
        or state.closed is not None
        or state.pause is not None
        or type(tasks) is not tuple
    ):
        return None
    node, current = plan.nodes[task], tasks[task]
    if node.undone_by is not None or node.undoes is not None or node.loops or plan.dependents_of_sides[task]:
        return None
    if current.status is TaskStatus.READY:
        first = _READY
    elif current.status is TaskStatus.RUNNING:
        first = _RUNNING
    else:
        return None
    if current != first or event.attempt != 1:
        return None
    after, effects, active = list(tasks), [], state.active - 1
    after[task] = _new(TaskState, (TaskStatus.COMPLETED, 0, 1, 0, 0, event.value, *_REST))
    for dependent in node.dependents:
        waiting = after[dependent]
        if waiting.status is not TaskStatus.PENDING:
            continue
        if waiting.remaining > 1:
            after[dependent] = TaskState(TaskStatus.PENDING, waiting.remaining - 1)
            continue
        woken = plan.nodes[dependent]
        if woken.kind is not NodeKind.CALL or woken.mapped or woken.options.effect != "at_least_once":
            return None
        after[dependent] = _READY
        active += 1
        effects.append(StartAttempt(dependent, None, 1))
    left = state.left - 1
    moved = _new(ExecutionState, (plan, tuple(after), left, active, *state[4:]))
    return moved, (Close(),) if left == 0 else tuple(effects)


_RUNNING = TaskState(TaskStatus.RUNNING, attempt=1)
_REST = _READY[6:]
_new = tuple.__new__  # without the constructor's own call: this is made for every event
