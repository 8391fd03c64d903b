"""What an attempt says before it ends: how far it is, and the items of its stream."""

from __future__ import annotations

from raywf.core.events import ItemsEmitted, ProgressMade
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.state import NO_NOTES


def progress_made(draft: Draft, event: ProgressMade) -> None:
    task, item, current = draft.current(event.task, event.attempt, event)
    notes = (current.notes or NO_NOTES)._replace(progress=event.value)
    draft.put(task, item, current._replace(notes=notes))


def items_emitted(draft: Draft, event: ItemsEmitted) -> None:
    """The number of an item is its place in the stream of its task: one that is there already is not emitted again."""
    task, item, current = draft.current(event.task, event.attempt, event)
    notes = current.notes or NO_NOTES
    if event.first != notes.emitted:
        raise IllegalTransition(f"task {event.task!r} has emitted {notes.emitted} items: it takes no {event!r:.200}")
    draft.put(task, item, current._replace(notes=notes._replace(emitted=notes.emitted + len(event.items))))
