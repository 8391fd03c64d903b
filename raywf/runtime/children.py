"""Children: executions that a task of another one is. Its parent starts it, is told how it ends, and cancels it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raywf.core import events as ev
from raywf.core.execution import is_current, is_wanted, task_at
from raywf.core.failures import Failure
from raywf.core.state import ExecutionStatus, TaskStatus, child_of, passes_of
from raywf.ports import DefinitionRow
from raywf.runtime import pausing
from raywf.runtime.evaluate import failure_of
from raywf.runtime.live import Live, address

if TYPE_CHECKING:
    from raywf.runtime.host import Host


def start_child(host: Host, live: Live, task: int, item: int | None, attempt: int) -> None:
    child = host.open.get(child_of(live.state, live.id, task, item))
    if child is not None:
        take_up(host, live, task, item, child)
        return
    if task_at(live.state, task, item).wait is not None:
        host.on_orphan_child(live, task, item, attempt)
    elif live.state.pause is None:
        open_child(host, live, task, item, attempt)


def take_up(host: Host, live: Live, task: int, item: int | None, child: Live) -> None:
    """The child is open here: its parent hears of its end, and says so if it has not."""
    child.parent = (live, task, item)
    if task_at(live.state, task, item).status is TaskStatus.READY:
        host.turn(live, ev.ChildStarted(address(live, task, item), child.id))
    pausing.align(host, live, child)


def open_child(host: Host, live: Live, task: int, item: int | None, attempt: int) -> None:
    node = live.state.plan.nodes[task]
    where = address(live, task, item)
    id_ = child_of(live.state, live.id, task, item)
    try:
        if id_.count("/") > 100:
            raise RecursionError(f"{where} would be child number 101 in a row: the depth limit is 100")
        definition, input_ = host.child_input(live, node, item)
    except Exception as error:
        host.turn(live, ev.AttemptFailed(where, failure_of(error, attempt), attempt, None))
        return
    host.turn(live, ev.ChildStarted(where, id_))
    _open_row(host, live, task, item, definition, input_)


def reopen_child(host: Host, live: Live, task: int, item: int | None) -> None:
    """``ChildStarted`` is on disk and the child is not: its rows were in the next commit. Write them again."""
    definition, input_ = host.child_input(live, live.state.plan.nodes[task], item)
    _open_row(host, live, task, item, definition, input_)


def _open_row(host: Host, live: Live, task: int, item: int | None, definition: DefinitionRow, input_: bytes) -> None:
    parent = live.row
    plan = host.plan_of(definition.hash)
    now = host.clock.now()
    row = parent._replace(
        key=host.new_key(parent.shard),
        id=child_of(live.state, live.id, task, item),
        workflow=plan.workflow,
        version=plan.version,
        definition=definition.hash,
        fingerprint="",
        status="running",
        parent=parent.id,
        created_at=now,
        ended_at=None,
        waiting_for=None,
        traceparent=host.telemetry.traceparent(live) or parent.traceparent,
    )
    host.open_execution(row, input_, definition, parent=(live, task, item))


def child_ended(host: Host, parent: Live, task: int, item: int | None, child: Live) -> None:
    closing = child.state.closing
    if child.state.closed is ExecutionStatus.COMPLETED:
        child_outcome(host, parent, task, item, child.state.value)
    elif closing is not None and closing.failure is not None:
        child_outcome(host, parent, task, item, closing.failure)
    else:
        reason = closing.reason if closing else ""
        child_outcome(host, parent, task, item, Failure("raywf.errors.WorkflowCancelled", reason or child.id))


def child_outcome(host: Host, parent: Live, task: int, item: int | None, outcome: bytes | Failure | None) -> None:
    """Report how a child ended to its parent's task. Its failure fails the task."""
    attempt = task_at(parent.state, task, item).attempt
    if host.open.get(parent.id) is not parent or not is_current(
        parent.state, task, item, attempt, passes_of(parent.state, task)
    ):
        return
    where = address(parent, task, item)
    if isinstance(outcome, bytes):
        host.turn(parent, ev.TaskCompleted(where, attempt, outcome))
    elif not is_wanted(parent.state, task, item, attempt, passes_of(parent.state, task)):
        host.turn(parent, ev.AttemptCancelled(where, attempt))
    elif outcome is not None:
        host.turn(parent, ev.AttemptFailed(where, outcome, attempt, None))
