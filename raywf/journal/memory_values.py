"""The stored values of the twin in memory, place by place: what tables and columns are to a database."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from raywf.journal.places import Place
from raywf.ports import Resealed, StoredValue

if TYPE_CHECKING:
    from raywf.journal.memory import MemoryStore

_Put = Callable[[Any], None]


def stored_values(store: MemoryStore, place: Place) -> list[StoredValue]:
    """In order of identity."""
    found = ((row, _stored(row, place)) for row, _ in _rows(store, place))
    return sorted(
        (value for _, value in found if value is not None), key=lambda value: value.of_row[: len(place.identity)]
    )


def reseal(store: MemoryStore, place: Place, change: Resealed) -> bool:
    """Replace a value that is still the old one."""
    for row, put in _rows(store, place):
        value = _stored(row, place)
        if value is not None and value.of_row[: len(place.identity)] == change.identity and value.data == change.old:
            new = change.new.encode() if place.name == "schedule" and isinstance(change.new, str) else change.new
            put(row._replace(**{place.column: new}))
            return True
    return False


def _stored(row: Any, place: Place) -> StoredValue | None:
    *of_row, data = (getattr(row, name) for name in place.columns)
    if data is None:
        return None
    return StoredValue(tuple(of_row), data.decode() if place.name == "schedule" else data)


def _rows(store: MemoryStore, place: Place) -> Iterator[tuple[Any, _Put]]:
    match place.table:
        case "inbox":
            for at, row in enumerate(list(store.inbox)):
                yield row, functools.partial(store.inbox.__setitem__, at)
        case "events" | "evidence":
            for rows in (store.events if place.table == "events" else store.evidence).values():
                yield from _of(rows)
        case "snapshots":
            yield from _of(store.snapshots)
        case "schedules":
            yield from _of(store.schedules)
        case "cache":
            yield from _of(store.cache)
        case "aggregators":
            yield from _of(store.aggregators)
        case _:
            yield from _of(store.executions)


def _of(rows: MutableMapping[Any, Any]) -> Iterator[tuple[Any, _Put]]:
    for key, row in list(rows.items()):
        yield row, functools.partial(rows.__setitem__, key)
