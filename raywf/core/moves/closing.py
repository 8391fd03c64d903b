"""The way to an end: an execution stops what it has under way, and closes when nothing is left."""

from __future__ import annotations

from dataclasses import replace

from raywf.core.events import Event, ExecutionCancelled, ExecutionFailed
from raywf.core.failures import Failure
from raywf.core.moves.draft import BY_OTHERS, Draft, IllegalTransition
from raywf.core.moves.undoing import not_undone
from raywf.core.owed import OPEN, RUNS, must_close
from raywf.core.plan import Node
from raywf.core.state import Closing, ExecutionState, ExecutionStatus, TaskState, TaskStatus

_ACTIVE = (*OPEN, TaskStatus.RETRYING)


def close(draft: Draft, status: ExecutionStatus, value: bytes | None) -> None:
    if not must_close(draft.state):
        raise IllegalTransition(f"the execution is {draft.state.status} with work left: it cannot be {status} yet")
    draft.changes["closed"] = status
    draft.changes["value"] = value
    draft.active = draft.waiting = 0
    draft.touched.clear()


def ending(state: ExecutionState) -> Event | None:
    """The event that ends an execution which must close; None where it completes, with a result yet to be evaluated."""
    closing = state.closing
    if closing is None:
        return None
    left = not_undone(state)
    if left:
        which = "; ".join(f"{at} ({failure.type}: {failure.message})" for at, failure in left)
        text = f"{len(left)} {'compensation' if len(left) == 1 else 'compensations'} did not succeed: {which}"
        if closing.failure is not None:
            message = f"{closing.failure.message}; on the way to the end {text}"
            return ExecutionFailed(closing.task, replace(closing.failure, message=message))
        why = f" ({closing.reason})" if closing.reason else ""
        at, failure = left[0]
        return ExecutionFailed(at, replace(failure, message=f"the execution was cancelled{why}, and {text}"))
    if closing.status is ExecutionStatus.CANCELLED:
        return ExecutionCancelled(closing.reason)
    return ExecutionFailed(closing.task, closing.failure or Failure("RuntimeError", "unknown"))


def begin_closing(draft: Draft, closing: Closing) -> None:
    """Nothing new starts from here on; waits end at once, running attempts are asked to."""
    if draft.closing is not None:
        return
    draft.closing = closing
    for task, current in enumerate(draft.tasks):
        if current.items is None:
            _stop(draft, task, None, current)
        else:
            for item, each in enumerate(current.items):
                _stop(draft, task, item, each)
            if draft.tasks[task].status is TaskStatus.RUNNING:
                draft.tasks[task] = draft.tasks[task]._replace(status=TaskStatus.CANCELLED)


def _stop(draft: Draft, task: int, item: int | None, current: TaskState) -> None:
    node = draft.plan.nodes[task]
    runs = node.kind in RUNS and not (node.mapped and item is None)
    if current.status in OPEN and runs:
        draft.touched.append((task, item))
    elif current.status in (*_ACTIVE, TaskStatus.WAITING):
        cancel(draft, task, item, current)


def cancel(draft: Draft, task: int, item: int | None, current: TaskState) -> None:
    if current.status is TaskStatus.WAITING:
        draft.waiting -= 1
    elif not (current.status is TaskStatus.RUNNING and isinstance(current.wait, BY_OTHERS)):
        draft.active -= 1
    stopped = current._replace(status=TaskStatus.CANCELLED, due_at=None)
    if current.status is TaskStatus.READY and draft.plan.nodes[task].options.effect == "at_most_once":
        stopped = stopped._replace(attempt=0)  # its start would be on record: it certainly had not begun
    draft.put(task, item, stopped)


def no_longer_left(draft: Draft, node: Node) -> None:
    """A task has completed or was skipped: its execution, or the pass of the loop around it, is nearer to its end."""
    if not node.loops:
        draft.left -= 1
        return
    loop = node.loops[-1]
    current = draft.tasks[loop]
    if current.remaining > 1:
        draft.tasks[loop] = current._replace(remaining=current.remaining - 1)
    elif draft.closing is None:  # what follows the pass is evaluated: the last state, or one more pass
        draft.tasks[loop] = current._replace(status=TaskStatus.READY, remaining=0, wait=None)
        draft.active += 1
        draft.touched.append((loop, None))
