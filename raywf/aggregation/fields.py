"""Records, field by field: each field is a question of its own, with its own strategy and its own confidence.

    {"vendor": "Acme", "total": 10.0, "tags": ["a"]}         vendor: labels   total: numbers   tags: a list
    {"vendor": "ACME Inc", "total": 10.1}                     whoever leaves a field out, says that it is not there
    {"vendor": "Acme", "total": 99.0, "tags": None}           null is an answer: "there is none"

A field is kept if those who have it weigh at least half; it is null if null outweighs every value together; else its values are
merged. What comes out may be a record that no source gave. That is the point, and the risk: fields may belong together.
So such a record has to pass validation (its own class, or `Fields(validate=…)`), and where it does not, the given record that most of
the weight supports, field by field, takes its place as a whole.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from raywf.aggregation.account import contributions, unit
from raywf.aggregation.ballot import Ballot, Vote
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.facts import FactSet, Gold
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.result import AggregateResult, Conflict, Part
from raywf.aggregation.shapes import Merger, pointer, rebuilt, record_of, sure, validated
from raywf.errors import InvalidInput

EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Fields:
    """The strategy "fields" with settings.

    `by` names a strategy for some fields by JSON pointer, `{"/total": "median", "/lines": Lists(key="sku")}`; the others are merged by
    the shape of their values. `validate` is a pydantic model, or a function that raises or returns False for a record that cannot be.
    Raises `InvalidInput` for a pointer without "/".
    """

    by: Mapping[str, Any] = field(default_factory=dict)
    validate: Any = None

    def __post_init__(self) -> None:
        for path in self.by:
            if not isinstance(path, str) or not path.startswith("/"):  # type: ignore[redundant-expr]
                raise InvalidInput(
                    f'a field is named by a JSON pointer, as in "/total" or "/address/city", not {path!r}'
                )
        if self.validate is not None and not callable(self.validate):
            raise InvalidInput(
                f"validate is {self.validate!r:.80}, but it must be a pydantic model, or a function that raises for a record that "
                "cannot be"
            )

    def of(self, name: str) -> Any:
        """The strategy of one field: its own, or what is said of the fields inside it."""
        path = pointer(name)
        if path in self.by:
            return self.by[path]
        inside = {deeper[len(path) :]: how for deeper, how in self.by.items() if deeper.startswith(path + "/")}
        return Fields(inside) if inside else "auto"


@dataclass(frozen=True, slots=True)
class _Said:
    """A counted record; `share` is of all counted weight."""

    vote: Vote
    candidate: Candidate
    record: dict[str, Any]

    @property
    def share(self) -> float:
        return self.vote.share

    def asks(self, value: Any) -> Candidate:
        return Candidate(value, self.candidate.source, self.candidate.confidence, None, self.candidate.weight)


@dataclass(slots=True)
class _Merged:
    record: dict[str, Any] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)


def merge_fields(
    ballot: Ballot, how: Fields, merger: Callable[[str, Any], Merger], accept_at: float
) -> AggregateResult:
    """The merged record. `merger` gives an aggregator for a field, from its name and its strategy.

    Raises `InvalidInput` for a vote that is no object, naming its source.
    """
    said = _records(ballot)
    merged = _Merged()
    for name in _names(said):
        _merge_field(name, said, merger(name, how.of(name)), merged)
    value, confidence, why = _coherent(said, merged, how)
    parts = tuple(merged.parts)
    if why and value is not None:
        parts = tuple(_parts_of(record_of(value) or {}, said))
        confidence = min([part.confidence for part in parts], default=confidence)
    mine = None if value is None else identity(value)
    return AggregateResult(
        value=value,
        confidence=confidence,
        calibrated=False,
        quality=math.fsum(merged.quality) / max(len(merged.quality), 1) * len(said) / len(ballot.candidates),
        agreement=0.0 if mine is None else unit(ballot.voted(mine)),
        conflicts=tuple(merged.conflicts),
        provenance=contributions(ballot, mine),
        decision="abstained" if value is None else "accepted" if confidence >= accept_at else "escalated",
        strategy="fields",
        probs=(),
        why=why,
        parts=parts,
    )  # fmt: skip


def projected(facts: FactSet, name: str) -> FactSet:
    """What the facts say of one field: what that field's own sources, weights and gold are learned from."""
    found = FactSet()
    for fact in facts:
        record = record_of(fact.truth if isinstance(fact, Gold) else fact.value) or {}
        if record.get(name) is None:
            continue
        if isinstance(fact, Gold):
            found.add(Gold(fact.item, record[name], fact.at))
        else:
            found.add(replace(fact, value=record[name], probs=None))
    return found


def _records(ballot: Ballot) -> list[_Said]:
    """The counted records, the heaviest first, then by source: their order decides nothing but the order of fields."""
    candidates = {candidate.source: candidate for candidate in ballot.candidates}
    found = []
    for vote in sorted(ballot.votes, key=lambda vote: (-vote.share, vote.source)):
        candidate = candidates[vote.source]
        record = record_of(candidate.value)
        if record is None:
            raise InvalidInput(
                f'source {vote.source!r} says {candidate.value!r:.80}, which has no named fields; strategy "fields" merges dicts with '
                "text keys, pydantic models, dataclasses and named tuples"
            )
        found.append(_Said(vote, candidate, record))
    return found


def _names(said: list[_Said]) -> list[str]:
    return list(dict.fromkeys(name for each in said for name in each.record))


def _merge_field(name: str, said: list[_Said], merger: Merger, into: _Merged) -> None:
    path = pointer(name)
    absent = [each.share for each in said if name not in each.record]
    nulls = [each for each in said if name in each.record and each.record[name] is None]
    stated = [each for each in said if each.record.get(name) is not None]
    spoken = [each.share for each in (*nulls, *stated)]
    there = sure(spoken, absent)
    if math.fsum(absent) > math.fsum(spoken) + EPSILON:
        without = tuple(sorted(each.candidate.source for each in said if name not in each.record))
        gone = sure(absent, spoken)
        into.parts.append(Part(path, None, gone, math.fsum(absent), without, "majority", kept=False))
        into.conflicts += _other(path, [*nulls, *stated], name)
        into.quality.append(math.fsum(absent))
        return
    if math.fsum(each.share for each in nulls) > math.fsum(each.share for each in stated) + EPSILON or not stated:
        none = sure([each.share for each in nulls], [each.share for each in stated])
        agree = tuple(sorted(each.candidate.source for each in nulls))
        share = math.fsum(each.share for each in nulls)
        into.record[name] = None
        into.parts.append(Part(path, None, min(none, there) if absent else none, share, agree, "majority"))
        into.conflicts += _other(path, stated, name)
        into.quality.append(share)
        return
    result = merger.merge([each.asks(each.record[name]) for each in stated])
    into.record[name] = result.value
    into.quality.append(result.quality * math.fsum(each.share for each in stated))
    key = identity(result.value)
    same = [each for each in stated if identity(each.record[name]) == key]
    confidence = result.confidence
    if absent or nulls:
        confidence = min(confidence, sure([each.share for each in stated], [*absent, *(each.share for each in nulls)]))
    into.parts.append(
        Part(
            path, result.value, confidence, math.fsum(each.share for each in same),
            tuple(sorted(each.candidate.source for each in same)), result.strategy, result.calibrated,
        )
    )  # fmt: skip
    into.parts += [replace(part, path=path + part.path) for part in result.parts]
    scale = math.fsum(each.share for each in stated)
    into.conflicts += [replace(c, path=path + c.path, share=c.share * scale) for c in result.conflicts]
    into.conflicts += _other(path, nulls, name)


def _other(path: str, who: list[_Said], name: str) -> Iterator[Conflict]:
    """What those say who have another value, or another opinion of whether there is one."""
    groups: dict[Key, list[_Said]] = {}
    for each in who:
        groups.setdefault(identity(each.record[name]), []).append(each)
    for group in sorted(groups.values(), key=lambda group: min(each.candidate.source for each in group)):
        sources = tuple(sorted(each.candidate.source for each in group))
        yield Conflict(group[0].record[name], sources, math.fsum(each.share for each in group), "missing", path)


def _coherent(said: list[_Said], merged: _Merged, how: Fields) -> tuple[Any, float, str]:
    """The record, how sure it is, and why another one stands in its place ("" if none does)."""
    confidence = min([part.confidence for part in merged.parts], default=sure([each.share for each in said], []))
    like = [each.candidate.value for each in said]
    try:
        whole = rebuilt(like, merged.record)
        problem = _refused(whole, how)
    except Exception as error:  # whatever the class of the records raises: that is what it has its checks for
        whole, problem = None, f"{type(error).__name__}: {error}"
    if problem is None:
        return _shaped(whole, how), confidence, ""
    given: dict[Key, _Said] = {}
    for each in said:
        if _refused(each.candidate.value, how) is None:
            given.setdefault(each.vote.key, each)
    said_no = " ".join(problem.split("For further information")[0].split())  # pydantic ends with an address
    words = f"the record merged field by field does not pass validation ({said_no:.200})"
    if not given:
        return None, 0.0, f"{words}, and neither does any record that a source gave"
    shares = _field_shares(said)

    def support(each: _Said) -> float:
        return math.fsum(shares[name, identity(value)] for name, value in each.record.items())

    best = min(given.values(), key=lambda each: (-round(support(each), 12), -each.share, each.candidate.source))
    return (
        _shaped(best.candidate.value, how),
        confidence,
        f"{words}; the record of {best.candidate.source!r} stands as a whole",
    )


def _refused(record: Any, how: Fields) -> str | None:
    if how.validate is None:
        return None
    try:
        ok = validated(how.validate, record_of(record) or {}) if _is_class(how) else how.validate(record)
    except Exception as error:  # a validator says no by raising what it likes
        return f"{type(error).__name__}: {error}"
    return "validate returned False" if ok is False else None


def _shaped(record: Any, how: Fields) -> Any:
    return validated(how.validate, record_of(record) or {}) if _is_class(how) else record


def _is_class(how: Fields) -> bool:
    return hasattr(how.validate, "model_validate")


def _field_shares(said: list[_Said]) -> dict[tuple[str, Key], float]:
    parts: dict[tuple[str, Key], list[float]] = {}
    for each in said:
        for name, value in each.record.items():
            parts.setdefault((name, identity(value)), []).append(each.share)
    return {key: math.fsum(shares) for key, shares in parts.items()}


def _parts_of(record: dict[str, Any], said: list[_Said]) -> Iterator[Part]:
    """The fields of a record that stands as a whole, each as sure as the votes for just that value make it."""
    for name, value in record.items():
        key = identity(value)
        same = [each for each in said if name in each.record and identity(each.record[name]) == key]
        shares = [each.share for each in same]
        agree = {each.candidate.source for each in same}
        others = [each.share for each in said if each.candidate.source not in agree]
        yield Part(
            pointer(name), value, sure(shares, others), math.fsum(shares),
            tuple(sorted(agree)), "fields",
        )  # fmt: skip
