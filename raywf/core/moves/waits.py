"""Waiting for time, a signal or a person, and what ends a wait."""

from __future__ import annotations

from dataclasses import replace

from raywf.core.events import (
    ApprovalDecided,
    ApprovalRequested,
    AttemptLost,
    DoubtResolved,
    Event,
    SignalAwaited,
    SignalReceived,
    TimerStarted,
)
from raywf.core.failures import Failure
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.moves.tasks import attempt_ended, fail, in_doubt, settled
from raywf.core.state import TaskState, TaskStatus


def wait(draft: Draft, event: TimerStarted | SignalAwaited | ApprovalRequested) -> None:
    task, _ = draft.locate(event.task)
    current = draft.expect(task, None, (TaskStatus.READY,), event)
    if isinstance(event, SignalAwaited):
        for place, signal in enumerate(draft.state.signals):
            if signal.name == event.name:
                draft.changes["signals"] = (*draft.state.signals[:place], *draft.state.signals[place + 1 :])
                attempt_ended(
                    draft, task, None, current, current._replace(value=signal.value, status=TaskStatus.COMPLETED)
                )
                return
    draft.active -= 1
    draft.waiting += 1
    draft.tasks[task] = current._replace(status=TaskStatus.WAITING, due_at=event.due_at, wait=event)
    draft.touched.append((task, None))


def _wait_ended(draft: Draft, task: int, value: bytes) -> None:
    draft.waiting -= 1
    draft.tasks[task] = draft.tasks[task]._replace(status=TaskStatus.COMPLETED, value=value, due_at=None)
    settled(draft, task)


def timer_fired(draft: Draft, address: str, event: Event) -> None:
    task, item = draft.locate(address)
    current = draft.expect(task, item, (TaskStatus.RETRYING, TaskStatus.WAITING), event)
    match current.wait:
        case TimerStarted(_, _, value):
            _wait_ended(draft, task, value)
        case SignalAwaited(_, name, _, default):
            _timed_out(draft, task, current, address, default, f"no signal {name!r} came in time")
        case ApprovalRequested(_, prompt, _, _, _, on_timeout):
            _timed_out(draft, task, current, address, on_timeout, f"nobody answered in time: {prompt}")
        case AttemptLost():
            raise IllegalTransition(
                f"task {address!r} is in doubt, and no time resolves that: it takes no {event!r:.200}"
            )
        case _:
            ready = current._replace(status=TaskStatus.READY, attempt=current.attempt + 1, due_at=None)
            draft.put(task, item, ready)
            draft.touched.append((task, item))


def _timed_out(draft: Draft, task: int, current: TaskState, address: str, value: bytes | None, message: str) -> None:
    if value is not None:
        _wait_ended(draft, task, value)
    else:
        failure = Failure("TimeoutError", message, attempt=current.attempt, retryable=False)
        fail(draft, task, None, current, address, failure)


def signal_received(draft: Draft, event: SignalReceived) -> None:
    if event.id in draft.state.seen:
        return
    draft.changes["seen"] = draft.state.seen | {event.id}
    for node in draft.plan.nodes:
        current = draft.tasks[node.index]
        awaited = current.wait if current.status is TaskStatus.WAITING else None
        if isinstance(awaited, SignalAwaited) and awaited.name == event.name:
            _wait_ended(draft, node.index, event.value)
            return
    draft.changes["signals"] = (*draft.state.signals, event)


def doubt_resolved(draft: Draft, event: DoubtResolved) -> None:
    """The first answer counts: a second one, or one to a task that is in no doubt, has no effect."""
    task, item = draft.locate(event.task)
    current = draft.at(task, item)
    doubt = current.wait
    if event.id in draft.state.seen or current.status is not TaskStatus.WAITING or not isinstance(doubt, AttemptLost):
        return
    draft.changes["seen"] = draft.state.seen | {event.id}
    comment = f" ({event.comment})" if event.comment else ""
    if event.outcome == "failed":
        failure = in_doubt(doubt)
        said = replace(failure, message=f"{failure.message}; it was resolved as failed{comment}")
        fail(draft, task, item, current, event.task, said)
        return
    draft.waiting -= 1
    draft.active += 1
    current = current._replace(wait=None)
    if event.outcome == "completed":
        ended = TaskState(TaskStatus.COMPLETED, attempt=current.attempt, value=event.value)
        attempt_ended(draft, task, item, current, ended)
        return
    draft.put(task, item, current._replace(status=TaskStatus.READY, attempt=current.attempt + 1))
    draft.touched.append((task, item))


def resumed(draft: Draft) -> None:
    """What a pause held back is owed again."""
    if draft.state.pause is None:
        return
    draft.changes["pause"] = None
    held = (TaskStatus.READY, TaskStatus.RETRYING, TaskStatus.WAITING)
    for task, current in enumerate(draft.state.tasks):
        if current.items is None:
            if current.status in held:
                draft.touched.append((task, None))
        else:
            draft.touched.extend((task, item) for item, each in enumerate(current.items) if each.status in held)


def approval_decided(draft: Draft, event: ApprovalDecided) -> None:
    task = draft.asked(event.task)
    if task is None:
        return
    current = draft.tasks[task]
    if event.id in draft.state.seen or not isinstance(current.wait, ApprovalRequested):
        return
    draft.changes["seen"] = draft.state.seen | {event.id}
    if current.status is not TaskStatus.WAITING:
        return
    if event.approved:
        _wait_ended(draft, task, current.wait.data)
    elif current.wait.on_reject is not None:
        _wait_ended(draft, task, current.wait.on_reject)
    else:
        comment = f": {event.comment}" if event.comment else ""
        message = f"{current.wait.prompt} was rejected{comment}"
        failure = Failure("ApprovalRejected", message, attempt=current.attempt, retryable=False)
        fail(draft, task, None, current, event.task, failure)
