"""Compensation: on the way to an end other than completion, what was done is taken back, newest first.

It begins when the last attempt has ended, so that nothing is undone that still happens. One task at a time; the items of
a fan-out, which were done side by side, are undone side by side. A compensation that fails for good does not keep the
others from running: the execution then ends as failed, and says which did not succeed.
"""

from __future__ import annotations

from raywf.core.chunks import Chunks
from raywf.core.failures import Failure
from raywf.core.ids import item_address
from raywf.core.moves.draft import Draft
from raywf.core.owed import next_undo
from raywf.core.state import ExecutionState, TaskState, TaskStatus


def undo_next(draft: Draft) -> None:
    """Let the compensation whose turn it is begin, if there is one and nothing else is under way."""
    if draft.closing is None or draft.active or draft.waiting or "closed" in draft.changes:
        return
    if draft.changes.get("pause", draft.state.pause) is not None:
        return
    undo = next_undo(draft.plan, draft.tasks)
    if undo is None:
        return
    draft.changes["undoing"] = True
    before = draft.tasks[undo]
    ready = TaskState(TaskStatus.READY, attempt=before.attempt + 1)
    done = draft.tasks[draft.plan.nodes[undo].undoes or 0].items
    if done is None:
        draft.tasks[undo] = ready
        draft.active += 1
        draft.touched.append((undo, None))
        return
    skipped = TaskState(TaskStatus.SKIPPED)
    places = [item for item, each in enumerate(done) if each.order]
    items = Chunks.of([ready if each.order else skipped for each in done])
    draft.tasks[undo] = before._replace(status=TaskStatus.RUNNING, remaining=len(places), items=items)
    draft.active += len(places)
    draft.touched.extend((undo, item) for item in places)


def undo_settled(draft: Draft, task: int, item: int | None) -> None:
    """A compensation, or that of one item, has ended. ``undo_next`` then looks for the one before."""
    if item is None:
        return
    parent = draft.tasks[task]
    assert parent.items is not None
    if parent.remaining > 1:
        draft.tasks[task] = parent._replace(remaining=parent.remaining - 1)
        return
    failed = next((each for each in parent.items if each.status is TaskStatus.FAILED), None)
    status = TaskStatus.COMPLETED if failed is None else TaskStatus.FAILED
    failure = None if failed is None else failed.failure
    draft.tasks[task] = parent._replace(remaining=0, status=status, failure=failure)


def not_undone(state: ExecutionState) -> list[tuple[str, Failure]]:
    """The compensations that failed for good, by address, with the reason."""
    found = []
    for undo in state.plan.undo:
        id_, current = state.plan.nodes[undo].id, state.tasks[undo]
        places = [(id_, current)]
        if current.items is not None:
            places = [(item_address(id_, item), each) for item, each in enumerate(current.items)]
        found += [(at, each.failure) for at, each in places if each.status is TaskStatus.FAILED and each.failure]
    return found
