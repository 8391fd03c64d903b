"""Going on from what stands: a retry opens an execution again, a fork begins a new one with what another has done.

Both ask the same two questions. What of the old state *stands*: results whose inputs stand, and that nobody took back.
And what follows from it: every other task is as it was before it ran, and is ready where its needs are met.

Two ways of not standing, and what each does to its neighbours::

    gone    its result is not there, or was taken back; what it decided is kept: the side of a ``when``, the pass of a
            ``loop``, the completed items of a fan-out, the child it started
    stale   what it was called with does not stand: nothing of it is kept

    gone or stale  -->  whoever needs its result is stale
                   -->  the ``when`` whose value it is, and the loop around it, are gone
    stale          -->  the members of a ``when``, the body of a loop are stale
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from raywf.core.chunks import Chunks
from raywf.core.events import AttemptLost, BranchTaken, ChildStarted, ExecutionForked, ExecutionRetried, PassStarted
from raywf.core.kept import kept_tasks
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.moves.tasks import READY
from raywf.core.owed import RUNS
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import ExecutionState, ExecutionStatus, TaskState, TaskStatus

_DONE = (TaskStatus.COMPLETED, TaskStatus.SKIPPED)
_STOPPED = "it may have run when its execution ended"


def retried(draft: Draft, event: ExecutionRetried) -> None:
    """Open a failed or cancelled execution again: keep what stands, and let the rest be owed once more."""
    state = draft.state
    if state.closed not in (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED):
        raise IllegalTransition(f"the execution is {state.status}: it takes no {event!r:.200}")
    undone = _undone(state)
    gone = {node.index for node in state.plan.nodes if node.undoes is None and _missing(state, node)}
    fresh, kept = standing(state, gone | {task for task, _ in undone}, set(), undone, _gone_on(draft))
    round_ = state.round + 1
    draft.changes.update(
        closed=None,
        value=None,
        undoing=False,
        pause=None,
        round=round_,
        seen=state.seen | {event.id},
        rounds=_rounds(draft, undone, fresh, round_),
    )
    draft.closing = None
    go_on(draft, kept)


def forked(draft: Draft, event: ExecutionForked) -> None:
    """Begin with what another execution has done."""
    if draft.state.started:
        raise IllegalTransition("the execution has started already")
    draft.changes.update(started=True, input=event.input)
    try:
        go_on(draft, kept_tasks(event.kept, draft.plan))
    except (LookupError, ValueError, TypeError) as error:
        raise IllegalTransition(f"what a fork has kept does not fit its plan: {error}") from error


def fork_keeps(state: ExecutionState, task: int, item: int | None = None) -> dict[int, TaskState]:
    """What a fork from ``task``, or from one item of its fan-out, keeps of an execution. A fork takes back only what it
    did itself, so nothing kept has a place in the order of compensations."""
    undone = _undone(state)
    if item is not None:
        undone.add((task, item))
    gone = {node.index for node in state.plan.nodes if node.undoes is None and _missing(state, node)}
    gone |= {at for at, _ in undone}
    stale = {task} if item is None and state.tasks[task].status is not TaskStatus.SKIPPED else set()
    _, kept = standing(state, gone, stale, undone, lambda node, item, current: READY)
    return {at: _borrowed(each) for at, each in kept.items()}


def _borrowed(task: TaskState) -> TaskState:
    items = task.items
    if items is not None and any(item.order for item in items):
        items = Chunks.of([item._replace(order=0) for item in items])
    return task._replace(order=0, items=items)


def _missing(state: ExecutionState, node: Node) -> bool:
    return state.tasks[node.index].status not in _DONE and not _done_without(state.tasks, node)


def _done_without(tasks: Sequence[TaskState], node: Node) -> bool:
    """Whether a task is the source of a merge that has its value without it."""
    return node.merged_by is not None and tasks[node.merged_by].status is TaskStatus.COMPLETED


def _undone(state: ExecutionState) -> set[tuple[int, int | None]]:
    """Whatever was taken back. A compensation that failed took nothing back as far as anybody knows."""
    found: set[tuple[int, int | None]] = set()
    for undo in state.plan.undo:
        task, current = state.plan.nodes[undo].undoes or 0, state.tasks[undo]
        if current.items is not None:
            done = (at for at, each in enumerate(current.items) if each.status is TaskStatus.COMPLETED)
            found |= {(task, at) for at in done}
        elif current.status is TaskStatus.COMPLETED:
            found.add((task, None))
    return found


def standing(
    state: ExecutionState,
    gone: set[int],
    stale: set[int],
    undone: set[tuple[int, int | None]],
    again: Callable[[Node, int | None, TaskState], TaskState],
    firm: Collection[tuple[int, int]] = (),
) -> tuple[set[int], dict[int, TaskState]]:
    """Which tasks are as if they had never run, and what is kept of the others, by place in the plan. ``again`` says how
    a place begins whose call stands and whose result does not; over a pair of ``firm`` not standing does not spread."""
    gone, stale = _spread(state, gone, stale, firm)
    kept: dict[int, TaskState] = {}
    for node in state.plan.nodes:
        current = state.tasks[node.index]
        if node.undoes is not None or node.index in stale:
            continue
        if node.index not in gone:
            kept[node.index] = current
        elif current.items is not None:
            items = [
                each if each.status is TaskStatus.COMPLETED and (node.index, at) not in undone
                else READY if (node.index, at) in undone else again(node, at, each)
                for at, each in enumerate(current.items)
            ]  # fmt: skip
            kept[node.index] = READY._replace(status=TaskStatus.RUNNING, items=Chunks.of(items))
        elif isinstance(current.wait, (BranchTaken, PassStarted)):
            value = current.value if isinstance(current.wait, PassStarted) else None
            begun = READY._replace(status=TaskStatus.RUNNING, value=value, wait=current.wait, passes=current.passes)
            kept[node.index] = begun
        elif current.passes:  # between two passes
            kept[node.index] = READY._replace(value=current.value, passes=current.passes)
        elif (node.index, None) not in undone and not node.mapped:
            begun = again(node, None, current)
            if begun is not READY:
                kept[node.index] = begun
    fresh = {node.index for node in state.plan.nodes if node.undoes is None and node.index not in kept}
    return fresh, kept


def _spread(
    state: ExecutionState, gone: set[int], stale: set[int], firm: Collection[tuple[int, int]]
) -> tuple[set[int], set[int]]:
    plan, tasks = state.plan, state.tasks
    gone, stale = set(gone), set(stale)
    todo = [*gone, *stale]

    def mark(where: set[int], task: int) -> None:
        if task not in where and task not in stale:
            where.add(task)
            todo.append(task)

    while todo:
        at = todo.pop()
        node = plan.nodes[at]
        for dependent in node.dependents:
            if tasks[dependent].status is not TaskStatus.SKIPPED and (at, dependent) not in firm:
                mark(stale, dependent)
        if node.merged_by is not None:
            mark(stale, node.merged_by)
        for member in () if node.merge is None else node.merge.members:
            if tasks[member].status not in _DONE:  # it was stopped, and its answer is wanted again
                mark(gone, member)
        for when in plan.dependents_of_sides[at]:
            taken = tasks[when].wait
            sides = plan.nodes[when]
            if isinstance(taken, BranchTaken) and at in (sides.needs_then if taken.side else sides.needs_otherwise):
                mark(gone, when)
        if node.loops and tasks[node.loops[-1]].status is not TaskStatus.SKIPPED:
            mark(gone, node.loops[-1])
        if at in stale:
            for member in (*node.then, *node.otherwise, *node.body):
                mark(stale, member)
    return gone, stale


def _gone_on(draft: Draft) -> Callable[[Node, int | None, TaskState], TaskState]:
    """How a place of a retried execution begins: with the child it started, with a question where nobody knows whether
    what must not happen twice has happened, else like any other."""

    def again(node: Node, item: int | None, current: TaskState) -> TaskState:
        if current.grown is not None or isinstance(current.wait, ChildStarted):
            wait = current.wait if isinstance(current.wait, ChildStarted) else None
            return TaskState(TaskStatus.READY, attempt=current.attempt, wait=wait, grown=current.grown)
        if node.options.effect == "at_most_once" and _may_have_happened(current):
            doubt = AttemptLost(draft.name(node.index, item), current.attempt, _STOPPED, False)
            return TaskState(TaskStatus.WAITING, attempt=current.attempt, lost=current.lost, wait=doubt)
        return READY

    return again


def _may_have_happened(current: TaskState) -> bool:
    if current.status is TaskStatus.CANCELLED:
        return current.attempt > 0
    in_doubt = current.failure is not None and current.failure.type == "raywf.errors.InDoubt"
    return current.status is TaskStatus.FAILED and in_doubt and not isinstance(current.wait, AttemptLost)


def _rounds(
    draft: Draft, undone: Iterable[tuple[int, int | None]], fresh: Iterable[int], round_: int
) -> dict[str, int] | None:
    """In which round what carries a number begins: the keys of what was taken back, and the ids of children anew."""
    state, plan = draft.state, draft.plan
    rounds = dict(state.rounds or {})
    for task, item in undone:
        rounds[draft.name(task, item)] = rounds[draft.name(plan.nodes[task].undone_by or 0, item)] = round_
    for task in fresh:
        current, node = state.tasks[task], plan.nodes[task]
        places: Sequence[TaskState] = (current,) if current.items is None else current.items
        in_passes = bool(node.loops) and node.kind in RUNS and state.tasks[node.loops[0]].passes > 0
        if in_passes or any(each.grown is not None or isinstance(each.wait, ChildStarted) for each in places):
            rounds["/" + node.id] = round_
    return rounds or None


def go_on(draft: Draft, kept: dict[int, TaskState]) -> None:
    """The state in which ``kept`` stands and nothing else: what is ready is owed, everything is counted anew."""
    plan = draft.plan
    pending = TaskStatus.PENDING
    for node in plan.nodes:
        draft.tasks[node.index] = kept.get(node.index) or TaskState(pending, remaining=len(node.needs))
    draft.left = draft.active = draft.waiting = 0
    draft.touched.clear()
    for at in kept:
        if plan.nodes[at].undoes is None:
            draft.tasks[at] = _recounted(plan, draft.tasks, at)
    for node in plan.nodes:
        if node.undoes is not None:
            continue
        if node.index not in kept:
            missing = sum(not _met(plan, draft.tasks, node, need) for need in node.needs)
            draft.tasks[node.index] = TaskState(pending, remaining=missing) if missing else READY
        _count(draft, node)


def _recounted(plan: Plan, tasks: Sequence[TaskState], at: int) -> TaskState:
    """What is kept, with how much of it is still to come."""
    node, current = plan.nodes[at], tasks[at]
    if current.status is not TaskStatus.RUNNING:
        return current
    if current.items is not None:
        left = sum(each.status is not TaskStatus.COMPLETED for each in current.items)
        return current._replace(remaining=left, status=TaskStatus.RUNNING if left else TaskStatus.COMPLETED)
    if isinstance(current.wait, BranchTaken):
        needs = node.needs_then if current.wait.side else node.needs_otherwise
        left = sum(not _complete(tasks, need) for need in needs)
        return current._replace(remaining=left, status=TaskStatus.RUNNING if left else TaskStatus.READY)
    left = sum(not (_complete(tasks, each) or tasks[each].status is TaskStatus.SKIPPED) for each in node.body)
    if left:
        return current._replace(remaining=left)
    return current._replace(status=TaskStatus.READY, remaining=0, wait=None)


def _complete(tasks: Sequence[TaskState], at: int) -> bool:
    """Whether a task has its result, whether or not its items have been counted yet."""
    current = tasks[at]
    if current.items is not None and current.status is TaskStatus.RUNNING:
        return all(each.status is TaskStatus.COMPLETED for each in current.items)
    return current.status is TaskStatus.COMPLETED


def _met(plan: Plan, tasks: Sequence[TaskState], node: Node, need: int) -> bool:
    if node.guard is None or node.guard[0] != need:
        return tasks[need].status is TaskStatus.COMPLETED
    around = tasks[need]
    if plan.nodes[need].kind is NodeKind.LOOP:
        return around.passes > 0
    return isinstance(around.wait, BranchTaken) and around.wait.side == node.guard[1]


def _count(draft: Draft, node: Node) -> None:
    current = draft.tasks[node.index]
    ended = current.status in (TaskStatus.FAILED, TaskStatus.CANCELLED) and _done_without(draft.tasks, node)
    if not node.loops and current.status not in _DONE and not ended:
        draft.left += 1
    places = enumerate(current.items) if current.items is not None else ((None, current),)
    for item, each in places:
        if each.status in (TaskStatus.READY, TaskStatus.RETRYING):
            draft.active += 1
            draft.touched.append((node.index, item))
        elif each.status is TaskStatus.WAITING:
            draft.waiting += 1
            draft.touched.append((node.index, item))  # its timer is to be armed
