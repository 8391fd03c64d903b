"""Where a store keeps what belongs to users: the columns that a codec seals, and the words that bind a value to its row.

A column that is not here holds ids, names, states, times and tags, and is readable to whoever can read the store. Definitions are
not here either: a workflow's graph is code. A new column for values needs a row in this table, two lines in ``journal.sealed``,
and nothing else: rotation and `raywf keys` follow the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """``identity`` finds a row; ``bound`` are more of its columns that a value is bound to. ``is_numbered_later``: the store gives
    the identity, so the value, which is sealed before, is bound to the others only."""

    name: str
    table: str
    identity: tuple[str, ...]
    bound: tuple[str, ...]
    column: str
    is_text: bool = False
    is_numbered_later: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.identity, *self.bound, self.column)

    def words(self, *binding: Any) -> str:
        """What binds a value to its row: the place and the row's values of ``identity`` and ``bound``."""
        return f"{self.name} {' '.join(map(str, binding))}"

    def words_of(self, of_row: tuple[Any, ...]) -> str:
        """``words`` of a stored value."""
        return self.words(*(of_row[len(self.identity) :] if self.is_numbered_later else of_row))


EVENTS = Place("event", "events", ("key", "seq"), ("kind", "task"), "data")
SNAPSHOTS = Place("snapshot", "snapshots", ("key",), ("seq",), "data")
INBOX = Place(
    "command", "inbox", ("id",), ("namespace", "execution", "kind", "command_id"), "body", is_numbered_later=True
)
SCHEDULES = Place("schedule", "schedules", ("namespace", "id"), (), "spec", is_text=True)
EVIDENCE = Place("evidence", "evidence", ("aggregator", "seq"), ("item",), "body")
AGGREGATORS = Place("aggregator", "aggregators", ("key",), ("seq",), "body")
FINGERPRINTS = Place("fingerprint", "executions", ("key",), (), "fingerprint", is_text=True)
REASONS = Place("reason", "executions", ("key",), (), "waiting_for", is_text=True)

CACHE = Place("reused result", "cache", ("namespace", "key"), ("task",), "value")

PLACES = {
    place.name: place
    for place in (EVENTS, SNAPSHOTS, INBOX, SCHEDULES, EVIDENCE, AGGREGATORS, FINGERPRINTS, REASONS, CACHE)
}


def select(place: Place, after: Sequence[Any] | None, mark: str) -> str:
    """The statement that reads values in order of identity. ``mark`` is the database's parameter: ``?`` or ``$``; parameters are
    ``after`` and a limit."""
    row = ", ".join(place.identity)
    marks = [mark if mark == "?" else f"${n}" for n in range(1, len(place.identity) + 2)]
    later = "" if after is None else f"AND ({row}) > ({', '.join(marks[:-1])}) "
    limit = marks[0] if after is None else marks[-1]
    return (
        f"SELECT {', '.join(place.columns)} FROM {place.table} WHERE {place.column} IS NOT NULL {later}"
        f"ORDER BY {row} LIMIT {limit}"
    )


def update(place: Place, mark: str) -> str:
    """The statement that replaces a value that is still the old one. Parameters: new, identity, old."""
    names = (*place.identity, place.column)
    marks = [mark if mark == "?" else f"${n}" for n in range(2, len(names) + 2)]
    where = " AND ".join(f"{name} = {each}" for name, each in zip(names, marks, strict=True))
    return f"UPDATE {place.table} SET {place.column} = {mark if mark == '?' else '$1'} WHERE {where}"
