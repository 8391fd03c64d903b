"""Pausing an execution and going on with it, down the tree of its children.

Nothing new starts while an execution is paused; attempts that run end, and what they give is kept. An attempt that only
queues has not begun: it is withdrawn, and the next number begins after the pause. No time passes: timers that ring
meanwhile are not heard, and are armed again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raywf.core import events as ev
from raywf.core.execution import is_wanted, task_at
from raywf.core.plan import NodeKind
from raywf.core.state import TaskStatus, child_of, passes_of
from raywf.runtime.live import Live, address

if TYPE_CHECKING:
    from raywf.runtime.host import Host


def pause(host: Host, live: Live, reason: str, by: str | None, *, inherited: bool = False) -> None:
    """A no-op on an execution that is paused already."""
    if live.state.pause is not None or live.is_closed:
        return
    host.turn(live, ev.PauseRequested(reason, inherited), by)
    withdraw(host, live, "paused before it had begun")
    for child in list(children_of(host, live)):
        pause(host, child, reason, by, inherited=True)


def withdraw(host: Host, live: Live, reason: str) -> None:
    """Take back attempts that only queue; those that have begun are said to have."""
    for (task, item), handle in list((live.inflight or {}).items()):
        current = task_at(live.state, task, item)
        if current.status is not TaskStatus.READY or not is_wanted(
            live.state, task, item, current.attempt, passes_of(live.state, task)
        ):
            continue
        where = address(live, task, item)
        if host.work.has_begun(handle):
            host.turn(live, ev.AttemptStarted(where, current.attempt))
        else:
            host.forget_attempt(live, task, item)
            host.turn(live, ev.AttemptLost(where, current.attempt, reason, False, False))
            host.work.cancel(handle)


def resume(host: Host, live: Live, by: str | None) -> None:
    """A no-op on an execution that is not paused. Children that were paused with it go on, too."""
    if live.state.pause is None or live.is_closed:
        return
    host.turn(live, ev.ResumeRequested(), by)
    for child in list(children_of(host, live)):
        align(host, live, child)


def align(host: Host, parent: Live, child: Live) -> None:
    """A crash may have come between the parent's record and the child's: make the child follow."""
    pause_ = child.state.pause
    if parent.state.pause is not None:
        pause(host, child, parent.state.pause.reason, None, inherited=True)
    elif pause_ is not None and pause_.inherited:
        resume(host, child, None)


def children_of(host: Host, live: Live) -> Iterator[Live]:
    """The child executions that are open, those that a continuation goes on in among them."""
    for node, task in zip(live.state.plan.nodes, live.state.tasks, strict=True):
        places = ((None, task),) if task.items is None else enumerate(task.items)
        for item, each in places:
            if node.kind is NodeKind.CHILD or each.grown is not None:
                child = host.open.get(child_of(live.state, live.id, node.index, item))
                if child is not None:
                    yield child
