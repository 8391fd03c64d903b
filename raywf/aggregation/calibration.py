"""Making a confidence mean what it says: temperature, isotonic regression, conformal sets, and the error that is left."""

import math
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from raywf.errors import InvalidInput

K = TypeVar("K", bound=Hashable)
TEMPERATURES = (0.05, 20.0)
ENOUGH_FOR_TEMPERATURE = 50
ENOUGH_FOR_ISOTONIC = 500


def expected_calibration_error(confidences: Sequence[float], hits: Sequence[bool], bins: int = 15) -> float:
    """The mean gap between confidence and accuracy over `bins` equal widths, by count (Guo et al. 2017); 0 if empty."""
    if len(confidences) != len(hits):
        raise InvalidInput(f"{len(confidences)} confidences for {len(hits)} answers; give one of each per item")
    gaps: dict[int, list[float]] = {}
    for confidence, hit in zip(confidences, hits, strict=True):
        gaps.setdefault(min(int(confidence * bins), bins - 1), []).append(confidence - hit)
    return math.fsum(abs(math.fsum(gap)) for gap in gaps.values()) / len(hits) if hits else 0.0


def tempered(probabilities: Sequence[float], temperature: float) -> list[float]:
    """p^(1/T), to the same total, what is missing to 1 counting as one more outcome."""
    rest = max(1.0 - math.fsum(probabilities), 0.0)
    powers = [p ** (1 / temperature) if p > 0 else 0.0 for p in [*probabilities, rest]]
    total = math.fsum(powers)
    return [power / total for power in powers[:-1]]


def temperature(distributions: Sequence[Sequence[float]], truths: Sequence[int | None]) -> float:
    """The temperature with the least log loss on gold, by golden section on log T (Guo et al. 2017).

    `truths` are positions in their distribution; None where nobody named the truth.
    """

    def loss(log_t: float) -> float:
        total = []
        for distribution, truth in zip(distributions, truths, strict=True):
            after = tempered(distribution, math.exp(log_t))
            p = after[truth] if truth is not None else 1.0 - math.fsum(after)
            total.append(-math.log(max(p, 1e-6)))
        return math.fsum(total)

    low, high = map(math.log, TEMPERATURES)
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    loss_a, loss_b = loss(a), loss(b)
    for _ in range(40):
        if loss_a <= loss_b:
            high, b, loss_b = b, a, loss_a
            a = high - ratio * (high - low)
            loss_a = loss(a)
        else:
            low, a, loss_a = a, b, loss_b
            b = low + ratio * (high - low)
            loss_b = loss(b)
    return math.exp((low + high) / 2)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising step function from claimed to true confidence; worth it from about 500 gold answers."""

    edges: tuple[float, ...]
    levels: tuple[float, ...]

    @classmethod
    def fit(cls, confidences: Sequence[float], hits: Sequence[bool]) -> "Isotonic":
        """Pool adjacent violators (Ayer et al. 1955)."""
        if not hits:
            raise InvalidInput(
                "isotonic calibration needs gold answers, but there are none; use temperature or give some"
            )
        at: dict[float, list[float]] = {}
        for confidence, hit in zip(confidences, hits, strict=True):  # equal claims are one point, or they would rise
            at.setdefault(confidence, []).append(hit)
        blocks: list[list[float]] = []  # first confidence, hits, count
        for confidence in sorted(at):
            blocks.append([confidence, math.fsum(at[confidence]), len(at[confidence])])
            while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
                _, more, count = blocks.pop()
                blocks[-1][1] += more
                blocks[-1][2] += count
        return cls(tuple(block[0] for block in blocks), tuple(block[1] / block[2] for block in blocks))

    def __call__(self, confidence: float) -> float:
        return self.levels[max(bisect_right(self.edges, confidence) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """What gold answers make of a strategy's claims: nothing below 50, a temperature below 500, isotonic steps from there.

    One number is all that few answers can give; isotonic regression on 100 makes confidences worse than none at all.
    """

    golds: int
    temperature: float | None = None
    isotonic: Isotonic | None = None

    @classmethod
    def fit(cls, claimed: Sequence[Mapping[K, float]], truths: Sequence[K]) -> "Calibrator":
        """`claimed` are the scores by value on gold items, `truths` the right values."""
        n = len(truths)
        if n < ENOUGH_FOR_TEMPERATURE:
            return cls(n)
        if n >= ENOUGH_FOR_ISOTONIC:
            tops = [max(scores, key=lambda key: (scores[key], repr(key))) for scores in claimed]
            confidences = [scores[top] for scores, top in zip(claimed, tops, strict=True)]
            return cls(n, None, Isotonic.fit(confidences, [top == t for top, t in zip(tops, truths, strict=True)]))
        orders = [list(scores) for scores in claimed]
        at = [order.index(t) if t in order else None for order, t in zip(orders, truths, strict=True)]
        return cls(n, temperature([[s[key] for key in o] for s, o in zip(claimed, orders, strict=True)], at))

    def __bool__(self) -> bool:
        return self.temperature is not None or self.isotonic is not None

    def __call__(self, scores: Mapping[K, float]) -> dict[K, float]:
        """The scores as they should have been claimed. The likeliest value stays the likeliest, and is never certain."""
        if self.temperature is not None:
            keys = list(scores)
            return capped(
                dict(zip(keys, tempered([scores[key] for key in keys], self.temperature), strict=True)), self.golds
            )
        if self.isotonic is None or not scores:
            return dict(scores)
        top = max(scores.values())
        level = self.isotonic(top)
        rest = (1.0 - level) / (1.0 - top) if top < 1.0 else 0.0
        return capped({k: level if p == top else min(p * rest, level) for k, p in scores.items()}, self.golds)


def capped(scores: Mapping[K, float], golds: int) -> dict[K, float]:
    """No claim above (n + 1) / (n + 2), which is all that n right answers in a row would prove (Laplace)."""
    most = (golds + 1) / (golds + 2)
    return {key: min(p, most) for key, p in scores.items()}


class Period(NamedTuple):
    """Gold answers between two instants: how sure the merges were on average, how often they were right, and the ECE."""

    start: float
    end: float
    golds: int
    claimed: float
    right: float
    ece: float


class CalibrationReport(NamedTuple):
    """Over all gold answers and over time. `drifted`: the newest period is further off than chance explains."""

    golds: int
    ece: float
    periods: tuple[Period, ...]
    drifted: bool


def calibration_report(
    claims: Sequence[tuple[float, float, bool]], *, per_period: int = ENOUGH_FOR_TEMPERATURE
) -> CalibrationReport:
    """Of (instant, confidence, right) in order of time; the last period takes what is left over."""
    periods = []
    starts = list(range(0, max(len(claims) - per_period, 0) + 1, per_period)) if claims else []
    for number, start in enumerate(starts):
        part = claims[start : len(claims) if number + 1 == len(starts) else start + per_period]
        confidences, hits = [c for _, c, _ in part], [hit for _, _, hit in part]
        periods.append(
            Period(
                part[0][0], part[-1][0], len(part),
                math.fsum(confidences) / len(part), sum(hits) / len(part), expected_calibration_error(confidences, hits),
            )
        )  # fmt: skip
    last = claims[starts[-1] :] if starts else []
    return CalibrationReport(
        len(claims),
        expected_calibration_error([c for _, c, _ in claims], [hit for _, _, hit in claims]),
        tuple(periods),
        drifted([c for _, c, _ in last], [hit for _, _, hit in last]),
    )


def conformal_threshold(scores: Sequence[float], coverage: float) -> float:
    """The ⌈(n + 1)·coverage⌉-th smallest nonconformity score 1 - p(truth) (Sadinle et al. 2019, LAC).

    Values with p ≥ 1 - threshold make the set. With fewer than ⌈1/(1 - coverage)⌉ - 1 scores nothing can be promised:
    the threshold is then 1 and every value is in the set.
    """
    if not 0 < coverage < 1:
        raise InvalidInput(f"coverage is {coverage!r}, but it must lie between 0 and 1, as in 0.9")
    rank = math.ceil((len(scores) + 1) * coverage)
    return 1.0 if rank > len(scores) else sorted(scores)[rank - 1]


def drifted(confidences: Sequence[float], hits: Sequence[bool], *, z: float = 3.0) -> bool:
    """Whether the answers are right so much less or more often than claimed that chance does not explain it.

    |Σ(hit - confidence)| against its own standard deviation under calibration, √Σ p(1-p) (Spiegelhalter 1986).
    """
    gap = math.fsum(hit - p for p, hit in zip(confidences, hits, strict=True))
    spread = math.sqrt(math.fsum(p * (1 - p) for p in confidences))
    return abs(gap) > z * max(spread, 1.0)
