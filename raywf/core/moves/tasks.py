"""The life of a task: ready, attempted, ended; and whom its end wakes."""

from __future__ import annotations

from raywf.core.events import AttemptFailed, AttemptLost, BranchTaken
from raywf.core.failures import Failure
from raywf.core.moves.closing import begin_closing, cancel, no_longer_left
from raywf.core.moves.draft import Draft
from raywf.core.moves.merging import item_ended, source_moved, stop_sources, without_answer
from raywf.core.moves.undoing import undo_settled
from raywf.core.plan import Node
from raywf.core.state import Closing, ExecutionStatus, TaskState, TaskStatus

READY = TaskState(TaskStatus.READY, attempt=1)


def make_ready(draft: Draft, node: Node) -> None:
    if draft.closing is not None:
        return
    draft.tasks[node.index] = READY
    draft.active += 1
    draft.touched.append((node.index, None))


def settled(draft: Draft, task: int) -> None:
    """A task completed: wake those who needed only this."""
    node = draft.plan.nodes[task]
    for dependent in node.dependents:
        need_met(draft, dependent)
    for when in draft.plan.dependents_of_sides[task]:
        current = draft.tasks[when]
        if isinstance(current.wait, BranchTaken) and current.status is TaskStatus.RUNNING:
            taken = draft.plan.nodes[when]
            if task in (taken.needs_then if current.wait.side else taken.needs_otherwise):
                side_progress(draft, when, current)
    no_longer_left(draft, node)
    if node.merged_by is not None:
        source_moved(draft, node.merged_by)
    elif node.merge is not None:
        stop_sources(draft, task)


def need_met(draft: Draft, dependent: int) -> None:
    waiting = draft.tasks[dependent]
    if waiting.status is not TaskStatus.PENDING:
        return
    if waiting.remaining == 1:
        make_ready(draft, draft.plan.nodes[dependent])
    else:
        draft.tasks[dependent] = TaskState(TaskStatus.PENDING, waiting.remaining - 1)


def side_progress(draft: Draft, when: int, current: TaskState) -> None:
    if current.remaining > 1:
        draft.tasks[when] = current._replace(remaining=current.remaining - 1)
        return
    if draft.closing is None:
        draft.tasks[when] = current._replace(status=TaskStatus.READY, remaining=0)
        draft.active += 1
        draft.touched.append((when, None))


def attempt_ended(draft: Draft, task: int, item: int | None, current: TaskState, ended: TaskState) -> None:
    """An attempt ended with a result."""
    if current.failures or current.lost or current.wait or current.passes or current.notes:
        ended = ended._replace(
            failures=current.failures,
            lost=current.lost,
            wait=current.wait,
            passes=current.passes,
            notes=current.notes,
        )
    node = draft.plan.nodes[task]
    if node.undone_by is not None:
        draft.changes["order"] = order = draft.state.order + 1
        ended = ended._replace(order=order)
    draft.active -= 1
    draft.put(task, item, ended)
    if node.undoes is not None:
        undo_settled(draft, task, item)
    elif item is None:
        settled(draft, task)
    elif node.merged_by is not None:
        item_ended(draft, task)
    else:
        _item_settled(draft, task)


def _item_settled(draft: Draft, task: int) -> None:
    parent = draft.tasks[task]
    if parent.remaining > 1:
        draft.tasks[task] = parent._replace(remaining=parent.remaining - 1)
    elif draft.closing is None:
        draft.tasks[task] = parent._replace(remaining=0, status=TaskStatus.COMPLETED)
        settled(draft, task)


def attempt_failed(draft: Draft, event: AttemptFailed) -> None:
    task, item, current = draft.current(event.task, event.attempt, event)
    if event.retry_at is not None and draft.goes_on(task):
        draft.put(
            task,
            item,
            current._replace(
                status=TaskStatus.RETRYING,
                failures=current.failures + 1,
                failure=event.failure,
                due_at=event.retry_at,
                wait=None,
            ),
        )
        draft.touched.append((task, item))
        return
    fail(draft, task, item, current, event.task, event.failure)


def fail(draft: Draft, task: int, item: int | None, current: TaskState, address: str, failure: Failure) -> None:
    if current.status is TaskStatus.WAITING:
        draft.waiting -= 1
    else:
        draft.active -= 1
    failed = current._replace(status=TaskStatus.FAILED, failures=current.failures + 1, failure=failure, due_at=None)
    draft.put(task, item, failed)
    if draft.plan.nodes[task].undoes is not None:
        undo_settled(draft, task, item)
        return
    if draft.plan.nodes[task].merged_by is not None and draft.closing is None:
        without_answer(draft, task, item)
        return
    if item is not None and draft.tasks[task].status is TaskStatus.RUNNING:
        draft.tasks[task] = draft.tasks[task]._replace(status=TaskStatus.FAILED, failure=failure)
    begin_closing(draft, Closing(ExecutionStatus.FAILED, address, failure))


def in_doubt(event: AttemptLost) -> Failure:
    message = f"nobody knows whether attempt {event.attempt} of {event.task} happened: {event.reason}"
    return Failure("raywf.errors.InDoubt", message, attempt=event.attempt, retryable=False)


def given_up(draft: Draft, task: int, item: int | None, current: TaskState) -> None:
    """An attempt that was asked to stop has ended without an outcome."""
    cancel(draft, task, item, current)
    if draft.plan.nodes[task].merged_by is not None and draft.closing is None:
        without_answer(draft, task, item)


def attempt_lost(draft: Draft, event: AttemptLost) -> None:
    task, item, current = draft.current(event.task, event.attempt, event)
    if not draft.goes_on(task):
        given_up(draft, task, item, current)
        return
    lost = current.lost + (1 if event.counted else 0)
    options = draft.plan.nodes[task].options
    if options.effect == "at_most_once" and event.begun and current.status is TaskStatus.RUNNING:
        current = current._replace(lost=lost)
        if options.in_doubt == "ask":
            draft.active -= 1
            draft.waiting += 1
            draft.put(task, item, current._replace(status=TaskStatus.WAITING, wait=event))
            return
        if options.in_doubt == "fail":
            fail(draft, task, item, current, event.task, in_doubt(event))
            return
    again = current._replace(status=TaskStatus.READY, attempt=current.attempt + 1, lost=lost, wait=None)
    draft.put(task, item, again)
    draft.touched.append((task, item))
