"""What is known of items, as sets that merge, and what they amount to, as exact sums.

A `Dossier` is the set of facts of one item: at most one `Said` per source, and at most one truth. Two dossiers of one
item merge by taking, for each source, what it said last (equal instants: what spells last). That is commutative,
associative and idempotent, so shards may arrive in any order and more than once.

A `Standing` is what many dossiers amount to: whole numbers only, one contribution per item, added when an item becomes
known and exchanged when more becomes known of it. Whole numbers add up exactly in any order, so the standing is a
function of the set of facts, bit for bit, and its size depends on the sources, never on the number of items. What is
given up for that: a standing cannot be asked about one item. Whoever needs the items reads their dossiers.

That is why there are two: `raywf.aggregation.facts` keeps every item in memory, which fitting a stack, a context or a
conformal set needs; this keeps none. `raywf.aggregation.reliability.dossiers` turns the first into the second.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

from raywf.aggregation.shapes import pointer, record_of
from raywf.errors import InvalidInput

PAIRS_UP_TO = 32
"""Agreement is counted by pairs of sources; an item with more answers than this counts for no pair (they are s²/2)."""
PERIOD_S = 86_400.0
"""What is counted is counted per day, by the instant of the fact, so that old evidence can weigh less when it is read."""
BINS = 10
CLONE_ERRORS = 20
"""So many items both got wrong, before two sources may be called copies of each other."""
CLONE_AGREEMENT = 0.95
CONSENSUS_WEIGHT = 0.3
"""What one agreement with the others is worth beside one gold answer."""


class Said(NamedTuple):
    """What one source said: `value` as plain JSON, `at` in seconds since the epoch, UTC; `probs` as pairs."""

    value: Any
    confidence: float | None
    probs: list[list[Any]] | None
    weight: float
    at: float


class Truth(NamedTuple):
    value: Any
    at: float


def spelled(value: Any) -> str:
    """A text that is equal exactly for equal JSON: keys sorted, 1.0 as 1."""
    if type(value) is str:
        return '"' + value
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(slots=True)
class Dossier:
    """The facts of one item. `said` maps a source to what it said."""

    said: dict[str, Said] = field(default_factory=dict)
    truth: Truth | None = None

    def merged(self, other: "Dossier") -> "Dossier":
        """Both sets of facts as one. Changes neither."""
        said = dict(self.said)
        for source, theirs in other.said.items():
            mine = said.get(source)
            said[source] = theirs if mine is None or _later(theirs, mine) else mine
        truth = self.truth
        if other.truth is not None and (truth is None or _later(other.truth, truth)):
            truth = other.truth
        return Dossier(said, truth)

    def to_data(self) -> list[Any]:
        """Plain JSON data in canonical order: `[[source, value, confidence, probs, weight, at], …]`, then the truth."""
        said = [[source, *self.said[source]] for source in sorted(self.said)]
        return [said] if self.truth is None else [said, list(self.truth)]

    def at(self, path: str) -> "Dossier":
        """What is said of one part of the values, by JSON pointer; whoever has no such part is left out."""
        said = {
            source: each._replace(value=part_at(each.value, path), probs=None) for source, each in self.said.items()
        }
        truth = None if self.truth is None else self.truth._replace(value=part_at(self.truth.value, path))
        return Dossier(
            {source: each for source, each in said.items() if each.value is not None},
            None if truth is None or truth.value is None else truth,
        )

    @classmethod
    def from_data(cls, data: list[Any]) -> "Dossier":
        said = {row[0]: Said._make(row[1:]) for row in data[0]}
        return cls(said, Truth(*data[1]) if len(data) > 1 else None)


def _later(one: Said | Truth, other: Said | Truth) -> bool:
    if one.at != other.at:
        return one.at > other.at
    return one != other and _spelling(one) > _spelling(other)


def _spelling(fact: Said | Truth) -> str:
    return json.dumps(_plain(list(fact)), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


Sums: TypeAlias = dict[tuple[Any, ...], int]


def contribution(dossier: Dossier) -> Sums:
    """What one item adds to a standing. Keys: `("source", name, day, what)`, `("pair", a, b, what)`,
    `("claim", name, tenth, what)`, `("truth", value, source, said)` and `("item", what)`.

    Per source: answers; graded and right, where the truth is known; peers and agreed, where it is not: whether the
    source said what most of the *others* said. Per pair: both, same, wrong (both wrong), same_wrong.
    """
    sums: Sums = {("item", "items"): 1}
    voted = {source: (said, spelled(said.value)) for source, said in dossier.said.items() if said.value is not None}
    truth = None if dossier.truth is None else spelled(dossier.truth.value)
    if truth is not None:
        sums["item", "gold"] = 1
    votes: dict[str, int] = {}
    for _, value in voted.values():
        votes[value] = votes.get(value, 0) + 1
    if len(votes) > 1:
        sums["item", "contested"] = 1
    for source, (said, value) in voted.items():
        at = said.at if dossier.truth is None else dossier.truth.at
        day = int(at // PERIOD_S)
        sums["source", source, day, "answers"] = 1
        if truth is not None:
            right = int(value == truth)
            sums["source", source, day, "graded"] = 1
            if right:
                sums["source", source, day, "right"] = 1
            if said.confidence is not None:
                tenth = min(int(said.confidence * BINS), BINS - 1)
                sums["claim", source, tenth, "graded"] = 1
                if right:
                    sums["claim", source, tenth, "right"] = 1
            else_ = ("truth", truth, source, value)
            sums[else_] = 1
        elif len(voted) > 2:
            most = _favourite_of_others(votes, value)
            if most is not None:
                sums["source", source, day, "peers"] = 1
                if most == value:
                    sums["source", source, day, "agreed"] = 1
    if len(voted) <= PAIRS_UP_TO:
        _count_pairs(sums, {source: value for source, (_, value) in voted.items()}, truth)
    return sums


def _favourite_of_others(votes: dict[str, int], own: str) -> str | None:
    """What most of the others said; None where they are tied."""
    best: str | None = None
    most, tied = 0, False
    for value, count in votes.items():
        others = count - (value == own)
        if others > most:
            best, most, tied = value, others, False
        elif others == most:
            tied = True
    return None if tied else best


def _count_pairs(sums: Sums, voted: dict[str, str], truth: str | None) -> None:
    for a, b in combinations(sorted(voted), 2):
        one, other = voted[a], voted[b]
        sums["pair", a, b, "both"] = 1
        if one == other:
            sums["pair", a, b, "same"] = 1
        if truth is not None and truth not in (one, other):
            sums["pair", a, b, "wrong"] = 1
            if one == other:
                sums["pair", a, b, "same_wrong"] = 1


class Standing:
    """What the facts so far amount to. Whole numbers; the order in which items came leaves no trace."""

    def __init__(self, sums: Sums | None = None) -> None:
        self.sums: Sums = sums or {}

    def exchange(self, before: Dossier | None, after: Dossier | None) -> None:
        """An item was known as `before` (None: not at all) and is known as `after` (None: no more)."""
        if before is not None:
            self._add(contribution(before), -1)
        if after is not None:
            self._add(contribution(after), 1)

    def _add(self, more: Sums, sign: int) -> None:
        sums = self.sums
        for key, count in more.items():
            total = sums.get(key, 0) + sign * count
            if total:
                sums[key] = total
            else:
                del sums[key]

    def to_data(self) -> list[list[Any]]:
        """Plain JSON data in canonical order."""
        return [[*key, count] for key, count in sorted(self.sums.items(), key=lambda entry: [*map(str, entry[0])])]

    @classmethod
    def from_data(cls, data: Iterable[list[Any]]) -> "Standing":
        return cls({tuple(row[:-1]): row[-1] for row in data})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Standing) and self.sums == other.sums

    __hash__ = None  # type: ignore[assignment]

    @property
    def items(self) -> int:
        return self.sums.get(("item", "items"), 0)

    @property
    def gold(self) -> int:
        return self.sums.get(("item", "gold"), 0)

    def sources(self) -> list[str]:
        """Whoever answered at least once, sorted."""
        return sorted({key[1] for key in self.sums if key[0] == "source"})

    def count(self, source: str, what: str) -> int:
        """How often, over all time; `what` as in `contribution`."""
        return sum(n for key, n in self.sums.items() if key[0] == "source" and key[1] == source and key[3] == what)

    def pair(self, a: str, b: str, what: str) -> int:
        low, high = sorted((a, b))
        return self.sums.get(("pair", low, high, what), 0)

    def clones(self) -> list[tuple[str, ...]]:
        """Groups of sources that give the same *wrong* answers: copies, whatever they are called.

        Two that are right agree because they are right; two that are wrong in the same way, 95 % of the time and over
        at least 20 items with known truth, do not agree by accident.
        """
        group: dict[str, str] = {}

        def root(name: str) -> str:
            while group.get(name, name) != name:
                name = group[name]
            return name

        for key, wrong in self.sums.items():
            if key[0] == "pair" and key[3] == "wrong" and wrong >= CLONE_ERRORS:
                same = self.sums.get((*key[:3], "same_wrong"), 0)
                if same >= CLONE_AGREEMENT * wrong:
                    one, other = sorted((root(key[1]), root(key[2])))
                    group[other] = one
        members: dict[str, list[str]] = {}
        for name in {name for key in self.sums if key[0] == "pair" for name in key[1:3]}:
            members.setdefault(root(name), []).append(name)
        return sorted(tuple(sorted(names)) for names in members.values() if len(names) > 1)

    def trust(self, half_life_days: float | None = None) -> dict[str, "Trust"]:
        """How far each source can be trusted: the mean of a Beta(1, 1) prior and what was seen.

        A gold answer counts 1, an agreement with the others 0.3 and only where the source has fewer than 20 gold
        answers. With `half_life_days`, evidence weighs half for each such span before the newest day on record.
        """
        days: dict[str, list[tuple[int, str, int]]] = {}
        newest = 0
        for key, count in self.sums.items():
            if key[0] == "source":
                days.setdefault(key[1], []).append((key[2], key[3], count))
                newest = max(newest, key[2])
        clones = {name: len(names) for names in self.clones() for name in names}
        found = {}
        for source in sorted(days):
            seen = _weighed(days[source], newest, half_life_days)
            share = 1.0 if seen["graded"] < CLONE_ERRORS else 0.0
            hits = seen["right"] + CONSENSUS_WEIGHT * share * seen["agreed"]
            tries = seen["graded"] + CONSENSUS_WEIGHT * share * seen["peers"]
            mean = (1.0 + hits) / (2.0 + tries)
            graded = sum(count for _, what, count in days[source] if what == "graded")
            found[source] = Trust(mean, low_of(mean, tries), graded, clones.get(source, 1))
        return found


class Trust(NamedTuple):
    """`mean`, and a 5 % lower bound by the normal approximation of the Beta; the number of gold answers behind it; how
    many copies the source has, itself included."""

    mean: float
    low: float
    gold: int
    copies: int

    @property
    def weight(self) -> float:
        """What a vote of this source is worth: its trust, shared with its copies."""
        return self.mean / self.copies


def _weighed(days: list[tuple[int, str, int]], newest: int, half_life: float | None) -> dict[str, float]:
    parts: dict[str, list[float]] = {"graded": [], "right": [], "peers": [], "agreed": []}
    for day, what, count in days:
        if what in parts:
            parts[what].append(count if half_life is None else count * 2.0 ** ((day - newest) / half_life))
    return {what: math.fsum(counts) for what, counts in parts.items()}


def low_of(mean: float, tries: float) -> float:
    return max(0.0, mean - 1.645 * math.sqrt(mean * (1.0 - mean) / (tries + 3.0)))


def part_at(value: Any, path: str) -> Any:
    """The part of a record that a JSON pointer names (RFC 6901); None where there is none. Raises `InvalidInput` for no pointer."""
    if path and not path.startswith("/"):
        raise InvalidInput(f'a field is named by a JSON pointer, as in "/total" or "/address/city", not {path!r}')
    for step in path.split("/")[1:]:
        record = record_of(value)
        value = None if record is None else record.get(step.replace("~1", "/").replace("~0", "~"))
    return value


def fields_of(dossiers: Iterable[Dossier]) -> list[str]:
    """The pointers of all fields that anybody stated, at any depth, sorted."""
    found: set[str] = set()

    def walk(value: Any, path: str) -> None:
        for name, inside in (record_of(value) or {}).items():
            deeper = path + pointer(name)
            found.add(deeper)
            walk(inside, deeper)

    for dossier in dossiers:
        for each in dossier.said.values():
            walk(each.value, "")
    return sorted(found)


def check_item(item: object) -> str:
    """An item's name. Raises `InvalidInput`."""
    if not isinstance(item, str) or not item or len(item) > 500:
        raise InvalidInput(
            f"item {item!r:.80} cannot be used: an item is named by a text of 1 to 500 characters, the same one "
            "each time that something is said of it"
        )
    return item
