"""Making a confidence mean what it says: temperature, isotonic regression, conformal sets, and the error that is left."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from raywf.errors import InvalidInput

TEMPERATURES = (0.05, 20.0)


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
        blocks: list[list[float]] = []  # first confidence, hits, count
        for confidence, hit in sorted(zip(confidences, map(float, hits), strict=True)):
            blocks.append([confidence, hit, 1.0])
            while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
                _, more, count = blocks.pop()
                blocks[-1][1] += more
                blocks[-1][2] += count
        return cls(tuple(block[0] for block in blocks), tuple(block[1] / block[2] for block in blocks))

    def __call__(self, confidence: float) -> float:
        return self.levels[max(bisect_right(self.edges, confidence) - 1, 0)]


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
