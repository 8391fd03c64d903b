"""One turn of admission, as every store does it: read the book of a namespace, decide, and say what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raywf.core.admission import Meter, Rule, Slot, decide
from raywf.ports import Admission, LimitRow


@dataclass(slots=True)
class Book:
    """The limits of a namespace, the slots of owners that live, and the meters."""

    limits: dict[str, LimitRow] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    meters: Mapping[Meter, float] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What a turn writes. ``slots`` are new or newly held."""

    answer: Admission
    limits: list[LimitRow]
    slots: list[Slot]
    meters: dict[Meter, float]


def turn(
    book: Book, owner: str, asks: Sequence[Slot], done: Sequence[str], declared: Sequence[LimitRow], now: float
) -> Changes:
    """Who starts now. Changes ``book`` as the store is to be changed."""
    limits = [row for row in declared if _counts(book.limits.get(row.name), row)]
    book.limits.update({row.name: row for row in limits})
    for id_ in done:
        book.slots.pop(id_, None)
    changed: dict[str, Slot] = {}
    for ask in asks:
        known = book.slots.get(ask.id)
        if known is None or known.owner != ask.owner:
            book.slots[ask.id] = changed[ask.id] = ask._replace(held_at=None)
    rules: dict[str, Rule] = {name: row.rule for name, row in book.limits.items()}
    decision = decide(rules, book.slots.values(), book.meters, now)
    for id_ in decision.admitted:
        book.slots[id_] = changed[id_] = book.slots[id_]._replace(held_at=now)
    mine = frozenset(slot.id for slot in book.slots.values() if slot.owner == owner and slot.held_at is not None)
    blocked = {id_: why for id_, why in decision.blocked.items() if book.slots[id_].owner == owner}
    return Changes(Admission(mine, blocked, decision.look_at), limits, list(changed.values()), decision.meters)


def _counts(known: LimitRow | None, row: LimitRow) -> bool:
    return known is None or (known.by is None and known.rule != row.rule)
