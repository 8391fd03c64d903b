"""Lists and sets: which elements belong in, each with its own confidence.

The same thing in several lists is one entity (`raywf.aggregation.matching`). An entity is kept where the sources that have it
weigh at least `keep`, by default half: the middle between the intersection (1) and the union (0). What its sources say of it is
merged: spellings by vote, records field by field. The order is the one that goes against as little weight as may be.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raywf.aggregation.account import contributions, unit
from raywf.aggregation.ballot import Ballot
from raywf.aggregation.candidates import Candidate, check_probability
from raywf.aggregation.identity import identity
from raywf.aggregation.matching import in_order, key_of, matched, name_of
from raywf.aggregation.result import AggregateResult, Conflict, ConflictKind, Part
from raywf.aggregation.shapes import Merger, contents, record_of, refilled, sure
from raywf.errors import InvalidInput

EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Lists:
    """The strategy "list" with settings.

    `key` is the field that says which record is which ("id"); by default the first of id, key, sku, code, email, url, name and title
    that tells all records apart. `like`, 0 to 1, is how alike two texts must be to be one thing; 1 compares for equality only, case
    and space aside. `keep` is the share of the weight that must have an element. `of` is the strategy for what is said of one
    element. `as_set`: neither order nor repeats mean anything (the strategy "set").

    0.9 and not less: "approved" and "unapproved" are alike by 0.89.
    """

    key: str | None = None
    like: float = 0.9
    keep: float = 0.5
    of: Any = "auto"
    as_set: bool = False

    def __post_init__(self) -> None:
        check_probability(self.like, "like, how alike two elements must be to be one thing,")
        check_probability(self.keep, "keep, the share of the weight that must have an element,")


@dataclass(slots=True)
class _Entity:
    """What several lists call one thing; at most one element of each. `said` by source: place and element."""

    first: Any
    said: dict[str, tuple[int, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    candidate: Candidate
    share: float
    elements: list[Any]

    @property
    def name(self) -> str:
        return self.candidate.source


def merge_lists(ballot: Ballot, how: Lists, merger: Callable[[Any], Merger], accept_at: float) -> AggregateResult:
    """The merged list. `merger` gives an aggregator from a strategy. Raises `InvalidInput` for a vote that is no list."""
    sources = _sources(ballot, how)
    entities = _entities(sources, how)
    shares = {source.name: source.share for source in sources}
    kept, parts, conflicts = [], [], []
    for entity in entities:
        mine = [shares[name] for name in entity.said]
        others = [share for name, share in shares.items() if name not in entity.said]
        share = math.fsum(mine)
        if share >= how.keep - EPSILON:
            kept.append((entity, share, sure(mine, others)))
        else:
            named = tuple(sorted(entity.said))
            conflicts.append(Conflict(entity.first, named, share, "missing", "/-"))
            parts.append(Part("/-", entity.first, sure(others, mine), share, named, "list", kept=False))
    numbers = {id(entity): number for number, (entity, *_) in enumerate(kept)}
    lines = [
        (
            s.share,
            [
                numbers[id(e)]
                for _, e in sorted(((e.said[s.name][0], e) for e, *_ in kept if s.name in e.said), key=_place)
            ],
        )
        for s in sources
    ]
    order = in_order(len(kept), lines, [entity.first for entity, *_ in kept])
    found, inside = [], []
    for at, number in enumerate(order):
        entity, share, there = kept[number]
        value, more, quarrels = _element(entity, f"/{at}", share, there, sources, how, merger)
        found.append(value)
        inside += more
        conflicts += quarrels
    parts = [*inside, *sorted(parts, key=lambda part: (-part.agreement, part.sources, repr(part.value)))]
    return _result(ballot, sources, found, parts, conflicts, how, accept_at)


def _place(pair: tuple[int, _Entity]) -> int:
    return pair[0]


def _sources(ballot: Ballot, how: Lists) -> list[_Source]:
    """The heaviest first, then the longest: what is matched first becomes what the others are matched to."""
    candidates = {candidate.source: candidate for candidate in ballot.candidates}
    found = []
    for vote in ballot.votes:
        candidate = candidates[vote.source]
        value = candidate.value
        if isinstance(value, str) or record_of(value) is not None:
            elements = None
        else:
            try:
                elements = contents(value)
            except (TypeError, KeyError):
                elements = None
        if elements is None:
            raise InvalidInput(
                f'source {vote.source!r} says {value!r:.80}, which is no list; the strategy "list" merges lists, tuples and sets'
            )
        if how.as_set:
            elements = list({name_of(element, how.key): element for element in reversed(elements)}.values())[::-1]
        found.append(_Source(candidate, vote.share, elements))
    return sorted(found, key=lambda source: (-source.share, -len(source.elements), source.name))


def _entities(sources: list[_Source], how: Lists) -> list[_Entity]:
    key = how.key or key_of([source.elements for source in sources])
    entities: list[_Entity] = []
    by_name: dict[Hashable, list[_Entity]] = {}
    for source in sources:
        left: list[tuple[int, Any]] = []
        for at, element in enumerate(source.elements):
            same = next((e for e in by_name.get(name_of(element, key), ()) if source.name not in e.said), None)
            if same is None:
                left.append((at, element))
            else:
                same.said[source.name] = (at, element)
        free = [entity for entity in entities if source.name not in entity.said]
        pairs: dict[int, int] = {}
        if key is None or all(
            isinstance(_named(e, key), str) for e in [*(x for _, x in left), *(e.first for e in free)]
        ):
            names = [_named(element, key) for _, element in left]
            pairs = dict(matched(names, [_named(entity.first, key) for entity in free], how.like))
        for number, (at, element) in enumerate(left):
            if number in pairs:
                entity = free[pairs[number]]
            else:
                entity = _Entity(element)
                entities.append(entity)
            entity.said[source.name] = (at, element)
            by_name.setdefault(name_of(element, key), []).append(entity)
    return entities


def _named(element: Any, key: str | None) -> Any:
    """What is compared: the key of a record that has one, else the element."""
    record = record_of(element) if key is not None else None
    return element if record is None or key is None else record.get(key)


def _element(
    entity: _Entity, path: str, share: float, there: float, sources: Sequence[_Source], how: Lists,
    merger: Callable[[Any], Merger],
) -> tuple[Any, list[Part], list[Conflict]]:  # fmt: skip
    """What is said of one entity, merged; with its parts and where its sources differ."""
    said = [
        Candidate(entity.said[s.name][1], s.name, s.candidate.confidence, None, s.candidate.weight)
        for s in sources
        if s.name in entity.said and entity.said[s.name][1] is not None
    ]
    named = tuple(sorted(entity.said))
    if not said:
        return None, [Part(path, None, there, share, named, "list")], []
    spelled = how.of == "auto" and all(isinstance(candidate.value, str) for candidate in said)
    result = merger("majority" if spelled else how.of).merge(said)
    confidence = there if spelled else min(there, result.confidence)  # spelt otherwise is no other thing
    key = identity(result.value)
    agree = tuple(sorted(candidate.source for candidate in said if identity(candidate.value) == key))
    exact = math.fsum(s.share for s in sources if s.name in agree)
    whole = Part(path, result.value, confidence, exact, agree, result.strategy, result.calibrated)
    parts = [whole, *(replace(part, path=path + part.path) for part in result.parts)]
    kind: ConflictKind | None = "format" if spelled else None
    quarrels = [replace(c, path=path + c.path, share=c.share * share, kind=kind or c.kind) for c in result.conflicts]
    return result.value, parts, quarrels


def _result(
    ballot: Ballot, sources: list[_Source], found: list[Any], parts: list[Part], conflicts: list[Conflict], how: Lists, accept_at: float
) -> AggregateResult:  # fmt: skip
    value = refilled([source.candidate.value for source in sources], found)
    mine = identity(value)
    shares = {vote.source: vote.share for vote in ballot.votes}
    confidence = min([part.confidence for part in parts], default=sure(list(shares.values()), []))
    kept = [part.agreement for part in parts if part.kept]
    return AggregateResult(
        value=value,
        confidence=confidence,
        calibrated=False,
        quality=min(math.fsum(kept) / max(len(kept), 1) if kept else 1.0, 1.0)
        * len(ballot.votes)
        / len(ballot.candidates),
        agreement=unit(ballot.voted(mine)),
        conflicts=tuple(conflicts),
        provenance=contributions(ballot, mine),
        decision="accepted" if confidence >= accept_at else "escalated",
        strategy="set" if how.as_set else "list",
        probs=(),
        parts=tuple(parts),
    )


def merge_vector(ballot: Ballot, merger: Callable[[Any], Merger], accept_at: float) -> AggregateResult:
    """Lists of numbers of one length, place by place. Raises `InvalidInput` where the lengths differ."""
    candidates = {candidate.source: candidate for candidate in ballot.candidates}
    rows = {vote.source: _numbers(vote.source, candidates[vote.source].value) for vote in ballot.votes}
    lengths = {len(row) for row in rows.values()}
    if len(lengths) > 1:
        raise InvalidInput(f'lists of {sorted(lengths)} numbers cannot be merged place by place; take strategy "list"')
    parts, found, conflicts = [], [], []
    for at in range(lengths.pop()):
        result = merger("huber").merge(
            [Candidate(row[at], name, None, None, candidates[name].weight) for name, row in rows.items()]
        )
        found.append(result.value)
        agree = tuple(part.source for part in result.provenance if part.agrees)
        parts.append(Part(f"/{at}", result.value, result.confidence, result.agreement, agree, result.strategy))
        conflicts += [replace(conflict, path=f"/{at}") for conflict in result.conflicts]
    sources = [_Source(candidates[vote.source], vote.share, []) for vote in ballot.votes]
    return replace(_result(ballot, sources, found, parts, conflicts, Lists(), accept_at), strategy="vector")


def _numbers(source: str, value: Any) -> list[Any]:
    try:
        if not isinstance(value, str):
            return contents(value)
    except (TypeError, KeyError):
        pass
    raise InvalidInput(
        f'source {source!r} says {value!r:.80}, which is no list of numbers; strategy "vector" merges lists of one length'
    )
