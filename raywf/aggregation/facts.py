"""What is known, as a set of facts that merges.

    Answer(item, source, value, …, at)   what a source said of an item, and when
    Gold(item, truth, at)                what is right, and when somebody said so

A `FactSet` holds one `Answer` per (item, source) and one `Gold` per item. Of two that contradict each other the later
stands; at the same instant the one whose encoding sorts last. So adding is commutative, associative and idempotent:
shards may be merged in any order, with repeats and after a crash, and are bit for bit the same set. Every figure that is
learned (`raywf.aggregation.learning`) is a function of this set in canonical order, never of the way it was collected.

All items stay at hand, because a stack, contexts and conformal sets are fitted to items. An actor that must not grow
keeps the same facts as `raywf.aggregation.evidence`: on disk by item, in memory as sums.

There is no clock here: `at` is recorded by whoever collects, in seconds since the epoch, UTC.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from raywf.aggregation.candidates import Candidate
from raywf.aggregation.identity import identity
from raywf.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Answer:
    """One source's answer to one item; the fields of a `Candidate`, the item, a context (a category) and the instant."""

    item: str
    source: str
    value: Any
    confidence: float | None = None
    probs: tuple[tuple[Any, float], ...] | None = None
    weight: float = 1.0
    context: str | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        _check_name(self.item, "item")
        _check_instant(self.at, f"source {self.source!r} answered item {self.item!r}")
        candidate = self.candidate()  # everything else is checked there
        if candidate.probs is not None:
            object.__setattr__(self, "probs", tuple(candidate.pairs()))

    def candidate(self) -> Candidate:
        return Candidate(self.value, self.source, self.confidence, self.probs, self.weight)

    @classmethod
    def of(cls, item: str, candidate: Candidate, *, context: str | None = None, at: float = 0.0) -> "Answer":
        pairs = None if candidate.probs is None else tuple(candidate.pairs())
        return cls(item, candidate.source, candidate.value, candidate.confidence, pairs, candidate.weight, context, at)


@dataclass(frozen=True, slots=True)
class Gold:
    """The right answer of an item. Raises `InvalidInput` for None: a truth nobody knows is no gold answer."""

    item: str
    truth: Any
    at: float = 0.0

    def __post_init__(self) -> None:
        _check_name(self.item, "item")
        _check_instant(self.at, f"the truth of item {self.item!r} was told")
        if self.truth is None:
            raise InvalidInput(
                f"the truth of item {self.item!r} is None, but None means that nobody answered; leave the feedback out, "
                "or name the value that stands for it"
            )
        identity(self.truth)


Fact: TypeAlias = Answer | Gold


@dataclass(slots=True)
class FactSet:
    """The facts by key. `add` and `merge` change this set and give it back; equality is that of the facts."""

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    golds: dict[str, Gold] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> "FactSet":
        return cls().add(*facts)

    def add(self, *facts: Fact) -> "FactSet":
        for fact in facts:
            if isinstance(fact, Answer):
                key = (fact.item, fact.source)
                self.answers[key] = _later(self.answers.get(key), fact)
            elif isinstance(fact, Gold):
                self.golds[fact.item] = _later(self.golds.get(fact.item), fact)
            else:
                raise InvalidInput(f"a fact is an Answer or a Gold, not {type(fact).__name__} {fact!r:.80}")
        return self

    def merge(self, other: "FactSet") -> "FactSet":
        return self.add(*other)

    def __iter__(self) -> Iterator[Fact]:
        """Canonical order: answers by item and source, then golds by item."""
        yield from (self.answers[key] for key in sorted(self.answers))
        yield from (self.golds[item] for item in sorted(self.golds))

    def __len__(self) -> int:
        return len(self.answers) + len(self.golds)

    def by_item(self) -> dict[str, list[Answer]]:
        """The answers of each item by source; items in canonical order."""
        found: dict[str, list[Answer]] = {}
        for key in sorted(self.answers):
            found.setdefault(key[0], []).append(self.answers[key])
        return found

    def to_data(self) -> list[list[Any]]:
        """JSON-able rows in canonical order, if the values are: `["answer", item, source, …]`, `["gold", item, …]`."""
        return [encode(fact) for fact in self]

    @classmethod
    def from_data(cls, rows: Iterable[list[Any]]) -> "FactSet":
        return cls.of(decode(row) for row in rows)


def encode(fact: Fact) -> list[Any]:
    """One row, as `decode` reads it."""
    if isinstance(fact, Gold):
        return ["gold", fact.item, fact.truth, fact.at]
    probs = None if fact.probs is None else [list(pair) for pair in fact.probs]
    return ["answer", fact.item, fact.source, fact.value, fact.confidence, probs, fact.weight, fact.context, fact.at]


def decode(row: list[Any]) -> Fact:
    match row:
        case ["gold", item, truth, at]:
            return Gold(item, truth, at)
        case ["answer", item, source, value, confidence, probs, weight, context, at]:
            pairs = None if probs is None else tuple((one, p) for one, p in probs)
            return Answer(item, source, value, confidence, pairs, weight, context, at)
        case _:
            raise InvalidInput(f"no fact is written as {row!r:.120}; rows come from FactSet.to_data")


def _later(held: Any, told: Any) -> Any:
    if held is None or told.at > held.at:
        return told
    if told.at < held.at or (told == held and _spelled(told) == _spelled(held)):
        return held
    return max(held, told, key=_spelled)


def _spelled(fact: Fact) -> str:
    return json.dumps(encode(fact), sort_keys=True, ensure_ascii=True, default=lambda o: f"{type(o).__name__}:{o!r}")


def _check_name(value: object, what: str) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{what} must be a name, a text that is not empty, but it is {value!r:.80}")


def _check_instant(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"{what} at {value!r}, but an instant is a finite number of seconds since the epoch")
