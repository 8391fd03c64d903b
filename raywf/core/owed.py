"""What the world owes an execution, read off its state."""

from __future__ import annotations

from collections.abc import Sequence

from raywf.core.effects import Announce, ArmTimer, CancelAttempt, Effect, Evaluate, StartAttempt, StartChild
from raywf.core.plan import Merge, Node, NodeKind, Plan
from raywf.core.state import ExecutionState, TaskState, TaskStatus, passes_of

RUNS = (NodeKind.CALL, NodeKind.CHILD)
OPEN = (TaskStatus.READY, TaskStatus.RUNNING)
_DONE = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)


def task_at(state: ExecutionState, task: int, item: int | None) -> TaskState:
    """The state of a task, or of one item of its fan-out."""
    current = state.tasks[task]
    if item is None:
        return current
    if current.items is None:
        raise LookupError(f"task {state.plan.nodes[task].id!r} has no items yet")
    return current.items[item]


def stopped(tasks: Sequence[TaskState], node: Node) -> bool:
    """Whether a task is the source of a merge that is done: its answer is not wanted any more."""
    return node.merged_by is not None and tasks[node.merged_by].status in _DONE


def tally(tasks: Sequence[TaskState], merge: Merge) -> tuple[int, int]:
    """How many sources of a merge have answered, and how many still may."""
    if merge.fan_out is not None:
        whole = tasks[merge.fan_out]
        if whole.items is None:
            return 0, int(whole.status not in _DONE)
        statuses = [item.status for item in whole.items]
        answered = statuses.count(TaskStatus.COMPLETED)
        return answered, sum(status not in _DONE for status in statuses)
    answered = out = 0
    for parts in merge.sources:
        ends = [tasks[part].status for part in parts]
        if all(end is TaskStatus.COMPLETED for end in ends):
            answered += 1
        elif all(end is TaskStatus.COMPLETED or end not in _DONE for end in ends):
            out += 1
    return answered, out


def next_undo(plan: Plan, tasks: Sequence[TaskState]) -> int | None:
    """The compensation whose turn it is: of what stands and can be taken back, that of the newest."""
    newest, found = 0, None
    for undo in plan.undo:
        if tasks[undo].status is TaskStatus.PENDING:
            undone = tasks[plan.nodes[undo].undoes or 0]
            order = undone.order if undone.items is None else max((item.order for item in undone.items), default=0)
            if order > newest:
                newest, found = order, undo
    return found


def must_close(state: ExecutionState) -> bool:
    if state.closed is not None or not state.started:
        return False
    if state.closing is not None:
        return state.active == 0 and state.waiting == 0 and next_undo(state.plan, state.tasks) is None
    return state.left == 0


def effects_of(state: ExecutionState, task: int, item: int | None) -> tuple[Effect, ...]:
    node = state.plan.nodes[task]
    current = task_at(state, task, item)
    if current.status in OPEN:
        ending = state.closing is not None and node.undoes is None
        if ending or (node.merged_by is not None and stopped(state.tasks, node)):
            if node.kind not in RUNS:
                return ()
            return (CancelAttempt(task, item, current.attempt, passes_of(state, task)),)
        if state.pause is not None and current.status is TaskStatus.READY:
            return ()
        if node.kind not in RUNS or (node.mapped and item is None):
            return (Evaluate(task),) if current.status is TaskStatus.READY else ()
        if node.kind is NodeKind.CHILD or current.grown is not None:
            return (StartChild(task, item, current.attempt, passes_of(state, task)),)
        if current.status is TaskStatus.READY and node.options.effect == "at_most_once":
            return (Announce(task, item, current.attempt, passes_of(state, task)),)
        return (StartAttempt(task, item, current.attempt, current.lost >= 2, passes_of(state, task)),)
    if node.merge is not None and node.merge.early_stop and current.status is TaskStatus.WAITING:
        looks: tuple[Effect, ...] = (Evaluate(task),)
        if current.due_at is None or state.pause is not None:
            return looks
        return (*looks, ArmTimer(task, item, current.due_at))
    timed = current.due_at is not None and current.status in (TaskStatus.RETRYING, TaskStatus.WAITING)
    if timed and state.pause is None and current.due_at is not None:
        return (ArmTimer(task, item, current.due_at),)
    return ()
