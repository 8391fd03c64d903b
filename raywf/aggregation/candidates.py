"""What one source said: a value, how sure it is, and how much it counts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from raywf.aggregation.identity import Key, identity
from raywf.errors import InvalidInput

PROBABILITY_SLACK = 1e-3
"""Sources print their probabilities rounded; a sum up to 1.001 is rounding, more is a mistake."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One source's answer to one question.

    `value` is the answer: any hashable value or any JSON-like structure. None means that the source abstains: it is
    not a vote for None. `confidence` is the source's own claim that its value is right, 0 to 1. `probs` is a whole
    distribution, a mapping from value to probability or a sequence of (value, probability) pairs, which may sum to
    less than 1 when only the likeliest values are listed. `weight` says how much the source counts beside the others;
    only ratios matter, 0 means not at all.

    Raises `InvalidInput` for numbers out of range, NaN, and values that cannot be compared with other answers.
    """

    value: Any
    source: str
    confidence: float | None = None
    probs: Mapping[Any, float] | Iterable[tuple[Any, float]] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if _is_plain(self):
            return
        if not _is_name(self.source):
            raise InvalidInput(f"source must be a name, a text that is not empty, but it is {self.source!r}")
        if self.probs is not None:  # a copy: what the caller does to its dict later must not change an answer
            given: Any = self.probs
            if isinstance(given, str) or not isinstance(given, Iterable):
                raise InvalidInput(
                    f"probs of source {self.source!r} are {self.probs!r:.80}: give a mapping from value to probability, or pairs; "
                    "how sure the source is of its one value is its confidence"
                )
            copy = dict(self.probs) if isinstance(self.probs, Mapping) else tuple(self.probs)
            object.__setattr__(self, "probs", copy)
        self._check_weight()
        if self.confidence is not None:
            check_probability(self.confidence, f"the confidence of source {self.source!r}")
        identity(self.value)
        self._check_distribution(self.distribution())

    @property
    def abstains(self) -> bool:
        """True where the source gave no answer; such a candidate never counts as a vote."""
        return self.value is None

    def distribution(self) -> dict[Key, float]:
        """`probs` by the identity of the values; {} where the source gave none."""
        if self.probs is None:
            return {}
        mine: dict[Key, float] = {}
        for value, probability in self.pairs():
            key = identity(value)
            if key in mine:
                raise InvalidInput(f"probs of source {self.source!r} list {value!r} twice; add the two up or drop one")
            check_probability(probability, f"the probability that source {self.source!r} gives to {value!r}")
            mine[key] = float(probability)
        return mine

    def pairs(self) -> list[tuple[Any, float]]:
        """`probs` as (value, probability) pairs, whichever way they were given."""
        if self.probs is None:
            return []
        if isinstance(self.probs, Mapping):
            return list(self.probs.items())
        pairs = list(self.probs)
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise InvalidInput(
                    f"probs of source {self.source!r} must be a mapping or (value, probability) pairs, not {pair!r}"
                )
        return [(value, probability) for value, probability in pairs]

    def _check_weight(self) -> None:
        if not _is_number(self.weight) or not math.isfinite(self.weight) or self.weight < 0:
            raise InvalidInput(
                f"the weight of source {self.source!r} is {self.weight!r}, but weights are finite and not negative; "
                "use 0 to leave a source out"
            )

    def _check_distribution(self, mine: dict[Key, float]) -> None:
        total = math.fsum(mine.values())
        if total > 1 + PROBABILITY_SLACK:
            raise InvalidInput(
                f"the probs of source {self.source!r} sum to {total:.6g}, more than 1; divide each by the sum, or by "
                "100 if they are percentages"
            )
        if mine and total == 0:
            raise InvalidInput(f"the probs of source {self.source!r} are all 0; use value=None if it does not know")
        if mine and self.abstains:
            raise InvalidInput(
                f"source {self.source!r} abstains (value None) but gives probs; set value to the likeliest one, or "
                "leave probs out"
            )


def _is_plain(candidate: Candidate) -> bool:
    """A text with plain numbers in range: most candidates are, and there are millions. All else is checked one by one."""
    sure, weight = candidate.confidence, candidate.weight
    return (
        type(candidate.value) is str
        and type(candidate.source) is str
        and candidate.source != ""
        and candidate.probs is None
        and (sure is None or (type(sure) is float and 0.0 <= sure <= 1.0))
        and type(weight) is float
        and 0.0 <= weight < math.inf
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_number(value: object) -> bool:
    return type(value) in (float, int) or (isinstance(value, Real) and not isinstance(value, bool))


def check_probability(value: object, what: str) -> None:
    """Raises `InvalidInput` unless `value` is a number from 0 to 1; `what` begins the sentence."""
    if not _is_number(value):
        raise InvalidInput(f"{what} is {value!r}, which is not a number; give one from 0 to 1")
    assert isinstance(value, Real)
    if not 0 <= float(value) <= 1:  # NaN fails this too
        hint = "; divide a percentage by 100" if 1 < float(value) <= 100 else ""
        raise InvalidInput(f"{what} is {value!r}, but it must be from 0 to 1{hint}")
