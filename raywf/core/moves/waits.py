"""Waiting for time, a signal or a person, and what ends a wait."""

from __future__ import annotations

from dataclasses import replace

from raywf.core.approvals import askable, decision, escalates, words
from raywf.core.events import (
    ApprovalDecided,
    ApprovalRequested,
    AttemptLost,
    DoubtResolved,
    Event,
    MergeAwaited,
    MergeDecided,
    MigrationRefused,
    SignalAwaited,
    SignalReceived,
    TimerStarted,
    UpdateRefused,
)
from raywf.core.failures import Failure
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.moves.merging import merge_due, source_moved
from raywf.core.moves.tasks import attempt_ended, fail, in_doubt, settled
from raywf.core.state import NO_NOTES, TaskState, TaskStatus


def wait(draft: Draft, event: TimerStarted | SignalAwaited | ApprovalRequested | MergeAwaited) -> None:
    task, _ = draft.locate(event.task)
    current = draft.expect(task, None, (TaskStatus.READY,), event)
    if isinstance(event, SignalAwaited):
        for place, signal in enumerate(draft.state.signals):
            if signal.name == event.name and signal.update == event.update:
                draft.changes["signals"] = (*draft.state.signals[:place], *draft.state.signals[place + 1 :])
                attempt_ended(
                    draft, task, None, current, current._replace(value=signal.value, status=TaskStatus.COMPLETED)
                )
                return
    draft.active -= 1
    draft.waiting += 1
    due_at = event.due_at
    if isinstance(event, ApprovalRequested) and event.escalate_at is not None:
        due_at = event.escalate_at
    draft.tasks[task] = current._replace(status=TaskStatus.WAITING, due_at=due_at, wait=event)
    draft.touched.append((task, None))
    if isinstance(event, MergeAwaited):
        source_moved(draft, task)


def _wait_ended(draft: Draft, task: int, value: bytes) -> None:
    draft.waiting -= 1
    draft.tasks[task] = draft.tasks[task]._replace(status=TaskStatus.COMPLETED, value=value, due_at=None)
    settled(draft, task)


def timer_fired(draft: Draft, address: str, event: Event) -> None:
    task, item = draft.locate(address)
    current = draft.expect(task, item, (TaskStatus.RETRYING, TaskStatus.WAITING), event)
    if isinstance(event, MergeDecided) and not isinstance(current.wait, MergeAwaited):
        raise IllegalTransition(f"task {address!r} is no merge that waits: it takes no {event!r:.200}")
    match current.wait:
        case TimerStarted(_, _, value):
            _wait_ended(draft, task, value)
        case SignalAwaited(_, name, _, default, update):
            what = "update" if update else "signal"
            _timed_out(draft, task, current, address, default, f"no {what} {name!r} came in time")
        case ApprovalRequested() as asked:
            if escalates(asked, current.notes):
                notes = (current.notes or NO_NOTES)._replace(escalated=True)
                draft.tasks[task] = current._replace(due_at=asked.due_at, notes=notes)
                draft.touched.append((task, None))
            else:
                _timed_out(draft, task, current, address, asked.on_timeout, _unanswered(asked, current))
        case MergeAwaited():
            merge_due(draft, task)
        case AttemptLost():
            raise IllegalTransition(
                f"task {address!r} is in doubt, and no time resolves that: it takes no {event!r:.200}"
            )
        case _:
            ready = current._replace(status=TaskStatus.READY, attempt=current.attempt + 1, due_at=None)
            draft.put(task, item, ready)
            draft.touched.append((task, item))


def _unanswered(asked: ApprovalRequested, current: TaskState) -> str:
    notes = current.notes or NO_NOTES
    named = askable(asked, notes) or asked.required > 1 or notes.escalated
    said = "not enough answers came in time" if notes.approved_by else "nobody answered in time"
    return f"{said}: {asked.prompt}" + (f" (it waited for {words(asked, notes)})" if named else "")


def _timed_out(draft: Draft, task: int, current: TaskState, address: str, value: bytes | None, message: str) -> None:
    if value is not None:
        _wait_ended(draft, task, value)
    else:
        failure = Failure("TimeoutError", message, attempt=current.attempt, retryable=False)
        fail(draft, task, None, current, address, failure)


def signal_received(draft: Draft, event: SignalReceived | UpdateRefused | MigrationRefused) -> None:
    if event.id in draft.state.seen:
        return
    draft.changes["seen"] = draft.state.seen | {event.id}
    if isinstance(event, (UpdateRefused, MigrationRefused)):
        return
    for node in draft.plan.nodes:
        current = draft.tasks[node.index]
        awaited = current.wait if current.status is TaskStatus.WAITING else None
        if isinstance(awaited, SignalAwaited) and awaited.name == event.name and awaited.update == event.update:
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
    asked, notes = current.wait, current.notes or NO_NOTES
    may, answered = askable(asked, notes), notes.approved_by + notes.rejected_by
    if (may and event.by not in may) or (event.by and event.by in answered):
        return  # the wrong person, or the same one again: nothing is changed by it
    if event.approved:
        notes = notes._replace(approved_by=(*notes.approved_by, event.by))
    else:
        notes = notes._replace(rejected_by=(*notes.rejected_by, event.by))
    decided = decision(asked, notes)
    if asked.required > 1 or may:
        current = draft.tasks[task] = current._replace(notes=notes)
    if decided is None:
        return
    if decided:
        _wait_ended(draft, task, asked.data)
    elif asked.on_reject is not None:
        _wait_ended(draft, task, asked.on_reject)
    else:
        comment = f": {event.comment}" if event.comment else ""
        message = f"{asked.prompt} was rejected{comment}"
        failure = Failure("ApprovalRejected", message, attempt=current.attempt, retryable=False)
        fail(draft, task, None, current, event.task, failure)
