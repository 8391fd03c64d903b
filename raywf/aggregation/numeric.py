"""Numbers: where their middle is, and how far the sources are apart.

Every estimator takes values and weights (positive, as shares that sum to 1) and gives a number. The confidence says how well
the sources agree on it, nothing more: each counts by its distance from the merged value, beside the size of that value. A
hundredth away counts whole, a tenth half, a fifth a fifth. So it never rises when the answers move apart, which a share of
those within their own spread does: 10, 20 and 30 lie as much within theirs as 10.0, 10.1 and 10.2.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.result import AggregateResult, Conflict, Contribution
from raywf.aggregation.strategies import evidence
from raywf.errors import InvalidInput

Estimator: TypeAlias = Callable[[Sequence[float], Sequence[float]], float]

MAD_TO_SIGMA = 1.4826
HUBER_K = 1.345
"""95 % of the mean's efficiency where the errors are Gaussian (Huber 1981)."""
TRIMMED_SHARE = 0.2
PAIRS_UP_TO = 500
HALFWAY = 0.1
"""Relative distance from the merged value at which a source counts half for it: twice that of what people call the same."""
NEAR = 0.01
"""Relative distance within which two numbers count as agreeing even where the spread is 0."""


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Efficient and fragile: one gross error moves it as far as it likes."""
    return math.fsum(v * w for v, w in zip(values, weights, strict=True))


def median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Weighted median; the middle of the two where exactly half the weight lies on either side."""
    pairs = sorted(zip(values, weights, strict=True))
    total, half = 0.0, math.fsum(weights) / 2
    for i, (value, weight) in enumerate(pairs):
        total += weight
        if math.isclose(total, half, rel_tol=1e-12) and i + 1 < len(pairs):
            return value / 2 + pairs[i + 1][0] / 2
        if total > half:
            return value
    return pairs[-1][0]


def trimmed(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of the middle 60 % of the weight."""
    pairs = sorted(zip(values, weights, strict=True))
    low, high = TRIMMED_SHARE, 1 - TRIMMED_SHARE
    reached, parts, kept = 0.0, [], []
    for value, weight in pairs:
        inside = max(min(reached + weight, high) - max(reached, low), 0.0)
        reached += weight
        parts.append(value * inside)
        kept.append(inside)
    total = math.fsum(kept)
    return math.fsum(parts) / total if total else median(values, weights)


def spread(values: Sequence[float], weights: Sequence[float]) -> float:
    """A robust standard deviation, 1.4826 × the median distance from the median."""
    middle = median(values, weights)
    return MAD_TO_SIGMA * median([abs(v - middle) for v in values], weights)


def huber(values: Sequence[float], weights: Sequence[float]) -> float:
    """Huber's M-estimator, k = 1.345 robust deviations, from the median by reweighting; the median if more than half
    agree exactly."""
    scale, centre = spread(values, weights), median(values, weights)
    if scale == 0:
        return centre
    for _ in range(50):
        tamed = [
            w * min(1.0, HUBER_K * scale / abs(v - centre)) if v != centre else w
            for v, w in zip(values, weights, strict=True)
        ]
        after = math.fsum(v * w for v, w in zip(values, tamed, strict=True)) / math.fsum(tamed)
        if abs(after - centre) <= 1e-12 * scale:
            return after
        centre = after
    return centre


def hodges_lehmann(values: Sequence[float], weights: Sequence[float]) -> float:
    """The weighted median of all pairwise means (Hodges and Lehmann 1963); of more than 500 values, the median."""
    n = len(values)
    if n > PAIRS_UP_TO:
        return median(values, weights)
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    means = [values[i] / 2 + values[j] / 2 for i, j in pairs]
    both = [weights[i] * weights[j] * (1 if i == j else 2) for i, j in pairs]
    return median(means, both)


NUMERIC: dict[str, Estimator] = {
    "mean": mean, "median": median, "trimmed": trimmed, "huber": huber, "hodges_lehmann": hodges_lehmann,
}  # fmt: skip
"""By the names users write."""


def closeness(values: Sequence[float], weights: Sequence[float], merged: float) -> float:
    """How near the values lie to the merged one, from 1 (all on it) to 0: Σ w / (1 + (d / 0.1)²), d the relative distance.

    Beside a merged value of 0 nothing but 0 is near.
    """
    scale = HALFWAY * abs(merged)

    def near(value: float) -> float:
        away = abs(value - merged)  # infinite for two of opposite ends, and then not near
        if away == 0:
            return 1.0
        ratio = away / scale if scale > 0 else math.inf
        return 1.0 / (1.0 + ratio * ratio) if ratio < 1e150 else 0.0

    return math.fsum(w * near(v) for v, w in zip(values, weights, strict=True))


def merge_numbers(ballot: Ballot, strategy: str, accept_at: float) -> AggregateResult:
    """The merged number. Raises `InvalidInput` for a vote that is no finite number."""
    values = [_number(vote.source, ballot.values[vote.key]) for vote in ballot.votes]
    shares = [vote.share for vote in ballot.votes]
    largest = max(map(abs, values)) or 1.0
    merged = NUMERIC[strategy]([v / largest for v in values], shares) * largest  # 1e308 must not overflow
    merged = min(
        (v for v in values if math.isclose(v, merged, rel_tol=1e-12)), default=merged
    )  # what was said, not its rounding
    near = max(2 * spread(values, shares), NEAR * abs(merged))
    votes = evidence(shares)  # one source says nothing of how well sources agree: at most 0.5
    confidence = min(closeness(values, shares, merged), 1.0) * votes / (votes + 1)
    agreement = min(
        math.fsum(s for v, s in zip(values, shares, strict=True) if abs(v - merged) <= NEAR * abs(merged)), 1.0
    )
    far = [
        Conflict(ballot.values[vote.key], (vote.source,), vote.share)
        for vote, v in zip(ballot.votes, values, strict=True)
        if abs(v - merged) > near
    ]
    voted = {vote.source: (vote.share, v) for vote, v in zip(ballot.votes, values, strict=True)}
    provenance = tuple(
        Contribution(
            c.source, c.value, c.confidence,
            voted[c.source][0] if c.source in voted else 0.0,
            abs(voted[c.source][1] - merged) <= near if c.source in voted else None,
        )
        for c in ballot.candidates
    )  # fmt: skip
    return AggregateResult(
        value=merged,
        confidence=confidence,
        calibrated=False,
        quality=agreement * len(ballot.votes) / len(ballot.candidates),
        agreement=agreement,
        conflicts=tuple(sorted(far, key=lambda c: (-c.share, c.sources))),
        provenance=provenance,
        decision="accepted" if confidence >= accept_at else "escalated",
        strategy=strategy,
        probs=(),
    )


def _number(source: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise InvalidInput(
            f"source {source!r} says {value!r:.80}, which is no finite number; a numeric strategy merges numbers only: "
            "parse texts first, and give value=None for a source without an answer"
        )
    return float(value)


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
