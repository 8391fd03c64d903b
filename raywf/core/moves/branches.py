"""Tasks whose shape is known only now: the width of a fan-out, the side of a ``when``, the passes of a ``loop``.

A loop keeps only the pass it is in: when the next begins, the tasks of its body are as if they had never run. So the
ten-thousandth pass costs what the first did, and the history is what remembers the others.
"""

from __future__ import annotations

from raywf.core.chunks import Chunks
from raywf.core.events import BranchTaken, Event, PassStarted
from raywf.core.moves.closing import no_longer_left
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.moves.tasks import READY, need_met, settled, side_progress
from raywf.core.plan import NodeKind
from raywf.core.state import TaskState, TaskStatus

_SKIPPED = TaskState(TaskStatus.SKIPPED)


def map_started(draft: Draft, address: str, width: int, event: Event) -> None:
    task, _ = draft.locate(address)
    current = draft.expect(task, None, (TaskStatus.READY,), event)
    draft.active -= 1
    if width == 0:
        draft.tasks[task] = current._replace(status=TaskStatus.COMPLETED, items=Chunks.filled(READY, 0))
        settled(draft, task)
        return
    draft.tasks[task] = current._replace(status=TaskStatus.RUNNING, remaining=width, items=Chunks.filled(READY, width))
    draft.active += width
    draft.touched.extend((task, item) for item in range(width))


def branch_taken(draft: Draft, address: str, side: bool, event: BranchTaken) -> None:
    task, _ = draft.locate(address)
    current = draft.expect(task, None, (TaskStatus.READY,), event)
    node = draft.plan.nodes[task]
    draft.active -= 1
    needs = node.needs_then if side else node.needs_otherwise
    remaining = sum(draft.tasks[need].status is not TaskStatus.COMPLETED for need in needs)
    draft.tasks[task] = current._replace(status=TaskStatus.RUNNING, remaining=remaining, wait=event)
    _skip(draft, node.otherwise if side else node.then)
    for member in node.then if side else node.otherwise:
        need_met(draft, member)
    if remaining == 0:
        side_progress(draft, task, draft.tasks[task])


def _skip(draft: Draft, members: tuple[int, ...]) -> None:
    for member in members:
        node = draft.plan.nodes[member]
        draft.tasks[member] = _SKIPPED
        if node.kind is NodeKind.WHEN:
            _skip(draft, node.then)
            _skip(draft, node.otherwise)
        for inside in node.body:
            draft.tasks[inside] = _SKIPPED
        no_longer_left(draft, node)


def pass_started(draft: Draft, event: PassStarted) -> None:
    task, _ = draft.locate(event.task)
    current = draft.expect(task, None, (TaskStatus.READY,), event)
    if event.number != current.passes + 1:
        raise IllegalTransition(f"task {event.task!r} has begun {current.passes} passes: it takes no {event!r:.200}")
    node = draft.plan.nodes[task]
    draft.active -= 1
    draft.tasks[task] = current._replace(
        status=TaskStatus.RUNNING, remaining=len(node.body), value=event.value, wait=event, passes=event.number
    )
    for member in node.body:
        draft.tasks[member] = TaskState(TaskStatus.PENDING, remaining=len(draft.plan.nodes[member].needs))
    for member in node.then:
        need_met(draft, member)
