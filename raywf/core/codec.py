"""History events as journal records and back, with a version on every record.

A record is ``(kind, task, attempt, data)``. ``kind`` is the event's name in snake case; when a kind's ``data`` changes
its shape the kind becomes ``name@2`` and ``_UPCASTERS`` gains a function from the old data to the new one, so that old
histories stay readable for ever (tests/golden keeps some of each).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from raywf.core import events as ev
from raywf.core.failures import Failure

Record: TypeAlias = tuple[str, str | None, int | None, bytes | None]
"""kind, task address, attempt, data."""


def _dump(**fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


Waits: TypeAlias = ev.TimerStarted | ev.SignalAwaited | ev.ApprovalRequested | ev.MergeAwaited | ev.MergeDecided


def to_record(event: ev.Event) -> Record:
    """The journal record of an event."""
    if type(event) is ev.TaskCompleted:  # by far the most common
        return ("task_completed", *event)
    match event:
        case ev.TaskCompleted(task, attempt, value):
            return "task_completed", task, attempt, value
        case ev.ExecutionStarted(input_):
            return "execution_started", None, None, input_
        case ev.ExecutionCompleted(value):
            return "execution_completed", None, None, value
        case ev.ExecutionForked(source, from_task, input_, kept):
            data = _dump(source=source, from_task=from_task, input=_text(input_), kept=_text(kept))
            return "execution_forked", None, None, data
        case ev.ExecutionRetried() | ev.ExecutionMigrated() | ev.MigrationRefused():
            return _again_record(event)
        case ev.AttemptStarted(task, attempt):
            return "attempt_started", task, attempt, None
        case ev.ResultReused():
            return "result_reused", event.task, event.attempt, _reused_data(event)
        case ev.TaskContinued(task, attempt, definition, input_):
            return "task_continued", task, attempt, _dump(definition=definition, input=_text(input_))
        case ev.AttemptFailed(task, failure, attempt, retry_at):
            return "attempt_failed", task, attempt, _dump(failure=failure.to_data(), retry_at=retry_at)
        case ev.AttemptLost(task, attempt, reason, counted, begun):
            unbegun = {} if begun else {"begun": False}
            return "attempt_lost", task, attempt, _dump(reason=reason, counted=counted, **unbegun)
        case ev.AttemptCancelled(task, attempt, abandoned):
            return "attempt_cancelled", task, attempt, _dump(abandoned=True) if abandoned else None
        case ev.ProgressMade(task, attempt, value):
            return "progress_made", task, attempt, value
        case ev.ItemsEmitted(task, attempt, first, items):
            return "items_emitted", task, attempt, b'{"first":%d,"items":[%s]}' % (first, b",".join(items))
        case ev.MapStarted(task, width):
            return "map_started", task, None, _dump(width=width)
        case ev.BranchTaken(task, side):
            return "branch_taken", task, None, _dump(side=side)
        case ev.PassStarted(task, number, value):
            return "pass_started", task, None, _dump(number=number, value=_text(value))
        case ev.TimerStarted() | ev.SignalAwaited() | ev.ApprovalRequested() | ev.MergeAwaited() | ev.MergeDecided():
            return _wait_record(event)
        case ev.ChildStarted(task, child):
            return "child_started", task, None, _dump(child=child)
        case ev.TimerFired(task):
            return "timer_fired", task, None, None
        case ev.SignalReceived(name, value, id_, update):
            return "signal_received", None, None, _dump(name=name, value=_text(value), id=id_, **_update(update))
        case ev.UpdateRefused(name, id_, failure):
            return "update_refused", None, None, _dump(name=name, id=id_, failure=failure.to_data())
        case ev.ApprovalDecided(task, approved, comment, id_, by):
            named = {"by": by} if by else {}
            return "approval_decided", task, None, _dump(approved=approved, comment=comment, id=id_, **named)
        case ev.CancelRequested(reason):
            return "cancel_requested", None, None, _dump(reason=reason)
        case ev.PauseRequested(reason, inherited):
            return "pause_requested", None, None, _dump(reason=reason, inherited=inherited)
        case ev.ResumeRequested():
            return "resume_requested", None, None, None
        case ev.DoubtResolved(task, outcome, value, comment, id_):
            return "doubt_resolved", task, None, _dump(outcome=outcome, value=_text(value), comment=comment, id=id_)
        case ev.DeadlineExceeded(deadline):
            return "deadline_exceeded", None, None, _dump(deadline=deadline)
        case ev.ResultFailed(failure):
            return "result_failed", None, None, _dump(failure=failure.to_data())
        case ev.ExecutionFailed(task, failure):
            return "execution_failed", task, None, _dump(failure=failure.to_data())
        case ev.ExecutionCancelled(reason):
            return "execution_cancelled", None, None, _dump(reason=reason)


def _reused_data(event: ev.ResultReused) -> bytes:
    return _dump(
        value=_text(event.value),
        source=event.source,
        source_task=event.source_task,
        computed_at=event.computed_at,
        key=event.key,
    )


def _again_record(event: ev.ExecutionRetried | ev.ExecutionMigrated | ev.MigrationRefused) -> Record:
    if isinstance(event, ev.ExecutionRetried):
        return "execution_retried", None, None, _dump(id=event.id)
    if isinstance(event, ev.MigrationRefused):
        data = _dump(id=event.id, definition=event.definition, reason=event.reason)
        return "migration_refused", None, None, data
    kept = {name: _text(getattr(event, name)) for name in ("input", "kept", "rest")}
    data = _dump(id=event.id, source=event.source, definition=event.definition, **kept)
    return "execution_migrated", None, None, data


def _update(update: bool) -> dict[str, Any]:
    return {"update": True} if update else {}


def _wait_record(event: Waits) -> Record:
    match event:
        case ev.TimerStarted(task, due_at, value):
            return "timer_started", task, None, _dump(due_at=due_at, value=_text(value))
        case ev.SignalAwaited(task, name, due, default, update):
            return "signal_awaited", task, None, _dump(name=name, due_at=due, default=_text(default), **_update(update))
        case ev.ApprovalRequested():
            return "approval_requested", event.task, None, _approval_data(event)
        case ev.MergeAwaited(task, due):
            return "merge_awaited", task, None, _dump(due_at=due)
        case ev.MergeDecided(task, answered, out):
            return "merge_decided", task, None, _dump(answered=answered, out=out)


def _approval_data(event: ev.ApprovalRequested) -> bytes:
    asked: dict[str, Any] = {
        "assignee": event.assignee,
        "approvers": event.approvers,
        "required": event.required,
        "escalate_at": event.escalate_at,
        "escalate_to": event.escalate_to,
    }
    usual: dict[str, Any] = {"assignee": "", "approvers": (), "required": 1, "escalate_at": None, "escalate_to": ()}
    return _dump(
        prompt=event.prompt,
        data=_text(event.data),
        due_at=event.due_at,
        on_reject=_text(event.on_reject),
        on_timeout=_text(event.on_timeout),
        **{name: value for name, value in asked.items() if value != usual[name]},
    )


def _plain(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


_Reader: TypeAlias = Callable[[Any, Any, Any], ev.Event]

_VALUES: dict[str, Callable[[Any, Any, bytes], ev.Event]] = {
    "task_completed": ev.TaskCompleted,
    "execution_started": lambda task, attempt, data: ev.ExecutionStarted(data),
    "execution_completed": lambda task, attempt, data: ev.ExecutionCompleted(data),
    "progress_made": ev.ProgressMade,
}
"""Kinds whose data is an encoded value and not a JSON object of fields."""

_READERS: dict[str, _Reader] = {
    "execution_forked": lambda task, attempt, d: ev.ExecutionForked(
        d["source"], d["from_task"], d["input"].encode(), d["kept"].encode()
    ),
    "execution_retried": lambda task, attempt, d: ev.ExecutionRetried(d["id"]),
    "execution_migrated": lambda task, attempt, d: ev.ExecutionMigrated(
        d["id"], d["source"], d["definition"], d["input"].encode(), d["kept"].encode(), d["rest"].encode()
    ),
    "migration_refused": lambda task, attempt, d: ev.MigrationRefused(d["id"], d["definition"], d["reason"]),
    "attempt_started": lambda task, attempt, d: ev.AttemptStarted(task, attempt),
    "result_reused": lambda task, attempt, d: ev.ResultReused(
        task, attempt, d["value"].encode(), d["source"], d["source_task"], d["computed_at"], d["key"]
    ),
    "task_continued": lambda task, attempt, d: ev.TaskContinued(task, attempt, d["definition"], d["input"].encode()),
    "attempt_failed": lambda task, attempt, d: ev.AttemptFailed(
        task, Failure.from_data(d["failure"]), attempt, d["retry_at"]
    ),
    "attempt_lost": lambda task, attempt, d: ev.AttemptLost(
        task, attempt, d["reason"], d["counted"], d.get("begun", True)
    ),
    "attempt_cancelled": lambda task, attempt, d: ev.AttemptCancelled(task, attempt, d is not None and d["abandoned"]),
    "items_emitted": lambda task, attempt, d: ev.ItemsEmitted(
        task, attempt, d["first"], tuple(map(_plain, d["items"]))
    ),
    "map_started": lambda task, attempt, d: ev.MapStarted(task, d["width"]),
    "branch_taken": lambda task, attempt, d: ev.BranchTaken(task, d["side"]),
    "pass_started": lambda task, attempt, d: ev.PassStarted(task, d["number"], d["value"].encode()),
    "timer_started": lambda task, attempt, d: ev.TimerStarted(task, d["due_at"], d["value"].encode()),
    "signal_awaited": lambda task, attempt, d: ev.SignalAwaited(
        task, d["name"], d["due_at"], _bytes(d["default"]), d.get("update", False)
    ),
    "approval_requested": lambda task, attempt, d: ev.ApprovalRequested(
        task,
        d["prompt"],
        d["data"].encode(),
        d["due_at"],
        _bytes(d["on_reject"]),
        _bytes(d["on_timeout"]),
        d.get("assignee", ""),
        tuple(d.get("approvers", ())),
        d.get("required", 1),
        d.get("escalate_at"),
        tuple(d.get("escalate_to", ())),
    ),
    "merge_awaited": lambda task, attempt, d: ev.MergeAwaited(task, d["due_at"]),
    "merge_decided": lambda task, attempt, d: ev.MergeDecided(task, d["answered"], d["out"]),
    "child_started": lambda task, attempt, d: ev.ChildStarted(task, d["child"]),
    "timer_fired": lambda task, attempt, d: ev.TimerFired(task),
    "signal_received": lambda task, attempt, d: ev.SignalReceived(
        d["name"], d["value"].encode(), d["id"], d.get("update", False)
    ),
    "update_refused": lambda task, attempt, d: ev.UpdateRefused(d["name"], d["id"], Failure.from_data(d["failure"])),
    "approval_decided": lambda task, attempt, d: ev.ApprovalDecided(
        task, d["approved"], d["comment"], d["id"], d.get("by", "")
    ),
    "cancel_requested": lambda task, attempt, d: ev.CancelRequested(d["reason"]),
    "pause_requested": lambda task, attempt, d: ev.PauseRequested(d["reason"], d["inherited"]),
    "resume_requested": lambda task, attempt, d: ev.ResumeRequested(),
    "doubt_resolved": lambda task, attempt, d: ev.DoubtResolved(
        task, d["outcome"], _bytes(d["value"]), d["comment"], d["id"]
    ),
    "deadline_exceeded": lambda task, attempt, d: ev.DeadlineExceeded(d["deadline"]),
    "result_failed": lambda task, attempt, d: ev.ResultFailed(Failure.from_data(d["failure"])),
    "execution_failed": lambda task, attempt, d: ev.ExecutionFailed(task, Failure.from_data(d["failure"])),
    "execution_cancelled": lambda task, attempt, d: ev.ExecutionCancelled(d["reason"]),
}


class _Kept(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...


_Row = TypeVar("_Row", bound=_Kept)
MIGRATED = "execution_migrated"


def last_part(rows: Sequence[_Row], definition: str) -> tuple[str, Sequence[_Row]]:
    """The definition that a history goes on under, and its rows from the event on that says so: what is folded. ``definition``
    is what the index says, which counts where nothing was migrated."""
    for at in range(len(rows) - 1, -1, -1):
        if rows[at].kind == MIGRATED:
            return json.loads(rows[at].data or b"")["definition"], rows[at:]
    return definition, rows


def began_under(rows: Sequence[_Kept], definition: str) -> str:
    """The definition that a whole history began under."""
    first = next((row for row in rows if row.kind == MIGRATED), None)
    return definition if first is None else json.loads(first.data or b"")["source"]


_UPCASTERS: dict[str, tuple[str, Callable[[Any], Any]]] = {}
"""Old kind -> (the kind that followed it, a function from its data to the new data)."""


def from_record(kind: str, task: str | None, attempt: int | None, data: bytes | None) -> ev.Event:
    """The event of a journal record, of this version or an older one. Raises ``ValueError`` for an unknown kind."""
    plain = _VALUES.get(kind)
    if plain is not None:
        return plain(task, attempt, data or b"null")
    fields = json.loads(data) if data else None
    while kind in _UPCASTERS:
        kind, upcast = _UPCASTERS[kind]
        fields = upcast(fields)
    reader = _READERS.get(kind)
    if reader is None:
        raise ValueError(f"history event of unknown kind {kind!r}: a newer raywf wrote it, so upgrade this one")
    return reader(task, attempt, fields)
