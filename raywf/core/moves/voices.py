"""What an attempt says before it ends: how far it is, and the items of its stream."""

from __future__ import annotations

from raywf.core.events import ItemsEmitted, ProgressMade
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.state import NO_NOTES


def said(draft: Draft, event: ProgressMade | ItemsEmitted) -> None:
    """The number of an item is its place in the stream of its task: one that is there already is not emitted again."""
    task, item, current = draft.current(event.task, event.attempt, event)
    notes = current.notes or NO_NOTES
    if isinstance(event, ProgressMade):
        notes = notes._replace(progress=event.value)
    elif event.first == notes.emitted:
        notes = notes._replace(emitted=notes.emitted + len(event.items))
    else:
        raise IllegalTransition(f"task {event.task!r} has emitted {notes.emitted} items: it takes no {event!r:.200}")
    draft.put(task, item, current._replace(notes=notes))
