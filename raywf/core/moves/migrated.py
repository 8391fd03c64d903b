"""Going on under another definition: a state that begins with what an earlier one had done."""

from __future__ import annotations

import json

from raywf.core.events import ExecutionForked, ExecutionMigrated
from raywf.core.kept import kept_bytes, kept_tasks
from raywf.core.moves.again import forked, go_on
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.snapshot import rest_of, rest_record
from raywf.core.state import ExecutionState, TaskStatus

_ANEW = ("left", "active", "waiting", "started", "input")
"""What follows from the tasks that are kept, or is said apart."""


def begun_with(draft: Draft, event: ExecutionForked | ExecutionMigrated) -> None:
    """Begin with what was done before: by another execution, or by this one under another definition."""
    if isinstance(event, ExecutionForked):
        forked(draft, event)
    else:
        migrated(draft, event)


def migrated(draft: Draft, event: ExecutionMigrated) -> None:
    """Begin under the definition that the event names."""
    if draft.state.started:
        raise IllegalTransition("a migration begins a state: fold it from there, under the definition that it names")
    if event.definition != draft.plan.definition:
        raise IllegalTransition(
            f"this is a migration to the definition {event.definition[:12]}, folded under {draft.plan.definition[:12]}"
        )
    try:
        rest = rest_of(json.loads(event.rest))
        kept = kept_tasks(event.kept, draft.plan)
        draft.changes.update(started=True, input=event.input, **rest)
        draft.changes["seen"] = rest.get("seen", frozenset()) | {event.id}
        go_on(draft, kept)
    except (LookupError, ValueError, TypeError) as error:
        raise IllegalTransition(f"what a migration has kept does not fit its plan: {error}") from error


def migration_event(id_: str, source: str, state: ExecutionState) -> ExecutionMigrated:
    """The event that leads to ``state``, whose tasks are those that are kept, from one under the definition ``source``."""
    kept = {at: task for at, task in enumerate(state.tasks) if task.status is not TaskStatus.PENDING}
    rest = json.dumps(rest_record(state, _ANEW), separators=(",", ":"), ensure_ascii=False).encode()
    return ExecutionMigrated(id_, source, state.plan.definition, state.input, kept_bytes(kept, state.plan), rest)
