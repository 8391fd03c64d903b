"""What the world owes an execution, read off its state."""

from __future__ import annotations

from raywf.core.effects import ArmTimer, CancelAttempt, Effect, Evaluate, StartAttempt, StartChild
from raywf.core.plan import NodeKind
from raywf.core.state import ExecutionState, TaskState, TaskStatus

RUNS = (NodeKind.CALL, NodeKind.CHILD)
OPEN = (TaskStatus.READY, TaskStatus.RUNNING)


def task_at(state: ExecutionState, task: int, item: int | None) -> TaskState:
    """The state of a task, or of one item of its fan-out."""
    current = state.tasks[task]
    if item is None:
        return current
    if current.items is None:
        raise LookupError(f"task {state.plan.nodes[task].id!r} has no items yet")
    return current.items[item]


def must_close(state: ExecutionState) -> bool:
    if state.closed is not None or not state.started:
        return False
    if state.closing is not None:
        return state.active == 0 and state.waiting == 0
    return state.left == 0


def effects_of(state: ExecutionState, task: int, item: int | None) -> tuple[Effect, ...]:
    node = state.plan.nodes[task]
    current = task_at(state, task, item)
    if current.status in OPEN:
        if state.closing is not None:
            return (CancelAttempt(task, item, current.attempt),) if node.kind in RUNS else ()
        if node.kind not in RUNS or (node.mapped and item is None):
            return (Evaluate(task),) if current.status is TaskStatus.READY else ()
        if node.kind is NodeKind.CHILD:
            return (StartChild(task, item, current.attempt),)
        return (StartAttempt(task, item, current.attempt, current.lost >= 2),)
    if current.due_at is not None and current.status in (TaskStatus.RETRYING, TaskStatus.WAITING):
        return (ArmTimer(task, item, current.due_at),)
    return ()
