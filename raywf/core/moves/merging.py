"""A merge that does not wait for everybody: what its sources have come to, and what becomes of those it can do without.

It waits from the moment its sources may begin until so many have answered, or the time is up, or nobody else can answer,
or (``early_stop``) the hands find that the answers still out could change nothing. What then still runs is asked to stop,
what has not begun never does. A source that fails is a source that does not answer: the merge says whether that matters.
"""

from __future__ import annotations

from raywf.core.moves.closing import cancel, no_longer_left
from raywf.core.moves.draft import Draft
from raywf.core.owed import OPEN, RUNS, tally
from raywf.core.state import TaskStatus

_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED)


def merge_due(draft: Draft, task: int) -> None:
    """The wait of a merge is over: it merges what it has."""
    draft.waiting -= 1
    draft.active += 1
    draft.tasks[task] = draft.tasks[task]._replace(status=TaskStatus.READY)
    draft.touched.append((task, None))


def source_moved(draft: Draft, task: int) -> None:
    """A source of the merge ``task`` has ended, one way or the other."""
    current, merge = draft.tasks[task], draft.plan.nodes[task].merge
    if merge is None or current.status is not TaskStatus.WAITING or draft.closing is not None:
        return
    answered, out = tally(draft.tasks, merge)
    if not out or (merge.quorum is not None and answered >= merge.quorum):
        merge_due(draft, task)
    elif merge.early_stop and (task, None) not in draft.touched:
        draft.touched.append((task, None))


def item_ended(draft: Draft, task: int) -> None:
    """One item of a fan-out that is the source of a merge has ended, with an answer or without."""
    parent, node = draft.tasks[task], draft.plan.nodes[task]
    assert parent.items is not None and node.merged_by is not None
    if parent.remaining > 1:
        draft.tasks[task] = parent._replace(remaining=parent.remaining - 1)
    elif draft.closing is None:
        statuses = {item.status for item in parent.items}
        last = TaskStatus.COMPLETED if TaskStatus.COMPLETED in statuses else TaskStatus.FAILED
        if TaskStatus.CANCELLED in statuses:
            last = TaskStatus.CANCELLED
        draft.tasks[task] = parent._replace(remaining=0, status=last)
        no_longer_left(draft, node)
    source_moved(draft, node.merged_by)


def without_answer(draft: Draft, task: int, item: int | None) -> None:
    """A source has failed or was stopped, and its merge goes on without it."""
    node = draft.plan.nodes[task]
    if item is not None:
        item_ended(draft, task)
        return
    for dependent in node.dependents:  # the gather that the merge looks through
        if draft.tasks[dependent].status is TaskStatus.PENDING:
            draft.tasks[dependent] = draft.tasks[dependent]._replace(status=TaskStatus.CANCELLED)
            no_longer_left(draft, draft.plan.nodes[dependent])
    no_longer_left(draft, node)
    if node.merged_by is not None:
        source_moved(draft, node.merged_by)


def stop_sources(draft: Draft, task: int) -> None:
    """The merge is done: what it did not wait for is not wanted any more."""
    merge = draft.plan.nodes[task].merge
    for member in () if merge is None else merge.members:
        items = draft.tasks[member].items
        if items is None:
            _stop(draft, member, None)
        else:
            for item in range(len(items)):
                _stop(draft, member, item)


def _stop(draft: Draft, task: int, item: int | None) -> None:
    current, node = draft.at(task, item), draft.plan.nodes[task]
    if current.status in _ENDED:
        return
    if current.status in OPEN and node.kind in RUNS and not (node.mapped and item is None):
        draft.touched.append((task, item))  # it is asked to stop, and says when it has
        return
    if current.status is TaskStatus.PENDING:
        draft.put(task, item, current._replace(status=TaskStatus.CANCELLED))
    else:
        cancel(draft, task, item, current)
    without_answer(draft, task, item)
