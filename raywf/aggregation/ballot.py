"""From candidates to a ballot: what the strategies count.

Collecting is where order disappears: votes are sorted by source, abstentions and weights of 0 leave, the remaining
weights become shares that sum to 1, and equal values get one representative.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from raywf.aggregation.candidates import Candidate
from raywf.aggregation.identity import Key, identity, spelling
from raywf.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Vote:
    """One source's counted answer; `share` is its weight over all counted weights, `distribution` may be empty."""

    source: str
    key: Key
    confidence: float | None
    distribution: dict[Key, float]
    share: float

    def support(self, key: Key) -> float:
        """The probability this source itself gives to `key`; a bare vote is 1 for its value, 0 for the rest."""
        if self.distribution:
            return self.distribution.get(key, 0.0)
        if key != self.key:
            return 0.0
        return 1.0 if self.confidence is None else float(self.confidence)


@dataclass(frozen=True, slots=True)
class Ballot:
    """The counted votes by source, the candidates they came from, and the value that stands for each key."""

    votes: tuple[Vote, ...]
    candidates: tuple[Candidate, ...]
    values: dict[Key, Any]

    def voted(self, key: Key) -> float:
        """The share of the votes whose own value is `key`."""
        return math.fsum(vote.share for vote in self.votes if vote.key == key)

    def support(self, key: Key) -> float:
        """The mean probability the voters give to `key`, by share: a linear pool."""
        return math.fsum(vote.share * vote.support(key) for vote in self.votes)

    def draw(self, key: Key) -> str:
        """A fixed lot for ties: depends on who voted for what, not on order, and favours no label over all ballots."""
        cast = "\n".join(f"{vote.source}\t{spelling(vote.key)}" for vote in self.votes)
        return sha256(f"{cast}\n\n{spelling(key)}".encode(errors="backslashreplace")).hexdigest()


def collect(candidates: Iterable[Candidate]) -> Ballot:
    """The ballot of `candidates`. Raises `InvalidInput` for anything that is no Candidate and for a source twice."""
    known = _one_per_source(candidates)
    counted = [candidate for candidate in known if not candidate.abstains and candidate.weight > 0]
    heaviest = max((float(candidate.weight) for candidate in counted), default=1.0)
    weights = [float(candidate.weight) / heaviest for candidate in counted]  # weights near 1e308 must not overflow
    total = math.fsum(weights)
    votes = tuple(
        Vote(
            candidate.source, identity(candidate.value), candidate.confidence, candidate.distribution(), weight / total
        )
        for candidate, weight in zip(counted, weights, strict=True)
    )
    return Ballot(votes, known, _representatives(counted))


def _one_per_source(candidates: Any) -> tuple[Candidate, ...]:
    by_source: dict[str, Candidate] = {}
    if isinstance(candidates, Candidate) or not isinstance(candidates, Iterable):
        raise InvalidInput(f"merge takes a list of Candidates, not {type(candidates).__name__} {candidates!r:.80}")
    for candidate in candidates:
        if not isinstance(candidate, Candidate):
            raise InvalidInput(
                f"merge takes Candidates, but got {type(candidate).__name__} {candidate!r:.80}; "
                "wrap it: Candidate(value, source=...)"
            )
        other = by_source.get(candidate.source)
        if other is None:
            by_source[candidate.source] = candidate
        elif other.abstains and candidate.abstains:
            by_source[candidate.source] = min(other, candidate, key=repr)
        else:
            raise InvalidInput(
                f"source {candidate.source!r} answers twice ({other.value!r:.80} and {candidate.value!r:.80}), which "
                f"would count it double; name samples apart, as in '{candidate.source}#1' and '{candidate.source}#2'"
            )
    return tuple(by_source[source] for source in sorted(by_source))


def _representatives(counted: Iterable[Candidate]) -> dict[Key, Any]:
    """Of equal values (1 and 1.0, a list and a tuple) the one that spells first is returned, whatever the order."""
    spellings: dict[Key, list[Any]] = {}
    for candidate in counted:
        spellings.setdefault(identity(candidate.value), []).append(candidate.value)
        if candidate.probs is not None:
            for value, _ in candidate.pairs():
                spellings.setdefault(identity(value), []).append(value)
    return {key: values[0] if len(values) == 1 else min(values, key=_spelled) for key, values in spellings.items()}


def _spelled(value: Any) -> tuple[str, str]:
    return type(value).__name__, repr(value)
